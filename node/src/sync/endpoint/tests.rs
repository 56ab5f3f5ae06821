//! Two endpoints on loopback: keys, refusals, limits and endings.

use std::error::Error as StdError;
use std::net::Ipv4Addr;

use rustls::client::Resumption;
use rustls::sign::CertifiedKey;
use tokio::task::JoinHandle;

use super::*;

type Outcome = std::result::Result<(), Box<dyn StdError>>;

#[tokio::test]
async fn bytes_go_both_ways_between_two_keys() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let (mut here, mut there) = linked(&station, &hub, Some(key(HUB))).await?;
    assert_eq!((here.peer, there.peer), (key(HUB), key(STATION)));
    assert_eq!(
        (here.address, there.address),
        (hub.local_address()?, station.local_address()?)
    );
    assert_eq!(here.exporter, there.exporter);

    here.send.write(b"spring").await?;
    there.send.write(b"autumn").await?;
    assert_eq!(read_exactly(&mut there.receive, 11).await?, b"firstspring");
    assert_eq!(read_exactly(&mut here.receive, 6).await?, b"autumn");

    let (other, _) = linked(&station, &hub, Some(key(HUB))).await?;
    assert_ne!(
        here.exporter, other.exporter,
        "each connection exports its own"
    );
    Ok(())
}

#[tokio::test]
async fn what_was_finished_can_be_read_after_the_close() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let (mut here, mut there) = linked(&station, &hub, None).await?;
    here.send.write(&[7; 100_000]).await?;
    here.send.finish().await?;
    here.line.close(3);
    station.close().await;

    assert_eq!(
        read_exactly(&mut there.receive, 5 + 100_000).await?.len(),
        100_005
    );
    assert_eq!(there.receive.read().await?, None);
    let error = there
        .send
        .write(b"too late")
        .await
        .err()
        .ok_or("it is closed")?;
    assert_eq!(error.code(), Code::Connection);
    Ok(())
}

#[tokio::test]
async fn sixteen_mebibytes_arrive_as_they_were() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let (mut here, mut there) = linked(&station, &hub, None).await?;
    read_exactly(&mut there.receive, 5).await?;
    let sent: Vec<u8> = (0_u32..4 << 20).flat_map(u32::to_le_bytes).collect();
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        here.send.write(&copy).await?;
        here.send.finish().await
    });
    let received = read_to_end(&mut there.receive).await?;
    assert!(received == sent);
    writer.await??;
    let traffic = there.line.traffic();
    assert!(
        traffic.received_bytes > 16 << 20 && traffic.sent_bytes < 4 << 20,
        "{traffic:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up_and_one_that_reads_slowly_is_not() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let (mut here, mut there) = linked(&station, &hub, None).await?;
    let patience = Duration::from_millis(200);
    // Reads so little at a time that all takes many times the patience, but never stops.
    let reader = tokio::spawn(async move {
        let mut read = 5;
        while read < 2 << 20 {
            tokio::time::sleep(patience / 10).await;
            read += there.receive.read().await?.map_or(2 << 20, |it| it.len());
        }
        Ok::<_, Error>(there)
    });
    here.send.write_within(&vec![7; 2 << 20], patience).await?;
    let there = reader.await??;
    // From now on it reads nothing: windows fill, and then no byte moves.
    let written = here.send.write_within(&vec![7; 2 << 20], patience).await;
    let error = written.err().ok_or("it took what nobody reads")?;
    assert_eq!(error.code(), Code::Connection);
    assert!(error.chain().contains("too slowly"), "{}", error.chain());
    drop(there);
    Ok(())
}

#[tokio::test]
async fn unread_bytes_fill_the_windows_and_no_more() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let (mut here, there) = linked(&station, &hub, None).await?;
    // Nothing paces what the test writes past the link.
    here.line.connection.set_send_window(pace::MOST);
    let mut taken = 0;
    let filled = timeout(Duration::from_millis(500), async {
        while let Ok(bytes) = here.send.0.write(&[7; 64 * 1024]).await {
            taken += bytes;
        }
    });
    assert!(filled.await.is_err(), "it took all there is");
    let full = |taken: usize, window: u32| {
        (window as usize - 64 * 1024..=window as usize).contains(&taken)
    };
    assert!(full(taken, STREAM_WINDOW), "{taken}");
    // All streams of a connection together are held to the connection's window.
    let connection = here.line.connection.clone();
    let mut streams = Vec::new();
    let mut more = 0;
    for _ in 0..STREAMS - 1 {
        let mut stream = connection.open_uni().await?;
        let wrote = timeout(Duration::from_millis(50), async {
            while let Ok(bytes) = stream.write(&[7; 64 * 1024]).await {
                more += bytes;
            }
        });
        assert!(wrote.await.is_err());
        streams.push(stream);
    }
    let all = taken + more;
    assert!(full(all, CONNECTION_WINDOW), "{all}");
    drop((there, streams));
    Ok(())
}

#[tokio::test]
async fn eight_streams_of_a_kind_are_open_at_once_and_the_ninth_waits() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let (here, there) = linked(&station, &hub, None).await?;
    let connection = here.line.connection.clone();
    let mut streams = Vec::new();
    for _ in 1..STREAMS {
        streams.push(timeout(Duration::from_secs(5), connection.open_bi()).await??);
    }
    let ninth = timeout(Duration::from_millis(200), connection.open_bi()).await;
    assert!(ninth.is_err(), "a ninth stream was opened");
    let mut uni = Vec::new();
    for _ in 0..STREAMS {
        uni.push(timeout(Duration::from_secs(5), connection.open_uni()).await??);
    }
    let ninth = timeout(Duration::from_millis(200), connection.open_uni()).await;
    assert!(ninth.is_err(), "a ninth stream was opened");
    let datagrams = connection.max_datagram_size();
    assert_eq!(datagrams, None, "datagrams are off");
    drop((there, streams, uni));
    Ok(())
}

#[tokio::test]
async fn a_closing_code_reaches_the_other_end() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let (mut here, there) = linked(&station, &hub, None).await?;
    assert_eq!(here.line.closed_with(), None);
    there.line.close(12);
    assert!(here.receive.read().await.is_err());
    assert_eq!(here.line.closed_with(), Some(12));
    Ok(())
}

#[tokio::test]
async fn a_wrong_pin_is_refused_by_the_dialler() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let (address, served) = serve(hub)?;
    let error = station
        .dial(address, Some(key(OTHER)))
        .await
        .err()
        .ok_or("it has another key")?;
    assert_eq!(error.code(), Code::HubUnproven, "{}", error.chain());
    assert!(served.await?.is_err());
    Ok(())
}

#[tokio::test]
async fn a_refused_device_reads_an_error_and_never_data() -> Outcome {
    let hub = Endpoint::bind(ANY, &device(HUB), |peer| *peer == key(STATION))?;
    let (address, served) = serve(hub)?;
    // The handshake may look finished to the dialler; what it reads decides.
    let refused = match endpoint(STATION)?.dial(address, Some(key(HUB))).await {
        Ok(mut link) => {
            let _unknown = link.send.write(b"let me in").await;
            link.receive
                .read()
                .await
                .err()
                .ok_or("a refused device read something")?
        }
        Err(error) => error,
    };
    assert_eq!(refused.code(), Code::NotPermitted, "{}", refused.chain());
    assert!(served.await?.is_err());
    Ok(())
}

#[tokio::test]
async fn an_address_of_the_other_family_is_reached_or_the_cause_is_named() -> Outcome {
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
    let station = endpoint(STATION)?;
    let Ok(hub) = Endpoint::bind(any, &device(HUB), |_| false) else {
        // This computer has no IPv6, and says so.
        let error = station.dial(SocketAddr::new(any.ip(), 7443), None).await;
        let error = error.err().ok_or("there is nobody")?;
        assert_eq!(error.code(), Code::Address, "{}", error.chain());
        return Ok(());
    };
    let (here, there) = linked(&station, &hub, Some(key(HUB))).await?;
    assert_eq!((here.peer, there.peer), (key(HUB), key(STATION)));
    assert!(here.address.is_ipv6() && there.address.is_ipv6());
    // And the other way round, with the socket that is there already.
    let other = endpoint(OTHER)?;
    let (here, there) = linked(&hub, &other, Some(key(OTHER))).await?;
    assert_eq!((here.peer, there.peer), (key(OTHER), key(HUB)));
    assert!(linked(&station, &hub, Some(key(HUB))).await.is_ok());
    hub.close().await;
    station.close().await;
    Ok(())
}

#[tokio::test]
async fn a_key_without_its_private_half_is_refused() -> Outcome {
    // Shows the station's key, signs with another.
    let shown = party(STATION)?.client(None)?;
    let signed = party(OTHER)?.client(None)?;
    let signing = resolve(&signed)?.key.clone();
    let thief = Arc::new(CertifiedKey::new(resolve(&shown)?.cert.clone(), signing));
    let mut config = party(OTHER)?.client(None)?;
    config.client_auth_cert_resolver = Arc::new(
        rustls::client::AlwaysResolvesClientRawPublicKeys::new(thief),
    );
    assert_turned_away(config).await
}

#[tokio::test]
async fn another_application_protocol_is_refused() -> Outcome {
    for protocols in [vec![b"lianxin/2".to_vec()], vec![b"h3".to_vec()], vec![]] {
        let mut config = party(STATION)?.client(None)?;
        config.alpn_protocols = protocols;
        assert_turned_away(config).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_without_a_key_is_refused() -> Outcome {
    let mut config = party(STATION)?.client(None)?;
    config.client_auth_cert_resolver = Arc::new(Nothing);
    assert_turned_away(config).await
}

#[tokio::test]
async fn a_client_of_certificates_is_refused() -> Outcome {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![tls::ALPN.to_vec()];
    assert_turned_away(config).await
}

#[tokio::test]
async fn no_ticket_is_given_for_a_second_visit() -> Outcome {
    let hub = endpoint(HUB)?;
    let address = hub.local_address()?;
    let served = tokio::spawn(async move {
        let mut links = Vec::new();
        while let Some(incoming) = hub.accept().await {
            links.push(incoming.complete().await);
        }
    });
    let mut config = party(STATION)?.client(None)?;
    config.resumption = Resumption::in_memory_sessions(8);
    config.enable_early_data = true;
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?));
    let station = endpoint(STATION)?;
    for _ in 0..2 {
        let connecting = station
            .quinn
            .connect_with(config.clone(), address, NO_NAME)?;
        let Err(connecting) = connecting.into_0rtt() else {
            return Err("early data was possible".into());
        };
        let connection = connecting.await?;
        let (mut send, _receive) = connection.open_bi().await?;
        send.write_all(b"first").await?;
        // Time for a ticket to arrive, were one sent: it would come with the handshake's end.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    served.abort();
    Ok(())
}

#[tokio::test]
async fn a_restarted_hub_disowns_its_old_connections_at_once() -> Outcome {
    let station = endpoint(STATION)?;
    let before = tokio::task::spawn_blocking(tokio::runtime::Runtime::new).await??;
    let hub = before.spawn(async { endpoint(HUB) }).await??;
    let address = hub.local_address()?;
    let served = before.spawn(async move {
        let link = hub.accept().await.ok_or_else(gone)?.complete().await;
        link.map(|link| (link, hub))
    });
    let mut link = station.dial(address, Some(key(HUB))).await?;
    link.send.write(b"first").await?;
    let held = served.await??;
    // The process dies: nothing of it runs any more, so no goodbye is sent.
    tokio::task::spawn_blocking(move || {
        before.shutdown_timeout(Duration::from_secs(1));
        drop(held);
    })
    .await?;

    let _hub = Endpoint::bind(address, &device(HUB), |_| false)?;
    link.send
        .write(b"are you there, after all this time?")
        .await?;
    let read = timeout(Duration::from_secs(3), link.receive.read()).await?;
    let error = read.err().ok_or("the old connection lives")?;
    assert!(error.chain().contains("reset by peer"), "{}", error.chain());
    Ok(())
}

#[tokio::test]
async fn slow_callers_neither_block_nor_shut_out_others() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let address = hub.local_address()?;
    let mut slow = Vec::new();
    let mut dialled: Vec<JoinHandle<Result<Link>>> = Vec::new();
    for seed in 0..HALF_OPEN_FREE_PER_IP {
        let caller = endpoint(u8::try_from(100 + seed)?)?;
        dialled.push(tokio::spawn(
            async move { caller.dial(address, None).await },
        ));
        slow.push(hub.accept().await.ok_or_else(gone)?);
    }
    // The next one from this address is sent back for proof of it and then served.
    let (link, _) = linked(&station, &hub, Some(key(HUB))).await?;
    assert_eq!(link.peer, key(HUB));
    drop(slow);
    for dialled in dialled {
        assert!(dialled.await?.is_err(), "a dropped caller is turned away");
    }
    assert_eq!(hub.half_open.0.lock().map_err(|_| "poisoned")?.total, 0);
    Ok(())
}

#[test]
fn callers_are_counted_by_address_and_in_all() {
    let from = |n: usize| IpAddr::from(u32::try_from(n).unwrap_or(0).to_be_bytes());
    let half_open = HalfOpen::default();
    for _ in 0..HALF_OPEN_FREE_PER_IP {
        assert_eq!(half_open.admit(from(0), false), Admission::Enter);
    }
    assert_eq!(half_open.admit(from(0), false), Admission::Retry);
    for _ in HALF_OPEN_FREE_PER_IP..HALF_OPEN_MAX_PER_IP {
        assert_eq!(half_open.admit(from(0), true), Admission::Enter);
    }
    assert_eq!(half_open.admit(from(0), true), Admission::Refuse);
    assert_eq!(
        half_open.admit(from(1), false),
        Admission::Retry,
        "64 are half-open in all"
    );
    for n in HALF_OPEN_MAX_PER_IP..HALF_OPEN_MAX {
        assert_eq!(half_open.admit(from(n), true), Admission::Enter);
    }
    assert_eq!(
        half_open.admit(from(1), true),
        Admission::Refuse,
        "1,024 are half-open in all"
    );
    half_open.leave(from(0));
    assert_eq!(half_open.admit(from(1), true), Admission::Enter);
}

#[tokio::test]
async fn above_the_most_connections_callers_are_turned_away() -> Outcome {
    let (mut hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    hub.bounds.0 = 2;
    let mut links = Vec::new();
    for _ in 0..2 {
        links.push(linked(&station, &hub, None).await?);
    }
    let address = hub.local_address()?;
    let turning_away = tokio::spawn(async move { hub.accept().await.map(|_| ()) });
    let third = station.dial(address, None).await.err();
    let third = third.ok_or("a third was let in")?;
    assert_eq!(third.code(), Code::Connection, "{}", third.chain());
    assert!(!turning_away.is_finished(), "it was handed on");
    turning_away.abort();
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_a_handshake_for_ever() -> Outcome {
    // Hears the first packet and never answers.
    let deaf = UdpSocket::bind(ANY)?;
    let mut station = endpoint(STATION)?;
    station.bounds.1 = Duration::from_millis(100);
    let dialled = station.dial(deaf.local_addr()?, None).await.err();
    let error = dialled.ok_or("nobody was reached")?;
    assert_eq!(error.code(), Code::Connection);
    assert!(
        error.chain().contains("no answer in time"),
        "{}",
        error.chain()
    );

    // Does the handshake and opens no stream.
    let (mut hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    hub.bounds.1 = Duration::from_millis(100);
    let half_open = Arc::clone(&hub.half_open);
    let (address, served) = serve(hub)?;
    let link = station.dial(address, None).await?;
    let error = served
        .await?
        .err()
        .ok_or("a caller without a stream got a link")?;
    assert!(
        error.chain().contains("no answer in time"),
        "{}",
        error.chain()
    );
    assert_eq!(half_open.0.lock().map_err(|_| "poisoned")?.total, 0);
    drop(link);
    Ok(())
}

#[tokio::test]
async fn a_taken_address_is_named() -> Outcome {
    let hub = endpoint(HUB)?;
    let error = Endpoint::bind(hub.local_address()?, &device(HUB), |_| false).err();
    assert_eq!(error.ok_or("it is taken")?.code(), Code::Address);
    Ok(())
}

#[tokio::test]
async fn a_closed_endpoint_accepts_and_dials_no_more() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    let (_here, mut there) = linked(&station, &hub, None).await?;
    station.close().await;
    assert!(station.accept().await.is_none());
    assert!(station.dial(hub.local_address()?, None).await.is_err());
    read_exactly(&mut there.receive, 5).await?;
    assert!(
        there.receive.read().await.is_err(),
        "the goodbye has arrived"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --release -p lianxin-node measure -- --ignored --nocapture"]
#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
async fn measure() -> Outcome {
    let (hub, station) = (endpoint(HUB)?, endpoint(STATION)?);
    for _ in 0..3 {
        let (mut here, mut there) = linked(&station, &hub, Some(key(HUB))).await?;
        read_exactly(&mut there.receive, 5).await?;
        let start = clock::Monotonic::start();
        let writer = tokio::spawn(async move {
            let chunk = vec![7; 256 * 1024];
            for _ in 0..256 {
                here.send.write(&chunk).await?;
            }
            here.send.finish().await
        });
        let mut received = 0;
        while let Some(bytes) = there.receive.read().await? {
            received += bytes.len();
        }
        writer.await??;
        println!(
            "{received} B in {} ms, {:?}",
            start.ms(),
            there.line.traffic()
        );
    }
    for _ in 0..3 {
        let start = clock::Monotonic::start();
        let (mut here, mut there) = linked(&station, &hub, Some(key(HUB))).await?;
        here.send.write(&[1; 200]).await?;
        read_exactly(&mut there.receive, 205).await?;
        there.send.write(&[2; 200]).await?;
        read_exactly(&mut here.receive, 200).await?;
        let ping_ms = start.ms();
        let line = here.line.clone();
        here.send.finish().await?;
        line.close(0);
        let finish_ms = start.ms();
        tokio::time::sleep(Duration::from_millis(200)).await;
        println!(
            "ping-pong {ping_ms} ms, finished {finish_ms} ms, {:?}",
            line.traffic()
        );
    }
    let (_here, _there) = linked(&station, &hub, Some(key(HUB))).await?;
    let start = clock::Monotonic::start();
    station.close().await;
    println!("close {} ms", start.ms());
    Ok(())
}

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const HUB: u8 = 1;
const STATION: u8 = 2;
const OTHER: u8 = 3;

fn device(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

fn key(seed: u8) -> DeviceKey {
    device(seed).public()
}

fn endpoint(seed: u8) -> Result<Endpoint> {
    Endpoint::bind(ANY, &device(seed), |_| false)
}

fn party(seed: u8) -> std::result::Result<Party, rustls::Error> {
    Party::new(&device(seed), Arc::new(|_| false))
}

fn gone() -> Error {
    Error::new(Code::Internal, "the endpoint is closed")
}

/// Lets one caller in.
fn serve(hub: Endpoint) -> Result<(SocketAddr, JoinHandle<Result<Link>>)> {
    let address = hub.local_address()?;
    let served = async move { hub.accept().await.ok_or_else(gone)?.complete().await };
    Ok((address, tokio::spawn(served)))
}

/// Both ends of a link; the dialler has written "first", without which the other end sees no stream.
async fn linked(from: &Endpoint, to: &Endpoint, pin: Option<DeviceKey>) -> Result<(Link, Link)> {
    let address = to.local_address()?;
    let dialled = async {
        let mut link = from.dial(address, pin).await?;
        link.send.write(b"first").await?;
        Ok(link)
    };
    let accepted = async { to.accept().await.ok_or_else(gone)?.complete().await };
    tokio::try_join!(dialled, accepted)
}

async fn read_exactly(receive: &mut ReceiveHalf, len: usize) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while all.len() < len {
        all.extend(receive.read().await?.ok_or_else(gone)?);
    }
    Ok(all)
}

async fn read_to_end(receive: &mut ReceiveHalf) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = receive.read().await? {
        all.extend(bytes);
    }
    Ok(all)
}

/// The hub answers a client of this TLS configuration with an error and no link.
async fn assert_turned_away(config: rustls::ClientConfig) -> Outcome {
    let (address, served) = serve(endpoint(HUB)?)?;
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?));
    let station = endpoint(STATION)?;
    let connecting = station.quinn.connect_with(config, address, NO_NAME)?;
    if let Ok(connection) = connecting.await {
        // A client may think it is in; it must not get a byte.
        let (mut send, mut receive) = connection.open_bi().await?;
        let _unknown = send.write_all(b"first").await;
        assert!(receive.read_chunk(1, true).await.is_err());
    }
    let error = served.await?.err().ok_or("the hub let it in")?;
    assert!(
        matches!(error.code(), Code::Connection | Code::Protocol),
        "{}",
        error.chain()
    );
    assert!(
        !error.chain().contains("no answer in time"),
        "{}",
        error.chain()
    );
    Ok(())
}

fn resolve(config: &rustls::ClientConfig) -> std::result::Result<Arc<CertifiedKey>, &'static str> {
    config
        .client_auth_cert_resolver
        .resolve(&[], &[])
        .ok_or("no key")
}

/// Offers raw keys and has none.
#[derive(Debug)]
struct Nothing;

impl rustls::client::ResolvesClientCert for Nothing {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn reset_tokens_belong_to_the_device_and_the_connection() {
    let token = |seed, id: &[u8]| ResetKey::of(&device(seed)).token(id);
    assert_eq!(token(HUB, b"one"), token(HUB, b"one"));
    assert_ne!(token(HUB, b"one"), token(HUB, b"two"));
    assert_ne!(token(HUB, b"one"), token(OTHER, b"one"));
}
