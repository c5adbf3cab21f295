//! [`HashKeys`], and keyed hashes of values: HMAC-SHA-256, in hexadecimal.
//!
//! What is hashed is the value's text (of binary columns its bytes), so that `5` and `"5"` are the same, whatever the column's type. The same value and
//! key give the same hash for ever: hashed keys can be joined, and are still keys.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, AsArray, StringArray, StringBuilder};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::rule::RuleError;

/// The least bytes that a key has.
const MIN_BYTES: usize = 16;

/// The keys of hashes, by their names. Printed without the keys.
#[derive(Clone, Default)]
pub struct HashKeys(BTreeMap<String, Hmac<Sha256>>);

impl fmt::Debug for HashKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl HashKeys {
    /// Adds a key under a name.
    ///
    /// # Errors
    /// [`RuleError`] naming it, for a key of less than 16 bytes.
    pub fn with(mut self, name: impl Into<String>, key: &[u8]) -> Result<Self, RuleError> {
        let name = name.into();
        let wrong = || RuleError::new(&format!("hash={name}"), format!("a key of at least {MIN_BYTES} bytes"));
        let state = Hmac::new_from_slice(key).ok().filter(|_| key.len() >= MIN_BYTES).ok_or_else(wrong)?;
        self.0.insert(name, state);
        Ok(self)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The hashes of a column of text or binary; null stays null. `None` without such a key, or for a column of another type.
    pub(super) fn hashed(&self, name: &str, column: &dyn Array) -> Option<StringArray> {
        let state = self.0.get(name)?;
        let mut hashes = StringBuilder::with_capacity(column.len(), column.len() * 64);
        let mut push = |value: Option<&[u8]>| match value {
            Some(value) => hashes.append_value(hex(&mut state.clone(), value)),
            None => hashes.append_null(),
        };
        match (column.as_string_opt::<i32>(), column.as_binary_opt::<i32>()) {
            (Some(texts), _) => texts.iter().for_each(|text| push(text.map(str::as_bytes))),
            (None, Some(bytes)) => bytes.iter().for_each(push),
            (None, None) => return None,
        }
        Some(hashes.finish())
    }
}

struct Hex([u8; 64]);

impl AsRef<str> for Hex {
    fn as_ref(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn hex(state: &mut Hmac<Sha256>, value: &[u8]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    state.update(value);
    let mut hex = [0; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(state.clone().finalize().into_bytes()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    Hex(hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::BinaryArray;

    #[test]
    fn hashes_are_those_of_the_standard() {
        // RFC 4231, test case 1.
        let keys = HashKeys::default().with("k", &[0x0b; 20]).unwrap();
        let texts = StringArray::from(vec![Some("Hi There"), None]);
        let hashes = keys.hashed("k", &texts).unwrap();
        assert_eq!(hashes.value(0), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        assert!(hashes.is_null(1));
        let bytes = BinaryArray::from_iter_values([b"Hi There"]);
        assert_eq!(keys.hashed("k", &bytes).unwrap().value(0), hashes.value(0));
        assert!(keys.hashed("other", &texts).is_none());
        assert!(HashKeys::default().with("short", b"secret").unwrap_err().to_string().contains("16 bytes"));
        assert_eq!(format!("{keys:?}"), r#"{"k"}"#);
    }
}
