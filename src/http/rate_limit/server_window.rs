//! The server's window, as far as its replies tell.
//!
//! A fixed window begins with its first request, whoever sends it. Replies come out of order, so a
//! reply is told from those of other windows by when its window can end.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::http::{error::header, rate_limit::limiter::part};

/// `reset` is rounded up to this.
pub(crate) const GRAIN: Duration = Duration::from_secs(1);
/// Windows shorter than this cannot be told apart by a `reset` in whole seconds.
pub(crate) const SHORTEST: Duration = Duration::from_secs(2);
/// A window that lasts longer is not waited for on the strength of a header: a 429 says how long.
const LONGEST_RESET: Duration = Duration::from_secs(3_600);

/// What a reply says of the quota: `inin-ratelimit-allowed`, `-count` and `-reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimitHeaders {
    /// Requests that a window allows.
    pub allowed: u32,
    /// Requests in this window so far, of everyone with the token.
    pub count: u32,
    /// How long the window lasts yet, in whole seconds, rounded up.
    pub reset: Duration,
}

/// A window of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerWindow {
    allowed: u32,
    /// The largest count that a reply told.
    count: u32,
    /// Replies of ours that told one.
    ours: u32,
    /// How long a reply takes: a moving average.
    trip: Duration,
    /// How long a window lasts.
    per: Duration,
    /// It ends after this …
    earliest: Instant,
    /// … and is over by this.
    latest: Instant,
}

impl RateLimitHeaders {
    /// Reads the headers of a reply; none where the server says nothing that can be believed.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let number = |name: &str| header(headers, name)?.trim().parse::<u32>().ok();
        let headers = Self {
            allowed: number("inin-ratelimit-allowed").filter(|&allowed| allowed > 0)?,
            count: number("inin-ratelimit-count")?,
            reset: Duration::from_secs(number("inin-ratelimit-reset")?.into()),
        };
        (headers.reset <= LONGEST_RESET).then_some(headers)
    }
}

impl ServerWindow {
    /// The window that a reply tells of: its request went at `sent`, it came at `now`.
    pub(crate) fn new(
        headers: RateLimitHeaders,
        per: Duration,
        sent: Instant,
        now: Instant,
    ) -> Self {
        let RateLimitHeaders { allowed, count, reset } = headers;
        let earliest = (sent + reset).checked_sub(GRAIN).unwrap_or(sent);
        Self { allowed, count, ours: 1, trip: now - sent, per, earliest, latest: now + reset }
    }

    /// Takes in what a further reply tells, and whether it tells of now: a late reply of an earlier
    /// window does not.
    pub(crate) fn learn(
        &mut self,
        headers: RateLimitHeaders,
        per: Duration,
        sent: Instant,
        now: Instant,
    ) -> bool {
        let told = Self::new(headers, per, sent, now);
        let over = self.is_over(now);
        // the next window ends one window after this one, or later
        if told.earliest > self.latest || (over && told.latest >= self.earliest + per) {
            *self = told;
            return true;
        }
        if over || told.latest < self.earliest {
            return false;
        }
        // the word of the reply that was counted last is the newest
        if headers.count >= self.count {
            (self.allowed, self.count) = (headers.allowed, headers.count);
        }
        self.ours += 1;
        self.trip = (7 * self.trip + told.trip) / 8;
        self.earliest = self.earliest.max(told.earliest);
        self.latest = self.latest.min(told.latest);
        self.allowed == headers.allowed
    }

    /// The instant to wait for with `in_flight` requests unanswered, if `share` hundredths of the window
    /// are ours; none: one more may go.
    ///
    /// Each of them may take a place that is not counted yet. While one travels, others with the
    /// token send at their rate in this window, give or take three standard deviations. The last
    /// places are tried for one at a time: there is at most one refusal.
    pub(crate) fn full_until(&self, in_flight: u32, share: u8, now: Instant) -> Option<Instant> {
        let left = self.allowed.saturating_sub(self.count);
        let others = self.count.saturating_sub(self.ours).saturating_sub(in_flight);
        let elapsed =
            self.per.saturating_sub(self.latest.saturating_duration_since(now)).max(self.trip);
        let expected = f64::from(others) * self.trip.as_secs_f64()
            / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let fits = f64::from(in_flight) + 1.0 + expected + 3.0 * expected.sqrt() <= f64::from(left);
        let fits = fits || (in_flight == 0 && left > 0);
        let is_ours = self.ours + in_flight < part(self.allowed, share).get();
        let may_go = self.is_over(now) || (fits && is_ours);
        (!may_go).then_some(self.latest)
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.latest
    }
}
