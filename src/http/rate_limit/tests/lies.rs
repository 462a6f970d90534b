//! Rate-limit headers that cannot be true.

use http::HeaderValue;

use super::*;
use crate::http::rate_limit::headers::RateLimitHeaders;

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
}

#[test]
fn implausible_rate_limit_headers_are_ignored() {
    let read = |status: StatusCode, headers: HeaderMap| {
        RateLimitHeaders::read(status, &headers, &DIALECT).is_some()
    };
    let is_read = |headers: HeaderMap| read(StatusCode::OK, headers);
    assert!(is_read(headers(300, 300, 60)));
    assert!(!is_read(headers(0, 0, 60)));
    assert!(!is_read(headers(300, 1, 100_000)));
    assert!(!is_read(headers(300, 301, 60)), "it was served");
    assert!(read(StatusCode::TOO_MANY_REQUESTS, headers(300, 301, 60)));
    assert!(!is_read(HeaderMap::new()));
    for (name, value) in [
        ("x-limit-allowed", "-1"),
        ("x-limit-allowed", "4294967296"),
        ("x-limit-count", "-7"),
        ("x-limit-count", "many"),
        ("x-limit-reset", "99999999999999999999"),
        ("x-limit-reset", ""),
        ("x-limit-reset", "1.5e9"),
    ] {
        let mut headers = headers(300, 1, 60);
        set(&mut headers, name, value);
        assert!(!is_read(headers), "{name}: {value}");
    }
    let mut padded = headers(300, 1, 60);
    set(&mut padded, "x-limit-count", " 7 ");
    assert!(is_read(padded));
}

/// What a stray response says.
const LIES: [fn(&mut HeaderMap); 8] = [
    |headers| set(headers, "x-limit-reset", "3600"),
    |headers| set(headers, "x-limit-reset", "0"),
    |headers| set(headers, "x-limit-reset", "59"),
    |headers| set(headers, "x-limit-allowed", "1"),
    |headers| set(headers, "x-limit-allowed", "4000000000"),
    |headers| set(headers, "x-limit-allowed", "0"),
    |headers| set(headers, "x-limit-count", "4000000000"),
    |headers| set(headers, "x-limit-count", "-7"),
];

#[test]
fn a_stray_word_about_the_limit_or_its_window_changes_nothing() {
    let mut server = Server::new(300, MINUTE);
    server.lie = |number, headers| {
        if number.is_multiple_of(7) {
            LIES[(number / 7) as usize % LIES.len()](headers);
        }
    };
    let server = run(server, settings(limit(300, MINUTE)), 8, MINUTE * 8);
    for window in inner(&server) {
        assert!(window.ours >= 294, "{:?}", server.windows);
        assert!(window.refused == 0, "{:?}", server.windows);
    }
}

#[test]
fn a_stray_full_window_is_forgotten_with_the_window() {
    let mut server = Server::new(300, MINUTE);
    server.lie = |number, headers| {
        if number == 400 {
            set(headers, "x-limit-count", "300");
        }
    };
    let server = run(server, settings(limit(300, MINUTE)), 8, MINUTE * 8);
    let used: Vec<_> = inner(&server).iter().map(|window| window.ours).collect();
    assert!(used[0] < 200, "the second window ends early: {used:?}");
    assert!(used[1..].iter().all(|&ours| ours >= 294), "{used:?}");
}

#[test]
fn a_lie_that_was_repeated_is_given_up_once_the_truth_is_repeated() {
    let mut server = Server::new(300, MINUTE);
    server.lie = |number, headers| {
        if (100..105).contains(&number) {
            set(headers, "x-limit-reset", "3600");
        }
    };
    let server = run(server, settings(limit(300, MINUTE)), 8, MINUTE * 8);
    let used: Vec<_> = inner(&server).iter().map(|window| window.ours).collect();
    assert!(used.iter().all(|&ours| ours >= 290), "{:?}", server.windows);
}

#[test]
fn a_window_that_is_longer_than_configured_is_learned_from_consistent_words() {
    let hour = MINUTE * 60;
    let server = run(Server::new(300, hour), settings(limit(300, MINUTE)), 8, hour * 6);
    let refused: u32 = server.windows.iter().map(|window| window.refused).sum();
    assert_eq!(refused, 0, "{:?}", server.windows);
    for window in inner(&server) {
        assert!(window.ours >= 294, "{:?}", server.windows);
    }
}

/// `SEEDS=20000 cargo test --lib no_rate_limit_headers` draws more.
#[test]
fn no_rate_limit_headers_stop_a_client_for_longer_than_a_window() {
    const VALUES: [&str; 14] = [
        "0",
        "1",
        "2",
        "59",
        "60",
        "61",
        "299",
        "300",
        "301",
        "3600",
        "3601",
        "-1",
        "4294967295",
        "99999999999999999999",
    ];
    let seeds = std::env::var("SEEDS").map_or(60, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let rng = RefCell::new(fastrand::Rng::with_seed(seed));
        on_paused_time(async {
            let (rate_limit, start) =
                (RateLimit::new(settings(limit(300, MINUTE))), Instant::now());
            let mut longest = Duration::ZERO;
            for _ in 0..400 {
                let asked = start.elapsed();
                let permit = rate_limit.admit(&key("api")).await;
                longest = longest.max(start.elapsed() - asked);
                let mut headers = HeaderMap::new();
                let status = {
                    let mut rng = rng.borrow_mut();
                    for name in ["x-limit-allowed", "x-limit-count", "x-limit-reset"] {
                        set(&mut headers, name, VALUES[rng.usize(..VALUES.len())]);
                    }
                    [200, 429, 503][rng.usize(..3)]
                };
                let latency = rng.borrow_mut().u64(1..200);
                sleep(Duration::from_millis(latency)).await;
                permit.answered(StatusCode::from_u16(status).unwrap(), &headers);
            }
            // the longest window that is believed, and the rounding of its end
            assert!(longest <= Duration::from_secs(3_601), "seed {seed}: {longest:?}");
        });
    }
}
