//! What stands for "not sent": the placeholder that a connector puts where the source's log does not hold a value.
//!
//! It comes inside the value's own domain, in many encodings, and a real value may look the same. What is known of that:
//! * MySQL and MariaDB never send it: there it is a value.
//! * A snapshot reads the table itself: there it is a value.
//! * PostgreSQL logs an inserted row whole. Only the `c` of a changed key (header `__debezium.oldkey`) is an update in the
//!   source's log, and may lack what the update did not touch. A `c` with headers, but not this one, holds values. A `c`
//!   without any header may have lost it: not sent, for a gap can be filled and a wrong value cannot be found.
//! * In an update, and in any event of Oracle, it cannot be told from a value: not sent. The stored value is kept, which is the
//!   same unless the update changed the value to the placeholder's text.

use base64_simd::STANDARD;

use crate::avro::Step;
use crate::avro::encoded::Known;

/// Debezium's default of `unavailable.value.placeholder`.
pub const DEFAULT_PLACEHOLDER: &str = "__debezium_unavailable_value";

/// The name UUID of the default placeholder, as Debezium sends it in an array of `uuid`.
const DEFAULT_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";

/// The bytes that stand for "not sent".
#[derive(Debug, Default)]
pub(crate) struct Forms {
    forms: Vec<Vec<u8>>,
    /// Bit `n`: a form is `n` bytes long. Long ones share bit 0.
    lengths: u64,
}

impl Forms {
    fn new(forms: Vec<Vec<u8>>) -> Self {
        let lengths = forms.iter().fold(0, |lengths, form| lengths | length_bit(form.len()));
        Self { forms, lengths }
    }

    /// The forms in the values of an Avro type; none where they hold none.
    pub(crate) fn in_avro(placeholder: &str, step: &Step) -> Self {
        let Texts { base64, hex, hstore } = Texts::of(placeholder);
        let texts = [placeholder, &base64, &hex, &hstore].map(Known::Text);
        let [text, bytes] = [texts[0], Known::Bytes(placeholder.as_bytes())];
        let uuid = Known::Text(DEFAULT_UUID);
        let mut values = texts.to_vec();
        values.extend([bytes, Known::One(&text), Known::One(&texts[1]), Known::One(&bytes)]);
        values.extend([Known::Codes(placeholder.as_bytes()), Known::ToItself(placeholder)]);
        if placeholder == DEFAULT_PLACEHOLDER {
            values.push(Known::One(&uuid));
        }
        Self::new(values.into_iter().filter_map(|value| step.encode(value)).collect())
    }

    /// Whether this is one of the forms, as the value stands in the message.
    #[inline]
    pub(crate) fn have(&self, raw: &[u8]) -> bool {
        self.lengths & length_bit(raw.len()) != 0 && self.forms.iter().any(|form| form == raw)
    }
}

/// How the placeholder is spelled in texts, beside as it is.
struct Texts {
    base64: String,
    hex: String,
    hstore: String,
}

impl Texts {
    fn of(placeholder: &str) -> Self {
        let text = quoted(placeholder);
        Self {
            base64: STANDARD.encode_to_string(placeholder),
            hex: placeholder.bytes().map(|byte| format!("{byte:02x}")).collect(),
            hstore: format!("{{{text}:{text}}}"),
        }
    }
}

/// The JSON texts that stand for "not sent".
#[derive(Debug)]
pub(crate) struct Unavailable {
    forms: Forms,
}

impl Unavailable {
    pub(crate) fn new(placeholder: &str) -> Self {
        let texts = Texts::of(placeholder);
        let [text, base64, hex] = [placeholder, &texts.base64, &texts.hex].map(quoted);
        let codes: Vec<String> = placeholder.bytes().map(|byte| byte.to_string()).collect();
        let mut forms = vec![
            format!("[{text}]"),
            format!("[{base64}]"),
            format!("[{}]", codes.join(",")),
            quoted(&texts.hstore),
            texts.hstore,
            text,
            base64,
            hex,
        ];
        if placeholder == DEFAULT_PLACEHOLDER {
            forms.push(format!("[{}]", quoted(DEFAULT_UUID)));
        }
        Self { forms: Forms::new(forms.into_iter().map(String::into_bytes).collect()) }
    }

    /// Whether this is one of the forms, as the value stands in the message.
    #[inline]
    pub(crate) fn is(&self, raw: &str) -> bool {
        self.forms.have(raw.as_bytes())
    }
}

#[inline]
const fn length_bit(length: usize) -> u64 {
    if length < 64 { 1 << length } else { 1 }
}

/// As Jackson writes a string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_is_known_and_nothing_else() {
        let unavailable = Unavailable::new(DEFAULT_PLACEHOLDER);
        for form in [
            r#""__debezium_unavailable_value""#,
            r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#,
            r#""5f5f646562657a69756d5f756e617661696c61626c655f76616c7565""#,
            r#"["__debezium_unavailable_value"]"#,
            r#"["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]"#,
            "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]",
            r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#,
            r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#,
            r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#,
        ] {
            assert!(unavailable.is(form), "{form}");
        }
        for value in
            ["null", "\"\"", r#""__debezium_unavailable_valuf""#, r#"["__debezium_unavailable_value",null]"#, "1"]
        {
            assert!(!unavailable.is(value), "{value}");
        }
        assert!(
            Unavailable::new("gone").is("\"gone\"")
                && !Unavailable::new("gone").is(r#""__debezium_unavailable_value""#)
        );
    }
}
