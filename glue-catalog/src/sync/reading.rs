//! What is read of the Hudi table, once for all tables of Glue that it has.

use std::collections::BTreeSet;
use std::sync::Arc;

use hudi_core::instant::Instant;

use crate::error::{Error, Result};
use crate::source::HudiTable;
use crate::window::Touched;

/// What was read of the Hudi table.
pub(super) struct Reading<'a> {
    pub(super) table: &'a dyn HudiTable,
    all: Option<Arc<BTreeSet<String>>>,
    touched: Option<(Vec<Instant>, Arc<Touched>)>,
}

impl<'a> Reading<'a> {
    pub(super) fn of(table: &'a dyn HudiTable) -> Self {
        Self { table, all: None, touched: None }
    }

    /// All partitions with data.
    pub(super) async fn partitions(&mut self) -> Result<Arc<BTreeSet<String>>> {
        if let Some(all) = &self.all {
            return Ok(Arc::clone(all));
        }
        let all = self.table.partitions().await;
        let all = Arc::new(all.map_err(|source| self.error("its partitions".to_owned(), source))?);
        self.all = Some(Arc::clone(&all));
        Ok(all)
    }

    /// What these writes did to partitions.
    pub(super) async fn touched(&mut self, writes: &[Instant]) -> Result<Arc<Touched>> {
        if let Some((_, touched)) = self.touched.as_ref().filter(|(of, _)| of == writes) {
            return Ok(Arc::clone(touched));
        }
        let mut touched = Touched::default();
        for instant in writes {
            let commit = self.table.commit_metadata(instant).await;
            touched.add(&commit.map_err(|source| self.error(format!("commit {}", instant.time), source))?);
        }
        if touched.dropped().next().is_some() {
            // A commit names the files that it replaced, and not those that it left.
            touched.keep(&*self.partitions().await?);
        }
        let touched = Arc::new(touched);
        self.touched = Some((writes.to_vec(), Arc::clone(&touched)));
        Ok(touched)
    }

    fn error(&self, what: String, source: crate::source::SourceError) -> Error {
        Error::Source { location: self.table.location().to_owned(), what, source }
    }
}
