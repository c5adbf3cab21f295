//! [`GlueClient`]: the catalog of AWS.
//!
//! One method, one call: the SDK repeats nothing, for the sync finds the pace itself and reads again what a lost answer leaves open.
//! Every call names its catalog. Not here: how our words become the SDK's (`shapes`).

mod shapes;

use std::time::Duration;

use async_trait::async_trait;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_glue::Client;
use aws_sdk_glue::config::retry::RetryConfig;
use aws_sdk_glue::config::timeout::TimeoutConfig;
use aws_sdk_glue::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_glue::types::{BatchUpdatePartitionRequestEntry, DatabaseInput, Segment};

use crate::catalog::{
    Catalog, CatalogError, ErrorKind, Fetched, MAX_BATCH_GET, PageRequest, PartitionError, PartitionPage,
};
use crate::model::{Partition, PartitionIndex, Table, TableId};

/// What the service answers with where it took no request.
const INVALID: &str = "ValidationException";
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

type Answer<T> = Result<T, CatalogError>;

/// How Glue is reached; what is not said is found as the SDK finds it: variables, profile, container, instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// The region.
    pub region: Option<String>,
    /// Where the service is, if not at AWS.
    pub endpoint: Option<String>,
    /// A role to assume: that of another account, to write to its catalog.
    pub role_arn: Option<String>,
    /// What the role's owner asks to be told.
    pub external_id: Option<String>,
}

/// The catalog of AWS, as one identity. Tables that are written as another have a client of their own.
#[derive(Debug, Clone)]
pub struct GlueClient {
    client: Client,
}

impl GlueClient {
    /// Finds region and credentials, and assumes the role if there is one. Whether they are right shows at the first call.
    pub async fn new(settings: &ClientSettings) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let mut found = loader.load().await;
        if let Some(role) = &settings.role_arn {
            let mut builder = AssumeRoleProvider::builder(role).session_name("glue-catalog").configure(&found);
            if let Some(external_id) = &settings.external_id {
                builder = builder.external_id(external_id);
            }
            let provider = aws_sdk_glue::config::SharedCredentialsProvider::new(builder.build().await);
            found = found.into_builder().credentials_provider(provider).build();
        }
        Self::with(&found, settings.endpoint.as_deref())
    }

    /// With what was found already.
    pub fn with(found: &SdkConfig, endpoint: Option<&str>) -> Self {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(ANSWER).build();
        let mut builder =
            aws_sdk_glue::config::Builder::from(found).retry_config(RetryConfig::disabled()).timeout_config(timeouts);
        builder.set_endpoint_url(endpoint.map(str::to_owned).or_else(|| found.endpoint_url().map(str::to_owned)));
        Self { client: Client::from_conf(builder.build()) }
    }
}

#[async_trait]
impl Catalog for GlueClient {
    async fn get_table(&self, id: &TableId) -> Answer<Option<Table>> {
        const OPERATION: &str = "GetTable";
        let call = self.client.get_table().set_catalog_id(id.catalog_id.clone());
        let answer = call.database_name(&id.database).name(&id.name).send().await;
        match answer.map_err(failed(OPERATION)) {
            Ok(answer) => Ok(answer.table.map(shapes::table)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create_database(&self, catalog_id: Option<&str>, name: &str) -> Answer<()> {
        const OPERATION: &str = "CreateDatabase";
        let input = DatabaseInput::builder().name(name).build().map_err(refused(OPERATION))?;
        let call = self.client.create_database().set_catalog_id(catalog_id.map(str::to_owned));
        call.database_input(input).send().await.map(drop).map_err(failed(OPERATION))
    }

    async fn create_table(&self, id: &TableId, table: &Table, indexes: &[PartitionIndex]) -> Answer<()> {
        const OPERATION: &str = "CreateTable";
        let input = shapes::table_input(table).map_err(refused(OPERATION))?;
        let indexes = indexes.iter().map(shapes::index).collect::<Result<Vec<_>, _>>().map_err(refused(OPERATION))?;
        let call = self.client.create_table().set_catalog_id(id.catalog_id.clone()).database_name(&id.database);
        let call = call.table_input(input).set_partition_indexes((!indexes.is_empty()).then_some(indexes));
        call.send().await.map(drop).map_err(failed(OPERATION))
    }

    async fn update_table(&self, id: &TableId, table: &Table, skip_archive: bool) -> Answer<()> {
        const OPERATION: &str = "UpdateTable";
        let input = shapes::table_input(table).map_err(refused(OPERATION))?;
        let call = self.client.update_table().set_catalog_id(id.catalog_id.clone()).database_name(&id.database);
        let call = call.table_input(input).set_version_id(table.version_id.clone()).skip_archive(skip_archive);
        call.send().await.map(drop).map_err(failed(OPERATION))
    }

    async fn delete_table(&self, id: &TableId) -> Answer<()> {
        let call = self.client.delete_table().set_catalog_id(id.catalog_id.clone());
        let answer = call.database_name(&id.database).name(&id.name).send().await;
        answer.map(drop).map_err(failed("DeleteTable"))
    }

    async fn get_partitions(&self, id: &TableId, page: &PageRequest) -> Answer<PartitionPage> {
        const OPERATION: &str = "GetPartitions";
        let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let segment = page.segment.map(|(segment, total)| {
            Segment::builder().segment_number(number(segment)).total_segments(number(total)).build()
        });
        let segment = segment.transpose().map_err(refused(OPERATION))?;
        let call = self.client.get_partitions().set_catalog_id(id.catalog_id.clone()).set_segment(segment);
        let call = call.database_name(&id.database).table_name(&id.name).exclude_column_schema(page.exclude_columns);
        let call = call.set_next_token(page.next_token.clone()).max_results(MAX_BATCH_GET as i32);
        let answer = call.send().await.map_err(failed(OPERATION))?;
        let partitions = answer.partitions.unwrap_or_default().into_iter().map(shapes::partition).collect();
        Ok(PartitionPage { partitions, next_token: answer.next_token })
    }

    async fn batch_get_partition(&self, id: &TableId, values: &[Vec<String>]) -> Answer<Fetched> {
        const OPERATION: &str = "BatchGetPartition";
        let values = shapes::value_lists(values).map_err(refused(OPERATION))?;
        let call = self.client.batch_get_partition().set_catalog_id(id.catalog_id.clone());
        let call = call.database_name(&id.database).table_name(&id.name).set_partitions_to_get(Some(values));
        let answer = call.send().await.map_err(failed(OPERATION))?;
        let unprocessed = answer.unprocessed_keys.unwrap_or_default();
        Ok(Fetched {
            partitions: answer.partitions.unwrap_or_default().into_iter().map(shapes::partition).collect(),
            unprocessed: unprocessed.into_iter().map(|list| list.values).collect(),
        })
    }

    async fn batch_create_partition(&self, id: &TableId, partitions: &[Partition]) -> Answer<Vec<PartitionError>> {
        const OPERATION: &str = "BatchCreatePartition";
        let inputs = partitions.iter().map(shapes::partition_input).collect::<Result<_, _>>();
        let inputs = inputs.map_err(refused(OPERATION))?;
        let call = self.client.batch_create_partition().set_catalog_id(id.catalog_id.clone());
        let call = call.database_name(&id.database).table_name(&id.name).set_partition_input_list(Some(inputs));
        let answer = call.send().await.map_err(failed(OPERATION))?;
        let errors = answer.errors.unwrap_or_default().into_iter();
        Ok(errors.map(|e| shapes::partition_error(OPERATION, e.partition_values, e.error_detail)).collect())
    }

    async fn batch_update_partition(&self, id: &TableId, partitions: &[Partition]) -> Answer<Vec<PartitionError>> {
        const OPERATION: &str = "BatchUpdatePartition";
        let entry = |partition: &Partition| {
            let builder = BatchUpdatePartitionRequestEntry::builder();
            let builder = builder.set_partition_value_list(Some(partition.values.clone()));
            builder.partition_input(shapes::partition_input(partition)?).build()
        };
        let entries = partitions.iter().map(entry).collect::<Result<_, _>>().map_err(refused(OPERATION))?;
        let call = self.client.batch_update_partition().set_catalog_id(id.catalog_id.clone());
        let call = call.database_name(&id.database).table_name(&id.name).set_entries(Some(entries));
        let answer = call.send().await.map_err(failed(OPERATION))?;
        let errors = answer.errors.unwrap_or_default().into_iter();
        Ok(errors.map(|e| shapes::partition_error(OPERATION, e.partition_value_list, e.error_detail)).collect())
    }

    async fn batch_delete_partition(&self, id: &TableId, values: &[Vec<String>]) -> Answer<Vec<PartitionError>> {
        const OPERATION: &str = "BatchDeletePartition";
        let values = shapes::value_lists(values).map_err(refused(OPERATION))?;
        let call = self.client.batch_delete_partition().set_catalog_id(id.catalog_id.clone());
        let call = call.database_name(&id.database).table_name(&id.name).set_partitions_to_delete(Some(values));
        let answer = call.send().await.map_err(failed(OPERATION))?;
        let errors = answer.errors.unwrap_or_default().into_iter();
        Ok(errors.map(|e| shapes::partition_error(OPERATION, e.partition_values, e.error_detail)).collect())
    }

    async fn get_partition_indexes(&self, id: &TableId) -> Answer<Vec<PartitionIndex>> {
        let (mut indexes, mut token) = (Vec::new(), None);
        loop {
            let call = self.client.get_partition_indexes().set_catalog_id(id.catalog_id.clone());
            let call = call.database_name(&id.database).table_name(&id.name).set_next_token(token);
            let answer = call.send().await.map_err(failed("GetPartitionIndexes"))?;
            let descriptors = answer.partition_index_descriptor_list.unwrap_or_default();
            indexes.extend(descriptors.into_iter().map(|made| PartitionIndex {
                name: made.index_name,
                keys: made.keys.into_iter().map(|key| key.name).collect(),
            }));
            token = answer.next_token;
            if token.is_none() {
                return Ok(indexes);
            }
        }
    }

    async fn create_partition_index(&self, id: &TableId, index: &PartitionIndex) -> Answer<()> {
        const OPERATION: &str = "CreatePartitionIndex";
        let index = shapes::index(index).map_err(refused(OPERATION))?;
        let call = self.client.create_partition_index().set_catalog_id(id.catalog_id.clone());
        let call = call.database_name(&id.database).table_name(&id.name).partition_index(index);
        call.send().await.map(drop).map_err(failed(OPERATION))
    }
}

/// What the SDK does not even send.
fn refused<E: std::error::Error>(operation: &'static str) -> impl Fn(E) -> CatalogError {
    move |error| CatalogError::new(operation, INVALID, error.to_string())
}

/// What the service answered, or that it did not.
fn failed<E>(operation: &'static str) -> impl Fn(SdkError<E>) -> CatalogError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |error| match (error.code(), &error) {
        (Some(code), _) => CatalogError::new(operation, code, error.message().unwrap_or_default()),
        (None, SdkError::ConstructionFailure(_)) => {
            CatalogError::new(operation, INVALID, DisplayErrorContext(&error).to_string())
        }
        (None, _) => CatalogError::unanswered(operation, DisplayErrorContext(&error).to_string()),
    }
}
