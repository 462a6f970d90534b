//! A transport to the sandbox on virtual time that injects faults.

mod changing_rows;
mod state;

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use cxbackfill::testing::{Interval, Region, RequestError, Transport};
use futures_util::future::BoxFuture;
use http::{Request, Response, header::AUTHORIZATION};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::state::{Event, TransportState, key};
use super::{
    job_faults::JobFaults,
    neighbours::Neighbours,
    pages::Page,
    request_recorder::{RequestRecorder, is_api, job},
    scenario::{Scenario, Silence, Stop},
};

/// How long a client waits for a reply.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The rate-limit headers.
const RATE_LIMIT_HEADERS: [&str; 3] =
    ["inin-ratelimit-allowed", "inin-ratelimit-count", "inin-ratelimit-reset"];

/// The transport of one scenario.
#[derive(Debug)]
pub struct FaultyTransport {
    region: Arc<Region>,
    neighbours: Neighbours,
    /// The length of the rate-limit window.
    per: Duration,
    hidden_headers: bool,
    slow_login: Duration,
    fault_rate: f64,
    outage: Option<(u64, Duration, Silence)>,
    poison: Option<i64>,
    widest: Option<Duration>,
    undecodable: Option<char>,
    rejects_all: bool,
    /// Whether a query can replace a job.
    jobs_are_optional: bool,
    /// Whether rows change while they are paged. Not with interrupts: one may commit the older copy
    /// of a row, and then the output differs from the truth.
    changes: bool,
    inner: Mutex<TransportState>,
}

impl FaultyTransport {
    pub fn new(scenario: &Scenario, region: Arc<Region>) -> Self {
        let inner = TransportState::new(scenario);
        let Scenario { hidden_headers, slow_login, fault_rate, poison, widest, .. } = *scenario;
        let Scenario { undecodable, rejects_all, outage, .. } = *scenario;
        let changes = scenario.stops.iter().all(|(_, how)| *how == Stop::Kill);
        Self {
            neighbours: Neighbours::new(&scenario.sandbox),
            region,
            per: scenario.sandbox.per,
            hidden_headers,
            slow_login,
            fault_rate,
            outage,
            poison,
            widest,
            undecodable,
            rejects_all,
            jobs_are_optional: scenario.strategy == "auto" && !scenario.attributes,
            changes,
            inner: Mutex::new(inner),
        }
    }

    /// Prepares the next run. `stop` cancels its token at a step.
    pub fn start(&self, stop: Option<(u64, Stop, CancellationToken)>) {
        let mut inner = self.inner();
        inner.steps = 0;
        inner.stop = stop;
        // an outage that has begun lasts its whole length, also over the next runs
        (inner.requests, inner.outage_ended) = (0, false);
        inner.recorder.begin();
    }

    /// Starts the clock of a run.
    pub fn begin(&self) {
        self.inner().start = Some(Instant::now());
    }

    /// Clears the faults that fail shards.
    pub fn clear(&self) {
        let mut inner = self.inner();
        inner.clear = true;
        inner.is_decodable = true;
    }

    /// Ends a run, while its clock can still be read.
    pub fn end(&self) {
        let mut inner = self.inner();
        inner.before = inner.now();
        inner.start = None;
    }

    /// From here on rows are served as after their change, and the poisoned time fails again.
    pub fn change(&self) {
        let mut inner = self.inner();
        inner.before_change = false;
        inner.clear = false;
    }

    pub fn note(&self, text: String) {
        self.inner().trace.push(text);
    }

    pub fn trace(&self) -> Vec<String> {
        self.inner().trace.clone()
    }

    /// Reads the recorded requests.
    pub fn recorder<T>(&self, read: impl FnOnce(&RequestRecorder) -> T) -> T {
        read(&self.inner().recorder)
    }

    pub fn revoked(&self) -> u64 {
        self.inner().revoked.len() as u64
    }

    /// Runs that were answered after an outage.
    pub fn outages(&self) -> u64 {
        self.inner().outages
    }

    /// How many rows were deleted between two pages.
    pub fn deleted(&self) -> u64 {
        self.inner().deleted
    }

    /// What happened to jobs.
    pub fn job_faults(&self) -> JobFaults {
        self.inner().job_faults
    }

    pub fn seed(&self) -> u64 {
        self.inner().rng.u64(..)
    }

    /// A step of the program. It never returns if the program is killed at this step.
    pub async fn step(&self, what: &str) {
        let stop = {
            let mut inner = self.inner();
            inner.steps += 1;
            let entry = format!("{:?} {what}", inner.now());
            inner.trace.push(entry);
            inner.stop.clone().filter(|(step, ..)| *step <= inner.steps)
        };
        let Some((_, how, token)) = stop else { return };
        token.cancel();
        if how == Stop::Kill {
            std::future::pending::<()>().await;
        }
    }

    /// How a request fails if the platform is silent. Begins an outage, and counts one that ended.
    fn silence(&self) -> Option<Silence> {
        let (after, length, how) = self.outage?;
        let mut inner = self.inner();
        inner.requests += 1;
        let now = inner.now();
        if inner.requests > after && inner.silent_since.is_none() && !inner.outage_ended {
            inner.silent_since = Some(now);
        }
        let since = inner.silent_since?;
        if now < since + length {
            return Some(how);
        }
        inner.silent_since = None;
        inner.outage_ended = true;
        inner.outages += 1;
        None
    }

    fn inner(&self) -> MutexGuard<'_, TransportState> {
        self.inner.lock().unwrap()
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, RequestError> {
        let query: Option<Value> = serde_json::from_slice(request.body()).ok();
        let (method, uri, body) =
            (request.method(), request.uri(), String::from_utf8_lossy(request.body()));
        let what = format!("{method} {} {body}", uri.path_and_query().unwrap());
        let (event, outbound, inbound) = {
            let mut inner = self.inner();
            let now = inner.now();
            inner.recorder.sent(&request, now, self.per);
            let event = inner.draw(self.fault_rate, is_api(&request));
            let (outbound, inbound) = (inner.rng.u64(1..200), inner.rng.u64(1..200));
            let login = if is_api(&request) { Duration::ZERO } else { self.slow_login };
            (event, login + Duration::from_millis(outbound), Duration::from_millis(inbound))
        };
        self.step(&what).await;
        sleep(outbound).await;
        let silence = self.silence();
        let reply = match silence {
            None => self.answer(&request, query.as_ref(), event),
            Some(Silence::Refused) => Err(RequestError::Network("connection refused".into())),
            Some(Silence::TimeOut) => Err(RequestError::Timeout(TIMEOUT)),
            Some(Silence::Status(status)) => Ok(error_response(status, None, "outage")),
        };
        match (event, silence) {
            (Event::Timeout, None) | (_, Some(Silence::TimeOut)) => sleep(TIMEOUT).await,
            _ => sleep(inbound).await,
        }
        let outcome =
            reply.as_ref().map_or_else(ToString::to_string, |reply| reply.status().to_string());
        self.step(&format!("{what} -> {event:?} {silence:?}: {outcome}")).await;
        reply
    }

    fn answer(
        &self,
        request: &Request<Bytes>,
        query: Option<&Value>,
        event: Event,
    ) -> Result<Response<Bytes>, RequestError> {
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if event == Event::LostBefore {
            return Err(RequestError::Network("connection reset".into()));
        }
        let now = {
            let mut inner = self.inner();
            if event == Event::Revoked {
                inner.revoked.insert(token.to_owned());
            }
            if inner.revoked.contains(token) {
                return Ok(error_response(401, None, "bad.credentials"));
            }
            inner.now()
        };
        if let Some(status) = query.and_then(|query| self.persistent_fault(query)) {
            return Ok(error_response(status, None, "persistent"));
        }
        let refusal = self.inner().job_refusal(self.fault_rate, self.jobs_are_optional, request);
        if let Some(status) = refusal {
            return Ok(error_response(status, None, "refused"));
        }
        let mut reply = self.region.reply(now, request);
        self.inner().recorder.answered(request, reply.status(), reply.body());
        if self.hidden_headers {
            for name in RATE_LIMIT_HEADERS {
                reply.headers_mut().remove(name);
            }
        }
        self.inner().change_job(self.fault_rate, request, &mut reply);
        let is_page = query.is_some_and(|query| query["paging"].is_object());
        if reply.status() == 200 {
            match query.filter(|_| is_page) {
                Some(query) => {
                    self.shift(query, request, &mut reply);
                    self.delete(query, request, &mut reply);
                    self.corrupt(&mut reply);
                }
                None if job(request.uri().path()).is_some_and(|(_, results)| results) => {
                    self.age(&mut reply);
                    self.corrupt(&mut reply);
                }
                None => {}
            }
        }
        if !matches!(event, Event::Nothing | Event::Total) {
            self.inner().job_faults.reply_is_lost(request, &reply);
        }
        match event {
            Event::LostAfter => Err(RequestError::Network("connection reset".into())),
            Event::Timeout => Err(RequestError::Timeout(TIMEOUT)),
            Event::Status(status, after) => Ok(error_response(status, after, "fault")),
            Event::Truncated => Ok(reply.map(|body| body.slice(..body.len() / 2))),
            Event::Html => Ok(Response::new(Bytes::from_static(b"<html>proxy</html>"))),
            Event::Total
                if is_page
                    && reply.status() == 200
                    && query.is_some_and(|query| self.inner().is_total_wrong(&key(query))) =>
            {
                Ok(reply.map(|body| Page { total_hits: Some(7), ..Page::read(&body) }.bytes()))
            }
            Event::Nothing | Event::Revoked | Event::LostBefore | Event::Total => Ok(reply),
        }
    }

    /// The status of a request that always fails: for the poisoned time, or for too long an
    /// interval.
    fn persistent_fault(&self, query: &Value) -> Option<u16> {
        let interval: Interval = query["interval"].as_str()?.parse().ok()?;
        let poisoned = self.poison.is_some_and(|ms| interval.contains(ms)) && !self.inner().clear;
        let wide = self.widest.is_some_and(|widest| interval.width() > widest);
        if self.rejects_all && !self.inner().is_decodable {
            Some(400)
        } else if wide {
            Some(504)
        } else {
            poisoned.then_some(500)
        }
    }
}

impl Transport for FaultyTransport {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        Box::pin(self.exchange(request))
    }
}

fn error_response(status: u16, retry_after: Option<u64>, code: &str) -> Response<Bytes> {
    let mut reply = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        reply = reply.header("Retry-After", seconds);
    }
    reply
        .body(
            json!({ "code": code, "message": "injected fault", "status": status })
                .to_string()
                .into(),
        )
        .unwrap()
}
