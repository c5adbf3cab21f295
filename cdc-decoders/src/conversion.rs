//! What numbers, texts and bytes on the wire become, the same in every syntax: dates, timestamps, times, decimals.
//!
//! What does not fit is refused: nothing wraps, nothing is rounded (but digits below the microsecond, toward minus infinity).
//! Dates and timestamps that no table can hold are moved to the ends and counted. Not here: how a syntax spells a value.

use arrow::datatypes::{Date32Type, TimestampMicrosecondType};

use crate::columns::{Numbers, Texts};
use crate::decimal;
use crate::fault::{Fault, Scanned};
use crate::plan::Unit;
use crate::temporal::{self, Clamped};

/// The most text that the decimals of one message may become: a few bytes of one can become 200,000 letters.
const MAX_PLAIN_BYTES: usize = 16 << 20;

pub(crate) const fn want(want: &'static str) -> Fault {
    Fault::Value { want }
}

/// Counts what conversions did that the values do not show: dates and timestamps that were moved to the ends, and the text that
/// decimals became.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    clamped: u64,
    /// As it was at [`Self::begin`].
    before: u64,
    /// Text of decimals since then.
    plain_bytes: usize,
}

impl Ledger {
    /// Dates and timestamps that were moved to the ends.
    pub(crate) const fn clamped(&self) -> u64 {
        self.clamped
    }

    /// Bytes of text that the message's decimals became.
    pub(crate) const fn plain_bytes(&self) -> usize {
        self.plain_bytes
    }

    /// From here on [`Self::roll_back`] takes everything back.
    pub(crate) const fn begin(&mut self) {
        (self.before, self.plain_bytes) = (self.clamped, 0);
    }

    pub(crate) const fn roll_back(&mut self) {
        self.clamped = self.before;
    }

    pub(crate) fn push_day(&mut self, column: &mut Numbers<Date32Type>, day: Clamped<i32>) {
        self.clamped += u64::from(day.moved);
        column.push(day.value);
    }

    #[inline]
    pub(crate) fn push_micros(&mut self, column: &mut Numbers<TimestampMicrosecondType>, micros: Clamped<i64>) {
        self.clamped += u64::from(micros.moved);
        column.push(micros.value);
    }

    /// Appends the plain text of a signed big-endian number times ten to `-scale`. `trim` drops zeros at the end of the fraction.
    pub(crate) fn push_plain(&mut self, big_endian: &[u8], scale: i32, trim: bool, column: &mut Texts) -> Scanned<()> {
        let out = column.open();
        let start = out.len();
        decimal::push_plain(big_endian, scale, out).ok_or(want("want a decimal of a scale below 200,000"))?;
        self.plain_bytes += out.len() - start;
        if self.plain_bytes > MAX_PLAIN_BYTES {
            return Err(want("the decimals of the message have more than 16 million digits in all"));
        }
        if trim && out[start..].contains('.') {
            let kept = out.trim_end_matches('0').trim_end_matches('.').len();
            out.truncate(kept);
        }
        column.close();
        Ok(())
    }
}

/// A timestamp in a column's unit, within the ends.
#[inline]
pub(crate) fn timestamp(value: i64, unit: Unit) -> Clamped<i64> {
    temporal::clamp_micros(wide_micros(value, unit))
}

/// A time of day or a duration, in microseconds.
pub(crate) fn micros(value: i64, unit: Unit) -> Scanned<i64> {
    i64::try_from(wide_micros(value, unit)).map_err(|_| want("want a time that fits 64 bits of microseconds"))
}

#[inline]
fn wide_micros(value: i64, unit: Unit) -> i128 {
    match unit {
        Unit::Millis => i128::from(value) * 1000,
        Unit::Micros => i128::from(value),
        Unit::Nanos => i128::from(value.div_euclid(1000)),
    }
}

#[inline]
pub(crate) fn int32(value: i64) -> Scanned<i32> {
    i32::try_from(value).map_err(|_| want("want a whole number of 32 bits"))
}

pub(crate) fn zoned_timestamp(text: &[u8]) -> Scanned<Clamped<i64>> {
    temporal::parse_timestamp(text, true).ok_or(want("want a timestamp with an offset, as 2024-02-13T10:00:00.5Z"))
}

pub(crate) fn iso_timestamp(text: &[u8]) -> Scanned<Clamped<i64>> {
    temporal::parse_timestamp(text, false).ok_or(want("want a timestamp, as 2024-02-13T10:00:00.5Z"))
}

pub(crate) fn iso_date(text: &[u8]) -> Scanned<Clamped<i32>> {
    temporal::parse_date(text).ok_or(want("want a date, as 2024-02-13"))
}

pub(crate) fn iso_time(text: &[u8]) -> Scanned<i64> {
    temporal::parse_time(text).ok_or(want("want a time of day, as 10:00:00.5Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Column;
    use arrow::datatypes::DataType;

    #[test]
    fn the_decimals_of_a_message_do_not_grow_without_end() {
        let mut ledger = Ledger::default();
        let Some(Column::Text(mut column)) = Column::new(&DataType::Utf8) else { panic!("no column of text") };
        for message in 0..2 {
            ledger.begin();
            let pushed =
                (0..1000).take_while(|_| ledger.push_plain(&[1], -199_999, false, &mut column).is_ok()).count();
            assert_eq!(pushed, MAX_PLAIN_BYTES / 200_000, "message {message}");
            assert!(ledger.plain_bytes() > MAX_PLAIN_BYTES);
        }
    }
}
