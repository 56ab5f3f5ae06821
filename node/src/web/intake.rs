//! Recording: the form of a kind, its drafts, and registering. What was typed is in the store within a
//! second of a pause; nothing that is wrong with it loses any of it.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{Catalogue, Field, FieldType, Kind, Refusal};
use lianxin_protocol::log::RecordId;
use lianxin_protocol::text;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::blank;
use super::choices::{self, Choices};
use super::fields::{self, Fault, Input};
use super::look::{self, Look};
use super::page::{Answer, Hand, Page, Session, go, html, kind_of, open};
use super::sheet::{self, About, PAPER, Sheet};
use super::shown;
use super::words::Lang;
use crate::clock;
use crate::drafts::{self, Draft, Typed, Window};
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};
use crate::records::articles::{self, Law, PLACE};
use crate::records::save;
use crate::records::{self, Filter, Listed};

/// Name of the box that says that the resident was told what happens with the data.
const NOTICE: &str = "notice_shown";

/// A section of the form.
pub(super) struct Part {
    pub(super) code: String,
    pub(super) label: String,
    /// Behind its heading, which says what it holds; open where something in it is wrong.
    pub(super) folded: bool,
    open: bool,
    pub(super) says: String,
    pub(super) inputs: Vec<Input>,
    /// Inputs that follow from what was chosen in those before.
    pub(super) inset: Vec<Input>,
    /// Whether the box about the privacy notice stands here.
    notice: bool,
}

/// A kind that can be recorded here.
struct Tile {
    code: String,
    label: String,
    about: String,
}

#[derive(Template)]
#[template(path = "new.html")]
struct Tiles {
    page: Page,
    groups: Vec<(String, Vec<Tile>)>,
}

/// What whoever looks records, in groups: each kind that stands for itself.
pub(super) fn recorded(page: &Page) -> Vec<(String, Vec<&'static Kind>)> {
    let catalogue = Catalogue::current();
    let groups = catalogue.groups().iter().map(|group| {
        let kinds = catalogue.grouped(&group.code);
        let kinds = kinds.filter(|kind| page.actor.creates(kind));
        (page.label(&group.label).to_owned(), kinds.collect())
    });
    groups
        .filter(|(_, kinds): &(_, Vec<_>)| !kinds.is_empty())
        .collect()
}

#[derive(Template)]
#[template(path = "intake.html")]
struct Intake {
    page: Page,
    /// What the record is about, in words that stand elsewhere: the article of a draft.
    about: Option<(String, String)>,
    kind: &'static Kind,
    draft: String,
    /// The id of the form on paper that it is typed from.
    paper: Option<String>,
    window: Window,
    parts: Vec<Part>,
    /// Whether some parts are folded.
    folds: bool,
    faults: Vec<Fault>,
    notice: bool,
    kept: Option<String>,
    look: Look,
    /// The version of the form that it was begun with.
    form_version: u32,
    /// What the newest form asks besides.
    besides: Vec<String>,
    /// Whether records of the kind are likened to others.
    compares: bool,
    /// What happened instead of what was asked, and a record that it concerns.
    said: Option<Said>,
}

impl Intake {
    /// Whether the kind has a form on paper.
    fn on_paper(&self) -> bool {
        blank::is_there(self.kind)
    }
}

/// Why a form comes again although nothing in it may be wrong.
#[derive(Default)]
struct Said {
    text: String,
    record: Option<String>,
}

fn form(
    around: Around,
    kind: &'static Kind,
    (draft, window): (&Draft, Window),
    wrong: &[Refusal],
    said: Option<Said>,
) -> Answer {
    let Around {
        page,
        about,
        parts,
        look,
    } = around;
    let lang = page.lang;
    let form_version = fields::form_version(kind, &draft.typed);
    let besides = kind.asked_since(form_version);
    let besides = besides.map(|field| lang.label(&field.label).to_owned());
    let kept = (draft.updated_ms > 0).then(|| shown::at(draft.updated_ms, page.now_ms, lang));
    html(&Intake {
        faults: fields::faults(fields::of_form(kind), wrong, lang),
        notice: draft.typed.contains_key(NOTICE),
        draft: draft.id.clone(),
        paper: sheet::paper(&draft.typed).map(str::to_owned),
        form_version,
        besides: besides.collect(),
        window,
        said,
        about,
        page,
        kind,
        folds: parts.iter().any(|part| part.folded),
        parts,
        kept,
        look,
        compares: (kind.words.is_some() || kind.alias().is_some()) && kind.parent.is_none(),
    })
}

/// The form of a kind with what was typed and what is wrong with it.
fn parts(
    kind: &Kind,
    (named, offered): (&Choices, &Offered),
    (typed, wrong): (&Typed, &[Refusal]),
    lang: Lang,
) -> Vec<Part> {
    let input = |key: &String| {
        let field = kind.fields.iter().find(|field| field.key == *key)?;
        let mut input = fields::input(field, named, typed, wrong, lang);
        let more = offered.get(key).into_iter().flatten();
        let more: Vec<_> = more.filter(|it| !input.offered.contains(*it)).collect();
        input.offered.extend(more.into_iter().cloned());
        Some(input)
    };
    let open = kind.sections.iter().rposition(|section| !section.folded);
    let parts = kind.sections.iter().enumerate().map(|(at, section)| {
        let (inset, placed): (Vec<_>, Vec<_>) = section
            .fields
            .iter()
            .partition(|key| section.inset.contains(key));
        let inputs: Vec<_> = placed.into_iter().filter_map(input).collect();
        Part {
            code: section.code.clone(),
            label: lang.label(&section.label).to_owned(),
            folded: section.folded,
            // What is wrong must not hide.
            open: inputs.iter().any(|input| input.error.is_some()),
            says: String::new(),
            inputs,
            inset: inset.into_iter().filter_map(input).collect(),
            notice: Some(at) == open && save::asks_notice(kind),
        }
    });
    parts.collect()
}

/// The form of what was typed, to be looked at.
pub(super) fn parts_of(
    connection: &Connection,
    books: &mut Books,
    kind: &Kind,
    typed: &Typed,
    (lang, _): (Lang, u64),
) -> Result<Vec<Part>> {
    let named = Choices::of(connection, books, fields::of_form(kind))?;
    let mut parts = parts(kind, (&named, &Offered::new()), (typed, &[]), lang);
    let inputs = parts.iter_mut().flat_map(|part| &mut part.inputs);
    InDraft::of(connection, books, kind, (&named, typed))?.say(inputs, lang);
    Ok(parts)
}

/// By field: values that are offered while one types.
type Offered = BTreeMap<String, Vec<String>>;

/// Values that are offered of one field.
const OFFERED: usize = 40;
/// Files of sites among which this one's is looked for.
const SITES: usize = 300;
/// The kind that has the files of sites, and what begins a value that is found there.
const SITE: &str = "site";
const OF_SITE: &str = "site.";

/// What the file of this device's site says, if there is one.
fn own_file(connection: &Connection, books: &Books) -> Result<Option<Listed>> {
    let member = books.authority().members().get(&books.identity().key());
    let site = member.and_then(|member| member.grant.site);
    let Some(site) = site.and_then(|site| books.authority().sites().get(&site)) else {
        return Ok(None);
    };
    let filter = Filter {
        kind: Some(SITE.to_owned()),
        held: Some(false),
        stands: true,
        limit: SITES,
        ..Filter::default()
    };
    let files = records::list(connection, &filter)?;
    let is_ours =
        |row: &Listed| row.fact("code").and_then(Value::as_str) == Some(site.code.as_str());
    Ok(files.into_iter().find(is_ours))
}

/// What a form starts with, as the kind says.
pub(super) fn starts(
    connection: &Connection,
    books: &Books,
    kind: &Kind,
    now_ms: u64,
) -> Result<Typed> {
    let mut typed = Typed::new();
    let asks = kind.starts.values().any(|value| value.starts_with(OF_SITE));
    let file = if asks {
        own_file(connection, books)?
    } else {
        None
    };
    for (key, value) in &kind.starts {
        let value = match (value.strip_prefix(OF_SITE), value.as_str()) {
            (Some(theirs), _) => {
                let file = file.as_ref();
                let held = file.and_then(|file| Some(file.fact(theirs)?.as_str()?.to_owned()));
                // Its own id is no fact of it.
                held.or_else(|| file.filter(|_| theirs == "id").map(|it| it.id.hyphenated()))
            }
            (None, "today") => Some(clock::Beijing::of(now_ms).iso_date()),
            (None, code) => Some(code.to_owned()),
        };
        typed.extend(value.map(|value| (key.clone(), vec![value])));
    }
    Ok(typed)
}

/// What is offered of names, beside the records that bear them: what stands in the files of sites, this one's first, and what was
/// typed before.
fn offered(connection: &Connection, books: &Books, kind: &Kind) -> Result<Offered> {
    let mut offered = Offered::new();
    let names = |field: &&Field| matches!(field.kind, FieldType::Ref { .. }) && field.indexed;
    for field in fields::of_form(kind).filter(names) {
        let mut values = Vec::new();
        let theirs = kind.starts.get(&field.key);
        if let Some(theirs) = theirs.and_then(|value| value.strip_prefix(OF_SITE)) {
            let own = own_file(connection, books)?;
            let own = own.and_then(|file| Some(file.fact(theirs)?.as_str()?.to_owned()));
            values.extend(own);
            values.extend(records::values_of(connection, (SITE, theirs), OFFERED)?);
        }
        let of = (kind.code.as_str(), field.key.as_str());
        values.extend(records::values_of(connection, of, OFFERED)?);
        let mut seen = BTreeSet::new();
        // A record's id is nothing to type: its name is offered.
        values.retain(|value| RecordId::parse(value).is_none() && seen.insert(value.clone()));
        offered.insert(field.key.clone(), values);
    }
    Ok(offered)
}

/// What a draft is called in a list, and how many fields it lacks before it can be registered.
pub(super) fn judge(draft: &Draft) -> (Option<String>, u64) {
    let Ok(kind) = kind_of(&draft.kind) else {
        return (None, 0);
    };
    let first = |key: &Option<String>| {
        let text = text::line(draft.typed.get(key.as_deref()?)?.first()?);
        let title: String = text.chars().take(30).collect();
        (!title.is_empty()).then_some(title)
    };
    let title = first(&kind.title).or_else(|| first(&kind.title_from));
    let judged = kind.read_form(&fields::new_record(kind, &draft.typed));
    (
        title,
        judged.err().map_or(0, |refusals| refusals.len() as u64),
    )
}

fn page(
    connection: &Connection,
    books: &mut Books,
    session: &Session,
    line: &super::Line,
    kind: &Kind,
) -> Result<Page> {
    let lang = session.lang();
    let label = lang.label(&kind.label);
    let title = lang.say("intake-title", &[("text", label.into())]);
    Page::new(connection, books, session, line, ("/new", title))
}

/// What can be recorded here.
pub(super) async fn choose(State(app): State<App>, session: Session) -> Answer {
    let line = (app.doors.line)();
    let tiles = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-new", &[]);
            let page = Page::new(connection, books, &session, &line, ("/new", title))?;
            let tile = |kind: &Kind| Tile {
                code: kind.code.clone(),
                label: lang.label(&kind.label).to_owned(),
                about: kind
                    .about
                    .as_ref()
                    .map_or("", |about| lang.label(about))
                    .to_owned(),
            };
            let groups = recorded(&page).into_iter();
            let groups =
                groups.map(|(label, kinds)| (label, kinds.into_iter().map(tile).collect()));
            Ok(Tiles {
                groups: groups.collect(),
                page,
            })
        })
        .await?;
    html(&tiles)
}

/// Where a form is begun from: a record that the new one belongs to, or one that it follows on.
#[derive(Default, Deserialize)]
pub(super) struct From {
    from: Option<String>,
    after: Option<String>,
    draft: Option<String>,
    /// The id of the form on paper that it is typed from.
    paper: Option<String>,
}

/// What a new record has of the one that it follows on.
fn following(
    connection: &Connection,
    books: &mut Books,
    kind: &Kind,
    (session, id): (&Session, &str),
) -> Result<Typed> {
    let (before, of) = open(connection, books, session, id)?;
    if of.code != kind.code {
        return Ok(Typed::new());
    }
    let again = fields::of_form(kind)
        .filter(|field| kind.again.contains(&field.key) && before.sight.shows(field));
    Ok(fields::typed(again, &before.content.fields))
}

/// What a new record of a kind starts with when it is begun from another one's page.
pub(super) fn begun(
    connection: &Connection,
    books: &mut Books,
    kind: &Kind,
    (session, from): (&Session, &str),
) -> Result<Typed> {
    let mut typed = Typed::new();
    let (record, whole) = open(connection, books, session, from)?;
    let row = record.row.as_ref();
    let row = row.ok_or_else(|| Error::new(Code::RecordWaiting, "it is not merged yet"))?;
    let shown = whole
        .fields
        .iter()
        .filter(|field| record.sight.shows(field));
    let held = fields::typed(shown, &record.content.fields);
    // A comment on an article: on the consultation that the article belongs to.
    if let (Some(parent), Some(path)) = (&whole.parent, kind.field(PLACE)) {
        let consultation = held.get(&parent.field).and_then(|values| values.first());
        let gathered = kind.field(&parent.field).zip(consultation);
        if let Some((field, consultation)) = gathered {
            let whole = records::named(connection, consultation, field.names())?;
            typed.extend(whole.map(|it| (field.key.clone(), vec![choices::label(&it)])));
            let article = held.get("path").cloned().unwrap_or_default();
            typed.insert(path.key.clone(), article);
        }
        return Ok(typed);
    }
    let gather = whole
        .gathers
        .iter()
        .find(|it| it.kind == kind.code && it.adds);
    let gather = gather.ok_or_else(|| Error::new(Code::NoPage, "nothing is begun from there"))?;
    typed.insert(gather.by.clone(), vec![choices::label(row)]);
    for (field, value) in &gather.sets {
        typed.insert(field.clone(), vec![value.clone()]);
    }
    for (theirs, ours) in &gather.copies {
        if let Some(values) = held.get(ours) {
            typed.insert(theirs.clone(), values.clone());
        }
    }
    Ok(typed)
}

/// What is known of the place in a draft law that a comment is on.
#[derive(Default)]
pub(super) struct InDraft {
    /// Its article, to be read while the comment is written down.
    about: Option<(String, String)>,
    /// What can be said of where it is: the clauses of that article, or all articles.
    pub(super) offered: Vec<String>,
    /// The draft has nothing there.
    lacks: bool,
}

impl InDraft {
    pub(super) fn of(
        connection: &Connection,
        books: &mut Books,
        kind: &Kind,
        (named, typed): (&Choices, &Typed),
    ) -> Result<Self> {
        let typed = named.ids(kind.field(articles::OF_DRAFT).into_iter(), typed);
        let held = |key: &str| typed.get(key)?.first().cloned();
        let Some((law, path)) = Law::cited(connection, kind, held)? else {
            return Ok(Self::default());
        };
        let lacks = law.lacks(connection, books, &path)?;
        let Some(article) = law.article(&path) else {
            let offered = law.paths().map(str::to_owned).collect();
            let about = None;
            return Ok(Self {
                about,
                offered,
                lacks,
            });
        };
        let text = articles::text_of(connection, books, article)?;
        let number = article.fact("path").and_then(Value::as_str);
        let number = number.unwrap_or_default().to_owned();
        let clauses = articles::clauses(&number, &text).into_iter();
        let clauses = clauses.map(|clause| clause.path);
        Ok(Self {
            offered: [number.clone()].into_iter().chain(clauses).collect(),
            about: Some((number, text)),
            lacks,
        })
    }

    /// Says at the input that the draft has nothing there.
    pub(super) fn say<'a>(&self, inputs: impl Iterator<Item = &'a mut Input>, lang: Lang) {
        for input in inputs.filter(|input| self.lacks && input.name == PLACE) {
            input.looks.push(lang.say("look-no-article", &[]));
        }
    }
}

/// What is in the form of a draft and beside it.
struct Around {
    page: Page,
    /// What the record is about, in words that stand elsewhere.
    about: Option<(String, String)>,
    parts: Vec<Part>,
    look: Look,
}

fn around(
    connection: &Connection,
    books: &mut Books,
    (session, line): (&Session, &super::Line),
    kind: &Kind,
    (typed, wrong): (&Typed, &[Refusal]),
) -> Result<Around> {
    let page = page(connection, books, session, line, kind)?;
    page.actor.may_create(kind)?;
    let named = Choices::of(connection, books, fields::of_form(kind))?;
    let place = InDraft::of(connection, books, kind, (&named, typed))?;
    let mut offered = offered(connection, books, kind)?;
    let clauses = offered.entry(PLACE.to_owned()).or_default();
    clauses.extend(place.offered.iter().cloned());
    let mut parts = parts(kind, (&named, &offered), (typed, wrong), page.lang);
    let inputs = parts.iter_mut().flat_map(|part| &mut part.inputs);
    place.say(inputs, page.lang);
    let shown = (page.lang, page.now_ms);
    let look = look::look(connection, kind, (typed, &page.actor), &mut parts, shown)?;
    Ok(Around {
        page,
        about: place.about,
        parts,
        look,
    })
}

/// An empty form, or that of a draft that stands in the address. What was registered is never begun anew by going back.
pub(super) async fn blank(
    State(app): State<App>,
    session: Session,
    Path(kind): Path<String>,
    Query(From {
        from,
        after,
        draft,
        paper,
    }): Query<From>,
) -> Answer {
    let kind = kind_of(&kind)?;
    let line = (app.doors.line)();
    let draft = draft.filter(|id| drafts::is_id(id));
    let id = draft.map_or_else(drafts::new_id, Ok)?;
    let paper = paper.filter(|id| drafts::is_id(id));
    let begun = app
        .read(move |books, connection| {
            if let Some(known) = save::submitted(connection, paper.as_ref().unwrap_or(&id))? {
                return Ok(Err(known));
            }
            let mut draft = Draft {
                id: id.clone(),
                kind: kind.code.clone(),
                typed: Typed::new(),
                updated_ms: 0,
                window: String::new(),
            };
            let kept = drafts::find(connection, &session.account.id, &id)?;
            if let Some(kept) = kept.filter(|kept| kept.kind == kind.code) {
                draft = kept;
            } else {
                let mut start = starts(connection, books, kind, clock::now_ms())?;
                if let Some(from) = from {
                    start.extend(begun(connection, books, kind, (&session, &from))?);
                } else if let Some(after) = after {
                    start.extend(following(connection, books, kind, (&session, &after))?);
                }
                let named = Choices::of(connection, books, fields::of_form(kind))?;
                let named = named.holding(connection, fields::of_form(kind), &start)?;
                draft.typed = named.labels(fields::of_form(kind), start);
                let paper = paper.map(|id| (PAPER.to_owned(), vec![id]));
                draft.typed.extend(paper);
            }
            let typed = (&draft.typed, [].as_slice());
            let around = around(connection, books, (&session, &line), kind, typed)?;
            Ok(Ok((around, draft)))
        })
        .await?;
    match begun {
        Ok((around, draft)) => {
            let window = sheet::opened(&draft)?;
            form(around, kind, (&draft, window), &[], None)
        }
        Err(known) => Ok(go(&registered(&known))),
    }
}

/// Where a form leads that has been registered already.
pub(super) fn registered(record: &RecordId) -> String {
    format!("/records/{}?note=again", record.hyphenated())
}

/// A draft's form.
pub(super) async fn resume(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let line = (app.doors.line)();
    let resumed = app
        .read(move |books, connection| {
            if let Some(known) = save::submitted(connection, &id)? {
                return Ok(Err(registered(&known)));
            }
            let draft = drafts::find(connection, &session.account.id, &id)?;
            let gone = || Error::new(Code::NoRecord, "there is no such draft of this account");
            let draft = draft.ok_or_else(gone)?;
            let about = About::parse(&draft.kind)?;
            if !matches!(about, About::New(_)) {
                return Ok(Err(about.path(&draft.id)));
            }
            let kind = kind_of(&draft.kind)?;
            let typed = (&draft.typed, [].as_slice());
            let around = around(connection, books, (&session, &line), kind, typed)?;
            Ok(Ok((around, draft, kind)))
        })
        .await?;
    match resumed {
        Ok((around, draft, kind)) => {
            let window = sheet::opened(&draft)?;
            form(around, kind, (&draft, window), &[], None)
        }
        Err(to) => Ok(go(&to)),
    }
}

/// Throws a draft away, where it can be taken back for a while.
pub(super) async fn discard(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let account = session.account.id;
    app.write(move |_, connection| drafts::trash(connection, &account, &id, clock::now_ms()))
        .await?;
    Ok(go("/"))
}

/// What became of a form that was sent.
enum Sent {
    /// It is a record; `true` if it had been one before.
    Record(RecordId, bool),
    Draft,
    /// It comes again.
    Again(Box<Again>),
}

/// A form that comes again, with everything that was typed.
struct Again {
    around: Around,
    draft: Draft,
    window: Window,
    wrong: Vec<Refusal>,
    said: Option<Said>,
}

/// Registers, or keeps as a draft. Whatever comes of it, what was typed is in a record, in a draft or on the page that answers.
pub(super) async fn register(
    State(app): State<App>,
    hand: Hand,
    Path(kind): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let kind = kind_of(&kind)?;
    let sheet = Sheet::of(pairs)?;
    let session = match hand.session() {
        Ok(session) => session,
        Err(account) => {
            let now_ms = clock::now_ms();
            let kept = app
                .write(move |_, connection| sheet.keep(connection, &account.id, &kind.code, now_ms))
                .await?;
            return Ok(go(&format!("/login?to=/drafts/{}", kept.id)));
        }
    };
    let line = (app.doors.line)();
    let sent = app
        .write(move |journal, connection| {
            sent(connection, journal, (&session, &line), kind, &sheet)
        })
        .await?;
    match sent {
        Sent::Record(id, true) => Ok(go(&registered(&id))),
        Sent::Record(id, false) => Ok(go(&format!("/records/{}?note=new", id.hyphenated()))),
        Sent::Draft => Ok(go("/")),
        Sent::Again(again) => {
            let status = if again.said.is_some() {
                StatusCode::CONFLICT
            } else {
                StatusCode::UNPROCESSABLE_ENTITY
            };
            let draft = (&again.draft, again.window);
            let page = form(again.around, kind, draft, &again.wrong, again.said)?;
            Ok((status, page).into_response())
        }
    }
}

fn sent(
    connection: &Connection,
    journal: &mut Journal,
    (session, line): (&Session, &super::Line),
    kind: &'static Kind,
    sheet: &Sheet,
) -> Result<Sent> {
    let author = session.author(connection, journal)?;
    let account = author.actor.account();
    let lang = session.lang();
    let submission = sheet.submission(&kind.code);
    let other = match submission.known(connection) {
        Ok(Some(known)) => return Ok(Sent::Record(known, true)),
        Ok(None) => None,
        Err(error) if error.code() == Code::OtherContent => {
            save::submitted(connection, sheet.sent_as())?
        }
        Err(error) => return Err(error),
    };
    let mut said = other.map(|known| Said {
        text: lang.say("intake-other", &[]),
        record: Some(known.hyphenated()),
    });
    let named = Choices::of(connection, journal, fields::of_form(kind))?;
    let given = named.ids(fields::of_form(kind), &sheet.typed);
    let judged = Catalogue::current().read_form(kind, &fields::new_record(kind, &given));
    let mut wrong = Vec::new();
    match judged {
        Ok(draft) if !sheet.as_draft && said.is_none() => {
            let new = save::New {
                kind,
                draft: &draft,
                submission: Some(submission),
                told: sheet.typed.contains_key(NOTICE),
            };
            match save::add(connection, journal, &new, &author) {
                Ok(saved) => {
                    drafts::discard(connection, account, &sheet.id)?;
                    return Ok(Sent::Record(saved.id, false));
                }
                // Refused before anything was written.
                Err(error) if error.leaves_nothing() => said = Some(Said::of(&error, lang)),
                Err(error) => return Err(error),
            }
        }
        Ok(_) => {}
        Err(refusals) => wrong = refusals,
    }
    let mut draft = Draft {
        id: sheet.id.clone(),
        kind: kind.code.clone(),
        typed: sheet.typed.clone(),
        updated_ms: 0,
        window: sheet.window.id.clone(),
    };
    match sheet.keep(connection, account, &kind.code, author.now_ms) {
        Ok(kept) if sheet.as_draft && !kept.beside => return Ok(Sent::Draft),
        Ok(kept) => {
            if kept.beside && said.is_none() {
                let text = lang.say("draft-beside", &[("time", "".into())]);
                said = Some(Said { text, record: None });
            }
            draft.id = kept.id;
            draft.updated_ms = author.now_ms;
        }
        // Too many drafts, or too long for one: then it stands on the page alone.
        Err(error) if error.leaves_nothing() => {
            let full = lang.say("draft-full", &[]);
            said = Some(said.map_or_else(
                || Said {
                    text: full.clone(),
                    record: None,
                },
                |said| Said {
                    text: format!("{} {full}", said.text),
                    ..said
                },
            ));
        }
        Err(error) => return Err(error),
    }
    if sheet.as_draft {
        wrong.clear();
    }
    let typed = (&sheet.typed, wrong.as_slice());
    let around = around(connection, journal, (session, line), kind, typed)?;
    Ok(Sent::Again(Box::new(Again {
        around,
        draft,
        window: sheet.window.clone(),
        wrong,
        said,
    })))
}

impl Said {
    /// What a refusal says, in words.
    fn of(error: &Error, lang: Lang) -> Self {
        let text = super::page::sentence(error.code(), lang);
        Self { text, record: None }
    }
}
