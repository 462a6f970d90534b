//! A shard is a piece of the backfill; a lease is the right to fetch it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix::prelude::*;

use crate::{catalog::Dataset, interval::Interval};

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
pub enum End {
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
pub struct Ended {
    /// Which lease.
    pub lease: LeaseId,
    /// How.
    pub end: End,
}

/// Tells the planner that a lease covers less of its shard.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Narrowed {
    /// Which lease.
    pub lease: LeaseId,
    /// Where it was cut: the first millisecond of the second part.
    pub at: i64,
    /// Which part it still covers, and what became of the other.
    pub keeps: Keeps,
}

/// Which part of a shard its lease keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// The second: the first is committed.
    Rest,
    /// The first: the second is for somebody who has nothing to do.
    Start,
}

/// Counts the leases of a run.
pub type LeaseId = u64;

/// The right to fetch a shard. There is at most one for a shard (G2): dropping it unfinished, as a
/// panic or an interrupt does, returns the shard to the planner.
pub struct Lease {
    id: LeaseId,
    shard: Shard,
    /// The planner, until the lease has ended.
    planner: Option<Recipient<Ended>>,
    narrows: Recipient<Narrowed>,
    /// Whether somebody has nothing to do. The other half is the planner's.
    hungry: Arc<AtomicBool>,
}

impl Lease {
    /// A lease that reports its end to `planner`.
    pub fn new(
        id: LeaseId,
        shard: Shard,
        planner: Recipient<Ended>,
        narrows: Recipient<Narrowed>,
        hungry: Arc<AtomicBool>,
    ) -> Self {
        Self { id, shard, planner: Some(planner), narrows, hungry }
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
            self.narrows.send(Narrowed { lease: self.id, at, keeps: Keeps::Rest }).await?;
        }
        Ok(())
    }

    /// Whether somebody has nothing to do and would take a part of it.
    pub fn is_wanted(&self) -> bool {
        self.hungry.load(Ordering::Relaxed)
    }

    /// Gives what lies from `at` on to somebody who has nothing to do.
    ///
    /// # Errors
    /// Where the planner has gone.
    pub async fn share(&mut self, at: i64) -> Result<(), MailboxError> {
        if let Some((start, _)) = self.shard.interval.cut(at) {
            self.shard.interval = start;
            self.narrows.send(Narrowed { lease: self.id, at, keeps: Keeps::Start }).await?;
        }
        Ok(())
    }

    /// Ends the lease and waits until the planner knows.
    ///
    /// # Errors
    /// Where the planner has gone.
    pub async fn end(mut self, end: End) -> Result<(), MailboxError> {
        match self.planner.take() {
            Some(planner) => planner.send(Ended { lease: self.id, end }).await,
            None => Ok(()),
        }
    }
}

impl Drop for Lease {
    #[allow(clippy::disallowed_methods)] // a drop cannot await, and there is one message a lease
    fn drop(&mut self) {
        if let Some(planner) = self.planner.take() {
            planner.do_send(Ended { lease: self.id, end: End::Returned });
        }
    }
}
