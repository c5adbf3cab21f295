//! Schemas to Avro and back, names, and which changes a table follows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use hudi_core::Error;
use hudi_core::schema::mapping::Moment;
use hudi_core::schema::{ColumnMap, Incoming, OnSchemaConflict, Place, Placed, avro, evolve, names, outgrown, place};

use DataType::{Binary, Boolean, Date32, Decimal128, Float32, Float64, Int32, Int64, Utf8};

fn schema(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(columns.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>())
}

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn fields(columns: &[(&str, DataType)]) -> Fields {
    schema(columns).fields().clone()
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

fn map(value: DataType) -> DataType {
    let entries = vec![Field::new("key", Utf8, false), Field::new("value", value, true)];
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries.into()), false)), false)
}

#[test]
fn all_types_go_to_avro_and_back() {
    let inner = DataType::Struct(fields(&[("x", Decimal128(38, 4)), ("y", list(Decimal128(5, 1)))]));
    let columns = schema(&[
        ("a", Boolean),
        ("b", Int32),
        ("c", Int64),
        ("d", Float32),
        ("e", Float64),
        ("f", Utf8),
        ("g", Binary),
        ("h", Date32),
        ("i", micros()),
        ("j", Decimal128(10, 2)),
        ("k", list(inner.clone())),
        ("l", map(list(inner.clone()))),
        ("m", inner),
    ]);
    let json = avro::to_avro("orders", &columns).unwrap();
    assert_eq!(avro::from_avro(&json).unwrap(), columns);
    let decimal = r#"{"name":"j","type":["null",{"type":"fixed","name":"fixed","namespace":"hoodie.orders.orders_record.j","size":5,"logicalType":"decimal","precision":10,"scale":2}],"default":null}"#;
    assert!(json.starts_with(r#"{"type":"record","name":"orders_record","namespace":"hoodie.orders","fields":[{"name":"a","type":["null","boolean"],"default":null}"#));
    assert!(json.contains(decimal) && json.contains("hoodie.orders.orders_record.m.x"));
    apache_avro::Schema::parse_str(&json).unwrap();
    assert_eq!(avro::record_name("my-table 1").full_name(), "hoodie.my__table__1.my__table__1_record");
    let refused = avro::to_avro("t", &schema(&[("n", DataType::Timestamp(TimeUnit::Nanosecond, None))]));
    assert!(matches!(refused, Err(Error::Schema { column, .. }) if column == "n"));
}

#[test]
fn forms_of_other_writers_are_read() {
    let json = r#"{"type":"record","name":"r","namespace":"n","fields":[
        {"name":"a","type":["string","null"]},
        {"name":"b","type":{"type":"string","avro.java.string":"String"}},
        {"name":"c","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"d","type":{"type":"long","logicalType":"local-timestamp-micros"}},
        {"name":"e","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"f","type":{"type":"enum","name":"E","symbols":["X"]}},
        {"name":"g","type":{"type":"record","name":"G","fields":[{"name":"x","type":"int"}]}},
        {"name":"h","type":["null","n.G"]},
        {"name":"i","type":["null","G"]},
        {"name":"j","type":{"type":"string","logicalType":"uuid"}}]}"#;
    let read = avro::from_avro(json).unwrap();
    let types: Vec<_> = read.fields().iter().map(|f| f.data_type().clone()).collect();
    let g = DataType::Struct(vec![Field::new("x", Int32, false)].into());
    let utc = Some(Arc::from("UTC"));
    let local = DataType::Timestamp(TimeUnit::Microsecond, None);
    let want = [
        Utf8,
        Utf8,
        DataType::Timestamp(TimeUnit::Millisecond, utc),
        local,
        Decimal128(9, 2),
        Utf8,
        g.clone(),
        g.clone(),
        g,
        Utf8,
    ];
    assert_eq!(types, want);
    assert_eq!(
        read.fields().iter().map(|f| f.is_nullable()).collect::<Vec<_>>(),
        [true, false, false, false, false, false, false, true, true, false]
    );
    for broken in ["", "\"string\"", r#"{"type":"record","name":"r","fields":[{"name":"a","type":["int","string"]}]}"#]
    {
        assert!(avro::from_avro(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_decimal_takes_the_least_bytes() {
    for (precision, bytes) in
        [(1, 1), (2, 1), (3, 2), (9, 4), (10, 5), (11, 5), (12, 6), (15, 7), (18, 8), (19, 9), (21, 9), (38, 16)]
    {
        assert_eq!(avro::decimal_bytes(precision), bytes, "{precision}");
    }
    for precision in 1..=38_u32 {
        let bytes = avro::decimal_bytes(precision as u8) as u32;
        let fits = |bytes: u32| 10_i128.pow(precision) - 1 <= i128::MAX >> (128 - 8 * bytes);
        assert!(fits(bytes) && (bytes == 1 || !fits(bytes - 1)), "{precision}");
    }
}

#[test]
fn names_are_what_every_reader_takes() {
    for name in ["a", "_x", "A1", "_hoodie_is_deleted"] {
        assert!(names::is_legal(name));
        assert_eq!(names::legal_name(name), name);
    }
    for (name, legal) in [("1a", "_1a"), ("a b", "a_b"), ("ünï", "_n_"), ("", "_"), ("a.b", "a_b")] {
        assert!(!names::is_legal(name));
        assert_eq!(names::legal_name(name), legal);
    }
    assert!(names::verify(&schema(&[("a", Int32), ("A", Int32)])).is_err());
    let nested = schema(&[("s", list(DataType::Struct(fields(&[("x y", Int32)]))))]);
    assert!(matches!(names::verify(&nested), Err(Error::Schema { column, .. }) if column == "s.x y"));
}

#[test]
fn new_columns_are_added_and_absent_ones_stay() {
    let table = Schema::new(vec![Field::new("id", Int64, false), Field::new("gone", Utf8, false)]);
    let incoming = Schema::new(vec![Field::new("new", Utf8, false), Field::new("id", Int64, false)]);
    let e = evolve(&table, &incoming).unwrap();
    let want = Schema::new(vec![
        Field::new("id", Int64, false),
        Field::new("gone", Utf8, true),
        Field::new("new", Utf8, true),
    ]);
    assert_eq!((e.schema, e.changed), (want, true));
    let same = evolve(&table, &table).unwrap();
    assert_eq!((same.schema, same.changed), (table, false));
}

#[test]
fn types_grow_only_where_every_reader_follows() {
    let grow = |table: DataType, incoming: DataType| {
        let e = evolve(&schema(&[("c", table)]), &schema(&[("c", incoming)]));
        e.map(|e| (e.schema.field(0).data_type().clone(), e.changed, !e.needs_compaction.is_empty()))
    };
    for (table, incoming, to, compact) in [
        (Int32, Int64, Int64, false),
        (Int32, Float64, Float64, false),
        (Int64, Float32, Float32, false),
        (Float32, Float64, Float64, false),
        (Utf8, Binary, Binary, false),
        (Int64, Utf8, Utf8, true),
        (Decimal128(10, 2), Utf8, Utf8, true),
        (Decimal128(10, 2), Decimal128(11, 2), Decimal128(11, 2), false),
        (Decimal128(10, 2), Decimal128(20, 2), Decimal128(20, 2), true),
        (Decimal128(10, 2), Decimal128(10, 4), Decimal128(12, 4), true),
        (Int32, Decimal128(12, 2), Decimal128(12, 2), true),
    ] {
        assert_eq!(grow(table.clone(), incoming.clone()), Ok((to, true, compact)), "{table} {incoming}");
    }
    for (table, incoming) in [
        (Int64, Int32),
        (Float64, Int32),
        (Utf8, Int64),
        (Decimal128(12, 4), Decimal128(10, 2)),
        (Decimal128(12, 2), Int32),
        (micros(), DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))),
    ] {
        assert_eq!(grow(table.clone(), incoming), Ok((table, false, false)));
    }
    for (table, incoming) in [
        (Date32, micros()),
        (micros(), Utf8),
        (micros(), Int64),
        (Boolean, Utf8),
        (Boolean, Int32),
        (Binary, Int32),
        (Int32, Boolean),
        (Int32, list(Int32)),
        (Decimal128(38, 0), Decimal128(38, 10)),
        (Float32, Utf8),
    ] {
        let message = grow(table.clone(), incoming.clone()).unwrap_err().to_string();
        assert!(
            message.contains("`c`") && message.contains(&table.to_string()) && message.contains(&incoming.to_string())
        );
    }
}

#[test]
fn types_that_not_every_engine_reads_wider_are_outgrown() {
    let is_outgrown = |old: &DataType, new: &DataType| {
        let new = schema(&[("new", Utf8), ("c", new.clone())]);
        !outgrown(&schema(&[("c", old.clone())]), &new).is_empty()
    };
    for (old, new) in [
        (Int32, Int64),
        (Int32, Float64),
        (Int64, Float64),
        (Float32, Float64),
        (Utf8, Binary),
        (Decimal128(9, 2), Decimal128(18, 2)),
        (Decimal128(19, 2), Decimal128(38, 2)),
        (
            list(DataType::Struct(fields(&[("a", Int32)]))),
            list(DataType::Struct(fields(&[("a", Int32), ("b", Int32)]))),
        ),
        (micros(), micros()),
    ] {
        assert!(!is_outgrown(&old, &new), "{old} {new}");
    }
    for (old, new) in [
        (Int32, Float32),
        (Int64, Float32),
        (Int32, Decimal128(12, 2)),
        (Int32, Utf8),
        (Int64, Utf8),
        (Float64, Utf8),
        (Date32, Utf8),
        (Decimal128(9, 2), Utf8),
        (Decimal128(18, 2), Decimal128(19, 2)),
        (Decimal128(9, 2), Decimal128(11, 4)),
    ] {
        assert!(is_outgrown(&old, &new), "{old} {new}");
    }
}

#[test]
fn within_structs_fields_are_added_and_types_stay() {
    let of = |fields_: &[(&str, DataType)]| DataType::Struct(fields(fields_));
    for wrap in [|t| t, list as fn(DataType) -> DataType, map] {
        let table = schema(&[("s", wrap(of(&[("x", Int64), ("y", Utf8)])))]);
        let added = schema(&[("s", wrap(of(&[("x", Int32), ("z", Utf8)])))]);
        let e = evolve(&table, &added).unwrap();
        assert!(e.changed);
        assert_eq!(e.schema, schema(&[("s", wrap(of(&[("x", Int64), ("y", Utf8), ("z", Utf8)])))]));
        assert!(evolve(&added, &table).is_err());
    }
}

#[test]
fn a_column_that_differs_in_case_only_is_refused() {
    assert!(evolve(&schema(&[("id", Int32)]), &schema(&[("ID", Int32)])).is_err());
    assert!(evolve(&schema(&[("id", Int32)]), &schema(&[("i d", Int32)])).is_err());
}

/// Places columns without keys in a table; `Err`: the error's text.
fn placed(table: &Schema, columns: &[(&str, DataType)], on_conflict: OnSchemaConflict) -> Result<Placed, String> {
    let incoming = schema(columns);
    let has_values = vec![true; columns.len()];
    let at = Moment { position: None, ts_ms: Some(7) };
    let incoming = Incoming {
        topic: "t",
        schema: &incoming,
        has_values: &has_values,
        is_whole: true,
        from: at,
        to: at,
        fixed: &["id".to_owned()],
    };
    place(Some(table), &ColumnMap::default(), incoming, on_conflict).map_err(|error| error.to_string())
}

#[test]
fn columns_find_their_places() {
    let table = schema(&[("id", Int32), ("a", Int64), ("b", Utf8)]);
    // One is wider, one absent, one new.
    let found = placed(&table, &[("new", Utf8), ("id", Int64), ("a", Float64)], OnSchemaConflict::Stop).unwrap();
    let names: Vec<_> = found.places.iter().map(|place| place.column.clone().unwrap()).collect();
    assert_eq!(names, ["new", "id", "a"]);
    assert_eq!(found.schema, schema(&[("id", Int64), ("a", Float64), ("b", Utf8), ("new", Utf8)]));
    // Of a topic's first rows nothing is gone that it never had.
    assert_eq!((found.map.renamed().count(), found.map.dropped("t").count()), (0, 0));
}

#[test]
fn a_conflict_is_solved_as_the_setting_says() {
    let table = schema(&[("id", Int32), ("a", Boolean), ("a_v2", Utf8)]);
    let stopped = placed(&table, &[("id", Int32), ("a", Date32)], OnSchemaConflict::Stop).unwrap_err();
    for named in ["`a`", "Boolean", "Date32", "on_schema_conflict", "`a_v3`"] {
        assert!(stopped.contains(named), "{named} in {stopped}");
    }
    let refused = placed(&table, &[("id", Int32), ("a", Date32)], OnSchemaConflict::DeadLetter).unwrap();
    assert!(refused.places[1].refused.as_ref().is_some_and(|reason| reason.contains("Date32")));
    assert_eq!((refused.places[0].refused.as_ref(), refused.schema), (None, table.clone()));
    let new = placed(&table, &[("id", Int32), ("a", Date32)], OnSchemaConflict::NewColumn).unwrap();
    let place = Place { column: Some("a_v3".to_owned()), others: vec!["a".to_owned()], refused: None };
    assert_eq!(new.places[1], place);
    assert_eq!(ColumnMap::parse(&new.map.to_json().unwrap()).unwrap(), new.map);
    for setting in [OnSchemaConflict::Stop, OnSchemaConflict::NewColumn, OnSchemaConflict::DeadLetter] {
        for of_key in [Utf8, Float64, Boolean] {
            assert!(placed(&table, &[("id", of_key)], setting).unwrap_err().contains("`id`"));
        }
        assert!(placed(&table, &[("id", Int32), ("A", Boolean)], setting).unwrap_err().contains("case"));
    }
}
