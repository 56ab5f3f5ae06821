//! The pages from outside a browser: links that work once, drafts that survive a kill, one record for one
//! form whatever is sent twice, and what is turned away at the door. The browser's own journey is
//! `tests/browser/journey.mjs`.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::store::Store;
use lianxin_node::writer::Writer;
use lianxin_protocol::authority::{Cut, Order};
use lianxin_protocol::log::{LogId, Position};
use lianxin_tests::process::{CANARY, Device, LOOPBACK, Network, Scratch, text};
use serde_json::{Value, json};

/// One answer: status, head and body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).next()
    }
}

/// A browser that has one page open and keeps one cookie.
pub(super) struct Browser {
    address: String,
    cookie: String,
}

impl Browser {
    fn send(&self, head: &str, body: &[u8]) -> Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(head.as_bytes())?;
        // A server that has refused may not read on.
        drop(stream.write_all(body));
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok(Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    pub(super) fn ask(&self, method: &str, path: &str, more: &str, body: &str) -> Result<Answer> {
        let (host, cookie, length) = (&self.address, &self.cookie, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n{more}\r\n"
        );
        self.send(&head, body.as_bytes())
    }

    /// Sends a form with a file.
    fn upload(&self, path: &str, fields: &[(&str, &str)], file: &[u8]) -> Result<Answer> {
        let mut body = Vec::new();
        for (name, value) in fields {
            let part = format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
            body.extend(part.bytes());
        }
        let head =
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n";
        body.extend(head.bytes());
        body.extend_from_slice(file);
        body.extend(b"\r\n--b--\r\n");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {}\r\n\
             Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.cookie,
            body.len()
        );
        self.send(&head, &body)
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer> {
        self.ask("GET", path, "", "")
    }

    pub(super) fn post(&self, path: &str, body: &str) -> Result<Answer> {
        self.ask("POST", path, "", body)
    }

    /// Sends a form and goes where the answer leads.
    pub(super) fn follow(&self, path: &str, body: &str) -> Result<Answer> {
        let answer = self.post(path, body)?;
        ensure!(answer.status == 303, "{path}: {}", answer.status);
        self.get(answer.header("location").context("no place")?)
    }

    /// A browser that nobody is logged in with.
    pub(super) fn at(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").context("no link")?;
        Ok(Self {
            address: rest.split('/').next().unwrap_or_default().to_owned(),
            cookie: String::new(),
        })
    }

    /// Comes in through a link.
    pub(super) fn through(url: &str) -> Result<(Self, Answer)> {
        let rest = url.strip_prefix("http://").context("no link")?;
        let (address, path) = rest.split_once('/').context("no path")?;
        let mut browser = Self {
            address: address.to_owned(),
            cookie: String::new(),
        };
        let answer = browser.get(&format!("/{path}"))?;
        if let Some(cookie) = answer.header("set-cookie") {
            cookie
                .split(';')
                .next()
                .unwrap_or_default()
                .clone_into(&mut browser.cookie);
        }
        Ok((browser, answer))
    }
}

impl Browser {
    /// Another browser, in which somebody logs in with a password.
    pub(super) fn login(&self, name: &str, password: &str) -> Result<Self> {
        let mut other = Self {
            address: self.address.clone(),
            cookie: String::new(),
        };
        let form = encoded(&[("name", name), ("password", password)]);
        let answer = other.post("/login", &form)?;
        let cookie = answer.header("set-cookie").context("not let in")?;
        cookie
            .split(';')
            .next()
            .unwrap_or_default()
            .clone_into(&mut other.cookie);
        Ok(other)
    }
}

pub(super) fn link(device: &Device) -> Result<String> {
    let url = device.ok(&["open"])?["url"].as_str().map(str::to_owned);
    url.context("no link")
}

const DRAFT: &str = "00112233445566778899aabbccddeeff";

#[test]
fn a_link_lets_one_browser_in_once_and_passwords_are_not_needed_for_it() -> Result<()> {
    let network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let url = link(&network.station)?;
    // Programs that look at a link before a person does use nothing up.
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|it| it.split_once('/'))
        .context("no link")?;
    let looking = Browser {
        address: host.to_owned(),
        cookie: String::new(),
    };
    let looked = looking.ask("HEAD", &format!("/{path}"), "", "")?;
    ensure!(
        looked.status == 200 && looked.header("set-cookie").is_none(),
        "{}",
        looked.head
    );
    let (browser, answer) = Browser::through(&url)?;
    ensure!(answer.status == 303 && answer.header("location") == Some("/"));
    let cookie = answer.header("set-cookie").context("no cookie")?;
    ensure!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    ensure!(browser.get("/")?.status == 200);
    let (stranger, again) = Browser::through(&url)?;
    ensure!(
        again.status == 403 && stranger.cookie.is_empty(),
        "a link worked twice"
    );
    for path in ["/", "/records", "/events", "/states?ids=", "/settings"] {
        let answer = stranger.get(path)?;
        ensure!(
            answer.status == 303,
            "{path} without a login: {}",
            answer.status
        );
    }
    ensure!(browser.post("/logout", "")?.status == 303);
    ensure!(
        browser.get("/")?.status == 303,
        "still in after logging out"
    );
    daemon.stop()?;
    // Without a daemon the link waits for it, and the exit status says that something is missing.
    let waiting = network.station.call(&["open"])?.exits(1)?;
    let daemon = network.station.run(LOOPBACK)?;
    let path = waiting["url"]
        .as_str()
        .context("no link")?
        .rsplit('/')
        .next();
    let now = link(&network.station)?;
    let base = now.rsplit_once('/').context("no link")?.0;
    let (_, answer) = Browser::through(&format!("{base}/{}", path.unwrap_or_default()))?;
    ensure!(answer.status == 303, "the link did not wait");
    daemon.stop()
}

/// Browsers keep cookies by host and not by port: what listens on another port of 127.0.0.1 must not be shown the login
/// of these pages, nor must another device's pages on this computer.
#[test]
fn each_devices_pages_have_a_host_of_their_own() -> Result<()> {
    let network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let host = |device: &Device| -> Result<String> {
        let url = link(device)?;
        let host = url
            .strip_prefix("http://")
            .and_then(|it| it.split_once(':'));
        Ok(host.context("no host")?.0.to_owned())
    };
    let (one, other) = (host(&network.station)?, host(&network.hub)?);
    ensure!(one != other, "two devices share {one}");
    for host in [&one, &other] {
        let ip: std::net::Ipv4Addr = host.parse()?;
        ensure!(ip.is_loopback() && ip.octets()[1] >= 64, "{host}");
    }
    daemon.stop()
}

/// A log keeps what it is given: without a terminal no link that logs in is printed.
#[test]
fn a_link_is_shown_to_a_terminal_and_to_no_log() -> Result<()> {
    let network = Network::new()?;
    let mut command = std::process::Command::new(lianxin_tests::process::binary()?);
    command
        .args(["run", "--listen", LOOPBACK, "--web", LOOPBACK, "--data"])
        .arg(&network.station.directory)
        .env("LIANXIN_STATE", network.scratch.join("state"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn()?;
    let mut said = [0; 4_096];
    let mut all = String::new();
    while !all.contains("lianxin open") {
        let count = child
            .stdout
            .as_mut()
            .context("no stdout")?
            .read(&mut said)?;
        ensure!(count > 0, "it said {all}");
        all.push_str(&String::from_utf8_lossy(
            said.get(..count).unwrap_or_default(),
        ));
    }
    child.kill()?;
    child.wait()?;
    ensure!(all.contains("ready") && !all.contains("/login/"), "{all}");
    Ok(())
}

#[test]
fn what_is_typed_survives_a_kill_and_a_form_sent_twice_is_one_record() -> Result<()> {
    let network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(&network.station)?)?;
    let typed = format!("kind=opinion&draft={DRAFT}&body={CANARY}&place.community=EM");
    let kept = browser.post(&format!("/drafts/{DRAFT}"), &typed)?;
    ensure!(kept.status == 200, "not kept: {}", kept.status);
    daemon.kill()?;
    let daemon = network.station.run(LOOPBACK)?;
    let now = link(&network.station)?;
    let (browser, _) = Browser::through(&now)?;
    let draft = browser.get(&format!("/drafts/{DRAFT}"))?;
    ensure!(draft.body.contains(CANARY), "the draft is gone");
    // Wrong: everything is kept and named beside its field.
    let wrong = browser.post(
        "/new/opinion",
        &format!("{typed}&people_count=x&do=register"),
    )?;
    ensure!(wrong.status == 422 && wrong.body.contains(CANARY));
    ensure!(wrong.body.contains("f-category-err") && wrong.body.contains("f-people_count-err"));
    ensure!(
        network.station.records()?.is_empty(),
        "a wrong form was recorded"
    );
    let right = format!("{typed}&category=help&do=register");
    let first = browser.post("/new/opinion", &right)?;
    let again = browser.post("/new/opinion", &right)?;
    let id = |answer: &Answer| -> Result<String> {
        ensure!(answer.status == 303, "not registered: {}", answer.status);
        let place = answer.header("location").context("no place")?;
        let id = place.trim_start_matches("/records/").split('?').next();
        Ok(id.unwrap_or_default().to_owned())
    };
    ensure!(id(&first)? == id(&again)?, "two records of one form");
    ensure!(network.station.records()?.len() == 1);
    // Going back leads to the record, and never to a form that would make another.
    for path in [
        format!("/drafts/{DRAFT}"),
        format!("/new/opinion?draft={DRAFT}"),
    ] {
        let back = browser.get(&path)?;
        ensure!(back.status == 303 && id(&back)? == id(&first)?, "{path}");
    }
    // What another window still writes under it is another matter, and stays.
    let other = browser.post("/new/opinion", &right.replace(CANARY, "井盖"))?;
    ensure!(other.status == 409 && other.body.contains("井盖"));
    ensure!(
        other.body.contains(&id(&first)?),
        "nothing leads to the first"
    );
    let kept = browser.post(&format!("/drafts/{DRAFT}"), &typed.replace(CANARY, "楼道"))?;
    ensure!(kept.status == 200, "{}", kept.status);
    ensure!(network.station.records()?.len() == 1, "a second record");
    let home = browser.get("/")?;
    ensure!(
        !home.body.contains(DRAFT)
            && home.body.matches("class=\"title\" href=\"/drafts/").count() == 2,
        "the draft is left, or what was written beside it is not"
    );
    let late = browser.post(&format!("/drafts/{DRAFT}"), &right)?;
    ensure!(
        late.status == 409,
        "what is registered became a draft again"
    );
    ensure!(
        !daemon.log().contains(CANARY),
        "the log has the resident's words"
    );
    daemon.stop()
}

/// The names and values of a form's hidden inputs, as a browser sends them.
pub(super) fn hidden(page: &str, form: &str) -> Result<Vec<(String, String)>> {
    let form = page.split_once(form).context("no such form")?.1;
    let form = form.split_once("</form>").context("it does not end")?.0;
    let inputs = form.split("<input type=\"hidden\" ").skip(1);
    let value = |input: &str, name: &str| -> Result<String> {
        let rest = input
            .split_once(&format!("{name}=\""))
            .context("no value")?
            .1;
        Ok(rest.split('"').next().unwrap_or_default().to_owned())
    };
    inputs
        .map(|it| Ok((value(it, "name")?, value(it, "value")?)))
        .collect()
}

pub(super) fn with(hidden: &[(String, String)], typed: &[(&str, &str)]) -> String {
    let hidden = hidden
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    encoded(&hidden.chain(typed.iter().copied()).collect::<Vec<_>>())
}

/// A form that stood open says what it showed: others' changes stay, and where both changed a field, both are shown first.
#[test]
fn a_form_that_stood_open_writes_back_nothing_old() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let id = station.add(&[json!({
        "category": "help", "urgency": "normal", "people_count": 1, "body": "路灯不亮",
        "place": {"community": "测试社区"},
    })])?;
    let id = id["records"][0]["id"].as_str().context("no id")?.to_owned();
    let daemon = station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(station)?)?;
    let path = format!("/records/{id}/edit");
    let open = hidden(&browser.get(&path)?.body, "id=\"edit\"")?;
    ensure!(
        open.iter()
            .any(|(name, value)| name == "version" && value.len() == 16),
        "{open:?}"
    );
    let shown = [("category", "help"), ("place.community", "测试社区")];
    let send =
        |more: &[(&str, &str)]| browser.post(&path, &with(&open, &[&shown[..], more].concat()));
    let set =
        |change: Value| station.feed(&["record", "set", &id, "--file", "-"], change.to_string());
    let fields =
        || -> Result<Value> { Ok(station.ok(&["record", "show", &id])?["fields"].clone()) };
    set(json!({"urgency": "urgent"}))?.exits(0)?;
    // Untouched, it changes nothing.
    let same = send(&[("urgency", "normal"), ("people_count", "1")])?;
    ensure!(same.status == 303, "{}", same.status);
    ensure!(fields()?["urgency"] == "urgent");
    // One field is touched, another was changed elsewhere.
    let one = send(&[("urgency", "normal"), ("people_count", "7")])?;
    ensure!(one.status == 303, "{}", one.status);
    ensure!(fields()?["urgency"] == "urgent" && fields()?["people_count"] == 7);
    // Both touched the same: nothing is written, and the form comes again with what was typed and what is there.
    set(json!({"people_count": 3}))?.exits(0)?;
    let clash = send(&[("urgency", "normal"), ("people_count", "9")])?;
    ensure!(clash.status == 409, "{}", clash.status);
    ensure!(clash.body.contains("value=\"9\"") && clash.body.contains("f-people_count-err"));
    ensure!(fields()?["people_count"] == 3, "it was overwritten");
    // It was kept as a draft as well, and the next sending is meant.
    let again = browser.get(&path)?;
    ensure!(again.body.contains("value=\"9\""), "the draft is gone");
    ensure!(browser.get("/")?.body.contains("href=\"/drafts/"));
    let meant = hidden(&clash.body, "id=\"edit\"")?;
    let typed = [&shown[..], &[("urgency", "urgent"), ("people_count", "9")]].concat();
    let meant = browser.post(&path, &with(&meant, &typed))?;
    ensure!(meant.status == 303, "{}", meant.status);
    ensure!(fields()?["people_count"] == 9 && fields()?["urgency"] == "urgent");
    ensure!(
        !browser.get("/")?.body.contains("href=\"/drafts/"),
        "the draft is left"
    );
    // A version that nobody can read says nothing: what differs is asked.
    let mut wild = open.clone();
    for (_, value) in wild.iter_mut().filter(|(name, _)| name == "version") {
        *value = "f".repeat(16);
    }
    let typed = [&shown[..], &[("urgency", "urgent"), ("people_count", "2")]].concat();
    ensure!(browser.post(&path, &with(&wild, &typed))?.status == 409);
    ensure!(fields()?["people_count"] == 9);
    daemon.stop()
}

/// A step is taken once for each form; what cannot be taken any more keeps its words.
#[test]
fn a_step_that_is_sent_twice_is_one_and_one_that_came_too_late_keeps_its_words() -> Result<()> {
    let network = Network::new()?;
    let hub = network.daemon.as_ref().context("no hub")?;
    let added = network
        .hub
        .add(&[json!({ "category": "help", "body": "路灯不亮" })])?;
    let id = added["records"][0]["id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let page = browser.get(&format!("/records/{id}"))?.body;
    let form = |event: &str| format!("action=\"/records/{id}/steps/{event}\"");
    let events = || -> Result<usize> {
        let shown = network.hub.ok(&["record", "show", &id])?;
        Ok(shown["events"].as_array().map_or(0, Vec::len))
    };
    let supplement = with(&hidden(&page, &form("supplement"))?, &[("text", CANARY)]);
    let path = |event: &str| format!("/records/{id}/steps/{event}");
    ensure!(browser.post(&path("supplement"), &supplement)?.status == 303);
    let once = events()?;
    ensure!(browser.post(&path("supplement"), &supplement)?.status == 303);
    ensure!(events()? == once, "one form made two steps");
    // Somebody goes back and writes something else: that is another step.
    let other = supplement.replace(&encoded(&[("text", CANARY)]), &encoded(&[("text", "井盖")]));
    ensure!(browser.post(&path("supplement"), &other)?.status == 303);
    ensure!(events()? > once, "the second words are lost");
    // Two windows: the matter has moved on when the second sends its words.
    let refuse = with(
        &hidden(&page, &form("refuse"))?,
        &[
            ("not_accepted_reason", "litigation"),
            ("referral_text", CANARY),
        ],
    );
    ensure!(
        browser
            .post(
                &path("accept"),
                &with(&hidden(&page, &form("accept"))?, &[])
            )?
            .status
            == 303
    );
    let late = browser.post(&path("refuse"), &refuse)?;
    ensure!(late.status == 403 || late.status == 422, "{}", late.status);
    ensure!(late.body.contains(CANARY), "the words are lost");
    let later = browser.get(&format!("/records/{id}"))?;
    ensure!(later.body.contains(CANARY), "the words are gone afterwards");
    ensure!(!hub.log().contains(CANARY));
    Ok(())
}

/// A form stood open over night: the login has ended, and without JavaScript nobody has said so.
#[test]
fn what_is_sent_after_the_login_ended_is_kept_for_whoever_logs_in_again() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let added = station.add(&[json!({ "category": "help", "body": "路灯不亮" })])?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    let daemon = station.run(LOOPBACK)?;
    let (mut browser, _) = Browser::through(&link(station)?)?;
    let page = browser.get(&format!("/records/{id}"))?.body;
    let form = format!("action=\"/records/{id}/steps/supplement\"");
    let step = with(&hidden(&page, &form)?, &[("text", CANARY)]);
    let page = browser.get(&format!("/records/{id}/edit"))?.body;
    let edit = with(&hidden(&page, "id=\"edit\"")?, &[("place.text", CANARY)]);
    daemon.stop()?;
    let writer = Writer::open(&Store::open(&station.directory)?)?;
    let night = lianxin_node::clock::now_ms() - 13 * 60 * 60 * 1_000;
    let put_back = writer
        .connection()
        .execute("UPDATE logins SET seen_ms = ?1", [night])?;
    ensure!(put_back == 1, "no login is known");
    drop(writer);
    let daemon = station.run(LOOPBACK)?;
    let (again, _) = Browser::through(&link(station)?)?;
    browser.address.clone_from(&again.address);
    for (path, form) in [("steps/supplement", &step), ("edit", &edit)] {
        let kept = browser.post(&format!("/records/{id}/{path}"), form)?;
        let place = kept.header("location").unwrap_or_default().to_owned();
        ensure!(
            kept.status == 303 && place == format!("/login?to=/records/{id}"),
            "{place}"
        );
        ensure!(!kept.body.contains(CANARY));
    }
    let shown = station.ok(&["record", "show", id])?.to_string();
    ensure!(!shown.contains(CANARY), "it was done without a login");
    let page = again.get(&format!("/records/{id}"))?.body;
    ensure!(page.contains(CANARY), "the words of the step are gone");
    let page = again.get(&format!("/records/{id}/edit"))?.body;
    ensure!(
        page.contains(CANARY),
        "the words of the correction are gone"
    );
    daemon.stop()
}

#[test]
fn steps_and_corrections_name_who_and_only_what_is_different() -> Result<()> {
    let network = Network::new()?;
    let hub = network.daemon.as_ref().context("no hub")?;
    let added = network
        .hub
        .add(&[json!({ "category": "help", "body": "路灯不亮" })])?;
    let id = added["records"][0]["id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let empty = browser.post(&format!("/records/{id}/steps/refuse"), "")?;
    ensure!(empty.status == 422 && empty.body.contains("f-not_accepted_reason-err"));
    ensure!(
        browser
            .post(&format!("/records/{id}/steps/accept"), "")?
            .status
            == 303
    );
    let twice = browser.post(&format!("/records/{id}/steps/accept"), "")?;
    ensure!(twice.status == 403, "accepted twice: {}", twice.status);
    let form = "title=&category=help&urgency=urgent&identity_mode=anonymous&reply_wanted=none";
    ensure!(browser.post(&format!("/records/{id}/edit"), form)?.status == 303);
    let shown = network.hub.ok(&["record", "show", &id])?;
    ensure!(shown["status"] == "accepted" && shown["fields"]["urgency"] == "urgent");
    ensure!(
        shown["fields"]["body"] == "路灯不亮",
        "the resident's words were changed"
    );
    ensure!(!hub.log().contains("路灯"));
    Ok(())
}

#[test]
fn what_is_no_request_of_these_pages_is_turned_away_and_changes_nothing() -> Result<()> {
    let network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(&network.station)?)?;
    let host = &browser.address;
    for (head, wanted) in [
        (
            "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
            421,
        ),
        (
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
            421,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            421,
        ),
        (
            format!(
                "GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            ),
            421,
        ),
        (format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"), 421),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n",
                "x".repeat(100_000)
            ),
            431,
        ),
    ] {
        let answer = browser.send(&head, b"")?;
        ensure!(
            answer.status == wanted,
            "{} for {}",
            answer.status,
            &head[..40]
        );
    }
    for more in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        let answer = browser.ask("POST", "/logout", more, "")?;
        ensure!(answer.status == 403, "{more}: {}", answer.status);
    }
    ensure!(
        browser.get("/")?.status == 200,
        "a forged request logged out"
    );
    let long = format!("kind=opinion&body={}", "a".repeat(600 * 1024));
    ensure!(browser.post(&format!("/drafts/{DRAFT}"), &long)?.status == 413);
    let page = browser.ask("POST", "/new/opinion", "Accept: text/html\r\n", &long)?;
    ensure!(page.status == 413 && page.body.contains("这一次写的没有存下"));
    ensure!(
        browser
            .post("/drafts/not-an-id", "kind=opinion&body=a")?
            .status
            == 400
    );
    for path in [
        "/records/none",
        "/drafts/none",
        "/new/none",
        "/assets/none",
        "/none",
    ] {
        ensure!(browser.get(path)?.status == 404, "{path}");
    }
    for (path, body) in [
        ("/sites", "name=x&kind=workstation"),
        ("/sites/EM1/invites", "role=operator"),
    ] {
        let answer = browser.post(path, body)?;
        ensure!(
            answer.status == 403 || answer.body.contains("role=\"alert\""),
            "{path}"
        );
    }
    let page = browser.get("/login")?;
    let policy = page
        .header("content-security-policy")
        .context("no policy")?;
    ensure!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    ensure!(page.header("cache-control") == Some("no-store"));
    daemon.stop()
}

#[test]
fn a_hub_serves_its_pages_where_it_was_told_when_it_was_made() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = Device::new(scratch.join("hub"));
    // A port that is free now, on an address that nothing else here uses.
    let place = std::net::TcpListener::bind("127.0.0.31:0")?.local_addr()?;
    let web = place.to_string();
    let card = text(&scratch.join("card"))?;
    hub.call(&["hub", "init", "--name", "示例街", "--web", "192.0.2.1:80"])?
        .fails(4, "LX-4003")?;
    hub.ok(&[
        "hub",
        "init",
        "--name",
        "示例街",
        "--web",
        &web,
        "--recovery-out",
        &card,
    ])?;
    let daemon = hub.run(LOOPBACK)?;
    ensure!(link(&hub)?.starts_with(&format!("http://{web}/")));
    daemon.stop()
}

#[test]
fn wrong_passwords_are_slowed_down() -> Result<()> {
    let network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(&network.station)?)?;
    let set = browser.follow("/settings/accounts", "name=EM&password=a+long+enough+one")?;
    ensure!(set.status == 200 && set.body.contains("账号已添加"));
    let stranger = Browser {
        address: browser.address,
        cookie: String::new(),
    };
    // All at once: what is let in before the first answer must not all be tried.
    let tries = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| stranger.post("/login", "name=EM&password=wrong")))
            .collect();
        let answers = tries.into_iter().map(|it| it.join());
        answers
            .flatten()
            .flatten()
            .map(|it| it.status)
            .collect::<Vec<_>>()
    });
    let tried = tries.iter().filter(|status| **status == 403).count();
    let waits = tries.iter().filter(|status| **status == 429).count();
    // Two are hashed at a time, so one may pass beside the fifth.
    ensure!(
        tried <= 6 && tried + waits == 16,
        "16 wrong passwords at once: {tries:?}"
    );
    let right = stranger.post("/login", "name=EM&password=a+long+enough+one")?;
    ensure!(
        right.status == 429,
        "the wait does not hold for the right one"
    );
    daemon.stop()
}

/// A form's body: names and values as a browser sends them.
pub(super) fn encoded(pairs: &[(&str, &str)]) -> String {
    let value = |text: &str| -> String { text.bytes().map(|it| format!("%{it:02X}")).collect() };
    let pairs = pairs
        .iter()
        .map(|(name, text)| format!("{name}={}", value(text)));
    pairs.collect::<Vec<_>>().join("&")
}

/// What a browser sends of a field that shows a register: the boxes that are ticked, and the lines below them.
fn of_register<'a>(page: &'a str, name: &str) -> Result<Vec<&'a str>> {
    let boxes = page.split("<input type=\"checkbox\"").skip(1);
    let ticked = boxes.filter_map(|it| {
        let tag = it.split_once('>')?.0;
        let (_, rest) = tag.split_once("value=\"")?;
        let value = rest.split_once('"')?.0;
        let ours = tag.contains(&format!("name=\"{name}\""));
        (ours && tag.ends_with(" checked")).then_some(value)
    });
    let mut sent: Vec<_> = ticked.collect();
    let start = page.find(&format!("name=\"{name}\" rows="));
    let rest = page.get(start.context("no such field")?..);
    let (_, rest) = rest.and_then(|it| it.split_once('>')).context("no field")?;
    sent.push(rest.split_once("</textarea>").context("no field")?.0);
    Ok(sent)
}

fn register(device: &Device, kind: &str, rows: &Value) -> Result<Vec<String>> {
    let add = ["record", "add", "--kind", kind, "--file", "-"];
    let added = device.feed(&add, rows.to_string())?.exits(0)?;
    let ids = added["records"].as_array().into_iter().flatten();
    Ok(ids
        .filter_map(|it| it["id"].as_str().map(str::to_owned))
        .collect())
}

#[test]
fn a_correction_keeps_the_deputies_who_have_left_office_since() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let names = json!([{"name": "测试代表甲"}, {"name": "测试代表乙"}]);
    let deputies = register(hub, "deputy", &names)?;
    let first = deputies.first().context("no deputy")?;
    let day = json!([{"date": "2026-03-14", "deputies_present": [first]}]);
    let days = register(hub, "reception", &day)?;
    let day = days.first().context("no reception day")?;
    let left = json!({"active": false}).to_string();
    hub.feed(&["record", "set", first, "--file", "-"], left)?
        .exits(0)?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let form = browser.get(&format!("/records/{day}/edit"))?;
    let mut sent = vec![("date", "2026-03-14"), ("visitors_times", "3")];
    let shown = of_register(&form.body, "deputies_present")?;
    ensure!(shown == [first, ""], "{shown:?}");
    sent.extend(shown.into_iter().map(|it| ("deputies_present", it)));
    let sent = encoded(&sent);
    let answer = browser.post(&format!("/records/{day}/edit"), &sent)?;
    ensure!(answer.status == 303, "{}", answer.status);
    let shown = hub.ok(&["record", "show", day])?;
    ensure!(
        shown["fields"]["deputies_present"] == json!([first])
            && shown["fields"]["visitors_times"] == 3,
        "{}",
        shown["fields"]
    );
    Ok(())
}

#[test]
fn a_correction_never_makes_one_person_another_of_the_same_name() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let names = json!([{"name": "测试代表甲"}]);
    let first = register(hub, "deputy", &names)?;
    let first = first.first().context("no deputy")?;
    let day = json!([{"date": "2026-03-14", "deputies_present": [first]}]);
    let days = register(hub, "reception", &day)?;
    let day = days.first().context("no reception day")?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    browser.get(&format!("/records/{day}/edit"))?;
    // While the form is open, somebody of the same name comes into the register.
    let second = register(hub, "deputy", &names)?;
    let second = second.first().context("no deputy")?;
    let sent = encoded(&[("deputies_present", "测试代表甲"), ("visitors_times", "3")]);
    browser.post(&format!("/records/{day}/edit"), &sent)?;
    let shown = hub.ok(&["record", "show", day])?;
    ensure!(
        shown["fields"]["deputies_present"] == json!([first]),
        "{}",
        shown["fields"]
    );
    // From now on both are told apart, and each can be named.
    let form = browser.get(&format!("/records/{day}/edit"))?;
    let end = |id: &str| format!("测试代表甲 #{}", &id[id.len() - 6..]);
    ensure!(form.body.contains(&end(first)) && form.body.contains(&end(second)));
    let sent = encoded(&[("deputies_present", &end(second)), ("visitors_times", "3")]);
    browser.post(&format!("/records/{day}/edit"), &sent)?;
    let shown = hub.ok(&["record", "show", day])?;
    ensure!(
        shown["fields"]["deputies_present"] == json!([second]),
        "{}",
        shown["fields"]
    );
    Ok(())
}

#[test]
fn a_correction_keeps_a_site_whose_name_has_a_mark_of_enumeration() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let sites = register(
        hub,
        "site",
        &json!([{"name": "测试一、二居委会联络站", "type": "workstation"}]),
    )?;
    let site = sites.first().context("no site")?;
    let letter = json!([{"draft_title": "测试条例", "sites": [site]}]);
    let letters = register(hub, "legis_consultation", &letter)?;
    let letter = letters.first().context("no letter")?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let form = browser.get(&format!("/records/{letter}/edit"))?;
    let sent = of_register(&form.body, "sites")?;
    ensure!(sent == [site, ""], "{sent:?}");
    ensure!(form.body.contains("测试一、二居委会联络站"));
    // Its name in the lines below is that one as well, and not two of others.
    let sent = encoded(&[
        ("sites", "测试一、二居委会联络站"),
        ("draft_title", "测试条例二"),
    ]);
    browser.post(&format!("/records/{letter}/edit"), &sent)?;
    let shown = hub.ok(&["record", "show", letter])?;
    ensure!(
        shown["fields"]["sites"] == json!([site]) && shown["fields"]["draft_title"] == "测试条例二",
        "{}",
        shown["fields"]
    );
    Ok(())
}

#[test]
fn a_row_that_belongs_to_nothing_is_refused_and_named_beside_those_that_count() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let letters = register(
        hub,
        "legis_consultation",
        &json!([{"draft_title": "测试条例"}]),
    )?;
    let letter = letters.first().context("no letter")?;
    let nowhere = "01900000-0000-7000-8000-000000000000";
    let rows = json!([
        {"consultation": letter, "path": "第一条", "text": "测试。"},
        {"consultation": nowhere, "path": "第二条", "text": "测试。"},
    ]);
    let add = ["record", "add", "--kind", "draft_article", "--file", "-"];
    // Whoever is told that all was refused sends all of it again.
    let reply = hub.feed(&add, rows.to_string())?.exits(3)?;
    let (added, refused) = (&reply["records"], &reply["refused"]);
    ensure!(
        added.as_array().is_some_and(|it| it.len() == 1)
            && refused[0]["row"] == 2
            && refused[0]["code"] == "no_record",
        "{reply}"
    );
    let shown = hub.ok(&["record", "show", letter])?;
    let articles = &shown["fields"]["articles"];
    ensure!(
        articles.as_array().is_some_and(|it| it.len() == 1),
        "{articles}"
    );
    Ok(())
}

#[test]
fn a_draft_that_is_pasted_again_is_not_there_twice() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let letter = json!([{"draft_title": "测试条例"}]);
    let letters = register(hub, "legis_consultation", &letter)?;
    let letter = letters.first().context("no letter")?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let page = format!("/records/{letter}");
    browser.get(&page)?;
    let paste = |text: &str| browser.post(&format!("{page}/articles"), &encoded(&[("text", text)]));
    ensure!(paste("第一条 测试。\n第二条 测试。")?.status == 303);
    let twice = paste("第一条 测试。\n第二条 测试。")?;
    ensure!(twice.status == 400 && twice.body.contains("LX-3007"));
    ensure!(paste("第1条 测试。\n第三条 测试。")?.status == 422);
    ensure!(paste("第三条 测试。")?.status == 303);
    let shown = hub.ok(&["record", "show", letter])?;
    let articles = shown["fields"]["articles"].as_array();
    let paths = articles.into_iter().flatten().map(|it| it["path"].clone());
    let paths: Vec<_> = paths.collect();
    ensure!(paths == ["第一条", "第二条", "第三条"], "{paths:?}");
    // A comment on a paragraph stands under its article.
    let comment = json!([{
        "consultation": letter, "article_path": "第2条第一款", "original_words": "测试。",
    }]);
    let comments = register(hub, "legis_comment", &comment)?;
    let comment = comments.first().context("no comment")?;
    let shown = browser.get(&page)?.body;
    let place = |text: &str| shown.find(text).context("not on the page");
    let comment = place(&format!("/records/{comment}"))?;
    ensure!(place(">第二条<")? < comment && comment < place(">第三条<")?);
    Ok(())
}

#[test]
fn a_draft_law_comes_in_and_is_renewed_by_command() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let letter = json!([{"draft_title": "测试条例"}]);
    let letters = register(hub, "legis_consultation", &letter)?;
    let letter = letters.first().context("no letter")?;
    let take = ["record", "articles", letter, "-"];
    let renew = ["record", "articles", letter, "-", "--newer"];
    let text =
        "第一章 总则\n第一条 不变。\n第二条 会改。\n第三条 会换号：\n（一）甲；\n（二）乙。\n";
    let taken = hub.feed(&take, text)?.exits(0)?;
    ensure!(taken["articles"]["added"] == 3, "{taken}");
    let again = hub.feed(&take, text)?;
    ensure!(again.json["code"] == "LX-3007", "{}", again.json);
    let nothing = hub.feed(&take, "没有条文")?;
    ensure!(nothing.json["code"] == "LX-3002", "{}", nothing.json);
    // What is said of a clause that the draft has not is taken, and named.
    let comment = |path: &str| json!({"consultation": letter, "article_path": path, "original_words": "测试。"});
    let paths = ["第2条", "第三条第（二）项", "第三条第三项", "第九条"];
    let rows: Vec<_> = paths.iter().map(|path| comment(path)).collect();
    let add = ["record", "add", "--kind", "legis_comment", "--file", "-"];
    let added = hub.feed(&add, json!(rows).to_string())?.exits(0)?;
    let odd = added["at_odds"].as_array().context("no at_odds")?;
    let odd: Vec<_> = odd
        .iter()
        .map(|it| (it["row"].as_u64(), &it["field"]))
        .collect();
    let field = json!("article_path");
    ensure!(
        odd == [(Some(3), &field), (Some(4), &field)],
        "{}",
        added["at_odds"]
    );
    let id = |at: usize| added["records"][at]["id"].as_str().context("no id");
    let set = ["record", "set", id(3)?, "--file", "-"];
    let set = |path: &str| hub.feed(&set, json!({"article_path": path}).to_string());
    let still = set("第八条")?.exits(0)?;
    ensure!(still["at_odds"][0]["field"] == "article_path", "{still}");
    let right = set("第三条第一项")?.exits(0)?;
    ensure!(right["at_odds"] == json!([]), "{right}");
    // One article too long at the end, and those before it stay as they were.
    let before = hub.ok(&["record", "show", letter])?;
    let long = format!(
        "第一条 会改。\n第二条 会改。\n第五条 {}",
        "长".repeat(5_001)
    );
    let refused = hub.feed(&renew, &long)?;
    ensure!(refused.json["code"] == "LX-3002", "{}", refused.json);
    let after = hub.ok(&["record", "show", letter])?;
    ensure!(before == after, "{before} is {after}");
    let newer =
        "第一条 不变。\n第二条 改了。\n第四条 会换号：\n（一）甲；\n（二）乙。\n第五条 新加。";
    let renewed = hub.feed(&renew, newer)?.exits(0)?;
    let articles = json!({"added": 1, "moved": 1, "changed": 1, "gone": 0});
    ensure!(renewed["articles"] == articles, "{renewed}");
    let comments = json!({"carried": 3, "flagged": 1});
    ensure!(renewed["comments"] == comments, "{renewed}");
    let carried = hub.ok(&["record", "show", id(1)?])?;
    ensure!(
        carried["fields"]["article_path"] == "第四条第（二）项",
        "{carried}"
    );
    let same = hub.feed(&renew, newer)?;
    ensure!(same.json["code"] == "LX-3007", "{}", same.json);
    Ok(())
}

#[test]
fn what_a_newer_text_does_not_have_leaves_its_number_to_what_it_has() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let letters = register(
        hub,
        "legis_consultation",
        &json!([{"draft_title": "测试条例"}]),
    )?;
    let letter = letters.first().context("no letter")?;
    let take = |text: &str, more: &[&str]| {
        let words = ["record", "articles", letter.as_str(), "-"];
        hub.feed(&[words.as_slice(), more].concat(), text)
    };
    take("第一条 甲。\n第二条 旧的乙。\n第三条 丙。", &[])?.exits(0)?;
    let comment = |path: &str| json!({"consultation": letter, "article_path": path, "original_words": "测试。"});
    let rows = json!([
        comment("第二条"),
        comment("第三条"),
        comment("第一条和第三条")
    ]);
    let comments = register(hub, "legis_comment", &rows)?;
    let source = comments.get(1).context("no source")?;
    let item = json!([{
        "consultation": letter, "article_path": "第三条第一款", "text": "测试。", "sources": [source],
    }]);
    let items = register(hub, "legis_item", &item)?;
    let renewed = take("第一条 甲。\n第二条 丙。", &["--newer"])?.exits(0)?;
    let articles = json!({"added": 0, "moved": 1, "changed": 0, "gone": 1});
    ensure!(renewed["articles"] == articles, "{renewed}");
    // What names two articles is looked at by somebody; an item goes along as comments do.
    let counted = json!({"carried": 2, "flagged": 2});
    ensure!(renewed["comments"] == counted, "{renewed}");
    let of = |id: &String| -> Result<(Value, bool)> {
        let shown = hub.ok(&["record", "show", id])?;
        let marked = shown["overlays"] == json!(["needs_rebase"]);
        Ok((shown["fields"]["article_path"].clone(), marked))
    };
    let now: Vec<_> = comments
        .iter()
        .chain(&items)
        .map(of)
        .collect::<Result<_>>()?;
    let wanted = [
        (json!("第二条"), true),
        (json!("第二条"), false),
        (json!("第一条和第三条"), true),
        (json!("第二条第一款"), false),
    ];
    ensure!(now == wanted, "{now:?}");
    // Paper and forms speak of the one that stands, in the order of the text.
    let (browser, _) = Browser::through(&link(hub)?)?;
    let paper = browser.get(&format!("/records/{letter}/paper"))?.body;
    ensure!(
        paper.contains("丙。") && !paper.contains("旧的乙"),
        "{paper}"
    );
    let swapped = "第一条 新。\n第二条 甲。\n第三条 丙。";
    take(swapped, &["--newer"])?.exits(0)?;
    let paper = browser.get(&format!("/records/{letter}/paper"))?.body;
    let at = |text: &str| paper.find(text).with_context(|| format!("no {text}"));
    ensure!(
        at("新。")? < at("甲。")? && at("甲。")? < at("丙。")?,
        "{paper}"
    );
    // What was marked stays where it is until somebody has looked.
    let [marked, along, ..] = comments.as_slice() else {
        anyhow::bail!("too few");
    };
    ensure!(of(marked)? == (json!("第二条"), true));
    ensure!(of(along)? == (json!("第三条"), false));
    Ok(())
}

#[test]
fn what_was_said_of_an_older_text_elsewhere_is_asked_about_when_it_arrives() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let letters = register(
        hub,
        "legis_consultation",
        &json!([{"draft_title": "测试条例"}]),
    )?;
    let letter = letters.first().context("no letter")?;
    hub.feed(
        &["record", "articles", letter, "-"],
        "第一条 甲。\n第二条 乙。",
    )?
    .exits(0)?;
    hub.ok(&["record", "act", letter, "open"])?;
    network.station.ok(&["sync"])?;
    let comment = |path: &str| json!({"consultation": letter, "article_path": path, "original_words": "测试。"});
    let rows = json!([comment("第一条"), comment("第二条")]);
    let comments = register(&network.station, "legis_comment", &rows)?;
    // Meanwhile the second article becomes the third.
    let newer = "第一条 甲。\n第二条 新。\n第三条 乙。";
    hub.feed(&["record", "articles", letter, "-", "--newer"], newer)?
        .exits(0)?;
    network.station.ok(&["sync"])?;
    let [same, older] = comments.as_slice() else {
        anyhow::bail!("not two");
    };
    let word = |id: &str| {
        let words = json!({"legal_wording": "测试。"}).to_string();
        hub.feed(&["record", "act", id, "word", "--file", "-"], words)
    };
    let worded = word(same)?.exits(0)?;
    ensure!(worded.get("at_odds").is_none(), "{worded}");
    let (browser, _) = Browser::through(&link(hub)?)?;
    browser.get(&format!("/records/{older}"))?;
    let asked = browser.post(
        &format!("/records/{older}/steps/word"),
        &encoded(&[("legal_wording", "测试。")]),
    )?;
    let asked = asked.header("location").context("not asked")?;
    let asked = browser.get(asked.split('#').next().unwrap_or_default())?;
    ensure!(asked.body.contains("对旧稿的条文提的"), "{}", asked.body);
    let odd = word(older)?.exits(0)?;
    ensure!(odd["at_odds"][0]["field"] == "article_path", "{odd}");
    // The same text once more marks it.
    let again = hub.feed(&["record", "articles", letter, "-", "--newer"], newer)?;
    let again = again.exits(0)?;
    ensure!(again["comments"]["flagged"] == 1, "{again}");
    Ok(())
}

#[test]
fn a_comment_is_offered_the_clauses_of_its_article_and_told_of_one_that_is_not_there() -> Result<()>
{
    let network = Network::new()?;
    let hub = &network.hub;
    let letter = json!([{"draft_title": "测试条例"}]);
    let letters = register(hub, "legis_consultation", &letter)?;
    let letter = letters.first().context("no letter")?;
    let text = "第一条 一句话。\n第二条 本条例所称电梯，是指：\n（一）客梯；\n（二）货梯。\n扶梯依照执行。";
    hub.feed(&["record", "articles", letter, "-"], text)?
        .exits(0)?;
    let shown = hub.ok(&["record", "show", letter])?;
    let article = shown["fields"]["articles"][1]["id"]
        .as_str()
        .context("no id")?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let form = browser
        .get(&format!("/new/legis_comment?from={article}"))?
        .body;
    for clause in ["第二条第一款", "第二条第一款第二项", "第二条第二款"] {
        ensure!(
            form.contains(&format!("<option>{clause}</option>")),
            "{clause}"
        );
    }
    ensure!(!form.contains("没有这一条"), "{form}");
    let look = |path: &str| {
        let typed = [
            ("draft", "0123456789abcdef0123456789abcdef"),
            ("kind", "legis_comment"),
            ("consultation", letter.as_str()),
            ("article_path", path),
        ];
        browser.post("/new/legis_comment/look", &encoded(&typed))
    };
    ensure!(!look("第二条第二款")?.body.contains("没有这一条"));
    ensure!(look("第二条第三款")?.body.contains("没有这一条"));
    ensure!(look("第三条")?.body.contains("没有这一条"));
    Ok(())
}

#[test]
fn a_form_on_paper_is_registered_once_however_often_it_is_typed() -> Result<()> {
    let network = Network::new()?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let printed = browser.get("/new/opinion/paper?copies=3")?;
    ensure!(printed.status == 200, "{}", printed.status);
    let numbers = printed.body.split("<b class=\"code\" lang=\"en\">").skip(1);
    let numbers: Vec<_> = numbers.filter_map(|it| it.split('<').next()).collect();
    ensure!(
        numbers.len() == 3 && numbers.iter().all(|it| it.starts_with("YJ-")),
        "{numbers:?}"
    );
    ensure!(numbers[0] != numbers[1] && printed.body.contains("反映内容"));
    // However it is typed, it is one form.
    let typed = |number: &str| {
        let asked = encoded(&[("number", number)]);
        browser.get(&format!("/new/paper?{asked}"))
    };
    let to = |number: &str| -> Result<String> {
        let location = typed(number)?;
        Ok(location.header("location").context("nowhere")?.to_owned())
    };
    let form = to(numbers[0])?;
    ensure!(form.starts_with("/new/opinion?draft="), "{form}");
    ensure!(to(&numbers[0].to_lowercase().replace('-', ""))? == form);
    ensure!(to(numbers[1])? != form);
    let ids = form.split(['=', '&']).collect::<Vec<_>>();
    let &[_, draft, "paper", paper] = ids.as_slice() else {
        anyhow::bail!("{form}");
    };
    // In two windows, of which one was thrown away meanwhile: what is sent is sent as this paper.
    ensure!(
        browser
            .get(&form)?
            .body
            .contains(&format!("name=\"paper\" value=\"{paper}\""))
    );
    let begun = encoded(&[("paper", paper), ("kind", "opinion"), ("body", "测试小区")]);
    ensure!(browser.post(&format!("/drafts/{draft}"), &begun)?.status == 200);
    browser.post(&format!("/drafts/{draft}/discard"), "")?;
    ensure!(to(numbers[0])? == form);
    ensure!(
        browser.get(&form)?.body.contains("测试小区"),
        "what was thrown away does not come back"
    );
    let sent = [
        ("draft", draft),
        ("paper", paper),
        ("kind", "opinion"),
        ("category", "help"),
        ("body", "测试小区路灯不亮。"),
        ("test_data", "true"),
        ("do", "register"),
    ];
    let registered = browser.post("/new/opinion", &encoded(&sent))?;
    ensure!(registered.status == 303, "{}", registered.body);
    let record = registered.header("location").context("nowhere")?.to_owned();
    let record = record.split('?').next().context("no record")?;
    // Somebody types the same paper again, or had it open in another window all the time.
    let known = format!("{record}?note=again");
    ensure!(to(numbers[0])? == known);
    let again = browser.get(&form)?;
    ensure!(
        again.header("location") == Some(&known),
        "{:?}",
        again.header("location")
    );
    let other = [
        ("draft", "0123456789abcdef0123456789abcdef"),
        ("paper", paper),
        ("kind", "opinion"),
        ("category", "help"),
        ("body", "测试小区的路灯还是不亮。"),
        ("test_data", "true"),
        ("do", "register"),
    ];
    let other = browser.post("/new/opinion", &encoded(&other))?;
    ensure!(
        other.status == 409 && other.body.contains(record) && other.body.contains("还是不亮"),
        "{}",
        other.status
    );
    let listed = network.hub.ok(&["record", "list", "--kind", "opinion"])?;
    ensure!(listed["records"].as_array().is_some_and(|it| it.len() == 1));
    let wrong = typed("YJ-0000-0000-00")?;
    ensure!(
        wrong.status == 400 && wrong.body.contains("LX-3026"),
        "{}",
        wrong.status
    );
    ensure!(browser.get("/new/opinion/paper?copies=abc")?.status == 200);
    // A kind without letters of its own has none.
    ensure!(browser.get("/new/community/paper")?.status != 200);
    Ok(())
}

#[test]
fn comments_go_along_with_their_articles_into_a_newer_text_or_are_marked() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let letters = register(
        hub,
        "legis_consultation",
        &json!([{"draft_title": "测试条例"}]),
    )?;
    let letter = letters.first().context("no letter")?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let page = format!("/records/{letter}");
    browser.get(&page)?;
    let to = format!("{page}/articles");
    let paste = |text: &str| browser.post(&to, &encoded(&[("text", text)]));
    let newer = |text: &str| browser.post(&to, &encoded(&[("text", text), ("newer", "1")]));
    ensure!(paste("第一条 不变。\n第二条 会改。\n第三条 会换号。\n第四条 会删。")?.status == 303);
    let comment = |path: &str| json!({"consultation": letter, "article_path": path, "original_words": "测试。"});
    let paths = ["第一条", "第2条", "第三条第一款", "第四条", "第九条"];
    let rows: Vec<_> = paths.iter().map(|path| comment(path)).collect();
    let comments = register(hub, "legis_comment", &json!(rows))?;
    let all = "第一条 不变。\n第二条 改了。\n第三条 新加。\n第四条　会换号。\n";
    ensure!(newer(all)?.status == 303);
    let of = |comment: &String| -> Result<(String, bool)> {
        let shown = hub.ok(&["record", "show", comment])?;
        let path = shown["fields"]["article_path"].as_str().unwrap_or_default();
        let marked = shown["overlays"] == json!(["needs_rebase"]);
        Ok((path.to_owned(), marked))
    };
    let now: Vec<_> = comments.iter().map(of).collect::<Result<_>>()?;
    let wanted = [
        ("第一条", false),
        ("第2条", true),
        ("第四条第一款", false),
        ("第四条", true),
        ("第九条", false),
    ];
    let wanted: Vec<_> = wanted.map(|(path, it)| (path.to_owned(), it)).into();
    ensure!(now == wanted, "{now:?}");
    let shown = hub.ok(&["record", "show", letter])?;
    let articles = shown["fields"]["articles"].as_array().context("none")?;
    let texts = articles.iter().map(|it| {
        let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
        (text("path"), text("text"), it["gone"] == true)
    });
    let texts: Vec<_> = texts.collect();
    ensure!(texts.len() == 5, "{texts:?}");
    let has = |path: &str, text: &str, gone: bool| {
        let mut texts = texts.iter();
        texts.any(|it| it.0 == path && it.1 == text && it.2 == gone)
    };
    ensure!(
        has("第二条", "改了。", false) && has("第三条", "新加。", false),
        "{texts:?}"
    );
    ensure!(
        has("第四条", "会换号。", false) && has("第四条", "会删。", true),
        "{texts:?}"
    );
    ensure!(
        shown["fields"]["version_hash"]
            .as_str()
            .is_some_and(|it| it.len() == 16)
    );
    // The same text once more changes nothing, and marks nothing.
    let again = newer("第一条 不变。\n第二条 改了。\n第三条 新加。\n第四条 会换号。")?;
    ensure!(
        again.status == 400 && again.body.contains("LX-3007"),
        "{}",
        again.status
    );
    // An article that is taken out moves those behind it up, with what was said of them; one that comes back is there again.
    let moved = "第一条 不变。\n第二条 新加。\n第三条 会换号。";
    ensure!(newer(moved)?.status == 303);
    ensure!(
        of(&comments[2])?.0 == "第三条第一款",
        "{:?}",
        of(&comments[2])?
    );
    ensure!(newer("第一条 不变。\n第二条 改了。\n第三条 新加。\n第四条 会换号。")?.status == 303);
    ensure!(
        of(&comments[2])?.0 == "第四条第一款",
        "{:?}",
        of(&comments[2])?
    );
    let shown = hub.ok(&["record", "show", letter])?;
    let articles = shown["fields"]["articles"].as_array().context("none")?;
    let there = articles.iter().filter(|it| it["gone"].is_null());
    ensure!(there.count() == 4, "{articles:?}");
    // A file says the same as what is pasted.
    let gb = [
        0xb5, 0xda, 0xce, 0xe5, 0xcc, 0xf5, b' ', 0xd4, 0xf6, 0xa1, 0xa3,
    ];
    let file = browser.upload(&format!("{to}/file"), &[], &gb)?;
    ensure!(file.status == 303, "{}", file.status);
    let shown = hub.ok(&["record", "show", letter])?;
    ensure!(
        shown["fields"]["articles"][5]["path"] == "第五条",
        "{shown}"
    );
    let broken = browser.upload(&format!("{to}/file"), &[("newer", "1")], b"PK\x03\x04")?;
    ensure!(
        broken.status == 400 && broken.body.contains("LX-3025"),
        "{}",
        broken.status
    );
    ensure!(browser.upload(&format!("{to}/nothing"), &[], &gb)?.status == 404);
    // Whoever has looked takes the mark away; where there is none, there is nothing to take away.
    let (marked, unmarked) = (&comments[1], &comments[0]);
    let page = browser.get(&format!("/records/{marked}"))?.body;
    ensure!(page.contains("条文已变更") && page.contains("steps/rebase"));
    ensure!(
        !browser
            .get(&format!("/records/{unmarked}"))?
            .body
            .contains("steps/rebase")
    );
    let rebase = |comment: &str| hub.call(&["record", "act", comment, "rebase"]);
    rebase(unmarked)?.fails(6, "LX-3005")?;
    rebase(marked)?.exits(0)?;
    ensure!(!of(marked)?.1, "the mark is there still");
    Ok(())
}

#[test]
fn what_was_thrown_away_is_taken_back() -> Result<()> {
    let network = Network::new()?;
    let station = network.station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(&network.station)?)?;
    let draft = "0123456789abcdef0123456789abcdef";
    let kept = encoded(&[("draft", draft), ("kind", "opinion"), ("body", CANARY)]);
    ensure!(browser.post(&format!("/drafts/{draft}"), &kept)?.status < 300);
    ensure!(browser.get("/")?.body.contains(CANARY));
    browser.post(&format!("/drafts/{draft}/discard"), "")?;
    ensure!(
        !browser.get("/")?.body.contains(CANARY),
        "it is a draft still"
    );
    let trash = browser.get("/trash")?;
    ensure!(trash.status == 200 && trash.body.contains(CANARY));
    let back = browser.post(&format!("/trash/{draft}/restore"), "")?;
    ensure!(back.header("location") == Some(format!("/drafts/{draft}").as_str()));
    ensure!(
        browser.get("/")?.body.contains(CANARY) && !browser.get("/trash")?.body.contains(CANARY)
    );

    station.stop()?;

    // What stands in a register by mistake is meant by no name, and offered nowhere, until it is put back.
    let hub = &network.hub;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let units = register(
        hub,
        "org",
        &json!([{"name": "示例物业", "org_kind": "property"}]),
    )?;
    let unit = units.first().context("no unit")?;
    let rows = || -> Result<usize> {
        let list = browser.get("/records?kind=org")?.body;
        Ok(list.matches(&format!("/records/{unit}")).count())
    };
    ensure!(rows()? > 0);
    hub.ok(&["record", "act", unit, "remove"])?;
    ensure!(rows()? == 0, "it is listed still");
    ensure!(browser.get("/trash")?.body.contains("示例物业"));
    let again = register(
        hub,
        "org",
        &json!([{"name": "示例物业", "org_kind": "property"}]),
    )?;
    let added = hub.add(&[json!({"category": "help", "body": "路灯", "test_data": true})])?;
    let matter = added["records"][0]["id"].as_str().context("no id")?;
    hub.ok(&["record", "act", matter, "accept"])?;
    let dispatch = json!({"lead": "示例物业"}).to_string();
    hub.feed(
        &["record", "act", matter, "dispatch", "--file", "-"],
        dispatch,
    )?
    .exits(0)?;
    let shown = hub.ok(&["record", "show", matter])?;
    let meant = shown["refers"]["示例物业"]["id"].as_str();
    ensure!(meant == again.first().map(String::as_str), "{shown}");
    hub.ok(&["record", "act", unit, "restore"])?;
    ensure!(rows()? > 0);
    Ok(())
}

/// A hub that holds back what a station recorded beyond its cut, and how far the cut was.
fn held_back(network: &mut Network) -> Result<()> {
    let daemon = network.station.run(LOOPBACK)?;
    network
        .station
        .add(&[json!({ "title": "剪断以前", "body": "以前", "category": "help" })])?;
    network.station.ok(&["sync"])?;
    network
        .station
        .add(&[json!({ "title": "剪断以后", "body": "以后的路灯", "category": "help" })])?;
    network.station.ok(&["sync"])?;
    daemon.stop()?;
    network.hub_stops()?;
    let mut writer = Writer::open(&Store::open(&network.hub.directory)?)?;
    let now = lianxin_node::clock::now_ms();
    let station: [u8; 32] = {
        let sql = "SELECT log FROM logs JOIN touches ON touches.entry >> 40 = logs.id LIMIT 1";
        writer.connection().query_row(sql, [], |row| row.get(0))?
    };
    let log = LogId(station);
    writer.transact(now, |journal, connection| {
        let author = journal.authors().get(&log).copied();
        let device = author.map_or(journal.identity().key(), |author| author.device);
        let sql = "SELECT min(entry) & 0xffffffffff FROM touches
                   WHERE record = (SELECT id FROM records ORDER BY record DESC LIMIT 1)";
        let len: u64 = connection.query_row(sql, [], |row| row.get(0))?;
        let run = journal.run_at(connection, &log, len)?;
        let first = run.entries.iter().find(|it| it.header.seq == len);
        let head = first.map(|it| it.header.prev).unwrap_or_default();
        let position = Position { len, head };
        let order = Order::Revoke {
            device,
            lost: true,
            cuts: vec![Cut { log, position }],
        };
        journal.order(connection, &[order], now)
    })?;
    writer.catch_up(|_| {})?;
    drop(writer);
    network.hub_back()
}

#[test]
fn what_is_held_back_is_looked_at_and_taken_at_the_hub_with_a_reason() -> Result<()> {
    let mut network = Network::new()?;
    held_back(&mut network)?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let begins = browser.get("/queue")?.body;
    ensure!(
        begins.contains("href=\"/quarantine\""),
        "nothing leads there"
    );
    let listed = browser.get("/records?state=quarantined")?.body;
    ensure!(listed.contains("剪断以后") && !listed.contains("剪断以前"));
    let all = browser.get("/quarantine")?.body;
    let at = all.find("/quarantine/").context("nothing is held back")?;
    let path: String = all[at..].chars().take_while(|it| *it != '"').collect();
    let one = browser.get(&path)?.body;
    for said in ["剪断以后", "以后的路灯", "停用", "name=\"reason\""] {
        ensure!(one.contains(said), "{said} is not said");
    }
    // Not without saying why.
    let refused = browser.post(&path, "reason=+")?;
    ensure!(refused.status == 200 && refused.body.contains("aria-invalid"));
    ensure!(browser.get("/quarantine")?.body.contains(&path));
    let taken = browser.post(&path, "reason=checked")?;
    ensure!(taken.status == 303, "{} {}", taken.status, taken.body);
    let after = browser.get("/quarantine")?.body;
    ensure!(!after.contains("/quarantine/"), "it is still there");
    let records = network.hub.records()?;
    ensure!(records.iter().all(|it| it["held"].is_null()), "{records:?}");
    let taken = records.iter().find(|it| it["title"] == "剪断以后");
    let id = taken
        .and_then(|it| it["id"].as_str())
        .context("no record")?;
    let way = browser.get(&format!("/records/{id}?tab=way"))?.body;
    ensure!(way.contains("checked"), "the reason is nowhere");
    network.hub_stops()
}
