//! The command line: arguments in, exit code out. One file a command.

/// Writes to standard output. A reader that has gone, like `head`, is no reason to fail.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout().lock(), $($text)*);
    }};
}

/// The same, and ends the line.
macro_rules! sayln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout().lock(), $($text)*);
    }};
}

mod check;
mod datasets;
mod login;
mod plan;
mod progress_bar;
mod run;
mod sandbox;
mod sources;
mod status;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::Overrides;

/// Backfills contact-centre analytics through rate-limited REST APIs into Parquet, exactly once.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 complete, 1 complete with gaps, 2 configuration or usage, \
    3 credentials or permission, 4 anything else fatal, 130 interrupted and resumable. \
    Of several sources the first of 4, 2, 3, 130 and 1 that one has ended with."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The configuration file [default: config.toml, if there is one].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides a key of the configuration; the value is read as TOML, else as a string.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Means one source of a list alone.
    #[arg(long, global = true, value_name = "NAME")]
    source: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetches what is missing, and ends when nothing is.
    Run(run::RunArgs),
    /// Says what a run would cost: shards, rows, requests, minutes; and what is committed already.
    Plan(plan::PlanArgs),
    /// Tries everything that a run needs, and fetches nothing.
    Check,
    /// Logs a user in with a browser, for the grant `authorization-code`.
    Login,
    /// Says what is committed, failed and missing, by dataset and UTC day, from the ledger alone.
    Status(status::StatusArgs),
    /// Reads every file again and holds it against the ledger; exit code 1 if anything differs.
    Verify(verify::VerifyArgs),
    /// Says what can be fetched: all datasets, or all about one.
    Datasets(datasets::DatasetsArgs),
    /// Runs the embedded API simulator alone, until it is interrupted.
    Sandbox,
}

impl Cli {
    /// Does what was asked. Results go to standard output, everything else to standard error.
    pub async fn execute(self) -> ExitCode {
        let mut overrides = Overrides { path: self.config, set: self.set, source: self.source };
        if let Command::Run(run::RunArgs { refresh: Some(refresh), .. }) = &self.command {
            overrides.set.push(format!("job.refresh={refresh}"));
        }
        let code = match self.command {
            Command::Run(args) => run::execute(&overrides, &args).await,
            Command::Plan(args) => plan::execute(&overrides, &args).await,
            Command::Check => check::execute(&overrides).await,
            Command::Login => login::execute(&overrides).await,
            Command::Status(args) => status::execute(&overrides, &args),
            Command::Verify(args) => verify::execute(&overrides, &args).await,
            Command::Datasets(args) => datasets::execute(&overrides, &args).await,
            Command::Sandbox => sandbox::execute(&overrides).await,
        };
        sources::exit_code(None, code).into()
    }
}

/// Waits for an interrupt or a request to terminate.
async fn interrupted() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
