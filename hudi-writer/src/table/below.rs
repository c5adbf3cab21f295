//! [`tables_below`]: which tables there are below a place.

use hudi_core::layout;

use crate::error::Result;
use crate::store::TableStore;

/// The tables at and below a URL (`file:///…`, `s3://…`) or a folder's path, in order: each by its URL, or its folder's path.
///
/// A folder with `.hoodie` in it is a table, and none is looked for below it. Lists one folder at a time, a table's partitions never.
///
/// # Errors
/// [`Error::Store`](crate::Error::Store) where a folder cannot be listed, [`Error::Refused`](crate::Error::Refused) for a place that is none.
pub async fn tables_below(url: &str) -> Result<Vec<String>> {
    let store = TableStore::at(url).await?;
    let (mut tables, mut folders) = (vec![], vec![String::new()]);
    while let Some(folder) = folders.pop() {
        let (_, below) = store.list_folder(&folder).await?;
        if below.contains(&layout::join(&folder, layout::HOODIE_DIR)) {
            tables.push(place(&store, &folder));
            continue;
        }
        folders.extend(below.into_iter().filter(|path| !layout::split(path).1.starts_with('.')));
    }
    tables.sort();
    Ok(tables)
}

fn place(store: &TableStore, folder: &str) -> String {
    match store.local_folder() {
        Some(root) => root.join(folder).to_string_lossy().trim_end_matches('/').to_owned(),
        None if folder.is_empty() => store.url().to_owned(),
        None => format!("{}/{folder}", store.url()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tables_are_found_at_any_depth_and_nothing_is_looked_for_in_one() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a/t/.hoodie", "a/t/p=1/.hoodie", "a/b/c/u/.hoodie", "a/empty", ".hidden/v/.hoodie"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let at = |folder: &str| root.path().join(folder).to_str().unwrap().to_owned();
        assert_eq!(tables_below(&at("")).await.unwrap(), [at("a/b/c/u"), at("a/t")]);
        assert_eq!(tables_below(&at("a/t")).await.unwrap(), [at("a/t")]);
        assert_eq!(tables_below(&at("a/empty")).await.unwrap(), [""; 0]);
        assert_eq!(tables_below(&at("nowhere")).await.unwrap(), [""; 0]);
    }
}
