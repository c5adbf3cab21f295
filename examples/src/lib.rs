//! What the example programs share: the loop from messages to a table, and how programs end.

mod exit;
mod format;
mod options;
mod pipeline;
mod places;
mod schemas;
mod show;

pub use exit::{Failure, finish};
pub use format::{Decoders, Format, FormatOptions};
pub use options::{IndexOption, parse_property};
pub use pipeline::{Given, OnBadMessage, Pipeline, Summary, TableTemplate};
pub use places::UrlTemplate;
pub use schemas::Schemas;
pub use show::{describe, print_jsonl, print_table};

/// The README's example, compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
