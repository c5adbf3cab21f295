//! A new table: its properties, in one object that nobody else may have created. Table version 6.

use std::num::NonZeroU32;

use bytes::Bytes;
use hudi_core::change::columns;
use hudi_core::layout;
use hudi_core::properties::{NewTable as NewProperties, TableIndex, TableProperties, keys};
use hudi_core::schema::names;

use super::gates::{gate_for_writing, gate_partitions};
use crate::clock::Clock;
use crate::error::{Error, Result, format};
use crate::settings::{Index, NewTable};
use crate::store::{Created, TableStore};

/// Creates the table. There is the whole of it, or none: it exists with its properties.
pub(crate) async fn create(store: &TableStore, table: &NewTable, clock: &dyn Clock) -> Result<()> {
    let properties = properties(table)?;
    gate_for_writing(&properties)?;
    // Two who create the same table in the same moment may both be told that they did.
    for path in [layout::properties(), layout::properties_backup()] {
        if store.get(&path).await?.is_some() {
            return Err(Error::AlreadyExists { url: store.url().to_owned() });
        }
    }
    let body = Bytes::from(properties.to_text(clock.now_ms()));
    match store.create_once(&layout::properties(), body).await? {
        Created::Ours => Ok(()),
        Created::Taken => Err(Error::AlreadyExists { url: store.url().to_owned() }),
    }
}

fn properties(table: &NewTable) -> Result<TableProperties> {
    if table.key.is_empty() {
        return Err(Error::refused("a table without a record key", "name the columns that tell its rows apart"));
    }
    for column in table.key.iter().chain(&table.partition_by) {
        if !names::is_legal(column) {
            let want = "letters, digits and `_`, no digit first".to_owned();
            return Err(Error::Setting { setting: "column".to_owned(), value: column.clone(), want });
        }
    }
    gate_partitions(&table.key, &table.partition_by, table.partition_immutable)?;
    let mut new = NewProperties::new(&table.name, table.key.clone(), table.partition_by.clone());
    new.ordering_field = Some(columns::ORDER.to_owned());
    // Java refuses to write with another index than the one that is remembered here. Any but a bucket index finds the rows
    // of a simple one, so that only buckets are remembered.
    new.index = match table.index {
        Index::Simple => None,
        Index::Bucket(buckets) => {
            Some(TableIndex::Bucket { num_buckets: buckets.get(), hash_fields: table.key.clone() })
        }
    };
    new.extra.clone_from(&table.properties);
    if table.partition_immutable {
        new.extra.push((keys::PARTITION_IMMUTABLE.to_owned(), true.to_string()));
    }
    new.to_properties().map_err(format)
}

/// Indexes of Hudi's that keep a key within its partition, whatever file group it is in, by their names.
const LIKE_SIMPLE: [&str; 2] = ["SIMPLE", "BLOOM"];

/// The index that the table remembers.
pub(crate) fn stored_index(properties: &TableProperties) -> Result<Index> {
    match properties.index() {
        None => Ok(Index::Simple),
        Some(TableIndex::Named(name)) if LIKE_SIMPLE.contains(&name.as_str()) => Ok(Index::Simple),
        Some(TableIndex::Named(name)) => {
            let why = "this build routes keys by the simple and the bucket index";
            Err(Error::refused(format!("a table with the index {name}"), why))
        }
        Some(TableIndex::Bucket { num_buckets, .. }) => {
            let wrong = || Error::refused("a bucket index without buckets", "want at least 1");
            NonZeroU32::new(*num_buckets).map(Index::Bucket).ok_or_else(wrong)
        }
    }
}
