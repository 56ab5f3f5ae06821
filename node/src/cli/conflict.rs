//! `conflict`: fields that two devices changed at once, as what is asked of a store.

use std::path::Path;

use serde_json::Value;

use super::{Conflict, add};
use crate::command::{Command, Query, Take, Write};
use crate::error::{Code, Error, Result};

/// What a verb asks for.
///
/// # Errors
/// [`Code::Usage`] for a choice that is none.
pub(super) fn command(verb: Conflict, account: Option<String>) -> Result<Command> {
    Ok(match verb {
        Conflict::List { limit, after } => Query::ConflictList {
            limit,
            after,
            account,
        }
        .into(),
        Conflict::Show { id } => Query::ConflictShow { id, account }.into(),
        Conflict::Resolve {
            id,
            field,
            take,
            file,
            reason,
        } => Write::ConflictResolve {
            id,
            field,
            take: taken(&take, file.as_deref())?,
            reason,
            account,
        }
        .into(),
    })
}

/// What `conflict resolve` takes.
fn taken(word: &str, file: Option<&Path>) -> Result<Take> {
    let usage = |message: &str| Error::new(Code::Usage, message.to_owned());
    Ok(match (word, file) {
        ("mine", None) => Take::Mine,
        ("theirs", None) => Take::Theirs,
        ("both", None) => Take::Both,
        ("text", Some(file)) => {
            let given = add::object(file)?;
            let text = given.get("text").and_then(Value::as_str);
            let text = text.ok_or_else(|| usage("the file of --take text has no `text`"))?;
            Take::Text(text.to_owned())
        }
        ("text", None) => return Err(usage("--take text needs --file")),
        (_, Some(_)) => return Err(usage("--file goes with --take text")),
        (place, None) => {
            let place = place.parse().map_err(|_| {
                usage("--take takes mine, theirs, both, text, or the place of a value from 1")
            })?;
            Take::Place(place)
        }
    })
}
