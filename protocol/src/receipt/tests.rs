//! Receipts, honest and hostile. All fictional data.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that reaches beyond its own data should fail"
)]

use super::*;
use crate::testing::{self, signer};

type Tested = Result<(), Box<dyn std::error::Error>>;

fn receipt() -> Receipt {
    let exception = |range, reason| Exception { range, reason };
    testing::receipt(vec![
        exception(2..4, Reason::Revoked),
        exception(4..9, Reason::Guard),
    ])
}

#[test]
fn a_receipt_verifies_and_no_flipped_bit_of_it_does() -> Tested {
    let receipt = receipt();
    let key = signer(100).public();
    let bytes = receipt.encode();
    assert_eq!(Receipt::decode(&bytes)?, receipt);
    assert!(receipt.verifies(&key));
    assert!(!receipt.verifies(&signer(101).public()));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(
            !Receipt::decode(&flipped).is_ok_and(|it| it.verifies(&key)),
            "bit {bit}"
        );
    }
    for cut in 0..bytes.len() {
        assert!(Receipt::decode(&bytes[..cut]).is_err());
    }
    assert!(Receipt::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    Ok(())
}

#[test]
fn a_receipt_covers_what_is_stored_and_not_held_back() {
    let receipt = receipt();
    let covered: Vec<u64> = (0..25).filter(|seq| receipt.covers(*seq)).collect();
    assert_eq!(covered, [0, 1, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    assert_eq!(receipt.reason(3), Some(Reason::Revoked));
    assert_eq!(receipt.reason(4), Some(Reason::Guard));
}

// rule:ascend
#[test]
fn receipts_that_contradict_themselves_are_refused() {
    let refused = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = receipt();
        change(&mut receipt);
        Receipt::decode(&receipt.signed(&signer(100)).encode()).is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|receipt| receipt.judged_len = 21));
    assert!(refused(&|receipt| receipt.exceptions.swap(0, 1)));
    assert!(refused(&|receipt| receipt.exceptions[1].range = 3..9));
    assert!(refused(&|receipt| receipt.exceptions[0].range = 2..2));
    assert!(refused(&|receipt| {
        receipt.exceptions = vec![receipt.exceptions[0].clone(); limits::EXCEPTIONS_MAX + 1];
    }));
}

#[test]
fn a_receipt_with_a_reason_of_a_newer_version_still_verifies() -> Result<(), DecodeError> {
    let mut newer = receipt();
    newer.exceptions[1].reason = Reason::Other(200);
    let bytes = newer.signed(&signer(100)).encode();
    let read = Receipt::decode(&bytes)?;
    assert_eq!(
        (read.reason(4), read.covers(4)),
        (Some(Reason::Other(200)), false)
    );
    assert_eq!(read.encode(), bytes);
    assert!(read.verifies(&signer(100).public()));
    let mut none = receipt();
    none.exceptions[1].reason = Reason::Other(0);
    assert!(Receipt::decode(&none.signed(&signer(100)).encode()).is_err());
    Ok(())
}
