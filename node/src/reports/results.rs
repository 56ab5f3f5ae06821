//! R5 办理结果与满意度: how matters ended, and what people and deputies said of it. Attitude and result are never put together.

use std::collections::BTreeMap;

use lianxin_protocol::text;

use super::known::Step;
use super::quantities::{ANSWERED, Base, day_of};
use super::reply_time::replied_on;
use super::set::Set;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R5: Definition = Definition {
    id: "R5",
    kinds: &["opinion", "deputy_suggestion", "commitment", "result_class"],
    defines: &["ANS", "RATED", "INV", "satisfaction", "commitments"],
    fill,
};

/// Ratings that count as content, and as content with reservations.
const SATISFIED: [&str; 1] = ["satisfied"];
const BASICALLY: [&str; 2] = ["satisfied", "basically"];

fn by_choice(kind: &'static str, field: &'static str, code: &'static str, set: &Set<'_>) -> Table {
    let mut table = Table::new(code, &["item", "count"]);
    let options = lianxin_protocol::catalogue::Catalogue::current();
    let options = options.kind(kind).and_then(|kind| kind.field(field));
    let split = set.by(|row| vec![row.text(field).unwrap_or_default().to_owned()]);
    // In the order of the form; what has no choice is named last.
    let codes = options.map(|field| field.options().iter().map(|it| it.code.clone()).collect());
    let mut codes: Vec<String> = codes.unwrap_or_default();
    codes.extend(
        split
            .keys()
            .filter(|it| !it.is_empty() && !codes.contains(it))
            .cloned()
            .collect::<Vec<_>>(),
    );
    codes.push(String::new());
    for code in codes {
        let set = split.of(&code);
        if set.is_empty() {
            continue;
        }
        let item = match code.is_empty() {
            true => Cell::Word("not-said"),
            false => Cell::Choice(kind, field, code),
        };
        table.line([item, Cell::Count(set.count())]);
    }
    table
}

/// Suggestions by the class of their reply, in the order of its letters, each with what it means here. A class that no register explains is
/// named under the table.
fn classes(base: &Base<'_>, replied: &Set<'_>, out: &mut Tables) {
    let meanings = base.listed("result_class", &base.period);
    let meanings = meanings.0.iter().filter_map(|row| {
        let class = text::folded(row.text("class")?);
        Some((class, row.title.clone()?))
    });
    let meanings: BTreeMap<_, _> = meanings.collect();
    let mut table = Table::new("classes", &["class", "count", "meaning"]);
    let mut unexplained = Vec::new();
    for (class, set) in replied.by(|row| row.text("result_class").map(text::folded)) {
        let named = set.0.iter().find_map(|row| row.text("result_class"));
        let meaning = meanings.get(&class).cloned();
        if meaning.is_none() {
            unexplained.extend(named.map(str::to_owned));
        }
        table.line([
            Cell::text(named),
            Cell::Count(set.count()),
            Cell::text(meaning),
        ]);
    }
    let unclassed = replied.that(|row| row.text("result_class").is_none());
    if !unclassed.is_empty() {
        let count = Cell::Count(unclassed.count());
        table.line([Cell::Word("not-said"), count, Cell::None]);
    }
    out.add(table);
    let count = i64::try_from(unexplained.len()).unwrap_or(i64::MAX);
    out.note("no-class-definition", count, unexplained);
}

/// What became of answered matters; of those that were taken up again since, that they were.
fn resolutions(answered: &Set<'_>) -> Table {
    let stands = answered.at(&ANSWERED);
    let mut table = by_choice("opinion", "resolution", "resolutions", &stands);
    let reopened = answered.that(|row| !row.stands(&ANSWERED));
    if !reopened.is_empty() {
        table.line([Cell::Word("taken-up-again"), Cell::Count(reopened.count())]);
    }
    table
}

/// How often something was handled again in a period.
fn again(base: &Base<'_>) -> Table {
    let period = &base.period;
    let times = |kind: &str, event: &str| {
        let is_it = |it: &Step| it.event == event && period.has(&it.day());
        let all = base.all(kind);
        all.that(|row| row.steps.iter().any(is_it)).count()
    };
    let mut table = Table::new("again", &["item", "count"]);
    for (item, kind, event) in [
        ("opinions", "opinion", "redo"),
        ("suggestions", "deputy_suggestion", "rehandle"),
    ] {
        table.line([Cell::Word(item), Cell::Count(times(kind, event))]);
    }
    table
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let period = &base.period;
    let is_in = |day: Option<String>| day.is_some_and(|day| period.has(&day));
    // Also what was taken up again since: then it has an answer, and no result.
    let answered = base.mains().that(|row| !row.stands(&["withdrawn"]));
    let answered =
        answered.that(|row| is_in(replied_on(row)) || is_in(day_of(row, &["answer_on_spot"])));
    let replied = base
        .all("deputy_suggestion")
        .that(|row| is_in(replied_on(row)));
    out.total("ANS", answered.count());
    out.add(resolutions(&answered));
    classes(base, &replied, out);
    out.add(by_choice(
        "deputy_suggestion",
        "result_type",
        "result-types",
        &replied,
    ));
    let rated = base
        .mains()
        .that(|row| is_in(day_of(row, &["rate"])) && row.text("evaluation").is_some());
    let reachable = answered.that(|row| {
        row.text("identity_mode")
            .is_some_and(|it| it != "anonymous")
            || row.text("reply_wanted").is_some_and(|it| it != "none")
    });
    let rated_back = reachable.that(|row| row.text("evaluation").is_some());
    let suggestions = base
        .all("deputy_suggestion")
        .that(|row| is_in(day_of(row, &["rate"])));
    let mut table = Table::new("satisfaction", &["item", "ratio"]);
    let ratio = |set: &Set<'_>, field: &str, values: &[&str]| {
        Cell::Ratio(set.having(field, values).count(), set.count())
    };
    table.line([
        Cell::Word("satisfied"),
        ratio(&rated, "evaluation", &SATISFIED),
    ]);
    table.line([
        Cell::Word("basically"),
        ratio(&rated, "evaluation", &BASICALLY),
    ]);
    table.line([
        Cell::Word("rated-back"),
        Cell::Ratio(rated_back.count(), reachable.count()),
    ]);
    for (field, one, both) in [
        (
            "attitude_rating",
            "attitude-satisfied",
            "attitude-basically",
        ),
        ("result_rating", "result-satisfied", "result-basically"),
    ] {
        table.line([Cell::Word(one), ratio(&suggestions, field, &SATISFIED)]);
        table.line([Cell::Word(both), ratio(&suggestions, field, &BASICALLY)]);
    }
    let promised = base.all("commitment").dated("due", period);
    let kept = promised.that(|row| {
        row.day("done_on")
            .zip(row.day("due"))
            .is_some_and(|(done, due)| done <= due)
    });
    table.line([
        Cell::Word("commitments"),
        Cell::Ratio(kept.count(), promised.count()),
    ]);
    out.add(table);
    out.add(again(base));
    out.total("RATED", rated.count());
    out.total("INV", reachable.count());
    out.total("satisfied", rated.having("evaluation", &SATISFIED).count());
}
