//! Cards come back whole or not at all; a grant is for the request, the invite, the device and the network that
//! it answers, and for no other.

use super::*;
use crate::authority::Certificate;

type Tested = Result<(), Box<dyn std::error::Error>>;

fn code() -> Result<InviteCode, &'static str> {
    (0..37)
        .find_map(|n| InviteCode::from_random([n; 10]))
        .ok_or("no code")
}

fn card() -> Result<Card, &'static str> {
    Ok(Card {
        code: code()?,
        network: NetworkId([1; 32]),
        hub: Signer::from_seed(&[2; 32]).public(),
        addresses: vec!["192.0.2.10:7443".to_owned(), "hub.example:7443".to_owned()],
        site: Some((SiteId([3; 16]), "EM1".to_owned())),
        device_code: "EM1B".to_owned(),
        district: "SLJD".to_owned(),
    })
}

#[test]
fn a_card_comes_back_however_it_was_copied() -> Tested {
    let card = card()?;
    let text = card.text();
    assert!(
        text.bytes()
            .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit()),
        "{text}"
    );
    // A QR code of version 12 with medium correction holds 419 such characters.
    assert!(text.len() < 400, "{} characters", text.len());
    assert_eq!(Card::parse(&text)?, card);
    let spaced: Vec<String> = text.chars().map(|it| it.to_string()).collect();
    let copied = spaced
        .chunks(8)
        .map(<[String]>::concat)
        .collect::<Vec<_>>()
        .join("-\r\n ")
        .to_lowercase();
    assert_eq!(Card::parse(&copied)?, card);
    let wide = text
        .chars()
        .filter_map(|c| char::from_u32(u32::from(c) + 0xfee0));
    let wide: String = ['\u{feff}'].into_iter().chain(wide).collect();
    assert!(Card::begins(&wide));
    assert_eq!(Card::parse(&wide)?, card);
    let operator = Card {
        site: None,
        addresses: Vec::new(),
        ..card
    };
    assert_eq!(Card::parse(&operator.text())?, operator);
    Ok(())
}

// rule:card-refused
#[test]
fn every_other_character_and_every_cut_of_a_card_is_noticed() -> Tested {
    let text = card()?.text();
    for at in 4..text.len() {
        let (before, rest) = text.split_at(at);
        let other = if rest.starts_with('7') { "8" } else { "7" };
        let wrong = format!("{before}{other}{}", rest.get(1..).unwrap_or_default());
        assert_eq!(Card::parse(&wrong), Err(CardError::Damaged), "at {at}");
        assert_eq!(Card::parse(before), Err(CardError::Damaged), "cut at {at}");
    }
    assert_eq!(Card::parse("7KQ4-M2XP-9TRB-4GHD-K"), Err(CardError::NotOne));
    let long = format!("{text}{}", " ".repeat(limits::CARD_TEXT_MAX));
    assert_eq!(Card::parse(&long), Err(CardError::NotOne));
    // What fills up the last symbol is zeros.
    let mut spare = 0;
    for more in 0..5 {
        let district = "A".repeat(more);
        let text = Card {
            district,
            ..card()?
        }
        .text();
        let (start, last) = text.split_at(text.len() - 1);
        let last = base32::SYMBOLS
            .iter()
            .position(|it| last.as_bytes() == [*it]);
        let bits = (text.len() - CARD.len()) * 5 % 8;
        for bit in 0..bits {
            let symbol = base32::SYMBOLS.get(last.unwrap_or_default() | 1 << bit);
            let wrong = format!("{start}{}", char::from(*symbol.ok_or("no symbol")?));
            assert_eq!(Card::parse(&wrong), Err(CardError::Damaged), "{wrong}");
            spare += 1;
        }
    }
    assert!(spare > 0);
    Ok(())
}

struct Ends {
    device: Signer,
    hub: Signer,
    network: NetworkId,
    certificate: Certificate,
}

fn ends() -> Ends {
    let root = Signer::from_seed(&[5; 32]);
    let authority = Signer::from_seed(&[6; 32]);
    Ends {
        device: Signer::from_seed(&[7; 32]),
        hub: Signer::from_seed(&[8; 32]),
        network: NetworkId::of_root(&root.public().0),
        certificate: Certificate::sign(&root, 1, authority.public(), None),
    }
}

impl Ends {
    fn request(&self, nonce: u8) -> Result<Request, &'static str> {
        let hub = (self.network, self.hub.public());
        Ok(Request::new(
            hub,
            &self.device,
            &[9; 32],
            &code()?,
            [nonce; 32],
        ))
    }

    fn enrolled(&self) -> Enrolled {
        Enrolled {
            network: self.network,
            certificate: self.certificate.clone(),
            device_code: "EM1B".to_owned(),
            proof: [0; 32],
        }
    }
}

// rule:stick-answer
#[test]
fn a_grant_answers_its_request_and_no_other() -> Tested {
    let (ends, code) = (ends(), code()?);
    let request = Request::decode(&ends.request(1)?.encode())?;
    let grant = request.grant(&code.hub_proof_key(), ends.enrolled(), Vec::new());
    let grant = Grant::decode(&grant.encode())?;
    assert!(grant.answers(&request, &code));
    assert!(!grant.answers(&ends.request(2)?, &code), "another request");
    let renamed = Grant {
        nonce: [2; 32],
        ..grant.clone()
    };
    assert!(!renamed.answers(&request, &code), "another nonce");
    let mut others = (0..37).filter_map(|n| InviteCode::from_random([n; 10]));
    let other = others.find(|it| *it != code).ok_or("no code")?;
    assert!(!grant.answers(&request, &other), "another invite");
    let unproven = request.grant(&[0; 32], ends.enrolled(), Vec::new());
    assert!(
        !unproven.answers(&request, &code),
        "who does not know the invite"
    );
    let elsewhere = Enrolled {
        network: NetworkId([4; 32]),
        ..ends.enrolled()
    };
    let elsewhere = request.grant(&code.hub_proof_key(), elsewhere, Vec::new());
    assert!(!elsewhere.answers(&request, &code), "another network");
    let root = Signer::from_seed(&[99; 32]);
    let forged = Certificate::sign(&root, 1, Signer::from_seed(&[6; 32]).public(), None);
    let forged = Enrolled {
        certificate: forged,
        ..ends.enrolled()
    };
    let forged = request.grant(&code.hub_proof_key(), forged, Vec::new());
    assert!(
        !forged.answers(&request, &code),
        "a certificate of another root"
    );
    Ok(())
}

// rule:stick-signatures
#[test]
fn a_request_that_was_touched_is_refused_at_every_byte() -> Tested {
    let bytes = ends().request(1)?.encode();
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        if let Some(byte) = wrong.get_mut(at) {
            *byte ^= 1;
        }
        assert!(Request::decode(&wrong).is_err(), "byte {at}");
        assert!(
            Request::decode(bytes.get(..at).unwrap_or_default()).is_err(),
            "cut at {at}"
        );
    }
    assert!(Request::decode(&[bytes.as_slice(), b"x"].concat()).is_err());
    // Signed by the device, and the invite's proof is for another recipient.
    let mut unproven = ends().request(1)?;
    unproven.enrol.recipient = [10; 32];
    unproven.signature = ends().device.sign(&hash::JOIN_REQUEST, &[&unproven.body()]);
    assert!(Request::decode(&unproven.encode()).is_err());
    Ok(())
}

#[test]
fn a_grant_that_was_cut_or_carries_something_else_is_refused() -> Tested {
    let ends = ends();
    let grant = ends
        .request(1)?
        .grant(&code()?.hub_proof_key(), ends.enrolled(), Vec::new());
    let bytes = grant.encode();
    for at in 0..bytes.len() {
        assert!(
            Grant::decode(bytes.get(..at).unwrap_or_default()).is_err(),
            "cut at {at}"
        );
    }
    let twice = [
        bytes.as_slice(),
        &Message::Enrolled(ends.enrolled()).encode(),
    ]
    .concat();
    assert!(Grant::decode(&twice).is_err());
    assert!(Grant::decode(&vec![0; limits::GRANT_MAX + 1]).is_err());
    Ok(())
}

#[test]
fn both_sides_read_the_same_four_words() -> Tested {
    let ends = ends();
    let made = ends.request(1)?;
    let read = Request::decode(&made.encode())?;
    let words = |request: &Request| {
        let exporter = request.binding();
        crate::words::phrase(&request.channel(&exporter).words_digest())
    };
    assert_eq!(words(&made), words(&read));
    assert_ne!(words(&made), words(&ends.request(2)?));
    Ok(())
}
