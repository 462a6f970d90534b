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
        Layout, ParquetSettings, Write, clean_up,
        tests::{Fixture, START, calls},
    },
    time::interval::iso,
};

const HOUR_MS: i64 = 3_600_000;

const LAYOUTS: [Layout; 3] = [Layout::Nested, Layout::Tables, Layout::Both];

/// A call that is still open, with a leg that tells its hour.
fn call(id: &str, hour: i64) -> String {
    let at = iso(START + hour * HOUR_MS);
    format!(r#"{{"callId":"{id}","startedAt":"{at}","legs":[{{"ani":"{hour}"}}]}}"#)
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
async fn three_shards(layout: Layout) -> Fixture {
    let fixture = Fixture::with_layout(layout);
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
    let settings = ParquetSettings {
        job: "{}".into(),
        layout: layout(fixture),
        ..ParquetSettings::for_tests()
    };
    Rewriter::new(fixture.output.clone(), fixture.ledger.clone(), settings, forgotten)
}

/// The layout of the committed files.
fn layout(fixture: &Fixture) -> Layout {
    let recorded = fixture.recorded();
    let has = |folder: &str| recorded.iter().any(|path| path.starts_with(folder));
    match (has("calls/"), has("calls.tables/")) {
        (_, false) => Layout::Nested,
        (true, true) => Layout::Both,
        (false, true) => Layout::Tables,
    }
}

/// The hours of the committed calls by id, of all files that the ledger names. Those of nested rows
/// and of each table must be equal.
async fn committed(fixture: &Fixture) -> BTreeMap<String, i64> {
    let mut kinds = BTreeMap::<String, BTreeMap<String, i64>>::new();
    let files = fixture.records().into_iter().flat_map(|record| record.files);
    for file in files.filter(|file| file.kind() != FileKind::Quarantine) {
        let calls = kinds.entry(format!("{:?}", file.kind())).or_default();
        let content = read::open(&fixture.output, &file.path).await.unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap() {
            let batch: RecordBatch = batch.unwrap();
            let times = batch["startedAt"].as_primitive::<TimestampMicrosecondType>().values();
            for (row, id) in batch["callId"].as_string::<i32>().iter().enumerate() {
                let hour = (times[row] / 1_000 - START) / HOUR_MS;
                assert!(calls.insert(id.unwrap().to_owned(), hour).is_none(), "{id:?} is doubled");
                let ani = match batch.column_by_name("legs") {
                    Some(legs) => legs.as_list::<i32>().value(row).as_struct().column(0).clone(),
                    None => match batch.column_by_name("ani") {
                        Some(anis) => anis.slice(row, 1),
                        None => continue,
                    },
                };
                let ani: Vec<_> = ani.as_string::<i32>().iter().collect();
                assert_eq!(ani, [Some(&hour.to_string()[..])], "the legs of {id:?}");
            }
        }
    }
    let mut kinds = kinds.into_values();
    let calls = kinds.next().unwrap_or_default();
    assert!(kinds.all(|others| others == calls), "the tables have other calls");
    calls
}

#[actix::test]
async fn merged_shards_have_the_rows_counts_and_quarantine_of_all_of_them_in_every_layout() {
    for layout in LAYOUTS {
        expect_merged(&three_shards(layout).await).await;
    }
}

async fn expect_merged(fixture: &Fixture) {
    let before = fixture.records();
    let new = rewriter(fixture).replace(&calls(), &before, RewriteReason::Merged).await.unwrap();
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
    assert_eq!(committed(fixture).await, BTreeMap::from([a, b, c]));
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
    let fixture = three_shards(Layout::Nested).await;
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
    let fixture = three_shards(Layout::Nested).await;
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
    for layout in LAYOUTS {
        expect_completed_merge(&three_shards(layout).await).await;
    }
}

async fn expect_completed_merge(fixture: &Fixture) {
    let before = fixture.records();
    let expected =
        BTreeMap::from([("a".to_owned(), 14), ("b".to_owned(), 2), ("c".to_owned(), 13)]);
    // a process that is killed before it records what it decided
    rewriter(fixture).decide(&calls(), &before, RewriteReason::Merged).await.unwrap().unwrap();
    assert_eq!(fixture.records().len(), 3, "nothing is replaced yet");
    assert!(fixture.stored().await.iter().any(|path| path.starts_with("_staging/")));
    clean_up(&fixture.output, &fixture.ledger).await.unwrap();
    assert_eq!(fixture.records().len(), 1);
    assert_eq!(committed(fixture).await, expected);
    assert_eq!(fixture.stored().await, fixture.recorded());
    assert!(fixture.ledger.prepared().unwrap().is_empty());
}

/// Decides a replacement, gives so many files their names, loses the others, and opens the output
/// once more. `None` if there are fewer files.
async fn lose_staged_files(
    fixture: &Fixture,
    forgotten: &ForgottenRows,
    old: &[ShardRecord],
    reason: RewriteReason,
    renamed: usize,
) -> Option<()> {
    let mut killed = rewriter_without(fixture, forgotten.clone());
    let decided = killed.decide(&calls(), old, reason).await.unwrap().unwrap();
    let (named, lost) = decided.renames.split_at_checked(renamed)?;
    fixture.output.rename(named).await.unwrap();
    let lost: Vec<_> = lost.iter().map(|(from, _)| from.clone()).collect();
    assert_eq!(fixture.output.remove(&lost).await.unwrap(), lost.len());
    clean_up(&fixture.output, &fixture.ledger).await.unwrap();
    assert!(fixture.ledger.prepared().unwrap().is_empty());
    assert!(fixture.ledger.intents().unwrap().is_empty());
    assert_eq!(fixture.stored().await, fixture.recorded());
    Some(())
}

#[actix::test]
async fn g3_a_merge_whose_staged_files_are_lost_is_abandoned_and_can_be_repeated() {
    for layout in LAYOUTS {
        for renamed in 0.. {
            let fixture = three_shards(layout).await;
            let (before, none) = (fixture.records(), ForgottenRows::default());
            let merged = RewriteReason::Merged;
            if lose_staged_files(&fixture, &none, &before, merged, renamed).await.is_none() {
                assert!(renamed > 2, "{layout:?}: {renamed}");
                break;
            }
            let is_complete = fixture.records().len() == 1;
            if !is_complete {
                assert_eq!(format!("{:?}", fixture.records()), format!("{before:?}"));
                rewriter(&fixture).replace(&calls(), &before, merged).await.unwrap();
            }
            assert_eq!(committed(&fixture).await.len(), 3);
            assert_eq!(fixture.stored().await, fixture.recorded());
        }
    }
}

#[actix::test]
async fn g3_a_removal_whose_staged_files_are_lost_can_be_repeated_or_is_fetched_again() {
    for layout in LAYOUTS {
        let mut ends = Vec::new();
        for renamed in 0.. {
            let (fixture, forgotten) = call_to_forget_in(layout).await;
            let (before, reason) = (fixture.records(), RewriteReason::Forgotten);
            if lose_staged_files(&fixture, &forgotten, &before, reason, renamed).await.is_none() {
                break;
            }
            let stale = fixture.ledger.stale("calls").unwrap();
            if fixture.records()[0].counts.forgotten > 0 {
                ends.push("completed");
            } else if stale.is_empty() {
                assert_eq!(format!("{:?}", fixture.records()), format!("{before:?}"));
                let mut again = rewriter_without(&fixture, forgotten);
                again.replace(&calls(), &before, reason).await.unwrap();
                ends.push("repeated");
            } else {
                assert_eq!(stale, [before[0].interval]);
                let shard = fixture.shard(0, 24, true);
                let page = fixture.decode(&shard, &call("b", 2));
                let write = Write { lease: 9, shard: shard.clone(), page };
                fixture.sink.send(write).await.unwrap().unwrap();
                fixture.commit(9, &shard, 1).await.unwrap();
                assert!(fixture.ledger.stale("calls").unwrap().is_empty());
                ends.push("fetched again");
            }
            let expected = BTreeMap::from([("b".to_owned(), 2)]);
            assert_eq!(committed(&fixture).await, expected, "{layout:?}: {renamed}");
            assert_eq!(fixture.stored().await, fixture.recorded());
        }
        // of nested rows everything can be made again until their own file is replaced, the last
        // one
        let expected = match layout {
            Layout::Nested => &["repeated", "completed"][..],
            Layout::Tables => &["repeated", "fetched again", "completed"],
            Layout::Both => &["repeated", "repeated", "repeated", "completed"],
        };
        assert_eq!(ends, expected, "{layout:?}");
    }
}

#[actix::test]
async fn a_file_that_is_not_the_recorded_one_is_not_merged() {
    let fixture = three_shards(Layout::Nested).await;
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
async fn call_to_forget_in(layout: Layout) -> (Fixture, ForgottenRows) {
    let fixture = Fixture::with_layout(layout);
    let bad = format!(r#"{{"startedAt":"{}","of":"a"}}"#, iso(START + 3 * HOUR_MS));
    fetch(&fixture, (0, 24), &[call("a", 1), call("b", 2), bad]).await;
    let mut forgotten = ForgottenRows::default();
    forgotten.add("calls", [crate::decode::id_hash("a")]).unwrap();
    (fixture, forgotten)
}

async fn call_to_forget() -> (Fixture, ForgottenRows) {
    call_to_forget_in(Layout::Nested).await
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
