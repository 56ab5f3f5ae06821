//! Clocks that are wrong. No decision of the protocol reads one, but years in numbers, due dates and what people read on a
//! page do; so how far they are apart is measured where it can be, and said.
//!
//! A device measures itself by the hub: a receipt that covers more than any before, of what it has just sent, was signed a
//! moment ago. The hub measures a device by what it wrote last: from the future it cannot come. That a clock is slow shows at the
//! device only; what was written long ago may just have waited for a line.

use std::collections::BTreeMap;

use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::Run;
use lianxin_protocol::receipt::Receipt;

use super::{Journal, Overview, ROWS_AT_ONCE};

/// Milliseconds between two clocks that nobody needs to be told of.
pub(super) const SKEW_MS: u64 = 5 * 60_000;

/// What was measured since the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Skew {
    /// By how many milliseconds this device's clock is ahead of the hub's.
    own: i64,
    /// Devices that write from the future, and from how far in milliseconds.
    ahead: BTreeMap<DeviceKey, u64>,
    /// Time of the transaction under way, in Unix milliseconds.
    now_ms: u64,
}

impl Skew {
    /// Devices whose clocks are fast.
    pub(super) fn ahead(&self) -> impl Iterator<Item = DeviceKey> {
        self.ahead.keys().copied()
    }
}

impl Journal {
    /// A transaction begins.
    pub(crate) fn begins(&mut self, now_ms: u64) {
        self.skew.now_ms = now_ms;
        self.rows_left = ROWS_AT_ONCE;
    }

    /// A receipt has been kept, and it covers more of a log than the one before.
    pub(super) fn measure_own_clock(&mut self, receipt: &Receipt) {
        if self.in_flight(&receipt.log) >= receipt.stored.len {
            let now = i64::try_from(self.skew.now_ms).unwrap_or(i64::MAX);
            let signed = i64::try_from(receipt.received_at_ms).unwrap_or(i64::MAX);
            self.skew.own = now.saturating_sub(signed);
        }
    }

    /// At the hub: entries of a device have been stored.
    pub(super) fn measure_clock_of(&mut self, device: DeviceKey, run: &Run) {
        let Some(last) = run
            .entries
            .last()
            .filter(|_| self.identity.authority.is_some())
        else {
            return;
        };
        let ahead = (last.header.hlc >> 16).saturating_sub(self.skew.now_ms);
        if ahead > SKEW_MS {
            self.skew.ahead.insert(device, ahead);
        } else {
            self.skew.ahead.remove(&device);
        }
    }
}

impl Overview {
    /// By how many milliseconds this device's clock is ahead of the hub's, if that is too much, or behind it where the
    /// number is below 0.
    #[must_use]
    pub fn clock_is_off(&self) -> Option<i64> {
        let own = self.skew.own;
        (own.unsigned_abs() > SKEW_MS).then_some(own)
    }
}
