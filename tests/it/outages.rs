//! Outages of the network and of the whole platform: they are waited out by few requests, and cost
//! no shard, or they end the run. If only one dataset fails, that is not an outage.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cxbackfill::testing::RequestError;
use serde_json::json;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::common::{
    stub_backfill::{StubBackfill, StubResult},
    stub_transport::{Stub, StubRequest, StubResponse},
};

const CATALOG: &str = "[dataset.rows]\nversion = 1\nid = 'id'\ntime = 'at'\ncolumns = 'row'\n\
    [dataset.rows.query]\npath = '/rows'\nrows = ''\npaging = 'none'\n\
    query = { from = '{from}', to = '{to}' }\n\
    [type.row]\nid = 'string'\nteam = 'string'\nat = 'timestamp'\n";

/// Shards of three hours, eight a day, fetched by four actors.
const SETTINGS: [&str; 2] = ["fetch.shard=3h", "fetch.actors=4"];

/// One row at the beginning of the requested interval.
fn row(request: &StubRequest) -> StubResponse {
    match request.url.path() {
        "/rows" => {
            let from = request.param("from").unwrap();
            (200, json!([{ "id": from, "team": "t", "at": from }]).to_string())
        }
        _ => (404, String::new()),
    }
}

/// An outage that begins with the request `begin` for rows and lasts for `length`.
struct Outage {
    begin: usize,
    length: Duration,
    rows: AtomicUsize,
    /// When it began; then the number of requests that failed in it.
    state: std::sync::Mutex<(Option<Instant>, usize)>,
}

impl Outage {
    fn new(begin: usize, length: Duration) -> Arc<Self> {
        Arc::new(Self { begin, length, rows: AtomicUsize::new(1), state: Default::default() })
    }

    fn fails(&self, address: &str) -> bool {
        let is_row = address.contains("/rows");
        let number = self.rows.fetch_add(usize::from(is_row), Ordering::Relaxed);
        let mut state = self.state.lock().unwrap();
        if number >= self.begin && is_row && state.0.is_none() {
            state.0 = Some(Instant::now());
        }
        let is_out = state.0.is_some_and(|since| since.elapsed() < self.length);
        state.1 += usize::from(is_out);
        is_out
    }

    fn failed(&self) -> usize {
        self.state.lock().unwrap().1
    }
}

fn network(outage: &Arc<Outage>, error: RequestError) -> Arc<Stub> {
    let outage = Arc::clone(outage);
    let fails = move |address: &str| outage.fails(address).then(|| error.clone());
    Stub::behind(Box::new(fails), "/oauth/token", row)
}

fn backfill(stub: &Arc<Stub>, settings: &[&str]) -> StubResult {
    let settings = [&SETTINGS, settings].concat();
    StubBackfill::new(CATALOG, "", &settings).run(stub, CancellationToken::new())
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn an_outage_of_the_network_is_waited_out_by_few_requests_and_costs_no_shard() {
    for error in [
        RequestError::Network("connection refused".into()),
        // a proxy or a load balancer that accepts connections and has nobody to pass them on to
        RequestError::Timeout(Duration::from_secs(30)),
    ] {
        let outage = Outage::new(3, HOUR * 3 / 4);
        let result = backfill(&network(&outage, error), &["retry.attempts=2"]);
        assert_eq!((result.code, result.rows.len()), (0, 8), "{:?}", result.gaps);
        assert!(result.elapsed < HOUR, "{:?}", result.elapsed);
        // with pauses of a minute at most, and half a minute at least
        assert!((45..110).contains(&outage.failed()), "{} failed", outage.failed());
        let rows = result.requests.iter().filter(|request| request.contains("/rows"));
        assert_eq!(rows.count(), 8, "{:#?}", result.requests);
    }
}

#[test]
fn an_outage_of_the_whole_platform_is_waited_out_and_splits_no_shard() {
    for status in [500, 502, 503, 504] {
        let outage = Outage::new(3, HOUR / 2);
        let of_platform = Arc::clone(&outage);
        let stub = Stub::new("/oauth/token", move |request| {
            match of_platform.fails(request.url.as_str()) {
                true => (status, String::new()),
                false => row(request),
            }
        });
        let result = backfill(&stub, &["retry.give_up_dataset_after=1", "fetch.smallest_shard=3h"]);
        assert_eq!((result.code, result.rows.len()), (0, 8), "{status}: {:?}", result.gaps);
        assert!(outage.failed() < 80, "{status}: {} failed", outage.failed());
    }
}

#[test]
fn an_outage_that_is_longer_than_retry_outage_ends_the_run() {
    let outage = Outage::new(3, HOUR * 2);
    let stub = network(&outage, RequestError::Network("connection refused".into()));
    let result = backfill(&stub, &["retry.outage=10m"]);
    assert_eq!(result.code, 4, "{:?}", result.gaps);
    let elapsed = result.elapsed.as_secs();
    assert!((600..660).contains(&elapsed), "{elapsed}");
    for part in ["connection refused", "retry.outage", "continues from here"] {
        assert!(result.gaps[0].contains(part), "{:?}", result.gaps);
    }
}

#[test]
fn a_host_that_never_answered_ends_the_run_after_the_usual_attempts() {
    for error in [
        RequestError::Network("connection refused".into()),
        RequestError::Timeout(Duration::from_secs(30)),
    ] {
        let error = error.clone();
        let failed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&failed);
        let stub = Stub::behind(
            Box::new(move |address| {
                let fails = !address.contains("/oauth");
                count.fetch_add(usize::from(fails), Ordering::Relaxed);
                fails.then(|| error.clone())
            }),
            "/oauth/token",
            row,
        );
        let result = backfill(&stub, &[]);
        assert_eq!((result.code, result.rows.len()), (4, 0), "{:?}", result.gaps);
        assert!(
            result.gaps[0].contains("no request of this run has succeeded"),
            "{:?}",
            result.gaps
        );
        let failed = failed.load(Ordering::Relaxed);
        // eight attempts of four shards, and a probe for every third of them
        assert!((25..50).contains(&failed), "{failed} failed");
        assert!(result.elapsed < Duration::from_secs(300), "{:?}", result.elapsed);
    }
}

#[test]
fn a_dataset_that_fails_alone_is_given_up_and_is_no_outage() {
    for status in [500, 502, 503, 504] {
        let stub = Stub::new("/oauth/token", move |request| match request.url.path() {
            "/rows" => (status, String::new()),
            _ => row(request),
        });
        let settings =
            ["fetch.actors=1", "fetch.smallest_shard=3h", "retry.give_up_dataset_after=3"];
        let result = backfill(&stub, &settings);
        assert_eq!(result.code, 1, "{status}: {:?}", result.gaps);
        assert!(result.gaps.iter().any(|gap| gap.contains("given up")), "{:?}", result.gaps);
        let probes = result.requests.iter().filter(|request| !request.contains("/rows")).count();
        assert_eq!((result.requests.len() - probes, probes), (24, 3), "{status}");
    }
}

#[test]
fn outage_after_outage_does_not_go_on_for_ever() {
    // the probe is answered every other time, and a request for rows never
    let probes = AtomicUsize::new(0);
    let rows = AtomicUsize::new(0);
    let stub = Stub::new("/oauth/token", move |request| match request.url.path() {
        "/rows" if rows.fetch_add(1, Ordering::Relaxed) == 0 => row(request),
        "/rows" => (502, String::new()),
        _ if probes.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => (502, String::new()),
        _ => row(request),
    });
    let settings = ["fetch.actors=1", "fetch.smallest_shard=3h", "retry.give_up_dataset_after=2"];
    let result = backfill(&stub, &settings);
    assert_eq!((result.code, result.rows.len()), (1, 1), "{:?}", result.gaps);
    assert!(result.requests.len() < 200, "{} requests", result.requests.len());
}

/// A backfill of one planned shard of a day, of which queries that `is_slow` are answered 504.
fn day(is_slow: impl Fn(i64, i64) -> bool + Send + Sync + 'static) -> StubResult {
    let stub = Stub::new("/oauth/token", move |request| {
        if request.url.path() != "/rows" {
            return (404, String::new());
        }
        let minute = |name: &str| {
            let time: jiff::Timestamp = request.param(name).unwrap().parse().unwrap();
            (time.as_millisecond() - 1_704_067_200_000) as f64 / 60_000.0
        };
        let (from, to) = (minute("from").floor() as i64, minute("to").ceil() as i64);
        if is_slow(from, to) { (504, String::new()) } else { row(request) }
    });
    let settings = ["fetch.shard=1d", "fetch.actors=2"];
    StubBackfill::new(CATALOG, "", &settings).run(&stub, CancellationToken::new())
}

#[test]
fn a_split_stops_when_a_sample_of_its_parts_fails_alike() {
    let result = day(|_, _| true);
    assert_eq!((result.code, result.rows.len(), result.gaps.len()), (1, 0, 1), "{:?}", result.gaps);
    assert!(result.gaps[0].contains("a sample of its parts failed alike"), "{:?}", result.gaps);
    assert!(result.requests.len() < 120, "{} requests", result.requests.len());
}

#[test]
fn a_split_goes_on_while_parts_succeed() {
    // all of it, in parts that the platform can answer
    let narrow = day(|from, to| to - from > 15);
    assert_eq!((narrow.code, narrow.gaps.len()), (0, 0), "{:?}", narrow.gaps);
    // one bad minute, and one bad hour: everything around them is fetched
    let minute = day(|from, to| from <= 754 && 754 < to);
    assert_eq!((minute.code, minute.gaps.len()), (1, 1), "{:?}", minute.gaps);
    assert!(minute.rows.len() >= 10, "{:?}", minute.rows);
    let hour = day(|from, to| from < 780 && 720 < to);
    assert_eq!(hour.code, 1);
    let is_fetched = |time: &str| hour.rows.iter().any(|row| row.contains(time));
    assert!(is_fetched("T00:00") && is_fetched("T13:") && is_fetched("T18:00"), "{:?}", hour.rows);
    assert!(hour.requests.len() < 150, "{} requests", hour.requests.len());
}
