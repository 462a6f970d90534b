//! What a request costs us before it leaves: its permit, what its reply says of the quota, and, a
//! shard, the planner's round trip; all with 1,000 actors at once.
//!
//! At 300 requests a second a request has 3,333 µs: below 33 µs a permit is under 1 % of a run. A
//! shard is many requests.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cxbackfill::testing::{
    Dialect, Interval, LeaseEnd, Next, Plan, PlannerActor, QuotaKey, QuotaSettings, RateLimit,
    RateLimitHeaderNames, RequestLimit, Shard, catalog,
};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const ACTORS: u64 = 1_000;
const REQUESTS: u64 = 20;
/// So large that nobody waits for it: what is measured is the work.
const ALLOWED: u32 = 4_000_000_000;
const PER: Duration = Duration::from_secs(60);

static DIALECT: Dialect = Dialect {
    rate_limit: Some(RateLimitHeaderNames {
        allowed: "x-limit-allowed",
        count: "x-limit-count",
        reset: "x-limit-reset",
    }),
    ..Dialect::STANDARD
};

fn headers() -> HeaderMap {
    let pairs = [("allowed", ALLOWED), ("count", 17), ("reset", 60)];
    let name = |name| format!("x-limit-{name}").parse::<HeaderName>().expect("a name");
    pairs.into_iter().map(|(key, value)| (name(key), HeaderValue::from(value))).collect()
}

/// Every actor pays for its requests, and hears of them.
async fn pay(budget: Arc<RateLimit>, headers: Arc<HeaderMap>) {
    let key = QuotaKey { credential: "client".into(), bucket: "api".into() };
    let actor = || async {
        for _ in 0..REQUESTS {
            let permit = budget.admit(&key).await;
            tokio::task::yield_now().await;
            permit.answered(StatusCode::OK, &headers);
        }
    };
    join_all((0..ACTORS).map(|_| actor())).await;
}

fn limiter(c: &mut Criterion) {
    let mut group = c.benchmark_group("budget");
    group.throughput(Throughput::Elements(ACTORS * REQUESTS));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let limit = ALLOWED.try_into().ok().map(|requests| RequestLimit {
        requests,
        per: PER,
        burst: Some(requests),
    });
    let headers = Arc::new(headers());
    let budget = runtime.block_on(async {
        Arc::new(RateLimit::new(QuotaSettings {
            limit,
            dialect: &DIALECT,
            ..QuotaSettings::default()
        }))
    });
    group.bench_function("20,000 permits of 1,000 actors", |bencher| {
        bencher.iter(|| runtime.block_on(pay(Arc::clone(&budget), Arc::clone(&headers))));
    });
    group.finish();
}

/// Every actor takes a shard and ends it.
async fn lease() {
    let dataset = Arc::clone(
        &catalog::builtin("genesys-cloud").expect("a catalogue").datasets["conversations"],
    );
    let interval = Interval::new(0, i64::try_from(ACTORS).expect("a number")).expect("an interval");
    let mut plan = Plan::new(false);
    plan.add(&Shard::new(dataset, interval, false), Duration::from_millis(1));
    let planner = PlannerActor::new(plan).start();
    let actor = || async {
        let lease = planner.send(Next).await.expect("a planner").expect("a shard");
        lease.end(LeaseEnd::Done).await.expect("a planner");
    };
    join_all((0..ACTORS).map(|_| actor())).await;
}

fn planner(c: &mut Criterion) {
    let mut group = c.benchmark_group("planner");
    group.throughput(Throughput::Elements(ACTORS));
    let system = System::new();
    group.bench_function("1,000 shards of 1,000 actors", |bencher| {
        bencher.iter(|| system.block_on(lease()))
    });
    group.finish();
}

criterion_group!(benches, limiter, planner);
criterion_main!(benches);
