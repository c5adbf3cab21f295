//! Locations as Athena reads them: `s3://` and no slash at the end.
//!
//! Athena answers no rows at all from a partition at `s3a://`, and says nothing of it. Not here: what stands at a location.

use crate::error::{Error, Result};

const MAX_LOCATION_CHARS: usize = 2056;

/// The location as it must stand in Glue: `s3a://` and `s3n://` are `s3://`, and slashes at the end are gone.
///
/// # Errors
/// [`Error::Setting`] for a place that is not in S3, and for one that is longer than Glue takes.
pub fn normal(location: &str) -> Result<String> {
    let refuse = |want: &str| Err(Error::setting("location", location, want));
    let Some(rest) = below_scheme(location) else { return refuse("s3://BUCKET/PREFIX") };
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || rest.starts_with('/') {
        return refuse("s3://BUCKET/PREFIX");
    }
    if location.chars().count() > MAX_LOCATION_CHARS {
        return refuse("at most 2056 characters");
    }
    Ok(format!("s3://{rest}"))
}

/// Whether both are one place, however it is spelled.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    let plain = |text| below_scheme(text).unwrap_or(text).trim_end_matches('/');
    plain(one) == plain(other)
}

/// Whether a location is spelled as Athena reads it; a slash at the end does no harm.
#[must_use]
pub fn is_readable(location: &str) -> bool {
    location.starts_with("s3://")
}

/// The location of a partition; `path` is encoded, as it stands in the table.
///
/// # Errors
/// What is wrong, where Glue cannot hold it.
pub fn of_partition(table: &str, path: &str) -> Result<String, String> {
    let location = format!("{table}/{path}");
    match location.chars().count() {
        chars if chars > MAX_LOCATION_CHARS => {
            Err(format!("its location takes {chars} characters, Glue takes at most {MAX_LOCATION_CHARS}"))
        }
        _ => Ok(location),
    }
}

fn below_scheme(location: &str) -> Option<&str> {
    ["s3://", "s3a://", "s3n://"].into_iter().find_map(|scheme| location.strip_prefix(scheme))
}
