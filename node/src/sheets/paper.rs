//! Letters and forms as Word documents (ECMA-376 part 1 §17), for an office to edit before it sends them: on A4 as GB/T 9704-2012 has it, 22 lines
//! of 28 characters, 仿宋 size 3, margins of 37 and 28 mm.
//!
//! The same input gives the same bytes. Fonts are named, not carried: a computer without them takes its own.
//!
//! Rejected: docx-rs 0.4.22. It would build zip and quick-xml a second time, in versions of its own, for what is three parts of plain text
//! here.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::splice::escaped;
use super::write::sound;

/// What kind of file it is, for whoever takes it over HTTP.
pub const MEDIA: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
/// Twentieths of a point: between two lines, so that 22 fill 225 mm.
const LINE: u32 = 579;
/// Twentieths of a point: the text of a page upright, 156 mm, and across, 243 mm.
const UPRIGHT: usize = 8_844;
const ACROSS: usize = 13_776;
/// Columns from which on a page lies across.
const ACROSS_FROM: usize = 4;

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At the left.
    Left,
    /// In the middle.
    Middle,
    /// At the right, for names and dates below a letter.
    Right,
    /// At the left, its first line set in by two characters, as paragraphs are.
    In,
}

/// A document that is being written.
#[derive(Debug)]
pub struct Document {
    body: String,
    /// Whether its pages lie across.
    across: bool,
}

impl Document {
    /// Begins one whose widest table has so many columns, or none.
    #[must_use]
    pub const fn begin(columns: usize) -> Self {
        Self {
            body: String::new(),
            across: columns >= ACROSS_FROM,
        }
    }

    /// The width of the text.
    const fn width(&self) -> usize {
        if self.across { ACROSS } else { UPRIGHT }
    }

    /// The title, in the middle: 小标宋 size 2.
    pub fn title(&mut self, text: &str) {
        let run = run(text, "方正小标宋_GBK", 44, false);
        self.paragraph(&run, "<w:spacing w:before=\"120\" w:after=\"240\" w:line=\"700\" w:lineRule=\"exact\"/><w:jc w:val=\"center\"/>");
    }

    /// A line or paragraph.
    pub fn line(&mut self, text: &str, at: At) {
        for text in text.lines() {
            self.paragraph(&run(text, BODY, BODY_SIZE, false), place(at));
        }
    }

    /// A mark over the whole, such as that it is test data: small, in the middle.
    pub fn mark(&mut self, text: &str) {
        self.paragraph(&run(text, "黑体", 24, true), place(At::Middle));
    }

    /// Names and what they are, as the two columns of a form.
    pub fn pairs<'t>(&mut self, pairs: impl IntoIterator<Item = (&'t str, &'t str)>) {
        // Names of fields are short.
        let widths = [UPRIGHT / 4, self.width() - UPRIGHT / 4];
        self.table_begins(&widths);
        for (name, value) in pairs {
            self.body.push_str("<w:tr>");
            self.cell(name, widths[0], true);
            self.cell(value, widths[1], false);
            self.body.push_str("</w:tr>");
        }
        self.table_ends();
    }

    /// A table, whose head is repeated on each page.
    pub fn table<'t>(&mut self, heads: &[&str], rows: impl IntoIterator<Item = &'t [String]>) {
        let width = self.width() / heads.len().max(1);
        let widths = vec![width; heads.len()];
        self.table_begins(&widths);
        self.body.push_str("<w:tr><w:trPr><w:tblHeader/></w:trPr>");
        for head in heads {
            self.cell(head, width, true);
        }
        self.body.push_str("</w:tr>");
        for row in rows {
            self.body.push_str("<w:tr>");
            for at in 0..heads.len() {
                self.cell(row.get(at).map_or("", String::as_str), width, false);
            }
            self.body.push_str("</w:tr>");
        }
        self.table_ends();
    }

    /// The file.
    ///
    /// # Errors
    /// It cannot be packed.
    pub fn finish(self) -> std::io::Result<Vec<u8>> {
        let page = match self.across {
            true => {
                "<w:pgSz w:w=\"16838\" w:h=\"11906\" w:orient=\"landscape\"/><w:pgMar w:top=\"1587\" w:right=\"1474\" w:bottom=\"1474\" w:left=\"1587\" w:header=\"851\" w:footer=\"992\" w:gutter=\"0\"/>"
            }
            false => {
                "<w:pgSz w:w=\"11906\" w:h=\"16838\"/><w:pgMar w:top=\"2098\" w:right=\"1474\" w:bottom=\"1984\" w:left=\"1587\" w:header=\"851\" w:footer=\"992\" w:gutter=\"0\"/>"
            }
        };
        let grid = format!("<w:docGrid w:type=\"lines\" w:linePitch=\"{LINE}\"/>");
        let document = format!(
            "{XML}<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body>{}<w:sectPr>{page}{grid}</w:sectPr></w:body></w:document>",
            self.body
        );
        let mut file = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for (name, text) in [
            ("[Content_Types].xml", TYPES),
            ("_rels/.rels", RELATIONS),
            ("word/document.xml", document.as_str()),
        ] {
            file.start_file(name, options)
                .map_err(std::io::Error::other)?;
            file.write_all(text.as_bytes())?;
        }
        let file = file.finish().map_err(std::io::Error::other)?;
        Ok(file.into_inner())
    }

    fn paragraph(&mut self, run: &str, properties: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.body, "<w:p><w:pPr>{properties}</w:pPr>{run}</w:p>");
    }

    fn table_begins(&mut self, widths: &[usize]) {
        let sides = ["top", "left", "bottom", "right", "insideH", "insideV"];
        let sides = sides.map(|it| {
            format!("<w:{it} w:val=\"single\" w:sz=\"4\" w:space=\"0\" w:color=\"000000\"/>")
        });
        let columns = widths.iter().map(|it| format!("<w:gridCol w:w=\"{it}\"/>"));
        let _ = write!(
            self.body,
            "<w:tbl><w:tblPr><w:tblW w:w=\"{}\" w:type=\"dxa\"/><w:tblBorders>{}</w:tblBorders><w:tblLayout w:type=\"fixed\"/></w:tblPr><w:tblGrid>{}</w:tblGrid>",
            widths.iter().sum::<usize>(),
            sides.concat(),
            columns.collect::<String>()
        );
    }

    /// A table needs a paragraph behind it.
    fn table_ends(&mut self) {
        self.body.push_str("</w:tbl>");
        self.paragraph("", "<w:spacing w:line=\"240\" w:lineRule=\"exact\"/>");
    }

    fn cell(&mut self, text: &str, width: usize, is_head: bool) {
        let _ = write!(
            self.body,
            "<w:tc><w:tcPr><w:tcW w:w=\"{width}\" w:type=\"dxa\"/><w:vAlign w:val=\"center\"/></w:tcPr>"
        );
        let spacing =
            "<w:spacing w:before=\"40\" w:after=\"40\" w:line=\"400\" w:lineRule=\"atLeast\"/>";
        let (font, place) = match is_head {
            true => ("黑体", "<w:jc w:val=\"center\"/>"),
            false => (BODY, ""),
        };
        let mut lines = text.lines().peekable();
        if lines.peek().is_none() {
            self.paragraph("", spacing);
        }
        for line in lines {
            self.paragraph(&run(line, font, 24, false), &format!("{spacing}{place}"));
        }
        self.body.push_str("</w:tc>");
    }
}

const BODY: &str = "仿宋_GB2312";
/// Half points: size 3.
const BODY_SIZE: u32 = 32;
const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const TYPES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" ContentType=\"application/xml\"/><Override PartName=\"/word/document.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/></Types>";
const RELATIONS: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"word/document.xml\"/></Relationships>";

fn place(at: At) -> &'static str {
    match at {
        At::Left => "<w:spacing w:line=\"579\" w:lineRule=\"exact\"/>",
        At::Middle => "<w:spacing w:line=\"579\" w:lineRule=\"exact\"/><w:jc w:val=\"center\"/>",
        At::Right => {
            "<w:spacing w:line=\"579\" w:lineRule=\"exact\"/><w:ind w:rightChars=\"200\" w:right=\"640\"/><w:jc w:val=\"right\"/>"
        }
        At::In => {
            "<w:spacing w:line=\"579\" w:lineRule=\"exact\"/><w:ind w:firstLineChars=\"200\" w:firstLine=\"640\"/><w:jc w:val=\"both\"/>"
        }
    }
}

/// A run of text; sizes are in half points.
fn run(text: &str, font: &str, size: u32, bold: bool) -> String {
    let bold = if bold { "<w:b/>" } else { "" };
    // 28 characters of size 3 fill 156 mm only a little closer to each other.
    let closer = if size == BODY_SIZE {
        "<w:spacing w:val=\"-4\"/>"
    } else {
        ""
    };
    format!(
        "<w:r><w:rPr><w:rFonts w:ascii=\"Times New Roman\" w:hAnsi=\"Times New Roman\" w:eastAsia=\"{font}\"/>{bold}{closer}<w:sz w:val=\"{size}\"/></w:rPr><w:t xml:space=\"preserve\">{}</w:t></w:r>",
        escaped(&sound(text))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::papers;

    #[test]
    fn what_is_written_is_read_again_as_text_and_the_same_input_gives_the_same_bytes()
    -> anyhow::Result<()> {
        let make = || {
            let mut document = Document::begin(0);
            document.title("答复意见书");
            document.line("测试女士：", At::Left);
            document.line("您反映的“<路灯> & 井盖”已经办好。\u{b}\n第二段", At::In);
            document.pairs([("编号", "YJ-1"), ("内容", "一\n二")]);
            let rows = [vec!["第一条".to_owned(), "改".to_owned()]];
            document.table(&["条款", "意见"], rows.iter().map(Vec::as_slice));
            document.line("2026年11月30日", At::Right);
            document.finish()
        };
        let bytes = make()?;
        assert_eq!(bytes, make()?);
        let text = papers::text_of(&bytes)?;
        for said in [
            "答复意见书",
            "您反映的“<路灯> & 井盖”已经办好。",
            "第二段",
            "YJ-1",
            "第一条",
            "2026年11月30日",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
        Ok(())
    }

    #[test]
    fn a_wide_table_lies_across() -> anyhow::Result<()> {
        let page = |heads: &[&str]| -> anyhow::Result<String> {
            let mut document = Document::begin(heads.len());
            document.table(heads, std::iter::empty());
            let bytes = document.finish()?;
            let mut package =
                super::super::parts::Package::open(&bytes).map_err(anyhow::Error::new)?;
            Ok(package.text("word/document.xml")?.unwrap_or_default())
        };
        assert!(page(&["一", "二", "三", "四"])?.contains("landscape"));
        assert!(!page(&["一", "二"])?.contains("landscape"));
        Ok(())
    }
}
