//! [`Pattern`]: the columns that a rule is for.

/// A glob over `topic.column`, or over the column alone: `*` stands for any letters, `?` for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(String);

impl Pattern {
    /// `None` where the text has letters that stand in no topic and no column.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-*?".contains(c);
        (!text.is_empty() && text.chars().all(is_legal)).then(|| Self(text.to_owned()))
    }

    pub(super) fn matches(&self, topic: &str, column: &str) -> bool {
        let pattern = self.0.as_bytes();
        let full = topic.bytes().chain(*b".").chain(column.bytes()).collect::<Vec<u8>>();
        matches(pattern, column.as_bytes()) || matches(pattern, &full)
    }
}

/// Goes back to the last `*` alone: what an earlier one could take as well, the last one can.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, in_text));
                at += 1;
            }
            (Some(letter), _) if *letter == b'?' || *letter == text[in_text] => (at, in_text) = (at + 1, in_text + 1),
            (_, Some((of_star, taken))) => {
                (at, in_text) = (of_star + 1, taken + 1);
                star = Some((of_star, taken + 1));
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_a_column_or_of_one_in_a_topic() {
        let topic = "shop.public.customers";
        for (pattern, is_match) in [
            ("email", true),
            ("e*l", true),
            ("*", true),
            ("?mail", true),
            ("shop.public.customers.email", true),
            ("shop.*.email", true),
            ("*.email", true),
            ("*customers.e?ail", true),
            ("*a*i*l", true),
            ("mail", false),
            ("email?", false),
            ("customers.email", false),
            ("other.*", false),
            ("EMAIL", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(topic, "email"), is_match, "{pattern}");
        }
        for bad in ["", "a b", "a:b", "ä"] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
        }
    }
}
