//! `cxbackfill login` end to end: the test is the browser, the sandbox is the platform.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use cxbackfill::testing::{
    HttpTransport, LoginError, QuotaSettings, RateLimit, Settings, TokenClient, TokenError,
    TokenSource, Transport, login,
};
use http::{Request, Response, header::LOCATION};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use crate::common::{environment::config, platform::Platform};

fn transport() -> HttpTransport {
    HttpTransport::new(Duration::from_secs(10), Duration::from_secs(5), 1 << 20).unwrap()
}

async fn open(url: &str) -> Response<Bytes> {
    transport().send(Request::get(url).body(Bytes::new()).unwrap()).await.unwrap()
}

/// Logs in with a browser that calls `browser` with the authorization page.
async fn log_in<F>(
    platform: &Platform,
    more: &[&str],
    browser: impl FnOnce(Url) -> F,
) -> Result<(), LoginError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let folder = tempfile::tempdir().unwrap();
    let mut settings = vec![
        format!("source.api_url=http://{}", platform.address),
        format!("source.login_url=http://{}", platform.address),
        format!("auth.cache={}", folder.path().join("tokens").display()),
        "auth.grant=authorization-code".to_owned(),
        "auth.redirect_url=http://127.0.0.1:0/callback".to_owned(),
        "auth.login_timeout=10s".to_owned(),
    ];
    settings.extend(more.iter().map(|&setting| setting.to_owned()));
    let config = config(&settings);
    let client = TokenClient::new(
        &config.auth.credentials,
        Arc::new(transport()),
        Arc::new(RateLimit::new(QuotaSettings::default())),
        Arc::default(),
    );
    let source = TokenSource::new(
        format!("http://{}", platform.address).parse().unwrap(),
        &config.auth,
        client,
    );
    let response =
        login(&source, &config.browser, |page| drop(tokio::spawn(browser(page.clone())))).await;
    let stored = std::fs::read_to_string(folder.path().join("tokens")).unwrap_or_default();
    assert_eq!(stored.contains("refresh_token"), response.is_ok(), "{stored}");
    response.map(drop)
}

/// The address to which the login host redirects the browser.
async fn redirect_of(page: Url) -> Url {
    let reply = open(page.as_str()).await;
    assert_eq!(reply.status(), 302, "{reply:?}");
    reply.headers()[LOCATION].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_user_logs_in_with_a_confidential_and_with_a_public_client() {
    let platform =
        Platform::start(Settings { client_secret: Some("right".into()), ..Settings::default() })
            .await;
    for secret in ["auth.client_secret=right", "auth.client_secret=\"\""] {
        let browser = |page| async { drop(open(redirect_of(page).await.as_str()).await) };
        log_in(&platform, &[secret], browser).await.unwrap();
    }
    let browser = |page| async { drop(open(redirect_of(page).await.as_str()).await) };
    let error = log_in(&platform, &["auth.client_secret=wrong"], browser).await.unwrap_err();
    assert!(error.to_string().contains("invalid_client"), "{error}");
}

/// The answer of a login with something replaced in its query.
fn forged(back: &Url, from: &str, to: &str) -> Url {
    let mut forged = back.clone();
    forged.set_query(Some(&back.query().unwrap().replace(from, to)));
    forged
}

/// Sends bytes to the listener of a login.
async fn send_raw(back: &Url, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&*back.socket_addrs(|| None).unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn only_forged_answers_until_the_timeout_are_named_in_the_error() {
    let platform = Platform::start(Settings::default()).await;
    let browser = |page| async {
        let back = redirect_of(page).await;
        let reply = open(forged(&back, "state=", "state=x").as_str()).await;
        assert_eq!(reply.status(), 400);
        assert_eq!(reply.headers()["content-type"], "text/plain; charset=utf-8");
    };
    let error = log_in(&platform, &["auth.login_timeout=1s"], browser).await.unwrap_err();
    assert!(
        matches!(error, LoginError::State(_)) && error.to_string().contains("forged"),
        "{error}"
    );
    assert!(platform.region.stats().token_requests.is_empty(), "the code was not exchanged");
}

#[tokio::test]
async fn forged_requests_do_not_end_a_login() {
    let platform = Platform::start(Settings::default()).await;
    let browser = |page| async {
        let back = redirect_of(page).await;
        for (from, to) in [("state=", "state=x"), ("code=", "error="), ("state=", "x=")] {
            let mut forgery = forged(&back, from, to);
            forgery.query_pairs_mut().append_pair("state", "<script>");
            assert_eq!(open(forgery.as_str()).await.status(), 400);
        }
        let mut other_path = back.clone();
        other_path.set_path("/other");
        assert_eq!(open(other_path.as_str()).await.status(), 404);
        // a page of another site whose name was pointed at this machine
        let target = &back[url::Position::BeforePath..];
        let request = format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        let mut reply = String::new();
        send_raw(&back, request.as_bytes()).await.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 421 "), "{reply}");
        assert_eq!(open(back.as_str()).await.status(), 200);
    };
    log_in(&platform, &[], browser).await.unwrap();
}

#[tokio::test]
async fn idle_slow_and_endless_connections_do_not_hold_a_login() {
    let platform = Platform::start(Settings::default()).await;
    let browser = |page| async {
        let back = redirect_of(page).await;
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(send_raw(&back, b"").await);
            held.push(send_raw(&back, b"GET /callback?code=c HTTP/1.1\r\nHost: 127").await);
        }
        // the listener may end the connection before it has read everything
        let mut endless = send_raw(&back, b"GET /").await;
        tokio::spawn(async move { while endless.write_all(&[b'a'; 4_096]).await.is_ok() {} });
        assert_eq!(open(back.as_str()).await.status(), 200);
        drop(held);
    };
    log_in(&platform, &[], browser).await.unwrap();
}

#[tokio::test]
async fn a_code_that_was_exchanged_before_is_rejected() {
    let platform = Platform::start(Settings::default()).await;
    let code = Arc::new(Mutex::new(None));
    let first = {
        let code = Arc::clone(&code);
        move |page| async move {
            let back = redirect_of(page).await;
            let pairs = back.query_pairs().into_owned().collect::<Vec<_>>();
            code.lock()
                .unwrap()
                .replace(pairs.into_iter().find(|(name, _)| name == "code").unwrap().1);
            open(back.as_str()).await;
        }
    };
    log_in(&platform, &[], first).await.unwrap();
    let code = code.lock().unwrap().take().unwrap();
    let replay = move |page| async move {
        let mut back = redirect_of(page).await;
        let state = back.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        back.query_pairs_mut().clear().append_pair("code", &code).append_pair("state", &state);
        open(back.as_str()).await;
    };
    let error = log_in(&platform, &[], replay).await.unwrap_err();
    assert!(matches!(error, LoginError::Token(TokenError { permanent: true, .. })), "{error}");
    assert!(error.to_string().contains("invalid_grant"), "{error}");
}

#[tokio::test]
async fn a_closed_browser_and_a_declined_consent_are_named_in_the_error() {
    let platform = Platform::start(Settings::default()).await;
    let error = log_in(&platform, &["auth.login_timeout=200ms"], |_| async {}).await.unwrap_err();
    assert!(
        matches!(error, LoginError::Timeout(_)) && error.to_string().contains("did not return"),
        "{error}"
    );
    let declining = |page| async {
        let mut back = redirect_of(page).await;
        let state = back.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        back.query_pairs_mut()
            .clear()
            .append_pair("error", "access_denied")
            .append_pair("state", &state);
        open(back.as_str()).await;
    };
    let error = log_in(&platform, &[], declining).await.unwrap_err();
    assert!(error.to_string().contains("access_denied"), "{error}");
}

#[tokio::test]
async fn a_user_may_take_longer_than_a_second_to_log_in() {
    let platform = Platform::start(Settings::default()).await;
    let browser = |page| async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        drop(open(redirect_of(page).await.as_str()).await);
    };
    log_in(&platform, &[], browser).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_login_runs_need_no_browser() {
    let platform =
        Platform::start(Settings { conversations_per_day: 5, ..Settings::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let set = [
        "--set",
        "auth.grant=authorization-code",
        "--set",
        "auth.cache=tokens",
        "--set",
        "auth.redirect_url=http://localhost:0/",
        "--set",
        "auth.client_secret=\"\"",
    ];
    let run = || platform.command(folder.path(), &["run"]).args(set).output().unwrap();
    let before = run();
    let message = String::from_utf8_lossy(&before.stderr).into_owned();
    assert_eq!(before.status.code(), Some(3), "{message}");
    assert!(message.contains("log in again: cxbackfill login"), "{message}");

    let mut login = platform
        .command(folder.path(), &["login"])
        .args(set)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(login.stdout.take().unwrap()).lines();
    let page = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("http")).unwrap();
    open(redirect_of(page.parse().unwrap()).await.as_str()).await;
    assert!(lines.next().unwrap().unwrap().contains("logged in"));
    assert!(login.wait().unwrap().success());

    let after = run();
    assert_eq!(after.status.code(), Some(0), "{}", String::from_utf8_lossy(&after.stderr));
    assert_eq!(
        platform.region.stats().token_requests[&200],
        1,
        "the run uses the token of the login"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_lost_by_a_kill_asks_for_a_login_once() {
    let platform =
        Platform::start(Settings { conversations_per_day: 5, ..Settings::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let token = format!("auth.refresh_token={}", platform.refresh_token());
    let set = ["--set", "auth.grant=refresh-token", "--set", "auth.cache=tokens", "--set", &token];
    let run = || {
        platform.command(folder.path(), &["run"]).args(set).stderr(Stdio::piped()).spawn().unwrap()
    };

    // the process is killed after its refresh token was used and replaced
    let victim: Arc<Mutex<Option<Child>>> = Arc::default();
    let held = Arc::clone(&victim);
    *platform.filter.lock().unwrap() = Some(Box::new(move |_| {
        while held.lock().unwrap().is_none() {
            std::thread::yield_now();
        }
        held.lock().unwrap().as_mut().unwrap().kill().unwrap();
        false
    }));
    *victim.lock().unwrap() = Some(run());
    let killed = loop {
        if let Some(status) = victim.lock().unwrap().as_mut().unwrap().try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(killed.code(), None, "killed, not ended");
    *platform.filter.lock().unwrap() = None;

    let before: u64 = platform.region.stats().token_requests.values().sum();
    let after = run().wait_with_output().unwrap();
    assert_eq!(after.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&after.stderr).contains("log in again"), "{after:?}");
    assert_eq!(
        platform.region.stats().token_requests.values().sum::<u64>() - before,
        1,
        "one token request"
    );
}
