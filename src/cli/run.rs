//! `cxbackfill run`.

use std::{io::Write as _, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use clap::ValueEnum;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::{
    cli::{
        interrupts::Interrupts,
        not_yet_available, progress,
        run_pages::{Addresses, RunPages},
        sources, summary, ui,
    },
    commands::{
        remaining::Scope,
        report::{self, RunOutcome, RunReport, Summary},
        run,
    },
    config::{
        Config, ConfigError, Overrides, SourceConfig,
        values::{interval_argument, parse_duration},
    },
    error::Error,
    exit_code::ExitCode,
    telemetry::{self, metrics::Metrics},
    time::{clock, interval::Interval},
};

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// How to print the summary to standard output.
    #[arg(long, value_enum, default_value = "table")]
    summary: SummaryFormat,
    /// Fetch the last part of the interval again and replace its files: job.refresh, such as 4d.
    #[arg(long, value_name = "DURATION")]
    pub refresh: Option<String>,
    /// The time between two lines of the log about the progress, such as 5m; 0 for none [default:
    /// 30s, and none on a terminal, which shows the progress all the time].
    #[arg(long, value_name = "DURATION", value_parser = progress_every)]
    progress_every: Option<Duration>,
    /// Fetch only what failed in earlier runs or is doubtful, accepted gaps included.
    #[arg(long)]
    retry_failed: bool,
    /// Fetch this UTC day or interval again and replace its files, whatever is committed of it,
    /// such as 2024-03-07, yesterday or 2024-03-07/2024-03-09. Files hold whole days, which are
    /// replaced as a whole.
    #[arg(long, value_name = "DAY|FROM/TO", value_parser = interval_argument,
        conflicts_with_all = ["refresh", "retry_failed"])]
    again: Option<Interval>,
    /// Serve a dashboard of the run; any other address than 127.0.0.1 needs a token, which is
    /// generated and printed if none is given.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, value_parser = ui::address,
        default_missing_value = ui::DEFAULT_ADDRESS)]
    ui: Option<SocketAddr>,
    /// Serve the metrics of the run to Prometheus, at /metrics of this address, such as
    /// 127.0.0.1:9090; any other host needs the token of the dashboard.
    #[arg(long, value_name = "ADDRESS", value_parser = ui::address)]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    token: ui::TokenArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SummaryFormat {
    /// A short table for people.
    Table,
    /// One JSON object for programs, on every exit code.
    Json,
}

/// Reads `--progress-every`.
fn progress_every(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    parse_duration(text).ok_or_else(|| "expected a number with a unit, such as 5m".to_owned())
}

/// The name of a source, and how its run ended.
type SourceReport<'a> = (Option<&'a str>, RunReport);

/// Runs the backfills of all sources side by side and prints how they ended. An interrupt ends all.
pub(super) async fn execute(overrides: &Overrides, args: &RunArgs) -> ExitCode {
    let started = clock::now();
    let loaded = Config::load_each(overrides).map_err(Error::from);
    let interrupts = Interrupts::new().map_err(Error::Signals);
    let (sources, interrupts) = match (loaded, interrupts) {
        (Ok(sources), Ok(interrupts)) => (sources, interrupts),
        (Err(error), _) | (_, Err(error)) => {
            let report = RunReport::not_started(error, None, started);
            return print(&[(None, report)], args.summary);
        }
    };
    let (mut configs, mut unusable) = (Vec::new(), Vec::new());
    for SourceConfig { name, config } in sources {
        match config {
            Ok(config) => {
                let interval = args.again.unwrap_or(config.interval);
                configs.push(Config { interval, ..config });
            }
            Err(error) => unusable.push((name, error)),
        }
    }
    let shutdown = CancellationToken::new();
    let grace = configs.iter().map(|config| config.grace).max().unwrap_or_default();
    let scope = match args.again {
        Some(_) => Scope::Again,
        None if args.retry_failed => Scope::Failed,
        None => Scope::Missing,
    };
    let metrics: Vec<Arc<Metrics>> = configs.iter().map(|_| Arc::default()).collect();
    let addresses = Addresses { ui: args.ui, metrics: args.metrics, token: args.token.token() };
    let pages = RunPages::start(overrides, &configs, &metrics, addresses).await;
    let pages = match pages {
        Ok(pages) => pages,
        Err(error) => {
            let report = RunReport::not_started(error, None, started);
            return print(&[(None, report)], args.summary);
        }
    };
    let names: Vec<_> = configs.iter().map(|config| config.source.as_deref()).collect();
    let shown: Vec<_> = names.iter().copied().zip(metrics.iter().cloned()).collect();
    let runs = join_all(
        (configs.iter().zip(&metrics))
            .map(|(config, metrics)| run_source(config, scope, metrics, shutdown.clone())),
    );
    let mut runs = pin!(progress::show_during(&shown, args.progress_every, runs));
    let results = tokio::select! {
        biased;
        results = &mut runs => results,
        () = interrupts.shut_down(&shutdown, grace) => {
            tracing::warn!(
                "ending at once: what is not committed is fetched again by the next run; \
                 `_report.html` is not written, `cxbackfill report` writes it"
            );
            let aborted = configs.iter().zip(&metrics);
            let results = aborted.map(|(config, metrics)| run::report_of_aborted(config, metrics));
            let mut reports = reports(&configs, &names, results, started);
            reports.extend(reports_of_unusable(&unusable, started));
            print(&reports, args.summary);
            let _ = std::io::stdout().flush();
            // nothing is dropped before, so the output stays locked while blocking threads write
            std::process::exit(ExitCode::Interrupted as i32);
        }
    };
    pages.finish(&results).await;
    let mut reports = reports(&configs, &names, results, started);
    reports.extend(reports_of_unusable(&unusable, started));
    print(&reports, args.summary)
}

/// Runs the backfill of one source.
async fn run_source(
    config: &Config,
    scope: Scope,
    metrics: &Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<RunReport, Error> {
    let source = config.source.as_deref();
    not_yet_available::print(source, &config.datasets, config.interval, config.now);
    run::run(config, scope, Arc::clone(metrics), shutdown).await
}

/// The reports of all sources, also of those that could not start.
fn reports<'a>(
    configs: &[Config],
    names: &[Option<&'a str>],
    results: impl IntoIterator<Item = Result<RunReport, Error>>,
    started: Timestamp,
) -> Vec<SourceReport<'a>> {
    let mut reports = Vec::new();
    for ((config, name), result) in configs.iter().zip(names).zip(results) {
        let report = result
            .unwrap_or_else(|error| RunReport::not_started(error, Some(config.interval), started));
        reports.push((*name, report));
    }
    reports
}

/// The reports of the sources whose secrets are missing.
fn reports_of_unusable(
    unusable: &[(Option<String>, ConfigError)],
    started: Timestamp,
) -> impl Iterator<Item = SourceReport<'_>> {
    unusable.iter().map(move |(name, error)| {
        (name.as_deref(), RunReport::not_started(error.clone().into(), None, started))
    })
}

/// Prints the summaries to standard output and why sources are not complete to standard error.
/// Returns the exit code.
fn print(reports: &[SourceReport], format: SummaryFormat) -> ExitCode {
    match (format, reports) {
        (SummaryFormat::Json, [(_, report)]) => sayln!("{}", report.json()),
        (SummaryFormat::Json, _) => sayln!("{}", report::sources_json(reports)),
        (SummaryFormat::Table, _) => print_tables(reports),
    }
    let mut codes = Vec::new();
    for (source, report) in reports {
        print_outcome(*source, &report.outcome);
        codes.push(report.outcome.exit_code());
    }
    ExitCode::of_all(&codes)
}

fn print_tables(reports: &[SourceReport]) {
    for (source, report) in reports {
        // a table of zeros would only hide the error
        if matches!(report.outcome, RunOutcome::NotStarted(_)) || report.is_without_effect() {
            continue;
        }
        sources::print_heading(*source);
        if report.is_idle() {
            sayln!("nothing is missing: no request was sent");
        } else {
            say!("{}", summary::table(&report.summary));
            if let Some(output) = &report.output {
                sayln!("output  {}", output.display());
            }
        }
        say!("{}", summary::new_fields(&report.new_fields));
    }
    if reports.len() > 1 {
        let total = Summary::total(reports.iter().map(|(_, report)| report.summary));
        say!("all sources\n{}", summary::table(&total));
    }
}

/// Prints to standard error why a source is not complete.
fn print_outcome(source: Option<&str>, outcome: &RunOutcome) {
    let level = match outcome {
        RunOutcome::Complete => return,
        RunOutcome::Gaps(_) => Level::WARN,
        _ => Level::ERROR,
    };
    telemetry::tell(level, source, &outcome.to_string());
}
