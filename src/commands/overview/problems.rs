//! What needs a person, and what to do about it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    commands::{
        gaps::{Gap, TimeSpan},
        overview::runs,
        report::RunOutcome,
        status::{DatasetStatus, Status, recorded::denied_in},
    },
    ledger::RunRecord,
};

/// The most problems of one kind of a dataset; the rest is told as a number.
const MOST_OF_A_KIND: usize = 20;

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The dataset. `None` if it concerns the run.
    pub dataset: Option<String>,
    /// The interval. `None` if it concerns all of the dataset.
    pub interval: Option<TimeSpan>,
    /// The kind, such as `denied`, `failed`, `quarantined` or `open`.
    pub cause: String,
    /// What happened.
    pub reason: String,
    /// What to do.
    pub advice: String,
    /// The platform's correlation id of the last failed request; empty if there is none.
    pub correlation: String,
}

/// What needs a person, the most important first: how the last run ended, what is missing, what is
/// doubtful, what waits for later.
pub(super) fn problems(status: &Status, run: Option<&RunRecord>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let denied = status.datasets.iter();
    let denied: BTreeMap<_, _> = denied
        .filter_map(|status| Some((status.dataset.clone(), status.denied.clone()?)))
        .collect();
    // what ended a run that was not allowed to read a dataset is told with the dataset
    let denied_in_run = run.map(denied_in).unwrap_or_default();
    let is_told = |error: &String| *error == RunOutcome::from_denied(&denied_in_run).to_string();
    if let Some(error) = run.and_then(runs::error).filter(|error| !is_told(error)) {
        problems.push(Problem {
            dataset: None,
            interval: None,
            cause: run.and_then(|run| run.outcome.clone()).unwrap_or_default(),
            reason: error,
            advice: "mend this, then `cxbackfill run`: it continues where it ended".to_owned(),
            correlation: String::new(),
        });
    }
    for (dataset, reason) in denied {
        problems.push(Problem {
            dataset: Some(dataset),
            interval: None,
            cause: "denied".to_owned(),
            reason,
            advice: "the next `cxbackfill run` fetches it, once it may be read".to_owned(),
            correlation: String::new(),
        });
    }
    for dataset in &status.datasets {
        add(&mut problems, dataset, &dataset.failed, |_| {
            "retried with the next run, or now: `cxbackfill run --retry-failed`".to_owned()
        });
    }
    for dataset in &status.datasets {
        add(&mut problems, dataset, &dataset.doubtful, |gap| {
            let kind = gap.cause.name();
            let look = if kind == "quarantined" { "look at `_quarantine/`, then " } else { "" };
            format!(
                "{look}fetch it again with `cxbackfill run --retry-failed`, or accept it with \
                 `cxbackfill accept`"
            )
        });
    }
    for dataset in status.datasets.iter().filter(|dataset| dataset.rows_open > 0) {
        problems.push(Problem {
            dataset: Some(dataset.dataset.clone()),
            interval: None,
            cause: "open".to_owned(),
            reason: format!("{} rows were open when they were fetched", dataset.rows_open),
            advice: "nothing: later runs fetch them again until they are closed".to_owned(),
            correlation: String::new(),
        });
    }
    problems
}

/// Adds the open gaps of a dataset.
fn add(
    problems: &mut Vec<Problem>,
    dataset: &DatasetStatus,
    gaps: &[Gap],
    advice: impl Fn(&Gap) -> String,
) {
    let open: Vec<_> = gaps.iter().filter(|gap| gap.is_open()).collect();
    for gap in open.iter().take(MOST_OF_A_KIND) {
        problems.push(Problem {
            dataset: Some(gap.dataset.clone()),
            interval: Some(gap.interval.into()),
            cause: gap.cause.name().to_owned(),
            reason: gap.reason.clone(),
            advice: advice(gap),
            correlation: gap.correlation.clone(),
        });
    }
    if let Some(gap) = open.get(MOST_OF_A_KIND) {
        problems.push(Problem {
            dataset: Some(dataset.dataset.clone()),
            interval: None,
            cause: gap.cause.name().to_owned(),
            reason: format!("{} further intervals", open.len() - MOST_OF_A_KIND),
            advice: "list them with `cxbackfill status`".to_owned(),
            correlation: String::new(),
        });
    }
}
