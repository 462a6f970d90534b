//! `views`: the SQL that is printed, run by DuckDB over the files.

use std::{fs, process::Command};

use crate::common::{
    binary::{Job, Sandbox},
    reader::python,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-03T00:00:00Z";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/views.py");

#[test]
fn duckdb_answers_the_questions_of_the_views_as_the_truth_does() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=150"]);
    let job = Job::new(&sandbox);
    let settings = ["fetch.attributes=true", "job.datasets=['conversations', 'queues']"];
    job.run(FROM, TO, &settings);
    let views = ["views", "--dialect", "duckdb"];
    let output = job.command_of(&views, FROM, TO, &settings).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let sql = String::from_utf8(output.stdout).unwrap();
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let truths = [
        ("views.sql", sql.clone()),
        ("conversations", sandbox.truth_of("genesys-cloud", "conversations+attributes", FROM, TO)),
        ("queues", sandbox.truth_of("genesys-cloud", "queues", FROM, TO)),
    ];
    let files = truths.map(|(name, text)| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    });
    let read = Command::new(python).arg(SCRIPT).args(files).output().unwrap();
    let said = String::from_utf8_lossy(&read.stdout);
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let (equal, other): (Vec<_>, Vec<_>) = said.lines().partition(|line| line.ends_with(": equal"));
    assert_eq!((equal.len(), other), (18, Vec::new()));

    // without attributes in the files there is no view of them, without queues none of those
    let fewer = ["job.datasets=['conversations']"];
    let output = job.command_of(&views, FROM, TO, &fewer).output().unwrap();
    let without = String::from_utf8(output.stdout).unwrap();
    assert!(sql.contains("VIEW \"attributes\"") && !without.contains("VIEW \"attributes\""));
    assert!(!sql.contains("current_users"), "no file has users");
}
