//! Orders for the authority log, but for invites: given at the hub, asked for at an operator's PC.

use lianxin_protocol::authority::{Order, SiteInfo, SiteKind};
use lianxin_protocol::identity::Signer;
use lianxin_protocol::number::SiteCode;
use lianxin_protocol::request::Ask;
use lianxin_protocol::space::SiteId;
use lianxin_protocol::text;
use lianxin_protocol::{hash, limits};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Secret, author};
use crate::clock;
use crate::error::{Code, Error, Kind as ErrorKind, Result};
use crate::journal::{Journal, Overview};
use crate::reply::Reply;
use crate::requests::{self, Wanted};
use crate::store;

pub(super) fn may_order(overview: &Overview) -> Result<()> {
    match overview.identity().authority {
        Some(_) => Ok(()),
        None => requests::may_ask(overview),
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
    let name = &text::line(name);
    if text::is_blank(name) || name.len() > limits::NAME_MAX {
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

/// Where the hub is found: as was ordered, or as it listens where nothing was.
pub(super) fn found_at(overview: &Overview, connection: &Connection) -> Result<Vec<String>> {
    let ordered = overview.authority().addresses();
    if !ordered.is_empty() {
        return Ok(ordered.to_vec());
    }
    let listens = store::meta(connection, "addresses")?;
    let listens = listens.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(listens.unwrap_or_default())
}

fn is_loopback(address: &str) -> bool {
    let ip = address
        .parse()
        .map(|address: std::net::SocketAddr| address.ip());
    ip.is_ok_and(|ip| ip.is_loopback())
}

/// What becomes of the hub's addresses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressChange {
    /// Nothing.
    None,
    /// This one comes first from now on.
    Add(String),
    /// This one is none any more.
    Remove(String),
}

pub(super) fn hub_address(
    journal: &mut Journal,
    connection: &Connection,
    change: &AddressChange,
) -> Result<Reply> {
    if let Some((_, addresses)) = crate::setup::ways_to_hub(journal, connection)? {
        if !matches!(change, AddressChange::None) {
            let message = "the hub says where it is found; `lianxin peer add` is for this device";
            return Err(Error::new(Code::HubOnly, message));
        }
        return Ok(Reply::ok(json!({ "addresses": addresses })));
    }
    let before = found_at(journal, connection)?;
    if matches!(change, AddressChange::None) {
        return Ok(Reply::ok(json!({ "addresses": before })));
    }
    let mut addresses = before.clone();
    let ordered = !journal.authority().addresses().is_empty();
    if !ordered && addresses.iter().any(|it| !is_loopback(it)) {
        // It is among those where the hub listens, and leads other computers to themselves.
        addresses.retain(|it| !is_loopback(it));
    }
    match change {
        AddressChange::None => {}
        AddressChange::Add(address) => {
            let address = text::plain(address);
            crate::sync::is_address(&address)?;
            addresses.retain(|known| *known != address);
            addresses.insert(0, address);
        }
        AddressChange::Remove(address) => {
            let address = &text::plain(address);
            addresses.retain(|known| known != address);
            if addresses.is_empty() {
                let message = "this is the hub's last address: add the other one first";
                return Err(Error::new(Code::Usage, message));
            }
            if !before.iter().any(|known| known == address) {
                let message = "the hub has no such address: `lianxin hub address list` shows them";
                return Err(Error::new(Code::Usage, message));
            }
        }
    }
    let too_long = |it: &String| it.len() > limits::NAME_MAX;
    if addresses.is_empty()
        || addresses.len() > limits::ADDRESSES_MAX
        || addresses.iter().any(too_long)
    {
        let message = format!(
            "a hub has 1 to {} addresses of 200 bytes at most",
            limits::ADDRESSES_MAX
        );
        return Err(Error::new(Code::Usage, message));
    }
    if addresses != journal.authority().addresses() {
        let order = Order::Addresses(addresses.clone());
        journal.order(connection, &[order], journal.wall.now_ms())?;
    }
    Ok(Reply::ok(json!({ "addresses": addresses })))
}

pub(super) fn site_list(overview: &Overview) -> Reply {
    let authority = overview.authority();
    let sites = authority.sites().iter().map(|(site, info)| {
        let devices = authority.members().values();
        let devices = devices.filter(|member| member.grant.site == Some(*site));
        json!({
            "site": uuid_text(&site.0),
            "code": info.code,
            "name": info.name,
            "kind": info.kind.word(),
            "devices": devices.count(),
        })
    });
    let mut sites: Vec<_> = sites.collect();
    sites.sort_by_key(|site| site.get("code").and_then(Value::as_str).map(str::to_owned));
    Reply::ok(json!({ "sites": sites }))
}

pub(super) fn peer_add(connection: &Connection, address: &str) -> Result<Reply> {
    let address = &text::plain(address);
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
