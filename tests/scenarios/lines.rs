//! Lines as there are: as slow as a modem, lossy, and there for seconds at a time. Real processes with a slow line between them.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::Rng;
use lianxin_tests::line::{Line, Shape};
use lianxin_tests::process::{Device, LOOPBACK, Network, now, opinion};
use serde_json::{Value, json};

/// What an old mobile line does: 9.6 kbit/s.
const MODEM: Shape = Shape {
    bytes_a_second: 1_200,
    delay: Duration::from_millis(300),
    queue: 16 * 1024,
    ..Shape::GOOD
};
/// 32 kbit/s, and 600 ms and a twentieth of the packets lost on the way.
const LOSSY: Shape = Shape {
    bytes_a_second: 4_000,
    delay: Duration::from_millis(300),
    loss_percent: 5,
    queue: 16 * 1024,
    ..Shape::GOOD
};

/// A second computer of the site, whose hub is at the end of a line.
fn behind(network: &Network, name: &str) -> Result<(Device, Line)> {
    let daemon = network.daemon.as_ref().context("no hub")?;
    let line = Line::to(daemon.address)?;
    let device = Device::new(network.scratch.join(name));
    let code = network.invite("EM1", "laptop")?;
    device.ok(&["join", &code, "--hub", &line.address.to_string()])?;
    device.ok(&["sync"])?;
    Ok((device, line))
}

/// Opinions of so many characters that hardly pack.
fn long(name: &str, count: usize, characters: usize) -> Vec<Value> {
    let mut rng = Rng::new(characters as u64);
    let mut text = || -> String {
        let one = |_| {
            u32::try_from(0x4e00 + rng.below(0x5000))
                .map_or('字', |at| char::from_u32(at).unwrap_or('字'))
        };
        (0..characters).map(one).collect()
    };
    (0..count)
        .map(|at| {
            let mut row = opinion(&format!("{name}{at}"));
            row["body"] = json!(text());
            row
        })
        .collect()
}

fn unreceipted(device: &Device) -> Result<u64> {
    let status = device.call(&["status"])?.json;
    status["unreceipted"].as_u64().context("no number")
}

/// Nothing is given up while bytes move, nothing is sent twice but what was lost, by `sync` as by the daemon.
#[test]
fn slow_lines_carry_everything_once() -> Result<()> {
    // Two of them, or each line would carry what the other's device wrote.
    let networks = (Network::new()?, Network::new()?);
    let slow = behind(&networks.0, "modem")?;
    let poor = behind(&networks.1, "lossy")?;
    std::thread::scope(|scope| {
        let modem = scope.spawn(|| -> Result<()> {
            let (device, line) = &slow;
            // Half a minute of this line, written down at once.
            device.add(&long("慢", 10, 1_500))?;
            let before = line.sent();
            line.shape(MODEM);
            let session = device.ok(&["sync"])?["sessions"][0].clone();
            let (sent, frames) = (line.sent() - before, &session["frame_bytes_out"]);
            let frames = frames.as_u64().context("no number")?;
            ensure!(frames > 24_000, "too little to show anything: {frames}");
            ensure!(sent * 10 <= frames * 13, "{sent} bytes for {frames}");
            ensure!(session["receipted"] == session["entries"], "{session}");
            Ok(())
        });
        let lossy = scope.spawn(|| -> Result<()> {
            let (device, line) = &poor;
            device.add(&long("损", 30, 1_500))?;
            let before = line.sent();
            line.shape(LOSSY);
            let daemon = device.run(LOOPBACK)?;
            let deadline = now() + Duration::from_secs(150);
            while unreceipted(device)? > 0 {
                ensure!(now() < deadline, "{} left", unreceipted(device)?);
                sleep(Duration::from_millis(500));
            }
            let sent = line.sent() - before;
            // 2 bytes and a half a character, which hardly pack, and a third more.
            ensure!(sent < 30 * 1_500 * 25 / 10 * 13 / 10 + 10_000, "{sent}");
            daemon.stop()
        });
        for done in [modem, lossy] {
            done.join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    })
}

/// A line that is there for five seconds at a time: in each of them something arrives, and has its receipt.
#[test]
fn what_arrives_in_a_short_window_has_its_receipt() -> Result<()> {
    let network = Network::new()?;
    let (device, line) = behind(&network, "windows")?;
    // A third of a minute of this line, written down at once; longer than a connection lives without a word.
    device.add(&long("窗", 20, 1_500))?;
    let shape = Shape {
        loss_percent: 0,
        ..LOSSY
    };
    let closed = Shape { up: false, ..shape };
    line.shape(closed);
    let daemon = device.run(LOOPBACK)?;
    let mut left = vec![unreceipted(&device)?];
    for _ in 0..3 {
        line.shape(shape);
        sleep(Duration::from_secs(5));
        line.shape(closed);
        sleep(Duration::from_secs(2));
        left.push(unreceipted(&device)?);
        sleep(Duration::from_secs(31));
    }
    let more = left.windows(2).filter(|pair| pair[1] < pair[0]).count();
    ensure!(more >= 2, "left after each window: {left:?}");
    line.shape(Shape::GOOD);
    let deadline = now() + Duration::from_secs(20);
    while unreceipted(&device)? > 0 {
        ensure!(
            now() < deadline,
            "a line that is back is not noticed: {left:?}"
        );
        sleep(Duration::from_millis(200));
    }
    daemon.stop()
}
