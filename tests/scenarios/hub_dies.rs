//! The hub dies at each step of an exchange: before a commit, which loses the transaction, or after it, before
//! the answer went out. Whatever the step, nothing is shown as received before a receipt proves it, and
//! once the hub is back everything is there once.
//!
//! A step is one call of [`World::step`] or one merge of the hub's: the commits of `lianxin_node::sync::peer`
//! fall between two of them, so that a stop before step k, and one that takes the k-th commit with it, are
//! all there are.

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::Write;
use lianxin_tests::world::{HUB, text};
use lianxin_tests::{Wire, World};
use serde_json::{Value, json};

const STATION: usize = 1;
const OPERATOR: usize = 2;
const NODES: [usize; 3] = [HUB, STATION, OPERATOR];
/// Steps after which an exchange of a handful of records that still goes on never ends.
const STEPS_MAX: usize = 2_000;

/// How the hub dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Between two steps: what was committed stays, what was to be said of it is lost.
    AfterCommit,
    /// In its next transaction, which is lost.
    BeforeCommit,
}

/// What happens and what must hold in the end.
struct Story {
    world: World,
    /// Who speaks with the hub, in this order.
    callers: Vec<usize>,
    holds: fn(&mut World, &[String]) -> Result<()>,
    ids: Vec<String>,
}

fn act(id: &str, event: &str, input: Value) -> Write {
    Write::RecordAct {
        id: id.to_owned(),
        event: event.to_owned(),
        input,
        account: None,
    }
}

fn network() -> Result<World> {
    let mut world = World::with_stations(1, 1)?;
    world.add_operator("HUBB")?;
    world.heal()?;
    Ok(world)
}

/// What a station shows as received has a receipt that its own store proves, at this moment.
fn nothing_is_claimed_too_early(world: &mut World, node: usize) -> Result<()> {
    for record in world.records(node)? {
        let state = text(&record, "state");
        if !["received", "merged", "answered", "refused"].contains(&state.as_str()) {
            continue;
        }
        let id = text(&record, "id");
        for (log, seq) in world.entries(node, &id)? {
            let writer = world.writer(node)?;
            let authors = writer.journal.authors();
            if authors
                .get(&log)
                .is_some_and(|it| writer.journal.is_hubs(&it.device))
            {
                // What the hub wrote itself needs no receipt.
                continue;
            }
            let key = writer.journal.authority().key();
            let key = key.context("no authority key")?;
            let receipt = writer.read(|journal, connection| journal.receipt(connection, &log))?;
            let proven = receipt.is_some_and(|it| it.verifies(&key) && it.covers(seq));
            ensure!(
                proven,
                "a record is {state} and entry {seq} is not receipted"
            );
        }
    }
    Ok(())
}

impl Story {
    fn save(&mut self) -> Result<()> {
        NODES
            .into_iter()
            .try_for_each(|it| self.world.save(it, "begin"))
    }

    /// Goes on from the beginning, and has the hub die at step `at`. Says whether the story was over by then.
    fn tell(&mut self, at: usize, death: Death) -> Result<bool> {
        for node in NODES {
            self.world.load(node, "begin", |_| true)?;
        }
        let mut steps = 0;
        for caller in self.callers.clone() {
            self.world.link(caller, HUB, Wire::GOOD)?;
        }
        while steps < STEPS_MAX {
            let mut moved = false;
            // Merging at the hub carries out requests: a step like any other.
            for turn in 0..2 * self.callers.len() + 1 {
                if steps == at {
                    return self.die(death).map(|()| false);
                }
                moved |= match turn.checked_sub(1) {
                    None => self.world.merge(HUB)?,
                    Some(turn) => self.world.step(turn / 2, turn % 2)?,
                };
                steps += 1;
                for node in [STATION, OPERATOR] {
                    nothing_is_claimed_too_early(&mut self.world, node)?;
                }
            }
            if !moved {
                for caller in self.callers.clone() {
                    moved |= self.world.merge(caller)?;
                }
            }
            if !moved {
                return Ok(true);
            }
        }
        anyhow::bail!("an exchange of {STEPS_MAX} steps")
    }

    fn die(&mut self, death: Death) -> Result<()> {
        if death == Death::BeforeCommit {
            self.world.lose_next(HUB)?;
            // Until it is about to take something, and loses that with all its lines.
            for _ in 0..STEPS_MAX {
                let links = self.world.links();
                let mut moved = false;
                for turn in 0..2 * links {
                    moved |= self.world.step(turn / 2, turn % 2)?;
                }
                if !moved || links == 0 {
                    break;
                }
            }
        }
        self.world.restart(HUB)
    }

    fn judge(&mut self, at: usize, death: Death) -> Result<()> {
        let dies = || format!("the hub dies at step {at}, {death:?}");
        let world = &mut self.world;
        world.claims_hold(&[STATION, OPERATOR]).with_context(dies)?;
        world.heal()?;
        ensure!(world.violations.is_empty(), "{:?}", world.violations);
        world.agree(&[STATION, OPERATOR]).with_context(dies)?;
        (self.holds)(world, &self.ids).with_context(dies)?;
        world.claims_hold(&[STATION, OPERATOR]).with_context(dies)
    }

    /// Every death at every step.
    fn survives(mut self, at_least: usize) -> Result<()> {
        self.save()?;
        // The next transaction is the same one before several steps.
        for (death, stride) in [(Death::AfterCommit, 1), (Death::BeforeCommit, 3)] {
            let mut at = 0;
            loop {
                let over = self.tell(at, death)?;
                self.judge(at, death)?;
                if over {
                    break;
                }
                at += stride;
            }
            ensure!(at >= at_least, "the whole story has {at} steps");
        }
        NODES.into_iter().try_for_each(|it| self.world.sound(it))
    }
}

/// Each of these records is everywhere, once, merged, with one change.
fn arrived(world: &mut World, ids: &[String]) -> Result<()> {
    for node in NODES {
        let listed = world.records(node)?;
        for id in ids {
            let here = listed.iter().filter(|it| text(it, "id") == *id).count();
            ensure!(here == 1, "node {node} lists a record {here} times");
            let (shown, changes) = (world.show(node, id)?, world.changes(node, id)?);
            ensure!(text(&shown, "state") == "merged", "node {node}: {shown}");
            ensure!(changes.len() == 1, "node {node}: {changes:?}");
        }
        ensure!(
            listed.len() == ids.len(),
            "node {node}: {} records",
            listed.len()
        );
    }
    Ok(())
}

/// The case numbers of these records are 1 to n, each given once, and accepted once.
fn accepted_once(world: &mut World, ids: &[String]) -> Result<()> {
    let mut given = Vec::new();
    for id in ids {
        let shown = world.show(HUB, id)?;
        let number = shown.pointer("/fields/hub_no").and_then(Value::as_str);
        given.push(number.context("no case number")?.to_owned());
        let events = shown.get("events").and_then(Value::as_array);
        let events = events.into_iter().flatten();
        let accepted = events.filter(|it| text(it, "event") == "accept").count();
        ensure!(accepted == 1, "accepted {accepted} times");
        for node in [STATION, OPERATOR] {
            let seen = world.show(node, id)?;
            ensure!(
                seen.get("status") == shown.get("status"),
                "node {node}: {seen}"
            );
            ensure!(seen.pointer("/fields/hub_no") == shown.pointer("/fields/hub_no"));
        }
        let outcomes = world.show(OPERATOR, id)?;
        let outcomes = outcomes.get("requests").and_then(Value::as_array).cloned();
        let outcomes = outcomes.unwrap_or_default();
        let done = outcomes.iter().filter(|it| text(it, "outcome") == "done");
        ensure!(done.count() == 1 && outcomes.len() == 1, "{outcomes:?}");
    }
    given.sort();
    for (nth, number) in given.iter().enumerate() {
        let wanted = format!("第{:04}号", nth + 1);
        ensure!(number.ends_with(&wanted), "{given:?}");
    }
    Ok(())
}

#[test]
fn a_hub_that_dies_at_any_step_of_a_sync_loses_doubles_and_claims_nothing() -> Result<()> {
    let mut world = network()?;
    let ids = (0..2).map(|nth| Ok(world.add(STATION, &format!("意见{nth}"))?.0));
    let ids = ids.collect::<Result<Vec<_>>>()?;
    let story = Story {
        world,
        callers: vec![STATION],
        holds: arrived,
        ids,
    };
    story.survives(20)
}

#[test]
fn a_hub_that_dies_at_any_step_gives_each_case_number_once_and_no_gap() -> Result<()> {
    let mut world = network()?;
    let ids = (0..2).map(|nth| Ok(world.add(STATION, &format!("意见{nth}"))?.0));
    let ids = ids.collect::<Result<Vec<_>>>()?;
    world.heal()?;
    for id in &ids {
        world.reply(OPERATOR, act(id, "accept", json!({})))?;
    }
    let story = Story {
        world,
        callers: vec![OPERATOR, STATION],
        holds: accepted_once,
        ids,
    };
    story.survives(20)
}

#[test]
fn a_hub_that_dies_at_any_step_of_a_dispatch_leaves_each_unit_one_sheet() -> Result<()> {
    let mut world = network()?;
    let (id, ..) = world.add(STATION, "路灯不亮")?;
    world.heal()?;
    world.act(HUB, &id, "accept")?.context("not accepted")?;
    let units = json!({"lead": "示例城管办", "co": ["示例交警中队"], "due_on": "2026-04-15"});
    world.call(HUB, act(&id, "dispatch", units))?;
    let holds = |world: &mut World, ids: &[String]| {
        let [id] = ids else {
            anyhow::bail!("one matter")
        };
        for node in NODES {
            let shown = world.show(node, id)?;
            ensure!(
                text(&shown, "status") == "dispatched",
                "node {node}: {shown}"
            );
            let linked = shown.get("linked").and_then(Value::as_array);
            let linked = linked.into_iter().flatten();
            let mut units: Vec<_> = linked.map(|it| text(it, "title")).collect();
            units.sort();
            ensure!(
                units == ["示例交警中队", "示例城管办"] || units == ["示例城管办", "示例交警中队"],
                "node {node}: {units:?}"
            );
        }
        Ok(())
    };
    let story = Story {
        world,
        callers: vec![STATION, OPERATOR],
        holds,
        ids: vec![id],
    };
    story.survives(20)
}
