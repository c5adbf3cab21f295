//! Record keys and partition paths.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use hudi_core::Error;
use hudi_core::key::{KeyGenerator, KeySpec, bucket_safe, escape_partition_value, unescape_partition_value};

fn spec(keys: &[&str], partitions: &[&str]) -> KeySpec {
    let strings = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    KeySpec {
        record_key_fields: strings(keys),
        partition_fields: strings(partitions),
        generator: KeyGenerator::inferred(keys.len(), partitions.len()),
        hive_style: true,
        url_encode: true,
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn all(array: &StringArray) -> Vec<Option<&str>> {
    array.iter().collect()
}

fn rows(refused: &[(usize, String)]) -> Vec<usize> {
    refused.iter().map(|(row, _)| *row).collect()
}

#[test]
fn a_single_text_key_is_the_column_itself() {
    let column = text(&[Some("a"), Some("b:1"), Some("__null__")]);
    let keys = spec(&["id"], &[]).record_keys(&batch(vec![("id", Arc::clone(&column))])).unwrap();
    assert_eq!(all(&keys.keys), [Some("a"), Some("b:1"), Some("__null__")]);
    assert_eq!(keys.keys.values().as_ptr(), column.to_data().buffers()[1].as_ptr());
    let keys =
        spec(&["id"], &[]).record_keys(&batch(vec![("id", text(&[Some("a"), None, Some(""), Some("b")]))])).unwrap();
    assert_eq!(all(&keys.keys), [Some("a"), None, None, Some("b")]);
    assert_eq!(rows(&keys.refused), [1, 2]);
}

#[test]
fn a_slice_of_a_text_column_gives_its_own_rows() {
    let whole = batch(vec![("id", text(&[Some("a"), Some(""), Some("b"), None, Some("c")]))]);
    let keys = spec(&["id"], &[]).record_keys(&whole.slice(1, 4)).unwrap();
    assert_eq!(all(&keys.keys), [None, Some("b"), None, Some("c")]);
    assert_eq!(rows(&keys.refused), [0, 2]);
}

#[test]
fn values_are_printed_as_java_prints_them() {
    let decimal =
        |values: Vec<i128>, p, s| Arc::new(Decimal128Array::from(values).with_precision_and_scale(p, s).unwrap());
    let cases: Vec<(ArrayRef, Vec<&str>)> = vec![
        (Arc::new(Int32Array::from(vec![-1, i32::MAX])), vec!["-1", "2147483647"]),
        (Arc::new(Int64Array::from(vec![0, i64::MIN])), vec!["0", "-9223372036854775808"]),
        (Arc::new(BooleanArray::from(vec![true, false])), vec!["true", "false"]),
        (Arc::new(Date32Array::from(vec![0, 19783])), vec!["1970-01-01", "2024-03-01"]),
        (Arc::new(TimestampMicrosecondArray::from(vec![5, -7]).with_timezone("UTC")), vec!["5", "-7"]),
        (decimal(vec![1250, -5, 0], 10, 2), vec!["12.50", "-0.05", "0.00"]),
        (decimal(vec![0, 1, 12, 1_234_567], 20, 7), vec!["0E-7", "1E-7", "0.0000012", "0.1234567"]),
        (decimal(vec![12, 7], 20, 0), vec!["12", "7"]),
        (decimal(vec![123, 0, -5], 10, -3), vec!["1.23E+5", "0E+3", "-5E+3"]),
        (decimal(vec![-123_456], 38, 20), vec!["-1.23456E-15"]),
    ];
    for (column, want) in cases {
        let keys = spec(&["k"], &[]).record_keys(&batch(vec![("k", column)])).unwrap();
        assert_eq!(all(&keys.keys), want.into_iter().map(Some).collect::<Vec<_>>());
        assert!(keys.refused.is_empty());
    }
}

#[test]
fn a_key_of_several_columns_is_refused_where_it_would_be_ambiguous() {
    let a = text(&[Some("1"), None, Some(""), None, Some("x:y"), Some("x,y"), Some("__null__"), Some("__empty__")]);
    let b = Arc::new(Int32Array::from(vec![Some(2), Some(2), Some(2), None, Some(2), Some(2), Some(2), Some(2)]));
    let keys = spec(&["a", "b"], &["b"]).record_keys(&batch(vec![("a", a), ("b", b)])).unwrap();
    let good = [Some("a:1,b:2"), Some("a:__null__,b:2"), Some("a:__empty__,b:2")];
    assert_eq!(all(&keys.keys)[..3], good);
    assert_eq!(rows(&keys.refused), [3, 4, 5, 6, 7]);
    assert_eq!(keys.keys.null_count(), 5);
}

#[test]
fn partition_values_are_escaped_as_hive_does() {
    let values =
        text(&[Some("a b"), Some("a/b=c:d%"), Some("ü日"), None, Some(""), Some("}.,+"), Some("\"#'*?\\{[]^\n\u{7f}")]);
    let batch = batch(vec![("p", values)]);
    let mut spec = spec(&["p"], &["p"]);
    let paths = spec.partition_paths(&batch).unwrap();
    assert_eq!(rows(&paths.refused), [4]);
    let all_special = "p=%22%23%27%2A%3F%5C%7B%5B%5D%5E%0A%7F";
    let want = [
        Some("p=a b"),
        Some("p=a%2Fb%3Dc%3Ad%25"),
        Some("p=ü日"),
        Some("p=__HIVE_DEFAULT_PARTITION__"),
        None,
        Some("p=}.,+"),
        Some(all_special),
    ];
    assert_eq!(all(&paths.paths), want);
    for path in paths.paths.iter().flatten() {
        let value = unescape_partition_value(path.strip_prefix("p=").unwrap());
        let mut again = String::new();
        escape_partition_value(&value, &mut again);
        assert_eq!(format!("p={again}"), path);
    }
    spec.hive_style = false;
    spec.url_encode = false;
    assert_eq!(rows(&spec.partition_paths(&batch).unwrap().refused), [1, 4]);
}

#[test]
fn several_partition_columns_are_folders_within_folders() {
    let batch = batch(vec![
        ("a", text(&[Some("x"), Some("y")])),
        ("b", Arc::new(Int64Array::from(vec![1, 2]))),
        ("d", Arc::new(Date32Array::from(vec![Some(0), None]))),
    ]);
    let paths = spec(&["a", "b"], &["a", "d"]).partition_paths(&batch).unwrap();
    assert_eq!(all(&paths.paths), [Some("a=x/d=1970-01-01"), Some("a=y/d=__HIVE_DEFAULT_PARTITION__")]);
    let none = spec(&["a"], &[]).partition_paths(&batch).unwrap();
    assert_eq!(all(&none.paths), [Some(""), Some("")]);
}

#[test]
fn columns_that_make_no_key_are_an_error() {
    let batch = batch(vec![("f", Arc::new(Float64Array::from(vec![1.0])))]);
    assert!(matches!(spec(&["f"], &[]).record_keys(&batch), Err(Error::Schema { column, .. }) if column == "f"));
    assert!(matches!(spec(&["absent"], &[]).record_keys(&batch), Err(Error::Schema { .. })));
    assert!(matches!(spec(&["f"], &[]).verify_columns(&batch.schema()), Err(Error::Schema { .. })));
}

#[test]
fn a_spec_that_java_would_continue_otherwise_is_refused() {
    assert!(matches!(spec(&["a"], &["b", "c"]).verify(), Err(Error::Unsupported { .. })));
    assert!(spec(&["a", "b"], &["c", "d"]).verify().is_ok());
    let row = batch(vec![("a", text(&[Some("x")]))]);
    for (keyless, path) in [(spec(&[], &[]), ""), (spec(&[], &["a"]), "a=x"), (spec(&[], &["a", "a"]), "a=x/a=x")] {
        assert!(matches!(keyless.record_keys(&row), Err(Error::MissingProperty { .. })));
        assert_eq!(all(&keyless.partition_paths(&row).unwrap().paths), [Some(path)]);
    }
    let mut simple = spec(&["a", "b"], &["c"]);
    simple.generator = KeyGenerator::Simple;
    assert!(matches!(simple.verify(), Err(Error::BadProperty { .. })));
    simple.generator = KeyGenerator::Other("x.Custom".to_owned());
    assert!(matches!(simple.verify(), Err(Error::Unsupported { .. })));
}

#[test]
fn keys_that_releases_split_differently_are_not_bucket_safe() {
    let (one, two) = (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]);
    assert!(bucket_safe("x,y", &one).is_ok() && bucket_safe("a:1,b:2", &two).is_ok());
    assert!(bucket_safe("10:00", &one).is_err() && bucket_safe("a:1:2,b:2", &two).is_err());
}
