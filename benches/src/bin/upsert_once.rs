//! One upsert of the bench's table in a process of its own: its seconds, and the most memory that the process ever held.
//!
//! `upsert_once make FOLDER` makes the table, `upsert_once upsert FOLDER` upserts into it.

use std::path::Path;

use benches::orders;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, folder] = arguments.as_slice() else {
        eprintln!("usage: upsert_once make|upsert FOLDER");
        std::process::exit(2);
    };
    #[allow(clippy::disallowed_methods, reason = "a bench measures")]
    let started = std::time::Instant::now();
    match what.as_str() {
        "make" => orders::make(Path::new(folder)).await,
        "upsert" => orders::upsert(Path::new(folder)).await,
        other => {
            eprintln!("`{other}`: want make or upsert");
            std::process::exit(2);
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown");
    println!("{what}: {:.3} s, {peak}", started.elapsed().as_secs_f64());
}
