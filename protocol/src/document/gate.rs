//! The gate: decides once, for every change of a record, whether it counts.
//!
//! A verdict depends on four things: what stands before the change in its own log, what it depends on, whether its
//! author's rights cover its place, and whether its place founds the record. Never on what else happens to be here:
//! so equal logs give equal states whatever came first, and nothing that another writer of the space does later takes
//! away, replaces, vetoes or crowds out what counted (SPEC, section 10).
//!
//! Owns those rules. Must not know logs, grants or entries: callers say of each change where it stands and what its
//! author may do. Must not call Automerge: what it lets in, Automerge can apply.
//!
//! Invariants:
//! - The founding change is the record's only change without dependencies; it alone makes the three keys of the root.
//! - The changes of one log count in the order of the log, each building directly on the one before; where one does not
//!   count, none after it does. An ancestry is therefore a length for each log, and is kept as that.
//! - Every operation writes a scalar into `fields` or `by`, or a whole new event under the writer's own key. Whatever it
//!   replaces is an operation among its ancestors at the same key of the same map.
//! - What one log may put into one record is bounded for each log by itself.
//!
//! Rejected: to decide between two changes by the size of their hashes. Whoever writes later chooses his bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use automerge::Change;
use thiserror::Error;

use super::guard::{GuardError, GuardedChange};
use super::ops::{Action, Misshapen, Object, Op, OpId};
use super::{AT, ActorId, BY, ChangeHash, EVENT, EVENTS, FIELDS, KIND, Scalar};
use crate::base32;
use crate::limits;

/// A change of a record as it stands in its log.
#[derive(Debug)]
pub struct Offered {
    /// The actor of its log.
    pub actor: ActorId,
    /// Its place in the log.
    pub place: u64,
    /// Whether a change at this place has the record's id (SPEC, section 3).
    pub founds: bool,
    /// Whether the rights of its author cover this place.
    pub permitted: bool,
    /// The change, or why its bytes are none.
    pub change: Result<GuardedChange, GuardError>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts.
    Counts,
    /// It does not count, now or later, unless an order of the authority log changes its author's rights.
    Refused(Refusal),
    /// Nothing is known yet of these changes that it builds on, sorted; or, where there are none, the change before it
    /// in its log waits.
    Waits {
        /// Their digests.
        missing: Vec<ChangeHash>,
    },
}

/// Why a change does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The rights of its author do not cover its place.
    #[error("the author may not write here")]
    NotPermitted,
    /// Its bytes are not a change that may be decoded.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// It depends on nothing, and its place does not give the record's id.
    #[error("a record has one founder")]
    NotFounder,
    /// Its number is not one more than that of its log's last change in this record, or it does not build on that
    /// one directly. Two machines wrote one log, or a writer who wants to be in two places.
    #[error("the change does not follow its log's previous one")]
    Sequence,
    /// An earlier change of its log in this record does not count: who must go on here begins a new log.
    #[error("an earlier change of this log does not count")]
    Closed,
    /// It builds on a change that does not count.
    #[error("the change builds on one that does not count")]
    BuildsOnRefused,
    /// It does not number its operations from one above the highest of its ancestors.
    #[error("the operations are misnumbered")]
    OpNumbers,
    /// It names an actor that wrote nothing among its ancestors.
    #[error("the change refers to an unknown author")]
    UnknownActor,
    /// It does something that no change of a record does: says what.
    #[error("the change is not of a record's shape: {0}")]
    Shape(Misshapen),
    /// Its log has as many changes, operations, events or bytes in this record as one log may have.
    #[error("this log has written as much into the record as one may")]
    Full,
}

/// The changes that count, with what is needed to decide about the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    /// In causal order; where that leaves a choice, the smaller hash first.
    pub(super) nodes: Vec<Node>,
    logs: BTreeMap<ActorId, Share>,
    by_hash: BTreeMap<ChangeHash, usize>,
    maps: Option<Maps>,
    /// Which changes took the place of a value.
    replaced: BTreeMap<OpId, Vec<usize>>,
    /// Logs that can write no more in this record.
    closed: BTreeSet<ActorId>,
}

/// A change that counts.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) change: GuardedChange,
    /// Indices of its dependencies in [`Graph::nodes`], all smaller than its own.
    pub(super) deps: Vec<usize>,
    /// How many changes of each log, by [`Share::index`], are among its ancestors and itself.
    clock: Vec<u32>,
}

/// What one log has in this record.
#[derive(Clone, Debug, Default)]
struct Share {
    index: usize,
    /// Indices of its changes, in their order.
    nodes: Vec<usize>,
    ops: u64,
    bytes: usize,
    events: BTreeSet<String>,
    /// The value that it put last at each key of the root and of the fields, unless it deleted that.
    last: BTreeMap<(bool, String), OpId>,
}

/// The maps that the founding change made.
#[derive(Clone, Copy, Debug)]
struct Maps {
    fields: OpId,
    events: OpId,
}

/// What the gate found out about a change that counts.
struct Admitted {
    deps: Vec<usize>,
    clock: Vec<u32>,
    maps: Option<Maps>,
    events: Vec<String>,
}

/// What is said of a change before all it depends on is known.
enum Look {
    Admit(Admitted),
    Refuse(Refusal),
    Wait(ChangeHash),
}

/// The prefix of every key under which a log's writer may put an event: nobody else can.
#[must_use]
pub fn event_prefix(actor: &ActorId) -> String {
    base32::encode(actor)
}

/// Decides about all changes of a record that are here, in any order; fates come in the order of the input.
pub(super) fn decide(offered: &mut [Offered]) -> (Graph, Vec<Fate>) {
    let mut logs: BTreeMap<ActorId, VecDeque<usize>> = BTreeMap::new();
    let mut order: Vec<usize> = (0..offered.len()).collect();
    order.sort_by_key(|at| offered.get(*at).map(|it| (it.actor, it.place)));
    for at in order {
        if let Some(it) = offered.get(at) {
            logs.entry(it.actor).or_default().push_back(at);
        }
    }
    let mut graph = Graph::default();
    let mut fates: Vec<Option<Fate>> = vec![None; offered.len()];
    let mut refused: BTreeSet<ChangeHash> = BTreeSet::new();
    let mut blocked: BTreeMap<ChangeHash, Vec<ActorId>> = BTreeMap::new();
    let mut queue: VecDeque<ActorId> = logs.keys().copied().collect();
    while let Some(actor) = queue.pop_front() {
        while let Some(at) = logs.get(&actor).and_then(|log| log.front().copied()) {
            let Some(it) = offered.get_mut(at) else { break };
            let look = graph.look(it, &refused);
            let hash = it.change.as_ref().ok().map(GuardedChange::hash);
            let fate = match (look, hash) {
                (Look::Wait(missing), _) => {
                    blocked.entry(missing).or_default().push(actor);
                    break;
                }
                (Look::Admit(admitted), Some(_)) => {
                    let gone = std::mem::replace(&mut it.change, Err(GuardError::NotAChange));
                    if let Ok(change) = gone {
                        graph.admit(change, admitted);
                    }
                    Fate::Counts
                }
                (Look::Admit(_), None) => break,
                (Look::Refuse(refusal), hash) => {
                    graph.closed.insert(actor);
                    // A refused copy of another log's change, which would not open here, says nothing of that change.
                    refused.extend(hash.filter(|hash| !graph.by_hash.contains_key(hash)));
                    Fate::Refused(refusal)
                }
            };
            if let Some(slot) = fates.get_mut(at) {
                *slot = Some(fate);
            }
            if let Some(log) = logs.get_mut(&actor) {
                log.pop_front();
            }
            queue.extend(
                hash.and_then(|hash| blocked.remove(&hash))
                    .into_iter()
                    .flatten(),
            );
        }
    }
    let fates = fates.into_iter().zip(offered.iter()).map(|(fate, it)| {
        fate.unwrap_or_else(|| {
            graph.closed.insert(it.actor);
            let deps = it
                .change
                .as_ref()
                .map(GuardedChange::deps)
                .unwrap_or_default();
            let unknown = |dep: &&ChangeHash| !graph.by_hash.contains_key(*dep);
            let mut missing: Vec<_> = deps.iter().filter(unknown).copied().collect();
            missing.sort_unstable();
            Fate::Waits { missing }
        })
    });
    let fates = fates.collect();
    graph.order();
    (graph, fates)
}

impl Graph {
    /// Whether all that a log wrote in this record counts and a usual save fits into its share, so that it can write on.
    pub(super) fn is_open(&self, actor: &ActorId) -> bool {
        /// More than the largest form has operations, and more events than a step.
        const USUAL: (u64, usize) = (2_000, 16);
        let has_room = |share: &Share| {
            share.nodes.len() < limits::RECORD_CHANGES_MAX
                && share.bytes + limits::CHANGE_DEFAULT_MAX <= limits::RECORD_BYTES_MAX
                && share.ops + USUAL.0 <= limits::RECORD_OPS_MAX
                && share.events.len() + USUAL.1 <= limits::RECORD_EVENTS_MAX
        };
        !self.closed.contains(actor) && self.logs.get(actor).is_none_or(has_room)
    }

    /// The changes on which no other builds, in causal order.
    pub(super) fn heads(&self) -> Vec<usize> {
        let deps = self.nodes.iter().flat_map(|node| &node.deps);
        let inner: BTreeSet<usize> = deps.copied().collect();
        let heads = (0..self.nodes.len()).filter(|at| !inner.contains(at));
        heads.collect()
    }

    /// Where more changes stand side by side than one change can name: those under as many heads as it can, the writer's
    /// own among them, in causal order. `None` where all can be named.
    pub(super) fn crowded(&self, actor: &ActorId) -> Option<Vec<Change>> {
        let heads = self.heads();
        if heads.len() < limits::CHANGE_DEPS_MAX {
            return None;
        }
        let own = self.last_of(actor);
        let most = limits::CHANGE_DEPS_MAX - 1;
        let mut open: Vec<usize> = own.into_iter().chain(heads).take(most).collect();
        let mut under = BTreeSet::new();
        while let Some(at) = open.pop() {
            if under.insert(at) {
                open.extend(self.nodes.get(at).into_iter().flat_map(|node| &node.deps));
            }
        }
        let nodes = under.into_iter().filter_map(|at| self.nodes.get(at));
        Some(nodes.filter_map(|node| node.change.decoded()).collect())
    }

    /// Whether a change is another one, or among its ancestors, both by their indices.
    pub(super) fn is_under(&self, ancestor: usize, of: usize) -> bool {
        let (Some(under), Some(over)) = (self.nodes.get(ancestor), self.nodes.get(of)) else {
            return false;
        };
        let share = self.logs.get(&under.change.actor());
        let known = share.and_then(|share| over.clock.get(share.index));
        known.is_some_and(|known| u64::from(*known) >= under.change.seq())
    }

    /// Whether a change counts.
    pub(super) fn has(&self, hash: &ChangeHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// The place of a change, if it counts.
    pub(super) fn place_of(&self, hash: &ChangeHash) -> Option<usize> {
        self.by_hash.get(hash).copied()
    }

    /// Events that a log has put into the record.
    pub(super) fn events_of(&self, actor: &ActorId) -> usize {
        self.logs.get(actor).map_or(0, |share| share.events.len())
    }

    /// The last change of a log, by its place.
    pub(super) fn last_of(&self, actor: &ActorId) -> Option<usize> {
        self.logs.get(actor)?.nodes.last().copied()
    }

    /// The maps of fields and of events, once the record is founded.
    pub(super) fn maps(&self) -> Option<(OpId, OpId)> {
        self.maps.map(|maps| (maps.fields, maps.events))
    }

    /// The kind that the founding change names.
    pub(super) fn kind(&self) -> Option<&str> {
        let mut ops = self.nodes.first()?.change.ops.iter().flatten();
        let op = ops.find(|op| (op.object, op.key.as_str()) == (Object::Root, KIND))?;
        match op.value()? {
            Scalar::Str(kind) => Some(kind),
            Scalar::Int(_) | Scalar::Bool(_) | Scalar::Part(_) => None,
        }
    }

    /// Whether an event carries a datum under this key.
    pub(super) fn is_carried(&self, key: &str) -> bool {
        let mut ops = self
            .nodes
            .iter()
            .flat_map(|node| node.change.ops.iter().flatten());
        let in_event = |op: &Op| op.object != Object::Root && self.field_of(op).is_none();
        ops.any(|op| op.key == key && op.value().is_some() && in_event(op))
    }

    /// Takes in a change that was written on all that counts here.
    pub(super) fn extend(&mut self, change: GuardedChange) -> Result<(), Refusal> {
        match self.judge(&change, self.nodes.is_empty(), &BTreeSet::new()) {
            Look::Admit(admitted) => {
                self.admit(change, admitted);
                Ok(())
            }
            Look::Refuse(refusal) => Err(refusal),
            Look::Wait(_) => Err(Refusal::BuildsOnRefused),
        }
    }

    /// The operation of this id and the change that has it, if it is among those that count.
    pub(super) fn operation(&self, id: &OpId) -> Option<(usize, &Op)> {
        let nodes = &self.logs.get(&id.actor)?.nodes;
        let start = |at: &usize| self.nodes.get(*at).map_or(0, |node| node.change.start_op);
        let after = nodes.partition_point(|at| start(at) <= id.counter);
        let at = *nodes.get(after.checked_sub(1)?)?;
        let change = &self.nodes.get(at)?.change;
        let row = usize::try_from(id.counter.checked_sub(change.start_op)?).ok()?;
        Some((at, change.ops.as_ref().ok()?.get(row)?))
    }

    /// Whether an operation writes a field, and its key.
    pub(super) fn field_of<'a>(&self, op: &'a Op) -> Option<&'a str> {
        let fields = Object::Made(self.maps?.fields);
        (op.object == fields).then_some(op.key.as_str())
    }

    /// Whether an operation makes an event, and its key.
    pub(super) fn event_of<'a>(&self, op: &'a Op) -> Option<&'a str> {
        let events = Object::Made(self.maps?.events);
        (op.object == events).then_some(op.key.as_str())
    }

    fn look(&self, offered: &Offered, refused: &BTreeSet<ChangeHash>) -> Look {
        if !offered.permitted {
            return Look::Refuse(Refusal::NotPermitted);
        }
        if self.closed.contains(&offered.actor) {
            return Look::Refuse(Refusal::Closed);
        }
        match &offered.change {
            Err(error) => Look::Refuse(Refusal::Guard(*error)),
            Ok(change) => self.judge(change, offered.founds, refused),
        }
    }

    fn judge(&self, change: &GuardedChange, founds: bool, refused: &BTreeSet<ChangeHash>) -> Look {
        let mut deps = Vec::with_capacity(change.deps().len());
        let mut on_refused = false;
        for dep in change.deps() {
            match self.by_hash.get(dep) {
                Some(at) => deps.push(*at),
                None if refused.contains(dep) => on_refused = true,
                // In whatever order it names them: it waits until all are judged.
                None => return Look::Wait(*dep),
            }
        }
        if on_refused {
            return Look::Refuse(Refusal::BuildsOnRefused);
        }
        match self.admits(change, founds, deps) {
            Ok(admitted) => Look::Admit(admitted),
            Err(refusal) => Look::Refuse(refusal),
        }
    }

    fn admits(
        &self,
        change: &GuardedChange,
        founds: bool,
        deps: Vec<usize>,
    ) -> Result<Admitted, Refusal> {
        if deps.is_empty() && (!founds || self.maps.is_some()) {
            return Err(Refusal::NotFounder);
        }
        let share = self.logs.get(&change.actor());
        let written = share.map_or(0, |share| share.nodes.len() as u64);
        let last = share.and_then(|share| share.nodes.last());
        let follows = last.is_none_or(|last| deps.contains(last));
        if change.seq() != written + 1 || !follows {
            return Err(Refusal::Sequence);
        }
        let mut clock: Vec<u32> = Vec::new();
        let mut highest = 0;
        for dep in deps.iter().filter_map(|at| self.nodes.get(*at)) {
            highest = highest.max(dep.change.max_op());
            if clock.len() < dep.clock.len() {
                clock.resize(dep.clock.len(), 0);
            }
            for (mine, theirs) in clock.iter_mut().zip(&dep.clock) {
                *mine = (*mine).max(*theirs);
            }
        }
        if change.start_op != highest + 1 {
            return Err(Refusal::OpNumbers);
        }
        let knows = |actor: &ActorId| {
            let share = self.logs.get(actor);
            share.is_some_and(|share| clock.get(share.index).is_some_and(|count| *count > 0))
        };
        if !change.other_actors.iter().all(knows) {
            return Err(Refusal::UnknownActor);
        }
        let ops = change.ops.as_ref().map_err(|why| Refusal::Shape(why))?;
        let maps = match self.maps {
            Some(maps) if !deps.is_empty() => maps,
            _ => founded(change, ops).map_err(Refusal::Shape)?,
        };
        let founding = deps.is_empty();
        let shape = Shape {
            graph: self,
            change,
            ops,
            clock: &clock,
            maps,
            founding,
        };
        let events = shape.check().map_err(Refusal::Shape)?;
        if self.is_over(share, change, events.len()) {
            return Err(Refusal::Full);
        }
        Ok(Admitted {
            deps,
            clock,
            maps: founding.then_some(maps),
            events,
        })
    }

    fn is_over(&self, share: Option<&Share>, change: &GuardedChange, events: usize) -> bool {
        let empty = Share::default();
        let share = share.unwrap_or(&empty);
        share.nodes.len() >= limits::RECORD_CHANGES_MAX
            || share.ops + change.cost() > limits::RECORD_OPS_MAX
            || share.bytes + change.bytes() > limits::RECORD_BYTES_MAX
            || share.events.len() + events > limits::RECORD_EVENTS_MAX
    }

    fn admit(&mut self, change: GuardedChange, admitted: Admitted) {
        let Admitted {
            deps,
            mut clock,
            maps,
            events,
        } = admitted;
        let at = self.nodes.len();
        let next = self.logs.len();
        self.maps = self.maps.or(maps);
        let fields = self.maps.map(|maps| Object::Made(maps.fields));
        let share = self.logs.entry(change.actor()).or_insert_with(|| Share {
            index: next,
            ..Share::default()
        });
        share.nodes.push(at);
        share.ops += change.cost();
        share.bytes += change.bytes();
        share.events.extend(events);
        let actor = change.actor();
        for (counter, op) in (change.start_op..).zip(change.ops.iter().flatten()) {
            for pred in &op.preds {
                self.replaced.entry(*pred).or_default().push(at);
            }
            let key = (op.object != Object::Root, op.key.clone());
            match op.action {
                Action::Put(_) if op.object == Object::Root || Some(op.object) == fields => {
                    share.last.insert(key, OpId { counter, actor });
                }
                Action::Delete if share.last.get(&key).is_some_and(|it| op.preds.contains(it)) => {
                    share.last.remove(&key);
                }
                Action::Put(_) | Action::MakeMap | Action::Delete => {}
            }
        }
        if clock.len() <= share.index {
            clock.resize(share.index + 1, 0);
        }
        if let Some(own) = clock.get_mut(share.index) {
            *own = u32::try_from(share.nodes.len()).unwrap_or(u32::MAX);
        }
        self.by_hash.insert(change.hash(), at);
        self.nodes.push(Node {
            change,
            deps,
            clock,
        });
    }

    /// Puts the changes into the one order that depends on them alone.
    fn order(&mut self) {
        if is_linear(&self.nodes) {
            return;
        }
        let mut open: Vec<usize> = self.nodes.iter().map(|node| node.deps.len()).collect();
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        let mut ready = BTreeSet::new();
        for (at, node) in self.nodes.iter().enumerate() {
            for dep in &node.deps {
                if let Some(list) = followers.get_mut(*dep) {
                    list.push(at);
                }
            }
            if node.deps.is_empty() {
                ready.insert((node.change.hash(), at));
            }
        }
        let mut places = vec![0; self.nodes.len()];
        let mut next = 0;
        while let Some((_, at)) = ready.pop_first() {
            if let Some(place) = places.get_mut(at) {
                *place = next;
            }
            next += 1;
            for follower in followers.get(at).into_iter().flatten() {
                let Some(left) = open.get_mut(*follower) else {
                    continue;
                };
                *left -= 1;
                if let Some(node) = self.nodes.get(*follower).filter(|_| *left == 0) {
                    ready.insert((node.change.hash(), *follower));
                }
            }
        }
        let place = |at: &usize| places.get(*at).copied().unwrap_or_default();
        let mut placed: Vec<_> = std::mem::take(&mut self.nodes)
            .into_iter()
            .enumerate()
            .collect();
        placed.sort_by_key(|(at, _)| place(at));
        for (_, node) in &mut placed {
            node.deps.iter_mut().for_each(|dep| *dep = place(dep));
        }
        self.nodes = placed.into_iter().map(|(_, node)| node).collect();
        for share in self.logs.values_mut() {
            share.nodes.iter_mut().for_each(|at| *at = place(at));
        }
        self.by_hash.values_mut().for_each(|at| *at = place(at));
        for replaced in self.replaced.values_mut() {
            replaced.iter_mut().for_each(|at| *at = place(at));
        }
    }
}

/// Whether each change knows all before it.
pub(super) fn is_linear(nodes: &[Node]) -> bool {
    let mut rest = nodes.iter().enumerate().skip(1);
    rest.all(|(index, node)| node.deps.contains(&(index - 1)))
}

/// The maps that a founding change makes; it makes each of the root's three keys once.
fn founded(change: &GuardedChange, ops: &[Op]) -> Result<Maps, Misshapen> {
    let made = |key: &str| {
        let mut made = (change.start_op..).zip(ops).filter(|(_, op)| {
            op.object == Object::Root && op.key == key && op.action == Action::MakeMap
        });
        let (counter, _) = made.next()?;
        let actor = change.actor();
        made.next().is_none().then_some(OpId { counter, actor })
    };
    let kinds = ops
        .iter()
        .filter(|op| op.object == Object::Root && op.key == KIND);
    if kinds.count() != 1 {
        return Err("a founding change without one kind");
    }
    match (made(FIELDS), made(EVENTS)) {
        (Some(fields), Some(events)) => Ok(Maps { fields, events }),
        _ => Err("a founding change without its two maps"),
    }
}

/// A change whose operations are held against the closed shape.
struct Shape<'a> {
    graph: &'a Graph,
    change: &'a GuardedChange,
    ops: &'a [Op],
    clock: &'a [u32],
    maps: Maps,
    founding: bool,
}

impl Shape<'_> {
    /// The keys of the events that it adds.
    fn check(&self) -> Result<Vec<String>, Misshapen> {
        let actor = self.change.actor();
        let mut events: BTreeMap<OpId, (&str, BTreeMap<&str, &Action>)> = BTreeMap::new();
        let mut put: BTreeSet<(bool, &str)> = BTreeSet::new();
        for (counter, op) in (self.change.start_op..).zip(self.ops) {
            match op.object {
                Object::Made(map) if map.counter >= counter => {
                    return Err("an object before it is made");
                }
                Object::Root => self.root(op, &mut put)?,
                Object::Made(map) if map == self.maps.fields => {
                    let twice = matches!(op.action, Action::Put(_)) && !put.insert((true, &op.key));
                    if op.action == Action::MakeMap || twice {
                        return Err("a field that is no scalar, or put twice");
                    }
                    self.replaces(op)?;
                }
                Object::Made(map) if map == self.maps.events => {
                    self.begins_event(op)?;
                    events.insert(OpId { counter, actor }, (&op.key, BTreeMap::new()));
                }
                Object::Made(map) => {
                    let (_, data) = events
                        .get_mut(&map)
                        .ok_or("an object that is not its own")?;
                    let plain = matches!(op.action, Action::Put(_)) && op.preds.is_empty();
                    if !plain || data.insert(&op.key, &op.action).is_some() {
                        return Err("a datum of an event that is not put once");
                    }
                }
            }
        }
        for (is_field, key) in &put {
            self.replaces_own(*is_field, key)?;
        }
        let mut keys = BTreeSet::new();
        for (key, data) in events.values() {
            let whole = matches!(data.get(EVENT), Some(Action::Put(Scalar::Str(_))))
                && matches!(data.get(AT), Some(Action::Put(Scalar::Int(_))))
                && matches!(data.get(BY), Some(Action::Put(Scalar::Str(_))));
            if !whole || !keys.insert((*key).to_owned()) {
                return Err("an event that is not whole, or there twice");
            }
        }
        Ok(keys.into_iter().collect())
    }

    fn root<'b>(&self, op: &'b Op, put: &mut BTreeSet<(bool, &'b str)>) -> Result<(), Misshapen> {
        match (op.key.as_str(), &op.action) {
            (BY, Action::Put(Scalar::Str(_))) if put.insert((false, BY)) => self.replaces(op),
            // To settle a conflict about the last writer, the values are deleted and one is put.
            (BY, Action::Delete) => self.replaces(op),
            (KIND, Action::Put(Scalar::Str(_))) | (FIELDS | EVENTS, Action::MakeMap)
                if self.founding && op.preds.is_empty() =>
            {
                Ok(())
            }
            _ => Err("a key of the root"),
        }
    }

    /// A delete names what it deletes, and everything that is replaced is a value at this key which the author had.
    fn replaces(&self, op: &Op) -> Result<(), Misshapen> {
        if op.action == Action::Delete && op.preds.is_empty() {
            return Err("a delete of nothing");
        }
        for pred in &op.preds {
            let known = self.graph.operation(pred);
            let found = known.and_then(|(at, replaced)| self.is_ancestor(at).then_some(replaced));
            let fits = found.is_some_and(|it| {
                it.object == op.object && it.key == op.key && matches!(it.action, Action::Put(_))
            });
            if !fits {
                return Err("a predecessor that is not a value at this key among the ancestors");
            }
        }
        Ok(())
    }

    /// A log has one value at a key: whoever puts another takes the place of his own, if nobody has done so. Otherwise
    /// one log could leave a thousand values that every later writer has to name.
    fn replaces_own(&self, is_field: bool, key: &str) -> Result<(), Misshapen> {
        let share = self.graph.logs.get(&self.change.actor());
        let last = share.and_then(|share| share.last.get(&(is_field, key.to_owned())));
        let Some(last) = last else { return Ok(()) };
        let replaced = self.graph.replaced.get(last).into_iter().flatten();
        let mut by_ancestor = replaced.filter(|at| self.is_ancestor(**at));
        let here = self.ops.iter().any(|op| op.preds.contains(last));
        if here || by_ancestor.next().is_some() {
            Ok(())
        } else {
            Err("a value beside another of the same log")
        }
    }

    /// Whether a change that counts is an ancestor: of one log these are its first changes.
    fn is_ancestor(&self, at: usize) -> bool {
        let Some(node) = self.graph.nodes.get(at) else {
            return false;
        };
        let share = self.graph.logs.get(&node.change.actor());
        let known = share.and_then(|share| self.clock.get(share.index).copied());
        known.is_some_and(|count| node.change.seq() <= u64::from(count))
    }

    fn begins_event(&self, op: &Op) -> Result<(), Misshapen> {
        let actor = self.change.actor();
        let share = self.graph.logs.get(&actor);
        let taken = share.is_some_and(|share| share.events.contains(&op.key));
        let own = op.key.starts_with(&event_prefix(&actor));
        if op.action == Action::MakeMap && op.preds.is_empty() && own && !taken {
            Ok(())
        } else {
            Err("an event under another's key, or one that is there")
        }
    }
}
