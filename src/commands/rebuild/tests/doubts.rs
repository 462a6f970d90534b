//! What becomes of doubts, and of rows that are quarantined.

use actix::Actor;

use super::*;
use crate::{
    decode::{Decoder, PageParser},
    planning::Shard,
    sink::{Commit, ForgottenRows, ParquetSettings, SinkActor, Write},
};

/// What the ledger says of each committed interval: counts, files, commit and doubts.
fn said(snapshot: &Snapshot) -> Vec<String> {
    let records = &snapshot.datasets[DATASET];
    let said = records.shards.iter().map(|shard| {
        let ShardRecord { interval, counts, files, commit_id, open_rows, .. } = shard;
        let doubts = records.doubtful.iter().filter(|doubt| doubt.interval == *interval);
        let doubts: Vec<_> = doubts.map(|doubt| (doubt.kind, &doubt.reason)).collect();
        format!("{interval} {counts:?} {files:?} {commit_id} {open_rows} {doubts:?}")
    });
    said.collect()
}

#[actix::test]
async fn a_rebuild_records_what_the_commit_recorded_doubts_and_quarantined_days_included() {
    let environment = Environment::new();
    let dataset = &environment.scope.datasets[0];
    let shard = Shard::new(Arc::clone(dataset), days(0, 4), false);
    let call = |day: i64, id: &str| {
        format!(r#"{{{id}"conversationStart":"{}"}}"#, iso(FIRST_MS + day * DAY_MS))
    };
    // a row on the first day and one without a time, none on the second, a row without an id on the
    // third and two rows on the last
    let id = |id: u8| format!(r#""conversationId":"{id}","#);
    let rows = [call(0, &id(1)), "5".into(), call(2, ""), call(3, &id(2)), call(3, &id(3))];
    let body = format!(r#"{{"conversations":[{}],"totalHits":5}}"#, rows.join(","));
    let reply = PageParser::new(dataset.endpoint(), Vec::new()).find(body.into()).unwrap();
    let page = Decoder::new(dataset).decode(&reply, shard.interval).unwrap();
    let output = OutputStore::directory(environment.folder.path()).unwrap();
    let ledger = Ledger::open(&environment.path(LEDGER)).unwrap();
    let settings = ParquetSettings { job: "{}".into(), ..ParquetSettings::for_tests() };
    let sink = SinkActor::new(output, ledger, settings, ForgottenRows::default()).start();
    sink.send(Write { lease: 1, shard: shard.clone(), page }).await.unwrap().unwrap();
    let doubts = vec![(GapKind::CountMismatch, "5 of 6 rows".to_owned())];
    let commit = Commit { lease: 1, shard, received: 5, doubts, cost: None };
    sink.send(commit).await.unwrap().unwrap();

    let mut before = said(&environment.snapshot());
    assert!(before.iter().all(|said| said.contains("Quarantined, ")), "{before:?}");
    assert!(before.iter().all(|said| said.contains("CountMismatch, ")), "{before:?}");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(environment.path(&format!("{LEDGER}{suffix}")));
    }
    let rebuilt = rebuild(&environment.scope).await.unwrap();
    assert_eq!(reasons(&rebuilt), []);
    // nothing is left of a day without rows: it is fetched again
    before.remove(1);
    assert_eq!(said(&environment.snapshot()), before);
}

#[tokio::test]
async fn a_rebuild_leaves_out_a_commit_whose_quarantine_is_that_of_another_one() {
    let environment = Environment::new();
    let commit = TestCommit { files: 2, quarantined: 2, ..commit("a-1.0", days(0, 1)) };
    let path = environment.write(&commit, 0);
    let lines = format!("_quarantine/{DATASET}/{}.ndjson", days(0, 1).slug());
    std::fs::create_dir_all(environment.path(&lines).parent().unwrap()).unwrap();
    std::fs::write(environment.path(&lines), "{}\n".repeat(5)).unwrap();
    let rebuilt = rebuild(&environment.scope).await.unwrap();
    assert_eq!(rebuilt.commits, 0);
    let reason = "its quarantine has 5 of 2 rows";
    assert!(reasons(&rebuilt).contains(&(path.as_str(), reason)), "{rebuilt:?}");
}

#[tokio::test]
async fn footers_without_doubts_make_every_record_of_a_commit_with_quarantined_rows_doubtful() {
    let environment = Environment::new();
    environment.write(&TestCommit { files: 2, quarantined: 3, ..commit("a-1.0", days(0, 1)) }, 0);
    let lines = format!("_quarantine/{DATASET}/{}.ndjson", days(0, 1).slug());
    std::fs::create_dir_all(environment.path(&lines).parent().unwrap()).unwrap();
    std::fs::write(environment.path(&lines), "{}\n{}\n{}\n").unwrap();
    environment.write(&commit("a-1.1", days(1, 2)), 1);
    environment.write(&commit("a-2.0", days(2, 3)), 2);
    rebuild(&environment.scope).await.unwrap();
    let doubtful = &environment.snapshot().datasets[DATASET].doubtful;
    let doubts: Vec<_> =
        doubtful.iter().map(|doubt| (doubt.interval, doubt.reason.as_str())).collect();
    let beside = "3 rows beside it have no readable time and may belong to it";
    assert_eq!(doubts, [(days(0, 1), "3 rows cannot be decoded"), (days(1, 2), beside)]);
}

#[tokio::test]
async fn the_doubts_that_no_footer_tells_outlive_a_rebuild() {
    let environment = Environment::new();
    // an interrupted upgrade wrote the files anew; footers of earlier programs do not tell doubts
    let told = TestCommit { doubts: Some("[]"), ..commit("a-1.0", days(0, 1)) };
    let paths = [environment.write(&told, 0), environment.write(&commit("a-2.0", days(1, 2)), 1)];
    let ledger = Ledger::open(&environment.path(LEDGER)).unwrap();
    let added = paths.into_iter().zip([days(0, 1), days(1, 2)]).map(|(path, interval)| {
        let sha256 = "00".into();
        ShardRecord {
            dataset: DATASET.into(),
            interval,
            counts: Counts { received: 1, written: 1, ..Counts::default() },
            files: vec![crate::ledger::FileRecord { path, rows: 1, bytes: 1, sha256 }],
            commit_id: String::new(),
            open_rows: 0,
            details: ShardDetails::default(),
        }
    });
    let recorded = RebuiltRecords { added: added.collect(), ..RebuiltRecords::default() };
    ledger.rebuild(&recorded).unwrap();
    let doubts = [
        (days(0, 1), GapKind::CountMismatch),
        (days(0, 1), GapKind::OutOfOrder),
        (days(0, 2), GapKind::NothingOwned),
        (days(1, 2), GapKind::CountMismatch),
    ];
    for (interval, kind) in doubts {
        let (dataset, reason) = (DATASET.into(), "2 of 3 rows".into());
        ledger.record_doubt(&DoubtfulInterval { dataset, interval, kind, reason }).unwrap();
    }
    drop(ledger);

    rebuild(&environment.scope).await.unwrap();
    let snapshot = environment.snapshot();
    let records = &snapshot.datasets[DATASET];
    assert!(records.shards.iter().all(|shard| !shard.commit_id.is_empty()), "{records:?}");
    let left: Vec<_> = records.doubtful.iter().map(|doubt| (doubt.interval, doubt.kind)).collect();
    assert_eq!(left, doubts[1..], "the footer of the first day says that no rows were missing");
}
