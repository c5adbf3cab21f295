//! [`Components`]: what the parts of a writer share.

use std::sync::Arc;

use crate::clock::Clock;
use crate::compute::Compute;
use crate::lock::TableLock;
use crate::mutant::Mutant;
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
    pub(crate) mutant: Option<Mutant>,
}

impl Components {
    /// Whether the writer is to be broken in this way.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_broken(&self, how: Mutant) -> bool {
        self.mutant == Some(how)
    }

    /// Whether the writer is to be broken in this way: never.
    #[cfg(not(any(test, feature = "testing")))]
    #[allow(clippy::unused_self, reason = "the other build asks it")]
    pub(crate) const fn is_broken(&self, _how: Mutant) -> bool {
        false
    }
}
