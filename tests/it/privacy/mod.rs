//! `[privacy]`: no personal data in anything that is written. What is personal is decided by
//! `tests/privacy.py`, by the names that the platforms document.

mod changed_policy;
mod scan;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::common::{
    binary::{Job, Sandbox, program, set},
    reader::python,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-02T00:00:00Z";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/privacy.py");
const KEY: &str = "privacy.key=0123456789abcdef0123456789abcdef";
const SET: &str = "privacy.set=platform";

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// The distinct values of a column.
fn column(python: &Path, folder: &Path, path: &str) -> Vec<String> {
    let output =
        Command::new(python).args([SCRIPT, "column"]).arg(folder).arg(path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn new_fields_are_reported_and_not_kept_unless_the_section_says_so() {
    let sandbox = Sandbox::start(&["sandbox.drift=true", "sandbox.conversations_per_day=40"]);
    let run = |settings: &[&str]| {
        let job = Job::new(&sandbox);
        let output = job.command(FROM, TO, settings).env("RUST_LOG", "warn").output().unwrap();
        let status = job.command_of(&["status"], FROM, TO, settings).output().unwrap();
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(status.contains("no column for summary: "), "{status}");
        let columns = ["export", "--format", "csv", "--columns", "_extra"];
        let extra = job.command_of(&columns, FROM, TO, settings).output().unwrap();
        (said(&output), String::from_utf8_lossy(&extra.stdout).into_owned())
    };
    let (log, extra) = run(&[SET, KEY]);
    assert!(log.contains("new field, not kept because of privacy.new_fields"), "{log}");
    assert!(!extra.contains("summary") && extra.contains("segmentEnd"), "{extra}");
    let (log, extra) = run(&[SET, KEY, "privacy.new_fields=keep"]);
    assert!(log.contains("new field, kept in _extra"), "{log}");
    assert!(extra.contains("summary"), "{extra}");
}

#[test]
fn without_the_section_an_output_says_nothing_of_it() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let day = fs::read_dir(job.rows()).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    for file in [file, job.folder("_ledger.sqlite")] {
        let bytes = fs::read(&file).unwrap();
        let says = bytes.windows(8).any(|bytes| bytes == b"privacy.");
        assert!(!bytes.is_empty() && !says, "{}", file.display());
    }
}

#[test]
fn a_caller_has_the_same_hash_in_every_run_with_the_same_key_only() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=40"]);
    let column = |settings: &[&str]| {
        let job = Job::new(&sandbox);
        job.run(FROM, TO, settings);
        column(python, &job.rows(), "participants.sessions.ani")
    };
    let plain = column(&[]);
    let first = column(&[SET, KEY]);
    assert_eq!(first, column(&[SET, KEY]));
    let other = column(&[SET, "privacy.key=another key of enough bytes"]);
    assert_eq!((first.len(), other.len()), (plain.len(), plain.len()), "one hash for one caller");
    assert!(first.iter().all(|hash| hash.len() == 64 && !other.contains(hash)));
}

#[test]
fn a_mistake_in_privacy_is_named_with_its_column() {
    let folder = TempDir::new().unwrap();
    let columns =
        |path: &str, action: &str| format!("privacy.columns.conversations={{'{path}'='{action}'}}");
    let key = "privacy.key={env=\"NO_SUCH_VARIABLE_OF_PRIVACY\"}";
    for (settings, expected) in [
        (vec![SET.to_owned()], "privacy.key: missing: the key of the hashes"),
        (vec![KEY.to_owned()], "privacy.set: missing: write `set = \"platform\"`"),
        (vec![SET.to_owned(), key.to_owned()], "NO_SUCH_VARIABLE_OF_PRIVACY is not set"),
        (vec![SET.to_owned(), "privacy.key=short".to_owned()], "the key has 5 bytes"),
        (
            vec![KEY.to_owned(), columns("conversationId", "hash")],
            "`conversationId`: the column cannot be hidden, because it identifies rows",
        ),
        (
            vec![KEY.to_owned(), columns("conversationStart", "drop")],
            "`conversationStart`: the column cannot be hidden, because it is the time of rows",
        ),
        (
            vec![KEY.to_owned(), columns("participants[].sessions[].anii", "hash")],
            "there is no column `anii`; did you mean `ani`?",
        ),
        (
            vec![KEY.to_owned(), columns("participants[].sessions[].mediaCount", "hash")],
            "only texts, lists of texts and maps can be hidden by `hash`",
        ),
        (
            vec![KEY.to_owned(), columns("externalTag", "mask")],
            "unknown action `mask`: expected keep, drop, hash, or mask(4)",
        ),
        (
            vec![KEY.to_owned(), "privacy.columns.conversatons={}".to_owned()],
            "there is no dataset `conversatons`; did you mean `conversations`?",
        ),
    ] {
        let mut command = program(folder.path(), &["plan"]);
        set(&mut command, &["source.region=sandbox", "job.from=2024-01-01", "job.to=2024-01-02"]);
        let output = set(&mut command, &settings).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{settings:?}: {said}");
        assert!(said.contains(expected), "{settings:?}: {said}");
        assert!(!said.contains("0123456789abcdef"), "{said}");
    }
}

#[test]
fn a_rule_for_a_column_that_is_not_fetched_is_no_mistake() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let readme = include_str!("../../../README.md").split("## Personal data").nth(1).unwrap();
    let example = readme.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    for attributes in ["fetch.attributes=false", "fetch.attributes=true"] {
        let job = Job::new(&sandbox);
        fs::create_dir_all(job.folder("")).unwrap();
        let file = TempDir::new().unwrap();
        let file = file.path().join("job.toml");
        fs::write(&file, example).unwrap();
        let arguments = ["run", "--config", file.to_str().unwrap()];
        let mut command = job.command_of(&arguments, FROM, TO, &[attributes]);
        let output = command.env("CX_PRIVACY_KEY", "0123456789abcdef").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{attributes}: {}", said(&output));
    }
}

#[test]
fn a_computed_column_of_a_table_has_what_the_policy_leaves_of_its_path() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=40"]);
    let rules = "privacy.columns.conversations={\
                 'participants[].sessions[].mediaType'='drop',\
                 'participants[].sessions[].segments[].queueId'='hash',\
                 'participants[].userId'='mask(4)'}";
    let exported = |table: &str, columns: &str, settings: &[&str]| {
        let job = Job::new(&sandbox);
        let settings = [settings, &["output.layout=both"]].concat();
        job.run(FROM, TO, &settings);
        let arguments = ["export", "--format", "csv", "--table", table, "--columns", columns];
        let output = job.command_of(&arguments, FROM, TO, &settings).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect());
        lines.collect::<Vec<Vec<String>>>()
    };
    let is_hash = |text: &str| text.is_empty() || text.len() == 64;
    let is_masked =
        |text: &str| text.is_empty() || text.starts_with("********") && text.len() == 36;
    for (table, columns) in [
        ("conversations", "firstMediaType,firstQueueId,lastUserId"),
        ("metrics", "mediaType,queueId,userId"),
        ("segments", "mediaType,queueId,userId"),
    ] {
        for row in exported(table, columns, &[KEY, rules]) {
            let is_hidden = row[0].is_empty() && is_hash(&row[1]) && is_masked(&row[2]);
            assert!(is_hidden, "{table}: {row:?}");
        }
        let shown = exported(table, columns, &[]);
        for column in 0..3 {
            assert!(shown.iter().any(|row| !row[column].is_empty()), "{table}: {column}");
        }
        let has_plain = |row: &Vec<String>| row[1].len() == 36 && row[2].len() == 36;
        assert!(shown.iter().any(has_plain), "{table}");
    }
}

#[test]
fn a_key_is_the_same_wherever_it_is_read_from() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[SET, KEY]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
    let file = file.to_str().unwrap();
    for source in [
        "{env=\"CX_PRIVACY_KEY\"}".to_owned(),
        format!("{{file={file:?}}}"),
        format!("{{command=[\"cat\", {file:?}]}}"),
    ] {
        let mut command = job.command(FROM, TO, &[SET, &format!("privacy.key={source}")]);
        let key = "0123456789abcdef0123456789abcdef";
        let output = command.env("CX_PRIVACY_KEY", key).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{source}: {}", said(&output));
        assert_eq!(crate::common::binary::summary(&output)["requests"], 0, "{source}");
        assert!(!said(&output).contains(key), "{source}: {}", said(&output));
    }
}
