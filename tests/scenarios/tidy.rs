//! The repository tests its own tidiness: the layout, a `//!` on every file, and the direction rules, read
//! from the source as text. The lists say what the code is today; a file that joins one has to be named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files under a folder: path from the root, and text.
pub(super) fn sources(folder: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                // What is built there is nobody's to tidy.
                open.extend((!path.ends_with("target")).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root())?.to_str().context("a name")?;
                found.insert(name.replace('\\', "/"), std::fs::read_to_string(&path)?);
            }
        }
    }
    ensure!(!found.is_empty(), "no sources under {folder}");
    Ok(found)
}

/// Lines of code: without comments, and without what only tests see.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let product = text.split("#[cfg(test)]\nmod tests {").next();
    let lines = product.unwrap_or_default().lines();
    lines.filter(|line| !line.trim_start().starts_with("//"))
}

/// Whether a path such as `quinn` or `std::fs` is used: as `use path`, or as `path::`.
fn uses(text: &str, path: &str) -> bool {
    code(text).any(|line| {
        line.match_indices(path).any(|(at, _)| {
            let before = line.get(..at).unwrap_or_default();
            let after = line.get(at + path.len()..).unwrap_or_default();
            let begins = !before.ends_with(|it: char| it.is_alphanumeric() || "_:".contains(it));
            let alone = after.starts_with(';') && before.trim_end().ends_with("use");
            begins && (after.starts_with("::") || alone)
        })
    })
}

pub(super) fn is_test(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

/// The product's files that use a path are within these: a name, or a folder with its slash.
fn only_in(path: &str, folders: &[&str], allowed: &[&str]) -> Result<()> {
    let mut met = vec![false; allowed.len()];
    for folder in folders {
        for (name, text) in sources(folder)? {
            if is_test(&name) || !uses(&text, path) {
                continue;
            }
            let place = allowed.iter().position(|allowed| {
                name == *allowed || (allowed.ends_with('/') && name.starts_with(allowed))
            });
            let place = place.with_context(|| format!("{name} may not use {path}"))?;
            if let Some(met) = met.get_mut(place) {
                *met = true;
            }
        }
    }
    let idle = met
        .iter()
        .position(|met| !met)
        .and_then(|at| allowed.get(at));
    ensure!(
        idle.is_none(),
        "{idle:?} no longer uses {path}: strike it from the list"
    );
    Ok(())
}

#[test]
fn the_top_level_is_what_the_layout_names() -> Result<()> {
    let names = [
        "Cargo.toml",
        "Cargo.lock",
        "node",
        "protocol",
        "tests",
        "deploy",
        "README.md",
        "LICENSE",
        "rust-toolchain.toml",
        "target",
    ];
    for entry in std::fs::read_dir(root())? {
        let name = entry?.file_name();
        let name = name.to_str().context("a name")?;
        ensure!(
            name.starts_with('.') || names.contains(&name),
            "{name} has no place at the top"
        );
    }
    for name in ["Cargo.toml", "Cargo.lock", "node", "protocol", "tests"] {
        ensure!(root().join(name).exists(), "{name} is missing");
    }
    Ok(())
}

#[test]
fn every_file_says_what_it_is_and_keeps_the_manners() -> Result<()> {
    // In two pieces, or this file would find itself.
    let unwelcome = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("cfg(feature = ", "\"test\")"),
        concat!("#[ig", "nore]"),
    ];
    let machine = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("/t", "mp/"),
        concat!("C:", "\\"),
    ];
    for folder in ["protocol", "node", "tests"] {
        for (name, text) in sources(folder)? {
            ensure!(text.starts_with("//! "), "{name} does not open with //!");
            for phrase in unwelcome.iter().chain(&machine) {
                ensure!(!text.contains(phrase), "{name} has `{phrase}`");
            }
        }
    }
    Ok(())
}

#[test]
fn the_table_of_bounds_names_tests_that_are_there() -> Result<()> {
    let all = [sources("protocol")?, sources("node")?, sources("tests")?];
    let is_there = |name: &str| {
        let test = format!("fn {name}(");
        all.iter()
            .flat_map(BTreeMap::values)
            .any(|text| text.contains(&test))
    };
    let limits = all
        .iter()
        .find_map(|all| all.get("tests/scenarios/limits.rs"));
    let rows = limits.context("no table")?.lines();
    let rows = rows.filter_map(|line| line.strip_prefix("//! | "));
    let mut named = 0;
    for row in rows {
        let cell = row
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .unwrap_or_default();
        // What stands between backticks with a low line is a test; the rest is a word of the sentence.
        for quoted in cell
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|it| it.contains('_'))
        {
            let name = quoted.rsplit("::").next().unwrap_or_default();
            ensure!(is_there(name), "{name} is no test: {row}");
            named += 1;
        }
    }
    ensure!(named > 50, "{named} tests are named");
    Ok(())
}

#[test]
fn the_protocol_is_pure() -> Result<()> {
    let impure = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "std::io",
        "std::time::SystemTime",
        "std::time::Instant",
        "tokio",
        "rusqlite",
        "quinn",
        "rustls",
        "getrandom",
        "tracing",
        "lianxin_node",
    ];
    for (name, text) in sources("protocol/src")? {
        if is_test(&name) {
            continue;
        }
        for path in impure {
            ensure!(!uses(&text, path), "{name} uses {path}");
        }
        for clock in ["SystemTime", "Instant::now", "HashMap", "HashSet"] {
            ensure!(
                !code(&text).any(|line| line.contains(clock)),
                "{name} uses {clock}"
            );
        }
    }
    Ok(())
}

#[test]
fn inside_the_protocol_arrows_run_one_way() -> Result<()> {
    // A module may use those before it. `space` names its ids before keys exist, so it stands in front of
    // `identity`; `part` and `batch` need logs; `authority`, `admit` and `verdict` need them too.
    const ORDER: [&str; 21] = [
        "text",
        "limits",
        "base32",
        "codec",
        "hash",
        "space",
        "identity",
        "log",
        "arrival",
        "part",
        "batch",
        "authority",
        "request",
        "admit",
        "verdict",
        "receipt",
        "message",
        "archive",
        "invite",
        "session",
        "bundle",
    ];
    // These stand beside the line and may use nothing of it but what is named.
    const BESIDE: [(&str, &[&str]); 5] = [
        ("document", &["base32", "codec", "limits"]),
        ("catalogue", &["number", "text", "deadline"]),
        ("deadline", &[]),
        ("number", &["text"]),
        ("words", &[]),
    ];
    // What of an archive counts is judged as a device judges it.
    const BOTH: (&str, &str) = ("archive", "document");
    for (name, text) in sources("protocol/src")? {
        let path = name
            .trim_start_matches("protocol/src/")
            .trim_end_matches(".rs");
        let module = path.split('/').next().unwrap_or_default();
        if is_test(&name) || ["lib", "testing"].contains(&module) {
            continue;
        }
        let mut allowed: Vec<&str> = vec![module];
        if let Some(at) = ORDER.iter().position(|it| *it == module) {
            allowed.extend(ORDER.iter().take(at));
            allowed.extend((module == BOTH.0).then_some(BOTH.1));
        } else {
            let beside = BESIDE.iter().find(|(beside, _)| *beside == module);
            let (_, uses) =
                beside.with_context(|| format!("{module} has no place in the order"))?;
            allowed.extend(*uses);
        }
        for line in code(&text) {
            for (at, _) in line.match_indices("crate::") {
                let rest = line.get(at + "crate::".len()..).unwrap_or_default();
                let used: String = rest
                    .chars()
                    .take_while(|it| it.is_alphanumeric() || *it == '_')
                    .collect();
                // `{` opens a list, and a list of modules would hide from this test.
                ensure!(
                    !used.is_empty(),
                    "{name}: one `use crate::module` a line: {line}"
                );
                ensure!(
                    allowed.contains(&used.as_str()),
                    "{name} uses {used}: {line}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn each_foreign_library_has_its_place() -> Result<()> {
    let all = ["protocol/src", "node/src"];
    only_in(
        "automerge",
        &all,
        &["protocol/src/document.rs", "protocol/src/document/"],
    )?;
    let sync = ["node/src/sync/endpoint.rs"];
    only_in("quinn", &all, &sync)?;
    only_in(
        "rustls",
        &all,
        &["node/src/sync/endpoint.rs", "node/src/sync/tls.rs"],
    )?;
    only_in("clap", &all, &["node/src/cli.rs", "node/src/cli/manual.rs"])?;
    only_in(
        "zstd",
        &all,
        &["protocol/src/batch/", "node/src/store/packed.rs"],
    )?;
    only_in("unicode_normalization", &all, &["protocol/src/text.rs"])?;
    only_in(
        "strsim",
        &all,
        &["node/src/config.rs", "node/src/command.rs"],
    )?;
    only_in("tracing_subscriber", &all, &["node/src/logging.rs"])?;
    only_in("csv", &all, &["node/src/sheets/"])?;
    only_in("rust_xlsxwriter", &all, &["node/src/sheets/"])?;
    only_in("sd_notify", &all, &["node/src/supervisor.rs"])?;
    let rusqlite = [
        "node/src/store.rs",
        "node/src/store/",
        "node/src/journal.rs",
        "node/src/journal/",
        "node/src/records.rs",
        "node/src/records/",
        "node/src/requests.rs",
        "node/src/writer.rs",
        "node/src/error.rs",
        "node/src/accounts.rs",
        "node/src/drafts.rs",
        "node/src/bulk.rs",
        "node/src/invites.rs",
        "node/src/reader.rs",
        "node/src/search.rs",
        "node/src/slips.rs",
        "node/src/forms.rs",
        "node/src/published.rs",
        "node/src/reports.rs",
        "node/src/reports/",
        // These name the connection of a transaction; they would not have to.
        "node/src/wait.rs",
        "node/src/web.rs",
        "node/src/web/",
        "node/src/command.rs",
        "node/src/command/",
        "node/src/setup.rs",
        "node/src/sync/peer.rs",
        "node/src/sync/attend.rs",
        "node/src/sync/enrol.rs",
        "node/src/sync/stick.rs",
    ];
    only_in("rusqlite", &all, &rusqlite)?;
    only_in("axum", &all, &["node/src/web.rs", "node/src/web/"])?;
    let tokio = [
        "node/src/wait.rs",
        "node/src/web.rs",
        "node/src/web/",
        "node/src/changes.rs",
        "node/src/cli.rs",
        "node/src/cli/",
        "node/src/daemon.rs",
        "node/src/socket.rs",
        "node/src/sync.rs",
        "node/src/sync/",
    ];
    only_in("tokio", &all, &tokio)?;
    Ok(())
}

#[test]
fn one_file_reads_the_clock_and_draws_chance() -> Result<()> {
    for path in [
        "getrandom",
        "std::time::SystemTime",
        "std::time::Instant",
        "jiff",
    ] {
        for (name, text) in sources("node/src")? {
            let allowed = is_test(&name) || name == "node/src/clock.rs";
            ensure!(allowed || !uses(&text, path), "{name} uses {path}");
        }
    }
    Ok(())
}

#[test]
fn what_the_rules_are_read_with_can_tell() {
    assert!(uses("use quinn::Endpoint;", "quinn"));
    assert!(uses("let a = quinn::Endpoint::new();", "quinn"));
    assert!(uses("use quinn;", "quinn"));
    assert!(uses("fn a(it: &std::fs::File) {}", "std::fs"));
    assert!(!uses("use myquinn::Endpoint;", "quinn"));
    assert!(!uses("// use quinn::Endpoint;", "quinn"));
    assert!(!uses("let text = \"quinn wants\";", "quinn"));
    assert!(!uses(
        "#[cfg(test)]\nmod tests {\n use quinn::A;\n}",
        "quinn"
    ));
}
