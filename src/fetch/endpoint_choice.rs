//! Which endpoint fetches a shard of a dataset that has two, and how much of the shard at once:
//! whichever needs the fewest requests, if the number of rows is known.

use std::sync::Arc;

use crate::{
    catalog::{Dataset, Endpoint, Paging},
    fetch::{
        FetchError, Fetcher, RunError, ShardError, ShardSizing, ShardWidth, Strategy,
        shard_progress::ShardProgress, shard_sizing::Part,
    },
    http::error::RequestError,
    ledger::{Probe, RowStats},
    planning::Shard,
    time::interval::Interval,
};

/// The polls of a typical job: its first one comes when it is expected to be done (see `job_waits`).
const TYPICAL_POLLS: u64 = 1;

/// The requests that return this many items, without retries. `None` if the number of items is not
/// known, or the endpoint is queried per parent.
pub(crate) fn request_count(
    endpoint: &Endpoint,
    items: Option<u64>,
    page_size: u32,
) -> Option<u64> {
    if endpoint.parent.is_some() {
        return None;
    }
    let pages = match endpoint.paging {
        Paging::None => 1,
        _ => endpoint.pages_of(items?, page_size),
    };
    let around_pages = endpoint
        .async_job
        .as_ref()
        .map_or(0, |job| 1 + TYPICAL_POLLS + u64::from(job.delete.is_some()));
    Some(around_pages + pages)
}

/// The requests that return so many rows by their ids. `None` if the dataset has no endpoint that
/// does.
pub(crate) fn request_count_by_id(dataset: &Dataset, rows: u64, page_size: u32) -> Option<u64> {
    let ids = page_size.min(dataset.by_id.as_ref()?.page_size);
    Some(rows.div_ceil(ids.into()))
}

/// How a shard is requested.
#[derive(Debug, Clone)]
pub(crate) struct EndpointChoice {
    pub endpoint: Arc<Endpoint>,
    /// The part of the shard, from its start, that is requested. The rest becomes another shard.
    pub interval: Interval,
}

impl From<Part<'_>> for EndpointChoice {
    fn from(part: Part<'_>) -> Self {
        Self { endpoint: Arc::clone(part.endpoint), interval: part.interval }
    }
}

impl Fetcher {
    /// Chooses the endpoint that fetches a shard, and how much of it: not a job unless
    /// `may_use_job`, if the query will do.
    ///
    /// # Errors
    /// [`crate::fetch::ShardError`] if only a job will do and jobs do not have the data yet.
    pub(crate) async fn choose_endpoint(
        &self,
        shard: &Shard,
        may_use_job: bool,
    ) -> Result<EndpointChoice, FetchError> {
        let (dataset, context) = (&shard.dataset, &self.client.context);
        if shard.open_rows.is_some() {
            // rows that are requested by id; if that fails, the whole day, which is long complete
            let endpoint = Arc::clone(dataset.endpoint());
            return Ok(EndpointChoice { endpoint, interval: shard.interval });
        }
        self.count_rows_if_useful(shard).await?;
        let row_stats = context.row_statistics.of(&dataset.name);
        let sizing = |until_ms| self.sizing(dataset, &row_stats, until_ms);
        let has_query = sizing(i64::MAX).endpoints().0.is_some();
        let is_refused =
            has_query && (!may_use_job || context.job_availability.is_refused(&dataset.name));
        let first = sizing(if is_refused { i64::MIN } else { i64::MAX }).first(shard.interval);
        if first.endpoint.async_job.is_none() {
            return Ok(first.into());
        }
        let job = first.endpoint;
        if has_query {
            let until_ms = self.job_data_until(dataset, job, first.interval).await?;
            return Ok(sizing(until_ms).first(shard.interval).into());
        }
        let answer = self.client.job_data_answer(dataset, job, first.interval).await?;
        let Some(interval) = sizing(answer.until_ms).readable_by_job(first.interval) else {
            self.require_job_data(dataset, job, first.interval).await?;
            return Ok(first.into());
        };
        Ok(EndpointChoice { endpoint: Arc::clone(job), interval })
    }

    /// Counts the rows of the start of a shard, if nothing is known about its dataset and the choice
    /// depends on it. One fetcher counts for all of the dataset. If the platform does not count rows, nothing is
    /// known.
    ///
    /// # Errors
    /// Only those that end the run.
    async fn count_rows_if_useful(&self, shard: &Shard) -> Result<(), FetchError> {
        let (dataset, context) = (&shard.dataset, &self.client.context);
        let Some(query) = &dataset.query else { return Ok(()) };
        let is_known = || {
            let row_stats = context.row_statistics.of(&dataset.name);
            let sizing = self.sizing(dataset, &row_stats, i64::MAX);
            let is_fixed = context.settings.shard != ShardWidth::Auto;
            let is_useful = match sizing.endpoints() {
                (Some(_), Some(_)) => true,
                (Some(query), None) => !is_fixed && dataset.is_counted() && !query.ordered,
                _ => !is_fixed && dataset.is_counted(),
            };
            !is_useful || sizing.is_known(shard.interval)
        };
        let is_settled = || is_known() || !context.row_statistics.may_be_counted(&dataset.name);
        if dataset.snapshot || is_settled() {
            return Ok(());
        }
        let _only_one = context.row_statistics.count_alone(&dataset.name).await;
        if is_settled() {
            return Ok(());
        }
        let widest = query.widest[usize::from(context.has_filter(dataset))];
        let interval = shard.interval.start(widest);
        match self.client.count_rows(dataset, interval).await {
            Ok(items) if query.explode.is_empty() => {
                context.row_statistics.count(&dataset.name, Probe { interval, rows: items });
            }
            Ok(items) => {
                context.row_statistics.set_items(&dataset.name, items);
            }
            Err(FetchError::Shard(error)) => {
                let error = error.into_request_error();
                tracing::debug!(%error, "the platform does not count the rows");
                context.row_statistics.give_up_counting(&dataset.name);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The error of a shard's job: [`ShardError::JobUnavailable`] if the job cannot be had and the
    /// query will do, else `error`.
    pub(super) fn job_error(&self, shard: &Shard, error: FetchError) -> FetchError {
        let (dataset, settings) = (&shard.dataset, &self.client.context.settings);
        let is_optional = settings.strategy == Strategy::Auto && !dataset.has_extras();
        match error {
            FetchError::Shard(
                ShardError::Failed(error)
                | ShardError::Denied(error)
                | ShardError::DatasetUnavailable { error, .. },
            ) if is_optional && dataset.query.is_some() => ShardError::JobUnavailable(error).into(),
            error => error,
        }
    }

    /// Remembers that a shard's job could not be had, so that the query fetches it.
    pub(super) async fn use_query_instead(
        &self,
        progress: &mut ShardProgress,
        error: &RequestError,
    ) -> Result<(), RunError> {
        tracing::warn!(%error, "the job cannot be had; using the query");
        let dataset = &progress.shard().dataset.name;
        self.client.context.job_availability.refuse(dataset, error);
        self.delete_job(progress).await
    }

    /// What decides how the rows of a dataset are requested, with jobs that have data up to then.
    fn sizing<'a>(
        &'a self,
        dataset: &'a Arc<Dataset>,
        row_stats: &'a RowStats,
        job_data_until_ms: i64,
    ) -> ShardSizing<'a> {
        let context = &self.client.context;
        let (settings, has_filter) = (&context.settings, context.has_filter(dataset));
        ShardSizing { dataset, settings, has_filter, row_stats, job_data_until_ms }
    }

    /// Up to when jobs have data. If the platform does not answer, jobs are assumed to have none.
    async fn job_data_until(
        &self,
        dataset: &Dataset,
        job: &Arc<Endpoint>,
        interval: Interval,
    ) -> Result<i64, FetchError> {
        match self.client.job_data_answer(dataset, job, interval).await {
            Ok(answer) => Ok(answer.until_ms),
            Err(error) => {
                let error = error.into_request_error()?;
                tracing::warn!(%error, "cannot tell up to when jobs have data; using the query");
                Ok(i64::MIN)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn the_requests_of_a_job_are_its_pages_and_those_around_them() {
        let dataset = catalog::test_dataset("conversations");
        let (query, job) = (dataset.query.as_ref().unwrap(), dataset.job.as_ref().unwrap());
        let requests = |endpoint: &Endpoint, rows| request_count(endpoint, rows, u32::MAX);
        assert_eq!(
            (requests(query, Some(20_000)), requests(job, Some(20_000))),
            (Some(201), Some(23))
        );
        assert_eq!((requests(query, None), requests(query, Some(0))), (None, Some(1)));
    }
}
