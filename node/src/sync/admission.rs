//! Who may come in at present: how much one device, one address and all who guess at invites may hold.
//!
//! It owns three counts and nothing else: served connections by device, strangers by address, and wrong
//! enrolments by address and in all. Time is an argument. It knows neither invites nor rights, and writes no
//! code or name anywhere. Invariants: every place that is taken is given back when its guard is dropped, and
//! what is kept is bounded by [`limits`] and by the connections that the endpoint lets in.
//!
//! Of a device's connections the newest counts: a station whose address changed, or whose plug was pulled,
//! comes back at once and its dead connection makes room. Rejected: to turn the newest away, which would
//! shut a station out for half a minute after every power cut.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::limits;
use lianxin_protocol::message::ErrorCode;

use super::endpoint::Line;

/// The counts, shared by all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Admission(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Open connections by device, the oldest first, each under a number of its own.
    devices: BTreeMap<DeviceKey, VecDeque<(u64, Line)>>,
    /// Open connections of strangers by address, the oldest first.
    strangers: BTreeMap<IpAddr, VecDeque<(u64, Line)>>,
    /// Wrong enrolments and such as are being judged, the oldest first.
    wrong: VecDeque<(u64, IpAddr)>,
    /// Device codes that were given when `wrong` was looked at last.
    codes: usize,
    taken: u64,
}

/// A place of a device or of a stranger, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Admission,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Device(DeviceKey, u64),
    Stranger(IpAddr, u64),
}

impl Admission {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection of a device; beyond [`limits::CONNECTIONS_PER_DEVICE`] its oldest one is closed.
    /// One that is over already makes room, even while its session still says goodbye.
    pub(super) fn device(&self, device: DeviceKey, line: &Line) -> Place {
        let mut state = self.state();
        let number = state.next();
        let lines = state.devices.entry(device).or_default();
        let oldest = push(lines, (number, line), limits::CONNECTIONS_PER_DEVICE);
        drop(state);
        self.place(Kind::Device(device, number), oldest)
    }

    /// Counts a connection of a device that the network does not know; beyond [`limits::STRANGERS_PER_IP`] the oldest
    /// one of its address is closed: who enrols is done in a second, and who says nothing keeps nobody out.
    pub(super) fn stranger(&self, ip: IpAddr, line: &Line) -> Place {
        let mut state = self.state();
        let number = state.next();
        let lines = state.strangers.entry(ip).or_default();
        let oldest = push(lines, (number, line), limits::STRANGERS_PER_IP);
        drop(state);
        self.place(Kind::Stranger(ip, number), oldest)
    }

    fn place(&self, kind: Kind, oldest: Option<Line>) -> Place {
        if let Some(line) = oldest {
            line.close(ErrorCode::Busy.number().into());
        }
        let of = self.clone();
        Place { of, kind }
    }

    /// Begins to judge an enrolment, which counts as wrong until [`Admission::enrolled`] takes that back.
    /// `codes` is how many device codes were ever given: one more means that an operator is at work, and
    /// opens the door again.
    ///
    /// # Errors
    /// Seconds to wait, when too many were wrong.
    pub(super) fn enrolling(&self, ip: IpAddr, codes: usize, now_ms: u64) -> Result<(), u32> {
        let mut state = self.state();
        if codes > state.codes {
            state.wrong.clear();
        }
        state.codes = codes;
        while let Some((at, _)) = state.wrong.front()
            && now_ms >= at + limits::ENROL_ALL_MS
        {
            state.wrong.pop_front();
        }
        let lately = |at: u64| now_ms < at + limits::ENROL_IP_MS;
        let here = state.wrong.iter().rev();
        let here = here.filter(|(at, from)| *from == ip && lately(*at));
        let here = here.map(|(at, _)| at + limits::ENROL_IP_MS);
        let until = if state.wrong.len() >= limits::ENROL_WRONG_MAX {
            let oldest = state.wrong.front();
            oldest.map(|(at, _)| at + limits::ENROL_ALL_MS)
        } else {
            // The one that has to pass before there are fewer than allowed.
            here.take(limits::ENROL_WRONG_PER_IP)
                .nth(limits::ENROL_WRONG_PER_IP - 1)
        };
        if let Some(until) = until {
            let wait_s = until.saturating_sub(now_ms).div_ceil(1_000);
            return Err(u32::try_from(wait_s).unwrap_or(u32::MAX).max(1));
        }
        state.wrong.push_back((now_ms, ip));
        Ok(())
    }

    /// The enrolment that began at `now_ms` was a right one.
    pub(super) fn enrolled(&self, ip: IpAddr, now_ms: u64) {
        let mut state = self.state();
        let place = state.wrong.iter().position(|it| *it == (now_ms, ip));
        if let Some(place) = place {
            state.wrong.remove(place);
        }
    }
}

impl State {
    const fn next(&mut self) -> u64 {
        self.taken += 1;
        self.taken
    }
}

/// Adds a connection to those that are open, and gives the oldest if there are too many.
fn push(
    lines: &mut VecDeque<(u64, Line)>,
    (number, line): (u64, &Line),
    most: usize,
) -> Option<Line> {
    lines.retain(|(_, line)| !line.is_closed());
    lines.push_back((number, line.clone()));
    let surplus = lines.len() > most;
    let oldest = surplus.then(|| lines.pop_front()).flatten();
    oldest.map(|(_, line)| line)
}

/// Takes a connection away.
fn leave<K: Ord>(all: &mut BTreeMap<K, VecDeque<(u64, Line)>>, of: &K, number: u64) {
    if let Some(lines) = all.get_mut(of) {
        lines.retain(|(at, _)| *at != number);
        if lines.is_empty() {
            all.remove(of);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.of.state();
        match self.kind {
            Kind::Device(device, number) => leave(&mut state.devices, &device, number),
            Kind::Stranger(ip, number) => leave(&mut state.strangers, &ip, number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(n: usize) -> IpAddr {
        IpAddr::from(u32::try_from(n).unwrap_or(0).to_be_bytes())
    }

    #[test]
    fn five_wrong_enrolments_a_minute_and_fifty_an_hour_are_judged() {
        let admission = Admission::default();
        for _ in 0..limits::ENROL_WRONG_PER_IP {
            assert_eq!(admission.enrolling(from(0), 9, 0), Ok(()));
        }
        assert_eq!(admission.enrolling(from(0), 9, 1_000), Err(59));
        assert_eq!(admission.enrolling(from(0), 9, 59_999), Err(1));
        assert_eq!(admission.enrolling(from(0), 9, 60_000), Ok(()));
        for n in 6..limits::ENROL_WRONG_MAX {
            assert_eq!(admission.enrolling(from(n), 9, 60_000), Ok(()), "{n}");
        }
        let all = admission.enrolling(from(99), 9, 60_000);
        assert_eq!(all, Err(3_540), "fifty in all, whoever asks");
        assert_eq!(admission.state().wrong.len(), limits::ENROL_WRONG_MAX);
        // The hour of the first five passes.
        assert_eq!(admission.enrolling(from(99), 9, 3_600_000), Ok(()));
    }

    #[test]
    fn a_new_invite_opens_the_door_again() {
        let admission = Admission::default();
        for n in 0..limits::ENROL_WRONG_MAX {
            assert_eq!(admission.enrolling(from(n), 9, 0), Ok(()));
        }
        assert!(admission.enrolling(from(99), 9, 1).is_err());
        assert_eq!(admission.enrolling(from(99), 10, 2), Ok(()));
        assert_eq!(admission.state().wrong.len(), 1);
    }

    #[test]
    fn a_right_enrolment_is_not_counted_and_may_be_repeated_without_end() {
        let admission = Admission::default();
        for n in 0..200 {
            assert_eq!(admission.enrolling(from(0), 9, n), Ok(()));
            admission.enrolled(from(0), n);
        }
        assert!(admission.state().wrong.is_empty());
    }
}
