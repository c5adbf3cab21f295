//! Capture files: Kafka records kept in a file, one JSON object a line.
//!
//! ```json
//! {"topic":"shop.orders","partition":0,"offset":7,"timestamp":1700000000000,"key":"eyJpZCI6MX0=","value":null,"headers":[["h","eA=="]]}
//! ```
//!
//! `key`, `value` and the headers' values are base64 with padding, or null; `timestamp` is in milliseconds or null;
//! `headers` may be absent. The file may be gzip (one member or several), told by its first bytes and not by its name.
//! Blank lines are passed over, members of the object that are not known are ignored.
//!
//! This file does not look into keys and values.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64_simd::STANDARD;
use cdc_decoders::{Header, Message};
use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Deserializer};

use crate::{Error, Result};

/// The first bytes of every gzip stream. No JSON text begins with them.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

const READ_BUFFER_BYTES: usize = 64 * 1024;

/// One record of a capture, owned. Made empty by `default()` and filled again and again by
/// [`CaptureReader::read_next`], which keeps the buffers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CapturedRecord {
    /// The topic that the record came from.
    pub topic: String,
    /// The topic's partition.
    pub partition: i32,
    /// The position in the partition.
    pub offset: i64,
    /// The broker's timestamp in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes; `None` is Kafka's null.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` is Kafka's null, a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers in the record's order. Names may repeat.
    pub headers: Vec<CapturedHeader>,
}

/// One header of a record, owned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CapturedHeader {
    /// The header's name.
    pub name: String,
    /// The header's bytes; `None` is Kafka's null.
    pub value: Option<Vec<u8>>,
}

impl CapturedRecord {
    /// The headers as a decoder takes them, for [`as_message`](Self::as_message). Allocates only if there are any.
    pub fn headers(&self) -> Vec<Header<'_>> {
        self.headers.iter().map(|h| Header { name: &h.name, value: h.value.as_deref() }).collect()
    }

    /// The record as a decoder takes it, with the headers that [`headers`](Self::headers) made.
    pub fn as_message<'a>(&'a self, headers: &'a [Header<'a>]) -> Message<'a> {
        Message {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers,
        }
    }
}

/// Reads the records of one capture file in the file's order. Memory follows the longest line.
pub struct CaptureReader {
    file: PathBuf,
    source: Box<dyn BufRead + Send>,
    text: Vec<u8>,
    line: u64,
}

impl CaptureReader {
    /// Opens a capture file, plain or gzip.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the file cannot be opened or its first bytes cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| Error::Unreadable { file: path.to_owned(), line: 0, source })?;
        Self::from_reader(path, BufReader::with_capacity(READ_BUFFER_BYTES, file))
    }

    /// Reads a capture, plain or gzip, from `source`; `name` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the first bytes cannot be read.
    pub fn from_reader(name: impl Into<PathBuf>, mut source: impl BufRead + Send + 'static) -> Result<Self> {
        let file = name.into();
        let source: Box<dyn BufRead + Send> = match source.fill_buf() {
            Ok(start) if start.starts_with(&GZIP_MAGIC) => {
                Box::new(BufReader::with_capacity(READ_BUFFER_BYTES, MultiGzDecoder::new(source)))
            }
            Ok(_) => Box::new(source),
            Err(source) => return Err(Error::Unreadable { file, line: 0, source }),
        };
        Ok(Self { file, source, text: Vec::new(), line: 0 })
    }

    /// Reads the next record into `record`. `false`: the capture has ended, and `record` is as it was.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the line is no record: `record` is then unspecified, and the next call goes on with the
    /// line after it. [`Error::Unreadable`] if the file cannot be read on.
    pub fn read_next(&mut self, record: &mut CapturedRecord) -> Result<bool> {
        while self.read_line()? {
            if !self.text.trim_ascii().is_empty() {
                parse(&self.text, record).map_err(|reason| Error::Malformed {
                    file: self.file.clone(),
                    line: self.line,
                    reason,
                })?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The number of the line that was read last, counted from 1; 0 before the first.
    pub fn line(&self) -> u64 {
        self.line
    }

    fn read_line(&mut self) -> Result<bool> {
        self.text.clear();
        match self.source.read_until(b'\n', &mut self.text) {
            Ok(0) => Ok(false),
            Ok(_) => {
                self.line += 1;
                Ok(true)
            }
            Err(source) => Err(Error::Unreadable { file: self.file.clone(), line: self.line, source }),
        }
    }
}

impl Iterator for CaptureReader {
    type Item = Result<CapturedRecord>;

    /// The next record, newly allocated; loops over many records reuse one with [`CaptureReader::read_next`].
    fn next(&mut self) -> Option<Self::Item> {
        let mut record = CapturedRecord::default();
        self.read_next(&mut record).map(|more| more.then_some(record)).transpose()
    }
}

/// A line as it stands, base64 undecoded. Text without escapes is borrowed from the line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
    #[serde(default)]
    timestamp: Option<i64>,
    // An absent value must not pass for a null, which deletes a row.
    #[serde(borrow, deserialize_with = "present")]
    key: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "present")]
    value: Option<Text<'a>>,
    #[serde(borrow, default)]
    headers: Option<Vec<(Text<'a>, Option<Text<'a>>)>>,
}

/// A string that is borrowed even inside an `Option`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn present<'de, D: Deserializer<'de>>(source: D) -> std::result::Result<Option<Text<'de>>, D::Error> {
    Option::deserialize(source)
}

fn parse(text: &[u8], record: &mut CapturedRecord) -> std::result::Result<(), String> {
    let line: Line<'_> = serde_json::from_slice(text).map_err(|e| {
        // The line's number within its own text is always 1.
        let what = e.to_string();
        let what = what.split(" at line ").next().unwrap_or(&what).to_owned();
        format!("not a record: {what} (column {})", e.column())
    })?;
    record.topic.clear();
    record.topic.push_str(&line.topic);
    record.partition = line.partition;
    record.offset = line.offset;
    record.timestamp_ms = line.timestamp;
    decode(line.key.as_ref(), &mut record.key, || "key".to_owned())?;
    decode(line.value.as_ref(), &mut record.value, || "value".to_owned())?;
    let headers = line.headers.unwrap_or_default();
    record.headers.resize_with(headers.len(), CapturedHeader::default);
    for ((name, value), header) in headers.iter().zip(&mut record.headers) {
        header.name.clear();
        header.name.push_str(&name.0);
        decode(value.as_ref(), &mut header.value, || format!("header `{}`", name.0))?;
    }
    Ok(())
}

/// Decodes base64 into the buffer that `into` holds, if it holds one.
fn decode(
    text: Option<&Text<'_>>,
    into: &mut Option<Vec<u8>>,
    what: impl FnOnce() -> String,
) -> std::result::Result<(), String> {
    let Some(text) = text else {
        *into = None;
        return Ok(());
    };
    let bytes = into.get_or_insert_default();
    bytes.clear();
    STANDARD.decode_append(text.0.as_bytes(), bytes).map_err(|_| format!("{} is not base64", what()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const FULL: &str = r#"{"topic":"t","partition":2,"offset":7,"timestamp":5,"key":"a2V5","value":"dmFsdWU=","headers":[["h","eA=="],["n",null],["h",""]]}"#;
    const TOMBSTONE: &str =
        r#"{"topic":"t","partition":2,"offset":8,"timestamp":null,"key":"a2V5","value":null,"headers":[]}"#;

    fn reader(text: impl Into<Vec<u8>>) -> CaptureReader {
        CaptureReader::from_reader("made-up", Cursor::new(text.into())).unwrap()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn check_refused(line: &str, expect: &str) {
        let mut reader = reader(format!("{FULL}\n{line}\n{TOMBSTONE}\n"));
        let mut record = CapturedRecord::default();
        assert!(reader.read_next(&mut record).unwrap());
        let error = reader.read_next(&mut record).unwrap_err().to_string();
        assert!(error.starts_with("made-up, line 2: "), "{error}");
        assert!(error.contains(expect), "{error}");
        assert!(reader.read_next(&mut record).unwrap(), "the line after a malformed one is read");
        assert_eq!((record.offset, record.value), (8, None));
    }

    #[test]
    fn a_record_keeps_every_field() {
        let record = reader(FULL).next().unwrap().unwrap();
        let header = |name: &str, value: Option<&[u8]>| CapturedHeader {
            name: name.to_owned(),
            value: value.map(<[u8]>::to_vec),
        };
        let expect = CapturedRecord {
            topic: "t".to_owned(),
            partition: 2,
            offset: 7,
            timestamp_ms: Some(5),
            key: Some(b"key".to_vec()),
            value: Some(b"value".to_vec()),
            headers: vec![header("h", Some(b"x")), header("n", None), header("h", Some(b""))],
        };
        assert_eq!(record, expect);
    }

    #[test]
    fn a_message_borrows_all_of_its_record() {
        let record = reader(FULL).next().unwrap().unwrap();
        let headers = record.headers();
        let message = record.as_message(&headers);
        assert_eq!((message.topic, message.partition, message.offset, message.timestamp_ms), ("t", 2, 7, Some(5)));
        assert_eq!((message.key, message.value), (Some(&b"key"[..]), Some(&b"value"[..])));
        let headers: Vec<_> = message.headers.iter().map(|h| (h.name, h.value)).collect();
        assert_eq!(headers, [("h", Some(&b"x"[..])), ("n", None), ("h", Some(&b""[..]))]);
    }

    #[test]
    fn a_record_used_again_holds_nothing_of_the_one_before() {
        let mut reader = reader(format!("{FULL}\n{TOMBSTONE}\n"));
        let mut record = CapturedRecord::default();
        assert!(reader.read_next(&mut record).unwrap());
        assert!(reader.read_next(&mut record).unwrap());
        assert_eq!(
            record,
            CapturedRecord {
                topic: "t".to_owned(),
                partition: 2,
                offset: 8,
                key: Some(b"key".to_vec()),
                ..CapturedRecord::default()
            }
        );
        assert!(!reader.read_next(&mut record).unwrap());
        assert!(!reader.read_next(&mut record).unwrap(), "an ended capture stays ended");
    }

    #[test]
    fn escapes_blank_lines_and_a_missing_last_line_feed_are_read() {
        let text = format!("\n  \r\n{}\r\n\n{TOMBSTONE}", FULL.replace(r#""topic":"t""#, r#""topic":"\u0074\n\"""#));
        let records: Vec<_> = reader(text).map(Result::unwrap).collect();
        assert_eq!(records.iter().map(|r| r.topic.as_str()).collect::<Vec<_>>(), ["t\n\"", "t"]);
    }

    #[test]
    fn an_empty_capture_has_no_record() {
        assert!(reader("").next().is_none());
        assert!(reader(gzip("")).next().is_none());
    }

    #[test]
    fn gzip_is_told_by_its_bytes_and_may_have_several_members() {
        let mut bytes = gzip(&format!("{FULL}\n"));
        bytes.extend(gzip(TOMBSTONE));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let offsets: Vec<_> = CaptureReader::open(file.path()).unwrap().map(|r| r.unwrap().offset).collect();
        assert_eq!(offsets, [7, 8]);
    }

    #[test]
    fn a_truncated_gzip_names_the_file_and_the_last_good_line() {
        let text: String =
            (0..2000).map(|n| FULL.replace(r#""offset":7"#, &format!(r#""offset":{n}"#)) + "\n").collect();
        let bytes = gzip(&text);
        let mut reader = reader(&bytes[..bytes.len() / 2]);
        let error = reader.find_map(std::result::Result::err).unwrap();
        assert!(matches!(&error, Error::Unreadable { line, .. } if *line < 2000), "{error}");
        assert!(error.to_string().starts_with("made-up, after line "), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = CaptureReader::open("nowhere/records.jsonl").err().unwrap();
        assert!(error.to_string().starts_with("nowhere/records.jsonl, after line 0: "), "{error}");
    }

    #[test]
    fn a_malformed_line_is_named_and_passed() {
        check_refused("{", "not a record: EOF while parsing an object");
        check_refused("[]", "not a record: ");
        check_refused(&FULL.replace(r#""offset":7,"#, ""), "missing field `offset`");
        check_refused(&FULL.replace(r#""value":"dmFsdWU=","#, ""), "missing field `value`");
        check_refused(&FULL.replace(r#""key":"a2V5","#, ""), "missing field `key`");
        check_refused(&FULL.replace(r#""partition":2"#, r#""partition":"2""#), "expected i32");
        check_refused(&FULL.replace(r#""offset":7"#, r#""offset":9223372036854775808"#), "expected i64");
        check_refused(&FULL.replace("a2V5", "a2V"), "key is not base64");
        check_refused(&FULL.replace("dmFsdWU=", "dmFs dWU"), "value is not base64");
        check_refused(&FULL.replace("eA==", "="), "header `h` is not base64");
        check_refused(&FULL.replace(r#"["n",null]"#, r#"["n"]"#), "not a record: ");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let mut reader = reader(&b"\xff\xfe\n"[..]);
        assert!(matches!(reader.next(), Some(Err(Error::Malformed { line: 1, .. }))));
    }

    /// The number of records that the captures' own table of contents gives for each of them.
    fn counts(readme: &str) -> BTreeMap<&str, usize> {
        let rows = readme.lines().filter_map(|line| line.strip_prefix("| "));
        rows.filter_map(|row| {
            let cells: Vec<_> = row.split(" | ").collect();
            Some((*cells.first()?, cells.get(3)?.parse().ok()?))
        })
        .collect()
    }

    #[test]
    fn every_shared_capture_is_read_whole() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/cdc-captures");
        let Ok(readme) = std::fs::read_to_string(root.join("README.md")) else {
            eprintln!("skipped: no shared captures beside this clone");
            return;
        };
        let counts = counts(&readme);
        assert!(!counts.is_empty(), "the captures' README has a table of them");
        for (name, count) in &counts {
            let mut reader = CaptureReader::open(root.join(name).join("records.jsonl.gz")).unwrap();
            let mut record = CapturedRecord::default();
            let mut ends: BTreeMap<(String, i32), i64> = BTreeMap::new();
            let mut records = 0;
            while reader.read_next(&mut record).unwrap() {
                let end = ends.entry((record.topic.clone(), record.partition)).or_insert(-1);
                assert!(record.offset > *end, "{name}: offsets of a partition rise");
                *end = record.offset;
                records += 1;
            }
            assert_eq!(records, *count, "{name}");
        }
        eprintln!("{} shared captures read", counts.len());
    }
}
