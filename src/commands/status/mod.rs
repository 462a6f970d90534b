//! What is committed, failed and missing, by dataset and UTC day, from the ledger alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    iter::Sum,
    ops::Add,
    time::Duration,
};

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::{
    config::BackfillScope,
    ledger::reader::{DatasetRecords, Snapshot},
    time::interval::{DAY_MS, Interval, iso},
};

/// How a job stands: `status --json` prints this object.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// Whether all that the job asks for is committed.
    pub complete: bool,
    /// The start of what it asks for.
    pub from: String,
    /// The end of it.
    pub to: String,
    /// Each of its datasets, and each other one that the ledger knows.
    pub datasets: Vec<DatasetStatus>,
}

/// How a dataset stands.
#[derive(Debug, Serialize)]
pub(crate) struct DatasetStatus {
    /// Its name.
    pub dataset: String,
    /// All days together.
    pub total: Totals,
    /// Rows that could not be decoded and are kept as raw JSON.
    pub rows_quarantined: u64,
    /// Every UTC day that the job asks for or the ledger knows, in order.
    pub days: Vec<DayStatus>,
    /// What was set aside and is not committed since.
    pub failed: Vec<Gap>,
    /// What the job asks for and no run has tried to the end.
    pub missing: Vec<TimeSpan>,
}

/// How a UTC day stands.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DayStatus {
    /// `2024-01-01`.
    pub date: String,
    /// How much of it there is.
    #[serde(flatten)]
    pub amount: Totals,
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Totals {
    /// Rows in its files.
    pub rows: u64,
    /// The size of its files.
    pub bytes: u64,
    /// Its files.
    pub files: u64,
    /// Time of it that is committed, in seconds.
    pub committed_s: f64,
    /// Time of it that was set aside, in seconds.
    pub failed_s: f64,
    /// Time of it that no run has tried to the end, in seconds.
    pub missing_s: f64,
}

/// A piece of time.
#[derive(Debug, Serialize)]
pub(crate) struct TimeSpan {
    /// Its start.
    pub from: String,
    /// Its end, which it does not hold.
    pub to: String,
}

/// What was set aside.
#[derive(Debug, Serialize)]
pub(crate) struct Gap {
    /// When.
    #[serde(flatten)]
    pub span: TimeSpan,
    /// Why.
    pub reason: String,
    /// The platform's id of the last failed request; empty if there is none.
    pub correlation: String,
}

impl Status {
    /// What the ledger says about a job.
    pub(crate) fn new(job: &BackfillScope, history: &Snapshot) -> Self {
        let asked: BTreeMap<_, _> = (job.datasets.iter())
            .map(|dataset| (dataset.name.as_str(), dataset.requested(job.interval, job.now)))
            .collect();
        let known = history.datasets.keys().map(String::as_str);
        let none = DatasetRecords::default();
        let datasets: Vec<_> =
            (asked.keys().copied().chain(known).collect::<BTreeSet<_>>().into_iter())
                .map(|name| {
                    let records = history.datasets.get(name).unwrap_or(&none);
                    DatasetStatus::new(name, asked.get(name).copied().flatten(), records)
                })
                .collect();
        let (from, to) = (iso(job.interval.from_ms()), iso(job.interval.to_ms()));
        Self { complete: datasets.iter().all(DatasetStatus::is_complete), from, to, datasets }
    }

    /// The whole as one JSON object.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How several sources stand, as one JSON object: each that has a ledger by its name, and whether
/// all `wanted` of them are complete.
pub(crate) fn json(sources: Vec<(&str, Status)>, wanted: usize) -> String {
    let complete = sources.len() == wanted && sources.iter().all(|(_, status)| status.complete);
    let sources: BTreeMap<_, _> = sources.into_iter().collect();
    serde_json::json!({ "complete": complete, "sources": sources }).to_string()
}

impl DatasetStatus {
    fn new(name: &str, asked: Option<Interval>, records: &DatasetRecords) -> Self {
        let committed = merged(records.shards.iter().map(|shard| shard.interval).collect());
        let gaps: Vec<_> = (records.failures.iter())
            // what was set aside of another time concerns another job
            .filter_map(|failure| {
                Some((
                    asked.map_or(Some(failure.interval), |asked| {
                        asked.intersect(failure.interval)
                    })?,
                    failure,
                ))
            })
            .flat_map(|(interval, failure)| {
                interval.subtract(&committed).into_iter().map(move |left| (left, failure))
            })
            .collect();
        let failed = merged(gaps.iter().map(|(left, _)| *left).collect());
        let missing = asked.map_or(Vec::new(), |asked| {
            asked.subtract(&[committed.clone(), failed.clone()].concat())
        });

        let mut days: BTreeMap<i64, Totals> = BTreeMap::new();
        add(&mut days, &committed, |amount| &mut amount.committed_s);
        add(&mut days, &failed, |amount| &mut amount.failed_s);
        add(&mut days, &missing, |amount| &mut amount.missing_s);
        let mut days: BTreeMap<_, _> =
            days.into_iter().map(|(day, amount)| (date(day), amount)).collect();
        for file in records.shards.iter().flat_map(|shard| &shard.files) {
            // quarantined rows are no rows of a day
            let Some(amount) = date_of(&file.path).and_then(|date| days.get_mut(date)) else {
                continue;
            };
            *amount = *amount
                + Totals { rows: file.rows, bytes: file.bytes, files: 1, ..Totals::default() };
        }
        Self {
            dataset: name.to_owned(),
            total: days.values().copied().sum(),
            rows_quarantined: records.shards.iter().map(|shard| shard.counts.quarantined).sum(),
            days: days.into_iter().map(|(date, amount)| DayStatus { date, amount }).collect(),
            failed: (gaps.into_iter())
                .map(|(left, failure)| Gap {
                    span: left.into(),
                    reason: failure.reason.clone(),
                    correlation: failure.correlation.clone(),
                })
                .collect(),
            missing: missing.into_iter().map(TimeSpan::from).collect(),
        }
    }

    fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.missing.is_empty()
    }
}

/// Adds the time of `parts` to the days that they touch.
fn add(days: &mut BTreeMap<i64, Totals>, parts: &[Interval], field: fn(&mut Totals) -> &mut f64) {
    let pieces =
        parts.iter().flat_map(|part| part.split(Duration::from_millis(DAY_MS.unsigned_abs())));
    for piece in pieces {
        *field(days.entry(Interval::day_of(piece.from_ms()).from_ms()).or_default()) +=
            piece.width().as_secs_f64();
    }
}

/// The same time in as few intervals as there can be.
fn merged(mut parts: Vec<Interval>) -> Vec<Interval> {
    parts.sort_unstable();
    let mut merged: Vec<Interval> = Vec::new();
    for part in parts {
        match merged.last_mut() {
            Some(last) if part.from_ms() <= last.to_ms() => {
                *last =
                    Interval::new(last.from_ms(), last.to_ms().max(part.to_ms())).unwrap_or(*last);
            }
            _ => merged.push(part),
        }
    }
    merged
}

/// The day that begins at `ms`, as in the names of partitions.
fn date(ms: i64) -> String {
    iso(ms).split('T').next().unwrap_or_default().to_owned()
}

/// The day whose rows are in the file at `path`; none if its partition is none of a day.
pub(crate) fn date_of(path: &str) -> Option<&str> {
    path.split('/').find_map(|folder| folder.strip_prefix("date="))
}

impl From<Interval> for TimeSpan {
    fn from(interval: Interval) -> Self {
        Self { from: iso(interval.from_ms()), to: iso(interval.to_ms()) }
    }
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
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.datasets.iter().try_for_each(|dataset| writeln!(f, "{dataset}"))?;
        writeln!(
            f,
            "{} to {}: {}",
            self.from,
            self.to,
            if self.complete { "complete" } else { "not complete" }
        )
    }
}

impl fmt::Display for DatasetStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.dataset;
        write!(f, "{name:<24}{:>10}{:>10}{:>10}", "committed", "failed", "missing")?;
        writeln!(f, "{:>12}{:>12}{:>8}", "rows", "size", "files")?;
        // days that nobody has touched say the same: a row for a run of them
        for days in self.days.chunk_by(|a, b| a.is_untouched() && b.is_untouched()) {
            let (Some(first), Some(last)) = (days.first(), days.last()) else { continue };
            let name = if days.len() > 1 {
                format!("{} to {}", first.date, last.date)
            } else {
                first.date.clone()
            };
            row(f, &name, days.iter().map(|day| day.amount).sum())?;
        }
        row(f, "total", self.total)?;
        if self.rows_quarantined > 0 {
            writeln!(
                f,
                "{} rows could not be decoded and are in _quarantine",
                HumanCount(self.rows_quarantined)
            )?;
        }
        self.failed.iter().try_for_each(
            |Gap { span: TimeSpan { from, to }, reason, correlation }| {
                let id = if correlation.is_empty() {
                    String::new()
                } else {
                    format!(" ({correlation})")
                };
                writeln!(f, "failed {from}/{to}: {reason}{id}")
            },
        )
    }
}

impl DayStatus {
    /// Whether nothing of it is committed or was set aside.
    fn is_untouched(&self) -> bool {
        self.amount == Totals { missing_s: self.amount.missing_s, ..Totals::default() }
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, amount: Totals) -> fmt::Result {
    let Totals { rows, bytes, files, committed_s, failed_s, missing_s } = amount;
    write!(f, "{name:<24}{:>10}{:>10}{:>10}", time(committed_s), time(failed_s), time(missing_s))?;
    let (rows, bytes, files) = (HumanCount(rows), HumanBytes(bytes), HumanCount(files));
    writeln!(f, "{:>12}{:>12}{:>8}", rows.to_string(), bytes.to_string(), files.to_string())
}

/// A length of time in its two largest units: `3d 4h`; nothing for none.
fn time(seconds: f64) -> String {
    if seconds <= 0.0 {
        return "-".to_owned();
    }
    if seconds < 1.0 {
        return "<1s".to_owned();
    }
    let mut rest = seconds as u64;
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')].map(|(length, unit)| {
        let count = rest / length;
        rest %= length;
        (count, unit)
    });
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(units.len() - 1);
    let shown = units[first..].iter().take(2).filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
