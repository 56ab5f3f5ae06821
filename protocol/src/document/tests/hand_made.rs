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
        content.push(0);
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
