//! One connection: the loop that joins a session, a link and the store.
//!
//! It moves bytes and answers between them and decides nothing. Reading, writing and the store go on
//! side by side: frames are written by a task of their own, so that two peers that both write never
//! wait for each other, and work for the store is queued and answered over a channel.
//!
//! What counts as progress is bytes: those that the line has taken, which it does as the peer confirms those before
//! ([`Line::taken`]), and those that came. A frame that stands in a buffer is on neither side yet.

use std::net::SocketAddr;
use std::sync::Arc;

use lianxin_protocol::authority::Role;
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::limits::PROGRESS_BYTES;
use lianxin_protocol::message::ErrorCode;
use lianxin_protocol::session::{Close, Event, Session, Stats};
use lianxin_protocol::space::SpaceId;
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, sleep};

use super::Net;
use super::attend::{self, Answer, Attendant};
use super::endpoint::{Line, Link, SendHalf, Traffic};
use crate::changes::Follower;
use crate::clock;
use crate::error::{Code, Error, Result, stopping};
use crate::journal::Moved;

/// Frames handed to the writing task before the loop waits for it.
const FRAMES: usize = 4;
/// How long a session that should end may go without [`PROGRESS_BYTES`] in either direction.
const STALL: Duration = Duration::from_secs(20);
/// How long a session that should end waits for receipts and answers once both sides hold the same, on a line without
/// delay; each round trip adds [`TRIPS`].
const RECEIPT_WAIT: Duration = Duration::from_secs(10);
/// Round trips that an answer may take: what is still under way, itself, and each of them with a loss.
const TRIPS: u32 = 4;

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
    /// Round trip of the line at the end.
    pub round_trip: Duration,
}

enum Done {
    Answers(Vec<Answer>),
    Shares(Vec<(SpaceId, lianxin_protocol::session::Share)>),
    Doubted(Vec<(SpaceId, lianxin_protocol::session::Share)>),
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
    let mut changes = net.changes.subscribe();
    let (done, mut answers) = mpsc::unbounded_channel();
    let mut talk = Talk::begin(net, &changes, (peer, address), line.clone(), until, done).await?;
    let (frames, writing) = spawn_writer(send);
    talk.session.handle_bytes(&first, net.clock.ms());
    while talk.goes_on() {
        talk.events().await;
        if !talk.goes_on() {
            break;
        }
        let Some(wake) = talk.tend() else {
            continue;
        };
        tokio::select! {
            biased;
            _ = stop.changed() => talk.session.bye(),
            Some(answer) = answers.recv() => talk.answered(&changes, answer),
            change = changes.next() => talk.changed(&changes, change),
            permit = frames.reserve(), if talk.session.has_outgoing() => match permit {
                Ok(permit) => {
                    if let Some(frame) = talk.session.poll_transmit(net.clock.ms()) {
                        permit.send(frame);
                    }
                }
                Err(_) => talk.broken = true,
            },
            // The writing task ends by itself only when the peer no longer takes what it is owed.
            () = frames.closed() => talk.broken = true,
            bytes = receive.read(), if talk.session.wants_input() => talk.heard(bytes),
            () = sleep(wake) => {
                let carried = line.traffic().received_bytes;
                talk.session.handle_progress(carried, net.clock.ms());
                talk.session.handle_timeout(net.clock.ms());
            }
        }
    }
    talk.part(frames, writing).await;
    let traffic = line.traffic();
    line.close(u32::from(talk.close.as_ref().map_or(0, close_code)));
    net.peer_gone(&peer, talk.heard_ms);
    net.writer.after(|journal, _| journal.line_ended());
    let summary = talk.summary(&traffic);
    tell(&summary);
    summary
}

/// Says how a session ended, in its span.
fn tell(summary: &Result<Summary>) {
    match summary {
        Ok(it) => {
            let (sent, received) = (it.stats.entries_out, it.stats.entries_in);
            let (in_sync, elapsed_ms) = (it.in_sync, it.elapsed_ms);
            match &it.close {
                Some(Close::Violation(code, what)) => {
                    tracing::warn!(
                        ?code,
                        ?what,
                        sent,
                        received,
                        elapsed_ms,
                        "the peer broke the protocol"
                    );
                }
                Some(why) => {
                    tracing::info!(
                        ?why,
                        sent,
                        received,
                        in_sync,
                        elapsed_ms,
                        "the session ended"
                    );
                }
                None => tracing::info!(sent, received, in_sync, elapsed_ms, "the line broke"),
            }
        }
        Err(error) => tracing::warn!(error = %error.chain(), "the session failed"),
    }
}

/// A session with what its loop has to remember.
struct Talk<'a> {
    net: &'a Arc<Net>,
    peer: DeviceKey,
    address: SocketAddr,
    until: Until,
    session: Session,
    attendant: Attendant,
    done: mpsc::UnboundedSender<Done>,
    started_ms: u64,
    /// When the peer was last heard, in Unix milliseconds.
    heard_ms: u64,
    line: Line,
    /// When something last moved, and the bytes that had moved by then.
    progress_ms: u64,
    moved: u64,
    connected: bool,
    in_sync: bool,
    /// Both sides have held the same at some time.
    settled: bool,
    /// The store was asked whether something is missing, and nothing has moved since.
    asked_lacking: bool,
    close: Option<Close>,
    broken: bool,
    failure: Option<Error>,
}

impl<'a> Talk<'a> {
    /// Says Hello with what both devices may hold.
    async fn begin(
        net: &'a Arc<Net>,
        changes: &Follower,
        (peer, address): (DeviceKey, SocketAddr),
        line: Line,
        until: Until,
        done: mpsc::UnboundedSender<Done>,
    ) -> Result<Self> {
        let started_ms = net.clock.ms();
        let mut session = Session::new(net.epoch, started_ms);
        let shares = ask(net, move |journal, connection| {
            attend::shares(journal, connection, &peer)
        });
        let shares = shares.await?;
        changes.follow(shares.iter().map(|(space, _)| *space).collect());
        for (id, share) in shares {
            session.share(id, share);
        }
        session.start();
        Ok(Self {
            net,
            peer,
            address,
            until,
            session,
            attendant: Attendant::new(peer),
            done,
            started_ms,
            heard_ms: clock::now_ms(),
            line,
            progress_ms: started_ms,
            moved: 0,
            connected: false,
            in_sync: false,
            settled: false,
            asked_lacking: false,
            close: None,
            broken: false,
            failure: None,
        })
    }

    const fn goes_on(&self) -> bool {
        self.close.is_none() && !self.broken && self.failure.is_none()
    }

    /// Gives all events to the store.
    async fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.progress_ms = self.net.clock.ms();
            match event {
                Event::Connected { version, .. } => {
                    self.connected = true;
                    tracing::debug!(version, "the protocol version is settled");
                    self.net.peer_connected(&self.peer, &self.address);
                    self.dispatch(event).await;
                }
                Event::Closed(why) => self.close = Some(why),
                Event::Refused {
                    code: ErrorCode::QuotaExceeded,
                } => {
                    if self.net.failure() != Some(Code::Quota) {
                        tracing::warn!("the hub takes no more of this device today");
                    }
                    self.net.failed(Some(Code::Quota));
                }
                event => {
                    let receipt = matches!(event, Event::Receipt(_));
                    if receipt && self.net.failure() == Some(Code::Quota) {
                        self.net.failed(None);
                    }
                    self.dispatch(event).await;
                }
            }
        }
    }

    /// Gives an event to the store, once there is a place before it; the answer comes over the channel.
    async fn dispatch(&mut self, event: Event) {
        let announced = match &event {
            Event::Received { space, log, .. } => Some((*log, self.session.announced(space, log))),
            _ => None,
        };
        let prepared = self.attendant.prepare(event, |log| self.net.author(log));
        let Some(prepared) = prepared else { return };
        // They are never closed.
        let Ok(place) = Arc::clone(&self.net.places).acquire_owned().await else {
            return;
        };
        let reply = self.done.clone();
        if prepared.writes() {
            self.net.writer.write_bytes(
                prepared.stored_bytes(),
                move |journal, connection| {
                    let answers = prepared.attend(journal, connection)?;
                    if let Some((log, len)) = announced {
                        journal.expect(&log, len);
                    }
                    Ok(answers)
                },
                move |result| {
                    drop(reply.send(result.map_or_else(Done::Failed, Done::Answers)));
                    drop(place);
                },
            );
        } else {
            self.net.writer.after(move |journal, connection| {
                let result = prepared.attend(journal, connection);
                drop(reply.send(result.map_or_else(Done::Failed, Done::Answers)));
                drop(place);
            });
        }
    }

    /// Looks at where both sides stand. Says how long to wait for something; `None` if the session has just
    /// been ended for want of progress.
    fn tend(&mut self) -> Option<Duration> {
        let peer = self.peer;
        if self.attendant.settles(&self.session) {
            let (may_doubt, reply) = (self.attendant.may_doubt(), self.done.clone());
            self.net.writer.write(
                move |journal, connection| attend::agrees(journal, connection, &peer, may_doubt),
                move |result| match result {
                    Ok(doubted) if doubted.is_empty() => {}
                    Ok(doubted) => drop(reply.send(Done::Doubted(doubted))),
                    Err(error) => {
                        tracing::warn!(error = %error.chain(), "cannot note that a peer agrees");
                    }
                },
            );
        }
        self.in_sync = self.session.is_in_sync();
        self.settled |= self.in_sync;
        let ends = self.until == Until::InSync;
        if self.in_sync && ends && !self.asked_lacking {
            self.asked_lacking = true;
            let reply = self.done.clone();
            self.net.writer.after(move |journal, connection| {
                let lacking = attend::lacks_any(journal, connection);
                drop(reply.send(lacking.map_or_else(Done::Failed, Done::Lacking)));
            });
        }
        let now = self.net.clock.ms();
        self.session.fit(self.line.fits());
        let stats = self.session.stats();
        let taken = self.line.taken();
        if (taken + stats.frame_bytes_in).saturating_sub(self.moved) >= PROGRESS_BYTES {
            self.moved = taken + stats.frame_bytes_in;
            self.progress_ms = now;
        }
        let stalled = Duration::from_millis(now.saturating_sub(self.progress_ms));
        // What this side has sent is there only once the line has taken it.
        let patience = if self.settled && taken >= stats.frame_bytes_out {
            RECEIPT_WAIT + TRIPS * self.line.round_trip()
        } else {
            STALL + TRIPS * self.line.round_trip()
        };
        if ends && stalled > patience {
            self.session.bye();
            return None;
        }
        let next = self.session.poll_timeout();
        let wake = next.map_or(1_000, |at| at.saturating_sub(now).max(1));
        Some(Duration::from_millis(if ends {
            wake.min(500)
        } else {
            wake
        }))
    }

    /// The store has answered.
    fn answered(&mut self, changes: &Follower, answer: Done) {
        if !matches!(answer, Done::Lacking(_)) {
            self.progress_ms = self.net.clock.ms();
        }
        match answer {
            Done::Answers(all) => all.into_iter().for_each(|it| it.apply(&mut self.session)),
            Done::Shares(shares) => {
                changes.follow(shares.iter().map(|(space, _)| *space).collect());
                attend::apply_shares(&mut self.session, shares);
            }
            Done::Doubted(shares) => attend::share_again(&mut self.session, shares),
            // Nothing is missing: this session has done what it was for.
            Done::Lacking(false) if self.session.is_in_sync() => self.session.bye(),
            // Asked again when a commit has moved something.
            Done::Lacking(_) => self.asked_lacking = self.session.is_in_sync(),
            Done::Failed(error) => self.failure = Some(error),
        }
    }

    /// A commit has moved something; a loop that fell behind looks at everything again.
    fn changed(&mut self, changes: &Follower, change: Option<Arc<Moved>>) {
        self.asked_lacking = false;
        if let Some(moved) = &change {
            let role = self.net.writer.authority().role(&self.peer);
            attend::moved(&mut self.session, moved, role == Some(Role::Hub));
        }
        if change.is_none_or(|moved| moved.authority) {
            // Until it is known which spaces it has now: what has moved before that is in what it is told of them.
            changes.follow_all();
            let (peer, reply) = (self.peer, self.done.clone());
            self.net.writer.after(move |journal, connection| {
                let shares = attend::shares(journal, connection, &peer);
                drop(reply.send(shares.map_or_else(Done::Failed, Done::Shares)));
            });
        }
    }

    /// The line has given bytes, or has ended.
    fn heard(&mut self, bytes: Result<Option<Vec<u8>>>) {
        match bytes {
            Ok(Some(bytes)) => {
                self.heard_ms = clock::now_ms();
                self.session.handle_bytes(&bytes, self.net.clock.ms());
            }
            Ok(None) => self.broken = true,
            Err(error) => {
                tracing::debug!(error = %error.chain(), "the connection broke");
                self.broken = true;
            }
        }
    }

    /// What is queued, an error or a goodbye above all, still goes out, unless the peer does not read.
    /// A line that broke has nothing more to tell; what was not confirmed is sent again next time.
    async fn part(&mut self, frames: mpsc::Sender<Vec<u8>>, writing: Writing) {
        let goodbye = async {
            while let Some(frame) = self.next_frame().filter(|_| !self.broken) {
                if frames.send(frame).await.is_err() {
                    break;
                }
            }
            drop(frames);
            drop(writing.await);
        };
        drop(tokio::time::timeout(GOODBYE, goodbye).await);
    }

    fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.session.poll_transmit(self.net.clock.ms())
    }

    fn summary(self, traffic: &Traffic) -> Result<Summary> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        Ok(Summary {
            stats: self.session.stats(),
            close: self.close,
            connected: self.connected,
            in_sync: self.in_sync,
            elapsed_ms: self.net.clock.ms().saturating_sub(self.started_ms),
            udp_bytes: (traffic.sent_bytes, traffic.received_bytes),
            round_trip: traffic.round_trip,
        })
    }
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

/// Asks the journal something between transactions.
pub(crate) async fn ask<R: Send + 'static>(
    net: &Arc<Net>,
    work: impl FnOnce(&mut crate::journal::Journal, &rusqlite::Connection) -> Result<R> + Send + 'static,
) -> Result<R> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    net.writer
        .after(move |journal, connection| drop(sender.send(work(journal, connection))));
    receiver.await.map_err(|_| stopping())?
}
