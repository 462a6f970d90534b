//! The course of one shard: choose its endpoint, run its job, fetch its pages, end its lease.

use std::sync::Arc;

use tracing::{Instrument, Span};

use crate::{
    catalog::{Endpoint, is_path_segment},
    fetch::{
        FetchError, FetchTotals, Fetcher, RunError, ShardError, failed_parents::fail_parent,
        fetch_pages::PagesEnd, shard_progress::ShardProgress,
    },
    http::error::RequestError,
    planning::{Lease, Shard},
    telemetry::{self, metrics::FetchingGuard},
};

impl Fetcher {
    /// Fetches one shard and ends its lease. After an error that ends the run the lease is dropped,
    /// which returns what is left of the shard to the planner.
    pub(crate) async fn fetch_shard(
        &self,
        mut lease: Lease,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let mut may_use_job = true;
        loop {
            let (metrics, leased) = (&self.client.context.metrics, lease.shard().clone());
            let fetching = metrics.fetch_shard(&leased.dataset.name, leased.interval);
            let span = shard_span(&leased);
            let endpoint = self.choose_and_cut(&mut lease, may_use_job).instrument(span).await;
            if lease.shard().interval != leased.interval {
                fetching.narrow(lease.shard().interval);
                metrics.split_off(&leased.dataset.name);
            }
            // from here on, logs name the part that is requested
            let span = shard_span(lease.shard());
            let fetched = self.fetch_from(lease, fetching, endpoint, totals).instrument(span);
            match fetched.await? {
                None => return Ok(()),
                Some(unfetched) => (lease, may_use_job) = (unfetched, false),
            }
        }
    }

    /// Chooses the endpoint that fetches a shard, and gives back the part that it does not fetch.
    async fn choose_and_cut(
        &self,
        lease: &mut Lease,
        may_use_job: bool,
    ) -> Result<Arc<Endpoint>, FetchError> {
        if let Some(error) = self.client.context.circuit_breaker.error_of_planned(lease.shard()) {
            return Err(ShardError::Failed(error).into());
        }
        let choice = self.choose_endpoint(lease.shard(), may_use_job).await?;
        lease.keep_until(choice.interval.to_ms()).await?;
        Ok(choice.endpoint)
    }

    /// Fetches a shard from the chosen endpoint and ends its lease. Returns the lease if its job
    /// cannot be had and the query will do.
    async fn fetch_from(
        &self,
        lease: Lease,
        fetching: FetchingGuard,
        endpoint: Result<Arc<Endpoint>, FetchError>,
        totals: &mut FetchTotals,
    ) -> Result<Option<Lease>, RunError> {
        let dataset = Arc::clone(&lease.shard().dataset);
        let chosen = endpoint.as_ref().unwrap_or(dataset.endpoint());
        let pager = self.client.pager(&dataset, chosen, lease.shard().interval);
        let mut progress = ShardProgress::new(lease, pager);
        progress.fetching = Some(fetching);
        let fetched = match endpoint {
            Ok(_) => self.fetch_rows(&mut progress, totals).await,
            Err(error) => Err(error),
        };
        match fetched {
            Ok(pages_end) => {
                self.delete_job(&mut progress).await?;
                self.end_pages(progress, pages_end, totals).await?;
            }
            Err(FetchError::Shard(ShardError::JobUnavailable(error))) => {
                self.use_query_instead(&mut progress, &error).await?;
                return Ok(Some(progress.lease));
            }
            Err(FetchError::Shard(error)) => {
                self.delete_job(&mut progress).await?;
                self.end_with_error(progress, error, totals).await?;
            }
            Err(FetchError::Run(RunError::Interrupted)) => {
                self.commit_what_is_complete(&mut progress, totals).await?;
                self.delete_job(&mut progress).await?;
                return Err(RunError::Interrupted);
            }
            // the next run deletes the job
            Err(FetchError::Run(error)) => return Err(error),
        }
        Ok(None)
    }

    /// Fetches the rows of a shard: the open ones of a committed shard by id, else all by pages.
    async fn fetch_rows(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<PagesEnd, FetchError> {
        if progress.shard().open_rows.is_some() && self.fetch_open_rows(progress, totals).await? {
            return Ok(PagesEnd::Complete);
        }
        self.fetch_with_restarts(progress, totals).await
    }

    /// Fetches the pages of a shard, and starts over where that helps.
    async fn fetch_with_restarts(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<PagesEnd, FetchError> {
        let (mut counted_again, mut results_gone) = (false, 0);
        loop {
            let page_size = progress.pager.page_size;
            match self.fetch_once(progress, totals).await {
                Ok(PagesEnd::Complete)
                    if !counted_again
                        && !progress.is_partly_committed()
                        && progress.count_mismatch().is_some() =>
                {
                    counted_again = true;
                    self.restart(progress, page_size).await?;
                }
                Err(FetchError::Shard(ShardError::ResultGone(_)))
                    if results_gone < self.client.context.policy.attempts =>
                {
                    results_gone += 1;
                    self.restart(progress, page_size).await?;
                }
                Err(FetchError::Shard(ShardError::PageRepeated(error)))
                    if progress.may_repeat() =>
                {
                    tracing::info!(%error, "start the shard again");
                    self.restart(progress, page_size).await?;
                }
                Err(FetchError::Shard(ShardError::PagesChanged(reason))) => {
                    tracing::info!(reason, "start the shard again");
                    self.restart(progress, page_size).await?;
                }
                Err(FetchError::Shard(ShardError::PageTooLarge)) => {
                    self.restart(progress, page_size / 2).await?;
                }
                ended => return ended,
            }
        }
    }

    async fn fetch_once(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<PagesEnd, FetchError> {
        if let Err(error) = self.run_job(progress).await {
            return Err(self.job_error(progress.shard(), error));
        }
        if progress.pager.lacks_parents() {
            self.list_parents(progress).await?;
        }
        let pages_end = self.fetch_pages(progress, totals).await?;
        self.settle_failed_parents(progress).await?;
        Ok(pages_end)
    }

    /// Lists the parents that a shard is queried for. One whose id would lead to another path
    /// fails.
    async fn list_parents(&self, progress: &mut ShardProgress) -> Result<(), FetchError> {
        let mut parents = self.client.parent_ids(&progress.pager).await?.to_vec();
        if progress.pager.endpoint.has_parent_in_path() {
            for id in parents.extract_if(.., |id| !is_path_segment(id)) {
                let error = RequestError::Malformed("the id cannot be part of a path".into());
                fail_parent(progress, id, error);
            }
        }
        progress.pager.set_parents(parents);
        Ok(())
    }

    /// Starts over with what is left of a shard.
    pub(super) async fn restart(
        &self,
        progress: &mut ShardProgress,
        page_size: u32,
    ) -> Result<(), RunError> {
        self.delete_job(progress).await?;
        self.discard(progress).await?;
        progress.restart(page_size);
        Ok(())
    }
}

fn shard_span(shard: &Shard) -> Span {
    telemetry::shard_span(&shard.dataset.name, shard.interval)
}
