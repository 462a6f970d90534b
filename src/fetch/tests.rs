//! What the unit tests of several files of `fetch` share.

use std::sync::Arc;

use crate::{
    catalog::{self, Dataset},
    config,
    fetch::FetchSettings,
    ledger::{Probe, RowStats},
    time::interval::Interval,
};

/// A day in milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;

/// The settings of a fetcher with these keys.
pub(super) fn settings(set: &[&str]) -> FetchSettings {
    let keys = [
        "source.region=sandbox",
        "job.from=2024-01-01T00:00:00Z",
        "job.to=2024-01-02T00:00:00Z",
        "fetch.shard=auto",
    ];
    let set = keys.iter().chain(set).map(ToString::to_string).collect();
    let overrides = config::Overrides { set, ..config::Overrides::default() };
    config::Config::load(&overrides).unwrap().remove(0).fetch
}

/// The dataset of conversations without attributes.
pub(super) fn conversations() -> Arc<Dataset> {
    Arc::new(catalog::test_dataset("conversations").without_extras())
}

/// This many rows a day.
pub(super) fn rows_a_day(rows: u64) -> RowStats {
    let probes = vec![Probe { interval: Interval::day_of(0), rows }];
    RowStats { probes, ..RowStats::default() }
}
