//! The fixtures: real tables as zip files, opened with the `unzip` program.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A path below the fixtures, or none (said aloud) where they are not there.
pub(crate) fn fixture(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures")).join(path);
    if !path.exists() {
        eprintln!("SKIPPED: no fixture {}", path.display());
        return None;
    }
    Some(path)
}

/// A table in a zip file.
pub(crate) struct ZippedTable {
    zip: PathBuf,
    root: String,
    names: Vec<String>,
}

impl ZippedTable {
    pub(crate) fn all() -> Vec<Self> {
        let mut folders: Vec<PathBuf> = fixture("hudi-tables").into_iter().collect();
        let mut tables = vec![];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "zip") {
                    tables.extend(Self::open(path));
                }
            }
        }
        tables
    }

    fn open(zip: PathBuf) -> Option<Self> {
        let Ok(listing) = Command::new("unzip").arg("-Z1").arg(&zip).output() else {
            eprintln!("SKIPPED: no `unzip` for {}", zip.display());
            return None;
        };
        let names: Vec<String> = String::from_utf8(listing.stdout).unwrap().lines().map(str::to_owned).collect();
        let root = names.iter().find_map(|n| n.strip_suffix(".hoodie/hoodie.properties")).unwrap().to_owned();
        let names = names.iter().filter_map(|n| n.strip_prefix(&root)).filter(|n| !n.ends_with('/'));
        Some(Self { names: names.map(str::to_owned).collect(), zip, root })
    }

    pub(crate) fn label(&self) -> String {
        self.zip.display().to_string()
    }

    /// The names of the files in a folder.
    pub(crate) fn names_in<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.names.iter().filter_map(move |n| match n.rsplit_once('/') {
            Some((parent, name)) => (parent == folder).then_some(name),
            None => folder.is_empty().then_some(n.as_str()),
        })
    }

    /// All paths that are not below `.hoodie`.
    pub(crate) fn data(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str).filter(|n| !n.starts_with(".hoodie/"))
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        let literal = format!("{}{path}", self.root).replace('[', "[[]");
        Command::new("unzip").arg("-p").arg(&self.zip).arg(literal).output().unwrap().stdout
    }
}
