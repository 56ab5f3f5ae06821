//! Issued reports 定稿: a report as it was shown, kept as a record, so that it prints for ever as it was issued. What has come since stands
//! beside it, and never in it (DOMAIN 12.1.2).
//!
//! It is kept in words, not in figures: a later version may say things otherwise, and must not say this one anew. The words are JSON in pieces that
//! fit parts, in the order of their places.

use std::collections::BTreeMap;

use lianxin_protocol::catalogue::{Catalogue, Draft, Fact};
use rusqlite::Connection;
use serde_json::Value;

use super::shown::{Shown, shown_in};
use super::{Asked, DEFINITIONS, Report};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};
use crate::records::save::{self, Author, Saved};
use crate::records::{self, Listed, pieces};
use crate::words::Lang;

/// The kind of an issued report.
pub const KIND: &str = "report_snapshot";

/// Issues a report, in Chinese.
///
/// # Errors
/// [`Code::RoleRefused`] for whoever is not of the sub-district, [`Code::TooLarge`] for a report that nobody would print, and as a save.
pub fn issue(
    connection: &Connection,
    journal: &mut Journal,
    report: &Report,
    author: &Author,
) -> Result<Saved> {
    author.actor.may_issue()?;
    if !report.asked.is_open && report.asked.as_of_ms > author.now_ms {
        let message = "a report is not issued with a cut-off that is still to come";
        return Err(Error::new(Code::BadPeriod, message));
    }
    let missing = || Error::new(Code::Internal, "a kind of the catalogue is missing");
    let kind = Catalogue::current().kind(KIND).ok_or_else(missing)?;
    let shown = shown_in(report, Lang::Zh);
    let unwritable = |error| Error::because(Code::Internal, "a report cannot be kept", error);
    let text = serde_json::to_string(&shown).map_err(unwritable)?;
    let too_long = |_| {
        let message = "the report is too long to be issued: choose a shorter period";
        Error::new(Code::TooLarge, message)
    };
    let nested = pieces::of(&text).map_err(too_long)?;
    let asked = &report.asked;
    let fact = |key: &str, value: &str| (key.to_owned(), Some(Fact::Str(value.to_owned())));
    let draft = Draft {
        facts: BTreeMap::from([
            fact("report", &asked.report),
            fact("title", &shown.title),
            fact("from", &asked.from),
            fact("to", &asked.to),
            fact("as_of", &clock::rfc3339(asked.as_of_ms)),
            (
                "definitions".to_owned(),
                Some(Fact::Int(i64::from(DEFINITIONS))),
            ),
        ]),
        texts: BTreeMap::new(),
        nested,
    };
    save::by_program(connection, journal, (kind, &draft), author)
}

/// What an issued report says, as it was issued; nothing while a piece of it is not here.
///
/// # Errors
/// The store cannot be read.
pub fn read(connection: &Connection, books: &mut Books, issued: &Listed) -> Result<Option<Shown>> {
    let text = pieces::read(connection, books, issued)?;
    Ok(serde_json::from_str(&text).ok())
}

/// The issued report of the same number and period that has the latest cut-off, and that cut-off, in Unix milliseconds.
///
/// # Errors
/// The store cannot be read.
pub fn last(connection: &Connection, asked: &Asked) -> Result<Option<(Listed, u64)>> {
    /// Reports that are looked at: the newest.
    const MOST: usize = 500;
    let filter = records::Filter {
        kind: Some(KIND.to_owned()),
        status: Some("issued".to_owned()),
        held: Some(false),
        values: BTreeMap::from([
            ("report".to_owned(), asked.report.clone()),
            ("to".to_owned(), asked.to.clone()),
        ]),
        limit: MOST,
        ..records::Filter::default()
    };
    let of_period = |row: Listed| {
        let text = |key: &str| row.fact(key).and_then(Value::as_str);
        let same = text("from") == Some(&asked.from);
        let as_of = text("as_of").and_then(clock::unix_ms).filter(|_| same)?;
        Some((row, as_of))
    };
    let issued = records::list(connection, &filter)?.into_iter();
    Ok(issued
        .filter_map(of_period)
        .max_by_key(|(row, as_of)| (*as_of, row.id)))
}
