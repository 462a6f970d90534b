//! Ends what keeps failing for the same reason (G8): the rest of a planned shard of which a sample
//! of pieces failed, and a dataset of which many shards in a row failed.

use std::collections::{BTreeMap, BTreeSet};

use dashmap::DashMap;
use http::StatusCode;

use crate::{http::error::RequestError, planning::Shard, time::interval::Interval};

/// Pieces of a planned shard that fail in a row for the same reason before the rest of it fails,
/// too. After a failed piece the planner leases one that is far from it, so that they are a sample.
const FAILED_SAMPLE: usize = 3;

/// Counts the shards of each dataset that fail in a row for the same reason. Shared by all
/// fetchers.
///
/// A planned shard counts once, however many pieces of it fail. Shards that failed in earlier runs
/// do not count.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    /// The failed shards at which a dataset is given up.
    limit: usize,
    datasets: DashMap<String, FailureStreak>,
}

/// What ends with a failed shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failing {
    /// The shard.
    Shard,
    /// The planned shard that it is a piece of, of which a sample of pieces failed in a row.
    PlannedShard,
    /// Its dataset.
    Dataset,
}

#[derive(Debug, Default)]
struct FailureStreak {
    /// Why the shards of the streak failed. `None` if there is no streak.
    kind: Option<FailureKind>,
    /// The starts of the planned shards that failed.
    failed: BTreeSet<i64>,
    /// The failed pieces of planned shards, by the start of those.
    pieces: BTreeMap<i64, FailedPieces>,
    /// What failed in earlier runs.
    failed_earlier: Vec<Interval>,
}

/// The pieces of a planned shard that failed in a row for the same reason.
#[derive(Debug)]
struct FailedPieces {
    error: RequestError,
    kind: FailureKind,
    count: usize,
    /// What failed, and what ended with it.
    intervals: Vec<Interval>,
}

/// What failures for the same reason have in common. Messages may differ between shards.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FailureKind {
    Response { status: StatusCode, code: String },
    Timeout,
    Network,
    Malformed,
    Unreadable,
    TooLarge,
    Pagination,
    AsyncJob,
    NewField,
}

impl FailureKind {
    /// The kind of a failure. `None` if it says nothing about the dataset: a throttle, or data that
    /// is not there yet. A shard that met an outage waits for its end and does not fail.
    fn of(error: &RequestError) -> Option<Self> {
        match error {
            RequestError::NoConnection(_) | RequestError::Token(_) | RequestError::NotYet(_) => {
                None
            }
            RequestError::Refused(response) if response.is_throttle() => None,
            RequestError::Refused(response) => {
                Some(Self::Response { status: response.status, code: response.code.to_string() })
            }
            RequestError::Timeout(_) => Some(Self::Timeout),
            RequestError::Network(_) => Some(Self::Network),
            RequestError::Malformed(_) => Some(Self::Malformed),
            RequestError::Unreadable(_) => Some(Self::Unreadable),
            RequestError::TooLarge(_) => Some(Self::TooLarge),
            RequestError::Pagination(_) => Some(Self::Pagination),
            RequestError::AsyncJob(_) => Some(Self::AsyncJob),
            RequestError::NewField(_) => Some(Self::NewField),
        }
    }
}

/// Whether a failure is one of the data that were requested, so that fewer data may not fail.
pub(super) fn is_of_data(error: &RequestError) -> bool {
    FailureKind::of(error).is_some()
}

impl CircuitBreaker {
    /// Gives a dataset up at `limit` failed shards in a row.
    pub(crate) fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, datasets: DashMap::new() }
    }

    /// Excludes what failed in earlier runs: its next failure says nothing new.
    pub(crate) fn exclude(&self, dataset: &str, failed_earlier: Vec<Interval>) {
        self.datasets.entry(dataset.to_owned()).or_default().failed_earlier = failed_earlier;
    }

    /// Records a commit, which ends the streaks of its dataset and of its planned shard.
    pub(crate) fn record_commit(&self, shard: &Shard) {
        if let Some(mut streak) = self.datasets.get_mut(&shard.dataset.name) {
            streak.kind = None;
            streak.failed.clear();
            streak.pieces.remove(&shard.planned.from_ms());
        }
    }

    /// Records a failure. Returns what ends with it.
    pub(crate) fn record_failure(&self, shard: &Shard, error: &RequestError) -> Failing {
        let Some(kind) = FailureKind::of(error) else { return Failing::Shard };
        let mut streak = self.datasets.entry(shard.dataset.name.clone()).or_default();
        if streak.is_given_up(shard, &kind, self.limit) {
            return Failing::Dataset;
        }
        if shard.interval == shard.planned {
            return Failing::Shard;
        }
        let none = || FailedPieces {
            error: error.clone(),
            kind: kind.clone(),
            count: 0,
            intervals: Vec::new(),
        };
        let pieces = streak.pieces.entry(shard.planned.from_ms()).or_insert_with(none);
        if pieces.kind != kind {
            *pieces = none();
        }
        pieces.count += 1;
        pieces.intervals.push(shard.interval);
        if pieces.is_sample() { Failing::PlannedShard } else { Failing::Shard }
    }

    /// Whether another planned shard of the dataset is among those that failed in a row.
    pub(crate) fn fails_elsewhere(&self, shard: &Shard) -> bool {
        let planned = shard.planned.from_ms();
        let streak = self.datasets.get(&shard.dataset.name);
        streak.is_some_and(|streak| streak.failed.iter().any(|&failed| failed != planned))
    }

    /// The error of the planned shard of `shard`, if it failed as one.
    pub(crate) fn error_of_planned(&self, shard: &Shard) -> Option<RequestError> {
        let streak = self.datasets.get(&shard.dataset.name)?;
        let pieces = streak.pieces.get(&shard.planned.from_ms())?;
        pieces.is_sample().then(|| pieces.error.clone())
    }

    /// Adds intervals that end with a planned shard that failed as one. Returns all of it that
    /// failed.
    pub(crate) fn record_ended(&self, shard: &Shard, ended: Vec<Interval>) -> Vec<Interval> {
        let mut streak = self.datasets.entry(shard.dataset.name.clone()).or_default();
        let Some(pieces) = streak.pieces.get_mut(&shard.planned.from_ms()) else { return ended };
        pieces.intervals.extend(ended);
        pieces.intervals = Interval::joined(&pieces.intervals);
        pieces.intervals.clone()
    }
}

impl FailedPieces {
    /// Whether enough pieces have failed to give up the others.
    fn is_sample(&self) -> bool {
        self.count >= FAILED_SAMPLE
    }
}

impl FailureStreak {
    /// Counts a failed shard. Returns whether there are `limit` in a row.
    fn is_given_up(&mut self, shard: &Shard, kind: &FailureKind, limit: usize) -> bool {
        if self.failed_earlier.iter().any(|earlier| earlier.overlaps(shard.interval)) {
            return false;
        }
        if self.kind.as_ref() != Some(kind) {
            self.kind = Some(kind.clone());
            self.failed.clear();
        }
        self.failed.insert(shard.planned.from_ms());
        self.failed.len() >= limit
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog;

    fn shard(from: i64, to: i64) -> Shard {
        let dataset = catalog::test_dataset("conversations");
        let interval = Interval::new(from, to).unwrap();
        Shard::new(Arc::clone(dataset), interval, false)
    }

    fn malformed() -> RequestError {
        RequestError::Malformed("html".into())
    }

    /// Records a failure of each shard of 100 ms from `first`, and says which gave the dataset up.
    fn fail(breaker: &CircuitBreaker, shards: &[i64], error: &RequestError) -> Vec<bool> {
        let fail = |n: &i64| {
            breaker.record_failure(&shard(n * 100, (n + 1) * 100), error) == Failing::Dataset
        };
        shards.iter().map(fail).collect()
    }

    #[test]
    fn a_dataset_is_given_up_after_so_many_failures_in_a_row_for_the_same_reason() {
        let breaker = CircuitBreaker::new(3);
        assert_eq!(fail(&breaker, &[1, 2, 3], &malformed()), [false, false, true]);
        let breaker = CircuitBreaker::new(3);
        assert_eq!(fail(&breaker, &[1, 2], &malformed()), [false, false]);
        let other = RequestError::Pagination("loop".into());
        assert_eq!(fail(&breaker, &[3, 4], &other), [false, false], "another reason");
        breaker.record_commit(&shard(400, 500));
        assert_eq!(fail(&breaker, &[5, 6, 7], &other), [false, false, true], "a commit between");
    }

    fn piece(from: i64, to: i64) -> Shard {
        Shard { planned: Interval::new(0, 100).unwrap(), ..shard(from, to) }
    }

    #[test]
    fn pieces_of_one_shard_count_once() {
        let breaker = CircuitBreaker::new(2);
        for (from, to) in [(0, 25), (25, 50), (50, 75), (75, 100), (0, 25)] {
            let failing = breaker.record_failure(&piece(from, to), &malformed());
            assert_ne!(failing, Failing::Dataset, "{from}");
        }
        assert_eq!(fail(&breaker, &[1], &malformed()), [true], "another shard");
    }

    #[test]
    fn a_planned_shard_fails_as_one_after_so_many_pieces_in_a_row_for_the_same_reason() {
        let breaker = CircuitBreaker::new(9);
        let fail =
            |from, error: &RequestError| breaker.record_failure(&piece(from, from + 1), error);
        let other = RequestError::Pagination("loop".into());
        for (from, error) in [(0, &malformed()), (50, &malformed()), (75, &other), (80, &other)] {
            assert_eq!(fail(from, error), Failing::Shard, "{from}: for another reason");
        }
        breaker.record_commit(&piece(60, 61));
        for from in [10, 20] {
            assert_eq!(fail(from, &other), Failing::Shard, "{from}: a commit between");
        }
        assert_eq!(breaker.error_of_planned(&piece(40, 50)), None);
        assert_eq!(fail(30, &other), Failing::PlannedShard);
        assert_eq!(breaker.error_of_planned(&piece(40, 50)), Some(other));
        let part = |from, to| Interval::new(from, to).unwrap();
        let failed = breaker.record_ended(&piece(30, 31), vec![part(11, 20), part(30, 31)]);
        assert_eq!(failed, [part(10, 21), part(30, 31)]);
    }

    #[test]
    fn a_shard_knows_whether_others_of_its_dataset_fail() {
        let breaker = CircuitBreaker::new(9);
        breaker.record_failure(&piece(0, 25), &malformed());
        assert!(!breaker.fails_elsewhere(&piece(50, 75)), "the same planned shard");
        assert!(breaker.fails_elsewhere(&shard(100, 200)));
        breaker.record_commit(&shard(200, 300));
        assert!(!breaker.fails_elsewhere(&shard(100, 200)));
    }

    #[test]
    fn throttles_and_earlier_failures_do_not_count() {
        let breaker = CircuitBreaker::new(2);
        let refused = |status: u16| {
            let response = http::Response::builder().status(status).body(bytes::Bytes::new());
            let dialect = &crate::http::dialect::Dialect::STANDARD;
            RequestError::Refused(crate::http::error::ErrorResponse::read(
                &response.unwrap(),
                dialect,
            ))
        };
        for excused in [refused(429), RequestError::NotYet("no data yet".into())] {
            assert_eq!(fail(&breaker, &[1, 2, 3], &excused), [false; 3], "{excused}");
        }
        breaker.exclude("conversations", vec![Interval::new(0, 300).unwrap()]);
        assert_eq!(fail(&breaker, &[0, 1, 2], &malformed()), [false; 3]);
        assert_eq!(fail(&breaker, &[3, 4], &refused(500)), [false, true]);
    }
}
