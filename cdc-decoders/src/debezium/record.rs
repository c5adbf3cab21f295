//! Avro records as images of rows and keys: their plan ([`RecordPlan`]), and how they go into the columns.
//!
//! A record's fields are its plan's. The columns of a topic are made from the plan of its rows, and read in its order; a record with
//! another plan (a message key's, say) is read by names. Not here: the columns themselves ([`super::rows`]).

use arrow::datatypes::DataType;

use super::image::{Held, RowImage, Take};
use super::plan::{FieldPlan, reserved};
use super::rows::{Rows, row_column};
use super::schema::avro_row_plan;
use super::unavailable::Forms;
use crate::avro::{Cursor, Scalar, ScalarStep, Schema, Shape, Step, TypeId, Wire};
use crate::error::{DecodeError, Part};
use crate::fault::{Fault, Scanned};

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

    /// The column's member, and its value in a record.
    fn find<'a>(&self, mut record: Cursor<'a>, column: &str) -> Scanned<Option<Found<'_, 'a>>> {
        let mut fields = self.fields.iter();
        for member in &self.members {
            let at = record;
            match member {
                Member::Aside(_, step) => drop(step.read(&mut record)?),
                Member::Column(member) => {
                    member.wire.skip(&mut record)?;
                    let field = fields.next().filter(|field| field.source_name == column || field.name == column);
                    if let Some(field) = field {
                        return Ok(Some(Found { field, member, at, raw: record.since(at.at()) }));
                    }
                }
            }
        }
        Ok(None)
    }
}

struct Found<'p, 'a> {
    field: &'p FieldPlan,
    member: &'p ColumnMember,
    /// Before the value.
    at: Cursor<'a>,
    raw: &'a [u8],
}

/// Whose plan a record is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of the rows, from which the columns were made.
    Rows,
    /// Another: columns are found by name.
    Another,
}

/// A record in a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// The record alone.
    pub(crate) body: Cursor<'a>,
    pub(crate) plan: &'a RecordPlan,
    pub(crate) whose: Whose,
}

impl RowImage for Record<'_> {
    fn raw(&self) -> &[u8] {
        self.body.rest()
    }

    fn memory_bytes(&self) -> usize {
        self.body.rest().len() + self.plan.row_bytes
    }

    fn read(&self, rows: &mut Rows, take: Take<'_>) -> Result<(), DecodeError> {
        rows.read_record(&mut self.body.clone(), self.plan, self.whose, take, |_, _, _| ())
    }

    fn held(&self, column: &str) -> Scanned<Option<Held<'_>>> {
        let Some(Found { member, raw, .. }) = self.plan.find(self.body, column)? else { return Ok(None) };
        Ok(Some(Held { raw, is_a_default: member.step.is_null_or_zero(raw) }))
    }

    fn read_column(&self, column: &str, rows: &mut Rows, take: Take<'_>) -> Result<bool, DecodeError> {
        let found = self.plan.find(self.body, column).map_err(|fault| fault.in_part(take.part))?;
        let Some(mut found) = found else { return Ok(false) };
        let place = rows.place_of(found.field)?;
        rows.read_member(&mut found.at, found.member, place, take).map(|()| true)
    }
}

impl Rows {
    /// Reads a record into the open row; `aside` gets what is no column: its number, where it begins, its value.
    pub(crate) fn read_record<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        plan: &RecordPlan,
        whose: Whose,
        take: Take<'_>,
        mut aside: impl FnMut(u8, usize, Scalar<'a>),
    ) -> Result<(), DecodeError> {
        let mut next = 0;
        let whole = whose == Whose::Rows && self.images.begin_whole(plan.fields.len());
        for member in &plan.members {
            match member {
                Member::Column(member) => {
                    match whose {
                        Whose::Rows if whole => self.read_new(cursor, member, next, take)?,
                        Whose::Rows => self.read_member(cursor, member, next, take)?,
                        Whose::Another => {
                            let place = self.place_of(&plan.fields[next])?;
                            self.read_member(cursor, member, place, take)?;
                        }
                    }
                    next += 1;
                }
                Member::Aside(number, step) => {
                    let from = cursor.at();
                    aside(*number, from, step.read(cursor).map_err(|fault| fault.in_part(take.part))?);
                }
            }
        }
        Ok(())
    }

    fn read_member(
        &mut self,
        cursor: &mut Cursor<'_>,
        member: &ColumnMember,
        place: usize,
        take: Take<'_>,
    ) -> Result<(), DecodeError> {
        if self.images.is_read(place) {
            let skipped = match take.first_wins {
                true => member.wire.skip(cursor),
                false => Err(cursor.syntax("a column that comes twice")),
            };
            return skipped.map_err(|fault| fault.in_part(take.part));
        }
        self.images.begin_part();
        self.read_new(cursor, member, place, take)
    }

    /// Reads a member into a column that has no value of the open row.
    #[inline]
    fn read_new(
        &mut self,
        cursor: &mut Cursor<'_>,
        member: &ColumnMember,
        place: usize,
        take: Take<'_>,
    ) -> Result<(), DecodeError> {
        let from = cursor.at();
        match self.avro.read(cursor, &member.step, &mut self.images.column_of_begun(place).column) {
            Ok(()) => {
                if member.unavailable.have(cursor.since(from)) {
                    self.images.looks_unsent(place);
                }
                Ok(())
            }
            Err(fault) => {
                cursor.back_to(from);
                self.placeholder_of(cursor, member, place).ok_or_else(|| self.fault_in(fault, place, take.part))
            }
        }
    }

    #[cold]
    fn fault_in(&self, fault: Fault, place: usize, part: Part) -> DecodeError {
        fault.in_column(part, &self.images.columns()[place].source_name)
    }

    /// What is no value of its column may still be the placeholder.
    #[cold]
    fn placeholder_of(&mut self, cursor: &mut Cursor<'_>, member: &ColumnMember, place: usize) -> Option<()> {
        let from = cursor.at();
        member.wire.skip(cursor).ok()?;
        if !member.unavailable.have(cursor.since(from)) {
            return None;
        }
        self.images.must_be_unsent(place);
        Some(())
    }

    /// The column of a field; a new one where there is none of its name.
    fn place_of(&mut self, field: &FieldPlan) -> Result<usize, DecodeError> {
        let refused = |reason: String| DecodeError::Value { column: field.source_name.clone(), reason };
        if let Some(place) = self.images.place(&field.source_name) {
            let (held, wanted) = (self.images.column(place).column.data_type(), field.reading.data_type());
            return match held == wanted || widens(&wanted, &held) {
                true => Ok(place),
                false => Err(refused(format!("the row holds {held}, the key {wanted}"))),
            };
        }
        if let Some(why) = reserved(&field.name) {
            return Err(refused(why.to_owned()));
        }
        if self.images.columns().iter().any(|column| column.name.eq_ignore_ascii_case(&field.name)) {
            let why = "another column's name is the same, but for case or letters that no table can have";
            return Err(refused(why.to_owned()));
        }
        Ok(self.images.add_late(row_column(field)?))
    }
}

/// Whether every value of one type is one of the other: a key's schema may be older than its row's.
const fn widens(from: &DataType, to: &DataType) -> bool {
    matches!((from, to), (DataType::Int32, DataType::Int64) | (DataType::Float32, DataType::Float64))
}
