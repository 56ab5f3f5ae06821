//! Networks, sites and spaces: the units that access and replication are granted in.

use crate::hash;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl std::fmt::Debug for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(out, "{}({:.8})", stringify!($name), $crate::hash::Hex(&self.0).to_string())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&$crate::hash::Hex(&self.0), out)
            }
        }
    };
}
pub(crate) use id;

id!(
    /// One sub-district 网络: the hash of its offline root key.
    NetworkId, 32
);
id!(
    /// A work station, collection point or livestream desk 站点: a random UUID.
    SiteId, 16
);
id!(
    /// Unit of access and replication 空间.
    SpaceId, 32
);

impl NetworkId {
    /// The network of a root public key.
    #[must_use]
    pub fn of_root(root: &[u8; 32]) -> Self {
        Self(hash::NETWORK.hash(&[root]))
    }
}

/// The four kinds of space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// Who may do what: written with the authority key, read by everyone.
    Authority,
    /// What concerns all sites: hub and operators write, everyone reads.
    Bulletin,
    /// One site's records: its devices, operators and the hub.
    Site(SiteId),
    /// Work of the sub-district itself: hub and operators.
    Hub,
}

impl Space {
    /// The id of this space in a network.
    #[must_use]
    pub fn id(&self, network: &NetworkId) -> SpaceId {
        let (kind, site) = self.code();
        SpaceId(hash::SPACE.hash(&[&network.0, &[kind], &site]))
    }

    /// Number of the kind, for ever, and the site; zero for a space of no site.
    #[must_use]
    pub const fn code(&self) -> (u8, [u8; 16]) {
        match self {
            Self::Authority => (0, [0; 16]),
            Self::Bulletin => (1, [0; 16]),
            Self::Site(site) => (2, site.0),
            Self::Hub => (3, [0; 16]),
        }
    }

    /// The space of [`Space::code`].
    #[must_use]
    pub fn of_code(kind: u8, site: [u8; 16]) -> Option<Self> {
        let space = match kind {
            0 => Self::Authority,
            1 => Self::Bulletin,
            2 => Self::Site(SiteId(site)),
            3 => Self::Hub,
            _ => return None,
        };
        (space.code() == (kind, site)).then_some(space)
    }

    /// The word used in JSON and on the command line.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Bulletin => "bulletin",
            Self::Site(_) => "site",
            Self::Hub => "hub",
        }
    }
}
