//! Asynchronous queries: submit, poll, fetch the results page by page.
//!
//! One machine plays them all. What tells them apart is in [`KINDS`]: the path, the words, how the
//! body is read and where the rows come from. A job keeps what it was asked and when, and nothing
//! of its results: its state follows from the time, its pages from the records.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use jiff::Timestamp;

use super::{
    super::limits::Window,
    Fault, Region,
    data::LAST_DAY,
    dice::Dice,
    json_body,
    kinds::{Ask, Kind},
    replies,
};
use crate::interval::DAY_MS;

/// The jobs that are remembered: one more and the oldest is forgotten.
const JOBS_KEPT: usize = 4096;

/// What asynchronous queries are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// How long a job waits before it runs.
    pub queued: Duration,
    /// How long it then runs.
    pub running: Duration,
    /// How long its results are there then.
    pub kept: Duration,
    /// Every how manieth job fails; 0 for none.
    pub fail_every: u32,
    /// Every how manieth job loses its results before their time: by turns as soon as they are
    /// there, and after their first page; 0 for none.
    pub expire_every: u32,
    /// Jobs of one kind that may wait or run at once: one more is refused with a 429 that does not
    /// say for how long; 0 for any number.
    pub concurrent: u32,
    /// Jobs that may be submitted in a second: one more is refused with a 429; 0 for any number.
    pub per_second: u32,
    /// The most rows of a page of conversations or user details.
    pub page_size: u32,
    /// Until when details are available to jobs at the start; this advances with time. None for
    /// everything.
    pub available_until: Option<Timestamp>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            queued: Duration::from_millis(100),
            running: Duration::from_millis(400),
            kept: Duration::from_secs(60 * 60),
            fail_every: 0,
            expire_every: 0,
            concurrent: 10,
            per_second: 10,
            page_size: 2000,
            available_until: None,
        }
    }
}

impl Jobs {
    /// Until when details are available, in milliseconds since 1970.
    pub(super) fn until(&self, now: Duration) -> i64 {
        let passed = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.available_until.map_or((LAST_DAY + 1) * DAY_MS, |time| time.as_millisecond().saturating_add(passed))
    }
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Queued,
    Running,
    Done,
    Failed,
    Expired,
}

/// A query that was submitted.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// How manieth it is of all.
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) kind: &'static Kind,
    pub(super) ask: Arc<Ask>,
    /// When it was submitted.
    pub(super) at: Duration,
    /// Until when details were available to it.
    pub(super) until: i64,
    /// Whether a page of its results was fetched.
    fetched: bool,
}

impl Job {
    /// How far it has come.
    pub(super) fn stage(&self, settings: &Jobs, now: Duration) -> Stage {
        let age = now.saturating_sub(self.at);
        let turn = |every: u32| self.number.checked_div(every.into()).filter(|_| self.falls_on(every));
        let lost = turn(settings.expire_every).is_some_and(|turn| turn % 2 == 1 || self.fetched);
        match age {
            _ if age < settings.queued => Stage::Queued,
            _ if age < settings.queued + settings.running => Stage::Running,
            _ if self.falls_on(settings.fail_every) => Stage::Failed,
            _ if lost || age >= settings.queued + settings.running + settings.kept => Stage::Expired,
            _ => Stage::Done,
        }
    }

    fn falls_on(&self, every: u32) -> bool {
        every > 0 && self.number.is_multiple_of(every.into())
    }
}

/// The jobs of a region, oldest first.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Queue {
    submitted: u64,
    jobs: VecDeque<Job>,
    second: Window,
}

impl Queue {
    /// Takes a query in.
    ///
    /// # Errors
    ///
    /// 429: too many in this second, or too many that have not ended.
    fn submit(&mut self, region: &Region, now: Duration, job: Job) -> Result<Job, Fault> {
        let settings = &region.settings.jobs;
        if settings.per_second > 0 && self.second.count(now, Duration::from_secs(1)) > settings.per_second {
            return Err(Fault::too_many_requests(1));
        }
        let unfinished = |other: &&Job| {
            std::ptr::eq(other.kind, job.kind) && matches!(other.stage(settings, now), Stage::Queued | Stage::Running)
        };
        if settings.concurrent > 0 && self.jobs.iter().filter(unfinished).count() >= settings.concurrent as usize {
            let message = "The maximum number of concurrent asynchronous queries has been reached.";
            return Err(Fault::new(StatusCode::TOO_MANY_REQUESTS, "too.many.requests", message));
        }
        self.submitted += 1;
        let id = Dice::new([region.settings.seed, 0x10b5, self.submitted, 0]).uuid().to_string();
        let job = Job { number: self.submitted, id, ..job };
        self.jobs.push_back(job.clone());
        if self.jobs.len() > JOBS_KEPT {
            self.jobs.pop_front();
        }
        Ok(job)
    }

    fn find(&mut self, kind: &'static Kind, id: &str) -> Result<&mut Job, Fault> {
        let asked = |job: &&mut Job| job.id == id && std::ptr::eq(job.kind, kind);
        self.jobs.iter_mut().find(asked).ok_or_else(Fault::not_found)
    }
}

/// Answers a request below the path of a kind.
pub(super) fn answer(
    kind: &'static Kind,
    region: &Region,
    now: Duration,
    request: &Request<Bytes>,
) -> Result<(StatusCode, Bytes), Fault> {
    let method = request.method();
    let rest = &request.uri().path()[kind.path.len()..];
    let parts: Vec<_> = rest.split('/').skip(1).collect();
    match parts[..] {
        [] if method == Method::POST => submit(kind, region, now, request),
        ["availability"] if method == Method::GET && kind.has_availability() => {
            Ok((StatusCode::OK, replies::availability(region.settings.jobs.until(now))))
        }
        [id] if method == Method::GET && kind.tells_its_state() => {
            let job = region.state().queue.find(kind, id)?.clone();
            Ok((StatusCode::OK, replies::state(&job, &region.settings.jobs, now)?))
        }
        [id] if method == Method::DELETE && kind.has_availability() => delete(kind, region, id),
        [id, "results"] if method == Method::GET => {
            let job = region.state().queue.find(kind, id)?.clone();
            let page = replies::results(&job, region, now, request.uri().query())?;
            if let Ok(job) = region.state().queue.find(kind, id) {
                job.fetched |= job.stage(&region.settings.jobs, now) == Stage::Done;
            }
            Ok((StatusCode::OK, page))
        }
        [] | [_] | [_, "results"] => Err(Fault::method_not_allowed()),
        _ => Err(Fault::not_found()),
    }
}

fn submit(
    kind: &'static Kind,
    region: &Region,
    now: Duration,
    request: &Request<Bytes>,
) -> Result<(StatusCode, Bytes), Fault> {
    let until = region.settings.jobs.until(now);
    let ask = (kind.read)(json_body(request)?, region.settings.seed, until)?;
    let job = Job { number: 0, id: String::new(), kind, ask: Arc::new(ask), at: now, until, fetched: false };
    let job = region.state().queue.submit(region, now, job)?;
    Ok((by_turns(&job, [StatusCode::OK, StatusCode::ACCEPTED]), replies::accepted(&job, &region.settings.jobs, now)?))
}

fn delete(kind: &'static Kind, region: &Region, id: &str) -> Result<(StatusCode, Bytes), Fault> {
    let queue = &mut region.state().queue;
    let job = queue.find(kind, id)?.clone();
    queue.jobs.retain(|other| other.number != job.number);
    Ok((by_turns(&job, [StatusCode::OK, StatusCode::NO_CONTENT]), Bytes::new()))
}

/// Both are said of the platform: a client meets both.
fn by_turns(job: &Job, statuses: [StatusCode; 2]) -> StatusCode {
    statuses[usize::from(job.number.is_multiple_of(2))]
}
