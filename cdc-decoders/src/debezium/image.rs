//! The image of a row, or of a key, as it stands in a message: what every syntax can do with one ([`RowImage`]).
//!
//! Not here: what a change does with its images ([`super::event`]).

use super::plan::column_name;
use super::rows::Rows;
use super::unavailable::Unavailable;
use crate::error::{DecodeError, Part};
use crate::fault::{Fault, Scanned};
use crate::scan::Scan;

/// How an image is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Take<'u> {
    pub(crate) part: Part,
    /// What was read before stays; else a column that comes twice is an error.
    pub(crate) first_wins: bool,
    pub(crate) unavailable: &'u Unavailable,
}

/// The value of a column, as it stands in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held<'a> {
    pub(crate) raw: &'a [u8],
    /// It is what PostgreSQL puts for a column that it knows nothing of.
    pub(crate) is_a_default: bool,
}

/// An image of a row or key in a message.
pub(crate) trait RowImage: Clone {
    /// As it stands in the message.
    fn raw(&self) -> &[u8];

    /// What its row takes in memory, about.
    fn memory_bytes(&self) -> usize;

    /// Reads it into the open row.
    fn read(&self, rows: &mut Rows, take: Take<'_>) -> Result<(), DecodeError>;

    /// The value of a column; `None` where it has no such column.
    fn held(&self, column: &str) -> Scanned<Option<Held<'_>>>;

    /// Reads one column into the open row, which has not read it; whether it is there.
    fn read_column(&self, column: &str, rows: &mut Rows, take: Take<'_>) -> Result<bool, DecodeError>;
}

/// A JSON object.
impl RowImage for Scan<'_> {
    fn raw(&self) -> &[u8] {
        self.rest().as_bytes()
    }

    fn memory_bytes(&self) -> usize {
        self.rest().len()
    }

    fn read(&self, rows: &mut Rows, take: Take<'_>) -> Result<(), DecodeError> {
        rows.read(&mut self.clone(), take.part, take.first_wins, take.unavailable)
    }

    fn held(&self, column: &str) -> Scanned<Option<Held<'_>>> {
        let is_a_default = |value: &str| matches!(value, "null" | "0" | "0.0" | "false" | "\"\"");
        let Some(Member { value, .. }) = member(self.clone(), column)? else { return Ok(None) };
        Ok(Some(Held { raw: value.as_bytes(), is_a_default: is_a_default(value) }))
    }

    fn read_column(&self, column: &str, rows: &mut Rows, take: Take<'_>) -> Result<bool, DecodeError> {
        let fault = |fault: Fault| fault.in_part(take.part);
        let Some(member) = member(self.clone(), column).map_err(fault)? else { return Ok(false) };
        let alone = format!("{{{}}}", member.whole);
        let mut scan = Scan::new(alone.as_bytes(), 0).map_err(fault)?;
        rows.read(&mut scan, take.part, take.first_wins, take.unavailable).map(|()| true)
    }
}

/// A member of an object, as it stands there.
#[derive(Debug, Clone, Copy)]
struct Member<'a> {
    /// Name and value.
    whole: &'a str,
    value: &'a str,
}

/// The member of a row's object that is a column.
fn member<'a>(mut object: Scan<'a>, column: &str) -> Scanned<Option<Member<'a>>> {
    object.expect(b'{', "want an object")?;
    let mut first = true;
    while object.member(first)? {
        first = false;
        let start = object.at();
        let name = object.key()?.to_text()?;
        object.peek();
        let from = object.at();
        object.skip()?;
        if *name == *column || column_name(&name) == column {
            return Ok(Some(Member { whole: object.since(start), value: object.since(from) }));
        }
    }
    Ok(None)
}
