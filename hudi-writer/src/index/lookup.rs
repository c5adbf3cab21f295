//! [`look_up`]: the stored rows of some keys in one base file, and their orders.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::Int64Type;
use hudi_core::change::{OrderKind, columns};
use hudi_core::merge::Orders;
use hudi_core::schema::meta;

use super::prune::may_hold;
use crate::changes::KeyTable;
use crate::compute::Compute;
use crate::error::{Error, Result};
use crate::file::{BaseFileFooter, BatchSink, scan};
use crate::store::TableStore;

/// The stored rows of some keys in one base file.
#[derive(Debug)]
pub(crate) struct Found {
    /// The file's path.
    pub(crate) path: String,
    /// (id of the key, row of the file), in the file's order.
    pub(crate) rows: Vec<(u32, u64)>,
    /// The order of each.
    pub(crate) orders: Orders,
    /// Rows of the file that a truncate covers, by their number, in ascending order.
    pub(crate) covered: Option<Arc<[u64]>>,
}

/// Looks for the keys of `keys` in a base file. Reads its keys and orders alone, and those only if it can hold a key.
pub(crate) async fn look_up(
    store: &TableStore,
    footer: &BaseFileFooter,
    keys: Arc<KeyTable>,
    kind: OrderKind,
    compute: &Compute,
) -> Result<Found> {
    let (known, wanted) = (footer.clone(), Arc::clone(&keys));
    let may_hold = compute.run(move || Ok(may_hold(&known, &wanted))).await?;
    let sink = Lookup {
        keys,
        path: footer.path.clone(),
        next_row: 0,
        rows: vec![],
        orders: match kind {
            OrderKind::Long => OrdersBuilder::Long(Int64Builder::new()),
            OrderKind::Text => OrdersBuilder::Text(StringBuilder::new()),
        },
    };
    let wanted = [meta::RECORD_KEY, columns::ORDER];
    let done = if may_hold { scan(store, footer, Some(&wanted), compute, sink, None).await? } else { sink };
    Ok(Found { path: done.path, rows: done.rows, orders: done.orders.finish(), covered: None })
}

enum OrdersBuilder {
    Long(Int64Builder),
    Text(StringBuilder),
}

impl OrdersBuilder {
    fn append(&mut self, column: Option<&dyn Array>, row: usize) {
        match self {
            Self::Long(to) => {
                let column = column.and_then(|c| c.as_primitive_opt::<Int64Type>());
                to.append_option(column.filter(|c| c.is_valid(row)).map(|c| c.value(row)));
            }
            Self::Text(to) => {
                let column = column.and_then(|c| c.as_string_opt::<i32>());
                to.append_option(column.filter(|c| c.is_valid(row)).map(|c| c.value(row)));
            }
        }
    }

    fn finish(self) -> Orders {
        match self {
            Self::Long(mut builder) => Orders::Long(builder.finish()),
            Self::Text(mut builder) => Orders::Text(builder.finish()),
        }
    }
}

struct Lookup {
    keys: Arc<KeyTable>,
    path: String,
    next_row: u64,
    rows: Vec<(u32, u64)>,
    orders: OrdersBuilder,
}

impl BatchSink for Lookup {
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let stored = batch
            .column_by_name(meta::RECORD_KEY)
            .and_then(|c| c.as_string_opt::<i32>())
            .ok_or_else(|| Error::corrupt(&self.path, "no column of record keys"))?;
        let orders = batch.column_by_name(columns::ORDER).map(|column| &**column);
        for row in 0..stored.len() {
            if stored.is_valid(row)
                && let Some(id) = self.keys.find(stored.value(row))
            {
                self.rows.push((id, self.next_row + row as u64));
                self.orders.append(orders, row);
            }
        }
        self.next_row += stored.len() as u64;
        Ok(())
    }
}
