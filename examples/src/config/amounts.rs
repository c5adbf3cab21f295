//! Amounts with their units: [`Bytes`], [`Duration`].

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// Bytes: `1048576`, `512KiB`, `128MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A time: `250ms`, `60s`, `5m`, `1h`; whole seconds without unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    /// In milliseconds.
    pub ms: i64,
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1), ("", 1)];
        let bytes = amount(text, &units).and_then(|bytes| u64::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| "want a number of bytes above 0, such as 1048576 or \"128MiB\"".to_owned())
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("", 1_000)];
        let ms = amount(text, &units).map(|ms| Self { ms });
        ms.ok_or_else(|| "want a time above 0, such as \"250ms\", \"60s\", \"5m\" or \"1h\"".to_owned())
    }
}

fn amount(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<i64>().ok()?.checked_mul(*factor).filter(|amount| *amount > 0)
}

/// A number or a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(i64),
    Text(String),
}

fn read<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(source: D) -> Result<T, D::Error> {
    let text = match Written::deserialize(source)? {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => text,
    };
    text.parse().map_err(de::Error::custom)
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        read(source)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        read(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        let bytes = |text: &str| text.parse::<Bytes>().ok().map(|bytes| bytes.0);
        assert_eq!(["7", "7B", "2 KiB", "128MiB", "1GiB"].map(bytes), [7, 7, 2048, 128 << 20, 1 << 30].map(Some));
        assert_eq!(["", "0", "-1", "1.5MiB", "1MB", "9223372036854775807GiB", "MiB"].map(bytes), [None; 7]);
        let ms = |text: &str| text.parse::<Duration>().ok().map(|time| time.ms);
        assert_eq!(["3", "250ms", "60s", "5m", "1h"].map(ms), [3_000, 250, 60_000, 300_000, 3_600_000].map(Some));
        assert_eq!(["0s", "1d", "s", "-5s"].map(ms), [None; 4]);
    }
}
