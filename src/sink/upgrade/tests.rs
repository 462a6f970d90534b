use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::{
    catalog,
    ledger::{Counts, FileKind, GapKind, ShardDetails},
    sink::{
        Layout, Write, clean_up,
        tests::{Fixture, START, calls},
    },
    time::interval::{Interval, iso},
};

const HOUR_MS: i64 = 3_600_000;

/// Fetches a day with a call and a row without an id.
async fn fetch_day(fixture: &Fixture, day: i64) {
    let shard = fixture.shard(24 * day, 24 * day + 24, false);
    let at = |hour: i64| iso(START + (24 * day + hour) * HOUR_MS);
    let rows =
        format!(r#"{{"callId":"call-{day}","startedAt":"{}"}},{{"startedAt":"{}"}}"#, at(1), at(2));
    let page = fixture.decode(&shard, &rows);
    let (received, lease) = (page.received, day.unsigned_abs() + 1);
    fixture.sink.send(Write { lease, shard: shard.clone(), page }).await.unwrap().unwrap();
    fixture.commit(lease, &shard, received).await.unwrap();
}

/// An upgrade in which files that tell no job get this one.
fn upgrader(fixture: &Fixture, job: &str) -> Upgrader {
    let settings = ParquetSettings { job: job.to_owned(), ..ParquetSettings::for_tests() };
    Upgrader { output: fixture.output.clone(), ledger: fixture.ledger.clone(), settings }
}

/// The dataset with one more column.
fn with_column(dataset: &Dataset, name: &str) -> Arc<Dataset> {
    let mut fields: Vec<_> = dataset.schema.fields().iter().cloned().collect();
    fields.insert(0, Arc::new(Field::new(name, DataType::Utf8, true)));
    Arc::new(Dataset { schema: Arc::new(Schema::new(fields)), ..dataset.clone() })
}

async fn footer(fixture: &Fixture, record: &ShardRecord) -> FileFooter {
    let file = record.nested_files().next().unwrap();
    read::footer(&read::open(&fixture.output, &file.path).await.unwrap()).unwrap()
}

#[actix::test]
async fn an_upgraded_file_tells_the_doubts_the_files_and_the_job_of_its_commit() {
    let fixture = Fixture::new();
    fetch_day(&fixture, 0).await;
    let old = fixture.records().remove(0);
    let doubts = footer(&fixture, &old).await.commit.unwrap().doubts.unwrap();
    assert_eq!(doubts.iter().map(|doubt| doubt.0).collect::<Vec<_>>(), [GapKind::Quarantined]);
    let first = with_column(&calls(), "first");
    upgrader(&fixture, r#"{"job.name":"a"}"#).upgrade(&first, &old).await.unwrap();
    let once = fixture.records().remove(0);
    let both = with_column(&first, "second");
    upgrader(&fixture, r#"{"job.name":"b"}"#).upgrade(&both, &once).await.unwrap();
    let twice = fixture.records().remove(0);
    assert!(once.commit_id != old.commit_id && twice.commit_id != once.commit_id);
    for (record, columns) in [(once, first), (twice, both)] {
        assert_eq!(record.files.len(), 2, "one of the day, and the quarantine");
        if fixture.records()[0].commit_id == record.commit_id {
            let footer = footer(&fixture, &record).await;
            assert_eq!(footer.schema.fields(), columns.schema.fields());
            assert_eq!(footer.job["job.name"], "a", "that of the file itself");
            let commit = footer.commit.unwrap();
            assert_eq!((commit.files, commit.doubts), (2, Some(doubts.clone())));
        }
    }
    assert_eq!(fixture.stored().await, fixture.recorded());
}

#[actix::test]
async fn g3_what_an_upgrade_wrote_before_it_ended_early_is_deleted_by_the_next_start() {
    let fixture = Fixture::new();
    fetch_day(&fixture, 0).await;
    fetch_day(&fixture, 1).await;
    let recorded = fixture.recorded();
    let [first, second] = &fixture.records()[..] else { panic!("not two records") };
    let mut files = [first.files.clone(), second.files.clone()].concat();
    let last = files.iter_mut().rfind(|file| file.kind() == FileKind::Nested).unwrap();
    last.sha256 = "0".repeat(64);
    let interval = Interval::new(first.interval.from_ms(), second.interval.to_ms()).unwrap();
    let old = ShardRecord { files, interval, ..first.clone() };
    let error = upgrader(&fixture, "{}").upgrade(&calls(), &old).await.unwrap_err();
    assert!(error.to_string().contains("its checksum is another one"), "{error}");
    assert!(fixture.stored().await.iter().any(|path| path.starts_with("_staging/")));
    clean_up(&fixture.output, &fixture.ledger).await.unwrap();
    assert_eq!(fixture.stored().await, recorded);
}

#[test]
fn a_new_file_has_the_name_of_the_old_one_of_its_kind_and_day() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Arc::clone(catalog::test_dataset("skills"));
    let file = |day: &str| FileRecord {
        path: format!("skills/date={day}/named-by-an-earlier-program.parquet"),
        rows: 1,
        bytes: 1,
        sha256: String::new(),
    };
    let files = ["1970-01-01", "1970-01-02"].map(file);
    let shard = ShardUpgrade {
        settings: ParquetSettings { layout: Layout::Both, ..ParquetSettings::for_tests() },
        output: OutputStore::directory(folder.path()).unwrap(),
        old: ShardRecord {
            dataset: dataset.name.clone(),
            interval: Interval::new(0, 172_800_000).unwrap(),
            counts: Counts::default(),
            files: files.to_vec(),
            commit_id: "c-1".to_owned(),
            open_rows: 0,
            details: ShardDetails::default(),
        },
        dataset,
        commit_id: "c-1_new".to_owned(),
        commit_files: 4,
    };
    let days = CommittedDay::of(&shard.old.files);
    for (day, file) in days.iter().zip(&files) {
        let [nested, table] = &shard.paths(day)[..] else { panic!("a day has two files") };
        assert_eq!(*nested, file.path);
        assert!(table.starts_with(&format!("skills.tables/skills/date={}/1970", day.date)));
    }
    assert_eq!(days.len(), 2);
}
