//! The simple bucket index: which bucket a record key hashes to.
//!
//! Does not hold how a bucket is named (`file_name`) nor which keys every release hashes alike (`key`). Format section 7.2,
//! the rules of Hudi 0.14 and 0.15; table version 6.

/// The bucket of a record key, from 0 to `num_buckets - 1`; 0 if there are none.
///
/// `hash_fields` are the key columns that are hashed. They matter only to keys of several columns (`a:1,b:2`).
pub fn bucket_of(key: &str, hash_fields: &[String], num_buckets: u32) -> u32 {
    let hash = if key.contains(':') { hash_of_parts(key, hash_fields) } else { extend(1, java_hash(key)) };
    ((hash & i32::MAX) as u32).checked_rem(num_buckets).unwrap_or_default()
}

fn hash_of_parts(key: &str, hash_fields: &[String]) -> i32 {
    // Java's split drops empty parts at the end.
    key.trim_end_matches(',').split(',').fold(1, |hash, part| match part.split_once(':') {
        None => extend(hash, hash_of_value(part)),
        Some((name, value)) if hash_fields.iter().any(|field| field == name) => extend(hash, hash_of_value(value)),
        Some(_) => hash,
    })
}

fn hash_of_value(value: &str) -> i32 {
    match value {
        "__null__" | "__empty__" => 0,
        value => java_hash(value),
    }
}

/// As a Java list's hash grows by an element.
fn extend(hash: i32, element: i32) -> i32 {
    hash.wrapping_mul(31).wrapping_add(element)
}

/// As `java.lang.String.hashCode`: over UTF-16 code units.
fn java_hash(text: &str) -> i32 {
    if text.is_ascii() {
        return text.bytes().fold(0, |hash, b| extend(hash, i32::from(b)));
    }
    text.encode_utf16().fold(0, |hash, unit| extend(hash, i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_java() {
        let vectors: [(&str, &[&str], u32); 12] = [
            ("1", &["id"], 80),
            ("abc", &["id"], 129),
            ("c8abbe79-8d89-47ea-b4ce-4d224bae5bfa", &["id"], 66),
            ("日本", &["id"], 6),
            ("😀x", &["id"], 148),
            ("a:1,b:2", &["a", "b"], 226),
            ("a:1,b:2", &["b"], 81),
            ("a:__null__,b:__empty__", &["a", "b"], 193),
            ("txn_id:TXN-007,account_id:ACC-E", &["txn_id", "account_id"], 230),
            ("id:1", &["id"], 80),
            ("2024-01-01 10:00:00", &["ts"], 1),
            ("a:x,y,b:2", &["a", "b"], 176),
        ];
        for (key, fields, bucket) in vectors {
            let fields: Vec<_> = fields.iter().map(|f| (*f).to_owned()).collect();
            assert_eq!(bucket_of(key, &fields, 256), bucket, "{key}");
        }
    }
}
