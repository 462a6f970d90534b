//! What the ledger keeps of a run as JSON: its last metrics and, once it has ended, its summary.
//!
//! An earlier program did not write all of it, so what is missing has its default.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    ledger::{RunRecord, reader::Snapshot},
    telemetry::metrics::MetricsSnapshot,
};

/// What the metrics of a run said last. Empty if nothing is recorded.
pub(crate) fn course(run: &RunRecord) -> MetricsSnapshot {
    let state = run.state.as_deref().and_then(|state| serde_json::from_str(state).ok());
    state.unwrap_or_default()
}

/// The summary of a run, as `--summary json` prints it. Null if the run has not ended.
pub(crate) fn summary(run: &RunRecord) -> Value {
    let summary = run.summary.as_deref().and_then(|summary| serde_json::from_str(summary).ok());
    summary.unwrap_or_default()
}

/// The datasets that the credentials of a run may not read, each with what the platform answered
/// and what is missing.
pub(crate) fn denied_in(run: &RunRecord) -> BTreeMap<String, String> {
    only_denied(requested_in(run))
}

/// The datasets of `names` that the credentials may not read, each as the newest run says that
/// requested rows of it. Other runs, such as one that ended before or had other datasets, do not
/// know whether the permission was granted.
pub(super) fn denied(ledger: &Snapshot, names: &BTreeSet<&str>) -> BTreeMap<String, String> {
    let mut newest = BTreeMap::new();
    for run in ledger.runs.iter().rev() {
        for (dataset, denied) in requested_in(run) {
            newest.entry(dataset).or_insert(denied);
        }
        if names.iter().all(|name| newest.contains_key(*name)) {
            break;
        }
    }
    only_denied(newest)
}

/// The datasets of which a run requested rows and learned something: that it may not read them, or
/// a shard that was committed or failed. The value is `None` if it may read the dataset.
fn requested_in(run: &RunRecord) -> BTreeMap<String, Option<String>> {
    let summary = summary(run);
    let Some(datasets) = summary.get("datasets").and_then(Value::as_array) else {
        // it is going on, was killed, or an error ended it before it was summed up
        let datasets = course(run).datasets.into_iter();
        let learned = datasets.filter(|(_, of)| of.denied.is_some() || of.shards_done > 0);
        return learned.map(|(name, of)| (name, of.denied)).collect();
    };
    let learned = datasets.iter().filter_map(|dataset| {
        let name = dataset.get("dataset")?.as_str()?;
        let denied = dataset.get("denied").and_then(Value::as_str).map(str::to_owned);
        let shards = number(dataset, "shards_committed") + number(dataset, "shards_failed");
        (denied.is_some() || shards > 0).then(|| (name.to_owned(), denied))
    });
    learned.collect()
}

/// A number of a summary. 0 if it has none with this key.
pub(crate) fn number(summary: &Value, key: &str) -> u64 {
    summary.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn only_denied(datasets: BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    datasets.into_iter().filter_map(|(name, denied)| Some((name, denied?))).collect()
}
