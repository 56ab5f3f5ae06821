//! Places of runs. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    reason = "a test that reaches beyond its own data should fail"
)]

use std::convert::Infallible;

use super::*;
use crate::testing::{self, save, signer, site_space, space_id};

type Tested = Result<(), Infallible>;

/// A stored log: runs of 1, 2, 2 and 2 entries.
fn runs() -> (testing::Author, Vec<VerifiedRun>) {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let mut runs = vec![author.cut()];
    for n in 0..3 {
        runs.push(author.push(save(n)).cut());
    }
    (author, runs)
}

fn ids(runs: &[VerifiedRun]) -> Vec<EntryId> {
    runs.iter().flat_map(|run| run.ids().to_vec()).collect()
}

/// Places `run` in a store that holds the first `len` of `ids`.
fn placed(run: &VerifiedRun, ids: &[EntryId], len: usize) -> Result<Place, Infallible> {
    let head = len
        .checked_sub(1)
        .map_or(run.run().log.0, |last| ids[last].0);
    let stored = Position {
        len: len as u64,
        head,
    };
    place(run, stored, |seq| {
        assert!(seq < stored.len, "only what is stored is asked for");
        Ok(ids[usize::try_from(seq).unwrap_or(usize::MAX)])
    })
}

/// The run of entries 3..7 as one, and another that goes on from 3 with other entries.
fn long_and_forked() -> (VerifiedRun, VerifiedRun) {
    let (mut author, _) = (testing::Author::new(space_id(site_space()), 1, 1), ());
    author.cut();
    author.push(save(0)).cut();
    let mut other = author.clone();
    let long = author.push(save(1)).push(save(2)).cut();
    let forked = other.push(save(1)).push(save(9)).cut();
    (long, forked)
}

#[test]
fn a_run_is_appended_from_the_first_entry_that_is_not_stored() -> Tested {
    let (_, runs) = runs();
    let ids = ids(&runs);
    let (long, _) = long_and_forked();
    assert_eq!(placed(&runs[0], &ids, 0)?, Place::Append { skip: 0 });
    assert_eq!(placed(&runs[1], &ids, 1)?, Place::Append { skip: 0 });
    for (len, expected) in [
        (0, Place::Gap { have: 0 }),
        (2, Place::Gap { have: 2 }),
        (3, Place::Append { skip: 0 }),
        (5, Place::Append { skip: 2 }),
        (6, Place::Append { skip: 3 }),
        (7, Place::Duplicate),
    ] {
        assert_eq!(placed(&long, &ids, len)?, expected, "{len} stored");
    }
    for run in &runs {
        assert_eq!(placed(run, &ids, 7)?, Place::Duplicate);
    }
    Ok(())
}

#[test]
fn a_fork_is_found_at_the_first_entry_that_differs() -> Tested {
    let (_, runs) = runs();
    let ids = ids(&runs);
    let (_, forked) = long_and_forked();
    assert_eq!(
        placed(&forked, &ids, 7)?,
        Place::Fork { seq: 5 },
        "in the middle"
    );
    assert_eq!(
        placed(&forked, &ids, 6)?,
        Place::Fork { seq: 5 },
        "at the last stored"
    );
    assert_eq!(
        placed(&forked, &ids, 5)?,
        Place::Append { skip: 2 },
        "not seen yet"
    );

    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    author.cut();
    let at_start = author.push(save(77)).cut();
    assert_eq!(
        placed(&at_start, &ids, 7)?,
        Place::Fork { seq: 1 },
        "at its start"
    );
    let beyond = author.push(save(78)).cut();
    assert_eq!(
        placed(&beyond, &ids, 7)?,
        Place::Fork { seq: 2 },
        "somewhere before it"
    );
    assert_eq!(
        placed(&beyond, &ids, 3)?,
        Place::Fork { seq: 2 },
        "before it, at the end"
    );
    assert_eq!(placed(&beyond, &ids, 2)?, Place::Gap { have: 2 });
    let mut other = testing::Author::new(space_id(site_space()), 1, 1);
    let reason = crate::log::GenesisReason::Clone;
    let genesis = testing::genesis(space_id(site_space()), &signer(1), 1);
    let genesis = crate::log::Genesis { reason, ..genesis };
    other.tail = crate::log::Tail::begin(&genesis, 1, 1);
    let another_genesis = other.cut();
    assert_eq!(placed(&another_genesis, &ids, 7)?, Place::Fork { seq: 0 });
    let after_it = other.push(save(0)).cut();
    assert_eq!(placed(&after_it, &ids, 7)?, Place::Fork { seq: 0 });
    assert_eq!(placed(&after_it, &ids, 1)?, Place::Fork { seq: 0 });
    Ok(())
}
