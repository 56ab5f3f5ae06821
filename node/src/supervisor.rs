//! What a service manager is told: ready, alive, stopping (sd_notify(3)).
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is said. Alive means that the writer thread has just
//! begun and committed an empty transaction, which costs no write to the disk: a node that can commit nothing
//! records nothing, and being started again is what helps one whose store failed under it. A full disk does
//! not stop such a transaction. What is said holds addresses and nothing of any resident.
//!
//! Limit: one transaction that runs longer than the manager waits is taken for a hang. The longest there is
//! rebuilds every list (`reproject`); whoever has a quarter of a million records gives the unit a longer `WatchdogSec`.
//!
//! Rejected: sending pings from a timer, which would go on while nothing is recorded any more.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::error::{Code, Error, Result};
use crate::writer::WriterThread;

/// The line to the service manager, if one waits. Dropped, it ends the pings.
#[derive(Debug)]
pub struct Supervisor {
    _pings: Option<Sender<()>>,
}

impl Supervisor {
    /// Says that the node is ready, with a line for people, and from then on that it is alive for as long
    /// as its writer is.
    ///
    /// # Errors
    /// The operating system gives no thread. A manager that does not listen is logged.
    pub fn ready(writer: &WriterThread, status: &str) -> Result<Self> {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
        let limit = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero());
        let Some(limit) = limit else {
            return Ok(Self { _pings: None });
        };
        let (pings, stopped) = channel();
        let writer = writer.clone();
        // A thread, because the writer's queue may be full, and then asking waits.
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || watch(&writer, limit, &stopped))
            .map_err(|error| Error::because(Code::Internal, "cannot start a thread", error))?;
        Ok(Self {
            _pings: Some(pings),
        })
    }

    /// Says that the node is stopping.
    pub fn stopping(self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }
}

/// Pings at half of the manager's limit (sd_watchdog_enabled(3)) until the sender is dropped.
fn watch(writer: &WriterThread, limit: Duration, stopped: &Receiver<()>) {
    let pause = limit / 2;
    loop {
        let (sender, receiver) = sync_channel(1);
        writer.write(|_, _| Ok(()), move |result| drop(sender.send(result)));
        let mut answer = receiver.recv_timeout(limit);
        if matches!(answer, Err(RecvTimeoutError::Timeout)) {
            tracing::warn!("the store does not answer");
            answer = receiver.recv().map_err(RecvTimeoutError::from);
        }
        match answer {
            Ok(Ok(())) => tell(&[NotifyState::Watchdog]),
            Ok(Err(error)) => tracing::warn!(error = %error.chain(), "the store fails"),
            // The writer has ended.
            Err(_) => return,
        }
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager does not listen");
    }
}
