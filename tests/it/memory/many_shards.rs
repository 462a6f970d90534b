//! G8: memory does not grow with the number of shards, whatever the layout.
use std::time::Duration;

use actix::System;
use bytes::Bytes;
use cxbackfill::testing::{
    Interval, OutputStore, Region, RequestError, RunOutcome, Scope, Settings, Transport, run,
};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use nix::sys::resource::{UsageWho, getrusage};
use tokio::time::{Instant, sleep};

use super::{MIB, ledger_in, peak_memory};
use crate::common::{
    environment::{config, environment},
    own_process::is_own_process,
};

/// A run of many shards of the sandbox's conversations, which have 212 leaf columns.
struct ManyShards {
    actors: usize,
    shards: i64,
    width_ms: i64,
    rows_per_day: u32,
    /// Whether a few conversations have thousands of segments, and some long notes.
    skew: bool,
    layout: &'static str,
    max_bytes: i64,
}

impl ManyShards {
    /// The shards that are fetched: as many as the variable SHARDS says, if it is set.
    fn shards(&self) -> i64 {
        let wanted = std::env::var("SHARDS").ok();
        wanted.map_or(self.shards, |shards| shards.parse().expect("SHARDS is a number"))
    }
}

/// Fetches many shards in a process of its own, and demands that its memory stays below the
/// promise.
fn expect_many_bounded(test: &str, case: ManyShards) {
    if !is_own_process(test) {
        return;
    }
    let shards = case.shards();
    let folder = tempfile::tempdir().unwrap();
    let set = [
        format!("fetch.actors={}", case.actors),
        format!("fetch.shard={}m", case.width_ms / 60_000),
        "fetch.strategy=query".to_owned(),
        "budget.requests=0".to_owned(),
        format!("output.layout={}", case.layout),
    ];
    let mut config = config(&set);
    // 2013, so that 100,000 hours are over
    let start = 1_356_998_400_000;
    config.interval = Interval::new(start, start + shards * case.width_ms).unwrap();
    let settings = Settings {
        requests: 0,
        conversations_per_day: case.rows_per_day,
        skew: case.skew,
        ..Settings::default()
    };
    let region = InProcess { region: Region::new(settings), start: Instant::now() };
    let report = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
    })
    .block_on(async {
        let (output, ledger) =
            (OutputStore::directory(folder.path()).unwrap(), ledger_in(folder.path()));
        let plan = run::prepare(&config, Scope::Missing, &output, &ledger).await.unwrap();
        let environment = environment(std::sync::Arc::new(region), output, ledger);
        run::backfill(&config, plan, &environment).await.unwrap()
    });
    assert!(matches!(report.outcome, RunOutcome::Complete), "{}", report.outcome);
    let (peak, usage) = (peak_memory(), getrusage(UsageWho::RUSAGE_SELF).unwrap());
    let cpu = usage.user_time() + usage.system_time();
    println!(
        "{} rows of {} shards with {} actors, {}: at most {} MB; {} ms of CPU",
        report.summary.rows_written,
        shards,
        case.actors,
        case.layout,
        peak / 1_000_000,
        cpu.tv_sec() * 1_000 + cpu.tv_usec() / 1_000
    );
    assert!(report.summary.shards_committed >= shards.unsigned_abs(), "some are in the future");
    assert!(peak < case.max_bytes, "{} MB", peak / 1_000_000);
}

/// The sandbox in the process of the test.
struct InProcess {
    region: Region,
    start: Instant,
}

impl Transport for InProcess {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        let reply = self.region.reply(self.start.elapsed(), &request);
        Box::pin(async {
            // an API takes a while, so that the shards of many fetchers are open at once
            sleep(Duration::from_millis(50)).await;
            Ok(reply)
        })
    }
}

const HOUR_MS: i64 = 3_600_000;

/// Shards of an hour and two rows each.
const SMALL_SHARDS: ManyShards = ManyShards {
    actors: 64,
    shards: 1_500,
    width_ms: HOUR_MS,
    rows_per_day: 48,
    skew: false,
    layout: "nested",
    max_bytes: 200 * MIB,
};

/// A day of 1,000 rows for each actor.
const DAYS: ManyShards = ManyShards {
    actors: 64,
    shards: 64,
    width_ms: 24 * HOUR_MS,
    rows_per_day: 1_000,
    skew: false,
    layout: "nested",
    max_bytes: 400 * MIB,
};

/// One day with a few conversations of thousands of segments.
const HUGE_DAY: ManyShards = ManyShards {
    actors: 4,
    shards: 1,
    width_ms: 24 * HOUR_MS,
    rows_per_day: 20_000,
    skew: true,
    layout: "nested",
    max_bytes: 300 * MIB,
};

#[test]
fn g8_small_shards_with_64_actors_stay_below_200_mebibytes() {
    expect_many_bounded(
        "memory::many_shards::g8_small_shards_with_64_actors_stay_below_200_mebibytes",
        SMALL_SHARDS,
    );
}

#[test]
fn g8_days_of_3000_rows_with_4_actors_stay_below_200_mebibytes() {
    expect_many_bounded(
        "memory::many_shards::g8_days_of_3000_rows_with_4_actors_stay_below_200_mebibytes",
        ManyShards {
            actors: 4,
            shards: 16,
            width_ms: 24 * HOUR_MS,
            rows_per_day: 3_000,
            skew: false,
            layout: "nested",
            max_bytes: 200 * MIB,
        },
    );
}

#[test]
fn g8_days_of_3000_rows_with_8_actors_stay_below_300_mebibytes() {
    expect_many_bounded(
        "memory::many_shards::g8_days_of_3000_rows_with_8_actors_stay_below_300_mebibytes",
        ManyShards {
            actors: 8,
            shards: 16,
            width_ms: 24 * HOUR_MS,
            rows_per_day: 3_000,
            skew: false,
            layout: "nested",
            max_bytes: 300 * MIB,
        },
    );
}

#[test]
fn g8_days_of_1000_rows_with_64_actors_stay_below_400_mebibytes() {
    expect_many_bounded(
        "memory::many_shards::g8_days_of_1000_rows_with_64_actors_stay_below_400_mebibytes",
        DAYS,
    );
}

#[test]
fn g8_small_shards_with_huge_conversations_and_64_actors_stay_below_200_mebibytes() {
    expect_many_bounded(
        "memory::many_shards::g8_small_shards_with_huge_conversations_and_64_actors_stay_below_200_mebibytes",
        ManyShards { skew: true, ..SMALL_SHARDS },
    );
}

#[test]
fn g8_a_day_with_huge_conversations_and_4_actors_stays_below_300_mebibytes() {
    expect_many_bounded(
        "memory::many_shards::g8_a_day_with_huge_conversations_and_4_actors_stays_below_300_mebibytes",
        HUGE_DAY,
    );
}

#[test]
fn g8_nested_rows_and_tables_of_small_shards_with_64_actors_stay_below_200_mebibytes() {
    expect_many_bounded(
        "memory::many_shards::g8_nested_rows_and_tables_of_small_shards_with_64_actors_stay_below_200_mebibytes",
        ManyShards { layout: "both", ..SMALL_SHARDS },
    );
}

#[test]
fn g8_nested_rows_and_tables_of_days_with_64_actors_stay_below_400_mebibytes() {
    expect_many_bounded(
        "memory::many_shards::g8_nested_rows_and_tables_of_days_with_64_actors_stay_below_400_mebibytes",
        ManyShards { layout: "both", ..DAYS },
    );
}

#[test]
fn g8_nested_rows_and_tables_of_a_day_of_20000_rows_stay_below_300_mebibytes() {
    expect_many_bounded(
        "memory::many_shards::g8_nested_rows_and_tables_of_a_day_of_20000_rows_stay_below_300_mebibytes",
        ManyShards { layout: "both", ..HUGE_DAY },
    );
}
