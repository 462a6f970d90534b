//! Everything that a command acts on, built once: hosts, transport, output, ledger, metrics.
//!
//! [`Environment`] holds it, and a test supplies its own. [`ApiSession`] adds what requests need:
//! the token actor and the context that all API clients share. Whoever opens a session must close
//! it, so that a refresh token that was replaced is stored before the process ends.

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
    fetch::{
        ApiClient, CircuitBreaker, Decoders, FetchContext, JobAvailability, JobWaits,
        ListedParents, NewFieldPolicy, OutageMonitor, RequestContext, RowStatistics, ShardWork,
        UnknownStates,
    },
    http::{rate_limit::RateLimit, transport::Transport},
    ledger::{Ledger, RowStats},
    sandbox,
    sink::store::OutputStore,
    telemetry::metrics::Metrics,
};

/// The rate-limit bucket of requests whose endpoint has none of its own.
const API_BUCKET: &str = "api";

/// What a run acts on.
pub struct Environment {
    /// The host of the API.
    pub api: Url,
    /// The login host, or with a path the token endpoint.
    pub login: Url,
    /// Sends the requests to both.
    pub transport: Arc<dyn Transport>,
    /// Holds the files.
    pub output: OutputStore,
    /// Records what is committed.
    pub ledger: Ledger,
    /// Counts what the run does.
    pub metrics: Arc<Metrics>,
    /// Ends the run between two requests.
    pub shutdown: CancellationToken,
    /// Seed of the random part of retry pauses.
    pub seed: u64,
}

impl Environment {
    /// The environment that `config` describes. The second value is the sandbox, if the hosts are
    /// its: it serves until it is stopped.
    pub(crate) async fn open(
        config: &Config,
        output: OutputStore,
        ledger: Ledger,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Result<(Self, Option<sandbox::Server>), Error> {
        let transport: Arc<dyn Transport> = Arc::new(config.fetch.transport()?);
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

/// Sends requests to the platform, for commands that are not a run.
pub(crate) struct ApiSession {
    pub client: ApiClient,
    pub environment: Environment,
    tokens: Addr<TokenActor>,
    sandbox: Option<sandbox::Server>,
}

impl ApiSession {
    /// A session with the platform of `config`.
    ///
    /// # Errors
    /// If the hosts cannot be discovered, or the sandbox cannot listen.
    pub(crate) async fn open(
        config: &Config,
        output: OutputStore,
        ledger: Ledger,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::default());
        let (environment, sandbox) =
            Environment::open(config, output, ledger, metrics, shutdown).await?;
        let (context, tokens) = connect(config, &environment);
        Ok(Self {
            client: client(&context, &tokens, environment.seed),
            environment,
            tokens,
            sandbox,
        })
    }

    /// Ends the session, after a refresh token that was replaced is stored.
    pub(crate) async fn close(self) {
        let _ = self.tokens.send(Drain).await;
        if let Some(server) = self.sandbox {
            server.stop().await;
        }
    }
}

/// The context that all API clients share, and the token actor.
pub(crate) fn connect(
    config: &Config,
    environment: &Environment,
) -> (Arc<FetchContext>, Addr<TokenActor>) {
    let rate_limit = Arc::new(RateLimit::new(config.quota_settings.clone()));
    let limits = Arc::clone(&rate_limit);
    environment.metrics.set_limit_view(move || limits.usage(API_BUCKET));
    let credential: Arc<str> = config.auth.credentials.name().into();
    let tokens = TokenActor::new(token_source(config, environment, &rate_limit)).start();
    let parent_of = |endpoint: &Arc<Endpoint>| {
        let parent = endpoint.parent.as_ref()?;
        config.catalog.datasets.get(&parent.dataset)
    };
    let endpoints = config.datasets.iter().flat_map(|dataset| dataset.endpoints());
    let parents = endpoints.filter_map(parent_of);
    let row_statistics = RowStatistics::default();
    for dataset in &config.datasets {
        // statistics are optional: without them a run works, with poorer estimates
        row_statistics.insert(
            &dataset.name,
            RowStats::read(&environment.ledger, &dataset.name).unwrap_or_default(),
        );
    }
    let job_waits = JobWaits::default();
    for dataset in config.datasets.iter().filter(|dataset| dataset.job.is_some()) {
        job_waits
            .insert(&dataset.name, environment.ledger.job_waits(&dataset.name).unwrap_or_default());
    }
    let circuit_breaker = CircuitBreaker::new(config.give_up_dataset_after);
    for dataset in &config.datasets {
        let failures = environment.ledger.failures(&dataset.name).unwrap_or_default();
        let failed_earlier = failures.iter().map(|failure| failure.interval).collect();
        circuit_breaker.exclude(&dataset.name, failed_earlier);
    }
    let context = FetchContext {
        request: Arc::new(RequestContext {
            api: environment.api.clone(),
            api_version: config.api_version.clone().unwrap_or_default(),
            now: config.now,
            decoders: Decoders::new(
                config.fetch.on_new_field == NewFieldPolicy::Drop,
                config.privacy.clone(),
            ),
        }),
        settings: config.fetch.clone(),
        parents: parents.map(|parent| (parent.name.clone(), Arc::clone(parent))).collect(),
        filters: config
            .filters
            .iter()
            .map(|(name, filter)| (name.clone(), Arc::new(filter.clone())))
            .collect(),
        job_permits: Arc::new(Semaphore::new(config.fetch.jobs)),
        row_statistics,
        job_availability: JobAvailability::default(),
        job_waits,
        unknown_job_states: UnknownStates::default(),
        listed_parents: ListedParents::default(),
        circuit_breaker,
        outages: OutageMonitor::new(config.platform.profile().probe_path(), &config.policy),
        policy: config.policy.clone(),
        dialect: config.platform.profile().dialect,
        bucket: API_BUCKET.into(),
        credential: Arc::clone(&credential),
        rate_limit,
        transport: Arc::clone(&environment.transport),
        accepted: AtomicU64::new(0),
        metrics: Arc::clone(&environment.metrics),
        shutdown: environment.shutdown.child_token(),
    };
    (Arc::new(context), tokens)
}

/// An API client; `seed` makes its retry pauses random.
pub(crate) fn client(
    context: &Arc<FetchContext>,
    tokens: &Addr<TokenActor>,
    seed: u64,
) -> ApiClient {
    let jitter = RefCell::new(fastrand::Rng::with_seed(seed));
    ApiClient {
        context: Arc::clone(context),
        tokens: tokens.clone(),
        jitter,
        work: ShardWork::default(),
    }
}

fn token_source(
    config: &Config,
    environment: &Environment,
    rate_limit: &Arc<RateLimit>,
) -> TokenSource {
    let client = TokenClient::new(
        &config.auth.credentials,
        Arc::clone(&environment.transport),
        Arc::clone(rate_limit),
        Arc::clone(&environment.metrics),
    );
    TokenSource::new(environment.login.clone(), &config.auth, client)
}
