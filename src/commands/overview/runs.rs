//! The runs of an output: the running or last one, and their history.

use serde::Serialize;
use serde_json::Value;

use crate::{
    commands::{
        overview::LiveRun,
        status::{
            Status,
            recorded::{course, number, summary},
        },
    },
    ledger::{RunRecord, reader::Snapshot},
    telemetry::metrics::MetricsSnapshot,
};

/// The most runs of a history.
const MOST_RUNS: usize = 100;

/// What is going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct State {
    /// Whether a run is going on.
    pub running: bool,
    /// What it is doing, such as `throttled for 42 s`; else how the last run ended.
    pub words: String,
    /// Since when. `None` if there was no run.
    pub since: Option<String>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RunInfo {
    /// Number of the run; later runs have larger ones.
    pub id: i64,
    pub started: String,
    /// `None` if it is still running or was killed.
    pub ended: Option<String>,
    /// How it ended, such as `complete` or `gaps`. `None` if it has not ended.
    pub outcome: Option<String>,
    /// Why it did not get to its end. `None` if it did, with or without gaps.
    pub error: Option<String>,
    /// Who ran it. `None` if that is not known.
    pub user: Option<String>,
    /// On which machine. `None` if that is not known.
    pub host: Option<String>,
    /// The number of its process there. `None` if that is not known.
    pub pid: Option<u32>,
}

/// The numbers of a run, and of the whole output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// Rows that the run received, those of attempts that failed included.
    pub rows: u64,
    /// API requests of the run, retries included.
    pub requests: u64,
    /// Requests of the run that were sent again after an error.
    pub retries: u64,
    /// Responses that told the run to slow down.
    pub rate_limited: u64,
    /// Token requests of the run.
    pub token_requests: u64,
    /// Bytes of response bodies that the run received, decompressed.
    pub bytes_received: u64,
    /// Rows of the whole output.
    pub rows_committed: u64,
    /// Files of the whole output.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Progress {
    /// Shards of the run that were committed or failed.
    pub shards_done: u64,
    /// Shards of the run, with those that were split off since.
    pub shards_planned: u64,
    /// The part of the run's time that is committed or failed, from 0 to 1; if no run is going on,
    /// the part of the requested time that is committed. Datasets that are denied do not count.
    pub share: f64,
    /// Rows a second in the last minute. `None` if no run is going on.
    pub rows_per_second: Option<f64>,
    /// Seconds that the rest is expected to take. `None` if that is not known.
    pub eta_s: Option<f64>,
}

/// A run of the history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RunOverview {
    #[serde(flatten)]
    pub info: RunInfo,
    /// Rows in its new files.
    pub rows: u64,
    pub requests: u64,
    pub retries: u64,
    pub rate_limited: u64,
    pub shards_committed: u64,
    pub shards_failed: u64,
    /// Bytes of its new files.
    pub bytes: u64,
    /// Its wall time in seconds. `None` if it has not ended.
    pub duration_s: Option<f64>,
}

impl State {
    pub(super) fn new(
        run: Option<&RunRecord>,
        running: Option<&MetricsSnapshot>,
        complete: bool,
    ) -> Self {
        if let Some(live) = running {
            // a run that has not said anything yet
            let (words, since) = match live.words.as_str() {
                "" => ("starting", run.map(|run| run.started.clone())),
                words => (words, Some(live.since.clone())),
            };
            return Self { running: true, words: words.to_owned(), since };
        }
        let Some(run) = run else {
            return Self { running: false, words: "never run".to_owned(), since: None };
        };
        let words = match run.outcome.as_deref() {
            None => "ended without a word: it was killed, or its machine stopped",
            Some(_) if complete => "complete",
            Some(outcome) => outcome,
        };
        let since = run.ended.clone().unwrap_or_else(|| run.started.clone());
        Self { running: false, words: words.to_owned(), since: Some(since) }
    }
}

impl RunInfo {
    pub(super) fn new(run: &RunRecord) -> Self {
        Self {
            id: run.id,
            started: run.started.clone(),
            ended: run.ended.clone(),
            outcome: run.outcome.clone(),
            error: error(run),
            user: run.user.clone(),
            host: run.host.clone(),
            pid: run.pid,
        }
    }
}

impl Totals {
    pub(super) fn new(
        run: Option<&RunRecord>,
        running: Option<&MetricsSnapshot>,
        status: &Status,
    ) -> Self {
        let of_output = |of: fn(&crate::commands::status::Totals) -> u64| {
            status.datasets.iter().map(|dataset| of(&dataset.total)).sum()
        };
        let output = Self {
            rows_committed: of_output(|total| total.rows),
            files: of_output(|total| total.files),
            bytes: of_output(|total| total.bytes),
            ..Self::default()
        };
        if let Some(live) = running {
            return Self {
                rows: live.rows,
                requests: live.requests,
                retries: live.retries,
                rate_limited: live.rate_limited,
                token_requests: live.token_requests,
                bytes_received: live.bytes_received,
                ..output
            };
        }
        let summary = run.map(summary).unwrap_or_default();
        Self {
            rows: number(&summary, "rows_received"),
            requests: number(&summary, "requests"),
            retries: number(&summary, "retries"),
            rate_limited: number(&summary, "rate_limited"),
            token_requests: number(&summary, "token_requests"),
            bytes_received: number(&summary, "bytes_received"),
            ..output
        }
    }
}

impl Progress {
    pub(super) fn new(running: Option<&LiveRun>, status: &Status) -> Self {
        let Some(live) = running else {
            let of = |of: fn(&crate::commands::status::Totals) -> f64| -> f64 {
                let fetched = status.datasets.iter().filter(|dataset| dataset.denied.is_none());
                fetched.map(|dataset| of(&dataset.total)).sum()
            };
            let committed = of(|total| total.committed_s);
            let all = committed + of(|total| total.failed_s + total.missing_s);
            let share = if all > 0.0 { committed / all } else { 0.0 };
            return Self { share, ..Self::default() };
        };
        Self {
            shards_done: live.metrics.shards_done,
            shards_planned: live.metrics.shards_planned,
            share: live.metrics.share,
            rows_per_second: rows_per_second(live),
            eta_s: live.metrics.eta_s,
        }
    }
}

/// Rows a second in the last minute of samples. `None` if there are none.
fn rows_per_second(live: &LiveRun) -> Option<f64> {
    let (mut rows, mut seconds) = (0, 0.0);
    for sample in live.samples.iter().rev() {
        if seconds >= 60.0 {
            break;
        }
        rows += sample.rows;
        seconds += sample.seconds;
    }
    (seconds > 0.0).then(|| rows as f64 / seconds)
}

/// What the ledger recorded of the running or last run.
pub(super) fn recorded(ledger: &Snapshot) -> LiveRun {
    let metrics = ledger.runs.last().map(course).unwrap_or_default();
    LiveRun { metrics, samples: ledger.samples.clone() }
}

/// The newest runs, the newest first.
pub(super) fn history(ledger: &Snapshot) -> Vec<RunOverview> {
    ledger.runs.iter().rev().take(MOST_RUNS).map(RunOverview::new).collect()
}

impl RunOverview {
    fn new(run: &RunRecord) -> Self {
        let summary = summary(run);
        Self {
            info: RunInfo::new(run),
            rows: number(&summary, "rows_written"),
            requests: number(&summary, "requests"),
            retries: number(&summary, "retries"),
            rate_limited: number(&summary, "rate_limited"),
            shards_committed: number(&summary, "shards_committed"),
            shards_failed: number(&summary, "shards_failed"),
            bytes: number(&summary, "bytes_written"),
            duration_s: summary.get("elapsed_s").and_then(Value::as_f64),
        }
    }
}

/// Why a run did not get to its end. `None` if it did, with or without gaps.
pub(super) fn error(run: &RunRecord) -> Option<String> {
    summary(run).get("error").and_then(Value::as_str).map(str::to_owned)
}
