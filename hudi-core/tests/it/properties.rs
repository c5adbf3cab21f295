//! Properties: what is read, written, refused, created and updated.

use hudi_core::Error;
use hudi_core::properties::{
    Change, KeyGenerator, NewTable, PropertiesFile, Step, TableIndex, TableProperties, Timezone, UpdateProtocol, keys,
    recovery, update,
};
use hudi_core::version::{TableType, TableVersion};

const V6: &str = "\
#Properties saved on 2024-04-18T22:27:38.493Z
#Thu Apr 18 17:27:38 CDT 2024
hoodie.compaction.payload.class=org.apache.hudi.common.model.OverwriteWithLatestAvroPayload
hoodie.table.type=MERGE_ON_READ
hoodie.table.precombine.field=longField
hoodie.table.partition.fields=byteField,shortField
hoodie.table.recordkey.fields=id,name
hoodie.table.keygenerator.class=org.apache.hudi.keygen.ComplexKeyGenerator
hoodie.datasource.write.hive_style_partitioning=true
hoodie.datasource.write.drop.partition.columns=false
hoodie.timeline.layout.version=1
hoodie.table.version=6
hoodie.something.of.tomorrow=kept
hoodie.table.metadata.partitions=files
hoodie.database.name=default
hoodie.table.name=v6_complexkeygen_hivestyle
hoodie.table.checksum=281415413
hoodie.table.create.schema={\"type\"\\:\"record\"}
";

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn a_table_of_java_is_understood() {
    let p = TableProperties::parse(V6).unwrap();
    assert_eq!((p.name(), p.database()), ("v6_complexkeygen_hivestyle", Some("default")));
    assert_eq!((p.table_type(), p.version()), (TableType::MergeOnRead, TableVersion::Six));
    assert_eq!(p.record_key_fields(), strings(&["id", "name"]));
    assert_eq!(p.partition_fields(), strings(&["byteField", "shortField"]));
    assert_eq!(p.key_generator(), &KeyGenerator::Complex);
    assert_eq!(p.ordering_field(), Some("longField"));
    assert!(p.hive_style() && !p.url_encode() && p.populate_meta_fields());
    assert_eq!(p.timezone(), Timezone::Local);
    assert_eq!(p.metadata_partitions(), strings(&["files"]));
    assert_eq!(p.create_schema(), Some("{\"type\":\"record\"}"));
    assert_eq!(TableProperties::parse(&p.to_text(0)), Ok(p));
}

#[test]
fn a_malformed_value_is_refused_by_name() {
    let refused = |from: &str, to: &str| TableProperties::parse(&V6.replace(from, to)).unwrap_err();
    let error = refused("hive_style_partitioning=true", "hive_style_partitioning=yes");
    assert_eq!(error.to_string(), "hoodie.datasource.write.hive_style_partitioning = `yes`: want true or false");
    assert!(matches!(refused("hoodie.table.version=6", "hoodie.table.version=7"), Error::Unsupported { .. }));
    assert!(matches!(refused("layout.version=1", "layout.version=2"), Error::BadProperty { .. }));
    assert!(matches!(refused("hoodie.table.version=6\n", ""), Error::MissingProperty { .. }));
    assert!(matches!(refused("281415413", "281415414"), Error::Corrupt { .. }));
    assert!(matches!(refused("MERGE_ON_READ", "MERGE"), Error::BadProperty { .. }));
}

#[test]
fn a_new_table_has_what_every_reader_asks_for() {
    let mut new = NewTable::new("orders", strings(&["id"]), strings(&["day"]));
    new.database = Some("shop".to_owned());
    new.ordering_field = Some("_cdc_order".to_owned());
    new.index = Some(TableIndex::Bucket { num_buckets: 8, hash_fields: strings(&["id"]) });
    new.extra = vec![("hoodie.parquet.compression.codec".to_owned(), "zstd".to_owned())];
    let p = new.to_properties().unwrap();
    let has = |key, value| assert_eq!(p.get(key), Some(value), "{key}");
    has(keys::TABLE_VERSION, "6");
    has(keys::TIMELINE_LAYOUT_VERSION, "1");
    has(keys::TIMELINE_TIMEZONE, "UTC");
    has(keys::KEYGENERATOR_CLASS, "org.apache.hudi.keygen.SimpleKeyGenerator");
    has(keys::PRECOMBINE_FIELD, "_cdc_order");
    has(keys::PAYLOAD_ORDERING_FIELD, "_cdc_order");
    has(keys::PAYLOAD_CLASS, keys::DEFAULT_PAYLOAD);
    has("hoodie.bucket.index.num.buckets", "8");
    has("hoodie.index.bucket.engine", "SIMPLE");
    has("hoodie.parquet.compression.codec", "zstd");
    assert_eq!(p.index(), new.index.as_ref());
    assert!(p.hive_style() && p.url_encode() && p.metadata_partitions().is_empty());
    assert_eq!(TableProperties::parse(&p.to_text(0)), Ok(p));
}

#[test]
fn what_the_table_decides_cannot_be_set_by_the_way() {
    let mut new = NewTable::new("orders", strings(&["id"]), vec![]);
    for (key, value) in [("hoodie.table.name", "x"), ("hoodie.table.metadata.partitions", "files"), ("spark.x", "y")] {
        new.extra = vec![(key.to_owned(), value.to_owned())];
        assert!(matches!(new.to_properties(), Err(Error::BadProperty { .. })), "{key}");
    }
}

#[test]
fn a_crashed_update_is_recovered_from_the_backup() {
    let (main, backup) = (PropertiesFile::Main, PropertiesFile::Backup);
    let broken = V6.replace("281415413", "1");
    let steps = |a: Option<&str>, b: Option<&str>| recovery(a, b).unwrap().map(|r| r.steps);
    let restore = vec![Step::Overwrite { file: main, text: V6.to_owned() }, Step::Delete { file: backup }];
    assert_eq!(steps(None, None), None);
    assert_eq!(steps(Some(V6), None), Some(vec![]));
    assert_eq!(steps(Some(V6), Some(V6)), Some(vec![Step::Delete { file: backup }]));
    assert_eq!(steps(None, Some(V6)), Some(restore.clone()));
    assert_eq!(steps(Some(&broken), Some(V6)), Some(restore));
    assert!(recovery(Some(&broken), None).is_err());
}

#[test]
fn an_update_keeps_what_it_does_not_know_and_drops_the_metadata_table() {
    let before = TableProperties::parse(V6).unwrap();
    let changes = before.without_metadata_table();
    let (after, steps) = update(V6, &changes, UpdateProtocol::AtomicOverwrite, 0).unwrap();
    assert!(after.metadata_partitions().is_empty() && after.without_metadata_table().is_empty());
    assert_eq!(after.get("hoodie.something.of.tomorrow"), Some("kept"));
    assert_eq!(steps, [Step::Overwrite { file: PropertiesFile::Main, text: after.to_text(0) }]);
    let (_, steps) = update(V6, &changes, UpdateProtocol::Backup, 0).unwrap();
    assert_eq!(steps.len(), 4);
    let nothing = [Change::Remove { key: "hoodie.absent".to_owned() }];
    assert!(update(V6, &nothing, UpdateProtocol::Backup, 0).unwrap().1.is_empty());
}
