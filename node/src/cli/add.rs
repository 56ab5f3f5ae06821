//! `record add` and the JSON files that other record commands take.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::{Door, Output, progress};
use crate::command::Write;
use crate::error::{self, Code, Error, Kind, Result};
use crate::reply::{Reply, with_schema};

/// Rows of one transaction: bounds how long others wait for the writer.
const CHUNK: usize = 250;
/// Largest input; more is better given in several files.
const INPUT_MAX: u64 = 256 * 1024 * 1024;

/// The bytes of a file, or of standard input.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(INPUT_MAX)
            .read_to_end(&mut bytes)
    } else {
        // Asked first: opening a pipe would wait for whoever writes to it.
        if !std::fs::metadata(path)
            .map_err(error::file(path))?
            .is_file()
        {
            let message = format!("{} is not a regular file", path.display());
            return Err(Error::new(Code::BadInput, message));
        }
        let file = std::fs::File::open(path).map_err(error::file(path))?;
        file.take(INPUT_MAX).read_to_end(&mut bytes)
    };
    let len = read.map_err(error::file(path))?;
    if u64::try_from(len).unwrap_or(u64::MAX) >= INPUT_MAX {
        return Err(Error::new(
            Code::BadInput,
            "the input is larger than 256 MiB",
        ));
    }
    Ok(bytes)
}

pub(super) fn read(path: &Path) -> Result<String> {
    let text = String::from_utf8(bytes(path)?);
    text.map_err(|_| Error::new(Code::BadInput, "the input is not UTF-8"))
}

/// One JSON object.
pub(super) fn object(path: &Path) -> Result<Value> {
    let text = read(path)?;
    let Once(value) = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| refused(&error))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Error::new(Code::BadInput, "not one JSON object"))
    }
}

/// One object, an array of objects, or one object a line.
pub(super) fn rows(path: &Path) -> Result<Vec<Value>> {
    let text = read(path)?;
    let text = text.trim_start_matches('\u{feff}');
    let mut rows = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Once>() {
        let Once(value) = value.map_err(|error| refused(&error))?;
        match value {
            Value::Array(items) if rows.is_empty() => rows.extend(items),
            other => rows.push(other),
        }
    }
    if rows.is_empty() {
        return Err(Error::new(Code::BadInput, "the input has no records"));
    }
    Ok(rows)
}

/// Where the JSON is wrong, without what stands there.
fn refused(error: &serde_json::Error) -> Error {
    let what = if error.is_data() {
        "a name stands twice in one JSON object"
    } else {
        "this is not JSON"
    };
    let place = format!("line {}, column {}", error.line(), error.column());
    Error::because(Code::BadInput, what, place)
}

/// JSON in which no object has a name twice: which of the two was meant nobody knows, and the other would be lost.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Once(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let Once(value) = map.next_value()?;
            if members.insert(name, value).is_some() {
                return Err(de::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

/// Records all rows, in chunks, and prints one reply.
pub(super) fn run(
    door: &mut Door,
    kind: &str,
    rows: Vec<Value>,
    account: Option<&str>,
    output: &Output,
) -> Result<u8> {
    let mut bar = progress::Bar::new(rows.len() as u64, "recording");
    let mut records = Vec::new();
    let mut refused = Vec::new();
    let mut at_odds = Vec::new();
    let mut rows = rows.into_iter();
    let mut first_row = 1;
    loop {
        let chunk: Vec<_> = rows.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            break;
        }
        let count = chunk.len();
        let command = Write::RecordAdd {
            kind: kind.to_owned(),
            rows: chunk,
            first_row,
            account: account.map(str::to_owned),
        };
        let called = door.call(command);
        let mut reply = match called {
            Ok(reply) => reply,
            // What was recorded before the fault stays recorded, and the caller must be told which.
            Err(error) if !records.is_empty() => {
                super::complain(&format!(
                    "lianxin: stopped before row {first_row}: {}\n",
                    error.chain()
                ));
                refused.push(json!({ "row": first_row, "field": "", "code": error.code().text() }));
                break;
            }
            Err(error) => return Err(error),
        };
        first_row += count;
        bar.inc(count as u64);
        for (key, all) in [
            ("records", &mut records),
            ("refused", &mut refused),
            ("at_odds", &mut at_odds),
        ] {
            if let Some(Value::Array(items)) = reply.value.get_mut(key) {
                all.append(items);
            }
        }
    }
    bar.finish();
    let exit = if refused.is_empty() {
        0
    } else {
        Kind::Partial.exit_code()
    };
    let value = with_schema(
        "lianxin.record-add/1",
        json!({ "records": records, "refused": refused, "at_odds": at_odds }),
    );
    output.print(&Reply { value, exit })
}
