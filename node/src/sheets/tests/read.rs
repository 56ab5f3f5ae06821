//! Reading.

use encoding_rs::GB18030;

use super::*;

fn refusal(bytes: &[u8]) -> Refusal {
    read(bytes, None).unwrap_err()
}

#[test]
fn a_ledger_under_a_title_is_read_with_its_merged_head_and_its_sums() {
    let sheet = format!(
        "<sheetData><row r=\"1\">{}</row><row r=\"2\">{}{}</row>\
         <row r=\"3\">{}{}{}<c r=\"D3\"/>{}</row><row r=\"4\">{}{}</row><row r=\"5\"/>\
         <row r=\"6\"><c r=\"A6\"><v>1</v></c>{}<c r=\"C6\" t=\"s\"><v>0</v></c>{}<c r=\"E6\" s=\"1\"><v>46354</v></c></row>\
         <row r=\"9\"><c r=\"A9\"><v>2.0</v></c>{}<c r=\"C9\" t=\"s\"><v>1</v></c></row>\
         <row r=\"10\">{}<c r=\"E10\"><f>COUNT(A6:A9)</f><v>2</v></c></row><row r=\"11\">{}</row></sheetData>\
         <mergeCells count=\"4\"><mergeCell ref=\"A1:E1\"/><mergeCell ref=\"A3:A4\"/><mergeCell ref=\"C3:D3\"/><mergeCell ref=\"B3:B4\"/><mergeCell ref=\"E3:E4\"/></mergeCells>",
        text("A1", "示例街道来访登记台账"),
        text("A2", "填报单位：示例社区"),
        text("E2", "填报日期：11月"),
        text("A3", "序号"),
        text("B3", "姓名"),
        text("C3", "联系方式"),
        text("E3", "登记\n日期"),
        text("C4", "电话"),
        text("D4", "地址"),
        text("B6", "　甲 "),
        text("D6", "一号 楼"),
        text("B9", "乙"),
        text("A10", "合　计"),
        text("A11", "填表人：丙"),
    );
    let made = Made {
        sheet: &sheet,
        strings: &[
            "<t>13800138000</t>",
            "<r><t>138</t></r><rPh><t>x</t></rPh><r><t xml:space=\"preserve\"> 0013</t></r>",
        ],
        ..Made::default()
    };
    let table = read(&made.bytes(), None).unwrap();
    assert_eq!(table.form, Form::Xlsx);
    assert_eq!(table.sheets, ["台账", "说明"]);
    assert_eq!(table.head_row, 4);
    assert_eq!(
        table.heads,
        ["序号", "姓名", "联系方式 电话", "联系方式 地址", "登记日期"]
    );
    let numbers: Vec<_> = table
        .rows
        .iter()
        .map(|row| (row.number, row.total))
        .collect();
    assert_eq!(numbers, [(6, false), (9, false), (10, true), (11, false)]);
    assert_eq!(
        said(&table.rows[0]),
        ["1", "甲", "13800138000", "一号 楼", "2026-11-28"]
    );
    assert_eq!(said(&table.rows[1]), ["2", "乙", "138 0013"]);
    let kinds: Vec<_> = table.rows[0].cells.iter().map(|cell| cell.kind).collect();
    assert_eq!(
        kinds,
        [Kind::Number, Kind::Text, Kind::Text, Kind::Text, Kind::Date]
    );
    assert_eq!(said(&table.rows[2]), ["合　计", "", "", "", "2"]);
}

#[test]
fn a_head_of_two_rows_is_one_head_however_its_cells_are_merged() {
    let two = |rows: &str| {
        let table = read(rows.as_bytes(), None).unwrap();
        (table.head_row, table.heads)
    };
    // As a table program writes csv: nothing is merged.
    let (row, heads) = two("序号,接待情况,,,备注\n,日期,来访人次,代表,\n1,2026-03-05,12,甲,\n");
    assert_eq!(row, 2);
    let named = ["接待情况 日期", "接待情况 来访人次", "接待情况 代表"];
    assert_eq!(heads[1..4], named);
    assert_eq!((&*heads[0], &*heads[4]), ("序号", "备注"));
    // The row below has most of the names.
    let (row, heads) = two(
        "代表接待台账\n序号,接待情况,,,办理情况,,\n,日期,来访人次,代表,单位,结果,日期\n1,2026-03-05,12,甲,乙,丙,丁\n",
    );
    assert_eq!(row, 3);
    assert_eq!(
        (&*heads[0], &*heads[6]),
        ("序号", "办理情况 日期"),
        "{heads:?}"
    );
    // A row of data is none of the head, whatever is blank in it; a column without a name is called by its letter.
    for (rows, heads) in [
        (
            "姓名,,备注\n甲,东社区,\n乙,西社区,无\n",
            ["姓名", "B列", "备注"],
        ),
        (
            "姓名,地址,备注\n,东社区,\n乙,西社区,无\n",
            ["姓名", "地址", "备注"],
        ),
        (
            "序号,联系方式,\n,000,一号楼\n2,000,二号楼\n",
            ["序号", "联系方式", "C列"],
        ),
    ] {
        assert_eq!(two(rows), (1, heads.map(str::to_owned).to_vec()));
    }
    // Merged over columns and not over rows.
    let sheet = format!(
        "<sheetData><row r=\"1\">{}{}<c r=\"C1\"/></row><row r=\"2\">{}{}</row><row r=\"3\">{}{}{}</row></sheetData>\
         <mergeCells count=\"1\"><mergeCell ref=\"B1:C1\"/></mergeCells>",
        text("A1", "姓名"),
        text("B1", "联系方式"),
        text("B2", "电话"),
        text("C2", "地址"),
        text("A3", "甲"),
        text("B3", "000"),
        text("C3", "一号楼"),
    );
    let made = Made {
        sheet: &sheet,
        ..Made::default()
    };
    let table = read(&made.bytes(), None).unwrap();
    assert_eq!(table.head_row, 2);
    assert_eq!(table.heads, ["姓名", "联系方式 电话", "联系方式 地址"]);
}

#[test]
fn each_kind_of_cell_is_read_as_what_it_is() {
    let sheet = "<sheetData><row><c t=\"inlineStr\"><is><t>甲</t></is></c><c t=\"inlineStr\"><is><t>乙</t></is></c></row><row>\
         <c><v>12.50</v></c><c s=\"2\"><v>0.125</v></c><c s=\"3\"><v>46354.395833333336</v></c><c t=\"b\"><v>1</v></c><c t=\"e\"><v>#N/A</v></c>\
         <c t=\"str\"><f>A1&amp;\"x\"</f><v>甲x_x000D_</v></c><c><f>1+1</f></c><c t=\"d\"><v>2026-11-28T00:00:00Z</v></c><c><v>1.1E+17</v></c>\
         <c t=\"inlineStr\"><is><t>１２ ３</t></is></c><c t=\"n\"><v/></c><c r=\"N2\" t=\"inlineStr\"><is><t>&lt;&#20013;&amp;<![CDATA[<b>]]></t></is></c></row></sheetData>";
    let table = read(
        &Made {
            sheet,
            ..Made::default()
        }
        .bytes(),
        None,
    )
    .unwrap();
    let cells: Vec<_> = table.rows[0]
        .cells
        .iter()
        .map(|cell| (&*cell.text, cell.kind))
        .collect();
    assert_eq!(table.rows[0].number, 2);
    assert_eq!(
        cells,
        [
            ("12.5", Kind::Number),
            ("12.5%", Kind::Number),
            ("2026-11-28T09:30", Kind::Date),
            ("TRUE", Kind::Bool),
            ("#N/A", Kind::Refused),
            ("甲x", Kind::Text),
            ("#UNCOMPUTED!", Kind::Refused),
            ("2026-11-28", Kind::Date),
            ("110000000000000000", Kind::Number),
            ("１２ ３", Kind::Text),
            ("", Kind::Empty),
            ("", Kind::Empty),
            ("", Kind::Empty),
            ("<中&<b>", Kind::Text),
        ]
    );
    let sheet = "<sheetData><row><c t=\"inlineStr\"><is><t>日</t></is></c></row><row><c s=\"1\"><v>44892</v></c></row></sheetData>";
    let table = read(
        &Made {
            sheet,
            date_1904: true,
            ..Made::default()
        }
        .bytes(),
        None,
    )
    .unwrap();
    assert_eq!(said(&table.rows[0]), ["2026-11-28"]);
}

#[test]
fn the_first_sheet_with_rows_is_taken_or_the_one_that_is_named() {
    let second = format!(
        "<sheetData><row>{}{}</row><row>{}</row></sheetData>",
        text("A1", "名"),
        text("B1", "量"),
        text("A2", "甲")
    );
    let cover = format!("<sheetData><row>{}</row></sheetData>", text("A1", "封面"));
    let bytes = Made {
        sheet: &cover,
        second: &second,
        ..Made::default()
    }
    .bytes();
    let table = read(&bytes, None).unwrap();
    assert_eq!(
        (table.sheet, table.heads.as_slice()),
        (1, ["名".to_owned(), "量".to_owned()].as_slice())
    );
    assert_eq!(read(&bytes, Some("台账")).unwrap().heads, ["封面"]);
    assert_eq!(read(&bytes, Some("没有")), Err(Refusal::NoSuchSheet));
    assert_eq!(refusal(&Made::default().bytes()), Refusal::NoRows);
}

#[test]
fn what_a_workbook_states_is_not_believed() {
    // `Made` states 4,000,000,000,000 shared strings: another reader reserves them and dies.
    let sheet = "<dimension ref=\"A1:XFD1048576\"/><sheetData><row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c></row><row r=\"1048576\" spans=\"1:16384\"><c t=\"s\"><v>0</v></c></row></sheetData>";
    let table = read(
        &Made {
            sheet,
            strings: &["<t>甲</t>"],
            ..Made::default()
        }
        .bytes(),
        None,
    )
    .unwrap();
    assert_eq!(table.rows[0].number, 1_048_576);
    for (sheet, expected) in [
        (
            "<sheetData><row><c t=\"s\"><v>9</v></c></row></sheetData>",
            Refusal::Damaged,
        ),
        (
            "<sheetData><row><c t=\"s\"><v>-1</v></c></row></sheetData>",
            Refusal::Damaged,
        ),
        (
            "<sheetData><row><c r=\"SS1\"><v>9</v></c></row></sheetData>",
            Refusal::TooManyColumns { row: 1 },
        ),
        (
            "<sheetData><row r=\"4294967295\"><c><v>9</v></c></row><row><c r=\"XFD3\"><v>9</v></c></row></sheetData>",
            Refusal::Damaged,
        ),
        (
            "<sheetData><row><c><v>9</v></row></sheetData>",
            Refusal::Damaged,
        ),
        ("<sheetData><row><c><v>9", Refusal::Damaged),
        (
            "<sheetData><row><c t=\"inlineStr\"><is><t>&nothing;</t></is></c></row></sheetData>",
            Refusal::Damaged,
        ),
    ] {
        assert_eq!(
            refusal(
                &Made {
                    sheet,
                    ..Made::default()
                }
                .bytes()
            ),
            expected,
            "{sheet}"
        );
    }
    let long = format!(
        "<sheetData><row>{}</row></sheetData>",
        text("B1", &"字".repeat(CELL_CHARS_MAX + 1))
    );
    assert_eq!(
        refusal(
            &Made {
                sheet: &long,
                ..Made::default()
            }
            .bytes()
        ),
        Refusal::CellTooLong { row: 1, column: 2 }
    );
    let fits = format!(
        "<sheetData><row>{}</row></sheetData>",
        text("B1", &"字".repeat(CELL_CHARS_MAX))
    );
    assert!(
        read(
            &Made {
                sheet: &fits,
                ..Made::default()
            }
            .bytes(),
            None
        )
        .is_ok()
    );
    let endless = format!(
        "<sheetData><row>{}</row></sheetData>",
        text("B1", &"字".repeat(CELL_CHARS_MAX * 2))
    );
    assert!(matches!(
        refusal(
            &Made {
                sheet: &endless,
                ..Made::default()
            }
            .bytes()
        ),
        Refusal::CellTooLong { .. }
    ));
}

#[test]
fn entities_are_not_expanded_and_document_types_are_refused() {
    let laughs = "<!DOCTYPE sst [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\"><!ENTITY c SYSTEM \"file:///etc/hostname\">]><sst><si><t>&b;&c;</t></si></sst>";
    let sheet = "<sheetData><row><c t=\"s\"><v>0</v></c></row></sheetData>";
    assert_eq!(
        refusal(
            &Made {
                sheet,
                ..Made::default()
            }
            .with_shared(laughs)
        ),
        Refusal::Damaged
    );
}

#[test]
fn a_file_that_unpacks_to_far_more_than_it_is_is_refused() {
    // Under the bound of unpacked bytes, a string that all cells refer to.
    let shared = format!("<t>{}</t>", "字".repeat(CELL_CHARS_MAX));
    let cells = "<c t=\"s\"><v>0</v></c>".repeat(100);
    let sheet = format!(
        "<sheetData>{}</sheetData>",
        format!("<row>{cells}</row>").repeat(2_000)
    );
    let bytes = Made {
        sheet: &sheet,
        strings: &[&shared],
        ..Made::default()
    }
    .bytes();
    assert!(bytes.len() < 100_000);
    assert_eq!(refusal(&bytes), Refusal::TooMuch);
    // Far right in each of many rows.
    let sheet = format!(
        "<sheetData>{}</sheetData>",
        (1..=20_000)
            .map(|row| format!("<row r=\"{row}\"><c r=\"SR{row}\"><v>1</v></c></row>"))
            .collect::<String>()
    );
    assert_eq!(
        refusal(
            &Made {
                sheet: &sheet,
                ..Made::default()
            }
            .bytes()
        ),
        Refusal::TooMuch
    );
    let sheet = format!(
        "<sheetData>{}</sheetData>",
        "<row><c><v>1</v></c></row>".repeat(ROWS_MAX + 1)
    );
    assert_eq!(
        refusal(
            &Made {
                sheet: &sheet,
                ..Made::default()
            }
            .bytes()
        ),
        Refusal::TooManyRows
    );
    // Over it.
    let sheet = format!(
        "<sheetData><!--{}--></sheetData>",
        " ".repeat(257 * 1024 * 1024)
    );
    let bytes = Made {
        sheet: &sheet,
        ..Made::default()
    }
    .bytes();
    assert!(bytes.len() < 512 * 1024);
    assert_eq!(refusal(&bytes), Refusal::UnpacksTooLarge);
    // One tag of very many attributes: looking for doubles among them would take the square of their number.
    let sheet = format!(
        "<sheetData><row><c {}><v>1</v></c></row></sheetData>",
        (0..400_000)
            .map(|at| format!("a{at}=\"\" "))
            .collect::<String>()
    );
    assert!(
        read(
            &Made {
                sheet: &sheet,
                ..Made::default()
            }
            .bytes(),
            None
        )
        .is_ok()
    );
    let deep = format!("<sheetData><row><c>{}", "<x>".repeat(1_000_000));
    assert_eq!(
        refusal(
            &Made {
                sheet: &deep,
                ..Made::default()
            }
            .bytes()
        ),
        Refusal::Damaged
    );
}

#[test]
fn too_many_parts_and_two_of_one_name_are_refused() {
    let entries = ENTRIES.repeat(PARTS_MAX + 1);
    assert_eq!(
        refusal(&[b"PK\x03\x04", entries.as_bytes()].concat()),
        Refusal::UnpacksTooLarge
    );
    assert_eq!(
        refusal(&packed(&[
            ("[Content_Types].xml", ""),
            ("[content_types].XML", "")
        ])),
        Refusal::Damaged
    );
}

const ENTRIES: &str = "PK\x01\x02";

#[test]
fn what_is_no_table_is_refused_by_name() {
    assert_eq!(refusal(b"PK\x03\x04broken"), Refusal::Damaged);
    assert_eq!(refusal(&packed(&[("other.xml", "")])), Refusal::NotATable);
    assert_eq!(
        refusal(&packed(&[
            ("[Content_Types].xml", TYPES),
            ("word/document.xml", "")
        ])),
        Refusal::NotATable
    );
    assert_eq!(
        refusal(&packed(&[
            ("[Content_Types].xml", TYPES),
            ("xl/workbook.bin", "")
        ])),
        Refusal::OldForm
    );
    assert_eq!(
        refusal(&packed(&[("[Content_Types].xml", TYPES)])),
        Refusal::Damaged
    );
    assert_eq!(refusal(b"%PDF-1.7"), Refusal::NotATable);
    assert_eq!(refusal(b"<html><body><table><tr><td>1"), Refusal::WebPage);
    assert_eq!(
        refusal(&[0x09, 0x08, 0x08, 0x00, 0x00, 0x05]),
        Refusal::OldForm
    );
    assert_eq!(
        refusal(&[0x89, b'P', b'N', b'G', 0, 0xff]),
        Refusal::UnknownEncoding
    );
    assert_eq!(refusal(b""), Refusal::NoRows);
    assert_eq!(refusal(b" ,\t\r\n\n"), Refusal::NoRows);
    assert_eq!(
        refusal(&vec![b'a'; FILE_BYTES_MAX + 1]),
        Refusal::FileTooLarge
    );
    let whole = Made {
        sheet: "<sheetData><row><c><v>1</v></c></row></sheetData>",
        ..Made::default()
    }
    .bytes();
    for end in (0..whole.len()).step_by(7) {
        assert!(read(&whole[..end], None).is_err(), "cut at {end}");
    }
}

#[test]
fn text_is_read_in_every_encoding_and_with_every_separator() {
    for between in [",", ";", "\t"] {
        let lines = [
            "某街道台账",
            "",
            "姓名;电话;事由",
            "甲;13800138000;\"说：\"\"好\"\"\n两行\"",
            "",
            "",
            "乙;'=1;'+86",
            ";;",
            "合计;2",
        ];
        let text = lines.join("\r\n").replace(';', between);
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [
            text.as_bytes().to_vec(),
            GB18030.encode(&text).0.into_owned(),
            [&[0xff, 0xfe], utf16.as_slice()].concat(),
            utf16,
        ] {
            let table = read(&bytes, None).unwrap();
            assert!(
                matches!(table.form, Form::Text(_, it) if between.starts_with(it)),
                "{:?}",
                table.form
            );
            assert_eq!(
                (table.head_row, table.heads.join("|").as_str()),
                (3, "姓名|电话|事由")
            );
            let rows: Vec<_> = table
                .rows
                .iter()
                .map(|row| (row.number, said(row).join("|"), row.total))
                .collect();
            assert_eq!(
                rows[0],
                (4, "甲|13800138000|说：\"好\"\n两行".to_owned(), false)
            );
            assert_eq!(rows[1], (7, "乙|=1|+86".to_owned(), false));
            assert_eq!(rows[2], (9, "合计|2".to_owned(), true));
        }
    }
    let table = read("sep=;\r\n姓名;量\r\n甲;1,5\r\n".as_bytes(), None).unwrap();
    assert_eq!(
        (table.head_row, table.rows[0].number, said(&table.rows[0])),
        (2, 3, vec!["甲", "1,5"])
    );
    assert_eq!(read("姓名\n甲\n".as_bytes(), None).unwrap().heads, ["姓名"]);
}

#[test]
fn quotes_without_end_and_very_many_cells_are_refused_or_harmless() {
    let open = format!("姓名,事由\n甲,\"{}", "字".repeat(CELL_CHARS_MAX + 1));
    assert_eq!(
        refusal(open.as_bytes()),
        Refusal::CellTooLong { row: 2, column: 2 }
    );
    assert_eq!(
        said(
            &read("姓名,事由\n甲,\"没有完\n乙,丙".as_bytes(), None)
                .unwrap()
                .rows[0]
        ),
        ["甲", "没有完\n乙,丙"]
    );
    let wide = format!("a,b\n1,{}2", ",".repeat(1_000_000));
    assert_eq!(refusal(wide.as_bytes()), Refusal::TooManyColumns { row: 2 });
    let empties = format!("a,b\n1,2{}\n", ",".repeat(1_000_000));
    assert_eq!(
        said(&read(empties.as_bytes(), None).unwrap().rows[0]),
        ["1", "2"]
    );
    assert_eq!(
        refusal(&"a\n".repeat(ROWS_MAX + 1).into_bytes()),
        Refusal::TooManyRows
    );
    assert!(read("\"".repeat(1_000_000).as_bytes(), None).is_err());
    // Blank lines between.
    let blank = format!("a,b\n{}1,2\n", "\n".repeat(100_000));
    assert_eq!(
        read(blank.as_bytes(), None).unwrap().rows[0].number,
        100_002
    );
}

#[test]
fn a_row_that_was_filtered_out_is_read_and_told_apart() {
    let sheet = "<sheetData><row><c t=\"inlineStr\"><is><t>内容</t></is></c></row><row hidden=\"1\"><c t=\"inlineStr\"><is><t>甲</t></is></c></row>\
         <row hidden=\"0\"><c t=\"inlineStr\"><is><t>乙</t></is></c></row><row r=\"7\" hidden=\"true\"><c t=\"inlineStr\"><is><t>丙</t></is></c></row></sheetData>";
    let made = Made {
        sheet,
        ..Made::default()
    };
    let table = read(&made.bytes(), None).unwrap();
    let rows = table.rows.iter().map(|row| (said(row)[0], row.hidden));
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows, [("甲", true), ("乙", false), ("丙", true)]);
}
