//! Under a service manager: ready once it answers, alive only while its store is, stopping when told.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{CANARY, Daemon, Device, LOOPBACK, PATIENCE, Scratch, now, opinion};
use rusqlite::Connection;

/// What the manager waits for a ping, in the tests.
const LIMIT: Duration = Duration::from_millis(400);

/// The manager's end of the line.
struct Manager {
    socket: UnixDatagram,
    path: std::path::PathBuf,
}

impl Manager {
    fn new(scratch: &Scratch) -> Result<Self> {
        let path = scratch.join("notify");
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { socket, path })
    }

    fn start(&self, device: &Device) -> Result<Daemon> {
        let mut command = device.command(&["run", "--listen", LOOPBACK])?;
        command
            .env("NOTIFY_SOCKET", &self.path)
            .env("WATCHDOG_USEC", LIMIT.as_micros().to_string());
        Device::start(command)
    }

    /// The next message, if one comes in time.
    fn hears(&self, patience: Duration) -> Result<Option<String>> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut buffer = [0; 4_096];
        match self.socket.recv(&mut buffer) {
            Ok(count) => {
                let said = buffer.get(..count).unwrap_or_default();
                Ok(Some(String::from_utf8(said.to_vec())?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn must_hear(&self, line: &str) -> Result<String> {
        let said = self.hears(PATIENCE)?;
        let said = said.with_context(|| format!("silence where {line} was expected"))?;
        ensure!(said.lines().any(|it| it == line), "{said} is not {line}");
        Ok(said)
    }
}

fn hub(scratch: &Scratch) -> Result<Device> {
    let hub = Device::new(scratch.join("hub"));
    hub.ok(&["hub", "init", "--name", &format!("示例街道{CANARY}")])?;
    hub.add(&[opinion("supervised")])?;
    Ok(hub)
}

#[test]
fn a_manager_hears_ready_then_pings_then_stopping() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = hub(&scratch)?;
    let manager = Manager::new(&scratch)?;
    let daemon = manager.start(&hub)?;
    let address = daemon.address;

    let first = manager.must_hear("READY=1")?;
    ensure!(
        first.contains(&format!("\nSTATUS=sync on {address}")),
        "{first}"
    );
    let mut heard = first;
    let started = now();
    for _ in 0..4 {
        heard.push_str(&manager.must_hear("WATCHDOG=1")?);
    }
    // Twice within each limit, neither in a burst nor too late.
    let took = started.elapsed();
    ensure!(took >= LIMIT && took < LIMIT * 6, "four pings in {took:?}");

    daemon.stop()?;
    while let Some(said) = manager.hears(LIMIT)? {
        heard.push_str(&said);
    }
    let stopping = heard
        .find("STOPPING=1")
        .context("it did not say that it stops")?;
    let after = heard.get(stopping..).unwrap_or_default();
    ensure!(!after.contains("WATCHDOG"), "a ping after the end: {heard}");
    ensure!(
        !heard.contains(CANARY),
        "it told what people wrote: {heard}"
    );
    Ok(())
}

#[test]
fn a_store_that_does_not_answer_is_not_called_alive() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = hub(&scratch)?;
    let manager = Manager::new(&scratch)?;
    let daemon = manager.start(&hub)?;
    manager.must_hear("READY=1")?;
    manager.must_hear("WATCHDOG=1")?;

    // Another process has the store and does not let go.
    let key = std::fs::read_to_string(hub.directory.join("store.key"))?;
    let other = Connection::open(hub.directory.join("lianxin.db"))?;
    other.pragma_update(None, "key", format!("x'{}'", key.trim()))?;
    other.busy_timeout(PATIENCE)?;
    other.execute_batch("BEGIN IMMEDIATE")?;
    // What was on its way when the door closed.
    while manager.hears(LIMIT / 4)?.is_some() {}
    let silent = manager.hears(LIMIT * 3)?;
    ensure!(silent.is_none(), "alive without a store: {silent:?}");
    // Its other threads do answer: it is not the process that hangs.
    ensure!(
        daemon.log().contains("the store does not answer"),
        "{}",
        daemon.log()
    );

    other.execute_batch("ROLLBACK")?;
    manager.must_hear("WATCHDOG=1")?;
    manager.must_hear("WATCHDOG=1")?;
    daemon.stop()
}

#[test]
fn a_manager_that_is_not_there_changes_nothing() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = hub(&scratch)?;
    let mut command = hub.command(&["run", "--listen", LOOPBACK])?;
    command
        .env("NOTIFY_SOCKET", scratch.join("nobody"))
        .env("WATCHDOG_USEC", "nonsense");
    let daemon = Device::start(command)?;
    hub.add(&[opinion("alone")])?;
    let log = daemon.log();
    ensure!(log.contains("the service manager does not listen"), "{log}");
    daemon.stop()
}
