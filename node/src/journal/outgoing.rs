//! What goes out of a log again: pieces as a peer lacks them.
//!
//! A whole segment goes as it lies. It is not unpacked, since whoever takes it checks it anyway; its parts are compared with
//! their digests, and its pages with their sums by the cipher. What a peer refuses of a log is read entry by entry from then
//! on, against the signature, so that damage is found here as well.

use lianxin_protocol::batch::{self, Packed, Parts};
use lianxin_protocol::log::{Author, Checkpoint, DigestMode, LogId, Position, Run, digest};
use lianxin_protocol::message::WireBatch;
use rusqlite::{Connection, OptionalExtension as _};

use super::segments::{Segment, entry_key, part};
use super::{Books, Journal, Log};
use crate::error::{Code, Error, Result};
use crate::store::packed;

impl Journal {
    /// The piece of a log that a peer lacks, from `from` on, as it goes on the wire. `head` is what the
    /// peer says it has just before: if this store has another entry there, the piece begins before
    /// the difference, so that both sides can prove the fork. Of an own log it is no longer than `fits` bytes as they
    /// lie, or before packing where it must be cut, or than one save: its author can sign any place.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn load(
        &mut self,
        connection: &Connection,
        log: &LogId,
        (from, head): (u64, Option<[u8; 16]>),
        fits: usize,
    ) -> Result<Option<WireBatch>> {
        let Some(known) = self.logs.get(log).cloned() else {
            return Ok(None);
        };
        let mut from = from.min(known.end.len);
        if let (Some(head), Some(before)) = (head, from.checked_sub(1)) {
            let id = self.id_at(connection, log, before)?;
            if id.0.first_chunk() != Some(&head) {
                from = before;
            }
        }
        if from >= known.end.len {
            return Ok(None);
        }
        let own = self.is_own(&known.author);
        let most = if own { fits } else { usize::MAX };
        if !self.refused.contains(log)
            && let Some(batch) = as_it_lies(connection, (log, &known), from, most)?
        {
            return Ok(Some(batch));
        }
        let segment = self
            .segments
            .containing(connection, known.place(log), from)?;
        let parts = self.parts_of(connection, (known.key, log), &segment)?;
        for (seq, payload) in segment.parts().zip(&parts) {
            let header = segment.get(seq).map(|entry| &entry.header);
            let fits = |payload: &Vec<u8>| header.is_some_and(|header| header.fits(payload));
            if payload.as_ref().is_some_and(|payload| !fits(payload)) {
                self.suspect([*log]);
                let message = "a part is not what was stored";
                return Err(Error::new(Code::StoreCorrupt, message));
            }
        }
        let mut run = cut_run(log, &segment, parts, from)?;
        let upto = if own {
            fitting(&segment, from, fits)
        } else {
            segment.checkpoint.len
        };
        if upto < segment.checkpoint.len {
            self.end_run(&mut run, &known.author, upto)?;
        }
        Ok(Some(WireBatch {
            log: log.prefix(),
            start: run.start,
            packed: batch::pack(&run),
        }))
    }

    /// A peer refused something of one of these logs, which it had from here.
    pub fn doubt(&mut self, logs: impl IntoIterator<Item = LogId>) {
        self.refused.extend(logs);
    }

    /// Cuts a run of an own log behind a save and signs the place, which cites what the run's own checkpoint does.
    fn end_run(&self, run: &mut Run, author: &Author, upto: u64) -> Result<()> {
        let keep = usize::try_from(upto.saturating_sub(run.start.len)).unwrap_or(usize::MAX);
        let rest = run.entries.split_off(keep.min(run.entries.len()));
        if let Some(next) = rest.first() {
            let (len, head) = (upto, next.header.prev);
            let cites = (run.checkpoint.authority_len, run.checkpoint.authority_head);
            run.checkpoint = Checkpoint::sign(
                &self.signer(author)?,
                &author.space,
                &run.log,
                Position { len, head },
                cites,
                run.checkpoint.hlc,
            );
        }
        Ok(())
    }
}

impl Books {
    /// A run of a log with its parts, to verify it or to write it elsewhere.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn run_at(&mut self, connection: &Connection, log: &LogId, seq: u64) -> Result<Run> {
        let missing = || Error::new(Code::StoreCorrupt, "a log that is named is not stored");
        let place = self.logs.get(log).map(|known| known.place(log));
        let place = place.ok_or_else(missing)?;
        let segment = self.segments.containing(connection, place, seq)?;
        let parts = self.parts_of(connection, (place.key, log), &segment)?;
        cut_run(log, &segment, parts, segment.start.len)
    }

    /// The payloads of a segment's parts, as they are stored.
    pub(super) fn parts_of(
        &mut self,
        connection: &Connection,
        (key, log): (i64, &LogId),
        segment: &Segment,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let parts = segment.parts();
        let parts: Result<_> = parts
            .map(|seq| part(connection, entry_key(key, seq)?))
            .collect();
        if parts.is_err() {
            self.suspect([*log]);
        }
        parts
    }
}

/// The segment that begins at a place, if it is no longer than `most` bytes and everything of it is here: as it came, so it
/// goes. None also where something is not as it should be, which whoever reads it entry by entry says better.
fn as_it_lies(
    connection: &Connection,
    (log, known): (&LogId, &Log),
    from: u64,
    most: usize,
) -> Result<Option<WireBatch>> {
    let key = entry_key(known.key, from)?;
    let mut statement =
        connection.prepare_cached("SELECT count, start, main FROM segments WHERE entry = ?1")?;
    let row = statement.query_row([key], |row| {
        Ok((
            row.get::<_, u16>(0)?,
            row.get(1)?,
            row.get::<_, Vec<u8>>(2)?,
        ))
    });
    let Ok(Some((count, head, stored))) = row.optional() else {
        return Ok(None);
    };
    let after = from.saturating_add(u64::from(count));
    let Ok((digests, main)) = batch::split_stored(&stored) else {
        return Ok(None);
    };
    if after > known.end.len || main.len() > most {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(
        "SELECT payload FROM parts WHERE entry >= ?1 AND entry < ?2 ORDER BY entry",
    )?;
    let rows = statement.query_map([key, entry_key(known.key, after)?], |row| {
        row.get::<_, Vec<u8>>(0)
    })?;
    let rows = rows.map(|row| row.map(packed::payload));
    let Ok(parts) = rows.collect::<Result<Vec<_>, _>>() else {
        return Ok(None);
    };
    let bytes = parts.iter().map(Vec::len).sum::<usize>();
    let mut pairs = parts.iter().zip(&digests);
    let whole = parts.len() == digests.len()
        && pairs.all(|(part, named)| digest(DigestMode::Salted, part) == *named);
    if !whole || main.len().saturating_add(bytes) > most {
        return Ok(None);
    }
    Ok(Some(WireBatch {
        log: log.prefix(),
        start: Position { len: from, head },
        packed: Packed {
            count,
            main: main.to_vec(),
            parts: batch::pack_parts(parts.iter().map(Vec::as_slice)),
        },
    }))
}

/// Where the saves of a segment end that begin at `from` and have `fits` bytes together, or the first of them.
fn fitting(segment: &Segment, from: u64, fits: usize) -> u64 {
    let mut bytes = 0_usize;
    let mut upto = None;
    for entry in segment.entries.iter().filter(|it| it.header.seq >= from) {
        let payload = usize::try_from(entry.header.payload_len).unwrap_or(usize::MAX);
        bytes = bytes.saturating_add(payload);
        if bytes > fits && upto.is_some() {
            break;
        }
        if !entry.header.flags.group_goes_on() {
            upto = Some(entry.header.seq + 1);
        }
    }
    upto.unwrap_or(segment.checkpoint.len)
}

/// The part of a segment from `at` on, with the payloads of its parts where they are held.
pub(super) fn cut_run(
    log: &LogId,
    segment: &Segment,
    parts: Vec<Option<Vec<u8>>>,
    at: u64,
) -> Result<Run> {
    let run = batch::unpack(log, segment.start, &segment.main, Parts::Rows(parts));
    let run = run.map_err(|error| {
        Error::because(Code::StoreCorrupt, "a stored segment cannot be read", error)
    })?;
    Ok(run_from(run, at))
}

/// A run without its entries before `at`.
pub(super) fn run_from(mut run: Run, at: u64) -> Run {
    let skip = at.saturating_sub(run.start.len);
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    if skip > 0 {
        let rest = run.entries.split_off(skip.min(run.entries.len()));
        if let Some(first) = rest.first() {
            run.start = Position {
                len: at,
                head: first.header.prev,
            };
        }
        run.entries = rest;
    }
    run
}
