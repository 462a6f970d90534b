//! The cost of a backfill, from what the platform counted and from what is committed already.

use serde::Serialize;

use crate::{
    commands::gaps::TimeSpan,
    fetch::{FetchSettings, ShardSizing, Strategy, request_count_by_id},
    http::rate_limit::{QuotaSettings, RequestLimit},
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
    /// Requests by query, and by id for open rows. `None` if the dataset has no query, or the
    /// number is not known.
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
    sizing: &ShardSizing<'_>,
    quota: &QuotaSettings,
) -> Estimate {
    let (dataset, row_stats) = (sizing.dataset, sizing.row_stats);
    let settings = |strategy| FetchSettings { strategy, ..sizing.settings.clone() };
    let [of_query, of_job] = [Strategy::Query, Strategy::Job].map(settings);
    let query = ShardSizing { settings: &of_query, ..*sizing };
    let job = ShardSizing { settings: &of_job, ..*sizing };
    let mut estimate = Estimate {
        rows: Some(0),
        requests_by_query: dataset.query.as_ref().filter(|_| !dataset.has_extras()).map(|_| 0),
        requests_by_job: dataset.job.as_ref().map(|_| 0),
        requests: Some(0),
        committed_hours: row_stats.committed.2.as_secs_f64() / 3_600.0,
        ..Estimate::default()
    };
    let (mut uses_job, mut may_use_job) = (false, false);
    for shard in shards {
        let requests_by = |sizing: &ShardSizing<'_>| match shard.open_rows {
            Some(open) => request_count_by_id(dataset, open, sizing.settings.page_size),
            None => sizing.requests(shard.interval),
        };
        may_use_job |= shard.open_rows.is_none();
        uses_job |= shard.open_rows.is_none() && sizing.uses_job(shard.interval);
        estimate.shards += 1;
        estimate.hours += shard.interval.width().as_secs_f64() / 3_600.0;
        add(&mut estimate.rows, row_stats.rows(shard.interval));
        add(&mut estimate.requests_by_query, requests_by(&query));
        add(&mut estimate.requests_by_job, requests_by(&job));
        add(&mut estimate.requests, requests_by(sizing));
    }
    // a run asks once up to when jobs have data
    let availability = u64::from(dataset.job.as_ref().is_some_and(|job| job.says_availability()));
    add(&mut estimate.requests_by_job, Some(availability * u64::from(may_use_job)));
    add(&mut estimate.requests, Some(availability * u64::from(uses_job)));
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
