//! `run`: builds the actors bottom-up, awaits each of them, and reports. It decides nothing itself:
//! [`remaining`] plans, the fetchers and [`retry`](crate::http::retry) decide, [`report`] sums up.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use crate::commands::remaining::Scope;
use crate::{
    auth::token::Drain,
    commands::{
        environment::{Environment, client, connect},
        remaining,
        report::{RunOutcome, RunReport, Summary},
    },
    config::Config,
    error::Error,
    fetch::{ApiClient, FetchActor, FetchTotals, Fetcher, Run, RunError},
    ledger::{DoubtfulInterval, Failure, LEDGER, Ledger},
    planning::{Close, Plan, PlannerActor},
    sink::{self, LedgerEvent, SinkActor, SinkError, lock::OutputLock, store::OutputStore},
    telemetry::{self, metrics::Metrics},
};

/// Runs the backfill of `config`: takes the output's lock, opens its ledger, and fetches what is
/// left to do. `metrics` counts while it runs.
///
/// # Errors
/// If the run cannot start. How a run that started has ended is in the report.
pub(crate) async fn run(
    config: &Config,
    scope: Scope,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<RunReport, Error> {
    let span = telemetry::run_span(config.source.as_deref());
    run_source(config, scope, metrics, shutdown).instrument(span).await
}

async fn run_source(
    config: &Config,
    scope: Scope,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<RunReport, Error> {
    let output = OutputStore::directory(&config.output)?;
    let _lock = OutputLock::take(&config.output)?;
    let ledger = Ledger::open(&config.output.join(LEDGER))?;
    let plan = prepare(config, scope, &output, &ledger).await?;
    let estimates = remaining::estimate_plan(config, &plan, &ledger)?;
    if plan.waiting() == 0 && ledger.remote_jobs()?.is_empty() {
        tracing::info!("nothing is missing");
        return report(config, &ledger, FetchTotals::default(), None, &metrics, Duration::ZERO);
    }
    let (environment, sandbox) =
        Environment::open(config, output, ledger, metrics, shutdown).await?;
    tracing::info!(
        job = config.name,
        host = %environment.api,
        interval = %config.interval,
        shards = plan.waiting(),
        "start"
    );
    environment.metrics.plan(plan.width());
    let result = backfill(config, plan, &environment).await;
    if let Some(server) = sandbox {
        server.stop().await;
    }
    let mut report = result?;
    report.summary.set_expected(estimates.values());
    Ok(report)
}

/// Plans what is left to fetch: requested − committed − failed (G1). Removes the files that no
/// record names (G3): the run that wrote them was killed before its commit.
///
/// # Errors
/// If the output belongs to another job, or cannot be read.
pub async fn prepare(
    config: &Config,
    scope: Scope,
    output: &OutputStore,
    ledger: &Ledger,
) -> Result<Plan, Error> {
    ledger.record_identity(&config.output_identity())?;
    let deleted = sink::clean_up(output, ledger).await?;
    if deleted > 0 {
        tracing::info!(files = deleted, "deleted files that a killed run did not commit");
    }
    remaining::plan(config, scope, ledger)
}

/// Fetches `plan` in `environment`, to its end or to the first error that concerns the whole run.
///
/// # Errors
/// If the ledger cannot be read at the end.
pub async fn backfill(
    config: &Config,
    plan: Plan,
    environment: &Environment,
) -> Result<RunReport, Error> {
    let start = Instant::now();
    let (totals, run_error) = fetch(config, plan, environment).await;
    report(config, &environment.ledger, totals, run_error, &environment.metrics, start.elapsed())
}

/// Starts the actors, those first that no other actor needs, and awaits every fetcher (G9). The
/// other actors live as long as somebody holds their address, and answer what is in their mailbox
/// before they stop.
async fn fetch(
    config: &Config,
    plan: Plan,
    environment: &Environment,
) -> (FetchTotals, Option<RunError>) {
    let sink = SinkActor::new(
        environment.output.clone(),
        environment.ledger.clone(),
        config.format.clone(),
    )
    .start();
    let planner = PlannerActor::new(plan).start();
    let (context, tokens) = connect(config, environment);
    let first_client = client(&context, &tokens, environment.seed);
    if let Err(run_error) = delete_orphaned_jobs(&first_client, &sink, &environment.ledger).await {
        return (FetchTotals::default(), Some(run_error));
    }
    let mut fetchers: FuturesUnordered<_> = (0..config.fetch.actors)
        .map(|number| {
            let client = client(&context, &tokens, environment.seed.wrapping_add(number as u64));
            let fetcher = Fetcher { client, planner: planner.clone(), sink: sink.clone() };
            FetchActor::new(Rc::new(fetcher)).start().send(Run)
        })
        .collect();
    let (mut totals, mut first_error) = (FetchTotals::default(), None);
    while let Some(result) = fetchers.next().await {
        let run_error = match result {
            Ok((more, run_error)) => {
                totals += more;
                run_error
            }
            Err(mailbox_error) => Some(mailbox_error.into()),
        };
        if let Some(run_error) = run_error {
            first_error.get_or_insert(run_error);
            context.shutdown.cancel();
            // if the planner has stopped, it hands out nothing either
            let _ = planner.send(Close).await;
        }
    }
    if let Err(run_error) = record_dataset_doubts(&mut totals, &sink).await {
        first_error.get_or_insert(run_error);
    }
    // a refresh token that was replaced is stored before the process ends
    let _ = tokens.send(Drain).await;
    (totals, first_error)
}

/// Warns of datasets of which the whole run could use no row, and records those as doubtful of which
/// it owned none.
async fn record_dataset_doubts(
    totals: &mut FetchTotals,
    sink: &Addr<SinkActor>,
) -> Result<(), RunError> {
    for (dataset, rows) in totals.all_quarantined() {
        tracing::warn!(dataset, rows, "every row of the dataset was quarantined");
    }
    for doubtful in totals.nothing_owned() {
        let DoubtfulInterval { dataset, interval, reason, .. } = &doubtful;
        tracing::warn!(dataset, %interval, reason, "committed rows are doubtful");
        sink.send(LedgerEvent::Doubtful(doubtful.clone())).await??;
        totals.doubtful.push(doubtful);
    }
    Ok(())
}

/// Deletes the asynchronous jobs that a killed run left on the platform.
async fn delete_orphaned_jobs(
    client: &ApiClient,
    sink: &Addr<SinkActor>,
    ledger: &Ledger,
) -> Result<(), RunError> {
    for job in ledger.remote_jobs().map_err(SinkError::from)? {
        if client.delete_job(&job).await {
            tracing::info!(job.dataset, job.path, "deleted a job that a killed run left");
            sink.send(LedgerEvent::Deleted(job)).await??;
        }
    }
    Ok(())
}

/// Sums up a run. A run whose counts do not balance (G5) has failed, whatever else it did.
fn report(
    config: &Config,
    ledger: &Ledger,
    totals: FetchTotals,
    run_error: Option<RunError>,
    metrics: &Metrics,
    elapsed: Duration,
) -> Result<RunReport, Error> {
    let summary = Summary::new(&totals, metrics, elapsed);
    let outcome = match run_error {
        _ if !totals.balances() => RunOutcome::Fatal(format!(
            "{} rows were received, but the sink counted {:?}: rows were lost or doubled; this is \
             a bug, please report it",
            totals.received, totals.counts
        )),
        Some(run_error) => RunOutcome::from_error(&run_error),
        None if !totals.denied.is_empty() => RunOutcome::from_denied(&totals.denied),
        None => {
            let gaps = gaps(config, ledger, &totals)?;
            if gaps.is_empty() { RunOutcome::Complete } else { RunOutcome::Gaps(gaps) }
        }
    };
    Ok(RunReport { summary, outcome })
}

/// Everything of the requested interval that failed or is missing after the run.
fn gaps(config: &Config, ledger: &Ledger, totals: &FetchTotals) -> Result<Vec<Failure>, Error> {
    let mut gaps = Vec::new();
    for dataset in &config.datasets {
        gaps.extend(remaining::failed(config, ledger, dataset)?);
    }
    // the ledger does not record a shard that could not be replaced or is not yet available
    for failure in totals.failed.iter().chain(&totals.not_yet_available) {
        if !gaps.contains(failure) {
            gaps.push(failure.clone());
        }
    }
    for doubtful in &totals.doubtful {
        gaps.push(Failure {
            dataset: doubtful.dataset.clone(),
            interval: doubtful.interval,
            reason: format!("{}: {}", doubtful.kind.name(), doubtful.reason),
            correlation: String::new(),
        });
    }
    for dataset in &config.datasets {
        let unfetched = totals.failed.iter().chain(&totals.not_yet_available);
        let of_dataset = unfetched.filter(|failure| failure.dataset == dataset.name);
        let reported: Vec<_> = of_dataset.map(|failure| failure.interval).collect();
        for missing in remaining::missing(config, ledger, dataset)? {
            for interval in missing.subtract(&reported) {
                gaps.push(Failure {
                    dataset: dataset.name.clone(),
                    interval,
                    reason: match totals.given_up.get(&dataset.name) {
                        Some(reason) => format!("missing: the dataset was given up: {reason}"),
                        None => "missing: not fetched yet".to_owned(),
                    },
                    correlation: String::new(),
                });
            }
        }
    }
    Ok(gaps)
}
