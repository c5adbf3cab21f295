//! What an AWS Glue table must say about an Apache Hudi table, so that Athena and others query it.
//!
//! Pure: this part needs no network and is always built. What is here: [`types`], the columns of a Glue table as the
//! table's schema gives them.

pub mod types;
