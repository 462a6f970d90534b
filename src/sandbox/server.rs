//! A region on a socket.

use std::{
    convert::Infallible,
    io::{self, Write as _},
    net::Ipv4Addr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::{SignedDuration, fmt::rfc2822::DateTimePrinter};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use url::Url;

use crate::{
    sandbox::{Load, NDJSON, Region, Settings, asked_truth},
    time::clock,
};

/// How long replies under way may take once the server is asked to stop.
const GRACE: Duration = Duration::from_secs(3);
/// Bodies are read up to here, so that a client that sends more than the platform takes
/// can finish and read its 413.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// A [`Region`] that listens on the loopback interface and lives in the real time of tokio's clock.
/// Dropped, it stops accepting and lets the replies under way finish.
#[derive(Debug)]
pub(crate) struct Server {
    url: Url,
    listening: JoinHandle<io::Result<()>>,
    /// Ends the listening and every idle connection.
    stop: DropGuard,
    /// Ends every connection at once.
    cut: CancellationToken,
}

/// What the handler of every request shares.
#[derive(Clone)]
struct ServerState {
    region: Arc<Region>,
    started: Instant,
    load: Arc<Mutex<Load>>,
}

/// A request under way, until it is answered or its client has gone.
struct ConnectionSlot(Arc<Mutex<Load>>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).leave();
    }
}

impl ServerState {
    /// Counts a request in, and says how long its reply takes.
    fn seat(&self, now: Duration) -> (ConnectionSlot, Duration) {
        let alone = self.region.latency(now);
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let takes = load.enter(&self.region.settings.latency, alone, now);
        (ConnectionSlot(Arc::clone(&self.load)), takes)
    }
}

impl Server {
    /// Starts a region on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// The port cannot be listened on, because another program does so, say.
    pub(crate) async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
        let url =
            Url::parse(&format!("http://{}", listener.local_addr()?)).map_err(io::Error::other)?;
        let region = Arc::new(Region::new(settings));
        let shared = ServerState { region, started: Instant::now(), load: Arc::default() };
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let app = Router::new().fallback(reply).with_state(shared);
        let serving = axum::serve(Listener { inner: listener, cut: cut.clone() }, app)
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let listening = tokio::spawn(async move { serving.await });
        Ok(Self { url, listening, stop: stop.drop_guard(), cut })
    }

    /// Where it listens: `http://127.0.0.1:PORT/`.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Stops: replies under way may finish for three seconds, then every connection ends.
    pub(crate) async fn stop(self) {
        let Self { mut listening, stop, cut, .. } = self;
        drop(stop);
        if timeout(GRACE, &mut listening).await.is_err() {
            cut.cancel();
            // Now that reading and writing fail no connection has anything left to wait for.
            let _ = listening.await;
        }
    }
}

/// The one handler: everything that the region knows is behind its `reply`.
async fn reply(State(shared): State<ServerState>, request: Request) -> Response {
    let ServerState { region, started, .. } = &shared;
    if request.uri().path() == "/sandbox/truth"
        && let Ok(truth) = asked_truth(region, request.uri().query())
    {
        let pieces = truth.map(Ok::<_, Infallible>);
        return Response::builder()
            .header(header::CONTENT_TYPE, NDJSON)
            .body(Body::from_stream(stream::iter(pieces)))
            .unwrap_or_default();
    }
    let gzip = takes_gzip(request.headers());
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let now = started.elapsed();
    // What the sandbox says of itself is not the platform's, nor as slow.
    let takes = (!head.uri.path().starts_with("/sandbox/")).then(|| shared.seat(now));
    let reply = region.reply(now, &http::Request::from_parts(head, body));
    if let Some((_seat, takes)) = takes.filter(|(_, takes)| !takes.is_zero()) {
        sleep(takes).await;
    }
    let (mut head, body) = reply.into_parts();
    if let Some(date) = skewed_date(region.settings.clock_skew) {
        head.headers.insert(header::DATE, date);
    }
    let body = if gzip {
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

/// The Date header of a clock that is off; none of one that is right, since axum sets that.
fn skewed_date(skew: SignedDuration) -> Option<HeaderValue> {
    let time = clock::now().checked_add(skew).ok().filter(|_| !skew.is_zero())?;
    HeaderValue::try_from(DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()?).ok()
}

fn status(status: StatusCode) -> Response {
    let mut reply = Response::default();
    *reply.status_mut() = status;
    reply
}

fn takes_gzip(headers: &HeaderMap) -> bool {
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

/// A listener whose connections can be cut: axum ends one only when its client lets it, and a
/// client that neither reads nor writes never does.
struct Listener {
    inner: TcpListener,
    cut: CancellationToken,
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.inner).await;
        // A small last packet must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        (Connection { stream, cut: Box::pin(self.cut.clone().cancelled_owned()) }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// A connection that fails from the moment it is cut.
struct Connection {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    fn unless_cut<T>(
        &mut self,
        cx: &mut Context<'_>,
        go_on: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        go_on(Pin::new(&mut self.stream), cx)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.unless_cut(cx, |stream, cx| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unless_cut(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unless_cut(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unless_cut(cx, |stream, cx| stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unless_cut(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpStream as Blocking};

    use super::*;
    use crate::sandbox::Latency;

    async fn get(server: &Server, path: &str, gzip: bool) -> reqwest::Response {
        // Only the first call installs it: nothing here is encrypted, but a client wants a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().gzip(gzip).no_proxy().build().unwrap();
        client.get(server.url().join(path).unwrap()).send().await.unwrap()
    }

    async fn small() -> Server {
        Server::start(Settings { conversations_per_day: 300, ..Settings::default() }).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reply_is_compressed_for_whoever_asks() {
        let server = small().await;
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
    async fn the_truth_streams_what_the_region_says() {
        let server = small().await;
        let path = "/sandbox/truth?from=2024-01-01T00:00:00Z&to=2024-01-03T00:00:00Z";
        let told = get(&server, path, false).await.bytes().await.unwrap();
        let interval = "2024-01-01T00:00:00Z/2024-01-03T00:00:00Z".parse().unwrap();
        let region = Region::new(Settings { conversations_per_day: 300, ..Settings::default() });
        assert_eq!(told, region.truth(interval).flatten().collect::<Vec<u8>>());
        assert_eq!(get(&server, "/sandbox/truth", false).await.status(), 400);
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_too_large_is_told_so_in_the_envelope() {
        let server = small().await;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = server.url().join("/api/v2/tokens/me").unwrap();
        let reply = client.post(url).body(vec![b' '; 600_000]).send().await.unwrap();
        assert_eq!(reply.status(), 413);
        assert!(reply.text().await.unwrap().contains("request.entity.too.large"));
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_beyond_the_capacity_wait_for_one_another() {
        let base = Duration::from_millis(150);
        let latency = Latency { base, capacity: 1, ..Latency::default() };
        let server = Server::start(Settings { latency, ..Settings::default() }).await.unwrap();
        let took = async || {
            let asked = Instant::now();
            get(&server, "/api/v2/tokens/me", false).await;
            asked.elapsed()
        };
        let (one, two, three) = tokio::join!(took(), took(), took());
        let most = one.max(two).max(three);
        assert!(most >= 3 * base, "{most:?}");
        let alone = took().await;
        assert!((base..3 * base).contains(&alone), "{alone:?}: they have left");
        let asked = Instant::now();
        get(&server, "/sandbox/stats", false).await;
        assert!(asked.elapsed() < base, "the sandbox's own are not slowed");
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_that_says_nothing_more_does_not_hold_up_the_end() {
        let server = small().await;
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
