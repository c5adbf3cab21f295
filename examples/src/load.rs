//! [`Load`]: seeded changes of made-up tables, as Debezium's connector for PostgreSQL sends them, and what the tables hold in the end.
//!
//! The same seed gives the same messages. Not here: where they go, and how quickly.

use std::collections::BTreeMap;
use std::fmt::Write;

use kafka_source::{CapturedHeader, CapturedRecord};

/// The beginning of the made-up time, in milliseconds since 1970 UTC.
const FIRST_MS: i64 = 1_750_000_000_000;
const FIRST_LSN: u64 = 1 << 24;
const REGIONS: [&str; 5] = ["eu-north", "eu-south", "us-east", "us-west", "ap-south"];

/// What changes are made.
#[derive(Debug, Clone)]
pub struct LoadSettings {
    /// Gives the same messages again.
    pub seed: u64,
    /// What the topics' names begin with: `prefix.public.t0`, …
    pub prefix: String,
    /// Tables, each with a topic of its own.
    pub tables: usize,
    /// Partitions of each topic; a key's messages come by one of them.
    pub partitions: i32,
    /// Keys that a table can have.
    pub keys: u64,
    /// Of a hundred changes of rows that are there, how many are deletes.
    pub deletes_percent: u64,
    /// Each change is a new row with the next key, as of a table that only grows: `keys` and `deletes_percent` count for nothing.
    pub only_inserts: bool,
    /// Bytes of a message's value, about; at least what the envelope takes.
    pub message_bytes: usize,
}

impl Default for LoadSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            prefix: "load".to_owned(),
            tables: 1,
            partitions: 3,
            keys: 100_000,
            deletes_percent: 5,
            only_inserts: false,
            message_bytes: 470,
        }
    }
}

/// A row of a made-up table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRow {
    customer_id: u64,
    region: &'static str,
    cents: u64,
    version: u64,
}

/// Makes changes without end.
#[derive(Debug)]
pub struct Load {
    settings: LoadSettings,
    random: u64,
    lsn: u64,
    tables: Vec<MadeTable>,
}

#[derive(Debug)]
struct MadeTable {
    topic: String,
    rows: BTreeMap<u64, LoadRow>,
    next_offsets: Vec<i64>,
}

/// What is told of a change beside its row.
struct MadeChange {
    topic: String,
    partition: i32,
    offset: i64,
    id: u64,
    op: char,
    ms: i64,
}

impl Load {
    /// The first change comes next.
    #[must_use]
    pub fn new(settings: LoadSettings) -> Self {
        let table = |number| MadeTable {
            topic: format!("{}.public.t{number}", settings.prefix),
            rows: BTreeMap::new(),
            next_offsets: vec![0; usize::try_from(settings.partitions.max(1)).unwrap_or(1)],
        };
        let tables = (0..settings.tables.max(1)).map(table).collect();
        Self { random: settings.seed, lsn: FIRST_LSN, tables, settings }
    }

    /// The topics, in the order of their tables.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.topic.as_str())
    }

    /// What each table holds now: a line of JSON for each row, in the order of the keys, by topic.
    #[must_use]
    pub fn state(&self) -> BTreeMap<&str, Vec<String>> {
        let lines = |table: &MadeTable| table.rows.iter().map(|(id, row)| row.json(*id)).collect();
        self.tables.iter().map(|table| (table.topic.as_str(), lines(table))).collect()
    }

    /// SplitMix64: a number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// The next change, of a made-up time: one message; a delete's tombstone is not sent.
    pub fn next_record(&mut self) -> CapturedRecord {
        let ms = FIRST_MS + i64::try_from((self.lsn - FIRST_LSN) / 64).unwrap_or(0);
        self.next_record_at(ms)
    }

    /// The next change, which the source commits at this time, in milliseconds since 1970 UTC.
    pub fn next_record_at(&mut self, ms: i64) -> CapturedRecord {
        let (table, id) = (self.below(self.tables.len() as u64) as usize, self.below(self.settings.keys));
        let id = if self.settings.only_inserts { self.tables[table].rows.len() as u64 } else { id };
        let deletes = self.below(100) < self.settings.deletes_percent;
        let (customer_id, region, cents) = (self.below(5_000), self.below(5) as usize, self.below(1_000_000));
        self.lsn += 64;
        let made = &mut self.tables[table];
        let before = made.rows.get(&id).map(|row| row.version);
        let op = match before {
            None => 'c',
            Some(_) if deletes => 'd',
            Some(_) => 'u',
        };
        let row = LoadRow { customer_id, region: REGIONS[region], cents, version: before.map_or(0, |v| v + 1) };
        if op == 'd' {
            made.rows.remove(&id)
        } else {
            made.rows.insert(id, row.clone())
        };
        let partition = (id % made.next_offsets.len() as u64) as usize;
        let offset = made.next_offsets[partition];
        made.next_offsets[partition] += 1;
        let topic = made.topic.clone();
        let change = MadeChange { topic, partition: partition as i32, offset, id, op, ms };
        self.record(change, &row)
    }

    fn record(&self, change: MadeChange, row: &LoadRow) -> CapturedRecord {
        let MadeChange { topic, partition, offset, id, op, ms } = change;
        let lsn = self.lsn;
        let table = topic.rsplit('.').next().unwrap_or_default();
        let image = if op == 'd' { LoadRow::deleted(id) } else { row.json(id) };
        let (before, after) = if op == 'd' { (image.as_str(), "null") } else { ("null", image.as_str()) };
        let mut value = String::with_capacity(self.settings.message_bytes + 64);
        let _ = write!(
            value,
            r#"{{"before":{before},"after":{after},"source":{{"version":"3.6.3.Final","connector":"postgresql","name":"{prefix}","ts_ms":{ms},"snapshot":"false","db":"load","sequence":"[\"{lsn}\",\"{lsn}\"]","schema":"public","table":"{table}","txId":{tx},"lsn":{lsn},"xmin":null}},"transaction":null,"op":"{op}","ts_ms":{ms}}}"#,
            prefix = self.settings.prefix,
            tx = lsn / 64,
        );
        self.fill(&mut value);
        CapturedRecord {
            topic,
            partition,
            offset,
            timestamp_ms: Some(ms),
            key: Some(format!(r#"{{"id":{id}}}"#).into_bytes()),
            value: Some(value.into_bytes()),
            headers: Vec::<CapturedHeader>::new(),
        }
    }

    /// Blanks before the end bring a message to its size: they cost a reader what any bytes would.
    fn fill(&self, value: &mut String) {
        let missing = self.settings.message_bytes.saturating_sub(value.len());
        if missing > 0 && value.pop().is_some() {
            value.extend(std::iter::repeat_n(' ', missing));
            value.push('}');
        }
    }
}

impl LoadRow {
    fn json(&self, id: u64) -> String {
        let Self { customer_id, region, cents, version } = self;
        format!(r#"{{"id":{id},"customer_id":{customer_id},"region":"{region}","cents":{cents},"version":{version}}}"#)
    }

    /// What PostgreSQL tells of a deleted row: its key.
    fn deleted(id: u64) -> String {
        format!(r#"{{"id":{id},"customer_id":null,"region":null,"cents":null,"version":null}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_messages_of_about_the_wanted_size() {
        let settings = LoadSettings { tables: 2, keys: 50, ..LoadSettings::default() };
        let (mut one, mut other) = (Load::new(settings.clone()), Load::new(settings));
        let mut next = BTreeMap::new();
        for _ in 0..2_000 {
            let record = one.next_record();
            assert_eq!(record, other.next_record());
            let expected = next.entry((record.topic.clone(), record.partition)).or_insert(0);
            assert_eq!(record.offset, *expected);
            *expected += 1;
            assert!((470..600).contains(&record.value.unwrap().len()));
        }
        assert_eq!(next.len(), 6);
        assert!(one.state().values().all(|rows| (20..=50).contains(&rows.len())));
    }

    #[test]
    fn what_is_left_is_what_the_messages_say_last() {
        let mut load = Load::new(LoadSettings { keys: 20, deletes_percent: 30, ..LoadSettings::default() });
        let mut rows: BTreeMap<u64, String> = BTreeMap::new();
        for _ in 0..500 {
            let value: serde_json::Value = serde_json::from_slice(&load.next_record().value.unwrap()).unwrap();
            let image = if value["op"] == "d" { &value["before"] } else { &value["after"] };
            let id = image["id"].as_u64().unwrap();
            match value["op"] == "d" {
                true => drop(rows.remove(&id)),
                false => drop(rows.insert(id, image.to_string())),
            }
        }
        assert_eq!(load.state()["load.public.t0"], rows.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn a_table_that_only_grows_gets_each_key_once() {
        let mut load = Load::new(LoadSettings { keys: 3, only_inserts: true, ..LoadSettings::default() });
        for id in 0..100 {
            let value: serde_json::Value = serde_json::from_slice(&load.next_record().value.unwrap()).unwrap();
            assert_eq!((value["op"].as_str(), value["after"]["id"].as_u64()), (Some("c"), Some(id)));
        }
        assert_eq!(load.state()["load.public.t0"].len(), 100);
    }
}
