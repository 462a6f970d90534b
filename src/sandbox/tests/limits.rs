//! Limits that change, foreign requests, and the stats of windows.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Sends a request at each of these seconds and returns the statuses.
fn statuses_at(region: &Region, token: &str, seconds: impl IntoIterator<Item = u32>) -> Vec<u16> {
    let status =
        |second| get(region, second * SECOND, token, "/api/v2/tokens/me").status().as_u16();
    seconds.into_iter().map(status).collect()
}

#[test]
fn a_limit_changes_while_the_region_runs() {
    let changes = vec![(70 * SECOND, 4), (130 * SECOND, 1)];
    let region =
        Region::new(Settings { requests: 2, limit_changes: changes, ..Settings::default() });
    let token = token(&region, START, "a");
    assert_eq!(statuses_at(&region, &token, [0, 1, 2]), [200, 200, 429]);
    assert_eq!(
        statuses_at(&region, &token, [65, 66, 67, 70, 71, 72]),
        [200, 200, 429, 200, 429, 429],
        "the change takes effect at once"
    );
    assert_eq!(statuses_at(&region, &token, [130, 131]), [200, 429]);
    let reply = get(&region, 200 * SECOND, &token, "/api/v2/tokens/me");
    assert_eq!(reply.headers()["inin-ratelimit-allowed"], "1");
}

#[test]
fn foreign_requests_count_against_the_limit_and_not_in_the_stats() {
    let region = Region::new(Settings { requests: 10, foreign_requests: 6, ..Settings::default() });
    let token = token(&region, START, "a");
    let counts: Vec<_> = [0, 5, 10, 29, 30, 31, 59]
        .map(|second| get(&region, second * SECOND, &token, "/api/v2/tokens/me"))
        .iter()
        .map(|reply| {
            reply.headers()["inin-ratelimit-count"].to_str().unwrap().parse::<u32>().unwrap()
        })
        .collect();
    assert_eq!(counts, [1, 2, 4, 6, 8, 9, 12], "our own, and a foreign one every ten seconds");
    assert_eq!(region.stats().api_requests[&429], 1, "the last");
    assert_eq!(region.stats().most_in_window, 7);
    assert_eq!(statuses_at(&region, &token, [60, 61, 62, 63]), [200; 4], "a new window");
}

#[test]
fn the_stats_report_the_requests_of_each_window() {
    let changes = vec![(60 * SECOND, 2)];
    let region =
        Region::new(Settings { requests: 3, limit_changes: changes, ..Settings::default() });
    let token = token(&region, START, "a");
    statuses_at(&region, &token, [0, 1, 60, 61, 62, 63, 200]);
    let usage = |sent, refused, allowed| WindowUsage { sent, refused, allowed };
    assert_eq!(region.stats().windows, [usage(2, 0, 3), usage(4, 2, 2), usage(1, 0, 2)]);
}

#[test]
fn a_rejected_job_counts_among_the_429s_of_its_window() {
    let jobs = JobSettings { concurrent: 1, ..JobSettings::default() };
    let region = Region::new(Settings { jobs, ..Settings::default() });
    let token = token(&region, START, "a");
    let body = json!({"interval": days(DAY, DAY + 1).to_string()}).to_string();
    let path = "/api/v2/analytics/conversations/details/jobs";
    let headers =
        [("authorization", &*format!("Bearer {token}")), ("content-type", "application/json")];
    let statuses =
        [0, 1].map(|_| region.reply(START, &request(Method::POST, path, &headers, &body)).status());
    assert_eq!(statuses.map(|status| status.as_u16()), [200, 429]);
    assert_eq!(region.stats().windows, [WindowUsage { sent: 2, refused: 1, allowed: 300 }]);
}

#[test]
fn latencies_differ_within_a_run_and_are_the_same_in_another_run() {
    let latency = Latency { base: SECOND, jitter: SECOND, ..Latency::default() };
    let settings = Settings { latency, ..Settings::default() };
    let latencies = || {
        let region = Region::new(settings.clone());
        (0..9).map(|_| region.latency(START)).collect::<Vec<_>>()
    };
    assert_eq!(latencies(), latencies());
    assert!(
        latencies()
            .windows(2)
            .all(|pair| pair[0] != pair[1] && (SECOND..2 * SECOND).contains(&pair[0]))
    );
    assert_eq!(Region::new(Settings::default()).latency(START), Duration::ZERO);
}
