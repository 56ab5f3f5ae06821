//! `import`: the rows of an office's own table as records, once however often they come.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lianxin_protocol::catalogue::{Kind, Transition};
use serde_json::{Value, json};

use super::{Door, Import, Output, progress};
use crate::command::{Query, Write, known_kind};
use crate::error::{self, Code, Error, Result};
use crate::ledger::incoming::{Incoming, Look};
use crate::ledger::{self, Column};
use crate::reply::{Reply, with_schema};
use crate::sheets::{self, Table};
use crate::store;

/// Asks the store through its door.
struct Asks<'a> {
    door: &'a mut Door,
    account: Option<&'a str>,
}

impl Look for Asks<'_> {
    fn shown(&mut self, number: &str) -> Result<Option<Value>> {
        let show = Query::RecordShow {
            id: number.to_owned(),
            account: self.account.map(str::to_owned),
        };
        match self.door.call(show) {
            Ok(shown) => Ok(Some(shown.value)),
            Err(error) if matches!(error.code(), Code::NoRecord | Code::SameNumber) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn keys(&mut self, kind: &Kind) -> Result<BTreeMap<String, String>> {
        let keys = Query::RecordKeys {
            kind: kind.code.clone(),
        };
        let reply = self.door.call(keys)?;
        let keys = reply.value.get("keys").cloned().unwrap_or_default();
        let unreadable = |error| Error::because(Code::Internal, "keys cannot be read", error);
        let keys: Vec<(String, String)> = serde_json::from_value(keys).map_err(unreadable)?;
        Ok(keys.into_iter().collect())
    }

    fn submitted(&mut self, ids: Vec<String>) -> Result<BTreeSet<String>> {
        let reply = self.door.call(Query::Submitted { ids })?;
        let known = reply.value.get("known").and_then(Value::as_array);
        let known = known.into_iter().flatten().filter_map(Value::as_str);
        Ok(known.map(str::to_owned).collect())
    }
}

/// Reads a table, records its rows and says what became of each.
pub(super) fn run(
    asked: &Import,
    data: &Path,
    account: Option<&str>,
    output: Output,
) -> Result<u8> {
    let table = read(asked)?;
    let mut door = Door::with_kinds(data)?;
    let kind = known_kind(&asked.kind)?;
    let step = asked.step.as_deref();
    let step = step.map(|event| tabled(kind, event)).transpose()?;
    let said = named(asked, kind, step)?;
    let mut look = Asks {
        door: &mut door,
        account,
    };
    let mut incoming = match step {
        Some(step) => Incoming::plan_steps((kind, step), &table, &said, &mut look)?,
        None => Incoming::plan(kind, &table, (&said, &asked.system), &mut look)?,
    };
    let mut bar = progress::Bar::new(incoming.new.len() as u64, "recording");
    loop {
        let (numbers, rows): (Vec<u32>, Vec<Value>) = incoming.next_chunk().into_iter().unzip();
        if rows.is_empty() {
            break;
        }
        let reply = match (asked.dry_run, step) {
            (true, _) => json!({}),
            (false, Some(step)) => {
                let acts = Write::RecordActs {
                    kind: kind.code.clone(),
                    event: step.event.clone(),
                    rows,
                    account: account.map(str::to_owned),
                };
                door.call(acts)?.value
            }
            (false, None) => {
                let add = Write::RecordAdd {
                    kind: kind.code.clone(),
                    rows,
                    first_row: 0,
                    account: account.map(str::to_owned),
                };
                door.call(add)?.value
            }
        };
        incoming.took(&numbers, &reply);
        bar.inc(numbers.len() as u64);
    }
    bar.finish();
    incoming.refused.sort_by_key(|it| it.row);
    if let Some(path) = &asked.errors {
        incoming.write_refused(&table, store::create_private(path)?)?;
    }
    output.print(&reply(&incoming, &table, asked.dry_run))
}

fn reply(incoming: &Incoming, table: &Table, dry_run: bool) -> Reply {
    let mapped = table.heads.iter().zip(&incoming.columns);
    let mapped = mapped.filter_map(|(head, column)| {
        let field = match (*column)? {
            Column::Number => "number".to_owned(),
            Column::Status => "status".to_owned(),
            Column::Field(field) | Column::Yuan(field) | Column::Wan(field) => field.key.clone(),
            beside => beside.code(),
        };
        Some(json!({ "column": head, "field": field }))
    });
    let refused = incoming.refused.iter().map(
        |it| json!({ "row": it.row, "field": it.field, "code": it.code, "message": it.message }),
    );
    let altered = incoming.altered.iter().map(|it| {
        json!({ "row": it.row, "number": it.number, "field": it.field, "old": it.old, "new": it.new })
    });
    let value = json!({
        "kind": incoming.kind.code,
        "step": incoming.step.map(|step| step.event.as_str()),
        "dry_run": dry_run,
        "accepted": incoming.accepted,
        "known": incoming.known,
        "refused": refused.collect::<Vec<_>>(),
        "altered": altered.collect::<Vec<_>>(),
        "columns": mapped.collect::<Vec<_>>(),
        "left_out": incoming.left_out,
        "hidden": incoming.hidden,
    });
    let exit = if incoming.refused.is_empty() { 0 } else { 3 };
    Reply {
        value: with_schema("lianxin.import/1", value),
        exit,
    }
}

/// The columns that were named on the command line, each with a field.
pub(super) fn pairs(maps: &[String]) -> Result<Vec<(String, String)>> {
    let said = maps.iter().map(|map| {
        let pair = map.rsplit_once('=');
        let pair = pair.map(|(head, field)| (head.trim().to_owned(), field.trim().to_owned()));
        let message = "--map takes the name of a column, =, and a field";
        pair.ok_or_else(|| Error::new(Code::Usage, message))
    });
    said.collect()
}

/// The step of a kind that tables take.
fn tabled(kind: &'static Kind, event: &str) -> Result<&'static Transition> {
    let steps = || kind.transitions.iter().filter(|step| step.tabled);
    steps().find(|step| step.event == event).ok_or_else(|| {
        let known: Vec<_> = steps().map(|step| step.event.as_str()).collect();
        let message = format!(
            "no table takes this step on a {}; steps that one takes: {}",
            kind.code,
            known.join(", ")
        );
        Error::new(Code::Usage, message)
    })
}

/// The same, each with a field that the kind, or the step, has.
fn named(
    asked: &Import,
    kind: &'static Kind,
    step: Option<&'static Transition>,
) -> Result<Vec<(String, String)>> {
    let said = pairs(&asked.maps)?;
    let is_known = |field: &str| match step {
        Some(step) => ledger::columns_of(step).any(|column| column.code() == field),
        None => Column::parse(kind, field).is_some(),
    };
    let unknown = said.iter().find(|(_, field)| !is_known(field));
    if let Some((_, field)) = unknown {
        let code = &kind.code;
        let message =
            format!("a {code} has no field {field}: `lianxin record template {code}` has them");
        return Err(Error::new(Code::Usage, message));
    }
    Ok(said)
}

fn read(asked: &Import) -> Result<Table> {
    let about = std::fs::metadata(&asked.file).map_err(error::file(&asked.file))?;
    let too_large = about.len() > sheets::FILE_BYTES_MAX as u64;
    if !about.is_file() || too_large {
        let message = format!("{} is no file of at most 32 MiB", asked.file.display());
        return Err(Error::new(Code::BadTable, message));
    }
    let bytes = std::fs::read(&asked.file).map_err(error::file(&asked.file))?;
    sheets::read(&bytes, asked.sheet.as_deref())
        .map_err(|refusal| Error::new(Code::BadTable, refusal.to_string()))
}
