//! Files as offices and attackers make them.

mod docx;
mod fill;
mod out;
mod read;

use std::io::{Cursor, Read as _, Write as _};

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::*;

/// A packed file of these parts.
fn packed(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut file = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        file.start_file(*name, SimpleFileOptions::default())
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    file.finish().unwrap().into_inner()
}

/// The text of a part.
fn part(bytes: &[u8], name: &str) -> String {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut text = String::new();
    archive
        .by_name(name)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

const TYPES: &str = "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
    <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
    <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
    <Override PartName=\"/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/>\
    <Override PartName=\"/xl/worksheets/sheet1.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/>\
    <Override PartName=\"/xl/worksheets/sheet2.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/>\
    <Override PartName=\"/xl/styles.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml\"/>\
    <Override PartName=\"/xl/sharedStrings.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml\"/>\
    <Override PartName=\"/xl/calcChain.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.calcChain+xml\"/></Types>";
const RELATIONS: &str = "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" \
    Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>";
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";

/// A workbook of two sheets, 台账 and 说明.
struct Made<'t> {
    date_1904: bool,
    strings: &'t [&'t str],
    sheet: &'t str,
    second: &'t str,
    names: &'t str,
}

impl Default for Made<'_> {
    fn default() -> Self {
        Self {
            date_1904: false,
            strings: &[],
            sheet: "<sheetData/>",
            second: "<sheetData/>",
            names: "",
        }
    }
}

/// Formats of cells: 0 plain, 1 a day, 2 per cent, 3 a moment, 4 text, 5 and 6 plain with other borders.
const STYLES: &str = "<numFmts count=\"2\"><numFmt numFmtId=\"164\" formatCode=\"yyyy&quot;年&quot;m&quot;月&quot;d&quot;日&quot;\"/>\
    <numFmt numFmtId=\"165\" formatCode=\"yyyy\\-mm\\-dd\\ hh:mm\"/></numFmts>\
    <fonts count=\"1\"><font><sz val=\"11\"/><name val=\"宋体\"/></font></fonts><fills count=\"1\"><fill><patternFill patternType=\"none\"/></fill></fills>\
    <borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
    <cellStyleXfs count=\"1\"><xf numFmtId=\"14\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs>\
    <cellXfs count=\"7\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/><xf numFmtId=\"164\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/>\
    <xf numFmtId=\"10\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/><xf numFmtId=\"165\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/>\
    <xf numFmtId=\"49\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/>\
    <xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/></cellXfs>";

impl Made<'_> {
    fn bytes(&self) -> Vec<u8> {
        let strings: String = self
            .strings
            .iter()
            .map(|it| format!("<si>{it}</si>"))
            .collect();
        let shared = format!(
            "<sst xmlns=\"{MAIN}\" count=\"1\" uniqueCount=\"4000000000000\">{strings}</sst>"
        );
        self.with_shared(&shared)
    }

    fn with_shared(&self, shared: &str) -> Vec<u8> {
        let of = |kind: &str, id: &str, target: &str| {
            format!(
                "<Relationship Id=\"{id}\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}\" Target=\"{target}\"/>"
            )
        };
        let relations = format!(
            "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">{}{}{}{}{}</Relationships>",
            of("worksheet", "rId1", "worksheets/sheet1.xml"),
            of("worksheet", "rId2", "/xl/worksheets/sheet2.xml"),
            of("styles", "rId3", "styles.xml"),
            of("sharedStrings", "rId4", "sharedStrings.xml"),
            of("calcChain", "rId5", "calcChain.xml"),
        );
        let workbook = format!(
            "<workbook xmlns=\"{MAIN}\" xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><workbookPr date1904=\"{}\"/>\
             <sheets><sheet name=\"台账\" sheetId=\"1\" r:id=\"rId1\"/><sheet name=\"说明\" sheetId=\"2\" r:id=\"rId2\"/></sheets>{}</workbook>",
            u8::from(self.date_1904),
            self.names,
        );
        let sheet = |body: &str| {
            format!(
                "<worksheet xmlns=\"{MAIN}\" xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\">{body}</worksheet>"
            )
        };
        packed(&[
            ("[Content_Types].xml", TYPES),
            ("_rels/.rels", RELATIONS),
            ("xl/workbook.xml", &workbook),
            ("xl/_rels/workbook.xml.rels", &relations),
            ("xl/worksheets/sheet1.xml", &sheet(self.sheet)),
            ("xl/worksheets/sheet2.xml", &sheet(self.second)),
            (
                "xl/styles.xml",
                &format!("<styleSheet xmlns=\"{MAIN}\">{STYLES}</styleSheet>"),
            ),
            ("xl/sharedStrings.xml", shared),
            (
                "xl/calcChain.xml",
                &format!("<calcChain xmlns=\"{MAIN}\"><c r=\"C6\" i=\"1\"/></calcChain>"),
            ),
            ("xl/media/image1.png", "no picture, but bytes"),
        ])
    }
}

/// An inline text.
fn text(at: &str, said: &str) -> String {
    format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{said}</t></is></c>")
}

/// The texts of a row.
fn said(row: &Row) -> Vec<&str> {
    row.cells.iter().map(|cell| &*cell.text).collect()
}
