//! Debezium's events as CloudEvents, in structured JSON: [`DebeziumCloudEvents`].
//!
//! An event's attributes tell what the envelope's `op` and `source` tell, as `iodebezium…`, numbers mostly as text; its `data` holds the
//! images. Not here: events in Avro, or with their data in it.

use hudi_core::change::{ChangeBatch, Op};

use super::buffer::{Buffer, left_to_the_buffer};
use super::envelope::{self, Guess, Image, Name};
use super::event::{in_value, wanted};
use super::json::{Members, operation};
use super::settings::{DebeziumBuilder, sealed::Sealed};
use super::source::Source;
use super::wrapping::Wrapping;
use crate::decoder::{Decoded, Decoder, Message, SkipReason};
use crate::error::DecodeError;
use crate::scan::{Scan, Token};

/// Settings of a [`DebeziumCloudEvents`].
pub type DebeziumCloudEventsBuilder = DebeziumBuilder<DebeziumCloudEvents>;

impl Sealed for DebeziumCloudEvents {}

impl DebeziumBuilder<DebeziumCloudEvents> {
    /// The decoder.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where the stored schema has a column of a type that no decoder gives.
    pub fn build(mut self) -> Result<DebeziumCloudEvents, DecodeError> {
        self.settings.plain.wrapping = Wrapping::Images;
        Ok(DebeziumCloudEvents { buffer: Buffer::new(self.settings)?, attributes: Guess::default() })
    }
}

/// Decodes Debezium's events as CloudEvents in structured JSON, with what [`DebeziumJson`](super::DebeziumJson) says of rows.
///
/// * The converter has to add the extension attributes (`extension.attributes.enable`, as by default).
/// * `data` may have an inline schema; data in Avro is refused.
/// * What is no event of a change comes as without CloudEvents, and is skipped.
///
/// ```
/// use cdc_decoders::debezium::DebeziumCloudEvents;
/// use cdc_decoders::{Decoded, Decoder, Message};
///
/// # fn main() -> Result<(), cdc_decoders::DecodeError> {
/// let mut decoder = DebeziumCloudEvents::builder().build()?;
/// let value = br#"{"id":"name:shop;lsn:34","source":"/debezium/postgresql/shop","specversion":"1.0",
///     "type":"io.debezium.connector.postgresql.DataChangeEvent","iodebeziumop":"c","iodebeziumconnector":"postgresql",
///     "iodebeziumname":"shop","iodebeziumlsn":"34","data":{"before":null,"after":{"id":1,"name":"Ada"}}}"#;
/// let (topic, key) = ("shop.public.customers", Some(&br#"{"id":1}"#[..]));
/// let message = Message { topic, partition: 0, offset: 7, timestamp_ms: None, key, value: Some(value), headers: &[] };
/// assert_eq!(decoder.decode(&message)?, Decoded::Added { rows: 1 });
/// assert_eq!(decoder.flush()?.expect("one row").rows.num_columns(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DebeziumCloudEvents {
    buffer: Buffer,
    attributes: Guess,
}

impl DebeziumCloudEvents {
    /// The settings of a new decoder.
    #[must_use]
    pub fn builder() -> DebeziumCloudEventsBuilder {
        DebeziumBuilder::default()
    }
}

impl Decoder for DebeziumCloudEvents {
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let Some(value) = message.value else { return Ok(Decoded::Skipped(SkipReason::Tombstone)) };
        let Self { buffer, attributes } = self;
        let control = || envelope::control(value);
        buffer.decode(message, control, |buffer| buffer.take_cloud_event(message, value, attributes))
    }

    left_to_the_buffer!();
}

const DATA: u8 = 0;
const TYPE: u8 = 1;
const SPECVERSION: u8 = 2;
const SOURCE: u8 = 3;
const OP: u8 = 4;
/// The first attribute of the source block, which are in its order.
const OF_SOURCE: u8 = 9;

/// The attributes that we know.
const ATTRIBUTES: &[Name] = &[
    Token::fixed(b"\"data\":"),
    Token::fixed(b"\"type\":"),
    Token::fixed(b"\"specversion\":"),
    Token::fixed(b"\"source\":"),
    Token::fixed(b"\"iodebeziumop\":"),
    Token::fixed(b"\"id\":"),
    Token::fixed(b"\"time\":"),
    Token::fixed(b"\"datacontenttype\":"),
    Token::fixed(b"\"dataschema\":"),
    Token::fixed(b"\"iodebeziumconnector\":"),
    Token::fixed(b"\"iodebeziumname\":"),
    Token::fixed(b"\"iodebeziumtsms\":"),
    Token::fixed(b"\"iodebeziumsequence\":"),
    Token::fixed(b"\"iodebeziumlsn\":"),
    Token::fixed(b"\"iodebeziumfile\":"),
    Token::fixed(b"\"iodebeziumpos\":"),
    Token::fixed(b"\"iodebeziumrow\":"),
    Token::fixed(b"\"iodebeziumserverid\":"),
    Token::fixed(b"\"iodebeziumscn\":"),
    Token::fixed(b"\"iodebeziumcommitscn\":"),
    Token::fixed(b"\"iodebeziumtxseq\":"),
    Token::fixed(b"\"iodebeziumord\":"),
    Token::fixed(b"\"iodebeziumversion\":"),
    Token::fixed(b"\"iodebeziumsnapshot\":"),
    Token::fixed(b"\"iodebeziumdb\":"),
    Token::fixed(b"\"iodebeziumtsus\":"),
    Token::fixed(b"\"iodebeziumtsns\":"),
    Token::fixed(b"\"iodebeziumschema\":"),
    Token::fixed(b"\"iodebeziumtable\":"),
    Token::fixed(b"\"iodebeziumrsid\":"),
    Token::fixed(b"\"iodebeziumssn\":"),
    Token::fixed(b"\"iodebeziumcommitlsn\":"),
    Token::fixed(b"\"iodebeziumchangelsn\":"),
    Token::fixed(b"\"iodebeziumeventserialno\":"),
];

/// An event taken apart.
#[derive(Debug, Default)]
struct CloudEvent<'a> {
    seen: u64,
    kind: Option<&'a str>,
    origin: Option<&'a str>,
    op: Option<&'a str>,
    source: Source<'a>,
    data: Image,
}

impl<'a> CloudEvent<'a> {
    fn read(scan: &mut Scan<'a>, guess: &mut Guess) -> Result<Self, DecodeError> {
        let mut event = Self::default();
        scan.expect(b'{', "want an object: a CloudEvent").map_err(in_value)?;
        let mut place = 0;
        while let Some(attribute) = guess.member(scan, place, ATTRIBUTES).map_err(in_value)? {
            place += 1;
            let bit = 1_u64.checked_shl(attribute.into()).unwrap_or(0);
            if event.seen & bit != 0 {
                return Err(in_value(scan.syntax("an attribute that comes twice")));
            }
            event.seen |= bit;
            event.attribute(attribute, scan)?;
        }
        Ok(event)
    }

    fn attribute(&mut self, attribute: u8, scan: &mut Scan<'a>) -> Result<(), DecodeError> {
        scan.peek();
        let from = scan.at();
        if attribute == DATA {
            self.data = Image::read(scan).map_err(in_value)?;
            return Ok(());
        }
        scan.skip().map_err(in_value)?;
        let value = scan.part(from, scan.at());
        let text = || value.rest().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match attribute {
            TYPE => self.kind = text(),
            SOURCE => self.origin = text(),
            OP => self.op = text(),
            _ if (OF_SOURCE..super::envelope::OTHER).contains(&attribute) => {
                self.source.read(attribute - OF_SOURCE, value)?;
            }
            _ => {}
        }
        Ok(())
    }

    const fn is_event(&self) -> bool {
        self.seen & 1 << SPECVERSION != 0
    }

    /// The operation; `None` for a message of the source's log.
    fn op(&self) -> Result<Option<Op>, DecodeError> {
        let of_change = self.kind.is_some_and(|kind| kind.to_ascii_lowercase().ends_with("datachangeevent"));
        if !of_change {
            let kind = self.kind.unwrap_or_default().chars().take(80).collect::<String>();
            return Err(DecodeError::Unsupported {
                what: format!("a CloudEvent of type `{kind}`"),
                why: "only Debezium's DataChangeEvent tells a change of a row",
            });
        }
        if self.op.is_none() {
            return Err(DecodeError::Unsupported {
                what: "a CloudEvent without `iodebeziumop`".to_owned(),
                why: "the converter's extension.attributes.enable has to be true: they tell what happened, and when",
            });
        }
        if matches!(self.data, Image::Text(..)) {
            return Err(DecodeError::Unsupported {
                what: "a CloudEvent with data in Avro".to_owned(),
                why: "data in JSON is decoded: set the converter's data.serializer.type=json",
            });
        }
        operation(self.op)
    }

    /// What the attributes say of the source; where they lack its name, `/debezium/connector/name` has it.
    fn into_source(self) -> Source<'a> {
        let mut source = self.source;
        if source.name.is_empty()
            && let Some((_, name)) = self.origin.and_then(|origin| origin.rsplit_once('/'))
        {
            source.name = name.into();
        }
        source
    }
}

impl Buffer {
    fn take_cloud_event(
        &mut self,
        message: &Message<'_>,
        value: &[u8],
        attributes: &mut Guess,
    ) -> Result<Decoded, DecodeError> {
        let mut scan = envelope::unwrapped(value).map_err(in_value)?;
        if scan.null().map_err(in_value)? {
            scan.end().map_err(in_value)?;
            return Ok(Decoded::Skipped(SkipReason::Tombstone));
        }
        let whole = scan.clone();
        let event = CloudEvent::read(&mut scan, attributes)?;
        scan.end().map_err(in_value)?;
        if !event.is_event() {
            return no_event(whole);
        }
        let Some(op) = event.op()? else { return Ok(Decoded::Skipped(SkipReason::LogicalMessage)) };
        let data = match event.data {
            Image::Object(from, to) => whole.part(from, to),
            _ if op == Op::Truncate => whole.part(0, 0),
            _ => return Err(wanted("want an object as `data`")),
        };
        self.take_data(message, op, event.into_source(), data)
    }

    fn take_data<'a>(
        &mut self,
        message: &Message<'a>,
        op: Op,
        source: Source<'a>,
        data: Scan<'a>,
    ) -> Result<Decoded, DecodeError> {
        let is_truncate = op == Op::Truncate;
        let payload = if data.rest().is_empty() { b"{}" } else { data.rest().as_bytes() };
        let Some(mut payload) = self.topic.open(payload, &self.settings.plain)? else { return Ok(Decoded::FlushFirst) };
        let Some(key) = self.read_key(message, || is_truncate)? else { return Ok(Decoded::FlushFirst) };
        let members = self.members(&mut payload.scan)?;
        payload.end().map_err(in_value)?;
        let members = Members { source: Some(source), ..members };
        self.take_members(message, op, key, &members, &payload.scan)
    }
}

/// What passes the converter without becoming an event.
fn no_event(payload: Scan<'_>) -> Result<Decoded, DecodeError> {
    let seen = envelope::seen(payload).map_err(in_value)?;
    seen.control().map(Decoded::Skipped).ok_or_else(|| DecodeError::Unsupported {
        what: "a message that is no CloudEvent".to_owned(),
        why: "it has no `specversion`; decode a topic of envelopes as such",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debezium::source;

    #[test]
    fn the_attributes_stand_in_the_order_of_the_source_block() {
        let adjusted = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let attributes = ATTRIBUTES.iter().skip(OF_SOURCE.into());
        let mut count = 0;
        for (attribute, name) in attributes.zip(source::names()) {
            assert_eq!(attribute.name(), format!("iodebezium{}", adjusted(name)).as_bytes());
            count += 1;
        }
        assert_eq!(count, ATTRIBUTES.len() - usize::from(OF_SOURCE));
    }
}
