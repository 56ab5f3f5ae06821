//! An operator's PC works offline and asks the hub for what only the hub can give: the hub does each thing
//! once, says so, and whoever may not ask gets nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use lianxin_node::command::{Query, Write};
use lianxin_node::error::{Code, Error};
use lianxin_node::journal::Which;
use lianxin_node::reply::Reply;
use lianxin_node::requests;
use lianxin_protocol::authority::{Cut, Order, Reason};
use lianxin_protocol::document::{Edit, NewEvent, Scalar};
use lianxin_protocol::log::{EntryId, EntryKind, LogId, NewEntry, RecordId};
use lianxin_protocol::message::Tip;
use lianxin_protocol::request::{Act, Ask, Outcome, Request};
use lianxin_protocol::space::{Space, SpaceId};
use lianxin_tests::process::{Device, LOOPBACK, Network, Scratch};
use lianxin_tests::world::{HUB, code_of, text};
use lianxin_tests::{Chunks, Cut as WireCut, Rng, Wire, World};
use serde_json::{Value, json};

const STATION: usize = 1;
const OPERATOR: usize = 2;
const SECOND: usize = 3;
const FIRST_NUMBER: &str = "0001";

/// A hub, a station and two operators' PCs, in sync.
fn world() -> Result<World> {
    let mut world = World::with_stations(1, 1)?;
    world.add_operator("HUBB")?;
    world.add_operator("HUBC")?;
    world.heal()?;
    Ok(world)
}

/// A record of the station that everyone has.
fn record(world: &mut World) -> Result<String> {
    let (id, ..) = world.add(STATION, "路灯不亮")?;
    world.heal()?;
    Ok(id)
}

fn step(id: &str, event: &str, input: Value) -> Write {
    Write::RecordAct {
        id: id.to_owned(),
        event: event.to_owned(),
        input,
        account: Some("测试操作员".to_owned()),
    }
}

/// Asks for an acceptance; what a request's reply must be is checked here for all.
fn accept(world: &mut World, operator: usize, id: &str) -> Result<Value> {
    let Reply { value, exit } = world.reply(operator, step(id, "accept", json!({})))?;
    let keys = ["id", "heads", "state", "status"];
    ensure!(keys.iter().all(|key| value.get(key).is_some()), "{value}");
    ensure!(
        exit == 3 && value.get("requested") == Some(&json!(true)),
        "exit {exit}, {value}"
    );
    Ok(value)
}

/// The code of the failure that a command must be.
fn refused(world: &mut World, node: usize, command: Write) -> Result<Code> {
    match world.reply(node, command) {
        Ok(reply) => bail!("not refused: {}", reply.value),
        Err(error) => code_of(&error).context("another error"),
    }
}

fn array(value: &Value, key: &str) -> Vec<Value> {
    let found = value.get(key).and_then(Value::as_array);
    found.cloned().unwrap_or_default()
}

/// Outcome and code of each request of a record, as a node shows them.
fn outcomes(world: &mut World, node: usize, id: &str) -> Result<Vec<(String, String)>> {
    let shown = array(&world.show(node, id)?, "requests");
    let outcomes = shown
        .iter()
        .map(|it| (text(it, "outcome"), text(it, "code")));
    Ok(outcomes.collect())
}

fn open() -> (String, String) {
    (String::new(), String::new())
}

fn done() -> (String, String) {
    ("done".to_owned(), String::new())
}

fn no(code: &str) -> (String, String) {
    ("refused".to_owned(), code.to_owned())
}

/// Acceptances that a node shows of a record, applied or not.
fn acceptances(world: &mut World, node: usize, id: &str) -> Result<Vec<Value>> {
    let mut events = array(&world.show(node, id)?, "events");
    events.retain(|event| text(event, "event") == "accept");
    Ok(events)
}

fn hub_no(world: &mut World, node: usize, id: &str) -> Result<String> {
    let shown = world.show(node, id)?;
    let number = shown.pointer("/fields/hub_no").and_then(Value::as_str);
    Ok(number.unwrap_or_default().to_owned())
}

/// The record was accepted once, with this number, and all these nodes show so.
fn accepted(world: &mut World, nodes: &[usize], id: &str, number: &str) -> Result<()> {
    for node in nodes {
        let shown = world.show(*node, id)?;
        ensure!(text(&shown, "status") == "accepted", "node {node}: {shown}");
        let given = hub_no(world, *node, id)?;
        ensure!(given.contains(number), "node {node}: {given:?}");
        let events = acceptances(world, *node, id)?;
        ensure!(events.len() == 1, "node {node}: {events:?}");
    }
    Ok(())
}

/// Lets bytes move and merges nothing.
fn move_bytes(world: &mut World) -> Result<()> {
    let mut moved = true;
    while moved {
        moved = false;
        for link in 0..world.links() {
            for side in 0..2 {
                moved |= world.step(link, side)?;
            }
        }
    }
    Ok(())
}

fn hub_space(world: &mut World) -> Result<SpaceId> {
    Ok(Space::Hub.id(&world.network()?))
}

/// The one log of the space `hub` that a node's device wrote, as the hub has it.
fn hub_log(world: &mut World, node: usize) -> Result<(LogId, Tip)> {
    let (key, space) = (world.node(node)?.key, hub_space(world)?);
    let journal = &world.writer(HUB)?.journal;
    let (tips, authors) = (journal.tips(&space), journal.authors());
    let own = |log: &LogId| authors.get(log).is_some_and(|it| it.device == key);
    let found = tips.into_iter().find(|(log, _)| own(log));
    found.context("no such log")
}

/// All nodes that hold it show the same requests, also when they derive them anew.
fn requests_agree(world: &mut World, nodes: &[usize]) -> Result<()> {
    let list = |world: &mut World, node: usize| -> Result<BTreeMap<String, Value>> {
        let reply = world.call(node, Query::RequestList { limit: None })?;
        let mut requests = BTreeMap::new();
        for mut request in array(&reply, "requests") {
            // Names of accounts stay on their device.
            request.as_object_mut().map(|it| it.remove("account"));
            requests.insert(text(&request, "id"), request);
        }
        Ok(requests)
    };
    let at_hub = list(world, HUB)?;
    ensure!(!at_hub.is_empty(), "no requests at the hub");
    for node in nodes {
        ensure!(list(world, *node)? == at_hub, "node {node} shows others");
        world.sound(*node)?;
        ensure!(
            list(world, *node)? == at_hub,
            "node {node} derives others: {:?}, {at_hub:?}",
            list(world, *node)?
        );
    }
    Ok(())
}

#[test]
fn what_an_operator_accepts_offline_the_hub_numbers_when_the_line_is_back() -> Result<()> {
    let mut world = world()?;
    let id = record(&mut world)?;
    let reply = accept(&mut world, OPERATOR, &id)?;
    ensure!(text(&reply, "status") == "pending", "{reply}");
    ensure!(outcomes(&mut world, OPERATOR, &id)? == [open()]);
    let shown = world.show(OPERATOR, &id)?;
    ensure!(
        !array(&shown, "steps").contains(&json!("accept")),
        "it can be asked for again: {shown}"
    );
    // Once is enough, and what does not apply here is refused here.
    let again = refused(&mut world, OPERATOR, step(&id, "accept", json!({})))?;
    ensure!(again == Code::NothingToDo, "{again:?}");
    let early = refused(&mut world, OPERATOR, step(&id, "reopen", json!({})))?;
    ensure!(early == Code::StepRefused, "{early:?}");
    let station = refused(&mut world, STATION, step(&id, "accept", json!({})))?;
    ensure!(station == Code::StepRefused, "{station:?}");
    ensure!(
        world.call(
            OPERATOR,
            Query::Status {
                unreceipted_minutes: 120
            }
        )?["requests"]
            == 1
    );

    world.heal()?;
    let all = [HUB, STATION, OPERATOR, SECOND];
    accepted(&mut world, &all, &id, FIRST_NUMBER)?;
    for node in [HUB, OPERATOR, SECOND] {
        ensure!(outcomes(&mut world, node, &id)? == [done()]);
        ensure!(
            world.call(
                node,
                Query::Status {
                    unreceipted_minutes: 120
                }
            )?["requests"]
                == 0
        );
    }
    ensure!(outcomes(&mut world, STATION, &id)?.is_empty());
    let asked = array(&world.show(SECOND, &id)?, "requests");
    ensure!(text(&asked[0], "event") == "accept" && text(&asked[0], "device") == "HUBB");
    let account = text(&acceptances(&mut world, OPERATOR, &id)?[0], "account");
    ensure!(account == "测试操作员@HUBB", "taken for {account}");
    let device = text(&acceptances(&mut world, STATION, &id)?[0], "device");
    ensure!(device == "HUBA", "signed by {device}");
    requests_agree(&mut world, &[HUB, OPERATOR, SECOND])?;
    world.agree(&[STATION, OPERATOR, SECOND])?;
    ensure!(world.violations.is_empty(), "{:?}", world.violations);
    // The next one gets the next number, at the hub itself.
    let next = record(&mut world)?;
    world.call(HUB, step(&next, "accept", json!({})))?;
    ensure!(hub_no(&mut world, HUB, &next)?.contains("0002"));
    Ok(())
}

#[test]
fn a_hub_that_stops_anywhere_between_receiving_and_answering_does_it_once() -> Result<()> {
    let mut world = world()?;
    let id = record(&mut world)?;
    accept(&mut world, OPERATOR, &id)?;
    world.link(OPERATOR, HUB, Wire::GOOD)?;
    move_bytes(&mut world)?;
    let (_, tip) = hub_log(&mut world, OPERATOR)?;
    ensure!(tip.len > 1, "the request has not come");
    ensure!(acceptances(&mut world, HUB, &id)?.is_empty(), "too early");
    // Stored, and off before anything was done.
    world.restart(HUB)?;
    ensure!(acceptances(&mut world, HUB, &id)?.is_empty());
    // The disk fails after it was done and before the commit.
    let _more = world.transact(HUB, |journal, connection| {
        journal.index(connection, Which::All, 4_096)
    })?;
    let due = {
        let writer = world.writer(HUB)?;
        requests::due(writer.connection(), &writer.journal)?
    };
    let [key] = due.as_slice() else {
        bail!("{} requests are due", due.len())
    };
    let lost = world.transact(HUB, |journal, connection| {
        let now = lianxin_node::clock::now_ms();
        let did = requests::carry_out(connection, journal, *key, now)?;
        let failed = Error::new(Code::Store, "the disk failed before the commit");
        Err::<(), _>(if did {
            failed
        } else {
            Error::new(Code::Usage, "not done")
        })
    });
    let lost = lost.err().context("committed")?;
    let lost = code_of(&lost);
    ensure!(lost == Some(Code::Store), "{lost:?}");
    ensure!(
        acceptances(&mut world, HUB, &id)?.is_empty(),
        "half of it stayed"
    );
    // Done, and off before anybody heard of it; then off again.
    world.merge(HUB)?;
    accepted(&mut world, &[HUB], &id, FIRST_NUMBER)?;
    for _ in 0..2 {
        world.restart(HUB)?;
        world.merge(HUB)?;
    }
    world.heal()?;
    accepted(&mut world, &[HUB, STATION, OPERATOR], &id, FIRST_NUMBER)?;
    ensure!(outcomes(&mut world, OPERATOR, &id)? == [done()]);
    world.agree(&[STATION, OPERATOR, SECOND])?;
    requests_agree(&mut world, &[HUB, OPERATOR, SECOND])
}

#[test]
fn a_request_that_comes_again_is_the_same_request() -> Result<()> {
    let mut world = world()?;
    let id = record(&mut world)?;
    accept(&mut world, OPERATOR, &id)?;
    world.heal()?;
    accepted(&mut world, &[HUB], &id, FIRST_NUMBER)?;
    let (log, _) = hub_log(&mut world, OPERATOR)?;
    let batch = world.batch(OPERATOR, &log, 0)?.context("no batch")?;
    for _ in 0..2 {
        world.hand_over(HUB, log, batch.clone())?;
        world.restart(HUB)?;
        world.merge(HUB)?;
    }
    // An operator's PC that was set back asks with the same entry, too.
    for chunks in [Chunks::Single, Chunks::Random] {
        let cut = WireCut::Never;
        world.link(OPERATOR, HUB, Wire { cut, chunks })?;
        world.run()?;
        world.unlink_all();
    }
    accepted(&mut world, &[HUB, STATION, OPERATOR], &id, FIRST_NUMBER)?;
    ensure!(outcomes(&mut world, HUB, &id)? == [done()]);
    world.agree(&[STATION, OPERATOR])
}

#[test]
fn of_two_operators_who_accept_one_record_one_is_told_that_it_was_late() -> Result<()> {
    let mut world = world()?;
    let id = record(&mut world)?;
    let other = record(&mut world)?;
    for operator in [OPERATOR, SECOND] {
        accept(&mut world, operator, &id)?;
    }
    accept(&mut world, SECOND, &other)?;
    // Both wait at the hub together, and the first log that came goes first.
    for operator in [OPERATOR, SECOND] {
        world.link(operator, HUB, Wire::GOOD)?;
    }
    move_bytes(&mut world)?;
    world.heal()?;
    let all = [HUB, STATION, OPERATOR, SECOND];
    accepted(&mut world, &all, &id, "")?;
    accepted(&mut world, &all, &other, "")?;
    let numbers: BTreeSet<_> = [&id, &other]
        .into_iter()
        .map(|id| hub_no(&mut world, HUB, id))
        .collect::<Result<_>>()?;
    let wanted = ["0001", "0002"];
    let gapless = numbers.iter().zip(wanted).all(|(it, no)| it.contains(no));
    ensure!(numbers.len() == 2 && gapless, "{numbers:?}");
    for node in [HUB, OPERATOR, SECOND] {
        let mut outcomes = outcomes(&mut world, node, &id)?;
        outcomes.sort();
        ensure!(outcomes == [done(), no("step_refused")], "{outcomes:?}");
        let mut asked = array(&world.show(node, &id)?, "requests");
        asked.retain(|it| text(it, "outcome") == "done");
        ensure!(
            text(&asked[0], "device") == "HUBB",
            "not in order: {asked:?}"
        );
    }
    requests_agree(&mut world, &[HUB, OPERATOR, SECOND])?;
    world.agree(&[STATION, OPERATOR, SECOND])
}

#[test]
fn a_request_waits_for_what_its_asker_saw_and_keeps_nothing_else_waiting() -> Result<()> {
    let mut world = world()?;
    let id = record(&mut world)?;
    let other = record(&mut world)?;
    // The operator's edit lies in a log of the site, its request in one of the hub's space.
    let edit = world.set(OPERATOR, &id, json!({ "urgency": "urgent" }))?;
    ensure!(edit.is_some(), "nothing was edited");
    accept(&mut world, OPERATOR, &id)?;
    accept(&mut world, OPERATOR, &other)?;
    let space = hub_space(&mut world)?;
    let log = own_log(&mut world, OPERATOR, &space)?;
    let batch = world.batch(OPERATOR, &log, 0)?.context("no batch")?;
    world.hand_over(HUB, log, batch)?;
    // It waits, visibly; what came after it does not.
    ensure!(outcomes(&mut world, HUB, &id)? == [open()]);
    ensure!(outcomes(&mut world, HUB, &other)? == [done()]);
    ensure!(
        world.call(
            HUB,
            Query::Status {
                unreceipted_minutes: 120
            }
        )?["requests"]
            == 1
    );
    world.restart(HUB)?;
    world.merge(HUB)?;
    ensure!(
        outcomes(&mut world, HUB, &id)? == [open()],
        "it did not wait"
    );
    world.heal()?;
    accepted(&mut world, &[HUB, STATION, OPERATOR], &other, "0001")?;
    accepted(&mut world, &[HUB, STATION, OPERATOR], &id, "0002")?;
    world.agree(&[STATION, OPERATOR, SECOND])?;
    requests_agree(&mut world, &[HUB, OPERATOR, SECOND])
}

#[test]
fn what_a_revoked_operator_has_asked_for_is_not_done() -> Result<()> {
    // Revoked without the request, and with a cut that covers it.
    for covered in [false, true] {
        let mut world = world()?;
        let id = record(&mut world)?;
        accept(&mut world, OPERATOR, &id)?;
        world.link(OPERATOR, HUB, Wire::GOOD)?;
        move_bytes(&mut world)?;
        world.unlink_all();
        let (log, tip) = hub_log(&mut world, OPERATOR)?;
        let position = tip.position();
        let cuts = if covered {
            vec![Cut { log, position }]
        } else {
            Vec::new()
        };
        let device = world.node(OPERATOR)?.key;
        let lost = true;
        world.order(&Order::Revoke { device, lost, cuts })?;
        world.restart(HUB)?;
        world.heal()?;
        for node in [HUB, SECOND] {
            let shown = outcomes(&mut world, node, &id)?;
            // Held back, it is not even a request; covered, it is one that may not be made.
            let wanted = if covered {
                vec![no("not_permitted")]
            } else {
                Vec::new()
            };
            ensure!(shown == wanted, "covered: {covered}: {shown:?}");
            ensure!(acceptances(&mut world, node, &id)?.is_empty());
        }
        let reasons = world.exceptions(HUB)?;
        let held = reasons
            .iter()
            .any(|(of, _, _, reason)| *of == log && *reason == Reason::Revoked.code());
        ensure!(held != covered, "{reasons:?}");
        // It knows by now, and asks no more.
        let after = refused(&mut world, OPERATOR, step(&id, "accept", json!({})))?;
        ensure!(after == Code::HubOnly, "{after:?}");
        // Another operator is not concerned, and gets the first number.
        accept(&mut world, SECOND, &id)?;
        world.heal()?;
        accepted(&mut world, &[HUB, STATION, SECOND], &id, FIRST_NUMBER)?;
        requests_agree(&mut world, &[HUB, SECOND])?;
    }
    Ok(())
}

/// Writes an entry of kind `request` into a device's log of a space, whoever may.
fn forge(world: &mut World, node: usize, space: SpaceId, request: &Request) -> Result<()> {
    let entry = NewEntry {
        // A request names no record in its header; this one does.
        record: RecordId([7; 16]),
        ..NewEntry::plain(EntryKind::Request, request.encode())
    };
    world.transact(node, |journal, connection| {
        let now = lianxin_node::clock::now_ms();
        journal
            .append(connection, space, vec![entry], now)
            .map(drop)
    })
}

/// The newest log that a node's device wrote in a space, as the node has it.
fn own_log(world: &mut World, node: usize, space: &SpaceId) -> Result<LogId> {
    let key = world.node(node)?.key;
    let journal = &world.writer(node)?.journal;
    let authors = journal.authors();
    let mut logs = journal.tips(space).into_keys();
    let own = |log: &LogId| authors.get(log).is_some_and(|it| it.device == key);
    logs.find(own).context("no log")
}

#[test]
fn what_a_station_forges_does_nothing_in_any_space() -> Result<()> {
    let mut world = world()?;
    let id = record(&mut world)?;
    let (site, hub) = (world.site_space()?, hub_space(&mut world)?);
    let before = world.records(HUB)?.len();
    let act = Act {
        record: RecordId::parse(&id).context("no id")?,
        space: site,
        event: "accept".to_owned(),
        seen: Vec::new(),
        facts: BTreeMap::new(),
    };
    let request = Request::Ask {
        account: "0123456789abcdef".to_owned(),
        ask: Ask::Act(act),
    };
    for space in [site, hub] {
        forge(&mut world, STATION, space, &request)?;
        let log = own_log(&mut world, STATION, &space)?;
        let batch = world.batch(STATION, &log, 0)?.context("no batch")?;
        world.hand_over(HUB, log, batch)?;
    }
    // Nor does an answer of anyone but the hub take an operator's request away.
    accept(&mut world, OPERATOR, &id)?;
    let asked = array(&world.show(OPERATOR, &id)?, "requests");
    let asked = lianxin_protocol::hash::parse_hex(&text(&asked[0], "id")).context("no id")?;
    let answer = Request::Answer {
        to: EntryId(asked),
        outcome: Outcome::Done,
    };
    forge(&mut world, SECOND, hub, &answer)?;
    forge(&mut world, STATION, site, &answer)?;
    let log = own_log(&mut world, SECOND, &hub)?;
    let batch = world.batch(SECOND, &log, 0)?.context("no batch")?;
    world.hand_over(HUB, log, batch)?;
    ensure!(acceptances(&mut world, HUB, &id)?.is_empty(), "it was done");
    world.heal()?;
    accepted(&mut world, &[HUB, STATION, OPERATOR], &id, FIRST_NUMBER)?;
    ensure!(outcomes(&mut world, HUB, &id)? == [done()]);
    ensure!(outcomes(&mut world, SECOND, &id)? == [done()]);
    // No record came of it anywhere.
    for node in [HUB, STATION, OPERATOR, SECOND] {
        let phantoms: u64 = world.writer(node)?.connection().query_row(
            "SELECT count(*) FROM records WHERE record = ?1",
            [[7_u8; 16]],
            |row| row.get(0),
        )?;
        ensure!(phantoms == 0, "node {node} has a record of a request");
        world.sound(node)?;
    }
    ensure!(world.records(HUB)?.len() == before, "more records");
    world.agree(&[OPERATOR, SECOND])
}

#[test]
fn an_operator_with_a_modified_program_gets_no_more_than_others() -> Result<()> {
    let mut world = world()?;
    let id = record(&mut world)?;
    let (site, hub) = (world.site_space()?, hub_space(&mut world)?);
    let record_id = RecordId::parse(&id).context("no id")?;
    let act = |event: &str, account: &str, space: SpaceId| Request::Ask {
        account: account.to_owned(),
        ask: Ask::Act(Act {
            record: record_id,
            space,
            event: event.to_owned(),
            seen: Vec::new(),
            facts: BTreeMap::new(),
        }),
    };
    let site_again = {
        let (site, info) = {
            let authority = world.writer(HUB)?.journal.shared_authority();
            let (site, info) = authority.sites().iter().next().context("no site")?;
            (*site, info.clone())
        };
        let mut info = info;
        info.name = "另一个名字".to_owned();
        info.code = "ZZ9".to_owned();
        Request::Ask {
            account: "a".to_owned(),
            ask: Ask::Site { site, info },
        }
    };
    forge(&mut world, OPERATOR, hub, &act("refuse", "a", site))?;
    forge(&mut world, OPERATOR, hub, &act("accept", "a@HUBC", site))?;
    forge(&mut world, OPERATOR, hub, &site_again)?;
    // In a space where the record is not, it waits for it.
    forge(&mut world, OPERATOR, hub, &act("accept", "a", hub))?;
    forge(&mut world, OPERATOR, hub, &Request::Unknown(99))?;
    world.heal()?;
    let mut codes: Vec<_> = array(
        &world.call(HUB, Query::RequestList { limit: None })?,
        "requests",
    )
    .iter()
    .map(|it| text(it, "code"))
    .collect();
    codes.sort();
    ensure!(
        codes == ["", "exists", "fields_refused", "step_refused"],
        "{codes:?}"
    );
    ensure!(
        world.call(
            HUB,
            Query::Status {
                unreceipted_minutes: 120
            }
        )?["requests"]
            == 1
    );
    let sites = world.writer(HUB)?.journal.authority().sites().clone();
    ensure!(
        sites.values().all(|it| it.name != "另一个名字"),
        "a site was renamed"
    );
    ensure!(acceptances(&mut world, HUB, &id)?.is_empty());
    // None of it keeps an honest request waiting.
    accept(&mut world, SECOND, &id)?;
    world.heal()?;
    accepted(
        &mut world,
        &[HUB, STATION, OPERATOR, SECOND],
        &id,
        FIRST_NUMBER,
    )?;
    requests_agree(&mut world, &[HUB, OPERATOR, SECOND])
}

#[test]
fn a_number_that_an_operators_pc_gives_by_itself_does_not_count() -> Result<()> {
    let mut world = world()?;
    let id = record(&mut world)?;
    let number = Scalar::Str("示例街〔2026〕第0077号".to_owned());
    let event = NewEvent {
        event: "accept".to_owned(),
        at_ms: 1,
        data: [("hub_no".to_owned(), number)].into(),
    };
    let edit = Edit {
        by: "a".to_owned(),
        events: vec![event],
        ..Edit::default()
    };
    world.forge(OPERATOR, &id, &edit)?;
    world.heal()?;
    for node in [HUB, STATION, SECOND] {
        let events = acceptances(&mut world, node, &id)?;
        let reasons: Vec<_> = events.iter().map(|it| text(it, "reason")).collect();
        ensure!(reasons == ["not_allowed"], "node {node}: {events:?}");
        ensure!(text(&world.show(node, &id)?, "status") == "pending");
    }
    accept(&mut world, SECOND, &id)?;
    world.heal()?;
    ensure!(hub_no(&mut world, STATION, &id)?.contains(FIRST_NUMBER));
    world.sound(HUB)
}

#[test]
fn a_restored_hub_does_not_do_again_what_it_has_answered() -> Result<()> {
    let mut world = world()?;
    let id = record(&mut world)?;
    let other = record(&mut world)?;
    accept(&mut world, OPERATOR, &id)?;
    world.link(OPERATOR, HUB, Wire::GOOD)?;
    move_bytes(&mut world)?;
    // The backup has the request and not the answer.
    world.save(HUB, "backup")?;
    world.heal()?;
    accepted(&mut world, &[HUB, OPERATOR], &id, FIRST_NUMBER)?;
    world.load(HUB, "backup", |name| name != "offered")?;
    world.merge(HUB)?;
    ensure!(acceptances(&mut world, HUB, &id)?.is_empty(), "done again");
    ensure!(outcomes(&mut world, HUB, &id)? == [open()], "it waits");
    world.heal()?;
    accepted(&mut world, &[HUB, STATION, OPERATOR], &id, FIRST_NUMBER)?;
    ensure!(outcomes(&mut world, HUB, &id)? == [done()]);
    // And it works on.
    accept(&mut world, SECOND, &other)?;
    world.heal()?;
    ensure!(outcomes(&mut world, SECOND, &other)? == [done()]);
    // Numbers that it gave after the backup are not given again.
    accepted(&mut world, &[HUB, STATION, SECOND], &other, "0002")?;
    world.agree(&[STATION, OPERATOR, SECOND])
}

/// One piece of work at a random node.
fn work(world: &mut World, ids: &mut Vec<String>, rng: &mut Rng) -> Result<()> {
    let node = rng.below(4);
    if node == STATION && rng.chance(40) {
        ids.push(world.add(STATION, "路灯不亮")?.0);
        return Ok(());
    }
    let id = rng.pick(ids).cloned().unwrap_or_default();
    if !world.has(node, &id)? {
        return Ok(());
    }
    if node == STATION || rng.chance(30) {
        let urgency = *rng.pick(&["normal", "urgent"]).context("none")?;
        world.set(node, &id, json!({ "urgency": urgency }))?;
        return Ok(());
    }
    // Late, early or asked for already: each is refused at once.
    let done = world.reply(node, step(&id, "accept", json!({})));
    if let Err(error) = done {
        let code = code_of(&error);
        let fine = [Code::StepRefused, Code::NothingToDo, Code::RecordWaiting];
        ensure!(code.is_some_and(|it| fine.contains(&it)), "{error:#}");
    }
    Ok(())
}

fn schedule(world: &mut World, seed: u64, known: &[String]) -> Result<u64> {
    for node in 0..4 {
        world.load(node, "start", |_| true)?;
    }
    world.replay(seed);
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut ids = known.to_vec();
    for _ in 0..150 {
        match rng.below(100) {
            0..25 => work(world, &mut ids, &mut rng)?,
            25..45 => {
                let one = 1 + rng.below(3);
                let cut = match rng.below(3) {
                    0 => WireCut::Never,
                    _ => WireCut::AfterBytes(rng.next_u64() % 6_000),
                };
                let chunks = Chunks::Random;
                if !world.linked(one, HUB) {
                    world.link(one, HUB, Wire { cut, chunks })?;
                }
            }
            45..55 => drop(world.merge(rng.below(4))?),
            55..60 => world.restart(rng.below(4))?,
            60..64 => world.lose_next(rng.below(4))?,
            _ => {
                for _ in 0..rng.below(40) {
                    let count = world.links();
                    world.step(rng.below(count), rng.below(2))?;
                }
            }
        }
    }
    for node in 0..4 {
        world.merge(node)?;
    }
    world.heal()?;
    ensure!(world.violations.is_empty(), "{:?}", world.violations);
    world.agree(&[STATION, OPERATOR, SECOND])?;
    let mut numbers = BTreeSet::new();
    let mut asked = 0;
    for id in &ids {
        let events = acceptances(world, HUB, id)?;
        ensure!(events.len() <= 1, "accepted twice: {events:?}");
        let given = hub_no(world, HUB, id)?;
        ensure!(given.is_empty() == events.is_empty(), "{given}, {events:?}");
        let known = outcomes(world, HUB, id)?;
        let dones = known.iter().filter(|it| **it == done()).count();
        let late = known.iter().filter(|it| **it == no("step_refused"));
        ensure!(dones + late.count() == known.len(), "{known:?}");
        ensure!(dones <= events.len(), "done and not there: {known:?}");
        ensure!(known.is_empty() || !events.is_empty(), "{known:?}");
        asked += known.len() as u64;
        if !given.is_empty() {
            ensure!(numbers.insert(given.clone()), "{given} was given twice");
        }
    }
    for (number, count) in numbers.iter().zip(1..) {
        let wanted = format!("第{count:04}号");
        ensure!(number.ends_with(&wanted), "a gap: {numbers:?}");
    }
    if asked > 0 {
        requests_agree(world, &[HUB, OPERATOR, SECOND])?;
    }
    Ok(asked)
}

#[test]
fn whatever_happens_each_request_is_answered_and_numbers_have_no_gap() -> Result<()> {
    let mut world = world()?;
    let mut known = Vec::new();
    for _ in 0..4 {
        known.push(record(&mut world)?);
    }
    for node in 0..4 {
        world.save(node, "start")?;
    }
    let mut asked = 0;
    for seed in 0..30 {
        let tried = schedule(&mut world, seed, &known);
        asked += tried.with_context(|| format!("seed {seed}"))?;
    }
    ensure!(asked > 100, "only {asked} requests were made");
    Ok(())
}

#[test]
fn a_site_and_an_invite_are_asked_for_and_a_device_joins_with_it() -> Result<()> {
    let mut network = Network::new()?;
    let hub = network.hub.clone();
    let scratch = Scratch::new()?;
    let operator = Device::new(scratch.join("operator"));
    let code = network.invite("HUB", "operator")?;
    operator.ok(&["join", &code, "--hub", &network.address])?;
    let asked = |reply: &Value| reply.get("requested") == Some(&json!(true));
    let list = |device: &Device| -> Result<Vec<Value>> {
        Ok(array(&device.ok(&["request", "list"])?, "requests"))
    };

    network.hub_stops()?;
    let site = ["site", "create", "--name", "新站", "--kind", "workstation"];
    let made = operator.call(&[&site[..], &["--code", "NW1"]].concat())?;
    ensure!(made.exit == 3 && asked(&made.json), "{}", made.json);
    ensure!(text(&made.json, "code") == "NW1" && text(&made.json, "site").len() == 36);
    // Asked for already; taken already; and a site that is not there yet has no invites.
    operator
        .call(&[&site[..], &["--code", "NW1"]].concat())?
        .fails(4, "LX-3007")?;
    operator
        .call(&[&site[..], &["--code", "EM1"]].concat())?
        .fails(4, "LX-2008")?;
    let invite = ["invite", "create", "--role", "station", "--site"];
    operator
        .call(&[&invite[..], &["NW1"]].concat())?
        .fails(4, "LX-2007")?;
    // A station asks for nothing.
    network
        .station
        .call(&[&site[..], &["--code", "NW2"]].concat())?
        .fails(6, "LX-2006")?;
    ensure!(list(&operator)?.iter().all(|it| it["outcome"].is_null()));

    network.hub_back()?;
    // One session is enough: it ends when the answer has come.
    operator.ok(&["sync"])?;
    let listed = list(&operator)?;
    ensure!(
        listed.len() == 1 && listed[0]["outcome"] == "done",
        "{listed:?}"
    );

    network.hub_stops()?;
    let file = scratch.join("invite.json");
    let file = file.to_str().context("a path")?;
    let made = operator.call(&[&invite[..], &["NW1", "--out", file]].concat())?;
    ensure!(made.exit == 3 && asked(&made.json), "{}", made.json);
    let keys = ["invite", "device_code", "expires_at", "hub_addresses"];
    ensure!(
        keys.iter().all(|key| made.json.get(key).is_some()),
        "{}",
        made.json
    );
    ensure!(text(&made.json, "device_code") == "NW1A", "{}", made.json);
    ensure!(
        made.json["hub_addresses"] == json!([network.address]),
        "{}",
        made.json
    );
    // A second one gets the next letter while the first is open.
    let second = operator.call(&[&invite[..], &["NW1"]].concat())?;
    ensure!(
        text(&second.json, "device_code") == "NW1B",
        "{}",
        second.json
    );
    network.hub_back()?;
    let early = Device::new(scratch.join("early"));
    let code = text(&made.json, "invite");
    early
        .call(&["join", &code, "--hub", &network.address])?
        .fails(6, "LX-2003")?;
    operator.ok(&["sync"])?;
    hub.until(&["request", "list"], |it| {
        array(&it.json, "requests")
            .iter()
            .all(|it| it["outcome"] == "done")
    })?;
    let device = Device::new(scratch.join("device"));
    let joined = device.ok(&["join", "--file", file])?;
    ensure!(
        joined["confirmed"] == true && joined["device_code"] == "NW1A",
        "{joined}"
    );
    ensure!(joined["site"] == "NW1", "{joined}");
    // By the typed code, which pins nothing, the hub has to prove itself with what the operator gave it.
    let typed = Device::new(scratch.join("typed"));
    let code = text(&second.json, "invite");
    let joined = typed.ok(&["join", &code, "--hub", &network.address])?;
    ensure!(joined["device_code"] == "NW1B", "{joined}");
    let station = device.run(LOOPBACK)?;
    let added = device.add(&[lianxin_tests::process::opinion("first")])?;
    ensure!(
        added["records"][0]["number"]
            .as_str()
            .is_some_and(|it| it.contains("-NW1A-"))
    );
    let id = text(&added["records"][0], "id");
    hub.until(&["record", "show", &id], |it| it.exit == 0)?;
    // The daemons do the rest by themselves: asked for here, numbered there, shown on the new device.
    let daemon = operator.run(LOOPBACK)?;
    operator.until(&["record", "show", &id], |it| {
        it.json["status"] == "pending"
    })?;
    let asking = operator.call(&["record", "act", &id, "accept", "--as", "测试操作员"])?;
    ensure!(asking.exit == 3 && asked(&asking.json), "{}", asking.json);
    for device in [&operator, &device] {
        device.until(&["record", "show", &id], |it| {
            it.json["fields"]["hub_no"]
                .as_str()
                .is_some_and(|it| it.contains("0001"))
        })?;
    }
    operator.until(&["record", "show", &id], |it| {
        it.json["requests"][0]["outcome"] == "done"
    })?;
    daemon.stop()?;
    station.stop()?;
    operator.equals(&hub)?;
    network.hub_stops()
}
