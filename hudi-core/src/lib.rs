//! The vocabulary of an Apache Hudi table.

pub mod bucket;
pub mod change;
pub mod checkpoint;
pub mod dead_letter;
pub mod error;
pub mod file_name;
pub mod instant;
pub mod key;
pub mod layout;
pub mod merge;
pub mod partition_metadata;
pub mod properties;
pub mod timeline;
pub mod version;

pub use error::{Error, Result};
