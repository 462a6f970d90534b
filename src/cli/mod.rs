//! The command line: arguments in, printing and exit code out.
//!
//! There is one file per command; what the command does is in `commands`. Results go to standard
//! output, errors, warnings and progress to standard error. Start with [`Cli::execute`].

/// Prints to standard output. An error is ignored, so that a closed pipe (`| head`) ends nothing.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout().lock(), $($text)*);
    }};
}

/// Prints a line to standard output, as `say!` does.
macro_rules! sayln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout().lock(), $($text)*);
    }};
}

/// Prints a line to standard error. An error is ignored, so that a closed or full one ends nothing.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr().lock(), $($text)*);
    }};
}

mod accept;
mod check;
mod dataset_text;
mod datasets;
mod interrupts;
mod login;
mod not_yet_available;
mod plan;
mod progress_bar;
mod rebuild;
mod run;
mod sandbox;
mod sources;
mod status;
mod summary;
mod table;
mod upgrade;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::Overrides;

/// Backfill contact-centre analytics from rate-limited REST APIs into Parquet, exactly once.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 complete, 1 complete with gaps, 2 configuration or usage, \
    3 credentials or permission, 4 any other error, 130 interrupted and resumable. \
    Several sources have one exit code: the first of 4, 2, 3, 130, 1 that any of them ended with."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The configuration file [default: config.toml, if it exists].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a key of the configuration; a value that is not valid TOML is taken as a string.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Use only the source with this name of a `[[source]]` list.
    #[arg(long, global = true, value_name = "NAME")]
    source: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch what is missing, and end when nothing is.
    Run(run::RunArgs),
    /// Estimate what a run would cost: shards, rows, requests, minutes, size of the Parquet files.
    Plan(plan::PlanArgs),
    /// Try everything that a run needs, without fetching anything.
    Check,
    /// Log a user in with a browser, for the grant `authorization-code`.
    Login,
    /// Show what is committed, failed and missing, by dataset and UTC day, from the ledger alone.
    Status(status::StatusArgs),
    /// Accept gaps that can never be closed: they stay visible, but the exit code is 0.
    Accept(accept::AcceptArgs),
    /// Read every file again and compare it with the ledger; exit code 1 if anything differs.
    Verify(verify::VerifyArgs),
    /// Make a missing or incomplete ledger anew from the files of the output.
    Rebuild,
    /// Rewrite files that have the columns of an older version, on this machine, without requests.
    Upgrade(upgrade::UpgradeArgs),
    /// List the datasets that can be fetched, or describe one of them.
    Datasets(datasets::DatasetsArgs),
    /// Serve the embedded API simulator until it is interrupted.
    Sandbox(sandbox::SandboxArgs),
}

impl Cli {
    /// Runs the command. Results go to standard output, everything else to standard error.
    pub async fn execute(self) -> ExitCode {
        let mut overrides = Overrides { path: self.config, set: self.set, source: self.source };
        if let Command::Run(run::RunArgs { refresh: Some(refresh), .. }) = &self.command {
            overrides.set.push(format!("job.refresh={refresh}"));
        }
        let result = match self.command {
            Command::Run(args) => Ok(run::execute(&overrides, &args).await),
            Command::Plan(args) => plan::execute(&overrides, &args).await,
            Command::Check => check::execute(&overrides).await,
            Command::Login => login::execute(&overrides).await,
            Command::Status(args) => status::execute(&overrides, &args),
            Command::Accept(args) => accept::execute(&overrides, args),
            Command::Verify(args) => verify::execute(&overrides, &args).await,
            Command::Rebuild => rebuild::execute(&overrides).await,
            Command::Upgrade(args) => upgrade::execute(&overrides, &args).await,
            Command::Datasets(args) => datasets::execute(&overrides, &args).await,
            Command::Sandbox(args) => sandbox::execute(&overrides, &args).await,
        };
        sources::exit_code(None, result).into()
    }
}

/// Waits for an interrupt or a request to terminate.
async fn interrupted() -> std::io::Result<()> {
    interrupts::Interrupts::new()?.next().await;
    Ok(())
}
