//! Roles, scopes and kinds of sites: the words in which orders speak of rights.
//!
//! What is of a newer version is kept as it came and gives no right here, so that an order that names it can be
//! read, cited and passed on by devices that do not know it. That needs fields whose length does not depend on
//! what they say: a scope has 18 bytes whatever its space is.

use crate::codec::{DecodeError, Reader, Writer};
use crate::space::{SiteId, Space};

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
    /// A role of a newer version, by its number: no right goes with it here.
    Other(u8),
}

impl Role {
    /// All known roles with the words of the command line and JSON.
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
        let known = Self::ALL.iter().find(|(role, _)| *role == self);
        known.map_or("newer_version", |(_, word)| word)
    }

    /// The role of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(role, _)| *role)
    }

    /// The number on the wire: for ever.
    #[must_use]
    pub fn code(self) -> u8 {
        if let Self::Other(code) = self {
            return code;
        }
        let at = Self::ALL.iter().position(|(known, _)| *known == self);
        u8::try_from(at.unwrap_or_default()).unwrap_or_default()
    }

    /// The role of a number.
    #[must_use]
    pub fn of(code: u8) -> Self {
        let known = Self::ALL.get(usize::from(code));
        known.map_or(Self::Other(code), |(role, _)| *role)
    }

    /// The scopes that a device of this role at `site` is granted.
    #[must_use]
    pub fn scopes(self, site: Option<SiteId>) -> Vec<Scope> {
        let read = |spaces| Scope::new(spaces, true, false);
        let both = |spaces| Scope::new(spaces, true, true);
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
            Self::Courier | Self::Other(_) => {}
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
    /// Spaces of a newer version: kept, none of those that are known here.
    Other {
        /// Which kind.
        kind: u8,
        /// What goes with it.
        argument: [u8; 16],
    },
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
    /// Verbs of newer versions, kept as they came: bits 2 to 7.
    pub newer: u8,
}

impl Scope {
    /// Verbs on spaces.
    #[must_use]
    pub const fn new(spaces: Spaces, read: bool, write: bool) -> Self {
        Self {
            spaces,
            read,
            write,
            newer: 0,
        }
    }

    /// Whether it speaks of a space.
    #[must_use]
    pub fn covers(&self, space: Space) -> bool {
        match self.spaces {
            Spaces::One(one) => one == space,
            Spaces::EverySite => matches!(space, Space::Site(_)),
            Spaces::Other { .. } => false,
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        let (kind, argument) = match self.spaces {
            Spaces::One(Space::Authority) => (0, [0; 16]),
            Spaces::One(Space::Bulletin) => (1, [0; 16]),
            Spaces::One(Space::Site(site)) => (2, site.0),
            Spaces::One(Space::Hub) => (3, [0; 16]),
            Spaces::EverySite => (4, [0; 16]),
            Spaces::Other { kind, argument } => (kind, argument),
        };
        let verbs = u8::from(self.read) | u8::from(self.write) << 1;
        let verbs = verbs | (self.newer & !0b11);
        writer.u8(kind).fixed(&argument).u8(verbs);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, argument) = (reader.u8()?, reader.fixed()?);
        let none = argument == [0; 16];
        let spaces = match kind {
            0 if none => Spaces::One(Space::Authority),
            1 if none => Spaces::One(Space::Bulletin),
            2 => Spaces::One(Space::Site(SiteId(argument))),
            3 if none => Spaces::One(Space::Hub),
            4 if none => Spaces::EverySite,
            0..=4 => return reader.fail("a scope with an argument that it does not take"),
            _ => Spaces::Other { kind, argument },
        };
        let verbs = reader.u8()?;
        Ok(Self {
            spaces,
            read: verbs & 1 != 0,
            write: verbs & 2 != 0,
            newer: verbs & !0b11,
        })
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
    /// A kind of a newer version, by its number.
    Other(u8),
}

impl SiteKind {
    /// All known kinds with the words of the command line and JSON.
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

    /// The word of the command line and JSON; `other` for a kind of a newer version.
    #[must_use]
    pub fn word(self) -> &'static str {
        let known = Self::ALL.iter().find(|(known, _)| *known == self);
        known.map_or("other", |(_, word)| word)
    }

    /// The number on the wire: for ever.
    #[must_use]
    pub fn code(self) -> u8 {
        if let Self::Other(code) = self {
            return code;
        }
        let at = Self::ALL.iter().position(|(known, _)| *known == self);
        u8::try_from(at.unwrap_or_default()).unwrap_or_default()
    }

    /// The kind of a number.
    #[must_use]
    pub fn of(code: u8) -> Self {
        let known = Self::ALL.get(usize::from(code));
        known.map_or(Self::Other(code), |(kind, _)| *kind)
    }
}
