//! The authority log folded into "who may do what".
//!
//! All power comes from signed orders in one log, so every device answers every question alike and
//! without a network. Orders are data: [`Authority::apply`] folds them one after the other and never
//! looks at a clock; an order that does not fit is counted and has no effect. Persons do not appear
//! here, only keys, sites and codes.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::identity::{DeviceKey, Signature, Signer};
use crate::limits;
use crate::log::{Author, EntryId, LogId, Position, read_place, write_place};
use crate::space::{NetworkId, SiteId, Space, SpaceId};

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A PC at a site.
    Station,
    /// A laptop of a site that is carried about.
    Laptop,
    /// A PC of the sub-district's staff: holds every space.
    Operator,
    /// The sub-district's hub.
    Hub,
    /// Carries sealed bundles and reads nothing.
    Courier,
    /// Reads a site and writes nothing.
    Reader,
}

impl Role {
    /// All roles with the words of the command line and JSON.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Station, "station"),
        (Self::Laptop, "laptop"),
        (Self::Operator, "operator"),
        (Self::Hub, "hub"),
        (Self::Courier, "courier"),
        (Self::Reader, "reader"),
    ];

    /// The word for this role.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(role, _)| *role == self)
            .map_or("", |(_, word)| word)
    }

    /// The role of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(role, _)| *role)
    }

    /// The scopes that a device of this role at `site` is granted.
    #[must_use]
    pub fn scopes(self, site: Option<SiteId>) -> Vec<Scope> {
        let read = |spaces| Scope {
            spaces,
            read: true,
            write: false,
        };
        let both = |spaces| Scope {
            spaces,
            read: true,
            write: true,
        };
        let one = |space| Spaces::One(space);
        let mut scopes = vec![read(one(Space::Authority))];
        match self {
            Self::Station | Self::Laptop => {
                scopes.push(read(one(Space::Bulletin)));
                scopes.extend(site.map(|site| both(one(Space::Site(site)))));
            }
            Self::Operator | Self::Hub => {
                scopes.push(both(one(Space::Bulletin)));
                scopes.push(both(one(Space::Hub)));
                scopes.push(both(Spaces::EverySite));
            }
            Self::Courier => {}
            Self::Reader => {
                scopes.push(read(one(Space::Bulletin)));
                scopes.extend(site.map(|site| read(one(Space::Site(site)))));
            }
        }
        scopes
    }
}

/// The spaces that a scope covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spaces {
    /// One space.
    One(Space),
    /// The spaces of all sites, also of those still to come.
    EverySite,
}

/// Spaces and what may be done in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Where.
    pub spaces: Spaces,
    /// May hold and read it.
    pub read: bool,
    /// May author in it.
    pub write: bool,
}

impl Scope {
    fn covers(&self, space: Space) -> bool {
        match self.spaces {
            Spaces::One(one) => one == space,
            Spaces::EverySite => matches!(space, Space::Site(_)),
        }
    }
}

/// Reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Hold and read.
    Read,
    /// Author entries.
    Write,
}

/// What kind of place a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteKind {
    /// Deputies' work station 人大代表工作站.
    Workstation,
    /// Legislative information collection point 立法信息采集点.
    CollectionPoint,
    /// Livestream desk 直播间.
    Livestream,
}

impl SiteKind {
    /// All kinds with the words of the command line and JSON.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Workstation, "workstation"),
        (Self::CollectionPoint, "collection_point"),
        (Self::Livestream, "livestream"),
    ];

    /// The kind of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(kind, _)| *kind)
    }
}

/// The root key's statement that a key is the hub's authority key. Kept by every device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Counts from 1; a successor is exactly one more.
    pub version: u32,
    /// Root public key, which hashes to the network's id.
    pub root: DeviceKey,
    /// The hub's authority key.
    pub authority: DeviceKey,
    /// How far the log of the key before is trusted; `None` for version 1.
    pub trusted: Option<(LogId, Position)>,
    /// By the root key.
    pub signature: Signature,
}

impl Certificate {
    /// Signs a certificate.
    #[must_use]
    pub fn sign(
        root: &Signer,
        version: u32,
        authority: DeviceKey,
        trusted: Option<(LogId, Position)>,
    ) -> Self {
        let mut certificate = Self {
            version,
            root: root.public(),
            authority,
            trusted,
            signature: [0; 64],
        };
        certificate.signature = root.sign(&hash::CERTIFICATE, &[&certificate.body()]);
        certificate
    }

    /// Whether this was signed by the root key of `network`.
    #[must_use]
    pub fn holds(&self, network: &NetworkId) -> bool {
        NetworkId::of_root(&self.root.0) == *network
            && self
                .root
                .verifies(&hash::CERTIFICATE, &[&self.body()], &self.signature)
    }

    fn body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u32(self.version)
            .fixed(&self.root.0)
            .fixed(&self.authority.0);
        write_place(&mut writer, self.trusted.as_ref());
        writer.into_bytes()
    }

    /// Appends the encoding.
    pub fn write(&self, writer: &mut Writer) {
        writer.fixed(&self.body()).fixed(&self.signature);
    }

    /// Reads a certificate; it still has to be checked.
    ///
    /// # Errors
    /// The bytes are not a certificate.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u32()?;
        let root = DeviceKey(reader.fixed()?);
        let authority = DeviceKey(reader.fixed()?);
        let trusted = read_place(reader)?;
        Ok(Self {
            version,
            root,
            authority,
            trusted,
            signature: reader.fixed()?,
        })
    }
}

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
}

/// Trusted end of a log of a revoked device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The log.
    pub log: LogId,
    /// How far it counts.
    pub position: Position,
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
            .u8(role_code(self.role))
            .str(&self.device_code)
            .u64(self.expires_ms);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: DeviceKey(reader.fixed()?),
            site: read_site(reader)?,
            role: read_role(reader)?,
            device_code: reader.str(limits::NAME_MAX)?.to_owned(),
            expires_ms: reader.u64()?,
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
    /// Takes them: entries beyond the cuts are quarantined whatever date they claim. Logs of the
    /// device that no cut names count as cut at 0.
    Revoke {
        /// The device.
        device: DeviceKey,
        /// Whether it was lost or stolen, rather than retired.
        lost: bool,
        /// Trusted ends of its logs.
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
        /// See [`crate::log::ForkProof::digest`].
        proof: [u8; 32],
    },
    /// A device's key is replaced by another.
    Rotate {
        /// The key so far.
        old: DeviceKey,
        /// Its successor.
        new: DeviceKey,
        /// By the successor, over network and old key.
        signature: Signature,
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
    /// An order of a newer version: kept, without effect here.
    Unknown(u8),
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
    let at = SiteKind::ALL.iter().position(|(known, _)| *known == kind);
    let kind = u8::try_from(at.unwrap_or_default()).unwrap_or_default();
    writer.str(code).str(name).u8(kind);
}

fn role_code(role: Role) -> u8 {
    let at = Role::ALL.iter().position(|(known, _)| *known == role);
    u8::try_from(at.unwrap_or_default()).unwrap_or_default()
}

fn read_role(reader: &mut Reader<'_>) -> Result<Role, DecodeError> {
    let code = reader.u8()?;
    match Role::ALL.get(usize::from(code)) {
        Some((role, _)) => Ok(*role),
        None => reader.fail("an unknown role"),
    }
}

fn write_scope(writer: &mut Writer, scope: &Scope) {
    match scope.spaces {
        Spaces::One(Space::Authority) => writer.u8(0),
        Spaces::One(Space::Bulletin) => writer.u8(1),
        Spaces::One(Space::Site(site)) => writer.u8(2).fixed(&site.0),
        Spaces::One(Space::Hub) => writer.u8(3),
        Spaces::EverySite => writer.u8(4),
    };
    writer.u8(u8::from(scope.read) | u8::from(scope.write) << 1);
}

fn read_scope(reader: &mut Reader<'_>) -> Result<Scope, DecodeError> {
    let spaces = match reader.u8()? {
        0 => Spaces::One(Space::Authority),
        1 => Spaces::One(Space::Bulletin),
        2 => Spaces::One(Space::Site(SiteId(reader.fixed()?))),
        3 => Spaces::One(Space::Hub),
        4 => Spaces::EverySite,
        _ => return reader.fail("an unknown scope"),
    };
    match reader.u8()? {
        verbs @ 1..=3 => Ok(Scope {
            spaces,
            read: verbs & 1 != 0,
            write: verbs & 2 != 0,
        }),
        _ => reader.fail("verbs that are not read and write"),
    }
}

impl Order {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Certificate(certificate) => certificate.write(writer.u8(1)),
            Self::Network { name, district } => {
                writer.u8(2).str(name).str(district);
            }
            Self::Site {
                site,
                code,
                name,
                kind,
            } => {
                write_site_info(writer.u8(3).fixed(&site.0), code, name, *kind);
            }
            Self::Grant(grant) => {
                writer
                    .u8(4)
                    .u32(grant.serial)
                    .fixed(&grant.device.0)
                    .fixed(&grant.recipient);
                write_site(&mut writer, grant.site);
                writer.u8(role_code(grant.role)).str(&grant.device_code);
                writer.length(grant.scopes.len());
                for scope in &grant.scopes {
                    write_scope(&mut writer, scope);
                }
                writer.u64(grant.bytes_per_day);
            }
            Self::Revoke { device, lost, cuts } => {
                writer
                    .u8(5)
                    .fixed(&device.0)
                    .u8(u8::from(*lost))
                    .length(cuts.len());
                for cut in cuts {
                    writer
                        .fixed(&cut.log.0)
                        .u64(cut.position.len)
                        .fixed(&cut.position.head);
                }
            }
            Self::Left { device } => {
                writer.u8(6).fixed(&device.0);
            }
            Self::Adopt { log, from, to } => {
                writer
                    .u8(7)
                    .fixed(&log.0)
                    .u64(*from)
                    .u64(to.len)
                    .fixed(&to.head);
            }
            Self::Resolve { log, seq, proof } => {
                writer.u8(8).fixed(&log.0).u64(*seq).fixed(proof);
            }
            Self::Rotate {
                old,
                new,
                signature,
            } => {
                writer.u8(9).fixed(&old.0).fixed(&new.0).fixed(signature);
            }
            Self::Policy { name, value } => {
                writer.u8(10).str(name).str(value);
            }
            Self::Invite(invite) => {
                invite.write(writer.u8(11));
            }
            Self::InviteUsed { key, device } => {
                writer.u8(12).fixed(&key.0).fixed(&device.0);
            }
            Self::Unknown(tag) => {
                writer.u8(*tag);
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
        let name = |reader: &mut Reader<'_>| reader.str(limits::NAME_MAX).map(str::to_owned);
        let order = match reader.u8()? {
            1 => Self::Certificate(Certificate::read(&mut reader)?),
            2 => Self::Network {
                name: name(&mut reader)?,
                district: name(&mut reader)?,
            },
            3 => {
                let site = SiteId(reader.fixed()?);
                let SiteInfo { code, name, kind } = SiteInfo::read(&mut reader)?;
                Self::Site {
                    site,
                    code,
                    name,
                    kind,
                }
            }
            4 => {
                let serial = reader.u32()?;
                let device = DeviceKey(reader.fixed()?);
                let recipient = reader.fixed()?;
                let site = read_site(&mut reader)?;
                let role = read_role(&mut reader)?;
                let device_code = name(&mut reader)?;
                let count = reader.count(limits::SCOPES_MAX, 2)?;
                let scopes = (0..count)
                    .map(|_| read_scope(&mut reader))
                    .collect::<Result<_, _>>()?;
                let bytes_per_day = reader.u64()?;
                Self::Grant(Grant {
                    serial,
                    device,
                    recipient,
                    site,
                    role,
                    device_code,
                    scopes,
                    bytes_per_day,
                })
            }
            5 => {
                let device = DeviceKey(reader.fixed()?);
                let lost = match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return reader.fail("a flag that is neither 0 nor 1"),
                };
                let count = reader.count(limits::CUTS_MAX, 72)?;
                let cut = |reader: &mut Reader<'_>| {
                    let log = LogId(reader.fixed()?);
                    let position = Position {
                        len: reader.u64()?,
                        head: reader.fixed()?,
                    };
                    Ok(Cut { log, position })
                };
                let cuts = (0..count)
                    .map(|_| cut(&mut reader))
                    .collect::<Result<_, _>>()?;
                Self::Revoke { device, lost, cuts }
            }
            6 => Self::Left {
                device: DeviceKey(reader.fixed()?),
            },
            7 => Self::Adopt {
                log: LogId(reader.fixed()?),
                from: reader.u64()?,
                to: Position {
                    len: reader.u64()?,
                    head: reader.fixed()?,
                },
            },
            8 => Self::Resolve {
                log: LogId(reader.fixed()?),
                seq: reader.u64()?,
                proof: reader.fixed()?,
            },
            9 => Self::Rotate {
                old: DeviceKey(reader.fixed()?),
                new: DeviceKey(reader.fixed()?),
                signature: reader.fixed()?,
            },
            10 => Self::Policy {
                name: name(&mut reader)?,
                value: name(&mut reader)?,
            },
            11 => Self::Invite(Invite::read(&mut reader)?),
            12 => Self::InviteUsed {
                key: DeviceKey(reader.fixed()?),
                device: DeviceKey(reader.fixed()?),
            },
            newer => return Ok(Self::Unknown(newer)),
        };
        reader.finish()?;
        Ok(order)
    }
}

/// Where a device stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It works.
    Active,
    /// It was revoked 吊销: what lies beyond the cuts is quarantined.
    Blocked {
        /// Trusted ends of its logs.
        cuts: Vec<Cut>,
    },
    /// It left in peace.
    Left,
}

/// A device that the network knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its newest grant.
    pub grant: Grant,
    /// Where it stands.
    pub membership: Membership,
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
        let code = reader.str(limits::NAME_MAX)?.to_owned();
        let name = reader.str(limits::NAME_MAX)?.to_owned();
        match SiteKind::ALL.get(usize::from(reader.u8()?)) {
            Some((kind, _)) => Ok(Self {
                code,
                name,
                kind: *kind,
            }),
            None => reader.fail("an unknown kind of site"),
        }
    }
}

/// How far a log's author is trusted in its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything counts.
    Full,
    /// Entries below this length count, if the log has this head there.
    UpTo(Position),
    /// Nothing counts, for this reason.
    None(Reason),
}

/// Why an entry does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No grant names the device; one may still arrive.
    UnknownDevice,
    /// The device's grant does not let it write there.
    NotPermitted,
    /// The device was revoked and this lies beyond its cut.
    Revoked,
    /// The log forked here or before.
    Forked,
    /// The change was refused by the guard in front of Automerge.
    Guard,
    /// An authority entry that the authority key did not write.
    NotAuthority,
    /// The kind of entry is of a newer version.
    NewerVersion,
    /// A reason of a newer version, by its number: a receipt that names one still verifies.
    Other(u8),
}

impl Reason {
    /// All reasons with the words of JSON, in the order of their numbers.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::UnknownDevice, "unknown_device"),
        (Self::NotPermitted, "not_permitted"),
        (Self::Revoked, "revoked"),
        (Self::Forked, "forked"),
        (Self::Guard, "guard"),
        (Self::NotAuthority, "not_authority"),
        (Self::NewerVersion, "newer_version"),
    ];

    /// The word for this reason.
    #[must_use]
    pub fn word(self) -> &'static str {
        let known = Self::ALL.iter().find(|(reason, _)| *reason == self);
        known.map_or("newer_version", |(_, word)| word)
    }

    /// The number on the wire and in the store: for ever.
    #[must_use]
    pub fn code(self) -> u8 {
        if let Self::Other(code) = self {
            return code;
        }
        let at = Self::ALL.iter().position(|(reason, _)| *reason == self);
        u8::try_from(at.unwrap_or_default()).unwrap_or_default() + 1
    }

    /// The reason of a number; 0 is none.
    #[must_use]
    pub fn of(code: u8) -> Option<Self> {
        let at = usize::from(code).checked_sub(1)?;
        let known = Self::ALL.get(at).map(|(reason, _)| *reason);
        Some(known.unwrap_or(Self::Other(code)))
    }
}

/// Why an order has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// Nothing counts before the root key's certificate for the key that writes the log.
    #[error("the authority log is not certified by the network's root key")]
    NotCertified,
    /// The payload is not an order.
    #[error("the order is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// A number, a code or an invite that was given before, or a device or site nobody knows.
    #[error("the order contradicts an earlier one: {0}")]
    Contradicts(&'static str),
    /// An order of a newer version.
    #[error("the order is of a newer version")]
    Newer,
}

/// Who may do what, as of some length of the authority log.
#[derive(Clone, Debug)]
pub struct Authority {
    network: NetworkId,
    key: Option<DeviceKey>,
    certificate: Option<Certificate>,
    /// Logs of the authority keys before this one, and how far each is trusted.
    succeeded: BTreeMap<LogId, Position>,
    name: String,
    district: String,
    len: u32,
    head: [u8; 32],
    spaces: BTreeMap<SpaceId, Space>,
    sites: BTreeMap<SiteId, SiteInfo>,
    members: BTreeMap<DeviceKey, Member>,
    invites: BTreeMap<DeviceKey, Invite>,
    used: BTreeMap<DeviceKey, DeviceKey>,
    codes: BTreeSet<String>,
    /// Who was given a device code, also where a later grant gave him another.
    holders: BTreeMap<String, DeviceKey>,
    /// What devices might write by earlier grants. What they wrote then still counts: a narrower
    /// grant is no revocation, which alone names cuts.
    former: BTreeMap<DeviceKey, Vec<Scope>>,
    adopted: Vec<(LogId, u64, Position)>,
    policies: BTreeMap<String, String>,
    serial: u32,
    without_effect: u32,
}

impl Authority {
    /// What is known of a network before its authority log has been read.
    #[must_use]
    pub fn new(network: NetworkId) -> Self {
        let known = [Space::Authority, Space::Bulletin, Space::Hub];
        Self {
            network,
            key: None,
            certificate: None,
            succeeded: BTreeMap::new(),
            name: String::new(),
            district: String::new(),
            len: 0,
            head: [0; 32],
            spaces: known
                .into_iter()
                .map(|space| (space.id(&network), space))
                .collect(),
            sites: BTreeMap::new(),
            members: BTreeMap::new(),
            invites: BTreeMap::new(),
            used: BTreeMap::new(),
            codes: BTreeSet::new(),
            holders: BTreeMap::new(),
            former: BTreeMap::new(),
            adopted: Vec::new(),
            policies: BTreeMap::new(),
            serial: 0,
            without_effect: 0,
        }
    }

    /// Folds the next entry of the authority log: its id, who signed the log, and its payload if it
    /// is an order (`None` for the genesis).
    ///
    /// # Errors
    /// The order has no effect, for the reason given; the length counts it all the same, so that all
    /// devices cite alike.
    pub fn apply(
        &mut self,
        id: &EntryId,
        writer: &DeviceKey,
        payload: Option<&[u8]>,
    ) -> Result<(), OrderError> {
        self.len = self.len.saturating_add(1);
        self.head = id.0;
        let Some(payload) = payload else {
            return Ok(());
        };
        let effect = Order::decode(payload).map_err(OrderError::from);
        let effect = effect.and_then(|order| self.carry_out(writer, order));
        if effect.is_err() {
            self.without_effect = self.without_effect.saturating_add(1);
        }
        effect
    }

    fn carry_out(&mut self, writer: &DeviceKey, order: Order) -> Result<(), OrderError> {
        if let Order::Certificate(certificate) = order {
            let next = self
                .certificate
                .as_ref()
                .map_or(1, |known| known.version + 1);
            let fits = certificate.version == next && certificate.authority == *writer;
            if !fits || !certificate.holds(&self.network) {
                return Err(OrderError::NotCertified);
            }
            self.key = Some(certificate.authority);
            self.succeeded.extend(certificate.trusted);
            self.certificate = Some(certificate);
            return Ok(());
        }
        if self.key != Some(*writer) {
            return Err(OrderError::NotCertified);
        }
        match order {
            Order::Certificate(_) => {}
            Order::Network { name, district } => {
                self.name = name;
                self.district = district;
            }
            Order::Site {
                site,
                code,
                name,
                kind,
            } => {
                let taken = self
                    .sites
                    .iter()
                    .any(|(id, info)| *id != site && info.code == code);
                if taken {
                    return Err(OrderError::Contradicts("the site code is taken"));
                }
                let space = Space::Site(site);
                self.spaces.insert(space.id(&self.network), space);
                self.sites.insert(site, SiteInfo { code, name, kind });
            }
            Order::Grant(grant) => self.grant(grant)?,
            Order::Revoke { device, cuts, .. } => {
                self.member_mut(&device)?.membership = Membership::Blocked { cuts };
            }
            Order::Left { device } => {
                let member = self.member_mut(&device)?;
                if member.membership == Membership::Active {
                    member.membership = Membership::Left;
                }
            }
            Order::Adopt { log, from, to } => self.adopted.push((log, from, to)),
            Order::Resolve { .. } => {}
            Order::Rotate {
                old,
                new,
                signature,
            } => {
                let body: [&[u8]; 2] = [&self.network.0, &old.0];
                if !new.verifies(&hash::ROTATION, &body, &signature) {
                    return Err(OrderError::Contradicts("the new key has not signed"));
                }
                if self.members.contains_key(&new) {
                    return Err(OrderError::Contradicts("the new key has a device already"));
                }
                let member = self.member_mut(&old)?;
                if member.membership != Membership::Active {
                    return Err(OrderError::Contradicts("the device was revoked or left"));
                }
                // What the old key wrote counts; it does nothing more.
                member.membership = Membership::Left;
                let mut grant = member.grant.clone();
                grant.device = new;
                self.holders.insert(grant.device_code.clone(), new);
                self.members.insert(
                    new,
                    Member {
                        grant,
                        membership: Membership::Active,
                    },
                );
            }
            Order::Policy { name, value } => {
                self.policies.insert(name, value);
            }
            Order::Invite(invite) => {
                if self.invites.contains_key(&invite.key) {
                    return Err(OrderError::Contradicts("the invite was made before"));
                }
                if !self.codes.insert(invite.device_code.clone()) {
                    return Err(OrderError::Contradicts("the device code was given before"));
                }
                self.invites.insert(invite.key, invite);
            }
            Order::InviteUsed { key, device } => {
                if !self.invites.contains_key(&key) {
                    return Err(OrderError::Contradicts("no such invite"));
                }
                if self.used.contains_key(&key) {
                    return Err(OrderError::Contradicts("the invite was used before"));
                }
                self.used.insert(key, device);
            }
            Order::Unknown(_) => return Err(OrderError::Newer),
        }
        Ok(())
    }

    fn grant(&mut self, grant: Grant) -> Result<(), OrderError> {
        if grant.serial <= self.serial {
            return Err(OrderError::Contradicts(
                "the serial number was given before",
            ));
        }
        if !grant.device.is_sound() {
            return Err(OrderError::Contradicts("the device key is weak"));
        }
        let holder = self.holders.get(&grant.device_code);
        if holder.is_some_and(|holder| *holder != grant.device) {
            return Err(OrderError::Contradicts("the device code was given before"));
        }
        self.serial = grant.serial;
        self.codes.insert(grant.device_code.clone());
        self.holders.insert(grant.device_code.clone(), grant.device);
        if let Some(before) = self.members.get(&grant.device) {
            let former = self.former.entry(grant.device).or_default();
            for scope in before.grant.scopes.iter().filter(|scope| scope.write) {
                if !former.contains(scope) {
                    former.push(*scope);
                }
            }
        }
        let member = Member {
            grant,
            membership: Membership::Active,
        };
        self.members.insert(member.grant.device, member);
        Ok(())
    }

    fn member_mut(&mut self, device: &DeviceKey) -> Result<&mut Member, OrderError> {
        self.members
            .get_mut(device)
            .ok_or(OrderError::Contradicts("no such device"))
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.network
    }

    /// Name and four-letter code of the sub-district; empty before they were given.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        (&self.name, &self.district)
    }

    /// Length and last entry id of the authority log: what entries and checkpoints cite.
    #[must_use]
    pub const fn cited(&self) -> (u32, [u8; 32]) {
        (self.len, self.head)
    }

    /// The certified authority key, which signs receipts.
    #[must_use]
    pub const fn key(&self) -> Option<DeviceKey> {
        self.key
    }

    /// The root key's statement that certifies it.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Orders that had no effect.
    #[must_use]
    pub const fn without_effect(&self) -> u32 {
        self.without_effect
    }

    /// Sites by id.
    #[must_use]
    pub const fn sites(&self) -> &BTreeMap<SiteId, SiteInfo> {
        &self.sites
    }

    /// The site with a code.
    #[must_use]
    pub fn site_by_code(&self, code: &str) -> Option<SiteId> {
        self.sites
            .iter()
            .find(|(_, info)| info.code == code)
            .map(|(site, _)| *site)
    }

    /// Devices by key.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<DeviceKey, Member> {
        &self.members
    }

    /// The role of a device that the network knows, whatever became of it since.
    #[must_use]
    pub fn role(&self, device: &DeviceKey) -> Option<Role> {
        self.members.get(device).map(|member| member.grant.role)
    }

    /// The space of an id, if the network has it.
    #[must_use]
    pub fn space(&self, id: &SpaceId) -> Option<Space> {
        self.spaces.get(id).copied()
    }

    /// All spaces.
    #[must_use]
    pub const fn spaces(&self) -> &BTreeMap<SpaceId, Space> {
        &self.spaces
    }

    /// An invite that has not been used.
    #[must_use]
    pub fn open_invite(&self, key: &DeviceKey) -> Option<&Invite> {
        self.invites
            .get(key)
            .filter(|_| !self.used.contains_key(key))
    }

    /// Whether an invite of this key was ever made, used or not.
    #[must_use]
    pub fn knows_invite(&self, key: &DeviceKey) -> bool {
        self.invites.contains_key(key)
    }

    /// Whether an invite was ever used, and by whom.
    #[must_use]
    pub fn invite_user(&self, key: &DeviceKey) -> Option<DeviceKey> {
        self.used.get(key).copied()
    }

    /// Device codes given so far, also those of invites and of devices long gone.
    #[must_use]
    pub const fn codes(&self) -> &BTreeSet<String> {
        &self.codes
    }

    /// The serial number of the next grant.
    #[must_use]
    pub const fn next_serial(&self) -> u32 {
        self.serial.saturating_add(1)
    }

    /// Whether a device may do this now. The authority space may be read by everyone who was ever
    /// granted anything: a blocked device still learns that it is.
    #[must_use]
    pub fn permits(&self, device: &DeviceKey, space: Space, verb: Verb) -> bool {
        let Some(member) = self.members.get(device) else {
            return false;
        };
        if space == Space::Authority {
            return verb == Verb::Read;
        }
        let allowed = |scope: &Scope| match verb {
            Verb::Read => scope.read,
            Verb::Write => scope.write,
        };
        member.membership == Membership::Active
            && member
                .grant
                .scopes
                .iter()
                .any(|scope| scope.covers(space) && allowed(scope))
    }

    /// The spaces that a device may hold, in id order.
    #[must_use]
    pub fn readable(&self, device: &DeviceKey) -> Vec<SpaceId> {
        let readable = |space: &Space| self.permits(device, *space, Verb::Read);
        self.spaces
            .iter()
            .filter(|(_, space)| readable(space))
            .map(|(id, _)| *id)
            .collect()
    }

    /// How far a log's author is trusted: a function of the authority log alone, so that all devices
    /// judge alike.
    #[must_use]
    pub fn standing(&self, log: &LogId, author: &Author) -> Standing {
        let Some(space) = self.spaces.get(&author.space) else {
            return Standing::None(Reason::NotPermitted);
        };
        if *space == Space::Authority {
            if self.key == Some(author.device) {
                return Standing::Full;
            }
            let succeeded = self.succeeded.get(log);
            return succeeded.map_or(Standing::None(Reason::NotAuthority), |end| {
                Standing::UpTo(*end)
            });
        }
        let Some(member) = self.members.get(&author.device) else {
            return Standing::None(Reason::UnknownDevice);
        };
        let writes = |scope: &Scope| scope.write && scope.covers(*space);
        let former = self.former.get(&author.device).into_iter().flatten();
        if !member.grant.scopes.iter().chain(former).any(writes) {
            return Standing::None(Reason::NotPermitted);
        }
        match &member.membership {
            Membership::Active | Membership::Left => Standing::Full,
            Membership::Blocked { cuts } => {
                let cut = cuts.iter().find(|cut| cut.log == *log);
                cut.map_or(Standing::None(Reason::Revoked), |cut| {
                    Standing::UpTo(cut.position)
                })
            }
        }
    }

    /// Ranges of a log that an operator adopted: first entry and position after the last.
    pub fn adopted(&self, log: &LogId) -> impl Iterator<Item = (u64, Position)> {
        let log = *log;
        self.adopted
            .iter()
            .filter(move |(of, ..)| *of == log)
            .map(|(_, from, to)| (*from, *to))
    }
}

#[cfg(test)]
mod tests;
