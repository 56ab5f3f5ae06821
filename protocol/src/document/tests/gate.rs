//! The rules of the gate, attacked: each test is a writer of the space who chooses bytes, places and order.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that reaches beyond its own data should fail"
)]

use super::hand_made::{HandMade, HandOp, columns};
use super::*;
use crate::limits;
use crate::testing::Random;

/// Two logs of the hostile writer.
const EVE: ActorId = [0xe1; 16];
const MALLORY: ActorId = [0xe2; 16];

/// An opinion with a title and an event, all by Anna: its document and change.
fn opinion() -> Result<(Document, RawChange), EditError> {
    let mut document = Document::new();
    let mut first = start("opinion");
    first.fields.insert("title".into(), Some(s("路灯不亮")));
    first.events.push(event("e1", "received", 1));
    let raw = document.edit(&ANNA, &first)?;
    Ok((document, raw))
}

/// Where Anna's founding change put things: the maps and her event, by counter.
struct Places {
    fields: u64,
    events: u64,
    title: u64,
    event: u64,
}

fn places(raw: &RawChange) -> Result<Places, Box<dyn std::error::Error>> {
    let change = open(raw, &ANNA)?;
    let ops = change.ops.clone()?;
    let at = |key: &str| {
        let found = (1_u64..).zip(&ops).find(|(_, op)| op.key == key);
        found.map(|(counter, _)| counter).ok_or("no such operation")
    };
    Ok(Places {
        fields: at("fields")?,
        events: at("events")?,
        title: at("title")?,
        event: at(&key(&ANNA, 0))?,
    })
}

/// A change by Eve on top of Anna's, with operations that name Anna as actor 1.
fn eves(on: &RawChange, ops: &[HandOp]) -> Result<GuardedChange, GuardError> {
    let start_op = open(on, &ANNA)?.max_op() + 1;
    let made = HandMade {
        deps: vec![on.hash],
        actor: EVE,
        start_op,
        others: vec![ANNA],
        columns: columns(ops),
        ..HandMade::default()
    };
    open(&made.raw(), &EVE)
}

fn fate_of(on: &RawChange, ops: &[HandOp]) -> Result<Fate, Box<dyn std::error::Error>> {
    let anna = offer(1, open(on, &ANNA)?);
    let mut built = Document::build(vec![offer(9, eves(on, ops)?), anna]);
    assert!(!built.defect);
    assert_eq!(built.fates.get(1), Some(&Fate::Counts));
    Ok(built.fates.swap_remove(0))
}

#[test]
fn a_second_founder_changes_nothing_however_small_its_hash() -> TestResult {
    let (document, first) = opinion()?;
    let mut tries = 0;
    for number in 0..40 {
        let mut forged = start("opinion");
        forged
            .fields
            .insert("title".into(), Some(s(&format!("{number}"))));
        let forged = Document::new().edit(&EVE, &forged)?;
        tries += u32::from(forged.hash < first.hash);
        let forged = offer(1, open(&forged, &EVE)?);
        let built = Document::build(vec![forged, offer(1, open(&first, &ANNA)?)]);
        assert_eq!(
            built.fates,
            [Fate::Refused(Refusal::NotFounder), Fate::Counts]
        );
        assert_eq!(built.document.view(), document.view());
    }
    assert!(tries > 0, "some of them hash smaller");
    Ok(())
}

#[test]
fn of_two_changes_with_one_number_the_earlier_in_the_log_counts_and_the_log_ends_there()
-> TestResult {
    let (mut here, first) = opinion()?;
    let mut copy = here.clone();
    let left = here.edit(&ANNA, &set("title", "left"))?;
    let on_left = here.edit(&BEN, &set("phone", "1"))?;
    let right = copy.edit(&ANNA, &set("title", "right"))?;
    let on_right = copy.edit(&CARL, &set("phone", "2"))?;
    let more = copy.edit(&ANNA, &set("title", "more"))?;
    for (kept, on_kept, lost, on_lost) in [
        (&left, (&on_left, BEN), &right, (&on_right, CARL)),
        (&right, (&on_right, CARL), &left, (&on_left, BEN)),
    ] {
        let built = Document::build(vec![
            offer(1, open(&first, &ANNA)?),
            offer(2, open(kept, &ANNA)?),
            offer(3, open(lost, &ANNA)?),
            offer(1, open(on_kept.0, &on_kept.1)?),
            offer(1, open(on_lost.0, &on_lost.1)?),
            offer(4, open(&more, &ANNA)?),
        ]);
        let refused = |why| Fate::Refused(why);
        let expected = [
            Fate::Counts,
            Fate::Counts,
            refused(Refusal::Sequence),
            Fate::Counts,
            refused(Refusal::BuildsOnRefused),
            refused(Refusal::Closed),
        ];
        assert_eq!(built.fates, expected);
        assert_eq!(built.document.heads(), vec![on_kept.0.hash]);
        let mut document = built.document;
        let closed = document.edit(&ANNA, &set("title", "x"));
        assert_eq!(closed, Err(EditError::LogClosed), "goes on in a new log");
        document.edit(&MALLORY, &set("title", "x"))?;
    }
    Ok(())
}

#[test]
fn a_change_builds_directly_on_its_logs_last_and_numbers_on_from_its_ancestors() -> TestResult {
    let (mut document, one) = opinion()?;
    let top = open(&one, &ANNA)?.max_op();
    let by_hand = |actor, seq, deps: &[ChangeHash], start_op| HandMade {
        deps: deps.to_vec(),
        actor,
        seq,
        start_op,
        ..HandMade::default()
    };
    let gap = by_hand(CARL, 2, &[one.hash], top + 1).raw();
    let high = by_hand(EVE, 1, &[one.hash], 900).raw();
    // Builds on Ben's first change, but by way of another.
    let two = document.edit(&BEN, &set("title", "a"))?;
    let three = document.edit(&ANNA, &set("title", "b"))?;
    let last = open(&three, &ANNA)?.max_op();
    let beside = by_hand(BEN, 2, &[three.hash], last + 1).raw();

    let built = build(&[
        (&one, ANNA),
        (&gap, CARL),
        (&high, EVE),
        (&two, BEN),
        (&three, ANNA),
        (&beside, BEN),
    ])?;

    let expected = [
        Fate::Counts,
        Fate::Refused(Refusal::Sequence),
        Fate::Refused(Refusal::OpNumbers),
        Fate::Counts,
        Fate::Counts,
        Fate::Refused(Refusal::Sequence),
    ];
    assert_eq!(built.fates, expected);
    assert_eq!(built.document.view(), document.view());
    Ok(())
}

#[test]
fn nothing_but_scalars_in_fields_and_whole_events_of_ones_own_can_be_written() -> TestResult {
    let (_, first) = opinion()?;
    let at = places(&first)?;
    let (fields, events, theirs) = (
        Some((at.fields, 1)),
        Some((at.events, 1)),
        Some((at.event, 1)),
    );
    let own = key(&EVE, 0);
    let begins = open(&first, &ANNA)?.max_op() + 1;
    let mine = Some((begins, 0));
    let whole = |key: &str| {
        vec![
            HandOp::map(events, key),
            HandOp::put(mine, "event", "noted"),
            HandOp::int(mine, "at", 1),
            HandOp::put(mine, "by", "account"),
        ]
    };
    let without = |at: usize| {
        let mut ops = whole(&own);
        ops.remove(at);
        ops
    };
    let anna = |counter: u64| vec![(counter, 1_u64)];
    let value = |value: (u64, Vec<u8>)| {
        vec![HandOp {
            value,
            ..HandOp::put(fields, "n", "")
        }]
    };
    let hostile: Vec<(&str, Vec<HandOp>)> = vec![
        (
            "a field map deleted",
            vec![HandOp::delete(None, "fields", &anna(at.fields))],
        ),
        (
            "the events deleted",
            vec![HandOp::delete(None, "events", &anna(at.events))],
        ),
        (
            "the events replaced",
            vec![HandOp::map(None, "events").over(&anna(at.events))],
        ),
        (
            "the kind set anew",
            vec![HandOp::put(None, "kind", "suggestion")],
        ),
        (
            "another key of the root",
            vec![HandOp::put(None, "extra", "x")],
        ),
        (
            "another's event deleted",
            vec![HandOp::delete(events, &key(&ANNA, 0), &anna(at.event))],
        ),
        (
            "another's event replaced",
            vec![HandOp::map(events, &key(&ANNA, 0)).over(&anna(at.event))],
        ),
        (
            "another's event written into",
            vec![HandOp::put(theirs, "note", "x")],
        ),
        ("an event under another's key", whole(&key(&ANNA, 7))),
        ("an event under no one's key", whole("e1")),
        ("an event without a name", without(1)),
        ("an event without a time", without(2)),
        ("an event without a writer", without(3)),
        (
            "a scalar among the events",
            vec![HandOp::put(events, &own, "x")],
        ),
        ("a map among the fields", vec![HandOp::map(fields, "title")]),
        (
            "a delete of nothing",
            vec![HandOp::delete(fields, "title", &[])],
        ),
        (
            "a predecessor at another key",
            vec![HandOp::put(fields, "phone", "1").over(&anna(at.title))],
        ),
        (
            "a predecessor that is a map",
            vec![HandOp::put(fields, "title", "x").over(&anna(at.event))],
        ),
        (
            "a predecessor of one's own change",
            vec![
                HandOp::put(fields, "title", "x"),
                HandOp::delete(fields, "title", &[(begins, 0)]),
            ],
        ),
        (
            "a predecessor that is not there",
            vec![HandOp::put(fields, "title", "x").over(&anna(4_000))],
        ),
        (
            "a map that is not there",
            vec![HandOp::put(Some((3_000, 0)), "title", "x")],
        ),
        ("a counter", value((1 << 4 | 8, vec![1]))),
        ("a time stamp", value((1 << 4 | 9, vec![1]))),
        ("an unsigned number", value((1 << 4 | 3, vec![1]))),
        ("a fraction", value((8 << 4 | 5, vec![0; 8]))),
        ("nothing as a value", value((0, vec![]))),
        ("fifteen bytes", value((15 << 4 | 7, vec![0; 15]))),
        (
            "a list",
            vec![HandOp {
                action: 2,
                ..HandOp::map(fields, "n")
            }],
        ),
        (
            "a text",
            vec![HandOp {
                action: 4,
                ..HandOp::map(fields, "n")
            }],
        ),
        (
            "an increment",
            vec![HandOp {
                action: 5,
                ..HandOp::int(fields, "n", 1)
            }],
        ),
    ];
    for (what, ops) in hostile {
        let fate = fate_of(&first, &ops)?;
        assert!(
            matches!(fate, Fate::Refused(Refusal::Shape(_))),
            "{what}: {fate:?}"
        );
    }
    // And what an honest writer does, counts.
    let honest = [
        vec![HandOp::put(fields, "title", "x").over(&anna(at.title))],
        vec![
            HandOp::delete(fields, "title", &anna(at.title)),
            HandOp::put(fields, "title", "x"),
        ],
        vec![HandOp::put(fields, "title", "a value beside the other")],
        value((16 << 4 | 7, vec![7; 16])),
        value((2, vec![])),
        whole(&own),
        vec![],
    ];
    for ops in honest {
        assert_eq!(fate_of(&first, &ops)?, Fate::Counts, "{ops:?}");
    }
    Ok(())
}

#[test]
fn predecessors_and_actors_are_looked_for_among_the_ancestors_alone() -> TestResult {
    let (mut here, first) = opinion()?;
    let bens = here.edit(&BEN, &set("title", "bens"))?;
    let change = open(&bens, &BEN)?;
    let at = places(&first)?;
    let ops = change.ops.clone()?;
    let title = ops
        .iter()
        .position(|op| op.key == "title")
        .ok_or("no title")?;
    let counter = change.start_op + title as u64;
    // Names Ben, whose change it does not build on: whether that is here decides nothing.
    let made = HandMade {
        deps: vec![first.hash],
        actor: EVE,
        start_op: open(&first, &ANNA)?.max_op() + 1,
        others: vec![ANNA, BEN],
        columns: columns(&[HandOp::put(Some((at.fields, 1)), "title", "x").over(&[(counter, 2)])]),
        ..HandMade::default()
    };
    let hostile = made.raw();
    let unknown = Fate::Refused(Refusal::UnknownActor);
    let with = build(&[(&first, ANNA), (&bens, BEN), (&hostile, EVE)])?;
    assert_eq!(with.fates, [Fate::Counts, Fate::Counts, unknown.clone()]);
    let without = build(&[(&first, ANNA), (&hostile, EVE)])?;
    assert_eq!(without.fates, [Fate::Counts, unknown]);
    Ok(())
}

/// The founding change and so many changes of Eve, each of which puts the title anew.
fn flood(
    first: &RawChange,
    count: u64,
    text: &str,
) -> Result<Vec<Offered>, Box<dyn std::error::Error>> {
    let at = places(first)?;
    let mut offered = vec![offer(1, open(first, &ANNA)?)];
    let mut before = (first.hash, open(first, &ANNA)?.max_op());
    for seq in 1..=count {
        let own = [(before.1, 0)];
        let put = HandOp::put(Some((at.fields, 1)), "title", text);
        let put = put.over(if seq > 1 { &own } else { &[] });
        let made = HandMade {
            deps: vec![before.0],
            actor: EVE,
            seq,
            start_op: before.1 + 1,
            others: vec![ANNA],
            columns: columns(&[put]),
            ..HandMade::default()
        };
        let raw = made.raw();
        before = (raw.hash, before.1 + 1);
        offered.push(offer(seq, open(&raw, &EVE)?));
    }
    Ok(offered)
}

#[test]
fn a_log_that_has_written_as_many_changes_as_it_may_leaves_the_others_theirs() -> TestResult {
    let (mut document, first) = opinion()?;
    let most = limits::RECORD_CHANGES_MAX;
    let mut offered = flood(&first, most as u64 + 1, "x")?;
    let hub = document.edit(&BEN, &set("title", "y"))?;
    offered.push(offer(1, open(&hub, &BEN)?));

    let built = Document::build(offered);

    let refused = built.fates.iter().filter(|it| **it != Fate::Counts);
    assert_eq!(refused.count(), 1);
    assert_eq!(
        built.fates.get(most + 1),
        Some(&Fate::Refused(Refusal::Full))
    );
    Ok(())
}

#[test]
fn a_flood_fills_its_own_share_and_nobody_elses() -> TestResult {
    let (mut document, first) = opinion()?;
    let mut offered = flood(&first, 20, &"x".repeat(60_000))?;
    // The hub knew nothing of it.
    let step = Edit {
        events: vec![event("h", "accept", 2)],
        ..Edit::default()
    };
    let hub = document.edit(&BEN, &step)?;
    offered.push(offer(1, open(&hub, &BEN)?));

    let mut built = Document::build(offered);

    let counted = |fate: &Fate| *fate == Fate::Counts;
    let most = limits::RECORD_BYTES_MAX / 60_200;
    assert_eq!(
        built.fates.iter().filter(|it| counted(it)).count(),
        most + 2
    );
    assert_eq!(
        built.fates.get(most + 1),
        Some(&Fate::Refused(Refusal::Full))
    );
    assert_eq!(
        built.fates.get(most + 2),
        Some(&Fate::Refused(Refusal::Closed))
    );
    assert!(built.fates.last().is_some_and(counted));
    assert_eq!(built.document.view().events.len(), 2);
    built.document.edit(&ANNA, &set("title", "still open"))?;
    Ok(())
}

#[test]
fn one_log_puts_so_many_changes_events_and_operations_into_a_record_and_then_a_new_log_goes_on()
-> TestResult {
    let (document, _) = opinion()?;
    let note = |n: u64| Edit {
        events: vec![event(&n.to_string(), "noted", 1)],
        ..Edit::default()
    };
    let mut events = document.clone();
    let mut written = 0;
    while events.edit(&BEN, &note(written)).is_ok() {
        written += 1;
    }
    assert!(written as usize <= limits::RECORD_EVENTS_MAX && written > 40);
    assert_eq!(
        events.edit(&BEN, &set("title", "x")),
        Err(EditError::LogClosed)
    );
    events.edit(&CARL, &note(0))?;
    assert_eq!(events.view().events.len() as u64, written + 2);

    let mut wide = document;
    let keys = (0..4_000).map(|n| (format!("{n:04}"), Some(s("x"))));
    let mut edit = Edit {
        fields: keys.collect(),
        ..Edit::default()
    };
    let mut saves = 0;
    while wide.edit(&BEN, &edit).is_ok() {
        saves += 1;
        edit.fields
            .values_mut()
            .flatten()
            .for_each(|value| *value = Scalar::Int(saves));
    }
    assert_eq!(
        saves, 3,
        "of 4,000 operations each, and as many values replaced"
    );
    wide.edit(&CARL, &edit)?;
    Ok(())
}

#[test]
fn a_refused_copy_of_a_change_in_another_log_says_nothing_of_the_change() -> TestResult {
    let (mut document, first) = opinion()?;
    let second = document.edit(&BEN, &set("title", "a"))?;
    let mut copy = offer(5, open(&second, &BEN)?);
    copy.actor = EVE;
    copy.change = open(&second, &EVE);

    let built = Document::build(vec![
        copy,
        offer(1, open(&second, &BEN)?),
        offer(1, open(&first, &ANNA)?),
    ]);

    let refused = Fate::Refused(Refusal::Guard(GuardError::WrongActor));
    assert_eq!(built.fates, [refused, Fate::Counts, Fate::Counts]);
    Ok(())
}

#[test]
fn what_has_no_rights_does_not_count_nor_does_what_builds_on_it_until_it_is_adopted() -> TestResult
{
    let (mut document, first) = opinion()?;
    let second = document.edit(&BEN, &set("title", "a"))?;
    let third = document.edit(&ANNA, &set("phone", "1"))?;
    let offered = |permitted| -> Result<Vec<Offered>, GuardError> {
        Ok(vec![
            offer(1, open(&first, &ANNA)?),
            Offered {
                permitted,
                ..offer(1, open(&second, &BEN)?)
            },
            offer(2, open(&third, &ANNA)?),
        ])
    };
    let held = Document::build(offered(false)?);
    let expected = [
        Fate::Counts,
        Fate::Refused(Refusal::NotPermitted),
        Fate::Refused(Refusal::BuildsOnRefused),
    ];
    assert_eq!(held.fates, expected);
    assert!(all_count(&Document::build(offered(true)?)));
    Ok(())
}

#[test]
fn what_automerge_does_not_decode_is_a_change_all_the_same_if_its_bytes_are_in_order() -> TestResult
{
    let (_, first) = opinion()?;
    let at = places(&first)?;
    let unknown = HandOp {
        action: 9,
        ..HandOp::put(Some((at.fields, 1)), "title", "x")
    };
    let one = eves(&first, &[unknown])?;
    let on_it = HandMade {
        deps: vec![one.hash()],
        actor: MALLORY,
        start_op: one.max_op() + 1,
        ..HandMade::default()
    };
    let built = Document::build(vec![
        offer(1, open(&first, &ANNA)?),
        offer(1, one),
        offer(1, open(&on_it.raw(), &MALLORY)?),
    ]);
    assert!(matches!(
        built.fates.as_slice(),
        [
            Fate::Counts,
            Fate::Refused(Refusal::Shape(_)),
            Fate::Refused(Refusal::BuildsOnRefused)
        ]
    ));
    Ok(())
}

#[test]
fn a_change_waits_until_all_that_it_names_are_judged_in_whatever_order_it_names_them() -> TestResult
{
    let (_, first) = opinion()?;
    let refused = eves(&first, &[])?;
    let unknown = [7; 32];
    for deps in [
        vec![first.hash, refused.hash(), unknown],
        vec![first.hash, unknown, refused.hash()],
    ] {
        let made = HandMade {
            deps,
            actor: MALLORY,
            start_op: refused.max_op() + 1,
            ..HandMade::default()
        };
        let built = Document::build(vec![
            offer(1, open(&first, &ANNA)?),
            Offered {
                permitted: false,
                ..offer(1, refused.clone())
            },
            offer(1, open(&made.raw(), &MALLORY)?),
        ]);
        let Some(Fate::Waits { missing }) = built.fates.get(2) else {
            return Err("it is judged before what it builds on".into());
        };
        assert!(missing.contains(&unknown));
    }
    Ok(())
}

#[test]
fn a_founder_makes_its_maps_before_it_writes_in_them() -> TestResult {
    let founder = |fields: u64, order: [usize; 4]| -> Result<Fate, GuardError> {
        let ops = [
            HandOp::put(None, "kind", "opinion"),
            HandOp::map(None, "fields"),
            HandOp::map(None, "events"),
            HandOp::put(Some((fields, 0)), "title", "x"),
        ];
        let made = HandMade {
            columns: columns(&order.map(|at| ops[at].clone())),
            ..HandMade::default()
        };
        let mut built = Document::build(vec![offer(1, open(&made.raw(), &ANNA)?)]);
        assert!(!built.defect);
        Ok(built.fates.swap_remove(0))
    };
    assert_eq!(founder(2, [0, 1, 2, 3])?, Fate::Counts);
    assert!(matches!(
        founder(3, [3, 0, 1, 2])?,
        Fate::Refused(Refusal::Shape(_))
    ));
    Ok(())
}

// ---- any writer, any order -------------------------------------------------------------------------------

/// Every log's changes in order; a replica holds a beginning of each.
#[derive(Default)]
struct World {
    logs: BTreeMap<ActorId, Vec<RawChange>>,
}

impl World {
    fn offered(&self, held: &BTreeMap<ActorId, usize>, random: &mut Random) -> Vec<Offered> {
        let mut offered = Vec::new();
        for (actor, len) in held {
            let changes = self.logs.get(actor).into_iter().flatten().take(*len);
            for (place, raw) in (1..).zip(changes) {
                offered.push(Offered {
                    actor: *actor,
                    place,
                    founds: (*actor, place) == (ANNA, 1),
                    permitted: true,
                    change: open(raw, actor),
                });
            }
        }
        for at in (1..offered.len()).rev() {
            offered.swap(at, random.below(at + 1));
        }
        offered
    }

    /// What counts, what never will, and what is shown.
    fn judge(&self, held: &BTreeMap<ActorId, usize>, random: &mut Random) -> (Document, Fates) {
        let offered = self.offered(held, random);
        let named: Vec<_> = offered.iter().map(|it| (it.actor, it.place)).collect();
        let built = Document::build(offered);
        assert!(!built.defect, "Automerge refuses what the gate let in");
        (built.document, named.into_iter().zip(built.fates).collect())
    }

    fn push(&mut self, actor: ActorId, raw: RawChange) {
        self.logs.entry(actor).or_default().push(raw);
    }

    /// Whatever a member can write: changes on any others, of any number, shape and size.
    fn hostile(&mut self, random: &mut Random) {
        // A log ends at its first change that does not count, so she begins one after another.
        let actor = [0xe0 + random.below(12) as u8; 16];
        let all: Vec<(ActorId, RawChange)> = self
            .logs
            .iter()
            .flat_map(|(actor, changes)| changes.iter().map(|raw| (*actor, raw.clone())))
            .collect();
        let own = self.logs.get(&actor).map_or(&[][..], Vec::as_slice);
        let mut deps: Vec<ChangeHash> = Vec::new();
        let mut top = 0;
        for _ in 0..1 + random.below(2) {
            if let Some((author, raw)) = all.get(random.below(all.len().max(1))) {
                deps.push(raw.hash);
                top = top.max(open(raw, author).map_or(0, |it| it.max_op()));
            }
        }
        if let Some(last) = own.last().filter(|_| !random.one_in(6)) {
            deps.push(last.hash);
            top = top.max(open(last, &actor).map_or(0, |it| it.max_op()));
        }
        deps.sort_unstable();
        deps.dedup();
        let plain = random.below(3) > 0;
        let op = |random: &mut Random| {
            if plain {
                HandOp::put(Some((2, 1)), ["title", "phone"][random.below(2)], "hostile")
            } else {
                self.hostile_op(random)
            }
        };
        let ops: Vec<HandOp> = (0..=random.below(3)).map(|_| op(random)).collect();
        let made = HandMade {
            deps,
            actor,
            seq: if random.one_in(8) {
                1 + random.below(3) as u64
            } else {
                own.len() as u64 + 1
            },
            start_op: if random.one_in(8) {
                1 + random.below(60) as u64
            } else {
                top + 1
            },
            others: if random.one_in(4) {
                vec![ANNA, BEN]
            } else {
                vec![ANNA]
            },
            columns: columns(&ops),
            ..HandMade::default()
        };
        self.push(actor, made.raw());
    }

    fn hostile_op(&self, random: &mut Random) -> HandOp {
        let maps = [
            None,
            Some((2, 1)),
            Some((3, 1)),
            Some((2, 1)),
            Some((1 + random.below(40) as u64, random.below(3) as u64)),
        ];
        let map = maps[random.below(maps.len())];
        let keys = [
            "title", "phone", "kind", "fields", "events", "by", "event", "at",
        ];
        let own = [EVE, MALLORY, ANNA, BEN].map(|actor| key(&actor, random.below(3)));
        let key = if random.one_in(3) {
            own[random.below(4)].as_str()
        } else {
            keys[random.below(keys.len())]
        };
        let preds: Vec<_> = (0..random.below(2))
            .map(|_| (1 + random.below(60) as u64, random.below(3) as u64))
            .collect();
        match random.below(5) {
            0 => HandOp::map(map, key),
            1 => HandOp::delete(map, key, &preds),
            2 => HandOp::int(map, key, 5),
            _ => HandOp::put(map, key, "hostile").over(&preds),
        }
    }
}

type Fates = BTreeMap<(ActorId, u64), Fate>;

fn step(random: &mut Random, number: u64) -> Edit {
    let mut edit = set(
        ["title", "phone"][random.below(2)],
        &format!("honest {number}"),
    );
    if random.one_in(2) {
        edit.events.push(event(&number.to_string(), "noted", 1));
    }
    edit
}

#[test]
fn what_counted_goes_on_counting_and_equal_logs_give_equal_states_whoever_writes() -> TestResult {
    let (mut hostile_counted, mut refused, mut waited) = (0, 0, 0);
    for seed in 0..150 {
        let mut random = Random(seed);
        let mut world = World::default();
        let (_, first) = opinion()?;
        world.push(ANNA, first);
        // Three replicas; the honest writers write at the first two.
        let mut held: [BTreeMap<ActorId, usize>; 3] = std::array::from_fn(|_| [(ANNA, 1)].into());
        let mut before: [Fates; 3] = std::array::from_fn(|_| Fates::new());
        for number in 0..30 {
            match random.below(4) {
                0 => {
                    let at = random.below(2);
                    let writer = [ANNA, BEN][at];
                    let (mut document, _) = world.judge(&held[at], &mut random);
                    let raw = document.edit(&writer, &step(&mut random, number))?;
                    world.push(writer, raw);
                    *held[at].entry(writer).or_default() += 1;
                    let (_, fates) = world.judge(&held[at], &mut random);
                    let place = held[at][&writer] as u64;
                    assert_eq!(
                        fates.get(&(writer, place)),
                        Some(&Fate::Counts),
                        "seed {seed}"
                    );
                }
                1 => world.hostile(&mut random),
                _ => {
                    let at = random.below(3);
                    let logs: Vec<_> = world.logs.keys().copied().collect();
                    let log = logs[random.below(logs.len())];
                    // What a writer has not shown to anybody is no part of the world yet.
                    let have = held[at].entry(log).or_default();
                    *have = world.logs[&log].len().min(*have + 1 + random.below(3));
                }
            }
            for (held, before) in held.iter().zip(&mut before) {
                let (_, now) = world.judge(held, &mut random);
                for (place, fate) in before.iter() {
                    if !matches!(fate, Fate::Waits { .. }) {
                        assert_eq!(now.get(place), Some(fate), "seed {seed}, step {number}");
                    }
                }
                *before = now;
            }
        }
        let all: BTreeMap<_, _> = world
            .logs
            .iter()
            .map(|(log, it)| (*log, it.len()))
            .collect();
        let (document, fates) = world.judge(&all, &mut random);
        for _ in 0..3 {
            let (again, same) = world.judge(&all, &mut random);
            assert_eq!(same, fates, "seed {seed}");
            assert_eq!(again.view(), document.view(), "seed {seed}");
            assert_eq!(again.heads(), document.heads(), "seed {seed}");
        }
        let view = document.view();
        assert!(view.unreadable.is_empty(), "seed {seed}");
        // Where every write counts, each field is what the view has, and what nobody left there is not there.
        let keys: BTreeSet<_> = document
            .writes()
            .map(|(_, _, key)| key.to_owned())
            .collect();
        for key in keys.iter().chain(view.fields.keys()) {
            let one = |field: Field| (field.value, field.change, field.knows);
            let judged = document.field_by(key, &view, |_| true).map(one);
            assert_eq!(
                judged,
                view.fields.get(key).cloned().map(one),
                "seed {seed}, {key}"
            );
        }
        // Every honest event is there, and each value that nobody replaced can be reached.
        let honest = |actor: &ActorId| [ANNA, BEN].contains(actor);
        for (actor, place) in fates.keys().filter(|(actor, _)| honest(actor)) {
            assert_eq!(
                fates.get(&(*actor, *place)),
                Some(&Fate::Counts),
                "seed {seed}"
            );
        }
        for fate in fates
            .iter()
            .filter(|(place, _)| !honest(&place.0))
            .map(|(_, fate)| fate)
        {
            match fate {
                Fate::Counts => hostile_counted += 1,
                Fate::Refused(_) => refused += 1,
                Fate::Waits { .. } => waited += 1,
            }
        }
    }
    // The test is worth something only while all of these happen.
    assert!(
        hostile_counted > 100 && refused > 200 && waited > 5,
        "{hostile_counted} {refused} {waited}"
    );
    Ok(())
}

#[test]
fn one_log_leaves_one_value_at_a_key_however_often_it_writes() -> TestResult {
    let (mut document, first) = opinion()?;
    let at = places(&first)?;
    let put = |value: &str| HandOp::put(Some((at.fields, 1)), "phone", value);
    let top = open(&first, &ANNA)?.max_op();
    let change = |seq: u64, dep: ChangeHash, ops: &[HandOp]| {
        let made = HandMade {
            deps: vec![dep],
            actor: EVE,
            seq,
            start_op: top + seq,
            others: vec![ANNA],
            columns: columns(ops),
            ..HandMade::default()
        };
        made.raw()
    };
    let one = change(1, first.hash, &[put("1")]);
    let beside = change(2, one.hash, &[put("2")]);
    let instead = change(2, one.hash, &[put("2").over(&[(top + 1, 0)])]);
    let refused = Fate::Refused(Refusal::Shape("a value beside another of the same log"));
    let built = build(&[(&first, ANNA), (&one, EVE), (&beside, EVE)])?;
    assert_eq!(built.fates, [Fate::Counts, Fate::Counts, refused]);
    let built = build(&[(&first, ANNA), (&one, EVE), (&instead, EVE)])?;
    assert!(all_count(&built));
    // Who took the place of the value knew it; the log may then write beside what it does not know.
    let taken = document.edit(&BEN, &set("phone", "3"))?;
    assert!(open(&taken, &BEN).is_ok());
    Ok(())
}

#[test]
fn more_heads_than_a_change_can_name_stop_nobody() -> TestResult {
    let (_, first) = opinion()?;
    let top = open(&first, &ANNA)?.max_op();
    let mut offered = vec![offer(1, open(&first, &ANNA)?)];
    for n in 0..150_u8 {
        let actor = [
            n, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5, 0xe5,
            0xe5,
        ];
        let made = HandMade {
            deps: vec![first.hash],
            actor,
            start_op: top + 1,
            ..HandMade::default()
        };
        offered.push(offer(1, open(&made.raw(), &actor)?));
    }
    let built = Document::build(offered);
    assert!(all_count(&built));
    let mut document = built.document;
    assert_eq!(document.heads().len(), 150);
    for (writer, value) in [(ANNA, "1"), (BEN, "2"), (ANNA, "3")] {
        let raw = document.edit(&writer, &set("phone", value))?;
        assert!(open(&raw, &writer)?.deps().len() <= MAX_DEPS);
        let view = document.view();
        let phone = view.fields.get("phone").ok_or("no phone")?;
        let shown = std::iter::once(&phone.value).chain(phone.others.iter().map(|it| &it.value));
        assert!(shown.into_iter().any(|it| *it == s(value)), "{phone:?}");
    }
    assert!(document.heads().len() < 150);
    Ok(())
}
