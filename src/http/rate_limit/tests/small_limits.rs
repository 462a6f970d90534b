//! Limits of a few requests, as the server counts: a request that is early by a millisecond is one
//! too many.

use super::*;

/// Sends as much as the limit allows to a server without rate-limit headers.
fn run_without_headers(
    seed: u64,
    (requests, seconds): (u32, u64),
    travel_ms: (u64, u64),
    windows: u32,
) -> Server {
    let per = Duration::from_secs(seconds);
    let mut server = Server::new(requests, per);
    server.travel = (Duration::from_millis(travel_ms.0), Duration::from_millis(travel_ms.1));
    server.lie = |_, headers| headers.clear();
    run_with_seed(seed, server, settings(limit(requests, per)), 16, per * windows)
}

pub(super) const SMALL: [(u32, u64); 8] =
    [(1, 1), (1, 30), (4, 60), (10, 10), (10, 60), (30, 60), (60, 60), (99, 60)];

#[test]
fn g6_a_server_with_a_small_limit_sees_no_window_with_more_whatever_the_jitter() {
    for small in SMALL {
        for seed in 0..10 {
            for travel_ms in [(20, 80), (0, 100), (150, 250)] {
                let server = run_without_headers(seed, small, travel_ms, 30);
                let sliding = most_within(&server.arrivals, server.per);
                assert!(
                    sliding <= small.0 as usize,
                    "{small:?}, {travel_ms:?} ms, seed {seed}: {sliding} in a window"
                );
            }
        }
    }
}

#[test]
fn g6_the_margin_grows_to_the_jitter_that_was_seen() {
    for small in [(4, 60), (10, 60), (30, 60)] {
        for seed in 0..10 {
            // seen after some responses: the first windows may be too full
            let server = run_without_headers(seed, small, (50, 1_000), 40);
            let later: Vec<_> = server.arrivals.iter().skip(20).copied().collect();
            let sliding = most_within(&later, server.per);
            assert!(sliding <= small.0 as usize, "{small:?}, seed {seed}: {sliding} in a window");
        }
    }
}

#[test]
fn the_margin_costs_a_small_limit_less_than_a_tenth_and_a_large_one_2_percent() {
    for ((requests, seconds), most) in
        [((1, 30), 10), ((10, 10), 10), ((99, 60), 2), ((300, 60), 2), ((5_000, 60), 2)]
    {
        let server = run_without_headers(1, (requests, seconds), (20, 80), 20);
        let windows = server.arrivals.last().unwrap().as_secs_f64() / seconds as f64;
        let possible = windows * f64::from(requests);
        let used = server.arrivals.len() as f64 / possible * 100.0;
        assert!(used >= f64::from(100 - most), "{requests} a {seconds} s: {used:.1} %");
    }
}

#[test]
fn g6_a_small_limit_with_rate_limit_headers_is_never_refused_whatever_the_jitter() {
    for (requests, seconds) in SMALL.into_iter().filter(|&(_, seconds)| seconds > 1) {
        let per = Duration::from_secs(seconds);
        for seed in 0..4 {
            for travel_ms in [(20, 80), (0, 100), (150, 250), (50, 1_000)] {
                let mut server = Server::new(requests, per);
                server.travel =
                    (Duration::from_millis(travel_ms.0), Duration::from_millis(travel_ms.1));
                let server =
                    run_with_seed(seed, server, settings(limit(requests, per)), 16, per * 30);
                let refused: u32 = server.windows.iter().map(|window| window.refused).sum();
                assert_eq!(
                    refused, 0,
                    "{requests} a {seconds} s, {travel_ms:?} ms, seed {seed}: {:?}",
                    server.windows
                );
            }
        }
    }
}
