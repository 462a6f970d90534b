//! The server's rate-limit window, as reported by the headers of its responses.
//!
//! A fixed window begins with its first request, whoever sends it. Responses arrive out of order;
//! the time at which its window can end tells which window a response belongs to.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::rate_limit::{headers::RateLimitHeaders, limiter::percentage};

/// `reset` is rounded up to a multiple of this.
pub(super) const RESET_ROUNDING: Duration = Duration::from_secs(1);
/// Shorter windows cannot be told apart by a `reset` in whole seconds.
pub(super) const SHORTEST_WINDOW: Duration = Duration::from_secs(2);
/// One window of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerWindow {
    allowed: u32,
    /// The largest count that a response reported.
    count: u32,
    /// Our responses that reported a count.
    ours: u32,
    /// The moving average of the time from request to response.
    round_trip: Duration,
    /// The length of a window.
    per: Duration,
    /// The window does not end before this instant.
    earliest_end: Instant,
    /// The window has ended by this instant.
    latest_end: Instant,
    /// When the first response of the window arrived.
    learned: Instant,
}

/// How the window that a response reports relates to the known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// It is the same.
    Same,
    /// It is the next one.
    Next,
    /// It is an earlier one: the response was late.
    Earlier,
    /// It contradicts the known one: if one of them is true, the other is not.
    Contradicts,
}

impl ServerWindow {
    /// The window that a response reports. Its request was sent at `sent`, it arrived at `now`.
    pub(super) fn new(
        headers: RateLimitHeaders,
        per: Duration,
        sent: Instant,
        now: Instant,
    ) -> Self {
        let RateLimitHeaders { allowed, count, reset } = headers;
        let earliest_end = (sent + reset).checked_sub(RESET_ROUNDING).unwrap_or(sent);
        let latest_end = now + reset;
        let (ours, round_trip, learned) = (1, now - sent, now);
        Self { allowed, count, ours, round_trip, per, earliest_end, latest_end, learned }
    }

    /// How `reported`, from a response to a request that was sent at `sent` and arrived at `now`,
    /// relates to this window.
    pub(super) fn place(&self, reported: &Self, sent: Instant, now: Instant) -> Placement {
        let ends_later = reported.earliest_end > self.latest_end;
        let ends_earlier = reported.latest_end < self.earliest_end;
        let is_over = self.is_over(now);
        // the next window begins after this one, and so ends at least one window length later
        let may_be_next = now >= self.earliest_end
            && reported.latest_end >= self.earliest_end + self.per
            && (ends_later || is_over);
        if may_be_next {
            Placement::Next
        } else if !ends_later && !ends_earlier {
            if is_over { Placement::Earlier } else { Placement::Same }
        } else if sent >= self.learned {
            Placement::Contradicts
        } else {
            Placement::Earlier
        }
    }

    /// Learns from a further response of this window.
    pub(super) fn merge(&mut self, reported: &Self) {
        // the response with the largest count is the newest
        self.count = self.count.max(reported.count);
        self.ours += 1;
        self.round_trip = (7 * self.round_trip + reported.round_trip) / 8;
        self.earliest_end = self.earliest_end.max(reported.earliest_end);
        self.latest_end = self.latest_end.min(reported.latest_end);
    }

    /// Replaces the limit of the window.
    pub(super) fn set_limit(&mut self, allowed: u32, per: Duration) {
        (self.allowed, self.per) = (allowed, per);
    }

    /// Whether the window holds one request only.
    pub(super) fn is_first(&self) -> bool {
        self.count == 1
    }

    /// The range of the instant at which the window ends.
    pub(super) fn end(&self) -> (Instant, Instant) {
        (self.earliest_end, self.latest_end)
    }

    /// The requests that the server has counted in this window. `None` if it is over.
    pub(super) fn count(&self, now: Instant) -> Option<u32> {
        (!self.is_over(now)).then_some(self.count)
    }

    /// The instant to wait for while `in_flight` requests are unanswered, if `share` percent of the
    /// window may be used. `None` if one more request may be sent now.
    ///
    /// Each request in flight may take a place that is not counted yet. During a round trip, other
    /// clients with the credential are expected to send at their rate in this window, plus three
    /// standard deviations. The last places are tried one at a time, so that at most one request of
    /// a window is refused.
    pub(super) fn full_until(&self, in_flight: u32, share: u8, now: Instant) -> Option<Instant> {
        let left = self.allowed.saturating_sub(self.count);
        let others = self.count.saturating_sub(self.ours).saturating_sub(in_flight);
        let remaining = self.latest_end.saturating_duration_since(now);
        let elapsed = self.per.saturating_sub(remaining).max(self.round_trip);
        let expected = f64::from(others) * self.round_trip.as_secs_f64()
            / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let fits = f64::from(in_flight) + 1.0 + expected + 3.0 * expected.sqrt() <= f64::from(left);
        let fits = fits || (in_flight == 0 && left > 0);
        let is_within_share = self.ours + in_flight < percentage(self.allowed, share).get();
        let may_send = self.is_over(now) || (fits && is_within_share);
        (!may_send).then_some(self.latest_end)
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.latest_end
    }
}
