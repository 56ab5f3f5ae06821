//! Writing, and reading back with other eyes.

use std::io::Cursor;

use calamine::{Data, Reader as _, Xlsx, open_workbook_from_rs};

use super::super::write::{Book, Csv, Value, WriteError, Written};
use super::*;

fn book(text: &str) -> Vec<u8> {
    let mut book = Book::begin(
        "台账[1]",
        &["姓名", "=件数"],
        "2026-11-28T01:30:00Z",
        &std::env::temp_dir(),
    )
    .unwrap();
    book.row(&[Value::Text(text), Value::Integer(12)]).unwrap();
    let mut bytes = Vec::new();
    let written = book
        .finish(&[("导出人", "测试"), ("=口径", "=1+1")], &mut bytes)
        .unwrap();
    assert_eq!(written, Written { rows: 1, cut: 0 });
    bytes
}

#[test]
fn a_workbook_has_typed_cells_a_frozen_head_and_its_explanation() {
    let heads = ["姓名", "件数", "金额", "日期", "时间", "办结", "长号"];
    let mut book = Book::begin(
        "台账",
        &heads,
        "2026-11-28T01:30:00Z",
        &std::env::temp_dir(),
    )
    .unwrap();
    let row = [
        Value::Text("𬱟㛃䶮😀"),
        Value::Integer(-12),
        Value::Decimal(12.5),
        Value::Date("2026-11-28"),
        Value::DateTime("2026-11-28T09:30"),
        Value::Bool(true),
        Value::Integer(1_234_567_890_123_456),
    ];
    book.row(&row).unwrap();
    book.row(&[
        Value::Empty,
        Value::Empty,
        Value::Decimal(f64::NAN),
        Value::Date("1899-01-01"),
        Value::DateTime("不详"),
        Value::Bool(false),
    ])
    .unwrap();
    assert!(matches!(
        book.row(&[Value::Empty; 8]),
        Err(WriteError::TooMuch)
    ));
    let mut bytes = Vec::new();
    book.finish(&[("导出人", "测试代表甲")], &mut bytes)
        .unwrap();
    let table = read(&bytes, None).unwrap();
    assert_eq!(
        (
            table.sheets.join("|").as_str(),
            table.heads.join("|").as_str()
        ),
        ("台账|说明", "姓名|件数|金额|日期|时间|办结|长号")
    );
    let first: Vec<_> = table.rows[0]
        .cells
        .iter()
        .map(|cell| (&*cell.text, cell.kind))
        .collect();
    assert_eq!(
        first,
        [
            ("𬱟㛃䶮😀", Kind::Text),
            ("-12", Kind::Number),
            ("12.5", Kind::Number),
            ("2026-11-28", Kind::Date),
            ("2026-11-28T09:30", Kind::Date),
            ("是", Kind::Text),
            ("1234567890123456", Kind::Text),
        ]
    );
    assert_eq!(
        said(&table.rows[1]),
        ["", "", "", "1899-01-01", "不详", "否"]
    );
    let sheet = part(&bytes, "xl/worksheets/sheet1.xml");
    for it in [
        "<pane ySplit=\"1\"",
        "state=\"frozen\"",
        "<autoFilter ref=\"A1:G3\"/>",
        "orientation=\"landscape\"",
        "paperSize=\"9\"",
        "fitToHeight=\"0\"",
        "第 &amp;P 页，共 &amp;N 页",
    ] {
        assert!(sheet.contains(it), "{it}");
    }
    assert!(part(&bytes, "xl/workbook.xml").contains("台账!$1:$1"));
    let styles = part(&bytes, "xl/styles.xml");
    assert!(styles.contains("宋体") && styles.contains("<b/>"));
    // Another reader sees the same.
    let mut other: Xlsx<_> = open_workbook_from_rs(Cursor::new(&bytes)).unwrap();
    let range = other.worksheet_range("台账").unwrap();
    assert_eq!(
        range.get_value((1, 0)),
        Some(&Data::String("𬱟㛃䶮😀".to_owned()))
    );
    assert_eq!(range.get_value((1, 1)), Some(&Data::Float(-12.0)));
    assert!(matches!(range.get_value((1, 3)), Some(Data::DateTime(it)) if it.as_f64() == 46_354.0));
    assert_eq!(
        other.worksheet_range("说明").unwrap().get_value((0, 1)),
        Some(&Data::String("测试代表甲".to_owned()))
    );
}

#[test]
fn text_in_a_workbook_is_never_a_formula() {
    for text in [
        "=HYPERLINK(\"http://x\",\"y\")",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "|cmd",
        "＝1",
        "＋1",
        "－1",
        "＠1",
        "{=1}",
        "http://example.org",
    ] {
        let bytes = book(text);
        let sheet = part(&bytes, "xl/worksheets/sheet1.xml");
        assert!(
            !sheet.contains("<f") && !sheet.contains("hyperlink"),
            "{text}"
        );
        assert!(!part(&bytes, "xl/worksheets/sheet2.xml").contains("<f"));
        let mut other: Xlsx<_> = open_workbook_from_rs(Cursor::new(&bytes)).unwrap();
        let range = other.worksheet_range("台账1").unwrap();
        assert!(
            matches!(range.get_value((1, 0)), Some(Data::String(it)) if it.trim() == text.trim()),
            "{text:?}"
        );
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let once = book("甲");
    assert_eq!(once, book("甲"));
    assert_ne!(once, book("乙"));
    let mut archive = ZipArchive::new(Cursor::new(&once)).unwrap();
    for index in 0..archive.len() {
        assert_eq!(
            archive.by_index(index).unwrap().last_modified(),
            Some(zip::DateTime::default())
        );
    }
    assert!(part(&once, "docProps/core.xml").contains("2026-11-28T01:30:00Z"));
    assert!(matches!(
        Book::begin("a", &[], "gestern", &std::env::temp_dir()),
        Err(WriteError::Time)
    ));
}

#[test]
fn a_text_that_no_cell_holds_is_cut_and_counted() {
    let mut book =
        Book::begin("", &["事由"], "2026-11-28T01:30:00Z", &std::env::temp_dir()).unwrap();
    book.row(&[Value::Text(&"😀".repeat(CELL_CHARS_MAX))])
        .unwrap();
    book.row(&[Value::Text("a\0b\u{1}\u{ffff}c")]).unwrap();
    book.row(&[Value::Text(&"字".repeat(CELL_CHARS_MAX))])
        .unwrap();
    let mut bytes = Vec::new();
    assert_eq!(
        book.finish(&[], &mut bytes).unwrap(),
        Written { rows: 3, cut: 1 }
    );
    let table = read(&bytes, None).unwrap();
    let cut = &table.rows[0].cells[0].text;
    assert!(cut.ends_with('…') && cut.encode_utf16().count() <= CELL_CHARS_MAX);
    assert_eq!(said(&table.rows[1]), ["abc"]);
    assert_eq!(table.rows[2].cells[0].text.chars().count(), CELL_CHARS_MAX);
}

#[test]
fn csv_is_written_for_excel_and_read_back_as_it_was() {
    let texts = [
        "=1+1",
        "+86 138",
        "-",
        "@a",
        "'=x",
        "＝1",
        "a,\"b\"\nc",
        "𬱟㛃䶮😀",
        "'甲'",
        "\t缩进",
        "普通",
    ];
    for encoding in [Encoding::Utf8Bom, Encoding::Gb18030] {
        let mut bytes = Vec::new();
        let mut csv = Csv::begin(&mut bytes, encoding, &["文字", "=数", "日期", "是否"]).unwrap();
        for text in texts {
            csv.row(&[
                Value::Text(text),
                Value::Integer(-5),
                Value::Date("2026-11-28"),
                Value::Bool(true),
            ])
            .unwrap();
        }
        csv.row(&[
            Value::Text(""),
            Value::Decimal(1.5),
            Value::Date("=2"),
            Value::DateTime("2026-11-28T09:30"),
        ])
        .unwrap();
        assert_eq!(csv.finish().unwrap().rows, texts.len() + 1);
        let (plain, found) = decode_text(&bytes).unwrap();
        assert_eq!(found, encoding);
        assert_eq!(plain.matches("\r\n").count(), texts.len() + 2);
        assert!(
            plain.contains("'=1+1,-5,")
                && plain.contains("'＝1")
                && plain.contains("1.50,'=2,2026-11-28 09:30"),
            "{plain}"
        );
        // No line and no cell begins with what a table program would work out.
        let table = read(&bytes, None).unwrap();
        assert_eq!(
            table.heads,
            ["文字", "'=数".trim_start_matches('\''), "日期", "是否"]
        );
        for (row, text) in table.rows.iter().zip(texts) {
            assert_eq!(said(row), [text, "-5", "2026-11-28", "是"]);
        }
    }
}
