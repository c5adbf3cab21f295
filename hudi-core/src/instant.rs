//! Instants: the time, action and state of one entry of the timeline, and the file name each has.
//!
//! Does not hold the contents of timeline files (`commit`) nor the set of instants (`timeline`). Names are parsed once,
//! here, and printed from the same type. Format sections 2.1 and 2.3; timeline layouts 1 and 2.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};

use crate::error::{Error, Result};
use crate::version::TimelineLayout;

/// The time that names an instant: `yyyyMMddHHmmssSSS` in the table's time zone (ours: UTC).
///
/// Ordered as text, as every reader does. Seventeen digits; fourteen (seconds) in tables from before Hudi 0.10, twenty in
/// the metadata table. Milliseconds are for arithmetic: adding 1 to the digits is wrong at the end of every second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstantTime {
    // Unused places are 0, below every digit: comparing the array compares the text.
    digits: [u8; Self::LONGEST],
    len: u8,
}

impl InstantTime {
    /// Before every other: the reserved instant of fourteen zeros.
    pub const EARLIEST: Self = {
        let mut digits = [0; Self::LONGEST];
        let mut at = 0;
        while at < 14 {
            digits[at] = b'0';
            at += 1;
        }
        Self { digits, len: 14 }
    };

    const LONGEST: usize = 20;
    /// The greatest time four digits of a year can say.
    const MAX_MS: i64 = 253_402_300_799_999;
    const MIN_MS: i64 = -62_167_219_200_000;

    /// The instant at so many milliseconds since 1970-01-01 UTC, in seventeen digits. Held within the years 0000 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        let clamped = millis.clamp(Self::MIN_MS, Self::MAX_MS);
        let at = DateTime::from_timestamp_millis(clamped).unwrap_or_default().naive_utc();
        let mut digits = [0; Self::LONGEST];
        let mut put = |from: usize, width: usize, mut value: u32| {
            for place in digits[from..from + width].iter_mut().rev() {
                *place = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, at.year().unsigned_abs());
        put(4, 2, at.month());
        put(6, 2, at.day());
        put(8, 2, at.hour());
        put(10, 2, at.minute());
        put(12, 2, at.second());
        put(14, 3, at.nanosecond() / 1_000_000);
        Self { digits, len: 17 }
    }

    /// Milliseconds since 1970-01-01, the digits read as UTC. `None` for the reserved instants, which are no date.
    ///
    /// A fourteen-digit instant is the last millisecond of its second, as Java reads it.
    pub fn to_millis(self) -> Option<i64> {
        let (seconds, rest) = self.as_str().split_at_checked(14)?;
        let at = NaiveDateTime::parse_from_str(seconds, "%Y%m%d%H%M%S").ok()?;
        let millis: i64 = if rest.is_empty() { 999 } else { rest.get(..3)?.parse().ok()? };
        Some(at.and_utc().timestamp_millis() + millis)
    }

    /// Reads the digits. Errors: `BadName` if it is not 14, 17 or 20 ASCII digits.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = text.as_bytes();
        if !matches!(bytes.len(), 14 | 17 | 20) || !bytes.iter().all(u8::is_ascii_digit) {
            return Err(Error::bad_name(text, "an instant is 17 digits (14 in old tables)"));
        }
        let mut digits = [0; Self::LONGEST];
        digits[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { digits, len: bytes.len() as u8 })
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // Only digits are ever stored.
        std::str::from_utf8(&self.digits[..usize::from(self.len)]).unwrap_or_default()
    }

    /// The next instant that is above `self`, or `now_ms` if that is later: instants never repeat and never go back.
    pub fn next(self, now_ms: i64) -> Self {
        let now = Self::from_millis(now_ms);
        match self.to_millis() {
            Some(last_ms) if now <= self => Self::from_millis(last_ms + 1),
            _ => now,
        }
    }
}

impl fmt::Display for InstantTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for InstantTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for InstantTime {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// What an instant does to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Base files written (copy-on-write writes; completed compactions).
    Commit,
    /// Log files (and base files) written to a merge-on-read table.
    DeltaCommit,
    /// File groups replaced (insert overwrite, delete partition, completed clustering).
    ReplaceCommit,
    /// Log files merged into base files; completes as [`Action::Commit`].
    Compaction,
    /// Log blocks merged into larger ones; completes as [`Action::DeltaCommit`].
    LogCompaction,
    /// Clustering of layout 2; completes as [`Action::ReplaceCommit`], and is one from the start in layout 1.
    Clustering,
    /// Old file versions deleted.
    Clean,
    /// A failed or unwanted instant undone.
    Rollback,
    /// The table set back to a savepoint.
    Restore,
    /// An instant kept from cleaning.
    Savepoint,
    /// An index of the metadata table built.
    Indexing,
    /// A schema saved in `.hoodie/.schema`.
    SchemaCommit,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 12] = [
        Self::Commit,
        Self::DeltaCommit,
        Self::ReplaceCommit,
        Self::Compaction,
        Self::LogCompaction,
        Self::Clustering,
        Self::Clean,
        Self::Rollback,
        Self::Restore,
        Self::Savepoint,
        Self::Indexing,
        Self::SchemaCommit,
    ];

    /// The name in file extensions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::DeltaCommit => "deltacommit",
            Self::ReplaceCommit => "replacecommit",
            Self::Compaction => "compaction",
            Self::LogCompaction => "logcompaction",
            Self::Clustering => "clustering",
            Self::Clean => "clean",
            Self::Rollback => "rollback",
            Self::Restore => "restore",
            Self::Savepoint => "savepoint",
            Self::Indexing => "indexing",
            Self::SchemaCommit => "schemacommit",
        }
    }

    /// The action under which this one completes, and by which states of one instant are grouped.
    pub fn comparable(self) -> Self {
        match self {
            Self::Compaction => Self::Commit,
            Self::LogCompaction => Self::DeltaCommit,
            Self::Clustering => Self::ReplaceCommit,
            other => other,
        }
    }

    /// Whether the completed instant holds commit metadata: commit, delta commit, replace commit and what completes as one.
    pub fn is_write(self) -> bool {
        matches!(self.comparable(), Self::Commit | Self::DeltaCommit | Self::ReplaceCommit)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == name)
    }

    /// The action by which the state's file is named in this layout.
    fn named_as(self, layout: TimelineLayout, completed: bool) -> Self {
        match self {
            Self::Clustering if layout == TimelineLayout::V1 => Self::ReplaceCommit,
            action if completed => action.comparable(),
            action => action,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far an instant has come. Ordered: requested, inflight, completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Announced, with its plan if it has one.
    Requested,
    /// At work.
    Inflight,
    /// Done and visible.
    Completed {
        /// When, in layout 2. Layout 1 does not say.
        at: Option<InstantTime>,
    },
}

impl State {
    /// Whether the instant is done.
    pub fn is_completed(self) -> bool {
        matches!(self, Self::Completed { .. })
    }
}

/// One entry of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// The requested time, which names the instant.
    pub time: InstantTime,
    /// What it does.
    pub action: Action,
    /// How far it has come.
    pub state: State,
}

impl Instant {
    /// A requested instant.
    pub fn requested(time: InstantTime, action: Action) -> Self {
        Self { time, action, state: State::Requested }
    }

    /// The same instant, inflight.
    pub fn inflight(self) -> Self {
        Self { state: State::Inflight, ..self }
    }

    /// The same instant, completed under the action it completes as. `at` is for layout 2.
    pub fn completed(self, at: Option<InstantTime>) -> Self {
        Self { action: self.action.comparable(), state: State::Completed { at }, ..self }
    }

    /// Whether the instant is done.
    pub fn is_completed(&self) -> bool {
        self.state.is_completed()
    }

    /// Reads the name of a file of the timeline directory. `Ok(None)`: some other file.
    ///
    /// Errors: `BadName` if the extension is a timeline file's and the digits before it are no instant.
    pub fn parse(layout: TimelineLayout, name: &str) -> Result<Option<Self>> {
        let Some((digits, extension)) = name.split_once('.') else { return Ok(None) };
        let Some((action, state)) = action_and_state(layout, extension) else { return Ok(None) };
        let (requested, completed) = match digits.split_once('_') {
            Some((requested, completed)) if layout == TimelineLayout::V2 => (requested, Some(completed)),
            _ => (digits, None),
        };
        if !is_digits(requested) || completed.is_some_and(|c| !is_digits(c)) {
            return Ok(None);
        }
        let bad = |reason: &str| Error::bad_name(name, reason);
        let instant =
            |digits| InstantTime::parse(digits).map_err(|_| bad("an instant is 17 digits (14 in old tables)"));
        let time = instant(requested)?;
        let state = match (state, completed) {
            (State::Completed { .. }, Some(at)) => State::Completed { at: Some(instant(at)?) },
            (_, Some(_)) => return Err(bad("a completion time on an instant that is not completed")),
            (state, None) => state,
        };
        Ok(Some(Self { time, action, state }))
    }

    /// The name of the file that says that the instant has come this far.
    pub fn file_name(&self, layout: TimelineLayout) -> String {
        let Self { time, action, state } = self;
        let action = action.named_as(layout, state.is_completed());
        match state {
            State::Inflight if action == Action::Commit => format!("{time}.inflight"),
            State::Requested => format!("{time}.{action}.requested"),
            State::Inflight => format!("{time}.{action}.inflight"),
            State::Completed { at: Some(at) } if layout == TimelineLayout::V2 => format!("{time}_{at}.{action}"),
            State::Completed { .. } => format!("{time}.{action}"),
        }
    }
}

/// What an extension says, if it is one of the timeline's.
fn action_and_state(layout: TimelineLayout, extension: &str) -> Option<(Action, State)> {
    if extension == "inflight" {
        return Some((Action::Commit, State::Inflight));
    }
    let (name, state) = match extension.split_once('.') {
        Some((name, "requested")) => (name, State::Requested),
        Some((name, "inflight")) => (name, State::Inflight),
        Some(_) => return None,
        None => (extension, State::Completed { at: None }),
    };
    let action = Action::from_name(name)?;
    let printed = Instant { time: InstantTime::from_millis(0), action, state };
    let exists = action.named_as(layout, state.is_completed()) == action
        && !(action == Action::Savepoint && state == State::Requested)
        && printed.file_name(layout).ends_with(extension);
    exists.then_some((action, state))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUTS: [TimelineLayout; 2] = [TimelineLayout::V1, TimelineLayout::V2];

    #[test]
    fn every_name_that_is_printed_parses_to_the_same_instant() {
        let time = InstantTime::parse("20240418172804498").unwrap();
        let at = InstantTime::parse("20240418172805001").unwrap();
        for layout in LAYOUTS {
            for action in Action::ALL {
                let at = (layout == TimelineLayout::V2).then_some(at);
                for state in [State::Requested, State::Inflight, State::Completed { at }] {
                    let canonical = Instant { time, action: action.named_as(layout, state.is_completed()), state };
                    if (action, state) == (Action::Savepoint, State::Requested) {
                        continue;
                    }
                    assert_eq!(Instant::parse(layout, &canonical.file_name(layout)), Ok(Some(canonical)));
                }
            }
        }
    }

    #[test]
    fn irregular_names_are_known() {
        let t = "20240418172804498";
        let parse = |layout, name: &str| Instant::parse(layout, name).unwrap().map(|i| (i.action, i.state));
        let done = State::Completed { at: None };
        for layout in LAYOUTS {
            assert_eq!(parse(layout, &format!("{t}.inflight")), Some((Action::Commit, State::Inflight)));
            assert_eq!(parse(layout, &format!("{t}.commit")), Some((Action::Commit, done)));
            assert_eq!(parse(layout, &format!("{t}.commit.inflight")), None);
            assert_eq!(parse(layout, &format!("{t}.compaction")), None);
        }
        assert_eq!(parse(TimelineLayout::V1, &format!("{t}.clustering.requested")), None);
        assert_eq!(parse(TimelineLayout::V1, &format!("{t}_{t}.commit")), None);
        let compaction = Instant::requested(InstantTime::parse(t).unwrap(), Action::Compaction);
        assert_eq!(compaction.completed(None).file_name(TimelineLayout::V1), format!("{t}.commit"));
    }

    #[test]
    fn strangers_are_none_and_broken_names_are_errors() {
        for name in [
            "archived",
            "metadata",
            ".aux",
            "2024.txt",
            "x.commit",
            "20240418172804498.commit.abcd",
            "20240418172804498",
        ] {
            assert_eq!(Instant::parse(TimelineLayout::V1, name), Ok(None), "{name}");
        }
        assert!(Instant::parse(TimelineLayout::V1, "2024.commit").is_err());
        let t = "20240418172804498";
        assert!(Instant::parse(TimelineLayout::V2, &format!("{t}_{t}.commit.requested")).is_err());
    }

    #[test]
    fn digits_and_millis_agree() {
        for ms in [0, 1, 1_713_461_284_498, 951_782_399_999, 4_102_444_799_999] {
            assert_eq!(InstantTime::from_millis(ms).to_millis(), Some(ms));
        }
        assert_eq!(InstantTime::from_millis(1_713_461_284_498).as_str(), "20240418172804498");
        assert_eq!(InstantTime::parse("20240418172804").unwrap().to_millis(), Some(1_713_461_284_999));
        assert_eq!(InstantTime::parse("00000000000000").unwrap().to_millis(), None);
        assert_eq!(InstantTime::from_millis(i64::MAX).as_str(), "99991231235959999");
        assert!(InstantTime::parse("2024041817280449x").is_err());
    }

    #[test]
    fn the_next_instant_never_goes_back() {
        let last = InstantTime::parse("20240418172859999").unwrap();
        let ms = last.to_millis().unwrap();
        assert_eq!(last.next(ms - 5000).as_str(), "20240418172900000");
        assert_eq!(last.next(ms).as_str(), "20240418172900000");
        assert_eq!(last.next(ms + 10), InstantTime::from_millis(ms + 10));
    }
}
