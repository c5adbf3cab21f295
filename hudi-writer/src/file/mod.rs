//! Base files: columns to parquet and back, with everything that Hudi's writers keep in them.
//!
//! Follows the base file sections of the format (versions 6 to 9). Not here: which rows a file holds.

mod bounds;
mod encode;
mod parquet_schema;
mod scan;

pub(crate) use bounds::Bounds;
pub(crate) use encode::{BaseFileEncoder, Encoded, EncoderSpec, Encoding, java_less};
pub(crate) use scan::{BaseFileFooter, BatchReader, BatchSink, align, read_footer, scan};
