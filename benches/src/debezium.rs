//! Debezium messages as a PostgreSQL connector sends them without schema: six columns, 474 bytes each.

use std::fmt::Write;

/// Bytes of every message.
pub const MESSAGE_BYTES: usize = 474;

/// Messages made from a seed: inserts and updates of customers, keys and values.
#[must_use]
pub fn messages(count: usize, seed: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut random = Random(seed);
    (0..count).map(|i| (format!(r#"{{"id":{}}}"#, 100_000 + i).into_bytes(), message(i, &mut random))).collect()
}

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
