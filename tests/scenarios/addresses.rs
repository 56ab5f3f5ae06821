//! Searches and pages that show something once are addresses: going back and loading again show the same and make no second of anything, and
//! nothing that was typed stands in an address.

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{CANARY, LOOPBACK, Network, opinion};

use crate::pages::{Browser, link};

fn encoded(text: &str) -> String {
    text.bytes().map(|it| format!("%{it:02X}")).collect()
}

#[test]
fn a_search_has_an_address_of_its_own_for_the_login_that_made_it() -> Result<()> {
    let network = Network::new()?;
    network.station.add(&[opinion("one")])?;
    let daemon = network.station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(&network.station)?)?;
    let answer = browser.post("/records", &format!("q={}", encoded(CANARY)))?;
    let place = answer.header("location").context("no place")?.to_owned();
    ensure!(
        answer.status == 303 && place.starts_with("/search/"),
        "{place}"
    );
    for _ in 0..2 {
        let page = browser.get(&place)?;
        ensure!(page.status == 200 && page.body.contains(CANARY));
        ensure!(page.body.contains("data-record="), "nothing was found");
    }
    // Another login of the same account has searched for nothing.
    let (other, _) = Browser::through(&link(&network.station)?)?;
    let page = other.get(&place)?;
    ensure!(page.status == 303 && page.header("location") == Some("/records"));
    ensure!(browser.post("/logout", "")?.status == 303);
    ensure!(browser.get(&place)?.status == 303);
    daemon.stop()
}

#[test]
fn an_invite_is_made_once_however_often_its_form_is_sent_or_its_page_loaded() -> Result<()> {
    let network = Network::new()?;
    let before = network.hub.ok(&["invite", "list"])?;
    let count = |list: &serde_json::Value| list["invites"].as_array().map_or(0, Vec::len);
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let page = browser.get("/sites")?;
    let form = page.body.split("name=\"form\" value=\"").nth(1);
    let form = form
        .and_then(|rest| rest.split('"').next())
        .context("no form")?;
    let send = |role: &str, form: &str| -> Result<String> {
        let body = format!("role={role}&form={form}");
        let answer = browser.post("/sites/EM1/invites", &body)?;
        ensure!(answer.status == 303, "{}", answer.status);
        Ok(answer.header("location").context("no place")?.to_owned())
    };
    let place = send("station", form)?;
    ensure!(place == send("station", form)?, "twice is two");
    let secret = |place: &str| -> Result<String> {
        let page = browser.get(place)?;
        let code = page.body.split("class=\"secret code\" lang=\"en\">").nth(1);
        let code = code.and_then(|rest| rest.split('<').next());
        Ok(code.context("no code")?.to_owned())
    };
    ensure!(secret(&place)? == secret(&place)?);
    let file = browser.get(&format!("{place}/file"))?;
    let file: serde_json::Value = serde_json::from_str(&file.body)?;
    ensure!(file["invite"].as_str() == Some(&secret(&place)?), "{file}");
    let after = network.hub.ok(&["invite", "list"])?;
    ensure!(count(&after) == count(&before) + 1, "{after}");
    // The other form of the same page, and the same form of a page that was loaded anew, are others.
    let others = [send("laptop", form)?, send("station", "another")?];
    ensure!(others.iter().all(|other| *other != place) && others[0] != others[1]);
    let (other, _) = Browser::through(&link(&network.hub)?)?;
    let page = other.get(&place)?;
    ensure!(page.header("location") == Some("/sites?told=card"));
    ensure!(other.get("/sites?told=card")?.body.contains("再发一张"));
    Ok(())
}

#[test]
fn an_answer_to_a_slip_is_loaded_again_without_guessing_and_a_slip_without_printing() -> Result<()>
{
    let network = Network::new()?;
    let added = network.station.add(&[opinion("one")])?;
    let (id, number) = (&added["records"][0]["id"], &added["records"][0]["number"]);
    let (id, number) = (
        id.as_str().context("no id")?,
        number.as_str().context("no number")?,
    );
    let daemon = network.station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(&network.station)?)?;
    let answer = browser.post(&format!("/records/{id}/slip"), "")?;
    let place = answer.header("location").context("no place")?;
    let slip = browser.get(place)?;
    let code = slip.body.split("class=\"secret\"").nth(1);
    let code = code.and_then(|rest| rest.split("</p>").next());
    let pieces = code.context("no code")?.split("<span>").skip(1);
    let code: String = pieces.filter_map(|piece| piece.split('<').next()).collect();
    let wrong = browser.post("/lookup", &format!("number={number}&code=AAAAAAAA"))?;
    let wrong = wrong.header("location").context("no place")?;
    ensure!(!wrong.contains(number));
    for _ in 0..30 {
        ensure!(browser.get(wrong)?.body.contains("role=\"alert\""));
    }
    let right = browser.follow("/lookup", &format!("number={number}&code={code}"))?;
    ensure!(
        right.body.contains("h-standing"),
        "loading again was a guess"
    );
    daemon.stop()
}
