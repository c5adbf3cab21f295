//! What the example programs share: the loop from messages to a table, and how programs end.

mod exit;
mod options;
mod pipeline;
mod show;

pub use exit::{Failure, finish};
pub use options::{IndexOption, parse_property};
pub use pipeline::{Given, OnBadMessage, Pipeline, Summary, TableTemplate};
pub use show::{describe, print_jsonl, print_table};

/// The README's example, compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
