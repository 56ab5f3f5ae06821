//! The cryptographic check of a whole store: every chain, payload, checkpoint, receipt and fork proof again,
//! from the bytes that are stored, trusting nothing that was noted when they came.

use lianxin_protocol::hash::Hex;
use lianxin_protocol::log::{ForkProof, LogId, Position};
use rusqlite::Connection;

use super::{Journal, read_receipt};
use crate::error::Result;

/// What was checked, and what did not hold.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Entries whose chain and payload were checked.
    pub entries: u64,
    /// Checkpoint signatures that hold.
    pub checkpoints: u64,
    /// Receipt signatures that hold.
    pub receipts: u64,
    /// What does not hold, by log and entry; no content.
    pub bad: Vec<String>,
}

impl Journal {
    /// Checks everything.
    ///
    /// # Errors
    /// The store cannot be read at all; what can be read and does not hold is in the report.
    pub fn verify(&mut self, connection: &Connection) -> Result<Report> {
        let mut report = Report::default();
        self.segments.clear();
        let logs: Vec<_> = self.logs.keys().copied().collect();
        for id in logs {
            self.verify_log(connection, &id, &mut report);
            self.verify_receipt(connection, &id, &mut report)?;
            self.verify_fork(connection, &id, &mut report)?;
        }
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

    fn verify_log(&mut self, connection: &Connection, id: &LogId, report: &mut Report) {
        let Some(log) = self.logs.get(id).cloned() else {
            return;
        };
        let name = Hex(&id.prefix()).to_string();
        let mut position = Position::start(id);
        let mut floor = 0;
        while position.len < log.end.len {
            let run = match self.run_at(connection, id, position.len) {
                Ok(run) => run,
                Err(error) => {
                    report.bad.push(format!(
                        "log {name} entry {}: {}",
                        position.len,
                        error.chain()
                    ));
                    return;
                }
            };
            if run.start != position {
                report.bad.push(format!(
                    "log {name} entry {}: the chain is broken",
                    position.len
                ));
                return;
            }
            let author = (position.len > 0).then_some(log.author);
            match run.verify(author, floor) {
                Ok(run) if run.author() == log.author => {
                    report.entries += run.ids().len() as u64;
                    report.checkpoints += 1;
                    floor = run.authority_len();
                    position = run.end();
                }
                Ok(_) => {
                    report
                        .bad
                        .push(format!("log {name}: another device wrote it"));
                    return;
                }
                Err(error) => {
                    report
                        .bad
                        .push(format!("log {name} from entry {}: {error}", position.len));
                    return;
                }
            }
        }
        if position != log.end {
            report
                .bad
                .push(format!("log {name}: it does not end where the store says"));
        }
    }

    fn verify_receipt(
        &mut self,
        connection: &Connection,
        id: &LogId,
        report: &mut Report,
    ) -> Result<()> {
        let Some(key) = self.logs.get(id).map(|log| log.key) else {
            return Ok(());
        };
        let Some(receipt) = read_receipt(connection, key)? else {
            return Ok(());
        };
        let name = Hex(&id.prefix()).to_string();
        let signed = self.authority.keys().any(|key| receipt.verifies(&key));
        let fits = receipt.stored.len == 0
            || matches!(self.stands(connection, id, receipt.stored), Ok(true));
        if signed && fits && receipt.log == *id {
            report.receipts += 1;
        } else {
            report
                .bad
                .push(format!("log {name}: its receipt does not hold"));
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
            let name = Hex(&id.prefix()).to_string();
            let line = format!("log {name}: it is frozen otherwise than its fork proof says");
            report.bad.push(line);
        }
        Ok(())
    }
}
