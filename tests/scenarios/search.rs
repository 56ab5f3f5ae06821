//! Searches: what a scan over all texts finds is what the index finds, at every node, whatever is written, replaced, merged and made
//! anew; titles are found by their sound; and a list shows where the words are.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::{Listing, Query, Write};
use lianxin_protocol::text::folded;
use lianxin_tests::World;
use lianxin_tests::load::Words;
use lianxin_tests::process::Network;
use lianxin_tests::world::{HUB, opinion, text};
use serde_json::{Value, json};

use crate::pages::{Browser, link};

const STATION: usize = 1;

fn found(world: &mut World, node: usize, search: &str) -> Result<BTreeSet<String>> {
    let list = world.call(
        node,
        Query::RecordList(Listing {
            search: Some(search.to_owned()),
            limit: Some(500),
            ..Listing::default()
        }),
    )?;
    let rows = list["records"].as_array().cloned().unwrap_or_default();
    Ok(rows.iter().map(|row| text(row, "id")).collect())
}

/// A text of few characters, so that the same pairs stand in many of them.
fn say(words: &mut Words) -> String {
    const SIGNS: [&str; 16] = [
        "路", "灯", "不", "亮", "电", "梯", "坏", "了", "a", "Ｂ", "1", "，", " ", "é", "𬱟", "\"",
    ];
    let len = 3 + words.next_u64() % 9;
    (0..len).map(|_| words.one_of(&SIGNS)).collect()
}

/// Every text that was ever written of each record, and its number.
type Written = BTreeMap<String, Vec<String>>;

fn agrees(world: &mut World, written: &Written, words: &mut Words) -> Result<()> {
    for _ in 0..30 {
        let all: Vec<_> = written.values().flatten().cloned().collect();
        let place = usize::try_from(words.next_u64() % all.len() as u64)?;
        let from = usize::try_from(words.next_u64() % 4)?;
        let len = 1 + usize::try_from(words.next_u64() % 4)?;
        let typed = match words.next_u64() % 3 {
            0 => say(words),
            _ => all[place].chars().skip(from).take(len).collect(),
        };
        let wanted = folded(&typed);
        // Of letters alone, titles that sound so are found as well.
        if wanted.is_empty() || wanted.bytes().all(|it| it.is_ascii_lowercase()) {
            continue;
        }
        let has = |texts: &&Vec<String>| texts.iter().any(|it| folded(it).contains(&wanted));
        let scanned = written.iter().filter(|(_, texts)| has(texts));
        let scanned: BTreeSet<_> = scanned.map(|(id, _)| id.clone()).collect();
        for node in [HUB, STATION] {
            let found = found(world, node, &typed)?;
            ensure!(found == scanned, "{typed:?}: {found:?}, not {scanned:?}");
        }
    }
    Ok(())
}

#[test]
fn the_index_finds_what_a_scan_finds() -> Result<()> {
    for seed in 0..3 {
        let mut world = World::with_stations(900 + seed, 1)?;
        let mut words = Words(seed);
        let mut written = Written::new();
        for round in 0..4 {
            for _ in 0..8 {
                let ids: Vec<_> = written.keys().cloned().collect();
                let said = say(&mut words);
                if ids.len() < 4 || words.next_u64().is_multiple_of(3) {
                    let input = json!({ "category": "help", "body": said, "test_data": true });
                    let (id, number) = world.record(STATION, "opinion", input)?;
                    written.insert(id, vec![said, number]);
                    continue;
                }
                let id = &ids[usize::try_from(words.next_u64())? % ids.len()];
                let texts = written.get_mut(id).context("a record")?;
                match words.next_u64() % 2 {
                    0 => {
                        let act = Write::RecordAct {
                            id: id.clone(),
                            event: "supplement".to_owned(),
                            input: json!({ "text": said }),
                            account: None,
                        };
                        world.call(STATION, act)?;
                    }
                    _ => drop(world.set(STATION, id, json!({ "place": { "text": said } }))?),
                }
                texts.push(said);
            }
            world.heal()?;
            if round == 2 {
                world.call(HUB, Write::Reproject)?;
                world.call(STATION, Write::Reproject)?;
            }
            agrees(&mut world, &written, &mut words)?;
        }
        world.sound(HUB)?;
        world.sound(STATION)?;
    }
    Ok(())
}

#[test]
fn a_sealed_record_is_in_no_index_and_comes_back_when_it_is_opened_for_good() -> Result<()> {
    let mut world = World::with_stations(950, 1)?;
    let (id, _) = world.record(STATION, "opinion", opinion("电梯龘靐"))?;
    world.heal()?;
    let terms = |world: &mut World| -> Result<u64> {
        let connection = world.writer(HUB)?.connection();
        while lianxin_node::search::index(connection)? {}
        connection
            .execute_batch("CREATE VIRTUAL TABLE temp.said USING fts5vocab(main, texts, row);")?;
        let sql = "SELECT count(*) FROM temp.said WHERE term = '龘靐'";
        let count = connection.query_row(sql, [], |row| row.get(0))?;
        connection.execute_batch("DROP TABLE temp.said")?;
        Ok(count)
    };
    ensure!(terms(&mut world)? == 1);
    world.set(STATION, &id, json!({ "access": "restricted" }))?;
    world.heal()?;
    ensure!(terms(&mut world)? == 0, "the index still has it");
    // Whoever owns the store is shown all of it, and finds it.
    ensure!(found(&mut world, HUB, "龘靐")?.len() == 1);
    world.sound(HUB)?;
    world.set(STATION, &id, json!({ "access": "internal" }))?;
    world.heal()?;
    ensure!(terms(&mut world)? == 1 && found(&mut world, HUB, "龘靐")?.len() == 1);
    world.sound(HUB)
}

#[test]
fn a_list_shows_where_the_words_are_and_titles_are_found_by_their_sound() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let body = "<b>3号楼</b>\n每天晚上楼道里的路灯不亮，老人下楼看不清台阶，请尽快安排人来修一修，已经说过两次了，谢谢。";
    hub.add(&[
        json!({ "category": "help", "title": "楼道照明", "body": body }),
        json!({ "category": "help", "title": "电梯重修", "body": "没有别的" }),
    ])?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let page = |typed: &str| -> Result<String> {
        let encoded: String = typed.bytes().map(|it| format!("%{it:02X}")).collect();
        Ok(browser.follow("/records", &format!("q={encoded}"))?.body)
    };
    let shown = page("路灯不亮")?;
    ensure!(shown.contains("<mark>路灯不亮</mark>，老人下楼"), "{shown}");
    ensure!(
        shown.contains("…") && !shown.contains("谢谢"),
        "it is not cut"
    );
    let markup = page("B>3号楼")?;
    ensure!(!markup.contains("<b>3"), "{markup}");
    ensure!(markup.contains("<mark>b&#62;3号楼</mark>"), "{markup}");
    let title = page("照明")?;
    ensure!(title.contains("楼道<mark>照明</mark>") && !title.contains("excerpt\""));
    for (typed, title) in [
        ("ldzm", "楼道照明"),
        ("loudao", "楼道照明"),
        ("dtcx", "电梯重修"),
        ("dtzx", "电梯重修"),
        ("diantichong", "电梯重修"),
    ] {
        let list = hub.ok(&["record", "list", "--search", typed])?;
        let rows = list["records"].as_array().cloned().unwrap_or_default();
        let titles: Vec<_> = rows.iter().map(|row: &Value| text(row, "title")).collect();
        ensure!(titles == [title], "{typed}: {titles:?}");
    }
    // The texts themselves are not sounded out.
    let list = hub.ok(&["record", "list", "--search", "ludeng"])?;
    ensure!(list["records"] == json!([]));
    Ok(())
}

#[test]
fn the_sub_district_looks_at_one_site_alone() -> Result<()> {
    let network = Network::new()?;
    network.hub.ok(&[
        "site",
        "create",
        "--name",
        "测试二站",
        "--kind",
        "workstation",
        "--code",
        "EM2",
    ])?;
    let body = "楼道里的路灯不亮";
    network
        .station
        .add(&[json!({ "category": "help", "body": body })])?;
    network.station.ok(&["sync", "--peer", &network.address])?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let shows = |path: &str| -> Result<bool> { Ok(browser.get(path)?.body.contains(body)) };
    ensure!(shows("/records?site=EM1")? && !shows("/records?site=EM2")?);
    let page = browser.get("/records?site=EM1&kind=opinion&status=registered")?;
    ensure!(
        page.body.contains("value=\"EM1\" selected"),
        "{}",
        page.body
    );
    for (site, is_there) in [("EM1", true), ("EM2", false)] {
        let found = browser.follow("/records", &format!("q=路灯&site={site}"))?;
        ensure!(
            found.body.contains("<mark>路灯</mark>") == is_there,
            "{site}"
        );
    }
    Ok(())
}
