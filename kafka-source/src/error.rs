//! What can go wrong while a source is read.

use std::io;
use std::path::PathBuf;

/// The result of reading a source.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a source yields no further record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or read on, a broken gzip stream included. Reading again yields the same.
    #[error("{}, after line {line}: {source}", file.display())]
    Unreadable {
        /// The capture file.
        file: PathBuf,
        /// The last line that was read whole; 0 before the first.
        line: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// One line is no record. Reading again goes on with the line after it.
    #[error("{}, line {line}: {reason}", file.display())]
    Malformed {
        /// The capture file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}
