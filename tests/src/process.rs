//! Drives real `lianxin` processes: started, fed, timed, killed and listened to.
//!
//! It owns nothing of what a command means. Every call has a time limit, every process is ended by its own
//! id, and only loopback is used. What a process says is judged here once for all scenarios: an `ERROR`
//! line, a panic or a canary on stderr fails the call, as does anything but one JSON object on stdout.
//! Rejected: a crate that runs commands for tests; what is needed of one fits a page.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

/// Longest that one command may take.
const CALL: Duration = Duration::from_secs(60);
/// Longest wait for a daemon's ready line, and for its end.
const START: Duration = Duration::from_secs(20);
/// Longest wait for something that another process must come to see.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Loopback, and a port that the system chooses.
pub const LOOPBACK: &str = "127.0.0.1:0";
/// The command that makes a site of code EM1.
pub const CREATE_SITE: [&str; 8] = [
    "site",
    "create",
    "--name",
    "测试站",
    "--kind",
    "workstation",
    "--code",
    "EM1",
];
/// Stands in the texts of every record that scenarios write. It may appear in no log line and no
/// error: residents' words do not.
pub const CANARY: &str = "金丝雀甲乙丙";

/// The time, for limits only.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "processes live in real time, and so do the limits on them"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// The binary that is tested: beside this test's own directory, built if it is missing or older than
/// its sources.
///
/// # Errors
/// It cannot be built.
pub fn binary() -> Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| find_binary().map_err(|error| format!("{error:#}")));
    match found {
        Ok(path) => Ok(path),
        Err(error) => Err(anyhow!("{error}")),
    }
}

fn find_binary() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test
        .ancestors()
        .nth(2)
        .context("a test outside of target")?;
    let binary = profile.join(format!("lianxin{}", std::env::consts::EXE_SUFFIX));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let newest = ["node/src", "protocol/src"]
        .iter()
        .map(|folder| newest(&root.join(folder)))
        .collect::<Result<Vec<_>>>()?;
    let built = std::fs::metadata(&binary).and_then(|it| it.modified()).ok();
    if built.is_some() && built >= newest.into_iter().max() {
        return Ok(binary);
    }
    let target = profile.parent().context("no target directory")?;
    let profile = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    // Both packages, so that dependencies have the features that this test was built with.
    let mut build = Command::new(env!("CARGO"));
    // What cargo says of this package to its tests would have build scripts run again, and with them the
    // better part of the dependencies compile again.
    for (name, _) in std::env::vars_os() {
        let about = name.to_string_lossy();
        if about.starts_with("CARGO_PKG_") || about.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    let status = build
        .args(["build", "--profile", profile, "--bin", "lianxin"])
        .args(["-p", "lianxin-node", "-p", "lianxin-tests", "--target-dir"])
        .arg(target)
        .current_dir(&root)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "the binary cannot be built");
    Ok(binary)
}

fn newest(folder: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let modified = if entry.file_type()?.is_dir() {
            self::newest(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        };
        newest = newest.max(modified);
    }
    Ok(newest)
}

/// A directory that goes away with its owner.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// The temporary directory cannot be written.
    pub fn new() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("lianxin-test-{}-{made}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<String> {
        let path = self.join(name);
        std::fs::write(&path, content)?;
        text(&path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A path as an argument.
///
/// # Errors
/// It is not Unicode.
pub fn text(path: &Path) -> Result<String> {
    Ok(path
        .to_str()
        .context("a path that is not Unicode")?
        .to_owned())
}

/// What a finished command said.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit status.
    pub exit: i32,
    /// The one JSON object on stdout.
    pub json: Value,
    /// What it said besides.
    pub stderr: String,
}

impl Outcome {
    /// The reply of a command that was expected to end so.
    ///
    /// # Errors
    /// It ended otherwise.
    pub fn exits(self, exit: i32) -> Result<Value> {
        ensure!(
            self.exit == exit,
            "exit {} instead of {exit}: {} {}",
            self.exit,
            self.json,
            self.stderr
        );
        Ok(self.json)
    }

    /// A failure of this exit status and code, in the shape that CONTRACT gives it. Gives its message.
    ///
    /// # Errors
    /// It is not.
    pub fn fails(self, exit: i32, code: &str) -> Result<String> {
        let error = self.exits(exit)?;
        let keys: Vec<_> = error
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str())
            .collect();
        ensure!(
            keys == ["schema", "code", "message", "hint"],
            "keys {keys:?} in {error}"
        );
        ensure!(
            error["schema"] == "lianxin.error/1" && error["code"] == code,
            "not {code}: {error}"
        );
        let say = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        ensure!(
            !say("message").is_empty() && !say("hint").is_empty(),
            "says nothing: {error}"
        );
        ensure!(
            !say("message").contains(CANARY),
            "repeats what a resident said: {error}"
        );
        Ok(say("message"))
    }
}

/// Whether a log may be as it is: no fault, no panic, no resident's words.
fn sound(log: &str) -> Result<()> {
    for line in log.lines() {
        let error = [" ERROR ", "\"level\":\"ERROR\"", "<3>"];
        let fault = error.iter().any(|it| line.contains(it)) || line.contains("panicked");
        ensure!(
            !fault && !line.contains(CANARY),
            "a log line that must not be: {line}"
        );
    }
    Ok(())
}

/// A data directory and the commands on it.
#[derive(Clone, Debug)]
pub struct Device {
    /// The data directory.
    pub directory: PathBuf,
}

impl Device {
    /// A device that keeps its data there.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The command line of `lianxin --json --data DIR …`, without the environment's settings.
    ///
    /// # Errors
    /// The binary cannot be built.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .args(["--json", "--data"])
            .arg(&self.directory)
            .args(arguments);
        // What the caller's environment sets is not what is tested.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LIANXIN_") {
                command.env_remove(name);
            }
        }
        if let Some(parent) = self.directory.parent() {
            command.env("LIANXIN_STATE", parent.join("state"));
        }
        Ok(command)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It cannot be started, does not end in time, or says what it must not.
    pub fn call(&self, arguments: &[&str]) -> Result<Outcome> {
        self.feed(arguments, "")
    }

    /// Runs a command that must succeed.
    ///
    /// # Errors
    /// It does not.
    pub fn ok(&self, arguments: &[&str]) -> Result<Value> {
        self.call(arguments)?
            .exits(0)
            .with_context(|| format!("lianxin {}", arguments.join(" ")))
    }

    /// Runs a command with this on its standard input.
    ///
    /// # Errors
    /// As for [`Device::call`].
    pub fn feed(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Result<Outcome> {
        let started = Started::new(self.command(arguments)?, input.as_ref().to_vec())?;
        let outcome = started.finish(CALL);
        outcome.with_context(|| format!("lianxin {}", arguments.join(" ")))
    }

    /// Records rows; gives the reply.
    ///
    /// # Errors
    /// Some row was refused.
    pub fn add(&self, rows: &[Value]) -> Result<Value> {
        let input = json!(rows).to_string();
        self.feed(
            &["record", "add", "--kind", "opinion", "--file", "-"],
            input,
        )?
        .exits(0)
    }

    /// Starts the daemon and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn run(&self, listen: &str) -> Result<Daemon> {
        Self::start(self.command(&["run", "--listen", listen])?)
    }

    /// Starts a daemon by this command and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn start(command: Command) -> Result<Daemon> {
        let mut daemon = Self::begin(command)?;
        daemon.ready()?;
        Ok(daemon)
    }

    /// Starts something that says in JSON how it goes, and waits for nothing.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn begin(mut command: Command) -> Result<Daemon> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (sender, lines) = channel();
        let stdout = child.stdout.take().context("no stdout")?;
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        let log = Arc::new(Mutex::new(String::new()));
        let logging = collect(child.stderr.take().context("no stderr")?, Arc::clone(&log));
        Ok(Daemon {
            child,
            log,
            threads: vec![reading, logging],
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            expected: Vec::new(),
            lines,
        })
    }

    /// Asks again until the reply is as wanted.
    ///
    /// # Errors
    /// Patience ended; the last reply is in the message.
    pub fn until(&self, arguments: &[&str], wanted: impl Fn(&Outcome) -> bool) -> Result<Value> {
        let deadline = now() + PATIENCE;
        loop {
            let outcome = self.call(arguments)?;
            if wanted(&outcome) {
                return Ok(outcome.json);
            }
            if now() > deadline {
                bail!(
                    "lianxin {} still gives {}",
                    arguments.join(" "),
                    outcome.json
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `log_digest` and `state_digest` by kind and id of space, without those that `other` does not hold.
    ///
    /// # Errors
    /// The command fails.
    pub fn digests(&self) -> Result<Vec<Value>> {
        let digest = self.ok(&["digest"])?;
        Ok(digest["spaces"].as_array().cloned().unwrap_or_default())
    }

    /// Whether two devices hold and show the same in every space that both have.
    ///
    /// # Errors
    /// They do not, or have none in common.
    pub fn equals(&self, other: &Self) -> Result<()> {
        let (mine, theirs) = (self.digests()?, other.digests()?);
        let mut common = 0;
        for space in &mine {
            let Some(same) = theirs.iter().find(|it| it["space"] == space["space"]) else {
                continue;
            };
            common += 1;
            ensure!(same == space, "they differ: {space} and {same}");
        }
        ensure!(
            common >= 3,
            "authority, bulletin and a site are in common, not {common} spaces"
        );
        Ok(())
    }

    /// All records, by walking the pages of `record list`.
    ///
    /// # Errors
    /// The command fails.
    pub fn records(&self) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut after = None::<String>;
        loop {
            let mut arguments = vec!["record", "list", "--limit", "200"];
            if let Some(after) = &after {
                arguments.extend(["--after", after]);
            }
            let page = self.ok(&arguments)?;
            all.extend(page["records"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(all),
            }
        }
    }
}

/// A command that was started and not waited for.
#[derive(Debug)]
pub struct Started {
    child: Child,
    output: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
    threads: Vec<JoinHandle<()>>,
}

impl Started {
    /// Starts a command and feeds it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn new(mut command: Command, input: Vec<u8>) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (output, log) = <(Arc<Mutex<String>>, Arc<Mutex<String>>)>::default();
        let mut stdin = child.stdin.take().context("no stdin")?;
        let threads = vec![
            collect(
                child.stdout.take().context("no stdout")?,
                Arc::clone(&output),
            ),
            collect(child.stderr.take().context("no stderr")?, Arc::clone(&log)),
            // A command that does not read its input may end first.
            std::thread::spawn(move || drop(stdin.write_all(&input))),
        ];
        Ok(Self {
            child,
            output,
            log,
            threads,
        })
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// It said what it must not.
    pub fn kill(mut self) -> Result<()> {
        drop(self.child.kill());
        self.child.wait()?;
        sound(&read(&self.log))
    }

    /// Waits for its end, and kills it at the end of the time.
    ///
    /// # Errors
    /// It did not end, was killed, or said what it must not.
    pub fn finish(mut self, limit: Duration) -> Result<Outcome> {
        let status = wait(&mut self.child, limit)?;
        for thread in std::mem::take(&mut self.threads) {
            thread.join().map_err(|_| anyhow!("a reader panicked"))?;
        }
        let (stdout, stderr) = (read(&self.output), read(&self.log));
        sound(&stderr)?;
        let exit = status
            .code()
            .with_context(|| format!("ended by a signal: {status} {stderr}"))?;
        let json: Value = serde_json::from_str(&stdout)
            .with_context(|| format!("not one JSON object: {stdout:.400} {stderr:.400}"))?;
        let first = json.as_object().and_then(|object| object.keys().next());
        ensure!(
            first.is_some_and(|key| key == "schema"),
            "the schema is not first: {stdout:.400}"
        );
        Ok(Outcome { exit, json, stderr })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A running daemon. Dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    threads: Vec<JoinHandle<()>>,
    lines: Receiver<String>,
    expected: Vec<String>,
    /// Where it listens for sync.
    pub address: SocketAddr,
}

impl Daemon {
    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// The next thing that it says.
    ///
    /// # Errors
    /// It says nothing in time, or no JSON.
    pub fn event(&self) -> Result<Value> {
        let line = self.lines.recv_timeout(START);
        let line = line.with_context(|| format!("silent: {}", self.log()))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// It does not in time, or says something else.
    pub fn ready(&mut self) -> Result<Value> {
        let ready = self.event()?;
        let keys = ["schema", "event", "sync", "web", "login_url"];
        ensure!(
            keys.iter().all(|key| ready.get(key).is_some()) && ready["event"] == "ready",
            "not the ready event: {ready}"
        );
        self.address = ready["sync"].as_str().unwrap_or_default().parse()?;
        Ok(ready)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lines that say this are no fault of the daemon's: the test is one of what it complains of.
    pub fn expects(&mut self, complaint: &str) {
        self.expected.push(complaint.to_owned());
    }

    /// SIGTERM, and waits for a clean end.
    ///
    /// # Errors
    /// It does not end in time, not with 0, or said what it must not.
    pub fn stop(mut self) -> Result<()> {
        let id = self.child.id();
        let told = Command::new("sh")
            .args(["-c", &format!("kill -TERM {id}")])
            .status()?;
        ensure!(told.success(), "process {id} cannot be told to stop");
        let status = wait(&mut self.child, START)?;
        self.listened()?;
        ensure!(
            status.code() == Some(0),
            "ended with {status}: {}",
            self.log()
        );
        ensure!(
            self.lines.try_recv().is_err(),
            "more than the ready line on stdout"
        );
        Ok(())
    }

    /// Waits until it ends by itself, and gives its exit code and all that it logged.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn ends(mut self) -> Result<(Option<i32>, String)> {
        let status = wait(&mut self.child, START)?;
        for thread in std::mem::take(&mut self.threads) {
            thread.join().map_err(|_| anyhow!("a reader panicked"))?;
        }
        Ok((status.code(), self.log()))
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It had said what it must not.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.listened()
    }

    fn listened(&mut self) -> Result<()> {
        for thread in std::mem::take(&mut self.threads) {
            thread.join().map_err(|_| anyhow!("a reader panicked"))?;
        }
        let log = self.log();
        let unexpected = log
            .lines()
            .filter(|line| !self.expected.iter().any(|it| line.contains(it.as_str())))
            .map(|line| format!("{line}\n"));
        sound(&unexpected.collect::<String>())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        let mut bytes = Vec::new();
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let whole = match std::str::from_utf8(&bytes) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            };
            let text: Vec<u8> = bytes.drain(..whole).collect();
            let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
            into.push_str(&String::from_utf8_lossy(&text));
        }
        if !bytes.is_empty() {
            let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
            into.push_str("<bytes that are not UTF-8>");
        }
    })
}

fn read(text: &Mutex<String>) -> String {
    text.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let deadline = now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("did not end within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A small file system of its own, unmounted with its owner.
#[derive(Debug)]
pub struct SmallDisk {
    /// Where it is mounted.
    pub path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes.
    ///
    /// # Errors
    /// It cannot be mounted, which only root may do: a disk that is not full proves nothing, so the test fails.
    pub fn new(path: PathBuf, bytes: u64) -> Result<Self> {
        std::fs::create_dir(&path)?;
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path)
            .status();
        ensure!(
            mounted.is_ok_and(|status| status.success()),
            "a file system of {bytes} bytes cannot be mounted: run the tests of full disks as root"
        );
        Ok(Self { path })
    }

    /// Takes all the space that is left, and what has become free since. Gives the file that has it.
    ///
    /// # Errors
    /// The space does not end.
    pub fn fill(&self) -> Result<PathBuf> {
        let path = self.path.join("filler");
        let mut filler = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)?;
        for size in [64 * 1024, 4 * 1024, 512, 1] {
            let block = vec![0_u8; size];
            while filler.write_all(&block).is_ok() {}
        }
        Ok(path)
    }

    /// Makes it read-only, or writable again; no process may have it open for writing.
    ///
    /// # Errors
    /// It cannot be mounted anew.
    pub fn writable(&self, yes: bool) -> Result<()> {
        let how = if yes { "remount,rw" } else { "remount,ro" };
        let status = Command::new("mount")
            .args(["-o", how])
            .arg(&self.path)
            .status()?;
        ensure!(status.success(), "the file system cannot be made {how}");
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

/// A hub that runs, a site, and a station that has joined it.
#[derive(Debug)]
pub struct Network {
    /// The hub's data.
    pub hub: Device,
    /// The hub's daemon, unless it is down.
    pub daemon: Option<Daemon>,
    /// Where the hub listens, also after it was started again.
    pub address: String,
    /// Id of the site `EM1`.
    pub site: String,
    /// The station's data.
    pub station: Device,
    /// Where all data lies; goes away last.
    pub scratch: Scratch,
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// Some step fails.
    pub fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let hub = Device::new(scratch.join("hub"));
        let station = Device::new(scratch.join("station"));
        let card = text(&scratch.join("card"))?;
        hub.ok(&[
            "hub",
            "init",
            "--name",
            "示例街道",
            "--listen",
            LOOPBACK,
            "--recovery-out",
            &card,
        ])?;
        let daemon = hub.run(LOOPBACK)?;
        let site = hub.ok(&CREATE_SITE)?["site"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let address = daemon.address.to_string();
        let network = Self {
            hub,
            daemon: Some(daemon),
            address,
            site,
            station,
            scratch,
        };
        let code = network.invite("EM1", "station")?;
        network
            .station
            .ok(&["join", &code, "--hub", &network.address])?;
        Ok(network)
    }

    /// A fresh invite's code.
    ///
    /// # Errors
    /// The hub makes none.
    pub fn invite(&self, site: &str, role: &str) -> Result<String> {
        let invite = self
            .hub
            .ok(&["invite", "create", "--site", site, "--role", role])?;
        Ok(invite["invite"].as_str().context("no invite")?.to_owned())
    }

    /// Starts the hub where it was.
    ///
    /// # Errors
    /// It does not start.
    pub fn hub_back(&mut self) -> Result<()> {
        self.daemon = Some(self.hub.run(&self.address)?);
        Ok(())
    }

    /// Ends the hub and hears what it logged.
    ///
    /// # Errors
    /// It does not end well.
    pub fn hub_stops(&mut self) -> Result<()> {
        self.daemon.take().map_or(Ok(()), Daemon::stop)
    }
}

/// A record that may be written, of fictional people, with the canary in its erasable texts.
#[must_use]
pub fn opinion(submission: &str) -> Value {
    json!({
        "submission_id": submission,
        "category": "help",
        "title": format!("路灯{submission}{CANARY}"),
        "body": format!("3号楼前的路灯不亮了{CANARY}"),
        "identity_mode": "confidential",
        "person": { "call_name": format!("测试{CANARY}"), "phone": "000-0000-0001" },
    })
}

/// `SplitMix64`: one seed, one sequence.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
