//! The write path: the only code that can add an entry, and the only one that knows the tables of logs.
//!
//! Local saves, entries from peers and authority orders meet here, inside a transaction that the caller
//! opened and commits. What is local is projected in the same transaction; what comes from others is
//! made durable first (segment, parts, position) and indexed, merged and projected behind it. Nothing
//! here is acknowledged or sent before that commit: [`Journal::flush`] gives what may be said after it.
//!
//! The journal keeps the logs' positions and the open ends of its own logs in memory. When a
//! transaction fails, [`Journal::reload`] reads them from the store again.
//!
//! Rejected: one row an entry. Packed segments of up to 64 entries, as they came from the wire, make
//! ingest a tenth of the work and the file half the size; erasable payloads are rows of their own.

mod archive;
mod arrivals;
mod asked;
mod claims;
mod damage;
mod forks;
mod ingest;
mod judge;
mod letters;
mod offered;
mod outgoing;
mod overview;
mod payloads;
mod quarantine;
mod quota;
mod receipts;
pub mod refill;
mod resume;
pub(crate) mod segments;
mod skew;
mod touches;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use lianxin_protocol::arrival;
use lianxin_protocol::authority::{Authority, Order, Reason};
use lianxin_protocol::batch;
use lianxin_protocol::catalogue::Terms;
use lianxin_protocol::identity::{DeviceKey, Signer};
use lianxin_protocol::limits;
use lianxin_protocol::log::{
    Author, Entry, EntryId, EntryKind, Genesis, GenesisReason, LogId, NewEntry, Position, RecordId,
    Run, Tail,
};
use lianxin_protocol::message::Tip;
use lianxin_protocol::receipt::{Exception, Receipt};
use lianxin_protocol::space::{NetworkId, Space, SpaceId};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::{Code, Error, Result};
use crate::records::indexed::Indexed;
use crate::records::{Counted, calendar};
use crate::search;
use crate::store::{self, packed};

pub use archive::Page;
use arrivals::Unplaced;
pub use damage::Damage;
pub use forks::Proven;
pub(crate) use forks::{Aside, Frozen, aside};
pub use ingest::{Ingested, Which};
use offered::{Found, Mark, Offered, Seal};
pub use overview::{Books, Overview};
pub use quarantine::HeldBack;
pub use quota::Unusual;
pub(crate) use receipts::read_receipt;
pub use resume::Resumed;
use segments::entry_key;
use touches::{Noted, Touches, Waiting};

pub use touches::Basis;
pub(crate) use touches::basis;
pub use verify::Report;

/// Who this device is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The network that it belongs to.
    pub network: NetworkId,
    /// Signs its logs.
    pub device: Signer,
    /// On the hub: signs the authority log and receipts.
    pub authority: Option<Signer>,
    /// Random id of this store.
    pub epoch: [u8; 16],
}

/// Key of the `meta` table.
const EPOCH: &str = "epoch";

impl Identity {
    /// The device's public key.
    #[must_use]
    pub fn key(&self) -> DeviceKey {
        self.device.public()
    }

    /// Writes the secrets into a new store.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn create(&self, connection: &Connection) -> Result<()> {
        store::set_meta(connection, "network", &self.network.0)?;
        store::set_meta(connection, "device_seed", &self.device.seed())?;
        store::set_meta(connection, EPOCH, &self.epoch)?;
        if let Some(authority) = &self.authority {
            store::set_meta(connection, "authority_seed", &authority.seed())?;
        }
        Ok(())
    }

    fn open(connection: &Connection) -> Result<Self> {
        fn array<const N: usize>(connection: &Connection, key: &str) -> Result<Option<[u8; N]>> {
            let value = store::meta(connection, key)?;
            Ok(value.and_then(|value| <[u8; N]>::try_from(value).ok()))
        }
        let missing = || Error::new(Code::NotEnrolled, "this store belongs to no network yet");
        Ok(Self {
            network: NetworkId(array(connection, "network")?.ok_or_else(missing)?),
            device: Signer::from_seed(&array(connection, "device_seed")?.ok_or_else(missing)?),
            authority: array(connection, "authority_seed")?.map(|seed| Signer::from_seed(&seed)),
            epoch: array(connection, EPOCH)?.ok_or_else(missing)?,
        })
    }
}

/// What is known of one log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Its number in this store.
    pub(crate) key: i64,
    /// Who writes it.
    pub(crate) author: Author,
    /// Stored so far.
    pub(crate) end: Position,
    /// What its last entry cites.
    pub(crate) authority_len: u32,
    /// Length and head of the authority log that its genesis cites.
    pub(crate) first: (u32, [u8; 32]),
    /// First entry of its last segment.
    pub(crate) last_first: u64,
    /// What follows from the earliest proven fork.
    pub(crate) forked: Option<Frozen>,
    /// Known to touches up to here.
    pub(crate) indexed_len: u64,
    /// Merged up to here.
    pub(crate) judged_len: u64,
}

impl Log {
    /// How its segments are found and checked.
    pub(crate) const fn place<'a>(&self, id: &'a LogId) -> segments::Place<'a> {
        segments::Place {
            key: self.key,
            log: id,
            author: self.author,
        }
    }

    /// As peers compare it.
    pub(crate) fn tip(&self) -> Tip {
        let position = self.forked.map_or(self.end, |frozen| frozen.tip);
        Tip {
            len: position.len,
            head: position.head,
            frozen: self.forked.is_some(),
        }
    }
}

/// What may be said once the transaction is durable.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// Logs that grew or froze.
    pub tips: Vec<(SpaceId, LogId, Tip)>,
    /// Receipts that were signed, or came and verified.
    pub receipts: Vec<Receipt>,
    /// The authority log grew: rights must be looked at again.
    pub authority: bool,
    /// Something that pages show changed.
    pub records: bool,
    /// Entries wait to be indexed or merged.
    pub stale: bool,
    /// Entries wait to be indexed of logs of which more is on its way.
    pub awaited: bool,
    /// Rows say less of their records than receipts and arrivals do.
    pub untidy: bool,
    /// Logs that were damaged here, and from where on they are wanted of whoever has them.
    pub wanted: Vec<(LogId, u64)>,
}

impl Moved {
    /// Takes in what a later transaction moved.
    pub fn join(&mut self, later: Self) {
        self.tips.extend(later.tips);
        self.receipts.extend(later.receipts);
        self.wanted.extend(later.wanted);
        self.authority |= later.authority;
        self.records |= later.records;
        self.stale = later.stale;
        self.awaited = later.awaited;
        self.untidy |= later.untidy;
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tips.is_empty() && self.receipts.is_empty() && !self.authority && !self.records
    }
}

/// Entries of this device's own logs, and what the hub says of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnCoverage {
    /// Entries written.
    pub entries: u64,
    /// Entries that a verified receipt calls stored.
    pub receipted: u64,
    /// Entries that a verified receipt holds back.
    pub quarantined: u64,
}

/// The write path of one store.
#[derive(Debug)]
pub struct Journal {
    /// What reading needs.
    books: Books,
    dirty: BTreeSet<LogId>,
    offered: Offered,
    /// When it was last told how far judging has come, while something is left.
    judging_told_ms: Option<u64>,
    /// How long logs are that a peer is sending right now.
    expected: BTreeMap<LogId, u64>,
    /// How far a log that is being sent has arrived, by the log whose last arrival says so.
    said: BTreeMap<LogId, (LogId, u64)>,
    /// By what dates are computed, once it was asked for, until a record that says so is written.
    terms: Option<Arc<Terms>>,
    hlc: u64,
    touched: BTreeSet<LogId>,
    unreceipted: BTreeSet<LogId>,
    /// Logs that are not indexed and judged to their ends, as of the last commit.
    behind: BTreeSet<LogId>,
    /// Logs of which this transaction stores something that came from elsewhere.
    arrived: BTreeSet<LogId>,
    /// Forked logs that this hub has not answered with a pin.
    unanswered: BTreeSet<LogId>,
    /// Devices that have begun a log because their store was put back or copied, and its incarnation.
    begun: BTreeSet<(DeviceKey, [u8; 16])>,
    /// The newest time of arrival that was given, in Unix milliseconds.
    arrival_ms: u64,
    /// Newest receipts that came before the order that began their epoch. Lost with the process: they are asked for
    /// again.
    set_aside: BTreeMap<LogId, Receipt>,
    moved: Moved,
    /// Logs of whose damage peers have not been told.
    untold: BTreeSet<LogId>,
    /// Logs of which a peer refused what it had from here, since the program was started.
    refused: BTreeSet<LogId>,
    /// What was stored and is not indexed yet.
    noted: Noted,
    waiting: Waiting,
    unplaced: Unplaced,
    /// Rows that this transaction may still write because of receipts and arrivals.
    rows_left: usize,
    /// It fills projections beside the store, and writes nothing there.
    is_shadow: bool,
}

impl std::ops::Deref for Journal {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.books
    }
}

impl std::ops::DerefMut for Journal {
    fn deref_mut(&mut self) -> &mut Books {
        &mut self.books
    }
}

impl Journal {
    /// Makes the tables' first rows and the files of what was offered of a new store.
    ///
    /// # Errors
    /// The store or the files cannot be written.
    pub fn create(connection: &Connection, directory: &Path, identity: &Identity) -> Result<()> {
        identity.create(connection)?;
        Offered::create(directory, &identity.key())
    }

    /// Reads what a store holds. A store that fell behind what it had offered, or was copied, will
    /// begin new logs when it writes next.
    ///
    /// # Errors
    /// The store cannot be read; [`Code::Offered`] when what it offered cannot.
    pub fn open(connection: &mut Connection, directory: &Path) -> Result<Self> {
        let (mut journal, found) = Self::unread(connection, directory)?;
        Self::read_again(connection)?;
        journal.reload(connection)?;
        if journal.find_own(found)? {
            journal.found_anew(connection)?;
        }
        Ok(journal)
    }

    /// A journal on the store that is attached to a connection, with projections of the connection's own that are empty: it
    /// indexes everything anew, and writes nothing to the store.
    pub(crate) fn shadow(connection: &Connection, directory: &Path) -> Result<Self> {
        let (mut journal, _) = Self::unread(connection, directory)?;
        journal.read_all(connection)?;
        journal.is_shadow = true;
        journal.overview.for_each_log(|_, log| {
            log.indexed_len = 0;
            log.judged_len = 0;
        });
        let logs: Vec<_> = journal.logs.keys().copied().collect();
        journal.note_behind(logs);
        Ok(journal)
    }

    /// A journal that has read nothing but who it belongs to and what was offered.
    fn unread(connection: &Connection, directory: &Path) -> Result<(Self, Found)> {
        let identity = Identity::open(connection)?;
        let (offered, found) = Offered::open(directory, &identity.key())?;
        let journal = Self {
            books: Books::new(Overview::new(identity)),
            dirty: BTreeSet::new(),
            offered,
            expected: BTreeMap::new(),
            said: BTreeMap::new(),
            terms: None,
            judging_told_ms: None,
            hlc: 0,
            touched: BTreeSet::new(),
            unreceipted: BTreeSet::new(),
            behind: BTreeSet::new(),
            arrived: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            begun: BTreeSet::new(),
            arrival_ms: 0,
            set_aside: BTreeMap::new(),
            moved: Moved::default(),
            untold: BTreeSet::new(),
            refused: BTreeSet::new(),
            noted: Noted::default(),
            waiting: Waiting::default(),
            unplaced: Unplaced::default(),
            rows_left: ROWS_AT_ONCE,
            is_shadow: false,
        };
        Ok((journal, found))
    }

    /// Finds which own logs go on, by what of them was offered. Says whether the store was put back or copied.
    fn find_own(&mut self, found: Found) -> Result<bool> {
        let own = self.own_logs().map(|(log, known)| (*log, known.end));
        let own: Vec<_> = own.collect();
        // rule:new-log-copied
        if found != Found::Whole {
            self.offered.seal(Seal::Sealed, own.iter().copied())?;
            let closed = own.iter().map(|(log, _)| (*log, GenesisReason::Clone));
            self.closed.extend(closed);
        }
        let stored = |log: &LogId| self.logs.get(log).map_or(0, |known| known.end.len);
        let lengths = self.offered.lengths(|log| self.logs.contains_key(log));
        self.lacking = lengths.filter(|(log, len)| stored(log) < *len).collect();
        let mut behind = Vec::new();
        for (log, end) in own {
            let Some(Mark { at, seal }) = self.offered.mark(&log) else {
                continue;
            };
            let is_behind = at.len > end.len || (at.len == end.len && at.head != end.head);
            if is_behind && seal == Seal::Open {
                behind.push((log, end));
            }
            if is_behind || seal != Seal::Open {
                // rule:new-log-restored
                self.closed.entry(log).or_insert(GenesisReason::Restore);
            }
        }
        let put_back = found != Found::Whole || !behind.is_empty();
        if !behind.is_empty() {
            self.offered.seal(Seal::Sealed, behind)?;
        }
        Ok(put_back)
    }

    /// Reads the logs from the store again, after a transaction failed, or when one of them is suspected of damage. What is
    /// damaged is cut first; a connection that has met a page which cannot be read is replaced.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn reload(&mut self, connection: &mut Connection) -> Result<()> {
        loop {
            let read = self.read_all(connection);
            if read.is_ok() && !self.is_suspicious() {
                return Ok(());
            }
            if !self.mend(connection)? {
                return read;
            }
        }
    }

    /// By what dates are computed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn terms(&mut self, connection: &Connection) -> Result<Arc<Terms>> {
        if let Some(known) = &self.terms {
            return Ok(Arc::clone(known));
        }
        let known = Arc::new(calendar::known(connection, self)?);
        self.terms = Some(Arc::clone(&known));
        Ok(known)
    }

    /// A record that dates are computed by is another now.
    pub(crate) fn forget_terms(&mut self) {
        self.terms = None;
    }

    /// Forgets what was read or noted of entries: they may be others now.
    fn forget_read(&mut self) {
        self.segments.clear();
        self.noted = Noted::default();
        self.waiting = Waiting::default();
    }

    fn read_all(&mut self, connection: &Connection) -> Result<()> {
        self.identity = Arc::new(Identity::open(connection)?);
        self.clear();
        self.dirty.clear();
        self.touched.clear();
        self.unreceipted.clear();
        self.arrived.clear();
        self.begun.clear();
        self.anew = letters::Anew::read(connection)?;
        self.count_twice(connection)?;
        self.forget_read();
        self.forget_terms();
        self.moved = Moved::default();
        self.unplaced = match self.identity.authority {
            None => Unplaced::unknown(),
            Some(_) => Unplaced::default(),
        };
        self.quota.roll_back();
        self.offered.take_back();
        self.read_damage(connection)?;
        let mut statement = connection.prepare_cached(
            "SELECT id, log, space, device, len, head, authority_len, last_first,
                    forked_at, indexed_len, judged_len, first_len, first_head, tip_len, tip_head
             FROM logs",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let log = LogId(row.get(1)?);
            if self.is_unreadable(&log) {
                continue;
            }
            let forked: Option<u64> = row.get(8)?;
            let forked = match forked {
                None => None,
                Some(at) => {
                    let (len, head) = (row.get(13)?, row.get(14)?);
                    Some(Frozen {
                        at,
                        tip: Position { len, head },
                    })
                }
            };
            let known = Log {
                key: row.get(0)?,
                author: Author {
                    space: SpaceId(row.get(2)?),
                    device: DeviceKey(row.get(3)?),
                },
                end: Position {
                    len: row.get(4)?,
                    head: row.get(5)?,
                },
                authority_len: row.get(6)?,
                first: (row.get(11)?, row.get(12)?),
                last_first: row.get(7)?,
                forked,
                indexed_len: row.get(9)?,
                judged_len: row.get(10)?,
            };
            // Which of their rows the last run left is not known.
            if self.identity.authority.is_none() {
                self.books.overview.unstated.insert(known.key);
            }
            self.insert(log, known);
        }
        drop(rows);
        drop(statement);
        self.behind.clear();
        let logs: Vec<_> = self.logs.keys().copied().collect();
        self.note_behind(logs);
        self.fold_authority(connection)?;
        self.claims = claims::read(connection)?;
        self.read_last_arrival(connection)?;
        let unanswered = self
            .logs
            .iter()
            .filter(|(id, log)| log.forked.is_some() && self.authority.pins(id).is_empty());
        self.unanswered = unanswered.map(|(id, _)| *id).collect();
        let own: Vec<_> = self.own_logs().map(|(log, _)| *log).collect();
        for log in own {
            self.open_tail(connection, &log)?;
        }
        Ok(())
    }

    // ---- getters ----

    /// What a record is shown as depends on another that has changed: it is merged again.
    pub(crate) fn merge_again(&mut self, connection: &Connection, record: i64) -> Result<()> {
        connection
            .prepare_cached("UPDATE records SET version = version + 1 WHERE id = ?1")?
            .execute([record])?;
        connection
            .prepare_cached("INSERT OR IGNORE INTO stale (record) VALUES (?1)")?
            .execute([record])?;
        self.moved.stale = true;
        Ok(())
    }

    /// Its row is made from all that is here of it.
    pub(crate) fn merged(
        &mut self,
        connection: &Connection,
        (key, record): (i64, &RecordId),
    ) -> Result<()> {
        connection
            .prepare_cached("DELETE FROM stale WHERE record = ?1")?
            .execute([key])?;
        self.waiting.merged(record);
        Ok(())
    }

    /// The same for all records of a kind.
    pub(crate) fn merge_kind_again(&mut self, connection: &Connection, kind: &str) -> Result<()> {
        connection
            .prepare_cached("UPDATE records SET version = version + 1 WHERE kind = ?1")?
            .execute([kind])?;
        let stale = connection
            .prepare_cached(
                "INSERT OR IGNORE INTO stale (record) SELECT id FROM records WHERE kind = ?1",
            )?
            .execute([kind])?;
        self.moved.stale |= stale > 0;
        Ok(())
    }

    /// Whether this fills projections beside the store, so that nothing else is to be written.
    pub(crate) const fn is_shadow(&self) -> bool {
        self.is_shadow
    }

    /// Counts them anew.
    pub(crate) fn count_twice(&mut self, connection: &Connection) -> Result<()> {
        self.twice = connection.query_row("SELECT count(*) FROM twice", [], |row| row.get(0))?;
        Ok(())
    }

    /// Has the merger look once more, though nothing waits to be merged.
    pub(crate) const fn look_again(&mut self) {
        self.moved.stale = true;
    }

    /// The rows of all records of a log say what its receipt says.
    pub(crate) fn stated(&mut self, log: i64) {
        self.books.overview.unstated.remove(&log);
    }

    /// Notes that something which pages show has changed.
    pub(crate) const fn records_changed(&mut self) {
        self.moved.records = true;
    }

    /// The transaction is durable.
    pub(crate) fn committed(&mut self) {
        self.untold.clear();
        self.quota.commit();
    }

    // ---- appending ----

    /// The next value of the hybrid clock: never behind the wall clock nor any value used before (Kulkarni et al., "Logical
    /// Physical Clocks", 2014), unless that was of a clock that was fast and has been set since: its times would be
    /// shown until they have come.
    pub fn tick(&mut self, now_ms: u64) -> u64 {
        let set_back = (self.hlc >> 16) > now_ms.saturating_add(skew::SKEW_MS);
        let before = if set_back { 0 } else { self.hlc };
        self.hlc = (now_ms << 16).max(before.saturating_add(1));
        self.hlc
    }

    /// The last value of the hybrid clock.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.hlc
    }

    /// This device's log of a space, begun if there is none: the actor of the next change.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn prepare(
        &mut self,
        connection: &Connection,
        space: SpaceId,
        now_ms: u64,
    ) -> Result<LogId> {
        let hlc = self.tick(now_ms);
        let device = self.identity.key();
        self.current_log(connection, space, &device, hlc)
    }

    /// Appends the entries of one save to this device's log of a space and indexes them. Gives the
    /// keys of the entries. The caller has checked that the device may write there.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn append(
        &mut self,
        connection: &Connection,
        space: SpaceId,
        group: Vec<NewEntry>,
        now_ms: u64,
    ) -> Result<Vec<i64>> {
        let hlc = self.tick(now_ms);
        let signer = if Space::Authority.id(&self.identity.network) == space {
            self.identity.authority.clone()
        } else {
            Some(self.identity.device.clone())
        };
        let signer =
            signer.ok_or_else(|| Error::new(Code::HubOnly, "this is written at the hub"))?;
        let log = self.current_log(connection, space, &signer.public(), hlc)?;
        let (cited, _) = self.authority.cited();
        let overview = &mut self.books.overview;
        let (Some(tail), Some(known)) = (overview.tails.get_mut(&log), overview.logs.get_mut(&log))
        else {
            return Err(Error::new(Code::Internal, "a log without its open end"));
        };
        let tail = Arc::make_mut(tail);
        let first = tail.end.len;
        let records: Vec<_> = group
            .iter()
            .map(|entry| (entry.kind, entry.record))
            .collect();
        let parts: Vec<_> = group
            .iter()
            .map(|entry| (entry.kind == EntryKind::Part).then(|| entry.payload.clone()))
            .collect();
        tail.push_group(group, hlc, cited);
        let all_indexed = known.indexed_len == known.end.len;
        known.end = tail.end;
        known.authority_len = cited;
        if all_indexed {
            known.indexed_len = tail.end.len;
        }
        let log_key = known.key;
        let indexed = |kind| {
            matches!(
                kind,
                EntryKind::Request | EntryKind::Arrival | EntryKind::Erase
            )
        };
        let indexed: Vec<_> = tail
            .entries
            .iter()
            .filter(|it| it.header.seq >= first && indexed(it.header.kind))
            .cloned()
            .collect();
        self.dirty.insert(log);
        let mut keys = Vec::with_capacity(records.len());
        let mut touches = Touches::default();
        for ((seq, (kind, record)), part) in (first..).zip(records).zip(parts) {
            let key = entry_key(log_key, seq)?;
            keys.push(key);
            if let Some(payload) = part {
                insert_part(connection, key, &payload)?;
            }
            touches.note(kind, &record, &log, key);
        }
        touches.write(connection, &space, &Waiting::default())?;
        for entry in &indexed {
            self.index_entry(connection, &space, log_key, entry)?;
        }
        Ok(keys)
    }

    /// Appends orders to the authority log, all or none; the hub alone can.
    ///
    /// # Errors
    /// Not the hub, or an order contradicts an earlier one: nothing was appended then.
    pub fn order(&mut self, connection: &Connection, orders: &[Order], now_ms: u64) -> Result<()> {
        let mut trial = Authority::clone(&self.authority);
        let signer = self.identity.authority.as_ref().map(Signer::public);
        let key = signer.ok_or_else(|| Error::new(Code::HubOnly, "orders are given at the hub"))?;
        if !self.gives_orders() {
            // A second authority log would have no effect, and nobody would notice.
            let message = "this hub was restored or copied: its authority log cannot go on here";
            return Err(Error::new(Code::NotResumed, message));
        }
        let payloads: Vec<_> = orders.iter().map(Order::encode).collect();
        for payload in &payloads {
            trial
                .apply(&EntryId([0; 32]), &key, Some(payload))
                .map_err(|error| {
                    Error::because(
                        Code::NotPermitted,
                        "the authority log refuses this order",
                        error,
                    )
                })?;
        }
        for payload in payloads {
            self.write_order(connection, payload, now_ms)?;
        }
        Ok(())
    }

    fn write_order(
        &mut self,
        connection: &Connection,
        payload: Vec<u8>,
        now_ms: u64,
    ) -> Result<()> {
        let space = Space::Authority.id(&self.identity.network);
        let entry = NewEntry::plain(EntryKind::Authority, payload);
        self.append(connection, space, vec![entry], now_ms)?;
        // Entries cite the state before them, so the fold follows the append; a new log's
        // genesis counts as an entry as well.
        self.catch_up_authority(connection)
    }

    /// This device's newest log of a space that may be continued, begun if there is none.
    fn current_log(
        &mut self,
        connection: &Connection,
        space: SpaceId,
        device: &DeviceKey,
        hlc: u64,
    ) -> Result<LogId> {
        let newest = self.newest_log(space, device);
        let newest = newest.map(|(id, log)| (*id, log.clone()));
        let (previous, reason) = match newest {
            None => (None, GenesisReason::New),
            Some((id, log)) => match self.closed.get(&id) {
                // rule:new-log-forked
                None if log.forked.is_some() => {
                    (Some((id, log.tip().position())), GenesisReason::Fork)
                }
                // rule:new-log-behind
                None if self.is_paused(&id) => {
                    (Some((id, log.tip().position())), GenesisReason::New)
                }
                // A successor's log is shorter than what this one cites; what a log cites never shrinks.
                // rule:new-log-succession
                None if log.authority_len > self.authority.cited().0 => {
                    (Some((id, log.tip().position())), GenesisReason::New)
                }
                None => return Ok(id),
                // rule:old-log-closed
                Some(reason) => (Some((id, log.tip().position())), *reason),
            },
        };
        let anew = matches!(reason, GenesisReason::Restore | GenesisReason::Clone);
        let anew = self
            .anew
            .as_ref()
            .filter(|_| anew && *device == self.identity.key());
        let anew = anew.map(|anew| anew.incarnation);
        let fresh = |it: &[u8; 16]| !self.logs.contains_key(&LogId::of(&space, device, it));
        let incarnation = match anew.filter(fresh) {
            Some(incarnation) => incarnation,
            None => crate::clock::random()?,
        };
        let first = self.authority.cited();
        // rule:new-log-names-old
        let genesis = Genesis {
            space,
            device: *device,
            incarnation,
            previous,
            reason,
            authority_head: first.1,
        };
        let tail = Tail::begin(&genesis, hlc, first.0);
        let log = tail.log;
        if reason != GenesisReason::New {
            tracing::warn!(
                ?reason,
                "this store was restored, copied or overtaken: a new log begins"
            );
        }
        self.insert_log(connection, &log, &tail.author, tail.end, first)?;
        self.tails.insert(log, Arc::new(tail));
        self.dirty.insert(log);
        Ok(log)
    }

    fn insert_log(
        &mut self,
        connection: &Connection,
        log: &LogId,
        author: &Author,
        end: Position,
        first: (u32, [u8; 32]),
    ) -> Result<i64> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO logs
                 (log, space, device, len, head, authority_len, first_len, first_head, last_first)
             VALUES (?1, ?2, ?3, 0, ?1, 0, ?4, ?5, 0)",
        )?;
        statement.execute(params![
            log.0,
            author.space.0,
            author.device.0,
            first.0,
            first.1
        ])?;
        let key = connection.last_insert_rowid();
        // The genesis belongs to no record, so it is indexed as soon as it is there.
        let indexed_len = end.len;
        let known = Log {
            key,
            author: *author,
            end,
            authority_len: 0,
            first,
            last_first: 0,
            forked: None,
            indexed_len,
            judged_len: 0,
        };
        self.insert(*log, known);
        Ok(key)
    }

    /// Reads the last segment of an own log back into its open end.
    fn open_tail(&mut self, connection: &Connection, log: &LogId) -> Result<()> {
        let Some(known) = self.logs.get(log) else {
            return Ok(());
        };
        let (author, end, place) = (known.author, known.end, known.place(log));
        let mut tail = Tail {
            log: *log,
            author,
            start: end,
            end,
            entries: Vec::new(),
        };
        if end.len > 0 {
            let segment = self.segments.containing(connection, place, end.len - 1)?;
            if segment.entries.len() < limits::BATCH_ENTRIES {
                tail.start = segment.start;
                tail.entries.clone_from(&segment.entries);
            }
            let hlc = segment.entries.iter().map(|entry| entry.header.hlc).max();
            self.hlc = self.hlc.max(hlc.unwrap_or_default());
        }
        self.tails.insert(*log, Arc::new(tail));
        Ok(())
    }

    /// Ends this device's log of a space, so that the next save begins another: what it wrote there does not count
    /// in some record, or it has written as much there as one log may.
    ///
    /// # Errors
    /// The file of offered positions cannot be written.
    pub fn begin_anew(&mut self, log: &LogId) -> Result<()> {
        self.close(*log, GenesisReason::New)
    }

    // ---- before the commit ----

    /// Signs and writes the open ends of own logs, signs receipts if this is the hub, and gives what
    /// may be said once the transaction is durable.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back and the journal reloaded.
    pub fn flush(&mut self, connection: &Connection, now_ms: u64) -> Result<Moved> {
        self.tell_damage();
        self.give_again(connection, now_ms)?;
        self.answer_forks(connection)?;
        self.give_letters(connection, now_ms)?;
        self.ask_for_letter(connection)?;
        self.write_arrivals(connection, now_ms)?;
        for log in std::mem::take(&mut self.dirty) {
            // A revoked device goes on recording; what it records is held back here as everywhere.
            let known = self.logs.get(&log).map(|known| known.end.len);
            if let Some(len) = known
                && !self.all_counts(&log)
            {
                self.judge_log(connection, &log, 0..len)?;
            }
            self.write_tail(connection, &log)?;
            self.touched.insert(log);
        }
        let touched = std::mem::take(&mut self.touched);
        for log in &touched {
            let Some(known) = self.logs.get(log) else {
                continue;
            };
            let mut statement = connection.prepare_cached(
                "UPDATE logs SET len = ?2, head = ?3, authority_len = ?4, last_first = ?5,
                                 indexed_len = ?6, judged_len = ?7, forked_at = ?8,
                                 tip_len = ?9, tip_head = ?10
                 WHERE id = ?1",
            )?;
            statement.execute(params![
                known.key,
                known.end.len,
                known.end.head,
                known.authority_len,
                known.last_first,
                known.indexed_len,
                known.judged_len,
                known.forked.map(|frozen| frozen.at),
                known.forked.map(|frozen| frozen.tip.len),
                known.forked.map(|frozen| frozen.tip.head),
            ])?;
            self.moved
                .tips
                .push((known.author.space, *log, known.tip()));
        }
        self.sign_receipts(connection, now_ms)?;
        self.offered.keep_given()?;
        self.note_behind(touched);
        for id in &self.behind {
            let log = self.books.logs.get(id);
            if let Some(log) = log.filter(|log| log.indexed_len < log.end.len) {
                let awaited = self.is_awaited(id, log);
                self.moved.stale |= !awaited;
                self.moved.awaited |= awaited;
            }
        }
        Ok(std::mem::take(&mut self.moved))
    }

    /// Looks which of these logs are not indexed and judged to their ends.
    fn note_behind(&mut self, logs: impl IntoIterator<Item = LogId>) {
        for id in logs {
            let log = self.books.logs.get(&id);
            if log.is_some_and(|log| log.judged_len < log.end.len) {
                self.behind.insert(id);
            } else {
                self.behind.remove(&id);
            }
        }
    }

    fn write_tail(&mut self, connection: &Connection, log: &LogId) -> Result<()> {
        let Some(tail) = self.tails.remove(log) else {
            return Ok(());
        };
        let mut tail = Arc::unwrap_or_clone(tail);
        let signer = self.signer(&tail.author)?;
        let (authority, hlc) = (self.authority.cited(), self.hlc);
        let key = self.logs.get(log).map_or(0, |log| log.key);
        loop {
            let rest = tail.entries.split_off(run_len(&tail.entries));
            let end = rest.first().map_or(tail.end, |next| Position {
                len: next.header.seq,
                head: next.header.prev,
            });
            for entry in tail
                .entries
                .iter_mut()
                .filter(|entry| entry.header.kind == EntryKind::Part)
            {
                // The payload is a row already.
                entry.payload = None;
            }
            let full = tail.entries.len() >= limits::BATCH_ENTRIES || !rest.is_empty();
            let open = Tail {
                start: end,
                end: tail.end,
                entries: rest,
                ..tail.clone_empty()
            };
            let kept = if full { open } else { tail.clone() };
            let run = Tail { end, ..tail }.sign(&signer, authority, hlc);
            let first = run.run().start;
            insert_run(connection, key, run.run())?;
            if let Some(known) = self.logs.get_mut(log) {
                known.last_first = first.len;
            }
            tail = kept;
            if !full || tail.entries.is_empty() {
                break;
            }
        }
        self.tails.insert(*log, Arc::new(tail));
        Ok(())
    }

    fn signer(&self, author: &Author) -> Result<Signer> {
        let keys = [
            Some(&self.identity.device),
            self.identity.authority.as_ref(),
        ];
        let signer = keys
            .into_iter()
            .flatten()
            .find(|key| key.public() == author.device);
        signer
            .cloned()
            .ok_or_else(|| Error::new(Code::Internal, "a log of another device"))
    }

    // ---- offering ----

    /// Makes durable that entries of an own log up to `position` are about to be shown to a peer.
    ///
    /// # Errors
    /// The file cannot be written; the entries must not be sent.
    pub fn offer(&mut self, log: &LogId, position: Position) -> Result<()> {
        if self
            .logs
            .get(log)
            .is_some_and(|known| self.is_own(&known.author))
        {
            self.offered.raise(*log, position)?;
            self.in_flight.insert(*log, position.len);
        }
        Ok(())
    }

    /// The last number of a series that this device has given, whatever its store says.
    pub(crate) fn last_number(&self, series: &str, year: u16) -> u32 {
        self.offered.last_number(series, year)
    }

    /// Notes a number that this transaction gives: durable before the transaction is.
    pub(crate) fn give_number(&mut self, series: &str, year: u16, number: u32) {
        self.offered.give(series, year, number);
    }

    /// A session ended: what it was sending and no receipt covers is not on its way any more, nor what it was sent.
    pub fn line_ended(&mut self) {
        self.in_flight.clear();
        self.expected.clear();
        self.said.clear();
    }

    /// Notes that a peer which sends a log has so many entries of it.
    pub fn expect(&mut self, log: &LogId, len: u64) {
        if self.logs.contains_key(log) {
            self.expected.insert(*log, len);
        }
    }

    /// Notes what entries that were stored say of logs that are on their way from here.
    fn hear(&mut self, log: &LogId, entries: &[Entry]) {
        let arrivals = entries.iter().rev();
        let arrival = arrivals
            .filter(|it| it.header.kind == EntryKind::Arrival)
            .find_map(|it| arrival::decode(it.payload.as_deref()?).ok());
        let sent = arrival.into_iter().flatten();
        let mut sent = sent.filter(|it| self.books.in_flight(&it.log) > 0);
        if let Some(it) = sent.next() {
            self.said.insert(*log, (it.log, it.position.len));
        }
    }

    /// Whether more of a log is on its way: a peer has said that it is longer, or has said by it that it has come to the middle of
    /// a log that this device is sending. What arrived is put in its place in lists in one go, and not in between.
    fn is_awaited(&self, id: &LogId, log: &Log) -> bool {
        let expected = self.expected.get(id);
        let in_middle = |(sent, len): &(LogId, u64)| *len < self.books.in_flight(sent);
        expected.is_some_and(|len| log.end.len < *len) || self.said.get(id).is_some_and(in_middle)
    }

    /// Whether more is on its way of a log of which this transaction has stored some.
    pub(crate) fn awaits_more(&self) -> bool {
        let logs = self.touched.iter();
        let mut logs = logs.filter_map(|id| Some((id, self.logs.get(id)?)));
        logs.any(|(id, log)| self.is_awaited(id, log))
    }

    /// Ends an own log for good; its successor says why.
    fn close(&mut self, log: LogId, why: GenesisReason) -> Result<()> {
        if !self.closed.contains_key(&log) {
            // rule:old-log-closed
            let end = self.logs.get(&log).map(|known| known.end);
            let end = end.ok_or_else(|| Error::new(Code::Internal, "a log that is not stored"))?;
            self.offered.seal(Seal::Sealed, [(log, end)])?;
            self.closed.insert(log, why);
        }
        Ok(())
    }
}

/// Rows that one transaction writes because of receipts and arrivals: a save waits no longer than that takes.
pub(crate) const ROWS_AT_ONCE: usize = 512;

/// Key under which a store counts the own entries that others gave back to it.
const RETURNED: &str = "own_entries_returned";

fn returned(connection: &Connection) -> Result<u64> {
    let value = store::meta(connection, RETURNED)?;
    let bytes = value.and_then(|value| <[u8; 8]>::try_from(value).ok());
    Ok(bytes.map_or(0, u64::from_be_bytes))
}

/// Counts own entries that others gave back.
fn note_returned(connection: &Connection, count: u64) -> Result<()> {
    let count = returned(connection)?.saturating_add(count);
    store::set_meta(connection, RETURNED, &count.to_be_bytes())
}

/// How many entries of an open end make the next run: whole groups, up to the bounds of a batch.
fn run_len(entries: &[Entry]) -> usize {
    let mut count = 0;
    let mut bytes = 0_usize;
    let mut group_bytes = 0_usize;
    for (index, entry) in entries.iter().enumerate() {
        let payload = usize::try_from(entry.header.payload_len).unwrap_or(usize::MAX);
        group_bytes = group_bytes.saturating_add(payload);
        if entry.header.flags.group_goes_on() {
            continue;
        }
        bytes = bytes.saturating_add(group_bytes);
        group_bytes = 0;
        // rule:limits-written
        let too_many = index >= limits::BATCH_ENTRIES || bytes > limits::BATCH_TARGET_BYTES;
        if count > 0 && too_many {
            break;
        }
        count = index + 1;
    }
    count.max(1)
}

/// Stores a run whose parts are rows already as a segment, in place of one that begins where it does.
fn insert_run(connection: &Connection, log: i64, run: &Run) -> Result<()> {
    let count = u16::try_from(run.entries.len()).unwrap_or(u16::MAX);
    let places = |record: &RecordId| segments::founded(connection, (log, &run.log), record);
    let main = batch::stored(run, &batch::pack_main(run, &places));
    let key = entry_key(log, run.start.len)?;
    insert_segment(connection, key, count, &run.start.head, &main)
}

fn insert_segment(
    connection: &Connection,
    key: i64,
    count: u16,
    start: &[u8; 32],
    main: &[u8],
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO segments (entry, count, start, main) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (entry) DO UPDATE SET count = excluded.count, main = excluded.main",
    )?;
    statement.execute(params![key, count, start, main])?;
    Ok(())
}

fn insert_part(connection: &Connection, key: i64, payload: &[u8]) -> Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT INTO parts (entry, payload) VALUES (?1, ?2)")?;
    statement.execute(params![key, packed::pack_part(payload)])?;
    Ok(())
}

fn mark_stale(connection: &Connection, log: i64, range: &Range<u64>) -> Result<()> {
    let end = range.end.min((1 << 40) - 1);
    let keys = (entry_key(log, range.start)?, entry_key(log, end)?);
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO stale (record)
         SELECT DISTINCT record FROM touches WHERE entry >= ?1 AND entry < ?2",
    )?;
    statement.execute(keys)?;
    // A merge that was made from what counted before must not be written over this.
    let mut statement = connection.prepare_cached(
        "UPDATE records SET version = version + 1 WHERE id IN
         (SELECT DISTINCT record FROM touches WHERE entry >= ?1 AND entry < ?2)",
    )?;
    statement.execute(keys)?;
    Ok(())
}

/// Takes a stretch of a log out of its place: nothing of it is left in the log's tables and in projections. `from` is where a
/// segment begins, and `end` the end of the log.
fn take_out(connection: &Connection, log: i64, from: u64, end: u64) -> Result<()> {
    mark_stale(connection, log, &(from..end))?;
    let (first, after) = (entry_key(log, from)?, entry_key(log, end)?);
    search::forget(connection, (first, after))?;
    let mut statement = connection
        .prepare_cached("SELECT DISTINCT record FROM touches WHERE entry >= ?1 AND entry < ?2")?;
    let records = statement.query_map([first, after], |row| row.get(0))?;
    let records = records.collect::<Result<Vec<i64>, _>>()?;
    for table in [
        "segments",
        "parts",
        "touches",
        "held",
        "rewritten",
        "requests",
        "answers",
        "missing",
    ] {
        let sql = format!("DELETE FROM {table} WHERE entry >= ?1 AND entry < ?2");
        connection.execute(&sql, [first, after])?;
    }
    let sql = "DELETE FROM erasures WHERE by >= ?1 AND by < ?2";
    connection.execute(sql, [first, after])?;
    // What is left may be shorter, and is judged as far as it goes.
    for sql in [
        "DELETE FROM arrivals WHERE hub = ?1 AND place >= ?2",
        "DELETE FROM exceptions WHERE log = ?1 AND first >= ?2",
        "UPDATE exceptions SET after = ?2 WHERE log = ?1 AND after > ?2",
    ] {
        connection.execute(sql, params![log, from])?;
    }
    records
        .into_iter()
        .try_for_each(|record| forget(connection, record))
}

/// Empties the row of a record of which no entry is in place any more.
fn forget(connection: &Connection, record: i64) -> Result<()> {
    let left = connection
        .prepare_cached("SELECT 1 FROM touches WHERE record = ?1 LIMIT 1")?
        .exists([record])?;
    if left {
        return Ok(());
    }
    Counted::of(connection, record)?.move_to(connection, None)?;
    Indexed::default().replace(connection, record, &Indexed::of(connection, record)?)?;
    let emptied = connection
        .prepare_cached(
            "UPDATE records SET version = version + 1, founded = 0, kind = NULL, number = NULL,
                 title = NULL, status = NULL, facts = NULL, former = NULL, pressing = NULL, conflicts = 0, disputed = NULL, waiting = 0, state = NULL,
                 held = NULL, lost = 0, again = NULL, reached = 0, sole = NULL,
                 last = NULL
             WHERE id = ?1",
        )?
        .execute([record])?;
    if emptied > 0 {
        for table in [
            "stale",
            "mentions",
            "unread",
            "rewrites",
            "rewritten",
            "inbox",
        ] {
            connection.execute(&format!("DELETE FROM {table} WHERE record = ?1"), [record])?;
        }
    }
    Ok(())
}

/// What of a log does not count, by rights, cuts and forks and by the gate, and the parts that are missing.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn withheld(connection: &Connection, log: i64) -> Result<Vec<Exception>> {
    let mut all = exceptions(connection, log)?;
    let mut statement = connection.prepare_cached(
        "SELECT entry, reason FROM held WHERE entry >= ?1 AND entry < ?2 ORDER BY entry",
    )?;
    let range = (entry_key(log, 0)?, entry_key(log, (1 << 40) - 1)?);
    let rows = statement.query_map(range, |row| Ok((row.get(0)?, row.get::<_, u8>(1)?)))?;
    let by_rights = all.len();
    for row in rows {
        let (key, reason) = row?;
        let (_, seq) = segments::split_key(key);
        let known = all.get(..by_rights).unwrap_or_default();
        if !known.iter().any(|exception| exception.range.contains(&seq)) {
            let reason = Reason::of(reason).unwrap_or(Reason::NewerVersion);
            all.push(Exception {
                range: seq..seq + 1,
                reason,
            });
        }
    }
    all.extend(payloads::missing(connection, log)?);
    all.sort_by_key(|exception| exception.range.start);
    merge_ranges(&mut all);
    Ok(all)
}

/// Why an entry does not count, as [`withheld`] says of its log: one look-up, however much is withheld there.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn withheld_at(connection: &Connection, entry: i64) -> Result<Option<Reason>> {
    let (log, seq) = segments::split_key(entry);
    let mut by_rights = connection.prepare_cached(
        "SELECT reason FROM exceptions WHERE log = ?1 AND first <= ?2 AND after > ?2",
    )?;
    let code: Option<u8> = by_rights
        .query_row(params![log, seq], |row| row.get(0))
        .optional()?;
    let code = match code {
        Some(code) => Some(code),
        None => connection
            .prepare_cached("SELECT reason FROM held WHERE entry = ?1")?
            .query_row([entry], |row| row.get(0))
            .optional()?,
    };
    if let Some(code) = code {
        return Ok(Some(Reason::of(code).unwrap_or(Reason::NewerVersion)));
    }
    Ok(payloads::is_missing(connection, entry)?.then_some(Reason::Missing))
}

/// What of a log does not count by rights, cuts and forks.
pub(crate) fn exceptions(connection: &Connection, log: i64) -> Result<Vec<Exception>> {
    let mut statement = connection.prepare_cached(
        "SELECT first, after, reason FROM exceptions WHERE log = ?1 ORDER BY first",
    )?;
    let rows = statement.query_map([log], |row| {
        Ok((
            row.get::<_, u64>(0)?..row.get::<_, u64>(1)?,
            row.get::<_, u8>(2)?,
        ))
    })?;
    let mut exceptions = Vec::new();
    for row in rows {
        let (range, reason) = row?;
        let reason = Reason::of(reason).unwrap_or(Reason::NewerVersion);
        exceptions.push(Exception { range, reason });
    }
    Ok(exceptions)
}

fn insert_exception(connection: &Connection, log: i64, exception: &Exception) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO exceptions (log, first, after, reason) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let range = &exception.range;
    statement.execute(params![
        log,
        range.start,
        range.end,
        exception.reason.code()
    ])?;
    Ok(())
}

/// Joins touching ranges of one reason and drops what an earlier range covers.
fn merge_ranges(exceptions: &mut Vec<Exception>) {
    let mut merged: Vec<Exception> = Vec::with_capacity(exceptions.len());
    for exception in exceptions.drain(..) {
        match merged.last_mut() {
            Some(last) if exception.range.end <= last.range.end => {}
            Some(last)
                if last.reason == exception.reason && exception.range.start <= last.range.end =>
            {
                last.range.end = exception.range.end;
            }
            _ => merged.push(exception),
        }
    }
    *exceptions = merged;
}
