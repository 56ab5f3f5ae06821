//! Abuse: what the hub is sent by strangers and by a device that was let in, and what files and typed
//! input can be. After each the hub serves an honest station, and its digests are as before.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lianxin_node::sync::endpoint::{Endpoint, Link};
use lianxin_node::sync::enrol;
use lianxin_protocol::batch;
use lianxin_protocol::identity::{DeviceKey, InviteCode, Signer};
use lianxin_protocol::log::{EntryKind, Genesis, GenesisReason, NewEntry, Position, Tail};
use lianxin_protocol::message::{
    ErrorCode, ErrorScope, FrameReader, Hello, Message, Offer, Offers, Row, Vector, WireBatch,
    space_prefix,
};
use lianxin_protocol::space::{NetworkId, SiteId, Space, SpaceId};
use lianxin_tests::process::{CANARY, Device, Network, PATIENCE, Scratch, Started, opinion, text};
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long the hub may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(15);

/// Someone who speaks the protocol by hand.
pub(super) struct Attacker {
    pub(super) endpoint: Endpoint,
    pub(super) device: Signer,
    pub(super) hub: DeviceKey,
    pub(super) network: NetworkId,
    address: String,
    pub(super) site: SiteId,
}

impl Attacker {
    /// A device of the network, enrolled with an honest invite.
    pub(super) async fn enrolled(network: &Network, seed: u8) -> Result<Self> {
        let code = InviteCode::parse(&network.invite("EM1", "station")?)?;
        let device = Signer::from_seed(&[seed; 32]);
        let address = network.address.parse()?;
        let joined = enrol::join(address, &device, &[9; 32], &code, None).await?;
        let site = lianxin_protocol::log::RecordId::parse(&network.site).context("no site")?;
        Ok(Self {
            endpoint: Endpoint::bind("127.0.0.1:0".parse()?, &device, |_| false)?,
            device,
            hub: joined.hub,
            network: joined.network,
            address: network.address.clone(),
            site: SiteId(site.0),
        })
    }

    pub(super) async fn dial(&self) -> Result<Line> {
        let link = self
            .endpoint
            .dial(self.address.parse()?, Some(self.hub))
            .await?;
        Ok(Line {
            link,
            frames: FrameReader::default(),
        })
    }

    pub(super) fn space(&self, space: Space) -> SpaceId {
        space.id(&self.network)
    }

    pub(super) fn hello(&self) -> Hello {
        let spaces = [Space::Authority, Space::Bulletin, Space::Site(self.site)];
        let offer = |space| Offer {
            space: space_prefix(&self.space(space)),
            digest: [0; 32],
            lacks_receipts: false,
        };
        Hello {
            min: 1,
            max: 1,
            features: 0,
            epoch: [7; 16],
            offers: Offers {
                spaces: spaces.map(offer).to_vec(),
                complete: true,
            },
        }
    }

    /// A line on which both sides have said Hello.
    pub(super) async fn greeted(&self) -> Result<Line> {
        let mut line = self.dial().await?;
        line.send(&Message::Hello(self.hello())).await?;
        line.until(|message| matches!(message, Message::Hello(_)))
            .await?;
        Ok(line)
    }

    /// A log of `writer` in a space with its genesis and one entry of no known kind, signed by `signer`.
    pub(super) fn log(space: SpaceId, writer: &Signer, signer: &Signer) -> (Row, WireBatch) {
        let genesis = Genesis {
            space,
            device: writer.public(),
            incarnation: [3; 16],
            previous: None,
            reason: GenesisReason::New,
            authority_head: [0; 32],
        };
        let mut tail = Tail::begin(&genesis, 1 << 16, 1);
        let entry = NewEntry::plain(EntryKind::Other(200), CANARY.as_bytes().to_vec());
        tail.push_group(vec![entry], 2 << 16, 1);
        let (log, end) = (tail.log, tail.end);
        let run = tail.sign(signer, (1, [0; 32]), 3 << 16);
        let head = end.head.first_chunk().copied().unwrap_or_default();
        let row = Row {
            log,
            len: end.len,
            head,
            frozen: false,
            first: 0,
            missing: 0,
        };
        let packed = batch::pack(run.run());
        let batch = WireBatch {
            log: log.prefix(),
            start: Position::start(&log),
            packed,
        };
        (row, batch)
    }
}

/// A link and what has been read from it.
pub(super) struct Line {
    pub(super) link: Link,
    pub(super) frames: FrameReader,
}

impl Line {
    pub(super) async fn send(&mut self, message: &Message) -> Result<()> {
        Ok(self.link.send.write(&message.encode()).await?)
    }

    /// The first message that is looked for.
    pub(super) async fn until(&mut self, wanted: impl Fn(&Message) -> bool) -> Result<Message> {
        let found = timeout(ANSWER, async {
            loop {
                while let Some(message) = self.frames.next_frame()? {
                    if wanted(&message) {
                        return Ok(message);
                    }
                }
                match self.link.receive.read().await? {
                    Some(bytes) => self.frames.push(&bytes),
                    None => bail!("the hub ended the stream"),
                }
            }
        });
        found.await.context("the hub did not answer in time")?
    }

    /// Waits until the hub says that this is over, and why.
    pub(super) async fn refused(mut self, code: ErrorCode) -> Result<()> {
        let connection = |message: &Message| {
            matches!(
                message,
                Message::Error {
                    scope: ErrorScope::Connection,
                    ..
                }
            )
        };
        let said = self.until(connection).await?;
        let right = matches!(said, Message::Error { code: given, .. } if given == code);
        ensure!(right, "{said:?} instead of {code:?}");
        // And it is closed: nothing more can be read.
        let closed = timeout(ANSWER, async {
            while let Ok(Some(_)) = self.link.receive.read().await {}
        });
        closed.await.context("the connection stays open")
    }

    /// Waits until the connection is closed with this code. The hub's last words may be lost behind what it no
    /// longer reads; its code is not.
    pub(super) async fn closed_with(self, code: ErrorCode) -> Result<()> {
        let given = self.end().await?;
        let right = given == Some(code.number().into());
        ensure!(right, "closed with {given:?} instead of {code:?}");
        Ok(())
    }

    /// Waits until the connection is closed, and gives the code.
    pub(super) async fn end(mut self) -> Result<Option<u64>> {
        let closed = timeout(ANSWER, async {
            while let Ok(Some(_)) = self.link.receive.read().await {}
        });
        closed.await.context("the connection stays open")?;
        // The stream may end a moment before the connection that carried it.
        for _ in 0..100 {
            if self.link.line.closed_with().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(self.link.line.closed_with())
    }

    /// Waits until something smaller than the connection is refused.
    pub(super) async fn told(&mut self, code: ErrorCode) -> Result<()> {
        let refusal = |message: &Message| matches!(message, Message::Error { .. });
        let said = self.until(refusal).await?;
        let right = matches!(said, Message::Error { code: given, scope, .. }
            if given == code && scope != ErrorScope::Connection);
        ensure!(right, "{said:?} instead of {code:?}");
        Ok(())
    }
}

/// What is shown, space by space.
fn states(digests: &[Value]) -> Vec<Value> {
    let states = digests.iter().map(|space| &space["state_digest"]);
    states.cloned().collect()
}

/// What the hub must be after an attack: as before, and there for an honest station.
pub(super) struct Witness {
    hub: Device,
    station: Device,
    before: Vec<Value>,
    records: u32,
}

impl Witness {
    pub(super) fn new(network: &Network) -> Result<Self> {
        let (hub, station) = (network.hub.clone(), network.station.clone());
        Ok(Self {
            before: hub.digests()?,
            hub,
            station,
            records: 0,
        })
    }

    pub(super) fn unharmed(&mut self, attack: &str) -> Result<()> {
        let after = self.hub.digests()?;
        ensure!(
            after == self.before,
            "{attack}: the hub's store has changed"
        );
        self.serves(attack)
    }

    pub(super) fn serves(&mut self, attack: &str) -> Result<()> {
        self.records += 1;
        self.station
            .add(&[opinion(&format!("after-{}", self.records))])?;
        self.station
            .ok(&["sync"])
            .with_context(|| format!("after {attack}"))?;
        self.before = self.hub.digests()?;
        Ok(())
    }
}

// rule:batch-space
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_on_the_wire_changes_the_hub_or_stops_it() -> Result<()> {
    let mut network = Network::new()?;
    let attacker = Attacker::enrolled(&network, 1).await?;
    let mut witness = Witness::new(&network)?;

    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    for n in 0..2_000_u32 {
        let seed = n.wrapping_mul(2_654_435_761).to_le_bytes();
        let datagram: Vec<u8> = seed
            .iter()
            .copied()
            .cycle()
            .take(1 + (n as usize * 7) % 1_400)
            .collect();
        socket.send_to(&datagram, &network.address)?;
    }
    witness.unharmed("garbage datagrams")?;

    // Opened and silent, all through what follows.
    let silent = attacker.dial().await?;

    let mut line = attacker.dial().await?;
    let mut hello = attacker.hello();
    for offer in &mut hello.offers.spaces {
        offer.space = [0xee; 8];
    }
    line.send(&Message::Hello(hello)).await?;
    line.refused(ErrorCode::UnknownSpace).await?;
    witness.unharmed("Hello of another network")?;

    for (min, max) in [(0, 0), (2, 9), (9, 2)] {
        let mut line = attacker.dial().await?;
        line.send(&Message::Hello(Hello {
            min,
            max,
            ..attacker.hello()
        }))
        .await?;
        line.refused(ErrorCode::VersionUnsupported)
            .await
            .with_context(|| format!("{min} to {max}"))?;
    }
    witness.unharmed("versions out of range")?;

    for len in [u32::MAX, 1 << 20, 1 << 31] {
        let mut line = attacker.greeted().await?;
        let head = [&5_u16.to_be_bytes()[..], &len.to_be_bytes()].concat();
        line.link.send.write(&head).await?;
        line.refused(ErrorCode::BadFrame)
            .await
            .with_context(|| format!("a frame of {len}"))?;
    }
    witness.unharmed("oversize frames")?;

    for body in [&[][..], &[0xff; 3], &[0; 200]] {
        let mut line = attacker.greeted().await?;
        let len = u32::try_from(body.len())?;
        let frame = [&5_u16.to_be_bytes()[..], &len.to_be_bytes(), body].concat();
        line.link.send.write(&frame).await?;
        line.refused(ErrorCode::BadFrame)
            .await
            .context("a garbage frame")?;
    }
    witness.unharmed("garbage frames")?;

    let site = attacker.space(Space::Site(attacker.site));
    let stranger = Signer::from_seed(&[2; 32]);
    let (_, honest) = Attacker::log(site, &attacker.device, &attacker.device);
    let mut line = attacker.dial().await?;
    line.send(&Message::Batch(honest.clone())).await?;
    line.refused(ErrorCode::BadFrame)
        .await
        .context("data before Hello")?;
    let mut line = attacker.greeted().await?;
    line.send(&Message::Hello(attacker.hello())).await?;
    line.refused(ErrorCode::BadFrame)
        .await
        .context("a second Hello")?;
    witness.unharmed("frames in the wrong state")?;

    // A flipped bit anywhere, and a log that somebody else signed: dropped, and the line stays open.
    let forged = Attacker::log(site, &attacker.device, &stranger);
    let mut damaged = vec![(forged, true)];
    for place in [3, 40, 90] {
        let (row, mut batch) = Attacker::log(site, &attacker.device, &attacker.device);
        let place = place % batch.packed.main.len();
        if let Some(byte) = batch.packed.main.get_mut(place) {
            *byte ^= 1;
        }
        damaged.push(((row, batch), false));
    }
    for ((row, batch), signature) in damaged {
        let mut line = attacker.greeted().await?;
        let space = space_prefix(&site);
        line.send(&Message::Vector(Vector {
            space,
            complete: true,
            rows: vec![row],
        }))
        .await?;
        line.send(&Message::Batch(batch)).await?;
        if signature {
            line.told(ErrorCode::BadSignature).await?;
        } else {
            line.until(|message| matches!(message, Message::Error { .. }))
                .await?;
        }
        line.send(&Message::Ping(5)).await?;
        line.until(|message| *message == Message::Pong(5))
            .await
            .context("after a bad batch")?;
    }
    witness.unharmed("batches that do not verify")?;

    // A log of a space that is no business of this device, under cover of one that is.
    let hubs = attacker.space(Space::Hub);
    let (row, batch) = Attacker::log(hubs, &attacker.device, &attacker.device);
    let mut line = attacker.greeted().await?;
    let space = space_prefix(&site);
    line.send(&Message::Vector(Vector {
        space,
        complete: true,
        rows: vec![row],
    }))
    .await?;
    line.send(&Message::Batch(batch)).await?;
    line.send(&Message::Ping(6)).await?;
    line.until(|message| *message == Message::Pong(6))
        .await
        .context("after a foreign log")?;
    witness.unharmed("a log of the hub's space")?;
    witness.serves("a log of the hub's space")?;

    let mut line = attacker.greeted().await?;
    let pings = Message::Ping(1).encode().repeat(1_000);
    for _ in 0..100 {
        // The hub closes in the midst of it.
        if line.link.send.write(&pings).await.is_err() {
            break;
        }
    }
    line.closed_with(ErrorCode::Busy)
        .await
        .context("pings without end")?;
    witness.unharmed("pings without end")?;

    silent.link.line.close(0);
    attacker.endpoint.close().await;
    network.hub_stops()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_nothing_and_a_reader_of_a_space_cannot_write_it() -> Result<()> {
    let mut network = Network::new()?;
    let attacker = Attacker::enrolled(&network, 3).await?;
    let mut witness = Witness::new(&network)?;

    let stranger = Signer::from_seed(&[4; 32]);
    let endpoint = Endpoint::bind("127.0.0.1:0".parse()?, &stranger, |_| false)?;
    for first in [
        Message::Hello(attacker.hello()).encode(),
        vec![0xff; 64],
        Message::Ping(1).encode(),
    ] {
        let link = endpoint
            .dial(network.address.parse()?, Some(attacker.hub))
            .await?;
        let mut line = Line {
            link,
            frames: FrameReader::default(),
        };
        line.link.send.write(&first).await?;
        let mut heard = Vec::new();
        let over = timeout(ANSWER, async {
            while let Ok(Some(bytes)) = line.link.receive.read().await {
                heard.extend(bytes);
            }
        });
        over.await.context("a stranger is kept")?;
        line.frames.push(&heard);
        while let Some(message) = line.frames.next_frame()? {
            let refusal = matches!(
                message,
                Message::Error {
                    code: ErrorCode::NotAuthorised,
                    ..
                }
            );
            ensure!(refusal, "a stranger was told {message:?}");
        }
    }
    endpoint.close().await;
    witness.unharmed("strangers")?;

    // Everyone reads the bulletin and the hub writes it: what a station puts there is kept, and held back.
    let bulletin = attacker.space(Space::Bulletin);
    let (row, batch) = Attacker::log(bulletin, &attacker.device, &attacker.device);
    let log = row.log;
    let mut line = attacker.greeted().await?;
    let space = space_prefix(&bulletin);
    line.send(&Message::Vector(Vector {
        space,
        complete: true,
        rows: vec![row],
    }))
    .await?;
    line.send(&Message::Batch(batch)).await?;
    let answer = line
        .until(|message| match message {
            Message::Receipt(receipt) => receipt.log == log,
            Message::Error { .. } => true,
            _ => false,
        })
        .await?;
    match answer {
        Message::Receipt(receipt) => {
            ensure!(
                (0..receipt.stored.len).all(|seq| !receipt.covers(seq)),
                "it counts: {receipt:?}"
            );
        }
        Message::Error { code, .. } => ensure!(code == ErrorCode::NotAuthorised, "{code:?}"),
        other => bail!("{other:?}"),
    }
    ensure!(
        states(&network.hub.digests()?) == states(&witness.before),
        "it shows"
    );
    attacker.endpoint.close().await;
    witness.serves("an entry in the bulletin")?;
    network.station.equals(&network.hub)?;
    network.hub_stops()
}

#[test]
fn hostile_input_is_refused_by_name_and_never_repeated() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = Device::new(scratch.join("hub"));
    hub.ok(&["hub", "init", "--name", "示例街道"])?;
    let add = ["record", "add", "--kind", "opinion", "--file", "-"];
    let with = |field: &str, value: Value| {
        let mut record = opinion("hostile");
        record[field] = value;
        record.to_string().into_bytes()
    };
    let refused = [
        (
            "NUL",
            with("body", json!(format!("{CANARY}\0"))),
            "body",
            "not_text",
        ),
        (
            "1 MB",
            with("body", json!(CANARY.repeat(60_000))),
            "body",
            "too_long",
        ),
        (
            "blank",
            with("body", json!("  \u{3000} ")),
            "body",
            "required",
        ),
        (
            "number for text",
            with("body", json!(5)),
            "body",
            "wrong_type",
        ),
        (
            "text for group",
            with("place", json!(CANARY)),
            "place",
            "wrong_type",
        ),
        (
            "fraction",
            with("people_count", json!(1.5)),
            "people_count",
            "wrong_type",
        ),
        (
            "below",
            with("people_count", json!(-1)),
            "people_count",
            "out_of_range",
        ),
        (
            "not an option",
            with("urgency", json!(CANARY)),
            "urgency",
            "not_an_option",
        ),
        (
            "identity number",
            with("id_number", json!(CANARY)),
            "id_number",
            "forbidden_field",
        ),
        (
            "身份证号",
            with("身份证号", json!(CANARY)),
            "身份证号",
            "forbidden_field",
        ),
        (
            "misspelt",
            with("bodi", json!(CANARY)),
            "bodi",
            "unknown_field",
        ),
        (
            "computed",
            with("merged_into", json!(CANARY)),
            "merged_into",
            "read_only",
        ),
        (
            "31 February",
            with("solved_on", json!("2026-02-31")),
            "solved_on",
            "bad_date",
        ),
        (
            "year 10000",
            with("solved_on", json!("10000-01-01")),
            "solved_on",
            "bad_date",
        ),
        (
            "year 0",
            with("solved_on", json!("0000-00-00")),
            "solved_on",
            "bad_date",
        ),
        (
            "a set of one",
            with("deputies", json!("甲")),
            "deputies",
            "wrong_type",
        ),
        (
            "items",
            with("deputies", json!([0, 1, 2])),
            "deputies",
            "wrong_type",
        ),
        (
            "submission id",
            with("submission_id", json!(5)),
            "submission_id",
            "wrong_type",
        ),
        (
            "long submission id",
            with("submission_id", json!("x".repeat(1 << 20))),
            "submission_id",
            "wrong_type",
        ),
        (
            "another kind",
            with("kind", json!("deputy_suggestion")),
            "kind",
            "wrong_type",
        ),
        ("no object", b"[5]".to_vec(), "", "wrong_type"),
    ];
    for (name, input, field, code) in refused {
        let reply = hub.feed(&add, input)?.exits(3).context(name)?;
        let said = reply["refused"].as_array().context("no refusals")?;
        let right = said
            .iter()
            .find(|it| it["field"] == field && it["code"] == code);
        ensure!(
            right.is_some() && reply["records"] == json!([]),
            "{name}: {reply:.400}"
        );
        ensure!(
            !reply.to_string().contains(CANARY),
            "{name} is repeated: {reply:.400}"
        );
        let suggests = name != "misspelt" || reply.to_string().contains("did you mean body");
        ensure!(suggests, "no suggestion: {reply}");
    }
    let broken = [
        (
            "lone surrogate",
            br#"{"category":"help","body":"\ud800"}"#.to_vec(),
        ),
        ("depth", "[".repeat(100_000).into_bytes()),
        ("deep objects", "{\"a\":".repeat(100_000).into_bytes()),
        (
            "trailing",
            format!("{} {CANARY}", opinion("x")).into_bytes(),
        ),
        (
            "UTF-16",
            CANARY.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
        ("not a number", br#"{"people_count":1e999}"#.to_vec()),
        ("empty", Vec::new()),
        ("only a mark", "\u{feff}".as_bytes().to_vec()),
        ("no rows", b"[]".to_vec()),
    ];
    for (name, input) in broken {
        hub.feed(&add, input)?.fails(4, "LX-3003").context(name)?;
    }
    ensure!(
        hub.ok(&["status"])?["records"] == 0,
        "something of it was recorded"
    );

    let pipe = text(&scratch.join("pipe"))?;
    let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
    ensure!(made.success(), "no pipe was made");
    for path in [pipe.as_str(), "/dev/zero", "/proc"] {
        let file = ["record", "add", "--kind", "opinion", "--file", path];
        let started = Started::new(hub.command(&file)?, Vec::new())?;
        started
            .finish(Duration::from_secs(10))
            .context(path.to_owned())?
            .fails(4, "LX-3003")?;
        let nobody = Device::new(scratch.join("nobody"));
        let started = Started::new(nobody.command(&["join", "--file", path])?, Vec::new())?;
        started
            .finish(Duration::from_secs(10))
            .context(path.to_owned())?
            .fails(4, "LX-2009")?;
        ensure!(!nobody.directory.exists(), "a join left something");
    }
    Ok(())
}

#[test]
fn a_mistyped_invite_is_noticed_before_anyone_is_called() -> Result<()> {
    let mut network = Network::new()?;
    let code = network.invite("EM1", "station")?;
    let listener = std::net::UdpSocket::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?.to_string();
    let nobody = Device::new(network.scratch.join("nobody"));
    let swapped: String = {
        let mut letters: Vec<char> = code.chars().collect();
        let differ = letters
            .windows(2)
            .position(|pair| pair[0] != pair[1] && !pair.contains(&'-'));
        let at = differ.context("a code of one letter")?;
        letters.swap(at, at + 1);
        letters.into_iter().collect()
    };
    let short = code.get(..20).unwrap_or_default().to_owned();
    for typo in [
        swapped,
        short,
        format!("{code}0"),
        code.replace('-', "!"),
        "一".to_owned(),
        String::new(),
    ] {
        let message = nobody
            .call(&["join", &typo, "--hub", &address])?
            .fails(4, "LX-2002")?;
        ensure!(
            !message.contains(&typo) || typo.is_empty(),
            "the code is repeated: {message}"
        );
    }
    let mut datagram = [0; 2_000];
    ensure!(
        listener.recv_from(&mut datagram).is_err(),
        "the hub was called for a typo"
    );
    ensure!(!nobody.directory.exists(), "a typo left something");

    // How people write it does not matter.
    let sloppy = code
        .to_lowercase()
        .replace('0', "o")
        .replace('1', "l")
        .replace('-', " \u{200b}");
    nobody.ok(&["join", &sloppy, "--hub", &network.address])?;

    let file = network.scratch.join("invite.json");
    let out = text(&file)?;
    network.hub.ok(&[
        "invite", "create", "--site", "EM1", "--role", "station", "--out", &out,
    ])?;
    let whole = std::fs::read_to_string(&file)?;
    let other = Device::new(network.scratch.join("other"));
    for (name, content) in [
        (
            "cut",
            whole.get(..60).unwrap_or_default().as_bytes().to_vec(),
        ),
        ("empty", Vec::new()),
        ("foreign", b"{\"schema\":\"something\"}".to_vec()),
        ("bytes", vec![0xff; 100]),
        ("huge", vec![b' '; 1 << 20]),
    ] {
        let path = network.scratch.write("bad.json", content)?;
        other
            .call(&["join", "--file", &path])?
            .fails(4, "LX-2009")
            .context(name)?;
    }
    // The right code, and somebody else's key: it may be an impostor, and nothing is sent.
    let mut card: Value = serde_json::from_str(&whole)?;
    card["hub"] = json!("11".repeat(32));
    let path = network.scratch.write("bad.json", card.to_string())?;
    other
        .call(&["join", "--file", &path])?
        .fails(6, "LX-2004")?;
    ensure!(!other.directory.exists(), "a refused file left something");
    network.hub_stops()
}

#[test]
fn a_store_that_is_not_whole_is_named_and_left_alone() -> Result<()> {
    let scratch = Scratch::new()?;
    let whole = Device::new(scratch.join("whole"));
    whole.ok(&["hub", "init", "--name", "示例街道"])?;
    let rows: Vec<_> = (0..120).map(|n| opinion(&format!("whole-{n}"))).collect();
    whole.add(&rows)?;
    let other = Device::new(scratch.join("other"));
    other.ok(&["hub", "init", "--name", "示例街道"])?;
    let copy = |name: &str| -> Result<Device> {
        let copy = Device::new(scratch.join(name));
        lianxin_node::store::private_directory(&copy.directory)?;
        for entry in std::fs::read_dir(&whole.directory)? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.directory.join(entry.file_name()))?;
        }
        Ok(copy)
    };

    let device = copy("no-key")?;
    std::fs::remove_file(device.directory.join("store.key"))?;
    ensure!(
        device
            .call(&["status"])?
            .fails(2, "LX-1006")?
            .contains("store.key")
    );
    for key in ["", "not a key", &"ab".repeat(31)] {
        std::fs::write(device.directory.join("store.key"), key)?;
        device.call(&["status"])?.fails(2, "LX-1006")?;
    }
    std::fs::copy(
        other.directory.join("store.key"),
        device.directory.join("store.key"),
    )?;
    let before = std::fs::read(device.directory.join("lianxin.db"))?;
    device.call(&["status"])?.fails(2, "LX-1006")?;
    ensure!(
        std::fs::read(device.directory.join("lianxin.db"))? == before,
        "it was written to"
    );

    let pages = u64::try_from(before.len())? / 4_096;
    ensure!(pages > 20, "{pages} pages");
    for kept in [1, 2, pages / 2, pages - 1] {
        let device = copy(&format!("cut-{kept}"))?;
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(device.directory.join("lianxin.db"))?;
        file.set_len(kept * 4_096 + 100)?;
        damaged(&device).with_context(|| format!("cut to {kept} pages"))?;
    }
    let mut noticed = 0;
    for page in (1..pages).step_by(usize::try_from(pages / 24)?.max(1)) {
        let device = copy(&format!("flip-{page}"))?;
        let mut bytes = before.clone();
        let at = usize::try_from(page * 4_096 + 1_000)?;
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1;
        }
        std::fs::write(device.directory.join("lianxin.db"), bytes)?;
        // What it finds and mends on the way it complains of.
        let ended = device.command(&["verify"])?.output()?;
        let exit = ended.status.code();
        // A page that nothing reads is none of verify's business, and lists are made anew.
        ensure!([Some(0), Some(2)].contains(&exit), "page {page}: {ended:?}");
        let anew = String::from_utf8_lossy(&ended.stderr).contains("made anew");
        noticed += u32::from(exit == Some(2) || anew);
    }
    ensure!(noticed >= 3, "{noticed} flipped pages were noticed");

    let device = copy("folder")?;
    std::fs::remove_file(device.directory.join("lianxin.db"))?;
    std::fs::create_dir(device.directory.join("lianxin.db"))?;
    device.call(&["status"])?.fails(5, "LX-2001")?;
    let file = Device::new(scratch.join("whole").join("lock"));
    file.call(&["status"])?.fails(5, "LX-2001")?;
    file.call(&["hub", "init", "--name", "x"])?
        .fails(2, "LX-1001")?;

    // The original is as it was.
    whole.ok(&["verify"])?;
    ensure!(whole.ok(&["status"])?["records"] == 120);
    Ok(())
}

/// Every command ends with the code for a damaged store, or with an unsound one, and in time.
fn damaged(device: &Device) -> Result<()> {
    for command in [&["status"][..], &["verify"], &["record", "list"]] {
        let started = Started::new(device.command(command)?, Vec::new())?;
        let outcome = started.finish(PATIENCE)?;
        ensure!(outcome.exit == 2, "{command:?}: {}", outcome.json);
    }
    Ok(())
}

#[test]
fn a_store_of_a_newer_version_is_left_untouched() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = Device::new(scratch.join("hub"));
    hub.ok(&["hub", "init", "--name", "示例街道"])?;
    let store = lianxin_node::store::Store::open(&hub.directory)?;
    let writer = store.writer()?;
    writer.pragma_update(None, "user_version", 1_000)?;
    drop(writer);
    for command in [&["status"][..], &["verify"], &["reproject"], &["run"]] {
        hub.call(command)?.fails(2, "LX-1005")?;
    }
    Ok(())
}
