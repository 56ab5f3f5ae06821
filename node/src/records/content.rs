//! What is shown of a record: its fields with the texts in place, what became of its steps, and what two people wrote
//! without knowing of each other. A pure function of what was gathered.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::{Authority, Reason, Role as DeviceRole};
use lianxin_protocol::catalogue::{
    Catalogue, Draft, Fact, Facts, Field, Folded, Kind, Known, Outcome, Refusal, Role, Step,
    TAKEN_AS, Transition, VoidReason,
};
use lianxin_protocol::document::{ActorId, ChangeHash, EventView, Scalar, View};
use lianxin_protocol::hash::{self, Hex};
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::Author;
use lianxin_protocol::part::PartRef;
use serde_json::{Map, Value, json};

use super::apart::{Apart, Write};
use super::numbers::{HUB_NO, is_numbered, same_number};
use super::rewrite::is_link;
use super::sight::Veil;
use super::{Carried, Gathered};
use crate::actor::permitted;
use crate::clock::{Beijing, day_number};
use crate::journal::segments::split_key;

/// Stands among the unreadable keys of a record that has entries of kinds which a newer version knows.
pub const NEWER_ENTRIES: &str = "entries";

/// One value of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictValue {
    /// The value, texts in place.
    pub value: Value,
    /// Who wrote it.
    pub device: Option<DeviceKey>,
    /// Its change.
    pub change: ChangeHash,
    /// When, by the writer's clock, in Unix milliseconds.
    pub at_ms: u64,
}

impl ConflictValue {
    fn of(write: &Write) -> Self {
        Self {
            value: write.value.clone(),
            device: write.device,
            change: write.change,
            at_ms: write.at_ms,
        }
    }
}

/// Fields with more than one value; null is a field that was cleared.
pub type Conflicts = BTreeMap<String, Vec<ConflictValue>>;

/// An event and what became of it.
#[derive(Clone, Debug)]
pub struct ShownEvent {
    /// Its code.
    pub event: String,
    /// The change that added it.
    pub change: ChangeHash,
    /// When, by the writer's clock, in Unix milliseconds.
    pub at_ms: i64,
    /// Account of the person.
    pub by: String,
    /// In which role it was taken, as its device says.
    pub role: Option<Role>,
    /// The device that signed it.
    pub device: Option<DeviceKey>,
    /// What it carries, texts in place.
    pub data: Map<String, Value>,
    /// The statuses before and after, or why it has no effect.
    pub outcome: Outcome,
}

/// What is shown of a record.
#[derive(Clone, Debug)]
pub struct Content {
    /// Code of its kind; empty if its first change has not arrived.
    pub kind: String,
    /// 登记编号.
    pub number: Option<String>,
    /// Title, where the kind has one.
    pub title: Option<String>,
    /// Status as folded; see [`Kind::shown_status`].
    pub status: String,
    /// Overlays such as 封存.
    pub overlays: BTreeSet<String>,
    /// What of it is kept from whom.
    pub veil: Veil,
    /// Facts as nested JSON.
    pub facts: Map<String, Value>,
    /// Facts and texts as nested JSON.
    pub fields: Map<String, Value>,
    /// Fields with more than one value.
    pub conflicts: Conflicts,
    /// The fields that two changed at once, and what was chosen there.
    pub apart: Vec<Apart>,
    /// Events in causal order.
    pub events: Vec<ShownEvent>,
    /// What it refers to: field, and what was given there.
    pub mentions: BTreeSet<(String, String)>,
    /// Changes that wait for others.
    pub waiting: usize,
    /// Keys that this version cannot read; [`NEWER_ENTRIES`] for entries of unknown kinds.
    pub unreadable: Vec<String>,
    /// Writes of fields that have no effect, because others correct what is there: the change and the key, with whose device made it,
    /// and when, by its clock, in Unix milliseconds.
    pub unheeded: BTreeMap<(ChangeHash, String), Option<(DeviceKey, u64)>>,
}

impl Content {
    /// What is shown of a record.
    pub(super) fn of(gathered: &Gathered, authority: &Authority) -> Self {
        let mut view = gathered.document.view();
        let kind = view.kind.as_deref();
        let kind = kind.and_then(|kind| Catalogue::current().kind(kind));
        let roles = roles(gathered, authority);
        let folded = kind.map(|kind| kind.fold(&steps(kind, &view, &roles)));
        let folded = folded.unwrap_or_default();
        let unheeded = kind.map(|kind| gathered.heed(kind, &mut view, &roles, &folded));
        let unheeded = unheeded.unwrap_or_default();
        let (mut facts, mut texts, mut conflicts) = gathered.typed(&view, kind);
        let mut apart = gathered.apart(&view.events);
        let judged = |key: &str| unheeded.keys().any(|(_, it)| it == key);
        apart
            .retain(|it| !judged(&it.field) && !kind.is_some_and(|kind| is_fixed(kind, &it.field)));
        conflicts_by(&apart, &mut conflicts);
        let devices: BTreeMap<ActorId, DeviceKey> = gathered
            .changes
            .iter()
            .map(|change| (change.actor, change.device))
            .collect();
        let Folded {
            status,
            overlays,
            facts: set,
            outcomes,
        } = folded;
        let corrected = kind.map(|kind| corrected(kind, &view, &outcomes));
        let corrected = corrected.unwrap_or_default();
        let mut events = Vec::with_capacity(view.events.len());
        for (place, event) in view.events.iter().enumerate() {
            let unknown = Outcome::Void {
                reason: VoidReason::UnknownEvent,
            };
            let outcome = outcomes.get(place).cloned().unwrap_or(unknown);
            let data = event.data.iter();
            let mut data: Map<_, _> = data
                .map(|(key, value)| (key.clone(), gathered.json(key, value)))
                .collect();
            let role = data
                .get(TAKEN_AS)
                .and_then(Value::as_str)
                .and_then(Role::of);
            if role.is_some() {
                data.remove(TAKEN_AS);
            }
            if let (Outcome::Applied { .. }, Some(kind)) = (&outcome, kind) {
                clear(
                    (&mut facts, &mut texts),
                    (kind, &view),
                    (place, &event.event),
                );
                // A text that an event carries for a field of the record is that field's text, until it is
                // corrected.
                let own = data.iter().filter_map(|(key, value)| {
                    let is_text = kind.field(key)?.retention.is_some();
                    let open = is_text && sets(kind, &event.event, key) && !corrected.contains(key);
                    Some((key.clone(), value.as_str().filter(|_| open)?.to_owned()))
                });
                texts.extend(own);
            }
            events.push(ShownEvent {
                event: event.event.clone(),
                change: event.change,
                at_ms: event.at_ms,
                by: event.by.clone(),
                role,
                device: devices.get(&event.actor).copied(),
                data,
                outcome,
            });
        }
        facts.extend(set.into_iter().filter(|(key, _)| !corrected.contains(key)));
        let number = facts.get("number").and_then(Fact::as_str);
        let number = number.map(str::to_owned);
        let title = kind.and_then(|kind| title(kind, &facts, &texts));
        let mentions = kind.map(|kind| mentions(kind, &facts)).unwrap_or_default();
        let others = conflicts.iter().flat_map(|(key, values)| {
            let values = values.iter();
            values.map(move |it| (key.as_str(), &it.value))
        });
        let registrar = || gathered.document.founded_by().unwrap_or_default();
        let veil = kind.map(|kind| Veil::of(kind, &facts, others, &overlays, registrar));
        let veil = veil.unwrap_or_default();
        let mut unreadable = view.unreadable;
        unreadable.extend(gathered.newer.then(|| NEWER_ENTRIES.to_owned()));
        let (facts, fields) = nested(kind, &facts, &texts);
        Self {
            kind: view.kind.unwrap_or_default(),
            number,
            title,
            status,
            overlays,
            veil,
            facts,
            fields,
            conflicts,
            apart,
            events,
            mentions,
            waiting: gathered
                .held
                .values()
                .filter(|it| **it == Reason::Waiting)
                .count(),
            unreadable,
            unheeded,
        }
    }

    /// Case numbers that the hub gave with steps which count.
    pub(super) fn case_numbers(&self) -> impl Iterator<Item = &str> {
        let applied = |event: &&ShownEvent| matches!(event.outcome, Outcome::Applied { .. });
        let given = self.events.iter().filter(applied);
        given.filter_map(|event| event.data.get(HUB_NO)?.as_str())
    }

    /// The steps that count, in causal order, as its row keeps them: `[event, Unix milliseconds by the clock of whoever took it]`, and
    /// where it carries dates, these by their keys; last how many have no effect, if any.
    pub(super) fn taken(&self) -> Vec<Value> {
        let applied = |event: &&ShownEvent| matches!(event.outcome, Outcome::Applied { .. });
        let is_date = |value: &Value| value.as_str().is_some_and(|it| day_number(it).is_some());
        let taken = self.events.iter().filter(applied).map(|event| {
            let dates = event.data.iter().filter(|(_, value)| is_date(value));
            let dates: Map<_, _> = dates.map(|(key, it)| (key.clone(), it.clone())).collect();
            match dates.is_empty() {
                true => json!([event.event, event.at_ms]),
                false => json!([event.event, event.at_ms, dates]),
            }
        });
        let void = self.events.iter().filter(|event| !applied(event)).count();
        taken.chain((void > 0).then(|| json!(void))).collect()
    }

    /// Since when it has fields in conflict, in Unix milliseconds by the clocks of those who wrote them: since there is a second
    /// value.
    #[must_use]
    pub fn disputed_ms(&self) -> Option<u64> {
        let since = self.conflicts.values().filter_map(|values| {
            let mut times: Vec<u64> = values.iter().map(|it| it.at_ms).collect();
            times.sort_unstable();
            times.into_iter().nth(1)
        });
        since.min()
    }

    /// How often an event has applied to it.
    #[must_use]
    pub fn times(&self, event: &str) -> usize {
        let applied =
            |it: &&ShownEvent| it.event == event && matches!(it.outcome, Outcome::Applied { .. });
        self.events.iter().filter(applied).count()
    }

    /// The answer to whoever brought the matter, once it may be told, and when it was given, in Unix milliseconds: the last text that a
    /// step gave which leads to one or makes one.
    #[must_use]
    pub fn answer(&self, kind: &Kind) -> Option<(String, u64)> {
        const TEXT: &str = "text";
        if !is_answered(kind, &self.status) {
            return None;
        }
        let answers = |event: &str| {
            kind.transition(event).is_some_and(|step| {
                let makes = step.makes.as_ref().is_some_and(|make| make.kind == "reply");
                // What goes on from an answer, such as telling of it, carries no other.
                let leads = step.to.as_deref().filter(|to| {
                    let told = kind.status(to).is_some_and(|status| status.tells.is_some());
                    !told && is_answered(kind, to)
                });
                makes || leads.is_some()
            })
        };
        let applied = |outcome: &Outcome| matches!(outcome, Outcome::Applied { .. });
        let events = self.events.iter().rev();
        let mut events = events.filter(|event| applied(&event.outcome) && answers(&event.event));
        let at_ms = events.clone().next()?.at_ms;
        let text = events.find_map(|event| event.data.get(TEXT)?.as_str())?;
        Some((text.to_owned(), u64::try_from(at_ms).ok()?))
    }

    /// The values of a field: one, or the items of a set; those of erasable fields too.
    #[must_use]
    pub fn held(&self, key: &str) -> Vec<String> {
        let value = match key.split_once('.') {
            Some((group, name)) => self.fields.get(group).and_then(|it| it.get(name)),
            None => self.fields.get(key),
        };
        match value {
            Some(Value::Array(items)) => {
                let items = items.iter().filter_map(Value::as_str);
                items.map(str::to_owned).collect()
            }
            Some(Value::String(text)) => vec![text.clone()],
            Some(other @ (Value::Bool(_) | Value::Number(_))) => vec![other.to_string()],
            Some(Value::Null | Value::Object(_)) | None => Vec::new(),
        }
    }

    /// What a date that a step sets is computed from.
    #[must_use]
    pub fn known(&self, asked: Known<'_>) -> Option<String> {
        match asked {
            Known::Value(key) => self.date(key),
            Known::DayOf(step) => {
                let applied = |it: &&ShownEvent| {
                    it.event == step && matches!(it.outcome, Outcome::Applied { .. })
                };
                let last = self.events.iter().rev().find(applied)?;
                let at_ms = u64::try_from(last.at_ms).ok()?;
                Some(Beijing::of(at_ms).iso_date())
            }
        }
    }

    /// The value of a field that has one.
    #[must_use]
    pub fn date(&self, key: &str) -> Option<String> {
        self.held(key).into_iter().next()
    }

    /// Whether the mark is there that a step takes away, if it takes one away.
    #[must_use]
    pub fn bears(&self, step: &Transition) -> bool {
        let lifted = step.lifts.as_ref();
        lifted.is_none_or(|overlay| self.overlays.contains(overlay))
    }

    /// The steps that these roles may take on a day.
    pub fn offered<'a>(
        &'a self,
        kind: &'a Kind,
        roles: &'a BTreeSet<Role>,
        day: &'a str,
    ) -> impl Iterator<Item = &'a Transition> {
        let times = |step: &str| self.times(step);
        let offered = kind.offered((&self.status, day), roles, times, |key| self.date(key));
        offered.filter(|step| self.bears(step))
    }

    /// Refusals for what an edit would empty although a step set it: the step stays, so it can be put right and
    /// not undone.
    #[must_use]
    pub fn keeps(&self, kind: &Kind, draft: &Draft) -> Vec<Refusal> {
        let is_set = |key: &str| {
            self.events.iter().any(|event| {
                matches!(event.outcome, Outcome::Applied { .. })
                    && event.data.contains_key(key)
                    && sets(kind, &event.event, key)
            })
        };
        let cleared = draft.facts.iter().filter(|(_, fact)| fact.is_none());
        cleared
            .filter(|(key, _)| is_set(key))
            .map(|(key, _)| Refusal {
                field: key.clone(),
                code: "required",
                message: "a step set this: it can be corrected, and not left empty".to_owned(),
            })
            .collect()
    }

    /// Refusals for fields that steps set, of an edit by somebody who may take none of these steps; but for what somebody `began` with and
    /// nobody has judged yet.
    #[must_use]
    pub fn led(
        kind: &Kind,
        draft: &Draft,
        roles: &BTreeSet<Role>,
        began: impl Fn(&str) -> bool,
    ) -> Vec<Refusal> {
        let texts = draft.texts.values().flat_map(BTreeMap::keys);
        let keys: BTreeSet<&String> = draft.facts.keys().chain(texts).collect();
        let led = keys.into_iter().filter(|key| {
            let field = kind.field(key);
            // A term is extended, and moves along with the day from which it is counted; nobody types another over it.
            let led = |it: &Field| it.set_by.is_disjoint(roles) || kind.is_term(key);
            field.is_some_and(|it| !it.set_by.is_empty() && led(it)) && !began(key)
        });
        let refusal = |key: &String| Refusal {
            field: key.clone(),
            code: "set_by_steps",
            message: "a step sets this: whoever may take that step corrects it".to_owned(),
        };
        led.map(refusal).collect()
    }

    /// Refusals for what would be at odds with a choice after an edit that touches either. What two people wrote without knowing
    /// of each other may be at odds, and stays so until somebody corrects it.
    #[must_use]
    pub fn at_odds(&self, kind: &Kind, draft: &Draft) -> Vec<Refusal> {
        let text = |key: &str| draft.texts.values().find_map(|texts| texts.get(key));
        let held = |key: &str| {
            let value = match key.split_once('.') {
                Some((group, name)) => self.fields.get(group)?.get(name),
                None => self.fields.get(key),
            };
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let value = |field: &Field| match (text(&field.key), draft.facts.get(&field.key)) {
            (Some(text), _) => Some(text.clone()),
            (None, Some(fact)) => fact.as_ref().and_then(Fact::as_str).map(str::to_owned),
            (None, None) => held(&field.key),
        };
        let touches = |key: &str| text(key).is_some() || draft.facts.contains_key(key);
        let odds = kind.at_odds(value, |field| value(field).is_some());
        odds.into_iter()
            .filter(|(choice, refusal)| touches(&choice.key) || touches(&refusal.field))
            .map(|(_, refusal)| refusal)
            .collect()
    }

    /// Digest of all that is shown: equal on two nodes exactly when they show the same.
    #[must_use]
    pub fn state_digest(&self) -> [u8; 32] {
        let conflicts: BTreeMap<_, Vec<_>> = self
            .conflicts
            .iter()
            .map(|(key, values)| {
                let shown = values
                    .iter()
                    .map(|it| json!([it.value, Hex(&it.change).to_string()]));
                (key, shown.collect())
            })
            .collect();
        let events: Vec<_> = self
            .events
            .iter()
            .map(|event| {
                let outcome = match &event.outcome {
                    Outcome::Applied { from, to } => json!([from, to]),
                    Outcome::Void { reason } => json!(reason.as_str()),
                };
                let role = event.role.map(Role::letter);
                let (at_ms, by) = (event.at_ms, &event.by);
                (&event.event, at_ms, by, role, &event.data, outcome)
            })
            .collect();
        let shown = (
            &self.kind,
            &self.status,
            &self.overlays,
            &self.fields,
            conflicts,
            events,
            self.waiting,
            &self.unreadable,
        );
        let shown = serde_json::to_vec(&shown).unwrap_or_default();
        hash::STATE_DIGEST.hash(&[&shown])
    }
}

/// The role of the device of each change, at the place of the change: a grant that came later takes nothing back.
fn roles(gathered: &Gathered, authority: &Authority) -> BTreeMap<ChangeHash, DeviceRole> {
    let role = |change: &Carried| {
        let author = Author {
            space: gathered.space,
            device: change.device,
        };
        let (_, seq) = split_key(change.key);
        Some((change.hash, authority.role_at(&change.log, &author, seq)?))
    };
    gathered.changes.iter().filter_map(role).collect()
}

/// The events of a document as its workflow judges them: who may have done what.
fn steps(kind: &Kind, view: &View, roles: &BTreeMap<ChangeHash, DeviceRole>) -> Vec<Step> {
    let step = |event: &EventView| {
        let role = roles.get(&event.change).copied();
        // An operator's PC may do all that the hub may, but give numbers.
        let numbered = is_numbered(kind, &event.event);
        let role = role.filter(|role| !numbered || *role == DeviceRole::Hub);
        let facts = event.data.iter();
        // Most steps are bound to no day.
        let bound = kind
            .transition(&event.event)
            .is_some_and(|it| it.until.is_some() || it.not_before.is_some());
        let at_ms = u64::try_from(event.at_ms).unwrap_or_default();
        Step {
            event: event.event.clone(),
            roles: permitted(role),
            id: event.change,
            preds: event.preds.clone(),
            facts: facts
                .filter_map(|(key, value)| Some((key.clone(), fact(value)?)))
                .collect(),
            day: if bound {
                Beijing::of(at_ms).iso_date()
            } else {
                String::new()
            },
        }
    };
    view.events.iter().map(step).collect()
}

/// Facts alone, and facts with texts, as nested JSON.
fn nested(
    kind: Option<&Kind>,
    facts: &Facts,
    texts: &BTreeMap<String, String>,
) -> (Map<String, Value>, Map<String, Value>) {
    let Some(kind) = kind else {
        // A kind of a newer version is shown as it is.
        let facts = facts.iter().map(|(key, fact)| (key.clone(), json!(fact)));
        let facts: Map<_, _> = facts.collect();
        let mut fields = facts.clone();
        fields.extend(texts.iter().map(|(key, text)| (key.clone(), json!(text))));
        return (facts, fields);
    };
    let facts = kind.nest(facts, &BTreeMap::new());
    let mut fields = facts.clone();
    Kind::nest_texts(&mut fields, texts);
    (facts, fields)
}

/// Makes conflicts what people are asked about: who typed the same words does not disagree, and who cleared a field does with
/// whoever changed it.
fn conflicts_by(apart: &[Apart], conflicts: &mut Conflicts) {
    conflicts.retain(|_, values| {
        let first = values.first().map(|it| &it.value);
        first.is_none_or(Value::is_null) || values.iter().any(|it| Some(&it.value) != first)
    });
    for it in apart.iter().filter(|it| it.is_open()) {
        if let Some(cleared) = it.standing().find(|write| write.cleared) {
            let values = conflicts.entry(it.field.clone()).or_default();
            if values.is_empty() {
                let put = it.standing().find(|write| !write.cleared);
                values.extend(put.map(ConflictValue::of));
            }
            values.push(ConflictValue::of(cleared));
        }
    }
}

fn is_fixed(kind: &Kind, key: &str) -> bool {
    kind.field(key).is_some_and(|field| field.fixed)
}

/// Takes away what a step clears, of what was typed before whoever typed it knew of the step.
fn clear(
    (facts, texts): (&mut Facts, &mut BTreeMap<String, String>),
    (kind, view): (&Kind, &View),
    (place, event): (usize, &str),
) {
    let step = kind.transition(event);
    let Some(step) = step.filter(|step| !step.clears.is_empty()) else {
        return;
    };
    let stays = |key: &str| {
        let set = key.split_once('/').map_or(key, |(set, _)| set);
        let field = view.fields.get(key);
        let knows = field.is_some_and(|it| it.knows.binary_search(&place).is_ok());
        knows || !step.clears.iter().any(|it| it == set)
    };
    texts.retain(|key, _| stays(key));
    facts.retain(|key, _| stays(key));
}

/// Whether a step of this name sets a field.
fn sets(kind: &Kind, event: &str, key: &str) -> bool {
    let step = kind.transition(event);
    step.is_some_and(|step| carries(step, key))
}

/// Whether a step carries a field, or an item of one that is a set.
fn carries(step: &Transition, key: &str) -> bool {
    let key = key.split_once('/').map_or(key, |(set, _)| set);
    step.data.iter().any(|datum| datum.key == key)
}

/// Fields that people may correct and did, knowing all that the steps which count had set there.
fn corrected(kind: &Kind, view: &View, outcomes: &[Outcome]) -> BTreeSet<String> {
    let counts = |place: usize| matches!(outcomes.get(place), Some(Outcome::Applied { .. }));
    let steps = view.events.iter().enumerate();
    let steps = steps.filter(|(place, _)| counts(*place));
    let steps = steps.filter_map(|(place, event)| {
        let step = kind.transition(&event.event)?;
        let redates = kind.redated_by(&event.event);
        let redates = redates.filter(|(datum, _)| event.data.contains_key(*datum));
        Some((place, &event.data, step, redates.map(|(_, date)| &date.key)))
    });
    let steps: Vec<_> = steps.collect();
    let is_corrected = |key: &String, knows: &[usize]| {
        let setting = steps.iter().filter(|(_, data, step, redates)| {
            *redates == Some(key) || (data.contains_key(key) && carries(step, key))
        });
        let mut setting = setting.peekable();
        setting.peek().is_some() && setting.all(|(place, ..)| knows.binary_search(place).is_ok())
    };
    let open = |key: &str| {
        let field = kind.field(key);
        // A date that a rule gives moves along with the day from which it is counted.
        field.is_some_and(|field| (!field.read_only && !field.fixed) || kind.is_term(key))
    };
    let fields = view.fields.iter();
    fields
        .filter(|(key, field)| is_corrected(key, &field.knows) && open(key))
        .map(|(key, _)| key.clone())
        .collect()
}

/// What a record is called: its title, the beginning of its words, or the facts that name it.
fn title(kind: &Kind, facts: &Facts, texts: &BTreeMap<String, String>) -> Option<String> {
    /// Characters of a title that is the beginning of a text.
    const TITLE_CHARS: usize = 40;
    let text = |key: &Option<String>| texts.get(key.as_deref()?);
    if let Some(title) = text(&kind.title) {
        return Some(title.clone());
    }
    if let Some(words) = text(&kind.title_from) {
        let words = words.trim();
        let line = words.lines().next().unwrap_or_default();
        let mut title: String = line.chars().take(TITLE_CHARS).collect();
        if title.len() < words.len() {
            title.push('…');
        }
        return Some(title);
    }
    let named = kind.named_by.iter().filter_map(|key| {
        let text = facts.get(key).and_then(Fact::as_str);
        text.or_else(|| texts.get(key).map(String::as_str))
    });
    let named: Vec<_> = named.collect();
    (!named.is_empty()).then(|| named.join(" "))
}

fn mentions(kind: &Kind, facts: &Facts) -> BTreeSet<(String, String)> {
    let mut mentions = BTreeSet::new();
    let refers = |field: &&Field| !field.names().is_empty() || field.alias;
    for field in kind.fields.iter().filter(refers) {
        let given = facts.get(&field.key).and_then(Fact::as_str);
        let under = format!("{}/", field.key);
        let items = facts
            .range(under.clone()..)
            .take_while(|(key, _)| key.starts_with(&under))
            .filter(|(_, fact)| **fact == Fact::Bool(true))
            .filter_map(|(key, _)| key.get(under.len()..));
        for target in given.into_iter().chain(items) {
            mentions.insert((field.key.clone(), same_number(target)));
        }
    }
    mentions
}

impl Gathered {
    /// Takes out of a view what was written by devices whose people may not: into a field that steps set, where they may take none of
    /// them, unless the record began with it and they knew of nobody who had judged it; and into anything of a record in a status in which
    /// others correct it, whether they knew of that or whoever confirmed it did not know of what they wrote. What the founding change
    /// holds stays. Gives the writes that were taken out.
    fn heed(
        &self,
        kind: &Kind,
        view: &mut View,
        roles: &BTreeMap<ChangeHash, DeviceRole>,
        folded: &Folded,
    ) -> BTreeMap<(ChangeHash, String), Option<(DeviceKey, u64)>> {
        let led_to = |at: usize| match folded.outcomes.get(at) {
            Some(Outcome::Applied { from, to }) if from != to => Some(to.as_str()),
            _ => None,
        };
        let initial = kind.initial.as_deref().unwrap_or_default();
        let status_at = |place: usize| {
            let known = self.document.known_at(place, view).into_iter().rev();
            known.filter_map(led_to).next().unwrap_or(initial)
        };
        // The change that put it in the status in which it is kept.
        let kept = kind.kept_by(&folded.status);
        let confirmed = (0..view.events.len())
            .rev()
            .find(|at| led_to(*at).is_some());
        let confirmed = confirmed.filter(|_| !kept.is_empty());
        let confirmed =
            confirmed.and_then(|at| self.document.place_of(&view.events.get(at)?.change));
        let keeps = kind
            .statuses
            .iter()
            .any(|status| !status.kept_by.is_empty());
        let mut places = BTreeSet::new();
        let mut unheeded = BTreeMap::new();
        // The writes of one change come one after the other.
        let mut writer: Option<(usize, BTreeSet<Role>, bool)> = None;
        for (change, place, key) in self.document.writes() {
            if writer.as_ref().is_none_or(|(known, ..)| *known != place) {
                let may = permitted(roles.get(&change).copied());
                let bars = |by: &BTreeSet<Role>| !by.is_empty() && by.is_disjoint(&may);
                let unseen =
                    confirmed.is_some_and(|it| it != place && !self.document.knows(it, place));
                let barred =
                    (unseen && bars(kept)) || (keeps && bars(kind.kept_by(status_at(place))));
                writer = Some((place, may, barred));
            }
            let (Some((_, may, barred)), Some(field)) = (&writer, kind.field(key)) else {
                continue;
            };
            let led = !field.set_by.is_empty() && field.set_by.is_disjoint(may);
            let founding = || self.document.founding().any(|(it, _)| it == key);
            let began = || founding() && kind.waits(status_at(place));
            if *barred || (led && !began()) {
                places.insert((key.to_owned(), place));
                let by = self.device_of(&change);
                let by = by.map(|it| (it.device, it.hlc >> 16));
                unheeded.insert((change, key.to_owned()), by);
            }
        }
        let keys: BTreeSet<&String> = places.iter().map(|(key, _)| key).collect();
        for key in keys {
            let counts = |place: usize| !places.contains(&(key.clone(), place));
            match self.document.field_by(key, view, counts) {
                Some(field) => view.fields.insert(key.clone(), field),
                None => view.fields.remove(key),
            };
        }
        unheeded
    }

    /// What people typed, the winner where they differ: facts, texts, and the fields with more than one value. What
    /// the kind calls fixed is as it was registered, whatever was written there since.
    fn typed(
        &self,
        view: &View,
        kind: Option<&Kind>,
    ) -> (Facts, BTreeMap<String, String>, Conflicts) {
        let mut facts = Facts::new();
        let mut texts = BTreeMap::new();
        let mut conflicts = Conflicts::new();
        let is_fixed = |key: &str| kind.is_some_and(|kind| is_fixed(kind, key));
        let mut take = |key: &str, value: &Scalar| match value {
            Scalar::Part(reference) => {
                let text = self.text(key, reference);
                texts.extend(text.map(|text| (key.to_owned(), text)));
            }
            Scalar::Str(_) | Scalar::Int(_) | Scalar::Bool(_) => {
                facts.extend(fact(value).map(|fact| (key.to_owned(), fact)));
            }
        };
        let said = |key: &str| !is_fixed(key) && !is_link(key);
        for (key, value) in self.document.founding().filter(|(key, _)| is_fixed(key)) {
            take(key, value);
        }
        for (key, field) in view.fields.iter().filter(|(key, _)| said(key)) {
            take(key, &field.value);
            if !field.others.is_empty() {
                let winner = (&field.value, &field.change);
                let others = field.others.iter();
                let others = others.map(|other| (&other.value, &other.change));
                let values = [winner].into_iter().chain(others).map(|(value, change)| {
                    let carried = self.device_of(change);
                    ConflictValue {
                        value: self.json(key, value),
                        device: carried.map(|carried| carried.device),
                        change: *change,
                        at_ms: carried.map_or(0, |carried| carried.hlc >> 16),
                    }
                });
                conflicts.insert(key.clone(), values.collect());
            }
        }
        (facts, texts, conflicts)
    }

    fn text(&self, key: &str, reference: &PartRef) -> Option<String> {
        self.parts
            .get(reference)
            .and_then(|part| part.texts.get(key))
            .cloned()
    }

    pub(super) fn json(&self, key: &str, value: &Scalar) -> Value {
        match value {
            Scalar::Part(reference) => json!(self.text(key, reference)),
            Scalar::Str(_) | Scalar::Int(_) | Scalar::Bool(_) => json!(fact(value)),
        }
    }
}

fn fact(value: &Scalar) -> Option<Fact> {
    match value {
        Scalar::Str(text) => Some(Fact::Str(text.clone())),
        Scalar::Int(number) => Some(Fact::Int(*number)),
        Scalar::Bool(yes) => Some(Fact::Bool(*yes)),
        Scalar::Part(_) => None,
    }
}
/// Whether a record in this status has an answer that whoever brought the matter is told or was told.
fn is_answered(kind: &Kind, status: &str) -> bool {
    let tells = |code: &str| {
        let told = kind.status(code).and_then(|status| status.tells.as_deref());
        told == Some("answered")
    };
    let next = kind
        .status(status)
        .and_then(|status| status.next.as_deref());
    let next = next.and_then(|event| kind.transition(event));
    tells(status) || next.and_then(|step| step.to.as_deref()).is_some_and(tells)
}
