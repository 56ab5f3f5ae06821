//! Keys, signatures, fingerprints and invite codes.
//!
//! Signatures are Ed25519 (RFC 8032) over a 32-byte hash whose context names the use, checked with
//! `verify_strict` only: no batch verification and no choice of algorithm, because two verifiers that
//! disagree on one signature would diverge for ever.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use crate::base32;
use crate::hash::{self, Context, Hex};
use crate::space::id;
use crate::text;

id!(
    /// Ed25519 public key of a device, or of the hub's authority or root key.
    DeviceKey, 32
);

/// An Ed25519 signature.
pub type Signature = [u8; 64];

impl DeviceKey {
    /// Whether `signature` over `parts` under `context` was made with this key.
    #[must_use]
    pub fn verifies(&self, context: &Context, parts: &[&[u8]], signature: &Signature) -> bool {
        self.signed(&context.hash(parts), signature)
    }

    /// Whether this key signed exactly these bytes.
    fn signed(&self, message: &[u8], signature: &Signature) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else {
            return false;
        };
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        // rule:signature-strict rule:signature-one-by-one
        key.verify_strict(message, &signature).is_ok()
    }

    /// Whether this is a point that signatures can be trusted under: on the curve and not of small
    /// order. Checked when a device is enrolled.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }

    /// Sixteen Crockford characters in groups of four, for people to compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = hash::FINGERPRINT.hash(&[&self.0]);
        let mut bits = [0; 10];
        bits.copy_from_slice(digest.first_chunk::<10>().unwrap_or(&[0; 10]));
        grouped(&crockford(&bits))
    }
}

/// A private key that signs. It is made from 32 bytes that the caller drew or loaded.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Signer({:?})", self.public())
    }
}

impl Signer {
    /// The key of a 32-byte seed (RFC 8032, section 5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self {
            key: SigningKey::from_bytes(seed),
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> DeviceKey {
        DeviceKey(self.key.verifying_key().to_bytes())
    }

    /// The seed, to be stored where the caller keeps secrets.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Signs `parts` under `context`.
    #[must_use]
    pub fn sign(&self, context: &Context, parts: &[&[u8]]) -> Signature {
        self.key.sign(&context.hash(parts)).to_bytes()
    }
}

/// Crockford's base 32 without I, L, O and U; the last five stand only as check characters.
const SYMBOLS: &[u8; 37] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";
/// Characters of an invite code without its check character.
const CODE_LEN: usize = 16;

/// Why a typed invite code is not one. Nothing is sent anywhere for such a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodeError {
    /// A character outside the alphabet.
    #[error("an invite code has digits and letters only; character {0} is something else")]
    Character(usize),
    /// Not 16 characters and a check character.
    #[error("an invite code has 17 characters, this one has {0}")]
    Length(usize),
    /// The check character does not fit: a wrong character, or two that changed places.
    #[error("the invite code does not fit its check character")]
    Check,
}

/// An invite code: 80 random bits, written as 16 characters and a check character.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode {
    bits: [u8; 10],
}

impl fmt::Debug for InviteCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("InviteCode(…)")
    }
}

impl fmt::Display for InviteCode {
    /// Groups of four and the check character: `7KQ4-M2XP-9TRB-4GHD-K`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}-{}",
            grouped(&crockford(&self.bits)),
            check_symbol(&self.bits)
        )
    }
}

impl InviteCode {
    /// The code of 80 random bits, or `None` if its check character would be one of the five signs
    /// that are awkward to type in a shell; the caller draws again (5 draws in 37 fail).
    #[must_use]
    pub fn from_random(bits: [u8; 10]) -> Option<Self> {
        // rule:code-drawn-again
        (number_of(&bits) % 37 < 32).then_some(Self { bits })
    }

    /// The random bits, as a card carries them.
    #[must_use]
    pub(crate) const fn bits(&self) -> [u8; 10] {
        self.bits
    }

    /// Reads what a person typed with any input method: case, width, spaces, hyphens and invisible characters do not
    /// matter, O is 0, I and L are 1.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn parse(typed: &str) -> Result<Self, CodeError> {
        let mut values = Vec::with_capacity(CODE_LEN + 1);
        for (index, character) in typed.chars().enumerate() {
            for symbol in text::symbols(character) {
                values.push(symbol_value(symbol).ok_or(CodeError::Character(index + 1))?);
            }
        }
        let (check, digits) = match values.split_last() {
            Some((check, digits)) if digits.len() == CODE_LEN => (*check, digits),
            _ => return Err(CodeError::Length(values.len())),
        };
        let mut number: u128 = 0;
        for digit in digits {
            if *digit >= 32 {
                return Err(CodeError::Check);
            }
            number = number << 5 | u128::from(*digit);
        }
        let mut bits = [0; 10];
        bits.copy_from_slice(number.to_be_bytes().last_chunk::<10>().unwrap_or(&[0; 10]));
        if number % 37 == u128::from(check) {
            Ok(Self { bits })
        } else {
            Err(CodeError::Check)
        }
    }

    /// The key pair whose public half stands in the authority log: signing with it over a channel
    /// proves knowledge of the code, and nobody who reads the log or the hub's store can do so.
    #[must_use]
    pub fn invite_key(&self) -> Signer {
        Signer::from_seed(&hash::INVITE_KEY.hash(&[&self.bits]))
    }

    /// The key with which the hub proves to the joining device that it made this invite. The hub
    /// keeps it; it does not let anyone enrol.
    #[must_use]
    pub fn hub_proof_key(&self) -> [u8; 32] {
        hash::INVITE_HUB.hash(&[&self.bits])
    }
}

fn number_of(bits: &[u8; 10]) -> u128 {
    bits.iter()
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn crockford(bits: &[u8; 10]) -> String {
    let number = number_of(bits);
    (0..CODE_LEN)
        .rev()
        .map(|place| symbol(number >> (5 * place) & 31))
        .collect()
}

fn check_symbol(bits: &[u8; 10]) -> char {
    symbol(number_of(bits) % 37)
}

fn symbol(value: u128) -> char {
    usize::try_from(value)
        .ok()
        .and_then(|at| SYMBOLS.get(at))
        .map_or('?', |byte| char::from(*byte))
}

fn symbol_value(character: char) -> Option<u8> {
    let meant = base32::meant(character);
    let at = SYMBOLS
        .iter()
        .position(|symbol| char::from(*symbol) == meant)?;
    u8::try_from(at).ok()
}

fn grouped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            out.push('-');
        }
        out.push(character);
    }
    out
}

/// What both ends of a channel prove to each other at enrolment, and the words that people compare.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    /// Keying material that both ends of this one connection export (RFC 8446, section 7.5).
    pub exporter: &'a [u8; 32],
    /// The joining device.
    pub device: &'a DeviceKey,
    /// The hub's device key, as the connection showed it.
    pub hub: &'a DeviceKey,
}

impl Channel<'_> {
    /// The joining device's proof: a signature with the invite key, bound to this channel, its key
    /// and its age recipient.
    #[must_use]
    pub fn device_proof(&self, invite: &Signer, recipient: &[u8; 32]) -> Signature {
        invite.sign(
            &hash::ENROL_DEVICE,
            &[self.exporter, &self.device.0, &self.hub.0, recipient],
        )
    }

    /// Checks [`Channel::device_proof`].
    #[must_use]
    pub fn device_proof_holds(
        &self,
        invite: &DeviceKey,
        recipient: &[u8; 32],
        proof: &Signature,
    ) -> bool {
        invite.verifies(
            &hash::ENROL_DEVICE,
            &[self.exporter, &self.device.0, &self.hub.0, recipient],
            proof,
        )
    }

    /// The hub's proof that it made the invite, bound to this channel and to the network it names.
    #[must_use]
    pub fn hub_proof(&self, key: &[u8; 32], network: &crate::space::NetworkId) -> [u8; 32] {
        hash::ENROL_HUB.hash(&[key, self.exporter, &self.device.0, &self.hub.0, &network.0])
    }

    /// What the four words are taken from: equal on both ends of one honest channel.
    #[must_use]
    pub fn words_digest(&self) -> [u8; 32] {
        hash::WORDS.hash(&[self.exporter, &self.device.0, &self.hub.0])
    }
}

/// A short name for a key in messages: the first eight hexadecimal digits.
#[must_use]
pub fn short(key: &DeviceKey) -> String {
    let mut text = Hex(&key.0).to_string();
    text.truncate(8);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> impl Iterator<Item = InviteCode> {
        (0_u64..2_000).filter_map(|n| {
            let digest = blake3::hash(&n.to_be_bytes());
            InviteCode::from_random(*digest.as_bytes().first_chunk::<10>()?)
        })
    }

    #[test]
    fn a_code_survives_how_people_type_it() -> Result<(), CodeError> {
        for code in codes().take(200) {
            let text = code.to_string();
            assert_eq!(text.len(), 21);
            let sloppy = text
                .to_lowercase()
                .replace('-', " \u{200b}")
                .replace('0', "o");
            assert_eq!(InviteCode::parse(&sloppy.replace('1', "l"))?, code);
            // As an input method types it that is set to full width.
            let wide = text
                .chars()
                .filter_map(|c| char::from_u32(u32::from(c) + 0xfee0));
            assert_eq!(InviteCode::parse(&wide.collect::<String>())?, code);
        }
        Ok(())
    }

    // rule:code-drawn-again
    #[test]
    fn a_code_whose_check_character_is_awkward_to_type_is_drawn_again() {
        let (mut given, mut again) = (0, 0);
        for n in 0_u64..2_000 {
            let digest = blake3::hash(&n.to_be_bytes());
            let mut bits = [0; 10];
            bits.copy_from_slice(digest.as_bytes().first_chunk::<10>().unwrap_or(&[0; 10]));
            let awkward = number_of(&bits) % 37 >= 32;
            assert_eq!(InviteCode::from_random(bits).is_none(), awkward);
            *(if awkward { &mut again } else { &mut given }) += 1;
        }
        assert!(given > 1_500 && again > 100, "{given} {again}");
    }

    #[test]
    fn every_wrong_character_and_every_swap_is_noticed() {
        for code in codes().take(100) {
            let text: Vec<char> = code.to_string().chars().filter(|c| *c != '-').collect();
            for at in 0..text.len() {
                for symbol in SYMBOLS {
                    let mut typed = text.clone();
                    if let Some(character) = typed.get_mut(at) {
                        *character = char::from(*symbol);
                    }
                    let parsed = InviteCode::parse(&typed.iter().collect::<String>());
                    assert_eq!(parsed.is_ok(), typed == text);
                }
                let mut swapped = text.clone();
                if at + 1 < text.len() {
                    swapped.swap(at, at + 1);
                    let parsed = InviteCode::parse(&swapped.iter().collect::<String>());
                    assert_eq!(parsed.is_ok(), swapped == text);
                }
            }
        }
    }

    #[test]
    fn a_proof_holds_on_its_own_channel_only() {
        let device = Signer::from_seed(&[1; 32]).public();
        let hub = Signer::from_seed(&[2; 32]).public();
        let invite = Signer::from_seed(&[3; 32]);
        let here = Channel {
            exporter: &[4; 32],
            device: &device,
            hub: &hub,
        };
        let there = Channel {
            exporter: &[5; 32],
            ..here
        };
        let proof = here.device_proof(&invite, &[6; 32]);
        assert!(here.device_proof_holds(&invite.public(), &[6; 32], &proof));
        assert!(!here.device_proof_holds(&invite.public(), &[7; 32], &proof));
        assert!(!there.device_proof_holds(&invite.public(), &[6; 32], &proof));
        assert_ne!(here.words_digest(), there.words_digest());
    }

    #[test]
    fn weak_keys_are_not_sound() {
        assert!(Signer::from_seed(&[9; 32]).public().is_sound());
        assert!(!DeviceKey([0; 32]).is_sound());
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(!DeviceKey(identity).is_sound());
    }

    #[test]
    fn a_signature_under_one_context_does_not_hold_under_another() {
        let signer = Signer::from_seed(&[1; 32]);
        let signature = signer.sign(&hash::CHECKPOINT, &[b"body"]);
        assert!(
            signer
                .public()
                .verifies(&hash::CHECKPOINT, &[b"body"], &signature)
        );
        assert!(
            !signer
                .public()
                .verifies(&hash::RECEIPT, &[b"body"], &signature)
        );
        let mut flipped = signature;
        flipped[0] ^= 1;
        assert!(
            !signer
                .public()
                .verifies(&hash::CHECKPOINT, &[b"body"], &flipped)
        );
    }

    /// Project Wycheproof's Ed25519 set: edge cases of encodings, ranges and truncation.
    #[test]
    fn all_cases_of_wycheproof_are_judged_as_they_should_be()
    -> Result<(), Box<dyn std::error::Error>> {
        use wycheproof::TestResult;
        use wycheproof::eddsa::{TestName, TestSet};
        let set = TestSet::load(TestName::Ed25519)?;
        let (mut valid, mut invalid) = (0, 0);
        for group in &set.test_groups {
            let key = DeviceKey(group.key.pk.as_slice().try_into()?);
            for case in &group.tests {
                // A signature of another length has no type here: the codec does not let it in.
                let signature = <&Signature>::try_from(case.sig.as_slice());
                let holds = signature.is_ok_and(|signature| key.signed(&case.msg, signature));
                let should = match case.result {
                    TestResult::Valid => true,
                    TestResult::Invalid => false,
                    TestResult::Acceptable => return Err("a case without a verdict".into()),
                };
                assert_eq!(holds, should, "case {}: {}", case.tc_id, case.comment);
                *(if should { &mut valid } else { &mut invalid }) += 1;
            }
        }
        assert_eq!((valid, invalid), (88, 63), "151 cases");
        Ok(())
    }

    /// The eight points of small order, and encodings of them that are not canonical (RFC 8032, section 5.1.3).
    const SMALL_ORDER: [&str; 14] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];

    // rule:signature-strict
    #[test]
    fn nothing_is_signed_by_a_key_of_small_order_or_under_a_commitment_of_one() {
        let honest = Signer::from_seed(&[1; 32]);
        let mut sound = honest.sign(&hash::CHECKPOINT, &[b"body"]);
        for point in SMALL_ORDER {
            let point = hash::parse_hex::<32>(point).unwrap_or([7; 32]);
            let key = DeviceKey(point);
            assert!(!key.is_sound(), "{key}");
            // With S = 0 and R of small order the plain equation holds for one message in eight or for all.
            for commitment in SMALL_ORDER {
                let commitment = hash::parse_hex::<32>(commitment).unwrap_or([7; 32]);
                let mut signature = [0; 64];
                for (to, from) in signature.iter_mut().zip(commitment) {
                    *to = from;
                }
                for message in 0..16_u8 {
                    assert!(!key.verifies(&hash::CHECKPOINT, &[&[message]], &signature));
                }
                for (to, from) in sound.iter_mut().zip(commitment) {
                    *to = from;
                }
                assert!(
                    !honest
                        .public()
                        .verifies(&hash::CHECKPOINT, &[b"body"], &sound)
                );
            }
        }
    }

    #[test]
    fn a_signature_has_one_form_and_adding_the_group_order_is_another() {
        // L, little-endian (RFC 8032, section 5.1).
        const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        let order = hash::parse_hex::<32>(ORDER).unwrap_or_default();
        let mut added = 0;
        for seed in 0..32 {
            let signer = Signer::from_seed(&[seed; 32]);
            let signature = signer.sign(&hash::RECEIPT, &[b"body"]);
            assert!(
                signer
                    .public()
                    .verifies(&hash::RECEIPT, &[b"body"], &signature)
            );
            let mut other = signature;
            let mut carry = 0_u16;
            for (to, from) in other.iter_mut().skip(32).zip(order) {
                carry += u16::from(*to) + u16::from(from);
                *to = carry.to_le_bytes()[0];
                carry >>= 8;
            }
            assert_eq!(carry, 0, "S + L fits 32 bytes");
            assert!(!signer.public().verifies(&hash::RECEIPT, &[b"body"], &other));
            added += 1;
        }
        assert_eq!(added, 32);
    }
}
