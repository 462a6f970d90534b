//! Counters of one run, for the summary, the progress bar and other observers.
//!
//! Nothing in the program reads them to decide something.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use crate::time::interval::Interval;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Returns the present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The number of things that are going on at present.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

/// Counts in a [`Gauge`] until it is dropped.
#[derive(Debug)]
pub(crate) struct GaugeGuard<'a>(&'a Gauge);

impl Gauge {
    /// Counts one more until the guard is dropped.
    pub(crate) fn enter(&self) -> GaugeGuard<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        GaugeGuard(self)
    }

    /// Returns the present value.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for GaugeGuard<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

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
    /// Shards that are being fetched.
    pub active_shards: Gauge,
}

impl Metrics {
    /// Counts data time that the run is to fetch.
    pub fn plan(&self, time: Duration) {
        self.planned_ms.add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    /// Counts an interval that was committed or failed.
    pub fn settle(&self, interval: Interval) {
        self.settled_ms.add(interval.to_ms().abs_diff(interval.from_ms()));
    }
}
