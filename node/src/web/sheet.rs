//! A form with words in it, as it is sent: with the id of the draft that it is kept under, and the window that it stands in.
//!
//! What is typed into a new record, a step or a correction is in the store within a second of a pause, under one id that the page
//! chose; the same id makes of a form that is sent twice one record or one step. What cannot be carried out stays a draft, so that
//! no answer loses words.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::log::RecordId;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::App;
use super::fields;
use super::intake::registered;
use super::offers::{SURE, WAY};
use super::page::{Answer, Hand, go, kind_of};
use crate::accounts::Account;
use crate::clock;
use crate::drafts::{self, Draft, Kept, Typed, Window};
use crate::error::{Code, Error, Result};
use crate::records::save::{self, Submission};

/// Name in the form of what is done with it, of the draft's id, of what it is a draft of, and of the window that it stands in.
const DO: &str = "do";
const DRAFT: &str = "draft";
const KIND: &str = "kind";
const WINDOW: &str = "window";
const AFTER: &str = "after_window";

/// What a draft is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A new record of a kind.
    New(String),
    /// A step of a record.
    Step(String, String),
    /// A correction of a record.
    Edit(String),
    /// A choice between the values of a record's fields.
    Conflict(String),
    /// Lines of an event that become records of a kind.
    Lines(String, String),
    /// A step for several records of a kind.
    Several(String, String),
}

impl About {
    /// As it stands in the store and in forms.
    pub(super) fn text(&self) -> String {
        match self {
            Self::New(kind) => kind.clone(),
            Self::Step(record, event) => format!("step/{record}/{event}"),
            Self::Edit(record) => format!("edit/{record}"),
            Self::Conflict(record) => format!("conflict/{record}"),
            Self::Lines(record, kind) => format!("lines/{record}/{kind}"),
            Self::Several(kind, event) => format!("several/{kind}/{event}"),
        }
    }

    /// Reads it. A record need not be here any more, but its id must be one.
    ///
    /// # Errors
    /// [`Code::NoKind`] for anything else.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.split('/').collect();
        let is_record =
            |id: &str| id.len() == 36 && id.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
        let is_event = |event: &str| {
            (1..=40).contains(&event.len())
                && event
                    .bytes()
                    .all(|it| it.is_ascii_lowercase() || it == b'_')
        };
        match parts.as_slice() {
            ["step", record, event] if is_record(record) && is_event(event) => {
                Ok(Self::Step((*record).to_owned(), (*event).to_owned()))
            }
            ["edit", record] if is_record(record) => Ok(Self::Edit((*record).to_owned())),
            ["conflict", record] if is_record(record) => Ok(Self::Conflict((*record).to_owned())),
            ["lines", record, kind] if is_record(record) => {
                let kind = kind_of(kind)?.code.clone();
                Ok(Self::Lines((*record).to_owned(), kind))
            }
            ["several", kind, event] if is_event(event) => {
                let kind = kind_of(kind)?.code.clone();
                Ok(Self::Several(kind, (*event).to_owned()))
            }
            _ => Ok(Self::New(kind_of(text)?.code.clone())),
        }
    }

    /// Whether nothing is left of what was typed for a step but what its form began with: days, and how somebody wanted to be told.
    pub(super) fn is_emptied(&self, typed: &Typed) -> bool {
        let begun = |key: &str, value: &str| {
            value.trim().is_empty() || key == WAY || clock::day_number(value).is_some()
        };
        let nothing = || {
            typed
                .iter()
                .all(|(key, values)| values.iter().all(|it| begun(key, it)))
        };
        matches!(self, Self::Step(..) | Self::Several(..)) && nothing()
    }

    /// Where its form is.
    pub(super) fn path(&self, draft: &str) -> String {
        match self {
            Self::New(_) => format!("/drafts/{draft}"),
            Self::Step(record, event) => format!("/records/{record}?step={event}#next"),
            Self::Edit(record) => format!("/records/{record}/edit"),
            Self::Conflict(record) => format!("/records/{record}/conflict"),
            Self::Lines(record, kind) => format!("/records/{record}/lines/{kind}?draft={draft}"),
            // The words come again with the next records that are picked for the step.
            Self::Several(..) => "/queue".to_owned(),
        }
    }
}

/// What a form is kept under.
#[derive(Clone, Debug, Default)]
pub(super) struct Under {
    pub(super) about: String,
    pub(super) draft: String,
    pub(super) window: Window,
}

impl Under {
    /// For a form that is shown, with the draft that there is of it.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn of(about: &About, kept: Option<&Draft>) -> Result<Self> {
        Ok(Self {
            about: about.text(),
            draft: kept.map_or_else(drafts::new_id, |draft| Ok(draft.id.clone()))?,
            window: Window {
                id: drafts::new_id()?,
                after: kept.map_or_else(String::new, |draft| draft.window.clone()),
            },
        })
    }
}

/// A window that is shown a draft.
pub(super) fn opened(draft: &Draft) -> Result<Window> {
    Ok(Window {
        id: drafts::new_id()?,
        after: draft.window.clone(),
    })
}

/// Name in the form of the id of the paper that it is typed from.
pub(super) const PAPER: &str = "paper";

/// The id of the form on paper that something is typed from.
pub(super) fn paper(typed: &Typed) -> Option<&str> {
    let id = typed.get(PAPER)?.first()?;
    drafts::is_id(id).then_some(id)
}

/// A form as it came.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) typed: Typed,
    pub(super) id: String,
    pub(super) window: Window,
    pub(super) as_draft: bool,
}

impl Sheet {
    /// Takes the names out that are no fields. A form that names no draft has one that nobody knows.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn of(pairs: Vec<(String, String)>) -> Result<Self> {
        let mut typed = fields::from_pairs(pairs);
        let mut take = |name: &str| typed.remove(name).and_then(|it| it.into_iter().next());
        let id = take(DRAFT).filter(|id| drafts::is_id(id));
        let mut window = |name: &str| {
            let id = take(name).filter(|id| drafts::is_id(id));
            id.unwrap_or_default()
        };
        let window = Window {
            id: window(WINDOW),
            after: window(AFTER),
        };
        let what = take(DO);
        take(KIND);
        Ok(Self {
            id: id.map_or_else(drafts::new_id, Ok)?,
            window,
            as_draft: what.as_deref() == Some(DRAFT),
            typed,
        })
    }

    /// Under which id it is sent once: its draft's, or that of the form on paper from which it is typed, in however many windows and by
    /// whomever.
    pub(super) fn sent_as(&self) -> &str {
        paper(&self.typed).unwrap_or(&self.id)
    }

    /// What it is, sent once.
    pub(super) fn submission(&self, about: &str) -> Submission<'_> {
        Submission::of(self.sent_as(), &json!([about, self.typed]))
    }

    /// Keeps what was typed. What was sent from another window meanwhile is no draft any more: what is written on there is
    /// another matter, and kept beside it.
    ///
    /// # Errors
    /// As [`drafts::keep`].
    pub(super) fn keep(
        &self,
        connection: &Connection,
        account: &str,
        about: &str,
        now_ms: u64,
    ) -> Result<Kept> {
        let typed = (&self.typed, &self.window);
        if save::submitted(connection, &self.id)?.is_none() {
            return drafts::keep(connection, account, (&self.id, about), typed, now_ms);
        }
        let id = drafts::new_id()?;
        let kept = drafts::keep(connection, account, (&id, about), typed, now_ms)?;
        Ok(Kept {
            beside: true,
            ..kept
        })
    }
}

impl Sheet {
    /// Keeps what somebody sent whose login has ended, and leads to the login and from there to where it is found.
    pub(super) async fn until_login(
        self,
        app: &App,
        account: Box<Account>,
        about: About,
    ) -> Answer {
        let to = match &about {
            About::Edit(record) | About::Step(record, _) => format!("/records/{record}"),
            About::Conflict(record) => format!("/records/{record}/conflict"),
            About::New(_) | About::Lines(..) => "/".to_owned(),
            About::Several(..) => "/queue".to_owned(),
        };
        let now_ms = clock::now_ms();
        app.write(move |_, connection| {
            self.keep(connection, &account.id, &about.text(), now_ms)
                .map(drop)
        })
        .await?;
        Ok(go(&format!("/login?to={to}")))
    }

    /// Keeps what could not be carried out, and says under what its form stands then: where no draft can be kept, on the page
    /// alone.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(super) fn undone(
        &self,
        connection: &Connection,
        account: &str,
        about: &About,
        now_ms: u64,
    ) -> Result<Under> {
        let emptied = about.is_emptied(&self.typed);
        let about = about.text();
        if emptied {
            drafts::emptied(connection, account, &self.id, &self.window)?;
            return Ok(Under {
                about,
                draft: self.id.clone(),
                window: self.window.clone(),
            });
        }
        let draft = match self.keep(connection, account, &about, now_ms) {
            Ok(kept) => kept.id,
            Err(error) if error.leaves_nothing() => self.id.clone(),
            Err(error) => return Err(error),
        };
        Ok(Under {
            about,
            draft,
            window: self.window.clone(),
        })
    }
}

/// Keeps a draft while somebody types, also for somebody whose login has ended meanwhile: it is their own.
pub(super) async fn keep(
    State(app): State<App>,
    hand: Hand,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let about = pairs.iter().find(|(name, _)| name == KIND);
    let about = About::parse(about.map_or("", |(_, about)| about))?;
    if !drafts::is_id(&id) {
        return Err(Error::new(Code::BadInput, "this is no draft's id").into());
    }
    // What a step's form has besides what is typed: which step on which records, from where, and that it is meant.
    let beside = ["step", "id", "back", SURE];
    let of_step = matches!(about, About::Step(..) | About::Several(..));
    let typed = |name: &str| name != DRAFT && !(of_step && beside.contains(&name));
    let pairs = pairs.into_iter().filter(|(name, _)| typed(name));
    let sheet = Sheet::of(pairs.chain([(DRAFT.to_owned(), id)]).collect())?;
    let now_ms = clock::now_ms();
    let lang = hand.lang();
    let (account, ended) = (hand.account().id.clone(), hand.ended);
    let emptied = about.is_emptied(&sheet.typed);
    let kept = app
        .write(move |_, connection| {
            if emptied {
                drafts::emptied(connection, &account, &sheet.id, &sheet.window)?;
                return Ok(Ok(Kept {
                    id: sheet.id.clone(),
                    beside: false,
                }));
            }
            let about = about.text();
            if let Ok(Some(known)) = sheet.submission(&about).known(connection) {
                return Ok(Err(known));
            }
            sheet.keep(connection, &account, &about, now_ms).map(Ok)
        })
        .await?;
    let kept = match kept {
        Ok(kept) => kept,
        Err(known) => {
            let said = answer(lang.say("draft-registered", &[]), Some(&known), None);
            return Ok((StatusCode::CONFLICT, axum::Json(said)).into_response());
        }
    };
    let (hour, minute) = clock::Beijing::of(now_ms).time();
    let word = match (ended, kept.beside) {
        (true, _) => "draft-ended",
        (false, true) => "draft-beside",
        (false, false) if emptied => "draft-emptied",
        (false, false) => "draft-kept",
    };
    let said = lang.say(word, &[("time", format!("{hour:02}:{minute:02}").into())]);
    let status = if ended {
        StatusCode::UNAUTHORIZED
    } else {
        StatusCode::OK
    };
    let said = answer(said, None, Some(&kept.id));
    Ok((status, axum::Json(said)).into_response())
}

/// What the page is told: the words, where it was registered, and the draft's id from now on.
fn answer(said: String, registered_as: Option<&RecordId>, draft: Option<&str>) -> Value {
    json!({ "said": said, "to": registered_as.map(registered), "draft": draft })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_draft_is_of_is_read_as_it_is_written() {
        let record = "0190b5c2-0000-7000-8000-000000000001".to_owned();
        for about in [
            About::New("opinion".to_owned()),
            About::Step(record.clone(), "supplement".to_owned()),
            About::Edit(record.clone()),
            About::Conflict(record.clone()),
            About::Lines(record, "opinion".to_owned()),
            About::Several("opinion".to_owned(), "dispatch".to_owned()),
        ] {
            assert_eq!(About::parse(&about.text()).ok(), Some(about));
        }
        for bad in [
            "",
            "nothing",
            "step/x/accept",
            "edit/../etc",
            "step/",
            "edit/opinion",
            "lines/opinion/opinion",
            "lines/0190b5c2-0000-7000-8000-000000000001/nothing",
        ] {
            assert!(About::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_form_that_comes_again_is_the_same_and_another_is_not() -> Result<()> {
        let sheet = |body: &str, window: &str| {
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let id = "0123456789abcdef0123456789abcdef";
            Sheet::of(vec![
                pair("body", body),
                pair("draft", id),
                pair("window", window),
                pair("do", "draft"),
            ])
        };
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(include_str!("../store/schema.sql"))?;
        let first = sheet("路灯", "0123456789abcdef0123456789abcdef")?;
        assert!(first.as_draft && first.typed.len() == 1);
        let record = RecordId([7; 16]);
        first.submission("opinion").keep(&connection, &record)?;
        let known = |sheet: &Sheet, about: &str| {
            let known = sheet.submission(about).known(&connection);
            known.map_err(|error| error.code())
        };
        assert_eq!(known(&sheet("路灯", "")?, "opinion"), Ok(Some(record)));
        assert_eq!(
            known(&sheet("井盖", "")?, "opinion"),
            Err(Code::OtherContent)
        );
        assert_eq!(known(&sheet("路灯", "")?, "visit"), Err(Code::OtherContent));
        let kept = sheet("井盖", "")?.keep(&connection, "a", "opinion", 1)?;
        assert!(kept.beside);
        Ok(())
    }
}
