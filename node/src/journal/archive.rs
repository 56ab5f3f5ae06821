//! What an archive takes from a store: its head, its logs, and a log's items a page at a time. The format
//! is `lianxin_protocol::archive`'s.
//!
//! Each page is read in one transaction, and the pages of a log may be read while it grows or freezes: receipt
//! and proof come first and speak of what was there before, so that what follows confirms them.

use std::collections::BTreeMap;

use lianxin_protocol::archive::{Head, Item};
use lianxin_protocol::log::{Genesis, LogId, Position};
use lianxin_protocol::space::Space;
use rusqlite::Connection;

use super::{Books, Overview, read_receipt};
use crate::error::{Code, Error, Result};

/// Bytes of items after which a page ends: a few runs, and short for the local socket.
const PAGE_BYTES: usize = 512 * 1024;

/// Consecutive items of one log.
#[derive(Debug)]
pub struct Page {
    /// Encoded, one after the other.
    pub items: Vec<u8>,
    /// How many they are.
    pub count: u64,
    /// The first entry of the next page; `None` at the end of the log.
    pub next: Option<u64>,
    /// Where the log ends now.
    pub end: Position,
    /// Where it is frozen, on a page that has the proof.
    pub frozen: Option<Position>,
}

impl Books {
    /// The items of a log from an entry on; before the first entry, what stands in front of them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn archive_page(&mut self, connection: &Connection, id: &LogId, from: u64) -> Result<Page> {
        let missing = || Error::new(Code::StoreCorrupt, "a log that is named is not stored");
        let log = self.logs.get(id).cloned().ok_or_else(missing)?;
        let mut page = Page {
            items: Vec::new(),
            count: 0,
            next: None,
            end: log.end,
            frozen: None,
        };
        if from == 0 {
            let genesis = self.entry(connection, id, 0)?.payload;
            let Some(Ok(genesis)) = genesis.as_deref().map(Genesis::decode) else {
                let message = "a log does not begin with its genesis";
                return Err(Error::new(Code::StoreCorrupt, message));
            };
            page.put(&Item::Log {
                device: genesis.device,
                incarnation: genesis.incarnation,
            });
            if let Some(receipt) = read_receipt(connection, log.key)? {
                page.put(&Item::Receipt(receipt));
            }
            if let Some(proof) = self.fork_proof(connection, id)? {
                let tip = log.tip().position();
                page.put(&Item::Fork(Box::new(proof), tip));
                page.frozen = log.forked.map(|_| tip);
            }
        }
        let mut next = from;
        while next < log.end.len && page.items.len() < PAGE_BYTES {
            let segment = self.segments.containing(connection, log.place(id), next)?;
            let parts = self.parts_of(connection, (log.key, id), &segment)?;
            let run = super::outgoing::cut_run(id, &segment, parts, next)?;
            for entry in run.entries {
                next = next.saturating_add(1);
                page.put(&Item::Entry(entry));
            }
            page.put(&Item::Checkpoint(run.checkpoint));
        }
        page.next = Some(next).filter(|next| *next < log.end.len);
        Ok(page)
    }
}

impl Overview {
    /// What stands first in an archive of this store.
    ///
    /// # Errors
    /// [`Code::NotEnrolled`] while the hub has not confirmed this device: nothing could be checked then.
    pub fn archive_head(&self, now_ms: u64) -> Result<Head> {
        let certificate = self.authority.certificate().cloned();
        let unconfirmed = || {
            let message = "the hub has not confirmed this device yet, and nothing could be checked";
            Error::new(Code::NotEnrolled, message)
        };
        Ok(Head {
            network: self.identity.network,
            certificate: certificate.ok_or_else(unconfirmed)?,
            device: self.identity.key(),
            epoch: self.identity.epoch,
            taken_ms: now_ms,
        })
    }

    /// The stored logs by space, in the order of an archive. Logs of a space that the network does not
    /// have are left out.
    #[must_use]
    pub fn archive_logs(&self) -> BTreeMap<Space, Vec<LogId>> {
        let mut logs: BTreeMap<Space, Vec<LogId>> = BTreeMap::new();
        for (id, log) in self.logs.iter().filter(|(_, log)| log.end.len > 0) {
            if let Some(space) = self.authority.space(&log.author.space) {
                logs.entry(space).or_default().push(*id);
            }
        }
        logs
    }
}

impl Page {
    fn put(&mut self, item: &Item) {
        self.items.extend(item.encode());
        self.count += 1;
    }
}
