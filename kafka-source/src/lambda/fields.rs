//! The spellings of Lambda's events: base64, headers as arrays of numbers, times as seconds or milliseconds, names in ARNs.

use std::borrow::Cow;
use std::fmt;

use base64_simd::STANDARD;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A string that is borrowed where it has no escapes, even inside an `Option`.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Appends the bytes of a base64 string.
pub(super) fn base64(raw: &RawValue, into: &mut Vec<u8>) -> Result<(), &'static str> {
    let text: Text<'_> = serde_json::from_str(raw.get()).map_err(|_| "is no string")?;
    STANDARD.decode_append(text.0.as_bytes(), into).map(|_| ()).map_err(|_| "is not base64")
}

/// Milliseconds, where `-1` says that there is no time; anything else that is no time says the same.
pub(super) fn milliseconds(raw: Option<&RawValue>) -> Option<i64> {
    serde_json::from_str(raw?.get()).ok().filter(|ms| *ms >= 0)
}

/// Seconds with a fraction, as milliseconds.
#[allow(clippy::cast_possible_truncation, reason = "a float turns into the nearest integer that there is")]
pub(super) fn seconds(raw: Option<&RawValue>) -> Option<i64> {
    let seconds: f64 = serde_json::from_str(raw?.get()).ok()?;
    (seconds >= 0.0).then(|| (seconds * 1000.0).round() as i64)
}

/// The part of an ARN's resource that follows `kind/`: `orders` of `arn:…:table/orders/stream/…` for `table`.
pub(super) fn name_in_arn<'a>(arn: &'a str, kind: &str) -> Option<&'a str> {
    let resource = arn.splitn(6, ':').nth(5)?;
    let name = resource.strip_prefix(kind)?.strip_prefix('/')?;
    name.split('/').next().filter(|name| !name.is_empty())
}

/// What serde says, without the place, which is the record's own.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // Of a value of the wrong type the value itself is quoted.
    let text = text.split(" at line ").next().unwrap_or_default();
    if text.contains("invalid type") || text.contains("invalid value") {
        let want = text.split_once(", expected ").map_or("another type", |(_, want)| want);
        return format!("a value of the wrong type: want {want}");
    }
    text.to_owned()
}

/// A header, as Lambda gives it: an object of one member. More than one is read too, in their order.
pub(super) struct Headers(pub(super) Vec<(String, Option<Vec<u8>>)>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of arrays of numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = vec![];
        while let Some(name) = map.next_key()? {
            let bytes: Option<Vec<Byte>> = map.next_value()?;
            headers.push((name, bytes.map(|bytes| bytes.into_iter().map(|byte| byte.0).collect())));
        }
        Ok(Headers(headers))
    }
}

/// A byte as a number, signed as Java has it or not.
struct Byte(u8);

impl<'de> Deserialize<'de> for Byte {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let number = i16::deserialize(source)?;
        let byte = u8::try_from(number).or_else(|_| i8::try_from(number).map(i8::cast_unsigned));
        byte.map(Byte).map_err(|_| serde::de::Error::custom("a byte is not within -128 to 255"))
    }
}

/// Whether there is anything at all: for members that only have to be there.
pub(super) type Anything = IgnoredAny;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_signed_and_unsigned() {
        let headers: Vec<Headers> =
            serde_json::from_str(r#"[{"a":[-1,255,-128,127,0]},{},{"b":null,"a":[]}]"#).unwrap();
        let headers: Vec<_> = headers.into_iter().flat_map(|h| h.0).collect();
        let expect = [("a", Some(vec![255, 255, 128, 127, 0])), ("b", None), ("a", Some(vec![]))];
        assert_eq!(headers, expect.map(|(name, bytes)| (name.to_owned(), bytes)));
        for wrong in ["[{\"a\":[256]}]", "[{\"a\":[-129]}]", "[{\"a\":[1.5]}]", "[{\"a\":\"x\"}]", "[[]]"] {
            assert!(serde_json::from_str::<Vec<Headers>>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_stand_in_arns() {
        let table = "arn:aws:dynamodb:us-east-1:1:table/orders/stream/2026-11-22T23:05:21.142";
        assert_eq!(name_in_arn(table, "table"), Some("orders"));
        assert_eq!(name_in_arn("arn:aws:kinesis:us-east-1:1:stream/s", "stream"), Some("s"));
        for wrong in
            ["", "table/orders", "arn:aws:dynamodb:us-east-1:1:table/", "arn:aws:dynamodb:us-east-1:1:tables/x"]
        {
            assert_eq!(name_in_arn(wrong, "table"), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_milliseconds_whatever_they_were() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert_eq!(seconds(Some(&raw("1795000000.5"))), Some(1_795_000_000_500));
        assert_eq!(seconds(Some(&raw("1428537600"))), Some(1_428_537_600_000));
        assert_eq!(milliseconds(Some(&raw("5"))), Some(5));
        for wrong in ["-1", "null", "\"5\"", "{}"] {
            assert_eq!((milliseconds(Some(&raw(wrong))), seconds(Some(&raw(wrong)))), (None, None), "{wrong}");
        }
    }
}
