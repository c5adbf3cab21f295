//! What a program that runs for long is told in a file, or by a few options.
//!
//! The whole file is checked before anything starts: a key that is none is refused, with the nearest that is. `${NAME}` in a text stands for
//! a variable of the environment, so that secrets need not stand in the file.
//!
//! Reading order: `amounts` (`128MiB`, `90s`), `file` (what can be said), `text` (reading it), `told` (what the parts are told), `registry`, `glue`.

mod amounts;
mod file;
mod glue;
#[cfg(feature = "registry")]
mod registry;
mod text;
mod told;

pub use amounts::{Bytes, Duration};
pub use file::{
    CommitConfig, Config, ErrorConfig, FormatConfig, GlueConfig, KafkaConfig, LogConfig, LogFormat, MemoryConfig,
    RegistryConfig, TableConfig, WatchConfig,
};
#[cfg(not(feature = "glue"))]
pub(crate) use glue::without_glue;
#[cfg(feature = "lambda")]
pub(crate) use text::nearest_of;
#[cfg(feature = "lambda")]
pub(crate) use told::choice;
pub use told::{Router, Told};
