//! Writes Apache Hudi tables natively, on any object store, without a JVM.
//!
//! ```text
//!  ChangeBatch ─► TableWriter::write ─► buffer ─► TableWriter::commit
//!                   keys, marks                    plan: look up, fold, route
//!                                                  requested ─► inflight ─► markers ─► files ─► completed
//! ```
//!
//! Table version 6, copy-on-write. A commit is one put: data, schema and the source's position become visible in it, or
//! nothing does. What a writer that died left behind is removed when the table is opened next.
//!
//! [`ingest`] feeds many tables from many topics, under one budget of memory.
//!
//! The library spawns no task; columns are computed on a bounded blocking pool ([`Compute`]), and time and ids come from a
//! [`Clock`].

mod arrivals;
mod buffer;
mod builder;
mod changes;
mod check;
mod clearing;
mod clock;
mod commit;
mod components;
mod compute;
mod cow;
mod error;
mod file;
mod fit;
mod flush;
mod fold;
mod ghosts;
mod images;
mod index;
pub mod ingest;
mod keying;
mod letters;
mod lock;
mod moves;
mod mutant;
mod orders;
mod outcome;
mod placing;
mod plan;
mod positions;
mod read;
mod recorded;
mod remembered;
mod session;
mod settings;
mod settled;
mod store;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod truncation;
mod types;
mod whereabouts;
mod writer;

pub use builder::WriterBuilder;
pub use check::{CheckReport, check_table};
pub use clock::{Clock, SystemClock};
pub use compute::Compute;
pub use error::{Error, Result};
pub use letters::KeptLetter;
pub use lock::{Attempt, HeldLock, Lock};
pub use outcome::{CommitOutcome, Committed, Refused, Stages, Taken};
pub use read::{DataFile, ReadOptions};
pub use settings::{
    FileCompression, ForeignMetadataTable, ForeignPending, Index, Mode, NewTable, OnSchemaConflict, SecondSnapshot,
    SourceWentBack, WriterSettings,
};
pub use store::{Encryption, RequestCounts, StoreSettings};
pub use table::{Table, tables_below};
pub use writer::TableWriter;
