//! R18 打印单据: how many of each form there are to print of a period. The forms themselves are those of a record: its slip, its letter, its paper.

use super::known::Row;
use super::quantities::{Base, day_of};
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R18: Definition = Definition {
    id: "R18",
    kinds: &[
        "opinion",
        "assignment",
        "legis_consultation",
        "reception",
        "visit",
        "contact_record",
        "meeting",
        "inspection",
    ],
    defines: &["printed"],
    fill,
};

fn fill(base: &Base<'_>, out: &mut Tables) {
    let period = &base.period;
    let during = |kind| base.all(kind).during(period);
    let answered = |row: &Row| {
        let day = day_of(row, &["approve", "answer_on_spot"]);
        day.is_some_and(|day| period.has(&day))
    };
    let forms = [
        ("paper-slip", base.registered(period)),
        (
            "paper-assignment",
            base.all("assignment").dated("issued_on", period),
        ),
        ("paper-answer", base.all("opinion").that(answered)),
        ("paper-ask", during("legis_consultation")),
        ("paper-summary", during("legis_consultation")),
        ("paper-reception", during("reception")),
        ("paper-visit", during("visit")),
        ("paper-contact", during("contact_record")),
        ("paper-meeting", during("meeting")),
        ("paper-inspection", during("inspection")),
    ];
    let mut table = Table::new("printed", &["item", "count"]);
    for (form, set) in forms {
        table.line([Cell::Word(form), Cell::Count(set.count())]);
    }
    out.add(table);
}
