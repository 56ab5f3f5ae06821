//! Who works at this device: accounts, their passwords, the browsers that are logged in, and links that
//! log in once.
//!
//! An account belongs to one device, whose administrator says in which roles it acts there. Its id travels in every change as a claim under the device's key; its
//! name and password stay here. Whoever owns the data directory may act for any account (command line);
//! a browser may act only after a login. Secrets that let a browser in are kept as hashes: a copied store
//! lets nobody in.
//!
//! Rejected: a session crate with its own store trait. What is needed is one table and four queries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use lianxin_protocol::catalogue::Role;
use lianxin_protocol::hash::{self, Hex};
use lianxin_protocol::text;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::{Code, Error, Result};

/// A login ends after this long without a request.
pub const LOGIN_IDLE_MS: u64 = 12 * 60 * 60 * 1_000;
/// Who had a login that ended is known this long: what they send then is kept for them, and nothing is shown.
const ENDED_KNOWN_MS: u64 = 14 * LOGIN_IDLE_MS;
/// A login link works this long.
pub const LINK_LIFE_MS: u64 = 15 * 60 * 1_000;
/// The last use of a login is noted at most this often: a page view should not cost a commit.
const SEEN_EVERY_MS: u64 = 5 * 60 * 1_000;
/// Logins and links kept at once; the oldest go first.
const LOGINS_MAX: u32 = 64;
/// Accounts on one device.
const ACCOUNTS_MAX: u32 = 100;
/// Characters of a name.
const NAME_MAX: usize = 40;
/// Characters of a password: six, so that a number can be used as well as a sentence.
pub const PASSWORD_MIN: usize = 6;
/// Bytes of a password that are hashed at most.
pub const PASSWORD_MAX: usize = 200;

/// A person at this device, as the store has them.
#[derive(Clone, Debug)]
pub struct Account {
    /// What changes carry.
    pub id: String,
    /// What people read on this device.
    pub name: String,
    /// Whether it can be logged in with.
    pub has_password: bool,
    /// The roles that it was given; none: all that the device's grant permits, which the first account has.
    pub roles: Option<BTreeSet<Role>>,
    /// How its pages look.
    pub taste: Taste,
}

/// How a person wants pages to look, and what stands on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Taste {
    /// English instead of Chinese.
    pub english: bool,
    /// 大字.
    pub large: bool,
    /// Single letters as shortcuts (WCAG 2.1.4: they can be switched off).
    pub keys: bool,
    /// What the person often writes, by the event of the step.
    pub phrases: BTreeMap<String, Vec<String>>,
    /// Addresses of lists that the person keeps on the first page.
    pub pins: Vec<String>,
}

impl Default for Taste {
    fn default() -> Self {
        Self {
            english: false,
            large: false,
            keys: true,
            phrases: BTreeMap::new(),
            pins: Vec::new(),
        }
    }
}

// ---- accounts ----

fn checked_name(name: &str) -> Result<String> {
    let name = text::line(name);
    if text::is_blank(&name) || name.chars().count() > NAME_MAX {
        return Err(Error::new(
            Code::Usage,
            "an account name has 1 to 40 characters on one line",
        ));
    }
    Ok(name)
}

/// The id of the account of this name, made if there is none: for callers who own the store.
///
/// # Errors
/// [`Code::Usage`] for a name that is none; the store cannot be written.
pub fn id_of(connection: &Connection, name: &str) -> Result<String> {
    match named(connection, name)? {
        Some(account) => Ok(account.id),
        None => insert(connection, &checked_name(name)?, None),
    }
}

fn insert(connection: &Connection, name: &str, roles: Option<&BTreeSet<Role>>) -> Result<String> {
    let account = Hex(&clock::random::<8>()?).to_string();
    connection
        .prepare_cached("INSERT INTO accounts (account, name, roles) VALUES (?1, ?2, ?3)")?
        .execute(params![account, name, roles.map(letters)])?;
    Ok(account)
}

/// Roles as the store keeps them.
fn letters(roles: &BTreeSet<Role>) -> String {
    roles.iter().map(|role| role.letter()).collect()
}

/// Adds an account with a password, in the roles of whoever adds it: nobody gives what they have not.
///
/// # Errors
/// [`Code::AccountTaken`] when there is one of this name, or too many.
pub fn add(
    connection: &Connection,
    name: &str,
    password: &PasswordHash,
    roles: Option<&BTreeSet<Role>>,
) -> Result<()> {
    let name = checked_name(name)?;
    let known: u32 = connection.query_row(
        "SELECT count(*) FROM accounts WHERE name = ?1",
        [&name],
        |row| row.get(0),
    )?;
    let all: u32 = connection.query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))?;
    if known > 0 || all >= ACCOUNTS_MAX {
        let message = "this device has an account of that name, or no room for another";
        return Err(Error::new(Code::AccountTaken, message));
    }
    let account = insert(connection, &name, roles)?;
    set_password(connection, &account, password)
}

/// Names by id, for showing who did what.
///
/// # Errors
/// The store cannot be read.
pub fn names(connection: &Connection) -> Result<BTreeMap<String, String>> {
    let mut statement = connection.prepare_cached("SELECT account, name FROM accounts")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const COLUMNS: &str = "account, name, password IS NOT NULL, taste, roles";

fn account(row: &rusqlite::Row<'_>) -> rusqlite::Result<Account> {
    let taste: String = row.get(3)?;
    let roles: Option<String> = row.get(4)?;
    Ok(Account {
        id: row.get(0)?,
        name: row.get(1)?,
        has_password: row.get(2)?,
        // A role of a newer version is one that nobody can act in here.
        roles: roles.map(|letters| {
            let letters = letters.chars().map(String::from);
            letters.filter_map(|letter| Role::of(&letter)).collect()
        }),
        // A taste of a newer version is not worth an error.
        taste: serde_json::from_str(&taste).unwrap_or_default(),
    })
}

fn one(connection: &Connection, only: &str, key: &[&str]) -> Result<Option<Account>> {
    let sql = format!("SELECT {COLUMNS} FROM accounts {only}");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row(rusqlite::params_from_iter(key), account);
    Ok(found.optional()?)
}

/// The device's first account, whoever set the device up.
///
/// # Errors
/// The store cannot be read.
pub fn first(connection: &Connection) -> Result<Option<Account>> {
    one(connection, "ORDER BY id LIMIT 1", &[])
}

/// The account of this name.
///
/// # Errors
/// [`Code::Usage`] for a name that is none; the store cannot be read.
pub fn named(connection: &Connection, name: &str) -> Result<Option<Account>> {
    one(connection, "WHERE name = ?1", &[&checked_name(name)?])
}

/// The account with this id.
///
/// # Errors
/// The store cannot be read.
pub fn find(connection: &Connection, account: &str) -> Result<Option<Account>> {
    one(connection, "WHERE account = ?1", &[account])
}

/// Gives an account these roles, and takes all others from it; none: all that the device's grant permits.
///
/// # Errors
/// The store cannot be written.
pub fn set_roles(
    connection: &Connection,
    account: &str,
    roles: Option<&BTreeSet<Role>>,
) -> Result<()> {
    connection
        .prepare_cached("UPDATE accounts SET roles = ?2 WHERE account = ?1")?
        .execute(params![account, roles.map(letters)])?;
    Ok(())
}

/// Gives an account another name; its id, which changes carry, stays.
///
/// # Errors
/// [`Code::AccountTaken`] when another has it, [`Code::Usage`] for a name that is none.
pub fn rename(connection: &Connection, account: &str, name: &str) -> Result<()> {
    let holder = named(connection, name)?;
    if holder.is_some_and(|holder| holder.id != account) {
        let message = "this device has another account of that name";
        return Err(Error::new(Code::AccountTaken, message));
    }
    connection
        .prepare_cached("UPDATE accounts SET name = ?2 WHERE account = ?1")?
        .execute([account, &checked_name(name)?])?;
    Ok(())
}

/// All accounts, the device's first account first.
///
/// # Errors
/// The store cannot be read.
pub fn all(connection: &Connection) -> Result<Vec<Account>> {
    let sql = format!("SELECT {COLUMNS} FROM accounts ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], account)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Keeps how a person wants pages to look.
///
/// # Errors
/// The store cannot be written.
pub fn set_taste(connection: &Connection, account: &str, taste: &Taste) -> Result<()> {
    let taste = serde_json::to_string(taste)
        .map_err(|error| Error::because(Code::Internal, "a taste cannot be written", error))?;
    connection
        .prepare_cached("UPDATE accounts SET taste = ?2 WHERE account = ?1")?
        .execute([account, &taste])?;
    Ok(())
}

// ---- passwords ----

/// What is tried first wherever somebody guesses passwords, folded, one a line: what is published of leaked ones every year, and what
/// people choose here (Li et al., A Large-Scale Empirical Analysis of Chinese Web Passwords, USENIX Security 2014). A line that ends in
/// `+` stands for itself with a few digits or marks around it as well.
const COMMON: &str = include_str!("accounts/common.txt");
/// Characters around a common word that make no password of it: a birthday has eight.
const AROUND_MAX: usize = 8;
/// Keys in a row, and what one counts by.
const ROWS: [&str; 7] = [
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "qazwsxedcrfvtgbyhnujm",
];

/// Whether a password is one of those that are tried first: a common one, a run of keys, a few characters over and over, a day or a
/// mobile phone's number.
fn is_common(password: &str) -> bool {
    let folded: Vec<char> = text::folded(password)
        .chars()
        .filter(|it| !it.is_whitespace())
        .collect();
    let whole: String = folded.iter().collect();
    let back: String = folded.iter().rev().collect();
    let runs = |row: &&str| row.contains(&whole) || row.contains(&back);
    let is_mark = |it: &char| !it.is_alphabetic();
    let stem = whole.trim_matches(|it: char| is_mark(&it));
    let around = folded.len() - stem.chars().count();
    let listed = |line: &str| match line.strip_suffix('+') {
        Some(word) => whole == word || (stem == word && around <= AROUND_MAX),
        None => whole == line,
    };
    let repeats = (1..=3).any(|block| {
        folded.len() >= 2 * block
            && folded
                .iter()
                .zip(folded.iter().skip(block))
                .all(|(a, b)| a == b)
    });
    ROWS.iter().any(runs) || repeats || COMMON.lines().any(listed) || is_known_number(&whole)
}

/// 19850612, 850612, 13800000000: others know it.
fn is_known_number(digits: &str) -> bool {
    if !digits.bytes().all(|it| it.is_ascii_digit()) {
        return false;
    }
    let part = |from: usize, until: usize| -> u32 {
        let part = digits.get(from..until).and_then(|it| it.parse().ok());
        part.unwrap_or(0)
    };
    let day = |at: usize| {
        (1..=12).contains(&part(at, at + 2)) && (1..=31).contains(&part(at + 2, at + 4))
    };
    match digits.len() {
        6 => day(2),
        8 => (1900..2100).contains(&part(0, 4)) && day(4),
        11 => (13..=19).contains(&part(0, 2)),
        _ => false,
    }
}

/// A password as the store keeps it: an argon2id string (RFC 9106, PHC format) with its own salt.
#[derive(Clone, Serialize, Deserialize)]
pub struct PasswordHash(String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("PasswordHash")
    }
}

impl PasswordHash {
    /// Hashes a password: 19 MiB and about a twentieth of a second, so not on a thread that others wait for.
    ///
    /// # Errors
    /// [`Code::WeakPassword`] for one that is too short or too long, [`Code::CommonPassword`] for one that is tried first.
    pub fn new(password: &str) -> Result<Self> {
        if password.chars().count() < PASSWORD_MIN || password.len() > PASSWORD_MAX {
            let message = format!(
                "a password has {PASSWORD_MIN} characters at least, and {PASSWORD_MAX} bytes at most"
            );
            return Err(Error::new(Code::WeakPassword, message));
        }
        if is_common(password) {
            let message = "this password is among those that are tried first";
            return Err(Error::new(Code::CommonPassword, message));
        }
        let salt = clock::random::<16>()?;
        let hashed = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
        hashed
            .map(|hash| Self(hash.to_string()))
            .map_err(|error| Error::because(Code::Internal, "a password cannot be hashed", error))
    }

    /// Whether this is the password.
    #[must_use]
    pub fn fits(&self, password: &str) -> bool {
        password.len() <= PASSWORD_MAX
            && Argon2::default()
                .verify_password(password.as_bytes(), self.0.as_str())
                .is_ok()
    }
}

/// Whether a password is right. Where there is none to compare with, as much work is done all the same, so
/// that the time it takes does not tell which names exist.
#[must_use]
pub fn fits(hash: Option<&PasswordHash>, password: &str) -> bool {
    static NONE: LazyLock<PasswordHash> = LazyLock::new(|| {
        let hashed = Argon2::default().hash_password_with_salt(b"nobody", &[0; 16]);
        PasswordHash(hashed.map(|hash| hash.to_string()).unwrap_or_default())
    });
    hash.unwrap_or(&NONE).fits(password) && hash.is_some()
}

/// Keeps a password; other browsers of the account are logged out.
///
/// # Errors
/// The store cannot be written.
pub fn set_password(connection: &Connection, account: &str, hash: &PasswordHash) -> Result<()> {
    connection
        .prepare_cached("UPDATE accounts SET password = ?2 WHERE account = ?1")?
        .execute([account, &hash.0])?;
    connection
        .prepare_cached("DELETE FROM logins WHERE account = ?1")?
        .execute([account])?;
    Ok(())
}

/// The account of a name with its password, if it has one.
///
/// # Errors
/// The store cannot be read.
pub fn by_name(connection: &Connection, name: &str) -> Result<Option<(String, PasswordHash)>> {
    let mut statement = connection.prepare_cached(
        "SELECT account, password FROM accounts WHERE name = ?1 AND password IS NOT NULL",
    )?;
    let found = statement
        .query_row([text::line(name)], |row| {
            Ok((row.get(0)?, PasswordHash(row.get(1)?)))
        })
        .optional()?;
    Ok(found)
}

// ---- logins and links ----

/// A secret of 128 random bits in 32 hex digits.
fn secret() -> Result<String> {
    Ok(Hex(&clock::random::<16>()?).to_string())
}

fn hashed(secret: &str) -> [u8; 32] {
    hash::LOGIN.hash(&[secret.as_bytes()])
}

/// Lets a browser in: the secret for its cookie.
///
/// # Errors
/// The store cannot be written.
pub fn log_in(connection: &Connection, account: &str, now_ms: u64) -> Result<String> {
    let secret = secret()?;
    connection
        .prepare_cached("DELETE FROM logins WHERE seen_ms + ?1 < ?2")?
        .execute([ENDED_KNOWN_MS, now_ms])?;
    connection
        .prepare_cached(
            "DELETE FROM logins WHERE token IN
                 (SELECT token FROM logins ORDER BY seen_ms DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([LOGINS_MAX - 1])?;
    connection
        .prepare_cached("INSERT INTO logins (token, account, seen_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![hashed(&secret), account, now_ms])?;
    Ok(secret)
}

/// Lets a browser that was logged in stay so after [`set_password`] has logged all of them out.
///
/// # Errors
/// The store cannot be written.
pub fn keep_in(connection: &Connection, account: &str, secret: &str, now_ms: u64) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO logins (token, account, seen_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![hashed(secret), account, now_ms])?;
    Ok(())
}

/// What a browser's cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// It stands for its account. `unnoted`: its use is to be noted with [`seen`].
    Holds {
        /// Longer ago than is noted each time.
        unnoted: bool,
    },
    /// It was not used for too long.
    Ended,
}

/// Whose a browser's cookie is, and what it is worth.
///
/// # Errors
/// The store cannot be read.
pub fn login(
    connection: &Connection,
    secret: &str,
    now_ms: u64,
) -> Result<Option<(Account, Login)>> {
    let sql = format!(
        "SELECT {COLUMNS}, seen_ms FROM logins JOIN accounts USING (account) WHERE token = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement
        .query_row([hashed(secret)], |row| {
            Ok((account(row)?, row.get::<_, u64>(5)?))
        })
        .optional()?;
    let found = found.filter(|(_, seen_ms)| seen_ms + ENDED_KNOWN_MS > now_ms);
    Ok(found.map(|(account, seen_ms)| {
        let login = if seen_ms + LOGIN_IDLE_MS > now_ms {
            let unnoted = seen_ms + SEEN_EVERY_MS < now_ms;
            Login::Holds { unnoted }
        } else {
            Login::Ended
        };
        (account, login)
    }))
}

/// Notes that a login is in use.
///
/// # Errors
/// The store cannot be written.
pub fn seen(connection: &Connection, secret: &str, now_ms: u64) -> Result<()> {
    connection
        .prepare_cached("UPDATE logins SET seen_ms = ?2 WHERE token = ?1")?
        .execute(params![hashed(secret), now_ms])?;
    Ok(())
}

/// Ends a login.
///
/// # Errors
/// The store cannot be written.
pub fn log_out(connection: &Connection, secret: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM logins WHERE token = ?1")?
        .execute([hashed(secret)])?;
    Ok(())
}

/// The secret of a link that logs in once, as the device's first account.
///
/// # Errors
/// The store cannot be written.
pub fn new_link(connection: &Connection, now_ms: u64) -> Result<String> {
    let secret = secret()?;
    connection
        .prepare_cached("DELETE FROM links WHERE expires_ms < ?1")?
        .execute([now_ms])?;
    connection
        .prepare_cached(
            "DELETE FROM links WHERE token IN
                 (SELECT token FROM links ORDER BY expires_ms DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([LOGINS_MAX - 1])?;
    connection
        .prepare_cached("INSERT INTO links (token, expires_ms) VALUES (?1, ?2)")?
        .execute(params![hashed(&secret), now_ms + LINK_LIFE_MS])?;
    Ok(secret)
}

/// Uses a link up: logs its bearer in, or gives nothing if it is unknown, used or too old.
///
/// # Errors
/// The store cannot be written.
pub fn take_link(connection: &Connection, secret: &str, now_ms: u64) -> Result<Option<String>> {
    let taken = connection
        .prepare_cached("DELETE FROM links WHERE token = ?1 AND expires_ms >= ?2")?
        .execute(params![hashed(secret), now_ms])?;
    if taken == 0 {
        return Ok(None);
    }
    let first = first(connection)?;
    let first = first.ok_or_else(|| Error::new(Code::Internal, "the store has no account"))?;
    log_in(connection, &first.id, now_ms).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Result<Connection> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(include_str!("store/schema.sql"))?;
        Ok(connection)
    }

    fn holds(connection: &Connection, secret: &str, now_ms: u64) -> Result<bool> {
        let found = login(connection, secret, now_ms)?;
        Ok(found.is_some_and(|(_, login)| login != Login::Ended))
    }

    #[test]
    fn a_link_logs_in_once_and_not_after_its_time() -> Result<()> {
        let connection = store()?;
        id_of(&connection, "clerk")?;
        let link = new_link(&connection, 1_000)?;
        assert!(take_link(&connection, &link, 1_001)?.is_some());
        assert!(take_link(&connection, &link, 1_002)?.is_none());
        let link = new_link(&connection, 1_000)?;
        assert!(take_link(&connection, &link, 1_001 + LINK_LIFE_MS)?.is_none());
        Ok(())
    }

    #[test]
    fn a_login_ends_when_it_rests_too_long_or_the_password_changes() -> Result<()> {
        let connection = store()?;
        let account = id_of(&connection, "clerk")?;
        let cookie = log_in(&connection, &account, 0)?;
        assert!(holds(&connection, &cookie, LOGIN_IDLE_MS - 1)?);
        assert!(!holds(&connection, &cookie, LOGIN_IDLE_MS)?);
        seen(&connection, &cookie, LOGIN_IDLE_MS)?;
        assert!(holds(&connection, &cookie, LOGIN_IDLE_MS + 1)?);
        set_password(&connection, &account, &PasswordHash::new("correct horse")?)?;
        assert!(!holds(&connection, &cookie, LOGIN_IDLE_MS + 1)?);
        Ok(())
    }

    #[test]
    fn a_password_is_kept_as_its_hash_and_weak_ones_are_refused() -> Result<()> {
        let connection = store()?;
        let hash = PasswordHash::new("试一个口令吧")?;
        add(&connection, "李四", &hash, None)?;
        let Some((_, kept)) = by_name(&connection, " 李四 ")? else {
            return Err(Error::new(Code::Internal, "not found"));
        };
        assert!(kept.0.starts_with("$argon2id$"));
        assert!(kept.fits("试一个口令吧") && !kept.fits("试一个口令"));
        for weak in ["", "12345", &"长".repeat(80)] {
            let refused = PasswordHash::new(weak).err();
            assert_eq!(refused.map(|error| error.code()), Some(Code::WeakPassword));
        }
        let refused = PasswordHash::new("Ｐａssword2026").err();
        assert_eq!(
            refused.map(|error| error.code()),
            Some(Code::CommonPassword)
        );
        let again = add(&connection, "李四", &hash, None).err();
        assert_eq!(again.map(|error| error.code()), Some(Code::AccountTaken));
        Ok(())
    }

    #[test]
    fn what_is_tried_first_is_common_however_it_is_spelt() {
        for common in [
            "123456",
            "654321",
            "aaaaaaaa",
            "121212",
            "abcabc",
            "5201314",
            "woaini1314",
            "WoAiNi!",
            "a123456",
            "ｑｑ１２３４５６",
            "Admin@123",
            "P@ssw0rd",
            "qwerty",
            "poiuyt",
            "1qaz2wsx",
            "asdfgh",
            "wang19850612",
            "19850612",
            "850612",
            "13800000001",
            "lianxin2026",
            "连心123456",
            "我爱你1314",
            "密码密码",
        ] {
            assert!(is_common(common), "{common}");
        }
        for own in [
            "试一个口令吧",
            "correct horse",
            "路灯已经修好了",
            "a long enough one",
            "8406193",
            "zhangsan likes tea",
            "q8Vn-31xK",
            "20269999",
            "password of my grandmother",
        ] {
            assert!(!is_common(own), "{own}");
        }
        let lines: Vec<_> = COMMON.lines().collect();
        assert!(
            lines.is_sorted_by(|a, b| a < b),
            "the list is kept in order, each once"
        );
        for line in lines {
            let word = line.trim_end_matches('+');
            assert_eq!(text::folded(word), word);
        }
    }

    #[test]
    fn roles_are_kept_and_those_of_a_newer_version_give_nothing() -> Result<()> {
        let connection = store()?;
        let id = id_of(&connection, "clerk")?;
        let roles = || -> Result<_> { Ok(find(&connection, &id)?.and_then(|it| it.roles)) };
        assert_eq!(roles()?, None);
        let given = BTreeSet::from([Role::Hub, Role::Supervisor]);
        set_roles(&connection, &id, Some(&given))?;
        assert_eq!(roles()?, Some(given));
        connection.execute("UPDATE accounts SET roles = 'X'", [])?;
        assert_eq!(roles()?, Some(BTreeSet::new()));
        set_roles(&connection, &id, None)?;
        assert_eq!(roles()?, None);
        Ok(())
    }

    #[test]
    fn logins_are_bounded_and_the_oldest_go() -> Result<()> {
        let connection = store()?;
        let account = id_of(&connection, "clerk")?;
        let first = log_in(&connection, &account, 1)?;
        for at in 2..200 {
            log_in(&connection, &account, at)?;
        }
        let kept: u32 =
            connection.query_row("SELECT count(*) FROM logins", [], |row| row.get(0))?;
        assert_eq!(kept, LOGINS_MAX);
        assert!(!holds(&connection, &first, 201)?);
        Ok(())
    }
}
