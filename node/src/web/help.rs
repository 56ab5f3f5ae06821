//! Help: what whoever looks does, in four steps, the words of the ladder, and the keys. The sub-district has a guide of its own.

use askama::Template;
use axum::extract::State;

use super::App;
use super::page::{Answer, Page, Session, html};
use super::shown::Shown;
use crate::records::delivery::State as Reached;

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    page: Page,
    states: Vec<Shown>,
}

/// The page.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    let line = (app.doors.line)();
    let help = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-help", &[]);
            let page = Page::new(connection, books, &session, &line, ("/help", title))?;
            let mut states = vec![Shown::draft(lang)];
            states.extend(
                [
                    Reached::Saved,
                    Reached::Sending,
                    Reached::Received,
                    Reached::Merged,
                    Reached::Answered,
                    Reached::Refused,
                    Reached::Quarantined,
                ]
                .map(|state| Shown::of(state, lang)),
            );
            Ok(Help { page, states })
        })
        .await?;
    html(&help)
}
