//! Reading a [`Config`]: its text, what stands in the environment, and what is wrong with it.

use std::path::Path;

use toml::Value;

use super::file::Config;
use crate::Failure;

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it cannot be read, or something in it is none; says where, and what would be.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text, &|name| std::env::var(name).ok()).map_err(wrong)
    }

    /// Reads a text, with these variables.
    ///
    /// # Errors
    /// What is wrong with it, and where. Holds no value.
    pub fn parse(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        // As it stands first: only so errors tell where.
        toml::from_str::<Self>(text).map_err(|error| told(text, &error))?;
        let mut table: toml::Table = toml::from_str(text).map_err(|error| told(text, &error))?;
        table.iter_mut().try_for_each(|(key, value)| fill(key, value, variable))?;
        table.try_into().map_err(|error: toml::de::Error| without_value(error.message()))
    }
}

/// Puts variables of the environment in place of their names.
fn fill(key: &str, value: &mut Value, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
    match value {
        Value::String(text) if text.contains("${") => *text = filled(key, text, variable)?,
        Value::Array(values) => values.iter_mut().try_for_each(|value| fill(key, value, variable))?,
        Value::Table(table) => {
            table.iter_mut().try_for_each(|(inner, value)| fill(&format!("{key}.{inner}"), value, variable))?;
        }
        _ => {}
    }
    Ok(())
}

fn filled(key: &str, text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("{key}: `${{` without `}}`"))?;
        let value = variable(name).ok_or_else(|| format!("{key}: there is no variable {name} in the environment"))?;
        filled.push_str(before);
        filled.push_str(&value);
        rest = after;
    }
    Ok(filled + rest)
}

/// Where and what, with the nearest of what could stand there.
fn told(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let message = error.message().lines().next().unwrap_or_default();
    let nearest = nearest(message).map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"));
    format!("line {line}: {}{nearest}", without_value(message))
}

/// A value of another type may be a secret.
fn without_value(message: &str) -> String {
    match message.split_once(", expected") {
        Some((found, expected)) if found.starts_with("invalid ") => {
            let end = found.find(['`', '"']).unwrap_or(found.len());
            format!("{}, expected{expected}", found[..end].trim_end())
        }
        _ => message.to_owned(),
    }
}

/// Of what a message about something unknown says could stand in its place, what is most like it.
fn nearest(message: &str) -> Option<&str> {
    let mut words = message.split('`').skip(1).step_by(2);
    let unknown = words.next().filter(|_| message.starts_with("unknown"))?;
    nearest_of(unknown, words)
}

/// Of what could stand in a word's place, what is most like it; `None` where nothing is.
pub(crate) fn nearest_of<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, nearest) = known.map(|known| (distance(unknown, known), known)).min()?;
    (distance <= unknown.len().max(3) / 2).then_some(nearest)
}

/// How many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = before + usize::from(letter != *other);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, &|name| (name == "SECRET").then(|| "hunter\"2".to_owned()))
    }

    #[test]
    fn a_key_that_is_none_is_refused_with_the_nearest_that_is() {
        for (text, told) in [
            ("[kafka]\nbroker = \"a\"", "line 2: unknown field `broker`"),
            ("[kafka]\nbroker = \"a\"", "did you mean `brokers`?"),
            ("[kafak]", "did you mean `kafka`?"),
            ("[comit]\nage = 1", "line 1: unknown field `comit`"),
            ("[tables]\nurl = \"x\"\n[tables.commit]\nrow = 1", "line 4: unknown field `row`"),
            ("[format]\nname = \"debezium_json\"", "did you mean `debezium-json`?"),
            ("[commit]\nage = \"soon\"", "such as \"250ms\""),
            ("[kafka]\ntopics = 5", "line 2: invalid type"),
            ("[kafka", "line 1: "),
            ("[registry]\npassword = 123456", "line 2: invalid type: integer, expected a string"),
            ("[[override]]\ntopics = [\"t\"]\nkeys = [\"id\"]", "unknown field `keys`"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(told), "{told}: {refused}");
        }
        assert!(!parse("[watch]\nqwertyuiop = 1").unwrap_err().contains("did you mean"));
    }

    #[test]
    fn variables_stand_in_texts_and_their_values_in_no_error() {
        let config = parse("[kafka.client]\n\"sasl.password\" = \"a${SECRET}b${SECRET}\"").unwrap();
        assert_eq!(config.kafka.client["sasl.password"], "ahunter\"2bhunter\"2");
        let missing = parse("[registry]\nurls = [\"${NONE}\"]").unwrap_err();
        assert_eq!(missing, "registry.urls: there is no variable NONE in the environment");
        assert!(parse("[kafka]\nbrokers = \"${SECRET\"").unwrap_err().contains("without `}`"));
        let wrong = parse("[format]\nname = \"${SECRET}\"").unwrap_err();
        assert!(!wrong.contains("hunter"), "{wrong}");
    }

    #[test]
    fn letters_between_two_words_are_counted() {
        assert_eq!([("", "abc"), ("abc", "abc"), ("kitten", "sitting")].map(|(a, b)| distance(a, b)), [3, 0, 3]);
    }
}
