//! An office's own letter or form (docx), filled at its named places: `{{名称}}`, `【名称】`, bookmarks, and content controls by their tag.
//!
//! Word cuts a text into runs where it likes: a place is found over all runs of its paragraph, its value goes where it began and looks as
//! that run does. Everything else stays byte for byte; parts that hold no place are copied without being unpacked.
//!
//! Limits: a bookmark that spans paragraphs is reported as unknown, not filled; one value is one text, and rows of tables are not
//! repeated.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::events::Event;

use super::fill::packed;
use super::parts::{Package, attribute, name_key};
use super::splice::{Places, Splice, escaped, with_attribute};
use super::write::sound;
use super::{FILE_BYTES_MAX, Refusal, UNPACKED_BYTES_MAX};

/// Where the text of a document is.
const DOCUMENT: &str = "word/document.xml";
/// Characters of a place's name, so that brackets far apart are none.
const NAME_CHARS_MAX: usize = 40;
/// Places that are reported.
const UNKNOWN_MAX: usize = 1_000;

/// A document that was filled.
#[derive(Debug)]
pub struct FilledDocument {
    /// The file.
    pub bytes: Vec<u8>,
    /// Places in the document that no value was given for; they stay as they are.
    pub unknown: Vec<String>,
    /// Names of values for which the document has no place.
    pub unused: Vec<String>,
}

/// Fills the named places of a Word document: in its text, its headers and footers. A line break in a value is one in the document.
///
/// # Errors
/// [`Refusal::NotATable`] for what is no docx; others for what is damaged or too large.
pub fn fill_docx(
    bytes: &[u8],
    values: &BTreeMap<String, String>,
) -> Result<FilledDocument, Refusal> {
    let mut package = opened(bytes)?;
    let (mut parts, mut unknown, mut used) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for name in texts(&mut package) {
        let xml = package.text(&name)?.ok_or(Refusal::Damaged)?;
        let mut part = Part::read(&xml)?;
        // What a value says is never looked through for places.
        part.controls(values, &mut used);
        part.bookmarks(values, &mut used, &mut unknown);
        part.places(values, &mut used, &mut unknown)?;
        if let Some(after) = part.finish() {
            parts.insert(name_key(&name), Some(after));
        }
    }
    let unused = values
        .keys()
        .filter(|it| !used.contains(*it))
        .cloned()
        .collect();
    let bytes = packed(&mut package, &parts)?;
    Ok(FilledDocument {
        bytes,
        unknown: unknown.into_iter().collect(),
        unused,
    })
}

/// The names of a document's places, in their order: what [`fill_docx`] can put values into.
///
/// # Errors
/// As [`fill_docx`].
pub fn places(bytes: &[u8]) -> Result<Vec<String>, Refusal> {
    let mut package = opened(bytes)?;
    let mut names: Vec<String> = Vec::new();
    for name in texts(&mut package) {
        let xml = package.text(&name)?.ok_or(Refusal::Damaged)?;
        let part = Part::read(&xml)?;
        let mut paragraphs: BTreeMap<usize, String> = BTreeMap::new();
        for piece in &part.pieces {
            paragraphs
                .entry(piece.paragraph)
                .or_default()
                .push_str(&piece.text);
        }
        let written = paragraphs.values().flat_map(|text| found(text));
        let marked = part.bookmarks.iter().filter(|it| it.whole);
        let marked = marked.chain(&part.controls).map(|it| it.name.clone());
        // Word keeps marks of its own, such as where somebody stood last.
        let marked = marked.filter(|name| !name.is_empty() && !name.starts_with('_'));
        for name in marked.chain(written.map(|it| it.name)) {
            if names.len() < UNKNOWN_MAX && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

fn opened(bytes: &[u8]) -> Result<Package<'_>, Refusal> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Refusal::FileTooLarge);
    }
    if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return Err(Refusal::OldForm);
    }
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(Refusal::NotATable);
    }
    let package = Package::open(bytes)?;
    if !package.has(DOCUMENT) {
        return Err(Refusal::NotATable);
    }
    Ok(package)
}

/// The parts in which text of a document stands, by name.
fn texts(package: &mut Package<'_>) -> Vec<String> {
    const BESIDE: [&str; 4] = [
        "word/header",
        "word/footer",
        "word/footnotes",
        "word/endnotes",
    ];
    let names = package.archive().file_names();
    let names = names.filter_map(|it| Some(it.ok()?.into_owned()));
    let is_text = |name: &String| {
        let key = name_key(name);
        let beside = BESIDE.iter().any(|it| key.starts_with(it));
        key == DOCUMENT || (beside && key.ends_with(".xml"))
    };
    names.filter(is_text).collect()
}

/// One text element.
struct Piece {
    /// Its start tag, or all of it where it is empty.
    tag: (usize, usize),
    /// All of it.
    whole: (usize, usize),
    text: String,
    /// Its paragraph, counted.
    paragraph: usize,
    /// What it says after all places are filled.
    after: Option<String>,
}

/// A range of pieces under a name.
struct Named {
    name: String,
    /// The first piece, and the one after the last.
    pieces: (usize, usize),
    /// Where a run can be put if there is none: its place and the properties of the run before.
    insert: (usize, String),
    /// What goes when it is filled: that it shows a hint, and where else its value would come from.
    drop: Vec<(usize, usize)>,
    /// Whether it lies in one paragraph.
    whole: bool,
}

/// A part of a document.
struct Part<'x> {
    xml: &'x str,
    prefix: String,
    pieces: Vec<Piece>,
    bookmarks: Vec<Named>,
    controls: Vec<Named>,
    /// Put in, from front to end.
    edits: BTreeMap<(usize, usize), String>,
    /// Bytes of the values that were put in.
    grown: u64,
}

/// What is open while a part is read.
#[derive(Default)]
struct Open {
    /// Paragraphs, which text boxes put into each other.
    paragraphs: Vec<usize>,
    count: usize,
    /// Properties of the last run.
    properties: String,
    controls: Vec<Control>,
    bookmarks: BTreeMap<String, (String, usize, usize, Option<usize>, String)>,
}

#[derive(Default)]
struct Control {
    tag: Option<String>,
    alias: Option<String>,
    first: usize,
    drop: Vec<(usize, usize)>,
    hint: bool,
    ended: bool,
}

impl<'x> Part<'x> {
    fn read(xml: &'x str) -> Result<Self, Refusal> {
        let mut part = Self {
            xml,
            prefix: String::new(),
            pieces: Vec::new(),
            bookmarks: Vec::new(),
            controls: Vec::new(),
            edits: BTreeMap::new(),
            grown: 0,
        };
        let mut places = Places::of(xml);
        let mut open = Open::default();
        while let Some(placed) = places.next()? {
            let span = (placed.start, placed.end);
            match &placed.event {
                Event::Start(tag) | Event::Empty(tag) => {
                    let empty = matches!(placed.event, Event::Empty(_));
                    if tag.local_name().as_ref() == "document" {
                        part.prefix = tag
                            .name()
                            .as_ref()
                            .strip_suffix("document")
                            .unwrap_or_default()
                            .to_owned();
                    }
                    part.begin(&mut places, tag, span, empty, &mut open)?;
                }
                Event::End(tag) => match tag.local_name().as_ref() {
                    "p" => {
                        open.paragraphs.pop();
                    }
                    "sdtContent" => {
                        if let Some(control) = open.controls.last_mut() {
                            control.ended = true;
                        }
                    }
                    "sdt" => part.end_control(&mut open),
                    _ => {}
                },
                _ => {}
            }
        }
        if part.prefix.is_empty() && xml.contains("<w:") {
            part.prefix = "w:".to_owned();
        }
        Ok(part)
    }

    fn begin(
        &mut self,
        places: &mut Places<'x>,
        tag: &quick_xml::events::BytesStart<'_>,
        span: (usize, usize),
        empty: bool,
        open: &mut Open,
    ) -> Result<(), Refusal> {
        match tag.local_name().as_ref() {
            "p" if !empty => {
                open.count += 1;
                open.paragraphs.push(open.count);
                open.properties.clear();
            }
            "r" => open.properties.clear(),
            "rPr" if !empty => {
                let (_, end) = places.past_end()?;
                places.raw(span.0, end).clone_into(&mut open.properties);
                if let Some(control) = open.controls.last_mut()
                    && control.hint
                    && !control.ended
                {
                    control
                        .drop
                        .extend(style_of(places.raw(span.0, end), span.0));
                }
            }
            "t" => {
                let (inner, end) = if empty {
                    (span.1, span.1)
                } else {
                    places.past_end()?
                };
                let text = if empty {
                    String::new()
                } else {
                    text_of(places.raw(span.1, inner))?
                };
                let paragraph = open.paragraphs.last().copied().unwrap_or_default();
                self.pieces.push(Piece {
                    tag: span,
                    whole: (span.0, end),
                    text,
                    paragraph,
                    after: None,
                });
            }
            "sdt" if !empty => open.controls.push(Control {
                first: self.pieces.len(),
                ..Control::default()
            }),
            "sdtPr" if !empty => {
                let (inner, _) = places.past_end()?;
                if let Some(control) = open.controls.last_mut() {
                    control.read(places.raw(span.1, inner), span.1)?;
                }
            }
            "bookmarkStart" => {
                if let (Some(id), Some(name)) = (attribute(tag, "id"), attribute(tag, "name")) {
                    let paragraph = open.paragraphs.last().copied();
                    open.bookmarks.insert(
                        id,
                        (
                            name,
                            self.pieces.len(),
                            span.1,
                            paragraph,
                            open.properties.clone(),
                        ),
                    );
                }
            }
            "bookmarkEnd" => {
                let begun = attribute(tag, "id").and_then(|id| open.bookmarks.remove(&id));
                if let Some((name, first, at, paragraph, properties)) = begun {
                    let whole = paragraph.is_some() && paragraph == open.paragraphs.last().copied();
                    self.bookmarks.push(Named {
                        name,
                        pieces: (first, self.pieces.len()),
                        insert: (at, properties),
                        drop: Vec::new(),
                        whole,
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_control(&mut self, open: &mut Open) {
        let Some(control) = open.controls.pop() else {
            return;
        };
        let Some(name) = control.tag.or(control.alias) else {
            return;
        };
        self.controls.push(Named {
            name,
            pieces: (control.first, self.pieces.len()),
            insert: (0, String::new()),
            drop: control.drop,
            whole: true,
        });
    }

    /// Puts a value into a range: into its first piece, and nothing into the others.
    fn put(&mut self, range: (usize, usize), value: &str) {
        for (at, piece) in self
            .pieces
            .iter_mut()
            .enumerate()
            .take(range.1)
            .skip(range.0)
        {
            piece.after = Some(if at == range.0 {
                value.to_owned()
            } else {
                String::new()
            });
        }
    }

    fn controls(&mut self, values: &BTreeMap<String, String>, used: &mut BTreeSet<String>) {
        for named in std::mem::take(&mut self.controls) {
            let Some(value) = values.get(&named.name) else {
                continue;
            };
            // A control without any text has nothing that says how text would look in it.
            if named.pieces.0 < named.pieces.1 {
                used.insert(named.name);
                self.put(named.pieces, value);
                self.edits
                    .extend(named.drop.into_iter().map(|it| (it, String::new())));
            }
        }
    }

    fn bookmarks(
        &mut self,
        values: &BTreeMap<String, String>,
        used: &mut BTreeSet<String>,
        unknown: &mut BTreeSet<String>,
    ) {
        for named in std::mem::take(&mut self.bookmarks) {
            let Some(value) = values.get(&named.name) else {
                continue;
            };
            if !named.whole {
                report(unknown, named.name);
                continue;
            }
            if named.pieces.0 < named.pieces.1 {
                self.put(named.pieces, value);
            } else {
                let p = &self.prefix;
                let (at, properties) = &named.insert;
                let run = format!(
                    "<{p}r>{properties}<{p}t xml:space=\"preserve\">{}</{p}t></{p}r>",
                    self.shown(value)
                );
                self.edits.insert((*at, *at), run);
            }
            used.insert(named.name);
        }
    }

    /// Fills `{{名称}}` and `【名称】` in each paragraph.
    fn places(
        &mut self,
        values: &BTreeMap<String, String>,
        used: &mut BTreeSet<String>,
        unknown: &mut BTreeSet<String>,
    ) -> Result<(), Refusal> {
        // Text boxes put paragraphs into each other, so that the pieces of one need not be neighbours.
        let mut paragraphs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, piece) in self.pieces.iter().enumerate() {
            paragraphs.entry(piece.paragraph).or_default().push(at);
        }
        for pieces in paragraphs.into_values() {
            // A line break is in no name, and a piece that has its value already is one here.
            let said = |part: &Self, at: usize| match part.pieces.get(at) {
                Some(Piece {
                    text, after: None, ..
                }) => text.clone(),
                _ => "\n".to_owned(),
            };
            let texts: Vec<String> = pieces.iter().map(|at| said(self, *at)).collect();
            let found = found(&texts.concat());
            if found.is_empty() {
                continue;
            }
            // Per piece, what of it goes and what comes, from front to end.
            let mut after = vec![String::new(); texts.len()];
            let mut start = 0;
            let mut places = found
                .iter()
                .filter(|it| values.contains_key(&it.name))
                .peekable();
            for (text, after) in texts.iter().zip(&mut after) {
                let end = start + text.len();
                let mut from = start;
                while let Some(place) = places.peek().filter(|place| place.start < end) {
                    if place.start >= start {
                        let before = text.get(from - start..place.start - start);
                        after.push_str(before.unwrap_or_default());
                        let value = values.get(&place.name).map_or("", String::as_str);
                        after.push_str(value);
                        self.grown += value.len() as u64;
                    }
                    from = place.end.min(end);
                    if self.grown > UNPACKED_BYTES_MAX {
                        return Err(Refusal::TooMuch);
                    }
                    // It may go on in the next piece.
                    if place.end > end {
                        break;
                    }
                    places.next();
                }
                after.push_str(text.get(from - start..).unwrap_or_default());
                start = end;
            }
            for (at, (before, after)) in pieces.iter().zip(texts.into_iter().zip(after)) {
                if before != after
                    && let Some(piece) = self.pieces.get_mut(*at)
                {
                    piece.after = Some(after);
                }
            }
            for place in found {
                if values.contains_key(&place.name) {
                    used.insert(place.name);
                } else {
                    report(unknown, place.name);
                }
            }
        }
        Ok(())
    }

    /// A value as it stands in a text element: a line break ends the element and begins another.
    fn shown(&self, value: &str) -> String {
        let p = &self.prefix;
        let lines: Vec<String> = value.lines().map(|line| escaped(&sound(line))).collect();
        lines.join(&format!("</{p}t><{p}br/><{p}t xml:space=\"preserve\">"))
    }

    fn finish(mut self) -> Option<String> {
        for piece in &self.pieces {
            if let Some(after) = &piece.after {
                let tag = self.xml.get(piece.tag.0..piece.tag.1).unwrap_or_default();
                let tag = with_attribute(tag, "xml:space", "preserve").replace("/>", ">");
                let p = &self.prefix;
                let text = self.shown(after);
                self.edits
                    .insert(piece.whole, format!("{tag}{text}</{p}t>"));
            }
        }
        if self.edits.is_empty() {
            return None;
        }
        let mut splice = Splice::of(self.xml);
        for ((start, end), text) in &self.edits {
            splice.put(*start, *end, text);
        }
        Some(splice.finish())
    }
}

impl Control {
    /// Its properties: what it is called, whether it shows a hint, and that its value comes from elsewhere.
    fn read(&mut self, xml: &str, from: usize) -> Result<(), Refusal> {
        let mut places = Places::of(xml);
        while let Some(placed) = places.next()? {
            let (Event::Start(tag) | Event::Empty(tag)) = &placed.event else {
                continue;
            };
            match tag.local_name().as_ref() {
                "tag" => self.tag = attribute(tag, "val").filter(|it| !it.is_empty()),
                "alias" => self.alias = attribute(tag, "val").filter(|it| !it.is_empty()),
                it @ ("showingPlcHdr" | "dataBinding") => {
                    self.hint |= it == "showingPlcHdr";
                    let end = if matches!(placed.event, Event::Empty(_)) {
                        placed.end
                    } else {
                        places.past_end()?.1
                    };
                    self.drop.push((from + placed.start, from + end));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The style of a run's properties, which is that of hints.
fn style_of(properties: &str, from: usize) -> Option<(usize, usize)> {
    let mut places = Places::of(properties);
    while let Ok(Some(placed)) = places.next() {
        if let Event::Empty(tag) = &placed.event
            && tag.local_name().as_ref() == "rStyle"
        {
            return Some((from + placed.start, from + placed.end));
        }
    }
    None
}

fn text_of(raw: &str) -> Result<String, Refusal> {
    Ok(quick_xml::escape::unescape(raw)
        .map_err(|_| Refusal::Damaged)?
        .into_owned())
}

fn report(unknown: &mut BTreeSet<String>, name: String) {
    if unknown.len() < UNKNOWN_MAX {
        unknown.insert(name);
    }
}

/// A place in a paragraph's text, in bytes.
struct Found {
    start: usize,
    end: usize,
    name: String,
}

/// The places of a text. Years in `【2026】` are none.
fn found(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(['{', '【'])) {
        let start = from + at;
        let rest = text.get(start..).unwrap_or_default();
        let (open, close) = if rest.starts_with('【') {
            ("【", "】")
        } else {
            ("{{", "}}")
        };
        let Some(inner) = rest.strip_prefix(open) else {
            from = start + 1;
            continue;
        };
        // Only as far as a name can reach.
        let reach = inner.char_indices().nth(NAME_CHARS_MAX + close.len());
        let inner = inner
            .get(..reach.map_or(inner.len(), |(at, _)| at))
            .unwrap_or_default();
        let name = inner.split_once(close).map(|(name, _)| name);
        let name = name.filter(|it| !it.trim().is_empty() && !it.contains(['{', '【', '\n']));
        let Some(name) = name else {
            from = start + 1;
            while !text.is_char_boundary(from) {
                from += 1;
            }
            continue;
        };
        from = start + open.len() + name.len() + close.len();
        if !name.trim().chars().all(|it| it.is_ascii_digit()) {
            let name = name.trim().to_owned();
            found.push(Found {
                start,
                end: from,
                name,
            });
        }
    }
    found
}
