//! [`PartitionScheme`]: the partition keys of a table, and the values of each partition by its path.
//!
//! Engines take partition values from the catalog and never from the files, and one value that does not fit its key's type breaks
//! every query of the table: so a value that does not fit is refused, before anything is written.

use arrow::datatypes::{DataType, Schema};
use hudi_core::key::{KeyGenerator, NULL_PARTITION, unescape_partition_value};
use hudi_core::properties::TableProperties;

use crate::error::{Error, Result};
use crate::settings::{PartitionValues, SyncSettings};
use crate::types::{self, Column};

const MAX_VALUE_CHARS: usize = 1024;

/// The partition keys of a table, and how paths become values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionScheme {
    /// The partition columns, as the table spells them.
    fields: Vec<String>,
    keys: Vec<Column>,
    hive_style: bool,
    url_encode: bool,
    values: PartitionValues,
}

impl PartitionScheme {
    /// That of a table with these columns.
    ///
    /// A key has its column's type where paths spell such values as engines read them: whole numbers, booleans and dates. Everything
    /// else is a string, and so is every key of a generator whose paths are not the columns' values.
    ///
    /// # Errors
    /// [`Error::Setting`] for a type that no key can have, and for a form that does not go with the number of keys.
    pub fn of(properties: &TableProperties, columns: &Schema, settings: &SyncSettings) -> Result<Self> {
        let fields = properties.partition_fields().to_vec();
        if settings.partition_values == PartitionValues::SlashEncodedDay && fields.len() != 1 {
            let want = "another form: this is for one partition column";
            return Err(Error::setting("partition_values", PartitionValues::SlashEncodedDay.as_str(), want));
        }
        if let Some(stranger) = settings.key_types.keys().find(|name| !fields.contains(name)) {
            return Err(Error::setting("key_types", stranger, format!("one of ({})", fields.join(", "))));
        }
        let paths_are_values = !matches!(properties.key_generator(), KeyGenerator::Other(_));
        let keys = fields.iter().map(|name| key(name, columns, paths_are_values, settings));
        Ok(Self {
            keys: keys.collect::<Result<_>>()?,
            fields,
            hive_style: properties.hive_style(),
            url_encode: properties.url_encode(),
            values: settings.partition_values,
        })
    }

    /// The partition keys, as Glue has them.
    #[must_use]
    pub fn keys(&self) -> &[Column] {
        &self.keys
    }

    /// The partition columns, as the table spells them.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Whether the table has no partitions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The same with the types that Glue's table has for the keys already.
    #[must_use]
    pub(crate) fn with_types_of(&self, keys: &[Column]) -> Self {
        let mut scheme = self.clone();
        for (ours, theirs) in scheme.keys.iter_mut().zip(keys) {
            ours.type_text.clone_from(&theirs.type_text);
        }
        scheme
    }

    /// One value a key of the partition at this path, which is encoded, as it stands in the table.
    ///
    /// # Errors
    /// What is wrong: the path has not as many parts as there are keys, or a value does not fit the type of its key.
    pub fn values(&self, path: &str) -> Result<Vec<String>, String> {
        let values = match self.fields.as_slice() {
            [_] if self.values == PartitionValues::SlashEncodedDay => vec![slash_day(path)?],
            [field] => vec![self.value(field, path)?],
            fields => {
                let parts: Vec<&str> = path.split('/').collect();
                if parts.len() != fields.len() {
                    let (found, wanted) = (parts.len(), fields.len());
                    return Err(format!("its path has {found} parts, for {wanted} keys ({})", fields.join(", ")));
                }
                let values = fields.iter().zip(parts).map(|(field, part)| self.value(field, part));
                values.collect::<Result<_, _>>()?
            }
        };
        for (key, value) in self.keys.iter().zip(&values) {
            verify(key, value)?;
        }
        Ok(values)
    }

    fn value(&self, field: &str, part: &str) -> Result<String, String> {
        let named = part.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, value)| value);
        let value = match named {
            Some(value) => value,
            None if self.hive_style => return Err(format!("`{part}` does not begin with `{field}=`")),
            None => part,
        };
        let decode = self.url_encode && self.values != PartitionValues::AsInPath;
        Ok(if decode { unescape_partition_value(value) } else { value.to_owned() })
    }
}

fn key(name: &str, columns: &Schema, paths_are_values: bool, settings: &SyncSettings) -> Result<Column> {
    let field = columns.field_with_name(name).ok();
    let chosen = settings.key_types.get(name).map(|text| text.trim().to_lowercase());
    let type_text = match chosen {
        Some(text) if Fit::of(&text).is_some() => text,
        Some(text) => {
            let want =
                "string, varchar(n), char(n), tinyint, smallint, int, bigint, date, timestamp, boolean, decimal(p,s)";
            return Err(Error::setting("key_types", format!("{name}: {text}"), want));
        }
        None => match field.map(|field| field.data_type()) {
            Some(DataType::Int8 | DataType::Int16 | DataType::Int32) if paths_are_values => "int".to_owned(),
            Some(DataType::Int64) if paths_are_values => "bigint".to_owned(),
            Some(DataType::Date32) if paths_are_values => "date".to_owned(),
            Some(DataType::Boolean) if paths_are_values => "boolean".to_owned(),
            _ => "string".to_owned(),
        },
    };
    Ok(Column { comment: field.and_then(types::comment), ..Column::new(name.to_lowercase(), type_text) })
}

/// `yyyy/mm/dd`, with names before the values or without.
fn slash_day(path: &str) -> Result<String, String> {
    let parts: Vec<&str> = path.split('/').map(|part| part.split_once('=').map_or(part, |(_, value)| value)).collect();
    match parts[..] {
        [NULL_PARTITION] => Ok(NULL_PARTITION.to_owned()),
        [year, month, day] => {
            let date = format!("{year}-{month}-{day}");
            if is_date(&date) { Ok(date) } else { Err("its path is no day as yyyy/mm/dd".to_owned()) }
        }
        _ => Err("its path is no day as yyyy/mm/dd".to_owned()),
    }
}

fn verify(key: &Column, value: &str) -> Result<(), String> {
    let Column { name, type_text, .. } = key;
    if value.is_empty() {
        return Err(format!("the value of `{name}` is empty, which Glue does not take"));
    }
    if value.chars().count() > MAX_VALUE_CHARS {
        return Err(format!("the value of `{name}` has more than {MAX_VALUE_CHARS} characters"));
    }
    if value == NULL_PARTITION || Fit::of(type_text).is_none_or(|fit| fit.takes(value)) {
        return Ok(());
    }
    Err(format!(
        "`{value}` is no {type_text}, the type of the key `{name}`; one such value breaks every query of the table: \
         give the key the type string"
    ))
}

/// The texts that a type takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Any,
    Whole { min: i64, max: i64 },
    Date,
    Timestamp,
    Boolean,
    Decimal { precision: usize, scale: usize },
}

impl Fit {
    /// Those of a Hive type; `None` for one that we do not know.
    fn of(type_text: &str) -> Option<Self> {
        let (name, arguments) = type_text.split_once('(').unwrap_or((type_text, ""));
        Some(match name {
            "string" | "varchar" | "char" => Self::Any,
            "tinyint" => Self::Whole { min: i8::MIN.into(), max: i8::MAX.into() },
            "smallint" => Self::Whole { min: i16::MIN.into(), max: i16::MAX.into() },
            "int" => Self::Whole { min: i32::MIN.into(), max: i32::MAX.into() },
            "bigint" | "long" => Self::Whole { min: i64::MIN, max: i64::MAX },
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "boolean" => Self::Boolean,
            "decimal" => {
                let (precision, scale) = arguments.strip_suffix(')')?.split_once(',')?;
                Self::Decimal { precision: precision.trim().parse().ok()?, scale: scale.trim().parse().ok()? }
            }
            _ => return None,
        })
    }

    fn takes(self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Whole { min, max } => value.parse().is_ok_and(|n: i64| (min..=max).contains(&n)),
            Self::Date => is_date(value),
            Self::Timestamp => is_timestamp(value),
            Self::Boolean => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            Self::Decimal { precision, scale } => is_decimal(value, precision, scale),
        }
    }
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let number = |text: &str, digits: usize| -> Option<u32> {
        (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// `yyyy-mm-dd hh:mm:ss`, with a fraction or without.
fn is_timestamp(text: &str) -> bool {
    let Some((date, time)) = text.split_once(' ') else { return false };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let parts: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = parts[..] else { return false };
    let below = |text: &str, limit: u32| {
        text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()) && text.parse().is_ok_and(|n: u32| n < limit)
    };
    let is_fraction = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    is_date(date) && below(hour, 24) && below(minute, 60) && below(second, 60) && is_fraction
}

fn is_decimal(text: &str, precision: usize, scale: usize) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let whole_digits = whole.trim_start_matches('0').len();
    !whole.is_empty()
        && all_digits(whole)
        && all_digits(fraction)
        && !digits.ends_with('.')
        && fraction.len() <= scale
        && whole_digits <= precision.saturating_sub(scale)
}
