//! A place in Avro's binary encoding: moves forward, checks every length against what is there, and copies nothing.
//!
//! A varint is at most ten bytes, a length at most the bytes that are left, a block at most one element for each byte that is left: what
//! a lying number says is never allocated or walked. Not here: what the bytes mean.

use std::str::Utf8Error;

use crate::fault::{Fault, Scanned};

/// A place in a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes before `bytes` in the message, for error messages.
    base: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`, which stand `base` bytes into their message.
    pub(crate) const fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, base }
    }

    /// Where we are, in bytes from the start.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Goes back to a place that [`Self::at`] told.
    pub(crate) const fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// What stands from `from` to here.
    #[inline]
    pub(crate) fn since(&self, from: usize) -> &'a [u8] {
        &self.bytes[from..self.at]
    }

    /// What stands from here on.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The same bytes from `from` to here, as a body of their own.
    pub(crate) fn part(&self, from: usize) -> Self {
        Self { bytes: self.since(from), at: 0, base: self.base + from }
    }

    pub(crate) const fn syntax(&self, why: &'static str) -> Fault {
        Fault::Syntax { at: self.base + self.at, why }
    }

    /// Nothing may follow.
    pub(crate) const fn end(&self) -> Scanned<()> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.syntax("want the end")) }
    }

    const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A whole number, in zigzag.
    #[inline]
    pub(crate) fn long(&mut self) -> Scanned<i64> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(zigzag(u64::from(*byte)))
            }
            _ => match self.varint() {
                Some(value) => Ok(zigzag(value)),
                None => Err(self.no_varint()),
            },
        }
    }

    /// A whole number of 32 bits.
    #[inline]
    pub(crate) fn int(&mut self) -> Scanned<i32> {
        let from = self.at;
        i32::try_from(self.long()?).map_err(|_| Fault::Syntax { at: self.base + from, why: "want an int of 32 bits" })
    }

    fn varint(&mut self) -> Option<u64> {
        let Some(word) = self.rest().first_chunk() else { return self.varint_by_bytes() };
        let word = u64::from_le_bytes(*word);
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return self.varint_by_bytes();
        }
        self.at += ends.trailing_zeros() as usize / 8 + 1;
        Some(packed(word & (ends ^ (ends - 1))))
    }

    /// One that is longer than eight bytes, or with less than eight bytes behind its first.
    #[cold]
    fn varint_by_bytes(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0, 0);
        for (place, byte) in self.bytes[self.at..].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if *byte < 0x80 {
                // The tenth byte has one bit left.
                if place == 9 && *byte > 1 {
                    break;
                }
                self.at += place + 1;
                return Some(value);
            }
        }
        None
    }

    #[cold]
    const fn no_varint(&self) -> Fault {
        self.syntax(if self.left() < 10 { "the number is cut short" } else { "a number of more than 64 bits" })
    }

    /// So many bytes.
    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Scanned<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        match rest.get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.syntax("the value is cut short")),
        }
    }

    fn chunk<const N: usize>(&mut self) -> Scanned<[u8; N]> {
        match self.bytes[self.at..].first_chunk() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.syntax("the value is cut short")),
        }
    }

    /// Bytes with their length before them.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Scanned<&'a [u8]> {
        let from = self.at;
        match usize::try_from(self.long()?) {
            Ok(length) if length <= self.left() => self.take(length),
            _ => Err(Fault::Syntax { at: self.base + from, why: "a length beyond the message's end" }),
        }
    }

    /// A text.
    #[inline]
    pub(crate) fn text(&mut self) -> Scanned<&'a str> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|error| self.not_utf8(bytes, error))
    }

    /// The bytes of a text. Most are ASCII, which is told faster than a text is made.
    #[inline]
    pub(crate) fn utf8(&mut self) -> Scanned<&'a [u8]> {
        let bytes = self.bytes()?;
        if !bytes.is_ascii() {
            std::str::from_utf8(bytes).map_err(|error| self.not_utf8(bytes, error))?;
        }
        Ok(bytes)
    }

    /// The fault of bytes that were just taken, and are no text.
    #[cold]
    pub(crate) fn not_utf8(&self, taken: &[u8], error: Utf8Error) -> Fault {
        Fault::Syntax { at: self.base + self.at - taken.len() + error.valid_up_to(), why: "not UTF-8" }
    }

    #[inline]
    pub(crate) fn boolean(&mut self) -> Scanned<bool> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 2 => {
                self.at += 1;
                Ok(*byte == 1)
            }
            _ => Err(self.syntax("want a boolean, 0 or 1")),
        }
    }

    #[inline]
    pub(crate) fn float(&mut self) -> Scanned<f32> {
        self.chunk().map(f32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn double(&mut self) -> Scanned<f64> {
        self.chunk().map(f64::from_le_bytes)
    }

    /// The branch of a union that has so many.
    #[inline]
    pub(crate) fn branch(&mut self, branches: usize) -> Scanned<usize> {
        let from = self.at;
        let branch = usize::try_from(self.long()?).ok().filter(|branch| *branch < branches);
        branch.ok_or(Fault::Syntax { at: self.base + from, why: "the union has no such branch" })
    }

    /// Whether the union of null and another, whose branch `null` is, holds null.
    #[inline]
    pub(crate) fn is_null(&mut self, null: usize) -> Scanned<bool> {
        match self.bytes.get(self.at) {
            Some(branch @ (0 | 2)) => {
                self.at += 1;
                Ok(usize::from(*branch >> 1) == null)
            }
            _ => self.branch(2).map(|branch| branch == null),
        }
    }

    /// The next block of an array or map: how many elements, and how many bytes where the writer says so. 0: the end.
    #[inline]
    pub(crate) fn block(&mut self) -> Scanned<Block> {
        let from = self.at;
        let at = self.base + from;
        let bad = |why| Fault::Syntax { at, why };
        let count = self.long()?;
        let bytes = match count {
            0.. => None,
            _ => {
                let bytes = usize::try_from(self.long()?).map_err(|_| bad("a block of less than no bytes"))?;
                Some(Some(bytes).filter(|b| *b <= self.left()).ok_or(bad("a block beyond the message's end"))?)
            }
        };
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        if count > self.left() {
            return Err(bad("more elements than bytes are left"));
        }
        Ok(Block { count, bytes })
    }
}

/// Elements that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) count: usize,
    pub(crate) bytes: Option<usize>,
}

/// The low seven bits of each byte, side by side.
#[inline]
const fn packed(bytes: u64) -> u64 {
    let pairs = (bytes & 0x007f_007f_007f_007f) | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    (fours & 0x0fff_ffff) | (fours & 0x0fff_ffff_0000_0000) >> 4
}

#[inline]
const fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(bytes: &[u8]) -> Result<i64, &'static str> {
        let mut cursor = Cursor::new(bytes, 0);
        match cursor.long() {
            Ok(value) => cursor.end().map(|()| value).map_err(|_| "end"),
            Err(Fault::Syntax { at: 0, why }) => Err(why),
            Err(_) => Err("elsewhere"),
        }
    }

    #[test]
    fn whole_numbers_of_every_length() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[1], -1),
            (&[2], 1),
            (&[0x7f], -64),
            (&[0x80, 0x01], 64),
            (&[0xff, 0x01], -128),
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], i64::MAX),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], i64::MIN),
            (&[0x82, 0x00], 1),
        ] {
            assert_eq!(long(bytes), Ok(value), "{bytes:?}");
        }
        for bytes in [&[][..], &[0x80], &[0xff; 9]] {
            assert_eq!(long(bytes), Err("the number is cut short"));
        }
        for bytes in [[0xff; 10], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]] {
            assert_eq!(long(&bytes), Err("a number of more than 64 bits"));
        }
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x0f], 0).int(), Ok(i32::MIN));
        assert!(Cursor::new(&[0x80, 0x80, 0x80, 0x80, 0x10], 0).int().is_err());
    }

    #[test]
    fn a_length_never_leads_beyond_the_end() {
        let at = |bytes: &[u8]| match Cursor::new(bytes, 5).bytes() {
            Ok(taken) => Ok(taken.len()),
            Err(Fault::Syntax { at, .. }) => Err(at),
            Err(_) => Err(0),
        };
        assert_eq!(at(&[4, 1, 2]), Ok(2));
        for lying in [&[6, 1, 2][..], &[1, 1], &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0]] {
            assert_eq!(at(lying), Err(5), "{lying:?}");
        }
        let mut cursor = Cursor::new(&[6, b'a', 0xff, b'b'], 10);
        assert_eq!(cursor.text(), Err(Fault::Syntax { at: 12, why: "not UTF-8" }));
        assert!(Cursor::new(&[0; 7], 0).double().is_err() && Cursor::new(&[0; 3], 0).float().is_err());
        assert!(Cursor::new(&[2], 0).boolean().is_err() && Cursor::new(&[], 0).boolean().is_err());
        assert!(Cursor::new(&[4], 0).branch(2).is_err() && Cursor::new(&[1], 0).branch(2).is_err());
    }

    #[test]
    fn a_block_has_no_more_elements_than_bytes() {
        let block = |bytes: &[u8]| Cursor::new(bytes, 0).block();
        assert_eq!(block(&[4, 0, 0]), Ok(Block { count: 2, bytes: None }));
        assert_eq!(block(&[3, 4, 9, 9]), Ok(Block { count: 2, bytes: Some(2) }));
        for lying in [
            &[6, 0, 0][..],
            &[3, 6, 9, 9],
            &[3, 1, 9, 9],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 2, 9],
        ] {
            assert!(block(lying).is_err(), "{lying:?}");
        }
    }
}
