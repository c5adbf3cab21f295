//! How a program ends: 0; 1 and one clear message for a failure; 2 for a usage that is wrong or refused.

use std::process::ExitCode;

/// Why a program ends without having done what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// What was asked cannot be done, whatever the data.
    Usage(String),
    /// Something failed.
    Failed(String),
}

impl Failure {
    /// A usage that is wrong or refused.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A failure.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Usage(message) | Self::Failed(message)) = self;
        f.write_str(message)
    }
}

impl From<hudi_writer::Error> for Failure {
    fn from(error: hudi_writer::Error) -> Self {
        let message = error.told();
        match error {
            hudi_writer::Error::Refused { .. } | hudi_writer::Error::Setting { .. } => Self::Usage(message),
            _ => Self::Failed(message),
        }
    }
}

impl From<kafka_source::Error> for Failure {
    fn from(error: kafka_source::Error) -> Self {
        Self::Failed(chain(&error))
    }
}

impl From<crate::NoSchema> for Failure {
    fn from(error: crate::NoSchema) -> Self {
        match error {
            crate::NoSchema::Later(reason) => Self::Failed(reason),
            crate::NoSchema::Missing(failure) => failure,
        }
    }
}

impl From<cdc_decoders::DecodeError> for Failure {
    fn from(error: cdc_decoders::DecodeError) -> Self {
        Self::Failed(chain(&error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(chain(&error))
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Prints the message of a failure; the program's exit code.
#[must_use]
pub fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
