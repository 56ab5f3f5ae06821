//! Golden vectors: every byte format built from the inputs that the files in `tests/vectors` show, compared
//! with the bytes there, and read back; and bytes that must be refused.
//!
//! The files are for whoever writes a second implementation, so inputs stand beside bytes and names are what
//! `protocol/SPEC.md` calls them. `LIANXIN_VECTORS=write` rewrites the files and fails, so that a run that
//! rewrote can never be taken for one that compared. Where signed bytes are shown, they are put together here
//! by hand, a second time, from the words of SPEC. Rejected: generated inputs, which nobody reads.

#![expect(
    clippy::indexing_slicing,
    reason = "a vector that is shorter than it should be fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use lianxin_protocol::archive::{self, Audit, Item};
use lianxin_protocol::arrival::{self, Arrival};
use lianxin_protocol::authority::{
    Certificate, Cut, Grant, Invite, Order, Reason, Role, Rotation, Scope, SiteInfo, SiteKind,
    Spaces,
};
use lianxin_protocol::batch::Packed;
use lianxin_protocol::codec::{Reader, Writer};
use lianxin_protocol::document::{
    self, Document, Edit, Fate, GuardedChange, Limits, NewEvent, Offered, Scalar,
};
use lianxin_protocol::hash::{self, Hex};
use lianxin_protocol::identity::{Channel, DeviceKey, InviteCode, Signer};
use lianxin_protocol::invite;
use lianxin_protocol::limits;
use lianxin_protocol::log::{
    Branch, Checkpoint, DigestMode, EntryId, EntryKind, Flags, ForkProof, Genesis, GenesisReason,
    Header, LogId, NewEntry, Position, RecordId, Tail, VerifiedRun, digest,
};
use lianxin_protocol::message::{
    Enrol, Enrolled, ErrorCode, ErrorScope, FrameReader, Hello, Message, Offer, Offers, Row, Tip,
    Vector, WireBatch, space_digest, space_prefix,
};
use lianxin_protocol::number::Number;
use lianxin_protocol::part::{self, EraseOrder, Erased, ErasureTarget, Part};
use lianxin_protocol::receipt::{Exception, Receipt};
use lianxin_protocol::request::{Act, Ask, Datum, Outcome, Refusal, Request};
use lianxin_protocol::space::{NetworkId, SiteId, Space, SpaceId};
use lianxin_protocol::words;
use lianxin_tests::process::Scratch;
use serde_json::{Value, json};

// ---- the cast: fixed seeds, nothing secret ----

fn root() -> Signer {
    Signer::from_seed(&[1; 32])
}

fn hub_authority() -> Signer {
    Signer::from_seed(&[2; 32])
}

fn hub() -> Signer {
    Signer::from_seed(&[3; 32])
}

fn station() -> Signer {
    Signer::from_seed(&[4; 32])
}

fn network() -> NetworkId {
    NetworkId::of_root(&root().public().0)
}

const SITE: SiteId = SiteId([0x51; 16]);
/// 2026-11-25T00:00:00Z, counter 1.
const HLC: u64 = 1_795_564_800_000 << 16 | 1;

fn site_space() -> SpaceId {
    Space::Site(SITE).id(&network())
}

fn hex(bytes: &[u8]) -> String {
    Hex(bytes).to_string()
}

// ---- a file of vectors ----

struct Area {
    name: &'static str,
    about: &'static str,
    vectors: Vec<Value>,
    refused: Vec<Value>,
}

impl Area {
    const fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            vectors: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn vector(&mut self, name: &str, input: &Value, bytes: &[u8]) {
        let vector = json!({ "name": name, "input": input, "bytes": hex(bytes) });
        self.vectors.push(vector);
    }

    /// Bytes that a reader must refuse; `outcome` is what this one made of them.
    fn refuse<T, E>(
        &mut self,
        name: &str,
        why: &str,
        bytes: &[u8],
        outcome: Result<T, E>,
    ) -> Result<()> {
        ensure!(outcome.is_err(), "{}/{name} was taken", self.name);
        let vector = json!({ "name": name, "why": why, "bytes": hex(bytes) });
        self.refused.push(vector);
        Ok(())
    }

    fn text(&self) -> String {
        let file = json!({
            "area": self.name,
            "about": self.about,
            "vectors": self.vectors,
            "refused": self.refused,
        });
        format!("{file:#}\n")
    }
}

fn areas() -> Result<Vec<Area>> {
    Ok(vec![
        codec_area()?,
        hash_area(),
        identity_area()?,
        invite_area()?,
        log_area()?,
        part_area()?,
        document_area()?,
        authority_area()?,
        request_area()?,
        receipt_area()?,
        message_area()?,
        number_area()?,
        words_area()?,
        archive_area()?,
    ])
}

// ---- codec, hashes ----

fn codec_area() -> Result<Area> {
    let mut area = Area::new(
        "codec",
        "integers, lengths and texts as all formats write them",
    );
    let mut writer = Writer::new();
    writer.u8(7).u16(258).u32(70_000).u64(u64::MAX);
    writer.bytes(b"abc").str("连心");
    let bytes = writer.into_bytes();
    let mut reader = Reader::new(&bytes);
    ensure!((reader.u8()?, reader.u16()?, reader.u32()?) == (7, 258, 70_000));
    ensure!(reader.u64()? == u64::MAX && reader.bytes(3)? == b"abc" && reader.str(6)? == "连心");
    reader.finish()?;
    let input = json!({
        "u8": 7, "u16": 258, "u32": 70_000, "u64": u64::MAX.to_string(), "bytes": hex(b"abc"), "text": "连心",
    });
    area.vector("values", &input, &bytes);
    let long = [0, 0, 0, 4, 1, 2, 3];
    let taken = Reader::new(&long).bytes(9).map(<[u8]>::to_vec);
    area.refuse(
        "length-beyond-the-bytes",
        "four bytes are announced, three follow",
        &long,
        taken,
    )?;
    let not_text = [0, 0, 0, 2, 0xc3, 0x28];
    let taken = Reader::new(&not_text).str(9).map(str::to_owned);
    area.refuse("text-not-utf8", "text must be UTF-8", &not_text, taken)?;
    Ok(area)
}

fn slug(context: &str) -> String {
    context.trim_start_matches("lianxin 1 ").replace(' ', "-")
}

fn hash_area() -> Area {
    let mut area = Area::new(
        "hash",
        "BLAKE3 derive_key of one message under each context",
    );
    let contexts = [
        ("lianxin 1 network id", &hash::NETWORK),
        ("lianxin 1 space id", &hash::SPACE),
        ("lianxin 1 log id", &hash::LOG),
        ("lianxin 1 automerge actor", &hash::ACTOR),
        ("lianxin 1 record id", &hash::RECORD),
        ("lianxin 1 entry id", &hash::ENTRY),
        ("lianxin 1 payload digest", &hash::PAYLOAD),
        ("lianxin 1 salted part digest", &hash::PART),
        ("lianxin 1 space digest", &hash::SPACE_DIGEST),
        ("lianxin 1 checkpoint signature", &hash::CHECKPOINT),
        ("lianxin 1 receipt signature", &hash::RECEIPT),
        ("lianxin 1 root certificate", &hash::CERTIFICATE),
        ("lianxin 1 invite key", &hash::INVITE_KEY),
        ("lianxin 1 invite hub proof key", &hash::INVITE_HUB),
        ("lianxin 1 enrolment by device", &hash::ENROL_DEVICE),
        ("lianxin 1 enrolment by hub", &hash::ENROL_HUB),
        ("lianxin 1 four words", &hash::WORDS),
        ("lianxin 1 enrolment on a stick", &hash::STICK),
        ("lianxin 1 join request", &hash::JOIN_REQUEST),
        ("lianxin 1 invite card", &hash::CARD),
        ("lianxin 1 fingerprint", &hash::FINGERPRINT),
        ("lianxin 1 query code", &hash::QUERY_CODE),
        ("lianxin 1 key rotation", &hash::ROTATION),
        ("lianxin 1 archive", &hash::ARCHIVE),
        ("lianxin 1 report proof", &hash::PROOF),
        ("lianxin 1 attachment", &hash::BLOB),
    ];
    for (context, hash) in contexts {
        let input = json!({ "context": context, "message": hex(b"lianxin") });
        area.vector(&slug(context), &input, &hash.hash(&[b"lianxin"]));
    }
    area
}

// ---- identities ----

fn identity_area() -> Result<Area> {
    let mut area = Area::new(
        "identity",
        "keys, signatures, ids, invite codes and enrolment",
    );
    let device = station().public();
    area.vector("device-key", &json!({ "seed": hex(&[4; 32]) }), &device.0);
    let signature = station().sign(&hash::CHECKPOINT, &[b"lianxin"]);
    ensure!(device.verifies(&hash::CHECKPOINT, &[b"lianxin"], &signature));
    let input = json!({
        "seed": hex(&[4; 32]),
        "context": "lianxin 1 checkpoint signature",
        "message": hex(b"lianxin"),
        "signed_hash": hex(&hash::CHECKPOINT.hash(&[b"lianxin"])),
    });
    area.vector("signature", &input, &signature);
    let print = device.fingerprint();
    area.vector(
        "fingerprint",
        &json!({ "key": hex(&device.0), "text": print }),
        print.as_bytes(),
    );
    let input = json!({ "root_key": hex(&root().public().0) });
    area.vector("network-id", &input, &network().0);
    for (name, space) in [
        ("space-authority", Space::Authority),
        ("space-bulletin", Space::Bulletin),
        ("space-site", Space::Site(SITE)),
        ("space-hub", Space::Hub),
    ] {
        let (kind, site) = space.code();
        ensure!(Space::of_code(kind, site) == Some(space));
        let input = json!({ "network": network().to_string(), "kind": kind, "site": hex(&site) });
        area.vector(name, &input, &space.id(&network()).0);
    }
    let log = LogId::of(&site_space(), &device, &[9; 16]);
    let input = json!({
        "space": site_space().to_string(), "device": hex(&device.0), "incarnation": hex(&[9; 16]),
    });
    area.vector("log-id", &input, &log.0);
    area.vector("actor", &json!({ "log": log.to_string() }), &log.actor());
    let id = RecordId::founded(1_795_564_800_000, &log, 2);
    let input = json!({ "unix_ms": 1_795_564_800_000_u64, "log": log.to_string(), "seq": 2 });
    area.vector("record", &input, &id.0);

    let bits = [0x7a, 1, 2, 3, 4, 5, 6, 7, 8, 10];
    let code = InviteCode::from_random(bits).context("another check character")?;
    let text = code.to_string();
    ensure!(InviteCode::parse(&text.to_lowercase().replace('-', " "))? == code);
    area.vector(
        "invite-code",
        &json!({ "bits": hex(&bits), "text": text }),
        text.as_bytes(),
    );
    let invite = code.invite_key();
    area.vector(
        "invite-key",
        &json!({ "bits": hex(&bits) }),
        &invite.public().0,
    );
    let proof_key = code.hub_proof_key();
    area.vector(
        "invite-hub-proof-key",
        &json!({ "bits": hex(&bits) }),
        &proof_key,
    );
    let hub = hub().public();
    let channel = Channel {
        exporter: &[0xee; 32],
        device: &device,
        hub: &hub,
    };
    let shared = json!({
        "exporter": hex(&[0xee; 32]), "device": hex(&device.0), "hub": hex(&hub.0), "bits": hex(&bits),
    });
    let proof = channel.device_proof(&invite, &[0xaa; 32]);
    ensure!(channel.device_proof_holds(&invite.public(), &[0xaa; 32], &proof));
    let mut input = shared.clone();
    input["recipient"] = json!(hex(&[0xaa; 32]));
    area.vector("enrol-device-proof", &input, &proof);
    let mut input = shared.clone();
    input["network"] = json!(network().to_string());
    let proof = channel.hub_proof(&proof_key, &network());
    area.vector("enrol-hub-proof", &input, &proof);
    let mut input = shared;
    input["words"] = json!(words::phrase(&channel.words_digest()));
    area.vector("four-words", &input, &channel.words_digest());

    let card = json!({
        "schema": "lianxin.invite/1",
        "invite": text,
        "device_code": "EM1A",
        "expires_at": "2026-11-28T00:00:00.000Z",
        "hub_addresses": ["hub.example.local:7443"],
        "network": network().to_string(),
        "hub": hex(&hub.0),
        "site": RecordId(SITE.0).hyphenated(),
        "site_code": "EM1",
        "role": "station",
        "district": "SLJD",
        "name": "示例街",
    });
    let scratch = Scratch::new()?;
    let path = scratch.write("card", format!("{card:#}\n"))?;
    let read = lianxin_node::sync::join::Ticket::file(Path::new(&path));
    let read = read.map_err(|error| anyhow::anyhow!(error.chain()))?;
    let fields = read.card.context("a card without fields")?;
    ensure!(read.code == code && fields.network == network() && fields.hub == hub);
    area.vector("invite-file", &card, format!("{card:#}\n").as_bytes());

    let swapped: String = text.chars().rev().collect();
    area.refuse(
        "invite-code-check",
        "the check character does not fit",
        swapped.as_bytes(),
        InviteCode::parse(&swapped),
    )?;
    for (name, key) in [("weak-key-zero", 0_u8), ("weak-key-identity", 1)] {
        let mut weak = DeviceKey([0; 32]);
        weak.0[0] = key;
        let outcome = weak.is_sound().then_some(()).ok_or(());
        area.refuse(name, "a point of small order", &weak.0, outcome)?;
    }
    Ok(area)
}

// ---- joining without a line ----

fn invite_area() -> Result<Area> {
    let mut area = Area::new("invite", "cards, and the two files of a join on a stick");
    let code = InviteCode::from_random([0x7a, 1, 2, 3, 4, 5, 6, 7, 8, 10]);
    let code = code.context("another check character")?;
    let hub = hub().public();
    let card = invite::Card {
        code: code.clone(),
        network: network(),
        hub,
        addresses: vec!["hub.example.local:7443".to_owned()],
        site: Some((SITE, "EM1".to_owned())),
        device_code: "EM1A".to_owned(),
        district: "SLJD".to_owned(),
    };
    let text = card.text();
    ensure!(invite::Card::parse(&text.to_lowercase())? == card);
    let input = json!({
        "bits": hex(&[0x7a, 1, 2, 3, 4, 5, 6, 7, 8, 10]), "network": network().to_string(),
        "hub": hex(&hub.0), "addresses": card.addresses, "site": hex(&SITE.0), "site_code": "EM1",
        "device_code": "EM1A", "district": "SLJD", "text": text,
    });
    area.vector("card", &input, text.as_bytes());
    let mut bent = text.clone().into_bytes();
    bent[40] = if bent[40] == b'0' { b'1' } else { b'0' };
    let outcome = invite::Card::parse(&String::from_utf8_lossy(&bent));
    area.refuse("card-damaged", "the check sum does not fit", &bent, outcome)?;

    let request =
        invite::Request::new((network(), hub), &station(), &[0xaa; 32], &code, [0xcc; 32]);
    let bytes = request.encode();
    ensure!(invite::Request::decode(&bytes)? == request);
    let channel = request.binding();
    let input = json!({
        "network": network().to_string(), "hub": hex(&hub.0), "device": hex(&station().public().0),
        "nonce": hex(&[0xcc; 32]), "invite": hex(&code.invite_key().public().0),
        "recipient": hex(&[0xaa; 32]), "in_place_of_the_exporter": hex(&channel),
        "words": words::phrase(&request.channel(&channel).words_digest()),
    });
    area.vector("request", &input, &bytes);
    let mut bent = bytes.clone();
    bent[50] ^= 1;
    let outcome = invite::Request::decode(&bent);
    area.refuse("request-bent", "the signatures do not hold", &bent, outcome)?;
    let outcome = invite::Request::decode(&bytes[..bytes.len() - 1]);
    area.refuse(
        "request-cut",
        "its last byte is missing",
        &bytes[..bytes.len() - 1],
        outcome,
    )?;

    let enrolled = Enrolled {
        network: network(),
        certificate: certificate(),
        device_code: "EM1A".to_owned(),
        proof: [0; 32],
    };
    let grant = request.grant(&code.hub_proof_key(), enrolled, Vec::new());
    let bytes = grant.encode();
    let read = invite::Grant::decode(&bytes)?;
    ensure!(read == grant && read.answers(&request, &code));
    let input = json!({
        "nonce": hex(&[0xcc; 32]), "device_code": "EM1A", "hub_proof": hex(&grant.enrolled.proof),
        "authority": "left out here; a hub sends its whole authority log",
    });
    area.vector("grant", &input, &bytes);
    let outcome = invite::Grant::decode(&bytes[..bytes.len() - 1]);
    area.refuse(
        "grant-cut",
        "its last frame is not whole",
        &bytes[..bytes.len() - 1],
        outcome,
    )?;
    Ok(area)
}

// ---- logs ----

fn genesis() -> Genesis {
    Genesis {
        space: site_space(),
        device: station().public(),
        incarnation: [9; 16],
        previous: None,
        reason: GenesisReason::New,
        authority_head: Tail::begin(&authority_genesis(), HLC, 0).end.head,
    }
}

fn some_part() -> Part {
    let texts = [
        ("body", "测试小区3号楼单元门前路灯不亮。"),
        ("title", "路灯不亮"),
    ];
    let texts = texts.map(|(key, text)| (key.to_owned(), text.to_owned()));
    Part {
        salt: [0x5a; 16],
        texts: BTreeMap::from(texts),
    }
}

/// The first change of a record, of the log that [`genesis`] begins.
fn first_change() -> Result<(Document, document::RawChange)> {
    let mut document = Document::new();
    let reference = part::reference(&some_part().encode());
    let fields = [
        ("category", Scalar::Str("help".to_owned())),
        ("people_count", Scalar::Int(3)),
        ("test_data", Scalar::Bool(true)),
        ("body", Scalar::Part(reference)),
    ];
    let fields = fields.map(|(key, value)| (key.to_owned(), Some(value)));
    let edit = Edit {
        kind: Some("opinion".to_owned()),
        by: "a1".to_owned(),
        fields: BTreeMap::from(fields),
        events: vec![NewEvent {
            event: "register".to_owned(),
            at_ms: 1_795_564_800_000,
            data: BTreeMap::new(),
        }],
    };
    let raw = document.edit(&genesis().log().actor(), &edit)?;
    Ok((document, raw))
}

/// The record that change 2 of that log founds: the genesis and a part stand before it.
fn record() -> RecordId {
    RecordId::founded(1_795_564_800_000, &genesis().log(), 2)
}

fn save_group() -> Result<Vec<NewEntry>> {
    let part = NewEntry {
        kind: EntryKind::Part,
        digest: DigestMode::Salted,
        erasable: true,
        record: record(),
        payload: some_part().encode(),
    };
    let change = NewEntry {
        kind: EntryKind::Change,
        digest: DigestMode::Change,
        erasable: false,
        record: record(),
        payload: first_change()?.1.bytes,
    };
    Ok(vec![part, change])
}

fn station_run() -> Result<VerifiedRun> {
    let mut tail = Tail::begin(&genesis(), HLC, 1);
    tail.push_group(save_group()?, HLC + 1, 2);
    Ok(tail.sign(&station(), (2, authority_ids()?[1]), HLC + 2))
}

fn authority_genesis() -> Genesis {
    Genesis {
        space: Space::Authority.id(&network()),
        device: hub_authority().public(),
        incarnation: [7; 16],
        previous: None,
        reason: GenesisReason::New,
        authority_head: [0; 32],
    }
}

fn authority_run() -> Result<VerifiedRun> {
    let mut tail = Tail::begin(&authority_genesis(), HLC, 0);
    let orders = [Order::Certificate(certificate()), Order::Grant(grant())];
    for (cited, order) in orders.iter().enumerate() {
        let entry = NewEntry::plain(EntryKind::Authority, order.encode());
        tail.push_group(vec![entry], HLC + 1, u32::try_from(cited)?);
    }
    let cited = (3, tail.end.head);
    Ok(tail.sign(&hub_authority(), cited, HLC + 2))
}

fn authority_ids() -> Result<Vec<[u8; 32]>> {
    Ok(authority_run()?.ids().iter().map(|id| id.0).collect())
}

fn header_json(header: &Header, kind: u8) -> Value {
    json!({
        "version": header.version,
        "kind": kind,
        "flags": header.flags.bits(),
        "seq": header.seq,
        "prev": hex(&header.prev),
        "record": hex(&header.record.0),
        "hlc": header.hlc.to_string(),
        "authority_len": header.authority_len,
        "payload_len": header.payload_len,
        "digest": hex(&header.digest),
        "extension": hex(&header.extension),
        "id": hex(&header.id().0),
    })
}

fn header_bytes(header: &Header) -> Result<Vec<u8>> {
    let mut writer = Writer::new();
    header.write(&mut writer);
    let bytes = writer.into_bytes();
    let mut reader = Reader::new(&bytes);
    ensure!(Header::read(&mut reader)? == *header);
    reader.finish()?;
    Ok(bytes)
}

/// What a checkpoint's signature is over, from the words of SPEC.
fn checkpoint_body(space: &SpaceId, log: &LogId, checkpoint: &Checkpoint) -> Vec<u8> {
    let mut writer = Writer::new();
    writer
        .fixed(&space.0)
        .fixed(&log.0)
        .u64(checkpoint.len)
        .fixed(&checkpoint.head)
        .u32(checkpoint.authority_len)
        .fixed(&checkpoint.authority_head)
        .u64(checkpoint.hlc);
    writer.into_bytes()
}

fn fork_proof() -> Result<ForkProof> {
    let begun = Tail::begin(&genesis(), HLC, 1);
    let first = begun.clone().sign(&station(), (1, [0; 32]), HLC);
    let branch = |payload: &[u8]| {
        let mut tail = Tail {
            start: begun.end,
            entries: Vec::new(),
            ..begun.clone()
        };
        let entry = NewEntry::plain(EntryKind::Request, payload.to_vec());
        tail.push_group(vec![entry], HLC + 1, 1);
        let run = tail.sign(&station(), (1, [0; 32]), HLC + 1);
        let headers = run.run().entries.iter().map(|it| it.header.clone());
        Branch {
            headers: headers.collect(),
            checkpoint: run.run().checkpoint.clone(),
        }
    };
    let mut branches = [branch(&[200, 1]), branch(&[200, 2])];
    branches.sort_by_key(|branch| branch.headers.first().map(Header::id));
    Ok(ForkProof {
        author: first.author(),
        log: first.run().log,
        branches,
    })
}

fn log_area() -> Result<Area> {
    let mut area = Area::new(
        "log",
        "entries, digests, genesis, checkpoints and fork proofs",
    );
    let run = station_run()?;
    let run_again = run.run().clone().verify(None, 0)?;
    ensure!(run_again.ids() == run.ids());
    let names = ["header-genesis", "header-part", "header-change"];
    for ((entry, name), kind) in run.run().entries.iter().zip(names).zip([1, 3, 2]) {
        area.vector(
            name,
            &header_json(&entry.header, kind),
            &header_bytes(&entry.header)?,
        );
    }
    let change = run.run().entries.get(2).context("a change")?;
    area.vector(
        "entry-id",
        &json!({ "header": hex(&header_bytes(&change.header)?) }),
        &change.header.id().0,
    );
    let newer = Header {
        version: 2,
        kind: EntryKind::Other(200),
        flags: Flags::from_bits(0b1111_0011),
        extension: vec![1, 2, 3],
        ..change.header.clone()
    };
    area.vector(
        "header-of-a-newer-version",
        &header_json(&newer, 200),
        &header_bytes(&newer)?,
    );

    let payload = b"lianxin".to_vec();
    area.vector(
        "digest-plain",
        &json!({ "payload": hex(&payload) }),
        &digest(DigestMode::Plain, &payload),
    );
    let part = some_part().encode();
    area.vector(
        "digest-salted",
        &json!({ "payload": hex(&part) }),
        &digest(DigestMode::Salted, &part),
    );
    let raw = first_change()?.1;
    ensure!(digest(DigestMode::Change, &raw.bytes) == raw.hash);
    area.vector(
        "digest-change",
        &json!({ "payload": hex(&raw.bytes) }),
        &raw.hash,
    );

    for (name, genesis) in [
        ("genesis", genesis()),
        (
            "genesis-after-a-restore",
            Genesis {
                incarnation: [10; 16],
                previous: Some((genesis().log(), run.end())),
                reason: GenesisReason::Restore,
                ..genesis()
            },
        ),
        (
            "genesis-for-a-newer-reason",
            Genesis {
                reason: GenesisReason::Other(9),
                ..genesis()
            },
        ),
    ] {
        let bytes = genesis.encode();
        ensure!(Genesis::decode(&bytes)? == genesis);
        let previous = genesis.previous.map(|(log, position)| {
            json!({ "log": log.to_string(), "len": position.len, "head": hex(&position.head) })
        });
        let input = json!({
            "space": genesis.space.to_string(),
            "device": hex(&genesis.device.0),
            "incarnation": hex(&genesis.incarnation),
            "previous": previous,
            "reason": genesis.reason.code(),
            "authority_head": hex(&genesis.authority_head),
            "log": genesis.log().to_string(),
        });
        area.vector(name, &input, &bytes);
    }

    let checkpoint = &run.run().checkpoint;
    let log = run.run().log;
    let signed = checkpoint_body(&site_space(), &log, checkpoint);
    let key = station().public();
    ensure!(key.verifies(&hash::CHECKPOINT, &[&signed], &checkpoint.signature));
    let mut writer = Writer::new();
    checkpoint.write(&mut writer);
    let bytes = writer.into_bytes();
    ensure!(Checkpoint::read(&mut Reader::new(&bytes), run.end())? == *checkpoint);
    let input = json!({
        "space": site_space().to_string(),
        "log": log.to_string(),
        "device": hex(&key.0),
        "len": checkpoint.len,
        "head": hex(&checkpoint.head),
        "authority_len": checkpoint.authority_len,
        "authority_head": hex(&checkpoint.authority_head),
        "hlc": checkpoint.hlc.to_string(),
        "signed": hex(&signed),
    });
    area.vector("checkpoint", &input, &bytes);

    let proof = fork_proof()?;
    ensure!(proof.seq() == Some(1));
    let mut writer = Writer::new();
    proof.write(&mut writer);
    let bytes = writer.into_bytes();
    ensure!(ForkProof::read(&mut Reader::new(&bytes))? == proof);
    let input = json!({ "seq": 1, "log": proof.log.to_string() });
    area.vector("fork-proof", &input, &bytes);
    let mut turned = proof;
    turned.branches.reverse();
    let mut writer = Writer::new();
    turned.write(&mut writer);
    area.refuse(
        "fork-proof-turned-round",
        "the branch with the smaller first id stands first",
        &writer.into_bytes(),
        turned.seq().ok_or(()),
    )?;

    let mut short = header_bytes(&change.header)?;
    short[2] = 108;
    let read = Header::read(&mut Reader::new(&short));
    area.refuse(
        "header-too-short",
        "a header has at least 109 bytes",
        &short,
        read,
    )?;
    let mut wide = header_bytes(&change.header)?;
    wide[1..3].copy_from_slice(&366_u16.to_be_bytes());
    wide.extend([0; 257]);
    let read = Header::read(&mut Reader::new(&wide));
    area.refuse(
        "header-too-long",
        "an extension has at most 256 bytes",
        &wide,
        read,
    )?;
    let mut longer = genesis().encode();
    longer.push(0);
    let read = Genesis::decode(&longer);
    area.refuse(
        "genesis-trailing-byte",
        "nothing follows the reason",
        &longer,
        read,
    )?;
    Ok(area)
}

// ---- parts ----

fn part_area() -> Result<Area> {
    let mut area = Area::new("part", "parts and their erasure");
    let part = some_part();
    let bytes = part.encode();
    ensure!(Part::decode(&bytes)? == part);
    let input = json!({
        "salt": hex(&part.salt), "texts": part.texts, "reference": hex(&part::reference(&bytes)),
    });
    area.vector("texts", &input, &bytes);
    let target = |seq| ErasureTarget {
        log: genesis().log(),
        seq,
        id: EntryId([0x1d; 32]),
    };
    let order = EraseOrder {
        reason: 3,
        targets: vec![target(1), target(4)],
    };
    let bytes = order.encode();
    ensure!(EraseOrder::decode(&bytes)? == order);
    let targets: Vec<_> = order
        .targets
        .iter()
        .map(|it| json!({ "log": it.log.to_string(), "seq": it.seq, "id": hex(&it.id.0) }))
        .collect();
    area.vector("erase", &json!({ "reason": 3, "targets": targets }), &bytes);
    let erased = Erased {
        order: EntryId([0x1e; 32]),
    };
    ensure!(Erased::decode(&erased.encode())? == erased);
    area.vector(
        "erased",
        &json!({ "order": hex(&[0x1e; 32]) }),
        &erased.encode(),
    );

    let mut writer = Writer::new();
    writer
        .fixed(&[0x5a; 16])
        .length(2)
        .str("title")
        .str("a")
        .str("body")
        .str("b");
    let disordered = writer.into_bytes();
    let read = Part::decode(&disordered);
    area.refuse(
        "keys-out-of-order",
        "keys ascend by their bytes",
        &disordered,
        read,
    )?;
    let mut longer = part.encode();
    longer.push(0);
    let read = Part::decode(&longer);
    area.refuse(
        "trailing-byte",
        "nothing follows the last text",
        &longer,
        read,
    )?;
    let twice = EraseOrder {
        reason: 3,
        targets: vec![target(1), target(1)],
    };
    let read = EraseOrder::decode(&twice.encode());
    area.refuse(
        "erase-targets-twice",
        "targets strictly ascend",
        &twice.encode(),
        read,
    )?;
    Ok(area)
}

// ---- documents ----

fn document_area() -> Result<Area> {
    let mut area = Area::new(
        "document",
        "changes of a record, and the guard in front of Automerge",
    );
    let actor = genesis().log().actor();
    let (mut document, first) = first_change()?;
    let edit = Edit {
        by: "a2".to_owned(),
        fields: BTreeMap::from([
            (
                "category".to_owned(),
                Some(Scalar::Str("suggestion".to_owned())),
            ),
            ("people_count".to_owned(), None),
        ]),
        ..Edit::default()
    };
    let second = document.edit(&actor, &edit)?;
    let open = |raw: &document::RawChange| {
        GuardedChange::open(&raw.bytes, &raw.hash, &actor, &Limits::default())
    };
    let offer = |place, raw: &document::RawChange| -> Result<Offered> {
        Ok(Offered {
            actor,
            place,
            founds: record().is_founded_at(&genesis().log(), place),
            permitted: true,
            change: Ok(open(raw)?),
        })
    };
    let built = Document::build(vec![offer(4, &second)?, offer(2, &first)?]);
    ensure!(built.fates == [Fate::Counts, Fate::Counts] && !built.defect);
    let view = built.document.view();
    ensure!(view.kind.as_deref() == Some("opinion") && view.by.as_deref() == Some("a2"));
    ensure!(view.fields.len() == 3 && view.events.len() == 1 && view.unreadable.is_empty());
    let reference = hex(&part::reference(&some_part().encode()));
    let input = json!({
        "actor": hex(&actor), "seq": 1, "deps": [], "kind": "opinion", "by": "a1",
        "fields": { "body": { "part": reference }, "category": "help", "people_count": 3, "test_data": true },
        "events": [{ "key": format!("{}-0", document::event_prefix(&actor)), "event": "register", "at": 1_795_564_800_000_i64, "by": "a1" }],
        "hash": hex(&first.hash),
    });
    area.vector("first-change", &input, &first.bytes);
    let input = json!({
        "actor": hex(&actor), "seq": 2, "deps": [hex(&first.hash)], "by": "a2",
        "fields": { "category": "suggestion", "people_count": null }, "hash": hex(&second.hash),
    });
    area.vector("second-change", &input, &second.bytes);

    let checked = |bytes: &[u8]| {
        let hash = digest(DigestMode::Change, bytes);
        GuardedChange::open(bytes, &hash, &actor, &Limits::default()).map(|_| ())
    };
    let resealed = |mut bytes: Vec<u8>| -> Result<Vec<u8>> {
        let hash = digest(DigestMode::Change, &bytes);
        bytes[4..8].copy_from_slice(hash.first_chunk::<4>().context("a hash")?);
        Ok(bytes)
    };
    let mut flipped = first.bytes.clone();
    flipped[4] ^= 1;
    area.refuse(
        "checksum",
        "the checksum does not fit",
        &flipped,
        checked(&flipped),
    )?;
    let mut deflated = first.bytes.clone();
    deflated[8] = 2;
    let deflated = resealed(deflated)?;
    area.refuse(
        "compressed",
        "only chunk type 1 is accepted",
        &deflated,
        checked(&deflated),
    )?;
    let mut spoofed = first.bytes.clone();
    let at = spoofed
        .windows(16)
        .position(|it| it == actor)
        .context("the actor")?;
    spoofed[at] ^= 1;
    let spoofed = resealed(spoofed)?;
    area.refuse(
        "actor-of-another-log",
        "a change has its log's actor",
        &spoofed,
        checked(&spoofed),
    )?;
    Ok(area)
}

// ---- authority ----

fn certificate() -> Certificate {
    Certificate::sign(&root(), 1, hub_authority().public(), None)
}

fn grant() -> Grant {
    Grant {
        serial: 1,
        device: station().public(),
        recipient: [0xaa; 32],
        site: Some(SITE),
        role: Role::Station,
        device_code: "EM1A".to_owned(),
        scopes: Role::Station.scopes(Some(SITE)),
        bytes_per_day: 0,
        places: Vec::new(),
    }
}

fn some_invite() -> Invite {
    Invite {
        key: DeviceKey([0x17; 32]),
        site: Some(SITE),
        role: Role::Laptop,
        device_code: "EM1B".to_owned(),
        expires_ms: 1_795_824_000_000,
    }
}

fn authority_area() -> Result<Area> {
    let mut area = Area::new(
        "authority",
        "orders of the authority log, the certificate among them",
    );
    let device = station().public();
    let position = Position {
        len: 3,
        head: [0x4e; 32],
    };
    let at = json!({ "len": 3, "head": hex(&[0x4e; 32]) });
    let site = hex(&SITE.0);
    let log = genesis().log();
    let certificate = certificate();
    ensure!(certificate.holds(&network()));
    let mut signed = Writer::new();
    signed
        .u32(1)
        .fixed(&root().public().0)
        .fixed(&hub_authority().public().0)
        .u8(0);
    let signed = signed.into_bytes();
    let key = root().public();
    ensure!(key.verifies(&hash::CERTIFICATE, &[&signed], &certificate.signature));
    let next = Signer::from_seed(&[5; 32]);
    let rotated = [network().0, device.0, next.public().0].concat();
    let rotation = Rotation::sign(&network(), &station(), &next);
    ensure!(device.verifies(&hash::ROTATION, &[&rotated], &rotation.by_old));
    ensure!(
        next.public()
            .verifies(&hash::ROTATION, &[&rotated], &rotation.by_new)
    );
    let cut = Cut { log, position };
    let cuts = json!([{ "log": log.to_string(), "at": at }]);
    let newer = Spaces::Other {
        kind: 9,
        argument: [0x77; 16],
    };
    let successor = Certificate::sign(&root(), 7, next.public(), Some((log, position)));
    let orders = [
        (
            "certificate",
            json!({
                "tag": 1, "version": 1, "root": hex(&root().public().0),
                "authority": hex(&hub_authority().public().0), "trusted": null, "signed": hex(&signed),
            }),
            Order::Certificate(certificate),
        ),
        (
            "certificate-of-a-successor",
            json!({
                "tag": 1, "version": 7, "root": hex(&root().public().0), "authority": hex(&next.public().0),
                "trusted": { "log": log.to_string(), "at": at },
            }),
            Order::Certificate(successor),
        ),
        (
            "network",
            json!({ "tag": 2, "name": "示例街", "district": "SLJD" }),
            Order::Network {
                name: "示例街".to_owned(),
                district: "SLJD".to_owned(),
            },
        ),
        (
            "site",
            json!({ "tag": 3, "site": site, "code": "EM1", "name": "测试站", "kind": 0 }),
            Order::Site {
                site: SITE,
                code: "EM1".to_owned(),
                name: "测试站".to_owned(),
                kind: SiteKind::Workstation,
            },
        ),
        (
            "grant",
            json!({
                "tag": 4, "serial": 1, "device": hex(&device.0), "recipient": hex(&[0xaa; 32]), "site": site,
                "role": 0, "device_code": "EM1A", "bytes_per_day": 0,
                "scopes": [
                    { "space": 0, "verbs": 1 }, { "space": 1, "verbs": 1 },
                    { "space": 2, "argument": site, "verbs": 3 },
                ],
                "places": [],
            }),
            Order::Grant(grant()),
        ),
        (
            "grant-of-an-operator",
            json!({
                "tag": 4, "serial": 2, "device": hex(&hub().public().0), "recipient": hex(&[0xab; 32]),
                "site": null, "role": 2, "device_code": "HUBB", "bytes_per_day": 1000,
                "scopes": [
                    { "space": 0, "verbs": 1 }, { "space": 1, "verbs": 3 }, { "space": 3, "verbs": 3 },
                    { "space": 4, "verbs": 3 },
                ],
                "places": [],
            }),
            Order::Grant(Grant {
                serial: 2,
                device: hub().public(),
                recipient: [0xab; 32],
                site: None,
                role: Role::Operator,
                device_code: "HUBB".to_owned(),
                scopes: Role::Operator.scopes(None),
                bytes_per_day: 1000,
                places: Vec::new(),
            }),
        ),
        (
            "grant-from-a-place",
            json!({
                "tag": 4, "serial": 3, "device": hex(&device.0), "recipient": hex(&[0xaa; 32]), "site": site,
                "role": 5, "device_code": "EM1A", "bytes_per_day": 0, "scopes": [], "places": cuts,
            }),
            Order::Grant(Grant {
                serial: 3,
                role: Role::Reader,
                scopes: Vec::new(),
                places: vec![cut],
                ..grant()
            }),
        ),
        (
            "grant-of-a-newer-role",
            json!({
                "tag": 4, "serial": 4, "device": hex(&device.0), "recipient": hex(&[0xaa; 32]), "site": site,
                "role": 6, "device_code": "EM1A", "bytes_per_day": 0,
                "scopes": [
                    { "space": 9, "argument": hex(&[0x77; 16]), "verbs": 3 },
                    { "space": 0, "verbs": 133 },
                ],
                "places": [],
            }),
            Order::Grant(Grant {
                serial: 4,
                role: Role::Other(6),
                scopes: vec![
                    Scope::new(newer, true, true),
                    Scope {
                        newer: 132,
                        ..Scope::new(Spaces::One(Space::Authority), true, false)
                    },
                ],
                ..grant()
            }),
        ),
        (
            "revoke",
            json!({
                "tag": 5, "device": hex(&device.0), "lost": true, "cuts": cuts,
            }),
            Order::Revoke {
                device,
                lost: true,
                cuts: vec![cut],
            },
        ),
        (
            "left",
            json!({ "tag": 6, "device": hex(&device.0) }),
            Order::Left { device },
        ),
        (
            "adopt",
            json!({ "tag": 7, "log": log.to_string(), "from": 2, "to": at }),
            Order::Adopt {
                log,
                from: 2,
                to: position,
            },
        ),
        (
            "resolve",
            json!({ "tag": 8, "log": log.to_string(), "seq": 1 }),
            Order::Resolve { log, seq: 1 },
        ),
        (
            "rotate",
            json!({
                "tag": 9, "old": hex(&device.0), "new_seed": hex(&[5; 32]), "new": hex(&next.public().0),
                "signed": hex(&rotated), "places": cuts,
            }),
            Order::Rotate {
                rotation,
                places: vec![cut],
            },
        ),
        (
            "policy",
            json!({ "tag": 10, "name": "示例", "value": "1" }),
            Order::Policy {
                name: "示例".to_owned(),
                value: "1".to_owned(),
            },
        ),
        (
            "invite",
            json!({
                "tag": 11, "key": hex(&[0x17; 32]), "site": site, "role": 1, "device_code": "EM1B",
                "expires_ms": 1_795_824_000_000_u64,
            }),
            Order::Invite(some_invite()),
        ),
        (
            "invite-used",
            json!({ "tag": 12, "key": hex(&[0x17; 32]), "device": hex(&device.0) }),
            Order::InviteUsed {
                key: DeviceKey([0x17; 32]),
                device,
            },
        ),
        (
            "pin",
            json!({ "tag": 13, "log": log.to_string(), "at": at }),
            Order::Pin { log, position },
        ),
        (
            "epoch",
            json!({ "tag": 14, "epoch": hex(&[0xe0; 16]) }),
            Order::Epoch { epoch: [0xe0; 16] },
        ),
        (
            "invite-closed",
            json!({ "tag": 15, "key": hex(&[0x17; 32]) }),
            Order::InviteClosed {
                key: DeviceKey([0x17; 32]),
            },
        ),
        (
            "addresses",
            json!({ "tag": 16, "addresses": ["hub.example:7443", "[2001:db8::1]:7443"] }),
            Order::Addresses(vec![
                "hub.example:7443".to_owned(),
                "[2001:db8::1]:7443".to_owned(),
            ]),
        ),
    ];
    for (name, input, order) in orders {
        let bytes = order.encode();
        ensure!(Order::decode(&bytes)? == order, "{name}");
        area.vector(name, &input, &bytes);
    }
    ensure!(Order::decode(&[99, 1, 2])? == Order::Unknown(99));
    area.vector(
        "of-a-newer-version",
        &json!({ "tag": 99, "rest": "0102" }),
        &[99, 1, 2],
    );

    let mut longer = Order::Left { device }.encode();
    longer.push(0);
    area.refuse(
        "trailing-byte",
        "nothing follows a known order",
        &longer,
        Order::decode(&longer),
    )?;
    let twice = Order::Revoke {
        device,
        lost: false,
        cuts: vec![cut, cut],
    };
    area.refuse(
        "places-out-of-order",
        "places ascend by log, and none stands twice",
        &twice.encode(),
        Order::decode(&twice.encode()),
    )?;
    let mut scope = Order::Grant(grant()).encode();
    // The argument of the first scope, the authority space.
    let at = 1 + 4 + 32 + 32 + 17 + 1 + (4 + 4) + 4 + 1;
    scope[at] = 1;
    area.refuse(
        "scope-with-an-argument",
        "only a site's scope has an argument that is not zeros",
        &scope,
        Order::decode(&scope),
    )?;
    let mut lost = Order::Revoke {
        device,
        lost: true,
        cuts: Vec::new(),
    }
    .encode();
    lost[33] = 2;
    area.refuse(
        "flag-of-two",
        "a flag is 0 or 1",
        &lost,
        Order::decode(&lost),
    )?;
    Ok(area)
}

// ---- requests ----

fn request_area() -> Result<Area> {
    let mut area = Area::new(
        "request",
        "what operators' PCs ask of the hub, and its answers",
    );
    let act = Act {
        record: record(),
        space: site_space(),
        event: "accept".to_owned(),
        seen: vec![[1; 32], [2; 32]],
        facts: BTreeMap::from([
            ("case_kind".to_owned(), Datum::Str("letter".to_owned())),
            ("people".to_owned(), Datum::Int(-3)),
            ("urgent".to_owned(), Datum::Bool(true)),
        ]),
    };
    let ask = |ask| Request::Ask {
        account: "a1".to_owned(),
        ask,
    };
    let (device, log) = (station().public(), genesis().log());
    let position = Position {
        len: 3,
        head: [0x4e; 32],
    };
    let at = json!({ "len": 3, "head": hex(&position.head) });
    let cuts = json!([{ "log": log.to_string(), "at": at }]);
    let target = ErasureTarget {
        log,
        seq: 1,
        id: EntryId([0x4e; 32]),
    };
    let next = Signer::from_seed(&[5; 32]);
    let rotation = Rotation::sign(&network(), &station(), &next);
    let requests = [
        (
            "act",
            json!({
                "tag": 1, "account": "a1", "record": hex(&record().0), "space": site_space().to_string(),
                "event": "accept", "seen": [hex(&[1; 32]), hex(&[2; 32])],
                "facts": { "case_kind": "letter", "people": -3, "urgent": true },
            }),
            ask(Ask::Act(act.clone())),
        ),
        (
            "site",
            json!({ "tag": 2, "account": "a1", "site": hex(&SITE.0), "code": "EM1", "name": "测试站", "kind": 1 }),
            ask(Ask::Site {
                site: SITE,
                info: SiteInfo {
                    code: "EM1".to_owned(),
                    name: "测试站".to_owned(),
                    kind: SiteKind::CollectionPoint,
                },
            }),
        ),
        (
            "invite",
            json!({
                "tag": 3, "account": "a1", "key": hex(&[0x17; 32]), "site": hex(&SITE.0), "role": 1,
                "device_code": "EM1B", "expires_ms": 1_795_824_000_000_u64, "proof_key": hex(&[0x9f; 32]),
            }),
            ask(Ask::Invite {
                invite: some_invite(),
                proof_key: [0x9f; 32],
            }),
        ),
        (
            "revoke",
            json!({ "tag": 5, "account": "a1", "device": hex(&device.0), "lost": true, "cuts": cuts }),
            ask(Ask::Revoke {
                device,
                lost: true,
                cuts: vec![Cut { log, position }],
            }),
        ),
        (
            "adopt",
            json!({ "tag": 6, "account": "a1", "log": log.to_string(), "from": 2, "to": at }),
            ask(Ask::Adopt {
                log,
                from: 2,
                to: position,
            }),
        ),
        (
            "erase",
            json!({
                "tag": 7, "account": "a1", "record": hex(&record().0), "reason": 2,
                "targets": [{ "log": log.to_string(), "seq": 1, "id": hex(&[0x4e; 32]) }],
            }),
            ask(Ask::Erase {
                record: record(),
                order: EraseOrder {
                    reason: 2,
                    targets: vec![target],
                },
            }),
        ),
        (
            "approve",
            json!({ "tag": 8, "account": "a1", "request": hex(&[0x1d; 32]) }),
            ask(Ask::Approve {
                request: EntryId([0x1d; 32]),
            }),
        ),
        (
            "rotate",
            json!({
                "tag": 9, "account": "a1", "old": hex(&device.0), "new": hex(&next.public().0),
                "by_old": hex(&rotation.by_old), "by_new": hex(&rotation.by_new),
            }),
            ask(Ask::Rotate(rotation)),
        ),
        (
            "policy",
            json!({ "tag": 10, "account": "a1", "name": "示例", "value": "1" }),
            ask(Ask::Policy {
                name: "示例".to_owned(),
                value: "1".to_owned(),
            }),
        ),
        (
            "answer-done",
            json!({ "tag": 4, "to": hex(&[0x1d; 32]), "refusal": 0 }),
            Request::Answer {
                to: EntryId([0x1d; 32]),
                outcome: Outcome::Done,
            },
        ),
        (
            "answer-refused",
            json!({ "tag": 4, "to": hex(&[0x1d; 32]), "refusal": 6 }),
            Request::Answer {
                to: EntryId([0x1d; 32]),
                outcome: Outcome::Refused(Refusal::CodeTaken),
            },
        ),
    ];
    for (name, input, request) in requests {
        let bytes = request.encode();
        ensure!(Request::decode(&bytes)? == request, "{name}");
        area.vector(name, &input, &bytes);
    }
    let disordered = ask(Ask::Act(Act {
        seen: vec![[2; 32], [1; 32]],
        ..act
    }))
    .encode();
    let read = Request::decode(&disordered);
    area.refuse(
        "seen-out-of-order",
        "changes strictly ascend",
        &disordered,
        read,
    )?;
    Ok(area)
}

// ---- receipts and frames ----

fn receipt(exceptions: Vec<Exception>) -> Result<Receipt> {
    let run = station_run()?;
    let receipt = Receipt {
        space: site_space(),
        log: run.run().log,
        epoch: [0xe0; 16],
        stored: run.end(),
        judged_len: 3,
        exceptions,
        received_at_ms: 1_795_564_801_000,
        signature: [0; 64],
    };
    Ok(receipt.signed(&hub_authority()))
}

fn receipt_area() -> Result<Area> {
    let mut area = Area::new("receipt", "the hub's signed receipts");
    let held = |range, reason| Exception { range, reason };
    let held = vec![held(0..1, Reason::Revoked), held(2..3, Reason::Other(200))];
    for (name, exceptions) in [("plain", Vec::new()), ("with-exceptions", held.clone())] {
        let receipt = receipt(exceptions)?;
        let bytes = receipt.encode();
        ensure!(Receipt::decode(&bytes)? == receipt);
        let signed = bytes.get(..bytes.len() - 64).context("a signature")?;
        let key = hub_authority().public();
        ensure!(key.verifies(&hash::RECEIPT, &[signed], &receipt.signature));
        let exceptions = receipt.exceptions.iter().map(
            |it| json!({ "from": it.range.start, "to": it.range.end, "reason": it.reason.code() }),
        );
        let input = json!({
            "space": receipt.space.to_string(),
            "log": receipt.log.to_string(),
            "epoch": hex(&receipt.epoch),
            "stored_len": receipt.stored.len,
            "stored_head": hex(&receipt.stored.head),
            "judged_len": receipt.judged_len,
            "exceptions": exceptions.collect::<Vec<_>>(),
            "received_at_ms": receipt.received_at_ms,
            "authority": hex(&key.0),
            "signed_hash": hex(&hash::RECEIPT.hash(&[signed])),
        });
        area.vector(name, &input, &bytes);
    }
    let log = station_run()?.run().log;
    let arrival = |log, len, head| Arrival {
        log,
        position: Position { len, head },
        received_at_ms: 1_795_564_801_000,
    };
    let list = [
        arrival(log, 3, [0xaa; 32]),
        arrival(LogId([0xff; 32]), 1, [0xbb; 32]),
    ];
    let bytes = arrival::encode(&list);
    ensure!(arrival::decode(&bytes)? == list);
    let input = list.iter().map(|it| {
        json!({
            "log": it.log.to_string(), "len": it.position.len, "head": hex(&it.position.head),
            "received_at_ms": it.received_at_ms,
        })
    });
    area.vector("arrivals", &json!(input.collect::<Vec<_>>()), &bytes);
    let turned = arrival::encode(&[list[1], list[0]]);
    let why = "logs ascend";
    area.refuse(
        "arrivals-out-of-order",
        why,
        &turned,
        arrival::decode(&turned),
    )?;
    let nothing = arrival::encode(&[]);
    let why = "an arrival names a log";
    area.refuse(
        "arrival-of-nothing",
        why,
        &nothing,
        arrival::decode(&nothing),
    )?;
    let mut judged = receipt(Vec::new())?;
    judged.judged_len = 4;
    let bytes = judged.signed(&hub_authority()).encode();
    area.refuse(
        "judged-beyond-stored",
        "judged <= stored",
        &bytes,
        Receipt::decode(&bytes),
    )?;
    let mut turned = held;
    turned.reverse();
    let bytes = receipt(turned)?.encode();
    area.refuse(
        "ranges-out-of-order",
        "ranges ascend",
        &bytes,
        Receipt::decode(&bytes),
    )?;
    let none = receipt(vec![Exception {
        range: 0..1,
        reason: Reason::Other(0),
    }])?;
    let bytes = none.encode();
    area.refuse(
        "reason-zero",
        "reasons begin with 1",
        &bytes,
        Receipt::decode(&bytes),
    )?;
    Ok(area)
}

fn message_area() -> Result<Area> {
    let mut area = Area::new("message", "frames of a session, and the digest of a space");
    let run = station_run()?;
    let (log, end) = (run.run().log, run.end());
    let tip = |len, head, frozen| Tip { len, head, frozen };
    let other = LogId([0xf0; 32]);
    let tips = BTreeMap::from([
        (log, tip(end.len, end.head, false)),
        (other, tip(0, other.0, true)),
        (LogId([0xf1; 32]), tip(0, [0xf1; 32], false)),
    ]);
    let digest = space_digest(&tips);
    let rows: Vec<_> = tips
        .iter()
        .map(|(log, tip)| {
            json!({ "log": log.to_string(), "len": tip.len, "head": hex(&tip.head), "frozen": tip.frozen })
        })
        .collect();
    area.vector(
        "space-digest",
        &json!({ "logs": rows, "note": "a log of no entries that is not frozen does not count" }),
        &digest,
    );

    let prefix = space_prefix(&site_space());
    let offer = Offer {
        space: prefix,
        digest,
        lacks_receipts: true,
    };
    let offer_json =
        json!({ "space": hex(&prefix), "digest": hex(&digest), "lacks_receipts": true });
    let row = |log, len, frozen, first, missing| Row {
        log,
        len,
        head: [0x6e; 16],
        frozen,
        first,
        missing,
    };
    let row_json = |row: &Row| {
        json!({
            "log": row.log.to_string(), "len": row.len, "head": hex(&row.head), "frozen": row.frozen,
            "first": row.first, "missing": row.missing,
        })
    };
    let (plain, full) = (
        row(LogId([1; 32]), 3, false, 0, 0),
        row(LogId([2; 32]), 9, true, 4, 2),
    );
    let enrol = Enrol {
        invite: DeviceKey([0x17; 32]),
        recipient: [0xaa; 32],
        proof: [0x99; 64],
    };
    let frames = [
        (
            "hello",
            json!({ "type": 1, "min": 1, "max": 1, "features": 0, "epoch": hex(&[0xe1; 16]), "spaces": [offer_json], "complete": false }),
            Message::Hello(Hello {
                min: 1,
                max: 1,
                features: 0,
                epoch: [0xe1; 16],
                offers: Offers {
                    spaces: vec![offer.clone()],
                    complete: false,
                },
            }),
        ),
        (
            "offers",
            json!({ "type": 2, "spaces": [offer_json], "complete": true }),
            Message::Offers(Offers {
                spaces: vec![offer.clone()],
                complete: true,
            }),
        ),
        (
            "vector",
            json!({ "type": 3, "space": hex(&prefix), "complete": true, "rows": [row_json(&plain), row_json(&full)] }),
            Message::Vector(Vector {
                space: prefix,
                complete: true,
                rows: vec![plain, full],
            }),
        ),
        (
            "vector-that-goes-on",
            json!({ "type": 3, "space": hex(&prefix), "complete": false, "rows": [row_json(&plain)] }),
            Message::Vector(Vector {
                space: prefix,
                complete: false,
                rows: vec![plain],
            }),
        ),
        (
            "want",
            json!({ "type": 4, "log": hex(&log.prefix()), "from": 64 }),
            Message::Want {
                log: log.prefix(),
                from: 64,
            },
        ),
        (
            "batch",
            json!({
                "type": 5, "log": hex(&log.prefix()), "start_len": 0, "start_head": log.to_string(), "count": 3,
                "main": "aabb", "parts": "cc", "note": "main and parts are not fixed",
            }),
            Message::Batch(WireBatch {
                log: log.prefix(),
                start: Position::start(&log),
                packed: Packed {
                    count: 3,
                    main: vec![0xaa, 0xbb],
                    parts: vec![0xcc],
                },
            }),
        ),
        (
            "receipt",
            json!({ "type": 6, "receipt": "receipt/plain" }),
            Message::Receipt(receipt(Vec::new())?),
        ),
        (
            "fork",
            json!({ "type": 7, "proof": "log/fork-proof" }),
            Message::Fork(Box::new(fork_proof()?)),
        ),
        ("ping", json!({ "type": 8, "token": 5 }), Message::Ping(5)),
        ("pong", json!({ "type": 9, "token": 5 }), Message::Pong(5)),
        (
            "error",
            json!({ "type": 10, "code": 12, "scope": 2, "retry_after_s": 60 }),
            Message::Error {
                code: ErrorCode::Busy,
                scope: ErrorScope::Log,
                retry_after_s: 60,
            },
        ),
        ("bye", json!({ "type": 11, "code": 0 }), Message::Bye(0)),
        (
            "enrol",
            json!({ "type": 12, "invite": hex(&[0x17; 32]), "recipient": hex(&[0xaa; 32]), "proof": hex(&[0x99; 64]) }),
            Message::Enrol(enrol),
        ),
        (
            "enrolled",
            json!({
                "type": 13, "network": network().to_string(), "certificate": "authority/certificate, without its tag",
                "device_code": "EM1A", "proof": hex(&[0x98; 32]),
            }),
            Message::Enrolled(Enrolled {
                network: network(),
                certificate: certificate(),
                device_code: "EM1A".to_owned(),
                proof: [0x98; 32],
            }),
        ),
    ];
    let read = |bytes: &[u8]| {
        let mut reader = FrameReader::default();
        reader.push(bytes);
        reader.next_frame()
    };
    for (name, input, message) in frames {
        let bytes = message.encode();
        ensure!(read(&bytes)?.as_ref() == Some(&message), "{name}");
        area.vector(name, &input, &bytes);
    }
    // A newer version adds fields behind the known ones, and types.
    let with_tail = [
        &[0, 8, 0, 0, 0, 13][..],
        &5_u64.to_be_bytes(),
        &[0, 3, 1, 2, 3],
    ]
    .concat();
    ensure!(read(&with_tail)? == Some(Message::Ping(5)));
    area.vector(
        "ping-with-a-tail",
        &json!({ "type": 8, "token": 5, "tail": "010203" }),
        &with_tail,
    );
    let newer = [0x7f, 0xff, 0, 0, 0, 2, 9, 9];
    ensure!(read(&newer)? == Some(Message::Unknown(0x7fff)));
    area.vector(
        "of-a-newer-version",
        &json!({ "type": 0x7fff, "body": "0909" }),
        &newer,
    );

    let mut long = vec![0, 8];
    long.extend(u32::try_from(limits::FRAME_MAX)?.to_be_bytes());
    area.refuse(
        "frame-too-long",
        "a frame has at most 1 MiB",
        &long,
        read(&long),
    )?;
    let rows = vec![full, plain];
    let disordered = Message::Vector(Vector {
        space: prefix,
        complete: true,
        rows,
    })
    .encode();
    let outcome = read(&disordered);
    area.refuse(
        "vector-out-of-order",
        "rows ascend by log",
        &disordered,
        outcome,
    )?;
    let many = Message::Offers(Offers {
        spaces: vec![offer; limits::OFFERS_MAX + 1],
        complete: true,
    })
    .encode();
    area.refuse(
        "offers-too-many",
        "a frame has at most 64 offers",
        &many,
        read(&many),
    )?;
    let mut odd = Message::Ping(5).encode();
    odd.truncate(odd.len() - 2);
    odd[5] = 8;
    area.refuse(
        "tail-missing",
        "every body ends with a tail",
        &odd,
        read(&odd),
    )?;
    Ok(area)
}

// ---- numbers, words ----

fn number_area() -> Result<Area> {
    let mut area = Area::new("number", "numbers that residents hold, as text in ASCII");
    for (name, kind, district, device, year, counter) in [
        ("first", "YJ", "SLJD", "EM1A", 2026, 1),
        ("of-the-hub", "JY", "SLJD", "HUBA", 2026, 15),
        ("six-digits", "YJ", "SLJD", "EM1A", 2026, 100_000),
        ("last", "YJ", "SLJD", "EM1Z", 9999, u32::MAX),
        (
            "of-a-device-with-two-letters",
            "YJ",
            "SLJD",
            "EM1AB",
            2026,
            7,
        ),
    ] {
        let number = Number::new(
            kind.parse()?,
            district.parse()?,
            device.parse()?,
            year,
            counter,
        )?;
        let text = number.to_string();
        ensure!(Number::parse(&text.to_lowercase().replace('-', " "))? == number);
        let input = json!({
            "kind": kind, "district": district, "device": device, "year": year, "counter": counter, "text": text,
        });
        area.vector(name, &input, text.as_bytes());
    }
    for (name, why, text) in [
        (
            "check-digits",
            "a wrong digit",
            "YJ-SLJD-EM1A-2026-00002-97",
        ),
        (
            "swapped",
            "two neighbours changed places",
            "YJ-SLJD-EM1A-2062-00001-97",
        ),
        (
            "letter-o",
            "no I and no O in kind and device letter",
            "YO-SLJD-EM1A-2026-00001-97",
        ),
        (
            "padded",
            "no zeros in front beyond five digits",
            "YJ-SLJD-EM1A-2026-000001-97",
        ),
    ] {
        area.refuse(name, why, text.as_bytes(), Number::parse(text))?;
    }
    Ok(area)
}

fn words_area() -> Result<Area> {
    let mut area = Area::new("words", "four words for people to compare");
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&[0, 255, 80, 7]);
    let phrase = words::phrase(&digest);
    ensure!(phrase == ["山茶", "站台", "渡口", "枫叶"], "{phrase:?}");
    area.vector(
        "phrase",
        &json!({ "digest": hex(&digest), "words": phrase }),
        phrase.concat().as_bytes(),
    );
    let all = words::WORDS.concat();
    area.vector(
        "list",
        &json!({ "words": words::WORDS.as_slice() }),
        all.as_bytes(),
    );
    Ok(area)
}

// ---- archives ----

fn archive_bytes(fork: Option<ForkProof>) -> Result<Vec<u8>> {
    let (mut writer, mut bytes) = archive::Writer::begin();
    let head = archive::Head {
        network: network(),
        certificate: certificate(),
        device: hub().public(),
        epoch: [0xe0; 16],
        taken_ms: 1_795_564_802_000,
    };
    let mut put = |item: &Item| bytes.extend(writer.item(item));
    put(&Item::Head(Box::new(head)));
    for (space, run, receipt) in [
        (Space::Authority, authority_run()?, None),
        (
            Space::Site(SITE),
            station_run()?,
            Some(receipt(Vec::new())?),
        ),
    ] {
        put(&Item::Space(space));
        let genesis = run
            .run()
            .entries
            .first()
            .and_then(|it| it.payload.as_deref());
        let genesis = Genesis::decode(genesis.context("a genesis")?)?;
        put(&Item::Log {
            device: genesis.device,
            incarnation: genesis.incarnation,
        });
        if let Some(receipt) = receipt {
            put(&Item::Receipt(receipt));
        }
        let mut tip = Tip {
            len: run.end().len,
            head: run.end().head,
            frozen: false,
        };
        if let Some(proof) = fork.clone().filter(|proof| proof.log == run.run().log) {
            let [branch, _] = &proof.branches;
            let first = branch.headers.first().context("a header")?;
            tip = Tip {
                len: first.seq,
                head: first.prev,
                frozen: true,
            };
            let end = Position {
                len: tip.len,
                head: tip.head,
            };
            put(&Item::Fork(Box::new(proof), end));
        }
        for entry in &run.run().entries {
            put(&Item::Entry(entry.clone()));
        }
        put(&Item::Checkpoint(run.run().checkpoint.clone()));
        let tips = BTreeMap::from([(run.run().log, tip)]);
        put(&Item::Digest(space_digest(&tips)));
    }
    bytes.extend(writer.end());
    Ok(bytes)
}

fn archive_area() -> Result<Area> {
    let mut area = Area::new("archive", "whole archives");
    let audit = |bytes: &[u8]| -> Result<(u64, u64, u64, u64)> {
        let mut audit = Audit::new(Some(network()));
        audit.push(bytes)?;
        let report = audit.finish()?;
        ensure!(report.bad.is_empty(), "{:?}", report.bad);
        Ok((
            report.entries,
            report.checkpoints,
            report.receipts,
            report.forks,
        ))
    };
    let forked = archive_bytes(Some(fork_proof()?))?;
    ensure!(audit(&forked)? == (6, 2, 1, 1));
    let input = json!({ "network": network().to_string(), "forked_at": 1, "entries": 6, "forks": 1, "bad": [] });
    area.vector("a-frozen-log", &input, &forked);
    let bytes = archive_bytes(None)?;
    ensure!(audit(&bytes)? == (6, 2, 1, 0));
    let input = json!({
        "network": network().to_string(),
        "logs": ["an authority log of genesis, certificate and grant", "a station's log of genesis, part and change"],
        "entries": 6, "checkpoints": 2, "receipts": 1, "bad": [],
    });
    area.vector("two-logs", &input, &bytes);
    let (writer, mut empty) = archive::Writer::begin();
    empty.extend(writer.end());
    area.refuse(
        "empty",
        "an archive begins with its head",
        &empty,
        audit(&empty),
    )?;
    let cut = bytes.get(..bytes.len() - 1).context("bytes")?;
    area.refuse("truncated", "the end mark is missing", cut, audit(cut))?;
    let mut flipped = bytes.clone();
    let last = flipped.last_mut().context("bytes")?;
    *last ^= 1;
    area.refuse(
        "end-hash",
        "the end mark does not fit",
        &flipped,
        audit(&flipped),
    )?;
    Ok(area)
}

// ---- the tests ----

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

#[test]
fn every_format_still_has_the_bytes_of_its_golden_vectors() -> Result<()> {
    let write = std::env::var_os("LIANXIN_VECTORS").is_some_and(|it| it == "write");
    let mut files = BTreeSet::new();
    for area in areas()? {
        let path = folder().join(format!("{}.json", area.name));
        files.insert(format!("{}.json", area.name));
        let text = area.text();
        if write {
            std::fs::write(&path, text)?;
            continue;
        }
        let kept = std::fs::read_to_string(&path)?;
        for (now, then) in text.lines().zip(kept.lines()) {
            ensure!(now == then, "{} has changed:\n{then}\n{now}", area.name);
        }
        ensure!(text == kept, "{} has grown or shrunk", area.name);
    }
    for entry in std::fs::read_dir(folder())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ensure!(files.contains(&name), "{name} belongs to no area");
    }
    if write {
        bail!("the vectors were written, nothing was compared: run again without LIANXIN_VECTORS");
    }
    Ok(())
}

#[test]
fn the_specification_names_every_vector_and_no_other() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/SPEC.md");
    let spec = std::fs::read_to_string(path)?;
    let named: BTreeSet<String> = spec
        .split("`vector:")
        .skip(1)
        .filter_map(|rest| rest.split('`').next())
        .map(str::to_owned)
        .collect();
    let mut kept = BTreeSet::new();
    for entry in std::fs::read_dir(folder())? {
        let file: Value = serde_json::from_str(&std::fs::read_to_string(entry?.path())?)?;
        let area = file["area"].as_str().context("an area")?;
        for list in ["vectors", "refused"] {
            for vector in file[list].as_array().context("a list")? {
                let name = vector["name"].as_str().context("a name")?;
                ensure!(kept.insert(format!("{area}/{name}")), "{area}/{name} twice");
            }
        }
    }
    let unnamed: Vec<_> = kept.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&kept).collect();
    ensure!(unnamed.is_empty(), "SPEC does not name {unnamed:?}");
    ensure!(
        unknown.is_empty(),
        "SPEC names what is not there: {unknown:?}"
    );
    Ok(())
}

/// A number as SPEC writes it.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn the_specification_states_the_limits_of_the_program() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/SPEC.md");
    let spec = std::fs::read_to_string(path)?;
    let rows: [(&str, &[usize]); 17] = [
        ("BATCH_ENTRIES", &[limits::BATCH_ENTRIES]),
        (
            "CHANGE_MAX, PART_MAX, PAYLOAD_MAX",
            &[limits::CHANGE_MAX, limits::PART_MAX, limits::PAYLOAD_MAX],
        ),
        (
            "RECORD_CHANGES_MAX, RECORD_OPS_MAX, RECORD_BYTES_MAX, RECORD_EVENTS_MAX",
            &[
                limits::RECORD_CHANGES_MAX,
                usize::try_from(limits::RECORD_OPS_MAX)?,
                limits::RECORD_BYTES_MAX,
                limits::RECORD_EVENTS_MAX,
            ],
        ),
        (
            "DEFAULT_CHANGE_BYTES, MAX_DEPS, MAX_OPS, MAX_KEY_BYTES",
            &[
                document::DEFAULT_CHANGE_BYTES,
                document::MAX_DEPS,
                document::MAX_OPS,
                document::MAX_KEY_BYTES,
            ],
        ),
        ("HEADER_EXTENSION_MAX", &[limits::HEADER_EXTENSION_MAX]),
        ("PART_FIELDS_MAX", &[limits::PART_FIELDS_MAX]),
        ("NAME_MAX", &[limits::NAME_MAX]),
        (
            "SCOPES_MAX, CUTS_MAX, ADDRESSES_MAX",
            &[limits::SCOPES_MAX, limits::CUTS_MAX, limits::ADDRESSES_MAX],
        ),
        ("erase targets", &[limits::PAYLOAD_MAX / 72]),
        (
            "REQUEST_SEEN_MAX, REQUEST_FACTS_MAX, REQUEST_TEXT_MAX",
            &[
                limits::REQUEST_SEEN_MAX,
                limits::REQUEST_FACTS_MAX,
                limits::REQUEST_TEXT_MAX,
            ],
        ),
        (
            "EXCEPTIONS_MAX, ARRIVALS_MAX",
            &[limits::EXCEPTIONS_MAX, limits::ARRIVALS_MAX],
        ),
        ("FORK_HEADERS_MAX", &[limits::FORK_HEADERS_MAX]),
        (
            "FRAME_MAX, BATCH_COMPRESSED_MAX, BATCH_DECOMPRESSED_MAX",
            &[
                limits::FRAME_MAX,
                limits::BATCH_COMPRESSED_MAX,
                limits::BATCH_DECOMPRESSED_MAX,
            ],
        ),
        (
            "OFFERS_MAX, ROWS_MAX",
            &[limits::OFFERS_MAX, limits::ROWS_MAX],
        ),
        (
            "BATCH_RATIO_MAX, WANTS_MAX",
            &[limits::BATCH_RATIO_MAX, usize::from(limits::WANTS_MAX)],
        ),
        (
            "SPACES_MAX, LOGS_MAX",
            &[limits::SPACES_MAX, limits::LOGS_MAX],
        ),
        (
            "ARCHIVE_ITEM_MAX, ARCHIVE_CITED_MAX",
            &[limits::ARCHIVE_ITEM_MAX, limits::ARCHIVE_CITED_MAX],
        ),
    ];
    for (names, values) in rows {
        let values: Vec<_> = values.iter().map(|value| grouped(*value)).collect();
        let row = format!("| {names} | {} |", values.join(" · "));
        ensure!(spec.contains(&row), "SPEC lacks {row}");
    }
    Ok(())
}
