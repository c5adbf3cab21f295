//! The columns of a topic's row images, read from Avro records ([`crate::images`] has what does not depend on the syntax).
//!
//! A record's fields are its plan's: the columns are made from the plan of the rows, and read in its order. A record with another
//! plan (a message key's, say) is read by names. Not here: which image of a message is read, and what happened to the row.

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::plan::{FieldPlan, Reading, column_name};
use super::schema::avro_row_plan;
use super::unavailable::{Forms, Unavailable};
use super::value;
use crate::avro::{Cursor, Scalar, ScalarStep, Schema, Shape, Step, TypeId, Values, Wire};
use crate::error::{DecodeError, Part};
use crate::fault::{Fault, Scanned};
use crate::images::{Absent, ImageColumn, Images};
use crate::scan::Scan;

/// How the records of a type are read.
#[derive(Debug)]
pub(crate) struct RecordPlan {
    members: Vec<Member>,
    /// The columns, in the record's order, without what is [aside](Self::new).
    fields: Vec<FieldPlan>,
    /// What a row takes in memory beside its texts, about.
    row_bytes: usize,
}

#[derive(Debug)]
enum Member {
    Column(ColumnMember),
    /// It is no column, but wanted under this number.
    Aside(u8, ScalarStep),
}

#[derive(Debug)]
struct ColumnMember {
    step: Step,
    /// To pass over it.
    wire: Wire,
    /// The forms of the placeholder.
    unavailable: Forms,
}

impl RecordPlan {
    /// The plan of a record type. `aside` gives the numbers of fields that are no columns; `placeholder` is the connector's.
    pub(crate) fn new(
        schema: &Schema,
        record: TypeId,
        placeholder: &str,
        aside: impl Fn(&str) -> Option<u8>,
    ) -> Result<Self, DecodeError> {
        let (mut members, mut fields) = (Vec::new(), Vec::new());
        let Shape::Record(declared) = &schema.get(record).shape else {
            return Err(DecodeError::schema("(row)", "want a record"));
        };
        for (field, plan) in declared.iter().zip(avro_row_plan(schema, record)?) {
            if let Some(number) = aside(&field.name) {
                members.push(Member::Aside(number, ScalarStep::new(schema, field.kind)?));
                continue;
            }
            let step = Step::new(schema, field.kind, &plan.reading, &field.name)?;
            let unavailable = Forms::in_avro(placeholder, &step);
            members.push(Member::Column(ColumnMember { step, wire: Wire::of(schema, field.kind)?, unavailable }));
            fields.push(plan);
        }
        let row_bytes = fields.iter().map(|field| field.reading.data_type().primitive_width().unwrap_or(4)).sum();
        Ok(Self { members, fields, row_bytes })
    }

    /// The columns.
    pub(crate) fn fields(&self) -> &[FieldPlan] {
        &self.fields
    }

    /// What a row takes in memory beside its texts, about.
    pub(crate) const fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// The value of a column in a record, as it stands there.
    pub(crate) fn value<'a>(&'a self, mut record: Cursor<'a>, column: &str) -> Scanned<Option<Held<'a>>> {
        let mut fields = self.fields.iter();
        for member in &self.members {
            let from = record.at();
            match member {
                Member::Aside(_, step) => drop(step.read(&mut record)?),
                Member::Column(member) => {
                    member.wire.skip(&mut record)?;
                    if fields.next().is_some_and(|field| field.source_name == column || field.name == column) {
                        return Ok(Some(Held { raw: record.since(from), step: &member.step }));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// A value in a record, as it stands there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    pub(crate) raw: &'a [u8],
    step: &'a Step,
}

impl Held<'_> {
    /// Whether it is what PostgreSQL puts for a column that it knows nothing of.
    pub(crate) fn is_a_default(self) -> bool {
        self.step.is_null_or_zero(self.raw)
    }
}

/// Whose plan a record is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of the rows, from which the columns were made.
    Rows,
    /// Another: columns are found by name.
    Another,
}

/// What an open row gets from a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Take {
    pub(crate) part: Part,
    pub(crate) whose: Whose,
    /// What was read before stays; else a column that comes twice is an error.
    pub(crate) first_wins: bool,
}

/// The columns, the rows in them, and what a message did to them so far.
#[derive(Debug, Default)]
pub(crate) struct AvroRows {
    images: Images<Reading>,
    values: Values,
    /// For keys that are JSON.
    json: value::Values,
}

impl AvroRows {
    /// Empty columns of a plan.
    pub(crate) fn from_plan(plan: &RecordPlan) -> Result<Self, DecodeError> {
        let mut rows = Self::default();
        for field in &plan.fields {
            rows.images.add(ImageColumn::new(field, field.reading.clone())?);
        }
        Ok(rows)
    }

    /// Closed rows.
    pub(crate) const fn len(&self) -> usize {
        self.images.len()
    }

    /// How many dates and timestamps were moved to the ends.
    pub(crate) const fn clamped(&self) -> u64 {
        self.values.ends.clamped() + self.json.ends.clamped()
    }

    /// Says which columns are the key.
    pub(crate) fn set_keys(&mut self, names: &[String]) {
        self.images.set_keys(names);
    }

    /// From here on [`Self::roll_back`] takes everything back.
    pub(crate) fn begin(&mut self) {
        self.images.begin();
        self.values.ends.begin();
        self.json.ends.begin();
    }

    /// As it was at [`Self::begin`].
    pub(crate) fn roll_back(&mut self) {
        self.images.roll_back();
        self.values.ends.roll_back();
        self.json.ends.roll_back();
    }

    /// Takes back what was read of the open row.
    pub(crate) fn clear_open(&mut self) {
        self.images.clear_open();
    }

    /// Whether the open row has no value of a key column.
    pub(crate) fn lacks_a_key(&self) -> bool {
        self.images.lacks_a_key()
    }

    /// Reads a record into the open row; `aside` gets what is no column.
    pub(crate) fn read<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        plan: &RecordPlan,
        take: Take,
        mut aside: impl FnMut(u8, Scalar<'a>),
    ) -> Result<(), DecodeError> {
        let mut next = 0;
        for member in &plan.members {
            match member {
                Member::Column(member) => {
                    let place = match take.whose {
                        Whose::Rows => next,
                        Whose::Another => self.place(&plan.fields[next])?,
                    };
                    self.column(cursor, member, place, take)?;
                    next += 1;
                }
                Member::Aside(number, step) => {
                    aside(*number, step.read(cursor).map_err(|fault| fault.in_part(take.part))?);
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn column(
        &mut self,
        cursor: &mut Cursor<'_>,
        member: &ColumnMember,
        place: usize,
        take: Take,
    ) -> Result<(), DecodeError> {
        if self.images.is_read(place) {
            let skipped = match take.first_wins {
                true => member.wire.skip(cursor),
                false => Err(cursor.syntax("a column that comes twice")),
            };
            return skipped.map_err(|fault| fault.in_part(take.part));
        }
        let from = cursor.at();
        match self.values.read(cursor, &member.step, &mut self.images.column(place).column) {
            Ok(()) => {
                if member.unavailable.have(cursor.since(from)) {
                    self.images.looks_unsent(place);
                }
                Ok(())
            }
            Err(fault) => {
                self.placeholder(cursor, from, member, place).ok_or_else(|| self.fault(fault, place, take.part))
            }
        }
    }

    #[cold]
    fn fault(&self, fault: Fault, place: usize, part: Part) -> DecodeError {
        fault.in_column(part, &self.images.columns()[place].source_name)
    }

    /// What is no value of its column may still be the placeholder.
    #[cold]
    fn placeholder(&mut self, cursor: &mut Cursor<'_>, from: usize, member: &ColumnMember, place: usize) -> Option<()> {
        cursor.back_to(from);
        member.wire.skip(cursor).ok()?;
        if !member.unavailable.have(cursor.since(from)) {
            return None;
        }
        self.images.must_be_unsent(place);
        Some(())
    }

    /// The column of a field; a new one where there is none of its name.
    fn place(&mut self, field: &FieldPlan) -> Result<usize, DecodeError> {
        if let Some(place) = self.images.place(&field.source_name) {
            let held = self.images.column(place).column.data_type();
            let wanted = field.reading.data_type();
            return if held == wanted || widens(&wanted, &held) {
                Ok(place)
            } else {
                let reason = format!("the row holds {held}, the key {wanted}");
                Err(DecodeError::Value { column: field.source_name.clone(), reason })
            };
        }
        self.check_new(field)?;
        Ok(self.images.add_late(ImageColumn::new(field, field.reading.clone())?))
    }

    fn check_new(&self, field: &FieldPlan) -> Result<(), DecodeError> {
        let same = |column: &ImageColumn<Reading>| column.name.eq_ignore_ascii_case(&field.name);
        let why = if self.images.columns().iter().any(same) {
            "another column's name is the same, but for case or letters that no table can have"
        } else if let Some(why) = super::plan::reserved(&field.name) {
            why
        } else {
            return Ok(());
        };
        Err(DecodeError::Value { column: field.source_name.clone(), reason: why.to_owned() })
    }

    /// Reads a key that is a JSON object into the open row. What was read before stays.
    pub(crate) fn read_json(&mut self, scan: &mut Scan<'_>, unavailable: &Unavailable) -> Result<(), DecodeError> {
        let in_key = |fault: Fault| fault.in_part(Part::Key);
        scan.expect(b'{', "want an object as the key").map_err(in_key)?;
        let mut first = true;
        while scan.member(first).map_err(in_key)? {
            first = false;
            let name = scan.key().and_then(|name| name.to_text()).map_err(in_key)?;
            self.read_json_value(scan, &name, unavailable)?;
        }
        Ok(())
    }

    fn read_json_value(
        &mut self,
        scan: &mut Scan<'_>,
        name: &str,
        unavailable: &Unavailable,
    ) -> Result<(), DecodeError> {
        let legal = column_name(name);
        let known = self.images.columns().iter().position(|column| column.source_name == name || column.name == legal);
        let place = match known {
            Some(place) => place,
            None => self.place(&FieldPlan::new(name, Reading::Inferred))?,
        };
        if self.images.is_read(place) {
            return scan.skip().map_err(|fault| fault.in_part(Part::Key));
        }
        scan.peek();
        let from = scan.at();
        let column = self.images.column(place);
        let read = self.json.read(scan, &column.syntax, &mut column.column);
        read.map_err(|fault| fault.in_column(Part::Key, &column.source_name))?;
        if unavailable.is(scan.since(from)) {
            self.images.looks_unsent(place);
        }
        match self.json.replaced.take() {
            Some(before) => self.images.widened(place, before),
            None => Ok(()),
        }
    }

    /// Closes the open row. `absent` says what columns mean that it lacks; values that look like the placeholder were not
    /// sent, if `not_sent` says that it stands for that here.
    pub(crate) fn close(&mut self, absent: Absent, not_sent: bool) -> Result<(), DecodeError> {
        self.images.close(absent, not_sent)
    }

    /// The closed rows, and for each column the rows that did not send it; empty afterwards.
    pub(crate) fn finish(&mut self) -> Result<(RecordBatch, Vec<Option<BooleanBuffer>>), ArrowError> {
        self.images.finish()
    }
}

/// Whether every value of one type is one of the other: a key's schema may be older than its row's.
const fn widens(from: &DataType, to: &DataType) -> bool {
    matches!((from, to), (DataType::Int32, DataType::Int64) | (DataType::Float32, DataType::Float64))
}
