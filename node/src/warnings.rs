//! What is wrong with a device and its store: one list for `status`, the first line of every page, and whoever
//! watches. Each is found by looking at what is there, never remembered, and says what to do next.

use lianxin_protocol::authority::{Membership, Unsettled};
use lianxin_protocol::identity::DeviceKey;
use serde_json::{Value, json};

use crate::error::Code;
use crate::journal::{Overview, Unusual};

/// Something that needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// This hub was restored or copied, and gives no orders until its recovery card is shown.
    AwaitsCard,
    /// The disk is full: nothing can be kept.
    DiskFull,
    /// The database cannot read a page that saving needs.
    PageUnreadable,
    /// Two hubs give orders for this network.
    TwoHubs,
    /// Orders of a hub's successor are known, and not those that they go on from.
    OrdersMissing,
    /// So many entries that this device has shown are not in its store.
    Lacks(u64),
    /// Numbers of this device may have been given twice, until the hub gives it another code.
    AwaitsLetter,
    /// So many numbers are on more than one record.
    NumbersTwice(u64),
    /// This device's clock is so many minutes ahead of the hub's, or behind it below 0.
    Clock(i64),
    /// So many entries could not be read and have not come back.
    Damaged(u64),
    /// So many logs cannot be read by the database.
    Unreadable(u64),
    /// So many records could not be read when they were to be merged.
    Unread(u64),
    /// The hub has blocked this device.
    Blocked,
    /// A device of the network should be looked at.
    Device(DeviceKey, Unusual),
}

impl Warning {
    /// Everything that is wrong at present, worst first.
    #[must_use]
    pub fn all(overview: &Overview) -> Vec<Self> {
        let authority = overview.authority();
        let mut all = Vec::new();
        if overview.disk_is_full() {
            all.push(Self::DiskFull);
        }
        if overview.page_is_unreadable() {
            all.push(Self::PageUnreadable);
        }
        if overview.awaits_card() {
            all.push(Self::AwaitsCard);
        }
        all.extend(match authority.unsettled() {
            // rule:contest-said
            Some(Unsettled::Contested(_)) => Some(Self::TwoHubs),
            Some(Unsettled::Missing(_)) => Some(Self::OrdersMissing),
            // Nobody has told a device that waits for its grant anything yet.
            Some(Unsettled::Nothing) | None => None,
        });
        let damage = overview.damage();
        let counted = [
            (overview.fell_behind_by(), Self::Lacks as fn(u64) -> Self),
            (damage.unreadable, Self::Unreadable),
            (damage.entries, Self::Damaged),
            (damage.records, Self::Unread),
        ];
        let counted = counted.into_iter().filter(|(count, _)| *count > 0);
        all.extend(counted.map(|(count, warning)| warning(count)));
        if overview.awaits_letter() {
            all.push(Self::AwaitsLetter);
        }
        let twice = Some(overview.numbers_twice()).filter(|count| *count > 0);
        all.extend(twice.map(Self::NumbersTwice));
        all.extend(overview.clock_is_off().map(|ms| Self::Clock(ms / 60_000)));
        let me = authority.members().get(&overview.identity().key());
        if me.is_some_and(|me| matches!(me.membership, Membership::Blocked { .. })) {
            all.push(Self::Blocked);
        }
        let unusual = overview.unusual();
        all.extend(
            unusual
                .into_iter()
                .map(|(device, why)| Self::Device(device, why)),
        );
        all
    }

    /// Whether somebody has to do something about it: not about what is most likely being settled this minute.
    #[must_use]
    pub fn needs_somebody(self, overview: &Overview) -> bool {
        self != Self::AwaitsLetter || !overview.letter_may_come()
    }

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::AwaitsCard => Code::NotResumed,
            Self::DiskFull => Code::DiskFull,
            Self::PageUnreadable => Code::StoreCorrupt,
            Self::TwoHubs => Code::TwoHubs,
            Self::OrdersMissing => Code::OrdersMissing,
            Self::Lacks(_) => Code::StoreBehind,
            Self::AwaitsLetter => Code::AwaitsLetter,
            Self::NumbersTwice(_) => Code::SameNumber,
            Self::Clock(_) | Self::Device(_, Unusual::ClockAhead) => Code::Clock,
            Self::Damaged(_) => Code::EntriesDamaged,
            Self::Unreadable(_) => Code::LogsUnreadable,
            Self::Unread(_) => Code::RecordsUnread,
            Self::Blocked => Code::NotPermitted,
            Self::Device(_, Unusual::ManyLogs) => Code::DeviceAnew,
            Self::Device(_, Unusual::OverQuota) => Code::Quota,
            Self::Device(_, Unusual::Forked) => Code::Forked,
        }
    }

    /// For `status`: code, message and the next step, as errors have them. `name` names a device.
    #[must_use]
    pub fn json(self, name: impl Fn(&DeviceKey) -> String) -> Value {
        let message = match self {
            Self::AwaitsCard => {
                "this hub was restored or copied: it gives no orders until it is resumed".to_owned()
            }
            Self::DiskFull => {
                "the disk is full: nothing is recorded or received until there is room".to_owned()
            }
            Self::PageUnreadable => {
                "the database cannot read one of its pages: some things cannot be recorded".to_owned()
            }
            Self::TwoHubs => {
                "two hubs give orders for this network: none of them is followed any further"
                    .to_owned()
            }
            Self::OrdersMissing => {
                "orders of a hub's successor are known, and not those that they go on from"
                    .to_owned()
            }
            Self::Lacks(count) => {
                format!("this store was put back: {count} entries that it has shown are missing")
            }
            Self::AwaitsLetter => {
                "this store was put back or copied: numbers may be given twice until the hub gives another code"
                    .to_owned()
            }
            Self::NumbersTwice(count) => {
                format!("{count} numbers are on more than one record: a query finds both")
            }
            Self::Clock(minutes) => {
                let way = if minutes > 0 { "ahead of" } else { "behind" };
                let minutes = minutes.unsigned_abs();
                format!("the clock of this computer is {minutes} minutes {way} the hub's")
            }
            Self::Damaged(count) => {
                format!("{count} entries of this store were damaged and are fetched back")
            }
            Self::Unreadable(count) => {
                format!(
                    "{count} logs cannot be read from the disk: nothing of them is shown or kept"
                )
            }
            Self::Unread(count) => {
                format!("{count} records cannot be read and are set aside")
            }
            Self::Blocked => {
                "the hub has blocked this device: what it records does not count".to_owned()
            }
            Self::Device(device, Unusual::ManyLogs) => {
                format!(
                    "{} began log after log today: is its disk put back or copied?",
                    name(&device)
                )
            }
            Self::Device(device, Unusual::Forked) => {
                format!("{} wrote two different things at one place: does it run twice?", name(&device))
            }
            Self::Device(device, Unusual::ClockAhead) => {
                format!("{} writes from the future: its clock is fast", name(&device))
            }
            Self::Device(device, Unusual::OverQuota) => {
                format!(
                    "{} has sent so much today that no more is taken until tomorrow",
                    name(&device)
                )
            }
        };
        let code = self.code();
        json!({ "code": code.text(), "message": message, "hint": code.hint() })
    }
}
