//! Our words in those of the SDK, and back.
//!
//! What is empty is left out, as the service itself leaves it out.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use aws_sdk_glue::error::BuildError;
use aws_sdk_glue::primitives::DateTime;
use aws_sdk_glue::types as sdk;

use crate::catalog::{CatalogError, PartitionError};
use crate::model::{Partition, PartitionIndex, SerDe, Skewed, StorageDescriptor, Table};
use crate::types::Column;

pub(super) fn table(table: sdk::Table) -> Table {
    let linked = table.target_table.map(|target| {
        let parts = [target.catalog_id, target.database_name, target.name];
        parts.into_iter().flatten().collect::<Vec<_>>().join(".")
    });
    let federated = table.federated_table.map(|federated| federated.identifier.unwrap_or_default());
    Table {
        name: table.name,
        description: table.description,
        owner: table.owner,
        table_type: table.table_type,
        parameters: sorted(table.parameters),
        partition_keys: table.partition_keys.unwrap_or_default().into_iter().map(column).collect(),
        storage: table.storage_descriptor.map(storage).unwrap_or_default(),
        retention: (table.retention != 0).then_some(table.retention),
        last_access_ms: table.last_access_time.and_then(millis),
        last_analyzed_ms: table.last_analyzed_time.and_then(millis),
        view_original_text: table.view_original_text,
        view_expanded_text: table.view_expanded_text,
        target: linked.or(federated),
        version_id: table.version_id,
    }
}

pub(super) fn table_input(table: &Table) -> Result<sdk::TableInput, BuildError> {
    let keys = table.partition_keys.iter().map(column_input).collect::<Result<Vec<_>, _>>()?;
    sdk::TableInput::builder()
        .name(&table.name)
        .set_description(table.description.clone())
        .set_owner(table.owner.clone())
        .set_table_type(table.table_type.clone())
        .set_parameters(hashed(&table.parameters))
        .set_partition_keys(Some(keys))
        .storage_descriptor(storage_input(&table.storage)?)
        .set_retention(table.retention)
        .set_last_access_time(table.last_access_ms.map(DateTime::from_millis))
        .set_last_analyzed_time(table.last_analyzed_ms.map(DateTime::from_millis))
        .set_view_original_text(table.view_original_text.clone())
        .set_view_expanded_text(table.view_expanded_text.clone())
        .build()
}

pub(super) fn partition(partition: sdk::Partition) -> Partition {
    Partition {
        values: partition.values.unwrap_or_default(),
        storage: partition.storage_descriptor.map(storage).unwrap_or_default(),
        parameters: sorted(partition.parameters),
        last_access_ms: partition.last_access_time.and_then(millis),
        last_analyzed_ms: partition.last_analyzed_time.and_then(millis),
    }
}

pub(super) fn partition_input(partition: &Partition) -> Result<sdk::PartitionInput, BuildError> {
    let builder = sdk::PartitionInput::builder()
        .set_values(Some(partition.values.clone()))
        .storage_descriptor(storage_input(&partition.storage)?)
        .set_parameters(hashed(&partition.parameters))
        .set_last_access_time(partition.last_access_ms.map(DateTime::from_millis))
        .set_last_analyzed_time(partition.last_analyzed_ms.map(DateTime::from_millis));
    Ok(builder.build())
}

pub(super) fn index(index: &PartitionIndex) -> Result<sdk::PartitionIndex, BuildError> {
    sdk::PartitionIndex::builder().index_name(&index.name).set_keys(Some(index.keys.clone())).build()
}

pub(super) fn value_lists(values: &[Vec<String>]) -> Result<Vec<sdk::PartitionValueList>, BuildError> {
    let list = |values: &Vec<String>| sdk::PartitionValueList::builder().set_values(Some(values.clone())).build();
    values.iter().map(list).collect()
}

pub(super) fn partition_error(
    operation: &'static str,
    values: Option<Vec<String>>,
    detail: Option<sdk::ErrorDetail>,
) -> PartitionError {
    let (code, message) = detail.map(|detail| (detail.error_code, detail.error_message)).unwrap_or_default();
    let error = CatalogError::new(operation, code.unwrap_or_default(), message.unwrap_or_default());
    PartitionError { values: values.unwrap_or_default(), error }
}

fn storage(storage: sdk::StorageDescriptor) -> StorageDescriptor {
    let order = |order: sdk::Order| (order.column, order.sort_order);
    StorageDescriptor {
        columns: storage.columns.unwrap_or_default().into_iter().map(column).collect(),
        location: storage.location,
        additional_locations: storage.additional_locations.unwrap_or_default(),
        input_format: storage.input_format,
        output_format: storage.output_format,
        compressed: storage.compressed,
        number_of_buckets: storage.number_of_buckets,
        serde: storage.serde_info.map(|serde| SerDe {
            name: serde.name,
            library: serde.serialization_library,
            parameters: sorted(serde.parameters),
        }),
        bucket_columns: storage.bucket_columns.unwrap_or_default(),
        sort_columns: storage.sort_columns.unwrap_or_default().into_iter().map(order).collect(),
        parameters: sorted(storage.parameters),
        skewed: storage.skewed_info.map(|skewed| Skewed {
            columns: skewed.skewed_column_names.unwrap_or_default(),
            values: skewed.skewed_column_values.unwrap_or_default(),
            locations: sorted(skewed.skewed_column_value_location_maps),
        }),
        stored_as_sub_directories: storage.stored_as_sub_directories,
    }
}

fn storage_input(storage: &StorageDescriptor) -> Result<sdk::StorageDescriptor, BuildError> {
    let order = |(column, order): &(String, i32)| sdk::Order::builder().column(column).sort_order(*order).build();
    let columns = storage.columns.iter().map(column_input).collect::<Result<Vec<_>, _>>()?;
    let sort_columns = storage.sort_columns.iter().map(order).collect::<Result<Vec<_>, _>>()?;
    let serde = storage.serde.as_ref().map(|serde| {
        sdk::SerDeInfo::builder()
            .set_name(serde.name.clone())
            .set_serialization_library(serde.library.clone())
            .set_parameters(hashed(&serde.parameters))
            .build()
    });
    let skewed = storage.skewed.as_ref().map(|skewed| {
        sdk::SkewedInfo::builder()
            .set_skewed_column_names(filled(&skewed.columns))
            .set_skewed_column_values(filled(&skewed.values))
            .set_skewed_column_value_location_maps(hashed(&skewed.locations))
            .build()
    });
    let builder = sdk::StorageDescriptor::builder()
        .set_columns(Some(columns))
        .set_location(storage.location.clone())
        .set_additional_locations(filled(&storage.additional_locations))
        .set_input_format(storage.input_format.clone())
        .set_output_format(storage.output_format.clone())
        .compressed(storage.compressed)
        .number_of_buckets(storage.number_of_buckets)
        .set_serde_info(serde)
        .set_bucket_columns(filled(&storage.bucket_columns))
        .set_sort_columns(filled(&sort_columns))
        .set_parameters(hashed(&storage.parameters))
        .set_skewed_info(skewed)
        .stored_as_sub_directories(storage.stored_as_sub_directories);
    Ok(builder.build())
}

fn column(column: sdk::Column) -> Column {
    Column {
        name: column.name,
        type_text: column.r#type.unwrap_or_default(),
        comment: column.comment,
        parameters: sorted(column.parameters),
    }
}

fn column_input(column: &Column) -> Result<sdk::Column, BuildError> {
    sdk::Column::builder()
        .name(&column.name)
        .r#type(&column.type_text)
        .set_comment(column.comment.clone())
        .set_parameters(hashed(&column.parameters))
        .build()
}

fn sorted<K: Ord + Hash + Eq, V>(map: Option<HashMap<K, V>>) -> BTreeMap<K, V> {
    map.unwrap_or_default().into_iter().collect()
}

fn hashed(map: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!map.is_empty()).then(|| map.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn filled<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn millis(time: DateTime) -> Option<i64> {
    time.to_millis().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything set to something.
    fn full_storage() -> StorageDescriptor {
        let text = |text: &str| Some(text.to_owned());
        let pair = |key: &str| BTreeMap::from([(key.to_owned(), "v".to_owned())]);
        let column = Column {
            name: "c".to_owned(),
            type_text: "struct<a:int>".to_owned(),
            comment: text("said"),
            parameters: pair("column"),
        };
        StorageDescriptor {
            columns: [column].into(),
            location: text("s3://b/t"),
            additional_locations: vec!["s3://b/more".to_owned()],
            input_format: text("in"),
            output_format: text("out"),
            compressed: true,
            number_of_buckets: 3,
            serde: Some(SerDe { name: text("n"), library: text("l"), parameters: pair("serde") }),
            bucket_columns: vec!["c".to_owned()],
            sort_columns: vec![("c".to_owned(), 1)],
            parameters: pair("storage"),
            skewed: Some(Skewed {
                columns: vec!["c".to_owned()],
                values: vec!["x".to_owned()],
                locations: pair("skewed"),
            }),
            stored_as_sub_directories: true,
        }
    }

    #[test]
    fn nothing_of_a_storage_descriptor_is_lost() {
        assert_eq!(storage(storage_input(&full_storage()).unwrap()), full_storage());
        let empty = StorageDescriptor::default();
        assert_eq!(storage(storage_input(&empty).unwrap()), empty);
    }

    #[test]
    fn nothing_of_a_table_is_lost() {
        let text = |text: &str| Some(text.to_owned());
        let full = Table {
            name: "t".to_owned(),
            description: text("d"),
            owner: text("o"),
            table_type: text("EXTERNAL_TABLE"),
            parameters: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            partition_keys: vec![Column::new("dt", "string")],
            storage: full_storage(),
            retention: Some(7),
            last_access_ms: Some(1_700_000_000_123),
            last_analyzed_ms: Some(1_700_000_000_456),
            view_original_text: text("a"),
            view_expanded_text: text("b"),
            target: None,
            version_id: None,
        };
        let input = table_input(&full).unwrap();
        // What the service answers to `GetTable`, of what it was given.
        let answer = sdk::Table::builder()
            .name(input.name)
            .set_description(input.description)
            .set_owner(input.owner)
            .set_table_type(input.table_type)
            .set_parameters(input.parameters)
            .set_partition_keys(input.partition_keys)
            .set_storage_descriptor(input.storage_descriptor)
            .retention(input.retention)
            .set_last_access_time(input.last_access_time)
            .set_last_analyzed_time(input.last_analyzed_time)
            .set_view_original_text(input.view_original_text)
            .set_view_expanded_text(input.view_expanded_text)
            .version_id("3");
        let found = table(answer.build().unwrap());
        assert_eq!(found, Table { version_id: text("3"), ..full });
        let link = sdk::TableIdentifier::builder().database_name("other").name("t").build();
        let found = table(sdk::Table::builder().name("t").target_table(link).build().unwrap());
        assert_eq!(found.target.as_deref(), Some("other.t"));
    }

    #[test]
    fn nothing_of_a_partition_is_lost() {
        let full = Partition {
            values: vec!["a".to_owned(), "b".to_owned()],
            storage: full_storage(),
            parameters: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            last_access_ms: Some(1),
            last_analyzed_ms: Some(2),
        };
        let input = partition_input(&full).unwrap();
        let answer = sdk::Partition::builder()
            .set_values(input.values)
            .set_storage_descriptor(input.storage_descriptor)
            .set_parameters(input.parameters)
            .set_last_access_time(input.last_access_time)
            .set_last_analyzed_time(input.last_analyzed_time);
        assert_eq!(partition(answer.build()), full);
    }
}
