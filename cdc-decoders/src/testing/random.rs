//! Bad messages: cut short, made of noise, or changed in a few bytes; from a seed, the same on every machine.

use super::sample::Sample;

/// A linear congruential generator.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }

    /// The sample with some bytes of its value, or more rarely of its key, changed.
    pub(super) fn mutant(&mut self, sample: &Sample) -> Sample {
        let mut mutant = sample.clone();
        let part = if self.below(8) == 0 { &mut mutant.key } else { &mut mutant.value };
        if let Some(bytes) = part {
            for _ in 0..=self.below(4) {
                self.mutate(bytes);
            }
        }
        mutant
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        // What JSON is made of, and what lengths, counts and ids of binary formats are made of.
        const TELLING: &[u8] = b"\"\\{}[]:,0-9.eEtn \x00\x01\x02\x03\x7e\x7f\x80\x81\xfe\xff";
        if bytes.is_empty() {
            return;
        }
        let place = self.below(bytes.len());
        match self.below(6) {
            0 => bytes[place] = self.byte(),
            1 => bytes[place] = TELLING[self.below(TELLING.len())],
            2 => bytes[place] ^= 1 << self.below(8),
            3 => drop(bytes.remove(place)),
            4 => bytes.insert(place, bytes[place]),
            _ => {
                let end = (place + self.below(12)).min(bytes.len());
                let lying = [0xff, 0xff, 0xff, 0xff, 0x7f];
                drop(bytes.splice(place..end, lying[self.below(lying.len())..].iter().copied()));
            }
        }
    }
}

/// The sample cut at every byte of its value, and of its key.
pub(super) fn truncations(sample: &Sample, keys: bool) -> Vec<Sample> {
    let cut = |bytes: &Option<Vec<u8>>| {
        let bytes = bytes.clone().unwrap_or_default();
        (0..bytes.trim_ascii_end().len()).map(|end| bytes[..end].to_vec()).collect::<Vec<_>>()
    };
    let values = cut(&sample.value).into_iter().map(|value| Sample { value: Some(value), ..sample.clone() });
    let keys = if keys { cut(&sample.key) } else { Vec::new() };
    let keys = keys.into_iter().map(|key| Sample { key: Some(key), ..sample.clone() });
    if sample.value.is_some() { values.chain(keys).collect() } else { Vec::new() }
}

/// Values that are no message of any format.
pub(super) fn garbage(sample: &Sample) -> Vec<Sample> {
    let mut random = Random(7);
    let noise = (0..64).map(|_| (0..random.below(40)).map(|_| random.byte()).collect());
    let fixed = [
        &b"\xff\xfe"[..],
        b"{",
        b"{}",
        b"[]",
        b"0",
        b"\"x\"",
        b"{\"schema\":{},\"payload\":{}}",
        b"\0\0\0\0\x01",
        b"\0",
        b"\x01",
        b"\x03\x05",
    ];
    let deep = ["[", "{\"a\":"].map(|open| open.repeat(10_000).into_bytes());
    let values: Vec<Vec<u8>> = fixed.into_iter().map(<[u8]>::to_vec).chain(deep).chain(noise).collect();
    values.into_iter().map(|value| Sample { value: Some(value), ..sample.clone() }).collect()
}
