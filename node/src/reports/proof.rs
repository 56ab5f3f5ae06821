//! 可复核的数: the list of records behind each figure of a report, as a file that anybody can recount.
//!
//! A proof names each record with the entry that founded it: its log, its place and its id, which is the hash that an archive and every
//! store have there. A record's id follows from log and place, so that no record can be put in the place of another; a figure is the sum of what
//! its records add, of what several name alike each once. Where a store is at hand, [`against`] compares the entries with its own.
//!
//! Limits: a proof is not signed. That its records exist and say what is counted is shown by a store or an archive, whose entries are. It names
//! people by nothing: what is counted once is a digest.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::hash::{self, Hex, parse_hex};
use lianxin_protocol::log::{LogId, RecordId};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::set::Figure;
use super::{DEFINITIONS, Report};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::Books;
use crate::journal::segments::split_key;
use crate::reply::with_schema;

/// What the file begins with.
pub const SCHEMA: &str = "lianxin.proof/1";
/// Bytes of a file that are read.
pub const FILE_MAX: u64 = 256 * 1024 * 1024;
/// Faults that are named.
const NAMED: usize = 100;

/// What a proof says, without its digest.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    report: String,
    from: String,
    to: String,
    as_of: String,
    definitions: u32,
    network: String,
    /// Each record that some figure counts.
    records: Vec<Founded>,
    /// The figures by name.
    figures: BTreeMap<String, Counted>,
}

/// A record and the entry that founded it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Founded {
    record: String,
    number: Option<String>,
    log: String,
    seq: u64,
    entry: String,
}

/// A figure, and what each record adds to it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Counted {
    value: i64,
    records: Vec<Adds>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Adds {
    record: String,
    adds: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    what: Option<String>,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Figures that were recounted.
    pub figures: usize,
    /// Records that they count.
    pub records: usize,
    /// Entries that were compared with a store.
    pub compared: usize,
    /// Entries that this store does not have.
    pub absent: usize,
    /// What does not hold.
    pub bad: Vec<String>,
}

impl Checked {
    fn bad(&mut self, fault: String) {
        if self.bad.len() < NAMED {
            self.bad.push(fault);
        }
    }
}

/// Makes the proof of a report, as the value of its file.
///
/// # Errors
/// The store cannot be read.
pub fn make(connection: &Connection, books: &mut Books, report: &Report) -> Result<Value> {
    let mut records: BTreeMap<i64, Founded> = BTreeMap::new();
    let mut figures = BTreeMap::new();
    for (name, figure) in report.figures() {
        let mut of = Vec::with_capacity(figure.of.len());
        for part in &figure.of {
            let record = match records.entry(part.key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(founded(connection, books, part.key)?),
            };
            let what = part.what.as_deref();
            of.push(Adds {
                record: record.record.clone(),
                adds: part.adds,
                what: what
                    .map(|what| Hex(&hash::PROOF.hash(&[b"what", what.as_bytes()])).to_string()),
            });
        }
        let value = figure.value;
        figures.insert(name, Counted { value, records: of });
    }
    let mut records: Vec<_> = records.into_values().collect();
    records.sort_by(|a, b| a.record.cmp(&b.record));
    let proof = Proof {
        report: report.definition.id.to_owned(),
        from: report.asked.from.clone(),
        to: report.asked.to.clone(),
        as_of: clock::rfc3339(report.asked.as_of_ms),
        definitions: DEFINITIONS,
        network: books.identity().network.to_string(),
        records,
        figures,
    };
    let unwritable =
        |error| Error::because(Code::Internal, "a proof cannot be written as JSON", error);
    let body = serde_json::to_value(&proof).map_err(unwritable)?;
    let digest = digest(&proof);
    let mut value = with_schema(SCHEMA, body);
    if let (Value::Object(fields), Some(digest)) = (&mut value, digest) {
        fields.insert("digest".to_owned(), Value::String(digest));
    }
    Ok(value)
}

/// The digest over what a proof says, in the order of its fields.
fn digest(proof: &Proof) -> Option<String> {
    let bytes = serde_json::to_vec(proof).ok()?;
    Some(Hex(&hash::PROOF.hash(&[b"proof", &bytes])).to_string())
}

/// A record with the entry that founded it.
fn founded(connection: &Connection, books: &mut Books, key: i64) -> Result<Founded> {
    let mut statement =
        connection.prepare_cached("SELECT record, number FROM records WHERE id = ?1")?;
    let (id, number) =
        statement.query_row([key], |row| Ok((RecordId(row.get(0)?), row.get(1)?)))?;
    let mut statement =
        connection.prepare_cached("SELECT entry FROM touches WHERE record = ?1 ORDER BY entry")?;
    let mut entries = statement.query([key])?;
    while let Some(row) = entries.next()? {
        let (log, seq) = split_key(row.get(0)?);
        let (log, _) = books.log_of(log)?;
        if id.is_founded_at(&log, seq) {
            return Ok(Founded {
                record: id.hyphenated(),
                number,
                log: log.to_string(),
                seq,
                entry: Hex(&books.id_at(connection, &log, seq)?.0).to_string(),
            });
        }
    }
    let message = "a record that is counted has no entry that founded it";
    Err(Error::new(Code::StoreCorrupt, message))
}

/// Reads the bytes of a file.
///
/// # Errors
/// [`Code::BadProof`] for what is none.
pub fn read(bytes: &[u8]) -> Result<(Proof, String)> {
    let none = || Error::new(Code::BadProof, "the file is no proof of a report");
    let mut value: Value = serde_json::from_slice(bytes).map_err(|_| none())?;
    let fields = value.as_object_mut().ok_or_else(none)?;
    if fields.remove("schema").as_ref().and_then(Value::as_str) != Some(SCHEMA) {
        return Err(none());
    }
    let digest = fields.remove("digest");
    let digest = digest.as_ref().and_then(Value::as_str).ok_or_else(none)?;
    let digest = digest.to_owned();
    let proof = serde_json::from_value(value).map_err(|_| none())?;
    Ok((proof, digest))
}

/// Recounts a proof by itself.
#[must_use]
pub fn check(proof: &Proof, said: &str) -> Checked {
    let mut checked = Checked {
        figures: proof.figures.len(),
        records: proof.records.len(),
        ..Checked::default()
    };
    if digest(proof).as_deref() != Some(said) {
        checked.bad("the digest is not that of the file: it was altered".to_owned());
    }
    for it in &proof.records {
        let place = RecordId::parse(&it.record).zip(parse_hex(&it.log).map(LogId));
        if !place.is_some_and(|(id, log)| id.is_founded_at(&log, it.seq)) {
            checked.bad(format!(
                "{} was not founded where it is said to be",
                it.record
            ));
        }
    }
    let listed: BTreeSet<_> = proof.records.iter().map(|it| it.record.as_str()).collect();
    for (name, counted) in &proof.figures {
        if !counted
            .records
            .iter()
            .all(|adds| listed.contains(adds.record.as_str()))
        {
            checked.bad(format!("{name} counts a record that is not listed"));
        }
        let records: BTreeSet<_> = counted
            .records
            .iter()
            .map(|it| (&it.record, &it.what))
            .collect();
        if records.len() != counted.records.len() {
            checked.bad(format!("{name} counts a record twice"));
        }
        let parts: Vec<_> = counted
            .records
            .iter()
            .map(|it| (it.adds, it.what.as_deref()))
            .collect();
        let recounted = Figure::recount(&parts);
        if recounted != counted.value {
            checked.bad(format!(
                "{name} says {}, its records make {recounted}",
                counted.value
            ));
        }
    }
    checked
}

/// Compares the entries of a proof with those of a store.
///
/// # Errors
/// The store cannot be read, or is of another network ([`Code::BadProof`]).
pub fn against(
    proof: &Proof,
    connection: &Connection,
    books: &mut Books,
    checked: &mut Checked,
) -> Result<()> {
    if proof.network != books.identity().network.to_string() {
        let message = "the proof is of another network than the data directory";
        return Err(Error::new(Code::BadProof, message));
    }
    for it in &proof.records {
        let log = parse_hex(&it.log).map(LogId);
        let Some(log) = log.filter(|log| it.seq < books.len_of(log)) else {
            checked.absent += 1;
            continue;
        };
        checked.compared += 1;
        let here = Hex(&books.id_at(connection, &log, it.seq)?.0).to_string();
        if here != it.entry {
            checked.bad(format!("{} has another entry in this store", it.record));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof() -> Proof {
        let log = LogId([7; 32]);
        let id = |seq| RecordId::founded(1_700_000_000_000, &log, seq).hyphenated();
        let founded = |seq| Founded {
            record: id(seq),
            number: None,
            log: log.to_string(),
            seq,
            entry: "00".repeat(32),
        };
        let adds = |seq, adds, what: Option<&str>| Adds {
            record: id(seq),
            adds,
            what: what.map(str::to_owned),
        };
        let of = vec![
            adds(0, 1, Some("a")),
            adds(3, 1, Some("a")),
            adds(3, 1, Some("b")),
        ];
        let sum = vec![adds(0, 30, None), adds(3, 12, None)];
        Proof {
            report: "figures".to_owned(),
            from: "2026-01-01".to_owned(),
            to: "2026-12-31".to_owned(),
            as_of: "2027-01-01T00:00:00.000Z".to_owned(),
            definitions: DEFINITIONS,
            network: "11".repeat(32),
            records: vec![founded(0), founded(3)],
            figures: BTreeMap::from([
                (
                    "F9".to_owned(),
                    Counted {
                        value: 2,
                        records: of,
                    },
                ),
                (
                    "F11".to_owned(),
                    Counted {
                        value: 42,
                        records: sum,
                    },
                ),
            ]),
        }
    }

    fn bad(alter: impl FnOnce(&mut Proof)) -> Vec<String> {
        let mut proof = proof();
        alter(&mut proof);
        // Whoever alters a file can make its digest anew.
        let said = digest(&proof).unwrap_or_default();
        check(&proof, &said).bad
    }

    #[test]
    fn a_proof_is_recounted_and_what_was_altered_is_named() {
        assert_eq!(bad(|_| {}), Vec::<String>::new());
        let whole = proof();
        assert_eq!(check(&whole, &"0".repeat(64)).bad.len(), 1);
        let one = |alter: fn(&mut Proof)| bad(alter).len();
        assert_eq!(one(|it| it.records[0].seq = 1), 1);
        assert!(one(|it| it.records[1].record = it.records[0].record.clone()) > 1);
        assert_eq!(
            one(|it| it.figures.values_mut().for_each(|it| it.value += 1)),
            2
        );
        assert_eq!(
            one(|it| it
                .figures
                .values_mut()
                .for_each(|it| it.records[0].record.clear())),
            2
        );
        assert_eq!(
            one(|it| it
                .figures
                .values_mut()
                .for_each(|it| drop(it.records.pop()))),
            2
        );
        // The same record twice, so that the sum would be right again.
        let twice = bad(|it| {
            if let Some(sum) = it.figures.get_mut("F11") {
                sum.records[1].adds = 6;
                sum.records.push(sum.records[1].clone());
            }
        });
        assert_eq!(twice.len(), 1, "{twice:?}");
    }

    #[test]
    fn what_is_no_proof_is_refused() -> Result<()> {
        for bytes in [
            "",
            "{}",
            "[]",
            "{\"schema\":\"lianxin.proof/1\"}",
            "{\"schema\":1}",
        ] {
            let refused = read(bytes.as_bytes()).err().map(|error| error.code());
            assert_eq!(refused, Some(Code::BadProof), "{bytes}");
        }
        let body = serde_json::to_value(proof()).unwrap_or_default();
        let mut value = with_schema(SCHEMA, body);
        value["digest"] = "00".into();
        let (read_back, said) = read(value.to_string().as_bytes())?;
        assert_eq!((read_back.records.len(), said.as_str()), (2, "00"));
        Ok(())
    }
}
