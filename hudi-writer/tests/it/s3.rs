//! Tables at `s3://`, where `HUDI_TEST_S3` names a server that the AWS variables lead to (`.ci/peers/s3.sh` starts one).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use hudi_core::change::Op;
use hudi_writer::{NewTable, Table, TableWriter};

use crate::model::{Change, Model, assert_is, batch, commit};
use crate::upserts::history_at;

/// Makes a bucket; `None`, said aloud, where there is no server.
pub(crate) fn bucket(name: &str) -> Option<String> {
    let Ok(url) = std::env::var("HUDI_TEST_S3") else {
        eprintln!("SKIPPED: no HUDI_TEST_S3; run it by .ci/peers/s3.sh");
        return None;
    };
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "PUT /{name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Some(format!("s3://{name}"))
}

#[tokio::test]
async fn tables_in_a_bucket_are_their_model() {
    let Some(bucket) = bucket("tables") else { return };
    history_at(&format!("{bucket}/shop/plain"), 1, NewTable::new("t", ["id"])).await;
    let partitioned = NewTable::new("t", ["region", "id"]).partition_by(["region"]);
    history_at(&format!("{bucket}/shop/p=1 %2F/ü"), 2, partitioned).await;
}

#[tokio::test]
async fn one_table_has_three_schemes() {
    let Some(bucket) = bucket("schemes") else { return };
    let mut writer = TableWriter::builder(&bucket).create(&NewTable::new("t", ["id"])).await.unwrap();
    let (mut model, change) = (Model::default(), Change::new(Op::Insert, 1, 1));
    model.apply(&change);
    assert_eq!(writer.write(&batch(&[change], 0)).unwrap().refused, []);
    commit(&mut writer).await;
    for scheme in ["s3", "s3a", "s3n"] {
        let table = Table::open(&bucket.replacen("s3", scheme, 1)).await.unwrap();
        assert_is(&table, &model).await;
    }
}

/// Not a test of its own: what a process does that was started with other variables. It prints how opening ended.
#[tokio::test]
async fn opens_what_it_is_told() {
    let Ok(url) = std::env::var("HUDI_TEST_OPEN") else { return };
    match Table::open(&url).await {
        Ok(_) => println!("OPENED"),
        Err(error) => {
            println!("ERROR {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                println!("BECAUSE {cause}");
                source = cause.source();
            }
        }
    }
}

/// Opens a table in a process with no AWS variable but these.
fn opened_with(url: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "s3::opens_what_it_is_told", "--nocapture"]).env("HUDI_TEST_OPEN", url);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
    let Output { stdout, .. } = command.output().unwrap();
    String::from_utf8(stdout).unwrap()
}

#[test]
fn region_endpoint_and_credentials_come_from_variables_and_from_profiles() {
    let Some(url) = bucket("profiles") else { return };
    let endpoint = std::env::var("HUDI_TEST_S3").unwrap();
    let create = async || TableWriter::builder(&url).create(&NewTable::new("t", ["id"])).await.map(|_| ());
    tokio::runtime::Runtime::new().unwrap().block_on(create()).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (config, secrets, nowhere) = (path("config"), path("credentials"), path("none"));
    let services = format!("[services here]\ns3 =\n  endpoint_url = {endpoint}\n");
    let profile = format!("[profile own]\nregion = us-east-1\nendpoint_url = {endpoint}\n");
    let by_service = "[profile service]\nregion = us-east-1\nservices = here\n";
    let by_command = format!(
        "[profile command]\nregion = us-east-1\nendpoint_url = {endpoint}\ncredential_process = echo {}\n",
        r#"'{"Version":1,"AccessKeyId":"a","SecretAccessKey":"s"}'"#
    );
    std::fs::write(&config, [profile.as_str(), by_service, &services, &by_command].join("\n")).unwrap();
    let keys = "aws_access_key_id = a\naws_secret_access_key = s\n";
    std::fs::write(&secrets, format!("[own]\n{keys}[service]\n{keys}")).unwrap();

    let files = [("AWS_CONFIG_FILE", config.as_str()), ("AWS_SHARED_CREDENTIALS_FILE", &secrets)];
    let no_files = [("AWS_CONFIG_FILE", nowhere.as_str()), ("AWS_SHARED_CREDENTIALS_FILE", &nowhere)];
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let region = [("AWS_REGION", "us-east-1")];
    let of_s3 = [("AWS_ENDPOINT_URL_S3", endpoint.as_str()), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];

    for profile in ["own", "service", "command"] {
        let printed = opened_with(&url, &[&files[..], &[("AWS_PROFILE", profile)]].concat());
        assert!(printed.contains("OPENED"), "{profile}: {printed}");
    }
    let printed = opened_with(&url, &[&no_files[..], &keys, &region, &of_s3].concat());
    assert!(printed.contains("OPENED"), "{printed}");
    let printed = opened_with(&url, &[&no_files[..], &keys, &of_s3].concat());
    assert!(printed.contains("ERROR AWS_REGION = ``: want"), "{printed}");
    let printed = opened_with(&url, &[&no_files[..], &region, &of_s3].concat());
    assert!(printed.contains("ERROR could not find credentials for s3://profiles"), "{printed}");
    let printed = opened_with(&url, &[&files[..], &[("AWS_PROFILE", "absent")]].concat());
    assert!(printed.contains("ERROR"), "{printed}");
}
