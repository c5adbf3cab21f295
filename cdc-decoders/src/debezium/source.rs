//! The `source` block: which source, its position, its clock, its identity.
//!
//! Two positions are told apart. The *order* tells which of two changes of one row is newer: at most 56 bits. The *stream position*
//! is the place in the order in which the connector sends changes of all rows. Neither is given for snapshot rows: what stands in
//! their source block is where the snapshot began, or nothing.

use std::borrow::Cow;

use hudi_core::change::{MAX_LONG_POSITION, StreamPosition};

use super::envelope::Guess;
use crate::error::{DecodeError, Part};
use crate::scan::{Scan, Scanned, Str};

/// The connectors whose positions we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Connector {
    Postgres,
    /// MySQL and MariaDB.
    Binlog,
    Oracle,
    Mongo,
    #[default]
    Other,
}

impl Connector {
    fn parse(text: &str) -> Self {
        match text {
            "postgresql" => Self::Postgres,
            "mysql" | "mariadb" => Self::Binlog,
            "oracle" => Self::Oracle,
            "mongodb" => Self::Mongo,
            _ => Self::Other,
        }
    }
}

/// A source block taken apart; texts as they stand in the message.
#[derive(Debug, Default)]
pub(crate) struct Source<'a> {
    pub(crate) connector: Connector,
    connector_name: &'a str,
    pub(crate) name: Cow<'a, str>,
    pub(crate) ts_ms: Option<i64>,
    sequence: Option<Str<'a>>,
    lsn: Option<i64>,
    file: Option<&'a str>,
    pos: Option<i64>,
    row: Option<i64>,
    server_id: Option<i64>,
    scn: Option<&'a str>,
    commit_scn: Option<&'a str>,
    tx_seq: Option<i64>,
    ord: Option<i64>,
}

const CONNECTOR: u8 = 0;
const NAME: u8 = 1;
const TS_MS: u8 = 2;
const SEQUENCE: u8 = 3;
const LSN: u8 = 4;
const FILE: u8 = 5;
const POS: u8 = 6;
const ROW: u8 = 7;
const SERVER_ID: u8 = 8;
const SCN: u8 = 9;
const COMMIT_SCN: u8 = 10;
const TX_SEQ: u8 = 11;
const ORD: u8 = 12;

/// The members that we know, at the numbers above; those after them are skipped, but guessed.
const MEMBERS: &[&[u8]] = &[
    b"\"connector\":",
    b"\"name\":",
    b"\"ts_ms\":",
    b"\"sequence\":",
    b"\"lsn\":",
    b"\"file\":",
    b"\"pos\":",
    b"\"row\":",
    b"\"server_id\":",
    b"\"scn\":",
    b"\"commit_scn\":",
    b"\"txSeq\":",
    b"\"ord\":",
    b"\"version\":",
    b"\"snapshot\":",
    b"\"db\":",
    b"\"ts_us\":",
    b"\"ts_ns\":",
    b"\"schema\":",
    b"\"table\":",
    b"\"txId\":",
    b"\"xmin\":",
    b"\"origin\":",
    b"\"origin_lsn\":",
    b"\"gtid\":",
    b"\"thread\":",
    b"\"query\":",
];

impl<'a> Source<'a> {
    /// Reads the block, from its `{` on.
    pub(crate) fn read(scan: &mut Scan<'a>, guess: &mut Guess) -> Scanned<Self> {
        let mut source = Self::default();
        scan.expect(b'{', "want an object as `source`")?;
        let mut place = 0;
        while scan.member(place == 0)? {
            match guess.member(scan, place, MEMBERS)? {
                CONNECTOR => {
                    source.connector_name = plain(scan)?.unwrap_or_default();
                    source.connector = Connector::parse(source.connector_name);
                }
                NAME => source.name = scan.string()?.to_text()?,
                TS_MS => source.ts_ms = number(scan)?,
                SEQUENCE => source.sequence = if scan.null()? { None } else { Some(scan.string()?) },
                LSN => source.lsn = number(scan)?,
                FILE => source.file = plain(scan)?,
                POS => source.pos = number(scan)?,
                ROW => source.row = number(scan)?,
                SERVER_ID => source.server_id = number(scan)?,
                SCN => source.scn = plain(scan)?,
                COMMIT_SCN => source.commit_scn = plain(scan)?,
                TX_SEQ => source.tx_seq = number(scan)?,
                ORD => source.ord = number(scan)?,
                _ => scan.skip()?,
            }
            place += 1;
        }
        Ok(source)
    }

    /// Who the source says it is, where that can change under one name. MariaDB says 0 in snapshots: nobody.
    pub(crate) fn identity(&self) -> Option<i64> {
        self.server_id.filter(|id| self.connector == Connector::Binlog && *id != 0)
    }

    /// Refuses sources whose positions we cannot tell.
    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        if self.name.is_empty() {
            return Err(DecodeError::Position { field: "name", reason: "want the source's name" });
        }
        if self.connector != Connector::Other {
            return Ok(());
        }
        let name: String = self.connector_name.chars().take(32).collect();
        Err(DecodeError::UnsupportedSource {
            what: format!("connector `{name}`"),
            why: "its positions are not read; postgresql, mysql, mariadb, oracle and mongodb are",
        })
    }

    /// What orders the changes of one row.
    pub(crate) fn order(&self) -> Result<i64, DecodeError> {
        let (field, order) = match self.connector {
            Connector::Postgres => ("lsn", self.lsn),
            Connector::Binlog => ("pos", self.binlog_order()?),
            Connector::Oracle => match self.commit_scn.filter(|scn| !scn.is_empty()) {
                Some(scn) => ("commit_scn", decimal(scn)),
                None => ("scn", self.scn.and_then(decimal)),
            },
            Connector::Mongo => ("ord", self.mongo_order()),
            Connector::Other => ("connector", None),
        };
        let reason = "want a whole number of at most 56 bits, to order the changes of a row";
        order.filter(|order| (0..=MAX_LONG_POSITION).contains(order)).ok_or(DecodeError::Position { field, reason })
    }

    fn binlog_order(&self) -> Result<Option<i64>, DecodeError> {
        let file = self.file.and_then(file_number).filter(|number| *number < 1 << 24).ok_or(DecodeError::Position {
            field: "file",
            reason: "want a binlog file's name that ends in `.` and a number below 2^24",
        })?;
        Ok(self.pos.filter(|pos| (0..1 << 32).contains(pos)).map(|pos| file << 32 | pos))
    }

    fn mongo_order(&self) -> Option<i64> {
        let seconds = self.ts_ms.filter(|ms| *ms >= 0)? / 1000;
        let ord = self.ord.filter(|ord| (0..1 << 24).contains(ord))?;
        (seconds < 1 << 32).then_some(seconds << 24 | ord)
    }

    /// The place in the stream, where the source tells it for sure.
    ///
    /// PostgreSQL without `sequence` (old connectors) has none: its `lsn` alone goes back when transactions interleave.
    pub(crate) fn stream_position(&self) -> Option<StreamPosition> {
        let whole = |number: Option<i64>| u64::try_from(number?).ok();
        Some(StreamPosition(match self.connector {
            Connector::Postgres => {
                let [last_commit, lsn] = sequence(self.sequence?)?;
                [last_commit, lsn, 0]
            }
            Connector::Binlog => {
                [whole(self.file.and_then(file_number))?, whole(self.pos)?, whole(self.row).unwrap_or(0)]
            }
            Connector::Oracle => {
                let inside = self.tx_seq.or_else(|| self.scn.and_then(decimal));
                [whole(self.commit_scn.and_then(decimal))?, whole(inside)?, 0]
            }
            Connector::Mongo => [whole(self.ts_ms)? / 1000, whole(self.ord)?, 0],
            Connector::Other => return None,
        }))
    }
}

/// A number or null.
fn number(scan: &mut Scan<'_>) -> Scanned<Option<i64>> {
    if scan.null()? { Ok(None) } else { scan.integer().map(Some) }
}

/// A text or null; one with escapes is left empty, for none that we want has any.
fn plain<'a>(scan: &mut Scan<'a>) -> Scanned<Option<&'a str>> {
    if scan.null()? {
        return Ok(None);
    }
    let text = scan.string()?;
    Ok(Some(if text.escaped { "" } else { text.raw }))
}

/// Digits only, of at most 63 bits.
fn decimal(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The number behind the last dot.
fn file_number(file: &str) -> Option<i64> {
    decimal(file.rsplit_once('.')?.1)
}

/// PostgreSQL's pair `["last commit","lsn"]`, itself JSON inside a string; the first is null until a commit was seen.
fn sequence(text: Str<'_>) -> Option<[u64; 2]> {
    let inner = text.raw.strip_prefix('[')?.strip_suffix(']')?;
    let (last_commit, lsn) = inner.split_once(',')?;
    let word = |text: &str| {
        let text = text.trim();
        if text == "null" {
            return Some(0);
        }
        let digits = text.strip_prefix("\\\"")?.strip_suffix("\\\"")?;
        u64::try_from(decimal(digits)?).ok()
    };
    Some([word(last_commit)?, word(lsn)?])
}

/// The error of a source block that is no such block.
pub(crate) fn malformed(fault: crate::scan::Fault) -> DecodeError {
    match fault.in_part(Part::Value) {
        DecodeError::Malformed { reason, offset: 0, .. } => DecodeError::Position { field: "source", reason },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Source<'_> {
        Source::read(&mut Scan::new(text.as_bytes(), 0).unwrap(), &mut Guess::default()).unwrap()
    }

    fn postgres(rest: &str) -> String {
        format!(r#"{{"version":"3","connector":"postgresql","name":"pg","ts_ms":5,{rest}}}"#)
    }

    #[test]
    fn postgres_orders_by_lsn_and_streams_by_the_pair() {
        let text = postgres(r#""sequence":"[\"12\",\"34\"]","lsn":34"#);
        let source = read(&text);
        assert_eq!((source.order(), source.stream_position()), (Ok(34), Some(StreamPosition([12, 34, 0]))));
        assert_eq!((&*source.name, source.ts_ms, source.identity()), ("pg", Some(5), None));
        let text = postgres(r#""sequence":"[null,\"34\"]","lsn":34"#);
        assert_eq!(read(&text).stream_position(), Some(StreamPosition([0, 34, 0])));
        let text = postgres(r#""lsn":34"#);
        assert_eq!(read(&text).stream_position(), None);
        for bad in [r#""lsn":null"#, r#""lsn":72057594037927936"#, r#""lsn":-1"#] {
            assert!(matches!(read(&postgres(bad)).order(), Err(DecodeError::Position { field: "lsn", .. })), "{bad}");
        }
        assert_eq!(read(&postgres(r#""lsn":72057594037927935"#)).order(), Ok((1 << 56) - 1));
    }

    #[test]
    fn binlog_files_are_compared_as_numbers() {
        let at = |file: &str, pos: i64| {
            let text =
                format!(r#"{{"connector":"mariadb","name":"m","server_id":4242,"file":"{file}","pos":{pos},"row":3}}"#);
            let source = read(&text);
            (source.order(), source.stream_position(), source.identity())
        };
        assert_eq!(at("binlog.000007", 9), (Ok(7 << 32 | 9), Some(StreamPosition([7, 9, 3])), Some(4242)));
        assert!(at("a.b.999999", 0).0.unwrap() < at("a.b.1000000", 0).0.unwrap());
        for (file, pos) in
            [("binlog.16777216", 0), ("binlog", 0), ("binlog.x", 0), ("", 0), ("binlog.1", 1 << 32), ("binlog.1", -1)]
        {
            assert!(at(file, pos).0.is_err(), "{file} {pos}");
        }
        assert_eq!(read(r#"{"connector":"mysql","name":"m","server_id":0}"#).identity(), None);
    }

    #[test]
    fn oracle_and_mongo() {
        let source = read(r#"{"connector":"oracle","name":"o","scn":"100","commit_scn":"120","txSeq":4}"#);
        assert_eq!((source.order(), source.stream_position()), (Ok(120), Some(StreamPosition([120, 4, 0]))));
        let source = read(r#"{"connector":"oracle","name":"o","scn":"100","commit_scn":null}"#);
        assert_eq!((source.order(), source.stream_position()), (Ok(100), None));
        assert!(read(r#"{"connector":"oracle","name":"o","commit_scn":"1x"}"#).order().is_err());
        let source = read(r#"{"connector":"mongodb","name":"o","ts_ms":1700000000000,"ord":2}"#);
        assert_eq!(
            (source.order(), source.stream_position()),
            (Ok(1_700_000_000 << 24 | 2), Some(StreamPosition([1_700_000_000, 2, 0])))
        );
    }

    #[test]
    fn other_sources_are_refused_by_name() {
        let error = read(r#"{"connector":"sqlserver","name":"s"}"#).check().unwrap_err();
        assert!(error.to_string().contains("sqlserver") && !error.can_go_on());
        assert!(read(r#"{"connector":"mysql"}"#).check().is_err());
    }
}
