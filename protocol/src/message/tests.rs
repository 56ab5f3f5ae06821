//! Frames, honest and hostile. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that reaches beyond its own data should fail"
)]

use super::*;
use crate::batch::pack;
use crate::testing::{self, Random, network, save, signer, site_space, space_id};

type Tested = Result<(), Box<dyn std::error::Error>>;

fn proof() -> ForkProof {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let first = author.cut();
    let branch = |author: &mut testing::Author, n| {
        let run = author.push(save(n)).cut();
        testing::branch(run.run())
    };
    let branches = [branch(&mut author.clone(), 1), branch(&mut author, 2)];
    ForkProof {
        author: first.author(),
        log: first.run().log,
        branches,
    }
}

fn row(n: u8) -> Row {
    Row {
        log: LogId([n; 32]),
        len: 7,
        head: [n; 16],
        frozen: n == 2,
        first: 0,
        missing: 0,
    }
}

fn every_message() -> Vec<Message> {
    let offer = |n| Offer {
        space: [n; 8],
        digest: [n; 32],
        lacks_receipts: n == 1,
    };
    let run = testing::Author::new(space_id(site_space()), 1, 1)
        .push(save(1))
        .cut();
    let batch = WireBatch {
        log: [1; 8],
        start: run.run().start,
        packed: pack(run.run()),
    };
    let offers = |spaces, complete| Offers { spaces, complete };
    let hello = |offers| Hello {
        min: 1,
        max: 2,
        features: 3,
        epoch: [4; 16],
        offers,
    };
    let error = |code, scope| Message::Error {
        code,
        scope,
        retry_after_s: 9,
    };
    vec![
        Message::Hello(hello(offers(vec![offer(1), offer(2)], false))),
        Message::Hello(hello(offers(Vec::new(), true))),
        Message::Offers(offers(vec![offer(3)], true)),
        Message::Vector(Vector {
            space: [1; 8],
            complete: true,
            rows: vec![row(1), row(2)],
        }),
        Message::Vector(Vector {
            space: [1; 8],
            complete: false,
            rows: vec![
                Row {
                    first: 3,
                    missing: 4,
                    ..row(1)
                },
                Row {
                    missing: 4,
                    ..row(2)
                },
            ],
        }),
        Message::Want {
            log: [1; 8],
            from: 9,
        },
        Message::Batch(batch),
        Message::Receipt(testing::receipt(Vec::new())),
        Message::Fork(Box::new(proof())),
        Message::Ping(1),
        Message::Pong(2),
        error(ErrorCode::Busy, ErrorScope::Connection),
        error(ErrorCode::Other(99), ErrorScope::Space),
        error(ErrorCode::Revoked, ErrorScope::Log),
        error(ErrorCode::Internal, ErrorScope::Entry),
        error(ErrorCode::Internal, ErrorScope::Other(4)),
        Message::Bye(3),
        Message::Enrol(Enrol {
            invite: signer(1).public(),
            recipient: [2; 32],
            proof: [3; 64],
        }),
        Message::Enrolled(Enrolled {
            network: network(),
            certificate: Certificate::sign(&signer(200), 1, signer(100).public(), None),
            device_code: "EM1A".to_owned(),
            proof: [4; 32],
        }),
    ]
}

fn parts(frame: &[u8]) -> (u16, &[u8]) {
    (
        u16::from_be_bytes([frame[0], frame[1]]),
        &frame[limits::FRAME_HEAD..],
    )
}

#[test]
fn every_message_comes_back_and_no_part_of_one_does() -> Tested {
    for message in every_message() {
        let frame = message.encode();
        let (code, body) = parts(&frame);
        assert_eq!(Message::decode(code, body)?, message);
        for cut in 0..body.len() {
            assert!(
                Message::decode(code, &body[..cut]).is_err(),
                "{message:?} cut at {cut}"
            );
        }
        assert!(
            Message::decode(code, &[body, &[0]].concat()).is_err(),
            "{message:?}"
        );
        let mut reader = FrameReader::default();
        reader.push(&frame[..frame.len() - 1]);
        assert_eq!(reader.next_frame()?, None, "a frame that has not all come");
    }
    Ok(())
}

#[test]
fn no_mutation_of_a_frame_panics_and_what_is_read_is_written_alike() {
    let mut random = Random(7);
    let frames: Vec<_> = every_message().iter().map(Message::encode).collect();
    for _ in 0..40_000 {
        let frame = &frames[random.below(frames.len())];
        let (code, body) = parts(frame);
        let mut body = body.to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(body.len());
            body[at] = random.next() as u8;
        }
        if let Ok(message) = Message::decode(code, &body) {
            let again = message.encode();
            let tail_was_empty = body[body.len() - 2..] == [0, 0];
            assert!(
                parts(&again).1 == body || !tail_was_empty,
                "one encoding: {message:?}"
            );
        }
    }
}

#[test]
fn unknown_types_and_tails_of_newer_versions_are_passed_over() -> Tested {
    let mut reader = FrameReader::default();
    reader.push(&[0x12, 0x34, 0, 0, 0, 3, 1, 2, 3]);
    reader.push(&[0, 0, 0, 0, 0, 0]);
    for message in every_message() {
        let frame = message.encode();
        let (code, body) = parts(&frame);
        let mut longer = body[..body.len() - 2].to_vec();
        longer.extend_from_slice(&[0, 5, 9, 9, 9, 9, 9]);
        assert_eq!(
            Message::decode(code, &longer)?,
            message,
            "with a tail of five bytes"
        );
        longer.pop();
        assert!(
            Message::decode(code, &longer).is_err(),
            "with a tail cut short"
        );
        reader.push(&frame);
    }
    assert_eq!(reader.next_frame()?, Some(Message::Unknown(0x1234)));
    assert_eq!(reader.next_frame()?, Some(Message::Unknown(0)));
    for message in every_message() {
        assert_eq!(reader.next_frame()?, Some(message));
    }
    assert_eq!(reader.next_frame()?, None);
    Ok(())
}

// rule:codec-length-first
#[test]
fn frame_lengths_are_bounded_before_anything_is_allocated() -> Tested {
    for code in 1..=13_u16 {
        let mut reader = FrameReader::default();
        reader.push(&[&code.to_be_bytes()[..], &[0; 4]].concat());
        assert!(
            reader.next_frame().is_err(),
            "an empty frame of type {code}"
        );
    }
    let largest = (limits::FRAME_MAX - limits::FRAME_HEAD) as u32;
    for len in [largest + 1, u32::MAX, 1 << 31] {
        let mut reader = FrameReader::default();
        reader.push(&[&[0, 99][..], &len.to_be_bytes()].concat());
        assert!(reader.next_frame().is_err(), "{len}");
        assert!(reader.buffer.capacity() < 1024);
    }
    let mut reader = FrameReader::default();
    reader.push(&[&[0, 99][..], &largest.to_be_bytes()].concat());
    assert_eq!(reader.next_frame()?, None);
    reader.push(&vec![0; largest as usize]);
    assert_eq!(reader.next_frame()?, Some(Message::Unknown(99)));
    Ok(())
}

#[test]
fn counts_beyond_the_bytes_that_follow_are_refused() {
    let hello = every_message()[0].encode();
    let (code, body) = parts(&hello);
    for count in [3_u32, limits::OFFERS_MAX as u32 + 1, u32::MAX] {
        let mut body = body.to_vec();
        body[24..28].copy_from_slice(&count.to_be_bytes());
        assert!(Message::decode(code, &body).is_err(), "{count} spaces");
    }
}

#[test]
fn a_stream_may_be_cut_anywhere() -> Tested {
    let messages = every_message();
    let stream: Vec<u8> = messages.iter().flat_map(Message::encode).collect();
    let mut random = Random(8);
    for largest in [1, 2, 7, 100, 100_000] {
        let mut reader = FrameReader::default();
        let mut got = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + random.below(largest)).min(rest.len()));
            reader.push(now);
            rest = later;
            while let Some(message) = reader.next_frame()? {
                got.push(message);
            }
        }
        assert_eq!(got, messages, "up to {largest} bytes at once");
    }
    Ok(())
}

#[test]
fn a_reader_does_not_keep_what_it_has_read() -> Tested {
    let frame = [&[0, 99, 0, 0, 1, 0][..], &[0; 256]].concat();
    let mut reader = FrameReader::default();
    for _ in 0..20_000 {
        reader.push(&frame);
        reader.push(&frame[..3]);
        assert!(reader.next_frame()?.is_some());
        reader.push(&frame[3..]);
        assert!(reader.next_frame()?.is_some());
    }
    assert!(reader.buffer.capacity() < 4 * limits::FRAME_MAX);
    Ok(())
}

// rule:ascend
#[test]
fn vectors_are_sorted_and_flags_say_something() {
    let vector = |rows| {
        Message::Vector(Vector {
            space: [1; 8],
            complete: true,
            rows,
        })
    };
    for rows in [vec![row(2), row(1)], vec![row(1), row(1)]] {
        let frame = vector(rows).encode();
        let (code, body) = parts(&frame);
        assert!(Message::decode(code, body).is_err());
    }
    let frame = vector(vec![row(1)]).encode();
    let (code, body) = parts(&frame);
    let flags = 8 + 1 + 4 + 32 + 8 + 16;
    for value in [8, 2, 4, 0x80] {
        let mut body = body.to_vec();
        body[flags] = value;
        body.extend_from_slice(&[0; 12]);
        assert!(Message::decode(code, &body).is_err(), "{value}");
    }
}

#[test]
fn error_numbers_are_those_of_the_table() {
    let first = [
        ErrorCode::VersionUnsupported,
        ErrorCode::NotAuthorised,
        ErrorCode::Revoked,
    ];
    assert_eq!(first.map(ErrorCode::number), [1, 2, 3]);
    assert_eq!(
        (ErrorCode::Busy.number(), ErrorCode::Internal.number()),
        (12, 14)
    );
    for number in 0..100 {
        assert_eq!(ErrorCode::of(number).number(), number);
    }
}

#[test]
fn a_space_digest_covers_every_field_of_every_log() {
    let tip = |len, head, frozen| Tip {
        len,
        head: [head; 32],
        frozen,
    };
    let space = |tips: &[(u8, Tip)]| -> [u8; 32] {
        space_digest(
            &tips
                .iter()
                .map(|(log, tip)| (LogId([*log; 32]), *tip))
                .collect(),
        )
    };
    let base = [(1, tip(3, 1, false)), (2, tip(4, 2, false))];
    let others = [
        vec![(1, tip(3, 1, false))],
        vec![(1, tip(3, 1, false)), (3, tip(4, 2, false))],
        vec![(1, tip(4, 1, false)), (2, tip(4, 2, false))],
        vec![(1, tip(3, 9, false)), (2, tip(4, 2, false))],
        vec![(1, tip(3, 1, true)), (2, tip(4, 2, false))],
        vec![
            (1, tip(3, 1, false)),
            (2, tip(4, 2, false)),
            (3, tip(0, 3, true)),
        ],
    ];
    for other in &others {
        assert_ne!(space(other), space(&base), "{other:?}");
    }
    let with_empty = [base[0], base[1], (3, tip(0, 3, false))];
    assert_eq!(
        space(&with_empty),
        space(&base),
        "a log without entries is none"
    );
}
