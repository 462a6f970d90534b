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

/// Limits from this size on keep one request in reserve, which costs at most 1 % of them.
const SMALLEST_LIMIT_WITH_RESERVE: u32 = 100;

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

    /// Replaces the limit.
    pub(super) fn set(&mut self, limit: RequestLimit) {
        let state = LimiterState { sent: Arc::clone(&self.sent), since: self.clock.now().into() };
        self.limiter = Some(RateLimiter::new(limit.quota(), state, self.clock));
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

    /// The rate and burst of GCRA that admit at most `requests` in any window, fixed or sliding.
    ///
    /// GCRA admits `burst` requests at once and then one in each interval: in a half-open window
    /// `burst - 1`, and one for each interval that begins in it. The interval is stretched until
    /// that sum is `requests`; in a large limit until it is one less, since requests do not all
    /// travel equally fast.
    fn quota(self) -> Quota {
        let requests = self.requests.get();
        let burst = self
            .burst
            .map_or(requests / 100, NonZeroU32::get)
            .clamp(1, requests.min(LARGEST_BURST));
        let reserve = u32::from(requests >= SMALLEST_LIMIT_WITH_RESERVE);
        let intervals = (requests - burst + 1 - reserve).max(1);
        let interval = self.per.as_nanos().div_ceil(intervals.into()).clamp(1, u64::MAX.into());
        let interval = Duration::from_nanos(u64::try_from(interval).unwrap_or(u64::MAX));
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
    }
}
