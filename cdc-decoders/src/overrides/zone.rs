//! [`Zone`]: wall clocks, which columns hold as if they were UTC, to instants.

use crate::temporal::{MAX_MICROS, MIN_MICROS, clamp_micros};

/// A time zone: an offset, or with the feature `zones` a name of the IANA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// Seconds east of UTC.
    Offset(i32),
    /// One with its own history of offsets.
    #[cfg(feature = "zones")]
    Named(chrono_tz::Tz),
}

#[cfg(feature = "zones")]
const WANT: &str = "a zone: `UTC`, an offset like `+02:00`, or a name like `Europe/Berlin`";
#[cfg(not(feature = "zones"))]
const WANT: &str =
    "a zone: `UTC` or an offset like `+02:00`; names like `Europe/Berlin` need a build with the feature `zones`";

impl Zone {
    /// The error says what is wanted.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "UTC" || text == "Z" {
            return Ok(Self::Offset(0));
        }
        if let Some(seconds) = offset_seconds(text) {
            return Ok(Self::Offset(seconds));
        }
        #[cfg(feature = "zones")]
        if let Ok(named) = text.parse() {
            return Ok(Self::Named(named));
        }
        Err(WANT)
    }

    /// The instant of a wall clock, both in microseconds. Of a time that comes twice it is the first; one that is left out is told by the
    /// clock that was not put forward. The ends of all time stay what they are.
    pub(super) fn instant(self, wall: i64) -> i64 {
        if wall <= MIN_MICROS || wall >= MAX_MICROS {
            return wall;
        }
        let offset = match self {
            Self::Offset(seconds) => seconds,
            #[cfg(feature = "zones")]
            Self::Named(zone) => named_offset(zone, wall),
        };
        clamp_micros(i128::from(wall) - i128::from(offset) * 1_000_000).value
    }
}

/// Seconds east of UTC: `+02:00`, `-0330`, `+02`.
fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "00"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':')?,
        _ => return None,
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i32>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The offset of a wall clock, in seconds.
#[cfg(feature = "zones")]
fn named_offset(zone: chrono_tz::Tz, wall: i64) -> i32 {
    use chrono::{DateTime, LocalResult, Offset, TimeDelta, TimeZone};
    const STEP_MINUTES: i64 = 15;
    // The longest time that was ever left out is a day.
    const STEPS: i64 = 26 * 60 / STEP_MINUTES;
    let Some(wall) = DateTime::from_timestamp_micros(wall) else { return 0 };
    for step in 0..=STEPS {
        let before = wall.naive_utc() - TimeDelta::minutes(step * STEP_MINUTES);
        match zone.offset_from_local_datetime(&before) {
            LocalResult::Single(offset) => return offset.fix().local_minus_utc(),
            LocalResult::Ambiguous(first, last) => {
                let offset = if step == 0 { first } else { last };
                return offset.fix().local_minus_utc();
            }
            LocalResult::None => {}
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::parse_timestamp;

    fn instant(zone: &str, wall: &str) -> i64 {
        let wall = parse_timestamp(wall.as_bytes(), false).unwrap().value;
        Zone::parse(zone).unwrap().instant(wall)
    }

    fn utc(text: &str) -> i64 {
        parse_timestamp(text.as_bytes(), true).unwrap().value
    }

    #[test]
    fn offsets_are_taken_off() {
        for (zone, wall, expected) in [
            ("UTC", "2024-01-01T10:00:00", "2024-01-01T10:00:00Z"),
            ("+02:00", "2024-01-01T01:00:00.000001", "2023-12-31T23:00:00.000001Z"),
            ("-0330", "2024-01-01T10:00:00", "2024-01-01T13:30:00Z"),
            ("+05", "1969-12-31T10:00:00", "1969-12-31T05:00:00Z"),
        ] {
            assert_eq!(instant(zone, wall), utc(expected), "{zone} {wall}");
        }
        assert_eq!(Zone::parse("+02:00").unwrap().instant(MIN_MICROS), MIN_MICROS);
        assert_eq!(Zone::parse("+02:00").unwrap().instant(MIN_MICROS + 1), MIN_MICROS);
        for bad in ["", "+", "+2", "+19:00", "+02:60", "+aa:00", "02:00", "utc", "+0ü00"] {
            assert!(Zone::parse(bad).is_err(), "{bad}");
        }
    }

    #[cfg(feature = "zones")]
    #[test]
    fn named_zones_have_their_summers_and_their_gaps() {
        for (zone, wall, expected) in [
            ("Europe/Berlin", "2024-01-15T10:00:00", "2024-01-15T09:00:00Z"),
            ("Europe/Berlin", "2024-07-15T10:00:00", "2024-07-15T08:00:00Z"),
            // Twice: the first. Left out: by the clock before.
            ("Europe/Berlin", "2024-10-27T02:30:00", "2024-10-27T00:30:00Z"),
            ("Europe/Berlin", "2024-03-31T02:30:00", "2024-03-31T01:30:00Z"),
            ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00Z"),
            ("America/St_Johns", "2024-01-15T10:00:00", "2024-01-15T13:30:00Z"),
        ] {
            assert_eq!(instant(zone, wall), utc(expected), "{zone} {wall}");
        }
    }
}
