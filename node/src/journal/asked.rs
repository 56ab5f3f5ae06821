//! Which requests there are and which answer counts: rows made from entries of kind `request`.
//!
//! A row is a function of its entry alone; `answer` is one of (entries, authority log, verdicts) and is
//! settled anew whenever one of those moves. So a row can be made as soon as its entry is indexed, before
//! or after its answer, and any number of times. Only a log of a device whose role is hub at that place answers: an
//! operator's PC may write in the same space. Should a hub that was restored have answered twice, *done* weighs more, since
//! it was done; then the smaller id decides, alike on every device.
//!
//! What cannot be read here asks nothing. It is kept and passed on like every entry.

use std::collections::BTreeMap;

use lianxin_protocol::authority::Role;
use lianxin_protocol::log::{Author, Entry, EntryId, LogId};
use lianxin_protocol::request::{Ask, Outcome, Request};
use lianxin_protocol::space::{Space, SpaceId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::segments::{entry_key, split_key};
use super::{Journal, Overview, exceptions};
use crate::error::Result;
use crate::records::inbox::{self, Item, What};

impl Journal {
    /// Makes the row of a request or of an answer. In any other space than `hub` neither is one.
    pub(super) fn note_request(
        &self,
        connection: &Connection,
        space: &SpaceId,
        log: i64,
        entry: &Entry,
    ) -> Result<()> {
        let Some(payload) = entry
            .payload
            .as_deref()
            .filter(|_| self.is_hub_space(space))
        else {
            return Ok(());
        };
        let key = entry_key(log, entry.header.seq)?;
        let id = entry.header.id();
        let (kind, subject, of, account) = match Request::decode(payload) {
            Ok(Request::Ask { account, ask }) => match ask {
                Ask::Act(act) => ("act", act.event, Some((act.record, act.space)), account),
                Ask::Site { info, .. } => ("site", info.code, None, account),
                Ask::Invite { invite, .. } => ("invite", invite.device_code, None, account),
                Ask::Revoke { device, .. } => ("revoke", device.to_string(), None, account),
                Ask::Adopt { log, .. } => ("adopt", log.to_string(), None, account),
                Ask::Erase { record, .. } => ("erase", record.hyphenated(), None, account),
                Ask::Approve { request } => ("approve", request.to_string(), None, account),
                Ask::Rotate(rotation) => ("rotate", rotation.old.to_string(), None, account),
                Ask::Policy { name, .. } => ("policy", name, None, account),
            },
            Ok(Request::Answer { to, outcome }) => {
                let refusal = match outcome {
                    Outcome::Done => None,
                    Outcome::Refused(refusal) => Some(refusal.code()),
                };
                let mut statement = connection.prepare_cached(
                    "INSERT OR IGNORE INTO answers (entry, id, request, refusal, at_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?;
                let at_ms = entry.header.hlc >> 16;
                statement.execute(params![key, id.0, to.0, refusal, at_ms])?;
                return self.settle_request(connection, &to, &self.request_logs());
            }
            Ok(Request::Unknown(_)) => return Ok(()),
            Err(error) => {
                tracing::warn!(%error, "a request cannot be read and asks nothing");
                return Ok(());
            }
        };
        let mut statement = connection.prepare_cached(
            "INSERT OR IGNORE INTO requests (entry, id, kind, subject, record, space, account, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let (record, space) = of.map(|(record, space)| (record.0, space.0)).unzip();
        let at_ms = entry.header.hlc >> 16;
        statement.execute(params![
            key, id.0, kind, subject, record, space, account, at_ms
        ])?;
        self.settle_request(connection, &id, &self.request_logs())
    }

    /// Finds the answers of all requests anew: roles or verdicts in the space `hub` have changed.
    pub(super) fn settle_requests(&self, connection: &Connection) -> Result<()> {
        let logs = self.request_logs();
        let mut statement = connection.prepare("SELECT id FROM requests")?;
        let ids = statement.query_map([], |row| row.get(0).map(EntryId))?;
        for id in ids.collect::<Result<Vec<_>, _>>()? {
            self.settle_request(connection, &id, &logs)?;
        }
        Ok(())
    }

    fn settle_request(
        &self,
        connection: &Connection,
        request: &EntryId,
        logs: &BTreeMap<i64, (LogId, Author)>,
    ) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT entry FROM answers WHERE request = ?1 ORDER BY refusal IS NOT NULL, id",
        )?;
        let answers = statement.query_map([request.0], |row| row.get(0))?;
        let mut counting: Option<i64> = None;
        for key in answers.collect::<Result<Vec<i64>, _>>()? {
            let (log, seq) = split_key(key);
            let held = exceptions(connection, log)?;
            let by_hub = logs.get(&log).is_some_and(|(log, author)| {
                self.authority.role_at(log, author, seq) == Some(Role::Hub)
            });
            let counts = by_hub && !held.iter().any(|it| it.range.contains(&seq));
            counting = counting.or(counts.then_some(key));
        }
        connection
            .prepare_cached("UPDATE requests SET answer = ?2 WHERE id = ?1")?
            .execute(params![request.0, counting])?;
        self.tell_asker(connection, request)
    }

    /// Tells whoever asked at this device what the hub said.
    fn tell_asker(&self, connection: &Connection, request: &EntryId) -> Result<()> {
        connection
            .prepare_cached("DELETE FROM inbox WHERE record = 0 AND change = ?1")?
            .execute([request.0])?;
        let mut statement = connection.prepare_cached(
            "SELECT requests.entry >> 40, requests.subject, requests.account, answers.refusal, answers.at_ms
             FROM requests CROSS JOIN answers ON answers.entry = requests.answer WHERE requests.id = ?1",
        )?;
        let answered = statement.query_row([request.0], |row| {
            let refusal: Option<u8> = row.get(3)?;
            let item = Item {
                record: 0,
                change: request.0,
                what: refusal.map_or(What::Granted, |_| What::Declined),
                about: row.get(1)?,
                at_ms: row.get(4)?,
            };
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(2)?, item))
        });
        let Some((log, account, item)) = answered.optional()? else {
            return Ok(());
        };
        let me = self.identity.key();
        if self.logs_by(&me).any(|(_, own)| own.key == log) {
            inbox::put(connection, &item, &account)?;
        }
        Ok(())
    }

    /// The logs in which requests are answered, by their numbers in this store.
    fn request_logs(&self) -> BTreeMap<i64, (LogId, Author)> {
        let logs = self.logs.iter();
        let logs = logs.filter(|(_, log)| self.is_hub_space(&log.author.space));
        logs.map(|(id, log)| (log.key, (*id, log.author))).collect()
    }
}

impl Overview {
    /// Whether this is the space in which requests are made.
    pub(super) fn is_hub_space(&self, space: &SpaceId) -> bool {
        Space::Hub.id(&self.identity.network) == *space
    }
}
