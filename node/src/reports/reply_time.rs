//! R3 答复时效: how long it took to accept, to answer and to tell; and how much was answered in time.
//!
//! Times are Beijing days, the first not counted. What was recorded by a clock that is doubted, and what ends before it begins, is left out
//! and said so.

use super::drawing::Drawing;
use super::known::Row;
use super::quantities::{Base, Times, day_of, days};
use super::set::{Period, Set};
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R3: Definition = Definition {
    id: "R3",
    kinds: &["opinion", "deputy_suggestion"],
    defines: &[
        "T_acc",
        "T_reply",
        "T_inform",
        "ONTIME",
        "ONTIME-first",
        "P90",
    ],
    fill,
};

/// The steps with which an opinion is answered.
pub(super) const REPLIES: [&str; 2] = ["approve", "answer_along"];

/// When an opinion was first answered by a unit, or a suggestion as its field says.
pub(super) fn replied_on(row: &Row) -> Option<String> {
    match row.kind.code.as_str() {
        "deputy_suggestion" => row.day("replied_on").filter(|_| row.took("reply")),
        _ => day_of(row, &REPLIES),
    }
}

/// The day on which a time to reply begins.
fn began_on(row: &Row) -> Option<String> {
    match row.kind.code.as_str() {
        "deputy_suggestion" => row.day("handed_over_on"),
        _ => day_of(row, &["register"]),
    }
}

/// The due date before any extension.
fn first_due(row: &Row) -> Option<String> {
    let mut steps = row.steps.iter().filter(|step| step.event != "extend");
    let first = steps.find_map(|step| step.date("due_on"));
    first.map(str::to_owned).or_else(|| row.day("due_on"))
}

/// How long something took, where both days are known and the clock is not doubted.
type Took = fn(&Base<'_>, &Row) -> Option<i64>;

const TIMES: [(&str, &str, Took); 5] = [
    ("t-acc", "accept", |_, row| {
        days(&day_of(row, &["register"])?, &day_of(row, &["accept"])?)
    }),
    ("t-reply", "reply", |_, row| {
        days(&began_on(row)?, &replied_on(row)?)
    }),
    ("t-reply-working", "reply", |base, row| {
        let calendar = &base.known.calendar;
        calendar.worked(&began_on(row)?, &replied_on(row)?)
    }),
    ("t-inform", "inform", |_, row| {
        days(&replied_on(row)?, &day_of(row, &["inform"])?)
    }),
    ("t-suggestion", "suggestion", |_, row| {
        days(&began_on(row)?, &replied_on(row)?)
    }),
];

/// Of these, those that are told apart by unit, topic and site.
const SPLIT: [&str; 3] = ["t-acc", "t-reply", "t-inform"];

/// The records that such a time is measured over: what came to its end in the period.
fn ended<'a>(base: &Base<'a>, what: &str, period: &Period) -> Set<'a> {
    let opinions = base.mains();
    let is_in = |day: Option<String>| day.is_some_and(|day| period.has(&day));
    match what {
        "accept" => opinions.that(|row| is_in(day_of(row, &["accept"]))),
        "inform" => {
            opinions.that(|row| is_in(day_of(row, &["inform"])) && replied_on(row).is_some())
        }
        "suggestion" => base
            .all("deputy_suggestion")
            .that(|row| is_in(replied_on(row))),
        _ => opinions.that(|row| is_in(replied_on(row))),
    }
}

const COLUMNS: [&str; 7] = ["item", "of", "n", "mean", "median", "P90", "max"];

fn line(table: &mut Table, item: &'static str, of: Cell, times: &Times<'_>) {
    let Some(spread) = times.spread else {
        return;
    };
    table.line([
        Cell::Word(item),
        of,
        Cell::Count(times.sure.count()),
        Cell::Tenths(spread.mean),
        Cell::Tenths(spread.median),
        Cell::Tenths(spread.p90),
        Cell::Tenths(spread.max),
    ]);
}

/// What records are told apart by: a head, and under it of which thing each is.
type By = (&'static str, fn(&Base<'_>, &Row) -> Option<String>);

const BY: [By; 3] = [
    ("by-unit", |base, row| {
        row.text("lead").map(|it| base.known.call(it, &["org"]))
    }),
    ("by-topic", |_, row| row.text("topic").map(str::to_owned)),
    ("by-site", |base, row| {
        base.known.site_of(row).map(|it| it.name.clone())
    }),
];

fn fill(base: &Base<'_>, out: &mut Tables) {
    let period = &base.period;
    let mut all = Table::new("times", &COLUMNS);
    let measured = TIMES.map(|(item, ends, took)| {
        let set = ended(base, ends, period);
        let times = Times::of(&set, |row| took(base, row));
        line(&mut all, item, Cell::Word("all"), &times);
        times
    });
    out.add(all);
    let mut split = Table::new("reply-by", &COLUMNS);
    for (head, of) in BY {
        split.head(head);
        for (item, ends, took) in TIMES.iter().filter(|(item, ..)| SPLIT.contains(item)) {
            for (name, set) in ended(base, ends, period).by(|row| of(base, row)) {
                let name = match head {
                    "by-topic" => Cell::Choice("opinion", "topic", name),
                    _ => Cell::Text(name),
                };
                let times = Times::of(&set, |row| took(base, row));
                line(&mut split, item, name, &times);
            }
        }
    }
    out.add(split);
    let replied = ended(base, "reply", period);
    let due = due(base, "opinion");
    out.total(
        "ONTIME",
        due.that(|row| is_in_time(row, row.day("due_on"))).count(),
    );
    out.total("DUE", due.count());
    out.add(in_time(base));
    let beside = |row: &&Row| days(&row.day("due_on")?, &replied_on(row)?);
    let sure = replied.that(|row| !row.clock_is_suspect());
    out.draw(Drawing::Days {
        code: "beside-due",
        days: sure.0.iter().filter_map(beside).collect(),
    });
    Times::note(&measured, out);
}

/// Cases and suggestions that were due in the period.
fn due<'a>(base: &Base<'a>, kind: &str) -> Set<'a> {
    let all = match kind {
        "opinion" => base.mains(),
        kind => base.all(kind),
    };
    let due = all.that(|row| !row.stands(&["withdrawn"]));
    due.dated("due_on", &base.period)
}

fn is_in_time(row: &Row, due: Option<String>) -> bool {
    replied_on(row)
        .zip(due)
        .is_some_and(|(replied, due)| replied <= due)
}

fn in_time(base: &Base<'_>) -> Table {
    let mut table = Table::new(
        "in-time",
        &["item", "in_time", "in_time_first", "over_done", "extended"],
    );
    for (word, kind) in [
        ("opinions", "opinion"),
        ("suggestions", "deputy_suggestion"),
    ] {
        let due = due(base, kind);
        let in_time = due.that(|row| is_in_time(row, row.day("due_on")));
        let at_first = due.that(|row| is_in_time(row, first_due(row)));
        let late = due.that(|row| replied_on(row).is_some() && !is_in_time(row, row.day("due_on")));
        table.line([
            Cell::Word(word),
            Cell::Ratio(in_time.count(), due.count()),
            Cell::Ratio(at_first.count(), due.count()),
            Cell::Count(late.count()),
            Cell::Count(due.that(|row| row.took("extend")).count()),
        ]);
    }
    table
}
