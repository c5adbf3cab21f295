//! The columns of a topic's row images, read from JSON objects; from Avro's records [`super::record`] reads into the same.
//! ([`crate::images`] has what does not depend on the syntax.)
//!
//! A column that is in no schema is added when it first appears, typed by its values ([`super::inferred`]); the rows before it did not
//! send it. Not here: which image of a message is read, and what happened to the row.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;

use super::metadata::{Names, Tag};
use super::plan::{FieldPlan, Reading, column_name, reserved};
use super::unavailable::{Unavailable, quoted};
use super::value::Values;
use crate::avro;
use crate::columns::Column;
use crate::error::{DecodeError, Part};
pub(crate) use crate::images::{Absent, Placeholder};
use crate::images::{ImageColumn, Images};
use crate::scan::{Fault, Scan, Token};

/// What JSON knows of a column.
#[derive(Debug)]
pub(super) struct Member {
    /// `"name":`, as the source writes it.
    token: Token,
    reading: Reading,
    /// The source's name is not known yet: the column was read from a stored table.
    unbound: bool,
}

pub(super) fn row_column(plan: &FieldPlan) -> Result<ImageColumn<Member>, DecodeError> {
    let token = Token::new(quoted(&plan.source_name));
    ImageColumn::new(plan, Member { token, reading: plan.reading.clone(), unbound: false })
}

/// The columns, the rows in them, and what a message did to them so far.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(super) images: Images<Member>,
    values: Values,
    pub(super) avro: avro::Values,
    told: Told,
}

/// Members that are no columns, but tell of the change.
#[derive(Debug, Default)]
struct Told {
    names: Option<Names>,
    /// Of the last row: what each tells, and from where to where its value stands.
    here: Vec<(Tag, usize, usize)>,
}

impl Rows {
    /// Empty columns of these fields.
    pub(crate) fn from_plan(fields: &[FieldPlan]) -> Result<Self, DecodeError> {
        let mut rows = Self::default();
        for field in fields {
            rows.images.add(row_column(field)?);
        }
        Ok(rows)
    }

    /// Empty columns of a stored table, for messages without schema: they go on being inferred.
    pub(crate) fn from_stored(schema: &Schema) -> Result<Self, DecodeError> {
        let mut rows = Self::default();
        for field in schema.fields().iter().filter(|field| reserved(field.name()).is_none()) {
            let stored = field.data_type();
            let reading = match stored {
                DataType::Int64 | DataType::Float64 | DataType::Boolean | DataType::Utf8 => Reading::Inferred,
                DataType::Int32 => Reading::Int32,
                DataType::Float32 => Reading::Float32,
                other => Reading::Refused(other.clone()),
            };
            let mut column = row_column(&FieldPlan::new(field.name(), reading))?;
            column.column = Column::new(stored).unwrap_or(column.column);
            column.syntax.unbound = true;
            rows.images.add(column);
        }
        Ok(rows)
    }

    /// From here on members of these names are no columns.
    pub(crate) fn set_told(&mut self, names: &Names) {
        let rows = self.images.len();
        for column in self.images.columns_mut() {
            if let Some(tag) = names.get(&column.source_name) {
                (column.syntax.reading, column.column) = (Reading::Told(*tag), Column::Null(rows));
            }
        }
        self.told.names = Some(Arc::clone(names));
    }

    /// What the members of the open row that are no columns tell, and from where to where their values stand.
    pub(crate) fn told(&self) -> &[(Tag, usize, usize)] {
        &self.told.here
    }

    /// Whether the message added a column.
    pub(crate) const fn grew(&self) -> bool {
        self.images.grew()
    }

    /// Empty columns of the key alone, typed as here.
    pub(crate) fn keys_alone(&self) -> Result<Self, DecodeError> {
        let mut keys = Self::default();
        keys.set_keys(self.images.keys());
        for own in self.images.columns().iter().filter(|column| column.key) {
            let mut column = row_column(&FieldPlan::new(&own.source_name, own.syntax.reading.clone()))?;
            column.column = Column::new(&own.column.data_type()).unwrap_or(column.column);
            keys.images.add(column);
        }
        Ok(keys)
    }

    /// Closed rows.
    pub(crate) const fn len(&self) -> usize {
        self.images.len()
    }

    /// How many dates and timestamps were moved to the ends.
    pub(crate) const fn clamped(&self) -> u64 {
        self.values.ledger.clamped() + self.avro.ledger.clamped()
    }

    /// Bytes of text that the message's decimals became, which may be far more than they have there.
    pub(crate) const fn plain_bytes(&self) -> usize {
        self.values.ledger.plain_bytes() + self.avro.ledger.plain_bytes()
    }

    /// Says which columns are the key: they keep their type.
    pub(crate) fn set_keys(&mut self, names: &[String]) {
        self.images.set_keys(names);
    }

    /// From here on [`Self::roll_back`] takes everything back.
    pub(crate) fn begin(&mut self) {
        self.images.begin();
        self.values.ledger.begin();
        self.avro.ledger.begin();
        self.told.here.clear();
    }

    /// As it was at [`Self::begin`].
    pub(crate) fn roll_back(&mut self) {
        self.images.roll_back();
        self.values.ledger.roll_back();
        self.avro.ledger.roll_back();
    }

    /// Takes back what was read of the open row.
    pub(crate) fn clear_open(&mut self) {
        self.images.clear_open();
    }

    /// Takes back what was read of the open row but for the key; nothing, where there is no key.
    pub(crate) fn keep_key(&mut self) {
        self.images.keep_key();
    }

    /// Reads an object into the open row. What was read before stays if `first_wins`; else a column that comes twice is an error.
    pub(crate) fn read(
        &mut self,
        scan: &mut Scan<'_>,
        part: Part,
        first_wins: bool,
        unavailable: &Unavailable,
    ) -> Result<(), DecodeError> {
        let syntax = |fault: Fault| fault.in_part(part);
        scan.expect(b'{', "want an object as the row").map_err(syntax)?;
        let (mut next, mut first) = (0, true);
        loop {
            let place = match self.images.columns().get(next) {
                Some(column) if scan.expected(first, &column.syntax.token) => next,
                _ if !scan.member(first).map_err(syntax)? => return Ok(()),
                _ => self.place(scan, part)?,
            };
            first = false;
            next = place + 1;
            if !self.images.is_read(place) {
                self.value(scan, place, part, unavailable)?;
            } else if first_wins {
                scan.skip().map_err(syntax)?;
            } else {
                return Err(scan.syntax("a column that comes twice").in_part(part));
            }
        }
    }

    #[inline]
    fn value(
        &mut self,
        scan: &mut Scan<'_>,
        place: usize,
        part: Part,
        unavailable: &Unavailable,
    ) -> Result<(), DecodeError> {
        scan.peek();
        let from = scan.at();
        let column = self.images.column(place);
        match self.values.read(scan, &column.syntax.reading, &mut column.column) {
            Ok(()) => {
                if let Reading::Told(tag) = column.syntax.reading {
                    self.told.here.push((tag, from, scan.at()));
                }
                if unavailable.is(scan.since(from)) {
                    self.images.looks_unsent(place);
                }
            }
            Err(fault) => self
                .placeholder(scan, from, place, unavailable)
                .ok_or_else(|| fault.in_column(part, &self.images.column(place).source_name))?,
        }
        match self.values.replaced.take() {
            Some(before) => self.images.widened(place, before),
            None => Ok(()),
        }
    }

    /// What is no value of its column may still be the placeholder: a list's, say, in a column of timestamps.
    #[cold]
    fn placeholder(&mut self, scan: &mut Scan<'_>, from: usize, place: usize, unavailable: &Unavailable) -> Option<()> {
        scan.back_to(from);
        scan.skip().ok()?;
        if !unavailable.is(scan.since(from)) {
            return None;
        }
        self.images.must_be_unsent(place);
        Some(())
    }

    /// The column of the member whose name is next, which was not the expected one.
    #[cold]
    fn place(&mut self, scan: &mut Scan<'_>, part: Part) -> Result<usize, DecodeError> {
        let name = scan.key().and_then(|key| key.to_text()).map_err(|fault| fault.in_part(part))?;
        if let Some(place) = self.images.place(&name) {
            return Ok(place);
        }
        if let Some(tag) = self.told.names.as_ref().and_then(|names| names.get(&*name)) {
            return Ok(self.images.add_late(row_column(&FieldPlan::new(&name, Reading::Told(*tag)))?));
        }
        let refused = |reason: &str| DecodeError::Value { column: name.to_string(), reason: reason.to_owned() };
        let legal = column_name(&name);
        let columns = self.images.columns();
        if let Some(place) = columns.iter().position(|column| column.syntax.unbound && column.name == legal) {
            self.bind(place, &name);
            return Ok(place);
        }
        if let Some(why) = reserved(&legal) {
            return Err(refused(why));
        }
        if columns.iter().any(|column| column.name.eq_ignore_ascii_case(&legal)) {
            return Err(refused("another column's name is the same, but for case or letters that no table can have"));
        }
        let mut column = row_column(&FieldPlan::new(&name, Reading::Inferred))?;
        column.column = Column::Null(0);
        Ok(self.images.add_late(column))
    }

    fn bind(&mut self, place: usize, source_name: &str) {
        self.images.rename(place, source_name);
        let member = &mut self.images.column(place).syntax;
        member.unbound = false;
        member.token = Token::new(quoted(source_name));
    }

    /// Whether the open row has no value of a key column.
    pub(crate) fn lacks_a_key(&self) -> bool {
        self.images.lacks_a_key()
    }

    /// Whether the open row has the placeholder where no value of the column can look so.
    pub(crate) fn surely_lacks(&self) -> bool {
        self.images.surely_lacks()
    }

    /// Closes the open row. `absent` says what columns mean that it lacks, `placeholder` what values are that look like it.
    pub(crate) fn close(&mut self, absent: Absent, placeholder: Placeholder) -> Result<(), DecodeError> {
        self.images.close(absent, placeholder)
    }

    /// The closed rows, and for each column the rows that did not send it; empty afterwards. Columns of which only nulls were
    /// ever seen have no type yet and are left out.
    pub(crate) fn finish(&mut self) -> Result<(RecordBatch, Vec<Option<BooleanBuffer>>), ArrowError> {
        self.images.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debezium::DEFAULT_PLACEHOLDER;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Field, Int64Type};

    fn read(rows: &mut Rows, json: &str) -> Result<(), DecodeError> {
        let mut scan = Scan::new(json.as_bytes(), 0).unwrap();
        rows.read(&mut scan, Part::Value, false, &Unavailable::new(DEFAULT_PLACEHOLDER))
    }

    fn push(rows: &mut Rows, json: &str) -> Result<(), DecodeError> {
        rows.begin();
        let done = read(rows, json).and_then(|()| rows.close(Absent::NotSent, Placeholder::NotSent));
        if done.is_err() {
            rows.roll_back();
        }
        done
    }

    #[test]
    fn a_bad_row_leaves_no_trace() {
        let mut rows = Rows::default();
        push(&mut rows, r#"{"a":1,"b":null}"#).unwrap();
        for bad in [
            r#"{"a":1.5,"b":"x","c":1,"a":2}"#,
            r#"{"c":true,"d":{}, "e":tru}"#,
            r#"{"b":1,"B":2}"#,
            r#"{"a":2,"_cdc_op":1}"#,
        ] {
            push(&mut rows, bad).unwrap_err();
        }
        push(&mut rows, r#"{"a":3}"#).unwrap();
        let (batch, unsent) = rows.finish().unwrap();
        assert_eq!(batch.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[1, 3]);
        assert_eq!(unsent, [None]);
    }

    #[test]
    fn null_absent_and_unavailable_stay_apart() {
        let mut rows = Rows::default();
        for row in [
            r#"{"a":"x","b":null}"#,
            r#"{"b":"y"}"#,
            r#"{"b":"__debezium_unavailable_value","a":null}"#,
            r#"{"a":"z","c":1}"#,
        ] {
            push(&mut rows, row).unwrap();
        }
        let (batch, unsent) = rows.finish().unwrap();
        let nulls = |i: usize| {
            batch.column(i).nulls().map(|n| (0..4).filter(|r| n.is_null(*r)).collect::<Vec<_>>()).unwrap_or_default()
        };
        let missing = |i: usize| {
            unsent[i].as_ref().map(|m: &BooleanBuffer| m.set_indices().collect::<Vec<_>>()).unwrap_or_default()
        };
        assert_eq!((nulls(0), missing(0)), (vec![1, 2], vec![1]));
        assert_eq!((nulls(1), missing(1)), (vec![0, 2, 3], vec![2, 3]));
        assert_eq!((nulls(2), missing(2)), (vec![0, 1, 2], vec![0, 1, 2]));
    }

    #[test]
    fn types_last_beyond_a_batch_and_keys_keep_theirs() {
        let mut rows = Rows::default();
        push(&mut rows, r#"{"id":1,"x":1.5}"#).unwrap();
        rows.set_keys(&["id".to_owned()]);
        rows.finish().unwrap();
        push(&mut rows, r#"{"id":2,"x":1}"#).unwrap();
        let error = push(&mut rows, r#"{"id":"2","x":1}"#).unwrap_err();
        assert!(error.can_go_on() && error.to_string().contains("`id`"), "{error}");
        let (batch, _) = rows.finish().unwrap();
        assert_eq!(batch.schema().field(1).data_type(), &DataType::Float64);
        assert_eq!(batch.num_rows(), 1);
    }

    #[test]
    fn a_stored_table_seeds_the_types() {
        let fields = [
            ("_hoodie_record_key", DataType::Utf8),
            ("id", DataType::Int64),
            ("a_b", DataType::Utf8),
            ("n", DataType::Int32),
            ("d", DataType::Date32),
        ];
        let schema = Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
        let mut rows = Rows::from_stored(&schema).unwrap();
        push(&mut rows, r#"{"id":1,"a-b":5,"d":null}"#).unwrap();
        push(&mut rows, r#"{"id":1,"a-b":true,"n":7}"#).unwrap();
        push(&mut rows, r#"{"id":1,"n":1.5}"#).unwrap_err();
        assert!(push(&mut rows, r#"{"id":1,"d":5}"#).unwrap_err().to_string().contains("declare"));
        let (batch, _) = rows.finish().unwrap();
        let types: Vec<_> = batch.schema().fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(types, [DataType::Int64, DataType::Utf8, DataType::Int32, DataType::Date32]);
        assert_eq!(batch.column(1).as_string::<i32>().value(1), "true");
    }
}
