//! Forks: two entries of one log at one place. Proofs freeze, pins decide (SPEC, section 9).
//!
//! A proof only stops a log: nothing more is taken of it, and what counted goes on counting. The hub answers every fork, in
//! the transaction in which it learns of it, with a pin: the place up to which it has stored the log. Every device then
//! follows the pin's branch, which it fetches if it holds another. So no fork, innocent or hostile, withdraws what a
//! receipt covers.
//!
//! Owns the tables `forks` and `branches`: the earliest proof of each log, and runs of branches that are not in place. When a
//! pin's branch is whole here, it takes its place in the log, and what stood there becomes a branch. What is in place stays
//! readable by sequence number, whatever of it counts.
//!
//! Rejected: to let the proof itself take back what lies beyond it. A thief who forks below his cut, or a disk that was put
//! back, would make acknowledged records vanish.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::Order;
use lianxin_protocol::batch::{self, Packed, Parts};
use lianxin_protocol::codec::{Reader, Writer};
use lianxin_protocol::hash;
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::limits;
use lianxin_protocol::log::{
    Author, Branch, Entry, EntryKind, ForkProof, Header, LogId, Position, RecordId, Run,
    VerifiedRun,
};
use lianxin_protocol::session::search_from;
use lianxin_protocol::space::{Space, SpaceId};
use lianxin_protocol::verdict::{self, Held};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::ingest::Ingested;
use super::outgoing::run_from;
use super::segments::entry_key;
use super::touches::row_of;
use super::{Books, Journal, Overview, insert_part, insert_run, read_receipt, take_out};
use crate::error::{Code, Error, Result};
use crate::records::delivery;

/// A log that is known to have forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frozen {
    /// Place of the earliest proven fork: the first entry of which there are two.
    pub(crate) at: u64,
    /// How far it counts, and what peers are told.
    pub(crate) tip: Position,
}

/// Runs of branches that are kept of forks alone: they show what was lost, and prove nothing more.
const FORKS_KEPT: usize = 64;

/// What became of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// It was kept: the log is frozen at an earlier place than before.
    Kept,
    /// It says nothing new, or nothing that can be acted on.
    Nothing,
    /// This store has another entry before the fork: the log is asked for from there.
    Elsewhere {
        /// The first entry to ask for.
        from: u64,
    },
}

/// A run of a branch, as it came.
struct Row {
    head: [u8; 32],
    start: Position,
    main: Vec<u8>,
    parts: Vec<u8>,
}

impl Row {
    fn of(run: &VerifiedRun, packed: &Packed) -> Self {
        Self {
            head: run.end().head,
            start: run.run().start,
            main: packed.main.clone(),
            parts: packed.parts.clone(),
        }
    }

    /// From the columns first, start, main, parts and head, which begin at this one.
    fn read(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            start: Position {
                len: row.get(at)?,
                head: row.get(at + 1)?,
            },
            main: row.get(at + 2)?,
            parts: row.get(at + 3)?,
            head: row.get(at + 4)?,
        })
    }

    fn all(connection: &Connection, log: i64) -> Result<Vec<Self>> {
        let mut statement = connection.prepare_cached(
            "SELECT first, start, main, parts, head FROM branches WHERE log = ?1
             ORDER BY first, head",
        )?;
        let rows = statement.query_map([log], |row| Self::read(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn keep(&self, connection: &Connection, log: i64) -> Result<()> {
        // Of two runs that end alike the longer one is kept.
        let mut statement = connection.prepare_cached(
            "INSERT INTO branches (log, head, first, start, main, parts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (log, head) DO UPDATE
             SET first = excluded.first, start = excluded.start, main = excluded.main, parts = excluded.parts
             WHERE excluded.first < first",
        )?;
        let Self { head, start, .. } = self;
        let row = params![log, head, start.len, start.head, self.main, self.parts];
        statement.execute(row)?;
        Ok(())
    }

    fn drop(connection: &Connection, log: i64, head: &[u8; 32]) -> Result<()> {
        connection
            .prepare_cached("DELETE FROM branches WHERE log = ?1 AND head = ?2")?
            .execute(params![log, head])?;
        Ok(())
    }

    /// Its entries; none if it is damaged. A branch that a pin names is then asked for again.
    fn readable(&self, log: &LogId) -> Vec<Entry> {
        match self.unpacked(log) {
            Ok(run) => run.entries,
            Err(error) => {
                tracing::error!(error = %error.chain(), "a run of a branch is left out");
                Vec::new()
            }
        }
    }

    fn unpacked(&self, log: &LogId) -> Result<Run> {
        let parts = Parts::Section(&self.parts);
        batch::unpack(log, self.start, &self.main, parts).map_err(|error| {
            Error::because(Code::StoreCorrupt, "a stored branch is damaged", error)
        })
    }
}

/// The entries of a log's branches that are not in place, and the log itself.
struct Branches<'a> {
    journal: &'a mut Books,
    connection: &'a Connection,
    log: LogId,
    end: Position,
    /// By id.
    entries: BTreeMap<[u8; 32], Linked>,
    rows: Vec<Row>,
}

/// An entry of a branch that leads back to the log: the position before it, and which row has it.
struct Linked {
    before: Position,
    row: usize,
}

impl<'a> Branches<'a> {
    fn read(journal: &'a mut Books, connection: &'a Connection, log: &LogId) -> Result<Self> {
        let known = journal.logs.get(log);
        let (key, end) = known.map_or((0, Position::start(log)), |it| (it.key, it.end));
        let rows = Row::all(connection, key)?;
        let mut found = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            for entry in row.readable(log) {
                let id = entry.header.id().0;
                found.push((entry.header.seq, entry.header.prev, id, at));
            }
        }
        // A run that came before those that link it to the log is not held yet.
        found.sort_unstable();
        let mut entries: BTreeMap<[u8; 32], Linked> = BTreeMap::new();
        for (seq, prev, id, at) in found {
            let before = Position {
                len: seq,
                head: prev,
            };
            if entries.contains_key(&prev) || journal.stands(connection, log, before)? {
                entries.entry(id).or_insert(Linked { before, row: at });
            }
        }
        Ok(Self {
            journal,
            connection,
            log: *log,
            end,
            entries,
            rows,
        })
    }

    /// Whether the chain in place has this position.
    fn is_in_place(&mut self, at: Position) -> Result<bool> {
        self.journal.stands(self.connection, &self.log, at)
    }

    /// The position before this one on its branch.
    fn before(&self, at: Position) -> Option<Position> {
        let before = self.entries.get(&at.head)?.before;
        (before.len.saturating_add(1) == at.len).then_some(before)
    }

    /// Whether the branch of a pin is held and not followed: its runs do not begin where segments here do.
    fn is_stuck(&mut self) -> Result<bool> {
        let pins = self.journal.authority.pins(&self.log);
        let key = self.journal.logs.get(&self.log).map_or(0, |log| log.key);
        let receipt = read_receipt(self.connection, key)?.map(|receipt| receipt.stored);
        Ok(verdict::branch_to_follow(&pins, receipt, self)?.is_some())
    }

    /// Whether runs of a pinned branch are of use: it is not held, or cannot be followed.
    fn is_wanted(&mut self) -> Result<bool> {
        let pins = self.journal.authority.pins(&self.log);
        Ok(!verdict::pins_to_fetch(&pins, self)?.is_empty() || self.is_stuck()?)
    }

    /// The rows of the branch that ends with `pin`, from the chain in place on: where it parts, and rows in order.
    fn path(&mut self, pin: Position) -> Result<Option<(u64, Vec<usize>)>> {
        let (mut at, mut rows) = (pin, Vec::new());
        while !self.is_in_place(at)? {
            let Some(entry) = self.entries.get(&at.head) else {
                return Ok(None);
            };
            if rows.last() != Some(&entry.row) {
                rows.push(entry.row);
            }
            let Some(before) = self.before(at) else {
                return Ok(None);
            };
            at = before;
        }
        rows.reverse();
        Ok(Some((at.len, rows)))
    }
}

impl Held for Branches<'_> {
    type Error = Error;

    fn end(&self) -> Position {
        self.end
    }

    fn head_at(&mut self, end: Position, len: u64) -> Result<Option<[u8; 32]>> {
        let mut at = end;
        loop {
            if len > at.len {
                return Ok(None);
            }
            if self.is_in_place(at)? {
                let (journal, connection) = (&mut *self.journal, self.connection);
                return journal.head_at(connection, &self.log, len).map(Some);
            }
            let Some(before) = self.before(at) else {
                return Ok(None);
            };
            if at.len == len {
                return Ok(Some(at.head));
            }
            at = before;
        }
    }
}

impl Journal {
    /// Two entries at one place: proves it if the run reaches back to where they part, freezes the
    /// log and keeps the other branch.
    pub(super) fn fork(
        &mut self,
        connection: &Connection,
        run: &VerifiedRun,
        packed: &Packed,
        seq: u64,
    ) -> Result<Ingested> {
        let id = run.run().log;
        let begins = run.run().start.len;
        if seq < begins {
            let stored = self.len_of(&id);
            let from = search_from(begins, stored);
            return Ok(Ingested::Forked { proof: None, from });
        }
        let unknown = || Error::new(Code::StoreCorrupt, "a log that is named is not stored");
        let log = self.logs.get(&id).cloned().ok_or_else(unknown)?;
        let key = log.key;
        let segment = self.segments.containing(connection, log.place(&id), seq)?;
        let headers = |entries: &[Entry]| -> Vec<Header> {
            let from = entries.iter().filter(|entry| entry.header.seq >= seq);
            from.map(|entry| entry.header.clone()).collect()
        };
        let mut branches = [
            Branch {
                headers: headers(&segment.entries),
                checkpoint: segment.checkpoint.clone(),
            },
            Branch {
                headers: headers(&run.run().entries),
                checkpoint: run.run().checkpoint.clone(),
            },
        ];
        branches.sort_by_key(|branch| branch.headers.first().map(Header::id));
        let proof = ForkProof {
            author: run.author(),
            log: id,
            branches,
        };
        let mut kept = connection.prepare_cached("SELECT count(*) FROM branches WHERE log = ?1")?;
        let kept: usize = kept.query_row([key], |row| row.get(0))?;
        if kept < FORKS_KEPT {
            Row::of(run, packed).keep(connection, key)?;
        }
        self.take_fork(connection, &proof)?;
        self.index_branches(connection, &id)?;
        Ok(Ingested::Forked {
            proof: Some(Box::new(proof)),
            from: seq,
        })
    }

    /// Takes a run of a frozen log if it can lead to a pinned place that is not here, or that is here and cannot be followed,
    /// and follows the pin once its branch is whole.
    pub(super) fn take_branch(
        &mut self,
        connection: &Connection,
        run: &VerifiedRun,
        packed: &Packed,
    ) -> Result<Ingested> {
        let id = run.run().log;
        let (wanted, full, loose) = {
            let mut branches = Branches::read(self, connection, &id)?;
            let full = branches.rows.len() >= limits::BRANCH_RUNS_MAX;
            let linked: BTreeSet<usize> = branches.entries.values().map(|it| it.row).collect();
            let rows = branches.rows.iter().enumerate();
            let loose = rows.filter(|(at, _)| !linked.contains(at));
            let loose: Vec<[u8; 32]> = loose.map(|(_, row)| row.head).collect();
            (branches.is_wanted()?, full, loose)
        };
        let key = self.logs.get(&id).map_or(0, |log| log.key);
        if !wanted || (full && loose.is_empty()) {
            return Ok(Ingested::Known);
        }
        if full {
            // What hangs in the air makes room for what may be the pinned branch.
            for head in loose {
                Row::drop(connection, key, &head)?;
            }
        }
        Row::of(run, packed).keep(connection, key)?;
        self.settle_fork(connection, &id)?;
        if run.author().space == Space::Authority.id(&self.identity.network) {
            self.fold_authority(connection)?;
        }
        Ok(Ingested::Stored)
    }

    /// Keeps a proof that a log forked, if it holds, is the earliest, and speaks of this store's chain, and freezes the log. It
    /// is passed on only then: who holds another chain before the fork asks for that first.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn take_fork(&mut self, connection: &Connection, proof: &ForkProof) -> Result<Proven> {
        let Some(log) = self.logs.get(&proof.log).cloned() else {
            return Ok(Proven::Nothing);
        };
        // rule:fork-author
        let Some(seq) = proof.seq().filter(|_| proof.author == log.author) else {
            return Ok(Proven::Nothing);
        };
        let earlier = log.forked.is_some_and(|frozen| frozen.at <= seq);
        // A device that holds exactly what precedes the fork freezes there as well.
        if earlier || seq > log.end.len {
            return Ok(Proven::Nothing);
        }
        let [branch, _] = &proof.branches;
        let prev = branch.headers.first().map(|header| header.prev);
        if prev != Some(self.head_at(connection, &proof.log, seq)?) {
            let from = search_from(seq, log.end.len);
            // rule:fork-not-passed-on
            return Ok(Proven::Elsewhere { from });
        }
        let mut writer = Writer::new();
        proof.write(&mut writer);
        let mut statement = connection
            .prepare_cached("INSERT OR REPLACE INTO forks (log, seq, proof) VALUES (?1, ?2, ?3)")?;
        statement.execute(params![log.key, seq, writer.into_bytes()])?;
        if let Some(known) = self.logs.get_mut(&proof.log) {
            let tip = known.tip().position();
            known.forked = Some(Frozen { at: seq, tip });
        }
        self.touched.insert(proof.log);
        tracing::error!(log = %hash::Hex(&proof.log.prefix()), seq, "a log forked and was frozen");
        if self.identity.authority.is_some() && !self.is_own(&log.author) {
            let now_ms = self.wall.now_ms();
            self.quota.forked(log.author.device, now_ms);
        }
        // rule:fork-hub-pins
        self.pin(connection, &proof.log, log.end)?;
        self.settle_fork(connection, &proof.log)?;
        if log.author.space == Space::Authority.id(&self.identity.network) {
            // Its chain may be another now.
            self.fold_authority(connection)?;
        }
        Ok(Proven::Kept)
    }

    /// The hub's answer to a fork: what it has stored counts, if no pin says so already.
    fn pin(&mut self, connection: &Connection, log: &LogId, stored: Position) -> Result<()> {
        let space = self.logs.get(log).map(|known| known.author.space);
        let is_authority = space == Some(Space::Authority.id(&self.identity.network));
        let longest = self.authority.pins(log).iter().map(|pin| pin.len).max();
        let is_hub = self.identity.authority.is_some() && !is_authority;
        if !is_hub || stored.len == 0 || longest.is_some_and(|longest| longest >= stored.len) {
            return Ok(());
        }
        let order = Order::Pin {
            log: *log,
            position: stored,
        };
        if !self.gives_orders() {
            // A hub that was put back. Until it gives orders again the log stays frozen, and counts.
            tracing::error!(
                "a fork waits for an answer until this hub gives orders again: see `lianxin status`"
            );
            self.unanswered.insert(*log);
            return Ok(());
        }
        self.unanswered.remove(log);
        self.order(connection, &[order], self.wall.now_ms())
    }

    /// Answers the forks that this hub could not answer when it learned of them.
    pub(super) fn answer_forks(&mut self, connection: &Connection) -> Result<()> {
        if self.unanswered.is_empty() || !self.gives_orders() {
            return Ok(());
        }
        for log in std::mem::take(&mut self.unanswered) {
            if let Some(end) = self.logs.get(&log).map(|known| known.end) {
                self.pin(connection, &log, end)?;
                self.settle_fork(connection, &log)?;
            }
        }
        Ok(())
    }

    /// Orders have come that may say more of the logs that are frozen: of authority logs, a certificate, before they
    /// are folded; of the others, what was folded. Says whether there are any.
    pub(super) fn settle_forks(
        &mut self,
        connection: &Connection,
        of_authority: bool,
    ) -> Result<bool> {
        let authority = Space::Authority.id(&self.identity.network);
        let frozen = self.logs.iter();
        let frozen = frozen.filter(|(_, log)| {
            log.forked.is_some() && (log.author.space == authority) == of_authority
        });
        let frozen: Vec<_> = frozen.map(|(id, _)| *id).collect();
        for id in &frozen {
            self.settle_fork(connection, id)?;
        }
        Ok(!frozen.is_empty())
    }

    /// Follows the pin of a frozen log if its branch is whole here, and says how far the log counts.
    pub(super) fn settle_fork(&mut self, connection: &Connection, id: &LogId) -> Result<()> {
        let Some(frozen) = self.logs.get(id).and_then(|log| log.forked) else {
            return Ok(());
        };
        let pins = self.authority.pins(id);
        let key = self.logs.get(id).map_or(0, |log| log.key);
        let receipt = read_receipt(connection, key)?.map(|receipt| receipt.stored);
        let path = {
            let mut branches = Branches::read(self, connection, id)?;
            match verdict::branch_to_follow(&pins, receipt, &mut branches)? {
                None => None,
                Some(pin) => {
                    let path = branches.path(pin)?;
                    path.map(|(parts_at, rows)| (pin, parts_at, rows, branches.rows))
                }
            }
        };
        if let Some((pin, parts_at, order, rows)) = path {
            // rule:pin-branch-followed
            self.follow(connection, id, (pin, parts_at), &order, &rows)?;
        }
        let mut branches = Branches::read(self, connection, id)?;
        let end = branches.end;
        let tip = verdict::frozen_tip(frozen.at, &pins, receipt, &mut branches)?;
        if let Some(known) = self.logs.get_mut(id) {
            known.forked = Some(Frozen {
                at: frozen.at.min(end.len),
                tip,
            });
        }
        self.touched.insert(*id);
        self.unreceipted.insert(*id);
        self.judge_log(connection, id, 0..end.len)?;
        self.index_branches(connection, id)
    }

    /// [`Journal::index_branches`] of all logs that forked.
    pub(crate) fn index_aside(&mut self, connection: &Connection) -> Result<()> {
        let frozen = self.logs.iter().filter(|(_, log)| log.forked.is_some());
        let frozen: Vec<_> = frozen.map(|(id, _)| *id).collect();
        frozen
            .iter()
            .try_for_each(|id| self.index_branches(connection, id))
    }

    /// Notes which records the branches of a log speak of that are not in place. Those of which it is not the same as
    /// before are merged again.
    fn index_branches(&mut self, connection: &Connection, id: &LogId) -> Result<()> {
        let Some(log) = self.logs.get(id).cloned() else {
            return Ok(());
        };
        if log.author.space == Space::Authority.id(&self.identity.network) {
            return Ok(());
        }
        let (mut now, mut founded) = (BTreeMap::new(), BTreeSet::new());
        for branch in self.branches(connection, id)? {
            let Some(beside) = branch.entries.first().map(|entry| entry.header.seq) else {
                continue;
            };
            for header in branch.entries.iter().map(|entry| &entry.header) {
                if header.kind == EntryKind::Change && header.record != RecordId::NONE {
                    now.insert((header.record, branch.head), beside);
                    if header.record.is_founded_at(id, header.seq) {
                        founded.insert(header.record);
                    }
                }
            }
        }
        let mut statement = connection.prepare_cached(
            "SELECT records.record, aside.head, aside.beside FROM aside
             JOIN records ON records.id = aside.record WHERE aside.log = ?1",
        )?;
        let rows = statement.query_map([log.key], |row| {
            Ok(((RecordId(row.get(0)?), row.get(1)?), row.get(2)?))
        })?;
        let before = rows.collect::<Result<BTreeMap<(RecordId, [u8; 32]), u64>, _>>()?;
        if before == now {
            return Ok(());
        }
        connection
            .prepare_cached("DELETE FROM aside WHERE log = ?1")?
            .execute([log.key])?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO aside (record, log, head, beside) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let mut keys = BTreeMap::new();
        for (record, _) in now.keys().chain(before.keys()) {
            if !keys.contains_key(record) {
                let founded = founded.contains(record);
                let key = row_of(connection, record, &log.author.space, founded)?;
                keys.insert(*record, key);
            }
        }
        for ((record, head), beside) in &now {
            insert.execute(params![keys.get(record), log.key, head, beside])?;
        }
        let differs = |at: &&(RecordId, [u8; 32])| before.get(*at) != now.get(*at);
        let changed: BTreeSet<_> = now.keys().chain(before.keys()).filter(differs).collect();
        for (record, _) in changed {
            if let Some(key) = keys.get(record) {
                self.merge_again(connection, *key)?;
            }
        }
        Ok(())
    }

    /// Puts the branch of a pin in place of what stands in a log from where they part on, and keeps that as a branch. Of
    /// a segment in which they part the branch must have all: it is asked for from there, and [`Journal::split`] ends the
    /// segment where a run of the branch begins.
    fn follow(
        &mut self,
        connection: &Connection,
        id: &LogId,
        (pin, parts_at): (Position, u64),
        order: &[usize],
        rows: &[Row],
    ) -> Result<()> {
        let Some(log) = self.logs.get(id).cloned() else {
            return Ok(());
        };
        let from = self.boundary(connection, id, parts_at)?;
        // Runs that follow each other from there to the pin, each cut to begin where the one before ends.
        let (mut at, mut runs) = (from, Vec::new());
        for row in order.iter().filter_map(|row| rows.get(*row)) {
            if at >= pin.len {
                break;
            }
            let run = row.unpacked(id)?;
            if run.checkpoint.len <= at {
                continue;
            }
            if run.start.len > at {
                return Ok(());
            }
            let run = run_from(run, at);
            at = run.checkpoint.len;
            runs.push(run);
        }
        if at < pin.len {
            return Ok(());
        }
        tracing::warn!(log = %hash::Hex(&id.prefix()), parts_at, "another branch of a log is followed");
        self.set_aside(connection, id, from)?;
        for run in &runs {
            insert_run(connection, log.key, run)?;
            for entry in run
                .entries
                .iter()
                .filter(|it| it.header.kind == EntryKind::Part)
            {
                if let Some(payload) = &entry.payload {
                    insert_part(connection, entry_key(log.key, entry.header.seq)?, payload)?;
                }
            }
            super::payloads::note_missing(connection, log.key, &run.entries)?;
            Row::drop(connection, log.key, &run.checkpoint.head)?;
        }
        let last = runs.last();
        if let (Some(known), Some(last)) = (self.logs.get_mut(id), last) {
            known.end = Position {
                len: last.checkpoint.len,
                head: last.checkpoint.head,
            };
            known.last_first = last.start.len;
            known.authority_len = last.entries.last().map_or(0, |it| it.header.authority_len);
            known.indexed_len = known.indexed_len.min(from);
            known.judged_len = known.judged_len.min(from);
        }
        self.forget_read();
        self.tails.remove(id);
        if self.is_own(&log.author) {
            self.open_tail(connection, id)?;
        }
        // A receipt for what no longer stands here says nothing; the hub gives another.
        if let Some(receipt) = read_receipt(connection, log.key)? {
            let stored = receipt.stored;
            if stored.len > 0 && !self.stands(connection, id, stored)? {
                connection.execute("DELETE FROM receipts WHERE log = ?1", [log.key])?;
                delivery::unreceipted(connection, self, log.key)?;
            }
        }
        self.note_arrived(id);
        self.moved.stale = true;
        Ok(())
    }

    /// Makes a branch of what stands in a log from a segment's beginning on, with nothing left of it in projections.
    fn set_aside(&mut self, connection: &Connection, id: &LogId, from: u64) -> Result<()> {
        let Some(log) = self.logs.get(id).cloned() else {
            return Ok(());
        };
        let mut at = from;
        while at < log.end.len {
            let run = self.run_at(connection, id, at)?;
            let packed = batch::pack(&run);
            let row = Row {
                head: run.checkpoint.head,
                start: run.start,
                main: packed.main,
                parts: packed.parts,
            };
            row.keep(connection, log.key)?;
            at = run.checkpoint.len;
        }
        take_out(connection, log.key, from, log.end.len)
    }

    /// Ends a segment of a frozen log where a run ends that is in place, so that a branch which goes on from there can be
    /// followed. Says whether it did.
    pub(super) fn split(&mut self, connection: &Connection, run: &VerifiedRun) -> Result<bool> {
        let (id, end) = (run.run().log, run.end());
        let Some(log) = self.logs.get(&id).cloned() else {
            return Ok(false);
        };
        let (Some(last), true) = (end.len.checked_sub(1), end.len < log.end.len) else {
            return Ok(false);
        };
        let segment = self.segments.containing(connection, log.place(&id), last)?;
        let at = usize::try_from(end.len - segment.start.len).unwrap_or(usize::MAX);
        let Some((before, after)) = segment.entries.split_at_checked(at) else {
            return Ok(false);
        };
        if after.is_empty() || !Branches::read(self, connection, &id)?.is_stuck()? {
            return Ok(false);
        }
        let pieces = [
            (segment.start, before, &run.run().checkpoint),
            (end, after, &segment.checkpoint),
        ];
        for (start, entries, checkpoint) in pieces {
            let piece = Run {
                log: id,
                start,
                entries: entries.to_vec(),
                checkpoint: checkpoint.clone(),
            };
            insert_run(connection, log.key, &piece)?;
        }
        if let Some(known) = self.logs.get_mut(&id)
            && known.last_first == segment.start.len
        {
            known.last_first = end.len;
        }
        self.forget_read();
        self.tails.remove(&id);
        self.settle_fork(connection, &id)?;
        if log.author.space == Space::Authority.id(&self.identity.network) {
            self.fold_authority(connection)?;
        }
        Ok(true)
    }
}

impl Books {
    /// Where a branch that parts from the chain in place there must begin to take its place: a segment is kept whole.
    fn boundary(&mut self, connection: &Connection, id: &LogId, parts_at: u64) -> Result<u64> {
        let Some(log) = self.logs.get(id).cloned() else {
            return Ok(0);
        };
        if parts_at >= log.end.len {
            return Ok(log.end.len);
        }
        let segment = self
            .segments
            .containing(connection, log.place(id), parts_at)?;
        Ok(segment.start.len)
    }
}

impl Overview {
    /// The proof that a log forked, for a peer that does not know it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn fork_proof(&self, connection: &Connection, log: &LogId) -> Result<Option<ForkProof>> {
        let Some(key) = self.logs.get(log).map(|log| log.key) else {
            return Ok(None);
        };
        let mut statement = connection.prepare_cached("SELECT proof FROM forks WHERE log = ?1")?;
        let bytes: Option<Vec<u8>> = statement.query_row([key], |row| row.get(0)).optional()?;
        let proof = bytes
            .map(|bytes| ForkProof::read(&mut Reader::new(&bytes)))
            .transpose();
        proof.map_err(|error| {
            Error::because(Code::StoreCorrupt, "a stored fork proof is damaged", error)
        })
    }
}

impl Books {
    /// What stands on branches of a log that are not in place, run by run.
    pub(super) fn branches(&mut self, connection: &Connection, id: &LogId) -> Result<Vec<Beside>> {
        let Some(log) = self
            .logs
            .get(id)
            .filter(|log| log.forked.is_some())
            .cloned()
        else {
            return Ok(Vec::new());
        };
        let mut branches = Vec::new();
        for row in Row::all(connection, log.key)? {
            let mut beside = Vec::new();
            for entry in row.readable(id) {
                let end = Position {
                    len: entry.header.seq.saturating_add(1),
                    head: entry.header.id().0,
                };
                if !self.stands(connection, id, end)? {
                    beside.push(entry);
                }
            }
            branches.push(Beside {
                head: row.head,
                entries: beside,
            });
        }
        Ok(branches)
    }

    /// The logs of which a pinned branch is not here, and from where each is to be asked for.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn branches_wanted(&mut self, connection: &Connection) -> Result<Vec<(LogId, u64)>> {
        let frozen = self.logs.iter().filter(|(_, log)| log.forked.is_some());
        let frozen: Vec<_> = frozen.map(|(id, _)| *id).collect();
        let mut wanted = Vec::new();
        for id in frozen {
            wanted.extend(self.branch_wanted(connection, &id)?);
        }
        Ok(wanted)
    }

    /// Whether a pinned branch of this log is not here, and from where it is to be asked for.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn branch_wanted(
        &mut self,
        connection: &Connection,
        id: &LogId,
    ) -> Result<Option<(LogId, u64)>> {
        let Some(Frozen { at, .. }) = self.logs.get(id).and_then(|log| log.forked) else {
            return Ok(None);
        };
        if !Branches::read(self, connection, id)?.is_wanted()? {
            return Ok(None);
        }
        // rule:pin-branch-asked
        Ok(Some((*id, self.boundary(connection, id, at)?)))
    }

    /// Whether the hub has answered the fork of a log, and its answer is followed here: what does not count now never will.
    pub(crate) fn is_settled(&mut self, connection: &Connection, id: &LogId) -> Result<bool> {
        let first = self.authority.pins(id).first().copied();
        let frozen = self.logs.get(id).is_some_and(|log| log.forked.is_some());
        match first.filter(|_| frozen) {
            Some(pin) => self.stands(connection, id, pin),
            None => Ok(false),
        }
    }
}

/// What stands on a run of a branch and not in place.
pub(super) struct Beside {
    /// The last entry of the run.
    pub(super) head: [u8; 32],
    /// Its entries that are not in place.
    pub(super) entries: Vec<Entry>,
}

/// An entry that is not in place.
pub(crate) struct Aside {
    /// What its key would be if it were.
    pub(crate) key: i64,
    pub(crate) log: LogId,
    pub(crate) author: Author,
    pub(crate) entry: Entry,
}

/// The entries of a record that stand on branches and not in place, with the payloads of its parts: by log and place, of
/// two at one place the smaller id first.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn aside(connection: &Connection, record: i64, id: &RecordId) -> Result<Vec<Aside>> {
    let mut statement = connection.prepare_cached(
        "SELECT logs.id, logs.log, logs.space, logs.device, aside.beside,
                branches.first, branches.start, branches.main, branches.parts, branches.head
         FROM aside CROSS JOIN branches
             ON branches.log = aside.log AND branches.head = aside.head
         CROSS JOIN logs ON logs.id = aside.log WHERE aside.record = ?1",
    )?;
    let mut rows = statement.query([record])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (number, log, beside): (i64, LogId, u64) =
            (row.get(0)?, LogId(row.get(1)?), row.get(4)?);
        let author = Author {
            space: SpaceId(row.get(2)?),
            device: DeviceKey(row.get(3)?),
        };
        let run = Row::read(row, 5)?;
        for entry in run.unpacked(&log)?.entries {
            if entry.header.seq >= beside && entry.header.record == *id {
                let key = entry_key(number, entry.header.seq)?;
                let place = (key, entry.header.id());
                let aside = Aside {
                    key,
                    log,
                    author,
                    entry,
                };
                // Two runs of one branch may overlap.
                found.entry(place).or_insert(aside);
            }
        }
    }
    Ok(found.into_values().collect())
}
