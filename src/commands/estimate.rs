//! The cost of a backfill, from what the platform counted and from what is committed already.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    catalog::Endpoint,
    commands::gaps::TimeSpan,
    fetch::{FetchSettings, Strategy, request_count, request_count_by_id},
    http::rate_limit::{QuotaSettings, RequestLimit},
    ledger::RowStats,
    planning::Shard,
};

/// The cost of what is left to fetch of one dataset. `plan --json` prints this object.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Shards that are left to fetch.
    pub shards: u64,
    /// The width of these shards together, in hours.
    pub hours: f64,
    /// The end of the interval that the platform cannot return yet, so that no shard covers it.
    /// `None` if there is none.
    pub not_yet_available: Option<TimeSpan>,
    /// The width of what is committed already, in hours.
    pub committed_hours: f64,
    /// Rows of these shards. `None` if the number is not known.
    pub rows: Option<u64>,
    /// Requests by query, and by id for open rows. `None` if the dataset has no query, or the number
    /// is not known.
    pub requests_by_query: Option<u64>,
    /// Requests by job, and by id for open rows. `None` if the dataset has no job, or the number is
    /// not known.
    pub requests_by_job: Option<u64>,
    /// Requests by the endpoint that the configuration chooses. `None` if the number is not known.
    pub requests: Option<u64>,
    /// Size of the new files in bytes. `None` if it is not known.
    pub bytes: Option<u64>,
    /// Seconds that the requests take at the present quota. `None` if there is no quota, or the
    /// number of requests is not known.
    pub seconds: Option<f64>,
}

/// The cost of the shards of one dataset.
pub(crate) fn estimate<'a>(
    shards: impl Iterator<Item = &'a Shard>,
    row_stats: &RowStats,
    fetch: &FetchSettings,
    quota: &QuotaSettings,
) -> Estimate {
    let mut estimate = Estimate {
        rows: Some(0),
        requests_by_query: Some(0),
        requests_by_job: Some(0),
        requests: Some(0),
        committed_hours: row_stats.committed.2.as_secs_f64() / 3_600.0,
        ..Estimate::default()
    };
    for shard in shards {
        let rows = row_stats.rows(shard.interval);
        let requests_of = |endpoint: &Option<Arc<Endpoint>>| {
            let endpoint = endpoint.as_deref()?;
            match shard.open_rows {
                Some(open) => request_count_by_id(&shard.dataset, open, fetch.page_size),
                None => request_count(endpoint, rows, fetch.page_size),
            }
        };
        let by_query = requests_of(&shard.dataset.query);
        let by_job = requests_of(&shard.dataset.job);
        let chosen = match (by_query, by_job) {
            (Some(by_query), Some(by_job)) => Some(match fetch.strategy {
                _ if shard.dataset.has_extras() => by_job,
                Strategy::Query => by_query,
                Strategy::Job => by_job,
                Strategy::Auto => by_query.min(by_job),
            }),
            _ => by_query.or(by_job),
        };
        estimate.shards += 1;
        estimate.hours += shard.interval.width().as_secs_f64() / 3_600.0;
        add(&mut estimate.rows, rows);
        add(&mut estimate.requests_by_query, by_query);
        add(&mut estimate.requests_by_job, by_job);
        add(&mut estimate.requests, chosen);
    }
    estimate.bytes = (estimate.rows.zip(row_stats.row_bytes()))
        .map(|(rows, row_bytes)| (rows as f64 * row_bytes) as u64);
    estimate.seconds = (estimate.requests.zip(seconds_per_request(quota)))
        .map(|(requests, seconds)| requests as f64 * seconds);
    estimate
}

/// Adds to a sum. A sum with an unknown part is unknown.
fn add(sum: &mut Option<u64>, part: Option<u64>) {
    *sum = sum.zip(part).map(|(sum, part)| sum + part);
}

/// `None` if there is no quota.
fn seconds_per_request(quota: &QuotaSettings) -> Option<f64> {
    let RequestLimit { requests, per, .. } = quota.limit?;
    let usable = f64::from(requests.get()) * f64::from(quota.share) / 100.0;
    Some(per.as_secs_f64() / usable)
}
