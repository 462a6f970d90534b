//! What a backfill will cost: from what the platform counted, and from what is committed already.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::{
    budget::{Limit, Terms},
    catalog::Way,
    config::Fetch,
    fetch::{Strategy, cost},
    interval::Interval,
    ledger::{Ledger, LedgerError, Probe},
    shard::Shard,
};

/// What is known of how many rows a dataset has.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What the platform counted.
    pub probes: Vec<Probe>,
    /// Rows of committed shards, their files' size, and the time that they are of.
    pub committed: (u64, u64, Duration),
}

/// What is to come of one dataset.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Shards that are left to fetch.
    pub shards: u64,
    /// The time that they are of, in hours.
    pub hours: f64,
    /// The time that is committed already, in hours.
    pub committed_hours: f64,
    /// Rows to come; none: nobody knows.
    pub rows: Option<u64>,
    /// Requests by query; none: there is no such way, or nobody knows.
    pub requests_by_query: Option<u64>,
    /// Requests by job; none: there is no such way, or nobody knows.
    pub requests_by_job: Option<u64>,
    /// Requests as the configuration has it.
    pub requests: Option<u64>,
    /// Bytes of the files to come.
    pub bytes: Option<u64>,
    /// Seconds that the requests take at the present quota.
    pub seconds: Option<f64>,
}

impl Known {
    /// What the ledger knows of a dataset.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub fn read(ledger: &Ledger, dataset: &str) -> Result<Self, LedgerError> {
        Ok(Self { probes: ledger.probes(dataset)?, committed: ledger.committed_size(dataset)? })
    }

    /// The rows to expect in an interval: what was counted, and as many as elsewhere where nothing was.
    fn rows(&self, interval: Interval) -> Option<f64> {
        let share = |probe: &Probe| {
            let common = probe.interval.intersect(interval)?;
            Some((common, probe.rows as f64 * common.width().as_secs_f64() / probe.interval.width().as_secs_f64()))
        };
        let (counted, rows): (Vec<_>, Vec<_>) = self.probes.iter().filter_map(share).unzip();
        let uncounted = interval.subtract(&counted).into_iter().map(|left| left.width().as_secs_f64()).sum::<f64>();
        let rows = rows.into_iter().sum::<f64>();
        let (committed, _, time) = self.committed;
        match () {
            () if uncounted == 0.0 => Some(rows),
            () if time.is_zero() => None,
            () => Some(rows + uncounted * committed as f64 / time.as_secs_f64()),
        }
    }

    /// Bytes of a file's row: those of the committed ones.
    fn row_bytes(&self) -> Option<f64> {
        let (rows, bytes, _) = self.committed;
        (rows > 0).then(|| bytes as f64 / rows as f64)
    }
}

/// What the shards of one dataset will cost.
pub fn estimate<'a>(shards: impl Iterator<Item = &'a Shard>, known: &Known, fetch: &Fetch, terms: &Terms) -> Estimate {
    let mut sum = Estimate {
        rows: Some(0),
        requests_by_query: Some(0),
        requests_by_job: Some(0),
        requests: Some(0),
        committed_hours: known.committed.2.as_secs_f64() / 3_600.0,
        ..Estimate::default()
    };
    let plus = |sum: &mut Option<u64>, more: Option<u64>| *sum = sum.zip(more).map(|(sum, more)| sum + more);
    for shard in shards {
        let rows = known.rows(shard.interval).map(|rows| rows.round() as u64);
        let price = |way: &Option<Arc<Way>>| way.as_ref().and_then(|way| cost(way, rows, fetch.page_size));
        let (query, job) = (price(&shard.dataset.query), price(&shard.dataset.job));
        let chosen = match (query, job) {
            (Some(query), Some(job)) => Some(match fetch.strategy {
                _ if shard.dataset.has_extras() => job,
                Strategy::Query => query,
                Strategy::Job => job,
                Strategy::Auto => query.min(job),
            }),
            (query, job) => query.or(job),
        };
        sum.shards += 1;
        sum.hours += shard.interval.width().as_secs_f64() / 3_600.0;
        plus(&mut sum.rows, rows);
        plus(&mut sum.requests_by_query, query);
        plus(&mut sum.requests_by_job, job);
        plus(&mut sum.requests, chosen);
    }
    sum.bytes = sum.rows.zip(known.row_bytes()).map(|(rows, bytes)| (rows as f64 * bytes) as u64);
    let ours = |limit: Limit| f64::from(limit.requests.get()) * f64::from(terms.share) / 100.0;
    let pace = terms.limit.map(|limit| limit.per.as_secs_f64() / ours(limit));
    sum.seconds = sum.requests.zip(pace).map(|(requests, pace)| requests as f64 * pace);
    sum
}

/// Estimates of several datasets, for people.
pub struct Table<'a>(pub &'a BTreeMap<String, Estimate>);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: Option<u64>| number.map_or("unknown".to_owned(), |number| HumanCount(number).to_string());
        for (dataset, estimate) in self.0 {
            let Estimate { shards, hours, committed_hours, seconds, bytes, .. } = estimate;
            writeln!(f, "{dataset}")?;
            let days = format!("{:.1} days left, {:.1} days committed", hours / 24.0, committed_hours / 24.0);
            writeln!(f, "  {:<14}{:>12}  {days}", "shards", HumanCount(*shards).to_string())?;
            writeln!(f, "  {:<14}{:>12}", "rows", count(estimate.rows))?;
            let ways = [("by query", estimate.requests_by_query), ("by job", estimate.requests_by_job)];
            let ways: Vec<_> = ways
                .iter()
                .filter_map(|(way, requests)| requests.map(|n| format!("{} {way}", HumanCount(n))))
                .collect();
            writeln!(f, "  {:<14}{:>12}  {}", "requests", count(estimate.requests), ways.join(", "))?;
            if let Some(seconds) = seconds {
                writeln!(f, "  {:<14}{:>12}  at the present quota", "minutes", format!("{:.1}", seconds / 60.0))?;
            }
            if let Some(bytes) = bytes {
                writeln!(f, "  {:<14}{:>12}  as Parquet", "size", HumanBytes(*bytes).to_string())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn hours(from: i64, to: i64) -> Interval {
        Interval::new(from * 3_600_000, to * 3_600_000).unwrap()
    }

    #[test]
    fn what_was_counted_counts_and_the_rest_is_as_dense_as_what_is_committed() {
        let probe = |interval, rows| Probe { interval, rows };
        let known = Known { probes: vec![probe(hours(0, 24), 240)], committed: (100, 5_000, 10 * HOUR) };
        assert_eq!(known.rows(hours(0, 12)), Some(120.0));
        assert_eq!(known.rows(hours(12, 36)), Some(120.0 + 120.0));
        assert_eq!(known.row_bytes(), Some(50.0));
        let unknown = Known { probes: known.probes, ..Known::default() };
        assert_eq!((unknown.rows(hours(0, 24)), unknown.rows(hours(0, 25))), (Some(240.0), None));
    }
}
