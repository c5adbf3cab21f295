//! [`Source`]: what is pumped from: a consumer of a Kafka cluster, or a test's script.

use std::collections::BTreeMap;
use std::future::Future;

use kafka_source::offsets::{Starts, Wanted};
use kafka_source::{Event, Lag, Result, TopicPartition};

/// What tables want of a partition.
pub type Wants<'a> = dyn Fn(&TopicPartition) -> Wanted + Sync + 'a;
/// How far tables are in a partition.
pub type Covers<'a> = dyn Fn(&TopicPartition) -> Option<i64> + Sync + 'a;

/// A consumer in its group.
pub trait Source {
    /// Waits for what comes next. Dropped half-way, nothing is lost. Gives up what was asked back before.
    fn next(&mut self) -> impl Future<Output = Result<Event>>;

    /// Says where the partitions begin that were assigned. Those that are refused are not read.
    fn begin(&mut self, wanted: &Wants<'_>) -> impl Future<Output = Result<Starts>>;

    /// Reads partitions on from elsewhere.
    fn begin_again(&mut self, places: &[TopicPartition], wanted: &Wants<'_>) -> impl Future<Output = Result<Starts>>;

    /// Says how far the tables are.
    fn committed(&mut self, covered: &Covers<'_>) -> Result<()>;

    /// Reads these no further.
    fn hold_back(&mut self, places: &[TopicPartition]) -> Result<()>;

    /// Reads these on.
    fn let_go(&mut self, places: &[TopicPartition]) -> Result<()>;

    /// Where all partitions of a topic end, whoever reads them.
    fn ends(&self, topic: &str) -> impl Future<Output = Result<BTreeMap<i32, i64>>>;

    /// How far what is read is behind.
    fn lag(&self) -> Vec<Lag>;

    /// Leaves the group.
    fn close(self) -> impl Future<Output = Result<()>>;
}

#[cfg(feature = "kafka")]
impl Source for kafka_source::source::KafkaSource {
    fn next(&mut self) -> impl Future<Output = Result<Event>> {
        self.next()
    }

    fn begin(&mut self, wanted: &Wants<'_>) -> impl Future<Output = Result<Starts>> {
        self.begin(wanted)
    }

    fn begin_again(&mut self, places: &[TopicPartition], wanted: &Wants<'_>) -> impl Future<Output = Result<Starts>> {
        self.begin_again(places, wanted)
    }

    fn committed(&mut self, covered: &Covers<'_>) -> Result<()> {
        self.committed(covered)
    }

    fn hold_back(&mut self, places: &[TopicPartition]) -> Result<()> {
        self.hold_back(places)
    }

    fn let_go(&mut self, places: &[TopicPartition]) -> Result<()> {
        self.let_go(places)
    }

    fn ends(&self, topic: &str) -> impl Future<Output = Result<BTreeMap<i32, i64>>> {
        self.ends(topic)
    }

    fn lag(&self) -> Vec<Lag> {
        self.lag()
    }

    fn close(self) -> impl Future<Output = Result<()>> {
        self.close()
    }
}
