//! What the values of a type look like on the wire, as far as it takes to pass them over.

use super::cursor::Cursor;
use super::schema::{Schema, Shape, TypeId};
use crate::error::DecodeError;
use crate::fault::Scanned;

/// The deepest nesting of values that is read or passed over.
pub(crate) const MAX_DEPTH: u32 = 32;
/// The most types in a schema once every name stands for what it names.
const MAX_UNFOLDED: usize = 1 << 16;

/// How values are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wire {
    /// The branch of null, where the type is a union of null and another.
    null: Option<usize>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// So many bytes.
    Fixed(usize),
    Varint,
    /// A length and so many bytes.
    Bytes,
    Array(Box<Wire>),
    /// Texts and values.
    Map(Box<Wire>),
    Union(Vec<Wire>),
    Record(Vec<Wire>),
}

impl Wire {
    /// The wire form of a type.
    pub(crate) fn of(schema: &Schema, id: TypeId) -> Result<Self, DecodeError> {
        Unfolded { schema, left: MAX_UNFOLDED }.wire(id, MAX_DEPTH)
    }

    /// Passes over a value.
    #[inline(always)]
    pub(crate) fn skip(&self, cursor: &mut Cursor<'_>) -> Scanned<()> {
        if let Some(null) = self.null
            && cursor.is_null(null)?
        {
            return Ok(());
        }
        match &self.kind {
            Kind::Varint => cursor.long().map(drop),
            Kind::Bytes => cursor.bytes().map(drop),
            Kind::Fixed(bytes) => cursor.take(*bytes).map(drop),
            nested => nested.skip(cursor),
        }
    }
}

impl Kind {
    /// Passes over a value that holds others.
    #[inline(never)]
    fn skip(&self, cursor: &mut Cursor<'_>) -> Scanned<()> {
        match self {
            Self::Array(element) => skip_blocks(cursor, |cursor| element.skip(cursor)),
            Self::Map(value) => skip_blocks(cursor, |cursor| {
                cursor.bytes()?;
                value.skip(cursor)
            }),
            Self::Union(branches) => {
                let branch = cursor.branch(branches.len())?;
                branches[branch].skip(cursor)
            }
            Self::Record(fields) => fields.iter().try_for_each(|field| field.skip(cursor)),
            Self::Fixed(_) | Self::Varint | Self::Bytes => Ok(()),
        }
    }
}

/// Passes over the elements of an array or map; whole blocks where the writer says how long they are.
fn skip_blocks(cursor: &mut Cursor<'_>, mut skip: impl FnMut(&mut Cursor<'_>) -> Scanned<()>) -> Scanned<()> {
    loop {
        let block = cursor.block()?;
        match block.bytes {
            _ if block.count == 0 => return Ok(()),
            Some(bytes) => drop(cursor.take(bytes)?),
            None => (0..block.count).try_for_each(|_| skip(cursor))?,
        }
    }
}

/// A schema whose names are replaced by what they name.
struct Unfolded<'a> {
    schema: &'a Schema,
    left: usize,
}

impl Unfolded<'_> {
    fn wire(&mut self, id: TypeId, depth: u32) -> Result<Wire, DecodeError> {
        let bad = |reason: &str| DecodeError::schema("(Avro)", reason);
        let depth = depth.checked_sub(1).ok_or_else(|| bad("nested too deeply, or a type that holds itself"))?;
        self.left = self.left.checked_sub(1).ok_or_else(|| bad("too many types"))?;
        let (inner, null) = self.schema.optional(id);
        let kind = match &self.schema.get(inner).shape {
            Shape::Null => Kind::Fixed(0),
            Shape::Boolean => Kind::Fixed(1),
            Shape::Int | Shape::Long | Shape::Enum(_) => Kind::Varint,
            Shape::Float => Kind::Fixed(4),
            Shape::Double => Kind::Fixed(8),
            Shape::Fixed(bytes) => Kind::Fixed(*bytes),
            Shape::Bytes | Shape::Text => Kind::Bytes,
            Shape::Array(element) => Kind::Array(Box::new(self.wire(*element, depth)?)),
            Shape::Map(value) => Kind::Map(Box::new(self.wire(*value, depth)?)),
            Shape::Union(branches) => Kind::Union(self.wires(branches.iter().copied(), depth)?),
            Shape::Record(fields) => Kind::Record(self.wires(fields.iter().map(|field| field.kind), depth)?),
        };
        Ok(Wire { null, kind })
    }

    fn wires(&mut self, ids: impl Iterator<Item = TypeId>, depth: u32) -> Result<Vec<Wire>, DecodeError> {
        ids.map(|id| self.wire(id, depth)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Result<Wire, DecodeError> {
        let schema = Schema::parse(text).unwrap();
        Wire::of(&schema, schema.root())
    }

    #[test]
    fn a_value_is_passed_over_whole() {
        let record = wire(
            r#"{"type":"record","name":"r","fields":[{"name":"n","type":"null"},{"name":"b","type":"boolean"},
                {"name":"l","type":["null","long"]},{"name":"f","type":"float"},{"name":"d","type":"double"},
                {"name":"s","type":"string"},{"name":"x","type":{"type":"fixed","name":"x","size":3}},
                {"name":"a","type":{"type":"array","items":["null","int"]}},{"name":"m","type":{"type":"map","values":"bytes"}}]}"#,
        )
        .unwrap();
        let mut body = vec![1, 2, 0x80, 1];
        body.extend([0; 12]);
        body.extend([4, b'h', b'i', 7, 7, 7]);
        body.extend([4, 0, 2, 8, 3, 6, 0, 2, 9, 0]);
        body.extend([2, 2, b'k', 4, 1, 2, 0]);
        let mut cursor = Cursor::new(&body, 0);
        record.skip(&mut cursor).and_then(|()| cursor.end()).unwrap();
        for end in 0..body.len() {
            let mut cursor = Cursor::new(&body[..end], 0);
            assert!(record.skip(&mut cursor).is_err(), "{end}");
        }
    }

    #[test]
    fn elements_without_bytes_do_not_take_for_ever() {
        let nulls = wire(r#"{"type":"array","items":"null"}"#).unwrap();
        let lying = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0];
        assert!(nulls.skip(&mut Cursor::new(&lying, 0)).is_err());
    }

    #[test]
    fn types_that_hold_themselves_or_explode_are_refused() {
        let itself = r#"{"type":"record","name":"r","fields":[{"name":"r","type":["null","r"]}]}"#;
        assert!(wire(itself).unwrap_err().to_string().contains("itself"));
        let mut text = r#"[{"type":"record","name":"r0","fields":[{"name":"x","type":"int"}]}"#.to_owned();
        for level in 1..25 {
            let fields = (0..8).map(|i| format!(r#"{{"name":"f{i}","type":"r{}"}}"#, level - 1)).collect::<Vec<_>>();
            text += &format!(r#",{{"type":"record","name":"r{level}","fields":[{}]}}"#, fields.join(","));
        }
        assert!(wire(&(text + "]")).unwrap_err().to_string().contains("too many"));
    }
}
