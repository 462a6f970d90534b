//! The numbers of a run and of its datasets.

use std::time::Duration;

use serde::Serialize;

use crate::{
    commands::estimate::Estimate, fetch::FetchTotals, ledger::CommittedTotals,
    telemetry::metrics::Metrics,
};

/// A run in numbers. The names of the fields are the keys of `--summary json`.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Summary {
    /// Rows that the platform sent for committed shards. Where it was asked for single rows by
    /// their ids, the rows of the older files that were written once more are counted, too.
    pub rows_received: u64,
    /// Rows in the new files.
    pub rows_written: u64,
    /// Rows that were left out because their time lies in another shard.
    pub rows_not_owned: u64,
    /// Rows that were left out because a newer copy of them was received.
    pub rows_duplicate: u64,
    /// Rows that could not be decoded and are kept as raw JSON.
    pub rows_quarantined: u64,
    /// Rows that were left out because their ids were forgotten.
    pub rows_forgotten: u64,
    /// Intervals that the run added to the ledger, each at most a UTC day wide, however wide the
    /// shards were. What a run fetched again in vain, because the rest of its replacement failed,
    /// does not count.
    pub shards_committed: u64,
    /// Shards that were bisected.
    pub shards_split: u64,
    /// Shards that failed or are not yet available.
    pub shards_failed: u64,
    /// Committed shards of which the platform counts more rows than it sent.
    #[serde(rename = "shards_short")]
    pub shards_with_count_mismatch: u64,
    /// Rows that the estimate before the run expected. `None` if the number was not known.
    pub rows_expected: Option<u64>,
    /// API requests that were sent, retries included.
    pub requests: u64,
    /// Requests that the estimate before the run expected. `None` if the number was not known.
    pub requests_expected: Option<u64>,
    /// Requests that repeated a failed one.
    pub retries: u64,
    /// Responses that told the program to slow down.
    pub rate_limited: u64,
    /// Token requests that were sent.
    pub token_requests: u64,
    /// Bytes of response bodies, decompressed.
    pub bytes_received: u64,
    /// Bytes of the new files.
    pub bytes_written: u64,
    /// Number of the new files.
    pub files: u64,
    /// Wall time of the run, in seconds.
    pub elapsed_s: f64,
    /// Processor time of the process, in seconds; 0 where the operating system does not report it.
    pub cpu_s: f64,
    /// Peak memory of the process, in bytes; 0 where the operating system does not report it.
    pub peak_rss_bytes: u64,
}

/// What a run did with one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetSummary {
    /// Name of the dataset.
    pub dataset: String,
    /// Rows that the platform sent for committed shards. Where it was asked for single rows by
    /// their ids, the rows of the older files that were written once more are counted, too.
    pub rows_received: u64,
    /// Rows in the new files.
    pub rows_written: u64,
    /// Rows that were left out because their time lies in another shard.
    pub rows_not_owned: u64,
    /// Rows that were left out because a newer copy of them was received.
    pub rows_duplicate: u64,
    /// Rows that could not be decoded and are kept as raw JSON.
    pub rows_quarantined: u64,
    /// Rows that were left out because their ids were forgotten.
    pub rows_forgotten: u64,
    /// Intervals that the run added to the ledger, each at most a UTC day wide.
    pub shards_committed: u64,
    /// Shards that failed or are not yet available.
    pub shards_failed: u64,
    /// Number of the new files.
    pub files: u64,
    /// Bytes of the new files.
    pub bytes_written: u64,
    /// What the platform answers and what is missing, if the credentials may not read the dataset.
    /// `None` if they may, as far as is known.
    pub denied: Option<String>,
}

impl DatasetSummary {
    /// The numbers of a dataset of a run.
    pub(crate) fn new(name: &str, totals: &FetchTotals) -> Self {
        let CommittedTotals { counts, shards, files, bytes } =
            totals.datasets.get(name).map(|totals| totals.committed).unwrap_or_default();
        let failed = totals.failed.iter().chain(&totals.not_yet_available);
        Self {
            dataset: name.to_owned(),
            rows_received: counts.received,
            rows_written: counts.written,
            rows_not_owned: counts.not_owned,
            rows_duplicate: counts.duplicate,
            rows_quarantined: counts.quarantined,
            rows_forgotten: counts.forgotten,
            shards_committed: shards,
            shards_failed: failed.filter(|failure| failure.dataset == name).count() as u64,
            files,
            bytes_written: bytes,
            denied: totals.denied.get(name).cloned(),
        }
    }
}

impl Summary {
    /// Sums up what the fetchers and the metrics counted.
    pub fn new(totals: &FetchTotals, metrics: &Metrics, elapsed: Duration) -> Self {
        let (cpu_s, peak_rss_bytes) = process_usage();
        let committed = totals.committed();
        let counts = committed.counts;
        Self {
            rows_received: counts.received,
            rows_written: counts.written,
            rows_not_owned: counts.not_owned,
            rows_duplicate: counts.duplicate,
            rows_quarantined: counts.quarantined,
            rows_forgotten: counts.forgotten,
            shards_committed: committed.shards,
            shards_split: metrics.shards_split.get(),
            shards_failed: (totals.failed.len() + totals.not_yet_available.len()) as u64,
            shards_with_count_mismatch: totals.count_mismatches(),
            rows_expected: None,
            requests: metrics.requests.get(),
            requests_expected: None,
            retries: metrics.retries.get(),
            rate_limited: metrics.rate_limited.get(),
            token_requests: metrics.token_requests.get(),
            bytes_received: metrics.bytes_received.get(),
            bytes_written: committed.bytes,
            files: committed.files,
            elapsed_s: elapsed.as_secs_f64(),
            cpu_s,
            peak_rss_bytes,
        }
    }

    /// Adds what the estimate of each dataset expected.
    pub fn set_expected<'a>(&mut self, estimates: impl Iterator<Item = &'a Estimate> + Clone) {
        self.rows_expected = estimates.clone().map(|estimate| estimate.rows).sum();
        self.requests_expected = estimates.map(|estimate| estimate.requests).sum();
    }

    /// The numbers of several runs that ran side by side in this process.
    pub fn total(runs: impl Iterator<Item = Self>) -> Self {
        let zero = Self { rows_expected: Some(0), requests_expected: Some(0), ..Self::default() };
        runs.fold(zero, |a, b| Self {
            rows_received: a.rows_received + b.rows_received,
            rows_written: a.rows_written + b.rows_written,
            rows_not_owned: a.rows_not_owned + b.rows_not_owned,
            rows_duplicate: a.rows_duplicate + b.rows_duplicate,
            rows_quarantined: a.rows_quarantined + b.rows_quarantined,
            rows_forgotten: a.rows_forgotten + b.rows_forgotten,
            shards_committed: a.shards_committed + b.shards_committed,
            shards_split: a.shards_split + b.shards_split,
            shards_failed: a.shards_failed + b.shards_failed,
            shards_with_count_mismatch: a.shards_with_count_mismatch + b.shards_with_count_mismatch,
            rows_expected: a.rows_expected.zip(b.rows_expected).map(|(a, b)| a + b),
            requests: a.requests + b.requests,
            requests_expected: a.requests_expected.zip(b.requests_expected).map(|(a, b)| a + b),
            retries: a.retries + b.retries,
            rate_limited: a.rate_limited + b.rate_limited,
            token_requests: a.token_requests + b.token_requests,
            bytes_received: a.bytes_received + b.bytes_received,
            bytes_written: a.bytes_written + b.bytes_written,
            files: a.files + b.files,
            // the runs share their time and their process
            elapsed_s: a.elapsed_s.max(b.elapsed_s),
            cpu_s: a.cpu_s.max(b.cpu_s),
            peak_rss_bytes: a.peak_rss_bytes.max(b.peak_rss_bytes),
        })
    }
}

/// Processor seconds and peak memory in bytes of this process.
#[cfg(unix)]
pub(crate) fn process_usage() -> (f64, u64) {
    use nix::sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike,
    };
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (0.0, 0) };
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    let unit = if cfg!(target_os = "macos") { 1 } else { 1_024 };
    let max_rss = u64::try_from(usage.max_rss()).unwrap_or(0) * unit;
    (micros as f64 / 1e6, high_water_mark().unwrap_or(max_rss))
}

/// Peak memory in bytes as Linux counts it for this program alone. `ru_maxrss` may be that of the
/// process that started it: a child keeps the peak of its parent until it has passed it.
#[cfg(unix)]
fn high_water_mark() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(not(unix))]
pub(crate) fn process_usage() -> (f64, u64) {
    (0.0, 0)
}
