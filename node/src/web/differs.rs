//! Where two texts differ, clause by clause, so that whoever compares them need not read both twice.
//!
//! Clauses end with a mark or a line. Those at both ends that are the same are left aside; of what is between them the longest
//! common run is found, if that is little. Of much, all of it is said to differ: it costs no time, and nobody reads marks there.

/// Clauses of one text times those of the other that are compared.
const COMPARED_MAX: usize = 40_000;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) differs: bool,
}

/// A text that differs from nothing.
pub(super) fn whole(text: &str) -> Vec<Piece> {
    vec![Piece {
        text: text.to_owned(),
        differs: false,
    }]
}

/// A text with what of it is not in another one marked.
pub(super) fn pieces(text: &str, other: &str) -> Vec<Piece> {
    let (ours, theirs) = (clauses(text), clauses(other));
    let pairs = || ours.iter().zip(&theirs);
    let begin = pairs().take_while(|(one, other)| one == other).count();
    let most = ours.len().min(theirs.len()) - begin;
    let back = ours.iter().rev().zip(theirs.iter().rev());
    let end = back
        .take(most)
        .take_while(|(one, other)| one == other)
        .count();
    let middle = |clauses: &'_ [String]| -> Vec<String> {
        let end = clauses.len() - end;
        clauses.get(begin..end).unwrap_or_default().to_vec()
    };
    let (mine, others) = (middle(&ours), middle(&theirs));
    let common = if mine.len() * others.len() <= COMPARED_MAX {
        common(&mine, &others)
    } else {
        vec![false; mine.len()]
    };
    let same = std::iter::repeat_n(true, begin);
    let same = same.chain(common).chain(std::iter::repeat_n(true, end));
    let mut pieces: Vec<Piece> = Vec::new();
    for (clause, same) in ours.iter().zip(same) {
        match pieces.last_mut().filter(|last| last.differs != same) {
            Some(last) => last.text.push_str(clause),
            None => pieces.push(Piece {
                text: clause.clone(),
                differs: !same,
            }),
        }
    }
    pieces
}

fn clauses(text: &str) -> Vec<String> {
    let ends = |it: char| "。！？；，、：…,.;!?:\n".contains(it);
    text.split_inclusive(ends).map(str::to_owned).collect()
}

/// Which of the clauses of one text are in the longest run that it has in common with another.
fn common(ours: &[String], theirs: &[String]) -> Vec<bool> {
    let width = theirs.len() + 1;
    // How many are common from each place on, by both places.
    let mut left = vec![0_u32; (ours.len() + 1) * width];
    let at = |one: usize, other: usize| one * width + other;
    let known = |left: &[u32], one, other| left.get(at(one, other)).copied().unwrap_or_default();
    for (one, clause) in ours.iter().enumerate().rev() {
        for (other, theirs) in theirs.iter().enumerate().rev() {
            let best = if clause == theirs {
                known(&left, one + 1, other + 1) + 1
            } else {
                known(&left, one + 1, other).max(known(&left, one, other + 1))
            };
            if let Some(place) = left.get_mut(at(one, other)) {
                *place = best;
            }
        }
    }
    let mut other = 0;
    let mut same = Vec::with_capacity(ours.len());
    for (one, clause) in ours.iter().enumerate() {
        let here = known(&left, one, other);
        // Not in the run, if as much is left without it.
        if known(&left, one + 1, other) == here {
            same.push(false);
            continue;
        }
        while theirs.get(other).is_some_and(|it| it != clause) {
            other += 1;
        }
        other += 1;
        same.push(true);
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str, other: &str) -> String {
        let pieces = pieces(text, other);
        let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(whole, text, "a piece is lost");
        let said = pieces.into_iter().map(|piece| match piece.differs {
            true => format!("[{}]", piece.text),
            false => piece.text,
        });
        said.collect()
    }

    #[test]
    fn what_differs_is_marked_clause_by_clause() {
        let one = "路灯不亮，晚上老人出行不方便。希望尽快维修。";
        let other = "路灯半个多月不亮，晚上老人出行不方便。希望本周维修。";
        assert_eq!(
            marked(one, other),
            "[路灯不亮，]晚上老人出行不方便。[希望尽快维修。]"
        );
        assert_eq!(marked(one, one), one);
        assert_eq!(marked("", one), "");
        assert_eq!(marked("甲", ""), "[甲]");
        assert_eq!(
            marked("一，二，三，四。", "二，五，四。"),
            "[一，]二，[三，]四。"
        );
        assert_eq!(marked("一，一，二", "一，二"), "一，[一，]二");
    }

    #[test]
    fn much_is_compared_in_no_time() {
        let long = |word: &str| format!("头，{}尾。", format!("{word}，").repeat(30_000));
        let said = marked(&long("甲"), &long("乙"));
        assert!(said.starts_with("头，[甲，") && said.ends_with("]尾。"));
        // Alike but for one clause of very many.
        let mut other = long("甲");
        other.push_str("又一句");
        assert_eq!(marked(&long("甲"), &other), long("甲"));
    }
}
