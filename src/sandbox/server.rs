//! Serves a region on a loopback socket.

use std::{
    convert::Infallible,
    io::{self, Write as _},
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    response::Response,
};
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use crate::{
    sandbox::{
        Load, NDJSON, Region, Settings,
        delivery::{Connection, Delivery, RawReply},
        region::requested_truth,
    },
    time::clock,
};

/// How long pending replies may take once the server is asked to stop.
const GRACE: Duration = Duration::from_secs(3);
/// Bodies are read up to this size, so that a client that sends more than the platform accepts can
/// finish sending and read its 413.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// A [`Region`] that listens on the loopback interface, on the time of tokio's clock. When dropped
/// it stops accepting connections and lets pending replies finish.
#[derive(Debug)]
pub(crate) struct Server {
    url: Url,
    task: JoinHandle<io::Result<()>>,
    /// Stops listening and ends every idle connection.
    stop: DropGuard,
    /// Ends every connection at once.
    abort: CancellationToken,
}

/// The state that all request handlers share.
#[derive(Clone)]
struct ServerState {
    region: Arc<Region>,
    started: Instant,
    load: Arc<Mutex<Load>>,
}

/// A request in flight, until it is answered or its client disconnects.
struct RequestGuard(Arc<Mutex<Load>>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).leave();
    }
}

impl ServerState {
    /// Counts a request in and returns how long its reply takes.
    fn enter(&self, now: Duration) -> (RequestGuard, Duration) {
        let unloaded = self.region.latency(now);
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = load.enter(&self.region.settings.latency, unloaded, now);
        (RequestGuard(Arc::clone(&self.load)), latency)
    }
}

impl Server {
    /// Starts a region on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If the port cannot be bound, for example because another program listens on it.
    pub(crate) async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
        let url =
            Url::parse(&format!("http://{}", listener.local_addr()?)).map_err(io::Error::other)?;
        let start = clock::now().checked_add(settings.clock_skew).map_err(io::Error::other)?;
        let region = Arc::new(Region::starting_at(start.as_millisecond(), settings));
        let state = ServerState { region, started: Instant::now(), load: Arc::default() };
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let app = Router::new().fallback(reply).with_state(state);
        let app = app.into_make_service_with_connect_info::<RawReply>();
        let serving = axum::serve(Listener { inner: listener, abort: abort.clone() }, app)
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(async move { serving.await });
        Ok(Self { url, task, stop: stop.drop_guard(), abort })
    }

    /// The address that it listens on: `http://127.0.0.1:PORT/`.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Stops: pending replies have three seconds to finish, then every connection ends.
    pub(crate) async fn stop(self) {
        let Self { mut task, stop, abort, .. } = self;
        drop(stop);
        if timeout(GRACE, &mut task).await.is_err() {
            abort.cancel();
            // reading and writing fail now, so every connection ends
            let _ = task.await;
        }
    }
}

/// Handles every request with [`Region::reply`].
async fn reply(
    State(state): State<ServerState>,
    ConnectInfo(raw): ConnectInfo<RawReply>,
    request: Request,
) -> Response {
    let ServerState { region, started, .. } = &state;
    if request.uri().path() == "/sandbox/truth"
        && let Ok(truth) = requested_truth(region, request.uri().query())
    {
        let pieces = truth.map(Ok::<_, Infallible>);
        return Response::builder()
            .header(header::CONTENT_TYPE, NDJSON)
            .body(Body::from_stream(stream::iter(pieces)))
            .unwrap_or_default();
    }
    let gzip = accepts_gzip(request.headers());
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let now = started.elapsed();
    // the sandbox's own paths have no latency
    let admitted = (!head.uri.path().starts_with("/sandbox/")).then(|| state.enter(now));
    let reply = region.reply(now, &http::Request::from_parts(head, body));
    if let Some((_guard, latency)) = admitted.filter(|(_, latency)| !latency.is_zero()) {
        sleep(latency).await;
    }
    let (mut head, body) = reply.into_parts();
    if let Some(date) = date(region.wall_clock(started.elapsed())) {
        // a behaviour may have told another time
        head.headers.entry(header::DATE).or_insert(date);
    }
    if let Some(delivery) = head.extensions.remove::<Delivery>() {
        let body = delivery.body(body, &raw);
        return Response::from_parts(head, body);
    }
    let body = if gzip && !head.headers.contains_key(header::CONTENT_ENCODING) {
        head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        match compress(&body) {
            Ok(body) => body.into(),
            Err(_) => return status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    } else {
        body
    };
    Response::from_parts(head, body.into())
}

/// The Date header at a time in milliseconds since 1970. `None` if it has no such form.
fn date(ms: i64) -> Option<HeaderValue> {
    let time = Timestamp::from_millisecond(ms).ok()?;
    HeaderValue::try_from(DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()?).ok()
}

fn status(status: StatusCode) -> Response {
    let mut reply = Response::default();
    *reply.status_mut() = status;
    reply
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut values =
        headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| {
        value
            .split(',')
            .any(|coding| matches!(coding.split(';').next().map(str::trim), Some("gzip")))
    })
}

fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// A listener whose connections can be aborted: axum waits for the client to end one, and a client
/// that neither reads nor writes never does. In place of a client's address it tells where to leave
/// raw bytes for it.
pub(super) struct Listener {
    inner: TcpListener,
    abort: CancellationToken,
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = RawReply;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, _) = axum::serve::Listener::accept(&mut self.inner).await;
        // a small last packet must not wait for the acknowledgement of the one before
        let _ = stream.set_nodelay(true);
        let raw = RawReply::default();
        let abort = self.abort.clone().cancelled_owned();
        (Connection::new(stream, abort, raw.clone()), raw)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(RawReply::default())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpStream as Blocking};

    use super::*;
    use crate::sandbox::{Latency, time::TimeRange};

    async fn get(server: &Server, path: &str, gzip: bool) -> reqwest::Response {
        // only the first call installs it; nothing is encrypted, but a client needs a provider
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().gzip(gzip).no_proxy().build().unwrap();
        client.get(server.url().join(path).unwrap()).send().await.unwrap()
    }

    async fn small_server() -> Server {
        Server::start(Settings { conversations_per_day: 300, ..Settings::default() }).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reply_is_compressed_if_the_client_accepts_gzip() {
        let server = small_server().await;
        let plain = get(&server, "/sandbox/stats", false).await;
        assert_eq!(plain.headers().get("content-encoding"), None);
        assert_eq!(plain.headers()["inin-correlation-id"].len(), 36);
        let plain = plain.bytes().await.unwrap();
        assert_eq!(get(&server, "/sandbox/stats", true).await.bytes().await.unwrap(), plain);
        let request = "GET /sandbox/stats HTTP/1.1\r\nhost: x\r\naccept-encoding: br, gzip;q=1\r\nconnection: close\r\n\r\n";
        let mut stream = Blocking::connect(server.url().socket_addrs(|| None).unwrap()[0]).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        assert!(String::from_utf8_lossy(&reply).contains("content-encoding: gzip"));
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_truth_is_streamed() {
        let server = small_server().await;
        let path = "/sandbox/truth?from=2024-01-01T00:00:00Z&to=2024-01-03T00:00:00Z";
        let streamed = get(&server, path, false).await.bytes().await.unwrap();
        let interval: TimeRange = "2024-01-01T00:00:00Z/2024-01-03T00:00:00Z".parse().unwrap();
        let region = Region::new(Settings { conversations_per_day: 300, ..Settings::default() });
        assert_eq!(
            streamed,
            region.truth(interval.from..interval.to).flatten().collect::<Vec<u8>>()
        );
        assert_eq!(get(&server, "/sandbox/truth", false).await.status(), 400);
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_that_is_too_large_gets_an_error_response() {
        let server = small_server().await;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = server.url().join("/api/v2/tokens/me").unwrap();
        let reply = client.post(url).body(vec![b' '; 600_000]).send().await.unwrap();
        assert_eq!(reply.status(), 413);
        assert!(reply.text().await.unwrap().contains("request.entity.too.large"));
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_above_the_capacity_queue() {
        let base = Duration::from_millis(150);
        let latency = Latency { base, capacity: 1, ..Latency::default() };
        let server = Server::start(Settings { latency, ..Settings::default() }).await.unwrap();
        let took = async || {
            let start = Instant::now();
            get(&server, "/api/v2/tokens/me", false).await;
            start.elapsed()
        };
        let (one, two, three) = tokio::join!(took(), took(), took());
        let most = one.max(two).max(three);
        assert!(most >= 3 * base, "{most:?}");
        let alone = took().await;
        assert!((base..3 * base).contains(&alone), "{alone:?}: no other is in flight");
        let start = Instant::now();
        get(&server, "/sandbox/stats", false).await;
        assert!(start.elapsed() < base, "the sandbox's own paths have no latency");
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stalled_connection_does_not_delay_the_stop() {
        let server = small_server().await;
        let address = server.url().socket_addrs(|| None).unwrap()[0];
        let mut stalled = Blocking::connect(address).unwrap();
        stalled
            .write_all(b"POST /api/v2/tokens/me HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
            .unwrap();
        let mut idle = Blocking::connect(address).unwrap();
        get(&server, "/sandbox/stats", false).await;
        timeout(2 * GRACE, server.stop()).await.unwrap();
        assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
        assert!(Blocking::connect(address).is_err(), "nobody listens");
    }
}
