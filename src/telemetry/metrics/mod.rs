//! What a run counts and what it is doing: for the summary, the progress bar, the dashboard, the
//! report and Prometheus.
//!
//! Nothing in the program reads them to decide something. There is one function for each event;
//! [`Metrics::snapshot`] says everything at one moment, and [`Metrics::sample`] is called once a
//! second to keep the course of the run.

mod activity;
mod counters;
mod dataset;
mod observe;
pub(crate) mod prometheus;
mod series;
mod snapshot;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use http::StatusCode;
use jiff::Timestamp;
use tokio::time::Instant;

use self::counters::{Counter, Gauge};
use self::{
    activity::Waits,
    counters::{DurationCounts, GaugeGuard, Histogram},
    series::SampleSeries,
};
pub(crate) use self::{
    activity::{Wait, WaitGuard},
    dataset::{DatasetMetrics, FetchingGuard, GivenUp},
    snapshot::{DatasetMetricsSnapshot, LimitUse, MetricsSnapshot, Pause, Sample, Span, TokenLife},
};
use crate::time::{clock, interval::Interval};

/// The most tokens and pauses that are remembered; the newest are (G8).
const MOST_MARKS: usize = 1_000;

/// Counts of one run. Received rows and bytes include those of attempts that failed.
#[derive(Debug, Default)]
pub struct Metrics {
    /// API requests sent, retries included.
    pub requests: Counter,
    /// Requests that were sent again after an error.
    pub retries: Counter,
    /// Responses that asked the program to slow down.
    pub rate_limited: Counter,
    /// Token requests sent.
    pub token_requests: Counter,
    /// Bytes of response bodies, decompressed.
    pub bytes_received: Counter,
    /// Rows received.
    pub rows: Counter,
    /// Shards bisected.
    pub shards_split: Counter,
    /// The time that the run is to fetch, in milliseconds of data time, summed over datasets. 0
    /// until the plan is made.
    pub planned_ms: Counter,
    /// The time that is committed or failed, in milliseconds of data time.
    pub settled_ms: Counter,
    /// The time of datasets that were given up, in milliseconds of data time: it is not fetched.
    given_up_ms: Counter,
    /// Shards that are being fetched.
    pub active_shards: Gauge,
    /// Requests that are sent and not answered.
    pub in_flight: Gauge,
    /// The time from a request to its response.
    latency: Histogram,
    /// Requests that the estimate expects. 0 if that is not known.
    requests_expected: Counter,
    datasets: Mutex<BTreeMap<Arc<str>, Arc<DatasetMetrics>>>,
    /// Requests that belong to no dataset.
    others: Arc<DatasetMetrics>,
    waits: Waits,
    history: Mutex<History>,
    limits: OnceLock<LimitView>,
    /// When the plan was made.
    planned: OnceLock<Instant>,
}

/// What happened so far.
#[derive(Debug, Default)]
struct History {
    tokens: VecDeque<(Timestamp, Option<Timestamp>)>,
    pauses: VecDeque<PauseRecord>,
    retry_reasons: BTreeMap<&'static str, u64>,
    samples: SampleSeries,
    /// The counts at the last sample.
    sampled: Option<(Timestamp, Sample, DurationCounts)>,
    /// What the run was doing, without numbers, and since when.
    state: Option<(String, Timestamp)>,
}

#[derive(Debug)]
struct PauseRecord {
    from: Timestamp,
    to: Timestamp,
    /// `None` if all datasets pause.
    dataset: Option<Arc<str>>,
    reason: String,
}

/// Asks the rate limiter how much of its limits is used.
struct LimitView(Box<dyn Fn() -> Vec<LimitUse> + Send + Sync>);

/// A request that is sent, until it is dropped.
pub(crate) struct RequestInFlight<'a> {
    metrics: &'a Metrics,
    dataset: Arc<DatasetMetrics>,
    sent: Instant,
    _in_flight: GaugeGuard<'a>,
}

impl Metrics {
    /// Records the shards of the plan and how many requests the estimate expects. `None` if that is
    /// not known.
    pub(crate) fn plan<'s>(
        &self,
        shards: impl Iterator<Item = (&'s str, Interval)>,
        requests_expected: Option<u64>,
    ) {
        for (dataset, interval) in shards {
            let width = width_ms(interval);
            self.planned_ms.add(width);
            let dataset = self.dataset(dataset);
            dataset.planned_ms.add(width);
            dataset.shards_planned.add(1);
        }
        self.requests_expected.add(requests_expected.unwrap_or_default());
        let _ = self.planned.set(Instant::now());
    }

    /// The metrics of a dataset.
    pub(crate) fn dataset(&self, name: &str) -> Arc<DatasetMetrics> {
        let mut datasets = lock(&self.datasets);
        if let Some(dataset) = datasets.get(name) {
            return Arc::clone(dataset);
        }
        let dataset = Arc::new(DatasetMetrics::new(name));
        datasets.insert(Arc::clone(&dataset.name), Arc::clone(&dataset));
        dataset
    }

    /// All datasets, in order of their names.
    pub(crate) fn datasets(&self) -> Vec<Arc<DatasetMetrics>> {
        lock(&self.datasets).values().cloned().collect()
    }

    /// Records that a shard is being fetched, until the guard is dropped.
    pub(crate) fn fetch_shard(&self, dataset: &str, interval: Interval) -> FetchingGuard {
        self.dataset(dataset).fetch(interval)
    }

    /// Counts a part of a shard that was committed.
    pub(crate) fn commit_part(&self, dataset: &str, interval: Interval) {
        let dataset = self.dataset(dataset);
        dataset.settled_ms.add(width_ms(interval));
        // what is left of a dataset that was given up is no part of the plan any more
        if !dataset.is_given_up() {
            self.settled_ms.add(width_ms(interval));
        }
    }

    /// Records that no more of a dataset is fetched in this run, and why.
    pub(crate) fn give_up(&self, dataset: &str, why: GivenUp) {
        self.given_up_ms.add(self.dataset(dataset).give_up(why));
    }

    /// Counts a shard that was committed.
    pub(crate) fn settle(&self, dataset: &str, interval: Interval) {
        self.commit_part(dataset, interval);
        self.dataset(dataset).shards_done.add(1);
    }

    /// Counts a shard that failed.
    pub(crate) fn fail(&self, dataset: &str, interval: Interval) {
        self.settle(dataset, interval);
        self.dataset(dataset).shards_failed.add(1);
    }

    /// Counts a shard that was bisected.
    pub(crate) fn split(&self, dataset: &str) {
        self.shards_split.add(1);
        self.dataset(dataset).shards_planned.add(1);
    }

    /// Counts a part of a shard that became a shard of its own.
    pub(crate) fn split_off(&self, dataset: &str) {
        self.dataset(dataset).shards_planned.add(1);
    }

    /// Counts rows that were received.
    pub(crate) fn receive_rows(&self, dataset: &str, rows: u64) {
        self.rows.add(rows);
        self.dataset(dataset).rows.add(rows);
    }

    /// Counts a request that is sent. `None` for the dataset means that it belongs to none.
    pub(crate) fn send_request(&self, dataset: Option<Arc<DatasetMetrics>>) -> RequestInFlight<'_> {
        self.requests.add(1);
        let dataset = dataset.unwrap_or_else(|| Arc::clone(&self.others));
        dataset.requests.add(1);
        dataset.in_flight.add();
        let _in_flight = self.in_flight.enter();
        RequestInFlight { metrics: self, dataset, sent: Instant::now(), _in_flight }
    }

    /// Counts a request that is sent again, and why.
    pub(crate) fn retry(&self, reason: &'static str) {
        self.retries.add(1);
        *self.history().retry_reasons.entry(reason).or_default() += 1;
    }

    /// The requests that were sent again, by reason.
    pub(crate) fn retry_reasons(&self) -> BTreeMap<&'static str, u64> {
        self.history().retry_reasons.clone()
    }

    /// Records that the server demands a pause. `None` for the dataset means that all pause.
    pub(crate) fn throttle(&self, dataset: Option<Arc<str>>, pause: Duration, reason: &str) {
        self.rate_limited.add(1);
        let from = clock::now();
        let to = later(from, pause);
        let mut history = self.history();
        match history.pauses.back_mut() {
            // the requests in flight are all told the same
            Some(last) if last.to >= from && last.dataset == dataset => {
                last.to = last.to.max(to);
            }
            _ => push(
                &mut history.pauses,
                PauseRecord { from, to, dataset, reason: reason.to_owned() },
            ),
        }
    }

    /// Records a new token. `None` if the server does not say how long it lives.
    pub(crate) fn token_issued(&self, lifetime: Option<Duration>) {
        let issued = clock::now();
        let expires = lifetime.map(|lifetime| later(issued, lifetime));
        push(&mut self.history().tokens, (issued, expires));
    }

    /// Records that a fetcher waits, until the guard is dropped. `None` for the dataset means that
    /// all wait.
    pub(crate) fn wait(&self, dataset: Option<Arc<str>>, wait: Wait) -> WaitGuard<'_> {
        self.waits.begin(dataset, wait)
    }

    /// Sets how to ask the rate limiter for its limits and their use. A second call does nothing.
    pub(crate) fn set_limit_view(&self, view: impl Fn() -> Vec<LimitUse> + Send + Sync + 'static) {
        let _ = self.limits.set(LimitView(Box::new(view)));
    }

    /// The rate limits and how much of them is used.
    pub(crate) fn limits(&self) -> Vec<LimitUse> {
        self.limits.get().map_or(Vec::new(), |LimitView(view)| view())
    }

    /// The time from a request to its response, as counts with upper bounds in seconds, and the
    /// sum.
    pub(crate) fn latency(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let counts = self.latency.counts();
        (counts.cumulative(), counts.len(), self.latency.total_s())
    }

    fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }
}

impl RequestInFlight<'_> {
    /// Counts the response. `None` for the status if there was none.
    pub(crate) fn answered(self, status: Option<StatusCode>) {
        if status.is_some() {
            self.metrics.latency.record(self.sent.elapsed());
        }
        self.dataset.count_answer(status);
    }
}

impl Drop for RequestInFlight<'_> {
    fn drop(&mut self) {
        self.dataset.in_flight.remove();
    }
}

/// Adds the newest mark, and forgets the oldest if there are too many.
fn push<T>(marks: &mut VecDeque<T>, mark: T) {
    if marks.len() >= MOST_MARKS {
        marks.pop_front();
    }
    marks.push_back(mark);
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn width_ms(interval: Interval) -> u64 {
    interval.to_ms().abs_diff(interval.from_ms())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for LimitView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LimitView")
    }
}

#[cfg(test)]
mod tests;
