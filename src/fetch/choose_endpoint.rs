//! What the choice of an endpoint has to ask the platform: how many rows there are, and up to when
//! jobs have data.

use std::sync::Arc;

use crate::{
    catalog::{Dataset, Endpoint},
    fetch::{
        FetchError, Fetcher, RunError, ShardError, ShardSizing, ShardWidth, Strategy,
        endpoint_choice::EndpointChoice, shard_progress::ShardProgress,
    },
    http::error::RequestError,
    ledger::{Probe, RowStats},
    planning::Shard,
    time::interval::Interval,
};

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
        let first = sizing(if is_refused { i64::MIN } else { i64::MAX }).cheapest(shard.interval);
        if first.endpoint.async_job.is_none() {
            return Ok(first);
        }
        let job = &first.endpoint;
        if has_query {
            let until_ms = self.job_data_until(dataset, job, first.interval).await?;
            return Ok(sizing(until_ms).cheapest(shard.interval));
        }
        let answer = self.client.job_data_answer(dataset, job, first.interval).await?;
        let Some(interval) = sizing(answer.until_ms).readable_by_job(first.interval) else {
            self.require_job_data(dataset, job, first.interval).await?;
            return Ok(first);
        };
        Ok(EndpointChoice { endpoint: Arc::clone(job), interval })
    }

    /// Counts the rows of the start of a shard, if nothing is known about its dataset and the
    /// choice depends on it. One fetcher counts for all of the dataset. If the platform does not
    /// count rows, nothing is known.
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
