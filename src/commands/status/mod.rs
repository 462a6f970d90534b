//! What is committed, failed and missing, by dataset and UTC day, from the ledger alone.

pub(crate) mod recorded;
mod running;

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::Sum,
    ops::Add,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

pub(crate) use self::running::RunningJob;
use crate::{
    catalog::Dataset,
    commands::{
        gaps::{Gap, TimeSpan},
        new_fields::NewField,
    },
    config::BackfillScope,
    ledger::reader::{DatasetRecords, Snapshot},
    time::interval::{DAY_MS, Interval, iso},
};

/// The status of a job. `status --json` prints this object.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// Whether everything that the job requests is committed without doubt, or accepted.
    pub complete: bool,
    /// The start of the requested interval.
    pub from: String,
    /// The end of the requested interval, which it does not contain. If `job.to` is relative, it is
    /// the end that the last run had.
    pub to: String,
    /// The run that is going on. `None` if there is none.
    pub running: Option<RunningJob>,
    /// Every dataset of the job, and every other one that the ledger names.
    pub datasets: Vec<DatasetStatus>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct DatasetStatus {
    /// The name of the dataset.
    pub dataset: String,
    /// All days together.
    pub total: Totals,
    /// Rows that could not be decoded and are kept as raw JSON.
    pub rows_quarantined: u64,
    /// Rows that were left out because their ids were forgotten.
    pub rows_forgotten: u64,
    /// Every UTC day that the job requests or the ledger names, in order.
    pub days: Vec<DayStatus>,
    /// Rows that were not final when they were fetched, such as conversations without an end.
    pub rows_open: u64,
    /// Intervals that failed and were not committed since.
    pub failed: Vec<Gap>,
    /// Intervals that are committed but doubtful.
    pub doubtful: Vec<Gap>,
    /// Requested intervals that are neither committed nor failed, and that nobody accepted.
    pub missing: Vec<TimeSpan>,
    /// Intervals that are neither committed nor failed, and that a person accepted.
    pub accepted: Vec<Gap>,
    /// The end of the interval that the platform cannot return yet. `None` if there is none.
    pub not_yet_available: Option<TimeSpan>,
    /// What the platform answers and what is missing, if the newest run that requested rows of the
    /// dataset was not allowed to read it. `None` if it was, or there is none.
    pub denied: Option<String>,
    /// Values that fit no column, without the fields that have become columns or are ignored since.
    pub new_fields: Vec<NewField>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct DayStatus {
    /// The day, such as `2024-01-01`.
    pub date: String,
    /// What there is of this day.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Files and their rows, and how much time is committed, failed and missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Totals {
    /// Rows of the files.
    pub rows: u64,
    /// Size of the files in bytes.
    pub bytes: u64,
    pub files: u64,
    /// Committed time in seconds.
    pub committed_s: f64,
    /// Failed time in seconds.
    pub failed_s: f64,
    /// Missing time in seconds.
    pub missing_s: f64,
}

impl Status {
    /// The status of `job` by what its ledger records.
    pub(crate) fn new(job: &BackfillScope, ledger: &Snapshot) -> Self {
        let (interval, now) = requested_interval(job, ledger);
        let requested: BTreeMap<_, _> = (job.datasets.iter())
            .map(|dataset| (dataset.name.as_str(), dataset.requested(interval, now)))
            .collect();
        let mut not_yet_available: BTreeMap<_, _> = (job.datasets.iter())
            .filter_map(|dataset| Some((&dataset.name, dataset.not_yet_available(interval, now)?)))
            .collect();
        let recorded = ledger.datasets.keys().map(String::as_str);
        let names: BTreeSet<_> = requested.keys().copied().chain(recorded).collect();
        let no_records = DatasetRecords::default();
        let mut denied = recorded::denied(ledger, &names);
        let mut datasets = Vec::new();
        for name in names {
            let records = ledger.datasets.get(name).unwrap_or(&no_records);
            let requested = requested.get(name).copied().flatten();
            let status = DatasetStatus::new(name, requested, records);
            let not_yet_available = not_yet_available.remove(&status.dataset).map(TimeSpan::from);
            let new_fields = new_fields(job.catalog.datasets.get(name).map(AsRef::as_ref), records);
            let denied = denied.remove(name);
            datasets.push(DatasetStatus { not_yet_available, denied, new_fields, ..status });
        }
        Self {
            complete: datasets.iter().all(DatasetStatus::is_complete),
            from: iso(interval.from_ms()),
            to: iso(interval.to_ms()),
            running: None,
            datasets,
        }
    }

    /// The status as one JSON object.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The interval that the status is about, and the time in milliseconds since 1970 that it is of. A
/// relative `job.to` has moved on since the last run, so the end that this run had is taken.
pub(crate) fn requested_interval(job: &BackfillScope, ledger: &Snapshot) -> (Interval, i64) {
    let last_run = ledger.runs.last().filter(|_| job.to_is_relative);
    let end = last_run.and_then(|run| {
        let started: Timestamp = run.started.parse().ok()?;
        Some((run.interval?, started.as_millisecond()))
    });
    match end {
        Some((of_run, started)) => {
            let interval = Interval::new(job.interval.from_ms(), of_run.to_ms());
            (interval.unwrap_or(of_run), started)
        }
        None => (job.interval, job.now),
    }
}

/// The status of several sources as one JSON object: each that has a ledger by its name, and
/// whether all `expected` sources are complete.
pub(crate) fn sources_json(statuses: Vec<(&str, Status)>, expected: usize) -> String {
    let complete = statuses.len() == expected && statuses.iter().all(|(_, status)| status.complete);
    let sources: BTreeMap<_, _> = statuses.into_iter().collect();
    serde_json::json!({ "complete": complete, "sources": sources }).to_string()
}

impl DatasetStatus {
    /// The status of a dataset. `requested` is `None` if the job does not request it, or the
    /// platform has nothing of it yet.
    fn new(name: &str, requested: Option<Interval>, records: &DatasetRecords) -> Self {
        let committed = merge(records.shards.iter().map(|shard| shard.interval).collect());
        let failed_gaps = failed_gaps(requested, records, &committed);
        let failed = merge(failed_gaps.iter().map(|gap| gap.interval).collect());
        let missing = requested.map_or(Vec::new(), |requested| {
            requested.subtract(&[committed.clone(), failed.clone()].concat())
        });
        let days = days(&committed, &failed, &missing, records);
        let missing = missing.into_iter().map(|interval| Gap::missing(name, interval));
        let (open, accepted): (Vec<_>, Vec<_>) =
            missing.flat_map(|gap| gap.with_acceptance(&records.accepted)).partition(Gap::is_open);
        Self {
            dataset: name.to_owned(),
            total: days.iter().map(|day| day.totals).sum(),
            rows_quarantined: records.shards.iter().map(|shard| shard.counts.quarantined).sum(),
            rows_forgotten: records.shards.iter().map(|shard| shard.counts.forgotten).sum(),
            rows_open: records.shards.iter().map(|shard| shard.open_rows).sum(),
            days,
            failed: failed_gaps,
            doubtful: doubtful_gaps(requested, records),
            missing: open.iter().map(|gap| gap.interval.into()).collect(),
            accepted,
            not_yet_available: None,
            denied: None,
            new_fields: Vec::new(),
        }
    }

    fn is_complete(&self) -> bool {
        let mut gaps = self.failed.iter().chain(&self.doubtful);
        self.missing.is_empty() && gaps.all(|gap| !gap.is_open())
    }
}

/// The values of a dataset that fit no column of it. `None` for the dataset if it is not known.
fn new_fields(dataset: Option<&Dataset>, records: &DatasetRecords) -> Vec<NewField> {
    let mut fields: Vec<_> =
        records.new_fields.iter().map(|record| NewField::new(record.clone(), dataset)).collect();
    fields.retain(|field| dataset.is_none_or(|dataset| !field.is_settled(dataset)));
    fields
}

/// The parts of the recorded failures that were not committed since. A failure outside the
/// requested interval concerns another job.
fn failed_gaps(
    requested: Option<Interval>,
    records: &DatasetRecords,
    committed: &[Interval],
) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for failure in &records.failures {
        let Some(part) = within(requested, failure.interval) else { continue };
        for interval in part.subtract(committed) {
            let gap = Gap { interval, ..failure.clone().into() };
            gaps.extend(gap.with_acceptance(&records.accepted));
        }
    }
    gaps
}

/// The requested parts of the intervals that are committed but doubtful.
fn doubtful_gaps(requested: Option<Interval>, records: &DatasetRecords) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for doubtful in &records.doubtful {
        let Some(interval) = within(requested, doubtful.interval) else { continue };
        let gap = Gap { interval, ..doubtful.clone().into() };
        gaps.extend(gap.with_acceptance(&records.accepted));
    }
    gaps
}

/// The requested part of an interval; all of it if the job does not request the dataset.
fn within(requested: Option<Interval>, interval: Interval) -> Option<Interval> {
    match requested {
        Some(requested) => requested.intersect(interval),
        None => Some(interval),
    }
}

/// The status of each day, in order.
fn days(
    committed: &[Interval],
    failed: &[Interval],
    missing: &[Interval],
    records: &DatasetRecords,
) -> Vec<DayStatus> {
    let mut days: BTreeMap<i64, Totals> = BTreeMap::new();
    add_time(&mut days, committed, |totals| &mut totals.committed_s);
    add_time(&mut days, failed, |totals| &mut totals.failed_s);
    add_time(&mut days, missing, |totals| &mut totals.missing_s);
    let mut days: BTreeMap<String, Totals> =
        days.into_iter().map(|(day, totals)| (date(day), totals)).collect();
    for shard in &records.shards {
        // files of quarantined rows have no day
        for file in &shard.files {
            if let Some(totals) = file.date().and_then(|date| days.get_mut(date)) {
                totals.bytes += file.bytes;
                totals.files += 1;
            }
        }
        for file in shard.row_files() {
            if let Some(totals) = file.date().and_then(|date| days.get_mut(date)) {
                totals.rows += file.rows;
            }
        }
    }
    days.into_iter().map(|(date, totals)| DayStatus { date, totals }).collect()
}

/// Adds the width of `intervals` to the days that they touch.
fn add_time(
    days: &mut BTreeMap<i64, Totals>,
    intervals: &[Interval],
    field: fn(&mut Totals) -> &mut f64,
) {
    let day = Duration::from_millis(DAY_MS.unsigned_abs());
    for part in intervals.iter().flat_map(|interval| interval.split(day)) {
        let start_of_day = Interval::day_of(part.from_ms()).from_ms();
        *field(days.entry(start_of_day).or_default()) += part.width().as_secs_f64();
    }
}

/// The same time in as few intervals as possible, in order.
fn merge(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut merged: Vec<Interval> = Vec::new();
    for interval in intervals {
        match merged.last_mut() {
            Some(last) if interval.from_ms() <= last.to_ms() => {
                let to = last.to_ms().max(interval.to_ms());
                *last = Interval::new(last.from_ms(), to).unwrap_or(*last);
            }
            _ => merged.push(interval),
        }
    }
    merged
}

/// The date of the day that starts at `ms`, as in the names of partitions.
fn date(ms: i64) -> String {
    iso(ms).split('T').next().unwrap_or_default().to_owned()
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
            files: self.files + other.files,
            committed_s: self.committed_s + other.committed_s,
            failed_s: self.failed_s + other.failed_s,
            missing_s: self.missing_s + other.missing_s,
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), Add::add)
    }
}

impl DayStatus {
    /// Whether nothing of the day is committed or failed.
    pub(crate) fn is_all_missing(&self) -> bool {
        self.totals == Totals { missing_s: self.totals.missing_s, ..Totals::default() }
    }
}

#[cfg(test)]
pub(crate) mod tests;
