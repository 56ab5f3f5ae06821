//! Reading the catalogue's files, and refusing those that contradict themselves.
//!
//! Owns the form of the TOML files; every check on what they say is in `check`. Must not judge records.
//!
//! Rejected: trusting the files because they are ours. A kind is written by whoever knows the
//! domain, and a wrong name should fail the build's tests with a sentence, not a page in use.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use thiserror::Error;

use super::check::{self, Checked, ensure, unique};
use super::read::Forbidden;
use super::terms::ESTIMATED_DATES;
use super::{
    CalendarKeys, Catalogue, Choice, Condition, Covers, Creation, Fact, Field, FieldType, Flag,
    Follows, Gather, Group, Guard, Home, Kind, Label, Letter, Make, Move, Parent, Retention, Role,
    Rounds, Rung, Section, SetDate, Short, Status, TermKeys, Transition, Until, Veils, find,
};

/// Rank of an event whose file states none.
const RANK: u16 = 50;
/// Version of the form of a kind whose file states none.
const VERSION: u32 = 1;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommonFile {
    forbidden: Vec<Forbidden>,
    #[serde(default, rename = "group")]
    groups: Vec<GroupEntry>,
    #[serde(rename = "field")]
    fields: Vec<FieldEntry>,
    #[serde(default)]
    shared: Vec<FieldEntry>,
    #[serde(default)]
    data: Vec<FieldEntry>,
    #[serde(default, rename = "process")]
    processes: Vec<ProcessEntry>,
    #[serde(default, rename = "transition")]
    transitions: Vec<TransitionEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupEntry {
    code: String,
    zh: String,
    en: String,
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
    version: Option<u32>,
    group: Option<String>,
    about: Option<LabelEntry>,
    #[serde(default)]
    named_by: Vec<String>,
    #[serde(default)]
    counts_on: Vec<String>,
    #[serde(default)]
    found_by: Vec<String>,
    #[serde(default)]
    columns: Vec<String>,
    words: Option<String>,
    urgency: Option<String>,
    due: Option<String>,
    site_due: Option<String>,
    met_by: Option<String>,
    watches: Option<String>,
    #[serde(default)]
    front: bool,
    #[serde(default)]
    space: Home,
    parent: Option<Parent>,
    #[serde(default)]
    gathers: Vec<Gather>,
    #[serde(default, rename = "flag")]
    flags: Vec<Flag>,
    #[serde(default)]
    starts: BTreeMap<String, String>,
    #[serde(default)]
    again: Vec<String>,
    calendar: Option<CalendarKeys>,
    terms: Option<TermKeys>,
    follows: Option<Follows>,
    letter: Option<Letter>,
    paper: Option<LabelEntry>,
    veils: Option<Veils>,
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
    #[serde(default, rename = "rung")]
    rungs: Vec<RungEntry>,
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
    who: BTreeSet<Role>,
    #[serde(default)]
    by_program: bool,
    #[serde(default)]
    dates: Vec<SetDate>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceEntry {
    code: String,
    zh: String,
    en: String,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    excludes: Vec<String>,
    veils: Option<Veils>,
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
    next_on: Option<String>,
    by: Option<String>,
    #[serde(default)]
    gone: bool,
    #[serde(default)]
    kept_by: BTreeSet<Role>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardEntry {
    zh: String,
    en: String,
    #[serde(default)]
    unless: BTreeMap<String, BTreeSet<String>>,
    covers: Option<Covers>,
    short: Option<Short>,
    open: Option<String>,
    #[serde(default)]
    asks: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RungEntry {
    zh: String,
    en: String,
    by: BTreeSet<String>,
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
    #[serde(default)]
    inset: Vec<String>,
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
    #[serde(default)]
    indexed: bool,
    #[serde(default)]
    plain: bool,
    #[serde(default)]
    likened: bool,
    #[serde(default)]
    masked: bool,
    veils: Option<Veils>,
    #[serde(default)]
    rule: bool,
    #[serde(default)]
    alias: bool,
    since: Option<u32>,
    #[serde(default)]
    account: bool,
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
    lifts: Option<String>,
    grave: Option<LabelEntry>,
    #[serde(default)]
    beside: bool,
    #[serde(default)]
    tabled: bool,
    #[serde(default)]
    dates: Vec<SetDate>,
    until: Option<Until>,
    redates: Option<String>,
    not_before: Option<String>,
    #[serde(default)]
    took_place: bool,
    #[serde(default)]
    past: Vec<String>,
    #[serde(default)]
    rarely_before: BTreeMap<String, String>,
    #[serde(default, rename = "guard")]
    guards: Vec<GuardEntry>,
    #[serde(default)]
    matched: bool,
    #[serde(default)]
    phrases: Vec<LabelEntry>,
    who: BTreeSet<Role>,
    rank: Option<u16>,
    rounds: Option<Rounds>,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    takes: Vec<String>,
    #[serde(default)]
    starts: BTreeMap<String, Fact>,
    /// The codes that a choice among its data has here, where the field has more.
    #[serde(default)]
    only: BTreeMap<String, BTreeSet<String>>,
    #[serde(default)]
    after: BTreeMap<String, String>,
    #[serde(default)]
    follows: BTreeMap<String, String>,
    #[serde(default)]
    one_of: Vec<String>,
    to_site: Option<String>,
    #[serde(default)]
    clears: Vec<String>,
    makes: Option<Make>,
    #[serde(default)]
    moves: Vec<Move>,
}

/// Reads all files.
pub(super) fn catalogue(common: &str, kinds: &[&str]) -> Result<Catalogue, CatalogueError> {
    let mut common: CommonFile = toml(common, || "common".to_owned())?;
    let groups = std::mem::take(&mut common.groups).into_iter();
    let groups: Vec<_> = groups.map(Group::from).collect();
    check::groups(&groups).map_err(|what| CatalogueError::Invalid {
        kind: "common".to_owned(),
        what,
    })?;
    let mut loaded = BTreeMap::new();
    let (mut order, mut files) = (Vec::new(), BTreeMap::new());
    let mut prefixes = BTreeSet::new();
    for (place, text) in kinds.iter().enumerate() {
        let file: KindFile = toml(text, || format!("{} of the kinds", place + 1))?;
        let code = file.code.clone();
        let invalid = |what: String| CatalogueError::Invalid {
            kind: code.clone(),
            what,
        };
        let kind = kind(file, &common).and_then(|kind| {
            check::kind(&kind)?;
            check::group(&kind, &groups)?;
            Ok(kind)
        });
        let kind = kind.map_err(invalid)?;
        if kind
            .prefix
            .as_ref()
            .is_some_and(|prefix| !prefixes.insert(prefix.clone()))
        {
            return Err(invalid("its prefix is taken by another kind".to_owned()));
        }
        order.push(kind.code.clone());
        files.insert(kind.code.clone(), (*text).to_owned());
        if loaded.insert(kind.code.clone(), kind).is_some() {
            return Err(invalid("there are two kinds of this code".to_owned()));
        }
    }
    for kind in loaded.values() {
        check::relations(kind, &loaded).map_err(|what| CatalogueError::Invalid {
            kind: kind.code.clone(),
            what,
        })?;
    }
    Ok(Catalogue {
        kinds: loaded,
        order,
        files,
        groups,
    })
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
    file.transitions.extend(common.transitions.iter().cloned());
    let shared = file.shared.iter().map(|key| {
        let found = common.shared.iter().find(|field| field.key == *key);
        found.ok_or_else(|| format!("there is no shared field {key}"))
    });
    let shared = shared.collect::<Checked<Vec<_>>>()?;
    let mut own = file.fields.iter().chain(shared.iter().copied());
    let typed = own.find(|field| file.create.by_program && !field.read_only);
    ensure(typed.is_none(), || {
        let key = typed.map_or("", |field| &field.key);
        format!("the program makes it, but {key} can be typed")
    })?;
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
    let transitions = transitions.collect::<Checked<Vec<Transition>>>()?;
    let mut fields = fields;
    for field in &mut fields {
        let typed = file
            .sections
            .iter()
            .any(|it| it.fields.contains(&field.key));
        let computed = file.create.dates.iter().any(|it| it.field == field.key);
        if !typed && !computed {
            field.set_by = who_sets(&transitions, &field.key);
        }
    }
    Ok(Kind {
        transitions,
        code: file.code,
        prefix: file.prefix,
        label: Label {
            zh: file.zh,
            en: file.en,
        },
        overlays: file.overlays.into_iter().map(Choice::from).collect(),
        rungs: file.rungs.into_iter().map(Rung::from).collect(),
        initial: file.initial,
        create: Creation {
            label: Label {
                zh: file.create.zh,
                en: file.create.en,
            },
            who: file.create.who,
            by_program: file.create.by_program,
            dates: file.create.dates,
        },
        version: file.version.unwrap_or(VERSION),
        group: file.group,
        register_event: file.register_event,
        words: file.words.or_else(|| file.title_from.clone()),
        about: file.about.map(Label::from),
        title: file.title,
        title_from: file.title_from,
        named_by: file.named_by,
        counts_on: file.counts_on,
        found_by: file.found_by,
        columns: file.columns,
        urgency: file.urgency,
        due: file.due,
        site_due: file.site_due,
        met_by: file.met_by,
        watches: file.watches,
        front: file.front,
        home: file.space,
        parent: file.parent,
        gathers: file.gathers,
        flags: file.flags,
        follows: file.follows,
        letter: file.letter,
        paper: file.paper.map(Label::from),
        veils: file.veils,
        starts: file.starts,
        again: file.again,
        calendar: file.calendar,
        terms: file.terms,
        forbidden: common.forbidden.clone(),
        sections: file.sections.into_iter().map(Section::from).collect(),
        fields,
        statuses,
    })
}

/// Who may take one of the steps that set a field, whenever they may.
fn who_sets(transitions: &[Transition], key: &str) -> BTreeSet<Role> {
    let sets = |step: &&Transition| step.data.iter().any(|datum| datum.key == key);
    let who = transitions.iter().filter(sets).flat_map(|step| {
        let later = step.rounds.iter().flat_map(|rounds| &rounds.then);
        let late = step.until.iter().flat_map(|until| &until.then);
        step.who.iter().chain(later).chain(late)
    });
    who.copied().collect()
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
        hint: entry.hint.map(Label::from),
        kind,
        retention: entry.retention,
        required: entry.required,
        required_when: entry.required_when,
        default: entry.default,
        read_only: entry.read_only,
        fixed: entry.fixed,
        indexed: entry.indexed,
        plain: entry.plain,
        likened: entry.likened,
        masked: entry.masked,
        veils: entry.veils,
        rule: entry.rule,
        alias: entry.alias,
        since: entry.since.unwrap_or(VERSION),
        account: entry.account,
        set_by: BTreeSet::new(),
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
            of @ (TypeName::Ref | TypeName::Enum | TypeName::Date | TypeName::ExternalRef) => {
                FieldType::Set {
                    of: Box::new(field_type(entry, Some(of))?),
                    max_items: need(&mut entry.max_items, "max_items")?,
                }
            }
            TypeName::Text
            | TypeName::Int
            | TypeName::Bool
            | TypeName::Month
            | TypeName::Time
            | TypeName::Clock
            | TypeName::Set
            | TypeName::Opaque => {
                return Err(
                    "a set is of references, enums, dates or external references".to_owned(),
                );
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
        let mut datum = Field {
            required,
            read_only: false,
            default: entry.starts.get(key).cloned(),
            ..found.clone()
        };
        if let (Some(only), FieldType::Enum { options }) = (entry.only.get(key), &mut datum.kind) {
            options.retain(|option| only.contains(&option.code));
        }
        Ok(datum)
    };
    for (key, only) in &entry.only {
        let taken = entry.takes.contains(key) || entry.requires.contains(key);
        let options = find(data, key).or_else(|| find(fields, key));
        let options = options.map(Field::options).unwrap_or_default();
        let known = |code: &String| options.iter().any(|option| option.code == *code);
        ensure(taken && !only.is_empty() && only.iter().all(known), || {
            format!("it leaves of {key} what that does not have")
        })?;
    }
    for key in entry.starts.keys() {
        let taken = entry.takes.contains(key) || entry.requires.contains(key);
        ensure(taken, || {
            format!("it starts with {key}, which it does not take")
        })?;
    }
    let required = entry.requires.iter().map(|key| datum(key, true));
    let optional = entry.takes.iter().map(|key| datum(key, false));
    // What nobody types but the rule that sets it.
    let set = entry.dates.iter().flat_map(|date| {
        let fixed = Some(&date.field).filter(|_| date.fixed);
        fixed.into_iter().chain(&date.named_in)
    });
    let typed = |key: &&String| entry.takes.contains(key) || entry.requires.contains(key);
    let set = set.chain(entry.follows.keys().filter(|key| !typed(key)));
    let guessed = entry.dates.iter().any(|date| date.named_in.is_none());
    let guessed = guessed.then(|| ESTIMATED_DATES.to_owned());
    let set: BTreeSet<_> = set.chain(&guessed).collect();
    let set = set.into_iter().map(|key| {
        let read_only = true;
        datum(key, false).map(|field| Field { read_only, ..field })
    });
    let from = entry.from.into_iter().map(|code| {
        let status = statuses.iter().find(|status| status.code == code);
        let status = status.ok_or_else(|| format!("there is no status {code}"))?;
        Ok(status.stands_for.clone().unwrap_or(code))
    });
    Ok(Transition {
        data: required
            .chain(optional)
            .chain(set)
            .collect::<Checked<_>>()?,
        from: from.collect::<Checked<_>>()?,
        event: entry.event,
        label: Label {
            zh: entry.zh,
            en: entry.en,
        },
        to: entry.to,
        overlay: entry.overlay,
        lifts: entry.lifts,
        grave: entry.grave.map(Label::from),
        beside: entry.beside,
        tabled: entry.tabled,
        dates: entry.dates,
        until: entry.until,
        redates: entry.redates,
        not_before: entry.not_before,
        took_place: entry.took_place,
        past: entry.past,
        rarely_before: entry.rarely_before,
        guards: entry.guards.into_iter().map(Guard::from).collect(),
        matched: entry.matched,
        phrases: entry.phrases.into_iter().map(Label::from).collect(),
        who: entry.who,
        rank: entry.rank.unwrap_or(RANK),
        rounds: entry.rounds,
        one_of: entry.one_of,
        follows: entry.follows,
        after: entry.after,
        to_site: entry.to_site,
        clears: entry.clears,
        makes: entry.makes,
        moves: entry.moves,
    })
}

impl From<LabelEntry> for Label {
    fn from(LabelEntry { zh, en }: LabelEntry) -> Self {
        Self { zh, en }
    }
}

impl From<GroupEntry> for Group {
    fn from(GroupEntry { code, zh, en }: GroupEntry) -> Self {
        Self {
            code,
            label: Label { zh, en },
        }
    }
}

impl From<ChoiceEntry> for Choice {
    fn from(entry: ChoiceEntry) -> Self {
        let ChoiceEntry {
            code,
            zh,
            en,
            needs,
            excludes,
            veils,
        } = entry;
        Self {
            code,
            label: Label { zh, en },
            needs,
            excludes,
            veils,
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
            next_on,
            by,
            gone,
            kept_by,
        }: StatusEntry,
    ) -> Self {
        Self {
            code,
            label: Label { zh, en },
            stands_for,
            tells,
            next,
            next_on,
            by,
            gone,
            kept_by,
        }
    }
}

impl From<GuardEntry> for Guard {
    fn from(entry: GuardEntry) -> Self {
        let GuardEntry {
            zh,
            en,
            unless,
            covers,
            short,
            open,
            asks,
        } = entry;
        Self {
            label: Label { zh, en },
            unless,
            covers,
            short,
            open,
            asks,
        }
    }
}

impl From<RungEntry> for Rung {
    fn from(RungEntry { zh, en, by }: RungEntry) -> Self {
        Self {
            label: Label { zh, en },
            by,
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
            inset: entry.inset,
        }
    }
}
