//! [`MoveId`]: which move a change speaks of.
//!
//! Both halves of a move have the same order, if both tell it: a delete that is nothing but a key does not, and orders that are
//! counted are of one change each. Those speak of a move by its keys alone.

use std::borrow::Cow;

use hudi_core::change::OrderKind;
use hudi_core::merge::OrderValue;
use serde::{Deserialize, Serialize};

use crate::changes::{ChangeSet, Spot, SpotRef};

/// One move of a row from one key to another: delete and insert of it say the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct MoveId {
    pub(super) old: Spot,
    pub(super) new: Spot,
    /// The order that the source gave the change, epoch included, as text; empty where it did not.
    pub(super) order: String,
}

/// The same, as the change says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MoveRef<'a> {
    pub(super) old: SpotRef<'a>,
    pub(super) new: SpotRef<'a>,
    pub(super) order: OrderValue<'a>,
}

impl MoveRef<'_> {
    /// Whether both speak of a move between the same keys.
    pub(super) fn has_keys_of(&self, other: &MoveRef<'_>) -> bool {
        (self.old, self.new) == (other.old, other.new)
    }

    /// Whether both may speak of the same move.
    pub(super) fn is_of(&self, other: &MoveRef<'_>) -> bool {
        let untold = [self.order, other.order].contains(&OrderValue::Lowest);
        self.has_keys_of(other) && (untold || self.order == other.order)
    }

    pub(super) fn to_id(self) -> MoveId {
        MoveId { old: self.old.to_spot(), new: self.new.to_spot(), order: order_text(self.order).into_owned() }
    }
}

impl MoveId {
    pub(super) fn as_ref(&self, kind: OrderKind) -> MoveRef<'_> {
        MoveRef { old: self.old.as_ref(), new: self.new.as_ref(), order: self.order_value(kind) }
    }

    /// The order; `kind` is the table's.
    pub(super) fn order_value(&self, kind: OrderKind) -> OrderValue<'_> {
        order_of_text(&self.order, kind)
    }
}

/// The order that [`order_text`] says.
pub(super) fn order_of_text(text: &str, kind: OrderKind) -> OrderValue<'_> {
    match kind {
        OrderKind::Text if !text.is_empty() => OrderValue::Text(text),
        OrderKind::Long => text.parse().map_or(OrderValue::Lowest, OrderValue::Long),
        OrderKind::Text => OrderValue::Lowest,
    }
}

/// An order as text, which is empty for none.
pub(super) fn order_text(order: OrderValue<'_>) -> Cow<'_, str> {
    match order {
        OrderValue::Lowest => Cow::Borrowed(""),
        OrderValue::Long(order) => Cow::Owned(order.to_string()),
        OrderValue::Text(order) => Cow::Borrowed(order),
    }
}

/// The changes with what identifies their rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spotted<'a> {
    pub(super) changes: &'a ChangeSet,
    /// Rows are found by their key, whatever their partition.
    pub(super) by_key: bool,
    /// The greatest order that was counted, not told by the source: all below it were counted too.
    pub(super) arrivals: i64,
}

impl<'a> Spotted<'a> {
    pub(super) fn own(&self, change: u32) -> SpotRef<'a> {
        self.changes.spot(change, self.by_key)
    }

    pub(super) fn order(&self, change: u32) -> OrderValue<'a> {
        self.changes.orders.value(change as usize)
    }

    /// The order that the source gave a change, which is that of the whole move.
    fn told_order(&self, change: u32) -> OrderValue<'a> {
        match self.order(change) {
            OrderValue::Long(counted) if counted <= self.arrivals => OrderValue::Lowest,
            told => told,
        }
    }

    /// The move that a delete of a row that goes on under another key speaks of.
    pub(super) fn given(&self, change: u32) -> Option<MoveRef<'a>> {
        let new = self.changes.other_spot(change)?;
        Some(MoveRef { old: self.own(change), new, order: self.told_order(change) })
    }

    /// The move that an insert of a row that had another key speaks of.
    pub(super) fn taken(&self, change: u32) -> Option<MoveRef<'a>> {
        let old = self.changes.other_spot(change)?;
        Some(MoveRef { old, new: self.own(change), order: self.told_order(change) })
    }
}
