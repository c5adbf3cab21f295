//! Which changes of a row win, and where each column of the result stands.
//!
//! Pure and free of columns' values: copy-on-write, merge-on-read and readers alike fold a row's changes with it. The rules
//! are those of the event-time payload (`DefaultHoodieRecordPayload`, versions 6 to 9): the greater order wins, of
//! equals the later arrival; and two of change capture: a column that was *not sent* keeps its value, and a snapshot row
//! replaces what is there whatever its order, and keeps that order.

mod fold;
mod order;

pub use fold::{Changes, Fate, Folder, Override, RowRef, RowState, Step};
pub use order::{OrderValue, Orders};
