//! Which shards are left, in which order, and what they cost.

use super::*;
use crate::{
    config::Overrides,
    ledger::{AcceptedInterval, Counts, GapKind, ShardDetails, ShardRecord},
};

/// Four days from the sandbox.
fn config() -> Config {
    let keys = [
        "source.region=sandbox",
        "job.from=2024-01-01T00:00:00Z",
        "job.to=2024-01-05T00:00:00Z",
        "job.datasets=['conversations']",
        "fetch.shard=1d",
    ];
    let set = keys.map(str::to_owned).to_vec();
    Config::load(&Overrides { set, ..Overrides::default() }).unwrap().remove(0)
}

fn day(number: i64) -> Interval {
    let first: Interval = "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z".parse().unwrap();
    let offset = (number - 1) * 86_400_000;
    Interval::new(first.from_ms() + offset, first.to_ms() + offset).unwrap()
}

/// The first day failed, the second is committed but doubtful, the others are missing.
fn ledger() -> Ledger {
    let ledger = Ledger::in_memory().unwrap();
    let dataset = || "conversations".to_owned();
    let record = ShardRecord {
        dataset: dataset(),
        interval: day(2),
        counts: Counts::default(),
        files: Vec::new(),
        commit_id: "c".to_owned(),
        open_rows: 0,
        details: ShardDetails::default(),
    };
    ledger.commit(&[record], &[], &[], false).unwrap();
    let (reason, correlation) = ("too slow".to_owned(), String::new());
    let failure = Failure { dataset: dataset(), interval: day(1), reason, correlation };
    ledger.fail(&failure).unwrap();
    let (kind, reason) = (GapKind::Quarantined, "1 row".to_owned());
    let doubtful = DoubtfulInterval { dataset: dataset(), interval: day(2), kind, reason };
    ledger.record_doubt(&doubtful).unwrap();
    ledger
}

/// The shards of a run in order, and whether they replace committed ones.
fn planned(scope: Scope, ledger: &Ledger) -> Vec<(Interval, bool)> {
    let plan = plan(&config(), scope, ledger).unwrap();
    plan.shards().map(|shard| (shard.interval, shard.replaces)).collect()
}

fn accept(ledger: &Ledger, interval: Interval) {
    let (dataset, reason) = ("conversations".to_owned(), "lost".to_owned());
    ledger.accept(&AcceptedInterval { dataset, interval, reason }).unwrap();
}

#[test]
fn a_run_fetches_what_is_new_and_then_what_failed_before_once() {
    let expected = [(day(3), false), (day(4), false), (day(1), false)];
    assert_eq!(planned(Scope::Missing, &ledger()), expected);
}

#[test]
fn retry_failed_fetches_failed_and_doubtful_intervals_alone() {
    assert_eq!(planned(Scope::Failed, &ledger()), [(day(2), true), (day(1), false)]);
}

#[test]
fn only_retry_failed_fetches_an_accepted_interval_again() {
    let ledger = ledger();
    accept(&ledger, day(1));
    assert_eq!(planned(Scope::Missing, &ledger), [(day(3), false), (day(4), false)]);
    assert!(planned(Scope::Failed, &ledger).contains(&(day(1), false)));
    accept(&ledger, day(4));
    assert_eq!(planned(Scope::Missing, &ledger), [(day(3), false)]);
    let all = [(day(2), true), (day(4), false), (day(1), false)];
    assert_eq!(planned(Scope::Failed, &ledger), all);
}

#[test]
fn a_day_is_fetched_again_whatever_the_ledger_says_of_it() {
    let ledger = ledger();
    accept(&ledger, day(1));
    accept(&ledger, day(3));
    let planned = |interval: Interval| {
        let plan = plan(&Config { interval, ..config() }, Scope::Again, &ledger).unwrap();
        plan.shards().map(|shard| (shard.interval, shard.replaces)).collect::<Vec<_>>()
    };
    for (number, replaces) in [(0, false), (1, false), (2, true), (3, false), (4, false)] {
        assert_eq!(planned(day(number)), [(day(number), replaces)]);
    }
    // a committed day is replaced as a whole
    let (_, afternoon) = day(2).bisect().unwrap();
    assert_eq!(planned(afternoon), [(day(2), true)]);
    let both = Interval::new(afternoon.from_ms(), day(3).to_ms()).unwrap();
    assert_eq!(planned(both), [(day(2), true), (day(3), false)]);
    let future = Interval::new(i64::MAX - 10, i64::MAX).unwrap();
    assert_eq!(planned(future), []);
}

#[test]
fn a_plan_counts_the_requests_for_open_rows_by_id() {
    let counts = Counts { received: 1_000, written: 1_000, ..Counts::default() };
    let record = ShardRecord {
        dataset: "conversations".to_owned(),
        interval: day(2),
        counts,
        files: Vec::new(),
        commit_id: "c".to_owned(),
        open_rows: 150,
        details: ShardDetails::default(),
    };
    let ledger = Ledger::in_memory().unwrap();
    ledger.commit(&[record], &[], &[], false).unwrap();
    let years = Duration::from_secs(20 * 365 * 86_400);
    let mut config = Config { interval: day(2), follow_open: 2 * years, ..config() };
    config.now += i64::try_from(years.as_millis()).unwrap();
    let planned = |ledger: &Ledger| {
        let plan = plan(&config, Scope::Missing, ledger).unwrap();
        let open_rows: Vec<_> = plan.shards().map(|shard| shard.open_rows).collect();
        let estimates = estimate_plan(&config, &plan, ledger).unwrap();
        (open_rows, estimates["conversations"].requests)
    };
    assert_eq!(planned(&ledger), (vec![Some(150)], Some(2)));

    let (kind, reason) = (GapKind::Quarantined, "1 row".to_owned());
    let dataset = "conversations".to_owned();
    let doubtful = DoubtfulInterval { dataset, interval: day(2), kind, reason };
    ledger.record_doubt(&doubtful).unwrap();
    let (open_rows, _) = planned(&ledger);
    assert_eq!(open_rows, [None], "a doubtful day is fetched whole");
}
