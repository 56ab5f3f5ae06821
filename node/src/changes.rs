//! Publish and subscribe: what a commit moved, told to whoever follows. A number and a hint, never
//! content: subscribers read through the normal path.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::journal::Moved;

/// Commits that a slow subscriber may fall behind before it is told to look at everything again.
const BACKLOG: usize = 1_024;

/// Where commits are told.
#[derive(Clone, Debug)]
pub struct Changes {
    sender: broadcast::Sender<Arc<Moved>>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(BACKLOG).0,
        }
    }
}

impl Changes {
    /// Tells everyone.
    pub fn publish(&self, moved: Moved) {
        // Nobody listening is fine.
        drop(self.sender.send(Arc::new(moved)));
    }

    /// Follows from now on. A receiver that lagged behind must look at everything again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Moved>> {
        self.sender.subscribe()
    }
}
