//! Counterexamples of the model of the rules, played against real nodes.
//!
//! The model says what counts, with each rule as a switch. A schedule is the shortest run that was found in which the
//! model, with one rule switched off, breaks a promise: it is named after that rule. Played here with a hub, three honest
//! stations and a hostile device, the promises hold after every step, and in the end all nodes are alike
//! ([`watch`]). The patches in `tests/mutants` take such rules out of the code; a schedule or another test fails then.
//!
//! Left out are the rules about a hub that comes back from a backup with a new certificate: `resume` has scenarios of its own.

mod hostile;
mod player;
mod random;
mod schedule;
mod watch;

use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow, ensure};

use lianxin_tests::world::HUB;
use player::Player;
use schedule::{Recipe, Schedule, Step};

/// Random schedules of one run, unless `LIANXIN_SCHEDULES` says how many.
const SEEDS: u64 = 20;
const STEPS: usize = 40;

fn play(schedule: &Schedule) -> Result<Player> {
    let mut player = Player::new(1)?;
    for (at, step) in schedule.steps.iter().enumerate() {
        let played = player.play(step);
        played.with_context(|| format!("without {}, step {at}: {step}", schedule.name))?;
    }
    let settled = player.settle();
    settled.with_context(|| format!("without {}, in the end", schedule.name))?;
    Ok(player)
}

#[test]
fn what_breaks_the_model_without_a_rule_does_not_break_real_nodes() -> Result<()> {
    let mut failed = Vec::new();
    for schedule in schedule::read(include_str!("model/schedules.txt"))? {
        let name = &schedule.name;
        match play(&schedule) {
            Err(error) => failed.push(format!("{error:#}")),
            Ok(player) => {
                let (skipped, steps) = (player.skipped, schedule.steps.len());
                if skipped * 4 > steps {
                    failed.push(format!("without {name}: {skipped} of {steps} are skipped"));
                }
            }
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

#[test]
fn random_schedules_break_no_promise() -> Result<()> {
    let seeds = match std::env::var("LIANXIN_SCHEDULES") {
        Ok(seeds) => seeds.parse().context("LIANXIN_SCHEDULES is a number")?,
        Err(_) => SEEDS,
    };
    let mut failed = Vec::new();
    for seed in 0..seeds {
        let (steps, outcome) = random::play(seed, STEPS);
        if let Err(error) = outcome {
            let mut text = format!("seed {seed}: {error:#}\n");
            steps.iter().try_for_each(|step| writeln!(text, "{step}"))?;
            failed.push(text);
        }
    }
    ensure!(failed.is_empty(), anyhow!(failed.join("\n")));
    Ok(())
}

#[test]
fn a_branch_is_followed_wherever_its_runs_were_cut() -> Result<()> {
    // One node has a log up to the fork in one piece; the hub's runs begin within it and are long.
    const FORK: u64 = 41;
    const B: usize = 2;
    let mut player = Player::new(1)?;
    let name = |n: u64| format!("d{n}");
    player.play(&Step::Begin {
        name: name(0),
        cites: 0,
    })?;
    let sign = |player: &mut Player, name: String, after: u64| {
        let recipe = Recipe {
            after: format!("d{after}"),
            record: 1,
            deps: Vec::from_iter((after > 0).then(|| format!("d{after}"))),
            number: u32::try_from(after)? + 1,
            ..Recipe::default()
        };
        player.play(&Step::Sign { name, recipe })
    };
    for n in 1..72 {
        sign(&mut player, name(n), n - 1)?;
    }
    sign(&mut player, "other".to_owned(), FORK - 1)?;
    for run in [0..FORK - 1, FORK - 1..72] {
        let names: Vec<_> = run.map(name).collect();
        let log = player.hostile.get(&name(0))?.log;
        let batch = player.hostile.joined(&names)?;
        player.world.hand_over(HUB, log, batch)?;
    }
    player.check(HUB)?;
    player.play(&Step::Deliver {
        to: B,
        name: "other".to_owned(),
    })?;
    player.settle()
}
