//! The root key's certificates, and which authority logs are folded because of them.
//!
//! An authority log begins with its genesis and a certificate. The certificate of the highest version says which
//! log is written now, and how far the log before it is trusted; that log's certificate says the same of the one
//! before. [`Succession::of`] puts them in order; what is folded is the trusted part of each and then the newest.
//! Versions rise and may leave out numbers: a hub that is set up again after a disaster takes one above every
//! version that any device follows, and nobody knows how many there were.
//!
//! Two logs that claim one version prove that something was copied. Neither goes on: whichever one chose, the
//! other half of the network would follow orders that it cannot see. Rejected: the greater id wins, which lets a
//! copy of a hub's disk undo its orders on every device.

use std::collections::BTreeMap;

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::identity::{DeviceKey, Signature, Signer};
use crate::log::{LogId, Position, read_place, write_place};
use crate::space::NetworkId;

/// The root key's statement that a key is the hub's authority key. Kept by every device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// A successor has a greater one.
    pub version: u32,
    /// Root public key, which hashes to the network's id.
    pub root: DeviceKey,
    /// The hub's authority key.
    pub authority: DeviceKey,
    /// How far the authority log before this one is trusted; `None` where there is none.
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

/// The authority logs that are folded, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    /// Each log before the newest with its trusted end, oldest first.
    pub before: Vec<(LogId, Position)>,
    /// The log that is written now.
    pub newest: LogId,
    /// Its certificate.
    pub certificate: Certificate,
}

/// Why there is nothing to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// No certified log is here.
    Nothing,
    /// The newest certificate names a log that is not here yet, or not one that precedes it.
    Missing(LogId),
    /// Two logs are certified with this version, the highest.
    Contested(u32),
}

impl Succession {
    /// The succession among the authority logs that are here. Each is given with the certificate that is its
    /// second entry; whoever calls has checked that the root key of the network signed it and that it names the
    /// log's device.
    ///
    /// # Errors
    /// [`Unsettled`]: the fold stays where it is.
    pub fn of(certified: &BTreeMap<LogId, Certificate>) -> Result<Self, Unsettled> {
        let highest = certified.values().map(|it| it.version).max();
        let highest = highest.ok_or(Unsettled::Nothing)?;
        let mut at_top = certified.iter().filter(|(_, it)| it.version == highest);
        let (newest, certificate) = at_top.next().ok_or(Unsettled::Nothing)?;
        if at_top.next().is_some() {
            return Err(Unsettled::Contested(highest));
        }
        let mut before = Vec::new();
        let mut last = certificate;
        while let Some((log, end)) = last.trusted {
            // Versions fall from log to log, so this ends.
            // rule:succession-falls
            let earlier = certified.get(&log).filter(|it| it.version < last.version);
            last = earlier.ok_or(Unsettled::Missing(log))?;
            before.push((log, end));
        }
        before.reverse();
        Ok(Self {
            before,
            newest: *newest,
            certificate: certificate.clone(),
        })
    }

    /// The logs in order, each with its trusted end; none for the newest.
    pub fn logs(&self) -> impl Iterator<Item = (LogId, Option<Position>)> {
        let before = self.before.iter().map(|(log, end)| (*log, Some(*end)));
        before.chain([(self.newest, None)])
    }
}
