//! The QUIC endpoint: one UDP socket that serves and dials, and the links between two devices.
//!
//! It owns the transport's limits and is, with `tls` below it, the only place that knows quinn and
//! rustls: everything above sees bytes in order, keys and addresses. It does not know frames, rights or
//! sessions, and retries nothing. Invariants: a [`Link`] exists only between two ends that proved their
//! Ed25519 keys; every wait for a peer has an end; what a stranger can make us hold is bounded.
//!
//! A dialler's link means less than it seems (RFC 8446, section 4.4.4): a TLS 1.3 client is done before
//! the server has judged its key, so a refused device gets its link and learns of the refusal at the
//! first read. Connected means that the peer's first frame arrived.
//!
//! Rejected: TCP with TLS, where a lost packet stops attachments and records alike and a changed address
//! breaks a transfer; and a transport trait over both, before there is a second transport to test it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lianxin_protocol::hash::Context;
use lianxin_protocol::identity::{DeviceKey, Signer};
use lianxin_protocol::limits::{IDLE_TIMEOUT_MS, PROGRESS_BYTES, PROGRESS_MS};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionError, TransportErrorCode, VarInt};
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::pace::{self, Pace};
use super::tls::{self, Party};
use crate::clock;
use crate::error::{Code, Error, Result};

/// From the first packet to a link with its stream.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the peer to confirm the last bytes: several losses on a slow line.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// For saying goodbye; three probe timeouts on any line that is worth waiting for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Half-open connections in all before strangers must prove their address.
const HALF_OPEN_FREE: usize = 64;
/// Half-open connections of one address before it must prove itself.
const HALF_OPEN_FREE_PER_IP: usize = 4;
/// Half-open connections of one address that proved itself. A whole office may stand behind one address
/// and come back at once after a power cut.
const HALF_OPEN_MAX_PER_IP: usize = 64;
/// Half-open connections in all.
const HALF_OPEN_MAX: usize = 1024;
/// Connections in all: with their receive windows, the 1 GiB that strangers and friends can make us hold.
const CONNECTIONS_MAX: usize = 2000;
/// Bytes kept of one connection that is not accepted yet, and of all of them.
const INCOMING_BUFFER: u64 = 32 * 1024;
const INCOMING_BUFFER_TOTAL: u64 = 4 * 1024 * 1024;

/// Unread bytes of one stream. Loopback moves no more with 1 MiB, and 256 KiB fill 80 Mbit/s over the
/// 25 ms between two cities.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Unread bytes of one connection.
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Handshake bytes out of order; a raw public key needs a few hundred.
const CRYPTO_BUFFER: usize = 16 * 1024;
/// Streams that a peer may have open, of each kind: one for the session, the others for attachments.
const STREAMS: u32 = 8;
/// Pieces of the stream that one read joins: about 36 KiB of full packets.
const READ_PIECES: usize = 32;

/// Both ends of one connection export the same 32 bytes under this label (RFC 8446, section 7.5).
const EXPORTER: &[u8] = b"EXPORTER-lianxin-enrol";
/// The same for the name of a connection, which tells nothing of the other.
const EXPORTER_ID: &[u8] = b"EXPORTER-lianxin-id";
/// quinn wants a name to call; nobody is sent it and nobody checks it, the key is the identity.
const NO_NAME: &str = "lianxin";

static RESET_KEY: Context = Context::new("lianxin 1 stateless reset key");
static RESET_TOKEN: Context = Context::new("lianxin 1 stateless reset token");
static CONNECTION_ID: Context = Context::new("lianxin 1 connection id");

/// One UDP socket that serves and dials, and one more that only dials once a peer has an address of the other family.
///
/// Connections live on in their [`Link`]s after it is dropped; [`Endpoint::close`] ends them.
#[derive(Debug)]
pub struct Endpoint {
    quinn: quinn::Endpoint,
    /// Of the family that the socket does not reach.
    other: Mutex<Option<quinn::Endpoint>>,
    party: Party,
    half_open: Arc<HalfOpen>,
    /// [`CONNECTIONS_MAX`] and [`HANDSHAKE_TIMEOUT`]; tests reach smaller ones sooner.
    bounds: (usize, Duration),
}

impl Endpoint {
    /// Opens the socket as `device`. `refuse` is asked for every peer's key while it connects, before
    /// any of its data is read, and says `true` for a revoked device.
    ///
    /// After a restart the same device at the same address tells the peers of its former life at once
    /// that their connections are gone, instead of leaving them to time out. So one process only may
    /// use a device key at a time.
    ///
    /// # Errors
    /// [`Code::Address`] when the address is taken or not this computer's, [`Code::Internal`] outside of
    /// an asynchronous runtime.
    pub fn bind(
        address: SocketAddr,
        device: &Signer,
        refuse: impl Fn(&DeviceKey) -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let party = Party::new(device, Arc::new(refuse)).map_err(misbuilt)?;
        let crypto = QuicServerConfig::try_from(party.server().map_err(misbuilt)?);
        // The key of address tokens is drawn anew by each process: they live for seconds.
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto.map_err(misbuilt)?));
        server
            .transport_config(transport()?)
            .migration(true)
            .max_incoming(HALF_OPEN_MAX)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);

        let mut config = quinn::EndpointConfig::new(Arc::new(ResetKey::of(device)));
        let ids = ConnectionIds {
            key: clock::random()?,
            made: 0,
        };
        config.cid_generator(move || Box::new(ids));

        let runtime = quinn::default_runtime()
            .ok_or_else(|| Error::new(Code::Internal, "no runtime drives the socket"))?;
        let quinn = UdpSocket::bind(address)
            .and_then(|socket| quinn::Endpoint::new(config, Some(server), socket, runtime))
            .map_err(|error| {
                Error::because(Code::Address, format!("cannot use {address}"), error)
            })?;
        Ok(Self {
            quinn,
            other: Mutex::default(),
            party,
            half_open: Arc::default(),
            bounds: (CONNECTIONS_MAX, HANDSHAKE_TIMEOUT),
        })
    }

    /// The address of the socket, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// [`Code::Address`] when the system does not say.
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.quinn
            .local_addr()
            .map_err(|error| Error::because(Code::Address, "cannot tell the own address", error))
    }

    /// Connects to the peer at `address`, whose key must be `expect`; `None` is for enrolling, when the
    /// hub is known by its invite only and proves itself over [`Link::exporter`].
    ///
    /// # Errors
    /// [`Code::HubUnproven`] when another key or a refused one answers; it was not shown ours.
    /// [`Code::Protocol`] when the peer speaks another version, [`Code::Connection`] when nobody answers
    /// in 10 seconds or the connection breaks.
    pub async fn dial(&self, address: SocketAddr, expect: Option<DeviceKey>) -> Result<Link> {
        self.dial_within(self.bounds.1, address, expect).await
    }

    /// As [`Endpoint::dial`], with another patience.
    ///
    /// # Errors
    /// The same.
    pub(super) async fn dial_within(
        &self,
        patience: Duration,
        address: SocketAddr,
        expect: Option<DeviceKey>,
    ) -> Result<Link> {
        let attempted = format!("cannot connect to {address}");
        let crypto = QuicClientConfig::try_from(self.party.client(expect).map_err(misbuilt)?);
        let mut config = quinn::ClientConfig::new(Arc::new(crypto.map_err(misbuilt)?));
        config
            .transport_config(transport()?)
            .token_store(Arc::new(quinn::NoneTokenStore));
        let connecting = self
            .towards(address)?
            .connect_with(config, address, NO_NAME)
            .map_err(|error| Error::because(Code::Address, attempted.as_str(), error))?;
        let opened = in_time(patience, async {
            let connection = connecting.await?;
            let streams = connection.open_bi().await?;
            Ok((connection, streams))
        });
        match opened.await {
            Ok((connection, streams)) => Link::new(connection, streams),
            Err(error) if error.denied_here() => {
                let message = format!("the device at {address} is not the one expected");
                Err(Error::because(Code::HubUnproven, message, error))
            }
            Err(error) => Err(error.into_error(&attempted)),
        }
    }

    /// The socket that reaches an address.
    fn towards(&self, address: SocketAddr) -> Result<quinn::Endpoint> {
        if self.local_address()?.is_ipv4() == address.is_ipv4() {
            return Ok(self.quinn.clone());
        }
        let mut other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = other.as_ref() {
            return Ok(other.clone());
        }
        let any: SocketAddr = if address.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let made = quinn::Endpoint::client(any).map_err(|error| {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!("this computer has no {family}, and {address} is of it");
            Error::because(Code::Address, message, error)
        })?;
        Ok(other.insert(made).clone())
    }

    /// The next caller that is let in as far as the handshake, which is done by
    /// [`Incoming::complete`] so that a slow one keeps nobody waiting; `None` once closed.
    ///
    /// Callers above the limits never get here: they prove their address first or are turned away.
    pub async fn accept(&self) -> Option<Incoming> {
        loop {
            let quinn = self.quinn.accept().await?;
            let ip = quinn.remote_address().ip().to_canonical();
            let full = self.quinn.open_connections() >= self.bounds.0;
            let admission = if full {
                Admission::Refuse
            } else {
                self.half_open.admit(ip, quinn.remote_address_validated())
            };
            match admission {
                Admission::Enter => {
                    let place = Place {
                        half_open: Arc::clone(&self.half_open),
                        ip,
                    };
                    let patience = self.bounds.1;
                    return Some(Incoming {
                        quinn,
                        place,
                        patience,
                    });
                }
                // An unvalidated caller can always be sent back; were it not so, it would be refused.
                Admission::Retry => drop(quinn.retry()),
                Admission::Refuse => quinn.refuse(),
            }
        }
    }

    /// Ends all links, says goodbye and waits until the peers know, for a second at most. Bytes that
    /// were written and not confirmed may be lost: see [`SendHalf::finish`].
    pub async fn close(&self) {
        let other = self
            .other
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let all = [Some(self.quinn.clone()), other];
        let idle = async {
            for endpoint in all.iter().flatten() {
                endpoint.close(VarInt::from_u32(0), b"");
            }
            for endpoint in all.iter().flatten() {
                endpoint.wait_idle().await;
            }
        };
        if timeout(CLOSE_TIMEOUT, idle).await.is_err() {
            tracing::debug!("some peers were not seen to hear the goodbye");
        }
    }
}

/// A caller whose handshake is still to be done. Dropped, it is turned away.
#[derive(Debug)]
pub struct Incoming {
    quinn: quinn::Incoming,
    place: Place,
    patience: Duration,
}

impl Incoming {
    /// The caller's address, which it may have forged.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        canonical(self.quinn.remote_address())
    }

    /// Does the handshake and waits for the stream, which shows when the caller has written.
    ///
    /// # Errors
    /// [`Code::Connection`] when it is refused, breaks or takes more than 10 seconds, and
    /// [`Code::Protocol`] when the caller speaks another version.
    pub async fn complete(self) -> Result<Link> {
        let attempted = format!("cannot let in {}", self.address());
        let Self {
            quinn,
            place,
            patience,
        } = self;
        let opened = in_time(patience, async {
            let connection = quinn.await?;
            let streams = connection.accept_bi().await?;
            Ok((connection, streams))
        });
        let (connection, streams) = opened.await.map_err(|error| error.into_error(&attempted))?;
        drop(place);
        Link::new(connection, streams)
    }
}

/// A connection with its one stream, between two devices that proved their keys. The connection ends
/// when all parts of the link are dropped.
pub struct Link {
    /// The other end's key.
    pub peer: DeviceKey,
    /// The other end's address when the link began; it may move.
    pub address: SocketAddr,
    /// A name that both ends have for this connection, to find it in logs.
    pub id: [u8; 6],
    /// Keying material that both ends of this connection have and nobody else.
    pub exporter: [u8; 32],
    /// Bytes to the peer.
    pub send: SendHalf,
    /// Bytes from the peer.
    pub receive: ReceiveHalf,
    /// The connection itself, for whoever ends or watches it while others read and write.
    pub line: Line,
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Link({:?} at {})", self.peer, self.address)
    }
}

impl Link {
    fn new(
        connection: quinn::Connection,
        (send, receive): (quinn::SendStream, quinn::RecvStream),
    ) -> Result<Self> {
        let unfit = |what| Error::new(Code::Internal, what);
        let identity = connection
            .peer_identity()
            .and_then(|any| any.downcast().ok());
        let shown: Box<Vec<CertificateDer<'static>>> =
            identity.ok_or_else(|| unfit("a connection has no peer key"))?;
        let peer = shown.first().and_then(|shown| tls::device_key(shown));
        let (mut id, mut exporter) = ([0; 6], [0; 32]);
        connection
            .export_keying_material(&mut exporter, EXPORTER, b"")
            .and_then(|()| connection.export_keying_material(&mut id, EXPORTER_ID, b""))
            .map_err(|_| unfit("a connection exports no keying material"))?;
        let pace = Arc::new(Pace::new(connection.rtt()));
        connection.set_send_window(pace.window());
        let address = canonical(connection.remote_address());
        let line = Line { connection, pace };
        Ok(Self {
            peer: peer.ok_or_else(|| unfit("a connection has an unfit peer key"))?,
            address,
            id,
            exporter,
            send: SendHalf(send, line.clone()),
            receive: ReceiveHalf(receive),
            line,
        })
    }
}

/// The way to the peer. Dropped, it ends the stream without waiting.
#[derive(Debug)]
pub struct SendHalf(quinn::SendStream, Line);

impl SendHalf {
    /// Hands over all of `bytes`, waiting while the peer does not confirm what was written before, but never longer than
    /// [`PROGRESS_MS`] for [`PROGRESS_BYTES`]. When it returns, all but what the line takes in about a second is
    /// confirmed. Not to be cancelled: an unknown part of `bytes` would be on its way.
    ///
    /// # Errors
    /// [`Code::Connection`] when the connection is broken or closed or the peer reads too slowly,
    /// [`Code::NotPermitted`] when the peer refuses this device.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_within(bytes, Duration::from_millis(PROGRESS_MS))
            .await
    }

    async fn write_within(&mut self, mut bytes: &[u8], patience: Duration) -> Result<()> {
        while !bytes.is_empty() {
            let enough = usize::try_from(PROGRESS_BYTES).unwrap_or(usize::MAX);
            let left = bytes.len().saturating_sub(enough);
            let moved = timeout(patience, async {
                while bytes.len() > left {
                    let taken = self.0.write(bytes).await?;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    self.1.written(taken, !bytes.is_empty());
                }
                Ok(())
            });
            let moved = moved
                .await
                .map_err(|_| Error::new(Code::Connection, "the peer reads too slowly"))?;
            moved.map_err(|error| match error {
                quinn::WriteError::ConnectionLost(error) => {
                    Broken::Connection(error).into_error("cannot write to the peer")
                }
                error @ (quinn::WriteError::Stopped(_)
                | quinn::WriteError::ClosedStream
                | quinn::WriteError::ZeroRttRejected) => {
                    Error::because(Code::Connection, "the peer reads no more", error)
                }
            })?;
        }
        Ok(())
    }

    /// Ends the stream and waits until the peer's computer has all of it, for 5 seconds at most. After
    /// this the connection can be closed and the peer can still read what was written.
    ///
    /// # Errors
    /// [`Code::Connection`] when that is not known; a peer that closes at the last frame may be the
    /// reason.
    pub async fn finish(mut self) -> Result<()> {
        let unknown = "the peer did not confirm the end";
        self.0
            .finish()
            .map_err(|error| Error::because(Code::Connection, unknown, error))?;
        match timeout(FINISH_TIMEOUT, self.0.stopped()).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(_))) | Err(_) => Err(Error::new(Code::Connection, unknown)),
            Ok(Err(error)) => Err(Error::because(Code::Connection, unknown, error)),
        }
    }
}

/// The way from the peer. Dropped, it tells the peer to stop.
#[derive(Debug)]
pub struct ReceiveHalf(quinn::RecvStream);

impl ReceiveHalf {
    /// The next bytes, some tens of kilobytes at a time when many are there and never more than the
    /// stream window; `None` at the end of the stream. Bounds have nothing to do with the peer's writes.
    /// A cancelled read loses nothing.
    ///
    /// # Errors
    /// [`Code::Connection`] when the connection is broken or closed, [`Code::NotPermitted`] when the peer
    /// refuses this device.
    pub async fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let mut pieces: [_; READ_PIECES] = Default::default();
        match self.0.read_chunks(&mut pieces).await {
            Ok(Some(count)) => {
                let pieces = || pieces.iter().take(count);
                let mut bytes = Vec::with_capacity(pieces().map(|piece| piece.len()).sum());
                pieces().for_each(|piece| bytes.extend_from_slice(piece));
                Ok(Some(bytes))
            }
            Ok(None) => Ok(None),
            Err(quinn::ReadError::ConnectionLost(error)) => {
                Err(Broken::Connection(error).into_error("cannot read from the peer"))
            }
            Err(error) => Err(Error::because(
                Code::Connection,
                "the peer sends no more",
                error,
            )),
        }
    }
}

/// The connection of a link, shared by all who have to do with it.
#[derive(Clone, Debug)]
pub struct Line {
    connection: quinn::Connection,
    pace: Arc<Pace>,
}

/// What a connection has carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of UDP payload sent, handshake and repetitions included.
    pub sent_bytes: u64,
    /// Bytes of UDP payload received.
    pub received_bytes: u64,
    /// Round trip as the transport estimates it.
    pub round_trip: Duration,
}

impl Line {
    /// Ends the connection at once, with a code of the protocol for the peer. Reads and writes of both
    /// ends fail from then on, but what has arrived can still be read there.
    pub fn close(&self, code: u32) {
        self.connection.close(VarInt::from_u32(code), b"");
    }

    /// The code with which the other end closed the connection, once it has.
    #[must_use]
    pub fn closed_with(&self) -> Option<u64> {
        match self.connection.close_reason()? {
            ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
            _ => None,
        }
    }

    /// Whether the connection is over, whoever ended it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// Bytes of the stream that the line has taken: confirmed, but for what it takes in about a second.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.pace.taken()
    }

    /// Bytes that the line takes in two seconds, as far as is known.
    #[must_use]
    pub fn fits(&self) -> usize {
        self.pace.fits(self.connection.rtt())
    }

    /// Round trip as the transport estimates it.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// The stream has taken so many bytes; `waits` if there are more than it takes now.
    fn written(&self, bytes: usize, waits: bool) {
        let connection = &self.connection;
        let trips = (connection.rtt(), connection.min_rtt());
        if let Some(window) = self.pace.written(bytes, waits, trips) {
            connection.set_send_window(window);
        }
    }

    /// What the connection has carried so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        Traffic {
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
            round_trip: stats.path.rtt,
        }
    }
}

/// The settings of every connection, whichever end began it.
fn transport() -> Result<Arc<quinn::TransportConfig>> {
    let idle = quinn::IdleTimeout::try_from(Duration::from_millis(IDLE_TIMEOUT_MS));
    let mut config = quinn::TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(pace::MOST)
        .crypto_buffer_size(CRYPTO_BUFFER)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle.map_err(misbuilt)?))
        // The session sends Ping itself, since it also wants to know that the peer is alive.
        .keep_alive_interval(None)
        // Probing for larger packets would triple the bytes of a short session.
        .mtu_discovery_config(None);
    Ok(Arc::new(config))
}

/// Why a connection did not come about or came to its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// It took longer than it may.
    #[error("no answer in time")]
    Late,
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl Broken {
    /// Whether it was we who judged the peer's key unfit.
    fn denied_here(&self) -> bool {
        matches!(self, Self::Connection(ConnectionError::TransportError(error))
            if error.code == alert(AlertDescription::AccessDenied))
    }

    fn into_error(self, attempted: &str) -> Error {
        let denied = alert(AlertDescription::AccessDenied);
        let foreign = alert(AlertDescription::NoApplicationProtocol);
        let (code, message) = match &self {
            Self::Connection(ConnectionError::ConnectionClosed(close))
                if close.error_code == denied =>
            {
                (Code::NotPermitted, "the peer refuses this device")
            }
            Self::Connection(ConnectionError::ConnectionClosed(close))
                if close.error_code == foreign =>
            {
                (Code::Protocol, attempted)
            }
            Self::Connection(ConnectionError::TransportError(error)) if error.code == foreign => {
                (Code::Protocol, attempted)
            }
            Self::Connection(ConnectionError::VersionMismatch) => (Code::Protocol, attempted),
            Self::Late | Self::Connection(_) => (Code::Connection, attempted),
        };
        Error::because(code, message, self)
    }
}

/// How QUIC carries a TLS alert (RFC 9001, section 4.8).
fn alert(alert: AlertDescription) -> TransportErrorCode {
    TransportErrorCode::crypto(alert.into())
}

/// Puts an end to waiting for a stranger.
async fn in_time<T>(
    patience: Duration,
    opening: impl Future<Output = Result<T, ConnectionError>>,
) -> Result<T, Broken> {
    Ok(timeout(patience, opening)
        .await
        .map_err(|_| Broken::Late)??)
}

/// A configuration that is the same on every computer was refused.
fn misbuilt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::because(Code::Internal, "cannot set up the transport", error)
}

/// A socket for both families sees IPv4 addresses in their IPv6 form; people know them in their own.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// How many handshakes are going on, by address.
#[derive(Debug, Default)]
struct HalfOpen(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_ip: BTreeMap<IpAddr, usize>,
}

/// What becomes of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// Its handshake may begin; it is counted.
    Enter,
    /// It must come again with proof that its address is its own.
    Retry,
    /// It is turned away.
    Refuse,
}

impl HalfOpen {
    fn admit(&self, ip: IpAddr, validated: bool) -> Admission {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = counts.by_ip.get(&ip).copied().unwrap_or_default();
        if counts.total >= HALF_OPEN_MAX || same >= HALF_OPEN_MAX_PER_IP {
            Admission::Refuse
        } else if !validated && (counts.total >= HALF_OPEN_FREE || same >= HALF_OPEN_FREE_PER_IP) {
            Admission::Retry
        } else {
            counts.total += 1;
            counts.by_ip.insert(ip, same + 1);
            Admission::Enter
        }
    }

    fn leave(&self, ip: IpAddr) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        if let Some(same) = counts.by_ip.get_mut(&ip) {
            *same = same.saturating_sub(1);
            if *same == 0 {
                counts.by_ip.remove(&ip);
            }
        }
    }
}

/// One handshake that is counted until this is dropped.
#[derive(Debug)]
struct Place {
    half_open: Arc<HalfOpen>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.half_open.leave(self.ip);
    }
}

/// Makes the tokens by which a restarted process disowns connections (RFC 9000, section 10.3): the same
/// device must make the same token for the same connection id, and nobody else can.
struct ResetKey(Zeroizing<[u8; 32]>);

impl ResetKey {
    fn of(device: &Signer) -> Self {
        let seed = Zeroizing::new(device.seed());
        Self(Zeroizing::new(RESET_KEY.hash(&[seed.as_slice()])))
    }

    fn token(&self, data: &[u8]) -> [u8; 32] {
        RESET_TOKEN.hash(&[self.0.as_slice(), data])
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        for (to, from) in signature_out.iter_mut().zip(self.token(data)) {
            *to = from;
        }
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let token = self.token(data);
        let differs = token
            .iter()
            .zip(signature)
            .fold(0, |all, (a, b)| all | (a ^ b));
        if signature.len() == token.len() && differs == 0 {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}

/// Makes connection ids that say nothing. quinn's own carry a checksum under a key of the process, and
/// so a restarted process would take the ids of its former life for noise and stay silent.
#[derive(Clone, Copy)]
struct ConnectionIds {
    key: [u8; 32],
    made: u64,
}

impl quinn::ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        self.made += 1;
        let digest = CONNECTION_ID.hash(&[&self.key, &self.made.to_be_bytes()]);
        let (id, _) = digest.split_at(self.cid_len());
        quinn::ConnectionId::new(id)
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests;
