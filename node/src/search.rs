//! Full-text search over the texts of records: an inverted index in FTS5, made of characters and of overlapping pairs of them.
//!
//! Chinese is written without spaces. Dictionaries cut it at places where people do not, and words of two characters are what is
//! searched for most. So a text, [folded](text::folded), is found by each of its characters and by each pair of neighbours, whatever
//! they are: letters, digits, spaces and signs too. A text that holds a query holds all pairs of the query, so that the index misses
//! nothing that a scan finds. The reverse is not so. What the index gives are *candidates* (`Search::among`); whoever asks looks into the
//! texts of those that are shown, newest first, until a page is full.
//!
//! | in a query | the index is asked for |
//! |---|---|
//! | one character | the character |
//! | two or more | some pairs, all of them |
//! | digits | also the whole of a number that is shown in part ([`is_masked`]): no piece of one is in the index |
//! | letters a to z | also titles that sound so (`search/sounds.rs`) |
//!
//! The index is *contentless*, so that no second copy of a text exists, and knows no positions, from which texts could be put
//! together again; it is less than half as large for it. One of its rows stands for some parts of a record, and for its title and numbers: all
//! that was new when the record's row was written. That transaction writes only, in the table `texts_of`, what the row is made of. FTS5
//! is fast where much is put in at once and nothing else is written in between (each statement that can be taken back by itself has it
//! write what it has gathered), so that rows wait, and are indexed in slices ([`index`]) behind everything else that the writer has
//! to do. Until then their records are candidates. Nothing is missed meanwhile, and a save costs no more than it did.
//!
//! A row is taken out by saying again what is in it. That is done in the transaction in which one of its parts goes (`forget`) or is
//! sealed, while its text can still be read; what is left of the record is put in again with its row. `secure-delete` has FTS5
//! take terms out of its pages there and then instead of noting that they are void, and SQLite overwrites what it frees.
//!
//! Of a sealed record nothing is indexed. Such records, and those of which nothing counts, are always candidates; there are few.
//!
//! Limits: a part that was damaged cannot say what it had said; its tokens stay until `lianxin reproject`. Tokens follow from the
//! folding, from which fields the catalogue masks and from the readings of characters: whoever changes one of these raises the version of the
//! store's schema, with which the index is made anew.
//!
//! Rejected: the tokenizer `trigram`, which finds nothing for two characters; a dictionary, which missed 9 words of 83;
//! `contentless_delete`, which keeps the tokens of what was deleted until it is merged away; a prefix query for one character, which reads
//! each pair that begins with it.

mod sounds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::part::Part;
use lianxin_protocol::text;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::error::{Code, Result};
use crate::store::packed;
use sounds::Letters;

/// Records whose numbers are read at once: of more, the list is walked in its order.
const FEW: usize = 1_000;
/// Pairs of a query that the index is asked for: more of them leave hardly fewer candidates.
const PAIRS: usize = 12;
/// Rows that are indexed at once: fewer cost more each, and so many are looked at one by one without being felt.
const SLICE: i64 = 128;
/// Digits of the shortest number to telephone that is read as one.
const PHONE_DIGITS: usize = 7;
/// Stands before the digits of a number that is shown in part.
const WHOLE_NUMBER: char = '\u{f782}';
/// What is added to a character of ASCII that FTS5 would take for a separator.
const APART: u32 = 0xf700;

// ---- what a text is found by ----

/// The keys of fields that are shown in part, each with whether some kind has a field of that key that is not.
static MASKED: LazyLock<BTreeMap<&'static str, bool>> = LazyLock::new(|| {
    let fields = || Catalogue::standard().kinds().flat_map(|kind| &kind.fields);
    let masked = fields().filter(|field| field.masked);
    let open = |key: &str| fields().any(|field| field.key == key && !field.masked);
    masked
        .map(|field| (field.key.as_str(), open(&field.key)))
        .collect()
});

/// Whether a text is shown in part: then whoever has all of it finds it, and piece by piece it cannot be read out.
#[must_use]
pub fn is_masked(kind: Option<&Kind>, key: &str) -> bool {
    match kind {
        Some(kind) => kind.field(key).is_some_and(|field| field.masked),
        // What a newer version calls so is kept as it is here.
        None => MASKED.contains_key(key),
    }
}

/// The digits of a text.
#[must_use]
pub fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// A character as a token has it.
fn sign(c: char) -> char {
    if c.is_ascii() && !c.is_ascii_alphanumeric() {
        char::from_u32(APART + u32::from(c)).unwrap_or(c)
    } else {
        c
    }
}

/// What a row of the index holds.
#[derive(Debug, Default)]
struct Tokens {
    /// Characters, and pairs of them.
    signs: Vec<(char, Option<char>)>,
    others: BTreeSet<String>,
}

impl Tokens {
    fn text(&mut self, text: &str) {
        let folded = text::folded(text);
        let mut last = None;
        for c in folded.chars().map(sign) {
            self.signs.push((c, None));
            self.signs.extend(last.map(|last| (last, Some(c))));
            last = Some(c);
        }
    }

    fn part(&mut self, part: &Part) {
        for (key, text) in &part.texts {
            let open = MASKED.get(&**key).copied();
            let digits = digits(&text::folded(text));
            if open.is_none_or(|open| open || digits.is_empty()) {
                self.text(text);
            }
            if open.is_some() && !digits.is_empty() {
                self.others.insert(format!("{WHOLE_NUMBER}{digits}"));
            }
        }
    }

    fn names(&mut self, names: &Names) {
        sounds::tokens(names.title.as_deref().unwrap_or_default(), &mut self.others);
        // Others are looked for where the numbers are.
        let numbers = [&names.number, &names.former].into_iter().flatten();
        numbers
            .filter(|it| !it.is_ascii())
            .for_each(|it| self.text(it));
    }

    /// One behind another, each once, as the index takes them.
    fn said(mut self) -> String {
        self.signs.sort_unstable();
        self.signs.dedup();
        let mut said = String::with_capacity(self.signs.len() * 6);
        for (one, next) in self.signs {
            said.push(one);
            said.extend(next);
            said.push(' ');
        }
        for other in self.others {
            said.push_str(&other);
            said.push(' ');
        }
        said
    }
}

// ---- what is written ----

/// What a record is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Its title.
    pub(crate) title: Option<String>,
    /// Its number, and the one that it had before.
    pub(crate) number: Option<String>,
    /// The number that it had before it was written again.
    pub(crate) former: Option<String>,
}

impl Names {
    /// As the record's row has them.
    fn of(connection: &Connection, record: i64) -> Result<Self> {
        let mut statement =
            connection.prepare_cached("SELECT title, number, former FROM records WHERE id = ?1")?;
        let names = statement.query_row([record], |row| {
            Ok(Self {
                title: row.get(0)?,
                number: row.get(1)?,
                former: row.get(2)?,
            })
        });
        Ok(names.optional()?.unwrap_or_default())
    }
}

/// A row of the index, and what it is made of: the entries of parts, and the names of the record's row.
#[derive(Clone, Debug)]
struct Row {
    id: i64,
    /// How many tokens it has; none while it waits.
    tokens: Option<usize>,
    named: bool,
    parts: BTreeSet<i64>,
}

impl Row {
    const COLUMNS: &str = "id, tokens, named, parts";

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let parts: Vec<u8> = row.get(3)?;
        let (parts, _) = parts.as_chunks::<8>();
        Ok(Self {
            id: row.get(0)?,
            tokens: row.get(1)?,
            named: row.get(2)?,
            parts: parts.iter().map(|it| i64::from_be_bytes(*it)).collect(),
        })
    }

    /// The rows of a record.
    fn of(connection: &Connection, record: i64) -> Result<Vec<Self>> {
        let sql = format!(
            "SELECT {} FROM texts_of WHERE record = ?1 ORDER BY id",
            Self::COLUMNS
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map([record], Self::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Its tokens, each with a space behind it, from what it is made of, as far as that can be read.
    fn said(&self, connection: &Connection, record: i64) -> Result<String> {
        let mut payload =
            connection.prepare_cached("SELECT payload FROM parts WHERE entry = ?1")?;
        let mut tokens = Tokens::default();
        for entry in &self.parts {
            let part = payload.query_row([entry], |row| row.get(0)).optional()?;
            let part = part.map(packed::payload);
            let part = part.and_then(|it| Part::decode(&it).ok());
            part.iter().for_each(|it| tokens.part(it));
        }
        if self.named {
            tokens.names(&Names::of(connection, record)?);
        }
        Ok(tokens.said())
    }

    /// Takes it out. FTS5 takes out what it is told, and counts: what is not what was put in must not be told. Then the tokens stay, and
    /// lead nowhere.
    fn take_out(&self, connection: &Connection, record: i64) -> Result<()> {
        if let Some(tokens) = self.tokens {
            let said = self.said(connection, record)?;
            if count(&said) == tokens {
                connection
                    .prepare_cached(
                        "INSERT INTO texts (texts, rowid, said) VALUES ('delete', ?1, ?2)",
                    )?
                    .execute(params![self.id, said])?;
            }
        }
        connection
            .prepare_cached("DELETE FROM texts_of WHERE id = ?1")?
            .execute([self.id])?;
        Ok(())
    }
}

/// How many tokens these are.
fn count(said: &str) -> usize {
    said.bytes().filter(|it| *it == b' ').count()
}

/// What the index holds of a record, and the parts that are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Indexed {
    rows: Vec<Row>,
    names: Names,
    parts: BTreeSet<i64>,
}

impl Indexed {
    /// As the store has it, with the entries of the record's parts.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn of(connection: &Connection, record: i64, parts: BTreeSet<i64>) -> Result<Self> {
        let rows = Row::of(connection, record)?;
        let names = match &*rows {
            [] => Names::default(),
            _ => Names::of(connection, record)?,
        };
        Ok(Self { rows, names, parts })
    }

    /// Parts were written.
    pub(crate) fn extend(&mut self, parts: impl Iterator<Item = i64>) {
        self.parts.extend(parts);
    }

    /// What is to be written so that the index holds these parts and names, or nothing where the record is sealed.
    pub(crate) fn update(&self, names: Option<&Names>) -> Update {
        let stays = |row: &Row| {
            let is_same = !row.named || names == Some(&self.names);
            names.is_some() && is_same && row.parts.is_subset(&self.parts)
        };
        let (kept, gone): (Vec<&Row>, Vec<&Row>) = self.rows.iter().partition(|row| stays(row));
        let is_new = |it: &&i64| !kept.iter().any(|row| row.parts.contains(it));
        let parts: Vec<i64> = self.parts.iter().filter(is_new).copied().collect();
        let named = !kept.iter().any(|row| row.named)
            && names.is_some_and(|names| *names != Names::default());
        let new = names.is_some() && (named || !parts.is_empty());
        Update {
            before: self.rows.iter().map(|row| row.id).collect(),
            gone: gone.into_iter().map(|row| row.id).collect(),
            new: new.then(|| {
                let parts = parts.iter().flat_map(|it| it.to_be_bytes());
                (named, parts.collect())
            }),
        }
    }
}

/// What is to be written for one record.
#[derive(Debug, Default)]
pub(crate) struct Update {
    /// The rows that it was planned on.
    before: Vec<i64>,
    /// Those of them that go.
    gone: Vec<i64>,
    /// A new row: whether it has the names, and the entries of its parts.
    new: Option<(bool, Vec<u8>)>,
}

impl Update {
    /// Writes it, before the record's row. Says whether enough rows wait to be indexed. Somebody else may have done so for the same
    /// entries: then there is nothing left to do.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub(crate) fn write(&self, connection: &Connection, record: i64) -> Result<bool> {
        if self.gone.is_empty() && self.new.is_none() {
            return Ok(false);
        }
        // They may have been indexed since.
        let now = Row::of(connection, record)?;
        if !now.iter().map(|row| &row.id).eq(&self.before) {
            return Ok(false);
        }
        for row in now.iter().filter(|row| self.gone.contains(&row.id)) {
            row.take_out(connection, record)?;
        }
        let Some((named, parts)) = &self.new else {
            return Ok(false);
        };
        connection
            .prepare_cached("INSERT INTO texts_of (record, named, parts) VALUES (?1, ?2, ?3)")?
            .execute(params![record, named, parts])?;
        Ok(connection.last_insert_rowid() % SLICE == 0)
    }
}

/// Indexes rows that wait, the oldest first, so many that it takes some ten milliseconds. Says whether there may be more.
///
/// # Errors
/// The store cannot be read or written; the transaction must be rolled back.
pub fn index(connection: &Connection) -> Result<bool> {
    let sql = format!(
        "SELECT {}, record FROM texts_of INDEXED BY texts_of_waiting WHERE tokens IS NULL
         ORDER BY id LIMIT {SLICE}",
        Row::COLUMNS
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let waiting = statement.query_map([], |row| Ok((Row::read(row)?, row.get(4)?)))?;
    let mut all = Vec::new();
    for it in waiting {
        let (row, record) = it?;
        all.push((row.id, row.said(connection, record)?));
    }
    let mut update = connection.prepare_cached("UPDATE texts_of SET tokens = ?2 WHERE id = ?1")?;
    for (id, said) in &all {
        update.execute(params![id, count(said)])?;
    }
    // Behind all else, since other statements may have FTS5 write what it has gathered so far.
    let mut insert =
        connection.prepare_cached("INSERT INTO texts (rowid, said) VALUES (?1, ?2)")?;
    for (id, said) in &all {
        insert.execute(params![id, said])?;
    }
    Ok(!all.is_empty())
}

/// Whether there is more to index. What cannot be read holds nothing else up: rows that wait are looked at by every search.
///
/// # Errors
/// Any other failure.
pub(crate) fn goes_on(indexed: Result<bool>) -> Result<bool> {
    match indexed {
        Err(error) if error.code() == Code::StoreCorrupt => {
            tracing::error!(error = error.chain(), "texts wait to be indexed");
            Ok(false)
        }
        other => other,
    }
}

/// Takes out of the index what it holds of the records of which these entries are, before their parts or the records' rows go. Those
/// that are merged again are put in again.
///
/// # Errors
/// The store cannot be read or written; the transaction must be rolled back.
pub(crate) fn forget(connection: &Connection, (from, end): (i64, i64)) -> Result<()> {
    let mut statement = connection
        .prepare_cached("SELECT DISTINCT record FROM touches WHERE entry >= ?1 AND entry < ?2")?;
    let records = statement.query_map([from, end], |row| row.get(0))?;
    for record in records.collect::<Result<Vec<i64>, _>>()? {
        for row in Row::of(connection, record)? {
            row.take_out(connection, record)?;
        }
    }
    Ok(())
}

// ---- what is asked ----

/// A text that somebody searches for.
#[derive(Clone, Debug)]
pub struct Search {
    folded: String,
    letters: Option<Letters>,
}

impl Search {
    /// Reads what was typed; nothing where nothing of it is to be seen.
    #[must_use]
    pub fn of(typed: &str) -> Option<Self> {
        let folded = text::folded(typed);
        let letters = Letters::of(&folded);
        (!folded.is_empty()).then_some(Self { folded, letters })
    }

    /// Whether a text has it somewhere.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        text::folded(text).contains(&self.folded)
    }

    /// Reads what a person is called, or a number to telephone however it is divided, with the code of the country or without.
    #[must_use]
    pub fn of_person(typed: &str) -> Option<Self> {
        const SIGNS: [char; 7] = ['+', '-', '(', ')', ' ', '.', '/'];
        let folded = text::folded(typed);
        let digits = digits(&folded);
        let is_number = |c: char| c.is_ascii_digit() || SIGNS.contains(&c);
        if digits.len() < PHONE_DIGITS || !folded.chars().all(is_number) {
            return Self::of(typed);
        }
        let own = digits.strip_prefix("86").filter(|own| own.len() == 11);
        Self::of(own.unwrap_or(&digits))
    }

    /// Whether it is the whole of a number that is shown in part, however that is divided where it is said in digits alone.
    #[must_use]
    pub fn is_whole(&self, number: &str) -> bool {
        let number = text::folded(number);
        let said = self.folded.bytes().all(|it| it.is_ascii_digit());
        digits(&number) == digits(&self.folded) && (said || number.contains(&self.folded))
    }

    /// Whether a title sounds so.
    #[must_use]
    pub fn is_sound_of(&self, title: &str) -> bool {
        let letters = self.letters.as_ref();
        letters.is_some_and(|letters| letters.are_in(title))
    }

    /// What the index is asked for, as FTS5 has it: a token in quotation marks is no word of its language.
    fn expression(&self) -> String {
        let signs: Vec<char> = self.folded.chars().map(sign).collect();
        let pairs: BTreeSet<&[char]> = signs.windows(2.min(signs.len())).collect();
        let step = pairs.len().div_ceil(PAIRS).max(1);
        let quoted = |it: &[char]| format!("\"{}\"", it.iter().collect::<String>());
        let pairs: Vec<_> = pairs.into_iter().step_by(step).map(quoted).collect();
        let mut any = vec![pairs.join(" AND ")];
        let digits = digits(&self.folded);
        if !digits.is_empty() {
            any.push(format!("\"{WHOLE_NUMBER}{digits}\""));
        }
        any.extend(self.letters.iter().flat_map(Letters::expressions));
        let any: Vec<_> = any.into_iter().map(|it| format!("({it})")).collect();
        any.join(" OR ")
    }

    /// The records among which are all that have it. `all` says that sealed ones are looked at too.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn among(&self, connection: &Connection, all: bool) -> Result<Among> {
        let ascii = self.folded.is_ascii();
        let numbers = ascii.then_some([NUMBERS, FORMER]).into_iter().flatten();
        let sealed = all.then_some(SEALED);
        let sources = [TEXTS, WAITING, HELD]
            .into_iter()
            .chain(numbers)
            .chain(sealed);
        let mut among = Among::default();
        for source in sources {
            let value = match source.asks {
                Asks::Nothing => None,
                Asks::Text => Some(self.folded.clone()),
                Asks::Index => Some(self.expression()),
            };
            let sql = format!("{} LIMIT {}", source.ids, FEW + 1);
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_map(params_from_iter(&value), |row| row.get(0))?;
            let found = found.collect::<Result<Vec<i64>, _>>()?;
            if found.len() > FEW {
                among.many.push((source.condition.to_owned(), value));
            } else {
                among.few.extend(found);
            }
        }
        Ok(among)
    }

    /// What stands around it in a text, if it is there.
    #[must_use]
    pub fn excerpt(&self, text: &str) -> Option<Excerpt> {
        let (chars, (from, until)) = self.place(text)?;
        let first = from.saturating_sub(Excerpt::BEFORE);
        let last = chars.len().min((first + Excerpt::CHARS).max(from + 1));
        let mut excerpt = Excerpt::of(&chars, [first, from, until.min(last), last]);
        if first > 0 {
            excerpt.before.insert(0, '…');
        }
        if last < chars.len() {
            excerpt.after.push('…');
        }
        Some(excerpt)
    }

    /// A whole text with it told apart, if it is there.
    #[must_use]
    pub fn marked(&self, text: &str) -> Option<Excerpt> {
        let (chars, (from, until)) = self.place(text)?;
        Some(Excerpt::of(&chars, [0, from, until, chars.len()]))
    }

    /// The characters of a text, and from which on and before which of them it stands first, whatever folding makes of them.
    fn place(&self, text: &str) -> Option<(Vec<char>, (usize, usize))> {
        let chars: Vec<char> = text.chars().collect();
        let holds = |from: usize, until: usize| {
            let piece: String = chars.get(from..until).into_iter().flatten().collect();
            self.is_in(&piece)
        };
        if !holds(0, chars.len()) {
            return None;
        }
        // The shortest beginning that has it, and in that the last place from which it is had.
        let (mut short, mut until) = (0, chars.len());
        while short + 1 < until {
            let middle = usize::midpoint(short, until);
            if holds(0, middle) {
                until = middle;
            } else {
                short = middle;
            }
        }
        let (mut from, mut long) = (0, until);
        while from + 1 < long {
            let middle = usize::midpoint(from, long);
            if holds(middle, until) {
                from = middle;
            } else {
                long = middle;
            }
        }
        Some((chars, (from, until)))
    }
}

/// Records among which something is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Among {
    /// Some, by their numbers in this store.
    pub(crate) few: BTreeSet<i64>,
    /// And those of which one of these conditions holds, each with the value of its `?1`, if it has one.
    pub(crate) many: Vec<(String, Option<String>)>,
}

/// Where records are looked for: their numbers in this store, and in which condition the same is said of one of them.
struct Source {
    ids: &'static str,
    condition: &'static str,
    asks: Asks,
}

/// What stands for `?1`.
enum Asks {
    Nothing,
    Text,
    Index,
}

const TEXTS: Source = Source {
    ids: "SELECT texts_of.record FROM texts CROSS JOIN texts_of ON texts_of.id = texts.rowid
          WHERE texts MATCH ?1",
    condition: "records.id IN (
          SELECT texts_of.record FROM texts CROSS JOIN texts_of ON texts_of.id = texts.rowid
          WHERE texts MATCH ?1)",
    asks: Asks::Index,
};
const WAITING: Source = Source {
    ids: "SELECT record FROM texts_of INDEXED BY texts_of_waiting WHERE tokens IS NULL",
    condition: "records.id IN (SELECT record FROM texts_of INDEXED BY texts_of_waiting WHERE tokens IS NULL)",
    asks: Asks::Nothing,
};
const NUMBERS: Source = Source {
    ids: "SELECT id FROM records INDEXED BY records_number
          WHERE number IS NOT NULL AND instr(lower(number), ?1)",
    condition: "instr(lower(number), ?1)",
    asks: Asks::Text,
};
const FORMER: Source = Source {
    ids: "SELECT id FROM records INDEXED BY records_former
          WHERE former IS NOT NULL AND instr(lower(former), ?1)",
    condition: "instr(lower(former), ?1)",
    asks: Asks::Text,
};
const HELD: Source = Source {
    ids: "SELECT id FROM records INDEXED BY records_held WHERE held IS NOT NULL",
    condition: "held IS NOT NULL",
    asks: Asks::Nothing,
};
const SEALED: Source = Source {
    ids: "SELECT id FROM records INDEXED BY records_sealed WHERE veil = 'all'",
    condition: "veil = 'all'",
    asks: Asks::Nothing,
};

// ---- what is shown ----

/// A piece of a text around what was searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// What stands before it.
    pub before: String,
    /// What was searched for, as it was written.
    pub hit: String,
    /// What follows.
    pub after: String,
}

impl Excerpt {
    /// Characters of it in all, and how many stand before the hit at most.
    const CHARS: usize = 40;
    const BEFORE: usize = 12;

    /// From four places on, one behind another.
    fn of(chars: &[char], [first, from, until, last]: [usize; 4]) -> Self {
        let piece = |from: usize, until: usize| -> String {
            let chars = chars.get(from..until).into_iter().flatten();
            let shown = chars.map(|c| if c.is_whitespace() { ' ' } else { *c });
            shown.collect()
        };
        Self {
            before: piece(first, from),
            hit: piece(from, until),
            after: piece(until, last),
        }
    }
}

#[cfg(test)]
mod tests;
