use std::path::PathBuf;

use arrow::{
    array::{ArrayRef, StringArray, TimestampMillisecondArray, new_null_array},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::ArrowWriter,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use tempfile::{SpooledTempFile, TempDir};

use super::*;
use crate::{
    catalog,
    ledger::{Counts, LEDGER, Ledger, ShardRecord},
    time::interval::iso,
};

const DAY: i64 = 86_400_000;
/// 2024-01-01.
const FIRST: i64 = 1_704_067_200_000;

/// An output whose every byte a test can choose.
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
        let dataset =
            Arc::clone(&catalog::builtin("genesys-cloud").unwrap().datasets["conversations"]);
        Self { folder, output, ledger, dataset }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A file of rows, each an id and a time, for `interval`.
    fn file(&self, interval: Interval, rows: &[(&str, i64)]) -> SpooledTempFile {
        let columns = self.dataset.schema.fields().iter().map(|field| -> ArrayRef {
            if *field.name() == self.dataset.id[0] {
                Arc::new(StringArray::from_iter_values(rows.iter().map(|(id, _)| id)))
            } else if *field.name() == self.dataset.time {
                let times =
                    TimestampMillisecondArray::from_iter_values(rows.iter().map(|(_, time)| *time));
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
        ];
        let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
        let mut writer =
            ArrowWriter::try_new(self.output.spool(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    /// Commits a shard of one file, as a run would. Returns the file's path.
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
                .filter(|file| ledger::is_quarantine(file) == quarantine)
                .map(|file| file.rows)
                .sum()
        };
        let (written, quarantined) = (rows(false), rows(true));
        let counts =
            Counts { received: written + quarantined, written, quarantined, ..Counts::default() };
        self.ledger
            .commit(
                &ShardRecord {
                    dataset: "conversations".into(),
                    interval,
                    counts,
                    files,
                    commit_id: String::new(),
                    open_rows: 0,
                },
                false,
            )
            .unwrap();
    }

    /// What `verify` tells, a line each.
    async fn verify(&self) -> Vec<String> {
        let mut told = Vec::new();
        let catalog = catalog::builtin("genesys-cloud").unwrap();
        let mut tell = |difference: Difference| told.push(difference.to_string());
        let verified = verify(&self.output, &self.path(LEDGER), catalog, &mut tell).await.unwrap();
        assert_eq!(verified.differences, told.len() as u64);
        told
    }
}

fn day(number: i64) -> Interval {
    Interval::day_of(FIRST + number * DAY)
}

/// Holds what was told against the beginnings of what should have been.
fn assert_told(told: &[String], expected: &[(&str, &str)]) {
    let fits =
        |line: &String, (place, what): &(&str, &str)| line.starts_with(&format!("{place}: {what}"));
    let all = told.len() == expected.len()
        && told.iter().zip(expected).all(|(line, expected)| fits(line, expected));
    assert!(all, "{told:#?}");
}

#[tokio::test]
async fn an_output_that_is_as_the_ledger_says_has_no_difference() {
    let environment = Environment::new();
    environment.commit(day(0), &[("a", FIRST), ("b", FIRST + DAY - 1)]).await;
    environment.commit(day(1), &[("c", FIRST + DAY)]).await;
    std::fs::write(environment.path("conversations/notes.txt"), "not ours").unwrap();
    assert_told(&environment.verify().await, &[]);
}

#[tokio::test]
async fn a_file_that_is_missing_or_changed_or_not_in_the_ledger_is_named() {
    let environment = Environment::new();
    let gone = environment.commit(day(0), &[("a", FIRST)]).await;
    let cut = environment.commit(day(1), &[("b", FIRST + DAY)]).await;
    let changed = environment.commit(day(2), &[("c", FIRST + 2 * DAY)]).await;
    let stray = environment.put(day(3), &[("d", FIRST + 3 * DAY)]).await.path;
    std::fs::remove_file(environment.path(&gone)).unwrap();
    let mut bytes = std::fs::read(environment.path(&changed)).unwrap();
    bytes[7] ^= 1;
    std::fs::write(environment.path(&changed), &bytes).unwrap();
    std::fs::write(environment.path(&cut), &std::fs::read(environment.path(&cut)).unwrap()[1..])
        .unwrap();
    let expected = [
        (&*gone, "it is missing"),
        (&*cut, "it has "),
        (&*changed, "its sha256 is "),
        (&*stray, "the ledger does not"),
    ];
    assert_told(&environment.verify().await, &expected);
}

#[tokio::test]
async fn a_file_of_another_shard_or_with_other_rows_is_named() {
    let environment = Environment::new();
    let mut short = environment.put(day(0), &[("a", FIRST)]).await;
    short.rows = 2;
    environment.record(day(0), vec![short.clone()]);
    let path = environment.put(day(1), &[]).await.path;
    let other = environment
        .output
        .put(&path, 1, environment.file(day(2), &[("b", FIRST + DAY)]))
        .await
        .unwrap();
    environment.record(day(1), vec![other.clone()]);
    let expected = [
        (&*short.path, "it has 1 rows, and the ledger says 2"),
        (
            &*path,
            "its metadata says interval 2024-01-03T00:00:00.000Z/2024-01-04T00:00:00.000Z, and the ledger 2024",
        ),
    ];
    assert_told(&environment.verify().await, &expected);
}

#[tokio::test]
async fn g4_a_row_outside_its_shard_or_its_day_is_named() {
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
    assert_told(&environment.verify().await, &expected);
}

#[tokio::test]
async fn an_id_that_is_there_twice_is_named_with_its_files() {
    let environment = Environment::new();
    let once = environment.commit(day(0), &[("a", FIRST), ("b", FIRST + 1)]).await;
    let twice = environment
        .commit(day(1), &[("a", FIRST + DAY), ("b", FIRST + DAY), ("c", FIRST + DAY)])
        .await;
    let inside =
        environment.commit(day(2), &[("e", FIRST + 2 * DAY), ("e", FIRST + 2 * DAY)]).await;
    let told = environment.verify().await;
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].starts_with(&once)
            && told[0].ends_with(&format!(" and 1 other ids are in {twice} once more"))
    );
    assert_eq!(told[1], format!("{inside}: e is there once more"));
}

#[tokio::test]
async fn g8_ids_are_compared_in_as_many_passes_as_memory_needs() {
    let environment = Environment::new();
    let ids: Vec<_> = (0..100).map(|number| format!("id-{number}")).collect();
    for number in 0..2 {
        let rows: Vec<_> = ids.iter().map(|id| (id.as_str(), FIRST + number * DAY)).collect();
        environment.commit(day(number), &rows).await;
    }
    let history = Snapshot::read(&environment.path(LEDGER)).unwrap();
    let files: Vec<_> = history.datasets["conversations"]
        .shards
        .iter()
        .flat_map(|shard| shard.files.clone())
        .collect();
    let told = ids::twice(&environment.output, &environment.dataset, &files, 20).await;
    // ten passes, and each finds its share of the hundred pairs
    let found: u64 = told
        .iter()
        .map(|told| told.what.split(' ').nth(2).map_or(1, |n| n.parse::<u64>().unwrap() + 1))
        .sum();
    assert_eq!((told.len(), found), (10, 100), "{told:#?}");
}

#[tokio::test]
async fn quarantined_rows_are_counted_too() {
    let environment = Environment::new();
    let mut spool = environment.output.spool();
    spool.write_all(b"{}\n{}\n").unwrap();
    let path = "_quarantine/conversations/x.ndjson";
    let record = environment.output.put(path, 3, spool).await.unwrap();
    environment.record(day(0), vec![record]);
    std::fs::write(environment.path("_quarantine/conversations/y.ndjson"), "{}\n").unwrap();
    let expected = [
        (path, "it has 2 rows, and the ledger says 3"),
        ("_quarantine/conversations/y.ndjson", "the ledger does not know it"),
    ];
    assert_told(&environment.verify().await, &expected);
}

#[test]
fn a_ledger_that_does_not_agree_with_itself_is_told() {
    let shard = |interval, counts| ShardRecord {
        dataset: "d".into(),
        interval,
        counts,
        files: Vec::new(),
        commit_id: String::new(),
        open_rows: 0,
    };
    let lost = Counts { received: 5, written: 4, ..Counts::default() };
    let records = DatasetRecords {
        shards: vec![
            shard(day(0), Counts::default()),
            shard(Interval::new(FIRST + DAY - 1, FIRST + DAY + 9).unwrap(), lost),
        ],
        ..DatasetRecords::default()
    };
    let mut told = Vec::new();
    ledger::differences(&records, &mut |difference| told.push(difference.what));
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(
        told[0].starts_with("it overlaps 2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z"),
        "{told:#?}"
    );
    assert!(
        told[1].starts_with("its rows do not add up")
            && told[2].starts_with("its files hold 0 rows, and 4")
    );
}
