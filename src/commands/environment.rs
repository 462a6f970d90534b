//! Everything that a command acts on, built once: hosts, transport, output, ledger, metrics.
//!
//! [`Environment`] holds it, and a test supplies its own. [`ApiSession`] adds what is needed to send
//! requests: the token actor and the context that all API clients share. Whoever opens a session must
//! close it, since a refresh token that was replaced is stored before the process ends.

use std::{
    cell::RefCell,
    sync::{Arc, atomic::AtomicU64},
};

use actix::prelude::*;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    auth::token::{Drain, TokenActor, TokenClient, TokenSource},
    catalog::Endpoint,
    commands::hosts::Hosts,
    config::Config,
    error::Error,
    fetch::{ApiClient, FetchContext, JobAvailability, RequestContext, RowStatistics},
    http::{
        rate_limit::{QuotaKey, RateLimit},
        transport::{HttpTransport, Transport},
    },
    ledger::{Ledger, RowStats},
    sandbox,
    sink::store::OutputStore,
    telemetry::metrics::Metrics,
};

/// What a run acts upon. A simulation brings its own.
pub struct Environment {
    /// The API.
    pub api: Url,
    /// Its login.
    pub login: Url,
    /// The door to both.
    pub transport: Arc<dyn Transport>,
    /// Where files go.
    pub output: OutputStore,
    /// What is committed.
    pub ledger: Ledger,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Ends the run between two requests.
    pub shutdown: CancellationToken,
    /// Spreads the pauses of retries.
    pub seed: u64,
}

impl Environment {
    /// The world as it is. The sandbox, where the hosts are its, lives as long as the second value.
    pub(crate) async fn open(
        config: &Config,
        output: OutputStore,
        ledger: Ledger,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Result<(Self, Option<sandbox::Server>), Error> {
        let transport: Arc<dyn Transport> =
            Arc::new(HttpTransport::new(config.fetch.timeout, config.fetch.max_body)?);
        let Hosts { api, login, sandbox } = Hosts::open(config, &transport).await?;
        Ok((
            Self {
                api,
                login,
                transport,
                output,
                ledger,
                metrics,
                shutdown,
                seed: fastrand::u64(..),
            },
            sandbox,
        ))
    }
}

/// A line to the platform, for who asks without a run.
pub(crate) struct ApiSession {
    /// Asks.
    pub client: ApiClient,
    /// What it acts upon.
    pub environment: Environment,
    tokens: Addr<TokenActor>,
    sandbox: Option<sandbox::Server>,
}

impl ApiSession {
    /// A line to the platform of `config`.
    ///
    /// # Errors
    /// Where the platform cannot be found.
    pub(crate) async fn open(
        config: &Config,
        output: OutputStore,
        ledger: Ledger,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::default());
        let (environment, sandbox) =
            Environment::open(config, output, ledger, metrics, shutdown).await?;
        let (shared, tokens) = connect(config, &environment);
        Ok(Self {
            client: client(&shared, &tokens, environment.seed),
            environment,
            tokens,
            sandbox,
        })
    }

    /// Ends it: a refresh token that was replaced is stored before.
    pub(crate) async fn close(self) {
        let _ = self.tokens.send(Drain).await;
        if let Some(server) = self.sandbox {
            server.stop().await;
        }
    }
}

/// What everyone who asks the platform shares, and who keeps the token.
pub(crate) fn connect(
    config: &Config,
    environment: &Environment,
) -> (Arc<FetchContext>, Addr<TokenActor>) {
    let rate_limit = Arc::new(RateLimit::new(config.quota_settings.clone()));
    let credential: Arc<str> = config.auth.credentials.name().into();
    let key =
        |bucket: &str| QuotaKey { credential: Arc::clone(&credential), bucket: bucket.into() };
    let tokens = TokenActor::new(login(config, environment, &rate_limit, key("login"))).start();
    let parent = |endpoint: &Arc<Endpoint>| {
        endpoint.parent.as_ref().and_then(|each| config.catalog.datasets.get(&each.dataset))
    };
    let parents = config.datasets.iter().flat_map(|dataset| dataset.endpoints()).filter_map(parent);
    let row_statistics = RowStatistics::default();
    for dataset in &config.datasets {
        // a guess is as good without it
        row_statistics.know(
            &dataset.name,
            RowStats::read(&environment.ledger, &dataset.name).unwrap_or_default(),
        );
    }
    let shared = FetchContext {
        request: Arc::new(RequestContext {
            api: environment.api.clone(),
            api_version: config.api_version.clone().unwrap_or_default(),
            now: config.now,
        }),
        page_size: config.fetch.page_size,
        ahead: config.fetch.ahead,
        parents: parents.map(|parent| (parent.name.clone(), Arc::clone(parent))).collect(),
        filters: config
            .filters
            .iter()
            .map(|(name, filter)| (name.clone(), Arc::new(filter.clone())))
            .collect(),
        strategy: config.fetch.strategy,
        lake_wait: config.fetch.lake_wait,
        jobs: Arc::new(Semaphore::new(config.fetch.jobs)),
        row_statistics,
        job_availability: JobAvailability::default(),
        policy: config.policy.clone(),
        commit_every: config.commit_every,
        smallest_shard: config.fetch.smallest_shard,
        bucket: "api".into(),
        credential: Arc::clone(&credential),
        rate_limit,
        transport: Arc::clone(&environment.transport),
        accepted: AtomicU64::new(0),
        metrics: Arc::clone(&environment.metrics),
        shutdown: environment.shutdown.child_token(),
    };
    (Arc::new(shared), tokens)
}

pub(crate) fn client(
    shared: &Arc<FetchContext>,
    tokens: &Addr<TokenActor>,
    seed: u64,
) -> ApiClient {
    let jitter = RefCell::new(fastrand::Rng::with_seed(seed));
    ApiClient { context: Arc::clone(shared), tokens: tokens.clone(), jitter }
}

fn login(
    config: &Config,
    environment: &Environment,
    rate_limit: &Arc<RateLimit>,
    key: QuotaKey,
) -> TokenSource {
    let (transport, metrics) =
        (Arc::clone(&environment.transport), Arc::clone(&environment.metrics));
    TokenSource::new(
        environment.login.clone(),
        &config.auth,
        TokenClient { transport, rate_limit: Arc::clone(rate_limit), key, metrics },
    )
}
