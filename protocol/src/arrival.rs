//! Arrivals 到达记录: when the hub stored what of which log.
//!
//! The hub writes them into its own log of the space, in the transaction that stores the entries, so the legal time of
//! receipt (中心收到时间) is the same on every replica and does not move when more arrives. A receipt says what the hub
//! has now; arrivals are the history. An arrival covers the entries of its log below its length, and only where its head
//! stands in the chain. Who may write them, and which of several covers an entry first, is the journal's business.

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits;
use crate::log::{LogId, Position};

/// What had arrived of one log, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The log.
    pub log: LogId,
    /// How far it was stored; its length is never 0.
    pub position: Position,
    /// By the hub's clock, in Unix milliseconds; never less than in the hub's arrivals before.
    pub received_at_ms: u64,
}

/// The payload of an entry of kind `arrival`: one for each log that a commit stored something of, in the order of their
/// ids.
#[must_use]
pub fn encode(arrivals: &[Arrival]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.length(arrivals.len());
    for arrival in arrivals {
        writer
            .fixed(&arrival.log.0)
            .u64(arrival.position.len)
            .fixed(&arrival.position.head)
            .u64(arrival.received_at_ms);
    }
    writer.into_bytes()
}

/// Reads [`encode`].
///
/// # Errors
/// The bytes are no such list: an empty one, logs out of order or twice, a length of 0.
pub fn decode(bytes: &[u8]) -> Result<Vec<Arrival>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(limits::ARRIVALS_MAX, 80)?;
    if count == 0 {
        return reader.fail("an arrival of nothing");
    }
    let mut arrivals: Vec<Arrival> = Vec::with_capacity(count);
    for _ in 0..count {
        let log = LogId(reader.fixed()?);
        let position = Position {
            len: reader.u64()?,
            head: reader.fixed()?,
        };
        // rule:ascend
        if position.len == 0 || arrivals.last().is_some_and(|last| last.log >= log) {
            return reader.fail("arrivals out of order, or of nothing");
        }
        let received_at_ms = reader.u64()?;
        if position.len > limits::STORED_MAX || received_at_ms > limits::STORED_MAX {
            return reader.fail("a place or a time beyond what can be stored");
        }
        arrivals.push(Arrival {
            log,
            position,
            received_at_ms,
        });
    }
    reader.finish()?;
    Ok(arrivals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(log: u8, len: u64) -> Arrival {
        Arrival {
            log: LogId([log; 32]),
            position: Position { len, head: [7; 32] },
            received_at_ms: 1_795_564_800_000,
        }
    }

    // rule:ascend
    #[test]
    fn a_list_of_arrivals_comes_back_and_has_one_encoding() -> Result<(), DecodeError> {
        let list = [arrival(1, 4), arrival(2, 1)];
        let bytes = encode(&list);
        assert_eq!(decode(&bytes)?, list);
        for cut in 0..bytes.len() {
            assert!(bytes.get(..cut).is_some_and(|bytes| decode(bytes).is_err()));
        }
        for wrong in [
            vec![],
            vec![arrival(2, 1), arrival(1, 4)],
            vec![arrival(1, 1), arrival(1, 4)],
            vec![arrival(1, 0)],
        ] {
            assert!(decode(&encode(&wrong)).is_err(), "{wrong:?}");
        }
        for (len, received_at_ms) in [(u64::MAX, 5), (1 << 63, 5), (5, u64::MAX), (5, 1 << 63)] {
            let position = Position { len, head: [7; 32] };
            let wild = Arrival {
                position,
                received_at_ms,
                ..arrival(1, 4)
            };
            assert!(decode(&encode(&[wild])).is_err(), "{wild:?}");
        }
        let log = |n: usize| LogId(crate::hash::LOG.hash(&[&n.to_be_bytes()]));
        let many = (0..=limits::ARRIVALS_MAX).map(|n| Arrival {
            log: log(n),
            ..arrival(0, 1)
        });
        let mut most: Vec<_> = many.collect();
        most.sort_by_key(|it| it.log);
        assert!(decode(&encode(&most)).is_err(), "one too many");
        most.pop();
        assert_eq!(decode(&encode(&most))?.len(), limits::ARRIVALS_MAX);
        Ok(())
    }
}
