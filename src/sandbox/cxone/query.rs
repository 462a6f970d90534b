//! The reports and lists under `/incontactapi/`: what is asked for, and the page that answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    sandbox::{
        cxone::{
            BUSINESS_UNIT, refusal,
            rows::{self, Row, Seed},
        },
        error, set,
    },
    time::interval::{DAY_MS, Interval},
};

/// Rows of a page, if not said otherwise, and at most.
const MOST: usize = 10_000;
const QUARTER: i64 = 15 * 60_000;
/// From here on names are the new ones and nothing is wrapped.
const NEW_NAMES: u32 = 33;
/// The names that versions before [`NEW_NAMES`] have for columns, and theirs.
const OLD_NAMES: [(&str, &str); 5] = [
    ("contactStartDate", "contactStart"),
    ("fromAddress", "fromAddr"),
    ("toAddress", "toAddr"),
    ("mediaTypeId", "mediaType"),
    ("conferenceSeconds", "confSeconds"),
];
/// Columns by which a report can be narrowed.
const FILTERS: [&str; 5] = ["mediaTypeId", "skillId", "campaignId", "agentId", "teamId"];

/// What one path is like.
struct Report {
    path: &'static str,
    /// The key of the list.
    rows: &'static str,
    /// The longest interval in days; 0 for a list without one.
    days: i64,
    paged: bool,
    counted: bool,
    /// Both ends lie on a quarter of an hour, and the second is not inclusive.
    quarters: bool,
}

const REPORT: Report =
    Report { path: "", rows: "", days: 30, paged: true, counted: true, quarters: false };
const REPORTS: [Report; 14] = [
    Report { path: "contacts/completed", rows: "completedContacts", ..REPORT },
    Report { path: "contacts/state-history", rows: "contactStateHistory", ..REPORT },
    Report {
        path: "contacts/custom-data",
        rows: "ContactCustomData",
        days: 15,
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
    Report { path: "agents", rows: "agents", days: 0, ..REPORT },
    Report { path: "teams", rows: "teams", days: 0, ..REPORT },
    Report { path: "skills", rows: "skills", days: 0, ..REPORT },
    Report { path: "campaigns", rows: "campaigns", days: 0, ..REPORT },
    Report { path: "dispositions", rows: "dispositions", days: 0, ..REPORT },
];

/// Answers a GET of `services/v{version}.0/{path}`.
pub(super) fn answer(
    world: Seed,
    version: u32,
    path: &str,
    here: &str,
    request: &Request<Bytes>,
) -> Response<Bytes> {
    let Some(report) = REPORTS.iter().find(|report| report.path == path) else {
        return refusal(StatusCode::NOT_FOUND, "not_found", "the sandbox does not play this path");
    };
    if request.method() != http::Method::GET {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "send a GET");
    }
    let query = request.uri().query().unwrap_or_default();
    let asked = ReportRequest {
        report,
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
    };
    let address = format!("{here}{}", request.uri().path());
    match asked.page(world, version, &address) {
        Ok(Some(page)) => error::json(StatusCode::OK, &page),
        Ok(None) => status(StatusCode::NO_CONTENT),
        Err(reason) => bad_request(&reason),
    }
}

/// A refusal as the reports have it: nothing in the body, the reason in a header.
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

/// The interval between two dates, the second inclusive if it says so.
pub(super) fn interval(
    from: Option<&str>,
    to: Option<&str>,
    days: i64,
    inclusive: bool,
) -> Result<Interval, String> {
    let date = |name: &str, text: Option<&str>| {
        let text = text.ok_or_else(|| format!("{name} is required"))?;
        let time = text.parse::<jiff::Timestamp>().ok().filter(|_| text.ends_with('Z'));
        Ok::<_, String>(
            time.ok_or_else(|| format!("{name} is not a valid date: {text}"))?.as_millisecond(),
        )
    };
    let (from, to) = (date("startDate", from)?, date("endDate", to)?);
    if to - from > days * DAY_MS {
        return Err(format!("The date range may not exceed {days} days"));
    }
    Interval::new(from, to + i64::from(inclusive))
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

    fn interval(&self) -> Result<Interval, String> {
        let Report { days, quarters, .. } = *self.report;
        if days == 0 {
            return Ok(Interval::day_of(0));
        }
        let asked = interval(self.get("startDate"), self.get("endDate"), days, !quarters)?;
        if quarters && [asked.from_ms(), asked.to_ms()].iter().any(|at| at % QUARTER != 0) {
            return Err("startDate and endDate must be on 15 minute increments".to_owned());
        }
        Ok(asked)
    }

    /// The page, or none if there is nothing on it.
    fn page(&self, world: Seed, version: u32, address: &str) -> Result<Option<Value>, String> {
        let interval = self.interval()?;
        let (skip, top) = match self.report.paged {
            true => (self.number("skip", 0)?, self.number("top", MOST)?),
            false => (0, usize::MAX),
        };
        if self.report.paged && !(1..=MOST).contains(&top) {
            return Err(format!("top must be between 1 and {MOST}"));
        }
        let told = || {
            rows::told(world, self.report.path, interval)
                .map(|rows| self.narrow(rows))
                .into_iter()
                .flatten()
        };
        let mut list: Vec<Value> =
            told().skip(skip).take(top.saturating_add(1)).map(Row::write).collect();
        let more = list.len() > top;
        list.truncate(top);
        if list.is_empty() {
            return Ok(None);
        }
        for row in &mut list {
            self.rewrite(version, row);
        }
        let total =
            rows::of(world, self.report.path, interval).map(|rows| self.narrow(rows).count());
        let mut page = json!({"businessUnitId": BUSINESS_UNIT, "lastPollTime": crate::time::interval::iso(interval.to_ms())});
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
        Ok(Some(if version < NEW_NAMES { json!({"resultSet": texts(page)}) } else { page }))
    }

    /// The rows that its filters let through.
    fn narrow(&self, rows: rows::Rows) -> rows::Rows {
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
        Box::new(rows.map(Row::write).filter(passes).map(Row::Made))
    }

    /// Keeps the `fields` that are asked for, under the names of the version.
    fn rewrite(&self, version: u32, row: &mut Value) {
        let Value::Object(row) = row else { return };
        if version < NEW_NAMES {
            for (new, old) in OLD_NAMES {
                if let Some(value) = row.remove(new) {
                    row.insert(old.to_owned(), value);
                }
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

/// The value with every number and truth in it as a text.
fn texts(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, texts(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.into_iter().map(texts).collect(),
        Value::Number(number) => number.to_string().into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        other => other,
    }
}
