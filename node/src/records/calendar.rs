//! The days off that are known here: those of this release, and those that the network has published as records of the kind that
//! the catalogue marks for it.
//!
//! What cannot be read as a year or a day is passed over: such a year is estimated by weekends, and said to be.

use lianxin_protocol::catalogue::Catalogue;
use lianxin_protocol::deadline::Calendar;
use rusqlite::Connection;
use serde_json::Value;

use super::{Filter, list};
use crate::error::Result;

/// Years that a network publishes; the newest count.
const YEARS: usize = 100;

/// All that is known.
///
/// # Errors
/// The store cannot be read.
pub fn known(connection: &Connection) -> Result<Calendar> {
    let mut calendar = Calendar::standard().clone();
    for kind in Catalogue::standard().kinds() {
        let Some(keys) = &kind.calendar else { continue };
        let filter = Filter {
            kind: Some(kind.code.clone()),
            limit: YEARS,
            ..Filter::default()
        };
        // The newest last: it goes over what was published before.
        for row in list(connection, &filter)?.iter().rev() {
            let days = |key: &str| {
                let items = row.facts.get(key).and_then(Value::as_array);
                let items = items.into_iter().flatten().filter_map(Value::as_str);
                items.filter_map(|day| day.parse().ok()).collect()
            };
            let year = row.facts.get(&keys.year).and_then(Value::as_str);
            if let Some(year) = year.and_then(|year| year.parse().ok()) {
                calendar.publish(year, days(&keys.off), days(&keys.work));
            }
        }
    }
    Ok(calendar)
}
