//! Which index a table has: what it remembers, else what its key and partitions ask for.
//!
//! Not here: how an index finds rows ([`crate::index`]), and whether it may be ([`super::gates`]).

use std::num::NonZeroU32;

use hudi_core::properties::{Mode, TableIndex, TableProperties, keys};

use crate::error::{Error, Result};
use crate::settings::Index;

/// A partition column that is not part of the key: rows of one key can stand in several partitions. None where there is no
/// key at all.
pub(super) fn partitioned_outside<'a>(key: &[String], partition_by: &'a [String]) -> Option<&'a String> {
    partition_by.iter().find(|column| !key.is_empty() && !key.contains(column))
}

/// Whether a row's partition columns never change: the user declared it, or no row ever changes.
pub(crate) fn is_immutable(properties: &TableProperties) -> bool {
    properties.get(keys::PARTITION_IMMUTABLE) == Some("true") || properties.mode() == Mode::History
}

/// What the table remembers of its index. Java refuses to write with another one than that. Any but a bucket index finds the
/// rows of a simple one within its partition, so that this one is not remembered.
pub(super) fn remembered(index: Index, key: &[String]) -> Option<TableIndex> {
    match index {
        Index::Simple => None,
        Index::GlobalSimple => Some(TableIndex::Named(LIKE_GLOBAL_SIMPLE[0].to_owned())),
        Index::Bucket(buckets) => Some(TableIndex::Bucket { num_buckets: buckets.get(), hash_fields: key.to_vec() }),
    }
}

/// Indexes of Hudi's that keep a key within its partition, whatever file group it is in, by their names.
const LIKE_SIMPLE: [&str; 2] = ["SIMPLE", "BLOOM"];

/// Indexes of Hudi's that keep a key once in the whole table, whatever file group it is in, by their names.
const LIKE_GLOBAL_SIMPLE: [&str; 2] = ["GLOBAL_SIMPLE", "GLOBAL_BLOOM"];

/// The index of a table that says nothing of it.
pub(super) fn default_index(key: &[String], partition_by: &[String], immutable: bool) -> Index {
    match partitioned_outside(key, partition_by).filter(|_| !immutable) {
        Some(_) => Index::GlobalSimple,
        None => Index::Simple,
    }
}

/// The index that the table remembers, else that which its key and partitions ask for.
pub(crate) fn stored_index(properties: &TableProperties) -> Result<Index> {
    match properties.index() {
        None => {
            let (key, partition_by) = (properties.record_key_fields(), properties.partition_fields());
            Ok(default_index(key, partition_by, is_immutable(properties)))
        }
        Some(TableIndex::Named(name)) if LIKE_SIMPLE.contains(&name.as_str()) => Ok(Index::Simple),
        Some(TableIndex::Named(name)) if LIKE_GLOBAL_SIMPLE.contains(&name.as_str()) => Ok(Index::GlobalSimple),
        Some(TableIndex::Named(name)) => {
            let why = "this build routes keys by the simple, the global simple and the bucket index";
            Err(Error::refused(format!("a table with the index {name}"), why))
        }
        Some(TableIndex::Bucket { num_buckets, .. }) => {
            let wrong = || Error::refused("a bucket index without buckets", "want at least 1");
            NonZeroU32::new(*num_buckets).map(Index::Bucket).ok_or_else(wrong)
        }
    }
}
