//! A published limit, and the GCRA limiter that keeps it.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use tokio::time::Instant;

/// The margin in time before any response has shown how unevenly requests travel.
const FIRST_MARGIN: Duration = Duration::from_millis(500);
/// The longest margin in time, however uneven responses are: not all of it is the way to the
/// server.
const LONGEST_MARGIN: Duration = Duration::from_secs(2);
/// Limits from this size on spend at most 2 % of the window on the margin.
const LARGE: u32 = 100;

/// A larger burst of long intervals would overflow governor's nanoseconds.
const LARGEST_BURST: u32 = 100_000;

/// A published limit: so many requests in any window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimit {
    /// Requests that a window allows.
    pub requests: NonZeroU32,
    /// The length of the window.
    pub per: Duration,
    /// Requests that may be sent at once. `None` means one hundredth of `requests`, at least one.
    pub burst: Option<NonZeroU32>,
}

/// A governor limiter whose limit can change without forgetting what was sent before.
pub(super) struct SharedLimiter {
    sent: Arc<InMemoryState>,
    clock: TokioClock,
    /// `None` until a limit is set.
    limiter: Option<Limiter>,
}

type Limiter = RateLimiter<NotKeyed, LimiterState, TokioClock, NoOpMiddleware<Duration>>;

/// What was sent, as one limiter sees it: a limiter counts time from its own creation.
struct LimiterState {
    sent: Arc<InMemoryState>,
    since: Nanos,
}

/// governor's clock on tokio's time, which a simulation can pause. Counts from the given instant.
#[derive(Clone, Copy)]
struct TokioClock(Instant);

impl StateStore for LimiterState {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, key: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.sent.measure_and_replace(key, |arrival| {
            let (admitted, next) =
                measure(arrival.map(|arrival| arrival.saturating_sub(self.since)))?;
            Ok((admitted, next + self.since))
        })
    }
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl SharedLimiter {
    pub(super) fn new() -> Self {
        Self { sent: Arc::default(), clock: TokioClock(Instant::now()), limiter: None }
    }

    /// Replaces the limit, which holds for windows that are longer by `margin`.
    pub(super) fn set(&mut self, limit: RequestLimit, margin: Duration) {
        let state = LimiterState { sent: Arc::clone(&self.sent), since: self.clock.now().into() };
        self.limiter = Some(RateLimiter::new(limit.quota(margin), state, self.clock));
    }

    /// Counts one request as sent.
    ///
    /// # Errors
    /// The earliest instant at which one more request may be sent.
    pub(super) fn admit(&self) -> Result<(), Instant> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|refused| self.clock.0 + refused.earliest_possible())
    }
}

/// `percent` of a number of requests, at least one.
pub(super) fn percentage(requests: u32, percent: u8) -> NonZeroU32 {
    let part = u64::from(requests) * u64::from(percent) / 100;
    u32::try_from(part).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

impl RequestLimit {
    /// `percent` of this limit.
    pub(crate) fn share(self, percent: u8) -> Self {
        Self { requests: percentage(self.requests.get(), percent), ..self }
    }

    /// The margin in time between two windows: requests that were sent a window apart may arrive
    /// closer together, by up to the spread of their latencies.
    ///
    /// Before that is seen, the margin is the time of half a request, or of one in a large limit,
    /// and at most half a second. Where the server's headers tell how full its window is and when
    /// it ends (`is_told`), a small limit needs none.
    pub(super) fn margin(self, spread: Duration, is_told: bool) -> Duration {
        let (burst, requests) = (self.burst(), self.requests.get());
        let interval = self.per / (requests - burst).max(1);
        let first = FIRST_MARGIN.min(if self.is_large() { interval } else { interval / 2 });
        if is_told {
            return if self.is_large() { first } else { Duration::ZERO };
        }
        let longest = if self.is_large() { self.per / 50 } else { self.per / 4 };
        spread.min(longest).min(LONGEST_MARGIN).max(first)
    }

    /// Whether a margin of one request is a small part of the limit.
    pub(super) fn is_large(self) -> bool {
        self.requests.get() >= LARGE
    }

    fn burst(self) -> u32 {
        let requests = self.requests.get();
        let burst = self.burst.map_or(requests / 100, NonZeroU32::get);
        burst.clamp(1, requests.min(LARGEST_BURST))
    }

    /// The rate and burst of GCRA that admit at most `requests` in any window that is longer by
    /// `margin`, fixed or sliding.
    ///
    /// GCRA admits `burst` requests at once and then one in each interval: in a half-open window
    /// `burst - 1`, and one for each interval that begins in it. The interval is stretched until
    /// that sum is `requests`.
    fn quota(self, margin: Duration) -> Quota {
        let burst = self.burst();
        let intervals = self.requests.get() - burst + 1;
        let window = self.per.saturating_add(margin).as_nanos();
        let interval = window.div_ceil(intervals.into()).clamp(1, u64::MAX.into());
        let interval = Duration::from_nanos(u64::try_from(interval).unwrap_or(u64::MAX));
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
    }
}
