//! [`Folder`]: one row's changes, in the order of their arrival, folded onto what is stored.

use arrow::buffer::BooleanBuffer;

use super::order::{OrderValue, Orders};
use crate::change::Op;

/// The changes that are folded: row `i` of every member speaks of the same change.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// What happened.
    pub ops: &'a [Op],
    /// Orders, epoch included. Null: judged by arrival.
    pub orders: &'a Orders,
    /// For each column: the changes that did not send it.
    pub unsent: &'a [Option<BooleanBuffer>],
}

/// A row whose value is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowRef {
    /// The stored row.
    Stored,
    /// The change of this index.
    Change(u32),
}

/// A column that is not taken from the row's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// The column's index among the changes' columns.
    pub column: usize,
    /// The row that it is taken from.
    pub from: RowRef,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No change applied: the row stays as it is, or absent.
    Untouched,
    /// The row is written: the image of change `image`, but for [`Folder::overrides`]; its order is that of `order`.
    Written {
        /// The change whose columns the row takes.
        image: u32,
        /// The row whose order it takes.
        order: RowRef,
    },
    /// The row is gone, or was never stored.
    Removed,
}

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// It is what the row is now, or the row is gone by it.
    Applied,
    /// It is older than what it met.
    Ignored,
    /// It lacks columns which stand nowhere: not applied.
    Unfilled,
}

/// One row between two of its changes.
#[derive(Debug, Clone)]
pub struct RowState<'o> {
    image: Option<RowRef>,
    order: OrderValue<'o>,
    order_of: RowRef,
    overrides: Vec<Override>,
    known: bool,
    touched: bool,
}

impl<'o> RowState<'o> {
    /// A row before its first change: stored there, with this order, or absent.
    #[must_use]
    pub fn new(stored: Option<(RowRef, OrderValue<'o>)>) -> Self {
        Self {
            image: stored.map(|(at, _)| at),
            order: stored.map_or(OrderValue::Lowest, |(_, order)| order),
            order_of: stored.map_or(RowRef::Stored, |(at, _)| at),
            overrides: vec![],
            known: stored.is_some(),
            touched: false,
        }
    }

    /// Whether there is a row.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.image.is_some()
    }

    /// The order of the row, or of the delete that took it away; the lowest where nothing has come yet.
    #[must_use]
    pub fn order(&self) -> OrderValue<'o> {
        self.order
    }

    /// Where the value of a column stands; `None` where there is no row.
    #[must_use]
    pub fn value_of(&self, column: usize) -> Option<RowRef> {
        Some(stands(&self.overrides, column, self.image?))
    }

    fn fate(&self) -> Fate {
        match self.image {
            _ if !self.touched => Fate::Untouched,
            Some(RowRef::Change(image)) => Fate::Written { image, order: self.order_of },
            _ => Fate::Removed,
        }
    }
}

/// Where a column stands in a row of this image.
fn stands(overrides: &[Override], column: usize, image: RowRef) -> RowRef {
    overrides.iter().find(|o| o.column == column).map_or(image, |o| o.from)
}

/// Folds the changes of one row after the other; holds what its results refer to.
#[derive(Debug)]
pub struct Folder<'a> {
    changes: Changes<'a>,
    masks: Vec<(usize, &'a BooleanBuffer)>,
    overrides: Vec<Override>,
    scratch: Vec<Override>,
    unfilled: Vec<u32>,
    ignored: u64,
    keeps_deleted: bool,
}

impl<'a> Folder<'a> {
    /// A folder for these changes.
    #[must_use]
    pub fn new(changes: Changes<'a>) -> Self {
        let masks = changes.unsent.iter().enumerate().filter_map(|(c, mask)| Some((c, mask.as_ref()?))).collect();
        Self { changes, masks, overrides: vec![], scratch: vec![], unfilled: vec![], ignored: 0, keeps_deleted: false }
    }

    /// A folder that keeps rows which are deleted: a delete or truncate is an image like any other, of which nothing but the key need
    /// be sent.
    #[must_use]
    pub fn keeping_deleted(mut self, keeps: bool) -> Self {
        self.keeps_deleted = keeps;
        self
    }

    /// Folds the changes of one row, given in the order of their arrival, onto the order of its stored row, if any.
    pub fn fold(&mut self, chain: impl IntoIterator<Item = u32>, stored: Option<OrderValue<'a>>) -> Fate {
        let mut state = RowState::new(stored.map(|order| (RowRef::Stored, order)));
        // The room is used again for the next row.
        state.overrides = std::mem::take(&mut self.overrides);
        state.overrides.clear();
        for change in chain {
            match self.step(&mut state, change, false) {
                Step::Applied => {}
                Step::Ignored => self.ignored += 1,
                Step::Unfilled => self.unfilled.push(change),
            }
        }
        let fate = state.fate();
        self.overrides = state.overrides;
        fate
    }

    /// Applies one change to a row. `is_whole`: what the source did not send of it is filled from elsewhere, and stands in it.
    pub fn step(&mut self, state: &mut RowState<'a>, change: u32, is_whole: bool) -> Step {
        let (op, order) = (self.changes.ops[change as usize], self.changes.orders.value(change as usize));
        let by_arrival = op == Op::Snapshot || order == OrderValue::Lowest;
        if !by_arrival && order < state.order {
            return Step::Ignored;
        }
        if !self.take_image(state, change, op, is_whole) {
            return Step::Unfilled;
        }
        if !by_arrival || !state.known {
            (state.order, state.order_of) = (order, RowRef::Change(change));
        }
        state.known = true;
        Step::Applied
    }

    /// Makes the change's image the current one; `false` where columns that it lacks stand nowhere.
    fn take_image(&mut self, state: &mut RowState<'a>, change: u32, op: Op, is_whole: bool) -> bool {
        let is_removed = matches!(op, Op::Delete | Op::Truncate);
        if is_removed && !self.keeps_deleted {
            state.image = None;
            state.overrides.clear();
        } else if !is_whole && self.lacks_columns(change) {
            match state.image {
                Some(image) => self.fill_from(state, image, change),
                None if is_removed || op == Op::Upsert => state.overrides.clear(),
                None => return false,
            }
            state.image = Some(RowRef::Change(change));
        } else {
            state.overrides.clear();
            state.image = Some(RowRef::Change(change));
        }
        state.touched = true;
        true
    }

    /// Whether the source did not send all of a change.
    #[must_use]
    pub fn lacks_columns(&self, change: u32) -> bool {
        self.masks.iter().any(|(_, mask)| mask.value(change as usize))
    }

    fn fill_from(&mut self, state: &mut RowState<'a>, image: RowRef, change: u32) {
        self.scratch.clear();
        for (column, mask) in &self.masks {
            if mask.value(change as usize) {
                let from = stands(&state.overrides, *column, image);
                self.scratch.push(Override { column: *column, from });
            }
        }
        std::mem::swap(&mut state.overrides, &mut self.scratch);
    }

    /// The columns of the last [`Fate::Written`] that stand in another row than its image.
    #[must_use]
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// Changes that lack columns which stand nowhere: not applied.
    #[must_use]
    pub fn unfilled(&self) -> &[u32] {
        &self.unfilled
    }

    /// How many changes were older than what they met.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.ignored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Op::{Delete, Insert, Snapshot, Update};
    use arrow::array::Int64Array;

    /// Folds changes (operation, order, column 0 was sent) onto a stored order.
    fn fold(stored: Option<i64>, changes: &[(Op, i64, bool)]) -> (Fate, Vec<Override>, Vec<u32>) {
        let ops: Vec<Op> = changes.iter().map(|c| c.0).collect();
        let orders = Orders::Long(changes.iter().map(|c| (c.0 != Snapshot).then_some(c.1)).collect::<Int64Array>());
        let unsent = [Some(changes.iter().map(|c| !c.2).collect::<BooleanBuffer>()), None];
        let mut folder = Folder::new(Changes { ops: &ops, orders: &orders, unsent: &unsent });
        let fate = folder.fold(0..changes.len() as u32, stored.map(OrderValue::Long));
        (fate, folder.overrides().to_vec(), folder.unfilled().to_vec())
    }

    fn written(image: u32, order: RowRef) -> Fate {
        Fate::Written { image, order }
    }

    #[test]
    fn the_greater_order_wins_and_of_equals_the_later() {
        assert_eq!(fold(None, &[(Insert, 5, true), (Update, 4, true)]).0, written(0, RowRef::Change(0)));
        assert_eq!(fold(None, &[(Insert, 5, true), (Update, 5, true)]).0, written(1, RowRef::Change(1)));
        assert_eq!(fold(Some(6), &[(Update, 5, true)]).0, Fate::Untouched);
        assert_eq!(fold(Some(6), &[(Update, 6, true)]).0, written(0, RowRef::Change(0)));
        assert_eq!(fold(Some(6), &[(Delete, 7, true), (Insert, 6, true)]).0, Fate::Removed);
        assert_eq!(fold(Some(6), &[(Delete, 7, true), (Insert, 8, true)]).0, written(1, RowRef::Change(1)));
        assert_eq!(fold(None, &[(Delete, 7, true)]).0, Fate::Removed);
        assert_eq!(fold(Some(9), &[(Delete, 7, true)]).0, Fate::Untouched);
    }

    #[test]
    fn a_snapshot_row_replaces_by_arrival_and_keeps_the_order() {
        assert_eq!(fold(Some(9), &[(Snapshot, 0, true)]).0, written(0, RowRef::Stored));
        assert_eq!(fold(None, &[(Snapshot, 0, true)]).0, written(0, RowRef::Change(0)));
        assert_eq!(fold(None, &[(Insert, 3, true), (Snapshot, 0, true)]).0, written(1, RowRef::Change(0)));
        let older = [(Insert, 3, true), (Snapshot, 0, true), (Update, 2, true)];
        assert_eq!(fold(None, &older).0, written(1, RowRef::Change(0)));
        assert_eq!(fold(None, &[(Delete, 3, true), (Snapshot, 0, true)]).0, written(1, RowRef::Change(0)));
    }

    #[test]
    fn a_column_that_was_not_sent_stays_where_it_stands() {
        let (fate, overrides, _) = fold(Some(1), &[(Update, 2, false)]);
        assert_eq!(fate, written(0, RowRef::Change(0)));
        assert_eq!(overrides, [Override { column: 0, from: RowRef::Stored }]);

        let (_, overrides, _) = fold(Some(1), &[(Update, 2, true), (Update, 3, false), (Update, 4, false)]);
        assert_eq!(overrides, [Override { column: 0, from: RowRef::Change(0) }]);

        let (fate, overrides, _) = fold(Some(1), &[(Update, 2, false), (Update, 3, true)]);
        assert_eq!((fate, overrides), (written(1, RowRef::Change(1)), vec![]));
    }

    #[test]
    fn where_deleted_rows_are_kept_a_delete_keeps_what_it_did_not_send() {
        let keep = |stored: Option<i64>, changes: &[(Op, i64, bool)]| {
            let ops: Vec<Op> = changes.iter().map(|c| c.0).collect();
            let orders = Orders::Long(changes.iter().map(|c| Some(c.1)).collect::<Int64Array>());
            let unsent = [Some(changes.iter().map(|c| !c.2).collect::<BooleanBuffer>()), None];
            let mut folder = Folder::new(Changes { ops: &ops, orders: &orders, unsent: &unsent }).keeping_deleted(true);
            let fate = folder.fold(0..changes.len() as u32, stored.map(OrderValue::Long));
            (fate, folder.overrides().to_vec(), folder.unfilled().len())
        };
        let stored = vec![Override { column: 0, from: RowRef::Stored }];
        assert_eq!(keep(Some(1), &[(Delete, 2, false)]), (written(0, RowRef::Change(0)), stored, 0));
        assert_eq!(keep(Some(3), &[(Delete, 2, false)]).0, Fate::Untouched);
        assert_eq!(keep(None, &[(Delete, 2, false)]), (written(0, RowRef::Change(0)), vec![], 0));
        let kept = vec![Override { column: 0, from: RowRef::Change(0) }];
        let changes = [(Insert, 1, true), (Delete, 2, false), (Update, 3, false)];
        assert_eq!(keep(None, &changes), (written(2, RowRef::Change(2)), kept, 0));
        assert_eq!(keep(None, &[(Delete, 4, false), (Insert, 3, true)]).0, written(0, RowRef::Change(0)));
    }

    #[test]
    fn what_stands_nowhere_is_told_and_not_applied() {
        let (fate, _, unfilled) = fold(None, &[(Update, 2, false)]);
        assert_eq!((fate, unfilled), (Fate::Untouched, vec![0]));
        let (fate, _, unfilled) = fold(Some(1), &[(Delete, 2, true), (Insert, 3, false)]);
        assert_eq!((fate, unfilled), (Fate::Removed, vec![1]));
    }
}
