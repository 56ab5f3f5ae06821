//! Who is shown what of a record (DOMAIN §0.9): of a confidential one cards and texts are for the account that registered it and for
//! the sub-district, a sealed one is opened by two people who say why, and a number to telephone is shown to whoever says why. What is
//! not shown is found by no search, filter, history, list or form either.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::{Listing, Query, Write};
use lianxin_node::error::Code;
use lianxin_node::records::{save, sight};
use lianxin_protocol::log::RecordId;
use lianxin_tests::World;
use lianxin_tests::process::{CANARY, Network};
use lianxin_tests::world::{HUB, code_of, opinion, text};
use serde_json::{Value, json};

use crate::pages::{Browser, encoded, link};

const STATION: usize = 1;
const OPERATOR: usize = 2;
const PHONE: &str = "000-0000-0001";

fn add(world: &mut World, node: usize, input: Value, account: &str) -> Result<(String, String)> {
    let reply = world.call(
        node,
        Write::RecordAdd {
            kind: "opinion".to_owned(),
            rows: vec![input],
            first_row: 1,
            account: Some(account.to_owned()),
        },
    )?;
    let first = reply.pointer("/records/0").context("nothing was added")?;
    Ok((text(first, "id"), text(first, "number")))
}

fn show(world: &mut World, node: usize, id: &str, account: &str) -> Result<Value> {
    world.call(
        node,
        Query::RecordShow {
            id: id.to_owned(),
            account: Some(account.to_owned()),
        },
    )
}

fn found(world: &mut World, node: usize, search: &str, account: &str) -> Result<Vec<Value>> {
    let list = world.call(
        node,
        Query::RecordList(Listing {
            search: Some(search.to_owned()),
            account: Some(account.to_owned()),
            ..Listing::default()
        }),
    )?;
    Ok(list["records"].as_array().cloned().unwrap_or_default())
}

/// Accounts are there once they have recorded something.
fn arrive(world: &mut World, node: usize, accounts: &[&str]) -> Result<()> {
    for account in accounts {
        let input = json!({ "category": "consult", "body": "报到", "test_data": true });
        add(world, node, input, account)?;
    }
    Ok(())
}

fn words(title: &str) -> Value {
    let mut input = opinion(title);
    input["body"] = json!(format!("{CANARY}说路灯不亮"));
    input["place"]["text"] = json!(format!("{CANARY}楼前"));
    input["person"]["call_name"] = json!(CANARY);
    input
}

#[test]
fn what_is_confidential_is_shown_to_its_registrar_and_the_sub_district_alone() -> Result<()> {
    let mut world = World::with_stations(11, 1)?;
    world.add_operator("HUBB")?;
    let (id, number) = add(&mut world, STATION, words(CANARY), "甲文员")?;
    arrive(&mut world, STATION, &["乙文员"])?;
    world.heal()?;
    arrive(&mut world, OPERATOR, &["李受理", "王承办"])?;
    world.call(
        OPERATOR,
        Write::AccountRoles {
            name: "王承办".to_owned(),
            roles: vec!["U".to_owned()],
        },
    )?;
    // What was said of it in steps is a text as well.
    world.call(
        STATION,
        Write::RecordAct {
            id: id.clone(),
            event: "supplement".to_owned(),
            input: json!({ "text": format!("{CANARY}又来说了一次") }),
            account: Some("甲文员".to_owned()),
        },
    )?;
    world.heal()?;
    for (node, account, sees) in [
        (STATION, "甲文员", true),
        (STATION, "乙文员", false),
        (OPERATOR, "李受理", true),
        (OPERATOR, "王承办", false),
    ] {
        let shown = show(&mut world, node, &id, account)?;
        let whole = shown.to_string();
        ensure!(whole.contains(CANARY) == sees, "{account}: {whole}");
        // Everybody sees what it is about, how it stands and that there is a number to ask for.
        ensure!(shown["fields"]["category"] == "help" && shown["number"] == number.as_str());
        ensure!(!whole.contains(PHONE), "{account}: a whole number");
        ensure!(whole.contains("000****0001") == sees, "{account}: {whole}");
        ensure!(shown["events"].as_array().is_some_and(|it| it.len() >= 2));
        // Neither by a list, a search, nor its history.
        let by_words = found(&mut world, node, CANARY, account)?;
        ensure!(
            by_words.len() == usize::from(sees),
            "{account}: {by_words:?}"
        );
        let by_number = found(&mut world, node, &number, account)?;
        ensure!(by_number.len() == 1 && by_number[0]["title"].is_null() != sees);
        let history = Query::RecordHistory {
            id: id.clone(),
            account: Some(account.to_owned()),
        };
        let history = world.call(node, history)?.to_string();
        ensure!(history.contains(CANARY) == sees, "{account}: {history}");
        ensure!(!history.contains(PHONE));
    }
    // Whoever owns the store has all of it.
    for node in [HUB, STATION, OPERATOR] {
        let whole = world.show(node, &id)?;
        ensure!(whole["fields"]["person"]["phone"] == PHONE, "{whole}");
    }
    // The page asks why before it shows the number, and writes that down.
    let reveal = |account: &str, reason: &str| Write::RecordReveal {
        id: id.clone(),
        reason: reason.to_owned(),
        account: Some(account.to_owned()),
    };
    for (account, reason, code) in [
        ("甲文员", " \u{200b}", Code::NoReason),
        ("甲文员", &"长".repeat(501), Code::NoReason),
        ("乙文员", "想看看", Code::NotShown),
    ] {
        let refused = world.call(STATION, reveal(account, reason)).err();
        ensure!(
            refused.as_ref().and_then(code_of) == Some(code),
            "{account}"
        );
    }
    let shown = world.call(STATION, reveal("甲文员", "电话反馈"))?;
    ensure!(shown["fields"]["person"]["phone"] == PHONE, "{shown}");
    let logs = shown["linked"].as_array().context("nothing is linked")?;
    ensure!(
        logs.len() == 1 && logs[0]["kind"] == "access_log",
        "{shown}"
    );
    world.heal()?;
    let log = world.show(HUB, &text(&logs[0], "id"))?;
    ensure!(log["fields"]["action"] == "view_contact" && log["fields"]["reason"] == "电话反馈");
    ensure!(
        log["title"] == number.as_str(),
        "a log tells whose it is: {log}"
    );
    // Nobody types one, and nobody corrects one.
    let typed = Write::RecordAdd {
        kind: "access_log".to_owned(),
        rows: vec![json!({ "record": id, "action": "view_contact" })],
        first_row: 1,
        account: None,
    };
    let typed = world.call(STATION, typed);
    ensure!(typed.is_err() || typed.is_ok_and(|it| it["records"] == json!([])));
    let corrected = Write::RecordSet {
        id: text(&logs[0], "id"),
        input: json!({ "result": "refused" }),
        account: None,
    };
    ensure!(world.call(STATION, corrected).is_err());
    world.sound(STATION)
}

#[test]
fn what_belongs_to_a_confidential_record_is_kept_as_it_is() -> Result<()> {
    let mut world = World::with_stations(12, 1)?;
    let (id, _) = add(&mut world, STATION, words("路灯"), "甲文员")?;
    arrive(&mut world, STATION, &["乙文员"])?;
    world.heal()?;
    let steps = [
        ("accept", json!({})),
        (
            "dispatch",
            json!({ "lead": "测试城管科", "due_on": "2026-12-01", "text": format!("{CANARY}请办") }),
        ),
        ("sign", json!({})),
        (
            "submit_reply",
            json!({ "resolution": "explained", "text": format!("{CANARY}已答复") }),
        ),
    ];
    for (event, input) in steps {
        world.call(
            HUB,
            Write::RecordAct {
                id: id.clone(),
                event: event.to_owned(),
                input,
                account: None,
            },
        )?;
    }
    world.heal()?;
    let whole = world.show(STATION, &id)?;
    let parts = whole["linked"].as_array().context("no parts")?;
    ensure!(parts.len() >= 2, "{whole}");
    let mut told = 0;
    for part in parts {
        let id = text(part, "id");
        let (first, other) = (
            show(&mut world, STATION, &id, "甲文员")?.to_string(),
            show(&mut world, STATION, &id, "乙文员")?.to_string(),
        );
        told += usize::from(first.contains(CANARY));
        ensure!(!other.contains(CANARY), "{other}");
    }
    ensure!(told >= 1, "the registrar is shown no part");
    ensure!(found(&mut world, STATION, CANARY, "乙文员")?.is_empty());
    Ok(())
}

#[test]
fn of_two_values_that_were_written_at_once_the_stricter_one_holds() -> Result<()> {
    let mut world = World::with_stations(13, 2)?;
    let other = 2;
    let mut input = words("路灯");
    input["identity_mode"] = json!("named");
    let (id, number) = add(&mut world, STATION, input, "甲文员")?;
    arrive(&mut world, STATION, &["乙文员"])?;
    world.heal()?;
    ensure!(
        show(&mut world, STATION, &id, "乙文员")?
            .to_string()
            .contains(CANARY)
    );
    let set = |access: &str| Write::RecordSet {
        id: id.clone(),
        input: json!({ "access": access }),
        account: None,
    };
    for (strict, node, lax) in [
        ("confidential", STATION, other),
        ("restricted", other, STATION),
    ] {
        world.call(node, set(strict))?;
        world.call(lax, set("public"))?;
        world.heal()?;
        let whole = world.show(STATION, &id)?;
        ensure!(whole["conflicts"][0]["field"] == "access", "{whole}");
        let shown = show(&mut world, STATION, &id, "乙文员")?;
        ensure!(!shown.to_string().contains(CANARY), "{strict}: {shown}");
        world.call(STATION, set("internal"))?;
        world.heal()?;
        ensure!(
            show(&mut world, STATION, &id, "乙文员")?
                .to_string()
                .contains(CANARY)
        );
    }
    // Whoever is not shown it does not change who is.
    world.call(STATION, set("confidential"))?;
    world.heal()?;
    let lowered = Write::RecordSet {
        id: id.clone(),
        input: json!({ "access": "public" }),
        account: Some("乙文员".to_owned()),
    };
    let lowered = world.call(STATION, lowered).err();
    ensure!(lowered.as_ref().and_then(code_of) == Some(Code::NotShown));
    // A sealed one is in no answer to a question about its values.
    world.call(other, set("restricted"))?;
    world.heal()?;
    let by_value = world.call(
        STATION,
        Query::RecordList(Listing {
            kind: Some("opinion".to_owned()),
            values: vec!["category=help".to_owned()],
            ..Listing::default()
        }),
    )?;
    ensure!(by_value["records"] == json!([]), "{by_value}");
    let shown = show(&mut world, STATION, &id, "甲文员")?;
    ensure!(
        shown["fields"] == json!({}) && shown["events"] == json!([]) && shown["number"] == number,
        "{shown}"
    );
    ensure!(
        shown["title"].is_null() && shown["linked"] == json!([]),
        "{shown}"
    );
    for node in [HUB, STATION, other] {
        world.sound(node)?;
    }
    world.agree(&[STATION, other])
}

/// Whether an account is shown what a record holds, by command.
fn sees(network: &Network, id: &str, account: &str) -> Result<bool> {
    let shown = network.hub.ok(&["--as", account, "record", "show", id])?;
    ensure!(shown["number"].is_string() && shown["status"].is_string());
    Ok(shown.to_string().contains(CANARY))
}

#[test]
fn a_sealed_record_is_opened_by_two_people_who_say_why_and_by_nobody_else() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let words = json!([{
        "category": "report", "body": format!("{CANARY}反映的事"), "identity_mode": "named",
        "access": "restricted", "test_data": true,
    }]);
    let added = hub.add(words.as_array().context("no rows")?)?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    for account in ["甲审核", "乙受理", "丙受理", "丁承办"] {
        let body = json!({ "category": "consult", "body": "报到", "test_data": true });
        let add = [
            "--as", account, "record", "add", "--kind", "opinion", "--file", "-",
        ];
        hub.feed(&add, body.to_string())?.exits(0)?;
    }
    hub.ok(&["account", "roles", "丁承办", "U"])?;
    let open = |account: &str, why: &str| {
        hub.call(&["--as", account, "record", "show", id, "--reveal", why])
    };
    for account in ["甲审核", "乙受理", "丙受理", "丁承办"] {
        ensure!(!sees(&network, id, account)?, "{account}");
    }
    open("丁承办", "看看")?.fails(6, "LX-3023")?;
    open("甲审核", "核实举报")?.exits(0)?;
    // Once more is still one person.
    open("甲审核", "再核实")?.exits(0)?;
    ensure!(!sees(&network, id, "甲审核")?, "one person opens it");
    open("乙受理", "共同核实")?.exits(0)?;
    ensure!(sees(&network, id, "甲审核")? && sees(&network, id, "乙受理")?);
    ensure!(!sees(&network, id, "丙受理")? && !sees(&network, id, "丁承办")?);
    let whole = hub.ok(&["record", "show", id])?;
    let logs = whole["linked"].as_array().context("no logs")?;
    ensure!(logs.len() == 3, "{whole}");
    // Nobody takes a step on what they are not shown, nor prints its slip.
    for account in ["丙受理", "丁承办"] {
        let note = ["--as", account, "record", "act", id, "note", "--file", "-"];
        hub.feed(&note, r#"{"text": "看看"}"#)?
            .fails(6, "LX-3023")?;
        let why = hub.ok(&["--as", account, "record", "list", "--search", "核实"])?;
        ensure!(
            why["records"].as_array().is_some_and(|it| it.len() == 3) == (account == "丙受理"),
            "{why}"
        );
    }
    // What belongs to it is open with it, and to nobody else.
    hub.ok(&["record", "act", id, "accept"])?;
    let dispatch = json!({ "lead": "测试城管科", "text": format!("{CANARY}请办") }).to_string();
    hub.feed(&["record", "act", id, "dispatch", "--file", "-"], dispatch)?
        .exits(0)?;
    let whole = hub.ok(&["record", "show", id])?;
    let parts = whole["linked"].as_array().into_iter().flatten();
    let mut parts = parts.filter(|it| it["kind"] == "assignment");
    let part = parts.next().and_then(|it| it["id"].as_str());
    let part = part.context("no sheet")?;
    ensure!(sees(&network, part, "甲审核")? && !sees(&network, part, "丙受理")?);
    // Nor does an export, or the page of what it names, tell of it.
    let out = network.scratch.join("export.json");
    let out = out.to_str().context("a path")?;
    hub.ok(&["--as", "丙受理", "export", "--format", "json", "--out", out])?;
    let exported = std::fs::read_to_string(out)?;
    ensure!(
        exported.contains(id) && !exported.contains(CANARY),
        "{exported}"
    );
    let documents = [
        "--as",
        "丙受理",
        "export",
        "--format",
        "automerge",
        "--out",
        out,
    ];
    hub.call(&documents)?.fails(6, "LX-3023")?;
    // Lists open nothing.
    let listed = hub.ok(&["--as", "甲审核", "record", "list", "--search", CANARY])?;
    ensure!(listed["records"] == json!([]), "{listed}");
    Ok(())
}

#[test]
fn what_a_site_says_opens_nothing_at_the_sub_district() -> Result<()> {
    let mut world = World::with_stations(14, 1)?;
    let mut input = words("路灯");
    input["access"] = json!("restricted");
    let (id, _) = add(&mut world, STATION, input, "甲文员")?;
    world.heal()?;
    let record = RecordId::parse(&id).context("no id")?;
    let forge = |world: &mut World, node: usize, account: &str| -> Result<()> {
        let account = account.to_owned();
        world.transact(node, |journal, connection| {
            let author = save::Author {
                actor: lianxin_node::actor::Actor::asking(
                    &account,
                    lianxin_protocol::authority::Role::Station,
                ),
                now_ms: lianxin_node::clock::now_ms(),
            };
            let about = (Some(&record), sight::REVEAL, "想看");
            save::log_access(connection, journal, about, &author).map(drop)
        })
    };
    for account in ["a1", "a2", "a3"] {
        forge(&mut world, STATION, account)?;
    }
    world.heal()?;
    let openers = |world: &mut World, node: usize| -> Result<usize> {
        let key = world
            .writer(node)?
            .read(|_, connection| lianxin_node::records::find(connection, &id))?;
        world.transact(node, |journal, connection| {
            let row = lianxin_node::records::rows(connection, &[key])?.pop();
            let now_ms = lianxin_node::clock::now_ms();
            let openers = row.map(|row| sight::openers(connection, journal, &row, now_ms));
            Ok(openers.transpose()?.map_or(0, |it| it.len()))
        })
    };
    ensure!(
        openers(&mut world, HUB)? == 0,
        "a station opened it at the hub"
    );
    // At its own computer the three are people of that computer.
    ensure!(openers(&mut world, STATION)? == 3);
    forge(&mut world, HUB, "b1")?;
    ensure!(
        openers(&mut world, HUB)? == 1,
        "what the hub's people say counts"
    );
    Ok(())
}

/// Somebody with an account on two computers is one person there, too.
#[test]
fn accounts_of_one_name_on_two_computers_open_nothing_together() -> Result<()> {
    let mut world = World::with_stations(14, 1)?;
    world.add_operator("HUBB")?;
    let mut input = words("路灯");
    input["access"] = json!("restricted");
    let (id, _) = add(&mut world, STATION, input, "甲文员")?;
    world.heal()?;
    arrive(&mut world, HUB, &["甲审核"])?;
    arrive(&mut world, OPERATOR, &["甲审核", "乙受理"])?;
    let record = RecordId::parse(&id).context("no id")?;
    let reveal = |world: &mut World, node: usize, name: &str| -> Result<()> {
        let name = name.to_owned();
        world.transact(node, |journal, connection| {
            let account = lianxin_node::accounts::named(connection, &name)?;
            let actor = account.map(|it| lianxin_node::actor::Actor::of(&it, journal));
            let actor = actor.unwrap_or_else(|| lianxin_node::actor::Actor::owner(journal));
            let now_ms = lianxin_node::clock::now_ms();
            let author = save::Author { actor, now_ms };
            let about = (Some(&record), sight::REVEAL, "核实");
            save::log_access(connection, journal, about, &author).map(drop)
        })?;
        world.heal()
    };
    let sees = |world: &mut World, node: usize, name: &str| -> Result<bool> {
        Ok(show(world, node, &id, name)?.to_string().contains(CANARY))
    };
    reveal(&mut world, HUB, "甲审核")?;
    reveal(&mut world, OPERATOR, "甲审核")?;
    for node in [HUB, OPERATOR] {
        ensure!(
            !sees(&mut world, node, "甲审核")?,
            "one person opened it at {node}"
        );
    }
    reveal(&mut world, OPERATOR, "乙受理")?;
    for node in [HUB, OPERATOR] {
        ensure!(
            sees(&mut world, node, "甲审核")?,
            "two people open it at {node}"
        );
    }
    // The name went nowhere.
    for row in world.records(HUB)? {
        let shown = world.show(HUB, &text(&row, "id"))?;
        ensure!(!shown.to_string().contains("乙受理"), "{shown}");
    }
    Ok(())
}

#[test]
fn who_seals_names_a_second_person_who_is_there_and_may() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let added =
        hub.add(&[json!({ "category": "report", "body": "反映的事", "test_data": true })])?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    for account in ["甲审核", "乙受理", "丁承办"] {
        let body = json!({ "category": "consult", "body": "报到", "test_data": true });
        let add = [
            "--as", account, "record", "add", "--kind", "opinion", "--file", "-",
        ];
        hub.feed(&add, body.to_string())?.exits(0)?;
    }
    hub.ok(&["account", "roles", "丁承办", "U"])?;
    let seal = |second: &str| {
        let given = json!({ "reason": "涉举报", "second_person": second }).to_string();
        hub.feed(
            &[
                "--as",
                "甲审核",
                "record",
                "act",
                id,
                "restrict",
                "--file",
                "-",
            ],
            given,
        )
    };
    for nobody in ["查无此人", "丁承办", "甲审核"] {
        seal(nobody)?.fails(3, "LX-3002")?;
    }
    seal("乙受理")?.exits(0)?;
    let whole = hub.ok(&["record", "show", id])?;
    ensure!(whole["overlays"] == json!(["restricted"]), "{whole}");
    // It is the account that is kept, and no name leaves the computer.
    let sealed = whole["events"].as_array().into_iter().flatten();
    let sealed = sealed.filter(|it| it["event"] == "restrict");
    let second = sealed.map(|it| it["data"]["second_person"].clone()).next();
    let second = second.context("not sealed")?;
    ensure!(second.as_str().is_some_and(|it| it.len() == 16), "{second}");
    Ok(())
}

#[test]
fn a_page_shows_a_number_to_whoever_says_why_and_saves_no_part_of_it() -> Result<()> {
    let network = Network::new()?;
    let added = network.hub.add(&[json!({
        "category": "help", "body": "路灯不亮", "identity_mode": "named", "reply_wanted": "phone",
        "person": { "call_name": "测试女士", "phone": PHONE }, "test_data": true,
    })])?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let (other, _) = Browser::through(&link(&network.hub)?)?;
    let (record, edit) = (format!("/records/{id}"), format!("/records/{id}/edit"));
    let page = browser.get(&record)?.body;
    ensure!(page.contains("000****0001") && !page.contains(PHONE));
    for tab in ["history", "way"] {
        ensure!(
            !browser
                .get(&format!("{record}?tab={tab}"))?
                .body
                .contains(PHONE)
        );
    }
    // What is shown in part is in no form, and a form that comes without it empties nothing.
    let form = browser.get(&edit)?.body;
    ensure!(form.contains("name=\"person.phone\"") && !form.contains(PHONE));
    ensure!(
        !browser
            .get(&format!("/new/opinion?after={id}"))?
            .body
            .contains("0001")
    );
    let asked = browser.post(&format!("{record}/reveal"), "reason=+")?;
    let back = asked.header("location").unwrap_or_default().to_owned();
    ensure!(
        asked.status == 303 && back.contains("lacks=reason"),
        "{back}"
    );
    let lacks = browser.get(back.split('#').next().unwrap_or_default())?;
    ensure!(lacks.body.contains("reveal-err") && !lacks.body.contains(PHONE));
    let shown = browser.follow(
        &format!("{record}/reveal"),
        "reason=%E7%94%B5%E8%AF%9D%E5%8F%8D%E9%A6%88",
    )?;
    ensure!(shown.body.contains(PHONE), "it is not shown");
    ensure!(
        !other.get(&record)?.body.contains(PHONE),
        "another login is shown it"
    );
    ensure!(
        browser.get(&edit)?.body.contains(PHONE),
        "what is shown can be corrected"
    );
    let shown = network.hub.ok(&["record", "show", id])?;
    let logs = shown["linked"].as_array().context("no log")?;
    ensure!(
        logs.len() == 1 && logs[0]["kind"] == "access_log",
        "{shown}"
    );
    // The other login corrects something else: the number stays.
    let set = other.follow(&edit, "person.call_name=%E6%B5%8B%E8%AF%95%E5%85%88%E7%94%9F&category=help&identity_mode=named&reply_wanted=phone&urgency=normal")?;
    ensure!(set.status == 200, "{}", set.status);
    let shown = network.hub.ok(&["record", "show", id])?;
    ensure!(shown["fields"]["person"]["phone"] == PHONE, "{shown}");
    ensure!(
        shown["fields"]["person"]["call_name"] == "测试先生",
        "{shown}"
    );
    Ok(())
}

/// All that one person brought is found by whoever says why, in a card alone; the log has the reason and not the name, and no list can be
/// asked for it without.
#[test]
fn a_person_is_looked_for_with_a_reason_that_is_kept_and_nobody_is_named() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let of = |title: &str, name: &str, phone: &str| json!({ "category": "help", "body": title, "title": title, "identity_mode": "named", "person": { "call_name": name, "phone": phone } });
    let mine = of("路灯不亮", CANARY, PHONE);
    let other = of(&format!("{CANARY}家门前积水"), "别人", "000-0000-0009");
    let sealed_words = json!({ "category": "consult", "body": format!("{CANARY}问医保") });
    station.add(&[mine, other, sealed_words])?;
    let account = station.ok(&["account", "list"])?["accounts"][0]["name"].clone();
    let account = account.as_str().context("no account")?;
    let titles = |list: &Value| -> Vec<String> {
        let rows = list["records"].as_array().into_iter().flatten();
        rows.map(|row| text(row, "title")).collect()
    };
    let by = |name: &str, reason: &str| {
        let list = ["--as", account, "record", "list"];
        station.call(&[&list[..], &["--person", name, "--reason", reason]].concat())
    };
    // However the number is divided.
    for name in [CANARY, PHONE, "00000000001", "000 0000 0001"] {
        let found = by(name, "本人来问进度（测试）")?.exits(0)?;
        ensure!(titles(&found) == ["路灯不亮"], "{name}: {found}");
    }
    // Nobody is looked for without a reason; whoever holds the store has all of it.
    let search = ["record", "list", "--search", CANARY];
    let without = titles(
        &station
            .call(&[&["--as", account], &search[..]].concat())?
            .exits(0)?,
    );
    ensure!(
        without.len() == 2 && !without.contains(&"路灯不亮".to_owned()),
        "{without:?}"
    );
    ensure!(titles(&station.ok(&search)?).len() == 3);
    let whole = ["--as", account, "record", "list", "--search", PHONE];
    ensure!(titles(&station.call(&whole)?.exits(0)?).is_empty());
    // Piece by piece no number can be read out.
    ensure!(titles(&by("0001", "本人来问（测试）")?.exits(0)?).is_empty());
    by(CANARY, " ")?.fails(4, "LX-3024")?;
    let logged = station.ok(&[
        "record",
        "list",
        "--kind",
        "access_log",
        "--where",
        "action=search_person",
    ])?;
    let logged = logged["records"].as_array().context("no log")?;
    ensure!(logged.len() == 5, "{logged:?}");
    for row in logged {
        let entry = station
            .ok(&["record", "show", &text(row, "id")])?
            .to_string();
        ensure!(
            entry.contains("（测试）") && !entry.contains(CANARY) && !entry.contains(PHONE),
            "{entry}"
        );
    }

    station.ok(&["sync"])?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    ensure!(browser.get("/records")?.body.contains("href=\"/person\""));
    let lacking = browser.post("/person", &encoded(&[("name", CANARY), ("reason", "")]))?;
    ensure!(
        lacking.body.contains("请写明理由") && lacking.body.contains(CANARY),
        "{}",
        lacking.body
    );
    ensure!(
        browser
            .post("/person", &encoded(&[("reason", "核对")]))?
            .body
            .contains("请写明查哪一位")
    );
    let answer = browser.post(
        "/person",
        &encoded(&[("name", CANARY), ("reason", "核对（测试）")]),
    )?;
    let address = answer.header("location").context("no address")?.to_owned();
    ensure!(address.starts_with("/search/") && !address.contains(CANARY));
    let page = browser.get(&address)?.body;
    ensure!(
        page.contains("路灯不亮") && !page.contains("家门前积水"),
        "{page}"
    );
    let by_number = browser.post("/records", &encoded(&[("q", PHONE)]))?;
    let by_number = browser
        .get(by_number.header("location").context("no address")?)?
        .body;
    ensure!(
        !by_number.contains("路灯不亮") && by_number.contains("这里不按称呼"),
        "{by_number}"
    );
    // Whom one looks for is in no form of a list, so that nobody asks for it without a reason.
    let smuggled = browser.post("/records", &encoded(&[("person", CANARY)]))?;
    ensure!(
        smuggled.header("location") == Some("/records"),
        "{:?}",
        smuggled.header("location")
    );
    Ok(())
}
