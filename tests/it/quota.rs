//! The quota, end to end: whole runs against the sandbox, on virtual time, in one thread.
//!
//! Its window of 300 requests lasts 10 s here. Windows are judged from the second to the last but
//! one: the last has no more to ask for.
//!
//! `DAYS=30 cargo test --release --test it quota` plays a whole month where that takes its time.

use std::{sync::Arc, time::Duration};

use crate::common::simulated_link::{QuotaResult, SimulatedLink, config, run_scenario};
use cxbackfill::testing::{Config, LEDGER, Ledger, probe, remaining};
use tokio_util::sync::CancellationToken;

/// Days of 20,000 conversations, unless the environment says otherwise: what holds for the requests of
/// one holds for those of a month, which a debug build decodes for minutes.
const DAYS: u32 = 1;

const DAY: Duration = Duration::from_secs(86_400);

/// A quota, and what it is spent on.
const QUOTA: &[&str] = &[
    "fetch.strategy=query",
    "budget.requests=300",
    "budget.per=10s",
    "sandbox.requests=300",
    "sandbox.per=10s",
    "output.compression=uncompressed",
];

fn play_quota(set: &[&str]) -> (QuotaResult, Arc<SimulatedLink>) {
    let config = config(&[QUOTA, set].concat());
    let link = Arc::new(SimulatedLink::new(&config));
    (run_scenario(&config, &link, Ledger::in_memory().unwrap()), link)
}

/// More than eight windows of requests whose replies take 50 to 300 ms. Pages are small: what counts
/// is their number.
fn play_long(more: &[&str]) -> (QuotaResult, Arc<SimulatedLink>) {
    let long = [
        "job.from=2024-01-01T00:00:00Z",
        "job.to=2024-01-11T00:00:00Z",
        "fetch.page_size=2",
        "sandbox.conversations_per_day=500",
        "sandbox.latency={ base = '50ms', jitter = '250ms' }",
    ];
    play_quota(&[&long, more].concat())
}

#[test]
fn of_every_fixed_window_98_percent_is_used_and_nothing_is_refused() {
    let (played, link) = play_long(&[]);
    let windows = link.windows();
    assert!(windows.iter().all(|window| window.sent >= 294), "{windows:?}");
    assert_eq!((played.summary.rate_limited, played.summary.retries), (0, 0));
}

#[test]
fn with_half_the_quota_eaten_95_percent_of_the_rest_is_used_with_one_refusal_a_window_at_most() {
    let (played, link) = play_long(&["sandbox.eaten=150"]);
    let windows = link.windows();
    assert!(windows.iter().all(|window| window.sent - window.refused >= 143), "{windows:?}");
    assert!(windows.iter().all(|window| window.refused <= 1), "{windows:?}");
    assert_eq!(played.summary.rate_limited, played.summary.retries);
}

#[test]
fn a_limit_that_changes_during_the_run_is_followed_within_a_window() {
    for limit in [450, 150, 60] {
        let (_, link) = play_long(&[&format!(
            "sandbox.limit_changes=[{{ after = '25s', requests = {limit} }}]"
        )]);
        let windows = link.windows();
        let changed = windows.iter().position(|window| window.allowed == limit).unwrap();
        // of 150, three are a spare and what travels unevenly
        let followed = &windows[changed + 1..];
        assert!(!followed.is_empty());
        assert!(
            followed.iter().all(|window| window.sent * 100 >= limit * 97),
            "{limit}: {windows:?}"
        );
        assert!(followed.iter().all(|window| window.refused == 0), "{limit}: {windows:?}");
        // no more than were under way when it changed
        assert!(windows[changed].refused <= 16, "{limit}: {windows:?}");
    }
}

#[test]
fn no_window_sees_more_than_our_share_and_it_is_used() {
    let (played, link) = play_long(&["budget.share='60%'"]);
    assert!(link.stats().most_in_window <= 180, "{:?}", link.stats());
    assert!(
        link.windows().iter().all(|window| window.sent * 100 >= 180 * 98),
        "{:?}",
        link.windows()
    );
    assert_eq!(played.summary.rate_limited, 0);
}

/// The tail: neither the end of a long shard nor its sharing costs time or requests.
#[test]
fn one_huge_day_and_thirty_small_ones_end_within_10_percent_of_what_the_quota_gives() {
    for (order, huge) in
        [("oldest-first", 1), ("oldest-first", 31), ("newest-first", 1), ("newest-first", 16)]
    {
        let config = config(
            &[
                QUOTA,
                &[
                    "job.from=2024-01-01T00:00:00Z",
                    "job.to=2024-02-01T00:00:00Z",
                    &format!("job.order={order}"),
                    "fetch.page_size=10",
                    "sandbox.conversations_per_day=40",
                    "sandbox.latency={ base = '300ms' }",
                ],
            ]
            .concat(),
        );
        let day = config.interval.split(DAY).nth(huge - 1).unwrap();
        let link = Arc::new(SimulatedLink::new(&config).with_busy(day, 20_000));
        let summary = run_scenario(&config, &link, Ledger::in_memory().unwrap()).summary;
        // every day's pages, and the empty one that ends them
        assert_eq!(summary.requests, 2_001 + 30 * 5, "{order}, {huge}");
        let given = summary.requests as f64 / 300.0 * 10.0;
        assert!(
            summary.elapsed_s <= 1.1 * given,
            "{order}, {huge}: {} s, not {given}",
            summary.elapsed_s
        );
    }
}

/// The requests that `plan --probe` and `plan` speak of, and those of the run, which brings the truth.
fn plan_and_run(strategy: &str) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let config = large(strategy, &folder.path().display().to_string());
    actix::System::new().block_on(probe::probe(&config, CancellationToken::new())).unwrap();
    let planned = remaining::estimate(&config).unwrap()["conversations"].requests.unwrap();
    let link = Arc::new(SimulatedLink::new(&config));
    let played = run_scenario(&config, &link, Ledger::open(&config.output.join(LEDGER)).unwrap());
    played.expect_truth(&config, &link);
    println!("{strategy}: {planned} planned, {} made", played.summary.requests);
    (planned, played.summary.requests)
}

fn large(strategy: &str, output: &str) -> Config {
    let days = std::env::var("DAYS").map_or(DAYS, |days| days.parse().unwrap());
    config(&[
        "job.from=2024-01-01T00:00:00Z",
        &format!("job.to=2024-01-{:02}T00:00:00Z", days + 1),
        &format!("fetch.strategy={strategy}"),
        "sandbox.conversations_per_day=20000",
        "budget.requests=0",
        "sandbox.requests=0",
        &format!("output.path={output}"),
        "output.compression=uncompressed",
        "output.commit_every=1h",
    ])
}

#[test]
fn auto_needs_an_eighth_of_the_requests_of_query_and_plan_is_within_5_percent_of_them() {
    let costs = ["query", "job", "auto"].map(plan_and_run);
    for (planned, made) in costs {
        assert!(planned.abs_diff(made) * 20 <= made, "{costs:?}");
    }
    let [(_, query), _, (_, auto)] = costs;
    assert!(auto * 8 <= query, "{costs:?}");
}
