use object_store::{ObjectStoreExt, path::Path};

use super::*;
use crate::{
    ledger::Counts,
    sink::{
        CarryOver, ForgottenRows, Layout, ParquetSettings, RewriteReason, Rewriter, Write,
        tests::{Fixture, START, calls},
    },
    time::interval::iso,
};

const HOUR_MS: i64 = 3_600_000;

/// A day with these calls, which are still open, and so many rows that cannot be decoded.
async fn day(layout: Layout, ids: &[&str], bad: usize) -> Fixture {
    let fixture = Fixture::with_layout(layout);
    let shard = fixture.shard(0, 24, false);
    let at = iso(START + HOUR_MS);
    let call =
        |id: &&str| format!(r#"{{"callId":"{id}","startedAt":"{at}","legs":[{{"ani":"{id}"}}]}}"#);
    let bad = vec![format!(r#"{{"startedAt":"{at}"}}"#); bad];
    let rows: Vec<_> = ids.iter().map(call).chain(bad).collect();
    let page = fixture.decode(&shard, &rows.join(","));
    fixture.sink.send(Write { lease: 1, shard: shard.clone(), page }).await.unwrap().unwrap();
    fixture.commit(1, &shard, rows.len() as u64).await.unwrap();
    fixture
}

/// Writes the rows of the day once more, all or those of these calls.
async fn carry_over(fixture: &Fixture, ids: Option<&[&str]>) -> Option<CarriedRows> {
    let shard = fixture.shard(0, 24, true);
    let rows_of = ids.map(|ids| ParentRows {
        column: "callId".to_owned(),
        ids: ids.iter().map(|&id| id.to_owned()).collect(),
    });
    fixture.sink.send(CarryOver { lease: 2, shard, rows_of }).await.unwrap().unwrap()
}

/// Commits what was carried over.
async fn commit(fixture: &Fixture, carried: &CarriedRows) -> Counts {
    let shard = fixture.shard(0, 24, true);
    fixture.commit(2, &shard, carried.rows).await.unwrap();
    fixture.records()[0].counts
}

#[actix::test]
async fn g5_carried_rows_are_counted_with_those_that_cannot_be_decoded() {
    for layout in Layout::ALL {
        for (ids, written, open_ids) in
            [(None, 3, &["a", "b", "c"][..]), (Some(&["a", "c"][..]), 2, &["a", "c"])]
        {
            let fixture = day(layout, &["a", "b", "c"], 2).await;
            let carried = carry_over(&fixture, ids).await.unwrap();
            assert_eq!(
                (carried.rows, carried.open_ids.iter().map(String::as_str).collect()),
                (written + 2, open_ids.to_vec())
            );
            let counts = commit(&fixture, &carried).await;
            let expected =
                Counts { received: written + 2, written, quarantined: 2, ..Counts::default() };
            assert_eq!(counts, expected, "{layout:?}");
        }
    }
}

#[actix::test]
async fn g5_a_record_whose_rows_are_carried_over_still_counts_those_that_were_forgotten() {
    for layout in Layout::ALL {
        let fixture = day(layout, &["a", "b"], 1).await;
        let mut forgotten = ForgottenRows::default();
        forgotten.add("calls", [crate::decode::id_hash("a")]).unwrap();
        let settings = ParquetSettings { job: "{}".into(), layout, ..ParquetSettings::for_tests() };
        let (output, ledger) = (fixture.output.clone(), fixture.ledger.clone());
        let mut rewriter = Rewriter::new(output, ledger, settings, forgotten);
        let reason = RewriteReason::Forgotten;
        rewriter.replace(&calls(), &fixture.records(), reason).await.unwrap();
        let before = fixture.records()[0].counts;
        assert_eq!(before.forgotten, 1);

        let carried = carry_over(&fixture, None).await.unwrap();
        assert_eq!((carried.rows, &carried.open_ids[..]), (3, &["b".to_owned()][..]));
        assert_eq!(commit(&fixture, &carried).await, before, "{layout:?}");
    }
}

#[actix::test]
async fn g3_rows_of_files_with_other_numbers_of_rows_than_recorded_are_not_carried_over() {
    for layout in Layout::ALL {
        for has_other_quarantine in [false, true] {
            let fixture = day(layout, &["a", "b"], 2).await;
            let other = day(layout, &["a"], 1).await;
            for path in fixture.recorded() {
                let is_quarantine = FileKind::of(&path) == FileKind::Quarantine;
                if is_quarantine == has_other_quarantine {
                    let path = Path::from(path);
                    let content = other.output.store().get(&path).await.unwrap().bytes().await;
                    fixture.output.store().put(&path, content.unwrap().into()).await.unwrap();
                }
            }
            assert!(carry_over(&fixture, None).await.is_none(), "{layout:?}");
        }
    }
}

#[actix::test]
async fn g3_tables_of_different_commits_are_not_carried_over() {
    let fixture = day(Layout::Tables, &["a", "b"], 0).await;
    let records = fixture.records();
    let legs = records[0].files.iter().find(|file| file.path.contains("/legs/")).unwrap();
    let legs = Path::from(legs.path.as_str());
    let store = fixture.output.store();
    let older = store.get(&legs).await.unwrap().bytes().await.unwrap();
    let carried = carry_over(&fixture, None).await.unwrap();
    commit(&fixture, &carried).await;
    store.put(&legs, older.into()).await.unwrap();
    assert!(carry_over(&fixture, None).await.is_none());
}
