//! How a run ended, for people and for programs.
//!
//! [`Summary`] is the run in numbers, [`RunOutcome`] says what they amount to and decides the exit
//! code. `cli` prints them.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    commands::{
        estimate::Estimate,
        gaps::{Gap, TimeSpan},
    },
    error::Error,
    exit_code::ExitCode,
    fetch::{FetchTotals, RunError},
    http::retry::Stop,
    ledger::CommittedTotals,
    telemetry::metrics::Metrics,
    time::{clock, interval::Interval},
};

/// A run in numbers. The names of the fields are the keys of `--summary json`.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Summary {
    /// Rows that the platform sent for committed shards.
    pub rows_received: u64,
    /// Rows in the new files.
    pub rows_written: u64,
    /// Rows that were left out because their time lies in another shard.
    pub rows_not_owned: u64,
    /// Rows that were left out because a newer copy of them was received.
    pub rows_duplicate: u64,
    /// Rows that could not be decoded and are kept as raw JSON.
    pub rows_quarantined: u64,
    /// Shards that were committed.
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
    /// Rows that the platform sent for committed shards.
    pub rows_received: u64,
    /// Rows in the new files.
    pub rows_written: u64,
    /// Rows that were left out because their time lies in another shard.
    pub rows_not_owned: u64,
    /// Rows that were left out because a newer copy of them was received.
    pub rows_duplicate: u64,
    /// Rows that could not be decoded and are kept as raw JSON.
    pub rows_quarantined: u64,
    /// Shards that were committed.
    pub shards_committed: u64,
    /// Shards that failed or are not yet available.
    pub shards_failed: u64,
    /// Number of the new files.
    pub files: u64,
    /// Bytes of the new files.
    pub bytes_written: u64,
}

/// How a run ended. Decides the exit code.
#[derive(Debug)]
pub enum RunOutcome {
    /// Everything that was requested is committed.
    Complete,
    /// Some intervals are missing or doubtful, and nobody accepted that.
    Gaps(Vec<Gap>),
    /// The run was interrupted. The next run continues.
    Interrupted,
    /// The credentials or the permissions are not sufficient.
    Denied(String),
    /// Any other error ended the run.
    Fatal(String),
    /// The run could not start.
    NotStarted(Error),
}

/// How a run ended, with its numbers.
#[derive(Debug)]
pub struct RunReport {
    /// How it ended.
    pub outcome: RunOutcome,
    /// The numbers of this run.
    pub summary: Summary,
    /// The numbers of each dataset of the job.
    pub datasets: Vec<DatasetSummary>,
    /// The requested interval. `None` if the configuration is not valid.
    pub interval: Option<Interval>,
    /// When the program started.
    pub started: Timestamp,
    /// When the run ended.
    pub ended: Timestamp,
    /// Everything of the requested interval that is missing or doubtful, accepted gaps included.
    pub gaps: Vec<Gap>,
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
            shards_committed: shards,
            shards_failed: failed.filter(|failure| failure.dataset == name).count() as u64,
            files,
            bytes_written: bytes,
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

/// What `--summary json` prints of one run.
#[derive(Serialize)]
struct ReportJson<'r> {
    /// The name of the exit code: see [`ExitCode::name`].
    outcome: &'static str,
    /// Why the run did not get to its end. `None` if it did, with or without gaps.
    error: Option<String>,
    interval: Option<TimeSpan>,
    started: String,
    ended: String,
    #[serde(flatten)]
    summary: &'r Summary,
    datasets: &'r [DatasetSummary],
    gaps: &'r [Gap],
}

/// What `--summary json` prints of several sources: each run by its name, and the totals.
#[derive(Serialize)]
struct SourcesJson<'r> {
    outcome: &'static str,
    started: String,
    ended: String,
    #[serde(flatten)]
    total: Summary,
    sources: BTreeMap<&'r str, ReportJson<'r>>,
}

impl RunReport {
    /// The report of a run that could not start.
    pub(crate) fn not_started(
        error: Error,
        interval: Option<Interval>,
        started: Timestamp,
    ) -> Self {
        Self {
            outcome: RunOutcome::NotStarted(error),
            summary: Summary::default(),
            datasets: Vec::new(),
            interval,
            started,
            ended: clock::now(),
            gaps: Vec::new(),
        }
    }

    /// The report as one JSON object.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.to_json()).unwrap_or_default()
    }

    fn to_json(&self) -> ReportJson<'_> {
        ReportJson {
            outcome: self.outcome.exit_code().name(),
            error: match &self.outcome {
                RunOutcome::Complete | RunOutcome::Gaps(_) => None,
                outcome => Some(outcome.to_string()),
            },
            interval: self.interval.map(TimeSpan::from),
            started: self.started.to_string(),
            ended: self.ended.to_string(),
            summary: &self.summary,
            datasets: &self.datasets,
            gaps: &self.gaps,
        }
    }

    /// Whether nothing was missing, so that the run sent no request.
    pub fn is_idle(&self) -> bool {
        matches!(self.outcome, RunOutcome::Complete) && self.summary.requests == 0
    }
}

/// The reports of several sources as one JSON object: each under its name in `sources`, beside them
/// the totals.
pub(crate) fn sources_json(reports: &[(Option<&str>, RunReport)]) -> String {
    let codes: Vec<_> = reports.iter().map(|(_, report)| report.outcome.exit_code()).collect();
    let started = reports.iter().map(|(_, report)| report.started).min();
    let ended = reports.iter().map(|(_, report)| report.ended).max();
    let text = |time: Option<Timestamp>| time.unwrap_or_default().to_string();
    let sources = reports.iter().map(|(name, report)| (name.unwrap_or_default(), report.to_json()));
    let json = SourcesJson {
        outcome: ExitCode::of_all(&codes).name(),
        started: text(started),
        ended: text(ended),
        total: Summary::total(reports.iter().map(|(_, report)| report.summary)),
        sources: sources.collect(),
    };
    serde_json::to_string(&json).unwrap_or_default()
}

impl RunOutcome {
    /// The outcome of a run that `error` ended, with what to do about it.
    pub fn from_error(error: &RunError) -> Self {
        let RunError::Stopped { stop, error: request_error } = error else {
            return match error {
                RunError::Interrupted => Self::Interrupted,
                other => Self::Fatal(other.to_string()),
            };
        };
        match stop {
            Stop::Credentials => Self::Denied(format!("{error}; {}", request_error.advice())),
            Stop::Quota => Self::Fatal(format!(
                "{error}; this pause is longer than retry.give_up_after: run again later, the run \
                 continues from here"
            )),
            Stop::Login => {
                Self::Fatal(format!("{error}; run again later, the run continues from here"))
            }
        }
    }

    /// The outcome of a run that got to its end with these open gaps.
    pub(crate) fn from_gaps(gaps: Vec<Gap>) -> Self {
        if gaps.is_empty() { Self::Complete } else { Self::Gaps(gaps) }
    }

    /// The outcome of a run whose credentials may not read the datasets `denied`, with the reasons.
    pub fn from_denied(denied: &BTreeMap<String, String>) -> Self {
        let reasons: Vec<_> =
            denied.iter().map(|(dataset, reason)| format!("{dataset}: {reason}")).collect();
        Self::Denied(reasons.join("; "))
    }

    /// The exit code of a run that ended like this.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Complete => ExitCode::Complete,
            Self::Gaps(_) => ExitCode::Gaps,
            Self::Denied(_) => ExitCode::Credentials,
            Self::Fatal(_) => ExitCode::Fatal,
            Self::Interrupted => ExitCode::Interrupted,
            Self::NotStarted(error) => error.exit_code(),
        }
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => write!(f, "complete"),
            Self::Interrupted => write!(f, "interrupted; run again to continue"),
            Self::Denied(reason) | Self::Fatal(reason) => write!(f, "{reason}"),
            Self::NotStarted(error) => write!(f, "{error}"),
            Self::Gaps(gaps) => {
                write!(
                    f,
                    "incomplete: {} gaps; `cxbackfill run` fetches failed and missing intervals \
                     again, `cxbackfill run --retry-failed` also doubtful ones, `cxbackfill accept` \
                     accepts what can never be fetched",
                    gaps.len()
                )?;
                for Gap { dataset, interval, cause, reason, .. } in gaps {
                    write!(f, "\n  {dataset} {interval}: {}: {reason}", cause.name())?;
                }
                Ok(())
            }
        }
    }
}

/// Processor seconds and peak memory in bytes of this process.
#[cfg(unix)]
fn process_usage() -> (f64, u64) {
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
fn process_usage() -> (f64, u64) {
    (0.0, 0)
}
