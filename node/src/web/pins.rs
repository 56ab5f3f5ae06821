//! Lists that somebody keeps on their first page 固定到首页: an address with its filter, which never holds words that were searched for.

use axum::Form as Sent;
use axum::extract::{Query, State};
use axum::http::Uri;
use serde::Deserialize;

use super::App;
use super::list::{Asked, LEDGER, said_of};
use super::page::{Answer, Session, go};
use super::words::Lang;
use crate::accounts;
use crate::error::{Code, Error};
use crate::journal::Overview;

/// Lists of one person.
const PINS_MAX: usize = 12;

/// A list on the first page.
pub(super) struct Pin {
    pub(super) href: String,
    pub(super) label: String,
}

/// What an address asks for, if it is one of a list.
fn asked(address: &str) -> Option<Asked> {
    let uri: Uri = address.parse().ok()?;
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&uri).ok()?.0;
    (uri.path() == LEDGER).then(|| Asked::of(pairs).whole())
}

/// The lists of whoever looks.
pub(super) fn of(session: &Session, overview: &Overview, lang: Lang) -> Vec<Pin> {
    let pins = session.account.taste.pins.iter();
    let pins = pins.filter_map(|href| {
        let said = said_of(&asked(href)?, overview.authority(), lang);
        Some(Pin {
            href: href.clone(),
            label: match said.is_empty() {
                true => lang.say("menu-list", &[]),
                false => said,
            },
        })
    });
    pins.collect()
}

/// Whether this list is one of them.
pub(super) fn is_kept(session: &Session, address: &str) -> bool {
    let pins = &session.account.taste.pins;
    pins.iter().any(|it| it == address)
}

/// Which list.
#[derive(Deserialize)]
pub(super) struct Which {
    list: String,
}

/// Keeps a list on the first page, or takes it away.
pub(super) async fn change(
    State(app): State<App>,
    session: Session,
    Sent(which): Sent<Which>,
) -> Answer {
    let none = || Error::new(Code::BadInput, "this is no list that can be kept");
    let address = asked(&which.list).and_then(|asked| asked.address());
    let address = address.ok_or_else(none)?;
    let (account, list) = (session.account.id, address.clone());
    app.write(move |_, connection| {
        // Another window may have changed it since.
        let found = accounts::find(connection, &account)?.ok_or_else(none)?;
        let mut taste = found.taste;
        let before = taste.pins.len();
        taste.pins.retain(|it| *it != list);
        if taste.pins.len() == before {
            if before >= PINS_MAX {
                taste.pins.remove(0);
            }
            taste.pins.push(list.clone());
        }
        accounts::set_taste(connection, &account, &taste)
    })
    .await?;
    Ok(go(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_are_kept_and_no_words() {
        let kept = |address: &str| asked(address).and_then(|asked| asked.address());
        let list = "/records?kind=opinion&status=registered&from=2026-01-01";
        assert_eq!(kept(list).as_deref(), Some(list));
        assert_eq!(
            kept("/records?q=%E6%B5%8B&kind=opinion").as_deref(),
            Some("/records?kind=opinion")
        );
        for other in [
            "/logout",
            "https://example.org/records",
            "//example.org/records",
            "",
            "/records/1",
        ] {
            let kept = kept(other);
            assert!(
                kept.is_none() || kept.as_deref() == Some(LEDGER),
                "{other}: {kept:?}"
            );
        }
    }
}
