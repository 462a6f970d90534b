//! Windows that slide, with rate-limit headers: the count never starts again, and the window ends
//! when its oldest request leaves it.

use super::*;

fn run_with_sliding_window(
    seed: u64,
    (requests, seconds): (u32, u64),
    travel_ms: (u64, u64),
    actors: usize,
    windows: u32,
) -> Server {
    let per = Duration::from_secs(seconds);
    let mut server = Server::new(requests, per);
    server.slides = true;
    server.travel = (Duration::from_millis(travel_ms.0), Duration::from_millis(travel_ms.1));
    run_with_seed(seed, server, settings(limit(requests, per)), actors, per * windows)
}

fn refused(server: &Server) -> u32 {
    server.windows.iter().map(|window| window.refused).sum()
}

#[test]
fn g6_a_small_limit_of_a_sliding_window_is_never_exceeded_whatever_the_jitter() {
    let mut failed = Vec::new();
    for small in small_limits::SMALL {
        for seed in 0..10 {
            for travel_ms in [(20, 80), (0, 100), (150, 250)] {
                let server = run_with_sliding_window(seed, small, travel_ms, 16, 30);
                if refused(&server) > 0 {
                    failed.push((small, travel_ms, seed, refused(&server)));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_large_limit_of_a_sliding_window_is_used_to_97_percent_without_a_refusal() {
    let mut seen = Vec::new();
    for large in [(100, 60), (300, 60), (600, 60), (5_000, 60)] {
        for travel_ms in [(10, 60), (50, 300), (100, 1_000)] {
            let actors = if large.0 > 1_000 { 100 } else { 16 };
            let server = run_with_sliding_window(1, large, travel_ms, actors, 10);
            let windows = server.arrivals.last().unwrap().as_secs_f64() / large.1 as f64;
            let used = server.arrivals.len() as f64 / (windows * f64::from(large.0)) * 100.0;
            seen.push((large, travel_ms, used, refused(&server)));
        }
    }
    assert!(seen.iter().all(|seen| seen.2 >= 97.0 && seen.3 == 0), "{seen:?}");
}
