//! [`inline`]: an Avro schema and those that it refers to, as one that is complete in itself.
//!
//! A named type stands in full where it is used first, and by its name from there on, as Avro's specification wants it (1.12,
//! "Names"). A type that comes into another namespace keeps its own, said outright.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// One text of a schema and of those that it refers to, whatever their order.
///
/// # Errors
/// Where a text is no JSON.
pub(super) fn inline(schema: &str, references: &[String]) -> Result<String, String> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| format!("is no JSON: {e}"));
    let mut known = HashMap::new();
    for reference in references {
        collect(&parse(reference)?, "", &mut known);
    }
    let mut inliner = Inliner { known, written: HashSet::new() };
    Ok(inliner.write(parse(schema)?, "").to_string())
}

/// A type by its full name, with the namespace that it is in.
type Known = HashMap<String, (Value, String)>;

struct Inliner {
    known: Known,
    written: HashSet<String>,
}

impl Inliner {
    fn write(&mut self, schema: Value, namespace: &str) -> Value {
        match schema {
            Value::String(name) => self.write_name(name, namespace),
            Value::Array(branches) => branches.into_iter().map(|branch| self.write(branch, namespace)).collect(),
            Value::Object(_) => self.write_object(schema, namespace),
            other => other,
        }
    }

    fn write_name(&mut self, name: String, namespace: &str) -> Value {
        if PRIMITIVES.contains(&&*name) {
            return Value::String(name);
        }
        // Names of the null namespace are found from everywhere, as Java does it.
        let full = [full_name(&name, namespace), name.clone()].into_iter().find(|full| self.known.contains_key(full));
        match full.filter(|full| !self.written.contains(full)).and_then(|full| self.known.get(&full).cloned()) {
            Some((definition, own)) => self.write(definition, &own),
            None => Value::String(name),
        }
    }

    fn write_object(&mut self, mut schema: Value, namespace: &str) -> Value {
        let Some((full, own)) = named(&schema, namespace) else {
            for member in ["type", "items", "values"] {
                self.write_member(&mut schema, member, namespace);
            }
            return schema;
        };
        if !self.written.insert(full.clone()) {
            return Value::String(full);
        }
        for field in schema.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
            self.write_member(field, "type", &own);
        }
        schema
    }

    fn write_member(&mut self, of: &mut Value, member: &str, namespace: &str) {
        if let Some(schema) = of.get_mut(member) {
            *schema = self.write(schema.take(), namespace);
        }
    }
}

/// Notes every named type of a schema, those within others too.
fn collect(schema: &Value, namespace: &str, known: &mut Known) {
    if let Value::Array(branches) = schema {
        return branches.iter().for_each(|branch| collect(branch, namespace, known));
    }
    let mut inner = namespace.to_owned();
    if let Some((full, own)) = named(schema, namespace) {
        known.entry(full).or_insert_with(|| (placed(schema.clone(), &own), own.clone()));
        inner = own;
    }
    let fields = schema.get("fields").and_then(Value::as_array).into_iter().flatten();
    let of_fields = fields.filter_map(|field| field.get("type"));
    let members = ["type", "items", "values"].into_iter().filter_map(|member| schema.get(member));
    of_fields.chain(members.filter(|member| !member.is_string())).for_each(|part| collect(part, &inner, known));
}

/// A type that says its namespace, for it will stand in another's.
fn placed(mut schema: Value, own: &str) -> Value {
    let dotted = schema.get("name").and_then(Value::as_str).is_some_and(|name| name.contains('.'));
    if let Some(members) = schema.as_object_mut().filter(|_| !dotted) {
        members.insert("namespace".to_owned(), Value::String(own.to_owned()));
    }
    schema
}

/// The full name of a type that has one, and its namespace.
fn named(schema: &Value, namespace: &str) -> Option<(String, String)> {
    let kind = schema.get("type")?.as_str()?;
    let name = schema.get("name")?.as_str().filter(|_| ["record", "error", "enum", "fixed"].contains(&kind))?;
    if let Some((own, _)) = name.rsplit_once('.') {
        return Some((name.to_owned(), own.to_owned()));
    }
    let own = schema.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    Some((full_name(name, own), own.to_owned()))
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, references: &[Value], expect: Value) {
        let references: Vec<_> = references.iter().map(Value::to_string).collect();
        let text = inline(&schema.to_string(), &references).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expect);
    }

    fn record(name: &str, fields: &[(&str, Value)]) -> Value {
        let fields: Vec<_> = fields.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
        json!({"type": "record", "name": name, "fields": fields})
    }

    #[test]
    fn a_type_stands_in_full_where_it_is_used_first() {
        let money =
            json!({"type": "record", "name": "Money", "namespace": "a", "fields": [{"name": "n", "type": "long"}]});
        check(
            record("b.Order", &[("sum", json!("a.Money")), ("paid", json!(["null", "a.Money"]))]),
            std::slice::from_ref(&money),
            record("b.Order", &[("sum", money.clone()), ("paid", json!(["null", "a.Money"]))]),
        );
    }

    #[test]
    fn types_are_found_in_lists_maps_unions_and_other_types() {
        let leaf = |own: &str| json!({"type": "enum", "name": "Leaf", "symbols": ["x"], "namespace": own});
        let branch = json!({"type": "record", "name": "a.Branch", "fields": [{"name": "l", "type": {"type": "array", "items": "a.Leaf"}}]});
        let inlined = json!({"type": "record", "name": "a.Branch", "fields": [{"name": "l", "type": {"type": "array", "items": leaf("a")}}]});
        check(
            record(
                "T",
                &[("m", json!({"type": "map", "values": ["null", "a.Branch"]})), ("l", json!({"type": "a.Leaf"}))],
            ),
            &[branch, leaf("a")],
            record(
                "T",
                &[("m", json!({"type": "map", "values": ["null", inlined]})), ("l", json!({"type": "a.Leaf"}))],
            ),
        );
    }

    #[test]
    fn several_events_of_a_topic_are_a_union_of_references() {
        let event = |name: &str| record(name, &[("id", json!("int"))]);
        check(json!(["a.X", "a.Y"]), &[event("a.Y"), event("a.X")], json!([event("a.X"), event("a.Y")]));
    }

    #[test]
    fn a_type_without_namespace_does_not_take_the_one_where_it_stands() {
        let plain = record("Plain", &[("self", json!(["null", "Plain"]))]);
        let mut placed = plain.clone();
        placed["namespace"] = json!("");
        check(record("b.Order", &[("p", json!("Plain"))]), &[plain], record("b.Order", &[("p", placed)]));
    }

    #[test]
    fn a_type_within_another_is_named_where_it_was_written_before() {
        let inner = |own| json!({"type": "fixed", "name": "Inner", "size": 2, "namespace": own});
        let outer = record("a.Outer", &[("i", json!({"type": "fixed", "name": "Inner", "size": 2}))]);
        check(
            record("T", &[("first", json!("a.Inner")), ("o", json!("a.Outer"))]),
            &[outer],
            record("T", &[("first", inner("a")), ("o", record("a.Outer", &[("i", json!("a.Inner"))]))]),
        );
    }

    #[test]
    fn what_is_not_known_stays_as_it_is_for_the_decoder_to_name() {
        let schema = record(
            "T",
            &[("x", json!("a.Missing")), ("l", json!({"type": "long", "logicalType": "timestamp-millis"}))],
        );
        check(schema.clone(), &[json!("string")], schema);
        assert!(inline("{", &[]).unwrap_err().starts_with("is no JSON"));
    }
}
