//! Serves the metrics of runs to Prometheus.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use secrecy::SecretString;
use tokio::task::JoinHandle;

use crate::{
    error::Error,
    telemetry::metrics::{
        Metrics,
        prometheus::{self, Run},
    },
    web::{
        access::Access,
        routes::{refuse, secured, with_type},
    },
};

/// A run, and the name of its source. `None` if it is the only one and has no name.
pub(crate) type NamedMetrics = (Option<String>, Arc<Metrics>);

/// Serves `/metrics` in a task of its own, until it is dropped.
pub(crate) struct MetricsServer {
    url: String,
    server: JoinHandle<io::Result<()>>,
}

#[derive(Clone)]
struct Shared {
    access: Arc<Access>,
    runs: Arc<[NamedMetrics]>,
}

impl MetricsServer {
    /// Serves the metrics of `runs` at `address`; port 0 is any free one.
    ///
    /// # Errors
    /// If the address or the token cannot be used.
    pub(crate) async fn start(
        address: SocketAddr,
        token: Option<SecretString>,
        runs: Vec<NamedMetrics>,
    ) -> Result<Self, Error> {
        let (listener, access) = Access::listen(address, token).await?;
        let url = access.url().replacen("/?", "/metrics?", 1);
        let url = if url.ends_with('/') { format!("{url}metrics") } else { url };
        let shared = Shared { access: Arc::new(access), runs: runs.into() };
        let app = Router::new().fallback(reply).with_state(shared);
        let serving = axum::serve(listener, app);
        Ok(Self { url, server: tokio::spawn(async move { serving.await }) })
    }

    /// The URL to read. It has the token, if one is needed.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers a request, if it is allowed.
async fn reply(State(shared): State<Shared>, request: Request) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    secured(match shared.access.check(method, uri, headers) {
        Err((status, reason)) => refuse(status, &reason),
        Ok(_) if uri.path() != "/metrics" => {
            refuse(StatusCode::NOT_FOUND, "the metrics are at /metrics")
        }
        // Prometheus keeps no cookies, so a token in the URL is one for each request
        Ok(_) => {
            let runs = shared.runs.iter();
            let runs: Vec<_> =
                runs.map(|(source, metrics)| Run { source: source.as_deref(), metrics }).collect();
            with_type(prometheus::CONTENT_TYPE, prometheus::text(&runs))
        }
    })
}
