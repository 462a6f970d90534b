//! A limit, and the limiter that keeps it.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{StateStore, keyed::DashMapStateStore},
};
use tokio::time::Instant;

use crate::http::rate_limit::QuotaKey;

/// Below this a spare request would cost more than 1 % of the limit.
const SPARES: u32 = 100;

/// Beyond this, a burst of long intervals would not fit governor's nanoseconds.
const LARGEST_BURST: u32 = 100_000;

/// A published limit: so many requests in any window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimit {
    /// Requests a window.
    pub requests: NonZeroU32,
    /// The window.
    pub per: Duration,
    /// Requests that may go at once; none: a hundredth of `requests`, at least one.
    pub burst: Option<NonZeroU32>,
}

/// governor's keyed limiter. It is made anew when a limit changes; what was sent is not forgotten.
pub(crate) type Limiter = RateLimiter<QuotaKey, StartState, TokioClock, NoOpMiddleware<Duration>>;

/// What was sent with every key, whatever the limit was then.
pub(crate) type Record = Arc<DashMapStateStore<QuotaKey>>;

/// The record as one limiter sees it, which counts time from when it was made.
pub(crate) struct StartState {
    record: Record,
    since: Nanos,
}

impl StateStore for StartState {
    type Key = QuotaKey;

    fn measure_and_replace<T, F, E>(&self, key: &QuotaKey, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.record.measure_and_replace(key, |arrival| {
            let (admitted, next) =
                measure(arrival.map(|arrival| arrival.saturating_sub(self.since)))?;
            Ok((admitted, next + self.since))
        })
    }
}

/// governor's time: since the budget was made, on the clock that a simulation pauses.
#[derive(Clone, Copy)]
pub(crate) struct TokioClock(pub(crate) Instant);

impl TokioClock {
    /// The instant that a refusal names.
    pub(crate) fn instant(self, refused: &NotUntil<Duration>) -> Instant {
        self.0 + refused.earliest_possible()
    }
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// So many hundredths of a number of requests, at least one.
pub(crate) fn part(requests: u32, percent: u8) -> NonZeroU32 {
    let part = u64::from(requests) * u64::from(percent) / 100;
    u32::try_from(part).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

impl RequestLimit {
    /// So many hundredths of it.
    pub fn share(self, percent: u8) -> Self {
        Self { requests: part(self.requests.get(), percent), ..self }
    }

    /// The limiter of this limit, over what was sent before.
    pub(crate) fn limiter(self, record: &Record, clock: TokioClock) -> Limiter {
        let sent = StartState { record: Arc::clone(record), since: clock.now().into() };
        RateLimiter::new(self.quota(), sent, clock)
    }

    /// The rate and burst of GCRA that admit at most `requests` in any window, fixed or sliding.
    ///
    /// GCRA admits `burst` at once and then one an interval: in a half-open window `burst - 1` and
    /// one for each interval that begins in it. The interval is stretched until that sum is
    /// `requests`; where it costs little, one less, since replies and requests travel unevenly.
    fn quota(self) -> Quota {
        let requests = self.requests.get();
        let burst = self
            .burst
            .map_or(requests / 100, NonZeroU32::get)
            .clamp(1, requests.min(LARGEST_BURST));
        let spare = u32::from(requests >= SPARES);
        let intervals = (requests - burst + 1 - spare).max(1);
        let interval = self.per.as_nanos().div_ceil(intervals.into()).clamp(1, u64::MAX.into());
        let interval = Duration::from_nanos(u64::try_from(interval).unwrap_or(u64::MAX));
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
    }
}
