//! F1 to F22 (DOMAIN 3): the figures of the year by the names under which they are printed. F1, F2, F16 and F21 are of the period; the
//! others are from the beginning to its end (DOMAIN 0.12).
//!
//! Money is in fen. F5 and F6 are of one session, the one that most people watched: viewers of different sessions may be the same
//! people and are never added up. F17 is a year.

use std::collections::BTreeSet;

use super::known::Whose;
use super::quantities::Base;
use super::set::{Figure, Part, Period, Reach, Set};
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const FIGURES: Definition = Definition {
    id: "figures",
    kinds: &KINDS,
    defines: &["SOL", "collected", "confirmed", "distinct", "one-session"],
    fill,
};

/// The kinds that the figures read.
pub(super) const KINDS: [&str; 17] = [
    "deputy_suggestion",
    "supervision",
    "inspection",
    "livestream",
    "reception",
    "opinion",
    "theme_activity",
    "donation",
    "mediation",
    "site_investment",
    "theme_month",
    "site",
    "service_unit",
    "visit",
    "service_point",
    "training",
    "volunteer_team",
];

/// Whom a theme activity names as having taken part.
pub(super) const TOOK_PART: [&str; 2] = ["deputies", "deputies_lead"];

/// The figures over one base: which of them are of the period is each one's own.
pub(super) struct Figures<'a, 'b>(pub(super) &'b Base<'a>);

impl<'a> Figures<'a, '_> {
    fn until_end(&self, kind: &str) -> Set<'a> {
        let base = self.0;
        base.confirmed(kind, &base.period.and_before())
    }

    /// Inspections and research by deputies (视察调研) at enterprises; an appraisal of an organ is another thing.
    pub(super) fn inspections(&self, inspections: &Set<'a>) -> Set<'a> {
        let inspections = inspections.having("type", &["inspection", "research"]);
        inspections.that(|row| self.0.is_of_enterprises(row))
    }

    /// What was put into work stations until the end.
    pub(super) fn investments(&self, period: &Period) -> Set<'a> {
        let base = self.0;
        let all = base.all("site_investment").during(period);
        let listed = all.that(|row| !row.kind.is_gone(&row.status));
        listed.that(|row| base.is_at_station(row))
    }

    /// The deputies of the district who took part.
    pub(super) fn district_deputies(&self, activities: &Set<'_>) -> Figure {
        let base = self.0;
        let of_district = |whose: &Whose| match whose {
            Whose::Record(id) => {
                let level = base.known.row(id).and_then(|row| row.text("level"));
                level.is_none_or(|level| level == "district")
            }
            Whose::Name(_) => true,
        };
        activities.distinct(|row| {
            let deputies = base.deputies(row, &TOOK_PART).into_iter();
            let deputies = deputies.filter(of_district);
            deputies.map(|whose| key_of(&whose)).collect()
        })
    }

    /// The session that most people watched, the first of several.
    pub(super) fn most_watched(&self, period: &Period) -> Set<'a> {
        let Set(sessions, reach) = self.0.confirmed("livestream", period);
        let watched = |row: &&super::known::Row| row.int("cumulative_viewers");
        let most = sessions.into_iter().rev().max_by_key(watched);
        Set(most.into_iter().collect(), reach)
    }

    /// Different sites that something was put into.
    pub(super) fn invested_sites(&self, period: &Period) -> Figure {
        self.investments(period).distinct(|row| {
            let site = row.text("site");
            let site = site.map(|given| self.0.known.whose(given, &["site"]));
            site.map(|whose| key_of(&whose)).into_iter().collect()
        })
    }

    /// The first work station that was set up, as its year.
    pub(super) fn first_station(&self) -> Figure {
        let base = self.0;
        let stations = base.all("site").having("type", &["workstation"]);
        let opened = stations.dated("opened_on", &base.period.and_before());
        // One that is still being set up counts only where no other is known.
        let working = opened.that(|row| !row.stands(&["planned"]));
        let opened = if working.is_empty() { opened } else { working };
        let first = opened
            .0
            .iter()
            .copied()
            .min_by_key(|row| (row.day("opened_on"), row.id));
        let Some(first) = first else {
            return Figure::default();
        };
        let year = first
            .day("opened_on")
            .and_then(|day| day.get(..4)?.parse().ok());
        Set(vec![first], opened.1).sum_of(|_| year.unwrap_or_default())
    }

    /// Different organisations that were visited as enterprises, by the register or by name.
    pub(super) fn enterprises(&self, visits: &Set<'a>) -> Figure {
        let named = |row: &super::known::Row| {
            let given = row.text("org_ref");
            given
                .map(|given| self.0.organisation(given))
                .into_iter()
                .collect()
        };
        visits.having("mode", &["enterprise"]).distinct(named)
    }

    /// Says how many visits of enterprises name none: they are counted as visits and as no enterprise.
    pub(super) fn note_unnamed(&self, visits: &Set<'a>, out: &mut Tables) {
        let visits = visits.having("mode", &["enterprise"]);
        let unnamed = visits.that(|row| row.text("org_ref").is_none()).len();
        let count = i64::try_from(unnamed).unwrap_or(i64::MAX);
        out.note("no-org", count, Vec::new());
    }

    /// Donations, in fen.
    pub(super) fn donations(donations: &Set<'a>) -> Figure {
        donations.sum("amount_fen")
    }

    /// Units that serve, in communities and elsewhere: 12 + 2.
    pub(super) fn units(&self, in_communities: bool, period: &Period) -> Figure {
        let units = self.0.listed("service_unit", period);
        let is_in = |row: &super::known::Row| row.text("host_kind") == Some("community");
        units.that(|row| is_in(row) == in_communities).count()
    }

    /// Different months that have a theme.
    pub(super) fn theme_months(&self, period: &Period) -> Figure {
        let months = self.0.all("theme_month").during(period);
        months.distinct(|row| row.text("month").map(str::to_owned).into_iter().collect())
    }

    /// Each figure: name, word in the locales, what it is counted in, and how many.
    pub(super) fn all(&self) -> Vec<(&'static str, &'static str, &'static str, Figure)> {
        let base = self.0;
        let (year, ever) = (&base.period, &base.period.and_before());
        let suggestions = base.collected(year);
        let activities = self.until_end("theme_activity");
        let session = self.most_watched(ever);
        let solved = base.through_receptions(&base.solved(ever));
        let investments = self.investments(ever);
        let visits = self.until_end("visit");
        let agreed = base.disputes("agreed", ever);
        let listed = |kind: &str| base.listed(kind, year).count();
        vec![
            ("F1", "f1", "u-items", suggestions.count()),
            (
                "F2",
                "f2",
                "u-items",
                base.key_ones(&suggestions, year).count(),
            ),
            (
                "F3",
                "f3",
                "u-times",
                self.inspections(&self.until_end("inspection")).count(),
            ),
            (
                "F4",
                "f4",
                "u-sessions",
                self.until_end("livestream").count(),
            ),
            ("F5", "f5", "u-views", session.sum("cumulative_viewers")),
            ("F6", "f6", "u-persons", session.sum("discussants")),
            ("F7", "f7", "u-rounds", self.until_end("reception").count()),
            ("F8", "f8", "u-cases", solved.count()),
            ("F9", "f9", "u-people", self.district_deputies(&activities)),
            ("F10", "f10", "u-times", activities.count()),
            (
                "F11",
                "f11",
                "u-person-times",
                activities.sum("persons_served_times"),
            ),
            (
                "F12",
                "f12",
                "u-fen",
                Self::donations(&base.all("donation").during(ever)),
            ),
            ("F13", "f13", "u-cases", agreed.count()),
            ("F14", "f14", "u-fen", investments.sum("amount_fen")),
            ("F15", "f15", "u-sites", self.invested_sites(ever)),
            ("F16", "f16", "u-months", self.theme_months(year)),
            ("F17", "f17", "u-year", self.first_station()),
            ("F18", "f18", "u-units", listed("service_unit")),
            ("F19", "f19", "u-firms", self.enterprises(&visits)),
            ("F20", "f20", "u-points", listed("service_point")),
            (
                "F21",
                "f21",
                "u-rounds",
                base.confirmed("training", year).count(),
            ),
            ("F22", "f22", "u-teams", listed("volunteer_team")),
        ]
    }
}

/// A word by which the same person or thing is the same in all records.
pub(super) fn key_of(whose: &Whose) -> String {
    match whose {
        Whose::Record(id) => id.hyphenated(),
        Whose::Name(name) => name.clone(),
    }
}

/// A figure of one row's number.
pub(super) fn single(key: i64, adds: i64) -> Figure {
    let what = None;
    Figure {
        value: adds,
        reach: Reach::Here,
        of: vec![Part { key, adds, what }],
    }
}

/// Says which names the register does not have.
pub(super) fn note_unmatched(base: &Base<'_>, rows: &Set<'_>, fields: &[&str], out: &mut Tables) {
    let names: BTreeSet<_> = base.unmatched(rows, fields);
    let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
    out.note("unmatched", count, names.into_iter().collect());
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    /// Figures of the period; the others are from the beginning to its end.
    const OF_PERIOD: [&str; 4] = ["F1", "F2", "F16", "F21"];
    let figures = Figures(base);
    let mut table = Table::new(
        "figures",
        &["figure", "item", "value", "counted_in", "over"],
    );
    for (name, word, counted_in, figure) in figures.all() {
        let over = match OF_PERIOD.contains(&name) {
            true => "o-period",
            false => "o-to-end",
        };
        let value = match counted_in {
            "u-fen" => Cell::Money(figure.clone()),
            // No station, no year.
            "u-year" if figure.of.is_empty() => Cell::None,
            _ => Cell::Count(figure.clone()),
        };
        let counted_in = match counted_in {
            "u-fen" => "u-yuan",
            other => other,
        };
        table.line([
            Cell::Text(name.to_owned()),
            Cell::Word(word),
            value,
            Cell::Word(counted_in),
            Cell::Word(over),
        ]);
        out.total(name, figure);
        // What it is made up of.
        let parts: &[_] = match name {
            "F18" => &[("units-community", true), ("units-elsewhere", false)],
            _ => &[],
        };
        for (word, in_communities) in parts {
            table.line([
                Cell::Text(name.to_owned()),
                Cell::Word(word),
                Cell::Count(figures.units(*in_communities, &base.period)),
                Cell::Word(counted_in),
                Cell::Word(over),
            ]);
        }
    }
    out.add(table);
    figures.note_unnamed(&figures.until_end("visit"), out);
    let activities = base.confirmed("theme_activity", &base.period.and_before());
    note_unmatched(base, &activities, &TOOK_PART, out);
}
