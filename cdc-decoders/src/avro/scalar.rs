//! Single values of a record that are wanted as they are, not as a column's: positions, names, flags.

use super::cursor::Cursor;
use super::schema::{Schema, Shape, TypeId};
use super::wire::Wire;
use crate::error::DecodeError;
use crate::fault::Scanned;

/// A value as it stands in a body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    /// UTF-8.
    Text(&'a [u8]),
    /// Something that is none of these.
    Other,
}

impl<'a> Scalar<'a> {
    pub(crate) const fn utf8(self) -> Option<&'a [u8]> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.utf8()?).ok()
    }

    pub(crate) const fn integer(self) -> Option<i64> {
        if let Self::Integer(value) = self { Some(value) } else { None }
    }
}

/// How such a value is read.
#[derive(Debug, Clone)]
pub(crate) struct ScalarStep {
    null: Option<usize>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Boolean,
    Integer,
    Text,
    Other(Wire),
}

impl ScalarStep {
    /// How the values of a type are read.
    pub(crate) fn new(schema: &Schema, id: TypeId) -> Result<Self, DecodeError> {
        let (inner, null) = schema.optional(id);
        let kind = match schema.get(inner).shape {
            Shape::Boolean => Kind::Boolean,
            Shape::Int | Shape::Long => Kind::Integer,
            Shape::Text => Kind::Text,
            _ => Kind::Other(Wire::of(schema, inner)?),
        };
        Ok(Self { null, kind })
    }

    /// Reads the value that is next.
    #[inline(always)]
    pub(crate) fn read<'a>(&self, cursor: &mut Cursor<'a>) -> Scanned<Scalar<'a>> {
        if let Some(null) = self.null
            && cursor.is_null(null)?
        {
            return Ok(Scalar::Null);
        }
        Ok(match &self.kind {
            Kind::Boolean => Scalar::Boolean(cursor.boolean()?),
            Kind::Integer => Scalar::Integer(cursor.long()?),
            Kind::Text => Scalar::Text(cursor.utf8()?),
            Kind::Other(wire) => {
                wire.skip(cursor)?;
                Scalar::Other
            }
        })
    }
}
