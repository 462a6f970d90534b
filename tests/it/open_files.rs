//! G8: a wide shard needs few open files.

use std::{fmt::Write, sync::Arc, time::Duration};

use actix::System;
use bytes::Bytes;
use cxbackfill::testing::{
    Dataset, Endpoint, Interval, Ledger, OutputStore, Plan, RunOutcome, Shard, iso, run,
};
use nix::sys::resource::{Resource, setrlimit};

use crate::common::{
    environment::{config, environment},
    numbered_pages::NumberedPages,
    own_process::is_own_process,
};

const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 31;
/// Each page has a row of each day.
const PAGES: u64 = 48;
/// So much text of each row is its own that the file of a day takes more than a mebibyte.
const ID_BYTES: usize = 64 << 10;

/// A page with a long row of each day of a month from `start_ms` on.
fn page(start_ms: i64, number: u64) -> Bytes {
    let days = if number > PAGES { 0..0 } else { 0..DAYS };
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let rows = days.map(|day| {
        let mut id = String::with_capacity(ID_BYTES);
        while id.len() < ID_BYTES {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            write!(id, "{random:x}").unwrap();
        }
        let start = iso(start_ms + day * DAY_MS + i64::try_from(number).unwrap());
        format!(r#"{{"conversationId":"{id}","conversationStart":"{start}"}}"#)
    });
    let rows = Vec::from_iter(rows).join(",");
    let total = PAGES * DAYS.unsigned_abs();
    format!(r#"{{"conversations":[{rows}],"totalHits":{total}}}"#).into()
}

#[test]
fn g8_a_shard_of_31_days_is_committed_with_40_open_files() {
    if !is_own_process("open_files::g8_a_shard_of_31_days_is_committed_with_40_open_files") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let set = ["fetch.actors=1", "fetch.page_size=31", "budget.requests=0"];
    let mut config = config(&set);
    let start_ms = 1_704_067_200_000;
    config.interval = Interval::new(start_ms, start_ms + DAYS * DAY_MS).unwrap();
    let mut dataset = Dataset::clone(&config.datasets[0]);
    let mut endpoint = Endpoint::clone(dataset.endpoint());
    (endpoint.page_size, endpoint.depth, endpoint.ordered) = (31, u64::MAX, false);
    endpoint.widest = [Duration::from_secs(31 * 86_400); 2];
    (dataset.query, dataset.job) = (Some(Arc::new(endpoint)), None);
    config.datasets = vec![Arc::new(dataset)];
    setrlimit(Resource::RLIMIT_NOFILE, 40, 40).unwrap();
    let report = System::new().block_on(async {
        let (output, ledger) =
            (OutputStore::directory(folder.path()).unwrap(), Ledger::in_memory().unwrap());
        let environment = environment(
            Arc::new(NumberedPages(move |number| page(start_ms, number))),
            output,
            ledger,
        );
        let mut report = None;
        for replaces in [false, true] {
            let mut plan = Plan::default();
            let dataset = Arc::clone(&config.datasets[0]);
            plan.add_whole(&Shard::new(dataset, config.interval, replaces));
            report = Some(run::backfill(&config, plan, &environment).await.unwrap());
        }
        report.unwrap()
    });
    assert!(matches!(report.outcome, RunOutcome::Complete), "{}", report.outcome);
    let summary = report.summary;
    assert_eq!((summary.rows_written, summary.files), (PAGES * DAYS.unsigned_abs(), 31));
}
