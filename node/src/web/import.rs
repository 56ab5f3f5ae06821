//! 导入台账: an office's own table becomes records. First it is looked at, row by row, and nothing is recorded; what would be is shown, with
//! what each column was taken for, what was refused and why, and what of our own was altered. Then whoever looked records it.
//!
//! What was read is kept for the login alone and in memory. A table that is sent twice records nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use askama::Template;
use axum::Form as Sent;
use axum::extract::{Multipart, Path, Query, State};
use axum::http::HeaderValue;
use lianxin_protocol::catalogue::{Kind, Transition};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::forms::Choice;
use super::page::{Answer, Page, Session, attached, go, html, sentence};
use super::upload::Upload;
use super::words::Lang;
use crate::actor::Actor;
use crate::command::{self, known_kind};
use crate::error::{Code, Error, Result};
use crate::journal::Books;
use crate::ledger;
use crate::ledger::incoming::{Incoming, Look, Refused};
use crate::records::{self, Record, save};
use crate::reports::files::XLSX;
use crate::sheets::{self, Table};

/// Bytes of a form with a table in it.
pub(super) const FORM_MAX: usize = sheets::FILE_BYTES_MAX + 64 * 1024;
/// Tables that are looked at at once: a large one takes some hundred MiB.
const TABLES_MAX: usize = 4;
/// Rows of a table that a page looks at; the command takes all that can be read.
const ROWS_MAX: usize = 50_000;
/// Stands before the place of a column in the names of a form.
const COLUMN: &str = "c";
/// Lines of a kind that a page shows.
const SHOWN: usize = 100;

/// A table that was looked at.
struct Looked {
    table: Table,
    /// Where outside numbers are from.
    system: String,
    /// Its rows to record go out of it once.
    incoming: Mutex<Incoming>,
    run: Mutex<Run>,
}

/// How far recording it has come.
#[derive(Clone, Copy, Default)]
struct Run {
    running: bool,
    /// Rows that there were to record when it began.
    of: u64,
    /// Why it ended before its end.
    failed: Option<Code>,
}

impl Looked {
    fn with<R>(&self, work: impl FnOnce(&mut Incoming) -> R) -> R {
        work(&mut self.incoming.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether recording begins now: not where it runs, or nothing is left to record.
    fn begins(&self) -> bool {
        let of = self.with(|incoming| incoming.new.len() as u64);
        let mut run = self.run();
        let begins = !run.running && of > 0;
        if begins {
            *run = Run {
                running: true,
                of,
                failed: None,
            };
        }
        begins
    }
}

// ---- which table ----

#[derive(Template)]
#[template(path = "import.html")]
struct Form {
    page: Page,
    kinds: Vec<(String, String)>,
    kind: String,
    /// Why the file was not read.
    refused: Option<String>,
}

/// Which kind is chosen.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    refused: String,
}

/// The form.
pub(super) async fn form(
    State(app): State<App>,
    session: Session,
    Query(asked): Query<Asked>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("import", &[]);
            let page = Page::new(connection, books, &session, &line, ("/import", title))?;
            let kinds = ledger::kinds().filter(|kind| page.actor.creates(kind));
            let kinds = kinds.map(|kind| (kind.code.clone(), lang.label(&kind.label).to_owned()));
            let steps = ledger::kinds().flat_map(|kind| {
                let steps = kind.transitions.iter().filter(|step| step.tabled);
                steps.map(move |step| (kind, step))
            });
            let steps = steps.filter(|(_, step)| page.actor.takes(&step.event, &step.who).is_ok());
            let steps = steps
                .map(|(kind, step)| (code_of(kind, Some(step)), name_of(kind, Some(step), lang)));
            Ok(Form {
                kinds: kinds.chain(steps).collect(),
                kind: asked.kind,
                refused: known_refusal(&asked.refused)
                    .then(|| lang.say(&format!("table-{}", asked.refused), &[])),
                page,
            })
        })
        .await?;
    html(&page)
}

/// A table has more rows than a page looks at.
const TOO_LONG: &str = "too-long";

/// Whether an address names a way in which a table was refused: other words are not shown.
pub(super) fn known_refusal(code: &str) -> bool {
    const CODES: [&str; 16] = [
        "macros",
        TOO_LONG,
        "file-too-large",
        "unpacks-too-large",
        "too-many-rows",
        "too-many-columns",
        "too-much",
        "cell-too-long",
        "encrypted",
        "old-form",
        "web-page",
        "not-a-table",
        "damaged",
        "unknown-encoding",
        "no-rows",
        "no-such-sheet",
    ];
    CODES.contains(&code)
}

// ---- looking at it ----

/// Asks the store in a snapshot.
struct Asks<'a> {
    books: &'a mut Books,
    connection: &'a Connection,
    actor: &'a Actor,
}

impl Look for Asks<'_> {
    fn shown(&mut self, number: &str) -> Result<Option<Value>> {
        match records::find(self.connection, number) {
            Ok(key) => {
                let record = Record::read(self.connection, self.books, key, self.actor)?;
                Ok(Some(command::ledger_row(self.books, record)))
            }
            Err(error) if matches!(error.code(), Code::NoRecord | Code::SameNumber) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn keys(&mut self, kind: &Kind) -> Result<BTreeMap<String, String>> {
        let keys = command::record_keys(self.books, self.connection, kind)?;
        Ok(keys.into_iter().collect())
    }

    fn submitted(&mut self, ids: Vec<String>) -> Result<BTreeSet<String>> {
        save::all_submitted(self.connection, ids)
    }
}

/// What becomes of the rows of a table, as the form has it: a kind, or a kind and a step.
fn code_of(kind: &Kind, step: Option<&Transition>) -> String {
    match step {
        Some(step) => format!("{}/{}", kind.code, step.event),
        None => kind.code.clone(),
    }
}

/// The same in words.
fn name_of(kind: &Kind, step: Option<&Transition>, lang: Lang) -> String {
    let name = lang.label(&kind.label).to_owned();
    match step {
        Some(step) => format!("{name} · {}", lang.label(&step.label)),
        None => name,
    }
}

/// Looks at a table for whoever may record it.
fn plan(
    (kind, step): (&'static Kind, Option<&'static Transition>),
    (table, system): (&Table, &str),
    said: &[(String, String)],
    look: &mut Asks<'_>,
) -> Result<Incoming> {
    match step {
        Some(step) => {
            look.actor.takes(&step.event, &step.who)?;
            Incoming::plan_steps((kind, step), table, said, look)
        }
        None => {
            look.actor.may_create(kind)?;
            Incoming::plan(kind, table, (said, system), look)
        }
    }
}

/// Takes a table and looks at it.
pub(super) async fn look(State(app): State<App>, session: Session, form: Multipart) -> Answer {
    let sent = Upload::read(form, Code::BadTable).await?;
    let (kind, step) = match sent.typed("kind").split_once('/') {
        None => (known_kind(sent.typed("kind"))?, None),
        Some((kind, event)) => {
            let kind = known_kind(kind)?;
            let step = kind.transition(event).filter(|step| step.tabled);
            let none = || Error::new(Code::StepRefused, "no table takes this step");
            (kind, Some(step.ok_or_else(none)?))
        }
    };
    let system = match sent.typed("system") {
        "" => ledger::NO_SYSTEM.to_owned(),
        system => system.chars().take(32).collect(),
    };
    let bytes = sent.bytes;
    let asking = session.clone();
    let looked = app
        .read(move |books, connection| {
            let actor = asking.actor(connection, books)?;
            let table = match sheets::read(&bytes, None) {
                Ok(table) if table.rows.len() > ROWS_MAX => return Ok(Err(TOO_LONG)),
                Ok(table) => table,
                Err(refusal) => return Ok(Err(refusal.code())),
            };
            let mut look = Asks {
                books,
                connection,
                actor: &actor,
            };
            let incoming = plan((kind, step), (&table, &system), &[], &mut look)?;
            Ok(Ok(Looked {
                table,
                system,
                incoming: Mutex::new(incoming),
                run: Mutex::default(),
            }))
        })
        .await?;
    match looked {
        Ok(looked) => {
            let id = app.kept.put_large(&session, looked, TABLES_MAX)?;
            Ok(go(&format!("/import/{id}")))
        }
        Err(code) => {
            let kind = code_of(kind, step);
            Ok(go(&format!("/import?kind={kind}&refused={code}")))
        }
    }
}

#[derive(Template)]
#[template(path = "imported.html")]
struct Shown {
    page: Page,
    id: String,
    kind: String,
    /// What the form chose, and the kind of its records.
    code: String,
    list: String,
    /// Rows that wait to be recorded; none once they were.
    waiting: u64,
    /// How many of how many are recorded, while they are.
    running: Option<(u64, u64)>,
    /// Why recording them ended.
    failed: Option<String>,
    accepted: u64,
    known: u64,
    columns: Vec<Choice>,
    /// What a column can be: codes and names.
    codes: Vec<(String, String)>,
    left_out: String,
    hidden: u64,
    refused: Vec<(u32, String, String)>,
    refused_count: u64,
    altered: Vec<(u32, String, String, String, String)>,
    altered_count: u64,
}

/// What is wrong with a row, in words.
fn said(it: &Refused, kind: &Kind, lang: Lang) -> (u32, String, String) {
    let field = kind.field(&it.field);
    let field = field.map_or(it.field.clone(), |field| {
        lang.label(&field.label).to_owned()
    });
    let id = format!("refused-{}", it.code);
    let said = lang.say(&id, &[]);
    // Some rules say more than their code.
    let said = if said == id { it.message.clone() } else { said };
    (it.row, field, said)
}

/// What a table would become, or has become.
pub(super) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let Some(looked) = app.kept.get::<Looked>(&session, &id) else {
        return Ok(go("/import"));
    };
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("import", &[]);
            let page = Page::new(connection, books, &session, &line, ("/import", title))?;
            let run = *looked.run();
            Ok(looked.with(|incoming| {
                let kind = incoming.kind;
                let label = |key: &str| {
                    let field = kind.field(key);
                    field.map_or(key.to_owned(), |field| lang.label(&field.label).to_owned())
                };
                let columns = looked.table.heads.iter().zip(&incoming.columns);
                let columns = columns.enumerate().map(|(at, (head, column))| Choice {
                    name: head.clone(),
                    field: format!("{COLUMN}{at}"),
                    code: column.map_or_else(String::new, |it| it.code()),
                });
                let columns = columns.filter(|it| !it.name.is_empty()).collect();
                let step = incoming.step;
                let codes: Vec<_> = match step {
                    Some(step) => ledger::columns_of(step).collect(),
                    None => ledger::columns_in(kind).collect(),
                };
                let codes = codes.iter().map(|it| (it.code(), it.label(lang)));
                let refused = incoming.refused.iter().take(SHOWN);
                let altered = incoming.altered.iter().take(SHOWN).map(|it| {
                    let field = label(&it.field);
                    (
                        it.row,
                        it.number.clone(),
                        field,
                        it.old.clone(),
                        it.new.clone(),
                    )
                });
                Shown {
                    kind: name_of(kind, step, lang),
                    code: code_of(kind, step),
                    list: kind.code.clone(),
                    waiting: incoming.new.len() as u64,
                    running: run.running.then(|| {
                        let left = incoming.new.len() as u64;
                        (run.of.saturating_sub(left), run.of)
                    }),
                    failed: run.failed.map(|code| sentence(code, lang)),
                    accepted: incoming.accepted,
                    known: incoming.known,
                    columns,
                    codes: codes.collect(),
                    left_out: incoming.left_out.join("、"),
                    hidden: incoming.hidden,
                    refused: refused.map(|it| said(it, kind, lang)).collect(),
                    refused_count: incoming.refused.len() as u64,
                    altered: altered.collect(),
                    altered_count: incoming.altered.len() as u64,
                    id,
                    page,
                }
            }))
        })
        .await?;
    let mut answer = html(&page)?;
    if page.running.is_some() {
        // It is looked at again until all are recorded, also where no script runs.
        let headers = answer.headers_mut();
        headers.insert("refresh", HeaderValue::from_static("1"));
    }
    Ok(answer)
}

/// Looks at it again with what its columns were said to be.
pub(super) async fn columns(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Sent(pairs): Sent<Vec<(String, String)>>,
) -> Answer {
    let Some(looked) = app.kept.get::<Looked>(&session, &id) else {
        return Ok(go("/import"));
    };
    // While it is being recorded its columns are settled.
    if looked.run().running {
        return Ok(go(&format!("/import/{id}")));
    }
    app.read(move |books, connection| {
        let actor = session.actor(connection, books)?;
        let said = pairs.iter().filter_map(|(field, code)| {
            let at: usize = field.strip_prefix(COLUMN)?.parse().ok()?;
            Some((looked.table.heads.get(at)?.clone(), code.clone()))
        });
        let said: Vec<_> = said.collect();
        let what = looked.with(|incoming| (incoming.kind, incoming.step));
        let mut look = Asks {
            books,
            connection,
            actor: &actor,
        };
        let planned = plan(what, (&looked.table, &looked.system), &said, &mut look)?;
        looked.with(|incoming| *incoming = planned);
        Ok(())
    })
    .await?;
    Ok(go(&format!("/import/{id}")))
}

// ---- recording it ----

/// Begins to record what was looked at; its page says how far that has come.
pub(super) async fn take(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let Some(looked) = app.kept.get::<Looked>(&session, &id) else {
        return Ok(go("/import"));
    };
    if looked.begins() {
        tokio::spawn(record(app, session, looked));
    }
    Ok(go(&format!("/import/{id}")))
}

/// Records the rows of a table, so many at a time that nobody who saves meanwhile waits long.
async fn record(app: App, session: Session, looked: Arc<Looked>) {
    loop {
        let (kind, step, rows) = looked.with(|incoming| {
            let rows = incoming.next_chunk();
            (incoming.kind, incoming.step, rows)
        });
        if rows.is_empty() {
            break;
        }
        let waiting = rows.clone();
        let (numbers, rows): (Vec<u32>, Vec<Value>) = rows.into_iter().unzip();
        let author = session.clone();
        let reply = app
            .write(move |journal, connection| {
                let author = author.author(connection, journal)?;
                match step {
                    Some(step) => {
                        let step = (kind, step.event.as_str());
                        command::take_steps(journal, connection, step, &rows, &author)
                    }
                    None => command::add_rows(journal, connection, (kind, &rows), &author),
                }
            })
            .await;
        match reply {
            Ok(reply) => looked.with(|incoming| incoming.took(&numbers, &reply)),
            // None of them was recorded: they wait for the next try.
            Err(error) => {
                looked.with(|incoming| drop(incoming.new.splice(0..0, waiting)));
                looked.run().failed = Some(error.code());
                break;
            }
        }
    }
    looked.run().running = false;
}

/// The rows that were refused, with the reasons beside them.
pub(super) async fn errors(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let Some(looked) = app.kept.get::<Looked>(&session, &id) else {
        return Ok(go("/import"));
    };
    let bytes = looked.with(|incoming| {
        let mut bytes = Vec::new();
        let written = incoming.write_refused(&looked.table, &mut bytes);
        written.map(|()| bytes)
    })?;
    Ok(attached("lianxin-refused-rows.xlsx", XLSX, bytes))
}
