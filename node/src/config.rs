//! The configuration: one typed [`Config`], read once at start.
//!
//! Later layers win: built-in defaults, `/etc/lianxin/lianxin.toml`, `lianxin.toml` in the data directory,
//! `LIANXIN_SECTION__KEY` in the environment, flags. What `hub init --listen` kept is no layer: it is the
//! default of that one store, and whatever is written in a layer was written later and wins.
//!
//! Every key stands once, in `KEYS`, with what it takes; nothing that is read is ignored. A name that no
//! key has is an error with the nearest one that exists, and an error names file, line and column. A value is
//! never repeated in a message. What is read at the start is read before there may be a name server: addresses
//! of this computer are numbers (or `localhost`), in files as in flags. Of the environment only names with `__`, and
//! those that begin with a section, are ours: container platforms add `LIANXIN_SERVICE_HOST` and the like for a
//! service of our name. `LIANXIN_DATA` names the data directory, `LIANXIN_STATE` what is kept outside it; they are no settings.
//!
//! Rejected: the crate `config`. It merges layers into one untyped tree before types are known, which loses
//! line and column, passes over unknown names, and is two libraries more; over `toml`, which reads the
//! catalogue already, what is left to do is this file. Rejected too: `serde` with `deny_unknown_fields`, which
//! neither suggests a name nor says which layer a value came from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};
use tracing::Level;

use crate::error::{self, Code, Error, Result};
use crate::logging::Format;

/// The file for all data directories of a computer.
pub const SYSTEM_FILE: &str = "/etc/lianxin/lianxin.toml";
/// Name of the file in a data directory.
pub const FILE_NAME: &str = "lianxin.toml";

/// Largest configuration file in bytes; the explained example is a twentieth of it.
const FILE_MAX: u64 = 64 * 1024;
/// Longest un-receipted time that can be set, in minutes: a year.
const UNRECEIPTED_MAX: u64 = 366 * 24 * 60;
/// Host names at most: each is compared with every request's.
const HOSTS_MAX: usize = 16;
/// Longest host name and label in bytes (RFC 1035, 2.3.4).
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// Likeness from which a known name is taken for what was meant (Jaro and Winkler, 0 to 1).
const ALIKE: f64 = 0.75;
/// Characters of an unknown name that are repeated.
const NAME_SHOWN: usize = 60;

const PREFIX: &str = "LIANXIN_";
/// Names the data directory and is read by the command line.
const DATA: &str = "LIANXIN_DATA";

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[sync]`
    pub sync: SyncSettings,
    /// `[web]`
    pub web: WebSettings,
    /// `[status]`
    pub status: StatusSettings,
    /// `[log]`
    pub log: LogSettings,
    /// Where each key was set that is not at its default.
    origins: BTreeMap<String, Origin>,
    files: Vec<PathBuf>,
}

/// `[sync]`: the line to other devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncSettings {
    /// Where to listen. None: where `hub init --listen` said, else 0.0.0.0:7443 on a hub and any free port
    /// on other devices.
    pub listen: Option<SocketAddr>,
}

/// `[web]`: the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSettings {
    /// Where to listen: always a loopback address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Names beside the loopback ones that a request's `Host` may have: lower case, without port.
    pub allow_hosts: Vec<String>,
}

/// `[status]`: what needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSettings {
    /// Minutes after which a record without receipt needs attention; 0: at once.
    pub unreceipted_minutes: u64,
}

/// `[log]`: what `run` logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is logged.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sync: SyncSettings { listen: None },
            web: WebSettings {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
                allow_hosts: Vec::new(),
            },
            status: StatusSettings {
                unreceipted_minutes: 120,
            },
            log: LogSettings {
                level: Level::INFO,
                format: Format::Text,
            },
            origins: BTreeMap::new(),
            files: Vec::new(),
        }
    }
}

/// What the command line says; each wins over every other layer.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--web`
    pub web: Option<SocketAddr>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A file, and the line in it.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

impl Origin {
    /// The layer: `default`, `file`, `environment` or `flag`.
    #[must_use]
    pub const fn layer(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File(..) => "file",
            Self::Environment(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File(path, line) => write!(out, "{}:{line}", path.display()),
            Self::Environment(name) => out.write_str(name),
            Self::Flag(flag) => out.write_str(flag),
        }
    }
}

/// One key with its value.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// `section.key`
    pub key: String,
    /// Null for one that is not set and has no one default.
    pub value: Value,
    /// Where the value came from.
    pub origin: &'a Origin,
}

/// One key: its place, what it takes, and how it is set and shown.
struct Key {
    section: &'static str,
    name: &'static str,
    takes: &'static str,
    set: fn(&mut Config, &Given<'_>) -> Option<()>,
    get: fn(&Config) -> Value,
}

const KEYS: &[Key] = &[
    Key {
        section: "sync",
        name: "listen",
        takes: "an address of this computer with a port, such as \"0.0.0.0:7443\" or \"[::]:7443\"",
        set: |config, given| {
            config.sync.listen = Some(given.address()?);
            Some(())
        },
        get: |config| json!(config.sync.listen.map(|address| address.to_string())),
    },
    Key {
        section: "web",
        name: "listen",
        takes: "a loopback address with a port, such as \"127.0.0.1:8080\": this version shows its pages \
                to its own computer only",
        set: |config, given| {
            config.web.listen = given.address().filter(|it| it.ip().is_loopback())?;
            Some(())
        },
        get: |config| json!(config.web.listen.to_string()),
    },
    Key {
        section: "web",
        name: "allow_hosts",
        takes: "a list of at most 16 host names without port, such as [\"lianxin.example.local\"]",
        set: |config, given| {
            let hosts = given.list().filter(|hosts| hosts.len() <= HOSTS_MAX)?;
            let hosts = hosts.into_iter().map(|host| host_name(&host));
            config.web.allow_hosts = hosts.collect::<Option<_>>()?;
            Some(())
        },
        get: |config| json!(config.web.allow_hosts),
    },
    Key {
        section: "status",
        name: "unreceipted_minutes",
        takes: "a whole number of minutes from 0 to 527040, which is a year",
        set: |config, given| {
            let minutes = given.number();
            config.status.unreceipted_minutes = minutes.filter(|it| *it <= UNRECEIPTED_MAX)?;
            Some(())
        },
        get: |config| json!(config.status.unreceipted_minutes),
    },
    Key {
        section: "log",
        name: "level",
        takes: "\"error\", \"warn\", \"info\" or \"debug\"",
        set: |config, given| {
            config.log.level = level(&given.text()?)?;
            Some(())
        },
        get: |config| json!(config.log.level.as_str().to_ascii_lowercase()),
    },
    Key {
        section: "log",
        name: "format",
        takes: "\"text\", \"json\" or \"journald\"",
        set: |config, given| {
            config.log.format = format(&given.text()?)?;
            Some(())
        },
        get: |config| json!(config.log.format.name()),
    },
];

impl Key {
    fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    fn variable(&self) -> String {
        format!("{PREFIX}{}__{}", self.section, self.name).to_ascii_uppercase()
    }
}

/// A value as a layer has it: typed in a file, text elsewhere.
enum Given<'a> {
    File(&'a DeValue<'a>),
    Text(&'a str),
}

impl Given<'_> {
    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::File(DeValue::String(text)) => Some(Cow::Borrowed(text)),
            Self::File(_) => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::File(DeValue::Integer(number)) => {
                u64::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Self::File(_) => None,
            Self::Text(text) => text.parse().ok(),
        }
    }

    /// Text is a list with commas.
    fn list(&self) -> Option<Vec<Cow<'_, str>>> {
        match self {
            Self::File(DeValue::Array(items)) => {
                let items = items.iter().map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(Cow::Borrowed(text.as_ref())),
                    _ => None,
                });
                items.collect()
            }
            Self::File(_) => None,
            Self::Text(text) => Some(text.split(',').map(|it| Cow::Borrowed(it.trim())).collect()),
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        own_address(&self.text()?).ok()
    }
}

/// A place of this computer's own: an address of either family and a port, or `localhost` and a port. No name is looked up: a
/// computer knows its own addresses, and a silent name server would hold up its start.
///
/// # Errors
/// [`Code::Address`] for anything else.
pub fn own_address(text: &str) -> Result<SocketAddr> {
    let loopback = text.strip_prefix("localhost:");
    let address = loopback.map_or_else(
        || text.parse().ok(),
        |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
    );
    let message = || format!("`{text}` is no address of this computer, such as 127.0.0.1:7443");
    address.ok_or_else(|| Error::new(Code::Address, message()))
}

/// A host name of letters, digits and hyphens (RFC 1123, 2.1), in lower case.
fn host_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    (text.len() <= HOST_MAX && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

fn level(text: &str) -> Option<Level> {
    match text {
        "error" => Some(Level::ERROR),
        "warn" => Some(Level::WARN),
        "info" => Some(Level::INFO),
        "debug" => Some(Level::DEBUG),
        _ => None,
    }
}

fn format(text: &str) -> Option<Format> {
    Format::ALL.into_iter().find(|format| format.name() == text)
}

impl Config {
    /// Reads all layers. Files that do not exist set nothing.
    ///
    /// # Errors
    /// [`Code::Config`] for anything unknown, of a wrong type or out of range, naming where it stands;
    /// [`Code::File`] for a file that exists and cannot be read.
    pub fn load(data: Option<&Path>, overrides: &Overrides) -> Result<Self> {
        let mut files = vec![PathBuf::from(SYSTEM_FILE)];
        files.extend(data.map(|data| data.join(FILE_NAME)));
        Self::layers(&files, std::env::vars_os(), overrides)
    }

    /// Reads one file alone.
    ///
    /// # Errors
    /// As for [`Config::load`]; also when the file does not exist.
    pub fn read(path: &Path) -> Result<Self> {
        let mut config = Self::default();
        let text = text_of(path).and_then(|text| {
            text.ok_or_else(|| error::file(path)(std::io::Error::from(ErrorKind::NotFound)))
        })?;
        config.read_text(path, &text)?;
        Ok(config)
    }

    /// Whether nobody has set a key, which is named as `section.key`.
    #[must_use]
    pub fn is_default(&self, key: &str) -> bool {
        !self.origins.contains_key(key)
    }

    /// All keys with value and origin, in the order of the explained example.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        KEYS.iter().map(|key| Entry {
            key: key.path(),
            value: (key.get)(self),
            origin: self.origins.get(&key.path()).unwrap_or(&Origin::Default),
        })
    }

    /// The files that were read, in the order in which they were.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    fn layers(
        files: &[PathBuf],
        environment: impl Iterator<Item = (OsString, OsString)>,
        overrides: &Overrides,
    ) -> Result<Self> {
        let mut config = Self::default();
        for path in files {
            if let Some(text) = text_of(path)? {
                config.read_text(path, &text)?;
            }
        }
        for (name, value) in environment {
            config.read_variable(&name, &value)?;
        }
        let flags = [
            ("--listen", "sync.listen", overrides.listen),
            ("--web", "web.listen", overrides.web),
        ];
        for (flag, path, address) in flags {
            let key = KEYS.iter().find(|key| key.path() == path);
            if let (Some(key), Some(address)) = (key, address) {
                let text = address.to_string();
                config.put(key, &Given::Text(&text), Origin::Flag(flag), flag)?;
            }
        }
        Ok(config)
    }

    fn read_text(&mut self, path: &Path, text: &str) -> Result<()> {
        let at = |offset: usize| {
            let (line, column) = position(text, offset);
            format!("{}:{line}:{column}", path.display())
        };
        let root = DeTable::parse(text).map_err(|error| {
            let place = at(error.span().map_or(0, |span| span.start));
            let message = error.message().lines().next().unwrap_or("not TOML");
            refused(&place, &format!("this is no TOML: {message}"))
        })?;
        for (name, section) in root.get_ref() {
            let place = at(name.span().start);
            let name = name.get_ref().as_ref();
            let known = KEYS.iter().any(|key| key.section == name);
            let DeValue::Table(section) = section.get_ref() else {
                let why = if known {
                    format!("`{name}` is a section: write [{name}], and its keys below")
                } else {
                    unknown("key", name, KEYS.iter().map(Key::path))
                };
                return Err(refused(&place, &why));
            };
            if !known {
                let sections = KEYS.iter().map(|key| key.section.to_owned());
                return Err(refused(&place, &unknown("section", name, sections)));
            }
            for (inner, value) in section {
                let place = at(inner.span().start);
                let full = format!("{name}.{}", inner.get_ref());
                let Some(key) = KEYS.iter().find(|key| key.path() == full) else {
                    let why = unknown("key", &full, KEYS.iter().map(Key::path));
                    return Err(refused(&place, &why));
                };
                let (line, _) = position(text, inner.span().start);
                let origin = Origin::File(path.to_owned(), line);
                let place = at(value.span().start);
                self.put(key, &Given::File(value.get_ref()), origin, &place)?;
            }
        }
        self.files.push(path.to_owned());
        Ok(())
    }

    fn read_variable(&mut self, name: &OsString, value: &OsString) -> Result<()> {
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(PREFIX).filter(|_| name != DATA) else {
            return Ok(());
        };
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            let first = rest.split('_').next().unwrap_or_default();
            let ours = KEYS
                .iter()
                .any(|key| key.section.eq_ignore_ascii_case(first));
            if !ours && !rest.contains("__") {
                return Ok(());
            }
            let why = unknown("variable", &name, KEYS.iter().map(Key::variable));
            return Err(refused("environment", &why));
        };
        // Set to nothing is not set, as with LIANXIN_DATA.
        if value.is_empty() {
            return Ok(());
        }
        let origin = Origin::Environment(name.clone().into_owned());
        // What is not Unicode is no value of any key.
        let value = value.to_str().unwrap_or("\u{fffd}");
        self.put(key, &Given::Text(value), origin, &name)
    }

    fn put(&mut self, key: &Key, given: &Given<'_>, origin: Origin, place: &str) -> Result<()> {
        (key.set)(self, given)
            .ok_or_else(|| refused(place, &format!("`{}` takes {}", key.path(), key.takes)))?;
        self.origins.insert(key.path(), origin);
        Ok(())
    }
}

/// What commands log that end at once: errors only, whatever is configured for `run`, unless the environment of the one who
/// calls asks for more.
#[must_use]
pub fn log_of_environment() -> LogSettings {
    let asked = |name| std::env::var(name).ok();
    let level = asked("LIANXIN_LOG__LEVEL").and_then(|text| level(&text));
    let format = asked("LIANXIN_LOG__FORMAT").and_then(|text| format(&text));
    LogSettings {
        level: level.unwrap_or(Level::ERROR),
        format: format.unwrap_or(Format::Text),
    }
}

fn refused(place: &str, why: &str) -> Error {
    Error::new(Code::Config, format!("{place}: {why}"))
}

/// Says that there is no such name, and what may have been meant.
fn unknown(what: &str, name: &str, known: impl Iterator<Item = String>) -> String {
    let mut known: Vec<_> = known.collect();
    known.dedup();
    let plain = |name: &str| {
        let path = name.trim_start_matches(PREFIX).replace("__", ".");
        path.to_ascii_lowercase()
    };
    let name_plain = plain(name);
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let alike = |candidate: &str| {
        let candidate = plain(candidate);
        let whole = strsim::jaro_winkler(&name_plain, &candidate);
        // Often the key is right and its section is not.
        whole.max(strsim::jaro_winkler(&last(&name_plain), &last(&candidate)))
    };
    let nearest = known
        .iter()
        .map(|candidate| (alike(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let advice = nearest.map_or_else(
        || format!("there are {}", known.join(", ")),
        |(_, nearest)| format!("did you mean `{nearest}`?"),
    );
    let name: String = name.chars().take(NAME_SHOWN).collect();
    format!("there is no {what} `{name}`; {advice}")
}

/// Line and column of a byte offset, from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|it| *it != '\n').count() + 1;
    (line, column)
}

/// The text of a configuration file without its byte order mark; none for a file that does not exist.
fn text_of(path: &Path) -> Result<Option<String>> {
    let bad = |why: &str| refused(&path.display().to_string(), why);
    // Asked first: opening a pipe would wait, and a device may never end.
    let about = match std::fs::metadata(path) {
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(None);
        }
        other => other.map_err(error::file(path))?,
    };
    if !about.is_file() {
        return Err(bad("this is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(error::file(path))?;
    let limited = file.take(FILE_MAX + 1).read_to_end(&mut bytes);
    if limited.map_err(error::file(path))? as u64 > FILE_MAX {
        return Err(bad("a configuration has at most 64 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad("this is no UTF-8 text"))?;
    Ok(Some(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../deploy/lianxin.example.toml");

    fn from_text(text: &str) -> Result<Config> {
        let mut config = Config::default();
        config.read_text(Path::new("F"), text)?;
        Ok(config)
    }

    fn from_environment(variables: &[(&str, &str)]) -> Result<Config> {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        Config::layers(&[], variables, &Overrides::default())
    }

    fn message(result: Result<Config>) -> String {
        let error = result.expect_err("it was accepted");
        assert_eq!(error.code(), Code::Config);
        error.chain()
    }

    fn values(config: &Config) -> BTreeMap<String, Value> {
        config.entries().map(|it| (it.key, it.value)).collect()
    }

    /// The file in which what is commented out is set too: `# key = value` stands alone on its line.
    fn uncommented(text: &str) -> String {
        let is_key = |line: &str| {
            line.split_once(" = ").is_some_and(|(name, _)| {
                name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
            })
        };
        let lines = text.lines().map(|line| {
            let bare = line.strip_prefix("# ").filter(|bare| is_key(bare));
            bare.unwrap_or(line)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_names_every_key_and_sets_the_defaults() -> Result<()> {
        let example = from_text(EXAMPLE)?;
        let full = from_text(&uncommented(EXAMPLE))?;
        let defaults = Config::default();
        assert_eq!(values(&example), values(&defaults));
        for (entry, default) in full.entries().zip(defaults.entries()) {
            assert_eq!(entry.origin.layer(), "file", "{} is not in it", entry.key);
            let is_set = example
                .entries()
                .any(|it| it.key == entry.key && it.origin.layer() == "file");
            assert!(
                is_set || default.value.is_null(),
                "{} is commented out",
                entry.key
            );
        }
        let listen = crate::setup::DEFAULT_LISTEN.parse().ok();
        assert_eq!(full.sync.listen, listen, "a hub's default");
        Ok(())
    }

    #[test]
    fn later_layers_win_and_every_value_knows_its_layer() -> Result<()> {
        let scratch = std::env::temp_dir().join(format!("lianxin-config-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        let [system, own, none] = ["system", "own", "none"].map(|name| scratch.join(name));
        std::fs::write(
            &system,
            "[web]\nlisten = \"127.0.0.1:1\"\n[sync]\nlisten = \"127.0.0.1:1\"\n\
             [status]\nunreceipted_minutes = 1\n[log]\nlevel = \"warn\"\n",
        )
        .unwrap();
        std::fs::write(
            &own,
            "web.listen = \"127.0.0.1:2\"\nsync.listen = \"127.0.0.1:2\"\n\
             status.unreceipted_minutes = 2\n",
        )
        .unwrap();
        let variables = [
            ("LIANXIN_WEB__LISTEN", "127.0.0.1:3"),
            ("LIANXIN_SYNC__LISTEN", "[::1]:3"),
            ("LIANXIN_LOG__LEVEL", ""),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let overrides = Overrides {
            listen: None,
            web: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4))),
        };
        let files = [system.clone(), none, own.clone()];
        let config = Config::layers(&files, variables.into_iter(), &overrides);
        std::fs::remove_dir_all(&scratch).unwrap();
        let config = config?;
        let came: Vec<_> = config
            .entries()
            .map(|it| (it.value, it.origin.clone()))
            .collect();
        let variable = Origin::Environment("LIANXIN_SYNC__LISTEN".to_owned());
        let expected = [
            (json!("[::1]:3"), variable),
            (json!("127.0.0.1:4"), Origin::Flag("--web")),
            (json!([]), Origin::Default),
            (json!(2), Origin::File(own.clone(), 3)),
            (json!("warn"), Origin::File(system.clone(), 8)),
            (json!("text"), Origin::Default),
        ];
        assert_eq!(came, expected);
        assert_eq!(config.files(), [system, own]);
        Ok(())
    }

    #[test]
    fn an_unknown_name_is_refused_with_its_place_and_the_nearest_known_one() {
        let cases = [
            (
                "\n[web]\n  lisen = 1",
                "F:3:3:",
                "did you mean `web.listen`?",
            ),
            ("[sync]\nlevel = 1", "F:2:1:", "did you mean `log.level`?"),
            (
                "[snyc]",
                "F:1:2:",
                "no section `snyc`; did you mean `sync`?",
            ),
            ("[sync.more]\na = 1", "F:1:7:", "no key `sync.more`"),
            ("level = \"info\"", "F:1:1:", "did you mean `log.level`?"),
            ("sync = 3", "F:1:1:", "`sync` is a section"),
            ("[[log]]\nlevel = \"info\"", "F:1:3:", "`log` is a section"),
            ("[zzz]", "F:1:2:", "there are sync, web, status, log"),
            ("连心 = 1", "F:1:1:", "TOML"),
            (
                "\"连心\" = 1",
                "F:1:1:",
                "no key `连心`; there are sync.listen",
            ),
        ];
        for (text, place, what) in cases {
            let said = message(from_text(text));
            assert!(
                said.starts_with(place) && said.contains(what),
                "{text}: {said}"
            );
        }
        for (name, meant) in [
            ("LIANXIN_WEB__LISEN", "LIANXIN_WEB__LISTEN"),
            ("LIANXIN_WEB_LISTEN", "LIANXIN_WEB__LISTEN"),
            ("LIANXIN_LOG", "LIANXIN_LOG__LEVEL"),
            ("LIANXIN_log__level", "LIANXIN_LOG__LEVEL"),
            ("LIANXIN_STORE__KEY", "there are LIANXIN_SYNC__LISTEN"),
        ] {
            let said = message(from_environment(&[(name, "1")]));
            assert!(
                said.contains(name) && said.contains(meant),
                "{name}: {said}"
            );
        }
        for foreign in [
            "LIANXIN_SERVICE_HOST",
            "LIANXIN_PORT",
            "LIANXIN_DATA",
            "LIANXINWEB__X",
        ] {
            assert!(
                from_environment(&[(foreign, "1")]).is_ok(),
                "{foreign} is not ours"
            );
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_is_refused_and_not_repeated() {
        let refused = [
            ("sync.listen", "7443"),
            ("sync.listen", "\"0.0.0.0\""),
            ("sync.listen", "\"0.0.0.0:65536\""),
            ("sync.listen", "\"::1:7443\""),
            ("sync.listen", "\"hub.example.local:7443\""),
            ("sync.listen", "[\"0.0.0.0:7443\"]"),
            ("web.listen", "\"0.0.0.0:8080\""),
            ("web.listen", "\"192.0.2.1:8080\""),
            ("web.listen", "\"[::ffff:127.0.0.1]:8080\""),
            ("web.allow_hosts", "\"a.example\""),
            ("web.allow_hosts", "[1]"),
            ("web.allow_hosts", "[\"a.example:80\"]"),
            ("web.allow_hosts", "[\"*.example\"]"),
            ("web.allow_hosts", "[\"\"]"),
            ("web.allow_hosts", "[\"a..b\"]"),
            ("web.allow_hosts", "[\"-a\"]"),
            ("status.unreceipted_minutes", "-1"),
            ("status.unreceipted_minutes", "527041"),
            ("status.unreceipted_minutes", "99999999999999999999999"),
            ("status.unreceipted_minutes", "120.0"),
            ("status.unreceipted_minutes", "\"120\""),
            ("status.unreceipted_minutes", "true"),
            ("log.level", "\"trace\""),
            ("log.level", "\"INFO\""),
            ("log.level", "1979-05-27"),
            ("log.level", "{ a = 1 }"),
            ("log.format", "\"xml\""),
            ("log.format", "\"JSON\""),
        ];
        for (key, value) in refused {
            let said = message(from_text(&format!("{key} = {value}")));
            let place = format!("F:1:{}: `{key}` takes ", key.len() + 4);
            assert!(said.starts_with(&place), "{key} = {value}: {said}");
        }
        let many = vec!["\"a\""; HOSTS_MAX + 1].join(",");
        message(from_text(&format!("web.allow_hosts = [{many}]")));
        let long = "a.".repeat(HOST_MAX / 2) + "aa";
        let said = message(from_text(&format!("web.allow_hosts = [\"{long}\"]")));
        assert!(!said.contains("a.a.a"), "{said}");
        let said = message(from_environment(&[(
            "LIANXIN_STATUS__UNRECEIPTED_MINUTES",
            "soon",
        )]));
        assert!(
            said.starts_with("LIANXIN_STATUS__UNRECEIPTED_MINUTES: "),
            "{said}"
        );
        assert!(!said.contains("soon"), "{said}");
        use std::os::unix::ffi::OsStringExt as _;
        let foreign = ("LIANXIN_LOG__LEVEL".into(), OsString::from_vec(vec![0xff]));
        let foreign = Config::layers(&[], std::iter::once(foreign), &Overrides::default());
        assert!(message(foreign).starts_with("LIANXIN_LOG__LEVEL: "));
        let web = Some(SocketAddr::from(([192, 0, 2, 1], 80)));
        let overrides = Overrides { listen: None, web };
        let said = message(Config::layers(&[], std::iter::empty(), &overrides));
        assert!(said.starts_with("--web: "), "{said}");
    }

    #[test]
    fn what_can_be_used_is_taken_in_every_way_of_writing_it() -> Result<()> {
        let config = from_text(
            "[status]\r\nunreceipted_minutes = 0x3c\r\n[web]\r\nlisten = \"localhost:0\"\r\n\
             allow_hosts = [\"A.example\", 'b-1']\r\n",
        )?;
        assert_eq!(config.status.unreceipted_minutes, 60);
        assert_eq!(
            config.web.listen,
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
        );
        assert_eq!(config.web.allow_hosts, ["a.example", "b-1"]);
        let variables = [
            ("LIANXIN_WEB__ALLOW_HOSTS", "a.example, B"),
            ("LIANXIN_WEB__LISTEN", "[::1]:81"),
            ("LIANXIN_STATUS__UNRECEIPTED_MINUTES", "1440"),
            ("LIANXIN_LOG__LEVEL", "debug"),
            ("LIANXIN_LOG__FORMAT", "json"),
        ];
        let config = from_environment(&variables)?;
        assert_eq!(config.web.allow_hosts, ["a.example", "b"]);
        assert_eq!(config.web.listen.to_string(), "[::1]:81");
        assert_eq!(config.status.unreceipted_minutes, 1_440);
        assert_eq!(config.log.level, Level::DEBUG);
        assert_eq!(config.log.format, Format::Json);
        Ok(())
    }

    #[test]
    fn hostile_toml_is_refused_without_harm() {
        let deep = format!("a = {}", "[".repeat(60_000));
        let dotted = format!("{}a = 1", "a.".repeat(30_000));
        let twice = "[log]\nlevel = \"info\"\nlevel = \"warn\"";
        for text in [
            &*deep,
            &*dotted,
            twice,
            "include = \"other.toml\"",
            "[log",
            "\0",
        ] {
            let said = message(from_text(text));
            assert!(said.len() < 400, "{said}");
        }
    }
}
