//! A writer's schema: Avro's JSON text to [`Schema`], names resolved, unions and attributes as they stand.
//!
//! Follows the Avro specification 1.11 ("Schema Declaration", "Names"): primitive and complex types, namespaces, names that refer to a
//! type declared before. Aliases and defaults are for readers and passed over. Not here: what a type becomes in a table.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::error::DecodeError;

/// The most types in one schema: more than any table has columns.
const MAX_TYPES: usize = 1 << 16;
/// The deepest nesting of declarations.
const MAX_DEPTH: u32 = 64;

/// A type of a [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TypeId(usize);

/// A schema with its names resolved; a type may hold itself.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

/// A type, and what its declaration says beside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Type {
    pub(crate) shape: Shape,
    /// The full name of a record, enum or fixed.
    pub(crate) name: Option<String>,
    pub(crate) meaning: Meaning,
}

/// The attributes that tell what the values of a type mean.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meaning {
    pub(crate) logical_type: Option<String>,
    pub(crate) precision: Option<i32>,
    pub(crate) scale: Option<i32>,
    /// Kafka Connect's name of the type.
    pub(crate) connect_name: Option<String>,
    pub(crate) connect_parameters: BTreeMap<String, String>,
    /// `connect.internal.type`: what Connect means by a type that only stands in for another.
    pub(crate) connect_internal: Option<String>,
}

/// What the values look like on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    #[default]
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(TypeId),
    /// From text.
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: TypeId,
}

impl Schema {
    /// Reads a schema's text.
    pub(crate) fn parse(text: &str) -> Result<Self, DecodeError> {
        let value: Value = serde_json::from_str(text).map_err(|e| bad(format!("not JSON: {e}")))?;
        let mut names = Names::default();
        let root = names.declared(&value, "", MAX_DEPTH)?;
        Ok(Self { types: names.types, root })
    }

    /// The type of the whole.
    pub(crate) const fn root(&self) -> TypeId {
        self.root
    }

    /// A type.
    pub(crate) fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }

    /// A union of null and one other type: the other, and which branch is null. Any other type: itself, and no branch.
    pub(crate) fn optional(&self, id: TypeId) -> (TypeId, Option<usize>) {
        let Shape::Union(branches) = &self.get(id).shape else { return (id, None) };
        let is_null = |branch: &TypeId| self.get(*branch).shape == Shape::Null;
        match branches[..] {
            [null, other] if is_null(&null) && !is_null(&other) => (other, Some(0)),
            [other, null] if is_null(&null) && !is_null(&other) => (other, Some(1)),
            _ => (id, None),
        }
    }

    /// The field of a record; `None` too where the type is no record.
    pub(crate) fn field(&self, id: TypeId, name: &str) -> Option<TypeId> {
        let Shape::Record(fields) = &self.get(id).shape else { return None };
        fields.iter().find(|field| field.name == name).map(|field| field.kind)
    }
}

fn bad(reason: impl Into<String>) -> DecodeError {
    DecodeError::schema("(Avro)", reason)
}

/// The types declared so far.
#[derive(Default)]
struct Names {
    types: Vec<Type>,
    by_name: HashMap<String, TypeId>,
}

impl Names {
    fn add(&mut self, shape: Shape, name: Option<String>, meaning: Meaning) -> Result<TypeId, DecodeError> {
        if self.types.len() >= MAX_TYPES {
            return Err(bad("too many types"));
        }
        self.types.push(Type { shape, name, meaning });
        Ok(TypeId(self.types.len() - 1))
    }

    fn declared(&mut self, value: &Value, namespace: &str, depth: u32) -> Result<TypeId, DecodeError> {
        let depth = depth.checked_sub(1).ok_or_else(|| bad("nested too deeply"))?;
        match value {
            Value::String(name) => self.named(name, namespace, Meaning::default()),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.declared(branch, namespace, depth));
                let branches = branches.collect::<Result<_, _>>()?;
                self.add(Shape::Union(branches), None, Meaning::default())
            }
            Value::Object(object) => self.object(object, namespace, depth),
            _ => Err(bad("want a type: a name, an object or an array of types")),
        }
    }

    fn named(&mut self, name: &str, namespace: &str, meaning: Meaning) -> Result<TypeId, DecodeError> {
        if let Some(shape) = primitive(name) {
            return self.add(shape, None, meaning);
        }
        let full = full_name(name, namespace);
        let known = self.by_name.get(&full).or_else(|| self.by_name.get(name));
        known.copied().ok_or_else(|| bad(format!("no type `{full}` was declared before")))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str, depth: u32) -> Result<TypeId, DecodeError> {
        let kind = object.get("type").ok_or_else(|| bad("a type without `type`"))?;
        let Value::String(kind) = kind else { return self.declared(kind, namespace, depth) };
        let meaning = Meaning::of(object);
        let inner = |member: &str| object.get(member).ok_or_else(|| bad(format!("`{kind}` without `{member}`")));
        let shape = match kind.as_str() {
            "array" => Shape::Array(self.declared(inner("items")?, namespace, depth)?),
            "map" => Shape::Map(self.declared(inner("values")?, namespace, depth)?),
            "record" | "error" => return self.record(object, namespace, depth, meaning),
            "enum" => Shape::Enum(symbols(object)?),
            "fixed" => Shape::Fixed(fixed_bytes(object)?),
            name => return self.named(name, namespace, meaning),
        };
        if !matches!(shape, Shape::Enum(_) | Shape::Fixed(_)) {
            return self.add(shape, None, meaning);
        }
        let (full, _) = own_name(object, namespace)?;
        let id = self.add(shape, Some(full.clone()), meaning)?;
        self.call(full, id)?;
        Ok(id)
    }

    fn call(&mut self, full: String, id: TypeId) -> Result<(), DecodeError> {
        match self.by_name.insert(full.clone(), id) {
            None => Ok(()),
            Some(_) => Err(bad(format!("the type `{full}` is declared twice"))),
        }
    }

    /// A record is known by its name inside of itself.
    fn record(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: u32,
        meaning: Meaning,
    ) -> Result<TypeId, DecodeError> {
        let (full, namespace) = own_name(object, namespace)?;
        let id = self.add(Shape::Null, Some(full.clone()), meaning)?;
        self.call(full.clone(), id)?;
        let members = object.get("fields").and_then(Value::as_array);
        let mut fields: Vec<Field> = Vec::new();
        for member in members.ok_or_else(|| bad(format!("the record `{full}` has no array of `fields`")))? {
            let name = member.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| bad(format!("a field without name in `{full}`")))?;
            let kind = member.get("type").ok_or_else(|| bad(format!("the field `{name}` has no type")))?;
            if fields.iter().any(|field| field.name == name) {
                return Err(bad(format!("the field `{name}` is declared twice in `{full}`")));
            }
            fields.push(Field { name: name.to_owned(), kind: self.declared(kind, &namespace, depth)? });
        }
        self.types[id.0].shape = Shape::Record(fields);
        Ok(id)
    }
}

impl Meaning {
    fn of(object: &Map<String, Value>) -> Self {
        let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| object.get(name).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
        let parameters = object.get("connect.parameters").and_then(Value::as_object);
        let parameters = parameters.into_iter().flatten();
        Self {
            logical_type: text("logicalType"),
            precision: number("precision"),
            scale: number("scale"),
            connect_name: text("connect.name"),
            connect_parameters: parameters.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect(),
            connect_internal: text("connect.internal.type"),
        }
    }
}

fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean,
        "int" => Shape::Int,
        "long" => Shape::Long,
        "float" => Shape::Float,
        "double" => Shape::Double,
        "bytes" => Shape::Bytes,
        "string" => Shape::Text,
        _ => return None,
    })
}

fn symbols(object: &Map<String, Value>) -> Result<Vec<String>, DecodeError> {
    let symbols = object.get("symbols").and_then(Value::as_array);
    let symbols = symbols.and_then(|all| all.iter().map(|s| s.as_str().map(str::to_owned)).collect());
    symbols.ok_or_else(|| bad("an enum without an array of `symbols`"))
}

fn fixed_bytes(object: &Map<String, Value>) -> Result<usize, DecodeError> {
    let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    size.filter(|size| *size < 1 << 31).ok_or_else(|| bad("a fixed without `size` in bytes"))
}

/// The full name that a declaration gives, and the namespace of what is inside.
fn own_name(object: &Map<String, Value>, namespace: &str) -> Result<(String, String), DecodeError> {
    let name = object.get("name").and_then(Value::as_str).ok_or_else(|| bad("a named type without `name`"))?;
    if let Some((namespace, _)) = name.rsplit_once('.') {
        return Ok((name.to_owned(), namespace.to_owned()));
    }
    let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    Ok((full_name(name, namespace), namespace.to_owned()))
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(schema: &Schema, id: TypeId) -> &Shape {
        &schema.get(id).shape
    }

    #[test]
    fn names_are_resolved_in_their_namespaces() {
        let schema = Schema::parse(
            r#"{"type":"record","name":"Outer","namespace":"a.b","fields":[
                {"name":"inner","type":["null",{"type":"record","name":"Inner","fields":[{"name":"x","type":"int"}]}]},
                {"name":"same","type":["Inner","null"]},
                {"name":"other","type":{"type":"record","name":"c.Inner","fields":[{"name":"f","type":{"type":"fixed","name":"Inner2","size":3}}]}},
                {"name":"full","type":"c.Inner2"},
                {"name":"itself","type":["null","Outer"]}]}"#,
        )
        .unwrap();
        let field = |name| schema.field(schema.root(), name).unwrap();
        let (inner, null) = schema.optional(field("inner"));
        assert_eq!((schema.optional(field("same")), null), ((inner, Some(1)), Some(0)));
        assert_eq!(schema.get(inner).name.as_deref(), Some("a.b.Inner"));
        assert_eq!(schema.get(field("other")).name.as_deref(), Some("c.Inner"));
        assert_eq!(shape(&schema, field("full")), &Shape::Fixed(3));
        assert_eq!(schema.optional(field("itself")).0, schema.root());
    }

    #[test]
    fn attributes_are_kept_beside_the_shape() {
        let schema = Schema::parse(
            r#"{"type":"bytes","scale":2046,"precision":5,"logicalType":"decimal","connect.version":1,
                "connect.parameters":{"scale":"2046","connect.decimal.precision":"5","odd":7},"connect.name":"a.Decimal"}"#,
        )
        .unwrap();
        let Type { shape: bytes, meaning, .. } = schema.get(schema.root());
        assert_eq!((bytes, meaning.scale, meaning.precision), (&Shape::Bytes, Some(2046), Some(5)));
        assert_eq!(
            (meaning.connect_name.as_deref(), meaning.logical_type.as_deref()),
            (Some("a.Decimal"), Some("decimal"))
        );
        assert_eq!(meaning.connect_parameters.len(), 2);
        let schema = Schema::parse(r#"{"type":{"type":"enum","name":"E","symbols":["a","b"]}}"#).unwrap();
        assert_eq!(shape(&schema, schema.root()), &Shape::Enum(vec!["a".to_owned(), "b".to_owned()]));
        let schema = Schema::parse(r#"["null","int","string"]"#).unwrap();
        assert_eq!(schema.optional(schema.root()), (schema.root(), None));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(100), "}".repeat(100));
        let deeper = "[".repeat(100_000);
        for text in [
            "",
            "nul",
            "1",
            r#""nothing""#,
            "{}",
            r#"{"type":"array"}"#,
            r#"{"type":"record","name":"r"}"#,
            r#"{"type":"record","fields":[]}"#,
            r#"{"type":"record","name":"r","fields":[{"name":"x"}]}"#,
            r#"{"type":"record","name":"r","fields":[{"type":"int"}]}"#,
            r#"{"type":"record","name":"r","fields":[{"name":"x","type":"int"},{"name":"x","type":"int"}]}"#,
            r#"[{"type":"fixed","name":"f","size":1},{"type":"fixed","name":"f","size":1}]"#,
            r#"{"type":"fixed","name":"f","size":-1}"#,
            r#"{"type":"enum","name":"f","symbols":[1]}"#,
            &deep,
            &deeper,
        ] {
            assert!(!Schema::parse(text).unwrap_err().can_go_on(), "{}", &text[..text.len().min(80)]);
        }
    }
}
