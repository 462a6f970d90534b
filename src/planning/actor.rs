//! PlannerActor: hands out leases (G1, G2).
//!
//! Fetchers ask for shards. While no shard is ready but leases are out or shards are delayed,
//! fetchers wait, because a lease may still split or come back. The holders of leases see how many
//! fetchers wait and may have as many more requests in flight.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::prelude::*;
use tokio::{sync::oneshot, time::Instant};

use crate::planning::{
    lease::{FailedAsOne, Lease, LeaseEnded, LeaseId, LeaseNarrowed, Narrowed},
    plan::Plan,
    shard::Shard,
};

/// Asks for a shard. The reply is `None` if there will be no more.
#[derive(Message)]
#[rtype(result = "Option<Lease>")]
pub struct Next;

/// Ends the planning of the run: no more shards are handed out.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Close;

/// Actor around [`Plan`]: queues fetchers until a shard is ready for them.
pub struct PlannerActor {
    plan: Plan,
    /// Fetchers that asked while no shard was ready. The other half is the reply to [`Next`].
    waiting_fetchers: VecDeque<oneshot::Sender<Option<Lease>>>,
    /// Waiting fetchers per lease. Every lease holds the other half.
    idle: Arc<AtomicUsize>,
    /// The timer that wakes the planner when a delayed shard becomes ready, and its instant.
    alarm: Option<(Instant, SpawnHandle)>,
}

impl PlannerActor {
    /// Creates the planner that hands out the shards of `plan`.
    pub fn new(plan: Plan) -> Self {
        Self { plan, waiting_fetchers: VecDeque::new(), idle: Arc::default(), alarm: None }
    }

    /// Answers the waiting fetchers as far as possible. A lease for a fetcher that has gone
    /// meanwhile is dropped here and so returns.
    fn serve(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        while let Some(fetcher) = self.waiting_fetchers.pop_front() {
            match self.plan.lease(now) {
                Some((id, shard)) => {
                    let lease = self.grant(id, shard, &ctx.address());
                    drop(fetcher.send(Some(lease)));
                }
                None if self.plan.is_over() => drop(fetcher.send(None)),
                None => {
                    self.waiting_fetchers.push_front(fetcher);
                    break;
                }
            }
        }
        let leases = self.plan.leased().max(1);
        self.idle.store(self.waiting_fetchers.len() / leases, Ordering::Relaxed);
        self.set_alarm(now, ctx);
    }

    /// Wakes the planner when the next delayed shard becomes ready, if a fetcher waits for it.
    fn set_alarm(&mut self, now: Instant, ctx: &mut Context<Self>) {
        let due = self.plan.next_due().filter(|_| !self.waiting_fetchers.is_empty());
        if due == self.alarm.as_ref().map(|(at, _)| *at) {
            return;
        }
        if let Some((_, timer)) = self.alarm.take() {
            ctx.cancel_future(timer);
        }
        self.alarm = due.map(|due| {
            let timer = ctx.run_later(due.saturating_duration_since(now), |planner, ctx| {
                planner.alarm = None;
                planner.serve(ctx);
            });
            (due, timer)
        });
    }

    fn grant(&self, id: LeaseId, shard: Shard, planner: &Addr<Self>) -> Lease {
        let (ended, narrowed) = (planner.clone().recipient(), planner.clone().recipient());
        let failed_as_one = planner.clone().recipient();
        Lease::new(id, shard, ended, narrowed, failed_as_one, Arc::clone(&self.idle))
    }
}

impl Actor for PlannerActor {
    type Context = Context<Self>;
}

impl Handler<Next> for PlannerActor {
    type Result = ResponseFuture<Option<Lease>>;

    fn handle(&mut self, _: Next, ctx: &mut Self::Context) -> Self::Result {
        let (fetcher, answer) = oneshot::channel();
        self.waiting_fetchers.push_back(fetcher);
        self.serve(ctx);
        Box::pin(async { answer.await.unwrap_or(None) })
    }
}

impl Handler<LeaseEnded> for PlannerActor {
    type Result = ();

    fn handle(&mut self, ended: LeaseEnded, ctx: &mut Self::Context) {
        self.plan.end(ended.lease, ended.end);
        self.serve(ctx);
    }
}

impl Handler<FailedAsOne> for PlannerActor {
    type Result = MessageResult<FailedAsOne>;

    fn handle(&mut self, failed: FailedAsOne, ctx: &mut Self::Context) -> Self::Result {
        let ended = self.plan.fail_as_one(failed.lease);
        self.serve(ctx);
        MessageResult(ended)
    }
}

impl Handler<LeaseNarrowed> for PlannerActor {
    type Result = ();

    fn handle(&mut self, LeaseNarrowed { lease, to }: LeaseNarrowed, ctx: &mut Self::Context) {
        match to {
            Narrowed::From(at) => self.plan.narrow(lease, at),
            Narrowed::Until(at) => {
                self.plan.give_back(lease, at);
                self.serve(ctx);
            }
        }
    }
}

impl Handler<Close> for PlannerActor {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) {
        self.plan.close();
        self.serve(ctx);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{catalog, planning::lease::LeaseEnd, time::interval::Interval};

    fn shard(from: i64, to: i64) -> Shard {
        let dataset = catalog::test_dataset("conversations");
        Shard::new(Arc::clone(dataset), Interval::new(from, to).unwrap(), false)
    }

    /// A planner of shards of 100 milliseconds.
    fn planner(from: i64, to: i64) -> Addr<PlannerActor> {
        let mut plan = Plan::default();
        plan.add(&shard(from, to), Duration::from_millis(100));
        PlannerActor::new(plan).start()
    }

    #[actix::test]
    async fn a_fetcher_waits_while_a_lease_may_still_split() {
        let planner = planner(0, 100);
        let whole = planner.send(Next).await.unwrap().unwrap();
        let second = tokio::spawn(planner.send(Next));
        whole.end(LeaseEnd::Split).await.unwrap();
        let half = second.await.unwrap().unwrap().unwrap();
        assert_eq!(half.shard().interval, Interval::new(0, 50).unwrap());
    }

    #[actix::test]
    async fn the_rest_of_a_lease_that_keeps_a_part_is_leased_to_a_waiting_fetcher() {
        let planner = planner(0, 100);
        let mut lease = planner.send(Next).await.unwrap().unwrap();
        let waiting = tokio::spawn(planner.send(Next));
        lease.keep_until(30).await.unwrap();
        let rest = waiting.await.unwrap().unwrap().unwrap();
        let covered = [lease.shard(), rest.shard()].map(|shard| (shard.interval, shard.planned));
        let expected = [(0, 30), (30, 100)].map(|(from, to)| Interval::new(from, to).unwrap());
        assert_eq!(covered, expected.map(|interval| (interval, interval)));
    }

    #[actix::test]
    async fn g2_a_dropped_lease_returns_its_shard() {
        let planner = planner(0, 100);
        let first = planner.send(Next).await.unwrap().unwrap();
        let interval = first.shard().interval;
        drop(first);
        assert_eq!(planner.send(Next).await.unwrap().unwrap().shard().interval, interval);
    }

    #[actix::test]
    async fn a_closed_plan_hands_out_nothing() {
        let planner = planner(0, 100);
        planner.send(Close).await.unwrap();
        assert!(planner.send(Next).await.unwrap().is_none());
    }

    #[actix::test]
    async fn holders_of_leases_see_how_many_fetchers_wait() {
        let planner = planner(0, 200);
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

    #[actix::test]
    async fn a_lease_that_must_wait_holds_no_fetcher_while_ready_shards_wait() {
        let planner = planner(0, 200);
        let first = planner.send(Next).await.unwrap().unwrap();
        let later = Instant::now() + Duration::from_millis(30);
        first.end(LeaseEnd::NotBefore(later)).await.unwrap();

        let ready = planner.send(Next).await.unwrap().unwrap();
        assert_eq!(ready.shard().interval, Interval::new(100, 200).unwrap());
        ready.end(LeaseEnd::Done).await.unwrap();

        let delayed = planner.send(Next).await.unwrap().unwrap();
        assert_eq!(delayed.shard().interval, Interval::new(0, 100).unwrap());
        assert!(Instant::now() >= later, "it was handed out too early");
        delayed.end(LeaseEnd::Done).await.unwrap();
        assert!(planner.send(Next).await.unwrap().is_none());
    }

    #[actix::test]
    async fn a_closed_plan_does_not_wait_for_delayed_shards() {
        let planner = planner(0, 100);
        let only = planner.send(Next).await.unwrap().unwrap();
        let far = Instant::now() + Duration::from_secs(3_600);
        only.end(LeaseEnd::NotBefore(far)).await.unwrap();
        let waiting = tokio::spawn(planner.send(Next));
        planner.send(Close).await.unwrap();
        assert!(waiting.await.unwrap().unwrap().is_none());
    }
}
