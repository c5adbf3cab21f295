//! The five meta columns that stand first in every base file and log record.
//!
//! Holds names and fields; who fills them is the writer. Format section 4.2; all table versions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

/// The instant of the commit that last changed the row.
pub const COMMIT_TIME: &str = "_hoodie_commit_time";
/// `<instant>_<file of the commit>_<row>`: unique within the table.
pub const COMMIT_SEQNO: &str = "_hoodie_commit_seqno";
/// The record key.
pub const RECORD_KEY: &str = "_hoodie_record_key";
/// The encoded partition path; empty without partitions.
pub const PARTITION_PATH: &str = "_hoodie_partition_path";
/// The name of the base file; in log records the file id.
pub const FILE_NAME: &str = "_hoodie_file_name";
/// A sixth, which only some writers add: `I`, `-U`, `U` or `D`.
pub const OPERATION: &str = "_hoodie_operation";
/// The user's column that marks a deleted row in log records.
pub const IS_DELETED: &str = "_hoodie_is_deleted";

/// The five, in the order of the files.
pub const NAMES: [&str; 5] = [COMMIT_TIME, COMMIT_SEQNO, RECORD_KEY, PARTITION_PATH, FILE_NAME];

/// The five as nullable strings.
pub fn fields() -> [FieldRef; 5] {
    NAMES.map(|name| Arc::new(Field::new(name, DataType::Utf8, true)))
}

/// Whether a column is one of the five, or the sixth.
pub fn is_meta_field(name: &str) -> bool {
    NAMES.contains(&name) || name == OPERATION
}

/// The schema with the five before its own columns; those it has already are not doubled.
pub fn with_meta_fields(columns: &Schema) -> Schema {
    let own = columns.fields().iter().filter(|f| !NAMES.contains(&f.name().as_str())).cloned();
    Schema::new_with_metadata(fields().into_iter().chain(own).collect::<Vec<_>>(), columns.metadata().clone())
}

/// The schema without meta columns.
pub fn without_meta_fields(columns: &Schema) -> Schema {
    let own = columns.fields().iter().filter(|f| !is_meta_field(f.name())).cloned();
    Schema::new_with_metadata(own.collect::<Vec<_>>(), columns.metadata().clone())
}
