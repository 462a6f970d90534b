//! `[privacy]`: no personal data in anything that is written. What is personal is decided by
//! `tests/privacy.py`, by the names that the platforms document.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
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

/// Runs a job with the most detailed log, which becomes a file of its output.
fn run(job: &Job, settings: &[&str]) -> PathBuf {
    let arguments = ["run", "--summary", "json"];
    let mut command = job.command_of(&arguments, FROM, TO, settings);
    let output = command.env("RUST_LOG", "trace").output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));
    let folder = job.folder("");
    fs::write(folder.join("log.txt"), said(&output)).unwrap();
    for format in ["csv", "ndjson"] {
        let mut arguments = vec!["export", "--format", format, "--dataset", "conversations"];
        if format == "csv" {
            arguments.extend(["--columns", "conversationId,participants[0],_extra"]);
        }
        let output = job.command_of(&arguments, FROM, TO, settings).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        fs::write(folder.join(format!("export.{format}")), output.stdout).unwrap();
    }
    folder
}

/// The personal values that are found in the files of a folder, by the kind of file.
fn scan(python: &Path, folder: &Path, truth: &str) -> BTreeMap<String, Vec<String>> {
    let file = TempDir::new().unwrap();
    let file = file.path().join("truth");
    fs::write(&file, truth).unwrap();
    let output =
        Command::new(python).args([SCRIPT, "scan"]).args([folder, &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let found = line["found"].as_array().unwrap().iter();
        let found = found.map(|value| value.as_str().unwrap().to_owned()).collect();
        (line["place"].as_str().unwrap().to_owned(), found)
    };
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

/// The distinct values of a column.
fn column(python: &Path, folder: &Path, path: &str) -> Vec<String> {
    let output =
        Command::new(python).args([SCRIPT, "column"]).arg(folder).arg(path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Fetches datasets of a platform with the set and without, and scans what both have written.
fn expect_nothing_personal(
    platform: &str,
    datasets: &[&str],
    truth_of: &[&str],
    sandbox_settings: &[&str],
    settings: &[&str],
) -> BTreeMap<String, Vec<String>> {
    let Some(python) = python() else { return BTreeMap::new() };
    let sandbox = Sandbox::start(sandbox_settings);
    let truth = |name: &&str| sandbox.truth_of(platform, name, FROM, TO);
    let truth: String = truth_of.iter().map(truth).collect();
    let (platform, datasets) =
        (format!("source.platform={platform}"), format!("job.datasets={datasets:?}"));
    let common = [&[platform.as_str(), datasets.as_str()], settings].concat();
    let hidden = Job::new(&sandbox);
    let found = scan(python, &run(&hidden, &[&common[..], &[SET, KEY]].concat()), &truth);
    for (place, found) in &found {
        assert!(found.is_empty(), "{place}: {found:?}");
    }
    for place in ["parquet", "ledger", ".txt", ".csv", ".ndjson"] {
        assert!(found.contains_key(place), "{place} was scanned: {:?}", found.keys());
    }
    // a behaviour plays once in a sandbox
    let sandbox = Sandbox::start(sandbox_settings);
    let shown = scan(python, &run(&Job::new(&sandbox), &common), &truth);
    assert!(shown.keys().eq(found.keys()), "both have the same kinds of files: {:?}", found.keys());
    shown
}

#[test]
fn with_the_set_nothing_personal_of_genesys_cloud_is_written() {
    let datasets = ["conversations", "users", "audits", "queue-members", "groups", "flows"];
    let truth = ["conversations+attributes", "users", "audits", "groups", "flows"];
    let shown = expect_nothing_personal(
        "genesys-cloud",
        &datasets,
        &truth,
        &["sandbox.conversations_per_day=60"],
        &["fetch.attributes=true"],
    );
    if !shown.is_empty() {
        for place in ["parquet", ".ndjson", ".csv"] {
            assert!(shown[place].len() > 20, "the scan finds what is there: {place}");
        }
    }
}

#[test]
fn with_the_set_no_drifted_or_broken_row_of_genesys_cloud_leaks() {
    let settings = [
        "sandbox.conversations_per_day=60",
        "sandbox.drift=true",
        "sandbox.hostile=[\"personal-rows\"]",
    ];
    let names = ["conversations"];
    let shown = expect_nothing_personal(
        "genesys-cloud",
        &names,
        &names,
        &settings,
        &["fetch.strategy=query"],
    );
    if !shown.is_empty() {
        assert!(!shown["quarantine"].is_empty(), "broken rows have personal data: {shown:?}");
    }
}

#[test]
fn with_the_set_no_error_of_a_server_tells_a_number_or_an_address() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::start(&["sandbox.hostile=[\"personal-errors\"]"]);
    let truth = sandbox.truth(FROM, TO);
    let found = |settings: &[&str]| {
        let job = Job::new(&sandbox);
        let mut command = job.command(FROM, TO, settings);
        let output = command.env("RUST_LOG", "trace").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        fs::write(job.folder("log.txt"), said(&output)).unwrap();
        let status = job.command_of(&["status", "--json"], FROM, TO, settings).output().unwrap();
        fs::write(job.folder("status.json"), said(&status)).unwrap();
        scan(python, &job.folder(""), &truth)
    };
    let hidden = found(&[SET, KEY]);
    assert!(hidden.values().all(Vec::is_empty), "{hidden:?}");
    let shown = found(&[]);
    for place in [".txt", "ledger", ".html", ".json"] {
        assert_eq!(shown[place].len(), 2, "{place}: {shown:?}");
    }
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
fn with_the_set_nothing_personal_of_cxone_is_written() {
    let datasets = [
        "contacts",
        "contact-custom-data",
        "agents",
        "agent-interaction-history",
        "agent-state-history",
    ];
    let Some(python) = python() else { return };
    let settings = ["sandbox.conversations_per_day=60", "sandbox.drift=true"];
    let sandbox = Sandbox::start(&settings);
    let truth = |name: &&str| sandbox.truth_of("nice-cxone", name, FROM, TO);
    let truth: String = datasets.iter().map(truth).collect();
    let names = format!("job.datasets={datasets:?}");
    let found = |settings: &[&str]| {
        let job = Job::new(&sandbox);
        let common = ["source.platform=nice-cxone", names.as_str()];
        job.run(FROM, TO, &[&common, settings].concat());
        scan(python, &job.folder(""), &truth)
    };
    for (place, found) in found(&[SET, KEY]) {
        assert!(found.is_empty(), "{place}: {found:?}");
    }
    assert!(found(&[])["parquet"].len() > 50);
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
fn an_output_is_not_continued_under_another_policy() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let refused = |job: &Job, settings: &[&str]| {
        let output = job.command(FROM, TO, settings).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = "the rows of `conversations` in this output were written with another \
                        [privacy], or another privacy.key, or without";
        assert!(said.contains(expected), "{said}");
    };
    let other_key = "privacy.key=another key of enough bytes";
    let hidden = Job::new(&sandbox);
    hidden.run(FROM, TO, &[SET, KEY]);
    for other in [&[][..], &[SET, other_key], &[SET, KEY, "privacy.new_fields=keep"]] {
        refused(&hidden, other);
    }
    let again = hidden.run(FROM, TO, &[SET, KEY]);
    assert_eq!(again["requests"], 0, "{again}");
    let plain = Job::new(&sandbox);
    plain.run(FROM, TO, &[]);
    refused(&plain, &[SET, KEY]);
    // the footers know it, too
    for (job, settings, other) in [(&hidden, &[SET, KEY][..], &[][..]), (&plain, &[], &[SET, KEY])]
    {
        for file in ["_ledger.sqlite", "_ledger.sqlite-wal", "_ledger.sqlite-shm"] {
            let _ = fs::remove_file(job.folder("").join(file));
        }
        let output = job.command_of(&["rebuild"], FROM, TO, settings).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        refused(job, other);
        let again = job.run(FROM, TO, settings);
        assert_eq!(again["requests"], 0, "{again}");
    }
}

#[test]
fn compact_and_upgrade_and_rebuild_keep_the_policy_of_an_output() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=40"]);
    let job = Job::new(&sandbox);
    let settings = [SET, KEY, "fetch.shard=6h", "fetch.strategy=query"];
    job.run(FROM, TO, &settings);
    let execute = |arguments: &[&str]| {
        let output = job.command_of(arguments, FROM, TO, &settings).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    };
    let without_ledger = || {
        for file in ["_ledger.sqlite", "_ledger.sqlite-wal", "_ledger.sqlite-shm"] {
            let _ = fs::remove_file(job.folder("").join(file));
        }
    };
    for command in ["compact", "upgrade", "verify"] {
        execute(&[command]);
    }
    without_ledger();
    execute(&["rebuild"]);
    let again = job.run(FROM, TO, &settings);
    assert_eq!(again["requests"], 0, "{again}");
    let output = job.command(FROM, TO, &settings[2..]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "another policy: {}", said(&output));
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
    let readme = include_str!("../../README.md").split("## Personal data").nth(1).unwrap();
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
