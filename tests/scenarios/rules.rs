//! Every "must" of `protocol/SPEC.md` has a mark, and stands with it beside code and beside a test; and the tests of
//! those rules that no other file is about.
//!
//! A mark is a word after `rule:`. In SPEC it stands behind what it marks, before the next "must" and the end of the
//! sentence; in sources it is a comment that has nothing but marks. What a test is, is a matter of its place: a file
//! `tests.rs`, a folder `tests`, the module `tests` at the end of a file, or these scenarios.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::clock;
use lianxin_node::error::Code;
use lianxin_node::invites;
use lianxin_node::journal::Proven;
use lianxin_node::setup::Card;
use lianxin_node::store::Store;
use lianxin_node::sync::attend::{Answer, Prepared};
use lianxin_node::sync::endpoint::{Endpoint, Link};
use lianxin_node::sync::join::{self, Line as Way, Ticket};
use lianxin_node::sync::{enrol, stick};
use lianxin_node::writer::{Writer, WriterThread};
use lianxin_protocol::authority::{Certificate, Grant, Invite, Order, Role};
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::identity::{Channel, DeviceKey, InviteCode, Signer};
use lianxin_protocol::invite;
use lianxin_protocol::log::{
    Author, Branch, DigestMode, EntryKind, ForkProof, Genesis, GenesisReason, Header, LogId,
    NewEntry, Position, RecordId, Run, Tail, VerifiedRun, digest,
};
use lianxin_protocol::message::{
    Enrol, Enrolled, ErrorCode, ErrorScope, FrameReader, Message, WireBatch,
};
use lianxin_protocol::receipt::Receipt;
use lianxin_protocol::space::{NetworkId, SiteId, Space, SpaceId};
use lianxin_tests::World;
use lianxin_tests::process::{Device, LOOPBACK, Network, Scratch, text as path_text};
use lianxin_tests::world::{HUB, text};
use serde_json::{Value, json};

use super::abuse::{Attacker, Line};
use super::tidy::{is_test, root, sources};

const A: usize = 1;
const B: usize = 2;

// ---- the marks ----

/// What a mark begins with; in two pieces, or this line would be one.
const RULE: &str = concat!("ru", "le:");

/// What SPEC says: its marks, and sentences that have a "must" without one, or a mark without a "must".
#[derive(Default)]
struct Rules {
    marks: Vec<String>,
    faults: Vec<String>,
}

impl Rules {
    fn read(spec: &str) -> Self {
        let mut rules = Self::default();
        let mut paragraph = String::new();
        let mut is_code = false;
        for line in spec.lines().chain([""]) {
            is_code ^= line.starts_with("```");
            let alone = line.is_empty() || line.starts_with('|');
            if is_code || alone {
                rules.paragraph(&std::mem::take(&mut paragraph));
                rules.paragraph(if is_code { "" } else { line });
            } else {
                paragraph.push_str(line.trim());
                paragraph.push(' ');
            }
        }
        rules
    }

    fn paragraph(&mut self, text: &str) {
        // The word itself, where it is spoken of.
        let text = text.replace("\"must\"", "");
        for sentence in text.split_inclusive(". ") {
            let mut pieces = sentence.split("must");
            let before = pieces.next().unwrap_or_default();
            if !marks_in(before).is_empty() {
                let fault = format!("a mark before any \"must\": {sentence}");
                self.faults.push(fault);
            }
            for piece in pieces {
                let marks = marks_in(piece);
                if marks.is_empty() {
                    let fault = format!("give this \"must\" a mark: {sentence}");
                    self.faults.push(fault);
                }
                self.marks.extend(marks);
            }
        }
    }
}

/// The marks in a text of SPEC.
fn marks_in(text: &str) -> Vec<String> {
    let opening = format!("`{RULE}");
    let marks = text.split(&opening).skip(1);
    let marks = marks.filter_map(|rest| rest.split('`').next());
    marks.map(str::to_owned).collect()
}

/// The marks in a piece of source.
fn marks_of(source: &str) -> impl Iterator<Item = &str> {
    let comments = source
        .lines()
        .filter_map(|it| it.trim().strip_prefix("// "));
    let marks = comments.filter(|it| it.starts_with(RULE));
    marks.flat_map(|it| {
        it.split(' ')
            .map(|mark| mark.strip_prefix(RULE).unwrap_or(mark))
    })
}

#[test]
fn every_must_of_the_specification_has_its_code_and_its_test() -> Result<()> {
    let spec = std::fs::read_to_string(root().join("protocol/SPEC.md"))?;
    let Rules { marks, mut faults } = Rules::read(&spec);
    let rules: BTreeSet<&str> = marks.iter().map(String::as_str).collect();
    ensure!(rules.len() > 60, "{} rules are read", rules.len());
    for mark in &marks {
        if marks.iter().filter(|it| *it == mark).count() > 1 {
            faults.push(format!("{mark} marks two rules of SPEC: rename one"));
        }
    }
    let (mut code, mut tests) = (BTreeSet::new(), BTreeSet::new());
    let all = [
        sources("protocol/src")?,
        sources("node/src")?,
        sources("tests/scenarios")?,
    ];
    for (name, text) in all.iter().flatten() {
        let scenario = name.starts_with("tests/");
        let inside = text.split_once("#[cfg(test)]\nmod tests {");
        let (product, inside) = inside.unwrap_or((text, ""));
        let (product, test) = if scenario || is_test(name) {
            ("", text.as_str())
        } else {
            (product, inside)
        };
        for mark in marks_of(product).chain(marks_of(test)) {
            if !rules.contains(mark) {
                faults.push(format!("{name} marks {mark}, which SPEC does not name"));
            }
        }
        code.extend(marks_of(product));
        tests.extend(marks_of(test));
    }
    for rule in &rules {
        if !code.contains(rule) {
            faults.push(format!("{rule}: mark the code that carries it out"));
        }
        if !tests.contains(rule) {
            faults.push(format!("{rule}: mark a test that fails without it"));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn what_the_marks_are_read_with_can_tell() {
    let read = |text: &str| {
        let text = text.replace("MARK", RULE);
        let Rules { marks, faults } = Rules::read(&text);
        (marks, faults.len())
    };
    let one = vec!["a".to_owned()];
    assert_eq!(read("It must\nhold `MARKa`. So\n"), (one.clone(), 0));
    assert_eq!(read("It must hold. So `MARKa`.\n"), (Vec::new(), 2));
    assert_eq!(read("It must hold and must be `MARKa`."), (one, 1));
    assert_eq!(read("| it must |\n\nand must\n"), (Vec::new(), 2));
    assert_eq!(read("```\nmust\n```\n\"must\" binds.\n"), (Vec::new(), 0));
    let source = format!("    // {RULE}a {RULE}b\n// so {RULE}c\nlet it = \"{RULE}d\";\n");
    assert_eq!(marks_of(&source).collect::<Vec<_>>(), ["a", "b"]);
}

// ---- signatures and entries ----

// rule:signature-one-by-one
#[test]
fn signatures_are_verified_one_by_one_and_in_one_place() -> Result<()> {
    let words = ["ed25519_dalek", concat!("verify_", "batch")];
    for folder in ["protocol/src", "node/src"] {
        for (name, text) in sources(folder)? {
            let here = name == "protocol/src/identity.rs";
            for (word, allowed) in words.iter().zip([here, false]) {
                ensure!(allowed || !text.contains(word), "{name} has `{word}`");
            }
        }
    }
    let manifest = std::fs::read_to_string(root().join("Cargo.toml"))?;
    let mut lines = manifest.lines();
    let line = lines.find(|line| line.starts_with("ed25519-dalek "));
    let line = line.context("no such dependency")?;
    ensure!(!line.contains("\"batch\""), "{line}");
    Ok(())
}

/// A log as a node would send it, unpacked.
fn runs(world: &mut World, node: usize, log: &LogId) -> Result<Vec<Run>> {
    let (mut at, mut runs) = (0, Vec::new());
    while let Some(piece) = world.batch(node, log, at)? {
        let section = Parts::Section(&piece.packed.parts);
        let run = batch::unpack(log, piece.start, &piece.packed.main, section)?;
        at = run.checkpoint.len;
        runs.push(run);
    }
    Ok(runs)
}

// rule:digest-modes
#[test]
fn what_is_written_has_the_digest_and_the_flags_of_its_kind() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let (id, ..) = world.add(A, "路灯不亮")?;
    world.set(A, &id, json!({ "urgency": "urgent" }))?;
    world.heal()?;
    world.act(HUB, &id, "accept")?.context("not accepted")?;
    world.heal()?;
    let mut kinds = BTreeSet::new();
    for node in [HUB, A] {
        for log in world.all_logs(node)?.into_keys() {
            for entry in runs(&mut world, node, &log)?
                .into_iter()
                .flat_map(|it| it.entries)
            {
                let header = entry.header;
                let right = match header.kind {
                    EntryKind::Change => (DigestMode::Change, false),
                    EntryKind::Part => (DigestMode::Salted, true),
                    _ => (DigestMode::Plain, false),
                };
                let given = (header.flags.digest_mode(), header.flags.erasable());
                ensure!(given == (Some(right.0), right.1), "{header:?}");
                ensure!(header.flags.bits() < 16 && header.extension.is_empty());
                kinds.insert(header.kind);
            }
        }
    }
    for kind in [
        EntryKind::Genesis,
        EntryKind::Change,
        EntryKind::Part,
        EntryKind::Authority,
        EntryKind::Arrival,
    ] {
        ensure!(kinds.contains(&kind), "no {kind:?} among {kinds:?}");
    }
    Ok(())
}

// ---- logs by hand ----

/// A log that no node knows, by key `n`.
struct ByHand {
    signer: Signer,
    log: LogId,
    author: Author,
    genesis: VerifiedRun,
}

impl ByHand {
    fn new(space: SpaceId, n: u8) -> Self {
        let signer = Signer::from_seed(&[n; 32]);
        let genesis = Genesis {
            space,
            device: signer.public(),
            incarnation: [n; 16],
            previous: None,
            reason: GenesisReason::New,
            authority_head: [0xee; 32],
        };
        let tail = Tail::begin(&genesis, 1 << 16, 1);
        let (log, author) = (tail.log, tail.author);
        let genesis = tail.sign(&signer, (1, [0xee; 32]), 1 << 16);
        Self {
            signer,
            log,
            author,
            genesis,
        }
    }

    /// A run of one entry that says `n`, after a position.
    fn next(&self, after: Position, n: u8) -> VerifiedRun {
        let mut tail = Tail {
            log: self.log,
            author: self.author,
            start: after,
            end: after,
            entries: Vec::new(),
        };
        let entry = NewEntry::plain(EntryKind::Other(200), vec![n]);
        tail.push_group(vec![entry], 2 << 16, 1);
        tail.sign(&self.signer, (1, [0xee; 32]), 2 << 16)
    }

    /// That these two runs fork the log.
    fn proof(&self, runs: [&VerifiedRun; 2]) -> ForkProof {
        let mut branches = runs.map(|run| Branch {
            headers: run
                .run()
                .entries
                .iter()
                .map(|it| it.header.clone())
                .collect(),
            checkpoint: run.run().checkpoint.clone(),
        });
        branches.sort_by_key(|branch| branch.headers.first().map(Header::id));
        ForkProof {
            author: self.author,
            log: self.log,
            branches,
        }
    }
}

fn wire(run: &VerifiedRun) -> WireBatch {
    WireBatch {
        log: run.run().log.prefix(),
        start: run.run().start,
        packed: batch::pack(run.run()),
    }
}

fn give(world: &mut World, node: usize, run: &VerifiedRun) -> Result<()> {
    world.hand_over(node, run.run().log, wire(run))
}

fn attend(world: &mut World, node: usize, prepared: Prepared) -> Result<Vec<Answer>> {
    world.transact(node, |journal, connection| {
        prepared.attend(journal, connection)
    })
}

fn asks(answers: &[Answer], log: LogId) -> Option<u64> {
    answers.iter().find_map(|answer| match answer {
        Answer::Want(wanted, from) if *wanted == log => Some(*from),
        _ => None,
    })
}

// rule:genesis-head
#[test]
fn a_log_that_cites_orders_which_nobody_knows_is_stored() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let foreign = ByHand::new(world.site_space()?, 8);
    for node in [HUB, A] {
        give(&mut world, node, &foreign.genesis)?;
        ensure!(
            world.all_logs(node)?.contains_key(&foreign.log),
            "node {node}"
        );
    }
    Ok(())
}

// rule:gap-asked
#[test]
fn what_does_not_follow_on_what_is_stored_is_asked_for_from_there() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let log = ByHand::new(world.site_space()?, 8);
    let second = log.next(log.genesis.end(), 1);
    let third = log.next(second.end(), 2);
    for (stored, wanted) in [(None, 0), (Some(&log.genesis), 1)] {
        if let Some(run) = stored {
            give(&mut world, A, run)?;
        }
        let packed = wire(&third).packed;
        let prepared = Prepared::Run(Box::new(third.clone()), packed);
        let answers = attend(&mut world, A, prepared)?;
        ensure!(asks(&answers, log.log) == Some(wanted), "{answers:?}");
    }
    Ok(())
}

// rule:batch-space
#[test]
fn a_log_of_a_space_that_a_device_may_not_hold_is_refused() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let log = ByHand::new(Space::Hub.id(&world.network()?), 8);
    let packed = wire(&log.genesis).packed;
    let prepared = Prepared::Run(Box::new(log.genesis.clone()), packed);
    let answers = attend(&mut world, A, prepared)?;
    let refused = answers.iter().any(|answer| {
        matches!(
            answer,
            Answer::Refuse(ErrorCode::NotAuthorised, ErrorScope::Space)
        )
    });
    ensure!(refused, "{answers:?}");
    let authors = world.writer(A)?.journal.authors();
    ensure!(!authors.contains_key(&log.log), "it was stored");
    Ok(())
}

// rule:fork-author
#[test]
fn a_proof_by_another_key_or_for_another_space_freezes_nothing() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let space = world.site_space()?;
    let log = ByHand::new(space, 8);
    let end = log.genesis.end();
    give(&mut world, A, &log.genesis)?;
    give(&mut world, A, &log.next(end, 1))?;
    let elsewhere = Space::Bulletin.id(&world.network()?);
    for (n, space) in [(9, space), (8, elsewhere)] {
        let signer = Signer::from_seed(&[n; 32]);
        let device = signer.public();
        let liar = ByHand {
            signer,
            log: log.log,
            author: Author { space, device },
            genesis: log.genesis.clone(),
        };
        let proof = liar.proof([&liar.next(end, 1), &liar.next(end, 2)]);
        ensure!(proof.seq() == Some(1), "it speaks for its own author");
        let proven = world.transact(A, |journal, connection| {
            journal.take_fork(connection, &proof)
        })?;
        ensure!(proven == Proven::Nothing, "{proven:?}");
        ensure!(!world.all_logs(A)?[&log.log].frozen, "by key {n}");
    }
    Ok(())
}

// rule:fork-asked-back rule:fork-not-passed-on
#[test]
fn whoever_has_another_chain_before_a_fork_asks_for_the_log_and_says_nothing() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let log = ByHand::new(world.site_space()?, 8);
    let mine = log.next(log.genesis.end(), 1);
    let other = log.next(log.genesis.end(), 2);
    for run in [&log.genesis, &mine, &log.next(mine.end(), 3)] {
        give(&mut world, A, run)?;
    }
    let proof = log.proof([&log.next(other.end(), 4), &log.next(other.end(), 5)]);
    ensure!(proof.seq() == Some(2));
    let (answers, moved) = world.writer(A)?.transact(2_000, |journal, connection| {
        Prepared::Fork(Box::new(proof)).attend(journal, connection)
    })?;
    ensure!(
        asks(&answers, log.log).is_some_and(|from| from < 2),
        "{answers:?}"
    );
    ensure!(moved.tips.is_empty(), "peers are told: {moved:?}");
    let kept = world
        .writer(A)?
        .read(|journal, connection| journal.fork_proof(connection, &log.log))?;
    ensure!(kept.is_none(), "it would be passed on");
    // Once the other branch is here, the fork is an earlier one, and that is what is told.
    give(&mut world, A, &other)?;
    ensure!(world.all_logs(A)?[&log.log].frozen);
    Ok(())
}

// rule:fork-hub-pins
#[test]
fn the_hub_has_answered_a_fork_before_the_transaction_ends() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let log = ByHand::new(world.site_space()?, 8);
    let (one, other) = (
        log.next(log.genesis.end(), 1),
        log.next(log.genesis.end(), 2),
    );
    let more = log.next(one.end(), 3);
    for run in [&log.genesis, &one, &more] {
        give(&mut world, HUB, run)?;
    }
    let proof = log.proof([&one, &other]);
    world.transact(HUB, |journal, connection| {
        let proven = journal.take_fork(connection, &proof)?;
        assert_eq!(proven, Proven::Kept);
        assert_eq!(journal.authority().pins(&log.log), [more.end()]);
        Ok(())
    })
}

// ---- new logs ----

/// The logs of a device in its site's space that are not among these.
fn begun(world: &mut World, node: usize, before: &BTreeMap<LogId, Position>) -> Result<LogId> {
    let key = world.node(node)?.key;
    let logs = world.logs_of(node, &key)?.into_keys();
    let mut new = logs.filter(|log| !before.contains_key(log));
    let log = new.next().context("no log was begun")?;
    ensure!(new.next().is_none(), "two logs were begun");
    Ok(log)
}

fn own(world: &mut World, node: usize) -> Result<BTreeMap<LogId, Position>> {
    let key = world.node(node)?.key;
    let logs = world.logs_of(node, &key)?.into_iter();
    Ok(logs.map(|(log, tip)| (log, tip.position())).collect())
}

// rule:new-log-names-old
#[test]
fn a_log_that_follows_another_names_it_as_far_as_it_is_held() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    world.add(A, "一")?;
    world.heal()?;
    world.save(A, "old")?;
    world.add(A, "二")?;
    world.heal()?;
    world.load(A, "old", |name| name.starts_with("lianxin.db"))?;
    let held = own(&mut world, A)?;
    world.add(A, "三")?;
    let next = begun(&mut world, A, &held)?;
    let runs = runs(&mut world, A, &next)?;
    let genesis = runs[0].entries[0].payload.as_deref();
    let genesis = Genesis::decode(genesis.context("no genesis")?)?;
    ensure!(genesis.reason == GenesisReason::Restore, "{genesis:?}");
    ensure!(genesis.previous == held.into_iter().next(), "{genesis:?}");
    Ok(())
}

// rule:new-log-refused
#[test]
fn whoever_wrote_what_does_not_count_goes_on_in_a_new_log() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (id, ..) = world.add(A, "路灯不亮")?;
    world.heal()?;
    let (record, space) = (RecordId::parse(&id).context("no id")?, world.site_space()?);
    world.transact(A, |journal, connection| {
        // Fits its header, and is no change that the guard lets through.
        let mut payload = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, 3, 7, 7, 7];
        let hash = digest(DigestMode::Change, &payload);
        payload.splice(4..8, hash.into_iter().take(4));
        let entry = NewEntry {
            kind: EntryKind::Change,
            digest: DigestMode::Change,
            erasable: false,
            record,
            payload,
        };
        journal
            .append(connection, space, vec![entry], 1_000)
            .map(drop)
    })?;
    world.heal()?;
    let before = own(&mut world, A)?;
    let set = world.set(A, &id, json!({ "urgency": "urgent" }))?;
    set.context("nothing was set")?;
    begun(&mut world, A, &before)?;
    world.heal()?;
    for node in [HUB, A, B] {
        let shown = world.show(node, &id)?;
        ensure!(
            shown["fields"]["urgency"] == "urgent",
            "node {node}: {shown}"
        );
    }
    world.agree(&[A, B])
}

// ---- invites and grants ----

fn code() -> Result<InviteCode> {
    let mut codes = (0..37).filter_map(|n| InviteCode::from_random([n; 10]));
    codes.next().context("no code")
}

/// An invite at the hub, and the request of a station with it.
fn request(world: &mut World, expires_ms: u64) -> Result<Vec<u8>> {
    let (code, site) = (code()?, world.site()?);
    let invite = Invite {
        key: code.invite_key().public(),
        site: Some(site),
        role: Role::Station,
        device_code: "EM1Z".to_owned(),
        expires_ms,
    };
    world.order(&Order::Invite(invite))?;
    let key = code.invite_key().public();
    world.transact(HUB, |_, connection| {
        invites::keep_proof_key(connection, &key, &code.hub_proof_key())
    })?;
    let hub = (world.network()?, world.node(HUB)?.key);
    let device = world.writer(A)?.journal.identity().device.clone();
    Ok(invite::Request::new(hub, &device, &[9; 32], &code, [5; 32]).encode())
}

// rule:order-places rule:order-places-held
#[test]
fn a_further_grant_names_every_log_of_the_device_that_the_hub_holds_and_none_else() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    world.add(A, "一")?;
    world.heal()?;
    // What has not come is not named.
    world.add(A, "二")?;
    let device = world.node(A)?.key;
    let authors = world.writer(HUB)?.journal.authors();
    let held = world.all_logs(HUB)?.into_iter();
    let held: Vec<_> = held
        .filter(|(log, _)| authors[log].device == device)
        .map(|(log, tip)| (log, tip.position()))
        .collect();
    ensure!(!held.is_empty());
    let request = request(&mut world, clock::now_ms() + 3_600_000)?;
    world.transact(HUB, |journal, connection| {
        stick::admit(journal, connection, &request)
    })?;
    let member = world.writer(HUB)?.journal.authority().members()[&device].clone();
    ensure!(member.grant.device_code == "EM1Z");
    let named = member.grant.places.into_iter();
    let named: Vec<_> = named.map(|cut| (cut.log, cut.position)).collect();
    ensure!(named == held, "{named:?}");
    Ok(())
}

// rule:enrol-invite-fresh rule:stick-invite
#[test]
fn an_invite_that_has_expired_lets_nobody_in() -> Result<()> {
    // Nor one that lives longer than an invite may: a hub whose clock was fast has made it.
    for expires_ms in [1, u64::MAX] {
        let mut world = World::with_stations(1, 1)?;
        let request = request(&mut world, expires_ms)?;
        let before = world.writer(HUB)?.journal.authority().cited();
        let refused = world.transact(HUB, |journal, connection| {
            stick::admit(journal, connection, &request)
        });
        let code = refused
            .err()
            .and_then(|error| lianxin_tests::world::code_of(&error));
        ensure!(code == Some(Code::InviteRefused), "{code:?}");
        ensure!(world.writer(HUB)?.journal.authority().cited() == before);
    }
    Ok(())
}

// rule:enrol-device-proof
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_seen_an_invites_key_and_not_its_code_is_not_let_in() -> Result<()> {
    let mut network = Network::new()?;
    let insider = Attacker::enrolled(&network, 21).await?;
    let code = InviteCode::parse(&network.invite("EM1", "station")?)?;
    let thief = Signer::from_seed(&[22; 32]);
    let endpoint = Endpoint::bind(LOOPBACK.parse()?, &thief, |_| false)?;
    let address = network.address.parse()?;
    let mut line = Line {
        link: endpoint.dial(address, Some(insider.hub)).await?,
        frames: FrameReader::default(),
    };
    let enrol = Enrol {
        invite: code.invite_key().public(),
        recipient: [9; 32],
        proof: [7; 64],
    };
    line.send(&Message::Enrol(enrol)).await?;
    let said = line.until(|_| true).await?;
    ensure!(matches!(said, Message::Error { .. }), "{said:?}");
    // The invite is open still.
    let joined = enrol::join(address, &thief, &[9; 32], &code, None).await?;
    ensure!(joined.hub == insider.hub);
    insider.endpoint.close().await;
    endpoint.close().await;
    network.hub_stops()
}

fn root_key() -> Signer {
    Signer::from_seed(&[1; 32])
}

/// What a hub that is none says to one caller.
#[derive(Clone, Copy)]
struct Says {
    key: u8,
    proof: [u8; 10],
    root: u8,
    network: u8,
}

/// What the hub of these tests says.
const HONEST: Says = Says {
    key: 3,
    proof: [0; 10],
    root: 1,
    network: 1,
};

/// Answers callers as it is told to.
struct FakeHub {
    address: String,
    serving: tokio::task::JoinHandle<()>,
}

impl FakeHub {
    fn new(says: Says) -> Result<Self> {
        let signer = Signer::from_seed(&[says.key; 32]);
        let endpoint = Endpoint::bind(LOOPBACK.parse()?, &signer, |_| false)?;
        let address = endpoint.local_address()?.to_string();
        let hub = signer.public();
        let serving = tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                if let Ok(link) = incoming.complete().await {
                    drop(answer(link, &hub, says).await);
                }
            }
        });
        Ok(Self { address, serving })
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut link: Link, hub: &DeviceKey, says: Says) -> Result<()> {
    let mut frames = FrameReader::default();
    while frames.next_frame()?.is_none() {
        let bytes = link.receive.read().await?;
        frames.push(&bytes.context("the caller left")?);
    }
    let network = NetworkId::of_root(&Signer::from_seed(&[says.network; 32]).public().0);
    let channel = Channel {
        exporter: &link.exporter,
        device: &link.peer,
        hub,
    };
    let code = InviteCode::from_random(says.proof).context("no code")?;
    let root = Signer::from_seed(&[says.root; 32]);
    let authority = Signer::from_seed(&[2; 32]).public();
    let enrolled = Enrolled {
        network,
        certificate: Certificate::sign(&root, 1, authority, None),
        device_code: "EM1B".to_owned(),
        proof: channel.hub_proof(&code.hub_proof_key(), &network),
    };
    let said = Message::Enrolled(enrolled).encode();
    link.send.write(&said).await?;
    while link.receive.read().await?.is_some() {}
    Ok(())
}

// rule:enrol-hub-proof rule:enrol-certificate rule:enrol-file
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_believes_no_hub_that_does_not_prove_itself() -> Result<()> {
    let code = code()?;
    let device = Signer::from_seed(&[4; 32]);
    let network = NetworkId::of_root(&root_key().public().0);
    let hub = Signer::from_seed(&[HONEST.key; 32]).public();
    let file = Some((network, hub));
    let another = Says {
        root: 77,
        network: 77,
        ..HONEST
    };
    let other_code = (1..37).find(|n| InviteCode::from_random([*n; 10]).is_some());
    let guessed = Says {
        proof: [other_code.context("no code")?; 10],
        ..HONEST
    };
    let forged = Says { root: 78, ..HONEST };
    let impostor = Says { key: 5, ..HONEST };
    for (what, says, file, holds) in [
        ("the hub", HONEST, file, true),
        ("the hub, to a typed code", HONEST, None, true),
        ("one that does not know the code", guessed, None, false),
        ("a certificate of another root", forged, None, false),
        ("another network than the file's", another, file, false),
        ("another network, to a typed code", another, None, true),
        ("another key than the file's", impostor, file, false),
    ] {
        let fake = FakeHub::new(says)?;
        let address = fake.address.parse()?;
        let joined = enrol::join(address, &device, &[9; 32], &code, file).await;
        match joined {
            Ok(_) => ensure!(holds, "believed: {what}"),
            Err(error) => {
                ensure!(!holds, "not believed: {what}: {}", error.chain());
                ensure!(
                    error.code() == Code::HubUnproven,
                    "{what}: {}",
                    error.chain()
                );
            }
        }
    }
    Ok(())
}

// rule:invite-file-binds
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_began_with_a_file_takes_its_network_and_hub_and_no_other() -> Result<()> {
    let scratch = Scratch::new()?;
    let network = NetworkId::of_root(&root_key().public().0);
    let others = [
        Says { key: 5, ..HONEST },
        Says {
            root: 77,
            network: 77,
            ..HONEST
        },
    ];
    for (at, says) in others.into_iter().chain([HONEST]).enumerate() {
        let fake = FakeHub::new(says)?;
        let ticket = Ticket {
            code: code()?,
            card: Some(Card {
                code: code()?,
                network,
                hub: Signer::from_seed(&[HONEST.key; 32]).public(),
                addresses: vec![fake.address.clone()],
                site: Some((SiteId([7; 16]), "EM1".to_owned())),
                device_code: "EM1B".to_owned(),
                district: "SLJD".to_owned(),
            }),
        };
        let directory = scratch.join(&format!("device-{at}"));
        join::join(&directory, &ticket, Way::None).await?.finish()?;
        let writer = Writer::open(&Store::open(&directory)?)?;
        let (thread, ended) = WriterThread::start(writer, |_| {})?;
        let confirmed = join::confirm(&thread).await;
        thread.stop();
        ensure!(ended.join().is_ok(), "the writer panicked");
        match confirmed {
            Ok(yes) => ensure!(yes && at == 2, "hub {at} was taken"),
            Err(error) => ensure!(at < 2 && error.code() == Code::HubUnproven, "hub {at}"),
        }
    }
    Ok(())
}

// rule:invite-file-grows
#[test]
fn an_invite_file_may_say_more_than_is_known() -> Result<()> {
    let network = Network::new()?;
    let path = path_text(&network.scratch.join("invite.json"))?;
    let create = ["invite", "create", "--site", "EM1", "--role", "station"];
    network.hub.ok(&[&create[..], &["--out", &path]].concat())?;
    let plain = Ticket::file(Path::new(&path)).map_err(|error| anyhow::anyhow!(error.chain()))?;
    let mut card: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    card["of_a_newer_version"] = json!({ "hub": [1, 2, 3] });
    let path = network.scratch.write("newer.json", card.to_string())?;
    let newer = Ticket::file(Path::new(&path)).map_err(|error| anyhow::anyhow!(error.chain()))?;
    let [plain, newer] = [plain, newer].map(|ticket| ticket.card.map(|card| card.text()));
    ensure!(plain.is_some() && plain == newer);
    Ok(())
}

// rule:stick-batches
#[test]
fn an_answer_on_a_stick_with_one_bad_batch_leaves_nothing() -> Result<()> {
    let mut network = Network::new()?;
    let create = ["invite", "create", "--site", "EM1", "--role", "station"];
    let card = text(&network.hub.ok(&create)?, "card");
    network.hub_stops()?;
    let device = Device::new(network.scratch.join("far"));
    let [asked, grant] = ["request", "grant"].map(|name| path_text(&network.scratch.join(name)));
    let (asked, grant) = (asked?, grant?);
    device.ok(&["join", &card, "--request-out", &asked])?;
    let admit = ["invite", "admit", &asked, "--out", &grant];
    network.hub.ok(&admit)?;
    let whole = invite::Grant::decode(&std::fs::read(&grant)?)?;
    let mut bent = whole.clone();
    // The sound ones come first.
    bent.authority.extend(whole.authority);
    let last = bent.authority.last_mut().context("no batch")?;
    let byte = last.1.packed.main.last_mut().context("no byte")?;
    *byte ^= 1;
    let path = network.scratch.write("bent", bent.encode())?;
    device
        .call(&["join", "--grant", &path])?
        .fails(4, "LX-2009")?;
    let status = device.ok(&["status"])?;
    ensure!(
        status["role"] == "pending" && status["sites"] == 0,
        "{status}"
    );
    device.ok(&["join", "--grant", &grant])?;
    ensure!(device.ok(&["status"])?["role"] == "station");
    Ok(())
}

// ---- what the hub states ----

// rule:receipt-held rule:receipt-newer
#[test]
fn a_receipt_is_kept_if_it_verifies_says_what_is_here_and_is_newer() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    world.add(A, "一")?;
    world.heal()?;
    let device = world.node(A)?.key;
    let log = *world.logs_of(A, &device)?.keys().next().context("no log")?;
    let authority = world.writer(HUB)?.journal.identity().authority.clone();
    let authority = authority.context("no hub")?;
    let kept = |world: &mut World| -> Result<Receipt> {
        let receipt = world
            .writer(A)?
            .read(|journal, connection| journal.receipt(connection, &log))?;
        receipt.context("no receipt")
    };
    let first = kept(&mut world)?;
    let later = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = first.clone();
        receipt.received_at_ms += 10;
        change(&mut receipt);
        receipt
    };
    let signed = |change: &dyn Fn(&mut Receipt)| later(change).signed(&authority);
    let cases = [
        ("signed by nobody", later(&|_| {})),
        (
            "signed by another key",
            later(&|_| {}).signed(&Signer::from_seed(&[8; 32])),
        ),
        ("of more than is here", signed(&|it| it.stored.len += 1)),
        (
            "of something else than is here",
            signed(&|it| it.stored.head[0] ^= 1),
        ),
        ("of another space", signed(&|it| it.space.0[0] ^= 1)),
        (
            "of an epoch that no order names",
            signed(&|it| it.epoch[0] ^= 1),
        ),
        ("the same", first.clone()),
        ("an older one", signed(&|it| it.received_at_ms -= 11)),
    ];
    for (what, receipt) in cases {
        let (taken, moved) = world.writer(A)?.transact(2_000, |journal, connection| {
            journal.take_receipt(connection, &receipt)
        })?;
        ensure!(!taken && moved.receipts.is_empty(), "kept: {what}");
        ensure!(kept(&mut world)? == first, "{what}");
    }
    let newer = signed(&|_| {});
    let (taken, moved) = world.writer(A)?.transact(2_000, |journal, connection| {
        journal.take_receipt(connection, &newer)
    })?;
    ensure!(taken && moved.receipts == [newer.clone()], "not passed on");
    ensure!(kept(&mut world)? == newer);
    Ok(())
}

// rule:arrival-not-hubs
#[test]
fn what_a_device_with_the_role_hub_wrote_is_named_by_no_arrival() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let device = world.node(A)?.key;
    let (site, serial) = (
        world.site()?,
        world.writer(HUB)?.journal.authority().next_serial(),
    );
    world.order(&Order::Grant(Grant {
        serial,
        device,
        recipient: [9; 32],
        site: Some(site),
        role: Role::Hub,
        device_code: "EM1A".to_owned(),
        scopes: Role::Hub.scopes(None),
        bytes_per_day: 0,
        places: Vec::new(),
    }))?;
    world.heal()?;
    let log = |world: &mut World, node: usize| -> Result<LogId> {
        let key = world.node(node)?.key;
        let log = world.logs_of(HUB, &key)?.into_keys().next();
        log.context("the hub has no such log")
    };
    let arrivals = |world: &mut World, log: LogId| -> Result<u64> {
        let connection = world.writer(HUB)?.connection();
        let sql = "SELECT count(*) FROM arrivals WHERE log = ?1";
        Ok(connection.query_row(sql, [log.0], |row| row.get(0))?)
    };
    let space = world.site_space()?;
    let write = |world: &mut World| {
        world.transact(A, |journal, connection| {
            let entry = NewEntry::plain(EntryKind::Other(200), vec![1]);
            journal
                .append(connection, space, vec![entry], 1_000)
                .map(drop)
        })
    };
    write(&mut world)?;
    world.add(B, "二")?;
    world.heal()?;
    // Whatever became of it since.
    world.order(&Order::Left { device })?;
    write(&mut world)?;
    let (hubs, stations) = (log(&mut world, A)?, log(&mut world, B)?);
    let batch = world.batch(A, &hubs, 0)?.context("no batch")?;
    world.hand_over(HUB, hubs, batch)?;
    ensure!(arrivals(&mut world, stations)? > 0);
    ensure!(
        arrivals(&mut world, hubs)? == 0,
        "the hub says when it came"
    );
    Ok(())
}
