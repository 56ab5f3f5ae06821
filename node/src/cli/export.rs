//! `export`: records as one JSON file, each as a standard Automerge document with its texts beside it, the records of one kind or of all as
//! tables, opinions as Open311 has them, or the signed logs as an archive.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::{Door, Output, archive, progress};
use crate::clock::{self, Beijing};
use crate::command::{Query, Write, known_kind};
use crate::error::{self, Code, Error, Result};
use crate::ledger::open311;
use crate::ledger::out::Going;
use crate::reply::{Reply, with_schema};
use crate::sheets::Encoding;
use crate::store::{create_private, private_directory};
use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::hash::parse_hex_bytes;

/// What is written, how, and for whom.
pub(super) struct Wanted<'a> {
    pub(super) format: &'a str,
    /// The encoding of csv: `utf-8` or `gb18030`.
    pub(super) encoding: &'a str,
    pub(super) pages: Pages<'a>,
}

/// Which records.
#[derive(Clone, Copy, Default)]
pub(super) struct Pages<'a> {
    pub(super) kind: Option<&'static Kind>,
    /// When they were recorded, in Unix milliseconds.
    pub(super) recorded_ms: Option<(u64, u64)>,
    /// As far as this account is shown them.
    pub(super) account: Option<&'a str>,
}

/// The end of a time that has none, in Unix milliseconds: far off, and a day that can be named.
const NO_END_MS: u64 = u64::MAX >> 16;

/// The days of a filter in words.
fn period_in_words(recorded_ms: Option<(u64, u64)>) -> String {
    let day = |at: u64| Beijing::of(at).iso_date();
    match recorded_ms {
        None => "全部".to_owned(),
        Some((from, NO_END_MS)) => format!("录入日期 {} 起", day(from)),
        Some((0, until)) => format!("录入日期截至 {}", day(until.saturating_sub(1))),
        Some((from, until)) => {
            let last = day(until.saturating_sub(1));
            format!("录入日期 {} 至 {last}", day(from))
        }
    }
}

impl Pages<'_> {
    /// From one day to another, both named or not.
    ///
    /// # Errors
    /// [`Code::BadPeriod`] for what is no day.
    pub(super) fn period(from: Option<&str>, to: Option<&str>) -> Result<Option<(u64, u64)>> {
        let bad = || Error::new(Code::BadPeriod, "a day is written as 2026-01-31");
        let day = |day: &str| clock::day_begins(day).ok_or_else(bad);
        let (from, to) = (from.map(day).transpose()?, to.map(day).transpose()?);
        let until = to.map(|to| clock::beijing_day(to).1);
        if from.zip(until).is_some_and(|(from, until)| from >= until) {
            return Err(Error::new(
                Code::BadPeriod,
                "the first day is after the last",
            ));
        }
        let named = from.is_some() || until.is_some();
        Ok(named.then(|| (from.unwrap_or_default(), until.unwrap_or(NO_END_MS))))
    }

    /// Calls `take` with every record, a page at a time.
    ///
    /// # Errors
    /// The store cannot be read, and those of `take`.
    pub(super) fn each(
        self,
        door: &mut Door,
        documents: bool,
        mut take: impl FnMut(Value) -> Result<()>,
    ) -> Result<u64> {
        let mut after = None;
        let mut count = 0;
        loop {
            let mut reply = door.call(Query::ExportPage {
                after: after.take(),
                documents,
                account: self.account.map(str::to_owned),
                kind: self.kind.map(|kind| kind.code.clone()),
                recorded_ms: self.recorded_ms,
            })?;
            let Some(Value::Array(records)) = reply.value.get_mut("records").map(Value::take)
            else {
                return Err(Error::new(Code::Internal, "a page of records has none"));
            };
            for record in records {
                take(record)?;
                count += 1;
            }
            match reply.value.get("next").and_then(Value::as_str) {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(count),
            }
        }
    }
}

/// Writes records: as far as an account is shown them, if one is named.
pub(super) fn run(door: &mut Door, wanted: &Wanted<'_>, out: &Path, output: &Output) -> Result<u8> {
    let (format, pages) = (wanted.format, wanted.pages);
    let count = match (format, pages.account) {
        ("archive" | "automerge", Some(_)) => {
            let message = "logs and documents are whole: leave out --as, or export as json";
            return Err(Error::new(Code::NotShown, message));
        }
        ("archive", None) if pages.kind.is_some() || pages.recorded_ms.is_some() => {
            let message = "an archive has all logs: leave out --kind, --from and --to";
            return Err(Error::new(Code::Usage, message));
        }
        ("archive", None) => archive::write(door, out)?,
        ("automerge", None) => automerge(door, pages, out)?,
        ("csv" | "xlsx", _) => match pages.kind {
            Some(kind) => table(door, wanted, kind, out)?,
            None => tables(door, wanted, out)?,
        },
        ("open311", _) => {
            let pages = Pages {
                kind: Some(known_kind(open311::KIND)?),
                ..pages
            };
            listed(door, pages, ("[", "]"), (open311::request, out))?
        }
        _ => {
            let around = ("{\"schema\":\"lianxin.records/1\",\"records\":[", "]}");
            listed(door, pages, around, (|it: &Value| Some(it.clone()), out))?
        }
    };
    logged(door, pages, &format!("命令导出 {count} 条（{format}）"))?;
    let value = json!({ "records": count, "format": format, "out": out.display().to_string() });
    let value = with_schema("lianxin.export/1", value);
    output.print(&Reply { value, exit: 0 })
}

/// Writes into the access log what an account has taken away. Whoever owns the store has all of it anyway.
pub(super) fn logged(door: &mut Door, pages: Pages<'_>, said: &str) -> Result<()> {
    let Some(account) = pages.account else {
        return Ok(());
    };
    let exported = Write::Exported {
        said: said.to_owned(),
        account: account.to_owned(),
    };
    door.call(exported).map(drop)
}

/// A table a kind that has records, in a directory.
fn tables(door: &mut Door, wanted: &Wanted<'_>, out: &Path) -> Result<u64> {
    named_directory(out)?;
    let mut count = 0;
    for kind in Catalogue::current()
        .kinds()
        .filter(|kind| !kind.create.by_program)
    {
        let path = out.join(format!("{}.{}", kind.code, wanted.format));
        let rows = table(door, wanted, kind, &path)?;
        if rows == 0 {
            std::fs::remove_file(&path).map_err(error::file(&path))?;
        }
        count += rows;
    }
    Ok(count)
}

/// The records of one kind as a table.
fn table(door: &mut Door, wanted: &Wanted<'_>, kind: &'static Kind, out: &Path) -> Result<u64> {
    let part = out.with_extension("part");
    let file = BufWriter::new(create_private(&part)?);
    let encoding = match wanted.encoding {
        "gb18030" => Encoding::Gb18030,
        _ => Encoding::Utf8Bom,
    };
    let mut table = Going::begin(kind, (wanted.format, encoding), file)?;
    let mut bar = progress::Bar::new(0, "writing");
    let pages = Pages {
        kind: Some(kind),
        ..wanted.pages
    };
    pages.each(door, false, |record| {
        bar.inc(1);
        table.record(&record)
    })?;
    let who = pages.account.unwrap_or("—");
    let period = period_in_words(pages.recorded_ms);
    let written = table.finish(&[("类别", &kind.label.zh), ("导出人", who), ("筛选", &period)]);
    let count = written?;
    std::fs::rename(&part, out).map_err(error::file(out))?;
    Ok(count)
}

/// One JSON file, which appears under its name only when it is whole.
fn listed(
    door: &mut Door,
    pages: Pages<'_>,
    (before, behind): (&str, &str),
    (shape, out): (impl Fn(&Value) -> Option<Value>, &Path),
) -> Result<u64> {
    let part = out.with_extension("part");
    let mut file = BufWriter::new(create_private(&part)?);
    write!(file, "{before}").map_err(error::file(&part))?;
    let mut count = 0;
    pages.each(door, false, |record| {
        let Some(record) = shape(&record) else {
            return Ok(());
        };
        let comma = if count == 0 { "\n" } else { ",\n" };
        count += 1;
        write!(file, "{comma}{record}").map_err(error::file(&part))
    })?;
    write!(file, "\n{behind}\n").map_err(error::file(&part))?;
    let file = file
        .into_inner()
        .map_err(|error| error::file(&part)(error.into_error()))?;
    file.sync_all().map_err(error::file(&part))?;
    std::fs::rename(&part, out).map_err(error::file(out))?;
    Ok(count)
}

/// A directory of our own.
fn named_directory(out: &Path) -> Result<()> {
    // A link would have the files of others replaced, wherever it leads.
    if std::fs::symlink_metadata(out).is_ok_and(|about| about.is_symlink()) {
        let message = format!("{} is a link: name the directory itself", out.display());
        return Err(Error::new(Code::Usage, message));
    }
    private_directory(out)
}

fn automerge(door: &mut Door, pages: Pages<'_>, out: &Path) -> Result<u64> {
    named_directory(out)?;
    pages.each(door, true, |mut record| {
        let id = record
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let document = record.get_mut("automerge").map(Value::take);
        let document = document
            .as_ref()
            .and_then(Value::as_str)
            .and_then(parse_hex_bytes);
        let document = document
            .ok_or_else(|| Error::new(Code::Internal, "a record came without its document"))?;
        if let Value::Object(fields) = &mut record {
            fields.remove("automerge");
        }
        let path = out.join(format!("{id}.automerge"));
        create_private(&path)?
            .write_all(&document)
            .map_err(error::file(&path))?;
        let path = out.join(format!("{id}.json"));
        let text = format!("{record:#}\n");
        create_private(&path)?
            .write_all(text.as_bytes())
            .map_err(error::file(&path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_with_an_open_end_says_so() -> Result<()> {
        let said = |from, to| -> Result<String> { Ok(period_in_words(Pages::period(from, to)?)) };
        let (first, last) = (Some("2026-01-01"), Some("2026-03-31"));
        assert_eq!(said(None, None)?, "全部");
        assert_eq!(said(first, None)?, "录入日期 2026-01-01 起");
        assert_eq!(said(None, last)?, "录入日期截至 2026-03-31");
        assert_eq!(said(first, last)?, "录入日期 2026-01-01 至 2026-03-31");
        Ok(())
    }
}
