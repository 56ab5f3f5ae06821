//! An invite and its answer where there is no line to the hub: the card that a QR code or a file carries, the
//! request that a device puts on a stick, and the grant that comes back.
//!
//! The card holds what a device needs to begin recording and numbering at once 待入网. Request and grant prove the
//! same things as an enrolment over a channel (module `identity`), with a number that the device draws in the
//! place of what both ends of a channel export: whoever does not know the code can make neither, and neither
//! counts for another device, hub or network. What is lost on the way is asked again: a request may be granted
//! twice, and gives the same device the same rights.
//!
//! Rejected: a request that only names the device and is compared by two people. Words are compared as well, but
//! proof enrols.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::base32;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::identity::{Channel, DeviceKey, InviteCode, Signature, Signer};
use crate::limits;
use crate::log::LogId;
use crate::message::{Enrol, Enrolled, FrameReader, Message, WireBatch};
use crate::space::{NetworkId, SiteId};
use crate::text;

/// How a card's text begins.
const CARD: &str = "LXI1";
/// First bytes of a request's file.
const REQUEST: &[u8; 8] = b"LXJOIN\x01\n";
/// First bytes of a grant's file.
const GRANT: &[u8; 8] = b"LXGRANT\x01";
/// Bytes of a card's check sum.
const CHECK: usize = 4;

/// What an invite says beside its code, so that a device can begin without the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The secret.
    pub code: InviteCode,
    /// The network.
    pub network: NetworkId,
    /// The hub's device key.
    pub hub: DeviceKey,
    /// Where the hub listens, `host:port`; at most [`limits::CARD_ADDRESSES_MAX`].
    pub addresses: Vec<String>,
    /// The site and its code; none for a device of the sub-district.
    pub site: Option<(SiteId, String)>,
    /// The code in this device's numbers.
    pub device_code: String,
    /// The sub-district's letters in numbers.
    pub district: String,
}

/// Why a text is not an invite card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CardError {
    /// It does not begin as one.
    #[error("this is not an invite card")]
    NotOne,
    /// A character that no card has, or a card that was cut or mistyped.
    #[error("the invite card is damaged: copy it again, whole")]
    Damaged,
    /// Whole, and not what a card holds.
    #[error("the invite card is malformed: {0}")]
    Malformed(#[from] DecodeError),
}

impl Card {
    /// Whether a text begins as a card, rather than as a typed code.
    #[must_use]
    pub fn begins(text: &str) -> bool {
        let start = text.chars().flat_map(text::symbols).take(CARD.len());
        start.eq(CARD.chars())
    }

    /// The card as a QR code holds it: capitals and digits alone.
    #[must_use]
    pub fn text(&self) -> String {
        let mut writer = Writer::new();
        writer
            .fixed(&self.code.bits())
            .fixed(&self.network.0)
            .fixed(&self.hub.0)
            .length(self.addresses.len());
        for address in &self.addresses {
            writer.str(address);
        }
        match &self.site {
            None => writer.u8(0),
            Some((site, code)) => writer.u8(1).fixed(&site.0).str(code),
        };
        writer.str(&self.device_code).str(&self.district);
        let mut bytes = writer.into_bytes();
        bytes.extend_from_slice(&check(&bytes));
        format!("{CARD}{}", base32::encode(&bytes))
    }

    /// Reads a card's text. Case, width, spaces, line ends, hyphens and invisible characters do not matter.
    ///
    /// # Errors
    /// See [`CardError`].
    pub fn parse(text: &str) -> Result<Self, CardError> {
        // rule:card-refused
        if !Self::begins(text) || text.len() > limits::CARD_TEXT_MAX {
            return Err(CardError::NotOne);
        }
        let symbols = text.chars().flat_map(text::symbols).skip(CARD.len());
        let bytes = base32::decode(symbols).ok_or(CardError::Damaged)?;
        let (body, sum) = bytes
            .split_last_chunk::<CHECK>()
            .ok_or(CardError::Damaged)?;
        // rule:card-refused
        if check(body) != *sum {
            return Err(CardError::Damaged);
        }
        let mut reader = Reader::new(body);
        let code = InviteCode::from_random(reader.fixed()?).ok_or(CardError::Damaged)?;
        let (network, hub) = (NetworkId(reader.fixed()?), DeviceKey(reader.fixed()?));
        let addresses = (0..reader.count(limits::CARD_ADDRESSES_MAX, 4)?)
            .map(|_| reader.str(limits::NAME_MAX).map(str::to_owned))
            .collect::<Result<_, _>>()?;
        let site = match reader.u8()? {
            0 => None,
            1 => Some((
                SiteId(reader.fixed()?),
                reader.str(limits::NAME_MAX)?.to_owned(),
            )),
            _ => {
                return Err(reader
                    .fail::<()>("a site, or none")
                    .err()
                    .map_or(CardError::Damaged, CardError::from));
            }
        };
        let device_code = reader.str(limits::NAME_MAX)?.to_owned();
        let district = reader.str(limits::NAME_MAX)?.to_owned();
        reader.finish()?;
        Ok(Self {
            code,
            network,
            hub,
            addresses,
            site,
            device_code,
            district,
        })
    }
}

/// What a device asks of the hub on a stick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The network.
    pub network: NetworkId,
    /// The hub that made the invite.
    pub hub: DeviceKey,
    /// The device that asks.
    pub device: DeviceKey,
    /// Drawn for this request.
    pub nonce: [u8; 32],
    /// What it would say over a channel.
    pub enrol: Enrol,
    /// The device's own signature over all of it.
    signature: Signature,
}

/// What stands in the place of a channel's keying material.
fn binding(network: &NetworkId, nonce: &[u8; 32]) -> [u8; 32] {
    hash::STICK.hash(&[&network.0, nonce])
}

impl Request {
    /// A request with a fresh `nonce`, signed by the device and with the invite.
    #[must_use]
    pub fn new(
        (network, hub): (NetworkId, DeviceKey),
        device: &Signer,
        recipient: &[u8; 32],
        code: &InviteCode,
        nonce: [u8; 32],
    ) -> Self {
        let (key, exporter) = (device.public(), binding(&network, &nonce));
        let channel = Channel {
            exporter: &exporter,
            device: &key,
            hub: &hub,
        };
        let invite = code.invite_key();
        let enrol = Enrol {
            invite: invite.public(),
            recipient: *recipient,
            proof: channel.device_proof(&invite, recipient),
        };
        let mut request = Self {
            network,
            hub,
            device: key,
            nonce,
            enrol,
            signature: [0; 64],
        };
        request.signature = device.sign(&hash::JOIN_REQUEST, &[&request.body()]);
        request
    }

    fn body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .fixed(&self.network.0)
            .fixed(&self.hub.0)
            .fixed(&self.device.0)
            .fixed(&self.nonce)
            .fixed(&self.enrol.invite.0)
            .fixed(&self.enrol.recipient)
            .fixed(&self.enrol.proof);
        writer.into_bytes()
    }

    /// The file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [REQUEST.as_slice(), &self.body(), &self.signature].concat()
    }

    /// Reads a file and checks that the device signed it and knew the invite. Whether the invite is open is the
    /// hub's to say.
    ///
    /// # Errors
    /// It is not such a file, or a signature does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.fixed::<8>()? != *REQUEST {
            return reader.fail("a join request");
        }
        let request = Self {
            network: NetworkId(reader.fixed()?),
            hub: DeviceKey(reader.fixed()?),
            device: DeviceKey(reader.fixed()?),
            nonce: reader.fixed()?,
            enrol: Enrol {
                invite: DeviceKey(reader.fixed()?),
                recipient: reader.fixed()?,
                proof: reader.fixed()?,
            },
            signature: reader.fixed()?,
        };
        let end = reader.clone();
        reader.finish()?;
        let signed =
            request
                .device
                .verifies(&hash::JOIN_REQUEST, &[&request.body()], &request.signature);
        let Enrol {
            invite,
            recipient,
            proof,
        } = &request.enrol;
        let exporter = request.binding();
        let proven = request
            .channel(&exporter)
            .device_proof_holds(invite, recipient, proof);
        // rule:stick-signatures
        if signed && proven {
            Ok(request)
        } else {
            end.fail("signatures that hold")
        }
    }

    /// See [`Channel`]; what both ends of a channel export is drawn by the device here.
    #[must_use]
    pub fn binding(&self) -> [u8; 32] {
        binding(&self.network, &self.nonce)
    }

    /// The ends as an enrolment over a channel has them.
    #[must_use]
    pub const fn channel<'a>(&'a self, exporter: &'a [u8; 32]) -> Channel<'a> {
        Channel {
            exporter,
            device: &self.device,
            hub: &self.hub,
        }
    }

    /// The hub's answer to it: `proof_key` is what it kept of the invite, `enrolled` says all but the proof.
    #[must_use]
    pub fn grant(
        &self,
        proof_key: &[u8; 32],
        enrolled: Enrolled,
        authority: Vec<(LogId, WireBatch)>,
    ) -> Grant {
        let exporter = self.binding();
        let proof = self
            .channel(&exporter)
            .hub_proof(proof_key, &enrolled.network);
        Grant {
            nonce: self.nonce,
            enrolled: Enrolled { proof, ..enrolled },
            authority,
        }
    }
}

/// The hub's answer on a stick: that it made the invite, and the authority log, so that the device knows the
/// network at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Of the request that it answers.
    nonce: [u8; 32],
    /// As over a channel.
    pub enrolled: Enrolled,
    /// The authority log from its beginning, and its successors.
    pub authority: Vec<(LogId, WireBatch)>,
}

impl Grant {
    /// The file: the request's number and the logs, then frames.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let logs: BTreeSet<LogId> = self.authority.iter().map(|(log, _)| *log).collect();
        let mut writer = Writer::new();
        writer.fixed(GRANT).fixed(&self.nonce).length(logs.len());
        for log in logs {
            writer.fixed(&log.0);
        }
        let mut bytes = writer.into_bytes();
        bytes.extend(Message::Enrolled(self.enrolled.clone()).encode());
        for (_, batch) in &self.authority {
            bytes.extend(Message::Batch(batch.clone()).encode());
        }
        bytes
    }

    /// Reads a file. What it says is proven by [`Grant::answers`].
    ///
    /// # Errors
    /// It is not such a file, or longer than [`limits::GRANT_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > limits::GRANT_MAX {
            return reader.fail("a grant within its bound");
        }
        if reader.fixed::<8>()? != *GRANT {
            return reader.fail("a grant");
        }
        let nonce = reader.fixed()?;
        let mut logs = BTreeMap::new();
        for _ in 0..reader.count(limits::LOGS_MAX, 32)? {
            let log = LogId(reader.fixed()?);
            logs.insert(log.prefix(), log);
        }
        let mut frames = FrameReader::default();
        let rest = reader.remaining();
        frames.push(reader.take(rest)?);
        let Some(Message::Enrolled(enrolled)) = frames.next_frame()? else {
            return reader.fail("the hub's answer");
        };
        let mut authority = Vec::new();
        while let Some(frame) = frames.next_frame()? {
            match frame {
                Message::Batch(batch) => match logs.get(&batch.log) {
                    Some(log) => authority.push((*log, batch)),
                    None => return reader.fail("batches of the logs it names"),
                },
                _ => return reader.fail("nothing but batches"),
            }
        }
        if frames.has_begun() {
            return reader.fail("a whole last frame");
        }
        Ok(Self {
            nonce,
            enrolled,
            authority,
        })
    }

    /// Whether the hub that made this invite gives this grant to this request: the device checks it before it
    /// believes any of it.
    #[must_use]
    pub fn answers(&self, request: &Request, code: &InviteCode) -> bool {
        let exporter = request.binding();
        let proof = request
            .channel(&exporter)
            .hub_proof(&code.hub_proof_key(), &self.enrolled.network);
        // rule:stick-answer
        self.nonce == request.nonce
            && self.enrolled.network == request.network
            && self.enrolled.certificate.holds(&request.network)
            && self.enrolled.proof == proof
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let digest = hash::CARD.hash(&[bytes]);
    *digest.first_chunk().unwrap_or(&[0; CHECK])
}

#[cfg(test)]
mod tests;
