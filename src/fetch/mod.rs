//! FetchActor: shards become rows with the sink.
//!
//! `fetch_shard` tells what becomes of one: `strategy` chooses the way, `task` submits what is to be submitted,
//! `pager` knows which request comes next, `send_with_retry` sends it, however many attempts it takes, `in_flight`
//! keeps several under way, and `chain` knows how far the shard has come.

pub(crate) mod async_job;
pub(crate) mod endpoint_choice;
pub(crate) mod error;
pub(crate) mod fetch_shard;
pub(crate) mod in_flight;
pub(crate) mod pagination;
pub(crate) mod request;
pub(crate) mod settings;
pub(crate) mod shard_progress;
pub(crate) mod totals;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use actix::prelude::*;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

pub(crate) use self::{
    endpoint_choice::{JobAvailability, RowStatistics, cost},
    error::{FetchError, ShardError},
    pagination::RequestContext,
    settings::{FetchSettings, Strategy},
    totals::{FetchTotals, RunError},
};
use self::{pagination::Pager, request::RequestOptions};
use crate::{
    auth::token::TokenActor,
    catalog::{Dataset, Endpoint},
    decode::RawPage,
    http::{error::RequestError, rate_limit::RateLimit, retry::RetryPolicy, transport::Transport},
    planning::{Lease, Next, PlannerActor},
    sink::SinkActor,
    telemetry::{self, metrics::Metrics},
    time::interval::Interval,
};

/// Fetches shards until there are no more. The reply comes when the actor's work is over: its life
/// is one request, so whoever awaits the reply awaits the life (G9).
#[derive(Message)]
#[rtype(result = "(FetchTotals, Option<RunError>)")]
pub(crate) struct Run;

/// What fetchers have in common.
pub(crate) struct FetchContext {
    /// Where the API is.
    pub request: Arc<RequestContext>,
    /// The most rows that are asked for in a page; a dataset may allow fewer.
    pub page_size: u32,
    /// Requests of one shard under way at once, where its pages have numbers.
    pub ahead: usize,
    /// The datasets whose ids others are asked once for each of.
    pub parents: BTreeMap<String, Arc<Dataset>>,
    /// What narrows the rows of each dataset, sent as it is.
    pub filters: BTreeMap<String, Arc<Map<String, Value>>>,
    /// Which way to take where there are two.
    pub strategy: Strategy,
    /// How long to wait for data that jobs cannot read yet.
    pub lake_wait: Duration,
    /// The jobs that may be there at once.
    pub jobs: Arc<Semaphore>,
    /// How many rows to expect.
    pub row_statistics: RowStatistics,
    /// Up to when jobs can read.
    pub job_availability: JobAvailability,
    /// How often, and how long.
    pub policy: RetryPolicy,
    /// An open shard is cut and committed so often.
    pub commit_every: Duration,
    /// A shard is not bisected below this.
    pub smallest_shard: Duration,
    /// Who pays for requests, and out of which limit.
    pub credential: Arc<str>,
    /// See `credential`.
    pub bucket: Arc<str>,
    /// The quota.
    pub rate_limit: Arc<RateLimit>,
    /// The door to the network.
    pub transport: Arc<dyn Transport>,
    /// The newest token that any fetcher had a request accepted with.
    pub accepted: AtomicU64,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Ends the run between two requests.
    pub shutdown: CancellationToken,
}

/// The shell: [`Fetcher`] does the work.
pub(crate) struct FetchActor {
    fetcher: Rc<Fetcher>,
    /// The span of the run, which the actor's own task is not part of.
    run: Span,
}

/// Asks the platform: see `send_with_retry`.
pub(crate) struct ApiClient {
    /// What it shares.
    pub context: Arc<FetchContext>,
    /// Gives it tokens.
    pub tokens: Addr<TokenActor>,
    /// Spreads its pauses. Never held over an await.
    pub jitter: RefCell<fastrand::Rng>,
}

/// One fetcher and whom it talks to.
pub(crate) struct Fetcher {
    /// Gives it replies.
    pub client: ApiClient,
    /// Gives it shards.
    pub planner: Addr<PlannerActor>,
    /// Takes its pages.
    pub sink: Addr<SinkActor>,
}

impl FetchActor {
    /// An actor around `fetcher`.
    pub(crate) fn new(fetcher: Rc<Fetcher>) -> Self {
        Self { fetcher, run: Span::current() }
    }
}

impl Actor for FetchActor {
    type Context = Context<Self>;
}

impl Handler<Run> for FetchActor {
    type Result = ResponseFuture<(FetchTotals, Option<RunError>)>;

    fn handle(&mut self, _: Run, _: &mut Self::Context) -> Self::Result {
        Box::pin(Rc::clone(&self.fetcher).run().instrument(self.run.clone()))
    }
}

impl Fetcher {
    /// Fetches shards until there are no more. What was committed before a halt still counts.
    async fn run(self: Rc<Self>) -> (FetchTotals, Option<RunError>) {
        let mut totals = FetchTotals::default();
        let run_error = self.shards(&mut totals).await.err();
        (totals, run_error)
    }

    async fn shards(&self, totals: &mut FetchTotals) -> Result<(), RunError> {
        while let Some(lease) = self.next_lease().await? {
            let _active = self.client.context.metrics.active_shards.enter();
            let span = telemetry::shard_span(lease.shard());
            self.shard(lease, totals).instrument(span).await?;
        }
        Ok(())
    }

    /// Waits for a lease. An interrupt ends the wait, which may be long if shards are delayed.
    async fn next_lease(&self) -> Result<Option<Lease>, RunError> {
        tokio::select! {
            biased;
            lease = self.planner.send(Next) => Ok(lease?),
            () = self.client.context.shutdown.cancelled() => Err(RunError::Interrupted),
        }
    }
}

impl From<MailboxError> for RunError {
    fn from(error: MailboxError) -> Self {
        Self::Actor(error.to_string())
    }
}

impl From<MailboxError> for FetchError {
    fn from(error: MailboxError) -> Self {
        Self::Run(error.into())
    }
}

impl ApiClient {
    /// A query of an interval, as the configuration would have it.
    pub(crate) fn pager(
        &self,
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
    ) -> Pager {
        self.sized(dataset, endpoint, interval, self.context.page_size)
    }

    /// The same with at most `page_size` rows a page.
    fn sized(
        &self,
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
        page_size: u32,
    ) -> Pager {
        let filter = self.context.filters.get(&dataset.name).cloned().unwrap_or_default();
        Pager::new(dataset, endpoint, interval, page_size, &self.context.request, &filter)
    }

    /// How many rows the platform counts in an interval.
    pub(crate) async fn total(
        &self,
        dataset: &Arc<Dataset>,
        interval: Interval,
    ) -> Result<u64, FetchError> {
        let mut pager = self.sized(dataset, dataset.endpoint(), interval, 1);
        let Some(call) = pager.next() else { return Ok(0) };
        let reply = self.send_with_retry(call, RequestOptions::default(), pager.read()).await?;
        let unsaid =
            || ShardError::Failed(RequestError::Malformed("the platform does not say".to_owned()));
        match reply.is_nothing {
            true => Ok(0),
            false => Ok(reply.total.ok_or_else(unsaid)?),
        }
    }

    /// The first page of an interval; where it is asked for once for each of another dataset's ids,
    /// that of the first of them.
    pub(crate) async fn first_page(
        &self,
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
    ) -> Result<RawPage, FetchError> {
        let mut pager = self.pager(dataset, endpoint, interval);
        if pager.lacks_parents() {
            let parents = self.parents(&pager).await?;
            pager.for_each(parents.into_iter().take(1).collect());
        }
        match pager.next() {
            Some(call) => self.send_with_retry(call, RequestOptions::default(), pager.read()).await,
            None => Ok(RawPage::nothing()),
        }
    }

    /// The ids of the dataset that a query is to be asked once for each of.
    async fn parents(&self, pager: &Pager) -> Result<Vec<String>, FetchError> {
        let Some(dataset) =
            pager.endpoint.parent.as_ref().and_then(|each| self.context.parents.get(&each.dataset))
        else {
            return Ok(Vec::new());
        };
        // parents that are listed as they are now are of today, whatever is asked of their children
        let interval =
            dataset.requested(pager.requested, self.context.request.now).unwrap_or(pager.requested);
        let mut pager = self.pager(dataset, dataset.endpoint(), interval);
        let mut parents = Vec::new();
        while let Some(call) = pager.next() {
            let reply = self.send_with_retry(call, RequestOptions::default(), pager.read()).await?;
            pager.advance(&reply).map_err(ShardError::Failed)?;
            parents.extend(pager.ids(&reply).map_err(ShardError::Failed)?);
        }
        let early = || {
            ShardError::Failed(RequestError::Pagination(format!(
                "paging of {} ends early",
                dataset.name
            )))
        };
        if pager.is_whole() { Ok(parents) } else { Err(early().into()) }
    }
}
