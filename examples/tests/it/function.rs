//! [`Function`]: the program as AWS Lambda runs it: a runtime API of our own, that hands it events and takes its answers.

#![allow(clippy::disallowed_methods, reason = "a runtime API tells the machine's time")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kafka_source::CapturedRecord;
use serde_json::{Value, json};

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program that is tried: that of this build, or one that was built otherwise.
pub(crate) fn program() -> String {
    std::env::var("LAMBDA_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_lambda_kafka").to_owned())
}

/// An event, and when its time is over.
struct Event {
    id: String,
    text: String,
    deadline_ms: u128,
}

/// What the function said to an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Response(Value),
    Error(Value),
}

impl Answer {
    /// Everything is done.
    #[track_caller]
    pub(crate) fn is_done(&self) {
        assert_eq!(*self, Self::Response(json!({"batchItemFailures": []})));
    }

    /// From where partitions are to be sent again.
    #[track_caller]
    pub(crate) fn undone(&self) -> Vec<(String, i64)> {
        let Self::Response(answer) = self else { panic!("{self:?}") };
        let failure = |of: &Value| {
            let of = &of["itemIdentifier"];
            (of["partition"].as_str().unwrap().to_owned(), of["offset"].as_i64().unwrap())
        };
        answer["batchItemFailures"].as_array().unwrap().iter().map(failure).collect()
    }

    /// With a message that has this in it.
    #[track_caller]
    pub(crate) fn failed(&self, message: &str) {
        let Self::Error(error) = self else { panic!("{message}: {self:?}") };
        let told = error["errorMessage"].as_str().unwrap();
        assert!(told.contains(message) && error["errorType"].is_string(), "{message}: {told}");
    }
}

/// What the function and its runtime API said.
#[derive(Default)]
struct Heard {
    lines: Vec<(Instant, String)>,
    asked: Option<Instant>,
}

/// A process of the program.
pub(crate) struct Function {
    child: Child,
    events: Option<Sender<Event>>,
    answers: Receiver<(String, Answer)>,
    heard: Arc<Mutex<Heard>>,
    begun: Instant,
    sent: usize,
}

impl Function {
    /// With these variables.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, to_send) = channel();
        let (answer, answers) = channel();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let to_send = Arc::new(Mutex::new(to_send));
        let board = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (to_send, answer, board) = (Arc::clone(&to_send), answer.clone(), Arc::clone(&board));
                std::thread::spawn(move || serve(stream.unwrap(), &to_send, &answer, &board));
            }
        });
        let ours = std::env::vars().filter(|(name, _)| !name.starts_with("HUDI_"));
        let begun = Instant::now();
        let mut child = Command::new(program())
            .env_clear()
            .envs(ours)
            .envs([("AWS_LAMBDA_RUNTIME_API", address.as_str()), ("AWS_LAMBDA_FUNCTION_NAME", "tried")])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        listen(child.stdout.take().unwrap(), &heard);
        listen(child.stderr.take().unwrap(), &heard);
        Self { child, events: Some(events), answers, heard, begun, sent: 0 }
    }

    /// Calls it, with half a minute's time.
    pub(crate) fn invoke(&mut self, event: &str) -> Answer {
        self.invoke_within(event, Duration::from_secs(30))
    }

    pub(crate) fn invoke_within(&mut self, event: &str, time: Duration) -> Answer {
        self.send(event, time);
        self.answer()
    }

    /// Calls it and does not wait.
    pub(crate) fn send(&mut self, event: &str, time: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        self.sent += 1;
        let event =
            Event { id: format!("event-{}", self.sent), text: event.to_owned(), deadline_ms: (now + time).as_millis() };
        self.events.as_ref().unwrap().send(event).unwrap();
    }

    pub(crate) fn answer(&self) -> Answer {
        self.answer_within(PATIENCE).unwrap_or_else(|| panic!("no answer:\n{}", self.log()))
    }

    pub(crate) fn answer_within(&self, time: Duration) -> Option<Answer> {
        match self.answers.recv_timeout(time) {
            Ok((id, answer)) => {
                assert!(id == format!("event-{}", self.sent) || id == "init", "{id}");
                Some(answer)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The metrics of the last invocation.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Value {
        let of_last = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            (line["_aws"].is_object() && line["request_id"] == format!("event-{}", self.sent)).then_some(line)
        };
        self.hear(|lines| lines.iter().rev().find_map(|(_, line)| of_last(line)))
    }

    /// Waits for a line: answers overtake what was printed before them.
    #[track_caller]
    fn hear<T>(&self, find: impl Fn(&[(Instant, String)]) -> Option<T>) -> T {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(found) = find(&self.heard.lock().unwrap().lines) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("not heard:\n{}", self.log())
    }

    /// Everything that it printed.
    pub(crate) fn log(&self) -> String {
        let heard = self.heard.lock().unwrap();
        heard.lines.iter().fold(String::new(), |mut text, (_, line)| {
            writeln!(text, "{line}").unwrap();
            text
        })
    }

    /// From its start until it asked for an event, and until its handler printed its first line.
    pub(crate) fn cold_start(&self) -> (Duration, Duration) {
        let first_line = self.hear(|lines| lines.first().map(|(at, _)| *at));
        let asked = self.heard.lock().unwrap().asked.unwrap();
        (asked - self.begun, first_line - self.begun)
    }

    /// The most memory that it took, as the system says.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// As Lambda, or a power cut, does it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        let text = self.hear(|lines| lines.last().map(|(_, line)| line.clone()));
        (code, text)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.events = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(from: impl Read + Send + 'static, heard: &Arc<Mutex<Heard>>) {
    let heard = Arc::clone(heard);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            heard.lock().unwrap().lines.push((Instant::now(), line));
        }
    });
}

/// Answers one request. Who is killed leaves a request behind: that is over then.
fn serve(
    mut stream: TcpStream,
    events: &Mutex<Receiver<Event>>,
    answers: &Sender<(String, Answer)>,
    heard: &Mutex<Heard>,
) -> Option<()> {
    let (path, body) = request(&mut stream)?;
    let rest = path.strip_prefix("/2018-06-01/runtime/").unwrap_or_else(|| panic!("{path}"));
    if rest == "invocation/next" {
        heard.lock().unwrap().asked.get_or_insert_with(Instant::now);
        let Event { id, text, deadline_ms } = events.lock().unwrap().recv().ok()?;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\ncontent-type: application/json\r\nLambda-Runtime-Aws-Request-Id: {id}\r\n\
             Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:1:function:tried\r\n\r\n",
            text.len()
        );
        return stream.write_all(&[head.as_bytes(), text.as_bytes()].concat()).ok();
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let answer = match rest.split('/').collect::<Vec<_>>()[..] {
        ["invocation", id, "response"] => (id.to_owned(), Answer::Response(body)),
        ["invocation", id, "error"] => (id.to_owned(), Answer::Error(body)),
        ["init", "error"] => ("init".to_owned(), Answer::Error(body)),
        _ => panic!("{path}"),
    };
    stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 15\r\n\r\n{\"status\":\"OK\"}").ok()?;
    answers.send(answer).ok()
}

fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", bytes)) => length = bytes.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first.split(' ').nth(1)?.to_owned(), body))
}

/// The event that brings these records.
pub(crate) fn event(records: &[CapturedRecord]) -> String {
    let base64 = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
    let mut partitions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in records {
        let signed = |bytes: &Vec<u8>| bytes.iter().map(|byte| byte.cast_signed()).collect::<Vec<i8>>();
        let header = |header: &kafka_source::CapturedHeader| json!({&header.name: header.value.as_ref().map(signed)});
        let headers: Vec<Value> = record.headers.iter().map(header).collect();
        partitions.entry(format!("{}-{}", record.topic, record.partition)).or_default().push(json!({
            "topic": record.topic, "partition": record.partition, "offset": record.offset,
            "timestamp": record.timestamp_ms, "timestampType": "CREATE_TIME",
            "key": base64(&record.key), "value": base64(&record.value), "headers": headers,
        }));
    }
    json!({
        "eventSource": "aws:kafka", "eventSourceArn": "arn:aws:kafka:us-east-1:1:cluster/c/1",
        "bootstrapServers": "b-1:9092", "records": partitions,
    })
    .to_string()
}
