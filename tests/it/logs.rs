//! What goes to standard error: how much, in which form, and that it tells the whole of a request.

use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::binary::{Job, Sandbox, program, set};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-03T00:00:00Z";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A run with more arguments.
fn run(job: &Job, arguments: &[&str], settings: &[&str]) -> Output {
    let mut command = job.command(FROM, TO, settings);
    command.env_remove("RUST_LOG").args(arguments).output().unwrap()
}

/// The lines of standard error, all of which must be JSON with what every line has.
fn json_lines(output: &Output) -> Vec<Value> {
    let said = text(&output.stderr);
    let parse = |line: &str| -> Value {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "{line} has no {key}");
        }
        line
    };
    said.lines().map(parse).collect()
}

/// The lines of the request of which one attempt had this correlation id.
fn lines_of_request<'l>(lines: &'l [Value], correlation_id: &Value) -> Vec<&'l Value> {
    let of_attempt = lines.iter().find(|line| line["correlation_id"] == *correlation_id);
    let request = &of_attempt.unwrap()["request"];
    lines.iter().filter(|line| line["request"] == *request).collect()
}

/// The attempts and their statuses, as the platform answered them.
fn answers(lines: &[&Value]) -> Vec<(u64, u64)> {
    let answered = lines.iter().filter(|line| line["message"] == "answered");
    let number = |value: &Value| value.as_u64().unwrap();
    answered.map(|line| (number(&line["attempt"]), number(&line["status"]))).collect()
}

#[test]
fn a_correlation_id_leads_to_every_attempt_the_renewal_of_the_token_and_the_outcome() {
    let sandbox = Sandbox::start(&[
        "sandbox.fail_every=5",
        "sandbox.throttle_every=7",
        "sandbox.revoke_every=300ms",
        "sandbox.latency.base=20ms",
    ]);
    let job = Job::new(&sandbox);
    let arguments = ["-v", "--log-format", "json"];
    let ended = run(&job, &arguments, &["retry.attempts=20", "fetch.strategy=query"]);
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    let lines = json_lines(&ended);
    for status in [500, 429, 401] {
        let failed = lines.iter().find(|line| line["status"] == status);
        let failed = failed.unwrap_or_else(|| panic!("no request was answered {status}"));
        assert_eq!(failed["dataset"], "conversations");
        assert!(failed["shard"].as_str().unwrap().starts_with("2024-01-0"), "{failed}");
        let story = lines_of_request(&lines, &failed["correlation_id"]);
        let answers = answers(&story);
        let numbers = answers.iter().map(|(attempt, _)| *attempt);
        assert!(numbers.eq(1..=answers.len() as u64), "no attempt is missing: {answers:?}");
        assert_eq!(answers.last().unwrap().1, 200, "{answers:?}");
        let decisions = story.iter().filter(|line| line["message"] == "the attempt failed");
        let ids: Vec<_> = decisions.map(|line| &line["correlation_id"]).collect();
        assert!(ids.iter().all(|id| id.is_string()), "{story:#?}");
        assert_eq!(ids.len(), answers.len() - 1);
        let outcome = story.last().unwrap();
        assert_eq!(outcome["message"], "the request ended");
        assert_eq!(
            (&outcome["outcome"], &outcome["attempts"]),
            (&json!("succeeded"), &json!(answers.len()))
        );
        if status == 401 {
            let renewed = "took a token that was just requested";
            assert!(story.iter().any(|line| line["message"] == renewed), "{story:#?}");
        }
    }
    assert!(lines.iter().any(|line| line["message"] == "renewed the token"));
    assert!(lines.iter().any(|line| line["message"] == "committed" && line["rows"] == 200));
}

#[test]
fn a_line_of_a_named_source_names_it() {
    let folder = TempDir::new().unwrap();
    let job = "[job]\nfrom = '2024-01-01T00:00:00Z'\nto = '2024-01-02T00:00:00Z'\n\
               datasets = ['skills']\n[[source]]\nname = 'emea'\nregion = 'sandbox'\n";
    std::fs::write(folder.path().join("config.toml"), job).unwrap();
    let mut command = program(folder.path(), &["run", "--log-format", "json"]);
    let ended = command.env_remove("RUST_LOG").output().unwrap();
    let lines = json_lines(&ended);
    assert!(lines.iter().any(|line| line["message"] == "start"), "{lines:#?}");
    assert!(lines.iter().all(|line| line["source"] == "emea"), "{lines:#?}");
}

#[test]
fn the_error_that_ends_a_command_is_a_line_of_json_too() {
    let folder = TempDir::new().unwrap();
    let arguments = ["status", "--log-format", "json", "--config", "lost.toml"];
    let ended = program(folder.path(), &arguments).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let lines = json_lines(&ended);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!(lines[0]["level"], "ERROR");
    assert!(lines[0]["message"].as_str().unwrap().starts_with("lost.toml: cannot be read"));
}

#[test]
fn quiet_logs_errors_only() {
    let sandbox = Sandbox::start(&["sandbox.throttle_every=5"]);
    let job = Job::new(&sandbox);
    let ended = run(&job, &["-q"], &["fetch.strategy=query"]);
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), String::new()));
    let (from, to) = ("2124-01-01", "2124-02-01");
    let mut future = job.command(from, to, &["output.path=future"]);
    let future = future.env_remove("RUST_LOG").arg("-q").output().unwrap();
    assert_eq!((future.status.code(), text(&future.stderr)), (Some(0), String::new()), "a note");
    let refused = run(&job, &["-q"], &["auth.grant=static"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.starts_with("error: config.toml: auth.token: missing"), "{said}");
}

#[test]
fn each_v_logs_more_and_they_count_more_than_rust_log() {
    let sandbox = Sandbox::start(&[]);
    let lines = |arguments: &[&str], rust_log: &str| {
        let job = Job::new(&sandbox);
        let mut command = job.command(FROM, TO, &[]);
        let ended = command.args(arguments).env("RUST_LOG", rust_log).output().unwrap();
        assert_eq!(ended.status.code(), Some(0));
        text(&ended.stderr).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&[], "off"), [""; 0]);
    let usual = lines(&[], "warn,cxbackfill=info");
    let verbose = lines(&["-v"], "off");
    let libraries = lines(&["-vv"], "off");
    assert!(usual.iter().all(|line| !line.contains("DEBUG")), "{usual:#?}");
    assert!(verbose.iter().any(|line| line.contains("committed")), "{verbose:#?}");
    assert!(verbose.len() > usual.len() && libraries.len() > verbose.len());
    assert!(verbose.iter().all(|line| !line.contains('\u{1b}')), "no colours in a pipe");
}

#[test]
fn colours_are_those_that_the_environment_asks_for() {
    let sandbox = Sandbox::start(&[]);
    let has_colours = |variable: &str, value: &str| {
        let job = Job::new(&sandbox);
        let mut command = job.command(FROM, TO, &[]);
        let ended = command.env_remove("RUST_LOG").env(variable, value).output().unwrap();
        text(&ended.stderr).contains('\u{1b}')
    };
    assert!(has_colours("CLICOLOR_FORCE", "1"), "into a pipe");
    assert!(!has_colours("CLICOLOR_FORCE", "0"));
    assert!(!has_colours("NO_COLOR", "1"));
}

#[test]
fn the_help_documents_rust_log() {
    let folder = TempDir::new().unwrap();
    let help = program(folder.path(), &["--help"]).output().unwrap();
    let said = text(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("RUST_LOG selects log lines instead of -q and -v"), "{said}");
    let mut wrong = program(folder.path(), &["status", "-q", "-v"]);
    assert_eq!(set::<&str>(&mut wrong, &[]).output().unwrap().status.code(), Some(2));
}
