//! A strict JSON scanner over one message: it moves forward, skips what nobody wants, and copies nothing.
//!
//! Strict means RFC 8259, but for `NaN`, `Infinity` and `-Infinity`, which Java writes. Nesting is limited to [`MAX_DEPTH`].
//! Duplicate members are the caller's to judge. A lone surrogate in an escape is an error where the text is wanted: there is no
//! such character in UTF-8, and a replacement would be an invented value. Not here: what a value means ([`crate::debezium`]).

use std::borrow::Cow;

pub(crate) use crate::fault::{Fault, Scanned};

/// The deepest nesting of objects and arrays that is read.
pub(crate) const MAX_DEPTH: u32 = 128;

/// A string between its quotes, as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Str<'a> {
    pub(crate) raw: &'a str,
    pub(crate) escaped: bool,
    at: usize,
}

impl<'a> Str<'a> {
    /// The text; `scratch` is overwritten if there are escapes to resolve.
    pub(crate) fn text<'s>(&self, scratch: &'s mut String) -> Scanned<&'s str>
    where
        'a: 's,
    {
        if !self.escaped {
            return Ok(self.raw);
        }
        scratch.clear();
        self.unescape_into(scratch)?;
        Ok(scratch)
    }

    /// The text, allocated only if there are escapes.
    pub(crate) fn to_text(self) -> Scanned<Cow<'a, str>> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.raw));
        }
        let mut text = String::with_capacity(self.raw.len());
        self.unescape_into(&mut text)?;
        Ok(Cow::Owned(text))
    }

    /// Appends the text.
    pub(crate) fn unescape_into(&self, out: &mut String) -> Scanned<()> {
        let mut rest = self.raw;
        while let Some(slash) = memchr::memchr(b'\\', rest.as_bytes()) {
            out.push_str(&rest[..slash]);
            let (character, used) = escape(&rest.as_bytes()[slash..])
                .ok_or(Fault::Syntax { at: self.at + self.raw.len() - rest.len() + slash, why: "a lone surrogate" })?;
            out.push(character);
            rest = &rest[slash + used..];
        }
        out.push_str(rest);
        Ok(())
    }
}

/// The character of the escape that `bytes` begins with, and its length. The scanner has checked its letters.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let simple = match bytes.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => {
            let high = hex4(bytes.get(2..6)?)?;
            if !(0xd800..0xdc00).contains(&high) {
                return Some((char::from_u32(high)?, 6));
            }
            let low = hex4(bytes.get(6..12)?.strip_prefix(b"\\u")?)?;
            let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            return Some((char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?, 12));
        }
    };
    Some((simple, 2))
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// A number as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    pub(crate) text: &'a str,
    /// Neither fraction nor exponent.
    pub(crate) integer: bool,
}

/// A member's name as it is expected, with quotes and colon: compared in one step.
#[derive(Debug, Clone)]
pub(crate) struct Token<T = Vec<u8>> {
    /// The first 16 bytes, the rest zero.
    head: u128,
    mask: u128,
    text: T,
}

impl Token<&'static [u8]> {
    /// A token that is known when we are compiled.
    pub(crate) const fn fixed(text: &'static [u8]) -> Self {
        let (head, mask) = head(text);
        Self { head, mask, text }
    }
}

impl Token {
    /// The token of a name as it stands between its quotes.
    pub(crate) fn new(quoted_name: String) -> Self {
        let text = (quoted_name + ":").into_bytes();
        let (head, mask) = head(&text);
        Self { head, mask, text }
    }
}

impl<T: AsRef<[u8]>> Token<T> {
    /// The name between the quotes.
    pub(crate) fn name(&self) -> &[u8] {
        let text = self.text.as_ref();
        &text[1..text.len() - 2]
    }

    #[inline]
    fn begins(&self, bytes: &[u8]) -> bool {
        let text = self.text.as_ref();
        match bytes.first_chunk() {
            Some(chunk) if u128::from_le_bytes(*chunk) & self.mask != self.head => false,
            Some(_) if text.len() <= 16 => true,
            _ => bytes.starts_with(text),
        }
    }
}

const fn head(text: &[u8]) -> (u128, u128) {
    let (mut head, mut mask, mut i) = (0, 0, 0);
    while i < text.len() && i < 16 {
        head |= (text[i] as u128) << (8 * i);
        mask |= 0xff << (8 * i);
        i += 1;
    }
    (head, mask)
}

/// A place in a text.
#[derive(Debug, Clone)]
pub(crate) struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// Bytes before `text` in the message, for error messages.
    base: usize,
}

impl<'a> Scan<'a> {
    /// At the start of `bytes`, which must be UTF-8. They stand `base` bytes into their message.
    pub(crate) fn new(bytes: &'a [u8], base: usize) -> Scanned<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, at: 0, base }),
            Err(e) => Err(Fault::Syntax { at: base + e.valid_up_to(), why: "not UTF-8" }),
        }
    }

    /// The same text from `from` to `to`.
    pub(crate) fn part(&self, from: usize, to: usize) -> Self {
        Self { text: &self.text[from..to], at: 0, base: self.base + from }
    }

    /// Where we are, in bytes from the start of the text.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Goes back to a place that [`Self::at`] told.
    pub(crate) const fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// What stands from `from` to here.
    pub(crate) fn since(&self, from: usize) -> &'a str {
        &self.text[from..self.at]
    }

    /// What stands from here on.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    pub(crate) const fn syntax(&self, why: &'static str) -> Fault {
        Fault::Syntax { at: self.base + self.at, why }
    }

    /// The next byte that is no white space; 0 at the end. It is not taken.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        loop {
            match self.bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return *byte,
                None => return 0,
            }
        }
    }

    /// Takes `byte`, or says what is wrong.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, why: &'static str) -> Scanned<()> {
        if self.peek() != byte {
            return Err(self.syntax(why));
        }
        self.at += 1;
        Ok(())
    }

    /// Only white space may follow.
    pub(crate) fn end(&mut self) -> Scanned<()> {
        if self.peek() == 0 && self.at == self.text.len() { Ok(()) } else { Err(self.syntax("want the end")) }
    }

    /// Takes `token` if it stands exactly here.
    #[inline]
    pub(crate) fn take(&mut self, token: &[u8]) -> bool {
        let here = self.bytes()[self.at..].starts_with(token);
        if here {
            self.at += token.len();
        }
        here
    }

    /// Before the first member of an object or after a member: takes the next name if it is the expected one and written
    /// without white space.
    #[inline]
    pub(crate) fn expected<T: AsRef<[u8]>>(&mut self, first: bool, token: &Token<T>) -> bool {
        let bytes = self.bytes();
        let at = if first { self.at } else { self.at + 1 };
        let here = (first || bytes.get(self.at) == Some(&b',')) && token.begins(bytes.get(at..).unwrap_or_default());
        if here {
            self.at = at + token.text.as_ref().len();
        }
        here
    }

    /// Before the first member of an object (after `{`), or after a member: whether one more member follows.
    /// If so we stand at its key's quote; else behind the `}`.
    #[inline]
    pub(crate) fn member(&mut self, first: bool) -> Scanned<bool> {
        match self.peek() {
            b'}' => {
                self.at += 1;
                return Ok(false);
            }
            b',' if !first => self.at += 1,
            b'"' if first => return Ok(true),
            _ => return Err(self.syntax("want `,` or `}` between members")),
        }
        if self.peek() == b'"' { Ok(true) } else { Err(self.syntax("want a member's name in quotes")) }
    }

    /// Before the first element of an array (after `[`), or after an element: whether one more follows.
    #[inline]
    pub(crate) fn element(&mut self, first: bool) -> Scanned<bool> {
        match self.peek() {
            b']' => {
                self.at += 1;
                return Ok(false);
            }
            b',' if !first => self.at += 1,
            _ if first => {}
            _ => return Err(self.syntax("want `,` or `]` between elements")),
        }
        Ok(true)
    }

    /// A member's name and its colon.
    pub(crate) fn key(&mut self) -> Scanned<Str<'a>> {
        let key = self.string()?;
        self.expect(b':', "want `:` after a member's name")?;
        Ok(key)
    }

    /// A string.
    #[inline]
    pub(crate) fn string(&mut self) -> Scanned<Str<'a>> {
        if self.peek() != b'"' {
            return Err(self.syntax("want a string"));
        }
        let bytes = self.bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = plain_until(bytes, at);
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += self.checked_escape(at)?;
                }
                Some(_) => return Err(Fault::Syntax { at: self.base + at, why: "a control character in a string" }),
                None => return Err(Fault::Syntax { at: self.base + at, why: "a string without end" }),
            }
        }
        self.at = at + 1;
        Ok(Str { raw: &self.text[start..at], escaped, at: self.base + start })
    }

    fn checked_escape(&self, at: usize) -> Scanned<usize> {
        let bad = Fault::Syntax { at: self.base + at, why: "no such escape" };
        match self.bytes().get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
            Some(b'u') => match self.bytes().get(at + 2..at + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(6),
                _ => Err(bad),
            },
            _ => Err(bad),
        }
    }

    /// Takes `null` if it is next.
    #[inline]
    pub(crate) fn null(&mut self) -> Scanned<bool> {
        if self.peek() != b'n' {
            return Ok(false);
        }
        self.literal(b"null")?;
        Ok(true)
    }

    pub(crate) fn literal(&mut self, literal: &'static [u8]) -> Scanned<()> {
        if self.take(literal) { Ok(()) } else { Err(self.syntax("no such literal")) }
    }

    /// A whole number of 64 bits.
    #[inline]
    pub(crate) fn integer(&mut self) -> Scanned<i64> {
        const WANT: Fault = Fault::Value { want: "want a whole number" };
        let first = self.peek();
        if first != b'-' && !first.is_ascii_digit() {
            self.skip()?;
            return Err(WANT);
        }
        let start = self.at;
        let bytes = self.bytes();
        let negative = first == b'-';
        let from = start + usize::from(negative);
        let mut at = from;
        let mut value: u64 = 0;
        while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk).and_then(|chunk| eight_digits(*chunk)) {
            value = value.wrapping_mul(100_000_000).wrapping_add(eight);
            at += 8;
        }
        while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        let plain = !matches!(bytes.get(at), Some(b'.' | b'e' | b'E'));
        if plain && (1..19).contains(&(at - from)) && (bytes[from] != b'0' || at - from == 1) {
            self.at = at;
            let value = value.cast_signed();
            return Ok(if negative { -value } else { value });
        }
        let number = self.number()?;
        if !number.integer {
            return Err(WANT);
        }
        number.text.parse().map_err(|_| Fault::Value { want: "want a whole number of 64 bits" })
    }

    /// A number, of any size.
    pub(crate) fn number(&mut self) -> Scanned<Number<'a>> {
        self.peek();
        let start = self.at;
        if self.bytes().get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let integer_at = self.at;
        if self.digits() == 0 || (self.bytes()[integer_at] == b'0' && self.at > integer_at + 1) {
            return Err(self.syntax("no such number"));
        }
        let mut integer = true;
        if self.bytes().get(self.at) == Some(&b'.') {
            integer = false;
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.syntax("no such number"));
            }
        }
        if matches!(self.bytes().get(self.at), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            if matches!(self.bytes().get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.syntax("no such number"));
            }
        }
        Ok(Number { text: self.since(start), integer })
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let bytes = self.bytes();
        let start = self.at;
        while bytes
            .get(self.at..)
            .and_then(<[u8]>::first_chunk)
            .is_some_and(|chunk| all_digits(u64::from_le_bytes(*chunk)))
        {
            self.at += 8;
        }
        while bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    /// Takes a bare `NaN`, `Infinity` or `-Infinity`.
    pub(crate) fn bare_non_number(&mut self) -> Option<f64> {
        self.peek();
        if self.take(b"NaN") {
            Some(f64::NAN)
        } else if self.take(b"Infinity") {
            Some(f64::INFINITY)
        } else if self.take(b"-Infinity") {
            Some(f64::NEG_INFINITY)
        } else {
            None
        }
    }

    /// Skips one value, and checks it.
    #[inline]
    pub(crate) fn skip(&mut self) -> Scanned<()> {
        self.skip_within(MAX_DEPTH)
    }

    fn skip_within(&mut self, depth: u32) -> Scanned<()> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'{' => self.skip_object(depth),
            b'[' => self.skip_array(depth),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'0'..=b'9' => self.number().map(drop),
            b'-' | b'N' | b'I' if self.bare_non_number().is_some() => Ok(()),
            b'-' => self.number().map(drop),
            _ => Err(self.syntax("want a value")),
        }
    }

    fn skip_object(&mut self, depth: u32) -> Scanned<()> {
        let depth = depth.checked_sub(1).ok_or(self.syntax("nested too deeply"))?;
        self.at += 1;
        let mut first = true;
        while self.member(first)? {
            first = false;
            self.key()?;
            self.skip_within(depth)?;
        }
        Ok(())
    }

    fn skip_array(&mut self, depth: u32) -> Scanned<()> {
        let depth = depth.checked_sub(1).ok_or(self.syntax("nested too deeply"))?;
        self.at += 1;
        let mut first = true;
        while self.element(first)? {
            first = false;
            self.skip_within(depth)?;
        }
        Ok(())
    }
}

/// Whether all eight bytes are digits.
#[inline]
const fn all_digits(word: u64) -> bool {
    let upper = ONES * 0xf0;
    (word & upper) | ((word.wrapping_add(ONES * 6) & upper) >> 4) == ONES * 0x33
}

/// The number that eight digits make.
#[inline]
const fn eight_digits(digits: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(digits);
    if !all_digits(word) {
        return None;
    }
    let word = word & (ONES * 0xf);
    let pairs = (word.wrapping_mul(10) + (word >> 8)) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((quads.wrapping_mul(10_000) + (quads >> 32)) & 0xffff_ffff)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The place of the first quote, backslash or control character from `at` on; the end where there is none.
#[inline]
fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let hit = special(u64::from_le_bytes(*chunk));
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if *byte < 0x20 || *byte == b'"' || *byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

/// The high bit of each byte that is special, exact up to the first one.
#[inline]
const fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let zero_quote = quote.wrapping_sub(ONES) & !quote;
    let zero_slash = slash.wrapping_sub(ONES) & !slash;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero_quote | zero_slash | control) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Scan<'_> {
        Scan::new(text.as_bytes(), 0).unwrap()
    }

    fn skips(text: &str) -> bool {
        let mut scan = scan(text);
        scan.skip().and_then(|()| scan.end()).is_ok()
    }

    #[test]
    fn what_is_json_is_skipped_and_what_is_not_is_refused() {
        for good in [
            "null",
            " true ",
            "-0",
            "0.5e-3",
            "1E+5",
            "[]",
            "[1,[2],{}]",
            r#"{"a":{"b":[null]},"c":"\u00e9\\\""}"#,
            "NaN",
            "-Infinity",
            "\"\u{7f}é\"",
            "[ 1 , 2 ]",
            "{ \"a\" : 1 , \"b\" : 2 }",
        ] {
            assert!(skips(good), "{good}");
        }
        for bad in [
            "",
            "nul",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "1 2",
            "truefalse",
            "[",
            "{",
            "}",
            "-Inf",
            "'a'",
        ] {
            assert!(!skips(bad), "{bad}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(skips(&nested(128)) && !skips(&nested(129)) && !skips(&nested(100_000)));
    }

    #[test]
    fn a_string_ends_at_its_quote_wherever_that_is() {
        for length in 0..40 {
            for end in ["\"", "\\n\"", "\u{1}\""] {
                let text = format!("\"{}{end}", "é".repeat(length));
                let read = scan(&text).string().and_then(Str::to_text);
                match end {
                    "\"" => assert_eq!(read.unwrap(), "é".repeat(length)),
                    "\\n\"" => assert_eq!(read.unwrap(), "é".repeat(length) + "\n"),
                    _ => assert_eq!(
                        read.unwrap_err(),
                        Fault::Syntax { at: 1 + 2 * length, why: "a control character in a string" }
                    ),
                }
            }
        }
    }

    #[test]
    fn the_first_special_byte_is_found_beside_bytes_that_look_like_it() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                let mut word = [b'a'; 8];
                word[place] = byte;
                word[7] = word[7].max(1);
                let expected = word.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\').unwrap_or(8);
                assert_eq!(plain_until(&word, 0), expected, "{byte} at {place}");
                assert_eq!((special(u64::from_le_bytes(word)).trailing_zeros() / 8) as usize, expected);
            }
        }
    }

    #[test]
    fn eight_digits_are_told_from_what_looks_like_them() {
        for (place, byte) in (0..8).flat_map(|place| (0..=255u8).map(move |byte| (place, byte))) {
            let mut text = *b"90817263";
            text[place] = byte;
            let expected = std::str::from_utf8(&text).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
            assert_eq!(eight_digits(text), expected.map(|t| t.parse().unwrap()), "{text:?}");
        }
    }

    #[test]
    fn expected_names_are_taken_whole_or_not_at_all() {
        for name in ["a", "abcdefghijklm", "abcdefghijklmnopqrstuvwxyz"] {
            let token = Token::new(format!("\"{name}\""));
            for (text, first, taken) in [
                (format!("\"{name}\":1"), true, true),
                (format!(",\"{name}\":1"), false, true),
                (format!(",\"{name}\":"), false, true),
                (format!(",\"{name}\":{}", "x".repeat(30)), false, true),
                (format!(",\"{name}\""), false, false),
                (format!(",\"{name}x\":1{}", " ".repeat(30)), false, false),
                (format!("\"{name}\":1"), false, false),
                (String::new(), false, false),
            ] {
                let mut scan = scan(&text);
                assert_eq!(scan.expected(first, &token), taken, "{text}");
                assert_eq!(scan.at(), if taken { name.len() + 3 + usize::from(!first) } else { 0 });
            }
        }
    }

    #[test]
    fn escapes_are_resolved_and_lone_surrogates_refused() {
        let text = |s: &str| scan(s).string().and_then(Str::to_text).map(Cow::into_owned);
        assert_eq!(text(r#""a\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE42z""#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\té🙂z");
        for lone in [r#""\uD83D""#, r#""\uDE42""#, r#""\uD83Dx""#, r#""\uD83D\n""#, r#""\uD83D\uD83D""#] {
            assert!(text(lone).is_err(), "{lone}");
        }
    }

    #[test]
    fn integers_never_wrap_and_take_no_fraction() {
        let integer = |text: &str| scan(text).integer();
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("-1", -1),
            ("999999999999999999", 999_999_999_999_999_999),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            (" 7", 7),
        ] {
            assert_eq!(integer(text), Ok(value));
        }
        for value in [
            "1.0",
            "1e3",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "true",
            "\"1\"",
            "NaN",
        ] {
            assert!(matches!(integer(value), Err(Fault::Value { .. })), "{value}");
        }
        for syntax in ["01", "-", "--1", "00", "", "-01", "1.x"] {
            assert!(matches!(integer(syntax), Err(Fault::Syntax { .. })), "{syntax}");
        }
    }
}
