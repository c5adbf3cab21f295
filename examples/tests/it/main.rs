//! The one test binary of the examples: what they do from end to end, and what holds for the sources as a whole.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
#[cfg(feature = "kafka")]
mod broker;
#[cfg(test)]
mod formats;
#[cfg(test)]
#[cfg(feature = "lambda")]
mod function;
#[cfg(test)]
mod glue;
#[cfg(test)]
#[cfg(feature = "lambda")]
mod lambda;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod pumps;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod script;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod truncates;
#[cfg(test)]
mod truth;

// Where the captures are, and how a cell is compared with the database's own value: the decoders' tests say it once for all.
#[cfg(test)]
#[allow(dead_code, reason = "the decoders' tests use the rest")]
#[path = "../../../cdc-decoders/tests/it/capture.rs"]
mod capture;
#[cfg(test)]
#[allow(dead_code, reason = "the decoders' tests use the rest")]
#[path = "../../../cdc-decoders/tests/it/cells.rs"]
mod cells;
