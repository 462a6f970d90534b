//! A shard is a piece of the backfill; a lease is the right to fetch it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix::prelude::*;

use crate::{catalog::Dataset, time::interval::Interval};

/// The rows of one dataset whose time lies in one interval: the unit of fetching and of commits.
#[derive(Debug, Clone)]
pub struct Shard {
    /// What is fetched.
    pub dataset: Arc<Dataset>,
    /// The time that the shard owns (G4).
    pub interval: Interval,
    /// Whether the interval is committed already and its files are to be replaced.
    pub replaces: bool,
}

/// How a lease ended (G2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEnd {
    /// The shard is committed.
    Done,
    /// The shard is too big: its halves are to be leased instead.
    Split,
    /// The shard keeps failing and is set aside.
    Failed,
    /// The credentials may not read the dataset: nothing of it is leased any more.
    Denied,
    /// The holder let go of it: it is to be leased again.
    Returned,
}

/// Tells the planner how a lease ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LeaseEnded {
    /// Which lease.
    pub lease: LeaseId,
    /// How.
    pub end: LeaseEnd,
}

/// Tells the planner that a lease covers less of its shard.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LeaseNarrowed {
    /// Which lease.
    pub lease: LeaseId,
    /// Where it was cut: the first millisecond that it still covers. What lies before is committed.
    pub at: i64,
}

/// Counts the leases of a run.
pub(crate) type LeaseId = u64;

/// The right to fetch a shard. There is at most one for a shard (G2): dropping it unfinished, as a
/// panic or an interrupt does, returns the shard to the planner.
pub struct Lease {
    id: LeaseId,
    shard: Shard,
    /// The planner, until the lease has ended.
    planner: Option<Recipient<LeaseEnded>>,
    narrows: Recipient<LeaseNarrowed>,
    /// How many have nothing to do, for each lease. The other half is the planner's.
    idle: Arc<AtomicUsize>,
}

impl Lease {
    /// A lease that reports its end to `planner`.
    pub fn new(
        id: LeaseId,
        shard: Shard,
        planner: Recipient<LeaseEnded>,
        narrows: Recipient<LeaseNarrowed>,
        idle: Arc<AtomicUsize>,
    ) -> Self {
        Self { id, shard, planner: Some(planner), narrows, idle }
    }

    /// Which lease it is.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// What is leased.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Narrows the lease to what lies from `at` on, since the part before is committed.
    ///
    /// # Errors
    /// Where the planner has gone.
    pub async fn cut(&mut self, at: i64) -> Result<(), MailboxError> {
        if let Some((_, rest)) = self.shard.interval.cut(at) {
            self.shard.interval = rest;
            self.narrows.send(LeaseNarrowed { lease: self.id, at }).await?;
        }
        Ok(())
    }

    /// How many holders there would be beside this one, if those with nothing to do were spread over
    /// all leases: what they would have in flight, this one may.
    pub fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// Ends the lease and waits until the planner knows.
    ///
    /// # Errors
    /// Where the planner has gone.
    pub async fn end(mut self, end: LeaseEnd) -> Result<(), MailboxError> {
        match self.planner.take() {
            Some(planner) => planner.send(LeaseEnded { lease: self.id, end }).await,
            None => Ok(()),
        }
    }
}

impl Drop for Lease {
    #[allow(clippy::disallowed_methods)] // a drop cannot await, and there is one message a lease
    fn drop(&mut self) {
        if let Some(planner) = self.planner.take() {
            planner.do_send(LeaseEnded { lease: self.id, end: LeaseEnd::Returned });
        }
    }
}
