//! The index against a scan: over random texts, whatever is written, replaced, sealed and erased, nothing is missed, and of what is gone
//! nothing is left.

use std::path::Path;

use super::*;

/// As texts are here: a few characters often, many seldom, letters, digits and signs between them, and what folds to another form.
const COMMON: [char; 12] = [
    '路', '灯', '不', '亮', '电', '梯', '的', 'a', '1', ' ', '，', 'Ｂ',
];
const RARE: [char; 14] = [
    '𬱟', '㛃', '䶮', 'é', 'ß', '\n', '"', '*', '(', '-', '\'', 'Σ', '①', '\u{200b}',
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        // Splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % most as u64).unwrap_or_default()
    }

    fn text(&mut self, most: usize) -> String {
        let len = 1 + self.below(most);
        let mut text = String::new();
        for _ in 0..len {
            let c = match self.below(8) {
                0 => RARE[self.below(RARE.len())],
                1 => ('\u{4e00}'..='\u{59b7}')
                    .nth(self.below(3_000))
                    .unwrap_or('人'),
                _ => COMMON[self.below(COMMON.len())],
            };
            text.push(c);
        }
        text
    }
}

/// A store of its own, and what is in it.
struct Model {
    connection: Connection,
    records: BTreeMap<i64, Modelled>,
    next: i64,
}

#[derive(Default)]
struct Modelled {
    names: Names,
    sealed: bool,
    parts: BTreeMap<i64, Part>,
}

const PHONE: &str = "person.phone";

impl Model {
    fn new(connection: Connection) -> Result<Self> {
        connection.execute_batch("PRAGMA secure_delete = ON; PRAGMA synchronous = OFF;")?;
        connection.execute_batch(include_str!("../store/schema.sql"))?;
        Ok(Self {
            connection,
            records: BTreeMap::new(),
            next: 1,
        })
    }

    fn put(&mut self, record: i64, texts: &[(&str, String)]) -> Result<()> {
        let texts = texts.iter();
        let texts = texts.map(|(key, text)| ((*key).to_owned(), text.clone()));
        let part = Part {
            salt: std::array::from_fn(|at| self.next.to_be_bytes()[at % 8]),
            texts: texts.collect(),
        };
        self.connection.execute(
            "INSERT INTO parts (entry, payload) VALUES (?1, ?2)",
            params![self.next, packed::pack_part(&part.encode())],
        )?;
        self.connection.execute(
            "INSERT INTO touches (entry, record) VALUES (?1, ?2)",
            [self.next, record],
        )?;
        let of = self.records.entry(record).or_default();
        of.parts.insert(self.next, part);
        self.next += 1;
        Ok(())
    }

    /// As a merge does it.
    fn merge(&mut self, record: i64) -> Result<()> {
        let of = self.records.entry(record).or_default();
        let parts = of.parts.keys().copied().collect();
        let indexed = Indexed::of(&self.connection, record, parts)?;
        let update = indexed.update(Some(&of.names).filter(|_| !of.sealed));
        update.write(&self.connection, record)?;
        // A second one that was planned on the same finds nothing left to do.
        update.write(&self.connection, record)?;
        self.connection.execute(
            "INSERT INTO records (id, record, space, kind, title, number, former, veil)
             VALUES (?1, ?2, x'', 'opinion', ?3, ?4, ?5, iif(?6, 'all', NULL))
             ON CONFLICT (id) DO UPDATE SET title = excluded.title, number = excluded.number,
                 former = excluded.former, veil = excluded.veil",
            params![
                record,
                std::array::from_fn::<u8, 16, _>(|at| record.to_be_bytes()[at % 8]),
                of.names.title,
                of.names.number,
                of.names.former,
                of.sealed
            ],
        )?;
        Ok(())
    }

    fn erase(&mut self, record: i64, entry: i64) -> Result<()> {
        forget(&self.connection, (entry, entry + 1))?;
        for table in ["parts", "touches"] {
            let sql = format!("DELETE FROM {table} WHERE entry = ?1");
            self.connection.execute(&sql, [entry])?;
        }
        if let Some(of) = self.records.get_mut(&record) {
            of.parts.remove(&entry);
        }
        self.merge(record)
    }

    /// The records of which some text or number has it, by looking at all of them.
    fn scanned(&self, search: &Search) -> BTreeSet<i64> {
        let kind = Catalogue::current().kind("opinion");
        let has = |of: &&Modelled| {
            let mut texts = of.parts.values().flat_map(|part| &part.texts);
            let names = [&of.names.number, &of.names.former];
            texts.any(|(key, text)| match is_masked(kind, key) {
                true => search.is_whole(text),
                false => search.is_in(text),
            }) || names.into_iter().flatten().any(|it| search.is_in(it))
                || of
                    .names
                    .title
                    .as_ref()
                    .is_some_and(|it| search.is_sound_of(it))
        };
        let found = self.records.iter().filter(|(_, of)| has(of));
        found.map(|(record, _)| *record).collect()
    }

    /// The candidates, from the parts of a list in which they are walked or sorted.
    fn candidates(&self, typed: &str) -> Result<BTreeSet<i64>> {
        let search = Search::of(typed).unwrap_or_else(|| unreachable!());
        let among = search.among(&self.connection, true)?;
        let mut all = among.few;
        for (condition, value) in among.many {
            let sql = format!("SELECT id FROM records WHERE {condition}");
            let mut statement = self.connection.prepare(&sql)?;
            let found = statement.query_map(params_from_iter(value), |row| row.get(0))?;
            all.extend(found.collect::<Result<Vec<i64>, _>>()?);
        }
        Ok(all)
    }

    /// Indexes all that waits, as slices behind merges do.
    fn index(&self) -> Result<()> {
        while index(&self.connection)? {}
        Ok(())
    }

    fn check(&self, dice: &mut Dice) -> Result<()> {
        self.connection
            .execute("INSERT INTO texts (texts) VALUES ('integrity-check')", [])?;
        for _ in 0..40 {
            // Half of them are cut out of what somebody wrote.
            let all: Vec<_> = self
                .records
                .values()
                .flat_map(|it| it.parts.values())
                .collect();
            let text = all.get(dice.below(all.len().max(1)));
            let text = text.and_then(|it| it.texts.values().next());
            let typed = match text.filter(|_| dice.below(2) == 0) {
                Some(text) => {
                    let chars: Vec<char> = text.chars().collect();
                    let from = dice.below(chars.len());
                    let len = 1 + dice.below(6);
                    chars.iter().skip(from).take(len).collect()
                }
                None => match dice.below(6) {
                    0 => ["ld", "ldbl", "ludeng", "dianti", "dt"][dice.below(5)].to_owned(),
                    1 => format!("138{}", dice.below(20)),
                    2 => "YJ-0".to_owned(),
                    _ => dice.text(3),
                },
            };
            let Some(search) = Search::of(&typed) else {
                continue;
            };
            let scanned = self.scanned(&search);
            let candidates = self.candidates(&typed)?;
            let missed: Vec<_> = scanned.difference(&candidates).collect();
            assert!(missed.is_empty(), "{typed:?}: {missed:?}");
        }
        Ok(())
    }
}

#[test]
fn the_index_misses_nothing_that_a_scan_finds() -> Result<()> {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut model = Model::new(Connection::open_in_memory()?)?;
        for step in 0..400 {
            let record = 1 + dice.below(40) as i64;
            let entries: Vec<i64> = match model.records.get(&record) {
                Some(of) => of.parts.keys().copied().collect(),
                None => Vec::new(),
            };
            match dice.below(10) {
                0..=4 => {
                    let long = if dice.below(20) == 0 { 2_000 } else { 30 };
                    let body = ("body", dice.text(long));
                    let phone = (PHONE, format!("1380000{:04}", dice.below(20)));
                    let texts = [body, phone];
                    let count = 1 + dice.below(2);
                    model.put(record, texts.get(..count).unwrap_or_default())?;
                    model.merge(record)?;
                }
                5 | 6 if !entries.is_empty() => {
                    model.erase(record, entries[dice.below(entries.len())])?;
                }
                7 => {
                    let number = format!("YJ-{:04}", dice.below(3_000));
                    let odd = format!("社〔{}〕号", dice.text(3));
                    let of = model.records.entry(record).or_default();
                    of.names.title = Some(dice.text(12));
                    of.names.number = [None, Some(number), Some(odd)][dice.below(3)].clone();
                    model.merge(record)?;
                }
                8 if dice.below(2) == 0 => model.index()?,
                8 => {
                    let of = model.records.entry(record).or_default();
                    of.sealed = !of.sealed;
                    model.merge(record)?;
                }
                _ => model.merge(record)?,
            }
            if step % 100 == 99 {
                model.check(&mut dice)?;
                model.index()?;
                model.check(&mut dice)?;
            }
        }
    }
    Ok(())
}

#[test]
fn what_many_have_is_found_by_walking_and_numbers_by_any_part() -> Result<()> {
    let mut model = Model::new(Connection::open_in_memory()?)?;
    for record in 1..=(FEW as i64 + 50) {
        model.put(record, &[("body", format!("第{record}件：路灯不亮"))])?;
        let of = model.records.entry(record).or_default();
        of.names.number = Some(format!("YJ-{record:05}-K"));
        model.merge(record)?;
        if record % 700 == 0 {
            model.index()?;
        }
    }
    // More than a few wait: the list is walked.
    assert!(model.candidates("无")?.len() >= model.records.len() - 700);
    model.index()?;
    let all = model.records.len();
    for (typed, count) in [
        ("路灯", all),
        ("灯", all),
        ("yj-", all),
        // 第77件 and 第7n7件 have both pairs as well: candidates.
        ("第7件", 12),
        ("00007-k", 1),
        ("路不", 0),
        ("NEAR(路灯", 0),
        ("路灯*", 0),
        ("\"路灯\" OR", 0),
    ] {
        assert_eq!(model.candidates(typed)?.len(), count, "{typed}");
    }
    // A piece of a query that is as long as a text leads to what has all of it.
    let long: String = (0..3_000_u32)
        .filter_map(|at| char::from_u32(0x4e00 + at))
        .collect();
    model.put(1, &[("body", long.clone())])?;
    model.merge(1)?;
    model.index()?;
    assert_eq!(model.candidates(&long)?, BTreeSet::from([1]));
    Ok(())
}

#[test]
fn no_piece_of_a_number_that_is_shown_in_part_is_in_the_index() -> Result<()> {
    let mut model = Model::new(Connection::open_in_memory()?)?;
    model.put(1, &[(PHONE, "138-0000-1234".to_owned())])?;
    model.put(2, &[(PHONE, "打给门卫".to_owned())])?;
    model.merge(1)?;
    model.merge(2)?;
    model.index()?;
    for (typed, found) in [
        ("138-0000-1234", &[1][..]),
        ("13800001234", &[1]),
        ("1234", &[]),
        ("0000", &[]),
        ("8", &[]),
        ("-", &[]),
        ("门卫", &[2]),
    ] {
        let candidates: Vec<_> = model.candidates(typed)?.into_iter().collect();
        assert_eq!(candidates, found, "{typed}");
    }
    Ok(())
}

/// The terms that the index has.
fn terms(connection: &Connection) -> Result<BTreeSet<String>> {
    connection.execute_batch(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms USING fts5vocab(main, texts, row)",
    )?;
    let mut statement = connection.prepare("SELECT term FROM temp.terms")?;
    let terms = statement.query_map([], |row| row.get(0))?;
    Ok(terms.collect::<Result<_, _>>()?)
}

fn holds(file: &Path, token: &str) -> bool {
    let bytes = std::fs::read(file).unwrap_or_default();
    bytes.windows(token.len()).any(|it| it == token.as_bytes())
}

#[test]
fn of_what_was_erased_no_token_is_left_in_the_file() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("lianxin-search-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("store.db");
    let mut model = Model::new(Connection::open(&file)?)?;
    let mut dice = Dice(7);
    // Enough for several segments, and for some of them to have been put together.
    for record in 1..=600 {
        model.put(record, &[("body", dice.text(60))])?;
        model.merge(record)?;
        if record % 20 == 0 {
            model.index()?;
        }
    }
    let body = "黿鼉龘靐齉 canary".to_owned();
    model.put(300, &[("body", body)])?;
    let of = model.records.entry(300).or_default();
    of.names.title = Some("黿鼉齉".to_owned());
    model.merge(300)?;
    for record in 601..=700 {
        model.put(record, &[("body", dice.text(60))])?;
        model.merge(record)?;
    }
    model.index()?;
    let tokens = ["黿鼉", "龘靐", "靐齉", "龘"];
    assert!(tokens.iter().all(|it| holds(&file, it)), "it sees nothing");
    assert_eq!(model.candidates("鼉龘靐")?, BTreeSet::from([300]));
    let entry = model.records[&300].parts.keys().copied().max();
    let of = model.records.entry(300).or_default();
    of.names.title = None;
    model.erase(300, entry.unwrap_or_default())?;
    model.index()?;
    assert!(model.candidates("鼉龘靐")?.is_empty());
    model.check(&mut dice)?;
    let terms = terms(&model.connection)?;
    assert!(
        terms
            .iter()
            .all(|it| !it.contains(['黿', '鼉', '龘', '靐', '齉']))
    );
    for token in tokens {
        assert!(!holds(&file, token), "{token}");
    }
    // What else the record says is found as before.
    let other = model.records[&300].parts.values().next();
    let other = other.and_then(|it| it.texts.get("body")).cloned();
    assert!(model.candidates(&other.unwrap_or_default())?.contains(&300));
    // And of all nothing is left when all is gone.
    for (record, entry) in model
        .records
        .iter()
        .flat_map(|(record, of)| of.parts.keys().map(|it| (*record, *it)))
        .collect::<Vec<_>>()
    {
        model.erase(record, entry)?;
    }
    assert!(self::terms(&model.connection)?.is_empty());
    drop(model);
    std::fs::remove_dir_all(&directory).expect("it is there");
    Ok(())
}

#[test]
fn what_cannot_say_what_it_said_is_taken_out_all_the_same() -> Result<()> {
    let mut model = Model::new(Connection::open_in_memory()?)?;
    model.put(1, &[("body", "路灯不亮".to_owned())])?;
    model.merge(1)?;
    model.index()?;
    model.connection.execute(
        "UPDATE parts SET payload = ?1",
        [packed::pack_part(b"damaged")],
    )?;
    model.erase(1, 1)?;
    assert!(model.candidates("路灯")?.is_empty());
    // The same place holds something else now.
    model.next = 1;
    model.put(1, &[("body", "电梯坏了".to_owned())])?;
    model.merge(1)?;
    model.index()?;
    assert_eq!(model.candidates("电梯")?, BTreeSet::from([1]));
    model
        .connection
        .execute("INSERT INTO texts (texts) VALUES ('integrity-check')", [])?;
    Ok(())
}

#[test]
fn an_excerpt_stands_around_the_first_hit_as_it_was_written() {
    let of = |text: &str, typed: &str| {
        let search = Search::of(typed).unwrap_or_else(|| unreachable!());
        let it = search.excerpt(text)?;
        Some((it.before, it.hit, it.after))
    };
    let three = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(of("路灯不亮", "灯不"), three("路", "灯不", "亮"));
    assert_eq!(of("路灯不亮", "电梯"), None);
    assert_eq!(of("一\nＡＢＣ　<b>", "abc"), three("一 ", "ＡＢＣ", " <b>"));
    assert_eq!(of("灯灯灯", "灯"), three("", "灯", "灯灯"));
    assert_eq!(of("Straße", "ss"), three("Stra", "ß", "e"));
    let long = format!("{}灯{}", "前".repeat(100), "后".repeat(100));
    let found = of(&long, "灯");
    let (before, after) = ("前".repeat(12), "后".repeat(27));
    assert_eq!(
        found,
        three(&format!("…{before}"), "灯", &format!("{after}…"))
    );
    let all = "长".repeat(100);
    let (_, hit, after) = of(&all, &all).unwrap_or_default();
    assert!(hit.chars().count() == 40 && after == "…");
}

#[test]
fn the_folding_is_the_one_that_the_schema_was_raised_for() {
    // Whoever takes other tables of Unicode, or masks another field, raises the version of the schema, so that the index is made anew.
    let folded = text::folded("ＡＢＣ　㈱①½ é ß 葛\u{e0100}");
    assert_eq!(folded, "abc (株)11⁄2 é ss 葛");
    assert_eq!(MASKED.iter().collect::<Vec<_>>(), [(&PHONE, &false)]);
    assert_eq!(char::UNICODE_VERSION.0, 17);
}
