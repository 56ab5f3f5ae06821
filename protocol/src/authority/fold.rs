//! The fold: orders in, rights out.
//!
//! The fold remembers for each device what was ordered about it, in order, because rights go by place: what an
//! entry may be is decided by the orders that speak of its place, and the newest order alone would take back what
//! was granted before. Only [`crate::verdict`] reads that history.
//!
//! Must not: look at logs other than the authority logs, at a clock, or at what happens to be stored.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::certificate::{Certificate, Succession, Unsettled};
use super::order::{Cut, Grant, Invite, Order, Rotation, SiteInfo};
use super::role::{Role, Scope, Verb};
use crate::codec::DecodeError;
use crate::identity::DeviceKey;
use crate::log::{Author, EntryId, EntryKind, LogId, Position};
use crate::space::{NetworkId, SiteId, Space, SpaceId};

/// Where a device stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It works.
    Active,
    /// It was revoked 吊销: what lies beyond the cuts is quarantined.
    Blocked {
        /// Trusted ends of its logs.
        cuts: Vec<Cut>,
    },
    /// It left in peace, or its key was replaced.
    Left,
}

/// A device that the network knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its newest grant.
    pub grant: Grant,
    /// Where it stands.
    pub membership: Membership,
}

/// What became of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteFate {
    /// Nothing yet; whether its time is over is for the hub's clock to say.
    Open,
    /// A device came in by it.
    Used {
        /// Which.
        device: DeviceKey,
        /// Length of the authority log with the order that says so.
        len: u32,
    },
    /// It was taken back unused.
    Closed,
}

/// What was ordered about the logs of a device.
#[derive(Clone, Debug)]
pub(crate) enum Ordered {
    /// It was granted something.
    Granted {
        /// Length of the authority log with this order: who cites as much has seen it.
        len: u32,
        role: Role,
        scopes: Vec<Scope>,
        places: Vec<Cut>,
    },
    /// All its logs were closed, at these places, else at 0.
    Closed { cuts: Vec<Cut> },
}

/// The length at which a list of places names a log.
pub(crate) fn place_of(places: &[Cut], log: &LogId) -> Option<u64> {
    let at = places.binary_search_by(|cut| cut.log.cmp(log)).ok()?;
    places.get(at).map(|cut| cut.position.len)
}

/// Why an order has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// Nothing counts before the root key's certificate for the key that writes the log.
    #[error("the authority log is not certified by the network's root key")]
    NotCertified,
    /// The payload is not an order.
    #[error("the order is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// A number, a code or an invite that was given before, or a device or site nobody knows.
    #[error("the order contradicts an earlier one: {0}")]
    Contradicts(&'static str),
    /// An order of a newer version.
    #[error("the order is of a newer version")]
    Newer,
}

/// Who may do what, as of some length of the authority log.
#[derive(Clone, Debug)]
pub struct Authority {
    network: NetworkId,
    /// The authority logs that are folded, as far as the device that folds them has settled it.
    succession: Option<Succession>,
    unsettled: Option<Unsettled>,
    /// Of the log that is being folded.
    certificate: Option<Certificate>,
    /// Keys of all logs folded.
    keys: Vec<DeviceKey>,
    /// The entry before was a genesis, after which alone a certificate may stand.
    begun: bool,
    name: String,
    district: String,
    /// Ids of all entries folded.
    heads: Vec<[u8; 32]>,
    spaces: BTreeMap<SpaceId, Space>,
    sites: BTreeMap<SiteId, SiteInfo>,
    members: BTreeMap<DeviceKey, Member>,
    history: BTreeMap<DeviceKey, Vec<Ordered>>,
    lost: BTreeSet<DeviceKey>,
    invites: BTreeMap<DeviceKey, Invite>,
    /// What became of invites that are open no more.
    ended: BTreeMap<DeviceKey, InviteFate>,
    codes: BTreeSet<String>,
    /// Who was given a device code, also where a later grant gave him another.
    holders: BTreeMap<String, DeviceKey>,
    adopted: BTreeMap<LogId, Vec<(u64, Position)>>,
    pins: BTreeMap<LogId, Vec<Position>>,
    epochs: Vec<[u8; 16]>,
    addresses: Vec<String>,
    resolved: BTreeSet<(LogId, u64)>,
    policies: BTreeMap<String, String>,
    serial: u32,
    without_effect: u32,
}

impl Authority {
    /// What is known of a network before its authority log has been read.
    #[must_use]
    pub fn new(network: NetworkId) -> Self {
        let known = [Space::Authority, Space::Bulletin, Space::Hub];
        Self {
            network,
            succession: None,
            unsettled: None,
            certificate: None,
            keys: Vec::new(),
            begun: true,
            name: String::new(),
            district: String::new(),
            heads: Vec::new(),
            spaces: known
                .into_iter()
                .map(|space| (space.id(&network), space))
                .collect(),
            sites: BTreeMap::new(),
            members: BTreeMap::new(),
            history: BTreeMap::new(),
            lost: BTreeSet::new(),
            invites: BTreeMap::new(),
            ended: BTreeMap::new(),
            codes: BTreeSet::new(),
            holders: BTreeMap::new(),
            adopted: BTreeMap::new(),
            pins: BTreeMap::new(),
            epochs: Vec::new(),
            addresses: Vec::new(),
            resolved: BTreeSet::new(),
            policies: BTreeMap::new(),
            serial: 0,
            without_effect: 0,
        }
    }

    /// Says which authority logs are folded. Where that is not settled the fold stays with those that it
    /// follows, and [`Authority::unsettled`] says why.
    pub fn follow(&mut self, succession: Result<Succession, Unsettled>) {
        match succession {
            Ok(succession) => {
                self.succession = Some(succession);
                self.unsettled = None;
            }
            Err(unsettled) => self.unsettled = Some(unsettled),
        }
    }

    /// Folds the next entry of the authority logs, of whatever kind.
    ///
    /// # Errors
    /// As [`Authority::apply`].
    pub fn take(
        &mut self,
        id: &EntryId,
        writer: &DeviceKey,
        kind: EntryKind,
        payload: Option<&[u8]>,
    ) -> Result<(), OrderError> {
        match (kind, payload) {
            (EntryKind::Genesis, _) => self.apply(id, writer, None),
            (EntryKind::Authority, Some(payload)) => self.apply(id, writer, Some(payload)),
            _ => {
                // It is counted, and no certificate may stand after it.
                self.begun = false;
                self.heads.push(id.0);
                Ok(())
            }
        }
    }

    /// Folds the next entry of the authority logs: its id, who signed the log, and its payload if it is an order
    /// (`None` for the genesis).
    ///
    /// # Errors
    /// The order has no effect, for the reason given; the length counts it all the same, so that all
    /// devices cite alike.
    pub fn apply(
        &mut self,
        id: &EntryId,
        writer: &DeviceKey,
        payload: Option<&[u8]>,
    ) -> Result<(), OrderError> {
        let begun = std::mem::replace(&mut self.begun, payload.is_none());
        self.heads.push(id.0);
        let Some(payload) = payload else {
            return Ok(());
        };
        let effect = match Order::decode(payload) {
            Ok(Order::Certificate(certificate)) if begun => self.certify(writer, certificate),
            Ok(Order::Certificate(_)) => Err(OrderError::NotCertified),
            Ok(order) => self.carry_out(writer, order),
            Err(error) => Err(error.into()),
        };
        if effect.is_err() {
            self.without_effect = self.without_effect.saturating_add(1);
        }
        effect
    }

    fn certify(&mut self, writer: &DeviceKey, certificate: Certificate) -> Result<(), OrderError> {
        let last = self.certificate.as_ref().map_or(0, |known| known.version);
        let fits = certificate.version > last && certificate.authority == *writer;
        if !fits || !certificate.holds(&self.network) {
            return Err(OrderError::NotCertified);
        }
        self.keys.push(certificate.authority);
        self.certificate = Some(certificate);
        Ok(())
    }

    fn carry_out(&mut self, writer: &DeviceKey, order: Order) -> Result<(), OrderError> {
        let key = self.certificate.as_ref().map(|known| known.authority);
        if key != Some(*writer) {
            return Err(OrderError::NotCertified);
        }
        match order {
            Order::Certificate(_) => {}
            Order::Network { name, district } => {
                self.name = name;
                self.district = district;
            }
            Order::Site {
                site,
                code,
                name,
                kind,
            } => self.name_site(site, SiteInfo { code, name, kind })?,
            Order::Grant(grant) => self.grant(grant)?,
            Order::Revoke { device, lost, cuts } => {
                let member = self.member_mut(&device)?;
                member.membership = Membership::Blocked { cuts: cuts.clone() };
                if lost {
                    self.lost.insert(device);
                }
                self.close(device, cuts);
            }
            Order::Left { device } => {
                let member = self.member_mut(&device)?;
                if member.membership == Membership::Active {
                    member.membership = Membership::Left;
                }
            }
            Order::Adopt { log, from, to } => {
                if from >= to.len {
                    return Err(OrderError::Contradicts("nothing is adopted"));
                }
                self.adopted.entry(log).or_default().push((from, to));
                self.pins.entry(log).or_default().push(to);
            }
            Order::Resolve { log, seq } => {
                self.resolved.insert((log, seq));
            }
            Order::Rotate { rotation, places } => self.rotate(&rotation, places)?,
            Order::Policy { name, value } => {
                self.policies.insert(name, value);
            }
            Order::Invite(invite) => self.invite(invite)?,
            Order::InviteUsed { key, device } => {
                let len = self.cited().0;
                self.end_invite(key, InviteFate::Used { device, len })?;
            }
            Order::InviteClosed { key } => {
                let invite = self.end_invite(key, InviteFate::Closed)?;
                if !self.holders.contains_key(&invite.device_code) {
                    self.codes.remove(&invite.device_code);
                }
            }
            Order::Addresses(addresses) => self.addresses = addresses,
            Order::Pin { log, position } => {
                if position.len == 0 {
                    return Err(OrderError::Contradicts("nothing is pinned"));
                }
                self.pins.entry(log).or_default().push(position);
            }
            Order::Epoch { epoch } => {
                if self.epochs.contains(&epoch) {
                    return Err(OrderError::Contradicts("the epoch began before"));
                }
                self.epochs.push(epoch);
            }
            Order::Unknown(_) => return Err(OrderError::Newer),
        }
        Ok(())
    }

    fn name_site(&mut self, site: SiteId, info: SiteInfo) -> Result<(), OrderError> {
        let mut others = self.sites.iter().filter(|(id, _)| **id != site);
        if others.any(|(_, other)| other.code == info.code) {
            return Err(OrderError::Contradicts("the site code is taken"));
        }
        let space = Space::Site(site);
        self.spaces.insert(space.id(&self.network), space);
        self.sites.insert(site, info);
        Ok(())
    }

    fn grant(&mut self, grant: Grant) -> Result<(), OrderError> {
        if grant.serial <= self.serial {
            return Err(OrderError::Contradicts(
                "the serial number was given before",
            ));
        }
        // rule:key-sound
        if !grant.device.is_sound() {
            return Err(OrderError::Contradicts("the device key is weak"));
        }
        if self.lost.contains(&grant.device) {
            return Err(OrderError::Contradicts("the device was lost"));
        }
        let holder = self.holders.get(&grant.device_code);
        if holder.is_some_and(|holder| *holder != grant.device) {
            return Err(OrderError::Contradicts("the device code was given before"));
        }
        self.serial = grant.serial;
        self.codes.insert(grant.device_code.clone());
        self.admit(grant);
        Ok(())
    }

    /// Gives a device the rights of a grant.
    fn admit(&mut self, grant: Grant) {
        self.holders.insert(grant.device_code.clone(), grant.device);
        let granted = Ordered::Granted {
            len: self.cited().0,
            role: grant.role,
            scopes: grant.scopes.clone(),
            places: grant.places.clone(),
        };
        self.history.entry(grant.device).or_default().push(granted);
        let member = Member {
            grant,
            membership: Membership::Active,
        };
        self.members.insert(member.grant.device, member);
    }

    /// Closes all logs of a device, and pins those that keep something.
    fn close(&mut self, device: DeviceKey, cuts: Vec<Cut>) {
        for cut in cuts.iter().filter(|cut| cut.position.len > 0) {
            self.pins.entry(cut.log).or_default().push(cut.position);
        }
        let closed = Ordered::Closed { cuts };
        self.history.entry(device).or_default().push(closed);
    }

    fn rotate(&mut self, rotation: &Rotation, places: Vec<Cut>) -> Result<(), OrderError> {
        let Rotation { old, new, .. } = *rotation;
        if !rotation.holds(&self.network) {
            return Err(OrderError::Contradicts("not both keys have signed"));
        }
        if self.members.contains_key(&new) {
            return Err(OrderError::Contradicts("the new key has a device already"));
        }
        let member = self.member_mut(&old)?;
        if member.membership != Membership::Active {
            return Err(OrderError::Contradicts("the device was revoked or left"));
        }
        member.membership = Membership::Left;
        let mut grant = member.grant.clone();
        self.close(old, places);
        grant.device = new;
        grant.places = Vec::new();
        self.admit(grant);
        Ok(())
    }

    fn invite(&mut self, invite: Invite) -> Result<(), OrderError> {
        if self.invites.contains_key(&invite.key) {
            return Err(OrderError::Contradicts("the invite was made before"));
        }
        if !self.codes.insert(invite.device_code.clone()) {
            return Err(OrderError::Contradicts("the device code was given before"));
        }
        self.invites.insert(invite.key, invite);
        Ok(())
    }

    /// An invite ends once, whatever is said of it later.
    fn end_invite(&mut self, key: DeviceKey, fate: InviteFate) -> Result<Invite, OrderError> {
        let invite = self.invites.get(&key).cloned();
        let invite = invite.ok_or(OrderError::Contradicts("no such invite"))?;
        // rule:enrol-invite-open
        if self.ended.contains_key(&key) {
            return Err(OrderError::Contradicts("the invite was used or taken back"));
        }
        self.ended.insert(key, fate);
        Ok(invite)
    }

    fn member_mut(&mut self, device: &DeviceKey) -> Result<&mut Member, OrderError> {
        self.members
            .get_mut(device)
            .ok_or(OrderError::Contradicts("no such device"))
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.network
    }

    /// Name and four-letter code of the sub-district; empty before they were given.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        (&self.name, &self.district)
    }

    /// Length and last entry id of the authority logs together: what entries, geneses and checkpoints cite.
    #[must_use]
    pub fn cited(&self) -> (u32, [u8; 32]) {
        let len = u32::try_from(self.heads.len()).unwrap_or(u32::MAX);
        (len, self.heads.last().copied().unwrap_or_default())
    }

    /// Whether what someone cites is what was folded here: false also for a length that was not reached.
    #[must_use]
    pub fn has_head(&self, len: u32, head: &[u8; 32]) -> bool {
        match usize::try_from(len).unwrap_or(usize::MAX).checked_sub(1) {
            None => *head == [0; 32],
            Some(last) => self.heads.get(last) == Some(head),
        }
    }

    /// The newest certified authority key, which writes the authority log and signs receipts.
    #[must_use]
    pub fn key(&self) -> Option<DeviceKey> {
        self.certificate().map(|known| known.authority)
    }

    /// The keys whose receipts hold: the newest, and those before it, which signed what was received in their time.
    /// Only the newest gives new ones.
    pub fn keys(&self) -> impl Iterator<Item = DeviceKey> {
        let newest = self.key().filter(|key| !self.keys.contains(key));
        self.keys.iter().copied().chain(newest)
    }

    /// The root key's newest certificate, also where the fold has not reached its log.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        let followed = self.succession.as_ref().map(|known| &known.certificate);
        followed.or(self.certificate.as_ref())
    }

    /// The authority logs that are folded, once it was said.
    #[must_use]
    pub const fn succession(&self) -> Option<&Succession> {
        self.succession.as_ref()
    }

    /// Why the fold does not go on, if it does not: a new certificate is needed, or a log has not come.
    #[must_use]
    pub const fn unsettled(&self) -> Option<Unsettled> {
        self.unsettled
    }

    /// Orders that had no effect.
    #[must_use]
    pub const fn without_effect(&self) -> u32 {
        self.without_effect
    }

    /// Sites by id.
    #[must_use]
    pub const fn sites(&self) -> &BTreeMap<SiteId, SiteInfo> {
        &self.sites
    }

    /// The site with a code.
    #[must_use]
    pub fn site_by_code(&self, code: &str) -> Option<SiteId> {
        self.sites
            .iter()
            .find(|(_, info)| info.code == code)
            .map(|(site, _)| *site)
    }

    /// Devices by key.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<DeviceKey, Member> {
        &self.members
    }

    /// The role of a device that the network knows, whatever became of it since.
    #[must_use]
    pub fn role(&self, device: &DeviceKey) -> Option<Role> {
        self.members.get(device).map(|member| member.grant.role)
    }

    /// The space of an id, if the network has it.
    #[must_use]
    pub fn space(&self, id: &SpaceId) -> Option<Space> {
        self.spaces.get(id).copied()
    }

    /// All spaces.
    #[must_use]
    pub const fn spaces(&self) -> &BTreeMap<SpaceId, Space> {
        &self.spaces
    }

    /// An invite that was neither used nor taken back.
    #[must_use]
    pub fn open_invite(&self, key: &DeviceKey) -> Option<&Invite> {
        self.invites
            .get(key)
            .filter(|_| !self.ended.contains_key(key))
    }

    /// Every invite that was ever made, by its key, and what became of it.
    pub fn invites(&self) -> impl Iterator<Item = (&Invite, InviteFate)> {
        let fate = |key| self.ended.get(key).copied().unwrap_or(InviteFate::Open);
        self.invites.iter().map(move |(key, it)| (it, fate(key)))
    }

    /// Whether an invite of this key was ever made, whatever became of it.
    #[must_use]
    pub fn knows_invite(&self, key: &DeviceKey) -> bool {
        self.invites.contains_key(key)
    }

    /// Whether an invite was ever used, and by whom.
    #[must_use]
    pub fn invite_user(&self, key: &DeviceKey) -> Option<DeviceKey> {
        match self.ended.get(key) {
            Some(InviteFate::Used { device, .. }) => Some(*device),
            _ => None,
        }
    }

    /// Device codes given so far, also those of open invites and of devices long gone.
    #[must_use]
    pub const fn codes(&self) -> &BTreeSet<String> {
        &self.codes
    }

    /// Where the hub says it is found, best place first; empty before it has said so.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The serial number of the next grant.
    #[must_use]
    pub const fn next_serial(&self) -> u32 {
        self.serial.saturating_add(1)
    }

    /// Whether a device may do this now. The authority space may be read by everyone who was ever
    /// granted anything: a blocked device still learns that it is.
    #[must_use]
    pub fn permits(&self, device: &DeviceKey, space: Space, verb: Verb) -> bool {
        let Some(member) = self.members.get(device) else {
            return false;
        };
        if space == Space::Authority {
            return verb == Verb::Read;
        }
        let allowed = |scope: &Scope| match verb {
            Verb::Read => scope.read,
            Verb::Write => scope.write,
        };
        member.membership == Membership::Active
            && member
                .grant
                .scopes
                .iter()
                .any(|scope| scope.covers(space) && allowed(scope))
    }

    /// The spaces that a device may hold, in id order.
    #[must_use]
    pub fn readable(&self, device: &DeviceKey) -> Vec<SpaceId> {
        let readable = |space: &Space| self.permits(device, *space, Verb::Read);
        self.spaces
            .iter()
            .filter(|(_, space)| readable(space))
            .map(|(id, _)| *id)
            .collect()
    }

    /// The role of a log's author at a place in the log, whatever became of the device since. A grant that came
    /// later changes it only from the place on that it names.
    #[must_use]
    pub fn role_at(&self, log: &LogId, author: &Author, seq: u64) -> Option<Role> {
        self.granted_at(log, &author.device, seq)
            .map(|(role, _)| role)
    }

    /// Role and scopes of the grant that speaks of a place.
    pub(crate) fn granted_at(
        &self,
        log: &LogId,
        device: &DeviceKey,
        seq: u64,
    ) -> Option<(Role, &[Scope])> {
        let mut holds = None;
        for ordered in self.history(device) {
            if let Ordered::Granted {
                role,
                scopes,
                places,
                ..
            } = ordered
            {
                let from = place_of(places, log).unwrap_or_default();
                if holds.is_none() || seq >= from {
                    holds = Some((*role, scopes.as_slice()));
                }
            }
        }
        holds
    }

    /// What was ordered about the logs of a device, in order.
    pub(crate) fn history(&self, device: &DeviceKey) -> &[Ordered] {
        self.history.get(device).map_or(&[], Vec::as_slice)
    }

    /// Ranges of a log that an operator adopted: first entry and position after the last.
    pub fn adopted(&self, log: &LogId) -> impl Iterator<Item = (u64, Position)> {
        let ranges = self.adopted.get(log).map_or(&[][..], Vec::as_slice);
        ranges.iter().copied()
    }

    /// Places that say which branch of a log counts, in order: pins, cuts above 0, ends of adoptions. Of an
    /// authority log that has a successor its trusted end is the first.
    #[must_use]
    pub fn pins(&self, log: &LogId) -> Vec<Position> {
        let trusted = self.succession.iter().flat_map(Succession::logs);
        let trusted = trusted.filter_map(|(of, end)| end.filter(|_| of == *log));
        let ordered = self.pins.get(log).into_iter().flatten().copied();
        trusted.chain(ordered).collect()
    }

    /// Epochs of the hub's store, in the order in which they began.
    #[must_use]
    pub fn epochs(&self) -> &[[u8; 16]] {
        &self.epochs
    }

    /// The place of an epoch in the order in which epochs began; `None` for one that no order names, whose
    /// receipts cannot be compared with others.
    #[must_use]
    pub fn epoch_rank(&self, epoch: &[u8; 16]) -> Option<u32> {
        let at = self.epochs.iter().position(|known| known == epoch)?;
        u32::try_from(at).ok()
    }

    /// Whether a person has dealt with the fork of a log at an entry.
    #[must_use]
    pub fn is_resolved(&self, log: &LogId, seq: u64) -> bool {
        self.resolved.contains(&(*log, seq))
    }

    /// Whether a device was lost: its key is never granted anything again.
    #[must_use]
    pub fn is_lost(&self, device: &DeviceKey) -> bool {
        self.lost.contains(device)
    }

    /// A setting that all devices follow.
    #[must_use]
    pub fn policy(&self, name: &str) -> Option<&str> {
        self.policies.get(name).map(String::as_str)
    }
}
