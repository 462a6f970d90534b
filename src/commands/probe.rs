//! Asking the platform without a run: how many rows there are, and what a page looks like.

use std::{sync::Arc, time::Duration};

use object_store::memory::InMemory;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{
        environment::ApiSession,
        remaining::{self, Scope},
        report::RunOutcome,
        verify::DayCount,
    },
    config::Config,
    decode::RawPage,
    error::Error,
    fetch::{FetchError, RunError},
    http::error::RequestError,
    ledger::{LEDGER, Ledger, Probe},
    sink::{lock::OutputLock, store::OutputStore},
};

/// What is asked for at once where the platform counts rows.
const DAY: Duration = Duration::from_secs(86_400);

/// Holds every day against the platform's own count of it. Returns what differs, or could not be
/// asked for, a line each.
///
/// # Errors
/// Where the platform cannot be reached at all.
pub(crate) async fn compare(
    config: &Config,
    days: &[DayCount],
    shutdown: CancellationToken,
) -> Result<Vec<String>, Error> {
    let ledger = Ledger::open(&config.output.join(LEDGER))?;
    let session =
        ApiSession::open(config, OutputStore::directory(&config.output)?, ledger, shutdown).await?;
    let compared = compare_on(&session, days).await;
    session.close().await;
    compared
}

async fn compare_on(session: &ApiSession, days: &[DayCount]) -> Result<Vec<String>, Error> {
    let mut differences = Vec::new();
    for day in days {
        let what = match session.client.total(&day.dataset, day.interval).await {
            Ok(total) if total == day.rows => continue,
            Ok(total) => {
                format!("the platform counts {total} rows, and the files hold {}", day.rows)
            }
            Err(error) => format!("it cannot be compared: {}", fault(error)?),
        };
        differences.push(format!("{} {}: {what}", day.dataset.name, day.interval));
    }
    Ok(differences)
}

/// Asks the platform how many rows there are, a request for every day that is left and that it has not
/// been asked for, and keeps the answers in the ledger. Datasets that it does not count stay unknown.
///
/// # Errors
/// Where the output or the platform cannot be reached at all.
pub async fn probe(config: &Config, shutdown: CancellationToken) -> Result<(), Error> {
    let output = OutputStore::directory(&config.output)?;
    let _lock = OutputLock::take(&config.output)?;
    let ledger = Ledger::open(&config.output.join(LEDGER))?;
    ledger.identify(&config.output_identity())?;
    let session = ApiSession::open(config, output, ledger, shutdown).await?;
    let probed = probe_on(&session, config).await;
    session.close().await;
    probed
}

async fn probe_on(session: &ApiSession, config: &Config) -> Result<(), Error> {
    let ledger = &session.environment.ledger;
    let plan = remaining::plan(config, Scope::Missing, ledger)?;
    for dataset in config.datasets.iter().filter(|dataset| dataset.is_counted()) {
        let known: Vec<_> =
            ledger.probes(&dataset.name)?.iter().map(|probe| probe.interval).collect();
        let left = plan.shards().filter(|shard| shard.dataset.name == dataset.name);
        let days =
            left.flat_map(|shard| shard.interval.subtract(&known)).flat_map(|left| left.split(DAY));
        for interval in days {
            match session.client.total(dataset, interval).await {
                Ok(rows) => ledger.probed(&dataset.name, Probe { interval, rows })?,
                Err(error) => {
                    let fault = fault(error)?;
                    tracing::warn!(dataset = dataset.name, %interval, %fault, "not counted");
                }
            }
        }
    }
    Ok(())
}

/// The first page of a dataset, whose columns need not be known, of the first shard of `config`.
///
/// # Errors
/// Where there is none.
pub(crate) async fn first_page(
    mut config: Config,
    dataset: &str,
    shutdown: CancellationToken,
) -> Result<RawPage, Error> {
    let none = |reason: &str| Error::Page(reason.to_owned());
    let dataset = config
        .catalog
        .datasets
        .get(dataset)
        .cloned()
        .ok_or_else(|| none("there is no such dataset"))?;
    let endpoint = dataset
        .query
        .clone()
        .ok_or_else(|| none("only a job brings it: describe its columns by hand"))?;
    let width = config.fetch.shard.min(endpoint.widest[0]);
    let interval = config.interval.split(width).next().unwrap_or(config.interval);
    config.datasets = vec![Arc::clone(&dataset)];
    let nowhere = OutputStore::over(Arc::new(InMemory::new()));
    let session = ApiSession::open(&config, nowhere, Ledger::in_memory()?, shutdown).await?;
    let page = session.client.first_page(&dataset, &endpoint, interval).await;
    session.close().await;
    match page {
        Ok(page) => Ok(page),
        Err(error) => Err(Error::Page(fault(error)?.to_string())),
    }
}

/// Why one request brought nothing; the error is why no other will.
fn fault(error: FetchError) -> Result<RequestError, Error> {
    error.into_fault().map_err(|run_error| stopped(&run_error))
}

/// Why nobody could be asked.
fn stopped(run_error: &RunError) -> Error {
    match RunOutcome::from_halt(run_error) {
        RunOutcome::Denied(reason) => Error::Credentials(reason),
        other => Error::Stopped(other.to_string()),
    }
}
