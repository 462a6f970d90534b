//! The real program against a sandbox process: independent readers find in the Parquet files
//! exactly the rows of the truth.

use std::{collections::BTreeSet, process::Stdio, thread::sleep, time::Duration};

use cxbackfill::testing::{LEDGER, Ledger, RemoteJob};
use serde_json::{Value, json};

use crate::common::{
    binary::{Job, Sandbox, has_files, summary},
    reader::expect_equal,
};

/// The three days that the tests fetch.
const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-04T00:00:00Z";

#[test]
fn every_row_equals_the_truth_field_by_field() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let summary = job.run(FROM, TO, &[]);
    let truth = sandbox.truth(FROM, TO);
    assert_eq!(summary["rows_written"], truth.lines().count());
    assert_eq!(summary["files"], 3, "one a day");
    expect_equal(&job.rows(), &truth);
}

#[test]
fn token_expiry_throttling_and_server_errors_change_no_row() {
    let faults =
        ["sandbox.token_lifetime=1s", "sandbox.throttle_every=10", "sandbox.fail_every=20"];
    let sandbox = Sandbox::start(&faults);
    let job = Job::new(&sandbox);
    let summary = job.run(FROM, TO, &["fetch.page_size=15"]);
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
    let stats = sandbox.stats();
    for status in ["429", "500"] {
        assert!(stats["api_requests"][status].as_u64() > Some(1), "{stats}");
    }
    assert!(stats["token_requests"]["200"].as_u64() > Some(2), "{stats}");
    assert_eq!(summary["rate_limited"], stats["api_requests"]["429"]);
}

#[test]
fn a_filter_fetches_exactly_the_rows_that_match() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let predicate = "{ dimension = 'mediaType', value = 'voice' }";
    job.run(
        FROM,
        TO,
        &[&format!(
            "filter.conversations.segmentFilters=[{{ type = 'or', predicates = [{predicate}] }}]"
        )],
    );
    let all = sandbox.truth(FROM, TO);
    let voice: Vec<_> = all.lines().filter(|line| has_voice(line)).collect();
    assert!((1..all.lines().count()).contains(&voice.len()), "some, and not all");
    expect_equal(&job.rows(), &voice.join("\n"));
}

#[test]
fn a_custom_platform_and_dataset_are_fetched_like_built_in_ones() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tickets.toml");
    let genesys = include_str!("../../src/catalog/genesys.toml");
    let tickets = genesys.replace("[dataset.conversations", "[dataset.tickets");
    let tickets =
        tickets.replace("[dataset.tickets.tables.conversations", "[dataset.tickets.tables.tickets");
    std::fs::write(&file, tickets).unwrap();
    let catalog = format!("source.catalog={}", file.display());
    job.run(FROM, TO, &["source.platform=custom", "job.datasets=[\"tickets\"]", &catalog]);
    expect_equal(&job.rows().with_file_name("tickets"), &sandbox.truth(FROM, TO));
}

/// Whether a conversation has a voice session.
fn has_voice(line: &str) -> bool {
    let conversation: Value = serde_json::from_str(line).unwrap();
    let participants = conversation["participants"].as_array().unwrap().iter();
    let mut sessions =
        participants.flat_map(|participant| participant["sessions"].as_array().unwrap());
    sessions.any(|session| session["mediaType"] == "voice")
}

#[test]
fn a_second_run_makes_no_requests() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    assert_eq!(job.run(FROM, TO, &[])["shards_committed"], 3);
    let stats = sandbox.stats();
    let again = job.run(FROM, TO, &[]);
    assert_eq!(sandbox.stats(), stats);
    for number in ["shards_committed", "requests", "token_requests", "files"] {
        assert_eq!(again[number], 0, "{number}");
    }
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
}

#[test]
fn a_wider_interval_fetches_only_what_is_missing() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let (from, to) = ("2024-01-02T00:00:00Z", "2024-01-03T12:00:00Z");
    let by_query = ["fetch.strategy=query"];
    job.run(from, to, &by_query);
    let before = sandbox.stats()["api_requests"]["200"].as_u64();
    let wider = job.run(FROM, TO, &by_query);
    let missing = [sandbox.truth(FROM, from), sandbox.truth(to, TO)].concat();
    assert_eq!(wider["shards_committed"], 2);
    assert_eq!(wider["rows_written"], missing.lines().count());
    assert_eq!(
        sandbox.stats()["api_requests"]["200"].as_u64(),
        before.zip(wider["requests"].as_u64()).map(|(a, b)| a + b)
    );
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
}

#[test]
fn shards_that_do_not_align_with_days_change_no_row() {
    let sandbox = Sandbox::start(&[]);
    for (width, shards) in [("5h", 15), ("36h", 3)] {
        let job = Job::new(&sandbox);
        let summary = job.run(FROM, TO, &[&format!("fetch.shard={width}")]);
        // some are committed in two parts, since a midnight lies in them
        assert!(summary["shards_committed"].as_u64() >= Some(shards), "{summary}");
        expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_with_130_and_a_later_one_completes_it() {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    // slow enough to be interrupted: a shard takes two seconds
    let slow = ["budget.requests=10", "budget.per=1s", "fetch.actors=1", "fetch.shard=6h"];
    let child =
        job.command(FROM, TO, &slow).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..1_500 {
        if has_files(&job.rows()) {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let done = summary(&output)["shards_committed"].as_u64().unwrap();
    assert!((1..12).contains(&done), "{done} of 12 shards before the interrupt");
    assert_eq!(job.run(FROM, TO, &["fetch.shard=6h"])["shards_committed"], 12 - done);
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
}

#[test]
fn g6_no_window_sees_more_requests_than_the_limit() {
    let sandbox = Sandbox::start(&["sandbox.requests=50", "sandbox.per=2s"]);
    let job = Job::new(&sandbox);
    let summary = job.run(
        FROM,
        TO,
        &["budget.requests=50", "budget.per=2s", "fetch.page_size=5", "fetch.strategy=query"],
    );
    let stats = sandbox.stats();
    assert!(stats["most_in_window"].as_u64() <= Some(50), "{stats}");
    assert_eq!(stats["api_requests"], json!({ "200": summary["requests"] }), "none was throttled");
    assert!(summary["requests"].as_u64() > Some(100), "enough for windows to fill: {summary}");
    assert_eq!(summary["rate_limited"], 0);
}

#[test]
fn the_summary_has_exactly_the_documented_keys() {
    let sandbox = Sandbox::start(&[]);
    let summary = Job::new(&sandbox).run(FROM, "2024-01-02T00:00:00Z", &[]);
    let keys: BTreeSet<_> = summary.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = "rows_received rows_written rows_not_owned rows_duplicate rows_quarantined rows_forgotten shards_committed \
        shards_split shards_failed shards_short rows_expected requests requests_expected retries rate_limited \
        token_requests bytes_received bytes_written files elapsed_s cpu_s peak_rss_bytes \
        outcome error interval started ended datasets gaps new_fields";
    assert_eq!(keys, documented.split_whitespace().collect());
}

#[test]
fn g3_killed_thirty_times_and_resumed_every_row_equals_the_truth() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let mut rng = fastrand::Rng::with_seed(11);
    let slow = ["fetch.shard=2h", "fetch.page_size=10", "budget.requests=150", "budget.per=1s"];
    for _ in 0..30 {
        let mut command = job.command(FROM, TO, &slow);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(rng.u64(20..120)));
        run.kill().unwrap();
        run.wait().unwrap();
    }
    job.run(FROM, TO, &[]);
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
}

#[test]
fn verify_remote_names_the_days_with_another_count_on_the_platform() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let same = job.verify(&sandbox, FROM, TO);
    let said = String::from_utf8_lossy(&same.stdout).into_owned();
    assert!(
        same.status.success() && said.ends_with("3 days: 3 as the platform counts them\n"),
        "{said}"
    );

    let other = Sandbox::start(&["sandbox.conversations_per_day=201"]);
    let differs = job.verify(&other, FROM, TO);
    let said = String::from_utf8_lossy(&differs.stdout).into_owned();
    assert_eq!(differs.status.code(), Some(1), "{said}");
    assert!(said.contains("the platform counts 201 rows, but the files hold 200"), "{said}");
}

#[test]
fn retry_failed_ends_with_1_and_names_the_missing_intervals() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    job.run(FROM, "2024-01-03T00:00:00Z", &[]);
    let retried = job.command_of(&["run", "--retry-failed"], FROM, TO, &[]).output().unwrap();
    let said = String::from_utf8_lossy(&retried.stderr).into_owned();
    assert_eq!(retried.status.code(), Some(1), "{said}");
    let missing = "conversations 2024-01-03T00:00:00.000Z/2024-01-04T00:00:00.000Z: missing: no run has fetched it yet";
    assert!(said.contains(missing), "{said}");
}

#[test]
fn an_output_does_not_mix_rows_with_and_without_attributes() {
    let sandbox = Sandbox::start(&[]);
    for (first, then) in [("true", "false"), ("false", "true")] {
        let job = Job::new(&sandbox);
        let run = |attributes, to| {
            let output = job
                .command(FROM, to, &[&format!("fetch.attributes={attributes}")])
                .output()
                .unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (code, said) = run(first, "2024-01-02T00:00:00Z");
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = run(then, "2024-01-03T00:00:00Z");
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&format!("attributes = {first}, and now it is {then}")), "{said}");
    }
}

#[test]
fn the_next_run_deletes_a_job_that_a_killed_run_left_behind() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let day = || job.run(FROM, "2024-01-02T00:00:00Z", &["fetch.strategy=query"]);
    day();
    let path = "/api/v2/analytics/conversations/details/jobs/left".to_owned();
    let ledger = || Ledger::open(&job.folder(LEDGER)).unwrap();
    ledger().job_submitted(&RemoteJob { dataset: "conversations".into(), path }).unwrap();
    assert_eq!(day()["requests"], 1);
    // the job does not exist any more, which counts as deleted
    assert_eq!(
        (&sandbox.stats()["api_requests"]["404"], ledger().remote_jobs().unwrap()),
        (&json!(1), vec![])
    );
    assert_eq!(day()["requests"], 0);
}
