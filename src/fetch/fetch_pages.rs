//! The pages of a shard: requested, decoded and written, and committed where they complete a part.

use std::sync::Arc;

use crate::{
    catalog::TotalAccuracy,
    decode::{Page, RawPage},
    fetch::{
        FetchError, FetchTotals, Fetcher, ShardError,
        in_flight::InFlight,
        pagination::Pager,
        send_with_retry::RequestOptions,
        shard_progress::{HeldRows, ShardProgress},
    },
    http::error::RequestError,
    planning::Shard,
    sink::Write,
    system::{blocking::offload, memory::REPLIES},
};

/// The most uncommitted rows of a shard that can be committed partially. Bounds the memory that
/// tells copies of rows apart (G8).
const MAX_UNCOMMITTED_ROWS: u64 = 200_000;

/// Pages of a shard that are requested but not written.
pub(super) type PagesInFlight<'a> = InFlight<'a, Result<RawPage, FetchError>>;

/// Where the pages of a shard ended.
pub(super) enum PagesEnd {
    /// At the last page.
    Complete,
    /// At the depth that the platform pages to.
    DepthLimit,
}

impl Fetcher {
    /// Moves the pages of a shard to the sink until the pager says that the last one was received.
    /// While a page is decoded and written, the next ones are in flight.
    pub(super) async fn fetch_pages(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<PagesEnd, FetchError> {
        let mut in_flight = PagesInFlight::new();
        loop {
            self.send_ahead(progress, &mut in_flight);
            let raw_page = match in_flight.next().await {
                None => {
                    self.write_held(progress, None, &mut in_flight, totals).await?;
                    return Ok(match progress.pager.is_finished() {
                        true => PagesEnd::Complete,
                        false => PagesEnd::DepthLimit,
                    });
                }
                Some(Ok(raw_page)) => raw_page,
                Some(Err(error)) => {
                    self.skip_failed_parent(progress, result_error(progress, error))?;
                    in_flight = PagesInFlight::new();
                    continue;
                }
            };
            progress.failed_parents.record_page();
            self.check_depth(progress, &raw_page)?;
            if progress.pager.advance(&raw_page)? {
                in_flight = PagesInFlight::new();
            }
            if let Some(reason) = progress.pages_changed() {
                return Err(ShardError::PagesChanged(reason).into());
            }
            if progress.pager.may_lack_pages(&raw_page) {
                warn_of_lacking_pages(&progress.pager);
            }
            progress.update_total(&raw_page);
            progress.reply_bytes = raw_page.bytes();
            self.send_ahead(progress, &mut in_flight);
            self.write_page(progress, raw_page, &mut in_flight, totals).await?;
        }
    }

    /// Decodes a page and writes it to the sink. Days that it completes are committed, so that a
    /// day is one file however wide the shard is; rows after a midnight within the page wait for
    /// the next page, which shows whether the day is complete. If another partial commit is due, it
    /// comes first, so that the page belongs to the next part.
    pub(super) async fn write_page(
        &self,
        progress: &mut ShardProgress,
        raw_page: RawPage,
        in_flight: &mut PagesInFlight<'_>,
        totals: &mut FetchTotals,
    ) -> Result<(), FetchError> {
        let (decoder, owner) = (Arc::clone(&progress.pager.decoder), progress.pager.owner);
        let decoding = offload(move || decoder.decode(&raw_page, owner));
        let mut page = in_flight.alongside(decoding).await.map_err(|error| {
            ShardError::Failed(RequestError::Malformed(error.to_string().into()))
        })?;
        let policy = self.client.context.settings.on_new_field;
        policy.check(&progress.pager.dataset, &page.drift).map_err(ShardError::Failed)?;
        for part in progress.parts_with_late_rows(&page) {
            self.record_late_rows(progress, part, totals).await?;
        }
        self.write_held(progress, Some(&page), in_flight, totals).await?;
        let mut end_ms = None;
        if let Some((rows_before, midnight_ms)) = progress.complete_days(&page) {
            if rows_before > 0 {
                let rows = page.split_off(rows_before);
                self.write_rows(progress, page, in_flight).await?;
                progress.held = Some(HeldRows { rows, midnight_ms });
                return Ok(());
            }
            end_ms = Some(midnight_ms);
        } else if self.is_partial_commit_due(progress) {
            end_ms = progress.partial_commit_before(&page);
        }
        if let Some(end_ms) = end_ms {
            in_flight.alongside(self.commit_part(progress, end_ms, totals)).await?;
        }
        self.write_rows(progress, page, in_flight).await
    }

    /// Writes the rows that wait for the page after them. The days before them are committed first,
    /// if that page shows that none of their rows can follow.
    async fn write_held(
        &self,
        progress: &mut ShardProgress,
        next: Option<&Page>,
        in_flight: &mut PagesInFlight<'_>,
        totals: &mut FetchTotals,
    ) -> Result<(), FetchError> {
        let Some(held) = progress.held.take() else { return Ok(()) };
        if next.is_some_and(|next| held.are_followed_by(next)) {
            let commit = self.commit_part(progress, held.midnight_ms, totals);
            in_flight.alongside(commit).await?;
        }
        self.write_rows(progress, held.rows, in_flight).await
    }

    /// Writes decoded rows to the sink.
    async fn write_rows(
        &self,
        progress: &mut ShardProgress,
        page: Page,
        in_flight: &mut PagesInFlight<'_>,
    ) -> Result<(), FetchError> {
        progress.advance(&page);
        let dataset = &progress.shard().dataset.name;
        self.client.context.metrics.receive_rows(dataset, page.received);
        if page.received > 0 {
            let write = Write { lease: progress.lease.id(), shard: progress.shard().clone(), page };
            progress.update_written(in_flight.alongside(self.sink.send(write)).await??);
        }
        Ok(())
    }

    /// Sends the requests of the next pages, as many as may be in flight. Those of fetchers that
    /// have nothing to do count in: parallel pages cost no extra requests, smaller shards would.
    fn send_ahead<'a>(&'a self, progress: &mut ShardProgress, in_flight: &mut PagesInFlight<'a>) {
        let options = RequestOptions {
            splittable: self.is_splittable(progress.shard()),
            // a parent whose page cannot be taken apart fails alone
            bisects_unreadable: progress.pager.endpoint.parent.is_none()
                && self.may_bisect(progress.shard()),
            shrinkable: progress.pager.is_shrinkable(),
            ..RequestOptions::default()
        };
        let settings = &self.client.context.settings;
        let limit = match progress.awaits_smaller_page {
            true => 1,
            false => settings.ahead.saturating_mul(1 + progress.lease.idle()),
        };
        // every fetcher has a request in flight, whatever memory the others' replies take
        while in_flight.len() < limit
            && (in_flight.len() == 0 || !REPLIES.is_exceeded())
            && let Some(request) = progress.pager.next_request()
        {
            let read = progress.pager.response_reader();
            let mut held = REPLIES.hold(progress.reply_bytes);
            in_flight.push(async move {
                let mut page = self.client.send_with_retry(request, options, read).await?;
                held.set(page.bytes());
                page.held = Some(Arc::new(held));
                Ok(page)
            });
        }
    }

    /// Refuses a shard that paging will not reach the end of, if it can be bisected. A total that
    /// is a hint says nothing: such a shard is bisected once paging ends, or if its first page has
    /// no rows.
    fn check_depth(&self, progress: &ShardProgress, page: &RawPage) -> Result<(), ShardError> {
        let pager = &progress.pager;
        let depth = pager.endpoint.depth;
        let Some(total) = page.total.filter(|&total| total > depth) else { return Ok(()) };
        let is_refused = page.items == 0 && pager.is_at_first_page();
        let is_exact = pager.endpoint.total_is == TotalAccuracy::Exact;
        let reason = format!("{total} rows, and paging ends at {depth}");
        if (is_exact || is_refused) && self.is_splittable(progress.shard()) {
            return Err(ShardError::ShardTooLarge(reason));
        }
        if is_refused {
            let reason = format!("{reason}; make fetch.smallest_shard smaller");
            return Err(ShardError::Failed(RequestError::Pagination(reason.into())));
        }
        Ok(())
    }

    fn is_partial_commit_due(&self, progress: &ShardProgress) -> bool {
        let counts = progress.uncommitted_counts();
        progress.uncommitted_time() >= self.client.context.settings.commit_every
            || counts.received - counts.duplicate >= MAX_UNCOMMITTED_ROWS
    }

    /// Whether a shard whose data seem to be the cause of a failure is bisected: not while other
    /// shards of the dataset fail, too.
    pub(super) fn may_bisect(&self, shard: &Shard) -> bool {
        self.is_splittable(shard) && !self.client.context.circuit_breaker.fails_elsewhere(shard)
    }

    /// Whether a shard can be bisected.
    pub(super) fn is_splittable(&self, shard: &Shard) -> bool {
        let smallest = self.client.context.settings.smallest_shard;
        shard.dataset.divisible && shard.interval.width() >= smallest * 2
    }
}

/// Warns of a full first page that does not say whether there is another one.
fn warn_of_lacking_pages(pager: &Pager) {
    let place = match &pager.endpoint.next {
        Some(next) => format!("`/{}`", next.join("/")),
        None => "header `Link`".to_owned(),
    };
    tracing::warn!(
        rows = pager.page_size,
        "the first page is full, but has no {place}: if there are more rows, they are missing; check \
         the keys `next` and `paging` of the catalog"
    );
}

/// The error of a page. One of a job's result, whose address is valid only for a while, becomes
/// [`ShardError::ResultGone`].
fn result_error(progress: &ShardProgress, error: FetchError) -> FetchError {
    let pager = &progress.pager;
    match error {
        FetchError::Shard(ShardError::Failed(error))
            if !pager.job_id.is_empty() && error.is_not_found() =>
        {
            ShardError::ResultGone(error).into()
        }
        FetchError::Shard(ShardError::Failed(error) | ShardError::Denied(error))
            if pager.download.is_some() && !is_final(&error) =>
        {
            ShardError::ResultGone(error).into()
        }
        error => error,
    }
}

/// Whether another address would not help: the result cannot be read, or its address is refused.
fn is_final(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::Malformed(_) | RequestError::Unreadable(_) | RequestError::Pagination(_)
    )
}
