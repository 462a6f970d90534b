use std::sync::Arc;

use super::*;
use crate::{
    catalog,
    ledger::{Counts, Failure, FileRecord, ShardRecord},
};

const HOUR_MS: i64 = 3_600_000;

fn hours(from: i64, to: i64) -> Interval {
    let start = "2024-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    Interval::new(start + from * HOUR_MS, start + to * HOUR_MS).unwrap()
}

/// A job of ten days.
fn job() -> BackfillScope {
    let catalog = catalog::builtin("genesys-cloud").unwrap();
    BackfillScope {
        source: None,
        interval: hours(0, 240),
        now: 0,
        datasets: vec![Arc::clone(&catalog.datasets["conversations"])],
        catalog: catalog.clone(),
        output: "out".into(),
    }
}

fn shard(interval: Interval, files: &[(&str, u64)]) -> ShardRecord {
    let files = files.iter().map(|(path, rows)| FileRecord {
        path: (*path).to_owned(),
        rows: *rows,
        bytes: rows * 10,
        sha256: "00".into(),
    });
    let counts = Counts { quarantined: 1, ..Counts::default() };
    ShardRecord { dataset: "conversations".into(), interval, counts, files: files.collect() }
}

fn history(shards: Vec<ShardRecord>, failed: Option<Interval>) -> Snapshot {
    let failure = |interval| Failure {
        dataset: "conversations".into(),
        interval,
        reason: "too slow".into(),
        correlation: "c-1".into(),
    };
    let records = DatasetRecords { shards, failures: failed.map(failure).into_iter().collect() };
    Snapshot {
        datasets: BTreeMap::from([("conversations".to_owned(), records)]),
        ..Snapshot::default()
    }
}

/// One whole day, a shard over the next midnight, six hours set aside.
fn in_part() -> Status {
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
    Status::new(&job(), &history(shards, Some(hours(54, 60))))
}

#[test]
fn every_day_says_how_much_of_it_is_committed_failed_and_missing() {
    let status = in_part();
    let days = &status.datasets[0].days;
    assert_eq!(days.len(), 10);
    let third = Totals {
        rows: 2,
        bytes: 20,
        files: 1,
        committed_s: 6.0 * 3_600.0,
        failed_s: 6.0 * 3_600.0,
        missing_s: 12.0 * 3_600.0,
    };
    assert_eq!((days[2].date.as_str(), days[2].amount), ("2024-01-03", third));
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
fn what_was_set_aside_and_committed_since_is_committed() {
    let all = vec![shard(hours(0, 240), &[])];
    let status = Status::new(&job(), &history(all, Some(hours(54, 60))));
    assert!(status.complete && status.datasets[0].failed.is_empty());
}

#[test]
fn what_was_set_aside_of_a_time_that_is_not_requested_makes_nothing_incomplete() {
    let shards = || vec![shard(hours(0, 240), &[])];
    for elsewhere in [hours(240, 250), hours(-5, 0)] {
        let status = Status::new(&job(), &history(shards(), Some(elsewhere)));
        assert!(status.complete && status.datasets[0].failed.is_empty(), "{elsewhere}");
    }
    let over_the_end =
        Status::new(&job(), &history(vec![shard(hours(0, 230), &[])], Some(hours(230, 250))));
    assert_eq!((over_the_end.complete, over_the_end.datasets[0].total.failed_s), (false, 36_000.0));
}

#[test]
fn what_the_job_does_not_ask_for_is_shown_and_not_missed() {
    let mut later = history(vec![shard(hours(0, 240), &[]), shard(hours(400, 401), &[])], None);
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
fn nothing_committed_is_all_missing() {
    let status = Status::new(&job(), &Snapshot::default());
    assert!(!status.complete);
    assert_eq!(status.datasets[0].total, Totals { missing_s: 864_000.0, ..Totals::default() });
}

#[test]
fn the_table_is_for_people_and_untouched_days_share_a_row() {
    let expected = "\
conversations            committed    failed   missing        rows        size   files
2024-01-01                      1d         -         -           5        50 B       1
2024-01-02                      1d         -         -           3        30 B       1
2024-01-03                      6h        6h       12h           2        20 B       1
2024-01-04 to 2024-01-10         -         -        7d           0         0 B       0
total                        2d 6h        6h    7d 12h          10       100 B       3
2 rows could not be decoded and are in _quarantine
failed 2024-01-03T06:00:00.000Z/2024-01-03T12:00:00.000Z: too slow (c-1)

2024-01-01T00:00:00.000Z to 2024-01-11T00:00:00.000Z: not complete
";
    assert_eq!(in_part().to_string(), expected);
}

#[test]
fn the_json_is_one_object_with_a_flat_row_a_day() {
    let json: serde_json::Value = serde_json::from_str(&in_part().json()).unwrap();
    let day = &json["datasets"][0]["days"][2];
    assert_eq!(
        (day["date"].as_str(), day["failed_s"].as_f64()),
        (Some("2024-01-03"), Some(21_600.0))
    );
    assert_eq!(json["datasets"][0]["failed"][0]["from"], "2024-01-03T06:00:00.000Z");
    assert_eq!(json["complete"], false);
}

#[test]
fn a_length_of_time_is_said_in_its_two_largest_units() {
    let said = [0.0, 0.2, 59.0, 60.0, 3_661.0, 86_400.0, 90_000.0, 86_460.0].map(time);
    assert_eq!(said, ["-", "<1s", "59s", "1m", "1h 1m", "1d", "1d 1h", "1d"]);
}
