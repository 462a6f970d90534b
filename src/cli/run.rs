//! `cxbackfill run`.

use std::time::Duration;

use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::interrupted;
use crate::{
    config::{Config, Given},
    error::Error,
    report::{Ending, Report},
    run::{self, Scope},
};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How the summary is printed to standard output.
    #[arg(long, value_enum, default_value = "table")]
    summary: SummaryForm,
    /// Fetches the end of the interval again and replaces its files: job.refresh, like 4d.
    #[arg(long, value_name = "DURATION")]
    pub refresh: Option<String>,
    /// Takes up the shards that earlier runs set aside, and nothing else.
    #[arg(long)]
    retry_failed: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SummaryForm {
    /// A short table for people.
    Table,
    /// One JSON object for programs.
    Json,
}

/// Runs the backfill and prints how it ended.
pub async fn execute(given: &Given, args: &Args) -> Result<u8, Error> {
    let config = Config::load(given)?;
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(interrupt(shutdown.clone(), config.grace));
    let scope = if args.retry_failed { Scope::Failed } else { Scope::Missing };
    let report = run::run(&config, scope, shutdown).await;
    signals.abort();
    let report = report?;
    print(&report, args.summary);
    Ok(report.ending.exit_code())
}

fn print(report: &Report, form: SummaryForm) {
    match form {
        SummaryForm::Json => println!("{}", report.summary.json()),
        SummaryForm::Table if report.is_idle() => println!("everything is committed already: nothing was fetched"),
        SummaryForm::Table => print!("{}", report.summary),
    }
    match &report.ending {
        Ending::Complete => {}
        ending => eprintln!("{}: {ending}", if ending.exit_code() > 2 { "error" } else { "warning" }),
    }
}

/// The first interrupt ends the run in order, within `grace`; the second at once.
async fn interrupt(shutdown: CancellationToken, grace: Duration) {
    if let Err(error) = interrupted().await {
        tracing::warn!(%error, "interrupts are not heard");
        return;
    }
    tracing::warn!("interrupted: ending in order; once more to end at once");
    shutdown.cancel();
    if tokio::time::timeout(grace, interrupted()).await.is_err() {
        tracing::warn!(?grace, "still not ended after job.grace");
    }
    tracing::warn!("ending at once: what is not committed is fetched again by the next run");
    std::process::exit(i32::from(Ending::Interrupted.exit_code()));
}
