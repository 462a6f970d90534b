//! A region: admits requests, passes them to the API they are for, and counts.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::sandbox::{
    NDJSON, REQUEST_LIMIT, Settings, Truth,
    behaviors::{Answer, Behavior, Exchange, Met},
    cxone,
    error::{self, ApiError},
    genesys::{self, Queue, Records, Variation},
    latency,
    limits::{RequestWindow, Stats},
    oauth::{self, OAuthError},
    rng::{Pool, id},
    set,
    time::{TimeRange, TimeRangeError},
    tokens::Clients,
};

/// The wall clock of a region that is no server: 2026-01-01.
const STARTED_MS: i64 = 1_767_225_600_000;

/// The simulated platforms, for one organisation.
#[derive(Debug)]
pub struct Region {
    /// The platform's wall clock at the start, in milliseconds since 1970.
    started_ms: i64,
    pub(super) settings: Settings,
    pub(super) records: Arc<Records>,
    state: Mutex<RegionState>,
}

/// What changes from request to request.
#[derive(Debug, Default)]
pub(super) struct RegionState {
    clients: Clients,
    logins: RequestWindow,
    stats: Stats,
    /// The number of requests so far, from which correlation ids are computed.
    requests: u64,
    /// The number of API requests with a valid token so far.
    authenticated: u64,
    /// The number of latencies drawn so far.
    latencies: u64,
    met: Met,
    pub(super) queue: Queue,
    /// The data extractions of NICE CXone.
    pub(super) extractions: cxone::ExtractionJobs,
}

/// The state of a client's window, for the headers of a reply.
#[derive(Clone, Copy)]
struct RegionLimit {
    used: u32,
    /// 0 if there is no limit; then there are no headers.
    allowed: u32,
    reset: u64,
    /// Its index in [`Stats::windows`].
    window_index: usize,
}

impl Region {
    /// A region that has received no request yet. Its wall clock starts at 2026-01-01.
    pub fn new(settings: Settings) -> Self {
        Self::starting_at(STARTED_MS, settings)
    }

    /// A region whose wall clock starts at a time, in milliseconds since 1970.
    pub(super) fn starting_at(started_ms: i64, settings: Settings) -> Self {
        let mut records = Records::new(settings.seed, settings.conversations_per_day);
        records.variation = Variation { drift: settings.drift, skew: settings.skew };
        let records = Arc::new(records);
        Self { started_ms, settings, records, state: Mutex::default() }
    }

    /// The platform's wall clock, in milliseconds since 1970: what the Date header says, and the
    /// dates of jobs.
    pub(super) fn wall_clock(&self, now: Duration) -> i64 {
        self.started_ms.saturating_add(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }

    /// Answers a request that arrives at `now`, counted from the region's start. Times should not
    /// go backwards: if they do, windows and tokens last that much longer.
    pub fn reply(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        if request.uri().path().starts_with("/sandbox/") {
            return self.own_reply(request);
        }
        let reply = self.behave(&self.settings.behaviors, now, request);
        self.count(request.uri().path(), &reply);
        reply
    }

    /// Answers as the behaviours would, each around the next.
    fn behave(
        &self,
        behaviors: &[&'static Behavior],
        now: Duration,
        request: &Request<Bytes>,
    ) -> Response<Bytes> {
        let Some((&behavior, others)) = behaviors.split_first() else {
            return self.answer(now, request);
        };
        let nth = self.state().met.count(behavior, request);
        let answer: Answer<'_> = &|request| self.behave(others, now, request);
        behavior.apply(&Exchange { request, nth, now }, answer)
    }

    /// Answers a request for the sandbox itself.
    fn own_reply(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let context = self.context();
        let mut reply = match request.uri().path() {
            "/sandbox/stats" => error::json(StatusCode::OK, &self.stats()),
            "/sandbox/truth" => {
                self.truth_response(request).unwrap_or_else(|error| error.reply(&context))
            }
            _ => ApiError::not_found().reply(&context),
        };
        set(&mut reply, "inin-correlation-id", context);
        reply
    }

    /// Answers a request as the platform would.
    fn answer(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        let context = self.context();
        let mut reply = match request.uri().path() {
            "/oauth/authorize" => self.authorize(now, request),
            path if is_token_path(path) => self.login(now, request),
            path if path.starts_with("/.well-known/") => cxone::well_known(request),
            path if path.starts_with(cxone::API) || path.starts_with(cxone::JOBS) => {
                self.cxone(now, request)
            }
            path if path.starts_with(cxone::FILES) => cxone::file(self, now, request),
            path if path.starts_with("/api/v2/") => self.api(now, request, &context),
            _ => ApiError::not_found().reply(&context),
        };
        set(&mut reply, "inin-correlation-id", context);
        reply
    }

    /// How long the reply to a request that arrives at `now` takes while no other request is in
    /// flight; [`Load`](super::Load) adds the rest. Each call stands for a request of its own.
    pub fn latency(&self, now: Duration) -> Duration {
        let mut state = self.state();
        state.latencies += 1;
        self.settings.latency.unloaded(self.settings.seed, state.latencies, now)
    }

    /// Counts of what the region has answered so far.
    pub fn stats(&self) -> Stats {
        self.state().stats.clone()
    }

    /// Every conversation that starts inside `interval` (milliseconds since 1970), by start, as
    /// NDJSON in pieces of about a megabyte: each line has the same bytes as in a page.
    pub fn truth(&self, interval: Range<i64>) -> impl Iterator<Item = Bytes> + Send + use<> {
        Arc::clone(&self.records).truth(interval.into(), false)
    }

    /// Every row of a dataset that starts inside `interval`, like [`truth`](Self::truth). `None` if
    /// the sandbox does not simulate the dataset. `conversations+attributes` are the conversations
    /// as in the results of jobs; `user-details` has one line per record, with its user.
    pub fn truth_of(&self, platform: &str, dataset: &str, interval: Range<i64>) -> Option<Truth> {
        let interval = interval.into();
        match platform {
            "genesys-cloud" => genesys::truth(self, dataset, interval),
            "nice-cxone" => cxone::truth(self, dataset, interval),
            _ => None,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, RegionState> {
        // every change is complete before the lock is released, even if a thread panics
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of a request: `ININ-Correlation-Id`, and `contextId` of an error response.
    fn context(&self) -> String {
        let mut state = self.state();
        state.requests += 1;
        id(self.settings.seed, Pool::Correlation, state.requests).to_string()
    }

    fn login(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        let RegionState { clients, logins, .. } = &mut *self.state();
        let throttled = logins.count(now, self.settings.per) > oauth::TOKEN_REQUESTS;
        let granted = if throttled {
            Err(OAuthError::THROTTLED)
        } else {
            oauth::grant(&self.settings, clients, now, request)
        };
        match granted {
            Ok(grant) => grant.reply(&self.settings, clients, now),
            Err(error) => error.reply(),
        }
    }

    fn authorize(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        let query = request.uri().query().unwrap_or_default();
        let redirect = oauth::authorize(&self.settings, &mut self.state().clients, now, query);
        redirect.unwrap_or_else(|error| error.reply())
    }

    fn api(&self, now: Duration, request: &Request<Bytes>, context: &str) -> Response<Bytes> {
        let mut limit = None;
        let answer = self
            .admit(now, request, &mut limit)
            .and_then(|client| genesys::answer(self, now, &client, request));
        let mut reply = match answer {
            Ok((status, body)) => error::reply(status, body),
            Err(error) => error.reply(context),
        };
        if let Some(RegionLimit { used, allowed, reset, window_index }) = limit {
            if allowed > 0 {
                set(&mut reply, "inin-ratelimit-count", used);
                set(&mut reply, "inin-ratelimit-allowed", allowed);
                set(&mut reply, "inin-ratelimit-reset", reset);
            }
            if let Some(usage) = self.state().stats.windows.get_mut(window_index) {
                usage.allowed = allowed;
                usage.refused += u32::from(reply.status() == StatusCode::TOO_MANY_REQUESTS);
            }
        }
        reply
    }

    /// Answers a CXone request, as `api` answers a Genesys one, but without rate-limit headers.
    fn cxone(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        match self.admit(now, request, &mut None) {
            Ok(_) => cxone::answer(self, now, request),
            Err(error) => cxone::rejection(error.status()),
        }
    }

    /// Counts a request by the status of its reply.
    fn count(&self, path: &str, reply: &Response<Bytes>) {
        let stats = &mut self.state().stats;
        let requests =
            if is_token_path(path) { &mut stats.token_requests } else { &mut stats.api_requests };
        *requests.entry(reply.status().as_u16()).or_default() += 1;
    }

    /// The id of the client of an API request if it is admitted. Sets `limit` to the state of its
    /// window even if it is not.
    fn admit(
        &self,
        now: Duration,
        request: &Request<Bytes>,
        limit: &mut Option<RegionLimit>,
    ) -> Result<String, ApiError> {
        let Settings { per, foreign_requests, throttle_every, fail_every, .. } = self.settings;
        let requests =
            latency::current(&self.settings.limit_changes, now).unwrap_or(self.settings.requests);
        if request.body().len() > REQUEST_LIMIT {
            return Err(ApiError::too_large(REQUEST_LIMIT));
        }
        let token = oauth::bearer(request).ok_or_else(ApiError::unauthenticated)?;
        let RegionState { clients, stats, authenticated, .. } = &mut *self.state();
        let (id, client) =
            clients.holder(&self.settings, token, now).ok_or_else(ApiError::bad_credentials)?;
        let sent = client.meter.count(now, per, stats);
        let ((sent, reset), foreign) = if self.settings.window_slides {
            (client.meter.sliding(now, per), foreign_requests)
        } else {
            let window = &client.meter.window;
            ((sent, window.reset(now, per)), window.foreign(now, per, foreign_requests))
        };
        let used = sent.saturating_add(foreign);
        *limit = Some(RegionLimit {
            used,
            allowed: requests,
            reset,
            window_index: client.meter.window_index,
        });
        *authenticated += 1;
        let is_nth = |every: u32| every > 0 && *authenticated % u64::from(every) == 0;
        if requests > 0 && used > requests {
            Err(ApiError::too_many_requests(reset))
        } else if is_nth(fail_every) {
            Err(ApiError::internal())
        } else if is_nth(throttle_every) {
            Err(ApiError::too_many_requests(1))
        } else {
            Ok(id.to_owned())
        }
    }

    /// The truth in one body.
    fn truth_response(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, ApiError> {
        let pieces: Vec<Bytes> = requested_truth(self, request.uri().query())?.collect();
        let mut reply = Response::new(pieces.concat().into());
        set(&mut reply, "content-type", NDJSON);
        Ok(reply)
    }
}

/// Whether tokens are requested at this path.
fn is_token_path(path: &str) -> bool {
    matches!(
        path,
        "/oauth/token"
            | "/auth/token"
            | "/authentication/v1/token/access-key"
            | "/public/authentication/v1/refresh"
    )
}

/// The truth that the query `platform=…&dataset=…&from=…&to=…` asks for; the first two are
/// optional.
pub(super) fn requested_truth(region: &Region, query: Option<&str>) -> Result<Truth, ApiError> {
    let value = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    let side = |name: &str| value(name).unwrap_or_default();
    let invalid = |error: TimeRangeError| ApiError::bad_request(format!("from and to: {error}"));
    let interval: TimeRange =
        format!("{}/{}", side("from"), side("to")).parse().map_err(invalid)?;
    let platform = value("platform").unwrap_or("genesys-cloud".to_owned());
    let dataset = value("dataset").unwrap_or("conversations".to_owned());
    let unknown =
        || ApiError::bad_request(format!("the sandbox does not simulate {dataset} of {platform}"));
    region.truth_of(&platform, &dataset, interval.from..interval.to).ok_or_else(unknown)
}
