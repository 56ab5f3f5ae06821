//! How much is under way on a line at once: what it takes in about a second, and no more.
//!
//! The transport's own control of congestion (CUBIC, RFC 9438) fills every queue of a line before it slows down, and the
//! queues of slow lines are long: a minute at 9.6 kbit/s. Then an answer comes a minute late, packets that are only late
//! are sent again, and what a time-out sees as no progress is a full queue. So the bytes that are written
//! and not confirmed are bounded by the round trip: as long as it is within [`QUEUE`] of the shortest one that was seen, the
//! bound doubles with each round that it held up, else it shrinks in proportion. (The idea is TCP Vegas', Brakmo and Peterson 1995.) It
//! never makes a line faster than the transport would; a fast one reaches the greatest bound within five round trips.
//!
//! Being bounded, what the stream takes is also the measure of progress: it lags a second behind what is confirmed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lianxin_protocol::limits::OUTGOING_BUFFER;

use crate::clock::Monotonic;

/// How much longer than the shortest round trip one may take because of what is queued on the way.
const QUEUE: Duration = Duration::from_secs(1);
/// Bytes under way at least: three packets, so that one that is lost is noticed by those behind it.
const LEAST: u64 = 4 * 1024;
/// Bytes under way at most.
pub(super) const MOST: u64 = 512 * 1024;
/// Bytes under way at first on a line whose first round trip was shorter than [`NEAR`].
const FIRST: u64 = 16 * 1024;
/// A round trip with which a line is not slow: full packets pass 64 kbit/s in it both ways.
const NEAR: Duration = Duration::from_millis(300);
/// For how long ahead of the line is loaded.
const AHEAD: Duration = Duration::from_secs(2);

/// What is known of a line's way out.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Monotonic,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window: u64,
    taken: u64,
    /// Something had to wait since the window was looked at.
    waited: bool,
    looked_ms: u64,
}

impl Pace {
    /// Of a line with this first round trip.
    pub(super) fn new(round_trip: Duration) -> Self {
        let clock = Monotonic::start();
        let state = State {
            window: if round_trip < NEAR { FIRST } else { LEAST },
            taken: 0,
            waited: false,
            looked_ms: clock.ms(),
        };
        Self {
            clock,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that may be under way.
    pub(super) fn window(&self) -> u64 {
        self.state().window
    }

    /// Bytes taken in all.
    pub(super) fn taken(&self) -> u64 {
        self.state().taken
    }

    /// Bytes that the line takes in [`AHEAD`], going by what is under way in a round trip.
    pub(super) fn fits(&self, round_trip: Duration) -> usize {
        let window = u128::from(self.window());
        let bytes = window * AHEAD.as_millis() / round_trip.as_millis().max(1);
        usize::try_from(bytes).map_or(OUTGOING_BUFFER, |bytes| bytes.min(OUTGOING_BUFFER))
    }

    /// The stream has taken `bytes`; `waits` if there are more than it takes now. Looked at once a round trip; gives the
    /// window when it has changed. `trips` are the round trip as it is now, and the shortest.
    pub(super) fn written(
        &self,
        bytes: usize,
        waits: bool,
        (now, least): (Duration, Duration),
    ) -> Option<u64> {
        let mut state = self.state();
        state.taken += bytes as u64;
        state.waited |= waits;
        let at_ms = self.clock.ms();
        if u128::from(at_ms - state.looked_ms) < now.as_millis() {
            return None;
        }
        let before = state.window;
        let bound = least + QUEUE;
        if now > bound {
            let share = u128::from(before) * bound.as_millis() / now.as_millis().max(1);
            state.window = u64::try_from(share).unwrap_or(before).max(LEAST);
        } else if state.waited {
            state.window = before.saturating_mul(2).min(MOST);
        }
        state.waited = false;
        state.looked_ms = at_ms;
        (state.window != before).then_some(state.window)
    }
}
