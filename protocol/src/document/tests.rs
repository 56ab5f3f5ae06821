//! Tests of documents: honest work, concurrent work, foreign shapes, hostile bytes.
//!
//! Hostile changes are made from honest ones (mutated by a seeded generator, their checksum put
//! right) or written by hand with [`hand_made`]; no file of another project is needed.

use automerge::Automerge;

use super::*;

mod gate;
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

    assert!(all_count(&built));
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
        (key(&ANNA, 0).as_str(), "received")
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
fn what_nobody_disputes_is_read_without_automerge_and_alike() -> TestResult {
    let mut anna = Document::new();
    let mut first = start("opinion");
    first.events.push(event("e1", "received", 1));
    let one = anna.edit(&ANNA, &first)?;
    let mut ben = build(&[(&one, ANNA)])?.document;
    let two = anna.edit(&ANNA, &set("title", "a"))?;
    let mut clear = set("urgency", "b");
    clear.fields.insert("title".into(), None);
    let three = anna.edit(&ANNA, &clear)?;
    let plain = build(&[(&one, ANNA), (&two, ANNA), (&three, ANNA)])?.document;
    let apart = ben.edit(&BEN, &set("place", "c"))?;
    let against = ben.edit(&BEN, &set("title", "d"))?;
    let beside = build(&[(&one, ANNA), (&two, ANNA), (&apart, BEN)])?.document;
    let disputed = build(&[(&one, ANNA), (&two, ANNA), (&apart, BEN), (&against, BEN)])?.document;

    assert!(plain.automerge.get().is_none());
    assert!(beside.automerge.get().is_none());
    assert!(disputed.automerge.get().is_some());
    for document in [plain, beside] {
        let view = document.view();
        assert!(document.merge());
        assert_eq!(view, document.view());
    }
    Ok(())
}

#[test]
fn an_edit_is_written_without_a_document_and_to_the_byte_as_with_one() -> TestResult {
    let mut plain = Document::new();
    let mut saves: Vec<(ActorId, Edit)> = vec![(ANNA, start("opinion"))];
    for nth in 0..40_usize {
        let mut edit = Edit {
            by: format!("account-{}", nth % 3),
            kind: nth.is_multiple_of(5).then(|| "opinion".to_owned()),
            ..Edit::default()
        };
        for field in 0..4 {
            let value = match (nth + field) % 6 {
                0 => None,
                1 => Some(Scalar::Int(-70_000 * i64::try_from(nth)?)),
                2 => Some(Scalar::Bool(nth.is_multiple_of(2))),
                3 => Some(Scalar::Part([u8::try_from(nth)?; 16])),
                _ => Some(s(&"路灯".repeat(nth % 3))),
            };
            if !(nth * 7 + field * 3).is_multiple_of(4) {
                edit.fields.insert(format!("field-{field}"), value);
            }
        }
        if nth % 4 == 1 {
            let mut told = event(&nth.to_string(), "noted", i64::try_from(nth)? * 1_000);
            told.data.insert("field-1".to_owned(), s("said"));
            edit.events = vec![told, event("again", "noted", 7)];
        }
        let who = [ANNA, BEN, CARL].into_iter().cycle().nth(nth * nth);
        saves.push((who.unwrap_or(ANNA), edit.clone()));
        // The same again: nothing, or what an event has said since.
        saves.push((
            BEN,
            Edit {
                events: Vec::new(),
                ..edit
            },
        ));
    }
    let anew = BTreeSet::from(["field-2".to_owned()]);
    for (actor, edit) in saves {
        for anew in [&BTreeSet::new(), &anew] {
            let mut merged = plain.clone();
            assert!(merged.merge());
            let written = plain.edit_anew(&actor, &edit, anew);
            assert_eq!(written, merged.edit_anew(&actor, &edit, anew));
            assert!(plain.automerge.get().is_none());
            assert_eq!(plain.view(), merged.view());
            assert_eq!(plain.heads(), merged.heads());
        }
    }
    assert!(plain.history().len() > 60);
    // Two heads that say nothing against each other.
    let mut beside = plain.clone();
    let by = plain.view().by.unwrap_or_default();
    let set = |key, value| Edit {
        by: by.clone(),
        ..set(key, value)
    };
    let (one, two) = (set("left", "1"), set("right", "2"));
    let changes = [plain.edit(&ANNA, &one)?, beside.edit(&BEN, &two)?];
    plain.graph.extend(open(&changes[1], &BEN)?)?;
    assert_eq!(plain.heads().len(), 2);
    let mut merged = plain.clone();
    assert!(merged.merge());
    let both = set("left", "3");
    assert_eq!(plain.edit(&CARL, &both), merged.edit(&CARL, &both));
    assert!(plain.automerge.get().is_none());
    let wrong = start("another kind");
    assert_eq!(plain.edit(&CARL, &wrong), Err(EditError::KindFixed));
    let nothing = Edit::default();
    assert_eq!(
        Document::new().edit(&ANNA, &nothing),
        Err(EditError::KindMissing)
    );
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
        assert!(all_count(&built));
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
    let waits = Fate::Waits {
        missing: vec![two.hash],
    };
    assert_eq!(built.fates, [waits, Fate::Counts]);
    assert_eq!(built.document.heads(), vec![one.hash]);

    let built = build(&[(&three, ANNA), (&two, BEN)])?;
    assert!(
        built
            .fates
            .iter()
            .all(|fate| matches!(fate, Fate::Waits { .. })),
        "without its first change nothing of a record applies"
    );
    assert_eq!(built.document.view(), View::default());

    let built = build(&[(&three, ANNA), (&one, ANNA), (&two, BEN)])?;
    assert!(all_count(&built));
    assert_eq!(built.document.view(), document.view());
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
        let found = view.events.iter().find(|event| tag(event) == key);
        let preds = found.into_iter().flat_map(|event| &event.preds);
        let mut keys: Vec<&str> = preds
            .filter_map(|pred| view.events.get(*pred))
            .map(tag)
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
fn history_tells_who_changed_what_from_what_to_what() -> TestResult {
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

    let field = |key: &str, old: &[&str], new: Option<&str>| FieldChange {
        key: key.to_owned(),
        old: old.iter().map(|it| s(it)).collect(),
        new: new.map(s),
    };
    let entry = |raw: &RawChange, actor, seq, deps: &[&RawChange], by: &str, fields| {
        let mut deps: Vec<_> = deps.iter().map(|dep| dep.hash).collect();
        deps.sort_unstable();
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
            events: vec![key(&ANNA, 0)],
            ..entry(&one, ANNA, 1, &[], "account", vec![])
        },
        entry(
            &two,
            BEN,
            1,
            &[&one],
            "another",
            vec![field("title", &[], Some("a"))],
        ),
        // Automerge names the author's own last change as well, although the other builds on it.
        entry(
            &three,
            ANNA,
            2,
            &[&one, &two],
            "another",
            vec![field("phone", &[], Some("1")), field("title", &["a"], None)],
        ),
    ];
    assert_eq!(document.history(), expected);
    Ok(())
}

#[test]
fn what_a_change_did_is_told_by_itself_and_done_once_more_elsewhere() -> TestResult {
    let mut document = Document::new();
    let founding = document.edit(&ANNA, &start("意见"))?;
    document.edit(&ANNA, &set("gone", "以前"))?;
    let mut edit = set("title", "路灯不亮");
    edit.fields.insert("gone".into(), None);
    edit.fields
        .insert("text".into(), Some(Scalar::Part([9; 16])));
    edit.events.push(event("e1", "received", 1_700_000_000_000));
    edit.events.push(event("e2", "noted", 1_700_000_000_001));
    let change = document.edit(&BEN, &edit)?;
    let (founding, change) = (open(&founding, &ANNA)?, open(&change, &BEN)?);

    let told = retold(&change, &founding).ok_or("nothing")?;

    assert_eq!(
        told,
        Edit {
            kind: None,
            ..edit.clone()
        }
    );
    let told = retold(&founding, &founding).ok_or("nothing")?;
    assert_eq!(told.kind.as_deref(), Some("意见"));
    // On another record it does the same.
    let mut other = Document::new();
    other.edit(&CARL, &start("意见"))?;
    other.edit(&CARL, &set("gone", "别处"))?;
    other.edit(&CARL, &edit)?;
    assert_eq!(value(&other.view(), "title"), Some(&s("路灯不亮")));
    assert_eq!(value(&other.view(), "gone"), None);
    let puts = other.puts("tit");
    assert_eq!(puts.len(), 1);
    Ok(())
}

#[test]
fn history_has_both_values_of_a_settled_conflict() -> TestResult {
    let (mut here, mut there, first) = parted()?;
    let ours = here.edit(&ANNA, &set("title", "ours"))?;
    let theirs = there.edit(&BEN, &set("title", "theirs"))?;
    let mut merged = build(&[(&first, ANNA), (&ours, ANNA), (&theirs, BEN)])?.document;
    merged.edit(&CARL, &set("title", "settled"))?;

    let last = merged.history().pop().ok_or("no history")?;

    let expected = FieldChange {
        key: "title".into(),
        old: vec![s("ours"), s("theirs")],
        new: Some(s("settled")),
    };
    assert_eq!(last.fields, [expected]);
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

/// An event that its note tells apart.
fn event(tag: &str, name: &str, at_ms: i64) -> NewEvent {
    NewEvent {
        event: name.to_owned(),
        at_ms,
        data: BTreeMap::from([("note".to_owned(), s(&format!("note of {tag}")))]),
    }
}

fn tag(event: &EventView) -> &str {
    match event.data.get("note") {
        Some(Scalar::Str(note)) => note.trim_start_matches("note of "),
        _ => "",
    }
}

/// The key of an actor's event of this number.
fn key(actor: &ActorId, number: usize) -> String {
    format!("{}-{number}", event_prefix(actor))
}

fn value<'a>(view: &'a View, key: &str) -> Option<&'a Scalar> {
    view.fields.get(key).map(|field| &field.value)
}

fn open(raw: &RawChange, actor: &ActorId) -> Result<GuardedChange, GuardError> {
    GuardedChange::open(&raw.bytes, &raw.hash, actor, &Limits::default())
}

/// Offers changes at places that follow their numbers; Anna's first place founds the record.
fn build(changes: &[(&RawChange, ActorId)]) -> Result<Built, GuardError> {
    let offered = changes.iter().map(|(raw, actor)| {
        let change = open(raw, actor)?;
        Ok(offer(change.seq(), change))
    });
    Ok(Document::build(offered.collect::<Result<_, _>>()?))
}

fn offer(place: u64, change: GuardedChange) -> Offered {
    Offered {
        actor: change.actor(),
        place,
        founds: (change.actor(), place) == (ANNA, 1),
        permitted: true,
        change: Ok(change),
    }
}

fn all_count(built: &Built) -> bool {
    built.fates.iter().all(|fate| *fate == Fate::Counts) && !built.defect
}

/// Two copies of one new record, and its first change, by Anna.
fn parted() -> Result<(Document, Document, RawChange), EditError> {
    let mut document = Document::new();
    let first = document.edit(&ANNA, &start("opinion"))?;
    Ok((document.clone(), document, first))
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
