//! The checks on a loaded kind, by itself and against the others, so that the rest of the catalogue may rely on
//! names that exist and limits that fit.
//!
//! Every check says what is wrong in a sentence that names the field, status or event.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    COLUMNS_MAX, CalendarKeys, Choice, Condition, Fact, Field, FieldType, Flag, Group, Home,
    INDEXED_CHARS, Kind, Label, Retention, Rules, SetDate, Status, TAKEN_AS, TermKeys, Transition,
    find,
};
use crate::deadline::Length;
use crate::number::KindCode;

/// The texts of one class of one save travel in one part; see the size of a part in the protocol.
const PART_BYTES: usize = 64 * 1024;
/// What encoding and salt may add to the texts of a part.
const PART_OVERHEAD_BYTES: usize = 4 * 1024;
/// Longest UTF-8 form of a Unicode scalar value.
const CHAR_BYTES: usize = 4;

/// Kind of the files of sites, and how a form names a field of the one where it is filled in.
const SITE: &str = "site";
const OF_SITE: &str = "site.";

/// What is wrong, or what was asked for.
pub(super) type Checked<T = ()> = Result<T, String>;

pub(super) fn kind(kind: &Kind) -> Checked {
    ensure(is_code(&kind.code), || {
        "its code is not in small letters".to_owned()
    })?;
    ensure(kind.version >= 1, || "version: the first is 1".to_owned())?;
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
    check_rungs(kind)?;
    check_form(kind)?;
    check_program(kind)?;
    check_dates(&kind.create.dates, &kind.fields, kind)?;
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
    if let Some(CalendarKeys {
        year,
        off,
        work,
        weekends_stand,
    }) = &kind.calendar
    {
        let type_of = |key| kind.field(key).map(|field| &field.kind);
        let days = |key| matches!(type_of(key), Some(FieldType::Set { of, .. }) if **of == FieldType::Date);
        let year = matches!(type_of(year), Some(FieldType::Int { .. }));
        let stand = matches!(type_of(weekends_stand), Some(FieldType::Bool));
        ensure(year && days(off) && days(work) && stand, || {
            "calendar: its fields are no year, two sets of days and a yes or no".to_owned()
        })?;
    }
    if let Some(TermKeys { rule, number, unit }) = &kind.terms {
        let type_of = |key| kind.field(key).map(|field| &field.kind);
        let all = |key, known: &dyn Fn(&str) -> bool| match type_of(key) {
            Some(FieldType::Enum { options }) => options.iter().all(|option| known(&option.code)),
            _ => false,
        };
        let rules = all(rule, &|code| {
            Rules::standard().get(&code.to_uppercase()).is_some()
        });
        let units = all(unit, &|code| Length::of(1, code).is_some());
        let counts = matches!(type_of(number), Some(FieldType::Int { min: 1.., .. }));
        ensure(rules && units && counts, || {
            "terms: its fields are no choice of a rule, a number and a unit".to_owned()
        })?;
    }
    if let Some(key) = &kind.watches {
        let names = kind.field(key).map(Field::names).unwrap_or_default();
        ensure(!names.is_empty(), || {
            format!("it watches over {key}, which names nothing")
        })?;
    }
    ensure(kind.met_by.is_none() || kind.met_step().is_some(), || {
        "no step says that what was due was done".to_owned()
    })?;
    for key in kind.due.iter().chain(&kind.site_due).chain(&kind.met_by) {
        let field = kind.field(key);
        ensure(field.is_some_and(|it| it.kind == FieldType::Date), || {
            format!("due: there is no date {key}")
        })?;
    }
    if let Some(key) = &kind.urgency {
        let field = kind.field(key);
        let first = field.and_then(|field| match &field.kind {
            FieldType::Enum { options } => options.first(),
            _ => None,
        });
        let usual = field
            .and_then(|field| field.default.as_ref())
            .and_then(Fact::as_str);
        ensure(
            first.is_some_and(|it| Some(it.code.as_str()) == usual),
            || format!("urgency: {key} is no choice that begins with the usual one"),
        )?;
    }
    for key in &kind.named_by {
        ensure(kind.fields.iter().any(|field| field.key == *key), || {
            format!("named_by: there is no field {key}")
        })?;
    }
    check_counting(kind)?;
    check_letters(kind)?;
    check_columns(kind)?;
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

/// Each has a name of its own and words to read.
pub(super) fn groups(groups: &[Group]) -> Checked {
    unique("group", groups.iter().map(|group| group.code.as_str()))?;
    for group in groups {
        ensure(is_code(&group.code) && labelled(&group.label), || {
            format!("group {} has no code or no label", group.code)
        })?;
    }
    Ok(())
}

/// What nobody finds in a menu is found by nobody; what belongs to other records is found with them.
pub(super) fn group(kind: &Kind, groups: &[Group]) -> Checked {
    let Some(code) = &kind.group else {
        return ensure(kind.parent.is_some(), || {
            "it is in no group, so that no menu lists it".to_owned()
        });
    };
    ensure(kind.parent.is_none(), || {
        "it is in a group, but its records belong to others".to_owned()
    })?;
    ensure(groups.iter().any(|group| group.code == *code), || {
        format!("there is no group {code}")
    })
}

/// What the program makes has no form and nobody who may fill one in.
/// What a matter that is merged goes by, and what a letter tells.
fn check_letters(kind: &Kind) -> Checked {
    let is = |key: &str, fits: fn(&FieldType) -> bool| {
        let field = kind.field(key);
        ensure(field.is_some_and(|field| fits(&field.kind)), || {
            format!("{key} is no such field as is named")
        })
    };
    if let Some(follows) = &kind.follows {
        is(&follows.field, |it| matches!(it, FieldType::Ref { .. }))?;
        is(&follows.heads, |it| matches!(it, FieldType::Int { .. }))?;
        let unknown = follows.into.iter().find(|it| kind.status(it).is_none());
        ensure(unknown.is_none(), || {
            format!(
                "it goes into what is {}, which is no status",
                unknown.map_or("", |it| it)
            )
        })?;
    }
    if let Some(letter) = &kind.letter {
        ensure(!letter.zh.is_empty() && !letter.en.is_empty(), || {
            "its letter has no title".to_owned()
        })?;
        is(&letter.result, |it| matches!(it, FieldType::Enum { .. }))?;
        for key in [&letter.words].into_iter().chain(&letter.text) {
            is(key, |it| matches!(it, FieldType::Text { .. }))?;
        }
    }
    Ok(())
}

fn check_program(kind: &Kind) -> Checked {
    if !kind.create.by_program {
        return Ok(());
    }
    ensure(kind.create.who.is_empty(), || {
        "the program makes it, and so may somebody".to_owned()
    })?;
    ensure(kind.sections.is_empty() && kind.starts.is_empty(), || {
        "the program makes it, and it has a form".to_owned()
    })
}

/// What reports and imports read of a record is there, and of a form that they can use.
fn check_counting(kind: &Kind) -> Checked {
    let field = |name: &str, key: &String| {
        let field = kind.fields.iter().find(|field| field.key == *key);
        field.ok_or_else(|| format!("{name}: there is no field {key}"))
    };
    unique("counts_on", kind.counts_on.iter().map(String::as_str))?;
    for key in &kind.counts_on {
        let field = field("counts_on", key)?;
        let dated = matches!(
            field.kind,
            FieldType::Date | FieldType::Month | FieldType::Time
        );
        ensure(dated, || {
            format!("counts_on: {key} is no date, month or time")
        })?;
    }
    unique("found_by", kind.found_by.iter().map(String::as_str))?;
    for key in &kind.found_by {
        let field = field("found_by", key)?;
        ensure(!field.read_only, || {
            format!("found_by: nobody types {key}, so no import has it")
        })?;
        let one = match field.kind {
            FieldType::Text { .. }
            | FieldType::Ref { .. }
            | FieldType::Enum { .. }
            | FieldType::Int { .. }
            | FieldType::Date
            | FieldType::Month
            | FieldType::Time
            | FieldType::Clock => true,
            FieldType::Bool
            | FieldType::ExternalRef
            | FieldType::Set { .. }
            | FieldType::Opaque => false,
        };
        ensure(one, || {
            format!("found_by: {key} holds no one value that tells records apart")
        })?;
    }
    Ok(())
}

/// A list leaves the room: nothing in it can be erased, and nothing of it stands there anyway.
fn check_columns(kind: &Kind) -> Checked {
    /// What lists show of every kind.
    const STATUS: &str = "status";
    unique("columns", kind.columns.iter().map(String::as_str))?;
    ensure(kind.columns.len() <= COLUMNS_MAX, || {
        format!("columns: more than {COLUMNS_MAX}")
    })?;
    for key in &kind.columns {
        let field = kind.fields.iter().find(|field| field.key == *key);
        let field = field.ok_or_else(|| format!("columns: there is no field {key}"))?;
        let anyway = kind.counts_on.iter().chain(&kind.title);
        let mut anyway = anyway.chain(&kind.due).chain(&kind.site_due);
        ensure(key != STATUS && anyway.all(|shown| shown != key), || {
            format!("columns: {key} is shown anyway")
        })?;
        ensure(field.retention.is_none(), || {
            format!("columns: {key} is erasable, and stays on lists that were printed")
        })?;
        ensure(field.kind != FieldType::Opaque, || {
            format!("columns: {key} is nothing that a list could show")
        })?;
    }
    Ok(())
}

fn check_field(field: &Field, kind: &Kind) -> Checked {
    ensure(
        field.key.split('.').count() <= 2 && field.key.split('.').all(is_code),
        || "its key is not in small letters, with one dot at most".to_owned(),
    )?;
    ensure(labelled(&field.label), || "it has no label".to_owned())?;
    ensure((1..=kind.version).contains(&field.since), || {
        format!("since: the form is at version {}", kind.version)
    })?;
    ensure(field.key != TAKEN_AS, || {
        "its key is that of the role in which a step is taken".to_owned()
    })?;
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
            check_choices(options, kind)?;
            (true, false)
        }
        FieldType::Set { of, .. } => {
            if let FieldType::Enum { options } = &**of {
                check_options(options)?;
                let plain = |it: &Choice| it.needs.is_empty() && it.excludes.is_empty();
                ensure(options.iter().all(plain), || {
                    "only one choice of several asks for something".to_owned()
                })?;
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
    if field.indexed {
        check_indexed(field, kind)?;
    }
    let text = matches!(field.kind, FieldType::Text { .. });
    ensure(!field.plain || text, || {
        "only a text is stored as a number".to_owned()
    })?;
    let name = matches!(&field.kind, FieldType::Ref { to, .. } if to.is_empty());
    ensure(!field.rule || name, || {
        "only a name is the code of a rule".to_owned()
    })?;
    let names = matches!(&field.kind, FieldType::Set { of, .. } if matches!(&**of, FieldType::Ref { to, .. } if to.is_empty()));
    ensure(!field.alias || names, || {
        "only a set of names holds other names".to_owned()
    })?;
    ensure(!field.likened || text, || {
        "only a text is likened to others".to_owned()
    })?;
    ensure(!field.masked || text && field.retention.is_some(), || {
        "only a text that can be erased is masked".to_owned()
    })?;
    ensure(
        field.veils.is_none() || field.kind == FieldType::Bool,
        || "only a yes keeps something from somebody; of a choice, the value does".to_owned(),
    )?;
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

/// An index is no place for what a person can ask to have erased, nor for long texts; and rows have only what fields hold.
fn check_indexed(field: &Field, kind: &Kind) -> Checked {
    ensure(field.retention.is_none(), || {
        "what is erasable is in no index".to_owned()
    })?;
    let short = match &field.kind {
        FieldType::Ref { max_chars, .. } => *max_chars <= INDEXED_CHARS,
        FieldType::Enum { .. } | FieldType::Date | FieldType::Month => true,
        FieldType::Text { .. }
        | FieldType::Int { .. }
        | FieldType::Bool
        | FieldType::Time
        | FieldType::Clock
        | FieldType::ExternalRef
        | FieldType::Set { .. }
        | FieldType::Opaque => false,
    };
    ensure(short, || {
        "only a short reference, a choice, a date or a month is indexed".to_owned()
    })?;
    ensure(find(&kind.fields, &field.key).is_some(), || {
        "only a field is indexed, no datum of a step".to_owned()
    })
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

/// What a choice asks for or leaves no room for can be typed in, and is no choice's own default.
fn check_choices(options: &[Choice], kind: &Kind) -> Checked {
    let named = options
        .iter()
        .flat_map(|it| it.needs.iter().chain(&it.excludes));
    for key in named {
        let free = kind.field(key).is_some_and(|field| {
            field.key == *key && !field.read_only && !field.required && field.default.is_none()
        });
        ensure(free, || {
            format!("an option names {key}, which is no field that may be left empty")
        })?;
    }
    Ok(())
}

/// A form starts with what its fields hold.
fn check_form(kind: &Kind) -> Checked {
    for (key, value) in &kind.starts {
        let field = kind.fields.iter().find(|field| field.key == *key);
        let field = field.ok_or_else(|| format!("starts: there is no field {key}"))?;
        let fits = match &field.kind {
            FieldType::Date => value == "today",
            FieldType::Ref { .. } => value.starts_with(OF_SITE),
            FieldType::Enum { .. } => field.accepts(&Fact::Str(value.clone())),
            FieldType::Text { .. }
            | FieldType::Int { .. }
            | FieldType::Bool
            | FieldType::Month
            | FieldType::Time
            | FieldType::Clock
            | FieldType::ExternalRef
            | FieldType::Set { .. }
            | FieldType::Opaque => false,
        };
        ensure(fits, || format!("starts: {key} cannot start with that"))?;
    }
    for key in &kind.again {
        ensure(kind.fields.iter().any(|field| field.key == *key), || {
            format!("again: there is no field {key}")
        })?;
    }
    Ok(())
}

/// A rung that nothing reaches would stand open for ever.
fn check_rungs(kind: &Kind) -> Checked {
    for rung in &kind.rungs {
        ensure(labelled(&rung.label) && !rung.by.is_empty(), || {
            "a rung has no label or no event".to_owned()
        })?;
        for event in &rung.by {
            ensure(kind.transition(event).is_some(), || {
                format!("a rung names {event}, which is no event")
            })?;
        }
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
        let placed = |key: &String| section.fields.contains(key);
        ensure(section.inset.iter().all(placed), || {
            format!("section {} sets in what it does not have", section.code)
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
    let is_date = |key: &String| {
        let field = find(&kind.fields, key);
        field.is_some_and(|field| field.kind == FieldType::Date)
    };
    for status in &kind.statuses {
        let Status {
            code,
            label,
            stands_for,
            tells,
            next,
            next_on,
            by,
            gone,
            kept_by: _,
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
        let begins = kind.initial.as_ref() == Some(code);
        ensure(!gone || (stands_for.is_none() && !begins), || {
            format!("no record begins as {code}, or is shown so: it is gone")
        })?;
        if let Some(next) = next {
            let folded = stands_for.as_ref().unwrap_or(code);
            let leads_on = kind.transition(next);
            ensure(leads_on.is_some_and(|it| it.applies_to(folded)), || {
                format!("no event {next} leads on from status {code}")
            })?;
        }
        if let Some(key) = by {
            ensure(next.is_some() && is_date(key), || {
                format!(
                    "status {code} should be left by {key}, which is no date, or for nothing after it"
                )
            })?;
        }
        if let Some(key) = next_on {
            ensure(next.is_some() && is_date(key), || {
                format!("status {code} waits for {key}, which is no date, or for nothing after it")
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
        lifts,
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
    for overlay in overlay.iter().chain(lifts) {
        let known = kind.overlays.iter().any(|known| known.code == *overlay);
        ensure(known, || format!("there is no overlay {overlay}"))?;
    }
    unique("datum", data.iter().map(|datum| datum.key.as_str()))?;
    for datum in data.iter().filter(|datum| kind.field(&datum.key).is_none()) {
        check_field(datum, kind).map_err(|what| format!("datum {}: {what}", datum.key))?;
    }
    for datum in data {
        let fits = |start: &Fact| datum.retention.is_none() && datum.accepts(start);
        ensure(datum.default.as_ref().is_none_or(fits), || {
            format!("it starts with {}, which is no value of it", datum.key)
        })?;
    }
    for (key, other) in &transition.follows {
        let datum = |key| find(data, key).filter(|datum| datum.retention.is_none());
        let pair = datum(key).zip(datum(other));
        let same = pair.is_some_and(|(datum, other)| datum.kind == other.kind && !datum.required);
        let scalar = pair.is_some_and(|(datum, _)| !matches!(datum.kind, FieldType::Set { .. }));
        ensure(same && scalar, || format!("{key} cannot follow {other}"))?;
    }
    for (key, other) in transition.after.iter().chain(&transition.rarely_before) {
        let is_date = |field: Option<&Field>| field.is_some_and(|it| it.kind == FieldType::Date);
        let both = is_date(find(data, key)) && is_date(kind.field(other));
        ensure(both, || format!("{key} and {other} are no two dates"))?;
    }
    for key in &transition.past {
        let carried = find(data, key).is_some_and(|it| it.kind == FieldType::Date);
        ensure(carried, || format!("{key} is no date that it carries"))?;
    }
    ensure(!transition.took_place || !kind.counts_on.is_empty(), || {
        "it says that something took place, and nothing says when".to_owned()
    })?;
    if let Some(key) = &transition.to_site {
        let names_one = find(data, key).is_some_and(|it| it.required && it.names() == ["site"]);
        ensure(names_one, || format!("{key} names no site that it must"))?;
    }
    let told = |datum: &Field| datum.required && kind.field(&datum.key).is_some();
    ensure(!transition.tabled || data.iter().any(told), || {
        "nothing that it sets tells whether a row of a table was taken".to_owned()
    })?;
    check_groups(data)?;
    check_part_size(data)?;
    check_terms(transition, kind)?;
    let text = |datum: &Field| matches!(datum.kind, FieldType::Text { .. });
    ensure(
        transition.phrases.is_empty() || data.iter().any(text),
        || "it has phrases and no text".to_owned(),
    )?;
    let said = |label: &Label| labelled(label);
    ensure(
        transition.phrases.iter().chain(&transition.grave).all(said),
        || "it has a phrase or a warning without words".to_owned(),
    )?;
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

fn is_date(fields: &[Field], key: &str) -> bool {
    find(fields, key).is_some_and(|field| field.kind == FieldType::Date)
}

/// Dates that are set by a rule, as data of a step or as fields of a new record.
fn check_dates(dates: &[SetDate], data: &[Field], kind: &Kind) -> Checked {
    for date in dates {
        let key = &date.field;
        ensure(is_date(data, key), || {
            format!("it sets {key}, which is no date of it")
        })?;
        ensure(Rules::standard().get(&date.rule).is_some(), || {
            format!("it sets {key} by {}, which is no rule", date.rule)
        })?;
        if let Some(from) = &date.from {
            let known = is_date(data, from) || is_date(&kind.fields, from);
            ensure(known && date.since.is_none(), || {
                format!("{from} is no date that {key} is counted from")
            })?;
        }
        ensure(!(date.fixed && date.most), || {
            format!("{key} is fixed, so nobody sets an earlier one")
        })?;
        if let Some(since) = &date.since {
            ensure(kind.transition(since).is_some(), || {
                format!("{since} is no step that {key} is counted from")
            })?;
        }
        if let Some(named) = &date.named_in {
            let is_rule = kind.field(named).is_some_and(|field| field.rule);
            ensure(is_rule, || format!("{named} is no field that names a rule"))?;
        }
        for (key, values) in &date.when {
            let field = find(data, key).or_else(|| kind.field(key));
            let known =
                |value: &String| field.is_some_and(|it| it.accepts(&Fact::Str(value.clone())));
            ensure(!values.is_empty() && values.iter().all(known), || {
                format!("it sets a date for values of {key} that it does not have")
            })?;
        }
    }
    Ok(())
}

/// What a step computes and is bound to is there, and means a date.
fn check_terms(transition: &Transition, kind: &Kind) -> Checked {
    check_dates(&transition.dates, &transition.data, kind)?;
    // Only what a step has set is the same for every device that folds the record.
    let set = |key: &String| {
        let steps = kind.transitions.iter();
        let mut dates = steps.flat_map(|step| &step.dates);
        is_date(&kind.fields, key) && dates.any(|date| date.fixed && date.field == *key)
    };
    let bound = transition.until.iter().map(|until| &until.field);
    for key in bound.chain(&transition.not_before) {
        ensure(set(key), || {
            format!("it is bound to {key}, which is no date that a step fixes")
        })?;
    }
    for guard in &transition.guards {
        ensure(labelled(&guard.label), || {
            "a guard does not say why".to_owned()
        })?;
        let asked = guard.short.is_some() || guard.open.is_some();
        let bars = !guard.unless.is_empty() || guard.covers.is_some() || asked;
        let under = |code: &String| kind.gathers.iter().any(|it| it.kind == *code);
        ensure(guard.open.as_ref().is_none_or(under), || {
            "a guard waits for records that do not belong to it".to_owned()
        })?;
        ensure(bars, || "a guard bars nothing".to_owned())?;
        if let Some(short) = &guard.short {
            let dates = is_date(&kind.fields, &short.from) && is_date(&kind.fields, &short.until);
            let rule = Rules::standard().get(&short.rule);
            let counts = rule.is_some_and(|it| !matches!(it.length, Length::WorkingDays(_)));
            ensure(dates && counts && guard.asks, || {
                "a guard measures what are no two dates, or by no rule, or does not ask".to_owned()
            })?;
        }
        for (key, values) in &guard.unless {
            let field = kind.field(key);
            let known =
                |value: &String| field.is_some_and(|it| it.accepts(&Fact::Str(value.clone())));
            ensure(!values.is_empty() && values.iter().all(known), || {
                format!("a guard names values of {key} that it does not have")
            })?;
        }
        for key in guard
            .covers
            .iter()
            .flat_map(|covers| [&covers.all, &covers.by])
        {
            let is_set = kind
                .field(key)
                .is_some_and(|it| matches!(it.kind, FieldType::Set { .. }));
            ensure(is_set, || format!("a guard names {key}, which is no set"))?;
        }
    }
    Ok(())
}

/// What kinds say of each other: every name there exists, and means what the other takes it for.
pub(super) fn relations(kind: &Kind, kinds: &BTreeMap<String, Kind>) -> Checked {
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
    check_site_starts(kind, &other)?;
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
        ensure(gather.starts.is_empty() || clash.is_some(), || {
            format!("{} comes with it without being nested", gather.kind)
        })?;
        for (place, start) in (1..).zip(&gather.starts) {
            let read = from.read_under(&serde_json::json!(start), &gather.by, place);
            let told = read.err().and_then(|refusals| refusals.into_iter().next());
            ensure(told.is_none(), || {
                let field = told.map(|it| it.field).unwrap_or_default();
                format!("the {} it comes with are refused: {field}", gather.kind)
            })?;
        }
        if let Some(by_site) = &gather.by_site {
            let type_of = |key: &String| kind.field(key).map(|field| &field.kind);
            let asked = matches!(type_of(&by_site.asked), Some(FieldType::Set { .. }));
            let quota = matches!(type_of(&by_site.quota), Some(FieldType::Int { .. }));
            let known = by_site.unless.iter().all(|it| from.status(it).is_some());
            ensure(asked && quota && known, || {
                "by_site names no set of sites, or no number".to_owned()
            })?;
        }
        if let Some(lines) = &gather.lines {
            for theirs in lines.fields.iter().chain(lines.speaker_sets.keys()) {
                has(from, theirs)?;
            }
            ensure(from.words.as_ref() == lines.fields.first(), || {
                format!("a line of {} does not begin with the words", gather.kind)
            })?;
            ensure(lines.fields.contains(&lines.speaker), || {
                format!("a line of {} has no such speaker", gather.kind)
            })?;
        }
    }
    for step in &kind.transitions {
        check_effects(step, kind, &other)
            .map_err(|what| format!("event {}: {what}", step.event))?;
    }
    Ok(())
}

/// What a form takes from the file of the site means there what it means here.
fn check_site_starts<'a>(kind: &Kind, other: &impl Fn(&str) -> Checked<&'a Kind>) -> Checked {
    for (key, value) in &kind.starts {
        let Some(theirs) = value.strip_prefix(OF_SITE) else {
            continue;
        };
        let site = other(SITE)?;
        let field = site.field(theirs);
        let field = field.ok_or_else(|| format!("{SITE} has no field {theirs}"))?;
        let named = kind.field(key).map(Field::names).unwrap_or_default();
        // Its own id names the site itself.
        let own = theirs == "id" && named == [SITE];
        ensure(own || named == field.names(), || {
            format!("starts: {key} names other kinds than {theirs} of the site does")
        })?;
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
    let names_this = |other: &Kind, field: &String| {
        let named = other.field(field).map(Field::names).unwrap_or_default();
        ensure(named.contains(&kind.code), || {
            format!("{field} of {} does not name a {}", other.code, kind.code)
        })
    };
    if let Some(make) = &step.makes {
        let made = other(&make.kind)?;
        match &make.names {
            None => belongs(made)?,
            Some(field) => names_this(made, field)?,
        }
        for (key, value) in &make.sets {
            let field = made.field(key);
            let held = field.is_some_and(|it| it.accepts(&Fact::Str(value.clone())));
            ensure(held, || {
                format!("{key} of a {} cannot be set so", made.code)
            })?;
        }
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
        match (&along.through, &along.by) {
            (None, None) => belongs(moved)?,
            (None, Some(field)) => names_this(moved, field)?,
            (Some(_), Some(_)) => {
                return Err("they name this one, or this one names them".to_owned());
            }
            (Some(field), None) => {
                let named = kind.field(field).map(Field::names).unwrap_or_default();
                ensure(named.contains(&moved.code), || {
                    format!("{field} does not name a {}", moved.code)
                })?;
            }
        }
        let event = moved.transition(&along.event);
        let event = event.ok_or_else(|| format!("{} has no event {}", moved.code, along.event))?;
        let given = along
            .copies
            .keys()
            .chain(along.sets.keys())
            .chain(&along.names)
            .chain(along.last.keys())
            .chain(&along.dated);
        for key in given {
            ensure(find(&event.data, key).is_some(), || {
                format!("{} of {} does not take {key}", along.event, moved.code)
            })?;
        }
        along.copies.values().try_for_each(takes)?;
        for (step, datum) in along.last.values() {
            let step = kind.transition(step);
            let has = step.is_some_and(|step| find(&step.data, datum).is_some());
            ensure(has, || format!("no earlier step takes {datum}"))?;
        }
        for field in along.only.keys() {
            ensure(moved.field(field).is_some(), || {
                format!("{} has no field {field}", moved.code)
            })?;
        }
    }
    Ok(())
}

pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

pub(super) fn unique<'a>(what: &str, mut names: impl Iterator<Item = &'a str>) -> Checked {
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
