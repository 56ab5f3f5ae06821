//! Templates.

use std::io::Cursor;

use calamine::{Data, Reader as _, Xlsx, open_workbook_from_rs};
use zip::ZipArchive;

use super::super::fill::{Filled, Template};
use super::super::write::Value;
use super::*;

/// A ledger as an office has it: title, head of two rows, two samples, sums, signature, and what belongs to the sheet after its cells.
fn ledger() -> String {
    format!(
        "<sheetPr><pageSetUpPr fitToPage=\"1\"/></sheetPr><dimension ref=\"A1:F7\"/><cols><col min=\"1\" max=\"5\" width=\"12\" customWidth=\"1\"/><col min=\"6\" max=\"6\" width=\"30\" style=\"4\"/></cols>\
         <sheetData><row r=\"1\" ht=\"30\" customHeight=\"1\">{}</row><row r=\"2\">{}{}{}{}{}{}</row>\
         <row r=\"3\" spans=\"1:6\" ht=\"24\" customHeight=\"1\" s=\"5\" customFormat=\"1\"><c r=\"A3\" s=\"5\"><v>1</v></c><c r=\"B3\" s=\"5\" t=\"s\"><v>0</v></c><c r=\"C3\" s=\"1\"><v>45000</v></c><c r=\"D3\" s=\"5\"><v>7</v></c><c r=\"E3\" s=\"5\"><f>D3/$D$5</f><v>14</v></c></row>\
         <row r=\"4\"><c r=\"A4\" s=\"6\"><v>2</v></c><c r=\"B4\" s=\"6\" t=\"s\"><v>0</v></c><c r=\"D4\" s=\"6\"><v>8</v></c><c r=\"E4\" s=\"6\"><f>D4*2</f><v>16</v></c></row>\
         <row r=\"5\" ht=\"20\" customHeight=\"1\">{}<c r=\"D5\" s=\"5\"><f>SUM(D3:D4)</f><v>15</v></c><c r=\"E5\" s=\"5\" t=\"str\"><f>IF(D5&gt;9,&quot;D4&quot;,&quot;&quot;)</f><v>x</v></c></row>\
         <row r=\"7\">{}</row></sheetData>\
         <autoFilter ref=\"A2:F4\"/><mergeCells count=\"3\"><mergeCell ref=\"A1:F1\"/><mergeCell ref=\"A5:C5\"/><mergeCell ref=\"A7:F7\"/></mergeCells>\
         <conditionalFormatting sqref=\"D3:D4 F5\"><cfRule type=\"expression\" priority=\"1\"><formula>$D3&gt;$D$5</formula></cfRule></conditionalFormatting>\
         <dataValidations count=\"1\"><dataValidation type=\"list\" sqref=\"B3:B4\"><formula1>\"甲,乙\"</formula1></dataValidation></dataValidations>\
         <hyperlinks><hyperlink ref=\"B3\" r:id=\"rId9\"/><hyperlink ref=\"A7\" location=\"说明!A1\"/></hyperlinks>\
         <pageMargins left=\"0.7\" right=\"0.7\" top=\"0.7\" bottom=\"0.7\" header=\"0.3\" footer=\"0.3\"/><pageSetup paperSize=\"9\" orientation=\"landscape\"/><rowBreaks count=\"1\" manualBreakCount=\"1\"><brk id=\"5\" max=\"16383\" man=\"1\"/></rowBreaks>",
        text("A1", "示例街道台账"),
        text("A2", "序号"),
        text("B2", "姓名"),
        text("C2", "日期"),
        text("D2", "件数"),
        text("E2", "加倍"),
        text("F2", "备注"),
        text("A5", "合 计"),
        text("A7", "填表人：　　审核人："),
    )
}

const NAMES: &str = "<definedNames><definedName name=\"_xlnm.Print_Area\" localSheetId=\"0\">台账!$A$1:$F$7</definedName><definedName name=\"_xlnm.Print_Titles\" localSheetId=\"0\">台账!$1:$2</definedName></definedNames><calcPr calcId=\"191029\"/><extLst/>";

fn made(sheet: &str) -> Vec<u8> {
    let second = "<sheetData><row r=\"1\"><c r=\"A1\"><f>台账!D5+SUM(台账!D3:D4)+D5</f><v>30</v></c></row></sheetData>";
    Made {
        sheet,
        second,
        names: NAMES,
        strings: &["<t>示例</t>"],
        ..Made::default()
    }
    .bytes()
}

fn filled(bytes: &[u8], columns: &[&str], rows: Vec<Vec<Value<'_>>>) -> Filled {
    Template::open(bytes.to_vec(), None)
        .unwrap()
        .fill(columns, rows)
        .unwrap()
}

fn sheet(bytes: &[u8]) -> String {
    part(bytes, "xl/worksheets/sheet1.xml")
}

#[track_caller]
fn holds(xml: &str, wanted: &[&str]) {
    for it in wanted {
        assert!(xml.contains(it), "{it}\n{xml}");
    }
}

fn persons(count: usize) -> Vec<Vec<Value<'static>>> {
    (0..count)
        .map(|_| {
            vec![
                Value::Text("=甲 & 乙"),
                Value::Date("2026-11-28"),
                Value::Integer(3),
                Value::Text("一\n二 "),
            ]
        })
        .collect()
}

const COLUMNS: [&str; 4] = ["B", "C", "D", "F"];

#[test]
fn the_head_of_a_template_is_found() {
    let template = Template::open(made(&ledger()), None).unwrap();
    let heads: Vec<_> = template
        .heads()
        .iter()
        .map(|head| (head.column.as_str(), head.text.as_str()))
        .collect();
    assert_eq!(
        heads,
        [
            ("A", "序号"),
            ("B", "姓名"),
            ("C", "日期"),
            ("D", "件数"),
            ("E", "加倍"),
            ("F", "备注")
        ]
    );
    assert_eq!((template.sheet(), template.head_row()), ("台账", 2));
    assert_eq!(
        template.fill(&["G"], persons(1)).unwrap_err(),
        Refusal::NoSuchColumn
    );
    assert_eq!(
        template.fill(&["B "], persons(1)).unwrap_err(),
        Refusal::NoSuchColumn
    );
    assert_eq!(
        Template::open(made(&ledger()), Some("没有")).unwrap_err(),
        Refusal::NoSuchSheet
    );
    assert_eq!(
        Template::open(made("<sheetData/>"), None).unwrap_err(),
        Refusal::NoRows
    );
    assert_eq!(
        Template::open(b"a,b".to_vec(), None).unwrap_err(),
        Refusal::NotATable
    );
    assert_eq!(
        Template::open(vec![0xd0, 0xcf, 0x11, 0xe0], None).unwrap_err(),
        Refusal::OldForm
    );
}

#[test]
fn more_rows_than_samples_push_down_what_is_below_and_everything_follows() {
    let out = filled(&made(&ledger()), &COLUMNS, persons(5));
    assert_eq!((out.rows, out.cut), (5, 0));
    let xml = sheet(&out.bytes);
    holds(
        &xml,
        &[
            "<dimension ref=\"A1:F10\"/>",
            // The style of each sample for its own row, that of the first for the others; formulas and running numbers go on.
            "<row r=\"3\" s=\"5\" customFormat=\"1\" ht=\"24\" customHeight=\"1\"><c r=\"A3\" s=\"5\"><v>1</v></c><c r=\"B3\" s=\"5\" t=\"inlineStr\"><is><t xml:space=\"preserve\">=甲 &amp; 乙</t></is></c><c r=\"C3\" s=\"1\"><v>46354</v></c><c r=\"D3\" s=\"5\"><v>3</v></c><c r=\"E3\" s=\"5\"><f>D3/$D$8</f></c><c r=\"F3\" s=\"4\" t=\"inlineStr\"><is><t xml:space=\"preserve\">一\n二 </t></is></c></row>",
            "<row r=\"4\"><c r=\"A4\" s=\"6\"><v>2</v></c><c r=\"B4\" s=\"6\" t=\"inlineStr\">",
            "<c r=\"C4\" s=\"1\"><v>46354</v></c>",
            "<c r=\"A7\" s=\"5\"><v>5</v></c>",
            "<c r=\"E4\" s=\"6\"><f>D4*2</f></c>",
            "<c r=\"E7\" s=\"5\"><f>D7/$D$8</f></c>",
            "<row r=\"8\" ht=\"20\" customHeight=\"1\"><c r=\"A8\" t=\"inlineStr\"><is><t>合 计</t></is></c><c r=\"D8\" s=\"5\"><f>SUM(D3:D7)</f></c><c r=\"E8\" s=\"5\" t=\"n\"><f>IF(D8&gt;9,&quot;D4&quot;,&quot;&quot;)</f></c></row>",
            "<row r=\"10\"><c r=\"A10\"",
            "<autoFilter ref=\"A2:F7\"/>",
            "<mergeCells count=\"3\"><mergeCell ref=\"A1:F1\"/><mergeCell ref=\"A8:C8\"/><mergeCell ref=\"A10:F10\"/></mergeCells>",
            "<conditionalFormatting sqref=\"D3:D7 F8\">",
            "<formula>$D3&gt;$D$8</formula>",
            "sqref=\"B3:B7\"",
            "<hyperlinks><hyperlink ref=\"A10\" location=\"说明!A1\"/></hyperlinks>",
            "<brk id=\"8\" max=\"16383\" man=\"1\"/>",
        ],
    );
    assert!(!xml.contains("45000") && !xml.contains("示例</t></si>"));
    holds(
        &part(&out.bytes, "xl/workbook.xml"),
        &[
            "台账!$A$1:$F$10",
            "台账!$1:$2",
            "<calcPr calcId=\"191029\" fullCalcOnLoad=\"1\"/><extLst/>",
        ],
    );
    holds(
        &part(&out.bytes, "xl/worksheets/sheet2.xml"),
        &["<f>台账!D8+SUM(台账!D3:D7)+D5</f>"],
    );
    // The order of elements is that of the template (ECMA-376 part 1, §18.3.1.99).
    let order = [
        "<dimension",
        "<cols",
        "<sheetData",
        "<autoFilter",
        "<mergeCells",
        "<conditionalFormatting",
        "<dataValidations",
        "<hyperlinks",
        "<pageMargins",
        "<pageSetup",
        "<rowBreaks",
    ];
    let at: Vec<_> = order.iter().map(|it| xml.find(it).unwrap()).collect();
    assert!(at.is_sorted(), "{at:?}");
}

#[test]
fn what_is_not_concerned_is_copied_byte_for_byte() {
    let before = made(&ledger());
    let out = filled(&before, &COLUMNS, persons(2));
    let names = |bytes: &[u8]| -> Vec<String> {
        ZipArchive::new(Cursor::new(bytes.to_vec()))
            .unwrap()
            .file_names()
            .map(|it| it.unwrap().into_owned())
            .collect()
    };
    let kept: Vec<_> = names(&before)
        .into_iter()
        .filter(|it| it != "xl/calcChain.xml")
        .collect();
    assert_eq!(names(&out.bytes), kept);
    for name in [
        "xl/sharedStrings.xml",
        "xl/styles.xml",
        "xl/media/image1.png",
        "xl/worksheets/sheet2.xml",
        "_rels/.rels",
    ] {
        assert_eq!(part(&out.bytes, name), part(&before, name), "{name}");
    }
    for name in ["[Content_Types].xml", "xl/_rels/workbook.xml.rels"] {
        assert!(
            part(&before, name).contains("calcChain.xml")
                && !part(&out.bytes, name).contains("calcChain"),
            "{name}"
        );
    }
    let (old, new) = (sheet(&before), sheet(&out.bytes));
    let (head, _) = old.split_once("<row r=\"3\"").unwrap();
    assert!(new.starts_with(head));
    let (_, tail) = old.split_once("<row r=\"7\">").unwrap();
    assert!(
        new.ends_with(
            tail.replace("<hyperlink ref=\"B3\" r:id=\"rId9\"/>", "")
                .as_str()
        ),
        "{new}"
    );
    assert_eq!(out.bytes, filled(&before, &COLUMNS, persons(2)).bytes);
}

#[test]
fn fewer_rows_than_lines_leave_the_lines_empty() {
    let lines: String = (2..=9)
        .map(|row| {
            format!("<row r=\"{row}\"><c r=\"A{row}\" s=\"5\"/><c r=\"B{row}\" s=\"6\"/></row>")
        })
        .collect();
    let xml = format!(
        "<sheetData><row r=\"1\">{}{}</row>{lines}</sheetData>",
        text("A1", "姓名"),
        text("B1", "事由")
    );
    let out = sheet(
        &filled(
            &made(&xml),
            &["A"],
            vec![vec![Value::Text("甲")], vec![Value::Text("乙")]],
        )
        .bytes,
    );
    holds(
        &out,
        &[
            "<row r=\"3\"><c r=\"A3\" s=\"5\" t=\"inlineStr\"><is><t xml:space=\"preserve\">乙</t></is></c><c r=\"B3\" s=\"6\"/></row><row r=\"4\"><c r=\"A4\" s=\"5\"/><c r=\"B4\" s=\"6\"/></row>",
        ],
    );
    assert!(out.ends_with(
        "<row r=\"9\"><c r=\"A9\" s=\"5\"/><c r=\"B9\" s=\"6\"/></row></sheetData></worksheet>"
    ));
    // Samples that are not needed are emptied.
    let out = sheet(&filled(&made(&ledger()), &COLUMNS, persons(0)).bytes);
    assert!(!out.contains("<v>7</v>") && !out.contains("<v>45000</v>") && !out.contains("t=\"s\""));
    holds(
        &out,
        &[
            "<row r=\"5\" ht=\"20\" customHeight=\"1\">",
            "<f>SUM(D3:D4)</f></c>",
            "<c r=\"D4\" s=\"6\"/>",
        ],
    );
    // More rows than lines look like the first line.
    let many = sheet(&filled(&made(&xml), &["A"], vec![vec![Value::Integer(1)]; 20]).bytes);
    holds(
        &many,
        &[
            "<row r=\"21\"><c r=\"A21\" s=\"5\"><v>1</v></c><c r=\"B21\" s=\"6\"/></row></sheetData>",
        ],
    );
}

#[test]
fn a_template_without_lines_takes_the_style_of_its_columns() {
    let xml = format!(
        "<dimension ref=\"A1:B2\"/><cols><col min=\"2\" max=\"2\" style=\"1\"/></cols><sheetData><row r=\"1\">{}</row><row r=\"2\">{}{}</row></sheetData><autoFilter ref=\"A2:B2\"/><dataValidations count=\"1\"><dataValidation sqref=\"A3:A100\"/></dataValidations>",
        text("A1", "标题"),
        text("A2", "姓名"),
        text("B2", "日期")
    );
    let out = sheet(
        &filled(
            &made(&xml),
            &["B", "A"],
            vec![
                vec![Value::Date("2026-11-28"), Value::Date("2026-11-28")],
                vec![Value::Date("不详"), Value::Empty],
            ],
        )
        .bytes,
    );
    holds(
        &out,
        &[
            "<dimension ref=\"A1:B4\"/>",
            "<row r=\"3\"><c r=\"A3\" t=\"inlineStr\"><is><t xml:space=\"preserve\">2026-11-28</t></is></c><c r=\"B3\" s=\"1\"><v>46354</v></c></row>",
            "<c r=\"B4\" s=\"1\" t=\"inlineStr\"><is><t xml:space=\"preserve\">不详</t></is></c></row></sheetData>",
            "sqref=\"A3:A102\"",
            "<autoFilter ref=\"A2:B4\"/>",
        ],
    );
}

#[test]
fn formulas_that_others_share_and_merged_samples_are_taken_apart() {
    let xml = format!(
        "<sheetData><row r=\"1\">{}{}{}{}</row><row r=\"2\"><c r=\"A2\"><v>1</v></c><c r=\"C2\"><f t=\"shared\" ref=\"C2:C4\" si=\"0\">A2+1</f><v>2</v></c><c r=\"D2\"><f t=\"shared\" si=\"0\"/><v>9</v></c></row>\
         <row r=\"3\">{}<c r=\"C3\"><f t=\"shared\" si=\"0\"/><v>2</v></c><c r=\"D3\"><f t=\"array\" ref=\"D3\">SUM(A2:A2*2)</f><v>1</v></c></row></sheetData><mergeCells count=\"1\"><mergeCell ref=\"A2:B2\"/></mergeCells>",
        text("A1", "甲"),
        text("B1", "乙"),
        text("C1", "丙"),
        text("D1", "丁"),
        text("A3", "合计"),
    );
    let out = sheet(&filled(&made(&xml), &["A"], vec![vec![Value::Integer(1)]; 3]).bytes);
    holds(
        &out,
        &[
            "<c r=\"C2\"><f>A2+1</f></c><c r=\"D2\"><f>B2+1</f></c>",
            "<c r=\"C4\"><f>A4+1</f></c><c r=\"D4\"><f>B4+1</f></c>",
            "<c r=\"C5\"><f>A5+1</f></c>",
            "<c r=\"D5\"><f t=\"array\" ref=\"D5\">SUM(A2:A4*2)</f></c>",
            "<mergeCells count=\"3\"><mergeCell ref=\"A2:B2\"/><mergeCell ref=\"A3:B3\"/><mergeCell ref=\"A4:B4\"/></mergeCells>",
        ],
    );
    assert!(!out.contains("shared"));
}

#[test]
fn a_filled_template_is_read_by_other_programs() {
    let bytes = filled(&made(&ledger()), &COLUMNS, persons(100)).bytes;
    let table = read(&bytes, None).unwrap();
    assert_eq!(
        (table.rows.len(), table.head_row, table.rows[100].total),
        (102, 2, true)
    );
    assert_eq!(
        said(&table.rows[99])[..4],
        ["100", "=甲 & 乙", "2026-11-28", "3"]
    );
    let plain = made(&ledger()).len();
    assert!(plain < bytes.len());
    // `Made` states a number of shared strings that the other reader would reserve.
    let sound = Made {
        sheet: &sheet_body(&bytes),
        strings: &["<t>示例</t>"],
        ..Made::default()
    }
    .with_shared(&format!("<sst xmlns=\"{MAIN}\"><si><t>示例</t></si></sst>"));
    let mut other: Xlsx<_> = open_workbook_from_rs(Cursor::new(sound)).unwrap();
    let range = other.worksheet_range("台账").unwrap();
    assert_eq!(
        range.get_value((101, 1)),
        Some(&Data::String("=甲 & 乙".to_owned()))
    );
    assert_eq!(range.get_value((101, 3)), Some(&Data::Float(3.0)));
    assert_eq!(
        other.worksheet_formula("台账").unwrap().get_value((102, 3)),
        Some(&"SUM(D3:D102)".to_owned())
    );
}

fn sheet_body(bytes: &[u8]) -> String {
    let xml = sheet(bytes);
    let start = xml.find('>').unwrap() + 1;
    xml[start..]
        .strip_suffix("</worksheet>")
        .unwrap()
        .to_owned()
}

#[test]
fn text_that_no_cell_could_hold_is_written_so_that_it_can() {
    let row = vec![
        Value::Text("_x0041_\r\u{1}]]>\"<"),
        Value::Text(""),
        Value::Integer(i64::MAX),
        Value::Decimal(f64::INFINITY),
    ];
    let out = filled(&made(&ledger()), &COLUMNS, vec![row]);
    holds(
        &sheet(&out.bytes),
        &[
            "_x005F_x0041__x000D_]]&gt;&quot;&lt;</t>",
            ">9223372036854775807</t>",
        ],
    );
    let table = read(&out.bytes, None).unwrap();
    assert_eq!(said(&table.rows[0])[1], "_x0041_\r]]>\"<");
    let long = "😀".repeat(CELL_CHARS_MAX);
    assert_eq!(
        filled(&made(&ledger()), &COLUMNS, vec![vec![Value::Text(&long)]]).cut,
        1
    );
    let template = Template::open(made(&ledger()), None).unwrap();
    let endless = std::iter::repeat_with(|| vec![Value::Integer(1)]);
    assert_eq!(
        template.fill(&["D"], endless).unwrap_err(),
        Refusal::TooManyRows
    );
    let heavy = "字".repeat(CELL_CHARS_MAX);
    let endless = std::iter::repeat_with(|| vec![Value::Text(&heavy)]);
    assert_eq!(
        template.fill(&["B"], endless).unwrap_err(),
        Refusal::TooMuch
    );
}
