//! Which records speak of the same matter: a small sketch of each, and the groups that sketches form.
//!
//! Two residents who speak of one broken lamp choose other words for it; what they share is a few rare words, and the place. Ten who
//! sign one letter share nearly every word. And two who complain of lifts in the same words, but in two buildings, speak of two
//! matters. So words and place are kept apart, and the place decides how much the words must have in common:
//!
//! | place | words in common that are needed |
//! |---|---|
//! | the same building, or the same site where neither names a building | `SAME_PLACE` |
//! | the same site, and only one names a building | `OTHERWISE` |
//! | one does not say where | `OTHERWISE` |
//! | another community, site, building, unit, side or bus line | never the same matter |
//!
//! The further apart two days are, the more is needed, and half of it from one telephone. The telephone alone says nothing: who comes
//! twice often brings two matters.
//!
//! A [`Sketch`] is what Broder calls the sketch of a document (A. Z. Broder, On the resemblance and containment of documents, 1997): of
//! the keyed hashes of all its words, the smallest. A short text is there as a whole and a long one as a fair sample, and the samples of
//! two texts can be compared. Words are the characters, and the overlapping pairs of them, that are no grammar: two people who describe
//! one thing share few pairs and some characters. How rare a word is, is counted when sketches are compared: an opening that everybody
//! uses weighs nothing, whatever everybody uses by then.
//!
//! Pure: no store, no clock, and the same for the same records in any order. A sketch tells nearly everything that a text says to
//! whoever has the key: it is kept where the texts are, and erased with them. What is found is a question to a person, never a step.
//!
//! Rejected: 64 permutations in bands. A band has to agree as a whole, and where a tenth of the words is common, as where two residents
//! tell one thing, 32 bands of two find one pair in four; so candidates share a rare word or the place instead. Groups by single links:
//! each grows along its weakest links until it is the whole site. Likeness of meaning, from a trained model: what it found could not be
//! explained, and it would have to be shipped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use lianxin_protocol::text;

/// Words of a sketch: about as many as a text of 80 characters has, and what is shorter is compared exactly.
const WORDS_MAX: usize = 80;
/// A hash of three bytes: of 50,000 different words, one in 300 shares it with another.
const WORD_MASK: u64 = 0xff_ffff;
const NAMES_MAX: usize = 3;
const MARKS_MAX: usize = 6;
/// Characters of a text that are looked at: who writes more has said by then what it is about.
const CHARS_MAX: usize = 600;
/// Digits that a telephone number has at least, so that it belongs to somebody.
const PHONE_DIGITS_MIN: usize = 7;

/// Days after which it is another matter: what was mended came back.
pub const DAYS_MAX: u32 = 90;
/// After so many days, twice as much must be common.
const DAYS_DOUBLE: u32 = 30;
/// What must be common of the words of the shorter text, by weight, in thousandths. Both are from the tuning half of
/// `tests/data/duplicates.tsv`: the middle of the range, 60 to 70 and 80 to 120, in which the most is found there.
const SAME_PLACE: u32 = 65;
const OTHERWISE: u32 = 100;
/// How alike who joins must be, of what the members of a group are on average, in thousandths. From half of it on, nobody joins two by
/// being like one of them, and near copies of a letter take in no other one. Just below, one pair in four that are found is wrong
/// instead of one in six.
const JOINS_ABOVE: u32 = 500;
/// A shorter text counts as one of so many rare words, so that a text of two words is not the same as all that have them.
const SHORTER_MIN: u64 = 10;

/// Common words at least: two characters one behind the other are three, with the pair that they are.
const COMMON_MIN: usize = 3;
/// Two texts with so many thousandths of their words in common, and so many words at least, are copies.
const COPIED: usize = 980;
const COPIED_MIN: usize = 12;

/// Records that are counted at least when a word is weighed, so that few records do not make every word common.
const COUNTED_MIN: usize = 500;
/// Texts that are enough to say what everybody writes.
const ENOUGH: usize = 12;
/// Rarest words of a record by which others are looked for.
const SOUGHT: usize = 16;
/// How many before it are looked at, for each of these words, each site, each building and the telephone.
const BEFORE: usize = 12;
/// Ties of one record that are followed, the strongest.
const TIES: usize = 8;
/// Members of each group that are compared when two groups become one.
const COMPARED: usize = 5;
/// A tie counts so many thousandths of what is needed at most.
const STRENGTH_MAX: u32 = 9_000;

/// The key of a store's sketches. Sketches under two keys have nothing in common.
#[derive(Clone, Copy)]
pub struct Key([u64; 2]);

impl Key {
    /// A key of these bytes, drawn at random and kept as long as the sketches.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self([low(both), low(both >> 64)])
    }

    /// A hash of some bytes for one use.
    fn hash(self, of: Use, bytes: &[u8]) -> u64 {
        let [a, b] = self.0;
        siphash([a ^ of as u64, b], bytes)
    }

    fn short(self, of: Use, bytes: &[u8]) -> u32 {
        // Zero says that there is none.
        u32::try_from(self.hash(of, bytes) >> 32)
            .unwrap_or(0)
            .max(1)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// What is hashed, so that equal bytes of two sorts differ.
#[derive(Clone, Copy)]
enum Use {
    Word = 1,
    Phone,
    Kind,
    Community,
    Name,
}

/// What a record says, as far as it is compared. What it does not say is empty.
#[derive(Clone, Copy, Default)]
pub struct Said<'a> {
    /// Its kind; records of two kinds are never the same matter.
    pub kind: &'a str,
    /// What was said, with the title if it has one of its own.
    pub text: &'a str,
    /// In which community it is.
    pub community: &'a str,
    /// Where it is, as it was typed.
    pub place: &'a str,
    /// Who can be called.
    pub phone: &'a str,
    /// On which day it was said, counted from any day.
    pub day: i32,
}

impl std::fmt::Debug for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A resident's words are in no log.
        f.write_str("Said")
    }
}

/// What of a record is compared, in some 300 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    kind: u32,
    community: u32,
    phone: u64,
    day: i32,
    /// Names of sites: first those that say where it is, then those that are only mentioned.
    names: Vec<u32>,
    /// How many of the names say where it is.
    own_names: usize,
    /// Buildings, units, sides and bus lines.
    marks: Vec<u16>,
    /// The smallest hashes of its words, ascending.
    words: Vec<u32>,
}

impl Sketch {
    /// The sketch of what a record says.
    #[must_use]
    pub fn of(said: &Said<'_>, key: Key) -> Self {
        let place = numerals(&text::folded(said.place));
        let community = text::folded(said.community);
        let folded: String = text::folded(said.text).chars().take(CHARS_MAX).collect();
        let body = numerals(&folded);
        let (mut own, mentioned) = names(&place, &body);
        own.truncate(NAMES_MAX);
        let all = own
            .iter()
            .chain(mentioned.iter().filter(|it| !own.contains(it)));
        let hash = |name: &String| key.short(Use::Name, name.as_bytes());
        Self {
            kind: key.short(Use::Kind, said.kind.as_bytes()),
            community: match community.as_str() {
                "" => 0,
                it => key.short(Use::Community, it.as_bytes()),
            },
            phone: phone(said.phone).map_or(0, |it| key.hash(Use::Phone, it.as_bytes()).max(1)),
            day: said.day,
            names: all.take(NAMES_MAX).map(hash).collect(),
            own_names: own.len(),
            marks: marks(&place, &body),
            words: words(&body, own.iter().chain([&community]), key),
        }
    }

    fn own(&self) -> &[u32] {
        self.names.get(..self.own_names).unwrap_or_default()
    }

    fn days_to(&self, other: &Self) -> u32 {
        self.day.abs_diff(other.day)
    }
}

/// How the places of two records are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The same building, or the same site and neither names a building.
    Same,
    /// The same site, and only one names a building.
    Near,
    /// One does not say where.
    Unknown,
}

impl Place {
    /// The word of commands.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Near => "near",
            Self::Unknown => "unknown",
        }
    }
}

/// Why two records are taken for the same matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reasons {
    /// Of what the shorter one says, how much the other one says as well, in hundredths; rare words weigh more.
    pub words: u8,
    /// Where they are.
    pub place: Place,
    /// Whether both have the same telephone.
    pub phone: bool,
    /// Days between them.
    pub days: u32,
}

/// One record of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<K> {
    /// Which.
    pub id: K,
    /// What it has in common with the oldest record of the cluster.
    pub reasons: Reasons,
}

/// Records that are likely of the same matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster<K> {
    /// The oldest.
    pub head: K,
    /// The others, oldest first.
    pub members: Vec<Member<K>>,
}

/// Groups records that likely speak of the same matter, the group with the newest record first. Records without a like are in none. A
/// group of any size is given as a whole.
///
/// Of a word, site or telephone that very many have, a record is compared with the `BEFORE` before it. 20,000 records of a year take
/// about a second, and a few seconds if all are of one site and one month.
#[must_use]
pub fn clusters<K: Ord + Clone>(records: &[(K, Sketch)]) -> Vec<Cluster<K>> {
    let mut records: Vec<&(K, Sketch)> = records.iter().collect();
    // The oldest first; the order of those who come makes no difference.
    records.sort_by(|(a, x), (b, y)| (x.day, a).cmp(&(y.day, b)));
    let sketches: Vec<&Sketch> = records.iter().map(|(_, sketch)| sketch).collect();
    let weighed = weigh(&sketches);
    let mut clusters = Vec::new();
    for group in groups(&weighed, ties(&weighed)) {
        let mut all = group
            .iter()
            .filter_map(|at| Some((*records.get(*at)?, weighed.get(*at)?)));
        let Some(((head, sketch), first)) = all.next() else {
            continue;
        };
        let mut newest = sketch.day;
        let members = all.filter_map(|((id, sketch), other)| {
            newest = newest.max(sketch.day);
            let reasons = tie(first, other)?.reasons();
            Some(Member {
                id: id.clone(),
                reasons,
            })
        });
        let members: Vec<_> = members.collect();
        clusters.push((
            newest,
            Cluster {
                head: head.clone(),
                members,
            },
        ));
    }
    clusters.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.head.cmp(&y.head)));
    clusters.into_iter().map(|(_, cluster)| cluster).collect()
}

// ---- two records ----

/// A sketch whose words are weighed: ascending by hash, each with its weight.
struct Weighed<'a> {
    sketch: &'a Sketch,
    words: Vec<(u32, u32)>,
    weight: u64,
}

/// Weighs the words of all sketches: the fewer have a word, the more it says.
fn weigh<'a>(sketches: &[&'a Sketch]) -> Vec<Weighed<'a>> {
    // A text counts twice at most, however many hand it in.
    let mut texts: Vec<&[u32]> = sketches.iter().map(|it| it.words.as_slice()).collect();
    texts.sort_unstable();
    let texts = texts.chunk_by(|a, b| a == b);
    let texts: Vec<&[u32]> = texts
        .flat_map(|same| same.iter().copied().take(2))
        .collect();
    let mut all: Vec<u32> = texts.iter().copied().flatten().copied().collect();
    all.sort_unstable();
    let of = texts.len();
    let runs = all.chunk_by(|a, b| a == b);
    let weights = runs.filter_map(|run| Some((*run.first()?, weight(of, run.len()))));
    let weights: Vec<(u32, u32)> = weights.collect();
    let weight_of = |word: &u32| {
        let at = weights.binary_search_by_key(word, |it| it.0).ok()?;
        weights.get(at).copied()
    };
    let weighed = |sketch: &&'a Sketch| {
        let words: Vec<_> = sketch.words.iter().filter_map(weight_of).collect();
        let weight = sum(&words);
        Weighed {
            sketch,
            words,
            weight,
        }
    };
    sketches.iter().map(weighed).collect()
}

/// The weight of a word that so many texts of so many have: the logarithm of its rareness to the base of two, in quarters. What half
/// of them have is an opening or an end that everybody writes, where there are enough to say so.
fn weight(of: usize, have: usize) -> u32 {
    if of >= ENOUGH && have * 2 > of {
        return 0;
    }
    let rare = (wide(of.max(COUNTED_MIN)) << 8) / wide(have.max(1));
    rare.saturating_pow(4).max(1).ilog2().saturating_sub(32)
}

fn wide(number: usize) -> u128 {
    u128::try_from(number).unwrap_or(u128::from(u64::MAX))
}

fn sum(words: &[(u32, u32)]) -> u64 {
    words.iter().map(|(_, weight)| u64::from(*weight)).sum()
}

/// What two records have to do with each other, where nothing says that they are of two matters.
#[derive(Clone, Copy)]
struct Tie {
    /// Common words of those of the shorter, in thousandths.
    words: u32,
    /// Thousandths of what is needed.
    strength: u32,
    place: Place,
    phone: bool,
    days: u32,
}

impl Tie {
    fn reasons(self) -> Reasons {
        Reasons {
            words: u8::try_from(self.words / 10).unwrap_or(100),
            place: self.place,
            phone: self.phone,
            days: self.days,
        }
    }
}

/// None: they are of two matters, whatever they say.
fn tie(a: &Weighed<'_>, b: &Weighed<'_>) -> Option<Tie> {
    let days = a.sketch.days_to(b.sketch);
    if a.sketch.kind != b.sketch.kind || days > DAYS_MAX {
        return None;
    }
    let place = place(a.sketch, b.sketch)?;
    let phone = a.sketch.phone != 0 && a.sketch.phone == b.sketch.phone;
    let needed = match place {
        Place::Same => SAME_PLACE,
        Place::Near | Place::Unknown => OTHERWISE,
    };
    let needed = needed * (DAYS_DOUBLE + days) / DAYS_DOUBLE;
    let needed = if phone { needed / 2 } else { needed };
    let words = common(a, b);
    let strength = (words * 1_000 / needed).min(STRENGTH_MAX);
    Some(Tie {
        words,
        strength,
        place,
        phone,
        days,
    })
}

/// How much of the words of the shorter text both have, in thousandths. Where one is a sample, both are compared as samples.
fn common(a: &Weighed<'_>, b: &Weighed<'_>) -> u32 {
    let reach = |it: &Weighed<'_>| match it.words.last() {
        Some((last, _)) if it.words.len() == WORDS_MAX => *last,
        _ => u32::MAX,
    };
    let reach = reach(a).min(reach(b));
    let within = |it: &Weighed<'_>| match reach {
        u32::MAX => it.weight,
        _ => sum(it
            .words
            .get(..it.words.partition_point(|word| word.0 <= reach))
            .unwrap_or_default()),
    };
    let least = SHORTER_MIN * u64::from(weight(COUNTED_MIN, 2));
    let shorter = within(a).min(within(b)).max(least);
    let mut both: u64 = 0;
    let (mut same, mut told) = (0, 0);
    let mut theirs = b.words.iter().peekable();
    for (word, weight) in &a.words {
        while theirs.next_if(|it| it.0 < *word).is_some() {}
        if theirs.next_if(|it| it.0 == *word).is_some() {
            both += u64::from(*weight);
            same += 1;
            told += usize::from(*weight > 0);
        }
    }
    // Copies of one letter are copies, even if nearly all that is here are copies of it.
    let fewer = a.words.len().min(b.words.len());
    if fewer >= COPIED_MIN && same * 1_000 >= fewer * COPIED {
        return 1_000;
    }
    if told < COMMON_MIN {
        return 0;
    }
    u32::try_from(both * 1_000 / shorter)
        .unwrap_or(0)
        .min(1_000)
}

/// None: they are in two places.
fn place(a: &Sketch, b: &Sketch) -> Option<Place> {
    let both_say = a.community != 0 && b.community != 0;
    if both_say && a.community != b.community {
        return None;
    }
    let within =
        |some: &[u32], all: &[u32]| !some.is_empty() && some.iter().all(|it| all.contains(it));
    let same_site = within(a.own(), b.own()) || within(b.own(), a.own());
    let named = within(a.own(), &b.names) || within(b.own(), &a.names);
    let site = match (a.own().is_empty(), b.own().is_empty()) {
        (false, false) if same_site => true,
        // One speaks of the other's site as well.
        (false, false) if named => false,
        (false, false) => return None,
        _ => named,
    };
    let mut same_house = false;
    let mut houses = 0;
    for class in [HOUSE, UNIT, SIDE, LINE] {
        let mut theirs = of_class(&b.marks, class).peekable();
        let mut mine = of_class(&a.marks, class).peekable();
        let said = (mine.peek().is_some(), theirs.peek().is_some());
        let agree = theirs.any(|it| a.marks.contains(&it));
        if said == (true, true) && !agree {
            return None;
        }
        if class == HOUSE {
            same_house = agree;
            houses = usize::from(said.0) + usize::from(said.1);
        }
    }
    Some(match (site, same_house) {
        (true, true) => Place::Same,
        (false, true) if both_say => Place::Same,
        (true, false) if houses == 0 => Place::Same,
        (true, false) => Place::Near,
        (false, _) => Place::Unknown,
    })
}

/// The marks of one class.
fn of_class(marks: &[u16], class: u16) -> impl Iterator<Item = u16> {
    marks
        .iter()
        .copied()
        .filter(move |mark| mark >> CLASS_SHIFT == class)
}

// ---- many records ----

/// The strongest ties of each record to others: the strength, and the places of both.
fn ties(weighed: &[Weighed<'_>]) -> Vec<(u32, usize, usize)> {
    let places = |(a, b)| Some((usize::try_from(a).ok()?, usize::try_from(b).ok()?));
    let mut found: BTreeMap<usize, Vec<(u32, usize, usize)>> = BTreeMap::new();
    for (a, b) in candidates(weighed).into_iter().filter_map(places) {
        let (Some(x), Some(y)) = (weighed.get(a), weighed.get(b)) else {
            continue;
        };
        if let Some(tie) = tie(x, y).filter(|tie| tie.strength >= 1_000) {
            found.entry(b).or_default().push((tie.strength, a, b));
        }
    }
    let strongest = |mut all: Vec<(u32, usize, usize)>| {
        all.sort_unstable_by_key(|(strength, a, _)| (std::cmp::Reverse(*strength), *a));
        all.truncate(TIES);
        all
    };
    let mut ties: Vec<_> = found.into_values().flat_map(strongest).collect();
    ties.sort_unstable_by_key(|(strength, a, b)| (std::cmp::Reverse(*strength), *a, *b));
    ties
}

/// Pairs that may be of the same matter, each once: they share one of their rarest words, the site, the building or the telephone.
fn candidates(weighed: &[Weighed<'_>]) -> Vec<(u32, u32)> {
    let mut shared: Vec<(u64, u32)> = Vec::new();
    // Who has a word alone finds nobody by it.
    let alone = weight(weighed.len(), 1);
    for (it, at) in weighed.iter().zip(0..) {
        let mut rarest = it.words.clone();
        rarest.sort_unstable_by_key(|(word, weight)| (std::cmp::Reverse(*weight), *word));
        let sought = rarest
            .iter()
            .filter(|(_, weight)| *weight < alone)
            .take(SOUGHT);
        shared.extend(sought.map(|(word, _)| (u64::from(*word), at)));
        let of = |sort: u64, value: u32| (sort << 32 | u64::from(value), at);
        shared.extend(it.sketch.names.iter().map(|name| of(1, *name)));
        let houses = it
            .sketch
            .marks
            .iter()
            .filter(|mark| **mark >> CLASS_SHIFT == HOUSE);
        shared.extend(houses.map(|house| of(2 + u64::from(*house), it.sketch.community)));
        if it.sketch.phone != 0 {
            shared.push((it.sketch.phone | 1 << 63, at));
        }
    }
    shared.sort_unstable();
    let mut pairs = Vec::new();
    for run in shared.chunk_by(|a, b| a.0 == b.0) {
        for (at, (_, b)) in run.iter().enumerate() {
            let before = run.get(at.saturating_sub(BEFORE)..at).unwrap_or_default();
            pairs.extend(before.iter().filter(|(_, a)| a < b).map(|(_, a)| (*a, *b)));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// A group while it grows.
#[derive(Default)]
struct Group {
    oldest: usize,
    /// Those who were first put together come first.
    members: Vec<usize>,
    /// Strengths between members, and how many were looked at.
    strength: u64,
    pairs: u64,
}

/// Puts records together, the strongest ties first. Two groups become one where their members are on average as much alike as is
/// needed, nobody is in another place or season than the oldest, and the looser is not much looser inside than the tighter.
fn groups(weighed: &[Weighed<'_>], ties: Vec<(u32, usize, usize)>) -> Vec<Vec<usize>> {
    let mut group_of: Vec<usize> = (0..weighed.len()).collect();
    let alone = |at| Group {
        oldest: at,
        members: vec![at],
        ..Group::default()
    };
    let mut groups: Vec<Group> = (0..weighed.len()).map(alone).collect();
    let mut refused = BTreeMap::new();
    for (_, a, b) in ties {
        let (Some(&one), Some(&two)) = (group_of.get(a), group_of.get(b)) else {
            continue;
        };
        let (Some(x), Some(y)) = (groups.get(one), groups.get(two)) else {
            continue;
        };
        // As they are, they were refused before.
        let sizes = (x.members.len(), y.members.len());
        if one == two || refused.get(&(one, two)) == Some(&sizes) {
            continue;
        }
        let Some((strength, pairs)) = joined(weighed, x, y) else {
            refused.insert((one, two), sizes);
            refused.insert((two, one), (sizes.1, sizes.0));
            continue;
        };
        let (into, from) = if sizes.0 < sizes.1 {
            (two, one)
        } else {
            (one, two)
        };
        let gone = groups.get_mut(from).map(std::mem::take).unwrap_or_default();
        for at in &gone.members {
            if let Some(group) = group_of.get_mut(*at) {
                *group = into;
            }
        }
        if let Some(group) = groups.get_mut(into) {
            group.oldest = group.oldest.min(gone.oldest);
            group.members.extend(gone.members);
            group.strength += gone.strength + strength;
            group.pairs += gone.pairs + pairs;
        }
    }
    let members = groups.into_iter().map(|mut it| {
        it.members.sort_unstable();
        it.members
    });
    members.filter(|it| it.len() > 1).collect()
}

/// The strengths between two groups and how many there are, if the groups may become one.
fn joined(weighed: &[Weighed<'_>], one: &Group, two: &Group) -> Option<(u64, u64)> {
    let (first, others) = if one.oldest < two.oldest {
        (one, two)
    } else {
        (two, one)
    };
    for other in &others.members {
        tie(weighed.get(first.oldest)?, weighed.get(*other)?)?;
    }
    let (mut strength, mut pairs) = (0, 0);
    for a in one.members.iter().take(COMPARED) {
        for b in two.members.iter().take(COMPARED) {
            let tie = tie(weighed.get(*a)?, weighed.get(*b)?)?;
            strength += u64::from(tie.strength);
            pairs += 1;
        }
    }
    let inside = |it: &Group| it.strength * u64::from(JOINS_ABOVE) / 1_000 / it.pairs.max(1);
    let above = inside(one).max(inside(two)) * pairs;
    (strength >= 1_000 * pairs && strength > above).then_some((strength, pairs))
}

// ---- what is said ----

/// A telephone number's digits, without the country's.
fn phone(typed: &str) -> Option<String> {
    let plain = text::folded(typed);
    let digits: String = plain.chars().filter(char::is_ascii_digit).collect();
    let country = if plain.starts_with('+') { "86" } else { "0086" };
    let digits = digits.strip_prefix(country).unwrap_or(&digits);
    (digits.len() >= PHONE_DIGITS_MIN).then(|| digits.to_owned())
}

/// A folded text with Chinese numerals as digits: 三号楼 and 3号楼 are one. In other words they are digits as well, everywhere alike.
fn numerals(folded: &str) -> String {
    let mut out = String::with_capacity(folded.len());
    let mut run: Vec<u32> = Vec::new();
    for c in folded.chars().map(Some).chain([None]) {
        let value = c.and_then(|c| "〇一二三四五六七八九".chars().position(|it| it == c));
        let value = value.and_then(|it| u32::try_from(it).ok()).or(match c {
            Some('零') => Some(0),
            Some('两') => Some(2),
            Some('十') => Some(10),
            Some('百') => Some(100),
            _ => None,
        });
        if let Some(value) = value {
            run.push(value);
            continue;
        }
        if run.iter().any(|it| *it >= 10) {
            let (mut whole, mut last) = (0_u32, None);
            for value in run.drain(..) {
                if value < 10 {
                    last = Some(value);
                } else {
                    whole = whole.saturating_add(last.take().unwrap_or(1) * value);
                }
            }
            out.push_str(&whole.saturating_add(last.unwrap_or(0)).to_string());
        } else {
            out.extend(run.drain(..).filter_map(|it| char::from_digit(it, 10)));
        }
        out.extend(c);
    }
    out
}

/// Marks tell parts of a site apart: the class in the highest bits, the number below.
const CLASS_SHIFT: u32 = 12;
const HOUSE: u16 = 1;
const UNIT: u16 = 2;
const SIDE: u16 = 3;
const LINE: u16 = 4;
/// What stands behind a number or a letter of a class, longest first.
const COUNTERS: [(&str, u16); 11] = [
    ("号楼", HOUSE),
    ("号院", HOUSE),
    ("#楼", HOUSE),
    ("单元", UNIT),
    ("栋", HOUSE),
    ("幢", HOUSE),
    ("座", HOUSE),
    ("号", HOUSE),
    ("#", HOUSE),
    ("路", LINE),
    ("门", UNIT),
];
/// What stands behind a direction if it is a side or a gate.
const SIDES: &str = "侧边头面门口段墙围外";
/// Numbers of one class in a text, above which it lists them and says where by none.
const OF_CLASS_MAX: usize = 2;
/// A part of a sentence with one of these says where somebody lives.
const LIVES: [&str; 4] = ["我住", "我是", "住在", "家住"];

/// The marks of a record: of each class those of the place, or else those of the text.
fn marks(place: &str, body: &str) -> Vec<u16> {
    let there = pieces(place).filter_map(Piece::mark).collect::<Vec<_>>();
    let parts = body.split(|c: char| !c.is_alphanumeric() && c != ' ' && c != '#');
    let parts = parts.filter(|part| !LIVES.iter().any(|it| part.contains(it)));
    let said: Vec<u16> = parts.flat_map(pieces).filter_map(Piece::mark).collect();
    let mut marks = Vec::new();
    for class in [HOUSE, UNIT, SIDE, LINE] {
        let of_class = |all: &[u16]| of_class(all, class).collect::<BTreeSet<_>>();
        let here = of_class(&there);
        let here = if here.is_empty() {
            of_class(&said)
        } else {
            here
        };
        if here.len() <= OF_CLASS_MAX {
            marks.extend(here);
        }
    }
    marks.truncate(MARKS_MAX);
    marks
}

/// A piece of a text: a mark, or a character that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Mark(u16),
    Char(char),
}

impl Piece {
    fn mark(self) -> Option<u16> {
        match self {
            Self::Mark(mark) => Some(mark),
            Self::Char(_) => None,
        }
    }
}

/// The pieces of a folded text with digits.
fn pieces(text: &str) -> impl Iterator<Item = Piece> {
    let mut rest = text;
    let mut before = ' ';
    std::iter::from_fn(move || {
        let c = rest.chars().next()?;
        if let Some((mark, behind)) = mark_at(rest, before) {
            rest = behind;
            before = ' ';
            return Some(Piece::Mark(mark));
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        before = c;
        Some(Piece::Char(c))
    })
}

/// The mark at the beginning of a text, and what is behind it.
fn mark_at(text: &str, before: char) -> Option<(u16, &str)> {
    let c = text.chars().next()?;
    let behind = text.get(c.len_utf8()..)?;
    if let Some(side) = "东西南北".chars().position(|it| it == c) {
        let next = behind.chars().next()?;
        let side = u16::try_from(side).ok()?;
        return (SIDES.contains(next) && before != '东')
            .then_some((SIDE << CLASS_SHIFT | side, behind));
    }
    let (value, behind) = if c.is_ascii_digit() && !before.is_ascii_alphanumeric() && before != '月'
    {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, behind) = text.split_at_checked(end)?;
        (digits.parse().ok()?, behind)
    } else if c.is_ascii_lowercase() && !before.is_ascii_alphanumeric() {
        (u16::try_from(u32::from(c)).ok()?, behind)
    } else {
        return None;
    };
    let unspaced = behind.trim_start();
    let counter = |(counter, class): &(&str, u16)| Some((unspaced.strip_prefix(counter)?, *class));
    let (behind, class) = COUNTERS.iter().find_map(counter)?;
    (value < 1 << CLASS_SHIFT).then_some((class << CLASS_SHIFT | value, behind))
}

/// What the name of a site ends with, longest first. The first of them are names in a text as well; the others only where a place is
/// asked for.
const SITES: [&str; 36] = [
    "幼儿园",
    "菜市场",
    "小区",
    "花园",
    "家园",
    "新村",
    "佳苑",
    "公寓",
    "大厦",
    "广场",
    "公园",
    "医院",
    "小学",
    "中学",
    "市场",
    "服务中心",
    "卫生站",
    "服务站",
    "活动室",
    "公交站",
    "大道",
    "胡同",
    "学校",
    "超市",
    "商场",
    "村",
    "苑",
    "街",
    "巷",
    "桥",
    "河",
    "里",
    "庄",
    "弄",
    "湖",
    "路",
];
const SITES_IN_TEXTS: usize = 15;
/// Characters before it that belong to the name.
const NAME_CHARS: usize = 2;
/// What stands before such a word and is no name.
const NAMELESS: [&str; 12] = [
    "老旧", "附近", "隔壁", "旁边", "周边", "对面", "整个", "楼道", "车库", "院子", "电梯", "社区",
];

/// The names of sites that say where it is, and those that are mentioned.
fn names(place: &str, body: &str) -> (Vec<String>, Vec<String>) {
    let there = names_in(place, SITES.len(), false);
    let parts = body.split(|c: char| !c.is_alphanumeric());
    let (mut said, mut mentioned) = (Vec::new(), Vec::new());
    for part in parts {
        let lives = LIVES.iter().any(|it| part.contains(it));
        let found = names_in(part, SITES_IN_TEXTS, true);
        if lives { &mut mentioned } else { &mut said }.extend(found);
        mentioned.extend(names_in(part, SITES.len(), true));
    }
    said.sort_unstable();
    said.dedup();
    let mut own = there;
    if own.is_empty() && said.len() <= OF_CLASS_MAX {
        own = said;
    } else {
        mentioned.extend(said);
    }
    mentioned.sort_unstable();
    mentioned.dedup();
    (own, mentioned)
}

/// The names of sites in one part of a text, those with the first so many endings.
fn names_in(part: &str, endings: usize, in_text: bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut before = String::new();
    let mut pieces = pieces(part);
    let mut chars = String::new();
    loop {
        let piece = pieces.next();
        if let Some(Piece::Char(c)) = piece {
            chars.push(c);
            continue;
        }
        let mut rest = chars.as_str();
        while let Some(c) = rest.chars().next() {
            let ending = SITES.iter().take(endings).find(|it| rest.starts_with(**it));
            let Some(ending) = ending else {
                before.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
                continue;
            };
            let skipped = before.chars().count().saturating_sub(NAME_CHARS);
            let stem: String = before.chars().skip(skipped).collect();
            let is_name = stem
                .chars()
                .all(|c| c.is_alphabetic() && !(in_text && GRAMMAR.contains(c)));
            let long_enough = stem.chars().count() >= if in_text { NAME_CHARS } else { 1 };
            if is_name && long_enough && !NAMELESS.contains(&stem.as_str()) {
                found.push(stem + ending);
            }
            before.clear();
            rest = rest.strip_prefix(ending).unwrap_or_default();
        }
        chars.clear();
        before.clear();
        if piece.is_none() {
            break;
        }
    }
    found.dedup();
    found
}

/// Characters of grammar, of time and of every petition: neither they nor pairs with them say what a matter is.
const GRAMMAR: &str = "的了是在我们你他她它这那有没不就都也还和与及或被把给让请要想能可会到去来着过吗呢吧啊呀嘛个些么什怎为因所以而且但如果已经很太更最再又\
    从对向往上下里外前后中间内每多少几家住户人居民反映希望建议群众求尽快天年月日点";

/// The words of a text as hashes, the smallest [`WORDS_MAX`] ascending. Names of the site, of the community and marks are left out: the
/// place is compared by itself.
fn words<'a>(body: &str, names: impl Iterator<Item = &'a String>, key: Key) -> Vec<u32> {
    let mut body = body.to_owned();
    for name in names.filter(|it| !it.is_empty()) {
        body = body.replace(name.as_str(), " ");
    }
    let body = one_word(&body);
    let mut found = Vec::new();
    let mut last = None;
    let mut bytes = [0; 8];
    for piece in pieces(&body) {
        let c = match piece {
            Piece::Char(c) if c.is_alphabetic() && !GRAMMAR.contains(c) => Some(c),
            _ => None,
        };
        if let Some(c) = c {
            found.push(key.hash(Use::Word, c.encode_utf8(&mut bytes).as_bytes()));
            if let Some(last) = last {
                let pair: String = [last, c].into_iter().collect();
                found.push(key.hash(Use::Word, pair.as_bytes()));
            }
        }
        last = c;
    }
    let short = found
        .into_iter()
        .filter_map(|it| u32::try_from(it & WORD_MASK).ok());
    let mut words: Vec<u32> = short.collect();
    words.sort_unstable();
    words.dedup();
    words.truncate(WORDS_MAX);
    words
}

/// Words for one thing, the one that stands for all first: plain names of what residents speak of, no likeness of meaning. Without
/// them, one pair in twenty of those that different people described is missed.
const THINGS: [&str; 35] = [
    "电动车 电瓶车 电动自行车 电单车",
    "自行车 单车",
    "汽车 轿车 小车",
    "公交 公共汽车",
    "车位 停车位",
    "乱停 违停",
    "红绿灯 信号灯 绿灯",
    "斑马线 人行横道",
    "监控 摄像头 探头",
    "暖气 供热 供暖",
    "下水 排水",
    "漏水 渗水 漏雨",
    "井盖 窨井盖",
    "厕所 公厕 卫生间 洗手间",
    "楼道 楼梯间",
    "房顶 屋顶",
    "护栏 栏杆",
    "消防栓 消火栓",
    "菜市场 菜场 农贸市场",
    "饭馆 饭店 餐馆 餐厅",
    "食堂 助餐",
    "摊贩 小贩 商贩 地摊",
    "狗 犬",
    "野猫 流浪猫",
    "孩子 小孩子 小孩 娃娃 娃儿 小朋友 儿童",
    "老人 老年人 老太太 老头子 老奶奶",
    "医生 大夫",
    "工资 工钱 薪水",
    "噪音 噪声",
    "扰民 吵人 吵闹",
    "臭 臭味 恶臭 异味 难闻",
    "坏 损坏 故障 破损 失灵",
    "修 维修 修理 检修",
    "堵 拥堵 堵塞",
    "摔 跌倒 滑倒",
];

/// The words for one thing by their first characters, the longest first, each with the one that stands for all.
static WORDS: LazyLock<BTreeMap<char, Vec<(&str, &str)>>> = LazyLock::new(|| {
    let mut words: BTreeMap<char, Vec<(&str, &str)>> = BTreeMap::new();
    for thing in THINGS {
        let mut all = thing.split(' ').peekable();
        let one = all.peek().copied().unwrap_or_default();
        for word in all {
            let first = word.chars().next().unwrap_or_default();
            words.entry(first).or_default().push((word, one));
        }
    }
    for same in words.values_mut() {
        same.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
    }
    words
});

/// A text with one word for each of the [`THINGS`].
fn one_word(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let known = WORDS.get(&c).into_iter().flatten();
        let known = known.copied().find(|(word, _)| rest.starts_with(word));
        let next = if let Some((word, one)) = known {
            out.push_str(one);
            word.len()
        } else {
            out.push(c);
            c.len_utf8()
        };
        rest = rest.get(next..).unwrap_or_default();
    }
    out
}

// ---- the hash ----

/// SipHash-2-4 (J.-P. Aumasson and D. J. Bernstein, SipHash: a fast short-input PRF, 2012): short texts are hashed under a key, so that
/// nobody without it can look a telephone number up.
fn siphash([a, b]: [u64; 2], bytes: &[u8]) -> u64 {
    let mut state = [
        a ^ 0x736f_6d65_7073_6575,
        b ^ 0x646f_7261_6e64_6f6d,
        a ^ 0x6c79_6765_6e65_7261,
        b ^ 0x7465_6462_7974_6573,
    ];
    let (blocks, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let len = u64::try_from(bytes.len()).unwrap_or(0) << 56;
    let last = u64::from_le_bytes(last) | len;
    for block in blocks
        .iter()
        .map(|it| u64::from_le_bytes(*it))
        .chain([last])
    {
        state[3] ^= block;
        rounds(&mut state, 2);
        state[0] ^= block;
    }
    state[2] ^= 0xff;
    rounds(&mut state, 4);
    state.into_iter().fold(0, |all, it| all ^ it)
}

fn rounds(state: &mut [u64; 4], times: usize) {
    let [mut a, mut b, mut c, mut d] = *state;
    for _ in 0..times {
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
    }
    *state = [a, b, c, d];
}

/// The low half.
fn low(both: u128) -> u64 {
    u64::try_from(both & u128::from(u64::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
