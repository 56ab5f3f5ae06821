//! The authority logs folded into who may do what, and every log judged by it. Nothing is dropped: what does not
//! count is an exception with its reason, and may count again.
//!
//! Which authority logs are folded, and how far, is a plan made anew each time from what is stored; the fold goes on
//! where the plan only grew, and begins again where it changed: a successor came, or a fork was proven.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use lianxin_protocol::authority::{
    Authority, Certificate, Order, OrderError, Role, Succession, Unsettled,
};
use lianxin_protocol::log::{EntryId, EntryKind, LogId, VerifiedRun};
use lianxin_protocol::receipt::Exception;
use lianxin_protocol::space::Space;
use lianxin_protocol::verdict::{LogFacts, Verdict, judge};
use rusqlite::{Connection, params};

use super::{Books, Journal, Log, exceptions, insert_exception, mark_stale, merge_ranges};
use crate::error::Result;
use crate::store;

/// Key under which a store keeps the authority log that it followed when another of the same version came, and how
/// far: the id of the log, then its length as u64.
const STAYS: &str = "authority_stays";

impl Journal {
    pub(super) fn fold_authority(&mut self, connection: &Connection) -> Result<()> {
        self.begin_fold();
        self.fold_orders(connection)
    }

    fn begin_fold(&mut self) {
        self.authority = Arc::new(Authority::new(self.identity.network));
        self.folded.clear();
    }

    /// Folds what has come to the authority log. Whether a workflow step counts depends on the role of
    /// the device that took it, so records of devices whose role is another now become stale.
    pub(super) fn catch_up_authority(&mut self, connection: &Connection) -> Result<()> {
        let roles = |journal: &Self| -> BTreeMap<LogId, Option<Role>> {
            let logs = journal.logs.iter();
            logs.map(|(id, log)| (*id, journal.authority.role(&log.author.device)))
                .collect()
        };
        let before = roles(self);
        self.fold_orders(connection)?;
        let after = roles(self);
        let mut unsettled = false;
        for (id, log) in &self.books.logs {
            if before.get(id) != after.get(id) {
                mark_stale(connection, log.key, &(0..log.end.len))?;
                self.moved.stale = true;
                unsettled |= self.is_hub_space(&log.author.space);
            }
        }
        if unsettled {
            self.settle_requests(connection)?;
        }
        Ok(())
    }

    /// Folds what the authority logs hold beyond what was folded, and judges all logs again when
    /// that changed something.
    pub(super) fn fold_orders(&mut self, connection: &Connection) -> Result<()> {
        let unsettled = self.authority.unsettled();
        let followed = self.authority.succession().cloned();
        let mut plan = self.plan(connection)?;
        let mut turned = false;
        if self.authority.succession() != followed.as_ref() {
            // What a certificate trusts answers a fork of the log before it: the chain there may be another now.
            turned = self.settle_forks(connection, true)?;
            plan = self.plan(connection)?;
        }
        let goes_on = !turned
            && self
                .folded
                .iter()
                .enumerate()
                .all(|(at, (log, len))| match plan.get(at) {
                    // Only the last that was begun may have grown.
                    Some((planned, to)) if at + 1 == self.folded.len() => {
                        planned == log && to >= len
                    }
                    Some(planned) => *planned == (*log, *len),
                    None => false,
                });
        if !goes_on {
            tracing::warn!("other authority logs are followed: all orders are folded anew");
            let succession = self.authority.succession().cloned();
            let unsettled = self.authority.unsettled();
            self.begin_fold();
            let authority = Arc::make_mut(&mut self.authority);
            if let Some(succession) = succession {
                authority.follow(Ok(succession));
            }
            if let Some(unsettled) = unsettled {
                authority.follow(Err(unsettled));
            }
        }
        let mut changed = !goes_on || unsettled != self.authority.unsettled();
        for (at, (log, to)) in plan.into_iter().enumerate() {
            let from = self.folded.get(at).map_or(0, |(_, len)| *len);
            changed |= from < to;
            self.fold_log(connection, &log, from..to)?;
            if at == self.folded.len() {
                self.folded.push((log, to));
            } else if let Some(folded) = self.folded.get_mut(at) {
                folded.1 = to;
            }
        }
        if changed {
            self.moved.authority = true;
            self.settle_forks(connection, false)?;
            self.judge_all(connection)?;
            self.take_set_aside(connection)?;
        }
        Ok(())
    }

    fn fold_log(&mut self, connection: &Connection, id: &LogId, range: Range<u64>) -> Result<()> {
        let Some(device) = self.logs.get(id).map(|log| log.author.device) else {
            return Ok(());
        };
        for seq in range {
            let entry = self.entry(connection, id, seq)?;
            let (id, kind) = (entry.header.id(), entry.header.kind);
            let authority = Arc::make_mut(&mut self.authority);
            match authority.take(&id, &device, kind, entry.payload.as_deref()) {
                Ok(()) | Err(OrderError::Newer) => {}
                Err(error) => tracing::warn!(%error, entry = seq, "an order without effect"),
            }
        }
        Ok(())
    }

    /// Which authority logs are to be folded, each with its length.
    fn plan(&mut self, connection: &Connection) -> Result<Vec<(LogId, u64)>> {
        let mut certified = self.certified(connection)?;
        let mut stays = None;
        let mut found = Succession::of(&certified);
        if let Err(Unsettled::Contested(version)) = found {
            let authority = Arc::make_mut(&mut self.authority);
            authority.follow(Err(Unsettled::Contested(version)));
            // None of them goes on: this store stays with the one that it followed, as far as it did.
            stays = self.stays(connection, &certified, version)?;
            let kept = stays.map(|(log, _)| log);
            certified.retain(|log, it| it.version < version || Some(*log) == kept);
            if let Ok(succession) = Succession::of(&certified) {
                let authority = Arc::make_mut(&mut self.authority);
                authority.follow(Ok(succession));
                authority.follow(Err(Unsettled::Contested(version)));
            }
        } else {
            let unsettled = found.as_ref().err().copied();
            if self.authority.unsettled() != unsettled
                || found.as_ref().ok() != self.authority.succession()
            {
                let found = std::mem::replace(&mut found, Err(Unsettled::Nothing));
                Arc::make_mut(&mut self.authority).follow(found);
            }
        }
        let Some(succession) = self.authority.succession().cloned() else {
            return Ok(Vec::new());
        };
        let mut plan = Vec::new();
        for (log, trusted) in succession.logs() {
            let Some(known) = self.logs.get(&log).cloned() else {
                break;
            };
            // A fork stops the fold, but for what the root key trusts.
            let held = known.forked.map_or(known.end.len, |frozen| frozen.at);
            let Some(end) = trusted else {
                let most = stays.filter(|(it, _)| *it == log);
                plan.push((log, most.map_or(held, |(_, len)| held.min(len))));
                break;
            };
            if end.len > 0 && !self.stands(connection, &log, end)? {
                plan.push((log, held.min(end.len)));
                break;
            }
            plan.push((log, end.len));
        }
        Ok(plan)
    }

    /// The authority logs that the root key certified, with their certificates.
    pub(super) fn certified(
        &mut self,
        connection: &Connection,
    ) -> Result<BTreeMap<LogId, Certificate>> {
        let space = Space::Authority.id(&self.identity.network);
        let logs = self.logs.iter();
        let logs = logs.filter(|(_, log)| log.author.space == space && log.end.len > 1);
        let logs: Vec<_> = logs.map(|(id, log)| (*id, log.author.device)).collect();
        let mut certified = BTreeMap::new();
        for (id, device) in logs {
            let second = self.entry(connection, &id, 1)?;
            let order = second.payload.as_deref().map(Order::decode);
            if let Some(Ok(Order::Certificate(certificate))) = order
                && certificate.authority == device
                && certificate.holds(&self.identity.network)
            {
                certified.insert(id, certificate);
            }
        }
        Ok(certified)
    }

    /// With which of several logs of one version this store stays, and how far.
    fn stays(
        &self,
        connection: &Connection,
        certified: &BTreeMap<LogId, Certificate>,
        version: u32,
    ) -> Result<Option<(LogId, u64)>> {
        let contests = |log: &LogId| certified.get(log).is_some_and(|it| it.version == version);
        if let Some(bytes) = store::meta(connection, STAYS)?
            && let Some((log, len)) = bytes.split_first_chunk::<32>()
            && let Ok(len) = <[u8; 8]>::try_from(len)
            && contests(&LogId(*log))
        {
            return Ok(Some((LogId(*log), u64::from_be_bytes(len))));
        }
        let Some((log, len)) = self.folded.last().filter(|(log, _)| contests(log)) else {
            return Ok(None);
        };
        tracing::error!(
            version,
            "two authority logs of one version: no order is followed"
        );
        let bytes = [&log.0[..], &len.to_be_bytes()].concat();
        store::set_meta(connection, STAYS, &bytes)?;
        Ok(Some((*log, *len)))
    }

    /// Whether a run is of an authority log that the root key certified. Such a log begins with genesis and
    /// certificate in its first run, so nobody else can put anything into this space.
    pub(super) fn is_certified(&self, run: &VerifiedRun) -> bool {
        if self.logs.contains_key(&run.run().log) || run.run().start.len > 0 {
            // What is known was certified; what begins later is asked for from its beginning.
            return true;
        }
        // rule:certificate-first
        let second = run.run().entries.get(1);
        let second = second.filter(|entry| entry.header.kind == EntryKind::Authority);
        let payload = second.and_then(|entry| entry.payload.as_deref());
        // rule:authority-certified
        matches!(
            payload.map(Order::decode),
            Some(Ok(Order::Certificate(certificate)))
                if certificate.authority == run.author().device
                    && certificate.holds(&self.identity.network)
        )
    }

    /// Judges every log by the present authority; records whose entries change sides become stale.
    pub(super) fn judge_all(&mut self, connection: &Connection) -> Result<()> {
        let ids: Vec<_> = self.logs.keys().copied().collect();
        for id in ids {
            let len = self.logs.get(&id).map_or(0, |log| log.end.len);
            self.judge_log(connection, &id, 0..len)?;
        }
        Ok(())
    }

    /// Judges a range of a log and keeps the exceptions.
    pub(super) fn judge_log(
        &mut self,
        connection: &Connection,
        id: &LogId,
        range: Range<u64>,
    ) -> Result<()> {
        let Some(log) = self.logs.get(id).cloned() else {
            return Ok(());
        };
        let facts = facts(id, &log);
        let authority = Arc::clone(&self.authority);
        // A device that waits for its grant 待入网 shows what it records; everywhere else that waits.
        let waits = self.is_own(&log.author) && self.role().is_none();
        let verdicts = if waits && log.forked.is_none() {
            Vec::new()
        } else {
            judge(&authority, &facts, range.clone(), |seq| {
                if seq < log.end.len {
                    self.id_at(connection, id, seq).map(Some)
                } else {
                    Ok(None)
                }
            })?
        };
        let mut wanted: Vec<Exception> = Vec::new();
        for (range, verdict) in verdicts {
            if let Verdict::Quarantined(reason) = verdict {
                wanted.push(Exception { range, reason });
            }
        }
        let known = exceptions(connection, log.key)?;
        let overlaps = |exception: &&Exception| {
            exception.range.start < range.end && range.start < exception.range.end
        };
        let before: Vec<_> = known.iter().filter(overlaps).cloned().collect();
        wanted.sort_by_key(|exception| exception.range.start);
        merge_ranges(&mut wanted);
        if wanted == before {
            return Ok(());
        }
        for exception in &before {
            let mut statement = connection
                .prepare_cached("DELETE FROM exceptions WHERE log = ?1 AND first = ?2")?;
            statement.execute(params![log.key, exception.range.start])?;
        }
        for exception in before
            .iter()
            .filter(|exception| exception.range.start < range.start)
        {
            // The part before the judged range stays as it was.
            let range = exception.range.start..range.start;
            insert_exception(
                connection,
                log.key,
                &Exception {
                    range,
                    ..exception.clone()
                },
            )?;
        }
        for exception in &wanted {
            insert_exception(connection, log.key, exception)?;
        }
        // Only entries on one side of the difference are shown otherwise than before.
        for exception in before.iter().filter(|it| !wanted.contains(it)) {
            mark_stale(connection, log.key, &exception.range)?;
        }
        for exception in wanted.iter().filter(|it| !before.contains(it)) {
            mark_stale(connection, log.key, &exception.range)?;
        }
        if self.is_hub_space(&log.author.space) {
            self.settle_requests(connection)?;
            self.moved.records = true;
        }
        self.touched.insert(*id);
        self.unreceipted.insert(*id);
        self.moved.stale = true;
        Ok(())
    }
    /// Whether no order holds back anything of a log.
    pub(super) fn all_counts(&self, id: &LogId) -> bool {
        let Some(log) = self.logs.get(id) else {
            return true;
        };
        let unknown = |_| Ok::<Option<EntryId>, std::convert::Infallible>(None);
        let Ok(verdicts) = judge(&self.authority, &facts(id, log), 0..u64::MAX, unknown);
        verdicts
            .iter()
            .all(|(_, verdict)| *verdict == Verdict::Accepted)
    }
}

impl Books {
    /// When the order was given with which the authority logs had this length together, in Unix milliseconds by the
    /// hub's clock.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn ordered_at(&mut self, connection: &Connection, len: u32) -> Result<Option<u64>> {
        let mut seq = u64::from(len).saturating_sub(1);
        for (log, folded) in self.folded.clone() {
            if seq < folded {
                let entry = self.entry(connection, &log, seq)?;
                return Ok(Some(entry.header.hlc >> 16));
            }
            seq -= folded;
        }
        Ok(None)
    }
}

fn facts(id: &LogId, log: &Log) -> LogFacts {
    LogFacts {
        log: *id,
        author: log.author,
        first: log.first,
        held_to: log.forked.map_or(u64::MAX, |frozen| frozen.tip.len),
    }
}
