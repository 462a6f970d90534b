//! The sandbox behind a link that takes time, in the process of the test, and its tokens.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::prelude::*;
use bytes::Bytes;
use cxbackfill::testing::{
    GetToken, Metrics, QuotaSettings, RateLimit, Region, RequestError, Settings, Token, TokenActor,
    TokenClient, TokenError, TokenSource, Transport,
};
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep};

use crate::common::environment::config;

pub const LOGIN_HOST: &str = "https://login.sandbox.example";

/// The sandbox behind a link that takes time.
pub struct DelayedRegion {
    pub region: Region,
    start: Instant,
    latency: Duration,
    /// The statuses of the answers to token requests.
    statuses: Mutex<Vec<StatusCode>>,
    /// Errors of the token endpoint in place of the sandbox's answers, the last one first.
    pub outages: Mutex<Vec<(u16, &'static str)>>,
}

impl DelayedRegion {
    /// A platform with a latency of 10 ms.
    pub fn new(settings: Settings) -> Arc<Self> {
        Self::with_latency(
            Settings { conversations_per_day: 20, ..settings },
            Duration::from_millis(10),
        )
    }

    /// The same with another latency.
    pub fn with_latency(settings: Settings, latency: Duration) -> Arc<Self> {
        let region = Region::new(Settings { requests: 0, ..settings });
        Arc::new(Self {
            region,
            start: Instant::now(),
            latency,
            statuses: Mutex::default(),
            outages: Mutex::default(),
        })
    }

    /// The statuses of the answers to token requests.
    pub fn token_requests(&self) -> Vec<u16> {
        self.statuses.lock().unwrap().iter().map(StatusCode::as_u16).collect()
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let is_login = !request.uri().path().starts_with("/api/");
        let outage = if is_login { self.outages.lock().unwrap().pop() } else { None };
        let response = match outage {
            Some((status, body)) => {
                Response::builder().status(status).body(Bytes::from(body)).unwrap()
            }
            None => self.region.reply(self.start.elapsed(), request),
        };
        if is_login {
            self.statuses.lock().unwrap().push(response.status());
        }
        response
    }
}

impl Transport for DelayedRegion {
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

/// A token source of the configuration that `set` makes of the defaults.
pub fn token_source(platform: &Arc<DelayedRegion>, set: &[&str]) -> TokenSource {
    let config = config(set);
    let client = TokenClient::new(
        &config.auth.credentials,
        platform.clone(),
        Arc::new(RateLimit::new(QuotaSettings::default())),
        Arc::new(Metrics::default()),
    );
    TokenSource::new(LOGIN_HOST.parse().unwrap(), &config.auth, client)
}

/// A token actor of the configuration that `set` makes of the defaults.
pub fn token_actor(platform: &Arc<DelayedRegion>, set: &[&str]) -> Addr<TokenActor> {
    TokenActor::new(token_source(platform, set)).start()
}

pub async fn get_token(
    tokens: &Addr<TokenActor>,
    rejected: Option<u64>,
) -> Result<Token, TokenError> {
    tokens.send(GetToken { rejected }).await.unwrap()
}

/// A refresh token of a user of the sandbox.
pub async fn refresh_token(platform: &Arc<DelayedRegion>) -> String {
    let set = ["auth.grant=password", "auth.access_key_id=k", "auth.access_key_secret=s"];
    token_source(platform, &set).renew().await.unwrap().refresh.unwrap().expose_secret().to_owned()
}

/// A configuration that keeps tokens in `folder`.
pub fn with_cache(folder: &Path, token: &str) -> Vec<String> {
    let cache = format!("auth.cache={}", folder.join("tokens").display());
    vec!["auth.grant=refresh-token".to_owned(), cache, format!("auth.refresh_token={token}")]
}
