//! What a report knows: the rows of the records that had arrived by its cut-off, and whom the names in them mean.
//!
//! Test data is in no report, unless one of test data is asked for, which has nothing else in it.
//!
//! A record is known from the arrival of its founding entry on (DOMAIN 0.2), which every replica of its space has alike; what is in it is
//! what is known of it now. What has not arrived is counted apart. Never known are drafts, what was thrown away, and what does not count by
//! rights (DOMAIN 12.1.7).
//!
//! Owns reading. Must not decide what counts for a figure: that is each report's. Memory: one row of facts a record of the kinds that a
//! report looks at.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::{Membership, SiteKind};
use lianxin_protocol::catalogue::{Catalogue, FieldType, Home, Kind};
use lianxin_protocol::deadline::Calendar;
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::RecordId;
use lianxin_protocol::space::{Space, SpaceId};
use lianxin_protocol::text;
use rusqlite::{Connection, params};

use super::Asked;
use super::facts::Facts;
pub use super::facts::Step;
use super::set::Reach;
use crate::actor;
use crate::clock::{self, Beijing, day_number, unix_ms};
use crate::error::Result;
use crate::journal::Overview;
use crate::records::calendar;
use crate::store::packed;

/// Statuses of what is in no figure: it was never registered.
const NEVER: [&str; 2] = ["draft", "discarded"];

/// A record as reports read it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number in this store.
    pub key: i64,
    /// The record.
    pub id: RecordId,
    /// Its space.
    pub space: SpaceId,
    /// Its kind.
    pub kind: &'static Kind,
    /// 登记编号.
    pub number: Option<String>,
    /// The title, where the kind has one that is kept from nobody.
    pub title: Option<String>,
    /// Folded status.
    pub status: String,
    /// When it came to the hub, in Unix milliseconds.
    pub arrived_ms: u64,
    /// The steps that count, in causal order.
    pub steps: Vec<Step>,
    /// Fields in conflict.
    pub conflicts: i64,
    /// Steps that have no effect (未生效操作).
    pub without_effect: i64,
    facts: Facts,
    /// Found once: every figure asks for it.
    counts_on: Option<String>,
}

/// The Beijing day that a date, a month (its first day) or a time says.
pub(crate) fn day_of(text: &str) -> Option<String> {
    match text.len() {
        7 => Some(format!("{text}-01")).filter(|it| day_number(it).is_some()),
        10 => day_number(text).map(|_| text.to_owned()),
        _ => match unix_ms(text) {
            Some(at) => Some(Beijing::of(at).iso_date()),
            None => text
                .get(..10)
                .filter(|day| day_number(day).is_some())
                .map(str::to_owned),
        },
    }
}

impl Row {
    /// The value of a field that is a text, a choice, a date or a reference.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.facts.text(key).filter(|it| !it.is_empty())
    }

    /// The value of a number, 0 where there is none.
    #[must_use]
    pub fn int(&self, key: &str) -> i64 {
        self.facts.int(key).unwrap_or_default()
    }

    /// Whether a mark is set.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.facts.mark(key).unwrap_or_default()
    }

    /// The items of a set, in its order.
    pub fn items(&self, key: &str) -> impl Iterator<Item = &str> {
        self.facts.items(key)
    }

    /// The Beijing day of a field that is a date, a month (its first day) or a time.
    #[must_use]
    pub fn day(&self, key: &str) -> Option<String> {
        day_of(self.text(key)?)
    }

    /// The day by which it belongs to a period: the first field that its kind counts on and that it has. Where none says a day it is the one on
    /// which it was written down, but for what stands in a register, which was there before.
    #[must_use]
    pub fn counts_on(&self) -> Option<&str> {
        self.counts_on.as_deref()
    }

    fn find_day(&self, moves: &Moves) -> Option<String> {
        let written = || Beijing::of(self.recorded_ms()).iso_date();
        let says = |key: &String| match key.as_str() {
            "recorded_at" => Some(written()),
            key => self.day(key),
        };
        let counts_on = &self.kind.counts_on;
        let said = moves
            .day(&self.steps)
            .or_else(|| counts_on.iter().find_map(says));
        let is_register = || self.kind.statuses.iter().any(|status| status.gone);
        said.or_else(|| (!counts_on.is_empty() && !is_register()).then(written))
    }

    /// The first step of this code that was taken.
    #[must_use]
    pub fn first(&self, event: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.event == event)
    }

    /// The last step among these codes.
    #[must_use]
    pub fn last(&self, events: &[&str]) -> Option<&Step> {
        let mut steps = self.steps.iter().rev();
        steps.find(|step| events.contains(&step.event.as_str()))
    }

    /// Whether a step was taken.
    #[must_use]
    pub fn took(&self, event: &str) -> bool {
        self.first(event).is_some()
    }

    /// Whether it stands at one of these statuses.
    #[must_use]
    pub fn stands(&self, statuses: &[&str]) -> bool {
        statuses.contains(&self.status.as_str())
    }

    /// When it was recorded, by the recording device's clock, in Unix milliseconds.
    #[must_use]
    pub const fn recorded_ms(&self) -> u64 {
        self.id.made_ms()
    }

    /// Whether it was written down on a later day than it happened (补录).
    #[must_use]
    pub fn is_late_entry(&self) -> bool {
        let recorded = Beijing::of(self.recorded_ms()).iso_date();
        self.counts_on().is_some_and(|on| *on < *recorded)
    }

    /// Whether times by the clock that it was recorded by are doubted.
    #[must_use]
    pub const fn clock_is_suspect(&self) -> bool {
        clock::is_suspect(self.recorded_ms(), self.arrived_ms)
    }
}

/// The steps that move records of a kind to another day, each with the datum that says it, where the kind counts on a time of day: the step
/// does not say one, and so leaves the field alone.
struct Moves(Vec<(&'static str, &'static str)>);

impl Moves {
    fn of(kind: &'static Kind) -> Self {
        let first = kind.counts_on.first().and_then(|key| kind.field(key));
        let timed = first.is_some_and(|field| field.kind == FieldType::Time);
        let steps = kind.transitions.iter().filter(|_| timed);
        let moves = steps.filter_map(|step| Some((step.event.as_str(), step.redates.as_deref()?)));
        Self(moves.collect())
    }

    /// The day to which the last of them moved a record.
    fn day(&self, steps: &[Step]) -> Option<String> {
        let moved = |step: &Step| {
            let (_, datum) = self.0.iter().find(|(event, _)| *event == step.event)?;
            step.date(datum).map(str::to_owned)
        };
        steps.iter().rev().find_map(moved)
    }
}

/// Whose a name is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// A record of a register.
    Record(RecordId),
    /// A name that no register has, as it was typed.
    Name(String),
}

/// The records of a kind.
#[derive(Debug, Default)]
struct Rows {
    /// In the order of ids.
    rows: Vec<Row>,
    /// The records by all that others may call them: folded name, or number; none where it is of several. Most kinds are never
    /// asked for by a name.
    by_name: OnceCell<BTreeMap<String, Option<RecordId>>>,
}

impl Rows {
    fn named(&self, folded: &str) -> Option<RecordId> {
        let by_name = self.by_name.get_or_init(|| {
            let mut by_name = BTreeMap::new();
            for row in &self.rows {
                take_names(row, &mut by_name);
            }
            by_name
        });
        by_name.get(folded).copied().flatten()
    }
}

fn take_names(row: &Row, by_name: &mut BTreeMap<String, Option<RecordId>>) {
    let alias = row.kind.alias();
    let others = alias.into_iter().flat_map(|alias| row.items(&alias.key));
    let names = row.title.as_deref().into_iter().chain(others);
    let mut own: BTreeSet<String> = names.map(text::folded).collect();
    own.extend(row.number.as_deref().map(text::folded));
    for name in own {
        by_name
            .entry(name)
            .and_modify(|it| *it = it.filter(|id| *id == row.id))
            .or_insert(Some(row.id));
    }
}

/// The devices of a report and when something of them last arrived: what may be missing in it.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The device.
    pub device: DeviceKey,
    /// Its code, as its numbers have it.
    pub code: String,
    /// Its site's name.
    pub site: String,
    /// When something of it last arrived at the hub, in Unix milliseconds.
    pub last_ms: Option<u64>,
}

/// A site as reports name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its id.
    id: String,
    /// Its space.
    pub space: SpaceId,
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Whether it is a work station.
    pub is_station: bool,
}

/// What was read for one report.
#[derive(Debug)]
pub struct Known {
    /// The cut-off, in Unix milliseconds.
    pub as_of_ms: u64,
    /// No cut-off was asked for: it is moved to the last arrival.
    is_open: bool,
    /// Whether it is of test data alone.
    test_data: bool,
    /// How many records of these kinds are of the other sort: test data where it is not asked for.
    pub others: u64,
    rows: BTreeMap<&'static str, Rows>,
    /// Kinds that this device has no records of, whatever the sub-district has.
    away: BTreeSet<&'static str>,
    /// Whether this device has the records of all sites.
    pub other_sites: Reach,
    /// How many records of these kinds are here that have not arrived at all.
    pub waiting: u64,
    /// What arrived after the cut-off.
    pub later: Vec<Row>,
    /// Numbers of what was thrown away, and of drafts: they are given to nothing else.
    pub burned: Vec<String>,
    /// Numbers of what is of the other sort.
    pub elsewhere: Vec<String>,
    /// Test data of all kinds that were read.
    tests: BTreeSet<RecordId>,
    /// The kind of each record, and its place among them.
    by_id: OnceCell<BTreeMap<RecordId, (&'static str, usize)>>,
    /// The sites of the network, in the order of their codes.
    pub sites: Vec<Site>,
    /// Places of sites in this order by their codes and names: of several the first.
    by_word: BTreeMap<String, usize>,
    by_space: BTreeMap<SpaceId, usize>,
    /// Devices that enter records, by code.
    pub watermark: Vec<Mark>,
    /// The name of the network: whose report it is.
    pub unit: String,
    /// Which days people work, as the network has published them.
    pub calendar: Calendar,
}

impl Known {
    /// Reads the records of these kinds that had arrived by a time, with the registers that name people and places.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(
        connection: &Connection,
        overview: &Overview,
        kinds: &[&'static str],
        asked: &Asked,
    ) -> Result<Self> {
        const REGISTERS: [&str; 4] = ["deputy", "org", "community", "site"];
        let sites = sites(overview);
        let mut known = Self {
            as_of_ms: asked.as_of_ms,
            is_open: asked.is_open,
            test_data: asked.test_data,
            others: 0,
            rows: BTreeMap::new(),
            away: BTreeSet::new(),
            other_sites: match sites.len() < overview.authority().sites().len() {
                true => Reach::Elsewhere,
                false => Reach::Here,
            },
            waiting: 0,
            later: Vec::new(),
            burned: Vec::new(),
            elsewhere: Vec::new(),
            tests: BTreeSet::new(),
            by_id: OnceCell::new(),
            by_word: by_word(&sites),
            by_space: by_space(&sites),
            sites,
            watermark: Vec::new(),
            unit: String::new(),
            calendar: calendar::known(connection, overview)?.calendar,
        };
        known.unit = known.whose_report(overview);
        let wanted: BTreeSet<_> = kinds.iter().chain(&REGISTERS).copied().collect();
        // What belongs to a record is of its sort: that one is read first.
        let belongs = |code: &&str| {
            let kind = Catalogue::current().kind(code);
            kind.is_some_and(|kind| kind.parent.is_some())
        };
        let (parts, wholes): (Vec<_>, Vec<_>) = wanted.into_iter().partition(belongs);
        let hub = Space::Hub.id(&overview.identity().network);
        let readable = overview.authority().readable(&overview.identity().key());
        if !readable.contains(&hub) {
            let stays = |code: &&&str| stays_at_the_hub(code);
            known.away = kinds.iter().filter(stays).copied().collect();
        }
        for code in wholes.into_iter().chain(parts) {
            let counted = kinds.contains(&code);
            known.read_kind(connection, code, counted)?;
        }
        known.watermark = watermark(connection, overview, known.as_of_ms)?;
        // Of the devices of other sites this one knows nothing.
        let names: BTreeSet<&String> = known.sites.iter().map(|site| &site.name).collect();
        known.watermark.retain(|mark| names.contains(&mark.site));
        Ok(known)
    }

    /// Whose report it is: that of the network, or of the one site whose records this device reads.
    fn whose_report(&self, overview: &Overview) -> String {
        let network = overview.authority().names().0;
        match &*self.sites {
            [site] if overview.authority().sites().len() > 1 => format!("{network} {}", site.name),
            _ => network.to_owned(),
        }
    }

    fn read_kind(
        &mut self,
        connection: &Connection,
        code: &'static str,
        counted: bool,
    ) -> Result<()> {
        let Some(kind) = Catalogue::current().kind(code) else {
            return Ok(());
        };
        let mut statement = connection.prepare_cached(
            "SELECT id, record, space, number, iif(veil IS NULL, title, NULL), status, facts, steps, conflicts, arrived
             FROM records INDEXED BY records_kind WHERE kind = ?1 AND held IS NULL",
        )?;
        let mut found = statement.query([code])?;
        let moves = Moves::of(kind);
        let (mut rows, mut plain, mut facts) = (Vec::new(), Vec::new(), Facts::default());
        while let Some(row) = found.next()? {
            let status: String = row.get(5)?;
            unpack_into(row, 6, &mut plain)?;
            facts.read(&plain);
            let of = kind.parent.as_ref().and_then(|of| facts.text(&of.field));
            let of = of.and_then(RecordId::parse);
            let test = facts.mark("test_data") == Some(true)
                || of.is_some_and(|of| self.tests.contains(&of));
            if test {
                self.tests.insert(RecordId(row.get(1)?));
            }
            let number: Option<String> = row.get(3)?;
            if NEVER.contains(&status.as_str()) {
                self.burned.extend(number);
                continue;
            }
            // Whom a name means does not hang on it.
            if counted && test != self.test_data {
                self.elsewhere.extend(number);
                self.others += 1;
                continue;
            }
            let arrived: i64 = row.get(9)?;
            if arrived == i64::MAX {
                self.waiting += u64::from(counted);
                continue;
            }
            unpack_into(row, 7, &mut plain)?;
            let (steps, without_effect) = Step::read_all(&plain);
            let mut row = Row {
                key: row.get(0)?,
                id: RecordId(row.get(1)?),
                space: SpaceId(row.get(2)?),
                kind,
                number,
                title: row.get(4)?,
                status,
                arrived_ms: u64::try_from(arrived).unwrap_or_default(),
                steps,
                without_effect,
                conflicts: row.get(8)?,
                facts: facts.clone(),
                counts_on: None,
            };
            row.counts_on = row.find_day(&moves);
            if self.is_open {
                self.as_of_ms = self.as_of_ms.max(row.arrived_ms);
            }
            if row.arrived_ms <= self.as_of_ms {
                rows.push(row);
            } else if counted {
                self.later.push(row);
            }
        }
        rows.sort_by_key(|row| row.id);
        let by_name = OnceCell::new();
        self.rows.insert(code, Rows { rows, by_name });
        Ok(())
    }

    /// The rows of a kind, in the order of ids.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &Row> {
        let rows = self.rows.get(kind);
        rows.into_iter().flat_map(|it| &it.rows)
    }

    /// Whether this device has the records of a kind.
    #[must_use]
    pub fn reach(&self, kind: &str) -> Reach {
        match self.away.contains(kind) {
            true => Reach::Elsewhere,
            false => Reach::Here,
        }
    }

    /// The kinds whose records this device does not have, by their codes.
    #[must_use]
    pub fn away(&self) -> Vec<String> {
        let kinds = self.away.iter();
        kinds.map(|code| (*code).to_owned()).collect()
    }

    /// The kind of a record, and its place there.
    fn place(&self, id: &RecordId) -> Option<(&'static str, usize)> {
        let by_id = self.by_id.get_or_init(|| {
            let kinds = self.rows.iter();
            let places = kinds.flat_map(|(kind, of)| {
                let rows = of.rows.iter().enumerate();
                rows.map(|(place, row)| (row.id, (*kind, place)))
            });
            places.collect()
        });
        by_id.get(id).copied()
    }

    /// What is known of a record.
    #[must_use]
    pub fn row(&self, id: &RecordId) -> Option<&Row> {
        let (kind, place) = self.place(id)?;
        self.rows.get(kind)?.rows.get(place)
    }

    /// The record that a reference names among these kinds, given by id, number, name or other name.
    #[must_use]
    pub fn named(&self, given: &str, kinds: &[&str]) -> Option<RecordId> {
        let id = RecordId::parse(given).or_else(|| RecordId::parse(&text::plain(given)));
        if let Some(id) = id {
            let known = self.place(&id);
            return known.filter(|(kind, _)| kinds.contains(kind)).map(|_| id);
        }
        let name = text::folded(given);
        let of = |kind: &&str| self.rows.get(kind)?.named(&name);
        kinds.iter().find_map(of)
    }

    /// Whose a name is among these kinds.
    #[must_use]
    pub fn whose(&self, given: &str, kinds: &[&str]) -> Whose {
        match self.named(given, kinds) {
            Some(id) => Whose::Record(id),
            None => Whose::Name(text::folded(given)),
        }
    }

    /// What a record or a name is called in a table.
    #[must_use]
    pub fn called(&self, whose: &Whose) -> String {
        match whose {
            Whose::Record(id) => {
                let row = self.row(id);
                let name = row.and_then(|row| row.title.as_ref().or(row.number.as_ref()));
                name.cloned().unwrap_or_else(|| id.hyphenated())
            }
            Whose::Name(name) => name.clone(),
        }
    }

    /// What a reference is called, however it was given.
    #[must_use]
    pub fn call(&self, given: &str, kinds: &[&str]) -> String {
        match self.named(given, kinds) {
            Some(id) => self.called(&Whose::Record(id)),
            None => given.to_owned(),
        }
    }

    /// The site of a record: the one that it names, else the one in whose space it stands.
    #[must_use]
    pub fn site_of(&self, row: &Row) -> Option<&Site> {
        let by_name = row.text("site").and_then(|given| self.site_named(given));
        by_name.or_else(|| self.sites.get(*self.by_space.get(&row.space)?))
    }

    /// Whether a record was made by the sub-district itself: it stands in the space of no site.
    #[must_use]
    pub fn is_of_office(&self, row: &Row) -> bool {
        !self.by_space.contains_key(&row.space)
    }

    /// The site of the network that a reference means, given by its record, code or name.
    #[must_use]
    pub fn site_named(&self, given: &str) -> Option<&Site> {
        let id = self.named(given, &["site"]);
        let record = id.and_then(|id| self.row(&id));
        let code = record.and_then(|it| it.text("code")).unwrap_or(given);
        let places = [code, given].map(|word| self.by_word.get(word));
        self.sites.get(*places.into_iter().flatten().min()?)
    }
}

fn by_word(sites: &[Site]) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for (place, site) in sites.iter().enumerate() {
        for word in [&site.id, &site.code, &site.name] {
            places.entry(word.clone()).or_insert(place);
        }
    }
    places
}

fn by_space(sites: &[Site]) -> BTreeMap<SpaceId, usize> {
    // Of several in one space the first is found.
    let sites = sites.iter().enumerate().rev();
    sites.map(|(place, site)| (site.space, place)).collect()
}

/// Unpacks a column; what is not there, or damaged, gives nothing.
fn unpack_into(row: &rusqlite::Row<'_>, column: usize, plain: &mut Vec<u8>) -> Result<()> {
    plain.clear();
    if let Some(packed) = row
        .get_ref(column)?
        .as_blob_or_null()
        .map_err(rusqlite::Error::from)?
    {
        packed::unpack_into(packed, plain);
    }
    Ok(())
}

/// Whether records of a kind are made at the sub-district alone, and stand in its own space.
fn stays_at_the_hub(code: &str) -> bool {
    let kind = Catalogue::current().kind(code);
    kind.is_some_and(|kind| kind.home == Home::Device && !actor::is_made_at_sites(kind))
}

/// The sites whose records this device reads.
fn sites(overview: &Overview) -> Vec<Site> {
    let sites = overview.authority().sites().iter();
    let network = overview.identity().network;
    let readable = overview.authority().readable(&overview.identity().key());
    let mut sites: Vec<_> = sites
        .map(|(id, site)| Site {
            id: id.to_string(),
            space: Space::Site(*id).id(&network),
            code: site.code.clone(),
            name: site.name.clone(),
            is_station: site.kind == SiteKind::Workstation,
        })
        .filter(|site| readable.contains(&site.space))
        .collect();
    sites.sort_by(|a, b| a.code.cmp(&b.code));
    sites
}

/// The devices of sites, with when something of them last arrived by the cut-off.
fn watermark(connection: &Connection, overview: &Overview, as_of_ms: u64) -> Result<Vec<Mark>> {
    let mut statement = connection.prepare_cached(
        "SELECT max(at_ms) FROM logs CROSS JOIN arrivals ON arrivals.log = logs.log
         WHERE logs.device = ?1 AND at_ms <= ?2",
    )?;
    let sites = overview.authority().sites();
    let mut marks = Vec::new();
    for (device, member) in overview.authority().members() {
        let site = member.grant.site.and_then(|site| sites.get(&site));
        let (Some(site), Membership::Active) = (site, &member.membership) else {
            continue;
        };
        marks.push(Mark {
            device: *device,
            code: member.grant.device_code.clone(),
            site: site.name.clone(),
            last_ms: statement.query_row(params![device.0, as_of_ms], |row| row.get(0))?,
        });
    }
    marks.sort_by(|a, b| a.code.cmp(&b.code));
    Ok(marks)
}
