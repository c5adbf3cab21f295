//! What a program that runs for long tells of itself: numbers for Prometheus, and whether it is well.
//!
//! Reading order: `histogram`, `exposition` (the text form), `health`, `syncs` (Glue), `board` (where it is put up), `http` (who answers).

mod board;
mod exposition;
mod health;
mod histogram;
mod http;
mod syncs;

pub use board::{Standing, Watch};
pub use health::Limits;
pub use http::serve;
