//! A hub that was restored, copied or replaced gives orders again (SPEC, section 11, *Succession*).
//!
//! Its authority log cannot go on: peers may have seen more of it, and two entries at one place would stop every device at
//! that place. The root key certifies a log that follows it, from the place up to which this store has folded orders.
//! Until then orders are refused, pins included, and everything else works. The hub must have heard a device first, which
//! brings back what the store lost and says which versions are followed; without that the new log could be as old as
//! one that was given up.
//!
//! Orders beyond the trusted place are no orders any more. What of them peers show then is given again, by the state that it
//! led to: who has a right already is granted nothing, places are those that this store holds, invites and epochs stay
//! lost. What was ordered since weighs more: nobody who was blocked, or granted something else, after the hub came back is
//! granted by an order from before.
//!
//! Rejected: to trust the longest log that any peer shows at any time. Certificates are versions of one line, and a second
//! one for each peer that comes late would set all devices folding anew again and again.

use std::sync::Arc;

use lianxin_protocol::authority::{Certificate, Cut, Grant, Membership, Order, Unsettled};
use lianxin_protocol::identity::{DeviceKey, Signer};
use lianxin_protocol::log::{EntryKind, GenesisReason, LogId, Position};
use lianxin_protocol::space::{NetworkId, Space};
use rusqlite::Connection;

use super::offered::Seal;
use super::{Journal, Overview};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::store;

/// Key of the `meta` table: since it came back this hub has heard a device that holds what it holds.
pub(super) const HEARD: &str = "heard_since_it_came_back";
/// Begins the keys of the `meta` table that say for a log that was closed what the first grant after it was numbered.
const GRANTS_SINCE: &str = "grants_since:";
/// Begins the keys of the `meta` table that say for a device which of its grants was the last that was given again.
const GRANTED_AGAIN: &str = "granted_again:";
/// Begins the keys of the `meta` table that say how far a log was gone through for orders to be given again.
const GIVEN_AGAIN: &str = "given_again:";

/// What [`Journal::resume`] has certified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Version of the certificate.
    pub version: u32,
    /// How many entries of the logs before go on to hold.
    pub trusted: u32,
}

impl Journal {
    /// Whether this hub has heard a device since it came back. With one that holds another branch of its orders it is never
    /// in sync; the proof of that came from somebody.
    fn has_heard(&self, connection: &Connection) -> Result<bool> {
        let newest = self
            .authority
            .succession()
            .and_then(|it| self.logs.get(&it.newest));
        let kept = store::meta(connection, HEARD)?;
        Ok(newest.is_some_and(|log| log.forked.is_some()) || kept.is_some_and(|it| !it.is_empty()))
    }

    /// A device holds what this hub holds.
    pub(super) fn note_heard(&self, connection: &Connection) -> Result<()> {
        if self.awaits_card() && !self.has_heard(connection)? {
            store::set_meta(connection, HEARD, &[1])?;
        }
        Ok(())
    }

    /// Certifies a new authority log with the network's root key, which goes on from what this store has folded, and
    /// begins a new epoch of its receipts. `alone` says that there is no device left that could be heard.
    ///
    /// # Errors
    /// [`Code::HubOnly`] elsewhere; [`Code::Card`] for the root key of another network; [`Code::NothingToDo`] when
    /// orders are given already; [`Code::NotHeard`] when no device was heard yet, or when the log that the newest certificate
    /// goes on from has not come.
    pub fn resume(
        &mut self,
        connection: &Connection,
        root: &Signer,
        alone: bool,
        now_ms: u64,
    ) -> Result<Resumed> {
        let Some(authority) = self.identity.authority.clone() else {
            return Err(Error::new(Code::HubOnly, "a hub alone gives orders"));
        };
        if NetworkId::of_root(&root.public().0) != self.identity.network {
            let message = "this recovery card is of another network";
            return Err(Error::new(Code::Card, message));
        }
        if self.gives_orders() {
            let message = "this hub gives orders: there is nothing to resume";
            return Err(Error::new(Code::NothingToDo, message));
        }
        if !alone && !self.has_heard(connection)? {
            let message = "no device has been heard since this hub came back";
            return Err(Error::new(Code::NotHeard, message));
        }
        if let Some(Unsettled::Missing(_)) = self.authority.unsettled() {
            let message =
                "orders of a successor of this hub are known, and not the log that they go on from";
            return Err(Error::new(Code::NotHeard, message));
        }
        let nothing = || Error::new(Code::StoreCorrupt, "this store has folded no orders");
        let (log, len) = self.folded.last().copied().ok_or_else(nothing)?;
        let head = self.head_at(connection, &log, len)?;
        let certified = self.certified(connection)?;
        let highest = certified
            .values()
            .map(|it| it.version)
            .max()
            .unwrap_or_default();
        let version = highest.checked_add(1).ok_or_else(nothing)?;
        self.end_what_was()?;
        let trusted = Some((log, Position { len, head }));
        let certificate = Certificate::sign(root, version, authority.public(), trusted);
        let trusted = self.authority.cited().0;
        let since = self.authority.next_serial();
        set_number(connection, &format!("{GRANTS_SINCE}{log}"), since.into())?;
        let epoch = clock::random()?;
        for order in [Order::Certificate(certificate), Order::Epoch { epoch }] {
            self.write_order(connection, order.encode(), now_ms)?;
        }
        Arc::make_mut(&mut self.identity).epoch = epoch;
        store::set_meta(connection, super::EPOCH, &epoch)?;
        store::set_meta(connection, HEARD, &[])?;
        // Each log has a receipt of the new epoch, whatever the old ones said.
        self.unreceipted.extend(self.books.logs.keys());
        tracing::warn!(version, "this hub gives orders again");
        self.give_again(connection, now_ms)?;
        self.look_for_begun(connection)?;
        Ok(Resumed { version, trusted })
    }

    /// Closes what peers may know more of: the authority logs, and own logs whose entries have not come back.
    fn end_what_was(&mut self) -> Result<()> {
        let space = Space::Authority.id(&self.identity.network);
        let own = self.own_logs().filter(|(_, log)| log.author.space == space);
        let own: Vec<LogId> = own.map(|(id, _)| *id).collect();
        for log in own {
            self.close(log, GenesisReason::Restore)?;
        }
        // What has not come back by now is not waited for any longer.
        let lacking = std::mem::take(&mut self.lacking);
        let lacking = lacking.into_iter().map(|(log, _)| log);
        let none = |log: LogId| (log, Position::start(&log));
        self.offered.seal(Seal::GivenUp, lacking.map(none))
    }

    /// Gives again what peers have shown of orders beyond the trusted places.
    pub(super) fn give_again(&mut self, connection: &Connection, now_ms: u64) -> Result<()> {
        let Some(succession) = self.authority.succession() else {
            return Ok(());
        };
        if succession.before.is_empty() || !self.gives_orders() {
            return Ok(());
        }
        let before = succession.before.clone();
        for (log, trusted) in before {
            // What somebody else's key has signed is no order of this hub's that was lost.
            let own = self.identity.authority.as_ref().map(Signer::public);
            if self.logs.get(&log).map(|known| known.author.device) != own {
                continue;
            }
            let since = number(connection, &format!("{GRANTS_SINCE}{log}"))?;
            let key = format!("{GIVEN_AGAIN}{log}");
            let from = number(connection, &key)?
                .unwrap_or_default()
                .max(trusted.len);
            let to = self.logs.get(&log).map_or(0, |known| known.end.len);
            if from >= to {
                continue;
            }
            for seq in from..to {
                let entry = self.entry(connection, &log, seq)?;
                let payload = entry
                    .payload
                    .filter(|_| entry.header.kind == EntryKind::Authority);
                let Some(Ok(order)) = payload.as_deref().map(Order::decode) else {
                    continue;
                };
                let Some(order) = self.anew(connection, order, since.unwrap_or_default())? else {
                    continue;
                };
                let granted = match &order {
                    Order::Grant(grant) => Some((again(&grant.device), grant.serial)),
                    _ => None,
                };
                match self.order(connection, &[order], now_ms) {
                    Ok(()) => {
                        if let Some((key, serial)) = granted {
                            set_number(connection, &key, serial.into())?;
                        }
                    }
                    // The code of a site, say, that was given to another one meanwhile.
                    Err(error) if error.code() == Code::NotPermitted => {
                        tracing::warn!(error = error.chain(), seq, "an order is not given again");
                    }
                    Err(error) => return Err(error),
                }
            }
            set_number(connection, &key, to)?;
        }
        Ok(())
    }

    /// The order that leads to what one led to that is no order any more; `None` where nothing is to be done.
    fn anew(&mut self, connection: &Connection, order: Order, since: u64) -> Result<Option<Order>> {
        let places = |journal: &mut Self, cuts: Vec<Cut>| -> Result<Vec<Cut>> {
            let mut held = Vec::new();
            for cut in cuts {
                let stands = journal.stands(connection, &cut.log, cut.position)?;
                let Some(tip) = journal.logs.get(&cut.log).map(|log| log.tip().position()) else {
                    continue;
                };
                // Never further than the cut was, whatever branch is held.
                let len = tip.len.min(cut.position.len);
                let position = if stands {
                    cut.position
                } else {
                    let head = journal.head_at(connection, &cut.log, len)?;
                    Position { len, head }
                };
                held.push(Cut { position, ..cut });
            }
            Ok(held)
        };
        Ok(match order {
            Order::Grant(grant) => {
                let same = |had: &Grant| {
                    (had.role, had.site, &had.device_code)
                        == (grant.role, grant.site, &grant.device_code)
                };
                let may = match self.authority.members().get(&grant.device) {
                    None => true,
                    Some(member) => {
                        let older = !self.is_since(connection, &grant.device, since)?;
                        member.membership == Membership::Active && older && !same(&member.grant)
                    }
                };
                if !may {
                    return Ok(None);
                }
                let serial = self.authority.next_serial();
                let places = self.places_of(&grant.device);
                Some(Order::Grant(Grant {
                    serial,
                    places,
                    ..grant
                }))
            }
            // One that is known was perhaps renamed since.
            Order::Site { site, .. } => {
                (!self.authority.sites().contains_key(&site)).then_some(order)
            }
            Order::Revoke { device, lost, cuts } => {
                let Some(member) = self.authority.members().get(&device) else {
                    return Ok(None);
                };
                let blocked = matches!(member.membership, Membership::Blocked { .. });
                let known = blocked && (!lost || self.authority.is_lost(&device));
                if known || (!lost && self.is_since(connection, &device, since)?) {
                    return Ok(None);
                }
                let cuts = places(self, cuts)?;
                Some(Order::Revoke { device, lost, cuts })
            }
            Order::Left { device } => {
                (!self.is_since(connection, &device, since)?).then_some(order)
            }
            Order::Rotate {
                rotation,
                places: cuts,
            } => {
                let places = places(self, cuts)?;
                Some(Order::Rotate { rotation, places })
            }
            Order::Adopt { log, from, to } => self
                .stands(connection, &log, to)?
                .then_some(Order::Adopt { log, from, to }),
            Order::Pin { log, position } => self
                .stands(connection, &log, position)?
                .then_some(Order::Pin { log, position }),
            Order::Resolve { .. } => Some(order),
            // An invite that was used or taken back must not be open again.
            Order::InviteUsed { key, .. } | Order::InviteClosed { key } => {
                self.authority.open_invite(&key).map(|_| order)
            }
            // What is a setting was perhaps set anew since. What enrols, and what receipts are counted by, is lost.
            Order::Policy { .. }
            | Order::Network { .. }
            | Order::Certificate(_)
            | Order::Invite(_)
            | Order::Addresses(_)
            | Order::Epoch { .. }
            | Order::Unknown(_) => None,
        })
    }

    /// Whether a device was granted something since, other than what was given again.
    fn is_since(&self, connection: &Connection, device: &DeviceKey, since: u64) -> Result<bool> {
        let Some(member) = self.authority.members().get(device) else {
            return Ok(false);
        };
        let serial = u64::from(member.grant.serial);
        Ok(serial >= since && number(connection, &again(device))? != Some(serial))
    }
}

impl Overview {
    /// Whether this is a hub that may give no orders until [`Journal::resume`].
    #[must_use]
    pub fn awaits_card(&self) -> bool {
        self.identity.authority.is_some() && (!self.gives_orders() || self.has_lost_all_orders())
    }

    /// Whether this hub has a key to give orders with, and not even the order that certified it.
    fn has_lost_all_orders(&self) -> bool {
        self.authority.key().is_none() && self.logs.is_empty()
    }

    /// Whether this hub gives orders at present: the newest authority log is its own and can go on.
    pub(super) fn gives_orders(&self) -> bool {
        let Some(key) = self.identity.authority.as_ref().map(Signer::public) else {
            return false;
        };
        match self.authority.succession() {
            // A new one, and none that has lost its orders.
            None => {
                self.damaged.is_empty()
                    && self.lacking.is_empty()
                    && !self.logs.values().any(|log| log.author.device == key)
            }
            Some(succession) => {
                let newest = self.logs.get(&succession.newest);
                self.authority.unsettled().is_none()
                    && newest.is_some_and(|log| log.author.device == key && log.forked.is_none())
                    && !self.closed.contains_key(&succession.newest)
                    && !self.is_paused(&succession.newest)
            }
        }
    }
}

fn again(device: &DeviceKey) -> String {
    format!("{GRANTED_AGAIN}{device}")
}

fn number(connection: &Connection, key: &str) -> Result<Option<u64>> {
    let value = store::meta(connection, key)?;
    let bytes = value.and_then(|value| <[u8; 8]>::try_from(value).ok());
    Ok(bytes.map(u64::from_be_bytes))
}

fn set_number(connection: &Connection, key: &str, number: u64) -> Result<()> {
    store::set_meta(connection, key, &number.to_be_bytes())
}
