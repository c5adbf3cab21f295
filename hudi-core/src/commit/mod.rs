//! What stands in a completed instant: which files it wrote, the schema in force, and what travels with the commit.

mod json;
mod metadata;
mod operation;

pub use metadata::{CommitMetadata, LogStat, RuntimeStats, WriteStat};
pub use operation::WriteOperation;
