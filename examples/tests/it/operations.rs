//! `docs/operations.md` says what the programs say: every number that is told, and nothing that nobody says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use examples::{Limits, Standing, Watch};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/operations.md")).unwrap()
}

/// The first cells of the tables' rows below a heading, without what marks them as code.
fn first_cells(document: &str, heading: &str) -> Vec<String> {
    let (_, below) = document.split_once(&format!("## {heading}\n")).unwrap();
    let section = below.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    cells.map(|(cell, _)| cell.to_owned()).collect()
}

/// The metrics that are told, whether there is a table or not.
fn told() -> BTreeSet<String> {
    let watch = Watch::new(Limits::default(), 0);
    watch.publish(&Standing::default());
    let metrics = watch.metrics();
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// Words that look like metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("cdc_") || word.starts_with("process_")).map(str::to_owned).collect()
}

#[test]
fn every_number_that_is_told_is_explained_and_no_other_is_named() {
    let (told, document) = (told(), document());
    let explained: Vec<String> = first_cells(&document, "Numbers");
    assert_eq!(explained.iter().cloned().collect::<BTreeSet<_>>(), told);
    assert_eq!(explained.len(), told.len(), "each once");
    for text in [document, std::fs::read_to_string(root().join("docs/kafka.md")).unwrap()] {
        let unknown: Vec<_> = named(&text).into_iter().filter(|name| !told.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

/// All sources of the crates.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_message_that_is_explained_is_one_that_somebody_says() {
    let mut said = String::new();
    for name in ["hudi-core", "cdc-decoders", "hudi-writer", "kafka-source", "examples"] {
        sources(&root().join(name).join("src"), &mut said);
    }
    let document = document();
    for heading in ["`/healthz`", "What stops it"] {
        let messages = first_cells(&document, heading);
        assert!(messages.len() > 5, "{heading}: {messages:?}");
        for message in messages {
            assert!(said.contains(&message), "nobody says {message:?}");
        }
    }
}
