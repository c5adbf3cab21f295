//! Debezium messages as a PostgreSQL connector sends them: six columns, without schema 474 bytes each; the same with schema, and flattened.

use std::fmt::Write;

/// The fields of a row's schema.
macro_rules! row_fields {
    () => {
        r#"{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":true,"field":"name"},{"type":"string","optional":true,"field":"email"},{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"12"},"field":"balance"},{"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","version":1,"field":"created_at"},{"type":"boolean","optional":true,"field":"active"}"#
    };
}

/// Bytes of every message without schema.
pub const MESSAGE_BYTES: usize = 474;

/// Messages made from a seed: inserts and updates of customers, keys and values.
#[must_use]
pub fn messages(count: usize, seed: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut random = Random(seed);
    (0..count).map(|i| (format!(r#"{{"id":{}}}"#, 100_000 + i).into_bytes(), message(i, &mut random))).collect()
}

/// The same with the schema of the envelope before each.
#[must_use]
pub fn messages_with_schema(count: usize, seed: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let wrap = |payload: Vec<u8>| [br#"{"schema":"#, ENVELOPE.as_bytes(), br#","payload":"#, &payload, b"}"].concat();
    messages(count, seed).into_iter().map(|(key, value)| (key, wrap(value))).collect()
}

/// The same rows as a transform leaves them of the envelope, with what it adds to order them.
#[must_use]
pub fn flat_messages(count: usize, seed: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let flat = |(i, value): (usize, &[u8])| {
        let text = String::from_utf8_lossy(value);
        let row = text.split_once(r#""after":"#).and_then(|(_, rest)| rest.split_once(r#"},"source""#));
        let (row, _) = row.unwrap_or_default();
        let op = if i % 2 == 0 { "c" } else { "u" };
        let lsn = 112_886_880 + 48 * i;
        format!(
            r#"{row},"__deleted":"false","__op":"{op}","__table":"customers","__lsn":{lsn},"__source_ts_ms":1795390369744}}"#
        )
    };
    let messages = messages(count, seed).into_iter().enumerate();
    messages.map(|(i, (key, value))| (key, flat((i, &value)).into_bytes())).collect()
}

/// The schema of the envelope, as Connect's JSON converter writes it.
pub const ENVELOPE: &str = concat!(
    r#"{"type":"struct","fields":[{"type":"struct","fields":["#,
    row_fields!(),
    r#"],"optional":true,"name":"shop.public.customers.Value","field":"before"},{"type":"struct","fields":["#,
    row_fields!(),
    r#"],"optional":true,"name":"shop.public.customers.Value","field":"after"},{"type":"struct","fields":[{"type":"string","optional":false,"field":"version"},{"type":"string","optional":false,"field":"connector"},{"type":"string","optional":false,"field":"name"},{"type":"int64","optional":false,"field":"ts_ms"},{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"default":"false","field":"snapshot"},{"type":"string","optional":false,"field":"db"},{"type":"string","optional":true,"field":"sequence"},{"type":"string","optional":false,"field":"schema"},{"type":"string","optional":false,"field":"table"},{"type":"int64","optional":true,"field":"txId"},{"type":"int64","optional":true,"field":"lsn"},{"type":"int64","optional":true,"field":"xmin"}],"optional":false,"name":"io.debezium.connector.postgresql.Source","version":1,"field":"source"},{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},{"type":"int64","optional":false,"field":"total_order"},{"type":"int64","optional":false,"field":"data_collection_order"}],"optional":true,"name":"event.block","version":1,"field":"transaction"},{"type":"string","optional":false,"field":"op"},{"type":"int64","optional":true,"field":"ts_ms"}],"optional":false,"name":"shop.public.customers.Envelope","version":2}"#
);

fn message(i: usize, random: &mut Random) -> Vec<u8> {
    let id = 100_000 + i;
    let lsn = 112_886_880 + 48 * i;
    let op = if random.below(2) == 0 { "c" } else { "u" };
    let head = format!(
        r#"{{"before":null,"after":{{"id":{id},"name":"{}","email":"customer{id}@example.org","balance":"{}","created_at":{},"active":{}}},"#,
        name(random),
        balance(random),
        1_600_000_000_000_000 + random.below(190_000_000_000_000),
        if random.below(2) == 0 { "true" } else { "false" },
    );
    let source = format!(
        r#""source":{{"version":"3.6.3.Final","connector":"postgresql","name":"shop","ts_ms":1795390369744,"snapshot":null,"db":"shop","sequence":"[\"{lsn}\",\"{lsn}\"]","schema":"public","table":"customers","txId":{},"lsn":{lsn},"xmin":null}},"#,
        3000 + i / 10,
    );
    let tail = format!(r#""transaction":null,"op":"{op}","ts_ms":1795390371420}}"#);
    let spare = MESSAGE_BYTES.saturating_sub(head.len() + source.len() + tail.len());
    let mut message = head;
    // The rest goes into the name, so that all are of one length.
    message.insert_str(message.find("\",\"email").unwrap_or(0), &"n".repeat(spare));
    message.push_str(&source);
    message.push_str(&tail);
    message.into_bytes()
}

fn name(random: &mut Random) -> String {
    const NAMES: [&str; 6] = ["Ada", "Björn", "Chiara", "Daria", "Émile", "Frida"];
    let first = NAMES[random.below(6) as usize];
    format!("{first} {}", NAMES[random.below(6) as usize])
}

/// Base64 of five bytes: a decimal of up to twelve digits.
fn balance(random: &mut Random) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = random.below(1 << 38) << 2;
    let mut text = String::new();
    for place in (0..7).rev() {
        let _ = write!(text, "{}", char::from(LETTERS[(bits >> (6 * place) & 63) as usize]));
    }
    text + "="
}

/// A linear congruential generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 20) % end
    }
}
