//! The bloom filter in the footer of a base file, byte for byte as Java's.
//!
//! Holds the filter and its serialized form; the footer's keys are in `properties::keys`. Reads the dynamic and the simple
//! kind, writes the dynamic one. Format section 4.4; all table versions.
//!
//! Every key is hashed some thirty times over, each hash seeding the next. The mixing of a key's words does not depend on the
//! seed, so it is done once; and since one chain waits for itself, the chains of eight keys are computed side by side.

use std::f64::consts::LN_2;

use arrow::array::StringArray;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Result};

/// The kind that is written: the value of the footer's type code.
pub const TYPE_CODE: &str = "DYNAMIC_V0";
/// The kind that is also meant where the footer has no type code.
pub const SIMPLE_TYPE_CODE: &str = "SIMPLE";
/// Hudi's default number of keys of one row of the filter.
pub const DEFAULT_ENTRIES: u32 = 60_000;
/// Hudi's default rate of false positives.
pub const DEFAULT_FPP: f64 = 1e-9;
/// Hudi's default number of keys up to which rows are added.
pub const DEFAULT_MAX_ENTRIES: u32 = 100_000;

const VERSION: i32 = -1;
const MURMUR: u8 = 1;

/// A set of record keys that may say yes to a few that are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BloomFilter {
    shape: Shape,
    /// How many keys a row holds before the next is begun.
    entries: u32,
    max_entries: u32,
    /// How many keys went to the current row.
    in_row: u32,
    /// The next row in turn, once no more are begun.
    turn: usize,
    rows: Vec<Vec<u8>>,
}

/// What all rows have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    bits: u32,
    hashes: u32,
    /// `2^64 / bits`, rounded up: the remainder without a division.
    reciprocal: u64,
}

impl Shape {
    fn new(bits: u32, hashes: u32) -> Self {
        Self { bits, hashes, reciprocal: (u64::MAX / u64::from(bits)).wrapping_add(1) }
    }

    /// `abs(hash % bits)` of the signed hash.
    fn position(self, hash: u32) -> u32 {
        let magnitude = (hash as i32).unsigned_abs();
        let fraction = self.reciprocal.wrapping_mul(u64::from(magnitude));
        ((u128::from(fraction) * u128::from(self.bits)) >> 64) as u32
    }

    fn row_bytes(self) -> usize {
        self.bits.div_ceil(8) as usize
    }
}

impl BloomFilter {
    /// An empty filter of rows for `entries` keys each, with at most `fpp` false positives; rows are added until they hold
    /// `max_entries`. Out of range, `entries` is at least 1 and `fpp` between 1e-15 and 0.5.
    pub fn new(entries: u32, fpp: f64, max_entries: u32) -> Self {
        let entries = entries.clamp(1, 50_000_000);
        let keys = f64::from(entries);
        let bits = (keys * (-fpp.clamp(1e-15, 0.5).ln() / (LN_2 * LN_2))).ceil();
        let hashes = (LN_2 * bits / keys).ceil();
        let shape = Shape::new(bits.clamp(1.0, f64::from(i32::MAX)) as u32, hashes as u32);
        Self { shape, entries, max_entries, in_row: 0, turn: 0, rows: vec![vec![0; shape.row_bytes()]] }
    }

    /// An empty filter with Hudi's defaults, but small for a small file.
    pub fn sized_for(expected_rows: u64) -> Self {
        let entries = expected_rows.clamp(16, u64::from(DEFAULT_ENTRIES)) as u32;
        Self::new(entries, DEFAULT_FPP, DEFAULT_MAX_ENTRIES)
    }

    /// How many keys were added, about.
    pub fn added(&self) -> u64 {
        u64::from(self.entries) * (self.rows.len() as u64 - 1) + u64::from(self.in_row)
    }

    /// Whether so many more keys leave it as sharp as a new filter for all of them would be.
    pub fn has_room_for(&self, keys: u64) -> bool {
        self.entries >= DEFAULT_ENTRIES || self.added() + keys <= u64::from(self.entries)
    }

    /// Adds a key's UTF-8 bytes. An empty key, which Hudi has not, is passed over.
    pub fn insert(&mut self, key: &[u8]) {
        if !key.is_empty() {
            let row = self.next_row();
            self.insert_alone(key, row);
        }
    }

    /// Adds all keys that are not null. Several times faster than one after the other.
    pub fn insert_all(&mut self, keys: &StringArray) {
        let mut lanes = LanesByLength(std::array::from_fn(|_| None));
        for key in keys.iter().flatten().map(str::as_bytes) {
            if key.is_empty() {
                continue;
            }
            let row = self.next_row();
            match lanes.of(key) {
                Some(lanes) => {
                    lanes.push(key, row);
                    if lanes.count == LANES {
                        self.insert_lanes(lanes);
                    }
                }
                None => self.insert_alone(key, row),
            }
        }
        lanes.0.iter_mut().flatten().for_each(|lanes| self.insert_lanes(lanes));
    }

    /// Whether the key may have been added. `false` is sure.
    pub fn contains(&self, key: &[u8]) -> bool {
        if key.is_empty() {
            return false;
        }
        let positions: Vec<u32> = chain(key, self.shape).collect();
        self.rows.iter().any(|row| positions.iter().all(|at| row[*at as usize / 8] & (1 << (at % 8)) != 0))
    }

    /// The value of the footer's key: Base64 of the serialized filter, of kind [`TYPE_CODE`].
    pub fn to_footer_text(&self) -> String {
        STANDARD.encode(self.to_bytes())
    }

    /// Reads the footer's value, of the kind that the type code says (none: the simple one).
    ///
    /// Errors: `Unsupported` for another kind or hash; `Corrupt` if the bytes are not those of a filter.
    pub fn from_footer_text(text: &str, type_code: Option<&str>) -> Result<Self> {
        let bytes = STANDARD.decode(text.trim()).map_err(|e| corrupt(e.to_string()))?;
        match type_code {
            Some(TYPE_CODE) => Self::read_dynamic(&bytes),
            None | Some(SIMPLE_TYPE_CODE) => Self::read_simple(&bytes),
            Some(other) => Err(Error::unsupported(format!("bloom filter {other}"), "we know DYNAMIC_V0 and SIMPLE")),
        }
    }

    /// The serialized filter, of kind [`TYPE_CODE`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity((self.rows.len() + 1) * (self.shape.row_bytes() + 32));
        self.put_header(&mut out);
        out.extend_from_slice(&self.entries.to_be_bytes());
        out.extend_from_slice(&self.in_row.to_be_bytes());
        out.extend_from_slice(&(self.rows.len() as u32).to_be_bytes());
        for row in &self.rows {
            self.put_header(&mut out);
            out.extend_from_slice(row);
        }
        out
    }

    fn put_header(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.shape.hashes.to_be_bytes());
        out.push(MURMUR);
        out.extend_from_slice(&self.shape.bits.to_be_bytes());
    }

    fn read_dynamic(bytes: &[u8]) -> Result<Self> {
        let mut input = Input(bytes);
        let shape = input.header()?;
        let (entries, in_row, count) = (input.number()?, input.number()?, input.number()?);
        let mut rows = Vec::new();
        for _ in 0..count {
            if input.header()? != shape {
                return Err(corrupt("rows of different shapes"));
            }
            rows.push(input.take(shape.row_bytes())?.to_vec());
        }
        if rows.is_empty() || entries == 0 {
            return Err(corrupt("no rows"));
        }
        Ok(Self { shape, entries, max_entries: DEFAULT_MAX_ENTRIES, in_row, turn: 0, rows })
    }

    /// How many keys a simple filter holds is not said: it is taken to be full.
    fn read_simple(bytes: &[u8]) -> Result<Self> {
        let mut input = Input(bytes);
        let shape = input.header()?;
        let rows = vec![input.take(shape.row_bytes())?.to_vec()];
        let entries = ((f64::from(shape.bits) * LN_2 / f64::from(shape.hashes)) as u32).max(1);
        Ok(Self { shape, entries, max_entries: DEFAULT_MAX_ENTRIES, in_row: entries, turn: 0, rows })
    }

    /// The row that the next key goes to: the last; a new one when that is full; each in turn when there are enough.
    fn next_row(&mut self) -> usize {
        if self.in_row >= self.entries {
            if self.rows.len() as u64 * u64::from(self.entries) >= u64::from(self.max_entries) {
                self.in_row = self.in_row.saturating_add(1);
                self.turn += 1;
                return (self.turn - 1) % self.rows.len();
            }
            self.rows.push(vec![0; self.shape.row_bytes()]);
            self.in_row = 0;
        }
        self.in_row += 1;
        self.rows.len() - 1
    }

    fn insert_alone(&mut self, key: &[u8], row: usize) {
        let bits = &mut self.rows[row];
        for at in chain(key, self.shape) {
            bits[at as usize / 8] |= 1 << (at % 8);
        }
    }

    /// Adds the keys that wait in the lanes, and empties them.
    fn insert_lanes(&mut self, lanes: &mut Lanes) {
        let shape = self.shape;
        let mut seeds = [0; LANES];
        for _ in 0..shape.hashes {
            seeds = lanes.hash(&seeds);
            for (seed, row) in seeds.iter().zip(&lanes.rows[..lanes.count]) {
                let at = shape.position(*seed);
                self.rows[*row][at as usize / 8] |= 1 << (at % 8);
            }
        }
        lanes.count = 0;
    }
}

const M: u32 = 0x5bd1_e995;

/// The positions of a key: each hash is the seed of the next.
fn chain(key: &[u8], shape: Shape) -> impl Iterator<Item = u32> {
    let words: Vec<u32> = key.chunks_exact(4).map(mixed_word).collect();
    let (length, tail) = (key.len() as u32, tail_of(key));
    let mut seed = 0;
    (0..shape.hashes).map(move |_| {
        let mut h = words.iter().fold(seed ^ length, |h, word| h.wrapping_mul(M) ^ word);
        if let Some(tail) = tail {
            h = (h ^ tail).wrapping_mul(M);
        }
        seed = finished(h);
        shape.position(seed)
    })
}

/// What a word of the key adds, whatever the seed.
fn mixed_word(word: &[u8]) -> u32 {
    let mut k = word.iter().rev().fold(0, |k, b| (k << 8) | u32::from(*b)).wrapping_mul(M);
    k ^= k >> 24;
    k.wrapping_mul(M)
}

/// What the last one to three bytes add: counted from the key's end, and signed, as in Hadoop and nowhere else.
fn tail_of(key: &[u8]) -> Option<u32> {
    let left = key.len() % 4;
    let shifted = (0..left).map(|at| {
        let signed = i32::from(key[key.len() - 1 - at] as i8);
        (signed as u32) << (8 * at)
    });
    (left > 0).then(|| shifted.fold(0, |tail, byte| tail ^ byte))
}

fn finished(mut h: u32) -> u32 {
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

const LANES: usize = 8;
/// Keys of more words are hashed alone.
const MOST_WORDS: usize = 16;

/// Keys of so many whole words, with or without a tail, that wait to be hashed side by side.
#[derive(Debug)]
struct Lanes {
    count: usize,
    has_tail: bool,
    words: Vec<[u32; LANES]>,
    lengths: [u32; LANES],
    tails: [u32; LANES],
    rows: [usize; LANES],
}

impl Lanes {
    fn new(words: usize, has_tail: bool) -> Self {
        let none = [0; LANES];
        Self { count: 0, has_tail, words: vec![none; words], lengths: none, tails: none, rows: [0; LANES] }
    }

    fn push(&mut self, key: &[u8], row: usize) {
        let lane = self.count;
        for (words, word) in self.words.iter_mut().zip(key.chunks_exact(4)) {
            words[lane] = mixed_word(word);
        }
        self.lengths[lane] = key.len() as u32;
        self.tails[lane] = tail_of(key).unwrap_or_default();
        self.rows[lane] = row;
        self.count += 1;
    }

    fn hash(&self, seeds: &[u32; LANES]) -> [u32; LANES] {
        let mut h: [u32; LANES] = std::array::from_fn(|lane| seeds[lane] ^ self.lengths[lane]);
        for words in &self.words {
            h = std::array::from_fn(|lane| h[lane].wrapping_mul(M) ^ words[lane]);
        }
        if self.has_tail {
            h = std::array::from_fn(|lane| (h[lane] ^ self.tails[lane]).wrapping_mul(M));
        }
        h.map(finished)
    }
}

/// Lanes for each class of lengths that has come.
#[derive(Debug)]
struct LanesByLength([Option<Lanes>; 2 * (MOST_WORDS + 1)]);

impl LanesByLength {
    fn of(&mut self, key: &[u8]) -> Option<&mut Lanes> {
        let (words, has_tail) = (key.len() / 4, !key.len().is_multiple_of(4));
        let slot = self.0.get_mut(2 * words + usize::from(has_tail))?;
        Some(slot.get_or_insert_with(|| Lanes::new(words, has_tail)))
    }
}

fn corrupt(reason: impl Into<String>) -> Error {
    Error::corrupt("bloom filter", reason)
}

/// Bytes to be read, big-endian.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| corrupt("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        let number = bytes.iter().fold(0, |n, b| (n << 8) | u32::from(*b));
        if number > i32::MAX as u32 { Err(corrupt("a negative number")) } else { Ok(number) }
    }

    fn header(&mut self) -> Result<Shape> {
        if self.take(4)? != VERSION.to_be_bytes() {
            return Err(corrupt("not of version -1"));
        }
        let hashes = self.number()?;
        if self.take(1)? != [MURMUR] {
            return Err(Error::unsupported("a bloom filter with another hash than murmur", "Hudi writes none"));
        }
        let bits = self.number()?;
        if bits == 0 || hashes == 0 {
            return Err(corrupt("it has no bits or no hashes"));
        }
        Ok(Shape::new(bits, hashes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word.
    fn murmur2(b: &[u8], seed: i32) -> i32 {
        const M: i32 = 0x5bd1_e995;
        let int = |at: usize| i32::from(b[at] as i8);
        let len = b.len();
        let mut h = seed ^ len as i32;
        for word in b.chunks_exact(4) {
            let mut k = i32::from_le_bytes(word.try_into().unwrap());
            k = k.wrapping_mul(M);
            k ^= ((k as u32) >> 24) as i32;
            k = k.wrapping_mul(M);
            h = h.wrapping_mul(M) ^ k;
        }
        let left = len % 4;
        if left != 0 {
            if left >= 3 {
                h ^= int(len - 3) << 16;
            }
            if left >= 2 {
                h ^= int(len - 2) << 8;
            }
            h ^= int(len - 1);
            h = h.wrapping_mul(M);
        }
        h ^= ((h as u32) >> 13) as i32;
        h = h.wrapping_mul(M);
        h ^ ((h as u32) >> 15) as i32
    }

    fn positions(key: &[u8], bits: i32, hashes: u32) -> Vec<u32> {
        let mut seed = 0;
        (0..hashes)
            .map(|_| {
                seed = murmur2(key, seed);
                (seed % bits).unsigned_abs()
            })
            .collect()
    }

    /// Keys of every length of words and tail, ASCII and not.
    fn some_keys() -> Vec<String> {
        let alphabet = ["a", "7", "-", "é", "日", "😀", "\u{7f}", "Z"];
        let mut keys = vec![];
        for length in 1..=90 {
            for variant in 0..11 {
                keys.push(
                    (0..length).map(|at| alphabet[(at * 7 + variant * (at + 3) + at / 5) % alphabet.len()]).collect(),
                );
                keys.push((0..length).map(|at| char::from(b'0' + ((at * 3 + variant) % 70) as u8)).collect());
            }
        }
        keys
    }

    #[test]
    fn the_vectors_of_java_come_out() {
        assert_eq!(murmur2(b"1", 0), 0x4934_2faf);
        assert_eq!(murmur2(b"abc", 0), 0x69d3_cf87);
        assert_eq!(murmur2(b"hello world", 0), 0x37a9_b7f6);
        let filter = BloomFilter::new(DEFAULT_ENTRIES, DEFAULT_FPP, DEFAULT_MAX_ENTRIES);
        assert_eq!((filter.shape.bits, filter.shape.hashes), (2_587_966, 30));
        assert_eq!(BloomFilter::new(20, 1e-9, 100).shape.bits, 863);
        let first: Vec<u32> = chain(b"1", filter.shape).take(6).collect();
        assert_eq!(first, [1_460_963, 105_785, 1_189_081, 2_066_078, 47_219, 588_992]);
    }

    #[test]
    fn the_fast_chain_is_the_slow_one() {
        for (bits, hashes) in [(2_587_966, 30), (863, 30), (1, 3), (7, 5), (i32::MAX as u32, 4)] {
            let shape = Shape::new(bits, hashes);
            for key in some_keys() {
                let fast: Vec<u32> = chain(key.as_bytes(), shape).collect();
                assert_eq!(fast, positions(key.as_bytes(), bits as i32, hashes), "{key}");
            }
            for hash in [0, 1, u32::MAX, i32::MIN as u32, i32::MAX as u32, 12345] {
                assert_eq!(shape.position(hash), ((hash as i32) % (bits as i32)).unsigned_abs());
            }
        }
    }

    #[test]
    fn keys_added_together_are_keys_added_one_by_one() {
        let keys = some_keys();
        for (entries, max) in [(60_000, 100_000), (300, 100_000), (300, 1_000), (16, 40)] {
            let mut one_by_one = BloomFilter::new(entries, 1e-9, max);
            keys.iter().for_each(|k| one_by_one.insert(k.as_bytes()));
            let mut together = BloomFilter::new(entries, 1e-9, max);
            together.insert_all(&StringArray::from(keys.clone()));
            assert_eq!(one_by_one, together);
            assert!(keys.iter().all(|k| together.contains(k.as_bytes())));
        }
    }

    #[test]
    fn rows_are_added_and_then_taken_in_turn() {
        let mut filter = BloomFilter::new(10, 1e-9, 25);
        (0..100).for_each(|n| filter.insert(format!("key{n}").as_bytes()));
        assert_eq!(filter.rows.len(), 3);
        assert_eq!(filter.in_row, 80);
        assert!((0..100).all(|n| filter.contains(format!("key{n}").as_bytes())));
        assert!(!filter.contains(b"") && !filter.contains(b"another"));
    }

    #[test]
    fn the_footer_is_javas() {
        let mut filter = BloomFilter::new(DEFAULT_ENTRIES, DEFAULT_FPP, DEFAULT_MAX_ENTRIES);
        filter.insert(b"1");
        filter.insert(b"2");
        let bytes = filter.to_bytes();
        let header = "ffffffff0000001e0100277d3e0000ea600000000200000001ffffffff0000001e0100277d3e";
        let printed: String = bytes[..38].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(printed, header);
        assert_eq!(bytes.len(), 323_534);
        let text = filter.to_footer_text();
        assert_eq!(text.len(), 431_380);
        assert_eq!(BloomFilter::from_footer_text(&text, Some(TYPE_CODE)), Ok(filter));
    }

    #[test]
    fn a_simple_filter_is_read_and_what_is_none_is_not() {
        let mut filter = BloomFilter::sized_for(3);
        filter.insert("é".as_bytes());
        let simple = STANDARD.encode(&filter.to_bytes()[25..]);
        let mut read = BloomFilter::from_footer_text(&simple, None).unwrap();
        assert!(read.contains("é".as_bytes()) && !read.contains(b"x"));
        read.insert(b"x");
        assert_eq!(read.rows.len(), 2);
        for broken in ["", "AAAA", "!", &simple[..40]] {
            assert!(BloomFilter::from_footer_text(broken, None).is_err());
        }
        assert!(BloomFilter::from_footer_text(&simple, Some("RIBBON")).is_err());
    }
}
