//! A small program of somebody else's: changes from Debezium become rows of a Hudi table in a folder, and are read back.
//!
//! Built outside the workspace, it shows that what a user needs is public, and that our crates bring along what they need.

use std::error::Error;

use cdc_decoders::debezium::DebeziumJson;
use cdc_decoders::{Decoded, Decoder, Message};
use futures::TryStreamExt;
use hudi_core::change::columns;
use hudi_writer::{CommitOutcome, NewTable, ReadOptions, Table, TableWriter, check_table};

/// Key, row image, operation, position: 1 is inserted and updated, 2 is inserted and deleted, 3 is inserted.
const CHANGES: [(i64, &str, &str, u32); 5] =
    [(1, "ann", "c", 100), (2, "bob", "c", 200), (1, "anna", "u", 300), (2, "bob", "d", 400), (3, "cat", "c", 500)];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("dependent-{}", std::process::id()));
    let result = run(folder.to_str().ok_or("the folder for temporary files has no name in UTF-8")?).await;
    std::fs::remove_dir_all(&folder)?;
    result
}

async fn run(folder: &str) -> Result<(), Box<dyn Error>> {
    let mut decoder = DebeziumJson::builder().build()?;
    for (offset, (id, name, op, lsn)) in (0..).zip(CHANGES) {
        let key = format!(r#"{{"id":{id}}}"#);
        let row = format!(r#"{{"id":{id},"name":"{name}"}}"#);
        let (before, after) = if op == "d" { (row.as_str(), "null") } else { ("null", row.as_str()) };
        let source = format!(
            r#"{{"version":"3.6.3.Final","connector":"postgresql","name":"shop","ts_ms":1700000000000,"snapshot":"false","db":"shop","sequence":"[\"{lsn}\",\"{lsn}\"]","schema":"public","table":"people","txId":7,"lsn":{lsn}}}"#
        );
        let value =
            format!(r#"{{"before":{before},"after":{after},"source":{source},"op":"{op}","ts_ms":1700000000001}}"#);
        let message = Message {
            topic: "shop.public.people",
            partition: 0,
            offset,
            timestamp_ms: Some(1_700_000_000_002),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        match decoder.decode(&message)? {
            Decoded::Added { rows: 1 } => {}
            other => return Err(format!("a change became {other:?}").into()),
        }
    }
    let batch = decoder.flush()?.ok_or("the decoder holds no changes")?;

    let mut writer = TableWriter::builder(folder).create(&NewTable::new("people", ["id"])).await?;
    let taken = writer.write(&batch)?;
    println!("{} rows to upsert, {} to delete", taken.upserts, taken.deletes);
    match writer.commit(&|_| None).await? {
        CommitOutcome::Committed(done) => println!("committed at {}: {} rows", done.instant, done.inserted_rows),
        other => return Err(format!("the commit ended as {other:?}").into()),
    }

    let table = Table::open(folder).await?;
    let schema = table.snapshot_schema(&ReadOptions::default())?.ok_or("the table has no columns")?;
    schema.field_with_name(columns::ORDER)?;
    let batches: Vec<_> = table.snapshot(&ReadOptions::default()).await?.try_collect().await?;
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    let report = check_table(&table).await?;
    if rows != 2 || !report.is_ok() {
        return Err(format!("{rows} rows instead of 2; {:?}", report.problems).into());
    }
    println!("{rows} rows read back");
    Ok(())
}
