//! [`Components`]: what the parts of a writer share.

use std::sync::Arc;

use crate::clock::Clock;
use crate::compute::Compute;
use crate::lock::TableLock;
use crate::settings::WriterSettings;
use crate::store::TableStore;

/// Store, settings, lock, clock and compute of one writer.
#[derive(Debug, Clone)]
pub(crate) struct Components {
    pub(crate) store: TableStore,
    pub(crate) settings: WriterSettings,
    pub(crate) lock: TableLock,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) compute: Compute,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) mutant: Option<crate::mutant::Mutant>,
}
