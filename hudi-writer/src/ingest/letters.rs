//! [`LetterLimit`]: how many messages a minute may become dead letters of a table before it stops.

use hudi_core::dead_letter::DeadLetter;

use crate::error::Error;

/// How long is counted.
const WINDOW_MS: i64 = 60_000;

/// Dead letters of one table, counted by the minute.
#[derive(Debug, Clone, Default)]
pub(super) struct LetterLimit {
    begun_ms: i64,
    count: u64,
    /// The first of this minute: where it stood, and what was wrong.
    first: Option<String>,
}

impl LetterLimit {
    /// Counts letters; an error if they are too many.
    pub(super) fn count(
        &mut self,
        letters: u64,
        first: Option<String>,
        limit: Option<u32>,
        now_ms: i64,
    ) -> Option<Error> {
        if letters == 0 {
            return None;
        }
        if self.count == 0 || !(0..WINDOW_MS).contains(&(now_ms - self.begun_ms)) {
            *self = Self { begun_ms: now_ms, count: 0, first: None };
        }
        self.count += letters;
        self.first = self.first.take().or(first);
        let limit = u64::from(limit.filter(|limit| self.count > u64::from(*limit))?);
        let first = self.first.as_deref().unwrap_or("no reason was kept");
        Some(Error::refused(format!("more than {limit} dead letters a minute"), format!("the first, {first}")))
    }
}

/// Where a letter stood and what was wrong with it. Holds no row value.
pub(super) fn told(letter: &DeadLetter) -> String {
    format!("{}: {}", letter.original.origin, letter.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_too_many_within_a_minute_is_named() {
        let mut limit = LetterLimit::default();
        let mut count = |at_ms, letters, first: &str| {
            limit.count(letters, Some(first.to_owned()), Some(3), at_ms).map(|error| error.to_string())
        };
        assert_eq!(count(0, 3, "a"), None);
        assert_eq!(count(60_000, 2, "b"), None);
        assert_eq!(count(90_000, 1, "c"), None);
        assert_eq!(count(90_000, 0, "d"), None);
        let stopped = count(119_999, 1, "e").unwrap();
        assert!(stopped.contains("more than 3") && stopped.contains("the first, b"), "{stopped}");
    }

    #[test]
    fn without_a_limit_they_are_only_counted() {
        assert!(LetterLimit::default().count(u64::MAX, None, None, 0).is_none());
    }
}
