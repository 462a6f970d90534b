//! A lease: the right to fetch a shard.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix::prelude::*;
use tokio::time::Instant;

use crate::{planning::shard::Shard, time::interval::Interval};

/// How a lease ended (G2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEnd {
    /// The shard is committed.
    Done,
    /// The shard is too big: its halves are leased instead.
    Split,
    /// The shard keeps failing and is recorded as failed.
    Failed,
    /// The dataset is given up, because the credentials may not read it or too many of its shards
    /// failed: no more shards of it are leased.
    DatasetGivenUp,
    /// The holder gave it back: the shard is leased again.
    Returned,
    /// The platform cannot give the shard yet: it is leased again, but not before this instant.
    NotBefore(Instant),
}

/// Tells the planner how a lease ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LeaseEnded {
    pub lease: LeaseId,
    pub end: LeaseEnd,
}

/// Tells the planner that the planned shard of a lease fails as one. The reply is what ends with
/// it.
#[derive(Message)]
#[rtype(result = "Vec<Interval>")]
pub(crate) struct FailedAsOne {
    pub lease: LeaseId,
}

/// Tells the planner that a lease covers less of its shard.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LeaseNarrowed {
    pub lease: LeaseId,
    pub to: Narrowed,
}

/// What a lease still covers of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Narrowed {
    /// The time from this millisecond on. What lies before it is committed.
    From(i64),
    /// The time before this millisecond. The rest is a separate shard that any fetcher can lease.
    Until(i64),
}

/// Counts the leases of a run.
pub(crate) type LeaseId = u64;

/// The right to fetch a shard. A shard has at most one lease (G2). Dropping a lease that has not
/// ended, as a panic or an interrupt does, returns the shard to the planner.
pub struct Lease {
    id: LeaseId,
    shard: Shard,
    /// `None` once the lease has ended.
    planner: Option<Recipient<LeaseEnded>>,
    narrowed: Recipient<LeaseNarrowed>,
    failed_as_one: Recipient<FailedAsOne>,
    /// Waiting fetchers per lease. The planner writes it, every lease reads it.
    idle: Arc<AtomicUsize>,
}

impl Lease {
    pub(crate) fn new(
        id: LeaseId,
        shard: Shard,
        planner: Recipient<LeaseEnded>,
        narrowed: Recipient<LeaseNarrowed>,
        failed_as_one: Recipient<FailedAsOne>,
        idle: Arc<AtomicUsize>,
    ) -> Self {
        Self { id, shard, planner: Some(planner), narrowed, failed_as_one, idle }
    }

    /// The lease's id, which no other lease of the run has.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// The part of the shard that the lease still covers.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Narrows the lease to the time from `at` on, because the part before it is committed.
    ///
    /// # Errors
    /// Fails if the planner has stopped.
    pub(crate) async fn narrow(&mut self, at: i64) -> Result<(), MailboxError> {
        if let Some((_, rest)) = self.shard.interval.cut(at) {
            self.shard.interval = rest;
            self.narrowed.send(LeaseNarrowed { lease: self.id, to: Narrowed::From(at) }).await?;
        }
        Ok(())
    }

    /// Gives the time from `at` on back, as a shard of its own, and keeps what lies before it.
    ///
    /// # Errors
    /// Fails if the planner has stopped.
    pub(crate) async fn keep_until(&mut self, at: i64) -> Result<(), MailboxError> {
        if self.shard.cut(at).is_some() {
            self.narrowed.send(LeaseNarrowed { lease: self.id, to: Narrowed::Until(at) }).await?;
        }
        Ok(())
    }

    /// The number of waiting fetchers divided by the number of leases: this lease may have as many
    /// requests in flight as that many more fetchers would.
    pub fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// Ends the lease and waits until the planner has recorded it.
    ///
    /// # Errors
    /// Fails if the planner has stopped.
    pub async fn end(mut self, end: LeaseEnd) -> Result<(), MailboxError> {
        match self.planner.take() {
            Some(planner) => planner.send(LeaseEnded { lease: self.id, end }).await,
            None => Ok(()),
        }
    }

    /// Ends the lease and, with it, all pieces of its planned shard that nobody has leased. Returns
    /// the intervals that ended.
    ///
    /// # Errors
    /// Fails if the planner has stopped.
    pub(crate) async fn fail_as_one(mut self) -> Result<Vec<Interval>, MailboxError> {
        self.planner = None;
        self.failed_as_one.send(FailedAsOne { lease: self.id }).await
    }
}

impl Drop for Lease {
    #[allow(clippy::disallowed_methods)] // a drop cannot await, and there is one message per lease
    fn drop(&mut self) {
        if let Some(planner) = self.planner.take() {
            planner.do_send(LeaseEnded { lease: self.id, end: LeaseEnd::Returned });
        }
    }
}
