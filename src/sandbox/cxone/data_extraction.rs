//! The data extraction: a job writes a file, and gives an address that expires.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::{civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use crate::sandbox::{
    cxone::{
        error_response,
        extracts::{EXTRACTS, Extract},
    },
    error,
    rng::Rng,
    time::{DAY_MS, TimeRange},
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
/// The most days between the two dates of a job.
const MAX_DAYS: i64 = 14;

/// The jobs of the tenant.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct ExtractionJobs {
    last_submitted: Option<Duration>,
    jobs: BTreeMap<String, ExtractionJob>,
}

#[derive(Debug)]
struct ExtractionJob {
    extract: &'static Extract,
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
        let (entity, version) = (body["entityName"].as_str(), body["version"].as_str());
        let extract = EXTRACTS.iter().find(|extract| {
            entity == Some(extract.entity)
                && version.is_some_and(|version| extract.versions.contains(&version))
        });
        let Some(extract) = extract else {
            return error_response(
                StatusCode::NOT_FOUND,
                "not_found",
                "missing entity or invalid version",
            );
        };
        let interval = match interval(&body) {
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
        self.jobs.insert(
            id.clone(),
            ExtractionJob { extract, interval, submitted: now, address_given: None },
        );
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

    /// What the file at `path` holds. `None` if its address is not valid (any more).
    pub(super) fn file(&self, now: Duration, path: &str) -> Option<(&'static Extract, TimeRange)> {
        let job = self.jobs.get(path.strip_prefix(FILES)?.strip_suffix(".csv")?)?;
        let is_valid = job.status(now) == "SUCCEEDED"
            && now.saturating_sub(job.address_given?) < ADDRESS_LIFETIME;
        is_valid.then_some((job.extract, job.interval))
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

/// The days between the dates of a job, both of which belong to them.
fn interval(body: &Value) -> Result<TimeRange, String> {
    let day = |name: &str| {
        let text = body[name].as_str().ok_or_else(|| format!("{name} is required"))?;
        let is_bare = text.len() == "yyyy-MM-dd".len();
        let date: Option<Date> = text.parse().ok().filter(|_| is_bare);
        let midnight = date.map(|date| date.at(0, 0, 0, 0));
        let start = midnight.and_then(|time| TimeZone::UTC.to_timestamp(time).ok());
        let start = start.ok_or_else(|| format!("{name} is not a date, yyyy-MM-dd: {text}"))?;
        Ok::<_, String>(start.as_millisecond())
    };
    let (first, last) = (day("startDate")?, day("endDate")?);
    if last - first > MAX_DAYS * DAY_MS {
        return Err(format!("The date range may not exceed {MAX_DAYS} days"));
    }
    TimeRange::new(first, last + DAY_MS)
        .ok_or_else(|| "endDate must not be before startDate".to_owned())
}
