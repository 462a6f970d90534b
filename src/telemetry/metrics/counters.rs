//! Numbers that any thread may change: counters, gauges and a histogram of durations.

use std::{
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

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
        self.add();
        GaugeGuard(self)
    }

    /// Counts one more, until [`remove`](Self::remove).
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less.
    pub(super) fn remove(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the present value.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for GaugeGuard<'_> {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// The buckets of a [`Histogram`]: the last one has no upper bound.
const BUCKETS: usize = 76;

/// Buckets in which the bound doubles.
const BUCKETS_A_DOUBLING: usize = 4;

/// How often durations of which length occurred. The upper bounds of the buckets grow from one
/// millisecond by a factor of 2^(1/4), so a percentile is off by less than a fifth of itself.
pub(crate) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    total_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), total_us: AtomicU64::new(0) }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.counts().len()).finish()
    }
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn record(&self, duration: Duration) {
        let ms = duration.as_secs_f64() * 1e3;
        let bucket = (ms.max(1.0).log2() * BUCKETS_A_DOUBLING as f64).ceil() as usize;
        self.counts[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.total_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> DurationCounts {
        DurationCounts(self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }

    /// The sum of all durations in seconds.
    pub(crate) fn total_s(&self) -> f64 {
        self.total_us.load(Ordering::Relaxed) as f64 / 1e6
    }
}

/// The counts of a [`Histogram`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationCounts([u64; BUCKETS]);

impl Default for DurationCounts {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl DurationCounts {
    /// The number of durations.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What was counted after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|bucket| self.0[bucket].saturating_sub(earlier.0[bucket])))
    }

    /// The duration, in milliseconds, that a share of all durations does not exceed, interpolated
    /// within its bucket. `None` if there are none.
    pub(crate) fn percentile_ms(&self, share: f64) -> Option<f64> {
        let wanted = share * self.len() as f64;
        let mut before = 0.0;
        for (bucket, &count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = count as f64;
            if before + count >= wanted {
                let lower = if bucket == 0 { 0.0 } else { bound_ms(bucket - 1) };
                let part = ((wanted - before) / count).clamp(0.0, 1.0);
                return Some(lower + (bound_ms(bucket) - lower) * part);
            }
            before += count;
        }
        None
    }

    /// Upper bounds in seconds that double from one to the next, each with the number of durations
    /// up to it.
    pub(crate) fn cumulative(&self) -> Vec<(f64, u64)> {
        let mut total = 0;
        let mut cumulative = Vec::new();
        for (bucket, count) in self.0.iter().enumerate().take(BUCKETS - 1) {
            total += count;
            if bucket % BUCKETS_A_DOUBLING == 0 {
                cumulative.push((bound_ms(bucket) / 1e3, total));
            }
        }
        cumulative
    }
}

/// The upper bound of a bucket in milliseconds.
fn bound_ms(bucket: usize) -> f64 {
    (bucket as f64 / BUCKETS_A_DOUBLING as f64).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_off_by_less_than_a_fifth() {
        let histogram = Histogram::default();
        for ms in 1..=1_000 {
            histogram.record(Duration::from_millis(ms));
        }
        let counts = histogram.counts();
        for (share, expected) in [(0.5, 500.0), (0.95, 950.0), (1.0, 1_000.0)] {
            let found = counts.percentile_ms(share).unwrap();
            assert!((found / expected - 1.0_f64).abs() < 0.2, "{share}: {found}");
        }
        assert_eq!((counts.len(), histogram.total_s()), (1_000, 500.5));
        assert_eq!(DurationCounts::default().percentile_ms(0.5), None);
    }

    #[test]
    fn durations_of_any_length_are_counted() {
        let histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX / 2);
        assert_eq!(histogram.counts().len(), 2);
        let (bound, up_to) = *histogram.counts().cumulative().last().unwrap();
        assert!(bound > 200.0 && up_to == 1, "{bound} {up_to}");
    }
}
