//! A message taken apart: the `{"schema":…,"payload":…}` wrapper, the members of the envelope, and what kind of message it is.
//!
//! Order of members is free, but guessed from the message before. Not here: what the row images hold ([`super::rows`]).

use crate::decoder::SkipReason;
use crate::scan::{Scan, Scanned, Token};

/// A member's name that we know.
pub(crate) type Name = Token<&'static [u8]>;

/// Guesses the members of an object from the object before it, whose producer writes all alike.
#[derive(Debug, Default)]
pub(crate) struct Guess {
    last: Vec<u8>,
}

/// The number of a member that is not known.
pub(crate) const OTHER: u8 = u8::MAX;

impl Guess {
    /// Takes the name of the `place`-th member: its number in `members`, or [`OTHER`]. `None`: the object ends here.
    #[inline]
    pub(crate) fn member(&mut self, scan: &mut Scan<'_>, place: usize, members: &[Name]) -> Scanned<Option<u8>> {
        if let Some(guess) = self.last.get(place)
            && let Some(token) = members.get(usize::from(*guess))
            && scan.expected(place == 0, token)
        {
            return Ok(Some(*guess));
        }
        if scan.member(place == 0)? { self.learn(scan, place, members).map(Some) } else { Ok(None) }
    }

    #[cold]
    fn learn(&mut self, scan: &mut Scan<'_>, place: usize, members: &[Name]) -> Scanned<u8> {
        let name = scan.key()?.to_text()?;
        let is = |token: &Name| token.name() == name.as_bytes();
        let number = members.iter().position(is).and_then(|i| u8::try_from(i).ok()).unwrap_or(OTHER);
        if place < 64 {
            self.last.resize(self.last.len().max(place + 1), OTHER);
            self.last[place] = number;
        }
        Ok(number)
    }
}

/// Whether a member is there, and where its value stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Image {
    #[default]
    Absent,
    Null,
    /// An object, from byte to byte of the scanned text.
    Object(usize, usize),
    /// A text, with its quotes.
    Text(usize, usize),
    /// Something else.
    Other,
}

pub(crate) const BEFORE: u8 = 0;
pub(crate) const AFTER: u8 = 1;
pub(crate) const SOURCE: u8 = 2;
pub(crate) const OP: u8 = 3;
const STATUS: u8 = 4;
const ID: u8 = 5;
const TS_MS: u8 = 6;
const DDL: u8 = 7;
const DATABASE_NAME: u8 = 8;
const AGGREGATE_TYPE: u8 = 9;
const EVENT_COUNT: u8 = 10;
const DATA_COLLECTIONS: u8 = 11;
const ADDITIONAL_DATA: u8 = 12;
const TABLE_CHANGES: u8 = 17;
pub(crate) const UPDATE_DESCRIPTION: u8 = 21;

/// What stands as the operation where the source emptied its table.
pub(crate) const TRUNCATE: &str = "t";

/// The members of an envelope, and those that tell other messages; the rest is skipped, but guessed.
pub(crate) const MEMBERS: &[Name] = &[
    Token::fixed(b"\"before\":"),
    Token::fixed(b"\"after\":"),
    Token::fixed(b"\"source\":"),
    Token::fixed(b"\"op\":"),
    Token::fixed(b"\"status\":"),
    Token::fixed(b"\"id\":"),
    Token::fixed(b"\"ts_ms\":"),
    Token::fixed(b"\"ddl\":"),
    Token::fixed(b"\"databaseName\":"),
    Token::fixed(b"\"aggregate_type\":"),
    Token::fixed(b"\"event_count\":"),
    Token::fixed(b"\"data_collections\":"),
    Token::fixed(b"\"additional_data\":"),
    Token::fixed(b"\"transaction\":"),
    Token::fixed(b"\"ts_us\":"),
    Token::fixed(b"\"ts_ns\":"),
    Token::fixed(b"\"message\":"),
    Token::fixed(b"\"tableChanges\":"),
    Token::fixed(b"\"schemaName\":"),
    Token::fixed(b"\"type\":"),
    Token::fixed(b"\"timestamp\":"),
    Token::fixed(b"\"updateDescription\":"),
];

/// Which members a payload has: tells messages without schema apart.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    bits: u32,
    /// Members in all, known or not.
    pub(crate) members: usize,
}

impl Seen {
    /// Notes a member; whether it was noted before, which no known member may be.
    pub(crate) const fn twice(&mut self, member: u8) -> bool {
        self.members += 1;
        if member >= 32 {
            return false;
        }
        let bit = 1 << member;
        let twice = self.bits & bit != 0;
        self.bits |= bit;
        twice
    }

    const fn has(self, member: u8) -> bool {
        self.bits & (1 << member) != 0
    }

    /// Whether the payload is a change of a row; a row may have columns of any name, an envelope has these.
    pub(crate) const fn is_change(self) -> bool {
        self.has(OP) && self.has(SOURCE)
    }

    /// Whether there is an image of a row beside.
    pub(crate) const fn is_envelope(self) -> bool {
        self.is_change() && (self.has(BEFORE) || self.has(AFTER))
    }

    /// Why a payload is skipped that might be a row instead: it has the members of a message of Debezium's, and no other.
    pub(crate) fn control_alone(self) -> Option<SkipReason> {
        let alone = usize::try_from(self.bits.count_ones()) == Ok(self.members);
        let whole = |reason: &SkipReason| *reason != SkipReason::SchemaChange || self.has(TABLE_CHANGES);
        self.control().filter(|_| alone).filter(whole)
    }

    /// Why a payload that is no change is skipped; `None` where it is nothing we know.
    pub(crate) fn control(self) -> Option<SkipReason> {
        // All members that Debezium always writes: a flattened row may have some of these columns.
        let all = |members: &[u8]| members.iter().all(|member| self.has(*member));
        if self.is_change() {
            None
        } else if all(&[SOURCE, DATABASE_NAME, DDL]) {
            Some(SkipReason::SchemaChange)
        } else if all(&[STATUS, ID, EVENT_COUNT, DATA_COLLECTIONS]) {
            Some(SkipReason::Transaction)
        } else if all(&[ID, AGGREGATE_TYPE, ADDITIONAL_DATA]) {
            Some(SkipReason::Notification)
        } else if self.has(TS_MS) && self.members == 1 {
            Some(SkipReason::Heartbeat)
        } else {
            None
        }
    }
}

impl Image {
    /// What stands next.
    pub(crate) fn read(scan: &mut Scan<'_>) -> Scanned<Self> {
        let kind = scan.peek();
        let from = scan.at();
        scan.skip()?;
        Ok(match kind {
            b'{' => Self::Object(from, scan.at()),
            b'"' => Self::Text(from, scan.at()),
            b'n' => Self::Null,
            _ => Self::Other,
        })
    }
}

/// The two members of the wrapper that a JSON converter with schemas writes, from byte to byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrapper {
    pub(crate) schema: (usize, usize),
    pub(crate) payload: (usize, usize),
}

impl Wrapper {
    /// Reads the wrapper; `None` where the text is an object of another kind, or no object. `scan` is where it was then.
    #[inline]
    pub(crate) fn read(scan: &mut Scan<'_>) -> Scanned<Option<Self>> {
        scan.peek();
        match scan.rest().as_bytes() {
            // The first name is neither of the two.
            [b'{', b'"', letter, ..] if !matches!(letter, b's' | b'p') => Ok(None),
            _ => Self::read_any(scan),
        }
    }

    fn read_any(scan: &mut Scan<'_>) -> Scanned<Option<Self>> {
        let start = scan.at();
        let wrapper = Self::members(scan)?;
        if wrapper.is_none() {
            scan.back_to(start);
        }
        Ok(wrapper)
    }

    fn members(scan: &mut Scan<'_>) -> Scanned<Option<Self>> {
        let (mut schema, mut payload) = (None, None);
        if scan.peek() != b'{' {
            return Ok(None);
        }
        scan.expect(b'{', "want an object")?;
        let mut first = true;
        while scan.member(first)? {
            first = false;
            let name = scan.key()?;
            let slot = match name.raw {
                "schema" if schema.is_none() => &mut schema,
                "payload" if payload.is_none() => &mut payload,
                _ => return Ok(None),
            };
            let kind = scan.peek();
            if name.raw == "schema" && kind != b'{' && kind != b'n' {
                return Ok(None);
            }
            let from = scan.at();
            scan.skip()?;
            *slot = Some((from, scan.at()));
        }
        scan.end()?;
        Ok(schema.zip(payload).map(|(schema, payload)| Self { schema, payload }))
    }
}

/// A schema that messages repeat: compared, not parsed.
#[derive(Debug, Default)]
pub(crate) struct SchemaText {
    schema: Vec<u8>,
    /// All that stands before the payload, if the schema does.
    prefix: Vec<u8>,
}

impl SchemaText {
    /// The schema of a message.
    pub(crate) fn new(message: &[u8], wrapper: &Wrapper) -> Self {
        let (from, to) = wrapper.schema;
        let first = from < wrapper.payload.0;
        let prefix = if first { message[..wrapper.payload.0].to_vec() } else { Vec::new() };
        Self { schema: message[from..to].to_vec(), prefix }
    }

    /// Whether a message begins with it; its payload stands at [`Self::prefix_bytes`] then.
    #[inline]
    pub(crate) fn begins(&self, message: &[u8]) -> bool {
        !self.prefix.is_empty() && message.starts_with(&self.prefix)
    }

    /// The schema alone.
    pub(crate) fn schema(&self) -> &str {
        std::str::from_utf8(&self.schema).unwrap_or_default()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.schema == other.schema
    }

    pub(crate) const fn prefix_bytes(&self) -> usize {
        self.prefix.len()
    }
}

/// What stands in the wrapper, or the whole text.
pub(crate) fn unwrapped(bytes: &[u8]) -> Scanned<Scan<'_>> {
    let mut scan = Scan::new(bytes, 0)?;
    let wrapper = Wrapper::read(&mut scan)?;
    Ok(wrapper.map_or_else(|| scan.clone(), |wrapper| scan.part(wrapper.payload.0, wrapper.payload.1)))
}

/// The members of an object.
pub(crate) fn seen(mut object: Scan<'_>) -> Scanned<Seen> {
    let mut seen = Seen::default();
    let mut guess = Guess::default();
    object.expect(b'{', "want an object")?;
    while let Some(member) = guess.member(&mut object, seen.members, MEMBERS)? {
        object.skip()?;
        seen.twice(member);
    }
    object.end()?;
    Ok(seen)
}

/// Why a message holds no change, told without decoding it: for messages of another topic than the buffered ones.
/// `None`: it may hold one.
pub(crate) fn control(value: &[u8]) -> Option<SkipReason> {
    let mut payload = unwrapped(value).ok()?;
    if payload.null().ok()? {
        return Some(SkipReason::Tombstone);
    }
    seen(payload).ok()?.control()
}

/// Whether the source emptied its table, told from an envelope's object without decoding it.
#[cold]
pub(crate) fn is_truncate(mut envelope: Scan<'_>) -> bool {
    let mut op = || {
        let mut guess = Guess::default();
        envelope.expect(b'{', "want an object")?;
        let mut place = 0;
        while let Some(member) = guess.member(&mut envelope, place, MEMBERS)? {
            place += 1;
            if member == OP {
                return if envelope.peek() == b'"' { Ok(Some(envelope.string()?.raw)) } else { Ok(None) };
            }
            envelope.skip()?;
        }
        Scanned::Ok(None)
    };
    matches!(op(), Ok(Some(TRUNCATE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncate_is_told_by_its_operation() {
        for (text, truncate) in [
            (r#"{"before":null,"after":null,"source":{"op":"c"},"op":"t"}"#, true),
            (r#" { "op" : "t" "#, true),
            (r#"{"before":{"op":"t"},"op":"c"}"#, false),
            (r#"{"op":null}"#, false),
            (r#"{"after":"t"}"#, false),
            (r#"{"op":"t"#, false),
            ("[]", false),
        ] {
            assert_eq!(is_truncate(Scan::new(text.as_bytes(), 0).unwrap()), truncate, "{text}");
        }
    }

    #[test]
    fn kinds_are_told_without_schema() {
        for (text, reason) in [
            (r#"{"ts_ms":1}"#, Some(SkipReason::Heartbeat)),
            (r#"{"schema":null,"payload":{"ts_ms":1}}"#, Some(SkipReason::Heartbeat)),
            (
                r#"{"status":"BEGIN","id":"1","event_count":null,"data_collections":null,"ts_ms":1}"#,
                Some(SkipReason::Transaction),
            ),
            (r#"{"status":"new","id":"1"}"#, None),
            (r#"{"ddl":"x"}"#, None),
            (r#"{"source":{},"databaseName":"d","ddl":"x","tableChanges":[]}"#, Some(SkipReason::SchemaChange)),
            (r#"{"id":"1","type":"x","aggregate_type":"y","additional_data":{}}"#, Some(SkipReason::Notification)),
            (r#"{"payload":null,"schema":{}}"#, Some(SkipReason::Tombstone)),
            ("null", Some(SkipReason::Tombstone)),
            (r#"{"op":"c","source":{},"ddl":1}"#, None),
            (r#"{"id":1,"name":"x"}"#, None),
            (r#"{"ts_ms":1,"x":2}"#, None),
            ("[1]", None),
            ("{", None),
        ] {
            assert_eq!(control(text.as_bytes()), reason, "{text}");
        }
    }

    #[test]
    fn a_row_with_a_column_called_schema_is_no_wrapper() {
        for (text, wrapped) in [
            (r#"{"schema":{"type":"struct"},"payload":1}"#, true),
            (r#"{"payload":1,"schema":null}"#, true),
            (r#"{"schema":"public","payload":1}"#, false),
            (r#"{"schema":{}}"#, false),
            (r#"{"schema":{},"payload":1,"x":1}"#, false),
            ("1", false),
        ] {
            let mut scan = Scan::new(text.as_bytes(), 0).unwrap();
            assert_eq!(Wrapper::read(&mut scan).unwrap().is_some(), wrapped, "{text}");
            assert!(wrapped || scan.at() == 0);
        }
    }

    #[test]
    fn members_are_guessed_and_learnt_anew() {
        let mut guess = Guess::default();
        for text in [
            r#"{"op":1,"x":2,"before":3}"#,
            r#"{"op":1,"x":2,"before":3}"#,
            r#"{"before":1,"op":2,"\u0061fter":3}"#,
            r#"{"op":1}"#,
        ] {
            let mut scan = Scan::new(text.as_bytes(), 0).unwrap();
            scan.expect(b'{', "").unwrap();
            let mut read = vec![];
            while let Some(member) = guess.member(&mut scan, read.len(), MEMBERS).unwrap() {
                read.push(member);
                scan.skip().unwrap();
            }
            let expected: &[u8] = match text.as_bytes()[2] {
                b'b' => &[BEFORE, OP, AFTER],
                _ if text.len() > 9 => &[OP, OTHER, BEFORE],
                _ => &[OP],
            };
            assert_eq!(read, expected);
        }
    }
}
