//! The sandbox on a socket of the test's own, where the test sees and changes what passes.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
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

/// What may be done with a reply of the login before the client has it; none: it never has it.
pub type ReplyFilter = Box<dyn Fn(&Response<Bytes>) -> bool + Send + Sync>;

/// A platform that listens.
pub struct Platform {
    pub region: Arc<Region>,
    pub address: SocketAddr,
    /// Every access, refresh and id token that the client was given.
    pub tokens: Arc<Mutex<Vec<String>>>,
    /// Whether a reply of the login goes on to the client.
    pub tap: Arc<Mutex<Option<ReplyFilter>>>,
}

#[derive(Clone)]
struct ProxyState {
    region: Arc<Region>,
    tokens: Arc<Mutex<Vec<String>>>,
    tap: Arc<Mutex<Option<ReplyFilter>>>,
    start: Instant,
}

impl Platform {
    pub async fn start(settings: Settings) -> Self {
        let (tokens, tap) = (Arc::default(), Arc::default());
        let region = Arc::new(Region::new(settings));
        let shared = ProxyState {
            region: region.clone(),
            tokens: Arc::clone(&tokens),
            tap: Arc::clone(&tap),
            start: Instant::now(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { region, address, tokens, tap }
    }

    /// The real binary, told about this platform. It runs in `folder`, and keeps everything there.
    pub fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cxbackfill"));
        command.current_dir(folder).args(arguments).stdin(Stdio::null());
        for name in ["api", "login"] {
            command.arg("--set").arg(format!("source.{name}_url=http://{}", self.address));
        }
        command.args(["--set", "output.path=out", "--set", "job.to=2024-01-03T00:00:00Z"]);
        command
    }

    /// A refresh token that a user got.
    pub fn refresh_token(&self) -> String {
        let form =
            "grant_type=password&username=u&password=p&client_id=sandbox&client_secret=sandbox";
        let request = http::Request::post("/auth/token").body(Bytes::from(form)).unwrap();
        let reply = self.region.reply(std::time::Duration::ZERO, &request);
        field(&reply, "refresh_token").unwrap()
    }
}

/// A text of a JSON reply.
pub fn field(reply: &Response<Bytes>, name: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(reply.body()).ok()?;
    Some(body[name].as_str()?.to_owned())
}

async fn answer(State(shared): State<ProxyState>, request: Request) -> axum::response::Response {
    let (head, body) = request.into_parts();
    let is_login = !head.uri.path().starts_with("/api/");
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let reply = shared.region.reply(shared.start.elapsed(), &http::Request::from_parts(head, body));
    if is_login {
        let names = ["access_token", "refresh_token", "id_token", "token", "refreshToken"];
        shared.tokens.lock().unwrap().extend(names.iter().filter_map(|name| field(&reply, name)));
        let goes_on = shared.tap.lock().unwrap().as_ref().is_none_or(|tap| tap(&reply));
        if !goes_on {
            std::future::pending::<()>().await;
        }
    }
    reply.map(Body::from)
}
