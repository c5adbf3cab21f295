//! The same syncs to the stand-in and, over the wire, to a service beside us: both hold the same.
//!
//! The service's URL stands in `HUDI_TEST_GLUE`, credentials where the SDK looks for them; without it the test is passed over.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use glue_catalog::aws::{ClientSettings, GlueClient};
use glue_catalog::catalog::{Catalog, ErrorKind, PageRequest};
use glue_catalog::model::{Partition, Table, TableId};
use glue_catalog::testing::FakeTable;
use glue_catalog::{GlueSync, Outcome, SyncSettings};

use crate::world::{BASE, World, days, field, merge_on_read};

async fn content(catalog: &dyn Catalog, table: &TableId) -> (Table, Vec<Partition>) {
    let found = catalog.get_table(table).await.unwrap().unwrap();
    let found = Table { version_id: None, last_access_ms: None, last_analyzed_ms: None, ..found };
    let (mut request, mut partitions) = (PageRequest::default(), Vec::new());
    loop {
        let page = catalog.get_partitions(table, &request).await.unwrap();
        partitions.extend(page.partitions);
        request.next_token = page.next_token;
        if request.next_token.is_none() {
            break;
        }
    }
    partitions.sort_by(|a, b| a.values.cmp(&b.values));
    (found, partitions)
}

fn columns(data_type: DataType) -> Schema {
    Schema::new(vec![field("id", DataType::Int64), field("n", data_type), field("dt", DataType::Utf8)])
}

#[tokio::test]
async fn a_service_holds_what_the_stand_in_holds() {
    let Ok(endpoint) = std::env::var("HUDI_TEST_GLUE") else {
        println!("SKIPPED: no service at HUDI_TEST_GLUE");
        return;
    };
    let settings =
        ClientSettings { region: Some("us-east-1".to_owned()), endpoint: Some(endpoint), ..ClientSettings::default() };
    let client = Arc::new(GlueClient::new(&settings).await);
    let world = World::new();
    let there = GlueSync::new(Arc::clone(&client) as _, Arc::clone(&world.clock) as _);
    let here = world.process();
    let settings = SyncSettings::new(format!("sync_{}", std::process::id()));
    let mut table = FakeTable::new(BASE, merge_on_read("Orders", &["dt"]), columns(DataType::Int32));
    for step in 0..5 {
        match step {
            0 => table.write(1000, days(0..1250)),
            1 => table.write(2000, ["dt=a%2Fb%3Dc", "dt=__HIVE_DEFAULT_PARTITION__", "dt=Größe 1"]),
            2 => {
                let gone = days(0..60);
                table.delete_partitions(3000, &gone.iter().map(String::as_str).collect::<Vec<_>>());
            }
            3 => {
                table.set_columns(Some(columns(DataType::Int64)));
                table.write(4000, days(7..9));
            }
            _ => table.write(5000, days(7..9)),
        }
        let (ours, theirs) = (here.sync(&table, &settings).await, there.sync(&table, &settings).await);
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!(ours, theirs, "step {step}");
        assert_eq!(ours.len(), 3);
        for report in &ours {
            let ours = content(&*world.glue, &report.table).await;
            let theirs = content(&*client, &report.table).await;
            assert_eq!(ours.0, theirs.0, "step {step}");
            assert_eq!(ours.1.len(), theirs.1.len(), "step {step}");
            for (ours, theirs) in ours.1.iter().zip(&theirs.1) {
                assert_eq!(ours, theirs, "step {step}");
            }
        }
        for report in there.sync(&table, &settings).await.unwrap() {
            assert_eq!(report.outcome, Outcome::Unchanged, "step {step}");
        }
    }
    let nowhere = TableId { catalog_id: None, database: settings.database.clone(), name: "none".to_owned() };
    assert_eq!(client.get_table(&nowhere).await.unwrap(), None);
    assert_eq!(client.delete_table(&nowhere).await.unwrap_err().kind, ErrorKind::NotFound);
    let again = client.create_database(None, &settings.database).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_of_as_unanswered() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let keys = aws_sdk_glue::config::Credentials::new("test", "test", None, None, "test");
    let found = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_glue::config::SharedCredentialsProvider::new(keys))
        .build();
    let client = GlueClient::with(&found, Some(&endpoint));
    let error = client.get_table(&crate::world::id("orders")).await.unwrap_err();
    assert_eq!((error.kind, error.operation), (ErrorKind::Unavailable, "GetTable"), "{error}");
}
