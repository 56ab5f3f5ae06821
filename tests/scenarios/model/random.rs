//! Random schedules, made while they are played: the next step goes by what the nodes hold.

use std::collections::BTreeSet;

use anyhow::Result;
use lianxin_tests::Rng;

use super::player::Player;
use super::schedule::{NODES, NOWHERE, Ordered, Recipe, Step};

/// How many logs the hostile device begins, and how many records there are.
const LOGS_MAX: usize = 2;
const RECORDS_MAX: u32 = 3;

/// The next step, of a name that no step before it had.
pub(super) fn next(player: &Player, rng: &mut Rng, at: usize) -> Option<Step> {
    let node = rng.below(NODES.len());
    match rng.below(100) {
        0..18 => write(player, rng, at),
        18..50 => hostile(player, rng, at),
        50..72 => {
            let names: Vec<_> = player.hostile.names().collect();
            let name = (*rng.pick(&names)?).clone();
            Some(Step::Deliver { to: node, name })
        }
        72..94 => {
            let other = (node + 1 + rng.below(NODES.len() - 1)) % NODES.len();
            Some(Step::Sync { one: node, other })
        }
        _ => order(player, rng).map(Step::Order),
    }
}

fn write(player: &Player, rng: &mut Rng, at: usize) -> Option<Step> {
    let node = rng.below(NODES.len());
    let name = format!("w{at}");
    let known: Vec<_> = player.records.keys().copied().collect();
    let new = u32::try_from(known.len()).ok()? + 1;
    if known.is_empty() || (new <= RECORDS_MAX && rng.chance(15)) {
        // The hub's own records lie in a space of its own.
        let at = node.max(1);
        let record = new;
        return Some(Step::Write { name, at, record });
    }
    let record = *rng.pick(&known)?;
    let at = node;
    Some(Step::Write { name, at, record })
}

fn hostile(player: &Player, rng: &mut Rng, at: usize) -> Option<Step> {
    let name = format!("d{at}");
    let begun = player.begun.len();
    if begun == 0 || (begun < LOGS_MAX && rng.chance(12)) {
        let cites = rng.below(player.cites.len());
        return Some(Step::Begin { name, cites });
    }
    let names: Vec<&String> = player.hostile.names().collect();
    let after = (*rng.pick(&names)?).clone();
    let branch = player.hostile.branch(&after);
    let known: Vec<u32> = player.records.keys().copied().collect();
    let new = u32::try_from(known.len()).ok()? + 1;
    if known.is_empty() || (new <= RECORDS_MAX && rng.chance(10)) {
        let recipe = Recipe {
            after,
            record: new,
            number: 1,
            ..Recipe::default()
        };
        return Some(Step::Sign { name, recipe });
    }
    let record = *rng.pick(&known)?;
    let own: Vec<_> = branch
        .into_iter()
        .filter(|it| player.is_of(it, record))
        .collect();
    let seen = player.seen.get(rng.below(NODES.len()))?;
    let seen = seen.counted.iter().filter(|it| player.is_of(it, record));
    let mine: Vec<&str> = seen.map(String::as_str).chain(own.clone()).collect();
    let mut recipe = Recipe {
        after: after.clone(),
        record,
        number: 1,
        ..Recipe::default()
    };
    if rng.chance(8) {
        recipe.usurps = true;
    } else if mine.is_empty() {
        recipe.deps.push(NOWHERE.to_owned());
    } else {
        let mut deps = BTreeSet::new();
        for _ in 0..=rng.below(2) {
            deps.extend(rng.pick(&mine).copied());
        }
        deps.extend(own.last().copied().filter(|_| rng.chance(85)));
        recipe.deps = deps.into_iter().map(str::to_owned).collect();
        let follows = rng.chance(85);
        let number = if follows {
            own.len() + 1
        } else {
            1 + rng.below(3)
        };
        recipe.number = u32::try_from(number).ok()?;
        recipe.gap = *rng.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 1, u32::MAX])?;
        recipe.voids = rng.chance(15);
        recipe.names = rng
            .pick(&mine)
            .map(|it| (*it).to_owned())
            .into_iter()
            .collect();
    }
    Some(Step::Sign { name, recipe })
}

fn order(player: &Player, rng: &mut Rng) -> Option<Ordered> {
    Some(match rng.below(10) {
        0..3 => Ordered::Revoke,
        3..6 => Ordered::Grant,
        6 => Ordered::Narrow,
        _ => {
            let held: Vec<_> = player.seen.first()?.standing.iter().collect();
            let name = (*rng.pick(&held)?).clone();
            let seq = player.hostile.get(&name).ok()?.seq();
            let from = rng.next_u64() % (seq + 1);
            Ordered::Adopt { name, from }
        }
    })
}

/// Plays so many steps and then lets all exchange what they have. Gives what was played, also where it failed.
pub(super) fn play(seed: u64, steps: usize) -> (Vec<Step>, Result<()>) {
    let mut played = Vec::new();
    let outcome = play_into(seed, steps, &mut played);
    (played, outcome)
}

fn play_into(seed: u64, steps: usize, played: &mut Vec<Step>) -> Result<()> {
    let mut rng = Rng::new(seed);
    let mut player = Player::new(seed)?;
    for at in 0..steps {
        if let Some(step) = next(&player, &mut rng, at) {
            played.push(step.clone());
            player.play(&step)?;
        }
    }
    player.settle()
}
