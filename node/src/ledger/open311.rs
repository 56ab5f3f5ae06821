//! Residents' opinions in the shape of Open311 GeoReport v2, for city platforms that read it: what, where and how it stands, and nothing of
//! who brought it. Of one that is kept confidential or sealed no words go out; what is a draft, was withdrawn or is test data does not.
//!
//! Source: <http://wiki.open311.org/GeoReport_v2/>, GET Service Requests.

use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::log::RecordId;
use serde_json::{Map, Value, json};

/// The kind whose records go out.
pub const KIND: &str = "opinion";
/// Statuses in which nothing was brought to anybody, or no longer.
const NOT_BROUGHT: [&str; 3] = ["draft", "discarded", "withdrawn"];
/// Statuses after which nobody works on it.
const CLOSED: [&str; 9] = [
    "not_accepted",
    "told",
    "merged",
    "answered",
    "informed",
    "rated",
    "parked",
    "closed",
    "archived",
];

/// A record, given as exports have it, as a service request; none where it is no such.
#[must_use]
pub fn request(record: &Value) -> Option<Value> {
    let kind = Catalogue::current().kind(KIND)?;
    let text = |key: &str| record.get(key).and_then(Value::as_str);
    let fields = record.get("fields")?;
    let field = |key: &str| fields.get(key).and_then(Value::as_str);
    let status = text("status")?;
    let is_test = fields.get("test_data") == Some(&Value::Bool(true));
    if text("kind") != Some(KIND) || NOT_BROUGHT.contains(&status) || is_test {
        return None;
    }
    let has_overlay = record.get("overlays").and_then(Value::as_array);
    let is_sealed = has_overlay.is_some_and(|overlays| !overlays.is_empty());
    let is_open = !is_sealed && field("identity_mode") != Some("confidential");
    let place = |key: &str| fields.get("place").and_then(|it| it.get(key));
    let place = |key: &str| named(place(key).and_then(Value::as_str));
    let address = [place("community"), place("text").filter(|_| is_open)];
    let address: Vec<_> = address.into_iter().flatten().collect();
    let said = [
        ("service_request_id", text("number").map(str::to_owned)),
        (
            "status",
            Some(
                if CLOSED.contains(&status) {
                    "closed"
                } else {
                    "open"
                }
                .to_owned(),
            ),
        ),
        (
            "status_notes",
            kind.status(status).map(|it| it.label.zh.clone()),
        ),
        ("service_code", field("topic").map(str::to_owned)),
        (
            "service_name",
            field("topic").and_then(|code| option(kind, "topic", code)),
        ),
        (
            "description",
            field("body").filter(|_| is_open).map(str::to_owned),
        ),
        ("agency_responsible", named(field("lead"))),
        ("requested_datetime", text("recorded_at").map(str::to_owned)),
        (
            "updated_datetime",
            text("answered_at")
                .or(text("recorded_at"))
                .map(str::to_owned),
        ),
        (
            "expected_datetime",
            field("due_on").map(|day| format!("{day}T23:59:59+08:00")),
        ),
        (
            "address",
            Some(address.concat()).filter(|it| !it.is_empty()),
        ),
    ];
    let said = said
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
    Some(Value::Object(said.collect::<Map<_, _>>()))
}

/// A name that says something outside this network.
fn named(name: Option<&str>) -> Option<String> {
    name.filter(|it| RecordId::parse(it).is_none())
        .map(str::to_owned)
}

fn option(kind: &Kind, key: &str, code: &str) -> Option<String> {
    let options = kind.field(key)?.options().iter();
    let mut options = options.filter(|option| option.code == code);
    options.next().map(|option| option.label.zh.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: &str, mode: &str) -> Value {
        json!({
            "kind": KIND, "number": "YJ-1", "status": status, "overlays": [], "recorded_at": "2026-11-30T09:00:00+08:00",
            "fields": {
                "body": "路灯不亮", "topic": "utilities", "identity_mode": mode,
                "place": { "community": "东社区", "text": "3号楼" },
                "person": { "name": "测试女士", "phone": "000-0000-0001" },
            },
        })
    }

    #[test]
    fn nobody_who_brought_it_goes_out_and_no_words_of_what_is_confidential()
    -> Result<(), &'static str> {
        let open = request(&record("dispatched", "named")).ok_or("left out")?;
        assert_eq!(
            (open["status"].as_str(), open["address"].as_str()),
            (Some("open"), Some("东社区3号楼"))
        );
        assert_eq!(open["service_name"], "水电气暖");
        assert!(!open.to_string().contains("测试女士") && !open.to_string().contains("000-0000"));
        let kept = request(&record("closed", "confidential")).ok_or("left out")?;
        assert_eq!(
            (kept["status"].as_str(), kept["address"].as_str()),
            (Some("closed"), Some("东社区"))
        );
        assert!(kept.get("description").is_none());
        let mut sealed = record("closed", "named");
        sealed["overlays"] = json!(["sealed"]);
        assert!(
            request(&sealed)
                .ok_or("left out")?
                .get("description")
                .is_none()
        );
        for status in NOT_BROUGHT {
            assert!(request(&record(status, "named")).is_none(), "{status}");
        }
        let mut test = record("closed", "named");
        test["fields"]["test_data"] = json!(true);
        assert!(request(&test).is_none());
        Ok(())
    }

    #[test]
    fn the_statuses_are_those_of_the_kind() -> Result<(), &'static str> {
        let kind = Catalogue::current().kind(KIND).ok_or("no kind")?;
        for status in NOT_BROUGHT.iter().chain(&CLOSED) {
            assert!(kind.status(status).is_some(), "{status}");
        }
        Ok(())
    }
}
