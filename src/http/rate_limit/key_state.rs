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
        claim::Claim,
        concurrency_limit::{ConcurrencyLimit, Outcome},
        headers::RateLimitHeaders,
        latency_spread::LatencySpread,
        limiter::{RequestLimit, SharedLimiter},
        server_window::{Placement, RESET_ROUNDING, SHORTEST_WINDOW, ServerWindow},
        usage::SentCounts,
        window_form::WindowForm,
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
    /// The limit that was known before the first response. `None` if none was.
    configured: Option<RequestLimit>,
    /// The whole limit; the limiter keeps our share of it. `None` if no limit is known.
    limit: Option<RequestLimit>,
    limiter: SharedLimiter,
    /// The margin in time that the limiter keeps.
    margin: Duration,
    spread: LatencySpread,
    /// The window that responses report. `None` if they report none, or if it slides.
    window: Option<ServerWindow>,
    form: WindowForm,
    /// What responses said against the limit or the window, and not often enough to be believed.
    claim: Option<Claim>,
    /// The percentage of the limit and of the window that may be used.
    share: u8,
    /// Applies if no limit is known.
    concurrency_limit: ConcurrencyLimit,
    /// For people to look at.
    sent: SentCounts,
}

impl KeyState {
    pub(super) fn new(settings: &QuotaSettings, bucket: &str) -> Self {
        let limit = settings.own.get(bucket).copied().or(settings.limit);
        let mut quota = KeyQuota {
            closed_until: None,
            in_flight: 0,
            configured: limit,
            limit,
            limiter: SharedLimiter::new(),
            margin: Duration::ZERO,
            spread: LatencySpread::default(),
            window: None,
            form: WindowForm::default(),
            claim: None,
            share: settings.share,
            concurrency_limit: ConcurrencyLimit::new(settings.in_flight),
            sent: SentCounts::new(Instant::now()),
        };
        quota.update_limiter(true);
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
        quota.spread.add(now - sent);
        let is_learned = RateLimitHeaders::read(status, headers, dialect)
            .is_some_and(|headers| quota.learn(headers, sent, now));
        quota.update_limiter(is_learned);
    }

    /// Counts one request as no longer in flight.
    pub(super) fn release(&self) {
        self.quota().in_flight -= 1;
        self.changed.notify_one();
    }

    /// Requests in the present window, those of other clients included where the server counts, the
    /// requests that it allows us, and its length. `None` if no limit is known.
    pub(super) fn usage(&self) -> Option<(u64, u64, Duration)> {
        let now = Instant::now();
        let mut quota = self.quota();
        let limit = quota.limit?;
        let sent = quota.sent.sum(limit.per, now);
        let counted = quota.window.and_then(|window| window.count(now));
        let used = counted.map_or(sent, u64::from);
        Some((used, limit.share(quota.share).requests.get().into(), limit.per))
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
        if let Some(limit) = self.limit {
            self.sent.add(limit.per, now);
        }
        Ok(())
    }

    /// Learns from the rate-limit headers of a response. Returns whether the limit has changed.
    ///
    /// A response that agrees with what is known updates the window. One that contradicts it, such
    /// as a stray one with another limit or a window that is too long, is a claim, which counts
    /// once it is repeated.
    fn learn(&mut self, headers: RateLimitHeaders, sent: Instant, now: Instant) -> bool {
        let per = self.limit.map_or(headers.reset, |limit| limit.per);
        let reported = ServerWindow::new(headers, per, sent, now);
        let placement = self
            .window
            .as_ref()
            .map_or(Placement::Next, |window| window.place(&reported, sent, now));
        self.form.learn(&reported, placement, per, (sent, now));
        let placement = if self.form.slides() { Placement::Next } else { placement };
        if placement == Placement::Earlier {
            return false;
        }
        match &mut self.window {
            Some(window) if placement == Placement::Same => window.merge(&reported),
            _ => {}
        }
        let is_longer = headers.reset >= per + RESET_ROUNDING;
        let is_moved = placement == Placement::Contradicts;
        let is_limit = self.limit.is_some_and(|limit| limit.requests.get() == headers.allowed);
        if is_limit && !is_longer && !is_moved {
            self.claim = None;
            if placement == Placement::Next {
                self.window = self.followed(reported, per);
            }
            return false;
        }
        let claim = Claim::new(headers, is_longer, is_moved, reported.end());
        let claim = self.claim.take().map_or(claim, |earlier| earlier.followed_by(claim));
        if !claim.is_confirmed() {
            self.claim = Some(claim);
            return false;
        }
        let Some(limit) = self.claimed_limit(headers, &claim, is_moved) else { return false };
        let is_changed = self.limit != Some(limit);
        if is_changed {
            tracing::info!(
                requests = limit.requests,
                per = ?limit.per,
                "the server reports its limit"
            );
        }
        self.limit = Some(limit);
        match &mut self.window {
            Some(window) if placement == Placement::Same => {
                window.set_limit(headers.allowed, limit.per)
            }
            _ => {
                let window = ServerWindow::new(headers, limit.per, sent, now);
                self.window = self.followed(window, limit.per);
            }
        }
        is_changed
    }

    /// The window, if its headers say when the next request may be sent.
    fn followed(&self, window: ServerWindow, per: Duration) -> Option<ServerWindow> {
        Some(window).filter(|_| per >= SHORTEST_WINDOW && !self.form.slides())
    }

    /// The limit that a confirmed claim means. Its window is as long as configured, unless more
    /// time of it was left, or nothing is configured.
    fn claimed_limit(
        &self,
        headers: RateLimitHeaders,
        claim: &Claim,
        is_moved: bool,
    ) -> Option<RequestLimit> {
        let requests = NonZeroU32::new(headers.allowed)?;
        let at_least = claim.reset().max(RESET_ROUNDING);
        let per = match (self.configured, self.limit) {
            (Some(configured), _) if at_least < configured.per + RESET_ROUNDING && is_moved => {
                configured.per
            }
            (_, Some(limit)) if at_least < limit.per + RESET_ROUNDING && !is_moved => limit.per,
            _ => at_least,
        };
        let burst = self.configured.and_then(|configured| configured.burst);
        Some(RequestLimit { requests, per, burst })
    }

    /// Makes the limiter keep the limit and the margin, if either has changed.
    fn update_limiter(&mut self, is_new: bool) {
        let Some(limit) = self.limit.map(|limit| limit.share(self.share)) else { return };
        let is_told = self.window.is_some() && (self.form.is_fixed() || limit.is_large());
        let margin = limit.margin(self.spread.get(), is_told);
        if is_new || margin != self.margin {
            self.margin = margin;
            self.limiter.set(limit, margin);
        }
    }
}
