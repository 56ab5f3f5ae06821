//! What is being typed: drafts of forms, kept in the store from the first pause in typing on, so that a
//! closed tab, a crash or a power cut costs at most the last second. Nothing of a draft leaves the device.
//!
//! A draft holds what was typed, right or wrong, as the form sends it. Its id becomes the submission id of
//! the record, so that a draft is registered once whatever is clicked twice.

use std::collections::BTreeMap;

use lianxin_protocol::hash::Hex;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::clock;
use crate::error::{Code, Error, Result};

/// What was typed: the form's names, each with its values in order.
pub type Typed = BTreeMap<String, Vec<String>>;

/// Drafts of one account at once.
const DRAFTS_MAX: u32 = 200;
/// Bytes of one draft.
pub const DRAFT_BYTES_MAX: usize = 256 * 1024;
/// How long a draft that was thrown away can be taken back, in days, and how many of an account are kept so.
pub const TRASH_DAYS: u64 = 30;
const TRASH_MAX: u32 = 200;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Digits of an id: 128 random bits.
const ID_DIGITS: usize = 32;

/// A draft.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its id.
    pub id: String,
    /// Code of the kind of record, or what else it is a draft of.
    pub kind: String,
    /// What was typed.
    pub typed: Typed,
    /// Unix milliseconds of the last save.
    pub updated_ms: u64,
    /// The window that kept it last.
    pub window: String,
}

/// The window in which a draft is written on: two that show the same draft must not wipe each other's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Its own id.
    pub id: String,
    /// The window that had kept the draft last when this one was shown it.
    pub after: String,
}

/// Where a form's words were kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The draft's id: another one than was named if that had been written on elsewhere since.
    pub id: String,
    /// It stands beside the draft that was named.
    pub beside: bool,
}

/// Whether a text can be a draft's id.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS
        && text
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// Keeps a draft. Each belongs to the account that began it. Where another window has written on it since, nothing of it is
/// overwritten: what was typed in this one becomes a draft beside it.
///
/// # Errors
/// [`Code::TooLarge`] for too much text or too many drafts; [`Code::NoRecord`] when another account has it.
pub fn keep(
    connection: &Connection,
    account: &str,
    (id, kind): (&str, &str),
    (typed, window): (&Typed, &Window),
    now_ms: u64,
) -> Result<Kept> {
    let text = serde_json::to_string(typed)
        .map_err(|error| Error::because(Code::Internal, "a draft cannot be written", error))?;
    let known: Option<[String; 3]> = connection
        .prepare_cached("SELECT account, typed, window FROM drafts WHERE id = ?1")?
        .query_row([id], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
        .optional()?;
    let mut kept = Kept {
        id: id.to_owned(),
        beside: false,
    };
    if let Some([owner, before, last]) = &known {
        if owner != account {
            let message = "this draft is another account's";
            return Err(Error::new(Code::NoRecord, message));
        }
        if *before == text {
            connection
                .prepare_cached("UPDATE drafts SET trashed_ms = NULL WHERE id = ?1")?
                .execute([id])?;
            return Ok(kept);
        }
        if *last != window.id && *last != window.after {
            kept = Kept {
                id: new_id()?,
                beside: true,
            };
        }
    }
    let count: u32 = connection
        .prepare_cached("SELECT count(*) FROM drafts WHERE account = ?1 AND trashed_ms IS NULL")?
        .query_row([account], |row| row.get(0))?;
    let new = known.is_none() || kept.beside;
    if text.len() > DRAFT_BYTES_MAX || (new && count >= DRAFTS_MAX) {
        let message = "a draft is too long, or there are too many: register or discard some";
        return Err(Error::new(Code::TooLarge, message));
    }
    connection
        .prepare_cached(
            "INSERT INTO drafts (id, account, kind, typed, updated_ms, window)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET typed = excluded.typed,
                 updated_ms = excluded.updated_ms, window = excluded.window, trashed_ms = NULL",
        )?
        .execute(params![kept.id, account, kind, text, now_ms, window.id])?;
    expire(connection, now_ms)?;
    Ok(kept)
}

/// An id for a new draft.
///
/// # Errors
/// The system gives no randomness.
pub fn new_id() -> Result<String> {
    Ok(Hex(&clock::random::<16>()?).to_string())
}

/// An account's draft.
///
/// # Errors
/// The store cannot be read.
pub fn find(connection: &Connection, account: &str, id: &str) -> Result<Option<Draft>> {
    Ok(select(connection, (account, false), Some(id), "")?.pop())
}

/// An account's drafts of what begins so, newest first.
///
/// # Errors
/// The store cannot be read.
pub fn about(connection: &Connection, account: &str, begins: &str) -> Result<Vec<Draft>> {
    select(connection, (account, false), None, begins)
}

/// An account's drafts, newest first.
///
/// # Errors
/// The store cannot be read.
pub fn list(connection: &Connection, account: &str) -> Result<Vec<Draft>> {
    select(connection, (account, false), None, "")
}

/// What an account has thrown away lately, newest first.
///
/// # Errors
/// The store cannot be read.
pub fn trashed(connection: &Connection, account: &str) -> Result<Vec<Draft>> {
    select(connection, (account, true), None, "")
}

fn select(
    connection: &Connection,
    (account, trashed): (&str, bool),
    id: Option<&str>,
    begins: &str,
) -> Result<Vec<Draft>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, typed, updated_ms, window FROM drafts
         WHERE account = ?1 AND (?2 IS NULL OR id = ?2) AND substr(kind, 1, length(?3)) = ?3
             AND (trashed_ms IS NOT NULL) = ?4
         ORDER BY trashed_ms DESC, updated_ms DESC, id",
    )?;
    let rows = statement.query_map(params![account, id, begins, trashed], |row| {
        let typed: String = row.get(2)?;
        Ok((row.get(0)?, row.get(1)?, typed, row.get(3)?, row.get(4)?))
    })?;
    let mut drafts = Vec::new();
    for row in rows {
        let (id, kind, typed, updated_ms, window) = row?;
        let typed = serde_json::from_str(&typed)
            .map_err(|error| Error::because(Code::StoreCorrupt, "a draft is damaged", error))?;
        drafts.push(Draft {
            id,
            kind,
            typed,
            updated_ms,
            window,
        });
    }
    Ok(drafts)
}

/// Removes a draft of which this window has taken back every word, unless another has written on it since.
///
/// # Errors
/// The store cannot be written.
pub fn emptied(connection: &Connection, account: &str, id: &str, window: &Window) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM drafts WHERE id = ?1 AND account = ?2 AND window IN (?3, ?4)")?
        .execute([id, account, &window.id, &window.after])?;
    Ok(())
}

/// Throws an account's draft away, if it is there: for [`TRASH_DAYS`] days it can be taken back.
///
/// # Errors
/// The store cannot be written.
pub fn trash(connection: &Connection, account: &str, id: &str, now_ms: u64) -> Result<()> {
    connection
        .prepare_cached("UPDATE drafts SET trashed_ms = ?3 WHERE id = ?1 AND account = ?2")?
        .execute(params![id, account, now_ms])?;
    connection
        .prepare_cached(
            "DELETE FROM drafts WHERE account = ?1 AND id IN
                 (SELECT id FROM drafts WHERE account = ?1 AND trashed_ms IS NOT NULL
                  ORDER BY trashed_ms DESC, id LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![account, TRASH_MAX])?;
    expire(connection, now_ms)
}

/// Takes back a draft that an account has thrown away, if it is there still.
///
/// # Errors
/// [`Code::TooLarge`] where there are too many; the store cannot be written.
pub fn restore(connection: &Connection, account: &str, id: &str) -> Result<()> {
    let count: u32 = connection
        .prepare_cached("SELECT count(*) FROM drafts WHERE account = ?1 AND trashed_ms IS NULL")?
        .query_row([account], |row| row.get(0))?;
    if count >= DRAFTS_MAX {
        let message = "there are too many drafts: register or discard some";
        return Err(Error::new(Code::TooLarge, message));
    }
    connection
        .prepare_cached("UPDATE drafts SET trashed_ms = NULL WHERE id = ?1 AND account = ?2")?
        .execute([id, account])?;
    Ok(())
}

/// Erases what was thrown away long ago. A clock that was set back erases nothing early.
///
/// # Errors
/// The store cannot be written.
pub fn expire(connection: &Connection, now_ms: u64) -> Result<()> {
    let before = now_ms.saturating_sub(TRASH_DAYS * DAY_MS);
    connection
        .prepare_cached("DELETE FROM drafts WHERE trashed_ms < ?1")?
        .execute([before])?;
    Ok(())
}

/// Removes an account's draft, if it is there: its words stand elsewhere now.
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
        let one = Window {
            id: "one".to_owned(),
            after: String::new(),
        };
        let keep = |account: &str, id: &str, typed: &Typed, window: &Window| {
            keep(&connection, account, (id, "opinion"), (typed, window), 1)
        };
        assert!(!keep("a", id, &typed, &one)?.beside);
        assert!(keep("b", id, &typed, &one).is_err());
        assert!(find(&connection, "b", id)?.is_none());
        discard(&connection, "b", id)?;
        let kept = find(&connection, "a", id)?;
        assert_eq!(kept.map(|draft| draft.typed), Some(typed.clone()));
        typed.insert("body".to_owned(), vec!["字".repeat(DRAFT_BYTES_MAX / 3)]);
        let long = keep("a", id, &typed, &one).err();
        assert_eq!(long.map(|error| error.code()), Some(Code::TooLarge));
        for n in 1..DRAFTS_MAX {
            keep("a", &format!("{n:032x}"), &Typed::new(), &one)?;
        }
        assert!(keep("a", &"f".repeat(32), &Typed::new(), &one).is_err());
        Ok(())
    }

    #[test]
    fn what_was_thrown_away_is_taken_back_for_thirty_days_and_then_gone() -> Result<()> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(include_str!("store/schema.sql"))?;
        let typed = Typed::from([("body".to_owned(), vec!["路灯".to_owned()])]);
        let window = Window::default();
        let id = |n: u32| format!("{n:032x}");
        let keep = |n, now_ms| {
            keep(
                &connection,
                "a",
                (&id(n), "opinion"),
                (&typed, &window),
                now_ms,
            )
            .map(drop)
        };
        let count = || -> Result<(usize, usize)> {
            Ok((
                list(&connection, "a")?.len(),
                trashed(&connection, "a")?.len(),
            ))
        };
        keep(1, 1)?;
        keep(2, 1)?;
        trash(&connection, "b", &id(1), 5)?;
        assert_eq!(count()?, (2, 0), "somebody else's");
        trash(&connection, "a", &id(1), 5)?;
        assert_eq!(count()?, (1, 1));
        assert!(find(&connection, "a", &id(1))?.is_none());
        restore(&connection, "b", &id(1))?;
        assert_eq!(count()?, (1, 1));
        restore(&connection, "a", &id(1))?;
        assert_eq!(count()?, (2, 0));
        // Whoever types on in another window has it back.
        trash(&connection, "a", &id(1), 5)?;
        let more = Typed::from([("body".to_owned(), vec!["路灯不亮".to_owned()])]);
        super::keep(&connection, "a", (&id(1), "opinion"), (&more, &window), 6)?;
        assert_eq!(count()?, (2, 0));
        trash(&connection, "a", &id(1), 5)?;
        expire(&connection, 4 + TRASH_DAYS * DAY_MS)?;
        assert_eq!(count()?, (1, 1));
        expire(&connection, 6 + TRASH_DAYS * DAY_MS)?;
        assert_eq!(count()?, (1, 0));
        for n in 10..10 + TRASH_MAX + 5 {
            keep(n, 1)?;
            trash(&connection, "a", &id(n), u64::from(n))?;
        }
        let trashed = trashed(&connection, "a")?;
        assert_eq!(trashed.len(), TRASH_MAX as usize);
        assert!(
            trashed.iter().all(|it| it.id != id(10)),
            "not the oldest went"
        );
        Ok(())
    }

    #[test]
    fn two_windows_never_wipe_each_others_words() -> Result<()> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(include_str!("store/schema.sql"))?;
        let typed = |words: &str| Typed::from([("body".to_owned(), vec![words.to_owned()])]);
        let window = |id: &str, after: &str| Window {
            id: id.to_owned(),
            after: after.to_owned(),
        };
        let id = "0123456789abcdef0123456789abcdef";
        let keep = |words: &str, window: &Window| {
            let kept = keep(
                &connection,
                "a",
                (id, "opinion"),
                (&typed(words), window),
                1,
            )?;
            Ok::<_, Error>((kept.beside, kept.id))
        };
        let (one, two) = (window("one", ""), window("two", "one"));
        assert!(!keep("路灯", &one)?.0);
        // The second was shown what the first had kept, and goes on from there.
        assert!(!keep("路灯不亮", &two)?.0);
        assert!(!keep("路灯不亮了", &two)?.0);
        // The first knows nothing of it.
        let (beside, other) = keep("路灯和井盖", &one)?;
        assert!(beside && other != id);
        // What says the same needs no second draft.
        assert!(!keep("路灯不亮了", &one)?.0);
        let all: Vec<_> = list(&connection, "a")?
            .into_iter()
            .map(|it| it.typed)
            .collect();
        assert_eq!(all.len(), 2);
        assert!(all.contains(&typed("路灯不亮了")) && all.contains(&typed("路灯和井盖")));
        Ok(())
    }
}
