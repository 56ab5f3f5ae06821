//! The first section of a batch: headers in columns, changes, other payloads and the checkpoint.
//!
//! Owns the order of the columns and what of a header is computed: sequence numbers, links and digests, and the ids of records
//! that this log founded, which follow from a time and a place. Must not judge what it reads: the
//! checkpoint proves it, or it is dropped. What does not compress stands before the frame.

use super::change::{self, Context, Head, Laid};
use super::{Places, UnpackError, frame};
use crate::codec::{DecodeError, Reader, Writer};
use crate::limits;
use crate::log::{
    Checkpoint, DigestMode, Entry, EntryKind, Flags, HEADER_VERSION, Hashed, Header, LogId,
    Position, RecordId, Run, digest, starts_as_change,
};

const LAYOUT: u8 = 2;

/// What stands in the place of a payload.
const ABSENT: u8 = 0;
pub(super) const WHOLE: u8 = 1;
/// A change without its magic and checksum.
const STRIPPED: u8 = 2;
/// A part, in the second section. So is its digest, computed from it, or a store keeps it, so that it can drop the
/// part and the rest still verifies.
pub(super) const BESIDE: u8 = 3;
/// A change without what the reader can compute (module `change`).
const COMPACT: u8 = 4;
/// Or-ed to the above: the header has a version of its own or an extension.
pub(super) const FOREIGN: u8 = 0x80;

/// How a record's id is given: there is none; its bytes; its time and the place at which this log founded it.
const NO_RECORD: u8 = 0;
const BY_ID: u8 = 1;
const BY_PLACE: u8 = 2;

/// How a section is laid out.
#[derive(Clone, Copy, Default)]
pub(super) struct Options<'a> {
    /// Every part stands beside, also one whose payload is not here.
    pub(super) parts_are_rows: bool,
    /// Changes are given as they are.
    pub(super) plain: bool,
    /// Where records were founded that are older than the run.
    pub(super) places: Option<Places<'a>>,
}

/// The section before it is packed.
pub(super) struct Section {
    pub(super) raw: Vec<u8>,
    pub(super) plain: Vec<u8>,
}

impl Section {
    pub(super) fn close(&self) -> Vec<u8> {
        frame::close(&self.raw, &[&self.plain])
    }
}

/// Packs the section, with changes as they are if they could not be rebuilt within what is believed of so few bytes.
pub(super) fn pack(run: &Run, options: Options<'_>) -> Vec<u8> {
    let packed = lay_out(run, options).close();
    let changes = run.entries.iter().filter(|entry| is_change(&entry.header));
    let bytes: usize = changes
        .filter_map(|entry| Some(entry.payload.as_ref()?.len()))
        .sum();
    if bytes <= frame::budget(&packed) {
        return packed;
    }
    let plain = true;
    lay_out(run, Options { plain, ..options }).close()
}

fn is_change(header: &Header) -> bool {
    header.flags.digest_mode() == Some(DigestMode::Change)
}

fn is_foreign(header: &Header) -> bool {
    header.version != HEADER_VERSION || !header.extension.is_empty()
}

/// Whether a digest is given because nothing here gives it.
fn says_digest(form: u8, mode: Option<DigestMode>) -> bool {
    form == ABSENT || mode.is_none()
}

/// How one entry's payload is laid out, and how many bytes it takes or, of parts and absent ones, has.
fn lay_out_payload(
    entry: &Entry,
    options: Options<'_>,
    context: &mut Context,
    laid: &mut Laid,
) -> (u8, u64) {
    let header = &entry.header;
    let is_part = header.kind == EntryKind::Part;
    let Some(payload) = entry.payload.as_deref() else {
        let form = if is_part && options.parts_are_rows {
            BESIDE
        } else {
            ABSENT
        };
        return (form, header.payload_len.into());
    };
    if is_part {
        return (BESIDE, header.payload_len.into());
    }
    let stripped = payload.get(8..).filter(|_| is_change(header));
    let stripped = stripped.filter(|_| starts_as_change(payload, &header.digest));
    let Some(stripped) = stripped else {
        laid.bodies.fixed(payload);
        return (WHOLE, payload.len() as u64);
    };
    if !options.plain
        && let Some(len) = change::lay_out(stripped, context, laid)
    {
        return (COMPACT, len as u64);
    }
    laid.bodies.fixed(stripped);
    (STRIPPED, stripped.len() as u64)
}

/// Lays the section out.
pub(super) fn lay_out(run: &Run, options: Options<'_>) -> Section {
    let mut context = Context::new(&run.log);
    let mut laid = Laid::default();
    let mut forms = Vec::with_capacity(run.entries.len());
    for entry in &run.entries {
        forms.push(lay_out_payload(entry, options, &mut context, &mut laid));
        let header = &entry.header;
        context.note(&header.digest, header.kind == EntryKind::Part);
    }
    let headers = || run.entries.iter().map(|entry| &entry.header);
    let mut writer = Writer::new();
    writer.u8(LAYOUT).varint(run.entries.len() as u64);
    for header in headers() {
        writer.u8(header.kind.code());
    }
    for header in headers() {
        writer.u8(header.flags.bits());
    }
    for ((form, _), header) in forms.iter().zip(headers()) {
        writer.u8(form | if is_foreign(header) { FOREIGN } else { 0 });
    }
    let mut before = 0;
    for header in headers() {
        writer.difference(header.hlc, before);
        before = header.hlc;
    }
    let mut before = 0;
    for header in headers() {
        writer.varint(u64::from(header.authority_len.wrapping_sub(before)));
        before = header.authority_len;
    }
    let mut raw = Writer::new();
    write_records(run, options.places, &mut writer, &mut raw);
    for (_, len) in &forms {
        writer.varint(*len);
    }
    for ((form, _), header) in forms.iter().zip(headers()) {
        if says_digest(*form, header.flags.digest_mode()) {
            raw.fixed(&header.digest);
        }
    }
    for header in headers().filter(|header| is_foreign(header)) {
        writer.u8(header.version).bytes(&header.extension);
    }
    run.checkpoint.write(&mut raw);
    raw.fixed(&laid.raw.into_bytes());
    writer.fixed(&laid.heads.into_bytes());
    writer.fixed(&laid.bodies.into_bytes());
    Section {
        raw: raw.into_bytes(),
        plain: writer.into_bytes(),
    }
}

/// Records: an index for each entry, then how each is given.
fn write_records(run: &Run, places: Option<Places<'_>>, writer: &mut Writer, raw: &mut Writer) {
    let mut records: Vec<RecordId> = Vec::new();
    for entry in &run.entries {
        let record = entry.header.record;
        let known = records.iter().rposition(|it| *it == record);
        // How many records back, so that a save after a save of the same record is always the same number.
        writer.varint(known.map_or(0, |at| (records.len() - at) as u64));
        if known.is_none() {
            records.push(record);
        }
    }
    let first_ms = run.entries.first().map_or(0, |it| it.header.hlc >> 16);
    let (mut ms, mut place) = (first_ms, run.start.len);
    for record in &records {
        if *record == RecordId::NONE {
            writer.u8(NO_RECORD);
            continue;
        }
        let own = run.entries.iter().map(|entry| &entry.header);
        let mut own = own.filter(|header| header.record == *record);
        let founded = own.find(|header| record.is_founded_at(&run.log, header.seq));
        let founded = founded.map(|header| header.seq);
        let founded = founded.or_else(|| places.and_then(|places| places(record)));
        let founded = founded.filter(|seq| record.is_founded_at(&run.log, *seq));
        let [a, b, c, d, e, f, rest @ ..] = record.0;
        let unix_ms = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        writer.u8(if founded.is_some() { BY_PLACE } else { BY_ID });
        writer.difference(unix_ms, ms);
        ms = unix_ms;
        match founded {
            Some(seq) => {
                writer.difference(seq, place);
                place = seq;
            }
            None => {
                raw.fixed(&rest);
            }
        }
    }
}

/// What [`write_records`] wrote: the record of each entry. Ids by their bytes come from `raw`.
fn read_records(
    reader: &mut Reader<'_>,
    raw: &mut Reader<'_>,
    entries: usize,
    log: &LogId,
    (first_ms, mut place): (u64, u64),
) -> Result<Vec<RecordId>, DecodeError> {
    let mut indices = Vec::with_capacity(entries);
    let mut count = 0;
    for _ in 0..entries {
        let back = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        let Some(index) = usize::checked_sub(count, back) else {
            return reader.fail("a record before its first entry");
        };
        count += usize::from(back == 0);
        indices.push(index);
    }
    let mut records = Vec::with_capacity(count);
    let mut ms = first_ms;
    for _ in 0..count {
        let how = reader.u8()?;
        if how == NO_RECORD {
            records.push(RecordId::NONE);
            continue;
        }
        ms = reader.difference(ms)?;
        let [high, low, time @ ..] = ms.to_be_bytes();
        if (high, low) != (0, 0) {
            return reader.fail("a time of more than 48 bits");
        }
        records.push(match how {
            BY_ID => {
                let rest: [u8; 10] = raw.fixed()?;
                let mut id = [0; 16];
                let bytes = time.into_iter().chain(rest);
                for (place, byte) in id.iter_mut().zip(bytes) {
                    *place = byte;
                }
                RecordId(id)
            }
            BY_PLACE => {
                place = reader.difference(place)?;
                RecordId::founded(ms, log, place)
            }
            _ => return reader.fail("an unknown form of record"),
        });
    }
    let of = |index: usize| records.get(index).copied().unwrap_or(RecordId::NONE);
    Ok(indices.into_iter().map(of).collect())
}

/// What of an entry stands in columns.
struct Row {
    kind: EntryKind,
    flags: Flags,
    form: u8,
    hlc: u64,
    authority_len: u32,
    record: RecordId,
    len: usize,
    digest: Option<[u8; 32]>,
    version: u8,
    extension: Vec<u8>,
    head: Option<Head>,
}

fn read_rows(
    reader: &mut Reader<'_>,
    raw: &mut Reader<'_>,
    log: &LogId,
    start: Position,
) -> Result<Vec<Row>, DecodeError> {
    if reader.u8()? != LAYOUT {
        return reader.fail("an unknown layout");
    }
    let count = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    if count == 0 || count > limits::BATCH_ENTRIES {
        return reader.fail("a batch has 1 to 64 entries");
    }
    let (kinds, flags) = (reader.take(count)?, reader.take(count)?);
    let forms = reader.take(count)?;
    let columns = kinds.iter().zip(flags).zip(forms);
    let mut rows: Vec<Row> = columns
        .map(|((kind, flags), form)| Row {
            kind: EntryKind::of(*kind),
            flags: Flags::from_bits(*flags),
            form: *form,
            hlc: 0,
            authority_len: 0,
            record: RecordId::NONE,
            len: 0,
            digest: None,
            version: HEADER_VERSION,
            extension: Vec::new(),
            head: None,
        })
        .collect();
    let mut before = 0;
    for row in &mut rows {
        row.hlc = reader.difference(before)?;
        before = row.hlc;
    }
    let mut before = 0_u32;
    for row in &mut rows {
        let Ok(delta) = u32::try_from(reader.varint()?) else {
            return reader.fail("an authority length of more than 32 bits");
        };
        row.authority_len = before.wrapping_add(delta);
        before = row.authority_len;
    }
    read_more(&mut rows, reader, raw, log, start)?;
    Ok(rows)
}

/// The columns from the records on.
fn read_more(
    rows: &mut [Row],
    reader: &mut Reader<'_>,
    raw: &mut Reader<'_>,
    log: &LogId,
    start: Position,
) -> Result<(), DecodeError> {
    let first_ms = rows.first().map_or(0, |row| row.hlc >> 16);
    let records = read_records(reader, raw, rows.len(), log, (first_ms, start.len))?;
    for (row, record) in rows.iter_mut().zip(records) {
        row.record = record;
    }
    for row in rows.iter_mut() {
        row.len = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    }
    for row in rows.iter_mut() {
        if says_digest(row.form & !FOREIGN, row.flags.digest_mode()) {
            row.digest = Some(raw.fixed()?);
        }
    }
    for row in rows.iter_mut().filter(|row| row.form & FOREIGN != 0) {
        row.version = reader.u8()?;
        row.extension = reader.bytes(limits::HEADER_EXTENSION_MAX)?.to_vec();
        if row.version == HEADER_VERSION && row.extension.is_empty() {
            return reader.fail("a foreign header without anything foreign");
        }
    }
    let mut before = (0, 0);
    for row in rows.iter_mut() {
        if row.form & !FOREIGN == COMPACT {
            row.head = Some(Head::read(reader, &mut before)?);
        }
    }
    Ok(())
}

/// Where the parts of a run come from.
pub(super) trait PartSource {
    /// The payload of the next part, and its digest where that is kept.
    fn next(&mut self, form: Beside) -> Given;
}

/// How a part stands in the first section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Its payload was not here when the run was packed.
    Absent,
    /// Its payload is in the second section.
    Here,
}

/// Payload and digest of a part, as far as a source has them.
pub(super) type Given = (Option<Vec<u8>>, Option<[u8; 32]>);

/// Unpacks a run, and says what it hashed. `parts` opens the source, given the lengths of the parts that stand beside in
/// entry order.
pub(super) fn unpack<S: PartSource>(
    log: &LogId,
    start: Position,
    section: &[u8],
    parts: impl FnOnce(&[usize]) -> Result<S, UnpackError>,
) -> Result<(Run, Hashed, S), UnpackError> {
    let (raw, frames) = frame::open(section, 1)?;
    let plain = frames.first().map(Vec::as_slice).unwrap_or_default();
    let (mut raw, mut reader) = (Reader::new(raw), Reader::new(plain));
    let rows = read_rows(&mut reader, &mut raw, log, start)?;
    let mut checkpoint = Checkpoint::read(&mut raw, start)?;
    let lens: Vec<usize> = rows
        .iter()
        .filter(|row| row.kind == EntryKind::Part && row.form & !FOREIGN == BESIDE)
        .map(|row| row.len)
        .collect();
    let mut rebuilding = Rebuilding {
        bodies: reader,
        raw,
        context: Context::new(log),
        budget: frame::budget(section),
        parts: parts(&lens)?,
    };
    let mut entries = Vec::with_capacity(rows.len());
    let mut hashed = Hashed::default();
    let mut position = start;
    for row in rows {
        let (entry, gave_digest) = rebuilding.entry(row, position)?;
        let id = entry.header.id();
        position = Position {
            len: position.len.saturating_add(1),
            head: id.0,
        };
        hashed.push(id, gave_digest);
        entries.push(entry);
    }
    rebuilding.bodies.finish()?;
    rebuilding.raw.finish()?;
    (checkpoint.len, checkpoint.head) = (position.len, position.head);
    let run = Run {
        log: *log,
        start,
        entries,
        checkpoint,
    };
    Ok((run, hashed, rebuilding.parts))
}

/// What entries are rebuilt from, one after the other.
struct Rebuilding<'a, S> {
    bodies: Reader<'a>,
    raw: Reader<'a>,
    context: Context,
    budget: usize,
    parts: S,
}

impl<S: PartSource> Rebuilding<'_, S> {
    /// The entry of a row, and whether its digest was computed from its payload.
    fn entry(&mut self, row: Row, position: Position) -> Result<(Entry, bool), DecodeError> {
        let mode = row.flags.digest_mode();
        let is_part = row.kind == EntryKind::Part;
        let (payload, given) = match row.form & !FOREIGN {
            ABSENT if is_part => self.parts.next(Beside::Absent),
            ABSENT => (None, None),
            BESIDE if is_part => self.parts.next(Beside::Here),
            // A part in the first section could not be erased there.
            WHOLE | STRIPPED | COMPACT if is_part => {
                return self.bodies.fail("a part that does not stand beside");
            }
            WHOLE => (Some(self.bodies.take(row.len)?.to_vec()), None),
            STRIPPED if mode == Some(DigestMode::Change) => {
                let (payload, hash) = change::with_head(&[self.bodies.take(row.len)?]);
                (Some(payload), Some(hash))
            }
            COMPACT if mode == Some(DigestMode::Change) => {
                let mut body = Reader::new(self.bodies.take(row.len)?);
                let head = row.head.as_ref();
                let rebuilt = head.map(|head| {
                    head.rebuild(&mut body, &mut self.raw, &self.context, &mut self.budget)
                });
                rebuilt.transpose()?.unzip()
            }
            _ => return self.bodies.fail("an unknown form of payload"),
        };
        let payload_len = match &payload {
            Some(payload) if !is_part => payload.len(),
            _ => row.len,
        };
        let rebuilt = matches!(row.form & !FOREIGN, STRIPPED | COMPACT);
        let (digest, computed) = match (row.digest.or(given), &payload, mode) {
            (Some(digest), ..) => (digest, rebuilt && row.digest.is_none()),
            // A change that came whole has a magic and a checksum that no digest vouches for.
            (None, Some(payload), Some(mode)) => {
                (digest(mode, payload), mode != DigestMode::Change)
            }
            _ => return self.bodies.fail("a digest that nothing gives"),
        };
        let whole = payload.as_ref().map(Vec::len) == Some(payload_len);
        self.context.note(&digest, is_part);
        let header = Header {
            version: row.version,
            kind: row.kind,
            flags: row.flags,
            seq: position.len,
            prev: position.head,
            record: row.record,
            hlc: row.hlc,
            authority_len: row.authority_len,
            payload_len: u32::try_from(payload_len).unwrap_or(u32::MAX),
            digest,
            extension: row.extension,
        };
        Ok((Entry { header, payload }, computed && whole))
    }
}
