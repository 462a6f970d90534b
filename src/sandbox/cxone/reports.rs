//! The reports and lists under `/incontactapi/`: reads a request and answers with a page.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::sandbox::{
    cxone::{
        BUSINESS_UNIT,
        contacts::Tenant,
        error_response,
        rows::{self, Row},
    },
    error, set,
    time::{DAY_MS, TimeRange, iso},
};

/// The default and the largest number of rows of a page.
const MAX_PAGE_SIZE: usize = 10_000;
const QUARTER: i64 = 15 * 60_000;
/// The first version with the new names and without the `resultSet` wrapper.
const FIRST_NEW_VERSION: u32 = 33;
/// New names of columns, and the names in versions before [`FIRST_NEW_VERSION`].
const OLD_NAMES: [(&str, &str); 5] = [
    ("contactStartDate", "contactStart"),
    ("fromAddress", "fromAddr"),
    ("toAddress", "toAddr"),
    ("mediaTypeId", "mediaType"),
    ("conferenceSeconds", "confSeconds"),
];
/// Columns by which a report can be filtered.
const FILTERS: [&str; 5] = ["mediaTypeId", "skillId", "campaignId", "agentId", "teamId"];

/// The properties of one path.
struct Report {
    path: &'static str,
    /// The key of the list.
    rows: &'static str,
    /// The longest interval in days (0 = a list without an interval).
    max_days: i64,
    paged: bool,
    counted: bool,
    /// Whether both ends must lie on a quarter of an hour, and the second is exclusive.
    quarters: bool,
}

const REPORT: Report =
    Report { path: "", rows: "", max_days: 30, paged: true, counted: true, quarters: false };
const REPORTS: [Report; 14] = [
    Report { path: "contacts/completed", rows: "completedContacts", ..REPORT },
    Report { path: "contacts/state-history", rows: "contactStateHistory", ..REPORT },
    Report {
        path: "contacts/custom-data",
        rows: "ContactCustomData",
        max_days: 15,
        counted: false,
        ..REPORT
    },
    Report { path: "agents/interaction-history", rows: "contactStates", ..REPORT },
    Report { path: "agents/state-history", rows: "agentStateHistory", ..REPORT },
    Report { path: "skills/sla-summary", rows: "serviceLevelSummaries", ..REPORT },
    Report { path: "skills/summary", rows: "skillSummaries", paged: false, ..REPORT },
    Report {
        path: "agents/performance",
        rows: "agentPerformance",
        paged: false,
        quarters: true,
        ..REPORT
    },
    Report {
        path: "teams/performance-total",
        rows: "teamPerformanceTotal",
        paged: false,
        quarters: true,
        ..REPORT
    },
    Report { path: "agents", rows: "agents", max_days: 0, ..REPORT },
    Report { path: "teams", rows: "teams", max_days: 0, ..REPORT },
    Report { path: "skills", rows: "skills", max_days: 0, ..REPORT },
    Report { path: "campaigns", rows: "campaigns", max_days: 0, ..REPORT },
    Report { path: "dispositions", rows: "dispositions", max_days: 0, ..REPORT },
];

/// Answers a GET of `services/v{version}.0/{path}`.
pub(super) fn answer(
    tenant: Tenant,
    version: u32,
    path: &str,
    here: &str,
    request: &Request<Bytes>,
) -> Response<Bytes> {
    let Some(report) = REPORTS.iter().find(|report| report.path == path) else {
        return error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "the sandbox does not simulate this path",
        );
    };
    if request.method() != http::Method::GET {
        return error_response(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "send a GET");
    }
    let query = request.uri().query().unwrap_or_default();
    let report_request = ReportRequest {
        report,
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
    };
    let address = format!("{here}{}", request.uri().path());
    match report_request.page(tenant, version, &address) {
        Ok(Some(page)) => error::json(StatusCode::OK, &page),
        Ok(None) => status(StatusCode::NO_CONTENT),
        Err(reason) => bad_request(&reason),
    }
}

/// 400 as the reports send it: an empty body, the reason in a header.
pub(super) fn bad_request(reason: &str) -> Response<Bytes> {
    let mut reply = status(StatusCode::BAD_REQUEST);
    set(&mut reply, "icstatusdescription", reason);
    reply
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = status;
    reply
}

/// The interval between two dates, the second of which may be inclusive.
fn interval(
    from: Option<&str>,
    to: Option<&str>,
    max_days: i64,
    inclusive: bool,
) -> Result<TimeRange, String> {
    let date = |name: &str, text: Option<&str>| {
        let text = text.ok_or_else(|| format!("{name} is required"))?;
        let time = text.parse::<jiff::Timestamp>().ok().filter(|_| text.ends_with('Z'));
        Ok::<_, String>(
            time.ok_or_else(|| format!("{name} is not a valid date: {text}"))?.as_millisecond(),
        )
    };
    let (from, to) = (date("startDate", from)?, date("endDate", to)?);
    if to - from > max_days * DAY_MS {
        return Err(format!("The date range may not exceed {max_days} days"));
    }
    TimeRange::new(from, to + i64::from(inclusive))
        .ok_or_else(|| "endDate must be after startDate".to_owned())
}

struct ReportRequest<'a> {
    report: &'a Report,
    query: BTreeMap<String, String>,
}

impl ReportRequest<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, String> {
        self.get(name).map_or(Ok(default), |text| {
            text.parse().map_err(|_| format!("{name} is not a number: {text}"))
        })
    }

    fn interval(&self) -> Result<TimeRange, String> {
        let Report { max_days, quarters, .. } = *self.report;
        if max_days == 0 {
            return Ok(TimeRange::day(0));
        }
        let interval = interval(self.get("startDate"), self.get("endDate"), max_days, !quarters)?;
        if quarters && [interval.from, interval.to].iter().any(|at| at % QUARTER != 0) {
            return Err("startDate and endDate must be on 15 minute increments".to_owned());
        }
        Ok(interval)
    }

    /// The page. `None` if it has no rows.
    fn page(&self, tenant: Tenant, version: u32, address: &str) -> Result<Option<Value>, String> {
        let interval = self.interval()?;
        let (skip, top) = match self.report.paged {
            true => (self.number("skip", 0)?, self.number("top", MAX_PAGE_SIZE)?),
            false => (0, usize::MAX),
        };
        if self.report.paged && !(1..=MAX_PAGE_SIZE).contains(&top) {
            return Err(format!("top must be between 1 and {MAX_PAGE_SIZE}"));
        }
        let served = || {
            rows::served(tenant, self.report.path, interval)
                .map(|rows| self.filtered(rows))
                .into_iter()
                .flatten()
        };
        let mut list: Vec<Value> =
            served().skip(skip).take(top.saturating_add(1)).map(Row::write).collect();
        let more = list.len() > top;
        list.truncate(top);
        if list.is_empty() {
            return Ok(None);
        }
        for row in &mut list {
            self.rewrite(version, row);
        }
        let total =
            rows::of(tenant, self.report.path, interval).map(|rows| self.filtered(rows).count());
        let mut page = json!({"businessUnitId": BUSINESS_UNIT, "lastPollTime": iso(interval.to)});
        page[self.report.rows] = list.into();
        if self.report.counted && self.report.paged {
            page["totalRecords"] = json!(total);
        }
        if self.report.paged {
            page["_links"] = json!({
                "self": self.link(address, skip, top),
                "next": more.then(|| self.link(address, skip + top, top)),
                "previous": (skip > 0).then(|| self.link(address, skip.saturating_sub(top), top)),
            });
        }
        Ok(Some(if version < FIRST_NEW_VERSION {
            json!({"resultSet": stringified(page)})
        } else {
            page
        }))
    }

    /// The rows that match its filters.
    fn filtered(&self, rows: rows::Rows) -> rows::Rows {
        let filters: Vec<_> = FILTERS
            .iter()
            .filter_map(|&name| Some((name, self.get(name)?.parse::<i64>().ok())))
            .collect();
        if filters.is_empty() {
            return rows;
        }
        let passes = move |row: &Value| {
            filters.iter().all(|(name, value)| value.is_some() && row[name].as_i64() == *value)
        };
        Box::new(rows.map(Row::write).filter(passes).map(Row::Value))
    }

    /// Renames columns as the version has them and keeps the requested `fields`.
    fn rewrite(&self, version: u32, row: &mut Value) {
        let Value::Object(row) = row else { return };
        if version < FIRST_NEW_VERSION {
            for (new, old) in OLD_NAMES {
                if let Some(value) = row.remove(new) {
                    row.insert(old.to_owned(), value);
                }
            }
            if self.report.path == "skills/summary" {
                row.values_mut().for_each(durations_in_seconds);
            }
        }
        if let Some(fields) = self.get("fields") {
            row.retain(|name, _| fields.split(',').any(|field| field.trim() == name));
        }
    }

    /// The address of a page.
    fn link(&self, address: &str, skip: usize, top: usize) -> String {
        let mut query = self.query.clone();
        query.insert("skip".to_owned(), skip.to_string());
        query.insert("top".to_owned(), top.to_string());
        format!(
            "{address}?{}",
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish()
        )
    }
}

/// Turns an ISO 8601 duration into its seconds, as old versions send it.
fn durations_in_seconds(value: &mut Value) {
    let text = value.as_str().filter(|text| text.starts_with("PT"));
    let span: Option<SignedDuration> = text.and_then(|text| text.parse().ok());
    if let Some(span) = span {
        *value = span.as_secs().into();
    }
}

/// The value with every number and boolean in it as a string.
fn stringified(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, stringified(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.into_iter().map(stringified).collect(),
        Value::Number(number) => number.to_string().into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        other => other,
    }
}
