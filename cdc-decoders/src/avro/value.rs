//! One Avro value into one column, as its [`Step`] says.
//!
//! What does not fit is refused: nothing is guessed. Not here: what a value means once it is read ([`crate::conversion`]).

use super::cursor::Cursor;
use super::step::{Binary, Op, Printed, Step};
use crate::columns::{Binaries, Column, Lists, Maps, Structs, Texts};
use crate::conversion::{self, Ledger, want};
use crate::decimal;
use crate::fault::Scanned;
use crate::temporal;

/// Reads values; holds what they share.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) ledger: Ledger,
}

impl Values {
    /// Appends the value that is next. On an error the column may hold part of a row.
    #[inline(always)]
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>, step: &Step, column: &mut Column) -> Scanned<()> {
        if let Some(null) = step.null
            && cursor.is_null(null)?
        {
            column.push_null();
            return Ok(());
        }
        match (&step.op, column) {
            (Op::Int32, Column::Int32(c)) => c.push(cursor.int()?),
            (Op::Int64, Column::Int64(c)) => c.push(cursor.long()?),
            (Op::Text, Column::Text(c)) => push_text(cursor, c)?,
            (Op::Boolean, Column::Boolean(c)) => c.push(Some(cursor.boolean()?)),
            (Op::Float64, Column::Float64(c)) => c.push(cursor.double()?),
            (Op::Float32, Column::Float32(c)) => c.push(cursor.float()?),
            (Op::Timestamp(unit), Column::Timestamp(c)) => {
                self.ledger.push_micros(c, conversion::timestamp(cursor.long()?, *unit));
            }
            (Op::Decimal(bytes, precision), Column::Decimal(c, ..)) => c.push(decimal(cursor, *bytes, *precision)?),
            (op, column) => return self.read_rarer(cursor, op, column),
        }
        Ok(())
    }

    /// Apart from the others, which need fewer registers.
    #[inline(never)]
    fn read_rarer(&mut self, cursor: &mut Cursor<'_>, op: &Op, column: &mut Column) -> Scanned<()> {
        match (op, column) {
            (Op::ZonedTimestamp, Column::Timestamp(c)) => {
                self.ledger.push_micros(c, conversion::zoned_timestamp(cursor.utf8()?)?);
            }
            (Op::IsoTimestamp, Column::Timestamp(c)) => {
                self.ledger.push_micros(c, conversion::iso_timestamp(cursor.utf8()?)?);
            }
            (Op::Date, Column::Date(c)) => self.ledger.push_day(c, temporal::clamp_day(cursor.long()?)),
            (Op::IsoDate, Column::Date(c)) => self.ledger.push_day(c, conversion::iso_date(cursor.utf8()?)?),
            (Op::Micros(unit), Column::Int64(c)) => c.push(conversion::micros(cursor.long()?, *unit)?),
            (Op::IsoTime, Column::Int64(c)) => c.push(conversion::iso_time(cursor.utf8()?)?),
            (Op::Bytes(bytes), Column::Binary(c)) => push_bytes(c, binary(cursor, *bytes)?),
            (Op::DecimalText { binary: bytes, scale, trim }, Column::Text(c)) => {
                self.ledger.push_plain(binary(cursor, *bytes)?, *scale, *trim, c)?;
            }
            (Op::VariableScale { scale_first }, Column::Text(c)) => {
                let (scale, bytes) = variable_scale(cursor, *scale_first)?;
                self.ledger.push_plain(bytes, scale, false, c)?;
            }
            (Op::Symbol(symbols), Column::Text(c)) => c.push(symbol(cursor, symbols)?),
            (Op::Mixed(branches), column @ Column::Text(_)) => mixed(cursor, branches, column)?,
            (Op::List(element), Column::List(c)) => self.list(cursor, element, c)?,
            (Op::Map(value), Column::Map(c)) => self.map(cursor, &Printed::Text, value, c)?,
            (Op::Pairs { key, value }, Column::Map(c)) => self.map(cursor, key, value, c)?,
            (Op::Struct(members), Column::Struct(c)) => self.members(cursor, members, c)?,
            (Op::Null, column) => column.push_null(),
            (Op::Int32, Column::Int64(c)) => c.push(cursor.int()?.into()),
            (Op::Float32, Column::Float64(c)) => c.push(cursor.float()?.into()),
            _ => return Err(want("the column is of another type than its plan")),
        }
        Ok(())
    }

    fn list(&mut self, cursor: &mut Cursor<'_>, element: &Step, column: &mut Lists) -> Scanned<()> {
        loop {
            let block = cursor.block()?;
            if block.count == 0 {
                break;
            }
            let child = column.open();
            for _ in 0..block.count {
                self.read(cursor, element, child)?;
            }
        }
        column.close();
        Ok(())
    }

    fn map(&mut self, cursor: &mut Cursor<'_>, key: &Printed, value: &Step, column: &mut Maps) -> Scanned<()> {
        loop {
            let block = cursor.block()?;
            if block.count == 0 {
                break;
            }
            let (keys, values) = column.open();
            for _ in 0..block.count {
                if !key.push(cursor, keys)? {
                    return Err(want("want a map's key that can be told as text"));
                }
                self.read(cursor, value, values)?;
            }
        }
        column.close();
        Ok(())
    }

    fn members(&mut self, cursor: &mut Cursor<'_>, members: &[Step], column: &mut Structs) -> Scanned<()> {
        for (step, member) in members.iter().zip(column.open()) {
            self.read(cursor, step, member)?;
        }
        column.close();
        Ok(())
    }
}

impl Printed {
    /// Appends the value as text; false where it has none.
    fn push(&self, cursor: &mut Cursor<'_>, column: &mut Texts) -> Scanned<bool> {
        match self {
            Self::Text => push_text(cursor, column)?,
            Self::Symbol(symbols) => column.push(symbol(cursor, symbols)?),
            Self::Integer => column.push(&cursor.long()?.to_string()),
            Self::Boolean => column.push(if cursor.boolean()? { "true" } else { "false" }),
            Self::Float => column.push(&format!("{:?}", cursor.float()?)),
            Self::Double => column.push(&format!("{:?}", cursor.double()?)),
            Self::Null | Self::Not => return Ok(false),
        }
        Ok(true)
    }
}

fn mixed(cursor: &mut Cursor<'_>, branches: &[Printed], column: &mut Column) -> Scanned<()> {
    let branch = &branches[cursor.branch(branches.len())?];
    let told = match column {
        Column::Text(c) if *branch != Printed::Null => branch.push(cursor, c)?,
        column => {
            column.push_null();
            true
        }
    };
    if told { Ok(()) } else { Err(want("want a value that can be told as text: the column is of several types")) }
}

fn symbol<'s>(cursor: &mut Cursor<'_>, symbols: &'s [String]) -> Scanned<&'s str> {
    let fault = cursor.syntax("the enum has no such symbol");
    let place = usize::try_from(cursor.int()?).ok();
    place.and_then(|place| symbols.get(place)).map(String::as_str).ok_or(fault)
}

#[inline]
fn push_text(cursor: &mut Cursor<'_>, column: &mut Texts) -> Scanned<()> {
    let bytes = cursor.bytes()?;
    column.push_utf8(bytes).map_err(|error| cursor.not_utf8(bytes, error))
}

#[inline]
fn binary<'a>(cursor: &mut Cursor<'a>, end: Binary) -> Scanned<&'a [u8]> {
    match end {
        Binary::Counted => cursor.bytes(),
        Binary::Fixed(bytes) => cursor.take(bytes),
    }
}

fn push_bytes(column: &mut Binaries, bytes: &[u8]) {
    column.open().extend_from_slice(bytes);
    column.close();
}

#[inline]
fn decimal(cursor: &mut Cursor<'_>, end: Binary, precision: u8) -> Scanned<i128> {
    let value = decimal::big_endian_i128(binary(cursor, end)?).filter(|value| decimal::fits(*value, precision));
    value.ok_or(want("want an unscaled number that has no more digits than the column"))
}

fn variable_scale<'a>(cursor: &mut Cursor<'a>, scale_first: bool) -> Scanned<(i32, &'a [u8])> {
    if scale_first {
        return Ok((cursor.int()?, cursor.bytes()?));
    }
    let bytes = cursor.bytes()?;
    Ok((cursor.int()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::Schema;
    use crate::fault::Fault;
    use crate::plan::{FieldPlan, Reading, Unit};
    use arrow::array::Array;
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    /// What a value becomes, as Arrow prints it.
    fn read(schema: &str, reading: &Reading, body: &[u8]) -> Result<String, Fault> {
        let schema = Schema::parse(schema).unwrap();
        let step = Step::new(&schema, schema.root(), reading, "x").unwrap();
        let mut column = Column::new(&reading.data_type()).unwrap();
        let mut cursor = Cursor::new(body, 0);
        Values::default().read(&mut cursor, &step, &mut column)?;
        cursor.end()?;
        let array = column.finish().unwrap();
        assert_eq!(array.len(), 1);
        let options = FormatOptions::default().with_null("null");
        Ok(ArrayFormatter::try_new(&*array, &options).unwrap().value(0).to_string())
    }

    #[track_caller]
    fn check(schema: &str, reading: &Reading, good: &[(&[u8], &str)], bad: &[&[u8]]) {
        for (body, expected) in good {
            assert_eq!(read(schema, reading, body).as_deref(), Ok(*expected), "{body:?}");
            for end in 0..body.len() {
                assert!(read(schema, reading, &body[..end]).is_err(), "{body:?} cut at {end}");
            }
        }
        for body in bad {
            assert!(read(schema, reading, body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn plain_values_and_nulls_on_either_side() {
        check(r#""boolean""#, &Reading::Boolean, &[(&[1], "true"), (&[0], "false")], &[&[2]]);
        check(r#"["null","int"]"#, &Reading::Int32, &[(&[0], "null"), (&[2, 3], "-2")], &[&[4, 0], &[1]]);
        check(r#"["long","null"]"#, &Reading::Int64, &[(&[2], "null"), (&[0, 3], "-2")], &[]);
        check(r#""string""#, &Reading::Text, &[(&[4, b'h', b'i'], "hi"), (&[0], "")], &[&[2, 0xff]]);
        check(r#""bytes""#, &Reading::Bytes, &[(&[4, 0, 255], "00ff")], &[]);
        check(r#"{"type":"fixed","name":"f","size":2}"#, &Reading::Bytes, &[(&[0, 255], "00ff")], &[]);
        check(r#""float""#, &Reading::Float32, &[(&1.5_f32.to_le_bytes(), "1.5")], &[]);
        check(r#""double""#, &Reading::Float64, &[(&f64::NAN.to_le_bytes(), "NaN")], &[]);
        check(r#""null""#, &Reading::Text, &[(&[], "null")], &[]);
        let symbols = r#"{"type":"enum","name":"e","symbols":["a","b"]}"#;
        check(symbols, &Reading::Text, &[(&[2], "b")], &[&[4], &[1]]);
    }

    #[test]
    fn what_integers_and_texts_mean() {
        check(r#""int""#, &Reading::Date, &[(&[2], "1970-01-02")], &[]);
        check(r#""long""#, &Reading::Micros(Unit::Nanos), &[(&[1], "-1")], &[]);
        check(r#""int""#, &Reading::Micros(Unit::Millis), &[(&[2], "1000")], &[]);
        check(r#""string""#, &Reading::IsoDate, &[(b"\x141970-01-02", "1970-01-02")], &[b"\x02x"]);
        check(r#""string""#, &Reading::IsoTime, &[(b"\x1000:00:01", "1000000")], &[b"\x02x"]);
    }

    #[test]
    fn decimals() {
        let decimal = Reading::Decimal { precision: 3, scale: 2 };
        check(r#""bytes""#, &decimal, &[(&[4, 3, 231], "9.99"), (&[2, 255], "-0.01")], &[&[4, 3, 232], &[0]]);
        check(r#"{"type":"fixed","name":"f","size":3}"#, &decimal, &[(&[255, 255, 255], "-0.01")], &[]);
        let text = Reading::DecimalText { scale: 3, trim: true };
        check(r#""bytes""#, &text, &[(&[4, 3, 232], "1")], &[]);
        let record = |fields: &str| format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#);
        let (scale, value) = (r#"{"name":"scale","type":"int"}"#, r#"{"name":"value","type":"bytes"}"#);
        let variable = Reading::VariableScaleDecimal;
        check(
            &record(&format!("{scale},{value}")),
            &variable,
            &[(&[2, 2, 131], "-12.5")],
            &[&[0x80, 0x89, 0x7a, 2, 1]],
        );
        check(&record(&format!("{value},{scale}")), &variable, &[(&[2, 131, 2], "-12.5")], &[]);
        let schema = Schema::parse(&record(scale)).unwrap();
        assert!(Step::new(&schema, schema.root(), &variable, "x").is_err());
    }

    #[test]
    fn nested_values_in_one_block_or_several() {
        let list = Reading::List(Box::new(Reading::Int32));
        check(
            r#"{"type":"array","items":["null","int"]}"#,
            &list,
            &[(&[0], "[]"), (&[4, 2, 2, 0, 0], "[1, null]"), (&[1, 4, 2, 2, 2, 2, 4, 0], "[1, 2]")],
            &[&[4, 2, 2, 0, 1]],
        );
        let map = Reading::Map(Box::new(Reading::Text));
        check(
            r#"{"type":"map","values":["null","string"]}"#,
            &map,
            &[(&[4, 2, b'a', 2, 2, b'1', 2, b'n', 0, 0], "{a: 1, n: null}"), (&[0], "{}")],
            &[],
        );
        let pairs = r#"{"type":"array","items":{"type":"record","name":"MapEntry","fields":[
            {"name":"key","type":"int"},{"name":"value","type":"string"}]}}"#;
        check(pairs, &map, &[(&[2, 5, 2, b'a', 0], "{-3: a}")], &[]);
        let point = Reading::Struct(vec![FieldPlan::new("x", Reading::Int32), FieldPlan::new("y", Reading::Text)]);
        let record = r#"{"type":"record","name":"p","fields":[{"name":"x","type":"int"},{"name":"y","type":["null","string"]}]}"#;
        check(record, &point, &[(&[2, 0], "{x: 1, y: null}"), (&[2, 2, 2, b'a'], "{x: 1, y: a}")], &[]);
    }

    #[test]
    fn a_union_of_several_types_is_text_where_its_value_can_be_told() {
        let union = r#"["null","int","string","boolean","double",{"type":"array","items":"int"}]"#;
        check(
            union,
            &Reading::Mixed,
            &[
                (&[0], "null"),
                (&[2, 3], "-2"),
                (&[4, 2, b'x'], "x"),
                (&[6, 1], "true"),
                (&[8, 0, 0, 0, 0, 0, 0, 248, 63], "1.5"),
            ],
            &[&[12]],
        );
        assert!(matches!(read(union, &Reading::Mixed, &[10, 0]), Err(Fault::Value { .. })));
    }

    #[test]
    fn a_meaning_that_the_wire_cannot_carry_is_refused() {
        for (schema, reading) in [
            (r#""string""#, Reading::Int32),
            (r#""long""#, Reading::Int32),
            (r#"["null","int","string"]"#, Reading::Text),
            (r#"{"type":"array","items":"int"}"#, Reading::Map(Box::new(Reading::Text))),
        ] {
            let schema = Schema::parse(schema).unwrap();
            assert!(!Step::new(&schema, schema.root(), &reading, "x").unwrap_err().can_go_on());
        }
    }
}
