//! The message key: which columns it names, and its object for rows that need its values.
//!
//! The names of the last key are compared, not parsed again. A key that is no JSON is an error; one that is JSON but no object has no
//! columns, which only does if the user names them.

use super::envelope::{SchemaText, Wrapper};
use super::plan::column_name;
use super::unavailable::quoted;
use crate::error::{DecodeError, Part};
use crate::scan::{Fault, Scan, Scanned, Token};

/// What is remembered of a topic's keys.
#[derive(Debug, Default)]
pub(crate) struct Key {
    settled: bool,
    schema: SchemaText,
    /// The names in the message key, as `"name":`.
    tokens: Vec<Token>,
    /// The columns of a batch's key: the user's, or those of the message.
    columns: Vec<String>,
    overridden: bool,
}

/// A message key against the last one.
#[derive(Debug)]
pub(crate) enum KeyRead<K> {
    /// The same columns; its object, if there is one.
    Same(Option<K>),
    /// Other columns, which now hold.
    Changed(Option<K>),
    /// Other columns, which would change those of buffered rows.
    FlushFirst,
}

impl<K> KeyRead<K> {
    /// The same of another syntax.
    pub(crate) fn map<T>(self, f: impl FnOnce(K) -> T) -> KeyRead<T> {
        match self {
            Self::Same(key) => KeyRead::Same(key.map(f)),
            Self::Changed(key) => KeyRead::Changed(key.map(f)),
            Self::FlushFirst => KeyRead::FlushFirst,
        }
    }
}

impl Key {
    /// The columns of a batch's key.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The same, of a batch that may have been buffered before any key was read: the user's then.
    pub(crate) fn columns_of_batch(&self, users: Option<&[String]>) -> Vec<String> {
        if self.settled { self.columns.clone() } else { users.unwrap_or_default().to_vec() }
    }

    /// Whether the user's columns are others than the message's: then an update may change them.
    pub(crate) const fn overridden(&self) -> bool {
        self.overridden
    }

    /// Reads the key of a message. `users`: the columns that the user names; `fixed`: the columns may not change now.
    /// `is_of_no_row` is asked where there is no object and the columns would change: a message that speaks of no row has no
    /// key, and that says nothing about the key of the others.
    pub(crate) fn read<'a>(
        &mut self,
        key: Option<&'a [u8]>,
        users: Option<&[String]>,
        fixed: bool,
        is_of_no_row: impl FnOnce() -> bool,
    ) -> Result<KeyRead<Scan<'a>>, DecodeError> {
        let in_key = |fault: Fault| fault.in_part(Part::Key);
        let without = |key: &mut Self| match key.settled && key.tokens.is_empty() {
            false if is_of_no_row() => KeyRead::Same(None),
            _ => key.settle(None, Vec::new(), users, fixed),
        };
        let Some((mut scan, wrapped)) = key.map(|key| self.open(key)).transpose().map_err(in_key)? else {
            return Ok(without(self));
        };
        let kind = scan.peek();
        let from = scan.at();
        let same = kind == b'{' && self.follow(&mut scan).map_err(in_key)?;
        if !same {
            scan.back_to(from);
            scan.skip().map_err(in_key)?;
        }
        let object = scan.part(from, scan.at());
        end(&mut scan, wrapped).map_err(in_key)?;
        match kind {
            b'{' if same => Ok(KeyRead::Same(Some(object))),
            b'{' => {
                let names = names(object.clone()).map_err(in_key)?;
                Ok(self.settle(Some(object), names, users, fixed))
            }
            b'n' => Ok(without(self)),
            _ if users.is_some() => Ok(without(self)),
            _ => Err(object.syntax("want an object, or null").in_part(Part::Key)),
        }
    }

    /// The same of a key that is not JSON, whose columns have these names.
    pub(crate) fn named(&mut self, names: &[String], users: Option<&[String]>, fixed: bool) -> KeyRead<Scan<'static>> {
        self.settle(None, names.to_vec(), users, fixed)
    }

    /// Finds the key inside its wrapper, if it has one; whether the wrapper's `}` follows.
    fn open<'a>(&mut self, key: &'a [u8]) -> Scanned<(Scan<'a>, bool)> {
        if self.schema.begins(key) {
            let skipped = self.schema.prefix_bytes();
            return Ok((Scan::new(&key[skipped..], skipped)?, true));
        }
        let mut scan = Scan::new(key, 0)?;
        let Some(wrapper) = Wrapper::read(&mut scan)? else { return Ok((scan, false)) };
        self.schema = SchemaText::new(key, &wrapper);
        Ok((scan.part(wrapper.payload.0, wrapper.payload.1), false))
    }

    /// Takes the object if its names are the last ones.
    fn follow(&self, scan: &mut Scan<'_>) -> Scanned<bool> {
        scan.expect(b'{', "want an object")?;
        for (place, token) in self.tokens.iter().enumerate() {
            if !scan.expected(place == 0, token) {
                return Ok(false);
            }
            scan.skip()?;
        }
        Ok(self.settled && !scan.member(self.tokens.is_empty())?)
    }

    fn settle<'a>(
        &mut self,
        object: Option<Scan<'a>>,
        names: Vec<String>,
        users: Option<&[String]>,
        fixed: bool,
    ) -> KeyRead<Scan<'a>> {
        let same = names.iter().map(String::as_bytes).eq(self.tokens.iter().map(Token::name));
        if self.settled && same {
            return KeyRead::Same(object);
        }
        let own: Vec<String> = names.iter().map(|name| column_name(name)).collect();
        let columns = users.map_or_else(|| own.clone(), <[String]>::to_vec);
        if fixed && columns != self.columns {
            return KeyRead::FlushFirst;
        }
        self.settled = true;
        self.tokens = names.iter().map(|name| Token::new(quoted(name))).collect();
        self.overridden = columns != own;
        self.columns = columns;
        KeyRead::Changed(object)
    }
}

fn end(scan: &mut Scan<'_>, wrapped: bool) -> Scanned<()> {
    if wrapped {
        scan.expect(b'}', "want the end of the key")?;
    }
    scan.end()
}

fn names(mut object: Scan<'_>) -> Scanned<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    object.expect(b'{', "want an object")?;
    while object.member(names.is_empty())? {
        let name = object.key()?.to_text()?.into_owned();
        object.skip()?;
        if names.contains(&name) {
            return Err(object.syntax("a column that comes twice"));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &mut Key, text: &str, users: Option<&[String]>, fixed: bool) -> &'static str {
        match key.read(Some(text.as_bytes()), users, fixed, || false) {
            Ok(KeyRead::Same(Some(_))) => "same",
            Ok(KeyRead::Changed(Some(_))) => "changed",
            Ok(KeyRead::Same(None)) => "same, none",
            Ok(KeyRead::Changed(None)) => "changed, none",
            Ok(KeyRead::FlushFirst) => "flush first",
            Err(error) => {
                if error.can_go_on() {
                    "error"
                } else {
                    "stop"
                }
            }
        }
    }

    #[test]
    fn names_are_compared_with_the_last_ones() {
        let mut key = Key::default();
        for (text, fixed, expected) in [
            (r#"{"id":1}"#, false, "changed"),
            (r#" {"id" :2} "#, true, "same"),
            (r#"{"a-b":1,"id":2}"#, true, "flush first"),
            (r#"{"a-b":1,"id":2}"#, false, "changed"),
            (r#"{"a-b":1,"id":3}"#, true, "same"),
            (r#"{"schema":{"type":"struct"},"payload":{"a-b":1,"id":2}}"#, true, "same"),
            (r#"{"schema":{"type":"struct"},"payload":{"a-b":1,"id":"x"}}"#, true, "same"),
            (r#"{"schema":{"type":"struct"},"payload":{"id":"x"}}"#, true, "flush first"),
            ("null", true, "flush first"),
            ("null", false, "changed, none"),
            (r#"{"schema":null,"payload":null}"#, true, "same, none"),
            ("", true, "error"),
            ("{", true, "error"),
            ("7", true, "error"),
            ("Struct{id=1}", true, "error"),
            (r#"{"id":1}x"#, true, "error"),
            (r#"{"schema":{"type":"struct"},"payload":{"a":1}"#, false, "error"),
            (r#"{"id":1,"id":2}"#, false, "error"),
            (r#"{"id":tru}"#, false, "error"),
        ] {
            assert_eq!(read(&mut key, text, None, fixed), expected, "{text}");
        }
    }

    #[test]
    fn a_message_of_no_row_says_nothing_about_the_key() {
        let mut key = Key::default();
        let of_no_row = |key: &mut Key, bytes| matches!(key.read(bytes, None, true, || true), Ok(KeyRead::Same(None)));
        assert!(of_no_row(&mut key, None) && !key.settled);
        assert_eq!(key.columns_of_batch(Some(&["a".to_owned()])), ["a"]);
        assert_eq!(read(&mut key, r#"{"id":1}"#, None, false), "changed");
        for bytes in [None, Some(&b"null"[..]), Some(br#"{"schema":null,"payload":null}"#)] {
            assert!(of_no_row(&mut key, bytes), "{bytes:?}");
        }
        assert_eq!(read(&mut key, r#"{"id":2}"#, None, true), "same");
        assert_eq!(key.columns_of_batch(None), ["id"]);
    }

    #[test]
    fn the_users_columns_stand_in_place_of_the_messages() {
        let users = ["region".to_owned(), "id".to_owned()];
        let mut key = Key::default();
        assert_eq!(read(&mut key, r#"{"id":1}"#, Some(&users), false), "changed");
        assert!(key.overridden() && key.columns() == users);
        assert_eq!(read(&mut key, "7", Some(&users), true), "changed, none");
        assert_eq!(read(&mut key, r#"{"region":1,"id":1}"#, Some(&users), true), "changed");
        assert!(!key.overridden());
        assert_eq!(read(&mut key, "7x", Some(&users), true), "error");
    }
}
