//! One who writes falls asleep before a call, is thought dead, and wakes after another went on: two writers that both
//! believe to be the one.

use crate::crashes::{bucketed, partitioned, simple};
use crate::history::{History, calls_of, survive_a_sleeper};

/// How long they sleep: shorter and longer than a lease and a heartbeat last.
const PAUSES_MS: [i64; 4] = [0, 25_000, 61_000, 600_000];

async fn survive_sleepers(name: &str, history: History) {
    let calls = calls_of(&history).await.len();
    for at in 0..calls {
        for pause_ms in PAUSES_MS {
            if let Err(wrong) = survive_a_sleeper(&history, at, pause_ms).await {
                panic!("{name}: asleep at call {at} for {pause_ms} ms: {wrong}");
            }
        }
    }
    println!("{} crash points: {name}, asleep", calls * PAUSES_MS.len());
}

#[tokio::test]
async fn a_sleeper_of_a_bucketed_table_does_no_harm() {
    survive_sleepers("bucketed", bucketed()).await;
}

#[tokio::test]
async fn a_sleeper_of_a_simple_table_does_no_harm() {
    survive_sleepers("simple", simple()).await;
}

#[tokio::test]
async fn a_sleeper_of_a_partitioned_table_does_no_harm() {
    survive_sleepers("partitioned", partitioned()).await;
}
