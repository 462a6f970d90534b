//! One day again: `drop` forgets it, and `run --again` replaces it.

use std::{collections::BTreeMap, fs, path::Path, process::Output};

use cxbackfill::testing::LEDGER;
use rusqlite::Connection;

use crate::common::{
    binary::{Job, Sandbox, summary},
    reader::expect_equal,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-05T00:00:00Z";

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// Runs a command of the job, which must end with this code, and returns what it printed.
#[track_caller]
fn execute(job: &Job, arguments: &[&str], code: i32) -> String {
    let output = job.command_of(arguments, FROM, TO, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// The files of each day, and what they hold.
fn days(job: &Job) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut days = BTreeMap::new();
    for day in fs::read_dir(job.rows()).unwrap().map(Result::unwrap) {
        let files = fs::read_dir(day.path()).unwrap().map(|file| file.unwrap().path());
        let files: Vec<_> = files.map(|file| fs::read(file).unwrap()).collect();
        if !files.is_empty() {
            days.insert(day.file_name().into_string().unwrap(), files);
        }
    }
    days
}

/// The commits of the ledger by the start of their intervals.
fn commits(job: &Job) -> BTreeMap<i64, String> {
    let ledger = Connection::open(job.folder(LEDGER)).unwrap();
    let mut query = ledger.prepare("SELECT from_ms, commit_id FROM shard").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn without_ledger(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(path.join(format!("{LEDGER}{suffix}")));
    }
}

#[test]
fn a_dropped_day_is_gone_from_files_and_ledger_and_the_next_run_fetches_it() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let before = days(&job);
    let drop = ["drop", "--from", "2024-01-02", "--to", "2024-01-03"];
    let refused = execute(&job, &drop, 2);
    assert!(refused.contains("conversations: 1 files, "), "{refused}");
    assert!(refused.contains("--yes: without a terminal nobody can be asked"), "{refused}");
    assert_eq!(days(&job), before, "nothing is dropped without --yes");

    let dropped = execute(&job, &[&drop[..], &["--yes"]].concat(), 0);
    assert!(dropped.contains("dropped 2024-01-02T00:00:00.000Z/2024-01-03"), "{dropped}");
    let mut rest = before.clone();
    rest.remove("date=2024-01-02").unwrap();
    assert_eq!(days(&job), rest, "the other days are untouched");
    let status = execute(&job, &["status", "--json"], 1);
    let missing = r#""missing":[{"from":"2024-01-02T00:00:00.000Z","to":"2024-01-03"#;
    assert!(status.contains(missing), "{status}");
    let verified = execute(&job, &["verify"], 0);
    assert!(verified.contains("3 files"), "{verified}");
    without_ledger(&job.folder(""));
    execute(&job, &["rebuild"], 0);
    assert_eq!(execute(&job, &["status", "--json"], 1), status);

    let nothing = execute(&job, &[&drop[..], &["--yes"]].concat(), 0);
    assert!(nothing.starts_with("nothing is recorded of 2024-01-02"), "{nothing}");
    job.run(FROM, TO, &[]);
    assert_eq!(days(&job).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
}

#[test]
fn a_drop_that_would_cut_a_committed_day_is_refused_with_the_bounds_that_fit() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let before = days(&job);
    let drop = |from: &str, to: &str, more: &[&str]| {
        execute(&job, &[&["drop", "--yes", "--from", from, "--to", to], more].concat(), 2)
    };
    let noon = "2024-01-02T12:00:00Z";
    let message = drop(noon, "2024-01-04", &[]);
    let expected = "--from: it would cut the interval 2024-01-02T00:00:00.000Z/\
                    2024-01-03T00:00:00.000Z of conversations, which is committed as one: write \
                    2024-01-02T00:00:00.000Z or 2024-01-03T00:00:00.000Z";
    assert!(message.contains(expected), "{message}");
    assert!(drop("2024-01-01", noon, &[]).contains("--to: it would cut the interval"));
    assert!(drop("2024-01-02", "2024-01-02", &[]).contains("--from: "));
    let message = drop("2024-01-02", "2024-01-03", &["--dataset", "calls"]);
    assert!(message.contains("the output has no dataset `calls`: it has conversations"));
    assert_eq!(days(&job), before);
}

#[test]
fn a_day_that_was_fetched_again_does_not_end_the_job_for_the_status() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    let command = |arguments: &[&str]| {
        let output = job.command_of(arguments, "today-4d", "today", &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    command(&["run"]);
    let status = command(&["status", "--json"]);
    command(&["run", "--again", "today-3d"]);
    assert_eq!(command(&["status", "--json"]), status);
}

#[test]
fn run_again_replaces_the_named_day_alone() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let job = Job::new(&sandbox);
    job.run(FROM, "2024-01-04T00:00:00Z", &[]);
    let before = commits(&job);
    let again = |day: &str| {
        let arguments = ["run", "--summary", "json", "--again", day];
        let output = job.command_of(&arguments, FROM, TO, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        summary(&output)
    };
    let replaced = again("2024-01-02");
    assert_eq!(replaced["interval"]["from"], "2024-01-02T00:00:00.000Z");
    assert_eq!(replaced["interval"]["to"], "2024-01-03T00:00:00.000Z");
    let after = commits(&job);
    let changed: Vec<_> = after.iter().filter(|(day, id)| before[day] != **id).collect();
    assert_eq!((after.len(), changed.len()), (3, 1), "{before:?} {after:?}");
    // the fourth day is missing in the job, and is not what was asked for
    assert!(execute(&job, &["status"], 1).contains("missing"));
    again("2024-01-03/2024-01-05");
    let last = commits(&job);
    assert_eq!(last.iter().filter(|(day, id)| after.get(day) != Some(id)).count(), 2, "{last:?}");
    execute(&job, &["status"], 0);
    execute(&job, &["verify"], 0);
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
    for (arguments, expected) in [
        (&["run", "--again", "2024-01-02T10:00:00Z"][..], "is not a day: write it like 2024-03-07"),
        (&["run", "--again", "2024-01-02", "--retry-failed"], "cannot be used with"),
        (&["run", "--again", "2024-01-02", "--refresh", "1d"], "cannot be used with"),
    ] {
        let message = execute(&job, arguments, 2);
        assert!(message.contains(expected), "{message}");
    }
}
