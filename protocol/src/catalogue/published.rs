//! Kinds that a network publishes itself: further ones, and newer forms of those that are shipped.
//!
//! A file of a published kind has the form of those that are shipped and passes the same checks. A newer form of a kind adds to
//! it: fields (each says since which version it is asked for), choices, room in texts, words; it takes nothing away and
//! leaves statuses, steps, roles and what is kept from whom as they are. So a record means the same by every form, a device that does
//! not have the newer one yet folds to the same status, and what it cannot name it keeps.
//!
//! Owns what a newer form may change, and which catalogue a program goes by. Must not know where files come from, nor
//! whether whoever published them may.
//!
//! Rejected: forms that replace steps. Two devices with different forms would come to different statuses of one record, and an old step
//! could change its meaning after it was taken.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use toml::{Table, Value};

use super::{COMMON, Catalogue, CatalogueError, KINDS, load};

/// Longest file of a kind, in bytes.
pub const KIND_BYTES_MAX: usize = 128 * 1024;
/// Most kinds that are published beside each other.
pub const PUBLISHED_MAX: usize = 100;

/// What may read otherwise in a newer form, of a kind and of whatever stands in it.
const WORDS: [&str; 5] = ["zh", "en", "hint", "about", "version"];
/// Limits that may grow.
const LIMITS: [&str; 2] = ["max_chars", "max_items"];

const BY_PROGRAM: &str = "the program writes such records, by its own form";

/// By what this program goes, once it is not what is shipped alone.
static CURRENT: RwLock<Option<&'static Catalogue>> = RwLock::new(None);

/// A file of a kind, looked at by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct KindFile {
    /// Code of the kind.
    pub code: String,
    /// Which form of it this is.
    pub version: u32,
    /// The file.
    pub text: String,
    table: Table,
}

impl KindFile {
    /// Reads which kind a file is of. It is checked by [`Catalogue::with`].
    ///
    /// # Errors
    /// [`CatalogueError`] for what is no TOML, names no kind, or is longer than [`KIND_BYTES_MAX`].
    pub fn read(text: &str) -> Result<Self, CatalogueError> {
        let invalid = |what: &str| CatalogueError::Invalid {
            kind: String::new(),
            what: what.to_owned(),
        };
        if text.len() > KIND_BYTES_MAX {
            return Err(invalid("the file is longer than 128 KiB"));
        }
        let table: Table = toml::from_str(text).map_err(|source| CatalogueError::Syntax {
            file: "of the kind".to_owned(),
            source: Box::new(source),
        })?;
        let code = table.get("code").and_then(Value::as_str);
        let code = code.ok_or_else(|| invalid("it has no code"))?.to_owned();
        let version = table.get("version").map_or(Some(1), Value::as_integer);
        let version = version.and_then(|version| u32::try_from(version).ok());
        Ok(Self {
            version: version.ok_or_else(|| invalid("its version is no number"))?,
            code,
            text: text.to_owned(),
            table,
        })
    }

    fn is_by_program(&self) -> bool {
        let create = self.table.get("create");
        create.and_then(|it| it.get("by_program")) == Some(&Value::Boolean(true))
    }

    /// Whether it adds to a form of the same kind, and takes nothing away.
    ///
    /// # Errors
    /// [`CatalogueError::Invalid`] with the first thing that it takes away or changes.
    pub fn adds_to(&self, older: &Self) -> Result<(), CatalogueError> {
        let added = || {
            if self.version <= older.version {
                let stands = older.version;
                return Err(format!("version: {stands} is there already"));
            }
            if self.is_by_program() {
                return Err(BY_PROGRAM.to_owned());
            }
            adds(&older.table, &self.table, &mut Vec::new())?;
            if veils_in(&self.table) > veils_in(&older.table) {
                // A device without this form would show what others keep.
                return Err("veils: what is kept from whom stays as it is".to_owned());
            }
            new_fields_say_since(&older.table, &self.table, self.version)
        };
        added().map_err(|what| CatalogueError::Invalid {
            kind: self.code.clone(),
            what,
        })
    }
}

impl Catalogue {
    /// What is shipped, with these published files: further kinds, and newer forms of shipped ones in their place. One that is not newer
    /// than what is shipped is passed over: a newer program has it.
    ///
    /// # Errors
    /// The first thing that is wrong, as [`CatalogueError`] has it.
    pub fn with(published: &[KindFile]) -> Result<Self, CatalogueError> {
        let shipped = Self::shipped()?;
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut files: Vec<&KindFile> = shipped.iter().collect();
        for (place, file) in shipped.iter().enumerate() {
            places.insert(&file.code, place);
        }
        for file in published {
            let place = places.get(file.code.as_str());
            match place.and_then(|place| files.get_mut(*place)) {
                Some(known) if file.version <= known.version => {}
                Some(known) => {
                    file.adds_to(known)?;
                    *known = file;
                }
                None => {
                    if file.is_by_program() {
                        return Err(CatalogueError::Invalid {
                            kind: file.code.clone(),
                            what: BY_PROGRAM.to_owned(),
                        });
                    }
                    places.insert(&file.code, files.len());
                    files.push(file);
                }
            }
        }
        let texts: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
        load::catalogue(COMMON, &texts)
    }

    /// The files of the kinds that are shipped.
    ///
    /// # Errors
    /// None, unless the program was built from broken files.
    pub fn shipped() -> Result<Vec<KindFile>, CatalogueError> {
        KINDS.iter().map(|text| KindFile::read(text)).collect()
    }

    /// By what this program goes: what is shipped, until [`put_in_force`](Self::put_in_force) says otherwise.
    #[must_use]
    pub fn current() -> &'static Self {
        let current = *CURRENT.read().unwrap_or_else(PoisonError::into_inner);
        current.unwrap_or_else(Self::standard)
    }

    /// Goes by this catalogue from now on. What was handed out before stays valid and is never freed: a process does this once when it
    /// starts and once for each file that is published meanwhile.
    pub fn put_in_force(self) {
        let current: &'static Self = Box::leak(Box::new(self));
        *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
    }
}

/// Whether a table has all of an older one; `path` says where, for whoever wrote the file.
fn adds<'a>(older: &'a Table, newer: &'a Table, path: &mut Vec<&'a str>) -> Result<(), String> {
    let at = |path: &[&str], key: &str| {
        let place: Vec<_> = path.iter().copied().chain([key]).collect();
        place.join(" ")
    };
    for (key, before) in older {
        if WORDS.contains(&key.as_str()) {
            continue;
        }
        let Some(now) = newer.get(key) else {
            return Err(format!("{} is gone", at(path, key)));
        };
        if let ("field" | "section" | "options", Value::Array(before), Value::Array(now)) =
            (key.as_str(), before, now)
        {
            path.push(key);
            adds_entries(before, now, path)?;
            path.pop();
            continue;
        }
        if let ("fields", Value::Array(before), Value::Array(now)) = (key.as_str(), before, now)
            && before.iter().all(|it| now.contains(it))
        {
            continue;
        }
        let grown = before.as_integer() <= now.as_integer() && now.is_integer();
        if before != now && !(LIMITS.contains(&key.as_str()) && grown) {
            return Err(format!("{} is otherwise than before", at(path, key)));
        }
    }
    let at_top = path.is_empty();
    let is_new = |key: &&String| {
        let free = WORDS.contains(&key.as_str()) || (at_top && *key == "section");
        !older.contains_key(*key) && !free
    };
    match newer.keys().find(is_new) {
        Some(key) => Err(format!("{} was not there before", at(path, key))),
        None => Ok(()),
    }
}

/// Whether a list of tables has all those of an older one, each by its key or code. Others may come.
fn adds_entries<'a>(
    older: &'a [Value],
    newer: &'a [Value],
    path: &mut Vec<&'a str>,
) -> Result<(), String> {
    for before in older.iter().filter_map(Value::as_table) {
        let name = name(before);
        let mut tables = newer.iter().filter_map(Value::as_table);
        let Some(now) = tables.find(|it| self::name(it) == name) else {
            return Err(format!("{} {name} is gone", path.join(" ")));
        };
        path.push(name);
        adds(before, now, path)?;
        path.pop();
    }
    Ok(())
}

/// How often something in a file is kept from somebody.
fn veils_in(table: &Table) -> usize {
    let within = |value: &Value| match value {
        Value::Table(table) => veils_in(table),
        Value::Array(items) => items.iter().filter_map(Value::as_table).map(veils_in).sum(),
        _ => 0,
    };
    let own = usize::from(table.contains_key("veils"));
    own + table.values().map(within).sum::<usize>()
}

fn name(table: &Table) -> &str {
    let name = table.get("key").or_else(|| table.get("code"));
    name.and_then(Value::as_str).unwrap_or_default()
}

/// A field that is new must say so, else records from before would lack it.
fn new_fields_say_since(older: &Table, newer: &Table, version: u32) -> Result<(), String> {
    let fields = |table: &'_ Table| -> Vec<Table> {
        let fields = table.get("field").and_then(Value::as_array);
        let fields = fields.into_iter().flatten().filter_map(Value::as_table);
        fields.cloned().collect()
    };
    let known = fields(older);
    for field in fields(newer) {
        let is_new = !known.iter().any(|it| name(it) == name(&field));
        let since = field.get("since").and_then(Value::as_integer);
        if is_new && since != Some(i64::from(version)) {
            let key = name(&field);
            return Err(format!("field {key} is new: it needs since = {version}"));
        }
    }
    Ok(())
}
