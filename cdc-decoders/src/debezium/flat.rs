//! Debezium's flattened events, whatever their syntax: what the transform left of the envelope, and what a row or a null is by it.
//!
//! Flattening (`ExtractNewRecordState`) leaves the row, and of the envelope what its user asked for: as members of the row, or as
//! headers. Not here: the names of these ([`super::metadata`]), and how a row is found in a message ([`super::flat_json`],
//! [`super::flat_avro`]).

use hudi_core::change::{Op, SnapshotPart};

use super::buffer::Buffer;
use super::envelope;
use super::event::{Event, OLD_KEY, Read};
use super::image::{Held, RowImage, Take};
use super::json::operation;
use super::metadata::{self, Names, Tag, header_text, text_in};
use super::rows::{Absent, Rows};
use super::settings::FlatSettings;
use super::source::{Connector, Source};
use super::tombstone::Tombstones;
use crate::avro::Scalar;
use crate::decoder::{Decoded, Message, SkipReason};
use crate::error::{DecodeError, Part};
use crate::fault::Scanned;
use crate::scan::Scan;

/// Where to look for what the row does not tell.
#[derive(Debug)]
pub(crate) struct Hints {
    /// The headers that the transform added.
    headers: Names,
    /// The user's word on what sends the changes.
    connector: Connector,
    tombstones: Tombstones,
}

impl Hints {
    pub(crate) fn new(settings: &FlatSettings) -> Result<Self, DecodeError> {
        let (headers, tombstones) = (settings.headers.headers(), settings.tombstones);
        Ok(Self { headers, connector: settings.connector()?, tombstones })
    }
}

/// A row with members that are no columns, which the transform adds behind the others.
///
/// A change is told apart by its columns alone: among the rest may be the connector's own clock, which a re-delivery does not repeat.
#[derive(Debug, Clone)]
pub(crate) struct FlatRow<I> {
    image: I,
    /// What stands before the first of these members.
    columns_bytes: usize,
}

impl<I: RowImage> FlatRow<I> {
    /// A row whose columns end there, if not with the row.
    pub(crate) fn new(image: I, end_of_columns: Option<usize>) -> Self {
        let columns_bytes = end_of_columns.unwrap_or(usize::MAX).min(image.raw().len());
        Self { image, columns_bytes }
    }
}

impl<I: RowImage> RowImage for FlatRow<I> {
    fn raw(&self) -> &[u8] {
        &self.image.raw()[..self.columns_bytes]
    }

    fn memory_bytes(&self) -> usize {
        self.image.memory_bytes()
    }

    fn read(&self, rows: &mut Rows, take: Take<'_>) -> Result<(), DecodeError> {
        self.image.read(rows, take)
    }

    fn held(&self, column: &str) -> Scanned<Option<Held<'_>>> {
        self.image.held(column)
    }

    fn read_column(&self, column: &str, rows: &mut Rows, take: Take<'_>) -> Result<bool, DecodeError> {
        self.image.read_column(column, rows, take)
    }
}

/// What the transform's members and headers tell of a change.
#[derive(Debug, Default)]
pub(crate) struct Told<'a> {
    op: Option<&'a str>,
    deleted: bool,
    source: Source<'a>,
    /// What Debezium's own headers say.
    connector: Connector,
    name: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// What the headers tell.
    pub(crate) fn by_headers(message: &Message<'a>, hints: &Hints) -> Result<Self, DecodeError> {
        let mut told = Self::default();
        for header in message.headers {
            let Some(text) = header.value.and_then(header_text) else { continue };
            match header.name {
                "__debezium.context.connectorName" => told.connector = Connector::parse(text.as_bytes()),
                "__debezium.context.connectorLogicalName" => told.name = Some(text),
                name if name.starts_with("__debezium.") => {}
                name => {
                    if let Some(tag) = hints.headers.get(name) {
                        told.read_text(*tag, text)?;
                    }
                }
            }
        }
        Ok(told)
    }

    fn read_text(&mut self, tag: Tag, text: &'a str) -> Result<(), DecodeError> {
        match tag {
            metadata::OP => self.op = Some(text),
            metadata::DELETED => self.deleted = text == "true",
            metadata::NOTHING => {}
            member => self.source.read_text(member, text)?,
        }
        Ok(())
    }

    /// What a member of the row tells.
    #[inline]
    pub(crate) fn read(&mut self, tag: Tag, value: Scan<'a>) -> Result<(), DecodeError> {
        match tag {
            metadata::OP | metadata::DELETED => match text_in(value.rest()) {
                Some(text) => self.read_text(tag, text),
                None => Ok(()),
            },
            metadata::NOTHING => Ok(()),
            member => self.source.read(member, value),
        }
    }

    /// The same of a member that is not JSON.
    #[inline]
    pub(crate) fn put(&mut self, tag: Tag, value: Scalar<'a>) {
        match tag {
            metadata::OP => self.op = value.text(),
            metadata::DELETED => self.deleted = value.utf8() == Some(b"true"),
            metadata::NOTHING => {}
            member => self.source.read_scalar(member, value),
        }
    }

    /// What happened; `None` for a message of the source's log.
    fn op(&self, message: &Message<'_>, snapshot: SnapshotPart) -> Result<Option<Op>, DecodeError> {
        if self.deleted {
            return Ok(Some(Op::Delete));
        }
        match self.op {
            None if snapshot != SnapshotPart::None => Ok(Some(Op::Snapshot)),
            None if message.header(OLD_KEY).is_some() => Ok(Some(Op::Insert)),
            None => Ok(Some(Op::Upsert)),
            Some(envelope::TRUNCATE) => Err(DecodeError::Unsupported {
                what: "a flattened truncate".to_owned(),
                why: "the transform drops these, and what is left of one does not tell what it emptied",
            }),
            op => operation(op),
        }
    }
}

impl Buffer {
    /// Adds a row that is in the columns.
    pub(crate) fn take_row<'a>(
        &mut self,
        message: &Message<'a>,
        hints: &Hints,
        key: Option<impl RowImage>,
        row: impl RowImage,
        mut told: Told<'a>,
    ) -> Result<Decoded, DecodeError> {
        let source = self.source(message, hints, &mut told);
        let Some(op) = told.op(message, source.snapshot)? else {
            return Ok(Decoded::Skipped(SkipReason::LogicalMessage));
        };
        let deleted = op == Op::Delete;
        let (before, after, read) =
            if deleted { (Some(row), None, Read::Before) } else { (None, Some(row), Read::After) };
        // The image is the whole row, but with MongoDB.
        let partial = matches!(op, Op::Update | Op::Upsert) && source.connector == Connector::Mongo;
        let absent = if partial { Absent::NotSent } else { Absent::Null };
        let event = Event { message, source: &source, op, key, before, after, read, absent };
        let decoded = self.apply(&event)?;
        if let Decoded::Added { .. } = decoded {
            self.topic.deletes.note(message, deleted);
        }
        Ok(decoded)
    }

    /// Whether a null is skipped: as the tombstone of a row that was deleted, or because the user wants it so.
    pub(crate) fn is_tombstone(&mut self, message: &Message<'_>, hints: &Hints) -> bool {
        hints.tombstones == Tombstones::Skip || self.topic.deletes.take(message)
    }

    /// A delete that comes as no row: by its key.
    pub(crate) fn delete_by_null<K: RowImage>(
        &mut self,
        message: &Message<'_>,
        hints: &Hints,
        key: Option<K>,
    ) -> Result<Decoded, DecodeError> {
        if key.is_none() {
            return Err(DecodeError::Malformed { part: Part::Key, offset: 0, reason: NO_KEY });
        }
        let mut told = Told::by_headers(message, hints)?;
        let source = self.source(message, hints, &mut told);
        let (op, read, absent) = (Op::Delete, Read::Nothing, Absent::NotSent);
        self.apply(&Event { message, source: &source, op, key, before: None::<K>, after: None, read, absent })
    }

    /// The source, by all that is known of it.
    fn source<'a>(&mut self, message: &Message<'a>, hints: &Hints, told: &mut Told<'a>) -> Source<'a> {
        let mut source = std::mem::take(&mut told.source);
        source.flattened = true;
        if source.connector == Connector::Other {
            let known = [hints.connector, told.connector, source.connector_by_position(), self.topic.connector];
            source.connector = known.into_iter().find(|one| *one != Connector::Other).unwrap_or_default();
        }
        self.topic.connector = source.connector;
        if source.name.is_empty() {
            source.name = told.name.unwrap_or_else(|| first_part(message.topic, source.connector)).into();
        }
        source
    }
}

const NO_KEY: &str = "a delete that is no row needs a message key: an object of the key columns";

/// The source's name, by the topic that Debezium makes of it: `name.schema.table`, of SQL Server `name.database.schema.table`.
fn first_part(topic: &str, connector: Connector) -> &str {
    let behind = if connector == Connector::SqlServer { 3 } else { 2 };
    let mut dots = topic.bytes().enumerate().rev().filter(|(_, byte)| *byte == b'.');
    dots.nth(behind - 1).map_or(topic, |(dot, _)| &topic[..dot])
}
