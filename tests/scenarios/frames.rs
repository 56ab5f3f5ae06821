//! Whatever goes wrong keeps the frame: which computer this is, and the menu of whoever is logged in, in their language.

use anyhow::{Result, ensure};
use lianxin_tests::process::{LOOPBACK, Network};

use crate::pages::{Browser, link};

#[test]
fn an_error_says_which_computer_this_is_in_the_language_of_whoever_looks() -> Result<()> {
    let network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(&network.station)?)?;
    let page = browser.get("/nowhere")?;
    ensure!(page.status == 404 && page.body.contains("LX-7004"));
    ensure!(page.body.contains("class=\"nav\"") && page.body.contains("测试站"));
    ensure!(page.body.contains("没有这个页面") && page.body.contains("EM1A"));
    // Turned away before a page was asked: the frame all the same.
    let page = browser.get("/logout")?;
    ensure!(page.status == 405 && page.body.contains("class=\"nav\""));
    let page = browser.post("/records/none/steps/accept", "x=%")?;
    ensure!(page.status >= 400 && page.body.contains("class=\"nav\""));
    // A script gets no page.
    let plain = browser.ask("GET", "/nowhere", "Accept: application/json\r\n", "")?;
    ensure!(plain.status == 404 && !plain.body.contains("<html"));
    let stranger = Browser::at(&link(&network.station)?)?;
    let page = stranger.get("/nowhere")?;
    ensure!(
        page.status == 404 && page.body.contains("EM1A") && !page.body.contains("class=\"nav\"")
    );
    ensure!(
        browser
            .post("/settings/taste", "language=en&keys=true")?
            .status
            == 303
    );
    let page = browser.get("/nowhere")?;
    ensure!(page.body.contains("lang=\"en\"") && page.body.contains("There is no such page"));
    daemon.stop()
}

#[test]
fn the_login_page_speaks_both_languages_and_names_the_computer() -> Result<()> {
    let network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let stranger = Browser::at(&link(&network.station)?)?;
    let page = stranger.get("/login")?;
    ensure!(
        page.body.contains("测试站") && page.body.contains("EM1A") && page.body.contains("登录")
    );
    let english = "Accept-Language: en-GB,en;q=0.9\r\n";
    let page = stranger.ask("GET", "/login", english, "")?;
    ensure!(page.body.contains("Log in") && page.body.contains("/login?lang=zh"));
    let wrong = stranger.ask("POST", "/login", english, "name=EM&password=wrong")?;
    ensure!(wrong.status == 403 && wrong.body.contains("Wrong account or password"));
    let chosen = stranger.get("/login?lang=en")?;
    let kept = chosen.header("set-cookie").unwrap_or_default();
    ensure!(kept.starts_with("lianxin_language=en"), "{kept}");
    ensure!(chosen.body.contains("Log in"));
    daemon.stop()
}

#[test]
fn help_follows_the_role() -> Result<()> {
    let network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let (clerk, _) = Browser::through(&link(&network.station)?)?;
    let (office, _) = Browser::through(&link(&network.hub)?)?;
    let (clerk, office) = (clerk.get("/help")?.body, office.get("/help")?.body);
    ensure!(clerk.contains("给登记单") && !clerk.contains("发入网卡"));
    ensure!(office.contains("发入网卡") && office.contains("转办") && !office.contains("给登记单"));
    daemon.stop()
}
