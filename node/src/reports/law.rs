//! What R7 to R9 have in common: the comments and items of a consultation.

use std::collections::BTreeSet;

use lianxin_protocol::log::RecordId;

use super::known::Row;
use super::quantities::Base;
use super::set::Set;

/// The kinds that reports on draft laws read.
pub(super) const KINDS: [&str; 4] = [
    "legis_consultation",
    "legis_comment",
    "legis_item",
    "draft_article",
];
/// Statuses of an item that was reported up.
pub(super) const SUBMITTED: [&str; 3] = ["submitted", "fed_back", "notified"];

/// Comments that were collected, withdrawn and rejected ones too.
pub(super) fn comments<'a>(base: &Base<'a>) -> Set<'a> {
    base.all("legis_comment").that(|row| row.took("collect"))
}

/// The consultation that a comment, an item or an article is of.
pub(super) fn consultation_of(base: &Base<'_>, row: &Row) -> Option<RecordId> {
    base.known
        .named(row.text("consultation")?, &["legis_consultation"])
}

/// Consultations of a period: received in it, or with a comment from it. What belongs to one is counted whole.
pub(super) fn consultations<'a>(base: &Base<'a>) -> Set<'a> {
    let spoken = comments(base).during(&base.period).0.into_iter();
    let spoken: BTreeSet<_> = spoken
        .filter_map(|row| consultation_of(base, row))
        .collect();
    base.all("legis_consultation").that(|row| {
        let received = row.day("received_on");
        spoken.contains(&row.id) || received.is_some_and(|day| base.period.has(&day))
    })
}

/// Records of a set that are of one consultation.
pub(super) fn of<'a>(base: &Base<'_>, set: &Set<'a>, consultation: &Row) -> Set<'a> {
    set.that(|row| consultation_of(base, row) == Some(consultation.id))
}

/// The comments that an item was made from.
pub(super) fn sources(base: &Base<'_>, item: &Row) -> BTreeSet<RecordId> {
    let sources = item.items("sources");
    sources
        .filter_map(|given| base.known.named(given, &["legis_comment"]))
        .collect()
}

/// What became of an item; what nobody has said is 未反馈, which is never 未采纳.
pub(super) fn result(row: &Row) -> &str {
    let result = row
        .text("adoption.result")
        .filter(|_| row.stands(&["fed_back", "notified"]));
    result.unwrap_or("no_feedback")
}
