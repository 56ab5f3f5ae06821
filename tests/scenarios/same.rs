//! The same matter, brought twice: what is merged into another goes its way. Both keep their numbers and slips, the answer goes to
//! each of the people in the same words, and whoever merged them by mistake takes them apart again.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::Write;
use lianxin_node::error::Code;
use lianxin_tests::World;
use lianxin_tests::process::{Device, Network};
use lianxin_tests::world::{HUB, code_of, opinion};
use serde_json::{Value, json};

use crate::pages::{Browser, link};

fn act(world: &mut World, node: usize, id: &str, event: &str, input: Value) -> Result<Value> {
    world.call(
        node,
        Write::RecordAct {
            id: id.to_owned(),
            event: event.to_owned(),
            input,
            account: None,
        },
    )
}

/// Takes a matter in and merges it into another, by command.
fn merge(device: &Device, second: &str, main: &str) -> Result<()> {
    device.ok(&["record", "act", second, "accept"])?;
    let into = json!({"merged_into": main}).to_string();
    let step = ["record", "act", second, "merge", "--file", "-"];
    device.feed(&step, into)?.exits(0)?;
    Ok(())
}

/// The answer that a node shows of a record, if it is answered.
fn answer(world: &mut World, node: usize, id: &str) -> Result<(String, Option<String>)> {
    let shown = world.show(node, id)?;
    let events = shown["events"].as_array().context("no events")?;
    let along = ["answer_along", "submit_reply"];
    let told = events
        .iter()
        .rev()
        .find(|it| it["applied"] == true && along.iter().any(|event| it["event"] == *event));
    let text = told.and_then(|it| it["data"]["text"].as_str());
    let status = shown["status"].as_str().unwrap_or_default().to_owned();
    Ok((status, text.map(str::to_owned)))
}

/// Takes a matter to its answer.
fn handle(world: &mut World, id: &str, text: &str) -> Result<()> {
    for (event, input) in [
        (
            "dispatch",
            json!({"lead": "测试城管科", "due_on": "2026-12-01"}),
        ),
        ("sign", json!({})),
        (
            "submit_reply",
            json!({"resolution": "explained", "text": text}),
        ),
        ("approve", json!({})),
    ] {
        act(world, HUB, id, event, input)?;
    }
    Ok(())
}

#[test]
fn the_answer_goes_to_all_whose_matters_were_merged_also_by_way_of_others() -> Result<()> {
    let mut world = World::with_stations(21, 1)?;
    let other = world.add_site("LS2", "LS2A")?;
    world.heal()?;
    let (main, number) = world.record(1, "opinion", opinion("路灯不亮"))?;
    let (second, _) = world.record(1, "opinion", opinion("三号楼路灯坏了"))?;
    let (third, _) = world.record(other, "opinion", opinion("东侧没有路灯"))?;
    let (apart, _) = world.record(other, "opinion", opinion("井盖松动"))?;
    world.heal()?;
    for id in [&main, &second, &third, &apart] {
        act(&mut world, HUB, id, "accept", json!({}))?;
    }
    // By number and by id, and the third into the second, which is merged already.
    act(
        &mut world,
        HUB,
        &second,
        "merge",
        json!({"merged_into": number}),
    )?;
    act(
        &mut world,
        HUB,
        &third,
        "merge",
        json!({"merged_into": second}),
    )?;
    act(
        &mut world,
        HUB,
        &apart,
        "merge",
        json!({"merged_into": main}),
    )?;
    act(
        &mut world,
        HUB,
        &apart,
        "unmerge",
        json!({"reason": "不是一件事"}),
    )?;
    // What would lead in a circle, to itself, or to nothing is refused.
    for (id, into) in [
        (&main, third.as_str()),
        (&apart, &apart),
        (&apart, "YJ-EM1A-0000-2026-00000-00"),
    ] {
        let refused = act(&mut world, HUB, id, "merge", json!({"merged_into": into})).err();
        ensure!(
            refused.as_ref().and_then(code_of) == Some(Code::FieldsRefused),
            "{into}"
        );
    }
    world.heal()?;
    ensure!(answer(&mut world, other, &third)? == ("merged".to_owned(), None));
    handle(&mut world, &main, "已修好")?;
    world.heal()?;
    for (node, id) in [(1, &second), (other, &third), (HUB, &second), (HUB, &third)] {
        let told = answer(&mut world, node, id)?;
        ensure!(
            told == ("answered".to_owned(), Some("已修好".to_owned())),
            "{told:?}"
        );
    }
    ensure!(answer(&mut world, other, &apart)? == ("accepted".to_owned(), None));
    let shown = world.show(other, &third)?;
    ensure!(shown["fields"]["resolution"] == "explained", "{shown}");
    // Each is told at its own desk, and one that is dissatisfied hears what comes of it, with the others.
    let way = json!({"on": "2026-03-20", "way": "phone"});
    for (node, id) in [(1, &main), (1, &second), (other, &third)] {
        act(&mut world, node, id, "inform", way.clone())?;
    }
    world.heal()?;
    act(
        &mut world,
        1,
        &main,
        "rate",
        json!({"evaluation": "dissatisfied"}),
    )?;
    world.heal()?;
    act(&mut world, HUB, &main, "redo", json!({"reason": "仍不亮"}))?;
    for (event, input) in [
        (
            "submit_reply",
            json!({"resolution": "planned", "text": "这次修好了"}),
        ),
        ("approve", json!({"text": "确实修好了"})),
    ] {
        act(&mut world, HUB, &main, event, input)?;
    }
    world.heal()?;
    for (node, id) in [(1, &second), (other, &third)] {
        let told = answer(&mut world, node, id)?;
        ensure!(
            told == ("answered".to_owned(), Some("确实修好了".to_owned())),
            "{told:?}"
        );
    }
    // What was merged into something that ends without an answer is on its own again.
    let (ended, _) = world.record(other, "opinion", opinion("会撤回的"))?;
    world.heal()?;
    act(
        &mut world,
        HUB,
        &apart,
        "merge",
        json!({"merged_into": ended}),
    )?;
    act(&mut world, HUB, &ended, "withdraw", json!({}))?;
    ensure!(answer(&mut world, HUB, &apart)? == ("accepted".to_owned(), None));
    // Nothing that fewer people are shown is answered where more are.
    let mut sealed = opinion("封存的");
    sealed["access"] = json!("restricted");
    let (sealed, _) = world.record(other, "opinion", sealed)?;
    world.heal()?;
    let told = act(
        &mut world,
        HUB,
        &apart,
        "merge",
        json!({"merged_into": sealed}),
    )
    .err();
    ensure!(told.as_ref().and_then(code_of) == Some(Code::FieldsRefused));
    // What has its answer takes up nothing more.
    let late = act(
        &mut world,
        HUB,
        &apart,
        "merge",
        json!({"merged_into": main}),
    )
    .err();
    ensure!(late.as_ref().and_then(code_of) == Some(Code::FieldsRefused));
    // Nobody takes the step by itself, and no station does.
    for node in [1, HUB] {
        let forged = json!({"resolution": "explained", "text": "编的"});
        let refused = act(&mut world, node, &second, "answer_along", forged).err();
        ensure!(refused.as_ref().and_then(code_of) == Some(Code::StepRefused));
    }
    for node in [HUB, 1, other] {
        world.sound(node)?;
    }
    Ok(())
}

#[test]
fn the_page_of_a_matter_says_what_was_merged_into_it_and_how_many_people_brought_it() -> Result<()>
{
    let network = Network::new()?;
    let row = |body: &str, people: u64| json!({"category": "help", "body": body, "people_count": people, "test_data": true});
    let added = network
        .hub
        .add(&[row("路灯不亮", 2), row("三号楼路灯坏了", 3)])?;
    let id = |at: usize| added["records"][at]["id"].as_str().context("no id");
    let (main, second) = (id(0)?, id(1)?);
    let number = added["records"][0]["number"]
        .as_str()
        .context("no number")?;
    merge(&network.hub, second, main)?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let page = browser.get(&format!("/records/{main}"))?.body;
    ensure!(page.contains("并入 1 件，共 5 人反映"), "{page}");
    ensure!(page.contains(&format!("/records/{second}")));
    let page = browser.get(&format!("/records/{second}"))?.body;
    ensure!(
        page.contains(&format!("已并入 {number} 一并办理，主件现在：待受理")),
        "{page}"
    );
    Ok(())
}

#[test]
fn what_looks_like_one_matter_is_shown_with_the_reason_until_somebody_says_it_is_not() -> Result<()>
{
    let network = Network::new()?;
    let row = |body: &str, place: &str, access: &str| {
        json!({
            "category": "help", "body": body, "place": { "community": "测试社区", "text": place },
            "access": access, "test_data": true,
        })
    };
    let added = network.hub.add(&[
        row(
            "测试小区3号楼东侧两盏路灯半个多月不亮，晚上老人出行不方便，希望尽快维修。",
            "",
            "internal",
        ),
        row(
            "三号楼东边那两个路灯一直不亮，老人晚上出门看不见路。",
            "测试小区",
            "internal",
        ),
        row(
            "测试小区7号楼西侧路灯不亮有一个星期了，晚上老人出行不方便，希望尽快维修。",
            "",
            "internal",
        ),
        row(
            "测试小区3号楼东侧两盏路灯不亮，封存的这一件谁也不该看见。",
            "",
            "restricted",
        ),
    ])?;
    let id = |at: usize| added["records"][at]["id"].as_str().context("no id");
    let (first, second, other, sealed) = (id(0)?, id(1)?, id(2)?, id(3)?);
    // By command as on the page.
    let listed = network.hub.ok(&["account", "list"])?;
    let name = listed["accounts"][0]["name"].as_str().context("no name")?;
    let alike = network.hub.ok(&["record", "alike", "--as", name])?;
    let groups = alike["groups"].as_array().context("no groups")?;
    let [group] = groups.as_slice() else {
        anyhow::bail!("not one group: {alike}");
    };
    let theirs = &group["others"][0];
    let mut both = [&group["main"]["id"], &theirs["id"]].map(Value::as_str);
    both.sort_unstable();
    let mut wanted = [Some(first), Some(second)];
    wanted.sort_unstable();
    ensure!(both == wanted && theirs["mergeable"] == true, "{alike}");
    ensure!(
        theirs["words"].as_u64().is_some_and(|it| it > 0) && theirs["phone"] == false,
        "{theirs}"
    );
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    ensure!(browser.get("/queue")?.body.contains("/duplicates"));
    let page = browser.get("/duplicates")?;
    ensure!(page.status == 200 && page.body.contains(&format!("value=\"{second}\"")));
    ensure!(page.body.contains(first) && page.body.contains("字词相同"));
    ensure!(
        !page.body.contains(other) && !page.body.contains(sealed),
        "another matter"
    );
    // The other one may go on instead.
    let turned = browser.get(&format!("/duplicates?main={second}"))?.body;
    ensure!(turned.contains(&format!("name=\"merged_into\" value=\"{second}\"")));
    // What would happen is shown first, and it is ordered like any other step for several.
    let draft = "0123456789abcdef0123456789abcdef";
    let order = format!(
        "step=opinion%2Fmerge&draft={draft}&back=%2Fduplicates&id={second}&merged_into={first}"
    );
    let preview = browser.post("/queue/several", &order)?;
    ensure!(preview.status == 200 && preview.body.contains("name=\"merged_into\""));
    let ordered = browser.post("/queue/several", &format!("{order}&sure=yes"))?;
    ensure!(
        ordered.header("location") == Some("/duplicates"),
        "{}",
        ordered.status
    );
    let page = browser.get("/duplicates")?.body;
    ensure!(
        page.contains(&format!("/queue/several/{draft}/back")),
        "it cannot be taken back"
    );
    ensure!(!page.contains(second), "what was ordered is offered again");
    browser.post(&format!("/queue/several/{draft}/back"), "")?;
    ensure!(browser.get("/duplicates")?.body.contains(second));
    let apart = browser.post("/duplicates/apart", &format!("one={first}&other={second}"))?;
    ensure!(apart.status == 303);
    ensure!(
        !browser.get("/duplicates")?.body.contains(second),
        "they were told apart"
    );
    let nothing = browser.post("/duplicates/apart", &format!("one={first}&other={first}"))?;
    ensure!(nothing.status == 400);
    // Whoever merges nothing looks for nothing.
    network.hub.ok(&["account", "roles", name, "U"])?;
    ensure!(browser.get("/duplicates")?.status == 403);
    network
        .hub
        .call(&["record", "alike", "--as", name])?
        .exits(6)?;
    Ok(())
}

#[test]
fn what_went_the_way_of_a_matter_that_a_station_withdrew_is_shown_with_the_way_out() -> Result<()> {
    let network = Network::new()?;
    let row = |body: &str| json!({"category": "help", "body": body, "test_data": true});
    let added = network
        .station
        .add(&[row("路灯不亮"), row("三号楼路灯坏了")])?;
    let id = |at: usize| added["records"][at]["id"].as_str().context("no id");
    let (main, second) = (id(0)?, id(1)?);
    network.station.ok(&["sync"])?;
    merge(&network.hub, second, main)?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let page = browser.get("/duplicates")?.body;
    ensure!(!page.contains("不会再答复它"), "the matter goes on: {page}");
    // The station has not heard of it.
    network.station.ok(&["record", "act", main, "withdraw"])?;
    network.station.ok(&["sync"])?;
    let page = browser.get("/duplicates")?.body;
    let way_out = format!("/records/{second}?step=unmerge#next");
    ensure!(
        page.contains("不会再答复它") && page.contains(&way_out),
        "{page}"
    );
    ensure!(!page.contains(&format!("/records/{main}?step=")));
    network.hub.ok(&["record", "act", second, "unmerge"])?;
    let page = browser.get("/duplicates")?.body;
    ensure!(!page.contains("不会再答复它"), "it is on its own: {page}");
    Ok(())
}
