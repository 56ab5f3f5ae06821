//! What people wrote without knowing of each other: fields that two of them changed at once, what was chosen there and taken back,
//! whose value was kept and whose was not, and what was merged because they changed different fields. By what each change knew,
//! never by a clock.
//!
//! The writes of a field are a graph: each stands directly upon those that its author knew and that nobody whom he knew had
//! replaced. What nothing stands upon is there now; more than one value there is a conflict. A write upon more than one value
//! is a choice. A value is kept if a choice that has it is kept itself, so two choices made at once leave both values in the
//! balance until somebody chooses between the choices.
//!
//! Rejected: to tell whoever wrote a value at the first choice against it. Where two choose at once one of them is told what is not
//! so in the end, and both of what a third one decides.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::document::{ChangeHash, EventView, HistoryEntry, Scalar};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::DeviceKey;
use serde_json::Value;

use super::Gathered;
use super::rewrite::is_link;
use super::save::{UNDOES, UNSETTLE};

/// Writes of one field that are looked at, the newest ones: nobody makes so many at a desk.
const WRITES_MAX: usize = 200;
/// Changes among which is looked for what was merged, the newest ones.
const MERGES_MAX: usize = 200;

/// One write of a field that was written by two at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The change that wrote it.
    pub change: ChangeHash,
    /// Whose device wrote it, and the account that it names.
    pub device: Option<DeviceKey>,
    /// See [`Write::device`].
    pub account: String,
    /// When, by the writer's clock, in Unix milliseconds.
    pub at_ms: u64,
    /// What it put, texts in place; null if it cleared the field, or if the text is not here.
    pub value: Value,
    /// Whether it cleared the field.
    pub cleared: bool,
    /// The writes that it stands directly upon, by their places in [`Apart::writes`].
    pub upon: Vec<usize>,
    /// The choice that it takes back, by its place.
    pub undoes: Option<usize>,
    /// Where it is not kept, the choices that decided against it, or took it back, by their places.
    pub lost_by: BTreeSet<usize>,
    /// What it put, as it stands in the document.
    pub(super) scalar: Option<Scalar>,
}

/// A field that was written by two at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// The field.
    pub field: String,
    /// Its writes, causes first.
    pub writes: Vec<Write>,
}

/// What became of a value, or of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Became {
    /// Somebody chose another value.
    Unkept,
    /// Somebody chose it.
    Kept,
    /// A choice that was taken back.
    Undone,
    /// A value that is there again because the choice against it was taken back.
    Restored,
}

/// What somebody is to be told of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What became of theirs.
    pub became: Became,
    /// The change that it is told of: theirs where it was not kept, else the one that decided.
    pub change: ChangeHash,
    /// Whose device wrote the value or made the choice, and the account that it names.
    pub device: DeviceKey,
    /// See [`Told::device`].
    pub account: String,
    /// The field.
    pub field: String,
    /// When it was decided, by the clock of whoever did, in Unix milliseconds.
    pub at_ms: u64,
}

/// One of two changes that were made at once and merged by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The change.
    pub change: ChangeHash,
    /// Whose device wrote it.
    pub device: Option<DeviceKey>,
    /// When, by the writer's clock, in Unix milliseconds.
    pub at_ms: u64,
    /// What it wrote and the other did not: field and value, null where it cleared it.
    pub fields: Vec<(String, Value)>,
}

impl Write {
    /// Whether both put the same: of a text the same words, however it was sealed.
    fn is_same(&self, other: &Self) -> bool {
        if self.scalar == other.scalar {
            return true;
        }
        let parts = matches!(
            (&self.scalar, &other.scalar),
            (Some(Scalar::Part(_)), Some(Scalar::Part(_)))
        );
        parts && !self.value.is_null() && self.value == other.value
    }

    /// Whether it keeps what the other put: the same, or a text that has all of its words.
    #[must_use]
    pub fn keeps(&self, other: &Self) -> bool {
        let has = match (self.value.as_str(), other.value.as_str()) {
            (Some(whole), Some(text)) => !text.trim().is_empty() && whole.contains(text.trim()),
            _ => false,
        };
        let texts = matches!(self.scalar, Some(Scalar::Part(_)));
        self.is_same(other) || (texts && has)
    }

    fn is_by(&self, other: &Self) -> bool {
        (self.device, &self.account) == (other.device, &other.account)
    }
}

impl Apart {
    /// The writes that nothing stands upon.
    pub fn standing(&self) -> impl Iterator<Item = &Write> {
        let under: BTreeSet<usize> = self
            .writes
            .iter()
            .flat_map(|it| &it.upon)
            .copied()
            .collect();
        let all = self.writes.iter().enumerate();
        all.filter(move |(at, _)| !under.contains(at))
            .map(|(_, write)| write)
    }

    /// Whether it has more than one value now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        differ(self.standing())
    }

    /// Whether a write stands upon different values: whoever wrote it chose.
    #[must_use]
    pub fn chose(&self, write: &Write) -> bool {
        differ(self.upon(write))
    }

    /// The writes that one stands directly upon.
    pub fn upon<'a>(&'a self, write: &'a Write) -> impl Iterator<Item = &'a Write> {
        write.upon.iter().filter_map(|at| self.writes.get(*at))
    }

    /// Of the choice of this change, if it is what stands there and nothing else: the values that were not taken, each once.
    #[must_use]
    pub fn not_taken(&self, change: &ChangeHash) -> Vec<&Write> {
        let mut standing = self.standing();
        let (Some(last), None) = (standing.next(), standing.next()) else {
            return Vec::new();
        };
        if last.change != *change || !self.chose(last) {
            return Vec::new();
        }
        let mut found: Vec<&Write> = Vec::new();
        for write in self.upon(last).filter(|write| !write.is_same(last)) {
            if !found.iter().any(|it| it.is_same(write)) {
                found.push(write);
            }
        }
        found
    }

    /// Decides what of it is kept, from the newest write back.
    fn decide(&mut self) {
        let mut upon_it: Vec<Vec<usize>> = vec![Vec::new(); self.writes.len()];
        for (at, write) in self.writes.iter().enumerate() {
            for under in &write.upon {
                if let Some(list) = upon_it.get_mut(*under) {
                    list.push(at);
                }
            }
        }
        // The choices in whose place others stand that take them back.
        let mut taken_back: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in (0..self.writes.len()).rev() {
            let above = upon_it.get(at).cloned().unwrap_or_default();
            let mut kept = above.is_empty();
            let mut lost_by = BTreeSet::new();
            for over in above {
                for (decides, carried) in self.carries(over, at, &taken_back) {
                    kept |= carried;
                    lost_by.insert(decides);
                }
            }
            if kept {
                lost_by.clear();
            }
            if let Some(write) = self.writes.get_mut(at) {
                if let Some(undone) = write.undoes.filter(|_| kept) {
                    taken_back.entry(undone).or_default().push(at);
                }
                write.lost_by = lost_by;
            }
        }
    }

    /// Whether the write at `over` carries on the one at `at` that it stands upon, and who decides that: where it was taken back,
    /// whoever did.
    fn carries(
        &self,
        over: usize,
        at: usize,
        taken_back: &BTreeMap<usize, Vec<usize>>,
    ) -> Vec<(usize, bool)> {
        let (Some(upper), Some(under)) = (self.writes.get(over), self.writes.get(at)) else {
            return vec![(over, true)];
        };
        if upper.undoes == Some(at) {
            return vec![(over, false)];
        }
        if !self.chose(upper) {
            // Replaced in the ordinary way.
            return vec![(over, true)];
        }
        let itself = [over];
        let deciders = taken_back
            .get(&over)
            .map_or(itself.as_slice(), Vec::as_slice);
        let mut carried = Vec::new();
        for decides in deciders {
            let choice = self.writes.get(*decides).filter(|it| it.keeps(under));
            match choice {
                Some(choice) if choice.lost_by.is_empty() => carried.push((*decides, true)),
                // It was chosen, and somebody else has decided against the choice.
                Some(choice) => carried.extend(choice.lost_by.iter().map(|by| (*by, false))),
                None => carried.push((*decides, false)),
            }
        }
        carried
    }

    /// What whoever wrote here is to be told. Nobody is told of what they decided themselves, and of one matter once.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        let mut told = Vec::new();
        let mut tell = |became, change: ChangeHash, whose: &Write, at_ms| {
            told.extend(whose.device.map(|device| Told {
                became,
                change,
                device,
                account: whose.account.clone(),
                field: self.field.clone(),
                at_ms,
            }));
        };
        let open = self.is_open();
        let standing: BTreeSet<ChangeHash> = self.standing().map(|it| it.change).collect();
        for (at, write) in self.writes.iter().enumerate() {
            if let Some((became, by)) = self.lost(at, write) {
                let change = match became {
                    Became::Undone => by.change,
                    _ => write.change,
                };
                tell(became, change, write, by.at_ms);
            }
            let undone = write.undoes.and_then(|undone| self.writes.get(undone));
            let of = undone.unwrap_or(write);
            // What two chose differently is in the balance.
            let stands = open && standing.contains(&write.change);
            if !write.lost_by.is_empty() || stands || !self.chose(of) {
                continue;
            }
            let became = if undone.is_some() {
                Became::Restored
            } else {
                Became::Kept
            };
            for kept in self.upon(of).filter(|it| write.keeps(it)) {
                let own = kept.is_by(write) || undone.is_some_and(|choice| choice.is_by(kept));
                if !own && kept.lost_by.is_empty() {
                    tell(became, write.change, kept, write.at_ms);
                }
            }
        }
        told
    }

    /// What became of a write that is not kept, and who decided that. Nothing where its author knows: they decided it as well,
    /// made the choice that was taken back, or are told of a later choice of theirs.
    fn lost(&self, at: usize, write: &Write) -> Option<(Became, &Write)> {
        let deciders = write.lost_by.iter().filter_map(|by| self.writes.get(*by));
        let deciders: Vec<&Write> = deciders.collect();
        if deciders.iter().any(|by| by.is_by(write)) {
            return None;
        }
        if let Some(by) = deciders.iter().find(|by| by.undoes == Some(at)) {
            return Some((Became::Undone, by));
        }
        let mut undone = deciders.iter().filter_map(|by| self.writes.get(by.undoes?));
        if undone.any(|choice| choice.is_by(write)) || self.is_carried_by_own(at) {
            return None;
        }
        deciders.first().map(|by| (Became::Unkept, *by))
    }

    /// Whether the same author has chosen this value later, and lost that: then they are told of the choice alone.
    fn is_carried_by_own(&self, at: usize) -> bool {
        let Some(write) = self.writes.get(at) else {
            return false;
        };
        let later = self.writes.iter().filter(|it| it.upon.contains(&at));
        let mut later = later.filter(|it| self.chose(it) && it.keeps(write));
        later.any(|it| !it.lost_by.is_empty() && it.is_by(write))
    }
}

fn differ<'a>(writes: impl Iterator<Item = &'a Write>) -> bool {
    let mut writes = writes.peekable();
    let Some(first) = writes.next() else {
        return false;
    };
    writes.any(|write| !write.is_same(first))
}

/// What the steps of changes say of choices: which changes take which back.
fn undoing(events: &[EventView]) -> BTreeMap<ChangeHash, String> {
    let undoing = events.iter().filter(|event| event.event == UNSETTLE);
    let named = undoing.filter_map(|event| match event.data.get(UNDOES)? {
        Scalar::Str(named) => Some((event.change, named.clone())),
        Scalar::Int(_) | Scalar::Bool(_) | Scalar::Part(_) => None,
    });
    named.collect()
}

impl Gathered {
    /// The fields that two changed at once, with what was chosen there.
    pub(super) fn apart(&self, events: &[EventView]) -> Vec<Apart> {
        let document = &self.document;
        if document.is_linear() {
            return Vec::new();
        }
        let history = document.history();
        let undoing = undoing(events);
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, entry) in history.iter().enumerate() {
            // The items of a set stand each by itself, and merge.
            let fields = entry.fields.iter().map(|field| field.key.as_str());
            for key in fields.filter(|key| !key.contains('/') && !is_link(key)) {
                places.entry(key).or_default().push(at);
            }
        }
        let mut found = Vec::new();
        for (key, mut places) in places {
            let knows_last = |pair: &[usize]| match pair {
                [earlier, later] => document.knows(*later, *earlier),
                _ => true,
            };
            if places.windows(2).all(knows_last) {
                continue;
            }
            places.drain(..places.len().saturating_sub(WRITES_MAX));
            let mut apart = Apart {
                field: key.to_owned(),
                writes: Vec::with_capacity(places.len()),
            };
            for (nth, at) in places.iter().enumerate() {
                let Some(entry) = history.get(*at) else {
                    continue;
                };
                let mut upon: Vec<usize> = Vec::new();
                for (before, earlier) in places.iter().enumerate().take(nth).rev() {
                    let replaced = |over: &usize| {
                        places
                            .get(*over)
                            .is_some_and(|over| document.knows(*over, *earlier))
                    };
                    if document.knows(*at, *earlier) && !upon.iter().any(replaced) {
                        upon.push(before);
                    }
                }
                let put = entry.fields.iter().find(|field| field.key == key);
                let scalar = put.and_then(|field| field.new.clone());
                let carried = self.device_of(&entry.hash);
                let undone = undoing.get(&entry.hash);
                let undoes = upon.iter().copied().find(|under| {
                    let write = apart.writes.get(*under);
                    let named = |write: &Write| Some(&Hex(&write.change).to_string()) == undone;
                    write.is_some_and(|write| named(write) && apart.chose(write))
                });
                apart.writes.push(Write {
                    change: entry.hash,
                    device: carried.map(|carried| carried.device),
                    account: entry.by.clone().unwrap_or_default(),
                    at_ms: carried.map_or(0, |carried| carried.hlc >> 16),
                    value: scalar
                        .as_ref()
                        .map_or(Value::Null, |value| self.json(key, value)),
                    cleared: scalar.is_none(),
                    upon,
                    undoes,
                    lost_by: BTreeSet::new(),
                    scalar,
                });
            }
            apart.decide();
            found.push(apart);
        }
        found
    }

    /// The places of changes that were made at once and merged by themselves, the newest first.
    fn pairs(&self, history: &[HistoryEntry]) -> Vec<[usize; 2]> {
        let document = &self.document;
        if document.is_linear() {
            return Vec::new();
        }
        let written = history.iter().enumerate().skip(1);
        let written = written.map(|(at, entry)| (at, keys(entry)));
        let written: Vec<_> = written.filter(|(_, keys)| !keys.is_empty()).collect();
        let newest = written.len().saturating_sub(MERGES_MAX);
        let written = written.get(newest..).unwrap_or_default();
        let alone = |mine: &BTreeSet<&str>, others: &BTreeSet<&str>| {
            mine.difference(others).next().is_some()
        };
        let mut pairs = Vec::new();
        for (nth, (at, ours)) in written.iter().enumerate().rev() {
            let before = written.get(..nth).unwrap_or_default();
            let apart = before.iter().rev().filter(|(earlier, theirs)| {
                !document.knows(*at, *earlier) && alone(ours, theirs) && alone(theirs, ours)
            });
            pairs.extend(apart.map(|(earlier, _)| [*earlier, *at]));
        }
        pairs
    }

    /// Changes that were made at once and merged by themselves, since they are of different fields.
    #[must_use]
    pub fn merged_changes(&self) -> BTreeSet<ChangeHash> {
        let history = self.document.history();
        let pairs = self.pairs(&history).into_iter().flatten();
        let entries = pairs.filter_map(|at| history.get(at));
        entries.map(|entry| entry.hash).collect()
    }

    /// What was merged by itself, the newest first.
    #[must_use]
    pub fn merged_apart(&self, most: usize) -> Vec<[Side; 2]> {
        let history = self.document.history();
        let side = |at: &usize, other: &usize| {
            let (entry, other) = (history.get(*at)?, history.get(*other)?);
            let others = keys(other);
            let own = entry.fields.iter();
            let own = own.filter(|it| !is_link(&it.key) && !others.contains(it.key.as_str()));
            let put = own.map(|field| {
                let value = field.new.as_ref();
                let value = value.map_or(Value::Null, |it| self.json(&field.key, it));
                (field.key.clone(), value)
            });
            let carried = self.device_of(&entry.hash);
            Some(Side {
                change: entry.hash,
                device: carried.map(|carried| carried.device),
                at_ms: carried.map_or(0, |carried| carried.hlc >> 16),
                fields: put.collect(),
            })
        };
        let pairs = self.pairs(&history).into_iter().take(most);
        let merged =
            pairs.filter_map(|[one, other]| Some([side(&one, &other)?, side(&other, &one)?]));
        merged.collect()
    }
}

/// The fields that a change wrote.
fn keys(entry: &HistoryEntry) -> BTreeSet<&str> {
    let keys = entry.fields.iter().map(|field| field.key.as_str());
    keys.filter(|key| !is_link(key)).collect()
}
