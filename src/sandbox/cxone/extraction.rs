//! The data extraction: a job writes a file, and tells for a while where it is.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{
    sandbox::{
        cxone::{
            query, refusal,
            rows::{self, Row, Rows, Seed},
        },
        error,
        rng::Rng,
        set,
    },
    time::interval::Interval,
};

/// The paths of the jobs.
pub(in crate::sandbox) const JOBS: &str = "/data-extraction/v1/jobs";
/// The paths of the files, which need no token: each job's id follows.
pub(in crate::sandbox) const FILES: &str = "/data-extraction-files/";
/// Between two jobs of a tenant.
const APART: Duration = Duration::from_secs(30);
/// How long a job runs.
const RUNS: Duration = Duration::from_secs(2);
/// How long an address is good, from the poll that told it.
const ADDRESS: Duration = Duration::from_secs(30);
/// How long a file is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Jobs remembered: more than anybody can submit while a file is kept.
const MOST: usize = 4_096;
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
pub(in crate::sandbox) struct Jobs {
    last: Option<Duration>,
    jobs: BTreeMap<String, ExtractionJob>,
}

#[derive(Debug)]
struct ExtractionJob {
    interval: Interval,
    submitted: Duration,
    /// When its address was told last.
    told: Option<Duration>,
}

impl Jobs {
    /// Answers a request under [`JOBS`] of somebody who may ask.
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
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "send a GET"),
        }
    }

    fn submit(&mut self, seed: u64, now: Duration, body: &[u8]) -> Response<Bytes> {
        if self.last.is_some_and(|last| now.saturating_sub(last) < APART) {
            return refusal(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "one job in 30 seconds",
            );
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if (body["entityName"].as_str(), body["version"].as_str()) != (Some("contacts"), Some("1"))
        {
            return refusal(
                StatusCode::NOT_FOUND,
                "not_found",
                "missing entity or invalid version",
            );
        }
        let interval =
            match query::interval(body["startDate"].as_str(), body["endDate"].as_str(), 30, true) {
                Ok(interval) => interval,
                Err(reason) => return refusal(StatusCode::BAD_REQUEST, "bad_request", &reason),
            };
        self.last = Some(now);
        self.jobs.retain(|_, job| now.saturating_sub(job.submitted) < 2 * KEPT);
        if self.jobs.len() >= MOST {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "too many jobs");
        }
        let id = Rng::new([seed, 0x0e, now.as_millis() as u64, interval.from_ms().cast_unsigned()])
            .uuid()
            .to_string();
        self.jobs.insert(id.clone(), ExtractionJob { interval, submitted: now, told: None });
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
            return refusal(StatusCode::NOT_FOUND, "not_found", "there is no such job");
        };
        let status = job.status(now);
        let address = (status == "SUCCEEDED").then(|| format!("{here}{FILES}{id}.csv"));
        job.told = address.is_some().then_some(now);
        let result = json!({"url": address, "errorMessage": null});
        error::json(
            StatusCode::OK,
            &json!({"jobStatus": {"id": id, "status": status, "result": result}}),
        )
    }

    /// What the file at `path` is of, if its address is still good.
    pub(super) fn file(&self, now: Duration, path: &str) -> Option<Interval> {
        let job = self.jobs.get(path.strip_prefix(FILES)?.strip_suffix(".csv")?)?;
        let good = job.status(now) == "SUCCEEDED" && now.saturating_sub(job.told?) < ADDRESS;
        good.then_some(job.interval)
    }
}

impl ExtractionJob {
    fn status(&self, now: Duration) -> &'static str {
        match now.saturating_sub(self.submitted) {
            age if age < RUNS => "RUNNING",
            age if age < KEPT => "SUCCEEDED",
            _ => "EXPIRED",
        }
    }
}

/// The contacts of an interval, with the columns that a file has.
pub(super) fn contacts(world: Seed, interval: Interval) -> Option<Rows> {
    let narrow = |row: Row| {
        let row = row.write();
        Row::Made(COLUMNS.into_iter().map(|name| (name, row[name].clone())).collect())
    };
    Some(Box::new(rows::of(world, "contacts/completed", interval)?.map(narrow)))
}

/// The file: a byte order mark, a line of names, a line a contact.
pub(super) fn csv(world: Seed, interval: Interval) -> Response<Bytes> {
    let mut out = format!("\u{feff}{}\r\n", COLUMNS.join(","));
    for row in contacts(world, interval).into_iter().flatten().map(Row::write) {
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
