//! Messages: what has happened elsewhere to what people at this device wrote. Answers, refusals and what was sent back, for
//! whoever is at the desk; values that were not kept and choices that were taken back, for whoever wrote them; what the hub said
//! to a request, for whoever asked.
//!
//! A row is made with its record's and from the same, so that lists made anew have the same messages; it holds codes and ids and
//! no word of anybody. That somebody has read one is kept beside the logs. Nothing here asks the network.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::Role as DeviceRole;
use lianxin_protocol::catalogue::{Catalogue, Kind, Outcome, Role};
use lianxin_protocol::document::ChangeHash;
use lianxin_protocol::space::{Space, SpaceId};
use rusqlite::{Connection, params};

use super::Content;
use super::apart::Became;
use crate::error::Result;
use crate::journal::Overview;
use crate::store;

/// Steps that add to what was brought.
const SUPPLEMENTS: [&str; 1] = ["supplement"];
/// Steps that send a matter back to whoever had it before.
const SENT_BACK: [&str; 3] = ["return", "revise", "send_back"];
/// So many that nobody has read are counted.
pub const COUNTED: u64 = 100;
/// Stands in [`store::meta`] for the time since when messages to all are new here, in Unix milliseconds: what is older was there
/// before this device had any.
const SINCE: &str = "inbox_since";

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A matter has its answer.
    Answered,
    /// It is done with.
    Closed,
    /// It was refused.
    Refused,
    /// It was sent back.
    Returned,
    /// Somebody added to it.
    Supplement,
    /// A site passed it on to another one.
    Passed,
    /// A value was not kept.
    Unkept,
    /// A value was chosen, where two had changed one field.
    Kept,
    /// A choice was taken back.
    Undone,
    /// A value is there again, since the choice against it was taken back.
    Restored,
    /// The hub did what it was asked.
    Granted,
    /// The hub did not do what it was asked.
    Declined,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Answered,
        Self::Closed,
        Self::Refused,
        Self::Returned,
        Self::Supplement,
        Self::Passed,
        Self::Unkept,
        Self::Kept,
        Self::Undone,
        Self::Restored,
        Self::Granted,
        Self::Declined,
    ];

    /// As it stands in rows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::Returned => "returned",
            Self::Supplement => "supplement",
            Self::Passed => "passed",
            Self::Unkept => "unkept",
            Self::Kept => "kept",
            Self::Undone => "undone",
            Self::Restored => "restored",
            Self::Granted => "granted",
            Self::Declined => "declined",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }

    /// Whether it is of a field that two had changed, and so of one person's value or choice.
    #[must_use]
    pub const fn is_of_field(self) -> bool {
        matches!(
            self,
            Self::Unkept | Self::Kept | Self::Undone | Self::Restored
        )
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The record's number in this store; 0 for an answer of the hub.
    pub record: i64,
    /// The change that it is told of, or the request.
    pub change: ChangeHash,
    /// What it says.
    pub what: What,
    /// The fields, or the step, by their codes, with a space between.
    pub about: String,
    /// When it happened, by the clock of whoever did it, in Unix milliseconds.
    pub at_ms: u64,
}

impl Item {
    /// Its place among others: a page goes on after it.
    #[must_use]
    pub const fn place(&self) -> (u64, ChangeHash, &'static str) {
        (self.at_ms, self.change, self.what.word())
    }
}

/// To whom a message of a record is: an account, or nobody in particular.
type Address = (ChangeHash, What, String);

/// The messages of one record.
#[derive(Debug, Default)]
pub(super) struct Letters(BTreeMap<Address, (BTreeSet<String>, u64)>);

impl Letters {
    /// What people at this device are told of a record of a space.
    pub(super) fn of(content: &Content, space: &SpaceId, overview: &Overview) -> Self {
        let mut letters = Self::default();
        let me = overview.identity().key();
        let told = content.apart.iter().flat_map(super::apart::Apart::told);
        for it in told.filter(|it| it.device == me) {
            let what = match it.became {
                Became::Unkept => What::Unkept,
                Became::Kept => What::Kept,
                Became::Undone => What::Undone,
                Became::Restored => What::Restored,
            };
            letters.add((it.change, what, it.account), &it.field, it.at_ms);
        }
        // What has no effect because others correct it is told to the desk at which it was written.
        for ((change, field), by) in &content.unheeded {
            if let Some((_, at_ms)) = by.filter(|(device, _)| *device == me) {
                letters.add((*change, What::Unkept, String::new()), field, at_ms);
            }
        }
        let office = matches!(
            overview.role(),
            Some(DeviceRole::Hub | DeviceRole::Operator)
        );
        let kind = Catalogue::current().kind(&content.kind);
        let Some(kind) = kind.filter(|_| office || is_home(overview, space)) else {
            return letters;
        };
        for event in content.events.iter().filter(|it| it.device != Some(me)) {
            let Outcome::Applied { from, to } = &event.outcome else {
                continue;
            };
            if let Some(what) = said(kind, &event.event, (from, to), office) {
                let at_ms = u64::try_from(event.at_ms).unwrap_or_default();
                letters.add((event.change, what, String::new()), &event.event, at_ms);
            }
        }
        letters
    }

    fn add(&mut self, address: Address, about: &str, at_ms: u64) {
        let (abouts, at) = self.0.entry(address).or_default();
        abouts.insert(about.to_owned());
        *at = at_ms.max(*at);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes them in the place of those that there were of the record.
    pub(super) fn write(&self, connection: &Connection, record: i64) -> Result<()> {
        connection
            .prepare_cached("DELETE FROM inbox WHERE record = ?1")?
            .execute([record])?;
        for ((change, what, account), (abouts, at_ms)) in &self.0 {
            let abouts: Vec<&str> = abouts.iter().map(String::as_str).collect();
            let item = Item {
                record,
                change: *change,
                what: *what,
                about: abouts.join(" "),
                at_ms: *at_ms,
            };
            put(connection, &item, account)?;
        }
        Ok(())
    }
}

/// Whether a space is that of the site at which this device stands.
fn is_home(overview: &Overview, space: &SpaceId) -> bool {
    let identity = overview.identity();
    let member = overview.authority().members().get(&identity.key());
    let site = member.and_then(|member| member.grant.site);
    site.is_some_and(|site| Space::Site(site).id(&identity.network) == *space)
}

/// What a step says by which somebody is told: how they were.
const WAY: &str = "way";

/// What a step that somebody else took says to the office, or to the site whose record it is.
fn said(kind: &Kind, event: &str, (from, to): (&str, &str), office: bool) -> Option<What> {
    let step = kind.transition(event)?;
    if SUPPLEMENTS.contains(&event) {
        return Some(What::Supplement);
    }
    // The sub-district tells the other site.
    if step.to_site.is_some() {
        return office.then_some(What::Passed);
    }
    // What units send back is the office's, what the office sends back the site's.
    if SENT_BACK.contains(&event) {
        return (step.who.contains(&Role::Unit) == office).then_some(What::Returned);
    }
    if office || from == to {
        return None;
    }
    let tells = |status: &str, what| {
        kind.status(status)
            .is_some_and(|it| it.tells.as_deref() == Some(what))
    };
    // An answer is there as soon as all that is left is to tell of it.
    let answers = |status: &str| {
        let next = kind.status(status).and_then(|it| it.next.as_deref());
        let next = next.and_then(|event| kind.transition(event));
        let telling = next.filter(|step| step.data.iter().any(|it| it.key == WAY));
        let next = telling.and_then(|step| step.to.as_deref());
        tells(status, "answered") || next.is_some_and(|to| tells(to, "answered"))
    };
    if tells(to, "refused") {
        return (!tells(from, "refused")).then_some(What::Refused);
    }
    match (answers(from), answers(to)) {
        (false, true) => Some(What::Answered),
        (true, true) if kind.is_open(from) && !kind.is_open(to) => Some(What::Closed),
        _ => None,
    }
}

/// The mark of what somebody has read: what is one person's is so for that one alone.
fn mark_of(change: &ChangeHash, account: &str) -> Vec<u8> {
    [change.as_slice(), account.as_bytes()].concat()
}

/// Puts a message. What was read stays so.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn put(connection: &Connection, item: &Item, account: &str) -> Result<()> {
    let since = if account.is_empty() {
        since(connection)?
    } else {
        0
    };
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO inbox (record, change, what, about, account, at_ms, seen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6,
                 ?6 < ?7 OR EXISTS (SELECT 1 FROM noticed WHERE change IN (?2, ?8)))",
        )?
        .execute(params![
            item.record,
            item.change,
            item.what.word(),
            item.about,
            account,
            item.at_ms,
            since,
            mark_of(&item.change, account),
        ])?;
    Ok(())
}

fn since(connection: &Connection) -> Result<u64> {
    let since = store::meta(connection, SINCE)?;
    let since = since.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(since.and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// From now on messages are new here: what happened before is no news to whoever begins with this device.
///
/// # Errors
/// The store cannot be written.
pub fn begin(connection: &Connection, now_ms: u64) -> Result<()> {
    store::set_meta(connection, SINCE, now_ms.to_string().as_bytes())
}

/// How many messages somebody has not read, up to [`COUNTED`].
///
/// # Errors
/// The store cannot be read.
pub fn unread(connection: &Connection, account: &str) -> Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM inbox WHERE account = '' AND seen = 0 LIMIT ?2))
              + (SELECT count(*) FROM (SELECT 1 FROM inbox WHERE account = ?1 AND seen = 0 LIMIT ?2))",
    )?;
    let count: u64 = statement.query_row(params![account, COUNTED], |row| row.get(0))?;
    Ok(count.min(COUNTED))
}

/// Messages to somebody that they have read, or have not, newest first, after a place.
///
/// # Errors
/// The store cannot be read.
pub fn list(
    connection: &Connection,
    account: &str,
    seen: bool,
    after: Option<&(u64, ChangeHash, String)>,
    most: usize,
) -> Result<Vec<Item>> {
    let mut found = own(connection, "", seen, after, most)?;
    found.extend(own(connection, account, seen, after, most)?);
    found.sort_by(|one, other| other.place().cmp(&one.place()));
    found.truncate(most);
    Ok(found)
}

/// Messages to this account alone.
///
/// # Errors
/// The store cannot be read.
pub fn own(
    connection: &Connection,
    account: &str,
    seen: bool,
    after: Option<&(u64, ChangeHash, String)>,
    most: usize,
) -> Result<Vec<Item>> {
    let (at_ms, change, what) = match after {
        Some((at_ms, change, what)) => (
            i64::try_from(*at_ms).unwrap_or(i64::MAX),
            *change,
            what.as_str(),
        ),
        None => (i64::MAX, [0; 32], ""),
    };
    let mut statement = connection.prepare_cached(
        "SELECT record, change, what, about, at_ms FROM inbox
         WHERE account = ?1 AND seen = ?2 AND (at_ms, change, what) < (?3, ?4, ?5)
         ORDER BY at_ms DESC, change DESC, what DESC LIMIT ?6",
    )?;
    let range = params![account, seen, at_ms, change, what, most as u64];
    let rows = statement.query_map(range, |row| {
        let what = What::of(&row.get::<_, String>(2)?);
        let item = |what| {
            Ok(Item {
                record: row.get(0)?,
                change: row.get(1)?,
                what,
                about: row.get(3)?,
                at_ms: row.get(4)?,
            })
        };
        what.map(item).transpose()
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<Option<Item>>>>()?;
    Ok(rows.into_iter().flatten().collect())
}

/// Somebody has read what is told of a change.
///
/// # Errors
/// The store cannot be written.
pub fn notice(connection: &Connection, account: &str, change: &ChangeHash) -> Result<()> {
    for whose in ["", account] {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO noticed (change)
                 SELECT ?3 FROM inbox WHERE change = ?1 AND account = ?2 LIMIT 1",
            )?
            .execute(params![change, whose, mark_of(change, whose)])?;
        connection
            .prepare_cached("UPDATE inbox SET seen = 1 WHERE change = ?1 AND account = ?2")?
            .execute(params![change, whose])?;
    }
    Ok(())
}

/// Somebody has read everything.
///
/// # Errors
/// The store cannot be written.
pub fn notice_all(connection: &Connection, account: &str) -> Result<()> {
    for whose in ["", account] {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO noticed (change)
                 SELECT CAST(change || CAST(?1 AS BLOB) AS BLOB) FROM inbox WHERE account = ?1 AND seen = 0",
            )?
            .execute([whose])?;
        connection
            .prepare_cached("UPDATE inbox SET seen = 1 WHERE account = ?1 AND seen = 0")?
            .execute([whose])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    fn item(change: u8, what: What, at_ms: u64) -> Item {
        Item {
            record: 1,
            change: [change; 32],
            what,
            about: String::new(),
            at_ms,
        }
    }

    #[test]
    fn what_is_one_persons_is_read_by_that_one_and_stays_so() -> Result<()> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(include_str!("../store/schema.sql"))?;
        let mine = item(1, What::Undone, 5);
        let shared = item(2, What::Answered, 7);
        for account in ["a", "b"] {
            put(&connection, &mine, account)?;
        }
        put(&connection, &shared, "")?;
        assert_eq!(
            (unread(&connection, "a")?, unread(&connection, "b")?),
            (2, 2)
        );
        notice(&connection, "a", &mine.change)?;
        put(&connection, &mine, "a")?;
        put(&connection, &mine, "b")?;
        assert_eq!(
            (unread(&connection, "a")?, unread(&connection, "b")?),
            (1, 2)
        );
        let listed = list(&connection, "b", false, None, 9)?;
        assert_eq!(listed, [shared.clone(), mine.clone()]);
        let (at_ms, change, what) = shared.place();
        let after = (at_ms, change, what.to_owned());
        assert_eq!(list(&connection, "b", false, Some(&after), 9)?, [mine]);
        notice_all(&connection, "b")?;
        put(&connection, &shared, "")?;
        put(&connection, &item(1, What::Undone, 5), "b")?;
        assert_eq!(
            (unread(&connection, "a")?, unread(&connection, "b")?),
            (0, 0)
        );
        begin(&connection, 10)?;
        put(&connection, &item(3, What::Answered, 9), "")?;
        put(&connection, &item(4, What::Unkept, 9), "b")?;
        assert_eq!(
            (unread(&connection, "a")?, unread(&connection, "b")?),
            (0, 1)
        );
        Ok(())
    }

    #[test]
    fn the_steps_that_are_told_of_are_there() {
        for event in SUPPLEMENTS.iter().chain(&SENT_BACK) {
            let mut kinds = Catalogue::current().kinds();
            assert!(
                kinds.any(|kind| kind.transition(event).is_some()),
                "{event}"
            );
        }
        let opinion = Catalogue::current().kind("opinion");
        let opinion = opinion.unwrap_or_else(|| unreachable!());
        let to = |event: &str| {
            opinion
                .transition(event)
                .and_then(|step| step.to.as_deref())
        };
        for (event, from, what) in [
            ("approve", "review", Some(What::Answered)),
            ("close", "answered", Some(What::Closed)),
            ("refuse", "registered", Some(What::Refused)),
            ("accept", "registered", None),
        ] {
            let moved = (from, to(event).unwrap_or(from));
            assert_eq!(said(opinion, event, moved, false), what, "{event}");
        }
        // What goes on to be done is no answer yet.
        let service = Catalogue::current().kind("service_request");
        let service = service.unwrap_or_else(|| unreachable!());
        let assigned = ("accepted", "assigned");
        assert_eq!(said(service, "assign", assigned, false), None);
        let done = said(service, "finish", ("assigned", "done"), false);
        assert_eq!(done, Some(What::Answered));
        let back = ("in_progress", "return_pending");
        assert_eq!(said(opinion, "return", back, true), Some(What::Returned));
        assert_eq!(said(opinion, "return", back, false), None);
    }
}
