//! Forms on paper 空白表: what a kind asks, to be filled in by hand where there is no computer or no current, and typed later. Each has a
//! number of its own. Whoever types it by that number gets one form, however often and wherever they begin, and what was registered from
//! it is found instead of being registered twice on this computer.

use askama::Template;
use axum::extract::{Path, Query, State};
use lianxin_protocol::base32;
use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::hash::{self, Hex};
use lianxin_protocol::number::check_digits;
use lianxin_protocol::text;
use serde::Deserialize;

use super::App;
use super::fields::Input;
use super::intake::{self, Part, registered};
use super::page::{Answer, Bare, Session, go, html, kind_of};
use super::sheet::PAPER;
use super::slip::Qr;
use crate::clock;
use crate::drafts::{self, Typed};
use crate::error::{Code, Error, Result};
use crate::records::save;

/// Forms that are printed at once.
const COPIES_MAX: u32 = 50;
/// Choices that are printed each with a box; more would fill the page, and are written by hand.
const BOXES_MAX: usize = 16;
/// The field that no form on paper has.
const TEST_DATA: &str = "test_data";
/// Random bytes of a number: eight symbols.
const RANDOM: usize = 5;

/// The number of a form on paper: `YJ-7K3M-9QX4-52`, of the kind's letters, eight symbols drawn at random and two check digits.
#[derive(Clone, Debug)]
struct SheetNumber {
    kind: &'static Kind,
    symbols: String,
}

impl SheetNumber {
    /// Draws one, of a kind that has forms on paper.
    fn draw(kind: &'static Kind) -> Result<Self> {
        let symbols = base32::encode(&clock::random::<RANDOM>()?);
        Ok(Self { kind, symbols })
    }

    /// As somebody typed or scanned it.
    fn parse(typed: &str) -> Option<Self> {
        let typed = text::code(typed);
        let (prefix, rest) = typed.split_at_checked(2)?;
        let kind = Catalogue::current()
            .kinds()
            .find(|kind| kind.prefix.as_deref() == Some(prefix))?;
        let meant: String = rest.chars().map(base32::meant).collect();
        let (symbols, check) = meant.split_at_checked(meant.len().checked_sub(2)?)?;
        let random = base32::decode(symbols.chars())?;
        let number = Self {
            kind,
            symbols: symbols.to_owned(),
        };
        (random.len() == RANDOM && check == number.check()).then_some(number)
    }

    fn check(&self) -> String {
        let prefix = self.kind.prefix.as_deref().unwrap_or_default();
        format!("{:02}", check_digits(&format!("{prefix}{}", self.symbols)))
    }

    /// The id under which it is registered, and that of an account's draft of it, as [`drafts`] have them: what somebody has half typed
    /// is in nobody's way.
    fn ids(&self, account: &str) -> (String, String) {
        let number = self.to_string();
        let id = |of: &str| {
            let id = hash::PAYLOAD.hash(&[b"form on paper", number.as_bytes(), of.as_bytes()]);
            Hex(id.first_chunk::<16>().unwrap_or(&[0; 16])).to_string()
        };
        (id(""), id(account))
    }
}

impl std::fmt::Display for SheetNumber {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let prefix = self.kind.prefix.as_deref().unwrap_or_default();
        let (one, other) = self.symbols.split_at_checked(4).unwrap_or_default();
        write!(out, "{prefix}-{one}-{other}-{}", self.check())
    }
}

/// Whether a kind has forms on paper.
pub(super) fn is_there(kind: &Kind) -> bool {
    kind.prefix.is_some() && !kind.sections.is_empty()
}

#[derive(Template)]
#[template(path = "blank.html")]
struct Blank {
    bare: Bare,
    kind: &'static Kind,
    label: String,
    copies: Vec<(String, Qr)>,
    parts: Vec<Part>,
    /// The person is told what happens with the data.
    notice: bool,
}

impl Blank {
    /// Whether its choices are printed, each with a box.
    fn boxes(&self, input: &Input) -> bool {
        (1..=BOXES_MAX).contains(&input.options.len())
    }

    /// What is written by hand where nothing is ticked: a day, a time, some lines or one.
    fn room(&self, input: &Input) -> &'static str {
        match input.control {
            "date" => "blank-date",
            "month" => "blank-month",
            "time" => "blank-time",
            "clock" => "blank-clock",
            _ => "",
        }
    }

    /// Lines of a text: the words that a record is about have the most.
    fn lines(&self, input: &Input) -> std::ops::Range<u8> {
        let words = self.kind.words.as_ref() == Some(&input.name);
        match input.control {
            "text" if words => 0..6,
            "text" => 0..2,
            _ => 0..1,
        }
    }
}

/// How many are asked for.
#[derive(Deserialize)]
pub(super) struct Copies {
    copies: Option<String>,
}

/// Forms to print.
pub(super) async fn print(
    State(app): State<App>,
    session: Session,
    Path(kind): Path<String>,
    Query(Copies { copies }): Query<Copies>,
) -> Answer {
    let kind = kind_of(&kind)?;
    let lang = session.lang();
    let copies = copies.and_then(|copies| copies.trim().parse::<u32>().ok());
    let copies = copies.unwrap_or(1).clamp(1, COPIES_MAX);
    let blank = app
        .read(move |books, connection| {
            session.actor(connection, books)?.may_create(kind)?;
            if !is_there(kind) {
                let message = "this kind has no form on paper";
                return Err(Error::new(Code::NoPage, message));
            }
            let shown = (lang, clock::now_ms());
            let mut parts = intake::parts_of(connection, books, kind, &Typed::new(), shown)?;
            for part in &mut parts {
                // Nobody practises on paper.
                part.inputs.retain(|input| input.name != TEST_DATA);
            }
            let copies = (0..copies).map(|_| {
                let number = SheetNumber::draw(kind)?.to_string();
                let qr = Qr::of(&number)?;
                Ok((number, qr))
            });
            Ok(Blank {
                copies: copies.collect::<Result<_>>()?,
                parts,
                notice: save::asks_notice(kind),
                label: lang.label(&kind.label).to_owned(),
                bare: Bare::here(connection, books, lang)?,
                kind,
            })
        })
        .await?;
    html(&blank)
}

/// The number of a form that was filled in.
#[derive(Deserialize)]
pub(super) struct Filled {
    number: String,
}

/// Leads to the form in which it is typed: to what this account has typed of it, also where that was thrown away; or to what was
/// registered from it.
pub(super) async fn typed(
    State(app): State<App>,
    session: Session,
    Query(Filled { number }): Query<Filled>,
) -> Answer {
    let number = SheetNumber::parse(&number).ok_or_else(|| {
        let message = "this is no number of a form on paper, or a symbol of it is wrong";
        Error::new(Code::NoBlank, message)
    })?;
    let account = session.account.id;
    let to = app
        .write(move |_, connection| {
            let (paper, draft) = number.ids(&account);
            if let Some(known) = save::submitted(connection, &paper)? {
                return Ok(registered(&known));
            }
            drafts::restore(connection, &account, &draft)?;
            let kind = &number.kind.code;
            Ok(format!("/new/{kind}?draft={draft}&{PAPER}={paper}"))
        })
        .await?;
    Ok(go(&to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_people_type_it_and_no_other() -> Result<()> {
        let kind = kind_of("opinion")?;
        let number = SheetNumber {
            kind,
            symbols: "7K3M9QX4".to_owned(),
        };
        let written = number.to_string();
        assert_eq!(written.len(), "YJ-7K3M-9QX4-52".len());
        for typed in [
            written.clone(),
            written.to_lowercase(),
            written.replace('-', " "),
            format!("　{written}\n"),
        ] {
            let read = SheetNumber::parse(&typed).map(|it| it.to_string());
            assert_eq!(read.as_ref(), Some(&written), "{typed}");
        }
        let (paper, draft) = number.ids("a");
        assert!(drafts::is_id(&paper) && drafts::is_id(&draft));
        let (same, other) = number.ids("b");
        assert!(same == paper && other != draft && other != paper);
        let drawn = SheetNumber::draw(kind)?.to_string();
        assert!(SheetNumber::parse(&drawn).is_some());
        // One symbol wrong, two swapped, one left out, another kind, none at all.
        for wrong in [
            written.replacen('K', "H", 1),
            written.replacen("7K", "K7", 1),
            written.replacen('K', "", 1),
            written.replacen("YJ", "ZF", 1),
            "YJ".to_owned(),
            String::new(),
            "群众意见".to_owned(),
        ] {
            assert!(SheetNumber::parse(&wrong).is_none(), "{wrong}");
        }
        Ok(())
    }
}
