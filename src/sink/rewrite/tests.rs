use std::collections::BTreeMap;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::TimestampMicrosecondType,
};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::{
    ledger::{AcceptedInterval, DoubtfulInterval, FollowUp},
    sink::{
        ParquetSettings, Write, clean_up,
        tests::{Fixture, START, calls},
    },
    time::interval::iso,
};

const HOUR_MS: i64 = 3_600_000;

/// A call that is still open.
fn call(id: &str, hour: i64) -> String {
    format!(r#"{{"callId":"{id}","startedAt":"{}"}}"#, iso(START + hour * HOUR_MS))
}

/// Fetches a shard from one hour to another that has these rows.
async fn fetch(fixture: &Fixture, hours: (i64, i64), rows: &[String]) {
    let shard = fixture.shard(hours.0, hours.1, false);
    let page = fixture.decode(&shard, &rows.join(","));
    let (received, lease) = (page.received, hours.0.unsigned_abs() + 1);
    fixture.sink.send(Write { lease, shard: shard.clone(), page }).await.unwrap().unwrap();
    fixture.commit(lease, &shard, received).await.unwrap();
}

/// Three shards of a day: two calls, one of which is not owned and a row without an id; none; a
/// call and a newer copy of one of the first shard, at another time.
async fn three_shards() -> Fixture {
    let fixture = Fixture::new();
    let bad = |hour: i64| format!(r#"{{"startedAt":"{}"}}"#, iso(START + hour * HOUR_MS));
    fetch(&fixture, (0, 6), &[call("a", 1), call("b", 2), call("x", 9), bad(3)]).await;
    fetch(&fixture, (6, 12), &[]).await;
    fetch(&fixture, (12, 24), &[call("c", 13), call("a", 14), bad(15), bad(16)]).await;
    fixture
}

fn rewriter(fixture: &Fixture) -> Rewriter {
    rewriter_without(fixture, ForgottenRows::default())
}

fn rewriter_without(fixture: &Fixture, forgotten: ForgottenRows) -> Rewriter {
    let settings = ParquetSettings { job: "{}".into(), ..ParquetSettings::for_tests() };
    Rewriter::new(fixture.output.clone(), fixture.ledger.clone(), settings, forgotten)
}

/// The hours of the committed calls by id, of all files that the ledger names.
async fn committed(fixture: &Fixture) -> BTreeMap<String, i64> {
    let mut calls = BTreeMap::new();
    let files = fixture.records().into_iter().flat_map(|record| record.files);
    for file in files.filter(|file| file.kind() == FileKind::Nested) {
        let content = read::open(&fixture.output, &file.path).await.unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap() {
            let batch: RecordBatch = batch.unwrap();
            let times = batch["startedAt"].as_primitive::<TimestampMicrosecondType>().values();
            for (id, time) in batch["callId"].as_string::<i32>().iter().zip(times) {
                let hour = (time / 1_000 - START) / HOUR_MS;
                assert!(calls.insert(id.unwrap().to_owned(), hour).is_none(), "{id:?} is doubled");
            }
        }
    }
    calls
}

#[actix::test]
async fn merged_shards_have_the_rows_counts_and_quarantine_of_all_of_them() {
    let fixture = three_shards().await;
    let before = fixture.records();
    let new = rewriter(&fixture).replace(&calls(), &before, RewriteReason::Merged).await.unwrap();
    let [record] = &fixture.records()[..] else { panic!("not one record") };
    assert_eq!((new.len(), &new[0].commit_id), (1, &record.commit_id));
    assert_eq!(record.interval, Interval::day_of(START));
    let counts = |received, written, not_owned, duplicate, quarantined| Counts {
        received,
        written,
        not_owned,
        duplicate,
        quarantined,
        forgotten: 0,
    };
    // the first copy of `a` was written, and is a duplicate now
    assert_eq!(record.counts, counts(8, 3, 1, 1, 3));
    assert_eq!(record.open_rows, 3);
    let [b, c, a] = [("b", 2), ("c", 13), ("a", 14)].map(|(id, hour)| (id.to_owned(), hour));
    assert_eq!(committed(&fixture).await, BTreeMap::from([a, b, c]));
    let stored = fixture.stored().await;
    assert_eq!(stored, fixture.recorded(), "the old files are deleted, and nothing is left over");
    let quarantine = stored.iter().find(|path| FileKind::of(path) == FileKind::Quarantine).unwrap();
    let content = read::open(&fixture.output, quarantine).await.unwrap();
    let lines = std::io::read_to_string(content).unwrap();
    assert_eq!(lines.lines().count(), 3);
    assert!(lines.lines().all(|line| line.contains("startedAt")), "{lines}");
    assert!(fixture.ledger.intents().unwrap().is_empty());
}

#[actix::test]
async fn merged_shards_keep_their_doubts_follow_ups_and_acceptances() {
    let fixture = three_shards().await;
    let before = fixture.records();
    let accepted = AcceptedInterval {
        dataset: "calls".into(),
        interval: before[0].interval,
        reason: "known".into(),
    };
    fixture.ledger.accept(&accepted).unwrap();
    let doubts: Vec<DoubtfulInterval> = fixture.ledger.doubtful("calls").unwrap();
    assert_eq!(doubts.len(), 2);
    let follow_ups = fixture.ledger.follow_ups("calls").unwrap();
    let [first, last] = &follow_ups[..] else { panic!("{follow_ups:?}") };
    let next_ms = first.next_ms.min(last.next_ms);
    // a run that was to replace the last shard ended before it did
    fixture.ledger.intend("calls", &[], Some(before[2].interval)).unwrap();

    rewriter(&fixture).replace(&calls(), &before, RewriteReason::Merged).await.unwrap();
    assert_eq!(fixture.ledger.doubtful("calls").unwrap(), doubts);
    assert_eq!(fixture.ledger.accepted("calls").unwrap(), [accepted]);
    let day = Interval::day_of(START);
    let expected = FollowUp {
        dataset: "calls".into(),
        interval: day,
        attempts: 0,
        next_ms,
        rows: 3,
        open_rows: 3,
    };
    assert_eq!(fixture.ledger.follow_ups("calls").unwrap(), [expected]);
    assert_eq!(fixture.ledger.stale("calls").unwrap(), [day], "it is still to be fetched again");
}

#[actix::test]
async fn the_file_of_merged_shards_tells_the_doubts_of_all_of_them() {
    let fixture = three_shards().await;
    let before = fixture.records();
    fixture
        .ledger
        .record_doubt(&DoubtfulInterval {
            dataset: "calls".into(),
            interval: before[1].interval,
            kind: GapKind::CountMismatch,
            reason: "0 of 1 rows".into(),
        })
        .unwrap();
    rewriter(&fixture).replace(&calls(), &before, RewriteReason::Merged).await.unwrap();
    let record = fixture.records().remove(0);
    let file = record.nested_files().next().unwrap();
    let content = read::open(&fixture.output, &file.path).await.unwrap();
    let doubts = read::footer(&content).unwrap().commit.unwrap().doubts.unwrap();
    let expected = [
        (GapKind::Quarantined, "3 rows cannot be decoded".to_owned()),
        (GapKind::CountMismatch, "0 of 1 rows".to_owned()),
    ];
    assert_eq!(doubts, expected);
}

#[actix::test]
async fn g3_a_merge_that_was_decided_is_completed_by_whoever_opens_the_output_next() {
    let fixture = three_shards().await;
    let before = fixture.records();
    let expected =
        BTreeMap::from([("a".to_owned(), 14), ("b".to_owned(), 2), ("c".to_owned(), 13)]);
    // a process that is killed before it records what it decided
    rewriter(&fixture).decide(&calls(), &before, RewriteReason::Merged).await.unwrap().unwrap();
    assert_eq!(fixture.records().len(), 3, "nothing is replaced yet");
    assert!(fixture.stored().await.iter().any(|path| path.starts_with("_staging/")));
    clean_up(&fixture.output, &fixture.ledger).await.unwrap();
    assert_eq!(fixture.records().len(), 1);
    assert_eq!(committed(&fixture).await, expected);
    assert_eq!(fixture.stored().await, fixture.recorded());
    assert!(fixture.ledger.prepared().unwrap().is_empty());
}

#[actix::test]
async fn g3_a_decided_replacement_is_abandoned_if_its_staged_files_are_lost() {
    for reason in [RewriteReason::Forgotten, RewriteReason::Merged] {
        for renamed in [0, 1] {
            let mut forgotten = ForgottenRows::default();
            forgotten.add("calls", [crate::decode::id_hash("a")]).unwrap();
            let fixture = three_shards().await;
            let before = fixture.records();
            let mut killed = rewriter_without(&fixture, forgotten.clone());
            // a merge has a new name, a removal that of the old file
            let old = match reason {
                RewriteReason::Merged => &before[..],
                RewriteReason::Forgotten => &before[..1],
            };
            let decided = killed.decide(&calls(), old, reason).await.unwrap().unwrap();
            // the quarantine, whose rows are the same after a removal
            let (quarantine, nested): (Vec<_>, Vec<_>) = decided
                .renames
                .iter()
                .cloned()
                .partition(|(_, to)| FileKind::of(to) == FileKind::Quarantine);
            fixture.output.rename(&quarantine[..renamed.min(quarantine.len())]).await.unwrap();
            let lost: Vec<_> = nested.into_iter().map(|(from, _)| from).collect();
            assert_eq!(fixture.output.remove(&lost).await.unwrap(), 1);

            clean_up(&fixture.output, &fixture.ledger).await.unwrap();
            let records = fixture.records();
            assert_eq!(format!("{records:?}"), format!("{before:?}"), "{reason:?}");
            assert_eq!(fixture.stored().await, fixture.recorded());
            assert!(fixture.ledger.prepared().unwrap().is_empty());
            assert!(fixture.ledger.intents().unwrap().is_empty());

            let mut again = rewriter_without(&fixture, forgotten);
            let new = again.replace(&calls(), old, reason).await.unwrap();
            assert!(
                new.iter().any(|record| record.counts.forgotten > 0),
                "the old files are intact"
            );
            assert_eq!(fixture.stored().await, fixture.recorded());
        }
    }
}

#[actix::test]
async fn a_file_that_is_not_the_recorded_one_is_not_merged() {
    let fixture = three_shards().await;
    let mut before = fixture.records();
    before[2].files[1].sha256 = "0".repeat(64);
    let error =
        rewriter(&fixture).replace(&calls(), &before, RewriteReason::Merged).await.unwrap_err();
    assert!(error.to_string().contains("its checksum is another one"), "{error}");
    assert_eq!(fixture.records().len(), 3);
    assert_eq!(fixture.stored().await, fixture.recorded());
}

/// Two calls, and a row that cannot be decoded and names the first. The ids that are forgotten are
/// that of the first.
async fn call_to_forget() -> (Fixture, ForgottenRows) {
    let fixture = Fixture::new();
    let bad = format!(r#"{{"startedAt":"{}","of":"a"}}"#, iso(START + 3 * HOUR_MS));
    fetch(&fixture, (0, 24), &[call("a", 1), call("b", 2), bad]).await;
    let mut forgotten = ForgottenRows::default();
    forgotten.add("calls", [crate::decode::id_hash("a")]).unwrap();
    (fixture, forgotten)
}

#[actix::test]
async fn g5_forgotten_rows_are_left_out_and_counted_also_those_that_cannot_be_decoded() {
    let (fixture, forgotten) = call_to_forget().await;
    assert_eq!(fixture.ledger.doubtful("calls").unwrap().len(), 1);
    let mut rewriter = rewriter_without(&fixture, forgotten);
    rewriter.replace(&calls(), &fixture.records(), RewriteReason::Forgotten).await.unwrap();
    let expected = Counts { received: 3, written: 1, forgotten: 2, ..Counts::default() };
    let [record] = &fixture.records()[..] else { panic!("not one record") };
    assert_eq!((record.counts, record.open_rows), (expected, 1));
    assert_eq!(committed(&fixture).await, BTreeMap::from([("b".to_owned(), 2)]));
    assert_eq!(fixture.stored().await, fixture.recorded());
    assert_eq!(fixture.recorded().len(), 1, "the quarantine had no other row");
    assert!(fixture.ledger.doubtful("calls").unwrap().is_empty());
    assert!(fixture.ledger.has_forgotten().unwrap());
    let footer = read::open(&fixture.output, &record.files[0].path).await.unwrap();
    let footer = read::footer(&footer).unwrap().commit.unwrap();
    assert_eq!(footer.counts, expected, "a rebuild knows them, too");

    // what is replaced once more keeps the count
    rewriter.replace(&calls(), &fixture.records(), RewriteReason::Forgotten).await.unwrap();
    assert_eq!(fixture.records()[0].counts, expected);
}

#[actix::test]
async fn g3_a_removal_that_was_decided_is_completed_by_whoever_opens_the_output_next() {
    let (fixture, forgotten) = call_to_forget().await;
    let before = fixture.records();
    let mut killed = rewriter_without(&fixture, forgotten);
    killed.decide(&calls(), &before, RewriteReason::Forgotten).await.unwrap().unwrap();
    assert_eq!(committed(&fixture).await.len(), 2);
    clean_up(&fixture.output, &fixture.ledger).await.unwrap();
    assert_eq!(committed(&fixture).await.len(), 1);
    assert_eq!(fixture.stored().await, fixture.recorded());

    // killed after the file took its name, and before that was recorded
    let (fixture, forgotten) = call_to_forget().await;
    let mut killed = rewriter_without(&fixture, forgotten);
    let decided = killed.decide(&calls(), &fixture.records(), RewriteReason::Forgotten).await;
    fixture.output.rename(&decided.unwrap().unwrap().renames).await.unwrap();
    clean_up(&fixture.output, &fixture.ledger).await.unwrap();
    assert_eq!(fixture.records()[0].counts.forgotten, 2);
    assert_eq!(committed(&fixture).await.len(), 1);
    assert_eq!(fixture.stored().await, fixture.recorded());
}
