//! What waits for a step: the records of one kind in one status, the most pressing first.
//!
//! How pressing a record is stands in its row as one number, [`pressing`], as long as something is to be done about it: most
//! records are neither urgent nor due and have none, so that the index of those that have one is short, and what is done is not
//! in it however much there is.

use std::collections::BTreeMap;
use std::ops::Range;

use lianxin_protocol::catalogue::{Catalogue, Fact, FieldType, Kind, Status};
use lianxin_protocol::space::SpaceId;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Map, Value};

use super::indexed;
use super::query::{LISTED, Listed, collect, listed};
use super::sight::Veil;
use crate::clock;
use crate::error::Result;

/// Days of one degree of urgency: more than there are until the year 2199.
const DEGREE: i64 = 100_000;
/// Stands for no date, behind all that have one.
const NO_DATE: i64 = DEGREE - 1;

/// The value of a field in nested facts.
fn held<'a>(facts: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    let value = match key.split_once('.') {
        None => facts.get(key),
        Some((group, name)) => facts.get(group)?.get(name),
    };
    value?.as_str()
}

/// The usual degree of urgency, in every kind: what is more urgent has a smaller one.
const USUAL: i64 = 9;

/// How urgent a record is.
fn degree(kind: &Kind, facts: &Map<String, Value>) -> i64 {
    let field = kind.urgency.as_ref().and_then(|key| kind.field(key));
    let Some(FieldType::Enum { options }) = field.map(|field| &field.kind) else {
        return USUAL;
    };
    let told = kind.urgency.as_ref().and_then(|key| held(facts, key));
    let at = options.iter().position(|it| Some(it.code.as_str()) == told);
    let at = i64::try_from(at.unwrap_or_default()).unwrap_or_default();
    USUAL - at.min(USUAL)
}

/// How pressing a record is in its status: the smaller the sooner, by urgency and then by the day on which it is due. None for
/// what is neither urgent nor due, or done.
#[must_use]
pub fn pressing(kind: &str, status: &str, facts: &Map<String, Value>) -> Option<i64> {
    let kind = Catalogue::current().kind(kind)?;
    if kind.is_done(status, |key| held(facts, key).is_some()) {
        return None;
    }
    let degree = degree(kind, facts);
    let due = kind.due.as_ref().and_then(|key| held(facts, key));
    let due = due.and_then(clock::day_number);
    if degree == USUAL && due.is_none() {
        return None;
    }
    Some(degree * DEGREE + due.map_or(NO_DATE, |day| day.clamp(0, NO_DATE - 1)))
}

/// The order in which what waits is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The most pressing first, then those that came to the hub first.
    #[default]
    Pressing,
    /// Those that came to the hub last first.
    Newest,
}

/// Records that wait for the same step.
#[derive(Clone, Debug)]
pub struct Waiting {
    kind: &'static Kind,
    status: &'static Status,
    /// Those of one space alone.
    pub space: Option<SpaceId>,
    /// Only those that have these values in fields that the catalogue marks as indexed.
    pub values: BTreeMap<String, String>,
    /// Their order.
    pub order: Order,
    /// Today, as fields hold dates: what waits for a day is not here before it.
    today: String,
    /// Only those that are more urgent than usual.
    pub urgent: bool,
    /// Only those that are due from a day on and before another, both counted from today.
    pub due: Option<(Option<i64>, i64)>,
    /// Only those that should have left this status before today.
    pub slow: bool,
}

impl Waiting {
    /// All of a kind in a folded status.
    #[must_use]
    pub fn of(kind: &'static Kind, status: &'static Status, now_ms: u64) -> Self {
        Self {
            kind,
            status,
            space: None,
            values: BTreeMap::new(),
            order: Order::default(),
            today: clock::Beijing::of(now_ms).iso_date(),
            urgent: false,
            due: None,
            slow: false,
        }
    }

    /// How pressing what is asked for is, in all degrees of urgency.
    fn ranges(&self) -> Option<Vec<Range<i64>>> {
        if !self.urgent && self.due.is_none() {
            return None;
        }
        let today = clock::day_number(&self.today).unwrap_or_default();
        let day = |it: i64| (today + it).clamp(0, NO_DATE - 1);
        let degrees = 0..if self.urgent { USUAL } else { USUAL + 1 };
        let ranges = degrees.map(|degree| {
            let first = degree * DEGREE;
            match self.due {
                None => first..first + DEGREE,
                Some((from, before)) => first + from.map_or(0, day)..first + day(before),
            }
        });
        Some(ranges.collect())
    }

    /// The statement behind `SELECT … FROM records`, with its values: nothing if none can be meant.
    fn sql(
        &self,
        connection: &Connection,
        pressing: Option<bool>,
    ) -> Result<Option<(String, Vec<SqlValue>)>> {
        let mut values: Vec<SqlValue> = vec![
            self.kind.code.clone().into(),
            self.status.code.clone().into(),
        ];
        let mut place = |value: SqlValue| {
            values.push(value);
            format!("?{}", values.len())
        };
        let mut asked = vec!["records.kind = ?1 AND status = ?2 AND held IS NULL".to_owned()];
        if let Some(space) = &self.space {
            asked.push(format!("space = {}", place(space.0.to_vec().into())));
        }
        let Some(wanted) = indexed::wanted(connection, self.kind, &self.values)? else {
            return Ok(None);
        };
        for wanted in wanted {
            let field = place(wanted.field.into());
            let spellings: Vec<_> = wanted
                .spellings
                .into_iter()
                .map(|it| place(it.into()))
                .collect();
            asked.push(format!(
                "EXISTS (SELECT 1 FROM indexed_fields AS it WHERE it.kind = ?1 AND it.field = {field}
                     AND it.value IN ({}) AND it.arrived = records.arrived AND it.id = records.record)",
                spellings.join(", ")
            ));
        }
        if self.slow {
            let Some(key) = &self.status.by else {
                return Ok(None);
            };
            let path = place(format!("$.{key}").into());
            let today = place(self.today.clone().into());
            asked.push(format!(
                "json_extract(CAST(unpacked(facts) AS TEXT), {path}) < {today}"
            ));
        }
        if let Some(key) = &self.status.next_on {
            // Of what waits for a day there is little: such a kind is published and not received.
            let path = place(format!("$.{key}").into());
            let today = place(self.today.clone().into());
            asked.push(format!(
                "coalesce(json_extract(CAST(unpacked(facts) AS TEXT), {path}), '') <= {today}"
            ));
        }
        let ranges = self.ranges();
        if let Some(ranges) = &ranges {
            let ranges: Vec<_> = ranges
                .iter()
                .map(|range| format!("pressing >= {} AND pressing < {}", range.start, range.end))
                .collect();
            asked.push(format!("({})", ranges.join(" OR ")));
        }
        match pressing {
            Some(true) => asked.push("pressing IS NOT NULL".to_owned()),
            Some(false) => asked.push("pressing IS NULL".to_owned()),
            None => {}
        }
        let index = if pressing == Some(true) || ranges.is_some() {
            "records_pressing"
        } else {
            "records_status"
        };
        let sql = format!(
            "FROM records INDEXED BY {index} WHERE {}",
            asked.join(" AND ")
        );
        Ok(Some((sql, values)))
    }

    /// The first of them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn first(&self, connection: &Connection, most: usize) -> Result<Vec<Listed>> {
        let runs: &[(Option<bool>, &str)] = match (self.order, self.ranges()) {
            (Order::Newest, _) => &[(None, "records.arrived DESC, records.record DESC")],
            (Order::Pressing, Some(_)) => {
                &[(Some(true), "pressing, records.arrived, records.record")]
            }
            (Order::Pressing, None) => &[
                (Some(true), "pressing, records.arrived, records.record"),
                (Some(false), "records.arrived, records.record"),
            ],
        };
        let mut found: Vec<Listed> = Vec::new();
        for (pressing, order) in runs {
            let Some((sql, values)) = self.sql(connection, *pressing)? else {
                break;
            };
            let left = most - found.len();
            let sql = format!("SELECT {LISTED} {sql} ORDER BY {order} LIMIT {left}");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), listed)?;
            found.extend(collect(connection, rows)?);
            if found.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    /// How many there are. All of a status are counted already; what else is asked for is looked at.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn count(&self, connection: &Connection) -> Result<u64> {
        let whole = self.values.is_empty() && self.ranges().is_none() && !self.slow;
        if whole && self.status.next_on.is_none() {
            let place = (self.kind.code.as_str(), self.status.code.as_str());
            return super::count(connection, place, self.space.as_ref());
        }
        let Some((sql, values)) = self.sql(connection, None)? else {
            return Ok(0);
        };
        let mut statement = connection.prepare_cached(&format!("SELECT count(*) {sql}"))?;
        Ok(statement.query_row(params_from_iter(values), |row| row.get(0))?)
    }
}

/// Whether the usual urgency of a kind is what a record has.
#[must_use]
fn is_usual(kind: &Kind, facts: &Map<String, Value>) -> bool {
    let usual = kind.urgency.as_ref().and_then(|key| kind.field(key));
    let usual = usual
        .and_then(|field| field.default.as_ref())
        .and_then(Fact::as_str);
    let told = kind.urgency.as_ref().and_then(|key| held(facts, key));
    told.is_none() || told == usual
}

impl Listed {
    /// Whether it is not urgent, as far as that is shown.
    #[must_use]
    pub fn is_usual(&self, kind: &Kind) -> bool {
        self.veil == Veil::All || is_usual(kind, &self.facts)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: &str, facts: &Value) -> Option<i64> {
        pressing(
            "opinion",
            status,
            &facts.as_object().cloned().unwrap_or_default(),
        )
    }

    #[test]
    fn what_is_urgent_goes_first_and_then_what_is_due_first() {
        let plain = json!({ "urgency": "normal" });
        let due = |day: &str| json!({ "urgency": "normal", "due_on": day });
        let urgent = json!({ "urgency": "urgent" });
        let urgent_due = json!({ "urgency": "urgent", "due_on": "2026-12-31" });
        let referred = json!({ "urgency": "emergency_referred" });
        assert_eq!(of("registered", &plain), None);
        let order = [
            of("registered", &referred),
            of("registered", &urgent_due),
            of("registered", &urgent),
            of("registered", &due("2026-11-01")),
            of("registered", &due("2026-11-02")),
        ];
        assert!(order.is_sorted() && order.iter().all(Option::is_some));
        // What is done presses no more: told, closed, or only to be told of.
        for done in ["answered", "informed", "closed", "withdrawn"] {
            assert_eq!(of(done, &urgent_due), None, "{done}");
        }
        assert!(of("in_progress", &urgent_due).is_some());
        // What is no date, and a date that nobody lives to see.
        assert_eq!(of("registered", &due("soon")), None);
        assert!(
            of("registered", &due("9999-12-31")) < of("registered", &due("")).or(Some(i64::MAX))
        );
        assert_eq!(pressing("unheard_of", "registered", &Map::new()), None);
    }
}
