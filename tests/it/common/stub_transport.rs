//! An API in the test's process: a function answers requests, and all requests are recorded.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cxbackfill::testing::{RequestError, Transport};
use futures_util::future::{BoxFuture, ready};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use url::Url;

/// A request as the API receives it.
pub struct StubRequest {
    pub method: String,
    pub url: Url,
    /// Its JSON body; null if it has none.
    pub body: Value,
    /// Whether it carries the token.
    pub has_token: bool,
}

/// A reply: status and body.
pub type StubResponse = (u16, String);

/// The error of the network that a request for this address meets. `None` if it arrives.
pub type NetworkError = Box<dyn Fn(&str) -> Option<RequestError> + Send + Sync>;

/// Paths below this one need no token, like signed addresses of results in cloud storage.
pub const RESULTS: &str = "/results/";

/// The API.
pub struct Stub {
    /// The path of its token endpoint.
    token_path: &'static str,
    answer: Box<dyn Fn(&StubRequest) -> StubResponse + Send + Sync>,
    network: NetworkError,
    /// Every request except those for tokens, as `GET http://host/path?query`.
    requests: Mutex<Vec<String>>,
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
    /// An API that issues a token at `token_path` and answers requests with that token.
    pub fn new(
        token_path: &'static str,
        answer: impl Fn(&StubRequest) -> StubResponse + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::behind(Box::new(|_| None), token_path, answer)
    }

    /// The same behind a network with errors.
    pub fn behind(
        network: NetworkError,
        token_path: &'static str,
        answer: impl Fn(&StubRequest) -> StubResponse + Send + Sync + 'static,
    ) -> Arc<Self> {
        let requests = Mutex::default();
        Arc::new(Self { token_path, answer: Box::new(answer), network, requests })
    }

    /// Every request except those for tokens.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The reply to a request with an absolute address.
    pub fn reply(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let url: Url = request.uri().to_string().parse().unwrap();
        let (status, body) = if url.path() == self.token_path {
            (
                200,
                json!({ "access_token": "the-token", "token_type": "bearer", "expires_in": 3600 })
                    .to_string(),
            )
        } else {
            self.requests.lock().unwrap().push(format!("{} {url}", request.method()));
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
        let outcome = match (self.network)(&request.uri().to_string()) {
            Some(error) => Err(error),
            None => Ok(self.reply(&request)),
        };
        Box::pin(ready(outcome))
    }
}

/// Serves a stub on a local port while the runtime lives, and returns its address.
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
