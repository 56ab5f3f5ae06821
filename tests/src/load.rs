//! Load for the benchmarks: opinions as a clerk would type them, a hub as a process of its own, and whoever looks at its pages.
//!
//! Everything here is made up. Texts and choices come from a fixed source, so that every run has the same.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark may fail loudly"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::{Command, Write};
use lianxin_node::store::Store;
use lianxin_node::sync::join::{self, Line, Ticket};
use lianxin_node::writer::Writer;
use serde_json::{Value, json};

/// Saves of each record: it is made, and changed four times.
pub const SAVES: usize = 5;

/// The hub as its own process, so that its time and memory are its own.
#[derive(Debug)]
pub struct Hub {
    child: Child,
    /// Where devices reach it.
    pub address: SocketAddr,
    /// Where its pages are.
    pub pages: SocketAddr,
    login: String,
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Hub {
    /// Starts it, or any other device, on its data directory. The program must have been built.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(directory: &Path) -> Result<Self> {
        let mut binary = std::env::current_exe()?;
        binary.pop();
        binary.pop();
        binary.push("lianxin");
        let mut child = Process::new(&binary)
            .arg("--data")
            .arg(directory)
            .args([
                "run",
                "--listen",
                "127.0.0.1:0",
                "--web",
                "127.0.0.1:0",
                "--json",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("build {} first", binary.display()))?;
        let stdout = child.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)?;
        let address = ready["sync"].as_str();
        let address = address
            .with_context(|| format!("not started: {ready}"))?
            .parse()?;
        let pages = ready["web"].as_str().context("no pages")?.parse()?;
        let login = ready["login_url"].as_str().context("no login")?.to_owned();
        Ok(Self {
            child,
            address,
            pages,
            login,
        })
    }

    /// Seconds of processor time that it has used.
    #[must_use]
    pub fn cpu_s(&self) -> f64 {
        cpu_s(&format!("/proc/{}/stat", self.child.id()))
    }

    /// The most memory that it has had.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        peak_bytes(&format!("/proc/{}/status", self.child.id()))
    }
}

/// User and system time from proc(5), in seconds; a tick is 10 ms.
#[must_use]
pub fn cpu_s(stat: &str) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok());
    (ticks(12).unwrap_or_default() + ticks(13).unwrap_or_default()) / 100.0
}

/// The most memory that a process has had, from proc(5), in bytes.
#[must_use]
pub fn peak_bytes(status: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Deterministic text and choices.
#[derive(Debug)]
pub struct Words(pub u64);

impl Words {
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Chinese text: the more frequent a character's rank, the more often it comes, as in real text.
    pub fn text(&mut self, chars: usize) -> String {
        let pick = |value: u64| {
            let unit = (value >> 11) as f64 / (1_u64 << 53) as f64;
            let rank = (3_000_f64.powf(unit) - 1.0) as u32;
            char::from_u32(0x4e00 + rank * 7 % 20_000).unwrap_or('人')
        };
        (0..chars).map(|_| pick(self.next_u64())).collect()
    }

    /// One of these.
    pub fn one_of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.next_u64() % items.len() as u64).unwrap_or_default();
        items.get(at).copied().unwrap_or_default()
    }
}

/// A record as a clerk would type it, and what the four edits change.
#[must_use]
pub fn opinion(words: &mut Words, index: usize) -> (Value, [Value; SAVES - 1]) {
    let day = 1 + words.next_u64() % 28;
    let record = json!({
        "submission_id": format!("bench-{index}"),
        "title": words.text(18),
        "body": words.text(200),
        "channel": words.one_of(&["reception", "walk_in", "phone", "home_visit", "symposium"]),
        "category": words.one_of(&["consult", "help", "complaint", "suggestion"]),
        "topic": words.one_of(&["utilities", "traffic_parking", "property_mgmt", "environment"]),
        "occurred_on": format!("2026-03-{day:02}"),
        "place": { "community": words.one_of(&["测试社区", "示例社区"]), "text": words.text(12) },
        "identity_mode": "confidential",
        "person": { "call_name": "测试女士", "phone": format!("000-{index:04}-0001") },
        "reply_wanted": "phone",
        "people_count": 1 + words.next_u64() % 5,
        "deputies": [words.one_of(&["测试代表甲", "测试代表乙", "测试代表丙"])],
        "test_data": true,
    });
    let edits = [
        json!({ "urgency": "urgent" }),
        json!({ "topic": words.one_of(&["public_safety", "governance"]) }),
        json!({ "people_count": 6 + words.next_u64() % 10 }),
        json!({ "category": "report", "place": { "grid": format!("G{}", words.next_u64() % 40) } }),
    ];
    (record, edits)
}

/// Carries a command out on a store that nobody else has open.
///
/// # Errors
/// The command's own.
pub fn run(writer: &mut Writer, command: impl Into<Command>) -> Result<Value> {
    Ok(command.into().carry_out(writer)?.value)
}

/// An invite to a site of the hub whose store this is.
///
/// # Errors
/// The command's own.
pub fn invite(writer: &mut Writer, site: &str) -> Result<Ticket> {
    let invite = Write::InviteCreate {
        site: site.to_owned(),
        role: "station".to_owned(),
        expires_hours: 1,
    };
    let invite = run(writer, invite)?;
    Ok(Ticket::typed(
        invite["invite"].as_str().context("no invite")?,
    )?)
}

/// Has a device join.
///
/// # Errors
/// The hub does not let it in.
pub async fn join(directory: &Path, ticket: &Ticket, hub: &Hub) -> Result<()> {
    let address = hub.address.to_string();
    let joining = join::join(directory, ticket, Line::Hub(&address)).await?;
    joining.finish()?;
    Ok(())
}

/// Somebody who has logged in at a device's pages.
#[derive(Debug)]
pub struct Visitor {
    pages: SocketAddr,
    cookie: String,
}

/// Where an answer leads.
fn place(answer: &str) -> Option<&str> {
    let mut lines = answer.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| line.strip_prefix("location: ").map(str::trim))
}

/// How many records have texts that are not in a store's index yet: every search looks into them one by one.
///
/// # Errors
/// The store cannot be read.
pub fn not_searchable(directory: &Path) -> Result<u64> {
    let reader = Store::open(directory)?.reader()?;
    let sql = "SELECT count(*) FROM texts_of WHERE tokens IS NULL";
    Ok(reader.query_row(sql, [], |row| row.get(0))?)
}

impl Visitor {
    /// Logs in with the link that a device gave when it started.
    ///
    /// # Errors
    /// The device does not let them in.
    pub fn of(device: &Hub) -> Result<Self> {
        let path = device.login.splitn(4, '/').nth(3).context("no path")?;
        let mut visitor = Self {
            pages: device.pages,
            cookie: String::new(),
        };
        let answer = visitor.ask("GET", &format!("/{path}"), "")?;
        let cookie = answer.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let value = value.trim().split(';').next()?;
            name.eq_ignore_ascii_case("set-cookie")
                .then(|| value.to_owned())
        });
        visitor.cookie = cookie.context("no login")?;
        Ok(visitor)
    }

    /// Loads a page, and gives the bytes of the answer.
    ///
    /// # Errors
    /// It is not answered with 200.
    pub fn load(&self, path: &str) -> Result<usize> {
        let answer = self.ask("GET", path, "")?;
        let head = answer.lines().next().unwrap_or_default();
        ensure!(head.contains(" 200"), "{path}: {head}");
        Ok(answer.len())
    }

    /// Takes a list as a file, however long it is written, and gives the bytes of the answer.
    ///
    /// # Errors
    /// There is no file in the end.
    pub fn take(&self, path: &str) -> Result<usize> {
        let mut answer = self.ask("GET", path, "")?;
        while let Some(page) = place(&answer) {
            let page = format!("{}/file", page.trim_end_matches("/file"));
            std::thread::sleep(Duration::from_millis(20));
            answer = self.ask("GET", &page, "")?;
        }
        let head = answer.lines().next().unwrap_or_default();
        ensure!(head.contains(" 200"), "{path}: {head}");
        Ok(answer.len())
    }

    /// Searches the list for a text.
    ///
    /// # Errors
    /// It is not answered with 200.
    pub fn search(&self, text: &str) -> Result<usize> {
        let bytes = text.bytes().map(|byte| format!("%{byte:02X}"));
        let answer = self.ask(
            "POST",
            "/records",
            &format!("q={}", bytes.collect::<String>()),
        )?;
        // What was found has an address of its own.
        let answer = self.ask("GET", place(&answer).unwrap_or_default(), "")?;
        let head = answer.lines().next().unwrap_or_default();
        ensure!(head.contains(" 200"), "search: {head}");
        Ok(answer.len())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.pages)?;
        let host = self.pages;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.cookie,
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
