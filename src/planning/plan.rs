//! The shards of a run and their states (G1).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    planning::{
        lease::{LeaseEnd, LeaseId},
        shard::Shard,
    },
    time::interval::Interval,
};

/// The cover of this many shards, or fewer, is checked with each change.
const CHECKED_SHARDS: usize = 64;

/// The shards of a run and their states: waiting, delayed, leased or ended.
#[derive(Default)]
pub struct Plan {
    waiting: VecDeque<Shard>,
    /// Shards that the platform cannot give before an instant, by it and by their last lease.
    delayed: BTreeMap<(Instant, LeaseId), Shard>,
    leased: BTreeMap<LeaseId, Shard>,
    /// The time that has ended, by the name of the dataset, joined where it touches.
    ended: BTreeMap<String, Vec<Interval>>,
    requested: Vec<Shard>,
    last_lease: LeaseId,
    closed: bool,
    newest_first: bool,
    /// The number of waiting shards that were added before the present phase.
    earlier_phases: usize,
    /// Names of the datasets that are given up.
    given_up: Vec<String>,
    /// Changes since the cover was last checked, in debug builds.
    unchecked: usize,
}

impl Plan {
    /// An empty plan that hands out the newest shards first, or the oldest.
    pub fn new(newest_first: bool) -> Self {
        Self { newest_first, ..Self::default() }
    }

    /// Adds a part of a dataset's time, in shards of at most `width`.
    pub fn add(&mut self, part: &Shard, width: Duration) {
        self.add_parts([(part.clone(), part.interval.split(width).collect())]);
    }

    /// Adds a part of a dataset's time as one shard.
    pub fn add_whole(&mut self, shard: &Shard) {
        self.add_parts([(shard.clone(), vec![shard.interval])]);
    }

    /// Adds parts of a dataset's time, each as shards of these intervals, which cover it.
    pub(crate) fn add_parts(&mut self, parts: impl IntoIterator<Item = (Shard, Vec<Interval>)>) {
        for (part, intervals) in parts {
            let shard = |interval| Shard { interval, planned: interval, ..part.clone() };
            self.waiting.extend(intervals.into_iter().map(shard));
            self.requested.push(part);
        }
        let waiting = &mut self.waiting.make_contiguous()[self.earlier_phases..];
        match self.newest_first {
            true => waiting.sort_by_key(|shard| Reverse(shard.interval)),
            false => waiting.sort_by_key(|shard| shard.interval),
        }
        self.check();
    }

    /// Begins a phase: shards that are added from now on are handed out after all shards that were
    /// added before.
    pub(crate) fn begin_phase(&mut self) {
        self.earlier_phases = self.waiting.len();
    }

    /// The waiting shards, in the order in which they are handed out.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.waiting.iter()
    }

    /// The number of waiting shards.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The number of leased shards.
    pub(crate) fn leased(&self) -> usize {
        self.leased.len()
    }

    /// The total time that is to be fetched, summed over the datasets.
    pub fn width(&self) -> Duration {
        self.requested.iter().map(|shard| shard.interval.width()).sum()
    }

    /// Leases the next shard that is ready at `now`. `None` if no shard is ready.
    pub(crate) fn lease(&mut self, now: Instant) -> Option<(LeaseId, Shard)> {
        if self.closed {
            return None;
        }
        self.release_delayed(now);
        let shard = self.waiting.pop_front()?;
        self.last_lease += 1;
        self.leased.insert(self.last_lease, shard.clone());
        self.check();
        Some((self.last_lease, shard))
    }

    /// The instant at which the next delayed shard becomes ready. `None` if no shard is delayed.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }

    /// Puts the delayed shards that are ready at `now` behind the waiting ones.
    fn release_delayed(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            self.waiting.push_back(entry.remove());
        }
    }

    /// Ends a lease and decides what becomes of its shard.
    pub(crate) fn end(&mut self, lease: LeaseId, end: LeaseEnd) {
        let Some(shard) = self.leased.remove(&lease) else {
            debug_assert!(false, "G2: lease {lease} ended twice");
            return;
        };
        match (end, shard.interval.bisect()) {
            (LeaseEnd::Done, _) => self.end_shard(&shard),
            (LeaseEnd::Failed, _) => {
                self.lease_distant_piece_next(&shard);
                self.end_shard(&shard);
            }
            (LeaseEnd::DatasetGivenUp, _) => {
                let dataset = shard.dataset.name.clone();
                self.end_shard(&shard);
                self.end_all(|shard| shard.dataset.name == dataset);
                self.given_up.push(dataset);
            }
            _ if self.given_up.contains(&shard.dataset.name) => self.end_shard(&shard),
            (LeaseEnd::Split, Some((left, right))) => {
                let [left, right] = [left, right].map(|interval| Shard {
                    interval,
                    open_rows: None,
                    ..shard.clone()
                });
                let [first, second] = if self.newest_first { [right, left] } else { [left, right] };
                self.waiting.push_front(second);
                self.waiting.push_front(first);
            }
            (LeaseEnd::NotBefore(due), _) => {
                self.delayed.insert((due, lease), shard);
            }
            (LeaseEnd::Split | LeaseEnd::Returned, _) => self.waiting.push_front(shard),
        }
        self.check();
    }

    /// Ends a lease whose planned shard fails as one. Returns the intervals that end with it: that
    /// of the lease, and of those of its pieces that nobody has leased.
    pub(crate) fn fail_as_one(&mut self, lease: LeaseId) -> Vec<Interval> {
        let Some(shard) = self.leased.remove(&lease) else {
            debug_assert!(false, "G2: lease {lease} ended twice");
            return Vec::new();
        };
        self.end_shard(&shard);
        let mut ended = self.end_all(|piece| piece.has_same_plan(&shard));
        ended.insert(0, shard.interval);
        self.check();
        ended
    }

    /// Puts the widest waiting piece of the planned shard of `failed` first. What is wide has not
    /// been requested in parts yet, so that failures are soon known to be everywhere, or not.
    fn lease_distant_piece_next(&mut self, failed: &Shard) {
        let pieces =
            self.waiting.iter().enumerate().filter(|(_, piece)| {
                piece.has_same_plan(failed) && piece.interval != piece.planned
            });
        let widest = pieces.max_by_key(|(_, piece)| piece.interval.width()).map(|(place, _)| place);
        if let Some(piece) = widest.and_then(|place| self.waiting.remove(place)) {
            self.waiting.push_front(piece);
        }
    }

    /// Ends a shard that is neither waiting nor delayed nor leased any more.
    fn end_shard(&mut self, shard: &Shard) {
        let ended = self.ended.entry(shard.dataset.name.clone()).or_default();
        debug_assert!(
            !ended.iter().any(|other| other.overlaps(shard.interval)),
            "G1: {} ended twice",
            shard.interval
        );
        shard.interval.join_into(ended);
    }

    /// Ends the waiting and delayed shards that `is_over` chooses. Returns their intervals.
    fn end_all(&mut self, is_over: impl Fn(&Shard) -> bool) -> Vec<Interval> {
        let mut over = Vec::new();
        let mut keep = |shard: &Shard| {
            let is_over = is_over(shard);
            if is_over {
                over.push(shard.clone());
            }
            !is_over
        };
        self.waiting.retain(&mut keep);
        self.delayed.retain(|_, shard| keep(shard));
        over.iter().for_each(|shard| self.end_shard(shard));
        over.into_iter().map(|shard| shard.interval).collect()
    }

    /// Takes the time before `at` out of a lease, because it is committed.
    pub(crate) fn narrow(&mut self, lease: LeaseId, at: i64) {
        if let Some(shard) = self.leased.get_mut(&lease)
            && let Some((committed, rest)) = shard.interval.cut(at)
        {
            shard.interval = rest;
            let committed = Shard { interval: committed, ..shard.clone() };
            self.end_shard(&committed);
        }
        self.check();
    }

    /// Takes the time from `at` on out of a lease, as a shard of its own that is leased next.
    pub(crate) fn give_back(&mut self, lease: LeaseId, at: i64) {
        let rest = self.leased.get_mut(&lease).and_then(|shard| shard.cut(at));
        match rest {
            Some(rest) if self.given_up.contains(&rest.dataset.name) => self.end_shard(&rest),
            Some(rest) => self.waiting.push_front(rest),
            None => {}
        }
        self.check();
    }

    /// Ends the plan: no more shards are leased.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether no shard will be handed out any more.
    pub(crate) fn is_over(&self) -> bool {
        let is_empty = self.waiting.is_empty() && self.delayed.is_empty() && self.leased.is_empty();
        self.closed || is_empty
    }

    /// G1, in debug builds: the shards are disjoint and cover what was requested. The more shards
    /// there are, the rarer it is checked, so that the checks of a run take time in proportion to
    /// its shards.
    fn check(&mut self) {
        self.unchecked += 1;
        if cfg!(debug_assertions) && self.unchecked * CHECKED_SHARDS >= self.waiting.len() {
            self.unchecked = 0;
            assert!(self.is_cover(), "G1: the shards do not cover the request");
        }
    }

    fn is_cover(&self) -> bool {
        let open = self.waiting.iter().chain(self.delayed.values()).chain(self.leased.values());
        let mut parts: BTreeMap<&str, Vec<Interval>> = BTreeMap::new();
        for shard in open {
            parts.entry(&shard.dataset.name).or_default().push(shard.interval);
        }
        for (dataset, ended) in &self.ended {
            parts.entry(dataset).or_default().extend(ended);
        }
        let mut requested: BTreeMap<&str, Vec<Interval>> = BTreeMap::new();
        for shard in &self.requested {
            requested.entry(&shard.dataset.name).or_default().push(shard.interval);
        }
        let width = |intervals: &[Interval]| intervals.iter().map(|part| part.width()).sum();
        let is_disjoint = |parts: &[Interval]| {
            let joined: Duration = width(&Interval::joined(parts));
            joined == width(parts)
        };
        let joined = |parts: BTreeMap<&str, Vec<Interval>>| -> Vec<_> {
            parts
                .into_iter()
                .map(|(dataset, parts)| (dataset.to_owned(), Interval::joined(&parts)))
                .collect()
        };
        parts.values().all(|parts| is_disjoint(parts)) && joined(parts) == joined(requested)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::catalog;

    fn shard(from: i64, to: i64) -> Shard {
        let dataset = catalog::test_dataset("conversations");
        Shard::new(Arc::clone(dataset), Interval::new(from, to).unwrap(), false)
    }

    fn ends() -> impl Strategy<Value = Vec<(usize, LeaseEnd)>> {
        let past = LeaseEnd::NotBefore(Instant::now());
        let future = LeaseEnd::NotBefore(Instant::now() + Duration::from_secs(3_600));
        let end = prop_oneof![
            4 => Just(LeaseEnd::Done),
            4 => Just(LeaseEnd::Split),
            2 => Just(LeaseEnd::Failed),
            4 => Just(LeaseEnd::Returned),
            1 => Just(LeaseEnd::DatasetGivenUp),
            1 => Just(past),
            1 => Just(future),
        ];
        prop::collection::vec((0usize..4, end), 0..60)
    }

    proptest! {
        #[test]
        fn g1_after_any_ends_of_leases_the_shards_cover_the_request(ends in ends()) {
            let mut plan = Plan::default();
            plan.add(&shard(0, 700), Duration::from_millis(100));
            plan.add(&shard(900, 1_000), Duration::from_millis(100));
            let mut leases = Vec::new();
            for (holder, end) in ends {
                leases.extend(plan.lease(Instant::now()).map(|(id, _)| id));
                if !leases.is_empty() {
                    plan.narrow(leases[holder % leases.len()], 17 * holder as i64);
                    plan.give_back(leases[(holder + 1) % leases.len()], 150 + 13 * holder as i64);
                    plan.end(leases.swap_remove(holder % leases.len()), end);
                }
                prop_assert!(plan.is_cover());
            }
        }
    }

    #[test]
    fn shards_of_a_later_phase_are_handed_out_after_all_earlier_ones() {
        let mut plan = Plan::default();
        plan.add_whole(&shard(200, 300));
        plan.add_whole(&shard(100, 200));
        plan.begin_phase();
        plan.add_whole(&shard(50, 100));
        plan.add_whole(&shard(0, 50));
        let starts: Vec<_> = plan.shards().map(|shard| shard.interval.from_ms()).collect();
        assert_eq!(starts, [100, 200, 0, 50]);
    }

    #[test]
    fn after_a_failed_piece_the_one_farthest_from_its_like_is_leased() {
        let mut plan = Plan::default();
        plan.add(&shard(0, 1_600), Duration::from_millis(800));
        let mut leased = Vec::new();
        for end in [LeaseEnd::Split, LeaseEnd::Split, LeaseEnd::Split, LeaseEnd::Failed] {
            let (id, shard) = plan.lease(Instant::now()).unwrap();
            leased.push((shard.interval.from_ms(), shard.interval.to_ms()));
            plan.end(id, end);
        }
        assert_eq!(leased, [(0, 800), (0, 400), (0, 200), (0, 100)]);
        let (id, distant) = plan.lease(Instant::now()).unwrap();
        assert_eq!(distant.interval, Interval::new(400, 800).unwrap());
        let ended = plan.fail_as_one(id);
        let rest = Interval::new(100, 800).unwrap();
        assert_eq!(Interval::joined(&ended), [rest]);
        let (_, next) = plan.lease(Instant::now()).unwrap();
        assert_eq!(next.interval, Interval::new(800, 1_600).unwrap(), "another planned shard");
    }

    #[test]
    fn g8_a_lease_costs_the_same_whatever_number_of_shards_are_planned() {
        let shortest_leases = |shards: i64| {
            let mut plan = Plan::default();
            plan.add(&shard(0, shards), Duration::from_millis(1));
            let mut lease_all = || {
                let start = Instant::now();
                for _ in 0..shards / 2 {
                    let (lease, _) = plan.lease(Instant::now()).unwrap();
                    plan.end(lease, LeaseEnd::Done);
                }
                start.elapsed().div_f64(shards as f64)
            };
            lease_all().min(lease_all())
        };
        let (few, many) = (shortest_leases(500), shortest_leases(16_000));
        assert!(many < 5 * few, "{few:?} among 500 shards, {many:?} among 16,000");
    }

    #[test]
    fn both_halves_of_a_replacing_shard_replace() {
        let mut plan = Plan::default();
        plan.add_whole(&Shard { replaces: true, ..shard(0, 100) });
        let (lease, _) = plan.lease(Instant::now()).unwrap();
        plan.end(lease, LeaseEnd::Split);
        assert!(plan.shards().all(|half| half.replaces));
        assert_eq!(plan.waiting(), 2);
    }
}
