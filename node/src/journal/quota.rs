//! How much a hub takes of one device in a day, so that nobody who was let in can fill its disk or its list of logs.
//!
//! Counted is what is stored, by who wrote it, whoever brought it. Devices that the network does not know share one
//! count: a key costs nothing. Once a device is over, nothing more of it is taken until the day ends, or the rest of
//! a log would be asked for again and again. What is not taken has no receipt and stays with its author, who sends it
//! again with the first record or connection of another day; nothing is lost. A day is one of UTC.
//!
//! Rejected: counts in the store. They would be written with every batch, to outlive a restart that only the
//! hub's own people can bring about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lianxin_protocol::identity::{DeviceKey, short};
use lianxin_protocol::limits;
use lianxin_protocol::space::SpaceId;

/// Milliseconds of a day of UTC.
const DAY_MS: u64 = 86_400_000;

/// Who wrote something; nobody for all who are unknown.
type Who = Option<DeviceKey>;

/// What the hub's people should look at a device for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusual {
    /// It began log after log today: its disk is put back or copied.
    ManyLogs,
    /// Nothing more of it is taken today.
    OverQuota,
    /// It writes from the future: its clock is fast.
    ClockAhead,
    /// One of its logs forked today: it exists twice, or was put back unnoticed.
    Forked,
}

impl Unusual {
    /// The word for it in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ManyLogs => "many_logs",
            Self::OverQuota => "over_quota",
            Self::ClockAhead => "clock_ahead",
            Self::Forked => "forked",
        }
    }
}

/// What was taken on one day.
#[derive(Clone, Debug, Default)]
struct Day {
    number: u64,
    bytes: BTreeMap<Who, u64>,
    logs: BTreeMap<(Who, SpaceId), u32>,
    forked: BTreeSet<DeviceKey>,
}

/// The counts of the day, with those of the transaction that is open.
#[derive(Clone, Debug, Default)]
pub(super) struct Quota {
    durable: Arc<Day>,
    open: Option<Day>,
}

/// What is about to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) who: Who,
    pub(super) space: SpaceId,
    /// It begins a log.
    pub(super) begins: bool,
    pub(super) bytes: u64,
    /// Bytes of this device in a day.
    pub(super) most: u64,
}

impl Quota {
    /// Counts a load, and says whether it is taken: whoever is below its bound may pass it by one batch, or a bound
    /// that is smaller than a batch would let nothing through.
    pub(super) fn takes(&mut self, load: Load, now_ms: u64) -> bool {
        let day = self.day(now_ms);
        let bytes = day.bytes.entry(load.who).or_default();
        let mut fits = *bytes < load.most;
        if load.begins {
            let logs = day.logs.entry((load.who, load.space)).or_default();
            *logs = logs.saturating_add(1);
            fits &= *logs <= limits::LOGS_A_DAY;
        }
        if fits {
            *bytes = bytes.saturating_add(load.bytes);
        } else if *bytes < u64::MAX {
            *bytes = u64::MAX;
            let device = load.who.as_ref().map(short);
            tracing::warn!(device, "no more is taken of this device today");
        }
        fits
    }

    /// Counts a fork of a device's log.
    pub(super) fn forked(&mut self, device: DeviceKey, now_ms: u64) {
        self.day(now_ms).forked.insert(device);
    }

    /// The day of this moment, as the open transaction counts it.
    fn day(&mut self, now_ms: u64) -> &mut Day {
        let number = now_ms / DAY_MS;
        let durable = &self.durable;
        let day = self.open.get_or_insert_with(|| Day::clone(durable));
        if day.number != number {
            *day = Day {
                number,
                ..Day::default()
            };
        }
        day
    }

    /// Known devices that did something unusual on the day of this moment.
    pub(super) fn unusual(&self, now_ms: u64) -> BTreeMap<DeviceKey, Unusual> {
        let today = Some(&self.durable).filter(|day| day.number == now_ms / DAY_MS);
        let Some(day) = today else {
            return BTreeMap::new();
        };
        let many = day.logs.iter();
        let many = many
            .filter(|(_, count)| **count > limits::LOGS_UNUSUAL)
            .filter_map(|((who, _), _)| Some(((*who)?, Unusual::ManyLogs)));
        let over = day.bytes.iter().filter(|(_, bytes)| **bytes == u64::MAX);
        let over = over.filter_map(|(who, _)| Some(((*who)?, Unusual::OverQuota)));
        let forked = day.forked.iter().map(|device| (*device, Unusual::Forked));
        // Of several the last one is said.
        forked.chain(many).chain(over).collect()
    }

    /// What was counted is durable.
    pub(super) fn commit(&mut self) {
        if let Some(day) = self.open.take() {
            self.durable = Arc::new(day);
        }
    }

    /// What was counted was not stored after all.
    pub(super) fn roll_back(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Who = Some(DeviceKey([1; 32]));
    const B: Who = Some(DeviceKey([2; 32]));

    fn load(who: Who, bytes: u64, begins: bool) -> Load {
        let space = SpaceId([7; 32]);
        Load {
            who,
            space,
            begins,
            bytes,
            most: 100,
        }
    }

    #[test]
    fn a_device_that_is_over_is_refused_until_the_day_ends_and_no_other_is() {
        let mut quota = Quota::default();
        assert!(quota.takes(load(A, 99, false), 5));
        assert!(quota.takes(load(A, 99, false), 5));
        assert!(!quota.takes(load(A, 1, false), 6));
        assert!(!quota.takes(load(A, 0, false), 7));
        assert!(quota.takes(load(B, 100, false), 8));
        assert!(quota.takes(load(A, 100, false), DAY_MS));
    }

    #[test]
    fn what_is_not_stored_is_not_counted() {
        let mut quota = Quota::default();
        assert!(quota.takes(load(A, 60, false), 5));
        quota.roll_back();
        assert!(quota.takes(load(A, 60, false), 5));
        quota.commit();
        assert!(quota.takes(load(A, 60, false), 5));
        assert!(!quota.takes(load(A, 60, false), 5));
        quota.roll_back();
        assert!(quota.takes(load(A, 60, false), 5));
        quota.commit();
        quota.commit();
        assert!(!quota.takes(load(A, 1, false), 5));
    }

    #[test]
    fn logs_are_counted_by_device_and_space() {
        let mut quota = Quota::default();
        let a = DeviceKey([1; 32]);
        for nth in 1..=limits::LOGS_A_DAY {
            assert!(quota.takes(load(A, 1, true), 5));
            quota.commit();
            let many = quota.unusual(6).get(&a) == Some(&Unusual::ManyLogs);
            assert_eq!(many, nth > limits::LOGS_UNUSUAL);
        }
        assert!(!quota.takes(load(A, 1, true), 5));
        assert!(quota.takes(load(B, 1, true), 5));
        quota.commit();
        assert_eq!(quota.unusual(6), BTreeMap::from([(a, Unusual::OverQuota)]));
        assert!(quota.unusual(DAY_MS).is_empty());
    }
}
