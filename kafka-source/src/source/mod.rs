//! A consumer of a Kafka cluster, by librdkafka.
//!
//! ```no_run
//! # use kafka_source::offsets::{Refusal, Start, Wanted, covered};
//! # use kafka_source::source::{Event, KafkaSource};
//! # use kafka_source::{Messages, Result, Settings, Topics, TopicPartition};
//! # use hudi_core::checkpoint::Checkpoint;
//! # struct Tables; impl Tables {
//! #   async fn reload(&mut self) -> Vec<Checkpoint> { vec![] }
//! #   async fn add(&mut self, _: Messages) {}
//! #   async fn commit(&mut self) -> Vec<Checkpoint> { vec![] }
//! #   fn begin(&mut self, _: &Start) {}
//! #   fn refuse(&mut self, _: &Refusal) {}
//! #   fn forget(&mut self, _: &[TopicPartition]) {} }
//! # async fn example(mut tables: Tables) -> Result<()> {
//! let topics = Topics::Named(vec!["shop.orders".to_owned()]);
//! let mut source = KafkaSource::subscribe(Settings::new("localhost:9092", "lake", topics))?;
//! loop {
//!     match source.next().await? {
//!         // Read anew: another consumer may have committed since.
//!         Event::Assigned(_) => {
//!             let checkpoints = tables.reload().await;
//!             let starts = source.begin(|place| Wanted::of(place, &checkpoints)).await?;
//!             starts.begun.iter().for_each(|start| tables.begin(start));
//!             starts.refused.iter().for_each(|refusal| tables.refuse(refusal));
//!         }
//!         Event::Batch(messages) => tables.add(messages).await,
//!         // What was taken of these has to be written now. What is not, is given up with the next call.
//!         Event::Revoked(_) | Event::Full => {
//!             let checkpoints = tables.commit().await;
//!             source.committed(|place| covered(place, &checkpoints))?;
//!         }
//!         Event::Lost(places) => tables.forget(&places),
//!         // By setting only.
//!         Event::Skipped(start) => tables.begin(&start),
//!         // Unless a setting allows it.
//!         Event::Refused(refusal) => tables.refuse(&refusal),
//!         Event::End(_) => break,
//!     }
//! }
//! source.close().await
//! # }
//! ```
//!
//! * [`KafkaSource::next`] is also what keeps the consumer in its group: call it again within `max.poll.interval.ms`.
//! * Rebalances are answered one by one: an assignment by [`KafkaSource::begin`], a revocation when what was taken is committed, or with
//!   the next call of `next`, whichever comes first. Until then librdkafka fetches nothing.
//! * A partition whose next message is gone, or whose topic was made anew, is refused: it rests, and the others are read.
//! * A broker that is away is waited for; librdkafka tells of it by `tracing`. What waiting does not cure is an error.
//! * librdkafka does not tell topics' ids: a topic that was made anew is recognised by its cluster, and by an offset beyond its end.
//!
//! Needs a tokio runtime, whose blocking threads ask the broker for offsets and close the consumer; spawns no task that outlives a call.
//!
//! Reading order: [`Event`], `consumer`; `callbacks` (what librdkafka calls), `lookup` (which offsets the broker has), `token`, `msk_iam` (by
//! feature: tokens for Amazon MSK).

mod callbacks;
mod consumer;
mod lookup;
#[cfg(feature = "msk-iam")]
mod msk_iam;
mod token;

pub use crate::event::{Event, Lag};
pub use consumer::KafkaSource;
#[cfg(feature = "msk-iam")]
pub use msk_iam::MskIam;
pub use token::{Token, TokenSource};
