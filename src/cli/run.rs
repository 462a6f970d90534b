//! `cxbackfill run`.

use std::{sync::Arc, time::Duration};

use clap::ValueEnum;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{interrupted, not_yet_available, progress_bar, sources, summary},
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

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// How to print the summary to standard output.
    #[arg(long, value_enum, default_value = "table")]
    summary: SummaryFormat,
    /// Fetch the last part of the interval again and replace its files: job.refresh, such as 4d.
    #[arg(long, value_name = "DURATION")]
    pub refresh: Option<String>,
    /// Fetch the shards that failed in earlier runs, and nothing else.
    #[arg(long)]
    retry_failed: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SummaryFormat {
    /// A short table for people.
    Table,
    /// One JSON object for programs.
    Json,
}

/// The name of a source, and how its run ended.
type SourceResult<'a> = (Option<&'a str>, Result<RunReport, Error>);

/// Runs the backfills of all sources side by side and prints how they ended. An interrupt ends all.
pub(super) async fn execute(overrides: &Overrides, args: &RunArgs) -> Result<ExitCode, Error> {
    let configs = Config::load(overrides)?;
    let shutdown = CancellationToken::new();
    let grace = configs.iter().map(|config| config.grace).max().unwrap_or_default();
    let signals = tokio::spawn(handle_interrupts(shutdown.clone(), grace));
    let scope = if args.retry_failed { Scope::Failed } else { Scope::Missing };
    let runs = configs.iter().map(|config| run_source(config, scope, shutdown.clone()));
    let reports = join_all(runs).await;
    signals.abort();
    let names = configs.iter().map(|config| config.source.as_deref());
    let results: Vec<SourceResult> = names.zip(reports).collect();
    print_summaries(&results, args.summary);
    let mut codes = Vec::new();
    for (source, result) in results {
        let code = result.map(|report| print_outcome(source, &report.outcome));
        codes.push(sources::exit_code(source, code));
    }
    Ok(ExitCode::of_all(&codes))
}

/// Runs the backfill of one source, with its progress bar.
async fn run_source(
    config: &Config,
    scope: Scope,
    shutdown: CancellationToken,
) -> Result<RunReport, Error> {
    let source = config.source.as_deref();
    not_yet_available::print(source, &config.datasets, config.interval, config.now);
    let metrics = Arc::new(Metrics::default());
    let run = run::run(config, scope, Arc::clone(&metrics), shutdown);
    progress_bar::draw_during(&metrics, config.source.as_deref(), run).await
}

fn print_summaries(results: &[SourceResult], format: SummaryFormat) {
    let has_several = results.len() > 1;
    // a source that could not start has a summary of zeros
    let summary_of = |result: &Result<RunReport, Error>| {
        result.as_ref().map_or(Summary::default(), |report| report.summary)
    };
    let total = Summary::total(results.iter().map(|(_, result)| summary_of(result)));
    match format {
        SummaryFormat::Json if has_several => {
            let named = results
                .iter()
                .map(|(source, result)| (source.unwrap_or_default(), summary_of(result)));
            sayln!("{}", report::sources_json(named, &total));
        }
        SummaryFormat::Json => {
            for (_, result) in results {
                if let Ok(report) = result {
                    sayln!("{}", report.summary.json());
                }
            }
        }
        SummaryFormat::Table => {
            for (source, result) in results {
                let Ok(report) = result else { continue };
                sources::print_heading(*source);
                if report.is_idle() {
                    sayln!("nothing is missing: no request was sent");
                } else {
                    say!("{}", summary::table(&report.summary));
                }
            }
            if has_several {
                say!("all sources\n{}", summary::table(&total));
            }
        }
    }
}

/// Prints to standard error why a source is not complete, and returns its exit code.
fn print_outcome(source: Option<&str>, outcome: &RunOutcome) -> ExitCode {
    let prefix = sources::prefix(source);
    match outcome {
        RunOutcome::Complete => {}
        RunOutcome::Gaps(_) => eprintln!("warning: {prefix}{outcome}"),
        _ => eprintln!("error: {prefix}{outcome}"),
    }
    outcome.exit_code()
}

/// On the first interrupt the run commits what it has, within `grace`; on the second the process
/// ends at once.
async fn handle_interrupts(shutdown: CancellationToken, grace: Duration) {
    if let Err(error) = interrupted().await {
        tracing::warn!(%error, "interrupts cannot be received");
        return;
    }
    tracing::warn!("interrupted: committing what is complete; interrupt again to end at once");
    shutdown.cancel();
    if tokio::time::timeout(grace, interrupted()).await.is_err() {
        tracing::warn!(?grace, "the run has not ended within job.grace");
    }
    tracing::warn!("ending at once: the next run fetches again what is not committed");
    std::process::exit(ExitCode::Interrupted as i32);
}
