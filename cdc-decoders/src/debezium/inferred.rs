//! Columns typed by their own values, for messages without any schema.
//!
//! A whole number of 64 bits gives `Int64`; a fraction or an exponent `Float64`; true and false `Boolean`; everything else text: strings
//! as they are, longer numbers, objects and arrays as they stand in the message. A column that meets a value of another type is
//! widened together with what it holds:
//!
//! | holds \ meets | integer | fraction | boolean | text, object, array |
//! |---|---|---|---|---|
//! | `Int64` | `Int64` | `Float64` | text | text |
//! | `Float64` | `Float64` | `Float64` | text | text; "NaN" and the infinities stay |
//! | `Boolean` | text | text | `Boolean` | text |
//! | text | text | text | text | text |
//!
//! An integer beyond 2^53 does not go into `Float64`: text then. Numbers that a column held before it became text are printed
//! anew, in their shortest form: how the message wrote them is gone.

use crate::columns::{Booleans, Column, Numbers, Texts};
use crate::scan::{Fault, Scan, Scanned};

use arrow::datatypes::{Float64Type, Int64Type};

/// Appends the value that is next, which is not null. Gives the column as it was, if the value widened it.
pub(crate) fn read(scan: &mut Scan<'_>, column: &mut Column, scratch: &mut String) -> Scanned<Option<Column>> {
    match scan.peek() {
        b'"' => text(scan, column, scratch),
        b'{' | b'[' => {
            let from = scan.at();
            scan.skip()?;
            Ok(push_text(column, scan.since(from)))
        }
        b't' => scan.literal(b"true").map(|()| boolean(column, true)),
        b'f' => scan.literal(b"false").map(|()| boolean(column, false)),
        _ => match scan.bare_non_number() {
            Some(value) => Ok(float(column, value, special_text(value))),
            None => number(scan, column),
        },
    }
}

/// The value of a float that Java's converter writes as text.
pub(crate) fn special_float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

const fn special_text(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn text(scan: &mut Scan<'_>, column: &mut Column, scratch: &mut String) -> Scanned<Option<Column>> {
    let text = scan.string()?;
    if let Column::Text(c) = column {
        if text.escaped {
            text.unescape_into(c.open())?;
            c.close();
        } else {
            c.push(text.raw);
        }
        return Ok(None);
    }
    let text = text.text(scratch)?;
    if let Column::Float64(c) = column
        && let Some(value) = special_float(text)
    {
        c.push(value);
        return Ok(None);
    }
    Ok(push_text(column, text))
}

fn number(scan: &mut Scan<'_>, column: &mut Column) -> Scanned<Option<Column>> {
    let number = scan.number()?;
    if number.integer {
        return Ok(match number.text.parse() {
            Ok(value) => integer(column, value, number.text),
            Err(_) => push_text(column, number.text),
        });
    }
    let value: f64 = number.text.parse().map_err(|_| Fault::Value { want: "want a number" })?;
    Ok(if value.is_finite() { float(column, value, number.text) } else { push_text(column, number.text) })
}

fn integer(column: &mut Column, value: i64, text: &str) -> Option<Column> {
    match column {
        Column::Int64(c) => c.push(value),
        Column::Float64(c) if exact(value) => c.push(value as f64),
        Column::Null(rows) => {
            let mut ints = Numbers::<Int64Type>::default();
            (0..*rows).for_each(|_| ints.push_null());
            ints.push(value);
            return Some(std::mem::replace(column, Column::Int64(ints)));
        }
        _ => return push_text(column, text),
    }
    None
}

fn float(column: &mut Column, value: f64, text: &str) -> Option<Column> {
    let mut floats = Numbers::<Float64Type>::default();
    match column {
        Column::Float64(c) => {
            c.push(value);
            return None;
        }
        Column::Null(rows) => (0..*rows).for_each(|_| floats.push_null()),
        Column::Int64(c) if (0..c.len()).all(|row| c.get(row).is_none_or(exact)) => {
            for row in 0..c.len() {
                match c.get(row) {
                    Some(value) => floats.push(value as f64),
                    None => floats.push_null(),
                }
            }
        }
        _ => return push_text(column, text),
    }
    floats.push(value);
    Some(std::mem::replace(column, Column::Float64(floats)))
}

/// Whether a double holds the integer exactly, as it does every smaller one.
const fn exact(value: i64) -> bool {
    value.unsigned_abs() <= 1 << 53
}

fn boolean(column: &mut Column, value: bool) -> Option<Column> {
    match column {
        Column::Boolean(c) => c.push(Some(value)),
        Column::Null(rows) => {
            let mut booleans = Booleans::default();
            (0..*rows).for_each(|_| booleans.push(None));
            booleans.push(Some(value));
            return Some(std::mem::replace(column, Column::Boolean(booleans)));
        }
        _ => return push_text(column, if value { "true" } else { "false" }),
    }
    None
}

fn push_text(column: &mut Column, text: &str) -> Option<Column> {
    if let Column::Text(c) = column {
        c.push(text);
        return None;
    }
    let mut texts = Texts::default();
    for row in 0..column.len() {
        match printed(column, row) {
            Some(value) => texts.push(&value),
            None => texts.push_null(),
        }
    }
    texts.push(text);
    Some(std::mem::replace(column, Column::Text(texts)))
}

fn printed(column: &Column, row: usize) -> Option<String> {
    match column {
        Column::Int64(c) => Some(c.get(row)?.to_string()),
        Column::Boolean(c) => Some(c.get(row)?.to_string()),
        Column::Float64(c) => {
            let value = c.get(row)?;
            Some(if value.is_finite() { format!("{value:?}") } else { special_text(value).to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::datatypes::DataType;
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    fn infer(values: &[&str]) -> (DataType, String) {
        let mut column = Column::Null(1);
        for value in values {
            let mut scan = Scan::new(value.as_bytes(), 0).unwrap();
            let (rows, held) = (column.len(), column.data_type());
            if let Some(before) = read(&mut scan, &mut column, &mut String::new()).unwrap() {
                assert_eq!((before.len(), before.data_type()), (rows, held));
            }
            scan.end().unwrap();
        }
        let array = column.finish().unwrap();
        let options = FormatOptions::default().with_null("-");
        let format = ArrayFormatter::try_new(&*array, &options).unwrap();
        let rows: Vec<_> = (0..array.len()).map(|row| format.value(row).to_string()).collect();
        (array.data_type().clone(), rows.join("|"))
    }

    #[test]
    fn a_column_is_what_its_values_are() {
        for (values, data_type, rows) in [
            (&["1", "-9223372036854775808"][..], DataType::Int64, "-|1|-9223372036854775808"),
            (&["1", "2.5", "3"], DataType::Float64, "-|1.0|2.5|3.0"),
            (&["2.5", "\"NaN\"", "-Infinity"], DataType::Float64, "-|2.5|NaN|-inf"),
            (&["true", "false"], DataType::Boolean, "-|true|false"),
            (
                &["1", "\"x\"", "2", "2.50", "true", "[1, 2]", "{\"a\":1}"],
                DataType::Utf8,
                "-|1|x|2|2.50|true|[1, 2]|{\"a\":1}",
            ),
            (&["1", "true"], DataType::Utf8, "-|1|true"),
            (&["false", "1.0"], DataType::Utf8, "-|false|1.0"),
            (&["2.50", "NaN", "\"a\\n\""], DataType::Utf8, "-|2.5|NaN|a\n"),
            (&["18446744073709551615", "1"], DataType::Utf8, "-|18446744073709551615|1"),
            (&["9007199254740993", "0.5"], DataType::Utf8, "-|9007199254740993|0.5"),
            (&["0.5", "9007199254740993"], DataType::Utf8, "-|0.5|9007199254740993"),
            (&["1e999"], DataType::Utf8, "-|1e999"),
            (&["\"NaN\"", "1"], DataType::Utf8, "-|NaN|1"),
        ] {
            assert_eq!(infer(values), (data_type, rows.to_owned()), "{values:?}");
        }
    }
}
