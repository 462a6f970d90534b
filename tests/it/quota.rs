//! Use of the quota: whole runs against the sandbox on virtual time, in one thread.
//!
//! A window of 300 requests lasts 10 s here. The first and the last window are not checked.
//!
//! `DAYS=30 cargo test --release --test it quota` fetches a whole month in the last test.

use std::{sync::Arc, time::Duration};

use crate::common::{
    environment::config,
    simulated_link::{QuotaResult, SimulatedLink, run_scenario},
};
use cxbackfill::testing::{Config, LEDGER, Ledger, probe, remaining};
use tokio_util::sync::CancellationToken;

/// Days of 20,000 conversations, unless `DAYS` is set: a debug build needs minutes for a month, and
/// the ratios are the same.
const DAYS: u32 = 1;

const DAY: Duration = Duration::from_secs(86_400);

/// A quota of 300 requests in 10 s, used by queries.
const QUOTA: &[&str] = &[
    "fetch.strategy=query",
    "budget.requests=300",
    "budget.per=10s",
    "sandbox.requests=300",
    "sandbox.per=10s",
    "output.compression=uncompressed",
];

fn run_with_quota(set: &[&str]) -> (QuotaResult, Arc<SimulatedLink>) {
    let config = config(&[QUOTA, set].concat());
    let link = Arc::new(SimulatedLink::new(&config));
    (run_scenario(&config, &link, Ledger::in_memory().unwrap()), link)
}

/// A run of more than eight windows, with replies that take 50 to 300 ms and small pages.
fn run_long(more: &[&str]) -> (QuotaResult, Arc<SimulatedLink>) {
    let long = [
        "job.from=2024-01-01T00:00:00Z",
        "job.to=2024-01-11T00:00:00Z",
        "fetch.page_size=2",
        "sandbox.conversations_per_day=500",
        "sandbox.latency={ base = '50ms', jitter = '250ms' }",
    ];
    run_with_quota(&[&long, more].concat())
}

#[test]
fn every_window_is_used_to_98_percent_and_no_request_is_throttled() {
    let (result, link) = run_long(&[]);
    let windows = link.windows();
    assert!(windows.iter().all(|window| window.sent >= 294), "{windows:?}");
    assert_eq!((result.summary.rate_limited, result.summary.retries), (0, 0));
}

#[test]
fn with_foreign_requests_95_percent_of_the_rest_is_used_with_at_most_one_429_a_window() {
    let (result, link) = run_long(&["sandbox.eaten=150"]);
    let windows = link.windows();
    assert!(windows.iter().all(|window| window.sent - window.refused >= 143), "{windows:?}");
    assert!(windows.iter().all(|window| window.refused <= 1), "{windows:?}");
    assert_eq!(result.summary.rate_limited, result.summary.retries);
}

#[test]
fn a_limit_that_changes_during_the_run_is_followed_within_a_window() {
    for limit in [450, 150, 60] {
        let (_, link) = run_long(&[&format!(
            "sandbox.limit_changes=[{{ after = '25s', requests = {limit} }}]"
        )]);
        let windows = link.windows();
        let changed = windows.iter().position(|window| window.allowed == limit).unwrap();
        // 3 percent: of 150 requests three are a margin for uneven latency
        let followed = &windows[changed + 1..];
        assert!(!followed.is_empty());
        assert!(
            followed.iter().all(|window| window.sent * 100 >= limit * 97),
            "{limit}: {windows:?}"
        );
        assert!(followed.iter().all(|window| window.refused == 0), "{limit}: {windows:?}");
        // no more than were in flight when the limit changed
        assert!(windows[changed].refused <= 16, "{limit}: {windows:?}");
    }
}

#[test]
fn g6_a_small_limit_is_kept_as_the_server_counts_whether_its_window_is_fixed_or_slides() {
    for (requests, seconds) in [(1, 30), (4, 60), (10, 10)] {
        for window in ["fixed", "sliding"] {
            let (result, link) = run_with_quota(&[
                "job.from=2024-01-01T00:00:00Z",
                "job.to=2024-01-02T00:00:00Z",
                "fetch.page_size=1",
                &format!("budget.requests={requests}"),
                &format!("budget.per={seconds}s"),
                &format!("sandbox.conversations_per_day={}", 25 * requests),
                &format!("sandbox.requests={requests}"),
                &format!("sandbox.per={seconds}s"),
                &format!("sandbox.window={window}"),
                "sandbox.latency={ base = '20ms', jitter = '60ms' }",
            ]);
            let (summary, stats) = (&result.summary, link.stats());
            let throttled = (summary.rate_limited, summary.retries);
            assert_eq!(throttled, (0, 0), "{requests} a {seconds} s, {window}: {stats:?}");
            let most = match window {
                "fixed" => stats.most_in_window,
                _ => stats.most_in_sliding_window,
            };
            assert!(most <= requests, "{requests} a {seconds} s, {window}: {stats:?}");
            // nine tenths of the quota
            let windows = summary.elapsed_s / seconds as f64;
            let used = summary.requests as f64 / windows / requests as f64;
            assert!(used >= 0.9, "{requests} a {seconds} s, {window}: {used}");
        }
    }
}

#[test]
fn a_sliding_window_with_headers_is_used_to_97_percent_and_no_request_is_throttled() {
    let (result, link) = run_long(&["sandbox.window=sliding"]);
    let windows = link.windows();
    // it takes a second to see that the window slides
    assert!(windows[1..].iter().all(|window| window.sent >= 291), "{windows:?}");
    assert_eq!((result.summary.rate_limited, result.summary.retries), (0, 0));
    assert!(link.stats().most_in_sliding_window <= 300, "{:?}", link.stats());
}

#[test]
fn no_window_has_more_requests_than_the_share_and_the_share_is_used() {
    let (result, link) = run_long(&["budget.share='60%'"]);
    assert!(link.stats().most_in_window <= 180, "{:?}", link.stats());
    assert!(
        link.windows().iter().all(|window| window.sent * 100 >= 180 * 98),
        "{:?}",
        link.windows()
    );
    assert_eq!(result.summary.rate_limited, 0);
}

/// Neither the end of a long shard nor its distribution costs time or requests.
#[test]
fn one_huge_day_and_thirty_small_ones_take_at_most_110_percent_of_the_time_of_the_quota() {
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
                    "fetch.shard=1d",
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
        // the pages of every day, and the empty page that ends them
        assert_eq!(summary.requests, 2_001 + 30 * 5, "{order}, {huge}");
        let quota_s = summary.requests as f64 / 300.0 * 10.0;
        assert!(
            summary.elapsed_s <= 1.1 * quota_s,
            "{order}, {huge}: {} s, the quota allows {quota_s}",
            summary.elapsed_s
        );
    }
}

#[test]
fn a_shard_of_several_days_is_committed_day_by_day_in_one_file_each() {
    for (strategy, page_size) in [("query", 30), ("job", 100), ("job", 7)] {
        let config = config(&[
            "job.from=2024-01-01T00:00:00Z",
            "job.to=2024-01-08T00:00:00Z",
            "fetch.shard=7d",
            &format!("fetch.strategy={strategy}"),
            &format!("fetch.page_size={page_size}"),
            "sandbox.conversations_per_day=40",
            "output.compression=uncompressed",
        ]);
        let link = Arc::new(SimulatedLink::new(&config));
        let result = run_scenario(&config, &link, Ledger::in_memory().unwrap());
        result.expect_truth(&config, &link);
        assert!(result.summary.shards_committed > 2, "{strategy} {page_size}");
    }
}

/// The requests that `plan --probe` and `plan` estimate, and those of the run, which fetches the
/// truth.
fn plan_and_run(strategy: &str) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let config = large(strategy, &folder.path().display().to_string());
    actix::System::new().block_on(probe::probe(&config, CancellationToken::new())).unwrap();
    let planned = remaining::estimate(&config).unwrap()["conversations"].requests.unwrap();
    let link = Arc::new(SimulatedLink::new(&config));
    let result = run_scenario(&config, &link, Ledger::open(&config.output.join(LEDGER)).unwrap());
    result.expect_truth(&config, &link);
    println!("{strategy}: {planned} planned, {} made", result.summary.requests);
    (planned, result.summary.requests)
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
