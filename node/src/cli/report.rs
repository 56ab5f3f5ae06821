//! `report`: a report in the terminal, as JSON, or as a file; and its proof.

use std::io::Write as _;
use std::path::Path;

use lianxin_protocol::hash::parse_hex_bytes;
use serde_json::Value;

use super::{Door, Output, Report, progress};
use crate::clock::Beijing;
use crate::command::{Query, Write, proved};
use crate::error::{self, Code, Error, Result};
use crate::reports::proof;
use crate::store::create_private;
use crate::{clock, reply, sheets};

/// Makes a report.
pub(super) fn run(
    asked: Report,
    data: &Path,
    account: Option<String>,
    output: Output,
) -> Result<u8> {
    let year = Beijing::of(clock::now_ms()).date().0;
    let from = asked.from.unwrap_or_else(|| format!("{year}-01-01"));
    let to = asked.to.unwrap_or_else(|| format!("{year}-12-31"));
    if asked.issue {
        let issue = Write::ReportIssue {
            report: asked.id,
            from,
            to,
            as_of: asked.as_of,
            account,
        };
        return output.print(&Door::open(data)?.call(issue)?);
    }
    let as_json = asked.format.as_deref() == Some("json");
    let form = asked.format.filter(|form| form != "json");
    // A person at a terminal reads words and columns; a file is JSON unless it says otherwise.
    let reads = !output.json && !as_json && asked.out.is_none();
    let form = form.or_else(|| reads.then(|| "text".to_owned()));
    let query = Query::Report {
        report: asked.id,
        from,
        to,
        as_of: asked.as_of,
        form: form.clone(),
        proof: asked.proof.is_some(),
        test_data: asked.test_data,
        account,
        deputy: asked.deputy,
    };
    let mut reply = {
        let _wait = progress::spinner("counting");
        Door::open(data)?.call(query)?
    };
    let mut take = |key: &str| reply.value.as_object_mut().and_then(|it| it.remove(key));
    let (file, proof) = (take("file"), take("proof"));
    if let (Some(path), Some(proof)) = (&asked.proof, proof) {
        write(path, format!("{proof}\n").as_bytes())?;
    }
    let bytes = file
        .as_ref()
        .and_then(Value::as_str)
        .and_then(parse_hex_bytes);
    let missing = || Error::new(Code::Internal, "a report came without its file");
    let bytes = match &form {
        Some(_) => Some(bytes.ok_or_else(missing)?),
        None => None,
    };
    match (bytes, asked.out) {
        (Some(bytes), Some(out)) => {
            write(&out, &bytes)?;
            said(output, &reply)
        }
        // A program that asks for JSON gets JSON, with the file in it.
        (Some(_), None) if output.json => {
            if let (Value::Object(fields), Some(file)) = (&mut reply.value, file) {
                fields.insert("file".to_owned(), file);
            }
            output.print(&reply)
        }
        (Some(bytes), None) => {
            let stdout = std::io::stdout().lock().write_all(&bytes);
            stdout.map_err(error::file(Path::new("standard output")))?;
            Ok(reply.exit)
        }
        (None, Some(out)) => {
            write(&out, format!("{:#}\n", reply.value).as_bytes())?;
            said(output, &reply)
        }
        (None, None) if as_json && !output.json => {
            let text = format!("{:#}\n", reply.value);
            let stdout = std::io::stdout().lock().write_all(text.as_bytes());
            stdout.map_err(error::file(Path::new("standard output")))?;
            Ok(reply.exit)
        }
        (None, None) => output.print(&reply),
    }
}

/// What a program is told of a report that was written to a file: people have the file.
fn said(output: Output, reply: &reply::Reply) -> Result<u8> {
    if output.json {
        return output.print(reply);
    }
    Ok(reply.exit)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = create_private(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(error::file(path))
}

/// The bytes of a file, if it begins as a proof of a report does.
pub(super) fn proof_in(path: &Path) -> Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    /// What is looked at: the name of the schema, with what white space somebody has put before it.
    const BEGINS: u64 = 64;
    let file = std::fs::File::open(path).map_err(error::file(path))?;
    let mut bytes = Vec::new();
    let mut first = file.take(BEGINS);
    first.read_to_end(&mut bytes).map_err(error::file(path))?;
    let begins = bytes.iter().filter(|it| !it.is_ascii_whitespace());
    let begins: Vec<u8> = begins.copied().collect();
    if !begins.starts_with(format!("{{\"schema\":\"{}", proof::SCHEMA).as_bytes()) {
        return Ok(None);
    }
    let mut rest = first.into_inner().take(proof::FILE_MAX);
    rest.read_to_end(&mut bytes).map_err(error::file(path))?;
    Ok(Some(bytes))
}

/// The bytes of a file, if it begins as a workbook does.
pub(super) fn workbook_in(path: &Path) -> Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).map_err(error::file(path))?;
    let mut bytes = Vec::new();
    let mut first = std::io::Read::by_ref(&mut file).take(4);
    first.read_to_end(&mut bytes).map_err(error::file(path))?;
    if bytes != *b"PK\x03\x04" {
        return Ok(None);
    }
    // One byte more than can be read says that there is more.
    let mut rest = file.take(sheets::FILE_BYTES_MAX as u64);
    rest.read_to_end(&mut bytes).map_err(error::file(path))?;
    Ok(Some(bytes))
}

/// Compares a workbook that was exported with its check value.
pub(super) fn check_table(bytes: &[u8], output: Output) -> Result<u8> {
    let refused = |refusal: sheets::Refusal| {
        let message = format!("this is no workbook of ours with its sheet 说明: {refusal}");
        Error::new(Code::BadTable, message)
    };
    let sealed = sheets::seal::check(bytes).map_err(refused)?;
    let bad = match sealed.holds {
        true => Vec::new(),
        false => vec![format!(
            "the rows are not those that were exported: {} then, {} now",
            sealed.stated_rows, sealed.rows
        )],
    };
    let exit = if sealed.holds { 0 } else { 2 };
    let value = serde_json::json!({ "rows": sealed.rows, "entries": 0, "checkpoints": 0, "receipts": 0, "bad": bad });
    let value = reply::with_schema("lianxin.verify/1", value);
    output.print(&reply::Reply { value, exit })
}

/// Recounts a proof, and compares it with the store of a data directory, if one is named.
pub(super) fn check(bytes: &[u8], data: Option<&Path>, output: Output) -> Result<u8> {
    let reply = match data {
        None => proved(bytes)?,
        Some(data) => {
            let none = || Error::new(Code::BadProof, "the file is no proof of a report");
            let proof = serde_json::from_slice(bytes).map_err(|_| none())?;
            Door::open(data)?.call(Query::CheckProof { proof })?
        }
    };
    let value = reply::with_schema("lianxin.verify/1", reply.value);
    output.print(&reply::Reply {
        value,
        exit: reply.exit,
    })
}
