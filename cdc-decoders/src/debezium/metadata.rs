//! What Debezium's flattening adds to a row: which members and headers are no columns, and what they tell ([`Names`]).
//!
//! The names follow from `add.fields` and `add.headers` as the transform makes them: `op` is `__op`, `source.ts_ms` is
//! `__source_ts_ms`, `lsn:position` is `__position`. Not here: what is made of it ([`super::flat`]).

use std::collections::HashMap;
use std::sync::Arc;

use super::{envelope, source};

/// What a member or header tells: a member of the source block by its number, or one of the tags below.
pub(crate) type Tag = u8;

/// The operation.
pub(crate) const OP: Tag = 250;
/// Whether the row was deleted, in the modes that rewrite deletes.
pub(crate) const DELETED: Tag = 251;
/// Nothing that we need.
pub(crate) const NOTHING: Tag = 252;

/// The member that the rewriting modes add, whatever the prefix.
const DELETED_NAME: &str = "__deleted";

/// The members of the envelope itself that a transform may add, with those of its transaction block as they are called alone.
const BESIDE: [&str; 6] = ["ts_ms", "ts_us", "ts_ns", "total_order", "data_collection_order", "updateDescription"];
const TRANSACTION: [&str; 3] = ["id", "total_order", "data_collection_order"];

/// What the user asked the transform for.
#[derive(Debug, Clone)]
pub(crate) struct Added {
    /// As in the transform's settings; `None`: not told, so every name that it could make.
    pub(crate) list: Option<String>,
    pub(crate) prefix: String,
}

impl Default for Added {
    fn default() -> Self {
        Self { list: None, prefix: "__".to_owned() }
    }
}

/// The names of the members, or of the headers, that are no columns.
pub(crate) type Names = Arc<HashMap<String, Tag>>;

impl Added {
    /// The names of the members.
    pub(crate) fn fields(&self) -> Names {
        let mut names = self.names();
        names.insert(DELETED_NAME.to_owned(), DELETED);
        Arc::new(names)
    }

    /// The names of the headers.
    pub(crate) fn headers(&self) -> Names {
        Arc::new(self.names())
    }

    fn names(&self) -> HashMap<String, Tag> {
        match &self.list {
            Some(list) => {
                list.split(',').map(str::trim).filter(|one| !one.is_empty()).map(|one| self.asked(one)).collect()
            }
            // Without prefix, any column could be meant.
            None if self.prefix.is_empty() => HashMap::new(),
            None => self.possible().collect(),
        }
    }

    /// The name of one entry: `field`, `struct.field`, either with `:` and a name of the user's.
    fn asked(&self, entry: &str) -> (String, Tag) {
        let (path, new_name) = entry.split_once(':').map_or((entry, None), |(path, name)| (path, Some(name)));
        let (tag, name) = match path.split_once('.') {
            Some(("source", field)) => (of_source(field), path.replace('.', "_")),
            Some(_) => (NOTHING, path.replace('.', "_")),
            None if path == "op" => (OP, path.to_owned()),
            None if BESIDE.contains(&path) || path == "id" => (NOTHING, path.to_owned()),
            None => (of_source(path), path.to_owned()),
        };
        (format!("{}{}", self.prefix, new_name.unwrap_or(&name)), tag)
    }

    /// All names that the transform could make of Debezium's own. Not of a transaction's bare `id`, which may well be a column's.
    fn possible(&self) -> impl Iterator<Item = (String, Tag)> {
        let alone =
            source::names().filter(|name| !BESIDE.contains(name)).map(|name| (name.to_owned(), of_source(name)));
        let qualified = source::names().map(|name| (format!("source_{name}"), of_source(name)));
        let transaction = TRANSACTION.map(|name| (format!("transaction_{name}"), NOTHING));
        let beside = BESIDE.map(|name| (name.to_owned(), NOTHING));
        let all = alone.chain(qualified).chain(transaction).chain(beside).chain([("op".to_owned(), OP)]);
        all.map(|(name, tag)| (format!("{}{name}", self.prefix), tag))
    }
}

fn of_source(name: &str) -> Tag {
    source::member_number(name).unwrap_or(NOTHING)
}

/// The text in a header, whatever converter wrote it: bare, as JSON, or as JSON with schema. `None` for null.
pub(crate) fn header_text(header: &[u8]) -> Option<&str> {
    text_in(std::str::from_utf8(header).ok()?)
}

/// The same of text.
pub(crate) fn text_in(header: &str) -> Option<&str> {
    let mut text = header.trim();
    if text.starts_with('{')
        && let Ok(payload) = envelope::unwrapped(text.as_bytes())
    {
        text = payload.rest();
    }
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    (!inside.is_empty() && inside != "null").then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(list: Option<&str>, prefix: &str, names: &[&str]) -> Vec<Option<&'static str>> {
        let added = Added { list: list.map(str::to_owned), prefix: prefix.to_owned() };
        let fields = added.fields();
        let tag = |name: &&str| {
            fields.get(*name).map(|tag| match *tag {
                OP => "op",
                DELETED => "deleted",
                NOTHING => "nothing",
                number => source::names().nth(usize::from(number)).unwrap(),
            })
        };
        names.iter().map(tag).collect()
    }

    #[test]
    fn the_names_are_those_that_the_transform_makes() {
        assert_eq!(
            tags(
                None,
                "__",
                &["__deleted", "__op", "__lsn", "__source_lsn", "__ts_ms", "__source_ts_ms", "__transaction_id"]
            ),
            ["deleted", "op", "lsn", "lsn", "nothing", "ts_ms", "nothing"].map(Some)
        );
        assert_eq!(tags(None, "__", &["__id", "id", "op", "__x"]), [None; 4]);
        let list = Some("op, lsn:position,source.ts_ms,transaction.id,txSeq,ts_ms,,own");
        assert_eq!(
            tags(
                list,
                "m_",
                &["m_op", "m_position", "m_source_ts_ms", "m_transaction_id", "m_txSeq", "m_ts_ms", "m_own"]
            ),
            ["op", "lsn", "ts_ms", "nothing", "txSeq", "nothing", "nothing"].map(Some)
        );
        assert_eq!(tags(list, "m_", &["m_lsn", "__op", "m_table"]), [None; 3]);
        assert_eq!(tags(None, "", &["name", "__deleted"]), [None, Some("deleted")]);
        assert_eq!(tags(Some("op,name"), "", &["name", "op", "lsn"]), [Some("name"), Some("op"), None]);
    }

    #[test]
    fn every_header_converter_is_read() {
        for (header, text) in [
            ("r", Some("r")),
            ("\"r\"", Some("r")),
            (" 179 ", Some("179")),
            ("binlog.000001", Some("binlog.000001")),
            (r#"{"schema":{"type":"string","optional":true},"payload":"r"}"#, Some("r")),
            (r#"{"schema":{"type":"int64"},"payload":179}"#, Some("179")),
            (r#"{"schema":{"type":"int64"},"payload":null}"#, None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(header_text(header.as_bytes()), text, "{header}");
        }
        assert_eq!(header_text(&[0xff]), None);
    }
}
