//! A Genesys Cloud region in a box: the platform's login and its conversation details query, with
//! its limits, its refusals and its words, over conversations that a seed makes.
//!
//! [`Region`] is a value: no I/O, no clock. Whoever calls says what time it is, so that the
//! loopback [`Server`] and a simulation on virtual time play the very same platform. The same calls
//! at the same times get the same replies.
//!
//! ```text
//!  request ─► Region::reply ─► oauth   who is it?         ┐
//!                              limits  is it too much?    ├─► error   no, in the platform's words
//!                              query   what is asked?     ┘
//!                                └► data  which conversations ─► render ─► json   the page
//! ```
//!
//! Where to read what: in `genesys`, `data` makes the conversations and says which an interval holds, `render`
//! (with `parties`, `agent`, `session`) writes one as JSON, `query` and `filter` are the details query,
//! `jobs`, `kinds` and `replies` are the asynchronous queries, `presence`, `audits` and `usage` what else
//! they tell of; `oauth`, `tokens` and `limits` guard it, `latency` says how long it takes, `error` holds
//! the refusals, `cxone` what there is of the other platform, [`server`] puts a region on a socket.
//!
//! Two paths are the sandbox's own and need no token: `GET /sandbox/stats` tells what the region
//! saw ([`Stats`]), `GET /sandbox/truth?platform=&dataset=&from=&to=` every row of a dataset that starts
//! in between, in the bytes of the pages, a line each; Genesys Cloud's conversations, if it names none.

mod cxone;
mod error;
mod genesys;
mod json;
mod latency;
mod limits;
mod oauth;
mod rng;
pub(crate) mod server;
mod tokens;

use std::{
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use jiff::SignedDuration;
use secrecy::SecretString;

use self::{
    error::ApiError,
    genesys::{Queue, Records},
    limits::RequestWindow,
    oauth::OAuthError,
    rng::{Pool, id},
    tokens::Clients,
};
pub use self::{
    genesys::Jobs,
    latency::Load,
    limits::{Stats, Usage},
};
pub(crate) use self::{latency::Latency, server::Server};
use crate::time::interval::Interval;

/// The longest body of a request in bytes: beyond, 413.
pub(crate) const REQUEST_LIMIT: usize = 512_000;

/// What a region is like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port on 127.0.0.1 that a [`Server`] listens on; 0 for a free one.
    pub port: u16,
    /// What the conversations, the tokens and all ids follow from.
    pub seed: u64,
    /// How many conversations begin on each UTC day.
    pub conversations_per_day: u32,
    /// How long a token is valid. It is said to clients in whole seconds, rounded down.
    pub token_lifetime: Duration,
    /// API requests that a client may send in a window; 0 for no limit, and no headers about one.
    pub requests: u32,
    /// The length of a window.
    pub per: Duration,
    /// From so long after the start `requests` is another number, until the next change. In order
    /// of time.
    pub limit_changes: Vec<(Duration, u32)>,
    /// Requests a window that somebody else sends with the same token, evenly spread: they count.
    pub eaten: u32,
    /// How long replies take.
    pub latency: Latency,
    /// Live tokens of one client, at least 1: one more and the oldest is no longer valid.
    pub max_tokens: u32,
    /// The secret of every client; none to take any that is not empty.
    pub client_secret: Option<SecretString>,
    /// Whether client credentials are given a refresh token as well, as some gateways do.
    pub refresh_tokens: bool,
    /// So often every access token dies before its time; zero for never.
    pub revoke_every: Duration,
    /// How far the clock of a [`Server`] is off, as its Date header tells.
    pub clock_skew: SignedDuration,
    /// Permissions that its clients lack; of NICE CXone the paths, as `cxone:contacts/completed` and
    /// `cxone:data-extraction`.
    pub deny: Vec<String>,
    /// Every how manieth API request with a valid token is answered 429, to be retried after a
    /// second; 0 for none.
    pub throttle_every: u32,
    /// Every how manieth API request with a valid token is answered 500; 0 for none.
    pub fail_every: u32,
    /// What asynchronous queries of Genesys Cloud are like.
    pub jobs: Jobs,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 0,
            seed: 1,
            conversations_per_day: 500,
            token_lifetime: Duration::from_secs(24 * 60 * 60),
            requests: 300,
            per: Duration::from_secs(60),
            limit_changes: Vec::new(),
            eaten: 0,
            latency: Latency::default(),
            max_tokens: 10,
            client_secret: None,
            refresh_tokens: false,
            revoke_every: Duration::ZERO,
            clock_skew: SignedDuration::ZERO,
            deny: Vec::new(),
            throttle_every: 0,
            fail_every: 0,
            jobs: Jobs::default(),
        }
    }
}

/// The platform, for one organisation.
#[derive(Debug)]
pub struct Region {
    settings: Settings,
    records: Arc<Records>,
    state: Mutex<RegionState>,
}

/// What changes from request to request.
#[derive(Debug, Default)]
struct RegionState {
    clients: Clients,
    logins: RequestWindow,
    stats: Stats,
    /// Requests so far: what correlation ids follow from.
    requests: u64,
    /// API requests with a valid token so far.
    authenticated: u64,
    /// Latencies so far.
    timed: u64,
    queue: Queue,
    /// The data extractions of NICE CXone.
    extractions: cxone::Jobs,
}

/// A client's window, for the headers of a reply.
#[derive(Clone, Copy)]
struct RegionLimit {
    used: u32,
    /// 0 for no limit, and no headers.
    allowed: u32,
    reset: u64,
    /// Which of [`Stats::windows`] it is.
    told: usize,
}

impl Region {
    /// A region that has seen no request.
    pub fn new(settings: Settings) -> Self {
        let records = Arc::new(Records::new(settings.seed, settings.conversations_per_day));
        Self { settings, records, state: Mutex::default() }
    }

    /// Answers a request that arrives `now`, counted from the region's start. Times should not go
    /// backwards; where they do a little, as between connections, windows and tokens last that
    /// much longer.
    pub fn reply(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        let context = self.context();
        let mut reply = match request.uri().path() {
            "/oauth/authorize" => self.authorize(now, request),
            "/oauth/token" | "/auth/token" => self.login(now, request),
            "/authentication/v1/token/access-key" | "/public/authentication/v1/refresh" => {
                self.login(now, request)
            }
            path if path.starts_with("/.well-known/") => cxone::well_known(request),
            path if path.starts_with(cxone::API) || path.starts_with(cxone::JOBS) => {
                self.cxone(now, request)
            }
            path if path.starts_with(cxone::FILES) => cxone::file(self, now, request),
            "/sandbox/stats" => error::json(StatusCode::OK, &self.stats()),
            "/sandbox/truth" => {
                self.truth_reply(request).unwrap_or_else(|fault| fault.reply(&context))
            }
            path if path.starts_with("/api/v2/") => self.api(now, request, &context),
            _ => ApiError::not_found().reply(&context),
        };
        set(&mut reply, "inin-correlation-id", context);
        reply
    }

    /// How long the reply to a request takes that arrives `now`, where nothing else is asked: see
    /// [`Load`] for the rest. Each call stands for a request of its own.
    pub fn latency(&self, now: Duration) -> Duration {
        let mut state = self.state();
        state.timed += 1;
        self.settings.latency.alone(self.settings.seed, state.timed, now)
    }

    /// What the region has answered so far.
    pub fn stats(&self) -> Stats {
        self.state().stats.clone()
    }

    /// Every conversation that starts inside `interval`, by start, as NDJSON in pieces of about a
    /// megabyte: each line has the bytes that pages carry.
    pub fn truth(&self, interval: Interval) -> impl Iterator<Item = Bytes> + Send + use<> {
        Arc::clone(&self.records).truth(interval, false)
    }

    /// Every row of a dataset that `interval` owns, like [`truth`](Self::truth); none if the sandbox
    /// does not play it. Genesys Cloud has `conversations`, `conversations+attributes` (as jobs tell
    /// them), `user-details` (a line a record, with its user), `audits` and `usage`.
    pub fn truth_of(&self, platform: &str, dataset: &str, interval: Interval) -> Option<Truth> {
        match platform {
            "genesys-cloud" => genesys::truth(self, dataset, interval),
            "nice-cxone" => cxone::truth(self, dataset, interval),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, RegionState> {
        // Every change is whole before the lock is let go, even if a thread panics in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of a request: `ININ-Correlation-Id`, and `contextId` of a refusal.
    fn context(&self) -> String {
        let mut state = self.state();
        state.requests += 1;
        id(self.settings.seed, Pool::Correlation, state.requests).to_string()
    }

    fn login(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        let RegionState { clients, logins, stats, .. } = &mut *self.state();
        let throttled = logins.count(now, self.settings.per) > oauth::TOKEN_REQUESTS;
        let granted = if throttled {
            Err(OAuthError::THROTTLED)
        } else {
            oauth::grant(&self.settings, clients, now, request)
        };
        let reply = match granted {
            Ok(grant) => grant.reply(&self.settings, clients, now),
            Err(refusal) => refusal.reply(),
        };
        *stats.token_requests.entry(reply.status().as_u16()).or_default() += 1;
        reply
    }

    fn authorize(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        let query = request.uri().query().unwrap_or_default();
        let sent = oauth::authorize(&self.settings, &mut self.state().clients, now, query);
        sent.unwrap_or_else(|refusal| refusal.reply())
    }

    fn api(&self, now: Duration, request: &Request<Bytes>, context: &str) -> Response<Bytes> {
        let mut limit = None;
        let answer = self
            .admit(now, request, &mut limit)
            .and_then(|client| genesys::answer(self, now, &client, request));
        let mut reply = match answer {
            Ok((status, body)) => error::reply(status, body),
            Err(fault) => fault.reply(context),
        };
        if let Some(RegionLimit { used, allowed, reset, told }) = limit {
            if allowed > 0 {
                set(&mut reply, "inin-ratelimit-count", used);
                set(&mut reply, "inin-ratelimit-allowed", allowed);
                set(&mut reply, "inin-ratelimit-reset", reset);
            }
            if let Some(usage) = self.state().stats.windows.get_mut(told) {
                usage.allowed = allowed;
                usage.refused += u32::from(reply.status() == StatusCode::TOO_MANY_REQUESTS);
            }
        }
        self.count(&reply);
        reply
    }

    /// The same on the other platform, which says nothing of windows.
    fn cxone(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        let reply = match self.admit(now, request, &mut None) {
            Ok(_) => cxone::answer(self, now, request),
            Err(fault) => cxone::refuse(fault.status()),
        };
        self.count(&reply);
        reply
    }

    fn count(&self, reply: &Response<Bytes>) {
        *self.state().stats.api_requests.entry(reply.status().as_u16()).or_default() += 1;
    }

    /// The client of an API request, if it may ask; `limit` learns of its window even if not.
    fn admit(
        &self,
        now: Duration,
        request: &Request<Bytes>,
        limit: &mut Option<RegionLimit>,
    ) -> Result<String, ApiError> {
        let Settings { per, eaten, throttle_every, fail_every, .. } = self.settings;
        let requests =
            latency::in_force(&self.settings.limit_changes, now).unwrap_or(self.settings.requests);
        if request.body().len() > REQUEST_LIMIT {
            return Err(ApiError::too_large(REQUEST_LIMIT));
        }
        let token = oauth::bearer(request).ok_or_else(ApiError::unauthenticated)?;
        let RegionState { clients, stats, authenticated, .. } = &mut *self.state();
        let (id, client) =
            clients.holder(&self.settings, token, now).ok_or_else(ApiError::bad_credentials)?;
        let sent = client.meter.count(now, per, stats);
        let used = sent.saturating_add(client.meter.window.eaten(now, per, eaten));
        let reset = client.meter.window.reset(now, per);
        *limit = Some(RegionLimit { used, allowed: requests, reset, told: client.meter.told });
        *authenticated += 1;
        let falls_on = |every: u32| every > 0 && *authenticated % u64::from(every) == 0;
        if requests > 0 && used > requests {
            Err(ApiError::too_many_requests(reset))
        } else if falls_on(fail_every) {
            Err(ApiError::internal())
        } else if falls_on(throttle_every) {
            Err(ApiError::too_many_requests(1))
        } else {
            Ok(id.to_owned())
        }
    }

    /// The whole truth in one body.
    fn truth_reply(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, ApiError> {
        let lines = asked_truth(self, request.uri().query())?.fold(Vec::new(), |mut all, piece| {
            all.extend_from_slice(&piece);
            all
        });
        let mut reply = Response::new(lines.into());
        set(&mut reply, "content-type", NDJSON);
        Ok(reply)
    }
}

const NDJSON: &str = "application/x-ndjson";

/// NDJSON, in pieces of a bounded size.
pub(crate) type Truth = Box<dyn Iterator<Item = Bytes> + Send>;

/// The truth that `platform=…&dataset=…&from=…&to=…` asks for: the first two may be left out.
fn asked_truth(region: &Region, query: Option<&str>) -> Result<Truth, ApiError> {
    let value = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    let side = |name: &str| value(name).unwrap_or_default();
    let interval: Interval = format!("{}/{}", side("from"), side("to"))
        .parse()
        .map_err(|error| ApiError::bad_request(format!("from and to: {error}")))?;
    let platform = value("platform").unwrap_or("genesys-cloud".to_owned());
    let dataset = value("dataset").unwrap_or("conversations".to_owned());
    let unknown =
        || ApiError::bad_request(format!("the sandbox does not play {dataset} of {platform}"));
    region.truth_of(&platform, &dataset, interval).ok_or_else(unknown)
}

/// Sets a header whose value is a number or one of our own texts.
fn set(reply: &mut Response<Bytes>, name: &'static str, value: impl Display) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        reply.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests;
