//! Requests without a run: how many rows the platform counts, and what a first page looks like.

use std::sync::Arc;

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
    fetch::{FetchError, RunError, ShardWidth},
    http::error::RequestError,
    ledger::{LEDGER, Ledger, Probe},
    sink::{lock::OutputLock, store::OutputStore},
    time::interval::DAY,
};

/// Compares every day with the number of rows that the platform counts. Returns a line for each day
/// that differs or could not be counted.
///
/// # Errors
/// If the platform does not answer at all.
pub(crate) async fn compare(
    config: &Config,
    days: &[DayCount],
    shutdown: CancellationToken,
) -> Result<Vec<String>, Error> {
    let ledger = Ledger::open(&config.output.join(LEDGER))?;
    let output = OutputStore::directory(&config.output)?;
    let session = ApiSession::open(config, output, ledger, shutdown).await?;
    let differences = compare_days(&session, days).await;
    session.close().await;
    differences
}

async fn compare_days(session: &ApiSession, days: &[DayCount]) -> Result<Vec<String>, Error> {
    let mut differences = Vec::new();
    for day in days {
        let difference = match session.client.count_rows(&day.dataset, day.interval).await {
            Ok(total) if total == day.rows => continue,
            Ok(total) => {
                format!("the platform counts {total} rows, but the files hold {}", day.rows)
            }
            Err(error) => format!("cannot be compared: {}", request_error(error)?),
        };
        differences.push(format!("{} {}: {difference}", day.dataset.name, day.interval));
    }
    Ok(differences)
}

/// Asks the platform for the number of rows of every day that is left to fetch and was not counted
/// yet, with one request each, and records the answers in the ledger. Datasets of which the
/// platform does not count the rows are left out.
///
/// # Errors
/// If the output cannot be used, or the platform does not answer at all.
pub async fn probe(config: &Config, shutdown: CancellationToken) -> Result<(), Error> {
    let output = OutputStore::create(&config.output, config.file_mode)?;
    let _lock = OutputLock::take(&config.output)?;
    let ledger = Ledger::open(&config.output.join(LEDGER))?;
    ledger.record_identity(&config.output_identity())?;
    let session = ApiSession::open(config, output, ledger, shutdown).await?;
    let result = probe_datasets(&session, config).await;
    session.close().await;
    result
}

async fn probe_datasets(session: &ApiSession, config: &Config) -> Result<(), Error> {
    let ledger = &session.environment.ledger;
    let plan = remaining::plan(config, Scope::Missing, ledger)?;
    for dataset in config.datasets.iter().filter(|dataset| dataset.is_counted()) {
        let probes = ledger.probes(&dataset.name)?;
        let counted: Vec<_> = probes.iter().map(|probe| probe.interval).collect();
        let shards = plan.shards().filter(|shard| shard.dataset.name == dataset.name);
        let not_counted = shards.flat_map(|shard| shard.interval.subtract(&counted));
        for interval in not_counted.flat_map(|interval| interval.split(DAY)) {
            match session.client.count_rows(dataset, interval).await {
                Ok(rows) => ledger.record_probe(&dataset.name, Probe { interval, rows })?,
                Err(error) => {
                    let error = request_error(error)?;
                    tracing::warn!(dataset = dataset.name, %interval, %error, "rows not counted");
                }
            }
        }
    }
    Ok(())
}

/// The first page of the first shard of a dataset, which need not have columns yet.
///
/// # Errors
/// If there is no such dataset, only a job fetches it, or the page cannot be fetched.
pub(crate) async fn first_page(
    mut config: Config,
    dataset: &str,
    shutdown: CancellationToken,
) -> Result<RawPage, Error> {
    let dataset = config.catalog.datasets.get(dataset).cloned().ok_or_else(|| {
        Error::Page(format!("`{dataset}` is not a dataset: see `cxbackfill datasets`"))
    })?;
    let endpoint = dataset.query.clone().ok_or_else(|| {
        Error::Page(format!(
            "`{}` is fetched by a job, which has no first page: describe its columns by hand",
            dataset.name
        ))
    })?;
    let width = match config.fetch.shard {
        ShardWidth::Auto => DAY,
        ShardWidth::Fixed(width) => width,
    };
    let width = width.min(endpoint.widest[0]);
    let interval = config.interval.split(width).next().unwrap_or(config.interval);
    config.datasets = vec![Arc::clone(&dataset)];
    let no_output = OutputStore::over(Arc::new(InMemory::new()));
    let session = ApiSession::open(&config, no_output, Ledger::in_memory()?, shutdown).await?;
    let page = session.client.first_page(&dataset, &endpoint, interval).await;
    session.close().await;
    match page {
        Ok(page) => Ok(page),
        Err(error) => Err(Error::Page(request_error(error)?.to_string())),
    }
}

/// Why one request failed. The error is what ends the command, since it concerns every request.
fn request_error(error: FetchError) -> Result<RequestError, Error> {
    error.into_request_error().map_err(|run_error| command_error(&run_error))
}

fn command_error(run_error: &RunError) -> Error {
    match RunOutcome::from_error(run_error) {
        RunOutcome::Denied(reason) => Error::Credentials(reason),
        other => Error::Stopped(other.to_string()),
    }
}
