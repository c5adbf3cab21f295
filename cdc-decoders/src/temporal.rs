//! Dates and times: texts to numbers, and the ends to which what no table can hold is moved.
//!
//! Microseconds and days since 1970; UTC, or wall clock taken as UTC. What is infinite or outside 0001-01-01 to 9999-12-31 comes
//! back as the nearer end together with the word that it was moved.

/// 0001-01-01, in days since 1970.
pub(crate) const MIN_DAY: i32 = -719_162;
/// 9999-12-31, in days since 1970.
pub(crate) const MAX_DAY: i32 = 2_932_896;
/// The first microsecond of 0001.
pub(crate) const MIN_MICROS: i64 = MIN_DAY as i64 * DAY_MICROS;
/// The last microsecond of 9999.
pub(crate) const MAX_MICROS: i64 = (MAX_DAY as i64 + 1) * DAY_MICROS - 1;
const DAY_MICROS: i64 = 86_400_000_000;

/// A value within the ends, and whether it had to be moved there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clamped<T> {
    pub(crate) value: T,
    pub(crate) moved: bool,
}

/// Days as PostgreSQL's connector sends them for `infinity`, which overflowed on the way: streamed (`i32::MAX` plus the
/// days from 1970 to 2000, wrapped), and in snapshots (milliseconds of +292278994-08-16 in days, wrapped).
fn is_infinity(day: i64) -> bool {
    (-2_147_483_648..=-2_147_472_692).contains(&day) || (day + 622_191_234).abs() <= 2
}

/// The same of `-infinity` in snapshots, which the wrap made positive.
fn is_negative_infinity(day: i64) -> bool {
    (day - 622_191_232).abs() <= 2
}

/// A day number within the ends.
pub(crate) fn clamp_day(day: i64) -> Clamped<i32> {
    let day = if is_infinity(day) {
        i64::MAX
    } else if is_negative_infinity(day) {
        i64::MIN
    } else {
        day
    };
    match i32::try_from(day) {
        Ok(value) if (MIN_DAY..=MAX_DAY).contains(&value) => Clamped { value, moved: false },
        _ => Clamped { value: if day < 0 { MIN_DAY } else { MAX_DAY }, moved: true },
    }
}

/// Microseconds within the ends.
pub(crate) fn clamp_micros(micros: i128) -> Clamped<i64> {
    match i64::try_from(micros) {
        Ok(value) if (MIN_MICROS..=MAX_MICROS).contains(&value) => Clamped { value, moved: false },
        _ => Clamped { value: if micros < 0 { MIN_MICROS } else { MAX_MICROS }, moved: true },
    }
}

fn infinite(text: &[u8]) -> Option<bool> {
    match text {
        b"infinity" | b"Infinity" => Some(true),
        b"-infinity" | b"-Infinity" => Some(false),
        _ => None,
    }
}

/// A date: `2024-02-13`, `2017-09-15Z`, `+292278994-08-16Z`, `infinity`.
pub(crate) fn parse_date(text: &[u8]) -> Option<Clamped<i32>> {
    if let Some(positive) = infinite(text) {
        return Some(Clamped { value: if positive { MAX_DAY } else { MIN_DAY }, moved: true });
    }
    let mut chars = Chars { bytes: text, at: 0 };
    let day = chars.date()?;
    chars.take(b'Z');
    chars.at_end().then(|| clamp_day(day))
}

/// A date and time with an offset (or none, if `zoned` is false): the instant, or the wall clock taken as UTC.
pub(crate) fn parse_timestamp(text: &[u8], zoned: bool) -> Option<Clamped<i64>> {
    if let Some(positive) = infinite(text) {
        return Some(Clamped { value: if positive { MAX_MICROS } else { MIN_MICROS }, moved: true });
    }
    let mut chars = Chars { bytes: text, at: 0 };
    let day = chars.date()?;
    if !chars.take(b'T') && !chars.take(b' ') {
        return None;
    }
    let time = chars.time()?;
    if time >= DAY_MICROS {
        return None;
    }
    let offset_seconds = match chars.offset()? {
        None if zoned => return None,
        offset => offset.unwrap_or(0),
    };
    if !chars.at_end() {
        return None;
    }
    let micros = i128::from(day) * i128::from(DAY_MICROS) + i128::from(time) - i128::from(offset_seconds) * 1_000_000;
    Some(clamp_micros(micros))
}

/// A time of day in microseconds: `03:39:26.151593Z`, `24:00:00`; its zone, if there is one, must be UTC.
pub(crate) fn parse_time(text: &[u8]) -> Option<i64> {
    let mut chars = Chars { bytes: text, at: 0 };
    let time = chars.time()?;
    (chars.offset()?.unwrap_or(0) == 0 && chars.at_end()).then_some(time)
}

struct Chars<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Chars<'_> {
    fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn take(&mut self, byte: u8) -> bool {
        let here = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(here);
        here
    }

    fn digit(&mut self) -> Option<i64> {
        let digit = self.bytes.get(self.at)?.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        self.at += 1;
        Some(i64::from(digit))
    }

    fn two_digits(&mut self) -> Option<i64> {
        Some(self.digit()? * 10 + self.digit()?)
    }

    /// Letters of a plain form: digits, and `separator` at some places. Nothing is taken where they are others.
    #[inline]
    fn plain<const N: usize>(&mut self, separator: u8, places: [usize; 2]) -> Option<[u8; N]> {
        let letters: &[u8; N] = self.bytes[self.at..].first_chunk()?;
        let mut fits = true;
        let digits = std::array::from_fn(|place| {
            let is_separator = places.contains(&place);
            let digit = letters[place].wrapping_sub(if is_separator { separator } else { b'0' });
            fits &= digit < if is_separator { 1 } else { 10 };
            digit
        });
        self.at += if fits { N } else { 0 };
        fits.then_some(digits)
    }

    /// Days since 1970 of a proleptic Gregorian date with an astronomical year of 4 to 9 digits.
    #[inline]
    fn date(&mut self) -> Option<i64> {
        match self.plain(b'-', [4, 7]) {
            Some([a, b, c, d, _, e, f, _, g, h]) => {
                let [century, year, month, day] = [[a, b], [c, d], [e, f], [g, h]].map(two);
                days(century * 100 + year, month, day)
            }
            None => self.any_date(),
        }
    }

    #[cold]
    fn any_date(&mut self) -> Option<i64> {
        let negative = self.take(b'-');
        if !negative {
            self.take(b'+');
        }
        let start = self.at;
        let mut year = 0;
        while let Some(digit) = self.digit() {
            year = year * 10 + digit;
            if self.at - start > 9 {
                return None;
            }
        }
        if self.at - start < 4 || !self.take(b'-') {
            return None;
        }
        let year = if negative { -year } else { year };
        let month = self.two_digits()?;
        let day = if self.take(b'-') { self.two_digits()? } else { return None };
        days(year, month, day)
    }

    /// Microseconds of day; `24:00:00` is one day. Digits below the microsecond are cut.
    fn time(&mut self) -> Option<i64> {
        let [hour, minute, second] = match self.plain(b':', [2, 5]) {
            Some([a, b, _, c, d, _, e, f]) => [[a, b], [c, d], [e, f]].map(two),
            None => self.any_clock()?,
        };
        let fraction = if self.take(b'.') { self.fraction_micros()? } else { 0 };
        let micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction;
        (minute < 60 && second < 60 && micros <= DAY_MICROS).then_some(micros)
    }

    /// Hour, minute and second, which may be left out.
    #[cold]
    fn any_clock(&mut self) -> Option<[i64; 3]> {
        let hour = self.two_digits()?;
        let minute = if self.take(b':') { self.two_digits()? } else { return None };
        let second = if self.take(b':') { self.two_digits()? } else { 0 };
        Some([hour, minute, second])
    }

    fn fraction_micros(&mut self) -> Option<i64> {
        let start = self.at;
        let mut micros = 0;
        while let Some(digit) = self.digit() {
            if self.at - start <= 6 {
                micros = micros * 10 + digit;
            }
        }
        let digits = self.at - start;
        if digits == 0 || digits > 9 {
            return None;
        }
        (digits..6).for_each(|_| micros *= 10);
        Some(micros)
    }

    /// Seconds east of UTC; the inner `None` where no zone is written.
    #[allow(clippy::option_option)]
    fn offset(&mut self) -> Option<Option<i64>> {
        if self.at_end() {
            return Some(None);
        }
        if self.take(b'Z') {
            return Some(Some(0));
        }
        let negative = self.take(b'-');
        if !negative && !self.take(b'+') {
            return None;
        }
        let mut seconds = self.two_digits()? * 3600;
        for unit in [60, 1] {
            if self.at_end() {
                break;
            }
            self.take(b':');
            let part = self.two_digits()?;
            if part > 59 {
                return None;
            }
            seconds += part * unit;
        }
        (seconds <= 18 * 3600).then_some(Some(if negative { -seconds } else { seconds }))
    }
}

#[inline]
fn two([tens, ones]: [u8; 2]) -> i64 {
    i64::from(tens) * 10 + i64::from(ones)
}

/// Days since 1970; `None` where the calendar has no such day.
#[inline]
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let there = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    there.then(|| days_from_civil(year, month, day))
}

#[inline]
const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date (counted in eras of 400 years that begin in March).
#[inline]
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn days_agree_with_the_calendar() {
        for (year, month, day) in [
            (1, 1, 1),
            (1600, 2, 29),
            (1899, 12, 31),
            (1970, 1, 1),
            (2000, 3, 1),
            (2024, 2, 29),
            (9999, 12, 31),
            (-43, 3, 15),
        ] {
            let expected = NaiveDate::from_ymd_opt(year, month, day).unwrap().num_days_from_ce() - 719_163;
            assert_eq!(days_from_civil(i64::from(year), i64::from(month), i64::from(day)), i64::from(expected));
        }
        assert_eq!(
            (parse_date(b"0001-01-01").unwrap().value, parse_date(b"9999-12-31Z").unwrap().value),
            (MIN_DAY, MAX_DAY)
        );
    }

    #[test]
    fn infinite_and_far_dates_are_moved_to_the_ends() {
        fn moved<T>(value: T) -> Clamped<T> {
            Clamped { value, moved: true }
        }
        for infinity in [-622_191_234, -2_147_472_692, -2_147_472_693, 2_932_897, i64::from(i32::MAX)] {
            assert_eq!(clamp_day(infinity), moved(MAX_DAY), "{infinity}");
        }
        for past in [-719_163, -735_160, -2_147_472_691, 622_191_232] {
            assert_eq!(clamp_day(past), moved(MIN_DAY), "{past}");
        }
        for (text, value) in [
            ("infinity", MAX_DAY),
            ("-infinity", MIN_DAY),
            ("+292278994-08-16Z", MAX_DAY),
            ("-5877611-06-21Z", MAX_DAY),
            ("-5877611-06-22Z", MIN_DAY),
            ("+5877611-06-21Z", MAX_DAY),
            ("-0043-03-15Z", MIN_DAY),
        ] {
            assert_eq!(parse_date(text.as_bytes()), Some(moved(value)), "{text}");
        }
        for (micros, value) in [
            (9_223_372_036_825_200_000, MAX_MICROS),
            (-9_223_372_036_832_400_000, MIN_MICROS),
            (i128::from(i64::MAX) * 1000, MAX_MICROS),
        ] {
            assert_eq!(clamp_micros(micros), moved(value));
        }
        for (text, value) in [
            ("+294247-01-10T04:00:25.2Z", MAX_MICROS),
            ("-290308-12-21T19:59:27.6Z", MIN_MICROS),
            ("infinity", MAX_MICROS),
        ] {
            assert_eq!(parse_timestamp(text.as_bytes(), true), Some(moved(value)));
        }
    }

    #[test]
    fn instants_are_read_with_every_offset_and_fraction() {
        let micros = |text: &str| parse_timestamp(text.as_bytes(), true).map(|t| t.value);
        for text in [
            "1970-01-01T00:00:01Z",
            "1970-01-01T02:00:01+02:00",
            "1969-12-31T16:00:01-0800",
            "1970-01-01T00:00:01.000000000+00",
            "1970-01-01T05:30:16+05:30:15",
        ] {
            assert_eq!(micros(text), Some(1_000_000), "{text}");
        }
        assert_eq!(micros("1970-01-01T00:00Z"), Some(0));
        assert_eq!(micros("1969-12-31T23:59:59.999999999Z"), Some(-1));
        assert_eq!(micros("1970-01-01T00:00:00.5Z"), Some(500_000));
        assert_eq!(micros("9999-12-31T23:59:59.999999Z"), Some(MAX_MICROS));
        for bad in [
            "1970-01-01T00:00:01",
            "1970-01-01",
            "1970-13-01T00:00:00Z",
            "1970-02-29T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.1234567890Z",
            "1970-01-01T00:00:00Zx",
            "",
            "x",
            "1970-01-01T00:00:00+19:00",
            "70-01-01T00:00:00Z",
        ] {
            assert_eq!(micros(bad), None, "{bad}");
        }
        assert_eq!(parse_timestamp(b"1970-01-01T00:00:01", false).map(|t| t.value), Some(1_000_000));
    }

    #[test]
    fn times_of_day() {
        assert_eq!(parse_time(b"03:39:26.151593Z"), Some(13_166_151_593));
        assert_eq!(parse_time(b"24:00:00"), Some(86_400_000_000));
        for bad in ["24:00:01", "12", "12:00:00+02:00", "1:00:00", "12:61:00"] {
            assert_eq!(parse_time(bad.as_bytes()), None, "{bad}");
        }
    }
}
