//! The tables' turns: which are due, how they begin, and what becomes of a table when its turn ends.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};

use super::attempt::{Attempt, Claim, Landed, Patience, Purpose, jittered};
use super::due::{Candidate, Due, Memory, Why, due};
use super::fed_table::{FedTable, Flight, State};
use super::intake::Ingest;
use super::landing::Now;
use super::outcome::{Carried, Outcome};
use super::places::TopicPartition;
use super::work::{Held, Size};

/// How many tables are looked at at a time: that takes no memory.
const LOOKS: usize = 32;

impl Ingest {
    /// The tables whose turn it is, the most urgent first. Those of which a commit is under way are not among them. Looks at every
    /// table: once for some messages, not for each.
    pub fn due(&mut self) -> Vec<Due> {
        let now_ms = self.clock.now_ms();
        let lags: Vec<(Arc<str>, i64)> =
            self.tables.iter().map(|(table, fed)| (Arc::clone(table), self.lag(fed))).collect();
        for (table, lag) in &lags {
            if let Some(fed) = self.tables.get_mut(table) {
                fed.lag_since_ms = (*lag > 0).then(|| fed.lag_since_ms.unwrap_or(now_ms));
            }
        }
        let candidates = lags.into_iter().filter_map(|(table, lag)| self.candidate(table, lag, now_ms)).collect();
        let flying_bytes = self.tables.values().map(FedTable::flying_bytes).sum();
        due(candidates, Memory { total_bytes: self.memory_bytes(), flying_bytes }, &self.settings)
    }

    fn candidate(&self, table: Arc<str>, lag: i64, now_ms: i64) -> Option<Candidate> {
        let fed = self.tables.get(&table).filter(|fed| fed.may_go(now_ms))?;
        let why = match self.must_begin(&table) {
            true => Some(Why::Begin),
            false => fed.why(now_ms, lag, &self.settings),
        };
        let waited_ms = fed.waiting_since_ms().map_or(0, |since| now_ms - since);
        Some(Candidate { table, why, bytes: fed.waiting_bytes(), waited_ms, failures: fed.failures })
    }

    /// Messages of a table's partitions whose position it does not tell, while none of its changes wait.
    fn lag(&self, fed: &FedTable) -> i64 {
        if !fed.is_there || fed.waiting_since_ms().is_some() {
            return 0;
        }
        let of_topic = |topic: &Arc<str>| -> i64 {
            let readings = self.readings.of_topic(topic);
            let taken = readings.filter(|(partition, _)| fed.reloading.get(topic, *partition).is_none());
            taken.map(|(partition, reading)| fed.lag(topic, partition, *reading)).sum()
        };
        fed.topics.iter().map(of_topic).sum()
    }

    /// Whether a table shares a topic with others and does not say where it begins in a partition of which it holds something.
    fn must_begin(&self, table: &str) -> bool {
        let Some(fed) = self.tables.get(table) else { return false };
        let shares = |topic: &&Arc<str>| self.fed_by.get(*topic).is_some_and(|tables| tables.len() > 1);
        fed.topics.iter().filter(shares).any(|topic| {
            let begins = |partition: i32| fed.known.get(topic, partition).is_some();
            let says_nothing = |partition| !begins(partition) && fed.reloading.get(topic, partition).is_none();
            let holds = |place: &TopicPartition| place.topic == *topic && says_nothing(place.partition);
            let mut read = self.readings.of_topic(topic).map(|(partition, _)| partition);
            let decodes = fed.held.rows > 0 && read.any(says_nothing);
            decodes || fed.places().iter().any(holds)
        })
    }

    /// The messages that a turn of the table deals with.
    fn claims(&self, fed: &FedTable, purpose: Purpose) -> Vec<Claim> {
        let mut places = fed.places();
        places.extend(self.places_read_of(fed));
        places.into_iter().filter_map(|place| self.claim(fed, place, purpose)).collect()
    }

    fn claim(&self, fed: &FedTable, place: TopicPartition, purpose: Purpose) -> Option<Claim> {
        let (topic, partition) = (&*place.topic, place.partition);
        if fed.reloading.get(topic, partition).is_some() {
            return None;
        }
        let (reading, span) = (self.readings.get(topic, partition), fed.span(topic, partition));
        let read = reading.map(|reading| reading.next);
        let to = match purpose {
            Purpose::Begin | Purpose::Look => self.beginning(topic, partition).or(read),
            Purpose::Commit => span.map(|span| span.next).max(read),
        }?;
        let known = fed.known.get(topic, partition).copied();
        let assigned = || reading.and_then(|reading| reading.assigned);
        let first = fed.first.get(topic, partition).copied().or_else(assigned);
        let is_claimed = match purpose {
            // Nothing is told; but the table must not have gone back.
            Purpose::Look => true,
            Purpose::Begin => known.is_none(),
            Purpose::Commit => known.is_none_or(|known| to > known),
        };
        is_claimed.then_some(Claim { place, known, first, to })
    }

    /// The first message of a partition that waits for a table that does not say yet where it begins.
    fn beginning(&self, topic: &str, partition: i32) -> Option<i64> {
        let says_nothing = |fed: &&FedTable| fed.known.get(topic, partition).is_none();
        let newcomers = self.of_topic(topic).filter(says_nothing);
        newcomers.filter_map(|fed| Some(fed.span(topic, partition)?.first)).min()
    }

    /// Opens the tables that no commit is under way of, and looks how far they are: before reading begins, and when partitions come.
    /// One outcome a table; one that cannot be opened rests.
    ///
    /// Dropped half-way, the rest is opened while the caller waits for the next outcome.
    pub async fn open(&mut self) -> Vec<Outcome> {
        let mut outcomes = vec![];
        let mut tables: Vec<Arc<str>> = self.tables.keys().cloned().collect();
        while let Some(table) = tables.pop() {
            while self.running.len() >= LOOKS {
                outcomes.extend(self.next().await);
            }
            let idle = |fed: &&mut FedTable| !fed.is_stopped() && fed.flight.is_none();
            if let Some(fed) = self.tables.get_mut(&table).filter(idle) {
                fed.writer = None;
                self.begin(&table, Purpose::Look);
            }
        }
        while let Some(outcome) = self.next().await {
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Lets commits of tables begin that are due, as many as may be under way; how many begun. They go on in [`next`](Self::next).
    pub fn start(&mut self) -> usize {
        let before = self.running.len();
        for Due { table, why } in self.due() {
            if self.running.len() >= self.settings.concurrent_commits.get() {
                break;
            }
            let purpose = if why == Why::Begin { Purpose::Begin } else { Purpose::Commit };
            if self.is_open_to(&table, purpose) {
                self.begin(&table, purpose);
            }
        }
        self.running.len() - before
    }

    /// Whether a table may have its turn: nothing is left in decoders, and no other table of its topics still has to say where it begins.
    fn is_open_to(&self, table: &str, purpose: Purpose) -> bool {
        let Some(fed) = self.tables.get(table).filter(|fed| fed.held == Held::default()) else { return false };
        let siblings = fed.topics.iter().filter_map(|topic| self.fed_by.get(topic)).flatten();
        let mut newcomers = siblings.filter(|other| &***other != table && self.must_begin(other));
        match purpose {
            // They say together where they begin: what waits for one must not lie before what another says.
            Purpose::Begin => newcomers.all(|other| self.tables.get(other).is_some_and(|fed| fed.held.rows == 0)),
            Purpose::Commit | Purpose::Look => newcomers.next().is_none(),
        }
    }

    fn begin(&mut self, table: &str, purpose: Purpose) {
        let Some((table, fed)) = self.tables.get_key_value(table) else { return };
        let (table, claims) = (Arc::clone(table), self.claims(fed, purpose));
        let of_table = |(topic, _): &(&Arc<str>, &Arc<str>)| fed.topics.contains(*topic);
        let of_table = self.identities.iter().filter(of_table);
        let identities = of_table.map(|(topic, id)| (Arc::clone(topic), Arc::clone(id))).collect();
        let patience = Patience { tries: self.settings.tries, wait_ms: self.settings.retry_wait_ms };
        let Some(fed) = self.tables.get_mut(&table) else { return };
        let work = std::mem::take(&mut fed.work);
        fed.flight = Some(Flight { size: work.size, spans: work.spans.clone() });
        fed.state = State::Ready;
        let attempt = Attempt {
            table,
            template: fed.template.clone(),
            purpose,
            was_there: !fed.known.is_empty(),
            writer: fed.writer.take(),
            work,
            concludes: fed.concludes && purpose == Purpose::Commit,
            claims,
            anew: fed.anew.clone(),
            identities,
            patience,
            letters: fed.letters.clone(),
            letter_limit: self.settings.dead_letters_per_minute,
            clock: Arc::clone(&self.clock),
            requests_before: 0,
        };
        self.running.push(attempt.run().boxed());
    }

    /// Waits until the next commit ends; `None` where none is under way, at once.
    ///
    /// Dropped half-way, nothing is lost: the commit goes on when it is called again.
    pub async fn next(&mut self) -> Option<Outcome> {
        let landed = self.running.next().await?;
        self.land(landed)
    }

    /// Commits all tables that are due, and those that become so meanwhile, as many at a time as may be; returns when none is under way
    /// any more. Tables whose decoders are not empty are left out.
    ///
    /// Dropped half-way, commits that are under way go on when it, or [`next`](Self::next), is called again; what they came to so
    /// far is not told again.
    pub async fn commit_due(&mut self) -> Vec<Outcome> {
        let mut outcomes = vec![];
        loop {
            self.start();
            match self.next().await {
                Some(outcome) => outcomes.push(outcome),
                None => return outcomes,
            }
        }
    }

    fn land(&mut self, landed: Landed) -> Option<Outcome> {
        let (table, took_ms, carried) = (Arc::clone(&landed.table), landed.took_ms, carried(&landed.work.size));
        let refused = landed.met.refused.clone();
        let fed = self.tables.get(&table)?;
        let now = Now {
            ms: self.clock.now_ms(),
            rest_ms: self.rest_ms(fed.failures),
            letter_limit: self.settings.dead_letters_per_minute,
            places: self.places_read_of(fed),
        };
        let ended = self.tables.get_mut(&table)?.land(landed, now);
        Some(Outcome { table, ended, took_ms, carried, refused })
    }

    /// How long a table rests that failed so often before.
    fn rest_ms(&self, failures: u32) -> i64 {
        let doubled = self.settings.rest_ms.saturating_mul(1 << failures.min(30));
        jittered(doubled.min(self.settings.max_rest_ms), &*self.clock)
    }
}

fn carried(size: &Size) -> Carried {
    let Size { rows, bytes, letters, oldest_source_ms, newest_source_ms, .. } = *size;
    Carried { rows, bytes, letters, oldest_source_ms, newest_source_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn is_send<T: Send>(_: &T) {}

    #[test]
    fn every_future_may_be_spawned() {
        let _ = |ingest: &mut Ingest| is_send(&ingest.open());
        let _ = |ingest: &mut Ingest| is_send(&ingest.next());
        let _ = |ingest: &mut Ingest| is_send(&ingest.commit_due());
    }
}
