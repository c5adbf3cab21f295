//! [`serve`]: answers `/metrics` and `/healthz` over HTTP/1.1, one request a connection.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hudi_writer::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::board::Watch;

/// No request that is answered here is longer.
const MAX_REQUEST_BYTES: usize = 8 * 1024;
/// Who asks while so many do waits.
const MAX_CONNECTIONS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, watch: Arc<Watch>, clock: Arc<dyn Clock>) {
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = answers.next(), if !answers.is_empty() => {}
            accepted = listener.accept(), if answers.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => answers.push(answer_in_time(stream, &watch, &*clock)),
                Err(error) => {
                    tracing::warn!(%error, "no connection for metrics");
                    clock.sleep(1_000).await;
                }
            }
        }
    }
}

async fn answer_in_time(stream: TcpStream, watch: &Watch, clock: &dyn Clock) {
    let answered = tokio::time::timeout(PATIENCE, answer(stream, watch, clock)).await;
    tracing::trace!(?answered, "asked over HTTP");
}

async fn answer(mut stream: TcpStream, watch: &Watch, clock: &dyn Clock) -> std::io::Result<()> {
    let path = match path_of(&mut stream).await? {
        Some(path) => path,
        None => return respond(&mut stream, "400 Bad Request", "only GET is answered\n").await,
    };
    match path.split('?').next().unwrap_or_default() {
        "/metrics" => respond(&mut stream, "200 OK", &watch.metrics()).await,
        "/healthz" => match watch.complaints(clock.now_ms()) {
            complaints if complaints.is_empty() => respond(&mut stream, "200 OK", "ok\n").await,
            complaints => respond(&mut stream, "503 Service Unavailable", &(complaints.join("\n") + "\n")).await,
        },
        _ => respond(&mut stream, "404 Not Found", "want /metrics or /healthz\n").await,
    }
}

/// What is asked for; `None` where that is not understood.
async fn path_of(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let (mut request, mut piece) = (vec![], [0; 1024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await?;
        request.extend_from_slice(&piece[..read]);
        if read == 0 || request.len() > MAX_REQUEST_BYTES {
            return Ok(None);
        }
    }
    let text = String::from_utf8_lossy(&request);
    let mut words = text.lines().next().unwrap_or_default().split(' ');
    Ok(words.next().filter(|method| *method == "GET").and_then(|_| words.next()).map(str::to_owned))
}

async fn respond(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
