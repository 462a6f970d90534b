//! Drift: rows with new fields, values of other types and values in other forms, by the real
//! program against a sandbox that plays them.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    process::Output,
};

use arrow::array::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::common::{
    binary::{Job, Sandbox, has_files, summary},
    reader::patterns_of_conserved,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const NEXT: &str = "2024-01-02T00:00:00Z";
const TO: &str = "2024-01-03T00:00:00Z";

const DRIFT: &[&str] = &["sandbox.drift=true"];

/// A new field of a session, and what is reported about it.
const NEW_FIELD: &str = "participants[].sessions[].transcribed";
const NEW_COLUMN: &str = "transcribed = \"boolean\"";
/// A value that does not fit its column.
const MISFIT: &str = "participants[].sessions[].metrics[].value";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How often each of these is said.
fn count(text: &str, word: &str) -> usize {
    text.matches(word).count()
}

/// The text of `status`.
fn status(job: &Job) -> String {
    let output = job.command_of(&["status"], FROM, TO, &[]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The patterns of the paths in the column `_extra` of the files in a folder.
fn patterns_in_extra(folder: &Path) -> BTreeSet<String> {
    let mut patterns = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let file = File::open(file.unwrap().path()).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let extra = batch.column_by_name("_extra").unwrap().as_map();
            for path in extra.keys().as_string::<i32>().iter().flatten() {
                // positions are between brackets
                patterns.insert(path.replace(|c: char| c.is_ascii_digit(), ""));
            }
        }
    }
    patterns
}

/// A dataset that drifts.
struct Drifting {
    platform: &'static str,
    dataset: &'static str,
    /// The column that identifies its rows.
    id: &'static str,
    /// Paths in `_extra`.
    paths: &'static [&'static str],
    settings: &'static [&'static str],
}

const CONVERSATIONS: Drifting = Drifting {
    platform: "genesys-cloud",
    dataset: "conversations",
    id: "conversationId",
    paths: &[
        "summary",
        "[\"new.field\"]",
        "[\"first name\"]",
        "divisionIds",
        "mediaStatsMinConversationMos",
        "participants[].locale",
        NEW_FIELD,
        "participants[].sessions[].segments[].sentiment",
        "participants[].sessions[].segments[].segmentEnd",
        MISFIT,
    ],
    settings: &["fetch.strategy=query"],
};

const CONTACTS: Drifting = Drifting {
    platform: "nice-cxone",
    dataset: "contacts",
    id: "contactId",
    paths: &[
        "sentimentScore",
        "[\"channel.id\"]",
        "acwSeconds",
        "dateContactWarehoused",
        "endReason",
        "primaryDispositionId",
        "routingTime",
        "serviceLevelFlag",
        "tags[].color",
        "tags[].tagName",
    ],
    settings: &["job.datasets=[\"contacts\"]"],
};

/// Fetches two days of a dataset that drifts, and demands that every value that the platform sent
/// is in its column or in `_extra`, and that what is reported is what the files have.
fn expect_conserved(Drifting { platform, dataset, id, paths, settings }: &Drifting) {
    let (sandbox, plain) = (Sandbox::start(DRIFT), Sandbox::start(&[]));
    let platform_setting = format!("source.platform={platform}");
    let settings: Vec<&str> = settings.iter().copied().chain([&*platform_setting]).collect();
    let job = Job::new(&sandbox);
    let run = job.run(FROM, TO, &settings);
    assert_eq!(run["outcome"], "complete", "{run}");
    let superseded = run["rows_duplicate"].as_u64().unwrap();
    let [drifted, plain] = [&sandbox, &plain].map(|one| one.truth_of(platform, dataset, FROM, TO));
    let rows = job.folder(dataset);
    let Some(patterns) = patterns_of_conserved(&rows, id, &drifted, &plain) else { return };
    for &path in *paths {
        assert!(patterns[path].as_u64().is_some_and(|rows| rows > 0), "{path}: {patterns}");
    }
    let status = job.command_of(&["status", "--json"], FROM, TO, &settings).output().unwrap();
    let told = &summary(&status)["datasets"][0]["new_fields"];
    let told: Vec<_> = told.as_array().unwrap().iter().collect();
    for field in &told {
        let path = field["path"].as_str().unwrap();
        // copies of a row that a newer one replaces are counted too
        let (rows, told) = (patterns[path].as_u64().unwrap(), field["rows"].as_u64().unwrap());
        assert!((rows..=rows + superseded).contains(&told), "{rows} rows: {field}");
    }
    assert_eq!(told.len(), patterns.as_object().unwrap().len());
}

#[test]
fn every_value_of_drifted_conversations_is_in_its_column_or_in_extra() {
    expect_conserved(&CONVERSATIONS);
}

#[test]
fn every_value_of_drifted_contacts_is_in_its_column_or_in_extra() {
    expect_conserved(&CONTACTS);
}

#[test]
fn each_new_path_is_told_once_by_the_log_and_the_summary_and_always_by_status() {
    let sandbox = Sandbox::start(DRIFT);
    let job = Job::new(&sandbox);
    let output = job.command_of(&["run"], FROM, NEXT, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    for path in [NEW_FIELD, MISFIT] {
        let told = format!("no column in conversations for {path}: ");
        assert_eq!(count(&stdout, &told), 1, "{stdout}");
        assert_eq!(count(&stderr(&output), &format!("path=\"{path}\"")), 1, "{}", stderr(&output));
    }
    assert_eq!(count(&stdout, &format!("{NEW_COLUMN} under [type.session]")), 1, "{stdout}");

    let second = job.command_of(&["run"], FROM, TO, &[]).output().unwrap();
    let text = String::from_utf8_lossy(&second.stdout).into_owned();
    assert!(text.contains("rows written"), "{text}");
    assert!(!text.contains("no column"), "{text}");
    assert!(!stderr(&second).contains("path="), "{}", stderr(&second));

    let status = status(&job);
    assert_eq!(count(&status, &format!("no column for {NEW_FIELD}: ")), 1, "{status}");
    assert_eq!(count(&status, &format!("no column for {MISFIT}: ")), 1, "{status}");
}

#[test]
fn kept_and_dropped_new_fields_are_counted_and_not_told_and_misfits_always_are() {
    let sandbox = Sandbox::start(DRIFT);
    for (policy, is_kept) in [("keep", true), ("drop", false)] {
        let job = Job::new(&sandbox);
        let policy = format!("output.on_new_field={policy}");
        let summary = job.run(FROM, NEXT, &[&policy]);
        let told: Vec<_> = summary["new_fields"].as_array().unwrap().iter().collect();
        assert!(told.iter().all(|field| field["kind"] == "misfit"), "{policy}: {told:?}");
        assert!(told.iter().any(|field| field["path"] == MISFIT), "{policy}: {told:?}");
        let status = status(&job);
        assert_eq!(count(&status, &format!("no column for {NEW_FIELD}: ")), 1, "{status}");
        let kept = patterns_in_extra(&job.rows().join("date=2024-01-01"));
        assert_eq!(kept.contains(NEW_FIELD), is_kept, "{policy}: {kept:?}");
        assert!(kept.contains(MISFIT), "{policy}: {kept:?}");
    }
}

#[test]
fn shards_with_new_fields_fail_if_they_are_to_and_the_message_says_what_to_do() {
    let sandbox = Sandbox::start(DRIFT);
    let job = Job::new(&sandbox);
    let settings = ["output.on_new_field=fail"];
    let output = job.command(FROM, TO, &settings).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the rows have the new field `"), "{said}");
    assert!(said.contains("into [type.") && said.contains("or set output.on_new_field"), "{said}");
    assert!(!has_files(&job.rows()), "nothing is committed");
    let retried = job.run(FROM, TO, &[]);
    assert_eq!(retried["outcome"], "complete");
}
