//! One connection: the loop that joins a session, a link and the store.
//!
//! It moves bytes and answers between them and decides nothing. Reading, writing and the store go on
//! side by side: frames are written by a task of their own, so that two peers that both write never
//! wait for each other, and work for the store is queued and answered over a channel.

use std::sync::Arc;

use lianxin_protocol::authority::Role;
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::message::ErrorCode;
use lianxin_protocol::session::{Close, Event, Session, Stats};
use lianxin_protocol::space::SpaceId;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Duration, sleep};

use super::Net;
use super::attend::{self, Answer, Attendant};
use super::endpoint::{Link, SendHalf};
use crate::error::{Code, Error, Result};
use crate::journal::Moved;

/// Frames handed to the writing task before the loop waits for it.
const FRAMES: usize = 8;
/// How long a session that should end may go without progress.
const STALL: Duration = Duration::from_secs(20);
/// How long a session that should end waits for receipts and answers once both sides hold the same.
const RECEIPT_WAIT: Duration = Duration::from_secs(10);

/// How long the last frames may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// How long a session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until the connection breaks or this side stops.
    Stopped,
    /// Until both sides hold the same and, if this is not the hub, receipts cover it.
    InSync,
}

/// What a session came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Counters.
    pub stats: Stats,
    /// Why it ended; `None` when the connection broke.
    pub close: Option<Close>,
    /// Whether the peer's first message ever came.
    pub connected: bool,
    /// Whether both sides held the same at the end.
    pub in_sync: bool,
    /// Milliseconds from the first byte to the last.
    pub elapsed_ms: u64,
    /// Bytes of UDP payload sent and received.
    pub udp_bytes: (u64, u64),
}

enum Done {
    Answers(Vec<Answer>),
    Shares(Vec<(SpaceId, lianxin_protocol::session::Share)>),
    Lacking(bool),
    Failed(Error),
}

/// Runs a session over a link. `first` are bytes that were already read from it.
///
/// # Errors
/// The store failed; the connection is closed then.
pub async fn run(
    net: &Arc<Net>,
    link: Link,
    first: Vec<u8>,
    until: Until,
    mut stop: watch::Receiver<bool>,
) -> Result<Summary> {
    let Link {
        peer,
        address,
        send,
        mut receive,
        line,
        ..
    } = link;
    let started_ms = net.clock.ms();
    let mut changes = net.changes.subscribe();
    let mut session = Session::new(net.epoch, started_ms);
    let shares = ask(net, move |journal, connection| {
        attend::shares(journal, connection, &peer)
    })
    .await?;
    for (id, share) in shares {
        session.share(id, share);
    }
    session.start();
    let (frames, writing) = spawn_writer(send);
    let (done, mut answers) = mpsc::unbounded_channel();
    let mut attendant = Attendant::new(peer);
    session.handle_bytes(&first, net.clock.ms());
    let mut close = None;
    let mut connected = false;
    let mut was_in_sync = false;
    let mut asked_lacking = false;
    let mut progress_ms = started_ms;
    let mut broken = false;
    let mut failure = None;
    while close.is_none() && !broken && failure.is_none() {
        while let Some(event) = session.poll_event() {
            progress_ms = net.clock.ms();
            match event {
                Event::Connected { .. } => {
                    connected = true;
                    net.peer_connected(&peer, &address);
                }
                Event::Closed(why) => close = Some(why),
                Event::Refused {
                    code: ErrorCode::QuotaExceeded,
                } => {
                    if net.failure() != Some(Code::Quota) {
                        tracing::warn!("the hub takes no more of this device today");
                    }
                    net.failed(Some(Code::Quota));
                }
                event => {
                    if matches!(event, Event::Receipt(_)) && net.failure() == Some(Code::Quota) {
                        net.failed(None);
                    }
                    dispatch(net, &mut attendant, event, &session.shared(), &done);
                }
            }
        }
        if close.is_some() {
            break;
        }
        if attendant.settles(&session) {
            net.writer.write(
                move |journal, connection| journal.peer_agrees(connection, &peer),
                |result| {
                    if let Err(error) = result {
                        tracing::warn!(error = %error.chain(), "cannot note that a peer agrees");
                    }
                },
            );
        }
        if session.is_in_sync() && until == Until::InSync && !asked_lacking {
            asked_lacking = true;
            was_in_sync = true;
            let reply = done.clone();
            net.writer.after(move |journal, connection| {
                let lacking = attend::lacks_any(journal, connection);
                drop(reply.send(lacking.map_or_else(Done::Failed, Done::Lacking)));
            });
        }
        let now = net.clock.ms();
        let stalled = Duration::from_millis(now.saturating_sub(progress_ms));
        let patience = if was_in_sync { RECEIPT_WAIT } else { STALL };
        if until == Until::InSync && stalled > patience {
            session.bye();
            continue;
        }
        let wake = session
            .poll_timeout()
            .map_or(1_000, |at| at.saturating_sub(now).max(1));
        let wake = if until == Until::InSync {
            wake.min(500)
        } else {
            wake
        };
        tokio::select! {
            biased;
            _ = stop.changed() => session.bye(),
            Some(answer) = answers.recv() => {
                if !matches!(answer, Done::Lacking(_)) {
                    progress_ms = net.clock.ms();
                }
                match answer {
                    Done::Answers(all) => all.into_iter().for_each(|it| it.apply(&mut session)),
                    Done::Shares(shares) => attend::apply_shares(&mut session, shares),
                    // Nothing is missing: this session has done what it was for.
                    Done::Lacking(false) if session.is_in_sync() => session.bye(),
                    // Asked again when a commit has moved something.
                    Done::Lacking(_) => asked_lacking = session.is_in_sync(),
                    Done::Failed(error) => failure = Some(error),
                }
            }
            change = changes.recv() => {
                let change = change.map(Some).or_else(|error| match error {
                    broadcast::error::RecvError::Lagged(_) => Ok(None),
                    broadcast::error::RecvError::Closed => Err(()),
                });
                match change {
                    Ok(change) => {
                        asked_lacking = false;
                        follow(net, &mut session, &peer, change.as_deref(), &done);
                    }
                    Err(()) => session.bye(),
                }
            }
            permit = frames.reserve(), if session.has_outgoing() => match permit {
                Ok(permit) => {
                    if let Some(frame) = session.poll_transmit(net.clock.ms()) {
                        permit.send(frame);
                    }
                }
                Err(_) => broken = true,
            },
            // The writing task ends by itself only when the peer no longer takes what it is owed.
            () = frames.closed() => broken = true,
            bytes = receive.read(), if session.wants_input() => match bytes {
                Ok(Some(bytes)) => session.handle_bytes(&bytes, net.clock.ms()),
                Ok(None) => broken = true,
                Err(error) => {
                    tracing::debug!(error = %error.chain(), "the connection broke");
                    broken = true;
                }
            },
            () = sleep(Duration::from_millis(wake)) => session.handle_timeout(net.clock.ms()),
        }
    }
    // What is queued, an error or a goodbye above all, still goes out, unless the peer does not read.
    // A line that broke has nothing more to tell; what was not confirmed is sent again next time.
    let goodbye = async {
        while let Some(frame) = session.poll_transmit(net.clock.ms()).filter(|_| !broken) {
            if frames.send(frame).await.is_err() {
                break;
            }
        }
        drop(frames);
        drop(writing.await);
    };
    drop(tokio::time::timeout(GOODBYE, goodbye).await);
    let traffic = line.traffic();
    line.close(u32::from(close.as_ref().map_or(0, close_code)));
    net.peer_gone(&peer);
    net.writer.after(|journal, _| journal.line_ended());
    if let Some(error) = failure {
        return Err(error);
    }
    Ok(Summary {
        stats: session.stats(),
        close,
        connected,
        in_sync: was_in_sync,
        elapsed_ms: net.clock.ms().saturating_sub(started_ms),
        udp_bytes: (traffic.sent_bytes, traffic.received_bytes),
    })
}

fn close_code(close: &Close) -> u16 {
    match close {
        Close::Violation(code, _) => code.number(),
        Close::PeerBye | Close::OwnBye | Close::Peer(_) => 0,
        Close::NoHello | Close::Silent | Close::Stalled => ErrorCode::Busy.number(),
    }
}

type Writing = tokio::task::JoinHandle<Result<()>>;

fn spawn_writer(mut send: SendHalf) -> (mpsc::Sender<Vec<u8>>, Writing) {
    let (frames, mut queue) = mpsc::channel::<Vec<u8>>(FRAMES);
    let writing = tokio::spawn(async move {
        while let Some(frame) = queue.recv().await {
            send.write(&frame).await?;
        }
        send.finish().await
    });
    (frames, writing)
}

/// Gives an event to the store; the answer comes over the channel.
fn dispatch(
    net: &Arc<Net>,
    attendant: &mut Attendant,
    event: Event,
    shared: &[SpaceId],
    done: &mpsc::UnboundedSender<Done>,
) {
    let prepared = attendant.prepare(event, shared, |log| net.author(log));
    let Some(prepared) = prepared else { return };
    let reply = done.clone();
    if prepared.writes() {
        net.writer.write(
            move |journal, connection| prepared.attend(journal, connection),
            move |result| {
                drop(reply.send(result.map_or_else(Done::Failed, Done::Answers)));
            },
        );
    } else {
        net.writer.after(move |journal, connection| {
            let result = prepared.attend(journal, connection);
            drop(reply.send(result.map_or_else(Done::Failed, Done::Answers)));
        });
    }
}

/// Tells the session what a commit moved; `None` after falling behind: look at everything again.
fn follow(
    net: &Arc<Net>,
    session: &mut Session,
    peer: &DeviceKey,
    change: Option<&Moved>,
    done: &mpsc::UnboundedSender<Done>,
) {
    if let Some(moved) = change {
        let role = net
            .writer
            .authority()
            .and_then(|authority| authority.role(peer));
        attend::moved(session, moved, role == Some(Role::Hub));
    }
    if change.is_none_or(|moved| moved.authority) {
        let (peer, reply) = (*peer, done.clone());
        net.writer.after(move |journal, connection| {
            let shares = attend::shares(journal, connection, &peer);
            drop(reply.send(shares.map_or_else(Done::Failed, Done::Shares)));
        });
    }
}

/// Asks the journal something between transactions.
pub(crate) async fn ask<R: Send + 'static>(
    net: &Arc<Net>,
    work: impl FnOnce(&mut crate::journal::Journal, &rusqlite::Connection) -> Result<R> + Send + 'static,
) -> Result<R> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    net.writer
        .after(move |journal, connection| drop(sender.send(work(journal, connection))));
    let stopped = || Error::new(Code::Internal, "the program is stopping");
    receiver.await.map_err(|_| stopped())?
}
