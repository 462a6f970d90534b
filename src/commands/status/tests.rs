use super::*;
use crate::{
    catalog,
    ledger::{
        AcceptedInterval, Counts, DoubtfulInterval, DriftRecord, DriftRecordKind, Failure,
        FileRecord, GapKind, RunRecord, ShardDetails, ShardRecord,
    },
};

const HOUR_MS: i64 = 3_600_000;

pub(crate) fn hours(from: i64, to: i64) -> Interval {
    let start = "2024-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    Interval::new(start + from * HOUR_MS, start + to * HOUR_MS).unwrap()
}

/// A job of ten days.
pub(crate) fn job() -> BackfillScope {
    let catalog = catalog::builtin("genesys-cloud").unwrap();
    BackfillScope {
        name: "nightly".into(),
        platform: crate::platform::Platform::GenesysCloud,
        now: hours(0, 300).to_ms(),
        output: "out".into(),
        ..BackfillScope::for_tests(catalog, &["conversations"], hours(0, 240))
    }
}

pub(crate) fn shard(interval: Interval, files: &[(&str, u64)]) -> ShardRecord {
    let files = files.iter().map(|(path, rows)| FileRecord {
        path: (*path).to_owned(),
        rows: *rows,
        bytes: rows * 10,
        sha256: "00".into(),
    });
    let counts = Counts { quarantined: 1, ..Counts::default() };
    ShardRecord {
        dataset: "conversations".into(),
        interval,
        counts,
        files: files.collect(),
        commit_id: String::new(),
        open_rows: 0,
        details: ShardDetails::default(),
    }
}

pub(crate) fn snapshot(shards: Vec<ShardRecord>, failed: Option<Interval>) -> Snapshot {
    let failure = |interval| Failure {
        dataset: "conversations".into(),
        interval,
        reason: "too slow".into(),
        correlation: "c-1".into(),
    };
    let records = DatasetRecords {
        shards,
        failures: failed.map(failure).into_iter().collect(),
        ..DatasetRecords::default()
    };
    Snapshot {
        datasets: BTreeMap::from([("conversations".to_owned(), records)]),
        ..Snapshot::default()
    }
}

/// One whole day, a shard across the next midnight, six hours that failed.
pub(crate) fn partly_committed() -> Status {
    let shards = vec![
        shard(hours(0, 24), &[("conversations/date=2024-01-01/a.parquet", 5)]),
        shard(
            hours(24, 54),
            &[
                ("conversations/date=2024-01-02/b.parquet", 3),
                ("conversations/date=2024-01-03/b.parquet", 2),
                ("_quarantine/conversations/b.ndjson", 1),
            ],
        ),
    ];
    Status::new(&job(), &snapshot(shards, Some(hours(54, 60))))
}

#[test]
fn each_day_has_its_committed_failed_and_missing_time() {
    let status = partly_committed();
    let days = &status.datasets[0].days;
    assert_eq!(days.len(), 10);
    let third_day = Totals {
        rows: 2,
        bytes: 20,
        files: 1,
        committed_s: 6.0 * 3_600.0,
        failed_s: 6.0 * 3_600.0,
        missing_s: 12.0 * 3_600.0,
    };
    assert_eq!((days[2].date.as_str(), days[2].totals), ("2024-01-03", third_day));
    let total = status.datasets[0].total;
    assert_eq!(
        (total.rows, total.bytes, total.files, total.committed_s),
        (10, 100, 3, 54.0 * 3_600.0)
    );
    assert_eq!((status.complete, status.datasets[0].rows_quarantined), (false, 2));
    let missing = &status.datasets[0].missing;
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].from, "2024-01-03T12:00:00.000Z");
    assert_eq!(status.datasets[0].failed[0].reason, "too slow");
}

#[test]
fn a_failure_that_was_committed_since_is_not_a_gap() {
    let all = vec![shard(hours(0, 240), &[])];
    let status = Status::new(&job(), &snapshot(all, Some(hours(54, 60))));
    assert!(status.complete && status.datasets[0].failed.is_empty());
}

#[test]
fn a_failure_outside_the_requested_interval_is_not_a_gap() {
    let shards = || vec![shard(hours(0, 240), &[])];
    for outside in [hours(240, 250), hours(-5, 0)] {
        let status = Status::new(&job(), &snapshot(shards(), Some(outside)));
        assert!(status.complete && status.datasets[0].failed.is_empty(), "{outside}");
    }
    let across_the_end =
        Status::new(&job(), &snapshot(vec![shard(hours(0, 230), &[])], Some(hours(230, 250))));
    assert_eq!(
        (across_the_end.complete, across_the_end.datasets[0].total.failed_s),
        (false, 36_000.0)
    );
}

#[test]
fn what_the_job_does_not_request_is_shown_but_not_missing() {
    let mut later = snapshot(vec![shard(hours(0, 240), &[]), shard(hours(400, 401), &[])], None);
    later.datasets.insert(
        "other".into(),
        DatasetRecords { shards: vec![shard(hours(0, 1), &[])], ..DatasetRecords::default() },
    );
    let status = Status::new(&job(), &later);
    assert!(status.complete);
    assert_eq!(status.datasets[0].days.last().unwrap().date, "2024-01-17");
    assert_eq!(status.datasets[1].total.missing_s, 0.0);
}

#[test]
fn without_a_commit_everything_is_missing() {
    let status = Status::new(&job(), &Snapshot::default());
    assert!(!status.complete);
    assert_eq!(status.datasets[0].total, Totals { missing_s: 864_000.0, ..Totals::default() });
}

#[test]
fn the_json_has_a_flat_object_per_day() {
    let json: serde_json::Value = serde_json::from_str(&partly_committed().json()).unwrap();
    let day = &json["datasets"][0]["days"][2];
    assert_eq!(
        (day["date"].as_str(), day["failed_s"].as_f64()),
        (Some("2024-01-03"), Some(21_600.0))
    );
    assert_eq!(json["datasets"][0]["failed"][0]["from"], "2024-01-03T06:00:00.000Z");
    assert_eq!(json["complete"], false);
}

/// A job of ten days that are committed, with a doubt about the first and a failure after the last.
fn doubtful() -> Snapshot {
    let mut ledger = snapshot(vec![shard(hours(0, 240), &[])], None);
    let records = ledger.datasets.get_mut("conversations").unwrap();
    records.doubtful.push(DoubtfulInterval {
        dataset: "conversations".into(),
        interval: hours(0, 24),
        kind: GapKind::NothingOwned,
        reason: "0 of 9 rows".into(),
    });
    ledger
}

#[test]
fn a_doubtful_interval_is_not_complete_until_a_person_accepts_it() {
    let mut ledger = doubtful();
    let status = Status::new(&job(), &ledger);
    assert!(!status.complete);
    assert_eq!(status.datasets[0].doubtful[0].cause.name(), "nothing-owned");
    let accepted = AcceptedInterval {
        dataset: "conversations".into(),
        interval: hours(-24, 24),
        reason: "another queue".into(),
    };
    ledger.datasets.get_mut("conversations").unwrap().accepted.push(accepted);
    let status = Status::new(&job(), &ledger);
    assert!(status.complete, "accepted");
    assert_eq!(status.datasets[0].doubtful.len(), 1, "but still visible");
}

#[test]
fn with_a_relative_end_a_job_is_complete_once_the_last_run_reached_its_end() {
    let mut ledger = snapshot(vec![shard(hours(0, 200), &[])], None);
    let run = |to| RunRecord {
        id: 1,
        started: "2024-01-20T00:00:00Z".into(),
        ended: None,
        outcome: None,
        interval: Some(hours(0, to)),
        summary: None,
        user: None,
        host: None,
        pid: None,
        state: None,
    };
    ledger.runs = vec![run(200)];
    let relative = BackfillScope { to_is_relative: true, ..job() };
    assert!(Status::new(&relative, &ledger).complete);
    assert_eq!(Status::new(&relative, &ledger).to, "2024-01-09T08:00:00.000Z");
    assert!(!Status::new(&job(), &ledger).complete, "the end of this job is fixed");
    ledger.runs.push(run(201));
    assert!(!Status::new(&relative, &ledger).complete, "the last run did not reach its end");
}

#[test]
fn an_accepted_interval_that_no_run_has_fetched_is_not_missing_and_stays_visible() {
    let mut snapshot = snapshot(vec![shard(hours(0, 200), &[])], None);
    let records = snapshot.datasets.get_mut("conversations").unwrap();
    let accepted = |from, to| AcceptedInterval {
        dataset: "conversations".into(),
        interval: hours(from, to),
        reason: "purged".into(),
    };
    records.accepted.push(accepted(200, 230));
    let status = Status::new(&job(), &snapshot);
    let [dataset] = &status.datasets[..] else { panic!("{status:?}") };
    assert_eq!((status.complete, &dataset.missing), (false, &vec![hours(230, 240).into()]));
    let [gap] = &dataset.accepted[..] else { panic!("{dataset:?}") };
    assert_eq!((gap.interval, gap.accepted.as_deref()), (hours(200, 230), Some("purged")));

    let records = snapshot.datasets.get_mut("conversations").unwrap();
    records.accepted.push(accepted(230, 240));
    assert!(Status::new(&job(), &snapshot).complete);
}

#[test]
fn the_status_of_a_dataset_names_the_end_that_is_not_yet_available() {
    let mut job = job();
    assert_eq!(Status::new(&job, &snapshot(Vec::new(), None)).datasets[0].not_yet_available, None);
    job.now = hours(0, 200).to_ms();
    let status = Status::new(&job, &snapshot(Vec::new(), None));
    let [dataset] = &status.datasets[..] else { panic!("{status:?}") };
    assert_eq!(dataset.not_yet_available, Some(hours(200, 240).into()));
    assert_eq!(dataset.missing, [hours(0, 200).into()]);
    assert!(status.json().contains("\"not_yet_available\":{\"from\":\"2024-01-09T08:00:00.000Z\""));
}

#[test]
fn values_without_a_column_are_listed_until_the_catalog_has_them() {
    let mut ledger = snapshot(vec![shard(hours(0, 240), &[])], None);
    let field = |path: &str| DriftRecord {
        dataset: "conversations".into(),
        path: path.into(),
        kind: DriftRecordKind::NewField,
        value_type: "integer".into(),
        rows: 3,
        first_seen: "2024-01-01T00:00:00Z".into(),
    };
    let records = ledger.datasets.get_mut("conversations").unwrap();
    records.new_fields = vec![field("participants[].purpose"), field("participants[].weight")];
    let status = Status::new(&job(), &ledger);
    assert!(status.complete, "a new field is no gap");
    let json: serde_json::Value = serde_json::from_str(&status.json()).unwrap();
    let listed = &json["datasets"][0]["new_fields"];
    assert_eq!(
        listed,
        &serde_json::json!([{
            "dataset": "conversations",
            "path": "participants[].weight",
            "kind": "new-field",
            "value_type": "integer",
            "rows": 3,
            "first_seen": "2024-01-01T00:00:00Z",
            "column": { "type": "participant", "line": "weight = \"int64\"" },
        }])
    );
}
