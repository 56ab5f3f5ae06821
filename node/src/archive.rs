//! Puts an archive together from the pages that a store gives, whether a daemon has it or not. The format is
//! `lianxin_protocol::archive`'s; files are the caller's.

use std::collections::BTreeMap;

use lianxin_protocol::archive::{Item, Writer};
use lianxin_protocol::hash::{parse_hex, parse_hex_bytes};
use lianxin_protocol::log::LogId;
use lianxin_protocol::message::{Tip, space_digest};
use serde_json::Value;

use crate::command::Query;
use crate::error::{Code, Error, Result};
use crate::reply::Reply;

/// Gives the bytes of an archive to `put`, piece by piece; `call` carries out commands on the store. Says how
/// many records the store has.
///
/// # Errors
/// Those of `call` and `put`.
pub fn assemble(
    mut call: impl FnMut(Query) -> Result<Reply>,
    mut put: impl FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let plan = call(Query::ArchivePlan)?.value;
    let (mut writer, start) = Writer::begin();
    put(&start)?;
    let head = bytes(&plan, "head")?;
    writer.encoded(&head, 1);
    put(&head)?;
    for space in list(&plan, "spaces") {
        let opening = bytes(space, "space")?;
        writer.encoded(&opening, 1);
        put(&opening)?;
        let mut tips = BTreeMap::new();
        for name in list(space, "logs").filter_map(Value::as_str) {
            let id = parse_hex(name).map(LogId).ok_or_else(strange)?;
            let (mut from, mut frozen) = (Some(0), None);
            while let Some(next) = from {
                let log = name.to_owned();
                let page = call(Query::ArchivePage { log, from: next })?.value;
                let items = bytes(&page, "items")?;
                writer.encoded(&items, number(&page, "count")?);
                put(&items)?;
                from = page.get("next").and_then(Value::as_u64);
                // The first page alone has the proof: a log that freezes later is whole in this archive.
                frozen = frozen.or(page.get("frozen").filter(|it| it.is_object()).cloned());
                let end = frozen.as_ref().or_else(|| page.get("end"));
                let tip = tip(end.ok_or_else(strange)?, frozen.is_some())?;
                tips.insert(id, tip);
            }
        }
        put(&writer.item(&Item::Digest(space_digest(&tips))))?;
    }
    put(&writer.end())?;
    number(&plan, "records")
}

fn tip(position: &Value, frozen: bool) -> Result<Tip> {
    let head = position.get("head").and_then(Value::as_str);
    Ok(Tip {
        len: number(position, "len")?,
        head: head.and_then(parse_hex).ok_or_else(strange)?,
        frozen,
    })
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    let list = value.get(key).and_then(Value::as_array);
    list.into_iter().flatten()
}

fn bytes(value: &Value, key: &str) -> Result<Vec<u8>> {
    let text = value.get(key).and_then(Value::as_str);
    text.and_then(parse_hex_bytes).ok_or_else(strange)
}

fn number(value: &Value, key: &str) -> Result<u64> {
    value.get(key).and_then(Value::as_u64).ok_or_else(strange)
}

fn strange() -> Error {
    let message = "a page of an archive is not what it should be";
    Error::new(Code::Internal, message)
}
