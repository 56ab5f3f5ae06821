//! The shipped kinds load; a file that contradicts itself is refused with the place.

use super::*;

#[test]
fn the_shipped_files_load() -> Tested {
    let catalogue = Catalogue::parse(COMMON, &KINDS)?;
    assert_eq!(catalogue.kinds().count(), KINDS.len());
    assert_eq!(opinion()?.prefix.as_deref(), Some("YJ"));
    Ok(())
}

#[test]
fn a_file_that_contradicts_itself_is_refused_with_the_place() {
    let [opinion, ..] = KINDS;
    for (right, wrong, said) in [
        ("fields = [\"body\",", "fields = [", "in no section"),
        ("fields = [\"body\",", "fields = [\"boody\",", "type in"),
        ("fields = [\"body\",", "fields = [\"number\",", "type in"),
        (
            "fields = [\"body\",",
            "fields = [\"channel\",",
            "there twice",
        ),
        (
            "inset = [\"person.call_name\",",
            "inset = [\"title\",",
            "sets in",
        ),
        (
            "needs = [\"person.phone\"]",
            "needs = [\"body\"]",
            "may be left empty",
        ),
        (
            "channel = \"walk_in\"",
            "channel = \"by_air\"",
            "cannot start",
        ),
        (
            "again = [\"source_event\",",
            "again = [\"origin\",",
            "again: there is no field",
        ),
        ("next = \"accept\"", "next = \"close\"", "leads on"),
        ("rule = \"D16\"", "rule = \"D14\"", "which is no rule"),
        (
            "field = \"sign_by\"",
            "field = \"resolution\"",
            "which is no date of it",
        ),
        (
            "rule = \"S1\", fixed",
            "rule = \"S1\", most = true, fixed",
            "nobody sets an earlier one",
        ),
        (
            "rule = \"S1\", fixed",
            "rule = \"S1\", from = \"lead\", fixed",
            "counted from",
        ),
        (
            "named_in = \"due_rule\"",
            "named_in = \"hub_no\"",
            "names a rule",
        ),
        (
            "not_before = \"archive_from\"",
            "not_before = \"solved_on\"",
            "that a step fixes",
        ),
        (
            "until = { field = \"return_until\"",
            "until = { field = \"solved_on\"",
            "that a step fixes",
        ),
        (
            "unless = { identity_mode = [\"anonymous\"]",
            "unless = { identity_mode = [\"nobody\"]",
            "that it does not have",
        ),
        (
            "unless = { identity_mode = [\"anonymous\"], reply_wanted = [\"none\"] }",
            "",
            "a guard bars nothing",
        ),
        ("by = \"sign_by\"", "by = \"body\"", "should be left by"),
        (
            "type = \"date\"\nread_only = true",
            "type = \"date\"\nread_only = true\nalias = true",
            "only a set of names",
        ),
        (
            "type = \"date\"\nread_only = true",
            "type = \"date\"\nread_only = true\nrule = true",
            "code of a rule",
        ),
        ("group = \"matter\"\n", "", "no menu lists it"),
        ("group = \"matter\"", "group = \"mater\"", "no group mater"),
        (
            "group = \"matter\"",
            "version = 0\ngroup = \"matter\"",
            "the first is 1",
        ),
        (
            "counts_on = [\"occurred_on\", \"occurred_at\"]",
            "counts_on = [\"ocurred_on\"]",
            "counts_on: there is no field",
        ),
        (
            "counts_on = [\"occurred_on\", \"occurred_at\"]",
            "counts_on = [\"place.grid\"]",
            "no date, month or time",
        ),
        (
            "counts_on = [\"occurred_on\", \"occurred_at\"]",
            "counts_on = [\"occurred_on\", \"occurred_on\"]",
            "counts_on occurred_on is there twice",
        ),
        (
            "found_by = []",
            "found_by = [\"titel\"]",
            "found_by: there is no field",
        ),
        ("found_by = []", "found_by = [\"hub_no\"]", "nobody types"),
        ("found_by = []", "found_by = [\"deputies\"]", "no one value"),
        (
            "found_by = []",
            "found_by = [\"title\", \"title\"]",
            "found_by title is there twice",
        ),
        (
            "columns = [\"category\",",
            "columns = [\"categry\",",
            "columns: there is no field",
        ),
        (
            "columns = [\"category\",",
            "columns = [\"topic\",",
            "columns topic is there twice",
        ),
        (
            "columns = [\"category\",",
            "columns = [\"category\", \"urgency\",",
            "columns: more than 4",
        ),
        (
            "columns = [\"category\",",
            "columns = [\"person.age_band\",",
            "stays on lists",
        ),
        (
            "columns = [\"category\",",
            "columns = [\"events\",",
            "nothing that a list could show",
        ),
        (
            "columns = [\"category\",",
            "columns = [\"title\",",
            "shown anyway",
        ),
        (
            "columns = [\"category\",",
            "columns = [\"status\",",
            "shown anyway",
        ),
        (
            "columns = [\"category\",",
            "columns = [\"due_on\",",
            "shown anyway",
        ),
        (
            "columns = [\"category\",",
            "columns = [\"occurred_on\",",
            "shown anyway",
        ),
        ("prefix = \"YJ\"", "prefix = \"YI\"", "kind code"),
        ("prefix = \"YJ\"", "prefix = \"yj\"", "capitals"),
        ("initial = \"draft\"", "initial = \"pending\"", "initial"),
        (
            "title = \"title\"",
            "title = \"category\"",
            "title is not a text",
        ),
        (
            "register_event = \"register\"",
            "register_event = \"accept\"",
            "register_event",
        ),
        (
            "key = \"place.grid\"",
            "key = \"place.community\"",
            "there twice",
        ),
        (
            "key = \"place.grid\"",
            "key = \"place\"",
            "a field and a group",
        ),
        (
            "key = \"place.grid\"",
            "key = \"place.ethnicity\"",
            "must not be known",
        ),
        ("zh = \"网格\"", "zh = \"政治面貌\"", "must not be known"),
        ("zh = \"网格\"", "zh = \"\"", "no label"),
        ("default = \"normal\"", "default = \"norml\"", "default"),
        ("is = [\"solved\"]", "is = [\"sloved\"]", "no such value"),
        (
            "max_chars = 200",
            "max_chars = 200\nmin = 1",
            "a limit that its type does not know",
        ),
        (
            "max_chars = 5000",
            "max_chars = 50000",
            "do not fit one part",
        ),
        (
            "stands_for = \"registered\"",
            "stands_for = \"gone\"",
            "stands for no status",
        ),
        (
            "to = \"archived\"",
            "to = \"closed\"",
            "no event leads to status archived",
        ),
        ("to = \"archived\"", "to = \"pending\"", "no status"),
        (
            "from = [\"merged\"]",
            "from = [\"merge\"]",
            "there is no status merge",
        ),
        (
            "overlay = \"restricted\"",
            "overlay = \"sealed\"",
            "no overlay",
        ),
        ("who = [\"P\"]", "who = []", "nobody may write it"),
        (
            "event = \"deny\"",
            "event = \"reassign\"",
            "event reassign is there twice",
        ),
        (
            "clears = [\"merged_into\"]",
            "clears = [\"merged\"]",
            "no field",
        ),
        (
            "requires = [\"hub_no\"]",
            "requires = [\"hub_number\"]",
            "no field or datum",
        ),
        (
            "one_of = [\"lead\", \"separate\"]",
            "one_of = [\"lead\", \"on\"]",
            "one_of names on",
        ),
        (
            "retention = \"text\"\n",
            "",
            "free text needs a retention class",
        ),
        (
            "type = \"text\"\n",
            "type = \"text\"\nindexed = true\n",
            "what is erasable is in no index",
        ),
        (
            "type = \"int\"\n",
            "type = \"int\"\nindexed = true\n",
            "only a short reference",
        ),
        (
            "indexed = true\nto = [\"community\"]\nmax_chars = 64\n",
            "indexed = true\nto = [\"community\"]\nmax_chars = 65\n",
            "only a short reference",
        ),
    ] {
        let broken = opinion.replace(right, wrong);
        assert_ne!(broken, opinion, "{right} is not in the file");
        let error = Catalogue::parse(COMMON, &[&broken])
            .err()
            .map(|error| error.to_string());
        let error = error.unwrap_or_default();
        assert!(
            error.contains(said),
            "{wrong}: {error:?} does not say {said:?}"
        );
    }
}

#[test]
fn what_a_person_may_have_erased_is_in_no_index_and_no_datum_is() {
    let said = |right: &str, wrong: &str| {
        let common = COMMON.replace(right, wrong);
        assert_ne!(common, COMMON, "{right} is not in the file");
        let error = Catalogue::parse(&common, &KINDS).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    };
    let age = "type = \"enum\"\nretention = \"card\"\n";
    let said_of_age = said(age, &format!("{age}indexed = true\n"));
    assert!(said_of_age.contains("erasable"), "{said_of_age}");
    let on = "en = \"Date\"\ntype = \"date\"\n";
    let said_of_datum = said(on, &format!("{on}indexed = true\n"));
    assert!(said_of_datum.contains("no datum"), "{said_of_datum}");
}

#[test]
fn a_group_has_a_name_of_its_own_and_words() {
    for (right, wrong, said) in [
        ("code = \"law\"", "code = \"Law\"", "no code or no label"),
        (
            "zh = \"名册\"\nen = \"Registers\"",
            "zh = \"\"\nen = \"Registers\"",
            "no code or no label",
        ),
        (
            "code = \"law\"",
            "code = \"event\"",
            "group event is there twice",
        ),
    ] {
        let common = COMMON.replacen(right, wrong, 1);
        assert_ne!(common, COMMON, "{right} is not in the file");
        let error = Catalogue::parse(&common, &KINDS).err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(said), "{error:?} does not say {said:?}");
    }
}

#[test]
fn every_kind_that_stands_alone_is_in_one_menu_and_has_a_version() {
    let catalogue = Catalogue::standard();
    let groups: Vec<_> = catalogue.groups().iter().map(|it| &*it.code).collect();
    let expected = ["matter", "event", "law", "service", "register", "privacy"];
    assert_eq!(groups, expected);
    let grouped = groups.iter().flat_map(|group| catalogue.grouped(group));
    let grouped: BTreeSet<_> = grouped.map(|kind| &*kind.code).collect();
    let alone = catalogue.kinds().filter(|kind| kind.parent.is_none());
    assert_eq!(grouped, alone.map(|kind| &*kind.code).collect());
    assert!(catalogue.kinds().all(|kind| kind.version == 1));
}

#[test]
fn a_later_form_says_its_number() -> Tested {
    let [opinion, ..] = KINDS;
    let later = opinion.replacen("initial =", "version = 2\ninitial =", 1);
    let kinds: Vec<_> = std::iter::once(&*later)
        .chain(KINDS.into_iter().skip(1))
        .collect();
    let catalogue = Catalogue::parse(COMMON, &kinds)?;
    assert_eq!(catalogue.kind("opinion").map(|it| it.version), Some(2));
    Ok(())
}

#[test]
fn unknown_words_in_a_file_and_two_kinds_of_one_code_are_refused() {
    let [opinion, ..] = KINDS;
    let misspelt = opinion.replace("required = true", "requird = true");
    let error = Catalogue::parse(COMMON, &[&misspelt]).err();
    assert!(
        matches!(error, Some(CatalogueError::Syntax { .. })),
        "{error:?}"
    );
    let said = |kinds: &[&str]| {
        let error = Catalogue::parse(COMMON, kinds).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    };
    let bare = opinion.replace("prefix = \"YJ\"", "");
    assert!(said(&[&bare, &bare]).contains("two kinds of this code"));
    let renamed = opinion.replace("code = \"opinion\"", "code = \"petition\"");
    assert!(said(&[opinion, &renamed]).contains("its prefix is taken"));
}

#[test]
fn what_kinds_say_of_each_other_is_checked() {
    for (right, wrong, said) in [
        ("to = [\"org\"]", "to = [\"orgs\"]", "no kind orgs"),
        (
            "process = \"event\"",
            "process = \"evnt\"",
            "no process evnt",
        ),
        (
            "\"source_event\",\n  \"deputies\"",
            "\"sorce\"",
            "no shared field sorce",
        ),
        (
            "by = \"deputies_present\"",
            "by = \"subject\"",
            "does not name it",
        ),
        (
            "space = \"parent\"\nparent = { field = \"parent\", suffix = \"Z\" }",
            "space = \"parent\"\ngroup = \"matter\"\nabout = { zh = \"单\", en = \"Sheet\" }",
            "does not name",
        ),
        ("suffix = \"Z\"", "suffix = \"z\"", "no capital letter"),
        ("item = \"unit\"", "item = \"unti\"", "no field unti"),
        (
            "instructions = \"text\"",
            "instructions = \"txt\"",
            "does not take txt",
        ),
        (
            "kind = \"assignment\", event = \"sign\"",
            "kind = \"assignment\", event = \"sing\"",
            "no event sing",
        ),
        (
            "kind = \"assignment\", event = \"sign\"",
            "kind = \"org\", event = \"sign\"",
            "does not belong",
        ),
        ("dated = \"signed_on\"", "dated = \"unit\"", "does not take"),
        (
            "unless = [\"received\"",
            "unless = [\"recieved\"",
            "no such status",
        ),
        (
            "field = \"articles\"",
            "field = \"issuer\"",
            "the name of a field",
        ),
        (
            "by = \"consultation\"\nfield = \"articles\"",
            "by = \"path\"\nfield = \"articles\"",
            "does not name it",
        ),
        ("named_by = [\"unit\"]", "named_by = [\"uint\"]", "named_by"),
        (
            "by_site = { asked = \"sites\", quota = \"quota\"",
            "by_site = { asked = \"quota\", quota = \"sites\"",
            "by_site names no set",
        ),
        (
            "unit = \"unit\" }",
            "unit = \"rule\" }",
            "terms: its fields",
        ),
        (
            "through = \"sources\"",
            "through = \"consultation\"",
            "does not name a legis_comment",
        ),
        (
            "\"site.community\"",
            "\"site.comunity\"",
            "no field comunity",
        ),
        ("\"site.community\"", "\"site.code\"", "names other kinds"),
        (
            "space = \"parent\"\nparent = {",
            "space = \"parent\"\ngroup = \"matter\"\nparent = {",
            "its records belong to others",
        ),
        (
            "by_program = true",
            "by_program = true, who = [\"P\"]",
            "and so may somebody",
        ),
        (
            "by_program = true }",
            "by_program = true }\nstarts = { action = \"print\" }",
            "and it has a form",
        ),
        (
            "by_program = true }",
            "by_program = true }\n[[section]]\ncode = \"x\"\nzh = \"表\"\nen = \"Form\"\nfields = []",
            "and it has a form",
        ),
        (
            "max_chars = 500\nread_only = true\n\n# Whether it was let through",
            "max_chars = 500\n\n# Whether it was let through",
            "but reason can be typed",
        ),
        (
            "code = \"place\", label = \"有场所\"",
            "code = \"place\"",
            "are refused: label",
        ),
        (
            "field = \"items\"\n",
            "",
            "comes with it without being nested",
        ),
        (
            "starts = { admissibility = \"ok\" }",
            "starts = { admissibility = \"okay\" }",
            "starts with admissibility, which is no value",
        ),
        (
            "starts = { admissibility = \"ok\" }",
            "starts = { level = \"city\" }",
            "starts with level, which it does not take",
        ),
        (
            "follows = { due_on = \"extension.new_due\" }",
            "follows = { due_on = \"extension.approved_by\" }",
            "due_on cannot follow",
        ),
    ] {
        let changed = KINDS.map(|file| file.replacen(right, wrong, 1));
        assert!(
            changed.iter().zip(KINDS).any(|(new, old)| new != old),
            "no file says {right:?}"
        );
        let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
        let error = Catalogue::parse(COMMON, &changed).err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            error.contains(said),
            "{wrong:?}: {error:?} does not say {said:?}"
        );
    }
}

#[test]
fn a_kind_without_a_process_needs_nothing_but_fields() -> Tested {
    let consent = r#"
        code = "consent"
        group = "privacy"
        zh = "同意记录"
        en = "Consent"
        create = { zh = "登记", en = "Record" }
        [[field]]
        key = "given"
        zh = "时间"
        en = "Given"
        type = "clock"
        [[field]]
        key = "month"
        zh = "月份"
        en = "Month"
        type = "month"
        required = true
    "#;
    let alone = COMMON.replace("to = [\"campaign\"]\n", "");
    let catalogue = Catalogue::parse(&alone, &[consent])?;
    let kind = catalogue.kind("consent").ok_or("not loaded")?;
    assert!(
        kind.read(&json!({ "given": "09:30", "month": "2026-03" }))
            .is_ok()
    );
    assert_eq!(refused(kind.read(&json!({ "given": "24:00" }))).len(), 2);
    assert_eq!(
        refused(kind.read(&json!({ "month": "2026-13" }))),
        one("month", "bad_date")
    );
    let folded = kind.fold(&[step("register", 1, "C", &[])]);
    assert_eq!(folded.status, "");
    assert_eq!(folded.outcomes, [void(VoidReason::UnknownEvent)]);
    Ok(())
}
