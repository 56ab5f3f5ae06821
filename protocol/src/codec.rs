//! The one strict codec: every signed byte and every frame is written and read here.
//!
//! Big-endian fixed-width integers, length-prefixed bytes, and inside batches minimal LEB128. One
//! value has one encoding: overlong integers, trailing bytes, unknown tags and lengths beyond their
//! bound are refused, so that a signature over bytes is a signature over a meaning. Rejected: serde
//! formats, which accept several encodings of one value (postcard reads `80 00` as zero).

use thiserror::Error;

/// Why bytes are not what they should be: the offset of the first byte that does not fit and what
/// was expected there. It never carries the bytes themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("byte {offset}: {what}")]
pub struct DecodeError {
    /// Offset in the decoded slice.
    pub offset: usize,
    /// What was expected or exceeded there.
    pub what: &'static str,
}

/// Appends values to a byte vector.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer that takes so many bytes before it asks for more memory.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// The bytes written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Minimal LEB128.
    pub fn varint(&mut self, mut value: u64) -> &mut Self {
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                return self.u8(low);
            }
            self.u8(low | 0x80);
        }
    }

    /// A difference, modulo 2⁶⁴, as minimal LEB128 of its zigzag form: 0, −1, 1, −2 … become 0, 1, 2, 3 ….
    pub fn difference(&mut self, value: u64, before: u64) -> &mut Self {
        let signed = value.wrapping_sub(before) as i64;
        self.varint(((signed << 1) ^ (signed >> 63)) as u64)
    }

    /// Bytes whose length the reader knows.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Length (u32) and bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len());
        self.fixed(bytes)
    }

    /// Length (u32) and UTF-8.
    pub fn str(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A count or length as u32. Lengths come from memory, where more than 4 GiB in one value has
    /// been refused long before; saturating makes the reader refuse instead of misread.
    pub fn length(&mut self, len: usize) -> &mut Self {
        self.u32(u32::try_from(len).unwrap_or(u32::MAX))
    }
}

/// Reads values from a slice and remembers where it is.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            offset: 0,
        }
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error at the present offset.
    ///
    /// # Errors
    /// Always.
    pub const fn fail<T>(&self, what: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError {
            offset: self.offset,
            what,
        })
    }

    /// `len` bytes.
    ///
    /// # Errors
    /// Fewer than `len` bytes are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += len;
                Ok(taken)
            }
            // rule:codec-refuse
            None => self.fail("the bytes end too early"),
        }
    }

    /// `N` bytes.
    ///
    /// # Errors
    /// Fewer than `N` bytes are left.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += N;
                Ok(*taken)
            }
            None => self.fail("the bytes end too early"),
        }
    }

    /// One byte.
    ///
    /// # Errors
    /// No byte is left.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// Too few bytes are left.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// Too few bytes are left.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// Too few bytes are left.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.fixed().map(u64::from_be_bytes)
    }

    /// Minimal LEB128 of at most 64 bits.
    ///
    /// # Errors
    /// The bytes end, the value needs more than 64 bits, or a shorter encoding exists.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        // Most take one byte.
        if let Some((first @ 0..0x80, rest)) = self.rest.split_first() {
            (self.rest, self.offset) = (rest, self.offset + 1);
            return Ok(u64::from(*first));
        }
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return self.fail("an integer of more than 64 bits");
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return self.fail("an overlong integer");
                }
                return Ok(value);
            }
        }
        self.fail("an integer of more than 64 bits")
    }

    /// What [`Writer::difference`] wrote, added to the value before it.
    ///
    /// # Errors
    /// See [`varint`](Self::varint).
    pub fn difference(&mut self, before: u64) -> Result<u64, DecodeError> {
        let folded = self.varint()?;
        Ok(before.wrapping_add((folded >> 1) ^ (folded & 1).wrapping_neg()))
    }

    /// A length of at most `max`.
    ///
    /// # Errors
    /// The length is larger than `max`.
    pub fn length(&mut self, max: usize, what: &'static str) -> Result<usize, DecodeError> {
        let len = self.u32()?;
        match usize::try_from(len) {
            // rule:codec-length-first rule:limits-read
            Ok(len) if len <= max => Ok(len),
            _ => self.fail(what),
        }
    }

    /// A count of items, each at least `item_bytes` long: bounded by `max` and by the bytes that are
    /// left, so that a count never makes the reader allocate for what is not there.
    ///
    /// # Errors
    /// The count exceeds either bound.
    pub fn count(&mut self, max: usize, item_bytes: usize) -> Result<usize, DecodeError> {
        let count = self.length(max, "a count beyond its bound")?;
        // rule:codec-length-first
        if count.saturating_mul(item_bytes) > self.rest.len() {
            return self.fail("a count beyond the bytes that follow");
        }
        Ok(count)
    }

    /// Length-prefixed bytes of at most `max`.
    ///
    /// # Errors
    /// Longer than `max`, or the bytes end.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.length(max, "a length beyond its bound")?;
        self.take(len)
    }

    /// Length-prefixed UTF-8 of at most `max` bytes.
    ///
    /// # Errors
    /// Longer than `max`, the bytes end, or they are not UTF-8.
    pub fn str(&mut self, max: usize) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes(max)?;
        // rule:codec-refuse
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(_) => self.fail("text that is not UTF-8"),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Bytes are left over.
    pub const fn finish(self) -> Result<(), DecodeError> {
        // rule:codec-refuse
        if self.rest.is_empty() {
            Ok(())
        } else {
            self.fail("bytes after the end")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_and_nothing_is_left() -> Result<(), DecodeError> {
        let mut writer = Writer::new();
        writer
            .u8(7)
            .u16(258)
            .u32(70_000)
            .u64(u64::MAX)
            .bytes(b"abc")
            .str("连心");
        let values = [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX,
        ];
        for value in values {
            writer.varint(value).difference(value, 5);
        }
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8()?, 7);
        assert_eq!(reader.u16()?, 258);
        assert_eq!(reader.u32()?, 70_000);
        assert_eq!(reader.u64()?, u64::MAX);
        assert_eq!(reader.bytes(3)?, b"abc");
        assert_eq!(reader.str(6)?, "连心");
        for value in values {
            assert_eq!(reader.varint()?, value);
            assert_eq!(reader.difference(5)?, value);
        }
        reader.finish()
    }

    // rule:codec-refuse
    #[test]
    fn a_second_encoding_of_a_value_is_refused() {
        for overlong in [&[0x80, 0x00][..], &[0xff, 0x00], &[0x81, 0x80, 0x00]] {
            assert!(Reader::new(overlong).varint().is_err(), "{overlong:x?}");
        }
        assert!(Reader::new(&[0xff; 10]).varint().is_err());
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2])
                .varint()
                .is_err()
        );
        assert!(Reader::new(&[1]).finish().is_err());
    }

    // rule:codec-refuse rule:codec-length-first rule:limits-read
    #[test]
    fn lengths_are_checked_before_anything_is_taken() {
        let huge = [0xff, 0xff, 0xff, 0xff, 1];
        assert!(Reader::new(&huge).bytes(1024).is_err());
        assert!(Reader::new(&huge).count(1024, 1).is_err());
        assert!(Reader::new(&[0, 0, 0, 9, 1]).count(1024, 1).is_err());
        assert!(Reader::new(&[0, 0, 0, 2, 1, 1]).bytes(1).is_err());
        assert!(Reader::new(&[0, 0, 0, 2, 1, 1]).count(1, 1).is_err());
        assert!(Reader::new(&[0, 0, 0, 2, 0xc3, 0x28]).str(9).is_err());
    }
}
