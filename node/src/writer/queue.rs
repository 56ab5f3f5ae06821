//! The queue before the writer: two lanes, of which the first goes first.
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

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Somebody at this computer waits for it.
    Local,
    /// It waits for those.
    Behind,
}

#[derive(Debug)]
struct Lanes<J> {
    local: VecDeque<J>,
    behind: VecDeque<J>,
    closed: bool,
}

impl<J> Lanes<J> {
    const fn of(&mut self, lane: Lane) -> &mut VecDeque<J> {
        match lane {
            Lane::Local => &mut self.local,
            Lane::Behind => &mut self.behind,
        }
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
        lanes.of(lane).push_back(job);
        drop(lanes);
        self.came.notify_one();
        None
    }

    /// Takes the next job, and waits for one; no longer than this, if something is to be done meanwhile.
    pub(super) fn pop(&self, most: Option<Duration>) -> Option<(Lane, J)> {
        let mut lanes = self.lock();
        loop {
            for lane in [Lane::Local, Lane::Behind] {
                if let Some(job) = lanes.of(lane).pop_front() {
                    return Some((lane, job));
                }
            }
            let Some(most) = most else {
                let woken = self.came.wait(lanes);
                lanes = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let woken = self.came.wait_timeout(lanes, most);
            let (woken, waited) = woken.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return None;
            }
            lanes = woken;
        }
    }

    /// Takes the next job of a lane if it fits and nothing that goes before that lane waits.
    pub(super) fn pop_if(&self, lane: Lane, fits: impl FnOnce(&J) -> bool) -> Option<J> {
        let mut lanes = self.lock();
        if lane == Lane::Behind && !lanes.local.is_empty() {
            return None;
        }
        lanes.of(lane).pop_front_if(|job| fits(job))
    }

    /// Takes no more, and lets go of what waits.
    pub(super) fn close(&self) {
        let mut lanes = self.lock();
        lanes.closed = true;
        let left = (
            std::mem::take(&mut lanes.local),
            std::mem::take(&mut lanes.behind),
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
}
