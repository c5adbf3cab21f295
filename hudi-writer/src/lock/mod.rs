//! The table's lock: who may draw an instant, complete one or undo one. Held for moments, never while files are written.
//!
//! [`Guard`] is what the rest of the crate holds. It stands on two locks: one among the writers of this process, and a
//! [`Lock`] among processes: a lease on the store, an operating system's lock of a local folder, or one of the user's.

mod contract;
mod file;
mod guard;
mod in_process;
mod lease;

pub use contract::{Attempt, HeldLock, Lock};
pub(crate) use file::FileLock;
pub(crate) use guard::{Guard, TableLock};
pub(crate) use lease::StoreLease;
