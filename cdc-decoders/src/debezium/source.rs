//! The `source` block: which source, its position, its clock, its identity.
//!
//! Two positions are told apart. The *order* tells which of two changes of one row is newer: a number of at most 56 bits, or text of
//! one width. The *stream position* is the place in the order in which the connector sends changes of all rows. Neither is given
//! for snapshot rows: what stands in their source block is where the snapshot began, or nothing.

use std::borrow::Cow;

use hudi_core::change::{MAX_LONG_POSITION, OrderKind, SnapshotPart, StreamPosition};

use super::lsn::{LsnOrder, Lsns, RedoPlace};

use super::envelope::{Guess, Name};
use crate::avro::Scalar;
use crate::error::{DecodeError, Part};
use crate::scan::{Fault, Scan, Scanned, Token};

/// The connectors whose positions we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Connector {
    Postgres,
    /// MySQL and MariaDB.
    Binlog,
    Oracle,
    SqlServer,
    Db2,
    Mongo,
    #[default]
    Other,
}

/// What orders the changes of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// At most 56 bits.
    Long(i64),
    /// Two log sequence numbers, and a number beside.
    Lsns(LsnOrder),
}

impl Connector {
    /// The connector of a name, as it stands in source blocks and headers.
    pub(crate) fn parse(name: &[u8]) -> Self {
        match name {
            b"postgresql" => Self::Postgres,
            b"mysql" | b"mariadb" => Self::Binlog,
            b"oracle" => Self::Oracle,
            b"sqlserver" => Self::SqlServer,
            b"db2" => Self::Db2,
            b"mongodb" => Self::Mongo,
            _ => Self::Other,
        }
    }

    /// The form of its orders, where we read them.
    pub(crate) const fn order_kind(self) -> Option<OrderKind> {
        match self {
            Self::Postgres | Self::Binlog | Self::Oracle | Self::Mongo => Some(OrderKind::Long),
            Self::SqlServer | Self::Db2 => Some(OrderKind::Text),
            Self::Other => None,
        }
    }
}

/// A source block taken apart; texts as they stand in the message.
#[derive(Debug, Default)]
pub(crate) struct Source<'a> {
    pub(crate) connector: Connector,
    /// A transform kept of the block what its user asked for.
    pub(crate) flattened: bool,
    connector_name: &'a str,
    pub(crate) name: Cow<'a, str>,
    pub(crate) ts_ms: Option<i64>,
    /// Which snapshot read the row, if one did.
    pub(crate) snapshot: SnapshotPart,
    sequence: Option<&'a [u8]>,
    lsn: Option<i64>,
    file: Option<&'a str>,
    pos: Option<i64>,
    row: Option<i64>,
    server_id: Option<i64>,
    scn: Option<&'a str>,
    commit_scn: Option<&'a str>,
    tx_seq: Option<i64>,
    rs_id: Option<&'a str>,
    ssn: Option<i64>,
    commit_lsn: Option<&'a str>,
    change_lsn: Option<&'a str>,
    event_serial_no: Option<i64>,
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
const RS_ID: u8 = 20;
const SSN: u8 = 21;
const COMMIT_LSN: u8 = 22;
const CHANGE_LSN: u8 = 23;
const EVENT_SERIAL_NO: u8 = 24;

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
    Token::fixed(b"\"rs_id\":"),
    Token::fixed(b"\"ssn\":"),
    Token::fixed(b"\"commit_lsn\":"),
    Token::fixed(b"\"change_lsn\":"),
    Token::fixed(b"\"event_serial_no\":"),
    Token::fixed(b"\"txId\":"),
    Token::fixed(b"\"xmin\":"),
    Token::fixed(b"\"origin\":"),
    Token::fixed(b"\"origin_lsn\":"),
    Token::fixed(b"\"gtid\":"),
    Token::fixed(b"\"thread\":"),
    Token::fixed(b"\"query\":"),
];

/// The names of the members, at their numbers.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    MEMBERS.iter().map(|token| std::str::from_utf8(token.name()).unwrap_or_default())
}

/// The number of a member.
pub(crate) fn member_number(name: &str) -> Option<u8> {
    names().position(|known| known == name).and_then(|number| u8::try_from(number).ok())
}

/// Whether a member's value is read.
pub(crate) fn is_wanted(member: u8) -> bool {
    matches!(member, CONNECTOR | NAME | SEQUENCE | SNAPSHOT) || !matches!(Source::default().slot(member), Slot::None)
}

/// Whether a member is the same in most blocks of a topic.
const fn lasting(member: u8) -> bool {
    matches!(member, CONNECTOR | NAME | VERSION | SNAPSHOT | DB | SCHEMA | TABLE)
}

/// Reads source blocks: all of a topic are alike, so what stood around the changing values last time is compared, not scanned.
#[derive(Debug, Default)]
pub(crate) struct SourceReader {
    guess: Guess,
    pieces: Vec<Piece>,
    connector: Connector,
    snapshot: SnapshotPart,
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
        let mut source = Source { connector: self.connector, snapshot: self.snapshot, ..Source::default() };
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
        if source.connector_name.is_empty() {
            // Debezium below 0.10 does not say it.
            source.connector = source.connector_by_position();
        }
        match name {
            Some(name) if learn && source.connector != Connector::Other => {
                self.piece(scan, text_from, END);
                (self.name, self.connector, self.snapshot) = (name, source.connector, source.snapshot);
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
        match self.slot(member) {
            Slot::Number(slot) => *slot = number(scan)?,
            Slot::Text(slot) => *slot = plain(scan)?,
            Slot::None => match member {
                CONNECTOR => self.set_connector(plain(scan)?.unwrap_or_default()),
                NAME => self.name = scan.string()?.to_text()?,
                SEQUENCE => self.sequence = if scan.null()? { None } else { Some(scan.string()?.raw.as_bytes()) },
                SNAPSHOT => self.snapshot = snapshot(scan)?,
                _ => scan.skip()?,
            },
        }
        Ok(())
    }

    /// Takes a member's value that stands alone, in a row or in an attribute of its own.
    pub(crate) fn read(&mut self, member: u8, mut value: Scan<'a>) -> Result<(), DecodeError> {
        self.set(member, &mut value).map_err(|fault| misread(member, fault))
    }

    /// The same of a text, bare as in a header.
    pub(crate) fn read_text(&mut self, member: u8, text: &'a str) -> Result<(), DecodeError> {
        match self.slot(member) {
            Slot::Number(slot) => match text.parse() {
                Ok(number) => *slot = Some(number),
                Err(_) => return Err(misread(member, Fault::Value { want: "want a whole number" })),
            },
            Slot::Text(slot) => *slot = Some(text),
            Slot::None => match member {
                CONNECTOR => self.set_connector(text),
                NAME => self.name = Cow::Borrowed(text),
                SEQUENCE => self.sequence = Some(text.as_bytes()),
                SNAPSHOT => self.snapshot = snapshot_part(text.as_bytes()),
                _ => {}
            },
        }
        Ok(())
    }

    /// The same of a value that is not JSON.
    #[inline]
    pub(crate) fn read_scalar(&mut self, member: u8, value: Scalar<'a>) {
        match self.slot(member) {
            Slot::Number(slot) => *slot = value.integer(),
            Slot::Text(slot) => *slot = value.text(),
            Slot::None => match member {
                CONNECTOR => self.set_connector_of(value),
                NAME => self.name = Cow::Borrowed(value.text().unwrap_or_default()),
                SEQUENCE => self.sequence = value.utf8(),
                SNAPSHOT => self.snapshot = snapshot_of(value),
                _ => {}
            },
        }
    }

    /// The connector whose position the members are.
    pub(crate) fn connector_by_position(&self) -> Connector {
        let long = |lsn: &str| lsn.bytes().filter(u8::is_ascii_hexdigit).count() > 20;
        if self.lsn.is_some() {
            Connector::Postgres
        } else if self.file.is_some() || self.pos.is_some() {
            Connector::Binlog
        } else if self.scn.is_some() || self.commit_scn.is_some() {
            Connector::Oracle
        } else if let Some(lsn) = self.commit_lsn {
            if long(lsn) { Connector::Db2 } else { Connector::SqlServer }
        } else if self.ord.is_some() {
            Connector::Mongo
        } else {
            Connector::Other
        }
    }

    #[inline]
    fn slot(&mut self, member: u8) -> Slot<'_, 'a> {
        match member {
            TS_MS => Slot::Number(&mut self.ts_ms),
            LSN => Slot::Number(&mut self.lsn),
            FILE => Slot::Text(&mut self.file),
            POS => Slot::Number(&mut self.pos),
            ROW => Slot::Number(&mut self.row),
            SERVER_ID => Slot::Number(&mut self.server_id),
            SCN => Slot::Text(&mut self.scn),
            COMMIT_SCN => Slot::Text(&mut self.commit_scn),
            TX_SEQ => Slot::Number(&mut self.tx_seq),
            RS_ID => Slot::Text(&mut self.rs_id),
            SSN => Slot::Number(&mut self.ssn),
            COMMIT_LSN => Slot::Text(&mut self.commit_lsn),
            CHANGE_LSN => Slot::Text(&mut self.change_lsn),
            EVENT_SERIAL_NO => Slot::Number(&mut self.event_serial_no),
            ORD => Slot::Number(&mut self.ord),
            _ => Slot::None,
        }
    }

    fn set_connector(&mut self, name: &'a str) {
        (self.connector_name, self.connector) = (name, Connector::parse(name.as_bytes()));
    }

    #[inline]
    fn set_connector_of(&mut self, name: Scalar<'a>) {
        self.connector = Connector::parse(name.utf8().unwrap_or_default());
        if self.connector == Connector::Other {
            self.connector_name = name.text().unwrap_or_default();
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
            why: "its positions are not read; postgresql, mysql, mariadb, oracle, sqlserver, db2 and mongodb are",
        })
    }

    /// Whether a transform left nothing of the position.
    const fn unordered(&self) -> bool {
        self.flattened
            && match self.connector {
                Connector::Postgres => self.lsn.is_none(),
                Connector::Binlog => self.file.is_none() && self.pos.is_none(),
                Connector::Oracle => self.scn.is_none() && self.commit_scn.is_none(),
                Connector::SqlServer | Connector::Db2 => self.commit_lsn.is_none() && self.change_lsn.is_none(),
                Connector::Mongo => self.ord.is_none(),
                Connector::Other => true,
            }
    }

    /// What orders the changes of one row; `None` where the change has to be judged by its arrival.
    pub(crate) fn order(&self) -> Result<Option<Order>, DecodeError> {
        if self.unordered() {
            return Ok(None);
        }
        let (field, order) = match self.connector {
            Connector::Postgres => ("lsn", self.lsn),
            Connector::Binlog => ("pos", self.binlog_order()?),
            Connector::Oracle => match self.commit_scn.filter(|scn| !scn.is_empty()) {
                Some(scn) => ("commit_scn", decimal(scn)),
                None => ("scn", self.scn.and_then(decimal)),
            },
            Connector::SqlServer | Connector::Db2 => return Ok(Some(Order::Lsns(self.lsns()?.order()))),
            Connector::Mongo => ("ord", self.mongo_order()?),
            Connector::Other => ("connector", None),
        };
        let reason = "want a whole number of at most 56 bits, to order the changes of a row";
        let order = order.filter(|order| (0..=MAX_LONG_POSITION).contains(order));
        order.map(|order| Some(Order::Long(order))).ok_or(DecodeError::Position { field, reason })
    }

    fn lsns(&self) -> Result<Lsns, DecodeError> {
        match self.connector {
            Connector::SqlServer => Lsns::sql_server(self.commit_lsn, self.change_lsn, self.event_serial_no),
            _ => Lsns::db2(self.commit_lsn, self.change_lsn),
        }
    }

    fn binlog_order(&self) -> Result<Option<i64>, DecodeError> {
        let file = self.file.and_then(file_number).filter(|number| *number < 1 << 24).ok_or(DecodeError::Position {
            field: "file",
            reason: "want a binlog file's name that ends in `.` and a number below 2^24",
        })?;
        Ok(self.pos.filter(|pos| (0..1 << 32).contains(pos)).map(|pos| file << 32 | pos))
    }

    fn mongo_order(&self) -> Result<Option<i64>, DecodeError> {
        let seconds = self.ts_ms.map(|ms| ms.div_euclid(1000)).filter(|seconds| (0..1 << 32).contains(seconds));
        let reason = "want milliseconds since 1970, of seconds that fit 32 bits";
        let seconds = seconds.ok_or(DecodeError::Position { field: "ts_ms", reason })?;
        Ok(self.ord.filter(|ord| (0..1 << 24).contains(ord)).map(|ord| seconds << 24 | ord))
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
                let commit = whole(self.commit_scn.and_then(decimal))?;
                match whole(self.tx_seq) {
                    Some(inside) => [commit, inside, 0],
                    None => [commit, whole(self.scn.and_then(decimal))?, RedoPlace::new(self.rs_id, self.ssn).0],
                }
            }
            Connector::SqlServer | Connector::Db2 => return self.lsns().ok()?.stream_position(),
            Connector::Mongo => [whole(self.ts_ms)? / 1000, whole(self.ord)?, 0],
            Connector::Other => return None,
        }))
    }
}

/// Where the value of a member goes.
enum Slot<'s, 'a> {
    Number(&'s mut Option<i64>),
    Text(&'s mut Option<&'a str>),
    None,
}

/// A number or null; the number may stand in quotes.
#[inline]
fn number(scan: &mut Scan<'_>) -> Scanned<Option<i64>> {
    match scan.peek() {
        b'n' => scan.null().map(|_| None),
        b'"' => scan.string()?.raw.parse().map(Some).map_err(|_| Fault::Value { want: "want a whole number" }),
        _ => scan.integer().map(Some),
    }
}

/// A text or null; one with escapes is left empty, for none that we want has any.
fn plain<'a>(scan: &mut Scan<'a>) -> Scanned<Option<&'a str>> {
    if scan.null()? {
        return Ok(None);
    }
    let text = scan.string()?;
    Ok(Some(if text.escaped { "" } else { text.raw }))
}

/// Text, or as old connectors have it: true or false.
#[cold]
fn snapshot(scan: &mut Scan<'_>) -> Scanned<SnapshotPart> {
    let from = scan.at();
    scan.skip()?;
    Ok(snapshot_part(scan.since(from).trim_matches('"').as_bytes()))
}

fn snapshot_of(value: Scalar<'_>) -> SnapshotPart {
    match value {
        Scalar::Text(text) => snapshot_part(text),
        Scalar::Boolean(true) => SnapshotPart::Full,
        _ => SnapshotPart::None,
    }
}

fn snapshot_part(text: &[u8]) -> SnapshotPart {
    match text {
        b"true" | b"first" | b"first_in_data_collection" => SnapshotPart::Full,
        b"last" | b"last_in_data_collection" => SnapshotPart::FullLast,
        b"incremental" => SnapshotPart::Incremental,
        _ => SnapshotPart::None,
    }
}

/// Digits only, of at most 63 bits.
fn decimal(text: &str) -> Option<i64> {
    digits(text.as_bytes())
}

fn digits(text: &[u8]) -> Option<i64> {
    let digit = |byte: u8| byte.checked_sub(b'0').filter(|digit| *digit < 10).map(i64::from);
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_i64, |value, byte| value.checked_mul(10)?.checked_add(digit(*byte)?))
}

/// The number behind the last dot.
fn file_number(file: &str) -> Option<i64> {
    decimal(file.rsplit_once('.')?.1)
}

/// PostgreSQL's pair `["last commit","lsn"]`; the first is null until a commit was seen. It is JSON inside a text, so that the
/// quotes may be escaped.
fn sequence(text: &[u8]) -> Option<[u64; 2]> {
    let words = text.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let (last_commit, lsn) = words.split_at(words.iter().position(|byte| *byte == b',')?);
    Some([word(last_commit)?, word(lsn.strip_prefix(b",")?.trim_ascii_start())?])
}

/// Digits between quotation marks, with or without backslashes.
#[inline]
fn word(text: &[u8]) -> Option<u64> {
    if text == b"null" {
        return Some(0);
    }
    let mark = text.iter().position(|byte| *byte != b'\\')?;
    let number = text[mark..].strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let escape = number.iter().rev().take_while(|byte| **byte == b'\\').count();
    u64::try_from(digits(&number[..number.len() - escape])?).ok()
}

/// The error of a member that is none of its kind.
fn misread(member: u8, fault: Fault) -> DecodeError {
    let field = names().nth(usize::from(member)).unwrap_or("source");
    match fault.in_part(Part::Value) {
        DecodeError::Malformed { reason, .. } => DecodeError::Position { field, reason },
        other => other,
    }
}

/// The error of a source block that is no such block.
pub(crate) fn malformed(fault: Fault) -> DecodeError {
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

    fn long(order: i64) -> Result<Option<Order>, DecodeError> {
        Ok(Some(Order::Long(order)))
    }

    fn postgres(rest: &str) -> String {
        format!(r#"{{"version":"3","connector":"postgresql","name":"pg","ts_ms":5,{rest}}}"#)
    }

    #[test]
    fn postgres_orders_by_lsn_and_streams_by_the_pair() {
        let text = postgres(r#""sequence":"[\"12\",\"34\"]","lsn":34"#);
        let source = read(&text);
        assert_eq!((source.order(), source.stream_position()), (long(34), Some(StreamPosition([12, 34, 0]))));
        assert_eq!((&*source.name, source.ts_ms, source.identity()), ("pg", Some(5), None));
        let text = postgres(r#""sequence":"[null,\"34\"]","lsn":34"#);
        assert_eq!(read(&text).stream_position(), Some(StreamPosition([0, 34, 0])));
        let text = postgres(r#""lsn":34"#);
        assert_eq!(read(&text).stream_position(), None);
        for bad in [r#""lsn":null"#, r#""lsn":72057594037927936"#, r#""lsn":-1"#] {
            assert!(matches!(read(&postgres(bad)).order(), Err(DecodeError::Position { field: "lsn", .. })), "{bad}");
        }
        assert_eq!(read(&postgres(r#""lsn":72057594037927935"#)).order(), long((1 << 56) - 1));
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
        assert_eq!(at("binlog.000007", 9), (long(7 << 32 | 9), Some(StreamPosition([7, 9, 3])), Some(4242)));
        assert_eq!(at("a.b.1000000", 0).0, long(1_000_000 << 32));
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
        assert_eq!((source.order(), source.stream_position()), (long(120), Some(StreamPosition([120, 4, 0]))));
        let source = read(r#"{"connector":"oracle","name":"o","scn":"100","commit_scn":null}"#);
        assert_eq!((source.order(), source.stream_position()), (long(100), None));
        assert!(read(r#"{"connector":"oracle","name":"o","commit_scn":"1x"}"#).order().is_err());
        let source = read(r#"{"connector":"mongodb","name":"o","ts_ms":1700000000000,"ord":2}"#);
        assert_eq!(
            (source.order(), source.stream_position()),
            (long(1_700_000_000 << 24 | 2), Some(StreamPosition([1_700_000_000, 2, 0])))
        );
    }

    #[test]
    fn oracle_without_a_number_inside_the_transaction_goes_by_the_redo_log() {
        let at = |rest: &str| {
            let text = format!(r#"{{"connector":"oracle","name":"o","commit_scn":"120",{rest}}}"#);
            read(&text).stream_position()
        };
        let place = at(r#""scn":"100","rs_id":" 0x000049.00000052.0010 ","ssn":1"#);
        assert_eq!(place, Some(StreamPosition([120, 100, 0x52 << 32 | 0x10 << 16 | 1])));
        assert_eq!(at(r#""scn":"100","rs_id":null,"ssn":null"#), Some(StreamPosition([120, 100, 0])));
        assert_eq!(at(r#""scn":"100","txSeq":7"#), Some(StreamPosition([120, 7, 0])));
        let large = read(r#"{"connector":"oracle","name":"o","commit_scn":"72057594037927936"}"#).order();
        assert!(matches!(large, Err(DecodeError::Position { field: "commit_scn", .. })));
    }

    #[test]
    fn the_sources_of_text_orders() {
        let at = |connector: &str, serial: &str| {
            let text = format!(
                r#"{{"connector":"{connector}","name":"s","change_lsn":"00000027:00000ac0:0002","commit_lsn":"00000027:00000ac0:0007","event_serial_no":{serial}}}"#
            );
            let source = read(&text);
            let Ok(Some(Order::Lsns(order))) = source.order() else { panic!("{text}") };
            let mut printed = String::new();
            order.print(&mut printed);
            (printed, source.stream_position().is_some())
        };
        let text = "0000002700000ac0000".to_owned() + "70000002700000ac0000" + "200000002";
        assert_eq!(at("sqlserver", "2"), (text.clone(), true));
        assert_eq!(at("sqlserver", "\"2\""), (text, true));
        assert_eq!(at("db2", "2").0.len(), 64);
        let snapshot = read(r#"{"connector":"sqlserver","name":"s","change_lsn":null,"commit_lsn":"1:2:3"}"#);
        assert!(matches!(snapshot.order(), Err(DecodeError::Position { field: "change_lsn", .. })));
    }

    #[test]
    fn what_a_transform_left_out_is_missed_by_nobody() {
        for connector in ["postgresql", "mariadb", "oracle", "sqlserver", "db2", "mongodb", "x"] {
            let text = format!(r#"{{"connector":"{connector}","name":"s"}}"#);
            let whole = read(&text);
            assert!(whole.order().is_err(), "{connector}");
            let source = Source { flattened: true, ..whole };
            assert_eq!((source.order(), source.stream_position()), (Ok(None), None), "{connector}");
        }
        let half = Source { flattened: true, ..read(r#"{"connector":"mariadb","name":"s","pos":4}"#) };
        assert!(half.order().is_err());
    }

    #[test]
    fn a_block_without_connector_is_known_by_its_position() {
        let mut reader = SourceReader::default();
        for pos in [7, 7, 8] {
            let text = format!(r#"{{"name":"m","server_id":4,"file":"b.000002","pos":{pos},"row":0}}"#);
            let source = reader.read(&mut Scan::new(text.as_bytes(), 0).unwrap()).unwrap();
            assert_eq!((source.connector, source.order()), (Connector::Binlog, long(2 << 32 | pos)));
        }
        assert_eq!(read(r#"{"name":"m","ts_ms":7}"#).connector, Connector::Other);
    }

    #[test]
    fn the_snapshot_is_told_in_all_its_spellings() {
        let mut reader = SourceReader::default();
        for (text, part) in [
            ("\"first\"", SnapshotPart::Full),
            ("\"first_in_data_collection\"", SnapshotPart::Full),
            ("\"true\"", SnapshotPart::Full),
            ("\"true\"", SnapshotPart::Full),
            ("true", SnapshotPart::Full),
            ("\"last_in_data_collection\"", SnapshotPart::FullLast),
            ("\"last\"", SnapshotPart::FullLast),
            ("\"incremental\"", SnapshotPart::Incremental),
            ("\"incremental\"", SnapshotPart::Incremental),
            ("\"false\"", SnapshotPart::None),
            ("false", SnapshotPart::None),
            ("null", SnapshotPart::None),
        ] {
            let block = postgres(&format!(r#""snapshot":{text},"lsn":7"#));
            let source = reader.read(&mut Scan::new(block.as_bytes(), 0).unwrap()).unwrap();
            assert_eq!(source.snapshot, part, "{text}");
        }
    }

    #[test]
    fn a_time_of_mongodb_that_does_not_fit_is_named() {
        for (member, field) in
            [(r#""ts_ms":1558965508000000000,"ord":1"#, "ts_ms"), (r#""ts_ms":5,"ord":16777216"#, "ord")]
        {
            let text = format!(r#"{{"connector":"mongodb","name":"o",{member}}}"#);
            let error = read(&text).order().unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }

    #[test]
    fn other_sources_are_refused_by_name() {
        let error = read(r#"{"connector":"vitess","name":"s"}"#).check().unwrap_err();
        assert!(error.to_string().contains("vitess") && !error.can_go_on());
        assert!(read(r#"{"connector":"mysql"}"#).check().is_err());
    }
}
