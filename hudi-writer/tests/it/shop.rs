//! [`Shop`]: a table in a folder beside its model, and how far both got.

use hudi_core::change::ChangeBatch;
use hudi_writer::{Committed, NewTable, Table, TableWriter};

use crate::model::{Change, Model, assert_is, batch, commit};

/// A table, its model, and how far both got.
pub(crate) struct Shop {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) writer: TableWriter,
    pub(crate) model: Model,
    pub(crate) offset: i64,
}

impl Shop {
    pub(crate) async fn new(table: &NewTable) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let writer = TableWriter::builder(folder.path().to_str().unwrap()).create(table).await.unwrap();
        Self { folder, writer, model: Model::default(), offset: 0 }
    }

    pub(crate) async fn reopen(&mut self) {
        self.writer = TableWriter::builder(self.folder.path().to_str().unwrap()).open().await.unwrap();
    }

    pub(crate) fn write(&mut self, changes: &[Change]) -> ChangeBatch {
        let sent = batch(changes, self.offset);
        assert_eq!(self.writer.write(&sent).unwrap().refused, []);
        self.offset += changes.len() as i64;
        sent
    }

    /// Commits changes in one batch; the table is the model then.
    pub(crate) async fn commit(&mut self, changes: &[Change]) -> Committed {
        self.write(changes);
        self.model.commit(changes);
        let committed = commit(&mut self.writer).await;
        self.assert_is_model().await;
        committed
    }

    pub(crate) async fn assert_is_model(&self) {
        assert_is(self.writer.table(), &self.model).await;
        assert_is(&Table::open(self.folder.path().to_str().unwrap()).await.unwrap(), &self.model).await;
    }
}
