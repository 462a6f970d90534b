//! Pages a second: the sandbox must outrun every client that reads from it.

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cxbackfill::testing::{Region, Settings};
use http::{Request, Response};

const DAY: &str = "2024-03-18T00:00:00Z/2024-03-19T00:00:00Z";

/// A region without limits, and a token for it.
fn region(conversations_per_day: u32) -> (Region, String) {
    let region =
        Region::new(Settings { requests: 0, conversations_per_day, ..Settings::default() });
    let form = "grant_type=client_credentials&client_id=bench&client_secret=bench";
    let login =
        Request::post("/oauth/token").body(Bytes::from_static(form.as_bytes())).expect("a request");
    let reply: serde_json::Value =
        serde_json::from_slice(region.reply(Duration::ZERO, &login).body()).expect("JSON");
    let token = reply["access_token"].as_str().expect("a token").to_owned();
    (region, token)
}

fn page(region: &Region, token: &str, number: u32) -> Response<Bytes> {
    let body =
        format!(r#"{{"interval":"{DAY}","paging":{{"pageSize":100,"pageNumber":{number}}}}}"#);
    let request = Request::post("/api/v2/analytics/conversations/details/query")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body.into())
        .expect("a request");
    let reply = region.reply(Duration::ZERO, &request);
    assert_eq!(reply.status(), 200);
    reply
}

fn pages(c: &mut Criterion) {
    let mut group = c.benchmark_group("sandbox");
    for a_day in [500, 100_000] {
        let (region, token) = region(a_day);
        let all = a_day / 100;
        let bytes: usize = (1..=5).map(|number| page(&region, &token, number).body().len()).sum();
        group.throughput(Throughput::Bytes(bytes as u64 / 5));
        let mut number = 0;
        group.bench_function(format!("page of a day of {a_day}"), |bencher| {
            bencher.iter(|| {
                number = number % all + 1;
                black_box(page(&region, &token, number))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pages);
criterion_main!(benches);
