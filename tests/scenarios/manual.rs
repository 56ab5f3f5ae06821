//! What the command line says of itself: completions, pages of the manual, and progress where there is no terminal.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{Network, Scratch, binary, text};

fn said(arguments: &[&str]) -> Result<String> {
    let output = Command::new(binary()?).args(arguments).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn every_shell_gets_completions_that_name_the_commands() -> Result<()> {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = said(&["completions", shell])?;
        for word in ["quarantine", "expires", "hub"] {
            ensure!(text.contains(word), "{shell} knows no {word}");
        }
    }
    let wrong = Command::new(binary()?)
        .args(["completions", "cmd"])
        .output()?;
    ensure!(wrong.status.code() == Some(4), "{}", wrong.status);
    Ok(())
}

#[test]
fn the_manual_has_a_page_for_the_whole_and_one_for_each_command() -> Result<()> {
    let page = said(&["man"])?;
    ensure!(
        page.contains(".TH lianxin 1") && page.contains("Examples"),
        "{page:.200}"
    );
    let scratch = Scratch::new()?;
    let folder = scratch.join("man1");
    said(&["man", "--out", &text(&folder)?])?;
    let names: Vec<_> = std::fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    for name in [
        "lianxin.1",
        "lianxin-record-add.1",
        "lianxin-invite-create.1",
    ] {
        ensure!(
            names.iter().any(|it| it == name),
            "no {name} among {names:?}"
        );
    }
    let add = std::fs::read_to_string(folder.join("lianxin-record-add.1"))?;
    ensure!(add.contains("lianxin record add"), "{add:.400}");
    Ok(())
}

#[test]
fn who_waits_without_a_terminal_is_told_what_for() -> Result<()> {
    let network = Network::new()?;
    let made = network
        .hub
        .ok(&["invite", "create", "--site", "EM1", "--role", "station"])?;
    let code = made
        .get("invite")
        .and_then(|it| it.as_str())
        .context("no code")?;
    // Nobody answers here.
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    let hub = silent.local_addr()?.to_string();
    let mut child = Command::new(binary()?)
        .arg("--data")
        .arg(network.scratch.join("fresh"))
        .args(["join", code, "--hub", &hub])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
    let told = lines
        .map_while(Result::ok)
        .find(|line| line.contains(" for "));
    child.kill()?;
    child.wait()?;
    ensure!(
        told.as_deref() == Some("asking the hub, for 1 s"),
        "{told:?}"
    );
    Ok(())
}
