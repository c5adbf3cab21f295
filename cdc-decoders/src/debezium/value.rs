//! One JSON value into one column, as its [`Reading`] says.
//!
//! What does not fit is refused: nothing is guessed. Not here: what a value means once it is read ([`crate::conversion`]).

use super::inferred;
use super::plan::{FieldPlan, Reading};
use crate::columns::{Binaries, Column, Lists, Maps, Structs, Texts};
use crate::conversion::{self, Ledger, want};
use crate::decimal;
use crate::scan::{Fault, Scan, Scanned};
use crate::temporal;

/// Reads values; holds what they share.
#[derive(Debug, Default)]
pub(crate) struct Values {
    scratch: String,
    bytes: Vec<u8>,
    pub(crate) ledger: Ledger,
    /// What an inferred column was before the last value widened it.
    pub(crate) replaced: Option<Column>,
}

impl Values {
    /// Appends the value that is next in `scan`. On an error the column may hold part of a row.
    #[inline]
    pub(crate) fn read(&mut self, scan: &mut Scan<'_>, reading: &Reading, column: &mut Column) -> Scanned<()> {
        if scan.null()? {
            column.push_null();
            return Ok(());
        }
        match (reading, column) {
            (Reading::Inferred, column) | (Reading::Mixed, column @ Column::Text(_)) => {
                if let Some(before) = inferred::read(scan, column, &mut self.scratch)? {
                    self.replaced = Some(before);
                }
            }
            (Reading::Int32, Column::Int32(c)) => c.push(int32(scan)?),
            (Reading::Int64, Column::Int64(c)) => c.push(scan.integer()?),
            (Reading::Text, Column::Text(c)) => push_text(scan, c)?,
            (Reading::Boolean, Column::Boolean(c)) => c.push(Some(boolean(scan)?)),
            (Reading::Timestamp(unit), Column::Timestamp(c)) => {
                self.ledger.push_micros(c, conversion::timestamp(scan.integer()?, *unit));
            }
            (Reading::Decimal { precision, scale }, Column::Decimal(c, ..)) => {
                c.push(self.decimal(scan, *precision, *scale)?);
            }
            (Reading::ZonedTimestamp, Column::Timestamp(c)) => {
                let read = self.parsed(scan, conversion::zoned_timestamp)?;
                self.ledger.push_micros(c, read);
            }
            (Reading::Float64, Column::Float64(c)) => c.push(self.float64(scan)?),
            (Reading::Float32, Column::Float32(c)) => c.push(self.float32(scan)?),
            (Reading::Date, Column::Date(c)) => {
                self.ledger.push_day(c, temporal::clamp_day(scan.integer()?));
            }
            (Reading::Micros(unit), Column::Int64(c)) => c.push(conversion::micros(scan.integer()?, *unit)?),
            (Reading::Bytes, Column::Binary(c)) => self.push_base64(scan, c)?,
            (Reading::IsoDate, Column::Date(c)) => {
                let read = self.parsed(scan, conversion::iso_date)?;
                self.ledger.push_day(c, read);
            }
            (Reading::IsoTimestamp, Column::Timestamp(c)) => {
                let read = self.parsed(scan, conversion::iso_timestamp)?;
                self.ledger.push_micros(c, read);
            }
            (Reading::IsoTime, Column::Int64(c)) => c.push(self.parsed(scan, conversion::iso_time)?),
            (Reading::DecimalText { scale, trim }, Column::Text(c)) => self.decimal_text(scan, *scale, *trim, c)?,
            (Reading::VariableScaleDecimal, Column::Text(c)) => self.variable_scale(scan, c)?,
            (Reading::List(element), Column::List(c)) => self.list(scan, element, c)?,
            (Reading::Map(value), Column::Map(c)) => self.map(scan, value, c)?,
            (Reading::Struct(fields), Column::Struct(c)) => self.members(scan, fields, c)?,
            (Reading::Told(_), Column::Null(rows)) => {
                scan.skip()?;
                *rows += 1;
            }
            (Reading::Refused(_), _) => {
                return Err(Fault::Unusable {
                    why: "the type of the stored column needs a schema: declare one, or let the connector send it",
                });
            }
            _ => return Err(want("the column is of another type than its plan")),
        }
        Ok(())
    }

    fn parsed<T>(&mut self, scan: &mut Scan<'_>, parse: impl Fn(&[u8]) -> Scanned<T>) -> Scanned<T> {
        parse(string(scan)?.text(&mut self.scratch)?.as_bytes())
    }

    fn decimal(&mut self, scan: &mut Scan<'_>, precision: u8, scale: i8) -> Scanned<i128> {
        let value = if scan.peek() == b'"' {
            decimal::base64_i128(string(scan)?.text(&mut self.scratch)?.as_bytes())
        } else {
            decimal::parse_number(number(scan)?, scale.unsigned_abs())
        };
        value
            .filter(|value| decimal::fits(*value, precision))
            .ok_or(want("want base64 of an unscaled number, or a number, that has the column's digits and scale"))
    }

    fn decimal_text(&mut self, scan: &mut Scan<'_>, scale: i32, trim: bool, column: &mut Texts) -> Scanned<()> {
        if scan.peek() == b'"' {
            self.base64(scan)?;
            return self.ledger.push_plain(&self.bytes, scale, trim, column);
        }
        column.push(number(scan)?);
        Ok(())
    }

    /// `{"scale":…,"value":…}`, in any order.
    fn variable_scale(&mut self, scan: &mut Scan<'_>, column: &mut Texts) -> Scanned<()> {
        const WANT: Fault = want("want an object of a decimal's `scale` and `value`");
        if scan.peek() != b'{' {
            return mismatch(scan, WANT);
        }
        scan.expect(b'{', "want an object")?;
        let (mut scale, mut value, mut first) = (None, false, true);
        while scan.member(first)? {
            first = false;
            match scan.key()?.raw {
                "scale" if scale.is_none() => scale = Some(int32(scan)?),
                "value" if !value => {
                    self.base64(scan)?;
                    value = true;
                }
                _ => return Err(WANT),
            }
        }
        match scale.filter(|_| value) {
            Some(scale) => self.ledger.push_plain(&self.bytes, scale, false, column),
            None => Err(WANT),
        }
    }

    fn base64(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        self.bytes.clear();
        append_base64(string(scan)?.text(&mut self.scratch)?, &mut self.bytes)
    }

    fn push_base64(&mut self, scan: &mut Scan<'_>, column: &mut Binaries) -> Scanned<()> {
        append_base64(string(scan)?.text(&mut self.scratch)?, column.open())?;
        column.close();
        Ok(())
    }

    fn float64(&mut self, scan: &mut Scan<'_>) -> Scanned<f64> {
        if let Some(special) = self.special_float(scan)? {
            return Ok(special);
        }
        let value: f64 = number(scan)?.parse().map_err(|_| want("want a number"))?;
        if value.is_finite() { Ok(value) } else { Err(want("want a number within double precision")) }
    }

    fn float32(&mut self, scan: &mut Scan<'_>) -> Scanned<f32> {
        if let Some(special) = self.special_float(scan)? {
            return Ok(special as f32);
        }
        let value: f32 = number(scan)?.parse().map_err(|_| want("want a number"))?;
        if value.is_finite() { Ok(value) } else { Err(want("want a number within single precision")) }
    }

    /// NaN and the infinities, quoted as Java's converter writes them, or bare.
    fn special_float(&mut self, scan: &mut Scan<'_>) -> Scanned<Option<f64>> {
        match scan.peek() {
            b'"' => match inferred::special_float(string(scan)?.text(&mut self.scratch)?) {
                Some(value) => Ok(Some(value)),
                None => Err(want("want a number")),
            },
            b'N' | b'I' | b'-' => Ok(scan.bare_non_number()),
            _ => Ok(None),
        }
    }

    fn list(&mut self, scan: &mut Scan<'_>, element: &Reading, column: &mut Lists) -> Scanned<()> {
        if scan.peek() != b'[' {
            return mismatch(scan, want("want an array"));
        }
        scan.expect(b'[', "want an array")?;
        let mut first = true;
        while scan.element(first)? {
            first = false;
            self.read(scan, element, column.open())?;
        }
        column.close();
        Ok(())
    }

    fn map(&mut self, scan: &mut Scan<'_>, value: &Reading, column: &mut Maps) -> Scanned<()> {
        match scan.peek() {
            b'{' => self.map_object(scan, value, column)?,
            b'[' => self.map_pairs(scan, value, column)?,
            _ => return mismatch(scan, want("want an object, or an array of pairs")),
        }
        column.close();
        Ok(())
    }

    fn map_object(&mut self, scan: &mut Scan<'_>, value: &Reading, column: &mut Maps) -> Scanned<()> {
        scan.expect(b'{', "want an object")?;
        let mut first = true;
        while scan.member(first)? {
            first = false;
            let key = scan.key()?;
            let (keys, values) = column.open();
            key.unescape_into(keys.open())?;
            keys.close();
            self.read(scan, value, values)?;
        }
        Ok(())
    }

    /// A map whose keys are no text: they become text.
    fn map_pairs(&mut self, scan: &mut Scan<'_>, value: &Reading, column: &mut Maps) -> Scanned<()> {
        const WANT: Fault = want("want pairs of key and value");
        scan.expect(b'[', "want an array")?;
        let mut first = true;
        while scan.element(first)? {
            first = false;
            scan.expect(b'[', "want pairs of key and value")?;
            let (keys, values) = column.open();
            match scan.peek() {
                b'"' => push_text(scan, keys)?,
                b'{' | b'[' | b'n' | b']' => return Err(WANT),
                _ => {
                    let from = scan.at();
                    scan.skip()?;
                    keys.push(scan.since(from));
                }
            }
            scan.expect(b',', "want pairs of key and value")?;
            self.read(scan, value, values)?;
            scan.expect(b']', "want pairs of key and value")?;
        }
        Ok(())
    }

    fn members(&mut self, scan: &mut Scan<'_>, fields: &[FieldPlan], column: &mut Structs) -> Scanned<()> {
        if scan.peek() != b'{' {
            return mismatch(scan, want("want an object"));
        }
        scan.expect(b'{', "want an object")?;
        let (row, mut next) = (column.len(), 0);
        while scan.member(next == 0)? {
            let name = scan.key()?;
            let name = name.text(&mut self.scratch)?;
            let is = |i: &usize| fields.get(*i).is_some_and(|f| f.source_name == name);
            let place = Some(next).filter(is).or_else(|| (0..fields.len()).find(is));
            let place = place.ok_or(want("the object has a member that its schema has not"))?;
            next = place + 1;
            let member = &mut column.open()[place];
            if member.len() > row {
                return Err(want("the object has a member twice"));
            }
            self.read(scan, &fields[place].reading, member)?;
        }
        column.close();
        Ok(())
    }
}

/// A value of another JSON type: what is wrong with the text comes first.
fn mismatch<T>(scan: &mut Scan<'_>, fault: Fault) -> Scanned<T> {
    scan.skip()?;
    Err(fault)
}

#[inline]
fn string<'a>(scan: &mut Scan<'a>) -> Scanned<crate::scan::Str<'a>> {
    if scan.peek() == b'"' { scan.string() } else { mismatch(scan, want("want text")) }
}

fn number<'a>(scan: &mut Scan<'a>) -> Scanned<&'a str> {
    if matches!(scan.peek(), b'-' | b'0'..=b'9') {
        scan.number().map(|number| number.text)
    } else {
        mismatch(scan, want("want a number"))
    }
}

#[inline]
fn push_text(scan: &mut Scan<'_>, column: &mut Texts) -> Scanned<()> {
    let text = string(scan)?;
    if text.escaped {
        text.unescape_into(column.open())?;
        column.close();
    } else {
        column.push(text.raw);
    }
    Ok(())
}

#[inline]
fn int32(scan: &mut Scan<'_>) -> Scanned<i32> {
    conversion::int32(scan.integer()?)
}

#[inline]
fn boolean(scan: &mut Scan<'_>) -> Scanned<bool> {
    match scan.peek() {
        b't' => scan.literal(b"true").map(|()| true),
        b'f' => scan.literal(b"false").map(|()| false),
        _ => mismatch(scan, want("want true or false")),
    }
}

fn append_base64(text: &str, out: &mut Vec<u8>) -> Scanned<()> {
    base64_simd::STANDARD.decode_append(text, out).map_err(|_| want("want base64 with padding"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Unit;
    use crate::temporal::{MAX_MICROS, MIN_DAY};
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{DataType, TimestampMicrosecondType};
    use std::sync::Arc;

    use arrow::util::display::{ArrayFormatter, FormatOptions};

    /// What a value becomes, as Arrow prints it; `Err` says what is wanted.
    fn read(reading: &Reading, json: &str) -> Result<String, String> {
        let mut values = Values::default();
        let mut column = Column::new(&reading.data_type()).unwrap();
        let mut scan = Scan::new(json.as_bytes(), 0).unwrap();
        values.read(&mut scan, reading, &mut column).and_then(|()| scan.end()).map_err(|fault| format!("{fault:?}"))?;
        let mut array = column.finish().unwrap();
        assert_eq!(array.len(), 1);
        if let Some(timestamps) = array.as_primitive_opt::<TimestampMicrosecondType>() {
            array = Arc::new(timestamps.clone().with_timezone("+00:00"));
        }
        let options = FormatOptions::default().with_null("null");
        let text = ArrayFormatter::try_new(&*array, &options).unwrap().value(0).to_string();
        Ok(text)
    }

    #[track_caller]
    fn check(reading: &Reading, good: &[(&str, &str)], bad: &[&str]) {
        for (json, expected) in good {
            assert_eq!(read(reading, json).as_deref(), Ok(*expected), "{json}");
        }
        for json in bad {
            assert!(read(reading, json).is_err(), "{json}");
        }
        assert_eq!(read(reading, "null").as_deref(), Ok("null"));
    }

    #[test]
    fn plain_types() {
        check(&Reading::Boolean, &[("true", "true"), ("false", "false")], &["1", "\"true\"", "tru"]);
        check(
            &Reading::Int32,
            &[("-2147483648", "-2147483648"), ("0", "0")],
            &["2147483648", "1.0", "\"1\"", "true", "{}"],
        );
        check(
            &Reading::Int64,
            &[("9223372036854775807", "9223372036854775807")],
            &["9223372036854775808", "1e1", "[1]"],
        );
        check(&Reading::Text, &[(r#""a\u00e9\n""#, "aé\n"), ("\"\"", "")], &["1", "{}", "true", r#""\uD83D""#]);
        check(
            &Reading::Bytes,
            &[("\"AAE=\"", "0001"), ("\"\"", ""), (r#""AA\u0045=""#, "0001")],
            &["\"AAE\"", "\"AA=E\"", "\"A_E=\"", "\"AAF=\"", "1", "\"AAE= \""],
        );
    }

    #[test]
    fn floats() {
        let special = [
            ("\"NaN\"", "NaN"),
            ("NaN", "NaN"),
            ("\"Infinity\"", "inf"),
            ("-Infinity", "-inf"),
            ("5", "5.0"),
            ("-0.0", "-0.0"),
        ];
        check(&Reading::Float64, &special, &["1e999", "\"1\"", "\"nan\"", "true", "1."]);
        check(
            &Reading::Float64,
            &[("-4.755349842354579E8", "-475534984.2354579"), ("1.7976931348623157E308", "1.7976931348623157e308")],
            &[],
        );
        check(&Reading::Float32, &special, &["1e39", "\"x\""]);
        check(&Reading::Float32, &[("-1.4576001", "-1.4576001"), ("3.4028235E38", "3.4028235e38")], &[]);
    }

    #[test]
    fn dates() {
        check(
            &Reading::Date,
            &[
                ("19593", "2023-08-24"),
                ("-622191234", "9999-12-31"),
                ("-2147472692", "9999-12-31"),
                ("-735160", "0001-01-01"),
            ],
            &["\"2023-08-24\"", "1.5"],
        );
        check(
            &Reading::IsoDate,
            &[("\"2023-08-24Z\"", "2023-08-24"), ("\"+292278994-08-16Z\"", "9999-12-31")],
            &["19593", "\"2023-02-30\""],
        );
    }

    #[test]
    fn timestamps() {
        check(
            &Reading::Timestamp(Unit::Millis),
            &[
                ("1738215825000", "2025-01-30T05:43:45Z"),
                ("-1", "1969-12-31T23:59:59.999Z"),
                ("9223372036825200", "9999-12-31T23:59:59.999999Z"),
            ],
            &["\"x\""],
        );
        check(
            &Reading::Timestamp(Unit::Micros),
            &[("1732197132954446", "2024-11-21T13:52:12.954446Z"), ("-9223372036832400000", "0001-01-01T00:00:00Z")],
            &[],
        );
        check(
            &Reading::Timestamp(Unit::Nanos),
            &[("-1", "1969-12-31T23:59:59.999999Z"), ("1999", "1970-01-01T00:00:00.000001Z")],
            &[],
        );
        check(
            &Reading::ZonedTimestamp,
            &[
                ("\"2024-04-01T14:04:23.300125+02:00\"", "2024-04-01T12:04:23.300125Z"),
                ("\"infinity\"", "9999-12-31T23:59:59.999999Z"),
            ],
            &["\"2024-04-01T14:04:23\"", "5"],
        );
        check(
            &Reading::IsoTimestamp,
            &[
                ("\"2025-01-30T05:43:45Z\"", "2025-01-30T05:43:45Z"),
                ("\"+294247-01-10T04:00:25.2Z\"", "9999-12-31T23:59:59.999999Z"),
            ],
            &["\"now\""],
        );
        let mut values = Values::default();
        let mut column = Column::new(&DataType::Date32).unwrap();
        values.read(&mut Scan::new(b"-9999999", 0).unwrap(), &Reading::Date, &mut column).unwrap();
        assert_eq!(
            (values.ledger.clamped(), column.finish().unwrap().to_data().buffers()[0].typed_data::<i32>()),
            (1, &[MIN_DAY][..])
        );
        assert_eq!(MAX_MICROS % 1_000_000, 999_999);
    }

    #[test]
    fn times_and_durations() {
        check(&Reading::Micros(Unit::Millis), &[("35587896", "35587896000")], &["9223372036854775807"]);
        check(
            &Reading::Micros(Unit::Micros),
            &[("-3020399000000", "-3020399000000"), ("86400000000", "86400000000")],
            &["1.5"],
        );
        check(&Reading::Micros(Unit::Nanos), &[("-1", "-1"), ("1999", "1")], &[]);
        check(&Reading::IsoTime, &[("\"03:39:26.151593Z\"", "13166151593")], &["\"x\"", "1"]);
    }

    #[test]
    fn decimals() {
        check(
            &Reading::Decimal { precision: 5, scale: 2 },
            &[("\"AJY=\"", "1.50"), ("-1.5", "-1.50"), ("\"AYaf\"", "999.99"), ("0.001e1", "0.01")],
            &["\"AYag\"", "1000", "1.555", "\"x\"", "\"\"", "true", "\"AJY\""],
        );
        check(
            &Reading::DecimalText { scale: 2, trim: false },
            &[("\"AMyBRQM=\"", "34310238.75"), ("1.50", "1.50"), ("\"AA==\"", "0.00")],
            &["\"!\"", "{}"],
        );
        check(&Reading::DecimalText { scale: 4, trim: true }, &[("\"ATiA\"", "8"), ("\"AA==\"", "0")], &[]);
        check(
            &Reading::VariableScaleDecimal,
            &[(r#"{"scale":1,"value":"gw=="}"#, "-12.5"), (r#"{"value":"BQ==","scale":-3}"#, "5000")],
            &[
                "1.5",
                r#"{"scale":1}"#,
                r#"{"scale":1,"value":"gw==","x":1}"#,
                r#"{"scale":2000000000,"value":"gw=="}"#,
                r#"{"scale":1,"scale":1,"value":"gw=="}"#,
            ],
        );
    }

    #[test]
    fn nested_types() {
        check(
            &Reading::List(Box::new(Reading::Int32)),
            &[("[4,null,2147483647]", "[4, null, 2147483647]"), ("[]", "[]")],
            &["[1,\"x\"]", "{}", "[1,]", "1"],
        );
        check(
            &Reading::Map(Box::new(Reading::Text)),
            &[
                (r#"{"a":"1","nul":null}"#, "{a: 1, nul: null}"),
                (r#"[[1,"x"],["k",null]]"#, "{1: x, k: null}"),
                ("{}", "{}"),
            ],
            &["[1]", r#"{"a":1}"#, "[[null,\"x\"]]", "[[1,\"x\",2]]", "\"x\""],
        );
        let point = Reading::Struct(vec![FieldPlan::new("x", Reading::Float64), FieldPlan::new("s r", Reading::Int32)]);
        check(
            &point,
            &[
                (r#"{"x":1.5,"s r":2}"#, "{x: 1.5, s_r: 2}"),
                (r#"{"s r":2}"#, "{x: null, s_r: 2}"),
                ("{}", "{x: null, s_r: null}"),
            ],
            &[r#"{"y":1}"#, r#"{"x":1,"x":2}"#, "[]", r#"{"x":"1"}"#],
        );
    }
}
