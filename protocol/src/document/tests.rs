//! Tests of documents: honest work, concurrent work, foreign shapes, hostile bytes.
//!
//! Hostile changes are made from honest ones (mutated by a seeded generator, their checksum put
//! right) or written by hand with [`hand_made`]; no file of another project is needed.

use automerge::transaction::Transactable;
use automerge::{Automerge, ObjType, ROOT, ScalarValue};

use self::hand_made::{HandMade, one_put, signed, unsigned};
use super::*;

mod guard;
mod hand_made;

const ANNA: ActorId = [0xa1; 16];
const BEN: ActorId = [0xb2; 16];
const CARL: ActorId = [0xc3; 16];

type TestResult = Result<(), Box<dyn std::error::Error>>;

#[test]
fn what_is_written_is_read_back_from_the_bytes() -> TestResult {
    let mut document = Document::new();
    let mut first = start("人大代表意见");
    first
        .fields
        .insert("urgent".into(), Some(Scalar::Bool(true)));
    first.fields.insert("number".into(), Some(Scalar::Int(-7)));
    first
        .fields
        .insert("text".into(), Some(Scalar::Part([9; 16])));
    first
        .events
        .push(event("e1", "received", 1_700_000_000_000));
    let one = document.edit(&ANNA, &first)?;
    let two = document.edit(&BEN, &set("title", "路灯不亮"))?;

    let built = build(&[(&one, ANNA), (&two, BEN)])?;

    assert!(built.waiting.is_empty() && built.rejected.is_empty());
    let view = built.document.view();
    assert_eq!(view, document.view());
    assert_eq!(view.kind.as_deref(), Some("人大代表意见"));
    assert_eq!(view.by.as_deref(), Some("account"));
    assert_eq!(value(&view, "title"), Some(&Scalar::Str("路灯不亮".into())));
    assert_eq!(value(&view, "urgent"), Some(&Scalar::Bool(true)));
    assert_eq!(value(&view, "number"), Some(&Scalar::Int(-7)));
    assert_eq!(value(&view, "text"), Some(&Scalar::Part([9; 16])));
    assert_eq!(
        view.fields.get("title").map(|field| field.change),
        Some(two.hash)
    );
    let [received] = view.events.as_slice() else {
        return Err("one event expected".into());
    };
    assert_eq!(
        (received.key.as_str(), received.event.as_str()),
        ("e1", "received")
    );
    assert_eq!(
        (received.at_ms, received.by.as_str()),
        (1_700_000_000_000, "account")
    );
    assert_eq!(
        received.data.get("note"),
        Some(&Scalar::Str("note of e1".into()))
    );
    assert_eq!((received.change, received.actor), (one.hash, ANNA));
    assert!(view.unreadable.is_empty());
    assert_eq!(built.document.heads(), vec![two.hash]);
    Ok(())
}

#[test]
fn an_edit_that_changes_nothing_writes_nothing() -> TestResult {
    let mut document = Document::new();
    document.edit(&ANNA, &start("opinion"))?;
    document.edit(&ANNA, &set("title", "a"))?;
    let heads = document.heads();

    let mut edit = set("title", "a");
    edit.by = "another account".into();
    edit.fields.insert("never set".into(), None);

    assert_eq!(document.edit(&ANNA, &edit), Err(EditError::NothingToDo));
    assert_eq!(document.heads(), heads);
    assert_eq!(
        document.edit(&ANNA, &Edit::default()),
        Err(EditError::NothingToDo)
    );
    Ok(())
}

#[test]
fn a_cleared_field_is_gone_and_the_writer_is_named_when_he_changes() -> TestResult {
    let mut document = Document::new();
    document.edit(&ANNA, &start("opinion"))?;
    document.edit(&ANNA, &set("title", "a"))?;
    let mut clear = Edit {
        by: "another".into(),
        ..Edit::default()
    };
    clear.fields.insert("title".into(), None);
    document.edit(&ANNA, &clear)?;

    let view = document.view();

    assert_eq!(value(&view, "title"), None);
    assert_eq!(view.by.as_deref(), Some("another"));
    Ok(())
}

#[test]
fn edits_that_break_the_model_are_refused_and_leave_no_trace() -> TestResult {
    let mut document = Document::new();
    assert_eq!(
        document.edit(&ANNA, &set("title", "a")),
        Err(EditError::KindMissing)
    );
    let mut first = start("opinion");
    first.events.push(event("e1", "received", 1));
    document.edit(&ANNA, &first)?;
    let before = document.view();

    let again = Edit {
        events: vec![event("e1", "received", 2)],
        ..start("opinion")
    };
    assert_eq!(
        document.edit(&ANNA, &again),
        Err(EditError::EventExists("e1".into()))
    );
    let twice = Edit {
        events: vec![event("e2", "a", 2), event("e2", "b", 2)],
        ..again.clone()
    };
    assert_eq!(
        document.edit(&ANNA, &twice),
        Err(EditError::EventExists("e2".into()))
    );
    assert_eq!(
        document.edit(&ANNA, &start("suggestion")),
        Err(EditError::KindFixed)
    );
    assert_eq!(
        document.edit(&ANNA, &set("", "a")),
        Err(EditError::BadKey(String::new()))
    );
    let mut reserved = event("e3", "a", 3);
    reserved.data.insert("by".into(), Scalar::Bool(true));
    let reserved = Edit {
        events: vec![reserved],
        ..Edit::default()
    };
    assert_eq!(
        document.edit(&ANNA, &reserved),
        Err(EditError::BadKey("by".into()))
    );
    let long = set("title", &"长".repeat(DEFAULT_CHANGE_BYTES));
    assert!(matches!(
        document.edit(&ANNA, &long),
        Err(EditError::TooLarge { .. })
    ));
    // Just over: known only once it is written.
    let long = set("title", &"x".repeat(DEFAULT_CHANGE_BYTES - 10));
    assert!(matches!(
        document.edit(&ANNA, &long),
        Err(EditError::TooLarge { .. })
    ));

    assert_eq!(document.view(), before);
    let next = document.edit(&ANNA, &set("title", "a"))?;
    assert_eq!(
        open(&next, &ANNA)?.seq(),
        2,
        "no sequence number was used up"
    );
    Ok(())
}

#[test]
fn two_devices_on_one_field_see_the_same_conflict_until_one_chooses() -> TestResult {
    let (mut here, mut there, first) = parted()?;
    let ours = here.edit(&ANNA, &set("title", "ours"))?;
    let theirs = there.edit(&BEN, &set("title", "theirs"))?;

    let merged = build(&[(&first, ANNA), (&ours, ANNA), (&theirs, BEN)])?.document;
    let other_way = build(&[(&theirs, BEN), (&ours, ANNA), (&first, ANNA)])?.document;

    assert_eq!(merged.view(), other_way.view());
    assert_eq!(merged.heads().len(), 2);
    let view = merged.view();
    let title = view.fields.get("title").ok_or("no title")?;
    let [loser] = title.others.as_slice() else {
        return Err("one loser expected".into());
    };
    let mut both = [
        (title.value.clone(), title.change),
        (loser.value.clone(), loser.change),
    ];
    both.sort();
    assert_eq!(
        both,
        [("ours", ours.hash), ("theirs", theirs.hash)].map(|(v, h)| (s(v), h))
    );

    // To choose the value that is shown already is a decision and must be written.
    let Scalar::Str(shown) = title.value.clone() else {
        return Err("text expected".into());
    };
    let mut chooser = merged;
    let choice = chooser.edit(&CARL, &set("title", &shown))?;
    let settled = build(&[
        (&first, ANNA),
        (&ours, ANNA),
        (&theirs, BEN),
        (&choice, CARL),
    ])?;
    let view = settled.document.view();
    assert_eq!(view, chooser.view());
    assert_eq!(
        view.fields.get("title").map(|f| (f.others.len(), f.change)),
        Some((0, choice.hash))
    );
    assert_eq!(
        chooser.edit(&CARL, &set("title", &shown)),
        Err(EditError::NothingToDo)
    );
    Ok(())
}

#[test]
fn two_devices_that_settle_a_conflict_differently_are_in_conflict_again() -> TestResult {
    let (mut here, mut there, first) = parted()?;
    let ours = here.edit(&ANNA, &set("title", "ours"))?;
    let theirs = there.edit(&BEN, &set("title", "theirs"))?;
    let mut merged = build(&[(&first, ANNA), (&ours, ANNA), (&theirs, BEN)])?.document;
    let mut copy = merged.clone();
    let for_ours = merged.edit(&ANNA, &set("title", "ours"))?;
    let for_theirs = copy.edit(&BEN, &set("title", "theirs"))?;

    let all = [
        (&first, ANNA),
        (&ours, ANNA),
        (&theirs, BEN),
        (&for_ours, ANNA),
        (&for_theirs, BEN),
    ];
    let view = build(&all)?.document.view();

    let title = view.fields.get("title").ok_or("no title")?;
    let mut changes: Vec<_> = title.others.iter().map(|other| other.change).collect();
    changes.push(title.change);
    changes.sort_unstable();
    let mut expected = [for_ours.hash, for_theirs.hash];
    expected.sort_unstable();
    assert_eq!(changes, expected);
    Ok(())
}

#[test]
fn the_same_value_twice_and_members_of_a_set_are_no_conflict() -> TestResult {
    let (mut here, mut there, first) = parted()?;
    let mut ours = set("title", "same");
    ours.fields
        .insert("deputies/甲".into(), Some(Scalar::Bool(true)));
    let mut theirs = set("title", "same");
    theirs
        .fields
        .insert("deputies/乙".into(), Some(Scalar::Bool(true)));
    let ours = here.edit(&ANNA, &ours)?;
    let theirs = there.edit(&BEN, &theirs)?;

    let mut merged = build(&[(&first, ANNA), (&ours, ANNA), (&theirs, BEN)])?.document;
    let view = merged.view();

    assert_eq!(view.fields.len(), 3);
    assert!(view.fields.values().all(|field| field.others.is_empty()));
    assert_eq!(
        merged.edit(&CARL, &set("title", "same")),
        Err(EditError::NothingToDo)
    );
    Ok(())
}

#[test]
fn the_order_of_input_does_not_matter() -> TestResult {
    let (mut here, mut there, first) = parted()?;
    let mut ours = set("title", "ours");
    ours.events.push(event("e-ours", "assigned", 5));
    let ours = here.edit(&ANNA, &ours)?;
    let mut theirs = set("title", "theirs");
    theirs.events.push(event("e-theirs", "withdrawn", 4));
    let theirs = there.edit(&BEN, &theirs)?;
    let more = there.edit(&BEN, &set("phone", "1"))?;
    let mut all = build(&[(&first, ANNA), (&ours, ANNA), (&theirs, BEN), (&more, BEN)])?.document;
    let last = all.edit(&CARL, &set("title", "settled"))?;
    let changes = [
        (&first, ANNA),
        (&ours, ANNA),
        (&theirs, BEN),
        (&more, BEN),
        (&last, CARL),
    ];
    let expected = (all.view(), all.history(), all.heads(), all.save()?);

    let mut seen = 0;
    for_each_permutation(&mut changes.clone(), 0, &mut |order| {
        let built = build(order)?;
        assert!(built.waiting.is_empty() && built.rejected.is_empty());
        let document = built.document;
        let found = (
            document.view(),
            document.history(),
            document.heads(),
            document.save()?,
        );
        assert_eq!(found, expected);
        seen += 1;
        Ok(())
    })?;
    assert_eq!(seen, 120);
    Ok(())
}

#[test]
fn a_change_waits_for_what_it_builds_on_and_then_applies() -> TestResult {
    let mut document = Document::new();
    let one = document.edit(&ANNA, &start("opinion"))?;
    let two = document.edit(&BEN, &set("title", "a"))?;
    let three = document.edit(&ANNA, &set("title", "b"))?;

    let built = build(&[(&three, ANNA), (&one, ANNA)])?;
    assert_eq!(
        built.waiting,
        [Waiting {
            hash: three.hash,
            missing: vec![two.hash]
        }]
    );
    assert!(built.rejected.is_empty());
    assert_eq!(built.document.heads(), vec![one.hash]);

    let built = build(&[(&three, ANNA), (&two, BEN)])?;
    assert_eq!(
        built.waiting.len(),
        2,
        "without its first change nothing of a record applies"
    );
    assert_eq!(built.document.view(), View::default());

    let built = build(&[(&three, ANNA), (&one, ANNA), (&two, BEN)])?;
    assert!(built.waiting.is_empty());
    assert_eq!(built.document.view(), document.view());
    Ok(())
}

#[test]
fn a_change_given_twice_counts_once() -> TestResult {
    let mut document = Document::new();
    let one = document.edit(&ANNA, &start("opinion"))?;
    let two = document.edit(&BEN, &set("title", "a"))?;

    let built = build(&[(&two, BEN), (&one, ANNA), (&one, ANNA), (&two, BEN)])?;

    assert!(built.waiting.is_empty() && built.rejected.is_empty());
    assert_eq!(built.document.view(), document.view());
    Ok(())
}

#[test]
fn of_two_changes_with_one_number_the_smaller_hash_stands_and_the_rest_goes_on() -> TestResult {
    let (mut here, mut copy, first) = parted()?;
    let left = here.edit(&ANNA, &set("title", "left"))?;
    let right = copy.edit(&ANNA, &set("title", "right"))?;
    let after_left = here.edit(&BEN, &set("phone", "1"))?;
    let after_right = copy.edit(&CARL, &set("phone", "2"))?;
    let mut branches = [(left, after_left, BEN), (right, after_right, CARL)];
    branches.sort_by_key(|(change, ..)| change.hash);
    let [(kept, after_kept, kept_by), (lost, after_lost, lost_by)] = &branches;

    let built = build(&[
        (lost, ANNA),
        (after_lost, *lost_by),
        (after_kept, *kept_by),
        (kept, ANNA),
        (&first, ANNA),
    ])?;

    assert_eq!(
        built.rejected,
        [Rejected {
            hash: lost.hash,
            reason: RejectReason::DuplicateSeq
        }]
    );
    assert_eq!(
        built.waiting,
        [Waiting {
            hash: after_lost.hash,
            missing: vec![lost.hash]
        }]
    );
    assert_eq!(built.document.heads(), vec![after_kept.hash]);
    Ok(())
}

#[test]
fn a_change_that_does_not_build_on_its_authors_last_is_rejected() -> TestResult {
    let mut document = Document::new();
    let one = document.edit(&ANNA, &start("opinion"))?;
    let body = HandMade {
        deps: vec![one.hash],
        actor: [0xd4; 16],
        seq: 2,
        start_op: 5,
        ..HandMade::default()
    };
    let gap = body.raw();
    let later = HandMade {
        deps: vec![one.hash],
        actor: CARL,
        start_op: 900,
        ..HandMade::default()
    }
    .raw();

    // Builds on Ben's first change, but by way of another.
    let two = document.edit(&BEN, &set("title", "a"))?;
    let three = document.edit(&ANNA, &set("title", "b"))?;
    let beside = HandMade {
        deps: vec![three.hash],
        seq: 2,
        actor: BEN,
        start_op: 7,
        ..HandMade::default()
    }
    .raw();

    let given = [
        (&one, ANNA),
        (&gap, [0xd4; 16]),
        (&later, CARL),
        (&two, BEN),
        (&three, ANNA),
    ];
    let built = build(&[given.as_slice(), &[(&beside, BEN)]].concat())?;

    let mut expected = [
        Rejected {
            hash: gap.hash,
            reason: RejectReason::SeqGap,
        },
        Rejected {
            hash: beside.hash,
            reason: RejectReason::SeqGap,
        },
        Rejected {
            hash: later.hash,
            reason: RejectReason::OpNumbers,
        },
    ];
    expected.sort_by_key(|rejected| rejected.hash);
    assert_eq!(built.rejected, expected);
    assert_eq!(built.document.view(), document.view());
    Ok(())
}

#[test]
fn a_change_that_makes_automerge_panic_is_rejected_alone() -> TestResult {
    let mut document = Document::new();
    let one = document.edit(&ANNA, &start("opinion"))?;
    let two = document.edit(&BEN, &set("title", "a"))?;
    // Writes into an object that was never made: operation 3000 of actor 0, the writer.
    let mut columns = one_put();
    columns.insert(0, (1, vec![0x7f, 0]));
    columns.insert(1, (2, vec![0x7f, 0xb8, 0x17]));
    let hostile = HandMade {
        deps: vec![two.hash],
        actor: CARL,
        start_op: 7,
        columns,
        ..HandMade::default()
    };
    let start_op = document
        .nodes
        .last()
        .map(|node| node.max_op + 1)
        .ok_or("no change")?;
    let hostile = HandMade {
        start_op,
        ..hostile
    }
    .raw();
    let last = document.edit(&ANNA, &set("title", "b"))?;

    let built = build(&[(&hostile, CARL), (&last, ANNA), (&one, ANNA), (&two, BEN)])?;

    let expected = Rejected {
        hash: hostile.hash,
        reason: RejectReason::NotApplicable,
    };
    assert_eq!(built.rejected, [expected]);
    assert!(built.waiting.is_empty());
    assert_eq!(built.document.view(), document.view());
    assert_eq!(built.document.save()?, document.save()?);
    Ok(())
}

#[test]
fn offenders_are_found_wherever_they_stand_and_nothing_else_is_refused() -> TestResult {
    let raw = Document::new().edit(&ANNA, &start("opinion"))?;
    let mut changes = vec![open(&raw, &ANNA)?];
    let first = changes.first().ok_or("no change")?.clone();
    for raw in chain(&first, 40, 1) {
        changes.push(open(&raw, &ANNA)?);
    }
    let good = changes.clone();
    let mut offenders = Vec::new();
    for at in [0, 1, 13, 14, 40] {
        let dep = good.get(at).ok_or("no change")?;
        let mut columns = one_put();
        columns.insert(0, (1, vec![0x7f, 0]));
        columns.insert(1, (2, vec![0x7f, 0xb8, 0x17]));
        let actor = [0xd0 + u8::try_from(at)?; 16];
        let hostile = HandMade {
            deps: vec![dep.hash()],
            actor,
            start_op: dep.max_op() + 1,
            columns,
            ..HandMade::default()
        };
        let hostile = open(&hostile.raw(), &actor)?;
        let on_top = HandMade {
            deps: vec![hostile.hash()],
            actor: CARL,
            start_op: hostile.max_op() + 1,
            columns: one_put(),
            ..HandMade::default()
        };
        if at == 13 {
            changes.push(open(&on_top.raw(), &CARL)?);
        }
        offenders.push(hostile.hash());
        changes.push(hostile);
    }
    let built = Document::build(changes);
    let mut rejected: Vec<_> = built.rejected.iter().map(|it| it.hash).collect();
    rejected.sort_unstable();
    offenders.sort_unstable();
    assert_eq!(rejected, offenders);
    assert_eq!(built.waiting.len(), 1);
    let expected = Document::build(good).document;
    assert_eq!(built.document.heads(), expected.heads());
    assert_eq!(built.document.view(), expected.view());
    assert_eq!(built.document.history(), expected.history());
    Ok(())
}

#[test]
fn events_come_in_causal_order_with_all_that_precedes_them() -> TestResult {
    let (mut here, mut there, first) = parted()?;
    let add = |keys: &[&str]| Edit {
        events: keys.iter().map(|key| event(key, "noted", 0)).collect(),
        ..Edit::default()
    };
    let ours = here.edit(&ANNA, &add(&["a1", "a2"]))?;
    let theirs = there.edit(&BEN, &add(&["b1"]))?;
    let theirs_too = there.edit(&BEN, &add(&["b2"]))?;
    let mut merged = build(&[
        (&first, ANNA),
        (&ours, ANNA),
        (&theirs, BEN),
        (&theirs_too, BEN),
    ])?
    .document;
    merged.edit(&CARL, &add(&["c"]))?;

    let view = merged.view();

    let before = |key: &str| -> Vec<&str> {
        let found = view.events.iter().find(|event| event.key == key);
        let preds = found.into_iter().flat_map(|event| &event.preds);
        let mut keys: Vec<&str> = preds
            .filter_map(|pred| view.events.get(*pred))
            .map(|e| e.key.as_str())
            .collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(before("a1"), [] as [&str; 0]);
    assert_eq!(before("a2"), ["a1"]);
    assert_eq!(before("b1"), [] as [&str; 0]);
    assert_eq!(before("b2"), ["b1"]);
    assert_eq!(before("c"), ["a1", "a2", "b1", "b2"]);
    for (index, event) in view.events.iter().enumerate() {
        assert!(event.preds.iter().all(|pred| *pred < index), "causal order");
        assert!(event.preds.is_sorted());
    }

    // In a history without branches each event follows all before it.
    let mut linear = Document::new();
    linear.edit(
        &ANNA,
        &Edit {
            events: add(&["1"]).events,
            ..start("opinion")
        },
    )?;
    linear.edit(&BEN, &add(&["2", "3"]))?;
    let preds: Vec<_> = linear
        .view()
        .events
        .into_iter()
        .map(|event| event.preds)
        .collect();
    assert_eq!(preds, [vec![], vec![0], vec![0, 1]]);
    Ok(())
}

#[test]
fn a_field_says_which_events_its_author_had_before() -> TestResult {
    let (mut here, mut there, first) = parted()?;
    let sets = |value: i64| Edit {
        fields: [("due".to_owned(), Some(Scalar::Int(value)))].into(),
        ..Edit::default()
    };
    let mut step = event("a1", "noted", 0);
    step.data.insert("due".to_owned(), Scalar::Int(2));
    let step = Edit {
        events: vec![step],
        ..Edit::default()
    };
    let typed = there.edit(&BEN, &sets(1))?;
    let stepped = here.edit(&ANNA, &step)?;
    let all = [(&first, ANNA), (&stepped, ANNA), (&typed, BEN)];
    let mut merged = build(&all)?.document;
    let knows = |document: &Document| {
        let view = document.view();
        view.fields.get("due").map(|field| field.knows.clone())
    };
    assert_eq!(knows(&merged), Some(vec![]), "written apart");

    // Said again by somebody who knows of the step, the same value is a change.
    merged.edit(&CARL, &sets(1))?;
    assert_eq!(knows(&merged), Some(vec![0]));

    let mut linear = Document::new();
    linear.edit(&ANNA, &start("opinion"))?;
    linear.edit(&ANNA, &sets(1))?;
    linear.edit(&ANNA, &step)?;
    assert_eq!(knows(&linear), Some(vec![]));
    linear.edit(&ANNA, &sets(3))?;
    assert_eq!(knows(&linear), Some(vec![0]));
    // What no event says is not said twice.
    let other = |value: i64| Edit {
        fields: [("other".to_owned(), Some(Scalar::Int(value)))].into(),
        ..Edit::default()
    };
    linear.edit(&ANNA, &other(1))?;
    let again = linear.edit(&ANNA, &other(1));
    assert!(matches!(again, Err(EditError::NothingToDo)), "{again:?}");
    Ok(())
}

#[test]
fn a_view_shows_a_bounded_number_of_events_and_names_the_rest() -> TestResult {
    let mut document = Document::new();
    document.edit(&ANNA, &start("opinion"))?;
    for batch in 0..3 {
        let events = (0..400)
            .map(|n| event(&format!("{batch}-{n:03}"), "noted", n))
            .collect();
        document.edit(
            &ANNA,
            &Edit {
                events,
                ..Edit::default()
            },
        )?;
    }

    let view = document.view();

    assert_eq!(view.events.len(), MAX_EVENTS);
    assert_eq!(view.unreadable.len(), 1200 - MAX_EVENTS);
    assert_eq!(
        view.unreadable.last().map(String::as_str),
        Some("/events/2-399")
    );
    Ok(())
}

/// Changes by hand with these columns of `ops` operations, each after the one before it, and the first of them
/// after `first`.
fn after(
    first: &GuardedChange,
    count: u64,
    ops: u64,
    columns: &[(u64, Vec<u8>)],
) -> Vec<RawChange> {
    let mut before = first.hash();
    let changes = (0..count).map(|n| {
        let change = HandMade {
            deps: vec![before],
            seq: first.seq() + 1 + n,
            start_op: first.max_op() + 1 + n * ops,
            columns: columns.to_vec(),
            ..HandMade::default()
        };
        let raw = change.raw();
        before = raw.hash;
        raw
    });
    changes.collect()
}

/// Changes of one operation each.
fn chain(first: &GuardedChange, count: u64, value: usize) -> Vec<RawChange> {
    let mut columns = one_put();
    columns.retain(|(spec, _)| *spec != 86);
    let text = [vec![0x7f], unsigned((value as u64) << 4 | 6)].concat();
    columns.insert(3, (86, text));
    columns.insert(4, (87, vec![b'x'; value]));
    after(first, count, 1, &columns)
}

#[test]
fn a_record_has_as_many_changes_as_one_may_have_and_then_takes_no_more() -> TestResult {
    let raw = Document::new().edit(&ANNA, &start("opinion"))?;
    let first = open(&raw, &ANNA)?;
    let rest = chain(&first, limits::RECORD_CHANGES_MAX as u64 + 1, 1);
    let mut changes = vec![first];
    for raw in &rest {
        changes.push(open(raw, &ANNA)?);
    }
    let (all, most) = (changes.len(), limits::RECORD_CHANGES_MAX);
    let mut nearly = Document::build(changes.iter().take(most - 1).cloned().collect()).document;
    assert!(nearly.has_room());
    nearly.edit(&ANNA, &set("title", "the last one"))?;
    assert!(!nearly.has_room());
    let refused = nearly.edit(&ANNA, &set("title", "one more"));
    assert_eq!(refused, Err(EditError::RecordFull));

    let built = Document::build(changes.clone());
    assert_eq!((all, built.document.history().len()), (most + 2, most));
    let full = |it: &Rejected| it.reason == RejectReason::RecordFull;
    let last = changes.get(most - 1).ok_or("no change")?.hash();
    assert_eq!((built.rejected.len(), built.waiting.len()), (2, 0));
    assert!(built.rejected.iter().all(full), "{:?}", built.rejected);
    assert_eq!(built.document.heads(), vec![last]);
    changes.reverse();
    let again = Document::build(changes);
    assert_eq!(again.document.heads(), built.document.heads());
    let mut document = built.document;
    let refused = document.edit(&BEN, &set("title", "one more"));
    assert_eq!(refused, Err(EditError::RecordFull));
    Ok(())
}

/// The same with as many operations in each as one change may have: they all put at one key.
fn crowd(first: &GuardedChange, count: u64) -> Vec<RawChange> {
    let ops = MAX_OPS as u64;
    let run = |value: u8| [signed(MAX_OPS as i64), vec![value]].concat();
    // A change may have no more operations than bytes: one value is that long.
    let meta = [
        vec![0x7f],
        unsigned(ops << 4 | 6),
        signed(MAX_OPS as i64 - 1),
        vec![0],
    ]
    .concat();
    let columns = vec![
        (21, [signed(MAX_OPS as i64), vec![1, b'k']].concat()),
        (52, unsigned(ops)),
        (66, run(1)),
        (86, meta),
        (87, vec![b'x'; MAX_OPS]),
        (112, run(0)),
    ];
    after(first, count, ops, &columns)
}

#[test]
fn a_record_has_as_many_operations_as_one_may_have() -> TestResult {
    let raw = Document::new().edit(&ANNA, &start("opinion"))?;
    let first = open(&raw, &ANNA)?;
    let mut changes = vec![first.clone()];
    let most = usize::try_from(limits::RECORD_OPS_MAX)? / MAX_OPS;
    for raw in crowd(&first, most as u64 + 3) {
        changes.push(open(&raw, &ANNA)?);
    }
    let built = Document::build(changes.clone());
    // The first change has operations as well, so one fewer of the others finds room.
    assert_eq!(built.document.history().len(), most);
    let full = |it: &Rejected| it.reason == RejectReason::RecordFull;
    assert_eq!(built.rejected.len(), 4);
    assert!(built.rejected.iter().all(full));
    let mut document = built.document;
    let keys = (0..4_000).map(|n| (format!("{n:04}"), Some(s("x"))));
    let mut edit = Edit {
        fields: keys.collect(),
        ..Edit::default()
    };
    for n in 0..4 {
        document.edit(&BEN, &edit)?;
        let values = edit.fields.values_mut().flatten();
        values.for_each(|value| *value = Scalar::Int(n));
    }
    assert_eq!(document.edit(&BEN, &edit), Err(EditError::RecordFull));
    assert!(!document.has_room());
    document.edit(&BEN, &set("title", "short"))?;
    Ok(())
}

#[test]
fn a_record_has_as_many_bytes_as_one_may_have() -> TestResult {
    let raw = Document::new().edit(&ANNA, &start("opinion"))?;
    let first = open(&raw, &ANNA)?;
    let rest = chain(&first, 70, 65_000);
    let mut changes = vec![first];
    for raw in &rest {
        changes.push(open(raw, &ANNA)?);
    }
    let built = Document::build(changes.clone());
    let kept = built.document.history().len();
    assert_eq!(kept, limits::RECORD_BYTES_MAX / 65_000 + 1);
    let full = |it: &Rejected| it.reason == RejectReason::RecordFull;
    assert!(!built.rejected.is_empty() && built.rejected.iter().all(full));
    changes.truncate(kept);
    let roomy = Document::build(changes.iter().take(kept - 2).cloned().collect()).document;
    assert!(roomy.has_room());
    let mut whole = Document::build(changes).document;
    assert!(!whole.has_room());
    let long = Scalar::Str("y".repeat(60_000));
    let edit = Edit {
        fields: BTreeMap::from([("title".to_owned(), Some(long))]),
        ..Edit::default()
    };
    assert_eq!(whole.edit(&ANNA, &edit), Err(EditError::RecordFull));
    whole.edit(&ANNA, &set("title", "short"))?;
    Ok(())
}

#[test]
fn history_tells_who_changed_what() -> TestResult {
    let mut document = Document::new();
    let mut first = start("opinion");
    first.events.push(event("e1", "received", 1));
    let one = document.edit(&ANNA, &first)?;
    let mut second = set("title", "a");
    second.by = "another".into();
    let two = document.edit(&BEN, &second)?;
    let mut third = set("phone", "1");
    third.by = "another".into();
    third.fields.insert("title".into(), None);
    let three = document.edit(&ANNA, &third)?;

    let entry = |raw: &RawChange, actor, seq, deps: &[&RawChange], by: &str, fields: &[&str]| {
        let mut deps: Vec<_> = deps.iter().map(|dep| dep.hash).collect();
        deps.sort_unstable();
        let fields = fields.iter().map(|&key| key.to_owned()).collect();
        let (hash, by, events) = (raw.hash, Some(by.to_owned()), Vec::new());
        HistoryEntry {
            hash,
            actor,
            seq,
            deps,
            by,
            fields,
            events,
        }
    };
    let expected = [
        HistoryEntry {
            events: vec!["e1".into()],
            ..entry(&one, ANNA, 1, &[], "account", &[])
        },
        entry(&two, BEN, 1, &[&one], "another", &["title"]),
        // Automerge names the author's own last change as well, although the other builds on it.
        entry(
            &three,
            ANNA,
            2,
            &[&one, &two],
            "another",
            &["phone", "title"],
        ),
    ];
    assert_eq!(document.history(), expected);
    Ok(())
}

#[test]
fn a_saved_document_is_readable_by_automerge_itself() -> TestResult {
    let mut document = Document::new();
    document.edit(&ANNA, &start("opinion"))?;
    document.edit(&BEN, &set("title", "a"))?;

    let read_back = Automerge::load(&document.save()?)?;

    let heads: Vec<ChangeHash> = read_back.get_heads().iter().map(|head| head.0).collect();
    assert_eq!(heads, document.heads());
    Ok(())
}

#[test]
fn foreign_shapes_are_listed_and_never_in_the_way() -> TestResult {
    let mut foreign = Automerge::new().with_actor(BEN.into());
    let mut tx = foreign.transaction();
    tx.put(ROOT, "kind", 5)?;
    tx.put(ROOT, "extra", "x")?;
    tx.put_object(ROOT, "by", ObjType::Text)?;
    let fields = tx.put_object(ROOT, "fields", ObjType::Map)?;
    tx.put(&fields, "good", "value")?;
    tx.put(&fields, "float", 1.5)?;
    tx.put(&fields, "unsigned", ScalarValue::Uint(1))?;
    tx.put(&fields, "counter", ScalarValue::counter(3))?;
    tx.put(&fields, "time", ScalarValue::Timestamp(3))?;
    tx.put(&fields, "null", ())?;
    tx.put(&fields, "bytes", vec![1, 2, 3])?;
    tx.put_object(&fields, "map", ObjType::Map)?;
    let list = tx.put_object(&fields, "list", ObjType::List)?;
    tx.insert(&list, 0, "item")?;
    let text = tx.put_object(&fields, "text", ObjType::Text)?;
    tx.splice_text(&text, 0, 0, "text")?;
    let events = tx.put_object(ROOT, "events", ObjType::Map)?;
    tx.put(&events, "scalar", 1)?;
    let incomplete = tx.put_object(&events, "incomplete", ObjType::Map)?;
    tx.put(&incomplete, "event", "received")?;
    let wrong = tx.put_object(&events, "wrong", ObjType::Map)?;
    tx.put(&wrong, "event", "received")?;
    tx.put(&wrong, "at", "yesterday")?;
    tx.put(&wrong, "by", "account")?;
    tx.commit();
    let raw = raw_of(&foreign)?;

    let mut document = build(&[(&raw, BEN)])?.document;
    let view = document.view();

    assert_eq!(view.kind, None);
    assert_eq!(view.fields.keys().collect::<Vec<_>>(), ["good"]);
    assert!(view.events.is_empty());
    let unreadable = [
        "/by",
        "/events/incomplete",
        "/events/scalar",
        "/events/wrong",
        "/extra",
        "/kind",
        "bytes",
        "counter",
        "float",
        "list",
        "map",
        "null",
        "text",
        "time",
        "unsigned",
    ];
    assert_eq!(view.unreadable, unreadable);
    assert_eq!(document.history().len(), 1);
    document.edit(&ANNA, &set("float", "readable again"))?;
    assert_eq!(value(&document.view(), "float"), Some(&s("readable again")));

    let mut bare = Automerge::new().with_actor(BEN.into());
    let mut tx = bare.transaction();
    tx.put(ROOT, "fields", "no map")?;
    tx.commit();
    let raw = raw_of(&bare)?;
    let mut document = build(&[(&raw, BEN)])?.document;
    assert_eq!(document.view().unreadable, ["/fields"]);
    let mut late = document.automerge.clone().with_actor(CARL.into());
    let mut tx = late.transaction();
    tx.put_object(ROOT, "events", ObjType::Map)?;
    tx.commit();
    let late = late
        .get_changes(&[])
        .last()
        .map(raw_of_change)
        .ok_or("no change")?;
    let view = build(&[(&raw, BEN), (&late, CARL)])?.document.view();
    assert_eq!(view.unreadable, ["/events", "/fields"]);
    assert_eq!(
        document.edit(&ANNA, &set("a", "b")),
        Err(EditError::BadShape("fields"))
    );
    Ok(())
}

#[test]
fn an_event_that_another_change_rewrote_is_not_believed() -> TestResult {
    let mut document = Document::new();
    document.edit(
        &ANNA,
        &Edit {
            events: vec![event("e1", "received", 1)],
            ..start("opinion")
        },
    )?;
    let mut forger = document.automerge.clone().with_actor(BEN.into());
    let mut tx = forger.transaction();
    let (_, events) = tx.get(ROOT, "events")?.ok_or("no events")?;
    let (_, map) = tx.get(&events, "e1")?.ok_or("no event")?;
    tx.put(&map, "by", "somebody else")?;
    tx.commit();
    let raws: Vec<_> = forger.get_changes(&[]).iter().map(raw_of_change).collect();
    let [one, two] = raws.as_slice() else {
        return Err("two changes expected".into());
    };

    let view = build(&[(one, ANNA), (two, BEN)])?.document.view();

    assert!(view.events.is_empty());
    assert_eq!(view.unreadable, ["/events/e1"]);
    Ok(())
}

#[test]
fn a_record_whose_maps_a_change_removes_or_replaces_keeps_its_content() -> TestResult {
    let mut document = Document::new();
    let first = Edit {
        events: vec![event("e1", "received", 1)],
        ..start("opinion")
    };
    let first = document.edit(&ANNA, &first)?;
    let second = document.edit(&ANNA, &set("title", "a"))?;
    let mut vandal = document.automerge.clone().with_actor(BEN.into());
    let mut tx = vandal.transaction();
    tx.delete(ROOT, "fields")?;
    tx.put_object(ROOT, "events", ObjType::Map)?;
    tx.commit();
    let third = vandal
        .get_changes(&[])
        .last()
        .map(raw_of_change)
        .ok_or("no change")?;

    let mut damaged = build(&[(&first, ANNA), (&second, ANNA), (&third, BEN)])?.document;
    damaged.edit(&CARL, &set("phone", "1"))?;
    let view = damaged.view();

    assert_eq!(value(&view, "title"), Some(&s("a")));
    assert_eq!(value(&view, "phone"), Some(&s("1")));
    assert_eq!(view.events.len(), 1);
    assert_eq!(view.unreadable, ["/events", "/fields"]);
    assert_eq!(
        damaged.history().last().map(|entry| entry.fields.clone()),
        Some(vec!["phone".into()])
    );
    Ok(())
}

#[test]
fn two_events_at_one_key_are_both_shown() -> TestResult {
    let (mut here, mut there, first) = parted()?;
    let add = |name: &str| Edit {
        events: vec![event("e1", name, 1)],
        ..Edit::default()
    };
    let ours = here.edit(&ANNA, &add("ours"))?;
    let theirs = there.edit(&BEN, &add("theirs"))?;

    let view = build(&[(&first, ANNA), (&ours, ANNA), (&theirs, BEN)])?
        .document
        .view();

    let mut names: Vec<_> = view
        .events
        .iter()
        .map(|event| event.event.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["ours", "theirs"]);
    assert!(view.events.iter().all(|event| event.preds.is_empty()));
    Ok(())
}

// ---------------------------------------------------------------------------------------------------------

fn s(text: &str) -> Scalar {
    Scalar::Str(text.to_owned())
}

fn start(kind: &str) -> Edit {
    Edit {
        kind: Some(kind.to_owned()),
        by: "account".to_owned(),
        ..Edit::default()
    }
}

fn set(key: &str, text: &str) -> Edit {
    let fields = BTreeMap::from([(key.to_owned(), Some(s(text)))]);
    Edit {
        by: "account".to_owned(),
        fields,
        ..Edit::default()
    }
}

fn event(key: &str, name: &str, at_ms: i64) -> NewEvent {
    let data = BTreeMap::from([("note".to_owned(), s(&format!("note of {key}")))]);
    NewEvent {
        key: key.to_owned(),
        event: name.to_owned(),
        at_ms,
        data,
    }
}

fn value<'a>(view: &'a View, key: &str) -> Option<&'a Scalar> {
    view.fields.get(key).map(|field| &field.value)
}

fn open(raw: &RawChange, actor: &ActorId) -> Result<GuardedChange, GuardError> {
    GuardedChange::open(&raw.bytes, &raw.hash, actor, &Limits::default())
}

fn build(changes: &[(&RawChange, ActorId)]) -> Result<Built, GuardError> {
    let changes = changes
        .iter()
        .map(|(raw, actor)| open(raw, actor))
        .collect::<Result<_, _>>()?;
    Ok(Document::build(changes))
}

/// Two copies of one new record, and its first change, by Anna.
fn parted() -> Result<(Document, Document, RawChange), EditError> {
    let mut document = Document::new();
    let first = document.edit(&ANNA, &start("opinion"))?;
    Ok((document.clone(), document, first))
}

fn raw_of(automerge: &Automerge) -> Result<RawChange, &'static str> {
    automerge
        .get_changes(&[])
        .first()
        .map(raw_of_change)
        .ok_or("a change expected")
}

fn raw_of_change(change: &Change) -> RawChange {
    RawChange {
        bytes: change.raw_bytes().to_vec(),
        hash: change.hash().0,
    }
}

type Given<'a> = (&'a RawChange, ActorId);

fn for_each_permutation(
    items: &mut [Given<'_>],
    from: usize,
    visit: &mut impl FnMut(&[Given<'_>]) -> TestResult,
) -> TestResult {
    if from == items.len() {
        return visit(items);
    }
    for index in from..items.len() {
        items.swap(from, index);
        for_each_permutation(items, from + 1, visit)?;
        items.swap(from, index);
    }
    Ok(())
}
