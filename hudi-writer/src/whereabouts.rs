//! [`Whereabouts`]: where the rows of some keys are stored, of whatever partition and file group they are.
//!
//! For rows that are looked at beside those that change in their own share of a commit. Not here: what becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use futures::{StreamExt, TryStreamExt};
use hudi_core::bucket::bucket_of;
use hudi_core::file_slice::FileSlice;
use hudi_core::merge::OrderValue;
use hudi_core::schema::meta;

use crate::changes::{KeyTable, Spot};
use crate::clearing::{Left, left_of};
use crate::commit::Scope;
use crate::error::{Error, Result};
use crate::file::BatchReader;
use crate::fold::Carried;
use crate::index::Found;
use crate::plan::{PlannedFile, Planner};
use crate::settings::{Index, Mode};
use crate::table::Table;

/// Where rows of some keys are stored.
#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    files: Vec<PlannedFile>,
    found: Vec<Found>,
    /// Of each key, by its number: (file, entry among what was found in it).
    at: Vec<Option<(usize, usize)>>,
    /// What was looked at.
    pub(crate) scope: Scope,
}

impl Whereabouts {
    /// The order of a key's stored row, if there is one.
    pub(crate) fn order(&self, number: usize) -> Option<OrderValue<'_>> {
        self.at[number].map(|(file, entry)| self.found[file].orders.value(entry))
    }

    fn add(&mut self, numbers: &[usize], files: Vec<PlannedFile>, found: Vec<Found>) -> Result<()> {
        for (file, found) in files.into_iter().zip(found) {
            let is_gone = |row: &u64| found.covered.as_ref().is_some_and(|covered| covered.binary_search(row).is_ok());
            for (entry, (id, _)) in found.rows.iter().enumerate().filter(|(_, (_, row))| !is_gone(row)) {
                let place = &mut self.at[numbers[*id as usize]];
                if place.replace((self.found.len(), entry)).is_some() {
                    return Err(Error::corrupt(
                        &found.path,
                        "a record key stands twice where it may once: run a check",
                    ));
                }
            }
            self.files.push(file);
            self.found.push(found);
        }
        Ok(())
    }
}

/// Keys that are looked for in the same files: a partition, and a bucket of it; those of all partitions have no name.
type Share = (String, Option<u32>);

impl Planner<'_> {
    /// Looks for the stored rows of keys. What a truncate of the same commit covers is not found.
    pub(crate) async fn look_for(&self, table: &Table, spots: &[&Spot]) -> Result<Whereabouts> {
        let mut shares: BTreeMap<Share, Vec<usize>> = BTreeMap::new();
        for (number, spot) in spots.iter().enumerate() {
            let bucket = |buckets| bucket_of(&spot.key, &self.keys.record_key_fields, buckets);
            let share = (spot.partition.clone(), self.buckets().map(bucket));
            shares.entry(share).or_default().push(number);
        }
        let scope = self.scope_of(&shares);
        let mut whereabouts = Whereabouts { at: vec![None; spots.len()], scope, ..Whereabouts::default() };
        let looks = shares.into_iter().map(|(share, numbers)| async move {
            let keys: StringArray = numbers.iter().map(|number| Some(spots[*number].key.as_str())).collect();
            let (files, found) = self.look_into(table, share, keys).await?;
            Ok::<_, Error>((numbers, files, found))
        });
        let looks = futures::stream::iter(looks.collect::<Vec<_>>()).buffered(self.compute.parallel());
        for (numbers, files, found) in looks.try_collect::<Vec<_>>().await? {
            whereabouts.add(&numbers, files, found)?;
        }
        Ok(whereabouts)
    }

    fn scope_of(&self, shares: &BTreeMap<Share, Vec<usize>>) -> Scope {
        let partitions = shares.keys().map(|(partition, _)| partition.clone());
        match self.index {
            _ if shares.is_empty() => Scope::Nothing,
            Index::GlobalSimple => Scope::Table,
            Index::Simple => Scope::Partitions(partitions.collect::<BTreeSet<_>>()),
            Index::Bucket(_) => {
                Scope::Buckets(shares.keys().filter_map(|(p, bucket)| Some((p.clone(), (*bucket)?))).collect())
            }
        }
    }

    async fn look_into(
        &self,
        table: &Table,
        (partition, bucket): Share,
        keys: StringArray,
    ) -> Result<(Vec<PlannedFile>, Vec<Found>)> {
        let slices: Vec<(String, FileSlice)> = match self.index {
            Index::GlobalSimple => {
                let all = table.slices().await?.into_iter();
                all.flat_map(|(partition, slices)| slices.into_iter().map(move |s| (partition.clone(), s))).collect()
            }
            Index::Simple | Index::Bucket(_) => {
                let candidates = self.candidates(bucket, &table.slices_of(&partition).await?)?;
                candidates.into_iter().map(|slice| (partition.clone(), slice)).collect()
            }
        };
        let files = self.open(slices.iter().map(|(partition, slice)| (partition.as_str(), slice)).collect()).await?;
        let numbers = (0..keys.len() as u32).collect();
        let keys = self.compute.run(move || Ok(Arc::new(KeyTable::new(&keys, numbers)))).await?;
        let mut found = self.look_up_all(&files, &keys).await?;
        // Where deleted rows are kept, a truncated one still has its values.
        if let Some(truncation) = self.truncation.filter(|_| self.mode != Mode::SoftDelete) {
            for (file, found) in files.iter().zip(&mut found) {
                let Some(stored) = file.stored.as_ref().filter(|_| !found.rows.is_empty()) else { continue };
                found.covered = match left_of(self.store, self.compute, &stored.footer, truncation, false).await? {
                    Left::All => None,
                    Left::Without(rows) => Some(rows.into()),
                    Left::Nothing => Some(found.rows.iter().map(|(_, row)| *row).collect()),
                };
            }
        }
        Ok((files, found))
    }

    /// Reads columns of stored rows, given by the numbers of their keys; the rows are in that order, other columns are null.
    pub(crate) async fn read_stored(
        &self,
        whereabouts: &Whereabouts,
        numbers: &[usize],
        columns: BTreeSet<usize>,
    ) -> Result<Option<RecordBatch>> {
        let place = |number: &usize| {
            let (file, entry) = whereabouts.at[*number]?;
            Some((file, whereabouts.found[file].rows[entry].1))
        };
        let absent = || Error::corrupt("changes", "a row is taken from where none is stored");
        let rows = numbers.iter().map(|number| place(number).ok_or_else(absent)).collect::<Result<Vec<_>>>()?;
        self.read_carried(&Carried { rows, columns }, &whereabouts.files).await
    }

    /// The commit that wrote each key's stored row; none where it is not stored.
    pub(crate) async fn read_commit_times(&self, whereabouts: &Whereabouts) -> Result<Vec<Option<String>>> {
        let mut by_file: BTreeMap<usize, Vec<(u64, usize)>> = BTreeMap::new();
        for (number, at) in whereabouts.at.iter().enumerate() {
            let Some((file, entry)) = at else { continue };
            by_file.entry(*file).or_default().push((whereabouts.found[*file].rows[*entry].1, number));
        }
        let mut times = vec![None; whereabouts.at.len()];
        for (file, mut of_file) in by_file {
            let Some(stored) = &whereabouts.files[file].stored else { continue };
            of_file.sort_unstable();
            let rows: Vec<u64> = of_file.iter().map(|(row, _)| *row).collect();
            let columns = [meta::COMMIT_TIME];
            let mut reader = BatchReader::of_rows(self.store, &stored.footer, &columns, &rows, self.compute)?;
            let mut numbers = of_file.into_iter().map(|(_, number)| number);
            while let Some(batch) = reader.next().await? {
                let texts = batch.column_by_name(meta::COMMIT_TIME).and_then(|column| column.as_string_opt::<i32>());
                for (time, number) in texts.into_iter().flatten().zip(&mut numbers) {
                    times[number] = time.map(str::to_owned);
                }
            }
        }
        Ok(times)
    }
}
