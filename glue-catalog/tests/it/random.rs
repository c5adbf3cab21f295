//! Tables that live on while syncs of several processes fail, die and overtake each other: in the end Glue has every partition with
//! data and no other.

use std::time::Duration;

use glue_catalog::settings::Stamping;
use glue_catalog::testing::{Fault, Limits};
use glue_catalog::{GlueSync, HudiTable};

use crate::world::{World, days, id, orders, stamp};

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[tokio::test(start_paused = true)]
async fn glue_has_what_the_table_has_after_any_life() {
    for seed in 0..60 {
        live(seed).await;
    }
}

async fn live(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::new();
    world.settings.stamping = if seed.is_multiple_of(2) { Stamping::EveryCommit } else { Stamping::Lazy };
    world.glue.set_limits(Limits { latency_ms: 5, page_size: 20, ..Limits::default() });
    let mut processes: Vec<GlueSync> = (0..2).map(|_| world.process()).collect();
    let mut table = orders();
    let (mut now, mut pending): (i64, Vec<i64>) = (0, Vec::new());
    for _ in 0..25 {
        now += 1000;
        match dice.below(12) {
            0..=4 => {
                let from = dice.below(60);
                table.write(now, days(from..from + 1 + dice.below(40)));
            }
            5..=6 => {
                let from = dice.below(80);
                let gone = days(from..from + 1 + dice.below(10));
                table.delete_partitions(now, &gone.iter().map(String::as_str).collect::<Vec<_>>());
            }
            7 => {
                table.begin(now);
                pending.push(now);
            }
            // Days of its own: nobody deletes where others are writing.
            8 if !pending.is_empty() => {
                let at = pending.swap_remove(dice.below(pending.len()));
                let day = 200 + dice.below(20);
                table.write(at, days(day..day + 1));
            }
            9 if pending.is_empty() => {
                let keep = now - 1000 * i64::try_from(1 + dice.below(4)).unwrap();
                table.archive_before(keep);
            }
            10 => processes[dice.below(2)] = world.process(),
            _ => {}
        }
        let process = &processes[dice.below(2)];
        match dice.below(6) {
            0 => continue,
            1 => {
                let call = world.glue.calls().len() + 1 + dice.below(6);
                world.glue.add_fault(Fault::DiesAt { call, carried_out: dice.below(2) == 0 });
                let _ = process.sync(&table, &world.settings).await;
                world.glue.clear_faults();
            }
            2 => {
                let wait = Duration::from_millis(1 + dice.below(40) as u64);
                let _ = tokio::time::timeout(wait, process.sync(&table, &world.settings)).await;
            }
            3 => {
                let code = ["ConcurrentModificationException", "ThrottlingException"][dice.below(2)];
                world.glue.add_fault(Fault::Fails { operation: "UpdateTable", code, times: 1, carried_out: false });
                process.sync(&table, &world.settings).await.unwrap();
                world.glue.clear_faults();
            }
            4 => {
                let [a, b] = &processes[..] else { unreachable!() };
                let (a, b) = tokio::join!(a.sync(&table, &world.settings), b.sync(&table, &world.settings));
                a.unwrap();
                b.unwrap();
            }
            _ => drop(process.sync(&table, &world.settings).await.unwrap()),
        }
    }
    table.write(now + 1000, days(0..1));
    processes[0].sync(&table, &world.settings).await.unwrap();
    let expected: Vec<String> =
        table.partitions().await.unwrap().iter().map(|path| path.trim_start_matches("dt=").to_owned()).collect();
    assert_eq!(world.values("orders"), expected, "seed {seed}");
    assert!(stamp(&world.table("orders")).is_some(), "seed {seed}");
    world.glue.forget_calls();
    processes[1].sync(&table, &world.settings).await.unwrap();
    let fixed = world.content();
    world.settings.full = true;
    let reports = world.sync(&table).await;
    assert_eq!((reports[0].added, reports[0].updated, reports[0].dropped), (0, 0, 0), "seed {seed}");
    assert_eq!(world.glue.partitions(&id("orders")).len(), expected.len(), "seed {seed}");
    assert_eq!(fixed[0].2, world.content()[0].2, "seed {seed}");
}
