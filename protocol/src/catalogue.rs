//! Kinds of record as data: their fields, labels, limits, erasable parts, statuses and events.
//!
//! Owns the meaning of `catalogue/kinds/*.toml` and everything generic over it: loading and
//! checking the files (`load`), judging what was typed (`read`) and computing a record's status
//! from its events (`fold`). Must not know any single kind: a new kind is a new file. Must not
//! decide who holds which role, nor store anything. What a network publishes besides what is shipped goes through the same (`published`).
//!
//! Fields are addressed by flat keys: `place.community` for a nested field, `deputies/ID` for an
//! item of a set (present = `true`, which merges as an add-wins set). Nested JSON exists only at
//! the edge: [`Kind::read`] takes it in, [`Kind::nest`] gives it out.
//!
//! Invariants: a loaded [`Catalogue`] is consistent (every name it mentions exists, every status
//! can be reached, every erasable value is text, the parts of one save fit one entry, no field
//! asks for what must not be known, every kind that menus list is in one of their groups, no list
//! shows what can be erased); a value that passes `read` is one that the file allows; no
//! message repeats what was typed, because messages end up in logs.
//!
//! Rejected: one Rust type per kind. The compiler would check spelling, but forms, search, export
//! and reports would each repeat all forty-five kinds.

mod check;
mod fold;
mod load;
mod published;
mod read;
mod terms;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::deadline::Length;

pub use fold::{Folded, Outcome, Step, VoidReason};
pub use load::CatalogueError;
pub use published::{KIND_BYTES_MAX, KindFile, PUBLISHED_MAX};
pub use read::{Draft, NESTED_MAX, Refusal};
pub use terms::{
    Covers, ESTIMATED, ESTIMATED_DATES, Guard, Known, OPEN_UNDER, Rule, Rules, SetDate, Short,
    Terms, Unlikely, Until, set_dates,
};

/// The shipped files. A new kind is one more line here; people meet the kinds in this order.
const COMMON: &str = include_str!("catalogue/kinds/common.toml");
const KINDS: [&str; 52] = [
    include_str!("catalogue/kinds/opinion.toml"),
    include_str!("catalogue/kinds/legis_comment.toml"),
    include_str!("catalogue/kinds/reception.toml"),
    include_str!("catalogue/kinds/visit.toml"),
    include_str!("catalogue/kinds/service_request.toml"),
    include_str!("catalogue/kinds/service_activity.toml"),
    include_str!("catalogue/kinds/volunteer_shift.toml"),
    include_str!("catalogue/kinds/assignment.toml"),
    include_str!("catalogue/kinds/reply.toml"),
    include_str!("catalogue/kinds/deputy_suggestion.toml"),
    include_str!("catalogue/kinds/commitment.toml"),
    include_str!("catalogue/kinds/contact_record.toml"),
    include_str!("catalogue/kinds/supervision.toml"),
    include_str!("catalogue/kinds/meeting.toml"),
    include_str!("catalogue/kinds/theme_activity.toml"),
    include_str!("catalogue/kinds/theme_month.toml"),
    include_str!("catalogue/kinds/livestream.toml"),
    include_str!("catalogue/kinds/inspection.toml"),
    include_str!("catalogue/kinds/inspection_issue.toml"),
    include_str!("catalogue/kinds/training.toml"),
    include_str!("catalogue/kinds/donation.toml"),
    include_str!("catalogue/kinds/mediation.toml"),
    include_str!("catalogue/kinds/legis_consultation.toml"),
    include_str!("catalogue/kinds/draft_article.toml"),
    include_str!("catalogue/kinds/legis_item.toml"),
    include_str!("catalogue/kinds/legis_submission.toml"),
    include_str!("catalogue/kinds/site.toml"),
    include_str!("catalogue/kinds/site_investment.toml"),
    include_str!("catalogue/kinds/site_checklist.toml"),
    include_str!("catalogue/kinds/checklist_item.toml"),
    include_str!("catalogue/kinds/deputy.toml"),
    include_str!("catalogue/kinds/contact_link.toml"),
    include_str!("catalogue/kinds/contact_log.toml"),
    include_str!("catalogue/kinds/org.toml"),
    include_str!("catalogue/kinds/days_off.toml"),
    include_str!("catalogue/kinds/work_plan.toml"),
    include_str!("catalogue/kinds/own_term.toml"),
    include_str!("catalogue/kinds/result_class.toml"),
    include_str!("catalogue/kinds/community.toml"),
    include_str!("catalogue/kinds/register.toml"),
    include_str!("catalogue/kinds/service_unit.toml"),
    include_str!("catalogue/kinds/service_point.toml"),
    include_str!("catalogue/kinds/partner_org.toml"),
    include_str!("catalogue/kinds/volunteer_team.toml"),
    include_str!("catalogue/kinds/consent.toml"),
    include_str!("catalogue/kinds/privacy_request.toml"),
    include_str!("catalogue/kinds/access_log.toml"),
    include_str!("catalogue/kinds/campaign.toml"),
    include_str!("catalogue/kinds/report_snapshot.toml"),
    include_str!("catalogue/kinds/kept_page.toml"),
    include_str!("catalogue/kinds/office_form.toml"),
    include_str!("catalogue/kinds/kind_file.toml"),
];

/// All kinds of record that this release knows.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    kinds: BTreeMap<String, Kind>,
    /// Codes in the order of the files.
    order: Vec<String>,
    /// The files by code.
    files: BTreeMap<String, String>,
    groups: Vec<Group>,
}

impl Catalogue {
    /// The shipped catalogue, read and checked once; [`current`](Self::current) has what was published besides.
    ///
    /// A test proves that the shipped files load; were they broken all the same, the catalogue
    /// would be empty and every record would be refused rather than misread.
    #[must_use]
    pub fn standard() -> &'static Self {
        static STANDARD: LazyLock<Catalogue> =
            LazyLock::new(|| Catalogue::parse(COMMON, &KINDS).unwrap_or_default());
        &STANDARD
    }

    /// Reads the common file and the files of kinds and checks them against each other.
    ///
    /// # Errors
    /// The first thing that is wrong: see [`CatalogueError`].
    pub fn parse(common: &str, kinds: &[&str]) -> Result<Self, CatalogueError> {
        load::catalogue(common, kinds)
    }

    /// Judges a whole new record with what is nested in it as records of other kinds: the articles of a draft.
    /// A refusal there names the field, the place from 1 and the field within: `articles/2.path`.
    ///
    /// # Errors
    /// All refusals at once.
    pub fn read(&self, kind: &Kind, input: &Value) -> Result<Draft, Vec<Refusal>> {
        self.with_nested(kind, input, kind.read(input))
    }

    /// Judges a whole new record with what is nested in it or comes with it, as a form does: see [`Kind::read_form`].
    ///
    /// # Errors
    /// All refusals at once.
    pub fn read_form(&self, kind: &Kind, input: &Value) -> Result<Draft, Vec<Refusal>> {
        self.with_nested(kind, input, kind.read_form(input))
    }

    fn with_nested(
        &self,
        kind: &Kind,
        input: &Value,
        judged: Result<Draft, Vec<Refusal>>,
    ) -> Result<Draft, Vec<Refusal>> {
        let (mut draft, mut refusals) = match judged {
            Ok(draft) => (draft, Vec::new()),
            Err(refusals) => (Draft::default(), refusals),
        };
        for (gather, items) in kind.nested(input) {
            let Some(child) = self.kind(&gather.kind) else {
                continue;
            };
            for (place, item) in (1..).zip(&items) {
                match child.read_under(item, &gather.by, place) {
                    Ok(nested) => draft.nested.push((child.code.clone(), nested)),
                    Err(faults) => refusals.extend(faults.into_iter().map(|fault| Refusal {
                        field: format!("{}/{place}.{}", gather.shown_as(), fault.field),
                        ..fault
                    })),
                }
            }
        }
        if refusals.is_empty() {
            Ok(draft)
        } else {
            Err(refusals)
        }
    }

    /// The kind with this code (`opinion`).
    #[must_use]
    pub fn kind(&self, code: &str) -> Option<&Kind> {
        self.kinds.get(code)
    }

    /// All kinds, in the order in which people meet them.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.order.iter().filter_map(|code| self.kinds.get(code))
    }

    /// The files that the kinds were read from, by code.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter();
        files.map(|(code, text)| (code.as_str(), text.as_str()))
    }

    /// The file that they have in common.
    #[must_use]
    pub const fn common() -> &'static str {
        COMMON
    }

    /// Whether records of a kind go along with the ones that they belong to, whose steps take theirs: they are not waited for apart.
    #[must_use]
    pub fn goes_along(&self, kind: &Kind) -> bool {
        let moves = |other: &Kind| {
            let mut moves = other.transitions.iter().flat_map(|step| &step.moves);
            moves.any(|along| {
                along.kind == kind.code && along.by.is_none() && along.through.is_none()
            })
        };
        kind.parent.is_some() && self.kinds().any(moves)
    }

    /// The kind whose records first pages count.
    #[must_use]
    pub fn front(&self) -> Option<&Kind> {
        self.kinds().find(|kind| kind.front)
    }

    /// The groups under which menus list the kinds, in their order.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The fields of a kind in which names of a register stand: what they name has other names.
    pub fn naming<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = &'a Field> {
        let register = |code: &String| self.kind(code).is_some_and(|it| it.alias().is_some());
        kind.fields
            .iter()
            .filter(move |field| field.names().iter().any(register))
    }

    /// The kinds that menus list under this group, in the order in which people meet them.
    pub fn grouped<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Kind> {
        self.kinds()
            .filter(move |kind| kind.group.as_deref() == Some(group))
    }
}

/// Under what menus list some of the kinds: 代表活动.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Stable name: `event`.
    pub code: String,
    /// What people read.
    pub label: Label,
}

/// One kind of record, as its file declares it, with the common fields added.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Stable name: `opinion`.
    pub code: String,
    /// First group of its numbers, for numbered kinds: `YJ`.
    pub prefix: Option<String>,
    /// What people call it.
    pub label: Label,
    /// Which form of the file this is, from 1: it grows when fields are added or mean something else.
    pub version: u32,
    /// Code of the [`Group`] under which menus list it; a kind whose records belong to others has none.
    pub group: Option<String>,
    /// What is recorded as one, in a line; a kind whose records belong to others has none.
    pub about: Option<Label>,
    /// Its own fields in the order of the form, then the common ones.
    pub fields: Vec<Field>,
    /// Statuses in the order of the file; empty for kinds without a process.
    pub statuses: Vec<Status>,
    /// Marks that lie over any status, such as 封存.
    pub overlays: Vec<Choice>,
    /// What people follow of the process, in order; empty for kinds that nobody waits for.
    pub rungs: Vec<Rung>,
    /// Events and what they do to the status.
    pub transitions: Vec<Transition>,
    /// Status of a new record; `None` for kinds without a process.
    pub initial: Option<String>,
    /// How a new record is called, and who may make one.
    pub create: Creation,
    /// The event that registers a draft, upon which it gets its number.
    pub register_event: Option<String>,
    /// How a form for a new record is laid out; what is in no section comes by events or not at all.
    pub sections: Vec<Section>,
    /// Key of the text that names a record in lists.
    pub title: Option<String>,
    /// Key of the text that a missing title is taken from.
    pub title_from: Option<String>,
    /// Fields that name a record without a title: a date, a place.
    pub named_by: Vec<String>,
    /// Dates, months and times that decide in which period a report counts a record: the first that it has. Empty for
    /// kinds that are counted as they stand.
    pub counts_on: Vec<String>,
    /// Fields that together tell an import that a row is a record it brought before, or that somebody typed; empty where
    /// nothing does.
    pub found_by: Vec<String>,
    /// What lists show of a record besides its title, its status and its dates: [`COLUMNS_MAX`] at most, none of it
    /// erasable.
    pub columns: Vec<String>,
    /// Key of the text that a record is about, in somebody's own words.
    pub words: Option<String>,
    /// Key of the choice that says how urgent it is, from the usual, its default, to the most urgent.
    pub urgency: Option<String>,
    /// Key of the date by which it is to be done, and of the one by which a site is to have done its part.
    pub due: Option<String>,
    /// See [`Kind::due`].
    pub site_due: Option<String>,
    /// Key of the date on which what was due was done, where no status says so.
    pub met_by: Option<String>,
    /// Key of the field that names the matter over which whoever decided so watches: an open record of this kind is shown where that one
    /// waits.
    pub watches: Option<String>,
    /// Its records are what first pages count: those that came today, that wait for their first step, that somebody is to be told of.
    pub front: bool,
    /// Where its records live.
    pub home: Home,
    /// For a kind whose records belong to a record of another.
    pub parent: Option<Parent>,
    /// Kinds whose records refer to one of this kind, and are listed there.
    pub gathers: Vec<Gather>,
    /// The letter that tells what came of it, for kinds that somebody waits for.
    pub letter: Option<Letter>,
    /// What the form is called that an office prints of one of its records and keeps.
    pub paper: Option<Label>,
    /// What each of its records keeps from whom.
    pub veils: Option<Veils>,
    /// How one goes the way of another, for kinds of which the same is brought twice.
    pub follows: Option<Follows>,
    /// What a new record is marked with by how a record stands that it refers to.
    pub flags: Vec<Flag>,
    /// What a form for a new record starts with, field by field: a code of the field, `today`, or `site.` and the key of a
    /// field in the file of the site where it is filled in. What comes without a form has none of it.
    pub starts: BTreeMap<String, String>,
    /// Fields that the next record is begun with when one follows on another.
    pub again: Vec<String>,
    /// For the kind whose records say which days people work: its fields.
    pub calendar: Option<CalendarKeys>,
    /// For the kind whose records say how long there is for what: its fields.
    pub terms: Option<TermKeys>,
    /// Names that nobody may use for a field.
    forbidden: Vec<read::Forbidden>,
}

/// The fields of a kind whose records say how long there is by a rule, in the place of what the rule has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermKeys {
    /// Key of the choice of a [`Rule`]: its code in small letters.
    pub rule: String,
    /// Key of how many.
    pub number: String,
    /// Key of the choice of what: `days`, `working_days`, `months`.
    pub unit: String,
}

/// The fields of a kind whose records say which days of a year people work.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarKeys {
    /// Key of the year.
    pub year: String,
    /// Key of the set of days off.
    pub off: String,
    /// Key of the set of days at weekends on which people work.
    pub work: String,
    /// Key of the yes or no that says whether a period may end at an ordinary weekend of that year.
    pub weekends_stand: String,
}

impl Kind {
    /// The field with this flat key; for an item of a set (`deputies/ID`), the set.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&Field> {
        find(&self.fields, key)
    }

    /// The datum of a step with the day to which it moves a record, and the date that it changes.
    #[must_use]
    pub fn redated_by(&self, event: &str) -> Option<(&str, &Field)> {
        let datum = self.transition(event)?.redates.as_deref()?;
        let mut dates = self.counts_on.iter().filter_map(|key| self.field(key));
        let date = dates.find(|field| field.kind == FieldType::Date)?;
        Some((datum, date))
    }

    /// The fields that only forms newer than this one have.
    pub fn asked_since(&self, form: u32) -> impl Iterator<Item = &Field> {
        let newer = move |field: &&Field| field.since > form;
        self.fields.iter().filter(newer)
    }

    /// Names that no field may have, wherever one is typed.
    pub fn forbidden(&self) -> impl Iterator<Item = &str> {
        self.forbidden.iter().map(|it| it.name.as_str())
    }

    /// Whether people look for its words: nobody does in the pieces in which the program keeps what is long.
    #[must_use]
    pub const fn is_searched(&self) -> bool {
        !(self.create.by_program && self.parent.is_some())
    }

    /// Whether a record in this status was taken out of its register.
    #[must_use]
    pub fn is_gone(&self, status: &str) -> bool {
        self.status(status).is_some_and(|status| status.gone)
    }

    /// A field of its records, or of the data of one of its steps, by its flat key; an item of a set is of the set.
    #[must_use]
    pub fn field_or_datum(&self, key: &str) -> Option<&Field> {
        let key = key.split_once('/').map_or(key, |(set, _)| set);
        let data = || {
            let mut data = self.transitions.iter().flat_map(|step| &step.data);
            data.find(|datum| datum.key == key)
        };
        self.field(key).or_else(data)
    }

    /// The field with other names of its records, for kinds that are registers of names.
    #[must_use]
    pub fn alias(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.alias)
    }

    /// The fields that lists are filtered by.
    pub fn indexed(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.indexed)
    }

    /// What is nested in an input as records of other kinds, or comes with it although the input says nothing of them.
    fn nested<'a>(&'a self, input: &'a Value) -> impl Iterator<Item = (&'a Gather, Vec<Value>)> {
        self.gathers.iter().filter_map(move |gather| {
            let given = input.get(gather.field.as_ref()?);
            let items = match given.filter(|given| !given.is_null()) {
                Some(given) => given.as_array()?.clone(),
                None => gather
                    .starts
                    .iter()
                    .map(|it| serde_json::json!(it))
                    .collect(),
            };
            Some((gather, items))
        })
    }

    /// The status with this code, derived ones included.
    #[must_use]
    pub fn status(&self, code: &str) -> Option<&Status> {
        self.statuses.iter().find(|status| status.code == code)
    }

    /// What this event does, if the kind knows it.
    #[must_use]
    pub fn transition(&self, event: &str) -> Option<&Transition> {
        self.transitions
            .iter()
            .find(|transition| transition.event == event)
    }

    /// The events that `roles` may write on a day while a record has this folded status. `times` says how often each has applied
    /// to the record, `date` gives the dates that steps have set.
    pub fn offered<'a>(
        &'a self,
        (status, day): (&'a str, &'a str),
        roles: &'a BTreeSet<Role>,
        times: impl Fn(&str) -> usize + 'a,
        date: impl Fn(&str) -> Option<String> + 'a,
    ) -> impl Iterator<Item = &'a Transition> {
        self.transitions.iter().filter(move |transition| {
            let who = transition.open_on(times(&transition.event), &date, day);
            let possible = transition.applies_to(status) && !transition.is_early(&date, day);
            !transition.beside && possible && !who.is_disjoint(roles)
        })
    }

    /// Who corrects what a record in this folded status says; empty for everybody who corrects records of its kind.
    #[must_use]
    pub fn kept_by(&self, status: &str) -> &BTreeSet<Role> {
        static EVERYBODY: BTreeSet<Role> = BTreeSet::new();
        self.status(status).map_or(&EVERYBODY, |it| &it.kept_by)
    }

    /// The status to show for a folded one: what the hub has received is shown as waiting there,
    /// although no event says so.
    #[must_use]
    pub fn shown_status<'a>(&'a self, status: &'a str, at_hub: bool) -> &'a str {
        let derived = self
            .statuses
            .iter()
            .find(|s| s.stands_for.as_deref() == Some(status));
        derived
            .filter(|_| at_hub)
            .map_or(status, |derived| &derived.code)
    }

    /// The folded status of what has reached the hub and waits for its first step, if the kind has one.
    #[must_use]
    pub fn pending(&self) -> Option<&str> {
        self.statuses.iter().find_map(|s| s.stands_for.as_deref())
    }

    /// The step that says that what was due was done, where a date does and no status.
    #[must_use]
    pub fn met_step(&self) -> Option<&Transition> {
        let key = self.met_by.as_ref()?;
        let says = |step: &&Transition| step.data.iter().any(|it| it.required && it.key == *key);
        self.transitions.iter().find(says)
    }

    /// The status in which whoever brought a matter is to be told its answer, if the kind has one.
    #[must_use]
    pub fn to_tell(&self) -> Option<&Status> {
        let tells = |code: &str| {
            self.status(code)
                .is_some_and(|it| it.tells.as_deref() == Some("answered"))
        };
        self.statuses.iter().find(|status| {
            let next = status
                .next
                .as_ref()
                .and_then(|event| self.transition(event));
            let leads = next.and_then(|step| step.to.as_deref()).is_some_and(tells);
            leads && !tells(&status.code)
        })
    }

    /// Whether nobody has taken a first step on a record in this folded status.
    #[must_use]
    pub fn waits(&self, status: &str) -> bool {
        self.initial.as_deref() == Some(status) || self.pending() == Some(status)
    }

    /// Whether a record in this folded status still waits for someone's usual next step.
    #[must_use]
    pub fn is_open(&self, status: &str) -> bool {
        self.statuses.iter().any(|known| {
            known.next.is_some() && known.stands_for.as_ref().unwrap_or(&known.code) == status
        })
    }

    /// Whether what had to be done by a date is done in this folded status: nobody acts any more, or all that is left is to tell
    /// of it. Where a date says so instead, `held` tells whether the record has one.
    #[must_use]
    pub fn is_done(&self, status: &str, held: impl Fn(&str) -> bool) -> bool {
        if let Some(key) = &self.met_by {
            return held(key);
        }
        let tells = |code: &str| self.status(code).is_some_and(|it| it.tells.is_some());
        let next = self.status(status).and_then(|it| it.next.as_deref());
        let next = next.and_then(|event| self.transition(event)?.to.as_deref());
        tells(status) || !self.is_open(status) || next.is_some_and(tells)
    }

    /// Where what was chosen asks for what is not there, or leaves no room for what is: the field of the choice, and the refusal
    /// of the other field (`needed`, `excluded`); and where less time lies between two dates than there should ([`SHORT`]). `chosen` gives
    /// the code or date that a field has, `has` says whether it has anything.
    pub fn at_odds<'a>(
        &'a self,
        chosen: impl Fn(&Field) -> Option<String>,
        has: impl Fn(&Field) -> bool,
    ) -> Vec<(&'a Field, Refusal)> {
        let mut found = Vec::new();
        for field in &self.fields {
            let FieldType::Enum { options } = &field.kind else {
                continue;
            };
            let Some(code) = chosen(field) else { continue };
            let Some(option) = options.iter().find(|option| option.code == code) else {
                continue;
            };
            let keys = |keys: &'a [String]| keys.iter().filter_map(move |key| self.field(key));
            let missing = keys(&option.needs).filter(|other| !has(other));
            found.extend(missing.map(|other| (field, read::needed(other, field))));
            let too_much = keys(&option.excludes).filter(|other| has(other));
            found.extend(too_much.map(|other| (field, read::excluded(other, field))));
        }
        found.extend(self.too_short(&chosen));
        found
    }

    /// Where less time lies between two dates than there is to be, and a step would ask whether that is meant: the field of the last
    /// day, and its refusal (`short`), which nobody is held to.
    fn too_short(
        &self,
        value: impl Fn(&Field) -> Option<String>,
    ) -> impl Iterator<Item = (&Field, Refusal)> {
        let guards = self.transitions.iter().flat_map(|step| &step.guards);
        guards.filter_map(move |guard| {
            let short = guard.short.as_ref()?;
            let date = |key: &str| value(self.field(key)?);
            let field = self.field(&short.until)?;
            let refusal = short.holds(date).then(|| Refusal {
                field: field.key.clone(),
                code: SHORT,
                message: guard.label.en.clone(),
            });
            Some((field, refusal?))
        })
    }

    /// What of a new record is at odds with a choice in it.
    #[must_use]
    pub fn odds_in(&self, draft: &Draft) -> Vec<Refusal> {
        let fact = |field: &Field| draft.facts.get(&field.key)?.as_ref();
        let chosen = |field: &Field| fact(field)?.as_str().map(str::to_owned);
        let has = |field: &Field| {
            let mut texts = draft.texts.values();
            fact(field).is_some() || texts.any(|texts| texts.contains_key(&field.key))
        };
        let odds = self.at_odds(chosen, has).into_iter();
        odds.map(|(_, refusal)| refusal).collect()
    }

    /// The content of a record as nested JSON: `place.community` becomes `{"place": {…}}`, the
    /// items of a set an array.
    ///
    /// `texts` are the readable values of erasable fields. A fact under such a key is the digest
    /// of its part, not a value, and is left out. Keys the catalogue does not know are kept: they
    /// come from a newer release.
    #[must_use]
    pub fn nest(&self, facts: &Facts, texts: &BTreeMap<String, String>) -> Map<String, Value> {
        let mut root = Map::new();
        for (key, fact) in facts {
            let field = self.field(key);
            if let Some((set, item)) = key.split_once('/') {
                if *fact == Fact::Bool(true) {
                    push(
                        &mut root,
                        set,
                        read::item_json(field.map(|field| &field.kind), item),
                    );
                }
            } else if field.is_none_or(|field| field.retention.is_none()) {
                put(&mut root, key, fact.to_json());
            }
        }
        Self::nest_texts(&mut root, texts);
        root
    }

    /// Puts texts beside facts that were nested without them.
    pub fn nest_texts(root: &mut Map<String, Value>, texts: &BTreeMap<String, String>) {
        for (key, text) in texts {
            put(root, key, Value::from(text.as_str()));
        }
    }
}

/// Where the records of a kind live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Home {
    /// With the device that makes them: its site's space, or the hub's.
    #[default]
    Device,
    /// In the bulletin, which everyone reads.
    Bulletin,
    /// With the record that they belong to.
    Parent,
}

/// How a record of one kind belongs to a record of another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// The field that refers to it.
    pub field: String,
    /// Such records are numbered under the number of theirs: `…-71/Z1`.
    pub suffix: Option<String>,
    /// The field that keeps the order of those that came together.
    pub place: Option<String>,
}

/// A kind whose records refer to one of this kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gather {
    /// Its code.
    pub kind: String,
    /// The field by which they refer.
    pub by: String,
    /// Under which name they are nested in the JSON of this kind; they then come and go with it.
    pub field: Option<String>,
    /// Whether one is begun from the page of a record of this kind.
    #[serde(default)]
    pub adds: bool,
    /// What a record that is begun there starts with.
    #[serde(default)]
    pub sets: BTreeMap<String, String>,
    /// What it starts with of this record: its field to the field here.
    #[serde(default)]
    pub copies: BTreeMap<String, String>,
    /// For nested kinds: those that a new record comes with when it names none, each with what it holds. They can be changed
    /// and added to like any others.
    #[serde(default)]
    pub starts: Vec<BTreeMap<String, String>>,
    /// For kinds of which many are recorded here while people speak: how a line of the sheet is made up.
    pub lines: Option<Lines>,
    /// For kinds that sites are asked for: how many came from each is shown.
    pub by_site: Option<BySite>,
}

/// A sheet on which each line becomes a record of its own; what is not in a line is the same for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    /// Fields of a line, first the words. Left empty, a line takes what stands above all lines.
    pub fields: Vec<String>,
    /// The one among them that says who spoke.
    pub speaker: String,
    /// What a line with a speaker holds besides.
    #[serde(default)]
    pub speaker_sets: BTreeMap<String, String>,
}

/// How much each site was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BySite {
    /// Key of the set of sites that are asked; all of them if it is empty.
    pub asked: String,
    /// Key of the number that is asked of each.
    pub quota: String,
    /// Folded statuses of what does not count.
    #[serde(default)]
    pub unless: BTreeSet<String>,
}

impl Gather {
    /// The name in JSON.
    fn shown_as(&self) -> &str {
        self.field.as_ref().unwrap_or(&self.kind)
    }
}

/// A mark on a new record: set when the record it refers to stands in none of these statuses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    /// The yes-or-no field that is set.
    pub field: String,
    /// The field that refers.
    pub by: String,
    /// Folded statuses in which it is not.
    pub unless: BTreeSet<String>,
}

/// Records that a step makes, in the space of the one it is taken on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Make {
    /// Code of their kind, which belongs to this one.
    pub kind: String,
    /// The field that gets today's date.
    pub dated: Option<String>,
    /// One record for each thing named; without it, one.
    pub each: Option<Each>,
    /// Fields that refer to the first record of a kind that belongs to the same one and is still open.
    #[serde(default)]
    pub cites: BTreeMap<String, String>,
    /// For a kind that does not belong to this one: its field that names this one. It lives where its kind does, and none is made where
    /// one is that names this one and holds what this would always hold.
    pub names: Option<String>,
    /// What it holds always.
    #[serde(default)]
    pub sets: BTreeMap<String, String>,
    /// Their field to the datum of the step.
    #[serde(default)]
    pub copies: BTreeMap<String, String>,
}

/// One record for each thing that the data of a step name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// Data with one reference or several.
    pub data: Vec<String>,
    /// The field that gets the thing.
    pub item: String,
    /// The enum field that says which datum named it.
    pub name: String,
}

/// A step that is taken along on other records, if it is possible there, with what that step takes along in its turn: on those that
/// belong to the one where it is taken, or on those that it names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// Code of their kind.
    pub kind: String,
    /// The step.
    pub event: String,
    /// Key of the field by which this record names them; without it, and without [`Move::by`], they belong to this one.
    pub through: Option<String>,
    /// Key of their field by which they name this one.
    pub by: Option<String>,
    /// Their datum that gets the id of this record.
    pub names: Option<String>,
    /// The datum that gets today's date, unless it is copied.
    pub dated: Option<String>,
    /// Only on records whose field has one of these values.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, BTreeSet<String>>,
    /// What it carries always.
    #[serde(default)]
    pub sets: BTreeMap<String, String>,
    /// Its datum to the step here that was taken last of that name, and a datum of that.
    #[serde(default)]
    pub last: BTreeMap<String, (String, String)>,
    /// Its datum to the datum of the step here; goes over [`Move::last`].
    #[serde(default)]
    pub copies: BTreeMap<String, String>,
}

/// The letter in which whoever brought a matter is told what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// Its title, in Simplified Chinese.
    pub zh: String,
    /// The same in English.
    pub en: String,
    /// Key of the text that is answered.
    pub words: String,
    /// Key of the choice that says what came of it.
    pub result: String,
    /// Key of the text that says why; without it, the answer that a step gave.
    pub text: Option<String>,
}

/// How a record is put in the place of another, which then goes the other's way: the same matter, brought twice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follows {
    /// Key of the field that names the other.
    pub field: String,
    /// Statuses in which the other can take one up.
    pub into: BTreeSet<String>,
    /// Key of the count of people who brought it.
    pub heads: String,
}

/// What a record holds in the clear: flat key to value.
pub type Facts = BTreeMap<String, Fact>;

/// A value that is no personal datum and no free text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    /// A code of an enum, a reference, a date.
    Str(String),
    /// A count or an amount.
    Int(i64),
    /// Yes or no; `true` under the key of a set's item says that the item is in the set.
    Bool(bool),
}

impl Fact {
    /// The text of a [`Fact::Str`].
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The value as plain JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Str(text) => Value::from(text.as_str()),
            Self::Int(number) => Value::from(*number),
            Self::Bool(yes) => Value::from(*yes),
        }
    }
}

/// Retention class: erasable values are kept outside the record, one part per class per save, so
/// that each class can be deleted on its own term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retention {
    /// 当事人信息卡: who it was and how to reach them; goes first.
    Card,
    /// Free text: what was said and answered.
    Text,
}

impl Retention {
    /// `card` or `text`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Text => "text",
        }
    }
}

/// A name in the two languages of the product. Labels are data, wording of pages is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    /// Simplified Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl From<Length> for Label {
    fn from(length: Length) -> Self {
        let (number, zh, en) = match length {
            Length::Days(number) => (number, "天", "days"),
            Length::WorkingDays(number) => (number, "个工作日", "working days"),
            Length::Months(number) => (number, "个月", "months"),
        };
        Self {
            zh: format!("{number} {zh}"),
            en: format!("{number} {en}"),
        }
    }
}

/// One of the values of an enum field, or an overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Stable name, as stored.
    pub code: String,
    /// What people read.
    pub label: Label,
    /// Keys of the fields that a record with this value cannot do without.
    pub needs: Vec<String>,
    /// Keys of the fields that a record with this value has nothing in.
    pub excludes: Vec<String>,
    /// What of a record with this value, or overlay, is kept from whom.
    pub veils: Option<Veils>,
}

/// What of a record is kept from people at devices that hold it (DOMAIN §0.9). It decides what pages and commands show: whoever
/// has the store and its key has the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Veils {
    /// 保密: cards and texts are shown to the account that registered it and to the sub-district.
    Words,
    /// 封存: number and state alone are shown until two people open it.
    All,
}

/// Code of a [`Refusal`] of which people are told, and to which nobody is held: see [`Kind::at_odds`].
pub const SHORT: &str = "short";

/// Most fields that a list shows of a kind besides what it shows of every kind: more do not fit a screen or a sheet.
pub const COLUMNS_MAX: usize = 4;

/// Longest value that lists are filtered by, in characters: a row of the index has each value whole.
pub const INDEXED_CHARS: usize = 64;

/// A field of a record, or a datum of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Flat key: `category`, `place.community`.
    pub key: String,
    /// What people read beside it.
    pub label: Label,
    /// What helps to fill it in.
    pub hint: Option<Label>,
    /// What it holds.
    pub kind: FieldType,
    /// For erasable values (marked † in the domain): the part they go to.
    pub retention: Option<Retention>,
    /// A new record, or the event, cannot do without.
    pub required: bool,
    /// Cannot do without, when another field says so.
    pub required_when: Option<Condition>,
    /// Taken when a new record leaves it out.
    pub default: Option<Fact>,
    /// Computed, or set by events; never typed in.
    pub read_only: bool,
    /// Stays as a new record has it: somebody's own words.
    pub fixed: bool,
    /// Lists are filtered by it: its values are kept in an index. Never erasable, and no more than
    /// [`INDEXED_CHARS`] long.
    pub indexed: bool,
    /// A text that is a number, such as one to telephone: stored as [`plain`](crate::text::plain) has it.
    pub plain: bool,
    /// Whoever types a text here is shown the records that have the same.
    pub likened: bool,
    /// A text that is shown whole only to whoever says why: a number to telephone.
    pub masked: bool,
    /// Where it is a yes or no: what a yes keeps from whom.
    pub veils: Option<Veils>,
    /// A name that is the code of a [`Rule`].
    pub rule: bool,
    /// Other names of the record itself: whoever refers by one of them means it.
    pub alias: bool,
    /// The [version](Kind::version) of the form that asks for it first: a record made by an older one may lack it.
    pub since: u32,
    /// A name of an account of the device on which it is typed, which is kept as the account's id: another than that of whoever types
    /// it, who may take the same step.
    pub account: bool,
    /// Who may take the steps that set it, where no form asks for it: they correct it, and nobody else does. Empty for what is typed.
    pub set_by: BTreeSet<Role>,
}

impl Field {
    /// The kinds of record that this field, or an item of it, may name.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match &self.kind {
            FieldType::Ref { to, .. } => to,
            FieldType::Set { of, .. } => match &**of {
                FieldType::Ref { to, .. } => to,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// What may be chosen in it, in the order of the form; nothing where it is no choice.
    #[must_use]
    pub fn options(&self) -> &[Choice] {
        match &self.kind {
            FieldType::Enum { options } => options,
            _ => &[],
        }
    }

    /// A value that was typed into this field as it is stored, if it is one.
    #[must_use]
    pub fn written(&self, typed: &str) -> Option<String> {
        read::written(self, typed)
    }

    /// Whether a stored fact belongs to this field under this flat key: its value, or an item if it is a set.
    #[must_use]
    pub fn holds(&self, key: &str, fact: &Fact) -> bool {
        match key.split_once('/') {
            None => self.accepts(fact),
            Some((_, item)) => *fact == Fact::Bool(true) && read::fits_item(&self.kind, item),
        }
    }

    /// Whether a stored fact is a value of this field. Foreign records may hold anything.
    #[must_use]
    pub fn accepts(&self, fact: &Fact) -> bool {
        read::fits(&self.kind, fact)
    }
}

/// What a field holds. Lengths count Unicode scalar values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Free text, with line breaks and tabs; always erasable.
    Text {
        /// Longest text.
        max_chars: usize,
    },
    /// Names something: a record by its id or number, or a thing by its name. One line; spaces around it do not
    /// count. It is kept as it was given and looked up when it is shown: what it names may arrive later.
    Ref {
        /// Longest reference.
        max_chars: usize,
        /// Kinds of record it may name; without any it is a name.
        to: Vec<String>,
    },
    /// One of a list of codes.
    Enum {
        /// The codes, in the order of the form.
        options: Vec<Choice>,
    },
    /// A whole number.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Yes or no.
    Bool,
    /// `2026-03-14`, years 1900 to 2199.
    Date,
    /// `2026-03`.
    Month,
    /// RFC 3339 with its offset; as in HTML, the seconds may be left out.
    Time,
    /// `09:30`, a time of day.
    Clock,
    /// A number in another system, only as an item of a set: `{system, no, date}` in JSON,
    /// `system|no|date` in the key.
    ExternalRef,
    /// Several different values, without order.
    Set {
        /// What an item is: a reference, an enum, a date or an external reference.
        of: Box<Self>,
        /// Most items in one save.
        max_items: usize,
    },
    /// Kept by another part of the product; only for read-only fields.
    Opaque,
}

/// When a field is required: the other field has one of these values.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Key of the other field.
    pub field: String,
    /// Its values; empty means any.
    #[serde(default)]
    pub is: Vec<String>,
}

/// A status a record can be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Stable name, as stored.
    pub code: String,
    /// What people read.
    pub label: Label,
    /// For a status that no event leads to: the folded status it is a view of.
    pub stands_for: Option<String>,
    /// What it tells whoever brought the matter: `answered` or `refused`, if either.
    pub tells: Option<String>,
    /// The event that usually leads on from here: what waits for whom is listed by it.
    pub next: Option<String>,
    /// Key of the date from which on it waits for that event; at once if there is none.
    pub next_on: Option<String>,
    /// Key of the date by which that event should have come.
    pub by: Option<String>,
    /// It was taken out of a register by mistake or for good: lists leave it out, and no name means it.
    pub gone: bool,
    /// Who corrects what a record in this status says; empty for everybody who corrects records of its kind.
    pub kept_by: BTreeSet<Role>,
}

/// A stage of the process as those who wait for it know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// What people read.
    pub label: Label,
    /// The events of which any one reaches it.
    pub by: BTreeSet<String>,
}

/// A group of fields on the form for a new record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Stable name, for anchors.
    pub code: String,
    /// What people read above it.
    pub label: Label,
    /// Whether the form shows only its heading at first.
    pub folded: bool,
    /// Keys of its fields, in order.
    pub fields: Vec<String>,
    /// Those of them that stand together, apart from the others: they follow from what was chosen before.
    pub inset: Vec<String>,
}

/// How a new record of a kind is called, and who may make one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creation {
    /// What people read: 登记草稿.
    pub label: Label,
    /// Who may; empty means everyone with a device.
    pub who: BTreeSet<Role>,
    /// The program makes them: no input is read as a new one or as a change of one, so no page offers it and no command
    /// takes it.
    pub by_program: bool,
    /// The dates that a new one has by a rule.
    pub dates: Vec<SetDate>,
}

/// What an event does to the status, who may write it and what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Stable name of the event.
    pub event: String,
    /// What people read on the button.
    pub label: Label,
    /// Statuses it is possible in, derived ones replaced by what they stand for; empty means any.
    pub from: BTreeSet<String>,
    /// The status it leads to; `None` leaves the status alone.
    pub to: Option<String>,
    /// The overlay it sets.
    pub overlay: Option<String>,
    /// The overlay it takes away.
    pub lifts: Option<String>,
    /// What of it cannot be undone: whoever takes it is asked first.
    pub grave: Option<Label>,
    /// It is written along with something else and never offered by itself.
    pub beside: bool,
    /// What it says comes from elsewhere as a table, for many records at once; one of its data that it cannot do without is a field,
    /// which tells whether it was taken.
    pub tabled: bool,
    /// The dates that it sets.
    pub dates: Vec<SetDate>,
    /// Until when it is possible for everybody who may write it.
    pub until: Option<Until>,
    /// The datum with the day to which it moves the record: the first date that its kind counts on becomes that one.
    pub redates: Option<String>,
    /// Key of the date before which it is not possible: a field that an earlier step has set.
    pub not_before: Option<String>,
    /// It says that what is recorded took place, so that the day on which its kind counts it has come.
    pub took_place: bool,
    /// Dates that it carries and that have come by the day on which it is taken. As with [`took_place`](Self::took_place), whoever takes
    /// it is asked where they have not, and held to nothing: the clock may be what is wrong.
    pub past: Vec<String>,
    /// Dates that it carries, each with the key of one that the record has and that it rarely lies before: whoever takes it is asked.
    pub rarely_before: BTreeMap<String, String>,
    /// What must hold for it besides.
    pub guards: Vec<Guard>,
    /// Whoever takes it is asked first, if a name in the record is that of no record of a register.
    pub matched: bool,
    /// What is often written in its text.
    pub phrases: Vec<Label>,
    /// Who may write it, as long as [`rounds`](Self::rounds) says nothing else.
    pub who: BTreeSet<Role>,
    /// Order among concurrent events, lowest first.
    pub rank: u16,
    /// How often it may happen to one record before others must decide.
    pub rounds: Option<Rounds>,
    /// What it carries. A datum with the key of a field sets that field while the event applies; the items of a set are added
    /// to those that are there. What a datum is without being given stands in its `default`.
    pub data: Vec<Field>,
    /// Keys of `data` of which exactly one must be given; empty means no such rule.
    pub one_of: Vec<String>,
    /// Data that are the same as another when nothing else is given: the datum to the other.
    pub follows: BTreeMap<String, String>,
    /// Dates that it carries, each with the key of one that the record has and that it does not lie before. Whoever writes the step
    /// is held to it; what was written counts.
    pub after: BTreeMap<String, String>,
    /// Key of the datum that names the site of the network to which it passes the record on: one that is there, and another.
    pub to_site: Option<String>,
    /// Fields set by earlier events that are unset; of a set, all its items.
    pub clears: Vec<String>,
    /// Records that it makes.
    pub makes: Option<Make>,
    /// Steps that it takes along elsewhere.
    pub moves: Vec<Move>,
}

impl Transition {
    /// Whether the event is possible in this folded status.
    #[must_use]
    pub fn applies_to(&self, status: &str) -> bool {
        self.from.is_empty() || self.from.contains(status)
    }

    /// Who may write the event after it has applied so many times.
    #[must_use]
    pub fn open_to(&self, times: usize) -> &BTreeSet<Role> {
        match &self.rounds {
            Some(rounds) if times >= rounds.max => &rounds.then,
            _ => &self.who,
        }
    }
}

/// A bound on repetition: after `max` times only `then` may write the event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// How often those named by the transition may.
    pub max: usize,
    /// Who may afterwards.
    pub then: BTreeSet<Role>,
}

/// In which role a person acts, or for whom: a clerk also for the resident at the desk. What a device may do is said by roles
/// as well: it acts for several. Files and events use the letters of the domain's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// 站点工作人员.
    #[serde(rename = "C")]
    Clerk,
    /// 人大代表.
    #[serde(rename = "D")]
    Deputy,
    /// 街道人大工委工作人员.
    #[serde(rename = "H")]
    Hub,
    /// 审核人员.
    #[serde(rename = "S")]
    Supervisor,
    /// 承办单位.
    #[serde(rename = "U")]
    Unit,
    /// 隐私管理员.
    #[serde(rename = "P")]
    Privacy,
    /// 居民, through a clerk or with a query code.
    #[serde(rename = "R")]
    Resident,
}

impl Role {
    /// Every role, in the order of the domain's table.
    pub const ALL: [Self; 7] = [
        Self::Clerk,
        Self::Deputy,
        Self::Hub,
        Self::Supervisor,
        Self::Unit,
        Self::Privacy,
        Self::Resident,
    ];

    /// Its letter: `C`.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Clerk => "C",
            Self::Deputy => "D",
            Self::Hub => "H",
            Self::Supervisor => "S",
            Self::Unit => "U",
            Self::Privacy => "P",
            Self::Resident => "R",
        }
    }

    /// The role with this letter.
    #[must_use]
    pub fn of(letter: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.letter() == letter)
    }

    /// What people read.
    #[must_use]
    pub fn label(self) -> Label {
        let (zh, en) = match self {
            Self::Clerk => ("站点工作人员", "Clerk"),
            Self::Deputy => ("人大代表", "Deputy"),
            Self::Hub => ("街道人大工委", "Sub-district committee"),
            Self::Supervisor => ("审核人员", "Supervisor"),
            Self::Unit => ("承办单位", "Handling unit"),
            Self::Privacy => ("隐私管理员", "Privacy officer"),
            Self::Resident => ("居民", "Resident"),
        };
        Label {
            zh: zh.to_owned(),
            en: en.to_owned(),
        }
    }
}

/// Key of an event's data that says in which [`Role`] it was taken, by its letter. A claim of the device, as the account is:
/// whether the event counts is decided by what the device may do. No field and no datum has this key.
pub const TAKEN_AS: &str = "as";

/// Key of the field that says by which form a record is whole; the first where it says nothing.
pub const FORM_VERSION: &str = "form_version";

fn find<'a>(fields: &'a [Field], key: &str) -> Option<&'a Field> {
    let key = key.split_once('/').map_or(key, |(set, _)| set);
    fields.iter().find(|field| field.key == key)
}

/// The place of a key in nested JSON, made on the way. One level of nesting is all there is, so a
/// foreign key with a thousand dots builds no tower. A group wins over a value in its place.
fn slot<'a>(root: &'a mut Map<String, Value>, key: &str) -> &'a mut Value {
    let (head, rest) = key
        .split_once('.')
        .map_or((key, None), |(head, rest)| (head, Some(rest)));
    let place = root.entry(head).or_insert(Value::Null);
    let Some(rest) = rest else { return place };
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    match place {
        Value::Object(group) => group.entry(rest).or_insert(Value::Null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            place
        }
    }
}

fn put(root: &mut Map<String, Value>, key: &str, value: Value) {
    let place = slot(root, key);
    if !place.is_object() {
        *place = value;
    }
}

fn push(root: &mut Map<String, Value>, key: &str, item: Value) {
    let place = slot(root, key);
    match place {
        Value::Array(items) => items.push(item),
        Value::Object(_) => {}
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            *place = Value::Array(vec![item]);
        }
    }
}

#[cfg(test)]
mod tests;
