//! Sync with peers: who is dialled, who is let in, and enrolment. The only place of the node that knows
//! the network; it knows nothing of pages.

mod admission;
pub mod attend;
pub mod endpoint;
pub mod enrol;
pub mod join;
mod pace;
pub mod peer;
pub mod reach;
pub mod stick;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::{DeviceKey, Signer, short};
use lianxin_protocol::limits::HELLO_TIMEOUT_MS;
use lianxin_protocol::log::{Author, LogId};
use lianxin_protocol::message::{Enrol, Enrolled, ErrorCode, ErrorScope, FrameReader, Message};
use tokio::sync::{Semaphore, watch};
use tracing::{Instrument as _, Span};

use crate::changes::Changes;
use crate::clock::{self, Monotonic};
use crate::error::{Code, Error, Result};
use crate::writer::WriterThread;
use admission::Admission;
use endpoint::{Endpoint, HANDSHAKE_TIMEOUT, Link};
use peer::{Summary, Until};
use reach::Retry;
pub use reach::{is_address, look_up};

/// Sessions at once; each is bounded, and together they fit a hub of 2 GiB.
const SESSIONS: usize = 2_000;
/// Events of all sessions that wait for the store: a run of the largest size each is 64 MiB, and a session waits for a place of
/// its own.
pub(crate) const PLACES: usize = 256;
/// How long a stranger may take to say what it wants.
const FIRST_FRAME: Duration = Duration::from_millis(HELLO_TIMEOUT_MS);

/// A peer as `status` shows it.
#[derive(Clone, Debug)]
pub struct PeerState {
    /// Where it was last seen.
    pub address: SocketAddr,
    /// Unix milliseconds.
    pub last_seen_ms: u64,
    /// Open sessions.
    pub sessions: usize,
}

/// What all sessions share.
#[derive(Debug)]
pub struct Net {
    /// The write path, behind what people at this computer wait for.
    pub writer: WriterThread,
    /// What commits moved.
    pub changes: Changes,
    /// For timeouts.
    pub clock: Monotonic,
    /// Random id of this store.
    pub epoch: [u8; 16],
    /// This device's key.
    pub device: DeviceKey,
    endpoint: Endpoint,
    /// What all sessions together may have waiting before the store.
    places: Arc<Semaphore>,
    admission: Admission,
    peers: Mutex<BTreeMap<DeviceKey, PeerState>>,
    /// Why the last attempt to keep a session open failed, until one succeeds.
    failure: Mutex<Option<Code>>,
    /// Whether the cable is in. It is pulled by who demonstrates what happens then.
    cable: watch::Sender<bool>,
}

impl Net {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`Code::Address`] when the address cannot be used.
    pub fn bind(
        address: SocketAddr,
        device: &Signer,
        epoch: [u8; 16],
        writer: WriterThread,
        changes: Changes,
    ) -> Result<Arc<Self>> {
        // A revoked device is let in as far as a session that shows it the entry which says so, and
        // strangers to enrol: nobody is refused by key alone.
        let endpoint = Endpoint::bind(address, device, |_| false)?;
        Ok(Arc::new(Self {
            writer: writer.behind(),
            changes,
            clock: Monotonic::start(),
            epoch,
            device: device.public(),
            endpoint,
            places: Arc::new(Semaphore::new(PLACES)),
            admission: Admission::default(),
            peers: Mutex::default(),
            failure: Mutex::default(),
            cable: watch::Sender::new(true),
        }))
    }

    /// The address as bound.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.endpoint.local_address()
    }

    /// Who writes a stored log.
    #[must_use]
    pub fn author(&self, log: &LogId) -> Option<Author> {
        self.writer.author(log)
    }

    /// Peers seen since the start.
    #[must_use]
    pub fn peers(&self) -> BTreeMap<DeviceKey, PeerState> {
        self.peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Why the last attempt to reach the hub ended, if it failed.
    #[must_use]
    pub fn failure(&self) -> Option<Code> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, why: Option<Code>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Pulls the cable, or puts it in: without it every connection ends, nobody is reached and nobody gets in, whoever asks.
    pub fn plug(&self, on: bool) {
        self.cable.send_replace(on);
    }

    /// Whether the cable is in.
    #[must_use]
    pub fn is_plugged(&self) -> bool {
        *self.cable.borrow()
    }

    /// Refuses to look for anyone without a cable.
    fn reachable(&self) -> Result<()> {
        let message = "the cable is pulled";
        let out = || Error::new(Code::HubUnreachable, message);
        self.is_plugged().then_some(()).ok_or_else(out)
    }

    /// A session as long as the cable is in.
    async fn talk(
        self: &Arc<Self>,
        link: Link,
        first: Vec<u8>,
        until: Until,
        stop: watch::Receiver<bool>,
    ) -> Result<Summary> {
        let (line, mut cable) = (link.line.clone(), self.cable.subscribe());
        let mut session = std::pin::pin!(peer::run(self, link, first, until, stop));
        tokio::select! {
            done = session.as_mut() => return done,
            _ = cable.wait_for(|on| !on) => line.close(0),
        }
        session.await
    }

    fn peer_connected(&self, peer: &DeviceKey, address: &SocketAddr) {
        let now = clock::now_ms();
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let state = peers.entry(*peer).or_insert(PeerState {
            address: *address,
            last_seen_ms: now,
            sessions: 0,
        });
        state.address = *address;
        state.last_seen_ms = now;
        state.sessions += 1;
        drop(peers);
        tracing::info!("connected");
        self.note_contact(*peer, address.to_string(), now);
    }

    fn note_contact(&self, peer: DeviceKey, path: String, now: u64) {
        self.writer.write(
            move |_, connection| crate::records::peer_seen(connection, &peer, now, &path),
            |result| {
                if let Err(error) = result {
                    tracing::warn!(error = %error.chain(), "cannot note that a peer was seen");
                }
            },
        );
    }

    /// A session ended, in which the peer was last heard then: that is the last contact, however long its line has been silent.
    fn peer_gone(&self, peer: &DeviceKey, heard_ms: u64) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = peers.get_mut(peer) else {
            return;
        };
        state.sessions = state.sessions.saturating_sub(1);
        state.last_seen_ms = state.last_seen_ms.max(heard_ms);
        let (path, seen_ms) = (state.address.to_string(), state.last_seen_ms);
        drop(peers);
        self.note_contact(*peer, path, seen_ms);
    }

    /// Ends all links.
    pub async fn close(&self) {
        self.endpoint.close().await;
    }

    /// One session with a peer whose key is known, at whatever address of these names it is. Gives the place of the name.
    ///
    /// # Errors
    /// Nobody answers there, or somebody else does; the store fails.
    pub async fn session(
        self: &Arc<Self>,
        names: &[String],
        expect: DeviceKey,
        until: Until,
        stop: watch::Receiver<bool>,
    ) -> Result<(usize, Summary)> {
        self.reachable()?;
        let (place, link) = reach::dial(self, names, expect, HANDSHAKE_TIMEOUT).await?;
        Ok((place, self.dialled(link, until, stop).await?))
    }

    async fn dialled(
        self: &Arc<Self>,
        link: Link,
        until: Until,
        stop: watch::Receiver<bool>,
    ) -> Result<Summary> {
        let span = self.span(&link, "dialled");
        let session = self.talk(link, Vec::new(), until, stop);
        session.instrument(span).await
    }

    /// What all that happens on a link is logged under, at both ends with one id.
    fn span(&self, link: &Link, side: &'static str) -> Span {
        let authority = self.writer.authority();
        let site = authority.members().get(&link.peer);
        let site = site.and_then(|member| authority.sites().get(&member.grant.site?));
        let site = site.map(|site| site.code.as_str());
        tracing::info_span!(
            "session",
            id = %Hex(&link.id),
            peer = %short(&link.peer),
            site,
            path = "quic",
            address = %link.address,
            side
        )
    }

    /// Keeps a session with a peer open: dials, and dials again after a wait ([`reach`]). `names` is asked each time, and
    /// looked up each time: a laptop meets another network every day. `found` is told by which name a session came about.
    pub async fn keep<F>(
        self: Arc<Self>,
        names: impl Fn() -> F + Send,
        found: impl Fn(&str) + Send,
        expect: DeviceKey,
        mut stop: watch::Receiver<bool>,
    ) where
        F: Future<Output = Vec<String>> + Send,
    {
        let mut retry = Retry::default();
        while !*stop.borrow() {
            let names = names().await;
            let patience = retry.patience(self.clock.ms());
            let reached = async {
                self.reachable()?;
                let (place, link) = reach::dial(&self, &names, expect, patience).await?;
                if let Some(name) = names.get(place) {
                    found(name);
                }
                self.dialled(link, Until::Stopped, stop.clone()).await
            };
            match reached.await {
                Ok(summary) if summary.connected => {
                    self.failed(None);
                    retry.ended(self.clock.ms(), summary.elapsed_ms, summary.round_trip);
                }
                Ok(_) => {}
                Err(error) => {
                    // Said once, and not again at each attempt.
                    if self.failure() == Some(error.code()) {
                        tracing::debug!(error = %error.chain(), "the hub is still not reached");
                    } else {
                        tracing::info!(error = %error.chain(), "the hub is not reached");
                    }
                    self.failed(Some(error.code()));
                }
            }
            let mut cable = self.cable.subscribe();
            let pause = async {
                if *cable.borrow_and_update() {
                    tokio::time::sleep(retry.pause(self.clock.ms())).await;
                } else {
                    drop(cable.changed().await);
                }
            };
            tokio::select! {
                _ = stop.changed() => {}
                () = pause => {}
            }
        }
    }

    /// Lets peers in until stopped.
    pub async fn serve(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(SESSIONS));
        loop {
            let incoming = tokio::select! {
                incoming = self.endpoint.accept() => incoming,
                _ = stop.changed() => None,
            };
            let Some(incoming) = incoming else { return };
            if !self.is_plugged() {
                continue;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let (net, stop) = (Arc::clone(&self), stop.clone());
            tokio::spawn(async move {
                let _place = place;
                let link = match incoming.complete().await {
                    Ok(link) => link,
                    Err(error) => {
                        tracing::info!(error = %error.chain(), "a connection did not come about");
                        return;
                    }
                };
                let span = net.span(&link, "accepted");
                let admitted = async {
                    if let Err(error) = net.admit(link, stop).await {
                        tracing::info!(error = %error.chain(), "the connection ended");
                    }
                };
                admitted.instrument(span).await;
            });
        }
    }

    /// A device that the network knows opens a session, or asks again for an answer to its enrolment that it
    /// has not had; a stranger may only enrol.
    async fn admit(self: &Arc<Self>, mut link: Link, stop: watch::Receiver<bool>) -> Result<()> {
        let _of_device = self.admission.device(link.peer, &link.line);
        let authority = self.writer.authority();
        // Who has lost all orders knows nobody, and takes them from whoever has them: the root key vouches for them.
        let known = authority.key().is_none() || attend::is_known(&authority, &link.peer);
        let mut frames = FrameReader::default();
        if known {
            let first = tokio::time::timeout(FIRST_FRAME, link.receive.read());
            let first = first
                .await
                .map_err(|_| Error::new(Code::Connection, "a peer said nothing in time"))??;
            let first = first.unwrap_or_default();
            if !enrol::begins(&first) {
                self.talk(link, first, Until::Stopped, stop).await?;
                return Ok(());
            }
            frames.push(&first);
        }
        let ip = link.address.ip();
        let _of_stranger = self.admission.stranger(ip, &link.line);
        let message = first_message(&mut link, frames);
        let message = tokio::time::timeout(FIRST_FRAME, message);
        let message = message
            .await
            .map_err(|_| Error::new(Code::Connection, "a stranger said nothing in time"))??;
        let answer = match message {
            Message::Enrol(enrol) => {
                let known = authority.open_invite(&enrol.invite).is_some()
                    || authority.invite_user(&enrol.invite) == Some(link.peer);
                let codes = authority.codes().len();
                self.judge(&link, enrol, (!known).then_some(codes)).await
            }
            _ => {
                let error = Error::new(Code::NotPermitted, "a stranger asked for a session");
                Err((ErrorCode::NotAuthorised, 0, error))
            }
        };
        let (frame, result) = match answer {
            Ok(enrolled) => {
                tracing::info!("a device is let in");
                (Message::Enrolled(enrolled), Ok(()))
            }
            Err((code, retry_after_s, error)) => {
                let scope = ErrorScope::Connection;
                let frame = Message::Error {
                    code,
                    scope,
                    retry_after_s,
                };
                (frame, Err(error))
            }
        };
        link.send.write(&frame.encode()).await?;
        drop(link.send.finish().await);
        result
    }

    /// Judges an enrolment. One that names no invite that this device may use is a guess, of which too many are not judged;
    /// `guessed` then says how many device codes were given. What is noted of a wrong one is where it came from.
    async fn judge(
        self: &Arc<Self>,
        link: &Link,
        enrol: Enrol,
        guessed: Option<usize>,
    ) -> Result<Enrolled, (ErrorCode, u32, Error)> {
        let (ip, now) = (link.address.ip(), self.clock.ms());
        let paused = guessed.map(|codes| self.admission.enrolling(ip, codes, now));
        if let Some(Err(wait_s)) = paused {
            let error = Error::new(Code::EnrolPaused, "too many enrolments were wrong");
            return Err((ErrorCode::Busy, wait_s, error));
        }
        let judged = enrol::admit(self, link, enrol).await;
        judged.map_err(|error| {
            if error.code() == Code::InviteRefused {
                tracing::warn!("an enrolment was refused");
                return (ErrorCode::NotAuthorised, 0, error);
            }
            if guessed.is_some() {
                self.admission.enrolled(ip, now);
            }
            (ErrorCode::Internal, 0, error)
        })
    }
}

/// The first thing that is said, of which `frames` may have the beginning.
async fn first_message(link: &mut Link, mut frames: FrameReader) -> Result<Message> {
    loop {
        let frame = frames.next_frame().map_err(|error| {
            Error::because(Code::Protocol, "a stranger sent something else", error)
        })?;
        if let Some(message) = frame {
            return Ok(message);
        }
        match link.receive.read().await? {
            Some(bytes) => frames.push(&bytes),
            None => return Err(Error::new(Code::Connection, "a stranger said nothing")),
        }
    }
}
