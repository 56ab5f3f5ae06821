//! A day at the desk, at the door of the pages: what is done is said by name, what is grave is asked first, several at once can be
//! taken back, and whoever loses a value is told.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::clock::Beijing;
use lianxin_protocol::deadline::Calendar;
use lianxin_tests::process::{Device, LOOPBACK, Network, now};
use serde_json::{Value, json};

use super::pages::{Browser, encoded, hidden, link, with};

fn ids(added: &Value) -> Result<Vec<String>> {
    let records = added["records"].as_array().context("no records")?;
    let ids = records
        .iter()
        .map(|it| it["id"].as_str().map(str::to_owned));
    ids.collect::<Option<Vec<_>>>().context("no id")
}

fn id(device: &Device, row: &Value) -> Result<String> {
    let added = device.add(std::slice::from_ref(row))?;
    ids(&added)?.pop().context("nothing was added")
}

/// The working day that a period from today on ends on.
fn after(length: &str) -> Result<String> {
    let today = Beijing::of(lianxin_node::clock::now_ms()).iso_date();
    let due = Calendar::standard().due(today.parse()?, length.parse()?, &[]);
    Ok(due.to_string())
}

fn opinion(body: &str) -> Value {
    json!({ "category": "help", "body": body })
}

fn set(device: &Device, id: &str, fields: &Value) -> Result<Value> {
    let set = device.feed(&["record", "set", id, "--file", "-"], fields.to_string())?;
    set.exits(0)
}

/// Chooses on the page of a record's conflicts: the side of each field that has these words, or what is named so. Gives the answer.
fn settled(
    browser: &Browser,
    id: &str,
    choices: &[(&str, &str)],
    reason: &str,
) -> Result<(u16, String)> {
    let path = format!("/records/{id}/conflict");
    let page = browser.get(&path)?.body;
    let form = format!("action=\"{path}\"");
    let mut typed = vec![("reason".to_owned(), reason.to_owned())];
    for (field, choice) in choices {
        if *field == "do" {
            typed.push(((*field).to_owned(), (*choice).to_owned()));
            continue;
        }
        let name = format!("name=\"pick:{field}\" value=\"");
        let mut side = page.split(&name).skip(1);
        let mut side = side
            .by_ref()
            .filter(|it| it.contains(&format!("data-text=\"{choice}\"")));
        let value = side.next().and_then(|it| it.split_once('"'));
        let value = value.map_or(*choice, |(value, _)| value);
        typed.push((format!("pick:{field}"), value.to_owned()));
    }
    let typed: Vec<_> = typed
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let answer = browser.post(&path, &with(&hidden(&page, &form)?, &typed))?;
    let place = answer.header("location").unwrap_or_default().to_owned();
    Ok((
        answer.status,
        if place.is_empty() { answer.body } else { place },
    ))
}

/// Takes a step on a record's page, and gives the answer.
fn step(browser: &Browser, id: &str, event: &str, typed: &[(&str, &str)]) -> Result<(u16, String)> {
    let page = browser.get(&format!("/records/{id}"))?.body;
    let form = format!("action=\"/records/{id}/steps/{event}\"");
    let form = with(&hidden(&page, &form)?, typed);
    let answer = browser.post(&format!("/records/{id}/steps/{event}"), &form)?;
    let place = answer.header("location").unwrap_or_default().to_owned();
    Ok((
        answer.status,
        if place.is_empty() { answer.body } else { place },
    ))
}

#[test]
fn what_was_done_is_said_by_name_and_the_next_of_the_queue_is_at_hand() -> Result<()> {
    let network = Network::new()?;
    let added = network
        .hub
        .add(&[opinion("一号楼路灯不亮"), opinion("二号楼井盖松动")])?;
    let ids = ids(&added)?;
    let [first, second] = ids.as_slice() else {
        anyhow::bail!("two were added");
    };
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let (status, place) = step(&browser, first, "accept", &[])?;
    ensure!(
        status == 303 && place == format!("/records/{first}?did=accept"),
        "{place}"
    );
    let page = browser.get(&place)?.body;
    ensure!(page.contains("“受理”已存本机，现在是“已受理”") && page.contains("第0001号"));
    ensure!(page.contains("下一件：二号楼井盖松动") && page.contains("还有 1 件等着"));
    ensure!(page.contains(&format!("/records/{second}?step=accept#next")));
    // A date is proposed, and what is often written is there.
    let due = after("15d")?;
    ensure!(
        page.contains(&format!("value=\"{due}\"")),
        "no date is proposed"
    );
    ensure!(page.contains("请核实情况，在期限内办理并答复反映人。"));
    let (_, place) = step(&browser, second, "accept", &[])?;
    ensure!(
        !browser.get(&place)?.body.contains("下一件："),
        "nothing waits any more"
    );
    // An address that names a step nobody took says nothing of it.
    let claimed = browser.get(&format!("/records/{first}?did=close"))?.body;
    ensure!(!claimed.contains("已存本机，现在是"));
    Ok(())
}

#[test]
fn what_cannot_be_undone_is_asked_first_and_loses_no_word() -> Result<()> {
    let network = Network::new()?;
    let id = id(&network.hub, &opinion("路灯不亮"))?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let status =
        || -> Result<Value> { Ok(network.hub.ok(&["record", "show", &id])?["status"].clone()) };
    let page = browser.get(&format!("/records/{id}"))?.body;
    ensure!(
        page.contains("撤回后不再办理，不能恢复"),
        "nothing says what it does"
    );
    let reason = [("reason", "反映人说不用管了")];
    let (asked, place) = step(&browser, &id, "withdraw", &reason)?;
    // The question has an address, so that going back and loading again work.
    ensure!(asked == 303 && place == format!("/records/{id}?step=withdraw&ask=1#next"));
    let page = browser.get(&place)?.body;
    ensure!(page.contains("确定撤回吗？") && page.contains(reason[0].1));
    ensure!(status()? == "pending", "it was done without an answer");
    // Whoever goes away finds the words again.
    ensure!(
        browser
            .get(&format!("/records/{id}"))?
            .body
            .contains(reason[0].1)
    );
    let form = format!("action=\"/records/{id}/steps/withdraw\"");
    let asked = hidden(&page, &form)?;
    ensure!(asked.iter().any(|(name, _)| name == "sure"));
    let sure = with(&asked, &reason);
    ensure!(
        browser
            .post(&format!("/records/{id}/steps/withdraw"), &sure)?
            .status
            == 303
    );
    ensure!(status()? == "withdrawn");
    Ok(())
}

#[test]
fn a_slip_of_the_hand_in_a_dispatch_is_said_and_loses_nothing() -> Result<()> {
    let network = Network::new()?;
    let id = id(&network.hub, &opinion("路灯不亮"))?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    step(&browser, &id, "accept", &[])?;
    // The same unit in both places.
    let words = ("text", "请三日内答复");
    let twice = [("lead", "测试城管科"), ("co", "测试城管科"), words];
    let (status, page) = step(&browser, &id, "dispatch", &twice)?;
    ensure!(status == 422 && page.contains("选了两次，只留一处") && page.contains(words.1));
    // What is often written is still there beside what is wrong.
    ensure!(page.contains("请核实情况，在期限内办理并答复反映人。"));
    // A day that is over may be meant: it is asked.
    let over = [("lead", "测试城管科"), ("due_on", "2020-01-05"), words];
    let (status, place) = step(&browser, &id, "dispatch", &over)?;
    ensure!(
        status == 303 && place.ends_with("?step=dispatch&ask=1#next"),
        "{status} {place}"
    );
    let page = browser.get(&place)?.body;
    ensure!(page.contains("填的是 2020-01-05，这一天已经过去了") && page.contains(words.1));
    let path = format!("/records/{id}/steps/dispatch");
    let form = hidden(&page, &format!("action=\"{path}\""))?;
    let draft = form.iter().find(|(name, _)| name == "draft");
    let draft = draft.context("no draft")?.1.clone();
    // Who takes every word back has no draft of it any more.
    let kept_at = format!("/drafts/{draft}");
    ensure!(browser.get(&kept_at)?.status == 303, "no draft is kept");
    let empty = [("lead", ""), ("text", ""), ("due_on", "2020-01-05")];
    let kind = ("kind", format!("step/{id}/dispatch"));
    let mut kept = with(&form, &empty);
    kept.push_str(&format!("&{}", encoded(&[(kind.0, kind.1.as_str())])));
    ensure!(
        browser
            .post(&format!("/drafts/{draft}"), &kept)?
            .body
            .contains("没有要存的内容")
    );
    ensure!(
        browser.get(&kept_at)?.status == 404,
        "an empty draft is kept"
    );
    ensure!(browser.post(&path, &with(&form, &over))?.status == 303);
    let shown = network.hub.ok(&["record", "show", &id])?;
    ensure!(shown["status"] == "dispatched", "{shown}");
    // Commands say the same of a unit that is named twice.
    let other = network.hub.add(&[opinion("井盖松动")])?;
    let other = ids(&other)?.pop().context("nothing was added")?;
    network.hub.ok(&["record", "act", &other, "accept"])?;
    let input = json!({ "lead": "测试城管科", "co": ["测试城管科"] }).to_string();
    network
        .hub
        .feed(&["record", "act", &other, "dispatch", "--file", "-"], input)?
        .fails(3, "LX-3002")?;
    Ok(())
}

#[test]
fn history_has_old_and_new_and_whoever_loses_a_value_is_told() -> Result<()> {
    let mut network = Network::new()?;
    let id = id(&network.station, &opinion("路灯不亮"))?;
    network.station.ok(&["sync"])?;
    network.hub_stops()?;
    set(&network.station, &id, &json!({ "category": "complaint" }))?;
    set(&network.hub, &id, &json!({ "category": "suggestion" }))?;
    network.hub_back()?;
    network.station.ok(&["sync"])?;
    let (operator, _) = Browser::through(&link(&network.hub)?)?;
    let page = operator.get(&format!("/records/{id}"))?.body;
    ensure!(page.contains("“类别”有两种写法") && page.contains(&format!("/records/{id}/conflict")));
    let queue = operator.get("/conflicts")?.body;
    for said in [
        "两处写得不同",
        "写的电脑：EM1A、HUBA",
        "可由站点工作人员、街道人大工委选定",
    ] {
        ensure!(queue.contains(said), "{said}");
    }
    let page = operator.get(&format!("/records/{id}/conflict"))?.body;
    ensure!(page.contains("取甲") && page.contains("取乙") && !page.contains("合写"));
    // What somebody may not do is not offered to them.
    let added = network.hub.ok(&["account", "add", "承办", "U"])?;
    let secret = added["new_password"].as_str().context("no password")?;
    let unit = operator.login("承办", secret)?;
    let shown = unit.get(&format!("/records/{id}/conflict"))?.body;
    ensure!(shown.contains("投诉") && shown.contains("建议") && !shown.contains("取甲"));
    // The side of the hub is chosen.
    let bare = settled(&operator, &id, &[("category", "建议")], "")?;
    ensure!(
        bare.0 == 422 && bare.1.contains("请写一句为什么"),
        "{bare:?}"
    );
    let reason = "原话是请街道想办法";
    let seen = settled(
        &operator,
        &id,
        &[("category", "建议"), ("do", "preview")],
        reason,
    )?;
    ensure!(seen.0 == 200 && seen.1.contains("还没有存"), "{seen:?}");
    ensure!(
        seen.1
            .contains("<p class=\"val\" id=\"c-category-result\">建议</p>"),
        "the result is not shown"
    );
    let before = operator.get(&format!("/records/{id}/conflict"))?.body;
    ensure!(before.contains(reason), "what was typed is not kept");
    let taken = settled(&operator, &id, &[("category", "建议")], reason)?;
    ensure!(
        taken == (303, format!("/records/{id}?did=settle")),
        "{taken:?}"
    );
    network.station.ok(&["sync"])?;
    let _daemon = network.station.run(LOOPBACK)?;
    let (clerk, _) = Browser::through(&link(&network.station)?)?;
    for browser in [&operator, &clerk] {
        let history = browser.get(&format!("/records/{id}?tab=history"))?.body;
        ensure!(history.contains("<del>求助</del>") && history.contains("<ins>投诉</ins>"));
        ensure!(
            history.contains("<del>投诉</del> / <del>建议</del>")
                || history.contains("<del>建议</del> / <del>投诉</del>")
        );
        ensure!(history.contains("<ins>建议</ins>") && history.contains("两种写法选定一种"));
        ensure!(history.contains("选定一种写法") && history.contains("<b>登记</b>"));
        let way = browser.get(&format!("/records/{id}?tab=way"))?.body;
        ensure!(way.contains("原话是请街道想办法"));
    }
    let told = "您填的“类别”没有采用";
    ensure!(!operator.get("/")?.body.contains(told), "who won is told");
    let home = clerk.get("/")?.body;
    ensure!(home.contains(told));
    let inbox = clerk.get("/inbox")?.body;
    ensure!(
        inbox.contains(told) && !inbox.contains("路灯"),
        "words in a message"
    );
    let noticed = home
        .split("action=\"/noticed/")
        .nth(1)
        .and_then(|it| it.get(..64));
    let noticed = format!("/noticed/{}", noticed.context("no button")?);
    // Nobody takes it away from somebody else.
    ensure!(operator.post(&noticed, "")?.status == 303);
    network.station.ok(&["reproject"])?;
    ensure!(clerk.get("/")?.body.contains(told));
    ensure!(clerk.post(&noticed, "")?.status == 303);
    ensure!(!clerk.get("/")?.body.contains(told));
    network.station.ok(&["reproject"])?;
    ensure!(
        !clerk.get("/")?.body.contains(told),
        "lists made anew tell it once more"
    );
    Ok(())
}

#[test]
fn words_of_two_are_written_anew_in_two_windows_and_a_choice_is_taken_back() -> Result<()> {
    let mut network = Network::new()?;
    let id = id(&network.station, &opinion("路灯不亮"))?;
    network.station.ok(&["sync"])?;
    network.hub_stops()?;
    let ours = json!({ "place": { "text": "三号楼东侧，第一盏。" }, "people_count": 3 });
    let theirs = json!({ "place": { "text": "三号楼东侧，第二盏。" }, "urgency": "urgent" });
    set(&network.station, &id, &ours)?;
    set(&network.hub, &id, &theirs)?;
    network.hub_back()?;
    network.station.ok(&["sync"])?;
    let (operator, _) = Browser::through(&link(&network.hub)?)?;
    let path = format!("/records/{id}/conflict");
    let form = format!("action=\"{path}\"");
    let page = operator.get(&path)?.body;
    ensure!(page.contains("三号楼东侧，<mark>第一盏。</mark>"), "{page}");
    for said in ["合写", "都保留", "id=\"h-merged\"", "紧急"] {
        ensure!(page.contains(said), "{said}");
    }
    let record = operator.get(&format!("/records/{id}"))?.body;
    ensure!(record.contains("已自动合并") && record.contains("“事发地点”有两种写法"));
    // Two windows show it. What the first one writes takes the other's ground away, and no word of it.
    let first = hidden(&page, &form)?;
    let second = hidden(&operator.get(&path)?.body, &form)?;
    let words = [
        ("pick:place.text", "write"),
        ("words:place.text", "三号楼东侧，两盏都坏。"),
    ];
    let sent = with(&first, &words);
    for _ in 0..2 {
        // Sent twice, or after a step back, it is one change.
        let answer = operator.post(&path, &sent)?;
        ensure!(answer.status == 303, "{} {}", answer.status, answer.body);
    }
    let late = [
        ("pick:place.text", "write"),
        ("words:place.text", "另一句话。"),
    ];
    let late = operator.post(&path, &with(&second, &late))?;
    ensure!(late.status == 409 && late.body.contains("另一句话。"));
    let shown = network.hub.ok(&["record", "show", &id])?;
    ensure!(
        shown["fields"]["place"]["text"] == "三号楼东侧，两盏都坏。",
        "{shown}"
    );
    ensure!(shown["conflicts"] == json!([]), "{shown}");
    let events = shown["events"].as_array().context("no events")?;
    let chose = events.iter().filter(|event| event["event"] == "settle");
    ensure!(chose.count() == 1, "{shown}");
    // Taken back, one of the two stands there again.
    let page = operator.get(&path)?.body;
    ensure!(page.contains("撤回选定") && page.contains("改回“三号楼东侧，第一盏。”"));
    let unsettle = format!("/records/{id}/unsettle");
    let back = hidden(&page, &format!("action=\"{unsettle}\""))?;
    let mut side = page.split("name=\"pick:place.text\" value=\"").skip(1);
    let side = side.find(|it| {
        let label = it.split("</label>").next();
        label.is_some_and(|label| label.contains("第一盏"))
    });
    let pick = side.and_then(|it| it.get(..64)).context("no value")?;
    let answer = operator.post(&unsettle, &with(&back, &[("pick:place.text", pick)]))?;
    ensure!(answer.header("location") == Some(format!("/records/{id}?did=unsettle").as_str()));
    let shown = network.hub.ok(&["record", "show", &id])?;
    ensure!(
        shown["fields"]["place"]["text"] == "三号楼东侧，第一盏。",
        "{shown}"
    );
    ensure!(!operator.get(&path)?.body.contains("撤回选定"));
    // The station hears of what was done with its matter, without a line.
    let refused = json!({ "not_accepted_reason": "other", "referral_text": "请向物业反映" });
    let act = ["record", "act", &id, "refuse", "--file", "-"];
    network.hub.feed(&act, refused.to_string())?.exits(0)?;
    network.station.ok(&["sync"])?;
    network.hub_stops()?;
    let _daemon = network.station.run(LOOPBACK)?;
    let (clerk, _) = Browser::through(&link(&network.station)?)?;
    until("the messages do not come", || {
        let inbox = clerk.get("/inbox")?.body;
        Ok(inbox.contains("没有受理") && inbox.contains("又采用了"))
    })?;
    let inbox = clerk.get("/inbox")?.body;
    ensure!(
        !inbox.contains("第一盏") && !inbox.contains("物业"),
        "words in a message"
    );
    ensure!(clerk.post("/inbox", "")?.status == 303);
    ensure!(clerk.get("/inbox")?.body.contains("没有新消息"));
    ensure!(clerk.get("/inbox?seen=1")?.body.contains("又采用了"));
    Ok(())
}

#[test]
fn the_office_is_told_too_when_a_station_chooses_against_it() -> Result<()> {
    let mut network = Network::new()?;
    let id = id(&network.station, &opinion("路灯不亮"))?;
    network.station.ok(&["sync"])?;
    network.hub_stops()?;
    set(&network.station, &id, &json!({ "category": "complaint" }))?;
    set(&network.hub, &id, &json!({ "category": "suggestion" }))?;
    network.hub_back()?;
    network.station.ok(&["sync"])?;
    let _daemon = network.station.run(LOOPBACK)?;
    let (clerk, _) = Browser::through(&link(&network.station)?)?;
    let taken = settled(&clerk, &id, &[("category", "投诉")], "问过本人")?;
    ensure!(taken.0 == 303, "{taken:?}");
    network.station.ok(&["sync"])?;
    let (operator, _) = Browser::through(&link(&network.hub)?)?;
    let told = "您填的“类别”没有采用";
    ensure!(
        operator.get("/")?.body.contains(told),
        "the office is not told"
    );
    ensure!(!clerk.get("/")?.body.contains(told), "who won is told");
    // The printed ledger says which it is, when, and has a place for names.
    let ledger = operator.get("/records?kind=opinion")?.body;
    for said in ["打印", "print-only print-head", "制表人", "审核人"] {
        ensure!(ledger.contains(said), "{said}");
    }
    Ok(())
}

/// Orders a step for some records, and gives the page or place that answers.
fn several(
    browser: &Browser,
    code: &str,
    ids: &[&str],
    more: &[(&str, &str)],
) -> Result<(u16, String)> {
    let mut pairs: Vec<(&str, &str)> = vec![("step", code)];
    pairs.extend(ids.iter().map(|id| ("id", *id)));
    pairs.extend(more);
    let answer = browser.post("/queue/several", &encoded(&pairs))?;
    let place = answer.header("location").unwrap_or_default().to_owned();
    Ok((
        answer.status,
        if place.is_empty() { answer.body } else { place },
    ))
}

fn until(what: &str, holds: impl Fn() -> Result<bool>) -> Result<()> {
    let begun = now();
    while !holds()? {
        ensure!(begun.elapsed() < Duration::from_secs(40), "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

#[test]
fn several_are_shown_first_and_can_be_taken_back_until_they_are_done() -> Result<()> {
    const ORDER: &str = "00112233445566778899aabbccddeeff";
    const OTHER: &str = "ffeeddccbbaa99887766554433221100";
    const THIRD: &str = "0123456789abcdef0123456789abcdef";
    let mut network = Network::new()?;
    let added = network
        .hub
        .add(&[opinion("一号楼"), opinion("二号楼"), opinion("三号楼")])?;
    let ids = ids(&added)?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let [first, second, third] = ids.as_slice() else {
        anyhow::bail!("three were added");
    };
    let status = |id: &str| -> Result<String> {
        let shown = network.hub.ok(&["record", "show", id])?;
        Ok(shown["status"].as_str().unwrap_or_default().to_owned())
    };
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let queue = browser.get("/queue")?.body;
    ensure!(queue.contains("value=\"opinion/accept\"") && queue.contains("name=\"id\""));
    let (shown, page) = several(&browser, "opinion/accept", &ids, &[])?;
    ensure!(shown == 200 && page.contains("第0001号 至 ") && page.contains("第0003号"));
    ensure!(status(first)? == "pending", "showing does nothing");
    // Nobody refuses a hundred with one press, nor takes a step that is none.
    for code in [
        "opinion/refuse",
        "opinion/settle",
        "opinion/unheard_of",
        "accept",
    ] {
        ensure!(
            several(&browser, code, &ids, &[("sure", "yes")])?.0 == 403,
            "{code}"
        );
    }
    let sure = |order| [("sure", "yes"), ("draft", order)];
    for _ in 0..2 {
        // Pressed twice, it is ordered once.
        let (status, place) = several(&browser, "opinion/accept", &ids, &sure(ORDER))?;
        ensure!(status == 303 && place == "/queue", "{status} {place}");
    }
    // Something else under the same id is not taken for it.
    ensure!(several(&browser, "opinion/accept", &[first], &sure(ORDER))?.0 == 400);
    let queue = browser.get("/queue")?.body;
    ensure!(queue.contains("受理 3 件：") && queue.contains("马上办理"));
    // The next numbers are those after what was ordered.
    let fourth = id(&network.hub, &opinion("四号楼"))?;
    let (_, page) = several(&browser, "opinion/accept", &[&fourth], &[])?;
    ensure!(page.contains("第0004号"), "{page}");
    let back = format!("/queue/several/{ORDER}/back");
    ensure!(browser.post(&back, "")?.header("location") == Some("/queue?said=back"));
    ensure!(!browser.get("/queue")?.body.contains("马上办理"));
    // What is ordered is carried out by a node that was stopped in between, each as it stands then.
    ensure!(several(&browser, "opinion/accept", &ids, &sure(OTHER))?.0 == 303);
    network.hub_stops()?;
    network.hub.ok(&["record", "act", second, "accept"])?;
    network.hub_back()?;
    let status = |id: &str| -> Result<String> {
        let shown = network.hub.ok(&["record", "show", id])?;
        Ok(shown["status"].as_str().unwrap_or_default().to_owned())
    };
    until("the order was never carried out", || {
        Ok(status(first)? == "accepted" && status(third)? == "accepted")
    })?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let queue = browser.get("/queue")?.body;
    ensure!(queue.contains("其中 1 件没有办成") && queue.contains("二号楼"));
    ensure!(
        browser
            .post(&format!("/queue/several/{OTHER}/back"), "")?
            .header("location")
            == Some("/queue?said=late")
    );
    ensure!(
        browser
            .post(&format!("/queue/several/{OTHER}/read"), "")?
            .status
            == 303
    );
    ensure!(!browser.get("/queue")?.body.contains("没有办成"));
    // Whoever orders comes back to where they picked, and nowhere else.
    let fifth = id(&network.hub, &opinion("五号楼"))?;
    let at = "/queue?view=opinion-registered&urgent=1&page=2";
    for (back, place) in [
        (at, at),
        ("//elsewhere.example/", "/queue"),
        ("/queue?a=\r\n", "/queue"),
    ] {
        let more = [("sure", "yes"), ("draft", THIRD), ("back", back)];
        let (_, page) = several(&browser, "opinion/accept", &[&fifth], &more[2..])?;
        ensure!(
            page.contains(&format!(
                "name=\"back\" value=\"{}\"",
                place.replace('&', "&#38;")
            )),
            "{page}"
        );
        ensure!(
            several(&browser, "opinion/accept", &[&fifth], &more)?.1 == place,
            "{back}"
        );
    }
    // A step with something to fill in: what is missing is said, and what was typed stays.
    let (status, page) = several(
        &browser,
        "opinion/dispatch",
        &ids,
        &[("sure", "yes"), ("text", "请三日内答复")],
    )?;
    ensure!(status == 422 && page.contains("请三日内答复"));
    // It comes again, whichever are picked next.
    let (_, page) = several(&browser, "opinion/dispatch", &[first], &[])?;
    ensure!(page.contains("请三日内答复"), "the words are gone");
    let (status, _) = several(
        &browser,
        "opinion/dispatch",
        &ids,
        &[
            ("sure", "yes"),
            ("lead", "测试城管科"),
            ("due_on", "2099-01-05"),
            ("text", "请三日内答复"),
        ],
    )?;
    ensure!(status == 303);
    Ok(())
}

#[test]
fn the_queue_has_the_most_pressing_first_and_tells_what_is_due() -> Result<()> {
    let network = Network::new()?;
    let mut urgent = opinion("燃气味重");
    urgent["urgency"] = json!("urgent");
    let mut other = opinion("怎样办证");
    other["category"] = json!("consult");
    let added = network.hub.add(&[opinion("一号楼"), other, urgent])?;
    let ids = ids(&added)?;
    let soon = after("2d")?;
    for (at, due) in [(0, soon.as_str()), (1, "2020-01-01")] {
        let id = ids.get(at).context("no id")?;
        network.hub.ok(&["record", "act", id, "accept"])?;
        let step = json!({ "lead": "测试城管科", "due_on": due }).to_string();
        network
            .hub
            .feed(&["record", "act", id, "dispatch", "--file", "-"], step)?
            .exits(0)?;
    }
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let titles = |asked: &str| -> Result<Vec<&str>> {
        let page = browser.get(&format!("/queue?{asked}"))?.body;
        let rows = page.split("<tbody").nth(1).unwrap_or_default();
        let mut found: Vec<_> = ["燃气味重", "一号楼", "怎样办证"]
            .into_iter()
            .filter_map(|title| Some((rows.find(title)?, title)))
            .collect();
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, title)| title).collect())
    };
    ensure!(
        titles("")? == ["燃气味重", "怎样办证", "一号楼"],
        "{:?}",
        titles("")?
    );
    ensure!(titles("urgent=1")? == ["燃气味重"]);
    ensure!(titles("category=consult")? == ["怎样办证"]);
    ensure!(titles("view=over")? == ["怎样办证"] && titles("view=soon")? == ["一号楼"]);
    ensure!(titles("view=over&urgent=1")?.is_empty());
    let page = browser
        .get("/queue?view=opinion-dispatched&category=complaint")?
        .body;
    ensure!(
        page.contains("没有符合条件的") && !page.contains("燃气味重"),
        "another view is shown"
    );
    let page = browser.get("/queue?page=50")?.body;
    ensure!(
        page.contains("燃气味重"),
        "a page past the end says that nothing waits"
    );
    // What is no code of ours is no filter, and goes into no address.
    let page = browser.get("/queue?category=%22%3E&site=x&order=y")?.body;
    ensure!(page.contains("燃气味重") && !page.contains("order=y"));
    let home = browser.get("/")?.body;
    for (href, count) in [("/queue?view=soon", 1), ("/queue?view=over", 1)] {
        let figure = home
            .split(&format!("href=\"{href}\""))
            .nth(1)
            .context("no figure")?;
        ensure!(
            figure
                .split("</b>")
                .next()
                .is_some_and(|it| it.ends_with(&format!(">{count}")))
        );
    }
    Ok(())
}

/// What the sub-district presses for and what somebody above watches over is told where whoever handles it looks; so is what an
/// inspection is to be answered by, which no status says.
#[test]
fn the_queue_says_what_is_pressed_for_and_what_an_inspection_waits_for() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let act = |id: &str, event: &str, input: Value| {
        let done = hub.feed(
            &["record", "act", id, event, "--file", "-"],
            input.to_string(),
        )?;
        done.exits(0).with_context(|| event.to_owned())
    };
    let matter = id(hub, &opinion("路灯不亮"))?;
    act(&matter, "accept", json!({}))?;
    act(&matter, "dispatch", json!({ "lead": "城管办" }))?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let queue = |view: &str| Ok::<_, anyhow::Error>(browser.get(&format!("/queue?{view}"))?.body);
    ensure!(!queue("")?.contains("已催办") && !queue("")?.contains("督办</span>"));
    act(&matter, "press", json!({ "text": "请尽快办理" }))?;
    act(&matter, "press", json!({ "text": "再催一次" }))?;
    let add = ["record", "add", "--kind", "supervision", "--file", "-"];
    let watched = json!({ "target": matter, "level": "sub_district", "decided_on": "2026-03-01" });
    let watched = ids(&hub.feed(&add, watched.to_string())?.exits(0)?)?
        .pop()
        .context("no id")?;
    let page = queue("")?;
    ensure!(
        page.contains("已催办 2 次") && page.contains("督办</span>"),
        "{page}"
    );
    act(&watched, "close", json!({}))?;
    ensure!(
        !queue("")?.contains("督办</span>"),
        "nobody watches over it any more"
    );

    let add = ["record", "add", "--kind", "inspection", "--file", "-"];
    let seen = json!({ "type": "inspection", "date": "2026-01-05", "report": "测试报告" });
    let seen = ids(&hub.feed(&add, seen.to_string())?.exits(0)?)?
        .pop()
        .context("no id")?;
    act(&seen, "record", json!({}))?;
    act(&seen, "confirm", json!({}))?;
    ensure!(!queue("view=over")?.contains(&seen));
    act(&seen, "forward", json!({ "forwarded_on": "2026-02-02" }))?;
    let page = queue("view=over")?;
    ensure!(
        page.contains(&format!("/records/{seen}?step=feed_back")),
        "{page}"
    );
    act(&seen, "feed_back", json!({ "feedback_on": "2026-06-30" }))?;
    ensure!(!queue("view=over")?.contains(&seen), "it was answered");
    // A problem that was found there has a date of its own.
    let add = ["record", "add", "--kind", "inspection_issue", "--file", "-"];
    let issue = json!({ "inspection": seen, "text": "台阶破损" });
    let issue = hub.feed(&add, issue.to_string())?.exits(0)?;
    let issue = ids(&issue)?.pop().context("no id")?;
    act(
        &issue,
        "forward",
        json!({ "unit": "城管办", "on": "2026-02-02" }),
    )?;
    let page = queue("view=over")?;
    ensure!(page.contains(&issue), "{page}");
    Ok(())
}

#[test]
fn a_consultation_is_closed_when_its_day_has_come_and_not_before() -> Result<()> {
    let network = Network::new()?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    for (title, day, waits) in [
        ("住宅电梯条例", "2099-01-05", false),
        ("养犬管理条例", "2020-01-05", true),
    ] {
        let law = json!([{ "draft_title": title, "site_due_on": day }]);
        let added = network
            .hub
            .feed(
                &[
                    "record",
                    "add",
                    "--kind",
                    "legis_consultation",
                    "--file",
                    "-",
                ],
                law.to_string(),
            )?
            .exits(0)?;
        let id = ids(&added)?.pop().context("nothing was added")?;
        network.hub.ok(&["record", "act", &id, "open"])?;
        let queue = browser.get("/queue")?.body;
        ensure!(queue.contains(title) == waits, "{title}");
        if waits {
            let (asked, place) = step(&browser, &id, "close_sites", &[])?;
            let page = browser.get(&place)?.body;
            ensure!(asked == 303 && page.contains("确定站点截止吗？"));
        }
    }
    Ok(())
}

#[test]
fn a_unit_is_chosen_from_the_register_and_what_is_written_beside_it_counts() -> Result<()> {
    let network = Network::new()?;
    let units = json!([{ "name": "测试城管科" }, { "name": "测试派出所" }]);
    let units = network
        .hub
        .feed(
            &["record", "add", "--kind", "org", "--file", "-"],
            units.to_string(),
        )?
        .exits(0)?;
    let unit = ids(&units)?.first().context("no unit")?.clone();
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    for (other, lead) in [("", unit.as_str()), ("测试街道应急办", "测试街道应急办")] {
        let id = id(&network.hub, &opinion("路灯不亮"))?;
        network.hub.ok(&["record", "act", &id, "accept"])?;
        let page = browser.get(&format!("/records/{id}"))?.body;
        ensure!(page.contains(&format!("type=\"radio\" name=\"lead\" value=\"{unit}\"")));
        let typed = [("lead", unit.as_str()), ("lead", other)];
        let (status, answer) = step(&browser, &id, "dispatch", &typed)?;
        ensure!(status == 303, "{answer}");
        let shown = network.hub.ok(&["record", "show", &id])?;
        ensure!(shown["fields"]["lead"] == lead, "{}", shown["fields"]);
    }
    Ok(())
}

#[test]
fn nothing_is_put_in_its_own_place_and_roles_hold_for_corrections() -> Result<()> {
    let network = Network::new()?;
    let added = network.hub.add(&[opinion("一号楼"), opinion("二号楼")])?;
    let ids = ids(&added)?;
    let [first, second] = ids.as_slice() else {
        anyhow::bail!("two were added");
    };
    let merge = |id: &str, into: &str| {
        let step = json!({ "merged_into": into }).to_string();
        network
            .hub
            .feed(&["record", "act", id, "merge", "--file", "-"], step)
    };
    merge(first, first)?.fails(3, "LX-3002")?;
    merge(first, "没有这一件")?.fails(3, "LX-3002")?;
    let deputy = json!([{ "name": "测试代表甲" }]).to_string();
    let deputy = network
        .hub
        .feed(
            &["record", "add", "--kind", "deputy", "--file", "-"],
            deputy,
        )?
        .exits(0)?;
    let deputy = self::ids(&deputy)?.pop().context("nothing was added")?;
    merge(first, &deputy)?.fails(3, "LX-3002")?;
    merge(first, second)?.exits(0)?;
    merge(second, first)?.fails(3, "LX-3002")?;
    let secret = network.hub.ok(&["account", "add", "承办"])?;
    let secret = secret["new_password"]
        .as_str()
        .context("no password")?
        .to_owned();
    network.hub.ok(&["account", "roles", "承办", "U"])?;
    set(&network.hub, second, &json!({ "urgency": "urgent" }))?;
    let change = json!({ "urgency": "normal" }).to_string();
    network
        .hub
        .feed(
            &["record", "set", second, "--file", "-", "--as", "承办"],
            change,
        )?
        .fails(6, "LX-7006")?;
    let (owner, _) = Browser::through(&link(&network.hub)?)?;
    let unit = owner.login("承办", &secret)?;
    let page = unit.get(&format!("/records/{second}"))?.body;
    ensure!(
        page.contains("二号楼") && !page.contains("/edit\""),
        "a correction is offered"
    );
    let tried = unit.post(&format!("/records/{second}/edit"), "urgency=normal")?;
    ensure!(tried.status == 403, "{}", tried.status);
    ensure!(
        owner
            .get(&format!("/records/{second}"))?
            .body
            .contains("/edit\"")
    );
    // A correction that changes nothing says so.
    let form = owner.get(&format!("/records/{second}/edit"))?.body;
    ensure!(form.contains("name=\"version\""));
    let same = owner.post(&format!("/records/{second}/edit"), "urgency=urgent&category=help&people_count=1&access=internal&identity_mode=anonymous&reply_wanted=none")?;
    let place = same.header("location").unwrap_or_default().to_owned();
    ensure!(place.ends_with("did=unchanged"), "{} {place}", same.status);
    ensure!(owner.get(&place)?.body.contains("没有改动"));
    // A link is whoever opens it, and nobody else.
    network
        .hub
        .call(&["open", "--as", "承办"])?
        .fails(4, "LX-6002")?;
    Ok(())
}

#[test]
fn a_consultation_says_how_much_came_from_each_site() -> Result<()> {
    let network = Network::new()?;
    let law = json!([{ "draft_title": "测试条例（草案）", "quota": 2 }]).to_string();
    let law = network
        .hub
        .feed(
            &[
                "record",
                "add",
                "--kind",
                "legis_consultation",
                "--file",
                "-",
            ],
            law,
        )?
        .exits(0)?;
    let law = ids(&law)?.pop().context("nothing was added")?;
    network.hub.ok(&["record", "act", &law, "open"])?;
    let comment =
        json!([{ "original_words": "三十分钟太久了。", "consultation": law }]).to_string();
    network
        .station
        .feed(
            &["record", "add", "--kind", "legis_comment", "--file", "-"],
            comment,
        )?
        .exits(0)?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let page = || -> Result<String> { Ok(browser.get(&format!("/records/{law}"))?.body) };
    ensure!(page()?.contains("0 条，要求 2 条"));
    network.station.ok(&["sync"])?;
    ensure!(page()?.contains("1 条，要求 2 条"));
    Ok(())
}

/// Two of one name stand in no record's place: whoever adds the second is told before, on the page and by command.
#[test]
fn a_name_that_a_register_has_is_told_before_it_stands_there_twice() -> Result<()> {
    let network = Network::new()?;
    let add = |kind: &str, row: Value| {
        let add = ["record", "add", "--kind", kind, "--file", "-"];
        network.hub.feed(&add, row.to_string())?.exits(0)
    };
    let odds = |added: &Value| added["at_odds"].as_array().map_or(0, Vec::len);
    let community = || json!({ "name": "测试社区", "aliases": ["测试居委"] });
    let first = add("community", community())?;
    ensure!(odds(&first) == 0, "{first}");
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let look = |kind: &str, name: &str| -> Result<String> {
        let typed = encoded(&[("name", name)]);
        Ok(browser.post(&format!("/new/{kind}/look"), &typed)?.body)
    };
    for name in ["测试社区", "测试居委"] {
        ensure!(look("community", name)?.contains("/records/"), "{name}");
        let again = add("community", json!({ "name": name }))?;
        ensure!(odds(&again) == 1, "{again}");
    }
    ensure!(!look("community", "示例社区")?.contains("/records/"));
    ensure!(!look("deputy", "测试社区")?.contains("/records/"));
    Ok(())
}

#[test]
fn a_name_that_is_in_no_register_is_matched_once_for_all_records() -> Result<()> {
    const TYPED: &str = "小甲代表（测试）";
    let network = Network::new()?;
    let add = |device: &Device, kind: &str, row: Value| -> Result<String> {
        let input = json!([row]).to_string();
        let added = device.feed(&["record", "add", "--kind", kind, "--file", "-"], input)?;
        ids(&added.exits(0)?)?.pop().context("nothing was added")
    };
    let deputy = add(&network.hub, "deputy", json!({ "name": "测试代表甲" }))?;
    let other = add(&network.hub, "deputy", json!({ "name": "测试代表乙" }))?;
    let day = json!({ "date": "2026-03-10", "deputies_present": [TYPED, "测试代表乙"] });
    let reception = add(&network.station, "reception", day)?;
    let visit = json!({ "date": "2026-03-11", "mode": "home", "deputies": [TYPED] });
    let visit = add(&network.station, "visit", visit)?;
    for id in [&reception, &visit] {
        network.station.ok(&["record", "act", id, "record"])?;
    }
    network.station.ok(&["sync"])?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    // Whoever confirms is asked first, and told which name it is.
    let (_, place) = step(&browser, &reception, "confirm", &[])?;
    ensure!(place.ends_with("?step=confirm&ask=1#next"), "{place}");
    let asked = browser.get(&place)?.body;
    ensure!(asked.contains("有 1 个名字还没有对上名册") && asked.contains(TYPED));
    let names = browser.get("/names")?.body;
    ensure!(names.contains(TYPED) && names.contains("2 条记录里有"));
    ensure!(
        !names.contains("<b>测试代表乙</b>"),
        "a name of a register is asked for"
    );
    // One of several is not confirmed past the question.
    let (_, page) = several(&browser, "reception/confirm", &[&reception], &[])?;
    ensure!(
        page.contains("有 1 个名字还没有对上名册"),
        "several are confirmed unasked"
    );
    let listed = |id: &str| -> Result<bool> {
        let page = browser.get(&format!("/records/{id}"))?.body;
        Ok(page.contains(&format!("/records/{reception}"))
            && page.contains(&format!("/records/{visit}")))
    };
    ensure!(!listed(&deputy)?);
    let chosen = encoded(&[("name", TYPED), ("id", deputy.as_str())]);
    for _ in 0..2 {
        ensure!(browser.post("/names", &chosen)?.header("location") == Some("/names"));
    }
    ensure!(browser.get("/names")?.body.contains("名字都对得上"));
    // Nobody gets a name that is another's, whichever it is.
    for name in [TYPED, "测试代表甲"] {
        let theirs = encoded(&[("name", name), ("id", other.as_str())]);
        ensure!(browser.post("/names", &theirs)?.status == 400, "{name}");
    }
    ensure!(listed(&deputy)? && !listed(&other)?);
    let page = browser.get(&format!("/records/{reception}"))?.body;
    ensure!(
        page.contains(&format!("/records/{deputy}")),
        "the name leads nowhere"
    );
    // No record was changed for it, and nothing is asked any more.
    let shown = network.hub.ok(&["record", "show", &reception])?;
    ensure!(
        shown
            .pointer("/fields/deputies_present")
            .is_some_and(|it| it.to_string().contains(TYPED))
    );
    let (_, place) = step(&browser, &reception, "confirm", &[])?;
    ensure!(place.ends_with("?did=confirm"), "{place}");
    // A record that is in no register takes no name, and a station keeps none.
    let wrong = encoded(&[("name", TYPED), ("id", visit.as_str())]);
    ensure!(browser.post("/names", &wrong)?.status == 400);
    network.station.ok(&["sync"])?;
    let _daemon = network.station.run(LOOPBACK)?;
    let (clerk, _) = Browser::through(&link(&network.station)?)?;
    let theirs = encoded(&[("name", "别的名字"), ("id", deputy.as_str())]);
    ensure!(clerk.post("/names", &theirs)?.status == 403);
    ensure!(
        clerk.get("/names")?.status == 403,
        "a station is shown what it cannot do"
    );
    Ok(())
}
