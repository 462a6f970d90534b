//! Aggregate queries: counts and durations by group and time bucket.
//!
//! For conversations and flows the sums are taken over the records, session by session. The
//! platform counts a metric when it is emitted; the sandbox counts it in the bucket in which its
//! conversation began, so that the conversations of a bucket add up to its sums. The times of users
//! are random for each bucket: they are not those of the user details.

mod sums;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use self::sums::AggregateStats;
use crate::sandbox::{
    error::ApiError,
    genesys::{conversations::records::Records, filter::RequestedFilter},
    time::{DAY_MS, TimeRange, iso},
};

/// Limits of the sandbox, which sums in memory: the longest interval and the number of buckets.
const MAX_LENGTH_MS: i64 = 366 * DAY_MS;
const MAX_BUCKETS: i64 = 20_000;

/// What an aggregate query counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Conversations,
    Flows,
    Users,
}

/// The subject of the aggregates at a path, and the permission that it needs.
pub(crate) fn at(path: &str) -> Option<(Subject, &'static str)> {
    match path.strip_prefix("/api/v2/analytics/")?.strip_suffix("/aggregates/query")? {
        "conversations" => Some((Subject::Conversations, "analytics:conversationAggregate:view")),
        "flows" => Some((Subject::Flows, "analytics:flowAggregate:view")),
        "users" => Some((Subject::Users, "analytics:userAggregate:view")),
        _ => None,
    }
}

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AggregateQueryBody {
    interval: Option<String>,
    granularity: Option<String>,
    time_zone: Option<String>,
    group_by: Option<Vec<String>>,
    filter: Option<RequestedFilter>,
    metrics: Option<Vec<String>>,
    views: Option<Vec<IgnoredAny>>,
    alternate_time_dimension: Option<String>,
    query_type: Option<String>,
}

/// A query that can be answered.
#[derive(Clone, Debug)]
pub(crate) struct AggregateQuery {
    subject: Subject,
    interval: TimeRange,
    /// The length of a bucket in milliseconds.
    granularity: i64,
    group_by: Vec<String>,
    filter: Option<RequestedFilter>,
    metrics: Vec<String>,
}

/// The dimensions that a group or a filter may name.
const DIMENSIONS: [&str; 8] = [
    "mediaType",
    "direction",
    "originatingDirection",
    "purpose",
    "queueId",
    "userId",
    "flowId",
    "flowName",
];

impl AggregateQuery {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// 400, with the platform's message where the platform rejects the query too.
    pub(crate) fn read(subject: Subject, body: &[u8]) -> Result<Self, ApiError> {
        let body: AggregateQueryBody = serde_json::from_slice(body).map_err(|_| {
            ApiError::bad_request(
                "The request could not be understood by the server due to malformed syntax.",
            )
        })?;
        let reject = |what: &str| Err(ApiError::bad_request(what));
        if body.views.is_some_and(|views| !views.is_empty())
            || body.alternate_time_dimension.is_some()
        {
            return reject("views and alternateTimeDimension are not simulated by the sandbox");
        }
        if body.time_zone.is_some_and(|zone| zone != "UTC")
            || body.query_type.is_some_and(|of| of != "groupBy")
        {
            return reject("time zones and query types are not simulated by the sandbox");
        }
        let Some(metrics) = body.metrics.filter(|metrics| !metrics.is_empty()) else {
            return reject("metrics must not be empty");
        };
        let interval: TimeRange = body
            .interval
            .unwrap_or_default()
            .parse()
            .map_err(|error| ApiError::bad_request(format!("Invalid interval: {error}")))?;
        let group_by = body.group_by.unwrap_or_default();
        let known = if subject == Subject::Users { &["userId"][..] } else { &DIMENSIONS };
        if let Some(unknown) = group_by.iter().find(|name| !known.contains(&name.as_str())) {
            return reject(&format!("unknown dimension: {unknown}"));
        }
        body.filter.as_ref().map_or(Ok(()), |filter| filter.check(known))?;
        let Some(granularity) = body.granularity.as_deref().map_or(Some(i64::MAX), milliseconds)
        else {
            return reject("Invalid granularity");
        };
        let length = interval.length();
        if length > MAX_LENGTH_MS || length / granularity > MAX_BUCKETS {
            return reject(
                "the interval is too long, or the granularity too fine, for the sandbox",
            );
        }
        Ok(Self { subject, interval, granularity, group_by, filter: body.filter, metrics })
    }

    /// The reply: a result for each group, with the buckets that are not empty.
    pub(crate) fn reply(&self, records: &Records) -> Bytes {
        let results = self.sums(records).into_iter().map(|(group, buckets)| {
            let data: Vec<_> =
                buckets.iter().map(|(start, sums)| self.bucket(*start, sums)).collect();
            json!({"group": self.group(&group), "data": data})
        });
        json!({"results": results.collect::<Vec<_>>()}).to_string().into()
    }

    /// The rows: a line for each bucket of each group.
    pub(crate) fn lines(&self, records: &Records) -> Bytes {
        let mut lines = String::new();
        for (group, buckets) in self.sums(records) {
            for (start, sums) in buckets {
                let mut row = self.bucket(start, &sums);
                row["group"] = self.group(&group);
                lines.push_str(&format!("{row}\n"));
            }
        }
        lines.into()
    }

    fn group(&self, values: &[Option<String>]) -> Value {
        let dimensions = self.group_by.iter().zip(values);
        dimensions
            .filter_map(|(name, value)| Some((name.clone(), Value::from(value.clone()?))))
            .collect()
    }

    fn bucket(&self, start: i64, sums: &BTreeMap<(String, &'static str), AggregateStats>) -> Value {
        let end = start.saturating_add(self.granularity).min(self.interval.to);
        let metrics = sums.iter().map(|((metric, qualifier), stats)| {
            let stats = match metric.starts_with('n') {
                true => json!({"count": stats.sum}),
                false => json!({
                    "count": stats.count,
                    "sum": stats.sum as f64,
                    "min": stats.min as f64,
                    "max": stats.max as f64,
                }),
            };
            match *qualifier {
                "" => json!({"metric": metric, "stats": stats}),
                qualifier => json!({"metric": metric, "qualifier": qualifier, "stats": stats}),
            }
        });
        json!({"interval": format!("{}/{}", iso(start), iso(end)), "metrics": metrics.collect::<Vec<_>>()})
    }
}

/// The length of an ISO 8601 duration. `None` if it is not a fixed positive length.
fn milliseconds(text: &str) -> Option<i64> {
    let span: jiff::Span = text.parse().ok()?;
    let length =
        span.total((jiff::Unit::Millisecond, jiff::SpanRelativeTo::days_are_24_hours())).ok()?;
    (length >= 1.0).then_some(length as i64)
}

/// The days of an interval, clipped to it: the buckets of the catalogue's queries divide a day.
fn daily(interval: TimeRange) -> impl Iterator<Item = TimeRange> {
    interval.days().filter_map(move |day| TimeRange::day(day).intersect(interval))
}

/// The rows of a dataset that the catalogue fetches by an aggregate query with its defaults.
pub(crate) fn truth(
    records: Arc<Records>,
    dataset: &str,
    interval: TimeRange,
) -> Option<impl Iterator<Item = Bytes> + Send + use<>> {
    let catalogue: toml::Table =
        toml::from_str(include_str!("../../../catalog/genesys.toml")).ok()?;
    let query = catalogue.get("dataset")?.get(dataset)?.get("query")?;
    let (subject, _) = at(query.get("path")?.as_str()?)?;
    let mut body = serde_json::to_value(query.get("defaults")?).ok()?;
    body["interval"] = interval.to_string().into();
    let query = AggregateQuery::read(subject, body.to_string().as_bytes()).ok()?;
    Some(
        daily(interval)
            .map(move |interval| AggregateQuery { interval, ..query.clone() }.lines(&records)),
    )
}
