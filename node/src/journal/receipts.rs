//! Receipts: the hub's statements of what it has, signed there, kept and compared elsewhere.

use lianxin_protocol::limits;
use lianxin_protocol::log::LogId;
use lianxin_protocol::receipt::{Exception, Receipt};
use lianxin_protocol::space::SpaceId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Journal, Log, Overview, OwnCoverage, withheld};
use crate::error::{Code, Error, Result};
use crate::records::delivery;

impl Journal {
    /// Signs the receipts of all logs of others that moved.
    pub(super) fn sign_receipts(&mut self, connection: &Connection, now_ms: u64) -> Result<()> {
        let logs = std::mem::take(&mut self.unreceipted);
        let Some(authority) = self.identity.authority.clone() else {
            return Ok(());
        };
        // A hub that was replaced confirms nothing more.
        if self
            .authority
            .key()
            .is_some_and(|key| key != authority.public())
        {
            return Ok(());
        }
        for id in logs {
            let Some(log) = self.logs.get(&id).filter(|log| !self.is_own(&log.author)) else {
                continue;
            };
            let stored = log.tip().position();
            let exceptions = excepted(connection, log.key, stored.len)?;
            let judged_len = log.judged_len.min(stored.len);
            // Within an epoch the later one counts, also where the clock stood still or was set back in between.
            let before = read_receipt(connection, log.key)?;
            let before = before.filter(|it| it.epoch == self.identity.epoch);
            let after = before.map_or(0, |it| it.received_at_ms.saturating_add(1));
            let receipt = Receipt {
                space: log.author.space,
                log: id,
                epoch: self.identity.epoch,
                stored,
                judged_len,
                exceptions,
                // rule:receipt-later
                received_at_ms: now_ms.max(after),
                signature: [0; 64],
            };
            let receipt = receipt.signed(&authority);
            write_receipt(connection, log.key, &receipt)?;
            self.moved.receipts.push(receipt);
        }
        Ok(())
    }

    /// Keeps a receipt that a peer sent, if the authority key signed it and it does not fall behind
    /// the one that is kept. Says whether it was kept.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn take_receipt(&mut self, connection: &Connection, receipt: &Receipt) -> Result<bool> {
        // The hub's own words come back to it with every station that keeps them.
        if self.identity.authority.is_some() {
            return Ok(false);
        }
        let (Some(key), Some(log)) = (self.authority.key(), self.logs.get(&receipt.log)) else {
            return Ok(false);
        };
        // Of more than is here, which is on its way: the newest one comes with it again.
        if receipt.stored.len > log.end.len {
            tracing::debug!("a receipt for more than this device has was not kept");
            return Ok(false);
        }
        // rule:receipt-held
        if log.author.space != receipt.space || !receipt.verifies(&key) {
            tracing::warn!("a receipt that does not verify was not kept");
            return Ok(false);
        }
        // A receipt speaks of what the hub has: if it has something else there, the log forked.
        // rule:receipt-held
        if receipt.stored.len > 0 && !self.stands(connection, &receipt.log, receipt.stored)? {
            tracing::warn!("a receipt for entries that this device does not have was not kept");
            return Ok(false);
        }
        if self.authority.epoch_rank(&receipt.epoch).is_none() {
            // The order that began the epoch is on its way, on this line or on another.
            self.set_aside.insert(receipt.log, receipt.clone());
            return Ok(false);
        }
        let key = self.logs.get(&receipt.log).map_or(0, |log| log.key);
        // rule:receipt-newer
        let before = read_receipt(connection, key)?;
        if !self.is_newer(receipt, before.as_ref()) {
            return Ok(false);
        }
        let stored = before.as_ref().map(|before| before.stored.len);
        if stored.is_none_or(|stored| stored < receipt.stored.len) {
            self.measure_own_clock(receipt);
        }
        write_receipt(connection, key, receipt)?;
        let receipts = (before.as_ref(), receipt);
        let said = delivery::receipted(connection, self, key, receipts, self.rows_left)?;
        if said == self.rows_left {
            self.books.overview.unstated.insert(key);
            self.moved.untidy = true;
        }
        self.rows_left = self.rows_left.saturating_sub(said);
        self.settle_fork(connection, &receipt.log)?;
        self.moved.receipts.push(receipt.clone());
        self.moved.records = true;
        Ok(true)
    }

    /// Keeps the receipts whose epoch was not known when they came.
    pub(super) fn take_set_aside(&mut self, connection: &Connection) -> Result<()> {
        for receipt in std::mem::take(&mut self.set_aside).into_values() {
            self.take_receipt(connection, &receipt)?;
        }
        Ok(())
    }

    /// Whether a receipt takes the place of the one that is kept: epochs in the order in which orders began them, within
    /// one the later time. So a hub that was put back can say that it has less than it had. One of an epoch that no order
    /// names is set aside. This is a strict order: of two devices that hold different ones, one learns, and they do
    /// not exchange them for ever.
    fn is_newer(&self, receipt: &Receipt, kept: Option<&Receipt>) -> bool {
        let rank = |it: &Receipt| self.authority.epoch_rank(&it.epoch);
        let Some(epoch) = rank(receipt) else {
            return false;
        };
        kept.is_none_or(|kept| {
            (Some(epoch), receipt.received_at_ms) > (rank(kept), kept.received_at_ms)
        })
    }
}

impl Overview {
    /// The newest receipts of a space.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn receipts(&self, connection: &Connection, space: &SpaceId) -> Result<Vec<Receipt>> {
        let mut receipts = Vec::new();
        for (_, log) in self.logs_of(space) {
            receipts.extend(held_receipt(connection, log)?);
        }
        Ok(receipts)
    }

    /// The newest receipt of a log.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn receipt(&self, connection: &Connection, log: &LogId) -> Result<Option<Receipt>> {
        let log = self.logs.get(log);
        log.map_or(Ok(None), |log| held_receipt(connection, log))
    }

    /// Whether receipts of a space are to be waited for: some log, other than the hub's own, is not covered by its newest
    /// receipt, or that is of an epoch of the hub that has ended.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn lacks_receipts(&self, connection: &Connection, space: &SpaceId) -> Result<bool> {
        self.any_receipt(connection, space, |log, receipt| {
            Ok(!self.is_covered(log, receipt))
        })
    }

    /// Whether some receipt of a space may have been replaced since: it says otherwise of what does not count than is known
    /// here. The hub signs anew when it judges anew, and tells whoever is connected then.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn doubts_receipts(&self, connection: &Connection, space: &SpaceId) -> Result<bool> {
        self.any_receipt(connection, space, |log, receipt| {
            is_doubted(connection, log, receipt)
        })
    }

    /// Whether receipts of a space are to be asked for, for either reason.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn asks_receipts(&self, connection: &Connection, space: &SpaceId) -> Result<bool> {
        self.any_receipt(connection, space, |log, receipt| {
            Ok(!self.is_covered(log, receipt) || is_doubted(connection, log, receipt)?)
        })
    }

    /// How much of this device's own logs verified receipts cover.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn own_coverage(&self, connection: &Connection) -> Result<OwnCoverage> {
        let mut own = OwnCoverage::default();
        for (_, log) in self
            .own_logs()
            .filter(|(_, log)| !self.is_hubs(&log.author.device))
        {
            own.entries += log.end.len;
            if let Some(receipt) = read_receipt(connection, log.key)? {
                own.receipted += receipt.stored.len.min(log.end.len);
                let held = receipt
                    .exceptions
                    .iter()
                    .map(|it| it.range.end - it.range.start);
                own.quarantined += held.sum::<u64>();
            }
        }
        Ok(own)
    }

    /// Whether this holds of a log of a space, with its newest receipt. A hub needs none, and its own logs have none.
    fn any_receipt(
        &self,
        connection: &Connection,
        space: &SpaceId,
        holds: impl Fn(&Log, Option<&Receipt>) -> Result<bool>,
    ) -> Result<bool> {
        if self.identity.authority.is_some() {
            return Ok(false);
        }
        for (_, log) in self.logs_of(space) {
            if self.is_hubs(&log.author.device) {
                continue;
            }
            if holds(log, read_receipt(connection, log.key)?.as_ref())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_covered(&self, log: &Log, receipt: Option<&Receipt>) -> bool {
        receipt.is_some_and(|it| {
            it.judged_len >= log.tip().len && self.authority.epochs().last() == Some(&it.epoch)
        })
    }
}

/// Whether a receipt says otherwise of what does not count than is known here.
fn is_doubted(connection: &Connection, log: &Log, receipt: Option<&Receipt>) -> Result<bool> {
    let Some(receipt) = receipt else {
        return Ok(false);
    };
    Ok(receipt.exceptions != excepted(connection, log.key, receipt.stored.len)?)
}

/// What a receipt for so many entries of a log says of those that do not count.
fn excepted(connection: &Connection, log: i64, stored: u64) -> Result<Vec<Exception>> {
    let mut exceptions = withheld(connection, log)?;
    exceptions.retain(|exception| exception.range.start < stored);
    if exceptions.len() > limits::EXCEPTIONS_MAX {
        // Too many to name each: the last one named spans the rest, so that none is overstated.
        let end = exceptions.last().map_or(0, |last| last.range.end);
        // rule:limits-written
        exceptions.truncate(limits::EXCEPTIONS_MAX);
        if let Some(last) = exceptions.last_mut() {
            last.range.end = end;
        }
    }
    Ok(exceptions)
}

/// The newest receipt of a log, unless it speaks of entries that are not here any more: a hub that lost some does not say
/// that it has them.
fn held_receipt(connection: &Connection, log: &Log) -> Result<Option<Receipt>> {
    let receipt = read_receipt(connection, log.key)?;
    Ok(receipt.filter(|receipt| receipt.stored.len <= log.end.len))
}

/// The newest receipt of a log. One that is damaged is none: the hub signs another, and gives it to whoever asks.
pub(crate) fn read_receipt(connection: &Connection, log: i64) -> Result<Option<Receipt>> {
    match stored_receipt(connection, log) {
        Err(error) if !error.is_of_a_page() && error.code() == Code::StoreCorrupt => {
            tracing::error!(error = %error.chain(), "a receipt is left out");
            Ok(None)
        }
        receipt => receipt,
    }
}

/// The newest receipt of a log as it is stored.
pub(super) fn stored_receipt(connection: &Connection, log: i64) -> Result<Option<Receipt>> {
    let mut statement = connection.prepare_cached("SELECT receipt FROM receipts WHERE log = ?1")?;
    let bytes: Option<Vec<u8>> = statement.query_row([log], |row| row.get(0)).optional()?;
    let receipt = bytes.map(|bytes| Receipt::decode(&bytes)).transpose();
    receipt
        .map_err(|error| Error::because(Code::StoreCorrupt, "a stored receipt is damaged", error))
}

fn write_receipt(connection: &Connection, log: i64, receipt: &Receipt) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO receipts (log, stored_len, judged_len, excepted, receipt)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (log) DO UPDATE SET stored_len = excluded.stored_len,
             judged_len = excluded.judged_len, excepted = excluded.excepted,
             receipt = excluded.receipt",
    )?;
    statement.execute(params![
        log,
        receipt.stored.len,
        receipt.judged_len,
        receipt.exceptions.len() as u64,
        receipt.encode()
    ])?;
    Ok(())
}
