//! The composition root: builds the actors bottom-up, awaits every life, reports. It decides nothing.

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
    ledger::{Failure, LEDGER, Ledger},
    planning::{Close, Plan, PlannerActor},
    sink::{
        LedgerEvent, SinkActor, SinkError, lock::OutputLock, shard_writer::QUARANTINE,
        store::OutputStore,
    },
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
    let expected = remaining::expect(config, &plan, &ledger)?;
    if plan.waiting() == 0 && ledger.orphans()?.is_empty() {
        tracing::info!("everything is committed already");
        return report(config, &ledger, FetchTotals::default(), None, &metrics, Duration::ZERO);
    }
    let (environment, sandbox) =
        Environment::open(config, output, ledger, metrics, shutdown).await?;
    tracing::info!(job = config.name, host = %environment.api, interval = %config.interval, shards = plan.waiting(), "start");
    environment.metrics.plan(plan.width());
    let ended = backfill(config, plan, &environment).await;
    if let Some(server) = sandbox {
        server.stop().await;
    }
    let mut report = ended?;
    report.summary.compare(expected.values());
    Ok(report)
}

/// What is left to do: requested − committed − set aside (G1). Files that no record names are swept
/// (G3), since whoever wrote them was killed before its commit.
///
/// # Errors
/// Where the output belongs to another job, or cannot be read.
pub async fn prepare(
    config: &Config,
    scope: Scope,
    output: &OutputStore,
    ledger: &Ledger,
) -> Result<Plan, Error> {
    ledger.identify(&config.output_identity())?;
    let folders: Vec<_> = config.datasets.iter().map(|dataset| dataset.name.clone()).collect();
    let swept =
        output.sweep(&[folders, vec![QUARANTINE.to_owned()]].concat(), &ledger.files()?).await?;
    if swept > 0 {
        tracing::info!(files = swept, "swept what a killed run left");
    }
    remaining::plan(config, scope, ledger)
}

/// Fetches `plan` in `environment`, to the end or to the first fault that concerns the whole run.
///
/// # Errors
/// Where the ledger cannot be read at the end.
pub async fn backfill(
    config: &Config,
    plan: Plan,
    environment: &Environment,
) -> Result<RunReport, Error> {
    let start = Instant::now();
    let (totals, run_error) = fetch(config, plan, environment).await;
    report(config, &environment.ledger, totals, run_error, &environment.metrics, start.elapsed())
}

/// Builds the actors, the one that depends on nobody first, and awaits the fetchers' lives. The
/// others live as long as somebody holds their address, and answer what they were asked before
/// they go.
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
    let (shared, tokens) = connect(config, environment);
    if let Err(run_error) =
        tidy(&client(&shared, &tokens, environment.seed), &sink, &environment.ledger).await
    {
        return (FetchTotals::default(), Some(run_error));
    }
    let mut lives: FuturesUnordered<_> = (0..config.fetch.actors)
        .map(|number| {
            let client = client(&shared, &tokens, environment.seed.wrapping_add(number as u64));
            let fetcher = Fetcher { client, planner: planner.clone(), sink: sink.clone() };
            FetchActor::new(Rc::new(fetcher)).start().send(Run)
        })
        .collect();
    let (mut totals, mut first) = (FetchTotals::default(), None);
    while let Some(life) = lives.next().await {
        let run_error = match life {
            Ok((more, run_error)) => {
                totals += more;
                run_error
            }
            Err(gone) => Some(gone.into()),
        };
        if let Some(run_error) = run_error {
            first.get_or_insert(run_error);
            shared.shutdown.cancel();
            // a planner that has gone hands out nothing either
            let _ = planner.send(Close).await;
        }
    }
    // a refresh token that was replaced is stored before the process ends
    let _ = tokens.send(Drain).await;
    (totals, first)
}

/// Deletes the jobs that a killed run has left with the platform.
async fn tidy(client: &ApiClient, sink: &Addr<SinkActor>, ledger: &Ledger) -> Result<(), RunError> {
    for job in ledger.orphans().map_err(SinkError::from)? {
        if client.delete(&job).await {
            tracing::info!(job.dataset, job.path, "deleted a job that a killed run has left");
            sink.send(LedgerEvent::Deleted(job)).await??;
        }
    }
    Ok(())
}

/// Sums a run up. A run that does not balance (G5) has failed, whatever else it did.
fn report(
    config: &Config,
    ledger: &Ledger,
    totals: FetchTotals,
    run_error: Option<RunError>,
    metrics: &Metrics,
    elapsed: Duration,
) -> Result<RunReport, Error> {
    let summary = Summary::new(&totals, metrics, elapsed);
    let mut open = Vec::new();
    for dataset in &config.datasets {
        open.extend(remaining::gaps(config, ledger, dataset)?);
    }
    // a shard that could not be replaced, or not be had yet, is no gap in the ledger
    open.extend(
        totals.failed.iter().filter(|failure| !open.contains(failure)).cloned().collect::<Vec<_>>(),
    );
    let known: Vec<_> =
        totals.failed.iter().map(|failure| (&failure.dataset, failure.interval)).collect();
    for dataset in &config.datasets {
        let told: Vec<_> = known
            .iter()
            .filter(|(name, _)| **name == dataset.name)
            .map(|(_, told)| *told)
            .collect();
        let untried = remaining::untried(config, ledger, dataset)?;
        open.extend(untried.into_iter().flat_map(|left| left.subtract(&told)).map(|interval| {
            Failure {
                dataset: dataset.name.clone(),
                interval,
                reason: "no run has tried it to the end".to_owned(),
                correlation: String::new(),
            }
        }));
    }
    let outcome = match run_error {
        _ if !totals.balances() => RunOutcome::Fatal(format!(
            "{} rows came and {:?} went: rows were lost or doubled; this is a bug, please report it",
            totals.received, totals.counts
        )),
        Some(run_error) => RunOutcome::from_halt(&run_error),
        None if !totals.denied.is_empty() => RunOutcome::denied(&totals.denied),
        None if open.is_empty() => RunOutcome::Complete,
        None => RunOutcome::Gaps(open),
    };
    Ok(RunReport { summary, outcome })
}
