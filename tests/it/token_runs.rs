//! Tokens in whole runs against the sandbox, on paused time.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cxbackfill::testing::{
    Config, Environment, Interval, Ledger, OutputStore, RequestError, RunOutcome, RunReport, Scope,
    Settings, Transport, run,
};
use futures_util::future::{BoxFuture, join_all};
use http::{Request, Response};
use tokio::time::{Instant, sleep};

use crate::common::{
    delayed_region::{
        DelayedRegion, LOGIN_HOST, get_token, refresh_token, token_actor, with_cache,
    },
    environment::{config, environment, on_virtual_time},
};

/// The report of a run with 64 fetchers.
async fn backfill(platform: &Arc<DelayedRegion>, set: &[&str]) -> RunReport {
    // a limit that is never reached; without a limit, requests in flight would start with one
    let config = config(
        &[&["fetch.actors=64", "fetch.strategy=query", "budget.requests=1000000"], set].concat(),
    );
    backfill_config(platform.clone(), &config).await
}

async fn backfill_config(transport: Arc<dyn Transport>, config: &Config) -> RunReport {
    let (output, ledger) = (
        OutputStore::over(Arc::new(object_store::memory::InMemory::new())),
        Ledger::in_memory().unwrap(),
    );
    let plan = run::prepare(config, Scope::Missing, &output, &ledger).await.unwrap();
    let environment = Environment {
        login: LOGIN_HOST.parse().unwrap(),
        ..environment(transport, output, ledger)
    };
    run::backfill(config, plan, &environment).await.unwrap()
}

fn truth(platform: &DelayedRegion, interval: &str) -> u64 {
    let interval: Interval = interval.parse().unwrap();
    let lines = platform.region.truth(interval.from_ms()..interval.to_ms());
    lines.map(|piece| piece.iter().filter(|&&byte| byte == b'\n').count() as u64).sum()
}

const TEN_DAYS: &str = "2024-01-01T00:00:00Z/2024-01-11T00:00:00Z";

fn assert_complete(platform: &DelayedRegion, report: &RunReport) {
    assert!(matches!(report.outcome, RunOutcome::Complete), "{}", report.outcome);
    assert_eq!(report.summary.rows_written, truth(platform, TEN_DAYS));
    assert_eq!(report.summary.shards_failed, 0);
}

#[test]
fn g7_64_fetchers_cost_one_token_request_at_the_start_and_one_when_all_get_a_401() {
    on_virtual_time(async {
        // every shard of an hour takes two requests of 10 ms: the run lasts from 0 to about 100 ms
        let platform = DelayedRegion::new(Settings {
            revoke_every: Duration::from_millis(60),
            ..Settings::default()
        });
        let report = backfill(&platform, &["fetch.shard=\"1h\""]).await;
        assert_complete(&platform, &report);
        assert!(
            report.summary.elapsed_s < 0.12,
            "a second revocation: {} s",
            report.summary.elapsed_s
        );
        assert!(platform.region.stats().api_requests[&401] >= 32, "{:?}", platform.region.stats());
        assert_eq!(platform.token_requests(), [200, 200]);
    });
}

#[test]
fn tokens_of_two_seconds_cost_one_request_a_renewal_over_a_minute() {
    on_virtual_time(async {
        let platform = DelayedRegion::new(Settings {
            token_lifetime: Duration::from_secs(2),
            ..Settings::default()
        });
        let report = backfill(
            &platform,
            &["fetch.shard=\"1h\"", "budget.requests=400", "budget.per=\"60s\""],
        )
        .await;
        assert_complete(&platform, &report);
        assert!(report.summary.elapsed_s > 60.0, "{} s", report.summary.elapsed_s);
        // a token is renewed by the first who asks once it is 1.6 s old, and permits are 0.15 s
        // apart
        let (most, least) =
            (report.summary.elapsed_s / 1.6, report.summary.elapsed_s / (1.6 + 0.17));
        let asked = platform.token_requests().len() as f64;
        assert!(
            asked <= most + 1.0 && asked >= least - 1.0,
            "{asked} in {} s",
            report.summary.elapsed_s
        );
        assert!(
            !platform.region.stats().api_requests.contains_key(&401),
            "no request met an expired token"
        );
    });
}

/// Blocks the thread of the actors while it sends a request, so that every answer is late.
struct BlockingTransport(Arc<DelayedRegion>);

impl Transport for BlockingTransport {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        Box::pin(async move {
            std::thread::sleep(Duration::from_millis(15));
            self.0.send(request).await
        })
    }
}

#[test]
fn a_late_token_without_a_token_request_costs_no_second_permit() {
    let platform = DelayedRegion::with_latency(Settings::default(), Duration::ZERO);
    let set = [
        "fetch.actors=8",
        "fetch.shard=1h",
        "fetch.strategy=query",
        "job.to=2024-01-02T00:00:00Z",
        "budget.requests=60",
        "budget.per=60s",
        "budget.burst=60",
    ];
    let report = actix::System::new()
        .block_on(backfill_config(Arc::new(BlockingTransport(platform.clone())), &config(&set)));
    assert_eq!(report.summary.requests, 48);
    // with more than 60 permits it would have to wait for a minute
    assert!(report.summary.elapsed_s < 30.0, "{} s", report.summary.elapsed_s);
}

#[test]
fn rows_equal_the_truth_whenever_the_tokens_are_revoked() {
    let (mut met, day) = (0, "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z");
    for seed in 0..1_000 {
        on_virtual_time(async {
            // the run takes about 35 ms: the tokens die once or twice, at an instant of the seed's
            let revoke_every = Duration::from_millis(12) + Duration::from_micros(29 * seed);
            let settings =
                Settings { revoke_every, seed, conversations_per_day: 8, ..Settings::default() };
            let platform = DelayedRegion::with_latency(settings, Duration::from_millis(2));
            let set = [
                "fetch.actors=3",
                "fetch.shard=\"1h\"",
                "job.to=2024-01-02T00:00:00Z",
                "output.compression=uncompressed",
            ];
            let report = backfill(&platform, &set).await;
            assert!(
                matches!(report.outcome, RunOutcome::Complete),
                "seed {seed}: {}",
                report.outcome
            );
            assert_eq!(report.summary.rows_written, truth(&platform, day), "seed {seed}");
            met += platform.region.stats().api_requests.get(&401).copied().unwrap_or(0);
        });
    }
    assert!(met > 1_000, "{met} requests met a revoked token");
}

#[test]
fn a_failed_token_request_is_retried_once_for_all_and_wrong_credentials_never() {
    on_virtual_time(async {
        let platform = DelayedRegion::new(Settings {
            client_secret: Some("right".into()),
            ..Settings::default()
        });
        let throttled =
            r#"{"error":"invalid_request","error_description":"rate limit exceeded; later"}"#;
        platform.outages.lock().unwrap().push((400, throttled));
        let tokens = token_actor(&platform, &["auth.client_secret=right"]);
        let faults = join_all((0..64).map(|_| get_token(&tokens, None))).await;
        assert!(faults.iter().all(|fault| fault.as_ref().is_err_and(|fault| !fault.permanent)));
        sleep(Duration::from_secs(1)).await;
        assert!(
            join_all((0..64).map(|_| get_token(&tokens, None))).await.iter().all(Result::is_ok)
        );
        assert_eq!(platform.token_requests(), [400, 200]);

        let report = backfill(&platform, &["auth.client_secret=wrong"]).await;
        assert_eq!(
            (report.outcome.exit_code() as u8, platform.token_requests().len()),
            (3, 3),
            "{}",
            report.outcome
        );
        assert!(report.outcome.to_string().contains("check auth.client_id"), "{}", report.outcome);
    });
}

/// The token endpoint of a platform that does not answer for some time; the API does.
struct LoginOutage {
    platform: Arc<DelayedRegion>,
    start: Instant,
    /// From when to when, since the start.
    silent: Range<Duration>,
    error: Option<RequestError>,
    failed: AtomicUsize,
}

impl Transport for LoginOutage {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        Box::pin(async move {
            let is_login = !request.uri().path().starts_with("/api/");
            if !is_login || !self.silent.contains(&self.start.elapsed()) {
                return self.platform.send(request).await;
            }
            self.failed.fetch_add(1, Ordering::Relaxed);
            match &self.error {
                Some(error) => Err(error.clone()),
                None => Ok(Response::builder().status(503).body(Bytes::new()).unwrap()),
            }
        })
    }
}

/// A run of several minutes with tokens of two, and the token requests that failed in it.
async fn with_login_outage(
    silent: Range<u64>,
    error: Option<RequestError>,
    set: &[&str],
) -> (Arc<DelayedRegion>, RunReport, usize) {
    let platform = DelayedRegion::new(Settings {
        token_lifetime: Duration::from_secs(120),
        ..Settings::default()
    });
    let login = Arc::new(LoginOutage {
        platform: platform.clone(),
        start: Instant::now(),
        silent: Duration::from_secs(silent.start)..Duration::from_secs(silent.end),
        error,
        failed: AtomicUsize::new(0),
    });
    let slow = ["fetch.shard=1h", "fetch.strategy=query", "budget.requests=60", "budget.per=60s"];
    let report = backfill_config(login.clone(), &config(&[&slow, set].concat())).await;
    (platform, report, login.failed.load(Ordering::Relaxed))
}

#[test]
fn a_login_outage_of_20_minutes_in_mid_run_costs_no_row_and_does_not_end_the_run() {
    for error in [Some(RequestError::Network("connection refused".into())), None] {
        for set in [&["fetch.actors=1"][..], &["fetch.actors=8", "retry.attempts=2"]] {
            on_virtual_time(async {
                let outage = 180..180 + 1_200;
                let (platform, report, failed) =
                    with_login_outage(outage, error.clone(), set).await;
                assert_complete(&platform, &report);
                assert!(report.summary.elapsed_s > 1_300.0, "{} s", report.summary.elapsed_s);
                assert!((15..60).contains(&failed), "{failed} token requests failed");
            });
        }
    }
}

#[test]
fn a_login_outage_that_is_longer_than_retry_outage_ends_the_run() {
    on_virtual_time(async {
        let set = ["retry.outage=10m"];
        let (_, report, _) = with_login_outage(180..9_999, None, &set).await;
        let message = report.outcome.to_string();
        assert_eq!(report.outcome.exit_code() as u8, 4, "{message}");
        assert!((780.0..1_000.0).contains(&report.summary.elapsed_s), "{message}");
        for part in ["no token from", "retry.outage", "continues from here"] {
            assert!(message.contains(part), "{message}");
        }
    });
}

#[test]
fn a_login_that_never_succeeded_ends_the_run_after_the_usual_attempts() {
    on_virtual_time(async {
        let (_, report, failed) = with_login_outage(0..9_999, None, &[]).await;
        let message = report.outcome.to_string();
        assert_eq!(report.outcome.exit_code() as u8, 4, "{message}");
        assert!(report.summary.elapsed_s < 600.0 && failed < 20, "{failed}: {message}");
        assert!(message.contains("check the network, the proxy and source.region"), "{message}");
    });
}

#[test]
fn a_403_names_the_permission_and_costs_no_token() {
    on_virtual_time(async {
        let permission = "analytics:conversationDetail:view".to_owned();
        let platform =
            DelayedRegion::new(Settings { deny: vec![permission.clone()], ..Settings::default() });
        let report = backfill(&platform, &[]).await;
        let message = report.outcome.to_string();
        assert!(
            message.contains(&format!("grant the permission {permission} to a role of the client")),
            "{message}"
        );
        assert_eq!((report.outcome.exit_code() as u8, platform.token_requests()), (3, vec![200]));
    });
}

#[test]
fn a_refresh_token_that_another_process_used_costs_one_request_and_says_to_log_in_again() {
    let folder = tempfile::tempdir().unwrap();
    on_virtual_time(async {
        let platform = DelayedRegion::new(Settings::default());
        let set = with_cache(folder.path(), &refresh_token(&platform).await);
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        get_token(&token_actor(&platform, &set), None).await.unwrap();
        std::fs::remove_file(folder.path().join("tokens")).unwrap();
        let report = backfill(&platform, &set).await;
        assert_eq!(report.outcome.exit_code() as u8, 3);
        assert!(report.outcome.to_string().contains("log in again"), "{}", report.outcome);
        assert_eq!(platform.token_requests(), [200, 200, 400]);
    });
}
