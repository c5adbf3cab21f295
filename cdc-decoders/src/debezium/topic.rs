//! What is remembered of a topic: its schema, its columns, the shape of its messages.

use std::sync::Arc;

use arrow::datatypes::Schema;

use super::avro_plan::AvroSchemas;
use super::document::Documents;
use super::envelope::{Guess, SchemaText, Wrapper};
use super::key::Key;
use super::metadata::Names;
use super::moved::Moved;
use super::rows::Rows;
use super::schema::{DeclaredSchema, ValueSchema};
use super::source::{Connector, SourceReader};
use super::tombstone::LastDeletes;
use super::wrapping::Wrapping;
use crate::error::{DecodeError, Part};
use crate::scan::{Fault, Scan, Scanned};

/// What is known of rows before any comes.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    pub(crate) declared: Option<DeclaredSchema>,
    pub(crate) known: Option<Schema>,
    /// Members of flattened rows that are no columns.
    pub(crate) told: Option<Names>,
    pub(crate) wrapping: Wrapping,
}

impl Plain {
    /// Empty columns for rows without inline schema: declared, or known, or none.
    pub(crate) fn rows(&self) -> Result<Rows, DecodeError> {
        let rows = match (&self.declared, &self.known) {
            (Some(declared), _) => Rows::from_plan(declared.fields()),
            (None, Some(known)) => Rows::from_stored(known),
            (None, None) => Ok(Rows::default()),
        };
        rows.map(|rows| self.with_told(rows))
    }

    fn with_told(&self, mut rows: Rows) -> Rows {
        if let Some(names) = &self.told {
            rows.set_told(names);
        }
        rows
    }
}

/// One topic.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    /// False in the one that stands where there was no topic yet.
    pub(crate) entered: bool,
    pub(crate) rows: Rows,
    pub(crate) key: Key,
    pub(crate) envelope: Guess,
    pub(crate) source: SourceReader,
    pub(crate) moved: Moved,
    /// The last one that a flattened row told.
    pub(crate) connector: Connector,
    pub(crate) deletes: LastDeletes,
    /// MongoDB: how documents become rows.
    pub(crate) documents: Option<Documents>,
    pub(crate) avro: AvroSchemas,
    schema: SchemaText,
    /// What the inline schema says; `None`: the last message had none.
    meaning: Option<ValueSchema>,
    /// Values moved to the ends in columns that were given up for others.
    clamped: u64,
}

/// A payload that is about to be read.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) scan: Scan<'a>,
    wrapped: bool,
}

impl Payload<'_> {
    /// Nothing may follow but the wrapper's end.
    pub(crate) fn end(&mut self) -> Scanned<()> {
        if self.wrapped {
            self.scan.expect(b'}', "want the end of the message")?;
        }
        self.scan.end()
    }
}

impl Topic {
    /// A topic of which nothing is known but its name.
    pub(crate) fn new(name: &str, plain: &Plain) -> Result<Self, DecodeError> {
        Ok(Self { name: name.into(), entered: true, rows: plain.rows()?, ..Self::default() })
    }

    /// From here on [`Self::roll_back`] takes back what a message does to the columns.
    pub(crate) fn begin(&mut self) {
        self.rows.begin();
        self.moved.begin();
    }

    /// As it was at [`Self::begin`].
    pub(crate) fn roll_back(&mut self) {
        self.rows.roll_back();
        self.moved.roll_back();
    }

    /// What the last message's inline schema says.
    pub(crate) const fn meaning(&self) -> Option<&ValueSchema> {
        self.meaning.as_ref()
    }

    /// Whether the messages bring a schema, so that the columns are all that the source's table has. That of a document has
    /// nothing but its own members.
    pub(crate) fn has_schema(&self) -> bool {
        let of_documents = self.documents.is_some() || self.connector == Connector::Mongo;
        !of_documents && (self.meaning.is_some() || self.avro.value.is_some())
    }

    /// Values moved to the ends, in all.
    pub(crate) const fn clamped(&self) -> u64 {
        self.clamped + self.rows.clamped()
    }

    /// Finds the payload, and makes the columns fit its schema. `None`: they hold rows of another one.
    pub(crate) fn open<'a>(&mut self, value: &'a [u8], plain: &Plain) -> Result<Option<Payload<'a>>, DecodeError> {
        let in_value = |fault: Fault| fault.in_part(Part::Value);
        if self.meaning.is_some() && self.schema.begins(value) {
            let skipped = self.schema.prefix_bytes();
            let scan = Scan::new(&value[skipped..], skipped).map_err(in_value)?;
            return Ok(Some(Payload { scan, wrapped: true }));
        }
        let mut scan = Scan::new(value, 0).map_err(in_value)?;
        let Some(wrapper) = Wrapper::read(&mut scan).map_err(in_value)? else {
            let fits = self.meaning.is_none() || scan.peek() == b'n' || self.give_up(None, plain)?;
            return Ok(fits.then_some(Payload { scan, wrapped: false }));
        };
        let scan = scan.part(wrapper.payload.0, wrapper.payload.1);
        // A null may come with any schema, and with none: that says nothing about the rows'.
        let fits = scan.rest() == "null" || self.follow(value, &wrapper, plain)?;
        Ok(fits.then_some(Payload { scan, wrapped: false }))
    }

    /// Follows an inline schema; false where rows of another one are buffered.
    fn follow(&mut self, value: &[u8], wrapper: &Wrapper, plain: &Plain) -> Result<bool, DecodeError> {
        let text = SchemaText::new(value, wrapper);
        if self.meaning.is_none() || !self.schema.is_same(&text) {
            let meaning = ValueSchema::from_inline(text.schema(), plain.wrapping)?;
            if self.meaning.as_ref() != Some(&meaning) && !self.give_up(Some(meaning), plain)? {
                return Ok(false);
            }
        }
        self.schema = text;
        Ok(true)
    }

    /// Empty columns for rows without inline schema.
    fn own_rows(&self, plain: &Plain) -> Result<Rows, DecodeError> {
        match &self.documents {
            Some(documents) if plain.known.is_none() || plain.declared.is_some() => Rows::from_plan(&documents.plan()),
            _ => plain.rows(),
        }
    }

    /// How documents become rows, with the columns made theirs; `None` where they hold other rows.
    pub(crate) fn documents(&mut self, plain: &Plain) -> Result<Option<&mut Documents>, DecodeError> {
        if self.documents.is_none() {
            if self.rows.len() > 0 {
                return Ok(None);
            }
            self.documents = Some(Documents::new(plain.declared.as_ref().map(DeclaredSchema::fields)));
            let rows = self.own_rows(plain)?;
            self.replace_rows(rows);
        }
        Ok(self.documents.as_mut())
    }

    /// The columns of a batch's key.
    pub(crate) fn key_columns(&self, users: Option<&[String]>) -> Vec<String> {
        match &self.documents {
            Some(documents) => vec![documents.key_column().to_owned()],
            None => self.key.columns_of_batch(users),
        }
    }

    /// Says to the columns which of them are the key.
    pub(crate) fn set_keys(&mut self) {
        match &self.documents {
            Some(documents) => self.rows.set_keys(&[documents.key_column().to_owned()]),
            None => self.rows.set_keys(self.key.columns()),
        }
    }

    /// Gives the columns up for those of another schema; false where they hold rows.
    fn give_up(&mut self, meaning: Option<ValueSchema>, plain: &Plain) -> Result<bool, DecodeError> {
        if self.rows.len() > 0 {
            return Ok(false);
        }
        let rows = match &meaning {
            Some(ValueSchema::Rows(fields)) => plain.with_told(Rows::from_plan(fields)?),
            _ => self.own_rows(plain)?,
        };
        self.replace_rows(rows);
        self.meaning = meaning;
        Ok(true)
    }

    /// Gives the columns up for others.
    pub(crate) fn replace_rows(&mut self, rows: Rows) {
        self.clamped += self.rows.clamped();
        self.rows = rows;
        self.set_keys();
        self.rows.begin();
    }
}
