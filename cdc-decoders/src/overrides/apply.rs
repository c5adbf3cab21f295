//! [`Overrides`]: rules, applied to batches column by column.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit, TimestampMicrosecondType};
use hudi_core::change::{ChangeBatch, Origin};
use std::collections::HashSet;
use std::sync::Arc;

use super::convert::Target;
use super::hash::HashKeys;
use super::rule::{Action, Rule, RuleError};
use super::zone::Zone;
use crate::error::DecodeError;

/// Overrides of columns, decoder or not: applied to what [`Decoder::flush`](crate::Decoder::flush) gives, before anything keeps it.
///
/// A rule is `PATTERN:ACTION`. The pattern is a glob over the column's name, or over `TOPIC.COLUMN`. Of each kind of action the first
/// rule that matches a column counts. They are done in this order:
///
/// | action | what becomes of the column |
/// |---|---|
/// | `drop` | it is left out |
/// | `null` | it is there, without any value |
/// | `type=T` | `boolean`, `int`, `long`, `float`, `double`, `decimal(P,S)`, `string`, `date`, `timestamp`, `binary`. Texts and numbers are read; numbers as times with their unit: `timestamp(ms)`. A value that does not fit refuses its row |
/// | `zone=Z` | timestamps, if it has any, are taken for wall clocks of this zone: `UTC`, `+02:00`, and with the feature `zones` `Europe/Berlin` |
/// | `hash=K` | values are replaced by their HMAC-SHA-256 under the key named `K`, as 64 hexadecimal digits. Null stays null |
///
/// Columns of the key can be given types, zones and hashes, and are no less a key.
///
/// ```
/// use cdc_decoders::overrides::{HashKeys, Overrides};
///
/// # fn main() -> Result<(), cdc_decoders::overrides::RuleError> {
/// let keys = HashKeys::default().with("pii", b"sixteen bytes or more")?;
/// let overrides = Overrides::parse(["*.customers.email:hash=pii", "price:type=decimal(10,2)", "*_secret:drop"], keys)?;
/// assert!(!overrides.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    rules: Vec<Rule>,
    keys: HashKeys,
}

/// A batch after its overrides.
#[derive(Debug, Clone)]
pub struct Overridden {
    /// The changes that fit.
    pub batch: ChangeBatch,
    /// Those that do not: all rows of their messages are left out. Each is a dead letter.
    pub refused: Vec<RefusedRow>,
}

/// A change with a value that does not fit the type that its column gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The change's message.
    pub origin: Origin,
    /// The column.
    pub column: String,
    /// What is wanted. Holds no row value.
    pub reason: String,
}

/// What is done with one column.
#[derive(Debug, Default)]
struct Actions<'a> {
    drop: bool,
    null: bool,
    to: Option<Target>,
    zone: Option<Zone>,
    hash: Option<&'a str>,
}

/// A column after its actions, and the rows whose value did not fit.
type Changed = (ArrayRef, Option<BooleanBuffer>);

impl Overrides {
    /// The overrides that these rules say, in their order.
    ///
    /// # Errors
    /// [`RuleError`] naming the first rule that is none, with what is wanted; or the key that a hash is to have, where there is none of its name.
    pub fn parse<'a>(rules: impl IntoIterator<Item = &'a str>, keys: HashKeys) -> Result<Self, RuleError> {
        let mut parsed = vec![];
        for text in rules {
            let rule = Rule::parse(text)?;
            if let Action::Hash(key) = &rule.action
                && !keys.contains(key)
            {
                return Err(RuleError::new(text, format!("a key named `{key}` to hash with")));
            }
            parsed.push(rule);
        }
        Ok(Self { rules: parsed, keys })
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Applies the rules to a batch.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] naming a column that cannot be what it is to be, whatever its values: one of the key that would be
    /// without any, or a type that cannot be read as the other.
    pub fn apply(&self, batch: ChangeBatch) -> Result<Overridden, DecodeError> {
        if self.rules.is_empty() {
            return Ok(Overridden { batch, refused: vec![] });
        }
        let mut applied = Applied { topic: &batch.topic, unfit: vec![] };
        let (mut fields, mut columns, mut unsent) = (vec![], vec![], vec![]);
        let all = batch.rows.schema_ref().fields().iter().zip(batch.rows.columns()).zip(&batch.unsent);
        for ((field, column), mask) in all {
            let actions = self.actions(&batch.topic, field.name());
            let is_key = batch.key_columns.contains(field.name());
            if is_key && (actions.drop || actions.null) {
                return Err(DecodeError::schema(
                    field.name(),
                    "it is part of the key, which cannot go without: hash it",
                ));
            }
            if actions.drop {
                continue;
            }
            let changed = applied.column(field.name(), column, &actions, &self.keys)?;
            fields.push(Field::new(field.name(), changed.data_type().clone(), true));
            columns.push(changed);
            unsent.push(mask.clone().filter(|_| !actions.null));
        }
        let other_keys = batch.other_keys.as_ref().map(|keys| self.other_keys(keys, &mut applied)).transpose()?;
        let unfit = std::mem::take(&mut applied.unfit);
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
            .map_err(|e| DecodeError::schema("(batch)", e.to_string()))?;
        without_unfit(ChangeBatch { rows, unsent, other_keys, ..batch }, &unfit)
    }

    /// What a decoder may know of a table's columns: those that have another type there than the source gives are left out.
    #[must_use]
    pub fn known(&self, topic: &str, table: &Schema) -> Schema {
        let is_as_sent = |field: &&Arc<Field>| {
            let Actions { drop, null, to, hash, .. } = self.actions(topic, field.name());
            !drop && !null && to.is_none() && hash.is_none()
        };
        Schema::new(table.fields().iter().filter(is_as_sent).cloned().collect::<Fields>())
    }

    fn other_keys(&self, keys: &StructArray, applied: &mut Applied<'_>) -> Result<StructArray, DecodeError> {
        let (mut fields, mut columns) = (vec![], vec![]);
        for (field, column) in keys.fields().iter().zip(keys.columns()) {
            let actions = self.actions(applied.topic, field.name());
            let changed = applied.column(field.name(), column, &actions, &self.keys)?;
            fields.push(Field::new(field.name(), changed.data_type().clone(), true));
            columns.push(changed);
        }
        StructArray::try_new_with_length(fields.into(), columns, keys.nulls().cloned(), keys.len())
            .map_err(|e| DecodeError::schema("(other keys)", e.to_string()))
    }

    fn actions<'a>(&'a self, topic: &str, column: &str) -> Actions<'a> {
        let mut actions = Actions::default();
        for rule in self.rules.iter().filter(|rule| rule.pattern.matches(topic, column)) {
            match &rule.action {
                Action::Drop => actions.drop = true,
                Action::Null => actions.null = true,
                Action::Type(to) => actions.to = actions.to.or(Some(*to)),
                Action::Zone(zone) => actions.zone = actions.zone.or(Some(*zone)),
                Action::Hash(key) => actions.hash = actions.hash.or(Some(key)),
            }
        }
        actions
    }
}

/// What is applied to a batch, as far as it got.
struct Applied<'a> {
    topic: &'a str,
    /// Rows that do not fit, with the column and what is wanted of it.
    unfit: Vec<(usize, String, DataType)>,
}

impl Applied<'_> {
    fn column(
        &mut self,
        name: &str,
        column: &ArrayRef,
        actions: &Actions<'_>,
        keys: &HashKeys,
    ) -> Result<ArrayRef, DecodeError> {
        if actions.null {
            return Ok(new_null_array(&actions.type_of_nulls(column), column.len()));
        }
        let (mut column, lost) = actions.typed(name, column)?;
        for row in lost.iter().flat_map(BooleanBuffer::set_indices) {
            self.unfit.push((row, name.to_owned(), column.data_type().clone()));
        }
        if let Some(zone) = actions.zone
            && let DataType::Timestamp(TimeUnit::Microsecond, Some(_)) = column.data_type()
        {
            let walls = column.as_primitive::<TimestampMicrosecondType>();
            column =
                Arc::new(walls.unary::<_, TimestampMicrosecondType>(|wall| zone.instant(wall)).with_timezone("UTC"));
        }
        match actions.hash {
            Some(key) => hashed(name, &column, key, keys),
            None => Ok(column),
        }
    }
}

impl Actions<'_> {
    fn type_of_nulls(&self, column: &ArrayRef) -> DataType {
        match (self.hash, self.to) {
            (Some(_), _) => DataType::Utf8,
            (None, Some(to)) => to.data_type(),
            (None, None) => column.data_type().clone(),
        }
    }

    fn typed(&self, name: &str, column: &ArrayRef) -> Result<Changed, DecodeError> {
        let Some(to) = self.to else { return Ok((Arc::clone(column), None)) };
        let converted = to.convert(column).map_err(|e| DecodeError::schema(name, e.to_string()))?;
        let (from, wanted) = (column.data_type(), to.data_type());
        let hint = if from.is_integer() { "; of numbers say their unit: timestamp(ms)" } else { "" };
        let cannot = || DecodeError::schema(name, format!("{from} cannot be read as {wanted}{hint}"));
        let converted = converted.ok_or_else(cannot)?;
        Ok((converted.column, converted.lost))
    }
}

fn hashed(name: &str, column: &ArrayRef, key: &str, keys: &HashKeys) -> Result<ArrayRef, DecodeError> {
    let texts = match column.data_type() {
        DataType::Binary => Arc::clone(column),
        _ => match Target::String.convert(column) {
            Ok(Some(texts)) => texts.column,
            Ok(None) => return Err(DecodeError::schema(name, format!("{} cannot be hashed", column.data_type()))),
            Err(error) => return Err(DecodeError::schema(name, error.to_string())),
        },
    };
    match keys.hashed(key, &*texts) {
        Some(hashes) => Ok(Arc::new(hashes)),
        None => Err(DecodeError::schema(name, format!("there is no key named `{key}`"))),
    }
}

/// Leaves out the messages of which a row does not fit.
fn without_unfit(batch: ChangeBatch, unfit: &[(usize, String, DataType)]) -> Result<Overridden, DecodeError> {
    if unfit.is_empty() {
        return Ok(Overridden { batch, refused: vec![] });
    }
    let message = |row: usize| (batch.partitions[row], batch.offsets[row]);
    let mut gone = HashSet::new();
    let first = unfit.iter().filter(|(row, ..)| gone.insert(message(*row)));
    let refused = |(row, column, to): &(usize, String, DataType)| RefusedRow {
        origin: batch.origin(*row),
        column: column.clone(),
        reason: format!("column `{column}`: its value is no {to}, which an override says that it is"),
    };
    let refused = first.map(refused).collect();
    let fits: BooleanArray = (0..batch.num_rows()).map(|row| Some(!gone.contains(&message(row)))).collect();
    let batch = batch.retained(&fits).map_err(|e| DecodeError::schema("(batch)", e.to_string()))?;
    Ok(Overridden { batch, refused })
}
