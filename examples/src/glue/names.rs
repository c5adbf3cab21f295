//! [`NameTemplate`]: what a table is called in Glue. By the table alone, so that every program calls it the same.

use std::str::FromStr;

use crate::Failure;

const PARTS: [&str; 2] = ["name", "parent"];

/// A name with places for what a table is called: `{name}`, as its properties say, and `{parent}`, the folder that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTemplate(String);

impl Default for NameTemplate {
    fn default() -> Self {
        Self("{name}".to_owned())
    }
}

impl FromStr for NameTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        for after in text.split('{').skip(1) {
            let part = after.split_once('}').map_or(after, |(part, _)| part);
            if !PARTS.contains(&part) || !after.contains('}') {
                return Err(format!("`{{{part}`: want {{name}} or {{parent}}"));
            }
        }
        if text.trim().is_empty() {
            return Err("want a name, with {name} or {parent} in it where there are several".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl NameTemplate {
    /// What the table of this name at this URL is called.
    ///
    /// # Errors
    /// Where it stands in no folder that has a name.
    pub fn of(&self, name: &str, url: &str) -> Result<String, Failure> {
        let path = url.split_once("://").map_or(url, |(_, path)| path).trim_end_matches('/');
        let parent = path.rsplit('/').nth(1).filter(|parent| !parent.is_empty());
        match (self.0.contains("{parent}"), parent) {
            (true, None) => {
                Err(Failure::usage(format!("{url} has no folder above it, for {{parent}} in `{}`", self.0)))
            }
            (_, parent) => Ok(self.0.replace("{parent}", parent.unwrap_or_default()).replace("{name}", name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_called_by_its_name_and_its_folder() {
        let name = |template: &str, url: &str| {
            template.parse::<NameTemplate>().unwrap().of("orders", url).map_err(|failure| failure.to_string())
        };
        assert_eq!(name("{name}", "s3://lake/public/o").unwrap(), "orders");
        assert_eq!(name("{parent}_{name}", "s3://lake/public/o/").unwrap(), "public_orders");
        assert_eq!(name("raw_{parent}", "s3://lake/o").unwrap(), "raw_lake");
        assert!(name("{parent}", "s3://lake").unwrap_err().contains("no folder above it"));
        for wrong in ["{table}", "{name", "", " "] {
            assert!(wrong.parse::<NameTemplate>().is_err(), "{wrong}");
        }
    }
}
