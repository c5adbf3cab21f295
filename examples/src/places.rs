//! [`UrlTemplate`]: which table a topic goes to.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::Failure;

/// A table's URL with places for parts of a topic's name: `{topic}`, `{db}`, `{schema}`, `{table}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate(String);

impl FromStr for UrlTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut places = 0;
        for after in text.split('{').skip(1) {
            let name = after.split_once('}').map(|(name, _)| name);
            if !name.is_some_and(|name| PARTS.contains(&name)) {
                return Err(format!("`{{{}`: want {{topic}}, {{db}}, {{schema}} or {{table}}", name.unwrap_or(after)));
            }
            places += 1;
        }
        if places == 0 {
            return Err("want {topic} or {table} in it: several topics would meet in one table".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

const PARTS: [&str; 4] = ["topic", "db", "schema", "table"];

impl UrlTemplate {
    /// The URL of a topic's table. Debezium names topics `prefix.schema.table`, `prefix.db.table` or `prefix.db.schema.table`;
    /// where there are three parts the middle one is both.
    ///
    /// # Errors
    /// Where the topic's name has no such part.
    pub fn url(&self, topic: &str) -> Result<String, Failure> {
        let parts: Vec<&str> = topic.split('.').collect();
        let (db, schema) = match parts.as_slice() {
            [_, db, schema, _] => (Some(*db), Some(*schema)),
            [_, middle, _] => (Some(*middle), Some(*middle)),
            _ => (None, None),
        };
        let mut url = self.0.clone();
        for (name, part) in PARTS.into_iter().zip([Some(topic), db, schema, parts.last().copied()]) {
            let place = format!("{{{name}}}");
            if !url.contains(&place) {
                continue;
            }
            let part = part.filter(|part| !part.is_empty()).ok_or_else(|| {
                Failure::usage(format!(
                    "the topic {topic} has no {place} in its name: want prefix.db.schema.table, or use {{topic}}"
                ))
            })?;
            url = url.replace(&place, part);
        }
        Ok(url)
    }

    /// The URLs of these topics' tables.
    ///
    /// # Errors
    /// As [`UrlTemplate::url`]; and where two topics meet in one table.
    pub fn urls<'a>(&self, topics: impl IntoIterator<Item = &'a String>) -> Result<BTreeMap<String, String>, Failure> {
        let mut urls: BTreeMap<String, String> = BTreeMap::new();
        for topic in topics {
            let url = self.url(topic)?;
            if let Some((other, _)) = urls.iter().find(|(_, taken)| **taken == url) {
                return Err(Failure::usage(format!(
                    "the topics {other} and {topic} meet in one table, {url}: use {{topic}}, or more of its parts"
                )));
            }
            urls.insert(topic.clone(), url);
        }
        Ok(urls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(template: &str, topic: &str) -> Result<String, String> {
        let template: UrlTemplate = template.parse()?;
        template.url(topic).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn a_topics_parts_stand_where_the_template_says() {
        for (template, topic, expected) in [
            ("/lake/{table}", "shop.public.orders", "/lake/orders"),
            ("s3://b/{db}/{schema}/{table}", "shop.crm.dbo.orders", "s3://b/crm/dbo/orders"),
            ("/lake/{schema}_{table}", "shop.public.orders", "/lake/public_orders"),
            ("/lake/{db}/{table}", "shop.inventory.orders", "/lake/inventory/orders"),
            ("/lake/{topic}", "a.b.c.d.e", "/lake/a.b.c.d.e"),
            ("/lake/{table}", "orders", "/lake/orders"),
        ] {
            assert_eq!(url(template, topic).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        for (template, topic, named) in [
            ("/lake/orders", "t", "want {topic}"),
            ("/lake/{tabel}", "t", "{tabel"),
            ("/lake/{table", "t", "{table"),
            ("/lake/{db}", "orders", "no {db}"),
            ("/lake/{table}", "shop.public.", "no {table}"),
        ] {
            let refused = url(template, topic).unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
        let template: UrlTemplate = "/lake/{table}".parse().unwrap();
        let met = template.urls(&["a.x.orders".to_owned(), "a.y.orders".to_owned()]).unwrap_err();
        assert!(format!("{met:?}").contains("meet"));
    }
}
