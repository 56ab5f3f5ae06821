//! The accounts of this device and the roles in which they act.

use std::collections::BTreeSet;

use lianxin_protocol::catalogue::Role;
use lianxin_protocol::text;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::accounts::{self, Account, PasswordHash};
use crate::actor::{Actor, permitted};
use crate::error::{Code, Error, Result};
use crate::journal::Overview;
use crate::reply::Reply;

pub(super) fn list(overview: &Overview, connection: &Connection) -> Result<Reply> {
    let accounts = accounts::all(connection)?;
    let accounts = accounts.iter().map(|account| value(overview, account));
    Ok(Reply::ok(
        json!({ "accounts": accounts.collect::<Vec<_>>() }),
    ))
}

pub(super) fn set_roles(
    overview: &Overview,
    connection: &Connection,
    name: &str,
    letters: &[String],
) -> Result<Reply> {
    let roles = given(overview, letters)?;
    let account = known(connection, name)?;
    accounts::set_roles(connection, &account.id, roles.as_ref())?;
    shown(overview, connection, name)
}

/// Adds one in these roles, or in all that the grant permits.
pub(super) fn add(
    overview: &Overview,
    connection: &Connection,
    name: &str,
    letters: &[String],
    password: &PasswordHash,
) -> Result<Reply> {
    let roles = given(overview, letters)?;
    accounts::add(connection, name, password, roles.as_ref())?;
    shown(overview, connection, name)
}

pub(super) fn rename(
    overview: &Overview,
    connection: &Connection,
    name: &str,
    to: &str,
) -> Result<Reply> {
    accounts::rename(connection, &known(connection, name)?.id, to)?;
    shown(overview, connection, to)
}

/// Gives one another password, which ends its logins.
pub(super) fn reset(
    overview: &Overview,
    connection: &Connection,
    name: &str,
    password: &PasswordHash,
) -> Result<Reply> {
    accounts::set_password(connection, &known(connection, name)?.id, password)?;
    shown(overview, connection, name)
}

fn known(connection: &Connection, name: &str) -> Result<Account> {
    let unknown = || Error::new(Code::Usage, "this device has no account of that name");
    accounts::named(connection, name)?.ok_or_else(unknown)
}

fn shown(overview: &Overview, connection: &Connection, name: &str) -> Result<Reply> {
    Ok(Reply::ok(value(overview, &known(connection, name)?)))
}

/// Roles by their letters; no letter: all that the device's grant permits.
fn given(overview: &Overview, letters: &[String]) -> Result<Option<BTreeSet<Role>>> {
    let roles = (!letters.is_empty()).then(|| read(letters)).transpose()?;
    let permitted = permitted(overview.role());
    if let Some(beyond) = roles.iter().flatten().find(|it| !permitted.contains(it)) {
        let message = format!(
            "the grant of this device does not permit the role {}",
            beyond.letter()
        );
        return Err(Error::new(Code::NotPermitted, message));
    }
    Ok(roles)
}

/// Roles by their letters, in small or in capitals.
fn read(letters: &[String]) -> Result<BTreeSet<Role>> {
    let role = |letter: &String| {
        Role::of(&text::code(letter)).ok_or_else(|| {
            let known = Role::ALL.map(|role| format!("{} {}", role.letter(), role.label().en));
            let message = format!("a role is one of: {}", known.join(", "));
            Error::new(Code::Usage, message)
        })
    };
    letters.iter().map(role).collect()
}

fn value(overview: &Overview, account: &Account) -> Value {
    let actor = Actor::of(account, overview);
    let roles = actor.roles().iter().map(|role| role.letter());
    json!({
        "account": account.id,
        "name": account.name,
        "roles": roles.collect::<Vec<_>>(),
        "all": account.roles.is_none(),
        "password": account.has_password,
    })
}
