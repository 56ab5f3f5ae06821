//! Judging what was typed: nested JSON in, a flat [`Draft`] or all refusals at once out.
//!
//! Owns the rules a value must satisfy and the sentences that explain a refusal. Must not correct
//! free text beyond what [`text::kept`] leaves out because nobody sees it. Must not repeat in a message what was typed.
//!
//! Invariants: a draft holds only fields its kind declares, with values they accept; erasable
//! values are only ever in `texts`; a blank text is never stored. Form and API share these rules,
//! so a refusal names a field and a stable code that a page can put into its own words.
//!
//! Rejected: skipping fields that are not known. A misspelt field would lose a resident's words
//! without anyone noticing.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Condition, FORM_VERSION, Fact, Field, FieldType, Kind, Retention, SHORT, Transition, find,
};
use crate::text;

/// Names that come with a record without being fields of it; ignored.
const SUBMISSION_ID: &str = "submission_id";
const KIND: &str = "kind";
/// Records nested in one input: a code has some 1,260 articles at most (民法典), and comes in parts.
pub const NESTED_MAX: usize = 500;
/// What is repeated of a field name that is not known.
const NAME_CHARS: usize = 64;
/// A name this many edits away, or fewer, is suggested for one that is not known.
const SUGGEST_EDITS: usize = 3;
/// Longest system name and number of an external reference.
const EXTERNAL_CHARS: usize = 64;

/// What a save would write: the outcome of judging a new record, an edit or the data of an event.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// Flat key to value. `None`, in edits only, clears the key and every key under it
    /// (`deputies` and all `deputies/…`), erasable or not; clearing comes before setting.
    pub facts: BTreeMap<String, Option<Fact>>,
    /// Erasable values by class; none of them is blank.
    pub texts: BTreeMap<Retention, BTreeMap<String, String>>,
    /// New records only: those that come with it, by their kinds. They lack the reference to this one.
    pub nested: Vec<(String, Self)>,
}

impl fmt::Debug for Draft {
    /// Shows which texts there are, never what they say: drafts end up in logs of failed tests
    /// and of failing machines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self
            .texts
            .iter()
            .map(|(class, t)| (class, t.keys()))
            .collect();
        f.debug_struct("Draft")
            .field("facts", &self.facts)
            .field("texts", &texts)
            .field("nested", &self.nested)
            .finish()
    }
}

/// Why an input was refused: one of these per field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Flat key of the field, or the name that was typed, shortened; empty for the whole input.
    pub field: String,
    /// Stable name of the rule: `unknown_field`, `forbidden_field`, `read_only`, `required`,
    /// `wrong_type`, `not_text`, `too_long`, `too_many`, `not_an_option`, `out_of_range`,
    /// `bad_date`, `bad_time`, `before`, `too_late`, `set_by_steps`, `one_of`, `twice`, `needed`, `excluded`, `unknown_event`.
    pub code: &'static str,
    /// A sentence in English that does not repeat the value.
    pub message: String,
}

/// The first dates of these pairs that lie before the second. Dates of this form sort as they follow.
fn before<'a>(
    pairs: impl Iterator<Item = (&'a String, &'a String)>,
    date: impl Fn(&str) -> Option<String>,
    other: impl Fn(&str) -> Option<String>,
) -> Vec<Refusal> {
    let early = pairs.filter(|(key, after)| {
        let both = date(key).zip(other(after));
        both.is_some_and(|(date, other)| date < other)
    });
    let refusal = |(key, other): (&String, &String)| Refusal {
        field: key.clone(),
        code: "before",
        message: format!("this is before {other}"),
    };
    early.map(refusal).collect()
}

impl Transition {
    /// Dates that a step carries and that lie before those of the record that they come after.
    #[must_use]
    pub fn before(&self, draft: &Draft, held: impl Fn(&str) -> Option<String>) -> Vec<Refusal> {
        let given = |key: &str| Some(draft.facts.get(key)?.as_ref()?.as_str()?.to_owned());
        before(self.after.iter(), given, held)
    }
}

impl Kind {
    /// Judges a whole new record: takes defaults, wants what is required, and takes a missing
    /// title from the body. An input that names an older [`FORM_VERSION`] may lack what only newer forms ask for; what a record has of
    /// it then says by which form it is whole, the first being left unsaid.
    ///
    /// # Errors
    /// All refusals at once.
    pub fn read(&self, input: &Value) -> Result<Draft, Vec<Refusal>> {
        self.taken_from_people()?;
        let mut reader = Reader::new(self, &self.fields, Mode::New);
        reader.take_input(input);
        reader.take_version();
        reader.complete();
        reader.want_in_order();
        reader.pin();
        reader.take_title();
        reader.finish()
    }

    /// Judges a new record as a form does, where whoever fills it in can still ask: what a choice needs must be there, and what it
    /// leaves no room for must not (`needed`, `excluded`).
    ///
    /// # Errors
    /// All refusals at once.
    pub fn read_form(&self, input: &Value) -> Result<Draft, Vec<Refusal>> {
        self.taken_from_people()?;
        let mut reader = Reader::new(self, &self.fields, Mode::New);
        reader.take_input(input);
        reader.take_version();
        reader.complete();
        reader.want_in_order();
        reader.weigh_choices();
        reader.pin();
        reader.take_title();
        reader.finish()
    }

    /// Judges a new record that came nested in one of another kind, as the `place`th there: the field `by` that
    /// refers to that one is not asked for.
    ///
    /// # Errors
    /// All refusals at once.
    pub fn read_under(&self, input: &Value, by: &str, place: i64) -> Result<Draft, Vec<Refusal>> {
        let mut input = input.clone();
        if let Value::Object(members) = &mut input {
            members.insert(by.to_owned(), json!("-"));
        }
        let mut draft = self.read(&input)?;
        draft.facts.remove(by);
        if let Some(field) = self.parent.as_ref().and_then(|it| it.place.clone()) {
            draft.facts.insert(field, Some(Fact::Int(place)));
        }
        Ok(draft)
    }

    /// Judges a change to some fields. `null` or a blank string clears a field. For a set, an
    /// array replaces all items, `{"add": […], "remove": […]}` changes some.
    ///
    /// # Errors
    /// All refusals at once.
    pub fn read_edit(&self, input: &Value) -> Result<Draft, Vec<Refusal>> {
        self.taken_from_people()?;
        let mut reader = Reader::new(self, &self.fields, Mode::Edit);
        reader.take_input(input);
        reader.finish()
    }

    /// Dates of a record that lie before those that they come after, as its steps say of what they carry: somebody who types them is held
    /// to the same.
    #[must_use]
    pub fn before(&self, date: impl Fn(&str) -> Option<String>) -> Vec<Refusal> {
        let pairs = self.transitions.iter().flat_map(|step| &step.after);
        let pairs: BTreeSet<_> = pairs.filter(|(key, _)| self.field(key).is_some()).collect();
        before(pairs.into_iter(), &date, &date)
    }

    /// Judges the data of an event.
    ///
    /// # Errors
    /// All refusals at once; `unknown_event` alone for an event that the kind
    /// does not have.
    pub fn read_event(&self, event: &str, input: &Value) -> Result<Draft, Vec<Refusal>> {
        let Some(transition) = self.transition(event) else {
            let message = "this kind of record has no such event".to_owned();
            return Err(vec![Refusal {
                field: "event".to_owned(),
                code: "unknown_event",
                message,
            }]);
        };
        let mut reader = Reader::new(self, &transition.data, Mode::New);
        reader.take_input(input);
        reader.follow(&transition.follows);
        reader.complete();
        reader.want_one_of(&transition.one_of);
        let each = transition
            .makes
            .as_ref()
            .and_then(|make| make.each.as_ref());
        reader.want_different(each.map_or(&[], |each| &each.data));
        reader.finish()
    }

    /// What the program makes is nobody's to make or to change.
    fn taken_from_people(&self) -> Result<(), Vec<Refusal>> {
        if !self.create.by_program {
            return Ok(());
        }
        Err(vec![Refusal {
            field: String::new(),
            code: "read_only",
            message: "records of this kind are written by the program, never by hand".to_owned(),
        }])
    }

    /// Whether a field of this name would ask for what must not be known of a person.
    pub(super) fn forbids(&self, name: &str) -> bool {
        let (spaced, squeezed) = (words(name), squeezed(name));
        self.forbidden.iter().any(|it| {
            if it.name.is_ascii() {
                spaced.contains(&it.words) || squeezed == it.squeezed
            } else {
                squeezed.contains(&it.name)
            }
        })
    }
}

/// A name that no field may have, in the forms by which names are compared: each field of the catalogue is, whenever a program starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct Forbidden {
    pub(super) name: String,
    words: String,
    squeezed: String,
}

impl From<String> for Forbidden {
    fn from(name: String) -> Self {
        Self {
            words: words(&name),
            squeezed: squeezed(&name),
            name,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    New,
    Edit,
}

struct Reader<'a> {
    kind: &'a Kind,
    fields: &'a [Field],
    mode: Mode,
    /// The version of the form that was filled in.
    form: u32,
    draft: Draft,
    refusals: Vec<Refusal>,
}

impl<'a> Reader<'a> {
    fn new(kind: &'a Kind, fields: &'a [Field], mode: Mode) -> Self {
        Self {
            kind,
            fields,
            mode,
            form: kind.version,
            draft: Draft::default(),
            refusals: Vec::new(),
        }
    }

    fn finish(self) -> Result<Draft, Vec<Refusal>> {
        if self.refusals.is_empty() {
            Ok(self.draft)
        } else {
            Err(self.refusals)
        }
    }

    fn take_input(&mut self, input: &Value) {
        let Value::Object(input) = input else {
            return self.refuse("", Fault::type_of("an object with the fields"));
        };
        for (name, value) in input {
            match name.as_str() {
                SUBMISSION_ID => {}
                KIND if value.as_str() == Some(&self.kind.code) => {}
                KIND => self.refuse(KIND, Fault::type_of("the code of this kind of record")),
                _ => self.take_named(name, value),
            }
        }
    }

    /// A name on the first level is a field or a group of fields.
    fn take_named(&mut self, name: &str, value: &Value) {
        if self.nests(name) {
            return self.take_nested(name, value);
        }
        let fields = self.fields;
        let in_group = |field: &&Field| field.key.split_once('.').is_some_and(|(g, _)| g == name);
        if !fields.iter().any(|field| in_group(&field)) {
            // A dotted name is the flat key of a stored value, not a name in JSON.
            return match find(fields, name).filter(|field| field.key == name && !name.contains('.'))
            {
                Some(field) => self.take(field, value),
                None => self.refuse_name(name.to_owned()),
            };
        }
        match value {
            Value::Object(members) => {
                for (member, value) in members {
                    let key = format!("{name}.{member}");
                    match fields.iter().find(|field| field.key == key) {
                        Some(field) => self.take(field, value),
                        None => self.refuse_name(key),
                    }
                }
            }
            Value::Null => {
                for field in fields
                    .iter()
                    .filter(in_group)
                    .filter(|field| !field.read_only)
                {
                    self.take(field, &Value::Null);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.refuse(
                    name,
                    Fault::type_of("an object with the fields of this group"),
                );
            }
        }
    }

    fn nests(&self, name: &str) -> bool {
        let gathers = &self.kind.gathers;
        let nested = gathers.iter().filter_map(|gather| gather.field.as_ref());
        std::ptr::eq(self.fields, self.kind.fields.as_slice())
            && nested.into_iter().any(|field| field == name)
    }

    /// Only the shape is judged here; the records themselves are judged as what they are.
    fn take_nested(&mut self, name: &str, value: &Value) {
        let fault = match (self.mode, value) {
            (Mode::New, Value::Null) => return,
            (Mode::New, Value::Array(items)) if items.len() <= NESTED_MAX => return,
            (Mode::New, Value::Array(_)) => {
                Fault::new("too_many", format!("at most {NESTED_MAX} at a time"))
            }
            (Mode::New, _) => Fault::type_of("an array of objects"),
            (Mode::Edit, _) => Fault::new(
                "read_only",
                "each of these is a record of its own: change it there",
            ),
        };
        self.refuse(name, fault);
    }

    fn take(&mut self, field: &Field, value: &Value) {
        if field.read_only {
            let message = "this is computed or set by an event and cannot be typed in";
            return self.refuse(&field.key, Fault::new("read_only", message));
        }
        if field.fixed && self.mode == Mode::Edit {
            let message = "this stays as it was registered; add to it with a step";
            return self.refuse(&field.key, Fault::new("fixed", message));
        }
        if is_blank(value) {
            return self.clear(field);
        }
        if let FieldType::Set { of, max_items } = &field.kind {
            return match self.read_set(of, *max_items, value) {
                Ok(change) => self.take_set(field, change),
                Err(fault) => self.refuse(&field.key, fault),
            };
        }
        let value = match value.as_str() {
            Some(typed) if field.plain => Cow::Owned(Value::from(text::plain(typed))),
            _ => spelt(&field.kind, value),
        };
        match (scalar(&field.kind, &value), field.retention) {
            (Err(fault), _) => self.refuse(&field.key, fault),
            (Ok(Fact::Str(text)), Some(class)) => self.put_text(class, &field.key, text),
            (Ok(fact), _) => {
                self.draft.facts.insert(field.key.clone(), Some(fact));
            }
        }
    }

    /// Nothing was typed: in a new record as if the field were not there.
    fn clear(&mut self, field: &Field) {
        match self.mode {
            Mode::New => {}
            Mode::Edit if field.required => self.refuse(&field.key, Fault::required()),
            Mode::Edit => {
                self.draft.facts.insert(field.key.clone(), None);
            }
        }
    }

    fn read_set(&self, of: &FieldType, max: usize, value: &Value) -> Result<SetChange, Fault> {
        let change = match value {
            Value::Array(items) => SetChange {
                replace: self.mode == Mode::Edit,
                add: read_items(of, items)?,
                remove: BTreeSet::new(),
            },
            Value::Object(delta) if self.mode == Mode::Edit => {
                let only_known = delta
                    .keys()
                    .all(|key| matches!(key.as_str(), "add" | "remove"));
                let items = |name| match delta.get(name) {
                    None => Ok(BTreeSet::new()),
                    Some(Value::Array(items)) => read_items(of, items),
                    Some(_) => Err(Fault::type_of("an array of items")),
                };
                if !only_known {
                    return Err(Fault::type_of("an array, or an object with add and remove"));
                }
                SetChange {
                    replace: false,
                    add: items("add")?,
                    remove: items("remove")?,
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => {
                return Err(Fault::type_of("an array of items"));
            }
        };
        if change.add.len() > max || change.remove.len() > max {
            return Err(Fault::new("too_many", format!("at most {max} items")));
        }
        Ok(change)
    }

    fn take_set(&mut self, field: &Field, change: SetChange) {
        let SetChange {
            replace,
            add,
            remove,
        } = change;
        if field.required && replace && add.is_empty() {
            return self.refuse(&field.key, Fault::required());
        }
        if replace {
            self.draft.facts.insert(field.key.clone(), None);
        }
        let key = |item: String| format!("{}/{item}", field.key);
        self.draft
            .facts
            .extend(remove.into_iter().map(|item| (key(item), None)));
        self.draft.facts.extend(
            add.into_iter()
                .map(|item| (key(item), Some(Fact::Bool(true)))),
        );
    }

    fn put_text(&mut self, class: Retention, key: &str, text: String) {
        self.draft
            .texts
            .entry(class)
            .or_default()
            .insert(key.to_owned(), text);
    }

    /// Gives what was left out the value of what it follows.
    fn follow(&mut self, follows: &BTreeMap<String, String>) {
        for (key, other) in follows {
            if !self.draft.facts.contains_key(key)
                && let Some(fact) = self.draft.facts.get(other)
            {
                self.draft.facts.insert(key.clone(), fact.clone());
            }
        }
    }

    /// Which form was filled in: the newest, unless the input says another.
    fn take_version(&mut self) {
        let said = self.draft.facts.get(FORM_VERSION);
        let Some(Some(Fact::Int(said))) = said else {
            return;
        };
        match u32::try_from(*said) {
            Ok(said) if (1..=self.kind.version).contains(&said) => self.form = said,
            _ => {
                let known = self.kind.version;
                let message = format!("this device knows the form up to version {known}");
                self.refuse(FORM_VERSION, Fault::new("out_of_range", message));
            }
        }
    }

    /// Notes by which form the record is whole.
    fn pin(&mut self) {
        let lacks = self.kind.asked_since(self.form);
        let lacks = lacks.filter(|field| !self.has(field) && self.is_asked_for(field));
        // The newest that asks for no more than there is.
        let whole = lacks.map(|field| field.since - 1).min();
        let whole = whole.unwrap_or(self.kind.version);
        self.draft.facts.remove(FORM_VERSION);
        if whole > 1 {
            let fact = Some(Fact::Int(i64::from(whole)));
            self.draft.facts.insert(FORM_VERSION.to_owned(), fact);
        }
    }

    fn is_asked_for(&self, field: &Field) -> bool {
        field.required || self.is_called_for(field)
    }

    /// Defaults and what is required, after all input was taken.
    fn complete(&mut self) {
        for field in self.fields.iter().filter(|field| !field.read_only) {
            if self.has(field)
                || self
                    .refusals
                    .iter()
                    .any(|refusal| refusal.field == field.key)
            {
                continue;
            }
            if let Some(default) = &field.default {
                self.draft
                    .facts
                    .insert(field.key.clone(), Some(default.clone()));
            } else if field.since <= self.form && self.is_asked_for(field) {
                self.refuse(&field.key, Fault::required());
            }
        }
    }

    /// What was chosen, against what is there: for whole records, whose fields all stand here.
    fn weigh_choices(&mut self) {
        let kind = self.kind;
        let chosen = |field: &Field| {
            let fact = self.draft.facts.get(&field.key)?.as_ref()?;
            fact.as_str().map(str::to_owned)
        };
        let odds = kind.at_odds(chosen, |field| self.has(field));
        for (_, refusal) in odds {
            let told = self.refusals.iter().any(|it| it.field == refusal.field);
            // Nobody is held to that.
            if !told && refusal.code != SHORT {
                self.refusals.push(refusal);
            }
        }
    }

    fn want_in_order(&mut self) {
        let facts = &self.draft.facts;
        let date = |key: &str| Some(facts.get(key)?.as_ref()?.as_str()?.to_owned());
        let early = self.kind.before(date);
        self.refusals.extend(early);
    }

    fn is_called_for(&self, field: &Field) -> bool {
        let Some(Condition { field: other, is }) = &field.required_when else {
            return false;
        };
        match self.draft.facts.get(other) {
            Some(Some(fact)) => {
                is.is_empty()
                    || fact
                        .as_str()
                        .is_some_and(|value| is.iter().any(|is| is == value))
            }
            Some(None) | None => false,
        }
    }

    fn want_one_of(&mut self, keys: &[String]) {
        let fields = self.fields;
        let given = keys
            .iter()
            .filter_map(|key| find(fields, key))
            .filter(|f| self.has(f))
            .count();
        if let Some(first) = keys.first()
            && given != 1
        {
            let message = format!("give exactly one of: {}", keys.join(", "));
            self.refuse(first, Fault::new("one_of", message));
        }
    }

    /// What a step makes a record for each of is named once.
    fn want_different(&mut self, keys: &[String]) {
        let mut seen = BTreeSet::new();
        for key in keys {
            let facts = &self.draft.facts;
            let one = facts.get(key).and_then(|fact| fact.as_ref()?.as_str());
            let items = facts
                .iter()
                .filter(|(_, fact)| **fact == Some(Fact::Bool(true)));
            let items = items.filter_map(|(item, _)| item.strip_prefix(key)?.strip_prefix('/'));
            let named: Vec<String> = one.into_iter().chain(items).map(str::to_owned).collect();
            if named.into_iter().any(|it| !seen.insert(it)) {
                let message = "this is named more than once: once is enough";
                self.refuse(key, Fault::new("twice", message));
            }
        }
    }

    fn take_title(&mut self) {
        let (Some(title), Some(body)) = (&self.kind.title, &self.kind.title_from) else {
            return;
        };
        let (Some(field), Some(from)) = (self.kind.field(title), self.kind.field(body)) else {
            return;
        };
        let (FieldType::Text { max_chars }, Some(class)) = (&field.kind, field.retention) else {
            return;
        };
        if self.has(field) {
            return;
        }
        let source = from
            .retention
            .and_then(|class| self.draft.texts.get(&class)?.get(body));
        let made = source
            .map(|source| title_of(source, *max_chars))
            .unwrap_or_default();
        if !made.is_empty() {
            self.put_text(class, title, made);
        }
    }

    fn has(&self, field: &Field) -> bool {
        let texts = field
            .retention
            .and_then(|class| self.draft.texts.get(&class));
        texts.is_some_and(|texts| texts.contains_key(&field.key))
            || self.draft.facts.keys().any(|key| {
                key.strip_prefix(&field.key)
                    .is_some_and(|r| r.is_empty() || r.starts_with('/'))
            })
    }

    fn refuse_name(&mut self, name: String) {
        let fault = if self.kind.forbids(&name) {
            Fault::new(
                "forbidden_field",
                "this system keeps no political affiliation, religion, ethnicity, identity number \
                 or medical history of anyone; leave it out",
            )
        } else {
            let typed: String = name.chars().take(NAME_CHARS).collect();
            let near = (self.fields.iter())
                .filter(|field| !field.read_only)
                .map(|field| (edits(&typed, &field.key), &field.key))
                .filter(|(edits, key)| *edits <= SUGGEST_EDITS && *edits * 2 < key.len())
                .min();
            let hint = match near {
                Some((0, key)) if key.contains('.') => {
                    let nested = key.replacen('.', "\": {\"", 1);
                    format!("; it stands in an object: {{\"{nested}\": …}}}}")
                }
                Some((_, key)) => format!("; did you mean {key}?"),
                None => String::new(),
            };
            Fault::new("unknown_field", format!("there is no such field{hint}"))
        };
        let shown: String = name
            .chars()
            .filter(|c| !c.is_control())
            .take(NAME_CHARS)
            .collect();
        self.refuse(&shown, fault);
    }

    fn refuse(&mut self, field: &str, Fault { code, message }: Fault) {
        self.refusals.push(Refusal {
            field: field.to_owned(),
            code,
            message,
        });
    }
}

struct SetChange {
    replace: bool,
    add: BTreeSet<String>,
    remove: BTreeSet<String>,
}

/// A refusal that does not know its field yet.
struct Fault {
    code: &'static str,
    message: String,
}

impl Fault {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn required() -> Self {
        Self::new("required", "this is needed")
    }

    fn type_of(expected: &str) -> Self {
        Self::new("wrong_type", format!("expected {expected}"))
    }
}

/// Refuses a new record without a field that what was chosen in another asks for.
pub(super) fn needed(field: &Field, chosen: &Field) -> Refusal {
    Refusal {
        field: field.key.clone(),
        code: "needed",
        message: format!("what {} says cannot be done without this", chosen.key),
    }
}

/// Refuses a value that what was chosen in another field leaves no room for.
pub(super) fn excluded(field: &Field, chosen: &Field) -> Refusal {
    Refusal {
        field: field.key.clone(),
        code: "excluded",
        message: format!(
            "what {} says leaves no room for this: leave it out, or choose otherwise there",
            chosen.key
        ),
    }
}

/// A typed value as it is stored: the one place where what people type is folded.
fn spelt<'a>(kind: &FieldType, value: &'a Value) -> Cow<'a, Value> {
    let Some(typed) = value.as_str() else {
        return Cow::Borrowed(value);
    };
    Cow::Owned(Value::from(match kind {
        FieldType::Text { .. } => text::kept(typed),
        FieldType::Ref { .. } => text::line(typed),
        FieldType::Date | FieldType::Month | FieldType::Time | FieldType::Clock => {
            text::plain(typed)
        }
        FieldType::Enum { .. }
        | FieldType::Int { .. }
        | FieldType::Bool
        | FieldType::ExternalRef
        | FieldType::Set { .. }
        | FieldType::Opaque => return Cow::Borrowed(value),
    }))
}

/// See [`Field::written`].
pub(super) fn written(field: &Field, typed: &str) -> Option<String> {
    let value = Value::from(typed);
    match scalar(&field.kind, &spelt(&field.kind, &value)).ok()? {
        Fact::Str(text) => Some(text),
        Fact::Int(_) | Fact::Bool(_) => None,
    }
}

/// Whether a stored fact is a value of this type.
pub(super) fn fits(kind: &FieldType, fact: &Fact) -> bool {
    scalar(kind, &fact.to_json()).is_ok_and(|read| read == *fact)
}

/// Whether this is an item of a set of this type, as the key has it.
pub(super) fn fits_item(kind: &FieldType, item: &str) -> bool {
    let FieldType::Set { of, .. } = kind else {
        return false;
    };
    let read = scalar(of, &item_json(Some(kind), item));
    !item.is_empty() && read.is_ok_and(|read| read.as_str() == Some(item))
}

/// The JSON of a set's item; `kind` is the type of the set.
pub(super) fn item_json(kind: Option<&FieldType>, item: &str) -> Value {
    let external =
        matches!(kind, Some(FieldType::Set { of, .. }) if **of == FieldType::ExternalRef);
    let mut parts = item.splitn(3, '|');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(system), Some(no), Some("")) if external => json!({ "system": system, "no": no }),
        (Some(system), Some(no), Some(date)) if external => {
            json!({ "system": system, "no": no, "date": date })
        }
        _ => Value::from(item),
    }
}

/// Judges a value that is not a set.
fn scalar(kind: &FieldType, value: &Value) -> Result<Fact, Fault> {
    let string = |expected| value.as_str().ok_or_else(|| Fault::type_of(expected));
    match kind {
        FieldType::Text { max_chars } => {
            let text = string("text")?;
            within(text, *max_chars)?;
            if text
                .chars()
                .any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
            {
                return Err(Fault::new(
                    "not_text",
                    "there is a control character in the text",
                ));
            }
            Ok(Fact::Str(text.to_owned()))
        }
        FieldType::Ref { max_chars, .. } => {
            reference(string("a reference")?, *max_chars).map(|text| Fact::Str(text.to_owned()))
        }
        FieldType::Enum { options } => {
            let code = string("one of the options")?;
            if options.iter().any(|option| option.code == code) {
                return Ok(Fact::Str(code.to_owned()));
            }
            let codes: Vec<_> = options.iter().map(|option| option.code.as_str()).collect();
            Err(Fault::new(
                "not_an_option",
                format!("choose one of: {}", codes.join(", ")),
            ))
        }
        FieldType::Int { min, max } => match value.as_i64() {
            Some(number) if (*min..=*max).contains(&number) => Ok(Fact::Int(number)),
            None if !value.is_u64() => Err(Fault::type_of("a whole number")),
            Some(_) | None => Err(Fault::new(
                "out_of_range",
                format!("a whole number from {min} to {max}"),
            )),
        },
        FieldType::Bool => value
            .as_bool()
            .map(Fact::Bool)
            .ok_or_else(|| Fault::type_of("true or false")),
        FieldType::Date => formed(
            string("a date")?,
            is_date,
            "bad_date",
            "a date as 2026-03-14",
        ),
        FieldType::Month => formed(
            string("a month")?,
            is_month,
            "bad_date",
            "a month as 2026-03",
        ),
        FieldType::Time => {
            let example = "a time with its offset as 2026-03-14T08:40:00+08:00";
            formed(string("a time")?, is_time, "bad_time", example)
        }
        FieldType::Clock => formed(
            string("a time of day")?,
            is_clock,
            "bad_time",
            "a time of day as 09:30",
        ),
        FieldType::ExternalRef => external_ref(value).map(Fact::Str),
        FieldType::Set { .. } => Err(Fault::type_of("an array of items")),
        FieldType::Opaque => Err(Fault::type_of("nothing here")),
    }
}

fn read_items(of: &FieldType, items: &[Value]) -> Result<BTreeSet<String>, Fault> {
    let item = |item| match scalar(of, &spelt(of, item))? {
        Fact::Str(text) if text.is_empty() => Err(Fault::required()),
        Fact::Str(text) => Ok(text),
        Fact::Int(_) | Fact::Bool(_) => Err(Fault::type_of("a text for each item")),
    };
    items.iter().map(item).collect()
}

/// `{system, no, date?}` as `system|no|date`, so that the same number is the same item.
fn external_ref(value: &Value) -> Result<String, Fault> {
    let expected = || Fault::type_of("an object with system, no and, if known, date");
    let Value::Object(members) = value else {
        return Err(expected());
    };
    if members
        .keys()
        .any(|key| !matches!(key.as_str(), "system" | "no" | "date"))
    {
        return Err(expected());
    }
    let part = |name, folded: fn(&str) -> String| -> Result<String, Fault> {
        let part = folded(member(members, name).ok_or_else(expected)?);
        match reference(&part, EXTERNAL_CHARS)? {
            "" => Err(Fault::required()),
            part if part.contains('|') => Err(Fault::new("not_text", "a | is not possible here")),
            part => Ok(part.to_owned()),
        }
    };
    let (system, no) = (part("system", text::line)?, part("no", text::plain)?);
    let date = if members.get("date").is_none_or(is_blank) {
        String::new()
    } else {
        let date = text::plain(member(members, "date").ok_or_else(expected)?);
        formed(&date, is_date, "bad_date", "a date as 2026-03-14")?;
        date
    };
    Ok(format!("{system}|{no}|{date}"))
}

fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

/// One line without spaces around it, or the same thing would be two items of a set.
fn reference(text: &str, max_chars: usize) -> Result<&str, Fault> {
    let text = text.trim();
    within(text, max_chars)?;
    if text.chars().any(char::is_control) {
        return Err(Fault::new(
            "not_text",
            "one line without control characters",
        ));
    }
    Ok(text)
}

fn within(text: &str, max_chars: usize) -> Result<(), Fault> {
    if text.chars().nth(max_chars).is_some() {
        return Err(Fault::new(
            "too_long",
            format!("at most {max_chars} characters"),
        ));
    }
    Ok(())
}

fn formed(
    text: &str,
    is_formed: fn(&str) -> bool,
    code: &'static str,
    example: &str,
) -> Result<Fact, Fault> {
    if is_formed(text) {
        return Ok(Fact::Str(text.to_owned()));
    }
    Err(Fault::new(
        code,
        format!("expected {example}, between 1900 and 2199"),
    ))
}

/// A day of the Gregorian calendar, `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    let Some((month, day)) = text.rsplit_once('-') else {
        return false;
    };
    let Some((year, number)) = month.split_once('-') else {
        return false;
    };
    let (Some(year), true) = (digits(year, 4), is_month(month)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match number {
        "02" if leap => 29,
        "02" => 28,
        "04" | "06" | "09" | "11" => 30,
        _ => 31,
    };
    digits(day, 2).is_some_and(|day| (1..=days).contains(&day))
}

fn is_month(text: &str) -> bool {
    let Some((year, month)) = text.split_once('-') else {
        return false;
    };
    digits(year, 4).is_some_and(|year| (1900..=2199).contains(&year))
        && digits(month, 2).is_some_and(|month| (1..=12).contains(&month))
}

/// `YYYY-MM-DDTHH:MM[:SS[.fraction]]` and `Z` or `±HH:MM`.
fn is_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else {
        return false;
    };
    let clock = match time.strip_suffix('Z') {
        Some(clock) => clock,
        None => {
            let Some((clock, offset)) = time.rsplit_once(['+', '-']) else {
                return false;
            };
            if !is_clock(offset) {
                return false;
            }
            clock
        }
    };
    let (minutes, seconds) = clock.split_at_checked(5).unwrap_or((clock, ""));
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let second = second.is_empty() && seconds.is_empty()
        || second
            .strip_prefix(':')
            .and_then(|s| digits(s, 2))
            .is_some_and(|s| s < 60);
    let fraction =
        (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    is_date(date) && is_clock(minutes) && second && fraction
}

fn is_clock(text: &str) -> bool {
    let Some((hour, minute)) = text.split_once(':') else {
        return false;
    };
    digits(hour, 2).is_some_and(|hour| hour < 24) && digits(minute, 2).is_some_and(|min| min < 60)
}

/// The number that exactly `len` ASCII digits write.
fn digits(text: &str, len: usize) -> Option<u32> {
    let formed = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    formed.then(|| text.parse().ok()).flatten()
}

/// Null, or a string in which nothing is to be seen.
fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(text::is_blank)
}

/// The beginning of a text as a title of one line: as many whole sentences as fit, or what fits of
/// the first one.
fn title_of(text: &str, max_chars: usize) -> String {
    let line = |c: char| if matches!(c, '\n' | '\t') { ' ' } else { c };
    let start = text.trim_start();
    let cut: String = start.chars().take(max_chars).collect();
    let whole = cut.len() == start.trim_end().len();
    let ends = ['。', '！', '？', '!', '?', '；', '\n'];
    let sentence_end = cut.rfind(ends).filter(|_| !whole);
    let title = match sentence_end.and_then(|at| cut.split_at_checked(at)) {
        // A question keeps its mark; it is one character and was within the cut.
        Some((before, rest)) if rest.starts_with(['？', '?']) => {
            format!("{before}{}", rest.chars().take(1).collect::<String>())
        }
        Some((before, _)) => before.to_owned(),
        None if whole => cut.clone(),
        // A title says of itself that it goes on.
        None => {
            let cut: String = cut.chars().take(max_chars.saturating_sub(1)).collect();
            let end = |c| matches!(c, '，' | ',' | '、') || char::is_whitespace(c);
            format!("{}…", cut.trim_end_matches(end))
        }
    };
    let title: String = title
        .trim_end_matches(['。', '；', '，', ',', '、'])
        .chars()
        .map(line)
        .collect();
    let title = title.trim();
    if title.is_empty() {
        cut.chars().map(line).collect::<String>().trim().to_owned()
    } else {
        title.to_owned()
    }
}

/// The words of a name between bars, whatever separates them: `idNumber` is `|id|number|`.
fn words(name: &str) -> String {
    let mut words = String::from("|");
    let mut was_small = false;
    for c in name.chars() {
        let starts = !c.is_alphanumeric() || (c.is_uppercase() && was_small);
        if starts && !words.ends_with('|') {
            words.push('|');
        }
        words.extend(
            c.is_alphanumeric()
                .then(|| c.to_lowercase())
                .into_iter()
                .flatten(),
        );
        was_small = c.is_lowercase();
    }
    if !words.ends_with('|') {
        words.push('|');
    }
    words
}

/// A name without what separates its words, in small letters.
fn squeezed(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Levenshtein distance: how many characters to add, drop or change.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (above, x) in a.chars().enumerate() {
        let mut left = above + 1;
        let mut next = vec![left];
        for (y, pair) in b.chars().zip(row.windows(2)) {
            let &[diagonal, up] = pair else { continue };
            left = (diagonal + usize::from(x != y)).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
