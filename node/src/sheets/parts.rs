//! The parts of a packed office file (ZIP), and their XML as it comes: bounded, without entities or document types of its own.

use std::cell::Cell as Counter;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

use super::{CELL_CHARS_MAX, PARTS_MAX, Refusal, UNPACKED_BYTES_MAX};

/// What every entry of the directory of a ZIP file begins with.
const ENTRY: &[u8] = b"PK\x01\x02";

/// A packed file. All that is unpacked of it counts against one budget.
pub(super) struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// By lower-case name with `/`: some programs write `\`, and names differ in case from those that refer to them.
    names: BTreeMap<String, usize>,
    left: Rc<Counter<u64>>,
}

impl<'a> Package<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Refusal> {
        // Counted before the directory is read, whose entries are each larger in memory than in the file.
        if bytes.windows(ENTRY.len()).filter(|it| *it == ENTRY).count() > PARTS_MAX {
            return Err(Refusal::UnpacksTooLarge);
        }
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| Refusal::Damaged)?;
        let mut names = BTreeMap::new();
        for index in 0..archive.len() {
            let name = archive.name_for_index(index).ok_or(Refusal::Damaged)?;
            let name = name.map_err(|_| Refusal::Damaged)?;
            // Two parts of one name are read differently by different programs.
            if names.insert(name_key(&name), index).is_some() {
                return Err(Refusal::Damaged);
            }
        }
        let left = Rc::new(Counter::new(UNPACKED_BYTES_MAX));
        Ok(Self {
            archive,
            names,
            left,
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(&name_key(name))
    }

    /// The archive itself, to copy parts that are not read.
    pub(super) fn archive(&mut self) -> &mut ZipArchive<Cursor<&'a [u8]>> {
        &mut self.archive
    }

    fn part(&mut self, name: &str) -> Result<Option<Bounded<impl Read>>, Refusal> {
        let Some(index) = self.names.get(&name_key(name)) else {
            return Ok(None);
        };
        let part = self.archive.by_index(*index).map_err(|error| match error {
            zip::result::ZipError::UnsupportedArchive(zip::result::ZipError::PASSWORD_REQUIRED) => {
                Refusal::Encrypted
            }
            _ => Refusal::Damaged,
        })?;
        Ok(Some(Bounded {
            inner: part,
            left: self.left.clone(),
        }))
    }

    /// A part as it comes.
    pub(super) fn xml(&mut self, name: &str) -> Result<Option<Xml<impl BufRead>>, Refusal> {
        let left = self.left.clone();
        Ok(self
            .part(name)?
            .map(|part| Xml::of(BufReader::with_capacity(1 << 16, part), left)))
    }

    /// The whole of a part.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let left = self.left.clone();
        let Some(mut part) = self.part(name)? else {
            return Ok(None);
        };
        let mut text = String::new();
        part.read_to_string(&mut text).map_err(|_| fault(&left))?;
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        Ok(Some(text))
    }

    /// What a part refers to: the last step of the type, by the reference's id, with the names of parts made whole.
    pub(super) fn relations(&mut self, of: &str) -> Result<BTreeMap<String, Relation>, Refusal> {
        let (folder, file) = of.rsplit_once('/').unwrap_or(("", of));
        let name = format!(
            "{folder}{}_rels/{file}.rels",
            if folder.is_empty() { "" } else { "/" }
        );
        let folder = folder.to_owned();
        let mut relations = BTreeMap::new();
        let Some(mut xml) = self.xml(&name)? else {
            return Ok(relations);
        };
        loop {
            match xml.next()? {
                Event::Start(tag) if tag.local_name().as_ref() == "Relationship" => {
                    let (Some(id), Some(kind), Some(target)) = (
                        attribute(&tag, "Id"),
                        attribute(&tag, "Type"),
                        attribute(&tag, "Target"),
                    ) else {
                        continue;
                    };
                    if attribute(&tag, "TargetMode").as_deref() == Some("External") {
                        continue;
                    }
                    let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
                    relations.insert(
                        id,
                        Relation {
                            kind,
                            part: resolve(&folder, &target),
                        },
                    );
                    if relations.len() > PARTS_MAX {
                        return Err(Refusal::UnpacksTooLarge);
                    }
                }
                Event::Eof => return Ok(relations),
                _ => {}
            }
        }
    }
}

/// One reference from a part to another.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// Such as `worksheet` or `styles`.
    pub(super) kind: String,
    /// The other part.
    pub(super) part: String,
}

/// The name by which a part is found.
pub(super) fn name_key(name: &str) -> String {
    name.replace('\\', "/")
        .trim_start_matches('/')
        .to_ascii_lowercase()
}

/// A reference from a folder, made whole.
fn resolve(folder: &str, target: &str) -> String {
    if let Some(whole) = target.strip_prefix('/') {
        return whole.to_owned();
    }
    let mut steps: Vec<&str> = folder.split('/').filter(|it| !it.is_empty()).collect();
    for step in target.split('/') {
        match step {
            ".." => {
                steps.pop();
            }
            "." | "" => {}
            step => steps.push(step),
        }
    }
    steps.join("/")
}

/// Counts what is unpacked.
struct Bounded<R> {
    inner: R,
    left: Rc<Counter<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.get().checked_sub(read as u64) {
            Some(left) => {
                self.left.set(left);
                Ok(read)
            }
            None => {
                self.left.set(0);
                Err(std::io::Error::other("unpacks to too much"))
            }
        }
    }
}

fn fault(left: &Counter<u64>) -> Refusal {
    if left.get() == 0 {
        Refusal::UnpacksTooLarge
    } else {
        Refusal::Damaged
    }
}

/// The events of XML, one after the other; an empty element is its start and its end.
pub(super) struct Xml<R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
    left: Rc<Counter<u64>>,
}

impl<R: BufRead> Xml<R> {
    fn of(source: R, left: Rc<Counter<u64>>) -> Self {
        let mut reader = Reader::from_reader(source);
        reader.config_mut().expand_empty_elements = true;
        Self {
            reader,
            buffer: Vec::new(),
            left,
        }
    }

    /// The next event.
    ///
    /// # Errors
    /// [`Refusal::Damaged`] for what is not well-formed and for a document type, which office files have none of.
    pub(super) fn next(&mut self) -> Result<Event<'_>, Refusal> {
        self.buffer.clear();
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(Event::DocType(_)) => Err(Refusal::Damaged),
            Ok(event) => Ok(event),
            Err(_) => Err(fault(&self.left)),
        }
    }

    /// Passes over the rest of an element whose start was read.
    pub(super) fn skip(&mut self) -> Result<(), Refusal> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next()? {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Eof => return Err(Refusal::Damaged),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The value of an attribute by its name without a prefix.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    raw_attribute(tag, name, |it| Some(unescape(it).ok()?.into_owned()))
}

/// The same of a number.
pub(super) fn numeric(tag: &BytesStart<'_>, name: &str) -> Option<u32> {
    raw_attribute(tag, name, |it| it.trim().parse().ok())
}

/// Looks at the attributes one by one: a check for doubles takes the square of their number.
pub(super) fn raw_attribute<T>(
    tag: &BytesStart<'_>,
    name: &str,
    of: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let mut attributes = tag.attributes();
    let found = attributes
        .with_checks(false)
        .flatten()
        .find(|it| it.key.local_name().as_ref() == name);
    of(&found?.value)
}

/// Adds what an event has of text.
///
/// # Errors
/// [`Refusal::Damaged`] for an entity that XML does not have; [`Refusal::CellTooLong`] once it is more than any cell can hold.
pub(super) fn push_text(event: &Event<'_>, to: &mut String) -> Result<(), Refusal> {
    match event {
        Event::Text(it) => to.push_str(&it.xml10_content()),
        Event::CData(it) => to.push_str(&it.xml10_content()),
        Event::GeneralRef(it) => {
            let known = it.resolve_char_ref().map_err(|_| Refusal::Damaged)?;
            to.push(known.or_else(|| entity(it)).ok_or(Refusal::Damaged)?);
        }
        _ => {}
    }
    // A character has at most four bytes, and a cell's own bound is checked by its characters.
    if to.len() > CELL_CHARS_MAX * 4 {
        return Err(Refusal::CellTooLong { row: 0, column: 0 });
    }
    Ok(())
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}
