//! Log sequence numbers of SQL Server and Db2, and Oracle's place in the redo log: texts to numbers, and these to an order.
//!
//! SQL Server prints 10 bytes as `00000027:00000ac0:0002`, Db2 up to 16 bytes likewise. They are compared as the numbers they are,
//! in whatever case and with whatever zeros they come. Not here: which members of a source block hold them ([`super::source`]).

use std::fmt::Write;

use hudi_core::change::StreamPosition;

use crate::error::DecodeError;

/// The order of one change: printed, all of one connector have the same width, and compare as the numbers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LsnOrder {
    lsns: Lsns,
}

impl LsnOrder {
    /// Appends the text.
    pub(crate) fn print(self, out: &mut String) {
        // Writing into a text cannot fail.
        let _ = match self.lsns {
            Lsns::SqlServer { commit, change, serial } => write!(out, "{commit:020x}{change:020x}{serial:08x}"),
            Lsns::Db2 { commit, change } => write!(out, "{commit:032x}{change:032x}"),
        };
    }
}

/// Where a change stands: when its transaction was committed, and inside of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lsns {
    /// 80 bits each; beside them a number that tells the rows of one change of several apart.
    SqlServer { commit: u128, change: u128, serial: u32 },
    /// 128 bits each.
    Db2 { commit: u128, change: u128 },
}

impl Lsns {
    /// A change of SQL Server.
    pub(crate) fn sql_server(
        commit: Option<&str>,
        change: Option<&str>,
        serial: Option<i64>,
    ) -> Result<Self, DecodeError> {
        let want =
            |field| DecodeError::Position { field, reason: "want three hexadecimal parts, as 00000027:00000ac0:0002" };
        let commit = commit.and_then(three_parts).ok_or(want("commit_lsn"))?;
        let change = change.and_then(three_parts).ok_or(want("change_lsn"))?;
        let serial = u32::try_from(serial.unwrap_or(0));
        let reason = "want a whole number of at most 32 bits";
        let serial = serial.map_err(|_| DecodeError::Position { field: "event_serial_no", reason })?;
        Ok(Self::SqlServer { commit, change, serial })
    }

    /// A change of Db2.
    pub(crate) fn db2(commit: Option<&str>, change: Option<&str>) -> Result<Self, DecodeError> {
        let want = |field| DecodeError::Position { field, reason: "want hexadecimal digits of at most 128 bits" };
        let commit = commit.and_then(digits).ok_or(want("commit_lsn"))?;
        let change = change.and_then(digits).ok_or(want("change_lsn"))?;
        Ok(Self::Db2 { commit, change })
    }

    /// What orders the changes of one row.
    pub(crate) const fn order(self) -> LsnOrder {
        LsnOrder { lsns: self }
    }

    /// The place in the stream. Db2's numbers are too long for it together: of the change's only the lower half counts, if the
    /// upper one is that of the commit; there is no place to tell otherwise.
    pub(crate) fn stream_position(self) -> Option<StreamPosition> {
        Some(StreamPosition(match self {
            Self::SqlServer { commit, change, serial } => {
                let middle = (commit & 0xffff) << 48 | change >> 32;
                [word(commit >> 16), word(middle), word((change & 0xffff_ffff) << 32) | u64::from(serial)]
            }
            Self::Db2 { commit, change } if commit >> 64 == change >> 64 => {
                [word(commit >> 64), word(commit & LOW), word(change & LOW)]
            }
            Self::Db2 { .. } => return None,
        }))
    }
}

const LOW: u128 = u64::MAX as u128;

/// The value, which fits by now.
fn word(value: u128) -> u64 {
    u64::try_from(value & LOW).unwrap_or(0)
}

/// 32, 32 and 16 bits.
fn three_parts(text: &str) -> Option<u128> {
    let mut parts = text.split(':');
    let mut part = |bits: u32| hexadecimal(parts.next()?).filter(|value| value >> bits == 0);
    let (file, block, slot) = (part(32)?, part(32)?, part(16)?);
    parts.next().is_none().then_some(file << 48 | block << 16 | slot)
}

/// All digits, whatever stands between the parts.
fn digits(text: &str) -> Option<u128> {
    let count = text.bytes().filter(|byte| *byte != b':').count();
    if !(1..=32).contains(&count) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(u128::from);
    text.bytes().filter(|byte| *byte != b':').try_fold(0, |value: u128, byte| Some(value << 4 | digit(byte)?))
}

fn hexadecimal(text: &str) -> Option<u128> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u128::from_str_radix(text, 16).ok() } else { None }
}

/// Where in Oracle's redo log a change stands, within one SCN: block (32 bits), byte (16) and number of the row (16). Of the log's own
/// number nothing is kept: a log switch raises the SCN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RedoPlace(pub(crate) u64);

impl RedoPlace {
    /// From `rs_id`, as ` 0x000049.00000052.0010 `, and `ssn`; zero where there is none.
    pub(crate) fn new(rs_id: Option<&str>, ssn: Option<i64>) -> Self {
        let place = || {
            let mut parts = rs_id?.trim().trim_start_matches("0x").split('.');
            let _log = hexadecimal(parts.next()?)?;
            let (block, byte) = (hexadecimal(parts.next()?)?, hexadecimal(parts.next()?)?);
            (block >> 32 == 0 && byte >> 16 == 0).then(|| word(block << 32 | byte << 16))
        };
        let row = u64::from(u16::try_from(ssn.unwrap_or(0).max(0)).unwrap_or(u16::MAX));
        Self(place().unwrap_or(0) | row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lsns: Lsns) -> String {
        let mut out = String::new();
        lsns.order().print(&mut out);
        out
    }

    fn sql_server(commit: &str, change: &str, serial: i64) -> Lsns {
        Lsns::sql_server(Some(commit), Some(change), Some(serial)).unwrap()
    }

    fn db2(commit: &str, change: &str) -> Lsns {
        Lsns::db2(Some(commit), Some(change)).unwrap()
    }

    #[test]
    fn orders_compare_as_the_numbers_do() {
        let sql_server = [
            sql_server("00000027:00000AC0:0007", "00000027:00000ac0:0002", 1),
            sql_server("00000027:00000ac0:0007", "00000027:00000ac0:0002", 2),
            sql_server("27:ac0:7", "27:ac0:3", 1),
            sql_server("00000027:00000ac0:0010", "00000000:00000000:0000", 0),
            sql_server("00000028:00000000:0000", "00000000:00000000:0000", 0),
            sql_server("ffffffff:ffffffff:ffff", "ffffffff:ffffffff:ffff", i64::from(u32::MAX)),
        ];
        let db2 = [
            db2("00000000:00000000:0000000000057d50", "00000000:00000000:0000000000057d4f"),
            db2("00000000:00000000:0000000000057D50", "00000000:00000000:0000000000057d50"),
            db2("00000000:00000001:0000000000000000", "00000000:00000001:0000000000000000"),
        ];
        for (lsns, width) in [(&sql_server[..], 48), (&db2[..], 64)] {
            for pair in lsns.windows(2) {
                assert!(text(pair[0]) < text(pair[1]), "{pair:?}");
                assert!(pair[0].stream_position() < pair[1].stream_position(), "{pair:?}");
            }
            assert!(lsns.iter().all(|lsns| text(*lsns).len() == width));
        }
        // In 192 bits all of SQL Server's three numbers.
        let position = sql_server[1].stream_position().unwrap();
        assert_eq!(position.to_string(), text(sql_server[1]));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let good = Some("00000027:00000ac0:0002");
        for (commit, change, serial, field) in [
            (None, good, Some(1), "commit_lsn"),
            (Some("00000027:00000ac0"), good, Some(1), "commit_lsn"),
            (Some("00000027:00000ac0:10000"), good, Some(1), "commit_lsn"),
            (good, Some("NULL"), Some(1), "change_lsn"),
            (good, Some("+0000027:00000ac0:0002"), Some(1), "change_lsn"),
            (good, good, Some(1 << 32), "event_serial_no"),
            (good, good, Some(-1), "event_serial_no"),
        ] {
            let error = Lsns::sql_server(commit, change, serial).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
        for bad in [None, Some(""), Some(":"), Some("g"), Some("000000000000000000000000000000001")] {
            assert!(Lsns::db2(good, bad).is_err(), "{bad:?}");
        }
        // Told apart by its upper half, a change has an order but no place.
        let lsns = db2("00000000:00000001:0000000000000000", "00000000:00000000:0000000000000000");
        assert_eq!((lsns.stream_position(), text(lsns).len()), (None, 64));
    }

    #[test]
    fn oracles_place_tells_changes_of_one_scn_apart() {
        let place = |rs_id: &str, ssn| RedoPlace::new(Some(rs_id), Some(ssn)).0;
        assert_eq!(place(" 0x000049.00000052.0010 ", 1), 0x52 << 32 | 0x10 << 16 | 1);
        assert!(place("001234.00012345.0124", 0) < place("001234.00012345.0124", 1));
        assert!(place("001234.00012345.0124", 70_000) < place("001234.00012345.0125", 0));
        assert_eq!((RedoPlace::new(None, None).0, place("x", 3)), (0, 3));
    }
}
