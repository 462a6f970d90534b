//! What is served under which path. Everything is read-only.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use crate::{
    system::blocking::offload_wait,
    time::interval::Interval,
    web::{
        access::{Access, Admitted},
        page,
        updates::{Event, Updates},
    },
};

/// Event streams that are open at once.
const MOST_STREAMS: usize = 16;
/// Histories that are read at once.
const MOST_HISTORIES: usize = 2;
/// A comment is sent over a silent event stream this often, so that its end is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What all requests share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) access: Arc<Access>,
    pub(super) updates: Arc<[Arc<Updates>]>,
    pub(super) streams: Arc<Semaphore>,
    pub(super) histories: Arc<Semaphore>,
    /// Ends the event streams.
    pub(super) end: CancellationToken,
}

impl Shared {
    pub(super) fn new(
        access: Access,
        updates: Arc<[Arc<Updates>]>,
        end: CancellationToken,
    ) -> Self {
        Self {
            access: Arc::new(access),
            updates,
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            histories: Arc::new(Semaphore::new(MOST_HISTORIES)),
            end,
        }
    }

    /// The source that a request names; the first if it names none.
    fn updates(&self, query: &Query) -> Option<&Arc<Updates>> {
        match query.get("source") {
            Some(name) => self.updates.iter().find(|updates| updates.source().name() == name),
            None => self.updates.first(),
        }
    }
}

type Query = BTreeMap<String, String>;

/// Answers a request, if it is allowed.
pub(super) async fn reply(State(shared): State<Shared>, request: Request) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let response = match shared.access.check(method, uri, headers) {
        Ok(Admitted::Request) => answer(&shared, uri, headers).await,
        Ok(Admitted::WithToken { cookie, location }) => redirect(&cookie, &location),
        Err((status, reason)) => refuse(status, &reason),
    };
    secured(response)
}

async fn answer(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    let query = uri.query().unwrap_or_default();
    let query: Query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if uri.path() == "/" {
        let names: Vec<_> = shared.updates.iter().map(|updates| updates.source().name()).collect();
        let html = page::html(&json!({ "live": true, "sources": names }));
        return with_type("text/html; charset=utf-8", html);
    }
    if !["/overview.json", "/shards", "/events"].contains(&uri.path()) {
        return refuse(StatusCode::NOT_FOUND, "there is no such page");
    }
    let Some(updates) = shared.updates(&query) else {
        return refuse(StatusCode::NOT_FOUND, "there is no source with this name");
    };
    match uri.path() {
        "/events" => events(shared, updates, headers),
        "/shards" => history(shared, updates, &query).await,
        _ => match updates.overview().await {
            Ok(json) => with_type("application/json", json.to_string()),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error),
        },
    }
}

/// The history of an interval of a dataset: `/shards?dataset=…&from=…&to=…`.
async fn history(shared: &Shared, updates: &Updates, query: &Query) -> Response {
    let text = |key: &str| query.get(key).map(String::as_str).unwrap_or_default();
    let interval: Result<Interval, _> = format!("{}/{}", text("from"), text("to")).parse();
    let Ok(interval) = interval else {
        let reason = "expected `dataset`, `from` and `to`, such as from=2024-01-01T00:00:00Z";
        return refuse(StatusCode::BAD_REQUEST, reason);
    };
    let Ok(_permit) = shared.histories.acquire().await else { return Response::default() };
    let (source, dataset) = (Arc::clone(updates.source()), text("dataset").to_owned());
    let history = offload_wait(move || source.history(&dataset, interval)).await;
    match history.map(|history| serde_json::to_string(&history).unwrap_or_default()) {
        Ok(json) => with_type("application/json", json),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The overview and its changes as server-sent events.
fn events(shared: &Shared, updates: &Arc<Updates>, _headers: &HeaderMap) -> Response {
    let Ok(permit) = Arc::clone(&shared.streams).try_acquire_owned() else {
        let reason = "as many pages as can be served are open: close one";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, reason);
    };
    let stream = event_stream(Arc::clone(updates), shared.end.clone(), permit);
    let mut response = Response::new(Body::from_stream(stream));
    set(&mut response, header::CONTENT_TYPE, "text/event-stream");
    response
}

/// The texts of an event stream. It ends with an event `end` once `end` is cancelled.
fn event_stream(
    updates: Arc<Updates>,
    end: CancellationToken,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    enum Stage {
        Begin,
        Follow,
        Over,
    }
    let listening = updates.listen();
    let begin = (Stage::Begin, listening, end, permit);
    let texts = stream::unfold(begin, |(stage, mut listening, end, permit)| async move {
        let (stage, text) = match stage {
            Stage::Over => return None,
            Stage::Begin => match listening.begin().await {
                Ok(event) => (Stage::Follow, format!("retry: 2000\n{}", event.text())),
                Err(error) => (Stage::Over, event_text("problem", &json!(error).to_string())),
            },
            Stage::Follow => tokio::select! {
                biased;
                event = timeout(KEEP_ALIVE, listening.next()) => {
                    let text = event.map_or_else(|_| ":\n\n".to_owned(), |event| event.text());
                    (Stage::Follow, text)
                }
                () = end.cancelled() => (Stage::Over, event_text("end", "null")),
            },
        };
        Some((text, (stage, listening, end, permit)))
    });
    texts.map(|text| Ok(text.into()))
}

impl Event {
    fn text(&self) -> String {
        match self {
            Self::Overview(json) => event_text("overview", json),
            Self::Change(json) => event_text("change", json),
        }
    }
}

/// JSON has no line breaks outside of strings, and in strings they are escaped.
fn event_text(name: &str, json: &str) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}

fn redirect(cookie: &str, location: &str) -> Response {
    let mut response = refuse(StatusCode::SEE_OTHER, "the token is in a cookie now");
    set(&mut response, header::SET_COOKIE, cookie);
    set(&mut response, header::LOCATION, location);
    response
}

/// A status with its reason as text.
pub(super) fn refuse(status: StatusCode, reason: &str) -> Response {
    let mut response = with_type("text/plain; charset=utf-8", format!("{reason}\n"));
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        set(&mut response, header::ALLOW, "GET");
    }
    response
}

pub(super) fn with_type(content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    set(&mut response, header::CONTENT_TYPE, content_type);
    response
}

/// Sets a header, unless its value has characters that no header may have.
fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Adds the headers that keep other sites and caches away.
pub(super) fn secured(mut response: Response) -> Response {
    let policy = format!("{}; frame-ancestors 'none'", *page::POLICY);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        set(&mut response, name, value);
    }
    response
}
