//! Slips 登记单: the query codes printed on them.
//!
//! A code is eight characters of Crockford's base 32 without I, L, O and U: 40 random bits. It is printed
//! once and kept salted and hashed; printing again makes another code, and all of a record's codes work.
//! Codes are checked on the device that printed them; attempts are counted by whoever takes them in.

use lianxin_protocol::log::RecordId;
use lianxin_protocol::{base32, hash};
use rusqlite::{Connection, params};

use crate::clock;
use crate::error::{Code, Result};
use crate::records::{self, Listed};

/// Codes kept for one record; the oldest row by its salt gives way, which is any of them.
const CODES_MAX: u32 = 20;

/// A new code for a record.
///
/// # Errors
/// The store cannot be written.
pub fn new_code(connection: &Connection, record: &RecordId) -> Result<String> {
    let code = base32::encode(&clock::random::<5>()?);
    let salt = clock::random::<16>()?;
    connection
        .prepare_cached(
            "DELETE FROM query_codes WHERE record = ?1 AND salt IN
                 (SELECT salt FROM query_codes WHERE record = ?1 LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![record.0, CODES_MAX - 1])?;
    connection
        .prepare_cached("INSERT INTO query_codes (record, salt, hash) VALUES (?1, ?2, ?3)")?
        .execute(params![record.0, salt, hashed(record, &salt, &code)])?;
    Ok(code)
}

/// Whether a code was printed for a record. What people mistype is read as meant: case, spaces and
/// hyphens do not count, O is 0, I and L are 1.
///
/// # Errors
/// The store cannot be read.
pub fn fits(connection: &Connection, record: &RecordId, typed: &str) -> Result<bool> {
    let code: String = typed
        .chars()
        .filter(|it| !it.is_whitespace() && *it != '-')
        .map(|it| match it.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .take(9)
        .collect();
    let mut statement =
        connection.prepare_cached("SELECT salt, hash FROM query_codes WHERE record = ?1")?;
    let mut rows = statement.query([record.0])?;
    let mut fits = false;
    while let Some(row) = rows.next()? {
        let (salt, known): ([u8; 16], [u8; 32]) = (row.get(0)?, row.get(1)?);
        fits |= hashed(record, &salt, &code) == known;
    }
    Ok(fits)
}

/// The record that a slip's number and code ask for: if it was written again, the one that stands in its place.
///
/// # Errors
/// The store cannot be read.
pub fn asked(connection: &Connection, number: &str, code: &str) -> Result<Option<Listed>> {
    let keys = match records::with_number(connection, number) {
        Err(error) if error.code() == Code::NoRecord => return Ok(None),
        keys => keys?,
    };
    let mut fitting = None;
    for row in records::rows(connection, &keys)? {
        if fits(connection, &row.id, code)? {
            fitting = Some(row);
        }
    }
    let again = fitting.as_ref().and_then(|row| row.again);
    let key = match again {
        Some(again) => records::stands_for(connection, again)?,
        None => None,
    };
    let stands = records::rows(connection, key.as_slice())?.pop();
    Ok(stands.or(fitting))
}

fn hashed(record: &RecordId, salt: &[u8; 16], code: &str) -> [u8; 32] {
    hash::QUERY_CODE.hash(&[&record.0, salt, code.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printed_code_works_for_its_record_alone_and_none_is_kept_in_the_clear() -> Result<()> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(include_str!("store/schema.sql"))?;
        let (record, other) = (RecordId([1; 16]), RecordId([2; 16]));
        let first = new_code(&connection, &record)?;
        let second = new_code(&connection, &record)?;
        assert!(first.len() == 8 && first.bytes().all(|it| base32::SYMBOLS.contains(&it)));
        let spaced = format!(
            " {}-{} ",
            first.get(..4).unwrap_or(""),
            first.get(4..).unwrap_or("")
        );
        assert!(fits(&connection, &record, &spaced.to_lowercase())?);
        assert!(fits(&connection, &record, &second)?);
        assert!(!fits(&connection, &other, &first)?);
        assert!(!fits(&connection, &record, &format!("{first}0"))?);
        let mut kept = connection.prepare("SELECT hash FROM query_codes")?;
        let mut rows = kept.query([])?;
        while let Some(row) = rows.next()? {
            let hash: Vec<u8> = row.get(0)?;
            assert!(!hash.windows(8).any(|it| it == first.as_bytes()));
        }
        for _ in 0..100 {
            new_code(&connection, &record)?;
        }
        let count: u32 =
            connection.query_row("SELECT count(*) FROM query_codes", [], |row| row.get(0))?;
        assert_eq!(count, CODES_MAX);
        Ok(())
    }
}
