//! [`Bounds`]: what a base file's statistics say of a column, so that the column need not be read.

use arrow::datatypes::{DataType, TimeUnit};
use parquet::file::statistics::Statistics;

use super::scan::BaseFileFooter;

/// The least and the greatest value of a column in one row group. Texts may be shortened: `least` is at most the least one,
/// `greatest` at least the greatest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// All values are null, or the file does not have the column.
    AllNull,
    /// Whole numbers, or microseconds.
    Long {
        /// The least.
        least: i64,
        /// The greatest.
        greatest: i64,
        /// Whether there are nulls too.
        has_nulls: bool,
    },
    /// Texts.
    Text {
        /// The least.
        least: String,
        /// The greatest.
        greatest: String,
        /// Whether there are nulls too.
        has_nulls: bool,
    },
}

impl BaseFileFooter {
    /// The bounds of a column of whole numbers, microseconds or texts, row group by row group. `None` where the file does not
    /// say.
    pub(crate) fn bounds(&self, column: &str) -> Option<Vec<Bounds>> {
        let groups = self.parquet().row_groups();
        let Ok(field) = self.schema().field_with_name(column) else {
            return Some(vec![Bounds::AllNull; groups.len()]);
        };
        let is_known = matches!(
            field.data_type(),
            DataType::Int64 | DataType::Utf8 | DataType::Timestamp(TimeUnit::Microsecond, _)
        );
        let chunk = |group: &parquet::file::metadata::RowGroupMetaData| {
            let chunk = group.columns().iter().find(|chunk| chunk.column_path().parts() == [column])?;
            bounds(chunk.statistics()?, u64::try_from(group.num_rows()).ok()?)
        };
        if is_known { groups.iter().map(chunk).collect() } else { None }
    }
}

fn bounds(statistics: &Statistics, rows: u64) -> Option<Bounds> {
    let nulls = statistics.null_count_opt()?;
    if nulls == rows {
        return Some(Bounds::AllNull);
    }
    let has_nulls = nulls > 0;
    match statistics {
        Statistics::Int64(values) => {
            let (least, greatest) = (*values.min_opt()?, *values.max_opt()?);
            Some(Bounds::Long { least, greatest, has_nulls })
        }
        Statistics::ByteArray(values) => {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
            let (least, greatest) = (text(values.min_opt()?.data())?, text(values.max_opt()?.data())?);
            Some(Bounds::Text { least, greatest, has_nulls })
        }
        _ => None,
    }
}
