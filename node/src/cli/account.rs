//! `account`: who works at this device. Passwords are hashed here, on no thread that others wait for, and go on no command line.

use std::path::Path;

use lianxin_protocol::base32;
use serde_json::{Value, json};

use super::{AccountVerb, Door, Output, add};
use crate::accounts::PasswordHash;
use crate::clock;
use crate::command::{Query, Write};
use crate::error::Result;

pub(super) fn run(verb: AccountVerb, data: &Path, output: Output) -> Result<u8> {
    let mut door = Door::open(data)?;
    let (command, shown) = match verb {
        AccountVerb::List => return output.print(&door.call(Query::AccountList)?),
        AccountVerb::Roles { name, roles } => {
            return output.print(&door.call(Write::AccountRoles { name, roles })?);
        }
        AccountVerb::Rename { name, to } => {
            return output.print(&door.call(Write::AccountRename { name, to })?);
        }
        AccountVerb::Add {
            name,
            roles,
            password_file,
        } => {
            let (password, shown) = password(password_file.as_deref())?;
            let command = Write::AccountAdd {
                name,
                roles,
                password,
            };
            (command, shown)
        }
        AccountVerb::Reset {
            name,
            password_file,
        } => {
            let (password, shown) = password(password_file.as_deref())?;
            (Write::AccountReset { name, password }, shown)
        }
    };
    let mut reply = door.call(command)?;
    if let (Value::Object(fields), Some(shown)) = (&mut reply.value, shown) {
        fields.insert("new_password".to_owned(), json!(shown));
    }
    output.print(&reply)
}

/// The password of a file's first line, or one that is drawn and shown once: 60 random bits.
fn password(file: Option<&Path>) -> Result<(PasswordHash, Option<String>)> {
    if let Some(file) = file {
        let text = add::read(file)?;
        let line = text.lines().next().unwrap_or_default();
        return Ok((PasswordHash::new(line)?, None));
    }
    let drawn = base32::encode(&clock::random::<10>()?);
    let drawn: Vec<_> = drawn.chars().take(12).collect();
    let groups = drawn
        .chunks(4)
        .map(|group| group.iter().collect::<String>());
    let drawn = groups.collect::<Vec<_>>().join("-");
    Ok((PasswordHash::new(&drawn)?, Some(drawn)))
}
