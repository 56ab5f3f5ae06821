//! The status machine is the domain's, and folds the same however the steps arrive.

use super::*;

const TO_DISPATCHED: [(&str, &str); 3] = [("register", "C"), ("accept", "H"), ("dispatch", "H")];

#[test]
fn the_usual_way_leads_from_draft_to_archived() -> Tested {
    let kind = opinion()?;
    assert_eq!(kind.fold(&[]).status, "draft");
    let way = [
        ("register", "C", "registered"),
        ("accept", "H", "accepted"),
        ("dispatch", "H", "dispatched"),
        ("sign", "U", "in_progress"),
        ("submit_reply", "U", "review"),
        ("reject", "S", "in_progress"),
        ("submit_reply", "U", "review"),
        ("approve", "H", "answered"),
        ("inform", "C", "informed"),
        ("rate", "R", "rated"),
        ("redo", "H", "in_progress"),
        ("return", "U", "return_pending"),
        ("deny", "H", "in_progress"),
        ("extend", "S", "in_progress"),
        ("return", "U", "return_pending"),
        ("reassign", "H", "dispatched"),
        ("sign", "U", "in_progress"),
        ("submit_reply", "U", "review"),
        ("approve", "S", "answered"),
        ("park", "S", "parked"),
        ("close", "H", "closed"),
        ("reopen", "S", "accepted"),
        ("merge", "H", "merged"),
        ("unmerge", "H", "accepted"),
        ("dispatch", "H", "dispatched"),
        ("sign", "U", "in_progress"),
        ("submit_reply", "U", "review"),
        ("approve", "H", "answered"),
        ("close", "H", "closed"),
        ("archive", "H", "archived"),
    ];
    for len in 1..=way.len() {
        let events: Vec<_> = way
            .iter()
            .take(len)
            .map(|(event, who, _)| (*event, *who))
            .collect();
        let folded = kind.fold(&chain(&events));
        assert!(
            applied(&folded).into_iter().all(|applied| applied),
            "{events:?}"
        );
        assert_eq!(
            Some(folded.status.as_str()),
            way.get(len - 1).map(|(.., status)| *status)
        );
    }
    Ok(())
}

#[test]
fn every_event_applies_exactly_from_where_the_domain_says() -> Tested {
    let before_answered = "draft registered accepted merged dispatched return_pending in_progress \
        review";
    let table = [
        ("register", "draft", "C H"),
        ("discard", "draft", "C"),
        ("answer_on_spot", "registered", "C D"),
        ("accept", "registered", "H"),
        ("refuse", "registered", "H"),
        ("tell", "not_accepted", "C H"),
        ("merge", "accepted registered", "H"),
        ("unmerge", "merged", "H"),
        ("dispatch", "accepted", "H"),
        ("sign", "dispatched", "U"),
        ("return", "dispatched in_progress", "S U"),
        ("reassign", "return_pending", "H"),
        ("deny", "return_pending", "H"),
        ("extend", "in_progress", "S"),
        ("submit_reply", "in_progress", "U"),
        ("approve", "review", "H S"),
        ("reject", "review", "H S"),
        ("inform", "answered", "C H"),
        ("rate", "informed rated", "C R"),
        ("redo", "rated", "H"),
        ("close", "answered informed parked rated", "H"),
        ("park", "answered informed rated", "S"),
        ("reopen", "closed", "S"),
        ("archive", "closed", "H"),
        ("withdraw", before_answered, "C H R"),
        ("press", "dispatched in_progress", "H S"),
        ("transfer", "accepted registered", "C D H"),
        ("restrict", "", "P"),
        ("supplement", "", "C D H S U"),
        ("note", "", "C D H P S U"),
        ("withdraw_request", "", "C D H R"),
    ];
    let kind = opinion()?;
    let own = kind.transitions.iter().filter(|it| !it.beside);
    assert_eq!(own.count(), table.len());
    for (event, from, who) in table {
        let transition = kind.transition(event).ok_or(event)?;
        let from: BTreeSet<String> = from.split_whitespace().map(str::to_owned).collect();
        assert_eq!(transition.from, from, "{event}");
        let letters: BTreeSet<String> = transition
            .who
            .iter()
            .filter_map(|who| Some(json!(who).as_str()?.to_owned()))
            .collect();
        assert_eq!(
            letters,
            who.split(' ').map(str::to_owned).collect(),
            "{event}"
        );
    }
    Ok(())
}

#[test]
fn withdrawing_beats_dispatching_whatever_the_ids() -> Tested {
    let kind = opinion()?;
    for (low, high) in [("withdraw", "dispatch"), ("dispatch", "withdraw")] {
        let mut steps = chain(&TO_DISPATCHED[..2]);
        steps.push(step(low, 8, "CHR", &[1]));
        steps.push(step(high, 9, "CHR", &[1]));
        let folded = kind.fold(&steps);
        assert_eq!(folded.status, "withdrawn");
        let voided = void(VoidReason::WrongState);
        assert_eq!(
            folded
                .outcomes
                .iter()
                .filter(|outcome| **outcome == voided)
                .count(),
            1
        );
        assert_eq!(folded.outcomes.len(), 4);
    }
    // Not even a note before it, or the whole handling beside it, stops the resident's wish.
    let mut steps = chain(&[
        ("register", "C"),
        ("accept", "H"),
        ("dispatch", "H"),
        ("sign", "U"),
        ("submit_reply", "U"),
        ("approve", "H"),
    ]);
    steps.push(step("note", 90, "C", &[0]));
    steps.push(step("withdraw", 91, "R", &[6]));
    assert_eq!(kind.fold(&steps).status, "withdrawn");
    Ok(())
}

#[test]
fn a_step_without_effect_stays_with_its_reason() -> Tested {
    let kind = opinion()?;
    let steps = chain(&[
        ("register", "C"),
        ("accept", "C"),
        ("sign", "U"),
        ("teleport", "H"),
        ("accept", ""),
        ("accept", "CH"),
    ]);
    let folded = kind.fold(&steps);
    assert_eq!(folded.status, "accepted");
    assert_eq!(folded.outcomes.get(1), Some(&void(VoidReason::NotAllowed)));
    assert_eq!(folded.outcomes.get(2), Some(&void(VoidReason::WrongState)));
    assert_eq!(
        folded.outcomes.get(3),
        Some(&void(VoidReason::UnknownEvent))
    );
    assert_eq!(folded.outcomes.get(4), Some(&void(VoidReason::NotAllowed)));
    let took = Outcome::Applied {
        from: "registered".to_owned(),
        to: "accepted".to_owned(),
    };
    assert_eq!(folded.outcomes.get(5), Some(&took));
    for reason in [
        VoidReason::UnknownEvent,
        VoidReason::NotAllowed,
        VoidReason::WrongState,
    ] {
        assert!(!reason.label().zh.is_empty() && !reason.as_str().is_empty());
    }
    Ok(())
}

#[test]
fn notes_and_sealing_leave_the_status_alone_in_any_state() -> Tested {
    let kind = opinion()?;
    let folded = kind.fold(&chain(&[
        ("supplement", "C"),
        ("register", "C"),
        ("withdraw", "R"),
        ("note", "H"),
        ("withdraw_request", "C"),
        ("restrict", "P"),
        ("restrict", "P"),
        ("restrict", "C"),
    ]));
    assert_eq!(folded.status, "withdrawn");
    assert_eq!(folded.overlays, ["restricted".to_owned()].into());
    assert_eq!(
        applied(&folded),
        [true, true, true, true, true, true, true, false]
    );
    Ok(())
}

#[test]
fn after_two_rounds_only_a_supervisor_sends_it_back_again() -> Tested {
    let kind = opinion()?;
    let round = [
        ("submit_reply", "U"),
        ("approve", "H"),
        ("inform", "C"),
        ("rate", "R"),
    ];
    let mut events = [&TO_DISPATCHED[..], &[("sign", "U")], &round].concat();
    for who in ["S", "H", "H", "H", "S"] {
        events.push(("redo", who));
        events.extend(round);
    }
    let folded = kind.fold(&chain(&events));
    let redone: Vec<bool> = (events.iter().zip(applied(&folded)))
        .filter(|((event, _), _)| *event == "redo")
        .map(|(_, applied)| applied)
        .collect();
    assert_eq!(redone, [false, true, true, false, true]);
    Ok(())
}

#[test]
fn events_set_fields_while_they_apply_and_only_to_values_the_field_accepts() -> Tested {
    let kind = opinion()?;
    let mut steps = chain(&[
        ("register", "C"),
        ("accept", "H"),
        ("merge", "H"),
        ("unmerge", "H"),
        ("accept", "H"),
    ]);
    let all = [
        ("hub_no", "示例街〔2026〕第0057号"),
        ("merged_into", "T-1"),
        ("topic", "health"),
        ("petition_class", "nonsense"),
        ("reason", "0123456789abcdef"),
    ];
    for step in &mut steps {
        step.facts = all
            .map(|(key, value)| (key.to_owned(), Fact::Str(value.to_owned())))
            .into();
    }
    let hub_no = Fact::Str("示例街〔2026〕第0057号".to_owned());
    let merged = kind.fold(&steps[..3]);
    assert_eq!(merged.facts.get("hub_no"), Some(&hub_no));
    assert_eq!(
        merged.facts.get("merged_into"),
        Some(&Fact::Str("T-1".to_owned()))
    );
    assert_eq!(merged.facts.len(), 2);
    let unmerged = kind.fold(&steps);
    assert_eq!(unmerged.facts, [("hub_no".to_owned(), hub_no)].into());
    Ok(())
}

#[test]
fn arrival_at_the_hub_is_shown_but_is_no_event() -> Tested {
    let kind = opinion()?;
    assert_eq!(kind.shown_status("registered", true), "pending");
    assert_eq!(kind.shown_status("registered", false), "registered");
    assert_eq!(kind.shown_status("accepted", true), "accepted");
    assert_eq!(kind.shown_status("unheard_of", true), "unheard_of");
    Ok(())
}

#[test]
fn what_is_offered_is_what_the_fold_would_take() -> Tested {
    let kind = opinion()?;
    let clerk = [Role::Clerk].into();
    let offered: Vec<_> = kind
        .offered(("draft", "2026-03-02"), &clerk, |_| 0, |_| None)
        .map(|t| t.event.as_str())
        .collect();
    let expected = [
        "supplement",
        "note",
        "withdraw_request",
        "register",
        "discard",
        "withdraw",
    ];
    assert_eq!(offered, expected);
    // After so many rounds others decide.
    let most = kind.transition("redo").and_then(|it| it.rounds.as_ref());
    let most = most.ok_or("no rounds")?.max;
    let redoes = |role: Role, times: usize| {
        let roles = [role].into();
        let mut offered = kind.offered(("rated", "2026-03-02"), &roles, |_| times, |_| None);
        offered.any(|t| t.event == "redo")
    };
    assert!(redoes(Role::Hub, most - 1) && !redoes(Role::Supervisor, most - 1));
    assert!(!redoes(Role::Hub, most) && redoes(Role::Supervisor, most));
    Ok(())
}

/// A small generator of its own: tests must give the same run everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound.max(1)
    }

    fn shuffled(&mut self, len: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..len).collect();
        for last in (1..len).rev() {
            places.swap(last, self.below(last + 1));
        }
        places
    }
}

/// `moved[old]` is the new place of a step.
fn rearranged(steps: &[Step], moved: &[usize]) -> Vec<Step> {
    let mut out = steps.to_vec();
    for (old, new) in moved.iter().enumerate() {
        out[*new] = steps[old].clone();
        for pred in &mut out[*new].preds {
            *pred = moved.get(*pred).copied().unwrap_or(*pred);
        }
    }
    out
}

#[test]
fn any_arrangement_of_the_same_steps_folds_the_same() -> Tested {
    let kind = opinion()?;
    let mut events: Vec<&str> = kind.transitions.iter().map(|t| t.event.as_str()).collect();
    events.extend(["register", "accept", "dispatch", "withdraw", "teleport"]);
    let mut dice = Dice(2026);
    let (mut seen, mut voids) = (BTreeSet::new(), 0);
    for run in 0..3_000 {
        let len = 1 + dice.below(14);
        let steps: Vec<Step> = (0..len)
            .map(|place| {
                let event = events[dice.below(events.len())];
                let roles = ["CHSURPD", "C", "HSU", ""][dice.below(4)];
                // Ids repeat now and then; every third run has circles and preds out of range.
                let id = u8::try_from(dice.below(40)).unwrap_or(0);
                let reach = if run % 3 == 0 { len + 2 } else { place };
                let preds: Vec<_> = (0..dice.below(3))
                    .map(|_| dice.below(reach))
                    .filter(|p| *p < reach)
                    .collect();
                step(event, id, roles, &preds)
            })
            .collect();
        let folded = kind.fold(&steps);
        assert_eq!(folded.outcomes.len(), len);
        voids += applied(&folded).iter().filter(|applied| !**applied).count();
        seen.insert(folded.status.clone());

        let twins = steps
            .iter()
            .map(|step| (step.id, &step.event))
            .collect::<BTreeSet<_>>()
            .len();
        if twins < len {
            continue;
        }
        for _ in 0..4 {
            let moved = dice.shuffled(len);
            let again = kind.fold(&rearranged(&steps, &moved));
            assert_eq!(
                (&again.status, &again.overlays),
                (&folded.status, &folded.overlays)
            );
            for (old, new) in moved.iter().enumerate() {
                assert_eq!(
                    again.outcomes.get(*new),
                    folded.outcomes.get(old),
                    "run {run}"
                );
            }
        }
    }
    assert!(
        seen.len() > 6 && voids > 1_000,
        "the runs reach too little: {seen:?} {voids}"
    );
    Ok(())
}

#[test]
fn circles_and_wild_references_end() -> Tested {
    let kind = opinion()?;
    let steps = [
        step("register", 1, "C", &[0, 0, 99, usize::MAX]),
        step("accept", 3, "H", &[0, 2]),
        step("withdraw", 2, "R", &[1]),
    ];
    let folded = kind.fold(&steps);
    // The circle of accept and withdraw is cut at the better rank.
    assert_eq!(folded.status, "withdrawn");
    assert_eq!(applied(&folded), [true, false, true]);
    let ring: Vec<_> = (0..20_000)
        .map(|place| step("note", 7, "C", &[(place + 1) % 20_000]))
        .collect();
    assert_eq!(kind.fold(&ring).outcomes.len(), 20_000);
    Ok(())
}

#[test]
fn a_role_is_its_letter_in_files_and_events_alike() {
    for role in Role::ALL {
        assert_eq!(Role::of(role.letter()), Some(role));
        let read: Result<Role, _> = serde_json::from_value(json!(role.letter()));
        assert_eq!(read.ok(), Some(role));
    }
    assert_eq!(Role::of("X"), None);
}

/// The steps that lead an opinion to the unit, each on a day: dispatched on the 2nd of March with a term of five working days.
fn dispatched() -> Vec<Step> {
    let ways = [
        ("register", "C"),
        ("accept", "H"),
        ("dispatch", "H"),
        ("sign", "U"),
    ];
    let mut steps = chain(&ways);
    let until = Fact::Str("2026-03-09".to_owned());
    steps[2].facts.insert("return_until".to_owned(), until);
    steps
}

/// Adds a step that knows all before it.
fn then(steps: &mut Vec<Step>, event: &str, roles: &str, day: &str) {
    let id = u8::try_from(steps.len()).unwrap_or_default() + 1;
    let mut next = step(event, id, roles, &[steps.len() - 1]);
    day.clone_into(&mut next.day);
    steps.push(next);
}

#[test]
fn after_its_last_day_a_step_is_for_others() -> Tested {
    let kind = opinion()?;
    let after = |role: &str, day: &str| {
        let mut steps = dispatched();
        then(&mut steps, "return", role, day);
        kind.fold(&steps).outcomes.pop()
    };
    let took = |role, day| matches!(after(role, day), Some(Outcome::Applied { .. }));
    assert!(took("U", "2026-03-09"), "the last day counts");
    assert_eq!(after("U", "2026-03-10"), Some(void(VoidReason::TooLate)));
    assert_eq!(after("C", "2026-03-10"), Some(void(VoidReason::NotAllowed)));
    assert!(took("S", "2026-03-10") && took("S", "2026-03-03"));
    // No step of anybody else moves the day, and a day that nothing reads bars nobody.
    let mut steps = dispatched();
    then(&mut steps, "note", "U", "2026-03-03");
    let later = Fact::Str("2099-01-01".to_owned());
    steps[4].facts.insert("return_until".to_owned(), later);
    then(&mut steps, "return", "U", "2026-03-10");
    assert_eq!(
        kind.fold(&steps).outcomes.pop(),
        Some(void(VoidReason::TooLate))
    );
    let mut steps = dispatched();
    let nonsense = Fact::Str("tomorrow".to_owned());
    steps[2].facts.insert("return_until".to_owned(), nonsense);
    then(&mut steps, "return", "U", "2026-03-10");
    assert!(matches!(
        kind.fold(&steps).outcomes.pop(),
        Some(Outcome::Applied { .. })
    ));
    Ok(())
}

#[test]
fn before_its_first_day_a_step_has_no_effect() -> Tested {
    let kind = opinion()?;
    let archived_on = |day: &str| {
        let mut steps = chain(&[("register", "C"), ("answer_on_spot", "C"), ("close", "H")]);
        let from = Fact::Str("2026-09-02".to_owned());
        steps[2].facts.insert("archive_from".to_owned(), from);
        then(&mut steps, "archive", "H", day);
        kind.fold(&steps).outcomes.pop()
    };
    assert_eq!(archived_on("2026-09-01"), Some(void(VoidReason::TooEarly)));
    assert_eq!(archived_on(""), Some(void(VoidReason::TooEarly)));
    assert!(matches!(
        archived_on("2026-09-02"),
        Some(Outcome::Applied { .. })
    ));
    // What is offered follows.
    let hub = [Role::Hub].into();
    let offered = |day: &str| {
        let date = |key: &str| (key == "archive_from").then(|| "2026-09-02".to_owned());
        let mut steps = kind.offered(("closed", day), &hub, |_| 0, date);
        steps.any(|step| step.event == "archive")
    };
    assert!(!offered("2026-09-01") && offered("2026-09-02"));
    Ok(())
}

#[test]
fn a_step_sets_its_dates_by_rule_unless_somebody_sets_another() -> Tested {
    let kind = opinion()?;
    let dispatch = kind.transition("dispatch").ok_or("no dispatch")?;
    let set = |input: Value| -> Result<Draft, Box<dyn std::error::Error>> {
        let draft = kind.read_event("dispatch", &input);
        let mut draft = draft.map_err(|refusals| format!("{refusals:?}"))?;
        let set = dispatch.set_dates(&mut draft, "2026-03-02", |_| None, &Terms::default());
        set.map_err(|refusal| format!("{refusal:?}"))?;
        Ok(draft)
    };
    let held =
        |draft: &Draft, key: &str| fact(draft, key).and_then(|it| it.as_str().map(str::to_owned));
    let left_out = set(json!({ "lead": "测试一办" }))?;
    let dates = ["due_on", "due_rule", "return_until", "sign_by"].map(|key| held(&left_out, key));
    let expected = ["2026-03-17", "D16", "2026-03-09", "2026-03-04"].map(|it| Some(it.to_owned()));
    assert_eq!(dates, expected);
    let given = set(json!({ "lead": "测试一办", "due_on": "2026-03-05" }))?;
    assert_eq!(held(&given, "due_on").as_deref(), Some("2026-03-05"));
    assert_eq!(
        held(&given, "due_rule"),
        None,
        "another day is not the rule's"
    );
    // Its own day is the rule's, whoever wrote it down.
    let proposed = set(json!({ "lead": "测试一办", "due_on": "2026-03-17" }))?;
    assert_eq!(held(&proposed, "due_rule").as_deref(), Some("D16"));
    // What is fixed is nobody's to type.
    for key in ["return_until", "due_rule"] {
        let input = json!({ "lead": "测试一办", key: "2099-01-01" });
        assert_eq!(
            refused(kind.read_event("dispatch", &input)),
            one(key, "read_only")
        );
    }
    Ok(())
}

#[test]
fn the_rule_of_a_date_is_chosen_with_the_step_and_counts_from_its_own_day() -> Tested {
    let kind = opinion()?;
    let dispatch = kind.transition("dispatch").ok_or("no dispatch")?;
    let set = |term: &str, today: &str| -> Result<_, Box<dyn std::error::Error>> {
        let input = json!({ "lead": "测试一办", "term": term });
        let mut draft = (kind.read_event("dispatch", &input)).map_err(|it| format!("{it:?}"))?;
        let known =
            |asked: Known<'_>| (asked == Known::DayOf("accept")).then(|| "2026-02-27".into());
        let set = dispatch.set_dates(&mut draft, today, known, &Terms::default());
        set.map_err(|refusal| format!("{refusal:?}"))?;
        Ok(draft)
    };
    let held =
        |draft: &Draft, key: &str| fact(draft, key).and_then(|it| it.as_str().map(str::to_owned));
    for (term, day, rule) in [
        ("own", "2026-03-17", "D16"),
        ("hotline", "2026-03-09", "D12"),
        ("petition", "2026-04-28", "D10"),
        ("review", "2026-04-01", "D11"),
    ] {
        let draft = set(term, "2026-03-02")?;
        assert_eq!(held(&draft, "due_on").as_deref(), Some(day), "{term}");
        assert_eq!(held(&draft, "due_rule").as_deref(), Some(rule), "{term}");
        assert_eq!(fact(&draft, "estimated/sign_by"), None, "the year is known");
    }
    // No notice of 2027 is known: each date says so, at its rule or by itself.
    let mut draft = set("own", "2026-12-31")?;
    assert_eq!(held(&draft, "due_rule").as_deref(), Some("D16-est"));
    assert_eq!(fact(&draft, "estimated/due_on"), None);
    let mut steps = chain(&[("register", "C"), ("accept", "H"), ("dispatch", "H")]);
    let facts = |draft: &mut Draft| {
        let facts = std::mem::take(&mut draft.facts).into_iter();
        facts.filter_map(|(key, fact)| Some((key, fact?))).collect()
    };
    steps[2].facts = facts(&mut draft);
    for key in ["estimated/sign_by", "estimated/return_until"] {
        let folded = kind.fold(&steps);
        assert_eq!(folded.facts.get(key), Some(&Fact::Bool(true)), "{key}");
    }
    // What ends where no date has room is refused, and does not vanish.
    assert!(set("own", "2199-12-31").is_err());
    // Computed anew by what is known, a date is a guess no more.
    then(&mut steps, "return", "U", "2026-12-31");
    then(&mut steps, "reassign", "H", "2026-12-31");
    steps[4].facts = facts(&mut set("own", "2026-03-02")?);
    let folded = kind.fold(&steps);
    assert_eq!(folded.facts.get("estimated/sign_by"), None);
    Ok(())
}

#[test]
fn a_draft_that_is_open_to_the_public_for_less_than_thirty_days_is_asked_about() -> Tested {
    let kind = Catalogue::standard().kind("legis_consultation");
    let kind = kind.ok_or("no consultation")?;
    let open = kind.transition("open").ok_or("no open")?;
    for (until, short) in [("2026-03-30", true), ("2026-03-31", false), ("", false)] {
        let input =
            json!({"draft_title": "测试条例", "public_from": "2026-03-01", "public_until": until});
        // A form takes it, and a command names it.
        let draft = kind.read_form(&input).map_err(|it| format!("{it:?}"))?;
        let odds: Vec<_> = kind.odds_in(&draft).into_iter().map(|it| it.code).collect();
        assert_eq!(
            odds,
            if short { vec![SHORT] } else { Vec::new() },
            "{until}"
        );
        let held = |key: &str| {
            let held = fact(&draft, key);
            held.and_then(|it| it.as_str().map(str::to_owned))
                .into_iter()
                .collect()
        };
        assert!(open.barred(held).is_none());
        assert_eq!(open.doubted(held).is_some(), short, "{until}");
    }
    Ok(())
}

#[test]
fn each_item_that_a_step_adds_to_a_set_stays_whoever_added_it_until_the_set_is_cleared() -> Tested {
    let kind = Catalogue::standard().kind("deputy_suggestion");
    let kind = kind.ok_or("no suggestion")?;
    let confirms = |id, key: &str, fact| {
        let mut step = step("confirm_co", id, "H", &[]);
        step.facts.insert(key.to_owned(), fact);
        step
    };
    // Two devices that do not know of each other, and what is no item of the set.
    let mut steps = vec![
        confirms(1, "co_confirmed/测试代表丙", Fact::Bool(true)),
        confirms(2, "co_confirmed/测试代表丁", Fact::Bool(true)),
        confirms(3, "co_confirmed/测试代表戊", Fact::Str("yes".to_owned())),
        confirms(4, "co_confirmed/", Fact::Bool(true)),
        confirms(5, "co_confirmed", Fact::Bool(true)),
        confirms(6, "title/测试", Fact::Bool(true)),
        confirms(7, "lead_deputy/测试", Fact::Bool(true)),
        confirms(8, "excellent", Fact::Bool(true)),
    ];
    let keys = |folded: &Folded| folded.facts.keys().cloned().collect::<Vec<_>>();
    let both = ["co_confirmed/测试代表丁", "co_confirmed/测试代表丙"];
    let mut expected = both.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(keys(&kind.fold(&steps)), expected);
    steps.reverse();
    assert_eq!(keys(&kind.fold(&steps)), expected);

    // What is sent back is confirmed anew.
    let all: Vec<_> = (0..steps.len()).collect();
    steps.push(step("sign", 20, "D", &all));
    steps.push(step("revise", 21, "H", &[all.len()]));
    let folded = kind.fold(&steps);
    assert_eq!((folded.status.as_str(), keys(&folded)), ("revise", vec![]));
    Ok(())
}

#[test]
fn a_day_that_somebody_sets_is_no_rules_any_more() -> Tested {
    let kind = opinion()?;
    let text = |text: &str| Fact::Str(text.to_owned());
    let rule_after = |again: &[(&str, &str)]| {
        let mut steps = dispatched();
        let by_rule = [("due_on", text("2026-03-17")), ("due_rule", text("D16"))];
        steps[2]
            .facts
            .extend(by_rule.map(|(key, fact)| (key.to_owned(), fact)));
        then(&mut steps, "return", "U", "2026-03-03");
        then(&mut steps, "reassign", "H", "2026-03-04");
        let given = again
            .iter()
            .map(|(key, day)| ((*key).to_owned(), text(day)));
        steps[5].facts.extend(given);
        kind.fold(&steps).facts.get("due_rule").cloned()
    };
    assert_eq!(rule_after(&[]), Some(text("D16")));
    assert_eq!(rule_after(&[("due_on", "2026-04-01")]), None);
    let by_rule = [("due_on", "2026-03-19"), ("due_rule", "D16")];
    assert_eq!(rule_after(&by_rule), Some(text("D16")));
    Ok(())
}
