//! Requests 请求: what an operator's PC asks of the hub, and what the hub answers. Payloads of entries
//! of kind `request` in the space `hub`.
//!
//! Some things only the hub can give: the gapless case number of an accepted matter, and entries of the
//! authority log. An operator's PC that is offline writes down what it wants, in its own signed log, and
//! the hub carries it out when the entry has come, if it may, and says so in a log of its own. Who may
//! ask is decided where it is carried out; here are bytes and bounds only.
//!
//! A request holds facts, never texts: it cannot be erased, so no resident's words may be in it. When it
//! was made stands in the header of its entry and not a second time here. A step names the changes that
//! the asker saw, because they travel in another log: the hub would otherwise judge a record that is
//! older than the one that the operator looked at.
//!
//! What of an invite may be replicated to every operator's PC: the public invite key, which the authority
//! log shows to everyone anyway, and the key with which the hub proves to the joining device that it
//! knows the code. Neither enrols anyone, and both are hashes of 80 random bits. Whoever holds the second
//! and also sits on the line could play the hub to that one device until the invite is used; that is an
//! operator's PC, which holds every record and may order invites itself. The code never leaves the PC
//! that drew it. Rejected: sealing the proof key to the hub's age recipient, one more construction of our
//! own for a key that is worth little and lives for three days. What would change our mind: readers of
//! the space `hub` who may not order invites.

use std::collections::BTreeMap;

use crate::authority::order::{read_cuts, read_flag, read_position, write_cuts, write_position};
use crate::authority::{Cut, Invite, Rotation, SiteInfo};
use crate::codec::{DecodeError, Reader, Writer};
use crate::identity::DeviceKey;
use crate::limits;
use crate::log::{EntryId, LogId, Position, RecordId};
use crate::part::EraseOrder;
use crate::space::{SiteId, SpaceId};

/// Payload of an entry of kind `request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// An operator's PC asks the hub.
    Ask {
        /// Id of the account of whoever asks, on the device that signs this.
        account: String,
        /// For what.
        ask: Ask,
    },
    /// The hub answers. It counts only in a log of the hub.
    Answer {
        /// The entry that asked.
        to: EntryId,
        /// What became of it.
        outcome: Outcome,
    },
    /// Something of a newer version: kept and passed on, asks nothing of this one.
    Unknown(u8),
}

/// What is asked of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A step of a record's workflow to which the hub gives a number.
    Act(Act),
    /// A new site. A known one is not renamed by this.
    Site {
        /// The site, drawn by the asker.
        site: SiteId,
        /// Its code, name and kind.
        info: SiteInfo,
    },
    /// A new invite, whose code the asker drew and shows.
    Invite {
        /// What the authority log will say of it.
        invite: Invite,
        /// The key with which the hub proves that it knows the code.
        proof_key: [u8; 32],
    },
    /// A revocation.
    Revoke {
        /// The device.
        device: DeviceKey,
        /// Whether it was lost or stolen.
        lost: bool,
        /// Trusted ends of its logs, ascending by log; where none is named the hub takes what it has receipted.
        cuts: Vec<Cut>,
    },
    /// An adoption of what is held back.
    Adopt {
        /// The log.
        log: LogId,
        /// First entry.
        from: u64,
        /// Position after the last, as the asker reviewed it.
        to: Position,
    },
    /// That payloads of a record must go.
    Erase {
        /// The record.
        record: RecordId,
        /// Why, and which entries' payloads; none of them for the whole record, which a second person must
        /// approve.
        order: EraseOrder,
    },
    /// A second person's approval of what another asked for.
    Approve {
        /// The entry that asked.
        request: EntryId,
    },
    /// That a device's key is replaced. The hub adds the places.
    Rotate(Rotation),
    /// A setting that all devices follow.
    Policy {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// A step of a record's workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The record.
    pub record: RecordId,
    /// Its space: another site may have a record of the same id.
    pub space: SpaceId,
    /// Name of the event.
    pub event: String,
    /// The newest changes that the asker saw, in ascending order.
    pub seen: Vec<[u8; 32]>,
    /// What the step carries, by flat key.
    pub facts: BTreeMap<String, Datum>,
}

/// A value that a step carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// A code, a reference or a date.
    Str(String),
    /// A count or an amount.
    Int(i64),
    /// Yes or no.
    Bool(bool),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The hub has carried it out.
    Done,
    /// The hub will not carry it out.
    Refused(Refusal),
}

/// Why the hub does not carry out a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The asker may not ask for this, or not any more.
    NotPermitted,
    /// The step does not lead on from the record's status, or is not one that the hub numbers.
    StepRefused,
    /// The step does not carry what it must.
    FieldsRefused,
    /// The record would grow beyond its bounds.
    TooLarge,
    /// The record was made so that nothing can be added to it.
    RecordUnsound,
    /// The site's or the device's code was given before.
    CodeTaken,
    /// The code, the name or the role is not one that can be given.
    BadCode,
    /// There is no such site.
    NoSite,
    /// This very site or invite is there already.
    Exists,
    /// The invite's time is over, or longer than an invite's may be.
    Expired,
    /// The hub's program does not carry out such requests.
    NotSupported,
    /// A reason of a newer version, by its number.
    Other(u8),
}

impl Refusal {
    /// All reasons with the words of JSON, in the order of their numbers.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::NotPermitted, "not_permitted"),
        (Self::StepRefused, "step_refused"),
        (Self::FieldsRefused, "fields_refused"),
        (Self::TooLarge, "too_large"),
        (Self::RecordUnsound, "record_unsound"),
        (Self::CodeTaken, "code_taken"),
        (Self::BadCode, "bad_code"),
        (Self::NoSite, "no_site"),
        (Self::Exists, "exists"),
        (Self::Expired, "expired"),
        (Self::NotSupported, "not_supported"),
    ];

    /// The word for this reason.
    #[must_use]
    pub fn word(self) -> &'static str {
        let known = Self::ALL.iter().find(|(known, _)| *known == self);
        known.map_or("newer_version", |(_, word)| word)
    }

    /// The number on the wire and in the store: for ever.
    #[must_use]
    pub fn code(self) -> u8 {
        if let Self::Other(code) = self {
            return code;
        }
        let at = Self::ALL.iter().position(|(known, _)| *known == self);
        u8::try_from(at.unwrap_or_default()).unwrap_or_default() + 1
    }

    /// The reason of a number; 0 is none.
    #[must_use]
    pub fn of(code: u8) -> Option<Self> {
        let at = usize::from(code).checked_sub(1)?;
        let known = Self::ALL.get(at).map(|(known, _)| *known);
        Some(known.unwrap_or(Self::Other(code)))
    }
}

const ACT: u8 = 1;
const SITE: u8 = 2;
const INVITE: u8 = 3;
const ANSWER: u8 = 4;
const REVOKE: u8 = 5;
const ADOPT: u8 = 6;
const ERASE: u8 = 7;
const APPROVE: u8 = 8;
const ROTATE: u8 = 9;
const POLICY: u8 = 10;

impl Request {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Ask { account, ask } => ask.write(writer.u8(ask.tag()).str(account)),
            Self::Answer { to, outcome } => {
                let refusal = match outcome {
                    Outcome::Done => 0,
                    Outcome::Refused(refusal) => refusal.code(),
                };
                writer.u8(ANSWER).fixed(&to.0).u8(refusal);
            }
            Self::Unknown(tag) => {
                writer.u8(*tag);
            }
        }
        writer.into_bytes()
    }

    /// Reads a payload. A tag of a newer version gives [`Request::Unknown`].
    ///
    /// # Errors
    /// A known request is malformed or exceeds a bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8()?;
        let request = match tag {
            ANSWER => {
                let to = EntryId(reader.fixed()?);
                let outcome = Refusal::of(reader.u8()?).map_or(Outcome::Done, Outcome::Refused);
                Self::Answer { to, outcome }
            }
            ACT..=POLICY => {
                let account = reader.str(limits::NAME_MAX)?.to_owned();
                let ask = Ask::read(tag, &mut reader)?;
                Self::Ask { account, ask }
            }
            newer => return Ok(Self::Unknown(newer)),
        };
        reader.finish()?;
        Ok(request)
    }
}

impl Ask {
    const fn tag(&self) -> u8 {
        match self {
            Self::Act(_) => ACT,
            Self::Site { .. } => SITE,
            Self::Invite { .. } => INVITE,
            Self::Revoke { .. } => REVOKE,
            Self::Adopt { .. } => ADOPT,
            Self::Erase { .. } => ERASE,
            Self::Approve { .. } => APPROVE,
            Self::Rotate(_) => ROTATE,
            Self::Policy { .. } => POLICY,
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Act(act) => act.write(writer),
            Self::Site { site, info } => info.write(writer.fixed(&site.0)),
            Self::Invite { invite, proof_key } => {
                invite.write(writer);
                writer.fixed(proof_key);
            }
            Self::Revoke { device, lost, cuts } => {
                writer.fixed(&device.0).u8(u8::from(*lost));
                write_cuts(writer, cuts);
            }
            Self::Adopt { log, from, to } => {
                writer.fixed(&log.0).u64(*from);
                write_position(writer, to);
            }
            Self::Erase { record, order } => order.write(writer.fixed(&record.0)),
            Self::Approve { request } => {
                writer.fixed(&request.0);
            }
            Self::Rotate(rotation) => rotation.write(writer),
            Self::Policy { name, value } => {
                writer.str(name).str(value);
            }
        }
    }

    fn read(tag: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match tag {
            ACT => Self::Act(Act::read(reader)?),
            SITE => Self::Site {
                site: SiteId(reader.fixed()?),
                info: SiteInfo::read(reader)?,
            },
            INVITE => Self::Invite {
                invite: Invite::read(reader)?,
                proof_key: reader.fixed()?,
            },
            REVOKE => Self::Revoke {
                device: DeviceKey(reader.fixed()?),
                lost: read_flag(reader)?,
                cuts: read_cuts(reader)?,
            },
            ADOPT => Self::Adopt {
                log: LogId(reader.fixed()?),
                from: reader.u64()?,
                to: read_position(reader)?,
            },
            ERASE => Self::Erase {
                record: RecordId(reader.fixed()?),
                order: EraseOrder::read(reader)?,
            },
            APPROVE => Self::Approve {
                request: EntryId(reader.fixed()?),
            },
            ROTATE => Self::Rotate(Rotation::read(reader)?),
            POLICY => Self::Policy {
                name: reader.str(limits::NAME_MAX)?.to_owned(),
                value: reader.str(limits::NAME_MAX)?.to_owned(),
            },
            _ => return reader.fail("an unknown request"),
        })
    }
}

impl Act {
    fn write(&self, writer: &mut Writer) {
        writer
            .fixed(&self.record.0)
            .fixed(&self.space.0)
            .str(&self.event)
            .length(self.seen.len());
        for change in &self.seen {
            writer.fixed(change);
        }
        writer.length(self.facts.len());
        for (key, datum) in &self.facts {
            writer.str(key);
            match datum {
                Datum::Str(text) => writer.u8(0).str(text),
                Datum::Int(number) => writer.u8(1).fixed(&number.to_be_bytes()),
                Datum::Bool(yes) => writer.u8(2).u8(u8::from(*yes)),
            };
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let record = RecordId(reader.fixed()?);
        let space = SpaceId(reader.fixed()?);
        let event = reader.str(limits::NAME_MAX)?.to_owned();
        let count = reader.count(limits::REQUEST_SEEN_MAX, 32)?;
        let mut seen: Vec<[u8; 32]> = Vec::with_capacity(count);
        for _ in 0..count {
            let change = reader.fixed()?;
            // rule:ascend
            if seen.last().is_some_and(|last| *last >= change) {
                return reader.fail("changes out of order");
            }
            seen.push(change);
        }
        let count = reader.count(limits::REQUEST_FACTS_MAX, 6)?;
        let mut facts: BTreeMap<String, Datum> = BTreeMap::new();
        for _ in 0..count {
            let key = reader.str(limits::REQUEST_TEXT_MAX)?;
            let last = facts.last_key_value();
            // rule:ascend
            if last.is_some_and(|(last, _)| last.as_str() >= key) {
                return reader.fail("keys out of order");
            }
            let datum = match reader.u8()? {
                0 => Datum::Str(reader.str(limits::REQUEST_TEXT_MAX)?.to_owned()),
                1 => Datum::Int(i64::from_be_bytes(reader.fixed()?)),
                2 => match reader.u8()? {
                    0 => Datum::Bool(false),
                    1 => Datum::Bool(true),
                    _ => return reader.fail("a flag that is neither 0 nor 1"),
                },
                _ => return reader.fail("an unknown kind of value"),
            };
            facts.insert(key.to_owned(), datum);
        }
        Ok(Self {
            record,
            space,
            event,
            seen,
            facts,
        })
    }
}

#[cfg(test)]
mod tests;
