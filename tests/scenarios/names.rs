//! A name server that never answers, which is what a station without a line has: it holds up no start, no page, no save, no sync that
//! needs no name, and no end.
//!
//! The system's own resolver is what blocks, so it is the system's that asks: each process has its own `resolv.conf`, mounted over
//! the computer's for it alone. Only root may do that, and without it nothing is shown, so the test then fails.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{Daemon, Device, LOOPBACK, Network, Started, now, opinion};

use crate::pages::{Browser, link};

/// A place that only a name server could tell.
const NAME: &str = "hub.example.test:7443";
/// Threads that may look names up at once.
const LOOKING: usize = 16;

/// A name server that hears every question and answers none.
struct Silent {
    socket: UdpSocket,
    configuration: String,
}

impl Silent {
    fn new(network: &Network) -> Result<Self> {
        // An address of this process alone.
        let [_, _, third, fourth] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 53, third, fourth);
        let socket = UdpSocket::bind((address, 53)).context("port 53 needs root")?;
        socket.set_nonblocking(true)?;
        // Half a minute until the system gives up.
        let text = format!("nameserver {address}\noptions timeout:10 attempts:3\n");
        Ok(Self {
            socket,
            configuration: network.scratch.write("resolv.conf", text)?,
        })
    }

    /// A command of a device that asks this server for names.
    fn command(&self, device: &Device, arguments: &[&str]) -> Result<Command> {
        let command = device.command(arguments)?;
        let mut within = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        within.args(["--mount", "sh", "-c", script, &self.configuration]);
        within.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => within.env(name, value),
                None => within.env_remove(name),
            };
        }
        Ok(within)
    }

    fn start(&self, device: &Device, arguments: &[&str]) -> Result<Started> {
        Started::new(self.command(device, arguments)?, Vec::new())
    }

    /// Whether it was asked since this was last called.
    fn was_asked(&self) -> Result<bool> {
        let mut asked = false;
        loop {
            match self.socket.recv(&mut [0; 512]) {
                Ok(_) => asked = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(asked),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What is done within this time.
fn within<T>(limit: Duration, what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let begun = now();
    let done = act()?;
    let took = now() - begun;
    ensure!(took < limit, "{what} took {took:?}");
    Ok(done)
}

fn looking(daemon: &Daemon) -> Result<usize> {
    let mut count = 0;
    for thread in std::fs::read_dir(format!("/proc/{}/task", daemon.id()))? {
        let name = std::fs::read_to_string(thread?.path().join("comm"));
        count += usize::from(name.is_ok_and(|name| name.trim() == "look-up"));
    }
    Ok(count)
}

#[test]
fn a_silent_name_server_holds_up_nobody() -> Result<()> {
    let (second, moment) = (Duration::from_secs(1), Duration::from_secs(3));
    let mut network = Network::new()?;
    let station = network.station.clone();
    station.ok(&["sync"])?;
    network.hub_stops()?;
    station.ok(&["peer", "add", NAME])?;
    let silent = Silent::new(&network)?;

    let daemon = within(moment, "the start", || {
        Device::start(silent.command(&station, &["run", "--listen", LOOPBACK])?)
    })?;
    let (browser, _) = Browser::through(&link(&station)?)?;
    // More than may be looked up at once, and each wants its answer.
    let waiting: Vec<_> = (0..LOOKING + 8)
        .map(|_| silent.start(&station, &["sync", "--peer", NAME]))
        .collect::<Result<_>>()?;
    let deadline = now() + Duration::from_secs(20);
    while looking(&daemon)? < LOOKING {
        ensure!(now() < deadline, "{} are looked up", looking(&daemon)?);
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(
        silent.was_asked()?,
        "the server that is silent is not asked"
    );
    for at in 0..20 {
        let page = within(second, "a page", || browser.get("/records"))?;
        ensure!(page.status == 200, "{}", page.status);
        let typed = format!("kind=opinion&draft={at:032x}&body=x&category=help&do=register");
        let saved = within(second, "a save", || browser.post("/new/opinion", &typed))?;
        ensure!(saved.status == 303, "{}", saved.status);
        within(second, "a command", || {
            station.add(&[opinion(&format!("名{at}"))])
        })?;
        ensure!(looking(&daemon)? <= LOOKING, "{}", looking(&daemon)?);
    }
    for waiting in waiting {
        waiting
            .finish(Duration::from_secs(30))?
            .fails(3, "LX-2005")?;
    }
    ensure!(looking(&daemon)? > 0, "nothing is looked up any more");
    within(moment, "the end", || daemon.stop())?;

    // Without a daemon: who asks in vain gives up before the system does, and who needs no name does not wait for one.
    within(Duration::from_secs(15), "a sync in vain", || {
        let sync = silent.start(&station, &["sync"])?;
        sync.finish(Duration::from_secs(60))?.fails(3, "LX-2005")
    })?;
    network.hub_back()?;
    within(moment, "a sync that needs no name", || {
        let sync = silent.start(&station, &["sync"])?;
        sync.finish(Duration::from_secs(60))?.exits(0)
    })?;
    ensure!(silent.was_asked()?, "the name was not asked for");
    Ok(())
}
