//! Folds batches into a table as a writer would, cell by cell, and compares cells with the database's own values.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::*;
use hudi_core::change::{ChangeBatch, Op};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Float32(f32),
    Text(String),
    Bytes(Vec<u8>),
    Date(i32),
    Timestamp(i64),
    Decimal(String),
    List(Vec<Cell>),
    Struct(BTreeMap<String, Cell>),
}

pub(crate) fn cell(array: &ArrayRef, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => Cell::Float32(array.as_primitive::<Float32Type>().value(row)),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(row).to_owned()),
        DataType::Date32 => Cell::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
            Cell::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Decimal128(..) => Cell::Decimal(array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Cell::List((0..items.len()).map(|i| cell(&items, i)).collect())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            Cell::Struct(fields.iter().zip(columns).map(|(f, c)| (f.name().clone(), cell(c, row))).collect())
        }
        other => panic!("no column is of type {other}"),
    }
}

#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) cells: BTreeMap<String, Cell>,
    order: Option<i64>,
    deleted: bool,
    pub(crate) op: Option<Op>,
}

/// A table: the newest change of each key, whatever it lacks taken from the stored row; of what is older than the last
/// truncate nothing.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<String, Row>,
    pub(crate) topic: String,
    truncated_at: Option<i64>,
}

impl Table {
    pub(crate) fn fold(&mut self, batch: &ChangeBatch, keep: impl Fn(usize) -> bool) {
        self.topic = batch.topic.to_string();
        batch.validate().unwrap();
        let schema = batch.rows.schema();
        let orders = batch.orders.as_primitive::<Int64Type>();
        for row in (0..batch.num_rows()).filter(|row| keep(*row)) {
            let order = (!orders.is_null(row)).then(|| orders.value(row));
            if batch.ops[row] == Op::Truncate {
                self.truncate(order);
                continue;
            }
            if order.is_some() && order < self.truncated_at {
                continue;
            }
            let read = |name: &str| cell(batch.rows.column_by_name(name).unwrap(), row);
            let key = batch.key_columns.iter().map(|name| format!("{:?}", read(name))).collect::<Vec<_>>().join("/");
            assert!(!key.is_empty() && !key.contains("Null"), "{key} {}", batch.origin(row));
            let stored = self.rows.entry(key).or_default();
            if order.is_some() && stored.order > order {
                continue;
            }
            stored.order = stored.order.max(order);
            stored.deleted = batch.ops[row] == Op::Delete;
            stored.op = Some(batch.ops[row]);
            for (i, field) in schema.fields().iter().enumerate() {
                if batch.unsent[i].as_ref().is_none_or(|mask| !mask.value(row)) {
                    stored.cells.insert(field.name().clone(), cell(batch.rows.column(i), row));
                } else {
                    assert!(batch.rows.column(i).is_null(row));
                    stored.cells.entry(field.name().clone()).or_insert(Cell::Null);
                }
            }
        }
    }

    fn truncate(&mut self, order: Option<i64>) {
        self.rows.retain(|_, row| row.order > order);
        self.truncated_at = self.truncated_at.max(order);
    }

    pub(crate) fn alive(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(|row| !row.deleted)
    }
}

/// What a capture cannot bring to the truth, as its README says: upstream's loss.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Losses {
    /// Decimals came as doubles.
    pub(crate) doubles: bool,
    /// Milliseconds only, and no time beyond a day (Connect's own types).
    pub(crate) millis: bool,
    /// `24:00:00` came as `00:00:00Z`.
    pub(crate) iso: bool,
    /// MariaDB: years 0 to 99 were moved to 1970 to 2069.
    pub year_adjusted: bool,
    /// MariaDB: unsigned integers above 2^63 - 1 wrapped.
    pub(crate) wrapped: bool,
    /// Binary columns came as text: hexadecimal, or base64.
    pub(crate) hex: bool,
    pub base64: bool,
}

const MIN_DAY: i64 = -719_162;
const MAX_DAY: i64 = 2_932_896;

/// Whether a cell is what the database held. `column` is named where the truth's text needs reading.
pub(crate) fn matches(column: &str, truth: &Value, cell: &Cell, op: Option<Op>, losses: Losses) -> bool {
    let text = truth.as_str();
    match (truth, cell) {
        (Value::Null, cell) => *cell == Cell::Null,
        // MariaDB: there is no such day.
        (Value::String(t), Cell::Null) if t.starts_with("0000-00-00") => true,
        // MariaDB, Connect's own types: a TIME outside of a day is null.
        (_, Cell::Null) => {
            losses.millis && text.and_then(time_micros).is_some_and(|t| !(0..86_400_000_000).contains(&t))
        }
        (Value::Bool(t), Cell::Bool(c)) => t == c,
        (Value::Number(t), Cell::Int(c)) if losses.wrapped && t.is_u64() => t.as_u64() == Some(c.cast_unsigned()),
        (Value::Number(t), Cell::Int(c)) => t.as_i64() == Some(*c),
        (Value::Number(t), Cell::Bool(c)) => t.as_i64() == Some(i64::from(*c)),
        // Unsigned, as `precise` decimal.
        (Value::Number(t), Cell::Decimal(c)) => t.to_string() == *c,
        (Value::Number(t), Cell::Float(c)) => t.as_f64() == Some(*c),
        (Value::Number(t), Cell::Float32(c)) => t.as_f64().map(|t| t as f32) == Some(*c),
        (Value::String(t), Cell::Float(c)) if special(t).is_some() => same_special(t, *c),
        (Value::String(t), Cell::Float32(c)) if special(t).is_some() => same_special(t, f64::from(*c)),
        (Value::String(t), Cell::Float(c)) => losses.doubles && plain_number(t).parse() == Ok(*c),
        (Value::String(t), Cell::Decimal(c)) => t == c,
        (Value::String(t), Cell::Bool(c)) => t == if *c { "1" } else { "0" },
        (Value::String(t), Cell::Bytes(c)) if column.starts_with("c_bit") || column == "c_varbit" => {
            bits(t) == little_endian(c)
        }
        (Value::String(t), Cell::Bytes(c)) => *t == base64(c),
        (Value::String(t), Cell::Date(c)) => dates(t, op, losses).contains(&i64::from(*c)),
        (Value::String(t), Cell::Timestamp(c)) => timestamp(t, losses) == Some(*c),
        // The connector adds the parts as doubles, and cuts.
        (Value::String(t), Cell::Int(c)) if column == "c_interval" => {
            interval(t).map(as_micros).is_some_and(|micros| micros.abs_diff(*c) <= 1)
        }
        (Value::String(t), Cell::Int(c)) => time(t, losses) == Some(*c),
        (Value::String(t), Cell::Text(c)) => text_matches(column, t, c, losses),
        (Value::Object(_), Cell::Text(c)) => serde_json::from_str::<Value>(c).is_ok_and(|c| c == *truth),
        (Value::Array(t), Cell::List(c)) => {
            t.len() == c.len() && t.iter().zip(c).all(|(t, c)| matches(column, t, c, op, losses))
        }
        (Value::String(t), Cell::Struct(c)) => match (&c["x"], &c["y"]) {
            (Cell::Float(x), Cell::Float(y)) => *t == format!("({x},{y})"),
            _ => false,
        },
        _ => false,
    }
}

fn text_matches(column: &str, truth: &str, cell: &str, losses: Losses) -> bool {
    match column {
        // char(n): the wire has the padding.
        "c_char" | "tier" => truth.trim_end_matches(' ') == cell.trim_end_matches(' '),
        "c_money" => plain_number(truth) == cell,
        // `numeric` without scale: zeros at the end are gone.
        "c_num_free" => trimmed(truth) == trimmed(cell),
        // `time with time zone`: the wire moved it to UTC.
        "c_timetz" => utc_time(truth) == time_micros(cell.trim_end_matches('Z')),
        "c_interval" => interval(truth) == interval(cell),
        "c_bytea" | "big_bytes" if losses.hex => {
            from_base64(truth).iter().map(|b| format!("{b:02x}")).collect::<String>() == cell
        }
        "c_binary" | "c_varbinary" | "c_blob" => losses.base64 && truth == cell,
        _ => truth == cell,
    }
}

fn special(text: &str) -> Option<f64> {
    ["NaN", "Infinity", "-Infinity"].contains(&text).then(|| text.parse().unwrap())
}

fn same_special(truth: &str, cell: f64) -> bool {
    special(truth).is_some_and(|t| t == cell || (t.is_nan() && cell.is_nan()))
}

/// Money as the database prints it, and decimals, to digits.
fn plain_number(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '$' | ',')).collect()
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn from_base64(text: &str) -> Vec<u8> {
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

/// Bit strings as numbers: the wire may drop zero bytes at the end.
fn bits(text: &str) -> u128 {
    if text.is_empty() { 0 } else { u128::from_str_radix(text, 2).unwrap() }
}

fn little_endian(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |all, byte| all << 8 | u128::from(*byte))
}

/// The days that a date may have come as.
fn dates(text: &str, op: Option<Op>, losses: Losses) -> Vec<i64> {
    let Some(day) = day(text, losses) else { return vec![] };
    let mut days = vec![day.clamp(MIN_DAY, MAX_DAY)];
    // PostgreSQL, snapshot rows: the era of a date BC is lost (`0044-03-15 BC` comes as 0044-03-15).
    if op == Some(Op::Snapshot)
        && let Some((year, rest)) = text.strip_prefix('-').and_then(|t| t.split_once('-'))
    {
        let year: i64 = year.parse().unwrap();
        days.push(civil(&format!("{:04}-{rest}", year + 1)).unwrap());
    }
    days
}

/// Days since 1970. Infinite: beyond the ends, to which the decoder moves everything outside.
fn day(text: &str, losses: Losses) -> Option<i64> {
    match text {
        "infinity" => Some(i64::MAX),
        "-infinity" => Some(i64::MIN),
        _ if losses.year_adjusted && text.starts_with("00") => {
            let year: i64 = text[..4].parse().unwrap();
            civil(&format!("{}{}", if year < 70 { year + 2000 } else { year + 1900 }, &text[4..]))
        }
        _ => civil(text),
    }
}

fn civil(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |t| (-1, t));
    let mut parts = text.split('-').map(|part| part.parse::<i32>());
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let date = chrono::NaiveDate::from_ymd_opt(sign * year, month.try_into().ok()?, day.try_into().ok()?)?;
    Some(chrono::Datelike::num_days_from_ce(&date).into()).map(|days: i64| days - 719_163)
}

fn timestamp(text: &str, losses: Losses) -> Option<i64> {
    // Instants come as text, with all their digits.
    let (text, millis) = text.strip_suffix('Z').map_or((text, losses.millis), |text| (text, false));
    let micros = match text.split_once('T') {
        Some((date, time)) => {
            let zoned = i128::from(day(date, losses)?) * 86_400_000_000 + i128::from(time_micros(time)?);
            if millis { zoned.div_euclid(1000) * 1000 } else { zoned }
        }
        None => i128::from(day(text, losses)?) * 86_400_000_000,
    };
    let (min, max) = (i128::from(MIN_DAY) * 86_400_000_000, i128::from(MAX_DAY + 1) * 86_400_000_000 - 1);
    i64::try_from(micros.clamp(min, max)).ok()
}

fn time(text: &str, losses: Losses) -> Option<i64> {
    let micros = time_micros(text)?;
    Some(match micros {
        86_400_000_000 if losses.iso => 0,
        micros if losses.millis => micros.div_euclid(1000) * 1000,
        micros => micros,
    })
}

/// `HH:MM:SS.ffffff`, hours of any size, either sign.
fn time_micros(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |t| (-1, t));
    let mut parts = text.splitn(3, ':');
    let (hours, minutes): (i64, i64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (seconds, fraction) = parts.next()?.split_once('.').unwrap_or_else(|| (text.rsplit(':').next().unwrap(), "0"));
    let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some(sign * (((hours * 60 + minutes) * 60 + seconds.parse::<i64>().ok()?) * 1_000_000 + fraction))
}

/// A time with its offset, as PostgreSQL prints it, in UTC.
fn utc_time(text: &str) -> Option<i64> {
    let at = text.rfind(['+', '-'])?;
    let (hours, minutes) = text[at + 1..].split_once(':').unwrap_or((&text[at + 1..], "0"));
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<f64>().ok()? as i64;
    let offset = if text[at..].starts_with('-') { -minutes } else { minutes } * 60_000_000;
    Some((time_micros(&text[..at])? - offset).rem_euclid(86_400_000_000))
}

/// Months, days, microseconds of an ISO 8601 duration with a sign for each part.
fn interval(text: &str) -> Option<[i128; 3]> {
    let mut parts = [0; 3];
    let (mut number, mut in_time) = (String::new(), false);
    for c in text.strip_prefix('P')?.chars() {
        match c {
            'T' => in_time = true,
            '0'..='9' | '-' | '.' => number.push(c),
            unit => {
                let (place, factor) = match (unit, in_time) {
                    ('Y', _) => (0, 12),
                    ('M', false) => (0, 1),
                    ('D', _) => (1, 1),
                    ('H', _) => (2, 3_600_000_000),
                    ('M', true) => (2, 60_000_000),
                    ('S', _) => (2, 1_000_000),
                    _ => return None,
                };
                let (whole, fraction) = number.split_once('.').unwrap_or((&number, "0"));
                let fraction: i128 = format!("{fraction:0<6}").parse().ok()?;
                let sign = if number.starts_with('-') { -1 } else { 1 };
                parts[place] += whole.parse::<i128>().ok()? * factor + sign * if unit == 'S' { fraction } else { 0 };
                number.clear();
            }
        }
    }
    Some(parts)
}

/// The interval in the connector's default mode: a month is a twelfth of 365.25 days.
fn as_micros([months, days, micros]: [i128; 3]) -> i64 {
    i64::try_from(months * 2_629_800_000_000 + days * 86_400_000_000 + micros).unwrap()
}
