//! A shard being fetched: the query that was asked, and how far its rows have come.

use tokio::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use crate::{
    decode::{Page, RawPage},
    fetch::pagination::Pager,
    ledger::Counts,
    planning::{Lease, Shard},
};

/// The chain of pages of one query. A cut narrows the lease and not the query: paging goes on, and
/// rows of the committed part belong to nobody any more (G4).
pub(crate) struct ShardProgress {
    /// The lease: what is still to be committed.
    pub lease: Lease,
    /// The query, and the page that comes next.
    pub pager: Pager,
    /// Rows received since the last commit.
    pub received: u64,
    /// When the part that is not committed was begun.
    begun: Instant,
    /// The newest time among the rows that the sink has.
    reached: Option<i64>,
    /// Whether rows come by time, so far: only then the shard can be cut.
    ordered: bool,
    /// Rows of committed parts of the query, and those of the open one, each once.
    committed: u64,
    open: u64,
    /// What the platform counts.
    total: Option<u64>,
    /// The right to have a job there, while there is one.
    pub slot: Option<OwnedSemaphorePermit>,
}

impl ShardProgress {
    /// The first page of a leased shard comes next, by `pager`.
    pub(crate) fn new(lease: Lease, pager: Pager) -> Self {
        Self {
            ordered: is_ordered(&pager),
            pager,
            received: 0,
            begun: Instant::now(),
            reached: None,
            committed: 0,
            open: 0,
            total: None,
            slot: None,
            lease,
        }
    }

    /// Begins again, for what is left of the lease, with at most `page_size` rows a page.
    pub(crate) fn restart(&mut self, page_size: u32) {
        self.pager = self.pager.restart(self.shard().interval, page_size);
        let ordered = is_ordered(&self.pager);
        (self.received, self.begun, self.reached, self.ordered) =
            (0, Instant::now(), None, ordered);
        (self.committed, self.open, self.total) = (0, 0, None);
    }

    /// What is still to be committed.
    pub(crate) fn shard(&self) -> &Shard {
        self.lease.shard()
    }

    /// Where the shard can be cut before `page` is written: every row that the sink has is older
    /// than every row of the page.
    pub(crate) fn boundary(&self, page: &Page) -> Option<i64> {
        let first = page.keys.iter().map(|key| key.time_ms).min()?;
        (self.ordered && self.reached? < first).then_some(first)
    }

    /// How long the open part has been open, and its rows.
    pub(crate) fn open(&self) -> (tokio::time::Duration, u64) {
        (self.begun.elapsed(), self.open)
    }

    /// Takes note of how many rows the platform counts, where its items are rows.
    pub(crate) fn count(&mut self, reply: &RawPage) {
        let endpoint = &self.pager.endpoint;
        let counts = endpoint.explode.is_empty() && endpoint.parent.is_none();
        self.total = reply.total.filter(|_| counts).or(self.total);
    }

    /// Takes note of a page that is about to be written.
    pub(crate) fn advance(&mut self, page: &Page) {
        self.received += page.received;
        self.ordered &= page.keys.is_sorted_by_key(|key| key.time_ms);
        self.reached = self.reached.max(page.keys.iter().map(|key| key.time_ms).max());
    }

    /// Takes note of what the sink has of the open part.
    pub(crate) fn wrote(&mut self, counts: Counts) {
        self.open = counts.received - counts.duplicate;
    }

    /// Takes note of a commit of the part before the cut.
    pub(crate) fn cut(&mut self) {
        self.pager.owner = self.shard().interval;
        self.begun = Instant::now();
        self.received = 0;
        self.committed += std::mem::take(&mut self.open);
    }

    /// Where an unfinished shard can be cut: all rows before this time, and there is some time before
    /// it, are with the sink.
    pub(crate) fn reached(&self) -> Option<i64> {
        let cuts = |reached: &i64| self.shard().interval.cut(*reached).is_some();
        self.reached.filter(|reached| self.ordered && !self.shard().replaces && cuts(reached))
    }

    /// What the platform counted, and how many rows it gave, where it gave fewer.
    pub(crate) fn missing(&self) -> Option<(u64, u64)> {
        let came = self.committed + self.open;
        self.total.filter(|&total| total > came).map(|total| (total, came))
    }

    /// Whether no part of the query is committed.
    pub(crate) fn is_uncut(&self) -> bool {
        self.pager.requested == self.pager.owner
    }
}

/// Whether what has come of a query can be committed before the rest.
fn is_ordered(pager: &Pager) -> bool {
    pager.endpoint.ordered && pager.dataset.divisible
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix::prelude::*;
    use arrow::array::RecordBatch;

    use super::*;
    use crate::{
        catalog::{self, Dataset},
        decode::RowKey,
        fetch::RequestContext,
        planning::{Next, Plan, PlannerActor},
        time::interval::Interval,
    };

    /// The chain of a day's rows.
    async fn progress(dataset: &Arc<Dataset>) -> ShardProgress {
        let shard =
            Shard { dataset: Arc::clone(dataset), interval: Interval::day_of(0), replaces: false };
        let mut plan = Plan::default();
        plan.add_whole(&shard);
        let lease = PlannerActor::new(plan).start().send(Next).await.unwrap().unwrap();
        let context = RequestContext {
            api: "https://api.example/".parse().unwrap(),
            api_version: String::new(),
            now: 0,
        };
        let pager = Pager::new(
            dataset,
            dataset.endpoint(),
            shard.interval,
            10,
            &Arc::new(context),
            &Arc::default(),
        );
        ShardProgress::new(lease, pager)
    }

    /// A page with rows of these times.
    fn page(times: &[i64]) -> Page {
        let key = |&time_ms: &i64| RowKey { id: 0, version: 0, time_ms, digest: 0 };
        let batch = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
        Page {
            batch,
            keys: times.iter().map(key).collect(),
            received: times.len() as u64,
            not_owned: 0,
            bad: vec![],
        }
    }

    /// Where a chain can be cut after rows by time, before the next page and on an interrupt.
    fn cuts(progress: &mut ShardProgress) -> (Option<i64>, Option<i64>) {
        progress.advance(&page(&[1, 2, 3]));
        (progress.boundary(&page(&[5, 6])), progress.reached())
    }

    #[actix::test]
    async fn what_comes_in_no_order_is_neither_cut_nor_kept_even_if_it_looks_like_one() {
        let datasets = &catalog::builtin("genesys-cloud").unwrap().datasets;
        for (dataset, expected) in
            [("conversations", (Some(5), Some(3))), ("user-details", (None, None))]
        {
            let mut progress = progress(&datasets[dataset]).await;
            assert_eq!(cuts(&mut progress), expected, "{dataset}");
            progress.restart(5);
            assert_eq!(cuts(&mut progress), expected, "{dataset} begun again");
        }
    }

    #[actix::test]
    async fn what_turns_out_to_be_in_no_order_is_cut_no_more() {
        let mut progress =
            progress(&catalog::builtin("genesys-cloud").unwrap().datasets["conversations"]).await;
        progress.advance(&page(&[2, 1]));
        assert_eq!(cuts(&mut progress), (None, None));
    }
}
