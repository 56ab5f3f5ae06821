//! Tests of the catalogue, one file per module; here is what they share. All fictional test data.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that reaches beyond its own table should fail"
)]

mod fold;
mod kinds;
mod load;
mod published;
mod read;

use serde_json::json;

use super::*;

type Tested = Result<(), Box<dyn std::error::Error>>;

fn opinion() -> Result<&'static Kind, &'static str> {
    Catalogue::standard()
        .kind("opinion")
        .ok_or("the shipped catalogue has no opinion")
}

fn refused<T>(read: Result<T, Vec<Refusal>>) -> Vec<(String, &'static str)> {
    let refusals = read.err().unwrap_or_default();
    refusals
        .into_iter()
        .map(|refusal| (refusal.field, refusal.code))
        .collect()
}

fn one(field: &str, code: &'static str) -> Vec<(String, &'static str)> {
    vec![(field.to_owned(), code)]
}

/// A whole opinion with one more member, or another value for one.
fn with(name: &str, value: Value) -> Value {
    let mut input = json!({ "body": "测试小区路灯不亮。", "category": "help" });
    if let Some(members) = input.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    input
}

/// What a draft of a new record reads back as.
fn nested(kind: &Kind, draft: Draft) -> Value {
    let set = |(key, fact): (String, Option<Fact>)| Some((key, fact?));
    let facts = draft.facts.into_iter().filter_map(set).collect();
    Value::Object(kind.nest(&facts, &draft.texts.into_values().flatten().collect()))
}

fn fact(draft: &Draft, key: &str) -> Option<Fact> {
    draft.facts.get(key).cloned().flatten()
}

fn text<'a>(draft: &'a Draft, class: Retention, key: &str) -> Option<&'a str> {
    draft.texts.get(&class)?.get(key).map(String::as_str)
}

/// `roles` are the letters of the files.
fn step(event: &str, id: u8, roles: &str, preds: &[usize]) -> Step {
    let role = |letter: char| Role::of(&letter.to_string());
    Step {
        event: event.to_owned(),
        roles: roles.chars().filter_map(role).collect(),
        id: [id; 32],
        preds: preds.to_vec(),
        facts: Facts::new(),
        day: "2026-03-02".to_owned(),
    }
}

/// Steps that each know all before them.
fn chain(events: &[(&str, &str)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (id, (event, roles)) in (1..).zip(events) {
        let preds: Vec<_> = steps.len().checked_sub(1).into_iter().collect();
        steps.push(step(event, id, roles, &preds));
    }
    steps
}

fn void(reason: VoidReason) -> Outcome {
    Outcome::Void { reason }
}

fn applied(folded: &Folded) -> Vec<bool> {
    folded
        .outcomes
        .iter()
        .map(|outcome| matches!(outcome, Outcome::Applied { .. }))
        .collect()
}
