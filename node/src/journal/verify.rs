//! The cryptographic check of a whole store: every chain, payload, checkpoint, receipt and fork proof again,
//! from the bytes that are stored, trusting nothing that was noted when they came.
//!
//! What does not hold is named by log, entries and records, and the check goes on behind it. It reads through a
//! connection of its own, which is replaced when it has met a page that the database cannot read.

use lianxin_protocol::hash::Hex;
use lianxin_protocol::log::{ChainError, ForkProof, LogId, Position, RecordId, VerifiedRun};
use rusqlite::{Connection, OptionalExtension as _};

use super::segments::{entry_key, split_key};
use super::{Books, Log, receipts};
use crate::error::{Code, Error, Result};
use crate::store;

/// Records that one line names.
const RECORDS_NAMED: usize = 8;

/// What was checked, and what did not hold.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Entries whose chain and payload were checked.
    pub entries: u64,
    /// Checkpoint signatures that hold.
    pub checkpoints: u64,
    /// Receipt signatures that hold.
    pub receipts: u64,
    /// What does not hold, by log, entries and records; no content.
    pub bad: Vec<String>,
}

impl Report {
    /// Notes what does not hold of a log.
    fn bad(&mut self, log: &LogId, what: impl std::fmt::Display) {
        self.bad.push(format!("log {}{what}", Hex(&log.prefix())));
    }
}

impl Books {
    /// Checks everything.
    ///
    /// # Errors
    /// The store cannot be read at all; what can be read and does not hold is in the report.
    pub fn verify(&mut self, connection: &Connection) -> Result<Report> {
        let mut report = Report::default();
        let mut reader = store::another(connection)?;
        self.segments.clear();
        let logs: Vec<_> = self.logs.keys().copied().collect();
        for id in logs {
            self.verify_log(&mut reader, &id, &mut report)?;
            for check in [Self::verify_receipt, Self::verify_fork] {
                if let Err(error) = check(self, &reader, &id, &mut report) {
                    report.bad(&id, format_args!(": {}", error.chain()));
                    store::renew(&mut reader)?;
                }
            }
        }
        self.verify_damaged(&mut report);
        // A device that no peer has told anything yet 待入网 has no authority log; a hub writes its own.
        let is_hub = self.identity.authority.is_some();
        let waits = !is_hub && self.logs.values().all(|log| self.is_own(&log.author));
        if self.authority.key().is_none() && !waits {
            report
                .bad
                .push("the authority log is not certified by the network's root".to_owned());
        }
        Ok(report)
    }

    fn verify_log(
        &mut self,
        reader: &mut Connection,
        id: &LogId,
        report: &mut Report,
    ) -> Result<()> {
        let Some(log) = self.logs.get(id).cloned() else {
            return Ok(());
        };
        let mut position = Position::start(id);
        let mut floor = 0;
        // It may grow while it is walked through.
        let mut log = log;
        loop {
            if position.len >= log.end.len {
                let end = stored_end(reader, &log)?;
                if end.len <= position.len {
                    log.end = end;
                    break;
                }
                log.end = end;
            }
            match self.verify_run(reader, (id, &log), position, floor) {
                Ok(run) => {
                    report.entries += run.ids().len() as u64;
                    report.checkpoints += 1;
                    floor = run.authority_len();
                    position = run.end();
                }
                Err((error, part)) => {
                    store::renew(reader)?;
                    let next = segment_after(reader, &log, position.len);
                    let end = match &next {
                        Ok(Some(next)) => next.len,
                        Ok(None) | Err(_) => log.end.len,
                    };
                    let places =
                        part.map_or((position.len, end), |seq| (seq, seq.saturating_add(1)));
                    let records = records_at(reader, &log, places).unwrap_or_default();
                    let (first, last) = (places.0, places.1.saturating_sub(1));
                    let what = format_args!(
                        " entries {first} to {last}{}: {}",
                        named(&records),
                        error.chain()
                    );
                    report.bad(id, what);
                    let Ok(Some(next)) = next else {
                        return Ok(());
                    };
                    // The chain cannot be followed to there, and what lies there can still be checked.
                    (position, floor) = (next, 0);
                }
            }
        }
        if position != log.end {
            report.bad(id, ": it does not end where the store says");
        }
        Ok(())
    }

    /// Checks the segment that begins at a position. If it does not hold, says why, and of which part if it is one alone. The
    /// log is a suspect then.
    fn verify_run(
        &mut self,
        reader: &Connection,
        (id, log): (&LogId, &Log),
        at: Position,
        floor: u32,
    ) -> Result<VerifiedRun, (Error, Option<u64>)> {
        let unsound = |what: &str| (Error::new(Code::Unsound, what), None);
        let run = self.run_at(reader, id, at.len);
        let run = run.map_err(|error| (error, None))?;
        if run.start != at {
            return Err(unsound("the chain is broken"));
        }
        let author = (at.len > 0).then_some(log.author);
        let run = run.verify(author, floor).map_err(|error| {
            self.suspect([*id]);
            let part = match error {
                ChainError::Payload(seq) => Some(seq),
                _ => None,
            };
            let message = "it is not what was signed";
            (Error::because(Code::Unsound, message, error), part)
        })?;
        if run.author() != log.author {
            return Err(unsound("another device wrote it"));
        }
        Ok(run)
    }

    fn verify_receipt(
        &mut self,
        connection: &Connection,
        id: &LogId,
        report: &mut Report,
    ) -> Result<()> {
        let Some(log) = self.logs.get(id).cloned() else {
            return Ok(());
        };
        let Some(receipt) = receipts::stored_receipt(connection, log.key)? else {
            return Ok(());
        };
        // It goes on to say what the hub has of what was lost here.
        let lost = self.damaged_len(id).is_some() && receipt.stored.len > log.end.len;
        let signed = self.authority.keys().any(|key| receipt.verifies(&key));
        let fits = receipt.stored.len == 0
            || lost
            || matches!(self.stands(connection, id, receipt.stored), Ok(true));
        if signed && fits && receipt.log == *id {
            report.receipts += 1;
        } else {
            report.bad(id, ": its receipt does not hold");
        }
        Ok(())
    }

    /// A frozen log has a proof, and the proof says that it is frozen there.
    fn verify_fork(
        &mut self,
        connection: &Connection,
        id: &LogId,
        report: &mut Report,
    ) -> Result<()> {
        let Some(log) = self.logs.get(id).cloned() else {
            return Ok(());
        };
        let proof = self.fork_proof(connection, id)?;
        let first = |proof: &ForkProof| {
            let first = proof.branches.first()?.headers.first()?;
            let position = Position {
                len: first.seq,
                head: first.prev,
            };
            let of_this_log = (proof.author, proof.log) == (log.author, *id);
            proof.seq().filter(|_| of_this_log).map(|_| position)
        };
        let holds = match (&proof, log.forked) {
            (None, None) => true,
            (Some(proof), Some(frozen)) => {
                let before = Position {
                    len: frozen.at,
                    head: self.head_at(connection, id, frozen.at)?,
                };
                first(proof) == Some(before)
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !holds {
            report.bad(id, ": it is frozen otherwise than its fork proof says");
        }
        Ok(())
    }

    /// What was damaged and has not come back.
    fn verify_damaged(&self, report: &mut Report) {
        for (id, len) in &self.damaged {
            let (held, last) = (self.len_of(id), len.saturating_sub(1));
            if held < *len {
                let what = format_args!(
                    " entries {held} to {last}: they were damaged and have not come back yet"
                );
                report.bad(id, what);
            }
        }
        for (id, seq) in &self.damaged_parts {
            let what = format_args!(" entry {seq}: a part was damaged and has not come back yet");
            report.bad(id, what);
        }
        for id in &self.unreadable {
            report.bad(id, ": the database cannot read it");
        }
    }
}

/// How far a log is stored by now.
fn stored_end(connection: &Connection, log: &Log) -> Result<Position> {
    let mut statement = connection.prepare_cached("SELECT len, head FROM logs WHERE id = ?1")?;
    let end = statement.query_row([log.key], |row| {
        let (len, head) = (row.get(0)?, row.get(1)?);
        Ok(Position { len, head })
    });
    Ok(end?)
}

/// Where the first segment begins that begins behind an entry.
fn segment_after(connection: &Connection, log: &Log, seq: u64) -> Result<Option<Position>> {
    let mut statement = connection.prepare_cached(
        "SELECT entry, start FROM segments WHERE entry > ?1 AND entry < ?2 ORDER BY entry LIMIT 1",
    )?;
    let keys = [entry_key(log.key, seq)?, entry_key(log.key, log.end.len)?];
    let next = statement.query_row(keys, |row| {
        let (_, len) = split_key(row.get(0)?);
        let head = row.get(1)?;
        Ok(Position { len, head })
    });
    Ok(next.optional()?)
}

/// The records of which entries stand in a stretch of a log, each with its number if it has one.
fn records_at(
    connection: &Connection,
    log: &Log,
    (first, end): (u64, u64),
) -> Result<Vec<(RecordId, Option<String>)>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT records.record, records.number FROM touches
         JOIN records ON records.id = touches.record
         WHERE touches.entry >= ?1 AND touches.entry < ?2 ORDER BY records.record",
    )?;
    let keys = [entry_key(log.key, first)?, entry_key(log.key, end)?];
    let rows = statement.query_map(keys, |row| Ok((RecordId(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn named(records: &[(RecordId, Option<String>)]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let names = records.iter().take(RECORDS_NAMED);
    let names = names.map(|(id, number)| match number {
        Some(number) => format!("{} {number}", id.hyphenated()),
        None => id.hyphenated(),
    });
    let names: Vec<_> = names.collect();
    let more = match records.len().saturating_sub(RECORDS_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(" (records {}{more})", names.join(", "))
}
