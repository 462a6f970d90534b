//! PlannerActor: which shard next (G1, G2).
//!
//! A plan is what was requested and is not committed, cut into shards. Fetchers pull; when nothing
//! waits but leases are out, they wait, since a lease may yet split or come back.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::{
    interval::Interval,
    shard::{CutAt, End, Ended, Lease, LeaseId, Shard},
};

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
}

impl PlannerActor {
    /// Hands out the shards of `plan`.
    pub fn new(plan: Plan) -> Self {
        Self { plan, seats: VecDeque::new() }
    }

    /// Serves who waits, as far as there is an answer. A lease for a fetcher that has gone
    /// meanwhile is dropped here, and so returns.
    fn serve(&mut self, planner: &Addr<Self>) {
        while let Some(seat) = self.seats.pop_front() {
            match self.plan.lease() {
                Some((id, shard)) => {
                    let lease = Lease::new(id, shard, planner.clone().recipient(), planner.clone().recipient());
                    drop(seat.send(Some(lease)));
                }
                None if self.plan.is_over() => drop(seat.send(None)),
                None => return self.seats.push_front(seat),
            }
        }
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

impl Handler<Ended> for PlannerActor {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Self::Context) {
        self.plan.end(ended.lease, ended.end);
        self.serve(&ctx.address());
    }
}

impl Handler<CutAt> for PlannerActor {
    type Result = ();

    fn handle(&mut self, cut: CutAt, _: &mut Self::Context) {
        self.plan.cut(cut.lease, cut.at);
    }
}

impl Handler<Close> for PlannerActor {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) {
        self.plan.close();
        self.serve(&ctx.address());
    }
}

/// Every shard of a run, and where it stands.
#[derive(Default)]
pub struct Plan {
    waiting: VecDeque<Shard>,
    leased: BTreeMap<LeaseId, Shard>,
    ended: Vec<Shard>,
    requested: Vec<Shard>,
    leases: LeaseId,
    closed: bool,
    newest_first: bool,
    /// Datasets that the credentials may not read.
    denied: Vec<String>,
}

impl Plan {
    /// A plan without shards, that hands out the newest time or the oldest first.
    pub fn new(newest_first: bool) -> Self {
        Self { newest_first, ..Self::default() }
    }

    /// Adds what is `left` to fetch of a dataset, in shards of at most `width`.
    pub fn add(&mut self, left: &Shard, width: Duration) {
        self.push(left, left.interval.split(width));
    }

    /// Adds a shard that is to be fetched as it is: its files have its name.
    pub fn add_whole(&mut self, shard: &Shard) {
        self.push(shard, std::iter::once(shard.interval));
    }

    fn push(&mut self, whole: &Shard, parts: impl Iterator<Item = Interval>) {
        self.requested.push(whole.clone());
        self.waiting.extend(parts.map(|interval| Shard { interval, ..whole.clone() }));
        let waiting = self.waiting.make_contiguous();
        match self.newest_first {
            true => waiting.sort_by_key(|shard| Reverse(shard.interval)),
            false => waiting.sort_by_key(|shard| shard.interval),
        }
        self.check();
    }

    /// How many shards wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The whole time that is to be fetched, over all datasets.
    pub fn width(&self) -> Duration {
        self.requested.iter().map(|shard| shard.interval.width()).sum()
    }

    fn lease(&mut self) -> Option<(LeaseId, Shard)> {
        if self.closed {
            return None;
        }
        let shard = self.waiting.pop_front()?;
        self.leases += 1;
        self.leased.insert(self.leases, shard.clone());
        self.check();
        Some((self.leases, shard))
    }

    fn end(&mut self, lease: LeaseId, end: End) {
        let Some(shard) = self.leased.remove(&lease) else {
            debug_assert!(false, "G2: lease {lease} ended twice");
            return;
        };
        match (end, shard.interval.bisect()) {
            (End::Done | End::Failed, _) => self.ended.push(shard),
            (End::Denied, _) => {
                self.denied.push(shard.dataset.name.clone());
                self.ended.push(shard);
            }
            (End::Split, Some((left, right))) => {
                // what was replaced is replaced by its halves, which are new
                let halves = [left, right].map(|interval| Shard { interval, replaces: false, ..shard.clone() });
                let [first, second] = if self.newest_first { [1, 0] } else { [0, 1] };
                self.waiting.push_front(halves[second].clone());
                self.waiting.push_front(halves[first].clone());
            }
            (End::Split | End::Returned, _) => self.waiting.push_front(shard),
        }
        self.forsake();
        self.check();
    }

    /// Gives up what waits of denied datasets.
    fn forsake(&mut self) {
        let Self { waiting, denied, ended, .. } = self;
        waiting.retain(|shard| {
            let forsaken = denied.contains(&shard.dataset.name);
            ended.extend(forsaken.then(|| shard.clone()));
            !forsaken
        });
    }

    fn cut(&mut self, lease: LeaseId, at: i64) {
        if let Some(shard) = self.leased.get_mut(&lease)
            && let Some((done, rest)) = shard.interval.cut(at)
        {
            shard.interval = rest;
            self.ended.push(Shard { interval: done, ..shard.clone() });
        }
        self.check();
    }

    fn close(&mut self) {
        self.closed = true;
    }

    fn is_over(&self) -> bool {
        self.closed || (self.waiting.is_empty() && self.leased.is_empty())
    }

    /// G1, in debug builds: waiting, leased and ended shards are disjoint and cover the request.
    fn check(&self) {
        debug_assert!(self.is_cover(), "G1: the shards do not cover the request");
    }

    fn is_cover(&self) -> bool {
        self.requested.iter().all(|whole| {
            let shards = self.waiting.iter().chain(self.leased.values()).chain(&self.ended);
            let parts: Vec<Interval> = shards
                .filter(|shard| shard.dataset.name == whole.dataset.name && shard.interval.overlaps(whole.interval))
                .map(|shard| shard.interval)
                .collect();
            whole.interval.is_covered_by(&parts)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::catalog;

    fn shard(from: i64, to: i64) -> Shard {
        let dataset = &catalog::builtin("genesys-cloud").unwrap().datasets["conversations"];
        Shard { dataset: Arc::clone(dataset), interval: Interval::new(from, to).unwrap(), replaces: false }
    }

    fn ends() -> impl Strategy<Value = Vec<(usize, End)>> {
        let end = prop_oneof![4 => Just(End::Done), 4 => Just(End::Split), 2 => Just(End::Failed), 4 => Just(End::Returned), 1 => Just(End::Denied)];
        prop::collection::vec((0usize..4, end), 0..60)
    }

    proptest! {
        #[test]
        fn g1_whatever_happens_the_shards_cover_the_request(ends in ends()) {
            let mut plan = Plan::default();
            plan.add(&shard(0, 700), Duration::from_millis(100));
            plan.add(&shard(900, 1_000), Duration::from_millis(100));
            let mut out = Vec::new();
            for (holder, end) in ends {
                out.extend(plan.lease().map(|(id, _)| id));
                if !out.is_empty() {
                    plan.cut(out[holder % out.len()], 17 * holder as i64);
                    plan.end(out.swap_remove(holder % out.len()), end);
                }
                prop_assert!(plan.is_cover());
            }
        }
    }

    #[actix::test]
    async fn a_fetcher_waits_while_a_lease_may_still_split() {
        let mut plan = Plan::default();
        plan.add(&shard(0, 100), Duration::from_millis(100));
        let planner = PlannerActor::new(plan).start();
        let whole = planner.send(Next).await.unwrap().unwrap();
        let second = tokio::spawn(planner.send(Next));
        whole.end(End::Split).await.unwrap();
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
}
