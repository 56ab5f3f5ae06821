//! Where a matter leads that goes the way of another, and what goes its way.
//!
//! What was merged on one computer may have been merged the other way round on another. Nobody answers any of them then, until one is
//! separated again; they are one matter all the same, and for whoever counts the one that was founded first stands for all.

use lianxin_protocol::catalogue::{Follows, Kind};
use rusqlite::Connection;
use serde_json::Value;

use super::query::{Listed, named, referring};
use crate::error::Result;

/// More than anybody puts in the place of each other.
const DEEP: usize = 64;

/// Where one leads.
#[derive(Clone, Debug)]
pub enum Way {
    /// To this one, which goes its own way; to itself if it was merged into none.
    Main(Box<Listed>),
    /// Back to where it came by: these were merged into each other. The one that was founded first.
    Circle(Box<Listed>),
    /// To one that is not here.
    Elsewhere,
}

impl Way {
    /// The one that stands for all that lead there.
    #[must_use]
    pub fn main(&self) -> Option<&Listed> {
        match self {
            Self::Main(row) | Self::Circle(row) => Some(row),
            Self::Elsewhere => None,
        }
    }
}

/// Where one leads.
///
/// # Errors
/// The store cannot be read.
pub fn way(
    connection: &Connection,
    row: &Listed,
    (kind, follows): (&Kind, &Follows),
) -> Result<Way> {
    let kinds = std::slice::from_ref(&kind.code);
    let mut passed: Vec<Listed> = Vec::new();
    let mut at = row.clone();
    while passed.len() < DEEP {
        let into = at.fact(&follows.field).and_then(Value::as_str);
        let Some(into) = into.map(str::to_owned) else {
            return Ok(Way::Main(Box::new(at)));
        };
        let next = named(connection, &into, kinds)?;
        passed.push(at);
        let Some(next) = next else {
            return Ok(Way::Elsewhere);
        };
        if let Some(begins) = passed.iter().position(|it| it.id == next.id) {
            let circle = passed.into_iter().skip(begins);
            let first = circle.min_by_key(|it| it.id).unwrap_or(next);
            return Ok(Way::Circle(Box::new(first)));
        }
        at = next;
    }
    Ok(Way::Elsewhere)
}

/// All that go the way of one, directly or by way of others, each once; itself is not among them.
///
/// # Errors
/// The store cannot be read.
pub fn followers(
    connection: &Connection,
    row: &Listed,
    (kind, follows): (&Kind, &Follows),
    most: usize,
) -> Result<Vec<Listed>> {
    let mut found: Vec<Listed> = Vec::new();
    let mut next = vec![row.clone()];
    while let Some(at) = next.pop() {
        for other in referring(connection, &at, (&kind.code, &follows.field), most)? {
            let known = other.id == row.id || found.iter().any(|it| it.id == other.id);
            if !known && found.len() < most {
                next.push(other.clone());
                found.push(other);
            }
        }
    }
    Ok(found)
}
