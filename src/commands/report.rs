//! How a run ended, for people and for programs.
//!
//! [`Summary`] is the run in numbers, [`RunOutcome`] says what they amount to and decides the exit
//! code. `cli` prints them.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use jiff::Timestamp;
use serde::Serialize;

pub(crate) use crate::commands::summary::DatasetSummary;
pub use crate::commands::summary::Summary;
use crate::{
    commands::{
        gaps::{Gap, TimeSpan},
        new_fields::NewField,
    },
    error::Error,
    exit_code::ExitCode,
    fetch::RunError,
    http::retry::Stop,
    time::{clock, interval::Interval},
};

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
    /// The folder of the output. `None` if the run could not start.
    pub output: Option<PathBuf>,
    /// When the program started.
    pub started: Timestamp,
    /// When the run ended.
    pub ended: Timestamp,
    /// Everything of the requested interval that is missing or doubtful, accepted gaps included.
    pub gaps: Vec<Gap>,
    /// Values that fit no column, at paths that no earlier run has reported.
    pub(crate) new_fields: Vec<NewField>,
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
    new_fields: &'r [NewField],
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
            output: None,
            started,
            ended: clock::now(),
            gaps: Vec::new(),
            new_fields: Vec::new(),
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
            new_fields: &self.new_fields,
        }
    }

    /// Whether an error ended the run before it received or committed anything.
    pub(crate) fn is_without_effect(&self) -> bool {
        let is_error = matches!(self.outcome, RunOutcome::Denied(_) | RunOutcome::Fatal(_));
        is_error && self.summary.rows_received == 0 && self.summary.shards_committed == 0
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
            Stop::Connection => Self::Fatal(error.to_string()),
            Stop::NeverAnswered => Self::Fatal(format!(
                "{error}; no request of this run has succeeded: check the \
                 network, the proxy and source.region, or run again later"
            )),
            Stop::Outage => Self::Fatal(format!(
                "{error}; the outage is longer than retry.outage: run again later, the run \
                 continues from here"
            )),
            Stop::Login => Self::Fatal(format!(
                "{error}; check the network, the proxy and source.region, or run again later: the \
                 run continues from here"
            )),
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
