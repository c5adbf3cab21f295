//! A new table: its properties, in one object that nobody else may have created. Table version 6.

use bytes::Bytes;
use hudi_core::change::columns;
use hudi_core::layout;
use hudi_core::properties::{Mode, NewTable as NewProperties, TableProperties, keys};
use hudi_core::schema::names;

use super::gates::{gate_for_writing, gate_mode, gate_partitions};
use super::index::{default_index, remembered};
use crate::clock::Clock;
use crate::error::{Error, Result, format};
use crate::settings::NewTable;
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
    gate_mode(table)?;
    for column in table.key.iter().chain(&table.partition_by) {
        if !names::is_legal(column) {
            let want = "letters, digits and `_`, no digit first".to_owned();
            return Err(Error::Setting { setting: "column".to_owned(), value: column.clone(), want });
        }
    }
    let keeps_every_change = table.mode == Mode::History;
    let key = if keeps_every_change { vec![columns::CHANGE.to_owned()] } else { table.key.clone() };
    let immutable = table.partition_immutable || keeps_every_change;
    let index = table.index.unwrap_or_else(|| default_index(&key, &table.partition_by, immutable));
    gate_partitions(&key, &table.partition_by, immutable, index)?;
    let mut new = NewProperties::new(&table.name, key.clone(), table.partition_by.clone());
    new.ordering_field = Some(columns::ORDER.to_owned());
    new.index = remembered(index, &key);
    new.extra.clone_from(&table.properties);
    if table.partition_immutable {
        new.extra.push((keys::PARTITION_IMMUTABLE.to_owned(), true.to_string()));
    }
    if table.mode != Mode::default() {
        new.extra.push((keys::TABLE_MODE.to_owned(), table.mode.as_str().to_owned()));
    }
    if keeps_every_change && !table.key.is_empty() {
        new.extra.push((keys::HISTORY_KEY.to_owned(), table.key.join(",")));
    }
    new.to_properties().map_err(format)
}
