//! Asynchronous queries: submit, poll, fetch the results page by page.
//!
//! One machine plays them all. What tells them apart is in [`KINDS`]: the path, the words, how the
//! body is read and where the rows come from. A job keeps what it was asked and when, and nothing
//! of its results: its state follows from the time, its pages from the records.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use crate::sandbox::{
    genesys::{
        ApiError, Region,
        async_job::{ActiveJob, Stage},
        job_kinds::JobKind,
        json_body, responses,
    },
    limits::RequestWindow,
    rng::Rng,
};

/// The jobs that are remembered: one more and the oldest is forgotten.
const JOBS_KEPT: usize = 4096;

/// The jobs of a region, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    submitted: u64,
    jobs: VecDeque<ActiveJob>,
    second: RequestWindow,
}

impl Queue {
    /// Takes a query in.
    ///
    /// # Errors
    ///
    /// 429: too many in this second, or too many that have not ended.
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
        let asked = |job: &&mut ActiveJob| job.id == id && std::ptr::eq(job.kind, kind);
        self.jobs.iter_mut().find(asked).ok_or_else(ApiError::not_found)
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
        ["availability"] if method == Method::GET && kind.has_availability() => {
            Ok((StatusCode::OK, responses::availability(region.settings.jobs.until(now))))
        }
        [id] if method == Method::GET && kind.tells_its_state() => {
            let job = region.state().queue.find(kind, id)?.clone();
            Ok((StatusCode::OK, responses::state(&job, &region.settings.jobs, now)?))
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
    let until = region.settings.jobs.until(now);
    let ask = (kind.read)(json_body(request)?, region.settings.seed, until)?;
    let job = ActiveJob {
        number: 0,
        id: String::new(),
        kind,
        ask: Arc::new(ask),
        at: now,
        until,
        fetched: false,
    };
    let job = region.state().queue.submit(region, now, job)?;
    Ok((
        by_turns(&job, [StatusCode::OK, StatusCode::ACCEPTED]),
        responses::accepted(&job, &region.settings.jobs, now)?,
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
    Ok((by_turns(&job, [StatusCode::OK, StatusCode::NO_CONTENT]), Bytes::new()))
}

/// Both are said of the platform: a client meets both.
fn by_turns(job: &ActiveJob, statuses: [StatusCode; 2]) -> StatusCode {
    statuses[usize::from(job.number.is_multiple_of(2))]
}
