//! `export`: records as one JSON file, each as a standard Automerge document with its texts beside it, the records of one kind as a table,
//! or the signed logs as an archive.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::{Door, Output, archive, progress};
use crate::command::{Query, known_kind};
use crate::error::{self, Code, Error, Result};
use crate::ledger::out::Going;
use crate::reply::{Reply, with_schema};
use crate::sheets::Encoding;
use crate::store::{create_private, private_directory};
use lianxin_protocol::hash::parse_hex_bytes;

/// What is written, how, and for whom.
pub(super) struct Wanted<'a> {
    pub(super) format: &'a str,
    /// The kind of a table.
    pub(super) kind: Option<&'a str>,
    /// The encoding of csv: `utf-8` or `gb18030`.
    pub(super) encoding: &'a str,
    pub(super) account: Option<&'a str>,
}

/// Writes all records: as far as an account is shown them, if one is named.
pub(super) fn run(door: &mut Door, wanted: &Wanted<'_>, out: &Path, output: &Output) -> Result<u8> {
    let (format, account) = (wanted.format, wanted.account);
    let count = match (format, account) {
        ("archive" | "automerge", Some(_)) => {
            let message = "logs and documents are whole: leave out --as, or export as json";
            return Err(Error::new(Code::NotShown, message));
        }
        ("archive", None) => archive::write(door, out)?,
        ("automerge", None) => automerge(door, out)?,
        ("csv" | "xlsx", _) => table(door, wanted, out)?,
        _ => json_file(door, account, out)?,
    };
    let value = json!({ "records": count, "format": format, "out": out.display().to_string() });
    let value = with_schema("lianxin.export/1", value);
    output.print(&Reply { value, exit: 0 })
}

/// Calls `take` with every record, a page at a time.
fn each(
    door: &mut Door,
    (documents, account): (bool, Option<&str>),
    mut take: impl FnMut(Value) -> Result<()>,
) -> Result<u64> {
    let mut after = None;
    let mut count = 0;
    loop {
        let mut reply = door.call(Query::ExportPage {
            after: after.take(),
            documents,
            account: account.map(str::to_owned),
        })?;
        let Some(Value::Array(records)) = reply.value.get_mut("records").map(Value::take) else {
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

/// The records of one kind as a table.
fn table(door: &mut Door, wanted: &Wanted<'_>, out: &Path) -> Result<u64> {
    let none = || Error::new(Code::Usage, "name the kind of the table with --kind");
    let kind = known_kind(wanted.kind.ok_or_else(none)?)?;
    let part = out.with_extension("part");
    let file = BufWriter::new(create_private(&part)?);
    let encoding = match wanted.encoding {
        "gb18030" => Encoding::Gb18030,
        _ => Encoding::Utf8Bom,
    };
    let mut table = Going::begin(kind, (wanted.format, encoding), file)?;
    let mut bar = progress::Bar::new(0, "writing");
    each(door, (false, wanted.account), |record| {
        if record.get("kind").and_then(Value::as_str) == Some(&kind.code) {
            table.record(&record)?;
            bar.inc(1);
        }
        Ok(())
    })?;
    let who = wanted.account.unwrap_or("—");
    let written = table.finish(&[("类别", &kind.label.zh), ("导出人", who), ("筛选", "全部")]);
    let count = written?;
    std::fs::rename(&part, out).map_err(error::file(out))?;
    Ok(count)
}

/// The file appears under its name only when it is whole.
fn json_file(door: &mut Door, account: Option<&str>, out: &Path) -> Result<u64> {
    let part = out.with_extension("part");
    let mut file = BufWriter::new(create_private(&part)?);
    write!(file, "{{\"schema\":\"lianxin.records/1\",\"records\":[").map_err(error::file(&part))?;
    let mut first = true;
    let count = each(door, (false, account), |record| {
        let comma = if std::mem::take(&mut first) {
            "\n"
        } else {
            ",\n"
        };
        write!(file, "{comma}{record}").map_err(error::file(&part))
    })?;
    write!(file, "\n]}}\n").map_err(error::file(&part))?;
    let file = file
        .into_inner()
        .map_err(|error| error::file(&part)(error.into_error()))?;
    file.sync_all().map_err(error::file(&part))?;
    std::fs::rename(&part, out).map_err(error::file(out))?;
    Ok(count)
}

fn automerge(door: &mut Door, out: &Path) -> Result<u64> {
    // A link would have the files of others replaced, wherever it leads.
    if std::fs::symlink_metadata(out).is_ok_and(|about| about.is_symlink()) {
        let message = format!("{} is a link: name the directory itself", out.display());
        return Err(Error::new(Code::Usage, message));
    }
    private_directory(out)?;
    each(door, (true, None), |mut record| {
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
