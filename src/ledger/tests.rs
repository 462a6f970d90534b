use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn interval(from: i64, to: i64) -> Interval {
    Interval::new(from, to).unwrap()
}

#[test]
fn the_rows_by_hour_are_replaced_with_their_shard() {
    let ledger = Ledger::in_memory().unwrap();
    let with_rows = |rows, from, to| {
        let hour = HourRecord { media: "voice".into(), rows, ..HourRecord::default() };
        let details = ShardDetails { cost: None, sums: vec![hour] };
        ShardRecord { details, ..record(from, to) }
    };
    let rows = || -> Vec<u64> {
        let sums = hour_sums::sums(&ledger.lock()).unwrap();
        sums.into_values().flatten().map(|hour| hour.rows).collect()
    };
    ledger.commit(&[with_rows(5, 0, 10), with_rows(7, 10, 20)], &[], &[], false).unwrap();
    assert_eq!(rows(), [12]);
    ledger.commit(&[with_rows(1, 10, 20)], &[], &[], true).unwrap();
    assert_eq!(rows(), [6]);
}

#[test]
fn the_history_of_an_interval_has_its_commits_splits_failures_and_attempts() {
    let ledger = Ledger::in_memory().unwrap();
    let run = ledger.begin_run(interval(0, 20), 0).unwrap();
    let attempt = FailedAttempt {
        at: "2024-01-01T00:00:00Z".into(),
        reason: "504".into(),
        correlation: "c-1".into(),
    };
    ledger.split("d", interval(0, 20), "too large").unwrap();
    ledger.record_attempts("d", interval(0, 10), &[attempt]).unwrap();
    let cost = Some(ShardCost { requests: 3, retries: 1, duration_ms: 40 });
    let details = ShardDetails { cost, sums: Vec::new() };
    ledger.commit(&[ShardRecord { details, ..record(0, 10) }], &[], &[], false).unwrap();
    let failure = Failure {
        dataset: "d".into(),
        interval: interval(10, 20),
        reason: "gone".into(),
        correlation: "c-2".into(),
    };
    ledger.fail(&failure).unwrap();
    let events = events::events(&ledger.lock(), "d", interval(0, 10)).unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["split", "retried", "committed"]);
    assert_eq!((events[1].correlation.as_str(), events[2].cost), ("c-1", cost));
    assert!(events.iter().all(|event| event.run == Some(run)));
    let events = events::events(&ledger.lock(), "d", interval(15, 16)).unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["split", "failed"]);
}

fn record(from: i64, to: i64) -> ShardRecord {
    let file = FileRecord { path: format!("f{from}"), rows: 1, bytes: 2, sha256: "00".into() };
    ShardRecord {
        dataset: "d".into(),
        interval: interval(from, to),
        counts: Counts::default(),
        files: vec![file],
        commit_id: "c".into(),
        open_rows: 0,
        details: ShardDetails::default(),
    }
}

#[test]
fn an_error_names_the_file_of_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LEDGER);
    let ledger = Ledger::open(&path).unwrap();
    ledger.lock().pragma_update(None, "query_only", true).unwrap();
    let names_file = |error: LedgerError| {
        let error = error.to_string();
        // the real path: the folder may be reached through a link
        let path = path.canonicalize().unwrap();
        assert!(error.contains(&format!("the ledger ({}) failed", path.display())), "{error}");
    };
    names_file(ledger.commit(&[record(10, 20)], &[], &[], false).unwrap_err());
    names_file(ledger.split("d", interval(10, 20), "too wide").unwrap_err());
    let other = folder.path().join("other.sqlite");
    std::fs::write(&other, "no database at all, but long enough to be read as one").unwrap();
    let error = Ledger::open(&other).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&format!("the ledger ({}) is damaged", other.display())), "{error}");
}

#[test]
fn a_commit_that_overlaps_a_committed_shard_is_refused() {
    let ledger = Ledger::in_memory().unwrap();
    ledger.commit(&[record(10, 20)], &[], &[], false).unwrap();
    for (from, to) in [(10, 20), (5, 11), (19, 25), (12, 15), (0, 30)] {
        assert!(
            matches!(
                ledger.commit(&[record(from, to)], &[], &[], false),
                Err(LedgerError::Overlap { .. })
            ),
            "{from} {to}"
        );
    }
    ledger.commit(&[record(20, 30)], &[], &[], false).unwrap();
    assert_eq!(ledger.committed("d").unwrap(), [interval(10, 20), interval(20, 30)]);
    assert_eq!(ledger.file_paths().unwrap().len(), 2);
}

#[test]
fn a_replacement_takes_the_place_of_its_own_shard_only() {
    let ledger = Ledger::in_memory().unwrap();
    ledger.commit(&[record(10, 20)], &[], &[], false).unwrap();
    ledger.intend("d", &[], Some(interval(10, 20))).unwrap();
    assert_eq!(ledger.stale("d").unwrap(), [interval(10, 20)]);
    assert!(matches!(
        ledger.commit(&[record(10, 15)], &[], &[], true),
        Err(LedgerError::Overlap { .. })
    ));
    let other = FileRecord { path: "other".into(), ..record(10, 20).files[0].clone() };
    let replacement = ShardRecord { files: vec![other], ..record(10, 20) };
    assert_eq!(ledger.commit(&[replacement], &[], &[], true).unwrap().garbage, ["f10"]);
    assert_eq!((ledger.stale("d").unwrap(), ledger.file_paths().unwrap().len()), (vec![], 1));
}

#[test]
fn replacements_that_cover_a_committed_shard_only_together_take_its_place_together() {
    let ledger = Ledger::in_memory().unwrap();
    ledger.commit(&[record(10, 30), record(30, 40)], &[], &[], false).unwrap();
    let half = ledger.commit(&[record(10, 20)], &[], &[], true);
    assert!(matches!(half, Err(LedgerError::Overlap { .. })));
    let halves = [record(10, 20), record(20, 30)];
    // the file of the first half has the name of the old one, so it is no garbage
    assert_eq!(ledger.commit(&halves, &[], &[], true).unwrap().garbage, Vec::<String>::new());
    let committed = [interval(10, 20), interval(20, 30), interval(30, 40)];
    assert_eq!(ledger.committed("d").unwrap(), committed);
    let wide = ShardRecord { files: Vec::new(), ..record(10, 30) };
    assert_eq!(ledger.commit(&[wide], &[], &[], true).unwrap().garbage, ["f10", "f20"]);
    assert_eq!(ledger.garbage().unwrap().len(), 2);
}

#[test]
fn a_failed_half_leaves_the_whole_committed_shard_stale() {
    let ledger = Ledger::in_memory().unwrap();
    ledger.commit(&[record(10, 20), record(20, 30)], &[], &[], false).unwrap();
    ledger.split("d", interval(10, 20), "504").unwrap();
    ledger.fail(&failure(10, 15, "504")).unwrap();
    assert_eq!(ledger.committed("d").unwrap(), [interval(10, 20), interval(20, 30)]);
    assert_eq!(ledger.stale("d").unwrap(), [interval(10, 20)]);
}

#[test]
fn a_failure_is_deleted_once_its_shard_is_committed() {
    let ledger = Ledger::in_memory().unwrap();
    let failure = Failure {
        dataset: "d".into(),
        interval: interval(0, 5),
        reason: "no".into(),
        correlation: "c".into(),
    };
    ledger.fail(&failure).unwrap();
    assert_eq!(ledger.failures("d").unwrap(), [failure]);
    ledger.commit(&[record(0, 10)], &[], &[], false).unwrap();
    assert_eq!(ledger.failures("d").unwrap(), []);
}

#[test]
fn another_job_on_the_same_output_is_refused_with_the_setting_that_differs() {
    let ledger = Ledger::in_memory().unwrap();
    let identity = |region: &str| BTreeMap::from([("source.region".to_owned(), region.to_owned())]);
    ledger.record_identity(&identity("eu-west-1")).unwrap();
    ledger.record_identity(&identity("eu-west-1")).unwrap();
    let error = ledger.record_identity(&identity("us-east-1")).unwrap_err().to_string();
    assert!(error.contains("source.region = eu-west-1, and now it is us-east-1"), "{error}");
}

#[test]
fn a_failure_is_deleted_once_all_its_parts_are_committed() {
    let ledger = Ledger::in_memory().unwrap();
    let failure = Failure {
        dataset: "d".into(),
        interval: interval(0, 10),
        reason: "no".into(),
        correlation: "c".into(),
    };
    ledger.fail(&failure).unwrap();
    ledger.commit(&[record(5, 10)], &[], &[], false).unwrap();
    assert_eq!(ledger.failures("d").unwrap().len(), 1);
    ledger.commit(&[record(0, 5)], &[], &[], false).unwrap();
    assert_eq!(ledger.failures("d").unwrap(), []);
}

fn failure(from: i64, to: i64, reason: &str) -> Failure {
    Failure {
        dataset: "d".into(),
        interval: interval(from, to),
        reason: reason.into(),
        correlation: String::new(),
    }
}

#[test]
fn a_failure_replaces_the_overlapping_part_of_earlier_failures() {
    let ledger = Ledger::in_memory().unwrap();
    let fail = |from, to, reason| ledger.fail(&failure(from, to, reason)).unwrap();
    fail(0, 30, "old");
    fail(40, 50, "other");
    fail(10, 20, "new");
    let left = [
        failure(0, 10, "old"),
        failure(10, 20, "new"),
        failure(20, 30, "old"),
        failure(40, 50, "other"),
    ];
    assert_eq!(ledger.failures("d").unwrap(), left);
    fail(5, 45, "last");
    let left = [failure(0, 5, "old"), failure(5, 45, "last"), failure(45, 50, "other")];
    assert_eq!(ledger.failures("d").unwrap(), left);
}

#[test]
fn a_committed_shard_whose_replacement_failed_stays_stale() {
    let ledger = Ledger::in_memory().unwrap();
    ledger.commit(&[record(10, 20)], &[], &[], false).unwrap();
    ledger.fail(&failure(20, 30, "another")).unwrap();
    assert_eq!(ledger.stale("d").unwrap(), []);
    ledger.fail(&failure(10, 20, "no")).unwrap();
    assert_eq!(ledger.stale("d").unwrap(), [interval(10, 20)]);
    ledger.commit(&[record(10, 20)], &[], &[], true).unwrap();
    assert_eq!((ledger.stale("d").unwrap(), ledger.failures("d").unwrap().len()), (vec![], 1));
}

#[test]
fn checking_the_identity_writes_nothing() {
    let ledger = Ledger::in_memory().unwrap();
    let identity = |region: &str| BTreeMap::from([("source.region".to_owned(), region.to_owned())]);
    ledger.check_identity(&identity("eu-west-1")).unwrap();
    ledger.record_identity(&identity("us-east-1")).unwrap();
    assert!(matches!(
        ledger.check_identity(&identity("eu-west-1")),
        Err(LedgerError::Identity { .. })
    ));
    ledger.check_identity(&identity("us-east-1")).unwrap();
}

#[test]
fn a_commit_deletes_the_count_mismatch_that_an_older_program_recorded() {
    let ledger = Ledger::in_memory().unwrap();
    let mismatches = || {
        let sql = "SELECT from_ms, to_ms FROM short WHERE dataset = ?1 ORDER BY from_ms";
        intervals(&ledger.lock(), sql, ["d"]).unwrap()
    };
    ledger.commit(&[record(10, 20)], &[], &[], false).unwrap();
    for (from, to) in [(0, 10), (10, 20), (20, 30)] {
        let sql = "INSERT INTO short (dataset, from_ms, to_ms, reason, at)
                   VALUES ('d', ?1, ?2, '11 of 12', '')";
        ledger.lock().execute(sql, [from, to]).unwrap();
    }
    ledger.commit(&[record(10, 20)], &[], &[], true).unwrap();
    assert_eq!(mismatches(), [interval(0, 10), interval(20, 30)]);
}

proptest! {
    #[test]
    fn g1_committed_intervals_are_disjoint_after_any_sequence_of_commits(
        tries in prop::collection::vec((0i64..60, 1i64..20, any::<bool>()), 0..30),
    ) {
        let (ledger, mut known) = (Ledger::in_memory().unwrap(), Vec::<Interval>::new());
        for (from, width, replaces) in tries {
            let new = interval(from, from + width);
            let taken = ledger.commit(&[record(from, from + width)], &[], &[], replaces).is_ok();
            let is_covered = |old: &Interval| replaces && old.subtract(&[new]).is_empty();
            let is_free = |old: &Interval| !old.overlaps(new) || is_covered(old);
            prop_assert_eq!(taken, known.iter().all(is_free));
            if taken {
                known.retain(|old| !is_covered(old));
                known.push(new);
            }
            known.sort();
            prop_assert_eq!(&ledger.committed("d").unwrap(), &known);
        }
    }
}

/// The shortest time of ten commits among a hundred, of the shards from number `first` on. Each is
/// doubtful and has open rows, and one shard in ten failed before.
fn shortest_commits(ledger: &Ledger, first: i64) -> Duration {
    let commit_ten = |ten: i64| {
        let start = Instant::now();
        for number in ten..ten + 10 {
            let (from, to) = (HOUR_MS * number, HOUR_MS * (number + 1));
            let doubt = DoubtfulInterval {
                dataset: "d".into(),
                interval: interval(from, to),
                kind: GapKind::CountMismatch,
                reason: String::new(),
            };
            if number % 10 == 0 {
                ledger.fail(&failure(from + 5, to + 5, "504")).unwrap();
            }
            let record = ShardRecord { open_rows: 1, ..record(from, to) };
            ledger.intend("d", &[(format!("f{from}"), "c".into())], None).unwrap();
            ledger.commit(&[record], &[doubt], &[], false).unwrap();
        }
        start.elapsed()
    };
    (0..10).map(|ten| commit_ten(first + 10 * ten)).min().unwrap()
}

#[test]
fn g8_a_commit_costs_the_same_whatever_number_of_commits_are_recorded() {
    let ledger = Ledger::in_memory().unwrap();
    let few = shortest_commits(&ledger, 0);
    for hundred in 1..100 {
        shortest_commits(&ledger, 100 * hundred);
    }
    let many = shortest_commits(&ledger, 10_000);
    assert!(many < 3 * few, "{few:?} among 100 commits, {many:?} among 10,000");
    assert_eq!(ledger.committed("d").unwrap().len(), 10_100);
    assert_eq!(ledger.doubtful("d").unwrap().len(), 10_100);
}

#[test]
fn g8_a_replacement_costs_the_same_whatever_number_of_commits_are_recorded() {
    let shortest_replacements = |shards: i64| {
        let ledger = Ledger::in_memory().unwrap();
        let records: Vec<_> = (0..shards).map(|shard| record(shard, shard + 1)).collect();
        ledger.commit(&records, &[], &[], false).unwrap();
        let replace_ten = |ten: i64| {
            let start = Instant::now();
            for shard in shards - 100 + 10 * ten..shards - 90 + 10 * ten {
                let record = record(shard, shard + 1);
                ledger.intend("d", &[], Some(record.interval)).unwrap();
                assert_eq!(ledger.committed_overlapping("d", record.interval).unwrap().len(), 1);
                ledger.commit(&[record], &[], &[], true).unwrap();
            }
            start.elapsed()
        };
        (0..10).map(replace_ten).min().unwrap()
    };
    let (few, many) = (shortest_replacements(100), shortest_replacements(10_000));
    assert!(many < 3 * few, "{few:?} among 100 commits, {many:?} among 10,000");
}
