//! The glue between a session and the store, without a runtime: what to do with a session's events.
//!
//! Events are prepared where they arrive (unpacking and signatures cost most, and touch nothing), then
//! attended inside the writer's transaction or between transactions, and the answers go back to the
//! session after the commit. Production and simulation run the same code; only who calls it differs.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::{Membership, Verb};
use lianxin_protocol::batch::{self, OpenError, Packed};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::{Author, ChainError, ForkProof, LogId, VerifiedRun};
use lianxin_protocol::message::{ErrorCode, ErrorScope, WireBatch};
use lianxin_protocol::receipt::Receipt;
use lianxin_protocol::session::{Event, Load, Session, Share, Taken};
use lianxin_protocol::space::{Space, SpaceId};
use rusqlite::Connection;
use tracing::Span;

use crate::error::{Code, Result};
use crate::journal::{Ingested, Journal, Moved, Proven};
use crate::requests;

/// What both devices may hold, as it stands in the store: the spaces of a session.
///
/// # Errors
/// The store cannot be read.
pub fn shares(
    journal: &Journal,
    connection: &Connection,
    peer: &DeviceKey,
) -> Result<Vec<(SpaceId, Share)>> {
    let authority = journal.authority();
    let me = journal.identity().key();
    let network = journal.identity().network;
    // A device that has just been enrolled knows nobody yet; it has pinned the hub's key and takes the
    // authority log from it, which the root key vouches for.
    let starting = authority.key().is_none();
    let mut shares = Vec::new();
    for (id, space) in authority.spaces() {
        let both =
            |verb| authority.permits(&me, *space, verb) && authority.permits(peer, *space, verb);
        let allowed = both(Verb::Read) || (starting && *space == Space::Authority);
        if allowed {
            let lacks_receipts = journal.asks_receipts(connection, id)?;
            let share = Share {
                space: *space,
                logs: journal.tips(id),
                lacks_receipts,
            };
            shares.push((*id, share));
        }
    }
    if shares.is_empty() && authority.role(&me).is_none() {
        // Known to nobody yet 待入网: ask for the authority log all the same.
        let id = Space::Authority.id(&network);
        let share = Share {
            space: Space::Authority,
            logs: journal.tips(&id),
            lacks_receipts: false,
        };
        shares.push((id, share));
    }
    Ok(shares)
}

/// An event with its costly part done.
#[derive(Debug)]
pub enum Prepared {
    /// A run that verified.
    Run(Box<VerifiedRun>, Packed),
    /// A batch that did not, or that has no business here; it is dropped.
    Bad(ErrorCode),
    /// To be read and sent.
    Load(Load),
    /// To be checked and kept.
    Receipt(Box<Receipt>),
    /// The peer wants the receipts of a space.
    Receipts(SpaceId),
    /// To be checked and kept.
    Fork(Box<ForkProof>),
    /// A peer says that it has more of a log.
    Ahead(LogId, DeviceKey),
    /// The peer said Hello: what is not whole here is asked for.
    Greeted,
    /// The peer needs the proof that a log forked.
    ForkWanted(LogId),
    /// Something of one of these logs, which the peer had from here, does not verify there.
    Broken(BTreeSet<LogId>),
}

/// What goes back to the session.
#[derive(Debug)]
pub enum Answer {
    /// One received batch is durable, or could not be taken.
    Committed(Taken),
    /// One received batch was dropped, which is the peer's fault.
    Bad(ErrorCode),
    /// One receipt or proof was kept, or was not.
    Judged(Taken),
    /// What a load gave.
    Loaded(Load, Option<WireBatch>),
    /// Something was refused.
    Refuse(ErrorCode, ErrorScope),
    /// Ask for a log from here.
    Want(LogId, u64),
    /// Send these.
    Receipts(Vec<Receipt>),
    /// Send this.
    Fork(Box<ForkProof>),
}

/// Remembers, for one connection, who writes the logs that came over it, and what is to be settled.
#[derive(Debug)]
pub struct Attendant {
    peer: DeviceKey,
    authors: BTreeMap<LogId, Author>,
    /// The peer may have claimed to have more than the authors of some logs, now or in a session before.
    claimed: bool,
    /// Receipts were asked for anew.
    doubted: bool,
    /// Logs of which something was sent, since the peer last refused anything.
    sent: BTreeSet<LogId>,
}

impl Attendant {
    /// For a connection with this peer.
    #[must_use]
    pub const fn new(peer: DeviceKey) -> Self {
        Self {
            peer,
            authors: BTreeMap::new(),
            claimed: true,
            doubted: false,
            sent: BTreeSet::new(),
        }
    }

    /// Whether the peer's claims are to be settled now by [`Journal::peer_agrees`], because both sides hold the
    /// same; then not again until there is another.
    pub fn settles(&mut self, session: &Session) -> bool {
        let settles = self.claimed && session.is_in_sync();
        self.claimed &= !settles;
        settles
    }

    /// Whether receipts are to be asked for anew, where they are in doubt: once in a connection, and only if it brought
    /// anything, since orders may be among it. A doubt that stays, whoever made it, costs no more than that.
    pub fn may_doubt(&mut self) -> bool {
        let may = !self.authors.is_empty() && !self.doubted;
        self.doubted |= may;
        may
    }

    /// Unpacks and verifies. Entries of another space than the one in which the peer named their log have no
    /// business here. `known` gives the author of a log that is stored.
    pub fn prepare(
        &mut self,
        event: Event,
        known: impl FnOnce(&LogId) -> Option<Author>,
    ) -> Option<Prepared> {
        match event {
            Event::Received { space, log, batch } => {
                let _span = span_of(&log).entered();
                let author = self.authors.get(&log).copied().or_else(|| known(&log));
                match batch::open(&log, batch.start, &batch.packed, author) {
                    // rule:batch-space
                    Ok(run) if run.author().space != space => {
                        tracing::warn!(
                            "a batch of another space than its log was named in was dropped"
                        );
                        Some(Prepared::Bad(ErrorCode::NotAuthorised))
                    }
                    Ok(run) => {
                        self.authors.insert(log, run.author());
                        Some(Prepared::Run(Box::new(run), batch.packed))
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a batch that does not verify was dropped");
                        Some(Prepared::Bad(match error {
                            OpenError::Unpack(_) => ErrorCode::BadFrame,
                            OpenError::Chain(ChainError::Signature) => ErrorCode::BadSignature,
                            OpenError::Chain(_) => ErrorCode::ChainMismatch,
                        }))
                    }
                }
            }
            Event::Load(load) => {
                self.sent.insert(load.log);
                Some(Prepared::Load(load))
            }
            Event::Receipt(receipt) => Some(Prepared::Receipt(Box::new(receipt))),
            Event::ReceiptsWanted(space) => Some(Prepared::Receipts(space)),
            Event::Fork(proof) => Some(Prepared::Fork(proof)),
            Event::PeerAhead { log, .. } => {
                self.claimed = true;
                Some(Prepared::Ahead(log, self.peer))
            }
            Event::ForkWanted(log) => Some(Prepared::ForkWanted(log)),
            Event::Refused { code } => {
                tracing::warn!(?code, "the peer refused something");
                let broken = [
                    ErrorCode::BadFrame,
                    ErrorCode::BadSignature,
                    ErrorCode::ChainMismatch,
                ];
                let sent = broken
                    .contains(&code)
                    .then(|| std::mem::take(&mut self.sent));
                sent.map(Prepared::Broken)
            }
            Event::Connected { .. } => Some(Prepared::Greeted),
            Event::Closed(_) => None,
        }
    }
}

/// What happens to one log is said under its name.
fn span_of(log: &LogId) -> Span {
    tracing::info_span!("log", id = %Hex(&log.prefix()))
}

impl Prepared {
    /// The log that it is about.
    fn log(&self) -> Option<&LogId> {
        match self {
            Self::Run(run, _) => Some(&run.run().log),
            Self::Load(load) => Some(&load.log),
            Self::Fork(proof) => Some(&proof.log),
            Self::Ahead(log, _) | Self::ForkWanted(log) => Some(log),
            Self::Bad(_)
            | Self::Receipt(_)
            | Self::Receipts(_)
            | Self::Greeted
            | Self::Broken(_) => None,
        }
    }

    /// Whether this must run inside the writer's transaction; the rest runs between transactions,
    /// where everything in the journal is durable.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(
            self,
            Self::Run(..) | Self::Receipt(_) | Self::Fork(_) | Self::Ahead(..)
        )
    }

    /// How many bytes it is to store.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        match self {
            Self::Run(_, packed) => packed.main.len().saturating_add(packed.parts.len()),
            Self::Bad(_)
            | Self::Load(_)
            | Self::Receipt(_)
            | Self::Receipts(_)
            | Self::Fork(_)
            | Self::ForkWanted(_)
            | Self::Greeted
            | Self::Broken(_)
            | Self::Ahead(..) => 0,
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// The store failed; the transaction must be rolled back, and nothing was acknowledged.
    pub fn attend(&self, journal: &mut Journal, connection: &Connection) -> Result<Vec<Answer>> {
        let _span = self.log().map(|log| span_of(log).entered());
        Ok(match self {
            Self::Bad(code) => vec![Answer::Bad(*code)],
            Self::Run(run, packed) => take_run(journal, connection, run, packed)?,
            Self::Load(load) => {
                let loaded =
                    match journal.load(connection, &load.log, (load.from, load.head), load.fits) {
                        // The log is left alone for now; the others go on.
                        Err(error) if error.code() == Code::StoreCorrupt => {
                            tracing::error!(error = %error.chain(), "a log cannot be sent");
                            None
                        }
                        loaded => loaded?,
                    };
                let mut receipts = Vec::new();
                if let Some(batch) = &loaded {
                    // One fsync for all that is about to be sent of this log, not one a batch.
                    if let Some(tip) = journal.tip(&load.log) {
                        // rule:offered-first
                        journal.offer(&load.log, tip.position())?;
                    }
                    // A receipt is of use only to who has the entries, so it follows the last of them:
                    // whoever lacks them cannot have asked for it.
                    let receipt = journal.receipt(connection, &load.log)?;
                    let ends_here =
                        |it: &Receipt| (batch.start.len + 1..=batch.end()).contains(&it.stored.len);
                    receipts.extend(receipt.filter(ends_here));
                }
                vec![Answer::Loaded(*load, loaded), Answer::Receipts(receipts)]
            }
            Self::Receipt(receipt) => {
                let kept = journal.take_receipt(connection, receipt)?;
                vec![Answer::Judged(Taken::if_kept(kept))]
            }
            Self::Receipts(space) => {
                vec![Answer::Receipts(journal.receipts(connection, space)?)]
            }
            Self::Fork(proof) => {
                let proven = journal.take_fork(connection, proof)?;
                let mut answers = vec![Answer::Judged(Taken::if_kept(proven == Proven::Kept))];
                // rule:fork-asked-back
                if let Proven::Elsewhere { from } = proven {
                    answers.push(Answer::Want(proof.log, from));
                }
                // Who sends a proof holds something else: perhaps the branch that a pin names.
                let wanted = journal.branch_wanted(connection, &proof.log)?;
                answers.extend(wanted.map(|(log, from)| Answer::Want(log, from)));
                answers
            }
            Self::ForkWanted(log) => {
                let proof = journal.fork_proof(connection, log)?;
                proof
                    .into_iter()
                    .map(|proof| Answer::Fork(Box::new(proof)))
                    .collect()
            }
            Self::Greeted => {
                let mut wanted = journal.branches_wanted(connection)?;
                // rule:missing-asked
                wanted.extend(journal.payloads_wanted(connection)?);
                let wants = wanted
                    .into_iter()
                    .map(|(log, from)| Answer::Want(log, from));
                wants.collect()
            }
            Self::Broken(logs) => {
                journal.doubt(logs.iter().copied());
                Vec::new()
            }
            Self::Ahead(log, peer) => {
                journal.peer_is_ahead(connection, log, peer)?;
                Vec::new()
            }
        })
    }
}

/// Stores a run, and says what is to be asked for because of it.
fn take_run(
    journal: &mut Journal,
    connection: &Connection,
    run: &VerifiedRun,
    packed: &Packed,
) -> Result<Vec<Answer>> {
    let log = run.run().log;
    let before = journal.authority().cited();
    let ingested = journal.ingest(connection, run, packed)?;
    let taken = match &ingested {
        Ingested::Stored | Ingested::Forked { proof: Some(_), .. } => Taken::New,
        Ingested::Known
        | Ingested::Gap { .. }
        | Ingested::Forked { proof: None, .. }
        | Ingested::Incomplete
        | Ingested::OverQuota
        | Ingested::Unreadable
        | Ingested::NotHeld => Taken::Nothing,
    };
    let mut answers = vec![Answer::Committed(taken)];
    if journal.authority().cited() != before {
        // A pin may have come whose branch is not here.
        let wanted = journal.branches_wanted(connection)?;
        answers.extend(
            wanted
                .into_iter()
                .map(|(log, from)| Answer::Want(log, from)),
        );
    }
    match ingested {
        Ingested::Stored | Ingested::Known => {}
        // rule:gap-asked
        Ingested::Gap { have } => answers.push(Answer::Want(log, have)),
        Ingested::Forked {
            proof: Some(proof), ..
        } => {
            answers.push(Answer::Fork(proof));
        }
        Ingested::Forked { proof: None, from } => {
            answers.push(Answer::Want(log, from));
        }
        Ingested::Incomplete => {
            answers.push(Answer::Refuse(ErrorCode::NeedSnapshot, ErrorScope::Log));
        }
        Ingested::OverQuota => {
            answers.push(Answer::Refuse(ErrorCode::QuotaExceeded, ErrorScope::Log));
        }
        Ingested::Unreadable => {
            answers.push(Answer::Refuse(ErrorCode::Internal, ErrorScope::Log));
        }
        Ingested::NotHeld => {
            answers.push(Answer::Refuse(ErrorCode::NotAuthorised, ErrorScope::Space));
        }
    }
    Ok(answers)
}

impl Answer {
    /// Gives it to the session.
    pub fn apply(self, session: &mut Session) {
        match self {
            Self::Committed(taken) => session.committed(taken),
            Self::Bad(code) => session.batch_refused(code),
            Self::Judged(taken) => session.statement_judged(taken),
            Self::Loaded(load, batch) => session.loaded(&load, batch),
            Self::Refuse(code, scope) => session.refuse(code, scope),
            Self::Want(log, from) => session.want(&log, from),
            Self::Receipts(receipts) => {
                for receipt in receipts {
                    session.push_receipt(receipt);
                }
            }
            Self::Fork(proof) => session.push_fork(proof),
        }
    }
}

/// Whether this device has something to wait for in a session that should end: receipts for some space, or
/// the hub's answer to what it has asked.
///
/// # Errors
/// The store cannot be read.
pub fn lacks_any(journal: &Journal, connection: &Connection) -> Result<bool> {
    for space in journal.authority().spaces().keys() {
        if journal.lacks_receipts(connection, space)? {
            return Ok(true);
        }
    }
    let me = journal.identity().key();
    let open = requests::open(connection)?;
    Ok(open.iter().any(|asked| asked.device == me))
}

/// Tells a session what a commit moved. The hub needs no receipts: it signs them.
pub fn moved(session: &mut Session, moved: &Moved, peer_is_hub: bool) {
    session.tips_moved(moved.tips.iter().copied());
    for (log, from) in &moved.wanted {
        session.want(log, *from);
    }
    for receipt in moved.receipts.iter().filter(|_| !peer_is_hub) {
        session.push_receipt(receipt.clone());
    }
}

/// Settles what a peer has claimed, and gives the spaces of which receipts are to be asked for anew: what the session has
/// brought of orders may say otherwise than they do, and the hub tells only whoever is connected when it judges.
///
/// # Errors
/// The store cannot be read or written.
pub fn agrees(
    journal: &mut Journal,
    connection: &Connection,
    peer: &DeviceKey,
    may_doubt: bool,
) -> Result<Vec<(SpaceId, Share)>> {
    journal.peer_agrees(connection, peer)?;
    let mut doubted = Vec::new();
    if may_doubt {
        for (id, share) in shares(journal, connection, peer)? {
            if journal.doubts_receipts(connection, &id)? {
                doubted.push((id, share));
            }
        }
    }
    Ok(doubted)
}

/// Offers spaces again, with what this side lacks there now.
pub fn share_again(session: &mut Session, shares: Vec<(SpaceId, Share)>) {
    for (id, share) in shares {
        if session.shared().contains(&id) {
            session.withdraw(&id);
            session.share(id, share);
        }
    }
}

/// Shares these spaces and no others.
pub fn apply_shares(session: &mut Session, shares: Vec<(SpaceId, Share)>) {
    for id in session.shared() {
        if !shares.iter().any(|(share, _)| *share == id) {
            session.withdraw(&id);
        }
    }
    let shared = session.shared();
    for (id, share) in shares {
        if shared.contains(&id) {
            for (log, tip) in share.logs {
                session.tip_moved(&id, log, tip);
            }
        } else {
            session.share(id, share);
        }
    }
}

/// Whether a device may open a session: someone whom the network has granted something. A blocked
/// device may, to learn that it is blocked.
#[must_use]
pub fn is_known(authority: &lianxin_protocol::authority::Authority, peer: &DeviceKey) -> bool {
    authority.members().contains_key(peer)
}

/// Whether a device was revoked.
#[must_use]
pub fn is_blocked(authority: &lianxin_protocol::authority::Authority, peer: &DeviceKey) -> bool {
    let member = authority.members().get(peer);
    member.is_some_and(|member| matches!(member.membership, Membership::Blocked { .. }))
}
