//! What has happened to a record: the steps of its way, its signed history with the values that each change replaced, and what
//! was asked of the hub.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{Field, Kind, Outcome, Role};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::short;
use lianxin_protocol::request::Outcome as RequestOutcome;
use rusqlite::Connection;
use serde_json::Value;

use super::records::{Said, links};
use super::shown;
use super::words::Lang;
use crate::accounts;
use crate::clock;
use crate::error::Result;
use crate::journal::Overview;
use crate::records::Record;
use crate::records::{self, Content, Gathered};
use crate::requests::{self, Asked};

/// An event on the record's way.
pub(super) struct Step {
    pub(super) label: String,
    pub(super) at: String,
    pub(super) who: String,
    pub(super) data: Vec<Said>,
    /// Why it has no effect.
    pub(super) void: Option<String>,
}

/// A signed change.
pub(super) struct Change {
    pub(super) hash: String,
    pub(super) at: String,
    pub(super) who: String,
    /// The steps that were taken with it.
    pub(super) steps: Vec<String>,
    /// What it did to fields.
    pub(super) fields: Vec<Was>,
    /// Labels of what was filled in when the record was made.
    pub(super) founded: String,
    /// Another was made at the same time, of other fields, and both stand.
    pub(super) merged: bool,
    pub(super) verified: bool,
}

/// What one change did to one field.
pub(super) struct Was {
    pub(super) label: String,
    /// What stood there before; more than one value where it chose between two.
    pub(super) old: Vec<String>,
    /// What stands there then, if anything.
    pub(super) new: Option<String>,
    /// It has no effect: whoever wrote it may not correct this.
    pub(super) void: bool,
}

impl Was {
    /// Whether somebody had to choose.
    pub(super) fn chose(&self) -> bool {
        self.old.len() > 1
    }
}

/// What an operator's PC has asked of the hub, as long as it was not granted.
pub(super) struct Request {
    pub(super) said: String,
    pub(super) what: String,
    pub(super) who: String,
    pub(super) at: String,
    pub(super) refused: bool,
}

/// Names of accounts.
pub(super) struct Who(BTreeMap<String, String>);

impl Who {
    /// Those of this device.
    pub(super) fn read(connection: &Connection) -> Result<Self> {
        Ok(Self(accounts::names(connection)?))
    }

    /// Who did something, in which role, and on which device. For a step that the hub took for an operator, the operator's device is
    /// named, not the hub's.
    fn name(&self, by: Option<&str>, role: Option<&str>, device: Option<String>) -> String {
        let (account, asker) = by.map_or(("", None), requests::asker);
        let name = self.0.get(account).cloned();
        let device = asker.map(str::to_owned).or(device);
        let said = name
            .into_iter()
            .chain(role.map(str::to_owned))
            .chain(device);
        said.collect::<Vec<_>>().join(" · ")
    }
}

/// A value in words, with the names of the records that it refers to. An item of a set is its key's second half.
fn put(
    connection: &Connection,
    field: Option<&Field>,
    (key, value): (&str, &Value),
    lang: Lang,
) -> String {
    let item = key.split_once('/').map(|(_, item)| Value::from(vec![item]));
    let value = item.as_ref().unwrap_or(value);
    let named = field.map(|field| links(connection, field, value, lang));
    let named: Vec<_> = named.into_iter().flatten().map(|(name, _)| name).collect();
    if named.is_empty() {
        return shown::value(field, value, lang);
    }
    named.join("、")
}

/// The key of a field without the item of a set.
fn plain(key: &str) -> &str {
    key.split_once('/').map_or(key, |(set, _)| set)
}

/// A record's way.
pub(super) fn steps(
    connection: &Connection,
    overview: &Overview,
    (content, kind): (&Content, Option<&Kind>),
    who: &Who,
    lang: Lang,
) -> Vec<Step> {
    let steps = content.events.iter().map(|event| {
        let step = kind.and_then(|kind| kind.transition(&event.event));
        let data = event.data.iter().map(|(key, value)| {
            let field = step.and_then(|step| step.data.iter().find(|it| it.key == plain(key)));
            let label = field.map_or_else(|| key.clone(), |it| lang.label(&it.label).to_owned());
            let account = field.filter(|it| it.account).and(value.as_str());
            let name = account.map(|id| who.name(Some(id), None, None));
            let name = name.filter(|name| !name.is_empty());
            let said = name.unwrap_or_else(|| put(connection, field, (key, value), lang));
            Said::new(label, said)
        });
        let device = event
            .device
            .map(|key| shown::device(overview.authority(), &key));
        let role = event.role.map(Role::label);
        Step {
            label: step.map_or_else(
                || event.event.clone(),
                |step| lang.label(&step.label).to_owned(),
            ),
            at: shown::moment(u64::try_from(event.at_ms).unwrap_or_default(), lang),
            who: who.name(
                Some(&event.by),
                role.as_ref().map(|it| lang.label(it)),
                device,
            ),
            data: data.filter(|line| !line.value.is_empty()).collect(),
            void: match &event.outcome {
                Outcome::Applied { .. } => None,
                Outcome::Void { reason } => Some(lang.label(&reason.label()).to_owned()),
            },
        }
    });
    steps.collect()
}

/// Its signed history, newest first.
pub(super) fn changes(
    connection: &Connection,
    overview: &Overview,
    record: &Record,
    who: &Who,
    (now_ms, lang): (u64, Lang),
) -> Vec<Change> {
    let kind = record.kind;
    let text = |value: &Value, key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let list = |value: &Value, key: &str| -> Vec<Value> {
        let list = value.get(key).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let devices: BTreeMap<String, String> = overview
        .authority()
        .members()
        .iter()
        .map(|(key, member)| (short(key), member.grant.device_code.clone()))
        .collect();
    let was = |values: &Value| -> Was {
        let key = text(values, "field").unwrap_or_default();
        let field = kind.and_then(|kind| kind.field(&key));
        let said = |value: &Value| match value {
            Value::Null => lang.say("value-gone", &[]),
            value => put(connection, field, (&key, value), lang),
        };
        let old = match values.get("old") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(several)) => several.iter().map(said).collect(),
            Some(one) => vec![said(one)],
        };
        Was {
            label: field.map_or_else(|| key.clone(), |it| lang.label(&it.label).to_owned()),
            old,
            new: values.get("new").filter(|it| !it.is_null()).map(said),
            void: values.get("void") == Some(&Value::Bool(true)),
        }
    };
    let gathered = record.gathered.written();
    let merged = gathered.merged_changes();
    let merged: BTreeSet<String> = merged.iter().map(|it| Hex(it).to_string()).collect();
    let history = records::history(gathered, &record.content, record.sight, str::to_owned);
    let changes = history.iter().enumerate().rev().map(|(at, change)| {
        let steps = list(change, "steps").into_iter();
        let steps = steps.filter_map(|step| {
            let event = step.as_str()?;
            let step = kind.and_then(|kind| kind.transition(event));
            let label = step.map_or(event, |step| lang.label(&step.label));
            Some(label.to_owned())
        });
        let fields: Vec<_> = list(change, "values").iter().map(was).collect();
        let labels = fields.iter().map(|was| was.label.clone());
        // What a record began with stands in it, or as what a later change replaced.
        let founded = labels.collect::<Vec<_>>().join("、");
        let founds = at == 0;
        let device = text(change, "device").map(|key| devices.get(&key).cloned().unwrap_or(key));
        Change {
            merged: text(change, "hash").is_some_and(|hash| merged.contains(&hash)),
            hash: text(change, "hash")
                .unwrap_or_default()
                .chars()
                .take(12)
                .collect(),
            at: text(change, "at")
                .map(|at| rfc3339_shown(&at, (now_ms, lang)))
                .unwrap_or_default(),
            who: who.name(text(change, "account").as_deref(), None, device),
            steps: steps.collect(),
            founded: if founds { founded } else { String::new() },
            fields: if founds { Vec::new() } else { fields },
            verified: change.get("verified") == Some(&Value::Bool(true)),
        }
    });
    changes.collect()
}

/// Whether two changes of a record were merged by themselves within a week.
pub(super) fn is_merged_lately(gathered: &Gathered, now_ms: u64) -> bool {
    const LATELY_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
    let newest = gathered.merged_apart(1).pop();
    let at_ms = newest.map(|sides| {
        sides
            .iter()
            .map(|side| side.at_ms)
            .max()
            .unwrap_or_default()
    });
    at_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < LATELY_MS)
}

/// What was asked of the hub about it and not granted.
pub(super) fn asked(
    requests: &[Asked],
    overview: &Overview,
    kind: Option<&Kind>,
    who: &Who,
    lang: Lang,
) -> Vec<Request> {
    let mut asked = Vec::new();
    for it in requests {
        let (id, refused) = match &it.answer {
            None => ("request-open", false),
            Some((RequestOutcome::Refused(_), _)) => ("request-refused", true),
            Some(_) => continue,
        };
        let (_, event) = it.wanted.words();
        let step = kind.and_then(|kind| kind.transition(event));
        let device = shown::device(overview.authority(), &it.device);
        asked.push(Request {
            said: lang.say(id, &[]),
            what: step.map_or_else(|| event.to_owned(), |it| lang.label(&it.label).to_owned()),
            who: who.name(Some(&it.account), None, Some(device)),
            at: shown::moment(it.at_ms, lang),
            refused,
        });
    }
    asked
}

fn rfc3339_shown(at: &str, (now_ms, lang): (u64, Lang)) -> String {
    clock::unix_ms(at).map_or_else(|| at.to_owned(), |ms| shown::at(ms, now_ms, lang))
}
