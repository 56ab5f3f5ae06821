//! Orders for the authority log: given at the hub, asked for at an operator's PC.

use lianxin_protocol::authority::{Invite, Role, SiteInfo, SiteKind};
use lianxin_protocol::hash;
use lianxin_protocol::identity::{DeviceKey, InviteCode, Signer};
use lianxin_protocol::invite::Card;
use lianxin_protocol::number::{DeviceCode, SiteCode};
use lianxin_protocol::request::Ask;
use lianxin_protocol::space::SiteId;
use rusqlite::Connection;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Secret, author};
use crate::clock;
use crate::error::{Code, Error, Kind as ErrorKind, Result};
use crate::journal::Journal;
use crate::reply::Reply;
use crate::requests::{self, INVITE_MAX_HOURS, Wanted};
use crate::store;

pub(super) fn may_order(journal: &Journal) -> Result<()> {
    match journal.identity().authority {
        Some(_) => Ok(()),
        None => requests::may_ask(journal),
    }
}

/// A reply that says what will be there once the hub has answered: not finished, nothing lost.
pub(super) fn asked_for(requested: bool, mut value: Value) -> Reply {
    if let (true, Value::Object(fields)) = (requested, &mut value) {
        fields.insert("requested".to_owned(), json!(true));
        let exit = ErrorKind::Partial.exit_code();
        return Reply { value, exit };
    }
    Reply::ok(value)
}

pub(super) fn site_create(
    journal: &mut Journal,
    connection: &Connection,
    name: &str,
    kind: &str,
    code: Option<&str>,
) -> Result<Reply> {
    may_order(journal)?;
    let name = name.trim();
    if name.is_empty() || name.len() > lianxin_protocol::limits::NAME_MAX {
        return Err(Error::new(Code::Usage, "a site's name has 1 to 200 bytes"));
    }
    let kind = SiteKind::parse(kind).ok_or_else(|| {
        Error::new(
            Code::Usage,
            "a site is a workstation, collection_point or livestream",
        )
    })?;
    let open = requests::open(connection)?;
    let asked = |code: &str| {
        open.iter()
            .any(|it| it.wanted == Wanted::Site(code.to_owned()))
    };
    let taken = |code: &str| journal.authority().site_by_code(code).is_some();
    let code = match code {
        Some(code) => {
            let bad = |error| Error::because(Code::BadCode, "this is no site code", error);
            let code: SiteCode = code.parse().map_err(bad)?;
            if code == SiteCode::HUB || taken(&code.to_string()) {
                let message = format!("the site code {code} is taken");
                return Err(Error::new(Code::BadCode, message));
            }
            code.to_string()
        }
        None => {
            let free = (0..).map(|n| format!("S{}{}", letter(n / 10), n % 10));
            let free = free.take(240).find(|code| !taken(code) && !asked(code));
            free.ok_or_else(|| {
                Error::new(Code::BadCode, "give a --code; the usual ones are taken")
            })?
        }
    };
    let site = SiteId(clock::random()?);
    let info = SiteInfo {
        code: code.clone(),
        name: name.to_owned(),
        kind,
    };
    let author = author(journal, connection, None)?;
    let requested = requests::give(connection, journal, Ask::Site { site, info }, &author)?;
    let value = json!({
        "site": uuid_text(&site.0),
        "code": code,
        "name": name,
    });
    Ok(asked_for(requested, value))
}

/// Where a joining device will find the hub: as the hub knows it, or as this device reaches it.
fn hub_found_at(journal: &Journal, connection: &Connection) -> Result<(DeviceKey, Vec<String>)> {
    if let Some(found) = crate::setup::hub_of(connection)? {
        return Ok(found);
    }
    let addresses = store::meta(connection, "addresses")?;
    let addresses = addresses.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok((journal.identity().key(), addresses.unwrap_or_default()))
}

pub(super) fn hub_resume(
    journal: &mut Journal,
    connection: &Connection,
    root: &Secret,
    alone: bool,
) -> Result<Reply> {
    let seed = hash::parse_hex(&root.0).map(Zeroizing::new);
    let seed = seed.ok_or_else(|| Error::new(Code::Card, "the card holds no root key"))?;
    let now_ms = journal.wall.now_ms();
    let resumed = journal.resume(connection, &Signer::from_seed(&seed), alone, now_ms)?;
    Ok(Reply::ok(json!({
        "certificate": resumed.version,
        "trusted": resumed.trusted,
    })))
}

pub(super) fn peer_add(connection: &Connection, address: &str) -> Result<Reply> {
    let address = address.trim();
    crate::sync::is_address(address)?;
    let addresses = crate::setup::hub_found(connection, address)?;
    Ok(Reply::ok(json!({ "addresses": addresses })))
}

pub(super) fn letter(n: u32) -> char {
    const LETTERS: &[u8] = lianxin_protocol::number::DEVICE_LETTERS;
    let at = usize::try_from(n).unwrap_or_default() % LETTERS.len();
    LETTERS.get(at).map_or('A', |letter| char::from(*letter))
}

pub(super) fn uuid_text(bytes: &[u8; 16]) -> String {
    lianxin_protocol::log::RecordId(*bytes).hyphenated()
}

pub(super) fn invite_create(
    journal: &mut Journal,
    connection: &Connection,
    site: &str,
    role: &str,
    expires_hours: u64,
) -> Result<Reply> {
    may_order(journal)?;
    let roles = || {
        Error::new(
            Code::Usage,
            "a role is station, laptop, operator, courier or reader",
        )
    };
    let role = Role::parse(role)
        .filter(|role| *role != Role::Hub)
        .ok_or_else(roles)?;
    if expires_hours == 0 || expires_hours > INVITE_MAX_HOURS {
        let message = format!("an invite lives 1 to {INVITE_MAX_HOURS} hours");
        return Err(Error::new(Code::Usage, message));
    }
    let site_code: SiteCode = site
        .parse()
        .map_err(|error| Error::because(Code::NoSite, "this is no site code", error))?;
    let at_hub = site_code == SiteCode::HUB;
    let site = if at_hub {
        None
    } else {
        journal.authority().site_by_code(&site_code.to_string())
    };
    if site.is_none() && !(at_hub && role == Role::Operator) {
        return Err(Error::new(
            Code::NoSite,
            format!("there is no site {site_code}"),
        ));
    }
    let open = requests::open(connection)?;
    let asked = open.iter().filter_map(|it| match &it.wanted {
        Wanted::Invite(code) => Some(code),
        Wanted::Act { .. } | Wanted::Site(_) | Wanted::Order { .. } => None,
    });
    let given = journal.authority().codes().iter().chain(asked);
    let given = given.filter_map(|code| code.parse().ok()).collect();
    let device_code: Option<DeviceCode> = site_code.next_device(&given);
    let device_code = device_code
        .ok_or_else(|| Error::new(Code::BadCode, "all device codes of this site were given"))?;
    // rule:code-drawn-again
    let code = loop {
        if let Some(code) = InviteCode::from_random(clock::random()?) {
            break code;
        }
    };
    let expires_ms = journal.wall.now_ms() + expires_hours * 3_600_000;
    let invite = Invite {
        key: code.invite_key().public(),
        site,
        role,
        device_code: device_code.to_string(),
        expires_ms,
    };
    let proof_key = code.hub_proof_key();
    let author = author(journal, connection, None)?;
    let ask = Ask::Invite { invite, proof_key };
    let requested = requests::give(connection, journal, ask, &author)?;
    let (name, district) = journal.authority().names();
    let (hub, addresses) = hub_found_at(journal, connection)?;
    // A card says where new records belong; whoever writes none is told nothing.
    let home = site.filter(|_| !matches!(role, Role::Courier | Role::Reader));
    let card = Card {
        code: code.clone(),
        network: journal.identity().network,
        hub,
        addresses: addresses.clone(),
        site: home.map(|site| (site, site_code.to_string())),
        device_code: device_code.to_string(),
        district: district.to_owned(),
    };
    let value = json!({
        "invite": code.to_string(),
        "card": card.text(),
        "device_code": device_code.to_string(),
        "expires_at": clock::rfc3339(expires_ms),
        "hub_addresses": addresses,
        "network": journal.identity().network.to_string(),
        "hub": hub.to_string(),
        "site": home.map(|site| uuid_text(&site.0)),
        "site_code": site_code.to_string(),
        "role": role.word(),
        "district": district,
        "name": name,
    });
    Ok(asked_for(requested, value))
}
