//! Records as JSON: adding them, listing them, and one with all that belongs to it.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::Reason;
use lianxin_protocol::catalogue::{
    Catalogue, Draft, Fact, Field, Kind, Outcome, Refusal, Role, Unlikely,
};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::{DeviceKey, short};
use lianxin_protocol::receipt::Receipt;
use lianxin_protocol::request::Outcome as Answer;
use lianxin_protocol::space::Space;
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::orders::asked_for;
use super::{account_name, meant, reader};
use crate::accounts;
use crate::actor::Actor;
use crate::clock::{self, Beijing};
use crate::error::{Code, Error, Kind as ErrorKind, Result};
use crate::journal::{Books, Journal, Overview};
use crate::records::articles::{self, PLACE, Taken};
use crate::records::delivery::{self, Coverage, State};
use crate::records::duplicates;
use crate::records::inbox;
use crate::records::save::{self, Author};
use crate::records::sight;
use crate::records::{self, Against, ConflictValue, Filter, Listed, Record, ShownEvent, gather};
use crate::reply::Reply;
use crate::requests::{self, Asked, Wanted};

/// Records of one kind that are told of beside the one they refer to.
const RELATED_MAX: usize = 1_000;
/// Longest submission id in bytes.
const SUBMISSION_MAX: usize = 200;

pub(super) fn kind_of(
    books: &mut Books,
    connection: &Connection,
    key: i64,
) -> Result<&'static Kind> {
    let kind: Option<String> =
        connection.query_row("SELECT kind FROM records WHERE id = ?1", [key], |row| {
            row.get(0)
        })?;
    let kind = match kind {
        Some(kind) => kind,
        None => {
            gather(connection, books, key)?
                .content(books.authority())
                .kind
        }
    };
    known_kind(&kind)
}

/// The kind of this code.
///
/// # Errors
/// [`Code::NoKind`], with the kinds that there are and what may have been meant.
pub(crate) fn known_kind(code: &str) -> Result<&'static Kind> {
    Catalogue::current().kind(code).ok_or_else(|| {
        let known: Vec<_> = Catalogue::current()
            .kinds()
            .map(|kind| kind.code.as_str())
            .collect();
        let message = format!(
            "there is no kind of record of that name; kinds: {}{}",
            known.join(", "),
            meant(code, known.iter().copied())
        );
        Error::new(Code::NoKind, message)
    })
}

pub(super) fn record_add(
    journal: &mut Journal,
    connection: &Connection,
    kind: &Kind,
    rows: &[Value],
    first_row: usize,
    author: &Author,
) -> Result<Reply> {
    let mut added = Vec::with_capacity(rows.len());
    let mut refused = Vec::new();
    // Nobody can be asked any more: what a form would ask about is taken, and named.
    let mut at_odds = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let submission = match row.get("submission_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if (1..=SUBMISSION_MAX).contains(&id.len()) => {
                Some(save::Submission::of(id, row))
            }
            // Taken as absent, it would let a retry record the same matter twice.
            Some(_) => {
                refused.push(json!({
                    "row": first_row + index,
                    "field": "submission_id",
                    "code": "wrong_type",
                    "message": format!("expected text of 1 to {SUBMISSION_MAX} bytes"),
                }));
                continue;
            }
        };
        match Catalogue::current().read(kind, row) {
            Ok(draft) => {
                let new = save::New {
                    kind,
                    draft: &draft,
                    submission,
                    told: false,
                };
                let twice = is_listed(connection, kind, &draft)?;
                let nowhere = articles::doubted(connection, journal, (kind, &draft), |_| None)?;
                match save::add(connection, journal, &new, author) {
                    Ok(saved) => {
                        let mut odds = kind.odds_in(&draft);
                        odds.extend(twice.into_iter().chain(nowhere));
                        at_odds.extend(odds.iter().map(|it| odd(Some(first_row + index), it)));
                        added.push(saved);
                    }
                    // The other rows count all the same. What concerns all rows shows at the first, before
                    // anything is written; later it is said of its row, or those before it would stand
                    // although all seem refused.
                    Err(error)
                        if matches!(error.code(), Code::TooLarge | Code::OtherContent)
                            || (error.leaves_nothing() && !added.is_empty()) =>
                    {
                        let code = match error.code() {
                            Code::TooLarge => "too_large",
                            Code::NoRecord => "no_record",
                            Code::OtherContent => "submission_reused",
                            _ => "not_possible",
                        };
                        refused.push(json!({
                            "row": first_row + index,
                            "field": if error.code() == Code::OtherContent { "submission_id" } else { "" },
                            "code": code,
                            "message": error.chain(),
                        }));
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(refusals) => {
                for refusal in refusals {
                    refused.push(json!({
                        "row": first_row + index,
                        "field": refusal.field,
                        "code": refusal.code,
                        "message": refusal.message,
                    }));
                }
            }
        }
    }
    let coverage = Coverage::of(journal);
    let added = added
        .iter()
        .map(|saved| brief(&coverage, connection, saved));
    let added = added.collect::<Result<Vec<_>>>()?;
    let exit = if refused.is_empty() {
        0
    } else {
        ErrorKind::Partial.exit_code()
    };
    Ok(Reply {
        value: json!({ "records": added, "refused": refused, "at_odds": at_odds }),
        exit,
    })
}

/// What is at odds with a choice, as JSON.
fn odd(row: Option<usize>, refusal: &Refusal) -> Value {
    let Refusal {
        field,
        code,
        message,
    } = refusal;
    match row {
        Some(row) => json!({ "row": row, "field": field, "code": code, "message": message }),
        None => json!({ "field": field, "code": code, "message": message }),
    }
}

pub(super) fn brief(
    coverage: &Coverage,
    connection: &Connection,
    saved: &save::Saved,
) -> Result<Value> {
    let number: Option<String> = connection
        .prepare_cached("SELECT number FROM records WHERE id = ?1")?
        .query_row([saved.key], |row| row.get(0))?;
    let reached = coverage.judged(connection, saved.key)?.0;
    Ok(json!({ "id": saved.id.hyphenated(), "number": number, "state": reached.word() }))
}

pub(super) fn saved_reply(
    journal: &mut Journal,
    connection: &Connection,
    saved: &save::Saved,
    author: &Author,
) -> Result<Reply> {
    let mut record = Record::read(connection, journal, saved.key, &author.actor)?;
    let heads = record.gathered.document().heads();
    let heads: Vec<_> = heads.iter().map(|head| Hex(head).to_string()).collect();
    let value = json!({
        "id": saved.id.hyphenated(),
        "number": record.content.number,
        "heads": heads,
        "state": record.state.word(),
        "status": record.status,
    });
    Ok(asked_for(saved.requested, value))
}

/// Says of a new record of a register that there is one of its name: no name means either of two.
fn is_listed(connection: &Connection, kind: &Kind, draft: &Draft) -> Result<Option<Refusal>> {
    let (Some(_), Some(key)) = (kind.alias(), &kind.title) else {
        return Ok(None);
    };
    let mut texts = draft.texts.values();
    let Some(name) = texts.find_map(|texts| texts.get(key)) else {
        return Ok(None);
    };
    let same = records::of_name(connection, name, std::slice::from_ref(&kind.code))?;
    Ok((!same.is_empty()).then(|| Refusal {
        field: key.clone(),
        code: "doubted",
        message: "the register has one of this name already, so the name means neither".to_owned(),
    }))
}

pub(super) fn record_act(
    journal: &mut Journal,
    connection: &Connection,
    id: &str,
    step: (&str, &Value),
    author: &Author,
) -> Result<Reply> {
    let key = records::find(connection, id)?;
    // Nobody can be asked any more: what a form would ask about is taken, and named.
    let doubts = doubts(journal, connection, key, step, author.now_ms)?;
    let saved = requests::act(connection, journal, key, step, author)?;
    let mut reply = saved_reply(journal, connection, &saved, author)?;
    if let (Value::Object(members), false) = (&mut reply.value, doubts.is_empty()) {
        members.insert("at_odds".to_owned(), Value::Array(doubts));
    }
    Ok(reply)
}

/// What makes it doubtful whether a step is meant, as the record stands and with what the step carries.
fn doubts(
    books: &mut Books,
    connection: &Connection,
    key: i64,
    (event, input): (&str, &Value),
    now_ms: u64,
) -> Result<Vec<Value>> {
    let kind = kind_of(books, connection, key)?;
    let Some(step) = kind.transition(event) else {
        return Ok(Vec::new());
    };
    let content = gather(connection, books, key)?.content(books.authority());
    let odd = |field: &str, message: &str| json!({ "field": field, "code": "doubted", "message": message });
    let mut doubts = Vec::new();
    let against = Against::of(connection, kind, (key, &content), [step])?;
    let message = "a name here is in no register: match it first (`record names`)";
    doubts.extend((!against.unmatched.is_empty()).then(|| odd("", message)));
    let label = step.doubted(|key| against.values(key));
    doubts.extend(label.map(|label| odd("", &label.en)));
    let given = |key: &str| match key.split_once('.') {
        Some((group, name)) => Some(input.get(group)?.get(name)?.as_str()?.to_owned()),
        None => Some(input.get(key)?.as_str()?.to_owned()),
    };
    let day = Beijing::of(now_ms).iso_date();
    let unlikely = kind.unlikely(step, given, |key| content.date(key), &day);
    if let Some(place) = given(PLACE) {
        let mut to = Draft::default();
        to.facts.insert(PLACE.to_owned(), Some(Fact::Str(place)));
        let held = |key: &str| content.held(key).into_iter().next();
        let nowhere = articles::doubted(connection, books, (kind, &to), held)?;
        doubts.extend(nowhere.map(|it| odd(&it.field, &it.message)));
    }
    if step.to.is_some() && against.is_outdated {
        doubts.push(odd(PLACE, "it was said of an older text of its article"));
    }
    doubts.extend(unlikely.map(|it| match it {
        Unlikely::Ahead(key) => odd(key, "this day has not come yet"),
        Unlikely::Before(key, other) => odd(key, &format!("this is before {other}")),
    }));
    Ok(doubts)
}

/// Shows what is kept of a record to somebody who says why.
pub(super) fn reveal(
    journal: &mut Journal,
    connection: &Connection,
    (id, reason): (&str, &str),
    author: &Author,
) -> Result<Reply> {
    let key = records::find(connection, id)?;
    let record = sight::reveal(connection, journal, key, reason, author)?;
    let revealed = BTreeSet::from([record]);
    let actor = author.actor.clone().having_revealed(revealed);
    Ok(Reply::ok(record_json(journal, connection, key, &actor)?))
}

pub(super) fn record_set(
    journal: &mut Journal,
    connection: &Connection,
    id: &str,
    input: &Value,
    author: &Author,
) -> Result<Reply> {
    let key = records::find(connection, id)?;
    let record = Record::read(connection, journal, key, &author.actor)?;
    if !record.sight.has_words() {
        let message = "what this record holds is not shown to this account";
        return Err(Error::new(Code::NotShown, message));
    }
    let kind = kind_of(journal, connection, key)?;
    let draft = kind.read_edit(input);
    let draft = draft.map_err(|refusals| save::fields_refused(&refusals))?;
    let content = gather(connection, journal, key)?.content(journal.authority());
    let mut odds = content.at_odds(kind, &draft);
    let held = |key: &str| content.held(key).into_iter().next();
    odds.extend(articles::doubted(
        connection,
        journal,
        (kind, &draft),
        held,
    )?);
    let saved = save::set(connection, journal, key, &draft, author)?;
    let mut reply = saved_reply(journal, connection, &saved, author)?;
    if let Value::Object(members) = &mut reply.value {
        let odds = odds.iter().map(|it| odd(None, it));
        members.insert("at_odds".to_owned(), odds.collect());
    }
    Ok(reply)
}

pub(super) fn record_history(
    books: &mut Books,
    connection: &Connection,
    id: &str,
    actor: &Actor,
) -> Result<Reply> {
    let key = records::find(connection, id)?;
    let record = Record::read(connection, books, key, actor)?;
    let names = accounts::names(connection)?;
    let account = |by: &str| account_name(&names, by);
    let changes = records::history(&record.gathered, &record.content, record.sight, account);
    Ok(Reply::ok(
        json!({ "id": record.id.hyphenated(), "changes": changes }),
    ))
}

pub(super) fn record_names(connection: &Connection, limit: usize) -> Result<Reply> {
    let mut names = Vec::new();
    for found in records::unmatched(connection, limit)? {
        let example = records::rows(connection, &[found.example])?.pop();
        names.push(json!({
            "name": found.name,
            "kinds": found.kinds,
            "records": found.count,
            "example": example.map(|row| row.id.hyphenated()),
        }));
    }
    Ok(Reply::ok(json!({ "names": names })))
}

pub(super) fn record_alike(
    books: &mut Books,
    connection: &Connection,
    actor: &Actor,
    limit: usize,
) -> Result<Reply> {
    let nothing = || Error::new(Code::NoPage, "nothing is merged here");
    let (kind, follows, step) = duplicates::merging().ok_or_else(nothing)?;
    actor.takes(&step.event, &step.who)?;
    let who = (actor, books.wall.now_ms());
    let found = duplicates::found(connection, books, (kind, follows, step), None, who)?;
    let told = |row: &Listed| {
        json!({
            "id": row.id.hyphenated(),
            "number": row.number,
            "title": row.title(actor).text(),
            "status": row.status,
        })
    };
    let groups = found.iter().take(limit).map(|group| {
        let others = group.others.iter().map(|(row, reasons)| {
            let mut other = told(row);
            if let Value::Object(said) = &mut other {
                said.insert("mergeable".to_owned(), step.applies_to(&row.status).into());
                said.insert("words".to_owned(), reasons.words.into());
                said.insert("place".to_owned(), reasons.place.word().into());
                said.insert("phone".to_owned(), reasons.phone.into());
                said.insert("days".to_owned(), reasons.days.into());
            }
            other
        });
        json!({ "main": told(&group.main), "others": others.collect::<Vec<_>>() })
    });
    Ok(Reply::ok(json!({
        "kind": kind.code,
        "step": step.event,
        "field": follows.field,
        "groups": groups.collect::<Vec<_>>(),
        "more": found.len() > limit,
    })))
}

pub(super) fn record_articles(
    journal: &mut Journal,
    connection: &Connection,
    id: &str,
    draft: (&str, bool),
    author: &Author,
) -> Result<Reply> {
    let key = records::find(connection, id)?;
    let Taken {
        added,
        moved,
        changed,
        gone,
        carried,
        flagged,
        doubted,
    } = articles::take(connection, journal, key, draft, author)?;
    Ok(Reply::ok(json!({
        "articles": { "added": added, "moved": moved, "changed": changed, "gone": gone },
        "comments": { "carried": carried, "flagged": flagged },
        "doubted": doubted,
    })))
}

/// Messages to an account and to whoever is at the desk: those that were read, or those that were not.
pub(super) fn messages(
    connection: &Connection,
    (account, seen): (&str, bool),
    limit: usize,
) -> Result<Reply> {
    let mut messages = Vec::new();
    for item in inbox::list(connection, account, seen, None, limit)? {
        let row = records::rows(connection, &[item.record])?.pop();
        // What is not here any more tells nobody anything; an answer of the hub is of no record.
        if row.is_none() && item.record != 0 {
            continue;
        }
        messages.push(json!({
            "what": item.what.word(),
            "id": row.as_ref().map(|row| row.id.hyphenated()),
            "kind": row.as_ref().map(|row| &row.kind),
            "number": row.as_ref().and_then(|row| row.number.as_ref()),
            "about": item.about.split_whitespace().collect::<Vec<_>>(),
            "at": clock::rfc3339(item.at_ms),
        }));
    }
    Ok(Reply::ok(json!({ "messages": messages })))
}

pub(super) fn request_list(
    overview: &Overview,
    connection: &Connection,
    limit: usize,
) -> Result<Reply> {
    let names = accounts::names(connection)?;
    let newest = requests::newest(connection, limit)?;
    let newest = newest.iter().map(|it| request_json(overview, &names, it));
    Ok(Reply::ok(json!({ "requests": newest.collect::<Vec<_>>() })))
}

pub(super) fn record_list(
    overview: &Overview,
    connection: &Connection,
    filter: Filter,
    state: Option<State>,
    actor: &Actor,
) -> Result<Reply> {
    let coverage = Coverage::of(overview);
    let (shown, next) = delivery::list(connection, &coverage, filter, state)?;
    let listed = shown.iter().map(|shown| {
        let row = &shown.row;
        json!({
            "id": row.id.hyphenated(),
            "kind": row.kind,
            "number": row.number,
            "title": row.title(actor).text(),
            "status": shown.status,
            "state": shown.state.word(),
            "conflicts": row.conflicts,
            "held": row.held.map(Reason::word),
            "superseded_by": row.again.map(|again| again.hyphenated()),
        })
    });
    let listed: Vec<_> = listed.collect();
    let next = next.map(|next| next.hyphenated());
    Ok(Reply::ok(json!({ "records": listed, "next": next })))
}

pub(super) fn device_name(overview: &Overview, device: &DeviceKey) -> String {
    let member = overview.authority().members().get(device);
    member.map_or_else(|| short(device), |member| member.grant.device_code.clone())
}

pub(super) fn record_json(
    books: &mut Books,
    connection: &Connection,
    key: i64,
    actor: &Actor,
) -> Result<Value> {
    let record = Record::read(connection, books, key, actor)?;
    record_value(books, connection, record, actor)
}

/// What commands and exports say of a record, with the steps that this person may take.
fn record_value(
    books: &mut Books,
    connection: &Connection,
    record: Record,
    actor: &Actor,
) -> Result<Value> {
    let names = accounts::names(connection)?;
    let conflicts = record.content.conflicts.iter();
    let conflicts: Vec<_> = conflicts
        .map(|(field, values)| conflict_json(books, field, values))
        .collect();
    let events = record.content.events.iter();
    let events: Vec<_> = events
        .map(|event| event_json(books, &names, event))
        .collect();
    let receipts: Vec<_> = record.receipts.iter().map(|it| receipt_json(it)).collect();
    let requests = requests::of_record(connection, record.key)?;
    let content = &record.content;
    let steps = record.kind.into_iter();
    let today = Beijing::of(clock::now_ms()).iso_date();
    let steps: Vec<_> = steps
        .flat_map(|kind| content.offered(kind, actor.roles(), &today))
        .filter(|step| !requests::is_open_for(&requests, &step.event))
        .map(|step| step.event.clone())
        .collect();
    let requests = requests
        .iter()
        .map(|asked| request_json(books, &names, asked));
    let requests: Vec<_> = requests.collect();
    let missing = record.gathered.missing().keys();
    let missing: Vec<_> = missing.map(|it| Hex(it).to_string()).collect();
    let waits_for = record.gathered.missing().iter();
    let waits_for: Vec<_> = waits_for
        .map(|(change, place)| {
            json!({
                "change": Hex(change).to_string(),
                "device": place.map(|it| device_name(books, &it.device)),
                "log": place.map(|it| Hex(&it.log.0).to_string()),
                "entry": place.map(|it| it.seq),
            })
        })
        .collect();
    let related = Related::read(connection, books, &record, actor)?;
    let title = record.title().text().map(str::to_owned);
    let beside = beside(books, &record);
    let content = record.content;
    let mut fields = content.fields;
    fields.extend(related.nested);
    let mut value = json!({
        "id": record.id.hyphenated(),
        "kind": content.kind,
        "number": content.number,
        "title": title,
        "fields": fields,
        "refers": related.refers,
        "linked": related.linked,
        "conflicts": conflicts,
        "status": record.status,
        "overlays": content.overlays,
        "events": events,
        "steps": steps,
        "requests": requests,
        "state": record.state.word(),
        "received_at": record.received_ms.map(clock::rfc3339),
        "held": record.reason.map(Reason::word),
        "superseded_by": record.gathered.again().map(|again| again.hyphenated()),
        "receipts": receipts,
        "waiting": content.waiting,
        "missing": missing,
        "waits_for": waits_for,
        "unreadable": content.unreadable,
    });
    if let Value::Object(said) = &mut value {
        said.extend(beside);
    }
    Ok(value)
}

/// Records beside one: those nested in it, those that refer to it, and those that it names.
#[derive(Default)]
struct Related {
    nested: Map<String, Value>,
    linked: Vec<Value>,
    refers: Map<String, Value>,
}

impl Related {
    fn read(
        connection: &Connection,
        books: &mut Books,
        record: &Record,
        actor: &Actor,
    ) -> Result<Self> {
        let mut related = Self::default();
        let Some(kind) = record.kind else {
            return Ok(related);
        };
        let brief = |row: &Listed| {
            json!({
                "id": row.id.hyphenated(),
                "kind": row.kind,
                "number": row.number,
                "title": row.title(actor).text(),
            })
        };
        for (field, target) in &record.content.mentions {
            let kinds = kind.field(field).map(Field::names).unwrap_or_default();
            if let Some(row) = records::named(connection, target, kinds)? {
                related.refers.insert(target.clone(), brief(&row));
            }
        }
        for found in record.related(connection, actor, RELATED_MAX)? {
            let by = &found.gather.by;
            let Some(name) = &found.gather.field else {
                related.linked.extend(found.rows.iter().map(|row| {
                    let mut brief = brief(row);
                    if let Value::Object(brief) = &mut brief {
                        brief.insert("field".to_owned(), json!(by));
                        brief.insert("status".to_owned(), json!(row.status));
                    }
                    brief
                }));
                continue;
            };
            let nested = found.contents(connection, books, (record.sight, actor))?;
            let nested = nested.into_iter().map(|(row, content)| {
                let mut fields = content.fields;
                fields.remove(by);
                fields.insert("id".to_owned(), json!(row.id.hyphenated()));
                Value::Object(fields)
            });
            let nested: Vec<_> = nested.collect();
            if !nested.is_empty() {
                related.nested.insert(name.clone(), json!(nested));
            }
        }
        Ok(related)
    }
}

pub(super) fn conflict_json(overview: &Overview, field: &str, values: &[ConflictValue]) -> Value {
    let own = overview.identity().key();
    let values = values.iter().map(|value| {
        json!({
            "mine": value.device == Some(own),
            "value": value.value,
            "device": value.device.map(|device| device_name(overview, &device)),
            "at": clock::rfc3339(value.at_ms),
        })
    });
    json!({ "field": field, "values": values.collect::<Vec<_>>() })
}

fn event_json(overview: &Overview, names: &BTreeMap<String, String>, event: &ShownEvent) -> Value {
    let (applied, from, to, reason) = match &event.outcome {
        Outcome::Applied { from, to } => (true, Some(from), Some(to), None),
        Outcome::Void { reason } => (false, None, None, Some(reason.as_str())),
    };
    json!({
        "event": event.event,
        "at": clock::rfc3339(u64::try_from(event.at_ms).unwrap_or_default()),
        "account": account_name(names, &event.by),
        "role": event.role.map(Role::letter),
        "device": event.device.map(|device| device_name(overview, &device)),
        "data": event.data,
        "applied": applied,
        "from": from,
        "to": to,
        "reason": reason,
    })
}

fn receipt_json(receipt: &Receipt) -> Value {
    json!({
        "log": receipt.log.to_string(),
        "stored_len": receipt.stored.len,
        "judged_len": receipt.judged_len,
        "received_at": clock::rfc3339(receipt.received_at_ms),
        "epoch": Hex(&receipt.epoch).to_string(),
    })
}

/// A request as JSON. What a step, a site and an invite are about has a key of its own each.
pub(super) fn request_json(
    overview: &Overview,
    names: &BTreeMap<String, String>,
    asked: &Asked,
) -> Value {
    let (outcome, code) = match &asked.answer {
        None => (None, None),
        Some((Answer::Done, _)) => (Some("done"), None),
        Some((Answer::Refused(refusal), _)) => (Some("refused"), Some(refusal.word())),
    };
    let mut value = json!({
        "id": asked.id.to_string(),
        "account": account_name(names, &asked.account),
        "device": device_name(overview, &asked.device),
        "at": clock::rfc3339(asked.at_ms),
        "outcome": outcome,
        "code": code,
        "answered_at": asked.answer.map(|(_, at_ms)| clock::rfc3339(at_ms)),
    });
    if let Value::Object(fields) = &mut value {
        let about = match &asked.wanted {
            Wanted::Act { record, event, .. } => {
                fields.insert("record".to_owned(), json!(record.hyphenated()));
                ("event", event)
            }
            Wanted::Site(code) => ("site", code),
            Wanted::Invite(code) => ("device_code", code),
            Wanted::Order { order, about } => (*order, about),
        };
        fields.insert(about.0.to_owned(), json!(about.1));
    }
    value
}

pub(super) fn export_page(
    books: &mut Books,
    connection: &Connection,
    (filter, after): (Filter, Option<&str>),
    (documents, account): (bool, Option<&str>),
) -> Result<Reply> {
    let after = after.and_then(lianxin_protocol::log::RecordId::parse);
    let filter = Filter {
        limit: 200,
        after,
        ..filter
    };
    let rows = records::list(connection, &filter)?;
    let actor = reader(books, connection, account)?;
    if documents && !actor.owns_store() {
        let message = "a whole document holds what is not shown to an account: leave out --as";
        return Err(Error::new(Code::NotShown, message));
    }
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        let record = Record::read(connection, books, row.key, &actor)?;
        let mut whole = Map::new();
        if documents {
            let automerge = Hex(&record.gathered.automerge()?).to_string();
            whole.insert("texts".to_owned(), json!(record.gathered.texts()));
            whole.insert("automerge".to_owned(), json!(automerge));
        }
        let mut value = record_value(books, connection, record, &actor)?;
        if let Value::Object(fields) = &mut value {
            fields.extend(whole);
        }
        records.push(value);
    }
    let next = rows
        .last()
        .filter(|_| rows.len() == filter.limit)
        .map(|row| row.id.hyphenated());
    Ok(Reply::ok(json!({ "records": records, "next": next })))
}

/// By what the records of a kind are known again, each with its id.
pub(crate) fn record_keys(
    overview: &Overview,
    connection: &Connection,
    kind: &Kind,
) -> Result<Vec<(String, String)>> {
    /// Records of a list that is read at once.
    const PAGE: usize = 500;
    let actor = Actor::owner(overview).owning_the_store();
    let mut keys = Vec::new();
    let mut filter = Filter {
        kind: Some(kind.code.clone()),
        held: Some(false),
        limit: PAGE,
        ..Filter::default()
    };
    loop {
        let rows = records::list(connection, &filter)?;
        for row in &rows {
            let title = kind.title.as_deref();
            let value = |key: &str| match row.facts(&actor).get(key) {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Null) | None => {
                    let text = row.title(&actor).text();
                    text.filter(|_| title == Some(key)).map(str::to_owned)
                }
                Some(other) => Some(other.to_string()),
            };
            let refs = row.facts(&actor).get("external_ref");
            let found = crate::ledger::key(kind, value).into_iter();
            let found = found.chain(crate::ledger::outside_keys(refs));
            keys.extend(found.map(|key| (key, row.id.hyphenated())));
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE => filter.after = Some(last.id),
            _ => return Ok(keys),
        }
    }
}

/// A record as ledgers read it.
pub(crate) fn ledger_row(overview: &Overview, record: Record) -> Value {
    let mut value = json!({
        "kind": record.content.kind,
        "number": record.content.number,
        "status": record.status,
        "overlays": record.content.overlays,
    });
    if let Value::Object(said) = &mut value {
        said.extend(beside(overview, &record));
        said.insert("fields".to_owned(), Value::Object(record.content.fields));
    }
    value
}

/// What is said of a record besides its fields: the name of its site, when it was recorded, the day by
/// which it belongs to a period, whether it was recorded later than it happened or by a clock that is doubted, and the answer, once it may be
/// told.
fn beside(overview: &Overview, record: &Record) -> Map<String, Value> {
    let authority = overview.authority();
    let site = record
        .row
        .as_ref()
        .and_then(|row| authority.space(&row.space));
    let site = match site {
        Some(Space::Site(site)) => authority.sites().get(&site).map(|it| it.name.clone()),
        _ => Some(authority.names().0.to_owned()),
    };
    let answer = record.kind.and_then(|kind| record.content.answer(kind));
    let (text, at) = answer.map(|(text, at)| (text, clock::rfc3339(at))).unzip();
    let made_ms = record.id.made_ms();
    let happened = record.happened_on();
    let recorded = Beijing::of(made_ms).iso_date();
    let late = happened.as_ref().map(|day| *day < recorded);
    // What stands in a register was there before it was written down.
    let is_event = |kind: &&Kind| {
        !kind.counts_on.is_empty() && !kind.statuses.iter().any(|status| status.gone)
    };
    let counts_on = happened.or_else(|| record.kind.filter(is_event).map(|_| recorded));
    let suspect = record.received_ms.map(|at| clock::is_suspect(made_ms, at));
    let said = [
        ("site", json!(site)),
        ("recorded_at", json!(clock::rfc3339(made_ms))),
        ("counts_on", json!(counts_on)),
        ("late_entry", json!(late)),
        ("clock_suspect", json!(suspect)),
        ("answer", json!(text)),
        ("answered_at", json!(at)),
    ];
    said.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Takes a step on each of many records, given as `id` and `input`, the first of which is called 0, and says which were refused, as
/// `record add` does.
pub(crate) fn take_steps(
    journal: &mut Journal,
    connection: &Connection,
    (kind, event): (&Kind, &str),
    rows: &[Value],
    author: &Author,
) -> Result<Value> {
    let mut refused = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
        let input = row.get("input").unwrap_or(&Value::Null);
        let taken = records::find(connection, id).and_then(|key| {
            if kind_of(journal, connection, key)?.code != kind.code {
                return Err(Error::new(
                    Code::NoRecord,
                    "this is a record of another kind",
                ));
            }
            requests::act(connection, journal, key, (event, input), author)
        });
        match taken {
            Ok(_) => {}
            Err(error) if error.leaves_nothing() => refused.push(json!({
                "row": at, "field": "", "code": "not_possible", "message": error.chain(),
            })),
            Err(error) => return Err(error),
        }
    }
    Ok(json!({ "refused": refused }))
}

/// Records rows, the first of which is called 0, and says what `record add` says.
pub(crate) fn add_rows(
    journal: &mut Journal,
    connection: &Connection,
    (kind, rows): (&Kind, &[Value]),
    author: &Author,
) -> Result<Value> {
    Ok(record_add(journal, connection, kind, rows, 0, author)?.value)
}
