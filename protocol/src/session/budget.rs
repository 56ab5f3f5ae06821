//! What a peer may make this side do for nothing.
//!
//! Owns the counters; what counts as nothing new, the session says. Two budgets refill with time, so that a quiet
//! session that lives for weeks never ends itself; batches that do not verify never come back.
//!
//! Rejected: a bound on frames a second. A flood of a second is harmless and an honest burst longer than that.

use crate::limits;

/// What one frame was counted as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Charge {
    frames: u32,
    bytes: u64,
}

impl Charge {
    /// Nothing.
    pub(super) const FREE: Self = Self {
        frames: 0,
        bytes: 0,
    };

    /// A frame that costs only its handling, since its bytes were sent in good faith.
    pub(super) const FRAME: Self = Self {
        frames: 1,
        bytes: 0,
    };

    /// A frame of so many bytes.
    pub(super) const fn of(bytes: usize) -> Self {
        Self {
            frames: 1,
            bytes: bytes as u64,
        }
    }
}

/// What a peer has used of its budgets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    frames: u32,
    bytes: u64,
    bad_batches: u32,
    since_ms: u64,
}

impl Budget {
    pub(super) const fn new(now_ms: u64) -> Self {
        Self {
            frames: 0,
            bytes: 0,
            bad_batches: 0,
            since_ms: now_ms,
        }
    }

    /// Gives back what the time that has passed gives back.
    pub(super) fn refill(&mut self, now_ms: u64) {
        let seconds = now_ms.saturating_sub(self.since_ms) / 1_000;
        self.since_ms += seconds * 1_000;
        let frames = seconds.saturating_mul(limits::IDLE_FRAMES_A_SECOND.into());
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        self.frames = self.frames.saturating_sub(frames);
        let bytes = seconds.saturating_mul(limits::IDLE_BYTES_A_SECOND);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Counts a frame; says whether that is still within the budget.
    pub(super) const fn charge(&mut self, charge: Charge) -> bool {
        self.frames = self.frames.saturating_add(charge.frames);
        self.bytes = self.bytes.saturating_add(charge.bytes);
        self.frames <= limits::IDLE_FRAMES_MAX && self.bytes <= limits::IDLE_BYTES_MAX
    }

    /// A frame turned out to be of use.
    pub(super) const fn refund(&mut self, charge: Charge) {
        self.frames = self.frames.saturating_sub(charge.frames);
        self.bytes = self.bytes.saturating_sub(charge.bytes);
    }

    /// Counts a batch that does not verify; says whether the peer may go on.
    pub(super) const fn bad_batch(&mut self) -> bool {
        self.bad_batches = self.bad_batches.saturating_add(1);
        self.bad_batches < limits::BAD_BATCHES_MAX
    }
}
