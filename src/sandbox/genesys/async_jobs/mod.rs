//! Asynchronous queries: submit, poll, fetch the results page by page.
//!
//! All kinds share this code; their differences (path, vocabulary, body, rows) are data in
//! [`kinds::KINDS`]. A job keeps its query and its time of submission, not its results: its stage
//! is a function of the time (`job`), its pages are computed from the records (`responses`).

pub(crate) mod job;
pub(crate) mod kinds;
mod responses;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use self::{
    job::{ActiveJob, Stage},
    kinds::JobKind,
};
use crate::sandbox::{Region, error::ApiError, genesys::request, limits::RequestWindow, rng::Rng};

/// Jobs kept: with one more the oldest is dropped.
const JOBS_KEPT: usize = 4096;

/// The jobs of a region, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    submitted: u64,
    jobs: VecDeque<ActiveJob>,
    second: RequestWindow,
}

impl Queue {
    /// Accepts a job.
    ///
    /// # Errors
    ///
    /// 429 if there are too many in this second, or too many unfinished ones.
    fn submit(
        &mut self,
        region: &Region,
        now: Duration,
        job: ActiveJob,
    ) -> Result<ActiveJob, ApiError> {
        let settings = &region.settings.jobs;
        if settings.per_second > 0
            && self.second.count(now, Duration::from_secs(1)) > settings.per_second
        {
            return Err(ApiError::too_many_requests(1));
        }
        let unfinished = |other: &&ActiveJob| {
            std::ptr::eq(other.kind, job.kind)
                && matches!(other.stage(settings, now), Stage::Queued | Stage::Running)
        };
        if settings.concurrent > 0
            && self.jobs.iter().filter(unfinished).count() >= settings.concurrent as usize
        {
            let message = "The maximum number of concurrent asynchronous queries has been reached.";
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too.many.requests", message));
        }
        self.submitted += 1;
        let id = Rng::new([region.settings.seed, 0x10b5, self.submitted, 0]).uuid().to_string();
        let job = ActiveJob { number: self.submitted, id, ..job };
        self.jobs.push_back(job.clone());
        if self.jobs.len() > JOBS_KEPT {
            self.jobs.pop_front();
        }
        Ok(job)
    }

    fn find(&mut self, kind: &'static JobKind, id: &str) -> Result<&mut ActiveJob, ApiError> {
        let matches = |job: &&mut ActiveJob| job.id == id && std::ptr::eq(job.kind, kind);
        self.jobs.iter_mut().find(matches).ok_or_else(ApiError::not_found)
    }
}

/// Answers a request below the path of a kind.
pub(crate) fn answer(
    kind: &'static JobKind,
    region: &Region,
    now: Duration,
    request: &Request<Bytes>,
) -> Result<(StatusCode, Bytes), ApiError> {
    let method = request.method();
    let rest = &request.uri().path()[kind.path.len()..];
    let parts: Vec<_> = rest.split('/').skip(1).collect();
    match parts[..] {
        [] if method == Method::POST => submit(kind, region, now, request),
        ["availability"] if method == Method::GET && kind.has_availability() => Ok((
            StatusCode::OK,
            responses::availability(region.settings.jobs.available_until_ms(now)),
        )),
        [id] if method == Method::GET && kind.has_state() => {
            let job = region.state().queue.find(kind, id)?.clone();
            Ok((StatusCode::OK, responses::state(&job, region, now)?))
        }
        [id] if method == Method::DELETE && kind.has_availability() => delete(kind, region, id),
        [id, "results"] if method == Method::GET => {
            let job = region.state().queue.find(kind, id)?.clone();
            let page = responses::results(&job, region, now, request.uri().query())?;
            if let Ok(job) = region.state().queue.find(kind, id) {
                job.fetched |= job.stage(&region.settings.jobs, now) == Stage::Done;
            }
            Ok((StatusCode::OK, page))
        }
        [] | [_] | [_, "results"] => Err(ApiError::method_not_allowed()),
        _ => Err(ApiError::not_found()),
    }
}

fn submit(
    kind: &'static JobKind,
    region: &Region,
    now: Duration,
    request: &Request<Bytes>,
) -> Result<(StatusCode, Bytes), ApiError> {
    let available_until = region.settings.jobs.available_until_ms(now);
    let query = (kind.read)(request::json_body(request)?, region.settings.seed, available_until)?;
    let job = ActiveJob {
        number: 0,
        id: String::new(),
        kind,
        query: Arc::new(query),
        submitted: now,
        available_until,
        fetched: false,
    };
    let job = region.state().queue.submit(region, now, job)?;
    Ok((
        alternating_status(&job, [StatusCode::OK, StatusCode::ACCEPTED]),
        responses::accepted(&job, region, now)?,
    ))
}

fn delete(
    kind: &'static JobKind,
    region: &Region,
    id: &str,
) -> Result<(StatusCode, Bytes), ApiError> {
    let queue = &mut region.state().queue;
    let job = queue.find(kind, id)?.clone();
    queue.jobs.retain(|other| other.number != job.number);
    Ok((alternating_status(&job, [StatusCode::OK, StatusCode::NO_CONTENT]), Bytes::new()))
}

/// The platform's documentation gives both: jobs get them in turn.
fn alternating_status(job: &ActiveJob, statuses: [StatusCode; 2]) -> StatusCode {
    statuses[usize::from(job.number.is_multiple_of(2))]
}
