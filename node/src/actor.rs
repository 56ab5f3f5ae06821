//! Who acts: an account of this device, in the roles that it has here.
//!
//! What a device may do is granted by the hub ([`permitted`]); who of its people does it is the device's own matter: its
//! administrator may give an account fewer roles than the grant permits, never more. An [`Actor`] is made in one way, from the
//! account and the grant as one snapshot has them, wherever something is offered or done; so nothing is offered that the save
//! refuses. It is made anew each time and never kept: roles may be taken away while somebody is logged in.
//!
//! Others judge by the device's role alone. An event names the role in which it was taken as it names the account: as a claim.

use std::collections::BTreeSet;

use lianxin_protocol::authority::Role as DeviceRole;
use lianxin_protocol::catalogue::{Kind, Role};
use lianxin_protocol::log::RecordId;

use crate::accounts::Account;
use crate::error::{Code, Error, Result};
use crate::journal::Overview;

/// The roles in which people may act on a device, by the role that it was granted; none on one that the hub has not confirmed.
#[must_use]
pub fn permitted(device: Option<DeviceRole>) -> BTreeSet<Role> {
    use Role::{Clerk, Deputy, Hub, Privacy, Resident, Supervisor, Unit};
    match device {
        Some(DeviceRole::Station | DeviceRole::Laptop) => [Clerk, Deputy, Resident].into(),
        Some(DeviceRole::Operator | DeviceRole::Hub) => {
            [Clerk, Deputy, Hub, Supervisor, Unit, Privacy, Resident].into()
        }
        Some(DeviceRole::Courier | DeviceRole::Reader | DeviceRole::Other(_)) | None => {
            BTreeSet::new()
        }
    }
}

/// A person at a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    account: String,
    device: Option<DeviceRole>,
    roles: BTreeSet<Role>,
    recording: BTreeSet<Role>,
    owns_store: bool,
    revealed: BTreeSet<RecordId>,
}

impl Actor {
    /// Whoever has this account of this device.
    #[must_use]
    pub fn of(account: &Account, overview: &Overview) -> Self {
        Self::new(&account.id, account.roles.as_ref(), overview.role())
    }

    /// Somebody who owns the store and has no account here yet: the one that is made at the first save has all roles.
    #[must_use]
    pub fn owner(overview: &Overview) -> Self {
        Self::new("", None, overview.role())
    }

    /// At the hub: whoever asks it from a device of this role. Which roles the account has there, and what it is shown, was judged there.
    #[must_use]
    pub fn asking(account: &str, device: DeviceRole) -> Self {
        // What they are shown was judged there as well.
        Self::new(account, None, Some(device)).owning_the_store()
    }

    fn new(account: &str, given: Option<&BTreeSet<Role>>, device: Option<DeviceRole>) -> Self {
        let cut = |permitted: BTreeSet<Role>| match given {
            Some(given) => permitted.intersection(given).copied().collect(),
            None => permitted,
        };
        Self {
            account: account.to_owned(),
            device,
            roles: cut(permitted(device)),
            recording: cut(permitted(Some(device.unwrap_or(DeviceRole::Station)))),
            owns_store: false,
            revealed: BTreeSet::new(),
        }
    }

    /// The same, where whoever owns the store and its key asks in nobody's name: all that is there is theirs to see.
    #[must_use]
    pub fn owning_the_store(self) -> Self {
        Self {
            owns_store: true,
            ..self
        }
    }

    /// The same, who has said lately why they want to see what is kept of these records.
    #[must_use]
    pub fn having_revealed(self, revealed: BTreeSet<RecordId>) -> Self {
        Self { revealed, ..self }
    }

    /// Whether all that is in the store is theirs to see.
    #[must_use]
    pub const fn owns_store(&self) -> bool {
        self.owns_store
    }

    /// Whether they have said lately why they want to see what is kept of a record.
    #[must_use]
    pub fn has_revealed(&self, record: &RecordId) -> bool {
        self.revealed.contains(record)
    }

    /// Id of the account, as changes carry it.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The role that the device was granted; none while the hub has not confirmed it.
    #[must_use]
    pub const fn device(&self) -> Option<DeviceRole> {
        self.device
    }

    /// The roles of the account, as far as the device's grant permits them.
    #[must_use]
    pub const fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// In which role a step is taken that is open to these: the first that the account has.
    ///
    /// # Errors
    /// [`Code::StepRefused`] where the device's grant permits none of them, [`Code::RoleRefused`] where only the account has
    /// none.
    pub fn takes(&self, event: &str, who: &BTreeSet<Role>) -> Result<Role> {
        if let Some(role) = who.intersection(&self.roles).next() {
            return Ok(*role);
        }
        if permitted(self.device).is_disjoint(who) {
            let message = format!("`{event}` is not for a device of this role");
            return Err(Error::new(Code::StepRefused, message));
        }
        Err(lacks(&format!("`{event}`"), who))
    }

    /// Whether this person makes records of a kind. Who is at a device that is not confirmed yet 待入网 records what
    /// stations do.
    #[must_use]
    pub fn creates(&self, kind: &Kind) -> bool {
        creates(&self.recording, kind)
    }

    /// Whether this person makes records of a kind.
    ///
    /// # Errors
    /// [`Code::NotPermitted`] where no device of this role makes one, [`Code::RoleRefused`] where only the account may not.
    pub fn may_create(&self, kind: &Kind) -> Result<()> {
        if self.creates(kind) {
            return Ok(());
        }
        let device = self.device.unwrap_or(DeviceRole::Station);
        if creates(&permitted(Some(device)), kind) {
            return Err(lacks(&format!("a {}", kind.code), who_registers(kind)));
        }
        let message = format!("a {} is not for a device of this role", kind.code);
        Err(Error::new(Code::NotPermitted, message))
    }

    /// Whether this person corrects what a record of a kind says that stands in this folded status.
    ///
    /// # Errors
    /// As [`may_create`](Self::may_create); the same where the status says that only others do.
    pub fn may_correct(&self, kind: &Kind, status: &str) -> Result<()> {
        self.may_create(kind)?;
        let by = kind.kept_by(status);
        if by.is_empty() || !by.is_disjoint(&self.roles) {
            return Ok(());
        }
        if permitted(self.device).is_disjoint(by) {
            let message = format!(
                "a {} that is `{status}` is corrected by the sub-district: ask it, or have it sent back",
                kind.code
            );
            return Err(Error::new(Code::NotPermitted, message));
        }
        Err(lacks(&format!("a {} that is `{status}`", kind.code), by))
    }

    /// Whether this person issues reports: the sub-district and its supervisor do.
    ///
    /// # Errors
    /// [`Code::RoleRefused`] where not.
    pub fn may_issue(&self) -> Result<()> {
        let who = BTreeSet::from([Role::Hub, Role::Supervisor]);
        if who.is_disjoint(&self.roles) {
            return Err(lacks("what is issued for everybody", &who));
        }
        Ok(())
    }

    /// In which role this person registers a new record of a kind; none where nothing says who may.
    #[must_use]
    pub fn registers_as(&self, kind: &Kind) -> Option<Role> {
        who_registers(kind)
            .intersection(&self.recording)
            .next()
            .copied()
    }
}

fn who_registers(kind: &Kind) -> &BTreeSet<Role> {
    let event = kind.register_event.as_ref();
    let event = event.and_then(|event| kind.transition(event));
    event.map_or(&kind.create.who, |event| &event.who)
}

/// Who makes records of a kind, and so corrects them; empty for everybody.
#[must_use]
pub fn who_corrects(kind: &Kind) -> &BTreeSet<Role> {
    who_registers(kind)
}

/// Whether records of a kind are made on devices of sites, by their people or by the program.
#[must_use]
pub fn is_made_at_sites(kind: &Kind) -> bool {
    kind.create.by_program || creates(&permitted(Some(DeviceRole::Station)), kind)
}

fn creates(roles: &BTreeSet<Role>, kind: &Kind) -> bool {
    let open = |who: &BTreeSet<Role>| who.is_empty() || !who.is_disjoint(roles);
    !kind.create.by_program && open(&kind.create.who) && open(who_registers(kind))
}

fn lacks(what: &str, who: &BTreeSet<Role>) -> Error {
    let letters: Vec<_> = who.iter().map(|role| role.letter()).collect();
    let message = format!(
        "{what} is for the roles {}, and this account has none of them",
        letters.join(" ")
    );
    Error::new(Code::RoleRefused, message)
}

#[cfg(test)]
mod tests {
    use lianxin_protocol::catalogue::Catalogue;

    use super::*;

    fn actor(given: Option<&[Role]>, device: Option<DeviceRole>) -> Actor {
        let given = given.map(|given| given.iter().copied().collect());
        Actor::new("a1", given.as_ref(), device)
    }

    #[test]
    fn an_account_has_no_role_that_the_devices_grant_does_not_permit() {
        let all = [Role::Clerk, Role::Hub, Role::Supervisor];
        let roles = |device| actor(Some(&all), device).roles().clone();
        assert_eq!(roles(Some(DeviceRole::Station)), [Role::Clerk].into());
        assert_eq!(roles(Some(DeviceRole::Operator)), all.into());
        assert!(roles(Some(DeviceRole::Courier)).is_empty());
        assert!(roles(None).is_empty());
        let first = actor(None, Some(DeviceRole::Station));
        assert_eq!(*first.roles(), permitted(Some(DeviceRole::Station)));
    }

    #[test]
    fn a_step_is_refused_for_the_device_or_for_the_account_and_else_taken_in_one_role() {
        let who = [Role::Hub, Role::Supervisor].into();
        let code = |actor: &Actor| actor.takes("approve", &who).map_err(|error| error.code());
        let desk = Some(DeviceRole::Operator);
        assert_eq!(code(&actor(None, desk)), Ok(Role::Hub));
        let supervisor = actor(Some(&[Role::Supervisor, Role::Unit]), desk);
        assert_eq!(code(&supervisor), Ok(Role::Supervisor));
        let unit = actor(Some(&[Role::Unit]), desk);
        assert_eq!(code(&unit), Err(Code::RoleRefused));
        let station = actor(Some(&[Role::Supervisor]), Some(DeviceRole::Station));
        assert_eq!(code(&station), Err(Code::StepRefused));
    }

    #[test]
    fn whoever_may_not_register_a_record_does_not_make_one() -> Result<()> {
        let kind = Catalogue::current().kind("opinion");
        let kind = kind.ok_or_else(|| Error::new(Code::NoKind, "opinion"))?;
        let code = |actor: &Actor| {
            let may = actor.may_create(kind).map_err(|error| error.code());
            may.map(|()| actor.registers_as(kind))
        };
        let at = Some(DeviceRole::Station);
        assert_eq!(code(&actor(None, at)), Ok(Some(Role::Clerk)));
        // A deputy may draft one, and only a clerk registers it.
        let deputy = actor(Some(&[Role::Deputy]), at);
        assert_eq!(code(&deputy), Err(Code::RoleRefused));
        assert_eq!(code(&actor(None, None)), Ok(Some(Role::Clerk)));
        let reader = actor(None, Some(DeviceRole::Reader));
        assert_eq!(code(&reader), Err(Code::NotPermitted));
        Ok(())
    }
}
