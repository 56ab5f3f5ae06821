//! What must hold of every node after every step, and of all of them in the end.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use lianxin_protocol::log::{LogId, Position};
use lianxin_protocol::receipt::Exception;
use lianxin_tests::world::HUB;
use serde_json::Value;

use super::player::{Given, Player};
use super::schedule::{NODES, Ordered};

/// What was seen of a node when it was last looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The changes that count.
    pub(super) counted: BTreeSet<String>,
    /// Hostile entries in place.
    pub(super) standing: BTreeSet<String>,
    /// How much of the authority log it follows.
    authority: u32,
    /// Pins of the hostile device's logs.
    pins: BTreeMap<LogId, Vec<Position>>,
    /// What the newest receipts say: the same again says no more.
    receipts: BTreeMap<LogId, (Position, u64, Vec<Exception>)>,
    arrivals: BTreeMap<String, u64>,
    /// How many events each record shows.
    events: BTreeMap<u32, usize>,
}

impl Player {
    /// Looks at a node and compares it with what was seen before.
    pub(super) fn check(&mut self, node: usize) -> Result<()> {
        let now = self.look(node)?;
        let was = self.seen.get_mut(node).context("no such node")?;
        let was = std::mem::replace(was, now.clone());
        if node == HUB && was.standing != now.standing {
            self.note_stored(&was, &now);
        }
        let name = NODES.get(node).copied().unwrap_or_default();
        let checked = self
            .finality(node, &was, &now)
            .and_then(|()| self.cuts(&now))
            .and_then(|()| self.numbers(&now))
            .and_then(|()| self.times(&was, &now))
            .and_then(|()| shown(&was, &now));
        checked.with_context(|| format!("at {name}"))?;
        self.waits(node, &now).with_context(|| format!("at {name}"))
    }

    fn look(&mut self, node: usize) -> Result<Seen> {
        let counted = self.counted(node)?;
        let standing = self.chain(node)?;
        let authority = self.cited(node)?.0;
        let logs: Vec<_> = self.world.site_logs(node)?.into_keys().collect();
        let begun: Vec<_> = self.begun.keys().copied().collect();
        let pins = begun.into_iter().map(|log| {
            let journal = &self.world.writer(node)?.journal;
            Ok((log, journal.authority().pins(&log)))
        });
        let pins = pins.collect::<Result<_>>()?;
        let mut receipts = BTreeMap::new();
        for log in logs {
            let writer = self.world.writer(node)?;
            let receipt = writer.read(|journal, connection| journal.receipt(connection, &log))?;
            receipts.extend(receipt.map(|it| (log, (it.stored, it.judged_len, it.exceptions))));
        }
        let mut arrivals = BTreeMap::new();
        for name in &standing {
            let signed = self.hostile.get(name)?;
            let (log, seq) = (signed.log, signed.seq());
            let arrived = self.world.writer(node)?.read(|journal, connection| {
                let sql = "SELECT id FROM logs WHERE log = ?1";
                let key: i64 = connection.query_row(sql, [log.0], |row| row.get(0))?;
                journal.arrived_at(connection, key << 40 | seq.cast_signed())
            })?;
            arrivals.extend(arrived.map(|it| (name.clone(), it)));
        }
        let mut events = BTreeMap::new();
        let ids: Vec<_> = self.records.iter().map(|(n, it)| (*n, it.id)).collect();
        for (record, id) in ids {
            if let Ok(shown) = self.world.show(node, &id.hyphenated()) {
                let list = shown.get("events").and_then(Value::as_array);
                events.insert(record, list.map_or(0, Vec::len));
            }
        }
        Ok(Seen {
            counted,
            standing,
            authority,
            pins,
            receipts,
            arrivals,
            events,
        })
    }

    fn note_stored(&mut self, was: &Seen, now: &Seen) {
        let log_of = |name: &str| self.hostile.get(name).ok().map(|it| it.log);
        let of = |log, seen: &Seen| -> Vec<String> {
            let names = seen.standing.iter();
            names.filter(|it| log_of(it) == log).cloned().collect()
        };
        let grown = |name: &&String| {
            let log = log_of(name);
            of(log, now) != of(log, was)
        };
        let stored: Vec<_> = now.standing.iter().filter(grown).cloned().collect();
        let at = self.now_ms();
        for name in stored {
            self.stored.entry(name).or_default().insert(at);
        }
    }

    /// What counted stops counting only by an order about its author or an ancestor's, or because an entry that no receipt
    /// covered lies on no pinned branch; at the hub, which pins what it has, not even that.
    fn finality(&self, node: usize, was: &Seen, now: &Seen) -> Result<()> {
        let news = |given: &&Given| was.authority < given.len && given.len <= now.authority;
        let news: Vec<_> = self.given.iter().filter(news).collect();
        for name in was.counted.difference(&now.counted) {
            let change = self.changes.get(name).context("no change")?;
            let line = change.before.iter().flatten().chain([name]);
            let gone: Vec<_> = line.filter(|it| !now.counted.contains(*it)).collect();
            let ordered = gone
                .iter()
                .any(|it| news.iter().any(|given| self.is_about(given, it)));
            if ordered {
                continue;
            }
            ensure!(node != HUB, "hub: {name} counted and does not any more");
            let lost = gone.iter().any(|it| self.is_lost(it, was, now));
            ensure!(lost, "finality: {name} counted and does not any more");
        }
        Ok(())
    }

    /// Whether an order is about this entry.
    fn is_about(&self, given: &Given, name: &str) -> bool {
        let Ok(signed) = self.hostile.get(name) else {
            return false;
        };
        match &given.order {
            Ordered::Revoke | Ordered::Grant | Ordered::Narrow => {
                let place = given.places.get(&signed.log);
                place.is_none_or(|len| signed.seq() >= *len)
            }
            Ordered::Adopt { name: to, .. } => {
                let same = self.hostile.get(to).is_ok_and(|it| it.log == signed.log);
                same && !self.hostile.branch(to).contains(&name)
            }
        }
    }

    /// Whether this entry lies off every pinned branch of its log, and no receipt that the node had covers it.
    fn is_lost(&self, name: &str, was: &Seen, now: &Seen) -> bool {
        let Ok(signed) = self.hostile.get(name) else {
            return false;
        };
        let has = |at: &Position| {
            let end = self.hostile.of_id(&at.head);
            end.is_some_and(|end| self.hostile.branch(end).contains(&name))
        };
        let pins = now.pins.get(&signed.log).map_or(&[][..], Vec::as_slice);
        let receipted = was.receipts.get(&signed.log).is_some_and(|it| has(&it.0));
        !pins.is_empty() && !pins.iter().any(has) && !receipted
    }

    /// What was cut, or begun while its device was blocked, counts only by an adoption.
    fn cuts(&self, now: &Seen) -> Result<()> {
        let known: Vec<_> = self
            .given
            .iter()
            .filter(|it| it.len <= now.authority)
            .collect();
        for name in &now.counted {
            let Ok(signed) = self.hostile.get(name) else {
                continue;
            };
            let adopted = known.iter().any(|given| match &given.order {
                Ordered::Adopt { name: to, from } => {
                    *from <= signed.seq() && self.hostile.branch(to).contains(&name.as_str())
                }
                _ => false,
            });
            if adopted {
                continue;
            }
            for (at, given) in known.iter().enumerate() {
                if given.order != Ordered::Revoke {
                    continue;
                }
                if let Some(cut) = given.places.get(&signed.log) {
                    ensure!(signed.seq() < *cut, "cut: {name} was cut, and counts");
                    continue;
                }
                let mut later = known.iter().skip(at);
                let begun = self.begun.get(&signed.log).context("not begun")?;
                let granted = later.any(|it| it.order == Ordered::Grant && it.step < *begun);
                ensure!(
                    granted,
                    "cut: {name} was begun while blocked, or hidden, and counts"
                );
            }
        }
        Ok(())
    }

    /// Changes of one log in one record that count have operation numbers of their own.
    fn numbers(&self, now: &Seen) -> Result<()> {
        let mut taken: BTreeMap<(LogId, u32), Vec<(u64, u64)>> = BTreeMap::new();
        for name in &now.counted {
            let change = self.changes.get(name).context("no change")?;
            let signed = self.hostile.get(name).map(|it| it.log);
            let Some(log) = signed.ok().or(change.place.map(|it| it.0)) else {
                continue;
            };
            let spans = taken.entry((log, change.record)).or_default();
            let apart = spans
                .iter()
                .all(|(first, last)| change.last < *first || *last < change.first);
            ensure!(
                apart,
                "opid: {name} numbers its operations as another of its log"
            );
            spans.push((change.first, change.last));
        }
        Ok(())
    }

    /// An arrival does not move while its entry stands, and says when the hub did store that entry.
    fn times(&self, was: &Seen, now: &Seen) -> Result<()> {
        for (name, at) in &now.arrivals {
            let stored = self.stored.get(name).is_some_and(|it| it.contains(at));
            ensure!(stored, "arrival: {name} did not arrive at {at}");
        }
        for (name, at) in &was.arrivals {
            let moved = now.standing.contains(name) && now.arrivals.get(name) != Some(at);
            ensure!(!moved, "arrival: that of {name} moved");
        }
        Ok(())
    }

    /// An honest change whose whole ancestry counts at a node that holds it counts there.
    fn waits(&mut self, node: usize, now: &Seen) -> Result<()> {
        let tips = self.world.site_logs(node)?;
        for (name, change) in &self.changes {
            let Some((log, seq)) = change.place else {
                continue;
            };
            let here = tips.get(&log).is_some_and(|tip| seq < tip.len);
            let ready = change
                .before
                .iter()
                .flatten()
                .all(|it| now.counted.contains(it));
            let waits = here && ready && !now.counted.contains(name);
            ensure!(!waits, "wait: {name} waits though its ancestry counts");
        }
        Ok(())
    }

    /// Whoever holds the same shows the same, and no projection says otherwise than what it was made from.
    pub(super) fn alike(&mut self) -> Result<()> {
        self.world.agree(&[1, 2, 3]).context("converge")?;
        let hub = self.seen.get(HUB).cloned().unwrap_or_default();
        for (node, name) in NODES.iter().enumerate() {
            let seen = self.seen.get(node).cloned().unwrap_or_default();
            ensure!(
                seen.counted == hub.counted,
                "converge: {name} counts {:?}, the hub {:?}",
                seen.counted,
                hub.counted
            );
            ensure!(
                seen.standing == hub.standing,
                "converge: {name} holds another branch"
            );
            ensure!(
                seen.arrivals == hub.arrivals,
                "arrival: {name} has others than the hub"
            );
            ensure!(
                seen.receipts == hub.receipts,
                "newest: {name} has other receipts"
            );
        }
        (0..NODES.len()).try_for_each(|node| self.world.sound(node))
    }
}

/// No event of a record vanishes while all that counted does.
fn shown(was: &Seen, now: &Seen) -> Result<()> {
    if !was.counted.is_subset(&now.counted) {
        return Ok(());
    }
    for (record, count) in &was.events {
        let kept = now.events.get(record).is_some_and(|it| it >= count);
        ensure!(kept, "finality: record {record} shows fewer events");
    }
    Ok(())
}
