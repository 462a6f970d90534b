//! A sandbox that the test serves itself, so that it can inspect and change replies.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
};
use bytes::Bytes;
use cxbackfill::testing::{Region, Settings};
use http::Response;
use tokio::time::Instant;

use super::binary::{CREDENTIALS, SIMULATED, program, set};

/// Called with each reply of the token endpoint. If it returns `false` the client never gets it.
pub type ReplyFilter = Box<dyn Fn(&Response<Bytes>) -> bool + Send + Sync>;

/// A sandbox on a socket.
pub struct Platform {
    pub region: Arc<Region>,
    pub address: SocketAddr,
    /// Every access, refresh and id token that the client received.
    pub tokens: Arc<Mutex<Vec<String>>>,
    /// Filters the replies of the token endpoint. `None` if all are sent.
    pub filter: Arc<Mutex<Option<ReplyFilter>>>,
    /// Requests whose path contains this are answered 403. `None` if there are none.
    pub forbidden_path: Arc<Mutex<Option<&'static str>>>,
}

#[derive(Clone)]
struct ProxyState {
    region: Arc<Region>,
    tokens: Arc<Mutex<Vec<String>>>,
    filter: Arc<Mutex<Option<ReplyFilter>>>,
    forbidden_path: Arc<Mutex<Option<&'static str>>>,
    start: Instant,
}

impl Platform {
    pub async fn start(settings: Settings) -> Self {
        let (tokens, filter, forbidden_path) = (Arc::default(), Arc::default(), Arc::default());
        let region = Arc::new(Region::new(settings));
        let state = ProxyState {
            region: region.clone(),
            tokens: Arc::clone(&tokens),
            filter: Arc::clone(&filter),
            forbidden_path: Arc::clone(&forbidden_path),
            start: Instant::now(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(state);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { region, address, tokens, filter, forbidden_path }
    }

    /// The real program, configured for this platform. It runs in `folder` and writes only there.
    pub fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = program(folder, arguments);
        set(
            &mut command,
            &["api", "login"].map(|name| format!("source.{name}_url=http://{}", self.address)),
        );
        set(&mut command, &["output.path=out", SIMULATED[1], "job.to=2024-01-03T00:00:00Z"]);
        set(&mut command, &CREDENTIALS[..1]);
        if !arguments.iter().any(|argument| argument.starts_with("auth.client_secret=")) {
            set(&mut command, &CREDENTIALS[1..]);
        }
        command
    }

    /// Issues a refresh token by a password grant.
    pub fn refresh_token(&self) -> String {
        let form =
            "grant_type=password&username=u&password=p&client_id=sandbox&client_secret=sandbox";
        let request = http::Request::post("/auth/token").body(Bytes::from(form)).unwrap();
        let reply = self.region.reply(std::time::Duration::ZERO, &request);
        field(&reply, "refresh_token").unwrap()
    }
}

/// A string field of a JSON reply.
pub fn field(reply: &Response<Bytes>, name: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(reply.body()).ok()?;
    Some(body[name].as_str()?.to_owned())
}

async fn answer(State(state): State<ProxyState>, request: Request) -> axum::response::Response {
    let (head, body) = request.into_parts();
    let is_login = !head.uri.path().starts_with("/api/");
    let forbidden_path = *state.forbidden_path.lock().unwrap();
    if forbidden_path.is_some_and(|part| head.uri.path().contains(part)) {
        return Response::builder().status(403).body(Body::empty()).unwrap();
    }
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let reply = state.region.reply(state.start.elapsed(), &http::Request::from_parts(head, body));
    if is_login {
        let names = ["access_token", "refresh_token", "id_token", "token", "refreshToken"];
        state.tokens.lock().unwrap().extend(names.iter().filter_map(|name| field(&reply, name)));
        let is_sent = state.filter.lock().unwrap().as_ref().is_none_or(|filter| filter(&reply));
        if !is_sent {
            std::future::pending::<()>().await;
        }
    }
    reply.map(Body::from)
}
