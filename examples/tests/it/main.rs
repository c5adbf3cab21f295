//! The one test binary of the examples: what they do from end to end, and what holds for the sources as a whole.

#[cfg(test)]
mod tidy;

mod bad_input;
mod programs;
mod replays;
mod shop;
mod truth;

// How the captures are found, and how a column's value is compared with the database's own: the decoders' tests say it once.
#[allow(dead_code, reason = "the decoders' tests use the rest")]
#[path = "../../../cdc-decoders/tests/it/capture.rs"]
mod capture;
#[allow(dead_code, reason = "the decoders' tests use the rest")]
#[path = "../../../cdc-decoders/tests/it/cells.rs"]
mod cells;
