//! Planning: divides the requested time into shards and leases them to fetchers.
//!
//! It promises that waiting, leased and ended shards are disjoint and cover what was requested
//! (G1), and that a shard has at most one lease, which ends exactly once (G2). Start with [`Plan`],
//! which is plain data and is tested without actors; [`PlannerActor`] is a thin shell around it.

mod actor;
mod lease;
mod plan;
mod shard;

pub(crate) use self::{
    actor::Close,
    lease::{Lease, LeaseId},
    shard::is_committed_whole,
};
pub use self::{
    actor::{Next, PlannerActor},
    lease::LeaseEnd,
    plan::Plan,
    shard::Shard,
};
