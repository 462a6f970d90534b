//! `cxbackfill run`.

use std::{sync::Arc, time::Duration};

use clap::ValueEnum;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{interrupted, progress_bar, sources},
    commands::{
        remaining::Scope,
        report::{self, RunOutcome, RunReport, Summary},
        run,
    },
    config::{Config, Overrides},
    error::Error,
    exit_code::ExitCode,
    telemetry::metrics::Metrics,
};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
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

/// What became of a source: its name, and how its run ended.
type Ended<'a> = (Option<&'a str>, Result<RunReport, Error>);

/// Runs the backfills of all sources side by side, and prints how they ended. An interrupt ends all.
pub(super) async fn execute(overrides: &Overrides, args: &RunArgs) -> Result<ExitCode, Error> {
    let configs = Config::load(overrides)?;
    let shutdown = CancellationToken::new();
    let grace = configs.iter().map(|config| config.grace).max().unwrap_or_default();
    let signals = tokio::spawn(interrupt(shutdown.clone(), grace));
    let scope = if args.retry_failed { Scope::Failed } else { Scope::Missing };
    let runs = configs.iter().map(|config| run_source(config, scope, shutdown.clone()));
    let runs = join_all(runs).await;
    signals.abort();
    let ended: Vec<Ended> =
        configs.iter().map(|config| config.source.as_deref()).zip(runs).collect();
    print(&ended, args.summary);
    let codes: Vec<_> = ended
        .into_iter()
        .map(|(source, ended)| sources::exit_code(source, ended.map(tell(source))))
        .collect();
    Ok(ExitCode::of_all(&codes))
}

/// Runs the backfill of one source, with its progress bar.
async fn run_source(
    config: &Config,
    scope: Scope,
    shutdown: CancellationToken,
) -> Result<RunReport, Error> {
    let metrics = Arc::new(Metrics::default());
    let run = run::run(config, scope, Arc::clone(&metrics), shutdown);
    progress_bar::draw_during(&metrics, config.source.as_deref(), run).await
}

/// Prints the summaries of the sources that were run.
fn print(ended: &[Ended], form: SummaryForm) {
    let several = ended.len() > 1;
    // what could not start has done nothing
    let summary = |ended: &Result<RunReport, Error>| {
        ended.as_ref().map_or(Summary::default(), |report| report.summary)
    };
    let total = Summary::total(ended.iter().map(|(_, ended)| summary(ended)));
    match form {
        SummaryForm::Json if several => {
            let named =
                ended.iter().map(|(source, ended)| (source.unwrap_or_default(), summary(ended)));
            sayln!("{}", report::json(named, &total));
        }
        SummaryForm::Json => ended
            .iter()
            .filter_map(|(_, ended)| ended.as_ref().ok())
            .for_each(|report| sayln!("{}", report.summary.json())),
        SummaryForm::Table => {
            for (source, ended) in ended {
                let Ok(report) = ended else { continue };
                sources::print_heading(*source);
                match report.is_idle() {
                    true => sayln!("everything is committed already: nothing was fetched"),
                    false => say!("{}", report.summary),
                }
            }
            if several {
                say!("all sources\n{total}");
            }
        }
    }
}

/// Says on standard error why a source is not complete; its exit code.
fn tell(source: Option<&str>) -> impl FnOnce(RunReport) -> ExitCode {
    let prefix = sources::prefix(source);
    move |RunReport { outcome, .. }| {
        match &outcome {
            RunOutcome::Complete => {}
            outcome => eprintln!(
                "{}: {prefix}{outcome}",
                if !matches!(outcome, RunOutcome::Gaps(_)) { "error" } else { "warning" }
            ),
        }
        outcome.exit_code()
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
    std::process::exit(ExitCode::Interrupted as i32);
}
