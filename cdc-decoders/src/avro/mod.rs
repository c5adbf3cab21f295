//! Avro's binary encoding, straight into columns: a writer's schema becomes a plan once, and messages are read by the plan.
//!
//! Reading order: `schema` (the text of a schema), `wire` (what values look like, and how they are passed over), `step` (how a value is read
//! into a column), `cursor` (bytes that are checked), `value` (one value into one column), `scalar` (one value that goes into none).
//!
//! Not here: framing and ids of schemas ([`crate::wire`]), and what the attributes of a schema mean, which the envelopes know.

mod cursor;
mod scalar;
mod schema;
mod step;
mod value;
mod wire;

pub(crate) use cursor::Cursor;
pub(crate) use scalar::{Scalar, ScalarStep};
pub(crate) use schema::{Field, Schema, Shape, Type, TypeId};
pub(crate) use step::{Step, encoded};
pub(crate) use value::Values;
pub(crate) use wire::Wire;
