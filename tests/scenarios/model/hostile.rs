//! An enrolled device whose key the tests hold: it signs any tree of entries.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use lianxin_protocol::batch;
use lianxin_protocol::identity::Signer;
use lianxin_protocol::log::{
    DigestMode, EntryKind, Genesis, GenesisReason, LogId, NewEntry, Position, RecordId, Run, Tail,
    VerifiedRun, digest,
};
use lianxin_protocol::message::WireBatch;
use lianxin_protocol::space::SpaceId;

/// Hash of a change.
pub(super) type Hash = [u8; 32];
/// The actor of a log.
pub(super) type Actor = [u8; 16];

/// Length and head of the authority log.
pub(super) type Cited = (u32, [u8; 32]);

/// The device.
#[derive(Debug)]
pub(super) struct Hostile {
    pub(super) signer: Signer,
    entries: BTreeMap<String, Signed>,
    logs: u32,
    now_ms: u64,
}

/// An entry, as a run of its own.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) log: LogId,
    after: Option<String>,
    cited: Cited,
    run: VerifiedRun,
}

impl Signed {
    /// The position after it.
    pub(super) const fn end(&self) -> Position {
        self.run.end()
    }

    pub(super) const fn seq(&self) -> u64 {
        self.run.end().len - 1
    }

    pub(super) fn wire(&self) -> WireBatch {
        let run = self.run.run();
        WireBatch {
            log: run.log.prefix(),
            start: run.start,
            packed: batch::pack(run),
        }
    }
}

impl Hostile {
    pub(super) const fn new(signer: Signer, now_ms: u64) -> Self {
        Self {
            signer,
            entries: BTreeMap::new(),
            logs: 0,
            now_ms,
        }
    }

    pub(super) fn get(&self, name: &str) -> Result<&Signed> {
        let entry = self.entries.get(name);
        entry.with_context(|| format!("no entry {name}"))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.entries.keys()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The entries up to this one, from the log's first.
    pub(super) fn branch(&self, name: &str) -> Vec<&str> {
        let mut branch = Vec::new();
        let mut at = self.entries.get_key_value(name);
        while let Some((name, entry)) = at {
            branch.push(name.as_str());
            let before = entry.after.as_ref();
            at = before.and_then(|name| self.entries.get_key_value(name));
        }
        branch.reverse();
        branch
    }

    /// The entry of this id.
    pub(super) fn of_id(&self, id: &[u8; 32]) -> Option<&str> {
        let found = self.entries.iter().find(|(_, it)| it.end().head == *id);
        found.map(|(name, _)| name.as_str())
    }

    /// A part of a branch as one run.
    pub(super) fn joined(&self, names: &[String]) -> Result<WireBatch> {
        let mut runs = Vec::new();
        for name in names {
            runs.push(self.get(name)?.run.run().clone());
        }
        let first = runs.first().context("no entries")?.clone();
        let last = runs.last().context("no entries")?.checkpoint.clone();
        let run = Run {
            entries: runs.into_iter().flat_map(|run| run.entries).collect(),
            checkpoint: last,
            ..first
        };
        Ok(WireBatch {
            log: run.log.prefix(),
            start: run.start,
            packed: batch::pack(&run),
        })
    }

    /// Begins a log whose actor comes before those of honest logs: where a program goes by that order, it goes wrong.
    pub(super) fn begin(&mut self, name: &str, space: SpaceId, cited: Cited) {
        self.logs += 1;
        let mut genesis = Genesis {
            space,
            device: self.signer.public(),
            incarnation: [0; 16],
            previous: None,
            reason: GenesisReason::New,
            authority_head: cited.1,
        };
        for nonce in 0..=u16::MAX {
            genesis.incarnation = (u128::from(self.logs) << 64 | u128::from(nonce)).to_be_bytes();
            if genesis.log().actor().first() == Some(&0) {
                break;
            }
        }
        let hlc = self.now_ms << 16;
        let run = Tail::begin(&genesis, hlc, cited.0).sign(&self.signer, cited, hlc);
        let log = genesis.log();
        let after = None;
        let signed = Signed {
            log,
            after,
            cited,
            run,
        };
        self.entries.insert(name.to_owned(), signed);
    }

    /// Signs one more entry after another.
    pub(super) fn append(&mut self, name: &str, after: &str, new: NewEntry) -> Result<()> {
        let before = self.get(after)?.clone();
        let mut tail = Tail {
            log: before.log,
            author: before.run.author(),
            start: before.end(),
            end: before.end(),
            entries: Vec::new(),
        };
        self.now_ms += 1;
        let hlc = self.now_ms << 16;
        tail.push_group(vec![new], hlc, before.cited.0);
        let signed = Signed {
            run: tail.sign(&self.signer, before.cited, hlc),
            after: Some(after.to_owned()),
            ..before
        };
        self.entries.insert(name.to_owned(), signed);
        Ok(())
    }
}

/// An entry that carries a change.
pub(super) const fn entry(record: RecordId, payload: Vec<u8>) -> NewEntry {
    NewEntry {
        kind: EntryKind::Change,
        digest: DigestMode::Change,
        erasable: false,
        record,
        payload,
    }
}

/// A change written byte by byte.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) deps: Vec<Hash>,
    pub(super) actor: Actor,
    pub(super) number: u32,
    /// Number of its first operation.
    pub(super) first: u32,
    /// Actors that it lists beside its own.
    pub(super) others: Vec<Actor>,
    pub(super) act: Act,
}

/// What a change does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Founds a record, in the name of this account.
    Found { by: String },
    /// Puts a field of this key, in the map that this actor's founding change made.
    Put { key: String, founder: Actor },
    /// Takes away the map of events that this actor's founding change made.
    Void { founder: Actor },
}

/// The founding change puts the kind, then makes `fields` and `events`: the numbers of these operations.
const FIELDS: u8 = 2;
const EVENTS: u8 = 3;

impl Draft {
    /// How many operations it has.
    pub(super) const fn operations(&self) -> u32 {
        match self.act {
            Act::Found { .. } => 4,
            Act::Put { .. } | Act::Void { .. } => 1,
        }
    }

    /// Its bytes and its hash; of a put the value is chosen so that the hash comes before those of others.
    pub(super) fn seal(&self) -> (Vec<u8>, Hash) {
        let mut sealed = self.with("0");
        if matches!(self.act, Act::Put { .. }) {
            for nonce in 0..4_096 {
                sealed = self.with(&nonce.to_string());
                if sealed.1.first() == Some(&0) {
                    break;
                }
            }
        }
        sealed
    }

    fn with(&self, value: &str) -> (Vec<u8>, Hash) {
        let mut content = number(self.deps.len());
        content.extend(self.deps.iter().flatten());
        content.push(16);
        content.extend(self.actor);
        content.extend(number(self.number));
        content.extend(number(self.first));
        // Time and message.
        content.extend([0, 0]);
        content.extend(number(self.others.len()));
        for actor in &self.others {
            content.push(16);
            content.extend(actor);
        }
        let columns = self.columns(value);
        content.extend(number(columns.len()));
        for (specification, bytes) in &columns {
            content.extend(number(*specification));
            content.extend(number(bytes.len()));
        }
        content.extend(columns.iter().flat_map(|(_, bytes)| bytes));
        let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1];
        chunk.extend(number(content.len()));
        chunk.extend(content);
        let hash = digest(DigestMode::Change, &chunk);
        chunk.splice(4..8, hash.into_iter().take(4));
        (chunk, hash)
    }

    /// Columns of its operations, run-length encoded: 127 begins a run of one, 124 one of four, and 2 or 4 says how many alike follow.
    fn columns(&self, value: &str) -> Vec<(u8, Vec<u8>)> {
        const KIND: &str = "kind";
        const OPINION: &str = "opinion";
        let text = |text: &str| [number(text.len()), text.as_bytes().to_vec()].concat();
        let one = |bytes: Vec<u8>| [vec![127], bytes].concat();
        let typed = |text: &str| number(text.len() << 4 | 6);
        let by = |actor: &Actor| {
            let at = self.others.iter().position(|it| it == actor);
            number(at.map_or(0, |at| at + 1))
        };
        match &self.act {
            Act::Found { by } => {
                let keys = [text(KIND), text("fields"), text("events"), text("by")];
                vec![
                    (21, [vec![124], keys.concat()].concat()),
                    (52, vec![4]),
                    (66, vec![127, 1, 2, 0, 127, 1]),
                    (
                        86,
                        [one(typed(OPINION)), vec![2, 0], one(typed(by))].concat(),
                    ),
                    (87, [OPINION.as_bytes(), by.as_bytes()].concat()),
                    (112, vec![4, 0]),
                ]
            }
            Act::Put { key, founder } => vec![
                (1, one(by(founder))),
                (2, one(vec![FIELDS])),
                (21, one(text(key))),
                (52, vec![1]),
                (66, one(vec![1])),
                (86, one(typed(value))),
                (87, value.into()),
                (112, one(vec![0])),
            ],
            Act::Void { founder } => vec![
                (21, one(text("events"))),
                (52, vec![1]),
                (66, one(vec![3])),
                (86, one(vec![0])),
                (112, one(vec![1])),
                (113, one(by(founder))),
                (115, one(vec![EVENTS])),
            ],
        }
    }
}

/// A number as LEB128.
fn number(value: impl TryInto<u64>) -> Vec<u8> {
    let mut value: u64 = value.try_into().unwrap_or_default();
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}
