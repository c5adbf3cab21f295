//! The `source` block: which source, its position, its clock, its identity.
//!
//! Two positions are told apart. The *order* tells which of two changes of one row is newer: at most 56 bits. The *stream position*
//! is the place in the order in which the connector sends changes of all rows. Neither is given for snapshot rows: what stands in
//! their source block is where the snapshot began, or nothing.

use std::borrow::Cow;

use hudi_core::change::{MAX_LONG_POSITION, StreamPosition};

use super::envelope::{Guess, Name};
use crate::avro::Scalar;
use crate::error::{DecodeError, Part};
use crate::scan::{Scan, Scanned, Str, Token};

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
const VERSION: u8 = 13;
const SNAPSHOT: u8 = 14;
const DB: u8 = 15;
const SCHEMA: u8 = 18;
const TABLE: u8 = 19;

/// The members that we know, at the numbers above; those after them are skipped, but guessed.
const MEMBERS: &[Name] = &[
    Token::fixed(b"\"connector\":"),
    Token::fixed(b"\"name\":"),
    Token::fixed(b"\"ts_ms\":"),
    Token::fixed(b"\"sequence\":"),
    Token::fixed(b"\"lsn\":"),
    Token::fixed(b"\"file\":"),
    Token::fixed(b"\"pos\":"),
    Token::fixed(b"\"row\":"),
    Token::fixed(b"\"server_id\":"),
    Token::fixed(b"\"scn\":"),
    Token::fixed(b"\"commit_scn\":"),
    Token::fixed(b"\"txSeq\":"),
    Token::fixed(b"\"ord\":"),
    Token::fixed(b"\"version\":"),
    Token::fixed(b"\"snapshot\":"),
    Token::fixed(b"\"db\":"),
    Token::fixed(b"\"ts_us\":"),
    Token::fixed(b"\"ts_ns\":"),
    Token::fixed(b"\"schema\":"),
    Token::fixed(b"\"table\":"),
    Token::fixed(b"\"txId\":"),
    Token::fixed(b"\"xmin\":"),
    Token::fixed(b"\"origin\":"),
    Token::fixed(b"\"origin_lsn\":"),
    Token::fixed(b"\"gtid\":"),
    Token::fixed(b"\"thread\":"),
    Token::fixed(b"\"query\":"),
];

/// Whether a member is the same in most blocks of a topic.
const fn lasting(member: u8) -> bool {
    matches!(member, CONNECTOR | NAME | VERSION | SNAPSHOT | DB | SCHEMA | TABLE)
}

/// The number of the member of this name; `None` where nobody wants its value.
pub(crate) fn member(name: &str) -> Option<u8> {
    let place = MEMBERS.iter().position(|known| known.name() == name.as_bytes());
    place.and_then(|place| u8::try_from(place).ok()).filter(|member| *member <= ORD)
}

/// Reads source blocks: all of a topic are alike, so what stood around the changing values last time is compared, not scanned.
#[derive(Debug, Default)]
pub(crate) struct SourceReader {
    guess: Guess,
    pieces: Vec<Piece>,
    connector: Connector,
    /// Where the name stands, from the block's first byte on.
    name: (usize, usize),
    misses: u32,
}

/// A text that stood in the last block, and the member whose value follows it.
#[derive(Debug)]
struct Piece {
    text: Vec<u8>,
    member: u8,
}

/// No value follows: the block ends.
const END: u8 = 254;

impl SourceReader {
    /// Reads a block, from its `{` on.
    pub(crate) fn read<'a>(&mut self, scan: &mut Scan<'a>) -> Scanned<Source<'a>> {
        scan.peek();
        let start = scan.at();
        if let Some(source) = self.read_alike(scan)? {
            return Ok(source);
        }
        scan.back_to(start);
        self.misses = self.misses.saturating_add(1);
        // A topic whose blocks are not alike is not learnt for ever.
        let learn = self.misses < 8 || self.misses.is_multiple_of(64);
        self.read_any(scan, learn)
    }

    #[inline]
    fn read_alike<'a>(&self, scan: &mut Scan<'a>) -> Scanned<Option<Source<'a>>> {
        let start = scan.at();
        let mut source = Source { connector: self.connector, ..Source::default() };
        for piece in &self.pieces {
            if !scan.take(&piece.text) {
                return Ok(None);
            }
            if piece.member == END {
                source.name = Cow::Borrowed(&scan.since(start)[self.name.0..self.name.1]);
                return Ok(Some(source));
            }
            source.set(piece.member, scan)?;
        }
        Ok(None)
    }

    #[cold]
    fn read_any<'a>(&mut self, scan: &mut Scan<'a>, learn: bool) -> Scanned<Source<'a>> {
        let mut source = Source::default();
        let start = scan.at();
        scan.expect(b'{', "want an object as `source`")?;
        let (mut place, mut text_from, mut name) = (0, start, None);
        self.pieces.clear();
        while let Some(member) = self.guess.member(scan, place, MEMBERS)? {
            place += 1;
            scan.peek();
            let from = scan.at();
            // The name is found by its place, which changing values must not move.
            if learn && !(lasting(member) && (member != NAME || text_from == start)) {
                self.piece(scan, text_from, member);
                source.set(member, scan)?;
                text_from = scan.at();
            } else {
                source.set(member, scan)?;
            }
            if member == NAME && matches!(source.name, Cow::Borrowed(_)) && text_from == start {
                name = Some((from - start + 1, scan.at() - start - 1));
            }
        }
        match name {
            Some(name) if learn && source.connector != Connector::Other => {
                self.piece(scan, text_from, END);
                (self.name, self.connector) = (name, source.connector);
            }
            _ => self.pieces.clear(),
        }
        Ok(source)
    }

    fn piece(&mut self, scan: &Scan<'_>, from: usize, member: u8) {
        self.pieces.push(Piece { text: scan.since(from).as_bytes().to_vec(), member });
    }
}

impl<'a> Source<'a> {
    /// Reads the value of a member. One that comes twice counts as it came last.
    #[inline]
    fn set(&mut self, member: u8, scan: &mut Scan<'a>) -> Scanned<()> {
        match member {
            CONNECTOR => {
                self.connector_name = plain(scan)?.unwrap_or_default();
                self.connector = Connector::parse(self.connector_name);
            }
            NAME => self.name = scan.string()?.to_text()?,
            TS_MS => self.ts_ms = number(scan)?,
            SEQUENCE => self.sequence = if scan.null()? { None } else { Some(scan.string()?) },
            LSN => self.lsn = number(scan)?,
            FILE => self.file = plain(scan)?,
            POS => self.pos = number(scan)?,
            ROW => self.row = number(scan)?,
            SERVER_ID => self.server_id = number(scan)?,
            SCN => self.scn = plain(scan)?,
            COMMIT_SCN => self.commit_scn = plain(scan)?,
            TX_SEQ => self.tx_seq = number(scan)?,
            ORD => self.ord = number(scan)?,
            _ => scan.skip()?,
        }
        Ok(())
    }

    /// Takes the value of a member that [`member`] told, from a source block that is not JSON.
    #[inline]
    pub(crate) fn put(&mut self, member: u8, value: Scalar<'a>) {
        let (text, number) = (value.text(), value.integer());
        match member {
            CONNECTOR => {
                self.connector_name = text.unwrap_or_default();
                self.connector = Connector::parse(self.connector_name);
            }
            NAME => self.name = Cow::Borrowed(text.unwrap_or_default()),
            TS_MS => self.ts_ms = number,
            SEQUENCE => self.sequence = text.map(Str::plain),
            LSN => self.lsn = number,
            FILE => self.file = text,
            POS => self.pos = number,
            ROW => self.row = number,
            SERVER_ID => self.server_id = number,
            SCN => self.scn = text,
            COMMIT_SCN => self.commit_scn = text,
            TX_SEQ => self.tx_seq = number,
            ORD => self.ord = number,
            _ => {}
        }
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
    let digit = |byte: u8| byte.checked_sub(b'0').filter(|digit| *digit < 10).map(i64::from);
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0_i64, |value, byte| value.checked_mul(10)?.checked_add(digit(byte)?))
}

/// The number behind the last dot.
fn file_number(file: &str) -> Option<i64> {
    decimal(file.rsplit_once('.')?.1)
}

/// PostgreSQL's pair `["last commit","lsn"]`, itself JSON inside a string; the first is null until a commit was seen.
fn sequence(text: Str<'_>) -> Option<[u64; 2]> {
    let inner = text.raw.strip_prefix('[')?.strip_suffix(']')?;
    let comma = inner.bytes().position(|byte| byte == b',')?;
    let (last_commit, lsn) = (&inner[..comma], inner[comma + 1..].trim_start());
    // Without the backslashes where the block is not JSON.
    let word = |text: &str| match text.strip_prefix('\\').unwrap_or(text).strip_prefix('"') {
        Some(digits) => {
            let digits = digits.strip_suffix('"')?;
            u64::try_from(decimal(digits.strip_suffix('\\').unwrap_or(digits))?).ok()
        }
        None => (text == "null").then_some(0),
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
        SourceReader::default().read(&mut Scan::new(text.as_bytes(), 0).unwrap()).unwrap()
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
    fn a_block_like_the_last_one_is_read_the_same() {
        let mut reader = SourceReader::default();
        let one =
            postgres(r#""snapshot":"false","db":"d","sequence":"[\"12\",\"34\"]","table":"t","lsn":34,"xmin":null"#);
        for text in [
            one.clone(),
            one.clone(),
            one.replace("34", "123456"),
            one.replace("\"t\"", "\"u\""),
            one.replace("\"pg\"", "\"other\""),
            one.replace(',', " , "),
            one.replace(",\"xmin\":null", ""),
            one.replace("\"lsn\":34", "\"lsn\":null"),
            one.replace("34", "7"),
        ] {
            let read = reader.read(&mut Scan::new(text.as_bytes(), 0).unwrap()).unwrap();
            let afresh = self::read(&text);
            assert_eq!(
                format!("{read:?}").replace("connector_name: \"\"", "connector_name: \"postgresql\""),
                format!("{afresh:?}"),
                "{text}"
            );
        }
        let text = format!("{one}x");
        let mut scan = Scan::new(text.as_bytes(), 0).unwrap();
        reader.read(&mut scan).unwrap();
        assert_eq!(scan.rest(), "x");
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
