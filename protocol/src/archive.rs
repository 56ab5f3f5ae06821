//! The archive 存档: logs, receipts and texts of one store as one file that anyone can check offline.
//!
//! Owns the file's bytes ([`Item`], [`Writer`], [`Reader`]) and its check: [`Audit`] says whether what stands there is
//! what was signed, [`Judging`] what of it counts. Must not open files.
//!
//! Entries stand as header and payload, not packed as in a batch, so that a checker needs a hash and a
//! signature library and nothing else. There is one order of items, so one content has one file. Of what
//! is read, one run of entries, the tips of one space and the orders are in memory, and of each log and each
//! change where it stands; all but the last are bounded by [`limits`], however long the file is.
//!
//! The file is not signed. Each log proves itself; that a whole log, or the end of one beyond its
//! receipt, was left out cannot be seen, and exporter, epoch and time are claims. Rejected: the packed
//! runs of the store, which bind the archive to a layout that may change; and JSON, three times as long.

mod judging;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::authority::{Authority, Certificate, Order, Succession, Unsettled};
use crate::codec::{self, DecodeError};
use crate::hash::{self, Hasher, Hex};
use crate::identity::DeviceKey;
use crate::limits;
use crate::log::{
    Author, ChainError, Checkpoint, Entry, EntryId, EntryKind, ForkProof, Header, LogId, Position,
    Run, VerifiedRun,
};
use crate::message::{Tip, space_digest};
use crate::receipt::Receipt;
use crate::space::{NetworkId, Space, SpaceId};
use crate::verdict::LogFacts;

pub use judging::{Counts, Judging, Withheld};

/// The first bytes of every archive.
pub const MAGIC: [u8; 16] = *b"lianxin archive\n";
/// The version that this program writes and reads.
pub const VERSION: u16 = 1;
/// Bytes before the first item.
const START: usize = MAGIC.len() + 2;
/// Bytes of an item before its body: type u8 and length u32.
const ITEM_HEAD: usize = 5;
/// Type of the end mark.
const END: u8 = 255;

/// What the archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The network.
    pub network: NetworkId,
    /// The root key's statement for the key that signs receipts.
    pub certificate: Certificate,
    /// The device that wrote the archive; a claim.
    pub device: DeviceKey,
    /// Its store; a claim.
    pub epoch: [u8; 16],
    /// When it began to write, in Unix milliseconds; a claim.
    pub taken_ms: u64,
}

/// One item between start and end mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Stands first, once.
    Head(Box<Head>),
    /// Opens a space; ascending.
    Space(Space),
    /// Opens a log of that space; ascending by id.
    Log {
        /// Its writer.
        device: DeviceKey,
        /// Its incarnation.
        incarnation: [u8; 16],
    },
    /// The newest receipt of the log, before its entries.
    Receipt(Receipt),
    /// The proof that the log forked, before its entries, and how far it counts in the store.
    Fork(Box<ForkProof>, Position),
    /// The next entry of the log.
    Entry(Entry),
    /// Covers the entries since the checkpoint before it.
    Checkpoint(Checkpoint),
    /// Digest of the space, which it closes.
    Digest([u8; 32]),
}

impl Item {
    const fn code(&self) -> u8 {
        match self {
            Self::Head(_) => 1,
            Self::Space(_) => 2,
            Self::Log { .. } => 3,
            Self::Receipt(_) => 4,
            Self::Fork(..) => 5,
            Self::Entry(_) => 6,
            Self::Checkpoint(_) => 7,
            Self::Digest(_) => 8,
        }
    }

    /// Type, length and body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = codec::Writer::new();
        match self {
            Self::Head(head) => {
                body.fixed(&head.network.0);
                head.certificate.write(&mut body);
                body.fixed(&head.device.0)
                    .fixed(&head.epoch)
                    .u64(head.taken_ms);
            }
            Self::Space(space) => {
                let (kind, site) = space.code();
                body.u8(kind).fixed(&site);
            }
            Self::Log {
                device,
                incarnation,
            } => {
                body.fixed(&device.0).fixed(incarnation);
            }
            Self::Receipt(receipt) => {
                body.fixed(&receipt.encode());
            }
            Self::Fork(proof, tip) => {
                proof.write(&mut body);
                body.u64(tip.len).fixed(&tip.head);
            }
            Self::Entry(entry) => {
                body.u8(u8::from(entry.payload.is_some()));
                entry.header.write(&mut body);
                body.fixed(entry.payload.as_deref().unwrap_or_default());
            }
            Self::Checkpoint(checkpoint) => {
                body.u64(checkpoint.len).fixed(&checkpoint.head);
                checkpoint.write(&mut body);
            }
            Self::Digest(digest) => {
                body.fixed(digest);
            }
        }
        framed(self.code(), &body.into_bytes())
    }

    fn decode(code: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = codec::Reader::new(body);
        let item = match code {
            1 => Self::Head(Box::new(Head {
                network: NetworkId(reader.fixed()?),
                certificate: Certificate::read(&mut reader)?,
                device: DeviceKey(reader.fixed()?),
                epoch: reader.fixed()?,
                taken_ms: reader.u64()?,
            })),
            2 => {
                let (kind, site) = (reader.u8()?, reader.fixed()?);
                match Space::of_code(kind, site) {
                    Some(space) => Self::Space(space),
                    None => return reader.fail("a space that there is not"),
                }
            }
            3 => Self::Log {
                device: DeviceKey(reader.fixed()?),
                incarnation: reader.fixed()?,
            },
            4 => return Ok(Self::Receipt(Receipt::decode(body)?)),
            5 => {
                let proof = Box::new(ForkProof::read(&mut reader)?);
                let (len, head) = (reader.u64()?, reader.fixed()?);
                Self::Fork(proof, Position { len, head })
            }
            6 => {
                let present = match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return reader.fail("a flag that is neither 0 nor 1"),
                };
                let header = Header::read(&mut reader)?;
                let payload = if present {
                    let len = reader.remaining();
                    Some(reader.take(len)?.to_vec())
                } else {
                    None
                };
                Self::Entry(Entry { header, payload })
            }
            7 => {
                let position = Position {
                    len: reader.u64()?,
                    head: reader.fixed()?,
                };
                Self::Checkpoint(Checkpoint::read(&mut reader, position)?)
            }
            8 => Self::Digest(reader.fixed()?),
            _ => return reader.fail("an item of an unknown type"),
        };
        reader.finish()?;
        Ok(item)
    }
}

/// Type of an item and length of its body, from the bytes before that.
fn item_head(bytes: &[u8]) -> Option<(u8, usize)> {
    let mut head = codec::Reader::new(bytes);
    let (code, len) = (head.u8().ok()?, usize::try_from(head.u32().ok()?).ok()?);
    (len <= limits::ARCHIVE_ITEM_MAX).then_some((code, len))
}

fn framed(code: u8, body: &[u8]) -> Vec<u8> {
    let mut item = codec::Writer::new();
    item.u8(code).bytes(body);
    item.into_bytes()
}

// ---- writing ----

/// Counts and hashes an archive as it is written. The caller writes the bytes that it is given.
#[derive(Debug)]
pub struct Writer {
    hasher: Hasher,
    items: u64,
}

impl Writer {
    /// Begins an archive: the writer and the file's first bytes. The head follows as first item.
    #[must_use]
    pub fn begin() -> (Self, Vec<u8>) {
        let mut start = codec::Writer::new();
        start.fixed(&MAGIC).u16(VERSION);
        let bytes = start.into_bytes();
        let mut hasher = hash::ARCHIVE.hasher();
        hasher.update(&bytes);
        (Self { hasher, items: 0 }, bytes)
    }

    /// The bytes of the next item.
    pub fn item(&mut self, item: &Item) -> Vec<u8> {
        let bytes = item.encode();
        self.encoded(&bytes, 1);
        bytes
    }

    /// Takes note of `count` items that were encoded elsewhere.
    pub fn encoded(&mut self, bytes: &[u8], count: u64) {
        self.hasher.update(bytes);
        self.items += count;
    }

    /// The end mark.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        let mut body = codec::Writer::new();
        body.u64(self.items).fixed(&self.hasher.finish());
        framed(END, &body.into_bytes())
    }
}

// ---- reading ----

/// Why bytes are not an archive, or from where on they are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The file does not begin as an archive does.
    #[error("this is not an archive")]
    NotAnArchive,
    /// A newer version wrote it.
    #[error("the archive has version {0}, this program reads version 1")]
    Newer(u16),
    /// What stands at this byte is no item, or not one that may stand there.
    #[error("byte {offset}: {what}")]
    Broken {
        /// Offset in the file.
        offset: u64,
        /// What was expected or exceeded there.
        what: &'static str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    Items,
    Ended,
    Failed(ReadError),
}

/// Cuts the bytes of an archive into items, and checks count and hash at the end mark.
#[derive(Debug)]
pub struct Reader {
    buffer: Vec<u8>,
    read: usize,
    /// Of `buffer[read]` in the file.
    offset: u64,
    hasher: Hasher,
    items: u64,
    phase: Phase,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            read: 0,
            offset: 0,
            hasher: hash::ARCHIVE.hasher(),
            items: 0,
            phase: Phase::Start,
        }
    }
}

impl Reader {
    /// Takes the next bytes of the file. Call [`Reader::next_item`] until it wants more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Offset of the next item in the file.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next item; `None` when more bytes are needed or the end mark was read.
    ///
    /// # Errors
    /// See [`ReadError`]; the same again with every later call.
    pub fn next_item(&mut self) -> Result<Option<Item>, ReadError> {
        let step = self.step();
        if let Err(error) = step {
            self.phase = Phase::Failed(error);
        }
        step
    }

    /// Says whether the archive is whole. Call when the file has ended.
    ///
    /// # Errors
    /// The end mark is missing, or an earlier error.
    pub fn finish(&self) -> Result<(), ReadError> {
        match self.phase {
            Phase::Ended => Ok(()),
            Phase::Failed(error) => Err(error),
            Phase::Start => Err(ReadError::NotAnArchive),
            Phase::Items => self.broken("the archive ends too early"),
        }
    }

    fn step(&mut self) -> Result<Option<Item>, ReadError> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        match self.phase {
            Phase::Failed(error) => return Err(error),
            Phase::Ended if rest.is_empty() => return Ok(None),
            Phase::Ended => return self.broken("bytes after the end"),
            Phase::Start => {
                let Some((magic, version)) = rest.split_first_chunk() else {
                    return Ok(None);
                };
                if *magic != MAGIC {
                    return Err(ReadError::NotAnArchive);
                }
                let Some(version) = version.first_chunk() else {
                    return Ok(None);
                };
                let version = u16::from_be_bytes(*version);
                if version != VERSION {
                    return Err(ReadError::Newer(version));
                }
                self.pass(START);
                self.phase = Phase::Items;
                return self.step();
            }
            Phase::Items => {}
        }
        let mut head = codec::Reader::new(rest);
        let (Ok(code), Ok(len)) = (head.u8(), head.u32()) else {
            return Ok(None);
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > limits::ARCHIVE_ITEM_MAX {
            return self.broken("an item beyond its bound");
        }
        let Ok(body) = head.take(len) else {
            return Ok(None);
        };
        if code == END {
            let mut body = codec::Reader::new(body);
            let (Ok(items), Ok(digest), true) =
                (body.u64(), body.fixed::<32>(), body.finish().is_ok())
            else {
                return self.broken("an end mark that is none");
            };
            if items != self.items || digest != self.hasher.finish() {
                return self.broken("the end mark does not fit what stands before it");
            }
            self.pass(ITEM_HEAD + len);
            self.phase = Phase::Ended;
            return self.step();
        }
        let item = match Item::decode(code, body) {
            Ok(item) => item,
            Err(error) => return self.broken(error.what),
        };
        self.pass(ITEM_HEAD + len);
        self.items += 1;
        Ok(Some(item))
    }

    /// Leaves bytes behind and hashes them.
    fn pass(&mut self, len: usize) {
        let end = self.read.saturating_add(len);
        self.hasher
            .update(self.buffer.get(self.read..end).unwrap_or_default());
        self.read = end.min(self.buffer.len());
        self.offset += len as u64;
    }

    const fn broken<T>(&self, what: &'static str) -> Result<T, ReadError> {
        Err(ReadError::Broken {
            offset: self.offset,
            what,
        })
    }
}

// ---- checking ----

/// What was checked, and what did not hold.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What the archive says of itself; `None` if it has no head.
    pub head: Option<Head>,
    /// Logs.
    pub logs: u64,
    /// Entries that a signed checkpoint covers and whose chain and payload hold.
    pub entries: u64,
    /// Of these, entries whose payload is not there: erased, or never received.
    pub absent: u64,
    /// Checkpoints that hold.
    pub checkpoints: u64,
    /// Receipts that hold.
    pub receipts: u64,
    /// Proofs of forks that hold.
    pub forks: u64,
    /// What does not hold, by log and entry; no content.
    pub bad: Vec<String>,
}

/// Checks an archive as its bytes come.
#[derive(Debug)]
pub struct Audit {
    reader: Reader,
    pinned: Option<NetworkId>,
    report: Report,
    judging: Judging,
    /// Offset of the item that is being taken.
    at: u64,
    /// Lines that did not fit the report.
    unsaid: u64,
    /// The file cannot be read on.
    stopped: bool,
    /// The head's key, if the root key certified it.
    authority: Option<DeviceKey>,
    /// Keys of the logs before the newest, whose receipts hold too.
    earlier: Vec<DeviceKey>,
    /// The certified authority logs so far.
    stories: BTreeMap<LogId, Story>,
    /// Their ids in the order of the fold, each log from the count at which it begins there: what checkpoints cite.
    cited: Vec<(usize, Vec<[u8; 32]>)>,
    /// Length of the authority log from which on the hub has told two stories.
    parted: usize,
    spaces: usize,
    last_space: Option<Space>,
    space: Option<OpenSpace>,
}

#[derive(Debug)]
struct OpenSpace {
    space: Space,
    id: SpaceId,
    tips: BTreeMap<LogId, Tip>,
    log: Option<OpenLog>,
}

/// A log of the authority space, as far as others cite it.
#[derive(Debug, Default)]
struct Story {
    certificate: Option<Certificate>,
    ids: Vec<[u8; 32]>,
    /// Kinds of these entries, and payloads of the orders.
    orders: Vec<(EntryKind, Option<Vec<u8>>)>,
    /// Where it forked.
    forked: Option<u64>,
}

#[derive(Debug)]
struct OpenLog {
    id: LogId,
    author: Author,
    /// What others cite of it, in the authority space.
    story: Option<Story>,
    end: Position,
    floor: u32,
    /// Entries that no checkpoint covers yet.
    open: Vec<Entry>,
    /// Where in the file these stand.
    offsets: Vec<u64>,
    /// A run did not hold: what follows is passed over.
    broken: bool,
    begun: bool,
    receipt: Option<Stated>,
    fork: Option<Stated>,
    /// Of a forked log: how far it counts.
    frozen: Option<Stated>,
}

/// A position that a receipt or a proof states, and whether the entries have confirmed it.
#[derive(Clone, Copy, Debug)]
struct Stated {
    position: Position,
    met: bool,
}

impl OpenLog {
    fn name(&self) -> String {
        Hex(&self.id.prefix()).to_string()
    }

    fn tip(&self) -> Tip {
        let forked = self.fork.is_some_and(|fork| fork.met);
        let frozen = self.frozen.filter(|frozen| forked && frozen.met);
        let position = frozen.map_or(self.end, |frozen| frozen.position);
        Tip {
            len: position.len,
            head: position.head,
            frozen: forked,
        }
    }

    /// Entries at or beyond this length do not count.
    fn held_to(&self) -> u64 {
        let tip = self.tip();
        if tip.frozen { tip.len } else { u64::MAX }
    }
}

impl Audit {
    /// A check that has not begun. With `pinned`, an archive of any other network is bad.
    #[must_use]
    pub fn new(pinned: Option<NetworkId>) -> Self {
        Self {
            reader: Reader::default(),
            pinned,
            report: Report::default(),
            judging: Judging::default(),
            at: 0,
            unsaid: 0,
            stopped: false,
            authority: None,
            earlier: Vec::new(),
            stories: BTreeMap::new(),
            cited: Vec::new(),
            parted: usize::MAX,
            spaces: 0,
            last_space: None,
            space: None,
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`ReadError::NotAnArchive`] and [`ReadError::Newer`]; anything else is in the report.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        if self.stopped {
            return Ok(());
        }
        self.reader.push(bytes);
        loop {
            let offset = self.reader.offset();
            let step = self.reader.next_item().and_then(|item| match item {
                None => Ok(false),
                Some(item) => {
                    self.at = offset;
                    let what = |what| ReadError::Broken { offset, what };
                    self.take(item).map_err(what).map(|()| true)
                }
            });
            match step {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error @ ReadError::Broken { .. }) => {
                    self.stopped = true;
                    self.bad(error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The file has ended: what was found.
    ///
    /// # Errors
    /// [`ReadError::NotAnArchive`] and [`ReadError::Newer`].
    pub fn finish(self) -> Result<Report, ReadError> {
        self.end().map(|(report, _)| report)
    }

    /// As [`Audit::finish`], and with it what is needed to judge what counts.
    ///
    /// # Errors
    /// [`ReadError::NotAnArchive`] and [`ReadError::Newer`].
    pub fn end(mut self) -> Result<(Report, Judging), ReadError> {
        if let Some(held_to) = self.log().map(|log| log.held_to()) {
            self.judging.frozen(held_to);
        }
        if !self.stopped {
            match self.reader.finish() {
                Ok(()) if self.report.head.is_none() => self.bad("the archive is empty".to_owned()),
                Ok(()) if self.space.is_some() => {
                    self.bad("the archive ends inside a space".to_owned());
                }
                Ok(()) => {}
                Err(error @ ReadError::Broken { .. }) => self.bad(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        if self.unsaid > 0 {
            self.report.bad.push(format!("and {} more", self.unsaid));
        }
        Ok((self.report, self.judging))
    }

    fn bad(&mut self, what: String) {
        if self.report.bad.len() < limits::ARCHIVE_BAD_MAX {
            self.report.bad.push(what);
        } else {
            self.unsaid += 1;
        }
    }

    /// One item; an error says that it may not stand here.
    fn take(&mut self, item: Item) -> Result<(), &'static str> {
        match (item, &mut self.space) {
            (Item::Head(head), _) if self.report.head.is_none() => {
                self.take_head(*head);
                Ok(())
            }
            (_, _) if self.report.head.is_none() => Err("an archive begins with its head"),
            (Item::Head(_), _) => Err("a second head"),
            (Item::Space(space), None) => self.take_space(space),
            (Item::Space(_), Some(_)) => Err("a space inside a space"),
            (_, None) => Err("an item outside of a space"),
            (
                Item::Log {
                    device,
                    incarnation,
                },
                Some(_),
            ) => self.take_log(device, &incarnation),
            (Item::Digest(digest), Some(_)) => {
                self.take_digest(&digest);
                Ok(())
            }
            (item, Some(space)) => {
                let log = space.log.as_mut().ok_or("an item outside of a log")?;
                match item {
                    Item::Receipt(_)
                        if log.begun || log.receipt.is_some() || log.fork.is_some() =>
                    {
                        Err("a receipt at the wrong place")
                    }
                    Item::Fork(..) if log.begun || log.fork.is_some() => {
                        Err("a fork proof at the wrong place")
                    }
                    Item::Receipt(receipt) => {
                        self.take_receipt(&receipt);
                        Ok(())
                    }
                    Item::Fork(proof, tip) => {
                        self.take_fork(&proof, tip);
                        Ok(())
                    }
                    Item::Entry(entry) => {
                        log.begun = true;
                        if !log.broken {
                            log.open.push(entry);
                            log.offsets.push(self.at);
                        }
                        if log.open.len() > limits::BATCH_ENTRIES {
                            self.break_log(ChainError::Count);
                        }
                        Ok(())
                    }
                    Item::Checkpoint(checkpoint) => {
                        log.begun = true;
                        self.take_checkpoint(checkpoint);
                        Ok(())
                    }
                    Item::Head(_) | Item::Space(_) | Item::Log { .. } | Item::Digest(_) => Ok(()),
                }
            }
        }
    }

    fn take_head(&mut self, head: Head) {
        if self.pinned.is_some_and(|pinned| pinned != head.network) {
            self.bad(format!("the archive is of network {}", head.network));
        }
        if head.certificate.holds(&head.network) {
            self.authority = Some(head.certificate.authority);
        } else {
            self.bad("the hub's key is not certified by the network's root".to_owned());
        }
        self.judging.authority = Some(Authority::new(head.network));
        self.report.head = Some(head);
    }

    fn take_space(&mut self, space: Space) -> Result<(), &'static str> {
        // rule:ascend
        if self.last_space.is_some_and(|last| last >= space) {
            return Err("spaces out of order");
        }
        self.spaces += 1;
        if self.spaces > limits::SPACES_MAX {
            return Err("more spaces than a network has");
        }
        self.last_space = Some(space);
        let network = self.report.head.as_ref().map(|head| head.network);
        self.space = network.map(|network| OpenSpace {
            space,
            id: space.id(&network),
            tips: BTreeMap::new(),
            log: None,
        });
        Ok(())
    }

    fn take_log(&mut self, device: DeviceKey, incarnation: &[u8; 16]) -> Result<(), &'static str> {
        self.close_log();
        let Some(space) = &mut self.space else {
            return Ok(());
        };
        let id = LogId::of(&space.id, &device, incarnation);
        if space
            .tips
            .last_key_value()
            // rule:ascend
            .is_some_and(|(last, _)| *last >= id)
        {
            return Err("logs out of order");
        }
        if space.tips.len() >= limits::LOGS_MAX {
            return Err("more logs than a space has");
        }
        space.log = Some(OpenLog {
            id,
            author: Author {
                space: space.id,
                device,
            },
            story: (space.space == Space::Authority).then(Story::default),
            end: Position::start(&id),
            floor: 0,
            open: Vec::new(),
            offsets: Vec::new(),
            broken: false,
            begun: false,
            receipt: None,
            fork: None,
            frozen: None,
        });
        self.judging.begin(LogFacts {
            log: id,
            author: Author {
                space: space.id,
                device,
            },
            first: (0, [0; 32]),
            held_to: u64::MAX,
        });
        self.report.logs += 1;
        Ok(())
    }

    fn log(&mut self) -> Option<&mut OpenLog> {
        self.space.as_mut()?.log.as_mut()
    }

    /// Notes what is wrong with the open log.
    fn bad_log(&mut self, what: &str) {
        if let Some(name) = self.log().map(|log| log.name()) {
            self.bad(format!("log {name}: {what}"));
        }
    }

    fn break_log(&mut self, error: ChainError) {
        let Some(log) = self.log() else { return };
        log.broken = true;
        log.open = Vec::new();
        log.offsets = Vec::new();
        let line = format!("log {} from entry {}: {error}", log.name(), log.end.len);
        self.bad(line);
    }

    fn take_receipt(&mut self, receipt: &Receipt) {
        let mut keys = self.authority.iter().chain(&self.earlier);
        let signed = keys.any(|key| receipt.verifies(key));
        let Some(log) = self.log() else { return };
        let holds = signed && (receipt.space, receipt.log) == (log.author.space, log.id);
        if holds {
            let met = receipt.stored == log.end;
            log.receipt = Some(Stated {
                position: receipt.stored,
                met,
            });
            self.report.receipts += u64::from(met);
        } else {
            self.bad_log("its receipt does not hold");
        }
    }

    fn take_fork(&mut self, proof: &ForkProof, tip: Position) {
        let Some(log) = self.log() else { return };
        let first = proof.branches.first().and_then(|it| it.headers.first());
        let of_this_log = (proof.author, proof.log) == (log.author, log.id);
        match (proof.seq().filter(|_| of_this_log), first) {
            (Some(seq), Some(first)) if tip.len >= seq => {
                let position = Position {
                    len: seq,
                    head: first.prev,
                };
                let met = position == log.end;
                log.fork = Some(Stated { position, met });
                let met_tip = tip == log.end;
                log.frozen = Some(Stated {
                    position: tip,
                    met: met_tip,
                });
                self.report.forks += u64::from(met);
            }
            _ => self.bad_log("its fork proof does not hold"),
        }
    }

    fn take_checkpoint(&mut self, checkpoint: Checkpoint) {
        let Some(log) = self.log().filter(|log| !log.broken) else {
            return;
        };
        let offsets = std::mem::take(&mut log.offsets);
        let run = Run {
            log: log.id,
            start: log.end,
            entries: std::mem::take(&mut log.open),
            checkpoint,
        };
        match run.verify(Some(log.author), log.floor) {
            Ok(run) => {
                self.judging.take(&run, &offsets);
                self.take_run(&run);
            }
            Err(error) => self.break_log(error),
        }
    }

    fn take_run(&mut self, run: &VerifiedRun) {
        let entries = &run.run().entries;
        self.report.checkpoints += 1;
        self.report.entries += entries.len() as u64;
        let absent = entries.iter().filter(|entry| entry.payload.is_none());
        self.report.absent += absent.count() as u64;
        let Some(log) = self.log() else { return };
        log.end = run.end();
        log.floor = run.authority_len();
        let mut met = [false; 3];
        let stated = [&mut log.receipt, &mut log.fork, &mut log.frozen];
        for (stated, met) in stated.into_iter().zip(&mut met) {
            for (entry, id) in entries.iter().zip(run.ids()) {
                let here = Position {
                    len: entry.header.seq.saturating_add(1),
                    head: id.0,
                };
                if let Some(stated) = stated.as_mut().filter(|it| it.position == here) {
                    stated.met = true;
                    *met = true;
                }
            }
        }
        let [receipt, fork, _] = met;
        self.report.receipts += u64::from(receipt);
        self.report.forks += u64::from(fork);
        self.take_story(run);
        self.compare_cited(&run.run().checkpoint);
    }

    /// Entries of an authority log: its second is the certificate, and all are what others cite.
    fn take_story(&mut self, run: &VerifiedRun) {
        let told = self.stories.values().map(|story| story.ids.len());
        let room = limits::ARCHIVE_CITED_MAX.saturating_sub(told.sum());
        let head = self.report.head.as_ref();
        let stated = head.map(|head| (head.network, head.certificate.clone()));
        let Some((network, newest)) = stated else {
            return;
        };
        let device = run.author().device;
        let Some(story) = self.log().and_then(|log| log.story.as_mut()) else {
            return;
        };
        let second = run.run().entries.iter().find(|entry| entry.header.seq == 1);
        let second = second.filter(|entry| entry.header.kind == EntryKind::Authority);
        if let Some(entry) = second {
            let certificate = match entry.payload.as_deref().map(Order::decode) {
                None => Some(newest),
                Some(Ok(Order::Certificate(certificate))) => Some(certificate),
                Some(_) => None,
            };
            story.certificate =
                certificate.filter(|it| it.authority == device && it.holds(&network));
        }
        let room = room.saturating_sub(story.ids.len());
        let ids = run.ids().iter().take(room);
        story.ids.extend(ids.map(|id| id.0));
        let certificate = story.certificate.clone();
        let orders = run.run().entries.iter().take(room).map(|entry| {
            let kind = entry.header.kind;
            let is_order = kind == EntryKind::Authority;
            let order = match &certificate {
                // Absent, it is taken for the head's.
                Some(it) if entry.header.seq == 1 && is_order => {
                    Some(Order::Certificate(it.clone()).encode())
                }
                _ => entry.payload.clone().filter(|_| is_order),
            };
            (kind, order)
        });
        story.orders.extend(orders);
    }

    /// The authority logs have been told: what they come to, in the order of the fold.
    fn settle_stories(&mut self) {
        let mut stories = std::mem::take(&mut self.stories);
        let certified = stories.iter();
        let certified = certified
            .filter_map(|(log, story)| Some((*log, story.certificate.clone()?)))
            .collect();
        let succession = match Succession::of(&certified) {
            Ok(succession) => succession,
            Err(Unsettled::Nothing) => return,
            Err(Unsettled::Contested(_)) => {
                self.bad("the network has two authority logs of one version".to_owned());
                return;
            }
            Err(Unsettled::Missing(log)) => {
                self.bad(format!(
                    "authority log {log}, which is trusted, is not here"
                ));
                return;
            }
        };
        let newest = self.report.head.as_ref().map(|head| &head.certificate);
        if newest != Some(&succession.certificate) {
            self.bad("the newest authority log does not have the certificate".to_owned());
        }
        if let Some(authority) = &mut self.judging.authority {
            fold(authority, &succession, &stories);
        }
        let mut from = 0_usize;
        for (log, trusted) in succession.logs() {
            let Story {
                certificate,
                ids,
                forked,
                ..
            } = stories.remove(&log).unwrap_or_default();
            // Without a key that the root certified no receipt holds.
            let key = certificate.map(|it| it.authority);
            self.earlier
                .extend(key.filter(|_| self.authority.is_some()));
            let len = trusted.map_or(0, |end| usize::try_from(end.len).unwrap_or(usize::MAX));
            let reached = len.checked_sub(1).map(|last| ids.get(last).copied());
            if reached.is_some_and(|id| id != trusted.map(|end| end.head)) {
                self.bad(format!(
                    "authority log {log} does not reach its trusted end"
                ));
            }
            let parted = forked.and_then(|at| usize::try_from(at).ok()?.checked_add(from));
            self.parted = self.parted.min(parted.unwrap_or(usize::MAX));
            self.cited.push((from, ids));
            from = from.saturating_add(len);
        }
    }

    /// A checkpoint says which authority log its author saw: another one than this would show that the
    /// hub has told two stories. What an earlier log of the hub says beyond its trusted end was seen too; where a fork
    /// proves that it did tell two, either was.
    fn compare_cited(&mut self, checkpoint: &Checkpoint) {
        let Some(space) = self.space.as_ref() else {
            return;
        };
        if space.space == Space::Authority {
            return;
        }
        let at = usize::try_from(checkpoint.authority_len).unwrap_or(usize::MAX);
        let seen: Vec<[u8; 32]> = match at.checked_sub(1) {
            None => vec![[0; 32]],
            Some(last) => {
                let told = self.cited.iter();
                let told = told.filter_map(|(from, ids)| ids.get(last.checked_sub(*from)?));
                told.copied().collect()
            }
        };
        if at <= self.parted && !seen.is_empty() && !seen.contains(&checkpoint.authority_head) {
            let len = checkpoint.len;
            self.bad_log(&format!(
                "the checkpoint at {len} cites another authority log"
            ));
        }
    }

    fn close_log(&mut self) {
        let Some(log) = self.log() else { return };
        let open = !log.open.is_empty();
        let lacks = |stated: Option<Stated>| stated.is_some_and(|stated| !stated.met);
        let (receipt, fork) = (lacks(log.receipt), lacks(log.fork));
        let frozen = lacks(log.frozen) && !fork;
        if open {
            self.bad_log("entries without a checkpoint");
        }
        if receipt {
            self.bad_log("its receipt is for entries that are not here");
        }
        if fork {
            self.bad_log("its fork proof is for entries that are not here");
        }
        if frozen {
            self.bad_log("it is said to count further than its entries here");
        }
        if let Some(held_to) = self.log().map(|log| log.held_to()) {
            self.judging.frozen(held_to);
        }
        let key = self.authority;
        let Some(mut log) = self.space.as_mut().and_then(|space| space.log.take()) else {
            return;
        };
        if let Some(space) = &mut self.space {
            space.tips.insert(log.id, log.tip());
        }
        let Some(story) = log.story.as_ref() else {
            return;
        };
        if story.certificate.is_none() && log.end.len > 1 && key == Some(log.author.device) {
            let name = log.name();
            self.bad(format!(
                "log {name}: its second entry is not the certificate"
            ));
        }
        let forked = log.fork.filter(|fork| fork.met);
        if let Some(story) = log.story.as_mut() {
            story.forked = forked.map(|fork| fork.position.len);
        }
        // What is not certified is folded by nobody.
        let certified = log.story.filter(|story| story.certificate.is_some());
        self.stories.extend(certified.map(|story| (log.id, story)));
    }

    fn take_digest(&mut self, digest: &[u8; 32]) {
        self.close_log();
        let Some(space) = self.space.take() else {
            return;
        };
        if space_digest(&space.tips) != *digest {
            let kind = space.space.kind();
            self.bad(format!("space {kind}: its digest does not fit its logs"));
        }
        if space.space == Space::Authority {
            self.settle_stories();
        }
    }
}

/// Folds the orders of the authority logs, as far as a store would that has what the archive has.
fn fold(authority: &mut Authority, succession: &Succession, stories: &BTreeMap<LogId, Story>) {
    authority.follow(Ok(succession.clone()));
    for (log, trusted) in succession.logs() {
        let Some(story) = stories.get(&log) else {
            return;
        };
        let Some(certificate) = &story.certificate else {
            return;
        };
        let index = |len: u64| usize::try_from(len).unwrap_or(usize::MAX);
        // A fork stops the fold, but for what the root key trusts.
        let held = story.forked.map_or(usize::MAX, index);
        let stands = |end: Position| {
            let last = end.len.checked_sub(1).map(index);
            last.is_none_or(|last| story.ids.get(last) == Some(&end.head))
        };
        let (to, goes_on) = match trusted {
            None => (held, false),
            Some(end) if stands(end) => (index(end.len), true),
            Some(end) => (held.min(index(end.len)), false),
        };
        let key = certificate.authority;
        for (id, (kind, order)) in story.ids.iter().zip(&story.orders).take(to) {
            // Without effect it counts towards the length all the same.
            let _effect = authority.take(&EntryId(*id), &key, *kind, order.as_deref());
        }
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
