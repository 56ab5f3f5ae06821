//! Changes written byte by byte, as no honest writer makes them.

use sha2::{Digest, Sha256};

use super::*;

/// A change written byte by byte; the default is Anna's first, without operations.
#[derive(Clone)]
pub(super) struct HandMade {
    pub(super) deps: Vec<ChangeHash>,
    pub(super) actor: ActorId,
    pub(super) seq: u64,
    pub(super) start_op: u64,
    pub(super) time: i64,
    pub(super) message: String,
    /// Other actors that the operations name by their indices, from 1.
    pub(super) others: Vec<ActorId>,
    /// Specification and content of each column, in the order of the file.
    pub(super) columns: Vec<(u64, Vec<u8>)>,
    pub(super) trailing: Vec<u8>,
}

impl Default for HandMade {
    fn default() -> Self {
        Self {
            deps: Vec::new(),
            actor: ANNA,
            seq: 1,
            start_op: 1,
            time: 0,
            message: String::new(),
            others: Vec::new(),
            columns: Vec::new(),
            trailing: Vec::new(),
        }
    }
}

/// Columns of one operation: puts null at the key "k" of the root.
pub(super) fn one_put() -> Vec<(u64, Vec<u8>)> {
    vec![
        (21, vec![0x7f, 1, b'k']),
        (52, vec![1]),
        (66, vec![0x7f, 1]),
        (86, vec![0x7f, 0]),
        (112, vec![0x7f, 0]),
    ]
}

impl HandMade {
    pub(super) fn raw(&self) -> RawChange {
        let mut content = unsigned(self.deps.len() as u64);
        content.extend(self.deps.iter().flatten());
        content.push(16);
        content.extend(self.actor);
        content.extend(unsigned(self.seq));
        content.extend(unsigned(self.start_op));
        content.extend(signed(self.time));
        content.extend(unsigned(self.message.len() as u64));
        content.extend(self.message.bytes());
        content.extend(unsigned(self.others.len() as u64));
        for actor in &self.others {
            content.push(16);
            content.extend(actor);
        }
        content.extend(unsigned(self.columns.len() as u64));
        for (spec, bytes) in &self.columns {
            content.extend(unsigned(*spec));
            content.extend(unsigned(bytes.len() as u64));
        }
        content.extend(self.columns.iter().flat_map(|(_, bytes)| bytes));
        content.extend(&self.trailing);
        chunk(&content)
    }
}

/// A chunk of type 1 with a true checksum.
pub(super) fn chunk(content: &[u8]) -> RawChange {
    let bytes = chunk_of(1, content);
    let hash = Sha256::digest(bytes.get(8..).unwrap_or_default()).into();
    RawChange { bytes, hash }
}

pub(super) fn chunk_of(chunk_type: u8, content: &[u8]) -> Vec<u8> {
    let hashed = [
        vec![chunk_type],
        unsigned(content.len() as u64),
        content.to_vec(),
    ]
    .concat();
    let digest: [u8; 32] = Sha256::digest(&hashed).into();
    let checksum = digest.get(..4).unwrap_or_default();
    [&[0x85, 0x6f, 0x4a, 0x83], checksum, hashed.as_slice()].concat()
}

pub(super) fn unsigned(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

pub(super) fn signed(mut value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        let negative = low & 0x40 != 0;
        if value == if negative { -1 } else { 0 } {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// One operation, as [`columns`] writes it.
#[derive(Clone, Debug)]
pub(super) struct HandOp {
    /// Counter and index of the actor that made the map; none for the root.
    pub(super) object: Option<(u64, u64)>,
    pub(super) key: String,
    pub(super) action: u64,
    /// Type and length, and the bytes.
    pub(super) value: (u64, Vec<u8>),
    /// Counters and indices of actors.
    pub(super) preds: Vec<(u64, u64)>,
}

impl HandOp {
    pub(super) fn put(object: Option<(u64, u64)>, key: &str, text: &str) -> Self {
        Self {
            object,
            key: key.to_owned(),
            action: 1,
            value: ((text.len() as u64) << 4 | 6, text.as_bytes().to_vec()),
            preds: Vec::new(),
        }
    }

    pub(super) fn int(object: Option<(u64, u64)>, key: &str, number: i64) -> Self {
        let bytes = signed(number);
        Self {
            value: ((bytes.len() as u64) << 4 | 4, bytes),
            ..Self::put(object, key, "")
        }
    }

    pub(super) fn map(object: Option<(u64, u64)>, key: &str) -> Self {
        Self {
            action: 0,
            value: (0, Vec::new()),
            ..Self::put(object, key, "")
        }
    }

    pub(super) fn delete(object: Option<(u64, u64)>, key: &str, preds: &[(u64, u64)]) -> Self {
        Self {
            action: 3,
            preds: preds.to_vec(),
            ..Self::map(object, key)
        }
    }

    pub(super) fn over(self, preds: &[(u64, u64)]) -> Self {
        Self {
            preds: preds.to_vec(),
            ..self
        }
    }
}

/// The columns of these operations.
pub(super) fn columns(ops: &[HandOp]) -> Vec<(u64, Vec<u8>)> {
    let number = |value: &u64| unsigned(*value);
    let all = |get: &dyn Fn(&HandOp) -> Option<u64>| -> Vec<u8> {
        rows(&ops.iter().map(get).collect::<Vec<_>>(), number)
    };
    let keys: Vec<_> = ops.iter().map(|op| Some(op.key.clone())).collect();
    let preds = || ops.iter().flat_map(|op| &op.preds);
    let mut last = 0;
    let steps: Vec<_> = preds()
        .map(|(counter, _)| {
            let step = *counter as i64 - last;
            last = *counter as i64;
            Some(step)
        })
        .collect();
    let actors: Vec<_> = preds().map(|(_, actor)| Some(*actor)).collect();
    // No run is empty.
    let insert = if ops.is_empty() {
        Vec::new()
    } else {
        unsigned(ops.len() as u64)
    };
    let columns = vec![
        (1, all(&|op| op.object.map(|(_, actor)| actor))),
        (2, all(&|op| op.object.map(|(counter, _)| counter))),
        (
            21,
            rows(&keys, |key: &String| {
                [unsigned(key.len() as u64), key.clone().into_bytes()].concat()
            }),
        ),
        (52, insert),
        (66, all(&|op| Some(op.action))),
        (86, all(&|op| Some(op.value.0))),
        (87, ops.iter().flat_map(|op| op.value.1.clone()).collect()),
        (112, all(&|op| Some(op.preds.len() as u64))),
        (113, rows(&actors, number)),
        (115, rows(&steps, |step: &i64| signed(*step))),
    ];
    let used = |(_, bytes): &(u64, Vec<u8>)| !bytes.is_empty();
    columns.into_iter().filter(used).collect()
}

/// A run-length encoded column; one without any value is left out.
fn rows<T: PartialEq>(values: &[Option<T>], write: impl Fn(&T) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    if values.iter().all(Option::is_none) {
        return out;
    }
    let mut rest = values;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|it| *it == first).count();
        match first {
            None => out.extend([signed(0), unsigned(same as u64)].concat()),
            Some(value) if same > 1 => out.extend([signed(same as i64), write(value)].concat()),
            Some(_) => {
                let lone = |at: &usize| {
                    rest.get(*at).is_some_and(Option::is_some) && rest.get(*at) != rest.get(at + 1)
                };
                let count = (0..rest.len()).take_while(lone).count();
                out.extend(signed(-(count as i64)));
                out.extend(rest.iter().take(count).flatten().flat_map(&write));
                rest = rest.get(count..).unwrap_or_default();
                continue;
            }
        }
        rest = rest.get(same..).unwrap_or_default();
    }
    out
}
