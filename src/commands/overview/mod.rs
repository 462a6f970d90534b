//! One object for every picture of an output: what it holds, and how its running or last run goes.
//!
//! [`Overview::new`] makes it from a snapshot of the ledger, so that it works while a run is
//! active, after it, and from another process; the process of a run adds its own metrics, which are
//! newer. The dashboard, the report and `_report.json` show this object: its field names are a
//! contract. They are in snake case, times are RFC 3339 in UTC, `_s` are seconds, `_ms`
//! milliseconds.

mod datasets;
mod history;
mod problems;
mod runs;
mod sums;

use serde::Serialize;

pub(crate) use self::{
    datasets::{DatasetOverview, DayOverview, DayState},
    history::ShardHistory,
    problems::Problem,
    runs::{Progress, RunInfo, RunOverview, State, Totals},
    sums::Sums,
};
use crate::{
    commands::{
        gaps::TimeSpan,
        new_fields::NewField,
        status::{Status, requested_interval},
    },
    config::BackfillScope,
    ledger::reader::Snapshot,
    telemetry::metrics::{LimitUse, Metrics, MetricsSnapshot, Pause, Sample, TokenLife},
    time::clock,
};

/// The version of the fields of an [`Overview`]. A field that is added does not raise it.
const VERSION: u32 = 1;

/// What an output holds, and how its running or last run goes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Overview {
    /// The version of these fields: 1.
    pub version: u32,
    /// The name of the job.
    pub name: String,
    /// The name of the source. `None` if it is the only one and has no name.
    pub source: Option<String>,
    /// The name of the platform.
    pub platform: String,
    /// The region. `None` if the configuration names hosts instead.
    pub region: Option<String>,
    /// When this object was made.
    pub generated: String,
    /// What the job requests.
    pub interval: TimeSpan,
    /// Whether everything that the job requests is committed without doubt, or accepted.
    pub complete: bool,
    /// What is going on.
    pub state: State,
    /// The running or last run. `None` if there was none.
    pub run: Option<RunInfo>,
    /// The numbers of that run, and of the whole output.
    pub totals: Totals,
    /// How far that run is.
    pub progress: Progress,
    /// The rate limits and their use. Empty unless a run is going on.
    pub limits: Vec<LimitUse>,
    /// Every dataset of the job, and every other one that the ledger names.
    pub datasets: Vec<DatasetOverview>,
    /// The course of that run, the oldest first.
    pub samples: Vec<Sample>,
    /// The tokens of that run, the oldest first.
    pub tokens: Vec<TokenLife>,
    /// When the server told that run to wait, the oldest first.
    pub pauses: Vec<Pause>,
    /// What needs a person, the most important first.
    pub problems: Vec<Problem>,
    /// Values that fit no column, without the fields that have become columns or are ignored since.
    pub new_fields: Vec<NewField>,
    /// Rows and handle time of the committed data, by dataset.
    pub sums: Vec<Sums>,
    /// The runs of this output, the newest first; at most 100.
    pub runs: Vec<RunOverview>,
}

/// What the process of a run knows beside the ledger.
#[derive(Debug, Clone)]
pub(crate) struct LiveRun {
    pub metrics: MetricsSnapshot,
    pub samples: Vec<Sample>,
}

impl LiveRun {
    /// What the metrics say now.
    pub(crate) fn of(metrics: &Metrics) -> Self {
        Self { metrics: metrics.snapshot(), samples: metrics.samples().0 }
    }
}

impl Overview {
    /// The overview of a job's output. `live` is `None` in a process that does not run the job:
    /// then the ledger tells how its running run was a few seconds ago. `is_running` says whether a
    /// process holds the output's lock.
    pub(crate) fn new(
        scope: &BackfillScope,
        ledger: &Snapshot,
        live: Option<LiveRun>,
        is_running: bool,
    ) -> Self {
        let live = live.unwrap_or_else(|| runs::recorded(ledger));
        let (interval, _) = requested_interval(scope, ledger);
        let status = Status::new(scope, ledger);
        let run = ledger.runs.last();
        let is_running = is_running && run.is_some_and(|run| run.ended.is_none());
        let running = is_running.then_some(&live.metrics);
        let datasets: Vec<_> = status
            .datasets
            .iter()
            .map(|dataset| {
                let records = ledger.datasets.get(&dataset.dataset);
                let live = running.and_then(|live| live.datasets.get(&dataset.dataset));
                DatasetOverview::new(dataset, records, live)
            })
            .collect();
        Self {
            version: VERSION,
            name: scope.name.clone(),
            source: scope.source.clone(),
            platform: scope.platform.name().to_owned(),
            region: scope.region.clone(),
            generated: clock::now().to_string(),
            interval: interval.into(),
            complete: status.complete,
            state: State::new(run, running, status.complete),
            totals: Totals::new(run, running, &status),
            progress: Progress::new(is_running.then_some(&live), &status),
            run: run.map(RunInfo::new),
            limits: running.map_or(Vec::new(), |live| live.limits.clone()),
            problems: problems::problems(&status, run),
            new_fields: status
                .datasets
                .into_iter()
                .flat_map(|dataset| dataset.new_fields)
                .collect(),
            datasets,
            samples: live.samples,
            tokens: live.metrics.tokens,
            pauses: live.metrics.pauses,
            sums: sums::sums(ledger),
            runs: runs::history(ledger),
        }
    }

    /// The overview as one JSON object.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
