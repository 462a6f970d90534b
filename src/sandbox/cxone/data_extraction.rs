//! The data extraction: a job writes a file, and gives an address that expires.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::sandbox::{
    cxone::{
        error_response, reports,
        rows::{self, Row, Rows, Tenant},
    },
    error,
    rng::Rng,
    set,
    time::TimeRange,
};

/// The path of the jobs.
pub(in crate::sandbox) const JOBS: &str = "/data-extraction/v1/jobs";
/// The path of the files, which need no token: the id of the job follows.
pub(in crate::sandbox) const FILES: &str = "/data-extraction-files/";
/// The shortest time between two jobs of a tenant.
const MIN_SPACING: Duration = Duration::from_secs(30);
/// How long a job runs.
const RUN_TIME: Duration = Duration::from_secs(2);
/// How long an address is valid, from the poll that returned it.
const ADDRESS_LIFETIME: Duration = Duration::from_secs(30);
/// How long a file is kept.
const FILE_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The number of jobs kept: more than can be submitted while a file is kept.
const MAX_JOBS: usize = 4_096;
const COLUMNS: [&str; 20] = [
    "contactId",
    "masterContactId",
    "contactStartDate",
    "lastUpdateTime",
    "abandoned",
    "agentId",
    "agentSeconds",
    "campaignId",
    "endReason",
    "fromAddress",
    "inQueueSeconds",
    "isOutbound",
    "mediaTypeId",
    "mediaTypeName",
    "routingTime",
    "skillId",
    "skillName",
    "teamId",
    "toAddress",
    "totalDurationSeconds",
];

/// The jobs of the tenant.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct ExtractionJobs {
    last_submitted: Option<Duration>,
    jobs: BTreeMap<String, ExtractionJob>,
}

#[derive(Debug)]
struct ExtractionJob {
    interval: TimeRange,
    submitted: Duration,
    /// When its address was returned last.
    address_given: Option<Duration>,
}

impl ExtractionJobs {
    /// Answers an authorized request under [`JOBS`].
    pub(super) fn answer(
        &mut self,
        seed: u64,
        now: Duration,
        here: &str,
        request: &Request<Bytes>,
    ) -> Response<Bytes> {
        let id =
            request.uri().path().strip_prefix(JOBS).unwrap_or_default().trim_start_matches('/');
        match (request.method(), id) {
            (&Method::POST, "") => self.submit(seed, now, request.body()),
            (&Method::GET, "") => self.list(now),
            (&Method::GET, id) => self.poll(now, here, id),
            _ => error_response(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "send a GET"),
        }
    }

    fn submit(&mut self, seed: u64, now: Duration, body: &[u8]) -> Response<Bytes> {
        if self.last_submitted.is_some_and(|last| now.saturating_sub(last) < MIN_SPACING) {
            return error_response(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "one job in 30 seconds",
            );
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if (body["entityName"].as_str(), body["version"].as_str()) != (Some("contacts"), Some("1"))
        {
            return error_response(
                StatusCode::NOT_FOUND,
                "not_found",
                "missing entity or invalid version",
            );
        }
        let interval =
            match reports::interval(body["startDate"].as_str(), body["endDate"].as_str(), 30, true)
            {
                Ok(interval) => interval,
                Err(reason) => {
                    return error_response(StatusCode::BAD_REQUEST, "bad_request", &reason);
                }
            };
        self.last_submitted = Some(now);
        self.jobs.retain(|_, job| now.saturating_sub(job.submitted) < 2 * FILE_LIFETIME);
        if self.jobs.len() >= MAX_JOBS {
            return error_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "too many jobs");
        }
        let id = Rng::new([seed, 0x0e, now.as_millis() as u64, interval.from.cast_unsigned()])
            .uuid()
            .to_string();
        self.jobs
            .insert(id.clone(), ExtractionJob { interval, submitted: now, address_given: None });
        error::json(StatusCode::ACCEPTED, &id)
    }

    fn list(&self, now: Duration) -> Response<Bytes> {
        let jobs: Vec<_> = self
            .jobs
            .iter()
            .map(|(id, job)| json!({"id": id, "status": job.status(now)}))
            .collect();
        error::json(StatusCode::OK, &json!({"jobs": jobs}))
    }

    fn poll(&mut self, now: Duration, here: &str, id: &str) -> Response<Bytes> {
        let Some(job) = self.jobs.get_mut(id) else {
            return error_response(StatusCode::NOT_FOUND, "not_found", "there is no such job");
        };
        let status = job.status(now);
        let address = (status == "SUCCEEDED").then(|| format!("{here}{FILES}{id}.csv"));
        job.address_given = address.is_some().then_some(now);
        let result = json!({"url": address, "errorMessage": null});
        error::json(
            StatusCode::OK,
            &json!({"jobStatus": {"id": id, "status": status, "result": result}}),
        )
    }

    /// The interval of the file at `path`. `None` if its address is not valid (any more).
    pub(super) fn file(&self, now: Duration, path: &str) -> Option<TimeRange> {
        let job = self.jobs.get(path.strip_prefix(FILES)?.strip_suffix(".csv")?)?;
        let is_valid = job.status(now) == "SUCCEEDED"
            && now.saturating_sub(job.address_given?) < ADDRESS_LIFETIME;
        is_valid.then_some(job.interval)
    }
}

impl ExtractionJob {
    fn status(&self, now: Duration) -> &'static str {
        match now.saturating_sub(self.submitted) {
            age if age < RUN_TIME => "RUNNING",
            age if age < FILE_LIFETIME => "SUCCEEDED",
            _ => "EXPIRED",
        }
    }
}

/// The contacts of an interval, with the columns of a file.
pub(super) fn contacts(tenant: Tenant, interval: TimeRange) -> Option<Rows> {
    let select = |row: Row| {
        let row = row.write();
        Row::Value(COLUMNS.into_iter().map(|name| (name, row[name].clone())).collect())
    };
    Some(Box::new(rows::of(tenant, "contacts/completed", interval)?.map(select)))
}

/// The file: a byte order mark, a line of names, one line per contact.
pub(super) fn csv(tenant: Tenant, interval: TimeRange) -> Response<Bytes> {
    let mut out = format!("\u{feff}{}\r\n", COLUMNS.join(","));
    for row in contacts(tenant, interval).into_iter().flatten().map(Row::write) {
        let fields = COLUMNS.map(|name| match &row[name] {
            Value::Null => String::new(),
            Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
            other => other.to_string(),
        });
        out.push_str(&fields.join(","));
        out.push_str("\r\n");
    }
    let mut reply = Response::new(out.into());
    set(&mut reply, CONTENT_TYPE.as_str(), "text/csv");
    reply
}
