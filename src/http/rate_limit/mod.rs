//! The quota: who may ask now (G6).
//!
//! One GCRA limiter, keyed and on tokio's clock, paces requests; what the server says of its window
//! corrects it and stops short of a full one; a throttle closes one gate a key for everybody; and
//! where no limit is published, requests in flight are limited instead. Every attempt pays, retries
//! and token calls too. How long a gate closes is decided in `retry`.
//!
//! Others with the same token are raced, not guessed at: what they leave is used while it is there.
//! `rate_limit.share` is how a user leaves them a part.

pub(crate) mod concurrency_limit;
pub(crate) mod limiter;
pub(crate) mod server_window;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dashmap::DashMap;
use http::{HeaderMap, StatusCode};
use tokio::{
    sync::{Notify, OwnedMutexGuard},
    time::{Instant, sleep_until},
};

pub use self::limiter::RequestLimit;
pub(crate) use self::server_window::RateLimitHeaders;
use self::{
    concurrency_limit::{ConcurrencyLimit, Outcome},
    limiter::{Limiter, Record, TokioClock},
    server_window::{GRAIN, SHORTEST, ServerWindow},
};

/// What a limit counts: a credential and the platform's limit bucket, like `api` or `login`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QuotaKey {
    /// The client whose quota is used.
    pub credential: Arc<str>,
    /// The limit of the platform that a request counts against.
    pub bucket: Arc<str>,
}

/// What is known of the quota before the first reply.
#[derive(Debug, Clone)]
pub struct QuotaSettings {
    /// The limit of a bucket that has none of its own; none: no limit is published.
    pub limit: Option<RequestLimit>,
    /// Buckets with a limit of their own.
    pub own: BTreeMap<Arc<str>, RequestLimit>,
    /// Hundredths of every limit, learned ones too, that are used.
    pub share: u8,
    /// Requests of a key in flight at most, where no limit is published.
    pub in_flight: u32,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self { limit: None, own: BTreeMap::new(), share: 100, in_flight: u32::MAX }
    }
}

/// Admits requests, in the order in which they ask.
pub struct RateLimit {
    quota_settings: QuotaSettings,
    lanes: DashMap<QuotaKey, Arc<KeyState>>,
    record: Record,
    clock: TokioClock,
}

/// The queue of one key.
struct KeyState {
    /// Held by the one that waits. tokio's mutex is fair: first come, first served, and a thousand
    /// waiters cost one timer.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Wakes the one that waits when a reply has changed what it waits for.
    changed: Notify,
    /// Never held over an await.
    state: Mutex<KeyQuota>,
}

/// Where one key stands.
struct KeyQuota {
    /// When the gate opens again.
    opens: Option<Instant>,
    in_flight: u32,
    /// The limit, whole, and what keeps our share of it.
    limiter: Option<(RequestLimit, Limiter)>,
    window: Option<ServerWindow>,
    /// Hundredths of both that are ours.
    share: u8,
    /// Binds where there is no limit.
    concurrency_limit: ConcurrencyLimit,
}

/// The right to be the next who pays.
#[must_use = "others wait as long as a turn lives"]
pub struct AdmissionTurn<'a> {
    rate_limit: &'a RateLimit,
    key: QuotaKey,
    key_state: Arc<KeyState>,
    _guard: OwnedMutexGuard<()>,
}

/// Leave to send one request. Hold it until the reply is there.
#[must_use = "a request is in flight as long as its permit lives"]
pub struct Permit {
    key_state: Arc<KeyState>,
    record: Record,
    clock: TokioClock,
    sent: Instant,
}

/// Who waits, and for what: an instant, or none where only a reply can help.
struct NotAdmitted(Option<Instant>);

impl RateLimit {
    /// A budget of these terms.
    pub fn new(quota_settings: QuotaSettings) -> Self {
        Self {
            quota_settings,
            lanes: DashMap::new(),
            record: Record::default(),
            clock: TokioClock(Instant::now()),
        }
    }

    /// Waits until `key` may send one request. Fair, and safe to drop while it waits.
    pub async fn admit(&self, key: &QuotaKey) -> Permit {
        self.turn(key).await.admit().await
    }

    /// Waits until nobody who came earlier waits for a permit of `key`. Nobody gets one before the
    /// turn is dropped, but by it.
    pub async fn turn(&self, key: &QuotaKey) -> AdmissionTurn<'_> {
        let key_state = self.key_state(key);
        let guard = Arc::clone(&key_state.turn).lock_owned().await;
        AdmissionTurn { rate_limit: self, key: key.clone(), key_state, _guard: guard }
    }

    /// Closes the gate of `key` for everybody until `after` from now. Closing it again while it is
    /// closed only ever prolongs: a hundred throttled requests in flight cost one pause.
    pub fn close(&self, key: &QuotaKey, after: Duration) {
        let key_state = self.key_state(key);
        let mut state = key_state.state();
        state.opens = state.opens.max(Some(Instant::now() + after));
    }

    fn key_state(&self, key: &QuotaKey) -> Arc<KeyState> {
        if let Some(key_state) = self.lanes.get(key) {
            return Arc::clone(&key_state);
        }
        Arc::clone(&self.lanes.entry(key.clone()).or_insert_with(|| {
            let limit =
                self.quota_settings.own.get(&key.bucket).copied().or(self.quota_settings.limit);
            let share = self.quota_settings.share;
            let limiter =
                limit.map(|limit| (limit, limit.share(share).limiter(&self.record, self.clock)));
            let concurrency_limit = ConcurrencyLimit::new(self.quota_settings.in_flight);
            let state = Mutex::new(KeyQuota {
                opens: None,
                in_flight: 0,
                limiter,
                window: None,
                share,
                concurrency_limit,
            });
            Arc::new(KeyState { turn: Arc::default(), changed: Notify::new(), state })
        }))
    }
}

impl AdmissionTurn<'_> {
    /// Waits until one more request may go, and pays for it.
    pub async fn admit(&self) -> Permit {
        let Self { rate_limit, key, key_state, .. } = self;
        while let Err(NotAdmitted(until)) = key_state.admit(key, rate_limit.clock) {
            match until {
                Some(until) => {
                    tokio::select! { () = key_state.changed.notified() => {}, () = sleep_until(until) => {} }
                }
                None => key_state.changed.notified().await,
            }
        }
        let (key_state, record) = (Arc::clone(key_state), Arc::clone(&rate_limit.record));
        Permit { key_state, record, clock: rate_limit.clock, sent: Instant::now() }
    }
}

impl KeyState {
    fn admit(&self, key: &QuotaKey, clock: TokioClock) -> Result<(), NotAdmitted> {
        self.state().admit(key, clock)
    }

    fn state(&self) -> MutexGuard<'_, KeyQuota> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyQuota {
    /// Lets one request go, or says what stands in its way.
    fn admit(&mut self, key: &QuotaKey, clock: TokioClock) -> Result<(), NotAdmitted> {
        let now = Instant::now();
        if let Some(opens) = self.opens.filter(|&opens| opens > now) {
            return Err(NotAdmitted(Some(opens)));
        }
        if let Some(until) =
            self.window.and_then(|window| window.full_until(self.in_flight, self.share, now))
        {
            return Err(NotAdmitted(Some(until)));
        }
        match &self.limiter {
            Some((_, limiter)) => {
                limiter
                    .check_key(key)
                    .map_err(|refused| NotAdmitted(Some(clock.instant(&refused))))?;
            }
            None if !self.concurrency_limit.admits(self.in_flight) => {
                return Err(NotAdmitted(None));
            }
            None => {}
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Takes in what the server says of its window, and whether it is news.
    fn hear(
        &mut self,
        headers: RateLimitHeaders,
        per: Duration,
        sent: Instant,
        now: Instant,
    ) -> bool {
        match &mut self.window {
            _ if per < SHORTEST => true,
            Some(window) => window.learn(headers, per, sent, now),
            None => {
                self.window = Some(ServerWindow::new(headers, per, sent, now));
                true
            }
        }
    }

    /// The limit that the server's word makes of the present one; none: it stays.
    ///
    /// A window cannot be shorter than its rest, which is rounded up to a second.
    fn corrected(&self, headers: RateLimitHeaders) -> Option<RequestLimit> {
        let requests = NonZeroU32::new(headers.allowed)?;
        let Some((limit, _)) = self.limiter else {
            return Some(RequestLimit { requests, per: headers.reset.max(GRAIN), burst: None });
        };
        let longer = headers.reset >= limit.per + GRAIN;
        let per = if longer { headers.reset } else { limit.per };
        Some(RequestLimit { requests, per, ..limit }).filter(|new| *new != limit)
    }
}

impl Permit {
    /// Takes in what the reply says of the quota. A permit that is dropped without a reply says
    /// nothing, good or bad.
    pub fn answered(self, status: StatusCode, headers: &HeaderMap) {
        let now = Instant::now();
        let throttled =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let outcome = if throttled { Outcome::Throttled } else { Outcome::Answered };
        let mut state = self.key_state.state();
        state.concurrency_limit.ended(self.sent, now, outcome);
        let Some(headers) = RateLimitHeaders::read(headers) else { return };
        let limit = state.corrected(headers);
        let per = limit
            .or(state.limiter.as_ref().map(|limiter| limiter.0))
            .map_or(headers.reset, |limit| limit.per);
        if !state.hear(headers, per, self.sent, now) {
            return;
        }
        if let Some(limit) = limit {
            tracing::info!(requests = limit.requests, per = ?limit.per, "the server's limit");
            state.limiter =
                Some((limit, limit.share(state.share).limiter(&self.record, self.clock)));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.key_state.state().in_flight -= 1;
        self.key_state.changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
