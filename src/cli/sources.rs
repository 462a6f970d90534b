//! What the commands that act on several sources share.
//!
//! The output of each source begins with its name. An error of one source does not stop the others;
//! the exit code is [`ExitCode::of_all`].

use tracing::Level;

use crate::{error::Error, exit_code::ExitCode, telemetry};

/// The exit code of one source. Prints the error, if there is one, to standard error.
pub(super) fn exit_code(source: Option<&str>, result: Result<ExitCode, Error>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            telemetry::tell(Level::ERROR, source, &error.to_string());
            error.exit_code()
        }
    }
}

/// Prints the name of the source, if it has one, above its results.
pub(super) fn print_heading(source: Option<&str>) {
    if let Some(name) = source {
        sayln!("[{name}]");
    }
}
