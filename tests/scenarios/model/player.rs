//! Plays a schedule against real nodes: a hub, three honest stations, and a device that signs anything.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use automerge::Change as Automerge;
use lianxin_protocol::authority::{Cut, Grant, Order, Role};
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::hash::parse_hex;
use lianxin_protocol::identity::Signer;
use lianxin_protocol::log::{LogId, RecordId, Run};
use lianxin_protocol::space::SpaceId;
use lianxin_tests::world::HUB;
use lianxin_tests::{Wire, World};
use serde_json::json;

use super::hostile::{Act, Actor, Cited, Draft, Hash, Hostile, entry};
use super::schedule::{NODES, NOWHERE, Ordered, Recipe, Step};
use super::watch::Seen;

/// When the hub's clock begins; it goes on by a minute with every step.
const BEGINS_MS: u64 = 1_800_000_000_000;
pub(super) const MINUTE_MS: u64 = 60_000;

/// A change of the schedule, honest or not.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) record: u32,
    pub(super) hash: Hash,
    actor: Actor,
    /// Numbers of its operations.
    pub(super) first: u64,
    pub(super) last: u64,
    /// All that it builds on; none where that is nowhere.
    pub(super) before: Option<BTreeSet<String>>,
    /// Where an honest one stands.
    pub(super) place: Option<(LogId, u64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: RecordId,
    founder: Actor,
}

/// An order about the hostile device, as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) order: Ordered,
    /// Length of the authority log with it.
    pub(super) len: u32,
    pub(super) places: BTreeMap<LogId, u64>,
    /// How many steps had been taken.
    pub(super) step: usize,
}

#[derive(Debug)]
pub(super) struct Player {
    pub(super) world: World,
    pub(super) hostile: Hostile,
    pub(super) changes: BTreeMap<String, Change>,
    pub(super) records: BTreeMap<u32, Record>,
    pub(super) given: Vec<Given>,
    /// What a log may cite: the authority log after each of these orders.
    pub(super) cites: Vec<Cited>,
    /// In which step each log of the hostile device was begun.
    pub(super) begun: BTreeMap<LogId, usize>,
    pub(super) space: SpaceId,
    pub(super) seen: Vec<Seen>,
    /// When the hub stored each entry, as often as it did.
    pub(super) stored: BTreeMap<String, BTreeSet<u64>>,
    pub(super) steps: usize,
    pub(super) skipped: usize,
}

impl Player {
    pub(super) fn new(seed: u64) -> Result<Self> {
        let mut world = World::with_stations(seed, NODES.len() - 1)?;
        world.set_clock(HUB, BEGINS_MS)?;
        let space = world.site_space()?;
        let mut player = Self {
            world,
            hostile: Hostile::new(Signer::from_seed(&[13; 32]), BEGINS_MS),
            changes: BTreeMap::new(),
            records: BTreeMap::new(),
            given: Vec::new(),
            cites: Vec::new(),
            begun: BTreeMap::new(),
            space,
            seen: NODES.iter().map(|_| Seen::default()).collect(),
            stored: BTreeMap::new(),
            steps: 0,
            skipped: 0,
        };
        player.grant(Role::Station, Vec::new())?;
        let cited = player.cited(HUB)?;
        player.cites.push(cited);
        player.world.heal()?;
        for node in 0..NODES.len() {
            player.check(node)?;
        }
        Ok(player)
    }

    pub(super) fn now_ms(&self) -> u64 {
        BEGINS_MS + MINUTE_MS * self.steps as u64
    }

    pub(super) fn cited(&mut self, node: usize) -> Result<Cited> {
        Ok(self.world.writer(node)?.journal.authority().cited())
    }

    /// Takes a step, and looks at whoever it moved. A step that makes no sense any more is skipped.
    pub(super) fn play(&mut self, step: &Step) -> Result<()> {
        self.steps += 1;
        self.world.set_clock(HUB, self.now_ms())?;
        let moved = match step {
            Step::Write { name, at, record } => self.write(name, *at, *record)?,
            Step::Begin { name, cites } => self.begin(name, *cites),
            Step::Sign { name, recipe } => self.sign(name, recipe)?,
            Step::Deliver { to, name } => self.deliver(*to, name)?,
            Step::Sync { one, other } => self.sync(*one, *other)?,
            Step::Order(ordered) => self.order(ordered)?,
        };
        let Some(moved) = moved else {
            self.skipped += 1;
            return Ok(());
        };
        for node in moved {
            self.world.merge(node)?;
            self.check(node)?;
        }
        Ok(())
    }

    // ---- honest nodes ----

    fn write(&mut self, name: &str, at: usize, record: u32) -> Result<Option<Vec<usize>>> {
        let Some(known) = self.records.get(&record).cloned() else {
            if at == HUB {
                // Its own records lie in a space of its own.
                return Ok(None);
            }
            let (id, ..) = self.world.add(at, name)?;
            let id = RecordId::parse(&id).context("no id")?;
            let founder = [0; 16];
            self.records.insert(record, Record { id, founder });
            let actor = self.written(name, at, record, &BTreeSet::new())?;
            let founder = self.records.get_mut(&record).context("no record")?;
            founder.founder = actor;
            return Ok(Some(vec![at]));
        };
        let seen = self.seen.get(at).context("no node")?;
        if !seen.counted.iter().any(|name| self.is_of(name, record)) {
            return Ok(None);
        }
        let id = known.id.hyphenated();
        let before: BTreeSet<_> = self.world.entries(at, &id)?.into_iter().collect();
        let input = json!({ "people_count": self.steps });
        let written = self.world.set(at, &id, input)?;
        ensure!(written.is_some(), "wait: {name} cannot be written");
        self.written(name, at, record, &before)?;
        Ok(Some(vec![at]))
    }

    pub(super) fn is_of(&self, name: &str, record: u32) -> bool {
        self.changes.get(name).is_some_and(|it| it.record == record)
    }

    /// Notes what an honest node has just written.
    fn written(
        &mut self,
        name: &str,
        at: usize,
        record: u32,
        before: &BTreeSet<(LogId, u64)>,
    ) -> Result<Actor> {
        let id = self.records.get(&record).context("no record")?.id;
        let after = self.world.entries(at, &id.hyphenated())?;
        let new = after.into_iter().filter(|it| !before.contains(it));
        let place = new.max_by_key(|(_, seq)| *seq);
        let (log, seq) = place.with_context(|| format!("wait: {name} was not written"))?;
        let run = self.run(at, &log, seq)?.context("no run")?;
        let entry = run.entries.iter().find(|it| it.header.seq == seq);
        let payload = entry.and_then(|it| it.payload.as_deref());
        let change = Automerge::try_from(payload.context("no payload")?)?;
        let hashes = change.deps().iter().map(|dep| self.name_of(&dep.0));
        let deps: Vec<String> = hashes
            .collect::<Option<_>>()
            .context("it builds on what?")?;
        let before = self.under(&deps);
        ensure!(before.is_some(), "{name} builds on what is nowhere");
        let actor = log.actor();
        let change = Change {
            record,
            hash: change.hash().0,
            actor,
            first: change.start_op().get(),
            last: change.max_op(),
            before,
            place: Some((log, seq)),
        };
        self.changes.insert(name.to_owned(), change);
        self.world.merge(at)?;
        let counted = self.counted(at)?;
        ensure!(
            counted.contains(name),
            "wait: {name} does not count at once"
        );
        Ok(actor)
    }

    pub(super) fn name_of(&self, hash: &Hash) -> Option<String> {
        let mut found = self.changes.iter().filter(|(_, it)| it.hash == *hash);
        found.next().map(|(name, _)| name.clone())
    }

    /// What these changes build on, themselves included.
    fn under(&self, deps: &[String]) -> Option<BTreeSet<String>> {
        let mut under: BTreeSet<String> = deps.iter().cloned().collect();
        for dep in deps {
            under.extend(self.changes.get(dep)?.before.clone()?);
        }
        Some(under)
    }

    /// The piece of a node's log that has this entry.
    pub(super) fn run(&mut self, node: usize, log: &LogId, seq: u64) -> Result<Option<Run>> {
        let Some(piece) = self.world.batch(node, log, seq)? else {
            return Ok(None);
        };
        let parts = Parts::Section(&piece.packed.parts);
        let run = batch::unpack(log, piece.start, &piece.packed.main, parts)?;
        Ok(Some(run))
    }

    fn sync(&mut self, one: usize, other: usize) -> Result<Option<Vec<usize>>> {
        // Stations dial the hub.
        let (dialler, listener) = (one.max(other), one.min(other));
        self.world.link(dialler, listener, Wire::GOOD)?;
        self.world.run()?;
        self.world.unlink_all();
        // The hub first: it says what it stored.
        Ok(Some(vec![listener, dialler]))
    }

    // ---- the hub's orders ----

    fn order(&mut self, ordered: &Ordered) -> Result<Option<Vec<usize>>> {
        let device = self.hostile.signer.public();
        let cuts = self.world.writer(HUB)?.journal.places_of(&device);
        let places = cuts.iter().map(|cut| (cut.log, cut.position.len)).collect();
        match ordered {
            Ordered::Revoke => {
                let lost = false;
                self.world.order(&Order::Revoke { device, lost, cuts })?;
            }
            Ordered::Grant => self.grant(Role::Station, cuts)?,
            Ordered::Narrow => self.grant(Role::Reader, cuts)?,
            Ordered::Adopt { name, from } => {
                let held = self.chain(HUB)?;
                if !held.contains(name) {
                    return Ok(None);
                }
                let signed = self.hostile.get(name)?;
                let (log, to) = (signed.log, signed.end());
                if *from >= to.len {
                    return Ok(None);
                }
                let from = *from;
                self.world.order(&Order::Adopt { log, from, to })?;
            }
        }
        let cited = self.cited(HUB)?;
        self.cites.push(cited);
        self.given.push(Given {
            order: ordered.clone(),
            len: cited.0,
            places,
            step: self.steps,
        });
        Ok(Some(vec![HUB]))
    }

    fn grant(&mut self, role: Role, places: Vec<Cut>) -> Result<()> {
        let site = Some(self.world.site()?);
        let serial = self.world.writer(HUB)?.journal.authority().next_serial();
        self.world.order(&Order::Grant(Grant {
            serial,
            device: self.hostile.signer.public(),
            recipient: [9; 32],
            site,
            role,
            device_code: "EM1D".to_owned(),
            scopes: role.scopes(site),
            bytes_per_day: 0,
            places,
        }))
    }

    // ---- the hostile device ----

    fn begin(&mut self, name: &str, cites: usize) -> Option<Vec<usize>> {
        let cited = *self.cites.get(cites)?;
        self.hostile.begin(name, self.space, cited);
        let log = self.hostile.get(name).ok()?.log;
        self.begun.insert(log, self.steps);
        Some(Vec::new())
    }

    fn sign(&mut self, name: &str, recipe: &Recipe) -> Result<Option<Vec<usize>>> {
        let nowhere = |dep: &String| dep == NOWHERE;
        let (lost, deps): (Vec<_>, Vec<_>) = recipe.deps.iter().cloned().partition(nowhere);
        let mut named = deps.iter().chain(&recipe.names);
        if !self.hostile.has(&recipe.after) || !named.all(|it| self.changes.contains_key(it)) {
            return Ok(None);
        }
        let after = self.hostile.get(&recipe.after)?;
        let (log, seq) = (after.log, after.end().len);
        let actor = log.actor();
        let founds = recipe.deps.is_empty();
        if founds && !recipe.usurps && !self.records.contains_key(&recipe.record) {
            let id = RecordId::founded(self.now_ms(), &log, seq);
            let founder = actor;
            self.records.insert(recipe.record, Record { id, founder });
        }
        let Some(record) = self.records.get(&recipe.record).cloned() else {
            return Ok(None);
        };
        let under = self.under(&deps).filter(|_| lost.is_empty());
        let known = deps.iter().filter_map(|dep| self.changes.get(dep));
        let highest = under.iter().flatten().filter_map(|it| self.changes.get(it));
        let highest = highest.map(|it| it.last).max().unwrap_or_default();
        let listed = recipe.names.iter().filter_map(|it| self.changes.get(it));
        let mut others: BTreeSet<Actor> = listed.map(|it| it.actor).collect();
        if !founds && lost.is_empty() {
            others.insert(record.founder);
        }
        others.remove(&actor);
        let Some(first) = u32::try_from(highest + 1).ok() else {
            // No number is left.
            return Ok(None);
        };
        let founder = record.founder;
        let draft = Draft {
            deps: known
                .map(|it| it.hash)
                .chain(lost.iter().map(|_| [0xab; 32]))
                .collect(),
            actor,
            number: recipe.number,
            // Two numbers are left at least: Automerge does not take the last.
            first: first.saturating_add(recipe.gap).min(u32::MAX - 1),
            others: others.into_iter().collect(),
            act: match (founds, recipe.voids) {
                (true, _) => Act::Found {
                    by: name.to_owned(),
                },
                (false, true) => Act::Void { founder },
                (false, false) => Act::Put {
                    key: name.to_owned(),
                    founder,
                },
            },
        };
        let (payload, hash) = draft.seal();
        let first = u64::from(draft.first);
        self.hostile
            .append(name, &recipe.after, entry(record.id, payload))?;
        let change = Change {
            record: recipe.record,
            hash,
            actor,
            first,
            last: first + u64::from(draft.operations()) - 1,
            before: under,
            place: None,
        };
        self.changes.insert(name.to_owned(), change);
        Ok(Some(Vec::new()))
    }

    fn deliver(&mut self, to: usize, name: &str) -> Result<Option<Vec<usize>>> {
        if !self.hostile.has(name) {
            return Ok(None);
        }
        let branch = self.hostile.branch(name).into_iter();
        let branch: Vec<_> = branch.map(|it| self.hostile.get(it).cloned()).collect();
        for signed in branch {
            let signed = signed?;
            self.world.hand_over(to, signed.log, signed.wire())?;
        }
        Ok(Some(vec![to]))
    }

    // ---- in the end ----

    /// All exchange what they have until nothing moves, and then are alike.
    pub(super) fn settle(&mut self) -> Result<()> {
        for _ in 0..2 {
            for one in 0..NODES.len() {
                for other in 0..one {
                    for node in self.sync(one, other)?.into_iter().flatten() {
                        self.check(node)?;
                    }
                }
            }
        }
        self.alike()
    }

    /// The changes that count at a node.
    pub(super) fn counted(&mut self, node: usize) -> Result<BTreeSet<String>> {
        let mut counted = BTreeSet::new();
        let ids: Vec<_> = self.records.values().map(|it| it.id.hyphenated()).collect();
        for id in ids {
            // A node that has never heard of a record has no history of it.
            for hash in self.world.changes(node, &id).unwrap_or_default() {
                let hash = parse_hex(&hash).context("no hash")?;
                let name = self.name_of(&hash);
                counted.extend(name);
            }
        }
        Ok(counted)
    }

    /// The hostile entries that stand in a node's chains, up to their tips.
    pub(super) fn chain(&mut self, node: usize) -> Result<BTreeSet<String>> {
        let device = self.hostile.signer.public();
        let logs = self.world.logs_of(node, &device)?;
        let mut names = BTreeSet::new();
        for (log, tip) in logs {
            let mut at = 0;
            while let Some(run) = self.run(node, &log, at)? {
                at = run.checkpoint.len;
                let held = run.entries.iter().filter(|it| it.header.seq < tip.len);
                let ids = held.map(|it| it.header.id().0);
                names.extend(ids.filter_map(|id| self.hostile.of_id(&id).map(str::to_owned)));
            }
        }
        Ok(names)
    }
}
