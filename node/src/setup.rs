//! Making the store of a hub or of a member, which happens once in the life of a data directory, and where a member looks for its hub.
//!
//! It asks nobody: who joins asks the hub in [`crate::sync::join`], and what it was told ends up here. Both can be cut off anywhere and
//! begun again: a store counts as one when it is whole ([`Making`]).

use std::net::SocketAddr;
use std::path::Path;

use lianxin_protocol::authority::{Certificate, Grant, Order, Role};
use lianxin_protocol::hash::{Hex, PAYLOAD, parse_hex};
use lianxin_protocol::identity::{DeviceKey, InviteCode, Signer};
pub use lianxin_protocol::invite::Card;
use lianxin_protocol::number::SiteCode;
use lianxin_protocol::space::NetworkId;
use lianxin_protocol::text;
use serde_json::{Value, json};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::accounts;
use crate::clock;
use crate::error::{self, Code, Error, Result};
use crate::invites;
use crate::journal::{Identity, Journal, Overview};
use crate::records::inbox;
use crate::reply::with_schema;
use crate::store::{self, Making, Store};
use crate::writer::Writer;

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
#[derive(Clone, Debug, Default)]
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
pub(crate) fn card_text(path: &Path) -> Result<Option<Zeroizing<String>>> {
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

/// The keys of a network that is to be made, and the card that holds them. They are drawn before anything is made, so that the card
/// can be in somebody's hands first.
pub struct Recovery {
    name: String,
    district: String,
    root: Signer,
    backup: [u8; 32],
    card: Value,
}

impl std::fmt::Debug for Recovery {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Nothing secret.
        write!(out, "Recovery({})", self.district)
    }
}

impl Recovery {
    /// Draws the keys of a network of this name, with these four letters in its numbers.
    ///
    /// # Errors
    /// [`Code::Usage`] for a name that is none, [`Code::BadCode`] for a code that is not four letters.
    pub fn draw(name: &str, code: Option<&str>) -> Result<Self> {
        let name = text::line(name);
        if text::is_blank(&name) || name.len() > lianxin_protocol::limits::NAME_MAX {
            let message = "a network's name has 1 to 200 bytes";
            return Err(Error::new(Code::Usage, message));
        }
        let district = text::code(code.unwrap_or("SLJD"));
        let parsed = district.parse::<lianxin_protocol::number::DistrictCode>();
        parsed.map_err(|error| Error::because(Code::BadCode, "this is no district code", error))?;
        let root = Signer::from_seed(&clock::random()?);
        let backup: [u8; 32] = clock::random()?;
        let card = json!({
            "schema": RECOVERY_CARD,
            "name": name,
            "network": NetworkId::of_root(&root.public().0).to_string(),
            "root_key": Hex(&root.seed()).to_string(),
            "backup_key": Hex(&backup).to_string(),
            "made_at": clock::rfc3339(clock::now_ms()),
        });
        Ok(Self {
            name,
            district,
            root,
            backup,
            card,
        })
    }

    /// What the card's file holds.
    #[must_use]
    pub const fn card(&self) -> &Value {
        &self.card
    }
}

/// Makes a network with its hub in an empty data directory. The root key is drawn in memory, given out
/// once on the recovery card and not kept. What was killed on the way is begun again with other keys, and the card that it left
/// is replaced: no network was made that it belongs to.
///
/// # Errors
/// [`Code::AlreadySetUp`] when the directory has a store; [`Code::BadCode`] for a code that is not four
/// letters; [`Code::File`] when the card cannot be written or its file is there already, and nothing was made then.
pub fn hub_init(directory: &Path, init: &HubInit<'_>) -> Result<Value> {
    let recovery = Recovery::draw(init.name, init.code)?;
    let mut reply = found(directory, &recovery, init)?;
    if let (None, Value::Object(fields)) = (init.recovery_out, &mut reply) {
        fields.insert("recovery".to_owned(), recovery.card);
    }
    Ok(reply)
}

/// Makes the network whose keys were drawn, as [`hub_init`] does; name and code are those of its card.
///
/// # Errors
/// As [`hub_init`].
pub fn found(directory: &Path, recovery: &Recovery, init: &HubInit<'_>) -> Result<Value> {
    let (name, district) = (&recovery.name, &recovery.district);
    let authority = Signer::from_seed(&clock::random()?);
    let device = Signer::from_seed(&clock::random()?);
    let network = NetworkId::of_root(&recovery.root.public().0);
    let certificate = Certificate::sign(&recovery.root, 1, authority.public(), None);
    let mut making = Making::begin(directory)?;
    let begun = !making.kept()?.is_empty();
    if let Some(path) = init.recovery_out
        && let Err(error) = write_card(&mut making, path, &network, &recovery.card)
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
    let recovery = PublicKey::from(&StaticSecret::from(recovery.backup)).to_bytes();
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
    let reply = json!({
        "network": network.to_string(),
        "device": hub.to_string(),
        "device_code": "HUBA",
        "fingerprint": hub.fingerprint(),
        "name": name,
        "district": district,
    });
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

/// The same in a directory that is being made, with the store for a first session.
pub(crate) fn fill_member(making: &Making, member: Member<'_>) -> Result<Store> {
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
            answered(connection, &key, words)?;
        }
        store::set_meta(connection, "age_seed", &member.age_seed)?;
        inbox::begin(connection, clock::now_ms())?;
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

/// What a device asks its hub with that was set up from an invite card and waits for the answer 待入网.
pub(crate) struct Pending {
    pub(crate) code: InviteCode,
    pub(crate) hub: DeviceKey,
    pub(crate) age_seed: [u8; 32],
    pub(crate) addresses: Vec<String>,
    pub(crate) identity: Identity,
}

/// What this device still has to ask; nothing once it was answered.
pub(crate) fn pending(
    journal: &Journal,
    connection: &rusqlite::Connection,
) -> Result<Option<Pending>> {
    let answered = store::meta(connection, ANSWERED)?.is_some() || journal.role().is_some();
    let code = store::meta(connection, "pending_invite")?.filter(|_| !answered);
    let (Some(code), Some((hub, addresses))) = (code, hub_of(connection)?) else {
        return Ok(None);
    };
    let damaged = || Error::new(Code::StoreCorrupt, "the kept invite is damaged");
    let code = String::from_utf8(code)
        .ok()
        .and_then(|code| InviteCode::parse(&code).ok());
    let age_seed = store::meta(connection, "age_seed")?.and_then(|seed| seed.try_into().ok());
    Ok(Some(Pending {
        code: code.ok_or_else(damaged)?,
        hub,
        age_seed: age_seed.ok_or_else(damaged)?,
        addresses,
        identity: journal.identity().clone(),
    }))
}

/// Keeps that the hub has answered.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn answered(
    connection: &rusqlite::Connection,
    device: &DeviceKey,
    words: &[u8; 32],
) -> Result<()> {
    invites::keep_words(connection, device, words)?;
    // The invite stays: its order may still have to come on a stick.
    store::set_meta(connection, ANSWERED, &[])
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
