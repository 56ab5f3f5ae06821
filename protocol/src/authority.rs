//! The authority log folded into "who may do what".
//!
//! All power comes from signed orders in one log and its successors, so every device answers every question alike
//! and without a network. Orders are data; the fold takes them one after the other and never looks at a clock; an
//! order that does not fit is counted and has no effect. Persons do not appear here, only keys, sites and codes.
//!
//! [`role`] has the words in which rights are given, [`order`] the payloads, [`certificate`] which logs are folded,
//! [`fold`] what they come to, [`reason`] why something does not count. What of a log counts by it is module [`crate::verdict`]'s to say.

pub mod certificate;
pub mod fold;
pub mod order;
pub mod reason;
pub mod role;

pub use self::certificate::{Certificate, Succession, Unsettled};
pub use self::fold::{Authority, InviteFate, Member, Membership, OrderError};
pub use self::order::{Cut, Grant, Invite, Order, Rotation, SiteInfo};
pub use self::reason::Reason;
pub use self::role::{Role, Scope, SiteKind, Spaces, Verb};

#[cfg(test)]
mod tests;
