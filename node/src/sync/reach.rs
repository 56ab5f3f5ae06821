//! Where a peer is found and how it is reached: names, all their addresses at once, and when to try again.
//!
//! An address is data that changes, and an answer at one says nothing of the others: every address of every name is dialled, the
//! first that proves the expected key is taken, and an impostor stops nobody. Rejected: one address after the
//! other, where three dead ones cost half a minute.
//!
//! The system looks names up, as it does for every program of this computer, and blocks while a name server is silent, which is the
//! usual case where there is no line. It blocks threads that do nothing else: a few, which nobody waits for, neither who has
//! an address already nor the end of the program. Rejected: the runtime's own threads for what blocks, which a
//! runtime that ends waits for; and a resolver of our own, which would not know the names that this computer knows.

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lianxin_protocol::identity::DeviceKey;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Net;
use super::endpoint::{HANDSHAKE_TIMEOUT, Link};
use crate::clock;
use crate::error::{Code, Error, Result};

/// How long a name server may take.
const LOOK_UP: Duration = Duration::from_secs(5);
/// Threads that look names up, of the whole program. The system gives a silent server up after 10 to 40 seconds: attempts that follow
/// each other for the names of a hub have some of them wait at a time, and more than that help nobody.
static LOOKING: Semaphore = Semaphore::const_new(16);
/// Addresses that are dialled at once.
const ADDRESSES: usize = 32;
/// Between the first packets to two addresses, so that the better one wins on a line that is slow.
const STAGGER: Duration = Duration::from_millis(250);

/// First and longest wait between attempts to reach a peer. Each sends its packets over some seconds, so that with the longest wait
/// a line that is back is noticed within 16 seconds.
const WAIT_MS: std::ops::RangeInclusive<u64> = 500..=12_000;
/// A session that lasted this long was sound: the next attempt comes soon.
const SOUND_MS: u64 = 5_000;
/// For how long after a sound session attempts follow each other at once: a line that comes for seconds and goes for a
/// minute is used each time.
const EAGER_MS: u64 = 120_000;
/// The least that an eager attempt is given.
const EAGER_LEAST: Duration = Duration::from_secs(3);

/// Says whether a text can be an address at all. Whether a name is known is seen when it is dialled: the line may be
/// down now.
///
/// # Errors
/// [`Code::Address`].
pub fn is_address(text: &str) -> Result<()> {
    let parts = text.rsplit_once(':');
    let good = parts.is_some_and(|(host, port)| {
        is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let message = || format!("`{text}` is no address of the form HOST:PORT");
    good.then_some(())
        .ok_or_else(|| Error::new(Code::Address, message()))
}

/// An address of either family, that of IPv6 in brackets, or a name as name servers have it (RFC 1123, section 2.1).
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']');
        return inner.is_some_and(|it| it.parse::<Ipv6Addr>().is_ok());
    }
    if host.bytes().all(|it| it.is_ascii_digit() || it == b'.') {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    let label = |label: &str| {
        let inside = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.trim_end_matches('.').split('.').all(label)
}

/// Addresses of names as they become known, each once, of either family.
#[derive(Debug)]
pub struct Found {
    known: VecDeque<(usize, SocketAddr)>,
    asked: JoinSet<(usize, Vec<SocketAddr>)>,
    given: BTreeSet<SocketAddr>,
}

/// Looks for all addresses of these names at once. Those that need no name server come first, in the order of the names.
#[must_use]
pub fn look_up(names: &[String]) -> Found {
    let (mut known, mut asked) = (VecDeque::new(), JoinSet::new());
    for (place, name) in names.iter().enumerate() {
        if let Ok(address) = name.parse() {
            known.push_back((place, address));
        } else {
            let found = addresses(name.clone());
            asked.spawn(async move {
                let found = timeout(LOOK_UP, found).await;
                (place, found.unwrap_or_default())
            });
        }
    }
    Found {
        known,
        asked,
        given: BTreeSet::new(),
    }
}

impl Found {
    /// The next address, with the place of its name. A name that nobody knows today, or that no server answers for in time, has
    /// none: it may be known again tomorrow.
    pub async fn next(&mut self) -> Option<(usize, SocketAddr)> {
        while self.given.len() < ADDRESSES {
            if let Some((place, address)) = self.known.pop_front() {
                if self.given.insert(address) {
                    return Some((place, address));
                }
                continue;
            }
            if let Ok((place, all)) = self.asked.join_next().await? {
                self.known.extend(all.into_iter().map(|it| (place, it)));
            }
        }
        None
    }
}

/// What the system knows of a name. Whoever stops waiting leaves the thread to end by itself.
async fn addresses(name: String) -> Vec<SocketAddr> {
    let Ok(place) = LOOKING.acquire().await else {
        return Vec::new();
    };
    let (sender, receiver) = oneshot::channel();
    let started = std::thread::Builder::new()
        .name("look-up".to_owned())
        .spawn(move || {
            let found = name.to_socket_addrs().map(Iterator::collect);
            drop(place);
            drop(sender.send(found.unwrap_or_default()));
        });
    if let Err(error) = started {
        tracing::warn!(%error, "no thread to look a name up");
    }
    receiver.await.unwrap_or_default()
}

/// Reaches the device with this key at any address of these names. Gives the place of the name with which it did.
///
/// # Errors
/// [`Code::HubUnproven`] when nobody but others answered, [`Code::HubUnreachable`] when nobody did.
pub(super) async fn dial(
    net: &Arc<Net>,
    names: &[String],
    expect: DeviceKey,
    patience: Duration,
) -> Result<(usize, Link)> {
    let (mut found, mut searching) = (look_up(names), true);
    let mut dialled = JoinSet::new();
    let mut pause = pin!(sleep(Duration::ZERO));
    let names = names.join(", ");
    let message = format!("no hub answers at {names}");
    let mut telling = None;
    loop {
        let next = async {
            pause.as_mut().await;
            found.next().await
        };
        let done = tokio::select! {
            next = next, if searching => {
                let Some((place, address)) = next else {
                    searching = false;
                    continue;
                };
                telling.get_or_insert_with(|| Error::new(Code::HubUnreachable, &message));
                pause.set(sleep(STAGGER));
                let net = Arc::clone(net);
                dialled.spawn(async move {
                    let link = net.endpoint.dial_within(patience, address, Some(expect)).await;
                    (place, link)
                });
                continue;
            }
            Some(done) = dialled.join_next() => done,
            else => {
                let message = format!("nobody knows an address of {names} now");
                return Err(telling.unwrap_or_else(|| Error::new(Code::HubUnreachable, message)));
            }
        };
        match done {
            Ok((place, Ok(link))) => return Ok((place, link)),
            Ok((_, Err(error))) => {
                tracing::debug!(error = %error.chain(), "no way there");
                match error.code() {
                    Code::HubUnproven => telling = Some(error),
                    // That this computer cannot go there is said, unless somebody else is found.
                    Code::Address
                        if telling
                            .as_ref()
                            .is_none_or(|it| it.code() == Code::HubUnreachable) =>
                    {
                        telling = Some(Error::because(Code::HubUnreachable, &message, error));
                    }
                    _ => {}
                }
            }
            Err(error) => tracing::warn!(%error, "an attempt to dial has failed"),
        }
    }
}

/// When to try again, and for how long.
#[derive(Debug)]
pub(super) struct Retry {
    wait_ms: u64,
    /// When a sound session has ended last, and the round trip of its line.
    sound: Option<(u64, Duration)>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            wait_ms: *WAIT_MS.start(),
            sound: None,
        }
    }
}

impl Retry {
    fn eager(&self, now_ms: u64) -> Option<Duration> {
        let (ended, trip) = self.sound?;
        (now_ms < ended + EAGER_MS).then_some(trip)
    }

    /// How long an attempt may take. The first packet of one comes again after ever longer times; a new attempt sends at once.
    pub(super) fn patience(&self, now_ms: u64) -> Duration {
        let eager = self.eager(now_ms).map(|trip| (trip * 4).max(EAGER_LEAST));
        eager.map_or(HANDSHAKE_TIMEOUT, |it| it.min(HANDSHAKE_TIMEOUT))
    }

    /// A session has ended. One that died at once is no reason to come back at once.
    pub(super) fn ended(&mut self, now_ms: u64, lasted_ms: u64, trip: Duration) {
        if lasted_ms > SOUND_MS {
            self.wait_ms = *WAIT_MS.start();
            self.sound = Some((now_ms, trip));
        }
    }

    /// How long to wait before the next attempt: it doubles and varies, so that a thousand stations do not come back
    /// at once.
    pub(super) fn pause(&mut self, now_ms: u64) -> Duration {
        let most = if self.eager(now_ms).is_some() {
            *WAIT_MS.start()
        } else {
            self.wait_ms
        };
        self.wait_ms = (self.wait_ms * 2).min(*WAIT_MS.end());
        let jitter = clock::random::<2>().map_or(0, |bytes| u64::from(u16::from_be_bytes(bytes)));
        Duration::from_millis(most / 2 + most / 2 * jitter / 65_536)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that is back is noticed within 20 seconds however long it was away, and a line that comes and goes
    /// within 3.
    #[test]
    fn a_line_that_is_back_is_soon_noticed() {
        // Packets of one attempt are 4 seconds apart at most: QUIC's probe timeout of a second, doubled twice.
        const APART: Duration = Duration::from_secs(4);
        let mut retry = Retry::default();
        let mut longest = Duration::ZERO;
        for _ in 0..50 {
            longest = longest.max(retry.pause(0));
        }
        assert!(longest + APART < Duration::from_secs(17), "{longest:?}");
        assert!(
            longest > Duration::from_secs(5),
            "it backs off: {longest:?}"
        );
        assert_eq!(retry.patience(0), HANDSHAKE_TIMEOUT);

        retry.ended(10_000, 2_000, Duration::ZERO);
        assert!(retry.eager(10_001).is_none(), "it died at once");
        retry.ended(10_000, 35_000, Duration::from_millis(600));
        assert_eq!(retry.patience(20_000), EAGER_LEAST);
        assert!(retry.pause(20_000) <= Duration::from_millis(500));
        retry.ended(10_000, 35_000, Duration::from_secs(3));
        assert_eq!(
            retry.patience(20_000),
            HANDSHAKE_TIMEOUT,
            "a slow line needs it"
        );
        assert!(retry.eager(10_000 + EAGER_MS).is_none());
    }

    #[test]
    fn what_can_be_no_address_is_said_at_once() {
        for good in [
            "127.0.0.1:7443",
            "[::1]:7443",
            "hub.example.local:7443",
            "hub:1",
            "h_1.example.:2",
        ] {
            assert!(is_address(good).is_ok(), "{good}");
        }
        for bad in [
            "::1:7443",
            "a b:1",
            "http://x:1",
            "999.1.1.1:5",
            "中心:7443",
            "x",
            "x:",
            ":1",
            "x:0",
            "x:65536",
            "-x:1",
            "[1.2.3.4]:1",
            "[::1:1",
            "a..b:1",
        ] {
            assert!(is_address(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn every_name_gives_all_its_addresses_once() {
        let names = [
            "127.0.0.1:7443",
            "no such name:1",
            "[::1]:7443",
            "127.0.0.1:7443",
        ];
        let mut found = look_up(&names.map(str::to_owned));
        let mut texts = Vec::new();
        while let Some((place, address)) = found.next().await {
            texts.push((place, address.to_string()));
        }
        let (four, six) = ("127.0.0.1:7443".to_owned(), "[::1]:7443".to_owned());
        assert_eq!(texts, [(0, four), (2, six)]);
    }
}
