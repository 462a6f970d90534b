//! The quota: which request may be sent when (G6).
//!
//! One GCRA limiter for each quota key spaces requests out, with a margin for requests that do not
//! travel equally fast; the rate-limit headers of responses correct it, where they are repeated and
//! consistent, and stop requests before the server's window is full; a throttle pauses all requests
//! of its key. Where no limit is published, the number of requests in flight is limited instead.
//! Every attempt counts, retries and token requests too. How long a throttle lasts is decided in
//! `retry`. Start reading with [`RateLimit::admit`].
//!
//! Other clients with the same credential compete for the same quota: what they leave is used as
//! long as it is there. `budget.share` reserves a part of the quota for them.

mod claim;
pub(crate) mod concurrency_limit;
pub(crate) mod endpoint_pauses;
mod headers;
mod key_state;
mod latency_spread;
pub(crate) mod limiter;
pub(crate) mod server_window;
mod usage;
mod window_form;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dashmap::DashMap;
use http::{HeaderMap, StatusCode};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep_until},
};

pub use self::limiter::RequestLimit;
use self::{
    endpoint_pauses::EndpointPauses,
    headers::RateLimitHeaders,
    key_state::{KeyState, NotAdmitted},
};
use crate::{http::dialect::Dialect, telemetry::metrics::LimitUse};

/// What a limit counts: a credential and the platform's limit bucket, such as `api` or `login`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QuotaKey {
    /// The client whose quota is used.
    pub credential: Arc<str>,
    /// The limit of the platform that a request counts against.
    pub bucket: Arc<str>,
}

/// What is known of the quota before the first response.
#[derive(Debug, Clone)]
pub struct QuotaSettings {
    /// The limit of a bucket that has none of its own. `None` if no limit is published.
    pub limit: Option<RequestLimit>,
    /// Buckets that have a limit of their own.
    pub own: BTreeMap<Arc<str>, RequestLimit>,
    /// The percentage of every limit, learned ones too, that may be used.
    pub share: u8,
    /// Requests of a key that may be in flight if no limit is published.
    pub in_flight: u32,
    /// The platform's rate-limit headers and throttle responses.
    pub dialect: &'static Dialect,
}

impl QuotaSettings {
    /// The requests that may be sent in `time`. `None` if no limit is published.
    pub(crate) fn requests_in(&self, time: Duration) -> Option<u64> {
        let RequestLimit { requests, per, .. } = self.limit?;
        let usable = f64::from(requests.get()) * f64::from(self.share) / 100.0;
        Some((usable * time.as_secs_f64() / per.as_secs_f64()) as u64)
    }
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self {
            limit: None,
            own: BTreeMap::new(),
            share: 100,
            in_flight: u32::MAX,
            dialect: &Dialect::STANDARD,
        }
    }
}

/// Admits requests in the order in which they ask.
pub struct RateLimit {
    settings: QuotaSettings,
    keys: DashMap<QuotaKey, Arc<KeyState>>,
    /// Endpoints that throttle while the quota has room.
    pub(crate) endpoint_pauses: EndpointPauses,
}

/// Whether the rate-limit headers of a response say that the window of its credential is full.
/// `None` if there are none.
pub(crate) fn window_is_full(
    status: StatusCode,
    headers: &HeaderMap,
    dialect: &Dialect,
) -> Option<bool> {
    let window = RateLimitHeaders::read(status, headers, dialect)?;
    Some(window.count >= window.allowed)
}

/// The next permit of a key: nobody else gets one while this exists.
#[must_use = "other requests of the key wait until this is dropped"]
pub struct AdmissionTurn {
    key_state: Arc<KeyState>,
    dialect: &'static Dialect,
    _guard: OwnedMutexGuard<()>,
}

/// Permission to send one request. Keep it until the response has arrived.
#[must_use = "a request is in flight until its permit is dropped"]
pub struct Permit {
    key_state: Arc<KeyState>,
    dialect: &'static Dialect,
    sent: Instant,
}

impl RateLimit {
    /// Creates a rate limit under which nothing has been sent.
    pub fn new(settings: QuotaSettings) -> Self {
        Self { settings, keys: DashMap::new(), endpoint_pauses: EndpointPauses::default() }
    }

    /// Waits until `key` may send one request. Fair, and safe to cancel.
    pub async fn admit(&self, key: &QuotaKey) -> Permit {
        self.turn(key).await.admit().await
    }

    /// Waits until no earlier caller waits for a permit of `key`. Until the turn is dropped, only
    /// the turn itself gives permits of that key.
    pub async fn turn(&self, key: &QuotaKey) -> AdmissionTurn {
        let key_state = self.key_state(key);
        let guard = Arc::clone(&key_state.turn).lock_owned().await;
        AdmissionTurn { key_state, dialect: self.settings.dialect, _guard: guard }
    }

    /// Admits no request of `key` until `after` from now. A second call can only extend the pause,
    /// so that a hundred throttled requests in flight cost one pause. Returns whether it did.
    pub fn close(&self, key: &QuotaKey, after: Duration) -> bool {
        self.key_state(key).close(Instant::now() + after)
    }

    /// The limits that are known and how much of them is used, that of the bucket `first` first. A
    /// view: nothing is decided by it.
    pub(crate) fn usage(&self, first: &str) -> Vec<LimitUse> {
        let of_key = |key: &QuotaKey, key_state: &KeyState| {
            let (used, limit, per) = key_state.usage()?;
            Some(LimitUse { key: key.bucket.to_string(), used, limit, per_s: per.as_secs_f64() })
        };
        let mut usage: Vec<_> =
            self.keys.iter().filter_map(|entry| of_key(entry.key(), entry.value())).collect();
        usage.sort_by(|a, b| (a.key != first, &a.key).cmp(&(b.key != first, &b.key)));
        usage
    }

    fn key_state(&self, key: &QuotaKey) -> Arc<KeyState> {
        if let Some(key_state) = self.keys.get(key) {
            return Arc::clone(&key_state);
        }
        let new = || Arc::new(KeyState::new(&self.settings, &key.bucket));
        Arc::clone(&self.keys.entry(key.clone()).or_insert_with(new))
    }
}

impl AdmissionTurn {
    /// Waits until one more request may be sent, and counts it.
    pub async fn admit(&self) -> Permit {
        let key_state = &self.key_state;
        while let Err(NotAdmitted { until }) = key_state.admit() {
            match until {
                Some(until) => {
                    tokio::select! {
                        () = key_state.changed.notified() => {}
                        () = sleep_until(until) => {}
                    }
                }
                None => key_state.changed.notified().await,
            }
        }
        Permit { key_state: Arc::clone(key_state), dialect: self.dialect, sent: Instant::now() }
    }
}

impl Permit {
    /// Learns from a response. A permit that is dropped without a response teaches nothing.
    pub fn answered(self, status: StatusCode, headers: &HeaderMap) {
        self.key_state.answered(self.dialect, self.sent, status, headers);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.key_state.release();
    }
}

#[cfg(test)]
mod tests;
