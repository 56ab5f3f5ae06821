//! Joining a network, on the side of who joins: the invite, asking the hub with it, and asking again.
//!
//! A join can be cut off anywhere and begun again, and goes on as the same device: what it is known by is kept from before the
//! hub is asked (`Seeds`). Rejected: to have the hub take an invite back, which would make it usable twice; and to
//! say the site in the hub's answer, which would be a second place beside the order that lets the device in. The proof
//! itself is in [`super::enrol`], what a new store begins with in [`crate::setup`].

use std::path::Path;

use lianxin_protocol::hash::parse_hex;
use lianxin_protocol::identity::{DeviceKey, InviteCode, Signer};
use lianxin_protocol::invite::Card;
use lianxin_protocol::space::{NetworkId, SiteId};
use serde_json::{Value, json};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::enrol::{self, Joined};
use super::look_up;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::invites;
use crate::reply::with_schema;
use crate::setup::{self, Member};
use crate::store::{self, Making, Store};
use crate::writer::WriterThread;

/// An invite, as typed or as its file has it.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The secret.
    pub code: InviteCode,
    /// What only the file and the QR code say.
    pub card: Option<Card>,
}

impl Ticket {
    /// A typed code, or what a QR code of an invite says.
    ///
    /// # Errors
    /// [`Code::InviteCode`]; nothing is sent for a code that does not fit.
    pub fn typed(code: &str) -> Result<Self> {
        if Card::begins(code) {
            let card = Card::parse(code).map_err(|error| {
                Error::because(Code::InviteCode, "check the invite card", error)
            })?;
            let code = card.code.clone();
            let card = Some(card);
            return Ok(Self { code, card });
        }
        let code = InviteCode::parse(code)
            .map_err(|error| Error::because(Code::InviteCode, "check the invite code", error))?;
        Ok(Self { code, card: None })
    }

    /// An invite in whichever form somebody has it: a typed code, what a QR code says, or what stands in the file.
    ///
    /// # Errors
    /// [`Code::InviteCode`] when it is none of them.
    pub fn given(text: &str) -> Result<Self> {
        let text = text.trim();
        if !text.starts_with('{') {
            return Self::typed(text);
        }
        let message = "this is not the file of an invite";
        Self::parse_card(text).ok_or_else(|| Error::new(Code::InviteCode, message))
    }

    /// The file that `invite create --out` wrote.
    ///
    /// # Errors
    /// [`Code::BadFile`] when it is not that file.
    pub fn file(path: &Path) -> Result<Self> {
        let card = setup::card_text(path)?.and_then(|text| Self::parse_card(&text));
        card.ok_or_else(|| {
            let message = format!("{} is not an invite file", path.display());
            Error::new(Code::BadFile, message)
        })
    }

    fn parse_card(text: &str) -> Option<Self> {
        let card: Value = serde_json::from_str(text).ok()?;
        // rule:invite-file-grows
        let get = |key: &str| card.get(key).and_then(Value::as_str);
        let site = match (get("site"), get("site_code")) {
            (Some(site), Some(code)) => {
                let site = lianxin_protocol::log::RecordId::parse(site)?;
                Some((SiteId(site.0), code.to_owned()))
            }
            _ => None,
        };
        let addresses = card.get("hub_addresses").and_then(Value::as_array)?.iter();
        let code = InviteCode::parse(get("invite")?).ok()?;
        Some(Self {
            code: code.clone(),
            card: Some(Card {
                code,
                network: NetworkId(parse_hex(get("network")?)?),
                hub: DeviceKey(parse_hex(get("hub")?)?),
                addresses: addresses
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
                site,
                device_code: get("device_code")?.to_owned(),
                district: get("district")?.to_owned(),
            }),
        })
    }
}

/// How a joining device finds the hub.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// At the addresses of the card.
    Card,
    /// At this address, or at those of the card.
    Hub(&'a str),
    /// Not at all: request and grant will travel on a stick.
    None,
}

impl<'a> Line<'a> {
    /// At this address, if one is given.
    #[must_use]
    pub fn to(hub: Option<&'a str>) -> Self {
        hub.map_or(Self::Card, Self::Hub)
    }
}

/// A join whose store is filled and is not yet one: it counts when it is finished. Whoever begins again with the
/// same invite before that is the same device.
#[derive(Debug)]
pub struct Joining {
    making: Making,
    /// The store, for a first session.
    pub store: Store,
    /// What `join` says when it ends well.
    pub value: Value,
    /// The hub has let the device in.
    pub confirmed: bool,
    /// The invite itself said where the device stands, so it can record before it has the authority log.
    pub placed: bool,
}

impl Joining {
    /// The store is one from now on.
    ///
    /// # Errors
    /// [`Code::File`].
    pub fn finish(self) -> Result<Value> {
        self.making.finish()?;
        Ok(self.value)
    }

    /// Leaves the directory as it was found: whoever joined does not want to.
    ///
    /// # Errors
    /// [`Code::File`].
    pub fn abandon(self) -> Result<()> {
        self.making.abandon()
    }
}

/// Joins a network with an invite. With a code the hub must answer, or nothing is made; with a card the
/// store is filled at once, and the hub confirms it later 待入网.
///
/// # Errors
/// [`Code::HubUnreachable`] with a code alone, [`Code::InviteRefused`], [`Code::HubUnproven`],
/// [`Code::AlreadySetUp`].
pub async fn join(directory: &Path, ticket: &Ticket, line: Line<'_>) -> Result<Joining> {
    let card = ticket.card.as_ref();
    let hub = match line {
        Line::Hub(address) => Some(address),
        Line::Card | Line::None => None,
    };
    let mut addresses: Vec<String> = hub.map(str::to_owned).into_iter().collect();
    addresses.extend(card.map(|card| card.addresses.clone()).unwrap_or_default());
    // With a card one can wait for the hub, wherever it will be.
    if addresses.is_empty() && card.is_none() {
        return Err(Error::new(
            Code::HubUnreachable,
            "no address of the hub is known: give --hub",
        ));
    }
    let mut making = Making::begin(directory)?;
    let (seeds, begun) = Seeds::of(&mut making, &ticket.code)?;
    let device = Signer::from_seed(&seeds.device);
    let age = StaticSecret::from(seeds.age);
    let recipient = PublicKey::from(&age).to_bytes();
    let asked: &[String] = if matches!(line, Line::None) {
        &[]
    } else {
        &addresses
    };
    let pinned = ticket.card.as_ref().map(|card| (card.network, card.hub));
    let joined = ask_hub(asked, &device, &recipient, &ticket.code, pinned).await;
    let joined = match (joined, card) {
        (Ok(joined), _) => Some(joined),
        (Err(error), Some(_)) if not_now(&error) => None,
        (Err(error), None) if error.code() == Code::Connection => {
            // The hub may have used up the invite for this very key, and only its answer was lost.
            let message = "the line broke before the hub's answer";
            return Err(Error::because(Code::HubUnreachable, message, error));
        }
        (Err(error), _) => {
            // Whoever answered may be another hub: what was begun with this invite or another goes on when it is
            // repeated.
            if !begun {
                making.abandon()?;
            }
            return Err(error);
        }
    };
    let network = match (&joined, card) {
        (Some(joined), _) => joined.network,
        (None, Some(card)) => card.network,
        (None, None) => return Err(Error::new(Code::Internal, "joined without a network")),
    };
    let hub_key = joined
        .as_ref()
        .map(|joined| joined.hub)
        .or_else(|| card.map(|card| card.hub));
    let device_code = joined.as_ref().map(|joined| joined.device_code.clone());
    let device_code = device_code
        .or_else(|| card.map(|card| card.device_code.clone()))
        .unwrap_or_default();
    let key = device.public();
    let pending = card.is_some().then(|| ticket.code.to_string());
    let member = Member {
        network,
        device,
        age_seed: age.to_bytes(),
        hub: hub_key,
        device_code: &device_code,
        addresses: &addresses,
        card,
        pending_invite: pending.as_deref(),
        words: joined.as_ref().map(|joined| &joined.words),
    };
    let store = setup::fill_member(&making, member)?;
    let words = joined
        .as_ref()
        .map(|joined| invites::four_words(&joined.words))
        .unwrap_or_default();
    let site = card
        .and_then(|card| card.site.as_ref())
        .map(|(_, code)| code.clone());
    // A device code is its site's code and a letter.
    let site = site.or_else(|| device_code.get(..3).map(str::to_owned));
    let confirmed = joined.is_some();
    let value = json!({
        "network": network.to_string(),
        "device": key.to_string(),
        "device_code": device_code,
        "site": site,
        "words": words,
        "confirmed": confirmed,
    });
    Ok(Joining {
        making,
        store,
        value: with_schema("lianxin.join/1", value),
        confirmed,
        placed: card.is_some(),
    })
}

/// What a joining device is known by. Kept from before the hub is asked, so that who asks again with the same
/// invite is the same device: the hub lets that one in, and nobody else, however often its answer is lost.
struct Seeds {
    device: [u8; 32],
    age: [u8; 32],
}

impl Seeds {
    /// Those that were kept for this invite, or fresh ones. Says whether any were kept, for this or for another:
    /// the hub may have let that device in.
    fn of(making: &mut Making, code: &InviteCode) -> Result<(Self, bool)> {
        let invite = code.invite_key().public();
        let kept = making.kept()?;
        let halves = |bytes: &[u8]| -> Option<Self> {
            let (device, age) = bytes.strip_prefix(&invite.0)?.split_first_chunk::<32>()?;
            let (device, age) = (*device, age.try_into().ok()?);
            Some(Self { device, age })
        };
        if let Some(seeds) = kept.iter().find_map(|bytes| halves(&**bytes)) {
            return Ok((seeds, true));
        }
        let seeds = Self {
            device: clock::random()?,
            age: clock::random()?,
        };
        let mut bytes = Zeroizing::new([0; store::KEPT]);
        for (place, part) in bytes
            .chunks_exact_mut(32)
            .zip([&invite.0, &seeds.device, &seeds.age])
        {
            place.copy_from_slice(part);
        }
        making.keep(&bytes)?;
        Ok((seeds, !kept.is_empty()))
    }
}

/// Whether it is worth asking again with the same invite. The hub may have let this device in already, if only its
/// answer was lost.
const fn not_now(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::HubUnreachable | Code::EnrolPaused | Code::Connection
    )
}

/// Asks at every address of these names, also after somebody else has answered at one.
async fn ask_hub(
    names: &[String],
    device: &Signer,
    recipient: &[u8; 32],
    code: &InviteCode,
    pinned: Option<(NetworkId, DeviceKey)>,
) -> Result<Joined> {
    let message = format!("no hub answers at {}", names.join(", "));
    let mut telling = Error::new(Code::HubUnreachable, message);
    let mut found = look_up(names);
    while let Some((_, address)) = found.next().await {
        match enrol::join(address, device, recipient, code, pinned).await {
            Err(error) if error.code() == Code::HubUnreachable => {
                tracing::debug!(error = %error.chain(), "no hub there");
            }
            Err(error) if error.code() == Code::HubUnproven => telling = error,
            other => return other,
        }
    }
    Err(telling)
}

/// Confirms a device that was set up from an invite card while the hub was out of reach. Says whether
/// the hub has let it in.
///
/// # Errors
/// [`Code::InviteRefused`] or [`Code::HubUnproven`]: the invite does not count any more; what was recorded
/// stays, and a new invite is needed.
pub async fn confirm(writer: &WriterThread) -> Result<bool> {
    let Some(pending) =
        writer.after_wait(|journal, connection| setup::pending(journal, connection))?
    else {
        return Ok(true);
    };
    let recipient = PublicKey::from(&StaticSecret::from(pending.age_seed)).to_bytes();
    // rule:invite-file-binds
    let pinned = Some((pending.identity.network, pending.hub));
    let (addresses, device) = (&pending.addresses, &pending.identity.device);
    match ask_hub(addresses, device, &recipient, &pending.code, pinned).await {
        Ok(joined) => {
            let device = pending.identity.key();
            writer.write_wait(move |_, connection| {
                setup::answered(connection, &device, &joined.words)
            })?;
            Ok(true)
        }
        Err(error) if error.code() == Code::HubUnreachable => Ok(false),
        Err(error) => Err(error),
    }
}
