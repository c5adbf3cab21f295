//! [`RuntimeApi`]: Lambda's runtime API, version 2018-06-01: the next event, its answer, and a beginning that failed.
//!
//! One connection a request: it is a socket of the same machine, and the process is frozen between an answer and the next event.

use bytes::Bytes;
use futures::future::join;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::http::request::Builder;
use hyper::http::response::Parts;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::Failure;

const ADDRESS: &str = "AWS_LAMBDA_RUNTIME_API";

/// Lambda's runtime API.
#[derive(Debug, Clone)]
pub struct RuntimeApi {
    address: String,
}

/// What a function is called with.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// By what Lambda knows it.
    pub request_id: String,
    /// When Lambda waits no longer, in milliseconds since 1970 UTC.
    pub deadline_ms: i64,
    /// The event's text.
    pub event: Bytes,
}

/// A failure, as Lambda takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    error_type: &'static str,
    error_message: String,
}

impl RuntimeApi {
    /// That of the environment.
    ///
    /// # Errors
    /// Where there is none.
    pub fn from_environment() -> Result<Self, Failure> {
        let address = std::env::var(ADDRESS);
        let absent = |_| Failure::usage(format!("{ADDRESS}: there is none; this program is started by AWS Lambda"));
        address.map(|address| Self { address }).map_err(absent)
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// Where Lambda cannot be asked, or its answer is none.
    pub async fn next(&self) -> Result<Invocation, Failure> {
        let (parts, event) = self.call(Method::GET, "invocation/next", Bytes::new()).await?;
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let id = header("lambda-runtime-aws-request-id").map(str::to_owned);
        let deadline_ms = header("lambda-runtime-deadline-ms").and_then(|ms| ms.parse().ok());
        match (id, deadline_ms) {
            (Some(request_id), Some(deadline_ms)) => Ok(Invocation { request_id, deadline_ms, event }),
            _ => Err(Failure::failed("the runtime API tells neither the request's id nor its deadline")),
        }
    }

    /// Answers an invocation.
    ///
    /// # Errors
    /// Where Lambda cannot be told.
    pub async fn answer(&self, invocation: &Invocation, answer: Result<String, Failure>) -> Result<(), Failure> {
        let id = &invocation.request_id;
        let (path, body) = match answer {
            Ok(answer) => (format!("invocation/{id}/response"), answer.into()),
            Err(failure) => (format!("invocation/{id}/error"), told(&failure)),
        };
        self.call(Method::POST, &path, body).await.map(drop)
    }

    /// There will be no function: nothing can be done as it is told.
    ///
    /// # Errors
    /// Where Lambda cannot be told.
    pub async fn cannot_begin(&self, failure: &Failure) -> Result<(), Failure> {
        self.call(Method::POST, "init/error", told(failure)).await.map(drop)
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<(Parts, Bytes), Failure> {
        let failed = |what: String| Failure::failed(format!("the runtime API, {path}: {what}"));
        let request = Builder::new().method(method).uri(format!("/2018-06-01/runtime/{path}"));
        let request = request.header("host", &self.address).body(Full::new(body));
        let request = request.map_err(|error| failed(error.to_string()))?;
        let (parts, body) = self.exchange(request).await.map_err(|error| failed(error.to_string()))?;
        match parts.status.is_success() {
            true => Ok((parts, body)),
            false => Err(failed(format!("{} {}", parts.status, String::from_utf8_lossy(&body)))),
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Parts, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async move {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            Ok((parts, body.collect().await?.to_bytes()))
        };
        // The connection ends with its sender; what it would complain of, the exchange tells.
        join(connection, exchange).await.1
    }
}

fn told(failure: &Failure) -> Bytes {
    let error_type = match failure {
        Failure::Usage(_) => "Refused",
        Failure::Failed(_) => "NotCommitted",
    };
    serde_json::to_vec(&Told { error_type, error_message: failure.to_string() }).unwrap_or_default().into()
}
