//! The quota: who may ask now (G6).
//!
//! One GCRA limiter a key, on tokio's clock, and one gate a key that a throttle closes for
//! everybody. Every attempt pays, retries and token calls too. No policy lives here: how long a
//! gate closes is decided in `retry`.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dashmap::DashMap;
use governor::{Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware, state::keyed::DashMapStateStore};
use tokio::time::{Instant, sleep_until};

/// What a limit counts: a credential and the platform's limit bucket, like `api` or `login`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The client whose quota is used.
    pub credential: Arc<str>,
    /// The limit of the platform that a request counts against.
    pub bucket: Arc<str>,
}

/// A published limit: so many requests in any window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests a window.
    pub requests: NonZeroU32,
    /// The window.
    pub per: Duration,
    /// Requests that may go at once; none: a hundredth of `requests`, at least one.
    pub burst: Option<NonZeroU32>,
}

/// Admits requests, in the order in which they ask.
pub struct Budget {
    limiter: Option<RateLimiter<Key, DashMapStateStore<Key>, TokioClock, NoOpMiddleware<Duration>>>,
    lanes: DashMap<Key, Arc<Lane>>,
    clock: TokioClock,
}

/// The queue of one key.
#[derive(Default)]
struct Lane {
    /// Held by the one that waits for the limiter. tokio's mutex is fair: first come, first served,
    /// and a thousand waiters cost one timer.
    turn: tokio::sync::Mutex<()>,
    /// When the gate opens again. Never held over an await.
    opens: Mutex<Option<Instant>>,
}

/// governor's time: since the budget was made, on the clock that a simulation pauses.
#[derive(Clone, Copy)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Limit {
    /// The rate and burst of GCRA that admit at most `requests` in any window, fixed or sliding.
    ///
    /// GCRA admits `burst` at once and then one an interval, so `burst + per / interval` a window:
    /// the interval is stretched until that sum is `requests`.
    fn quota(self) -> Option<Quota> {
        let requests = self.requests.get();
        let burst = self.burst.map_or(requests / 100, NonZeroU32::get).clamp(1, requests);
        let refills = (requests - burst).max(1);
        Some(Quota::with_period(self.per.div_f64(f64::from(refills)))?.allow_burst(NonZeroU32::new(burst)?))
    }
}

impl Budget {
    /// A budget of `limit` for every key; none: no limit, only the gates.
    pub fn new(limit: Option<Limit>) -> Self {
        let clock = TokioClock(Instant::now());
        let limiter =
            limit.and_then(Limit::quota).map(|quota| RateLimiter::new(quota, DashMapStateStore::default(), clock));
        Self { limiter, lanes: DashMap::new(), clock }
    }

    /// Waits until `key` may send one request. Fair, and safe to drop while it waits.
    pub async fn admit(&self, key: &Key) {
        let lane = self.lane(key);
        let _turn = lane.turn.lock().await;
        while let Some(until) = self.blocked_until(key, &lane) {
            sleep_until(until).await;
        }
    }

    /// Closes the gate of `key` for everybody until `after` from now. Closing it again while it is
    /// closed only ever prolongs: a hundred throttled requests in flight cost one pause.
    pub fn close(&self, key: &Key, after: Duration) {
        let lane = self.lane(key);
        let mut opens = lane.opens.lock().unwrap_or_else(PoisonError::into_inner);
        *opens = (*opens).max(Some(Instant::now() + after));
    }

    /// The instant to wait for; none: admitted, and paid.
    fn blocked_until(&self, key: &Key, lane: &Lane) -> Option<Instant> {
        let opens = *lane.opens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opens) = opens.filter(|&opens| opens > Instant::now()) {
            return Some(opens);
        }
        let refused = self.limiter.as_ref()?.check_key(key).err()?;
        Some(self.clock.0 + refused.earliest_possible())
    }

    fn lane(&self, key: &Key) -> Arc<Lane> {
        Arc::clone(&self.lanes.entry(key.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(bucket: &str) -> Key {
        Key { credential: "client".into(), bucket: bucket.into() }
    }

    fn limit(requests: u32, per: Duration, burst: Option<u32>) -> Option<Limit> {
        Some(Limit { requests: NonZeroU32::new(requests).unwrap(), per, burst: burst.and_then(NonZeroU32::new) })
    }

    /// The instants at which `count` requests are admitted.
    fn admitted(limit: Option<Limit>, count: usize) -> Vec<Duration> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (budget, start) = (Budget::new(limit), Instant::now());
            let mut times = Vec::new();
            for _ in 0..count {
                budget.admit(&key("api")).await;
                times.push(start.elapsed());
            }
            times
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn g6_no_window_sees_more_than_the_limit(requests in 1u32..400, per_ms in 500u64..90_000, burst in prop::option::of(1u32..500)) {
            let per = Duration::from_millis(per_ms);
            let times = admitted(limit(requests, per, burst), 3 * requests as usize + 5);
            for (index, &first) in times.iter().enumerate() {
                let within = times[index..].iter().take_while(|&&time| time < first + per).count();
                prop_assert!(within <= requests as usize, "{} in a window of {}", within, requests);
            }
        }
    }

    #[test]
    fn a_window_is_used_to_98_percent() {
        let times = admitted(limit(300, Duration::from_secs(60), None), 3_000);
        let windows = times.last().unwrap().as_secs_f64() / 60.0;
        assert!(3_000.0 / windows >= 0.98 * 300.0, "{windows} windows for 3,000 requests");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_holds_everyone_and_closing_it_twice_costs_one_pause() {
        let (budget, start) = (Budget::new(None), Instant::now());
        for _ in 0..100 {
            budget.close(&key("api"), Duration::from_secs(7));
        }
        budget.close(&key("api"), Duration::from_secs(2));
        let all = (0..50).map(|_| async {
            budget.admit(&key("api")).await;
            start.elapsed()
        });
        let opened = futures_util::future::join_all(all).await;
        assert!(opened.iter().all(|&at| at == Duration::from_secs(7)), "{opened:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_do_not_share_a_gate() {
        let (budget, start) = (Budget::new(None), Instant::now());
        budget.close(&key("api"), Duration::from_secs(7));
        budget.admit(&key("login")).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
