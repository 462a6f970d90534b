//! PlannerActor: which shard next (G1, G2).
//!
//! A plan is what was requested and is not committed, cut into shards. Fetchers pull; when nothing
//! waits but leases are out, they wait, since a lease may yet split or come back, and its holder is
//! told how many they are: it may have as many more requests in flight.

pub(crate) mod plan;
pub(crate) mod shard;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::prelude::*;
use tokio::sync::oneshot;

pub use self::plan::Plan;
use crate::planning::shard::{Lease, LeaseEnded, LeaseId, LeaseNarrowed, Shard};

/// Asks for a shard; none: there will be no more.
#[derive(Message)]
#[rtype(result = "Option<Lease>")]
pub struct Next;

/// Ends the run's planning: no further shard is handed out.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close;

/// The shell around [`Plan`]: the waiting room.
pub struct PlannerActor {
    plan: Plan,
    /// Fetchers that asked while every shard was out. The other half is the reply to [`Next`].
    seats: VecDeque<oneshot::Sender<Option<Lease>>>,
    /// How many wait, for each lease that is out. The other half is in every lease.
    idle: Arc<AtomicUsize>,
}

impl PlannerActor {
    /// Hands out the shards of `plan`.
    pub fn new(plan: Plan) -> Self {
        Self { plan, seats: VecDeque::new(), idle: Arc::default() }
    }

    /// Serves who waits, as far as there is an answer. A lease for a fetcher that has gone
    /// meanwhile is dropped here, and so returns.
    fn serve(&mut self, planner: &Addr<Self>) {
        while let Some(seat) = self.seats.pop_front() {
            match self.plan.lease() {
                Some((id, shard)) => drop(seat.send(Some(self.grant(id, shard, planner)))),
                None if self.plan.is_over() => drop(seat.send(None)),
                None => {
                    self.seats.push_front(seat);
                    break;
                }
            }
        }
        self.idle.store(self.seats.len() / self.plan.leased().max(1), Ordering::Relaxed);
    }

    fn grant(&self, id: LeaseId, shard: Shard, planner: &Addr<Self>) -> Lease {
        Lease::new(
            id,
            shard,
            planner.clone().recipient(),
            planner.clone().recipient(),
            Arc::clone(&self.idle),
        )
    }
}

impl Actor for PlannerActor {
    type Context = Context<Self>;
}

impl Handler<Next> for PlannerActor {
    type Result = ResponseFuture<Option<Lease>>;

    fn handle(&mut self, _: Next, ctx: &mut Self::Context) -> Self::Result {
        let (seat, answer) = oneshot::channel();
        self.seats.push_back(seat);
        self.serve(&ctx.address());
        Box::pin(async { answer.await.unwrap_or(None) })
    }
}

impl Handler<LeaseEnded> for PlannerActor {
    type Result = ();

    fn handle(&mut self, ended: LeaseEnded, ctx: &mut Self::Context) {
        self.plan.end(ended.lease, ended.end);
        self.serve(&ctx.address());
    }
}

impl Handler<LeaseNarrowed> for PlannerActor {
    type Result = ();

    fn handle(&mut self, LeaseNarrowed { lease, at }: LeaseNarrowed, _: &mut Self::Context) {
        self.plan.narrow(lease, at);
    }
}

impl Handler<Close> for PlannerActor {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) {
        self.plan.close();
        self.serve(&ctx.address());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{catalog, planning::shard::LeaseEnd, time::interval::Interval};

    fn shard(from: i64, to: i64) -> Shard {
        let dataset = &catalog::builtin("genesys-cloud").unwrap().datasets["conversations"];
        Shard {
            dataset: Arc::clone(dataset),
            interval: Interval::new(from, to).unwrap(),
            replaces: false,
        }
    }

    #[actix::test]
    async fn a_fetcher_waits_while_a_lease_may_still_split() {
        let mut plan = Plan::default();
        plan.add(&shard(0, 100), Duration::from_millis(100));
        let planner = PlannerActor::new(plan).start();
        let whole = planner.send(Next).await.unwrap().unwrap();
        let second = tokio::spawn(planner.send(Next));
        whole.end(LeaseEnd::Split).await.unwrap();
        let half = second.await.unwrap().unwrap().unwrap();
        assert_eq!(half.shard().interval, Interval::new(0, 50).unwrap());
    }

    #[actix::test]
    async fn g2_a_dropped_lease_comes_back() {
        let mut plan = Plan::default();
        plan.add(&shard(0, 100), Duration::from_millis(100));
        let planner = PlannerActor::new(plan).start();
        let first = planner.send(Next).await.unwrap().unwrap();
        let interval = first.shard().interval;
        drop(first);
        assert_eq!(planner.send(Next).await.unwrap().unwrap().shard().interval, interval);
    }

    #[actix::test]
    async fn a_closed_plan_hands_out_nothing() {
        let mut plan = Plan::default();
        plan.add(&shard(0, 100), Duration::from_millis(100));
        let planner = PlannerActor::new(plan).start();
        planner.send(Close).await.unwrap();
        assert!(planner.send(Next).await.unwrap().is_none());
    }

    #[actix::test]
    async fn who_holds_the_last_leases_is_told_of_those_with_nothing_to_do() {
        let mut plan = Plan::default();
        plan.add(&shard(0, 200), Duration::from_millis(100));
        let planner = PlannerActor::new(plan).start();
        let first = planner.send(Next).await.unwrap().unwrap();
        let second = planner.send(Next).await.unwrap().unwrap();
        assert_eq!(first.idle(), 0);
        let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(planner.send(Next))).collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!((first.idle(), second.idle()), (1, 1), "three for two");
        second.end(LeaseEnd::Done).await.unwrap();
        assert_eq!(first.idle(), 3);
        first.end(LeaseEnd::Done).await.unwrap();
        for over in waiting {
            assert!(over.await.unwrap().unwrap().is_none());
        }
    }
}
