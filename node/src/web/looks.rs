//! What looks wrong although it is allowed: a telephone number that lacks a digit, the number of an identity or bank card among
//! somebody's words. It is said beside the field and refuses nothing: whoever types knows more than a rule does.
//!
//! Card numbers are told from others by their check digit (GB 11643-1999, which is ISO 7064 MOD 11-2; ISO/IEC 7812-1, which is Luhn).

use lianxin_protocol::catalogue::{Field, FieldType};
use lianxin_protocol::text;

use crate::drafts::Typed;

/// Digits of a mobile phone's number, and of a number with its area code.
const MOBILE: usize = 11;
const WITH_AREA: std::ops::RangeInclusive<usize> = 11..=12;
/// Digits of a number without its area code.
const LOCAL: std::ops::RangeInclusive<usize> = 7..=8;
/// Digits of a bank card's number.
const BANK: std::ops::RangeInclusive<usize> = 16..=19;

/// What stands before an extension.
const EXTENSION: [char; 4] = ['x', '#', '*', '转'];

/// What looks wrong in what was typed into these fields: the field's key, and the id of what is said of it.
pub(super) fn of<'a>(
    fields: impl Iterator<Item = &'a Field>,
    typed: &Typed,
) -> Vec<(&'a str, &'static str)> {
    let mut found = Vec::new();
    for field in fields.filter(|field| matches!(field.kind, FieldType::Text { .. })) {
        let values = typed.get(&field.key).into_iter().flatten();
        for value in values {
            let value = text::plain(value);
            let said = if field.plain {
                phone(&value)
            } else {
                card(&value)
            };
            found.extend(said.map(|said| (field.key.as_str(), said)));
        }
    }
    found
}

/// What is wrong with telephone numbers; several stand apart by a comma, a slash or a word.
fn phone(text: &str) -> Option<&'static str> {
    let apart = |c: char| {
        matches!(c, '/' | ',' | ';' | '、' | '\n') || (c.is_alphabetic() && !EXTENSION.contains(&c))
    };
    let numbers = text.split(apart).map(str::trim);
    let numbers: Vec<_> = numbers.filter(|it| !it.is_empty()).collect();
    if numbers.is_empty() && !text::is_blank(text) {
        return Some("look-phone");
    }
    numbers.into_iter().find_map(one_phone)
}

fn one_phone(number: &str) -> Option<&'static str> {
    // What follows is an extension.
    let number = number.split(EXTENSION).next().unwrap_or_default();
    let known = |c: char| c.is_ascii_digit() || matches!(c, '-' | ' ' | '(' | ')' | '+' | '.');
    if !number.chars().all(known) {
        return Some("look-phone");
    }
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let digits = match number.trim_start().strip_prefix('+') {
        Some(_) => digits.strip_prefix("86").unwrap_or(&digits),
        None => digits.strip_prefix("0086").unwrap_or(&digits),
    };
    let len = digits.len();
    let mut first = digits.chars();
    let (least, most) = match (first.next(), first.next()) {
        (Some('1'), Some('3'..='9')) => (MOBILE, MOBILE),
        (Some('0'), _) => (*WITH_AREA.start(), *WITH_AREA.end()),
        // 400 and 800 are called from everywhere.
        (Some('4' | '8'), Some('0')) if len > *LOCAL.end() => (10, 10),
        (Some('2'..='9'), _) => (*LOCAL.start(), *LOCAL.end()),
        _ => return Some("look-phone"),
    };
    match len {
        _ if (least..=most).contains(&len) => None,
        _ if len + 1 == least => Some("look-phone-short"),
        _ if len == most + 1 => Some("look-phone-long"),
        _ => Some("look-phone"),
    }
}

/// Whether the number of an identity or bank card stands in a text.
fn card(text: &str) -> Option<&'static str> {
    let runs: Vec<String> = runs(text);
    if runs.iter().any(|run| is_identity(run)) {
        return Some("look-identity");
    }
    runs.iter().any(|run| is_bank(run)).then_some("look-bank")
}

/// Runs of digits, in which single spaces and hyphens count for nothing; an X may end one.
fn runs(text: &str) -> Vec<String> {
    let mut runs = vec![String::new()];
    let mut gap = false;
    for c in text.chars() {
        let Some(run) = runs.last_mut() else { break };
        match c {
            '0'..='9' => {
                run.push(c);
                gap = false;
            }
            'X' | 'x' if run.len() == 17 => {
                run.push('X');
                gap = true;
            }
            ' ' | '-' if !gap && !run.is_empty() => gap = true,
            _ => {
                gap = false;
                if !run.is_empty() {
                    runs.push(String::new());
                }
            }
        }
    }
    runs
}

/// 18 places with a birthday and the right check character.
fn is_identity(run: &str) -> bool {
    /// Weights of the places, and the check characters by the remainder.
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];
    let part = |from: usize, until: usize| -> u32 {
        let part = run.get(from..until).and_then(|it| it.parse().ok());
        part.unwrap_or(0)
    };
    let born = (1850..2150).contains(&part(6, 10))
        && (1..=12).contains(&part(10, 12))
        && (1..=31).contains(&part(12, 14));
    let digits = run.chars().filter_map(|c| c.to_digit(10));
    let sum: u32 = digits
        .zip(WEIGHTS)
        .map(|(digit, weight)| digit * weight)
        .sum();
    let check = CHECKS.iter().zip(0..).find(|(_, at)| sum % 11 == *at);
    run.len() == 18 && born && check.is_some_and(|(check, _)| run.ends_with(*check))
}

/// As long as a bank card's number, beginning as one, with the right check digit.
fn is_bank(run: &str) -> bool {
    let digits: Vec<u32> = run.chars().filter_map(|c| c.to_digit(10)).collect();
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .zip(0_u32..)
        .map(|(digit, at)| if at % 2 == 1 { doubled(*digit) } else { *digit })
        .sum();
    BANK.contains(&run.len())
        && run.starts_with(['3', '4', '5', '6', '9'])
        && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lianxin_protocol::catalogue::Catalogue;

    #[test]
    fn a_telephone_number_that_lacks_a_digit_is_seen() {
        for right in [
            "13800000001",
            "138 0000 0001",
            "+86 13800000001",
            "000-0000-0001",
            "0512-65000000",
            "(021)65000000",
            "65000000",
            "400-800-8000",
            "65000000转801",
            "13800000001/13900000002",
            "65000000x12",
            "010-65000000、13800000001",
        ] {
            assert_eq!(phone(right), None, "{right}");
        }
        for (wrong, said) in [
            ("1380000000", "look-phone-short"),
            ("138000000011", "look-phone-long"),
            ("000-0000-000", "look-phone-short"),
            ("不便提供", "look-phone"),
            ("650", "look-phone"),
            ("13800000001、1390000000", "look-phone-short"),
            ("12345678901", "look-phone"),
        ] {
            assert_eq!(phone(wrong), Some(said), "{wrong}");
        }
        assert_eq!(phone(""), None);
    }

    #[test]
    fn card_numbers_are_told_by_their_check_digit() {
        // The example of GB 11643, and numbers made up to fit it.
        for identity in [
            "11010519491231002X",
            "440524188001010014",
            "是110105 19491231 002x的",
        ] {
            assert_eq!(
                card(&text::plain(identity)),
                Some("look-identity"),
                "{identity}"
            );
        }
        for bank in [
            "6222020000000000000",
            "卡号６２２２ ０２００ ００００ ００００ ０００ 退到",
        ] {
            assert_eq!(card(&text::plain(bank)), Some("look-bank"), "{bank}");
        }
        assert_eq!(card("4111 1111 1111 1111"), Some("look-bank"));
        for other in [
            "110105194912310021",
            "4111111111111112",
            "YJ-SLJD-EM1A-2026-00001-71",
            "2026年11月27日 138 0000 0001",
            "3号楼二单元",
            "",
            "1234567890123456789",
        ] {
            assert_eq!(card(other), None, "{other}");
        }
    }

    #[test]
    fn each_field_is_looked_at_as_what_it_is() {
        let kind = Catalogue::current().kind("opinion").unwrap();
        let typed =
            |key: &str, value: &str| Typed::from([(key.to_owned(), vec![value.to_owned()])]);
        let looks = |typed: &Typed| of(kind.fields.iter(), typed).len();
        assert_eq!(looks(&typed("person.phone", "1380000000")), 1);
        assert_eq!(looks(&typed("body", "1380000000")), 0);
        assert_eq!(looks(&typed("body", "我的证 11010519491231002X")), 1);
        assert_eq!(looks(&typed("channel", "11010519491231002X")), 0);
    }
}
