//! The base quantities of DOMAIN 12.2, each once: what is registered, accepted, a case, answered, solved, on time, overdue. Reports are
//! made of these.
//!
//! A group of opinions that were merged is one case, which is its main matter; what two offices merged into each other is the older one.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::log::RecordId;

use super::Tables;
use super::known::{Known, Row, Whose};
use super::set::{Period, Set, Split};
use crate::clock::{Beijing, day_number};

/// Statuses of an opinion whose answer stands.
pub const ANSWERED: [&str; 6] = [
    "answered", "informed", "rated", "parked", "closed", "archived",
];
/// The steps with which an opinion is answered, by a unit, along with its main matter or by its site.
const ANSWERS: [&str; 3] = ["approve", "answer_along", "answer_on_spot"];
/// Statuses of an opinion that a unit has and has not answered.
pub const IN_HAND: [&str; 4] = ["dispatched", "in_progress", "return_pending", "review"];
/// Statuses of a suggestion that was handed over and not answered.
pub const SUGGESTION_IN_HAND: [&str; 5] = [
    "handed_over",
    "in_handling",
    "returned",
    "extended",
    "rehandle",
];
/// Why a suggestion is none: everything but 可提.
const INADMISSIBLE: [&str; 6] = [
    "own_matter",
    "forwarded_complaint",
    "specific_case",
    "academic_or_ad",
    "no_content",
    "other",
];
/// How many merges lead from a matter to its main one at most.
const MERGES: usize = 32;

/// The base quantities over what is known.
#[derive(Debug)]
pub struct Base<'a> {
    /// What is known.
    pub known: &'a Known,
    /// The period that is asked for.
    pub period: Period,
    mains: OnceCell<BTreeMap<RecordId, RecordId>>,
    // What nearly every figure of opinions begins with, found once.
    registered: OnceCell<Set<'a>>,
    main_ones: OnceCell<Set<'a>>,
    settled: OnceCell<Split<'a, &'a str>>,
    received: OnceCell<BTreeSet<RecordId>>,
}

impl<'a> Base<'a> {
    /// Over a period.
    #[must_use]
    pub const fn new(known: &'a Known, period: Period) -> Self {
        Self {
            known,
            period,
            mains: OnceCell::new(),
            registered: OnceCell::new(),
            main_ones: OnceCell::new(),
            settled: OnceCell::new(),
            received: OnceCell::new(),
        }
    }

    /// All records of a kind, those taken out of registers too.
    #[must_use]
    pub fn all(&self, kind: &str) -> Set<'a> {
        Set(self.known.of(kind).collect(), self.known.reach(kind))
    }

    /// Disputes that came to this result in a period. What a step said last goes before a field that says otherwise.
    #[must_use]
    pub fn disputes(&self, result: &str, period: &Period) -> Set<'a> {
        let all = self.all("mediation").having("result", &[result]);
        all.that(|row| !is_unsettled(row)).during(period)
    }

    /// What stands in a register at the end of a period.
    #[must_use]
    pub fn listed(&self, kind: &str, period: &Period) -> Set<'a> {
        let all = self.all(kind).that(|row| !row.kind.is_gone(&row.status));
        // What has no day on which it began was there before, and what has none on which it ended is there.
        let begun = all.that(|row| row.counts_on().is_none_or(|day| *day <= *period.to));
        begun.that(|row| row.day("closed_on").is_none_or(|day| day > period.to))
    }

    /// Events that were confirmed, also those archived since, in a period.
    #[must_use]
    pub fn confirmed(&self, kind: &str, period: &Period) -> Set<'a> {
        self.all(kind).that(is_confirmed).during(period)
    }

    // -- opinions -------------------------------------------------------------------------------

    /// REC 登记件数: opinions that were registered, which happened in a period.
    #[must_use]
    pub fn registered(&self, period: &Period) -> Set<'a> {
        self.ever_registered().during(period)
    }

    fn ever_registered(&self) -> &Set<'a> {
        self.registered.get_or_init(|| {
            let all = self.all("opinion");
            all.that(|row| row.took("register"))
        })
    }

    /// ACC 受理件数: of these, those that were ever accepted.
    #[must_use]
    pub fn accepted(&self, period: &Period) -> Set<'a> {
        self.registered(period).that(|row| row.took("accept"))
    }

    /// CASE 合并后案件数: of these, one for each group of merged ones.
    #[must_use]
    pub fn cases(&self, accepted: &Set<'a>) -> Set<'a> {
        let mut seen = BTreeSet::new();
        let mut cases = Vec::new();
        for row in &accepted.0 {
            let main = self.main_of(row);
            if seen.insert(main) {
                let other = || self.known.row(&main).unwrap_or(row);
                cases.push(if main == row.id { row } else { other() });
            }
        }
        Set(cases, accepted.1)
    }

    /// CLO 办结件数: cases that are closed, by the day on which they were.
    #[must_use]
    pub fn closed(&self, period: &Period) -> Set<'a> {
        let closed = self.main_ones().at(&["closed", "archived"]);
        closed.that(|row| {
            row.last(&["close"])
                .is_some_and(|step| period.has(&step.day()))
        })
    }

    /// The slips of these cases: each matter by itself, but for what was withdrawn.
    #[must_use]
    pub fn slips(&self, cases: &Set<'a>) -> Set<'a> {
        let mains: BTreeSet<_> = cases.0.iter().map(|row| row.id).collect();
        let slips = self
            .ever_registered()
            .that(|row| mains.contains(&self.main_of(row)));
        slips.that(|row| !row.stands(&["withdrawn"]))
    }

    /// The matters that no other takes along: one a case.
    #[must_use]
    pub fn mains(&self) -> Set<'a> {
        self.main_ones().clone()
    }

    fn main_ones(&self) -> &Set<'a> {
        self.main_ones.get_or_init(|| {
            let all = self.ever_registered();
            all.that(|row| self.main_of(row) == row.id)
        })
    }

    /// Cases that may be solved, by what came of them: what was accepted and is not in somebody's hands; what was closed after an answer,
    /// such as one on the spot; and what the sub-district itself brought over with its result, from a hotline or from years before. What a
    /// site has only registered waits for somebody to judge it, whatever its fields say.
    fn settled(&self, resolution: &str) -> Set<'a> {
        let settled = self.settled.get_or_init(|| {
            let is_settled = |row: &Row| match row.took("accept") {
                true => row.stands(&ANSWERED) || row.stands(&["accepted"]),
                false => {
                    let answered = day_of(row, &ANSWERS).is_some();
                    let brought = row.stands(&["registered"]) && self.known.is_of_office(row);
                    (row.stands(&["closed", "archived"]) && answered) || brought
                }
            };
            let settled = self.main_ones().that(is_settled);
            settled.by(|row| row.text("resolution"))
        });
        settled.of(resolution)
    }

    /// The main matter of an opinion: itself, unless it was merged into another that is known.
    #[must_use]
    pub fn main_of(&self, row: &Row) -> RecordId {
        let mains = self.mains.get_or_init(|| self.follow_all());
        mains.get(&row.id).copied().unwrap_or(row.id)
    }

    fn follow_all(&self) -> BTreeMap<RecordId, RecordId> {
        let into = |row: &Row| self.known.named(row.text("merged_into")?, &["opinion"]);
        let next: BTreeMap<RecordId, RecordId> = self
            .known
            .of("opinion")
            .filter_map(|row| Some((row.id, into(row)?)))
            .collect();
        let follow = |from: &RecordId| {
            let mut way = vec![*from];
            for _ in 0..MERGES {
                let Some(to) = way.last().and_then(|last| next.get(last)) else {
                    break;
                };
                if let Some(begins) = way.iter().position(|it| it == to) {
                    // Merged into each other: the one that was founded first.
                    return way.iter().skip(begins).min().copied().unwrap_or(*from);
                }
                way.push(*to);
            }
            way.pop().unwrap_or(*from)
        };
        next.keys().map(|from| (*from, follow(from))).collect()
    }

    /// SOL 解决件数: cases that are solved, by the day on which they were. What is being handled (again), was refused or withdrawn, or waits to be
    /// accepted is not solved, whatever its fields say.
    #[must_use]
    pub fn solved(&self, period: &Period) -> Set<'a> {
        self.settled("solved").dated("solved_on", period)
    }

    /// Cases that were closed as partly solved, by the day on which they were closed.
    #[must_use]
    pub fn partly_solved(&self, period: &Period) -> Set<'a> {
        self.settled("partly").that(|row| {
            let day = row.day("solved_on").or_else(|| day_of(row, &["close"]));
            day.is_some_and(|day| period.has(&day))
        })
    }

    /// Of cases, those of which a matter came through a deputies' reception: the main one, or one that was merged into it.
    #[must_use]
    pub fn through_receptions(&self, cases: &Set<'a>) -> Set<'a> {
        let received = self.received.get_or_init(|| {
            let through = self.ever_registered().that(|row| {
                let event = row.text("source_event");
                row.text("channel") == Some("reception")
                    || event.is_some_and(|given| self.known.named(given, &["reception"]).is_some())
            });
            through.0.iter().map(|row| self.main_of(row)).collect()
        });
        cases.that(|row| received.contains(&self.main_of(row)))
    }

    /// The last known day of an asked cut-off: what is due is overdue after it.
    #[must_use]
    pub fn today(&self) -> String {
        Beijing::of(self.known.as_of_ms).iso_date()
    }

    // -- suggestions ----------------------------------------------------------------------------

    /// Suggestions that deputies have signed and that are admissible as far as is known, collected in a period; withdrawn ones too.
    #[must_use]
    pub fn collected(&self, period: &Period) -> Set<'a> {
        let signed = self.signed(period);
        signed.that(|row| !is_letter(row))
    }

    /// Those that stand apart: passed on as letters, or found inadmissible.
    #[must_use]
    pub fn inadmissible(&self, period: &Period) -> Set<'a> {
        self.signed(period).that(is_letter)
    }

    fn signed(&self, period: &Period) -> Set<'a> {
        let all = self.all("deputy_suggestion");
        all.that(|row| row.took("sign")).during(period)
    }

    /// Of suggestions, those that the district's committee has listed as key ones, decided in a period.
    #[must_use]
    pub fn key_ones(&self, suggestions: &Set<'a>, period: &Period) -> Set<'a> {
        let key = self.all("supervision").having("level", &["district_key"]);
        let decided = key.during(period);
        let targets: BTreeSet<_> = decided
            .0
            .iter()
            .filter_map(|row| {
                let given = row.text("target")?;
                self.known.named(given, &["deputy_suggestion"])
            })
            .collect();
        let key = suggestions.that(|row| targets.contains(&row.id));
        key.by_way_of(&decided)
    }

    // -- who and where --------------------------------------------------------------------------

    /// The deputies whom a record names in these fields. Names that the register does not have are nobody, unless there is no register.
    #[must_use]
    pub fn deputies(&self, row: &Row, fields: &[&str]) -> BTreeSet<Whose> {
        let has_register = self.known.of("deputy").next().is_some();
        let given = fields
            .iter()
            .flat_map(|key| row.items(key).chain(row.text(key)));
        let whose = given.map(|given| self.known.whose(given, &["deputy"]));
        whose
            .filter(|whose| matches!(whose, Whose::Record(_)) || !has_register)
            .collect()
    }

    /// Names of deputies in these records that the register does not have: footnoted, and counted nowhere.
    #[must_use]
    pub fn unmatched(&self, rows: &Set<'_>, fields: &[&str]) -> BTreeSet<String> {
        // Where there is no register, each name is somebody.
        if self.known.of("deputy").next().is_none() {
            return BTreeSet::new();
        }
        let given = rows.0.iter().flat_map(|row| {
            let fields = fields.iter();
            fields.flat_map(|key| row.items(key).chain(row.text(key)))
        });
        let names = given.filter(|given| self.known.named(given, &["deputy"]).is_none());
        names.map(str::to_owned).collect()
    }

    /// Whether an inspection was of enterprises, as far as the register says what its hosts are.
    #[must_use]
    pub fn is_of_enterprises(&self, row: &Row) -> bool {
        let hosts = row.items("host_orgs").map(|given| {
            let host = self.known.named(given, &["org"]);
            let host = host.and_then(|id| self.known.row(&id));
            host.and_then(|host| host.text("org_kind"))
        });
        let mut hosts = hosts.peekable();
        hosts.peek().is_none() || hosts.any(|kind| kind.is_none_or(|kind| kind == "enterprise"))
    }

    /// Whether something was done at a work station, as far as it is known what its site is.
    #[must_use]
    pub fn is_at_station(&self, row: &Row) -> bool {
        let Some(given) = row.text("site") else {
            return true;
        };
        let listed = self.known.named(given, &["site"]);
        let listed = listed.and_then(|id| self.known.row(&id)?.text("type"));
        let known = self.known.site_of(row).filter(|_| listed.is_none());
        listed.is_none_or(|kind| kind == "workstation") && known.is_none_or(|site| site.is_station)
    }

    /// A key by which the same organisation is the same in all records.
    #[must_use]
    pub fn organisation(&self, given: &str) -> String {
        match self.known.whose(given, &["org", "partner_org"]) {
            Whose::Record(id) => id.hyphenated(),
            Whose::Name(name) => name,
        }
    }
}

/// Whether an event was confirmed and not sent back since: what is archived may also have been cancelled.
#[must_use]
pub fn is_confirmed(row: &Row) -> bool {
    let last = row.last(&["confirm", "return"]);
    row.stands(&["confirmed", "archived"]) && last.is_some_and(|step| step.event == "confirm")
}

/// Whether the last step that ended a dispute was one that did not settle it.
#[must_use]
pub fn is_unsettled(row: &Row) -> bool {
    let last = row.last(&["agree", "fail", "refer"]);
    last.is_some_and(|step| step.event != "agree")
}

fn is_letter(row: &Row) -> bool {
    let admissibility = row.text("admissibility").unwrap_or("ok");
    row.took("as_letter") || INADMISSIBLE.contains(&admissibility)
}

/// The Beijing day of the first of these steps.
#[must_use]
pub fn day_of(row: &Row, events: &[&str]) -> Option<String> {
    let mut steps = row.steps.iter();
    let step = steps.find(|step| events.contains(&step.event.as_str()))?;
    Some(step.day())
}

/// Whole days from one day to another, the first not counted.
#[must_use]
pub fn days(from: &str, to: &str) -> Option<i64> {
    Some(day_number(to)? - day_number(from)?)
}

/// What is said of some lengths of time, in tenths of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many there are.
    pub n: i64,
    /// 平均.
    pub mean: i64,
    /// 中位数: of an even number the mean of the two in the middle.
    pub median: i64,
    /// 九成在此以内: the smallest that nine tenths do not exceed (nearest rank).
    pub p90: i64,
    /// 最长.
    pub max: i64,
}

impl Spread {
    /// Of days.
    #[must_use]
    pub fn of(mut days: Vec<i64>) -> Option<Self> {
        days.sort_unstable();
        let n = i64::try_from(days.len()).ok().filter(|n| *n > 0)?;
        let at = |place: i64| {
            let place = usize::try_from(place).unwrap_or_default();
            days.get(place).copied().unwrap_or_default()
        };
        let sum: i64 = days.iter().sum();
        Some(Self {
            n,
            // Rounded half up.
            mean: (sum * 20 + n).div_euclid(2 * n),
            median: (at((n - 1) / 2) + at(n / 2)) * 5,
            p90: at((9 * n + 9) / 10 - 1) * 10,
            max: at(n - 1) * 10,
        })
    }
}

/// How long something took over some records, in days, where that is known.
#[derive(Debug, Default)]
pub struct Times<'a> {
    /// The records over which it is known.
    pub sure: Set<'a>,
    /// What is said of their times; nothing where there are none.
    pub spread: Option<Spread>,
    /// Records that are left out because the clock that they were recorded by is doubted.
    pub doubted: usize,
    /// Records that are left out because what ends the time is dated before what begins it.
    pub reversed: usize,
}

impl<'a> Times<'a> {
    /// Measures them.
    #[must_use]
    pub fn of(set: &Set<'a>, took: impl Fn(&Row) -> Option<i64>) -> Self {
        let ended = set.that(|row| took(row).is_some());
        let known = ended.that(|row| !row.clock_is_suspect());
        let sure = known.that(|row| took(row).is_some_and(|days| days >= 0));
        Self {
            spread: Spread::of(sure.0.iter().filter_map(|row| took(row)).collect()),
            doubted: ended.len() - known.len(),
            reversed: known.len() - sure.len(),
            sure,
        }
    }

    /// Says under a report what was left out of its times, the most of several.
    pub(super) fn note(all: &[Self], out: &mut Tables) {
        let most = |left_out: fn(&Self) -> usize| {
            let most = all.iter().map(left_out).max();
            i64::try_from(most.unwrap_or_default()).unwrap_or(i64::MAX)
        };
        out.note("clock", most(|it| it.doubted), Vec::new());
        out.note("reversed", most(|it| it.reversed), Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_by_nearest_rank_and_rounded_half_up() {
        assert_eq!(Spread::of(Vec::new()), None);
        let one = Spread::of(vec![3]);
        let all = Spread {
            n: 1,
            mean: 30,
            median: 30,
            p90: 30,
            max: 30,
        };
        assert_eq!(one, Some(all));
        let ten = Spread::of((1..=10).rev().collect());
        let all = Spread {
            n: 10,
            mean: 55,
            median: 55,
            p90: 90,
            max: 100,
        };
        assert_eq!(ten, Some(all));
        // 1, 1, 2: 1.333… and 1.25 → 1.3
        assert_eq!(Spread::of(vec![1, 2, 1]).map(|it| it.mean), Some(13));
        assert_eq!(Spread::of(vec![1, 1, 1, 2]).map(|it| it.mean), Some(13));
    }

    #[test]
    fn days_are_counted_without_the_first() {
        assert_eq!(days("2026-03-01", "2026-03-01"), Some(0));
        assert_eq!(days("2026-02-28", "2026-03-01"), Some(1));
        assert_eq!(days("2026-03-02", "2026-03-01"), Some(-1));
        assert_eq!(days("2026-02-30", "2026-03-01"), None);
    }
}
