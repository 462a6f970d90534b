//! What is known of the quota of one key, and whether its next request may be sent.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use tokio::{sync::Notify, time::Instant};

use crate::http::{
    dialect::Dialect,
    rate_limit::{
        QuotaSettings,
        concurrency_limit::{ConcurrencyLimit, Outcome},
        headers::RateLimitHeaders,
        limiter::{RequestLimit, SharedLimiter},
        server_window::{RESET_ROUNDING, SHORTEST_WINDOW, ServerWindow},
    },
};

/// The callers that wait for one key, and the quota of that key.
pub(super) struct KeyState {
    /// Held by the caller that waits for the next permit. tokio's mutex is fair, so callers are
    /// served in order, and a thousand of them cost one timer.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    /// Wakes the holder of the turn when a response has changed what it waits for.
    pub changed: Notify,
    /// Never locked across an await.
    quota: Mutex<KeyQuota>,
}

/// A request that must wait.
pub(super) struct NotAdmitted {
    /// When to try again. `None` if only a response can help.
    pub until: Option<Instant>,
}

struct KeyQuota {
    /// The end of the pause that a throttle demands.
    closed_until: Option<Instant>,
    in_flight: u32,
    /// The whole limit; the limiter keeps our share of it. `None` if no limit is known.
    limit: Option<RequestLimit>,
    limiter: SharedLimiter,
    window: Option<ServerWindow>,
    /// The percentage of the limit and of the window that may be used.
    share: u8,
    /// Applies if no limit is known.
    concurrency_limit: ConcurrencyLimit,
}

impl KeyState {
    pub(super) fn new(settings: &QuotaSettings, bucket: &str) -> Self {
        let limit = settings.own.get(bucket).copied().or(settings.limit);
        let mut limiter = SharedLimiter::new();
        if let Some(limit) = limit {
            limiter.set(limit.share(settings.share));
        }
        let quota = KeyQuota {
            closed_until: None,
            in_flight: 0,
            limit,
            limiter,
            window: None,
            share: settings.share,
            concurrency_limit: ConcurrencyLimit::new(settings.in_flight),
        };
        Self { turn: Arc::default(), changed: Notify::new(), quota: Mutex::new(quota) }
    }

    /// Counts one request as sent.
    ///
    /// # Errors
    /// [`NotAdmitted`] if it must wait.
    pub(super) fn admit(&self) -> Result<(), NotAdmitted> {
        self.quota().admit()
    }

    /// Admits nothing before `until`. Returns whether that is later than before.
    pub(super) fn close(&self, until: Instant) -> bool {
        let mut quota = self.quota();
        let is_later = quota.closed_until < Some(until);
        quota.closed_until = quota.closed_until.max(Some(until));
        is_later
    }

    /// Learns from the response to a request that was sent at `sent`.
    pub(super) fn answered(
        &self,
        dialect: &Dialect,
        sent: Instant,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        let is_throttled = dialect.is_throttle(status, headers.contains_key(RETRY_AFTER), "");
        let outcome = if is_throttled { Outcome::Throttled } else { Outcome::Answered };
        let now = Instant::now();
        let mut quota = self.quota();
        quota.concurrency_limit.ended(sent, now, outcome);
        if let Some(headers) = RateLimitHeaders::read(headers, dialect) {
            quota.learn(headers, sent, now);
        }
    }

    /// Counts one request as no longer in flight.
    pub(super) fn release(&self) {
        self.quota().in_flight -= 1;
        self.changed.notify_one();
    }

    fn quota(&self) -> MutexGuard<'_, KeyQuota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyQuota {
    fn admit(&mut self) -> Result<(), NotAdmitted> {
        let now = Instant::now();
        if let Some(until) = self.closed_until.filter(|&until| until > now) {
            return Err(NotAdmitted { until: Some(until) });
        }
        let window_end =
            self.window.and_then(|window| window.full_until(self.in_flight, self.share, now));
        if let Some(until) = window_end {
            return Err(NotAdmitted { until: Some(until) });
        }
        if self.limit.is_some() {
            self.limiter.admit().map_err(|until| NotAdmitted { until: Some(until) })?;
        } else if !self.concurrency_limit.admits(self.in_flight) {
            return Err(NotAdmitted { until: None });
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Learns from the rate-limit headers of a response.
    fn learn(&mut self, headers: RateLimitHeaders, sent: Instant, now: Instant) {
        let corrected = self.corrected_limit(headers);
        let per = corrected.or(self.limit).map_or(headers.reset, |limit| limit.per);
        if !self.update_window(headers, per, sent, now) {
            return;
        }
        if let Some(limit) = corrected {
            tracing::info!(
                requests = limit.requests,
                per = ?limit.per,
                "the server reports its limit"
            );
            self.limit = Some(limit);
            self.limiter.set(limit.share(self.share));
        }
    }

    /// Updates the server's window. Returns false for a late response of an earlier window.
    fn update_window(
        &mut self,
        headers: RateLimitHeaders,
        per: Duration,
        sent: Instant,
        now: Instant,
    ) -> bool {
        if per < SHORTEST_WINDOW {
            return true;
        }
        match &mut self.window {
            Some(window) => window.learn(headers, per, sent, now),
            None => {
                self.window = Some(ServerWindow::new(headers, per, sent, now));
                true
            }
        }
    }

    /// The limit that the headers report. `None` if it is the present one.
    ///
    /// A window is at least as long as its remaining time, which is rounded up to a second.
    fn corrected_limit(&self, headers: RateLimitHeaders) -> Option<RequestLimit> {
        let requests = NonZeroU32::new(headers.allowed)?;
        let Some(limit) = self.limit else {
            let per = headers.reset.max(RESET_ROUNDING);
            return Some(RequestLimit { requests, per, burst: None });
        };
        let is_longer = headers.reset >= limit.per + RESET_ROUNDING;
        let per = if is_longer { headers.reset } else { limit.per };
        Some(RequestLimit { requests, per, ..limit }).filter(|new| *new != limit)
    }
}
