//! Java's `.properties` text: read, written, kept in order.
//!
//! Knows nothing of what the keys mean. Comments are dropped on reading; one is written. Format sections 1.2 and 1.3; all
//! table versions.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use chrono::DateTime;

use crate::error::{Error, Result};

/// Keys and values in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<(String, String)>,
}

impl Properties {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the text by the rules of `java.util.Properties`: comments, escapes, lines that go on. The last of two equal
    /// keys counts.
    ///
    /// Errors: `Corrupt` for a `\u` without four hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self> {
        let mut properties = Self::new();
        for line in logical_lines(text) {
            let (key, value) = split_entry(&line)?;
            properties.set(key, value);
        }
        Ok(properties)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Sets a key: in its place if it is there, else at the end.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Takes a key away; the value it had.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.entries.iter().position(|(k, _)| k == key)?;
        Some(self.entries.remove(at).1)
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The text, pure ASCII, under two comment lines: `comment`, and the time as Java prints it.
    pub fn to_text(&self, comment: &str, now_ms: i64) -> String {
        let mut out = String::from("#");
        out.push_str(comment);
        out.push_str("\n#");
        out.push_str(&java_date(now_ms));
        out.push('\n');
        for (key, value) in &self.entries {
            escape(&mut out, key, true);
            out.push('=');
            escape(&mut out, value, false);
            out.push('\n');
        }
        out
    }
}

impl FromIterator<(String, String)> for Properties {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(entries: I) -> Self {
        let mut properties = Self::new();
        for (key, value) in entries {
            properties.set(key, value);
        }
        properties
    }
}

/// The text of a file's bytes, which Java reads as ISO-8859-1.
pub fn from_latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// CRC-32 of `<database>.<table>`, an absent database being empty.
pub fn checksum(database: &str, table: &str) -> u32 {
    crc32fast::hash(format!("{database}.{table}").as_bytes())
}

/// `1970-01-01T00:00:00.000Z`.
pub fn iso_instant(now_ms: i64) -> String {
    DateTime::from_timestamp_millis(now_ms).unwrap_or_default().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// `Thu Jan 01 00:00:00 UTC 1970`, as `java.util.Date` prints.
fn java_date(now_ms: i64) -> String {
    DateTime::from_timestamp_millis(now_ms).unwrap_or_default().format("%a %b %d %H:%M:%S UTC %Y").to_string()
}

/// Lines without comments and blanks, joined where one ends in an odd number of backslashes.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for natural in text.split(['\n', '\r']) {
        let natural = natural.trim_start_matches([' ', '\t', '\x0c']);
        if open.is_none() && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let mut line = open.take().unwrap_or_default();
        let backslashes = natural.bytes().rev().take_while(|b| *b == b'\\').count();
        if backslashes % 2 == 1 {
            line.push_str(&natural[..natural.len() - 1]);
            open = Some(line);
        } else {
            line.push_str(natural);
            lines.push(line);
        }
    }
    lines.extend(open.filter(|line| !line.is_empty()));
    lines
}

fn split_entry(line: &str) -> Result<(String, String)> {
    let mut chars = line.chars().peekable();
    let mut key = String::new();
    while let Some(c) = chars.next_if(|c| !matches!(c, '=' | ':' | ' ' | '\t' | '\x0c')) {
        push_unescaped(&mut key, c, &mut chars)?;
    }
    let blank = |c: &char| matches!(c, ' ' | '\t' | '\x0c');
    while chars.next_if(blank).is_some() {}
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        while chars.next_if(blank).is_some() {}
    }
    let mut value = String::new();
    while let Some(c) = chars.next() {
        push_unescaped(&mut value, c, &mut chars)?;
    }
    Ok((key, value))
}

fn push_unescaped(out: &mut String, c: char, rest: &mut Peekable<Chars<'_>>) -> Result<()> {
    let escaped = match c {
        '\\' => rest.next(),
        plain => {
            out.push(plain);
            return Ok(());
        }
    };
    match escaped {
        Some('t') => out.push('\t'),
        Some('n') => out.push('\n'),
        Some('r') => out.push('\r'),
        Some('f') => out.push('\x0c'),
        Some('u') => out.push(unicode(rest)?),
        Some(other) => out.push(other),
        None => {}
    }
    Ok(())
}

/// The character of one `\uXXXX`, or of two that are a surrogate pair. A lone surrogate becomes U+FFFD.
fn unicode(rest: &mut Peekable<Chars<'_>>) -> Result<char> {
    let first = code_unit(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Ok(char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let mut ahead = rest.clone();
    if ahead.next() == Some('\\') && ahead.next() == Some('u') {
        let second = code_unit(&mut ahead)?;
        if let Some(Ok(pair)) = char::decode_utf16([first, second]).next() {
            *rest = ahead;
            return Ok(pair);
        }
    }
    Ok(char::REPLACEMENT_CHARACTER)
}

fn code_unit(rest: &mut Peekable<Chars<'_>>) -> Result<u16> {
    let digits: String = rest.by_ref().take(4).collect();
    let valid = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    u16::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| valid)
        .ok_or_else(|| Error::corrupt("properties text", format!("`\\u{digits}` is not four hexadecimal digits")))
}

fn escape(out: &mut String, text: &str, is_key: bool) {
    for (at, c) in text.chars().enumerate() {
        match c {
            ' ' if is_key || at == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\x0c' => out.push_str("\\f"),
            '\\' | '=' | ':' | '#' | '!' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut p = Properties::new();
        for value in
            ["", " lead", "a=b:c#d!e\\f", "tab\tline\nend\r\x0c", "日本 😀 ü", "{\"type\":\"record\"}", "trail "]
        {
            p.set(format!("key {value}"), value);
        }
        let text = p.to_text("Updated at now", 0);
        assert!(text.is_ascii());
        assert!(text.starts_with("#Updated at now\n#Thu Jan 01 00:00:00 UTC 1970\n"));
        assert_eq!(Properties::parse(&text), Ok(p));
    }

    #[test]
    fn what_java_accepts_is_read() {
        let p = Properties::parse(
            "# c\n! c\n\n  a = 1\nb:2\nc 3\nd\\=x=4=5\ne=one,\\\n   two\r\nf\ng=x\\\\\nh=\\u00e9\na=9",
        )
        .unwrap();
        let all: Vec<_> = p.iter().collect();
        let want =
            [("a", "9"), ("b", "2"), ("c", "3"), ("d=x", "4=5"), ("e", "one,two"), ("f", ""), ("g", "x\\"), ("h", "é")];
        assert_eq!(all, want);
        assert!(Properties::parse("a=\\u12").is_err());
    }

    #[test]
    fn the_checksum_covers_database_and_name() {
        assert_eq!(checksum("default", "v6_complexkeygen_hivestyle"), 281_415_413);
        assert_eq!(iso_instant(1_713_479_258_493), "2024-04-18T22:27:38.493Z");
    }
}
