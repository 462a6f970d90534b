//! Connections of the real program: proxies of the environment, certificates, hosts that accept no
//! connection.

use std::{
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use cxbackfill::testing::{HttpTransport, RequestError, Transport};
use http::Request;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Runtime,
    time::{Duration, Instant},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::common::binary::{CREDENTIALS, Sandbox, program, set};

/// The variables of the environment that a run reads for its connections.
const VARIABLES: [&str; 9] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
];

/// The host that the certificates of the tests are for, beside `localhost`. It has no address.
const HOST: &str = "api.example.test";

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

/// What a proxy does with a request to connect.
#[derive(Clone, Copy, PartialEq)]
enum Proxying {
    /// It connects, whatever the host, to a sandbox behind TLS.
    Connects,
    /// It answers with this status.
    Answers(u16),
}

/// A listener in front of a sandbox, until it is dropped.
struct Front {
    runtime: Option<Runtime>,
    port: u16,
    /// What clients sent in the clear.
    received: Arc<Mutex<Vec<String>>>,
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Front {
    /// TLS with a certificate of the fixtures, and a proxy before it if `proxying` is given.
    fn start(sandbox: &Sandbox, certificate: &str, proxying: Option<Proxying>) -> Self {
        let acceptor = acceptor(certificate);
        let received = Arc::<Mutex<Vec<String>>>::default();
        let (record, behind) = (Arc::clone(&received), sandbox.url().replace("http://", ""));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (acceptor, behind, record) =
                    (acceptor.clone(), behind.clone(), Arc::clone(&record));
                tokio::spawn(async move {
                    if let Some(proxying) = proxying {
                        let head = read_head(&mut stream).await;
                        record.lock().unwrap().push(head);
                        let status = match proxying {
                            Proxying::Connects => 200,
                            Proxying::Answers(status) => status,
                        };
                        let answer = format!("HTTP/1.1 {status} Status\r\n\r\n");
                        stream.write_all(answer.as_bytes()).await.ok()?;
                        if proxying != Proxying::Connects {
                            return None;
                        }
                    }
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let mut behind = TcpStream::connect(behind).await.ok()?;
                    copy_bidirectional(&mut stream, &mut behind).await.ok()
                });
            }
        });
        Self { runtime: Some(runtime), port, received }
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

fn acceptor(certificate: &str) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(fixture(certificate)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(fixture("key")).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

async fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|read| read > 0) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// `cxbackfill` with these arguments against `url`, with these variables and no others of
/// [`VARIABLES`].
fn command(folder: &Path, arguments: &[&str], url: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = program(folder, arguments);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.envs(variables.iter().copied());
    let hosts = [format!("source.api_url={url}"), format!("source.login_url={url}")];
    set(&mut command, &hosts);
    set(&mut command, &CREDENTIALS);
    set(
        &mut command,
        &[
            "job.from=2024-01-01T00:00:00Z",
            "job.to=2024-01-02T00:00:00Z",
            "budget.requests=0",
            "retry.first=10ms",
            "retry.longest=20ms",
            "retry.attempts=3",
        ],
    );
    command
}

fn run(url: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    let Output { status, stdout, stderr } =
        command(folder.path(), &["run", "--summary", "json"], url, variables).output().unwrap();
    let said = [stderr, stdout].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_certificate_that_is_not_accepted_ends_the_run_at_once_and_names_ssl_cert_file() {
    let sandbox = Sandbox::start(&[]);
    for (certificate, trusted, reason) in
        [("self-signed", "other", "UnknownIssuer"), ("expired", "expired", "certificate expired")]
    {
        let front = Front::start(&sandbox, certificate, None);
        let url = format!("https://localhost:{}", front.port);
        let variables = [("SSL_CERT_FILE", &*fixture(trusted))];
        let (code, said) = run(&url, &variables);
        assert_eq!(code, Some(4), "{said}");
        for part in [reason, "SSL_CERT_FILE", &format!("localhost:{}", front.port)] {
            assert!(said.contains(part), "{part} is missing: {said}");
        }
        assert!(!said.contains("run again later"), "{said}");
        let folder = TempDir::new().unwrap();
        let checked = command(folder.path(), &["check"], &url, &variables).output().unwrap();
        let found = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert_eq!(checked.status.code(), Some(4), "{found}");
        assert!(found.contains("SSL_CERT_FILE") && !found.contains("run again later"), "{found}");
    }
    assert_eq!(sandbox.stats()["token_requests"].as_object().unwrap().len(), 0);
}

#[test]
fn a_certificate_of_ssl_cert_file_is_accepted() {
    let sandbox = Sandbox::start(&[]);
    let front = Front::start(&sandbox, "self-signed", None);
    let url = format!("https://localhost:{}", front.port);
    let (code, said) = run(&url, &[("SSL_CERT_FILE", &fixture("self-signed"))]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn requests_by_https_go_through_the_proxy_of_the_environment_by_connect() {
    let sandbox = Sandbox::start(&[]);
    let front = Front::start(&sandbox, "self-signed", Some(Proxying::Connects));
    for (variable, value) in [
        ("HTTPS_PROXY", format!("http://user:hush@127.0.0.1:{}", front.port)),
        ("ALL_PROXY", format!("user:hush@127.0.0.1:{}", front.port)),
    ] {
        let (code, said) = run(
            &format!("https://{HOST}"),
            &[(variable, &value), ("SSL_CERT_FILE", &fixture("self-signed"))],
        );
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("hush"), "{said}");
        let received = front.received();
        assert!(!received.is_empty());
        for head in received {
            assert!(head.starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\n")), "{head}");
            // user:hush
            assert!(head.contains("Basic dXNlcjpodXNo"), "{head}");
        }
        front.received.lock().unwrap().clear();
    }
}

#[test]
fn g10_this_machine_is_never_reached_through_a_proxy() {
    let sandbox = Sandbox::start(&[]);
    let front = Front::start(&sandbox, "self-signed", Some(Proxying::Answers(502)));
    let proxy = format!("http://127.0.0.1:{}", front.port);
    let variables: Vec<_> =
        VARIABLES[..6].iter().map(|&variable| (variable, proxy.as_str())).collect();
    let (code, said) = run(&sandbox.url(), &variables);
    assert_eq!((code, front.received()), (Some(0), Vec::new()), "{said}");
    let encrypted = Front::start(&sandbox, "self-signed", None);
    let trusted = fixture("self-signed");
    let with_certificate = [&variables[..], &[("SSL_CERT_FILE", trusted.as_str())]].concat();
    let (code, said) = run(&format!("https://localhost:{}", encrypted.port), &with_certificate);
    assert_eq!((code, front.received()), (Some(0), Vec::new()), "{said}");
    // the first command of the README
    let folder = TempDir::new().unwrap();
    let mut command = program(folder.path(), &["run"]);
    command.envs(variables);
    set(&mut command, &crate::common::binary::SIMULATED);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(front.received(), Vec::<String>::new());
}

#[test]
fn a_host_of_no_proxy_is_reached_directly() {
    let sandbox = Sandbox::start(&[]);
    let front = Front::start(&sandbox, "self-signed", Some(Proxying::Connects));
    let proxy = format!("http://127.0.0.1:{}", front.port);
    let variables = [("HTTPS_PROXY", proxy.as_str()), ("NO_PROXY", "other.test, .example.test")];
    let (code, said) = run(&format!("https://{HOST}"), &variables);
    assert_eq!((code, front.received()), (Some(4), Vec::new()), "{said}");
    assert!(said.contains(HOST), "{said}");
}

#[test]
fn a_proxy_that_refuses_is_named() {
    let sandbox = Sandbox::start(&[]);
    for (status, reason, is_final) in
        [(407, "requires credentials", true), (403, "refused the connection to", false)]
    {
        let front = Front::start(&sandbox, "self-signed", Some(Proxying::Answers(status)));
        let proxy = format!("http://user:hush@127.0.0.1:{}", front.port);
        let (code, said) = run(&format!("https://{HOST}"), &[("HTTPS_PROXY", &proxy)]);
        assert_eq!(code, Some(4), "{said}");
        let named = format!("the proxy http://127.0.0.1:{} of HTTPS_PROXY {reason}", front.port);
        assert!(said.contains(&named), "{said}");
        assert_eq!((front.received().len() == 1, said.contains("hush")), (is_final, false));
    }
}

#[test]
fn a_variable_that_names_no_proxy_is_a_usage_error() {
    let (code, said) =
        run(&format!("https://{HOST}"), &[("https_proxy", "socks5://u:hush@127.0.0.1:1")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("https_proxy") && !said.contains("hush"), "{said}");
}

#[test]
fn a_host_that_refuses_connections_is_named_and_never_waited_for() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{unused}");
    let start = Instant::now();
    let (code, said) = run(&url, &[]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(&format!("the connection failed: {unused}")), "{said}");
    let folder = TempDir::new().unwrap();
    let checked = command(folder.path(), &["check"], &url, &[]).output().unwrap();
    assert_eq!(checked.status.code(), Some(4), "{checked:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// What comes of a request to a port of this machine, and how long that takes.
async fn request(port: u16) -> (RequestError, Duration) {
    let (timeout, connect_timeout) = (Duration::from_secs(2), Duration::from_millis(300));
    let transport = HttpTransport::new(timeout, connect_timeout, 1_000).unwrap();
    let request = Request::get(format!("http://127.0.0.1:{port}/")).body(Bytes::new()).unwrap();
    let start = Instant::now();
    (transport.send(request).await.unwrap_err(), start.elapsed())
}

#[tokio::test]
async fn a_host_that_accepts_no_connection_in_time_is_a_network_error() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // the queue of the listener, which accepts nothing, is full
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    let (error, elapsed) = request(address.port()).await;
    assert!(matches!(&error, RequestError::Network(reason) if reason.contains("300ms")), "{error}");
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
}

#[tokio::test]
async fn a_host_that_accepts_a_connection_and_does_not_answer_is_a_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (error, _) = request(listener.local_addr().unwrap().port()).await;
    assert!(matches!(error, RequestError::Timeout(_)), "{error}");
}
