//! How a value is read into its column: a type on the wire together with what its values mean, decided once a schema.

use super::schema::{Field, Schema, Shape, TypeId};
use super::wire::MAX_DEPTH;
use crate::error::DecodeError;
use crate::plan::{FieldPlan, Reading, Unit};

/// How a value is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// The branch of null, where the type is a union of null and another.
    pub(super) null: Option<usize>,
    pub(super) op: Op,
}

/// How a value that is not null is read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    Null,
    Boolean,
    Int32,
    Int64,
    Date,
    Timestamp(Unit),
    Micros(Unit),
    Float32,
    Float64,
    Text,
    ZonedTimestamp,
    IsoTimestamp,
    IsoDate,
    IsoTime,
    /// A symbol, by its number.
    Symbol(Vec<String>),
    Bytes(Binary),
    Decimal(Binary, u8),
    DecimalText {
        binary: Binary,
        scale: i32,
        trim: bool,
    },
    /// A record of a scale and an unscaled number.
    VariableScale {
        scale_first: bool,
    },
    List(Box<Step>),
    Map(Box<Step>),
    /// An array of records of a key and a value.
    Pairs {
        key: Printed,
        value: Box<Step>,
    },
    Struct(Vec<Step>),
    /// A branch of several.
    Mixed(Vec<Printed>),
}

/// Where bytes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    /// Their length stands before them.
    Counted,
    Fixed(usize),
}

/// How a value becomes plain text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Printed {
    Null,
    Text,
    Symbol(Vec<String>),
    Integer,
    Boolean,
    Float,
    Double,
    /// It cannot be told in one text.
    Not,
}

impl Step {
    /// How values of a type are read that mean what `reading` says.
    pub(crate) fn new(schema: &Schema, id: TypeId, reading: &Reading, column: &str) -> Result<Self, DecodeError> {
        Steps { schema, column }.step(id, reading, MAX_DEPTH)
    }

    /// Whether a value, as it stands in a record, is null, zero, false or empty.
    pub(crate) fn is_null_or_zero(&self, raw: &[u8]) -> bool {
        let value = match (self.null, raw) {
            (Some(null), [branch, ..]) if usize::from(branch / 2) == null => return true,
            (Some(_), [_, value @ ..]) => value,
            _ => raw,
        };
        value.iter().all(|byte| *byte == 0)
    }
}

struct Steps<'a> {
    schema: &'a Schema,
    column: &'a str,
}

impl Steps<'_> {
    fn bad(&self, reason: &str) -> DecodeError {
        DecodeError::schema(self.column, reason)
    }

    fn step(&self, id: TypeId, reading: &Reading, depth: u32) -> Result<Step, DecodeError> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.bad("nested too deeply"))?;
        let (inner, null) = self.schema.optional(id);
        Ok(Step { null, op: self.op(inner, reading, depth)? })
    }

    fn op(&self, id: TypeId, reading: &Reading, depth: u32) -> Result<Op, DecodeError> {
        let shape = &self.schema.get(id).shape;
        if let Some(op) = scalar(shape, reading) {
            return Ok(op);
        }
        Ok(match (reading, shape) {
            (Reading::List(element), Shape::Array(items)) => Op::List(Box::new(self.step(*items, element, depth)?)),
            (Reading::Map(value), Shape::Map(values)) => Op::Map(Box::new(self.step(*values, value, depth)?)),
            (Reading::Map(value), Shape::Array(pair)) => self.pairs(*pair, value, depth)?,
            (Reading::Struct(members), Shape::Record(_)) => Op::Struct(self.members(id, members, depth)?),
            (Reading::VariableScaleDecimal, Shape::Record(fields)) => self.variable_scale(fields)?,
            (Reading::Mixed, Shape::Union(branches)) => {
                Op::Mixed(branches.iter().map(|branch| self.printed(*branch)).collect())
            }
            _ => return Err(self.bad("its type on the wire does not carry what its schema says of it")),
        })
    }

    fn members(&self, record: TypeId, members: &[FieldPlan], depth: u32) -> Result<Vec<Step>, DecodeError> {
        let Shape::Record(fields) = &self.schema.get(record).shape else { return Ok(Vec::new()) };
        let both = fields.iter().zip(members);
        both.map(|(field, member)| self.step(field.kind, &member.reading, depth)).collect()
    }

    fn pairs(&self, pair: TypeId, value: &Reading, depth: u32) -> Result<Op, DecodeError> {
        let members = self.schema.field(pair, "key").zip(self.schema.field(pair, "value"));
        let (key, kind) = members.ok_or_else(|| self.bad("want records of a key and a value"))?;
        Ok(Op::Pairs { key: self.printed(key), value: Box::new(self.step(kind, value, depth)?) })
    }

    fn variable_scale(&self, fields: &[Field]) -> Result<Op, DecodeError> {
        let is =
            |field: &Field, name: &str, shape: Shape| field.name == name && self.schema.get(field.kind).shape == shape;
        let are = |scale, value| is(scale, "scale", Shape::Int) && is(value, "value", Shape::Bytes);
        match fields {
            [scale, value] if are(scale, value) => Ok(Op::VariableScale { scale_first: true }),
            [value, scale] if are(scale, value) => Ok(Op::VariableScale { scale_first: false }),
            _ => Err(self.bad("want a record of a decimal's `scale` and `value`")),
        }
    }

    fn printed(&self, id: TypeId) -> Printed {
        match &self.schema.get(id).shape {
            Shape::Null => Printed::Null,
            Shape::Text => Printed::Text,
            Shape::Enum(symbols) => Printed::Symbol(symbols.clone()),
            Shape::Int | Shape::Long => Printed::Integer,
            Shape::Boolean => Printed::Boolean,
            Shape::Float => Printed::Float,
            Shape::Double => Printed::Double,
            _ => Printed::Not,
        }
    }
}

/// How a value is read that holds no others; `None` where it does, or where the wire cannot carry what it means.
fn scalar(shape: &Shape, reading: &Reading) -> Option<Op> {
    let binary = match shape {
        Shape::Fixed(bytes) => Binary::Fixed(*bytes),
        _ => Binary::Counted,
    };
    Some(match (reading, shape) {
        (Reading::Text, Shape::Null) => Op::Null,
        (Reading::Boolean, Shape::Boolean) => Op::Boolean,
        (Reading::Int32, Shape::Int) => Op::Int32,
        (Reading::Int64, Shape::Int | Shape::Long) => Op::Int64,
        (Reading::Date, Shape::Int | Shape::Long) => Op::Date,
        (Reading::Timestamp(unit), Shape::Int | Shape::Long) => Op::Timestamp(*unit),
        (Reading::Micros(unit), Shape::Int | Shape::Long) => Op::Micros(*unit),
        (Reading::Float32, Shape::Float) => Op::Float32,
        (Reading::Float64, Shape::Double) => Op::Float64,
        (Reading::Text, Shape::Text) => Op::Text,
        (Reading::Text, Shape::Enum(symbols)) => Op::Symbol(symbols.clone()),
        (Reading::ZonedTimestamp, Shape::Text) => Op::ZonedTimestamp,
        (Reading::IsoTimestamp, Shape::Text) => Op::IsoTimestamp,
        (Reading::IsoDate, Shape::Text) => Op::IsoDate,
        (Reading::IsoTime, Shape::Text) => Op::IsoTime,
        (Reading::Bytes, Shape::Bytes | Shape::Fixed(_)) => Op::Bytes(binary),
        (Reading::Decimal { precision, .. }, Shape::Bytes | Shape::Fixed(_)) => Op::Decimal(binary, *precision),
        (Reading::DecimalText { scale, trim }, Shape::Bytes | Shape::Fixed(_)) => {
            Op::DecimalText { binary, scale: *scale, trim: *trim }
        }
        _ => return None,
    })
}

/// The bytes of known values: to tell them where they stand, undecoded.
pub(crate) mod encoded {
    use super::{Binary, Op, Step};

    /// A value that another format would call the same.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Known<'a> {
        Text(&'a str),
        Bytes(&'a [u8]),
        /// A list of the bytes' numbers.
        Codes(&'a [u8]),
        /// A list of one element.
        One(&'a Known<'a>),
        /// A map of one text to itself.
        ToItself(&'a str),
    }

    impl Step {
        /// The bytes of a value; `None` where values of this type cannot be it.
        pub(crate) fn encode(&self, value: Known<'_>) -> Option<Vec<u8>> {
            let mut bytes = Vec::new();
            if let Some(null) = self.null {
                long(1 - i64::try_from(null).ok()?, &mut bytes);
            }
            self.op.encode(value, &mut bytes).map(|()| bytes)
        }
    }

    impl Op {
        fn is_integer(&self) -> bool {
            matches!(self, Self::Int32 | Self::Int64 | Self::Date | Self::Timestamp(_) | Self::Micros(_))
        }

        fn is_text(&self) -> bool {
            matches!(self, Self::Text | Self::ZonedTimestamp | Self::IsoTimestamp | Self::IsoDate | Self::IsoTime)
        }

        fn encode(&self, value: Known<'_>, out: &mut Vec<u8>) -> Option<()> {
            match (self, value) {
                (op, Known::Text(text)) if op.is_text() => counted(text.as_bytes(), out),
                (Self::Bytes(Binary::Counted), Known::Bytes(bytes)) => counted(bytes, out),
                (Self::Bytes(Binary::Fixed(length)), Known::Bytes(bytes)) if *length == bytes.len() => {
                    out.extend_from_slice(bytes);
                }
                (Self::List(element), Known::One(value)) => {
                    long(1, out);
                    out.extend(element.encode(*value)?);
                    long(0, out);
                }
                (Self::List(element), Known::Codes(codes)) if element.op.is_integer() => {
                    long(i64::try_from(codes.len()).ok()?, out);
                    for code in codes {
                        if let Some(null) = element.null {
                            long(1 - i64::try_from(null).ok()?, out);
                        }
                        long(i64::from(*code), out);
                    }
                    long(0, out);
                }
                (Self::Map(value), Known::ToItself(text)) => {
                    long(1, out);
                    counted(text.as_bytes(), out);
                    out.extend(value.encode(Known::Text(text))?);
                    long(0, out);
                }
                _ => return None,
            }
            Some(())
        }
    }

    fn counted(bytes: &[u8], out: &mut Vec<u8>) {
        long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), out);
        out.extend_from_slice(bytes);
    }

    fn long(value: i64, out: &mut Vec<u8>) {
        let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
}
