//! Gives up a dataset of which many shards in a row fail for the same reason (G8).

use std::collections::{BTreeMap, BTreeSet};

use dashmap::DashMap;
use http::StatusCode;

use crate::{http::error::RequestError, planning::Shard, time::interval::Interval};

/// Statuses of a service that is down, whatever was requested.
const OUTAGES: [StatusCode; 2] = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE];

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

#[derive(Debug, Default)]
struct FailureStreak {
    /// Why the shards of the streak failed. `None` if there is no streak.
    kind: Option<FailureKind>,
    /// The starts of the planned shards that failed.
    failed: BTreeSet<i64>,
    /// The planned shards that were split, by their start.
    split: BTreeMap<i64, Interval>,
    /// What failed in earlier runs.
    failed_earlier: Vec<Interval>,
}

/// What failures for the same reason have in common. Messages may differ between shards.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FailureKind {
    Response { status: StatusCode, code: String },
    Timeout,
    Network,
    Malformed,
    TooLarge,
    Pagination,
    AsyncJob,
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
            RequestError::TooLarge(_) => Some(Self::TooLarge),
            RequestError::Pagination(_) => Some(Self::Pagination),
            RequestError::AsyncJob(_) => Some(Self::AsyncJob),
        }
    }
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

    /// Records a commit, which ends the streak of its dataset.
    pub(crate) fn record_commit(&self, dataset: &str) {
        if let Some(mut streak) = self.datasets.get_mut(dataset) {
            streak.kind = None;
            streak.failed.clear();
        }
    }

    /// Records a split, so that the pieces count as one shard.
    pub(crate) fn record_split(&self, shard: &Shard) {
        let mut streak = self.datasets.entry(shard.dataset.name.clone()).or_default();
        let planned = streak.planned(shard.interval);
        streak.split.insert(planned.from_ms(), planned);
    }

    /// Records a failure. Returns whether the dataset is to be given up.
    pub(crate) fn record_failure(&self, shard: &Shard, error: &RequestError) -> bool {
        let Some(kind) = FailureKind::of(error) else { return false };
        let mut streak = self.datasets.entry(shard.dataset.name.clone()).or_default();
        if streak.failed_earlier.iter().any(|earlier| earlier.overlaps(shard.interval)) {
            return false;
        }
        if streak.kind.as_ref() != Some(&kind) {
            streak.kind = Some(kind);
            streak.failed.clear();
        }
        let planned = streak.planned(shard.interval);
        streak.failed.insert(planned.from_ms());
        streak.failed.len() >= self.limit
    }
}

impl FailureStreak {
    /// The planned shard that `interval` is a piece of; `interval` itself if it is not a piece.
    fn planned(&self, interval: Interval) -> Interval {
        let (_, &candidate) =
            self.split.range(..=interval.from_ms()).next_back().unwrap_or((&0, &interval));
        if candidate.overlaps(interval) { candidate } else { interval }
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
        Shard { dataset: Arc::clone(dataset), interval, replaces: false, open_rows: None }
    }

    fn malformed() -> RequestError {
        RequestError::Malformed("html".into())
    }

    /// Records a failure of each shard of 100 ms from `first`, and says which gave the dataset up.
    fn fail(breaker: &CircuitBreaker, shards: &[i64], error: &RequestError) -> Vec<bool> {
        let fail = |n: &i64| breaker.record_failure(&shard(n * 100, (n + 1) * 100), error);
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
        breaker.record_commit("conversations");
        assert_eq!(fail(&breaker, &[5, 6, 7], &other), [false, false, true], "a commit between");
    }

    #[test]
    fn pieces_of_one_shard_count_once() {
        let breaker = CircuitBreaker::new(2);
        breaker.record_split(&shard(0, 100));
        breaker.record_split(&shard(0, 50));
        breaker.record_split(&shard(50, 100));
        for piece in [(0, 25), (25, 50), (50, 75), (75, 100), (0, 25)] {
            assert!(!breaker.record_failure(&shard(piece.0, piece.1), &malformed()), "{piece:?}");
        }
        assert!(breaker.record_failure(&shard(100, 200), &malformed()), "another shard");
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
        for excused in [refused(429), RequestError::NotYet("no data yet".to_owned())] {
            assert_eq!(fail(&breaker, &[1, 2, 3], &excused), [false; 3], "{excused}");
        }
        breaker.exclude("conversations", vec![Interval::new(0, 300).unwrap()]);
        assert_eq!(fail(&breaker, &[0, 1, 2], &malformed()), [false; 3]);
        assert_eq!(fail(&breaker, &[3, 4], &refused(500)), [false, true]);
    }
}
