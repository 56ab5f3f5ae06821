//! The query language of reports: sets of records, narrowed, split and counted. A figure keeps the records that it counts.
//!
//! Sets are narrowed by what a record is, never by what a reader is shown, so that a figure is the same for everybody.

use std::collections::{BTreeMap, BTreeSet};

use super::known::Row;

/// A time over which something is counted: Beijing days, both inclusive, as `2026-03-14`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first day; empty for from the beginning.
    pub from: String,
    /// The last day.
    pub to: String,
}

impl Period {
    /// From the beginning to the end of this one.
    #[must_use]
    pub fn and_before(&self) -> Self {
        Self {
            from: String::new(),
            to: self.to.clone(),
        }
    }

    /// Whether a day is in it.
    #[must_use]
    pub fn has(&self, day: &str) -> bool {
        self.from.as_str() <= day && day <= self.to.as_str()
    }
}

/// Whether this device has the records of a set, as far as they have arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// It has.
    #[default]
    Here,
    /// They are made at the sub-district alone and stay there: that there are none here says nothing.
    Elsewhere,
}

/// A number with the records that it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figure {
    /// The number, of the records that are here.
    pub value: i64,
    /// Whether it is one.
    pub reach: Reach,
    /// The records by their numbers in this store, in the order of their ids, each with what it adds; of what is counted once though
    /// several records have it, the name of that.
    pub of: Vec<Part>,
}

/// What one record adds to a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number in this store.
    pub key: i64,
    /// What it adds: 1 where records are counted.
    pub adds: i64,
    /// What of it is counted, where the same may be in other records: each different one once.
    pub what: Option<String>,
}

impl Figure {
    /// The number, unless what it counts is not for this device.
    #[must_use]
    pub fn known(&self) -> Option<i64> {
        (self.reach == Reach::Here).then_some(self.value)
    }

    /// Recounts it from its parts.
    #[must_use]
    pub fn recount(parts: &[(i64, Option<&str>)]) -> i64 {
        let mut seen = BTreeSet::new();
        let counted = parts
            .iter()
            .filter(|(_, what)| what.is_none_or(|what| seen.insert(what)));
        counted.map(|(adds, _)| *adds).sum()
    }

    fn of(of: Vec<Part>, reach: Reach) -> Self {
        let parts: Vec<_> = of.iter().map(|it| (it.adds, it.what.as_deref())).collect();
        Self {
            value: Self::recount(&parts),
            reach,
            of,
        }
    }
}

/// Some records, and whether this device would have them all.
#[derive(Clone, Debug, Default)]
pub struct Set<'a>(pub Vec<&'a Row>, pub Reach);

/// Records by what each belongs to.
#[derive(Clone, Debug)]
pub struct Split<'a, K> {
    sets: BTreeMap<K, Set<'a>>,
    reach: Reach,
}

impl<'a, K: Ord> Split<'a, K> {
    /// Those that belong to one thing: none, where nothing does, and known as what was split is.
    #[must_use]
    pub fn of<Q: Ord + ?Sized>(&self, key: &Q) -> Set<'a>
    where
        K: std::borrow::Borrow<Q>,
    {
        let found = self.sets.get(key).cloned();
        found.unwrap_or_else(|| Set(Vec::new(), self.reach))
    }

    /// What they belong to, in order.
    pub fn keys(&self) -> std::collections::btree_map::Keys<'_, K, Set<'a>> {
        self.sets.keys()
    }
}

impl<'a, K> IntoIterator for Split<'a, K> {
    type Item = (K, Set<'a>);
    type IntoIter = std::collections::btree_map::IntoIter<K, Set<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.sets.into_iter()
    }
}

impl<'a, 's, K> IntoIterator for &'s Split<'a, K> {
    type Item = (&'s K, &'s Set<'a>);
    type IntoIter = std::collections::btree_map::Iter<'s, K, Set<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.sets.iter()
    }
}

impl<'a> FromIterator<&'a Row> for Set<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Row>>(rows: I) -> Self {
        Self(rows.into_iter().collect(), Reach::Here)
    }
}

impl<'a> Set<'a> {
    /// Those of which something is so.
    #[must_use]
    pub fn that(&self, is: impl Fn(&'a Row) -> bool) -> Self {
        let rows = self.0.iter().copied().filter(|row| is(row));
        Self(rows.collect(), self.1)
    }

    /// Those that happened in a period, by the day on which their kind counts. What has no day is in the period that has no beginning.
    #[must_use]
    pub fn during(&self, period: &Period) -> Self {
        self.that(|row| match row.counts_on() {
            Some(day) => period.has(day),
            None => period.from.is_empty(),
        })
    }

    /// Those whose day in a field is in a period.
    #[must_use]
    pub fn dated(&self, key: &str, period: &Period) -> Self {
        self.that(|row| row.day(key).is_some_and(|day| period.has(&day)))
    }

    /// Those that have one of these values in a field.
    #[must_use]
    pub fn having(&self, key: &str, values: &[&str]) -> Self {
        self.that(|row| row.text(key).is_some_and(|it| values.contains(&it)))
    }

    /// Those at one of these statuses.
    #[must_use]
    pub fn at(&self, statuses: &[&str]) -> Self {
        self.that(|row| row.stands(statuses))
    }

    /// Split by what each record belongs to, which may be several things or none.
    #[must_use]
    pub fn by<K: Ord, I: IntoIterator<Item = K>>(&self, of: impl Fn(&'a Row) -> I) -> Split<'a, K> {
        let mut sets: BTreeMap<K, Self> = BTreeMap::new();
        for row in &self.0 {
            for key in of(row) {
                let set = sets.entry(key);
                let set = set.or_insert_with(|| Self(Vec::new(), self.1));
                set.0.push(row);
            }
        }
        let reach = self.1;
        Split { sets, reach }
    }

    /// None of them, known as they are.
    #[must_use]
    pub const fn none(&self) -> Self {
        Self(Vec::new(), self.1)
    }

    /// The same, chosen by what others say: known only where those are too.
    #[must_use]
    pub fn by_way_of(self, others: &Set<'_>) -> Self {
        match others.1 {
            Reach::Here => self,
            Reach::Elsewhere => Self(self.0, Reach::Elsewhere),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> Figure {
        self.sum_of(|_| 1)
    }

    /// The sum of a number over them.
    #[must_use]
    pub fn sum(&self, key: &str) -> Figure {
        self.sum_of(|row| row.int(key))
    }

    /// The sum of something over them; what adds nothing is not among the records of the figure.
    #[must_use]
    pub fn sum_of(&self, adds: impl Fn(&Row) -> i64) -> Figure {
        let parts = self.0.iter().map(|row| Part {
            key: row.key,
            adds: adds(row),
            what: None,
        });
        let of: Vec<_> = parts.filter(|part| part.adds != 0).collect();
        let value = of.iter().map(|part| part.adds).sum();
        let reach = self.1;
        Figure { value, reach, of }
    }

    /// How many different things they name.
    #[must_use]
    pub fn distinct(&self, named: impl Fn(&'a Row) -> Vec<String>) -> Figure {
        let parts = self.0.iter().flat_map(|row| {
            named(row).into_iter().map(|what| Part {
                key: row.key,
                adds: 1,
                what: Some(what),
            })
        });
        Figure::of(parts.collect(), self.1)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are, as a plain number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
