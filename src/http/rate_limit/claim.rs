//! What responses say against what is known of the quota. One stray response changes nothing: a
//! claim is believed once it is repeated.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::rate_limit::headers::RateLimitHeaders;

/// So many responses in a row must agree before what they say replaces what is known.
const CONFIRMATIONS: u32 = 3;

/// What the last responses in a row said against what is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    allowed: u32,
    /// Whether the window is longer than known.
    is_longer: bool,
    /// Whether the window ends at another time than known.
    is_moved: bool,
    /// The longest remaining time of the window.
    reset: Duration,
    /// The range of the instant at which the window ends.
    end: (Instant, Instant),
    /// Responses in a row.
    times: u32,
}

impl Claim {
    /// What one response says.
    pub(super) fn new(
        headers: RateLimitHeaders,
        is_longer: bool,
        is_moved: bool,
        end: (Instant, Instant),
    ) -> Self {
        let RateLimitHeaders { allowed, reset, .. } = headers;
        Self { allowed, is_longer, is_moved, reset, end, times: 1 }
    }

    /// The claim of a further response, counted as a repetition if it agrees with this one.
    pub(super) fn followed_by(self, next: Self) -> Self {
        if !self.agrees(&next) {
            return next;
        }
        Self { times: self.times + 1, reset: next.reset.max(self.reset), ..next }
    }

    /// Whether enough responses agree.
    pub(super) fn is_confirmed(&self) -> bool {
        self.times >= CONFIRMATIONS
    }

    /// The longest remaining time of the window that was said.
    pub(super) fn reset(&self) -> Duration {
        self.reset
    }

    fn agrees(&self, next: &Self) -> bool {
        let names_time = self.is_longer || self.is_moved;
        let same_end = self.end.0 <= next.end.1 && next.end.0 <= self.end.1;
        self.allowed == next.allowed
            && self.is_longer == next.is_longer
            && self.is_moved == next.is_moved
            && (!names_time || same_end || self.reset == next.reset)
    }
}
