//! Reads what Glue has, and says what must change: the first half of a sync. Writes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::calls::Place;
use crate::desired::{Desired, EXTERNAL_TABLE, PARTITION_INDEXES, PARTITION_VALUES};
use crate::difference::{Change, differences, is_partition_astray, merge, merge_partition, needs_cascade};
use crate::error::{Error, Result};
use crate::location;
use crate::model::{Partition, PartitionIndex, StorageDescriptor, Table, TableId};
use crate::partition::PartitionScheme;
use crate::plan::{Outlook, Plan, TableStep, Warning};
use crate::settings::{Stamping, SyncSettings};
use crate::types::Column;
use crate::window::{Window, is_in_older_half, window};

use super::reading::Reading;
use super::stamp::Stamp;
use super::{GlueSync, catalog_error};

/// One table of Glue, and what it must be.
pub(super) struct Job<'a> {
    pub(super) id: TableId,
    pub(super) desired: &'a Table,
    pub(super) scheme: &'a PartitionScheme,
    pub(super) settings: &'a SyncSettings,
}

impl Plan {
    fn new(job: &Job<'_>, found: Option<Table>, step: TableStep) -> Self {
        Self {
            table: job.id.clone(),
            found,
            step,
            changes: Vec::new(),
            add: Vec::new(),
            blind: false,
            update: Vec::new(),
            drop: Vec::new(),
            indexes: Vec::new(),
            warnings: Vec::new(),
            outlook: Outlook::Sync,
        }
    }

    fn without_work(job: &Job<'_>, outlook: Outlook) -> Self {
        let step = TableStep::Keep { merged: Box::default(), stamp: false };
        Self { outlook, ..Self::new(job, None, step) }
    }
}

impl GlueSync {
    pub(super) async fn plan_table(&self, job: &Job<'_>, reading: &mut Reading<'_>) -> Result<Plan> {
        let found = self.calls.run(|catalog| catalog.get_table(&job.id)).await;
        match found.map_err(catalog_error(&job.id))? {
            None => self.plan_creation(job, reading, None).await,
            Some(found) => {
                verify_is_table(&found, &job.id)?;
                match misfit(&found, job) {
                    Some(why) if job.settings.recreate => self.plan_creation(job, reading, Some((found, why))).await,
                    Some(why) => Err(why),
                    None => self.plan_update(job, reading, found).await,
                }
            }
        }
    }

    async fn plan_creation(
        &self,
        job: &Job<'_>,
        reading: &mut Reading<'_>,
        instead: Option<(Table, Error)>,
    ) -> Result<Plan> {
        let all = reading.partitions().await?;
        if all.is_empty() {
            return Ok(Plan::without_work(job, Outlook::NothingYet));
        }
        let now = Some(self.calls.clock.now_ms());
        let mut table = Table { last_access_ms: now, last_analyzed_ms: now, ..job.desired.clone() };
        let location = table.storage.location.clone().unwrap_or_default();
        let columns = table.storage.columns.len() + table.partition_keys.len();
        let add = places(all.iter().map(String::as_str), job, job.scheme)?;
        let made = Change::CreateTable { location, columns };
        let (step, changes) = match instead {
            None => (TableStep::Create(table), vec![made]),
            Some((found, why)) => {
                let kept = Table { partition_keys: table.partition_keys.clone(), ..merge(&found, &table) };
                table = Table { last_access_ms: now, last_analyzed_ms: now, version_id: None, ..kept };
                Stamp::default().write(&mut table);
                (TableStep::Recreate(table), vec![Change::RecreateTable { why: why.to_string() }, made])
            }
        };
        let indexes = job.settings.partition_indexes.iter().map(|keys| index(keys)).collect();
        Ok(Plan { changes, add, indexes, ..Plan::new(job, None, step) })
    }

    async fn plan_update(&self, job: &Job<'_>, reading: &mut Reading<'_>, found: Table) -> Result<Plan> {
        let timeline = reading.table.timeline();
        let stamp = Stamp::read(&found);
        let window = match window(timeline, stamp.synced(), &stamp.pending) {
            Window::Behind if !job.settings.full => {
                let synced = stamp.synced().map(|time| time.to_string()).unwrap_or_default();
                return Ok(Plan::without_work(job, Outlook::Behind(synced)));
            }
            _ if job.settings.full || is_taken_over(&found, job.desired) => Window::All,
            window => window,
        };
        // Whoever made the partitions then may have given them other types.
        let trusts_types = stamp.synced().is_some() && !job.settings.full && !is_taken_over(&found, job.desired);
        let merged = merge(&found, job.desired);
        let mut plan = self.plan_partitions(job, reading, (&found, &merged), &window, trusts_types).await?;
        plan.changes = differences(&found, &merged);
        plan.indexes = self.plan_indexes(job, &found).await?;
        plan.changes.extend(plan.indexes.iter().map(|index| Change::CreateIndex { keys: index.keys.clone() }));
        if found.parameters.get("projection.enabled").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            plan.warnings.push(Warning::PartitionProjection);
        }
        let ours = Stamp::of(timeline);
        let late = matches!(&window, Window::Writes(writes) if writes.iter().any(|i| Some(i.time) <= stamp.synced()));
        let due = match (job.settings.stamping, stamp.synced()) {
            (_, None) => true,
            (Stamping::EveryCommit, synced) => synced != ours.synced(),
            (Stamping::Lazy, Some(synced)) => {
                synced < ours.synced().unwrap_or(synced) && is_in_older_half(timeline, synced)
            }
        };
        let stamp = due || late || !plan.is_empty() || matches!(window, Window::All) && stamp.synced() != ours.synced();
        plan.step = TableStep::Keep { merged: Box::new(merged), stamp };
        plan.found = Some(found);
        Ok(plan)
    }

    async fn plan_partitions(
        &self,
        job: &Job<'_>,
        reading: &mut Reading<'_>,
        (found, merged): (&Table, &Table),
        window: &Window,
        trusts_types: bool,
    ) -> Result<Plan> {
        let mut plan = Plan::new(job, None, TableStep::Keep { merged: Box::default(), stamp: false });
        if job.scheme.is_empty() {
            return Ok(plan);
        }
        let scheme = job.scheme.with_types_of(&found.partition_keys);
        let cascade = needs_cascade(&found.storage.columns, &merged.storage.columns);
        match window {
            Window::All => {
                let all = reading.partitions().await?;
                let wanted = places(all.iter().map(String::as_str), job, &scheme)?;
                self.compare_all(&mut plan, wanted, &merged.storage, cascade || !trusts_types).await?;
            }
            Window::Writes(writes) => {
                let touched = reading.touched(writes).await?;
                let unknown = self.known.without_known(&job.id, found, touched.written());
                plan.add = places(unknown.into_iter(), job, &scheme)?;
                plan.blind = true;
                // What Glue cannot hold it does not hold.
                plan.drop = touched.dropped().filter_map(|path| scheme.values(path).ok()).collect();
                if cascade {
                    let dropped: HashSet<&Vec<String>> = plan.drop.iter().collect();
                    let astray = self.to_cascade(&job.id, &merged.storage).await?;
                    plan.update = astray.into_iter().filter(|update| !dropped.contains(&update.values)).collect();
                }
            }
            Window::Behind => {}
        }
        Ok(plan)
    }

    /// Every partition of Glue's with every one of the table's.
    async fn compare_all(
        &self,
        plan: &mut Plan,
        wanted: Vec<Place>,
        storage: &StorageDescriptor,
        with_columns: bool,
    ) -> Result<()> {
        let by_values: HashMap<&[String], &Place> =
            wanted.iter().map(|place| (place.values.as_slice(), place)).collect();
        // Of thousands of partitions only what is needed is kept.
        let judged = self.calls.list_partitions(&plan.table, !with_columns, |mut found| {
            let place = by_values.get(found.values.as_slice());
            let place = place.filter(|place| is_partition_astray(&found, storage, &place.location));
            let values = found.values.clone();
            found.storage.columns = Arc::default();
            (values, place.map(|place| merge_partition(&found, storage, &place.location)))
        });
        let judged: BTreeMap<Vec<String>, Option<Partition>> =
            judged.await.map_err(catalog_error(&plan.table))?.into_iter().collect();
        plan.drop = judged.keys().filter(|values| !by_values.contains_key(values.as_slice())).cloned().collect();
        drop(by_values);
        plan.add = wanted.into_iter().filter(|place| !judged.contains_key(&place.values)).collect();
        plan.update = judged.into_values().flatten().collect();
        Ok(())
    }

    /// The partitions whose columns engines would find at odds with the table's; their places stay as Glue has them.
    async fn to_cascade(&self, table: &TableId, storage: &StorageDescriptor) -> Result<Vec<Partition>> {
        let judged = self.calls.list_partitions(table, false, |mut found| {
            let astray = needs_cascade(&found.storage.columns, &storage.columns);
            found.storage.columns = Arc::default();
            astray.then_some(found)
        });
        let mut astray: BTreeMap<Vec<String>, Partition> = BTreeMap::new();
        for found in judged.await.map_err(catalog_error(table))?.into_iter().flatten() {
            let location = found.storage.location.clone().unwrap_or_default();
            let updated = merge_partition(&found, storage, &location);
            astray.insert(found.values, updated);
        }
        Ok(astray.into_values().collect())
    }

    async fn plan_indexes(&self, job: &Job<'_>, found: &Table) -> Result<Vec<PartitionIndex>> {
        let wanted = &job.settings.partition_indexes;
        let are_made = found.parameters.get(PARTITION_INDEXES) == job.desired.parameters.get(PARTITION_INDEXES);
        if wanted.is_empty() || are_made {
            return Ok(Vec::new());
        }
        let there = self.calls.run(|catalog| catalog.get_partition_indexes(&job.id)).await;
        let there = there.map_err(catalog_error(&job.id))?;
        let wanted = wanted.iter().map(|keys| index(keys));
        Ok(wanted.filter(|index| there.iter().all(|made| made.keys != index.keys)).collect())
    }

    /// Looks which of the partitions to add are there already, for those who only want to read the plan.
    pub(super) async fn open_eyes(&self, plan: &mut Plan) -> Result<()> {
        let (true, TableStep::Keep { merged, .. }) = (plan.blind, &plan.step) else { return Ok(()) };
        let values: Vec<Vec<String>> = plan.add.iter().map(|place| place.values.clone()).collect();
        let there = self.calls.fetch_partitions(&plan.table, &values).await.map_err(catalog_error(&plan.table))?;
        let (add, existing): (Vec<Place>, Vec<Place>) = {
            let there: HashSet<&[String]> = there.iter().map(|found| found.values.as_slice()).collect();
            std::mem::take(&mut plan.add).into_iter().partition(|place| !there.contains(place.values.as_slice()))
        };
        put_right(&there, &existing, &merged.storage, &mut plan.update);
        plan.add = add;
        plan.blind = false;
        Ok(())
    }
}

/// Adds those of the partitions to `updates` that engines would read otherwise than they should, unless they are among them.
pub(super) fn put_right(
    there: &[Partition],
    places: &[Place],
    storage: &StorageDescriptor,
    updates: &mut Vec<Partition>,
) {
    let by_values: HashMap<&[String], &Place> = places.iter().map(|place| (place.values.as_slice(), place)).collect();
    let planned: HashSet<Vec<String>> = updates.iter().map(|update| update.values.clone()).collect();
    for found in there.iter().filter(|found| !planned.contains(&found.values)) {
        let place = by_values.get(found.values.as_slice());
        if let Some(place) = place.filter(|place| is_partition_astray(found, storage, &place.location)) {
            updates.push(merge_partition(found, storage, &place.location));
        }
    }
}

/// The places of partitions at these paths: all of them, or the first that Glue cannot hold.
fn places<'a>(paths: impl Iterator<Item = &'a str>, job: &Job<'_>, scheme: &PartitionScheme) -> Result<Vec<Place>> {
    if scheme.is_empty() {
        return Ok(Vec::new());
    }
    let base = job.desired.storage.location.as_deref().unwrap_or_default();
    let mut places = Vec::new();
    let mut by_values: HashMap<Vec<String>, &str> = HashMap::new();
    for path in paths {
        let refuse = |reason| Error::Partition { table: job.id.to_string(), partition: path.to_owned(), reason };
        let values = scheme.values(path).map_err(refuse)?;
        if let Some(other) = by_values.insert(values.clone(), path) {
            return Err(refuse(format!("its values ({}) are those of `{other}`", values.join(", "))));
        }
        let location = location::of_partition(base, path).map_err(refuse)?;
        places.push(Place { path: path.to_owned(), values, location });
    }
    Ok(places)
}

fn index(keys: &[String]) -> PartitionIndex {
    let keys: Vec<String> = keys.iter().map(|key| key.to_lowercase()).collect();
    PartitionIndex { name: format!("hudi_managed_[{}]", keys.join(", ")), keys }
}

/// Whether the partitions that Glue has were made by somebody else, or in another way: all of them are compared then.
fn is_taken_over(found: &Table, desired: &Table) -> bool {
    found.parameters.get(PARTITION_VALUES) != desired.parameters.get(PARTITION_VALUES)
        || found.storage.input_format != desired.storage.input_format
        || !found.storage.location.as_deref().is_some_and(location::is_readable)
}

/// Refuses what is no table of files.
fn verify_is_table(found: &Table, id: &TableId) -> Result<()> {
    let refuse = |what: String| Err(Error::NotATable { table: id.to_string(), what });
    if let Some(target) = &found.target {
        return refuse(format!("a link to {target}"));
    }
    if let Some(format) = found.parameters.get("table_type").filter(|format| !format.is_empty()) {
        return refuse(format!("a table of format {format}"));
    }
    match found.table_type.as_deref() {
        None | Some("" | EXTERNAL_TABLE | "MANAGED_TABLE") => Ok(()),
        Some(other) => refuse(format!("of type {other}")),
    }
}

/// Why Glue's table cannot become what it must be.
fn misfit(found: &Table, job: &Job<'_>) -> Option<Error> {
    let wanted = job.desired.storage.location.clone().unwrap_or_default();
    let at = found.storage.location.clone().unwrap_or_default();
    if !location::is_same(&at, &wanted) {
        return Some(Error::OtherLocation { table: job.id.to_string(), found: at, wanted });
    }
    let chosen: Vec<String> = job.settings.key_types.keys().map(|name| name.to_lowercase()).collect();
    let spelled = |key: &Column| {
        let name = key.name.to_lowercase();
        if chosen.contains(&name) { format!("{name} {}", key.type_text) } else { name }
    };
    let listed = |keys: &[Column]| keys.iter().map(spelled).collect::<Vec<_>>().join(", ");
    let (is, wanted) = (listed(&found.partition_keys), listed(&job.desired.partition_keys));
    (is != wanted).then(|| Error::OtherPartitionKeys { table: job.id.to_string(), found: is, wanted })
}

impl Desired {
    pub(super) fn jobs<'a>(&'a self, settings: &'a SyncSettings) -> impl Iterator<Item = Job<'a>> {
        let scheme = &self.scheme;
        self.tables.iter().map(move |desired| Job { id: Self::id(desired, settings), desired, scheme, settings })
    }
}
