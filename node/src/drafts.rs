//! What is being typed: drafts of forms, kept in the store from the first pause in typing on, so that a
//! closed tab, a crash or a power cut costs at most the last second. Nothing of a draft leaves the device.
//!
//! A draft holds what was typed, right or wrong, as the form sends it. Its id becomes the submission id of
//! the record, so that a draft is registered once whatever is clicked twice.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::{Code, Error, Result};

/// What was typed: the form's names, each with its values in order.
pub type Typed = BTreeMap<String, Vec<String>>;

/// Drafts of one account at once.
const DRAFTS_MAX: u32 = 200;
/// Bytes of one draft.
pub const DRAFT_BYTES_MAX: usize = 256 * 1024;
/// Digits of an id: 128 random bits.
const ID_DIGITS: usize = 32;

/// A draft.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its id.
    pub id: String,
    /// Code of the kind of record.
    pub kind: String,
    /// What was typed.
    pub typed: Typed,
    /// Unix milliseconds of the last save.
    pub updated_ms: u64,
}

/// Whether a text can be a draft's id.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS
        && text
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// Keeps a draft. Each belongs to the account that began it.
///
/// # Errors
/// [`Code::TooLarge`] for too much text or too many drafts; [`Code::NoRecord`] when another account has it.
pub fn keep(
    connection: &Connection,
    account: &str,
    (id, kind): (&str, &str),
    typed: &Typed,
    now_ms: u64,
) -> Result<()> {
    let text = serde_json::to_string(typed)
        .map_err(|error| Error::because(Code::Internal, "a draft cannot be written", error))?;
    let owner: Option<String> = connection
        .prepare_cached("SELECT account FROM drafts WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    if owner.as_ref().is_some_and(|owner| owner != account) {
        return Err(Error::new(
            Code::NoRecord,
            "this draft is another account's",
        ));
    }
    let count: u32 = connection
        .prepare_cached("SELECT count(*) FROM drafts WHERE account = ?1")?
        .query_row([account], |row| row.get(0))?;
    if text.len() > DRAFT_BYTES_MAX || (owner.is_none() && count >= DRAFTS_MAX) {
        let message = "a draft is too long, or there are too many: register or discard some";
        return Err(Error::new(Code::TooLarge, message));
    }
    connection
        .prepare_cached(
            "INSERT INTO drafts (id, account, kind, typed, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET typed = excluded.typed, updated_ms = excluded.updated_ms",
        )?
        .execute(params![id, account, kind, text, now_ms])?;
    Ok(())
}

/// An account's draft.
///
/// # Errors
/// The store cannot be read.
pub fn find(connection: &Connection, account: &str, id: &str) -> Result<Option<Draft>> {
    Ok(select(connection, account, Some(id))?.pop())
}

/// An account's drafts, newest first.
///
/// # Errors
/// The store cannot be read.
pub fn list(connection: &Connection, account: &str) -> Result<Vec<Draft>> {
    select(connection, account, None)
}

fn select(connection: &Connection, account: &str, id: Option<&str>) -> Result<Vec<Draft>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, typed, updated_ms FROM drafts
         WHERE account = ?1 AND (?2 IS NULL OR id = ?2) ORDER BY updated_ms DESC, id",
    )?;
    let rows = statement.query_map(params![account, id], |row| {
        let typed: String = row.get(2)?;
        Ok((row.get(0)?, row.get(1)?, typed, row.get(3)?))
    })?;
    let mut drafts = Vec::new();
    for row in rows {
        let (id, kind, typed, updated_ms) = row?;
        let typed = serde_json::from_str(&typed)
            .map_err(|error| Error::because(Code::StoreCorrupt, "a draft is damaged", error))?;
        drafts.push(Draft {
            id,
            kind,
            typed,
            updated_ms,
        });
    }
    Ok(drafts)
}

/// Removes an account's draft, if it is there.
///
/// # Errors
/// The store cannot be written.
pub fn discard(connection: &Connection, account: &str, id: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM drafts WHERE id = ?1 AND account = ?2")?
        .execute([id, account])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_its_accounts_own_and_bounded() -> Result<()> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(include_str!("store/schema.sql"))?;
        let id = "0123456789abcdef0123456789abcdef";
        assert!(is_id(id) && !is_id("x") && !is_id(&id.to_uppercase()));
        let mut typed = Typed::from([("body".to_owned(), vec!["路灯".to_owned()])]);
        keep(&connection, "a", (id, "opinion"), &typed, 1)?;
        assert!(keep(&connection, "b", (id, "opinion"), &typed, 2).is_err());
        assert!(find(&connection, "b", id)?.is_none());
        discard(&connection, "b", id)?;
        let kept = find(&connection, "a", id)?;
        assert_eq!(kept.map(|draft| draft.typed), Some(typed.clone()));
        typed.insert("body".to_owned(), vec!["字".repeat(DRAFT_BYTES_MAX / 3)]);
        let long = keep(&connection, "a", (id, "opinion"), &typed, 3).err();
        assert_eq!(long.map(|error| error.code()), Some(Code::TooLarge));
        for n in 1..DRAFTS_MAX {
            keep(
                &connection,
                "a",
                (&format!("{n:032x}"), "opinion"),
                &Typed::new(),
                4,
            )?;
        }
        assert!(
            keep(
                &connection,
                "a",
                (&"f".repeat(32), "opinion"),
                &Typed::new(),
                5
            )
            .is_err()
        );
        Ok(())
    }
}
