//! [`Target`]: the type that a column gets, and its values in it. Nothing is rounded, cut or guessed: what does not fit is told.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use crate::columns::timestamp_type;
use crate::decimal::{fits, parse_number};
use crate::temporal::{Clamped, clamp_micros, parse_date, parse_timestamp};

const DAY_MICROS: i64 = 86_400_000_000;

/// A type that a column can get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Decimal(u8, i8),
    String,
    Date,
    /// Of texts; of numbers too, where their unit is said: so many microseconds has one, or so many of it a microsecond.
    Timestamp(Option<Unit>),
    Binary,
}

/// The unit of numbers that tell a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

/// A column in another type.
pub(super) struct Converted {
    pub(super) column: ArrayRef,
    /// The rows whose value does not fit; null there. `None`: all fit.
    pub(super) lost: Option<BooleanBuffer>,
}

impl Target {
    pub(super) const WANT: &str = "a type: boolean, int, long, float, double, decimal(P,S) with P up to 38, string, date, binary, timestamp, \
                                   or of numbers timestamp(s), timestamp(ms), timestamp(us) or timestamp(ns)";

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(')')?)),
            None => (text, None),
        };
        Some(match (name, arguments) {
            ("boolean", None) => Self::Boolean,
            ("int", None) => Self::Int,
            ("long", None) => Self::Long,
            ("float", None) => Self::Float,
            ("double", None) => Self::Double,
            ("string", None) => Self::String,
            ("date", None) => Self::Date,
            ("binary", None) => Self::Binary,
            ("timestamp", None) => Self::Timestamp(None),
            ("timestamp", Some(unit)) => Self::Timestamp(Some(Unit::parse(unit)?)),
            ("decimal", Some(arguments)) => {
                let (precision, scale) = arguments.split_once(',')?;
                let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
                let is_legal = (1..=38).contains(&precision) && (0..=precision.cast_signed()).contains(&scale);
                is_legal.then_some(Self::Decimal(precision, scale))?
            }
            _ => return None,
        })
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
            Self::String => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Timestamp(_) => timestamp_type(),
            Self::Binary => DataType::Binary,
        }
    }

    /// The column in this type; `None` where no column of its type can be that.
    pub(super) fn convert(self, column: &ArrayRef) -> Result<Option<Converted>, ArrowError> {
        let from = column.data_type();
        if *from == self.data_type() {
            return Ok(Some(Converted { column: Arc::clone(column), lost: None }));
        }
        let converted = match (from, self) {
            (from, _) if from.is_nested() => return Ok(None),
            (_, Self::String) => texts_of(column)?,
            (DataType::Utf8, Self::Binary) => cast(column, &DataType::Binary)?,
            (DataType::Date32, Self::Timestamp(_)) => {
                let days = column.as_primitive::<Date32Type>();
                each::<Date32Type, TimestampMicrosecondType>(days, |day| Some(i64::from(day) * DAY_MICROS))
            }
            (DataType::Timestamp(TimeUnit::Microsecond, _), Self::Date) => {
                let instants = column.as_primitive::<TimestampMicrosecondType>();
                let day = |micros: i64| i32::try_from(micros / DAY_MICROS).ok().filter(|_| micros % DAY_MICROS == 0);
                each::<TimestampMicrosecondType, Date32Type>(instants, day)
            }
            (DataType::Timestamp(..) | DataType::Date32 | DataType::Binary, _) | (_, Self::Binary) => return Ok(None),
            (DataType::Utf8, Self::Date | Self::Timestamp(_)) => self.of_texts(column.as_string()),
            (_, Self::Date | Self::Timestamp(None)) => return Ok(None),
            (DataType::Boolean, Self::Timestamp(_)) => return Ok(None),
            _ => self.of_texts(cast(column, &DataType::Utf8)?.as_string()),
        };
        let converted = with_type(converted, &self.data_type())?;
        let lost = lost(column, &converted);
        Ok(Some(Converted { column: converted, lost }))
    }

    fn of_texts(self, texts: &StringArray) -> ArrayRef {
        match self {
            Self::Boolean => Arc::new(texts.iter().map(|text| boolean(text?)).collect::<BooleanArray>()),
            Self::Int => parsed::<Int32Type>(texts, |text| i32::try_from(number(text, 0)?).ok()),
            Self::Long => parsed::<Int64Type>(texts, |text| i64::try_from(number(text, 0)?).ok()),
            Self::Float => parsed::<Float32Type>(texts, |text| {
                let exact = |whole: i128| (whole as f32) as i128 == whole;
                let read = fraction(text, &exact).and_then(|text| text.parse::<f32>().ok());
                read.filter(|value| value.is_finite() || !is_number(text))
            }),
            Self::Double => parsed::<Float64Type>(texts, |text| {
                let exact = |whole: i128| (whole as f64) as i128 == whole;
                let read = fraction(text, &exact).and_then(|text| text.parse::<f64>().ok());
                read.filter(|value| value.is_finite() || !is_number(text))
            }),
            Self::Decimal(precision, scale) => parsed::<Decimal128Type>(texts, |text| {
                number(text, scale.cast_unsigned()).filter(|value| fits(*value, precision))
            }),
            Self::Date => parsed::<Date32Type>(texts, |text| parse_date(text.as_bytes()).map(|day| day.value)),
            Self::Timestamp(unit) => parsed::<TimestampMicrosecondType>(texts, |text| instant(text, unit)),
            Self::String | Self::Binary => Arc::new(texts.clone()),
        }
    }
}

impl Unit {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "s" => Self::Seconds,
            "ms" => Self::Millis,
            "us" => Self::Micros,
            "ns" => Self::Nanos,
            _ => return None,
        })
    }

    /// Digits below the microsecond are cut, as everywhere.
    fn micros(self, count: i128) -> Option<i128> {
        match self {
            Self::Seconds => count.checked_mul(1_000_000),
            Self::Millis => count.checked_mul(1000),
            Self::Micros => Some(count),
            Self::Nanos => Some(count.div_euclid(1000)),
        }
    }
}

/// The texts of values; binary ones that are none are null. Arrow names no zone that it has no history of, so that it is told the offset.
fn texts_of(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(instants) => cast(&instants.clone().with_timezone("+00:00"), &DataType::Utf8),
        None => cast(column, &DataType::Utf8),
    }
}

fn each<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    values: &PrimitiveArray<A>,
    convert: impl Fn(A::Native) -> Option<B::Native>,
) -> ArrayRef {
    Arc::new(values.iter().map(|value| convert(value?)).collect::<PrimitiveArray<B>>())
}

fn parsed<T: ArrowPrimitiveType>(texts: &StringArray, parse: impl Fn(&str) -> Option<T::Native>) -> ArrayRef {
    Arc::new(texts.iter().map(|text| parse(text?.trim())).collect::<PrimitiveArray<T>>())
}

/// The same values under a type of the same form.
fn with_type(column: ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match to {
        DataType::Decimal128(precision, scale) => {
            let decimals = column.as_primitive::<Decimal128Type>().clone();
            Ok(Arc::new(decimals.with_precision_and_scale(*precision, *scale)?))
        }
        DataType::Timestamp(..) => {
            let instants: TimestampMicrosecondArray = column.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(instants.with_timezone("UTC")))
        }
        _ => Ok(column),
    }
}

/// The rows that had a value and have none.
fn lost(before: &ArrayRef, after: &ArrayRef) -> Option<BooleanBuffer> {
    if before.null_count() == after.null_count() {
        return None;
    }
    Some(BooleanBuffer::collect_bool(before.len(), |row| before.is_valid(row) && after.is_null(row)))
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "1" => Some(true),
        "0" => Some(false),
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A number of this scale; booleans are 1 and 0.
fn number(text: &str, scale: u8) -> Option<i128> {
    match text {
        "true" => number("1", scale),
        "false" => number("0", scale),
        text => parse_number(text, scale).filter(|_| is_number(text)),
    }
}

/// Whether the text is a number: digits, with or without sign, point and exponent.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(fraction) && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

/// A number that is read as the nearest fraction; a whole one must be exact.
fn fraction<'a>(text: &'a str, exact: &dyn Fn(i128) -> bool) -> Option<&'a str> {
    match text {
        "NaN" | "Infinity" | "-Infinity" => Some(text),
        "true" => Some("1"),
        "false" => Some("0"),
        // What has digits behind the point is the nearest anyway.
        _ if is_number(text) => Some(text).filter(|text| text.contains('.') || parse_number(text, 0).is_none_or(exact)),
        _ => None,
    }
}

/// An instant: a date and time, a date alone, or a number of a unit.
fn instant(text: &str, unit: Option<Unit>) -> Option<i64> {
    if let Some(unit) = unit {
        let micros = unit.micros(number(text, 0)?)?;
        return Some(clamp_micros(micros).value);
    }
    let midnight = |day: Clamped<i32>| i64::from(day.value) * DAY_MICROS;
    parse_timestamp(text.as_bytes(), false)
        .map(|instant| instant.value)
        .or_else(|| parse_date(text.as_bytes()).map(midnight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int64Array};

    /// The texts of a column after its conversion: `-` where null, `!` where a value was lost.
    fn converted(column: ArrayRef, to: &str) -> Option<Vec<String>> {
        let converted = Target::parse(to).unwrap().convert(&column).unwrap()?;
        assert_eq!(converted.column.data_type(), &Target::parse(to).unwrap().data_type());
        let texts = texts_of(&converted.column).unwrap();
        let text = |row| match (texts.is_valid(row), converted.lost.as_ref().is_some_and(|lost| lost.value(row))) {
            (true, false) => texts.as_string::<i32>().value(row).to_owned(),
            (false, lost) => if lost { "!" } else { "-" }.to_owned(),
            (true, true) => panic!("lost and there"),
        };
        Some((0..texts.len()).map(text).collect())
    }

    fn texts<const N: usize>(values: [&str; N]) -> ArrayRef {
        Arc::new(StringArray::from_iter(values.into_iter().map(|value| (value != "-").then_some(value))))
    }

    #[test]
    fn texts_become_what_they_say_or_are_lost() {
        for (to, from, expected) in [
            ("int", texts(["5", " -7 ", "2147483648", "5.0", "5.5", "x", "", "-"]), "5 -7 ! 5 ! ! ! -"),
            ("long", texts(["9223372036854775807", "9223372036854775808", "1e3"]), "9223372036854775807 ! 1000"),
            (
                "double",
                texts(["0.5", "9007199254740993", "9007199254740992", "NaN", "nan", "1e400"]),
                "0.5 ! 9007199254740992.0 NaN ! !",
            ),
            ("decimal(5,2)", texts(["1.5", "999.99", "1000", "1.555", "."]), "1.50 999.99 ! ! !"),
            ("boolean", texts(["true", "F", "0", "FALSE", "1"]), "true ! false false true"),
            ("date", texts(["2024-02-29", "2023-02-29", "infinity"]), "2024-02-29 ! 9999-12-31"),
            (
                "timestamp",
                texts(["2024-01-01 10:00:00.5", "2024-01-01", "10:00"]),
                "2024-01-01T10:00:00.500Z 2024-01-01T00:00:00Z !",
            ),
            ("timestamp(ms)", texts(["1000", "x"]), "1970-01-01T00:00:01Z !"),
            ("binary", texts(["a", "-"]), "a -"),
        ] {
            let expected: Vec<&str> = expected.split(' ').collect();
            assert_eq!(converted(from, to).unwrap(), expected, "{to}");
        }
    }

    #[test]
    fn numbers_and_times_lose_nothing_in_silence() {
        let longs = || Arc::new(Int64Array::from(vec![Some(1_700_000_000), Some(1 << 40), None])) as ArrayRef;
        assert_eq!(converted(longs(), "int").unwrap(), ["1700000000", "!", "-"]);
        assert_eq!(converted(longs(), "timestamp(s)").unwrap()[0], "2023-11-14T22:13:20Z");
        assert_eq!(converted(longs(), "string").unwrap(), ["1700000000", "1099511627776", "-"]);
        assert_eq!(converted(longs(), "decimal(12,1)").unwrap(), ["1700000000.0", "!", "-"]);
        assert_eq!(converted(longs(), "float").unwrap(), ["1700000000.0", "1099511600000.0", "-"]);
        for to in ["timestamp", "date", "binary"] {
            assert!(converted(longs(), to).is_none(), "{to}");
        }
        let fractions: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 2.0, f64::NAN]));
        assert_eq!(converted(Arc::clone(&fractions), "int").unwrap(), ["!", "2", "!"]);
        assert_eq!(converted(fractions, "decimal(3,1)").unwrap(), ["0.1", "2.0", "!"]);
        let decimals = Decimal128Array::from(vec![1250, 1255]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(converted(Arc::new(decimals), "decimal(10,1)").unwrap(), ["12.5", "!"]);
        let instants: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-DAY_MICROS, 1]).with_timezone("UTC"));
        assert_eq!(converted(Arc::clone(&instants), "date").unwrap(), ["1969-12-31", "!"]);
        assert!(converted(instants, "long").is_none());
    }
}
