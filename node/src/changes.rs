//! Publish and subscribe: what a commit moved, told to whoever it concerns. A number and a hint, never
//! content: followers read through the normal path.
//!
//! A session follows its spaces, so that a hub with a thousand of them wakes those of one site when a record of that site comes.
//! Pages follow everything: what a device shows at all times is counted over all that it has.
//!
//! Rejected: a channel that tells everyone. Most of what a commit costs a hub is then to wake sessions for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lianxin_protocol::space::SpaceId;
use tokio::sync::mpsc;

use crate::journal::Moved;

/// Commits that a slow follower may fall behind before it is told to look at everything again.
const BACKLOG: usize = 256;

/// Where commits are told.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Mutex<Followers>>);

#[derive(Debug, Default)]
struct Followers {
    next: u64,
    ways: BTreeMap<u64, Way>,
    /// Those that follow everything.
    all: BTreeSet<u64>,
    by_space: BTreeMap<SpaceId, BTreeSet<u64>>,
}

/// How a follower is reached.
#[derive(Debug)]
struct Way {
    sender: mpsc::Sender<Arc<Moved>>,
    behind: Arc<AtomicBool>,
    /// What it follows; everything if there is nothing.
    spaces: Option<BTreeSet<SpaceId>>,
}

impl Followers {
    /// Takes out of the lists what a follower follows.
    fn leave(&mut self, id: u64) {
        self.all.remove(&id);
        let way = self.ways.get_mut(&id);
        for space in way.and_then(|way| way.spaces.take()).into_iter().flatten() {
            if let Some(followers) = self.by_space.get_mut(&space) {
                followers.remove(&id);
                if followers.is_empty() {
                    self.by_space.remove(&space);
                }
            }
        }
    }

    /// Whom a commit concerns. Rights concern everyone, and so does what is wanted, which names no space.
    fn concerned(&self, moved: &Moved) -> BTreeSet<u64> {
        if moved.authority || !moved.wanted.is_empty() {
            return self.ways.keys().copied().collect();
        }
        let tips = moved.tips.iter().map(|(space, ..)| space);
        let spaces = tips.chain(moved.receipts.iter().map(|receipt| &receipt.space));
        let spaces: BTreeSet<_> = spaces.collect();
        let of_spaces = spaces.into_iter().filter_map(|it| self.by_space.get(it));
        self.all
            .iter()
            .chain(of_spaces.flatten())
            .copied()
            .collect()
    }
}

impl Changes {
    fn lock(&self) -> MutexGuard<'_, Followers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everyone whom it concerns.
    pub fn publish(&self, moved: Moved) {
        let followers = self.lock();
        let concerned = followers.concerned(&moved);
        let moved = Arc::new(moved);
        for way in concerned.iter().filter_map(|id| followers.ways.get(id)) {
            if way.sender.try_send(Arc::clone(&moved)).is_err() {
                way.behind.store(true, Ordering::Release);
            }
        }
    }

    /// Follows everything from now on.
    #[must_use]
    pub fn subscribe(&self) -> Follower {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let behind = Arc::new(AtomicBool::new(false));
        let mut followers = self.lock();
        let id = followers.next;
        followers.next += 1;
        followers.all.insert(id);
        let way = Way {
            sender,
            behind: Arc::clone(&behind),
            spaces: None,
        };
        followers.ways.insert(id, way);
        drop(followers);
        Follower {
            changes: self.clone(),
            id,
            receiver,
            behind,
        }
    }
}

/// Somebody who is told of commits.
#[derive(Debug)]
pub struct Follower {
    changes: Changes,
    id: u64,
    receiver: mpsc::Receiver<Arc<Moved>>,
    behind: Arc<AtomicBool>,
}

impl Follower {
    /// The next commit, or nothing if it fell behind and must look at everything again.
    pub async fn next(&mut self) -> Option<Arc<Moved>> {
        let moved = self.receiver.recv().await;
        if self.behind.swap(false, Ordering::AcqRel) {
            // What waits is older than what was missed.
            while self.receiver.try_recv().is_ok() {}
            return None;
        }
        moved
    }

    /// Lets go of what has been told already.
    pub fn skip(&mut self) {
        while self.receiver.try_recv().is_ok() {}
        self.behind.store(false, Ordering::Release);
    }

    /// Follows these spaces alone from now on, and rights.
    pub fn follow(&self, spaces: BTreeSet<SpaceId>) {
        let mut followers = self.changes.lock();
        followers.leave(self.id);
        for space in &spaces {
            followers
                .by_space
                .entry(*space)
                .or_default()
                .insert(self.id);
        }
        if let Some(way) = followers.ways.get_mut(&self.id) {
            way.spaces = Some(spaces);
        }
    }

    /// Follows everything again.
    pub fn follow_all(&self) {
        let mut followers = self.changes.lock();
        followers.leave(self.id);
        followers.all.insert(self.id);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut followers = self.changes.lock();
        followers.leave(self.id);
        followers.ways.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use lianxin_protocol::log::{LogId, Position};

    use super::*;

    fn moved(space: u8) -> Moved {
        let log = LogId([space; 32]);
        let Position { len, head } = Position::start(&log);
        let tip = lianxin_protocol::message::Tip {
            len,
            head,
            frozen: false,
        };
        Moved {
            tips: vec![(SpaceId([space; 32]), log, tip)],
            ..Moved::default()
        }
    }

    fn told(follower: &mut Follower) -> usize {
        let mut count = 0;
        while follower.receiver.try_recv().is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn who_follows_a_space_is_told_of_it_and_of_rights_alone() {
        let changes = Changes::default();
        let (mut all, mut one) = (changes.subscribe(), changes.subscribe());
        one.follow(BTreeSet::from([SpaceId([1; 32])]));
        changes.publish(moved(1));
        changes.publish(moved(2));
        let rights = Moved {
            authority: true,
            ..Moved::default()
        };
        changes.publish(rights);
        assert_eq!((told(&mut all), told(&mut one)), (3, 2));
        one.follow_all();
        changes.publish(moved(2));
        assert_eq!((told(&mut all), told(&mut one)), (1, 1));
        drop(one);
        assert_eq!(changes.lock().ways.len(), 1);
        assert!(changes.lock().by_space.is_empty());
    }

    #[tokio::test]
    async fn who_falls_behind_is_told_to_look_at_everything() {
        let changes = Changes::default();
        let mut slow = changes.subscribe();
        for _ in 0..=BACKLOG {
            changes.publish(moved(1));
        }
        assert!(slow.next().await.is_none());
        changes.publish(moved(1));
        assert!(slow.next().await.is_some());
    }
}
