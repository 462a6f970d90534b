use std::collections::BTreeMap;

use super::*;
use crate::{
    commands::{
        overview::sums::HourSum,
        status::{
            RunningJob,
            tests::{hours, job, shard, snapshot},
        },
    },
    ledger::{HourRecord, RunRecord, ShardCost, ShardDetails, ShardRecord, reader::DatasetRecords},
    telemetry::metrics::{DatasetMetricsSnapshot, Span},
};

/// A run that is going on.
fn run() -> RunRecord {
    RunRecord {
        id: 7,
        started: "2024-01-20T00:00:00Z".into(),
        ended: None,
        outcome: None,
        interval: Some(hours(0, 240)),
        summary: None,
        user: Some("ana".into()),
        host: Some("box".into()),
        pid: Some(12),
        state: None,
    }
}

/// Three committed days, of which the second has two shards, and one that failed.
fn ledger() -> Snapshot {
    let cost = |requests| {
        let cost = ShardCost { requests, retries: 1, duration_ms: 1_500 };
        ShardDetails { cost: Some(cost), sums: Vec::new() }
    };
    let file = "conversations/date=2024-01-02/a.parquet";
    let shards = vec![
        shard(hours(0, 24), &[("conversations/date=2024-01-01/a.parquet", 5)]),
        ShardRecord { details: cost(4), open_rows: 2, ..shard(hours(24, 36), &[(file, 3)]) },
        ShardRecord { details: cost(5), ..shard(hours(36, 54), &[]) },
    ];
    let mut ledger = snapshot(shards, Some(hours(72, 96)));
    ledger.runs = vec![run()];
    ledger
}

fn states(overview: &Overview) -> Vec<(&str, DayState)> {
    let days = overview.datasets[0].days.iter().take(6);
    days.map(|day| (&day.date[8..], day.state)).collect()
}

#[test]
fn a_day_has_the_state_of_its_shards() {
    use DayState::{Committed, Failed, Fetching, Partial, Waiting};
    let mut ledger = ledger();
    let overview = Overview::new(&job(), &ledger, None, false);
    let expected = [
        ("01", Committed),
        ("02", Committed),
        ("03", Partial),
        ("04", Failed),
        ("05", Waiting),
        ("06", Waiting),
    ];
    assert_eq!(states(&overview), expected);
    assert_eq!((overview.datasets[0].state, overview.datasets[0].rows), (Failed, 8));

    let iso = crate::time::interval::iso;
    let interval = hours(60, 80);
    let fetching = vec![Span { from: iso(interval.from_ms()), to: iso(interval.to_ms()) }];
    let dataset = DatasetMetricsSnapshot {
        words: "waiting for 3 jobs".into(),
        fetching,
        shards_planned: 9,
        ..DatasetMetricsSnapshot::default()
    };
    let datasets = BTreeMap::from([("conversations".to_owned(), dataset)]);
    let metrics = MetricsSnapshot { words: "fetching".into(), datasets, ..<_>::default() };
    ledger.runs[0].state = Some(serde_json::to_string(&metrics).unwrap());
    let overview = Overview::new(&job(), &ledger, None, true);
    assert_eq!(states(&overview)[2..4], [("03", Fetching), ("04", Fetching)]);
    let dataset = &overview.datasets[0];
    assert_eq!((dataset.words.as_str(), dataset.shards_planned), ("waiting for 3 jobs", Some(9)));
    assert_eq!((overview.state.running, overview.state.words.as_str()), (true, "fetching"));
    let run = overview.run.unwrap();
    assert_eq!(
        (run.user.as_deref(), run.host.as_deref(), run.pid),
        (Some("ana"), Some("box"), Some(12))
    );
}

#[test]
fn a_run_that_has_ended_is_not_going_on_although_another_command_holds_the_lock() {
    let mut ledger = ledger();
    assert_eq!(RunningJob::new(&ledger).map(|job| job.run), Some(7));
    ledger.runs[0].ended = Some("2024-01-20T00:00:02Z".into());
    assert_eq!(RunningJob::new(&ledger), None);
}

#[test]
fn the_cost_of_a_shard_counts_in_its_first_day() {
    let overview = Overview::new(&job(), &ledger(), None, false);
    let days: Vec<_> = overview.datasets[0].days[..3]
        .iter()
        .map(|day| (day.requests, day.retries, day.duration_s, day.open_rows, day.shards))
        .collect();
    let second = (Some(9), Some(2), Some(3.0), 2, 2);
    assert_eq!(days, [(None, None, None, 0, 1), second, (None, None, None, 0, 1)]);
}

#[test]
fn what_needs_a_person_comes_with_advice() {
    let mut ledger = ledger();
    let summary = r#"{"error": "no token", "rows_written": 7, "elapsed_s": 1.5}"#;
    ledger.runs[0] = RunRecord {
        ended: Some("2024-01-20T00:00:02Z".into()),
        outcome: Some("credentials".into()),
        summary: Some(summary.into()),
        ..run()
    };
    let overview = Overview::new(&job(), &ledger, None, true);
    let causes: Vec<_> = overview.problems.iter().map(|problem| problem.cause.as_str()).collect();
    assert_eq!(causes, ["credentials", "failed", "open"]);
    assert_eq!(overview.problems[1].correlation, "c-1");
    assert!(overview.problems.iter().all(|problem| !problem.advice.is_empty()));
    assert_eq!((overview.state.running, overview.state.words.as_str()), (false, "credentials"));
    let [run] = &overview.runs[..] else { panic!("{:?}", overview.runs) };
    assert_eq!(
        (run.rows, run.duration_s, run.info.error.as_deref()),
        (7, Some(1.5), Some("no token"))
    );
}

#[test]
fn a_dataset_is_denied_until_a_run_has_read_it() {
    use DayState::{Committed, Denied, Failed};
    let mut ledger = ledger();
    let reason = "the server answered 403; grant the permission p";
    let denied = DatasetMetricsSnapshot { denied: Some(reason.into()), ..<_>::default() };
    let datasets = BTreeMap::from([("conversations".to_owned(), denied)]);
    let metrics = MetricsSnapshot { datasets, ..<_>::default() };
    let running = RunRecord { state: Some(serde_json::to_string(&metrics).unwrap()), ..run() };
    let summary = serde_json::json!({
        "error": format!("conversations: {reason}"),
        "datasets": [{ "dataset": "conversations", "denied": reason }, { "dataset": "queues" }],
    });
    let ended = RunRecord {
        ended: Some("2024-01-20T00:00:02Z".into()),
        outcome: Some("credentials".into()),
        summary: Some(summary.to_string()),
        ..run()
    };
    for run in [running, ended] {
        ledger.runs = vec![run];
        let overview = Overview::new(&job(), &ledger, None, false);
        let expected = [
            ("01", Committed),
            ("02", Committed),
            ("03", Denied),
            ("04", Failed),
            ("05", Denied),
            ("06", Denied),
        ];
        assert_eq!(states(&overview), expected);
        assert_eq!(overview.datasets[0].state, Denied);
        let problems = &overview.problems;
        let causes: Vec<_> = problems.iter().map(|problem| problem.cause.as_str()).collect();
        assert_eq!(causes, ["denied", "failed", "open"], "the end of the run is not told twice");
        assert_eq!(problems[0].reason, reason);
    }
    // runs that learn nothing about the dataset
    let other = r#"{"datasets": [{ "dataset": "queues", "shards_committed": 3 },
        { "dataset": "conversations", "shards_committed": 0, "shards_failed": 0 }]}"#;
    for summary in ["{}", other, r#"{"error": "no token", "datasets": []}"#] {
        let outcome = Some("gaps".into());
        ledger.runs.push(RunRecord { outcome, summary: Some(summary.into()), ..run() });
    }
    ledger.runs.push(run());
    let overview = Overview::new(&job(), &ledger, None, true);
    assert_eq!((states(&overview)[4], overview.datasets[0].state), (("05", Denied), Denied));
    // runs that read it
    let read = r#"{"datasets": [{ "dataset": "conversations", "shards_committed": 1 }]}"#;
    let failed = read.replace("committed", "failed");
    let in_state = DatasetMetricsSnapshot { shards_done: 1, ..<_>::default() };
    let datasets = BTreeMap::from([("conversations".to_owned(), in_state)]);
    let state = serde_json::to_string(&MetricsSnapshot { datasets, ..<_>::default() }).unwrap();
    for read in [
        RunRecord { summary: Some(read.into()), ..run() },
        RunRecord { summary: Some(failed), ..run() },
        RunRecord { state: Some(state), ..run() },
    ] {
        ledger.runs.push(read);
        let overview = Overview::new(&job(), &ledger, None, true);
        assert_eq!(states(&overview)[4], ("05", DayState::Waiting));
        ledger.runs.pop();
    }
}

#[test]
fn the_end_of_a_run_is_told_once_if_an_earlier_run_was_denied_another_dataset() {
    let mut ledger = ledger();
    let denied = |dataset: &str| {
        let summary = serde_json::json!({
            "error": format!("{dataset}: 403"),
            "datasets": [{ "dataset": dataset, "denied": "403" }],
        });
        let ended = Some("2024-01-20T00:00:02Z".into());
        RunRecord { ended, summary: Some(summary.to_string()), ..run() }
    };
    ledger.datasets.insert("queues".to_owned(), DatasetRecords::default());
    ledger.runs = vec![denied("conversations"), denied("queues")];
    let overview = Overview::new(&job(), &ledger, None, false);
    let causes: Vec<_> = overview.problems.iter().map(|problem| problem.cause.as_str()).collect();
    assert_eq!(causes, ["denied", "denied", "failed", "open"]);
}

#[test]
fn a_denied_dataset_is_no_part_of_the_progress_after_a_run() {
    let mut ledger = ledger();
    let shards = vec![shard(hours(0, 24), &[])];
    ledger
        .datasets
        .insert("queues".to_owned(), DatasetRecords { shards, ..DatasetRecords::default() });
    let share = |ledger: &Snapshot| Overview::new(&job(), ledger, None, false).progress.share;
    assert_eq!(share(&ledger), 78.0 / 264.0);
    let summary = r#"{"datasets": [{ "dataset": "conversations", "denied": "403" }]}"#;
    ledger.runs = vec![RunRecord { summary: Some(summary.into()), ..run() }];
    assert_eq!(share(&ledger), 1.0, "all of the other dataset is committed");
}

#[test]
fn sums_are_by_day_and_by_hour_of_the_week() {
    let mut ledger = ledger();
    // 1 January 2024 was a Monday
    let hour = |hour, media: &str, rows| HourRecord {
        hour_ms: hours(hour, hour + 1).from_ms(),
        media: media.to_owned(),
        rows,
        rows_handled: rows - 1,
        handle_ms: 1_500,
    };
    let records =
        vec![hour(3, "chat", 2), hour(3, "voice", 4), hour(9, "voice", 5), hour(171, "voice", 7)];
    ledger.sums.insert("conversations".to_owned(), records);
    let overview = Overview::new(&job(), &ledger, None, false);
    let [sums] = &overview.sums[..] else { panic!("{:?}", overview.sums) };
    let days: Vec<_> = sums
        .days
        .iter()
        .map(|day| (&day.date[8..], day.sum.media.as_str(), day.sum.rows))
        .collect();
    assert_eq!(days, [("01", "chat", 2), ("01", "voice", 9), ("08", "voice", 7)]);
    let hours: Vec<_> = sums
        .hours
        .iter()
        .map(|HourSum { weekday, hour, sum }| {
            (*weekday, *hour, sum.media.as_str(), sum.rows, sum.handle_s)
        })
        .collect();
    let expected = [(0, 3, "chat", 2, 1.5), (0, 3, "voice", 11, 3.0), (0, 9, "voice", 5, 1.5)];
    assert_eq!(hours, expected);
}

#[test]
fn the_json_has_the_field_names_of_the_contract() {
    let json = serde_json::to_value(Overview::new(&job(), &ledger(), None, false)).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "complete",
        "datasets",
        "generated",
        "interval",
        "limits",
        "name",
        "new_fields",
        "pauses",
        "platform",
        "problems",
        "progress",
        "region",
        "run",
        "runs",
        "samples",
        "source",
        "state",
        "sums",
        "tokens",
        "totals",
        "version",
    ];
    assert_eq!(keys, expected);
    assert_eq!(json["datasets"][0]["days"][0]["state"], "committed");
}
