//! The text of the files in which offices send drafts: plain text in the encodings that Windows writes, and Word documents (ISO/IEC
//! 29500, Office Open XML). Paragraphs are lines.
//!
//! A file comes from outside: what it unpacks to is bounded, nothing in it is followed, and what was struck out under tracked changes is
//! left out. Numbers that Word counts by itself are no text of the document; whoever sends such a one is told to paste it.

use std::io::{Cursor, Read as _};

use quick_xml::Reader;
use quick_xml::events::Event;
use zip::ZipArchive;

use crate::error::{Code, Error, Result};
use crate::sheets::decode_text;

/// Bytes of the text of a Word document, unpacked: a thousand articles with all their marks.
const UNPACKED_MAX: u64 = 32 * 1024 * 1024;
/// Where the text of a Word document is.
const DOCUMENT: &str = "word/document.xml";

/// The text of a file, whatever its name.
///
/// # Errors
/// [`Code::BadPaper`] for what is neither, for a damaged or an old binary Word document, and for one that unpacks to too much.
pub fn text_of(bytes: &[u8]) -> Result<String> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => word(bytes),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Err(bad(
            "this is an old Word document: save it as .docx and send that",
        )),
        _ => plain(decode_text(bytes).ok().map(|(text, _)| text)),
    }
}

fn bad(message: &str) -> Error {
    Error::new(Code::BadPaper, message)
}

fn plain(text: Option<String>) -> Result<String> {
    let text = text.filter(|text| !text.contains('\0'));
    text.ok_or_else(|| bad("this is neither a text nor a Word document"))
}

/// The paragraphs of a Word document.
fn word(bytes: &[u8]) -> Result<String> {
    let broken = || bad("this is no Word document, or it is damaged");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| broken())?;
    let document = archive.by_name(DOCUMENT).map_err(|_| broken())?;
    let mut xml = String::new();
    let mut bounded = document.take(UNPACKED_MAX + 1);
    bounded.read_to_string(&mut xml).map_err(|_| broken())?;
    if xml.len() as u64 > UNPACKED_MAX {
        return Err(bad("this document is too large"));
    }
    let mut reader = Reader::from_str(&xml);
    let mut text = String::new();
    // What is not text of the document: codes of fields, and what was struck out.
    let (mut within, mut counted, mut moved) = (false, false, false);
    loop {
        match reader.read_event().map_err(|_| broken())? {
            Event::Start(tag) => match tag.local_name().as_ref() {
                "t" => within = !moved,
                "moveFrom" => moved = true,
                "numPr" => counted = true,
                _ => {}
            },
            Event::Empty(tag) => match tag.local_name().as_ref() {
                "tab" => text.push(' '),
                "br" | "cr" => text.push('\n'),
                _ => {}
            },
            Event::End(tag) => match tag.local_name().as_ref() {
                "t" => within = false,
                "moveFrom" => moved = false,
                "p" => text.push('\n'),
                _ => {}
            },
            Event::Text(it) if within => text.push_str(&it.xml10_content()),
            Event::CData(it) if within => text.push_str(&it.xml10_content()),
            Event::GeneralRef(it) if within => {
                let known = it.resolve_char_ref().map_err(|_| broken())?;
                text.extend(known.or(match &*it {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => None,
                }));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if counted && !text.contains('第') {
        return Err(bad(
            "Word counts the articles of this document by itself: select all of it, copy it and paste it",
        ));
    }
    plain(Some(text))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn docx(name: &str, body: &str) -> Vec<u8> {
        let mut file = ZipWriter::new(Cursor::new(Vec::new()));
        file.start_file(name, SimpleFileOptions::default()).unwrap();
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>"
        );
        file.write_all(xml.as_bytes()).unwrap();
        file.finish().unwrap().into_inner()
    }

    fn code(bytes: &[u8]) -> Option<Code> {
        text_of(bytes).err().map(|error| error.code())
    }

    #[test]
    fn a_word_document_is_read_by_paragraphs_without_what_was_struck_out() -> Result<()> {
        let body = "<w:p><w:pPr><w:jc/></w:pPr><w:r><w:t>第一条</w:t><w:tab/><w:t xml:space=\"preserve\"> 甲&amp;乙&#x4e2d;</w:t></w:r></w:p>\
             <w:p><w:del><w:r><w:delText>删去</w:delText></w:r></w:del><w:ins><w:r><w:t>第二条 </w:t></w:r></w:ins>\
             <w:r><w:instrText>PAGE</w:instrText><w:t>上</w:t><w:br/><w:t>下</w:t></w:r></w:p>";
        assert_eq!(
            text_of(&docx(DOCUMENT, body))?,
            "第一条  甲&乙中\n第二条 上\n下\n"
        );
        Ok(())
    }

    #[test]
    fn a_text_is_read_in_the_encodings_of_windows() -> Result<()> {
        let text = "第一条 测试";
        let utf16 = |first: [u8; 2], of: fn(u16) -> [u8; 2]| -> Vec<u8> {
            first
                .into_iter()
                .chain(text.encode_utf16().flat_map(of))
                .collect()
        };
        let (gb, _, _) = encoding_rs::GB18030.encode(text);
        for bytes in [
            text.as_bytes().to_vec(),
            [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat(),
            utf16([0xff, 0xfe], u16::to_le_bytes),
            utf16([0xfe, 0xff], u16::to_be_bytes),
            gb.into_owned(),
        ] {
            assert_eq!(text_of(&bytes)?, text, "{bytes:?}");
        }
        Ok(())
    }

    #[test]
    fn what_is_no_such_file_is_refused_by_name() {
        let bad = Some(Code::BadPaper);
        assert_eq!(code(b"PK\x03\x04broken"), bad);
        assert_eq!(code(&docx("other.xml", "")), bad);
        assert_eq!(code(&docx(DOCUMENT, "<w:p><w:t>")), bad);
        assert_eq!(code(&docx(DOCUMENT, "<w:p></w:r>")), bad);
        assert_eq!(code(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1]), bad);
        assert_eq!(code(&[0x89, b'P', b'N', b'G', 0, 0xff, 0xff]), bad);
        assert_eq!(code(&[0xff, 0xfe, 0x00]), bad);
        let numbered =
            "<w:p><w:pPr><w:numPr><w:ilvl/></w:numPr></w:pPr><w:r><w:t>本条例</w:t></w:r></w:p>";
        assert_eq!(code(&docx(DOCUMENT, numbered)), bad);
        // A file that unpacks to far more than it is.
        let large = format!("<w:p><w:t>{}</w:t></w:p>", "字".repeat(12 * 1024 * 1024));
        let large = docx(DOCUMENT, &large);
        assert!(large.len() < 512 * 1024);
        assert_eq!(code(&large), bad);
    }
}
