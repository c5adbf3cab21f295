//! Whose turn it is: [`Due`]. Pure: by what waits for each table, how long, and how much memory is left.

use std::cmp::Reverse;
use std::sync::Arc;

use super::settings::IngestSettings;

/// A table whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The table.
    pub table: Arc<str>,
    /// Why.
    pub why: Why,
}

/// Why it is a table's turn. Who comes first is dealt with first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// A partition goes away, or the process ends.
    Drain,
    /// The table shares a topic with others, and does not say yet where it begins in one of its partitions: until it does, the
    /// others cannot say that they are further.
    Begin,
    /// Memory is short.
    Memory,
    /// Enough bytes wait.
    Bytes,
    /// Enough changes wait.
    Rows,
    /// They wait long enough.
    Age,
    /// Positions moved by messages that hold no change for it.
    Positions,
}

/// A table that may have its turn.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) table: Arc<str>,
    pub(super) why: Option<Why>,
    /// Of what waits, in decoders too.
    pub(super) bytes: usize,
    pub(super) waited_ms: i64,
    pub(super) failures: u32,
}

/// What all tables hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) total_bytes: usize,
    /// Of commits that are under way.
    pub(super) flying_bytes: usize,
}

/// Those whose turn it is, in their order.
pub(super) fn due(mut candidates: Vec<Candidate>, memory: Memory, settings: &IngestSettings) -> Vec<Due> {
    if memory.total_bytes > settings.high_bytes() {
        make_room(&mut candidates, memory, settings);
    }
    candidates.sort_by_key(|of| (of.why, of.failures, Reverse(of.waited_ms)));
    candidates.into_iter().filter_map(|of| Some(Due { table: of.table, why: of.why? })).collect()
}

/// The largest and oldest have their turn, as many as it takes.
fn make_room(candidates: &mut [Candidate], memory: Memory, settings: &IngestSettings) {
    let chosen: usize = candidates.iter().filter(|of| of.why.is_some()).map(|of| of.bytes).sum();
    let mut left = memory.total_bytes.saturating_sub(memory.flying_bytes + chosen);
    candidates.sort_by_key(|of| Reverse(of.bytes as u128 * (of.waited_ms.max(0) as u128 + 1)));
    for of in candidates.iter_mut().filter(|of| of.why.is_none() && of.bytes > 0) {
        if left <= settings.low_bytes() {
            return;
        }
        of.why = Some(Why::Memory);
        left = left.saturating_sub(of.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(table: &str, why: Option<Why>, bytes: usize, waited_ms: i64) -> Candidate {
        Candidate { table: table.into(), why, bytes, waited_ms, failures: 0 }
    }

    fn told(candidates: Vec<Candidate>, flying_bytes: usize) -> String {
        let settings = IngestSettings { budget_bytes: 1000, ..IngestSettings::default() };
        let total_bytes = candidates.iter().map(|of| of.bytes).sum::<usize>() + flying_bytes;
        let due = due(candidates, Memory { total_bytes, flying_bytes }, &settings);
        due.iter().map(|due| format!("{} {:?}", due.table, due.why)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn while_there_is_memory_only_those_with_a_reason_have_their_turn() {
        let age = candidate("age", Some(Why::Age), 10, 60_000);
        let drain = candidate("drain", Some(Why::Drain), 10, 1);
        assert_eq!(told(vec![age, candidate("none", None, 730, 9), drain], 0), "drain Drain, age Age");
    }

    #[test]
    fn where_memory_is_short_the_largest_and_oldest_come_first_until_there_is_enough() {
        let tables = || {
            let [large, old, small] = [("large", 400, 99), ("old", 300, 399), ("small", 100, 99)];
            [large, old, small].map(|(table, bytes, waited)| candidate(table, None, bytes, waited)).to_vec()
        };
        assert_eq!(told(tables(), 0), "old Memory");
        assert_eq!(told(tables(), 900), "old Memory");
        let mut more = tables();
        more.push(candidate("new", None, 400, 0));
        assert_eq!(told(more, 0), "old Memory, large Memory");
        // What is under way, or has its turn anyway, makes room too.
        let rows = candidate("rows", Some(Why::Rows), 400, 0);
        assert_eq!(told(vec![rows, candidate("none", None, 400, 9)], 200), "rows Rows");
    }

    #[test]
    fn among_equals_one_that_failed_comes_last_and_one_that_waited_first() {
        let failed = Candidate { failures: 2, ..candidate("failed", Some(Why::Age), 1, 900) };
        let tables = vec![failed, candidate("a", Some(Why::Age), 1, 5), candidate("b", Some(Why::Age), 1, 6)];
        assert_eq!(told(tables, 0), "b Age, a Age, failed Age");
    }
}
