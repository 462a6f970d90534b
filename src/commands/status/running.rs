//! The run that is going on in another process.

use serde::Serialize;

use crate::{commands::status::recorded::course, ledger::reader::Snapshot};

/// A run that is going on, as its process recorded it a few seconds ago.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RunningJob {
    /// The number of the run.
    pub run: i64,
    /// Who runs it. `None` if that is not known.
    pub user: Option<String>,
    /// On which machine. `None` if that is not known.
    pub host: Option<String>,
    /// The number of its process there. `None` if that is not known.
    pub pid: Option<u32>,
    /// When it started.
    pub started: String,
    /// When its process recorded the following. Empty if it has not yet.
    pub at: String,
    /// What it is doing, such as `throttled for 42 s`.
    pub words: String,
    /// Shards that were committed or failed.
    pub shards_done: u64,
    /// Shards of the plan, with those that were split off since.
    pub shards_planned: u64,
    /// The part of the planned time that is committed or failed, from 0 to 1.
    pub share: f64,
    /// Rows received.
    pub rows: u64,
    /// API requests sent, retries included.
    pub requests: u64,
    /// Seconds that the rest is expected to take. `None` if that is not known yet.
    pub eta_s: Option<f64>,
}

impl RunningJob {
    /// The run that is writing to the output. `None` if the process that holds the lock runs
    /// another command.
    pub(crate) fn new(ledger: &Snapshot) -> Option<Self> {
        let run = ledger.runs.last().filter(|run| run.ended.is_none())?;
        let state = course(run);
        let words = if state.words.is_empty() { "starting".to_owned() } else { state.words };
        Some(Self {
            run: run.id,
            user: run.user.clone(),
            host: run.host.clone(),
            pid: run.pid,
            started: run.started.clone(),
            at: state.at,
            words,
            shards_done: state.shards_done,
            shards_planned: state.shards_planned,
            share: state.share,
            rows: state.rows,
            requests: state.requests,
            eta_s: state.eta_s,
        })
    }
}
