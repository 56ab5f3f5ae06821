//! 台账: the records of one kind as the rows of a table, and the rows of an office's own table as records.
//!
//! Going out, a table has the number, the status and every field of the kind under the name that its form has. Coming in, a column is a field
//! by its name, its code or a name that offices use; what is no field is left out and named. A cell is read as its field asks: choices by
//! their words, dates as offices write them, yuan for fen. Whether a row can be recorded is the catalogue's to judge.
//!
//! Owns what stands in a cell. Must not read files ([`sheets`] does) nor write records.

pub mod incoming;
pub mod open311;
pub mod out;

use std::borrow::Cow;

use lianxin_protocol::catalogue::{Catalogue, Choice, Field, FieldType, Kind, Transition};
use lianxin_protocol::text::{folded, plain};
use serde_json::{Map, Value, json};

use crate::clock::{self, Beijing, day_number, unix_ms};
use crate::sheets;
use crate::sheets::write;
use crate::words::Lang;

/// What a column of a table is.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// 登记编号.
    Number,
    /// The status.
    Status,
    /// The name of the site, or that of the sub-district.
    Site,
    /// The day on which it was recorded.
    Recorded,
    /// The answer to whoever brought it.
    Answer,
    /// The day of the answer.
    Answered,
    /// 序号: the place of a row, from 1.
    Ordinal,
    /// The day on which the table is written.
    Today,
    /// A field.
    Field(&'static Field),
    /// A field in fen that stands in yuan.
    Yuan(&'static Field),
    /// The same in ten thousands of yuan 万元.
    Wan(&'static Field),
}

/// A column that is no field.
struct Beside {
    column: Column,
    /// In a mapping.
    code: &'static str,
    /// What our tables call it.
    zh: &'static str,
    en: &'static str,
    /// What offices call it.
    others: &'static [&'static str],
}

impl Beside {
    const fn new(
        column: Column,
        code: &'static str,
        (zh, en): (&'static str, &'static str),
        others: &'static [&'static str],
    ) -> Self {
        Self {
            column,
            code,
            zh,
            en,
            others,
        }
    }
}

static BESIDE: [Beside; 8] = [
    Beside::new(
        Column::Number,
        "#number",
        ("登记编号", "Number"),
        &["编号", "受理编号"],
    ),
    Beside::new(
        Column::Status,
        "#status",
        ("状态", "Status"),
        &["办理状态", "当前状态"],
    ),
    Beside::new(
        Column::Site,
        "#site",
        ("登记站点", "Site"),
        &["站点名称", "受理站点"],
    ),
    Beside::new(
        Column::Recorded,
        "#recorded",
        ("录入日期", "Recorded on"),
        &["登记日期", "受理日期", "受理时间"],
    ),
    Beside::new(
        Column::Answer,
        "#answer",
        ("答复内容", "Answer"),
        &["办理情况", "答复情况", "处理情况", "处理结果"],
    ),
    Beside::new(
        Column::Answered,
        "#answered",
        ("答复日期", "Answered on"),
        &["办结日期", "办结时间", "答复时间"],
    ),
    Beside::new(Column::Ordinal, "#ordinal", ("序号", "No."), &["序", "№"]),
    Beside::new(
        Column::Today,
        "#today",
        ("制表日期", "Today"),
        &["填表日期", "填报日期", "打印日期", "今天"],
    ),
];

impl Column {
    /// Whether it is of the same sort, whichever its field.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The field that it is, in whatever unit.
    #[must_use]
    pub const fn field(&self) -> Option<&'static Field> {
        match self {
            Self::Field(field) | Self::Yuan(field) | Self::Wan(field) => Some(*field),
            _ => None,
        }
    }

    fn beside(&self) -> Option<&'static Beside> {
        BESIDE.iter().find(|it| it.column.is_like(self))
    }

    /// Its code in a mapping: `body`, `amount_fen:yuan`, `#number`.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Field(field) => field.key.clone(),
            Self::Yuan(field) => format!("{}{IN_YUAN}", field.key),
            Self::Wan(field) => format!("{}{IN_WAN}", field.key),
            beside => beside.beside().map_or("", |it| it.code).to_owned(),
        }
    }

    /// The column that a code names in tables that go out.
    #[must_use]
    pub fn parse(kind: &'static Kind, code: &str) -> Option<Self> {
        if let Some(beside) = BESIDE.iter().find(|it| it.code == code) {
            return Some(beside.column);
        }
        let (key, column): (_, fn(&'static Field) -> Self) =
            match (code.strip_suffix(IN_YUAN), code.strip_suffix(IN_WAN)) {
                (Some(key), _) => (key, Self::Yuan),
                (None, Some(key)) => (key, Self::Wan),
                (None, None) => (code, Self::Field),
            };
        let field = kind.field(key).filter(|field| goes_out(field))?;
        (key == code || is_money(field)).then(|| column(field))
    }

    /// What people call it.
    #[must_use]
    pub(crate) fn label(&self, lang: Lang) -> String {
        match (self, lang) {
            (Self::Field(field), _) => lang.label(&field.label).to_owned(),
            (Self::Yuan(field), Lang::Zh) => format!("{}（元）", bare(&field.label.zh)),
            (Self::Yuan(field), Lang::En) => format!("{} (yuan)", bare(&field.label.en)),
            (Self::Wan(field), Lang::Zh) => format!("{}（万元）", bare(&field.label.zh)),
            (Self::Wan(field), Lang::En) => format!("{} (10,000 yuan)", bare(&field.label.en)),
            (beside, Lang::Zh) => beside.beside().map_or("", |it| it.zh).to_owned(),
            (beside, Lang::En) => beside.beside().map_or("", |it| it.en).to_owned(),
        }
    }
}

/// What stands behind the key of a field in fen that is shown in yuan, and in ten thousands of them.
const IN_YUAN: &str = ":yuan";
const IN_WAN: &str = ":wan";

/// Whether a field is in fen.
fn is_money(field: &Field) -> bool {
    field.key.ends_with("_fen")
}

/// Whether a field can stand in a table: those that other parts of the product keep are none.
fn goes_out(field: &Field) -> bool {
    const ENVELOPE: [&str; 8] = [
        "id",
        "number",
        "hub_no",
        "status",
        "site_id",
        "device_id",
        "state",
        "events",
    ];
    !ENVELOPE.contains(&field.key.as_str()) && !matches!(field.kind, FieldType::Opaque)
}

/// What is worked out of a record and stands in no field: in our tables as exports have it. Who recorded it is named on that device alone.
const COMPUTED: [&str; 3] = ["recorded_at", "late_entry", "clock_suspect"];
const NEVER_NAMED: &str = "recorded_by";

/// Whether a field is worked out of its record.
pub(crate) fn is_computed(field: &Field) -> bool {
    COMPUTED.contains(&field.key.as_str())
}

/// Names that offices have for fields, by the field's key; the first that a kind has.
const OTHER_NAMES: [(&str, &[&str]); 62] = [
    ("采纳结果", &["adoption.result"]),
    ("是否采纳", &["adoption.result"]),
    ("采纳说明", &["adoption.evidence"]),
    ("来函文号", &["adoption.evidence"]),
    ("理由", &["note"]),
    (
        "内容",
        &["body", "original_words", "text", "summary", "needs_summary"],
    ),
    ("诉求内容", &["body"]),
    ("工单内容", &["body"]),
    ("反映问题", &["body"]),
    ("反映事项", &["body"]),
    ("意见内容", &["original_words", "body"]),
    ("评论内容", &["original_words", "body"]),
    ("诉求标题", &["title"]),
    ("工单标题", &["title"]),
    ("事项标题", &["title"]),
    ("诉求类别", &["category"]),
    ("诉求类型", &["category"]),
    ("事项类别", &["category"]),
    ("问题领域", &["topic"]),
    ("姓名", &["person.name", "name"]),
    ("反映人", &["person.name"]),
    ("来电人", &["person.name"]),
    ("来访人", &["person.name"]),
    ("诉求人", &["person.name"]),
    ("代表姓名", &["name"]),
    ("社区名称", &["name"]),
    ("单位名称", &["name"]),
    ("称呼", &["person.call_name"]),
    ("电话", &["person.phone", "contact"]),
    ("联系电话", &["person.phone", "contact"]),
    ("来电号码", &["person.phone"]),
    ("联系方式", &["person.phone", "contact"]),
    ("手机", &["person.phone"]),
    ("所属社区", &["place.community", "community"]),
    ("地点", &["place.text", "place"]),
    ("诉求地点", &["place.text"]),
    ("事发地址", &["place.text"]),
    ("日期", &["date", "occurred_on", "collected_on"]),
    ("时间", &["started_at", "date", "occurred_on"]),
    ("登记日期", &["occurred_on", "date"]),
    ("受理日期", &["occurred_on"]),
    ("受理时间", &["occurred_on"]),
    ("反映时间", &["occurred_on"]),
    ("来电时间", &["occurred_on"]),
    ("来访时间", &["occurred_on", "date"]),
    ("接待时间", &["date"]),
    ("接待日期", &["date"]),
    ("走访时间", &["date"]),
    ("走访日期", &["date"]),
    ("活动时间", &["date"]),
    ("活动日期", &["date"]),
    ("接待代表", &["deputies_present", "deputies"]),
    ("参加代表", &["deputies_present", "deputies", "attendees"]),
    ("参会代表", &["deputies", "attendees"]),
    ("走访代表", &["deputies"]),
    ("来访人次", &["visitors_times"]),
    ("来访人数", &["visitors_times"]),
    ("接待人数", &["visitors_times"]),
    ("走访户数", &["targets_count"]),
    ("服务人数", &["persons_served_times"]),
    ("工单号", &["external_ref"]),
    ("工单编号", &["external_ref"]),
];

/// Words that offices have for choices, by the code of the choice.
const OTHER_WORDS: [(&str, &[&str]); 3] = [
    ("adopted", &["已采纳", "采用", "予以采纳"]),
    ("partly", &["部分采用", "部分"]),
    ("not_adopted", &["不采纳", "不予采纳", "未采用", "not"]),
];

/// What offices write behind a choice: 区人大代表, 求助类.
const BEHIND_CHOICES: [&str; 7] = ["人大代表", "代表", "级", "类别", "类", "事项", "问题"];

/// What they count in, behind a whole number.
const UNITS: [&str; 14] = [
    "人次", "场次", "小时", "人", "名", "位", "户", "家", "次", "场", "件", "条", "个", "期",
];

/// The option of a choice that a cell means: by its name or code, by another word for it, without what offices write behind it, or by the
/// beginning of the name of one alone.
fn option<'o>(options: &'o [Choice], typed: &str) -> Option<&'o Choice> {
    let wanted = folded(typed);
    let named = |wanted: &str| {
        let same = |it: &str| folded(it) == wanted;
        options
            .iter()
            .find(|it| same(&it.label.zh) || same(&it.label.en) || same(&it.code))
    };
    let other = || {
        let mut words = OTHER_WORDS.iter();
        let (code, _) = words.find(|(_, words)| words.contains(&&*wanted))?;
        options.iter().find(|it| it.code == *code)
    };
    let shorter = || {
        let mut behind = BEHIND_CHOICES.iter();
        behind.find_map(|word| named(wanted.strip_suffix(word)?))
    };
    let begun = || {
        let begins = |it: &&Choice| folded(&it.label.zh).starts_with(&wanted);
        let mut found = options.iter().filter(begins);
        let first = found.next().filter(|_| wanted.chars().count() > 1)?;
        found.next().is_none().then_some(first)
    };
    named(&wanted)
        .or_else(other)
        .or_else(shorter)
        .or_else(begun)
}

/// A whole number as offices write it: `1,200人次` is 1200.
fn whole(typed: &str) -> Option<i64> {
    let typed = plain(typed).replace([',', '，', ' '], "");
    let unit = UNITS.iter().find_map(|unit| typed.strip_suffix(unit));
    unit.unwrap_or(&typed).parse().ok()
}

/// Every column that a kind's table can have, in the order of its form; what no form asks for stands behind.
pub fn all_columns(kind: &'static Kind) -> impl Iterator<Item = Column> {
    let asked = kind.sections.iter().flat_map(|section| &section.fields);
    let asked: Vec<_> = asked.filter_map(|key| kind.field(key)).collect();
    let mut fields = asked.clone();
    let others = kind.fields.iter();
    let others =
        others.filter(|field| goes_out(field) && !asked.iter().any(|it| it.key == field.key));
    fields.extend(others);
    let has = |column: &Column| match column {
        Column::Status => !kind.statuses.is_empty(),
        Column::Answer | Column::Answered => is_answered(kind),
        _ => true,
    };
    let beside = BESIDE.iter().map(|it| it.column).filter(has);
    let money = fields.clone().into_iter().filter(|field| is_money(field));
    let money = money.flat_map(|field| [Column::Yuan(field), Column::Wan(field)]);
    let fields = fields.into_iter().map(Column::Field);
    beside.chain(fields).chain(money)
}

/// The columns of a kind's table that comes in: its number, by which ours are known, and what people type in.
pub fn columns_in(kind: &'static Kind) -> impl Iterator<Item = Column> {
    all_columns(kind).filter(|column| match column {
        Column::Field(field) | Column::Yuan(field) | Column::Wan(field) => comes_in(field),
        column => matches!(column, Column::Number | Column::Ordinal),
    })
}

/// The columns of a table that takes a step on each of its rows: the number, and what the step carries.
pub fn columns_of(step: &'static Transition) -> impl Iterator<Item = Column> {
    let data = step.typed().map(Column::Field);
    [Column::Number, Column::Ordinal].into_iter().chain(data)
}

/// Whether somebody waits for an answer to what is recorded as one.
fn is_answered(kind: &Kind) -> bool {
    kind.letter
        .as_ref()
        .is_some_and(|letter| letter.text.is_none())
}

/// The columns of a kind's table as it is exported.
#[must_use]
pub fn columns(kind: &'static Kind) -> Vec<(String, Column)> {
    let own = |column: &Column| match column {
        Column::Ordinal | Column::Today | Column::Yuan(_) | Column::Wan(_) => false,
        column => column.field().is_none_or(|field| field.key != NEVER_NAMED),
    };
    let columns = all_columns(kind).filter(own);
    columns.map(|it| (it.label(Lang::Zh), it)).collect()
}

/// A cell that goes out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shape {
    #[default]
    Text,
    Integer,
    Decimal,
    Date,
    DateTime,
    Bool,
}

impl Cell {
    fn day(unix_ms: u64) -> Self {
        Self {
            text: Beijing::of(unix_ms).iso_date(),
            shape: Shape::Date,
        }
    }

    fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            shape: Shape::Text,
        }
    }

    /// As a table writes it.
    #[must_use]
    pub fn value(&self) -> write::Value<'_> {
        match self.shape {
            _ if self.text.is_empty() => write::Value::Empty,
            Shape::Text => write::Value::Text(&self.text),
            Shape::Integer => self
                .text
                .parse()
                .map_or(write::Value::Text(&self.text), write::Value::Integer),
            Shape::Decimal => self
                .text
                .parse()
                .map_or(write::Value::Text(&self.text), write::Value::Decimal),
            Shape::Date => write::Value::Date(&self.text),
            Shape::DateTime => write::Value::DateTime(&self.text),
            Shape::Bool => write::Value::Bool(self.text == "true"),
        }
    }

    /// As a table shows it, which is what a table that comes back is compared with.
    #[must_use]
    pub fn shown(&self) -> String {
        self.value().text()
    }
}

/// The value of a field in a record, as commands and exports have it.
fn held<'r>(record: &'r Value, key: &str) -> Option<&'r Value> {
    let fields = record.get("fields")?;
    match key.split_once('.') {
        None => fields.get(key),
        Some((group, name)) => fields.get(group)?.get(name),
    }
}

/// What stands in a column of a record, which is given as exports have it, with the place of its row, from 1.
#[must_use]
pub fn cell(kind: &Kind, column: Column, (place, record): (u64, &Value)) -> Cell {
    let word = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let day = |key: &str| unix_ms(word(key)).map_or_else(Cell::default, Cell::day);
    match column {
        Column::Number => Cell::text(word("number")),
        Column::Status => {
            let status = word("status");
            let label = kind.status(status).map(|it| it.label.zh.as_str());
            Cell::text(label.unwrap_or(status))
        }
        Column::Site => Cell::text(word("site")),
        Column::Recorded => day("recorded_at"),
        Column::Answer => Cell::text(word("answer")),
        Column::Answered => day("answered_at"),
        Column::Today => Cell::day(clock::now_ms()),
        Column::Ordinal => Cell {
            text: place.to_string(),
            shape: Shape::Integer,
        },
        Column::Field(field) => {
            let value = match is_computed(field) {
                true => record.get(&field.key),
                false => held(record, &field.key),
            };
            value.map_or_else(Cell::default, |value| of_field(field, value))
        }
        Column::Yuan(field) => money(field, record, 100),
        Column::Wan(field) => money(field, record, 1_000_000),
    }
}

/// An amount in fen in a larger unit, which has so many of them.
fn money(field: &Field, record: &Value, unit: i64) -> Cell {
    let fen = held(record, &field.key).and_then(Value::as_i64);
    fen.map_or_else(Cell::default, |fen| {
        let sign = if fen < 0 { "-" } else { "" };
        let (whole, part) = (
            fen.unsigned_abs() / unit.unsigned_abs(),
            fen.unsigned_abs() % unit.unsigned_abs(),
        );
        let digits = unit.ilog10() as usize;
        Cell {
            text: format!("{sign}{whole}.{part:0digits$}"),
            shape: Shape::Decimal,
        }
    })
}

fn of_field(field: &Field, value: &Value) -> Cell {
    let label = |code: &str| {
        let option = field.options().iter().find(|option| option.code == code);
        option.map_or_else(|| code.to_owned(), |option| option.label.zh.clone())
    };
    match (&field.kind, value) {
        (_, Value::Null) => Cell::default(),
        (FieldType::Enum { .. }, Value::String(code)) => Cell::text(label(code)),
        (FieldType::Date, Value::String(day)) => Cell {
            text: day.clone(),
            shape: Shape::Date,
        },
        (FieldType::Time, Value::String(time)) => match unix_ms(time) {
            Some(at) => Cell {
                text: Beijing::of(at).text().replacen(' ', "T", 1),
                shape: Shape::DateTime,
            },
            None => Cell::text(time.clone()),
        },
        (_, Value::Bool(yes)) => Cell {
            text: yes.to_string(),
            shape: Shape::Bool,
        },
        (_, Value::Number(number)) => Cell {
            text: number.to_string(),
            shape: Shape::Integer,
        },
        (FieldType::Set { of, .. }, Value::Array(items)) => {
            let inner = Field {
                kind: (**of).clone(),
                ..field.clone()
            };
            let items = items.iter().map(|item| of_field(&inner, item).text);
            Cell::text(items.collect::<Vec<_>>().join("、"))
        }
        (_, Value::String(text)) => Cell::text(text.clone()),
        (_, Value::Object(outside)) => {
            let part = |key: &str| outside.get(key).and_then(Value::as_str);
            let parts = [part("system"), part("no"), part("date")];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            Cell::text(parts.join(" "))
        }
        (_, Value::Array(items)) => Cell::text(format!("{} 项", items.len())),
    }
}

// ---- in ----

/// A column of a table as people write its name: without marks, brackets and spaces.
fn bare(head: &str) -> String {
    let head = head.split(['（', '(', '[', '【']).next().unwrap_or(head);
    let sign = |it: &char| !it.is_whitespace() && !matches!(it, '*' | '＊' | ':' | '：');
    folded(&head.chars().filter(sign).collect::<String>())
}

/// Whether a field is typed in: what only steps set is not.
const fn comes_in(field: &Field) -> bool {
    !field.read_only && !matches!(field.kind, FieldType::Opaque)
}

/// The column of a kind that a head names in a table that comes in, by what was said of it (`head=field`) first.
#[must_use]
pub fn column(kind: &'static Kind, head: &str, said: &[(String, String)]) -> Option<Column> {
    if let Some((_, code)) = said.iter().find(|(name, _)| bare(name) == bare(head)) {
        let column = Column::parse(kind, code)?;
        return match column {
            Column::Field(field) | Column::Yuan(field) | Column::Wan(field) if !comes_in(field) => {
                None
            }
            // What was chosen holds, unless the head itself says the unit.
            Column::Field(field) if head.contains('元') => Some(in_unit(field, head)),
            column => Some(column),
        };
    }
    // The answer and the day of one that comes from elsewhere are no fields of it.
    match named_as_is(kind, head) {
        Some(field) => comes_in(field).then(|| in_unit(field, head)),
        None => named_beside(head, |_| false)
            .or_else(|| named_otherwise(kind, head, comes_in))
            .or_else(|| named_beside(head, |it| matches!(it, Column::Ordinal))),
    }
}

/// What heads name, as `find` knows it. Of a head of several rows, which are joined by a space, the last row names a column where the whole
/// does not, nobody has said what it is, and no other head ends alike.
pub fn columns_of_heads(
    heads: &[String],
    said: &[(String, String)],
    find: impl Fn(&str) -> Option<Column>,
) -> Vec<Option<Column>> {
    let is_said = |head: &str| said.iter().any(|(name, _)| bare(name) == bare(head));
    let last = |head: &str| Some(bare(head.rsplit_once(' ')?.1));
    let column = |head: &String| {
        let by_last = || {
            let last = last(head).filter(|_| !is_said(head))?;
            let alike = heads.iter().filter(|it| {
                let ends = it.rsplit(' ').next().unwrap_or_default();
                bare(ends) == last
            });
            (alike.count() == 1).then(|| find(&last))?
        };
        find(head).or_else(by_last)
    };
    heads.iter().map(column).collect()
}

/// The column that a head names in a table that takes a step on each row, by what was said of it first: `#number`, or the key of a datum.
#[must_use]
pub fn column_of(
    step: &'static Transition,
    head: &str,
    said: &[(String, String)],
) -> Option<Column> {
    if let Some((_, code)) = said.iter().find(|(name, _)| bare(name) == bare(head)) {
        return columns_of(step).find(|it| it.code() == *code);
    }
    let bare_head = bare(head);
    let named = |field: &&Field| {
        let names = [&field.label.zh, &field.label.en, &field.key];
        let others = OTHER_NAMES.iter().filter(|(name, _)| *name == bare_head);
        let mut others = others.flat_map(|(_, keys)| keys.iter());
        names.iter().any(|name| bare(name) == bare_head) || others.any(|key| *key == field.key)
    };
    let field = step.typed().find(named).map(Column::Field);
    let is_row = |it: &Column| matches!(it, Column::Number | Column::Ordinal);
    field.or_else(|| named_beside(head, is_row).filter(is_row))
}

/// The column of a kind that a head, or a place in a letter, names in one that goes out.
#[must_use]
pub fn column_out(kind: &'static Kind, head: &str) -> Option<Column> {
    if head.starts_with('#') {
        return Column::parse(kind, head);
    }
    let has = |it: &Column| all_columns(kind).any(|own| own.is_like(it));
    let field = named_as_is(kind, head).filter(|field| goes_out(field));
    let field = field.map(|field| in_unit(field, head));
    field
        .or_else(|| named_beside(head, |_| true).filter(has))
        .or_else(|| named_otherwise(kind, head, goes_out))
}

/// The field as it stands in a column under a head. Money without a unit is in yuan, as offices count it; in fen only what says so.
fn in_unit(field: &'static Field, head: &str) -> Column {
    match is_money(field) {
        true if head.contains("万元") => Column::Wan(field),
        true if !head.contains('分') && head != field.key => Column::Yuan(field),
        _ => Column::Field(field),
    }
}

/// The field that has this name or key.
fn named_as_is(kind: &'static Kind, head: &str) -> Option<&'static Field> {
    let bare_head = bare(head);
    kind.fields.iter().find(|it| {
        let names = [&it.label.zh, &it.label.en, &it.key];
        goes_out(it) && names.iter().any(|name| bare(name) == bare_head)
    })
}

/// The first field that the kind has of those that offices call so.
fn named_otherwise(
    kind: &'static Kind,
    head: &str,
    fits: impl Fn(&Field) -> bool,
) -> Option<Column> {
    let bare_head = bare(head);
    let keys = OTHER_NAMES.iter().filter(|(name, _)| *name == bare_head);
    let keys = keys.flat_map(|(_, keys)| keys.iter());
    let mut fields = keys.filter_map(|key| kind.field(key));
    fields
        .find(|field| fits(field))
        .map(|field| in_unit(field, head))
}

/// The column that is no field and has this name in our own tables, or in those of offices where that counts.
fn named_beside(head: &str, or_otherwise: impl Fn(&Column) -> bool) -> Option<Column> {
    let bare_head = bare(head);
    let found = BESIDE.iter().find(|it| {
        let other = || it.others.iter().any(|name| bare(name) == bare_head);
        [it.zh, it.en].iter().any(|name| bare(name) == bare_head)
            || (or_otherwise(&it.column) && other())
    });
    found.map(|it| it.column)
}

/// Signs between the numbers of a day.
const OF_DAYS: [char; 7] = ['-', '/', '.', '年', '月', '日', '号'];

/// A day as offices and their programs write it, as ISO 8601, with what stands behind it: `2026年3月5日`, `20260305`, and 46086, which is
/// what a cell of a day says when it is shown as a number.
fn day_and_rest(typed: &str) -> Option<(String, &str)> {
    /// From 1970 to 2099, as table programs number days.
    const SERIALS: std::ops::RangeInclusive<i64> = 25_569..=73_050;
    let iso = |year: u16, month: u8, day: u8| {
        let day = format!("{year:04}-{month:02}-{day:02}");
        day_number(&day).map(|_| day)
    };
    if typed.bytes().all(|it| it.is_ascii_digit()) {
        let number: i64 = typed.parse().ok()?;
        let day = match typed.len() {
            5 if SERIALS.contains(&number) => {
                let days = u64::try_from(number - SERIALS.start()).ok()?;
                Beijing::of(days * 24 * 60 * 60 * 1_000).iso_date()
            }
            8 => iso(
                u16::try_from(number / 10_000).ok()?,
                u8::try_from(number / 100 % 100).ok()?,
                u8::try_from(number % 100).ok()?,
            )?,
            _ => return None,
        };
        return Some((day, ""));
    }
    let mut rest = typed;
    let mut next = || {
        let digits = rest.find(|it: char| !it.is_ascii_digit());
        let (number, behind) = rest.split_at(digits.unwrap_or(rest.len()));
        rest = behind.trim_start().trim_start_matches(OF_DAYS).trim_start();
        number.parse::<u16>().ok()
    };
    let (year, month, day) = (next()?, next()?, next()?);
    let day = iso(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?)?;
    Some((day, rest))
}

/// A time of day as offices write it, as `09:12:00`: `9:12`, `9时12分`, `下午3点`.
fn time_of_day(typed: &str) -> Option<String> {
    let typed = typed.trim_start_matches('T').trim();
    let half = |word| typed.strip_prefix(word);
    let (noon, typed) = match (half("上午"), half("下午")) {
        (Some(rest), _) => (0, rest),
        (None, Some(rest)) => (12, rest),
        (None, None) => (0, typed),
    };
    let parts = typed.split([':', '时', '点', '分', '秒']).map(str::trim);
    let parts: Option<Vec<u8>> = parts
        .filter(|it| !it.is_empty())
        .map(|it| it.parse().ok())
        .collect();
    let (hour, minute, second) = match *parts?.as_slice() {
        [hour] => (hour, 0, 0),
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let hour = if hour < 12 { hour + noon } else { hour };
    let is_one = hour < 24 && minute < 60 && second < 60;
    is_one.then(|| format!("{hour:02}:{minute:02}:{second:02}"))
}

/// A day as it was typed, as ISO 8601; a time of day behind it says nothing more, and an offset says where that time is.
fn day(typed: &str) -> Option<String> {
    let typed = plain(typed);
    if let Some(at) = unix_ms(&typed) {
        return Some(Beijing::of(at).iso_date());
    }
    let (day, rest) = day_and_rest(&typed)?;
    (rest.is_empty() || time_of_day(rest).is_some()).then_some(day)
}

/// A moment as it was typed, by Beijing time.
fn moment(typed: &str) -> Option<String> {
    let typed = plain(typed);
    let (day, rest) = day_and_rest(&typed)?;
    let time = match rest {
        "" => "00:00:00".to_owned(),
        rest => time_of_day(rest)?,
    };
    Some(format!("{day}T{time}+08:00"))
}

/// A cell as its field takes it. What cannot be read so is given as it stands, for the catalogue to refuse.
fn typed(field: &Field, text: &str, system: &str) -> Value {
    let as_is = || json!(text);
    match &field.kind {
        FieldType::Enum { options } => {
            option(options, text).map_or_else(as_is, |option| json!(option.code))
        }
        FieldType::Int { .. } => whole(text).map_or_else(as_is, |number| json!(number)),
        FieldType::Bool => match folded(text).as_str() {
            "是" | "有" | "√" | "true" | "yes" | "y" | "1" => json!(true),
            "否" | "无" | "×" | "false" | "no" | "n" | "0" => json!(false),
            _ => as_is(),
        },
        FieldType::Date => day(text).map_or_else(as_is, |day| json!(day)),
        FieldType::Month => {
            let first = format!("{} 1", text.trim_end_matches('月'));
            day(&first).map_or_else(as_is, |day| json!(day.get(..7)))
        }
        FieldType::Time => moment(text).map_or_else(as_is, |at| json!(at)),
        FieldType::Set { of, .. } => {
            let inner = Field {
                kind: (**of).clone(),
                ..field.clone()
            };
            let items = text.split(['、', ',', '，', ';', '；', '\n']);
            let items = items.map(str::trim).filter(|it| !it.is_empty());
            Value::Array(items.map(|item| typed(&inner, item, system)).collect())
        }
        FieldType::ExternalRef => json!({ "system": system, "no": text }),
        FieldType::Text { .. } | FieldType::Ref { .. } | FieldType::Clock | FieldType::Opaque => {
            as_is()
        }
    }
}

/// A row as an object that can be recorded; empty cells are left out. `system` is where outside numbers are from.
///
/// # Errors
/// The columns, from 1, whose cells are no values: the other program could not work them out.
pub fn record(
    columns: &[Option<Column>],
    row: &sheets::Row,
    system: &str,
) -> Result<Value, Vec<usize>> {
    let mut record = Map::new();
    let mut bad = Vec::new();
    for (place, (column, cell)) in (1..).zip(columns.iter().zip(&row.cells)) {
        let Some(Column::Field(field) | Column::Yuan(field) | Column::Wan(field)) = column else {
            continue;
        };
        match cell.kind {
            sheets::Kind::Empty => continue,
            sheets::Kind::Refused => {
                bad.push(place);
                continue;
            }
            _ => {}
        }
        let text = match column {
            Some(Column::Yuan(_)) => in_fen(&cell.text, 2),
            Some(Column::Wan(_)) => in_fen(&cell.text, 6),
            _ => Cow::Borrowed(&*cell.text),
        };
        let value = typed(field, &text, system);
        match field.key.split_once('.') {
            None => drop(record.insert(field.key.clone(), value)),
            Some((group, name)) => {
                let group = record.entry(group).or_insert_with(|| json!({}));
                if let Value::Object(group) = group {
                    group.insert(name.to_owned(), value);
                }
            }
        }
    }
    if bad.is_empty() {
        Ok(Value::Object(record))
    } else {
        Err(bad)
    }
}

/// An amount as it was typed in fen, which its unit has so many decimals of; what is none stays as it is, for the catalogue to refuse.
fn in_fen(typed: &str, decimals: usize) -> Cow<'_, str> {
    fen(typed, decimals).map_or(Cow::Borrowed(typed), Cow::Owned)
}

/// In yuan with two decimals `1,234.5` is 123450.
fn fen(typed: &str, decimals: usize) -> Option<String> {
    let plain: String = typed
        .chars()
        .filter(|it| !matches!(it, ',' | '，' | ' ' | '元' | '万' | '¥' | '￥'))
        .collect();
    if typed.contains('万') && decimals == 2 {
        return fen(&plain, 6);
    }
    let (whole, part) = plain.split_once('.').unwrap_or((&plain, ""));
    let part = part.trim_end_matches('0');
    if part.len() > decimals || !part.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let part: i64 = format!("{part:0<decimals$}").parse().ok()?;
    let unit = 10_i64.checked_pow(u32::try_from(decimals).ok()?)?;
    Some(whole.checked_mul(unit)?.checked_add(part)?.to_string())
}

/// By what a record of a kind is known again: the values of the fields that its kind is found by. None where one is missing, or the kind
/// has no such fields.
#[must_use]
pub fn key(kind: &Kind, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    if kind.found_by.is_empty() {
        return None;
    }
    let values = kind
        .found_by
        .iter()
        .map(|key| value(key).map(|it| folded(&it)));
    let values: Option<Vec<_>> = values.collect();
    values.map(|values| values.join("\u{1f}"))
}

/// By which numbers in other systems a record is known again, wherever it was imported: `external_ref` as records have it. Numbers of which
/// nobody said where they are from tell nothing.
#[must_use]
pub fn outside_keys(refs: Option<&Value>) -> Vec<String> {
    let refs = refs.and_then(Value::as_array).into_iter().flatten();
    let keys = refs.filter_map(|it| {
        let part = |key: &str| it.get(key).and_then(Value::as_str);
        let (system, no) = part("system").zip(part("no"))?;
        (system != NO_SYSTEM).then(|| format!("\u{1e}{}|{}", folded(system), folded(no)))
    });
    keys.collect()
}

/// Where outside numbers are from if nobody says so.
pub const NO_SYSTEM: &str = "import";

/// The kinds whose records offices have in tables of their own: those that stand alone and are typed by people.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    let kinds = Catalogue::current().kinds();
    kinds.filter(|kind| kind.parent.is_none() && !kind.create.by_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str) -> Option<&'static Kind> {
        Catalogue::current().kind(code)
    }

    #[test]
    fn cells_are_read_as_offices_write_them() {
        for typed in [
            "2026-11-28",
            "2026/11/28",
            "2026年11月28日",
            "2026.11.28",
            "2026-11-28 ",
            "20261128",
            "46354",
            "２０２６年１１月２８日",
            "2026年11月28日 09:12",
            "2026年11月28日下午3点",
            "2026-11-28 09:12:33",
            "2026/11/28 9:12:33",
            "2026-11-28T09:30",
            "2026-11-27T16:30:00Z",
        ] {
            assert_eq!(day(typed).as_deref(), Some("2026-11-28"), "{typed}");
        }
        for wrong in [
            "",
            "11月28日",
            "2026-13-01",
            "2026-02-30",
            "二〇二六年",
            "20261328",
            "12345",
            "99999",
            "2026-11-28至2026-11-29",
            "2026-11-28 25:00",
            "2026-11-28 上午",
        ] {
            assert_eq!(day(wrong), None, "{wrong}");
        }
        for (typed, at) in [
            ("2026/3/5 9:12", "2026-03-05T09:12:00+08:00"),
            ("2026年3月5日下午3点20分", "2026-03-05T15:20:00+08:00"),
            ("20260305", "2026-03-05T00:00:00+08:00"),
        ] {
            assert_eq!(moment(typed).as_deref(), Some(at), "{typed}");
        }
        assert_eq!(moment("2026-03-05T09:12:00Z"), None);
        for (yuan, in_fen) in [
            ("1,234.5", "123450"),
            ("20", "2000"),
            ("0.01", "1"),
            ("3.10元", "310"),
        ] {
            assert_eq!(fen(yuan, 2).as_deref(), Some(in_fen));
        }
        assert_eq!((fen("1.234", 2), fen("十", 2)), (None, None));
        assert_eq!(fen("2", 6).as_deref(), Some("2000000"));
        assert_eq!(fen("1.5万元", 2).as_deref(), Some("1500000"));
    }

    #[test]
    fn columns_are_found_by_name_code_and_what_offices_call_them() -> Result<(), &'static str> {
        let opinion = kind("opinion").ok_or("no opinion")?;
        let of = |head: &str| match column(opinion, head, &[]) {
            Some(Column::Field(field)) => field.key.clone(),
            Some(Column::Number) => "#".to_owned(),
            Some(Column::Status) => "status".to_owned(),
            _ => "-".to_owned(),
        };
        let found = [
            "反映内容",
            "*反映内容：",
            "body",
            "诉求内容",
            "联系电话（必填）",
            "社区",
            "工单号",
            "登记编号",
            "状态",
            "天气",
        ];
        let keys = found.map(of);
        assert_eq!(
            keys,
            [
                "body",
                "body",
                "body",
                "body",
                "person.phone",
                "place.community",
                "external_ref",
                "#",
                "status",
                "-"
            ]
        );
        let said = [("天气".to_owned(), "place.text".to_owned())];
        assert!(
            matches!(column(opinion, "天气", &said), Some(Column::Field(it)) if it.key == "place.text")
        );
        // What only steps set is not typed in.
        assert!(column(opinion, "主办单位", &[]).is_none());
        let donation = kind("donation").ok_or("no donation")?;
        let chosen = [("金额".to_owned(), "amount_fen".to_owned())];
        let chosen = column(donation, "金额", &chosen).map(|it| it.code());
        assert_eq!(chosen.as_deref(), Some("amount_fen"));
        let unit = |head| column(donation, head, &[]).map(|it| it.code());
        for (head, code) in [
            ("金额（分）", "amount_fen"),
            ("金额", "amount_fen:yuan"),
            ("金额（元）", "amount_fen:yuan"),
            ("金额（万元）", "amount_fen:wan"),
            ("amount_fen", "amount_fen"),
        ] {
            assert_eq!(unit(head).as_deref(), Some(code), "{head}");
        }
        assert!(matches!(
            column(
                donation,
                "金额（元）",
                &[("金额".to_owned(), "amount_fen".to_owned())]
            ),
            Some(Column::Yuan(_))
        ));
        Ok(())
    }

    #[test]
    fn what_offices_call_columns_and_write_in_cells_is_understood() -> Result<(), &'static str> {
        let found = |code: &str, head: &str| {
            let kind = kind(code)?;
            Some(column(kind, head, &[])?.code())
        };
        for (code, head, field) in [
            ("reception", "来访人次", "visitors_times"),
            ("reception", "参加代表", "deputies_present"),
            ("theme_activity", "参会代表", "deputies"),
            ("opinion", "诉求标题", "title"),
            ("opinion", "受理时间", "occurred_on"),
            ("opinion", "诉求类别", "category"),
            ("opinion", "来电人", "person.name"),
        ] {
            assert_eq!(found(code, head).as_deref(), Some(field), "{head}");
        }
        for (typed, number) in [
            ("12人次", Some(12)),
            ("１,２００ 户", Some(1_200)),
            ("12", Some(12)),
            ("约12人", None),
            ("12余人", None),
            ("人次", None),
        ] {
            assert_eq!(whole(typed), number, "{typed}");
        }
        let code = |kind_code: &str, key: &str, typed: &str| {
            let field = kind(kind_code)?.field(key)?;
            option(field.options(), typed).map(|it| it.code.clone())
        };
        for (kind, key, typed, meant) in [
            ("deputy", "level", "区人大代表", Some("district")),
            ("deputy", "level", "市级", Some("city")),
            ("deputy", "level", "镇人大代表", None),
            ("opinion", "category", "求助类", Some("help")),
            ("opinion", "category", "感谢", Some("thanks")),
            ("opinion", "resolution", "已解决一部分", None),
            ("opinion", "resolution", "已", None),
            ("opinion", "evaluation", "满意", Some("satisfied")),
        ] {
            assert_eq!(code(kind, key, typed).as_deref(), meant, "{typed}");
        }
        Ok(())
    }

    #[test]
    fn the_last_row_of_a_head_names_a_column_where_the_whole_does_not() -> Result<(), &'static str>
    {
        let reception = kind("reception").ok_or("no reception")?;
        let named = |heads: &[&str], said: &[(String, String)]| -> Vec<Option<String>> {
            let heads: Vec<_> = heads.iter().map(|head| (*head).to_owned()).collect();
            let columns = columns_of_heads(&heads, said, |head| column(reception, head, said));
            let codes = columns.into_iter().map(|it| Some(it?.code()));
            codes.collect()
        };
        let one = ["接待情况 日期", "接待情况 人次", "B列"];
        assert_eq!(named(&one, &[]), [Some("date".to_owned()), None, None]);
        // Of two that end alike none is taken for the other, and what was said holds.
        assert_eq!(
            named(&["接待情况 日期", "办理情况 日期"], &[]),
            [None, None]
        );
        let none = ("接待情况 日期".to_owned(), String::new());
        assert_eq!(named(&one, &[none]), [None, None, None]);
        let said = ("B列".to_owned(), "subject".to_owned());
        assert_eq!(named(&one, &[said])[2].as_deref(), Some("subject"));
        Ok(())
    }

    #[test]
    fn a_row_becomes_what_the_catalogue_reads_and_comes_back_as_it_was() -> Result<(), &'static str>
    {
        let opinion = kind("opinion").ok_or("no opinion")?;
        let heads = ["反映内容", "类别", "社区", "日期", "领域", "工单号"];
        let columns: Vec<_> = heads
            .iter()
            .map(|head| column(opinion, head, &[]))
            .collect();
        let cells = [
            "路灯不亮",
            "求助",
            "东社区",
            "2026年3月4日",
            "水电气暖",
            "A-1",
        ];
        let cells = cells.map(|text| sheets::Cell {
            text: text.into(),
            kind: sheets::Kind::Text,
        });
        let row = sheets::Row {
            number: 2,
            cells: cells.to_vec(),
            total: false,
            hidden: false,
        };
        let record = record(&columns, &row, "12345").map_err(|_| "refused")?;
        assert_eq!(record["category"], "help");
        assert_eq!(record["place"]["community"], "东社区");
        assert_eq!(record["occurred_on"], "2026-03-04");
        assert_eq!(
            record["external_ref"],
            json!([{ "system": "12345", "no": "A-1" }])
        );
        assert!(Catalogue::current().read(opinion, &record).is_ok());
        let exported = json!({ "fields": record });
        let shown =
            |at: usize| columns[at].map(|column| cell(opinion, column, (1, &exported)).shown());
        assert_eq!(shown(1).as_deref(), Some("求助"));
        assert_eq!(shown(3).as_deref(), Some("2026-03-04"));
        Ok(())
    }
}
