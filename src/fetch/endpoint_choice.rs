//! Which way a shard is fetched, where there are two: the one that costs fewer requests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    catalog::{Dataset, Endpoint, Paging},
    fetch::{ApiClient, FetchError, Fetcher, ShardError, Strategy},
    http::error::RequestError,
    ledger::RowStats,
    planning::Shard,
    time::interval::{Interval, iso},
};

/// Looks at a job until it is done, as a rule: it has three seconds (see `task::FIRST_POLL_PAUSE`).
const POLLS: u64 = 2;
/// How often a lake is looked at that has not come far enough.
const LAKE_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What is known of how many rows there are, by dataset: what `plan` knows, and what this run commits.
#[derive(Debug, Default)]
pub(crate) struct RowStatistics(Mutex<BTreeMap<String, RowStats>>);

/// Up to when data are in the lake that jobs read, by dataset, in milliseconds; and since when
/// somebody waits for it.
#[derive(Debug, Default)]
pub(crate) struct JobAvailability(Mutex<BTreeMap<String, i64>>, OnceLock<Instant>);

impl RowStatistics {
    /// Begins with what earlier runs know.
    pub(crate) fn know(&self, dataset: &str, known: RowStats) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(dataset.to_owned(), known);
    }

    /// Takes note of committed rows.
    pub(crate) fn add(&self, dataset: &str, rows: u64, time: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = &mut known.entry(dataset.to_owned()).or_default().committed;
        committed.0 += rows;
        committed.2 += time;
    }

    /// The rows to expect; none: nothing is known.
    pub(crate) fn expect(&self, dataset: &str, interval: Interval) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(dataset)?.rows(interval)
    }
}

/// The requests that a shard of `rows` costs one way or another, faults aside; none where nobody knows
/// how many rows or parents there are.
pub(crate) fn cost(endpoint: &Endpoint, rows: Option<u64>, page_size: u32) -> Option<u64> {
    let pages = rows.map(|rows| rows.div_ceil(page_size.min(endpoint.page_size).into()));
    let pages = match endpoint.paging {
        _ if endpoint.parent.is_some() => None,
        Paging::None => Some(1),
        // these say which page is the last
        Paging::Cursor | Paging::NextLink => pages.map(|pages| pages.max(1)),
        Paging::PageNumber | Paging::Offset => {
            pages.map(|pages| pages + u64::from(endpoint.next.is_none()))
        }
    }?;
    let around =
        endpoint.async_job.as_ref().map_or(0, |task| 1 + POLLS + u64::from(task.delete.is_some()));
    Some(around + pages.max(1))
}

/// The way with fewer requests; of equals, the one that answers at once.
fn cheaper<'a>(
    query: &'a Arc<Endpoint>,
    job: &'a Arc<Endpoint>,
    rows: u64,
    page_size: u32,
) -> &'a Arc<Endpoint> {
    let cost = |endpoint| cost(endpoint, Some(rows), page_size).unwrap_or(u64::MAX);
    if cost(job) < cost(query) { job } else { query }
}

impl Fetcher {
    /// The way to fetch a shard.
    pub(crate) async fn endpoint(&self, shard: &Shard) -> Result<Arc<Endpoint>, FetchError> {
        let (dataset, context) = (&shard.dataset, &self.client.context);
        let (query, job) = match (&dataset.query, &dataset.job) {
            (query, Some(job)) => (query, job),
            (_, None) => return Ok(Arc::clone(dataset.endpoint())),
        };
        // columns that only a job brings are worth a wait
        let query =
            query.as_ref().filter(|_| context.strategy != Strategy::Job && !dataset.has_extras());
        let Some(query) = query else {
            self.lake(dataset, job, shard.interval).await?;
            return Ok(Arc::clone(job));
        };
        let in_the_lake = match context.strategy {
            Strategy::Query => false,
            _ => match self.client.filled(dataset, job, shard.interval).await {
                Ok(filled) => filled >= shard.interval.to_ms(),
                Err(error) => {
                    let fault = error.into_fault()?;
                    tracing::warn!(dataset = dataset.name, %fault, "the platform does not say what jobs can read");
                    false
                }
            },
        };
        if !in_the_lake {
            return Ok(Arc::clone(query));
        }
        let rows = match context.row_statistics.expect(&dataset.name, shard.interval) {
            Some(rows) => rows,
            // what cannot be counted is asked for without much ado
            None => match self.client.total(dataset, shard.interval).await {
                Ok(rows) => rows,
                Err(FetchError::Shard(_)) => return Ok(Arc::clone(query)),
                Err(error) => return Err(error),
            },
        };
        Ok(Arc::clone(cheaper(query, job, rows, context.page_size)))
    }

    /// Waits until the lake holds an interval.
    async fn lake(
        &self,
        dataset: &Dataset,
        job: &Endpoint,
        interval: Interval,
    ) -> Result<(), FetchError> {
        loop {
            let filled = self.client.filled(dataset, job, interval).await?;
            if filled >= interval.to_ms() {
                return Ok(());
            }
            let reason = format!("the platform has data for jobs up to {} only", iso(filled));
            // one wait for all shards
            let begun = self.client.context.job_availability.1.get_or_init(Instant::now);
            if begun.elapsed() + LAKE_PAUSE > self.client.context.lake_wait {
                return Err(ShardError::NotYet(RequestError::NotYet(format!(
                    "{reason}; run again later"
                )))
                .into());
            }
            tracing::info!(dataset = dataset.name, shard = %interval, reason, "waits for the lake");
            self.client.pause(LAKE_PAUSE).await?;
        }
    }
}

impl ApiClient {
    /// Up to when the lake is filled: asked again where that was before the end of `needed`.
    async fn filled(
        &self,
        dataset: &Dataset,
        job: &Endpoint,
        needed: Interval,
    ) -> Result<i64, FetchError> {
        let known = |job_availability: &JobAvailability| {
            job_availability
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&dataset.name)
                .copied()
        };
        if let Some(filled) =
            known(&self.context.job_availability).filter(|&filled| filled >= needed.to_ms())
        {
            return Ok(filled);
        }
        let filled = self.available(job, needed).await?;
        self.context
            .job_availability
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dataset.name.clone(), filled);
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn conversations() -> &'static Arc<Dataset> {
        &catalog::builtin("genesys-cloud").unwrap().datasets["conversations"]
    }

    #[test]
    fn a_job_pays_from_some_hundred_rows_on() {
        let (query, job) =
            (conversations().query.as_ref().unwrap(), conversations().job.as_ref().unwrap());
        let by_job = |rows, page_size| Arc::ptr_eq(cheaper(query, job, rows, page_size), job);
        assert_eq!(
            [0, 400, 401, 20_000].map(|rows| by_job(rows, u32::MAX)),
            [false, false, true, true]
        );
        // where pages are no larger by job it never does
        assert!(!by_job(20_000, 100));
        assert_eq!(
            (cost(query, Some(20_000), u32::MAX), cost(job, Some(20_000), u32::MAX)),
            (Some(201), Some(24))
        );
        assert_eq!((cost(query, None, u32::MAX), cost(query, Some(0), u32::MAX)), (None, Some(1)));
    }

    #[test]
    fn what_is_expected_follows_from_what_came() {
        let (row_statistics, day) = (RowStatistics::default(), Interval::day_of(0));
        assert_eq!(row_statistics.expect("calls", day), None);
        row_statistics.add("calls", 30, day.width());
        row_statistics.add("calls", 10, day.width());
        assert_eq!(row_statistics.expect("calls", day), Some(20));
    }
}
