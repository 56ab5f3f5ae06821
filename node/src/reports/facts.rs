//! The facts of a record as reports ask for them, and its steps.
//!
//! A report may hold a hundred thousand records, so the facts of one are flat and lie in two pieces of memory, and a fact is found by looking
//! at one after the other: there are few. Rejected: a map a record, which takes longer to build and to give back than all the counting.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::clock::Beijing;

/// Where a word stands among the words of its record, whose row is not unpacked beyond what fits here.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u32,
    to: u32,
}

#[derive(Clone, Copy, Debug)]
enum Fact {
    Text(Span),
    /// One item of a set, which has as many of them as it has items.
    Item(Span),
    Int(i64),
    Mark(bool),
}

/// The facts of one record by their keys; those of a group by `group.key`.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Keys and texts, one behind the other.
    words: String,
    facts: Vec<(Span, Fact)>,
}

impl Clone for Facts {
    /// Takes as much memory as it needs, however much was set aside for reading.
    fn clone(&self) -> Self {
        Self {
            words: self.words.clone(),
            facts: self.facts.clone(),
        }
    }
}

impl Facts {
    /// Reads an object of JSON in the place of what was here; there are no facts in what is none.
    pub(super) fn read(&mut self, json: &[u8]) {
        self.clear();
        let mut from = serde_json::Deserializer::from_slice(json);
        let said = Said {
            facts: self,
            place: Place::Record,
        };
        let read = said.deserialize(&mut from).and_then(|()| from.end());
        if read.is_err() {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.words.clear();
        self.facts.clear();
    }

    fn word(&self, span: Span) -> &str {
        let word = self.words.get(span.from as usize..span.to as usize);
        word.unwrap_or_default()
    }

    /// Where the next word begins.
    fn end(&self) -> u32 {
        u32::try_from(self.words.len()).unwrap_or(u32::MAX)
    }

    /// Puts a word behind the others.
    fn put(&mut self, word: &str) -> Span {
        let from = self.end();
        self.words.push_str(word);
        let to = self.end();
        Span { from, to }
    }

    fn all(&self, key: &str) -> impl Iterator<Item = Fact> {
        let is_it = move |span: Span| self.word(span) == key;
        let found = self.facts.iter().filter(move |(span, _)| is_it(*span));
        found.map(|(_, fact)| *fact)
    }

    /// A text, a choice, a date or a reference.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.all(key).next()? {
            Fact::Text(span) => Some(self.word(span)),
            Fact::Item(_) | Fact::Int(_) | Fact::Mark(_) => None,
        }
    }

    /// A whole number.
    pub(super) fn int(&self, key: &str) -> Option<i64> {
        match self.all(key).next()? {
            Fact::Int(number) => Some(number),
            Fact::Text(_) | Fact::Item(_) | Fact::Mark(_) => None,
        }
    }

    /// A mark.
    pub(super) fn mark(&self, key: &str) -> Option<bool> {
        match self.all(key).next()? {
            Fact::Mark(mark) => Some(mark),
            Fact::Text(_) | Fact::Item(_) | Fact::Int(_) => None,
        }
    }

    /// The items of a set, in its order.
    pub(super) fn items(&self, key: &str) -> impl Iterator<Item = &str> {
        self.all(key).filter_map(|fact| match fact {
            Fact::Item(span) => Some(self.word(span)),
            Fact::Text(_) | Fact::Int(_) | Fact::Mark(_) => None,
        })
    }
}

/// Where something is said.
#[derive(Clone, Copy)]
enum Place {
    /// It is all that is said of the record.
    Record,
    /// Under this key.
    Field(Span),
    /// In the set of this key.
    Set(Span),
}

/// What is said at a place.
struct Said<'a> {
    facts: &'a mut Facts,
    place: Place,
}

impl Said<'_> {
    fn is(self, fact: Fact) {
        // Sets have texts in them alone.
        if let Place::Field(key) = self.place {
            self.facts.facts.push((key, fact));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Said<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        match self.place {
            Place::Record => from.deserialize_map(self),
            Place::Field(_) | Place::Set(_) => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Said<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("the facts of a record")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, mark: bool) -> Result<(), E> {
        self.is(Fact::Mark(mark));
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.is(Fact::Int(number));
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if let Ok(number) = i64::try_from(number) {
            self.is(Fact::Int(number));
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let span = self.facts.put(text);
        match self.place {
            Place::Record => {}
            Place::Field(key) => self.facts.facts.push((key, Fact::Text(span))),
            Place::Set(key) => self.facts.facts.push((key, Fact::Item(span))),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Place::Field(key) = self.place else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let place = Place::Set(key);
        let facts = self.facts;
        loop {
            let facts = &mut *facts;
            if items.next_element_seed(Said { facts, place })?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let group = match self.place {
            Place::Record => None,
            Place::Field(group) => Some(group),
            Place::Set(_) => {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(());
            }
        };
        let facts = self.facts;
        loop {
            let facts = &mut *facts;
            let Some(key) = fields.next_key_seed(Key { facts, group })? else {
                return Ok(());
            };
            let place = Place::Field(key);
            fields.next_value_seed(Said { facts, place })?;
        }
    }
}

/// The key of a field in a group, or in none.
struct Key<'a> {
    facts: &'a mut Facts,
    group: Option<Span>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Span;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Span, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Span;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("the key of a field")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Span, E> {
        let from = self.facts.end();
        if let Some(group) = self.group {
            let group = group.from as usize..group.to as usize;
            self.facts.words.extend_from_within(group);
            self.facts.words.push('.');
        }
        let Span { to, .. } = self.facts.put(key);
        Ok(Span { from, to })
    }
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its code.
    pub event: String,
    /// When, by the clock of whoever took it, in Unix milliseconds.
    pub at_ms: u64,
    /// The dates that it carries, by their keys.
    dates: Vec<(String, String)>,
}

/// A step as its row has it.
#[derive(Deserialize)]
struct Taken(String, u64, #[serde(default)] Map<String, Value>);

impl Step {
    /// The steps in a list of JSON, and how many have no effect; what is none is left out.
    pub(super) fn read_all(json: &[u8]) -> (Vec<Self>, i64) {
        if let Ok(taken) = serde_json::from_slice::<Vec<Taken>>(json) {
            let step = |Taken(event, at_ms, dates)| Self {
                event,
                at_ms,
                dates: dates_of(dates),
            };
            return (taken.into_iter().map(step).collect(), 0);
        }
        let steps: Vec<Value> = serde_json::from_slice(json).unwrap_or_default();
        let void = steps.iter().filter_map(Value::as_i64).sum();
        (steps.iter().filter_map(Self::read).collect(), void)
    }

    fn read(value: &Value) -> Option<Self> {
        let parts = value.as_array()?;
        Some(Self {
            event: parts.first()?.as_str()?.to_owned(),
            at_ms: parts.get(1)?.as_u64()?,
            dates: dates_of(
                parts
                    .get(2)
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default(),
            ),
        })
    }

    /// A date that it carries.
    #[must_use]
    pub fn date(&self, key: &str) -> Option<&str> {
        let date = self.dates.iter().find(|(its, _)| its == key);
        date.map(|(_, date)| date.as_str())
    }

    /// The Beijing day on which it was taken: the one that it names, else by the clock.
    #[must_use]
    pub fn day(&self) -> String {
        match self.date("on") {
            Some(on) => on.to_owned(),
            None => Beijing::of(self.at_ms).iso_date(),
        }
    }
}

fn dates_of(said: Map<String, Value>) -> Vec<(String, String)> {
    let dates = said.into_iter().filter_map(|(key, date)| match date {
        Value::String(date) => Some((key, date)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    });
    dates.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Facts {
        let mut facts = Facts::default();
        facts.read(r#"{"title": "旧", "left": [1, "甲"]}"#.as_bytes());
        facts.read(json.as_bytes());
        facts.clone()
    }

    #[test]
    fn facts_are_found_by_their_keys_and_only_as_what_they_are() {
        let facts = read(
            r#"{"title": "路灯\n\"坏\"", "n": -3, "many": 18446744073709551615, "half": 0.5, "test_data": true,
                "none": null, "deputies": ["甲", 7, "乙", ["丙"], {"a": "丁"}], "nobody": [],
                "place": {"community": "示例社区", "grid": null, "flats": ["1", "2"]}}"#,
        );
        assert_eq!(facts.text("title"), Some("路灯\n\"坏\""));
        assert_eq!(facts.int("n"), Some(-3));
        assert_eq!(facts.mark("test_data"), Some(true));
        assert_eq!(facts.text("place.community"), Some("示例社区"));
        assert_eq!(facts.items("deputies").collect::<Vec<_>>(), ["甲", "乙"]);
        assert_eq!(facts.items("place.flats").collect::<Vec<_>>(), ["1", "2"]);
        for key in ["n", "deputies", "place", "place.grid", "none", "old", ""] {
            assert_eq!(facts.text(key), None, "{key}");
        }
        for key in ["title", "many", "half", "test_data", "place.community"] {
            assert_eq!(facts.int(key), None, "{key}");
        }
        assert_eq!(facts.mark("n"), None);
        for key in ["title", "nobody", "left", "place"] {
            assert_eq!(facts.items(key).count(), 0, "{key}");
        }
    }

    #[test]
    fn what_is_no_object_has_no_facts() {
        for json in [
            "",
            "[]",
            "7",
            "\"title\"",
            r#"{"title": "甲""#,
            r#"{"title": "甲"} 1"#,
        ] {
            let facts = read(json);
            assert_eq!(facts.text("title"), None, "{json}");
            assert!(facts.facts.is_empty(), "{json}");
        }
    }

    #[test]
    fn steps_are_read_with_their_dates_and_what_is_none_is_left_out() {
        let taken = |json: &str| -> Vec<(String, String)> {
            let steps = Step::read_all(json.as_bytes()).0.into_iter();
            steps.map(|step| (step.event.clone(), step.day())).collect()
        };
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let pairs = pairs.iter();
            pairs
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect()
        };
        let whole =
            r#"[["register", 0], ["sign", 1, {"on": "2026-03-14", "due_on": "2026-04-01"}]]"#;
        let expected = pairs(&[("register", "1970-01-01"), ("sign", "2026-03-14")]);
        assert_eq!(taken(whole), expected);
        let sign = Step::read_all(whole.as_bytes()).0.pop();
        let due = sign.as_ref().and_then(|step| step.date("due_on"));
        assert_eq!(due, Some("2026-04-01"));
        // One by a clock before 1970, one without a time, one with something more.
        let odd = r#"[["register", -1], ["sign"], ["close", 86400000, {"on": 7}, "more"], 7]"#;
        assert_eq!(taken(odd), pairs(&[("close", "1970-01-02")]));
        let void = r#"[["register", 0], 2]"#;
        assert_eq!(taken(void), pairs(&[("register", "1970-01-01")]));
        assert_eq!(Step::read_all(void.as_bytes()).1, 2);
        assert_eq!(taken("{}"), []);
    }
}
