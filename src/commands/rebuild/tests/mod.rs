use std::{path::PathBuf, sync::Arc};

use arrow::{
    array::StringArray,
    datatypes::{DataType, Field, Schema},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::ArrowWriter,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use tempfile::TempDir;

use super::*;
use crate::{
    catalog,
    ledger::{Counts, Failure, GapKind, ShardDetails, ShardRecord},
    time::interval::iso,
};

mod doubts;

const DAY_MS: i64 = 86_400_000;
/// 2024-01-01.
const FIRST_MS: i64 = 1_704_067_200_000;
const DATASET: &str = "conversations";

/// An output in a temporary folder.
struct Environment {
    folder: TempDir,
    scope: BackfillScope,
}

/// A commit of some files with one row each.
struct TestCommit<'a> {
    id: &'a str,
    interval: Interval,
    files: usize,
    quarantined: u64,
    job: &'a str,
    /// What the footer says of doubts. `None` if an earlier program wrote it.
    doubts: Option<&'a str>,
}

fn days(from: i64, to: i64) -> Interval {
    Interval::new(FIRST_MS + from * DAY_MS, FIRST_MS + to * DAY_MS).unwrap()
}

fn commit(id: &str, interval: Interval) -> TestCommit<'_> {
    let job = r#"{"source":"here"}"#;
    TestCommit { id, interval, files: 1, quarantined: 0, job, doubts: None }
}

impl Environment {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog::builtin("genesys-cloud").unwrap();
        let scope = BackfillScope {
            output: folder.path().to_owned(),
            ..BackfillScope::for_tests(catalog, &[DATASET], days(0, 10))
        };
        Self { folder, scope }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Writes the file of a commit for one day, without a record in the ledger.
    fn write(&self, commit: &TestCommit, day: i64) -> String {
        let date = &iso(FIRST_MS + day * DAY_MS)[..10];
        let path = format!("{DATASET}/date={date}/{}.parquet", commit.interval.slug());
        let TestCommit { id, interval, files, quarantined, job, doubts } = commit;
        let mut entries = vec![
            ("dataset", DATASET.to_owned()),
            ("schema_version", "1".to_owned()),
            ("interval", interval.to_string()),
        ];
        entries.extend(doubts.map(|doubts| ("doubts", doubts.to_owned())));
        if !id.is_empty() {
            let written = *files as u64 - u64::from(*quarantined > 0);
            let received = written + quarantined;
            entries.extend([
                ("job", (*job).to_owned()),
                ("commit", (*id).to_owned()),
                ("commit_files", files.to_string()),
                (
                    "counts",
                    format!(
                        r#"{{"received":{received},"written":{written},"not_owned":0,
                            "duplicate":0,"quarantined":{quarantined}}}"#
                    ),
                ),
                ("open_rows", "1".to_owned()),
            ]);
        }
        let entries = entries
            .into_iter()
            .map(|(key, value)| KeyValue::new(format!("cxbackfill.{key}"), value))
            .collect();
        let properties = WriterProperties::builder().set_key_value_metadata(Some(entries)).build();
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
        let row = Arc::new(StringArray::from(vec![path.as_str()]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![row]).unwrap();
        let target = self.path(&path);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        let file = std::fs::File::create(target).unwrap();
        let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::read(&self.path(LEDGER)).unwrap()
    }

    /// The committed intervals.
    fn committed(&self) -> Vec<Interval> {
        let snapshot = self.snapshot();
        let records = snapshot.datasets.get(DATASET);
        let shards = records.into_iter().flat_map(|records| &records.shards);
        shards.map(|shard| shard.interval).collect()
    }
}

/// The paths and reasons of the files that were not taken in.
fn reasons(rebuilt: &Rebuilt) -> Vec<(&str, &str)> {
    rebuilt.left_out.iter().map(|file| (file.path.as_str(), file.reason.as_str())).collect()
}

#[tokio::test]
async fn a_missing_ledger_is_made_anew_from_the_footers() {
    let environment = Environment::new();
    let quarantined = TestCommit { files: 2, quarantined: 3, ..commit("a-1.0", days(0, 1)) };
    let path = environment.write(&quarantined, 0);
    environment.write(&commit("a-2.0", days(1, 2)), 1);
    let lines = format!("_quarantine/{DATASET}/{}.ndjson", days(0, 1).slug());
    std::fs::create_dir_all(environment.path(&lines).parent().unwrap()).unwrap();
    std::fs::write(environment.path(&lines), "{}\n{}\n{}\n").unwrap();

    let rebuilt = rebuild(&environment.scope).await.unwrap();
    assert_eq!((rebuilt.commits, rebuilt.files, rebuilt.rows), (2, 3, 2), "{rebuilt:?}");
    assert_eq!((reasons(&rebuilt), &rebuilt.orphaned), (vec![], &None));
    let snapshot = environment.snapshot();
    assert_eq!(snapshot.identity["source"], "here");
    assert_eq!(snapshot.identity["dataset.conversations.version"], "1");
    let records = &snapshot.datasets[DATASET];
    let shard = &records.shards[0];
    let counts = Counts { received: 4, written: 1, quarantined: 3, ..Counts::default() };
    assert_eq!((shard.interval, shard.counts, shard.open_rows), (days(0, 1), counts, 1));
    let paths: Vec<_> = shard.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!((paths, shard.commit_id.as_str()), (vec![lines.as_str(), path.as_str()], "a-1.0"));
    assert_eq!(shard.files[1].bytes, environment.path(&path).metadata().unwrap().len());
    assert_eq!(records.doubtful[0].kind, GapKind::Quarantined);
    let again = rebuild(&environment.scope).await.unwrap();
    assert_eq!((again.commits, reasons(&again)), (2, vec![]), "a second rebuild changes nothing");
}

#[tokio::test]
async fn a_commit_of_which_a_file_is_missing_is_not_taken_in() {
    let environment = Environment::new();
    let path = environment.write(&TestCommit { files: 2, ..commit("a-1.0", days(0, 2)) }, 0);
    environment.write(&commit("a-2.0", days(2, 3)), 2);
    let rebuilt = rebuild(&environment.scope).await.unwrap();
    let expected = [(path.as_str(), "1 of the 2 files of its commit are there")];
    assert_eq!(reasons(&rebuilt), expected);
    assert_eq!(environment.committed(), [days(2, 3)]);
    let orphaned = format!("{}/{path}", rebuilt.orphaned.unwrap());
    assert!(environment.exists(&orphaned) && !environment.exists(&path), "{orphaned}");
}

#[tokio::test]
async fn of_two_commits_of_one_interval_the_newer_is_taken_in() {
    let environment = Environment::new();
    let old = environment.write(&TestCommit { files: 2, ..commit("9-7.0", days(0, 2)) }, 0);
    environment.write(&TestCommit { files: 2, ..commit("9-7.0", days(0, 2)) }, 1);
    let new = environment.write(&commit("a-1.0", days(1, 2)), 1);
    let rebuilt = rebuild(&environment.scope).await.unwrap();
    assert_eq!(environment.committed(), [days(1, 2)]);
    assert!(environment.exists(&new) && !environment.exists(&old));
    assert!(rebuilt.left_out[0].reason.starts_with("a newer commit of 2024-01-02"), "{rebuilt:?}");
}

#[tokio::test]
async fn a_copy_is_moved_and_a_foreign_file_is_not_touched() {
    let environment = Environment::new();
    let path = environment.write(&commit("a-1.0", days(0, 1)), 0);
    let copy = path.replace(&days(0, 1).slug(), "copy");
    std::fs::copy(environment.path(&path), environment.path(&copy)).unwrap();
    let foreign = format!("{DATASET}/foreign.parquet");
    std::fs::write(environment.path(&foreign), "not Parquet").unwrap();
    let rebuilt = rebuild(&environment.scope).await.unwrap();
    assert_eq!(environment.committed(), [days(0, 1)]);
    let [first, second] = rebuilt.left_out.as_slice() else { panic!("{rebuilt:?}") };
    assert_eq!((first.path.as_str(), first.is_ours), (copy.as_str(), true));
    let expected = (foreign.as_str(), "this program did not write it", false);
    assert_eq!((second.path.as_str(), second.reason.as_str(), second.is_ours), expected);
    assert!(environment.exists(&path) && environment.exists(&foreign));
    assert!(!environment.exists(&copy));
}

#[tokio::test]
async fn what_the_ledger_records_stays_if_its_files_are_unchanged() {
    let environment = Environment::new();
    let ledger = Ledger::open(&environment.path(LEDGER)).unwrap();
    let record = |interval, files| ShardRecord {
        dataset: DATASET.into(),
        interval,
        counts: Counts::default(),
        files,
        commit_id: String::new(),
        open_rows: 0,
        details: ShardDetails::default(),
    };
    let failure = Failure {
        dataset: DATASET.into(),
        interval: days(5, 6),
        reason: "no".into(),
        correlation: String::new(),
    };
    ledger
        .rebuild(&RebuiltRecords {
            added: vec![
                record(days(0, 1), Vec::new()),
                record(
                    days(1, 2),
                    vec![crate::ledger::FileRecord {
                        path: format!("{DATASET}/date=2024-01-02/lost.parquet"),
                        rows: 1,
                        bytes: 1,
                        sha256: "00".into(),
                    }],
                ),
            ],
            ..RebuiltRecords::default()
        })
        .unwrap();
    ledger.fail(&failure).unwrap();
    drop(ledger);
    environment.write(&commit("a-1.0", days(2, 3)), 2);
    rebuild(&environment.scope).await.unwrap();
    assert_eq!(environment.committed(), [days(0, 1), days(2, 3)]);
    assert_eq!(environment.snapshot().datasets[DATASET].failures, [failure]);
}

#[tokio::test]
async fn files_of_two_jobs_are_refused() {
    let environment = Environment::new();
    environment.write(&commit("a-1.0", days(0, 1)), 0);
    let other = TestCommit { job: r#"{"source":"there"}"#, ..commit("b-1.0", days(1, 2)) };
    environment.write(&other, 1);
    let error = rebuild(&environment.scope).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("different jobs") && text.contains("source = "), "{text}");
    assert_eq!(environment.committed(), []);
}

#[tokio::test]
async fn footers_without_a_commit_are_taken_in_if_every_day_has_a_file() {
    let environment = Environment::new();
    let day = commit("", days(0, 1));
    environment.write(&day, 0);
    let whole = commit("", days(1, 3));
    for day in [1, 2] {
        environment.write(&whole, day);
    }
    let partial = commit("", days(3, 5));
    let path = environment.write(&partial, 3);
    let rebuilt = rebuild(&environment.scope).await.unwrap();
    assert_eq!(environment.committed(), [days(0, 1), days(1, 3)]);
    let [(left_out, reason)] = reasons(&rebuilt)[..] else { panic!("{rebuilt:?}") };
    assert!(left_out == path && reason.ends_with("there is none for 2024-01-05"), "{reason}");
}

#[tokio::test]
async fn a_damaged_ledger_is_renamed_and_made_anew() {
    let environment = Environment::new();
    environment.write(&commit("a-1.0", days(0, 1)), 0);
    std::fs::write(environment.path(LEDGER), "not a database".repeat(100)).unwrap();
    rebuild(&environment.scope).await.unwrap();
    assert_eq!(environment.committed(), [days(0, 1)]);
    let names = std::fs::read_dir(environment.folder.path()).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.any(|name| name.starts_with("_ledger.sqlite.damaged-")));
}

#[tokio::test]
async fn a_missing_output_is_not_created() {
    let mut environment = Environment::new();
    environment.scope.output = environment.path("elsewhere");
    let error = rebuild(&environment.scope).await.unwrap_err().to_string();
    assert!(error.starts_with("there is no output at "), "{error}");
    assert!(!environment.exists("elsewhere"));
}
