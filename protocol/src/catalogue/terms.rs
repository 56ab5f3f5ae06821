//! Terms of steps: the dates that a step sets by a rule, until when and from when on it is possible, and what must hold besides.
//!
//! A date is computed once, at the step that starts it, and stands in the record from then on. So a step that is bound to one is
//! judged against a day that an earlier step wrote, and no device that folds the record needs the table of days off of the one that
//! took it. What a step is bound to besides (`guard`) is judged by whoever takes it, against the record as it stands there. It is not
//! judged in the fold: fields change, and a later change must undo no step that had its effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::civil::Date;
use serde::Deserialize;

use super::read::fits;
use super::{Draft, Fact, Field, FieldType, Kind, Label, Refusal, Role, Transition};
use crate::deadline::{Calendar, Due, Length};

/// How long there is for something, and where that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its code in the domain's table: `D4`.
    pub code: String,
    /// What it is called.
    pub label: Label,
    /// How long.
    pub length: Length,
    /// The statute, or whose rule it is.
    pub source: Label,
}

/// The rules that hold somewhere.
#[derive(Clone, Debug, Default)]
pub struct Rules(BTreeMap<String, Rule>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<RuleEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    code: String,
    length: Length,
    zh: String,
    en: String,
    source: Label,
}

impl Rules {
    /// The rules of this release.
    #[must_use]
    pub fn standard() -> &'static Self {
        static STANDARD: LazyLock<Rules> = LazyLock::new(|| {
            // Read by a test of this module.
            Rules::parse(include_str!("rules.toml")).unwrap_or_default()
        });
        &STANDARD
    }

    /// Reads a table of rules.
    ///
    /// # Errors
    /// It is not TOML of the expected form.
    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let file: File = toml::from_str(text)?;
        let rules = file.rule.into_iter().map(|entry| {
            let RuleEntry {
                code,
                length,
                zh,
                en,
                source,
            } = entry;
            let label = Label { zh, en };
            let rule = Rule {
                code: code.clone(),
                label,
                length,
                source,
            };
            (code, rule)
        });
        Ok(Self(rules.collect()))
    }

    /// Sets the length that holds for a rule here. A code that is no rule's changes nothing.
    pub fn set(&mut self, code: &str, length: Length) {
        if let Some(rule) = self.0.get_mut(code) {
            rule.length = length;
        }
    }

    /// The rule with this code.
    #[must_use]
    pub fn get(&self, code: &str) -> Option<&Rule> {
        self.0.get(code)
    }

    /// All codes.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Stands behind the code of a rule where days off had to be guessed.
pub const ESTIMATED: &str = "-est";

/// Key of the set of dates of a record for which days off had to be guessed, where nothing else says so.
pub const ESTIMATED_DATES: &str = "estimated";

/// What a date is computed from besides what is given with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// The value of a field.
    Value(&'a str),
    /// The day on which a step last had its effect: `2026-03-14`, in Beijing.
    DayOf(&'a str),
}

/// A date that a step sets, or that a new record has, unless somebody sets another. Where several set one field, the first whose
/// conditions hold does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetDate {
    /// Its key: a datum of the step.
    pub field: String,
    /// Code of the rule that says how long there is.
    pub rule: String,
    /// Key of the date on which the period begins: a datum of the step, or else a field of the record. The day of the step if there
    /// is none.
    pub from: Option<String>,
    /// The step on whose day the period begins: the last time that it had its effect. The day of this one if it never had.
    pub since: Option<String>,
    /// Only where each of these has one of these values: a datum of the step, or else a field of the record.
    #[serde(default)]
    pub when: BTreeMap<String, BTreeSet<String>>,
    /// Key of the datum that gets the code of the rule, where the day is the rule's.
    pub named_in: Option<String>,
    /// Nobody sets another.
    #[serde(default)]
    pub fixed: bool,
    /// Nobody sets a later one; an earlier one is by the rule as well.
    #[serde(default)]
    pub most: bool,
}

impl SetDate {
    /// Whether its conditions hold, with what is known of the values that they name.
    #[must_use]
    pub fn holds(&self, known: impl Fn(&str) -> Option<String>) -> bool {
        let one_of = |(key, values): (&String, &BTreeSet<String>)| {
            known(key).is_some_and(|value| values.contains(&value))
        };
        self.when.iter().all(one_of)
    }

    /// The day by the rule, with what is known. `today` is a day as fields hold it.
    #[must_use]
    pub fn due(
        &self,
        today: &str,
        known: impl Fn(Known<'_>) -> Option<String>,
        terms: &Terms,
    ) -> Option<Due> {
        let from = self.from.as_deref().map(Known::Value);
        let from = from.or_else(|| self.since.as_deref().map(Known::DayOf));
        let from = from.and_then(|from| known(from)?.parse().ok());
        let from: Date = from.or_else(|| today.parse().ok())?;
        let rule = terms.rules.get(&self.rule)?;
        Some(terms.calendar.due(from, rule.length, &[]))
    }
}

/// Sets dates that nobody has set, says by which rule, and where days off had to be guessed. A day that is given
/// and is that of the rule, or of the one without conditions, counts as not given. `known` gives what the record has.
///
/// # Errors
/// A period that ends outside the years that a date has room for, which would not be kept; a day later than a rule leaves time for
/// (`too_late`). The draft is not to be used then.
pub fn set_dates(
    dates: &[SetDate],
    draft: &mut Draft,
    today: &str,
    known: impl Fn(Known<'_>) -> Option<String>,
    terms: &Terms,
) -> Result<(), Refusal> {
    let mut done = BTreeSet::new();
    for date in dates {
        let given = |key: &str| Some(draft.facts.get(key)?.as_ref()?.as_str()?.to_owned());
        let value = |key: &str| given(key).or_else(|| known(Known::Value(key)));
        if done.contains(&date.field) || !date.holds(value) {
            continue;
        }
        done.insert(&date.field);
        let all = |asked: Known<'_>| match asked {
            Known::Value(key) => value(key),
            Known::DayOf(_) => known(asked),
        };
        let Some(due) = date.due(today, all, terms) else {
            continue;
        };
        let day = due.to_string();
        // A form begins with the day of the rule that asks for nothing: left as it is, it is nobody's own.
        let is_rules = |given: &str| {
            let rules = dates.iter().filter(|it| it.field == date.field);
            let rules = rules.filter(|it| it.when.is_empty() || *it == date);
            let mut days = rules.filter_map(|it| it.due(today, all, terms));
            days.any(|due| due.to_string() == given)
        };
        let own = given(&date.field).filter(|given| !is_rules(given));
        if own.as_ref().is_some_and(|own| date.most && *own > day) {
            return Err(Refusal {
                field: date.field.clone(),
                code: "too_late",
                message: format!("rule {} leaves no more time than until {day}", date.rule),
            });
        }
        if own.is_some() && !date.most {
            continue;
        }
        let day = own.unwrap_or(day);
        if !fits(&FieldType::Date, &Fact::Str(day.clone())) {
            return Err(Refusal {
                field: date.from.as_ref().unwrap_or(&date.field).clone(),
                code: "bad_date",
                message: "the period ends before 1900 or after 2199".to_owned(),
            });
        }
        let facts = &mut draft.facts;
        facts.insert(date.field.clone(), Some(Fact::Str(day)));
        match &date.named_in {
            Some(key) => {
                let estimated = if due.estimated { ESTIMATED } else { "" };
                let rule = format!("{}{estimated}", date.rule);
                facts.insert(key.clone(), Some(Fact::Str(rule)));
            }
            None if due.estimated => {
                let key = format!("{ESTIMATED_DATES}/{}", date.field);
                facts.insert(key, Some(Fact::Bool(true)));
            }
            None => {}
        }
    }
    Ok(())
}

/// Why a date is doubted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlikely<'a> {
    /// The date under this key is still ahead.
    Ahead(&'a str),
    /// The date under the first key lies before the record's under the second.
    Before(&'a str, &'a str),
}

impl Kind {
    /// A date that makes it doubtful whether a step is meant on a day: one that is still ahead, or lies before one that it should come
    /// after. `given` has what the step carries, `held` what the record has.
    pub fn unlikely<'a>(
        &'a self,
        step: &'a Transition,
        given: impl Fn(&str) -> Option<String>,
        held: impl Fn(&str) -> Option<String>,
        day: &str,
    ) -> Option<Unlikely<'a>> {
        // Dates and times of this form sort as they follow.
        let is_ahead = |date: &str| date.get(..day.len()).unwrap_or(date) > day;
        let carried = step
            .past
            .iter()
            .find(|key| given(key).is_some_and(|it| is_ahead(&it)));
        if let Some(key) = carried {
            return Some(Unlikely::Ahead(key));
        }
        let before = step.rarely_before.iter().find(|(key, other)| {
            let both = given(key).zip(held(other));
            both.is_some_and(|(date, other)| date < other)
        });
        if let Some((key, other)) = before {
            return Some(Unlikely::Before(key, other));
        }
        // The day to which the step moves the record goes over the one that it has.
        let moved_to = step.redates.as_ref().filter(|key| given(key).is_some());
        let counts = self.counts_on.iter().find(|key| held(key).is_some());
        let took_place = counts.filter(|_| step.took_place && moved_to.is_none());
        let ahead = took_place.filter(|key| held(key).is_some_and(|it| is_ahead(&it)));
        ahead.map(|key| Unlikely::Ahead(key))
    }

    /// Whether a field is a date that a rule gives, or says by which rule.
    #[must_use]
    pub fn is_term(&self, key: &str) -> bool {
        self.transitions.iter().any(|step| {
            let mut dates = step.dates.iter();
            let named = |date: &SetDate| date.field == key || date.named_in.as_deref() == Some(key);
            dates.any(named) || step.follows.contains_key(key)
        })
    }

    /// The dates that move along where an edit corrects the day from which a rule counts them, with the rule: those that stand as the rule
    /// gave them. `held` gives the dates that the record has.
    #[must_use]
    pub fn moved_terms(
        &self,
        draft: &Draft,
        held: impl Fn(&str) -> Option<String>,
        terms: &Terms,
    ) -> BTreeMap<String, Option<Fact>> {
        let mut moved = BTreeMap::new();
        let given = |key: &str| Some(draft.facts.get(key)?.as_ref()?.as_str()?.to_owned());
        for step in &self.transitions {
            for date in &step.dates {
                let days = date
                    .from
                    .as_ref()
                    .and_then(|from| Some((held(from)?, given(from)?)));
                let Some((then, now)) = days.filter(|(then, now)| then != now) else {
                    continue;
                };
                let due = |day: &str| date.due(day, |_| Some(day.to_owned()), terms);
                let (Some(was), Some(is)) = (due(&then), due(&now)) else {
                    continue;
                };
                let stands = held(&date.field) == Some(was.to_string());
                let by = date.named_in.as_ref().and_then(|key| held(key));
                let rule = by.is_none_or(|by| by.trim_end_matches(ESTIMATED) == date.rule);
                if !stands || !rule {
                    continue;
                }
                let day = Fact::Str(is.to_string());
                let follows = step
                    .follows
                    .iter()
                    .filter(|(_, other)| **other == date.field);
                let follows = follows.filter(|(key, _)| held(key) == held(&date.field));
                moved.extend(follows.map(|(key, _)| (key.clone(), Some(day.clone()))));
                moved.insert(date.field.clone(), Some(day));
                match &date.named_in {
                    Some(key) => {
                        let estimated = if is.estimated { ESTIMATED } else { "" };
                        let rule = Fact::Str(format!("{}{estimated}", date.rule));
                        moved.insert(key.clone(), Some(rule));
                    }
                    None => {
                        let guessed = is.estimated.then_some(Fact::Bool(true));
                        moved.insert(format!("{ESTIMATED_DATES}/{}", date.field), guessed);
                    }
                }
            }
        }
        moved
    }
}

/// A step is possible until a date, and afterwards only for some.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Until {
    /// Key of the date: a field that an earlier step has set.
    pub field: String,
    /// Who may afterwards.
    #[serde(default)]
    pub then: BTreeSet<Role>,
}

/// What must hold in a record for a step to be possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Why it is not possible, and what to do.
    pub label: Label,
    /// Not possible if each of these fields has one of these values.
    pub unless: BTreeMap<String, BTreeSet<String>>,
    /// Not possible as long as the first set has items that the second has not.
    pub covers: Option<Covers>,
    /// Not possible if less time lies between two dates than a rule gives.
    pub short: Option<Short>,
    /// Not possible as long as a record of this kind that belongs to it is open: see [`OPEN_UNDER`].
    pub open: Option<String>,
    /// It is possible all the same: whoever takes it is asked whether it is meant.
    pub asks: bool,
}

/// A set that must be in another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covers {
    /// Key of the set.
    pub all: String,
    /// Key of the set that must have all its items.
    pub by: String,
}

/// Stands before the code of a kind where a guard asks for the open records of it that belong to one.
pub const OPEN_UNDER: &str = "open:";

/// A stretch of time that may be too short.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Short {
    /// Key of its first day.
    pub from: String,
    /// Key of its last day.
    pub until: String,
    /// Code of the rule that says how long it is at least: days or months of the calendar, whichever days are off.
    pub rule: String,
}

impl Short {
    /// Whether it is, with the dates that a record has. Not where one of them is missing.
    #[must_use]
    pub fn holds(&self, date: impl Fn(&str) -> Option<String>) -> bool {
        let day = |key: &str| date(key)?.parse::<Date>().ok();
        let rule = Rules::standard().get(&self.rule);
        let least = rule.and_then(|rule| rule.length.ends(day(&self.from)?));
        least
            .zip(day(&self.until))
            .is_some_and(|(least, until)| until < least)
    }
}

impl Guard {
    /// Whether it bars a step on a record of which `held` gives the values of a field: one, or the items of a set.
    fn bars(&self, held: &impl Fn(&str) -> Vec<String>) -> bool {
        let one_of = |(key, values): (&String, &BTreeSet<String>)| {
            held(key).iter().any(|value| values.contains(value))
        };
        let forbidden = !self.unless.is_empty() && self.unless.iter().all(one_of);
        let uncovered = self.covers.as_ref().is_some_and(|covers| {
            let by = held(&covers.by);
            held(&covers.all).iter().any(|item| !by.contains(item))
        });
        let one = |key: &str| held(key).into_iter().next();
        let short = self.short.as_ref().is_some_and(|short| short.holds(one));
        let open = self.open.as_ref();
        let open = open.is_some_and(|kind| !held(&format!("{OPEN_UNDER}{kind}")).is_empty());
        forbidden || uncovered || short || open
    }
}

impl Transition {
    /// What bars the step on a record, if anything: see [`Guard`].
    #[must_use]
    pub fn barred(&self, held: impl Fn(&str) -> Vec<String>) -> Option<&Label> {
        let mut guards = self.guards.iter().filter(|guard| !guard.asks);
        let guard = guards.find(|guard| guard.bars(&held))?;
        Some(&guard.label)
    }

    /// What makes it doubtful whether the step is meant.
    #[must_use]
    pub fn doubted(&self, held: impl Fn(&str) -> Vec<String>) -> Option<&Label> {
        let mut guards = self.guards.iter().filter(|guard| guard.asks);
        let guard = guards.find(|guard| guard.bars(&held))?;
        Some(&guard.label)
    }

    /// Who may write the event on a day, after it has applied so many times. `date` gives the dates that steps have set.
    #[must_use]
    pub fn open_on(
        &self,
        times: usize,
        date: impl Fn(&str) -> Option<String>,
        day: &str,
    ) -> &BTreeSet<Role> {
        match &self.until {
            // Dates of this form sort as they follow.
            Some(until) if date(&until.field).is_some_and(|last| day > last.as_str()) => {
                &until.then
            }
            _ => self.open_to(times),
        }
    }

    /// Whether the event is not possible yet on a day.
    #[must_use]
    pub fn is_early(&self, date: impl Fn(&str) -> Option<String>, day: &str) -> bool {
        let from = self.not_before.as_ref().and_then(|key| date(key));
        from.is_some_and(|from| day < from.as_str())
    }

    /// What it carries that people type.
    pub fn typed(&self) -> impl Iterator<Item = &Field> {
        self.data.iter().filter(|datum| !datum.read_only)
    }

    /// The dates that it may set under a key, the first of those that hold first.
    pub fn dates_of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a SetDate> {
        self.dates.iter().filter(move |date| date.field == key)
    }

    /// Sets the dates of the step that nobody has set, see [`set_dates`], and what follows them.
    ///
    /// # Errors
    /// As [`set_dates`].
    pub fn set_dates(
        &self,
        draft: &mut Draft,
        today: &str,
        known: impl Fn(Known<'_>) -> Option<String>,
        terms: &Terms,
    ) -> Result<(), Refusal> {
        set_dates(&self.dates, draft, today, known, terms)?;
        for (key, other) in &self.follows {
            if !draft.facts.contains_key(key)
                && let Some(fact) = draft.facts.get(other)
            {
                draft.facts.insert(key.clone(), fact.clone());
            }
        }
        Ok(())
    }
}

/// By which dates are computed: the days off that are known, and the lengths that hold here.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Which days people work.
    pub calendar: Calendar,
    /// How long there is for what.
    pub rules: Rules,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            calendar: Calendar::standard().clone(),
            rules: Rules::standard().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_are_the_domains() -> Result<(), toml::de::Error> {
        let rules = Rules::parse(include_str!("rules.toml"))?;
        let length = |code: &str| rules.get(code).map(|it| it.length);
        let table = [
            ("D1", Length::WorkingDays(5)),
            ("D2", Length::WorkingDays(5)),
            ("D3", Length::Months(1)),
            ("D4", Length::Months(3)),
            ("D5", Length::Months(6)),
            ("D6", Length::Months(1)),
            ("D7", Length::Months(1)),
            ("D8", Length::Months(3)),
            ("D9", Length::Days(15)),
            ("D10", Length::Days(60)),
            ("D11", Length::Days(30)),
            ("D12", Length::WorkingDays(5)),
            ("D13", Length::Days(30)),
            ("D15", Length::WorkingDays(15)),
        ];
        for (code, expected) in table {
            assert_eq!(length(code), Some(expected), "{code}");
        }
        // What a letter says is a day, and no length.
        assert_eq!(length("D14"), None);
        let mut own = rules.clone();
        own.set("D16", Length::Days(30));
        own.set("D99", Length::Days(30));
        assert_eq!(own.get("D16").map(|it| it.length), Some(Length::Days(30)));
        assert!(own.get("D99").is_none() && rules.get("D16") != own.get("D16"));
        Ok(())
    }
}
