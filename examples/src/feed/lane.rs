//! [`Lane`]: one topic on its way to its table: the decoder, and the messages that it holds.

use std::sync::Arc;

use cdc_decoders::overrides::{Overridden, Overrides, RefusedRow};
use cdc_decoders::{DecodeError, Decoder, Message};
use hudi_core::change::ChangeBatch;
use hudi_core::dead_letter::{DeadLetter, Originals, Stage};
use hudi_writer::ingest::Held;
use kafka_source::{KeptMessages, Messages};

/// One topic on its way to its table.
pub(super) struct Lane {
    pub(super) topic: Arc<str>,
    pub(super) table: Arc<str>,
    /// The columns of the table's key, where they are not those of the messages'.
    pub(super) key: Vec<String>,
    pub(super) decoder: Box<dyn Decoder>,
    /// Whether the decoder was made knowing the table, or that there is none.
    pub(super) knows_the_table: bool,
    /// The messages whose changes the decoder holds.
    kept: Messages,
    /// What decoders before this one moved to the ends of what a table can hold.
    clamped_before: u64,
    /// What is held was told since it changed.
    pub(super) is_told: bool,
}

/// What a decoder held.
pub(super) struct HandedOver {
    pub(super) batch: ChangeBatch,
    pub(super) originals: KeptMessages,
    /// Messages of changes that an override refuses.
    pub(super) letters: Vec<DeadLetter>,
}

impl Lane {
    /// With a decoder that knows nothing of the table.
    pub(super) fn new(topic: Arc<str>, table: Arc<str>, key: Vec<String>, decoder: Box<dyn Decoder>) -> Self {
        let kept = Messages::default();
        Self { topic, table, key, decoder, knows_the_table: false, kept, clamped_before: 0, is_told: true }
    }

    /// Goes on with another decoder; this one holds nothing.
    pub(super) fn replace_decoder(&mut self, decoder: Box<dyn Decoder>) {
        self.clamped_before += self.decoder.clamped();
        self.decoder = decoder;
    }

    /// Values that were moved to the ends of what a table can hold.
    pub(super) fn clamped(&self) -> u64 {
        self.clamped_before + self.decoder.clamped()
    }

    /// The decoder took the message.
    pub(super) fn keep(&mut self, message: &Message<'_>) {
        self.kept.push(message);
        self.is_told = false;
    }

    pub(super) fn held(&self) -> Held {
        let bytes = if self.kept.is_empty() { 0 } else { self.decoder.buffered_bytes() + self.kept.memory_bytes() };
        Held { rows: self.decoder.buffered_rows(), bytes }
    }

    /// Empties the decoder.
    pub(super) fn hand_over(&mut self, overrides: &Overrides) -> Result<Option<HandedOver>, DecodeError> {
        let originals = KeptMessages::from(std::mem::take(&mut self.kept));
        self.is_told = false;
        let Some(batch) = self.decoder.flush()? else { return Ok(None) };
        let Overridden { batch, refused } = overrides.apply(batch)?;
        let letters = refused.into_iter().filter_map(|row| letter(row, &originals)).collect();
        Ok(Some(HandedOver { batch, originals, letters }))
    }
}

fn letter(row: RefusedRow, originals: &KeptMessages) -> Option<DeadLetter> {
    let reason = format!("column `{}`: {}", row.column, row.reason);
    Some(DeadLetter { stage: Stage::Schema, reason, original: originals.original(&row.origin)? })
}
