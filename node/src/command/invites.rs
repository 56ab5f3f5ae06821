//! Invites: made, listed and taken back.

use std::collections::BTreeMap;

use lianxin_protocol::authority::{Invite, InviteFate, Order, Role};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::{DeviceKey, InviteCode};
use lianxin_protocol::invite::Card;
use lianxin_protocol::number::{DeviceCode, SiteCode};
use lianxin_protocol::request::Ask;
use lianxin_protocol::text;
use rusqlite::Connection;
use serde_json::json;

use super::author;
use super::orders::{asked_for, found_at, may_order, uuid_text};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal, Overview};
use crate::reply::Reply;
use crate::requests::{self, INVITE_MAX_HOURS, Wanted};

/// How long after its end an invite that nobody used is still left alone: a device that took its file may be on its way
/// with a stick, and numbers by its code.
const GRACE_MS: u64 = 7 * 24 * 3_600_000;
/// Bytes of an invite's key that name it on a command line.
const ID_BYTES: usize = 6;

/// Where a joining device will find the hub: as the hub says, or as this device reaches it.
fn hub_found_at(overview: &Overview, connection: &Connection) -> Result<(DeviceKey, Vec<String>)> {
    match crate::setup::ways_to_hub(overview, connection)? {
        Some(found) => Ok(found),
        None => Ok((overview.identity().key(), found_at(overview, connection)?)),
    }
}

/// Takes back what expired long ago and nobody used, so that its device codes can be given again.
fn close_expired(journal: &mut Journal, connection: &Connection) -> Result<()> {
    let now_ms = journal.wall.now_ms();
    let invites = journal.authority().invites();
    let over = invites.filter(|(invite, fate)| {
        *fate == InviteFate::Open && invite.expires_ms.saturating_add(GRACE_MS) <= now_ms
    });
    let orders: Vec<_> = over
        .map(|(invite, _)| Order::InviteClosed { key: invite.key })
        .collect();
    if !orders.is_empty() {
        journal.order(connection, &orders, now_ms)?;
    }
    Ok(())
}

fn id_of(key: &DeviceKey) -> String {
    Hex(key.0.get(..ID_BYTES).unwrap_or_default()).to_string()
}

/// Words of JSON for what became of an invite.
const fn state(fate: InviteFate, expired: bool) -> &'static str {
    match fate {
        InviteFate::Open if expired => "expired",
        InviteFate::Open => "open",
        InviteFate::Used { .. } => "used",
        InviteFate::Closed => "revoked",
    }
}

pub(super) fn invite_list(books: &mut Books, connection: &Connection) -> Result<Reply> {
    let now_ms = books.wall.now_ms();
    let authority = books.shared_authority();
    let mut used_at = BTreeMap::new();
    for (invite, fate) in authority.invites() {
        if let InviteFate::Used { len, .. } = fate {
            used_at.insert(invite.key, books.ordered_at(connection, len)?);
        }
    }
    let rows = authority.invites().map(|(invite, fate)| {
        let site = invite.site.and_then(|site| authority.sites().get(&site));
        let site = site.map_or_else(|| SiteCode::HUB.to_string(), |info| info.code.clone());
        let used_by = match fate {
            InviteFate::Used { device, .. } => Some(device.to_string()),
            InviteFate::Open | InviteFate::Closed => None,
        };
        let at = used_at.get(&invite.key).copied().flatten();
        let row = json!({
            "id": id_of(&invite.key),
            "site": site,
            "role": invite.role.word(),
            "device_code": invite.device_code,
            "state": state(fate, invite.expires_ms <= now_ms),
            "used_by": used_by,
            "used_at": at.map(clock::rfc3339),
            "expires_at": clock::rfc3339(invite.expires_ms),
        });
        (invite.expires_ms, row)
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(expires_ms, _)| std::cmp::Reverse(*expires_ms));
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Reply::ok(json!({ "invites": rows })))
}

/// Takes an invite back, named by its id or device code.
pub(super) fn invite_revoke(
    journal: &mut Journal,
    connection: &Connection,
    id: &str,
) -> Result<Reply> {
    if journal.identity().authority.is_none() {
        return Err(Error::new(Code::HubOnly, "only the hub takes invites back"));
    }
    let wanted = text::code(id);
    let named = |invite: &Invite| {
        id_of(&invite.key) == wanted.to_ascii_lowercase() || invite.device_code == wanted
    };
    let found = journal.authority().invites().filter(|(it, _)| named(it));
    // Several invites had one code, of which one is open at most.
    let found = found.max_by_key(|(_, fate)| *fate == InviteFate::Open);
    let (key, fate) = found
        .map(|(invite, fate)| (invite.key, fate))
        .ok_or_else(|| Error::new(Code::NoInvite, "there is no such invite"))?;
    match fate {
        InviteFate::Open => {
            let order = Order::InviteClosed { key };
            journal.order(connection, &[order], journal.wall.now_ms())?;
        }
        InviteFate::Closed => {}
        InviteFate::Used { .. } => {
            let message = "a device has joined with this invite";
            return Err(Error::new(Code::InviteUsed, message));
        }
    }
    let id = id_of(&key);
    Ok(Reply::ok(
        json!({ "id": id, "state": state(InviteFate::Closed, false) }),
    ))
}

/// The next device code of a site that neither a device nor an open invite has, nor one that the hub was asked for. At the hub, codes of
/// invites that nobody used are given again before codes become longer.
fn free_code(
    journal: &mut Journal,
    connection: &Connection,
    site_code: SiteCode,
) -> Result<DeviceCode> {
    let open = requests::open(connection)?;
    let asked = open.iter().filter_map(|it| match &it.wanted {
        Wanted::Invite(code) => Some(code.clone()),
        Wanted::Act { .. } | Wanted::Site(_) | Wanted::Order { .. } => None,
    });
    let asked: Vec<_> = asked.collect();
    let next = |journal: &Journal| -> Option<DeviceCode> {
        let given = journal.authority().codes().iter().chain(asked.iter());
        let given = given.filter_map(|code| code.parse().ok()).collect();
        site_code.next_device(&given)
    };
    let mut device_code = next(journal);
    let short = device_code.is_some_and(|code| code.letters().len() == 1);
    if !short && journal.identity().authority.is_some() {
        close_expired(journal, connection)?;
        device_code = next(journal);
    }
    device_code.ok_or_else(|| Error::new(Code::BadCode, "all device codes of this site were given"))
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
    let device_code = free_code(journal, connection, site_code)?;
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
