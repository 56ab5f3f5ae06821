//! Matters that are likely one, brought twice. What is found is a question to a person, never a step.
//!
//! Looked at are the newest matters of [`DAYS_MAX`] days, three thousand at most, each time anew: a sketch of what was said says nearly
//! all of it, so none is kept.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use lianxin_protocol::catalogue::{Catalogue, Follows, Kind, Transition};
use lianxin_protocol::log::RecordId;
use rusqlite::Connection;

use super::likeness::{Cluster, DAYS_MAX, Key, Place, Reasons, Said, Sketch, clusters};
use super::{Filter, Listed, gather, list, name_of};
use crate::actor::Actor;
use crate::bulk;
use crate::clock;
use crate::error::{Error, Result};
use crate::journal::Books;

/// Matters that are compared: about a third of a second.
const COMPARED: usize = 3_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The kind of which the same is brought twice, and the step that puts one in the place of another.
#[must_use]
pub fn merging() -> Option<(&'static Kind, &'static Follows, &'static Transition)> {
    Catalogue::current().kinds().find_map(|kind| {
        let follows = kind.follows.as_ref()?;
        let gives = |step: &&Transition| step.data.iter().any(|it| it.key == follows.field);
        let step = kind.transitions.iter().find(gives)?;
        Some((kind, follows, step))
    })
}

/// Matters that are likely one.
#[derive(Debug)]
pub struct Found {
    /// The one that goes on: the oldest, or the one that was chosen.
    pub main: Listed,
    /// The others, each with what it has in common with the oldest.
    pub others: Vec<(Listed, Reasons)>,
}

/// Groups in which something can be merged, as far as whoever asks is shown their words.
///
/// # Errors
/// The store cannot be read.
pub fn found(
    connection: &Connection,
    books: &mut Books,
    (kind, follows, step): (&Kind, &Follows, &Transition),
    chosen: Option<RecordId>,
    (actor, now_ms): (&Actor, u64),
) -> Result<Vec<Found>> {
    static KEY: LazyLock<Result<Key>> = LazyLock::new(|| Ok(Key::new(clock::random::<16>()?)));
    let key = match &*KEY {
        Ok(key) => *key,
        Err(error) => return Err(Error::new(error.code(), "no randomness")),
    };
    let filter = Filter {
        kind: Some(kind.code.clone()),
        recorded_ms: Some((
            now_ms.saturating_sub(u64::from(DAYS_MAX) * DAY_MS),
            u64::MAX >> 16,
        )),
        held: Some(false),
        stands: true,
        limit: COMPARED,
        ..Filter::default()
    };
    let ordered = bulk::ordered(connection)?;
    let mut sketches = Vec::new();
    let mut rows = BTreeMap::new();
    for row in list(connection, &filter)? {
        let goes_on = follows.into.contains(&row.status) || step.applies_to(&row.status);
        // What was merged is in its place already, and to be found would tell of what is kept.
        let merged = row.fact(&follows.field).is_some();
        let rests = ordered.contains(&row.id);
        if !goes_on || merged || rests || !row.sight(actor).has_words() {
            continue;
        }
        sketches.push((row.id, sketch(connection, books, kind, (&row, key))?));
        rows.insert(row.id, row);
    }
    let mut found = Vec::new();
    for cluster in clusters(&sketches) {
        found.extend(arranged(
            connection,
            (follows, step),
            cluster,
            chosen,
            &mut rows,
        )?);
    }
    Ok(found)
}

/// What a matter says, as far as it is compared.
fn sketch(
    connection: &Connection,
    books: &mut Books,
    kind: &Kind,
    (row, key): (&Listed, Key),
) -> Result<Sketch> {
    let content = gather(connection, books, row.key)?.content(books.authority());
    let held = |key: &str| content.held(key).into_iter().next().unwrap_or_default();
    let own = |key: &Option<String>| key.as_deref().map(held).unwrap_or_default();
    let said = format!("{} {}", own(&kind.title), own(&kind.words));
    Ok(Sketch::of(
        &Said {
            kind: &kind.code,
            text: &said,
            community: &name_of(connection, &held("place.community"))?,
            place: &held("place.text"),
            phone: &held("person.phone"),
            day: i32::try_from(row.recorded_ms() / DAY_MS).unwrap_or(i32::MAX),
        },
        key,
    ))
}

/// The members of a group in their order, if there is anything to merge among them.
fn arranged(
    connection: &Connection,
    (follows, step): (&Follows, &Transition),
    cluster: Cluster<RecordId>,
    chosen: Option<RecordId>,
    rows: &mut BTreeMap<RecordId, Listed>,
) -> Result<Option<Found>> {
    let oldest = Reasons {
        words: 100,
        place: Place::Same,
        phone: false,
        days: 0,
    };
    let members = [(cluster.head, oldest)].into_iter();
    let members = members.chain(cluster.members.into_iter().map(|it| (it.id, it.reasons)));
    let members: Vec<_> = members.collect();
    let takes_up = |id: &RecordId| {
        rows.get(id)
            .is_some_and(|row| follows.into.contains(&row.status))
    };
    let wanted = members
        .iter()
        .map(|(id, _)| *id)
        .find(|id| Some(*id) == chosen);
    let first = members.iter().map(|(id, _)| *id).find(takes_up);
    let Some(main) = wanted.filter(takes_up).or(first) else {
        return Ok(None);
    };
    let Some(row) = rows.remove(&main) else {
        return Ok(None);
    };
    let mut others = Vec::new();
    for (id, reasons) in members {
        let apart = id == main || is_apart(connection, &main, &id)?;
        if let (false, Some(row)) = (apart, rows.remove(&id)) {
            others.push((row, reasons));
        }
    }
    let any = others.iter().any(|(row, _)| step.applies_to(&row.status));
    Ok(any.then_some(Found { main: row, others }))
}

/// Whether somebody here has said that these are two matters.
fn is_apart(connection: &Connection, one: &RecordId, other: &RecordId) -> Result<bool> {
    let [first, second] = pair(one, other);
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM apart WHERE one = ?1 AND other = ?2)")?
        .query_row([first, second], |row| row.get(0))?)
}

fn pair(one: &RecordId, other: &RecordId) -> [[u8; 16]; 2] {
    let mut pair = [one.0, other.0];
    pair.sort_unstable();
    pair
}

/// Notes that two are not the same matter: they are not found together again on this computer.
///
/// # Errors
/// The store cannot be written.
pub fn set_apart(connection: &Connection, one: &RecordId, other: &RecordId) -> Result<()> {
    let [first, second] = pair(one, other);
    connection
        .prepare_cached("INSERT OR IGNORE INTO apart (one, other) VALUES (?1, ?2)")?
        .execute([first, second])?;
    Ok(())
}
