//! Letters and forms.

use std::collections::BTreeMap;

use super::super::docx::fill_docx;
use super::*;

fn document(body: &str) -> Vec<u8> {
    let xml = |body: &str| {
        format!(
            "<?xml version=\"1.0\"?><w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>"
        )
    };
    packed(&[
        ("[Content_Types].xml", TYPES),
        ("word/document.xml", &xml(body)),
        (
            "word/header1.xml",
            "<w:hdr xmlns:w=\"w\"><w:p><w:r><w:t>{{单位}}</w:t></w:r></w:p></w:hdr>",
        ),
        ("word/media/image1.png", "bytes"),
    ])
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The document's body after it was filled, what was unknown, and what was not used.
fn filled(body: &str, pairs: &[(&str, &str)]) -> (String, Vec<String>, Vec<String>) {
    let out = fill_docx(&document(body), &values(pairs)).unwrap();
    let xml = part(&out.bytes, "word/document.xml");
    let body = xml
        .split_once("<w:body>")
        .unwrap()
        .1
        .split_once("</w:body>")
        .unwrap()
        .0;
    (body.to_owned(), out.unknown, out.unused)
}

#[test]
fn a_place_is_found_over_several_runs_and_looks_like_its_first() {
    let body = "<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>致{</w:t></w:r><w:proofErr w:type=\"x\"/><w:r><w:t>{姓</w:t></w:r><w:r><w:t xml:space=\"preserve\">名}}同志 【事</w:t></w:r><w:r><w:t>由】：</w:t></w:r></w:p>";
    let (after, unknown, unused) = filled(
        body,
        &[
            ("姓名", "甲<&乙"),
            ("事由", "一\n二"),
            ("单位", "示例街道"),
            ("多余", "x"),
        ],
    );
    assert_eq!(
        after,
        "<w:p><w:r><w:rPr><w:b/></w:rPr><w:t xml:space=\"preserve\">致甲&lt;&amp;乙</w:t></w:r><w:proofErr w:type=\"x\"/><w:r><w:t xml:space=\"preserve\"></w:t></w:r>\
         <w:r><w:t xml:space=\"preserve\">同志 一</w:t><w:br/><w:t xml:space=\"preserve\">二</w:t></w:r><w:r><w:t xml:space=\"preserve\">：</w:t></w:r></w:p>"
    );
    assert_eq!((unknown, unused), (vec![], vec!["多余".to_owned()]));
}

#[test]
fn what_is_not_concerned_stays_byte_for_byte() {
    let body = "<w:p ><w:r><w:t  a='1'>{{没有}} 【2026】3号 【】 {{}} {{ 名 }}&#20013;</w:t></w:r></w:p><w:p><w:r><w:t/></w:r></w:p>";
    let (after, unknown, _) = filled(body, &[]);
    assert_eq!(after, body);
    assert_eq!(unknown, ["单位", "名", "没有"]);
    let before = document(body);
    let out = fill_docx(&before, &values(&[("单位", "示例")])).unwrap();
    assert_eq!(
        part(&out.bytes, "word/document.xml"),
        part(&before, "word/document.xml")
    );
    assert!(part(&out.bytes, "word/header1.xml").contains(">示例</w:t>"));
    assert_eq!(part(&out.bytes, "word/media/image1.png"), "bytes");
    assert_eq!(
        fill_docx(&before, &values(&[])).unwrap().bytes,
        fill_docx(&before, &values(&[])).unwrap().bytes
    );
}

#[test]
fn bookmarks_and_controls_are_filled() {
    let body = "<w:p><w:r><w:rPr><w:i/></w:rPr><w:t>编号：</w:t></w:r><w:bookmarkStart w:id=\"1\" w:name=\"编号\"/><w:bookmarkEnd w:id=\"1\"/>\
         <w:bookmarkStart w:id=\"2\" w:name=\"日期\"/><w:r><w:t>某年</w:t></w:r><w:r><w:t>某月</w:t></w:r><w:bookmarkEnd w:id=\"2\"/></w:p>\
         <w:sdt><w:sdtPr><w:rPr><w:b/></w:rPr><w:alias w:val=\"甲\"/><w:tag w:val=\"答复\"/><w:showingPlcHdr/><w:dataBinding w:xpath=\"/a\"/></w:sdtPr><w:sdtContent><w:p><w:r><w:rPr><w:rStyle w:val=\"a3\"/><w:sz w:val=\"32\"/></w:rPr><w:t>单击此处</w:t></w:r></w:p><w:p><w:r><w:t>输入</w:t></w:r></w:p></w:sdtContent></w:sdt>";
    let (after, unknown, unused) = filled(
        body,
        &[
            ("编号", "〔2026〕3号"),
            ("日期", "2026年"),
            ("答复", "已办 {{编号}}"),
        ],
    );
    assert!(after.contains("<w:bookmarkStart w:id=\"1\" w:name=\"编号\"/><w:r><w:rPr><w:i/></w:rPr><w:t xml:space=\"preserve\">〔2026〕3号</w:t></w:r><w:bookmarkEnd w:id=\"1\"/>"), "{after}");
    assert!(after.contains("<w:r><w:t xml:space=\"preserve\">2026年</w:t></w:r><w:r><w:t xml:space=\"preserve\"></w:t></w:r><w:bookmarkEnd w:id=\"2\"/>"), "{after}");
    // What a value says is not filled in its turn, and the hint's look and the source of another value are gone.
    assert!(
        after.contains(
            "<w:rPr><w:sz w:val=\"32\"/></w:rPr><w:t xml:space=\"preserve\">已办 {{编号}}</w:t>"
        ),
        "{after}"
    );
    assert!(
        !after.contains("showingPlcHdr")
            && !after.contains("dataBinding")
            && !after.contains("输入")
    );
    assert_eq!((unknown, unused), (vec!["单位".to_owned()], vec![]));
}

#[test]
fn a_bookmark_over_paragraphs_is_reported() {
    let body = "<w:p><w:bookmarkStart w:id=\"1\" w:name=\"长\"/><w:r><w:t>一</w:t></w:r></w:p><w:p><w:r><w:t>二</w:t></w:r><w:bookmarkEnd w:id=\"1\"/></w:p>";
    let (after, unknown, unused) = filled(body, &[("长", "x"), ("单位", "y")]);
    assert_eq!(after, body);
    assert_eq!(
        (unknown, unused),
        (vec!["长".to_owned()], vec!["长".to_owned()])
    );
}

#[test]
fn a_text_box_within_a_paragraph_has_places_of_its_own() {
    let body = "<w:p><w:r><w:t>{{</w:t></w:r><w:r><w:txbxContent><w:p><w:r><w:t>{{名}}</w:t></w:r></w:p></w:txbxContent></w:r><w:r><w:t>名}}</w:t></w:r></w:p>";
    let (after, _, _) = filled(body, &[("名", "甲"), ("单位", "")]);
    assert_eq!(after.matches('甲').count(), 2);
}

#[test]
fn what_is_no_letter_is_refused() {
    let refusal = |bytes: &[u8]| fill_docx(bytes, &BTreeMap::new()).unwrap_err();
    assert_eq!(refusal(b"text"), Refusal::NotATable);
    assert_eq!(refusal(&[0xd0, 0xcf, 0x11, 0xe0]), Refusal::OldForm);
    assert_eq!(refusal(&packed(&[("other.xml", "")])), Refusal::NotATable);
    assert_eq!(refusal(&document("<w:p></w:r>")), Refusal::Damaged);
    assert_eq!(
        refusal(&document("<!DOCTYPE a [<!ENTITY b \"c\">]><w:p/>")),
        Refusal::Damaged
    );
    assert_eq!(
        refusal(&packed(&[(
            "word/document.xml",
            &" ".repeat(257 * 1024 * 1024)
        )])),
        Refusal::UnpacksTooLarge
    );
}
