//! Forms from the catalogue: fields to inputs, and what was typed to the JSON that the catalogue judges.
//!
//! A form's names are the flat keys of fields (`place.community`). What was typed is kept as it was typed,
//! right or wrong, so that a page with errors, a draft and a new attempt show the same.

use lianxin_protocol::catalogue::{FORM_VERSION, Fact, Field, FieldType, Kind, Refusal};
use lianxin_protocol::text;
use serde_json::{Map, Value, json};

use super::choices::{Choices, items};
use super::looks;
use super::words::Lang;
use crate::drafts::Typed;

/// Options up to which an enum is shown as a row of buttons rather than a list that opens.
const BUTTONS_MAX: usize = 7;
/// A register of this many names is shown whole.
const REGISTER_MAX: usize = 40;
/// Texts up to this many characters stand on one line.
const LINE_CHARS: usize = 60;

/// One choice.
pub(super) struct Opt {
    pub(super) code: String,
    pub(super) label: String,
    pub(super) on: bool,
    /// Ids of the inputs that this choice asks for, and of those that it leaves no room for, with a space between.
    pub(super) needs: String,
    pub(super) excludes: String,
}

/// A field as a form shows it.
pub(super) struct Input {
    /// Id in the page, also of its error and its hint with a suffix.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) label: String,
    pub(super) hint: Option<String>,
    pub(super) error: Option<String>,
    pub(super) required: bool,
    /// `text`, `line`, `lines`, `number`, `buttons`, `select`, `checks`, `register`, `one`, `check`, `date`, `month`,
    /// `time`, `clock`. A `register` is ticked, with room for what is not in it; of `one` it is chosen from.
    pub(super) control: &'static str,
    pub(super) value: String,
    pub(super) options: Vec<Opt>,
    /// What stands before the room for what is not in a register.
    pub(super) more: String,
    /// Names that are offered while one types.
    pub(super) offered: Vec<String>,
    pub(super) max_chars: usize,
    pub(super) min: i64,
    pub(super) max: i64,
    /// Typed on a phone's number pad.
    pub(super) phone: bool,
    /// What looks wrong and is taken all the same.
    pub(super) looks: Vec<String>,
    /// Characters of a long text, and of how many at most, in words.
    pub(super) chars: usize,
    pub(super) chars_of: String,
}

impl Input {
    /// Whether it is a long register of which nothing need be chosen, and nothing is: it need not stand open.
    pub(super) fn rests(&self) -> bool {
        /// So many are no hindrance.
        const FEW: usize = 3;
        let chosen = self.options.iter().any(|option| option.on) || !self.value.is_empty();
        self.control == "register"
            && !self.required
            && !chosen
            && self.error.is_none()
            && self.options.len() > FEW
    }

    /// Whether it needs no more than half of a form's width.
    pub(super) fn half(&self) -> bool {
        let short = ["line", "select", "number", "date", "month", "time", "clock"];
        short.contains(&self.control)
    }

    /// Whether nothing was chosen or typed.
    pub(super) fn is_blank(&self) -> bool {
        text::is_blank(&self.value) && self.options.iter().all(|it| !it.on)
    }
}

/// What is wrong, for the summary at the top of a form.
pub(super) struct Fault {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) message: String,
}

/// The input of a field, with what it may name, what was typed and what is wrong with it.
pub(super) fn input(
    field: &Field,
    named: &Choices,
    typed: &Typed,
    refusals: &[Refusal],
    lang: Lang,
) -> Input {
    let values = typed.get(&field.key);
    let first = values.and_then(|values| values.first());
    let given = match (first, &field.default) {
        (Some(value), _) => value.clone(),
        (None, Some(Fact::Str(text))) => text.clone(),
        (None, Some(Fact::Int(number))) => number.to_string(),
        (None, Some(Fact::Bool(true))) => "true".to_owned(),
        (None, _) => String::new(),
    };
    let choices = |options: &[lianxin_protocol::catalogue::Choice], on: &dyn Fn(&str) -> bool| {
        let choice = |option: &lianxin_protocol::catalogue::Choice| Opt {
            code: option.code.clone(),
            label: lang.label(&option.label).to_owned(),
            on: on(&option.code),
            needs: ids_of(&option.needs),
            excludes: ids_of(&option.excludes),
        };
        options.iter().map(choice).collect::<Vec<_>>()
    };
    let mut input = Input {
        id: id_of(&field.key),
        name: field.key.clone(),
        label: lang.label(&field.label).to_owned(),
        hint: field.hint.as_ref().map(|hint| lang.label(hint).to_owned()),
        error: refusals
            .iter()
            .find(|refusal| refusal.field == field.key)
            .map(|refusal| refused(field, refusal, lang)),
        required: field.required,
        control: "line",
        value: given,
        options: Vec::new(),
        offered: Vec::new(),
        more: String::new(),
        max_chars: 0,
        min: 0,
        max: 0,
        phone: field.plain,
        looks: looks::of(std::iter::once(field), typed)
            .into_iter()
            .map(|(_, id)| lang.say(id, &[]))
            .collect(),
        chars: 0,
        chars_of: String::new(),
    };
    match &field.kind {
        FieldType::Text { max_chars } | FieldType::Ref { max_chars, .. } => {
            input.max_chars = *max_chars;
            let long = matches!(field.kind, FieldType::Text { .. }) && *max_chars > LINE_CHARS * 4;
            input.control = if long { "text" } else { "line" };
            if long {
                input.chars = text::kept(&input.value).chars().count();
                input.chars_of = lang.say("chars-of", &[("max", count(*max_chars).into())]);
            }
            input.offered = named.named(field).map(|it| it.label.clone()).collect();
            if matches!(field.kind, FieldType::Ref { .. }) {
                register(&mut input, field, named, values);
                input.more = lang.say("register-other", &[]);
            }
        }
        FieldType::Enum { options } => {
            let given = input.value.clone();
            input.options = choices(options, &|code| code == given);
            let few = options.len() <= BUTTONS_MAX;
            input.control = if few && field.required {
                "buttons"
            } else {
                "select"
            };
        }
        FieldType::Int { min, max } => {
            (input.min, input.max) = (*min, *max);
            input.control = "number";
        }
        FieldType::Bool => input.control = "check",
        FieldType::Date => input.control = "date",
        FieldType::Month => input.control = "month",
        FieldType::Time => input.control = "time",
        FieldType::Clock => input.control = "clock",
        FieldType::Set { of, .. } => match &**of {
            FieldType::Enum { options } => {
                let on =
                    |code: &str| values.is_some_and(|values| values.iter().any(|it| it == code));
                input.options = choices(options, &on);
                input.control = "checks";
            }
            _ => {
                input.control = "lines";
                register(&mut input, field, named, values);
                input.more = lang.say("register-more", &[]);
            }
        },
        FieldType::ExternalRef | FieldType::Opaque => {}
    }
    input
}

/// Shows references to a short register as boxes to tick, or one of them as buttons, with room for what is not in it.
fn register(input: &mut Input, field: &Field, named: &Choices, values: Option<&Vec<String>>) {
    let several = matches!(field.kind, FieldType::Set { .. });
    let values = values.into_iter().flatten();
    let mut given: Vec<&str> = values.flat_map(|value| value.lines()).collect();
    let offered: Vec<_> = named.named(field).collect();
    if !Choices::is_register(field) || offered.is_empty() || offered.len() > REGISTER_MAX {
        input.value = given.join("\n");
        return;
    }
    for it in offered {
        let is_it = |given: &str| given == it.id || given == it.label;
        let on = given.iter().any(|given| is_it(given));
        given.retain(|given| !is_it(given));
        // The box stands for the record, whatever others are called.
        input.options.push(Opt {
            code: it.id.clone(),
            label: it.label.clone(),
            on,
            needs: String::new(),
            excludes: String::new(),
        });
    }
    input.control = if several { "register" } else { "one" };
    given.retain(|given| !text::is_blank(given));
    input.value = given.join("\n");
}

/// The id of a field's input in a page.
fn id_of(key: &str) -> String {
    format!("f-{}", key.replace('.', "-"))
}

fn ids_of(keys: &[String]) -> String {
    let ids: Vec<_> = keys.iter().map(|key| id_of(key)).collect();
    ids.join(" ")
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Why a value was refused, in words.
fn refused(field: &Field, refusal: &Refusal, lang: Lang) -> String {
    let bounds = match &field.kind {
        FieldType::Text { max_chars } | FieldType::Ref { max_chars, .. } => (0, count(*max_chars)),
        FieldType::Int { min, max } => (*min, *max),
        FieldType::Set { max_items, .. } => (0, count(*max_items)),
        _ => (0, 0),
    };
    let id = format!("refused-{}", refusal.code);
    let bounds = [("min", bounds.0.into()), ("max", bounds.1.into())];
    match refusal.code {
        "required" if matches!(field.kind, FieldType::Enum { .. }) => {
            lang.say("refused-choose", &[])
        }
        CHANGED => lang.say(&id, &[("now", refusal.message.as_str().into())]),
        _ => lang.say(&id, &bounds),
    }
}

/// Code of a refusal that only a form meets: somebody has changed the field since the form was shown.
const CHANGED: &str = "changed";

/// Says at a field what it holds now.
pub(super) fn changed(field: &Field, now: String) -> Refusal {
    Refusal {
        field: field.key.clone(),
        code: CHANGED,
        message: now,
    }
}

/// The faults of a form in the order of its fields.
pub(super) fn faults<'a>(
    fields: impl Iterator<Item = &'a Field>,
    refusals: &[Refusal],
    lang: Lang,
) -> Vec<Fault> {
    let mut known = Vec::new();
    for field in fields {
        let of_field = refusals.iter().find(|refusal| refusal.field == field.key);
        known.extend(of_field.map(|refusal| Fault {
            id: id_of(&field.key),
            label: lang.label(&field.label).to_owned(),
            message: refused(field, refusal, lang),
        }));
    }
    known
}

/// The fields of a kind's form for new records, in order.
pub(super) fn of_form(kind: &Kind) -> impl Iterator<Item = &Field> {
    kind.sections
        .iter()
        .flat_map(|section| &section.fields)
        .filter_map(|key| kind.fields.iter().find(|field| field.key == *key))
}

/// What was typed for a new record, as the JSON that the catalogue judges, with the version of the form that it was typed into.
pub(super) fn new_record(kind: &Kind, typed: &Typed) -> Value {
    let mut read = to_json(of_form(kind), typed);
    if let Value::Object(members) = &mut read
        && typed.contains_key(FORM_VERSION)
    {
        members.insert(FORM_VERSION.to_owned(), form_version(kind, typed).into());
    }
    read
}

/// Which version of a kind's form was typed into: the newest, unless a draft says that it was begun with an older one.
pub(super) fn form_version(kind: &Kind, typed: &Typed) -> u32 {
    let said = typed.get(FORM_VERSION).and_then(|values| values.first());
    let said = said.and_then(|said| said.parse().ok());
    said.filter(|said| (1..kind.version).contains(said))
        .unwrap_or(kind.version)
}

/// What was typed, as the JSON that the catalogue judges. What does not read as the field's type is left as
/// it is, and refused there.
pub(super) fn to_json<'a>(fields: impl Iterator<Item = &'a Field>, typed: &Typed) -> Value {
    let mut root = Map::new();
    for field in fields {
        let Some(values) = typed.get(&field.key) else {
            continue;
        };
        let Some(value) = value_of(&field.kind, values) else {
            continue;
        };
        match field.key.split_once('.') {
            None => {
                root.insert(field.key.clone(), value);
            }
            Some((group, name)) => {
                let group = root.entry(group).or_insert_with(|| json!({}));
                if let Value::Object(members) = group {
                    members.insert(name.to_owned(), value);
                }
            }
        }
    }
    Value::Object(root)
}

fn value_of(kind: &FieldType, values: &[String]) -> Option<Value> {
    let first = values.first()?;
    let trimmed = text::plain(first);
    let trimmed = trimmed.as_str();
    Some(match kind {
        FieldType::Text { .. } => json!(first),
        // What was written beside a register goes before what was chosen from it.
        FieldType::Ref { .. } => {
            let given = values.iter().rev().find(|it| !text::is_blank(it));
            json!(given.unwrap_or(first))
        }
        FieldType::Int { .. } => match (trimmed.is_empty(), trimmed.parse::<i64>()) {
            (true, _) => return None,
            (_, Ok(number)) => json!(number),
            (_, Err(_)) => json!(trimmed),
        },
        FieldType::Bool => json!(matches!(trimmed, "true" | "on" | "1")),
        // A browser's field for a time knows no zone: it is the clock on the wall.
        FieldType::Time if !trimmed.is_empty() => json!(format!("{trimmed}+08:00")),
        FieldType::Set { of, .. } => {
            let items: Vec<Value> = match &**of {
                FieldType::Enum { .. } => values.iter().map(|code| json!(code)).collect(),
                of => values
                    .iter()
                    .flat_map(|text| {
                        let text = text::kept(text);
                        items(&text)
                            .map(|item| item_of(of, item))
                            .collect::<Vec<_>>()
                    })
                    .collect(),
            };
            json!(items)
        }
        _ => json!(trimmed),
    })
}

fn item_of(kind: &FieldType, item: &str) -> Value {
    if !matches!(kind, FieldType::ExternalRef) {
        return json!(item);
    }
    let mut parts = item.split(['|', '｜']).map(str::trim);
    let mut named = Map::new();
    for name in ["system", "no", "date"] {
        if let Some(part) = parts.next().filter(|part| !part.is_empty()) {
            named.insert(name.to_owned(), json!(part));
        }
    }
    Value::Object(named)
}

/// What a record holds, as its form would have it typed.
pub(super) fn typed<'a>(
    fields: impl Iterator<Item = &'a Field>,
    held: &Map<String, Value>,
) -> Typed {
    let mut typed = Typed::new();
    for field in fields {
        let value = match field.key.split_once('.') {
            None => held.get(&field.key),
            Some((group, name)) => held.get(group).and_then(|group| group.get(name)),
        };
        let values = match value {
            None | Some(Value::Null) => continue,
            Some(Value::Array(items)) => {
                let items = items.iter().map(text_of);
                match &field.kind {
                    FieldType::Set { of, .. } if matches!(**of, FieldType::Enum { .. }) => {
                        items.collect()
                    }
                    _ => vec![items.collect::<Vec<_>>().join("\n")],
                }
            }
            Some(value) => vec![text_of(value)],
        };
        typed.insert(field.key.clone(), values);
    }
    typed
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(parts) => {
            let parts = parts.values().filter_map(Value::as_str);
            parts.collect::<Vec<_>>().join("|")
        }
        other => other.to_string(),
    }
}

/// A form's body as it came. Names that stand there several times keep all their values in order.
pub(super) fn from_pairs(pairs: Vec<(String, String)>) -> Typed {
    let mut typed = Typed::new();
    for (name, value) in pairs {
        typed.entry(name).or_default().push(value);
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;
    use lianxin_protocol::catalogue::Catalogue;

    fn opinion() -> &'static Kind {
        Catalogue::current().kind("opinion").unwrap()
    }

    fn form(pairs: &[(&str, &str)]) -> Typed {
        from_pairs(
            pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn what_is_typed_is_what_the_catalogue_takes() {
        let typed = form(&[
            ("body", "第一行\r\n第二行"),
            ("category", "help"),
            ("place.community", " 测试社区 "),
            ("people_count", "3"),
            ("deputies", "测试代表甲、测试代表乙\r\n测试代表丙"),
            ("test_data", "on"),
            ("occurred_on", "2026-03-14"),
            ("person.phone", ""),
            ("unknown", "left out"),
        ]);
        let read = to_json(of_form(opinion()), &typed);
        assert_eq!(
            read,
            json!({
                "body": "第一行\r\n第二行", "category": "help",
                "place": {"community": " 测试社区 "}, "people_count": 3,
                "deputies": ["测试代表甲", "测试代表乙", "测试代表丙"],
                "test_data": true, "occurred_on": "2026-03-14", "person": {"phone": ""},
            })
        );
        // Line ends and blanks are the catalogue's matter, wherever a value comes from.
        let draft = opinion().read(&read).unwrap();
        let texts: Vec<_> = draft
            .texts
            .values()
            .filter_map(|it| it.get("body"))
            .collect();
        assert_eq!(texts, ["第一行\n第二行"]);
        let community = draft.facts.get("place.community").cloned().flatten();
        assert_eq!(community, Some(Fact::Str("测试社区".to_owned())));
    }

    #[test]
    fn a_value_of_the_wrong_type_reaches_the_judge_and_comes_back_as_typed() {
        let typed = form(&[
            ("body", "内容"),
            ("category", "help"),
            ("people_count", "三个"),
        ]);
        let refusals = opinion()
            .read(&to_json(of_form(opinion()), &typed))
            .unwrap_err();
        let shown = of_form(opinion())
            .map(|field| input(field, &Choices::default(), &typed, &refusals, Lang::Zh));
        let count = shown
            .into_iter()
            .find(|input| input.name == "people_count")
            .unwrap();
        assert_eq!(count.value, "三个");
        assert!(count.error.is_some_and(|error| error.chars().count() > 3));
        let faults = faults(of_form(opinion()), &refusals, Lang::Zh);
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn a_record_fills_its_own_form() {
        let held = json!({
            "body": "内容", "category": "help", "place": {"community": "测试社区"},
            "deputies": ["甲", "乙"], "people_count": 3,
        });
        let Value::Object(held) = held else { return };
        let typed = typed(of_form(opinion()), &held);
        let again = to_json(of_form(opinion()), &typed);
        assert_eq!(again, Value::Object(held));
    }

    #[test]
    fn every_refusal_has_words() {
        for code in [
            "unknown_field",
            "forbidden_field",
            "read_only",
            "fixed",
            "required",
            "wrong_type",
            "not_text",
            "too_long",
            "too_many",
            "not_an_option",
            "out_of_range",
            "bad_date",
            "bad_time",
            "one_of",
            "twice",
            "over",
            "before",
            "too_late",
            "set_by_steps",
            "nothing",
            "needed",
            "excluded",
            "unknown_event",
        ] {
            let id = format!("refused-{code}");
            assert_ne!(Lang::Zh.say(&id, &[]), id);
            assert_ne!(Lang::En.say(&id, &[]), id);
        }
    }
}
