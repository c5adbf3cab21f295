//! Debezium's flattened events in Avro to batches of changes: [`DebeziumFlatAvro`].
//!
//! Not here: what flattening added to a row, and what a row or a null is by it ([`super::flat`]); frames and schemas ([`super::avro`]).

use std::sync::Arc;

use hudi_core::change::ChangeBatch;

use super::avro::{Opened, OpenedKey, Registered};
use super::avro_plan::ValuePlan;
use super::buffer::{Buffer, left_to_the_buffer};
use super::event::{in_value, wanted};
use super::flat::{FlatRow, Hints, Told};
use super::image::Take;
use super::record::{Record, Whose};
use super::schema::not_flattened;
use super::settings::{DebeziumBuilder, Flattened, InAvro, sealed::Sealed};
use crate::decoder::{Decoded, Decoder, Message, SkipReason};
use crate::error::{DecodeError, Part};
use crate::wire::SchemaId;

/// Settings of a [`DebeziumFlatAvro`].
pub type DebeziumFlatAvroBuilder = DebeziumBuilder<DebeziumFlatAvro>;

impl Sealed for DebeziumFlatAvro {}
impl Flattened for DebeziumFlatAvro {}
impl InAvro for DebeziumFlatAvro {}

impl DebeziumBuilder<DebeziumFlatAvro> {
    /// The decoder.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where the schemas of messages without frame are none, or are missing; or the connector is none.
    pub fn build(self) -> Result<DebeziumFlatAvro, DecodeError> {
        let hints = Hints::new(&self.settings.flat)?;
        let registered = Registered::new(&self.settings, Some(self.settings.flat.fields.fields()))?;
        Ok(DebeziumFlatAvro { buffer: Buffer::new(self.settings)?, registered, hints })
    }
}

/// Decodes Debezium's flattened events in Avro: what [`DebeziumFlatJson`](super::DebeziumFlatJson) says of rows, deletes and positions
/// holds here, and of schemas and frames what [`DebeziumAvro`](super::DebeziumAvro) says.
///
/// * The record may be the branch of a union with null: null is a Kafka null then, a delete.
///
/// ```
/// use cdc_decoders::debezium::DebeziumFlatAvro;
/// use cdc_decoders::{Decoded, Decoder, Message, SchemaId};
///
/// # fn main() -> Result<(), cdc_decoders::DecodeError> {
/// let mut decoder = DebeziumFlatAvro::builder().add_fields("op,lsn").build()?;
/// decoder.learn(SchemaId::Id(7), r#"{"type":"record","name":"shop.public.customers.Value","fields":[
///     {"name":"id","type":"int"},{"name":"__op","type":["null","string"]},{"name":"__lsn","type":["null","long"]}]}"#)?;
/// let (topic, key, value) = ("shop.public.customers", Some(&br#"{"id":1}"#[..]), Some(&b"\0\0\0\0\x07\x02\x02\x02c\x02\x44"[..]));
/// let message = Message { topic, partition: 0, offset: 7, timestamp_ms: None, key, value, headers: &[] };
/// assert_eq!(decoder.decode(&message)?, Decoded::Added { rows: 1 });
/// let batch = decoder.flush()?.expect("one row");
/// assert_eq!((batch.rows.num_columns(), batch.key_columns), (1, vec!["id".to_owned()]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DebeziumFlatAvro {
    buffer: Buffer,
    registered: Registered,
    hints: Hints,
}

impl DebeziumFlatAvro {
    /// The settings of a new decoder.
    #[must_use]
    pub fn builder() -> DebeziumFlatAvroBuilder {
        DebeziumBuilder::default()
    }

    fn decode_null(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let key = match self.registered.open_key_of(&self.buffer.settings.avro, message)? {
            Ok(key) => key,
            Err(unknown) => return Ok(Decoded::NeedsSchema(unknown)),
        };
        let Self { buffer, hints, .. } = self;
        buffer.decode(message, || None, |buffer| buffer.take_null_of(message, hints, &key))
    }
}

impl Decoder for DebeziumFlatAvro {
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let Some(value) = message.value else { return self.decode_null(message) };
        let opened = match self.registered.open(&self.buffer.settings.avro, message, value)? {
            Ok(opened) => opened,
            Err(unknown) => return Ok(Decoded::NeedsSchema(unknown)),
        };
        let control = || opened.skipped().ok()?.filter(|reason| *reason != SkipReason::Tombstone);
        let Self { buffer, hints, .. } = self;
        buffer.decode(message, control, |buffer| buffer.take_flat_record(message, hints, &opened))
    }

    /// A text that is no schema is remembered as such: messages that follow it are errors from then on.
    fn learn(&mut self, id: SchemaId, schema: &str) -> Result<(), DecodeError> {
        self.registered.learn(id, schema)
    }

    left_to_the_buffer!();
}

impl Buffer {
    fn take_flat_record(
        &mut self,
        message: &Message<'_>,
        hints: &Hints,
        opened: &Opened<'_>,
    ) -> Result<Decoded, DecodeError> {
        match opened.skipped()? {
            Some(SkipReason::Tombstone) => return self.take_null_of(message, hints, &opened.key),
            Some(reason) => return Ok(Decoded::Skipped(reason)),
            None => {}
        }
        let (top, mut cursor) = (opened.schema.value()?, opened.body());
        let plan = match &top.plan {
            ValuePlan::Row(plan) => plan,
            ValuePlan::Envelope(_) => return Err(not_flattened()),
            _ => return Err(wanted("want a record as the row")),
        };
        if !self.topic.fits(opened.schema, Some(plan))? {
            return Ok(Decoded::FlushFirst);
        }
        top.is_there(&mut cursor).map_err(in_value)?;
        let Some(key) = self.read_opened_key(&opened.key, || false)? else { return Ok(Decoded::FlushFirst) };
        let mut told = Told::by_headers(message, hints)?;
        let from = cursor.at();
        let take = Take { part: Part::Value, first_wins: false, unavailable: &self.unavailable };
        let rows = &mut self.topic.rows;
        let mut end_of_columns = None;
        rows.read_record(&mut cursor, plan, Whose::Rows, take, |tag, at, value| {
            end_of_columns.get_or_insert(at - from);
            told.put(tag, value);
        })?;
        cursor.end().map_err(in_value)?;
        let image = Record { body: cursor.part(from), plan: Arc::as_ref(plan), whose: Whose::Rows };
        self.take_row(message, hints, key, FlatRow::new(image, end_of_columns), told)
    }

    fn take_null_of(
        &mut self,
        message: &Message<'_>,
        hints: &Hints,
        key: &OpenedKey<'_>,
    ) -> Result<Decoded, DecodeError> {
        if self.is_tombstone(message, hints) {
            return Ok(Decoded::Skipped(SkipReason::Tombstone));
        }
        match self.read_opened_key(key, || true)? {
            Some(key) => self.delete_by_null(message, hints, key),
            None => Ok(Decoded::FlushFirst),
        }
    }
}
