//! New letters: a device whose store was put back or copied numbers under another code from then on, because nobody knows
//! which numbers the store that is gone, or its twin, has given.
//!
//! The request is the log that the device has to begin anyway: its genesis says *restore* or *clone*, and all
//! logs that are begun because of one such event share one incarnation. The answer is a grant that replaces the device's and
//! differs in its code; it names every log of the device that the hub stores, so that an incarnation is answered once,
//! whatever comes in which order and after whichever crash. Nothing more is on the wire.
//!
//! Until the answer is here the device goes on numbering above the highest number that its files know, and says that some may be
//! given twice ([`Overview::awaits_letter`](super::Overview::awaits_letter)): a clerk without a line must be able to hand out a slip.

use std::collections::BTreeSet;

use lianxin_protocol::authority::{Grant, Membership, Order, Role, Verb};
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::{Author, EntryKind, Genesis, GenesisReason, LogId, Run};
use lianxin_protocol::number::SiteCode;
use lianxin_protocol::space::{Space, SpaceId};
use rusqlite::Connection;

use super::{Journal, Overview, Unusual};
use crate::clock::Monotonic;
use crate::error::Result;
use crate::{clock, store};

/// Key of `meta`: incarnation of the logs that are begun because of the last event, and the code of that time.
const ANEW: &str = "anew";

/// An event after which a device numbers under another code.
#[derive(Clone, Debug)]
pub(super) struct Anew {
    /// Of every log that is begun because of it.
    pub(super) incarnation: [u8; 16],
    /// Code of this device when it was found.
    code: String,
    /// Runs since it was found, if this process found it.
    found: Option<Monotonic>,
}

/// So long after a store was found to be another than it was, nobody needs to look: the hub, if it is in reach, gives another code
/// within seconds.
const SETTLES_MS: u64 = 60_000;

impl Anew {
    /// The last event, as it was kept.
    pub(super) fn read(connection: &Connection) -> Result<Option<Self>> {
        let kept = store::meta(connection, ANEW)?;
        Ok(kept.and_then(|bytes| {
            let (incarnation, code) = bytes.split_first_chunk()?;
            Some(Self {
                incarnation: *incarnation,
                code: String::from_utf8(code.to_vec()).ok()?,
                found: None,
            })
        }))
    }
}

/// What a run says of its author's store, if it begins a log.
fn begun_anew(run: &Run) -> Option<Genesis> {
    let first = run.entries.first().filter(|_| run.start.len == 0)?;
    let genesis = first
        .payload
        .as_deref()
        .filter(|_| first.header.kind == EntryKind::Genesis)?;
    let genesis = Genesis::decode(genesis).ok()?;
    matches!(
        genesis.reason,
        GenesisReason::Restore | GenesisReason::Clone
    )
    .then_some(genesis)
}

impl Journal {
    /// This store was found to have been put back or copied. What is found in one process is one event.
    pub(super) fn found_anew(&mut self, connection: &Connection) -> Result<()> {
        if self.anew.as_ref().is_some_and(|anew| anew.found.is_some()) {
            return Ok(());
        }
        let anew = Anew {
            incarnation: clock::random()?,
            code: self.code().unwrap_or_default(),
            found: Some(Monotonic::start()),
        };
        let kept = [&anew.incarnation[..], anew.code.as_bytes()].concat();
        store::set_meta(connection, ANEW, &kept)?;
        self.anew = Some(anew);
        Ok(())
    }

    /// Begins the log that asks for another code, in the space where this device has its records, once it is known to
    /// need one: before it numbers again, if the hub is in reach.
    pub(super) fn ask_for_letter(&mut self, connection: &Connection) -> Result<()> {
        if !self.awaits_letter() {
            return Ok(());
        }
        let key = self.identity.key();
        let me = self.authority.members().get(&key);
        let space = match me.and_then(|me| me.grant.site) {
            Some(site) => Space::Site(site),
            None => Space::Hub,
        };
        let id = space.id(&self.identity.network);
        let asked = self
            .anew_log(id)
            .is_some_and(|log| self.logs.contains_key(&log));
        if !asked && self.authority.permits(&key, space, Verb::Write) {
            self.end_own(id)?;
            self.current_log(connection, id, &key, self.hlc)?;
        }
        Ok(())
    }

    /// The log that this device begins in a space because of the last event.
    fn anew_log(&self, space: SpaceId) -> Option<LogId> {
        let anew = self.anew.as_ref()?;
        Some(LogId::of(&space, &self.identity.key(), &anew.incarnation))
    }

    /// At the hub: gives another code to each device that has begun a log anew, unless that was answered. Who does so
    /// again and again in one day is looked at by people first.
    pub(super) fn give_letters(&mut self, connection: &Connection, now_ms: u64) -> Result<()> {
        if self.begun.is_empty() || !self.gives_orders() {
            return Ok(());
        }
        for (device, incarnation) in std::mem::take(&mut self.begun) {
            let unusual = self.unusual();
            let too_often = unusual.get(&device) == Some(&Unusual::ManyLogs);
            let Some(member) = self.authority.members().get(&device).cloned() else {
                continue;
            };
            let grant = member.grant;
            let numbers = matches!(grant.role, Role::Station | Role::Laptop | Role::Operator);
            let answered = self.is_answered(&grant, &incarnation);
            if member.membership != Membership::Active || !numbers || answered {
                continue;
            }
            if too_often {
                tracing::warn!(device = %device, "a device began anew too often today for another code");
                continue;
            }
            let site = match grant.site {
                Some(site) => self
                    .authority
                    .sites()
                    .get(&site)
                    .map(|info| info.code.clone()),
                None => Some(SiteCode::HUB.to_string()),
            };
            let site: Option<SiteCode> = site.and_then(|code| code.parse().ok());
            let given: BTreeSet<_> = self
                .authority
                .codes()
                .iter()
                .filter_map(|it| it.parse().ok())
                .collect();
            let code = site.and_then(|site| site.next_device(&given));
            let Some(code) = code else {
                tracing::warn!("all device codes of a site were given");
                continue;
            };
            let order = Order::Grant(Grant {
                serial: self.authority.next_serial(),
                device_code: code.to_string(),
                places: self.places_of(&device),
                ..grant
            });
            self.order(connection, &[order], now_ms)?;
            tracing::info!(device = %device, "a device that began anew has another code");
        }
        Ok(())
    }

    /// Whether the device's grant was made when a log of this incarnation was here.
    fn is_answered(&self, grant: &Grant, incarnation: &[u8; 16]) -> bool {
        let spaces = self.authority.spaces().keys();
        let mut logs = spaces.map(|space| LogId::of(space, &grant.device, incarnation));
        logs.any(|log| grant.places.iter().any(|place| place.log == log))
    }

    /// At a hub that gives orders again: looks which devices have begun anew while it gave none.
    pub(super) fn look_for_begun(&mut self, connection: &Connection) -> Result<()> {
        let members = self.authority.members();
        let logs = self
            .logs
            .iter()
            .filter(|(_, log)| members.contains_key(&log.author.device));
        let logs: Vec<_> = logs.map(|(id, log)| (*id, log.author.device)).collect();
        for (log, device) in logs {
            let entry = self.entry(connection, &log, 0)?;
            let genesis = entry.payload.as_deref().map(Genesis::decode);
            if let Some(Ok(genesis)) = genesis
                && matches!(
                    genesis.reason,
                    GenesisReason::Restore | GenesisReason::Clone
                )
            {
                self.begun.insert((device, genesis.incarnation));
            }
        }
        Ok(())
    }

    /// Notes a log that a device begins because its store was put back or copied.
    pub(super) fn note_begun(&mut self, run: &Run, device: DeviceKey) {
        if self.identity.authority.is_some()
            && let Some(genesis) = begun_anew(run)
        {
            self.begun.insert((device, genesis.incarnation));
        }
    }

    /// Ends this device's logs of a space, so that the next one says why it is begun.
    fn end_own(&mut self, space: SpaceId) -> Result<()> {
        let anew = self.anew_log(space);
        let mine = Author {
            space,
            device: self.identity.key(),
        };
        let own = self.logs.iter();
        let own = own.filter(|(id, log)| log.author == mine && Some(**id) != anew);
        let own: Vec<LogId> = own.map(|(id, _)| *id).collect();
        for log in own {
            self.close(log, GenesisReason::Restore)?;
        }
        Ok(())
    }
}

impl Overview {
    fn code(&self) -> Option<String> {
        let me = self.authority.members().get(&self.identity.key());
        me.map(|me| me.grant.device_code.clone())
    }

    /// Whether numbers of this device may have been given by a store that is gone, or by its twin, and the hub has not given it
    /// another code yet.
    #[must_use]
    pub fn awaits_letter(&self) -> bool {
        let numbers = |role| matches!(role, Role::Station | Role::Laptop | Role::Operator);
        let role = self.authority.role(&self.identity.key());
        let anew = self.anew.as_ref().filter(|_| role.is_some_and(numbers));
        anew.is_some_and(|anew| self.code().is_some_and(|code| code == anew.code))
    }

    /// Whether that was found just now, so that the other code may well be on its way.
    #[must_use]
    pub fn letter_may_come(&self) -> bool {
        let found = self.anew.as_ref().and_then(|anew| anew.found);
        found.is_some_and(|found| found.ms() < SETTLES_MS)
    }
}
