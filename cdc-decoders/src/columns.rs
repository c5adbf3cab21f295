//! Columns that grow value by value and can take rows back: what every decoder fills.
//!
//! Arrow's own builders cannot be cut; a message that turns out to be bad half-way must leave no trace. Not here: what a value on
//! the wire means, and which columns there are.

use std::str::Utf8Error;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray, NullArray,
    NullBufferBuilder, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Fields, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;

/// The type of all timestamps: microseconds, UTC.
#[must_use]
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of a list; its elements may be null.
#[must_use]
pub fn list_type(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

/// The type of a map from text; its values may be null.
#[must_use]
pub fn map_type(value: DataType) -> DataType {
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(map_fields(value)), false)), false)
}

fn map_fields(value: DataType) -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)])
}

/// A column of one type, as far as it has grown.
#[derive(Debug)]
pub enum Column {
    /// Only nulls so far: so many.
    Null(usize),
    /// `Boolean`.
    Boolean(Booleans),
    /// `Int32`.
    Int32(Numbers<Int32Type>),
    /// `Int64`.
    Int64(Numbers<Int64Type>),
    /// `Float32`.
    Float32(Numbers<Float32Type>),
    /// `Float64`.
    Float64(Numbers<Float64Type>),
    /// `Date32`.
    Date(Numbers<Date32Type>),
    /// [`timestamp_type`].
    Timestamp(Numbers<TimestampMicrosecondType>),
    /// `Decimal128` of this precision and scale.
    Decimal(Numbers<Decimal128Type>, u8, i8),
    /// `Utf8`.
    Text(Texts),
    /// `Binary`.
    Binary(Binaries),
    /// [`list_type`].
    List(Box<Lists>),
    /// [`map_type`].
    Map(Box<Maps>),
    /// `Struct`.
    Struct(Structs),
}

impl Column {
    /// An empty column; `None` for a type that no decoder gives.
    #[must_use]
    pub fn new(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Null => Self::Null(0),
            DataType::Boolean => Self::Boolean(Booleans::default()),
            DataType::Int32 => Self::Int32(Numbers::default()),
            DataType::Int64 => Self::Int64(Numbers::default()),
            DataType::Float32 => Self::Float32(Numbers::default()),
            DataType::Float64 => Self::Float64(Numbers::default()),
            DataType::Date32 => Self::Date(Numbers::default()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
                Self::Timestamp(Numbers::default())
            }
            DataType::Decimal128(precision, scale) => Self::Decimal(Numbers::default(), *precision, *scale),
            DataType::Utf8 => Self::Text(Texts::default()),
            DataType::Binary => Self::Binary(Binaries::default()),
            DataType::List(element) => Self::List(Box::new(Lists {
                valid: NullBufferBuilder::new(0),
                offsets: vec![0],
                child: Self::new(element.data_type())?,
            })),
            DataType::Map(entries, _) => Self::map(entries)?,
            DataType::Struct(fields) => Self::Struct(Structs {
                valid: NullBufferBuilder::new(0),
                children: fields.iter().map(|f| Self::new(f.data_type())).collect::<Option<_>>()?,
                fields: fields.clone(),
            }),
            _ => return None,
        })
    }

    fn map(entries: &Field) -> Option<Self> {
        let DataType::Struct(fields) = entries.data_type() else { return None };
        let [_, value] = &**fields else { return None };
        Some(Self::Map(Box::new(Maps {
            valid: NullBufferBuilder::new(0),
            offsets: vec![0],
            keys: Texts::default(),
            values: Self::new(value.data_type())?,
        })))
    }

    /// Rows so far.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Null(rows) => *rows,
            Self::Boolean(c) => c.valid.len(),
            Self::Int32(c) => c.values.len(),
            Self::Int64(c) => c.values.len(),
            Self::Float32(c) => c.values.len(),
            Self::Float64(c) => c.values.len(),
            Self::Date(c) => c.values.len(),
            Self::Timestamp(c) => c.values.len(),
            Self::Decimal(c, ..) => c.values.len(),
            Self::Text(c) => c.offsets.len() - 1,
            Self::Binary(c) => c.offsets.len() - 1,
            Self::List(c) => c.offsets.len() - 1,
            Self::Map(c) => c.offsets.len() - 1,
            Self::Struct(c) => c.valid.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        match self {
            Self::Null(rows) => *rows += 1,
            Self::Boolean(c) => c.push(None),
            Self::Int32(c) => c.push_null(),
            Self::Int64(c) => c.push_null(),
            Self::Float32(c) => c.push_null(),
            Self::Float64(c) => c.push_null(),
            Self::Date(c) => c.push_null(),
            Self::Timestamp(c) => c.push_null(),
            Self::Decimal(c, ..) => c.push_null(),
            Self::Text(c) => c.push_null(),
            Self::Binary(c) => c.push_null(),
            Self::List(c) => c.push_null(),
            Self::Map(c) => c.push_null(),
            Self::Struct(c) => c.push_null(),
        }
    }

    /// Takes back all rows from `rows` on, and whatever an unfinished row left.
    pub fn truncate(&mut self, rows: usize) {
        match self {
            Self::Null(all) => *all = (*all).min(rows),
            Self::Boolean(c) => {
                c.values.truncate(rows);
                c.valid.truncate(rows);
            }
            Self::Int32(c) => c.truncate(rows),
            Self::Int64(c) => c.truncate(rows),
            Self::Float32(c) => c.truncate(rows),
            Self::Float64(c) => c.truncate(rows),
            Self::Date(c) => c.truncate(rows),
            Self::Timestamp(c) => c.truncate(rows),
            Self::Decimal(c, ..) => c.truncate(rows),
            Self::Text(c) => c.truncate(rows),
            Self::Binary(c) => c.truncate(rows),
            Self::List(c) => c.truncate(rows),
            Self::Map(c) => c.truncate(rows),
            Self::Struct(c) => c.truncate(rows),
        }
    }

    /// The column's type.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Null(_) => DataType::Null,
            Self::Boolean(_) => DataType::Boolean,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
            Self::Date(_) => DataType::Date32,
            Self::Timestamp(_) => timestamp_type(),
            Self::Decimal(_, precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::Text(_) => DataType::Utf8,
            Self::Binary(_) => DataType::Binary,
            Self::List(c) => list_type(c.child.data_type()),
            Self::Map(c) => map_type(c.values.data_type()),
            Self::Struct(c) => DataType::Struct(c.fields.clone()),
        }
    }

    /// The rows as an array; the column is empty afterwards, and ready for as many.
    ///
    /// # Errors
    /// Where the parts do not make an array: an offset beyond what an array can hold, or a decoder that closed no row.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Null(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Self::Boolean(c) => Arc::new(BooleanArray::new(c.values.finish(), c.valid.finish())),
            Self::Int32(c) => Arc::new(c.finish()?),
            Self::Int64(c) => Arc::new(c.finish()?),
            Self::Float32(c) => Arc::new(c.finish()?),
            Self::Float64(c) => Arc::new(c.finish()?),
            Self::Date(c) => Arc::new(c.finish()?),
            Self::Timestamp(c) => Arc::new(c.finish()?.with_timezone("UTC")),
            Self::Decimal(c, precision, scale) => Arc::new(c.finish()?.with_precision_and_scale(*precision, *scale)?),
            Self::Text(c) => Arc::new(c.finish()?),
            Self::Binary(c) => Arc::new(c.finish()?),
            Self::List(c) => Arc::new(c.finish()?),
            Self::Map(c) => Arc::new(c.finish()?),
            Self::Struct(c) => Arc::new(c.finish()?),
        })
    }
}

/// A growing `BooleanArray`.
#[derive(Debug)]
pub struct Booleans {
    values: BooleanBufferBuilder,
    valid: NullBufferBuilder,
}

impl Default for Booleans {
    fn default() -> Self {
        Self { values: BooleanBufferBuilder::new(0), valid: NullBufferBuilder::new(0) }
    }
}

impl Booleans {
    /// Appends a value or a null.
    pub fn push(&mut self, value: Option<bool>) {
        self.values.append(value.unwrap_or(false));
        self.valid.append(value.is_some());
    }

    /// The value of a row; `None` where it is null.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<bool> {
        self.valid.is_valid(row).then(|| self.values.get_bit(row))
    }
}

/// A growing `PrimitiveArray`.
#[derive(Debug)]
pub struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    valid: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: Vec::new(), valid: NullBufferBuilder::new(0) }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// Appends a value.
    #[inline]
    pub fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.valid.append_non_null();
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.valid.append_null();
    }

    /// Rows so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of a row; `None` where it is null.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<T::Native> {
        self.valid.is_valid(row).then(|| self.values[row])
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    fn finish(&mut self) -> Result<PrimitiveArray<T>, ArrowError> {
        let values = take_as_large(&mut self.values);
        PrimitiveArray::try_new(ScalarBuffer::from(values), self.valid.finish())
    }
}

/// Takes a vector and leaves one with room for as many.
fn take_as_large<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}

fn next_offset(length: usize) -> i32 {
    // A decoder flushes long before; an offset that went too far is caught by `OffsetsInOrder`.
    i32::try_from(length).unwrap_or(i32::MIN)
}

fn take_offsets(offsets: &mut Vec<i32>) -> Result<OffsetBuffer<i32>, ArrowError> {
    let taken = take_as_large(offsets);
    offsets.push(0);
    if taken.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(ArrowError::OffsetOverflowError(taken.len()));
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(taken)))
}

/// A growing `StringArray`.
#[derive(Debug)]
pub struct Texts {
    /// UTF-8.
    data: Vec<u8>,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
    /// What was appended since the last value.
    open: String,
}

impl Default for Texts {
    fn default() -> Self {
        Self { data: Vec::new(), offsets: vec![0], valid: NullBufferBuilder::new(0), open: String::new() }
    }
}

impl Texts {
    /// Appends a value.
    #[inline]
    pub fn push(&mut self, text: &str) {
        self.data.extend_from_slice(text.as_bytes());
        self.end();
    }

    /// Appends a value of bytes.
    ///
    /// # Errors
    /// Where they are not UTF-8; nothing is appended then.
    #[inline]
    pub fn push_utf8(&mut self, bytes: &[u8]) -> Result<(), Utf8Error> {
        // Most texts are ASCII, which is told faster.
        if !bytes.is_ascii() {
            std::str::from_utf8(bytes)?;
        }
        self.data.extend_from_slice(bytes);
        self.end();
        Ok(())
    }

    /// Where the next value's text is appended before it is [closed](Self::close).
    pub fn open(&mut self) -> &mut String {
        &mut self.open
    }

    /// Makes what was appended since the last value one value.
    #[inline]
    pub fn close(&mut self) {
        self.data.extend_from_slice(self.open.as_bytes());
        self.open.clear();
        self.end();
    }

    #[inline]
    fn end(&mut self) {
        self.offsets.push(next_offset(self.data.len()));
        self.valid.append_non_null();
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        self.offsets.push(next_offset(self.data.len()));
        self.valid.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.open.clear();
        self.offsets.truncate(rows + 1);
        self.valid.truncate(rows);
        let end = self.offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        self.data.truncate(end);
    }

    fn finish(&mut self) -> Result<StringArray, ArrowError> {
        self.open.clear();
        let data = take_as_large(&mut self.data);
        StringArray::try_new(take_offsets(&mut self.offsets)?, Buffer::from_vec(data), self.valid.finish())
    }
}

/// A growing `BinaryArray`.
#[derive(Debug)]
pub struct Binaries {
    data: Vec<u8>,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Default for Binaries {
    fn default() -> Self {
        Self { data: Vec::new(), offsets: vec![0], valid: NullBufferBuilder::new(0) }
    }
}

impl Binaries {
    /// Where the next value's bytes are appended before it is [closed](Self::close).
    pub fn open(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Makes what was appended since the last value one value.
    pub fn close(&mut self) {
        self.offsets.push(next_offset(self.data.len()));
        self.valid.append_non_null();
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        self.offsets.push(next_offset(self.data.len()));
        self.valid.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.valid.truncate(rows);
        let end = self.offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        self.data.truncate(end);
    }

    fn finish(&mut self) -> Result<BinaryArray, ArrowError> {
        let data = take_as_large(&mut self.data);
        BinaryArray::try_new(take_offsets(&mut self.offsets)?, Buffer::from_vec(data), self.valid.finish())
    }
}

/// A growing `ListArray`.
#[derive(Debug)]
pub struct Lists {
    valid: NullBufferBuilder,
    offsets: Vec<i32>,
    child: Column,
}

impl Lists {
    /// Where the next list's elements are appended before it is [closed](Self::close).
    pub fn open(&mut self) -> &mut Column {
        &mut self.child
    }

    /// Makes the elements appended since the last list one list.
    pub fn close(&mut self) {
        self.offsets.push(next_offset(self.child.len()));
        self.valid.append_non_null();
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        self.offsets.push(next_offset(self.child.len()));
        self.valid.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.valid.truncate(rows);
        let end = self.offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        self.child.truncate(end);
    }

    fn finish(&mut self) -> Result<ListArray, ArrowError> {
        let DataType::List(field) = list_type(self.child.data_type()) else {
            return Err(ArrowError::SchemaError("a list without element".to_owned()));
        };
        let values = self.child.finish()?;
        ListArray::try_new(field, take_offsets(&mut self.offsets)?, values, self.valid.finish())
    }
}

/// A growing `MapArray` with keys of text.
#[derive(Debug)]
pub struct Maps {
    valid: NullBufferBuilder,
    offsets: Vec<i32>,
    keys: Texts,
    values: Column,
}

impl Maps {
    /// Where the next map's keys and values are appended, one each, before it is [closed](Self::close).
    pub fn open(&mut self) -> (&mut Texts, &mut Column) {
        (&mut self.keys, &mut self.values)
    }

    /// Makes the entries appended since the last map one map.
    pub fn close(&mut self) {
        self.offsets.push(next_offset(self.values.len()));
        self.valid.append_non_null();
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        self.offsets.push(next_offset(self.values.len()));
        self.valid.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.valid.truncate(rows);
        let end = self.offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        self.keys.truncate(end);
        self.values.truncate(end);
    }

    fn finish(&mut self) -> Result<MapArray, ArrowError> {
        let DataType::Map(entries, _) = map_type(self.values.data_type()) else {
            return Err(ArrowError::SchemaError("a map without entries".to_owned()));
        };
        let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()?), self.values.finish()?];
        let fields = map_fields(columns[1].data_type().clone());
        let both = StructArray::try_new(fields, columns, None)?;
        MapArray::try_new(entries, take_offsets(&mut self.offsets)?, both, self.valid.finish(), false)
    }
}

/// A growing `StructArray`.
#[derive(Debug)]
pub struct Structs {
    valid: NullBufferBuilder,
    fields: Fields,
    children: Vec<Column>,
}

impl Structs {
    /// The members, each to get one value before the struct is [closed](Self::close).
    pub fn open(&mut self) -> &mut [Column] {
        &mut self.children
    }

    /// Rows so far, without the open one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the members' last values one value; members that got none are null.
    pub fn close(&mut self) {
        self.valid.append_non_null();
        self.fill();
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        self.valid.append_null();
        self.fill();
    }

    fn fill(&mut self) {
        let rows = self.valid.len();
        for child in self.children.iter_mut().filter(|child| child.len() < rows) {
            child.push_null();
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.valid.truncate(rows);
        self.children.iter_mut().for_each(|child| child.truncate(rows));
    }

    fn finish(&mut self) -> Result<StructArray, ArrowError> {
        let rows = self.valid.len();
        let nulls: Option<NullBuffer> = self.valid.finish();
        let children = self.children.iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        StructArray::try_new_with_length(self.fields.clone(), children, nulls, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;

    fn nested() -> DataType {
        let inner = Fields::from(vec![
            Field::new("x", DataType::Float64, true),
            Field::new("m", map_type(DataType::Binary), true),
        ]);
        list_type(DataType::Struct(inner))
    }

    /// Appends one list of `n` structs, the last of them left open if `open`.
    fn push(column: &mut Column, n: usize, open: bool) {
        let Column::List(list) = column else { panic!("no list") };
        for i in 0..n {
            let Column::Struct(item) = list.open() else { panic!("no struct") };
            if let [Column::Float64(x), Column::Map(map)] = item.open() {
                x.push(1.5);
                let (keys, values) = map.open();
                keys.push("k");
                if open && i + 1 == n {
                    return;
                }
                values.push_null();
                map.close();
            }
            item.close();
        }
        list.close();
    }

    #[test]
    fn an_unfinished_row_is_taken_back_at_every_depth() {
        let mut column = Column::new(&nested()).unwrap();
        push(&mut column, 2, false);
        column.push_null();
        push(&mut column, 3, true);
        column.truncate(2);
        push(&mut column, 1, false);
        assert_eq!(column.len(), 3);
        let array = column.finish().unwrap();
        assert_eq!((array.len(), array.null_count(), array.data_type()), (3, 1, &nested()));

        let mut expected = Column::new(&nested()).unwrap();
        push(&mut expected, 2, false);
        expected.push_null();
        push(&mut expected, 1, false);
        assert_eq!(&array, &expected.finish().unwrap());
        assert!(column.is_empty() && column.finish().unwrap().is_empty());
    }

    #[test]
    fn texts_are_utf8_and_what_is_left_open_is_gone() {
        let mut column = Column::new(&DataType::Utf8).unwrap();
        let Column::Text(texts) = &mut column else { panic!("no texts") };
        assert!(texts.push_utf8(b"a\xff").is_err() && texts.push_utf8("é".as_bytes()).is_ok());
        texts.open().push_str("left");
        column.truncate(1);
        let Column::Text(texts) = &mut column else { panic!("no texts") };
        texts.open().push_str("cl");
        texts.open().push_str("osed");
        texts.close();
        texts.push_utf8(b"").unwrap();
        texts.push("z");
        let array = column.finish().unwrap();
        assert_eq!(&array, &(Arc::new(StringArray::from(vec!["é", "closed", "", "z"])) as ArrayRef));
    }

    #[test]
    fn every_type_is_cut_and_finished() {
        for data_type in [
            DataType::Null,
            DataType::Boolean,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Date32,
            timestamp_type(),
            DataType::Decimal128(7, 2),
            DataType::Utf8,
            DataType::Binary,
            nested(),
            map_type(DataType::Int64),
        ] {
            let mut column = Column::new(&data_type).unwrap();
            (0..5).for_each(|_| column.push_null());
            column.truncate(3);
            assert_eq!(column.data_type(), data_type);
            let array = column.finish().unwrap();
            assert_eq!((array.len(), array.data_type()), (3, &data_type));
        }
        assert!(Column::new(&DataType::LargeUtf8).is_none());
    }
}
