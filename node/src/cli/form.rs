//! `form`: an office's own ledgers and letters, kept once and filled from the records.

use std::path::Path;

use lianxin_protocol::hash::Hex;
use serde_json::{Value, json};

use super::export::{self, Pages};
use super::{Door, FormVerb, Output, import, progress};
use crate::clock;
use crate::command::{Query, Write, known_kind, looked, places_json};
use crate::error::{self, Code, Error, Result};
use crate::forms::{FILE_BYTES_MAX, Form, Shape};
use crate::reply::{Reply, with_schema};
use crate::store::create_private;

/// Carries one out.
pub(super) fn run(
    verb: FormVerb,
    data: &Path,
    account: Option<&str>,
    output: Output,
) -> Result<u8> {
    let mut door = Door::with_kinds(data)?;
    let reply = match verb {
        FormVerb::List => door.call(Query::FormList)?,
        FormVerb::Add {
            file,
            name,
            kind,
            sheet,
            maps,
            dry_run,
        } => {
            let bytes = read(&file)?;
            let kind = known_kind(&kind)?;
            let columns = import::pairs(&maps)?;
            if dry_run {
                let looked = looked(kind, (bytes, sheet.as_deref()), &columns)?;
                let value = with_schema("lianxin.form-add/1", places_json(&looked));
                return output.print(&Reply { value, exit: 0 });
            }
            door.call(Write::FormAdd {
                name,
                kind: kind.code.clone(),
                file: Hex(&bytes).to_string(),
                sheet,
                columns,
                account: account.map(str::to_owned),
            })?
        }
        FormVerb::Fill {
            name,
            record,
            from,
            to,
            by,
            status,
            out,
        } => {
            let period = Pages::period(from.as_deref(), to.as_deref())?;
            let shown = door.call(Query::FormShow { name })?;
            let lost = || Error::new(Code::NoForm, "this form is of a newer version");
            let form = Form::from_json(&shown.value).ok_or_else(lost)?;
            if status
                .iter()
                .any(|status| form.kind.status(status).is_none())
            {
                let known = form.kind.statuses.iter().map(|it| it.code.as_str());
                let known = known.collect::<Vec<_>>().join(", ");
                let message = format!("statuses of a {}: {known}", form.kind.code);
                return Err(Error::new(Code::Usage, message));
            }
            let one = record.is_some();
            let chosen = Chosen {
                period,
                by_recorded: by == "recorded",
                statuses: &status,
            };
            let (count, cut) = fill(&mut door, &form, (record, &chosen, account), &out)?;
            if !one {
                let pages = Pages {
                    account,
                    ..Pages::default()
                };
                export::logged(&mut door, pages, &format!("填写{} {count} 条", form.name))?;
            }
            let value = json!({
                "records": count,
                "form": form.shape.word(),
                "cut": cut,
                "out": out.display().to_string(),
            });
            Reply {
                value: with_schema("lianxin.form-fill/1", value),
                exit: 0,
            }
        }
    };
    output.print(&reply)
}

/// Which records go into a ledger.
struct Chosen<'a> {
    /// From when to when, in Unix milliseconds.
    period: Option<(u64, u64)>,
    /// By when they were recorded, not by the day on which they count.
    by_recorded: bool,
    /// At which statuses; at any where none is named.
    statuses: &'a [String],
}

impl Chosen<'_> {
    /// Whether a record is among them, as far as the store was not asked already.
    fn has(&self, record: &Value) -> bool {
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        let at_status = text("status").is_some_and(|it| self.statuses.iter().any(|own| own == it));
        let in_period = |(from, until)| {
            let day = text("counts_on").and_then(clock::day_begins);
            day.map_or(from == 0, |day| (from..until).contains(&day))
        };
        (self.statuses.is_empty() || at_status)
            && (self.by_recorded || self.period.is_none_or(in_period))
    }
}

/// Fills a form into a file. Says with how many records, and how many texts had to be cut.
fn fill(
    door: &mut Door,
    form: &Form,
    (record, chosen, account): (Option<String>, &Chosen<'_>, Option<&str>),
    out: &Path,
) -> Result<(usize, usize)> {
    let (bytes, count, cut) = match (form.shape, record) {
        (Shape::Letter, None) => {
            let message = "a letter is of one record: name it with --record";
            return Err(Error::new(Code::Usage, message));
        }
        (Shape::Letter, Some(id)) => {
            let record = shown(door, form, id, account)?;
            (form.letter(&record)?, 1, 0)
        }
        (Shape::Ledger, Some(id)) => {
            let record = shown(door, form, id, account)?;
            let (bytes, cut) = form.ledger(&[record])?;
            (bytes, 1, cut)
        }
        (Shape::Ledger, None) => {
            let pages = Pages {
                kind: Some(form.kind),
                recorded_ms: chosen.period.filter(|_| chosen.by_recorded),
                account,
            };
            let mut records = Vec::new();
            let mut bar = progress::Bar::new(0, "reading");
            pages.each(door, false, |record| {
                bar.inc(1);
                if chosen.has(&record) {
                    records.push(record);
                }
                Ok(())
            })?;
            bar.finish();
            // A ledger goes on from its first day; lists begin with the last.
            records.reverse();
            if !chosen.by_recorded {
                let day = |record: &Value| record.get("counts_on").map(Value::to_string);
                records.sort_by_key(day);
            }
            let (bytes, cut) = form.ledger(&records)?;
            (bytes, records.len(), cut)
        }
    };
    let part = out.with_extension("part");
    std::io::Write::write_all(&mut create_private(&part)?, &bytes).map_err(error::file(&part))?;
    std::fs::rename(&part, out).map_err(error::file(out))?;
    Ok((count, cut))
}

/// A record of the kind that a form is of.
fn shown(door: &mut Door, form: &Form, id: String, account: Option<&str>) -> Result<Value> {
    let show = Query::RecordShow {
        id,
        account: account.map(str::to_owned),
    };
    let record = door.call(show)?.value;
    if record.get("kind").and_then(Value::as_str) != Some(&form.kind.code) {
        let message = "this record is of another kind than the form";
        return Err(Error::new(Code::NoForm, message));
    }
    Ok(record)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let about = std::fs::metadata(file).map_err(error::file(file))?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX as u64 {
        let message = format!("{} is no file of at most 512 KiB", file.display());
        return Err(Error::new(Code::BadTable, message));
    }
    std::fs::read(file).map_err(error::file(file))
}
