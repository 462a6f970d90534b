//! `run`: builds the actors bottom-up, awaits each of them, and reports. It decides nothing itself:
//! [`remaining`] plans, the fetchers and [`retry`](crate::http::retry) decide, [`report`] sums up.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;
use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use crate::commands::remaining::Scope;
use crate::{
    auth::token::Drain,
    commands::{
        course,
        environment::{Environment, client, connect},
        gaps::{Gap, GapCause},
        new_fields::NewField,
        output_check, remaining,
        report::{DatasetSummary, RunOutcome, RunReport, Summary},
    },
    config::Config,
    error::Error,
    fetch::{ApiClient, DatasetTotals, FetchActor, FetchTotals, Fetcher, Run, RunError},
    ledger::{DoubtfulInterval, LAYOUT, LEDGER, Ledger},
    planning::{Close, Plan, PlannerActor},
    sink::{
        self, DiscardStaged, ForgottenRows, LedgerEvent, ParquetSettings, SinkActor, SinkError,
        lock::OutputLock, store::OutputStore,
    },
    telemetry::{self, metrics::Metrics},
    time::clock,
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
    let output = OutputStore::create(&config.output, config.file_mode)?;
    let _lock = OutputLock::take(&config.output)?;
    output_check::refuse_missing_ledger(config, &output).await?;
    let ledger = Ledger::open(&config.output.join(LEDGER))?;
    let plan = prepare(config, scope, &output, &ledger).await?;
    let estimates = remaining::estimate_plan(config, &plan, &ledger)?;
    let run_id = ledger.begin_run(config.job_interval, config.now)?;
    let result = if plan.waiting() == 0 && ledger.remote_jobs()?.is_empty() {
        tracing::info!("nothing is missing");
        report(config, &ledger, &FetchTotals::default(), None, &metrics, Duration::ZERO)
    } else {
        let requests = estimates.values().map(|estimate| estimate.requests).sum();
        let (of_run, plan) = (Arc::clone(&metrics), (plan, requests));
        let run = fetch_plan(config, plan, output, &ledger, metrics, shutdown);
        course::record_during(run_id, &ledger, &of_run, run).await
    };
    match result {
        Ok(mut report) => {
            report.summary.set_expected(estimates.values());
            ledger.end_run(run_id, report.outcome.exit_code().name(), &report.json())?;
            Ok(report)
        }
        Err(error) => {
            // the error of the run matters more than an error of its record
            let _ = ledger.end_run(run_id, error.exit_code().name(), "{}");
            Err(error)
        }
    }
}

/// Opens the environment and fetches `plan` in it.
async fn fetch_plan(
    config: &Config,
    (plan, requests_expected): (Plan, Option<u64>),
    output: OutputStore,
    ledger: &Ledger,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<RunReport, Error> {
    let (environment, sandbox) =
        Environment::open(config, output, ledger.clone(), metrics, shutdown).await?;
    tracing::info!(
        job = config.name,
        host = %environment.api,
        interval = %config.interval,
        shards = plan.waiting(),
        "start"
    );
    let shards = plan.shards().map(|shard| (shard.dataset.name.as_str(), shard.interval));
    environment.metrics.plan(shards, requests_expected);
    let result = backfill(config, plan, &environment).await;
    if let Some(server) = sandbox {
        server.stop().await;
    }
    result
}

/// Plans what is left to fetch: requested − committed − failed (G1). Deletes the files that a
/// killed run wrote and did not commit, and those that it replaced and did not delete (G3).
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
    output_check::check(config, output, ledger).await?;
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
    report(config, &environment.ledger, &totals, run_error, &environment.metrics, start.elapsed())
}

/// Starts the actors, those first that no other actor needs, and awaits every fetcher (G9). The
/// other actors live as long as somebody holds their address, and answer what is in their mailbox
/// before they stop.
async fn fetch(
    config: &Config,
    plan: Plan,
    environment: &Environment,
) -> (FetchTotals, Option<RunError>) {
    let mut job = config.output_identity();
    // the files themselves say which there are
    job.remove(LAYOUT);
    let job = serde_json::to_string(&job).unwrap_or_default();
    let settings = ParquetSettings { job, ..config.format.clone() };
    let (output, ledger) = (environment.output.clone(), environment.ledger.clone());
    let forgotten = match ForgottenRows::read(&output, &ledger).await {
        Ok(forgotten) => forgotten,
        Err(error) => return (FetchTotals::default(), Some(error.into())),
    };
    let sink = SinkActor::new(output, ledger, settings, forgotten).start();
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
    if let Err(run_error) = discard_staged(&mut totals, &sink).await {
        first_error.get_or_insert(run_error);
    }
    if let Err(run_error) = record_dataset_doubts(&mut totals, &sink).await {
        first_error.get_or_insert(run_error);
    }
    // a refresh token that was replaced is stored before the process ends
    let _ = tokens.send(Drain).await;
    (totals, first_error)
}

/// Deletes the files of replacements that the run could not complete.
async fn discard_staged(totals: &mut FetchTotals, sink: &Addr<SinkActor>) -> Result<(), RunError> {
    for record in sink.send(DiscardStaged).await?? {
        totals.remove(&record);
        tracing::info!(
            dataset = record.dataset,
            interval = %record.interval,
            "deleted what was fetched again, because the rest of its replacement is missing: the \
             earlier rows stay, and the next run replaces them"
        );
    }
    Ok(())
}

/// Warns of datasets of which the whole run could use no row, and records those as doubtful of
/// which it owned none.
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
    totals: &FetchTotals,
    run_error: Option<RunError>,
    metrics: &Metrics,
    elapsed: Duration,
) -> Result<RunReport, Error> {
    let gaps = gaps(config, ledger, totals)?;
    let outcome = match run_error {
        _ if !totals.balances() => RunOutcome::Fatal(format!(
            "the rows that were received are not those that were counted: {:?}: rows were lost or \
             doubled; this is a bug, please report it",
            totals.datasets
        )),
        Some(run_error) => RunOutcome::from_error(&run_error),
        None if !totals.denied.is_empty() => RunOutcome::from_denied(&totals.denied),
        None => RunOutcome::from_gaps(open_gaps(&gaps, totals)),
    };
    Ok(RunReport {
        outcome,
        summary: Summary::new(totals, metrics, elapsed),
        datasets: (config.datasets.iter())
            .map(|dataset| DatasetSummary::new(&dataset.name, totals))
            .collect(),
        interval: Some(config.interval),
        output: Some(config.output.clone()),
        started: Timestamp::from_millisecond(config.now).unwrap_or_default(),
        ended: clock::now(),
        gaps,
        new_fields: new_fields(config, ledger)?,
    })
}

/// Values that fit no column, at the paths to be reported that no summary has reported yet.
fn new_fields(config: &Config, ledger: &Ledger) -> Result<Vec<NewField>, Error> {
    let policy = config.fetch.on_new_field;
    let unreported = ledger.take_unreported_fields(|kind| policy.reports(kind))?;
    let dataset = |name: &str| config.datasets.iter().find(|dataset| dataset.name == name);
    let reported = unreported.into_iter().map(|record| {
        let dataset = dataset(&record.dataset).map(AsRef::as_ref);
        NewField::new(record, dataset)
    });
    Ok(reported.collect())
}

/// The report of a run that is ended at once: its metrics, and what the ledger has of it.
///
/// # Errors
/// If the ledger cannot be read.
pub(crate) fn report_of_aborted(config: &Config, metrics: &Metrics) -> Result<RunReport, Error> {
    let ledger = Ledger::open(&config.output.join(LEDGER))?;
    let started = Timestamp::from_millisecond(config.now).unwrap_or_default();
    let elapsed = Duration::try_from(clock::now().duration_since(started)).unwrap_or_default();
    let datasets = metrics.snapshot().datasets.into_iter();
    let denied = datasets.filter_map(|(name, dataset)| Some((name, dataset.denied?))).collect();
    let mut totals = FetchTotals { denied, ..FetchTotals::default() };
    for (dataset, committed) in ledger.committed_since(started)? {
        let received = committed.counts.received;
        let of_dataset = DatasetTotals { committed, received, ..DatasetTotals::default() };
        totals.datasets.insert(dataset, of_dataset);
    }
    report(config, &ledger, &totals, Some(RunError::Interrupted), metrics, elapsed)
}

/// Everything of the requested interval that is missing or doubtful after the run, accepted or not.
fn gaps(config: &Config, ledger: &Ledger, totals: &FetchTotals) -> Result<Vec<Gap>, Error> {
    let mut gaps = Vec::new();
    for dataset in &config.datasets {
        let mut of_dataset: Vec<Gap> = Vec::new();
        of_dataset.extend(remaining::failed(config, ledger, dataset)?.into_iter().map(Gap::from));
        // the ledger does not list a shard that failed to replace a committed one
        for failure in totals.failed.iter().filter(|failure| failure.dataset == dataset.name) {
            let listed: Vec<_> = of_dataset.iter().map(|gap| gap.interval).collect();
            if !failure.interval.subtract(&listed).is_empty() {
                of_dataset.push(Gap::from(failure.clone()));
            }
        }
        let postponed = totals.not_yet_available.iter();
        let postponed = postponed.filter(|failure| failure.dataset == dataset.name);
        of_dataset.extend(postponed.map(Gap::not_yet_available));
        let reported: Vec<_> = of_dataset.iter().map(|gap| gap.interval).collect();
        for missing in remaining::missing(config, ledger, dataset)? {
            for interval in missing.subtract(&reported) {
                let gap = Gap::missing(&dataset.name, interval);
                of_dataset.push(match totals.given_up.get(&dataset.name) {
                    Some(reason) => {
                        Gap { reason: format!("the dataset was given up: {reason}"), ..gap }
                    }
                    None => gap,
                });
            }
        }
        of_dataset.extend(remaining::doubtful(config, ledger, dataset)?.into_iter().map(Gap::from));
        let accepted = ledger.accepted(&dataset.name)?;
        gaps.extend(of_dataset.into_iter().flat_map(|gap| gap.with_acceptance(&accepted)));
    }
    Ok(gaps)
}

/// The gaps that make the run incomplete: those that nobody accepted. A doubtful interval counts in
/// the run that committed it; `status` shows it until it is fetched again without doubt.
fn open_gaps(gaps: &[Gap], totals: &FetchTotals) -> Vec<Gap> {
    let is_of_this_run = |gap: &Gap| match gap.cause {
        GapCause::Doubtful(kind) => totals.doubtful.iter().any(|doubt| {
            doubt.kind == kind
                && doubt.dataset == gap.dataset
                && doubt.interval.overlaps(gap.interval)
        }),
        _ => true,
    };
    gaps.iter().filter(|gap| gap.is_open() && is_of_this_run(gap)).cloned().collect()
}

#[cfg(test)]
mod tests;
