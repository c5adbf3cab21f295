//! Several writers at once on one table, each a process of its own; some are killed or stopped. What they write: `writers`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hudi_writer::{Clock, SystemClock, Table, TableWriter};

use crate::model::Seeded;
use crate::writers::{Kind, Part, Tally, open_much_later};

/// What a process of [`a_writing_process`] writes: kind, partition, commits, URL.
const ROLE: &str = "HUDI_TEST_WRITES";
/// After which time at most others go on where a writer was killed that held the lock.
#[cfg(feature = "s3")]
const SUCCEEDED_MS: i64 = 35_000;

/// Not a test of its own: what a process does that was started with a role. It prints what it commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is started by other tests"]
async fn a_writing_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut words = role.splitn(4, ' ');
    let mut word = || words.next().unwrap();
    let kind = word();
    let kind = Kind::ALL.into_iter().find(|k| format!("{k:?}") == kind).unwrap();
    let (partition, commits) = (word().parse().unwrap(), word().parse().unwrap());
    let part = Part::new(kind, partition, commits);
    part.send(&TableWriter::builder(word()), kind, |line| println!("\n{line}")).await;
}

/// A table, and how many commits each partition has.
#[derive(Debug, Clone)]
struct Task {
    kind: Kind,
    url: String,
    commits: usize,
}

impl Task {
    fn start(&self, partition: i32) -> Child {
        let Self { kind, url, commits } = self;
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::a_writing_process", "--ignored", "--nocapture"])
            .env(ROLE, format!("{kind:?} {partition} {commits} {url}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn part(&self, partition: i32) -> Part {
        Part::new(self.kind, partition, self.commits)
    }

    /// Everything that the processes told of is there, once heartbeats of the killed count no more.
    async fn assert_whole(&self, tally: &Tally, partitions: std::ops::Range<i32>) {
        open_much_later(&TableWriter::builder(&self.url)).await;
        let parts: Vec<Part> = partitions.map(|partition| self.part(partition)).collect();
        tally.assert_whole(&Table::open(&self.url).await.unwrap(), &parts).await;
    }
}

/// Hears what a process told that has ended; it must have ended well unless it was killed.
fn hear(child: Child, is_killed: bool, tally: &mut Tally) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().for_each(|line| tally.hear(line));
    assert!(is_killed || output.status.success(), "{text}");
}

fn kill(mut child: Child, tally: &mut Tally) {
    child.kill().unwrap();
    hear(child, true, tally);
}

#[cfg(feature = "s3")]
fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn name_of(url: &str) -> &str {
    url.split_once(':').map_or("folder", |(scheme, _)| scheme)
}

/// Three processes at once.
async fn race(task: Task) {
    let begun = SystemClock.now_ms();
    let mut tally = Tally::default();
    let children: Vec<Child> = (0..3).map(|partition| task.start(partition)).collect();
    children.into_iter().for_each(|child| hear(child, false, &mut tally));
    assert_eq!(tally.commits(), 3 * task.commits);
    task.assert_whole(&tally, 0..3).await;
    println!(
        "{}, {:?}, 3 processes: {} commits, {} conflicts, {} ms",
        name_of(&task.url),
        task.kind,
        tally.commits(),
        tally.conflicts,
        SystemClock.now_ms() - begun
    );
}

/// Three processes at once, one of which is killed now and then, and another takes its place.
async fn kill_and_go_on(task: Task, kills: usize, within_ms: u64) {
    let begun = SystemClock.now_ms();
    let (mut tally, mut random) = (Tally::default(), Seeded(kills as u64));
    let mut children: Vec<Child> = (0..3).map(|partition| task.start(partition)).collect();
    let mut alive = 0;
    for _ in 0..kills {
        SystemClock.sleep(100 + random.below(within_ms) as i64).await;
        let at = random.below(3) as usize;
        alive += usize::from(children[at].try_wait().unwrap().is_none());
        let killed = std::mem::replace(&mut children[at], task.start(at as i32));
        kill(killed, &mut tally);
    }
    children.into_iter().for_each(|child| hear(child, false, &mut tally));
    let pending = pending(&task).await;
    task.assert_whole(&tally, 0..3).await;
    println!(
        "{}, {:?}: {alive} processes killed at work, {pending} in a commit, {} of {} commits told of, {} conflicts, {} ms",
        name_of(&task.url),
        task.kind,
        tally.commits(),
        3 * task.commits,
        tally.conflicts,
        SystemClock.now_ms() - begun
    );
    assert!(alive * 2 >= kills, "only {alive} were at work: they need more to do");
}

/// Instants that killed writers left on the timeline and nobody has rolled back yet.
async fn pending(task: &Task) -> usize {
    Table::open(&task.url).await.unwrap().timeline().pending().count()
}

/// How long another writer takes for a commit of its own, from now on.
async fn succeed(task: &Task, partition: i32, tally: &mut Tally) -> i64 {
    let begun = SystemClock.now_ms();
    let one = Task { commits: 1, ..task.clone() };
    one.part(partition).send(&TableWriter::builder(&one.url), one.kind, |line| tally.hear(&line)).await;
    SystemClock.now_ms() - begun
}

/// One process after the other is killed at some moment; each time another writer must be able to go on soon.
async fn succeed_the_killed(task: Task, kills: i32, within_ms: u64, at_most_ms: i64) {
    let (mut tally, mut random) = (Tally::default(), Seeded(1));
    let mut took = vec![];
    for round in 1..=kills {
        let child = task.start(0);
        SystemClock.sleep(60 + random.below(within_ms) as i64).await;
        kill(child, &mut tally);
        took.push(succeed(&task, round, &mut tally).await);
    }
    hear(task.start(0), false, &mut tally);
    let pending = pending(&task).await;
    println!("{}: {pending} were killed in a commit, others went on after {took:?} ms", name_of(&task.url));
    assert!(took.iter().all(|ms| *ms < at_most_ms), "{took:?}");
    let parts: Vec<Part> = (1..=kills).map(|p| Task { commits: 1, ..task.clone() }.part(p)).collect();
    open_much_later(&TableWriter::builder(&task.url)).await;
    let parts = [vec![task.part(0)], parts].concat();
    tally.assert_whole(&Table::open(&task.url).await.unwrap(), &parts).await;
}

/// A table in a folder that is gone when the test ends.
fn in_folder(folder: &Path, kind: Kind, commits: usize) -> Task {
    let path: PathBuf = folder.join(format!("{kind:?}"));
    Task { kind, url: path.to_str().unwrap().to_owned(), commits }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_a_folder_lose_nothing_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    for kind in Kind::ALL {
        race(in_folder(folder.path(), kind, 6)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_a_folder_may_be_killed_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    kill_and_go_on(in_folder(folder.path(), Kind::Moving, 20), 8, 400).await;
    kill_and_go_on(in_folder(folder.path(), Kind::Bucketed, 20), 8, 400).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_killed_on_a_folder_is_succeeded_at_once() {
    let folder = tempfile::tempdir().unwrap();
    succeed_the_killed(in_folder(folder.path(), Kind::Simple, 40), 6, 300, 5_000).await;
}

/// Tables in a bucket: a writer that is killed or stopped leaves a lease, which must run out.
#[cfg(feature = "s3")]
mod in_a_bucket {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn task(bucket: &str, kind: Kind, commits: usize) -> Task {
        Task { kind, url: format!("{bucket}/{kind:?}"), commits }
    }

    /// Who holds the table's lease, as its object says.
    fn holder(url: &str) -> Option<String> {
        let server = std::env::var("HUDI_TEST_S3").unwrap();
        let address = server.strip_prefix("http://").unwrap();
        let path = url.strip_prefix("s3://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        // The server asks for a signature, of whatever key.
        let signed =
            "AWS4-HMAC-SHA256 Credential=a/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let head = format!("Host: {address}\r\nAuthorization: {signed}\r\nConnection: close");
        write!(stream, "GET /{path}/.hoodie/.locks/table_lock.json HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(!answer.starts_with("HTTP/1.1 403"), "{answer}");
        let (_, lease) = answer.split_once("\"expired\":false")?;
        Some(lease.split_once("\"owner\":\"")?.1.split_once('"')?.0.to_owned())
    }

    /// A table with a process that was stopped while it held the lease. Each try has a table of its own: its process has all to do.
    async fn stopped_holder(bucket: &str, random: &mut Seeded) -> (Task, Child) {
        for number in 0..40 {
            let task = task(&format!("{bucket}/{number}"), Kind::Bucketed, 6);
            let mut child = task.start(0);
            while holder(&task.url).is_none() && child.try_wait().unwrap().is_none() {
                SystemClock.sleep(random.below(20) as i64).await;
            }
            if child.try_wait().unwrap().is_some() {
                continue;
            }
            signal(&child, "-STOP");
            // What it sent before is done by then.
            SystemClock.sleep(200).await;
            if holder(&task.url).is_some() {
                return (task, child);
            }
            kill(child, &mut Tally::default());
        }
        panic!("none was stopped while it held the lease");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn processes_lose_nothing_to_each_other() {
        let Some(bucket) = crate::s3::bucket("processes") else { return };
        for kind in Kind::ALL {
            race(task(&bucket, kind, 4)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn processes_may_be_killed_at_any_time() {
        let Some(bucket) = crate::s3::bucket("killed") else { return };
        kill_and_go_on(task(&bucket, Kind::Moving, 8), 4, 1_500).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_is_killed_is_succeeded_within_35_seconds() {
        let Some(bucket) = crate::s3::bucket("succeeded") else { return };
        succeed_the_killed(task(&bucket, Kind::Simple, 20), 3, 1_000, SUCCEEDED_MS).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_is_killed_with_the_lease_is_succeeded_within_35_seconds() {
        let Some(bucket) = crate::s3::bucket("leased") else { return };
        let mut tally = Tally::default();
        let (task, child) = stopped_holder(&bucket, &mut Seeded(7)).await;
        let dead = holder(&task.url);
        kill(child, &mut tally);
        assert!(dead.is_some() && holder(&task.url) == dead, "it was killed while it held the lease");
        let took = succeed(&task, 1, &mut tally).await;
        println!("s3: others went on {took} ms after a holder of the lease was killed");
        assert!(took < SUCCEEDED_MS, "{took}");
        hear(task.start(0), false, &mut tally);
        hear(task.start(1), false, &mut tally);
        task.assert_whole(&tally, 0..2).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_is_stopped_with_the_lease_does_no_harm_when_it_goes_on() {
        let Some(bucket) = crate::s3::bucket("stopped") else { return };
        let mut tally = Tally::default();
        let (task, child) = stopped_holder(&bucket, &mut Seeded(8)).await;
        let took = succeed(&task, 1, &mut tally).await;
        signal(&child, "-CONT");
        // A request that it was stopped in runs out of time: it may fail, and is started again then.
        hear(child, true, &mut tally);
        println!("s3: others went on after {took} ms, the stopped one had {} conflicts", tally.conflicts);
        hear(task.start(0), false, &mut tally);
        hear(task.start(1), false, &mut tally);
        // Who is killed, or fails as an answer is late, may have made a commit that nobody heard of; nobody makes one twice.
        assert!(tally.commits() <= 2 * task.commits, "{} commits", tally.commits());
        task.assert_whole(&tally, 0..2).await;
    }
}
