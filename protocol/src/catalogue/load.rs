//! Reading the catalogue's files, and refusing those that contradict themselves.
//!
//! Owns the form of the TOML files and every check on them, so that the rest of the catalogue may
//! rely on names that exist and limits that fit. Must not judge records.
//!
//! Rejected: trusting the files because they are ours. A kind is written by whoever knows the
//! domain, and a wrong name should fail the build's tests with a sentence, not a page in use.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use thiserror::Error;

use super::{
    Actor, Choice, Condition, Creation, Fact, Field, FieldType, Flag, Gather, Home, Kind, Label,
    Make, Move, Parent, Retention, Rounds, Section, Status, Transition, find,
};
use crate::number::KindCode;

/// The texts of one class of one save travel in one part; see the size of a part in the protocol.
const PART_BYTES: usize = 64 * 1024;
/// What encoding and salt may add to the texts of a part.
const PART_OVERHEAD_BYTES: usize = 4 * 1024;
/// Longest UTF-8 form of a Unicode scalar value.
const CHAR_BYTES: usize = 4;
/// Rank of an event whose file states none.
const RANK: u16 = 50;

/// Why a catalogue was not loaded. Meant for whoever writes the file.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// The text is not TOML of the expected form.
    #[error("cannot read catalogue file {file}")]
    Syntax {
        /// `common`, or the place of the file among the kinds.
        file: String,
        /// Line, column and what was expected there.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The file contradicts itself or the common file.
    #[error("catalogue kind {kind}: {what}")]
    Invalid {
        /// Code of the kind.
        kind: String,
        /// What is wrong, naming the field, status or event.
        what: String,
    },
}

type Checked<T = ()> = Result<T, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommonFile {
    forbidden: Vec<String>,
    #[serde(rename = "field")]
    fields: Vec<FieldEntry>,
    #[serde(default)]
    shared: Vec<FieldEntry>,
    #[serde(default)]
    data: Vec<FieldEntry>,
    #[serde(default, rename = "process")]
    processes: Vec<ProcessEntry>,
}

/// Statuses and steps that several kinds share.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProcessEntry {
    code: String,
    initial: String,
    status: Vec<StatusEntry>,
    #[serde(rename = "transition")]
    transitions: Vec<TransitionEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindFile {
    code: String,
    prefix: Option<String>,
    zh: String,
    en: String,
    title: Option<String>,
    title_from: Option<String>,
    about: Option<LabelEntry>,
    #[serde(default)]
    named_by: Vec<String>,
    words: Option<String>,
    #[serde(default)]
    space: Home,
    parent: Option<Parent>,
    #[serde(default)]
    gathers: Vec<Gather>,
    #[serde(default, rename = "flag")]
    flags: Vec<Flag>,
    process: Option<String>,
    initial: Option<String>,
    register_event: Option<String>,
    create: CreateEntry,
    #[serde(default, rename = "section")]
    sections: Vec<SectionEntry>,
    #[serde(default)]
    shared: Vec<String>,
    #[serde(rename = "field")]
    fields: Vec<FieldEntry>,
    #[serde(default, rename = "status")]
    statuses: Vec<StatusEntry>,
    #[serde(default, rename = "overlay")]
    overlays: Vec<ChoiceEntry>,
    #[serde(default)]
    data: Vec<FieldEntry>,
    #[serde(default, rename = "transition")]
    transitions: Vec<TransitionEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateEntry {
    zh: String,
    en: String,
    #[serde(default)]
    who: BTreeSet<Actor>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceEntry {
    code: String,
    zh: String,
    en: String,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusEntry {
    code: String,
    zh: String,
    en: String,
    stands_for: Option<String>,
    tells: Option<String>,
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SectionEntry {
    code: String,
    zh: String,
    en: String,
    #[serde(default)]
    folded: bool,
    fields: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelEntry {
    zh: String,
    en: String,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldEntry {
    key: String,
    zh: String,
    en: String,
    hint: Option<LabelEntry>,
    r#type: TypeName,
    of: Option<TypeName>,
    to: Option<Vec<String>>,
    max_chars: Option<usize>,
    max_items: Option<usize>,
    min: Option<i64>,
    max: Option<i64>,
    options: Option<Vec<ChoiceEntry>>,
    retention: Option<Retention>,
    #[serde(default)]
    required: bool,
    required_when: Option<Condition>,
    default: Option<Fact>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    fixed: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TypeName {
    Text,
    Ref,
    Enum,
    Int,
    Bool,
    Date,
    Month,
    Time,
    Clock,
    ExternalRef,
    Set,
    Opaque,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransitionEntry {
    event: String,
    zh: String,
    en: String,
    #[serde(default)]
    from: Vec<String>,
    to: Option<String>,
    overlay: Option<String>,
    who: BTreeSet<Actor>,
    rank: Option<u16>,
    rounds: Option<Rounds>,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    takes: Vec<String>,
    #[serde(default)]
    one_of: Vec<String>,
    #[serde(default)]
    clears: Vec<String>,
    makes: Option<Make>,
    #[serde(default)]
    moves: Vec<Move>,
}

/// The kinds by their codes, and the codes in the order of the files.
type Loaded = (BTreeMap<String, Kind>, Vec<String>);

/// Reads all files.
pub(super) fn catalogue(common: &str, kinds: &[&str]) -> Result<Loaded, CatalogueError> {
    let common: CommonFile = toml(common, || "common".to_owned())?;
    let mut loaded = BTreeMap::new();
    let mut order = Vec::new();
    let mut prefixes = BTreeSet::new();
    for (place, text) in kinds.iter().enumerate() {
        let file: KindFile = toml(text, || format!("{} of the kinds", place + 1))?;
        let code = file.code.clone();
        let invalid = |what: String| CatalogueError::Invalid {
            kind: code.clone(),
            what,
        };
        let kind = kind(file, &common).and_then(|kind| check(&kind).map(|()| kind));
        let kind = kind.map_err(invalid)?;
        if kind
            .prefix
            .as_ref()
            .is_some_and(|prefix| !prefixes.insert(prefix.clone()))
        {
            return Err(invalid("its prefix is taken by another kind".to_owned()));
        }
        order.push(kind.code.clone());
        if loaded.insert(kind.code.clone(), kind).is_some() {
            return Err(invalid("there are two kinds of this code".to_owned()));
        }
    }
    for kind in loaded.values() {
        check_relations(kind, &loaded).map_err(|what| CatalogueError::Invalid {
            kind: kind.code.clone(),
            what,
        })?;
    }
    Ok((loaded, order))
}

fn toml<T: for<'de> Deserialize<'de>>(
    text: &str,
    file: impl Fn() -> String,
) -> Result<T, CatalogueError> {
    toml::from_str(text).map_err(|source| CatalogueError::Syntax {
        file: file(),
        source: Box::new(source),
    })
}

/// From the form of the file to the form of the program.
fn kind(mut file: KindFile, common: &CommonFile) -> Checked<Kind> {
    if let Some(code) = &file.process {
        let process = common
            .processes
            .iter()
            .find(|process| process.code == *code);
        let process = process.ok_or_else(|| format!("there is no process {code}"))?;
        ensure(file.initial.is_none(), || {
            format!("it begins as process {code} says, and as it says itself")
        })?;
        file.initial = Some(process.initial.clone());
        file.statuses.extend(process.status.iter().cloned());
        file.transitions.extend(process.transitions.iter().cloned());
    }
    let shared = file.shared.iter().map(|key| {
        let found = common.shared.iter().find(|field| field.key == *key);
        found.ok_or_else(|| format!("there is no shared field {key}"))
    });
    let shared = shared.collect::<Checked<Vec<_>>>()?;
    let fields = file.fields.iter().chain(shared).chain(&common.fields);
    let fields = fields.cloned().map(field).collect::<Checked<Vec<_>>>()?;
    // A datum of that name sets the field, where a kind has one.
    let common_data = common.data.iter();
    let common_data = common_data.filter(|datum| find(&fields, &datum.key).is_none());
    let data = file.data.iter().chain(common_data).cloned().map(field);
    let data = data.collect::<Checked<Vec<_>>>()?;
    unique(
        "field or datum",
        fields.iter().chain(&data).map(|field| field.key.as_str()),
    )?;

    let statuses: Vec<Status> = file.statuses.into_iter().map(Status::from).collect();
    let transitions = file.transitions.into_iter().map(|entry| {
        let event = entry.event.clone();
        transition(entry, &fields, &data, &statuses)
            .map_err(|what| format!("event {event}: {what}"))
    });
    Ok(Kind {
        transitions: transitions.collect::<Checked<_>>()?,
        code: file.code,
        prefix: file.prefix,
        label: Label {
            zh: file.zh,
            en: file.en,
        },
        overlays: file.overlays.into_iter().map(Choice::from).collect(),
        initial: file.initial,
        create: Creation {
            label: Label {
                zh: file.create.zh,
                en: file.create.en,
            },
            who: file.create.who,
        },
        register_event: file.register_event,
        words: file.words.or_else(|| file.title_from.clone()),
        about: file.about.map(|LabelEntry { zh, en }| Label { zh, en }),
        title: file.title,
        title_from: file.title_from,
        named_by: file.named_by,
        home: file.space,
        parent: file.parent,
        gathers: file.gathers,
        flags: file.flags,
        forbidden: common.forbidden.clone(),
        sections: file.sections.into_iter().map(Section::from).collect(),
        fields,
        statuses,
    })
}

fn field(mut entry: FieldEntry) -> Checked<Field> {
    let key = entry.key.clone();
    let named = |what: String| format!("field {key}: {what}");
    let kind = field_type(&mut entry, None).map_err(named)?;
    let unused = entry.of.is_some()
        || entry.max_chars.is_some()
        || entry.max_items.is_some()
        || entry.to.is_some()
        || entry.min.is_some()
        || entry.max.is_some()
        || entry.options.is_some();
    ensure(!unused, || {
        named("has a limit that its type does not know".to_owned())
    })?;
    Ok(Field {
        key: entry.key,
        label: Label {
            zh: entry.zh,
            en: entry.en,
        },
        hint: entry.hint.map(|LabelEntry { zh, en }| Label { zh, en }),
        kind,
        retention: entry.retention,
        required: entry.required,
        required_when: entry.required_when,
        default: entry.default,
        read_only: entry.read_only,
        fixed: entry.fixed,
    })
}

/// Takes out of the entry what the type needs; what is left over does not belong there.
fn field_type(entry: &mut FieldEntry, item: Option<TypeName>) -> Checked<FieldType> {
    fn need<T>(value: &mut Option<T>, name: &str) -> Checked<T> {
        value.take().ok_or_else(|| format!("needs {name}"))
    }
    Ok(match item.unwrap_or(entry.r#type) {
        TypeName::Text => FieldType::Text {
            max_chars: need(&mut entry.max_chars, "max_chars")?,
        },
        TypeName::Ref => FieldType::Ref {
            max_chars: need(&mut entry.max_chars, "max_chars")?,
            to: entry.to.take().unwrap_or_default(),
        },
        TypeName::Enum => {
            let options = need(&mut entry.options, "options")?;
            FieldType::Enum {
                options: options.into_iter().map(Choice::from).collect(),
            }
        }
        TypeName::Int => FieldType::Int {
            min: need(&mut entry.min, "min")?,
            max: need(&mut entry.max, "max")?,
        },
        TypeName::Bool => FieldType::Bool,
        TypeName::Date => FieldType::Date,
        TypeName::Month => FieldType::Month,
        TypeName::Time => FieldType::Time,
        TypeName::Clock => FieldType::Clock,
        TypeName::ExternalRef => FieldType::ExternalRef,
        TypeName::Opaque => FieldType::Opaque,
        TypeName::Set => match need(&mut entry.of, "of")? {
            of @ (TypeName::Ref | TypeName::Enum | TypeName::ExternalRef) => FieldType::Set {
                of: Box::new(field_type(entry, Some(of))?),
                max_items: need(&mut entry.max_items, "max_items")?,
            },
            TypeName::Text
            | TypeName::Int
            | TypeName::Bool
            | TypeName::Date
            | TypeName::Month
            | TypeName::Time
            | TypeName::Clock
            | TypeName::Set
            | TypeName::Opaque => {
                return Err("a set is of references, enums or external references".to_owned());
            }
        },
    })
}

fn transition(
    entry: TransitionEntry,
    fields: &[Field],
    data: &[Field],
    statuses: &[Status],
) -> Checked<Transition> {
    let datum = |key: &String, required: bool| {
        let found = find(data, key).or_else(|| find(fields, key));
        let found = found.ok_or_else(|| format!("there is no field or datum {key}"))?;
        Ok(Field {
            required,
            read_only: false,
            default: None,
            ..found.clone()
        })
    };
    let required = entry.requires.iter().map(|key| datum(key, true));
    let optional = entry.takes.iter().map(|key| datum(key, false));
    let from = entry.from.into_iter().map(|code| {
        let status = statuses.iter().find(|status| status.code == code);
        let status = status.ok_or_else(|| format!("there is no status {code}"))?;
        Ok(status.stands_for.clone().unwrap_or(code))
    });
    Ok(Transition {
        data: required.chain(optional).collect::<Checked<_>>()?,
        from: from.collect::<Checked<_>>()?,
        event: entry.event,
        label: Label {
            zh: entry.zh,
            en: entry.en,
        },
        to: entry.to,
        overlay: entry.overlay,
        who: entry.who,
        rank: entry.rank.unwrap_or(RANK),
        rounds: entry.rounds,
        one_of: entry.one_of,
        clears: entry.clears,
        makes: entry.makes,
        moves: entry.moves,
    })
}

impl From<ChoiceEntry> for Choice {
    fn from(ChoiceEntry { code, zh, en }: ChoiceEntry) -> Self {
        Self {
            code,
            label: Label { zh, en },
        }
    }
}

impl From<StatusEntry> for Status {
    fn from(
        StatusEntry {
            code,
            zh,
            en,
            stands_for,
            tells,
            next,
        }: StatusEntry,
    ) -> Self {
        Self {
            code,
            label: Label { zh, en },
            stands_for,
            tells,
            next,
        }
    }
}

impl From<SectionEntry> for Section {
    fn from(entry: SectionEntry) -> Self {
        Self {
            code: entry.code,
            label: Label {
                zh: entry.zh,
                en: entry.en,
            },
            folded: entry.folded,
            fields: entry.fields,
        }
    }
}

fn check(kind: &Kind) -> Checked {
    ensure(is_code(&kind.code), || {
        "its code is not in small letters".to_owned()
    })?;
    if let Some(prefix) = &kind.prefix {
        let parsed = prefix
            .parse::<KindCode>()
            .map_err(|error| error.to_string())?;
        ensure(parsed.to_string() == *prefix, || {
            "its prefix is not in capitals".to_owned()
        })?;
    }
    ensure(labelled(&kind.label), || "it has no label".to_owned())?;
    for field in &kind.fields {
        check_field(field, kind).map_err(|what| format!("field {}: {what}", field.key))?;
    }
    check_groups(&kind.fields)?;
    check_part_size(&kind.fields)?;
    check_sections(kind)?;
    let texts = [
        ("title", &kind.title),
        ("title_from", &kind.title_from),
        ("words", &kind.words),
    ];
    for (name, key) in texts {
        let Some(key) = key else { continue };
        let field = kind
            .field(key)
            .ok_or_else(|| format!("{name}: there is no field {key}"))?;
        ensure(matches!(field.kind, FieldType::Text { .. }), || {
            format!("{name} is not a text")
        })?;
    }
    let about = kind.about.as_ref();
    ensure(
        about.map_or(kind.parent.is_some(), labelled) || kind.sections.is_empty(),
        || "it does not say what it is about".to_owned(),
    )?;
    for key in &kind.named_by {
        ensure(kind.fields.iter().any(|field| field.key == *key), || {
            format!("named_by: there is no field {key}")
        })?;
    }
    check_statuses(kind)?;
    unique(
        "event",
        kind.transitions
            .iter()
            .map(|transition| transition.event.as_str()),
    )?;
    for transition in &kind.transitions {
        check_transition(transition, kind)
            .map_err(|what| format!("event {}: {what}", transition.event))?;
    }
    check_reachable(kind)
}

fn check_field(field: &Field, kind: &Kind) -> Checked {
    ensure(
        field.key.split('.').count() <= 2 && field.key.split('.').all(is_code),
        || "its key is not in small letters, with one dot at most".to_owned(),
    )?;
    ensure(labelled(&field.label), || "it has no label".to_owned())?;
    let names = [&field.key, &field.label.zh, &field.label.en];
    ensure(!names.into_iter().any(|name| kind.forbids(name)), || {
        "it asks for what must not be known of a person".to_owned()
    })?;

    let (string, opaque) = match &field.kind {
        FieldType::Text { .. } => {
            ensure(field.retention.is_some(), || {
                "free text needs a retention class".to_owned()
            })?;
            (true, false)
        }
        FieldType::Enum { options } => {
            check_options(options)?;
            (true, false)
        }
        FieldType::Set { of, .. } => {
            if let FieldType::Enum { options } = &**of {
                check_options(options)?;
            }
            (false, false)
        }
        FieldType::Ref { .. }
        | FieldType::Date
        | FieldType::Month
        | FieldType::Time
        | FieldType::Clock => (true, false),
        FieldType::Int { min, max } => {
            ensure(min <= max, || "min is above max".to_owned())?;
            (false, false)
        }
        FieldType::Bool => (false, false),
        FieldType::ExternalRef => return Err("external references come in sets".to_owned()),
        FieldType::Opaque => (false, true),
    };
    ensure(string || field.retention.is_none(), || {
        "only strings are erasable".to_owned()
    })?;
    ensure(!opaque || field.read_only, || {
        "what is opaque is read-only".to_owned()
    })?;
    let asked_for = field.required || field.default.is_some() || field.required_when.is_some();
    ensure(!(field.read_only && asked_for), || {
        "read-only, but asked for".to_owned()
    })?;
    if let Some(default) = &field.default {
        ensure(field.accepts(default), || {
            "its default is no value of it".to_owned()
        })?;
        ensure(field.retention.is_none(), || {
            "an erasable value has no default".to_owned()
        })?;
    }
    match &field.required_when {
        None => Ok(()),
        Some(Condition { field, is }) => {
            let other = kind
                .field(field)
                .ok_or_else(|| format!("there is no field {field}"))?;
            let known = is
                .iter()
                .all(|value| other.accepts(&Fact::Str(value.clone())));
            ensure(known, || format!("{field} has no such value"))
        }
    }
}

fn check_options(options: &[Choice]) -> Checked {
    ensure(!options.is_empty(), || "has no options".to_owned())?;
    unique("option", options.iter().map(|option| option.code.as_str()))?;
    for option in options {
        ensure(is_code(&option.code), || {
            "an option is not in small letters".to_owned()
        })?;
        ensure(labelled(&option.label), || {
            format!("option {} has no label", option.code)
        })?;
    }
    Ok(())
}

/// A form that lacks what a record must have could never be sent.
fn check_sections(kind: &Kind) -> Checked {
    unique(
        "section",
        kind.sections.iter().map(|section| section.code.as_str()),
    )?;
    for section in &kind.sections {
        ensure(is_code(&section.code) && labelled(&section.label), || {
            format!("section {} has no code or no label", section.code)
        })?;
    }
    let placed = || kind.sections.iter().flat_map(|section| &section.fields);
    unique("field in a section", placed().map(String::as_str))?;
    for key in placed() {
        let field = kind.fields.iter().find(|field| field.key == *key);
        ensure(field.is_some_and(|field| !field.read_only), || {
            format!("a section names {key}, which nobody can type in")
        })?;
    }
    let missing = kind.fields.iter().find(|field| {
        field.required && field.default.is_none() && !placed().any(|key| *key == field.key)
    });
    ensure(kind.sections.is_empty() || missing.is_none(), || {
        "a required field is in no section".to_owned()
    })
}

/// `place` cannot be a value and a group of values at once.
fn check_groups(fields: &[Field]) -> Checked {
    let groups = fields.iter().filter_map(|field| field.key.split_once('.'));
    for (group, _) in groups {
        ensure(find(fields, group).is_none(), || {
            format!("{group} is a field and a group")
        })?;
    }
    Ok(())
}

/// All texts of a class, each as long as it may be, must fit one part.
fn check_part_size(fields: &[Field]) -> Checked {
    for class in [Retention::Card, Retention::Text] {
        let texts = fields.iter().filter(|field| field.retention == Some(class));
        let chars: usize = texts
            .map(|field| match &field.kind {
                FieldType::Text { max_chars } | FieldType::Ref { max_chars, .. } => *max_chars,
                FieldType::Enum { .. }
                | FieldType::Int { .. }
                | FieldType::Bool
                | FieldType::Date
                | FieldType::Month
                | FieldType::Time
                | FieldType::Clock
                | FieldType::ExternalRef
                | FieldType::Set { .. }
                | FieldType::Opaque => 64,
            })
            .sum();
        ensure(
            chars * CHAR_BYTES + PART_OVERHEAD_BYTES <= PART_BYTES,
            || {
                format!(
                    "the longest texts of class {} do not fit one part",
                    class.as_str()
                )
            },
        )?;
    }
    Ok(())
}

fn check_statuses(kind: &Kind) -> Checked {
    unique(
        "status",
        kind.statuses.iter().map(|status| status.code.as_str()),
    )?;
    let real = |code: &str| {
        kind.status(code)
            .is_some_and(|status| status.stands_for.is_none())
    };
    for status in &kind.statuses {
        let Status {
            code,
            label,
            stands_for,
            tells,
            next,
        } = status;
        ensure(is_code(code), || {
            format!("status {code} is not in small letters")
        })?;
        ensure(labelled(label), || format!("status {code} has no label"))?;
        let known = ["answered", "refused"];
        ensure(
            tells.as_deref().is_none_or(|tells| known.contains(&tells)),
            || format!("status {code} tells neither answered nor refused"),
        )?;
        if let Some(other) = stands_for {
            ensure(real(other), || {
                format!("status {code} stands for no status")
            })?;
        }
        if let Some(next) = next {
            let folded = stands_for.as_ref().unwrap_or(code);
            let leads_on = kind.transition(next);
            ensure(leads_on.is_some_and(|it| it.applies_to(folded)), || {
                format!("no event {next} leads on from status {code}")
            })?;
        }
    }
    for overlay in &kind.overlays {
        ensure(labelled(&overlay.label), || {
            format!("overlay {} has no label", overlay.code)
        })?;
    }
    let Some(initial) = &kind.initial else {
        return ensure(kind.statuses.is_empty(), || {
            "it has statuses, but no initial".to_owned()
        });
    };
    ensure(real(initial), || {
        "its initial status is none of its statuses".to_owned()
    })?;
    if let Some(event) = &kind.register_event {
        let fits = kind
            .transition(event)
            .is_some_and(|event| event.applies_to(initial));
        ensure(fits, || {
            "its register_event does not apply to a new record".to_owned()
        })?;
    }
    Ok(())
}

fn check_reachable(kind: &Kind) -> Checked {
    let Some(initial) = &kind.initial else {
        return Ok(());
    };
    let mut reached = BTreeSet::from([initial.as_str()]);
    loop {
        let next: BTreeSet<&str> = (kind.transitions.iter())
            .filter(|transition| reached.iter().any(|status| transition.applies_to(status)))
            .filter_map(|transition| transition.to.as_deref())
            .filter(|to| !reached.contains(to))
            .collect();
        if next.is_empty() {
            break;
        }
        reached.extend(next);
    }
    let lost = kind
        .statuses
        .iter()
        .find(|s| s.stands_for.is_none() && !reached.contains(&*s.code));
    lost.map_or(Ok(()), |status| {
        Err(format!("no event leads to status {}", status.code))
    })
}

fn check_transition(transition: &Transition, kind: &Kind) -> Checked {
    let Transition {
        event,
        label,
        to,
        overlay,
        who,
        data,
        one_of,
        clears,
        ..
    } = transition;
    ensure(is_code(event), || {
        "its name is not in small letters".to_owned()
    })?;
    ensure(labelled(label), || "it has no label".to_owned())?;
    ensure(!who.is_empty(), || "nobody may write it".to_owned())?;
    if let Some(to) = to {
        let real = kind
            .status(to)
            .is_some_and(|status| status.stands_for.is_none());
        ensure(real, || format!("it leads to {to}, which is no status"))?;
    }
    if let Some(overlay) = overlay {
        let known = kind.overlays.iter().any(|known| known.code == *overlay);
        ensure(known, || format!("there is no overlay {overlay}"))?;
    }
    unique("datum", data.iter().map(|datum| datum.key.as_str()))?;
    for datum in data.iter().filter(|datum| kind.field(&datum.key).is_none()) {
        check_field(datum, kind).map_err(|what| format!("datum {}: {what}", datum.key))?;
    }
    check_groups(data)?;
    check_part_size(data)?;
    for key in one_of {
        let optional = find(data, key).is_some_and(|datum| !datum.required);
        ensure(optional, || {
            format!("one_of names {key}, which it does not take")
        })?;
    }
    for key in clears {
        ensure(kind.field(key).is_some(), || {
            format!("it clears {key}, which is no field")
        })?;
    }
    Ok(())
}

/// What kinds say of each other: every name there exists, and means what the other takes it for.
fn check_relations(kind: &Kind, kinds: &BTreeMap<String, Kind>) -> Checked {
    let other = |code: &str| {
        let other = kinds.get(code);
        other.ok_or_else(|| format!("there is no kind {code}"))
    };
    let has = |kind: &Kind, key: &str| {
        ensure(kind.field(key).is_some(), || {
            format!("{} has no field {key}", kind.code)
        })
    };
    let data = kind.transitions.iter().flat_map(|step| &step.data);
    for field in kind.fields.iter().chain(data) {
        for code in field.names() {
            other(code)?;
        }
    }
    if let Some(parent) = &kind.parent {
        let to = kind.field(&parent.field).map(Field::names);
        ensure(to.is_some_and(|to| !to.is_empty()), || {
            format!("{} names no record to belong to", parent.field)
        })?;
        if let Some(place) = &parent.place {
            has(kind, place)?;
        }
        let suffix = parent.suffix.as_ref();
        ensure(
            suffix.is_none_or(|it| it.len() == 1 && it.bytes().all(|it| it.is_ascii_uppercase())),
            || "the suffix of its numbers is no capital letter".to_owned(),
        )?;
        ensure(suffix.is_none() || kind.prefix.is_none(), || {
            "it has two ways to be numbered".to_owned()
        })?;
    }
    ensure(kind.home != Home::Parent || kind.parent.is_some(), || {
        "it lives with a record that it does not name".to_owned()
    })?;
    for Flag { field, by, unless } in &kind.flags {
        let flag = kind.field(field).map(|field| &field.kind);
        ensure(flag == Some(&FieldType::Bool), || {
            format!("{field} is no mark")
        })?;
        let named = kind.field(by).map(Field::names).unwrap_or_default();
        for code in named {
            let other = other(code)?;
            let known = unless.iter().all(|status| other.status(status).is_some());
            ensure(known, || {
                format!("{code} has no such status as {field} names")
            })?;
        }
        ensure(!named.is_empty(), || format!("{by} names no record"))?;
    }
    for gather in &kind.gathers {
        let from = other(&gather.kind)?;
        let by = from.field(&gather.by).map(Field::names).unwrap_or_default();
        ensure(by.contains(&kind.code), || {
            format!("{} of {} does not name it", gather.by, gather.kind)
        })?;
        let own = from.parent.as_ref();
        ensure(
            gather.field.is_none() || own.is_some_and(|it| it.field == gather.by),
            || format!("{} is nested without belonging to it", gather.kind),
        )?;
        let clash = gather.field.as_ref();
        ensure(
            clash.is_none_or(|name| find(&kind.fields, name).is_none()),
            || "a nested kind has the name of a field".to_owned(),
        )?;
        for (theirs, ours) in &gather.copies {
            has(from, theirs)?;
            has(kind, ours)?;
        }
        for theirs in gather.sets.keys() {
            has(from, theirs)?;
        }
    }
    for step in &kind.transitions {
        check_effects(step, kind, &other)
            .map_err(|what| format!("event {}: {what}", step.event))?;
    }
    Ok(())
}

fn check_effects<'a>(
    step: &Transition,
    kind: &Kind,
    other: &impl Fn(&str) -> Checked<&'a Kind>,
) -> Checked {
    let takes = |key: &String| {
        ensure(find(&step.data, key).is_some(), || {
            format!("it does not take {key}")
        })
    };
    let belongs = |child: &Kind| {
        let parent = child.parent.as_ref().and_then(|it| child.field(&it.field));
        let named = parent.map(Field::names).unwrap_or_default();
        ensure(named.contains(&kind.code), || {
            format!("{} does not belong to {}", child.code, kind.code)
        })
    };
    if let Some(make) = &step.makes {
        let made = other(&make.kind)?;
        belongs(made)?;
        let each = make.each.iter().flat_map(|each| [&each.item, &each.name]);
        let named = make.copies.keys().chain(make.cites.keys());
        for key in named.chain(&make.dated).chain(each) {
            ensure(made.field(key).is_some(), || {
                format!("{} has no field {key}", made.code)
            })?;
        }
        if let Some(each) = &make.each {
            each.data.iter().try_for_each(takes)?;
        }
        make.copies.values().try_for_each(takes)?;
        for cited in make.cites.values() {
            belongs(other(cited)?)?;
        }
    }
    for along in &step.moves {
        let moved = other(&along.kind)?;
        belongs(moved)?;
        let event = moved.transition(&along.event);
        let event = event.ok_or_else(|| format!("{} has no event {}", moved.code, along.event))?;
        let given = along
            .copies
            .keys()
            .chain(along.sets.keys())
            .chain(&along.dated);
        for key in given {
            ensure(find(&event.data, key).is_some(), || {
                format!("{} of {} does not take {key}", along.event, moved.code)
            })?;
        }
        along.copies.values().try_for_each(takes)?;
        for field in along.only.keys() {
            ensure(moved.field(field).is_some(), || {
                format!("{} has no field {field}", moved.code)
            })?;
        }
    }
    Ok(())
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

fn unique<'a>(what: &str, mut names: impl Iterator<Item = &'a str>) -> Checked {
    let mut seen = BTreeSet::new();
    names
        .find(|name| !seen.insert(*name))
        .map_or(Ok(()), |twice| {
            Err(format!("{what} {twice} is there twice"))
        })
}

fn is_code(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn labelled(label: &Label) -> bool {
    !label.zh.trim().is_empty() && !label.en.trim().is_empty()
}
