//! Documents of MongoDB, which come as extended JSON in a text, to the JSON of a row: [`Documents`].
//!
//! Without declared schema a row is two texts: `id`, the key's extended JSON without white space, and `document` as it was sent. With one the
//! document's members are columns, and `_id` is the key: extended JSON's wrappers (`$numberLong`, `$date`, `$oid`, …) are taken off by the
//! type that is declared, and what stays is read as any row is. Not here: which of the texts a message has ([`super::mongo`]).

use super::plan::{FieldPlan, Reading, Unit};
use crate::error::{DecodeError, Part};
use crate::scan::{Fault, Scan, Scanned};
use crate::temporal::parse_timestamp;

/// The key column of documents that are one text.
const ID: &str = "id";
/// That of documents whose members are columns; so MongoDB calls it.
const OWN_ID: &str = "_id";
/// The column of the text.
const DOCUMENT: &str = "document";

const INSIDE: &str = "the update changes what is inside of it, and not all of it is sent: set the connector's \
                      capture.mode=change_streams_update_full";

/// How documents of a topic become rows.
#[derive(Debug)]
pub(crate) struct Documents {
    /// The columns, if they are declared.
    fields: Option<Vec<FieldPlan>>,
    text: String,
    row: String,
}

impl Documents {
    /// As declared, or as one text.
    pub(crate) fn new(declared: Option<&[FieldPlan]>) -> Self {
        let plan = |fields: &[FieldPlan]| {
            let mut plan: Vec<_> =
                fields.iter().map(|f| FieldPlan { reading: unwrapped(&f.reading), ..f.clone() }).collect();
            if !plan.iter().any(|field| field.source_name == OWN_ID) {
                plan.insert(0, FieldPlan::new(OWN_ID, Reading::Text));
            }
            plan
        };
        Self { fields: declared.map(plan), text: String::new(), row: String::new() }
    }

    /// The columns of a row.
    pub(crate) fn plan(&self) -> Vec<FieldPlan> {
        let texts = || [ID, DOCUMENT].map(|name| FieldPlan::new(name, Reading::Text)).to_vec();
        self.fields.clone().unwrap_or_else(texts)
    }

    /// The key column.
    pub(crate) const fn key_column(&self) -> &'static str {
        if self.fields.is_some() { OWN_ID } else { ID }
    }

    /// Begins a row with its key, from the message key.
    pub(crate) fn begin(&mut self, key: &Scan<'_>) -> Result<(), DecodeError> {
        let in_key = |fault: Fault| fault.in_part(Part::Key);
        let id = id_in(key).map_err(in_key)?;
        self.text.clear();
        id.clone().string().and_then(|id| id.unescape_into(&mut self.text)).map_err(in_key)?;
        let mut scan = document(&self.text).map_err(in_key)?;
        self.row.clear();
        self.row.push_str(if self.is_typed() { "{\"_id\":" } else { "{\"id\":" });
        let Self { fields, row, .. } = self;
        match reading(fields.as_deref(), OWN_ID) {
            Some(reading) => plain(&mut scan, reading, row).map_err(|fault| fault.in_column(Part::Key, OWN_ID)),
            None => compact(&mut scan, row).map_err(in_key),
        }
    }

    /// The row, whole.
    pub(crate) fn take_row(&mut self) -> String {
        self.row.push('}');
        std::mem::take(&mut self.row)
    }

    /// Takes the text back, for the next row's room.
    pub(crate) fn give_back(&mut self, row: String) {
        self.row = row;
    }

    /// Whether the members of a document are columns.
    pub(crate) const fn is_typed(&self) -> bool {
        self.fields.is_some()
    }

    /// Adds a document.
    pub(crate) fn add(&mut self, literal: &Scan<'_>) -> Result<(), DecodeError> {
        if self.fields.is_none() {
            self.unescape(literal)?;
            document(&self.text).and_then(|mut text| text.expect(b'{', "want a document")).map_err(in_value)?;
            self.row.push_str(",\"document\":");
            self.row.push_str(literal.rest());
            return Ok(());
        }
        self.add_members(literal, false)
    }

    /// Adds the members of a document, or of a part of one.
    fn add_members(&mut self, literal: &Scan<'_>, part: bool) -> Result<(), DecodeError> {
        self.unescape(literal)?;
        let text = std::mem::take(&mut self.text);
        let mut scan = document(&text).map_err(in_value)?;
        scan.expect(b'{', "want a document").map_err(in_value)?;
        let mut first = true;
        while scan.member(first).map_err(in_value)? {
            first = false;
            let from = scan.at();
            let name = scan.key().and_then(|name| name.to_text()).map_err(in_value)?;
            if *name == *OWN_ID {
                scan.skip().map_err(in_value)?;
                continue;
            }
            if part && name.contains('.') {
                return Err(inside(&name));
            }
            self.row.push(',');
            self.row.push_str(scan.since(from));
            let Self { fields, row, .. } = self;
            let reading = reading(fields.as_deref(), &name);
            plain(&mut scan, reading.unwrap_or(&Reading::Inferred), row)
                .map_err(|fault| fault.in_column(Part::Value, &name))?;
        }
        self.text = text;
        Ok(())
    }

    /// Adds what an update changed.
    pub(crate) fn add_update(&mut self, mut update: Scan<'_>) -> Result<(), DecodeError> {
        update.expect(b'{', "want an object as `updateDescription`").map_err(in_value)?;
        let mut first = true;
        while update.member(first).map_err(in_value)? {
            first = false;
            let name = update.key().map_err(in_value)?.raw;
            update.peek();
            let from = update.at();
            update.skip().map_err(in_value)?;
            let value = update.part(from, update.at());
            match (name, value.rest()) {
                (_, "null") => {}
                ("updatedFields", _) => self.add_members(&value, true)?,
                ("removedFields", _) => self.remove(value)?,
                ("truncatedArrays", "[]") => {}
                ("truncatedArrays", _) => return Err(inside("an array")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds nulls for members that are gone.
    fn remove(&mut self, mut names: Scan<'_>) -> Result<(), DecodeError> {
        names.expect(b'[', "want an array as `removedFields`").map_err(in_value)?;
        let mut first = true;
        while names.element(first).map_err(in_value)? {
            first = false;
            let name = names.string().map_err(in_value)?;
            if name.raw.contains('.') {
                return Err(inside(&name.to_text().map_err(in_value)?));
            }
            for part in [",\"", name.raw, "\":null"] {
                self.row.push_str(part);
            }
        }
        Ok(())
    }

    fn unescape(&mut self, literal: &Scan<'_>) -> Result<(), DecodeError> {
        self.text.clear();
        literal.clone().string().and_then(|text| text.unescape_into(&mut self.text)).map_err(in_value)
    }
}

fn reading<'f>(fields: Option<&'f [FieldPlan]>, name: &str) -> Option<&'f Reading> {
    fields?.iter().find(|field| field.source_name == name).map(|field| &field.reading)
}

fn in_value(fault: Fault) -> DecodeError {
    fault.in_part(Part::Value)
}

fn inside(name: &str) -> DecodeError {
    DecodeError::Value { column: name.to_owned(), reason: INSIDE.to_owned() }
}

/// The literal of the key's `id`.
fn id_in<'a>(key: &Scan<'a>) -> Scanned<Scan<'a>> {
    let mut key = key.clone();
    key.expect(b'{', "want an object")?;
    if key.member(true)? && key.key()?.raw == ID && key.peek() == b'"' {
        let from = key.at();
        key.skip()?;
        return Ok(key.part(from, key.at()));
    }
    Err(key.syntax("want an object of a text `id`"))
}

/// Extended JSON, checked to its end.
fn document(text: &str) -> Scanned<Scan<'_>> {
    let scan = Scan::new(text.as_bytes(), 0)?;
    let mut whole = scan.clone();
    whole.skip()?;
    whole.end()?;
    Ok(scan)
}

/// The reading of a declared one once the wrapper is off: an instant comes as a number.
fn unwrapped(reading: &Reading) -> Reading {
    match reading {
        Reading::ZonedTimestamp | Reading::IsoTimestamp | Reading::Timestamp(_) => Reading::Timestamp(Unit::Millis),
        Reading::IsoDate => Reading::Date,
        Reading::List(element) => Reading::List(Box::new(unwrapped(element))),
        Reading::Map(value) => Reading::Map(Box::new(unwrapped(value))),
        Reading::Struct(fields) => {
            let field = |f: &FieldPlan| FieldPlan { reading: unwrapped(&f.reading), ..f.clone() };
            Reading::Struct(fields.iter().map(field).collect())
        }
        other => other.clone(),
    }
}

/// Appends the value that is next, with extended JSON's wrappers taken off, as a row's JSON wants it.
fn plain(scan: &mut Scan<'_>, reading: &Reading, row: &mut String) -> Scanned<()> {
    scan.peek();
    let from = scan.at();
    scan.skip()?;
    let value = scan.part(from, scan.at());
    let wrapped = Wrapped::of(value.clone())?;
    match (&wrapped, reading) {
        (Some(wrapped), _) if wrapped.name == "$undefined" => row.push_str("null"),
        (None, _) if value.rest() == "null" => row.push_str("null"),
        (_, Reading::Text) => text(value, wrapped.as_ref(), row)?,
        (Some(wrapped), Reading::Inferred) => match wrapped.name {
            "$oid" | "$numberInt" | "$numberLong" | "$numberDouble" => wrapped.bare(row)?,
            _ => row.push_str(value.rest()),
        },
        (Some(wrapped), Reading::Timestamp(_)) => row.push_str(&wrapped.millis()?.to_string()),
        (Some(wrapped), Reading::Date) => row.push_str(&wrapped.millis()?.div_euclid(86_400_000).to_string()),
        (Some(wrapped), Reading::Bytes) => row.push_str(wrapped.binary()?),
        (Some(_), Reading::Map(_) | Reading::Struct(_) | Reading::List(_) | Reading::Boolean) => {
            return Err(Fault::Value { want: "want a value of the declared type, not one of extended JSON's" });
        }
        (Some(wrapped), _) => wrapped.bare(row)?,
        (None, Reading::Decimal { .. } | Reading::DecimalText { .. } | Reading::Bytes)
            if value.rest().starts_with('"') =>
        {
            return Err(Fault::Value { want: "want a number, or `$binary`: a text is neither" });
        }
        (None, Reading::List(element)) => list(value, element, row)?,
        (None, Reading::Struct(fields)) => members(value, row, |name| {
            fields.iter().find(|field| field.source_name == name).map_or(&Reading::Inferred, |field| &field.reading)
        })?,
        (None, Reading::Map(values)) => members(value, row, |_| values)?,
        (None, _) => row.push_str(value.rest()),
    }
    Ok(())
}

/// A text: strings as they are, of a wrapper with one string that; everything else as compact JSON.
fn text(value: Scan<'_>, wrapped: Option<&Wrapped<'_>>, row: &mut String) -> Scanned<()> {
    match wrapped {
        Some(wrapped) if wrapped.is_simple() => row.push_str(wrapped.value),
        None if value.rest().starts_with('"') => row.push_str(value.rest()),
        _ => compact(&mut value.clone(), row)?,
    }
    Ok(())
}

fn list(mut value: Scan<'_>, element: &Reading, row: &mut String) -> Scanned<()> {
    if value.peek() != b'[' {
        row.push_str(value.rest());
        return Ok(());
    }
    value.expect(b'[', "want an array")?;
    row.push('[');
    let mut first = true;
    while value.element(first)? {
        if !first {
            row.push(',');
        }
        first = false;
        plain(&mut value, element, row)?;
    }
    row.push(']');
    Ok(())
}

fn members<'r>(mut value: Scan<'_>, row: &mut String, reading: impl Fn(&str) -> &'r Reading) -> Scanned<()> {
    if value.peek() != b'{' {
        row.push_str(value.rest());
        return Ok(());
    }
    value.expect(b'{', "want an object")?;
    row.push('{');
    let mut first = true;
    while value.member(first)? {
        if !first {
            row.push(',');
        }
        first = false;
        let from = value.at();
        let name = value.key()?.to_text()?;
        row.push_str(value.since(from));
        plain(&mut value, reading(&name), row)?;
    }
    row.push('}');
    Ok(())
}

/// Appends a value as the text of its JSON without white space.
fn compact(scan: &mut Scan<'_>, row: &mut String) -> Scanned<()> {
    scan.peek();
    let from = scan.at();
    scan.skip()?;
    let (mut in_string, mut escaped) = (false, false);
    row.push('"');
    for c in scan.since(from).chars() {
        let ends = c == '"' && !escaped;
        in_string ^= ends;
        escaped = in_string && c == '\\' && !escaped;
        match c {
            '"' | '\\' => row.extend(['\\', c]),
            ' ' | '\n' | '\r' | '\t' if !in_string => {}
            c => row.push(c),
        }
    }
    row.push('"');
    Ok(())
}

/// A value in one of extended JSON's wrappers: an object whose first member begins with `$`.
struct Wrapped<'a> {
    name: &'a str,
    /// The first member's value, as it stands there.
    value: &'a str,
}

impl<'a> Wrapped<'a> {
    fn of(mut value: Scan<'a>) -> Scanned<Option<Self>> {
        if value.peek() != b'{' {
            return Ok(None);
        }
        value.expect(b'{', "want an object")?;
        if !value.member(true)? {
            return Ok(None);
        }
        let name = value.key()?.raw;
        value.peek();
        let from = value.at();
        value.skip()?;
        Ok(name.starts_with('$').then(|| Self { name, value: value.since(from) }))
    }

    /// Whether it holds one string that says it all.
    fn is_simple(&self) -> bool {
        const SIMPLE: [&str; 7] =
            ["$oid", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal", "$symbol", "$uuid"];
        SIMPLE.contains(&self.name) && self.value.starts_with('"')
    }

    /// Appends the string, bare if it is a number.
    fn bare(&self, row: &mut String) -> Scanned<()> {
        if !self.is_simple() {
            return Err(Fault::Value { want: "want a value of the declared type" });
        }
        let inside = self.value.trim_matches('"');
        let is_number =
            Scan::new(inside.as_bytes(), 0).and_then(|mut scan| scan.number().and_then(|_| scan.end())).is_ok();
        row.push_str(if is_number && self.name.starts_with("$number") { inside } else { self.value });
        Ok(())
    }

    /// The milliseconds of a `$date` or `$timestamp`.
    fn millis(&self) -> Scanned<i64> {
        const WANT: Fault = Fault::Value { want: "want a `$date` of milliseconds or ISO 8601" };
        let scan = Scan::new(self.value.as_bytes(), 0)?;
        match self.name {
            "$date" => match Self::of(scan.clone())? {
                Some(long) => long.value.trim_matches('"').parse().map_err(|_| WANT),
                None if self.value.starts_with('"') => {
                    let instant = parse_timestamp(self.value.trim_matches('"').as_bytes(), true).ok_or(WANT)?;
                    Ok(instant.value.div_euclid(1000))
                }
                None => self.value.parse().map_err(|_| WANT),
            },
            "$timestamp" => seconds(scan)?.checked_mul(1000).ok_or(WANT),
            _ => Err(WANT),
        }
    }

    /// The literal of the base64 in a `$binary`.
    fn binary(&self) -> Scanned<&'a str> {
        const WANT: Fault = Fault::Value { want: "want a `$binary`" };
        if self.name != "$binary" {
            return Err(WANT);
        }
        if self.value.starts_with('"') {
            return Ok(self.value);
        }
        let mut scan = Scan::new(self.value.as_bytes(), 0)?;
        named(&mut scan, "base64")?.filter(|value| value.starts_with('"')).ok_or(WANT)
    }
}

/// The seconds of `{"t":…,"i":…}`.
fn seconds(mut scan: Scan<'_>) -> Scanned<i64> {
    const WANT: Fault = Fault::Value { want: "want a `$timestamp` of `t` and `i`" };
    named(&mut scan, "t")?.and_then(|seconds| seconds.parse().ok()).ok_or(WANT)
}

/// The value of a member of an object, as it stands there.
fn named<'a>(scan: &mut Scan<'a>, wanted: &str) -> Scanned<Option<&'a str>> {
    scan.expect(b'{', "want an object")?;
    let (mut first, mut found) = (true, None);
    while scan.member(first)? {
        first = false;
        let name = scan.key()?.raw;
        scan.peek();
        let from = scan.at();
        scan.skip()?;
        if name == wanted {
            found = Some(scan.since(from));
        }
    }
    Ok(found)
}
