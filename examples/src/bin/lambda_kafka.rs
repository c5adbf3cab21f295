//! AWS Lambda's `bootstrap` for an event source of Kafka: what an invocation brings is committed to its tables, or sent again.
//!
//! What it is told stands in variables of the environment; `docs/lambda.md` lists them, and says how it is built.

use std::process::ExitCode;
use std::sync::Arc;

use examples::glue::syncer;
use examples::lambda::{Handler, LambdaSettings, RuntimeApi};
use examples::{Failure, finish};
use hudi_writer::SystemClock;

fn main() -> ExitCode {
    // A function has one core or little more; what takes long is done beside it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    finish(runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run())))
}

async fn run() -> Result<(), Failure> {
    let api = RuntimeApi::from_environment()?;
    let settings = match variables().and_then(LambdaSettings::from_variables) {
        Ok(settings) => settings,
        Err(failure) => {
            api.cannot_begin(&failure).await?;
            return Err(failure);
        }
    };
    let log = tracing_subscriber::fmt().with_max_level(settings.log).json().flatten_event(true);
    log.try_init().map_err(|error| Failure::failed(error.to_string()))?;
    let syncer = match syncer(settings.glue.as_ref(), Arc::new(SystemClock)).await {
        Ok(syncer) => syncer,
        Err(failure) => {
            api.cannot_begin(&failure).await?;
            return Err(failure);
        }
    };
    let mut handler = Handler::new(settings, Arc::new(SystemClock)).syncing(syncer);
    loop {
        let invocation = api.next().await?;
        let answer = handler.handle(&invocation).await;
        if let Err(failure) = api.answer(&invocation, answer).await {
            // It came too late, perhaps: the event is sent again.
            tracing::error!(%failure, request_id = invocation.request_id, "not answered");
        }
    }
}

fn variables() -> Result<Vec<(String, String)>, Failure> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok()?;
        Some(value.into_string().map(|value| (name.clone(), value)).map_err(|_| name))
    };
    let variables: Result<_, String> = std::env::vars_os().filter_map(text).collect();
    variables.map_err(|name| Failure::usage(format!("{name}: is no text")))
}
