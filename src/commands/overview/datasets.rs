//! The datasets of an output, day by day.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{
    commands::{
        gaps::Gap,
        status::{DatasetStatus, DayStatus, Totals},
    },
    ledger::reader::DatasetRecords,
    telemetry::metrics::{DatasetMetricsSnapshot, Span},
    time::interval::{DAY_MS, Interval, iso},
};

/// A dataset of an output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DatasetOverview {
    /// Its name.
    pub name: String,
    /// The worst state of its days, or `fetching`, or `denied` if the credentials may not read it.
    pub state: DayState,
    /// What its fetchers are doing, such as `waiting for 3 jobs`; else its state in words.
    pub words: String,
    /// Rows of its files.
    pub rows: u64,
    /// Rows that were not final when they were fetched, such as conversations without an end.
    pub open_rows: u64,
    /// Rows that could not be decoded and are kept as they came.
    pub quarantined: u64,
    /// Shards of the running run that were committed or failed, and all of them. `None` if it does
    /// not fetch the dataset.
    pub shards_done: Option<u64>,
    pub shards_planned: Option<u64>,
    /// Every UTC day that the job requests or the ledger names, in order.
    pub days: Vec<DayOverview>,
}

/// What is there of a UTC day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DayOverview {
    /// The day, such as `2024-01-01`.
    pub date: String,
    pub state: DayState,
    /// Rows of its files.
    pub rows: u64,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Requests that its shards took, retries included. `None` if that is not known.
    pub requests: Option<u64>,
    /// Those of them that were sent again.
    pub retries: Option<u64>,
    /// Seconds that its shards took, one after another. `None` if that is not known.
    pub duration_s: Option<f64>,
    /// Rows that were not final when they were fetched.
    pub open_rows: u64,
    /// Committed shards that touch the day.
    pub shards: u64,
    /// Whether a shard that touches the day was split.
    pub split: bool,
}

/// The state of a day, the least urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DayState {
    /// All that is requested of it is committed.
    Committed,
    /// Nothing of it is committed.
    Waiting,
    /// A part of it is committed, the rest is waiting.
    Partial,
    /// A fetcher is at it.
    Fetching,
    /// It is committed, but its rows are doubtful.
    Doubtful,
    /// It, or a part of it, failed.
    Failed,
    /// It, or a part of it, is not there, since the credentials may not read the dataset.
    Denied,
}

/// What the shards of a day cost.
#[derive(Debug, Default, Clone, Copy)]
struct DayCost {
    requests: Option<u64>,
    retries: Option<u64>,
    duration_ms: Option<u64>,
    open_rows: u64,
    shards: u64,
    split: bool,
}

impl DatasetOverview {
    pub(super) fn new(
        status: &DatasetStatus,
        records: Option<&DatasetRecords>,
        live: Option<&DatasetMetricsSnapshot>,
    ) -> Self {
        let fetching = days_of(live.map_or(&[], |live| live.fetching.as_slice()));
        let doubtful = days_of_gaps(&status.doubtful);
        let failed = days_of_gaps(&status.failed);
        let costs = records.map(day_costs).unwrap_or_default();
        let days: Vec<_> = (status.days.iter())
            .map(|day| {
                let is_in = |days: &BTreeMap<String, ()>| days.contains_key(&day.date);
                let state = if is_in(&fetching) {
                    DayState::Fetching
                } else if is_in(&failed) {
                    DayState::Failed
                } else if is_in(&doubtful) {
                    DayState::Doubtful
                } else {
                    state_of(&day.totals, status.denied.is_some())
                };
                day_overview(day, state, costs.get(&day.date).copied().unwrap_or_default())
            })
            .collect();
        let worst = days.iter().map(|day| day.state).max().unwrap_or(DayState::Waiting);
        let state = match (fetching.is_empty(), &status.denied) {
            (false, _) => DayState::Fetching,
            (true, Some(_)) => DayState::Denied,
            (true, None) => worst,
        };
        Self {
            name: status.dataset.clone(),
            state,
            words: live.map_or_else(|| state.words().to_owned(), |live| live.words.clone()),
            rows: status.total.rows,
            open_rows: status.rows_open,
            quarantined: status.rows_quarantined,
            shards_done: live.map(|live| live.shards_done),
            shards_planned: live.map(|live| live.shards_planned),
            days,
        }
    }
}

impl DayState {
    fn words(self) -> &'static str {
        match self {
            Self::Committed => "complete",
            Self::Waiting => "waiting",
            Self::Partial => "partly fetched",
            Self::Fetching => "fetching",
            Self::Doubtful => "doubtful",
            Self::Failed => "failed",
            Self::Denied => "denied",
        }
    }
}

fn day_overview(day: &DayStatus, state: DayState, cost: DayCost) -> DayOverview {
    DayOverview {
        date: day.date.clone(),
        state,
        rows: day.totals.rows,
        bytes: day.totals.bytes,
        requests: cost.requests,
        retries: cost.retries,
        duration_s: cost.duration_ms.map(|ms| ms as f64 / 1e3),
        open_rows: cost.open_rows,
        shards: cost.shards,
        split: cost.split,
    }
}

/// The state of a day that nobody fetches and of which nothing failed.
fn state_of(totals: &Totals, is_denied: bool) -> DayState {
    if is_denied && totals.missing_s > 0.0 {
        DayState::Denied
    } else if totals.committed_s == 0.0 {
        DayState::Waiting
    } else if totals.missing_s > 0.0 {
        DayState::Partial
    } else {
        DayState::Committed
    }
}

/// The costs of the shards that touch each day. A shard of several days counts in the first of
/// them, so that the sum is right.
fn day_costs(records: &DatasetRecords) -> BTreeMap<String, DayCost> {
    let mut costs: BTreeMap<String, DayCost> = BTreeMap::new();
    for shard in &records.shards {
        for (number, date) in dates(shard.interval).enumerate() {
            let cost = costs.entry(date).or_default();
            cost.shards += 1;
            if number > 0 {
                continue;
            }
            cost.open_rows += shard.open_rows;
            if let Some(of_shard) = shard.details.cost {
                *cost.requests.get_or_insert(0) += of_shard.requests;
                *cost.retries.get_or_insert(0) += of_shard.retries;
                *cost.duration_ms.get_or_insert(0) += of_shard.duration_ms;
            }
        }
    }
    for date in records.splits.iter().flat_map(|interval| dates(*interval)) {
        costs.entry(date).or_default().split = true;
    }
    costs
}

/// The dates of the UTC days that an interval touches.
fn dates(interval: Interval) -> impl Iterator<Item = String> {
    let day = Duration::from_millis(DAY_MS.unsigned_abs());
    interval.split(day).map(|day| date(day.from_ms()))
}

/// The dates of the days that spans touch.
fn days_of(spans: &[Span]) -> BTreeMap<String, ()> {
    let ms = |time: &str| time.parse().map(|time: jiff::Timestamp| time.as_millisecond()).ok();
    let intervals = spans.iter().filter_map(|span| Interval::new(ms(&span.from)?, ms(&span.to)?));
    intervals.flat_map(dates).map(|date| (date, ())).collect()
}

/// The dates of the days that open gaps touch.
fn days_of_gaps(gaps: &[Gap]) -> BTreeMap<String, ()> {
    let open = gaps.iter().filter(|gap| gap.is_open());
    open.flat_map(|gap| dates(gap.interval)).map(|date| (date, ())).collect()
}

/// The date of a time in milliseconds since 1970.
pub(super) fn date(ms: i64) -> String {
    iso(ms).split('T').next().unwrap_or_default().to_owned()
}
