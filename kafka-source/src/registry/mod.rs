//! Schemas that messages were written with, from a registry.
//!
//! ```text
//!   decoder ── NeedsSchema(id) ─► SchemaSource ─► cached? ─► one request, however many ask ─► references inlined ─► learn(id, text)
//! ```
//!
//! * A schema of an id never changes: it is asked for once. That there is none is remembered for a time, too.
//! * A registry that does not answer is asked again, with growing pauses, the next of its addresses each time.
//! * What is handed over is complete in itself: Avro types of other subjects stand where they are used first.
//!
//! Confluent's API, which Apicurio offers as `/apis/ccompat/v7`; Apicurio's own for its eight-byte ids. Another registry (AWS Glue) is
//! another [`SchemaSource`].
//!
//! Reading order: `source` (the trait), `settings`, `client`, `inline` (one text of several), [`timer`].

mod client;
mod inline;
mod settings;
mod source;
pub mod timer;

pub use client::Registry;
pub use settings::{Auth, RegistrySettings};
pub use source::{SchemaSource, decode};
