//! Why entries do not count: numbers for wire and store, words for people.
//!
//! They stand beside the orders because receipts name them and are read where no verdict is given. Numbers are for
//! ever; one of a newer version is kept.

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
    /// What it depends on has not been judged. No verdict: it may count yet.
    Waiting,
    /// Its payload is not here, and no order erased it.
    Missing,
    /// A reason of a newer version, by its number: a receipt that names one still verifies.
    Other(u8),
}

impl Reason {
    /// All reasons with the words of JSON, in the order of their numbers.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::UnknownDevice, "unknown_device"),
        (Self::NotPermitted, "not_permitted"),
        (Self::Revoked, "revoked"),
        (Self::Forked, "forked"),
        (Self::Guard, "guard"),
        (Self::NotAuthority, "not_authority"),
        (Self::NewerVersion, "newer_version"),
        (Self::Waiting, "waiting"),
        (Self::Missing, "missing"),
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
