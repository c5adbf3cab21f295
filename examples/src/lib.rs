//! What the example programs share: the loop from messages to tables, and how programs end.

pub mod config;
mod exit;
mod feed;
mod format;
pub mod glue;
#[cfg(feature = "lambda")]
pub mod lambda;
mod letters;
mod load;
mod options;
mod places;
mod pump;
mod schemas;
mod show;
mod watch;

pub use exit::{Failure, finish};
pub use feed::{Fed, Feed, FeedSettings, MakeDecoder, OnBadMessage, ReplaySettings, Replayer, Route, Summary};
pub use format::{Decoders, Format, FormatOptions};
pub use letters::{LetterSettings, LettersDone, replay_letters};
pub use load::{Load, LoadRow, LoadSettings};
pub use options::{IndexOption, parse_property};
pub use places::UrlTemplate;
pub use pump::{Covers, Pump, PumpSettings, Routes, Source, Wants};
#[cfg(feature = "registry")]
pub use schemas::Registry;
pub use schemas::{NoSchema, Schemas};
pub use show::{describe, print_jsonl, print_table};
pub use watch::{Limits, Standing, Watch, serve};

/// The README's example, compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
