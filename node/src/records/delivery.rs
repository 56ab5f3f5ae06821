//! How far records have come on their way to the hub, told by receipts alone: the state of each, what
//! still waits, and the figures that every page shows. Nothing here is ever a guess.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use lianxin_protocol::authority::Reason;
use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::log::{LogId, RecordId};
use lianxin_protocol::receipt::Receipt;
use rusqlite::{Connection, params};

use super::{Filter, Listed, touches};
use crate::error::Result;
use crate::journal::segments::{entry_key, split_key};
use crate::journal::{Books, Journal, Overview, ROWS_AT_ONCE, read_receipt, withheld_at};

/// How far a record has come, the same words everywhere 状态.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Committed here 已存本机.
    Saved,
    /// Shown to the hub, no receipt covers it yet 传送中.
    Sending,
    /// A verified receipt says that every entry is stored at the hub, none held back 中心已收.
    Received,
    /// A verified receipt says that they are merged and visible there as well 中心可查.
    Merged,
    /// The answer has gone back to the person 已反馈.
    Answered,
    /// The matter was refused, with a reason 被退回.
    Refused,
    /// Some entry is held back, with a reason 已隔离.
    Quarantined,
}

impl State {
    /// All, in the order of the way.
    pub const ALL: [Self; 7] = [
        Self::Saved,
        Self::Sending,
        Self::Received,
        Self::Merged,
        Self::Answered,
        Self::Refused,
        Self::Quarantined,
    ];

    /// How the row of a record says how far it has come, whatever its workflow says.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Saved => 0,
            Self::Sending => 1,
            Self::Received => 2,
            Self::Merged | Self::Answered | Self::Refused => 3,
            Self::Quarantined => 4,
        }
    }

    pub(super) const fn of(code: u8) -> Self {
        match code {
            1 => Self::Sending,
            2 => Self::Received,
            3 => Self::Merged,
            4 => Self::Quarantined,
            _ => Self::Saved,
        }
    }

    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Sending => "sending",
            Self::Received => "received",
            Self::Merged => "merged",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A log, and the last of a record's entries there.
pub(super) type Last = (i64, u64);

/// Receipts and trust by which the states of records are told. It reads what it is asked for.
#[derive(Debug)]
pub struct Coverage {
    overview: Overview,
    receipts: RefCell<BTreeMap<i64, Option<Rc<Receipt>>>>,
    hub: bool,
}

impl Coverage {
    /// As of an overview.
    #[must_use]
    pub fn of(overview: &Overview) -> Self {
        Self {
            overview: overview.clone(),
            receipts: RefCell::default(),
            hub: overview.identity().authority.is_some(),
        }
    }

    /// The newest receipt of a log, of one that needs any.
    fn receipt(&self, connection: &Connection, log: i64) -> Result<Option<Rc<Receipt>>> {
        if let Some(known) = self.receipts.borrow().get(&log) {
            return Ok(known.clone());
        }
        let receipt = if self.hub || self.is_hubs(log) {
            None
        } else {
            read_receipt(connection, log)?.map(Rc::new)
        };
        self.receipts.borrow_mut().insert(log, receipt.clone());
        Ok(receipt)
    }

    /// Whether a log needs no receipt: it is the hub's own.
    fn is_hubs(&self, log: i64) -> bool {
        let log = self.overview.log_id(log);
        log.is_some_and(|(_, log)| self.overview.is_hubs(&log.author.device))
    }

    /// How far a log is on its way at this moment.
    fn in_flight(&self, log: i64) -> u64 {
        let log = self.overview.log_id(log);
        log.map_or(0, |(id, _)| self.overview.in_flight(&id))
    }

    /// How far the record of a row has come, whatever its workflow says: what is stored of it, and what is on its way or
    /// waits to be merged at this moment.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn reached(&self, connection: &Connection, row: &Listed) -> Result<State> {
        match row.reached {
            State::Saved if self.overview.sends() => Ok(self.judged(connection, row.key)?.0),
            // Its row may be one of those that do not say yet what a receipt says.
            State::Saved | State::Sending | State::Received
                if self.overview.unstated().is_some() =>
            {
                Ok(self.judged(connection, row.key)?.0)
            }
            State::Merged if self.hub && is_stale(connection, row.key)? => Ok(State::Received),
            reached => Ok(reached),
        }
    }

    /// How far a record has come, and for one that is held back, why.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn judged(&self, connection: &Connection, record: i64) -> Result<(State, Option<Reason>)> {
        let (mut state, reason) = self.stored(connection, record)?;
        if state == State::Saved && self.overview.sends() && self.is_sent(connection, record)? {
            state = State::Sending;
        }
        if self.hub && state == State::Merged && is_stale(connection, record)? {
            state = State::Received;
        }
        Ok((state, reason))
    }

    /// Whether all of a record that no receipt covers is on its way at this moment.
    fn is_sent(&self, connection: &Connection, record: i64) -> Result<bool> {
        for key in touches(connection, record)? {
            let (log, seq) = split_key(key);
            let receipt = self.receipt(connection, log)?;
            let covered = receipt.is_some_and(|it| it.stored.len > seq) || self.is_hubs(log);
            if !covered && self.in_flight(log) <= seq {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How far a record has come of which everything counts and is here, up to these entries of each log, and the log whose
    /// receipts alone will say more, with the last of its entries there. No state where a receipt says otherwise of some entry:
    /// then each has to be looked at.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn of_all_to(
        &self,
        connection: &Connection,
        ends: &BTreeMap<i64, u64>,
    ) -> Result<(Option<State>, Option<Last>)> {
        let mut state = Some(State::Merged);
        let (mut sole, mut needed) = (None, 0);
        for (log, last) in ends {
            if self.hub || self.is_hubs(*log) {
                continue;
            }
            needed += 1;
            sole = Some((*log, *last));
            match self.receipt(connection, *log)? {
                Some(receipt) if !receipt.exceptions.is_empty() => state = None,
                Some(receipt) if receipt.stored.len > *last => {
                    if receipt.judged_len <= *last && state == Some(State::Merged) {
                        state = Some(State::Received);
                    }
                }
                _ => state = state.map(|_| State::Saved),
            }
        }
        Ok((state, sole.filter(|_| needed == 1)))
    }

    /// How far a record has come by what is stored: what its row says of it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn stored(&self, connection: &Connection, record: i64) -> Result<(State, Option<Reason>)> {
        let mut statement =
            connection.prepare_cached("SELECT held, lost FROM records WHERE id = ?1")?;
        let row = statement.query_row([record], |row| Ok((row.get(0)?, row.get(1)?)));
        let (held, lost): (Option<u8>, u64) = row?;
        if let Some(code) = held {
            let reason = Reason::of(code).unwrap_or(Reason::NewerVersion);
            return Ok((State::Quarantined, Some(reason)));
        }
        if lost > 0 {
            return Ok((State::Quarantined, Some(Reason::Forked)));
        }
        let mut rewritten =
            connection.prepare_cached("SELECT 1 FROM rewritten WHERE entry = ?1")?;
        let (mut state, mut waits) = (State::Merged, false);
        for key in touches(connection, record)? {
            let (log, seq) = split_key(key);
            // A fork or a revocation is known here as well as at the hub, whose last word may be older
            // or out of this device's reach. Of its own rights a device may know less than the hub.
            let held = withheld_at(connection, key)?;
            let receipt = self.receipt(connection, log)?;
            let excepted = receipt
                .as_ref()
                .is_some_and(|it| it.reason(seq).is_some() || it.stored.len <= seq);
            if (held.is_some() || excepted) && rewritten.exists([key])? {
                continue;
            }
            waits |= held == Some(Reason::Waiting);
            let final_here =
                |reason| matches!(reason, Reason::Forked | Reason::Revoked | Reason::Guard);
            if let Some(reason) = held
                && !lacks(reason)
                && (self.hub || final_here(reason))
            {
                return Ok((State::Quarantined, held));
            }
            if self.hub && held.is_some_and(lacks) {
                state = State::Sending;
            }
            if self.hub || self.is_hubs(log) {
                continue;
            }
            match receipt {
                Some(receipt) if receipt.reason(seq).is_some_and(lacks) => {
                    if state != State::Saved {
                        state = State::Sending;
                    }
                }
                Some(receipt) if receipt.reason(seq).is_some() => {
                    return Ok((State::Quarantined, receipt.reason(seq)));
                }
                Some(receipt) if receipt.stored.len > seq => {
                    if receipt.judged_len <= seq && state == State::Merged {
                        state = State::Received;
                    }
                }
                _ => state = State::Saved,
            }
        }
        if waits && state == State::Merged {
            // Whatever the hub can see: it is not whole where it is looked at.
            state = State::Received;
        }
        Ok((state, waits.then_some(Reason::Waiting)))
    }

    /// The receipts that cover a record's entries.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of_record(&self, connection: &Connection, record: i64) -> Result<Vec<Rc<Receipt>>> {
        let logs: BTreeSet<i64> = touches(connection, record)?
            .into_iter()
            .map(|key| split_key(key).0)
            .collect();
        let mut receipts = Vec::new();
        for log in logs {
            receipts.extend(self.receipt(connection, log)?);
        }
        Ok(receipts)
    }
}

/// Whether a record waits to be merged.
fn is_stale(connection: &Connection, record: i64) -> Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM stale WHERE record = ?1")?;
    Ok(statement.exists([record])?)
}

/// Says in the row of a record how far it has come.
///
/// # Errors
/// The store cannot be written.
pub(super) fn restate(connection: &Connection, coverage: &Coverage, record: i64) -> Result<()> {
    let (reached, _) = coverage.stored(connection, record)?;
    connection
        .prepare_cached("UPDATE records SET reached = ?2 WHERE id = ?1 AND reached <> ?2")?
        .execute(params![record, reached.code()])?;
    Ok(())
}

/// Where a receipt says something else than the one before it: all of a log that one of them covers and the other does not.
fn differs(before: Option<&Receipt>, now: &Receipt) -> Vec<Range<u64>> {
    let lens = |it: &Receipt| [it.stored.len, it.judged_len.min(it.stored.len)];
    let (before, now) = (before.map_or([0, 0], lens), lens(now));
    let spans = before.into_iter().zip(now).map(|(a, b)| a.min(b)..a.max(b));
    spans.filter(|range| !range.is_empty()).collect()
}

/// Says in the rows of all records that a new receipt of a log speaks otherwise of than the one before how far they have come:
/// of so many of those whose only log it is in one statement, and of the others one by one. Gives of how many of those: where that
/// is all that it may, some may be left for [`tidy`].
///
/// # Errors
/// The store cannot be written.
pub(crate) fn receipted(
    connection: &Connection,
    overview: &Overview,
    log: i64,
    (before, now): (Option<&Receipt>, &Receipt),
    most: usize,
) -> Result<usize> {
    let judged = now.judged_len.min(now.stored.len);
    let said = state(connection, log, now, at_once(now, most))?;
    // A hub that was put back has less than it had: then a row may say too much, whichever logs its record has.
    let has_less = before
        .is_some_and(|before| before.stored.len > now.stored.len || before.judged_len > judged);
    let mut others = BTreeSet::new();
    for range in differs(before, now) {
        if has_less {
            others.extend(records_in(connection, log, &range)?);
        } else {
            others.extend(several_in(connection, log, &range)?);
        }
    }
    for receipt in before.into_iter().chain([now]) {
        others.extend(excepted(connection, log, receipt)?);
    }
    let coverage = Coverage::of(overview);
    others
        .into_iter()
        .try_for_each(|record| restate(connection, &coverage, record))?;
    Ok(said)
}

/// Says in the rows of records whose only log this is how far its receipt says that they have come, of so many at most whose rows
/// say less. Gives of how many. Of what the receipt excepts it does not say, and whoever calls this has to.
fn state(connection: &Connection, log: i64, receipt: &Receipt, most: usize) -> Result<usize> {
    let stored = receipt.stored.len;
    let mut said = 0;
    // The furthest first, so that no row is written twice.
    for (len, state, before) in [
        (receipt.judged_len.min(stored), State::Merged, "0, 1, 2"),
        (stored, State::Received, "0, 1"),
    ] {
        let sql = format!(
            "UPDATE records SET reached = ?3 WHERE id IN (
                 SELECT id FROM records INDEXED BY records_sole
                 WHERE sole = ?1 AND reached IN ({before}) AND last < ?2
                     AND kind IS NOT NULL AND reached <> 3 LIMIT ?4)"
        );
        let left = i64::try_from(most - said).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(&sql)?;
        said += statement.execute(params![log, len, state.code(), left])?;
    }
    Ok(said)
}

/// Of how many rows one transaction says what a receipt does. What it excepts is said again behind those, so that a log of which it
/// excepts something is not cut: the same rows would come up for ever.
const fn at_once(receipt: &Receipt, most: usize) -> usize {
    if receipt.exceptions.is_empty() {
        most
    } else {
        usize::MAX
    }
}

/// Goes on with what receipts and arrivals said of more rows than one transaction writes. Says whether some are left.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn tidy(connection: &Connection, journal: &mut Journal) -> Result<bool> {
    Ok(state_more(connection, journal)? || journal.place_more(connection)?)
}

fn state_more(connection: &Connection, journal: &mut Journal) -> Result<bool> {
    let mut most = ROWS_AT_ONCE;
    while let Some(log) = journal.unstated() {
        if most == 0 {
            journal.records_changed();
            return Ok(true);
        }
        let Some(receipt) = read_receipt(connection, log)? else {
            journal.stated(log);
            continue;
        };
        let at_once = at_once(&receipt, most);
        let said = state(connection, log, &receipt, at_once)?;
        if said > 0 {
            let coverage = Coverage::of(journal);
            excepted(connection, log, &receipt)?
                .into_iter()
                .try_for_each(|record| restate(connection, &coverage, record))?;
            journal.records_changed();
        }
        if said < at_once {
            journal.stated(log);
        }
        most = most.saturating_sub(said);
    }
    Ok(false)
}

/// The records of which a receipt excepts entries.
fn excepted(connection: &Connection, log: i64, receipt: &Receipt) -> Result<BTreeSet<i64>> {
    let mut records = BTreeSet::new();
    for exception in &receipt.exceptions {
        records.extend(records_in(connection, log, &exception.range)?);
    }
    Ok(records)
}

/// Says in the rows of all records of a log of which a receipt is gone how far they have come.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn unreceipted(connection: &Connection, overview: &Overview, log: i64) -> Result<()> {
    let coverage = Coverage::of(overview);
    records_in(connection, log, &(0..u64::MAX))?
        .into_iter()
        .try_for_each(|record| restate(connection, &coverage, record))
}

/// The records of which entries stand in a stretch of a log.
fn records_in(connection: &Connection, log: i64, range: &Range<u64>) -> Result<Vec<i64>> {
    let mut statement = connection
        .prepare_cached("SELECT DISTINCT record FROM touches WHERE entry >= ?1 AND entry < ?2")?;
    let records = statement.query_map(keys_of(log, range)?, |row| row.get(0))?;
    Ok(records.collect::<Result<_, _>>()?)
}

/// Those of them that are not all the way, and of which more than one log has to be looked at.
fn several_in(connection: &Connection, log: i64, range: &Range<u64>) -> Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT touches.record FROM records INDEXED BY records_several
             CROSS JOIN touches INDEXED BY touches_record ON touches.record = records.id
         WHERE records.kind IS NOT NULL AND records.sole IS NULL AND records.reached <> 3
             AND touches.entry >= ?1 AND touches.entry < ?2",
    )?;
    let records = statement.query_map(keys_of(log, range)?, |row| row.get(0))?;
    Ok(records.collect::<Result<_, _>>()?)
}

/// Takes into rows that were made a while ago what receipts have said since.
///
/// # Errors
/// The store cannot be written.
pub(super) fn all_receipted(connection: &Connection, overview: &Overview) -> Result<()> {
    if overview.identity().authority.is_some() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached("SELECT log FROM receipts ORDER BY log")?;
    let logs = statement.query_map([], |row| row.get(0))?;
    for log in logs.collect::<Result<Vec<i64>, _>>()? {
        if let Some(receipt) = read_receipt(connection, log)? {
            receipted(connection, overview, log, (None, &receipt), usize::MAX)?;
        }
    }
    Ok(())
}

/// The keys between which the entries of a stretch of a log lie.
fn keys_of(log: i64, range: &Range<u64>) -> Result<[i64; 2]> {
    let end = range.end.min((1 << 40) - 1);
    Ok([entry_key(log, range.start.min(end))?, entry_key(log, end)?])
}

/// Whether an entry is not held back, and not whole at the hub either: what it builds on, or its payload, has not come.
const fn lacks(reason: Reason) -> bool {
    matches!(reason, Reason::Waiting | Reason::Missing)
}

/// State and shown status of a record together.
#[must_use]
pub fn shown(reached: State, kind: &str, status: &str) -> (State, String) {
    let at_hub = matches!(reached, State::Received | State::Merged);
    let Some(kind) = Catalogue::current().kind(kind) else {
        return (reached, status.to_owned());
    };
    let shown = kind.shown_status(status, at_hub).to_owned();
    let state = match (
        reached,
        kind.status(status)
            .and_then(|status| status.tells.as_deref()),
    ) {
        (State::Merged, Some("answered")) => State::Answered,
        (State::Merged, Some("refused")) => State::Refused,
        (reached, _) => reached,
    };
    (state, shown)
}

/// A row of a list, how far its record has come, and the state and status that are shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The row.
    pub row: Listed,
    /// How far the record has come, whatever its workflow says.
    pub reached: State,
    /// The state that is shown.
    pub state: State,
    /// The status that is shown.
    pub status: String,
}

/// What of the rows can be in a state and be shown in a status, by what is stored of each.
fn candidates(coverage: &Coverage, wanted: Option<State>, status: Option<&str>) -> Vec<State> {
    let mut candidates = vec![
        State::Saved,
        State::Sending,
        State::Received,
        State::Merged,
        State::Quarantined,
    ];
    let arrived = |it: &State| matches!(it, State::Received | State::Merged);
    candidates.retain(|it| match wanted {
        None => true,
        // What is on its way at this moment is stored as not having left.
        Some(State::Sending) => matches!(it, State::Saved | State::Sending),
        // At the hub that is what waits to be merged.
        Some(State::Received) if coverage.hub => arrived(it),
        Some(State::Answered | State::Refused) => *it == State::Merged,
        Some(wanted) => *it == wanted,
    });
    if let Some(status) = status {
        // Whether a record is shown in a derived status depends on whether it has arrived.
        let shown = |kind: &Kind, at_hub| {
            let stored = kind.status(status)?.stands_for.as_deref();
            Some(kind.shown_status(stored.unwrap_or(status), at_hub) == status)
        };
        let any = |at_hub| {
            let mut kinds = Catalogue::current().kinds();
            kinds.any(|kind| shown(kind, at_hub) == Some(true))
        };
        let (there, here) = (any(true), any(false));
        candidates.retain(|it| if arrived(it) { there } else { here });
    }
    candidates
}

/// A page of records in a state, and where the list goes on. What is on its way at this moment is not stored, so rows of
/// another state are passed over until the page is full, or so many were looked at that a page is begun anew.
///
/// # Errors
/// The store cannot be read.
pub fn list(
    connection: &Connection,
    coverage: &Coverage,
    mut filter: Filter,
    wanted: Option<State>,
) -> Result<(Vec<Shown>, Option<RecordId>)> {
    /// Rows looked at for one page at most.
    const LOOKED_AT: usize = 2_000;
    if wanted.is_some() || filter.status.is_some() {
        let candidates = candidates(coverage, wanted, filter.status.as_deref());
        if candidates.is_empty() {
            return Ok((Vec::new(), None));
        }
        filter.reached = Some(candidates);
    }
    let mut found = Vec::new();
    let mut looked_at = 0;
    loop {
        let batch = super::list(connection, &filter)?;
        let last = batch.len() < filter.limit;
        looked_at += batch.len();
        for row in batch {
            let reached = coverage.reached(connection, &row)?;
            let (state, status) = shown(reached, &row.kind, &row.status);
            filter.after = Some(row.id);
            let fits = wanted.is_none_or(|it| it == state)
                && filter.status.as_ref().is_none_or(|it| *it == status);
            if fits {
                found.push(Shown {
                    row,
                    reached,
                    state,
                    status,
                });
            }
            if found.len() == filter.limit {
                return Ok((found, filter.after));
            }
        }
        if last {
            return Ok((found, None));
        }
        if looked_at >= LOOKED_AT {
            return Ok((found, filter.after));
        }
    }
}

/// How what this device knows stands, in the few figures that every page shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivery {
    /// Records of which some entry of this device is not covered by a receipt.
    pub unreceipted: u64,
    /// When the oldest such entry was made, by this device's clock, in Unix milliseconds.
    pub oldest_ms: Option<u64>,
    /// When the hub received what its newest receipt to this device covers, by the hub's clock.
    pub last_receipt_ms: Option<u64>,
    /// When any other device was last spoken to, in Unix milliseconds.
    pub last_contact_ms: Option<u64>,
    /// Records with fields in conflict.
    pub conflicts: u64,
    /// Records, or at a station entries, that are held back.
    pub quarantined: u64,
}

impl Delivery {
    /// Reads the figures.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(connection: &Connection, books: &mut Books) -> Result<Self> {
        let mut delivery = Self {
            conflicts: connection
                .prepare_cached("SELECT count(*) FROM records WHERE conflicts > 0")?
                .query_row([], |row| row.get(0))?,
            quarantined: quarantined(connection, books)?,
            last_contact_ms: connection
                .prepare_cached("SELECT max(last_seen_ms) FROM peers")?
                .query_row([], |row| row.get(0))?,
            ..Self::default()
        };
        if books.identity().authority.is_some() {
            return Ok(delivery);
        }
        let mut records = BTreeSet::new();
        for own in own_logs(connection, books)? {
            delivery.last_receipt_ms = delivery.last_receipt_ms.max(own.received_at_ms);
            let touched = own.uncovered(connection)?;
            let first = touched.iter().map(|(_, entry)| *entry).min();
            if let Some(first) = first {
                let made = books.entry(connection, &own.id, split_key(first).1)?;
                let made_ms = made.header.hlc >> 16;
                delivery.oldest_ms = Some(delivery.oldest_ms.map_or(made_ms, |it| it.min(made_ms)));
            }
            records.extend(touched.into_iter().map(|(record, _)| record));
        }
        delivery.unreceipted = records.len() as u64;
        Ok(delivery)
    }
}

/// A log that this device writes, and how much of it a receipt covers.
struct OwnLog {
    id: LogId,
    key: i64,
    stored: u64,
    len: u64,
    received_at_ms: Option<u64>,
}

fn own_logs(connection: &Connection, overview: &Overview) -> Result<Vec<OwnLog>> {
    overview
        .own_logs()
        .map(|(id, log)| {
            let receipt = read_receipt(connection, log.key)?;
            Ok(OwnLog {
                id: *id,
                key: log.key,
                stored: receipt.as_ref().map_or(0, |receipt| receipt.stored.len),
                len: log.end.len,
                received_at_ms: receipt.map(|receipt| receipt.received_at_ms),
            })
        })
        .collect()
}

impl OwnLog {
    /// Records with entries beyond the receipt, each with the first of these.
    fn uncovered(&self, connection: &Connection) -> Result<Vec<(i64, i64)>> {
        let mut statement = connection.prepare_cached(
            "SELECT record, min(entry) FROM touches WHERE entry >= ?1 AND entry < ?2
                 AND entry NOT IN (SELECT entry FROM rewritten)
             GROUP BY record",
        )?;
        let range = params![
            entry_key(self.key, self.stored)?,
            entry_key(self.key, self.len)?
        ];
        let rows = statement.query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Records that wait for a receipt, each with the time of its oldest uncovered entry by this device's
/// clock in Unix milliseconds, oldest first.
///
/// # Errors
/// The store cannot be read.
pub fn waiting(connection: &Connection, books: &mut Books, most: usize) -> Result<Vec<(i64, u64)>> {
    let mut oldest: BTreeMap<i64, u64> = BTreeMap::new();
    if books.identity().authority.is_some() {
        return Ok(Vec::new());
    }
    for own in own_logs(connection, books)? {
        for (record, entry) in own.uncovered(connection)?.into_iter().take(most) {
            let made = books.entry(connection, &own.id, split_key(entry).1)?;
            let made_ms = made.header.hlc >> 16;
            let known = oldest.entry(record).or_insert(made_ms);
            *known = made_ms.min(*known);
        }
    }
    let mut waiting: Vec<_> = oldest.into_iter().collect();
    waiting.sort_by_key(|(record, since)| (*since, *record));
    waiting.truncate(most);
    Ok(waiting)
}

/// Records with an entry that does not count, by this device's own judgement, or by the hub's: those that somebody has
/// to look at. What its device has written again is not among them.
fn quarantined(connection: &Connection, overview: &Overview) -> Result<u64> {
    // In the words of the index, which leaves out what waits.
    let own: u64 = connection
        .prepare_cached(
            "SELECT count(*) FROM (
                 SELECT touches.record FROM exceptions JOIN touches
                     ON touches.entry >= (exceptions.log << 40) + exceptions.first
                    AND touches.entry < (exceptions.log << 40) + min(exceptions.after, 1 << 39)
                     WHERE touches.entry NOT IN (SELECT entry FROM rewritten)
                 UNION SELECT record FROM held INDEXED BY held_back
                     WHERE reason <> 8 AND entry NOT IN (SELECT entry FROM rewritten)
                 UNION SELECT id FROM records INDEXED BY records_lost WHERE lost > 0)",
        )?
        .query_row([], |row| row.get(0))?;
    if own > 0 || overview.identity().authority.is_some() {
        return Ok(own);
    }
    let mut rewritten = connection
        .prepare_cached("SELECT count(*) FROM rewritten WHERE entry >= ?1 AND entry < ?2")?;
    let mut held = 0_u64;
    let mut excepted =
        connection.prepare_cached("SELECT log FROM receipts WHERE excepted > 0 ORDER BY log")?;
    let logs = excepted.query_map([], |row| row.get(0))?;
    for log in logs.collect::<Result<Vec<i64>, _>>()? {
        let receipt = read_receipt(connection, log)?;
        for exception in receipt.into_iter().flat_map(|receipt| receipt.exceptions) {
            let range = exception.range;
            let end = range.end.min((1 << 40) - 1);
            let keys = [entry_key(log, range.start)?, entry_key(log, end)?];
            let again: u64 = rewritten.query_row(keys, |row| row.get(0))?;
            held = held.saturating_add((range.end - range.start).saturating_sub(again));
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_what_is_held_back_names_what_waits_by_its_number() {
        let schema = include_str!("../store/schema.sql");
        let words = format!("WHERE reason <> {};", Reason::Waiting.code());
        assert!(schema.contains(&format!("INDEX held_back ON held (record) {words}")));
    }
}
