//! How things are put for people: states on the ladder, times, ages, values of fields.

use lianxin_protocol::authority::{Authority, Reason};
use lianxin_protocol::catalogue::{ESTIMATED, Field, FieldType, Kind, Rule, Rules};
use lianxin_protocol::identity::{DeviceKey, short};
use lianxin_protocol::space::Space;
use serde_json::Value;

use super::words::Lang;
use crate::clock::Beijing;
use crate::records::Listed;
use crate::records::delivery::State;
use crate::records::sight::Title;

/// A step of the ladder as it stands for one record.
pub(super) struct Rung {
    /// The step's word.
    pub(super) word: String,
    /// `done`, `now` or `next`.
    pub(super) stage: &'static str,
}

/// The state of a record, as every page shows it.
pub(super) struct Shown {
    /// The word of JSON, for classes and icons.
    pub(super) code: &'static str,
    /// The word for people.
    pub(super) word: String,
    /// What it means, in a sentence.
    pub(super) means: String,
    /// The steps to the hub.
    pub(super) ladder: Vec<Rung>,
}

/// The way to the hub in order (one vocabulary everywhere). What becomes of a record there is the ladder of its kind.
const STEPS: [&str; 5] = ["draft", "saved", "sending", "received", "merged"];

impl Shown {
    pub(super) fn of(state: State, lang: Lang) -> Self {
        Self::word(state.word(), lang)
    }

    pub(super) fn draft(lang: Lang) -> Self {
        Self::word("draft", lang)
    }

    fn word(code: &'static str, lang: Lang) -> Self {
        let say = |id: String| lang.say(&id, &[]);
        // What was refused has arrived; what is held back has arrived as well and goes no further.
        let reached = match code {
            "answered" | "refused" => 4,
            "quarantined" => 2,
            code => STEPS.iter().position(|step| *step == code).unwrap_or(0),
        };
        let rung = |(at, step): (usize, &&str)| Rung {
            word: say(format!("state-{step}")),
            stage: match at.cmp(&reached) {
                std::cmp::Ordering::Less => "done",
                std::cmp::Ordering::Equal => "now",
                std::cmp::Ordering::Greater => "next",
            },
        };
        Self {
            code,
            word: say(format!("state-{code}")),
            means: say(format!("state-{code}-means")),
            ladder: STEPS.iter().enumerate().map(rung).collect(),
        }
    }
}

/// A moment in full: 2026年3月14日 10:42.
pub(super) fn moment(unix_ms: u64, lang: Lang) -> String {
    let (hour, minute) = Beijing::of(unix_ms).time();
    format!("{} {hour:02}:{minute:02}", day(unix_ms, lang))
}

/// A day: 2026年3月14日.
pub(super) fn day(unix_ms: u64, lang: Lang) -> String {
    let (year, month, day) = Beijing::of(unix_ms).date();
    match lang {
        Lang::Zh => format!("{year}年{month}月{day}日"),
        Lang::En => format!("{year}-{month:02}-{day:02}"),
    }
}

/// A moment as short as it stays clear: 10:42 today, 3月14日 10:42 this year.
pub(super) fn at(unix_ms: u64, now_ms: u64, lang: Lang) -> String {
    let (then, now) = (Beijing::of(unix_ms), Beijing::of(now_ms));
    let (hour, minute) = then.time();
    let (year, month, day) = then.date();
    if then.date() == now.date() {
        return format!("{hour:02}:{minute:02}");
    }
    match lang {
        _ if year != now.date().0 => moment(unix_ms, lang),
        Lang::Zh => format!("{month}月{day}日 {hour:02}:{minute:02}"),
        Lang::En => format!("{month:02}-{day:02} {hour:02}:{minute:02}"),
    }
}

/// A moment in a column: 10:42 today, 3月14日 this year, the whole date before.
pub(super) fn when(unix_ms: u64, now_ms: u64, lang: Lang) -> String {
    let (then, now) = (Beijing::of(unix_ms), Beijing::of(now_ms));
    if then.date() == now.date() {
        return at(unix_ms, now_ms, lang);
    }
    short_day(unix_ms, now_ms, lang)
}

/// A day as short as it stays clear: 3月14日 this year.
pub(super) fn short_day(unix_ms: u64, now_ms: u64, lang: Lang) -> String {
    let (then, now) = (Beijing::of(unix_ms).date(), Beijing::of(now_ms).date());
    match lang {
        _ if then.0 != now.0 => day(unix_ms, lang),
        Lang::Zh => format!("{}月{}日", then.1, then.2),
        Lang::En => format!("{:02}-{:02}", then.1, then.2),
    }
}

/// Today, as the first page says it: 3月14日　星期六.
pub(super) fn today(now_ms: u64, lang: Lang) -> String {
    let weekday = lang.say(&format!("weekday-{}", Beijing::of(now_ms).weekday()), &[]);
    let gap = if lang == Lang::Zh { '　' } else { ' ' };
    format!("{}{gap}{weekday}", short_day(now_ms, now_ms, lang))
}

/// How long ago: 刚刚, 12 分钟前, 2 小时前, 3 天前.
pub(super) fn age(unix_ms: u64, now_ms: u64, lang: Lang) -> String {
    let minutes = now_ms.saturating_sub(unix_ms) / 60_000;
    let (id, count) = match minutes {
        0 => return lang.say("age-now", &[]),
        1..60 => ("age-minutes", minutes),
        60..2_880 => ("age-hours", minutes / 60),
        _ => ("age-days", minutes / 1_440),
    };
    lang.say(id, &[("count", count.into())])
}

/// What a field holds, in words.
pub(super) fn value(field: Option<&Field>, value: &Value, lang: Lang) -> String {
    let choice = |kind: &FieldType, code: &str| -> Option<String> {
        let FieldType::Enum { options } = kind else {
            return None;
        };
        let option = options.iter().find(|option| option.code == code)?;
        Some(lang.label(&option.label).to_owned())
    };
    let kind = field.map(|field| &field.kind);
    match (kind, value) {
        (Some(FieldType::Date), Value::String(date)) => date_in_words(date, lang),
        (_, Value::String(code)) if field.is_some_and(|field| field.rule) => {
            let known = code.strip_suffix(ESTIMATED).unwrap_or(code);
            let rule = Rules::standard().get(known);
            rule.map_or_else(|| code.clone(), |rule| ruled(rule, known != code, lang))
        }
        (Some(kind), Value::String(text)) => choice(kind, text).unwrap_or_else(|| text.clone()),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Bool(yes)) => lang.say(if *yes { "yes" } else { "no" }, &[]),
        (Some(FieldType::Set { of, .. }), Value::Array(items)) => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => choice(of, text).unwrap_or_else(|| text.clone()),
                Value::Object(parts) => {
                    let parts = parts.values().filter_map(Value::as_str);
                    parts.collect::<Vec<_>>().join(" ")
                }
                other => other.to_string(),
            });
            items.collect::<Vec<_>>().join("、")
        }
        (_, Value::Null) => String::new(),
        (_, other) => other.to_string(),
    }
}

/// A rule with where it stands. How long it is here may differ: the day is what holds.
fn ruled(rule: &Rule, estimated: bool, lang: Lang) -> String {
    let with = [
        ("name", lang.label(&rule.label).into()),
        ("source", lang.label(&rule.source).into()),
    ];
    lang.say(
        if estimated {
            "rule-estimated"
        } else {
            "rule-said"
        },
        &with,
    )
}

fn date_in_words(date: &str, lang: Lang) -> String {
    let mut parts = date.split('-');
    match (lang, parts.next(), parts.next(), parts.next()) {
        (Lang::Zh, Some(year), Some(month), Some(day)) => format!(
            "{year}年{}月{}日",
            month.trim_start_matches('0'),
            day.trim_start_matches('0')
        ),
        _ => date.to_owned(),
    }
}

/// A status in words, at its kind.
pub(super) fn status(kind: Option<&Kind>, code: &str, lang: Lang) -> String {
    kind.and_then(|kind| kind.status(code))
        .map_or_else(|| code.to_owned(), |it| lang.label(&it.label).to_owned())
}

/// What a record is called: its title, with its kind where that is only a date or a place.
pub(super) fn title(kind: Option<&Kind>, title: Title<'_>, lang: Lang) -> String {
    let title = match title {
        Title::None => return lang.say("record-untitled", &[]),
        Title::Kept => return lang.say("record-kept", &[]),
        Title::Is(title) => title,
    };
    let named = kind.filter(|kind| kind.title.is_none() && kind.title_from.is_none());
    named.map_or_else(
        || title.to_owned(),
        |kind| format!("{} {title}", lang.label(&kind.label)),
    )
}

/// A device in words: its code, or the beginning of its key.
pub(super) fn device(authority: &Authority, key: &DeviceKey) -> String {
    let member = authority.members().get(key);
    member.map_or_else(|| short(key), |member| member.grant.device_code.clone())
}

/// Why an entry is held back.
pub(super) fn reason(reason: Reason, lang: Lang) -> String {
    lang.say(&format!("reason-{}", reason.word()), &[])
}

/// The site that a record belongs to, in words.
pub(super) fn site(authority: &Authority, row: &Listed, lang: Lang) -> String {
    match authority.space(&row.space) {
        Some(Space::Site(site)) => authority
            .sites()
            .get(&site)
            .map(|site| site.name.clone())
            .unwrap_or_default(),
        _ => lang.say("site-hub", &[]),
    }
}

/// What a site is called that a field names by its code or id; what is none stays as it is.
pub(super) fn site_named(authority: &Authority, given: &str) -> String {
    let mut sites = authority.sites().iter();
    let named = sites.find(|(id, site)| site.code == given || id.to_string() == given);
    named.map_or_else(|| given.to_owned(), |(_, site)| site.name.clone())
}

/// Codes and names of all sites, by name.
pub(super) fn sites(authority: &Authority) -> Vec<(String, String)> {
    let mut sites: Vec<_> = authority.sites().values().collect();
    sites.sort_by(|a, b| a.name.cmp(&b.name).then(a.code.cmp(&b.code)));
    let sites = sites.into_iter();
    sites
        .map(|site| (site.code.clone(), site.name.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_beijing_times_and_as_short_as_they_stay_clear() {
        let then = 1_773_455_520_000; // 2026-03-14T02:32:00Z
        assert_eq!(moment(then, Lang::Zh), "2026年3月14日 10:32");
        assert_eq!(moment(then, Lang::En), "2026-03-14 10:32");
        assert_eq!(at(then, then + 60_000, Lang::Zh), "10:32");
        assert_eq!(at(then, then + 86_400_000, Lang::Zh), "3月14日 10:32");
        assert_eq!(
            at(then, then + 400 * 86_400_000, Lang::Zh),
            "2026年3月14日 10:32"
        );
        assert_eq!(when(then, then + 60_000, Lang::Zh), "10:32");
        assert_eq!(when(then, then + 86_400_000, Lang::Zh), "3月14日");
        assert_eq!(today(then, Lang::Zh), "3月14日　星期六");
        for (minutes, words) in [
            (0, "刚刚"),
            (12, "12 分钟前"),
            (150, "2 小时前"),
            (3_000, "2 天前"),
        ] {
            assert_eq!(age(then, then + minutes * 60_000, Lang::Zh), words);
        }
        assert_eq!(age(then + 5, then, Lang::Zh), "刚刚");
    }

    #[test]
    fn the_ladder_stands_where_the_state_says() {
        let stages = |state| -> Vec<&str> {
            let shown = Shown::of(state, Lang::Zh);
            shown.ladder.iter().map(|rung| rung.stage).collect()
        };
        let saved = ["done", "now", "next", "next", "next"];
        assert_eq!(stages(State::Saved), saved);
        assert_eq!(
            stages(State::Answered),
            ["done", "done", "done", "done", "now"]
        );
        assert_eq!(
            stages(State::Refused),
            ["done", "done", "done", "done", "now"]
        );
        assert_eq!(Shown::of(State::Received, Lang::Zh).word, "中心已收");
    }
}
