//! The slip 登记单: what the resident takes home. It says nothing of who came and of what was said.

use askama::Template;
use axum::extract::{Path, Query, State};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::space::Space;
use qrcode::{Color, EcLevel, QrCode};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::App;
use super::page::{Answer, Bare, Session, go, html};
use super::records::held;
use super::shown;
use crate::accounts;
use crate::error::{Code, Error, Result};
use crate::journal::Books;
use crate::records::{self, Filter, Listed, Record};
use crate::slips;

/// Light modules around a code, by its standard.
const QUIET: usize = 4;

#[derive(Template)]
#[template(path = "slip.html")]
struct Slip {
    bare: Bare,
    unit: String,
    network: String,
    number: String,
    at: String,
    category: String,
    status: String,
    state: String,
    code: [String; 2],
    qr: Qr,
    /// Where the matter is, how the person wants to be told, and who wrote it down.
    place: String,
    wanted: String,
    clerk: String,
    /// How the station is reached, as far as its file says so.
    phone: String,
    address: String,
    hours: String,
    paper: &'static str,
    test_data: bool,
    id: String,
}

impl Slip {
    fn is(&self, paper: &str) -> bool {
        self.paper == paper
    }
}

/// What it is printed on: `a5`, two on `a4`, or a `roll` of 80 mm.
#[derive(Deserialize)]
pub(super) struct Paper {
    paper: Option<String>,
}

impl Paper {
    fn known(&self) -> &'static str {
        match self.paper.as_deref() {
            Some("a4") => "a4",
            Some("roll") => "roll",
            _ => "a5",
        }
    }
}

/// The file of the site that a record belongs to: the register's entry with its code.
fn file_of(
    connection: &Connection,
    books: &mut Books,
    row: &Listed,
) -> Result<Option<Map<String, Value>>> {
    /// More sites than a sub-district has.
    const SITES: usize = 2_000;
    let Some(Space::Site(site)) = books.authority().space(&row.space) else {
        return Ok(None);
    };
    let Some(code) = books
        .authority()
        .sites()
        .get(&site)
        .map(|it| it.code.clone())
    else {
        return Ok(None);
    };
    let filter = Filter {
        kind: Some("site".to_owned()),
        held: Some(false),
        limit: SITES,
        ..Filter::default()
    };
    let files = records::list(connection, &filter)?;
    let has = |file: &&Listed| file.fact("code").and_then(Value::as_str) == Some(&code);
    match files.iter().find(has) {
        None => Ok(None),
        Some(file) => {
            let gathered = records::gather(connection, books, file.key)?;
            Ok(Some(gathered.content(books.authority()).fields))
        }
    }
}

/// A slip has an address: to load it again makes nothing.
pub(super) async fn go_to_print(_: Session, Path(id): Path<String>) -> Answer {
    let is_id = |it: &u8| it.is_ascii_alphanumeric() || *it == b'-';
    let id: String = id.bytes().filter(is_id).map(char::from).collect();
    Ok(go(&format!("/records/{id}/slip")))
}

/// Prints one.
pub(super) async fn print(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Query(paper): Query<Paper>,
) -> Answer {
    let lang = session.lang();
    let paper = paper.known();
    let slip = app
        .read(move |books, connection| {
            let key = records::find(connection, &id)?;
            let record = Record::read(connection, books, key, &session.actor(connection, books)?)?;
            if !record.sight.has_facts() {
                let message = "what this record holds is not shown to this account";
                return Err(Error::new(Code::NotShown, message));
            }
            let (content, kind) = (&record.content, record.kind);
            let nothing = || Error::new(Code::RecordWaiting, "nothing to print yet");
            let row = record.row.as_ref().ok_or_else(nothing)?;
            // The receipts' digest ties the paper to what the hub has signed, once it has.
            let proof = record.receipts.first().map(|receipt| {
                let digest = lianxin_protocol::hash::PAYLOAD.hash(&[&receipt.encode()]);
                Hex(digest.first_chunk::<8>().unwrap_or(&[0; 8])).to_string()
            });
            let said = |key: &str| {
                let field = kind.and_then(|kind| kind.field(key));
                let value = held(&content.fields, key).unwrap_or(&Value::Null);
                shown::value(field, value, lang)
            };
            let (network, _) = books.authority().names();
            let network = network.to_owned();
            let code = record.id.query_code();
            let file = file_of(connection, books, row)?.unwrap_or_default();
            let public = |key: &str| {
                let text = file.get(key).and_then(Value::as_str);
                text.unwrap_or_default().to_owned()
            };
            let names = accounts::names(connection)?;
            // Only the computer that wrote it down knows the name.
            let wrote = content
                .events
                .first()
                .and_then(|event| names.get(&event.by));
            Ok(Slip {
                unit: shown::site(books.authority(), row, lang),
                network,
                number: content.number.clone().unwrap_or_default(),
                at: shown::moment(row.recorded_ms(), lang),
                category: said("category"),
                place: records::name_of(connection, &said("place.community"))?,
                wanted: said("reply_wanted"),
                clerk: wrote.cloned().unwrap_or_default(),
                phone: public("phone"),
                address: public("address"),
                hours: public("hours"),
                paper,
                status: shown::status(kind, &record.status, lang),
                state: lang.say(&format!("state-{}", record.state.word()), &[]),
                code: [
                    code.get(..4).unwrap_or_default().to_owned(),
                    code.get(4..).unwrap_or_default().to_owned(),
                ],
                qr: Qr::of(&slips::scannable(&record.id, proof.as_deref()))?,
                test_data: record.is_test(),
                id: record.id.hyphenated(),
                bare: Bare::here(connection, books, lang)?,
            })
        })
        .await?;
    html(&slip)
}

/// A QR code (ISO/IEC 18004) to draw: one unit a module, with its quiet zone of four.
pub(super) struct Qr {
    /// Units of each side.
    pub(super) side: usize,
    /// Path of the dark modules.
    pub(super) path: String,
}

impl Qr {
    pub(super) fn of(text: &str) -> Result<Self> {
        let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::M);
        let code = code.map_err(|error| Error::because(Code::Internal, "no QR code", error))?;
        let width = code.width();
        let mut path = String::new();
        for (at, color) in code.to_colors().into_iter().enumerate() {
            if color == Color::Dark {
                let (x, y) = (at % width + QUIET, at / width + QUIET);
                path.push_str(&format!("M{x} {y}h1v1h-1z"));
            }
        }
        Ok(Self {
            side: width + 2 * QUIET,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_of_what_a_slip_holds_is_coarse_enough_for_a_thermal_printer() -> Result<()> {
        let drawn = Qr::of("LX1:0197ABCD0197ABCD0197ABCD0197ABCD:0011223344556677")?;
        // Version 4 at most: 33 modules and the quiet zone.
        assert!(drawn.side <= 33 + 2 * QUIET && drawn.side >= 21 + 2 * QUIET);
        // The finder pattern stands in the corner.
        assert!(drawn.path.starts_with("M4 4h1v1h-1zM5 4"));
        Ok(())
    }
}
