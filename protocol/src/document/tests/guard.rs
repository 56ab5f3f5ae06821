//! Hostile bytes: the guard refuses them before anything is expanded, and never panics.

use super::hand_made::{HandMade, chunk, chunk_of, one_put, signed, unsigned};
use super::*;

#[test]
fn a_change_in_another_name_or_of_another_hash_is_refused() -> TestResult {
    let raw = Document::new().edit(&ANNA, &start("opinion"))?;
    let open = |hash, actor| GuardedChange::open(&raw.bytes, hash, actor, &Limits::default()).err();

    assert_eq!(digest_of_change(&raw.bytes), Ok(raw.hash));
    assert_eq!(open(&raw.hash, &ANNA), None);
    assert_eq!(open(&raw.hash, &BEN), Some(GuardError::WrongActor));
    assert_eq!(open(&[0; 32], &ANNA), Some(GuardError::WrongHash));
    Ok(())
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() -> TestResult {
    let mut document = Document::new();
    document.edit(&BEN, &start("opinion"))?;
    let raw = document.edit(
        &ANNA,
        &Edit {
            events: vec![event("e1", "a", 1)],
            ..set("title", "路灯")
        },
    )?;
    for index in 0..raw.bytes.len() {
        for bit in 0..8 {
            let mut bytes = raw.bytes.clone();
            if let Some(byte) = bytes.get_mut(index) {
                *byte ^= 1 << bit;
            }
            let digest = digest_of_change(&bytes);
            let refused = matches!(
                digest,
                Err(GuardError::NotAChange | GuardError::BadChecksum)
            );
            assert!(refused, "byte {index}, bit {bit}: {digest:?}");
            let flipped = RawChange {
                bytes,
                hash: raw.hash,
            };
            assert!(open(&flipped, &ANNA).is_err(), "byte {index}, bit {bit}");
        }
    }
    Ok(())
}

#[test]
fn anything_but_one_uncompressed_change_is_refused() -> TestResult {
    let mut document = Document::new();
    let raw = document.edit(&ANNA, &start(&"kind ".repeat(100)))?;

    for len in 0..raw.bytes.len() {
        let cut = raw.bytes.get(..len).unwrap_or_default();
        assert_eq!(
            digest_of_change(cut),
            Err(GuardError::NotAChange),
            "cut to {len}"
        );
    }
    let mut trailing = raw.bytes.clone();
    trailing.push(0);
    assert_eq!(digest_of_change(&trailing), Err(GuardError::NotAChange));
    assert_eq!(
        digest_of_change(&raw.bytes.repeat(2)),
        Err(GuardError::NotAChange)
    );
    for chunk_type in [0, 2, 3, 4, 255] {
        let content = raw.bytes.get(11..).unwrap_or_default();
        let other = chunk_of(chunk_type, content);
        assert_eq!(
            digest_of_change(&other),
            Err(GuardError::NotAChange),
            "type {chunk_type}"
        );
    }
    assert_eq!(
        digest_of_change(&document.save()?),
        Err(GuardError::NotAChange)
    );

    let mut change = Change::from_bytes(raw.bytes.clone())?;
    let compressed = change.bytes().into_owned();
    assert_eq!(
        compressed.get(8),
        Some(&2),
        "the library compresses above 256 bytes"
    );
    assert_eq!(digest_of_change(&compressed), Err(GuardError::NotAChange));

    assert_eq!(
        digest_of_change(&vec![0; HARD_CHANGE_BYTES + 1]),
        Err(GuardError::TooLarge)
    );
    let tight = Limits {
        change_bytes: raw.bytes.len() - 1,
        ..Limits::default()
    };
    let refused = GuardedChange::open(&raw.bytes, &raw.hash, &ANNA, &tight).err();
    assert_eq!(refused, Some(GuardError::TooLarge));
    Ok(())
}

#[test]
fn headers_that_ask_for_too_much_are_refused() -> TestResult {
    let fine = HandMade {
        columns: one_put(),
        ..HandMade::default()
    };
    assert!(open(&fine.raw(), &ANNA).is_ok());

    let refused = |made: HandMade| open(&made.raw(), &ANNA).err();
    let deps = |count: u8| (0..count).map(|n| [n; 32]).collect::<Vec<_>>();
    assert_eq!(
        refused(HandMade {
            deps: deps(64),
            ..fine.clone()
        }),
        None
    );
    assert_eq!(
        refused(HandMade {
            deps: deps(65),
            ..fine.clone()
        }),
        Some(GuardError::TooManyDeps)
    );
    assert_malformed(refused(HandMade {
        deps: vec![[1; 32]; 2],
        ..fine.clone()
    }));
    assert_malformed(refused(HandMade {
        seq: 0,
        ..fine.clone()
    }));
    assert_malformed(refused(HandMade {
        seq: 1 << 33,
        ..fine.clone()
    }));
    assert_malformed(refused(HandMade {
        start_op: 0,
        ..fine.clone()
    }));
    assert_malformed(refused(HandMade {
        start_op: u64::from(u32::MAX),
        ..fine.clone()
    }));
    assert_malformed(refused(HandMade {
        time: 1,
        ..fine.clone()
    }));
    assert_malformed(refused(HandMade {
        message: "x".into(),
        ..fine.clone()
    }));
    assert_malformed(refused(HandMade {
        trailing: vec![1, 1, 7],
        ..fine.clone()
    }));
    let deflated = vec![(66 | 8, vec![0x7f, 1])];
    assert_malformed(refused(HandMade {
        columns: deflated,
        ..fine.clone()
    }));
    let unknown = [one_put(), vec![(177, vec![0x7f, 1])]].concat();
    assert_malformed(refused(HandMade {
        columns: unknown,
        ..fine.clone()
    }));
    let foreign_actor = [vec![(1, vec![0x7f, 5]), (2, vec![0x7f, 1])], one_put()].concat();
    assert_malformed(refused(HandMade {
        columns: foreign_actor,
        ..fine
    }));
    Ok(())
}

#[test]
fn run_lengths_are_counted_before_anything_is_expanded() {
    const HUGE: i64 = 1 << 40;
    let put = |count: i64| {
        vec![
            (21, [signed(count), vec![1, b'k']].concat()),
            (52, unsigned(count.unsigned_abs())),
            (66, [signed(count), vec![1]].concat()),
            (86, [signed(count), vec![0]].concat()),
            (112, [signed(count), vec![0]].concat()),
        ]
    };
    let replaced = |spec: u64, bytes: Vec<u8>| {
        let mut columns = one_put();
        columns.retain(|(known, _)| *known != spec);
        columns.push((spec, bytes));
        columns.sort();
        columns
    };
    let key_of_60_kb = [signed(20_000), unsigned(60_000), vec![b'k'; 60_000]].concat();
    let preds = vec![
        (112, [signed(1), unsigned(HUGE.unsigned_abs())].concat()),
        (113, [signed(HUGE), vec![0]].concat()),
        (115, [signed(HUGE), vec![0]].concat()),
    ];
    let cases = [
        ("operations", put(HUGE), GuardError::TooManyOps),
        ("one above the limit", put(20_001), GuardError::TooManyOps),
        ("more than bytes", put(200), GuardError::TooManyOps),
        (
            "absent rows",
            replaced(21, [vec![0], unsigned(1 << 62)].concat()),
            GuardError::TooManyOps,
        ),
        (
            "a literal run",
            replaced(66, [signed(i64::MIN), vec![1]].concat()),
            GuardError::TooManyOps,
        ),
        (
            "booleans",
            replaced(52, unsigned(u64::MAX)),
            GuardError::TooManyOps,
        ),
        (
            "an empty run of booleans",
            replaced(52, vec![1, 0]),
            GuardError::Malformed(""),
        ),
        (
            "an empty run of booleans alone",
            replaced(52, vec![0]),
            GuardError::Malformed(""),
        ),
        (
            "an empty column",
            replaced(148, Vec::new()),
            GuardError::Malformed(""),
        ),
        (
            "no word on insertion",
            replaced(52, Vec::new()),
            GuardError::Malformed(""),
        ),
        (
            "an absent number of predecessors",
            replaced(112, vec![0, 1]),
            GuardError::Malformed(""),
        ),
        (
            "predecessors",
            [
                one_put()
                    .into_iter()
                    .filter(|(spec, _)| *spec != 112)
                    .collect(),
                preds,
            ]
            .concat(),
            GuardError::TooManyOps,
        ),
        (
            "one long key for all operations",
            put(20_000)
                .into_iter()
                .filter(|(spec, _)| *spec != 21)
                .chain([(21, key_of_60_kb)])
                .collect(),
            GuardError::TooManyOps,
        ),
        (
            "a mark",
            replaced(165, [signed(HUGE), vec![1, b'm']].concat()),
            GuardError::TooManyOps,
        ),
        (
            "values",
            replaced(86, [signed(1), unsigned((1 << 50) | 6)].concat()),
            GuardError::Malformed(""),
        ),
    ];
    for (what, mut columns, expected) in cases {
        columns.sort();
        let raw = HandMade {
            columns,
            ..HandMade::default()
        }
        .raw();
        // Refused in microseconds; expanding any of these would take minutes, or all memory.
        match (open(&raw, &ANNA), expected) {
            (Err(GuardError::Malformed(_)), GuardError::Malformed(_)) => {}
            (outcome, expected) => assert_eq!(outcome.err(), Some(expected), "{what}"),
        }
    }
    let long_keys = |count: i64| {
        let mut columns = put(count);
        let keys = (0..count).flat_map(|n| [vec![4], format!("{n:04}").into_bytes()].concat());
        columns.retain(|(spec, _)| *spec != 21);
        columns.insert(0, (21, [signed(-count), keys.collect()].concat()));
        HandMade {
            columns,
            ..HandMade::default()
        }
        .raw()
    };
    assert!(
        open(&long_keys(9_999), &ANNA).is_ok(),
        "many operations, each with a key of its own"
    );
    let tight = Limits {
        ops: 9_998,
        ..Limits::default()
    };
    let raw = long_keys(9_999);
    let refused = GuardedChange::open(&raw.bytes, &raw.hash, &ANNA, &tight).err();
    assert_eq!(refused, Some(GuardError::TooManyOps));
}

#[test]
fn mutations_with_a_true_checksum_never_get_out_of_hand() -> TestResult {
    let mut document = Document::new();
    let first = document.edit(&ANNA, &start("opinion"))?;
    let second = document.edit(&BEN, &set("title", "a"))?;
    let mut edit = set("title", "路灯不亮");
    edit.fields
        .insert("text".into(), Some(Scalar::Part([9; 16])));
    edit.fields
        .insert("urgent".into(), Some(Scalar::Bool(true)));
    edit.events = vec![event("e1", "received", 1), event("e2", "assigned", 2)];
    let raw = document.edit(&ANNA, &edit)?;

    let content = raw.bytes.get(11..).ok_or("a longer change expected")?;
    assert_eq!(chunk_of(1, content), raw.bytes, "content begins at byte 11");
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    let (mut opened, mut applied) = (0, 0);
    for _ in 0..20_000 {
        let mutated = chunk(&random.mutate(content));
        let Ok(change) = open(&mutated, &ANNA) else {
            continue;
        };
        opened += 1;
        let honest = [open(&first, &ANNA)?, open(&second, &BEN)?];
        let [first, second] = honest.map(|change| offer(change.seq(), change));
        let built = Document::build(vec![first, second, offer(2, change)]);
        assert!(
            !built.defect,
            "Automerge refuses what the gate let in: {mutated:?}"
        );
        applied += usize::from(all_count(&built));
        // What Automerge makes of the operations is what the gate took them for.
        assert_eq!(
            built.document.view().unreadable,
            [] as [&str; 0],
            "{mutated:?}"
        );
        assert!(built.document.heads().len() <= 2);
        let last = built.document.history().pop().ok_or("no history")?;
        assert!(last.by.is_some(), "each change can be told");
        built.document.save().ok();
        let mut next = built.document;
        let edited = next.edit(&CARL, &set("title", "b"));
        assert!(edited.is_ok(), "honest writing goes on: {edited:?}");
    }
    // Otherwise the mutations never got as far as what is tested here.
    assert!(
        opened > 1_000 && applied > 200,
        "{opened} opened, {applied} applied"
    );
    Ok(())
}

fn assert_malformed(outcome: Option<GuardError>) {
    assert!(
        matches!(outcome, Some(GuardError::Malformed(_))),
        "{outcome:?}"
    );
}

struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    /// One to three bytes flipped, replaced, removed or inserted.
    fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let fresh = (self.next() & 0xff) as u8;
            match (self.below(8), bytes.get_mut(at)) {
                (0..4, Some(byte)) => *byte ^= 1 << (fresh % 8),
                (4..6, Some(byte)) => *byte = fresh,
                (6, Some(_)) => {
                    bytes.remove(at);
                }
                _ => bytes.insert(at, fresh),
            }
        }
        bytes
    }
}
