//! Other clients with the same credential, which take a part of every window.

use super::*;

/// The requests of another client over ten minutes.
fn others() -> Vec<(&'static str, VecDeque<Duration>)> {
    let mut rng = fastrand::Rng::with_seed(3);
    vec![
        ("a few, evenly", sorted((0..200).map(|n| f64::from(n) * 3.0))),
        ("a third, evenly", sorted((0..1_000).map(|n| f64::from(n) * 0.6))),
        ("most, evenly", sorted((0..2_500).map(|n| f64::from(n) * 0.24))),
        ("a third, at random", sorted((0..1_000).map(|_| rng.f64() * 600.0))),
        ("half, at random", sorted((0..1_500).map(|_| rng.f64() * 600.0))),
        (
            "bursts of 20",
            sorted((0..500).map(|n| f64::from(n / 20) * 24.0 + f64::from(n % 20) * 0.05)),
        ),
        (
            "half, each minute at once",
            sorted((0..1_500).map(|n| f64::from(n / 150) * 60.5 + f64::from(n % 150) * 0.01)),
        ),
        (
            "on and off",
            sorted((0..800).map(|n| f64::from(n / 200) * 150.0 + f64::from(n % 200) * 0.25)),
        ),
    ]
}

#[test]
fn beside_another_client_95_percent_of_the_rest_is_used_with_at_most_one_refusal_a_window() {
    for (name, others) in others() {
        for (actors, slowest) in [(4, 200), (12, 900), (40, 1_500)] {
            let mut server = Server::new(300, MINUTE);
            server.others.clone_from(&others);
            server.travel = (Duration::from_millis(50), Duration::from_millis(slowest));
            let server = run(server, settings(limit(300, MINUTE)), actors, MINUTE * 9);
            for window in inner(&server) {
                // requests of the other client beyond the limit were refused
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
