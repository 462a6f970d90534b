//! A small API in the process of the test: what it answers is a function, and what it was asked is kept.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cxbackfill::testing::{RequestError, Transport};
use futures_util::future::{BoxFuture, ready};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use url::Url;

/// A request as an API sees it.
pub struct StubRequest {
    pub method: String,
    pub url: Url,
    /// Its JSON body; null where it has none.
    pub body: Value,
    /// Whether it has the token.
    pub has_token: bool,
}

/// A reply: a status and a body.
pub type StubResponse = (u16, String);

/// Whoever knows an address below this path may have it: results, as clouds keep them.
pub const RESULTS: &str = "/results/";

/// The API.
pub struct Stub {
    /// The path of its token endpoint.
    token_path: &'static str,
    answer: Box<dyn Fn(&StubRequest) -> StubResponse + Send + Sync>,
    /// Every request but those for tokens, as `GET http://host/path?query`.
    seen: Mutex<Vec<String>>,
}

impl StubRequest {
    /// A parameter of the URL.
    pub fn param(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// A number among the parameters of the URL.
    pub fn number(&self, name: &str) -> usize {
        self.param(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {}", self.url))
    }
}

impl Stub {
    /// An API that answers so those who have the token that it gives at `token_path`.
    pub fn new(
        token_path: &'static str,
        answer: impl Fn(&StubRequest) -> StubResponse + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { token_path, answer: Box::new(answer), seen: Mutex::default() })
    }

    /// What it was asked.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The reply to a request whose address is absolute.
    pub fn reply(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let url: Url = request.uri().to_string().parse().unwrap();
        let (status, body) = if url.path() == self.token_path {
            (
                200,
                json!({ "access_token": "the-token", "token_type": "bearer", "expires_in": 3600 })
                    .to_string(),
            )
        } else {
            self.seen.lock().unwrap().push(format!("{} {url}", request.method()));
            let has_token = request
                .headers()
                .get(AUTHORIZATION)
                .is_some_and(|value| value == "Bearer the-token");
            let body = serde_json::from_slice(request.body()).unwrap_or_default();
            match has_token || url.path().starts_with(RESULTS) {
                true => (self.answer)(&StubRequest {
                    method: request.method().to_string(),
                    url,
                    body,
                    has_token,
                }),
                false => (401, String::new()),
            }
        };
        Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body.into()).unwrap()
    }
}

impl Transport for Stub {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        Box::pin(ready(Ok(self.reply(&request))))
    }
}

/// Listens on a port of this machine for as long as the runtime lives, and gives its address.
pub async fn serve(stub: &Arc<Stub>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let (stub, here) = (Arc::clone(stub), host.clone());
    let answer = move |request: axum::extract::Request| async move {
        let (mut head, body) = request.into_parts();
        head.uri = format!("{here}{}", head.uri).parse().unwrap();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        stub.reply(&Request::from_parts(head, body)).map(axum::body::Body::from)
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    host
}
