//! Archives: `export --format archive` writes one, `verify FILE` checks one without any store. The format and
//! the check are `lianxin_protocol::archive`'s; here is the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use lianxin_protocol::archive::{Audit, Counts, ReadError, Report};
use lianxin_protocol::hash::parse_hex;
use lianxin_protocol::identity::short;
use lianxin_protocol::limits;
use lianxin_protocol::space::NetworkId;
use serde_json::json;

use super::{Door, Output};
use crate::archive::assemble;
use crate::clock;
use crate::error::{self, Code, Error, Result};
use crate::reply::{Reply, with_schema};
use crate::store;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Writes an archive; the file appears under its name only when it is whole. Gives the number of records.
pub(super) fn write(door: &mut Door, out: &Path) -> Result<u64> {
    let part = out.with_extension("part");
    let written = write_part(door, &part).and_then(|count| {
        std::fs::rename(&part, out).map_err(error::file(out))?;
        Ok(count)
    });
    if written.is_err() {
        // What cannot be removed belongs to somebody else.
        drop(std::fs::remove_file(&part));
    }
    written
}

fn write_part(door: &mut Door, part: &Path) -> Result<u64> {
    let mut file = BufWriter::new(store::create_private(part)?);
    let put = |bytes: &[u8]| file.write_all(bytes).map_err(error::file(part));
    let count = assemble(|command| door.call(command), put)?;
    let whole = file.into_inner();
    let file = whole.map_err(|error| error::file(part)(error.into_error()))?;
    file.sync_all().map_err(error::file(part))?;
    Ok(count)
}

/// Checks an archive: exit 2 if anything in it does not hold. `network` is the id that it must be of.
pub(super) fn check(path: &Path, network: Option<&str>, output: Output) -> Result<u8> {
    let pinned = network.map(|text| {
        let id = parse_hex(text).map(NetworkId);
        id.ok_or_else(|| Error::new(Code::Usage, "--network takes the 64 digits of a network"))
    });
    let (report, counts) = audit(path, pinned.transpose()?)?;
    let exit = if report.bad.is_empty() { 0 } else { 2 };
    let head = report.head.as_ref();
    let reasons = counts.reasons.iter();
    let reasons: BTreeMap<_, _> = reasons.map(|(it, count)| (it.word(), count)).collect();
    let named = counts.withheld.iter().take(limits::ARCHIVE_BAD_MAX);
    let withheld = named.map(|it| {
        let (log, range) = (it.log.to_string(), &it.range);
        json!({"log": log, "from": range.start, "to": range.end, "reason": it.reason.word()})
    });
    let value = json!({
        "network": head.map(|head| head.network.to_string()),
        "device": head.map(|head| short(&head.device)),
        "taken_at": head.map(|head| clock::rfc3339(head.taken_ms)),
        "logs": report.logs,
        "entries": report.entries,
        "absent": report.absent,
        "checkpoints": report.checkpoints,
        "receipts": report.receipts,
        "forks": report.forks,
        "changes": counts.changes,
        "counted": counts.counted,
        "reasons": reasons,
        "withheld": withheld.collect::<Vec<_>>(),
        "bad": report.bad,
    });
    let value = with_schema("lianxin.verify/1", value);
    output.print(&Reply { value, exit })
}

fn audit(path: &Path, pinned: Option<NetworkId>) -> Result<(Report, Counts)> {
    let unreadable = |error: ReadError| {
        let message = format!("{} cannot be checked", path.display());
        Error::because(Code::Archive, message, error)
    };
    let mut file = File::open(path).map_err(error::file(path))?;
    let mut audit = Audit::new(pinned);
    let mut chunk = vec![0; CHUNK];
    loop {
        let len = file.read(&mut chunk).map_err(error::file(path))?;
        if len == 0 {
            break;
        }
        let read = chunk.get(..len).unwrap_or_default();
        audit.push(read).map_err(unreadable)?;
    }
    let (report, judging) = audit.end().map_err(unreadable)?;
    let counts = judging.judge(|offset, len| -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let at = file.seek(SeekFrom::Start(offset));
        let read = at.and_then(|_| file.read_exact(&mut bytes));
        read.map_err(error::file(path))?;
        Ok(bytes)
    })?;
    Ok((report, counts))
}
