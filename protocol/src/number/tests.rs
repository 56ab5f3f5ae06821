//! Numbers: the published vectors, and every single slip of the pen on them.

use super::*;

type Tested = Result<(), NumberError>;

const VECTORS: [&str; 22] = [
    "YJ-SLJD-EM1A-2026-00001-97",
    "YJ-SLJD-EM1A-2026-00042-71",
    "YJ-SLJD-EM1B-2026-00001-92",
    "LF-SLJD-LS1A-2026-00003-90",
    "JY-SLJD-HUBA-2026-00015-64",
    "JD-SLJD-EM1A-2026-00004-20",
    "SC-SLJD-HUBA-2026-00003-05",
    "YJ-SLJD-CZ1A-2026-00007-96",
    "YJ-SLJD-FV3A-2026-00012-77",
    "YJ-SLJD-LS1A-2026-00002-21",
    "YJ-SLJD-ZB1A-2026-00009-33",
    "ZB-SLJD-HUBA-2026-00001-19",
    "LF-SLJD-EM1A-2026-00019-18",
    "ZT-SLJD-CZ1A-2026-00002-96",
    "JZ-SLJD-CZ1A-2026-00002-40",
    "TJ-SLJD-CZ1A-2026-00005-82",
    "ZF-SLJD-FV3A-2026-00031-51",
    "FW-SLJD-FV3A-2026-00008-95",
    // Made here, for the ends of the range.
    "YJ-SLJD-EM1A-2026-99999-27",
    "YJ-SLJD-EM1A-2026-100000-42",
    "YJ-SLJD-EM1A-2026-4294967295-79",
    "YJ-SLJD-EM1Z-9999-00001-80",
];

#[test]
fn vectors_parse_and_print_the_same() -> Tested {
    for vector in VECTORS {
        let number = Number::parse(vector)?;
        assert_eq!(number.to_string(), vector);
    }
    Ok(())
}

#[test]
fn a_number_built_from_its_groups_gets_the_published_check_digits() -> Tested {
    let device: DeviceCode = "EM1A".parse()?;
    let number = Number::new("YJ".parse()?, "SLJD".parse()?, device, 2026, 42)?;
    assert_eq!(number.to_string(), "YJ-SLJD-EM1A-2026-00042-71");
    assert_eq!(number.kind().to_string(), "YJ");
    assert_eq!(number.district().to_string(), "SLJD");
    assert_eq!(
        (number.device(), number.year(), number.counter()),
        (device, 2026, 42)
    );
    assert_eq!(device.site().to_string(), "EM1");
    assert_eq!(device.letters(), "A");
    Ok(())
}

#[test]
fn a_code_of_two_letters_is_read_back_and_stays_apart_from_the_year() -> Tested {
    let number = Number::new("YJ".parse()?, "SLJD".parse()?, "EM1AB".parse()?, 2026, 7)?;
    let text = number.to_string();
    assert!(text.starts_with("YJ-SLJD-EM1AB-2026-00007-"), "{text}");
    assert_eq!(Number::parse(&text.replace('-', ""))?, number);
    assert_eq!(number.device().letters(), "AB");
    let one = Number::parse("YJ-SLJD-EM1A-2026-00042-71")?;
    assert_eq!(one.device().letters(), "A");
    for bad in ["EM1AI", "EM1A2", "EM1ABC", "EM1"] {
        assert_eq!(bad.parse::<DeviceCode>(), Err(NumberError::Device), "{bad}");
    }
    Ok(())
}

#[test]
fn case_spaces_hyphens_and_full_width_forms_do_not_matter() -> Tested {
    let number = Number::parse("YJ-SLJD-EM1A-2026-00042-71")?;
    for typed in [
        "yjsljdem1a20260004271",
        " yj sljd EM1A 2026 00042 71 ",
        "YJ–SLJD—EM1A－2026-00042-71",
        "ＹＪ－ＳＬＪＤ－ＥＭ１Ａ－２０２６－０００４２－７１",
        "YJ\u{3000}SLJD\u{3000}em1a 2026\t00042\n71",
        "\u{feff}YJ\u{2212}SLJD\u{200b}EM1A\u{ad}2026𝟎𝟎𝟎𝟒𝟐\u{200f}71\u{202c}",
    ] {
        assert_eq!(Number::parse(typed), Ok(number), "{typed}");
    }
    Ok(())
}

#[test]
fn every_single_wrong_character_is_caught() {
    for vector in VECTORS {
        let plain: Vec<char> = vector.chars().filter(|c| *c != '-').collect();
        for (place, &right) in plain.iter().enumerate() {
            for wrong in ('A'..='Z').chain('0'..='9').filter(|wrong| *wrong != right) {
                let typed: String = (plain.iter().enumerate())
                    .map(|(at, &c)| if at == place { wrong } else { c })
                    .collect();
                assert!(
                    Number::parse(&typed).is_err(),
                    "{typed} passed for {vector}"
                );
            }
        }
    }
}

#[test]
fn every_swap_of_neighbouring_letters_or_digits_is_caught() {
    for vector in VECTORS {
        let plain: Vec<char> = vector.chars().filter(|c| *c != '-').collect();
        for place in 1..plain.len() {
            let mut swapped = plain.clone();
            swapped.swap(place - 1, place);
            let typed: String = swapped.into_iter().collect();
            if plain.iter().copied().eq(typed.chars()) {
                continue;
            }
            assert!(
                Number::parse(&typed).is_err(),
                "{typed} passed for {vector}"
            );
        }
    }
}

// rule:number-shape
#[test]
fn the_error_names_the_group_that_is_wrong() {
    for (typed, error) in [
        ("", NumberError::Length),
        ("YJ-SLJD-EM1A-2026-0042-71", NumberError::Length),
        ("YI-SLJD-EM1A-2026-00042-71", NumberError::Kind),
        ("Y0-SLJD-EM1A-2026-00042-71", NumberError::Kind),
        ("意见-SLJD-EM1A-2026-00042-71", NumberError::Kind),
        ("YJ-SL1D-EM1A-2026-00042-71", NumberError::District),
        ("YJ-SLJD-EMB1-2026-00042-71", NumberError::Device),
        ("YJ-SLJD-EM1O-2026-00042-71", NumberError::Device),
        ("YJ-SLJD-EM1A-0026-00042-71", NumberError::Year),
        ("YJ-SLJD-EM1A-2O26-00042-71", NumberError::Year),
        ("YJ-SLJD-EM1A-2026-00000-71", NumberError::Counter),
        ("YJ-SLJD-EM1A-2026-000042-71", NumberError::Counter),
        ("YJ-SLJD-EM1A-2026-4294967296-71", NumberError::Counter),
        ("YJ-SLJD-EM1A-2026-00042-72", NumberError::CheckDigits),
        ("YJ-SLJD-EM1A-2026-00042-7I", NumberError::CheckDigits),
    ] {
        assert_eq!(Number::parse(typed), Err(error), "{typed}");
    }
}

#[test]
fn congruent_but_uncanonical_check_digits_are_refused() {
    // 02 and 99 leave the same remainder; only 02 is ever printed.
    let canonical = (1..=200)
        .filter_map(|counter| {
            let codes = ("YJ".parse(), "SLJD".parse(), "EM1A".parse());
            let (Ok(kind), Ok(district), Ok(device)) = codes else {
                return None;
            };
            Number::new(kind, district, device, 2026, counter).ok()
        })
        .map(|number| number.to_string())
        .find_map(|text| text.strip_suffix("-02").map(str::to_owned));
    let canonical = canonical.unwrap_or_default();
    assert!(Number::parse(&format!("{canonical}-02")).is_ok());
    assert_eq!(
        Number::parse(&format!("{canonical}-99")),
        Err(NumberError::CheckDigits)
    );
}

#[test]
fn device_letters_are_given_in_order_without_i_and_o_and_never_twice() -> Tested {
    let site: SiteCode = "em1".parse()?;
    let mut given = BTreeSet::from([SiteCode::HUB.next_device(&BTreeSet::new())])
        .into_iter()
        .flatten()
        .collect::<BTreeSet<_>>();
    let mut letters = String::new();
    while let Some(code) = site
        .next_device(&given)
        .filter(|it| it.letters().len() == 1)
    {
        letters.push_str(&code.letters());
        assert!(given.insert(code));
    }
    assert_eq!(letters, "ABCDEFGHJKLMNPQRSTUVWXYZ");
    let mut two = 0;
    while let Some(code) = site.next_device(&given) {
        assert_eq!(code.letters().len(), 2);
        assert!(given.insert(code));
        two += 1;
    }
    assert_eq!(two, 24 * 24);
    Ok(())
}

#[test]
fn site_codes_keep_apart_from_the_hub() -> Tested {
    assert_eq!("hub".parse(), Ok(SiteCode::HUB));
    assert_eq!("HUBA".parse::<DeviceCode>()?.site(), SiteCode::HUB);
    for typed in ["HU1", "HUC", "E1M", "EM", "EM12", "测试1"] {
        assert_eq!(typed.parse::<SiteCode>(), Err(NumberError::Site), "{typed}");
    }
    Ok(())
}

#[test]
fn serde_uses_the_printed_form_and_checks_it() -> Result<(), Box<dyn std::error::Error>> {
    let json = "\"YJ-SLJD-EM1A-2026-00042-71\"";
    let number: Number = serde_json::from_str(json)?;
    assert_eq!(serde_json::to_string(&number)?, json);
    assert!(serde_json::from_str::<Number>(&json.replace("71", "72")).is_err());
    assert!(serde_json::from_str::<DeviceCode>("\"EM1I\"").is_err());
    Ok(())
}
