use std::{io::Write, path::PathBuf};

use arrow::{
    array::{ArrayRef, StringArray, TimestampMicrosecondArray, new_null_array},
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
    ledger::{Counts, LEDGER, Ledger, ShardDetails, ShardRecord},
    sink::spool::Spool,
    time::interval::iso,
};

const DAY: i64 = 86_400_000;
/// The commit that the footers of all files name, and its counts.
const COMMIT: &str = "c-1";
const COUNTS: &str = r#"{"received":1,"written":1,"not_owned":0,"duplicate":0,"quarantined":0}"#;
/// 2024-01-01.
const FIRST: i64 = 1_704_067_200_000;

/// An output in a temporary folder, whose files a test writes.
struct Environment {
    folder: TempDir,
    output: OutputStore,
    ledger: Ledger,
    dataset: Arc<Dataset>,
}

impl Environment {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputStore::directory(folder.path()).unwrap();
        let ledger = Ledger::open(&folder.path().join(LEDGER)).unwrap();
        let dataset = Arc::clone(catalog::test_dataset("conversations"));
        Self { folder, output, ledger, dataset }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A file of rows with an id and a time, for `interval`.
    fn file(&self, interval: Interval, rows: &[(&str, i64)]) -> Spool {
        let columns = self.dataset.schema.fields().iter().map(|field| -> ArrayRef {
            if *field.name() == self.dataset.id[0] {
                Arc::new(StringArray::from_iter_values(rows.iter().map(|(id, _)| id)))
            } else if *field.name() == self.dataset.time {
                let times = TimestampMicrosecondArray::from_iter_values(
                    rows.iter().map(|(_, time)| *time * 1_000),
                );
                Arc::new(times.with_timezone("UTC"))
            } else {
                new_null_array(field.data_type(), rows.len())
            }
        });
        let batch =
            RecordBatch::try_new(Arc::clone(&self.dataset.schema), columns.collect()).unwrap();
        let entry = |key: &str, value: String| KeyValue::new(format!("cxbackfill.{key}"), value);
        let metadata = vec![
            entry("dataset", self.dataset.name.clone()),
            entry("interval", interval.to_string()),
            entry("schema_version", self.dataset.version.to_string()),
            entry("commit", COMMIT.to_owned()),
            entry("commit_files", "1".to_owned()),
            entry("open_rows", "0".to_owned()),
            entry("counts", COUNTS.to_owned()),
        ];
        let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
        let mut writer = ArrowWriter::try_new(
            self.output.spool_file().spool(),
            batch.schema(),
            Some(properties),
        )
        .unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    /// Commits a shard of one file, as a run does. Returns the path of the file.
    async fn commit(&self, interval: Interval, rows: &[(&str, i64)]) -> String {
        let record = self.put(interval, rows).await;
        self.record(interval, vec![record.clone()]);
        record.path
    }

    async fn put(&self, interval: Interval, rows: &[(&str, i64)]) -> FileRecord {
        let path = format!(
            "conversations/date={}/{}.parquet",
            &iso(interval.from_ms())[..10],
            interval.slug()
        );
        self.output.put(&path, rows.len() as u64, self.file(interval, rows)).await.unwrap()
    }

    fn record(&self, interval: Interval, files: Vec<FileRecord>) {
        let rows = |quarantine| {
            files
                .iter()
                .filter(|file| (file.kind() == FileKind::Quarantine) == quarantine)
                .map(|file| file.rows)
                .sum()
        };
        let (written, quarantined) = (rows(false), rows(true));
        let counts =
            Counts { received: written + quarantined, written, quarantined, ..Counts::default() };
        self.ledger
            .commit(
                &[ShardRecord {
                    dataset: "conversations".into(),
                    interval,
                    counts,
                    files,
                    commit_id: String::new(),
                    open_rows: 0,
                    details: ShardDetails::default(),
                }],
                &[],
                &[],
                false,
            )
            .unwrap();
    }

    /// The differences that `verify` reports, as lines.
    async fn verify(&self) -> Vec<String> {
        let mut reported = Vec::new();
        let catalog = catalog::builtin("genesys-cloud").unwrap();
        let mut report = |difference: Difference| reported.push(difference.to_string());
        let verified =
            verify(&self.output, &self.path(LEDGER), catalog, &mut report).await.unwrap();
        let all = verified.differences + verified.unrecorded_replacements;
        assert_eq!(all, reported.len() as u64);
        reported
    }
}

fn day(number: i64) -> Interval {
    Interval::day_of(FIRST + number * DAY)
}

/// Compares the reported lines with the beginnings of the expected ones.
fn assert_reported(reported: &[String], expected: &[(&str, &str)]) {
    let fits = |line: &String, (subject, what): &(&str, &str)| {
        line.starts_with(&format!("{subject}: {what}"))
    };
    let all = reported.len() == expected.len()
        && reported.iter().zip(expected).all(|(line, expected)| fits(line, expected));
    assert!(all, "{reported:#?}");
}

#[tokio::test]
async fn an_intact_output_has_no_differences() {
    let environment = Environment::new();
    environment.commit(day(0), &[("a", FIRST), ("b", FIRST + DAY - 1)]).await;
    environment.commit(day(1), &[("c", FIRST + DAY)]).await;
    std::fs::write(environment.path("conversations/notes.txt"), "not ours").unwrap();
    assert_reported(&environment.verify().await, &[]);
}

#[tokio::test]
async fn a_missing_a_changed_and_an_unknown_file_are_reported() {
    let environment = Environment::new();
    let missing = environment.commit(day(0), &[("a", FIRST)]).await;
    let truncated = environment.commit(day(1), &[("b", FIRST + DAY)]).await;
    let changed = environment.commit(day(2), &[("c", FIRST + 2 * DAY)]).await;
    let unknown = environment.put(day(3), &[("d", FIRST + 3 * DAY)]).await.path;
    std::fs::remove_file(environment.path(&missing)).unwrap();
    let mut bytes = std::fs::read(environment.path(&changed)).unwrap();
    bytes[7] ^= 1;
    std::fs::write(environment.path(&changed), &bytes).unwrap();
    std::fs::write(
        environment.path(&truncated),
        &std::fs::read(environment.path(&truncated)).unwrap()[1..],
    )
    .unwrap();
    let expected = [
        (&*missing, "it is missing"),
        (&*truncated, "it has "),
        (&*changed, "its sha256 is "),
        (&*unknown, "the ledger does not"),
    ];
    assert_reported(&environment.verify().await, &expected);
}

#[tokio::test]
async fn a_file_of_another_shard_or_with_another_row_count_is_reported() {
    let environment = Environment::new();
    let mut fewer = environment.put(day(0), &[("a", FIRST)]).await;
    fewer.rows = 2;
    environment.record(day(0), vec![fewer.clone()]);
    let path = environment.put(day(1), &[]).await.path;
    let other = environment
        .output
        .put(&path, 1, environment.file(day(2), &[("b", FIRST + DAY)]))
        .await
        .unwrap();
    environment.record(day(1), vec![other.clone()]);
    let expected = [
        (&*fewer.path, "it has 1 rows, and the ledger says 2"),
        (
            &*path,
            "its metadata says interval 2024-01-03T00:00:00.000Z/2024-01-04T00:00:00.000Z, and the ledger 2024",
        ),
    ];
    assert_reported(&environment.verify().await, &expected);
}

#[tokio::test]
async fn g4_a_row_outside_its_shard_or_its_day_is_reported() {
    let environment = Environment::new();
    let half = Interval::new(FIRST, FIRST + DAY / 2).unwrap();
    let outside =
        environment.commit(half, &[("a", FIRST), ("b", FIRST + DAY / 2), ("c", FIRST - 1)]).await;
    let two_days = Interval::new(FIRST + DAY, FIRST + 3 * DAY).unwrap();
    let next_day = environment.commit(two_days, &[("d", FIRST + 2 * DAY)]).await;
    let expected = [
        (
            &*outside,
            "2 rows are not of 2024-01-01T00:00:00.000Z/2024-01-01T12:00:00.000Z, the first has `conversationStart` 2024-01-01T12:00:00.000Z",
        ),
        (&*next_day, "1 rows are not of 2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z"),
    ];
    assert_reported(&environment.verify().await, &expected);
}

#[tokio::test]
async fn an_id_that_occurs_twice_is_reported_with_its_files() {
    let environment = Environment::new();
    let once = environment.commit(day(0), &[("a", FIRST), ("b", FIRST + 1)]).await;
    let twice = environment
        .commit(day(1), &[("a", FIRST + DAY), ("b", FIRST + DAY), ("c", FIRST + DAY)])
        .await;
    let inside =
        environment.commit(day(2), &[("e", FIRST + 2 * DAY), ("e", FIRST + 2 * DAY)]).await;
    let reported = environment.verify().await;
    assert_eq!(reported.len(), 2, "{reported:#?}");
    assert!(
        reported[0].starts_with(&once)
            && reported[0].ends_with(&format!(" and 1 other ids are in {twice} once more"))
    );
    assert_eq!(reported[1], format!("{inside}: e is there once more"));
}

#[tokio::test]
async fn g8_ids_are_compared_in_several_passes_within_the_memory_limit() {
    let environment = Environment::new();
    let ids: Vec<_> = (0..100).map(|number| format!("id-{number}")).collect();
    for number in 0..2 {
        let rows: Vec<_> = ids.iter().map(|id| (id.as_str(), FIRST + number * DAY)).collect();
        environment.commit(day(number), &rows).await;
    }
    let snapshot = Snapshot::read(&environment.path(LEDGER)).unwrap();
    let files: Vec<_> = snapshot.datasets["conversations"]
        .shards
        .iter()
        .flat_map(|shard| shard.files.clone())
        .collect();
    let reported = ids::duplicates(&environment.output, &environment.dataset, &files, 20).await;
    // ten passes, and each finds its share of the hundred pairs
    let found: u64 = reported
        .iter()
        .map(|reported| {
            reported.what.split(' ').nth(2).map_or(1, |n| n.parse::<u64>().unwrap() + 1)
        })
        .sum();
    assert_eq!((reported.len(), found), (10, 100), "{reported:#?}");
}

#[tokio::test]
async fn the_rows_of_quarantine_files_are_counted() {
    let environment = Environment::new();
    let mut spool = environment.output.spool_file().spool();
    spool.write_all(b"{}\n{}\n").unwrap();
    let path = "_quarantine/conversations/x.ndjson";
    let record = environment.output.put(path, 3, spool).await.unwrap();
    environment.record(day(0), vec![record]);
    std::fs::write(environment.path("_quarantine/conversations/y.ndjson"), "{}\n").unwrap();
    let expected = [
        (path, "it has 2 rows, and the ledger says 3"),
        ("_quarantine/conversations/y.ndjson", "the ledger does not know it"),
    ];
    assert_reported(&environment.verify().await, &expected);
}

#[test]
fn records_that_contradict_each_other_are_reported() {
    let shard = |interval, counts| ShardRecord {
        dataset: "d".into(),
        interval,
        counts,
        files: Vec::new(),
        commit_id: String::new(),
        open_rows: 0,
        details: ShardDetails::default(),
    };
    let lost = Counts { received: 5, written: 4, ..Counts::default() };
    let records = DatasetRecords {
        shards: vec![
            shard(day(0), Counts::default()),
            shard(Interval::new(FIRST + DAY - 1, FIRST + DAY + 9).unwrap(), lost),
        ],
        ..DatasetRecords::default()
    };
    let mut reported = Vec::new();
    ledger::check_records(&records, &mut |difference| reported.push(difference.what));
    assert_eq!(reported.len(), 3, "{reported:#?}");
    assert!(
        reported[0].starts_with("it overlaps 2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z"),
        "{reported:#?}"
    );
    assert!(
        reported[1].starts_with("its row counts do not balance")
            && reported[2].starts_with("its files hold 0 rows, and 4")
    );
}

#[tokio::test]
async fn a_file_that_an_ended_refresh_replaced_is_told_apart_from_a_changed_one() {
    let environment = Environment::new();
    let interval = Interval::day_of(FIRST);
    let path = environment.commit(interval, &[("a", FIRST)]).await;
    let replace = |commit: &str| {
        let intents = [(path.clone(), commit.to_owned())];
        environment.ledger.intend("conversations", &intents, Some(interval)).unwrap();
    };
    environment.put(interval, &[("a", FIRST), ("b", FIRST + 1)]).await;
    let [changed] = &environment.verify().await[..] else { panic!() };
    assert!(changed.contains("bytes, and the ledger says"), "{changed}");
    replace("another commit");
    let [changed] = &environment.verify().await[..] else { panic!() };
    assert!(changed.contains("bytes, and the ledger says"), "{changed}");
    replace(COMMIT);
    let [replaced] = &environment.verify().await[..] else { panic!() };
    assert!(
        replaced.contains("a refresh, an upgrade or forget replaced it and was ended"),
        "{replaced}"
    );
    let catalog = catalog::builtin("genesys-cloud").unwrap();
    let path = environment.path(LEDGER);
    let verified = verify(&environment.output, &path, catalog, &mut |_| {}).await.unwrap();
    assert_eq!((verified.differences, verified.unrecorded_replacements), (0, 1));
}
