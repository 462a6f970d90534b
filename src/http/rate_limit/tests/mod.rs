//! The rate limit against a model of the server, on paused time.

mod lies;
mod other_clients;
mod sliding_windows;
mod small_limits;

use std::{cell::RefCell, collections::VecDeque, future::Future, num::NonZeroU32, rc::Rc};

use futures_util::future::join_all;
use http::HeaderValue;
use proptest::prelude::*;
use tokio::time::sleep;

use super::{
    concurrency_limit::{ConcurrencyLimit, Outcome},
    *,
};
use crate::http::dialect::RateLimitHeaderNames;

const MINUTE: Duration = Duration::from_secs(60);

static DIALECT: Dialect = Dialect {
    rate_limit: Some(RateLimitHeaderNames {
        allowed: "x-limit-allowed",
        count: "x-limit-count",
        reset: "x-limit-reset",
    }),
    ..Dialect::STANDARD
};

fn key(bucket: &str) -> QuotaKey {
    QuotaKey { credential: "client".into(), bucket: bucket.into() }
}

fn limit(requests: u32, per: Duration) -> Option<RequestLimit> {
    Some(RequestLimit { requests: NonZeroU32::new(requests).unwrap(), per, burst: None })
}

fn settings(limit: Option<RequestLimit>) -> QuotaSettings {
    QuotaSettings { limit, dialect: &DIALECT, ..QuotaSettings::default() }
}

fn on_paused_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn headers(allowed: u32, count: u32, reset: u64) -> HeaderMap {
    let pairs = [("allowed", allowed.into()), ("count", count.into()), ("reset", reset)];
    let name = |name: &str| format!("x-limit-{name}").parse::<http::HeaderName>().unwrap();
    pairs.into_iter().map(|(key, value)| (name(key), HeaderValue::from(value))).collect()
}

/// The requests of one window of the server.
#[derive(Debug, Clone, Copy, Default)]
struct WindowCounts {
    since: Duration,
    allowed: u32,
    ours: u32,
    others: u32,
    refused: u32,
}

/// A server with a fixed window that begins with its first request, or with a sliding one.
struct Server {
    per: Duration,
    /// Whether the window always ends now. Requests that were refused are not in it.
    slides: bool,
    /// The limits, and from when on each applies.
    allowed: Vec<(Duration, u32)>,
    /// When other clients send requests, in order.
    others: VecDeque<Duration>,
    /// The shortest and the longest time that a request, and its response, travels.
    travel: (Duration, Duration),
    windows: Vec<WindowCounts>,
    arrivals: Vec<Duration>,
    /// When the requests arrived that a sliding window holds.
    served: VecDeque<Duration>,
    sent: Vec<Duration>,
    /// Changes the headers of the response to the request of this number.
    lie: fn(u64, &mut HeaderMap),
}

impl Server {
    fn new(allowed: u32, per: Duration) -> Self {
        Self {
            per,
            slides: false,
            allowed: vec![(Duration::ZERO, allowed)],
            others: VecDeque::new(),
            travel: (Duration::from_millis(20), Duration::from_millis(120)),
            windows: Vec::new(),
            arrivals: Vec::new(),
            served: VecDeque::new(),
            sent: Vec::new(),
            lie: |_, _| {},
        }
    }

    /// The window that a request at `now` belongs to.
    fn window(&mut self, now: Duration) -> &mut WindowCounts {
        let allowed = self.allowed.iter().rev().find(|(since, _)| *since <= now).unwrap().1;
        if self.windows.last().is_none_or(|window| now >= window.since + self.per) {
            self.windows.push(WindowCounts { since: now, ..WindowCounts::default() });
        }
        let window = self.windows.last_mut().unwrap();
        window.allowed = allowed;
        window
    }

    fn answer(&mut self, now: Duration) -> (StatusCode, HeaderMap, Duration) {
        while self.others.front().is_some_and(|&at| at <= now) {
            let at = self.others.pop_front().unwrap();
            self.window(at).others += 1;
        }
        self.arrivals.push(now);
        let (per, slides) = (self.per, self.slides);
        while self.served.front().is_some_and(|&at| at + per <= now) {
            self.served.pop_front();
        }
        let oldest = self.served.front().copied().unwrap_or(now);
        let in_sliding_window = self.served.len() as u32 + 1;
        let window = self.window(now);
        let (since, used) = match slides {
            true => (oldest, in_sliding_window),
            false => (window.since, window.ours + window.others + window.refused + 1),
        };
        let left = since + per - now;
        let reset = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let over = used > window.allowed;
        *(if over { &mut window.refused } else { &mut window.ours }) += 1;
        let status = if over { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
        let mut headers = headers(window.allowed, used, reset);
        if !over {
            self.served.push_back(now);
        }
        (self.lie)(self.arrivals.len() as u64, &mut headers);
        (status, headers, Duration::from_secs(reset))
    }
}

/// Sends requests to `server` from `actors` clients for so long.
fn run(server: Server, settings: QuotaSettings, actors: usize, duration: Duration) -> Server {
    run_with_seed(7, server, settings, actors, duration)
}

fn run_with_seed(
    seed: u64,
    server: Server,
    settings: QuotaSettings,
    actors: usize,
    duration: Duration,
) -> Server {
    let server = Rc::new(RefCell::new(server));
    on_paused_time(async {
        let (rate_limit, start) = (RateLimit::new(settings), Instant::now());
        let rng = RefCell::new(fastrand::Rng::with_seed(seed));
        let travel = || {
            let (least, most) = server.borrow().travel;
            least + (most - least).mul_f64(rng.borrow_mut().f64())
        };
        let actor = || async {
            while start.elapsed() < duration {
                let permit = rate_limit.admit(&key("api")).await;
                server.borrow_mut().sent.push(start.elapsed());
                sleep(travel()).await;
                let (status, headers, reset) = server.borrow_mut().answer(start.elapsed());
                sleep(travel()).await;
                permit.answered(status, &headers);
                if status == StatusCode::TOO_MANY_REQUESTS {
                    rate_limit.close(&key("api"), reset);
                }
            }
        };
        join_all((0..actors).map(|_| actor())).await;
    });
    Rc::into_inner(server).unwrap().into_inner()
}

/// The windows from the second to the last but one.
fn inner(server: &Server) -> &[WindowCounts] {
    assert!(server.windows.len() > 4, "{:?}", server.windows);
    &server.windows[1..server.windows.len() - 1]
}

fn sorted(times: impl Iterator<Item = f64>) -> VecDeque<Duration> {
    let mut times: Vec<_> = times.map(Duration::from_secs_f64).collect();
    times.sort();
    times.into()
}

/// The most requests in any window of this length.
fn most_within(times: &[Duration], per: Duration) -> usize {
    let within =
        |index: usize| times[index..].iter().take_while(|&&time| time < times[index] + per).count();
    (0..times.len()).map(within).max().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn g6_no_window_sees_more_than_the_limit(
        requests in 1u32..400,
        seconds in 1u64..90,
        burst in prop::option::of(1u32..500),
        slow in 0u64..900,
        actors in 1usize..20,
    ) {
        let per = Duration::from_secs(seconds);
        let burst = burst.and_then(NonZeroU32::new);
        let mut server = Server::new(requests, per);
        server.travel = (Duration::ZERO, Duration::from_millis(slow));
        let settings = settings(limit(requests, per).map(|limit| RequestLimit { burst, ..limit }));
        let server = run(server, settings, actors, per * 3);
        prop_assert!(most_within(&server.sent, per) <= requests as usize);
        let windows = &server.windows;
        prop_assert!(
            windows.iter().all(|window| window.refused == 0 || slow > 0),
            "{:?}",
            windows
        );
    }
}

#[test]
fn a_single_client_uses_98_percent_of_every_window_and_is_never_refused() {
    for (requests, per) in
        [(10, 10), (50, 60), (100, 60), (180, 60), (300, 60), (600, 60), (5_000, 60), (50, 2)]
    {
        for (actors, slowest) in [(4, 60), (8, 900), (100, 3_000)] {
            let mut server = Server::new(requests, Duration::from_secs(per));
            server.travel = (Duration::from_millis(10), Duration::from_millis(slowest));
            // skip what the actors cannot send, and windows too short for the responses to describe
            // them
            let possible = actors as f64 * 1_000.0 / (10.0 + slowest as f64);
            if possible < 2.0 * f64::from(requests) / per as f64 || slowest * 20 >= per * 1_000 {
                continue;
            }
            let server = run(
                server,
                settings(limit(requests, Duration::from_secs(per))),
                actors,
                MINUTE * 8,
            );
            for window in inner(&server) {
                let used = f64::from(window.ours) / f64::from(requests);
                assert!(used >= 0.98, "{requests} a {per} s, {actors} at {slowest} ms: {window:?}");
            }
            assert!(
                server.windows.iter().all(|window| window.refused == 0),
                "{:?}",
                server.windows
            );
        }
    }
}

#[test]
fn a_changed_limit_is_followed_within_a_window() {
    for (before, after) in [(300, 600), (300, 150), (300, 60), (60, 300)] {
        let mut server = Server::new(before, MINUTE);
        server.allowed.push((Duration::from_secs(150), after));
        let server = run(server, settings(limit(300, MINUTE)), 8, MINUTE * 8);
        let refused: u32 = server.windows.iter().map(|window| window.refused).sum();
        assert!(refused <= 4, "{before} to {after}: {:?}", server.windows);
        let changed = server.windows.iter().position(|window| window.allowed == after).unwrap();
        for window in &inner(&server)[changed..] {
            assert!(window.ours >= after * 98 / 100, "{before} to {after}: {window:?}");
            assert!(window.refused == 0, "{before} to {after}: {window:?}");
        }
    }
}

#[test]
fn the_share_applies_to_the_configured_and_to_the_learned_limit() {
    let mut server = Server::new(300, MINUTE);
    server.allowed.push((Duration::from_secs(200), 100));
    let server =
        run(server, QuotaSettings { share: 60, ..settings(limit(300, MINUTE)) }, 8, MINUTE * 8);
    for window in inner(&server) {
        assert!(
            window.ours <= window.allowed * 60 / 100 || window.since < MINUTE * 4,
            "{window:?}"
        );
        assert!(window.ours * 100 >= window.allowed * 60 * 98 / 100, "{window:?}");
    }
}

#[test]
fn a_limit_that_is_not_configured_is_learned() {
    let server = run(
        Server::new(120, MINUTE),
        QuotaSettings { in_flight: 8, ..settings(None) },
        8,
        MINUTE * 8,
    );
    assert!(inner(&server).iter().all(|window| window.ours >= 118), "{:?}", server.windows);
    assert!(server.windows.iter().all(|window| window.refused == 0), "{:?}", server.windows);
}

#[test]
fn a_bucket_can_have_its_own_limit() {
    on_paused_time(async {
        let own = [("jobs".into(), limit(2, MINUTE).unwrap())].into();
        let (rate_limit, start) =
            (RateLimit::new(QuotaSettings { own, ..settings(limit(300, MINUTE)) }), Instant::now());
        for _ in 0..3 {
            drop(rate_limit.admit(&key("jobs")).await);
            drop(rate_limit.admit(&key("api")).await);
        }
        let margin = Duration::from_millis(500);
        assert_eq!(start.elapsed(), MINUTE + margin, "and its margin");
    });
}

#[test]
fn a_hundred_throttled_requests_in_flight_cost_one_pause() {
    let opened = on_paused_time(async {
        let (rate_limit, start) = (RateLimit::new(QuotaSettings::default()), Instant::now());
        for _ in 0..100 {
            rate_limit.close(&key("api"), Duration::from_secs(7));
        }
        rate_limit.close(&key("api"), Duration::from_secs(2));
        join_all((0..50).map(|_| async {
            drop(rate_limit.admit(&key("api")).await);
            start.elapsed()
        }))
        .await
    });
    assert!(opened.iter().all(|&at| at == Duration::from_secs(7)), "{opened:?}");
}

#[test]
fn a_hundred_throttled_requests_in_flight_halve_the_concurrency_limit_once() {
    on_paused_time(async {
        let (mut concurrency_limit, start) = (ConcurrencyLimit::new(200), Instant::now());
        while concurrency_limit.limit() < 100 {
            concurrency_limit.admits(concurrency_limit.limit());
            (0..concurrency_limit.limit().max(4))
                .for_each(|_| concurrency_limit.ended(start, start, Outcome::Answered));
        }
        sleep(MINUTE).await;
        (0..100).for_each(|_| concurrency_limit.ended(start, Instant::now(), Outcome::Throttled));
        assert_eq!(concurrency_limit.limit(), 50);
    });
}

#[test]
fn a_throttle_pauses_only_its_own_key() {
    on_paused_time(async {
        let (rate_limit, start) = (RateLimit::new(QuotaSettings::default()), Instant::now());
        rate_limit.close(&key("api"), Duration::from_secs(7));
        drop(rate_limit.admit(&key("login")).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

#[test]
fn requests_are_admitted_in_the_order_in_which_they_ask() {
    let order = on_paused_time(async {
        let (rate_limit, order) =
            (RateLimit::new(settings(limit(60, MINUTE))), RefCell::new(Vec::new()));
        join_all((0..50).map(|number| {
            let (rate_limit, order) = (&rate_limit, &order);
            async move {
                drop(rate_limit.admit(&key("api")).await);
                order.borrow_mut().push(number);
            }
        }))
        .await;
        order.into_inner()
    });
    assert!(order.is_sorted(), "{order:?}");
}
