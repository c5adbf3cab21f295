//! What a program that runs for long is told in a file, or by a few options.
//!
//! The whole file is checked before anything starts: a key that is none is refused, with the nearest that is. `${NAME}` in a text stands for
//! a variable of the environment, so that secrets need not stand in the file.
//!
//! Reading order: `amounts` (`128MiB`, `90s`), `file` (what can be said), `text` (reading it), `told` (what the parts are told).

mod amounts;
mod file;
mod text;
mod told;

pub use amounts::{Bytes, Duration};
pub use file::{
    CommitConfig, Config, ErrorConfig, FormatConfig, KafkaConfig, LogConfig, LogFormat, MemoryConfig, RegistryConfig,
    TableConfig, WatchConfig,
};
pub use told::{Router, Told};
