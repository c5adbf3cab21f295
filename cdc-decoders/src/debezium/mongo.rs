//! Changes of MongoDB's documents: which of a message's texts make the row.
//!
//! Not here: what stands in the texts ([`super::document`]).

use hudi_core::change::Op;

use super::buffer::Buffer;
use super::document::Documents;
use super::envelope::Image;
use super::event::{Event, Read, in_value, wanted};
use super::rows::Absent;
use super::source::Source;
use crate::decoder::{Decoded, Message};
use crate::error::DecodeError;
use crate::scan::Scan;

const NO_DOCUMENT: &str = "without the document, only a table whose schema is declared can take it: set the connector's \
                           capture.mode=change_streams_update_full (or …_with_pre_image), or declare the schema";

/// A change of a document, taken apart.
pub(crate) struct DocumentChange<'m, 'a> {
    pub(crate) message: &'m Message<'a>,
    pub(crate) source: &'m Source<'m>,
    pub(crate) op: Op,
    pub(crate) key: Option<Scan<'a>>,
    pub(crate) before: Image,
    pub(crate) after: Image,
    pub(crate) update: Image,
    /// What the images stand in.
    pub(crate) payload: &'m Scan<'a>,
}

impl DocumentChange<'_, '_> {
    /// Makes the row; what it means that it lacks a column.
    fn row(&self, documents: &mut Documents) -> Result<Absent, DecodeError> {
        let key = self.key.as_ref().ok_or(wanted("a change of a document needs a message key"))?;
        documents.begin(key)?;
        let literal = |from: usize, to: usize| self.payload.part(from, to);
        match (self.op, self.after, self.update) {
            (Op::Delete, ..) => {
                if let Image::Text(from, to) = self.before {
                    documents.add(&literal(from, to))?;
                }
                Ok(Absent::NotSent)
            }
            (_, Image::Text(from, to), _) => documents.add(&literal(from, to)).map(|()| Absent::Null),
            (Op::Update, _, Image::Object(from, to)) if documents.is_typed() => {
                documents.add_update(literal(from, to)).map(|()| Absent::NotSent)
            }
            (Op::Update, ..) => {
                let what = "an update that does not bring the document".to_owned();
                Err(DecodeError::Unsupported { what, why: NO_DOCUMENT })
            }
            _ => Err(wanted("want a text as `after`: the document")),
        }
    }
}

impl Buffer {
    /// Adds the row of a document that changed.
    pub(crate) fn take_document(&mut self, change: &DocumentChange<'_, '_>) -> Result<Decoded, DecodeError> {
        let Some(documents) = self.topic.documents(&self.settings.plain)? else { return Ok(Decoded::FlushFirst) };
        let users = self.settings.key_columns.as_deref();
        if users.is_some_and(|users| *users != [documents.key_column()]) {
            let what = "key columns of the user's for documents".to_owned();
            return Err(DecodeError::UnsupportedSource { what, why: "the key of a document is its `_id`" });
        }
        let absent = change.row(documents)?;
        let text = documents.take_row();
        let decoded = self.apply_row(change, &text, absent);
        if let Some(documents) = &mut self.topic.documents {
            documents.give_back(text);
        }
        decoded
    }

    fn apply_row(
        &mut self,
        change: &DocumentChange<'_, '_>,
        row: &str,
        absent: Absent,
    ) -> Result<Decoded, DecodeError> {
        let row = Some(Scan::new(row.as_bytes(), 0).map_err(in_value)?);
        let (before, after) = if change.op == Op::Delete { (row, None) } else { (None, row) };
        let DocumentChange { message, source, op, .. } = *change;
        self.apply(&Event { message, source, op, key: None::<Scan<'_>>, before, after, read: Read::Nothing, absent })
    }
}
