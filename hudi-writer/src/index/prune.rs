//! [`may_hold`]: what a base file's footer says about keys, so that files which hold none of them are not read.
//!
//! Footers hold the least and the greatest key, and a bloom filter of all keys; a file without them may hold any.

use hudi_core::bloom::BloomFilter;
use hudi_core::properties::keys;

use crate::changes::KeyTable;
use crate::file::{BaseFileFooter, java_less};

/// Whether the file can hold one of the keys.
pub(super) fn may_hold(footer: &BaseFileFooter, wanted: &KeyTable) -> bool {
    if footer.rows() == 0 {
        return false;
    }
    let least = footer.value(keys::FOOTER_MIN_RECORD_KEY);
    let greatest = footer.value(keys::FOOTER_MAX_RECORD_KEY);
    let in_range = |key: &&str| {
        !least.is_some_and(|least| java_less(key, least)) && !greatest.is_some_and(|greatest| java_less(greatest, key))
    };
    let mut within = wanted.iter().filter(in_range).peekable();
    if within.peek().is_none() {
        return false;
    }
    let Some(text) = footer.value(keys::FOOTER_BLOOM_FILTER) else { return true };
    match BloomFilter::from_footer_text(text, footer.value(keys::FOOTER_BLOOM_TYPE_CODE)) {
        // More keys than the file has rows are looked up sooner than they are tried one by one.
        Ok(filter) => {
            within.enumerate().any(|(tried, key)| tried as u64 >= footer.rows() || filter.contains(key.as_bytes()))
        }
        Err(_) => true,
    }
}
