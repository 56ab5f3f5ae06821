//! Making a network, and joining one: what happens once in the life of a data directory.
//!
//! Both can be cut off anywhere and begun again: a store counts as one when it is whole ([`Making`]), and a join
//! goes on as the same device. Rejected: to have the hub take an invite back, which would make it usable twice; and to
//! say the site in the hub's answer, which would be a second place beside the order that lets the device in.

use std::net::SocketAddr;
use std::path::Path;

use lianxin_protocol::authority::{Certificate, Grant, Order, Role};
use lianxin_protocol::hash::{Hex, PAYLOAD, parse_hex};
use lianxin_protocol::identity::{DeviceKey, InviteCode, Signer};
pub use lianxin_protocol::invite::Card;
use lianxin_protocol::number::SiteCode;
use lianxin_protocol::space::{NetworkId, SiteId};
use serde_json::{Value, json};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::accounts;
use crate::clock;
use crate::error::{self, Code, Error, Result};
use crate::invites;
use crate::journal::{Identity, Journal, Overview};
use crate::reply::with_schema;
use crate::store::{self, Making, Store};
use crate::sync::enrol::{self, Joined};
use crate::sync::look_up;
use crate::writer::{Writer, WriterThread};

/// Where a hub listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:7443";

/// Key under which a store keeps where its pages were meant to be.
pub const WEB_KEPT: &str = "web_listen";

/// Key under which a device keeps the addresses of its hub, the likeliest first.
const HUB_KEPT: &str = "hub_addresses";

/// Stands in a store whose pending invite the hub has answered: it is asked no more, or the four words would change.
const ANSWERED: &str = "invite_answered";

/// Largest file of an invite or a recovery card in bytes.
const CARD_MAX: u64 = 64 * 1024;

/// Schema of the card that holds a network's root key.
const RECOVERY_CARD: &str = "lianxin.recovery-card/1";

/// What makes a network.
#[derive(Clone, Debug)]
pub struct HubInit<'a> {
    /// The sub-district's name.
    pub name: &'a str,
    /// Its four letters in numbers.
    pub code: Option<&'a str>,
    /// Where the hub will listen.
    pub listen: Option<SocketAddr>,
    /// Where its pages will be.
    pub web: Option<SocketAddr>,
    /// File for the recovery card; without it the card is in the reply, once.
    pub recovery_out: Option<&'a Path>,
}

/// What stands in the file of a card; nothing if no card can be in it.
fn card_text(path: &Path) -> Result<Option<Zeroizing<String>>> {
    // Asked first: opening a pipe would wait, and a device may never end.
    let about = std::fs::metadata(path).map_err(error::file(path))?;
    if !about.is_file() || about.len() > CARD_MAX {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(error::file(path))?;
    Ok(String::from_utf8(bytes).ok().map(Zeroizing::new))
}

/// The root key on a recovery card, in hexadecimal digits.
///
/// # Errors
/// [`Code::Card`] when the file is no recovery card, [`Code::File`] when it cannot be read.
pub fn root_of_card(path: &Path) -> Result<Zeroizing<String>> {
    let card = card_text(path)?.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let root = card.and_then(|card| {
        let text = |key: &str| card.get(key).and_then(Value::as_str);
        let root = text("root_key").filter(|_| text("schema") == Some(RECOVERY_CARD));
        root.map(|root| Zeroizing::new(root.to_owned()))
    });
    root.ok_or_else(|| {
        let message = format!("{} is no recovery card", path.display());
        Error::new(Code::Card, message)
    })
}

/// Makes a network with its hub in an empty data directory. The root key is drawn in memory, given out
/// once on the recovery card and not kept. What was killed on the way is begun again with other keys, and the card that it left
/// is replaced: no network was made that it belongs to.
///
/// # Errors
/// [`Code::AlreadySetUp`] when the directory has a store; [`Code::BadCode`] for a code that is not four
/// letters; [`Code::File`] when the card cannot be written or its file is there already, and nothing was made then.
pub fn hub_init(directory: &Path, init: &HubInit<'_>) -> Result<Value> {
    let name = init.name.trim();
    if name.is_empty() || name.len() > lianxin_protocol::limits::NAME_MAX {
        let message = "a network's name has 1 to 200 bytes";
        return Err(Error::new(Code::Usage, message));
    }
    let district = init.code.unwrap_or("SLJD").to_ascii_uppercase();
    let parsed = district.parse::<lianxin_protocol::number::DistrictCode>();
    parsed.map_err(|error| Error::because(Code::BadCode, "this is no district code", error))?;
    let root = Signer::from_seed(&clock::random()?);
    let authority = Signer::from_seed(&clock::random()?);
    let device = Signer::from_seed(&clock::random()?);
    let network = NetworkId::of_root(&root.public().0);
    let certificate = Certificate::sign(&root, 1, authority.public(), None);
    let recovery_age: [u8; 32] = clock::random()?;
    let card = json!({
        "schema": RECOVERY_CARD,
        "name": name,
        "network": network.to_string(),
        "root_key": Hex(&root.seed()).to_string(),
        "backup_key": Hex(&recovery_age).to_string(),
        "made_at": clock::rfc3339(clock::now_ms()),
    });
    let mut making = Making::begin(directory)?;
    let begun = !making.kept()?.is_empty();
    if let Some(path) = init.recovery_out
        && let Err(error) = write_card(&mut making, path, &network, &card)
    {
        // What was begun before goes on when it is repeated.
        if !begun {
            making.abandon()?;
        }
        return Err(error);
    }
    let identity = Identity {
        network,
        device,
        authority: Some(authority),
        epoch: clock::random()?,
    };
    let store = making.create()?;
    let (mut writer, age) = first_open(&store, &identity, "操作员")?;
    let now_ms = clock::now_ms();
    let hub = identity.key();
    let recovery = PublicKey::from(&StaticSecret::from(recovery_age)).to_bytes();
    let orders = [
        Order::Certificate(certificate),
        Order::Network {
            name: name.to_owned(),
            district: district.clone(),
        },
        Order::Epoch {
            epoch: identity.epoch,
        },
        Order::Policy {
            name: "recovery_recipient".to_owned(),
            value: Hex(&recovery).to_string(),
        },
        Order::Grant(Grant {
            serial: 1,
            device: hub,
            recipient: PublicKey::from(&age).to_bytes(),
            site: None,
            role: Role::Hub,
            device_code: format!("{}A", SiteCode::HUB),
            scopes: Role::Hub.scopes(None),
            bytes_per_day: 0,
            places: Vec::new(),
        }),
    ];
    let listen = init.listen.map(|address| address.to_string());
    let web = init.web.map(|address| address.to_string());
    writer.transact(now_ms, |journal, connection| {
        if let Some(web) = &web {
            store::set_meta(connection, WEB_KEPT, web.as_bytes())?;
        }
        if let Some(listen) = &listen {
            store::set_meta(connection, "listen", listen.as_bytes())?;
            store::set_meta(
                connection,
                "addresses",
                json!([listen]).to_string().as_bytes(),
            )?;
        }
        journal.order(connection, &orders, now_ms)
    })?;
    making.finish()?;
    let mut reply = json!({
        "network": network.to_string(),
        "device": hub.to_string(),
        "device_code": "HUBA",
        "fingerprint": hub.fingerprint(),
        "name": name,
        "district": district,
    });
    if let (None, Value::Object(fields)) = (init.recovery_out, &mut reply) {
        fields.insert("recovery".to_owned(), card);
    }
    Ok(with_schema("lianxin.hub-init/1", reply))
}

/// Writes the recovery card of a network that is being made: durably, whole, and in the place of no card but that of an attempt
/// in this directory that was killed.
fn write_card(making: &mut Making, path: &Path, network: &NetworkId, card: &Value) -> Result<()> {
    if path.exists() {
        let of = card_text(path)?.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let of = of.and_then(|card| parse_hex::<32>(card.get("network")?.as_str()?));
        let kept = making.kept()?;
        let attempted = of.is_some_and(|of| kept.iter().any(|it| **it == attempt(&NetworkId(of))));
        if !attempted {
            let message = format!("{} is there already and is left as it is", path.display());
            return Err(Error::new(Code::File, message));
        }
    }
    // Known before there is a card of it.
    making.keep(&attempt(network))?;
    store::replace_private(path, format!("{card:#}\n").as_bytes())
}

/// What is kept of an attempt to make a network until it is made.
fn attempt(network: &NetworkId) -> [u8; store::KEPT] {
    let mut bytes = [0; store::KEPT];
    let parts = [&PAYLOAD.hash(&[b"hub init"]), &network.0];
    for (place, part) in bytes.chunks_exact_mut(32).zip(parts) {
        place.copy_from_slice(part);
    }
    bytes
}

/// Writes the first rows of a new store and opens its writer.
fn first_open(store: &Store, identity: &Identity, account: &str) -> Result<(Writer, StaticSecret)> {
    let age = StaticSecret::from(clock::random::<32>()?);
    let connection = store.writer()?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    Journal::create(&connection, store.directory(), identity)?;
    store::set_meta(&connection, "age_seed", &age.to_bytes())?;
    accounts::id_of(&connection, account)?;
    connection.execute_batch("COMMIT")?;
    drop(connection);
    Ok((Writer::open(store)?, age))
}

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

    /// The file that `invite create --out` wrote.
    ///
    /// # Errors
    /// [`Code::BadFile`] when it is not that file.
    pub fn file(path: &Path) -> Result<Self> {
        let card = card_text(path)?.and_then(|text| Self::parse_card(&text));
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
    let store = fill_member(&making, member)?;
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

/// What is known of a device when its store is made.
pub struct Member<'a> {
    /// The network that it joins.
    pub network: NetworkId,
    /// Its key.
    pub device: Signer,
    /// Seed of its age key, to which bundles for it are encrypted.
    pub age_seed: [u8; 32],
    /// The hub's device key.
    pub hub: Option<DeviceKey>,
    /// The code in its numbers.
    pub device_code: &'a str,
    /// Where the hub listens.
    pub addresses: &'a [String],
    /// What an invite's file said beside the code.
    pub card: Option<&'a Card>,
    /// The invite with which the hub still has to be asked 待入网, if [`Member::words`] do not say that it was.
    pub pending_invite: Option<&'a str>,
    /// What the four words are taken from.
    pub words: Option<&'a [u8; 32]>,
}

impl std::fmt::Debug for Member<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Nothing secret.
        write!(out, "Member({})", self.device_code)
    }
}

/// Makes the store of a device that is no hub. It asks nobody and grants nothing.
///
/// # Errors
/// [`Code::AlreadySetUp`] when the directory has a store; [`Code::File`] when it cannot be made.
pub fn create_member(directory: &Path, member: Member<'_>) -> Result<()> {
    let making = Making::begin(directory)?;
    fill_member(&making, member)?;
    making.finish()
}

fn fill_member(making: &Making, member: Member<'_>) -> Result<Store> {
    let identity = Identity {
        network: member.network,
        device: member.device,
        authority: None,
        epoch: clock::random()?,
    };
    let key = identity.key();
    let store = making.create()?;
    let (mut writer, _) = first_open(&store, &identity, "工作人员")?;
    writer.transact(clock::now_ms(), |_, connection| {
        if let Some(words) = member.words {
            invites::keep_words(connection, &key, words)?;
            store::set_meta(connection, ANSWERED, &[])?;
        }
        store::set_meta(connection, "age_seed", &member.age_seed)?;
        store::set_meta(connection, "device_code", member.device_code.as_bytes())?;
        let addresses = json!(member.addresses).to_string();
        store::set_meta(connection, HUB_KEPT, addresses.as_bytes())?;
        if let Some(hub) = member.hub {
            store::set_meta(connection, "hub_key", &hub.0)?;
        }
        if let Some(card) = member.card {
            store::set_meta(connection, "district", card.district.as_bytes())?;
            if let Some((site, code)) = &card.site {
                store::set_meta(connection, "site", &site.0)?;
                store::set_meta(connection, "site_code", code.as_bytes())?;
            }
        }
        if let Some(code) = member.pending_invite {
            store::set_meta(connection, "pending_invite", code.as_bytes())?;
        }
        Ok(())
    })?;
    Ok(store)
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
    let pending = writer.after_wait(|journal, connection| {
        let text = |key: &str| -> Result<Option<String>> {
            Ok(store::meta(connection, key)?.and_then(|bytes| String::from_utf8(bytes).ok()))
        };
        let answered = store::meta(connection, ANSWERED)?.is_some() || journal.role().is_some();
        let Some(code) = text("pending_invite")?.filter(|_| !answered) else {
            return Ok(None);
        };
        let hub = store::meta(connection, "hub_key")?;
        let age = store::meta(connection, "age_seed")?;
        let addresses = text(HUB_KEPT)?.unwrap_or_default();
        let identity = journal.identity().clone();
        Ok(Some((code, hub, age, addresses, identity)))
    })?;
    let Some((code, hub, age, addresses, identity)) = pending else {
        return Ok(true);
    };
    let array = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let (Some(hub), Some(age)) = (array(hub), array(age)) else {
        return Ok(false);
    };
    let code = InviteCode::parse(&code)
        .map_err(|error| Error::because(Code::StoreCorrupt, "the kept invite is damaged", error))?;
    let recipient = PublicKey::from(&StaticSecret::from(age)).to_bytes();
    // rule:invite-file-binds
    let pinned = Some((identity.network, DeviceKey(hub)));
    let addresses: Vec<String> = serde_json::from_str(&addresses).unwrap_or_default();
    match ask_hub(&addresses, &identity.device, &recipient, &code, pinned).await {
        Ok(joined) => {
            let device = identity.key();
            writer.write_wait(move |_, connection| {
                invites::keep_words(connection, &device, &joined.words)?;
                // The invite stays: its order may still have to come on a stick.
                store::set_meta(connection, ANSWERED, &[])
            })?;
            Ok(true)
        }
        Err(error) if error.code() == Code::HubUnreachable => Ok(false),
        Err(error) => Err(error),
    }
}

/// Key of `meta`: where the hub has answered last.
const HUB_GOOD: &str = "hub_good";

/// Most addresses that a device keeps of its hub: those of some years.
const HUB_ADDRESSES: usize = 8;

/// Keeps where the hub was found, or is said to be, as the first place to look for it.
///
/// # Errors
/// The store cannot be written.
pub fn hub_found(connection: &rusqlite::Connection, address: &str) -> Result<Vec<String>> {
    let (_, mut addresses) = hub_of(connection)?.ok_or_else(|| {
        Error::new(
            Code::HubOnly,
            "a hub follows nobody: give the address to its stations",
        )
    })?;
    if addresses.first().is_none_or(|first| first != address) {
        addresses.retain(|known| known != address);
        addresses.insert(0, address.to_owned());
        // The last place where it answered is not pushed out by what people add.
        let good = store::meta(connection, HUB_GOOD)?;
        while addresses.len() > HUB_ADDRESSES {
            let oldest = addresses
                .iter()
                .rposition(|it| Some(it.as_bytes()) != good.as_deref());
            addresses.remove(oldest.unwrap_or_default());
        }
        store::set_meta(
            connection,
            HUB_KEPT,
            json!(addresses).to_string().as_bytes(),
        )?;
    }
    Ok(addresses)
}

/// Keeps where the hub has answered.
///
/// # Errors
/// The store cannot be written.
pub fn hub_answered(connection: &rusqlite::Connection, address: &str) -> Result<()> {
    if store::meta(connection, HUB_GOOD)?.as_deref() != Some(address.as_bytes()) {
        store::set_meta(connection, HUB_GOOD, address.as_bytes())?;
    }
    hub_found(connection, address)?;
    Ok(())
}

/// The hub that a device follows, and every place to look for it: where it was found last, what people here said of it, and what
/// the hub says itself.
///
/// # Errors
/// The store cannot be read.
pub fn ways_to_hub(
    overview: &Overview,
    connection: &rusqlite::Connection,
) -> Result<Option<(DeviceKey, Vec<String>)>> {
    let Some((hub, mut addresses)) = hub_of(connection)? else {
        return Ok(None);
    };
    for said in overview.authority().addresses() {
        if !addresses.contains(said) {
            addresses.push(said.clone());
        }
    }
    Ok(Some((hub, addresses)))
}

/// The hub that a device follows: its key and the addresses that are kept here.
///
/// # Errors
/// The store cannot be read.
pub fn hub_of(connection: &rusqlite::Connection) -> Result<Option<(DeviceKey, Vec<String>)>> {
    let key = store::meta(connection, "hub_key")?.and_then(|key| <[u8; 32]>::try_from(key).ok());
    let addresses = store::meta(connection, HUB_KEPT)?;
    let addresses = addresses.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(key.map(|key| (DeviceKey(key), addresses.unwrap_or_default())))
}
