//! Joining a network with an invite, proven over the channel by both sides.

use std::net::SocketAddr;
use std::sync::Arc;

use lianxin_protocol::authority::{Certificate, Grant, Order};
use lianxin_protocol::identity::{Channel, DeviceKey, InviteCode, Signer};
use lianxin_protocol::message::{Enrol, Enrolled, ErrorCode, FrameReader, Message};
use lianxin_protocol::space::NetworkId;
use rusqlite::Connection;

use super::Net;
use super::endpoint::{Endpoint, Link};
use crate::clock;
use crate::error::{Code, Error, Result, stopping};
use crate::invites;
use crate::journal::Journal;
use crate::requests::INVITE_MAX_HOURS;

/// What a joining device has learned and verified.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The network.
    pub network: NetworkId,
    /// The hub's device key, pinned from now on.
    pub hub: DeviceKey,
    /// The root key's statement for the authority key.
    pub certificate: Certificate,
    /// The code in this device's numbers.
    pub device_code: String,
    /// What the four words are taken from.
    pub words: [u8; 32],
}

/// Asks the hub at `address` to let this device in. `pinned` is what an invite file says of network
/// and hub; a typed code says nothing, and the hub must prove that it knows the code.
///
/// # Errors
/// [`Code::HubUnreachable`] when nobody answers, [`Code::InviteRefused`] when the hub does not accept the
/// invite, [`Code::EnrolPaused`] when it judges none at present, [`Code::HubUnproven`] when the other end does
/// not know it.
pub async fn join(
    address: SocketAddr,
    device: &Signer,
    recipient: &[u8; 32],
    code: &InviteCode,
    pinned: Option<(NetworkId, DeviceKey)>,
) -> Result<Joined> {
    let any = if address.is_ipv4() {
        SocketAddr::from(([0, 0, 0, 0], 0))
    } else {
        SocketAddr::from(([0_u16; 8], 0))
    };
    let endpoint = Endpoint::bind(any, device, |_| false)?;
    // rule:enrol-file
    let expect = pinned.map(|(_, hub)| hub);
    let dialled = endpoint.dial(address, expect).await;
    let link = dialled.map_err(|error| match error.code() {
        Code::HubUnproven => error,
        _ => Error::because(
            Code::HubUnreachable,
            format!("no hub answers at {address}"),
            error,
        ),
    })?;
    let joined = ask(
        link,
        device,
        recipient,
        code,
        pinned.map(|(network, _)| network),
    )
    .await;
    endpoint.close().await;
    joined
}

async fn ask(
    mut link: Link,
    device: &Signer,
    recipient: &[u8; 32],
    code: &InviteCode,
    expected: Option<NetworkId>,
) -> Result<Joined> {
    let key = device.public();
    let channel = Channel {
        exporter: &link.exporter,
        device: &key,
        hub: &link.peer,
    };
    let invite = code.invite_key();
    let proof = channel.device_proof(&invite, recipient);
    let enrol = Enrol {
        invite: invite.public(),
        recipient: *recipient,
        proof,
    };
    link.send.write(&Message::Enrol(enrol).encode()).await?;
    let mut frames = FrameReader::default();
    let answer = loop {
        let frame = frames.next_frame().map_err(|error| {
            Error::because(Code::Protocol, "the hub sent something else", error)
        })?;
        if let Some(message) = frame {
            break message;
        }
        match link.receive.read().await? {
            Some(bytes) => frames.push(&bytes),
            None => return Err(Error::new(Code::Connection, "the hub did not answer")),
        }
    };
    let enrolled = match answer {
        Message::Enrolled(enrolled) => enrolled,
        Message::Error {
            code: ErrorCode::Busy,
            retry_after_s,
            ..
        } => {
            let minutes = retry_after_s.div_ceil(60);
            let message = format!("the hub takes nobody in for {minutes} minutes");
            return Err(Error::new(Code::EnrolPaused, message));
        }
        Message::Error {
            code: ErrorCode::Internal,
            ..
        } => {
            let message = "the hub could not judge the invite";
            return Err(Error::new(Code::HubUnreachable, message));
        }
        _ => {
            let message = "the hub does not accept this invite";
            return Err(Error::new(Code::InviteRefused, message));
        }
    };
    let unproven = || Error::new(Code::HubUnproven, "the other end does not know this invite");
    // rule:enrol-hub-proof
    let proven = channel.hub_proof(&code.hub_proof_key(), &enrolled.network) == enrolled.proof;
    // rule:enrol-file
    let expected = expected.is_none_or(|network| network == enrolled.network);
    // rule:enrol-certificate
    if !proven || !expected || !enrolled.certificate.holds(&enrolled.network) {
        return Err(unproven());
    }
    Ok(Joined {
        network: enrolled.network,
        hub: link.peer,
        certificate: enrolled.certificate,
        device_code: enrolled.device_code,
        words: channel.words_digest(),
    })
}

/// Whether a stream that begins so asks for enrolment rather than for a session.
pub(super) fn begins(first: &[u8]) -> bool {
    first.starts_with(&Message::ENROL.to_be_bytes())
}

/// Hub: lets a device in that proves an open invite; both orders are durable before the answer goes out.
///
/// # Errors
/// [`Code::InviteRefused`] for an invite that is unknown, used by another device, or out of date, and for
/// a proof that does not hold.
pub async fn admit(net: &Arc<Net>, link: &Link, enrol: Enrol) -> Result<Enrolled> {
    let refused = || Error::new(Code::InviteRefused, "an invite was refused");
    let hub = net.device;
    let channel = Channel {
        exporter: &link.exporter,
        device: &link.peer,
        hub: &hub,
    };
    let holds = channel.device_proof_holds(&enrol.invite, &enrol.recipient, &enrol.proof);
    // rule:enrol-device-proof
    if !holds {
        return Err(refused());
    }
    let (device, exporter) = (link.peer, link.exporter);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    net.writer.write(
        move |journal, connection| {
            let proof = invites::proof_key(connection, &enrol.invite)?.ok_or_else(refused)?;
            grant(journal, connection, &enrol, device)?;
            let answer = answer(journal, &device)?;
            let channel = Channel {
                exporter: &exporter,
                device: &device,
                hub: &hub,
            };
            invites::keep_words(connection, &device, &channel.words_digest())?;
            Ok(Enrolled {
                proof: channel.hub_proof(&proof, &answer.network),
                ..answer
            })
        },
        // rule:enrol-durable
        move |result| drop(sender.send(result)),
    );
    receiver.await.map_err(|_| stopping())?
}

/// Uses up the invite and grants the device its role, unless this very device has done so before.
pub(super) fn grant(
    journal: &mut Journal,
    connection: &Connection,
    enrol: &Enrol,
    device: DeviceKey,
) -> Result<()> {
    let refused = || Error::new(Code::InviteRefused, "an invite was refused");
    // rule:enrol-invite-open
    if journal.authority().invite_user(&enrol.invite) == Some(device) {
        return Ok(());
    }
    let now_ms = clock::now_ms();
    let invite = journal
        .authority()
        // rule:enrol-invite-open
        .open_invite(&enrol.invite)
        .cloned()
        .ok_or_else(refused)?;
    // One that lives longer than an invite may was made by a clock that was fast.
    let latest = now_ms.saturating_add(INVITE_MAX_HOURS * 3_600_000);
    // rule:enrol-invite-fresh
    if now_ms > invite.expires_ms || invite.expires_ms > latest {
        return Err(refused());
    }
    let used = Order::InviteUsed {
        key: enrol.invite,
        device,
    };
    // What it wrote under an earlier grant goes on counting as it did.
    // rule:order-places
    let places = if journal.authority().members().contains_key(&device) {
        journal.places_of(&device)
    } else {
        Vec::new()
    };
    let grant = Order::Grant(Grant {
        serial: journal.authority().next_serial(),
        device,
        recipient: enrol.recipient,
        site: invite.site,
        role: invite.role,
        device_code: invite.device_code,
        scopes: invite.role.scopes(invite.site),
        bytes_per_day: 0,
        places,
    });
    journal.order(connection, &[used, grant], now_ms)
}

/// What the hub tells a device that it has let in; all but the proof.
pub(super) fn answer(journal: &Journal, device: &DeviceKey) -> Result<Enrolled> {
    let refused = || Error::new(Code::InviteRefused, "an invite was refused");
    let member = journal
        .authority()
        .members()
        .get(device)
        .ok_or_else(refused)?;
    let certificate = journal.authority().certificate().cloned();
    Ok(Enrolled {
        network: journal.identity().network,
        certificate: certificate.ok_or_else(refused)?,
        device_code: member.grant.device_code.clone(),
        proof: [0; 32],
    })
}
