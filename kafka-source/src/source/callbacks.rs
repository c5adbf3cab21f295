//! [`Callbacks`]: what librdkafka calls while it is polled. Notes things down, and decides nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use serde::Deserialize;

use super::token::TokenSource;
use crate::partition::TopicPartition;

/// What the group did.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assigned(Vec<TopicPartition>),
    Revoked { places: Vec<TopicPartition>, lost: bool },
}

/// What librdkafka says of its partitions now and then.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Statistics {
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Debug, Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: HashMap<i32, PartitionStatistics>,
}

/// Offsets; below 0 where they are not known.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct PartitionStatistics {
    /// Where the end was, if it was reached.
    pub(super) eof_offset: i64,
    hi_offset: i64,
    ls_offset: i64,
}

impl Statistics {
    pub(super) fn of(&self, place: &TopicPartition) -> Option<PartitionStatistics> {
        self.topics.get(&*place.topic)?.partitions.get(&place.partition).copied()
    }
}

impl PartitionStatistics {
    /// The offset after the last message that can be read.
    pub(super) fn latest(self) -> Option<i64> {
        [self.ls_offset, self.hi_offset].into_iter().find(|offset| *offset >= 0)
    }
}

/// What librdkafka told us, for the consumer to look at.
#[derive(Default)]
pub(super) struct Callbacks {
    rebalances: Mutex<VecDeque<Rebalance>>,
    statistics: Mutex<Option<Statistics>>,
    last_error: Mutex<String>,
    /// How often anything was called: a poll that yields nothing has done something where this moved.
    served: AtomicU64,
    /// From here on rebalances are answered at once: nobody looks at them any more.
    closing: AtomicBool,
    tokens: Option<Box<dyn TokenSource>>,
}

impl Callbacks {
    pub(super) fn new(tokens: Option<Box<dyn TokenSource>>) -> Self {
        Self { tokens, ..Self::default() }
    }

    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    pub(super) fn has_rebalance(&self) -> bool {
        !lock(&self.rebalances).is_empty()
    }

    /// The statistics that came since this was asked last.
    pub(super) fn take_statistics(&self) -> Option<Statistics> {
        lock(&self.statistics).take()
    }

    /// What librdkafka said about its last error.
    pub(super) fn last_error(&self) -> String {
        lock(&self.last_error).clone()
    }

    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    fn serve(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.serve();
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.serve();
        match serde_json::from_slice(statistics) {
            Ok(read) => *lock(&self.statistics) = Some(read),
            Err(error) => tracing::warn!(%error, "librdkafka's statistics cannot be read"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.serve();
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        *lock(&self.last_error) = reason.to_owned();
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.serve();
        let tokens =
            self.tokens.as_ref().ok_or("brokers want a token, but the consumer was given no source of tokens")?;
        let token = tokens.token().inspect_err(|error| tracing::warn!(error, "no token for the brokers"))?;
        Ok(OAuthToken { token: token.text, principal_name: token.principal, lifetime_ms: token.expires_ms })
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, places: &mut TopicPartitionList) {
        self.serve();
        if self.closing.load(Ordering::SeqCst) {
            // A consumer that closes takes every answer for this one.
            let _ = consumer.unassign();
            return;
        }
        let elements = places.elements();
        let places = elements.iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect();
        let rebalance = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(places),
            _ => Rebalance::Revoked { places, lost: consumer.assignment_lost() },
        };
        tracing::debug!(?rebalance, "the group rebalances");
        lock(&self.rebalances).push_back(rebalance);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.serve();
        if let Err(error) = result {
            // The tables have what counts.
            tracing::warn!(%error, "the group was not told how far the tables are");
        }
    }
}
