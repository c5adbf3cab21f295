//! Rows whose key changes: the delete of the old key and the insert of the new one are one move, however they come.
//!
//! The insert may lack columns which only the old key's row holds. Before a commit is planned they are filled in, so that
//! the rest of the writer sees an insert that was sent whole ([`follow`]). What comes in two commits is remembered between
//! them, in the [`RowMemory`]:
//!
//! * the delete first: the row that it took away;
//! * the insert first: it is filled from the old key's row as it is then, and *owes* those columns to the delete: they are
//!   filled again when it comes, unless the row got them by itself since.
//!
//! What is owed goes with the value, if its row moves on before it is settled.
//!
//! Where neither the old key's row nor its delete has come, which another partition may bring later, the insert waits in the
//! memory, with what comes for its key meanwhile ([`Waiting`]).

mod apply;
mod follow;
mod ids;
mod memory;
mod memory_file;
mod pairs;
mod settle;
mod trace;
mod waiting;

pub(crate) use follow::follow;
pub(crate) use memory::{RowMemory, Window};
pub(crate) use waiting::Waiting;
