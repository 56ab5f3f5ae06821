//! What a fuzzer feeds, as plain functions: foreign bytes go in, and whatever they are, the decoders, the
//! session and the guard in front of Automerge end with an answer and keep their promises.
//!
//! Each function is one target of `tests/fuzz`, and a test replays its corpus through the very same function.
//! A broken promise is a failed assertion. Nothing here reads a clock, and memory is bounded by the fuzzer
//! (`-malloc_limit_mb`), because a limit that the process sets for itself could not see what Automerge does.
//! The file knows the protocol only: the fuzzer builds it without the node, whose C would cost minutes.
//!
//! Rejected: bytes as they come for everything. A checksum, a signature and a zstd frame would stop the
//! fuzzer at the door; here they are made true around what it invents, and raw bytes are one mode of several.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::{
    Authority, Certificate, Cut, Grant, Invite, Order, Reason, Role, Rotation, SiteInfo, SiteKind,
    Verb,
};
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::codec::{DecodeError, Reader, Writer};
use lianxin_protocol::document::{
    Document, Edit, Fate, GuardedChange, Limits, NewEvent, Offered, Scalar, digest_of_change,
};
use lianxin_protocol::identity::{DeviceKey, Signer};
use lianxin_protocol::limits;
use lianxin_protocol::log::{
    Author, Branch, Checkpoint, DigestMode, EntryId, EntryKind, ForkProof, Genesis, GenesisReason,
    Header, LogId, NewEntry, Position, RecordId, Run, Tail, VerifiedRun, digest,
};
use lianxin_protocol::message::{
    ErrorCode, ErrorScope, FrameReader, Hello, Message, Offer, Offers, Row, Tip, Vector, WireBatch,
    space_digest, space_prefix,
};
use lianxin_protocol::part::{EraseOrder, Erased, ErasureTarget, Part};
use lianxin_protocol::receipt::{Exception, Receipt};
use lianxin_protocol::request::{Act, Ask, Datum, Outcome, Refusal, Request};
use lianxin_protocol::session::{Event, Session, Share, Taken};
use lianxin_protocol::space::{NetworkId, SiteId, Space, SpaceId};
use lianxin_protocol::verdict::{self, LogFacts};

/// A target: its name, its function, and the real bytes that its corpus began with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All targets.
pub const TARGETS: [Target; 4] = [
    ("frame", frame, frame_seeds),
    ("entry", entry, entry_seeds),
    ("change", change, change_seeds),
    ("record", record, record_seeds),
];

// ---- frame ----

/// A stream as a peer may send it: cut into frames, decoded, and given to a session whose owner answers.
/// The first byte says into how large pieces the stream falls.
pub fn frame(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else {
        return;
    };
    canonical_frames(stream);
    let store = Store::new();
    let mut session = Session::new([1; 16], 0);
    for (id, share) in store.shares() {
        session.share(id, share);
    }
    session.start();
    let mut sent = store.serve(&mut session, 0);
    let mut events = 0;
    let size = usize::from(*piece) * 16 + 1;
    for (now, bytes) in stream.chunks(size).enumerate() {
        let now = now as u64;
        session.handle_bytes(bytes, now);
        sent += store.serve(&mut session, now);
        events += 1;
        if session.is_closed() {
            break;
        }
    }
    session.handle_timeout(events);
    sent += store.serve(&mut session, events);
    // What a stranger's byte can make this side say: a row for a row, a vector for an offer.
    let bound = 64 * 1024 + 256 * stream.len() as u64;
    assert!(sent <= bound, "{sent} bytes in answer to {}", stream.len());
    assert!(session.is_closed() || session.poll_timeout().is_some());
}

/// Every frame that can be read is written as it was, but for a tail of a newer version.
fn canonical_frames(stream: &[u8]) {
    let mut reader = FrameReader::default();
    reader.push(stream);
    let mut rest = stream;
    while let Ok(Some(message)) = reader.next_frame() {
        let mut head = Reader::new(rest);
        let (code, len) = (head.u16().unwrap_or(0), head.u32().unwrap_or(0));
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        assert!(len + limits::FRAME_HEAD <= limits::FRAME_MAX, "{len}");
        let body = head.take(len).unwrap_or_default();
        rest = rest.get(limits::FRAME_HEAD + len..).unwrap_or_default();
        if matches!(message, Message::Unknown(_)) {
            continue;
        }
        let again = message.encode();
        let mine = again.get(limits::FRAME_HEAD..).unwrap_or_default();
        let known = mine.len().saturating_sub(2);
        assert_eq!(body.get(..known), mine.get(..known), "frame {code}");
        assert!(body.len() > mine.len() || body == mine, "frame {code}");
    }
}

/// What the session's owner has: the authority log and one log of a site.
struct Store {
    authority: (SpaceId, VerifiedRun),
    site: (SpaceId, VerifiedRun),
}

impl Store {
    fn new() -> Self {
        let authority = Space::Authority.id(&network());
        let site = site();
        Self {
            authority: (authority, run(authority, 1, &[order_entry()])),
            site: (site, run(site, 2, &[part_entry(), change_entry()])),
        }
    }

    fn shares(&self) -> Vec<(SpaceId, Share)> {
        let spaces = [Space::Authority, Space::Site(SiteId([7; 16]))];
        let held = [&self.authority, &self.site];
        let share = |((id, run), space): (&(SpaceId, VerifiedRun), Space)| {
            let logs = BTreeMap::from([(run.run().log, tip(run))]);
            let lacks_receipts = false;
            let share = Share {
                space,
                logs,
                lacks_receipts,
            };
            (*id, share)
        };
        held.into_iter().zip(spaces).map(share).collect()
    }

    /// Answers events until there are none and takes what is to be sent; gives its length.
    fn serve(&self, session: &mut Session, now: u64) -> u64 {
        let mut sent = 0;
        let mut quiet = false;
        while !quiet {
            quiet = true;
            while let Some(event) = session.poll_event() {
                quiet = false;
                self.attend(session, event);
            }
            while let Some(bytes) = session.poll_transmit(now) {
                quiet = false;
                sent += bytes.len() as u64;
                canonical_frames(&bytes);
            }
        }
        sent
    }

    fn attend(&self, session: &mut Session, event: Event) {
        match event {
            Event::Received { log, batch, .. } => {
                let opened = batch::open(&log, batch.start, &batch.packed, None);
                if let Ok(run) = opened {
                    session.tip_moved(&run.author().space, log, tip(&run));
                    session.committed(Taken::New);
                } else {
                    session.batch_refused(ErrorCode::BadFrame);
                }
            }
            Event::Load(load) => {
                let mut held = [&self.authority, &self.site].into_iter();
                let held = held.find(|(_, run)| run.run().log == load.log && load.from == 0);
                session.loaded(&load, held.map(|(_, run)| wire(run)));
            }
            Event::Receipt(receipt) => {
                assert!(!receipt.covers(receipt.stored.len));
                session.statement_judged(Taken::Nothing);
            }
            Event::Fork(proof) => {
                assert!(proof.seq().is_none_or(|seq| seq < u64::MAX));
                session.statement_judged(Taken::Nothing);
            }
            Event::ReceiptsWanted(_)
            | Event::PeerAhead { .. }
            | Event::ForkWanted(_)
            | Event::Connected { .. }
            | Event::Refused { .. }
            | Event::Closed(_) => {}
        }
    }
}

fn frame_seeds() -> Vec<Vec<u8>> {
    let store = Store::new();
    let offers = |known: bool| -> Offers {
        let shares = store.shares();
        let offer = |(id, share): &(SpaceId, Share)| Offer {
            space: space_prefix(id),
            digest: if known {
                space_digest(&share.logs)
            } else {
                [0; 32]
            },
            lacks_receipts: !known,
        };
        Offers {
            spaces: shares.iter().map(offer).collect(),
            complete: true,
        }
    };
    let hello = |known| {
        let offers = offers(known);
        Message::Hello(Hello {
            min: 1,
            max: 1,
            features: 0,
            epoch: [2; 16],
            offers,
        })
    };
    let theirs = run(site(), 3, &[part_entry(), change_entry()]);
    let vector = |run: &VerifiedRun, len| {
        Message::Vector(Vector {
            space: space_prefix(&run.author().space),
            complete: true,
            rows: vec![Row {
                log: run.run().log,
                len,
                head: run.end().head.first_chunk().copied().unwrap_or_default(),
                frozen: false,
                first: 0,
                missing: 0,
            }],
        })
    };
    let mine = &store.site.1;
    let receipt = Receipt {
        space: mine.author().space,
        log: mine.run().log,
        epoch: [1; 16],
        stored: mine.end(),
        judged_len: 1,
        exceptions: Vec::new(),
        received_at_ms: 9,
        signature: [0; 64],
    };
    let conversations = [
        vec![hello(true), Message::Ping(1), Message::Bye(0)],
        vec![
            hello(false),
            vector(&theirs, theirs.end().len),
            Message::Batch(wire(&theirs)),
            Message::Receipt(receipt.signed(&signer(1))),
        ],
        vec![
            hello(false),
            vector(mine, 9),
            Message::Want {
                log: mine.run().log.prefix(),
                from: 0,
            },
            Message::Offers(offers(false)),
            Message::Fork(Box::new(fork())),
        ],
        vec![Message::Unknown(77), hello(true)],
        vec![
            hello(true),
            Message::Error {
                code: ErrorCode::Busy,
                scope: ErrorScope::Log,
                retry_after_s: 1,
            },
            Message::Pong(3),
        ],
    ];
    let stream = |messages: &Vec<Message>| {
        let frames = messages.iter().flat_map(Message::encode);
        std::iter::once(40).chain(frames).collect()
    };
    conversations.iter().map(stream).collect()
}

// ---- entry ----

/// Payloads, headers, proofs, batches and the authority fold; the first byte says which.
pub fn entry(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    match which % 13 {
        0 => same(bytes, Genesis::decode(bytes).map(|it| it.encode())),
        1 => {
            let order = Order::decode(bytes);
            if !matches!(order, Ok(Order::Unknown(_))) {
                same(bytes, order.map(|it| it.encode()));
            }
        }
        2 => same(bytes, Part::decode(bytes).map(|it| it.encode())),
        3 => same(bytes, EraseOrder::decode(bytes).map(|it| it.encode())),
        4 => same(bytes, Erased::decode(bytes).map(|it| it.encode())),
        5 => {
            let request = Request::decode(bytes);
            if !matches!(request, Ok(Request::Unknown(_))) {
                same(bytes, request.map(|it| it.encode()));
            }
        }
        6 => written(bytes, |reader, writer| {
            let certificate = Certificate::read(reader)?;
            let _holds = certificate.holds(&network());
            certificate.write(writer);
            Ok(())
        }),
        7 => written(bytes, |reader, writer| {
            Header::read(reader)?.write(writer);
            Ok(())
        }),
        8 => written(bytes, |reader, writer| {
            let proof = ForkProof::read(reader)?;
            let _place = proof.seq();
            proof.write(writer);
            Ok(())
        }),
        9 => {
            let receipt = Receipt::decode(bytes);
            assert!(receipt.as_ref().is_ok_and(|it| !it.covers(it.stored.len)) || receipt.is_err());
            same(bytes, receipt.map(|it| it.encode()));
        }
        10 => {
            let (main, parts) = halves(bytes);
            unpacked(main, parts);
        }
        11 => {
            let (main, parts) = halves(bytes);
            unpacked(&closed(main), &closed(parts));
        }
        _ => orders(bytes),
    }
}

/// One value has one encoding.
fn same(bytes: &[u8], again: Result<Vec<u8>, DecodeError>) {
    match again {
        Ok(again) => assert_eq!(again, bytes),
        Err(error) => assert!(error.offset <= bytes.len()),
    }
}

/// The same for what is read from the middle of something.
fn written(
    bytes: &[u8],
    copy: impl FnOnce(&mut Reader<'_>, &mut Writer) -> Result<(), DecodeError>,
) {
    let (mut reader, mut writer) = (Reader::new(bytes), Writer::new());
    if copy(&mut reader, &mut writer).is_ok() {
        let read = bytes.len() - reader.remaining();
        assert_eq!(Some(writer.into_bytes().as_slice()), bytes.get(..read));
    }
}

/// Two sections, the first with its length before it.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut reader = Reader::new(bytes);
    let len = usize::from(reader.u16().unwrap_or(0)).min(reader.remaining());
    let first = reader.take(len).unwrap_or_default();
    let rest = bytes.get(2 + len..).unwrap_or_default();
    (first, rest)
}

/// A section of a batch from what it holds: raw bytes, and what one or two frames hold, each with its length before it.
fn closed(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let (raw, mut rest) = halves(bytes);
    let mut writer = Writer::new();
    writer.varint(raw.len() as u64).fixed(raw);
    while !rest.is_empty() {
        let (plain, after) = halves(rest);
        writer.fixed(&zstd::bulk::compress(plain, 1).unwrap_or_default());
        rest = after;
    }
    writer.into_bytes()
}

/// What [`closed`] closes.
fn opened(section: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(section);
    let mut writer = Writer::new();
    let mut put = |bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).unwrap_or(0);
        writer.u16(len).fixed(bytes);
    };
    let len = usize::try_from(reader.varint().unwrap_or(0)).unwrap_or(0);
    put(reader.take(len).unwrap_or_default());
    while reader.remaining() > 0 {
        let len = zstd::zstd_safe::find_frame_compressed_size(reader.rest()).unwrap_or(usize::MAX);
        let Ok(frame) = reader.take(len) else { break };
        put(&zstd::bulk::decompress(frame, limits::BATCH_DECOMPRESSED_MAX).unwrap_or_default());
    }
    writer.into_bytes()
}

/// What can be unpacked is packed to the same again, and a signature makes of it a run that keeps its
/// bounds or is refused.
fn unpacked(main: &[u8], parts: &[u8]) {
    let log = genesis(site(), 2).log();
    let start = Position::start(&log);
    let Ok(run) = batch::unpack(&log, start, main, Parts::Section(parts)) else {
        return;
    };
    assert!((1..=limits::BATCH_ENTRIES).contains(&run.entries.len()));
    let again = batch::pack(&run);
    let parts = Parts::Section(&again.parts);
    assert_eq!(
        batch::unpack(&log, start, &again.main, parts),
        Ok(run.clone())
    );
    let rows = run
        .entries
        .iter()
        .filter(|it| it.header.kind == EntryKind::Part);
    let rows = rows.map(|it| it.payload.clone()).collect();
    let main = batch::stored(&run, &batch::pack_main(&run, &|_| None));
    let stored = batch::unpack(&log, start, &main, Parts::Rows(rows));
    assert_eq!(stored, Ok(run.clone()));
    assert!(batch::unpack(&log, start, &main, Parts::LeftOut).is_ok());
    let end = Position {
        len: run.checkpoint.len,
        head: run.checkpoint.head,
    };
    let checkpoint = Checkpoint::sign(&signer(2), &site(), &log, end, (1, [0; 32]), 3);
    let author = Author {
        space: site(),
        device: signer(2).public(),
    };
    let _unsigned = run.clone().verify(None, 0);
    let signed = Run { checkpoint, ..run };
    let packed = batch::pack(&signed);
    let opened = batch::open(&log, start, &packed, Some(author)).map(|run| run.run().clone());
    let verified = signed.clone().verify(Some(author), 0);
    let verified = verified.map(|run| run.run().clone());
    assert_eq!(opened, verified.map_err(batch::OpenError::from));
    if let Ok(verified) = signed.verify(Some(author), 0) {
        assert_eq!(verified.ids().len(), verified.run().entries.len());
        for entry in &verified.run().entries {
            let len = entry.payload.as_ref().map_or(0, Vec::len);
            assert!(len <= lianxin_protocol::log::payload_max(entry.header.kind));
        }
    }
}

/// Payloads of the authority log in turn, each with its length before it.
fn orders(bytes: &[u8]) {
    let hub = signer(1);
    let mut authority = Authority::new(network());
    let mut rest = Some(bytes);
    let mut folded = 0;
    let certificate = Order::Certificate(certificate()).encode();
    let mut payload = certificate.as_slice();
    while folded < 64 {
        folded += 1;
        let id = EntryId([u8::try_from(folded).unwrap_or(0); 32]);
        let _effect = authority.apply(&id, &hub.public(), Some(payload));
        assert_eq!(authority.cited(), (folded, id.0));
        let Some(left) = rest.filter(|left| !left.is_empty()) else {
            break;
        };
        let (next, after) = halves(left);
        payload = next;
        rest = Some(after);
    }
    assert!(authority.without_effect() < folded);
    let log = genesis(site(), 2).log();
    for device in authority.members().keys() {
        assert!(device.is_sound());
        let author = Author {
            space: site(),
            device: *device,
        };
        let facts = LogFacts {
            log,
            author,
            first: authority.cited(),
            held_to: u64::MAX,
        };
        let unknown = |_| Ok::<_, std::convert::Infallible>(None);
        let Ok(verdicts) = verdict::judge(&authority, &facts, 0..u64::MAX, unknown);
        let end = verdicts.iter().try_fold(0, |from, (range, _)| {
            (range.start == from).then_some(range.end)
        });
        assert_eq!(end, Some(u64::MAX), "every entry has one verdict");
        let readable = authority.readable(device);
        let may = |space: &Space| authority.permits(device, *space, Verb::Read);
        let allowed = authority.spaces().values().filter(|space| may(space));
        assert_eq!(readable.len(), allowed.count());
    }
}

fn entry_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let mut seed = |which: u8, bytes: Vec<u8>| {
        seeds.push(std::iter::once(which).chain(bytes).collect());
    };
    let continued = Genesis {
        previous: Some((
            LogId([4; 32]),
            Position {
                len: 5,
                head: [6; 32],
            },
        )),
        reason: GenesisReason::Restore,
        ..genesis(site(), 2)
    };
    seed(0, genesis(site(), 2).encode());
    seed(0, continued.encode());
    let orders = some_orders();
    for order in &orders {
        seed(1, order.encode());
    }
    seed(2, part_payload());
    let order = EraseOrder {
        reason: 1,
        targets: vec![ErasureTarget {
            log: LogId([1; 32]),
            seq: 3,
            id: EntryId([2; 32]),
        }],
    };
    seed(3, order.encode());
    let erased = Erased {
        order: EntryId([2; 32]),
    };
    seed(4, erased.encode());
    for request in some_requests() {
        seed(5, request.encode());
    }
    let mut writer = Writer::new();
    certificate().write(&mut writer);
    seed(6, writer.into_bytes());
    let whole = run(site(), 2, &[part_entry(), change_entry()]);
    for entry in &whole.run().entries {
        let mut writer = Writer::new();
        entry.header.write(&mut writer);
        seed(7, writer.into_bytes());
    }
    let mut writer = Writer::new();
    fork().write(&mut writer);
    seed(8, writer.into_bytes());
    let receipt = Receipt {
        space: site(),
        log: whole.run().log,
        epoch: [1; 16],
        stored: whole.end(),
        judged_len: 2,
        exceptions: vec![Exception {
            range: 1..2,
            reason: Reason::ALL[0].0,
        }],
        received_at_ms: 9,
        signature: [3; 64],
    };
    seed(9, receipt.encode());
    let packed = batch::pack(whole.run());
    let sections = |main: &[u8], parts: &[u8]| {
        let len = u16::try_from(main.len()).unwrap_or(0);
        [&len.to_be_bytes()[..], main, parts].concat()
    };
    seed(10, sections(&packed.main, &packed.parts));
    seed(11, sections(&opened(&packed.main), &opened(&packed.parts)));
    let fold = orders.iter().flat_map(|order| {
        let payload = order.encode();
        let len = u16::try_from(payload.len()).unwrap_or(0);
        [len.to_be_bytes().to_vec(), payload].concat()
    });
    seed(12, fold.collect());
    seeds
}

// ---- change ----

/// Changes of one record, written by three actors, as an adversary with a key may write them: checksum,
/// actor, numbers and dependencies are made true, the columns are the fuzzer's. Of a piece: actor (2 bits),
/// which of the last four changes it depends on (4 bits), which of two other actors it lists (2 bits); a byte
/// that moves the operation numbers; a length; columns. A first byte of 255 means bytes as they come.
pub fn change(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else {
        return;
    };
    let mut opened: Vec<GuardedChange> = Vec::new();
    if *mode == 255 {
        let raw = chunk(bytes);
        let actor = one_of_four(0);
        let _as_it_came = digest_of_change(bytes);
        if let Ok(hash) = digest_of_change(&raw) {
            opened.extend(GuardedChange::open(&raw, &hash, &actor, &Limits::default()));
        }
    } else {
        let mut reader = Reader::new(bytes);
        while opened.len() < 16
            && let Some(piece) = Piece::read(&mut reader)
        {
            let raw = chunk(&piece.content(&opened));
            let Ok(hash) = digest_of_change(&raw) else {
                continue;
            };
            let actor = piece.actor();
            if let Ok(change) = GuardedChange::open(&raw, &hash, &actor, &Limits::default()) {
                assert_eq!(change.hash(), hash);
                opened.push(change);
            }
        }
    }
    built(opened);
}

/// Whatever the order, the same is built, every change has one fate, and all of it can be read.
fn built(opened: Vec<GuardedChange>) {
    let mut hashes: Vec<_> = opened.iter().map(GuardedChange::hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let offer = |(place, change): (u64, GuardedChange)| Offered {
        actor: change.actor(),
        place,
        founds: change.deps().is_empty(),
        permitted: true,
        change: Ok(change),
    };
    let mut backwards: Vec<_> = (0..).zip(opened.iter().cloned()).map(offer).collect();
    backwards.reverse();
    let one = Document::build((0..).zip(opened).map(offer).collect());
    let mut other = Document::build(backwards);
    other.fates.reverse();
    assert!(!one.defect, "Automerge refuses what the gate let in");
    assert_eq!(one.document.heads(), other.document.heads());
    assert_eq!(one.fates, other.fates);
    let view = one.document.view();
    assert_eq!(view, other.document.view());
    assert!(view.unreadable.is_empty(), "shown otherwise than decided");
    // The operations alone say what Automerge does.
    assert!(
        one.document.merge(),
        "Automerge refuses what the gate let in"
    );
    assert_eq!(view, one.document.view());
    let history = one.document.history();
    let counted = one.fates.iter().filter(|fate| **fate == Fate::Counts);
    assert_eq!(history.len(), counted.count());
    assert!(history.len() <= hashes.len());
    // Anything may stand in the record, and a clerk's save on top of it is refused or can be read back.
    let mut document = one.document;
    let edit = Edit {
        kind: Some("opinion".to_owned()),
        by: "w1".to_owned(),
        fields: BTreeMap::from([("title".to_owned(), Some(Scalar::Str("测试".to_owned())))]),
        events: Vec::new(),
    };
    if let Ok(raw) = document.edit(&[9; 16], &edit) {
        let opened = GuardedChange::open(&raw.bytes, &raw.hash, &[9; 16], &Limits::default());
        assert!(opened.is_ok(), "an own change is refused: {opened:?}");
    }
    let _saved = document.save();
}

/// What every Automerge chunk begins with.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// One of four writers.
const fn one_of_four(number: u8) -> [u8; 16] {
    [(number & 3) + 1; 16]
}

/// A change as the fuzzer sees it.
struct Piece<'a> {
    flags: u8,
    shift: i8,
    columns: &'a [u8],
}

impl<'a> Piece<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let flags = reader.u8().ok()?;
        let [shift] = reader.fixed::<1>().ok()?.map(u8::cast_signed);
        let len = usize::from(reader.u16().ok()?).min(reader.remaining());
        let columns = reader.take(len).ok()?;
        Some(Self {
            flags,
            shift,
            columns,
        })
    }

    fn actor(&self) -> [u8; 16] {
        one_of_four(self.flags)
    }

    /// The content of the chunk, which depends on some of the changes before it.
    fn content(&self, before: &[GuardedChange]) -> Vec<u8> {
        let chosen = (0..4).filter(|bit| self.flags >> (2 + bit) & 1 == 1);
        let deps = chosen.filter_map(|back| before.iter().rev().nth(back));
        let deps: Vec<_> = deps.collect();
        let actor = self.actor();
        let of_actor = before.iter().filter(|it| it.actor() == actor);
        let seq = of_actor.map(GuardedChange::seq).max().unwrap_or(0) + 1;
        let start = deps.iter().map(|it| it.max_op() + 1).max().unwrap_or(1);
        let start = start.saturating_add_signed(self.shift.into());
        let others = [(0x40, 1), (0x80, 3)].into_iter();
        let others = others.filter(|(bit, _)| self.flags & bit != 0);
        let others: Vec<_> = others
            .map(|(_, step)| one_of_four((self.flags & 3) + step))
            .collect();
        let mut writer = Writer::new();
        writer.varint(deps.len() as u64);
        for dep in &deps {
            writer.fixed(&dep.hash());
        }
        writer.varint(16).fixed(&actor).varint(seq).varint(start);
        writer.u8(0).u8(0).varint(others.len() as u64);
        for other in &others {
            writer.varint(16).fixed(other);
        }
        writer.fixed(self.columns);
        writer.into_bytes()
    }
}

/// A chunk of type 1 around content, with a true checksum.
fn chunk(content: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.fixed(&MAGIC).fixed(&[0; 4]).u8(1);
    writer.varint(content.len() as u64).fixed(content);
    let mut raw = writer.into_bytes();
    let hash = digest(DigestMode::Change, &raw);
    if let (Some(sum), Some(first)) = (raw.get_mut(4..8), hash.get(..4)) {
        sum.copy_from_slice(first);
    }
    raw
}

/// The columns of a change that was written honestly, and whether others are listed.
fn columns_of(raw: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut reader = Reader::new(raw.get(9..)?);
    let number = |reader: &mut Reader<'_>| usize::try_from(reader.varint().ok()?).ok();
    number(&mut reader)?;
    let deps = number(&mut reader)?;
    reader.take(deps * 32).ok()?;
    let actor_len = number(&mut reader)?;
    reader.take(actor_len).ok()?;
    // Sequence and first operation, then time and message, which are both 0.
    number(&mut reader)?;
    number(&mut reader)?;
    reader.take(2).ok()?;
    let others = number(&mut reader)?;
    reader.take(others * 17).ok()?;
    let rest = reader.remaining();
    Some((others, reader.take(rest).ok()?.to_vec()))
}

fn change_seeds() -> Vec<Vec<u8>> {
    let fields = |title: &str, number| {
        BTreeMap::from([
            ("title".to_owned(), Some(Scalar::Str(title.to_owned()))),
            ("people".to_owned(), Some(Scalar::Int(number))),
            ("body".to_owned(), Some(Scalar::Part([5; 16]))),
            ("open".to_owned(), Some(Scalar::Bool(true))),
        ])
    };
    let event = NewEvent {
        event: "opinion.deliver".to_owned(),
        at_ms: 1,
        data: BTreeMap::from([("to".to_owned(), Scalar::Str("d1".to_owned()))]),
    };
    let first = Edit {
        kind: Some("opinion".to_owned()),
        by: "w1".to_owned(),
        fields: fields("路灯", 3),
        events: vec![event],
    };
    let then = Edit {
        kind: None,
        by: "w2".to_owned(),
        fields: fields("树", 300),
        events: Vec::new(),
    };
    let clear = Edit {
        fields: BTreeMap::from([("title".to_owned(), None)]),
        ..then.clone()
    };
    let mut document = Document::new();
    let mut pieces: Vec<u8> = Vec::new();
    let mut seeds = Vec::new();
    // Each is on the one before it, and the last on its author's previous one as well, which is the first.
    let saves = [
        (0, 0, &first),
        (1, 4, &then),
        (1, 4, &clear),
        (0, 4 | 16, &first),
    ];
    for (number, (writer, dep, edit)) in saves.into_iter().enumerate() {
        let edit = Edit {
            kind: edit.kind.clone().filter(|_| number == 0),
            events: if number == 0 {
                edit.events.clone()
            } else {
                Vec::new()
            },
            ..edit.clone()
        };
        let Ok(raw) = document.edit(&one_of_four(writer), &edit) else {
            continue;
        };
        seeds.push([&[255], raw.bytes.get(11..).unwrap_or_default()].concat());
        let Some((others, columns)) = columns_of(&raw.bytes) else {
            continue;
        };
        // The other of the two actors is one further for the first, and three further for the second.
        let listed = match (others, writer) {
            (0, _) => 0,
            (_, 0) => 0x40,
            _ => 0x80,
        };
        let flags = writer | dep | listed;
        let len = u16::try_from(columns.len()).unwrap_or(0);
        pieces.extend([flags, 0]);
        pieces.extend(len.to_be_bytes());
        pieces.extend(columns);
        seeds.push([&[0], pieces.as_slice()].concat());
    }
    seeds
}

// ---- record ----

/// Saves of one record by four devices, each upon what it knows of the others': what the operations say of all of them is
/// what Automerge makes of them, after each save and at every device. Of a save three bytes: the device (2 bits), from
/// which others it has heard (4 bits) and whether it adds an event (2 bits say yes); which fields it writes (4 bits)
/// and which of them it clears (4 bits); and the values.
pub fn record(data: &[u8]) {
    const SAVES: usize = 24;
    let mut written: Vec<([u8; 16], Vec<u8>)> = Vec::new();
    let mut known: [BTreeSet<usize>; 4] = Default::default();
    for save in data.chunks_exact(3).take(SAVES) {
        let [who, fields, values] = save.try_into().unwrap_or_default();
        let (device, actor) = (usize::from(who & 3), one_of_four(who));
        let heard = known.iter().enumerate();
        let heard = heard.filter(|(other, _)| *other == device || who >> (2 + other) & 1 == 1);
        let mut here: BTreeSet<usize> = heard.flat_map(|(_, it)| it).copied().collect();
        if !written.is_empty() {
            here.insert(0);
        }
        let mut document = judged_alike(&written, &here);
        let edit = Edit {
            kind: here.is_empty().then(|| "opinion".to_owned()),
            by: format!("w{}", values & 1),
            fields: (0..4)
                .filter(|field| fields >> field & 1 == 1)
                .map(|field| {
                    let value = Scalar::Int(i64::from(values >> field & 3));
                    let cleared = fields >> (4 + field) & 1 == 1;
                    (format!("f{field}"), (!cleared).then_some(value))
                })
                .collect(),
            events: (0..usize::from(who >> 6 == 3))
                .map(|_| NewEvent {
                    event: "opinion.deliver".to_owned(),
                    at_ms: i64::from(values),
                    data: BTreeMap::from([("f0".to_owned(), Scalar::Bool(true))]),
                })
                .collect(),
        };
        let mut merged = document.clone();
        assert!(merged.merge(), "Automerge refuses an own change");
        let plain = document.edit(&actor, &edit);
        assert_eq!(plain, merged.edit(&actor, &edit));
        if let Ok(raw) = plain {
            here.insert(written.len());
            written.push((actor, raw.bytes));
            judged_alike(&written, &here);
        }
        if let Some(known) = known.get_mut(device) {
            *known = here;
        }
    }
    judged_alike(&written, &(0..written.len()).collect());
}

/// The document of some changes, of which all count, and both ways of reading it agree. As it was built.
fn judged_alike(written: &[([u8; 16], Vec<u8>)], here: &BTreeSet<usize>) -> Document {
    let offered = here.iter().filter_map(|at| {
        let (actor, raw) = written.get(*at)?;
        Some(Offered {
            actor: *actor,
            place: *at as u64,
            founds: *at == 0,
            permitted: true,
            change: GuardedChange::open(
                raw,
                &digest_of_change(raw).ok()?,
                actor,
                &Limits::default(),
            ),
        })
    });
    let built = Document::build(offered.collect());
    assert!(built.fates.iter().all(|fate| *fate == Fate::Counts));
    let merged = built.document.clone();
    assert!(merged.merge(), "Automerge refuses an own change");
    assert_eq!(built.document.view(), merged.view());
    built.document
}

fn record_seeds() -> Vec<Vec<u8>> {
    // One alone, two in turn, two at once, one who settles it, and events on both sides.
    vec![
        vec![0, 0x0f, 1, 0, 0x03, 2, 0, 0x11, 0],
        vec![0, 0x0f, 1, 5, 0x03, 2, 8, 0x01, 3],
        vec![0, 0x0f, 1, 1, 0x03, 2, 2, 0x33, 3],
        vec![0, 0x0f, 1, 1, 0x03, 2, 2, 0x03, 3, 0x1c, 0x03, 3],
        vec![
            0xc0, 0x0f, 1, 0xc1, 1, 2, 0xc2, 1, 3, 0x1c, 0x0f, 2, 0x3d, 1, 0,
        ],
    ]
}

// ---- what all share: one network, fictional ----

fn signer(n: u8) -> Signer {
    Signer::from_seed(&[n; 32])
}

fn network() -> NetworkId {
    NetworkId::of_root(&signer(200).public().0)
}

fn site() -> SpaceId {
    Space::Site(SiteId([7; 16])).id(&network())
}

fn genesis(space: SpaceId, writer: u8) -> Genesis {
    Genesis {
        space,
        device: signer(writer).public(),
        incarnation: [3; 16],
        previous: None,
        reason: GenesisReason::New,
        authority_head: [8; 32],
    }
}

fn tip(run: &VerifiedRun) -> Tip {
    let Position { len, head } = run.end();
    let frozen = false;
    Tip { len, head, frozen }
}

fn wire(run: &VerifiedRun) -> WireBatch {
    let run = run.run();
    WireBatch {
        log: run.log.prefix(),
        start: run.start,
        packed: batch::pack(run),
    }
}

fn run(space: SpaceId, writer: u8, group: &[NewEntry]) -> VerifiedRun {
    let mut tail = Tail::begin(&genesis(space, writer), 1 << 16, 1);
    tail.push_group(group.to_vec(), 2 << 16, 1);
    tail.sign(&signer(writer), (1, [9; 32]), 3 << 16)
}

fn fork() -> ForkProof {
    let branch = |text: &[u8]| {
        let entry = NewEntry::plain(EntryKind::Other(99), text.to_vec());
        let run = run(site(), 2, &[entry]).run().clone();
        let headers = run.entries.into_iter().map(|entry| entry.header);
        Branch {
            headers: headers.skip(1).collect(),
            checkpoint: run.checkpoint,
        }
    };
    let mut branches = [branch(b"here"), branch(b"there")];
    branches.sort_by_key(|branch| branch.headers.first().map(Header::id));
    ForkProof {
        author: Author {
            space: site(),
            device: signer(2).public(),
        },
        log: genesis(site(), 2).log(),
        branches,
    }
}

fn part_payload() -> Vec<u8> {
    let text = |key: &str, text: &str| (key.to_owned(), text.to_owned());
    let part = Part {
        salt: [8; 16],
        texts: BTreeMap::from([text("body", "路灯不亮"), text("title", "测试")]),
    };
    part.encode()
}

fn part_entry() -> NewEntry {
    NewEntry {
        kind: EntryKind::Part,
        digest: DigestMode::Salted,
        erasable: true,
        record: RecordId([1; 16]),
        payload: part_payload(),
    }
}

fn change_entry() -> NewEntry {
    NewEntry {
        kind: EntryKind::Change,
        digest: DigestMode::Change,
        erasable: false,
        record: RecordId([1; 16]),
        payload: chunk(&[0]),
    }
}

fn order_entry() -> NewEntry {
    let order = Order::Certificate(certificate());
    NewEntry::plain(EntryKind::Authority, order.encode())
}

fn certificate() -> Certificate {
    Certificate::sign(&signer(200), 1, signer(1).public(), None)
}

fn some_orders() -> Vec<Order> {
    let (site, device) = (SiteId([7; 16]), signer(2).public());
    let (old, new) = (signer(5), signer(6));
    let log = genesis(self::site(), 2).log();
    let to = Position {
        len: 9,
        head: [1; 32],
    };
    let grant = |serial, key: DeviceKey, code: &str| {
        Order::Grant(Grant {
            serial,
            device: key,
            recipient: [1; 32],
            site: Some(site),
            role: Role::Station,
            device_code: code.to_owned(),
            scopes: Role::Station.scopes(Some(site)),
            bytes_per_day: 0,
            places: vec![Cut { log, position: to }],
        })
    };
    vec![
        Order::Certificate(certificate()),
        Order::Network {
            name: "示例街道".to_owned(),
            district: "SLJD".to_owned(),
        },
        Order::Site {
            site,
            code: "EM1".to_owned(),
            name: "测试站".to_owned(),
            kind: SiteKind::ALL[0].0,
        },
        grant(1, device, "EM1A"),
        Order::Invite(invite()),
        Order::InviteUsed {
            key: invite().key,
            device: old.public(),
        },
        grant(2, old.public(), "EM1B"),
        Order::Rotate {
            rotation: Rotation::sign(&network(), &old, &new),
            places: vec![Cut { log, position: to }],
        },
        Order::Policy {
            name: "测试".to_owned(),
            value: "1".to_owned(),
        },
        Order::Revoke {
            device,
            lost: true,
            cuts: vec![Cut { log, position: to }],
        },
        Order::Adopt { log, from: 3, to },
        Order::Resolve { log, seq: 3 },
        Order::Pin { log, position: to },
        Order::Epoch { epoch: [4; 16] },
        Order::Left {
            device: new.public(),
        },
    ]
}

fn invite() -> Invite {
    Invite {
        key: signer(7).public(),
        site: Some(SiteId([7; 16])),
        role: Role::Laptop,
        device_code: "EM1C".to_owned(),
        expires_ms: 99,
    }
}

fn some_requests() -> Vec<Request> {
    let fact = |key: &str, datum| (key.to_owned(), datum);
    let act = Act {
        record: RecordId([1; 16]),
        space: site(),
        event: "opinion.deliver".to_owned(),
        seen: vec![[1; 32], [2; 32]],
        facts: BTreeMap::from([
            fact("count", Datum::Int(-3)),
            fact("open", Datum::Bool(true)),
            fact("to", Datum::Str("d1".to_owned())),
        ]),
    };
    let info = SiteInfo {
        code: "EM2".to_owned(),
        name: "测试站".to_owned(),
        kind: SiteKind::ALL[1].0,
    };
    let asks = [
        Ask::Act(act),
        Ask::Site {
            site: SiteId([8; 16]),
            info,
        },
        Ask::Invite {
            invite: invite(),
            proof_key: [3; 32],
        },
        Ask::Rotate(Rotation::sign(&network(), &signer(5), &signer(6))),
        Ask::Policy {
            name: "测试".to_owned(),
            value: "1".to_owned(),
        },
    ];
    let asked = asks.map(|ask| Request::Ask {
        account: "w1".to_owned(),
        ask,
    });
    let answers = [Outcome::Done, Outcome::Refused(Refusal::NoSite)].map(|outcome| {
        let to = EntryId([5; 32]);
        Request::Answer { to, outcome }
    });
    asked.into_iter().chain(answers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_breaks_no_promise() -> std::io::Result<()> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for (name, target, _) in TARGETS {
            let mut files = 0;
            for entry in std::fs::read_dir(folder.join(name))? {
                target(&std::fs::read(entry?.path())?);
                files += 1;
            }
            assert!(files > 20, "{files} files for {name}");
        }
        Ok(())
    }

    #[test]
    fn the_first_bytes_are_real_and_reach_what_they_are_meant_for() {
        for (name, target, seeds) in TARGETS {
            let seeds = seeds();
            assert!(seeds.len() >= 5, "{} seeds for {name}", seeds.len());
            seeds.iter().for_each(|seed| target(seed));
        }
        // All four saves of the last seed are opened and stand in one record.
        let seeds = change_seeds();
        let mut reader = Reader::new(seeds.last().and_then(|it| it.get(1..)).unwrap_or_default());
        let mut opened = Vec::new();
        while let Some(piece) = Piece::read(&mut reader) {
            let raw = chunk(&piece.content(&opened));
            let hash = digest(DigestMode::Change, &raw);
            let change = GuardedChange::open(&raw, &hash, &piece.actor(), &Limits::default());
            opened.extend(change);
        }
        let offered = (0..).zip(opened).map(|(place, change)| Offered {
            actor: change.actor(),
            place,
            founds: place == 0,
            permitted: true,
            change: Ok(change),
        });
        let built = Document::build(offered.collect());
        assert_eq!(built.document.history().len(), 4, "{:?}", built.fates);
    }
}
