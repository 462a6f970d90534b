//! The story of one shard: its way, its pages, its end.

use std::sync::Arc;

use crate::{
    blocking::offload,
    catalog,
    decode::RawPage,
    fetch::{
        FetchError, FetchTotals, Fetcher, RunError, ShardError, in_flight::InFlight,
        request::RequestOptions, shard_progress::ShardProgress,
    },
    http::error::RequestError,
    ledger::Failure,
    planning::{Lease, LeaseEnd, Shard},
    sink::{Commit, Discard, LedgerEvent, Write},
};

/// Rows that a part may hold before it is committed, if the shard can be cut: bounds what tells
/// copies of rows apart (G8).
const MOST_ROWS: u64 = 250_000;

/// Where the pages of a shard ended.
enum PagesEnd {
    /// The sink has all of them.
    Complete,
    /// The platform does not page any deeper.
    DepthLimit,
}

impl Fetcher {
    /// The story of one shard. Whatever goes wrong, the lease is dropped on the way out, and so
    /// what is left of the shard returns to the planner.
    pub(crate) async fn shard(
        &self,
        lease: Lease,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let (dataset, interval) = (Arc::clone(&lease.shard().dataset), lease.shard().interval);
        let endpoint = self.endpoint(lease.shard()).await;
        let pager =
            self.client.pager(&dataset, endpoint.as_ref().unwrap_or(dataset.endpoint()), interval);
        let mut progress = ShardProgress::new(lease, pager);
        let gathered = match endpoint {
            Ok(_) => self.fetch_with_restarts(&mut progress, totals).await,
            Err(error) => Err(error),
        };
        match gathered {
            Ok(paged) => {
                self.forget(&mut progress).await?;
                self.end(progress, paged, totals).await
            }
            Err(FetchError::Shard(obstacle)) => {
                self.forget(&mut progress).await?;
                self.handle_error(progress, obstacle, totals).await
            }
            Err(FetchError::Run(RunError::Interrupted)) => {
                self.keep(&mut progress, totals).await?;
                self.forget(&mut progress).await?;
                Err(RunError::Interrupted)
            }
            // the next run deletes its job
            Err(FetchError::Run(run_error)) => Err(run_error),
        }
    }

    /// Gathers the pages of a shard, and begins again where that helps.
    async fn fetch_with_restarts(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<PagesEnd, FetchError> {
        let (mut counted_again, mut gone) = (false, 0);
        loop {
            let page_size = progress.pager.page_size;
            match self.attempt(progress, totals).await {
                Ok(PagesEnd::Complete)
                    if !counted_again && progress.is_uncut() && progress.missing().is_some() =>
                {
                    counted_again = true;
                    self.restart(progress, page_size).await?;
                }
                Err(FetchError::Shard(ShardError::Gone(_)))
                    if gone < self.client.context.policy.attempts =>
                {
                    gone += 1;
                    self.restart(progress, page_size).await?;
                }
                Err(FetchError::Shard(ShardError::TooLarge)) => {
                    self.restart(progress, page_size / 2).await?
                }
                ended => return ended,
            }
        }
    }

    /// Submits what is to be submitted, and gathers the pages.
    async fn attempt(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<PagesEnd, FetchError> {
        self.submit(progress).await?;
        self.pages(progress, totals).await
    }

    /// Does what the end of its pages means for a shard.
    async fn end(
        &self,
        mut progress: ShardProgress,
        paged: PagesEnd,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let deep = |progress: &ShardProgress| {
            format!("paging ends at {} rows", progress.pager.endpoint.depth)
        };
        match paged {
            PagesEnd::Complete => self.commit(progress, totals).await,
            PagesEnd::DepthLimit if progress.reached().is_some() => {
                self.keep(&mut progress, totals).await
            }
            // what cannot be kept would be fetched again for ever
            PagesEnd::DepthLimit if self.splittable(progress.shard()) => {
                let reason = deep(&progress);
                self.split(progress, reason).await
            }
            PagesEnd::DepthLimit => {
                let fault = RequestError::Pagination(format!(
                    "{}; make fetch.smallest_shard smaller",
                    deep(&progress)
                ));
                self.fail(progress, fault, totals).await
            }
        }
    }

    /// Does what an obstacle means for a shard.
    async fn handle_error(
        &self,
        progress: ShardProgress,
        obstacle: ShardError,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        match obstacle {
            ShardError::TooBig(reason) => self.split(progress, reason).await,
            ShardError::TooLarge => {
                let fault = RequestError::Malformed(
                    "a page that cannot be smaller is too large; raise fetch.max_body".to_owned(),
                );
                self.fail(progress, fault, totals).await
            }
            ShardError::Gone(fault) | ShardError::Failed(fault) => {
                self.fail(progress, fault, totals).await
            }
            ShardError::NotYet(fault) => self.postpone(progress, &fault, totals).await,
            ShardError::Denied(fault) => self.deny(progress, fault, totals).await,
        }
    }

    /// Moves the pages of a shard to the sink, until the last: neither a short page nor the
    /// platform's total is the end. While a page is decoded and written, the next are under way.
    async fn pages(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<PagesEnd, FetchError> {
        if progress.pager.lacks_parents() {
            progress.pager.for_each(self.client.parents(&progress.pager).await?);
        }
        let mut in_flight = InFlight::new();
        loop {
            self.send_ahead(progress, &mut in_flight);
            let reply = match in_flight.next().await {
                None if progress.pager.is_whole() => return Ok(PagesEnd::Complete),
                None => return Ok(PagesEnd::DepthLimit),
                Some(Ok(reply)) => reply,
                Some(Err(FetchError::Shard(ShardError::Failed(fault))))
                    if !progress.pager.task.is_empty() && fault.is_not_found() =>
                {
                    return Err(ShardError::Gone(fault).into());
                }
                // its address was good for a moment only
                Some(Err(FetchError::Shard(
                    ShardError::Failed(fault) | ShardError::Denied(fault),
                ))) if progress.pager.download.is_some() => {
                    return Err(ShardError::Gone(fault).into());
                }
                // deleted since it was listed
                Some(Err(FetchError::Shard(ShardError::Failed(fault))))
                    if fault.is_not_found() && progress.pager.skip_parent() =>
                {
                    in_flight = InFlight::new();
                    continue;
                }
                Some(Err(error)) => return Err(error),
            };
            let depth = progress.pager.endpoint.depth;
            if let Some(total) =
                reply.total.filter(|&total| total > depth && self.splittable(progress.shard()))
            {
                return Err(ShardError::TooBig(format!(
                    "{total} rows, and paging ends at {depth}"
                ))
                .into());
            }
            if progress.pager.advance(&reply).map_err(ShardError::Failed)? {
                in_flight = InFlight::new();
            }
            progress.count(&reply);
            self.send_ahead(progress, &mut in_flight);
            let (decoder, owner) = (Arc::clone(&progress.pager.decoder), progress.pager.owner);
            let decoded = in_flight.alongside(offload(move || decoder.decode(&reply, owner))).await;
            let page = decoded
                .map_err(|error| ShardError::Failed(RequestError::Malformed(error.to_string())))?;
            if let Some(at) = progress.boundary(&page).filter(|_| self.is_due(progress)) {
                in_flight.alongside(self.cut(progress, at, totals)).await?;
            }
            progress.advance(&page);
            self.client.context.metrics.rows.add(page.received);
            if page.received > 0 {
                let write =
                    Write { lease: progress.lease.id(), shard: progress.shard().clone(), page };
                progress.wrote(in_flight.alongside(self.sink.send(write)).await??);
            }
        }
    }

    /// Sends the requests whose turn it is, those of fetchers with nothing to do among them: pages cost
    /// no more for it, where a part of the shard would be a pager of its own, with rows of both.
    fn send_ahead<'a>(
        &'a self,
        progress: &mut ShardProgress,
        in_flight: &mut InFlight<'a, Result<RawPage, FetchError>>,
    ) {
        let splittable = self.splittable(progress.shard());
        let options = RequestOptions {
            splittable,
            shrinkable: progress.pager.is_shrinkable(),
            ..RequestOptions::default()
        };
        let most = self.client.context.ahead.saturating_mul(1 + progress.lease.idle());
        while in_flight.len() < most
            && let Some(call) = progress.pager.next()
        {
            in_flight.push(self.client.send_with_retry(call, options, progress.pager.read()));
        }
    }

    fn is_due(&self, progress: &ShardProgress) -> bool {
        let (age, rows) = progress.open();
        (age >= self.client.context.commit_every || rows >= MOST_ROWS) && !progress.shard().replaces
    }

    /// Commits a whole shard.
    async fn commit(
        &self,
        progress: ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let shard = progress.shard().clone();
        let missing = progress.missing();
        let committed =
            self.sink.send(Commit { lease: progress.lease.id(), shard: shard.clone() }).await??;
        totals.add(progress.received, &committed);
        self.record_rows(&shard, committed.counts.written);
        if let Some((total, came)) = missing {
            let reason = format!("the platform counts {total} rows and gave {came}, twice");
            tracing::warn!(dataset = shard.dataset.name, shard = %shard.interval, reason, "rows may be missing");
            totals.short += 1;
            self.sink.send(LedgerEvent::Short { shard, reason }).await??;
        }
        self.settle(progress.lease, LeaseEnd::Done).await
    }

    /// Commits what an open shard has before `at`; the lease keeps the rest.
    async fn cut(
        &self,
        progress: &mut ShardProgress,
        at: i64,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let Some((done, _)) = progress.shard().interval.cut(at) else { return Ok(()) };
        let shard = Shard { interval: done, ..progress.shard().clone() };
        let committed =
            self.sink.send(Commit { lease: progress.lease.id(), shard: shard.clone() }).await??;
        totals.add(progress.received, &committed);
        self.record_rows(&shard, committed.counts.written);
        progress.lease.narrow(at).await?;
        progress.cut();
        self.client.context.metrics.settle(done);
        Ok(())
    }

    /// Commits what an unfinished shard has, as far as it is complete. The rest returns.
    async fn keep(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        match progress.reached() {
            Some(at) => self.cut(progress, at, totals).await,
            None => Ok(self.sink.send(Discard { lease: progress.lease.id() }).await?),
        }
    }

    /// Starts the rest of a shard over.
    async fn restart(&self, progress: &mut ShardProgress, page_size: u32) -> Result<(), RunError> {
        self.forget(progress).await?;
        self.sink.send(Discard { lease: progress.lease.id() }).await?;
        progress.restart(page_size);
        Ok(())
    }

    async fn split(&self, progress: ShardProgress, reason: String) -> Result<(), RunError> {
        let shard = progress.shard().clone();
        tracing::info!(shard = %shard.interval, reason, "split");
        self.client.context.metrics.shards_split.add(1);
        self.sink.send(Discard { lease: progress.lease.id() }).await?;
        self.sink.send(LedgerEvent::Split { shard, reason }).await??;
        Ok(progress.lease.end(LeaseEnd::Split).await?)
    }

    async fn fail(
        &self,
        progress: ShardProgress,
        fault: RequestError,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let failure = failure(progress.shard(), &fault);
        tracing::error!(dataset = failure.dataset, shard = %failure.interval, %fault, "set aside");
        totals.failed.push(failure.clone());
        self.sink.send(Discard { lease: progress.lease.id() }).await?;
        self.sink.send(LedgerEvent::Failed(failure)).await??;
        self.settle(progress.lease, LeaseEnd::Failed).await
    }

    /// Leaves out of this run what the platform cannot give yet.
    async fn postpone(
        &self,
        progress: ShardProgress,
        fault: &RequestError,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let failure = failure(progress.shard(), fault);
        tracing::warn!(dataset = failure.dataset, shard = %failure.interval, %fault, "left out");
        totals.failed.push(failure);
        self.settle(progress.lease, LeaseEnd::Failed).await
    }

    /// Gives the dataset up, for every fetcher: the others of the job go on.
    async fn deny(
        &self,
        progress: ShardProgress,
        fault: RequestError,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        self.sink.send(Discard { lease: progress.lease.id() }).await?;
        let dataset = &progress.shard().dataset;
        let reason =
            format!("{fault}; {}", catalog::permission_hint(dataset.permission.as_deref()));
        tracing::error!(dataset = dataset.name, reason, "denied");
        totals.denied.insert(dataset.name.clone(), reason);
        Ok(progress.lease.end(LeaseEnd::Denied).await?)
    }

    /// Ends a lease whose time is dealt with.
    async fn settle(&self, lease: Lease, end: LeaseEnd) -> Result<(), RunError> {
        let interval = lease.shard().interval;
        lease.end(end).await?;
        self.client.context.metrics.settle(interval);
        Ok(())
    }

    /// Takes note of how many rows there are in a time.
    fn record_rows(&self, shard: &Shard, rows: u64) {
        self.client.context.row_statistics.add(&shard.dataset.name, rows, shard.interval.width());
    }

    pub(crate) fn splittable(&self, shard: &Shard) -> bool {
        shard.dataset.divisible && shard.interval.width() >= self.client.context.smallest_shard * 2
    }
}

fn failure(shard: &Shard, fault: &RequestError) -> Failure {
    Failure {
        dataset: shard.dataset.name.clone(),
        interval: shard.interval,
        reason: fault.to_string(),
        correlation: fault.correlation().to_owned(),
    }
}
