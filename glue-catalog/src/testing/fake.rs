//! [`FakeGlue`]: a Glue in memory that is as strict as the real one, where AWS documents how strict that is.
//!
//! It holds the limits of the service model (entries, lengths, pages, segments), the number of partition values, versions and
//! conflicts, lower-case names, answers that fail in part, and if asked to, throttling and time. It counts calls, fails some, and
//! dies. Not here: filter expressions, and rights.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::catalog::{
    Catalog, CatalogError, Fetched, MAX_BATCH_DELETE, MAX_BATCH_GET, MAX_BATCH_WRITE, MAX_SEGMENTS, PageRequest,
    PartitionError, PartitionPage,
};
use crate::clock::Clock;
use crate::model::{Partition, PartitionIndex, StorageDescriptor, Table, TableId};
use crate::types::Column;

type Answer<T> = Result<T, CatalogError>;

/// How slow Glue is, and how large its pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long each answer takes.
    pub latency_ms: i64,
    /// How many calls a second it answers; the others are throttled.
    pub calls_per_second: Option<usize>,
    /// How many partitions a page of `GetPartitions` has, 1000 at most.
    pub page_size: usize,
    /// How many partitions `BatchGetPartition` looks for; the others it hands back.
    pub processed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { latency_ms: 0, calls_per_second: None, page_size: MAX_BATCH_GET, processed: MAX_BATCH_GET }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The call of this number, counted from 1, and all after it are not answered.
    DiesAt {
        /// The number.
        call: usize,
        /// Whether that call is carried out nevertheless.
        carried_out: bool,
    },
    /// Calls of this name fail.
    Fails {
        /// Glue's name of the call.
        operation: &'static str,
        /// Glue's name of the error.
        code: &'static str,
        /// How many of them.
        times: usize,
        /// Whether they are carried out nevertheless.
        carried_out: bool,
    },
    /// One partition of a call fails.
    PartitionFails {
        /// Its values.
        values: Vec<String>,
        /// Glue's name of the error.
        code: &'static str,
        /// How often.
        times: usize,
    },
}

type Edit = Box<dyn FnOnce(&mut Table) + Send>;

#[derive(Default)]
struct State {
    databases: BTreeMap<(Option<String>, String), ()>,
    tables: BTreeMap<TableId, Held>,
    limits: Limits,
    faults: Vec<Fault>,
    edits: Vec<(&'static str, TableId, Edit)>,
    calls: Vec<&'static str>,
    answered_ms: VecDeque<i64>,
    throttled: usize,
    archived: usize,
}

/// By their values.
type Partitions = BTreeMap<Vec<String>, Partition>;

#[derive(Debug, Clone)]
struct Held {
    table: Table,
    version: u64,
    partitions: Partitions,
    indexes: Vec<PartitionIndex>,
}

/// A Glue in memory.
pub struct FakeGlue {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl fmt::Debug for FakeGlue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeGlue").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

impl FakeGlue {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Sets how slow it is, and how large its pages.
    pub fn set_limits(&self, limits: Limits) {
        self.state().limits = limits;
    }

    /// Something goes wrong from now on.
    pub fn add_fault(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Somebody makes a database.
    pub fn add_database(&self, catalog_id: Option<&str>, name: &str) {
        self.state().databases.insert((catalog_id.map(str::to_owned), name.to_owned()), ());
    }

    /// Somebody changes a table, which makes a new version of it.
    pub fn edit(&self, table: &TableId, edit: impl FnOnce(&mut Table)) {
        if let Some(held) = self.state().tables.get_mut(table) {
            edit(&mut held.table);
            held.version += 1;
        }
    }

    /// Somebody changes a table right before the next call of this name.
    pub fn edit_before(
        &self,
        operation: &'static str,
        table: &TableId,
        edit: impl FnOnce(&mut Table) + Send + 'static,
    ) {
        self.state().edits.push((operation, table.clone(), Box::new(edit)));
    }

    /// Somebody changes a partition; `None` removes it.
    pub fn edit_partition(
        &self,
        table: &TableId,
        values: &[&str],
        edit: impl FnOnce(Option<Partition>) -> Option<Partition>,
    ) {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        if let Some(held) = self.state().tables.get_mut(table) {
            let edited = edit(held.partitions.remove(&values));
            held.partitions.extend(edited.map(|partition| (values, partition)));
        }
    }

    /// A table as it stands.
    pub fn table(&self, table: &TableId) -> Option<Table> {
        self.state().tables.get(table).map(|held| held.table.clone())
    }

    /// The tables that there are.
    pub fn tables(&self) -> Vec<TableId> {
        self.state().tables.keys().cloned().collect()
    }

    /// A table's partitions, by values.
    pub fn partitions(&self, table: &TableId) -> Vec<Partition> {
        self.state().tables.get(table).map(|held| held.partitions.values().cloned().collect()).unwrap_or_default()
    }

    /// A table's indexes.
    pub fn indexes(&self, table: &TableId) -> Vec<PartitionIndex> {
        self.state().tables.get(table).map(|held| held.indexes.clone()).unwrap_or_default()
    }

    /// The calls so far, by Glue's names, throttled ones included.
    pub fn calls(&self) -> Vec<&'static str> {
        self.state().calls.clone()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.throttled = 0;
    }

    /// How many calls so far changed something, or would have.
    pub fn writes(&self) -> usize {
        self.state().calls.iter().filter(|name| !name.contains("Get")).count()
    }

    /// How many calls were throttled.
    pub fn throttled(&self) -> usize {
        self.state().throttled
    }

    /// How many old versions of tables are kept.
    pub fn archived(&self) -> usize {
        self.state().archived
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call: counted, throttled, delayed, failed or carried out.
    async fn answer<T>(
        &self,
        operation: &'static str,
        carry_out: impl FnOnce(&mut State) -> Answer<T> + Send,
    ) -> Answer<T> {
        let now_ms = self.clock.now_ms();
        let (is_throttled, latency_ms, fate) = {
            let mut state = self.state();
            state.calls.push(operation);
            let fate = state.fate(operation);
            (state.is_throttled(now_ms), state.limits.latency_ms, fate)
        };
        if latency_ms > 0 {
            self.clock.sleep(latency_ms).await;
        }
        if is_throttled {
            return Err(CatalogError::new(operation, "ThrottlingException", "Rate exceeded"));
        }
        match fate {
            Fate::Answered => {
                let mut state = self.state();
                state.edit_before(operation);
                carry_out(&mut state)
            }
            Fate::Fails { error, is_carried_out } => {
                if is_carried_out {
                    carry_out(&mut self.state())?;
                }
                Err(error)
            }
        }
    }
}

enum Fate {
    Answered,
    Fails { error: CatalogError, is_carried_out: bool },
}

impl State {
    fn is_throttled(&mut self, now_ms: i64) -> bool {
        let Some(limit) = self.limits.calls_per_second else { return false };
        while self.answered_ms.front().is_some_and(|at| now_ms - at >= 1000) {
            self.answered_ms.pop_front();
        }
        if self.answered_ms.len() >= limit {
            self.throttled += 1;
            return true;
        }
        self.answered_ms.push_back(now_ms);
        false
    }

    fn fate(&mut self, operation: &'static str) -> Fate {
        let number = self.calls.len();
        for fault in &mut self.faults {
            match fault {
                Fault::DiesAt { call, carried_out } if number >= *call => {
                    // Not to be tried again: whoever called is dead.
                    let error = CatalogError::new(operation, "Dead", "the process is no more");
                    return Fate::Fails { error, is_carried_out: *carried_out && number == *call };
                }
                Fault::Fails { operation: name, code, times, carried_out } if *name == operation && *times > 0 => {
                    *times -= 1;
                    let error = CatalogError::new(operation, *code, "told to fail");
                    return Fate::Fails { error, is_carried_out: *carried_out };
                }
                _ => {}
            }
        }
        Fate::Answered
    }

    fn edit_before(&mut self, operation: &str) {
        let (now, later) = std::mem::take(&mut self.edits).into_iter().partition(|(name, ..)| *name == operation);
        self.edits = later;
        let now: Vec<(&'static str, TableId, Edit)> = now;
        for (_, table, edit) in now {
            if let Some(held) = self.tables.get_mut(&table) {
                edit(&mut held.table);
                held.version += 1;
            }
        }
    }

    fn held(&mut self, operation: &'static str, id: &TableId) -> Answer<&mut Held> {
        let missing = || CatalogError::new(operation, "EntityNotFoundException", format!("Table {id} not found."));
        self.tables.get_mut(&lower(id)).ok_or_else(missing)
    }

    /// Writes partitions one by one; `write` says with which code and message one is refused.
    fn write_partitions(
        &mut self,
        operation: &'static str,
        id: &TableId,
        partitions: &[Partition],
        write: impl Fn(&mut Partitions, &Partition) -> Result<(), (&'static str, &'static str)>,
    ) -> Answer<Vec<PartitionError>> {
        verify_entries(operation, partitions.len(), MAX_BATCH_WRITE)?;
        let keys = self.held(operation, id)?.table.partition_keys.len();
        for partition in partitions {
            verify_partition(operation, keys, partition)?;
        }
        let mut errors = Vec::new();
        for partition in partitions {
            if let Some(error) = self.partition_fault(operation, &partition.values) {
                errors.push(error);
            } else if let Err((code, message)) = write(&mut self.held(operation, id)?.partitions, partition) {
                errors.push(partition_error(operation, &partition.values, code, message));
            }
        }
        Ok(errors)
    }

    /// What is told to go wrong with this partition.
    fn partition_fault(&mut self, operation: &'static str, partition: &[String]) -> Option<PartitionError> {
        for fault in &mut self.faults {
            if let Fault::PartitionFails { values, code, times } = fault
                && *times > 0
                && values == partition
            {
                *times -= 1;
                return Some(partition_error(operation, partition, code, "told to fail"));
            }
        }
        None
    }
}

#[async_trait]
impl Catalog for FakeGlue {
    async fn get_table(&self, id: &TableId) -> Answer<Option<Table>> {
        self.answer("GetTable", |state| {
            let held = state.tables.get(&lower(id));
            Ok(held.map(|held| Table { version_id: Some(held.version.to_string()), ..held.table.clone() }))
        })
        .await
    }

    async fn create_database(&self, catalog_id: Option<&str>, name: &str) -> Answer<()> {
        const OPERATION: &str = "CreateDatabase";
        self.answer(OPERATION, |state| {
            let key = (catalog_id.map(str::to_owned), name.to_lowercase());
            match state.databases.insert(key, ()) {
                None => Ok(()),
                Some(()) => Err(CatalogError::new(OPERATION, "AlreadyExistsException", "Database already exists.")),
            }
        })
        .await
    }

    async fn create_table(&self, id: &TableId, table: &Table, indexes: &[PartitionIndex]) -> Answer<()> {
        const OPERATION: &str = "CreateTable";
        self.answer(OPERATION, |state| {
            verify_table(OPERATION, table)?;
            let id = lower(id);
            if !state.databases.contains_key(&(id.catalog_id.clone(), id.database.clone())) {
                return Err(CatalogError::new(OPERATION, "EntityNotFoundException", "Database not found."));
            }
            if state.tables.contains_key(&id) {
                return Err(CatalogError::new(OPERATION, "AlreadyExistsException", "Table already exists."));
            }
            let table = Table { name: id.name.clone(), version_id: None, ..table.clone() };
            for index in indexes {
                verify_index(OPERATION, &table, index)?;
            }
            let held = Held { table, version: 0, partitions: BTreeMap::new(), indexes: indexes.to_vec() };
            state.tables.insert(id, held);
            Ok(())
        })
        .await
    }

    async fn update_table(&self, id: &TableId, table: &Table, skip_archive: bool) -> Answer<()> {
        const OPERATION: &str = "UpdateTable";
        self.answer(OPERATION, |state| {
            verify_table(OPERATION, table)?;
            let held = state.held(OPERATION, id)?;
            if table.version_id.as_ref().is_some_and(|version| *version != held.version.to_string()) {
                let message = "Update table failed due to concurrent modifications.";
                return Err(CatalogError::new(OPERATION, "ConcurrentModificationException", message));
            }
            let keys = |table: &Table| -> Vec<(String, String)> {
                table.partition_keys.iter().map(|key| (key.name.clone(), key.type_text.clone())).collect()
            };
            if !held.partitions.is_empty() && keys(table) != keys(&held.table) {
                let message = "Partition keys can not be changed.";
                return Err(CatalogError::new(OPERATION, "InvalidInputException", message));
            }
            held.table = Table { version_id: None, ..table.clone() };
            held.version += 1;
            state.archived += usize::from(!skip_archive);
            Ok(())
        })
        .await
    }

    async fn delete_table(&self, id: &TableId) -> Answer<()> {
        const OPERATION: &str = "DeleteTable";
        self.answer(OPERATION, |state| {
            state.held(OPERATION, id)?;
            state.tables.remove(&lower(id));
            Ok(())
        })
        .await
    }

    async fn get_partitions(&self, id: &TableId, page: &PageRequest) -> Answer<PartitionPage> {
        const OPERATION: &str = "GetPartitions";
        self.answer(OPERATION, |state| {
            let size = state.limits.page_size.clamp(1, MAX_BATCH_GET);
            if page.segment.is_some_and(|(number, total)| number >= total || total > MAX_SEGMENTS) {
                return Err(invalid(OPERATION, "no such segment"));
            }
            let held = state.held(OPERATION, id)?;
            let mut mine: Vec<&Partition> =
                held.partitions.values().filter(|partition| is_in_segment(partition, page.segment)).collect();
            let from = match &page.next_token {
                None => 0,
                Some(token) => match token.strip_prefix(&format!("{:?}:", page.segment)).and_then(|at| at.parse().ok())
                {
                    Some(from) => from,
                    None => return Err(invalid(OPERATION, "a token of another list")),
                },
            };
            let left = mine.split_off(mine.len().min(from));
            let next_token = (left.len() > size).then(|| format!("{:?}:{}", page.segment, from + size));
            let partitions = left.into_iter().take(size).cloned().map(|mut partition| {
                if page.exclude_columns {
                    partition.storage.columns = Arc::default();
                }
                partition
            });
            Ok(PartitionPage { partitions: partitions.collect(), next_token })
        })
        .await
    }

    async fn batch_get_partition(&self, id: &TableId, values: &[Vec<String>]) -> Answer<Fetched> {
        const OPERATION: &str = "BatchGetPartition";
        self.answer(OPERATION, |state| {
            verify_entries(OPERATION, values.len(), MAX_BATCH_GET)?;
            let processed = state.limits.processed;
            let held = state.held(OPERATION, id)?;
            let (now, later) = values.split_at(values.len().min(processed));
            let partitions = now.iter().filter_map(|values| held.partitions.get(values).cloned()).collect();
            Ok(Fetched { partitions, unprocessed: later.to_vec() })
        })
        .await
    }

    async fn batch_create_partition(&self, id: &TableId, partitions: &[Partition]) -> Answer<Vec<PartitionError>> {
        const OPERATION: &str = "BatchCreatePartition";
        let create = |there: &mut Partitions, partition: &Partition| match there.entry(partition.values.clone()) {
            Entry::Occupied(_) => Err(("AlreadyExistsException", "Partition already exists.")),
            Entry::Vacant(place) => {
                place.insert(partition.clone());
                Ok(())
            }
        };
        self.answer(OPERATION, |state| state.write_partitions(OPERATION, id, partitions, create)).await
    }

    async fn batch_update_partition(&self, id: &TableId, partitions: &[Partition]) -> Answer<Vec<PartitionError>> {
        const OPERATION: &str = "BatchUpdatePartition";
        let update = |there: &mut Partitions, partition: &Partition| match there.get_mut(&partition.values) {
            Some(place) => {
                *place = partition.clone();
                Ok(())
            }
            None => Err(("EntityNotFoundException", "Partition not found.")),
        };
        self.answer(OPERATION, |state| state.write_partitions(OPERATION, id, partitions, update)).await
    }

    async fn batch_delete_partition(&self, id: &TableId, values: &[Vec<String>]) -> Answer<Vec<PartitionError>> {
        const OPERATION: &str = "BatchDeletePartition";
        self.answer(OPERATION, |state| {
            verify_entries(OPERATION, values.len(), MAX_BATCH_DELETE)?;
            let mut errors = Vec::new();
            for values in values {
                if let Some(error) = state.partition_fault(OPERATION, values) {
                    errors.push(error);
                } else if state.held(OPERATION, id)?.partitions.remove(values).is_none() {
                    let code = "EntityNotFoundException";
                    errors.push(partition_error(OPERATION, values, code, "Partition not found."));
                }
            }
            Ok(errors)
        })
        .await
    }

    async fn get_partition_indexes(&self, id: &TableId) -> Answer<Vec<PartitionIndex>> {
        const OPERATION: &str = "GetPartitionIndexes";
        self.answer(OPERATION, |state| Ok(state.held(OPERATION, id)?.indexes.clone())).await
    }

    async fn create_partition_index(&self, id: &TableId, index: &PartitionIndex) -> Answer<()> {
        const OPERATION: &str = "CreatePartitionIndex";
        self.answer(OPERATION, |state| {
            let held = state.held(OPERATION, id)?;
            verify_index(OPERATION, &held.table, index)?;
            if held.indexes.iter().any(|made| made.name == index.name) {
                return Err(CatalogError::new(OPERATION, "AlreadyExistsException", "Index already exists."));
            }
            if held.indexes.len() >= 3 {
                return Err(CatalogError::new(OPERATION, "ResourceNumberLimitExceededException", "Three at most."));
            }
            held.indexes.push(index.clone());
            Ok(())
        })
        .await
    }
}

fn lower(id: &TableId) -> TableId {
    TableId { catalog_id: id.catalog_id.clone(), database: id.database.to_lowercase(), name: id.name.to_lowercase() }
}

fn invalid(operation: &'static str, message: impl Into<String>) -> CatalogError {
    CatalogError::new(operation, "InvalidInputException", message)
}

fn too_large(operation: &'static str, what: impl fmt::Display) -> CatalogError {
    let message = format!("1 validation error detected: {what} failed to satisfy constraint");
    CatalogError::new(operation, "ValidationException", message)
}

fn partition_error(operation: &'static str, values: &[String], code: &str, message: &str) -> PartitionError {
    PartitionError { values: values.to_vec(), error: CatalogError::new(operation, code, message) }
}

fn verify_entries(operation: &'static str, found: usize, limit: usize) -> Answer<()> {
    if (1..=limit).contains(&found) { Ok(()) } else { Err(too_large(operation, format!("{found} entries"))) }
}

fn verify_table(operation: &'static str, table: &Table) -> Answer<()> {
    verify_name(operation, &table.name)?;
    let long = |text: &Option<String>, limit: usize| text.as_ref().is_some_and(|text| text.chars().count() > limit);
    if long(&table.description, 2048) || long(&table.owner, 255) || long(&table.table_type, 255) {
        return Err(too_large(operation, "a text"));
    }
    for (key, value) in &table.parameters {
        if !(1..=255).contains(&key.chars().count()) || value.chars().count() > 512_000 {
            return Err(too_large(operation, format!("parameter {key}")));
        }
    }
    verify_storage(operation, &table.storage, &table.partition_keys)
}

fn verify_storage(operation: &'static str, storage: &StorageDescriptor, keys: &[Column]) -> Answer<()> {
    let mut seen: HashMap<String, ()> = HashMap::new();
    for column in storage.columns.iter().chain(keys) {
        verify_name(operation, &column.name)?;
        let comment = column.comment.as_ref().map_or(0, |comment| comment.chars().count());
        if column.type_text.chars().count() > 131_072 || comment > 255 {
            return Err(too_large(operation, format!("column {}", column.name)));
        }
        if seen.insert(column.name.to_lowercase(), ()).is_some() {
            return Err(invalid(operation, format!("Duplicate column name: {}", column.name)));
        }
    }
    let long = |text: &Option<String>, limit: usize| text.as_ref().is_some_and(|text| text.chars().count() > limit);
    if long(&storage.location, 2056) || long(&storage.input_format, 128) || long(&storage.output_format, 128) {
        return Err(too_large(operation, "the storage descriptor"));
    }
    Ok(())
}

fn verify_name(operation: &'static str, name: &str) -> Answer<()> {
    if (1..=255).contains(&name.chars().count()) && !name.contains(['\n', '\r']) {
        return Ok(());
    }
    Err(too_large(operation, "a name"))
}

fn verify_partition(operation: &'static str, keys: usize, partition: &Partition) -> Answer<()> {
    if partition.values.len() != keys {
        return Err(invalid(operation, "The number of partition keys do not match the number of partition values"));
    }
    if partition.values.iter().any(|value| !(1..=1024).contains(&value.chars().count())) {
        return Err(too_large(operation, "a partition value"));
    }
    verify_storage(operation, &partition.storage, &[])
}

fn verify_index(operation: &'static str, table: &Table, index: &PartitionIndex) -> Answer<()> {
    let is_key = |name: &String| table.partition_keys.iter().any(|key| key.name == *name);
    if index.keys.is_empty() || !index.keys.iter().all(is_key) {
        return Err(invalid(operation, "an index has partition keys"));
    }
    Ok(())
}

fn is_in_segment(partition: &Partition, segment: Option<(u32, u32)>) -> bool {
    let Some((number, total)) = segment else { return true };
    let bytes = partition.values.iter().flat_map(|value| value.bytes());
    bytes.fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte)) % total == number
}
