//! The demonstration's board: a cable that is cut is cut for every session, and the five steps tick by what has happened.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lianxin_tests::process::{LOOPBACK, PATIENCE, Scratch, binary, now};

use crate::pages::Browser;

/// A running demonstration. Dropped, it is killed.
struct Demo {
    child: Child,
    board: Browser,
}

impl Demo {
    fn new(scratch: &Scratch) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command
            .args(["demo", "--web", LOOPBACK, "--dir"])
            .arg(scratch.join("demo"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn()?;
        let said = child.stdout.take().context("no stdout")?;
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let url =
            lines.find_map(|line| Some(line.trim().to_owned()).filter(|it| it.starts_with("http")));
        let board = Browser::at(&url.context("no board")?)?;
        Ok(Self { child, board })
    }

    /// The board, once it is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = now() + PATIENCE;
        loop {
            let page = self.board.get("/")?.body;
            if wanted(&page) {
                return Ok(());
            }
            if now() > deadline {
                bail!("{what}: {page}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn press(&self, path: &str) -> Result<()> {
        ensure!(self.board.post(path, "")?.status == 303, "{path}");
        Ok(())
    }

    /// A browser that is logged in at a device.
    fn at(&self, code: &str) -> Result<Browser> {
        let answer = self.board.get(&format!("/devices/{code}/open"))?;
        Ok(Browser::through(answer.header("location").context("no link")?)?.0)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Steps that have ticked.
fn done(page: &str) -> usize {
    page.matches("<li class=\"did\"").count()
}

#[test]
fn a_cut_cable_is_cut_for_a_session_that_a_button_began_and_steps_tick_by_what_happened()
-> Result<()> {
    let scratch = Scratch::new()?;
    let demo = Demo::new(&scratch)?;
    demo.until("nothing was done yet", |page| done(page) == 0)?;
    demo.press("/devices/EM1A/record")?;
    demo.until("it goes to the hub by itself", |page| done(page) == 1)?;
    demo.press("/devices/EM1A/line")?;
    demo.until("the cut", |page| {
        done(page) == 2 && page.contains("class=\"cutoff\"")
    })?;
    demo.press("/devices/EM1A/record")?;
    demo.until("it waits", |page| {
        done(page) == 3 && page.contains("class=\"stuck first cutoff")
    })?;
    // The button of its own pages, and the hub's other end, bring nothing through.
    let clerk = demo.at("EM1A")?;
    let pressed = clerk.post("/sync", "")?;
    ensure!(
        pressed.body.contains("LX-2005") || pressed.body.contains("连不上"),
        "{}",
        pressed.body
    );
    std::thread::sleep(Duration::from_millis(500));
    demo.until("still there", |page| {
        page.contains("class=\"stuck first cutoff")
    })?;
    demo.press("/devices/EM1A/line")?;
    demo.until("both have arrived", |page| {
        done(page) == 4 && !page.contains("class=\"stuck")
    })?;
    // The hub's own cable cuts everyone off.
    demo.press("/devices/HUBA/line")?;
    demo.press("/devices/EM1B/record")?;
    demo.until("the second waits", |page| page.contains("class=\"stuck"))?;
    let pressed = demo.at("EM1B")?.post("/sync", "")?;
    ensure!(
        pressed.body.contains("LX-2005") || pressed.body.contains("连不上"),
        "{}",
        pressed.body
    );
    demo.press("/devices/HUBA/line")?;
    demo.until("it arrives", |page| !page.contains("class=\"stuck"))
}
