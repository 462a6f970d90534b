//! The metrics of one dataset.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use http::StatusCode;

use crate::{
    telemetry::metrics::{Counter, DatasetMetricsSnapshot, Gauge, Span},
    time::interval::{Interval, iso},
};

/// What requests are told apart by: the class of their status, throttles, and no response.
pub(crate) const STATUS_CLASSES: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "429", "5xx", "none"];

/// The metrics of one dataset.
#[derive(Debug, Default)]
pub(crate) struct DatasetMetrics {
    pub name: Arc<str>,
    /// Rows received, those of attempts that failed included.
    pub rows: Counter,
    /// API requests that ended, by their [`STATUS_CLASSES`].
    answers: [Counter; STATUS_CLASSES.len()],
    /// API requests sent, retries included.
    pub requests: Counter,
    /// Requests that are sent and not answered.
    pub in_flight: Gauge,
    /// Shards of the plan, with those that were split off since.
    pub shards_planned: Counter,
    /// Shards that were committed or failed.
    pub shards_done: Counter,
    /// Those of them that failed.
    pub shards_failed: Counter,
    /// Planned time in milliseconds of data time.
    pub planned_ms: Counter,
    /// The part of it that is committed or failed.
    pub settled_ms: Counter,
    fetching: Mutex<Fetching>,
    /// Why no more of it is fetched in this run. Not set as long as it is fetched.
    given_up: OnceLock<GivenUp>,
}

/// Why no more of a dataset is fetched in a run.
#[derive(Debug)]
pub(crate) enum GivenUp {
    /// The credentials may not read it: what the platform answers, and what is missing.
    Denied(String),
    /// Every other shard of it would fail, too.
    Failing,
}

#[derive(Debug, Default)]
struct Fetching {
    last: u64,
    shards: BTreeMap<u64, Interval>,
}

/// A shard is being fetched until this is dropped.
pub(crate) struct FetchingGuard {
    dataset: Arc<DatasetMetrics>,
    number: u64,
}

impl DatasetMetrics {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Counts a request that ended, by the status of its response. `None` if there was none.
    pub(super) fn count_answer(&self, status: Option<StatusCode>) {
        let class = match status {
            None => "none",
            Some(StatusCode::TOO_MANY_REQUESTS) => "429",
            Some(status) => match status.as_u16() / 100 {
                1 => "1xx",
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                _ => "5xx",
            },
        };
        if let Some(index) = STATUS_CLASSES.iter().position(|known| *known == class) {
            self.answers[index].add(1);
        }
    }

    /// The requests that ended, by their [`STATUS_CLASSES`].
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        STATUS_CLASSES.into_iter().zip(self.answers.iter().map(Counter::get))
    }

    /// Records that a shard is being fetched, until the guard is dropped.
    pub(super) fn fetch(self: Arc<Self>, interval: Interval) -> FetchingGuard {
        let mut fetching = self.fetching();
        fetching.last += 1;
        let number = fetching.last;
        fetching.shards.insert(number, interval);
        drop(fetching);
        FetchingGuard { dataset: self, number }
    }

    /// The shards that are being fetched.
    pub(crate) fn active_shards(&self) -> usize {
        self.fetching().shards.len()
    }

    /// The part of the planned time that is committed or failed, from 0 to 1.
    pub(super) fn share(&self) -> f64 {
        share(self.settled_ms.get(), self.planned_ms.get())
    }

    /// Whether nothing more of it is to be fetched in this run.
    pub(super) fn is_done(&self) -> bool {
        self.is_given_up() || self.share() >= 1.0
    }

    /// Records that no more of it is fetched. Returns the planned time that is left, in
    /// milliseconds; 0 if that was recorded before.
    pub(super) fn give_up(&self, why: GivenUp) -> u64 {
        match self.given_up.set(why) {
            Ok(()) => self.planned_ms.get().saturating_sub(self.settled_ms.get()),
            Err(_) => 0,
        }
    }

    /// Whether no more of it is fetched in this run.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.get().is_some()
    }

    pub(super) fn snapshot(&self, words: String) -> DatasetMetricsSnapshot {
        let span =
            |interval: &Interval| Span { from: iso(interval.from_ms()), to: iso(interval.to_ms()) };
        let (words, denied) = match self.given_up.get() {
            None => (words, None),
            Some(GivenUp::Denied(reason)) => ("denied".to_owned(), Some(reason.clone())),
            Some(GivenUp::Failing) => ("given up".to_owned(), None),
        };
        DatasetMetricsSnapshot {
            words,
            denied,
            rows: self.rows.get(),
            requests: self.requests.get(),
            shards_planned: self.shards_planned.get(),
            shards_done: self.shards_done.get(),
            shards_failed: self.shards_failed.get(),
            share: self.share(),
            fetching: self.fetching().shards.values().map(span).collect(),
        }
    }

    fn fetching(&self) -> MutexGuard<'_, Fetching> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FetchingGuard {
    /// Records that less of the shard is left, or another part.
    pub(crate) fn narrow(&self, interval: Interval) {
        self.dataset.fetching().shards.insert(self.number, interval);
    }
}

impl Drop for FetchingGuard {
    fn drop(&mut self) {
        self.dataset.fetching().shards.remove(&self.number);
    }
}

/// `part` of `whole`, from 0 to 1.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) }
}
