//! Several sources in one configuration: the real program runs them concurrently, each with its own
//! sandbox in the same process.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use cxbackfill::testing::{Region, Settings};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    binary::{has_files, program, set, summary},
    reader::expect_equal,
};

/// Two organisations: the second has its own seed, credential and page size.
const TWO: &str = "
[job]
name = 'two'
from = '2024-01-01T00:00:00Z'
to = '2024-01-03T00:00:00Z'
[budget]
requests = 0
[output]
row_group_rows = 40
[sandbox]
conversations_per_day = 100
requests = 0
[[source]]
name = 'emea'
region = 'sandbox'
[[source]]
name = 'apac'
region = 'sandbox'
[source.fetch]
page_size = 15
[source.sandbox]
seed = 2
client_secret = 'right'
[source.auth]
client_secret = 'right'
";

/// A folder with that configuration.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("config.toml"), TWO).unwrap();
    folder
}

fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = program(folder.path(), arguments);
    command.env("RUST_LOG", "off");
    command
}

/// Runs a command of that configuration, and expects the exit code.
fn ended(folder: &TempDir, arguments: &[&str], code: i32) -> Output {
    let output = command(folder, arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    output
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Every conversation of the organisation with this seed.
fn truth(seed: u64) -> String {
    let settings = Settings { seed, conversations_per_day: 100, ..Settings::default() };
    let interval = 1_704_067_200_000..1_704_240_000_000; // two days from 2024-01-01
    let pieces = Region::new(settings).truth(interval);
    pieces.map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
}

fn rows(folder: &TempDir, source: &str) -> std::path::PathBuf {
    folder.path().join("out").join(source).join("conversations")
}

#[test]
fn the_rows_of_each_source_equal_its_truth_field_by_field() {
    let folder = folder();
    let summary = summary(&ended(&folder, &["run", "--summary", "json"], 0));
    for (source, seed) in [("emea", 1), ("apac", 2)] {
        expect_equal(&rows(&folder, source), &truth(seed));
        assert_eq!(summary["sources"][source]["rows_written"], 200, "{summary}");
    }
    assert_ne!(truth(1), truth(2));
    assert_eq!(summary["rows_written"], 400, "{summary}");
    assert!(
        summary["sources"]["apac"]["requests"].as_u64()
            > summary["sources"]["emea"]["requests"].as_u64()
    );

    let text = said(&ended(&folder, &["status"], 0));
    let heads: Vec<_> =
        text.lines().filter(|line| line.starts_with('[') || line.ends_with(": complete")).collect();
    let complete = "2024-01-01T00:00:00.000Z to 2024-01-03T00:00:00.000Z: complete";
    assert_eq!(heads, ["[emea]", complete, "[apac]", complete], "{text}");
    let status: Value =
        serde_json::from_slice(&ended(&folder, &["status", "--json"], 0).stdout).unwrap();
    assert_eq!(status["complete"], true);
    assert_eq!(status["sources"]["apac"]["datasets"][0]["total"]["rows"], 200);

    let text = said(&ended(&folder, &["verify", "--remote"], 0));
    let heads: Vec<_> =
        text.lines().filter(|line| line.starts_with('[') || line.starts_with("2 days")).collect();
    let counted = "2 days: 2 as the platform counts them";
    assert_eq!(heads, ["[emea]", counted, "[apac]", counted], "{text}");
}

#[test]
fn if_a_source_fails_the_others_still_run() {
    let folder = folder();
    let wrong = ["--set", "source.apac.auth.client_secret=wrong"];
    let output = ended(&folder, &[&["run", "--summary", "json"], &wrong[..]].concat(), 3);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.starts_with("error: apac: no token from ") && message.contains("invalid_client"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
    let summary = summary(&output);
    assert_eq!(
        (&summary["sources"]["apac"]["rows_written"], &summary["rows_written"]),
        (&0.into(), &200.into())
    );
    expect_equal(&rows(&folder, "emea"), &truth(1));

    let status: Value =
        serde_json::from_slice(&ended(&folder, &["status", "--json"], 1).stdout).unwrap();
    let complete = ["emea", "apac"].map(|source| status["sources"][source]["complete"].clone());
    assert_eq!((complete, &status["complete"]), ([true.into(), false.into()], &false.into()));

    // only the other source
    let single = summary_of_one(&folder);
    assert_eq!((&single["rows_written"], &single["sources"]), (&200.into(), &Value::Null));
    expect_equal(&rows(&folder, "apac"), &truth(2));
}

fn summary_of_one(folder: &TempDir) -> Value {
    summary(&ended(folder, &["run", "--source", "apac", "--summary", "json"], 0))
}

#[test]
fn if_a_source_cannot_start_the_others_still_run() {
    let folder = folder();
    ended(&folder, &["run", "--source", "apac"], 0);
    let output = ended(&folder, &["run", "--set", "source.apac.sandbox.seed=3"], 2);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.starts_with("error: apac: ") && message.contains("sandbox.seed"), "{message}");
    assert!(said(&output).starts_with("[emea]\nrows written"), "{}", said(&output));
    expect_equal(&rows(&folder, "emea"), &truth(1));
}

#[test]
fn a_missing_variable_of_one_source_ends_that_source_alone() {
    let secrets = [
        ("{ env = 'CXBACKFILL_NOT_SET' }", "CXBACKFILL_NOT_SET is not set"),
        ("{ file = 'no-such-file' }", "no-such-file cannot be read"),
    ];
    for (secret, message) in secrets {
        let folder = folder();
        let secret = format!("source.apac.auth.client_secret={secret}");
        let ended = |arguments: &[&str], code| {
            let output = ended(&folder, &[arguments, &["--set", &secret]].concat(), code);
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(errors.contains("error: apac: ") && errors.contains(message), "{errors}");
            output
        };
        let summary = summary(&ended(&["run", "--summary", "json"], 2));
        expect_equal(&rows(&folder, "emea"), &truth(1));
        assert_eq!(summary["sources"]["emea"]["rows_written"], 200, "{summary}");
        assert!(summary["sources"]["apac"]["error"].as_str().unwrap().contains(message));
        let plan: Value = serde_json::from_slice(&ended(&["plan", "--json"], 2).stdout).unwrap();
        assert!(plan["sources"]["emea"].is_object(), "{plan}");
        assert!(said(&ended(&["check"], 2)).contains("[emea]\nconfiguration"));
        command(&folder, &["run", "--source", "apac"]).output().unwrap();
        assert!(said(&ended(&["verify", "--remote"], 2)).contains("2 as the platform counts"));
    }
    // a typing error concerns the whole file
    let folder = folder();
    let output = ended(&folder, &["run", "--set", "source.apac.auth.grant=nonsense"], 2);
    assert!(!rows(&folder, "emea").exists(), "{output:?}");
}

#[test]
fn check_checks_each_source() {
    let folder = folder();
    let text =
        said(&ended(&folder, &["check", "--set", "source.emea.sandbox.client_secret=other"], 3));
    let (emea, apac) = text.strip_prefix("[emea]\n").unwrap().split_once("[apac]\n").unwrap();
    assert!(emea.contains("FAIL") && !apac.contains("FAIL"), "{text}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_all_sources() {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let folder = folder();
    let mut slow = command(&folder, &["run"]);
    set(&mut slow, &["budget.requests=5", "budget.per=1s"]);
    set(&mut slow, &["fetch.shard=6h", "fetch.page_size=10", "fetch.actors=1"]);
    let child = slow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = |source: &str| has_files(&rows(&folder, source));
    for _ in 0..1_500 {
        if started("emea") && started("apac") {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    for source in ["emea", "apac"] {
        assert!(
            message.contains(&format!("error: {source}: interrupted; run again to continue")),
            "{message}"
        );
    }
    assert_is_complete_after_another_run(folder.path());
}

fn assert_is_complete_after_another_run(folder: &Path) {
    assert!(program(folder, &["run"]).output().unwrap().status.success());
    for (source, seed) in [("emea", 1), ("apac", 2)] {
        expect_equal(&folder.join("out").join(source).join("conversations"), &truth(seed));
    }
}

#[test]
fn every_log_line_of_a_run_names_its_source_and_shard() {
    let folder = folder();
    let limit = ["run", "--set", "sandbox.requests=5", "--set", "sandbox.per=200ms"];
    let output = command(&folder, &limit).env("RUST_LOG", "cxbackfill=debug").output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("Z ")).collect();
    for line in &lines {
        let spans = ["emea", "apac"].map(|name| format!("run{{source=\"{name}\"}}"));
        assert!(spans.iter().any(|span| line.contains(span)), "{line}");
    }
    let mut of_requests = lines.iter().filter(|line| line.contains("reports its limit")).peekable();
    assert!(of_requests.peek().is_some(), "{log}");
    let shard = "}:shard{dataset=\"conversations\" shard=2024-01-0";
    assert!(of_requests.all(|line| line.contains(shard)), "{log}");
}
