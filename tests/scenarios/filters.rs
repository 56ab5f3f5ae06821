//! Lists are filtered by the fields that the catalogue marks: what is shown is what a look at every record would show, in the same
//! order and page by page, on every device, whatever came of the records meanwhile.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::{Listing, Query, Write};
use lianxin_node::error::Code;
use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_tests::World;
use lianxin_tests::process::Network;
use lianxin_tests::world::{HUB, code_of, opinion};
use serde_json::{Value, json};

use crate::pages::{Browser, link};

const STATION: usize = 1;
const OPERATOR: usize = 2;

fn list(kind: Option<&str>, values: &[&str], after: Option<&str>, limit: usize) -> Query {
    Query::RecordList(Listing {
        kind: kind.map(str::to_owned),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        limit: Some(limit),
        after: after.map(str::to_owned),
        ..Listing::default()
    })
}

/// Ids of all records that a filter shows, taken in pages.
fn shown(
    world: &mut World,
    node: usize,
    kind: Option<&str>,
    values: &[&str],
) -> Result<Vec<String>> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = world.call(node, list(kind, values, after.as_deref(), 3))?;
        let records = page["records"].as_array().context("no records")?;
        all.extend(
            records
                .iter()
                .filter_map(|it| it["id"].as_str())
                .map(str::to_owned),
        );
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(all),
        }
    }
}

/// The same by looking at every record.
fn looked_at(
    world: &mut World,
    node: usize,
    kind: Option<&str>,
    wanted: &[(&str, &str)],
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for id in shown(world, node, kind, &[])? {
        let record = world.show(node, &id)?;
        let fields = &record["fields"];
        let holds = |(key, value): &(&str, &str)| match key.split_once('.') {
            None => fields[key] == *value,
            Some((group, name)) => fields[group][name] == *value,
        };
        if wanted.iter().all(holds) {
            found.push(id);
        }
    }
    Ok(found)
}

fn same(
    world: &mut World,
    node: usize,
    kind: Option<&str>,
    wanted: &[(&str, &str)],
    least: usize,
) -> Result<()> {
    let typed: Vec<_> = wanted
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let typed: Vec<_> = typed.iter().map(String::as_str).collect();
    let (by_index, by_hand) = (
        shown(world, node, kind, &typed)?,
        looked_at(world, node, kind, wanted)?,
    );
    ensure!(
        by_index == by_hand,
        "node {node}, {typed:?}: {by_index:?} and not {by_hand:?}"
    );
    ensure!(
        by_index.len() >= least,
        "node {node}, {typed:?}: {} only",
        by_index.len()
    );
    Ok(())
}

fn act(world: &mut World, node: usize, id: &str, event: &str, input: Value) -> Result<()> {
    let (id, event, account) = (id.to_owned(), event.to_owned(), None);
    world.reply(
        node,
        Write::RecordAct {
            id,
            event,
            input,
            account,
        },
    )?;
    Ok(())
}

#[test]
fn a_list_that_is_filtered_by_values_shows_what_a_look_at_every_record_would() -> Result<()> {
    let mut world = World::with_stations(7, 1)?;
    world.add_operator("HUBB")?;
    world.heal()?;
    let (unit, _) = world.record(
        HUB,
        "org",
        json!({"name": "水务公司", "org_kind": "enterprise"}),
    )?;
    world.heal()?;
    let mut ids = Vec::new();
    for n in 0..9 {
        let mut said = opinion(&format!("第{n}件"));
        let category = ["help", "consult", "complaint"][n % 3];
        said["category"] = json!(category);
        let community = ["东社区", "西社区"][n % 2];
        said["place"] = json!({ "community": community });
        let node = [STATION, OPERATOR][usize::from(n > 6)];
        ids.push(world.record(node, "opinion", said)?.0);
        // Some arrive together, and some later than what is younger.
        if n == 4 {
            world.heal()?;
        }
    }
    let checked = |world: &mut World, node: usize| -> Result<()> {
        same(world, node, Some("opinion"), &[("category", "help")], 2)?;
        same(world, node, None, &[("place.community", "东社区")], 2)?;
        let both = [("category", "consult"), ("place.community", "西社区")];
        same(world, node, Some("opinion"), &both, 1)?;
        same(world, node, None, &[("org_kind", "enterprise")], 1)
    };
    // Before anything has come to the hub, and after.
    checked(&mut world, STATION)?;
    world.heal()?;
    for node in [HUB, STATION, OPERATOR] {
        checked(&mut world, node)?;
    }
    // A step sets fields, and makes a record that refers to a unit: it is found by the unit's id and by its name.
    for id in ids.iter().take(2) {
        act(&mut world, HUB, id, "accept", json!({}))?;
        let input = json!({"lead": unit, "due_on": "2026-12-31"});
        act(&mut world, HUB, id, "dispatch", input)?;
    }
    world.set(HUB, &ids[3], json!({"category": "consult"}))?;
    world.set(HUB, &ids[6], json!({"place": {"community": null}}))?;
    world.heal()?;
    for node in [HUB, STATION, OPERATOR] {
        checked(&mut world, node)?;
        same(
            &mut world,
            node,
            Some("opinion"),
            &[("due_on", "2026-12-31")],
            2,
        )?;
        let by_id = shown(&mut world, node, None, &[&format!("unit={unit}")])?;
        ensure!(by_id.len() == 2, "{by_id:?}");
        ensure!(by_id == shown(&mut world, node, None, &["unit=水务公司"])?);
        ensure!(
            shown(
                &mut world,
                node,
                Some("opinion"),
                &[&format!("lead={unit}")]
            )?
            .len()
                == 2
        );
        // What every field says is made anew alike.
        world.sound(node)?;
        checked(&mut world, node)?;
    }
    Ok(())
}

#[test]
fn what_no_list_is_filtered_by_is_a_mistake_and_is_not_repeated() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    for typed in [
        "body=路灯",
        "category",
        "category=路灯",
        "person.name=路灯",
        "due_on=昨天",
    ] {
        let refused = world
            .call(STATION, list(Some("opinion"), &[typed], None, 5))
            .err();
        let refused = refused.with_context(|| format!("{typed} was taken"))?;
        ensure!(code_of(&refused) == Some(Code::Usage), "{refused:?}");
        ensure!(!format!("{refused:?}").contains("路灯"), "{refused:?}");
    }
    let twice = ["category=help", "category=consult"];
    ensure!(world.call(STATION, list(None, &twice, None, 5)).is_err());
    // Every kind has something to be found by that is nobody's secret.
    for field in Catalogue::standard().kinds().flat_map(Kind::indexed) {
        ensure!(field.retention.is_none(), "{}", field.key);
    }
    Ok(())
}

#[test]
fn the_list_on_the_page_is_filtered_by_the_fields_of_its_kind() -> Result<()> {
    let network = Network::new()?;
    network.hub.add(&[
        json!({ "category": "help", "body": "路灯不亮" }),
        json!({ "category": "consult", "body": "怎样办证" }),
    ])?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let said = |form: &str| -> Result<(bool, bool)> {
        let mut page = browser.post("/records", form)?;
        if page.status == 303 {
            page = browser.get(page.header("location").context("no place")?)?;
        }
        ensure!(page.status == 200, "{form}: {}", page.status);
        Ok((
            page.body.contains("路灯不亮"),
            page.body.contains("怎样办证"),
        ))
    };
    ensure!(said("kind=opinion")? == (true, true));
    ensure!(said("by.category=help&kind=opinion")? == (true, false));
    ensure!(said("kind=opinion&by.category=consult&q=")? == (false, true));
    // A field that the kind does not have, or that no list is filtered by, asks for nothing.
    ensure!(said("by.category=help")? == (true, true));
    ensure!(said("kind=opinion&by.body=help")? == (true, true));
    let page = browser.get("/records?kind=opinion&by.category=help")?;
    ensure!(page.body.contains("name=\"by.category\"") && !page.body.contains("怎样办证"));
    Ok(())
}

#[test]
fn what_is_chosen_stands_in_the_address_and_what_is_typed_does_not() -> Result<()> {
    let network = Network::new()?;
    network
        .hub
        .add(&[json!({ "category": "help", "body": "路灯不亮" })])?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let place = |form: &str| -> Result<Option<String>> {
        let page = browser.post("/records", form)?;
        Ok(page.header("location").map(str::to_owned))
    };
    let chosen = place("kind=opinion&status=accepted&by.category=help&from=2026-01-01&to=x")?;
    ensure!(
        chosen.as_deref()
            == Some("/records?kind=opinion&status=accepted&from=2026-01-01&by.category=help"),
        "{chosen:?}"
    );
    ensure!(place("q=")?.as_deref() == Some("/records"));
    // A text to look for, and a name that was typed, have an address that says nothing.
    for form in [
        "q=路灯&kind=opinion",
        "kind=opinion&by.place.community=测试社区",
    ] {
        let place = place(form)?.context("no place")?;
        let id = place.strip_prefix("/search/").context("elsewhere")?;
        ensure!(
            id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit()),
            "{place}"
        );
    }
    let on = |days: &str| -> Result<bool> {
        let page = browser.get(&format!("/records?kind=opinion&{days}"))?;
        Ok(page.body.contains("路灯不亮"))
    };
    ensure!(on("from=2000-01-01")? && on("from=2000-01-01&to=2199-12-31")?);
    ensure!(!on("to=2000-01-01")? && !on("from=2199-01-01")?);
    Ok(())
}

#[test]
fn what_a_page_counts_it_counts_in_full() -> Result<()> {
    let network = Network::new()?;
    let deputies: Vec<_> = (0..45)
        .map(|number| json!({ "name": format!("测试代表{number}") }))
        .collect();
    network
        .hub
        .feed(
            &["record", "add", "--kind", "deputy", "--file", "-"],
            json!(deputies).to_string(),
        )?
        .exits(0)?;
    let opinion = json!({ "category": "help", "body": "路灯不亮" });
    network.hub.add(&vec![opinion.clone(); 60])?;
    network.station.add(&[opinion.clone(), opinion])?;
    network.station.ok(&["sync"])?;
    let _daemon = network.station.run("127.0.0.1:0")?;
    let (clerk, _) = Browser::through(&link(&network.station)?)?;
    let home = clerk.get("/")?.body;
    // What the sub-district has published today is not the station's work.
    ensure!(home.contains("今天登记了 2 条，街道中心已收 2 条"));
    let (operator, _) = Browser::through(&link(&network.hub)?)?;
    let queue = |asked: &str| -> Result<String> {
        Ok(operator
            .get(&format!("/queue?view=opinion-registered{asked}"))?
            .body)
    };
    ensure!(queue("")?.contains("第 1–50 件，共 62 件"));
    ensure!(queue("&page=2")?.contains("第 51–62 件，共 62 件"));
    ensure!(queue("&site=EM1")?.contains("第 1–2 件，共 2 件"));
    let ledger = operator.get("/records?kind=opinion&status=pending")?.body;
    ensure!(ledger.contains("共 62 条"));
    let overview = operator.get("/")?.body;
    ensure!(overview.matches("<b class=\"big\">62</b>").count() == 2);
    Ok(())
}
