//! Corrections to a record. The form names the version of the record that it shows ([`Version`]); what is different from that is
//! written and nothing else, so that what others have corrected meanwhile stays. Where they have corrected the same field,
//! nothing is written yet: the form comes again with both values.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{Draft, FORM_VERSION, Field, FieldType, Kind, Refusal, SHORT};
use lianxin_protocol::text;
use rusqlite::Connection;
use serde_json::{Map, Value};

use super::choices::{Choices, items};
use super::fields::{self, Input};
use super::intake::InDraft;
use super::offers::{EDITED, UNCHANGED};
use super::page::{self, Answer, Hand, Page, Session, go, html, open};
use super::sheet::{About, Sheet, Under};
use super::{App, Line, shown};
use crate::drafts::{self, Typed};
use crate::error::Result;
use crate::journal::{Books, Journal};
use crate::records::articles::PLACE;
use crate::records::sight::{Sight, Title};
use crate::records::version::{Version, as_of};
use crate::records::{Content, save};

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    page: Page,
    id: String,
    version: String,
    under: Under,
    said: Option<String>,
    number: String,
    title: String,
    words: String,
    inputs: Vec<Input>,
    faults: Vec<fields::Fault>,
    /// The version of the form by which it was registered, and what the newest one asks besides.
    form: (u32, u32),
    besides: Vec<String>,
}

/// The fields that can be corrected: the form's, but for the resident's own words. Those stay as they were
/// registered; what is to be added is added as a step.
/// What of a form is corrected.
fn correctable(kind: &Kind) -> impl Iterator<Item = &Field> {
    fields::of_form(kind).filter(|field| !field.fixed)
}

/// What stands in the form: of what is shown in part only nothing, or it would be saved so. Left empty, it stays as it is.
fn held(kind: &Kind, sight: Sight, fields: &Map<String, Value>) -> Typed {
    fields::typed(correctable(kind).filter(|field| sight.shows(field)), fields)
}

/// Takes out what a choice excludes and whoever chose it is not shown: they cannot empty it themselves.
fn excluded(content: &Content, kind: &Kind, sight: Sight, wanted: &Typed, draft: &mut Draft) {
    for refusal in content.at_odds(kind, draft) {
        let field = kind.field(&refusal.field);
        let hidden = field.is_some_and(|field| !sight.shows(field));
        let blank = wanted.get(&refusal.field);
        let blank = blank.is_none_or(|values| values.iter().all(|it| text::is_blank(it)));
        if refusal.code == "excluded" && hidden && blank {
            draft.facts.insert(refusal.field, None);
        }
    }
}

/// Name in the form of the version that it shows.
const VERSION: &str = "version";

/// What was typed and could not be saved.
struct Attempt<'a> {
    typed: &'a Typed,
    refusals: &'a [Refusal],
    under: Under,
    /// The version that it goes on from, if that is not the newest.
    version: Option<Version>,
    said: Option<String>,
}

fn edit_page(
    connection: &Connection,
    books: &mut Books,
    (session, line): (&Session, &Line),
    id: &str,
    attempt: Option<Attempt<'_>>,
) -> Result<EditPage> {
    let (record, kind) = open(connection, books, session, id)?;
    let (content, sight) = (&record.content, record.sight);
    let version = Version::of(&record.gathered);
    let number = content.number.clone().unwrap_or_default();
    let page = Page::new(
        connection,
        books,
        session,
        line,
        ("/records", number.clone()),
    )?;
    let about = About::Edit(id.to_owned());
    let kept = drafts::about(connection, &session.account.id, &about.text())?;
    let kept = kept.first();
    // What was typed is shown all the same.
    if attempt.is_none() && kept.is_none() {
        page.actor.may_correct(kind, &content.status)?;
    }
    let now = held(kind, sight, &content.fields);
    let named = Choices::of(connection, books, correctable(kind))?;
    let named = named.holding(connection, correctable(kind), &now)?;
    let now = named.labels(correctable(kind), now);
    let attempt = match (attempt, kept) {
        (Some(attempt), _) => attempt,
        // What was typed before goes on from what was shown then.
        (None, kept) => Attempt {
            typed: kept.map_or(&now, |draft| &draft.typed),
            refusals: &[],
            under: Under::of(&about, kept)?,
            version: kept.and_then(|draft| shown_in(&draft.typed)),
            said: None,
        },
    };
    let input = |field: &Field| {
        let mut input = fields::input(field, &named, attempt.typed, attempt.refusals, page.lang);
        let shown = content.held(&field.key).into_iter().next();
        if let Some(shown) = shown.filter(|_| !sight.shows(field)) {
            input.hint = Some(page.with("masked-now", &shown));
        }
        input
    };
    let place = InDraft::of(connection, books, kind, (&named, attempt.typed))?;
    let mut inputs: Vec<_> = correctable(kind).map(input).collect();
    for input in inputs.iter_mut().filter(|input| input.name == PLACE) {
        input.offered.extend(place.offered.iter().cloned());
    }
    place.say(inputs.iter_mut(), page.lang);
    let words = fields::of_form(kind).find(|field| field.fixed && field.retention.is_some());
    let words = words.and_then(|field| content.fields.get(&field.key)?.as_str());
    let registered = content.fields.get(FORM_VERSION).and_then(Value::as_u64);
    let registered = registered
        .and_then(|it| u32::try_from(it).ok())
        .unwrap_or(1);
    let besides = kind.asked_since(registered);
    let besides = besides.filter(|field| content.held(&field.key).is_empty());
    Ok(EditPage {
        form: (registered, kind.version),
        besides: besides
            .map(|it| page.lang.label(&it.label).to_owned())
            .collect(),
        id: id.to_owned(),
        version: attempt.version.unwrap_or(version).to_string(),
        number,
        title: shown::title(Some(kind), Title::of(content.title.as_deref()), page.lang),
        words: words.unwrap_or_default().to_owned(),
        inputs,
        faults: fields::faults(correctable(kind), attempt.refusals, page.lang),
        under: attempt.under,
        said: attempt.said,
        page,
    })
}

/// The version that a form shows.
fn shown_in(typed: &Typed) -> Option<Version> {
    Version::parse(typed.get(VERSION)?.first()?)
}

/// The form for corrections.
pub(super) async fn form(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| edit_page(connection, books, (&session, &line), &id, None))
        .await?;
    html(&page)
}

/// Corrects a record.
pub(super) async fn change(
    State(app): State<App>,
    hand: Hand,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let line = (app.doors.line)();
    let sheet = Sheet::of(pairs)?;
    let session = match hand.session() {
        Ok(session) => session,
        Err(account) => return sheet.until_login(&app, account, About::Edit(id)).await,
    };
    let page_of = id.clone();
    let corrected = app
        .write(move |journal, connection| {
            correct(connection, journal, (&session, &line), &page_of, &sheet)
        })
        .await?;
    match corrected {
        Corrected::Saved => Ok(go(&format!("/records/{id}?did={EDITED}"))),
        Corrected::Same => Ok(go(&format!("/records/{id}?did={UNCHANGED}"))),
        Corrected::Asked(status, page) => Ok((status, html(&*page)?).into_response()),
    }
}

/// What became of a correction.
enum Corrected {
    Saved,
    /// Nothing was different.
    Same,
    /// Nothing was written: the page comes again.
    Asked(StatusCode, Box<EditPage>),
}

fn correct(
    connection: &Connection,
    journal: &mut Journal,
    (session, line): (&Session, &Line),
    id: &str,
    sheet: &Sheet,
) -> Result<Corrected> {
    let lang = session.lang();
    let (record, kind) = open(connection, journal, session, id)?;
    let (key, sight) = (record.key, record.sight);
    let content = record.gathered.content(journal.authority());
    let now = held(kind, sight, &content.fields);
    let shown = shown_in(&sheet.typed);
    let then = match (&shown, sheet.typed.contains_key(VERSION)) {
        (Some(version), _) => {
            as_of(connection, journal, key, version)?.map(|then| held(kind, sight, &then.fields))
        }
        (None, true) => None,
        // A script that was shown nothing speaks of what there is.
        (None, false) => Some(now.clone()),
    };
    let named = Choices::of(connection, journal, correctable(kind))?;
    let named = named.holding(connection, correctable(kind), &now)?;
    let wanted = named.ids(correctable(kind), &sheet.typed);
    let change = Change::between(kind, then.as_ref(), &now, &wanted);
    let author = session.author(connection, journal)?;
    let account = author.actor.account();
    let told = |field: &&Field| {
        let value = content.fields.get(&field.key).unwrap_or(&Value::Null);
        fields::changed(field, shown::value(Some(field), value, lang))
    };
    let clashes: Vec<_> = change.clashes.iter().map(told).collect();
    let (refusals, said) = if clashes.is_empty() {
        match kind.read_edit(&change.input(&wanted)) {
            Err(refusals) => (refusals, None),
            Ok(mut draft) => {
                excluded(&content, kind, sight, &wanted, &mut draft);
                let mut refusals = content.keeps(kind, &draft);
                let odds = content.at_odds(kind, &draft).into_iter();
                refusals.extend(odds.filter(|it| it.code != SHORT));
                let empty = draft.facts.is_empty() && draft.texts.is_empty();
                let saved = if !refusals.is_empty() || empty {
                    Ok(())
                } else {
                    save::set(connection, journal, key, &draft, &author).map(drop)
                };
                match saved {
                    Ok(()) if refusals.is_empty() => {
                        drafts::discard(connection, account, &sheet.id)?;
                        return Ok(if empty {
                            Corrected::Same
                        } else {
                            Corrected::Saved
                        });
                    }
                    Ok(()) => (refusals, None),
                    Err(error) if error.leaves_nothing() => (Vec::new(), Some(error)),
                    Err(error) => return Err(error),
                }
            }
        }
    } else {
        (clashes, None)
    };
    let status = match &said {
        Some(error) => page::status_of(error),
        None if change.clashes.is_empty() => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::CONFLICT,
    };
    // Where both changed a field, what is typed now is compared with what the others wrote.
    let version = shown.filter(|_| change.clashes.is_empty() && then.is_some());
    let attempt = Attempt {
        typed: &change.merged(named.labels(correctable(kind), now), &sheet.typed),
        refusals: &refusals,
        under: sheet.undone(
            connection,
            account,
            &About::Edit(id.to_owned()),
            author.now_ms,
        )?,
        version,
        said: said.map(|error| page::sentence(error.code(), lang)),
    };
    let page = edit_page(connection, journal, (session, line), id, Some(attempt))?;
    Ok(Corrected::Asked(status, Box::new(page)))
}

/// What a form changes of a record.
#[derive(Debug)]
struct Change<'a> {
    kind: &'a Kind,
    fields: Vec<&'a Field>,
    /// Those of them that others have changed since to something else.
    clashes: Vec<&'a Field>,
}

impl<'a> Change<'a> {
    /// `then` is what the form showed, if that can still be said: else whatever is different now may be another's.
    fn between(kind: &'a Kind, then: Option<&Typed>, now: &Typed, wanted: &Typed) -> Self {
        let base = then.unwrap_or(now);
        let fields: Vec<_> = correctable(kind)
            .filter(|field| !same(field, base, wanted) && !same(field, now, wanted))
            .collect();
        let clash = |field: &&Field| then.is_none_or(|then| !same(field, then, now));
        let clashes = fields.iter().copied().filter(clash).collect();
        Self {
            kind,
            fields,
            clashes,
        }
    }

    /// As JSON; a field that was emptied is cleared.
    fn input(&self, wanted: &Typed) -> Value {
        // A box that is not ticked sends nothing.
        let mut wanted = wanted.clone();
        for field in &self.fields {
            if field.kind == FieldType::Bool {
                let off = || vec!["false".to_owned()];
                wanted.entry(field.key.clone()).or_insert_with(off);
            }
        }
        fields::to_json(self.fields.iter().copied(), &wanted)
    }

    /// What stands in the form when it comes again: what was typed where it changes something, and else what there is now.
    fn merged(&self, now: Typed, typed: &Typed) -> Typed {
        let mut merged = now;
        for field in correctable(self.kind) {
            if self.fields.iter().any(|it| it.key == field.key) {
                merged.remove(&field.key);
                if let Some(values) = typed.get(&field.key) {
                    merged.insert(field.key.clone(), values.clone());
                }
            }
        }
        merged
    }
}

/// Whether a field holds the same in two forms.
fn same(field: &Field, one: &Typed, other: &Typed) -> bool {
    let normal = |typed: &Typed| -> Vec<String> {
        let values = typed.get(&field.key).into_iter().flatten();
        match &field.kind {
            FieldType::Bool => values.filter(|it| *it == "true").cloned().collect(),
            FieldType::Set { .. } => {
                let mut items: Vec<_> =
                    values.flat_map(|it| items(it)).map(str::to_owned).collect();
                items.sort();
                items
            }
            _ => {
                let values = values.map(|it| text::kept(it).trim().to_owned());
                values.filter(|it| !text::is_blank(it)).collect()
            }
        }
    };
    normal(one) == normal(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lianxin_protocol::catalogue::Catalogue;
    use serde_json::json;

    fn form() -> (&'static Kind, Typed) {
        let kind = Catalogue::current().kind("opinion").unwrap();
        let held = json!({
            "category": "help", "urgency": "normal", "people_count": 2, "test_data": true,
            "place": {"community": "测试社区"}, "deputies": ["甲", "乙"],
        });
        let held = held.as_object().cloned().unwrap_or_default();
        (kind, fields::typed(correctable(kind), &held))
    }

    fn with(mut typed: Typed, key: &str, value: &str) -> Typed {
        typed.insert(key.to_owned(), vec![value.to_owned()]);
        typed
    }

    #[test]
    fn a_correction_names_only_what_is_different() {
        let (kind, before) = form();
        let written =
            |wanted: &Typed| Change::between(kind, Some(&before), &before, wanted).input(wanted);
        assert_eq!(written(&before), json!({}));
        let typed = with(before.clone(), "urgency", "urgent");
        let typed = with(typed, "place.community", "");
        let mut typed = with(typed, "deputies", "甲\r\n乙");
        typed.remove("test_data");
        let changed = written(&typed);
        assert_eq!(
            changed,
            json!({ "urgency": "urgent", "place": {"community": ""}, "test_data": false })
        );
        assert!(kind.read_edit(&changed).is_ok());
        assert!(correctable(kind).all(|field| field.key != "body"));
    }

    #[test]
    fn what_others_changed_since_stays_and_what_both_changed_is_asked() {
        let (kind, then) = form();
        let now = with(then.clone(), "urgency", "urgent");
        let change = |wanted: &Typed| Change::between(kind, Some(&then), &now, wanted);
        // Not touched here.
        let wanted = with(then.clone(), "people_count", "5");
        assert_eq!(change(&wanted).input(&wanted), json!({ "people_count": 5 }));
        assert!(change(&wanted).clashes.is_empty());
        let again = change(&wanted).merged(now.clone(), &wanted);
        assert_eq!(again.get("urgency"), now.get("urgency"));
        assert_eq!(again.get("people_count"), wanted.get("people_count"));
        // Both want the same.
        assert_eq!(change(&now).input(&now), json!({}));
        // Both want something else.
        let wanted = with(then.clone(), "urgency", "very_urgent");
        let clash = change(&wanted);
        assert_eq!(clash.clashes.len(), 1);
        let again = clash.merged(now.clone(), &wanted);
        assert_eq!(again.get("urgency"), wanted.get("urgency"));
        // Nobody knows what was shown: whatever differs may be another's.
        let blind = Change::between(kind, None, &now, &then);
        assert_eq!(blind.clashes.len(), 1);
    }
}
