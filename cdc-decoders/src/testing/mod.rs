//! What every decoder must do, whatever its format: [`Conformance`] tries it on samples of that format.
//!
//! Reading order: `sample` (a message that owns its bytes), `suite` (what is tried), `row` (what of two rows must be the same), `random` (bad
//! messages, the same on every machine).
//!
//! Not here: that values are decoded rightly, which each format's own tests say.

mod random;
mod row;
mod sample;
mod suite;

pub use sample::Sample;
pub use suite::{Conformance, Fuzzed, conformance};
