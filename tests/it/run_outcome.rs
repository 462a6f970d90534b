//! How a run says what happened: the JSON summary on every exit code, gaps, and interrupts.

use std::{
    process::{Child, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use cxbackfill::testing::{Failure, LEDGER, Ledger};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::binary::{Job, SIMULATED, Sandbox, program, set, summary};

const FROM: &str = "2024-01-01T00:00:00Z";
const MIDDLE: &str = "2024-01-02T00:00:00Z";
const TO: &str = "2024-01-03T00:00:00Z";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(job: &Job, settings: &[&str]) -> (Option<i32>, Value) {
    let output = job.command(FROM, TO, settings).output().unwrap();
    (output.status.code(), summary(&output))
}

/// A job whose first day is committed and whose second day has failed.
fn job_with_failed_day(sandbox: &Sandbox) -> Job<'_> {
    let job = Job::new(sandbox);
    job.run(FROM, MIDDLE, &[]);
    let failure = Failure {
        dataset: "conversations".into(),
        interval: format!("{MIDDLE}/{TO}").parse().unwrap(),
        reason: "the platform answers 500".into(),
        correlation: String::new(),
    };
    Ledger::open(&job.folder(LEDGER)).unwrap().fail(&failure).unwrap();
    job
}

/// The exit code of `status`, and what it prints.
fn status(job: &Job) -> (Option<i32>, String) {
    let status = job.command_of(&["status"], FROM, TO, &[]).output().unwrap();
    (status.status.code(), text(&status.stdout))
}

/// Accepts a gap that begins with the second day.
fn accept(job: &Job, dataset: &str, to: &str) -> Output {
    let arguments =
        ["accept", "--dataset", dataset, "--from", MIDDLE, "--to", to, "--reason", "purged"];
    job.command_of(&arguments, FROM, TO, &[]).output().unwrap()
}

/// Checks that a run finds nothing to do. Returns its summary.
fn run_without_requests(job: &Job) -> Value {
    let (code, summary) = run(job, &[]);
    assert_eq!((code, &summary["requests"]), (Some(0), &json!(0)), "{summary}");
    summary
}

#[test]
fn the_json_summary_names_outcome_interval_datasets_and_times() {
    let sandbox = Sandbox::start(&[]);
    let (code, summary) = run(&Job::new(&sandbox), &[]);
    assert_eq!(
        (code, &summary["outcome"], &summary["error"]),
        (Some(0), &json!("complete"), &Value::Null)
    );
    let interval = json!({"from": "2024-01-01T00:00:00.000Z", "to": "2024-01-03T00:00:00.000Z"});
    assert_eq!((&summary["interval"], &summary["gaps"]), (&interval, &json!([])));
    let dataset = &summary["datasets"][0];
    assert_eq!(
        (&dataset["dataset"], &dataset["rows_written"]),
        (&json!("conversations"), &json!(400))
    );
    let time = |key: &str| summary[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(time("started") < time("ended"));
}

#[test]
fn the_json_summary_is_printed_where_the_credentials_are_wrong_or_the_configuration_is() {
    let sandbox = Sandbox::start(&["sandbox.client_secret=right"]);
    let job = Job::new(&sandbox);
    let (code, denied) = run(&job, &["auth.client_secret=wrong"]);
    assert_eq!((code, &denied["outcome"]), (Some(3), &json!("credentials")));
    assert!(denied["error"].as_str().unwrap().contains("invalid_client"), "{denied}");
    assert_eq!(denied["gaps"][0]["kind"], "missing", "{denied}");
    let (code, wrong) = run(&job, &["fetch.actors=0"]);
    assert_eq!((code, &wrong["outcome"]), (Some(2), &json!("usage")));
    assert!(wrong["error"].as_str().unwrap().contains("fetch.actors"), "{wrong}");
}

#[test]
fn an_accepted_gap_stays_visible_and_the_exit_code_is_0() {
    let sandbox = Sandbox::start(&[]);
    let job = job_with_failed_day(&sandbox);
    assert_eq!(status(&job).0, Some(1));
    let nothing = accept(&job, "users", TO);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
    assert!(text(&nothing.stderr).contains("users has no gap within"), "{nothing:?}");
    let backwards = accept(&job, "conversations", FROM);
    assert_eq!(backwards.status.code(), Some(2), "{backwards:?}");
    let accepted = accept(&job, "conversations", TO);
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");

    let (code, said) = status(&job);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the platform answers 500; accepted: purged"), "{said}");
    let summary = run_without_requests(&job);
    assert_eq!(
        (&summary["outcome"], &summary["gaps"][0]["accepted"]),
        (&json!("complete"), &json!("purged"))
    );
}

#[test]
fn an_accepted_interval_that_no_run_has_fetched_is_not_requested_and_the_exit_code_is_0() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    job.run(FROM, MIDDLE, &[]);
    let accepted = accept(&job, "conversations", TO);
    let said = text(&accepted.stdout);
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    assert!(
        said.contains("2024-01-03T00:00:00.000Z: missing: no run has fetched it yet"),
        "{said}"
    );
    let (code, said) = status(&job);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no run has fetched it yet; accepted: purged"), "{said}");
    run_without_requests(&job);
    let again = job.command_of(&["run", "--retry-failed"], FROM, TO, &[]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let (_, said) = status(&job);
    assert!(!said.contains("accepted"), "{said}");
}

#[test]
fn a_run_retries_what_failed_before_and_the_nightly_line_heals() {
    let sandbox = Sandbox::start(&[]);
    let job = job_with_failed_day(&sandbox);
    let (code, summary) = run(&job, &[]);
    assert_eq!((code, &summary["rows_written"]), (Some(0), &json!(200)), "{summary}");
}

#[test]
fn with_a_relative_end_the_status_is_complete_after_a_run() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    job.run("now-1d", "now-1h", &[]);
    let status = job.command_of(&["status", "--json"], "now-1d", "now-1h", &[]).output().unwrap();
    let said = text(&status.stdout);
    assert_eq!(status.status.code(), Some(0), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["complete"], true);
}

#[test]
fn status_and_report_show_a_denied_dataset_with_the_permission_that_is_missing() {
    let folder = TempDir::new().unwrap();
    let command = |arguments: &[&str], denied: &[&str]| {
        let mut command = program(folder.path(), arguments);
        let both = "job.datasets=['audits', 'queues']";
        set(set(set(&mut command, &SIMULATED), &[both]), denied).output().unwrap()
    };
    let ended = command(&["run", "--summary", "json"], &["sandbox.deny=['audits:audit:view']"]);
    let summary = summary(&ended);
    assert_eq!(ended.status.code(), Some(3), "{summary}");
    let needed = "grant the permission audits:audit:view to a role of the client";
    let names_it = |value: &Value| value.as_str().is_some_and(|text| text.contains(needed));
    assert!(names_it(&summary["datasets"][0]["denied"]), "{summary}");
    assert_eq!(summary["datasets"][1]["denied"], Value::Null);
    let status = |arguments: &[&str]| text(&command(arguments, &[]).stdout);
    let said = status(&["status"]);
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("denied: ")).collect();
    assert!(lines.len() == 1 && lines[0].contains(needed), "{said}");
    let json: Value = serde_json::from_str(&status(&["status", "--json"])).unwrap();
    assert!(names_it(&json["datasets"][0]["denied"]), "{json}");
    assert_eq!(json["datasets"][1]["denied"], Value::Null);
    let report = std::fs::read(folder.path().join("out/_report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let state = |number: usize| &report["datasets"][number]["state"];
    assert_eq!((state(0), state(1)), (&json!("denied"), &json!("committed")));
    assert_eq!(report["datasets"][0]["days"][0]["state"], "denied");
    let [problem] = &report["problems"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!((&problem["dataset"], &problem["cause"]), (&json!("audits"), &json!("denied")));
    assert!(names_it(&problem["reason"]), "{problem}");
    // a run that does not request the dataset does not know whether the permission is granted
    assert_eq!(command(&["run", "--retry-failed"], &[]).status.code(), Some(1));
    assert!(status(&["status"]).contains(needed));
    // the permission is granted
    assert_eq!(command(&["run"], &[]).status.code(), Some(0));
    let said = status(&["status"]);
    assert!(!said.contains("denied") && said.ends_with(": complete\n"), "{said}");
}

/// A run against a server that needs long for every page, and is interrupted at `pauses`.
#[cfg(unix)]
fn interrupted(pauses: &[Duration]) -> Output {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let latency = "sandbox.latency={ base = \"4s\", jitter = \"0s\", capacity = 0, steps = [] }";
    let sandbox = Sandbox::start(&[latency]);
    let job = Job::new(&sandbox);
    let mut command = job.command(FROM, TO, &["fetch.strategy=query"]);
    let child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for pause in pauses {
        sleep(*pause);
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    }
    child.wait_with_output().unwrap()
}

#[cfg(unix)]
#[test]
fn two_interrupts_within_a_second_count_as_one() {
    let output = interrupted(&[Duration::from_secs(2), Duration::from_millis(300)]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("committing what is complete") && !said.contains("ending at once"),
        "{said}"
    );
    assert_eq!(summary(&output)["outcome"], "interrupted");
}

#[cfg(unix)]
#[test]
fn the_json_summary_is_printed_on_a_second_interrupt() {
    let output = interrupted(&[Duration::from_secs(2), Duration::from_millis(1_200)]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("`_report.html` is not written, `cxbackfill report` writes it"),
        "{said}"
    );
    let summary = summary(&output);
    assert_eq!(
        (&summary["outcome"], &summary["gaps"][0]["kind"]),
        (&json!("interrupted"), &json!("missing"))
    );
}
