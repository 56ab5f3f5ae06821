//! XML that stays as it is but for some places: a reader that says where each event stands, and what is put in those places.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::{Refusal, UNPACKED_BYTES_MAX};

/// Reads events of a text with the bytes that each takes.
pub(super) struct Places<'x> {
    reader: Reader<&'x [u8]>,
    xml: &'x str,
}

/// An event and where it stands.
pub(super) struct Placed<'x> {
    pub(super) event: Event<'x>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'x> Places<'x> {
    pub(super) fn of(xml: &'x str) -> Self {
        Self {
            reader: Reader::from_str(xml),
            xml,
        }
    }

    fn at(&self) -> Result<usize, Refusal> {
        usize::try_from(self.reader.buffer_position()).map_err(|_| Refusal::Damaged)
    }

    /// The next event; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Placed<'x>>, Refusal> {
        let start = self.at()?;
        let event = self.reader.read_event().map_err(|_| Refusal::Damaged)?;
        match event {
            Event::Eof => Ok(None),
            Event::DocType(_) => Err(Refusal::Damaged),
            event => Ok(Some(Placed {
                event,
                start,
                end: self.at()?,
            })),
        }
    }

    /// Passes over the rest of an element whose start was read: where its end tag begins and ends.
    pub(super) fn past_end(&mut self) -> Result<(usize, usize), Refusal> {
        let mut depth = 1_usize;
        while let Some(placed) = self.next()? {
            match placed.event {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok((placed.start, placed.end));
            }
        }
        Err(Refusal::Damaged)
    }

    pub(super) fn raw(&self, start: usize, end: usize) -> &'x str {
        self.xml.get(start..end).unwrap_or_default()
    }
}

/// What is put in the place of what, from front to end.
#[derive(Debug)]
pub(super) struct Splice<'x> {
    xml: &'x str,
    out: String,
    copied: usize,
}

impl<'x> Splice<'x> {
    pub(super) fn of(xml: &'x str) -> Self {
        Self {
            xml,
            out: String::with_capacity(xml.len() + xml.len() / 8),
            copied: 0,
        }
    }

    /// Puts a text in the place of these bytes.
    pub(super) fn put(&mut self, start: usize, end: usize, text: &str) {
        self.out
            .push_str(self.xml.get(self.copied..start).unwrap_or_default());
        self.out.push_str(text);
        self.copied = end;
    }

    /// That it has not become larger than any part that is read.
    pub(super) const fn bounded(&self) -> Result<(), Refusal> {
        if self.out.len() as u64 > UNPACKED_BYTES_MAX {
            Err(Refusal::TooMuch)
        } else {
            Ok(())
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.out
            .push_str(self.xml.get(self.copied..).unwrap_or_default());
        self.out
    }
}

/// A tag with another value of an attribute, which it gets where it has none.
pub(super) fn with_attribute(tag: &str, name: &str, value: &str) -> String {
    if let Some((start, end)) = value_of(tag, name) {
        let (before, after) = (
            tag.get(..start).unwrap_or_default(),
            tag.get(end..).unwrap_or_default(),
        );
        return format!("{before}{value}{after}");
    }
    let close = if tag.ends_with("/>") { "/>" } else { ">" };
    let open = tag.strip_suffix(close).unwrap_or(tag);
    format!("{} {name}=\"{value}\"{close}", open.trim_end())
}

/// Where the value of an attribute stands in a tag, between its quotes.
fn value_of(tag: &str, name: &str) -> Option<(usize, usize)> {
    let mut at = tag.find(|it: char| it.is_ascii_whitespace())?;
    loop {
        let rest = tag.get(at..)?;
        let equals = at + rest.find('=')?;
        let key = tag.get(at..equals)?.trim();
        let open = equals + tag.get(equals..)?.find(['"', '\''])?;
        let quote = tag.get(open..)?.chars().next()?;
        let end = open + 1 + tag.get(open + 1..)?.find(quote)?;
        if key == name {
            return Some((open + 1, end));
        }
        at = end + 1;
    }
}

/// Text as it stands in XML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_changed_in_its_place() {
        assert_eq!(
            with_attribute("<c r=\"B3\" s='5'/>", "r", "B9"),
            "<c r=\"B9\" s='5'/>"
        );
        assert_eq!(
            with_attribute("<c  x:r=\"B3\"\n r = 'B3'>", "r", "B9"),
            "<c  x:r=\"B3\"\n r = 'B9'>"
        );
        assert_eq!(with_attribute("<calcPr/>", "a", "1"), "<calcPr a=\"1\"/>");
        assert_eq!(
            with_attribute("<calcPr b=\"a='2'\">", "a", "1"),
            "<calcPr b=\"a='2'\" a=\"1\">"
        );
    }
}
