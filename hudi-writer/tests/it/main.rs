//! What the writer promises, tried at its boundary: every table is compared with a plain map, and checked.

mod commits;
mod crashes;
mod gates;
mod model;
mod upserts;
