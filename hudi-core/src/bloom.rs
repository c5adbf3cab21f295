//! The bloom filter in a base file's footer, byte for byte as Hudi's Java makes it and asks it.
//!
//! Types `DYNAMIC_V0` (written and read) and `SIMPLE` (read). Format section 4.4, all table versions. The hashes are
//! chained: each is the seed of the next, so one key's cannot be made side by side; those of several keys are.

use arrow::array::{Array, StringArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Result};

/// What stands beside a `DYNAMIC_V0` filter in the footer.
pub const TYPE_CODE: &str = "DYNAMIC_V0";
/// Keys that a row of a filter is made for, at most: Hudi's default.
pub const MAX_ENTRIES: u32 = 60_000;
/// Of how many keys that are not there one is taken to be there: Hudi's default.
pub const FALSE_POSITIVES: f64 = 1e-9;
/// Keys from which on no rows are added: Hudi's default.
pub const MAX_KEYS: u32 = 100_000;

const VERSION: i32 = -1;
const MURMUR: u8 = 1;
const M: u32 = 0x5bd1_e995;
/// Keys that are hashed side by side.
const LANES: usize = 8;
/// Longer keys are hashed alone.
const MAX_LANE_KEY: usize = 128;

/// A filter of record keys: says *no* only of keys that were never added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BloomFilter {
    hashes: u32,
    bits: u32,
    entries: u32,
    max_rows: u32,
    in_row: u32,
    rows: Vec<Vec<u8>>,
    /// Where the next key goes once no rows are added.
    round_robin: usize,
    /// The type is `SIMPLE`: one row, without the dynamic filter's header.
    simple: bool,
}

impl BloomFilter {
    /// A filter whose rows are made for `entries` keys each; it grows row by row up to `max_keys`.
    #[must_use]
    pub fn new(entries: u32, false_positives: f64, max_keys: u32) -> Self {
        let entries = entries.max(1);
        let ln2 = std::f64::consts::LN_2;
        let bits = (f64::from(entries) * (-false_positives.ln() / (ln2 * ln2))).ceil();
        let hashes = (ln2 * bits / f64::from(entries)).ceil();
        let bits = bits as u32;
        Self {
            hashes: hashes as u32,
            bits,
            entries,
            max_rows: max_keys.div_ceil(entries).max(1),
            in_row: 0,
            rows: vec![vec![0; bits.div_ceil(8) as usize]],
            round_robin: 0,
            simple: false,
        }
    }

    /// A filter for a file of about `rows` rows: a small file has a small one, a large one what Hudi's default is.
    #[must_use]
    pub fn sized_for(rows: u64) -> Self {
        let entries = u32::try_from(rows).unwrap_or(u32::MAX).clamp(16, MAX_ENTRIES);
        Self::new(entries, FALSE_POSITIVES, MAX_KEYS)
    }

    /// Keys that the filter can hold before it says *maybe* too often.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        u64::from(self.entries) * u64::from(self.max_rows)
    }

    /// How many keys were added, about: those of full rows, and of the last.
    #[must_use]
    pub fn added(&self) -> u64 {
        u64::from(self.entries) * (self.rows.len() as u64 - 1) + u64::from(self.in_row)
    }

    /// How many more keys it can hold.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.capacity().saturating_sub(self.added())
    }

    /// Whether it is of the type that we write.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        !self.simple
    }

    /// Adds a key.
    pub fn insert(&mut self, key: &[u8]) {
        let row = self.row_for_next();
        self.set_bits(&mut Premixed::new(key), row);
    }

    fn set_bits(&mut self, key: &mut Premixed, row: usize) {
        let modulus = Modulus::new(self.bits);
        let bitmap = &mut self.rows[row];
        for _ in 0..self.hashes {
            let position = modulus.position(key.next_hash());
            bitmap[position / 8] |= 1 << (position % 8);
        }
    }

    /// Adds all keys that are not null.
    pub fn insert_all(&mut self, keys: &StringArray) {
        let modulus = Modulus::new(self.bits);
        let mut by_length: Vec<Lanes> = vec![];
        for key in keys.iter().flatten() {
            let row = self.row_for_next();
            if key.len() > MAX_LANE_KEY {
                self.set_bits(&mut Premixed::new(key.as_bytes()), row);
                continue;
            }
            if key.len() >= by_length.len() {
                by_length.resize_with(key.len() + 1, Lanes::default);
            }
            let lanes = &mut by_length[key.len()];
            lanes.add(key.as_bytes(), row);
            if lanes.filled == LANES {
                lanes.set_bits(self.hashes, &modulus, &mut self.rows);
            }
        }
        for mut lanes in by_length {
            lanes.set_bits(self.hashes, &modulus, &mut self.rows);
        }
    }

    fn row_for_next(&mut self) -> usize {
        if self.in_row < self.entries {
            self.in_row += 1;
            return self.rows.len() - 1;
        }
        if self.rows.len() < self.max_rows as usize {
            self.rows.push(vec![0; self.bits.div_ceil(8) as usize]);
            self.in_row = 1;
            return self.rows.len() - 1;
        }
        self.round_robin = (self.round_robin + 1) % self.rows.len();
        self.round_robin
    }

    /// Whether the key may have been added; `false` is certain.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        let modulus = Modulus::new(self.bits);
        let mut premixed = Premixed::new(key);
        let positions: Vec<usize> = (0..self.hashes).map(|_| modulus.position(premixed.next_hash())).collect();
        self.rows.iter().any(|row| positions.iter().all(|at| row[at / 8] & (1 << (at % 8)) != 0))
    }

    /// The filter as the footer holds it: base64.
    #[must_use]
    pub fn to_footer_text(&self) -> String {
        let mut bytes = Vec::with_capacity(25 + self.rows.len() * (13 + self.bits as usize / 8));
        if !self.simple {
            self.put_header(&mut bytes);
            bytes.extend((self.entries as i32).to_be_bytes());
            bytes.extend((self.in_row as i32).to_be_bytes());
            bytes.extend((self.rows.len() as i32).to_be_bytes());
        }
        for row in &self.rows {
            self.put_header(&mut bytes);
            bytes.extend(row);
        }
        STANDARD.encode(bytes)
    }

    fn put_header(&self, bytes: &mut Vec<u8>) {
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend((self.hashes as i32).to_be_bytes());
        bytes.push(MURMUR);
        bytes.extend((self.bits as i32).to_be_bytes());
    }

    /// Reads a footer's filter; `type_code` is what stands beside it, absent for `SIMPLE`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the bytes do not follow the form, [`Error::Unsupported`] for another type or hash.
    pub fn from_footer_text(text: &str, type_code: Option<&str>) -> Result<Self> {
        let bytes = STANDARD.decode(text).map_err(|e| corrupt(format!("not base64: {e}")))?;
        let mut reader = Reader { bytes: &bytes };
        match type_code {
            Some(TYPE_CODE) => Self::read_dynamic(&mut reader),
            None | Some("SIMPLE") => {
                let (hashes, bits) = reader.header()?;
                let rows = vec![reader.take(bits.div_ceil(8) as usize)?.to_vec()];
                let entries = u32::MAX;
                Ok(Self { hashes, bits, entries, max_rows: 1, in_row: 0, rows, round_robin: 0, simple: true })
            }
            Some(other) => Err(Error::unsupported(format!("a bloom filter of type {other}"), "want DYNAMIC_V0 or SIMPLE")),
        }
    }

    fn read_dynamic(reader: &mut Reader<'_>) -> Result<Self> {
        let (hashes, bits) = reader.header()?;
        let (entries, in_row, count) = (reader.number()?, reader.number()?, reader.number()?);
        let mut rows = vec![];
        for _ in 0..count {
            if reader.header()? != (hashes, bits) {
                return Err(corrupt("rows of different forms"));
            }
            rows.push(reader.take(bits.div_ceil(8) as usize)?.to_vec());
        }
        if rows.is_empty() || entries == 0 {
            return Err(corrupt("no rows"));
        }
        let max_rows = MAX_KEYS.div_ceil(entries).max(count);
        Ok(Self { hashes, bits, entries, max_rows, in_row, rows, round_robin: 0, simple: false })
    }
}

fn corrupt(reason: impl Into<String>) -> Error {
    Error::corrupt("bloom filter", reason)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or_else(|| corrupt("it ends too early"))?;
        self.bytes = tail;
        Ok(head)
    }

    fn int(&mut self) -> Result<i32> {
        let bytes = self.take(4)?.try_into().map_err(|_| corrupt("it ends too early"))?;
        Ok(i32::from_be_bytes(bytes))
    }

    /// A number that cannot be negative.
    fn number(&mut self) -> Result<u32> {
        u32::try_from(self.int()?).map_err(|_| corrupt("a negative count"))
    }

    /// Hashes and bits.
    fn header(&mut self) -> Result<(u32, u32)> {
        if self.int()? != VERSION {
            return Err(corrupt("unknown version"));
        }
        let hashes = self.number()?;
        if self.take(1)? != [MURMUR] {
            return Err(Error::unsupported("a bloom filter of another hash", "want murmur"));
        }
        let bits = self.number()?;
        if hashes == 0 || bits == 0 {
            return Err(corrupt("no hashes or no bits"));
        }
        Ok((hashes, bits))
    }
}

/// `|x| mod bits`, without dividing.
#[derive(Debug, Clone, Copy)]
struct Modulus {
    bits: u32,
    reciprocal: u64,
}

impl Modulus {
    fn new(bits: u32) -> Self {
        Self { bits, reciprocal: (u64::MAX / u64::from(bits.max(1))).wrapping_add(1) }
    }

    /// The position of a signed hash: the absolute value of Java's truncating remainder.
    #[inline]
    fn position(&self, hash: u32) -> usize {
        let magnitude = (hash as i32).unsigned_abs();
        let low = self.reciprocal.wrapping_mul(u64::from(magnitude));
        ((u128::from(low) * u128::from(self.bits)) >> 64) as usize
    }
}

/// One round of the mix that does not depend on the seed.
#[inline]
const fn premix(word: u32) -> u32 {
    let word = word.wrapping_mul(M);
    (word ^ (word >> 24)).wrapping_mul(M)
}

/// The last bytes of a key as they enter the hash: from the end of the key, signed.
#[inline]
fn tail(key: &[u8]) -> u32 {
    let signed = |from_end: usize| key[key.len() - from_end] as i8 as i32 as u32;
    match key.len() % 4 {
        0 => 0,
        1 => signed(1),
        2 => (signed(2) << 8) ^ signed(1),
        _ => (signed(3) << 16) ^ (signed(2) << 8) ^ signed(1),
    }
}

/// A key whose words are mixed once for all its hashes.
struct Premixed {
    words: Vec<u32>,
    tail: Option<u32>,
    length: u32,
    seed: u32,
}

impl Premixed {
    fn new(key: &[u8]) -> Self {
        Self { words: words(key).collect(), tail: has_tail(key), length: key.len() as u32, seed: 0 }
    }

    fn next_hash(&mut self) -> u32 {
        let mut h = self.seed ^ self.length;
        for word in &self.words {
            h = h.wrapping_mul(M) ^ word;
        }
        if let Some(tail) = self.tail {
            h = (h ^ tail).wrapping_mul(M);
        }
        h ^= h >> 13;
        h = h.wrapping_mul(M);
        h ^= h >> 15;
        self.seed = h;
        h
    }
}

fn words(key: &[u8]) -> impl Iterator<Item = u32> + '_ {
    key.chunks_exact(4).map(|w| premix(u32::from_le_bytes([w[0], w[1], w[2], w[3]])))
}

fn has_tail(key: &[u8]) -> Option<u32> {
    (!key.len().is_multiple_of(4)).then(|| tail(key))
}

/// Up to [`LANES`] keys of one length, hashed side by side.
#[derive(Default)]
struct Lanes {
    length: usize,
    /// Word `w` of lane `l` at `w`, `l`.
    words: Vec<[u32; LANES]>,
    tails: [u32; LANES],
    rows: [usize; LANES],
    filled: usize,
}

impl Lanes {
    /// Adds a key of the lanes' length; there must be room.
    fn add(&mut self, key: &[u8], row: usize) {
        let lane = self.filled;
        self.length = key.len();
        self.words.resize(key.len() / 4, [0; LANES]);
        for (to, word) in self.words.iter_mut().zip(words(key)) {
            to[lane] = word;
        }
        self.tails[lane] = has_tail(key).unwrap_or(0);
        self.rows[lane] = row;
        self.filled += 1;
    }

    /// Sets the bits of the keys in the lanes, and empties them.
    fn set_bits(&mut self, hashes: u32, modulus: &Modulus, bitmaps: &mut [Vec<u8>]) {
        let mut seeds = [0u32; LANES];
        for _ in 0..hashes {
            self.next_hashes(&mut seeds);
            for lane in 0..self.filled {
                let position = modulus.position(seeds[lane]);
                bitmaps[self.rows[lane]][position / 8] |= 1 << (position % 8);
            }
        }
        self.filled = 0;
    }

    /// The hash after each seed.
    #[inline]
    fn next_hashes(&self, seeds: &mut [u32; LANES]) {
        let mut h = seeds.map(|seed| seed ^ self.length as u32);
        for words in &self.words {
            for lane in 0..LANES {
                h[lane] = h[lane].wrapping_mul(M) ^ words[lane];
            }
        }
        if !self.length.is_multiple_of(4) {
            for lane in 0..LANES {
                h[lane] = (h[lane] ^ self.tails[lane]).wrapping_mul(M);
            }
        }
        for lane in 0..LANES {
            h[lane] ^= h[lane] >> 13;
            h[lane] = h[lane].wrapping_mul(M);
            h[lane] ^= h[lane] >> 15;
        }
        *seeds = h;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash as the format describes it, step by step.
    fn plain_murmur2(key: &[u8], seed: u32) -> u32 {
        let mut h = seed ^ key.len() as u32;
        for word in key.chunks_exact(4) {
            let mut k = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(M);
            k ^= k >> 24;
            k = k.wrapping_mul(M);
            h = h.wrapping_mul(M) ^ k;
        }
        let (left, len) = (key.len() % 4, key.len());
        let signed = |i: usize| i32::from(key[i] as i8);
        if left > 0 {
            for back in (1..=left).rev() {
                h ^= (signed(len - back) << (8 * (back - 1))) as u32;
            }
            h = h.wrapping_mul(M);
        }
        h ^= h >> 13;
        h = h.wrapping_mul(M);
        h ^ (h >> 15)
    }

    fn plain_positions(key: &[u8], hashes: u32, bits: u32) -> Vec<usize> {
        let mut seed = 0;
        let mut next = || {
            seed = plain_murmur2(key, seed);
            ((seed as i32) % bits as i32).unsigned_abs() as usize
        };
        (0..hashes).map(|_| next()).collect()
    }

    fn keys() -> Vec<String> {
        let odd = ["", "1", "ab", "abc", "é", "日本", "😀x", "\u{7f}\u{80}\u{ff}", "hello world"];
        odd.into_iter().map(str::to_owned).chain((0..2000).map(|i| format!("{:0>w$}", i * 7919, w = i % 13))).collect()
    }

    #[test]
    fn hashes_are_those_of_the_format() {
        for (key, hash) in [("1", 0x4934_2faf), ("abc", 0x69d3_cf87), ("hello world", 0x37a9_b7f6)] {
            assert_eq!(Premixed::new(key.as_bytes()).next_hash(), hash);
        }
        let first = [1_460_963, 105_785, 1_189_081, 2_066_078, 47_219, 588_992];
        let default = BloomFilter::new(MAX_ENTRIES, FALSE_POSITIVES, MAX_KEYS);
        assert_eq!((default.bits, default.hashes), (2_587_966, 30));
        assert_eq!(plain_positions(b"1", 6, default.bits), first);
    }

    #[test]
    fn positions_are_those_of_the_plain_form_for_all_lengths() {
        let modulus = Modulus::new(2_587_966);
        for key in keys() {
            let mut premixed = Premixed::new(key.as_bytes());
            let quick: Vec<usize> = (0..30).map(|_| modulus.position(premixed.next_hash())).collect();
            assert_eq!(quick, plain_positions(key.as_bytes(), 30, 2_587_966), "{key:?}");
        }
        for hash in [0, 1, u32::MAX, i32::MIN as u32, i32::MAX as u32] {
            for bits in [1, 2, 863, 2_587_966, i32::MAX as u32] {
                let plain = (i64::from(hash as i32) % i64::from(bits)).unsigned_abs() as usize;
                assert_eq!(Modulus::new(bits).position(hash), plain);
            }
        }
    }

    #[test]
    fn keys_side_by_side_make_the_filter_that_keys_one_by_one_make() {
        for entries in [16, 100, 60_000] {
            let mut one_by_one = BloomFilter::new(entries, FALSE_POSITIVES, 500);
            let mut together = one_by_one.clone();
            for key in keys() {
                one_by_one.insert(key.as_bytes());
            }
            together.insert_all(&keys().into_iter().map(Some).collect());
            assert!(one_by_one == together);
            assert!(keys().iter().all(|key| together.contains(key.as_bytes())));
        }
    }

    #[test]
    fn a_footer_reads_back_and_begins_as_javas() {
        let mut filter = BloomFilter::new(MAX_ENTRIES, FALSE_POSITIVES, MAX_KEYS);
        filter.insert(b"a");
        filter.insert(b"b");
        let text = filter.to_footer_text();
        assert_eq!(text.len(), 431_380);
        let bytes = STANDARD.decode(&text).unwrap();
        let header = "ffffffff0000001e0100277d3e0000ea600000000200000001ffffffff0000001e0100277d3e";
        assert_eq!(bytes[..38].iter().map(|b| format!("{b:02x}")).collect::<String>(), header);
        assert!(BloomFilter::from_footer_text(&text, Some(TYPE_CODE)).unwrap() == filter);
        assert!(BloomFilter::from_footer_text(&text[..400], Some(TYPE_CODE)).is_err());
        assert!(BloomFilter::from_footer_text(&text, Some("X")).is_err());
    }

    #[test]
    fn few_absent_keys_are_taken_for_present() {
        let mut filter = BloomFilter::sized_for(1000);
        filter.insert_all(&(0..1000).map(|i| Some(format!("in{i}"))).collect());
        assert_eq!((0..10_000).filter(|i| filter.contains(format!("out{i}").as_bytes())).count(), 0);
    }
}
