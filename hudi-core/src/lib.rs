//! The vocabulary of an Apache Hudi table: what its files are called, what stands in them, and what follows from that.
//!
//! Pure: no `async`, no I/O, no clock, no randomness. Time and ids are handed in, bytes and names come from the caller, and
//! decisions are returned as values. Whoever has a store acts on them.
//!
//! # A Hudi table in one screen
//!
//! ```text
//! <base>/
//!   .hoodie/
//!     hoodie.properties                        what the table is                              properties
//!     20240418172804498.commit.requested       the timeline: each action in three states,     instant, timeline
//!     20240418172804498.inflight               each state a file that is put once;
//!     20240418172804498.commit                 this last one is the commit: what it lists     commit
//!                                              is data, what nothing lists is not
//!     .temp/20240418172804498/…                markers: what a write is about to leave        file_name
//!     .cdc/…                                   ours: dead letters, row memory, locks          dead_letter
//!   day=2024-04-18/                            a partition                                    key
//!     .hoodie_partition_metadata               says so                                        partition_metadata
//!     97de74b1-…-0_0-1-2_20240418172804498.parquet        a base file                         file_name, schema, bloom
//!     .97de74b1-…-0_20240418172804498.log.1_0-3-4         a log file on top of it
//! ```
//!
//! *Rows* have a *record key*. The key is in one *file group* of its partition, which an index or its hash (`bucket`) tells.
//! A file group is a row of *file slices*: a base file and the logs on top of it (`file_slice`). Copy-on-write tables write a
//! new base file for every change; merge-on-read tables add logs, and *compact* them into a base file later. Of two versions
//! of a row the one with the greater *ordering field* wins (`merge`).
//!
//! *Commit* is the creation of one file: readers take the newest completed slices, and what a dead writer left is not data
//! until the timeline has passed it. That is why it must be cleaned away.
//!
//! *Versions.* Six (Hudi 0.14 and 0.15, timeline layout 1, JSON) is what we write. Eight and nine (Hudi 1.x, layout 2, Avro)
//! have names and slices here; [`version::TableVersion`] says what each can do.
//!
//! # The modules, in reading order
//!
//! | module | holds |
//! |---|---|
//! | [`error`] | what can be wrong |
//! | [`version`], [`instant`], [`timeline`] | what was done to the table, and how far it came |
//! | [`layout`] | where everything stands: the only place that joins paths |
//! | [`file_name`], [`file_slice`], [`partition_metadata`] | names of data files, and which belong together |
//! | [`properties`] | the table's properties: names, text, typed view, creation, update, recovery |
//! | [`commit`] | what stands in a completed instant |
//! | [`schema`] | meta columns, Arrow and Avro, names, evolution, and where a source's columns stand |
//! | [`key`], [`bucket`], [`bloom`] | record keys and partition paths, and how keys are found again |
//! | [`change`], [`merge`] | changes of rows, and which of two wins |
//! | [`checkpoint`], [`dead_letter`] | how far the source was read, and what could not be applied |
//!
//! # The house this is a room of
//!
//! ```text
//!    kafka-source            cdc-decoders                 hudi-writer                      glue-catalog
//!  Kafka │ Lambda │ files   Message ─► ChangeBatch   ─►   file groups ─► one instant  ─►   Glue table ─► Athena
//!         ▲                                                     │
//!         └─────────── Checkpoint (rides inside the commit) ◄───┘   (read once, at start)
//!
//!  dependency arrows:   cdc-decoders ─► hudi-core ◄─ hudi-writer
//!                       glue-catalog ─► hudi-core         examples, benches ─► all
//!                       kafka-source ─► cdc-decoders (Message), hudi-core (Checkpoint)
//! ```
//!
//! Data flows one way. The only thing that travels back is one opaque value, the checkpoint, and it travels *inside the commit*:
//! data and source position become visible in the same atomic put, so a replay is recognised and nothing is lost or doubled.

pub mod bloom;
pub mod bucket;
pub mod change;
pub mod checkpoint;
pub mod commit;
pub mod dead_letter;
pub mod error;
pub mod file_name;
pub mod file_slice;
pub mod instant;
pub mod key;
pub mod layout;
pub mod merge;
pub mod partition_metadata;
pub mod properties;
pub mod schema;
pub mod timeline;
pub mod version;

pub use error::{Error, Result};
