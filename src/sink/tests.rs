use std::collections::BTreeSet;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::{
    catalog::{self, Dataset},
    decode::{Decoder, PageParser, RowKey},
    ledger::{LEDGER, ShardRecord, reader::Snapshot},
    time::interval::Interval,
};

const CATALOG: &str = r#"
[dataset.calls]
version = 1
id      = "callId"
time    = "startedAt"
open    = "endedAt"
columns = "call"
query   = { path = "/calls", rows = "/calls", paging = "none" }

[type.call]
callId    = "string"
startedAt = "timestamp"
endedAt   = "timestamp"
legs      = "list<leg>"

[type.leg]
ani = "string"

[dataset.calls.tables.calls]
[dataset.calls.tables.legs]
rows = "legs[]"
"#;

/// The dataset of the tests.
pub(super) fn calls() -> Arc<Dataset> {
    Arc::clone(&catalog::read("test", CATALOG).unwrap().datasets["calls"])
}

/// 2024-01-01.
pub(super) const START: i64 = 1_704_067_200_000;

/// A sink over a directory.
pub(super) struct Fixture {
    dataset: Arc<Dataset>,
    pub output: OutputStore,
    pub ledger: Ledger,
    pub sink: Addr<SinkActor>,
    _output_folder: tempfile::TempDir,
    ledger_folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with_layout(Layout::Nested)
    }

    pub(super) fn with_layout(layout: Layout) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::over(OutputStore::directory(folder.path()).unwrap(), folder, layout)
    }

    /// A sink over an output in a folder.
    pub(super) fn over(output: OutputStore, folder: tempfile::TempDir, layout: Layout) -> Self {
        let dataset = calls();
        let ledger_folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&ledger_folder.path().join(LEDGER)).unwrap();
        let settings = ParquetSettings {
            compression: parquet::basic::Compression::UNCOMPRESSED,
            profile: Profile::Fast,
            layout,
            row_group_rows: 100,
            job: "{}".into(),
            schemas: FileSchemas::default(),
        };
        let forgotten = ForgottenRows::default();
        let sink = SinkActor::new(output.clone(), ledger.clone(), settings, forgotten).start();
        Self { dataset, output, ledger, sink, _output_folder: folder, ledger_folder }
    }

    /// A shard from one hour to another since [`START`].
    pub(super) fn shard(&self, from_hour: i64, to_hour: i64, replaces: bool) -> Shard {
        let ms = |hour: i64| START + hour * 3_600_000;
        let interval = Interval::new(ms(from_hour), ms(to_hour)).unwrap();
        Shard::new(Arc::clone(&self.dataset), interval, replaces)
    }

    /// A page of a call in each of these hours since [`START`], of which those in `open` have no
    /// end.
    fn page(&self, shard: &Shard, hours: &[i64], open: &[i64]) -> Page {
        let call = |hour: &i64| {
            let time = crate::time::interval::iso(START + hour * 3_600_000);
            let end = if open.contains(hour) { "null".to_owned() } else { format!("{time:?}") };
            format!(r#"{{"callId":"call-{hour}","startedAt":{time:?},"endedAt":{end}}}"#)
        };
        self.decode(shard, &hours.iter().map(call).collect::<Vec<_>>().join(","))
    }

    /// A page of these rows.
    pub(super) fn decode(&self, shard: &Shard, rows: &str) -> Page {
        let body = Bytes::from(format!(r#"{{"calls":[{rows}]}}"#));
        let reply = PageParser::new(self.dataset.endpoint(), Vec::new()).find(body).unwrap();
        Decoder::new(&self.dataset).decode(&reply, shard.interval).unwrap()
    }

    async fn write(
        &self,
        lease: LeaseId,
        shard: &Shard,
        hours: &[i64],
    ) -> Result<Counts, SinkError> {
        let page = self.page(shard, hours, &[]);
        self.sink.send(Write { lease, shard: shard.clone(), page }).await.unwrap()
    }

    pub(super) async fn commit(
        &self,
        lease: LeaseId,
        shard: &Shard,
        received: u64,
    ) -> Result<Committed, SinkError> {
        let commit =
            Commit { lease, shard: shard.clone(), received, doubts: Vec::new(), cost: None };
        self.sink.send(commit).await.unwrap()
    }

    /// Writes calls of these hours and commits them.
    async fn fetch(&self, lease: LeaseId, shard: &Shard, hours: &[i64]) {
        self.write(lease, shard, hours).await.unwrap();
        self.commit(lease, shard, hours.len() as u64).await.unwrap();
    }

    /// The paths of all files in the store.
    pub(super) async fn stored(&self) -> BTreeSet<String> {
        let objects = self.output.store().list(None).map_ok(|object| object.location.to_string());
        objects.try_collect().await.unwrap()
    }

    pub(super) fn recorded(&self) -> BTreeSet<String> {
        self.ledger.file_paths().unwrap().into_iter().collect()
    }

    fn committed(&self) -> Vec<Interval> {
        self.ledger.committed("calls").unwrap()
    }

    pub(super) fn records(&self) -> Vec<ShardRecord> {
        let mut snapshot = Snapshot::read(&self.ledger_folder.path().join(LEDGER)).unwrap();
        snapshot.datasets.remove("calls").unwrap().shards
    }
}

#[actix::test]
async fn g5_a_commit_whose_counts_differ_is_refused_before_anything_is_written() {
    let fixture = Fixture::new();
    let shard = fixture.shard(0, 24, false);
    fixture.write(1, &shard, &[1, 2]).await.unwrap();
    let refused = fixture.commit(1, &shard, 3).await;
    assert!(matches!(refused, Err(SinkError::Unbalanced { received: 3, .. })), "{refused:?}");
    assert_eq!((fixture.committed(), fixture.stored().await), (vec![], BTreeSet::new()));
    assert!(fixture.ledger.intents().unwrap().is_empty());
}

#[actix::test]
async fn a_lease_whose_write_failed_cannot_be_committed() {
    let fixture = Fixture::new();
    let shard = fixture.shard(0, 24, false);
    fixture.write(1, &shard, &[1]).await.unwrap();
    // a batch that does not have the columns of the dataset
    let key = RowKey { id: 7, version: 0, time_ms: START, digest: 7 };
    let other: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("other", other)]).unwrap();
    let page = Page { batch, keys: vec![key], ..fixture.page(&shard, &[1], &[]) };
    let failed = fixture.sink.send(Write { lease: 1, shard: shard.clone(), page }).await.unwrap();
    assert!(failed.is_err());
    for received in [0, 1, 2] {
        let refused = fixture.commit(1, &shard, received).await;
        assert!(matches!(refused, Err(SinkError::WriteFailed { .. })), "{refused:?}");
    }
    assert_eq!(fixture.committed(), []);
    // another lease of the shard starts anew
    fixture.sink.send(Discard { lease: 1 }).await.unwrap();
    fixture.fetch(2, &shard, &[1, 2]).await;
    assert_eq!(fixture.committed(), [shard.interval]);
}

#[actix::test]
async fn a_wide_shard_is_committed_as_one_record_a_day_that_balance_in_sum() {
    let fixture = Fixture::new();
    let shard = fixture.shard(12, 96, false);
    // one row is not owned, one comes twice, and one day has no rows
    let page = fixture.page(&shard, &[3, 13, 14, 14, 30, 80], &[14, 80]);
    fixture.sink.send(Write { lease: 1, shard: shard.clone(), page }).await.unwrap().unwrap();
    let committed = fixture.commit(1, &shard, 6).await.unwrap();
    assert_eq!((committed.counts.written, committed.counts.duplicate), (4, 1));
    assert_eq!(fixture.committed(), shard.record_intervals());
    assert_eq!((fixture.committed().len(), fixture.recorded().len()), (4, 3));
    let records = fixture.records();
    let counts: Vec<_> =
        records.iter().map(|record| (record.counts.received, record.open_rows)).collect();
    assert_eq!(counts, [(4, 1), (1, 0), (0, 0), (1, 1)]);
    assert!(records.iter().all(|record| record.counts.balance()));
    assert_eq!(records[0].counts.not_owned, 1);
}

#[actix::test]
async fn g3_what_is_replaced_stays_until_both_halves_of_a_split_are_there() {
    let fixture = Fixture::new();
    fixture.fetch(1, &fixture.shard(0, 24, false), &[1, 13]).await;
    let before = (fixture.committed(), fixture.recorded());

    let [left, right] = [fixture.shard(0, 12, true), fixture.shard(12, 24, true)];
    fixture.fetch(2, &left, &[1, 2]).await;
    assert_eq!((fixture.committed(), fixture.recorded()), before);
    assert_eq!(fixture.ledger.stale("calls").unwrap(), before.0);
    let staged: Vec<_> = fixture.stored().await.difference(&before.1).cloned().collect();
    assert!(staged.len() == 1 && staged[0].starts_with("_staging/"), "{staged:?}");

    fixture.fetch(3, &right, &[13, 14]).await;
    assert_eq!(fixture.committed(), [left.interval, right.interval]);
    assert_eq!(fixture.stored().await, fixture.recorded());
    assert_eq!(fixture.ledger.stale("calls").unwrap(), []);
    assert!(fixture.ledger.garbage().unwrap().is_empty());
    assert!(fixture.ledger.intents().unwrap().is_empty());
}

#[actix::test]
async fn at_the_end_of_a_run_a_replacement_that_is_not_complete_is_deleted() {
    let fixture = Fixture::new();
    fixture.fetch(1, &fixture.shard(0, 24, false), &[1, 13]).await;
    let before = (fixture.committed(), fixture.recorded(), fixture.stored().await);
    let half = fixture.shard(0, 12, true);
    fixture.fetch(2, &half, &[1]).await;
    assert_ne!(fixture.stored().await, before.2);
    let discarded = fixture.sink.send(DiscardStaged).await.unwrap().unwrap();
    assert_eq!(discarded.iter().map(|record| record.interval).collect::<Vec<_>>(), [half.interval]);
    assert_eq!((fixture.committed(), fixture.recorded(), fixture.stored().await), before);
    assert!(fixture.ledger.intents().unwrap().is_empty());
    assert_eq!(fixture.ledger.stale("calls").unwrap(), [fixture.shard(0, 24, true).interval]);
}

#[actix::test]
async fn a_refresh_of_several_days_takes_the_names_of_the_old_files() {
    let fixture = Fixture::new();
    fixture.fetch(1, &fixture.shard(0, 48, false), &[1, 30]).await;
    let before = fixture.recorded();
    fixture.fetch(2, &fixture.shard(0, 48, true), &[1, 2, 30]).await;
    assert_eq!((fixture.recorded(), fixture.stored().await), (before.clone(), before));
    assert_eq!(fixture.records()[0].counts.written, 2);
}

#[actix::test]
async fn a_day_that_has_no_rows_any_more_loses_its_file() {
    let fixture = Fixture::new();
    fixture.fetch(1, &fixture.shard(0, 48, false), &[1, 30]).await;
    fixture.fetch(2, &fixture.shard(0, 48, true), &[1]).await;
    assert_eq!(fixture.recorded().len(), 1);
    assert_eq!(fixture.stored().await, fixture.recorded());
    assert_eq!(fixture.committed().len(), 2);
}

#[actix::test]
async fn a_partial_commit_leaves_rows_at_its_end_to_the_rest() {
    let fixture = Fixture::new();
    let shard = fixture.shard(0, 48, false);
    fixture.write(1, &shard, &[1, 24, 24]).await.unwrap();
    let part = fixture.shard(0, 24, false);
    let committed = fixture.commit(1, &part, 3).await.unwrap();
    let Counts { written, not_owned, duplicate, .. } = committed.counts;
    assert_eq!((written, not_owned, duplicate), (1, 1, 1));
    fixture.fetch(1, &fixture.shard(24, 48, false), &[24, 30]).await;
    assert_eq!(fixture.committed(), shard.record_intervals());
}

#[actix::test]
async fn g3_a_start_deletes_only_what_the_ledger_intended_or_replaced() {
    let fixture = Fixture::new();
    fixture.fetch(1, &fixture.shard(0, 24, false), &[1]).await;
    let recorded = fixture.recorded();
    let kept = recorded.first().unwrap().clone();
    let put = async |path: &str| {
        fixture.output.put(path, 1, fixture.output.spool_file().spool()).await.unwrap();
    };
    for path in ["calls/foreign.parquet", "calls/intended.parquet", "calls/replaced.parquet"] {
        put(path).await;
    }
    let intents = [kept, "calls/intended.parquet".into(), "calls/never.parquet".into()]
        .map(|path| (path, "commit".to_owned()));
    fixture.ledger.intend("calls", &intents, None).unwrap();
    let file = FileRecord {
        path: "calls/replaced.parquet".into(),
        rows: 1,
        bytes: 0,
        sha256: String::new(),
    };
    let mut record = fixture.records().remove(0);
    (record.interval, record.files) = (fixture.shard(24, 48, false).interval, vec![file]);
    fixture.ledger.commit(&[record.clone()], &[], &[], false).unwrap();
    record.files.clear();
    fixture.ledger.commit(&[record], &[], &[], true).unwrap();

    assert_eq!(clean_up(&fixture.output, &fixture.ledger).await.unwrap(), 2);
    let mut left = recorded;
    left.insert("calls/foreign.parquet".into());
    assert_eq!(fixture.stored().await, left);
    assert!(fixture.ledger.intents().unwrap().is_empty());
    assert!(fixture.ledger.garbage().unwrap().is_empty());
}

#[actix::test]
async fn a_doubt_is_recorded_with_its_commit() {
    let fixture = Fixture::new();
    let shard = fixture.shard(0, 48, false);
    let doubts = vec![(GapKind::CountMismatch, "2 of 3 rows".to_owned())];
    let commit = Commit { lease: 1, shard: shard.clone(), received: 0, doubts, cost: None };
    fixture.sink.send(commit).await.unwrap().unwrap();
    let doubtful = fixture.ledger.doubtful("calls").unwrap();
    let intervals: Vec<_> = doubtful.iter().map(|doubt| doubt.interval).collect();
    assert_eq!(intervals, shard.record_intervals());
}

#[actix::test]
async fn rows_that_alternate_between_two_days_fill_one_row_group_a_day() {
    let fixture = Fixture::new();
    let shard = fixture.shard(0, 48, false);
    // 64 rows of 128 KiB: a page of 8 MiB
    let zeros = "0".repeat(128 << 10);
    let calls: Vec<_> = (0..64)
        .map(|call| {
            let time = crate::time::interval::iso(START + call % 2 * 86_400_000 + call);
            format!(r#"{{"callId":"{zeros}{call}","startedAt":{time:?}}}"#)
        })
        .collect();
    let body = Bytes::from(format!(r#"{{"calls":[{}]}}"#, calls.join(",")));
    let reply = PageParser::new(fixture.dataset.endpoint(), Vec::new()).find(body).unwrap();
    let page = Decoder::new(&fixture.dataset).decode(&reply, shard.interval).unwrap();
    let settings = Arc::new(ParquetSettings::for_tests());
    let mut writer = ShardWriter::new(shard.clone(), fixture.output.clone(), settings);
    writer.write(&page).unwrap();
    let records = writer.finish(shard.interval, "commit", &[]).unwrap();
    let files: Vec<_> = records.into_iter().flat_map(|record| record.files).collect();
    assert_eq!(files.len(), 2);
    for (day, file) in (0i64..).zip(files) {
        let content = file.content.into_reader();
        let reader = ParquetRecordBatchReaderBuilder::try_new(content).unwrap();
        let group_rows: Vec<_> =
            reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(group_rows, [32], "{}", file.path);
        let rows: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        let ids = rows.iter().flat_map(|rows| {
            let ids = rows["callId"].as_string::<i32>();
            ids.iter().map(|id| id.unwrap().parse::<i64>().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(ids.collect::<Vec<_>>(), Vec::from_iter((day..64).step_by(2)), "{}", file.path);
    }
}
