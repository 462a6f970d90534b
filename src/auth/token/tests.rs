//! The whole path of a token, and a whole run, against the sandbox on virtual time.

use std::{
    future::Future,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::prelude::*;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{Request, Response, StatusCode};
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    commands::{
        environment::Environment,
        report::{RunOutcome, RunReport},
        run::{self, Scope},
    },
    config::{Config, Overrides},
    http::{
        error::RequestError,
        rate_limit::{QuotaKey, QuotaSettings, RateLimit},
        transport::Transport,
    },
    ledger::Ledger,
    sandbox::{Region, Settings},
    sink::store::OutputStore,
    telemetry::metrics::Metrics,
};

const HOST: &str = "https://login.sandbox.example";

/// The sandbox behind a wire that takes time.
struct StubTransport {
    region: Region,
    start: Instant,
    latency: Duration,
    /// What was answered to token requests.
    tokens: Mutex<Vec<StatusCode>>,
    /// Refusals of the token endpoint that come before the sandbox is asked.
    outages: Mutex<Vec<(u16, &'static str)>>,
}

impl StubTransport {
    fn new(settings: Settings) -> Arc<Self> {
        Self::with(Settings { conversations_per_day: 20, ..settings }, Duration::from_millis(10))
    }

    fn with(settings: Settings, latency: Duration) -> Arc<Self> {
        let region = Region::new(Settings { requests: 0, ..settings });
        Arc::new(Self {
            region,
            start: Instant::now(),
            latency,
            tokens: Mutex::default(),
            outages: Mutex::default(),
        })
    }

    fn token_requests(&self) -> Vec<u16> {
        self.tokens.lock().unwrap().iter().map(StatusCode::as_u16).collect()
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let is_login = !request.uri().path().starts_with("/api/");
        let outage = if is_login { self.outages.lock().unwrap().pop() } else { None };
        let reply = match outage {
            Some((status, body)) => {
                Response::builder().status(status).body(Bytes::from(body)).unwrap()
            }
            None => self.region.reply(self.start.elapsed(), request),
        };
        if is_login {
            self.tokens.lock().unwrap().push(reply.status());
        }
        reply
    }
}

impl Transport for StubTransport {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        Box::pin(async move {
            sleep(self.latency).await;
            Ok(self.answer(&request))
        })
    }
}

/// Runs a test in an actor system whose clock stands still unless everybody waits.
fn virtually<T>(test: impl Future<Output = T>) -> T {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    System::with_tokio_rt(runtime).block_on(test)
}

fn config(set: &[&str]) -> Config {
    let set = set.iter().map(|&set| set.to_owned()).collect();
    Config::load(&Overrides { set, ..Overrides::default() }).unwrap().remove(0)
}

fn login(transport: &Arc<StubTransport>, config: &Config) -> TokenSource {
    let key = QuotaKey { credential: "me".into(), bucket: "login".into() };
    let (rate_limit, metrics) =
        (Arc::new(RateLimit::new(QuotaSettings::default())), Arc::new(Metrics::default()));
    TokenSource::new(
        HOST.parse().unwrap(),
        &config.auth,
        TokenClient { transport: transport.clone(), rate_limit, key, metrics },
    )
}

fn actor(transport: &Arc<StubTransport>, set: &[&str]) -> Addr<TokenActor> {
    TokenActor::new(login(transport, &config(set))).start()
}

async fn ask(tokens: &Addr<TokenActor>, rejected: Option<Generation>) -> Result<Token, TokenError> {
    tokens.send(GetToken { rejected }).await.unwrap()
}

/// What a run with 64 fetchers comes to.
async fn backfill(transport: &Arc<StubTransport>, set: &[&str]) -> RunReport {
    // a limit that nobody meets: without one, requests in flight would begin with one
    let config = config(
        &[&["fetch.actors=64", "fetch.strategy=query", "budget.requests=1000000"], set].concat(),
    );
    let (output, ledger) = (
        OutputStore::over(Arc::new(object_store::memory::InMemory::new())),
        Ledger::in_memory().unwrap(),
    );
    let plan = run::prepare(&config, Scope::Missing, &output, &ledger).await.unwrap();
    let environment = Environment {
        api: "https://api.sandbox.example".parse().unwrap(),
        login: HOST.parse().unwrap(),
        transport: transport.clone(),
        output,
        ledger,
        metrics: Arc::default(),
        shutdown: tokio_util::sync::CancellationToken::new(),
        seed: 1,
    };
    run::backfill(&config, plan, &environment).await.unwrap()
}

fn truth(transport: &StubTransport, interval: &str) -> u64 {
    let interval: crate::time::interval::Interval = interval.parse().unwrap();
    let lines = transport.region.truth(interval.from_ms()..interval.to_ms());
    lines.map(|piece| piece.iter().filter(|&&byte| byte == b'\n').count() as u64).sum()
}

const TEN_DAYS: &str = "2024-01-01T00:00:00Z/2024-01-11T00:00:00Z";

fn assert_whole(transport: &StubTransport, report: &RunReport) {
    assert!(matches!(report.outcome, RunOutcome::Complete), "{}", report.outcome);
    assert_eq!(report.summary.rows_written, truth(transport, TEN_DAYS));
    assert_eq!(report.summary.shards_failed, 0);
}

#[test]
fn g7_64_fetchers_cost_one_token_request_at_a_cold_start_and_one_at_a_mass_401() {
    virtually(async {
        // every shard of an hour takes two requests of 10 ms: the run lasts from 0 to about 100 ms
        let transport = StubTransport::new(Settings {
            revoke_every: Duration::from_millis(60),
            ..Settings::default()
        });
        let report = backfill(&transport, &["fetch.shard=\"1h\""]).await;
        assert_whole(&transport, &report);
        assert!(
            report.summary.elapsed_s < 0.12,
            "a second revocation: {} s",
            report.summary.elapsed_s
        );
        assert!(
            transport.region.stats().api_requests[&401] >= 32,
            "{:?}",
            transport.region.stats()
        );
        assert_eq!(transport.token_requests(), [200, 200]);
    });
}

#[test]
fn a_token_of_two_seconds_lasts_a_minute_with_one_request_a_renewal() {
    virtually(async {
        let transport = StubTransport::new(Settings {
            token_lifetime: Duration::from_secs(2),
            ..Settings::default()
        });
        let report = backfill(
            &transport,
            &["fetch.shard=\"1h\"", "budget.requests=400", "budget.per=\"60s\""],
        )
        .await;
        assert_whole(&transport, &report);
        assert!(report.summary.elapsed_s > 60.0, "{} s", report.summary.elapsed_s);
        // a token is renewed by the first who asks once it is 1.6 s old, and permits are 0.15 s apart
        let (most, least) =
            (report.summary.elapsed_s / 1.6, report.summary.elapsed_s / (1.6 + 0.17));
        let asked = transport.token_requests().len() as f64;
        assert!(
            asked <= most + 1.0 && asked >= least - 1.0,
            "{asked} in {} s",
            report.summary.elapsed_s
        );
        assert!(
            !transport.region.stats().api_requests.contains_key(&401),
            "no request met an expired token"
        );
    });
}

#[test]
fn rows_equal_the_truth_whenever_every_token_is_revoked() {
    let (mut met, day) = (0, "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z");
    for seed in 0..1_000 {
        virtually(async {
            // the run takes about 35 ms: the tokens die once or twice, at an instant of the seed's
            let revoke_every = Duration::from_millis(12) + Duration::from_micros(29 * seed);
            let settings =
                Settings { revoke_every, seed, conversations_per_day: 8, ..Settings::default() };
            let transport = StubTransport::with(settings, Duration::from_millis(2));
            let set = [
                "fetch.actors=3",
                "fetch.shard=\"1h\"",
                "job.to=2024-01-02T00:00:00Z",
                "output.compression=uncompressed",
            ];
            let report = backfill(&transport, &set).await;
            assert!(
                matches!(report.outcome, RunOutcome::Complete),
                "seed {seed}: {}",
                report.outcome
            );
            assert_eq!(report.summary.rows_written, truth(&transport, day), "seed {seed}");
            met += transport.region.stats().api_requests.get(&401).copied().unwrap_or(0);
        });
    }
    assert!(met > 1_000, "{met} requests met a revoked token");
}

#[test]
fn a_failure_is_tried_again_by_one_and_wrong_credentials_by_nobody() {
    virtually(async {
        let transport = StubTransport::new(Settings {
            client_secret: Some("right".into()),
            ..Settings::default()
        });
        let throttled =
            r#"{"error":"invalid_request","error_description":"rate limit exceeded; later"}"#;
        transport.outages.lock().unwrap().push((400, throttled));
        let tokens = actor(&transport, &["auth.client_secret=right"]);
        let faults = join_all((0..64).map(|_| ask(&tokens, None))).await;
        assert!(faults.iter().all(|fault| fault.as_ref().is_err_and(|fault| !fault.permanent)));
        sleep(Duration::from_secs(1)).await;
        assert!(join_all((0..64).map(|_| ask(&tokens, None))).await.iter().all(Result::is_ok));
        assert_eq!(transport.token_requests(), [400, 200]);

        let report = backfill(&transport, &["auth.client_secret=wrong"]).await;
        assert_eq!(
            (report.outcome.exit_code() as u8, transport.token_requests().len()),
            (3, 3),
            "{}",
            report.outcome
        );
        assert!(report.outcome.to_string().contains("check auth.client_id"), "{}", report.outcome);
    });
}

#[test]
fn a_403_names_the_permission_and_costs_no_token() {
    virtually(async {
        let permission = "analytics:conversationDetail:view".to_owned();
        let transport =
            StubTransport::new(Settings { deny: vec![permission.clone()], ..Settings::default() });
        let report = backfill(&transport, &[]).await;
        let message = report.outcome.to_string();
        assert!(
            message.contains(&format!("give a role of the client the permission {permission}")),
            "{message}"
        );
        assert_eq!((report.outcome.exit_code() as u8, transport.token_requests()), (3, vec![200]));
    });
}

#[test]
fn every_grant_gives_a_token_and_another_when_that_is_rejected() {
    let key = ["auth.access_key_id=k", "auth.access_key_secret=s"];
    let grants: [&[&str]; 5] = [
        &["auth.send=body", "auth.scope=x", "auth.form.audience=y"],
        &["auth.grant=password", key[0], key[1]],
        &["auth.grant=password", key[0], key[1], "auth.send=body"],
        &["auth.grant=access-key", key[0], key[1]],
        &["auth.token_url=https://api.sandbox.example/oauth/token"],
    ];
    for set in grants {
        virtually(async {
            let transport = StubTransport::new(Settings::default());
            let tokens = actor(&transport, set);
            for generation in 1..4 {
                let token = ask(&tokens, Some(generation - 1)).await.unwrap();
                assert_eq!(token.generation, generation, "{set:?}");
            }
            assert_eq!(transport.token_requests(), [200, 200, 200], "{set:?}");
        });
    }
}

#[test]
fn a_refresh_token_that_is_rejected_falls_back_to_the_grant() {
    virtually(async {
        let transport =
            StubTransport::new(Settings { refresh_tokens: true, ..Settings::default() });
        let tokens = actor(&transport, &[]);
        ask(&tokens, None).await.unwrap();
        let rejected = r#"{"error":"invalid_grant"}"#;
        transport.outages.lock().unwrap().push((400, rejected));
        assert_eq!(ask(&tokens, Some(1)).await.unwrap().generation, 2);
        assert_eq!(transport.token_requests(), [200, 400, 200]);
    });
}

#[test]
fn a_given_token_is_used_until_it_is_rejected() {
    virtually(async {
        let transport = StubTransport::new(Settings::default());
        let tokens = actor(&transport, &["auth.grant=static", "auth.token=given"]);
        assert_eq!(ask(&tokens, None).await.unwrap().secret.expose_secret(), "given");
        let fault = ask(&tokens, Some(1)).await.unwrap_err();
        assert!(fault.permanent && fault.advice.contains("auth.token"), "{fault}");
        assert_eq!(transport.token_requests(), [0; 0]);
    });
}

/// A refresh token that a user of the sandbox got.
async fn refresh_token(transport: &Arc<StubTransport>) -> String {
    let config =
        config(&["auth.grant=password", "auth.access_key_id=k", "auth.access_key_secret=s"]);
    login(transport, &config).renew().await.unwrap().refresh.unwrap().expose_secret().to_owned()
}

fn keeping(folder: &Path, token: &str) -> Vec<String> {
    let cache = format!("auth.cache={}", folder.join("tokens").display());
    vec!["auth.grant=refresh-token".to_owned(), cache, format!("auth.refresh_token={token}")]
}

#[test]
fn a_refresh_token_rotates_from_run_to_run() {
    let folder = tempfile::tempdir().unwrap();
    virtually(async {
        let transport = StubTransport::new(Settings::default());
        let set = keeping(folder.path(), &refresh_token(&transport).await);
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        for run in 0..3 {
            let tokens = actor(&transport, &set);
            let first = ask(&tokens, None).await.unwrap();
            let second = ask(&tokens, Some(1)).await.unwrap();
            assert_ne!(first.secret.expose_secret(), second.secret.expose_secret(), "run {run}");
        }
        // the second and third run begin with the token that the one before left
        assert_eq!(transport.token_requests(), [200; 5]);
    });
}

#[test]
fn two_processes_do_not_spend_one_refresh_token_at_once() {
    let folder = tempfile::tempdir().unwrap();
    virtually(async {
        let transport = StubTransport::new(Settings::default());
        let set = keeping(folder.path(), &refresh_token(&transport).await);
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        let (one, two) = (actor(&transport, &set), actor(&transport, &set));
        let (first, second) = tokio::join!(ask(&one, None), ask(&two, None));
        let fault = second.unwrap_err();
        assert!(!fault.permanent && fault.reason.contains("another process"), "{fault}");
        sleep(fault.wait).await;
        let second = ask(&two, None).await.unwrap();
        assert_eq!(first.unwrap().secret.expose_secret(), second.secret.expose_secret());
        assert_eq!(
            transport.token_requests(),
            [200, 200],
            "one for the user's login, one for both"
        );
    });
}

#[test]
fn a_refresh_token_that_was_spent_elsewhere_says_to_log_in_again_once() {
    let folder = tempfile::tempdir().unwrap();
    virtually(async {
        let transport = StubTransport::new(Settings::default());
        let set = keeping(folder.path(), &refresh_token(&transport).await);
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        ask(&actor(&transport, &set), None).await.unwrap();
        std::fs::remove_file(folder.path().join("tokens")).unwrap();
        let report = backfill(&transport, &set).await;
        assert_eq!(report.outcome.exit_code() as u8, 3);
        assert!(report.outcome.to_string().contains("log in again"), "{}", report.outcome);
        assert_eq!(transport.token_requests(), [200, 200, 400]);
    });
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_can_read_or_that_cannot_be_written_costs_no_token() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, "{}").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    virtually(async {
        let transport = StubTransport::new(Settings::default());
        let exposed = ask(&actor(&transport, &[&format!("auth.cache={}", path.display())]), None)
            .await
            .unwrap_err();
        assert!(exposed.permanent && exposed.reason.contains("chmod 600"), "{exposed}");
        let missing = folder.path().join("none/tokens");
        let missing =
            ask(&actor(&transport, &[&format!("auth.cache={}", missing.display())]), None)
                .await
                .unwrap_err();
        assert!(missing.permanent && missing.reason.contains("none"), "{missing}");
        assert_eq!(transport.token_requests(), [0; 0]);
    });
}

#[test]
fn g10_what_the_server_quotes_of_a_request_is_not_repeated() {
    virtually(async {
        let transport = StubTransport::new(Settings::default());
        let quoting =
            r#"{"error":"invalid_client","error_description":"no client with secret hush-hush"}"#;
        transport.outages.lock().unwrap().push((400, quoting));
        let fault =
            ask(&actor(&transport, &["auth.client_secret=hush-hush"]), None).await.unwrap_err();
        assert!(
            fault.reason.contains("[secret]") && !fault.reason.contains("hush-hush"),
            "{fault}"
        );
    });
}
