//! What becomes of a table when its turn ends: it goes on, rests, stops, or must be read again.

use super::attempt::{Done, End, Landed, Purpose, Wrong};
use super::fed_table::{FedTable, State};
use super::outcome::{Ended, Unfounded};
use super::places::{TopicPartition, positions_of};
use super::work::Size;
use crate::error::Error;
use crate::outcome::Committed;

/// What holds at the moment of landing.
pub(super) struct Now {
    pub(super) ms: i64,
    /// How long a table rests that fails.
    pub(super) rest_ms: i64,
    pub(super) letter_limit: Option<u32>,
    /// The partitions of the table's topics that are read.
    pub(super) places: Vec<TopicPartition>,
}

impl FedTable {
    /// The turn ends. One that stopped meanwhile stays so.
    pub(super) fn land(&mut self, landed: Landed, now: Now) -> Ended {
        self.flight = None;
        let before = std::mem::take(&mut self.state);
        let ended = self.is_back(landed, now);
        if let State::Stopped { reason } = before {
            self.stop(reason);
        }
        ended
    }

    /// What is not in the table goes before what came meanwhile.
    fn is_back(&mut self, landed: Landed, now: Now) -> Ended {
        let Landed { purpose, writer, mut work, end, met, took_ms, requests, .. } = landed;
        self.counters.requests += requests;
        self.counters.conflicts += met.conflicts;
        self.counters.locked += met.locked;
        self.writer = writer;
        self.concludes &= purpose != Purpose::Commit;
        self.is_bounded &= purpose != Purpose::Commit;
        let size = work.size;
        if !matches!((&end, purpose), (Ok(End::Done(_)), Purpose::Commit)) {
            work.append(std::mem::take(&mut self.work));
            self.work = work;
        }
        match end {
            Ok(End::Done(done)) => {
                self.knows();
                match purpose {
                    Purpose::Commit => self.is_committed(*done, &size, took_ms, &now),
                    Purpose::Look | Purpose::Begin => self.has_begun(*done, took_ms),
                }
            }
            Ok(End::Unfounded(unfounded)) => self.waits_for_a_row(unfounded, now.ms),
            Ok(End::Behind(is_at)) => {
                let before = std::mem::replace(&mut self.known, positions_of(&is_at));
                let tells = |place: &TopicPartition| self.known.get(&place.topic, place.partition).is_some();
                let lost: Vec<_> = before.iter().map(|(place, _)| place).filter(|place| !tells(place)).collect();
                self.lost.extend(lost);
                self.is_there = self.writer.is_some();
                self.is_behind(now.places)
            }
            Err(Wrong::Stops(error)) => self.has_stopped(error),
            Err(Wrong::Rests(error)) => self.has_failed(error, now.ms + now.rest_ms),
        }
    }

    /// Takes over what the table says of how far it is.
    fn knows(&mut self) {
        if let Some(writer) = &self.writer {
            self.known = positions_of(writer.committed());
            self.is_there = true;
            self.anew.clear();
            self.lost.retain(|place| self.known.get(&place.topic, place.partition).is_none());
        }
        (self.failures, self.lag_since_ms) = (0, None);
    }

    fn has_begun(&mut self, done: Done, took_ms: i64) -> Ended {
        match done.committed {
            Some(committed) => {
                self.counters.committed(&committed, &done.taken, took_ms);
                self.waiting_changes = committed.waiting_changes;
                Ended::Committed { committed, taken: done.taken }
            }
            None => Ended::Nothing,
        }
    }

    fn is_committed(&mut self, done: Done, size: &Size, took_ms: i64, now: &Now) -> Ended {
        self.drain &= self.waiting_since_ms().is_some();
        self.newest_source_ms = self.newest_source_ms.max(size.newest_source_ms);
        self.counters.covered += done.taken.covered;
        self.counters.redelivered += done.taken.redelivered;
        let Done { committed, taken, letters, first_letter } = done;
        let Some(committed) = committed else { return Ended::Nothing };
        self.counters.committed(&committed, &taken, took_ms);
        self.waiting_changes = committed.waiting_changes;
        let letters = letters.max(made_by_the_table(&committed, size));
        if let Some(error) = self.letters.count(letters, first_letter, now.letter_limit, now.ms) {
            // The commit stands; the next would bring more of them.
            tracing::error!(table = self.template.table.name, %error, "the table stops");
            self.stop(error.to_string());
        }
        Ended::Committed { committed, taken }
    }

    /// There is no table. What waits is enough to make it stop, or it waits for a row.
    fn waits_for_a_row(&mut self, unfounded: Unfounded, now_ms: i64) -> Ended {
        if self.work.founding_key(&self.template.table).is_some() {
            // It came meanwhile.
            return Ended::Unfounded(unfounded);
        }
        self.drain = false;
        if self.waiting_bytes() >= self.triggers.bytes {
            return self.has_stopped(nothing_founds(&self.template.table.name, &unfounded));
        }
        let reason = "no message says yet what the table is".to_owned();
        self.state = State::Resting { until_ms: now_ms + self.triggers.age_ms, reason };
        Ended::Unfounded(unfounded)
    }

    fn is_behind(&mut self, places: Vec<TopicPartition>) -> Ended {
        let held: Vec<TopicPartition> = self.places().into_iter().collect();
        self.work = super::work::Work::default();
        self.counters.reloads += 1;
        self.reload(places.into_iter().chain(held));
        Ended::Reload
    }

    fn has_stopped(&mut self, error: Error) -> Ended {
        self.counters.failures += 1;
        self.stop(error.told());
        Ended::Failed { error, retry_at_ms: None }
    }

    fn has_failed(&mut self, error: Error, until_ms: i64) -> Ended {
        self.counters.failures += 1;
        self.failures = self.failures.saturating_add(1);
        self.drain = false;
        self.state = State::Resting { until_ms, reason: error.told() };
        Ended::Failed { error, retry_at_ms: Some(until_ms) }
    }
}

/// Dead letters of changes that turned out not to be applicable.
fn made_by_the_table(committed: &Committed, size: &Size) -> u64 {
    committed.dead_letters.saturating_sub(size.letters as u64)
}

fn nothing_founds(table: &str, unfounded: &Unfounded) -> Error {
    let Unfounded { changes, letters, first_letter, .. } = unfounded;
    let first =
        first_letter.as_ref().map_or(String::new(), |first| format!("; the first message that could not: {first}"));
    Error::refused(
        format!("the table {table}"),
        format!(
            "{changes} changes have no key and {letters} messages became none, so that nothing says what it is: name the \
             columns of its key{first}"
        ),
    )
}
