//! By what dates are computed here: the days off and the lengths of this release, and over them what the network has published as
//! records of the kinds that the catalogue marks for it.
//!
//! Only what stands in the space of such a kind counts, where the sub-district alone writes: a station that writes one into its own
//! space moves nobody's dates.
//!
//! What cannot be read as a year, a day or a length is passed over: such a year is estimated by weekends, and said to be.

use lianxin_protocol::catalogue::{CalendarKeys, Catalogue, TermKeys, Terms};
use lianxin_protocol::deadline::Length;
use lianxin_protocol::space::Space;
use rusqlite::Connection;
use serde_json::Value;

use super::{Filter, Listed, list};
use crate::error::Result;
use crate::journal::Overview;

/// Records of such a kind that a network publishes; the newest count.
const MOST: usize = 200;

/// All that is known.
///
/// # Errors
/// The store cannot be read.
pub fn known(connection: &Connection, overview: &Overview) -> Result<Terms> {
    let bulletin = Space::Bulletin.id(&overview.identity().network);
    let mut terms = Terms::default();
    let kinds = Catalogue::current().kinds();
    for kind in kinds.filter(|kind| kind.calendar.is_some() || kind.terms.is_some()) {
        let filter = Filter {
            kind: Some(kind.code.clone()),
            held: Some(false),
            stands: true,
            present: true,
            limit: MOST,
            ..Filter::default()
        };
        // The newest last: a length goes over what was published before. What somebody tries out moves nobody's dates.
        let rows = list(connection, &filter)?;
        let counts = |row: &&Listed| {
            row.space == bulletin && row.facts.get("test_data") != Some(&Value::Bool(true))
        };
        for row in rows.iter().rev().filter(counts) {
            if let Some(keys) = &kind.calendar {
                take_days(&mut terms, row, keys);
            }
            if let Some(keys) = &kind.terms {
                take_length(&mut terms, row, keys);
            }
        }
    }
    Ok(terms)
}

fn take_days(terms: &mut Terms, row: &Listed, keys: &CalendarKeys) {
    let days = |key: &str| {
        let items = row.facts.get(key).and_then(Value::as_array);
        let items = items.into_iter().flatten().filter_map(Value::as_str);
        items.filter_map(|day| day.parse().ok()).collect()
    };
    let year = row.facts.get(&keys.year).and_then(Value::as_i64);
    if let Some(year) = year.and_then(|year| i16::try_from(year).ok()) {
        let (off, work) = (days(&keys.off), days(&keys.work));
        terms.calendar.publish(year, off, work);
        if row.facts.get(&keys.weekends_stand) == Some(&Value::Bool(true)) {
            terms.calendar.let_weekends_stand(year);
        }
    }
}

fn take_length(terms: &mut Terms, row: &Listed, keys: &TermKeys) {
    let text = |key: &str| row.facts.get(key).and_then(Value::as_str);
    let number = row.facts.get(&keys.number).and_then(Value::as_u64);
    let number = number.and_then(|number| u16::try_from(number).ok());
    let length = number.and_then(|number| Length::of(number, text(&keys.unit)?));
    if let (Some(rule), Some(length)) = (text(&keys.rule), length) {
        terms.rules.set(&rule.to_uppercase(), length);
    }
}
