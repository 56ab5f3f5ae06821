//! Who acts: an account has the roles that it was given on its device, at most what the device's grant permits. What they do not
//! allow is refused by the save and offered nowhere; every step says in which role it was taken, on every device alike.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::{Query, Write};
use lianxin_node::error::Code;
use lianxin_tests::World;
use lianxin_tests::process::Network;
use lianxin_tests::world::{HUB, code_of, opinion};
use serde_json::{Value, json};

use crate::pages::{Browser, link};

const STATION: usize = 1;
const OPERATOR: usize = 2;

fn act(id: &str, event: &str, input: Value, account: &str) -> Write {
    Write::RecordAct {
        id: id.to_owned(),
        event: event.to_owned(),
        input,
        account: Some(account.to_owned()),
    }
}

fn roles(name: &str, roles: &[&str]) -> Write {
    Write::AccountRoles {
        name: name.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    }
}

/// An account is there once it has acted: `note` is a step that every role takes but the resident's.
fn arrive(world: &mut World, node: usize, id: &str, account: &str) -> Result<()> {
    world.call(node, act(id, "note", json!({"text": "到岗"}), account))?;
    Ok(())
}

fn steps(world: &mut World, node: usize, id: &str, account: &str) -> Result<Vec<String>> {
    let query = Query::RecordShow {
        id: id.to_owned(),
        account: Some(account.to_owned()),
    };
    let shown = world.call(node, query)?;
    let steps = shown["steps"].as_array().context("no steps")?.iter();
    Ok(steps.filter_map(Value::as_str).map(str::to_owned).collect())
}

fn taken(shown: &Value, event: &str) -> Result<Value> {
    let events = shown["events"].as_array().context("no events")?;
    let taken = events.iter().find(|it| it["event"] == event);
    taken.cloned().with_context(|| format!("no {event}"))
}

#[test]
fn a_step_is_taken_in_a_role_of_the_account_or_refused_and_says_which_everywhere() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    world.add_operator("HUBB")?;
    let (id, _) = world.record(STATION, "opinion", opinion("路灯不亮"))?;
    world.heal()?;
    for account in ["李审核", "王承办"] {
        arrive(&mut world, OPERATOR, &id, account)?;
    }
    world.call(OPERATOR, roles("李审核", &["S", "h"]))?;
    world.call(OPERATOR, roles("王承办", &["U"]))?;
    let listed = world.call(OPERATOR, Query::AccountList)?;
    let accounts = listed["accounts"].as_array().context("no accounts")?;
    let given = accounts.iter().find(|it| it["name"] == "李审核");
    ensure!(given.is_some_and(|it| it["roles"] == json!(["H", "S"])));

    // What is not offered is refused, and the other way round.
    ensure!(steps(&mut world, OPERATOR, &id, "李审核")?.contains(&"accept".to_owned()));
    let unit = steps(&mut world, OPERATOR, &id, "王承办")?;
    ensure!(
        !unit.contains(&"accept".to_owned()) && unit.contains(&"note".to_owned()),
        "{unit:?}"
    );
    let refused = act(
        &id,
        "refuse",
        json!({"not_accepted_reason": "litigation"}),
        "王承办",
    );
    let refused = world.call(OPERATOR, refused).err();
    ensure!(
        refused.as_ref().and_then(code_of) == Some(Code::RoleRefused),
        "{refused:?}"
    );
    // What this device's grant does not permit is refused for the device, and cannot be given.
    let unpermitted = world
        .call(STATION, act(&id, "accept", json!({}), "测试员"))
        .err();
    ensure!(unpermitted.as_ref().and_then(code_of) == Some(Code::StepRefused));
    let beyond = world.call(STATION, roles("测试员", &["H"])).err();
    ensure!(
        beyond.as_ref().and_then(code_of) == Some(Code::NotPermitted),
        "{beyond:?}"
    );
    let unknown = world.call(OPERATOR, roles("李审核", &["X"])).err();
    ensure!(unknown.as_ref().and_then(code_of) == Some(Code::Usage));

    // The hub takes a step for an operator in the role that the step is for.
    let asked = world.reply(OPERATOR, act(&id, "accept", json!({}), "李审核"))?;
    ensure!(asked.exit == 3, "{}", asked.value);
    world.heal()?;
    for node in [HUB, STATION, OPERATOR] {
        let shown = world.show(node, &id)?;
        ensure!(taken(&shown, "register")?["role"] == "C", "{shown}");
        let accepted = taken(&shown, "accept")?;
        ensure!(
            accepted["role"] == "H" && accepted["applied"] == true,
            "{accepted}"
        );
        ensure!(accepted["data"].get("as").is_none(), "{accepted}");
        let notes = shown["events"].as_array().into_iter().flatten();
        let mut notes = notes.filter(|it| it["event"] == "note");
        ensure!(notes.all(|it| it["role"] == "C"), "{shown}");
    }
    for node in [HUB, STATION, OPERATOR] {
        world.sound(node)?;
    }
    world.agree(&[HUB, OPERATOR])
}

#[test]
fn roles_that_are_taken_away_from_somebody_who_is_logged_in_are_gone_from_every_page() -> Result<()>
{
    let network = Network::new()?;
    let added = network
        .hub
        .add(&[json!({ "category": "help", "body": "路灯不亮" })])?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    let listed = network.hub.ok(&["account", "list"])?;
    let name = listed["accounts"][0]["name"].as_str().context("no name")?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let (record, accept) = (
        format!("/records/{id}"),
        format!("/records/{id}/steps/accept"),
    );
    let offered = |page: &str| -> Result<bool> {
        let answer = browser.get(page)?;
        ensure!(answer.status == 200, "{page}: {}", answer.status);
        Ok(answer.body.contains(&accept) || answer.body.contains(&format!("{id}?step=accept")))
    };
    ensure!(
        offered(&record)? && offered("/queue")?,
        "not offered at all"
    );
    ensure!(browser.get("/new/org")?.status == 200);
    network.hub.ok(&["account", "roles", name, "U"])?;
    ensure!(!offered(&record)? && !offered("/queue")?, "still offered");
    ensure!(browser.post(&accept, "")?.status == 403, "still taken");
    ensure!(
        browser.get("/new/org")?.status == 403,
        "the form is still there"
    );
    ensure!(!browser.get("/sites")?.body.contains("action=\"/sites\""));
    let site = browser.post("/sites", "name=x&kind=workstation&code=")?;
    ensure!(
        site.body.contains("LX-7006") || site.body.contains("角色"),
        "{}",
        site.body
    );
    // Whoever adds an account gives it no role that they have not.
    let new = "name=%E6%9D%8E%E5%9B%9B&password=a-long-sentence";
    ensure!(browser.follow("/settings/accounts", new)?.status == 200);
    let listed = network.hub.ok(&["account", "list"])?;
    ensure!(listed["accounts"][1]["roles"] == json!(["U"]), "{listed}");
    network.hub.ok(&["account", "roles", name])?;
    ensure!(
        offered(&record)?,
        "roles that are given again are not there"
    );
    ensure!(browser.post(&accept, "")?.status == 303);
    let shown = network.hub.ok(&["record", "show", id])?;
    ensure!(taken(&shown, "accept")?["role"] == "H");
    Ok(())
}
