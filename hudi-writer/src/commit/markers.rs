//! Markers: which files an instant is about to write, said before it writes them, so that anybody can remove them.
//!
//! Written in the batched form (`MARKERS.type`, `MARKERS0`), two objects however many files there are; both forms are read.

use bytes::Bytes;
use hudi_core::file_name::Marker;
use hudi_core::instant::InstantTime;
use hudi_core::layout;

use crate::error::{Result, format};
use crate::store::TableStore;

/// Says which files the instant will write.
pub(super) async fn write(store: &TableStore, instant: InstantTime, markers: &[Marker]) -> Result<()> {
    let mut lines = String::new();
    for marker in markers {
        lines.push_str(&marker.to_string());
        lines.push('\n');
    }
    let kind = Bytes::from_static(layout::TIMELINE_SERVER_MARKERS.as_bytes());
    store.put(&layout::markers_type(instant), kind).await?;
    store.put(&layout::batched_markers(instant, 0), Bytes::from(lines)).await
}

/// The files that the instant said it would write, as paths below the table; `None` where it said nothing.
pub(super) async fn read(store: &TableStore, instant: InstantTime) -> Result<Option<Vec<String>>> {
    let folder = layout::marker_dir(instant);
    let mut files = vec![];
    let objects = store.list(&folder).await?;
    if objects.is_empty() {
        return Ok(None);
    }
    for object in objects {
        let name = object.path.strip_prefix(&folder).unwrap_or_default().trim_start_matches('/').to_owned();
        if name == layout::MARKERS_TYPE_FILE {
            continue;
        }
        let lines = match name.starts_with(layout::MARKERS_PREFIX) && !name.contains('/') {
            true => store.get_text(&object.path).await?.unwrap_or_default(),
            false => name,
        };
        for line in lines.lines() {
            if let Some(marker) = Marker::parse(line).map_err(format)? {
                files.push(layout::data_file(&marker.partition, &marker.file_name));
            }
        }
    }
    Ok(Some(files))
}

/// Removes the instant's markers.
pub(super) async fn remove(store: &TableStore, instant: InstantTime) -> Result<()> {
    let objects = store.list(&layout::marker_dir(instant)).await?;
    store.delete_all(objects.into_iter().map(|object| object.path).collect()).await
}
