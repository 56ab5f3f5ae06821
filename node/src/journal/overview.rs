//! The reading side of a journal: what is known of the logs as of one commit, and entries.
//!
//! [`Overview`] is the part of a journal's memory that reading needs. It is copied after each commit for whoever reads beside the writer;
//! its maps share their nodes, so that a copy costs the same however many logs there are. [`Books`] adds the segments that were
//! unpacked lately; each reader has its own. A journal is such a reading side and what it takes to write: whatever takes
//! a `&Overview` or a `&mut Books` runs in a page as in a transaction.
//!
//! Rejected: readers that ask the tables of logs themselves. Within a transaction the open ends of own logs are not in them
//! yet, so that each question would have two answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use lianxin_protocol::authority::{Authority, Cut, Role};
use lianxin_protocol::identity::{DeviceKey, Signer};
use lianxin_protocol::limits;
use lianxin_protocol::log::{Author, Entry, EntryId, GenesisReason, LogId, Position, Tail};
use lianxin_protocol::message::Tip;
use lianxin_protocol::space::SpaceId;
use rusqlite::Connection;

use super::segments::Segments;
use super::{Identity, Log, Unusual, claims, letters, quota, returned, skew};
use crate::clock::Wall;
use crate::error::{Code, Error, Result};

/// What reading needs of a journal's memory, as of one moment.
#[derive(Clone, Debug)]
pub struct Overview {
    pub(super) identity: Arc<Identity>,
    pub(super) authority: Arc<Authority>,
    /// How far each authority log was folded, in order.
    pub(super) folded: Vec<(LogId, u64)>,
    pub(crate) logs: OrdMap<LogId, Log>,
    /// The logs of each space, of each device, and by their numbers in this store.
    by_space: OrdMap<SpaceId, OrdSet<LogId>>,
    by_device: OrdMap<DeviceKey, OrdSet<LogId>>,
    by_key: OrdMap<i64, LogId>,
    /// Open ends of own logs: entries since the last full segment.
    pub(super) tails: OrdMap<LogId, Arc<Tail>>,
    /// How far own logs are being shown to a peer right now.
    pub(super) in_flight: OrdMap<LogId, u64>,
    /// What commands on this store take for the time.
    pub wall: Wall,
    /// Numbers that more than one record has.
    pub(super) twice: u64,
    /// The last transaction that wrote something found no room.
    pub(crate) disk_is_full: bool,
    /// A transaction met a page that the database cannot read, outside of logs and lists.
    pub(crate) page_is_unreadable: bool,
    /// Why this device numbers under another code, once it does.
    pub(super) anew: Option<letters::Anew>,
    /// Own logs that must not be continued, and why their successors begin.
    pub(super) closed: OrdMap<LogId, GenesisReason>,
    /// Own logs of which peers say that they have more.
    pub(super) claims: claims::Claims,
    /// Own logs of which more was offered than the store had when it was opened, and how much.
    pub(super) lacking: OrdMap<LogId, u64>,
    pub(super) quota: quota::Quota,
    pub(super) skew: skew::Skew,
    /// Logs that were cut, with the length that they had.
    pub(super) damaged: OrdMap<LogId, u64>,
    /// Parts that were taken out, by log and place.
    pub(super) damaged_parts: OrdSet<(LogId, u64)>,
    /// Logs that the database cannot read.
    pub(super) unreadable: OrdSet<LogId>,
    /// How many records could not be read when they were to be merged.
    pub(super) unread: u64,
    /// Logs whose receipts say of more records how far they have come than the rows of those do.
    pub(super) unstated: OrdSet<i64>,
}

impl Overview {
    /// Of a store that has nothing yet.
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            authority: Arc::new(Authority::new(identity.network)),
            identity: Arc::new(identity),
            folded: Vec::new(),
            logs: OrdMap::new(),
            by_space: OrdMap::new(),
            by_device: OrdMap::new(),
            by_key: OrdMap::new(),
            tails: OrdMap::new(),
            in_flight: OrdMap::new(),
            wall: Wall::System,
            twice: 0,
            disk_is_full: false,
            page_is_unreadable: false,
            anew: None,
            closed: OrdMap::new(),
            claims: claims::Claims::new(),
            lacking: OrdMap::new(),
            quota: quota::Quota::default(),
            skew: skew::Skew::default(),
            damaged: OrdMap::new(),
            damaged_parts: OrdSet::new(),
            unreadable: OrdSet::new(),
            unread: 0,
            unstated: OrdSet::new(),
        }
    }

    /// Forgets all logs.
    pub(super) fn clear(&mut self) {
        self.logs.clear();
        self.by_space.clear();
        self.by_device.clear();
        self.by_key.clear();
        self.tails.clear();
    }

    /// Changes what is known of every log.
    pub(super) fn for_each_log(&mut self, mut change: impl FnMut(&LogId, &mut Log)) {
        let ids: Vec<_> = self.logs.keys().copied().collect();
        for id in ids {
            if let Some(log) = self.logs.get_mut(&id) {
                change(&id, log);
            }
        }
    }

    /// Takes in a log that is stored.
    pub(super) fn insert(&mut self, id: LogId, log: Log) {
        let Author { space, device } = log.author;
        self.by_space.entry(space).or_default().insert(id);
        self.by_device.entry(device).or_default().insert(id);
        self.by_key.insert(log.key, id);
        self.logs.insert(id, log);
    }

    /// Who this device is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Who may do what.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The same, to be kept by others.
    #[must_use]
    pub fn shared_authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority)
    }

    /// The role of this device; `None` while the hub has not confirmed it.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.authority.role(&self.identity.key())
    }

    /// The logs of a space as peers compare them.
    #[must_use]
    pub fn tips(&self, space: &SpaceId) -> BTreeMap<LogId, Tip> {
        self.logs_of(space)
            .map(|(id, log)| (*id, log.tip()))
            .collect()
    }

    /// A log as peers compare it.
    #[must_use]
    pub fn tip(&self, log: &LogId) -> Option<Tip> {
        self.logs.get(log).map(Log::tip)
    }

    /// The logs of a space: a session costs what its spaces hold, not what the store holds.
    pub(super) fn logs_of(&self, space: &SpaceId) -> impl Iterator<Item = (&LogId, &Log)> {
        let ids = self.by_space.get(space).into_iter().flatten();
        ids.filter_map(|id| self.logs.get_key_value(id))
    }

    /// Whether saving has failed since the start because the database cannot read one of its pages.
    #[must_use]
    pub const fn page_is_unreadable(&self) -> bool {
        self.page_is_unreadable
    }

    /// Numbers that more than one record has, of those that count.
    #[must_use]
    pub const fn numbers_twice(&self) -> u64 {
        self.twice
    }

    /// Whether nothing can be kept at present for want of room.
    #[must_use]
    pub const fn disk_is_full(&self) -> bool {
        self.disk_is_full
    }

    /// The id of a log's number.
    pub(crate) fn log_id(&self, key: i64) -> Option<(LogId, &Log)> {
        let id = self.by_key.get(&key)?;
        self.logs.get(id).map(|log| (*id, log))
    }

    /// Entries of all stored logs.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.logs.values().map(|log| log.end.len).sum()
    }

    /// Who writes the stored logs.
    #[must_use]
    pub fn authors(&self) -> BTreeMap<LogId, Author> {
        let logs = self.logs.iter();
        logs.map(|(id, log)| (*id, log.author)).collect()
    }

    /// Who writes a stored log.
    #[must_use]
    pub fn author_of(&self, log: &LogId) -> Option<Author> {
        self.logs.get(log).map(|log| log.author)
    }

    /// Whether a log is written with a key of this device.
    #[must_use]
    pub fn is_own(&self, author: &Author) -> bool {
        let authority = self.identity.authority.as_ref().map(Signer::public);
        author.device == self.identity.key() || Some(author.device) == authority
    }

    /// The ends of all logs of a device that are stored, as orders name them: a run ends with a save group. Of
    /// more than an order can name, those that came first.
    #[must_use]
    pub fn places_of(&self, device: &DeviceKey) -> Vec<Cut> {
        let mut logs: Vec<_> = self.logs_by(device).collect();
        logs.sort_by_key(|(_, log)| log.key);
        // rule:order-places rule:limits-written
        logs.truncate(limits::CUTS_MAX);
        let place = |(id, log): (&LogId, &Log)| Cut {
            log: *id,
            // rule:order-places-held
            position: log.tip().position(),
        };
        let mut places: Vec<_> = logs.into_iter().map(place).collect();
        places.sort_by_key(|place| place.log);
        places
    }

    pub(crate) fn own_logs(&self) -> impl Iterator<Item = (&LogId, &Log)> {
        let authority = self.identity.authority.as_ref().map(Signer::public);
        let authority = authority.filter(|key| *key != self.identity.key());
        let keys = [Some(self.identity.key()), authority];
        keys.into_iter()
            .flatten()
            .flat_map(|key| self.logs_by(&key))
    }

    /// The logs that a device writes.
    pub(crate) fn logs_by(
        &self,
        device: &DeviceKey,
    ) -> impl Iterator<Item = (&LogId, &Log)> + use<'_> {
        let ids = self.by_device.get(device).into_iter().flatten();
        ids.filter_map(|id| self.logs.get_key_value(id))
    }

    /// Devices that the people at this hub should look at, and why; elsewhere none.
    #[must_use]
    pub fn unusual(&self) -> BTreeMap<DeviceKey, Unusual> {
        let mut all = self.quota.unusual(self.wall.now_ms());
        for device in self.skew.ahead() {
            all.entry(device).or_insert(Unusual::ClockAhead);
        }
        all
    }

    /// This device's newest log of a space, if it has one.
    #[must_use]
    pub fn own_log(&self, space: SpaceId) -> Option<LogId> {
        let own = self.newest_log(space, &self.identity.key());
        own.map(|(id, _)| *id)
    }

    /// A device's newest log of a space, if it has one.
    pub(super) fn newest_log(&self, space: SpaceId, device: &DeviceKey) -> Option<(&LogId, &Log)> {
        let logs = self.logs_by(device);
        let logs = logs.filter(|(_, log)| log.author.space == space);
        logs.max_by_key(|(_, log)| log.key)
    }

    /// Entries of a log that are stored.
    #[must_use]
    pub fn len_of(&self, log: &LogId) -> u64 {
        self.logs.get(log).map_or(0, |known| known.end.len)
    }

    /// Whether a key is the hub's: what it wrote needs no receipt.
    #[must_use]
    pub fn is_hubs(&self, device: &DeviceKey) -> bool {
        self.authority.role(device) == Some(Role::Hub)
            || self.authority.keys().any(|key| key == *device)
    }

    /// The first log, by its number, of which rows say less than its receipt.
    pub(crate) fn unstated(&self) -> Option<i64> {
        self.unstated.get_min().copied()
    }

    /// Whether anything is on its way to a peer at this moment.
    pub(crate) fn sends(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// How far a log is on its way to a peer at this moment.
    pub(crate) fn in_flight(&self, log: &LogId) -> u64 {
        self.in_flight.get(log).copied().unwrap_or_default()
    }

    /// Whether this store lacks entries of its own that it had shown to others when it was opened, or is a
    /// copy of a hub: it may have done already what it would do now. A restored store waits until they
    /// have come back.
    #[must_use]
    pub fn lacks_own(&self) -> bool {
        self.lacking() > 0 || self.awaits_card()
    }

    /// How many entries of its own this store has shown and lacks at present.
    #[must_use]
    pub fn lacking(&self) -> u64 {
        let stored = |log| self.logs.get(log).map_or(0, |known| known.end.len);
        let lacking = self.lacking.iter();
        lacking
            .map(|(log, len)| len.saturating_sub(stored(log)))
            .sum()
    }

    /// How many entries of its own this store has lost since it was made, whether they came back or not: at
    /// least as many as the records among them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn fallen_behind(&self, connection: &Connection) -> Result<u64> {
        Ok(self.lacking().saturating_add(returned(connection)?))
    }
}

/// An overview with what was unpacked lately: what gives entries.
#[derive(Debug)]
pub struct Books {
    pub(super) overview: Overview,
    pub(crate) segments: Segments,
}

impl std::ops::Deref for Books {
    type Target = Overview;

    fn deref(&self) -> &Overview {
        &self.overview
    }
}

impl std::ops::DerefMut for Books {
    fn deref_mut(&mut self) -> &mut Overview {
        &mut self.overview
    }
}

impl Books {
    /// Begins to read as of an overview.
    pub(crate) fn new(overview: Overview) -> Self {
        Self {
            overview,
            segments: Segments::default(),
        }
    }

    /// Goes on as of another one.
    pub(crate) fn look_at(&mut self, overview: Overview) {
        self.overview = overview;
    }

    /// What others are shown.
    pub(crate) fn overview(&self) -> Overview {
        self.overview.clone()
    }

    /// The logs of which something that was read is not what was stored, once.
    pub(crate) fn take_suspects(&mut self) -> BTreeSet<LogId> {
        std::mem::take(&mut self.segments.suspects)
    }

    /// The log of a number, and who writes it.
    pub(crate) fn log_of(&self, key: i64) -> Result<(LogId, Author)> {
        let known = self.log_id(key).map(|(id, log)| (id, log.author));
        let message = "an entry of a log that is not stored";
        known.ok_or_else(|| Error::new(Code::StoreCorrupt, message))
    }

    /// One entry: from an open end, or from its segment. Parts come without payload.
    pub(crate) fn entry(
        &mut self,
        connection: &Connection,
        log: &LogId,
        seq: u64,
    ) -> Result<Entry> {
        if let Some(tail) = self.tails.get(log)
            && let Some(at) = seq.checked_sub(tail.start.len)
            && let Some(entry) = usize::try_from(at).ok().and_then(|at| tail.entries.get(at))
        {
            return Ok(entry.clone());
        }
        let place = self.logs.get(log).map(|known| known.place(log));
        let missing = || Error::new(Code::StoreCorrupt, "an entry that is counted is not stored");
        let place = place.ok_or_else(missing)?;
        let segment = self.segments.containing(connection, place, seq)?;
        segment.get(seq).cloned().ok_or_else(missing)
    }

    /// The id of a stored entry.
    pub(crate) fn id_at(
        &mut self,
        connection: &Connection,
        log: &LogId,
        seq: u64,
    ) -> Result<EntryId> {
        if let Some(known) = self.logs.get(log)
            && known.end.len == seq.saturating_add(1)
        {
            return Ok(EntryId(known.end.head));
        }
        Ok(self.entry(connection, log, seq)?.header.id())
    }

    /// The head of a log's first `len` entries, of which there are as many: before the first it is the log's own id.
    pub(super) fn head_at(
        &mut self,
        connection: &Connection,
        log: &LogId,
        len: u64,
    ) -> Result<[u8; 32]> {
        len.checked_sub(1)
            .map_or(Ok(log.0), |last| Ok(self.id_at(connection, log, last)?.0))
    }

    /// Whether this store's chain of a log, the one in place, goes through this position.
    pub(super) fn stands(
        &mut self,
        connection: &Connection,
        log: &LogId,
        at: Position,
    ) -> Result<bool> {
        Ok(at.len <= self.len_of(log) && self.head_at(connection, log, at.len)? == at.head)
    }
}
