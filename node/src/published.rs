//! 下发登记表: kinds of record that the sub-district publishes itself, and newer forms of those that are shipped. The file goes into the
//! bulletin and with it to every device, which goes by it from when it is whole.
//!
//! Rows are made by the catalogue. Which file each kind had when its rows were made is noted in the store, so that they are made anew when that
//! changes: because a file was published, or because the program is a newer one.
//!
//! Owns which published files count: of a kind the newest version that came whole, in the space where the sub-district alone writes. A
//! file that this program cannot read is passed over, and what is of its kind is kept as it came. Must not judge what a file says: the
//! catalogue does.
//!
//! Rejected: files beside the store, put there by whoever installs. A form that half of the devices have is two forms.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{
    Catalogue, CatalogueError, Draft, Fact, KindFile, PUBLISHED_MAX,
};
use lianxin_protocol::hash::{Hex, KIND_FILE};
use lianxin_protocol::log::RecordId;
use lianxin_protocol::space::Space;
use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};
use crate::records::save::{self, Author, Saved};
use crate::records::{self, Listed, pieces};
use crate::store;

/// The kind of a published file.
pub const KIND: &str = "kind_file";
/// Files that are looked at, the newest: every version is one.
const FILES_MAX: usize = 500;
/// Where the store notes by which files its rows were made.
const MADE_BY: &str = "kinds";

/// A file that may be published, and what it brings.
#[derive(Debug)]
pub struct Looked {
    file: KindFile,
    /// What people call the kind.
    pub name: String,
    /// Whether there is no kind of this code yet.
    pub is_new: bool,
    /// Fields that it adds, as people read them.
    pub fields: Vec<String>,
}

impl Looked {
    /// The code of the kind.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.file.code
    }

    /// Which form of it this is.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.file.version
    }
}

/// Looks at a file that is to be published: by itself, against the form that there is, and beside all other kinds.
///
/// # Errors
/// [`Code::BadKind`] with what is wrong; [`Code::TooLarge`] beyond [`PUBLISHED_MAX`] kinds.
pub fn look(connection: &Connection, books: &mut Books, text: &str) -> Result<Looked> {
    let file = KindFile::read(text).map_err(refused)?;
    let mut files = counting(connection, books)?;
    let is_it = |it: &KindFile| it.code == file.code;
    let shipped = Catalogue::shipped().map_err(refused)?;
    let known = shipped.iter().chain(&files).filter(|it| is_it(it));
    let known = known.max_by_key(|it| it.version).cloned();
    if let Some(known) = &known {
        file.adds_to(known).map_err(refused)?;
    }
    files.retain(|it| !is_it(it));
    files.push(file.clone());
    if files.len() > PUBLISHED_MAX {
        let message = "too many kinds are published";
        return Err(Error::new(Code::TooLarge, message));
    }
    let all = Catalogue::with(&files).map_err(refused)?;
    let lost = || Error::new(Code::Internal, "a kind that was read is not there");
    let kind = all.kind(&file.code).ok_or_else(lost)?;
    let before = known.map_or(0, |it| it.version);
    let placed = kind.sections.iter().flat_map(|section| &section.fields);
    let placed = placed.filter_map(|key| kind.field(key));
    let fields = placed.filter(|field| field.since > before);
    Ok(Looked {
        name: kind.label.zh.clone(),
        is_new: before == 0,
        fields: fields.map(|it| it.label.zh.clone()).collect(),
        file,
    })
}

/// Publishes a file.
///
/// # Errors
/// [`Code::RoleRefused`] for whoever is not of the sub-district; as [`look`], and as a save.
pub fn publish(
    connection: &Connection,
    journal: &mut Journal,
    text: &str,
    author: &Author,
) -> Result<(Looked, Saved)> {
    author.actor.may_issue()?;
    let looked = look(connection, journal, text)?;
    let missing = || Error::new(Code::Internal, "a kind of the catalogue is missing");
    let kind = Catalogue::current().kind(KIND).ok_or_else(missing)?;
    let fact = |key: &str, value: Fact| (key.to_owned(), Some(value));
    let facts = [
        fact("name", Fact::Str(looked.name.clone())),
        fact("records", Fact::Str(looked.code().to_owned())),
        fact("version", Fact::Int(i64::from(looked.version()))),
        fact("digest", Fact::Str(digest(text))),
    ];
    let draft = Draft {
        facts: BTreeMap::from(facts),
        texts: BTreeMap::new(),
        nested: pieces::of(text)?,
    };
    let saved = save::by_program(connection, journal, (kind, &draft), author)?;
    Ok((looked, saved))
}

fn refused(error: CatalogueError) -> Error {
    let message = match &error {
        CatalogueError::Invalid { .. } => error.to_string(),
        CatalogueError::Syntax { source, .. } => format!("{error}: {}", source.message()),
    };
    Error::new(Code::BadKind, message)
}

/// What rows of a kind are made by: its file, with what all have in common. A length stands before, so that nothing moves from one to the other.
fn made_by(text: &str) -> String {
    let common = Catalogue::common();
    let length = (common.len() as u64).to_le_bytes();
    let parts = [&length, common.as_bytes(), text.as_bytes()];
    Hex(&KIND_FILE.hash(&parts)).to_string()
}

fn digest(text: &str) -> String {
    Hex(&KIND_FILE.hash(&[text.as_bytes()])).to_string()
}

/// The code and the version that a row of a published file says.
#[must_use]
pub fn about(row: &Listed) -> Option<(&str, &str, u32)> {
    let text = |key: &str| row.fact(key).and_then(Value::as_str);
    let version = row.fact("version").and_then(Value::as_u64)?;
    Some((
        text("records")?,
        text("name")?,
        u32::try_from(version).ok()?,
    ))
}

/// The published files that count, each kind's newest version first.
///
/// # Errors
/// The store cannot be read.
pub fn all(connection: &Connection, books: &Books) -> Result<Vec<Listed>> {
    let bulletin = Space::Bulletin.id(&books.identity().network);
    let filter = records::Filter {
        kind: Some(KIND.to_owned()),
        held: Some(false),
        limit: FILES_MAX,
        ..records::Filter::default()
    };
    let mut rows = records::list(connection, &filter)?;
    rows.retain(|row| row.space == bulletin);
    // Of two files of one version the one that was published first counts, wherever they are looked at.
    let order = |row: &Listed| {
        let (code, _, version) = about(row)?;
        Some((code.to_owned(), std::cmp::Reverse(version), row.id.0))
    };
    rows.sort_by_cached_key(order);
    Ok(rows)
}

/// The newest file of each kind that is here whole.
fn counting(connection: &Connection, books: &mut Books) -> Result<Vec<KindFile>> {
    let mut found: BTreeMap<String, KindFile> = BTreeMap::new();
    for row in all(connection, books)? {
        let Some((code, _, version)) = about(&row) else {
            continue;
        };
        if found.contains_key(code) || found.len() >= PUBLISHED_MAX {
            continue;
        }
        let text = pieces::read(connection, books, &row)?;
        if row.fact("digest").and_then(Value::as_str) != Some(&digest(&text)) {
            continue;
        }
        let file = KindFile::read(&text).ok();
        if let Some(file) = file.filter(|it| it.code == code && it.version == version) {
            found.insert(file.code.clone(), file);
        }
    }
    Ok(found.into_values().collect())
}

/// All that of these files can be read, over what is shipped.
fn readable(files: Vec<KindFile>) -> Catalogue {
    if let Ok(all) = Catalogue::with(&files) {
        return all;
    }
    let mut good = Vec::new();
    for file in files {
        good.push(file);
        if let Err(error) = Catalogue::with(&good) {
            let passed = good.pop();
            let kind = passed.as_ref().map_or("", |it| &it.code);
            tracing::warn!(kind, %error, "a published kind is not of this version, and is passed over");
        }
    }
    Catalogue::with(&good).unwrap_or_else(|_| Catalogue::standard().clone())
}

/// Looks whether a record that was merged is of a published kind, as its file or a piece of it: then what is gone by is renewed.
///
/// # Errors
/// As [`renew`].
pub(crate) fn merged(
    connection: &Connection,
    journal: &mut Journal,
    (kind, facts): (&str, &Map<String, Value>),
) -> Result<()> {
    let is_piece = || -> Result<bool> {
        let whole = facts.get(pieces::WHOLE).and_then(Value::as_str);
        let Some(whole) = whole
            .filter(|_| kind == pieces::PIECE)
            .and_then(RecordId::parse)
        else {
            return Ok(false);
        };
        let mut statement =
            connection.prepare_cached("SELECT 1 FROM records WHERE record = ?1 AND kind = ?2")?;
        Ok(statement.exists(params![whole.0, KIND])?)
    };
    if kind == KIND || is_piece()? {
        renew(connection, journal)?;
    }
    Ok(())
}

/// Goes by what is published, and has the rows of each kind made anew whose file is another than when they were made.
///
/// # Errors
/// The store cannot be read or written; the transaction must be rolled back.
pub(crate) fn renew(connection: &Connection, journal: &mut Journal) -> Result<()> {
    let files = counting(connection, journal)?;
    let current = Catalogue::current();
    let as_shipped = files.is_empty() && std::ptr::eq(current, Catalogue::standard());
    if !as_shipped {
        let catalogue = readable(files);
        if catalogue.files().ne(current.files()) {
            catalogue.put_in_force();
            journal.forget_terms();
        }
    }
    let now: BTreeMap<String, String> = Catalogue::current()
        .files()
        .map(|(code, text)| (code.to_owned(), made_by(text)))
        .collect();
    let noted = store::meta(connection, MADE_BY)?;
    // A new store has no rows yet; and what nobody can read was made by nobody knows what.
    let before: BTreeMap<String, String> = match &noted {
        None => now.clone(),
        Some(noted) => serde_json::from_slice(noted).unwrap_or_default(),
    };
    if noted.is_some() && before == now {
        return Ok(());
    }
    let codes: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
    let others = codes
        .into_iter()
        .filter(|code| before.get(*code) != now.get(*code));
    for code in others {
        journal.merge_kind_again(connection, code)?;
    }
    let text = serde_json::to_vec(&now);
    let text =
        text.map_err(|error| Error::because(Code::Internal, "the kinds cannot be noted", error))?;
    store::set_meta(connection, MADE_BY, &text)
}

/// The files that count, for a command beside the program that has the store.
///
/// # Errors
/// The store cannot be read.
pub fn texts(connection: &Connection, books: &mut Books) -> Result<Vec<String>> {
    let files = counting(connection, books)?;
    Ok(files.into_iter().map(|it| it.text).collect())
}

/// Goes by files that [`texts`] gave.
pub fn go_by(texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    let files = texts.iter().filter_map(|text| KindFile::read(text).ok());
    readable(files.collect()).put_in_force();
}
