//! The datasets that the credentials may not read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{commands::status::running, ledger::reader::Snapshot};

/// What the summary of a run says of its datasets. An earlier program did not write all of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RunSummary {
    datasets: Vec<DatasetSummary>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DatasetSummary {
    dataset: String,
    denied: Option<String>,
}

/// The datasets that the running or last run was not allowed to read, each with what the platform
/// answered and what is missing.
pub(super) fn denied(ledger: &Snapshot) -> BTreeMap<String, String> {
    let Some(run) = ledger.runs.last() else { return BTreeMap::new() };
    let denied = |(name, reason): (String, Option<String>)| Some((name, reason?));
    match &run.summary {
        Some(summary) => {
            let summary: RunSummary = serde_json::from_str(summary).unwrap_or_default();
            let datasets = summary.datasets.into_iter();
            datasets.filter_map(|dataset| denied((dataset.dataset, dataset.denied))).collect()
        }
        None => {
            let datasets = running::course(run).datasets.into_iter();
            datasets.filter_map(|(name, dataset)| denied((name, dataset.denied))).collect()
        }
    }
}
