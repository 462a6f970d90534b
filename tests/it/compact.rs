//! The real binary merges the files of a day.

use std::{collections::BTreeSet, fs, path::Path};

use cxbackfill::testing::{LEDGER, Snapshot};
use serde_json::Value;

use crate::common::{
    binary::{Job, Sandbox},
    output_rows::{files, folder, rows_by_folder},
    reader::expect_equal,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-04T00:00:00Z";

/// Runs a command of the job, which must end with this code, and returns what it printed.
#[track_caller]
fn execute(job: &Job, arguments: &[&str], settings: &[&str], code: i32) -> String {
    let output = job.command_of(arguments, FROM, TO, settings).output().unwrap();
    let text = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

/// The number of files of each day.
fn files_of_days(job: &Job) -> Vec<usize> {
    let mut days: Vec<_> =
        fs::read_dir(job.rows()).unwrap().map(|day| day.unwrap().path()).collect();
    days.sort();
    days.iter().map(|day| fs::read_dir(day).unwrap().count()).collect()
}

fn snapshot(job: &Job) -> Snapshot {
    Snapshot::read(&job.folder(LEDGER)).unwrap()
}

fn without_ledger(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(path.join(format!("{LEDGER}{suffix}")));
    }
}

/// What the status says of the datasets.
fn datasets(status: &str) -> Value {
    serde_json::from_str::<Value>(status.lines().next().unwrap()).unwrap()["datasets"].take()
}

#[test]
fn merged_files_have_the_same_rows_and_every_command_agrees_with_them() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let job = Job::new(&sandbox);
    let small = ["fetch.shard=6h", "fetch.strategy=query"];
    job.run(FROM, TO, &small);
    assert_eq!(files_of_days(&job), [4, 4, 4]);
    let before = snapshot(&job);

    let merged = execute(&job, &["compact"], &[], 0);
    assert!(merged.starts_with("conversations: 12 files, 180 rows, "), "{merged}");
    assert!(merged.contains(" merged to 3 files, 180 rows, "), "{merged}");
    assert_eq!(files_of_days(&job), [1, 1, 1]);
    let after = snapshot(&job);
    let of = |snapshot: &Snapshot| {
        let (mut counts, mut open_rows, mut requests) = (None, 0, 0);
        for shard in &snapshot.datasets["conversations"].shards {
            match &mut counts {
                Some(counts) => *counts += shard.counts,
                None => counts = Some(shard.counts),
            }
            open_rows += shard.open_rows;
            requests += shard.details.cost.unwrap().requests;
        }
        (counts, open_rows, requests)
    };
    assert_eq!(of(&after), of(&before));
    assert_eq!(after.datasets["conversations"].shards.len(), 3);
    assert_eq!(after.leftovers.len(), 0);
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
    let verified = execute(&job, &["verify"], &[], 0);
    assert!(verified.contains("3 files, 180 rows, "), "{verified}");
    execute(&job, &["verify", "--remote"], &[], 0);
    let requests = job.run(FROM, TO, &small)["requests"].clone();
    assert_eq!(requests, 0, "nothing is missing");

    // the files alone tell the same, also if a file that was merged is there again
    let rebuilt_status = execute(&job, &["status", "--json"], &[], 0);
    without_ledger(&job.folder(""));
    let rebuilt = execute(&job, &["rebuild"], &[], 0);
    assert!(rebuilt.contains("3 commits, 3 files"), "{rebuilt}");
    assert_eq!(datasets(&execute(&job, &["status", "--json"], &[], 0)), datasets(&rebuilt_status));

    let nothing = execute(&job, &["compact"], &[], 0);
    assert_eq!(nothing, "conversations: nothing to merge\n");
    // a refresh replaces merged days as any others
    job.run(FROM, TO, &["job.refresh=30d", "fetch.shard=6h"]);
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
    execute(&job, &["verify"], &[], 0);
}

#[test]
fn merged_files_of_every_table_have_the_rows_that_they_had() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=30"]);
    for layout in ["tables", "both"] {
        let job = Job::new(&sandbox);
        let setting = format!("output.layout={layout}");
        let settings = [setting.as_str()];
        job.run(FROM, TO, &[settings[0], "fetch.shard=8h", "fetch.strategy=query"]);
        let files =
            |job: &Job| files(&job.folder("")).into_iter().filter(|it| it.ends_with(".parquet"));
        let folders: BTreeSet<_> = files(&job).map(|file| folder(&file).to_owned()).collect();
        assert_eq!(folders.contains("conversations"), layout == "both");
        assert_eq!(files(&job).count(), 9 * folders.len());
        let before = rows_by_folder(&job.folder(""));
        execute(&job, &["compact"], &settings, 0);
        assert_eq!(files(&job).count(), 3 * folders.len());
        let after = rows_by_folder(&job.folder(""));
        assert!(after == before, "{layout}: the rows changed");
        assert!(after["conversations.tables/segments"].len() > 60);
        let verified = execute(&job, &["verify"], &settings, 0);
        assert!(verified.contains("all as the ledger says"), "{verified}");
        execute(&job, &["verify", "--remote"], &settings, 0);
        assert_eq!(job.run(FROM, TO, &settings)["requests"], 0, "nothing is missing");
        without_ledger(&job.folder(""));
        execute(&job, &["rebuild"], &settings, 0);
        assert_eq!(execute(&job, &["verify"], &settings, 0), verified);
        assert!(rows_by_folder(&job.folder("")) == before, "{layout}: no file changed");
    }
}

#[test]
fn a_rebuild_takes_the_merged_file_and_leaves_out_older_ones_beside_it() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=30"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &["fetch.shard=12h", "fetch.strategy=query"]);
    // a compaction that is killed between the new name and the ledger, whose ledger is lost then
    let old = tempfile::tempdir().unwrap();
    let paths: Vec<String> = snapshot(&job).paths().map(str::to_owned).collect();
    assert_eq!(paths.len(), 6);
    for (number, path) in paths.iter().enumerate() {
        fs::copy(job.folder(path), old.path().join(number.to_string())).unwrap();
    }
    execute(&job, &["compact"], &[], 0);
    for (number, path) in paths.iter().enumerate() {
        fs::copy(old.path().join(number.to_string()), job.folder(path)).unwrap();
    }
    without_ledger(&job.folder(""));
    let rebuilt = execute(&job, &["rebuild"], &[], 1);
    assert!(rebuilt.contains("3 commits, 3 files"), "{rebuilt}");
    assert_eq!(rebuilt.matches("replaced its commit").count(), 6, "{rebuilt}");
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
    execute(&job, &["verify"], &[], 0);
}

#[test]
fn a_compaction_leaves_alone_what_it_is_not_asked_for() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=30"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &["fetch.shard=12h", "fetch.strategy=query"]);
    let compact = |more: &[&str], code| execute(&job, &[&["compact"], more].concat(), &[], code);
    compact(&["--target-size", "1B"], 0);
    assert_eq!(files_of_days(&job), [2, 2, 2]);
    compact(&["--from", "2024-01-02", "--to", "2024-01-03"], 0);
    assert_eq!(files_of_days(&job), [2, 1, 2]);
    let unknown = compact(&["--dataset", "calls"], 2);
    assert!(
        unknown.contains("the output has no dataset `calls`: it has conversations"),
        "{unknown}"
    );
    assert!(compact(&["--from", "2024-01-02", "--to", "2024-01-02"], 2).contains("--from: "));
    assert!(compact(&["--target-size", "large"], 2).contains("write it like 64MiB"));
}
