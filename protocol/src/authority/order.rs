//! Orders: the payloads of the authority log, as bytes and as data.
//!
//! What an order does is decided by the fold. A tag of a newer version is an order without effect; a known order
//! that is malformed is an error, and without effect as well, so that every device counts alike.
//!
//! Orders name places, (log, length, head), never times: a clock is whatever its owner says. A place stands at the
//! end of a save group on the branch that the hub holds.

use super::certificate::Certificate;
use super::role::{Role, Scope, SiteKind};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::identity::{DeviceKey, Signature, Signer};
use crate::limits;
use crate::log::{LogId, Position};
use crate::space::{NetworkId, SiteId};

/// A device's rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Number of this grant in the network; a later one for the same device replaces it.
    pub serial: u32,
    /// The device.
    pub device: DeviceKey,
    /// Its age recipient (X25519 public key), to which bundles for it are encrypted.
    pub recipient: [u8; 32],
    /// The site that it stands at; none for hub and operators.
    pub site: Option<SiteId>,
    /// What it is for.
    pub role: Role,
    /// The code in its numbers, such as `EM1A`; never given twice.
    pub device_code: String,
    /// What it may read and write.
    pub scopes: Vec<Scope>,
    /// Bytes of its logs that a hub stores in a day; 0 for [`limits::DEVICE_BYTES_A_DAY`].
    pub bytes_per_day: u64,
    /// Where this begins, in each log of the device that the hub knows: below, the grant before holds for ever.
    /// In a log that is not named it begins at 0. The first grant of a device has none.
    pub places: Vec<Cut>,
}

impl Grant {
    fn write(&self, writer: &mut Writer) {
        writer
            .u32(self.serial)
            .fixed(&self.device.0)
            .fixed(&self.recipient);
        write_site(writer, self.site);
        writer.u8(self.role.code()).str(&self.device_code);
        writer.length(self.scopes.len());
        for scope in &self.scopes {
            scope.write(writer);
        }
        writer.u64(self.bytes_per_day);
        write_cuts(writer, &self.places);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let serial = reader.u32()?;
        let device = DeviceKey(reader.fixed()?);
        let recipient = reader.fixed()?;
        let site = read_site(reader)?;
        let role = Role::of(reader.u8()?);
        let device_code = name(reader)?;
        let count = reader.count(limits::SCOPES_MAX, 18)?;
        let scopes = (0..count).map(|_| Scope::read(reader));
        Ok(Self {
            serial,
            device,
            recipient,
            site,
            role,
            device_code,
            scopes: scopes.collect::<Result<_, _>>()?,
            bytes_per_day: reader.u64()?,
            places: read_cuts(reader)?,
        })
    }
}

/// A place in a log of a device, at which what the device may do there changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The log.
    pub log: LogId,
    /// How far what held before goes on to hold.
    pub position: Position,
}

pub(crate) fn write_cuts(writer: &mut Writer, cuts: &[Cut]) {
    writer.length(cuts.len());
    for cut in cuts {
        writer.fixed(&cut.log.0);
        write_position(writer, &cut.position);
    }
}

/// Reads places that ascend by log, so that no log is named twice.
pub(crate) fn read_cuts(reader: &mut Reader<'_>) -> Result<Vec<Cut>, DecodeError> {
    let count = reader.count(limits::CUTS_MAX, 72)?;
    let mut cuts: Vec<Cut> = Vec::with_capacity(count);
    for _ in 0..count {
        let log = LogId(reader.fixed()?);
        // rule:ascend
        if cuts.last().is_some_and(|last| last.log >= log) {
            return reader.fail("logs out of order");
        }
        let position = read_position(reader)?;
        cuts.push(Cut { log, position });
    }
    Ok(cuts)
}

pub(crate) fn write_position(writer: &mut Writer, position: &Position) {
    writer.u64(position.len).fixed(&position.head);
}

pub(crate) fn read_position(reader: &mut Reader<'_>) -> Result<Position, DecodeError> {
    Ok(Position {
        len: reader.u64()?,
        head: reader.fixed()?,
    })
}

/// An invite, as every device may know it: nothing in it lets anyone enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Public half of the invite key.
    pub key: DeviceKey,
    /// Where the device will stand; none for operators.
    pub site: Option<SiteId>,
    /// What it will be for.
    pub role: Role,
    /// The code it will have.
    pub device_code: String,
    /// Unix milliseconds; judged by the hub alone.
    pub expires_ms: u64,
}

impl Invite {
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.fixed(&self.key.0);
        write_site(writer, self.site);
        writer
            .u8(self.role.code())
            .str(&self.device_code)
            .u64(self.expires_ms);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: DeviceKey(reader.fixed()?),
            site: read_site(reader)?,
            role: Role::of(reader.u8()?),
            device_code: name(reader)?,
            expires_ms: reader.u64()?,
        })
    }
}

/// A device's key goes on as another. Both keys say so: the old one that it is given up, the new one that its
/// holder has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key so far.
    pub old: DeviceKey,
    /// Its successor.
    pub new: DeviceKey,
    /// By the old key, over network, old and new key.
    pub by_old: Signature,
    /// By the new key, over the same.
    pub by_new: Signature,
}

impl Rotation {
    /// Signs with both keys.
    #[must_use]
    pub fn sign(network: &NetworkId, old: &Signer, new: &Signer) -> Self {
        let (old_key, new_key) = (old.public(), new.public());
        let body: [&[u8]; 3] = [&network.0, &old_key.0, &new_key.0];
        Self {
            old: old_key,
            new: new_key,
            by_old: old.sign(&hash::ROTATION, &body),
            by_new: new.sign(&hash::ROTATION, &body),
        }
    }

    /// Whether both keys signed.
    #[must_use]
    pub fn holds(&self, network: &NetworkId) -> bool {
        let body: [&[u8]; 3] = [&network.0, &self.old.0, &self.new.0];
        self.old.verifies(&hash::ROTATION, &body, &self.by_old)
            && self.new.verifies(&hash::ROTATION, &body, &self.by_new)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer
            .fixed(&self.old.0)
            .fixed(&self.new.0)
            .fixed(&self.by_old)
            .fixed(&self.by_new);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            old: DeviceKey(reader.fixed()?),
            new: DeviceKey(reader.fixed()?),
            by_old: reader.fixed()?,
            by_new: reader.fixed()?,
        })
    }
}

/// A site that the network knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteInfo {
    /// Two letters and a digit.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What kind of place it is.
    pub kind: SiteKind,
}

impl SiteInfo {
    pub(crate) fn write(&self, writer: &mut Writer) {
        write_site_info(writer, &self.code, &self.name, self.kind);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            code: name(reader)?,
            name: name(reader)?,
            kind: SiteKind::of(reader.u8()?),
        })
    }
}

/// One entry of the authority log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The root key names the authority key.
    Certificate(Certificate),
    /// Names the network and gives its code in numbers.
    Network {
        /// The sub-district's name.
        name: String,
        /// Four letters, such as `SLJD`.
        district: String,
    },
    /// Adds or renames a site.
    Site {
        /// The site.
        site: SiteId,
        /// Two letters and a digit, such as `EM1`.
        code: String,
        /// Its name.
        name: String,
        /// What kind of place it is.
        kind: SiteKind,
    },
    /// Gives a device rights.
    Grant(Grant),
    /// Closes every log of a device: at its cut, at 0 where none is named. Entries beyond are quarantined
    /// whatever date they claim.
    Revoke {
        /// The device.
        device: DeviceKey,
        /// Whether it was lost or stolen, rather than retired: its key is never granted anything again.
        lost: bool,
        /// Trusted ends of its logs, ascending by log.
        cuts: Vec<Cut>,
    },
    /// The device left in peace: its backlog counts, it enrols nothing new.
    Left {
        /// The device.
        device: DeviceKey,
    },
    /// Quarantined entries count after all.
    Adopt {
        /// Their log.
        log: LogId,
        /// First entry.
        from: u64,
        /// Position after the last.
        to: Position,
    },
    /// A fork was reviewed; what was worth keeping has been written anew elsewhere.
    Resolve {
        /// The forked log.
        log: LogId,
        /// Where it forked.
        seq: u64,
    },
    /// A device's key is replaced by another, and the logs of the old one are closed.
    Rotate {
        /// The keys, and that both agree.
        rotation: Rotation,
        /// Ends of the old key's logs, ascending by log: as the cuts of a revocation.
        places: Vec<Cut>,
    },
    /// A setting that all devices follow.
    Policy {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// An invite was made.
    Invite(Invite),
    /// An invite was used; for ever, whatever becomes of the device.
    InviteUsed {
        /// The invite's key.
        key: DeviceKey,
        /// Who used it.
        device: DeviceKey,
    },
    /// Which branch of a log counts, whatever forks are proven. Lifts no cut.
    Pin {
        /// The log.
        log: LogId,
        /// What the hub had stored of it.
        position: Position,
    },
    /// The hub's store has this epoch from now on: receipts of a later epoch are newer.
    Epoch {
        /// Random id of the store.
        epoch: [u8; 16],
    },
    /// An invite that nobody has used counts no more, and its device code may be given again.
    InviteClosed {
        /// The invite's key.
        key: DeviceKey,
    },
    /// Where the hub is found from now on, best place first.
    Addresses(Vec<String>),
    /// An order of a newer version: kept, without effect here.
    Unknown(u8),
}

pub(super) fn name(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.str(limits::NAME_MAX).map(str::to_owned)
}

fn read_addresses(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = reader.count(limits::ADDRESSES_MAX, 1)?;
    (0..count).map(|_| name(reader)).collect()
}

fn write_site(writer: &mut Writer, site: Option<SiteId>) {
    match site {
        None => writer.u8(0),
        Some(site) => writer.u8(1).fixed(&site.0),
    };
}

fn read_site(reader: &mut Reader<'_>) -> Result<Option<SiteId>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(SiteId(reader.fixed()?))),
        _ => reader.fail("a flag that is neither 0 nor 1"),
    }
}

fn write_site_info(writer: &mut Writer, code: &str, name: &str, kind: SiteKind) {
    writer.str(code).str(name).u8(kind.code());
}

pub(crate) fn read_flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => reader.fail("a flag that is neither 0 nor 1"),
    }
}

impl Order {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let to = &mut writer;
        match self {
            Self::Certificate(certificate) => certificate.write(to.u8(1)),
            Self::Network { name, district } => {
                to.u8(2).str(name).str(district);
            }
            Self::Site {
                site,
                code,
                name,
                kind,
            } => {
                write_site_info(to.u8(3).fixed(&site.0), code, name, *kind);
            }
            Self::Grant(grant) => grant.write(to.u8(4)),
            Self::Revoke { device, lost, cuts } => {
                to.u8(5).fixed(&device.0).u8(u8::from(*lost));
                write_cuts(to, cuts);
            }
            Self::Left { device } => {
                to.u8(6).fixed(&device.0);
            }
            Self::Adopt { log, from, to: end } => {
                to.u8(7).fixed(&log.0).u64(*from);
                write_position(to, end);
            }
            Self::Resolve { log, seq } => {
                to.u8(8).fixed(&log.0).u64(*seq);
            }
            Self::Rotate { rotation, places } => {
                rotation.write(to.u8(9));
                write_cuts(to, places);
            }
            Self::Policy { name, value } => {
                to.u8(10).str(name).str(value);
            }
            Self::Invite(invite) => invite.write(to.u8(11)),
            Self::InviteUsed { key, device } => {
                to.u8(12).fixed(&key.0).fixed(&device.0);
            }
            Self::Pin { log, position } => {
                to.u8(13).fixed(&log.0);
                write_position(to, position);
            }
            Self::Epoch { epoch } => {
                to.u8(14).fixed(epoch);
            }
            Self::InviteClosed { key } => {
                to.u8(15).fixed(&key.0);
            }
            Self::Addresses(addresses) => {
                to.u8(16).length(addresses.len());
                for address in addresses {
                    to.str(address);
                }
            }
            Self::Unknown(tag) => {
                to.u8(*tag);
            }
        }
        writer.into_bytes()
    }

    /// Reads a payload. A tag of a newer version gives [`Order::Unknown`].
    ///
    /// # Errors
    /// A known order is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let from = &mut reader;
        let order = match from.u8()? {
            1 => Self::Certificate(Certificate::read(from)?),
            2 => Self::Network {
                name: name(from)?,
                district: name(from)?,
            },
            3 => {
                let site = SiteId(from.fixed()?);
                let SiteInfo { code, name, kind } = SiteInfo::read(from)?;
                Self::Site {
                    site,
                    code,
                    name,
                    kind,
                }
            }
            4 => Self::Grant(Grant::read(from)?),
            5 => Self::Revoke {
                device: DeviceKey(from.fixed()?),
                lost: read_flag(from)?,
                cuts: read_cuts(from)?,
            },
            6 => Self::Left {
                device: DeviceKey(from.fixed()?),
            },
            7 => Self::Adopt {
                log: LogId(from.fixed()?),
                from: from.u64()?,
                to: read_position(from)?,
            },
            8 => Self::Resolve {
                log: LogId(from.fixed()?),
                seq: from.u64()?,
            },
            9 => Self::Rotate {
                rotation: Rotation::read(from)?,
                places: read_cuts(from)?,
            },
            10 => Self::Policy {
                name: name(from)?,
                value: name(from)?,
            },
            11 => Self::Invite(Invite::read(from)?),
            12 => Self::InviteUsed {
                key: DeviceKey(from.fixed()?),
                device: DeviceKey(from.fixed()?),
            },
            13 => Self::Pin {
                log: LogId(from.fixed()?),
                position: read_position(from)?,
            },
            14 => Self::Epoch {
                epoch: from.fixed()?,
            },
            15 => Self::InviteClosed {
                key: DeviceKey(from.fixed()?),
            },
            16 => Self::Addresses(read_addresses(from)?),
            newer => return Ok(Self::Unknown(newer)),
        };
        reader.finish()?;
        Ok(order)
    }
}
