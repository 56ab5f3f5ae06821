//! What people write without knowing of each other: both values can be reached, whoever does not keep theirs is told once, and
//! every device says the same, whoever chose, chose at the same time as another, or took a choice back.
//!
//! The model knows of each write what its author had seen. Whether it is kept follows from that alone: it stands, or was replaced by
//! somebody who had nothing to choose between, or a choice that keeps it is kept itself.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use lianxin_node::accounts;
use lianxin_node::actor::Actor;
use lianxin_node::error::Code;
use lianxin_node::records::apart::Became;
use lianxin_node::records::inbox::{self, What};
use lianxin_node::records::save::{self, Author, Pick};
use lianxin_node::records::sight::Sight;
use lianxin_node::records::{self, Content, gather};
use lianxin_protocol::document::ChangeHash;
use lianxin_protocol::hash::Hex;
use lianxin_tests::world::{HUB, code_of, text};
use lianxin_tests::{Rng, Wire, World};
use serde_json::{Value, json};

const A: usize = 1;
const B: usize = 2;
const NODES: [usize; 3] = [HUB, A, B];
const SEEDS: u64 = 60;
const ROUNDS: usize = 12;
const MANY: usize = 1_000;

/// Whoever is at a node.
fn author(world: &mut World, node: usize, now_ms: u64) -> Result<Author> {
    world.transact(node, |journal, connection| {
        let account = accounts::first(connection)?;
        let actor = account.map_or_else(
            || Actor::owner(journal),
            |account| Actor::of(&account, journal),
        );
        Ok(Author { actor, now_ms })
    })
}

fn content(world: &mut World, node: usize, id: &str) -> Result<Content> {
    world.transact(node, |journal, connection| {
        let key = records::find(connection, id)?;
        Ok(gather(connection, journal, key)?.content(journal.authority()))
    })
}

/// The time of a world, as its records carry it.
const NOW_MS: u64 = 1_790_000_100_000;

/// Chooses at a node; gives the change, or nothing where there was nothing to choose.
fn settle(
    world: &mut World,
    node: usize,
    id: &str,
    picks: &[(&str, Pick)],
) -> Result<Option<ChangeHash>> {
    let author = author(world, node, NOW_MS)?;
    let picks: BTreeMap<_, _> = picks
        .iter()
        .map(|(field, pick)| ((*field).to_owned(), pick.clone()))
        .collect();
    let done = world.transact(node, |journal, connection| {
        let key = records::find(connection, id)?;
        let what = (&picks, "问过反映人");
        save::settle(connection, journal, key, what, &author)?;
        Ok(gather(connection, journal, key)?.document().heads())
    });
    head(done)
}

fn unsettle(
    world: &mut World,
    node: usize,
    id: &str,
    (change, field, pick): (ChangeHash, &str, ChangeHash),
    now_ms: u64,
) -> Result<Option<ChangeHash>> {
    let author = author(world, node, now_ms)?;
    let picks = BTreeMap::from([(field.to_owned(), pick)]);
    let done = world.transact(node, |journal, connection| {
        let key = records::find(connection, id)?;
        save::unsettle(connection, journal, key, (&change, &picks, ""), &author)?;
        Ok(gather(connection, journal, key)?.document().heads())
    });
    head(done)
}

fn head(done: Result<Vec<ChangeHash>>) -> Result<Option<ChangeHash>> {
    match done {
        Ok(heads) => Ok(heads.first().copied()),
        Err(error) if code_of(&error) == Some(Code::NothingToDo) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What people at a node are told, from its inbox: what, and the fields.
fn told(world: &mut World, node: usize) -> Result<Vec<(What, ChangeHash, String)>> {
    world.transact(node, |_, connection| {
        let account = accounts::first(connection)?.map_or_else(String::new, |it| it.id);
        let mut found = Vec::new();
        for seen in [false, true] {
            let items = inbox::own(connection, &account, seen, None, MANY)?;
            found.extend(
                items
                    .into_iter()
                    .map(|item| (item.what, item.change, item.about)),
            );
        }
        Ok(found)
    })
}

fn whats(world: &mut World, node: usize) -> Result<Vec<What>> {
    let mut whats: Vec<_> = told(world, node)?.into_iter().map(|it| it.0).collect();
    whats.sort_unstable();
    Ok(whats)
}

/// The change of a side of a field in conflict.
fn side(content: &Content, field: &str, value: &Value) -> Result<ChangeHash> {
    let values = content.conflicts.get(field).context("no conflict")?;
    let side = values.iter().find(|it| it.value == *value);
    Ok(side.with_context(|| format!("no side {value}"))?.change)
}

fn begun(seed: u64) -> Result<(World, String)> {
    let mut world = World::with_stations(seed, 2)?;
    let (id, _, _) = world.add(A, "路灯不亮")?;
    world.heal()?;
    world.set(A, &id, json!({ "people_count": 2 }))?;
    world.heal()?;
    Ok((world, id))
}

#[test]
fn a_choice_tells_each_side_once_and_is_taken_back_for_seven_days() -> Result<()> {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    let (mut world, id) = begun(51)?;
    world.set(A, &id, json!({ "urgency": "urgent" }))?;
    world.set(B, &id, json!({ "urgency": "emergency_referred" }))?;
    world.heal()?;
    let shown = content(&mut world, HUB, &id)?;
    let pick = side(&shown, "urgency", &json!("urgent"))?;
    let other = side(&shown, "urgency", &json!("emergency_referred"))?;
    let chosen = settle(&mut world, HUB, &id, &[("urgency", Pick::Value(pick))])?;
    let chosen = chosen.context("nothing was chosen")?;
    world.heal()?;
    ensure!(whats(&mut world, A)? == [What::Kept]);
    ensure!(whats(&mut world, B)? == [What::Unkept]);
    ensure!(whats(&mut world, HUB)?.is_empty());
    // Too late, and then in time, at another computer than that of whoever chose.
    let at_ms = content(&mut world, A, &id)?.apart[0]
        .standing()
        .map(|it| it.at_ms)
        .max();
    let at_ms = at_ms.context("no choice")?;
    let what = (chosen, "urgency", other);
    let late = unsettle(&mut world, A, &id, what, at_ms + 8 * DAY_MS);
    let late = late.err().and_then(|error| code_of(&error));
    ensure!(late == Some(Code::StepRefused), "{late:?}");
    let undone = unsettle(&mut world, A, &id, what, at_ms + 7 * DAY_MS)?;
    ensure!(undone.is_some());
    world.heal()?;
    for node in NODES {
        let shown = world.show(node, &id)?;
        ensure!(
            shown["fields"]["urgency"] == "emergency_referred",
            "{shown}"
        );
        ensure!(shown["conflicts"] == json!([]), "{shown}");
        let last = shown["events"].as_array().and_then(|it| it.last()).cloned();
        let last = last.context("no events")?;
        ensure!(
            last["event"] == "unsettle" && last["applied"] == true,
            "{last}"
        );
        ensure!(last["data"]["undoes"] == Hex(&chosen).to_string(), "{last}");
    }
    // Whoever took it back knows what became of their own; the others are told once.
    ensure!(whats(&mut world, HUB)? == [What::Undone]);
    ensure!(whats(&mut world, B)? == [What::Restored]);
    ensure!(
        whats(&mut world, A)?.is_empty(),
        "{:?}",
        told(&mut world, A)?
    );
    let again = unsettle(&mut world, A, &id, what, at_ms + DAY_MS)?;
    ensure!(again.is_none(), "it was taken back twice");
    world.agree(&[A, B])?;
    for node in NODES {
        world.sound(node)?;
    }
    Ok(())
}

#[test]
fn whoever_cleared_a_field_disagrees_with_whoever_changed_it() -> Result<()> {
    let (mut world, id) = begun(52)?;
    world.set(A, &id, json!({ "people_count": Value::Null }))?;
    world.set(B, &id, json!({ "people_count": 5, "urgency": "urgent" }))?;
    world.heal()?;
    for node in NODES {
        let shown = world.show(node, &id)?;
        ensure!(shown["fields"]["people_count"] == 5, "{shown}");
        let values = shown["conflicts"][0]["values"].as_array().cloned();
        let values: Vec<_> = values.into_iter().flatten().collect();
        let values: Vec<_> = values.iter().map(|it| it["value"].clone()).collect();
        ensure!(values == [json!(5), Value::Null], "{shown}");
    }
    let shown = content(&mut world, HUB, &id)?;
    let kept = side(&shown, "people_count", &json!(5))?;
    let cleared = side(&shown, "people_count", &Value::Null)?;
    // To keep what is shown anyway is a choice too, and signed.
    ensure!(settle(&mut world, HUB, &id, &[("people_count", Pick::Value(kept))])?.is_some());
    world.heal()?;
    ensure!(whats(&mut world, A)? == [What::Unkept]);
    for node in NODES {
        ensure!(world.show(node, &id)?["conflicts"] == json!([]));
    }
    let shown = content(&mut world, B, &id)?;
    let choice = shown.apart.iter().find(|it| it.field == "people_count");
    let choice = choice.and_then(|it| it.standing().next());
    let choice = choice.context("no choice")?.change;
    let what = (choice, "people_count", cleared);
    ensure!(unsettle(&mut world, B, &id, what, NOW_MS)?.is_some());
    world.heal()?;
    ensure!(whats(&mut world, A)? == [What::Restored]);
    for node in NODES {
        let shown = world.show(node, &id)?;
        ensure!(shown["fields"].get("people_count").is_none(), "{shown}");
        world.sound(node)?;
    }
    Ok(())
}

#[test]
fn two_who_choose_at_once_disagree_again_and_nobody_is_told_before_that_is_settled() -> Result<()> {
    let (mut world, id) = begun(53)?;
    for (node, value) in [(HUB, "normal"), (A, "urgent"), (B, "emergency_referred")] {
        world.set(node, &id, json!({ "urgency": value }))?;
    }
    world.heal()?;
    let shown = content(&mut world, A, &id)?;
    let of = |value: &str| side(&shown, "urgency", &json!(value));
    let (first, second) = (of("urgent")?, of("emergency_referred")?);
    settle(&mut world, HUB, &id, &[("urgency", Pick::Value(first))])?;
    settle(&mut world, A, &id, &[("urgency", Pick::Value(second))])?;
    // Without a reason nothing is given up.
    let author = author(&mut world, B, NOW_MS)?;
    let picks = BTreeMap::from([("urgency".to_owned(), Pick::Value(first))]);
    let bare = world.transact(B, |journal, connection| {
        let key = records::find(connection, &id)?;
        save::settle(connection, journal, key, (&picks, " "), &author).map(drop)
    });
    ensure!(bare.err().and_then(|error| code_of(&error)) == Some(Code::FieldsRefused));
    world.heal()?;
    ensure!(
        world.show(B, &id)?["conflicts"][0]["values"]
            .as_array()
            .map(Vec::len)
            == Some(2)
    );
    for node in NODES {
        let early = told(&mut world, node)?;
        ensure!(early.is_empty(), "node {node} is told early: {early:?}");
    }
    let shown = content(&mut world, B, &id)?;
    let pick = side(&shown, "urgency", &json!("urgent"))?;
    settle(&mut world, B, &id, &[("urgency", Pick::Value(pick))])?;
    world.heal()?;
    // B has decided against its own value, which A had chosen; A's own is kept.
    ensure!(
        whats(&mut world, HUB)? == [What::Kept],
        "{:?}",
        told(&mut world, HUB)?
    );
    ensure!(
        whats(&mut world, A)? == [What::Unkept, What::Kept],
        "{:?}",
        told(&mut world, A)?
    );
    ensure!(
        whats(&mut world, B)?.is_empty(),
        "{:?}",
        told(&mut world, B)?
    );
    for node in NODES {
        world.sound(node)?;
    }
    Ok(())
}

#[test]
fn words_made_of_both_keep_both_and_several_fields_are_one_change() -> Result<()> {
    let (mut world, id) = begun(54)?;
    world.set(A, &id, json!({ "title": "灯坏了", "urgency": "urgent" }))?;
    world.set(
        B,
        &id,
        json!({ "title": "井盖松了", "urgency": "emergency_referred" }),
    )?;
    world.heal()?;
    let before = world.changes(HUB, &id)?.len();
    let shown = content(&mut world, HUB, &id)?;
    let pick = side(&shown, "urgency", &json!("urgent"))?;
    let picks = [
        ("title", Pick::Words("灯坏了，井盖松了".to_owned())),
        ("urgency", Pick::Value(pick)),
    ];
    settle(&mut world, HUB, &id, &picks)?;
    ensure!(world.changes(HUB, &id)?.len() == before + 1);
    world.heal()?;
    let of = |told: Vec<(What, ChangeHash, String)>| -> BTreeSet<(What, String)> {
        told.into_iter().map(|it| (it.0, it.2)).collect()
    };
    let some = |all: &[(What, &str)]| -> BTreeSet<(What, String)> {
        all.iter()
            .map(|(what, field)| (*what, (*field).to_owned()))
            .collect()
    };
    ensure!(of(told(&mut world, A)?) == some(&[(What::Kept, "title urgency")]));
    let b = some(&[(What::Kept, "title"), (What::Unkept, "urgency")]);
    ensure!(of(told(&mut world, B)?) == b, "{:?}", told(&mut world, B)?);
    // The same words, typed twice, are no conflict.
    world.set(A, &id, json!({ "title": "都坏了" }))?;
    world.set(B, &id, json!({ "title": "都坏了" }))?;
    world.heal()?;
    for node in NODES {
        ensure!(world.show(node, &id)?["conflicts"] == json!([]));
        world.sound(node)?;
    }
    Ok(())
}

// ---- seeds ----

/// A write of the model.
#[derive(Clone, Debug)]
struct Written {
    change: ChangeHash,
    field: &'static str,
    value: Value,
    node: usize,
    /// The writes that its author had.
    saw: BTreeSet<usize>,
    /// The choice that it takes back.
    undoes: Option<usize>,
}

#[derive(Default)]
struct Model {
    writes: Vec<Written>,
    known: BTreeMap<usize, BTreeSet<usize>>,
}

impl Model {
    fn wrote(
        &mut self,
        (node, change): (usize, ChangeHash),
        (field, value): (&'static str, Value),
        undoes: Option<usize>,
    ) {
        let saw = self.known.entry(node).or_default();
        let at = self.writes.len();
        self.writes.push(Written {
            change,
            field,
            value,
            node,
            saw: saw.clone(),
            undoes,
        });
        saw.insert(at);
    }

    fn met(&mut self, nodes: &[usize]) {
        let all = nodes
            .iter()
            .filter_map(|node| self.known.get(node))
            .flatten();
        let all: BTreeSet<usize> = all.copied().collect();
        for node in nodes {
            self.known.insert(*node, all.clone());
        }
    }

    fn at(&self, at: usize) -> &Written {
        self.writes.get(at).unwrap_or_else(|| unreachable!())
    }

    fn of(&self, field: &str) -> Vec<usize> {
        let all = self.writes.iter().enumerate();
        all.filter(|(_, it)| it.field == field)
            .map(|(at, _)| at)
            .collect()
    }

    /// The writes of the field that one stands directly upon.
    fn upon(&self, at: usize) -> Vec<usize> {
        let saw = &self.at(at).saw;
        let mut under = self.of(self.at(at).field);
        under.retain(|it| saw.contains(it));
        let replaced = |it: &usize| under.iter().any(|over| self.at(*over).saw.contains(it));
        under.iter().copied().filter(|it| !replaced(it)).collect()
    }

    fn chose(&self, at: usize) -> bool {
        let values: BTreeSet<String> = self
            .upon(at)
            .iter()
            .map(|it| self.at(*it).value.to_string())
            .collect();
        values.len() > 1
    }

    fn keeps(&self, over: usize, under: usize) -> bool {
        let (over, under) = (self.at(over), self.at(under));
        let part = over.field == "title"
            && under
                .value
                .as_str()
                .is_some_and(|text| over.value.as_str().is_some_and(|it| it.contains(text)));
        over.value == under.value || part
    }

    /// Whether a write is kept; else who decided.
    fn kept(&self, at: usize) -> Result<(), BTreeSet<usize>> {
        let above = self.of(self.at(at).field);
        let above: Vec<_> = above
            .into_iter()
            .filter(|it| self.upon(*it).contains(&at))
            .collect();
        let mut lost = BTreeSet::new();
        for over in &above {
            let undone = self.at(*over).undoes == Some(at);
            if !undone && !self.chose(*over) {
                return Ok(());
            }
            let back = self.of(self.at(at).field).into_iter();
            let back =
                back.filter(|it| self.at(*it).undoes == Some(*over) && self.kept(*it).is_ok());
            let mut deciders: Vec<_> = back.collect();
            if deciders.is_empty() || undone {
                deciders = vec![*over];
            }
            for decides in deciders {
                match self.kept(decides) {
                    Ok(()) if !undone && self.keeps(decides, at) => return Ok(()),
                    Err(by) if !undone && self.keeps(decides, at) => lost.extend(by),
                    _ => {
                        lost.insert(decides);
                    }
                }
            }
        }
        if lost.is_empty() { Ok(()) } else { Err(lost) }
    }

    /// The writes whose authors are told that theirs was not kept.
    fn losers(&self) -> BTreeSet<(usize, ChangeHash, String)> {
        let mut losers = BTreeSet::new();
        for (at, write) in self.writes.iter().enumerate() {
            let Err(by) = self.kept(at) else { continue };
            let undone: BTreeSet<usize> = by.iter().filter_map(|by| self.at(*by).undoes).collect();
            let mut choices = undone.iter();
            let own_choice = choices.any(|choice| self.at(*choice).node == write.node);
            let again = self.of(write.field).into_iter().any(|over| {
                let upon = self.upon(over).contains(&at) && self.chose(over);
                let lost = self.kept(over).is_err();
                upon && self.keeps(over, at) && lost && self.at(over).node == write.node
            });
            let own = by.iter().any(|by| self.at(*by).node == write.node);
            if !own && !again && !own_choice && !undone.contains(&at) {
                losers.insert((write.node, write.change, write.field.to_owned()));
            }
        }
        losers
    }
}

/// What is written at random.
fn value(rng: &mut Rng, field: &str) -> Value {
    let texts = ["路灯不亮", "井盖松动", "电梯故障", "垃圾未清"];
    match field {
        "urgency" => json!(rng.pick(&["normal", "urgent", "emergency_referred"])),
        "people_count" if rng.chance(40) => Value::Null,
        "people_count" => json!(rng.below(5) + 1),
        _ => json!(rng.pick(&texts)),
    }
}

const FIELDS: [&str; 3] = ["title", "urgency", "people_count"];

fn hash(text: &str) -> Result<ChangeHash> {
    lianxin_protocol::hash::parse_hex(text).context("no hash")
}

/// One piece of work at a node: a write, a choice, or a choice that is taken back.
fn work(world: &mut World, model: &mut Model, rng: &mut Rng, id: &str, node: usize) -> Result<()> {
    let field = *rng.pick(&FIELDS).context("no field")?;
    let shown = content(world, node, id)?;
    let values = shown.conflicts.get(field).cloned().unwrap_or_default();
    if !values.is_empty() && rng.chance(70) {
        let texts: Vec<_> = values.iter().filter_map(|it| it.value.as_str()).collect();
        let (pick, put) = if field == "title" && rng.chance(30) {
            let words = texts.join("，");
            (Pick::Words(words.clone()), json!(words))
        } else {
            let value = rng.pick(&values).context("no value")?;
            (Pick::Value(value.change), value.value.clone())
        };
        if let Some(change) = settle(world, node, id, &[(field, pick)])? {
            model.wrote((node, change), (field, put), None);
        }
        return Ok(());
    }
    let apart = shown.apart.iter().find(|it| it.field == field);
    let choice = apart.and_then(|apart| {
        let last = apart.standing().next()?;
        let left = apart.not_taken(&last.change);
        let put = left.first()?;
        Some((last.change, put.change, put.value.clone()))
    });
    if let Some((change, put, value)) = choice.filter(|_| rng.chance(60)) {
        let undoes = model
            .writes
            .iter()
            .position(|it| (it.change, it.field) == (change, field));
        let what = (change, field, put);
        let done = unsettle(world, node, id, what, NOW_MS)?;
        let done = done.context("a choice is not taken back")?;
        model.wrote((node, done), (field, value), undoes);
        return Ok(());
    }
    if rng.chance(20) {
        let item = format!("测试代表{node}{}", rng.below(9));
        world.set(node, id, json!({ "deputies": { "add": [item] } }))?;
        return Ok(());
    }
    let put = value(rng, field);
    if let Some(change) = world.set(node, id, json!({ field: put }))? {
        model.wrote((node, hash(&change)?), (field, put), None);
    }
    Ok(())
}

fn checked(world: &mut World, model: &Model, id: &str) -> Result<()> {
    let mut all = None;
    for node in NODES {
        let shown = content(world, node, id)?;
        // Both values of whatever was written can be reached.
        let history = world.transact(node, |journal, connection| {
            let key = records::find(connection, id)?;
            let gathered = gather(connection, journal, key)?;
            Ok(records::history(
                &gathered,
                &gathered.content(journal.authority()),
                Sight::Whole,
                str::to_owned,
            ))
        })?;
        for write in &model.writes {
            let digest = Hex(&write.change).to_string();
            let change = history.iter().find(|it| text(it, "hash") == digest);
            let values = change.and_then(|it| it.get("values")?.as_array().cloned());
            let mut values = values.into_iter().flatten();
            let is_there = values
                .any(|it| text(&it, "field") == write.field && it.get("new") == Some(&write.value));
            ensure!(is_there, "{write:?} is in no history at node {node}");
        }
        // A conflict is what stands side by side.
        for field in FIELDS {
            let mut standing = model.of(field);
            let seen: BTreeSet<usize> = standing
                .iter()
                .flat_map(|it| model.at(*it).saw.clone())
                .collect();
            standing.retain(|it| !seen.contains(it));
            let wanted: BTreeSet<String> = standing
                .iter()
                .map(|it| model.at(*it).value.to_string())
                .collect();
            let values = shown.conflicts.get(field).into_iter().flatten();
            let found: BTreeSet<String> = values.map(|it| it.value.to_string()).collect();
            let wanted = if wanted.len() > 1 {
                wanted
            } else {
                BTreeSet::new()
            };
            ensure!(
                found == wanted,
                "{field} at node {node}: {found:?}, not {wanted:?}"
            );
        }
        let told_here: Vec<_> = shown
            .apart
            .iter()
            .flat_map(records::apart::Apart::told)
            .collect();
        let keyed = |it: &records::apart::Told| (it.change, it.device, it.field.clone());
        let lost = told_here.iter().filter(|it| it.became == Became::Unkept);
        let lost: Vec<_> = lost.map(keyed).collect();
        let once: BTreeSet<_> = lost.iter().cloned().collect();
        ensure!(once.len() == lost.len(), "somebody is told twice: {lost:?}");
        ensure!(
            *all.get_or_insert_with(|| told_here.clone()) == told_here,
            "nodes differ"
        );
        // One notice to each loser, and it lies where the loser is.
        let told = told(world, node)?.into_iter();
        let told = told.filter(|(what, ..)| *what == What::Unkept);
        let told: BTreeSet<_> = told
            .flat_map(|(_, change, fields)| {
                let fields: Vec<_> = fields.split(' ').map(str::to_owned).collect();
                fields.into_iter().map(move |field| (node, change, field))
            })
            .collect();
        let mut wanted = model.losers();
        wanted.retain(|(of, ..)| *of == node);
        ensure!(
            told == wanted,
            "told {told:?}, not {wanted:?}: {:#?}",
            model.writes
        );
    }
    Ok(())
}

#[test]
fn of_every_two_that_were_written_apart_both_are_reached_and_each_loser_is_told_once() -> Result<()>
{
    let mut lost = 0;
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let (mut world, id) = begun(seed + 1_000)?;
        let mut model = Model::default();
        for node in NODES {
            model.known.insert(node, BTreeSet::new());
        }
        let first = content(&mut world, HUB, &id)?.fields;
        let founded = world.changes(HUB, &id)?;
        let [founder, count] = founded.as_slice() else {
            anyhow::bail!("a record of two changes: {founded:?}");
        };
        for (field, change) in [
            ("title", founder),
            ("urgency", founder),
            ("people_count", count),
        ] {
            if let Some(value) = first.get(field) {
                model.wrote((A, hash(change)?), (field, value.clone()), None);
            }
        }
        model.met(&NODES);
        for _ in 0..ROUNDS {
            for _ in 0..1 + rng.below(4) {
                let node = rng.below(3);
                work(&mut world, &mut model, &mut rng, &id, node)?;
            }
            if rng.chance(40) {
                let station = 1 + rng.below(2);
                world.unlink_all();
                world.link(station, HUB, Wire::GOOD)?;
                world.run()?;
                world.unlink_all();
                model.met(&[HUB, station]);
            } else {
                world.heal()?;
                world.unlink_all();
                model.met(&NODES);
            }
        }
        world.heal()?;
        world.unlink_all();
        model.met(&NODES);
        checked(&mut world, &model, &id).with_context(|| format!("seed {seed}"))?;
        lost += model.losers().len();
        if seed % 8 == 0 {
            for node in NODES {
                world.sound(node)?;
            }
        }
    }
    ensure!(lost > 30, "only {lost} lost anything");
    Ok(())
}
