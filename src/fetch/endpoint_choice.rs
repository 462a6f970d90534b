//! Which endpoint fetches a shard of a dataset that has two: the one that needs fewer requests.

use std::sync::Arc;

use crate::{
    catalog::{Dataset, Endpoint, Paging},
    fetch::{FetchError, Fetcher, ShardError, Strategy, shard_progress::ShardProgress},
    planning::Shard,
};

/// The polls of a typical job, which is done within three seconds (see `async_job`).
const TYPICAL_POLLS: u64 = 2;

/// The requests that a shard of so many rows needs, without retries. `None` if the number of rows
/// is not known, or the endpoint is queried per parent.
pub(crate) fn request_count(endpoint: &Endpoint, rows: Option<u64>, page_size: u32) -> Option<u64> {
    if endpoint.parent.is_some() {
        return None;
    }
    let pages = match endpoint.paging {
        Paging::None => 1,
        _ => endpoint.pages_of(rows?, page_size),
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

/// The endpoint with fewer requests; of equals the query, which answers at once.
fn cheaper<'a>(
    query: &'a Arc<Endpoint>,
    job: &'a Arc<Endpoint>,
    rows: u64,
    page_size: u32,
) -> &'a Arc<Endpoint> {
    let cost =
        |endpoint: &Endpoint| request_count(endpoint, Some(rows), page_size).unwrap_or(u64::MAX);
    if cost(job) < cost(query) { job } else { query }
}

impl Fetcher {
    /// Chooses the endpoint that fetches a shard.
    ///
    /// # Errors
    /// [`crate::fetch::ShardError`] if only a job will do and jobs do not have the data yet.
    pub(crate) async fn choose_endpoint(&self, shard: &Shard) -> Result<Arc<Endpoint>, FetchError> {
        let (dataset, context) = (&shard.dataset, &self.client.context);
        if shard.open_rows.is_some() {
            // rows that are requested by id; if that fails, the whole day, which is long complete
            return Ok(Arc::clone(dataset.endpoint()));
        }
        let Some(job) = &dataset.job else { return Ok(Arc::clone(dataset.endpoint())) };
        let strategy = context.settings.strategy;
        // some columns are only in the results of jobs
        let needs_job = strategy == Strategy::Job || dataset.has_extras();
        let Some(query) = dataset.query.as_ref().filter(|_| !needs_job) else {
            self.require_job_data(dataset, job, shard.interval).await?;
            return Ok(Arc::clone(job));
        };
        let is_refused = context.job_availability.is_refused(&dataset.name);
        if strategy == Strategy::Query || is_refused || !self.has_job_data(shard, job).await? {
            return Ok(Arc::clone(query));
        }
        let rows = match context.row_statistics.expected_rows(&dataset.name, shard.interval) {
            Some(rows) => rows,
            None => match self.client.count_rows(dataset, shard.interval).await {
                Ok(rows) => rows,
                // not known: a query needs no preparation
                Err(FetchError::Shard(_)) => return Ok(Arc::clone(query)),
                Err(error) => return Err(error),
            },
        };
        Ok(Arc::clone(cheaper(query, job, rows, context.settings.page_size)))
    }

    /// Goes on with the query if a shard's job cannot be had, and the query will do.
    ///
    /// # Errors
    /// `error`, if only the job will do or if the error is of another kind.
    pub(super) async fn fall_back_to_query(
        &self,
        progress: &mut ShardProgress,
        error: FetchError,
    ) -> Result<(), FetchError> {
        let (dataset, context) = (Arc::clone(&progress.shard().dataset), &self.client.context);
        let is_optional = context.settings.strategy == Strategy::Auto && !dataset.has_extras();
        let Some(query) = dataset.query.as_ref().filter(|_| is_optional) else { return Err(error) };
        let error = match error {
            FetchError::Shard(
                ShardError::Failed(error)
                | ShardError::Denied(error)
                | ShardError::DatasetUnavailable { error, .. },
            ) => error,
            error => return Err(error),
        };
        tracing::warn!(%error, "the job cannot be had; using the query");
        context.job_availability.refuse(&dataset.name, &error);
        self.delete_job(progress).await?;
        let pager = self.client.pager(&dataset, query, progress.shard().interval);
        progress.use_pager(pager);
        Ok(())
    }

    /// Whether jobs have the data of a shard. They are taken to have none if the platform does not
    /// answer.
    async fn has_job_data(&self, shard: &Shard, job: &Arc<Endpoint>) -> Result<bool, FetchError> {
        match self.client.job_data_answer(&shard.dataset, job, shard.interval).await {
            Ok(answer) => Ok(answer.until_ms >= shard.interval.to_ms()),
            Err(error) => {
                let error = error.into_request_error()?;
                tracing::warn!(%error, "cannot tell up to when jobs have data; using the query");
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn conversations() -> &'static Arc<Dataset> {
        catalog::test_dataset("conversations")
    }

    #[test]
    fn a_job_is_cheaper_from_a_few_hundred_rows_on() {
        let (query, job) =
            (conversations().query.as_ref().unwrap(), conversations().job.as_ref().unwrap());
        let is_job = |rows, page_size| Arc::ptr_eq(cheaper(query, job, rows, page_size), job);
        assert_eq!(
            [0, 400, 401, 20_000].map(|rows| is_job(rows, u32::MAX)),
            [false, false, true, true]
        );
        assert!(!is_job(20_000, 100), "pages of a job are no larger here");
        let requests = |endpoint: &Endpoint, rows| request_count(endpoint, rows, u32::MAX);
        assert_eq!(
            (requests(query, Some(20_000)), requests(job, Some(20_000))),
            (Some(201), Some(24))
        );
        assert_eq!((requests(query, None), requests(query, Some(0))), (None, Some(1)));
    }
}
