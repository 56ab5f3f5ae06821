//! Hashes: BLAKE3-256 in derive-key mode, each use under a versioned context of its own.
//!
//! Two different things never share a context, so a hash of one can never stand for the other
//! (BLAKE3 specification, section 2.3). The one exception to BLAKE3 is the digest of a change, which is
//! Automerge's own SHA-256 (module `log`).

use std::fmt;
use std::sync::OnceLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

/// A derivation context. The key derived from its name is kept, since entry ids are computed by the
/// hundred thousand.
#[derive(Debug)]
pub struct Context {
    name: &'static str,
    key: OnceLock<ContextKey>,
}

impl Context {
    /// A context with a globally unique, versioned name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            key: OnceLock::new(),
        }
    }

    /// The hash of the concatenation of `parts` under this context. Parts must be of fixed length or
    /// carry their lengths; the codec sees to that.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let key = self.key.get_or_init(|| hash_derive_key_context(self.name));
        let mut hasher = blake3::Hasher::new_from_context_key(key);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// A hash under this context of bytes that come piece by piece.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        let key = self.key.get_or_init(|| hash_derive_key_context(self.name));
        Hasher(Box::new(blake3::Hasher::new_from_context_key(key)))
    }
}

/// A hash that is being made: see [`Context::hasher`].
#[derive(Clone, Debug)]
pub struct Hasher(Box<blake3::Hasher>);

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes taken so far.
    #[must_use]
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

macro_rules! contexts {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub static $name: Context = Context::new($text);)*
        #[cfg(test)]
        const NAMES: &[&str] = &[$($text),*];
    };
}

contexts! {
    /// Check value of the file of a published kind, and of what rows were made by.
    KIND_FILE = "lianxin 1 kind file";
    /// NetworkId from the root public key.
    NETWORK = "lianxin 1 network id";
    /// SpaceId from network, kind and site.
    SPACE = "lianxin 1 space id";
    /// LogId from space, device and incarnation.
    LOG = "lianxin 1 log id";
    /// ActorId from LogId.
    ACTOR = "lianxin 1 automerge actor";
    /// The random bits of a record's id from the place of its founding change.
    RECORD = "lianxin 1 record id";
    /// Entry id from the header bytes.
    ENTRY = "lianxin 1 entry id";
    /// Digest of a plain payload.
    PAYLOAD = "lianxin 1 payload digest";
    /// Digest of a salted payload, salt first.
    PART = "lianxin 1 salted part digest";
    /// Digest of a space: its sorted log positions.
    SPACE_DIGEST = "lianxin 1 space digest";
    /// Digest of what a node shows of a space.
    STATE_DIGEST = "lianxin 1 state digest";
    /// What a checkpoint signature covers.
    CHECKPOINT = "lianxin 1 checkpoint signature";
    /// What a receipt signature covers.
    RECEIPT = "lianxin 1 receipt signature";
    /// A browser's cookie or a login link, as a store keeps it.
    LOGIN = "lianxin 1 login token";
    /// A slip's query code, from the record's id.
    QUERY_CODE = "lianxin 1 query code";
    /// What the root signs for a hub's authority key.
    CERTIFICATE = "lianxin 1 root certificate";
    /// The invite key pair's seed, from the code.
    INVITE_KEY = "lianxin 1 invite key";
    /// The key with which a hub proves that it made the invite, from the code.
    INVITE_HUB = "lianxin 1 invite hub proof key";
    /// Proof of knowing the invite code over one channel, by the joining device.
    ENROL_DEVICE = "lianxin 1 enrolment by device";
    /// Proof of knowing the invite code over one channel, by the hub.
    ENROL_HUB = "lianxin 1 enrolment by hub";
    /// What stands for a channel's keying material in a request that travels on a stick.
    STICK = "lianxin 1 enrolment on a stick";
    /// Signature of a device under its join request.
    JOIN_REQUEST = "lianxin 1 join request";
    /// Check sum of an invite card.
    CARD = "lianxin 1 invite card";
    /// The four words that two people compare.
    WORDS = "lianxin 1 four words";
    /// Short fingerprint of a key, for people.
    FINGERPRINT = "lianxin 1 fingerprint";
    /// Signatures of a device key and of its successor, each that the one takes the place of the other.
    ROTATION = "lianxin 1 key rotation";
    /// Digest over the bytes of an archive.
    ARCHIVE = "lianxin 1 archive";
    /// Digest over what a proof of a report says.
    PROOF = "lianxin 1 report proof";
    /// Digest over the rows of an exported table.
    EXPORT = "lianxin 1 exported rows";
    /// By what an imported row is known again on the device that took it.
    IMPORT = "lianxin 1 imported row";
    /// By what somebody with accounts on two devices is known to be one person.
    PERSON = "lianxin 1 person of a network";
    /// Content address of an attachment.
    BLOB = "lianxin 1 attachment";
}

/// Lower-case hexadecimal, for logs, JSON and debugging.
#[derive(Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Reads lower- or upper-case hexadecimal of exactly `N` bytes.
#[must_use]
pub fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            value = value * 16 + char::from(*digit).to_digit(16)?;
        }
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

/// Reads hexadecimal of any even length.
#[must_use]
pub fn parse_hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let bytes = digits.map(|pair| {
        let [byte] = parse_hex(std::str::from_utf8(pair).ok()?)?;
        Some(byte)
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn contexts_are_distinct_and_separate_equal_inputs() {
        assert_eq!(NAMES.iter().collect::<BTreeSet<_>>().len(), NAMES.len());
        assert_ne!(PAYLOAD.hash(&[b"x"]), PART.hash(&[b"x"]));
        assert_eq!(
            ENTRY.hash(&[b"a", b"b"]),
            blake3::derive_key("lianxin 1 entry id", b"ab"),
            "the kept context key gives plain derive_key"
        );
    }

    #[test]
    fn hex_comes_back() {
        assert_eq!(
            parse_hex::<3>(&Hex(&[0, 171, 255]).to_string()),
            Some([0, 171, 255])
        );
        assert_eq!(parse_hex::<3>("00ab"), None);
        assert_eq!(parse_hex::<1>("zz"), None);
        assert_eq!(parse_hex_bytes("00abFF"), Some(vec![0, 171, 255]));
        assert_eq!(parse_hex_bytes("00abF"), None);
    }
}
