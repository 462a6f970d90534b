//! Aggregate queries: how often and how long, by group and span of time.
//!
//! Of conversations and flows the sums are taken over the records themselves, session by session.
//! The platform counts a metric when it is emitted; here it counts in the span in which its
//! conversation began, so that what the truth tells of a span's conversations adds up to its sums.
//! The times of users are drawn for each span: they are not those of the user details.

mod sums;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use self::sums::AggregateStats;
use crate::{
    sandbox::{
        error::ApiError,
        genesys::{
            filter::RequestedFilter,
            records::{Records, days_of},
        },
    },
    time::interval::{DAY_MS, Interval, iso},
};

/// The longest interval, and the most spans in it: limits of the sandbox, which adds up in memory.
const WIDEST: Duration = Duration::from_secs(366 * 86_400);
const MOST_SPANS: i64 = 20_000;

/// What there are aggregates of.
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
    interval: Interval,
    /// The length of a span in milliseconds.
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
    /// 400 in the platform's words for what it refuses, and in ours for what is not played here.
    pub(crate) fn read(subject: Subject, body: &[u8]) -> Result<Self, ApiError> {
        let body: AggregateQueryBody = serde_json::from_slice(body).map_err(|_| {
            ApiError::bad_request(
                "The request could not be understood by the server due to malformed syntax.",
            )
        })?;
        let refuse = |what: &str| Err(ApiError::bad_request(what));
        if body.views.is_some_and(|views| !views.is_empty())
            || body.alternate_time_dimension.is_some()
        {
            return refuse("views and alternateTimeDimension are not played by the sandbox");
        }
        if body.time_zone.is_some_and(|zone| zone != "UTC")
            || body.query_type.is_some_and(|of| of != "groupBy")
        {
            return refuse("time zones and query types are not played by the sandbox");
        }
        let Some(metrics) = body.metrics.filter(|metrics| !metrics.is_empty()) else {
            return refuse("metrics must not be empty");
        };
        let interval: Interval = body
            .interval
            .unwrap_or_default()
            .parse()
            .map_err(|error| ApiError::bad_request(format!("Invalid interval: {error}")))?;
        let group_by = body.group_by.unwrap_or_default();
        let known = if subject == Subject::Users { &["userId"][..] } else { &DIMENSIONS };
        if let Some(unknown) = group_by.iter().find(|name| !known.contains(&name.as_str())) {
            return refuse(&format!("unknown dimension: {unknown}"));
        }
        body.filter.as_ref().map_or(Ok(()), |filter| filter.check(known))?;
        let Some(granularity) = body.granularity.as_deref().map_or(Some(i64::MAX), milliseconds)
        else {
            return refuse("Invalid granularity");
        };
        let length = interval.to_ms() - interval.from_ms();
        if interval.width() > WIDEST || length / granularity > MOST_SPANS {
            return refuse(
                "the interval is too long, or the granularity too fine, for the sandbox",
            );
        }
        Ok(Self { subject, interval, granularity, group_by, filter: body.filter, metrics })
    }

    /// The reply: a result for each group, with the spans in which it has anything.
    pub(crate) fn reply(&self, records: &Records) -> Bytes {
        let results = self.sums(records).into_iter().map(|(group, spans)| {
            let data: Vec<_> = spans.iter().map(|(start, sums)| self.span(*start, sums)).collect();
            json!({"group": self.group(&group), "data": data})
        });
        json!({"results": results.collect::<Vec<_>>()}).to_string().into()
    }

    /// The rows: a line for each span of each group.
    pub(crate) fn lines(&self, records: &Records) -> Bytes {
        let mut lines = String::new();
        for (group, spans) in self.sums(records) {
            for (start, sums) in spans {
                let mut row = self.span(start, &sums);
                row["group"] = self.group(&group);
                lines.push_str(&format!("{row}\n"));
            }
        }
        lines.into()
    }

    fn group(&self, values: &[Option<String>]) -> Value {
        let named = self.group_by.iter().zip(values);
        named
            .filter_map(|(name, value)| Some((name.clone(), Value::from(value.clone()?))))
            .collect()
    }

    fn span(&self, start: i64, sums: &BTreeMap<(String, &'static str), AggregateStats>) -> Value {
        let end = start.saturating_add(self.granularity).min(self.interval.to_ms());
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

/// The length of an ISO 8601 duration; none for one that is no fixed time, or no time.
fn milliseconds(text: &str) -> Option<i64> {
    let span: jiff::Span = text.parse().ok()?;
    let length =
        span.total((jiff::Unit::Millisecond, jiff::SpanRelativeTo::days_are_24_hours())).ok()?;
    (length >= 1.0).then_some(length as i64)
}

/// The days of an interval, cut to it: the spans of the catalogue's queries fit into a day.
fn daily(interval: Interval) -> impl Iterator<Item = Interval> {
    days_of(interval).filter_map(move |day| {
        let (from, to) = (day * DAY_MS, (day + 1) * DAY_MS);
        Interval::new(from.max(interval.from_ms()), to.min(interval.to_ms()))
    })
}

/// The rows of a dataset that asks what the catalogue asks if the user wishes nothing else.
pub(crate) fn truth(
    records: Arc<Records>,
    dataset: &str,
    interval: Interval,
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
