//! What is refused, by name, before anything is changed.

use std::num::NonZeroU32;
use std::path::Path;

use hudi_core::change::Op;
use hudi_core::properties::keys;
use hudi_writer::{Error, Index, NewTable, Table, TableWriter, WriterSettings};

use crate::model::{Change, any_original};
use crate::shop::Shop;

async fn create(table: NewTable) -> Result<TableWriter, Error> {
    let folder = tempfile::tempdir().unwrap();
    TableWriter::builder(folder.path().to_str().unwrap()).create(&table).await
}

async fn refusal(table: NewTable) -> String {
    create(table).await.unwrap_err().to_string()
}

#[tokio::test]
async fn tables_that_could_leave_rows_behind_are_not_created() {
    for index in [Index::Simple, Index::Bucket(NonZeroU32::MIN)] {
        let outside = refusal(NewTable::new("t", ["id"]).partition_by(["region"]).index(index)).await;
        assert!(outside.contains("`region`") && outside.contains("left behind"), "{outside}");
    }
    let doubled = refusal(NewTable::new("t", ["id"]).partition_by(["id", "region"])).await;
    assert!(doubled.contains("double rows"), "{doubled}");
    let keyless = NewTable::new("t", Vec::<String>::new());
    for index in [Index::GlobalSimple, Index::Bucket(NonZeroU32::MIN)] {
        assert!(refusal(keyless.clone().index(index)).await.contains("record key"));
    }
    assert!(refusal(NewTable::new("t", ["a b"])).await.contains("a b"));
    let mut decided = NewTable::new("t", ["id"]);
    decided.properties = vec![(keys::TABLE_VERSION.to_owned(), "8".to_owned())];
    assert!(refusal(decided).await.contains(keys::TABLE_VERSION));
}

#[tokio::test]
async fn a_table_is_created_once_and_opened_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let missing = TableWriter::builder(url).open().await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    assert!(matches!(Table::open(url).await.unwrap_err(), Error::NotFound { .. }));
    TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
    let again = TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    TableWriter::builder(format!("file://{url}")).open_or_create(&NewTable::new("t", ["id"])).await.unwrap();
    let elsewhere = TableWriter::builder("s3://bucket/t").open().await.unwrap_err();
    assert!(elsewhere.to_string().contains("s3://"), "{elsewhere}");
}

/// Changes one property of the table in a folder, as another program would.
fn set(folder: &Path, key: &str, value: &str) {
    let path = folder.join(hudi_core::layout::properties());
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with(&format!("{key}="))).collect();
    std::fs::write(&path, format!("{}\n{key}={value}\n", kept.join("\n"))).unwrap();
}

/// A table of ours with one property changed.
async fn opened_with(key: &str, value: &str) -> Result<TableWriter, Error> {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
    set(folder.path(), key, value);
    TableWriter::builder(url).open().await
}

#[tokio::test]
async fn tables_that_we_would_make_wrong_are_not_opened() {
    for (key, value) in [
        (keys::TABLE_TYPE, "MERGE_ON_READ"),
        (keys::TIMELINE_TIMEZONE, "LOCAL"),
        (keys::POPULATE_META_FIELDS, "false"),
        (keys::DROP_PARTITION_COLUMNS, "true"),
        (keys::CDC_ENABLED, "true"),
        (keys::BOOTSTRAP_BASE_PATH, "/elsewhere"),
        (keys::BASE_FILE_FORMAT, "ORC"),
        (keys::PRECOMBINE_FIELD, "ts"),
        (keys::PAYLOAD_CLASS, keys::OVERWRITE_WITH_LATEST_PAYLOAD),
        (keys::KEYGENERATOR_CLASS, "org.example.Mine"),
        (keys::PARTITION_FIELDS, "region"),
        (keys::INDEX_TYPE, "HBASE"),
    ] {
        let refused = opened_with(key, value).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "{key}: {refused:?}");
    }
    assert!(opened_with(keys::HIVE_STYLE_PARTITIONING, "perhaps").await.unwrap_err().to_string().contains("perhaps"));
    opened_with("hoodie.something.else", "kept").await.unwrap();
}

/// Java upgrades a table when its writer says so, whoever else is at work on it.
#[tokio::test]
async fn a_table_that_changed_since_it_was_opened_is_not_committed_to() {
    for (key, other, named) in [
        (keys::TABLE_VERSION, "8", "version 8"),
        (keys::RECORDKEY_FIELDS, "name", "open it again"),
        (keys::INDEX_TYPE, "GLOBAL_SIMPLE", "open it again"),
    ] {
        let mut shop = Shop::new(&NewTable::new("t", ["id"])).await;
        shop.commit(&[Change::new(Op::Insert, 1, 1)]).await;
        let properties = shop.folder.path().join(hudi_core::layout::properties());
        let before = std::fs::read(&properties).unwrap();
        shop.write(&[Change::new(Op::Insert, 2, 2)]);
        set(shop.folder.path(), key, other);
        let refused = shop.writer.commit(&any_original).await.unwrap_err();
        assert!(refused.to_string().contains(named), "{key}: {refused}");
        std::fs::write(&properties, before).unwrap();
        shop.reopen().await;
        shop.assert_is_model().await;
    }
}

#[tokio::test]
async fn settings_are_checked_once_and_by_name() {
    let with = |change: fn(&mut WriterSettings)| {
        let mut settings = WriterSettings::default();
        change(&mut settings);
        TableWriter::builder("nowhere").settings(settings)
    };
    for (name, builder) in [
        ("pipeline", with(|s| s.pipeline = "a b".to_owned())),
        ("target_file_bytes", with(|s| s.target_file_bytes = 1)),
        ("row_group_bytes", with(|s| s.row_group_bytes = 1)),
        ("compression", with(|s| s.compression = hudi_writer::FileCompression::Zstd(99))),
    ] {
        let error = builder.open().await.unwrap_err();
        assert!(matches!(&error, Error::Setting { setting, .. } if setting == name), "{error}");
    }
}
