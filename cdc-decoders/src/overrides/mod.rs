//! Overrides of columns by pattern: another type, a time zone, no column, no value, or a keyed hash in its place.
//!
//! Reading order: `rule` (one rule, and its text), `pattern`, `apply` (a batch and its columns), then an action each: `convert`, `zone`,
//! `hash`. They apply between a decoder's flush and whatever takes the batch, so that nothing is kept before.

mod apply;
mod convert;
mod hash;
mod pattern;
mod rule;
mod zone;

pub use apply::{Overridden, Overrides, RefusedRow};
pub use hash::HashKeys;
pub use rule::RuleError;
