//! What a step does beside the record that it is taken on, as the catalogue has it: steps of the records that belong
//! to it, and new ones.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{Draft, Fact, Kind, Move, Outcome, Role, Transition};
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::{Author, Place, Planned, Save, fields_refused, known, plan, writable};
use crate::actor::permitted;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::Journal;
use crate::records::numbers::Series;
use crate::records::{Listed, ShownEvent, gather, referring};

/// Records that one step takes along: a submission of a hundred items with twenty comments each.
const MOVED_MAX: usize = 2_000;

/// A step that is being taken.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    /// The record that it is taken on.
    pub(super) whole: &'a Listed,
    /// The step.
    pub(super) step: &'a Transition,
    /// What it carries.
    pub(super) draft: &'a Draft,
    /// In which role it is taken, with all that it does.
    pub(super) role: Role,
    /// Who takes it.
    pub(super) author: &'a Author,
}

impl Taken<'_> {
    /// Plans what the step does beside the record: steps of records that belong to it, where they are possible, and new
    /// ones.
    pub(super) fn effects(
        &self,
        connection: &Connection,
        journal: &mut Journal,
        series: &mut Series,
    ) -> Result<Vec<Planned>> {
        let mut moved = BTreeMap::new();
        self.moved(connection, journal, series, &mut moved)?;
        let mut planned: Vec<_> = moved.into_values().collect();
        planned.extend(self.made(connection, journal, series)?);
        Ok(planned)
    }

    /// What another record takes over of a step: the day, if it is dated, and what was given.
    fn copied(
        &self,
        copies: &BTreeMap<String, String>,
        dated: Option<&String>,
    ) -> Map<String, Value> {
        let mut input = Map::new();
        if let Some(key) = dated {
            let today = clock::Beijing::of(self.author.now_ms).iso_date();
            nest(&mut input, key, json!(today));
        }
        for (theirs, ours) in copies {
            let text = self.draft.texts.values().find_map(|texts| texts.get(ours));
            let fact = self.draft.facts.get(ours).and_then(Option::as_ref);
            let given = text.map(|text| json!(text));
            if let Some(value) = given.or_else(|| fact.map(|fact| json!(fact))) {
                nest(&mut input, theirs, value);
            }
        }
        input
    }

    /// The steps that other records take along, and those along with them, one for each record: a second change made from the same
    /// state would stand beside the first.
    fn moved(
        &self,
        connection: &Connection,
        journal: &mut Journal,
        series: &mut Series,
        moved: &mut BTreeMap<i64, Planned>,
    ) -> Result<()> {
        for along in &self.step.moves {
            let kind = known(&along.kind)?;
            let Some(event) = kind.transition(&along.event) else {
                continue;
            };
            let last = self.last(connection, journal, along)?;
            for other in self.others(connection, kind, along)? {
                let held = |(key, wanted): (&String, &BTreeSet<String>)| {
                    let value = other.facts.get(key).and_then(Value::as_str);
                    value.is_some_and(|value| wanted.contains(value))
                };
                // As others will judge it: by the device, since it is one step with the one that was taken.
                let possible = event.applies_to(&other.status)
                    && !event.who.is_disjoint(&permitted(journal.role()));
                // What is told there is told to more people than here.
                let told = along.by.is_some() && self.whole.is_kept_more(other.veil());
                let done = other.key == self.whole.key || moved.contains_key(&other.key) || told;
                if done || !possible || !along.only.iter().all(held) {
                    continue;
                }
                if moved.len() >= MOVED_MAX {
                    let message =
                        format!("a step takes {MOVED_MAX} records along at most: take it in parts");
                    return Err(Error::new(Code::TooLarge, message));
                }
                let mut input = last.clone();
                input.extend(self.copied(&along.copies, along.dated.as_ref()));
                for (key, value) in &along.sets {
                    nest(&mut input, key, json!(value));
                }
                if let Some(key) = &along.names {
                    nest(&mut input, key, json!(self.whole.id.hyphenated()));
                }
                // What the step does not give, such as a new date, leaves the other record alone.
                let Ok(draft) = kind.read_event(&along.event, &Value::Object(input)) else {
                    continue;
                };
                // A sheet that lacks something does not hold back the matter itself.
                let gathered = match writable(connection, journal, other.key) {
                    Ok(gathered) => gathered,
                    Err(error) if error.code() == Code::RecordWaiting => continue,
                    Err(error) => return Err(error),
                };
                let mut save = Save::new(&kind.code, self.author, &draft)?;
                save.become_event(&along.event, (self.author.now_ms, Some(self.role)));
                series.planned(gathered.space, save.entries());
                moved.insert(other.key, Planned { gathered, save });
                let next = Taken {
                    whole: &other,
                    step: event,
                    draft: &draft,
                    ..*self
                };
                next.moved(connection, journal, series, moved)?;
            }
        }
        Ok(())
    }

    /// What earlier steps gave that is handed on.
    fn last(
        &self,
        connection: &Connection,
        journal: &mut Journal,
        along: &Move,
    ) -> Result<Map<String, Value>> {
        let mut input = Map::new();
        if along.last.is_empty() {
            return Ok(input);
        }
        let gathered = gather(connection, journal, self.whole.key)?;
        let content = gathered.content(journal.authority());
        for (theirs, (step, datum)) in &along.last {
            let applied = |it: &&ShownEvent| {
                it.event == *step && matches!(it.outcome, Outcome::Applied { .. })
            };
            let newest = content.events.iter().rev().find(applied);
            if let Some(value) = newest.and_then(|it| it.data.get(datum)) {
                nest(&mut input, theirs, value.clone());
            }
        }
        Ok(input)
    }

    /// The records on which a step is taken along.
    fn others(&self, connection: &Connection, kind: &Kind, along: &Move) -> Result<Vec<Listed>> {
        if let Some(by) = &along.by {
            return referring(connection, self.whole, (&kind.code, by), MOVED_MAX);
        }
        let Some(field) = &along.through else {
            return belonging(connection, self.whole, kind);
        };
        let named = match self.whole.facts.get(field) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one.as_str()],
            _ => Vec::new(),
        };
        let kinds = [kind.code.clone()];
        let mut found: Vec<Listed> = Vec::new();
        for name in named {
            // What a name stands for may not be here.
            let row = crate::records::named(connection, name, &kinds)?;
            found.extend(row.filter(|row| !found.iter().any(|it| it.key == row.key)));
        }
        Ok(found)
    }

    /// The records that a step makes.
    fn made(
        &self,
        connection: &Connection,
        journal: &mut Journal,
        series: &mut Series,
    ) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        let Some(make) = &self.step.makes else {
            return Ok(planned);
        };
        let made = known(&make.kind)?;
        let mut common = self.copied(&make.copies, make.dated.as_ref());
        if let Some(parent) = &made.parent {
            nest(
                &mut common,
                &parent.field,
                json!(self.whole.id.hyphenated()),
            );
        }
        for (key, value) in &make.sets {
            nest(&mut common, key, json!(value));
        }
        if let Some(field) = &make.names {
            nest(&mut common, field, json!(self.whole.id.hyphenated()));
            // What one that is begun from the page of the record would start with.
            let whole = known(&self.whole.kind)?;
            let begun = whole
                .gathers
                .iter()
                .find(|it| it.kind == make.kind && it.by == *field);
            for (theirs, ours) in begun.into_iter().flat_map(|it| &it.copies) {
                if let Some(value) = self.whole.fact(ours) {
                    nest(&mut common, theirs, value.clone());
                }
            }
        }
        for (field, kind) in &make.cites {
            let open = belonging(connection, self.whole, known(kind)?)?;
            let is_open = |it: &&Listed| known(kind).is_ok_and(|kind| kind.is_open(&it.status));
            if let Some(cited) = open.iter().find(is_open) {
                nest(&mut common, field, json!(cited.id.hyphenated()));
            }
        }
        let mut inputs = Vec::new();
        match &make.each {
            None => inputs.push(common),
            Some(each) => {
                for datum in &each.data {
                    for item in items(self.draft, datum) {
                        let mut input = common.clone();
                        nest(&mut input, &each.item, json!(item));
                        nest(&mut input, &each.name, json!(datum));
                        // A date of its own goes over the order's, with the rule that this has it by.
                        let chosen = |key: &str| (key == each.name).then(|| datum.clone());
                        let own = made.create.dates.iter();
                        for date in own.filter(|date| date.holds(chosen)) {
                            input.remove(&date.field);
                            date.named_in.as_ref().map(|key| input.remove(key));
                        }
                        inputs.push(input);
                    }
                }
            }
        }
        if let Some(field) = &make.names {
            /// Nobody has ever made so many for one matter.
            const MOST: usize = 200;
            let there = referring(connection, self.whole, (&made.code, field), MOST)?;
            let same = |it: &Listed| {
                let mut sets = make.sets.iter();
                sets.all(|(key, value)| {
                    it.fact(key).and_then(Value::as_str) == Some(value.as_str())
                })
            };
            if there.iter().any(same) {
                return Ok(planned);
            }
        }
        for input in inputs {
            let draft = made.read(&Value::Object(input));
            let draft = draft.map_err(|refusals| fields_refused(&refusals))?;
            let place = match &make.names {
                Some(_) => super::place(connection, journal, made, &draft.facts)?,
                None => Place {
                    space: self.whole.space,
                    parent: Some(self.whole.clone()),
                },
            };
            planned.push(plan(
                connection,
                journal,
                (made, &draft),
                &place,
                false,
                self.author,
                series,
            )?);
        }
        Ok(planned)
    }
}

/// Records of a kind that belong to this one.
fn belonging(connection: &Connection, whole: &Listed, kind: &Kind) -> Result<Vec<Listed>> {
    /// Units of one matter, and rounds of handling, have never come near this.
    const MOST: usize = 200;
    let Some(parent) = &kind.parent else {
        return Ok(Vec::new());
    };
    referring(connection, whole, (&kind.code, &parent.field), MOST)
}

/// What a datum names: its value, or the items of a set.
fn items<'a>(draft: &'a Draft, datum: &'a str) -> impl Iterator<Item = &'a str> {
    let set = move |(key, fact): (&'a String, &'a Option<Fact>)| match (key.split_once('/'), fact) {
        (Some((set, item)), Some(Fact::Bool(true))) if set == datum => Some(item),
        (None, Some(Fact::Str(text))) if key == datum => Some(text.as_str()),
        _ => None,
    };
    draft.facts.iter().filter_map(set)
}

/// Puts a value under a flat key of nested JSON.
fn nest(input: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            input.insert(key.to_owned(), value);
        }
        Some((group, name)) => {
            let group = input.entry(group).or_insert_with(|| json!({}));
            if let Value::Object(members) = group {
                members.insert(name.to_owned(), value);
            }
        }
    }
}
