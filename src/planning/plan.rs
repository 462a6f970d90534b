//! Every shard of a run, and where it stands (G1).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    planning::shard::{LeaseEnd, LeaseId, Shard},
    time::interval::Interval,
};

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

    /// The shards that wait.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.waiting.iter()
    }

    /// How many shards wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many shards are leased.
    pub(crate) fn leased(&self) -> usize {
        self.leased.len()
    }

    /// The whole time that is to be fetched, over all datasets.
    pub fn width(&self) -> Duration {
        self.requested.iter().map(|shard| shard.interval.width()).sum()
    }

    pub(crate) fn lease(&mut self) -> Option<(LeaseId, Shard)> {
        if self.closed {
            return None;
        }
        let shard = self.waiting.pop_front()?;
        self.leases += 1;
        self.leased.insert(self.leases, shard.clone());
        self.check();
        Some((self.leases, shard))
    }

    pub(crate) fn end(&mut self, lease: LeaseId, end: LeaseEnd) {
        let Some(shard) = self.leased.remove(&lease) else {
            debug_assert!(false, "G2: lease {lease} ended twice");
            return;
        };
        match (end, shard.interval.bisect()) {
            (LeaseEnd::Done | LeaseEnd::Failed, _) => self.ended.push(shard),
            (LeaseEnd::Denied, _) => {
                self.denied.push(shard.dataset.name.clone());
                self.ended.push(shard);
            }
            (LeaseEnd::Split, Some((left, right))) => {
                // what was replaced is replaced by its halves, which are new
                let halves = [left, right].map(|interval| Shard {
                    interval,
                    replaces: false,
                    ..shard.clone()
                });
                let [first, second] = if self.newest_first { [1, 0] } else { [0, 1] };
                self.waiting.push_front(halves[second].clone());
                self.waiting.push_front(halves[first].clone());
            }
            (LeaseEnd::Split | LeaseEnd::Returned, _) => self.waiting.push_front(shard),
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

    /// Takes from a lease what lies before `at`: it is committed.
    pub(crate) fn narrow(&mut self, lease: LeaseId, at: i64) {
        if let Some(shard) = self.leased.get_mut(&lease)
            && let Some((start, rest)) = shard.interval.cut(at)
        {
            shard.interval = rest;
            self.ended.push(Shard { interval: start, ..shard.clone() });
        }
        self.check();
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_over(&self) -> bool {
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
                .filter(|shard| {
                    shard.dataset.name == whole.dataset.name
                        && shard.interval.overlaps(whole.interval)
                })
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
        Shard {
            dataset: Arc::clone(dataset),
            interval: Interval::new(from, to).unwrap(),
            replaces: false,
        }
    }

    fn ends() -> impl Strategy<Value = Vec<(usize, LeaseEnd)>> {
        let end = prop_oneof![4 => Just(LeaseEnd::Done), 4 => Just(LeaseEnd::Split), 2 => Just(LeaseEnd::Failed), 4 => Just(LeaseEnd::Returned), 1 => Just(LeaseEnd::Denied)];
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
                    plan.narrow(out[holder % out.len()], 17 * holder as i64);
                    plan.end(out.swap_remove(holder % out.len()), end);
                }
                prop_assert!(plan.is_cover());
            }
        }
    }
}
