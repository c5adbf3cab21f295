//! [`Rule`]: one override, as it is written: `PATTERN:ACTION`.

use super::convert::Target;
use super::pattern::Pattern;
use super::zone::Zone;

/// What is done with the columns of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) pattern: Pattern,
    pub(super) action: Action,
}

/// One thing that is done with a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// It gets this type.
    Type(Target),
    /// Its wall clock is that of this zone.
    Zone(Zone),
    /// It is left out.
    Drop,
    /// Its values are.
    Null,
    /// Its values are hashed with the key of this name.
    Hash(String),
}

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("override `{rule}`: want {want}")]
pub struct RuleError {
    /// The rule as it is written.
    pub rule: String,
    /// What would be accepted.
    pub want: String,
}

impl RuleError {
    pub(super) fn new(rule: &str, want: impl Into<String>) -> Self {
        Self { rule: rule.to_owned(), want: want.into() }
    }
}

impl Rule {
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        const WANT: &str = "PATTERN:ACTION, the pattern a column or TOPIC.COLUMN with * and ?, the action `drop`, `null`, `type=…`, \
                            `zone=…` or `hash=KEY`";
        let wrong = || RuleError::new(text, WANT);
        let (pattern, action) = text.split_once(':').ok_or_else(wrong)?;
        let pattern = Pattern::parse(pattern).ok_or_else(wrong)?;
        let action = match action.split_once('=') {
            None if action == "drop" => Action::Drop,
            None if action == "null" => Action::Null,
            Some(("type", name)) => {
                Action::Type(Target::parse(name).ok_or_else(|| RuleError::new(text, Target::WANT))?)
            }
            Some(("zone", name)) => Action::Zone(Zone::parse(name).map_err(|want| RuleError::new(text, want))?),
            Some(("hash", key)) if !key.is_empty() => Action::Hash(key.to_owned()),
            _ => return Err(wrong()),
        };
        Ok(Self { pattern, action })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_what_is_none_says_what_is_wanted() {
        for text in
            ["a:drop", "*.a:null", "t.a:type=decimal(10, 2)", "a:type=timestamp(ms)", "a:zone=+02:00", "a:hash=k1"]
        {
            Rule::parse(text).unwrap();
        }
        for (text, named) in [
            ("a", "PATTERN:ACTION"),
            ("a:forget", "`drop`"),
            (":drop", "PATTERN"),
            ("a:hash=", "`hash=KEY`"),
            ("a:type=number", "decimal"),
            ("a:type=decimal(39,0)", "decimal"),
            ("a:zone=Nowhere/Land", "zone"),
        ] {
            let error = Rule::parse(text).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(text), "{error}");
        }
    }
}
