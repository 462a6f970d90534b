//! How a shard ends: committed, committed partially, split, failed, not yet available or denied.

use crate::{
    catalog,
    fetch::{
        FetchTotals, Fetcher, RunError, ShardError,
        circuit_breaker::{Failing, is_of_data},
        doubts::doubts,
        fetch_pages::PagesEnd,
        shard_progress::ShardProgress,
    },
    http::error::RequestError,
    ledger::{DoubtfulInterval, Failure, GapKind, quarantine_doubt},
    planning::{Lease, LeaseEnd, Shard},
    sink::{Commit, Discard, LedgerEvent},
    telemetry::metrics::GivenUp,
    time::interval::{DAY, Interval},
};

impl Fetcher {
    /// Ends a shard whose pages have ended.
    pub(super) async fn end_pages(
        &self,
        mut progress: ShardProgress,
        pages_end: PagesEnd,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        if matches!(pages_end, PagesEnd::Complete) {
            return self.commit(progress, totals).await;
        }
        let reason = format!("paging ends at {} rows", progress.pager.endpoint.depth);
        if progress.partial_commit_end().is_some() {
            // dropping the lease returns the rest
            self.commit_what_is_complete(&mut progress, totals).await
        } else if self.is_splittable(progress.shard()) {
            self.split(progress, reason).await
        } else {
            let reason = format!("{reason}; make fetch.smallest_shard smaller");
            self.fail(progress, RequestError::Pagination(reason.into()), totals).await
        }
    }

    /// Ends a shard that met an error.
    pub(super) async fn end_with_error(
        &self,
        mut progress: ShardProgress,
        error: ShardError,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        match error {
            ShardError::ShardTooLarge(reason) => self.split(progress, reason).await,
            ShardError::PageTooLarge => {
                let reason = "a page that cannot be smaller is too large; raise fetch.max_body";
                self.fail(progress, RequestError::Malformed(reason.into()), totals).await
            }
            ShardError::JobUnavailable(error)
            | ShardError::ResultGone(error)
            | ShardError::PageRepeated(error)
            | ShardError::Failed(error) => self.fail(progress, error, totals).await,
            ShardError::PagesChanged(reason) => {
                self.fail(progress, RequestError::Pagination(reason.into()), totals).await
            }
            ShardError::NotBefore { instant, error } => {
                tracing::info!(%error, "the shard waits for job data");
                Ok(progress.lease.end(LeaseEnd::NotBefore(instant)).await?)
            }
            ShardError::NotYetAvailable(error) => self.postpone(progress, &error, totals).await,
            ShardError::Denied(error) => self.deny(progress, error, totals).await,
            ShardError::DatasetUnavailable { reason, .. } => {
                self.commit_what_is_complete(&mut progress, totals).await?;
                self.give_up_dataset(&progress, reason, totals);
                Ok(progress.lease.end(LeaseEnd::DatasetGivenUp).await?)
            }
        }
    }

    /// Commits a whole shard.
    async fn commit(
        &self,
        progress: ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let shard = progress.shard().clone();
        self.commit_rows(&progress, &shard, doubts(&progress, true), totals).await?;
        self.record_items(&progress).await?;
        self.settle(progress.lease, LeaseEnd::Done).await
    }

    /// Records how many items held the rows of a shard, where these are not rows themselves: later
    /// shards have about as many, however wide they are.
    async fn record_items(&self, progress: &ShardProgress) -> Result<(), RunError> {
        let (pager, dataset) = (&progress.pager, &progress.shard().dataset.name);
        let holds_rows = !pager.endpoint.explode.is_empty() && pager.endpoint.parent.is_none();
        let items = pager.items_received();
        if holds_rows && self.client.context.row_statistics.set_items(dataset, items) {
            let dataset = dataset.clone();
            self.sink.send(LedgerEvent::ItemCount { dataset, items }).await??;
        }
        Ok(())
    }

    /// Commits the rows of a shard before `end_ms`. The lease keeps the rest.
    pub(super) async fn commit_part(
        &self,
        progress: &mut ShardProgress,
        end_ms: i64,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let Some((part, _)) = progress.shard().interval.cut(end_ms) else { return Ok(()) };
        let shard = Shard { interval: part, ..progress.shard().clone() };
        self.commit_rows(progress, &shard, doubts(progress, false), totals).await?;
        progress.lease.narrow(end_ms).await?;
        progress.after_partial_commit(part);
        self.client.context.metrics.commit_part(&shard.dataset.name, part);
        if let Some(fetching) = &progress.fetching {
            fetching.narrow(progress.shard().interval);
        }
        Ok(())
    }

    /// Commits what an unfinished shard has, as far as it is complete, or discards it.
    pub(super) async fn commit_what_is_complete(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        match progress.partial_commit_end() {
            Some(end_ms) => self.commit_part(progress, end_ms, totals).await,
            None => self.discard(progress).await,
        }
    }

    async fn commit_rows(
        &self,
        progress: &ShardProgress,
        shard: &Shard,
        doubts: Vec<(GapKind, String)>,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        self.record_attempts(shard).await?;
        let commit = Commit {
            lease: progress.lease.id(),
            shard: shard.clone(),
            received: progress.received,
            doubts: doubts.clone(),
            cost: Some(self.client.work.take_cost()),
        };
        let committed = self.sink.send(commit).await??;
        let (dataset, interval) = (&shard.dataset.name, shard.interval);
        let (received, strays) = (progress.received, progress.strays());
        totals.add(dataset, interval, received, strays, &committed);
        self.client.context.circuit_breaker.record_commit(shard);
        let decoder = self.client.context.request.decoders.of(&shard.dataset);
        let are_kept = decoder.policy().is_none_or(|policy| policy.keeps_new_fields());
        let on_new_field = self.client.context.settings.on_new_field;
        on_new_field.log(&shard.dataset, are_kept, &committed.new_fields);
        let (rows, time) = (committed.counts.written, shard.interval.width());
        let files = committed.files.len();
        tracing::debug!(rows, interval = %shard.interval, files, "committed");
        self.client.context.row_statistics.add(dataset, rows, time);
        let quarantined = quarantine_doubt(committed.counts, 0);
        let doubts = quarantined.into_iter().chain(doubts).collect();
        for doubtful in DoubtfulInterval::list(dataset, interval, doubts) {
            let (kind, reason) = (doubtful.kind.name(), &doubtful.reason);
            tracing::warn!(kind, reason, "committed rows are doubtful");
            totals.doubtful.push(doubtful);
        }
        Ok(())
    }

    /// Records the attempts of the shard's requests that failed.
    async fn record_attempts(&self, shard: &Shard) -> Result<(), RunError> {
        let attempts = self.client.work.take_attempts();
        if !attempts.is_empty() {
            let shard = shard.clone();
            self.sink.send(LedgerEvent::Attempts { shard, attempts }).await??;
        }
        Ok(())
    }

    /// Records that rows of a committed part arrived after it was committed: it lacks them.
    pub(super) async fn record_late_rows(
        &self,
        progress: &ShardProgress,
        part: Interval,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let doubtful = DoubtfulInterval {
            dataset: progress.shard().dataset.name.clone(),
            interval: part,
            kind: GapKind::OutOfOrder,
            reason: "rows arrived after later ones, when the interval was committed".to_owned(),
        };
        tracing::warn!(interval = %part, reason = doubtful.reason, "committed rows are doubtful");
        totals.doubtful.push(doubtful.clone());
        Ok(self.sink.send(LedgerEvent::Doubtful(doubtful)).await??)
    }

    /// Makes the sink forget the uncommitted rows of a shard.
    pub(super) async fn discard(&self, progress: &ShardProgress) -> Result<(), RunError> {
        Ok(self.sink.send(Discard { lease: progress.lease.id() }).await?)
    }

    async fn split(&self, progress: ShardProgress, reason: String) -> Result<(), RunError> {
        tracing::info!(reason, "split the shard");
        self.client.context.metrics.split(&progress.shard().dataset.name);
        self.discard(&progress).await?;
        self.record_attempts(progress.shard()).await?;
        let shard = progress.shard().clone();
        self.sink.send(LedgerEvent::Split { shard, reason }).await??;
        Ok(progress.lease.end(LeaseEnd::Split).await?)
    }

    /// Gives up a shard. A shard of several days is bisected first, so that a failing day affects
    /// no other day, unless the data cannot be the cause: other shards fail, too, or the catalog
    /// seems to be wrong.
    pub(super) async fn fail(
        &self,
        progress: ShardProgress,
        error: RequestError,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let shard = progress.shard();
        let is_wide = shard.open_rows.is_none() && shard.interval.width() > DAY;
        let context = &self.client.context;
        let is_given_up = context.circuit_breaker.error_of_planned(shard).is_some();
        let may_be_catalog = matches!(error, RequestError::Malformed(_))
            && !context.row_statistics.has_committed_rows(&shard.dataset.name);
        let is_of_data = is_of_data(&error) && !may_be_catalog;
        if is_wide && !is_given_up && is_of_data && self.may_bisect(shard) {
            return self.split(progress, error.to_string()).await;
        }
        tracing::error!(%error, "the shard failed");
        let failure = failure(progress.shard(), &error);
        totals.failed.push(failure.clone());
        self.discard(&progress).await?;
        self.record_attempts(progress.shard()).await?;
        self.sink.send(LedgerEvent::Failed(failure)).await??;
        let shard = progress.shard().clone();
        match self.client.context.circuit_breaker.record_failure(&shard, &error) {
            Failing::Shard => self.settle(progress.lease, LeaseEnd::Failed).await,
            Failing::PlannedShard => self.fail_as_one(progress.lease, &error, totals).await,
            Failing::Dataset => {
                let reason =
                    format!("too many shards in a row failed for the same reason: {error}");
                self.give_up_dataset(&progress, reason, totals);
                self.settle(progress.lease, LeaseEnd::DatasetGivenUp).await
            }
        }
    }

    /// Fails all pieces of a planned shard that nobody fetches, since a sample of them failed
    /// alike, and records them together.
    async fn fail_as_one(
        &self,
        lease: Lease,
        error: &RequestError,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        let shard = lease.shard().clone();
        let reason = format!(
            "{error}; a sample of its parts failed alike, and so the rest was not requested"
        );
        tracing::error!(reason, planned = %shard.planned, "the whole shard failed");
        let ended = lease.fail_as_one().await?;
        for &interval in &ended {
            self.client.context.metrics.fail(&shard.dataset.name, interval);
        }
        for interval in self.client.context.circuit_breaker.record_ended(&shard, ended) {
            let failure = Failure { interval, reason: reason.clone(), ..failure(&shard, error) };
            totals.failed.retain(|earlier| {
                earlier.dataset != failure.dataset || !interval.overlaps(earlier.interval)
            });
            totals.failed.push(failure.clone());
            self.sink.send(LedgerEvent::Failed(failure)).await??;
        }
        Ok(())
    }

    /// Records that no more shards of the dataset are fetched in this run.
    fn give_up_dataset(&self, progress: &ShardProgress, reason: String, totals: &mut FetchTotals) {
        tracing::error!(reason, "giving up the dataset for this run");
        let dataset = &progress.shard().dataset.name;
        self.client.context.metrics.give_up(dataset, GivenUp::Failing);
        totals.given_up.insert(dataset.clone(), reason);
    }

    /// Leaves a shard to a later run, since the platform does not have its data yet.
    async fn postpone(
        &self,
        progress: ShardProgress,
        error: &RequestError,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        tracing::warn!(%error, "the shard is not yet available");
        totals.not_yet_available.push(failure(progress.shard(), error));
        self.settle(progress.lease, LeaseEnd::Failed).await
    }

    /// Gives up the shard's dataset for all fetchers; the other datasets go on.
    async fn deny(
        &self,
        progress: ShardProgress,
        error: RequestError,
        totals: &mut FetchTotals,
    ) -> Result<(), RunError> {
        self.discard(&progress).await?;
        let dataset = &progress.shard().dataset;
        let reason =
            format!("{error}; {}", catalog::permission_hint(dataset.permission.as_deref()));
        tracing::error!(reason, "the credentials may not read the dataset");
        let why = GivenUp::Denied(reason.clone());
        self.client.context.metrics.give_up(&dataset.name, why);
        totals.denied.insert(dataset.name.clone(), reason);
        Ok(progress.lease.end(LeaseEnd::DatasetGivenUp).await?)
    }

    /// Ends the lease of a shard that needs no more work in this run.
    async fn settle(&self, lease: Lease, end: LeaseEnd) -> Result<(), RunError> {
        let (dataset, interval) = (lease.shard().dataset.name.clone(), lease.shard().interval);
        lease.end(end).await?;
        match end {
            LeaseEnd::Done => self.client.context.metrics.settle(&dataset, interval),
            _ => self.client.context.metrics.fail(&dataset, interval),
        }
        Ok(())
    }
}

fn failure(shard: &Shard, error: &RequestError) -> Failure {
    Failure {
        dataset: shard.dataset.name.clone(),
        interval: shard.interval,
        reason: error.to_string(),
        correlation: error.correlation().to_owned(),
    }
}
