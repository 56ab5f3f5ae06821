//! R4 超期与临期清单: what is overdue, what is due within a week, what nobody has signed for, what came back; and how long suggestions have.
//! It is of the day of the cut-off; the period asked for does not narrow it.

use super::known::Row;
use super::quantities::{Base, IN_HAND, SUGGESTION_IN_HAND, days};
use super::set::Set;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R4: Definition = Definition {
    id: "R4",
    kinds: &["opinion", "deputy_suggestion"],
    defines: &["OVER_open", "due-soon", "unsigned"],
    fill,
};

/// What is due in so many days is named beforehand.
const SOON_DAYS: i64 = 7;

/// Heads over days overdue, the longest first.
const BANDS: [(&str, i64, i64); 3] = [
    ("over-30", 31, i64::MAX),
    ("over-8", 8, 30),
    ("over-1", 1, 7),
];

const COLUMNS: [&str; 6] = ["record", "kind", "status", "unit", "due_on", "days_over"];

fn unit(row: &Row) -> Option<&str> {
    row.text("lead").or_else(|| row.text("lead_unit"))
}

fn line(base: &Base<'_>, table: &mut Table, row: &Row, days_over: Option<i64>) {
    let kind = match row.kind.code.as_str() {
        "opinion" => "opinion",
        _ => "deputy_suggestion",
    };
    table.line([
        Cell::record(row),
        Cell::Word(kind),
        Cell::Status(kind, row.status.clone()),
        Cell::text(unit(row).map(|unit| base.known.call(unit, &["org"]))),
        Cell::text(row.day("due_on")),
        days_over.map_or(Cell::None, Cell::Number),
    ]);
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let today = base.today();
    let mut open = base.mains().at(&IN_HAND);
    open.0
        .extend(base.all("deputy_suggestion").at(&SUGGESTION_IN_HAND).0);
    let over = |row: &Row| days(&row.day("due_on")?, &today);
    // By due date, and those of one day in the order of their ids.
    open.0.sort_by_key(|row| (row.day("due_on"), row.id));
    let mut table = Table::new("overdue", &COLUMNS);
    let mut all = Set::default();
    for (head, from, to) in BANDS {
        let band = open.that(|row| over(row).is_some_and(|days| (from..=to).contains(&days)));
        if !band.is_empty() {
            table.head(head);
        }
        for row in &band.0 {
            line(base, &mut table, row, over(row));
        }
        out.total(head, band.count());
        all.0.extend(band.0);
    }
    out.total("OVER_open", all.count());
    let soon = open.that(|row| over(row).is_some_and(|days| (-SOON_DAYS..=0).contains(&days)));
    let unsigned = open.at(&["dispatched"]);
    let unsigned = unsigned.that(|row| row.day("sign_by").is_some_and(|day| day < today));
    let returned = open.at(&["return_pending", "returned"]);
    for (head, set) in [
        ("due-soon", &soon),
        ("unsigned", &unsigned),
        ("return_pending", &returned),
    ] {
        if !set.is_empty() {
            table.head(head);
        }
        for row in &set.0 {
            line(base, &mut table, row, over(row));
        }
        out.total(head, set.count());
    }
    out.add(table);
    let mut countdown = Table::new(
        "countdown",
        &[
            "record",
            "status",
            "unit",
            "handed_over_on",
            "due_on",
            "new_due",
            "days_left",
        ],
    );
    for row in &base.all("deputy_suggestion").at(&SUGGESTION_IN_HAND).0 {
        countdown.line([
            Cell::record(row),
            Cell::Status("deputy_suggestion", row.status.clone()),
            Cell::text(unit(row).map(|unit| base.known.call(unit, &["org"]))),
            Cell::text(row.day("handed_over_on")),
            Cell::text(row.day("due_on")),
            Cell::text(row.day("extension.new_due")),
            over(row).map_or(Cell::None, |days| Cell::Number(-days)),
        ]);
    }
    out.add(countdown);
}
