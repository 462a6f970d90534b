//! The quota against a model of the server, on paused time.

use std::{cell::RefCell, collections::VecDeque, future::Future, rc::Rc};

use futures_util::future::join_all;
use http::HeaderValue;
use proptest::prelude::*;
use tokio::time::sleep;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn key(bucket: &str) -> QuotaKey {
    QuotaKey { credential: "client".into(), bucket: bucket.into() }
}

fn limit(requests: u32, per: Duration) -> Option<RequestLimit> {
    Some(RequestLimit { requests: NonZeroU32::new(requests).unwrap(), per, burst: None })
}

fn quota_settings(limit: Option<RequestLimit>) -> QuotaSettings {
    QuotaSettings { limit, ..QuotaSettings::default() }
}

fn virtually<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn headers(allowed: u32, count: u32, reset: u64) -> HeaderMap {
    let pairs = [("allowed", allowed.into()), ("count", count.into()), ("reset", reset)];
    let name = |name: &str| format!("inin-ratelimit-{name}").parse::<http::HeaderName>().unwrap();
    pairs.into_iter().map(|(key, value)| (name(key), HeaderValue::from(value))).collect()
}

/// What a window of the server saw.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    since: Duration,
    allowed: u32,
    ours: u32,
    others: u32,
    refused: u32,
}

/// A server with a fixed window that begins with its first request, as Genesys Cloud has one.
struct Server {
    per: Duration,
    /// From when on how much is allowed.
    allowed: Vec<(Duration, u32)>,
    /// When others ask, in order.
    others: VecDeque<Duration>,
    /// A request and its reply each take between these.
    travel: (Duration, Duration),
    windows: Vec<Seen>,
    arrivals: Vec<Duration>,
    sent: Vec<Duration>,
}

impl Server {
    fn new(allowed: u32, per: Duration) -> Self {
        Self {
            per,
            allowed: vec![(Duration::ZERO, allowed)],
            others: VecDeque::new(),
            travel: (Duration::from_millis(20), Duration::from_millis(120)),
            windows: Vec::new(),
            arrivals: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// The window that a request at `now` counts in, once it has counted.
    fn window(&mut self, now: Duration) -> &mut Seen {
        let allowed = self.allowed.iter().rev().find(|(since, _)| *since <= now).unwrap().1;
        if self.windows.last().is_none_or(|window| now >= window.since + self.per) {
            self.windows.push(Seen { since: now, ..Seen::default() });
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
        let per = self.per;
        let window = self.window(now);
        let used = window.ours + window.others + window.refused + 1;
        let left = window.since + per - now;
        let reset = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let over = used > window.allowed;
        *(if over { &mut window.refused } else { &mut window.ours }) += 1;
        let status = if over { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
        (status, headers(window.allowed, used, reset), Duration::from_secs(reset))
    }
}

/// Lets `actors` ask `server` for so long, and gives what it saw.
fn ask(server: Server, quota_settings: QuotaSettings, actors: usize, long: Duration) -> Server {
    let server = Rc::new(RefCell::new(server));
    virtually(async {
        let (rate_limit, start) = (RateLimit::new(quota_settings), Instant::now());
        let dice = RefCell::new(fastrand::Rng::with_seed(7));
        let travel = || {
            let (least, most) = server.borrow().travel;
            least + (most - least).mul_f64(dice.borrow_mut().f64())
        };
        let actor = || async {
            while start.elapsed() < long {
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

/// Those from the second to the last but one.
fn inner(server: &Server) -> &[Seen] {
    assert!(server.windows.len() > 4, "{:?}", server.windows);
    &server.windows[1..server.windows.len() - 1]
}

fn every(times: impl Iterator<Item = f64>) -> VecDeque<Duration> {
    let mut times: Vec<_> = times.map(Duration::from_secs_f64).collect();
    times.sort();
    times.into()
}

/// The most in any span of this length.
fn most_within(times: &[Duration], per: Duration) -> usize {
    let within =
        |index: usize| times[index..].iter().take_while(|&&time| time < times[index] + per).count();
    (0..times.len()).map(within).max().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn g6_no_window_sees_more_than_the_limit(
        requests in 1u32..400, seconds in 1u64..90, burst in prop::option::of(1u32..500), slow in 0u64..900, actors in 1usize..20,
    ) {
        let per = Duration::from_secs(seconds);
        let burst = burst.and_then(NonZeroU32::new);
        let mut server = Server::new(requests, per);
        server.travel = (Duration::ZERO, Duration::from_millis(slow));
        let quota_settings = quota_settings(limit(requests, per).map(|limit| RequestLimit { burst, ..limit }));
        let server = ask(server, quota_settings, actors, per * 3);
        prop_assert!(most_within(&server.sent, per) <= requests as usize);
        prop_assert!(server.windows.iter().all(|window| window.refused == 0 || slow > 0), "{:?}", server.windows);
    }
}

#[test]
fn alone_every_window_is_used_to_98_percent_and_nothing_is_refused() {
    for (requests, per) in
        [(10, 10), (50, 60), (100, 60), (180, 60), (300, 60), (600, 60), (5_000, 60), (50, 2)]
    {
        for (actors, slowest) in [(4, 60), (8, 900), (100, 3_000)] {
            let mut server = Server::new(requests, Duration::from_secs(per));
            server.travel = (Duration::from_millis(10), Duration::from_millis(slowest));
            // what the actors can ask for at all, and what a short window and slow replies leave to know
            let asked = actors as f64 * 1_000.0 / (10.0 + slowest as f64);
            if asked < 2.0 * f64::from(requests) / per as f64 || slowest * 20 >= per * 1_000 {
                continue;
            }
            let server = ask(
                server,
                quota_settings(limit(requests, Duration::from_secs(per))),
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

/// The other's requests over ten minutes.
fn others() -> Vec<(&'static str, VecDeque<Duration>)> {
    let mut dice = fastrand::Rng::with_seed(3);
    vec![
        ("a few, evenly", every((0..200).map(|n| f64::from(n) * 3.0))),
        ("a third, evenly", every((0..1_000).map(|n| f64::from(n) * 0.6))),
        ("most, evenly", every((0..2_500).map(|n| f64::from(n) * 0.24))),
        ("a third, at random", every((0..1_000).map(|_| dice.f64() * 600.0))),
        ("half, at random", every((0..1_500).map(|_| dice.f64() * 600.0))),
        (
            "bursts of 20",
            every((0..500).map(|n| f64::from(n / 20) * 24.0 + f64::from(n % 20) * 0.05)),
        ),
        (
            "half, each minute at once",
            every((0..1_500).map(|n| f64::from(n / 150) * 60.5 + f64::from(n % 150) * 0.01)),
        ),
        (
            "on and off",
            every((0..800).map(|n| f64::from(n / 200) * 150.0 + f64::from(n % 200) * 0.25)),
        ),
    ]
}

#[test]
fn beside_another_client_95_percent_of_what_it_leaves_is_used_with_one_refusal_a_window_at_most() {
    for (name, others) in others() {
        for (actors, slowest) in [(4, 200), (12, 900), (40, 1_500)] {
            let mut server = Server::new(300, MINUTE);
            server.others.clone_from(&others);
            server.travel = (Duration::from_millis(50), Duration::from_millis(slowest));
            let server = ask(server, quota_settings(limit(300, MINUTE)), actors, MINUTE * 9);
            for window in inner(&server) {
                // what it asked for beyond the limit it was refused
                let left = 300u32.saturating_sub(window.others);
                let used = f64::from(window.ours) / f64::from(left.max(1));
                assert!(
                    used >= 0.95 || window.ours + 3 >= left,
                    "{name}, {actors} at {slowest} ms: {window:?}"
                );
                assert!(window.refused <= 1, "{name}, {actors} at {slowest} ms: {window:?}");
            }
        }
    }
}

#[test]
fn a_changed_limit_is_followed_within_a_window() {
    for (before, after) in [(300, 600), (300, 150), (300, 60), (60, 300)] {
        let mut server = Server::new(before, MINUTE);
        server.allowed.push((Duration::from_secs(150), after));
        let server = ask(server, quota_settings(limit(300, MINUTE)), 8, MINUTE * 8);
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
fn a_share_is_kept_of_the_configured_and_of_the_learned_limit() {
    let mut server = Server::new(300, MINUTE);
    server.allowed.push((Duration::from_secs(200), 100));
    let server = ask(
        server,
        QuotaSettings { share: 60, ..quota_settings(limit(300, MINUTE)) },
        8,
        MINUTE * 8,
    );
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
    let server = ask(
        Server::new(120, MINUTE),
        QuotaSettings { in_flight: 8, ..quota_settings(None) },
        8,
        MINUTE * 8,
    );
    assert!(inner(&server).iter().all(|window| window.ours >= 118), "{:?}", server.windows);
    assert!(server.windows.iter().all(|window| window.refused == 0), "{:?}", server.windows);
}

#[test]
fn a_bucket_has_the_limit_of_its_own() {
    virtually(async {
        let own = [("jobs".into(), limit(2, MINUTE).unwrap())].into();
        let (rate_limit, start) = (
            RateLimit::new(QuotaSettings { own, ..quota_settings(limit(300, MINUTE)) }),
            Instant::now(),
        );
        for _ in 0..3 {
            drop(rate_limit.admit(&key("jobs")).await);
            drop(rate_limit.admit(&key("api")).await);
        }
        assert_eq!(start.elapsed(), MINUTE);
    });
}

#[test]
fn a_hundred_refusals_in_flight_cost_one_pause() {
    let opened = virtually(async {
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
fn a_hundred_refusals_in_flight_slow_the_pace_down_once() {
    virtually(async {
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
fn keys_do_not_share_a_gate() {
    virtually(async {
        let (rate_limit, start) = (RateLimit::new(QuotaSettings::default()), Instant::now());
        rate_limit.close(&key("api"), Duration::from_secs(7));
        drop(rate_limit.admit(&key("login")).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

#[test]
fn first_come_first_served() {
    let order = virtually(async {
        let (rate_limit, order) =
            (RateLimit::new(quota_settings(limit(60, MINUTE))), RefCell::new(Vec::new()));
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

#[test]
fn words_that_cannot_be_believed_are_none() {
    assert!(RateLimitHeaders::read(&headers(300, 1, 60)).is_some());
    assert!(RateLimitHeaders::read(&headers(0, 1, 60)).is_none());
    assert!(RateLimitHeaders::read(&headers(300, 1, 100_000)).is_none());
    assert!(RateLimitHeaders::read(&HeaderMap::new()).is_none());
}
