//! 按人查找: all that one person has brought, for whoever says why. That somebody looked, and why, is written into the access log first; for
//! whom is written nowhere, and stands in no address.

use askama::Template;
use axum::Form;
use axum::extract::State;
use lianxin_protocol::text;

use super::App;
use super::list::{self, Asked};
use super::page::{Answer, Page, Session, go, html};
use crate::error::{Code, Result};
use crate::records::sight;

/// Characters of a name or a number that are looked for.
const NAME_CHARS: usize = 60;

#[derive(Template)]
#[template(path = "person.html")]
struct Person {
    page: Page,
    name: String,
    reason: String,
    lacks_name: bool,
    lacks_reason: bool,
}

/// Where it is said whom one looks for, and why.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    shown(&app, session, [String::new(), String::new()], false).await
}

async fn shown(app: &App, session: Session, typed: [String; 2], sent: bool) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let title = session.lang().say("by-person", &[]);
            let page = Page::new(connection, books, &session, &line, (list::LEDGER, title))?;
            let [name, reason] = typed;
            Ok(Person {
                lacks_name: sent && text::is_blank(&name),
                lacks_reason: sent,
                name,
                reason,
                page,
            })
        })
        .await?;
    html(&page)
}

/// Looks for a person.
pub(super) async fn find(
    State(app): State<App>,
    session: Session,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let named = |name: &str| {
        let found = pairs.iter().find(|(it, _)| it == name);
        found.map_or_else(String::new, |(_, text)| text.trim().to_owned())
    };
    let (name, reason) = (named("name"), named("reason"));
    let name: String = name.chars().take(NAME_CHARS).collect();
    if text::is_blank(&name) {
        return shown(&app, session, [name, reason], true).await;
    }
    let (of, why) = (session.clone(), reason.clone());
    let logged: Result<()> = app
        .write(move |journal, connection| {
            let author = of.author(connection, journal)?;
            sight::look_for_person(connection, journal, &why, &author)
        })
        .await;
    match logged {
        Err(error) if error.code() == Code::NoReason => {
            shown(&app, session, [name, reason], true).await
        }
        logged => {
            logged?;
            let asked = Asked::default().of_person(name);
            let id = app.kept.put(&session, None, asked)?;
            Ok(go(&format!("/search/{id}")))
        }
    }
}
