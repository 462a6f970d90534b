//! What a backfill will cost: from what the platform counted, and from what is committed already.

use std::{collections::BTreeMap, fmt, sync::Arc};

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::{
    catalog::Endpoint,
    fetch::{FetchSettings, Strategy, cost},
    http::rate_limit::{QuotaSettings, RequestLimit},
    ledger::RowStats,
    planning::Shard,
};

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

/// What the shards of one dataset will cost.
pub(crate) fn estimate<'a>(
    shards: impl Iterator<Item = &'a Shard>,
    known: &RowStats,
    fetch: &FetchSettings,
    quota_settings: &QuotaSettings,
) -> Estimate {
    let mut sum = Estimate {
        rows: Some(0),
        requests_by_query: Some(0),
        requests_by_job: Some(0),
        requests: Some(0),
        committed_hours: known.committed.2.as_secs_f64() / 3_600.0,
        ..Estimate::default()
    };
    let plus = |sum: &mut Option<u64>, more: Option<u64>| {
        *sum = sum.zip(more).map(|(sum, more)| sum + more)
    };
    for shard in shards {
        let rows = known.rows(shard.interval);
        let price = |endpoint: &Option<Arc<Endpoint>>| {
            endpoint.as_ref().and_then(|endpoint| cost(endpoint, rows, fetch.page_size))
        };
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
    let ours = |limit: RequestLimit| {
        f64::from(limit.requests.get()) * f64::from(quota_settings.share) / 100.0
    };
    let pace = quota_settings.limit.map(|limit| limit.per.as_secs_f64() / ours(limit));
    sum.seconds = sum.requests.zip(pace).map(|(requests, pace)| requests as f64 * pace);
    sum
}

/// Estimates of several datasets, for people.
pub(crate) struct EstimateTable<'a>(pub &'a BTreeMap<String, Estimate>);

impl fmt::Display for EstimateTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: Option<u64>| {
            number.map_or("unknown".to_owned(), |number| HumanCount(number).to_string())
        };
        for (dataset, estimate) in self.0 {
            let Estimate { shards, hours, committed_hours, seconds, bytes, .. } = estimate;
            writeln!(f, "{dataset}")?;
            let days = format!(
                "{:.1} days left, {:.1} days committed",
                hours / 24.0,
                committed_hours / 24.0
            );
            writeln!(f, "  {:<14}{:>12}  {days}", "shards", HumanCount(*shards).to_string())?;
            writeln!(f, "  {:<14}{:>12}", "rows", count(estimate.rows))?;
            let endpoints =
                [("by query", estimate.requests_by_query), ("by job", estimate.requests_by_job)];
            let endpoints: Vec<_> = endpoints
                .iter()
                .filter_map(|(endpoint, requests)| {
                    requests.map(|n| format!("{} {endpoint}", HumanCount(n)))
                })
                .collect();
            writeln!(
                f,
                "  {:<14}{:>12}  {}",
                "requests",
                count(estimate.requests),
                endpoints.join(", ")
            )?;
            if let Some(seconds) = seconds {
                writeln!(
                    f,
                    "  {:<14}{:>12}  at the present quota",
                    "minutes",
                    format!("{:.1}", seconds / 60.0)
                )?;
            }
            if let Some(bytes) = bytes {
                writeln!(f, "  {:<14}{:>12}  as Parquet", "size", HumanBytes(*bytes).to_string())?;
            }
        }
        Ok(())
    }
}
