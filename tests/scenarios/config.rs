//! The configuration as the program takes it: which layer wins, what is refused, and that a value that was
//! set has its effect.

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{
    Daemon, Device, LOOPBACK, Network, Outcome, Scratch, Started, opinion,
};
use serde_json::{Value, json};

/// A hub whose data directory has this configuration.
fn hub(scratch: &Scratch, configuration: &str, init: &[&str]) -> Result<Device> {
    let hub = Device::new(scratch.join("hub"));
    hub.ok(&[&["hub", "init", "--name", "示例街道"][..], init].concat())?;
    std::fs::write(hub.directory.join("lianxin.toml"), configuration)?;
    Ok(hub)
}

/// Runs a command with one more environment variable.
fn with(device: &Device, name: &str, value: &str, arguments: &[&str]) -> Result<Outcome> {
    let mut command = device.command(arguments)?;
    command.env(name, value);
    Started::new(command, Vec::new())?.finish(std::time::Duration::from_secs(20))
}

fn start(device: &Device, variable: Option<&str>, arguments: &[&str]) -> Result<Daemon> {
    let mut command = device.command(&[&["run"], arguments].concat())?;
    if let Some(address) = variable {
        command.env("LIANXIN_SYNC__LISTEN", address);
    }
    Device::start(command)
}

/// Value and layer of each key, as `config show` has them.
fn shown(reply: &Value, key: &str) -> Result<(Value, String)> {
    ensure!(reply["schema"] == "lianxin.config-show/1", "{reply}");
    let values = reply["values"].as_array().context("no values")?;
    let entry = values
        .iter()
        .find(|it| it["key"] == key)
        .context("no key")?;
    let layer = entry["origin"].as_str().unwrap_or_default();
    Ok((entry["value"].clone(), layer.to_owned()))
}

#[test]
fn flag_beats_environment_beats_file_beats_what_the_hub_kept() -> Result<()> {
    let scratch = Scratch::new()?;
    // Each layer has a loopback address of its own, and the ready line says which one was taken.
    let [kept, file, variable, flag] = ["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0", "127.0.0.5:0"];
    let hub = hub(&scratch, "", &["--listen", kept])?;
    let taken = |variable: Option<&str>, flags: &[&str]| -> Result<String> {
        let daemon = start(&hub, variable, flags)?;
        let address = daemon.address;
        daemon.stop()?;
        Ok(format!("{}:0", address.ip()))
    };
    ensure!(taken(None, &[])? == kept);
    let path = hub.directory.join("lianxin.toml");
    std::fs::write(&path, format!("[sync]\nlisten = \"{file}\"\n"))?;
    ensure!(taken(None, &[])? == file);
    ensure!(taken(Some(variable), &[])? == variable);
    ensure!(taken(Some(variable), &["--listen", flag])? == flag);

    let shown_now = hub.ok(&["config", "show"])?;
    ensure!(shown(&shown_now, "sync.listen")? == (json!(file), "file".to_owned()));
    ensure!(shown(&shown_now, "web.listen")? == (json!("127.0.0.1:8080"), "default".to_owned()));
    let from = with(&hub, "LIANXIN_SYNC__LISTEN", variable, &["config", "show"])?.exits(0)?;
    ensure!(shown(&from, "sync.listen")? == (json!(variable), "environment".to_owned()));
    Ok(())
}

#[test]
fn the_time_without_receipt_is_the_configured_one() -> Result<()> {
    let mut network = Network::new()?;
    network.hub_stops()?;
    let station = &network.station;
    station.add(&[opinion("late")])?;
    ensure!(station.ok(&["status"])?["unreceipted"] == 1);
    let path = station.directory.join("lianxin.toml");
    std::fs::write(path, "[status]\nunreceipted_minutes = 0\n")?;
    station.call(&["status"])?.exits(1)?;
    let name = "LIANXIN_STATUS__UNRECEIPTED_MINUTES";
    with(station, name, "1", &["status"])?.exits(0)?;
    // Who asks decides, also where a daemon answers.
    let daemon = start(station, None, &["--listen", LOOPBACK])?;
    station.call(&["status"])?.exits(1)?;
    with(station, name, "1", &["status"])?.exits(0)?;
    daemon.stop()
}

#[test]
fn a_wrong_configuration_stops_the_daemon_and_says_where_it_is_wrong() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = hub(&scratch, "[web]\nlisten = \"0.0.0.0:8080\"\n", &[])?;
    for arguments in [
        &["run"][..],
        &["status"],
        &["config", "show"],
        &["config", "validate"],
    ] {
        let said = hub.call(arguments)?.fails(4, "LX-6001")?;
        ensure!(
            said.contains("lianxin.toml:2:10: `web.listen` takes"),
            "{said}"
        );
    }
    // Recording does not depend on it.
    hub.add(&[opinion("kept")])?;
    std::fs::write(hub.directory.join("lianxin.toml"), "[web]\nlisen = 1\n")?;
    let said = hub.call(&["run"])?.fails(4, "LX-6001")?;
    ensure!(said.contains("did you mean `web.listen`?"), "{said}");
    std::fs::remove_file(hub.directory.join("lianxin.toml"))?;
    let said = with(&hub, "LIANXIN_LOG", "debug", &["run"])?.fails(4, "LX-6001")?;
    ensure!(
        said.contains("did you mean `LIANXIN_LOG__LEVEL`?"),
        "{said}"
    );
    hub.call(&["run", "--web", "192.0.2.1:80"])?
        .fails(4, "LX-6001")?;
    hub.call(&["run", "--web", "nonsense"])?
        .fails(4, "LX-4003")?;
    Ok(())
}

#[test]
fn validate_takes_the_example_and_refuses_what_is_no_configuration() -> Result<()> {
    let scratch = Scratch::new()?;
    let nobody = Device::new(scratch.join("nobody"));
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/lianxin.example.toml"
    );
    let reply = nobody.ok(&["config", "validate", example])?;
    ensure!(reply["schema"] == "lianxin.config-validate/1", "{reply}");
    ensure!(
        reply["files"] == json!([example]) && reply["set"] == 5,
        "{reply}"
    );

    let harmless = "\u{feff}[log]\r\nlevel = \"warn\"\r\n";
    let harmless = scratch.write("windows.toml", harmless)?;
    ensure!(nobody.ok(&["config", "validate", &harmless])?["set"] == 1);
    let marked = scratch.write("marked.toml", "\u{feff}[lag]\n")?;
    let said = nobody
        .call(&["config", "validate", &marked])?
        .fails(4, "LX-6001")?;
    ensure!(said.contains("marked.toml:1:2: "), "{said}");

    let large = "#\n".repeat(40_000);
    let wide: Vec<u8> = "\u{feff}[log]\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let bad: [(&str, &[u8], &str); 4] = [
        ("large.toml", large.as_bytes(), "at most 64 KiB"),
        ("wide.toml", &wide, "no UTF-8"),
        ("bytes.toml", b"# \xff\xfe\n", "no UTF-8"),
        (
            "half.toml",
            b"[log]\nlevel = \"inf",
            "half.toml:2:13: this is no TOML",
        ),
    ];
    for (name, bytes, what) in bad {
        let path = scratch.write(name, bytes)?;
        let said = nobody
            .call(&["config", "validate", &path])?
            .fails(4, "LX-6001")?;
        ensure!(said.contains(what) && said.len() < 300, "{name}: {said}");
    }
    for path in ["/dev/zero", "/proc/self/fd", "/"] {
        nobody
            .call(&["config", "validate", path])?
            .fails(4, "LX-6001")?;
    }
    nobody
        .call(&["config", "validate", "/nowhere/it.toml"])?
        .fails(2, "LX-1001")?;
    ensure!(
        !nobody.directory.exists(),
        "a question made a data directory"
    );
    Ok(())
}
