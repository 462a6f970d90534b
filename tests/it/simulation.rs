//! Simulation of the whole pipeline on virtual time, in one thread.
//!
//! A scenario draws its configuration, faults and crashes from its seed. The oracle is the
//! sandbox's truth. Every fourth scenario runs twice and must give the same trace.
//!
//! `SEEDS=20000 cargo test --test it simulation` runs more scenarios, `SEED=17` only that one.

use std::{sync::Mutex, time::Duration};

use crate::common::{
    scenario::Scenario,
    simulation::{ScenarioResult, run_scenario},
    tally::Tally,
};

/// The number of scenarios, unless `SEEDS` is set.
const SEEDS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Of so many scenarios, one runs twice.
const REPEATED: u64 = 4;

/// Runs a scenario, and compares the rows with the truth, and the traces if it runs twice.
fn check(scenario: &Scenario) -> Result<(), String> {
    let ScenarioResult {
        trace,
        rows,
        truth,
        strays,
        violations,
        lost_values,
        jobs_left,
        stats,
        most_sent,
        ..
    } = run_scenario(scenario);
    if number("SEED").is_some() {
        println!("{scenario:#?}\n{}", trace.join("\n"));
    }
    if number("SEED").is_some() || scenario.seed.is_multiple_of(REPEATED) {
        let again = run_scenario(scenario).trace;
        if again != trace {
            let at = trace.iter().zip(&again).find(|(first, second)| first != second);
            return Err(format!("the trace of the second run differs, or its length: {at:?}"));
        }
    }
    if !strays.is_empty() {
        return Err(format!("G3: files that no record names: {strays:?}"));
    }
    if !violations.is_empty() {
        return Err(format!("G3: committed rows are not found exactly once: {violations:?}"));
    }
    if !jobs_left.is_empty() {
        return Err(format!("jobs that are not deleted: {jobs_left:?}"));
    }
    if let Some(limit) = scenario.limit()
        && (most_sent > limit || (stats.most_in_window > limit && !scenario.hidden_headers))
    {
        let saw = stats.most_in_window;
        return Err(format!(
            "G6: {most_sent} requests were sent within a window's length, the region received {saw}: the limit is {limit}"
        ));
    }
    if rows != truth {
        let lost: Vec<_> =
            truth.iter().filter(|(id, row)| rows.get(*id) != Some(row)).map(|(id, _)| id).collect();
        let more = rows.keys().filter(|id| !truth.contains_key(*id)).count();
        return Err(format!(
            "{more} rows are not in the truth, and these are missing or differ: {lost:?}"
        ));
    }
    if let Some(lost) = lost_values.first() {
        let more = lost_values.len() - 1;
        return Err(format!("G5: values are lost or made up: {lost}, and {more} more"));
    }
    Ok(())
}

#[test]
fn the_output_equals_the_truth_and_the_same_seed_gives_the_same_trace() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let next = Mutex::new(seeds);
    let worker = || {
        let take = || next.lock().unwrap().next();
        std::iter::from_fn(take)
            .filter_map(|seed| Some((seed, check(&Scenario::from_seed(seed)).err()?)))
            .collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed: Vec<(u64, String)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| -> Vec<_> { worker.join().unwrap() }).collect()
    });
    assert!(
        failed.is_empty(),
        "{} seeds failed; run one again with SEED=…\n{failed:#?}",
        failed.len()
    );
}

#[test]
fn an_undisturbed_run_makes_one_request_per_page_and_one_token_request() {
    let scenario = Scenario::quiet(7);
    let result = run_scenario(&scenario);
    assert_eq!(result.rows, result.truth);
    assert_eq!(result.summary.token_requests, 1);
    assert_eq!((result.summary.retries, result.summary.rate_limited), (0, 0));
    // 3 days of 150 rows: two pages each, and an empty page that ends them
    assert_eq!(result.summary.requests, 3 * 3);
}

#[test]
fn an_undisturbed_job_is_submitted_polled_fetched_and_deleted() {
    let scenario = Scenario { strategy: "job", actors: 1, ..Scenario::quiet(7) };
    let result = run_scenario(&scenario);
    assert_eq!(result.rows, result.truth);
    assert_eq!((result.jobs_left.len(), result.tally.jobs), (0, 3));
    assert_eq!((result.summary.token_requests, result.summary.retries), (1, 0));
    // the job data availability; a submission, a poll, two pages and a deletion each; two of three
    // jobs have an empty page
    assert_eq!(result.summary.requests, 1 + 3 * 5 + 2);
}

#[test]
fn a_day_that_fails_costs_no_other_day_of_its_shard() {
    let shard = 3 * Duration::from_secs(86_400);
    for strategy in ["query", "job"] {
        let mut scenario = Scenario { strategy, shard, ..Scenario::quiet(0) };
        scenario.poison = Some(scenario.interval.from_ms() + 36 * 3_600_000);
        let result = run_scenario(&scenario);
        assert_eq!(result.rows, result.truth, "{strategy}");
        // the last run fetches the only gap of the first
        let last_run = (result.tally.poisoned, result.summary.rows_written);
        assert_eq!(last_run, (1, 150), "{strategy}");
    }
}

#[test]
fn g5_every_value_of_drifted_rows_is_in_a_column_or_in_extra() {
    for (strategy, attributes) in [("query", false), ("job", false), ("job", true)] {
        let mut scenario = Scenario { strategy, attributes, ..Scenario::quiet(7) };
        scenario.sandbox.drift = true;
        let result = run_scenario(&scenario);
        assert_eq!(result.lost_values, Vec::<String>::new(), "{strategy}");
        assert_eq!(result.rows, result.truth, "{strategy}");
        assert!(result.tally.drifted > 400, "{strategy}: {}", result.tally.drifted);
    }
}

#[test]
fn the_faults_do_happen() {
    let mut sum = Tally::default();
    (0..300).for_each(|seed| sum += run_scenario(&Scenario::from_seed(seed)).tally);
    let counts = [
        sum.crashes,
        sum.interrupts,
        sum.refreshes,
        sum.refresh_crashes,
        sum.refresh_splits,
        sum.refresh_failures,
        sum.splits,
        sum.retries,
        sum.throttled,
        sum.revoked,
        sum.duplicates,
        sum.poisoned,
        sum.given_up,
        sum.quarantined,
        sum.healed,
        sum.followed,
        sum.jobs,
        sum.lost,
        sum.orphans,
        sum.jobs_unknown,
        sum.jobs_cancelled,
        sum.jobs_refused,
        sum.job_replies_lost,
        sum.outages,
        sum.drifted,
    ];
    assert!(counts.iter().all(|&count| count > 20), "{sum:?}");
}

#[test]
fn g6_requests_that_waited_for_a_slow_login_are_not_sent_together() {
    let mut scenario = Scenario {
        actors: 8,
        budget: 20,
        page_size: 3,
        hidden_headers: true,
        shard: Duration::from_secs(6 * 3_600),
        slow_login: Duration::from_secs(9),
        ..Scenario::quiet(0)
    };
    scenario.sandbox.requests = scenario.budget;
    scenario.sandbox.per = Duration::from_secs(10);
    scenario.sandbox.token_lifetime = Duration::from_secs(30);
    scenario.sandbox.conversations_per_day = 60;
    let result = run_scenario(&scenario);
    assert_eq!((result.rows == result.truth, result.most_sent), (true, 20));
}
