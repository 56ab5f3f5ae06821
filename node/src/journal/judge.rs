//! The authority log folded into who may do what, and every log judged by it. Nothing is dropped: what does not
//! count is an exception with its reason, and may count again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use lianxin_protocol::admit::{LogFacts, Verdict, judge};
use lianxin_protocol::authority::{Authority, Order, OrderError, Reason, Role};
use lianxin_protocol::log::{EntryKind, LogId};
use lianxin_protocol::receipt::Exception;
use lianxin_protocol::space::Space;
use rusqlite::{Connection, params};

use super::{Journal, exceptions, insert_exception, mark_stale, merge_ranges};
use crate::error::Result;

impl Journal {
    pub(super) fn fold_authority(&mut self, connection: &Connection) -> Result<()> {
        self.authority = Arc::new(Authority::new(self.identity.network));
        self.fold_orders(connection)
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
        for (id, log) in &self.logs {
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

    /// Folds what the authority log holds beyond what was folded, and judges all logs again when
    /// that changed something.
    pub(super) fn fold_orders(&mut self, connection: &Connection) -> Result<()> {
        let space = Space::Authority.id(&self.identity.network);
        let log = self
            .logs
            .iter()
            .filter(|(_, log)| log.author.space == space);
        // Version 1 has one authority log: the one in which the root's certificate stands second.
        let candidates: Vec<_> = log.map(|(id, log)| (*id, log.clone())).collect();
        let mut certified = None;
        for (id, log) in candidates.into_iter().filter(|(_, log)| log.end.len > 1) {
            let second = self.entry(connection, &id, 1)?;
            let order = second.payload.as_deref().map(Order::decode);
            if let Some(Ok(Order::Certificate(certificate))) = order
                && certificate.authority == log.author.device
                && certificate.holds(&self.identity.network)
            {
                certified = Some((id, log));
            }
        }
        let Some((id, log)) = certified else {
            return Ok(());
        };
        let mut next = u64::from(self.authority.cited().0);
        let changed = next < log.end.len;
        while next < log.end.len {
            let entry = self.entry(connection, &id, next)?;
            let is_order = entry.header.kind == EntryKind::Authority;
            let payload = entry.payload.as_deref().filter(|_| is_order);
            match Arc::make_mut(&mut self.authority).apply(
                &entry.header.id(),
                &log.author.device,
                payload,
            ) {
                Ok(()) | Err(OrderError::Newer) => {}
                Err(error) => tracing::warn!(%error, entry = next, "an order without effect"),
            }
            next += 1;
        }
        if changed {
            self.moved.authority = true;
            self.judge_all(connection)?;
        }
        Ok(())
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
        let facts = LogFacts {
            log: *id,
            author: log.author,
            forked_at: log.forked.map(|position| position.len),
        };
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
        let guard = before
            .iter()
            .filter(|exception| exception.reason == Reason::Guard)
            .cloned();
        wanted.extend(guard.filter(|exception| {
            let inside = |seq| range.contains(&seq);
            inside(exception.range.start)
        }));
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
}
