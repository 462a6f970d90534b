//! The state of a shard that is being fetched: its lease, its pages, and what has arrived.

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Duration, Instant},
};

use crate::{
    catalog::TotalAccuracy,
    decode::{LeftOutRow, Page, RawPage},
    fetch::{failed_parents::FailedParents, pagination::Pager, watermark::Watermark},
    ledger::Counts,
    planning::{Lease, Shard},
    telemetry::metrics::FetchingGuard,
    time::interval::Interval,
};

/// The state of a shard that is being fetched. A partial commit narrows the lease but not the
/// request: paging goes on, and rows of the committed part are not owned any more (G4).
pub(crate) struct ShardProgress {
    /// The lease on what is still to be committed.
    pub lease: Lease,
    /// Decides the next page.
    pub pager: Pager,
    /// Rows received since the last commit.
    pub received: u64,
    /// The parents whose rows could not be fetched.
    pub failed_parents: FailedParents,
    /// The size of the last reply, as which the next one is expected.
    pub reply_bytes: usize,
    /// The right to have an asynchronous job, while there is one.
    pub job_permit: Option<OwnedSemaphorePermit>,
    /// Whether pages were too large and no smaller one has arrived yet. Then one request at a time
    /// is sent.
    pub awaits_smaller_page: bool,
    /// Shows which part is being fetched.
    pub fetching: Option<FetchingGuard>,
    /// Rows that wait for the page after them: see [`complete_days`](Self::complete_days).
    pub held: Option<HeldRows>,
    watermark: Watermark,
    /// When the first page since the last commit was requested.
    uncommitted_since: Instant,
    /// Distinct rows of the parts that are committed.
    committed_rows: u64,
    /// What became of the rows of the part that is not committed, as the sink counts.
    uncommitted: Counts,
    /// Rows of that part whose time is not plausible.
    implausible_times: u64,
    /// Rows received with that part that have nothing to do with the requested interval.
    strays: u64,
    /// The parts that are committed, as far as none of their rows arrived later.
    committed_parts: Vec<Interval>,
    /// The digests of the rows of the last two pages. Where rows were inserted, a page repeats
    /// some.
    last_digests: [Vec<u64>; 2],
    /// Whether the last rows that arrived cannot be decoded: they may be as late as the next page.
    ends_undecodable: bool,
    /// The start of the latest day of rows that cannot be decoded, by their own times.
    undecodable_day_ms: Option<i64>,
    /// The exact number of rows of the request, as the platform counts. `None` if it does not count
    /// rows, or if its count is only a hint.
    total: Option<u64>,
    /// Restarts since the last commit because of a total that changed.
    changes: u32,
    /// Whether it was restarted because a page had the rows of an earlier one.
    is_repeated: bool,
}

/// The rows of a page after a midnight that the page crosses.
#[derive(Debug)]
pub(crate) struct HeldRows {
    pub rows: Page,
    /// In milliseconds since 1970.
    pub midnight_ms: i64,
}

impl HeldRows {
    /// Whether no row of the days before midnight can follow, given the next page: it repeats rows
    /// of these days where rows were inserted, and the later copy is the newer one.
    pub(crate) fn are_followed_by(&self, next: &Page) -> bool {
        let last_ms = self.rows.keys.iter().map(|key| key.time_ms).max();
        let next_ms = next.keys.iter().map(|key| key.time_ms).min();
        next.bad.is_empty() && next_ms.is_some() && next_ms >= last_ms
    }
}

/// How often a shard starts over since its last commit because totals change. After that it is
/// committed, with a doubt.
const MAX_CHANGES: u32 = 3;

impl ShardProgress {
    /// The state before the first page of `pager`.
    pub(crate) fn new(lease: Lease, pager: Pager) -> Self {
        Self {
            watermark: Watermark::new(has_ordered_rows(&pager)),
            pager,
            received: 0,
            reply_bytes: 0,
            uncommitted_since: Instant::now(),
            committed_rows: 0,
            uncommitted: Counts::default(),
            implausible_times: 0,
            strays: 0,
            committed_parts: Vec::new(),
            last_digests: Default::default(),
            ends_undecodable: false,
            undecodable_day_ms: None,
            total: None,
            changes: 0,
            is_repeated: false,
            failed_parents: FailedParents::default(),
            job_permit: None,
            awaits_smaller_page: false,
            held: None,
            fetching: None,
            lease,
        }
    }

    /// Starts over with what is left of the lease, with pages of at most `page_size` rows.
    pub(crate) fn restart(&mut self, page_size: u32) {
        self.awaits_smaller_page = page_size < self.pager.page_size;
        self.pager = self.pager.restart(self.shard().interval, page_size);
        self.held = None;
        self.watermark = Watermark::new(has_ordered_rows(&self.pager));
        self.failed_parents = FailedParents::default();
        self.received = 0;
        self.uncommitted_since = Instant::now();
        self.committed_rows = 0;
        self.uncommitted = Counts::default();
        self.implausible_times = 0;
        self.strays = 0;
        self.committed_parts.clear();
        self.last_digests = Default::default();
        (self.ends_undecodable, self.undecodable_day_ms) = (false, None);
        self.total = None;
    }

    /// What is still to be committed.
    pub(crate) fn shard(&self) -> &Shard {
        self.lease.shard()
    }

    /// The time for which the uncommitted part has been fetched.
    pub(crate) fn uncommitted_time(&self) -> Duration {
        self.uncommitted_since.elapsed()
    }

    /// What became of the rows of the uncommitted part so far.
    pub(crate) fn uncommitted_counts(&self) -> Counts {
        self.uncommitted
    }

    /// The rows of the uncommitted part whose time is not plausible.
    pub(crate) fn implausible_times(&self) -> u64 {
        self.implausible_times
    }

    /// The rows received with the uncommitted part that the platform returns although they have
    /// nothing to do with the requested interval.
    pub(crate) fn strays(&self) -> u64 {
        self.strays
    }

    /// The committed parts that rows of `page` belong to: they have arrived too late, and no copy
    /// of them came with the last pages. Each part is returned once.
    pub(crate) fn parts_with_late_rows(&mut self, page: &Page) -> Vec<Interval> {
        let last = &self.last_digests;
        let is_copy = |row: &LeftOutRow| last.iter().any(|digests| digests.contains(&row.digest));
        let late: Vec<_> = page.left_out.iter().filter(|row| !is_copy(row)).collect();
        let has_late_rows = |part: &mut Interval| late.iter().any(|row| part.contains(row.time_ms));
        self.committed_parts.extract_if(.., has_late_rows).collect()
    }

    /// Remembers the platform's count of rows, where a page counts rows exactly.
    pub(crate) fn update_total(&mut self, page: &RawPage) {
        let endpoint = &self.pager.endpoint;
        let counts_rows = endpoint.total_is == TotalAccuracy::Exact
            && endpoint.explode.is_empty()
            && endpoint.parent.is_none();
        self.total = page.total.filter(|_| counts_rows).or(self.total);
    }

    /// Takes a page into account that is about to be written.
    pub(crate) fn advance(&mut self, page: &Page) {
        self.awaits_smaller_page = false;
        self.received += page.received;
        self.implausible_times += page.implausible_times;
        let requested = self.pager.requested;
        let strays = page.left_out.iter().filter(|row| !row.reaches_into(requested));
        self.strays += strays.count() as u64;
        let digests = page.keys.iter().map(|key| key.digest).collect();
        let [_, last] = std::mem::take(&mut self.last_digests);
        self.last_digests = [last, digests];
        if page.bad.end_page(page.keys.len()) {
            self.ends_undecodable = true;
        } else if !page.keys.is_empty() {
            self.ends_undecodable = false;
        }
        self.undecodable_day_ms = self.undecodable_day_ms.max(page.bad.latest_own_day_ms());
        self.watermark.advance(&page.keys);
    }

    /// Takes the sink's counts of the uncommitted part into account.
    pub(crate) fn update_written(&mut self, counts: Counts) {
        self.uncommitted = counts;
    }

    /// Takes the commit of a part into account, after which the lease begins where it ended.
    pub(crate) fn after_partial_commit(&mut self, part: Interval) {
        self.committed_parts.push(part);
        self.pager.owner = self.shard().interval;
        self.uncommitted_since = Instant::now();
        self.received = 0;
        self.committed_rows += distinct_rows(std::mem::take(&mut self.uncommitted));
        self.implausible_times = 0;
        self.strays = 0;
        self.changes = 0;
    }

    /// Whether the shard starts over after a page with the rows of an earlier one: once.
    pub(crate) fn may_repeat(&mut self) -> bool {
        !std::mem::replace(&mut self.is_repeated, true)
    }

    /// Why the shard has to start over, if its total has changed and it may start over.
    pub(crate) fn pages_changed(&mut self) -> Option<String> {
        let change = self.pager.total_change()?;
        self.changes += 1;
        (self.changes <= MAX_CHANGES).then(|| change.to_owned())
    }

    /// Where a partial commit may end before `page` is written. `None` if there can be none.
    ///
    /// A page with rows that cannot be decoded has no such end: they have no time, so one of them
    /// may belong before the first row that has one, and would be recorded with the wrong part. Nor
    /// has one after a page that ends with such rows: they may belong after its end. The rest would
    /// then not be doubtful, and lack them even when the part is fetched again.
    pub(crate) fn partial_commit_before(&self, page: &Page) -> Option<i64> {
        let end_ms = self.watermark.complete_before_page(&page.keys)?;
        let is_certain =
            page.bad.is_empty() && !self.ends_undecodable && self.lacks_undecodable_after(end_ms);
        (is_certain && self.can_end_at(end_ms)).then_some(end_ms)
    }

    /// The end of the days that `page` completes, where a partial commit may end, and the index of
    /// the first row of the page after it. `None` if it completes none. See
    /// [`partial_commit_before`](Self::partial_commit_before) for rows that cannot be decoded.
    /// Where the platform counts the rows of the request exactly, they are compared before any is
    /// committed.
    pub(crate) fn complete_days(&self, page: &Page) -> Option<(usize, i64)> {
        let days = self.watermark.complete_days(&page.keys).filter(|_| self.total.is_none());
        days.filter(|&(rows_before, end_ms)| {
            let follows = rows_before > 0 || !self.ends_undecodable;
            page.bad.is_empty()
                && follows
                && self.lacks_undecodable_after(end_ms)
                && self.can_end_at(end_ms)
        })
    }

    /// Where a partial commit of all that has arrived may end. `None` if there can be none.
    pub(crate) fn partial_commit_end(&self) -> Option<i64> {
        self.watermark.complete_before().filter(|&end_ms| self.can_end_at(end_ms))
    }

    /// Whether no row that cannot be decoded is of a day after `end_ms` by its own time.
    fn lacks_undecodable_after(&self, end_ms: i64) -> bool {
        self.undecodable_day_ms.is_none_or(|day_ms| day_ms < end_ms)
    }

    /// Whether a partial commit may end at `end_ms`: what replaces a committed shard does so as a
    /// whole, and neither part may be empty.
    fn can_end_at(&self, end_ms: i64) -> bool {
        !self.shard().replaces && self.shard().interval.cut(end_ms).is_some()
    }

    /// The platform's count of rows and the number received, if fewer were received.
    pub(crate) fn count_mismatch(&self) -> Option<(u64, u64)> {
        let received = self.committed_rows + distinct_rows(self.uncommitted);
        self.total.filter(|&total| total > received).map(|total| (total, received))
    }

    /// Whether a part of the request is committed.
    pub(crate) fn is_partly_committed(&self) -> bool {
        self.pager.requested != self.pager.owner
    }
}

/// The received rows without the copies of other rows.
fn distinct_rows(counts: Counts) -> u64 {
    counts.received - counts.duplicate
}

/// Whether rows arrive in order of time, so that a part can be committed before the rest.
fn has_ordered_rows(pager: &Pager) -> bool {
    // with parents only the rows of each parent do
    pager.endpoint.ordered && pager.endpoint.parent.is_none() && pager.dataset.divisible
}

#[cfg(test)]
mod tests;
