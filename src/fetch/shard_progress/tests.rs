//! Tests of the progress of a shard.

use std::sync::Arc;

use actix::prelude::*;
use arrow::array::RecordBatch;
use bytes::Bytes;

use super::*;
use crate::{
    catalog::{self, Dataset},
    decode::{DayHint, RowKey},
    fetch::RequestContext,
    planning::{Next, Plan, PlannerActor},
};

const DAY_MS: i64 = 86_400_000;

/// The progress of a shard of two days.
async fn progress(dataset: &Arc<Dataset>) -> ShardProgress {
    let days = Interval::new(0, 2 * DAY_MS).unwrap();
    let shard = Shard::new(Arc::clone(dataset), days, false);
    let mut plan = Plan::default();
    plan.add_whole(&shard);
    let lease = PlannerActor::new(plan).start().send(Next).await.unwrap().unwrap();
    let pager = Pager::new(
        dataset,
        dataset.endpoint(),
        shard.interval,
        10,
        &Arc::new(RequestContext::for_tests()),
        &Arc::default(),
    );
    ShardProgress::new(lease, pager)
}

/// A page with rows of these times.
fn page(times: &[i64]) -> Page {
    let key = |&time_ms: &i64| RowKey { id: 0, version: 0, time_ms, digest: 0 };
    let batch = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
    Page::of_rows(batch, times.iter().map(key).collect())
}

/// Where a partial commit may end after three rows: before the next page, and on an interrupt.
fn partial_commit_ends(progress: &mut ShardProgress) -> (Option<i64>, Option<i64>) {
    progress.advance(&page(&[1, 2, 3]));
    (progress.partial_commit_before(&page(&[5, 6])), progress.partial_commit_end())
}

#[actix::test]
async fn unordered_datasets_are_not_committed_partially_even_if_rows_look_ordered() {
    for (dataset, expected) in
        [("conversations", (Some(5), Some(3))), ("user-details", (None, None))]
    {
        let mut progress = progress(catalog::test_dataset(dataset)).await;
        assert_eq!(partial_commit_ends(&mut progress), expected, "{dataset}");
        progress.restart(5);
        assert_eq!(partial_commit_ends(&mut progress), expected, "{dataset} after a restart");
    }
}

#[actix::test]
async fn rows_that_are_counted_exactly_are_compared_before_a_day_is_committed() {
    let mut progress = progress(catalog::test_dataset("conversations")).await;
    let next_day = page(&[1, DAY_MS + 1]);
    assert_eq!(progress.complete_days(&next_day), Some((1, DAY_MS)));
    progress.total = Some(3);
    assert_eq!(progress.complete_days(&next_day), None);
}

/// A page of rows, the last of which cannot be decoded.
fn undecodable_page(times: &[i64], own_time_ms: Option<i64>, rows_before: usize) -> Page {
    let mut page = page(times);
    let day = DayHint::new(own_time_ms, rows_before);
    page.bad.push(&Bytes::from_static(b"[0]"), 1..2, "a reason", day, true);
    page
}

#[actix::test]
async fn a_page_that_ends_with_undecodable_rows_prevents_a_partial_commit_before_the_next() {
    let next_day = page(&[DAY_MS + 1, DAY_MS + 2]);
    let ends = async |last: Page| {
        let mut progress = progress(catalog::test_dataset("conversations")).await;
        progress.advance(&last);
        (progress.partial_commit_before(&next_day), progress.complete_days(&next_day))
    };
    let none = (None, None);
    let both = (Some(DAY_MS + 1), Some((0, DAY_MS)));
    assert_eq!(ends(undecodable_page(&[1, 2], None, 2)).await, none, "the last row");
    assert_eq!(ends(undecodable_page(&[1, 2], None, 1)).await, both, "before another row");
    let late = undecodable_page(&[1, 2], Some(DAY_MS), 1);
    assert_eq!(ends(late).await.1, None, "its own time is in the next part");

    let mut progress = progress(catalog::test_dataset("conversations")).await;
    progress.advance(&undecodable_page(&[1, 2], None, 2));
    progress.advance(&undecodable_page(&[], None, 0));
    assert_eq!(progress.partial_commit_before(&next_day), None, "a page of nothing else");
    progress.advance(&page(&[3]));
    assert_eq!(progress.complete_days(&next_day), Some((0, DAY_MS)), "a row came after it");
}

#[actix::test]
async fn rows_that_arrive_out_of_order_prevent_partial_commits() {
    let mut progress = progress(catalog::test_dataset("conversations")).await;
    progress.advance(&page(&[2, 1]));
    assert_eq!(partial_commit_ends(&mut progress), (None, None));
}

#[actix::test]
async fn rows_that_arrive_after_their_part_was_committed_are_noticed_unless_they_are_copies() {
    let mut progress = progress(catalog::test_dataset("conversations")).await;
    let late = |time_ms, digest| Page {
        left_out: vec![LeftOutRow { time_ms, end_ms: time_ms, digest }],
        ..page(&[])
    };
    progress.advance(&page(&[1, 2]));
    assert_eq!(progress.parts_with_late_rows(&late(1, 7)), [], "nothing is committed");
    let day = Interval::day_of(0);
    progress.after_partial_commit(day);
    assert_eq!(progress.parts_with_late_rows(&late(1, 0)), [], "a copy of the last page's row");
    assert_eq!(progress.parts_with_late_rows(&late(-1, 7)), [], "of an earlier day");
    assert_eq!(progress.parts_with_late_rows(&late(1, 7)), [day]);
    assert_eq!(progress.parts_with_late_rows(&late(1, 8)), [], "each part once");
    let mut next = page(&[3]);
    next.keys[0].digest = 9;
    progress.after_partial_commit(day);
    progress.advance(&next);
    assert_eq!(progress.parts_with_late_rows(&late(1, 0)), [], "a copy of the page before");
    progress.advance(&page(&[]));
    assert_eq!(progress.parts_with_late_rows(&late(1, 0)), [day], "no page repeats older rows");
}
