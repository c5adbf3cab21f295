//! Options that several programs take.

use std::num::NonZeroU32;
use std::str::FromStr;

use hudi_writer::Index;

/// `simple`, `global-simple` or `bucket:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOption(pub Index);

impl FromStr for IndexOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let index = match text.split_once(':') {
            None if text == "simple" => Some(Index::Simple),
            None if text == "global-simple" => Some(Index::GlobalSimple),
            Some(("bucket", buckets)) => buckets.parse::<NonZeroU32>().ok().map(Index::Bucket),
            _ => None,
        };
        index.map(Self).ok_or_else(|| "want `simple`, `global-simple`, or `bucket:N` with N above 0".to_owned())
    }
}

/// `hoodie.key=value`.
///
/// # Errors
/// Where there is no `=`.
pub fn parse_property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("want hoodie.KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
