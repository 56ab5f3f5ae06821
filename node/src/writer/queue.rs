//! The queue before the writer: three lanes, of which the first goes first and the last only where nothing else is going on.
//!
//! Nobody waits to put a job in, so that a task of the asynchronous rim may. How many jobs there can be is bounded by who does: a
//! thread waits for its answer before it comes again, a connection to the pages has one question, and sessions share a number of
//! places ([`crate::sync::PLACES`]).
//!
//! Rejected: channels of the standard library. Two of them cannot be waited on together, and a bounded one holds up whoever sends,
//! with all other tasks of that thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;

/// How long nothing may have come before a job that nobody waits for is begun: a line that gives and takes in turns comes back sooner.
const QUIET: Duration = Duration::from_millis(100);
/// How long such a job waits for that at the longest, in milliseconds.
const LONGEST_MS: u64 = 2_000;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Somebody at this computer waits for it.
    Local,
    /// It waits for those.
    Behind,
    /// Nobody waits for it: its time is when nothing else has come for a while.
    Idle,
}

#[derive(Debug)]
struct Lanes<J> {
    local: VecDeque<J>,
    behind: VecDeque<J>,
    idle: VecDeque<(Monotonic, J)>,
    /// Nothing but such jobs has come since it was quiet.
    quiet: bool,
    /// A job was taken, and whoever took it has not come back.
    taken: bool,
    closed: bool,
}

impl<J> Lanes<J> {
    /// Adds a job.
    fn push(&mut self, lane: Lane, job: J) {
        match lane {
            Lane::Local => self.local.push_back(job),
            Lane::Behind => self.behind.push_back(job),
            Lane::Idle => self.idle.push_back((Monotonic::start(), job)),
        }
    }

    /// The next job that may begin now.
    fn next(&mut self) -> Option<(Lane, J)> {
        let overdue = |(since, _): &mut (Monotonic, J)| since.ms() >= LONGEST_MS;
        if let Some(job) = self.local.pop_front() {
            self.quiet = false;
            return Some((Lane::Local, job));
        }
        if let Some((_, job)) = self.idle.pop_front_if(overdue) {
            return Some((Lane::Idle, job));
        }
        if let Some(job) = self.behind.pop_front() {
            self.quiet = false;
            return Some((Lane::Behind, job));
        }
        let quiet = self.quiet;
        let (_, job) = self.idle.pop_front_if(|_| quiet)?;
        Some((Lane::Idle, job))
    }
}

/// Jobs that wait.
#[derive(Debug)]
pub(super) struct Queue<J> {
    lanes: Mutex<Lanes<J>>,
    came: Condvar,
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        let lanes = Lanes {
            local: VecDeque::new(),
            behind: VecDeque::new(),
            idle: VecDeque::new(),
            quiet: false,
            taken: false,
            closed: false,
        };
        Self {
            lanes: Mutex::new(lanes),
            came: Condvar::new(),
        }
    }
}

impl<J> Queue<J> {
    fn lock(&self) -> MutexGuard<'_, Lanes<J>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job at the end of a lane. A queue that is closed gives it back.
    pub(super) fn push(&self, lane: Lane, job: J) -> Option<J> {
        let mut lanes = self.lock();
        if lanes.closed {
            return Some(job);
        }
        lanes.push(lane, job);
        drop(lanes);
        self.came.notify_one();
        None
    }

    /// Takes the next job, and waits for one; no longer than this, if something is to be done meanwhile.
    pub(super) fn pop(&self, most: Option<Duration>) -> Option<(Lane, J)> {
        let mut lanes = self.lock();
        lanes.taken = false;
        loop {
            if let Some(next) = lanes.next() {
                lanes.taken = true;
                return Some(next);
            }
            let quiet = (!lanes.idle.is_empty()).then_some(QUIET);
            let Some(time) = [most, quiet].into_iter().flatten().min() else {
                let woken = self.came.wait(lanes);
                lanes = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let woken = self.came.wait_timeout(lanes, time);
            let (woken, waited) = woken.unwrap_or_else(PoisonError::into_inner);
            lanes = woken;
            if waited.timed_out() {
                lanes.quiet = true;
                if lanes.idle.is_empty() {
                    return None;
                }
            }
        }
    }

    /// Takes the next job of a lane if it fits and nothing that goes before that lane waits.
    pub(super) fn pop_if(&self, lane: Lane, fits: impl FnOnce(&J) -> bool) -> Option<J> {
        let mut lanes = self.lock();
        match lane {
            Lane::Local => lanes.local.pop_front_if(|job| fits(job)),
            Lane::Behind if lanes.local.is_empty() => lanes.behind.pop_front_if(|job| fits(job)),
            // Each of these is long enough by itself.
            Lane::Behind | Lane::Idle => None,
        }
    }

    /// The same, and waits for it no longer than this, nor when something else has come.
    pub(super) fn pop_soon(
        &self,
        lane: Lane,
        fits: impl Fn(&J) -> bool,
        most: Duration,
    ) -> Option<J> {
        let begun = Monotonic::start();
        loop {
            if let Some(job) = self.pop_if(lane, &fits) {
                return Some(job);
            }
            let lanes = self.lock();
            let is_empty = lanes.local.is_empty() && lanes.behind.is_empty();
            let left = most.checked_sub(Duration::from_millis(begun.ms()));
            let left = left.filter(|left| is_empty && !left.is_zero())?;
            drop(self.came.wait_timeout(lanes, left));
        }
    }

    /// Whether a job is under way, or waits for nothing but one.
    pub(super) fn is_busy(&self) -> bool {
        let lanes = self.lock();
        lanes.taken || !lanes.local.is_empty() || !lanes.behind.is_empty()
    }

    /// Whether it takes no more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes no more, and lets go of what waits.
    pub(super) fn close(&self) {
        let mut lanes = self.lock();
        lanes.closed = true;
        let left = (
            std::mem::take(&mut lanes.local),
            std::mem::take(&mut lanes.behind),
            std::mem::take(&mut lanes.idle),
        );
        // What they answer on is closed with them, outside of the lock.
        drop(lanes);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_waits_for_goes_first_and_ends_a_group_of_others() {
        let queue = Queue::default();
        let jobs = [
            (Lane::Behind, 1),
            (Lane::Behind, 2),
            (Lane::Local, 3),
            (Lane::Local, 4),
        ];
        for (lane, job) in jobs {
            assert_eq!(queue.push(lane, job), None);
        }
        assert_eq!(queue.pop(None), Some((Lane::Local, 3)));
        assert_eq!(queue.pop_if(Lane::Behind, |_| true), None, "somebody waits");
        assert_eq!(queue.pop_if(Lane::Local, |job| *job > 4), None);
        assert_eq!(queue.pop_if(Lane::Local, |job| *job == 4), Some(4));
        assert_eq!(queue.pop_if(Lane::Local, |_| true), None);
        assert_eq!(queue.pop(None), Some((Lane::Behind, 1)));
        assert_eq!(queue.pop_if(Lane::Behind, |_| true), Some(2));
        let soon = Some(Duration::from_millis(1));
        assert_eq!(queue.pop(soon), None);
        assert_eq!(queue.push(Lane::Local, 5), None);
        assert_eq!(queue.pop(soon), Some((Lane::Local, 5)));
        queue.close();
        assert_eq!(queue.push(Lane::Local, 6), Some(6));
    }

    #[test]
    fn what_comes_soon_is_waited_for_unless_somebody_waits_himself() {
        let queue = std::sync::Arc::new(Queue::default());
        let long = Duration::from_secs(30);
        let other = std::sync::Arc::clone(&queue);
        let comes = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            other.push(Lane::Behind, 1)
        });
        assert_eq!(queue.pop_soon(Lane::Behind, |_| true, long), Some(1));
        assert!(comes.join().is_ok_and(|refused| refused.is_none()));
        let short = Duration::from_millis(1);
        assert_eq!(queue.pop_soon(Lane::Behind, |_| true, short), None);
        assert_eq!(queue.push(Lane::Behind, 2), None);
        assert_eq!(queue.pop_soon(Lane::Behind, |job| *job > 2, long), None);
        assert_eq!(queue.push(Lane::Local, 3), None);
        assert_eq!(queue.pop_soon(Lane::Behind, |_| true, long), None);
    }

    #[test]
    fn it_is_busy_until_whoever_took_a_job_comes_back() {
        let queue = Queue::default();
        let soon = Some(Duration::from_millis(1));
        assert!(!queue.is_busy());
        assert_eq!(queue.push(Lane::Behind, 1), None);
        assert!(queue.is_busy());
        assert_eq!(queue.pop(None), Some((Lane::Behind, 1)));
        assert!(queue.is_busy());
        assert_eq!(queue.pop(soon), None);
        assert!(!queue.is_busy());
    }

    #[test]
    fn what_nobody_waits_for_is_begun_when_nothing_else_has_come_for_a_while() {
        let queue = Queue::default();
        for (lane, job) in [(Lane::Idle, 1), (Lane::Idle, 2), (Lane::Behind, 3)] {
            assert_eq!(queue.push(lane, job), None);
        }
        assert_eq!(queue.pop(None), Some((Lane::Behind, 3)));
        assert_eq!(queue.pop_if(Lane::Idle, |_| true), None);
        assert!(!queue.lock().quiet);
        assert_eq!(queue.pop(None), Some((Lane::Idle, 1)));
        // It is quiet still.
        assert!(queue.lock().quiet);
        assert_eq!(queue.pop(None), Some((Lane::Idle, 2)));
        for (lane, job) in [(Lane::Idle, 4), (Lane::Local, 5), (Lane::Behind, 6)] {
            assert_eq!(queue.push(lane, job), None);
        }
        assert_eq!(queue.pop(None), Some((Lane::Local, 5)));
        assert!(!queue.lock().quiet, "another job has come");
        assert_eq!(queue.pop(None), Some((Lane::Behind, 6)));
        assert_eq!(queue.pop(None), Some((Lane::Idle, 4)));
    }

    #[test]
    fn what_nobody_waits_for_is_not_put_off_for_ever() {
        let queue = Queue::default();
        assert_eq!(queue.push(Lane::Idle, 0), None);
        let mut taken = 1;
        loop {
            assert_eq!(queue.push(Lane::Behind, taken), None);
            match queue.pop(None) {
                Some((Lane::Idle, 0)) => break,
                next => assert_eq!(next, Some((Lane::Behind, taken))),
            }
            taken += 1;
            assert!(taken < 4_000, "it still waits after twenty seconds");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(queue.pop(None), Some((Lane::Behind, taken)));
    }
}
