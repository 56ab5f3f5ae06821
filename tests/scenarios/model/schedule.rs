//! Schedules as text: one step a line, entries by names that the schedule gives them.

use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};

/// Names of the nodes, in the order of the world's.
pub(super) const NODES: [&str; 4] = ["H", "A", "B", "C"];
/// The name of a change that nobody has.
pub(super) const NOWHERE: &str = "?";

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// An honest node saves into a record, which it founds if nobody has.
    Write {
        name: String,
        at: usize,
        record: u32,
    },
    /// The hostile device begins a log, citing the authority log as it was after so many of its orders.
    Begin { name: String, cites: usize },
    /// The hostile device signs a change.
    Sign { name: String, recipe: Recipe },
    /// A branch of the hostile device is handed to a node.
    Deliver { to: usize, name: String },
    /// Two nodes have a session.
    Sync { one: usize, other: usize },
    /// The hub gives an order about the hostile device.
    Order(Ordered),
}

/// An order about the hostile device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ordered {
    Revoke,
    /// It may write again.
    Grant,
    /// It may read and no more.
    Narrow,
    /// What it wrote from this place up to the entry of this name.
    Adopt {
        name: String,
        from: u64,
    },
}

/// How a hostile change is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recipe {
    /// The entry before it.
    pub(super) after: String,
    pub(super) record: u32,
    pub(super) deps: Vec<String>,
    /// Which change of its log in the record it says it is.
    pub(super) number: u32,
    /// Operation numbers that it leaves out; `u32::MAX` for all there are.
    pub(super) gap: u32,
    /// It founds a record whose id its place does not give.
    pub(super) usurps: bool,
    /// It takes the record's events away.
    pub(super) voids: bool,
    /// Entries whose authors it lists.
    pub(super) names: Vec<String>,
}

/// A schedule with its name.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// Reads schedules; each begins with a line of its name, and `#` begins a remark.
pub(super) fn read(text: &str) -> Result<Vec<Schedule>> {
    let mut schedules: Vec<Schedule> = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => {}
            ["without", name] => schedules.push(Schedule {
                name: (*name).to_owned(),
                steps: Vec::new(),
            }),
            words => {
                let step = step(words).with_context(|| line.to_owned())?;
                let last = schedules.last_mut().context("a step of no schedule")?;
                last.steps.push(step);
            }
        }
    }
    Ok(schedules)
}

fn step(words: &[&str]) -> Result<Step> {
    let node = |name: &str| {
        let at = NODES.iter().position(|it| *it == name);
        at.with_context(|| format!("no node {name}"))
    };
    let owned = |name: &str| name.to_owned();
    Ok(match words {
        ["write", name, at, record] => Step::Write {
            name: owned(name),
            at: node(at)?,
            record: record.parse()?,
        },
        ["begin", name, cites] => Step::Begin {
            name: owned(name),
            cites: cites.parse()?,
        },
        ["sign", name, rest @ ..] => Step::Sign {
            name: owned(name),
            recipe: recipe(rest)?,
        },
        ["deliver", to, name] => Step::Deliver {
            to: node(to)?,
            name: owned(name),
        },
        ["sync", one, other] => Step::Sync {
            one: node(one)?,
            other: node(other)?,
        },
        ["revoke"] => Step::Order(Ordered::Revoke),
        ["grant"] => Step::Order(Ordered::Grant),
        ["narrow"] => Step::Order(Ordered::Narrow),
        ["adopt", name, from] => Step::Order(Ordered::Adopt {
            name: owned(name),
            from: from.parse()?,
        }),
        _ => bail!("no step"),
    })
}

fn recipe(words: &[&str]) -> Result<Recipe> {
    let names = |list: &str| list.split(',').map(str::to_owned).collect();
    let mut recipe = Recipe {
        number: 1,
        ..Recipe::default()
    };
    for pair in words.chunks(2) {
        match *pair {
            ["after", name] => recipe.after = name.to_owned(),
            ["in", record] => recipe.record = record.parse()?,
            ["on", list] => recipe.deps = names(list),
            ["number", number] => recipe.number = number.parse()?,
            ["gap", "far"] => recipe.gap = u32::MAX,
            ["gap", gap] => recipe.gap = gap.parse()?,
            ["naming", list] => recipe.names = names(list),
            ["and", "usurps"] => recipe.usurps = true,
            ["and", "voids"] => recipe.voids = true,
            _ => bail!("{pair:?} says nothing"),
        }
    }
    ensure!(!recipe.after.is_empty(), "it follows on nothing");
    Ok(recipe)
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = |at: &usize| NODES.get(*at).copied().unwrap_or_default();
        match self {
            Self::Write { name, at, record } => write!(out, "write {name} {} {record}", node(at)),
            Self::Begin { name, cites } => write!(out, "begin {name} {cites}"),
            Self::Sign { name, recipe } => write!(out, "sign {name} {recipe}"),
            Self::Deliver { to, name } => write!(out, "deliver {} {name}", node(to)),
            Self::Sync { one, other } => write!(out, "sync {} {}", node(one), node(other)),
            Self::Order(Ordered::Revoke) => write!(out, "revoke"),
            Self::Order(Ordered::Grant) => write!(out, "grant"),
            Self::Order(Ordered::Narrow) => write!(out, "narrow"),
            Self::Order(Ordered::Adopt { name, from }) => write!(out, "adopt {name} {from}"),
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "after {} in {}", self.after, self.record)?;
        if !self.deps.is_empty() {
            write!(out, " on {} number {}", self.deps.join(","), self.number)?;
        }
        match self.gap {
            0 => {}
            u32::MAX => write!(out, " gap far")?,
            gap => write!(out, " gap {gap}")?,
        }
        if !self.names.is_empty() {
            write!(out, " naming {}", self.names.join(","))?;
        }
        if self.usurps {
            write!(out, " and usurps")?;
        }
        if self.voids {
            write!(out, " and voids")?;
        }
        Ok(())
    }
}
