//! How a run ended, for people and for programs.

use std::{collections::BTreeMap, fmt, time::Duration};

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::{
    commands::estimate::Estimate,
    exit_code::ExitCode,
    fetch::{FetchTotals, RunError},
    http::retry::Stop,
    ledger::Failure,
    telemetry::metrics::Metrics,
};

/// A run in numbers: `--summary json` prints this object.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Summary {
    /// Rows that the platform sent for committed shards.
    pub rows_received: u64,
    /// Rows in the new files.
    pub rows_written: u64,
    /// Rows that another shard owns.
    pub rows_not_owned: u64,
    /// Copies that a newer copy of the row replaced.
    pub rows_duplicate: u64,
    /// Rows kept as raw JSON, since they cannot be decoded.
    pub rows_quarantined: u64,
    /// Shards committed.
    pub shards_committed: u64,
    /// Shards bisected.
    pub shards_split: u64,
    /// Shards set aside.
    pub shards_failed: u64,
    /// Shards committed of which the platform counts more rows than it gave, twice: see the ledger's
    /// table `short`.
    pub shards_short: u64,
    /// Rows that `plan` would have said: null where nobody knew.
    pub rows_expected: Option<u64>,
    /// API requests sent.
    pub requests: u64,
    /// Requests that `plan` would have said: null where nobody knew.
    pub requests_expected: Option<u64>,
    /// Those of them that repeated a failed one.
    pub retries: u64,
    /// Replies that said to slow down.
    pub rate_limited: u64,
    /// Token requests sent.
    pub token_requests: u64,
    /// Bytes of reply bodies, decompressed.
    pub bytes_received: u64,
    /// Bytes of the new files.
    pub bytes_written: u64,
    /// The new files.
    pub files: u64,
    /// From start to end, in seconds.
    pub elapsed_s: f64,
    /// Processor time of the process, in seconds; 0 where the system does not tell.
    pub cpu_s: f64,
    /// The most memory that the process held; 0 where the system does not tell.
    pub peak_rss_bytes: u64,
}

/// How gaps are filled.
const ADVICE: &str = "`run --retry-failed` takes up what was set aside, and `run` the rest";

/// How a run ended. The exit code follows from it.
#[derive(Debug)]
pub enum RunOutcome {
    /// Everything that was asked for is committed.
    Complete,
    /// Some shards were set aside, in this run or an earlier one.
    Gaps(Vec<Failure>),
    /// It was told to end; the next run goes on from here.
    Interrupted,
    /// Credentials or permissions do not do.
    Denied(String),
    /// Nothing else could be done.
    Fatal(String),
}

/// How a run ended, and its numbers.
#[derive(Debug)]
pub struct RunReport {
    /// The numbers of this run.
    pub summary: Summary,
    /// How it ended.
    pub outcome: RunOutcome,
}

impl Summary {
    /// The numbers of a run.
    pub fn new(totals: &FetchTotals, metrics: &Metrics, elapsed: Duration) -> Self {
        let (cpu_s, peak_rss_bytes) = usage();
        let counts = totals.counts;
        Self {
            rows_received: totals.received,
            rows_written: counts.written,
            rows_not_owned: counts.not_owned,
            rows_duplicate: counts.duplicate,
            rows_quarantined: counts.quarantined,
            shards_committed: totals.committed,
            shards_split: metrics.shards_split.get(),
            shards_failed: totals.failed.len() as u64,
            shards_short: totals.short,
            rows_expected: None,
            requests: metrics.requests.get(),
            requests_expected: None,
            retries: metrics.retries.get(),
            rate_limited: metrics.rate_limited.get(),
            token_requests: metrics.token_requests.get(),
            bytes_received: metrics.bytes_received.get(),
            bytes_written: totals.bytes_written,
            files: totals.files,
            elapsed_s: elapsed.as_secs_f64(),
            cpu_s,
            peak_rss_bytes,
        }
    }

    /// Takes note of what was expected, for those who want to hold it against the outcome.
    pub fn compare<'a>(&mut self, expected: impl Iterator<Item = &'a Estimate> + Clone) {
        self.rows_expected = expected.clone().map(|estimate| estimate.rows).sum();
        self.requests_expected = expected.map(|estimate| estimate.requests).sum();
    }

    /// The numbers of several runs of one process side by side.
    pub fn total(runs: impl Iterator<Item = Self>) -> Self {
        let none = Self { rows_expected: Some(0), requests_expected: Some(0), ..Self::default() };
        runs.fold(none, |a, b| Self {
            rows_received: a.rows_received + b.rows_received,
            rows_written: a.rows_written + b.rows_written,
            rows_not_owned: a.rows_not_owned + b.rows_not_owned,
            rows_duplicate: a.rows_duplicate + b.rows_duplicate,
            rows_quarantined: a.rows_quarantined + b.rows_quarantined,
            shards_committed: a.shards_committed + b.shards_committed,
            shards_split: a.shards_split + b.shards_split,
            shards_failed: a.shards_failed + b.shards_failed,
            shards_short: a.shards_short + b.shards_short,
            rows_expected: a.rows_expected.zip(b.rows_expected).map(|(a, b)| a + b),
            requests: a.requests + b.requests,
            requests_expected: a.requests_expected.zip(b.requests_expected).map(|(a, b)| a + b),
            retries: a.retries + b.retries,
            rate_limited: a.rate_limited + b.rate_limited,
            token_requests: a.token_requests + b.token_requests,
            bytes_received: a.bytes_received + b.bytes_received,
            bytes_written: a.bytes_written + b.bytes_written,
            files: a.files + b.files,
            // they ran at the same time, in the same process
            elapsed_s: a.elapsed_s.max(b.elapsed_s),
            cpu_s: a.cpu_s.max(b.cpu_s),
            peak_rss_bytes: a.peak_rss_bytes.max(b.peak_rss_bytes),
        })
    }

    /// The numbers as one JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The numbers of several sources as one JSON object: each under its name in `sources`, beside them
/// the total.
pub(crate) fn json<'a>(
    sources: impl Iterator<Item = (&'a str, Summary)>,
    total: &Summary,
) -> String {
    #[derive(Serialize)]
    struct All<'a> {
        sources: BTreeMap<&'a str, Summary>,
        #[serde(flatten)]
        total: &'a Summary,
    }
    serde_json::to_string(&All { sources: sources.collect(), total }).unwrap_or_default()
}

impl RunReport {
    /// Whether there was nothing to do.
    pub fn is_idle(&self) -> bool {
        matches!(self.outcome, RunOutcome::Complete) && self.summary.requests == 0
    }
}

impl RunOutcome {
    /// What a halt means for the run, with what to do about it.
    pub fn from_halt(run_error: &RunError) -> Self {
        let RunError::Stopped { stop, fault } = run_error else {
            return match run_error {
                RunError::Interrupted => Self::Interrupted,
                other => Self::Fatal(other.to_string()),
            };
        };
        match stop {
            Stop::Credentials => Self::Denied(format!("{run_error}; {}", fault.advice())),
            Stop::Quota => Self::Fatal(format!(
                "{run_error}; that is longer than retry.give_up_after: run again later, it goes on from here"
            )),
            Stop::Login => {
                Self::Fatal(format!("{run_error}; run again later, it goes on from here"))
            }
        }
    }

    /// What it means that datasets may not be read.
    pub fn denied(denied: &BTreeMap<String, String>) -> Self {
        let datasets: Vec<_> =
            denied.iter().map(|(dataset, reason)| format!("{dataset}: {reason}")).collect();
        Self::Denied(datasets.join("; "))
    }

    /// The exit code: part of the outside of the program.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Complete => ExitCode::Complete,
            Self::Gaps(_) => ExitCode::Gaps,
            Self::Denied(_) => ExitCode::Credentials,
            Self::Fatal(_) => ExitCode::Fatal,
            Self::Interrupted => ExitCode::Interrupted,
        }
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => write!(f, "complete"),
            Self::Interrupted => write!(f, "interrupted; run again to go on from here"),
            Self::Denied(reason) | Self::Fatal(reason) => write!(f, "{reason}"),
            Self::Gaps(gaps) => {
                write!(f, "complete but for {} gaps; {ADVICE}", gaps.len())?;
                gaps.iter().try_for_each(|gap| {
                    write!(f, "\n  {} {}: {}", gap.dataset, gap.interval, gap.reason)
                })
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number| HumanCount(number).to_string();
        let rate = self.requests as f64 / self.elapsed_s.max(0.001);
        let rows = [
            (
                "rows written",
                count(self.rows_written),
                format!("of {} received", HumanCount(self.rows_received)),
            ),
            (
                "rows left out",
                count(self.rows_not_owned + self.rows_duplicate + self.rows_quarantined),
                format!(
                    "{} of other shards, {} duplicates, {} quarantined",
                    self.rows_not_owned, self.rows_duplicate, self.rows_quarantined
                ),
            ),
            ("shards", count(self.shards_committed), {
                let short = if self.shards_short > 0 {
                    format!(", {} short of rows", self.shards_short)
                } else {
                    String::new()
                };
                format!(
                    "committed, {} split, {} set aside{short}",
                    self.shards_split, self.shards_failed
                )
            }),
            (
                "requests",
                count(self.requests),
                format!(
                    "{rate:.1}/s, {} retries, {} throttled, {} for tokens",
                    self.retries, self.rate_limited, self.token_requests
                ),
            ),
            (
                "files",
                count(self.files),
                format!(
                    "{} from {}",
                    HumanBytes(self.bytes_written),
                    HumanBytes(self.bytes_received)
                ),
            ),
            (
                "time",
                format!("{:.1} s", self.elapsed_s),
                format!(
                    "{:.1} s of processor, {} of memory",
                    self.cpu_s,
                    HumanBytes(self.peak_rss_bytes)
                ),
            ),
        ];
        rows.iter().try_for_each(|(name, number, detail)| {
            writeln!(f, "{name:<14}{number:>10}  {detail}")
        })?;
        match (self.requests_expected, self.rows_expected) {
            (Some(requests), Some(rows)) => {
                let detail = format!("requests were expected, for {} rows", HumanCount(rows));
                writeln!(f, "{:<14}{:>10}  {detail}", "plan", count(requests))
            }
            _ => Ok(()),
        }
    }
}

/// Processor seconds and peak memory in bytes of this process.
#[cfg(unix)]
fn usage() -> (f64, u64) {
    use nix::sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike,
    };
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (0.0, 0) };
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    let unit = if cfg!(target_os = "macos") { 1 } else { 1_024 };
    (micros as f64 / 1e6, u64::try_from(usage.max_rss()).unwrap_or(0) * unit)
}

/// Other systems do not tell.
#[cfg(not(unix))]
fn usage() -> (f64, u64) {
    (0.0, 0)
}
