//! FetchActor: shards become rows with the sink.
//!
//! `story` tells what becomes of one: `strategy` chooses the way, `task` submits what is to be submitted,
//! `query` knows which request comes next, `ask` sends it, however many attempts it takes, `flight`
//! keeps several under way, and `chain` knows how far the shard has come.

pub mod async_job;
pub mod endpoint_choice;
pub mod error;
pub mod fetch_shard;
pub mod in_flight;
pub mod pagination;
pub mod request;
pub mod shard_progress;
pub mod totals;

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

pub use self::{
    endpoint_choice::{Densities, Lakes, Strategy, cost},
    error::{Obstacle, Setback},
    pagination::Origin,
    totals::{Halt, Harvest},
};
use self::{pagination::Query, request::Leeway};
use crate::{
    auth::token::TokenActor,
    catalog::{Dataset, Endpoint},
    decode::Reply,
    http::{error::Fault, rate_limit::Budget, retry::Policy, transport::Transport},
    metrics::Board,
    planning::{Next, PlannerActor},
    sink::SinkActor,
    time::interval::Interval,
};

/// Fetches shards until there are no more. The reply comes when the actor's work is over: its life
/// is one request, so whoever awaits the reply awaits the life (G9).
#[derive(Message)]
#[rtype(result = "(Harvest, Option<Halt>)")]
pub struct Run;

/// What fetchers have in common.
pub struct Shared {
    /// Where the API is.
    pub origin: Arc<Origin>,
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
    pub densities: Densities,
    /// Up to when jobs can read.
    pub lakes: Lakes,
    /// How often, and how long.
    pub policy: Policy,
    /// An open shard is cut and committed so often.
    pub commit_every: Duration,
    /// A shard is not bisected below this.
    pub smallest_shard: Duration,
    /// Who pays for requests, and out of which limit.
    pub credential: Arc<str>,
    /// See `credential`.
    pub bucket: Arc<str>,
    /// The quota.
    pub budget: Arc<Budget>,
    /// The door to the network.
    pub transport: Arc<dyn Transport>,
    /// The newest token that any fetcher had a request accepted with.
    pub accepted: AtomicU64,
    /// Counts.
    pub board: Arc<Board>,
    /// Ends the run between two requests.
    pub shutdown: CancellationToken,
}

/// The shell: [`Fetcher`] does the work.
pub struct FetchActor(Rc<Fetcher>);

/// Asks the platform: see `ask`.
pub struct Client {
    /// What it shares.
    pub shared: Arc<Shared>,
    /// Gives it tokens.
    pub tokens: Addr<TokenActor>,
    /// Spreads its pauses. Never held over an await.
    pub jitter: RefCell<fastrand::Rng>,
}

/// One fetcher and whom it talks to.
pub struct Fetcher {
    /// Which one of the run's it is.
    pub number: usize,
    /// Gives it replies.
    pub client: Client,
    /// Gives it shards.
    pub planner: Addr<PlannerActor>,
    /// Takes its pages.
    pub sink: Addr<SinkActor>,
}

impl FetchActor {
    /// An actor around `fetcher`.
    pub fn new(fetcher: Rc<Fetcher>) -> Self {
        Self(fetcher)
    }
}

impl Actor for FetchActor {
    type Context = Context<Self>;
}

impl Handler<Run> for FetchActor {
    type Result = ResponseFuture<(Harvest, Option<Halt>)>;

    fn handle(&mut self, _: Run, _: &mut Self::Context) -> Self::Result {
        Box::pin(Rc::clone(&self.0).run())
    }
}

impl Fetcher {
    /// Fetches shards until there are no more. What was committed before a halt still counts.
    async fn run(self: Rc<Self>) -> (Harvest, Option<Halt>) {
        let mut harvest = Harvest::default();
        let halt = self.shards(&mut harvest).await.err();
        self.client.shared.board.fetchers.remove(&self.number);
        (harvest, halt)
    }

    async fn shards(&self, harvest: &mut Harvest) -> Result<(), Halt> {
        while let Some(lease) = self.planner.send(Next).await? {
            self.client
                .shared
                .board
                .fetchers
                .insert(self.number, lease.shard().interval.to_string());
            self.shard(lease, harvest).await?;
            self.client.shared.board.fetchers.remove(&self.number);
        }
        Ok(())
    }
}

impl From<MailboxError> for Halt {
    fn from(error: MailboxError) -> Self {
        Self::Actor(error.to_string())
    }
}

impl From<MailboxError> for Setback {
    fn from(error: MailboxError) -> Self {
        Self::Run(error.into())
    }
}

impl Client {
    /// A query of an interval, as the configuration would have it.
    pub fn query(
        &self,
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
    ) -> Query {
        self.sized(dataset, endpoint, interval, self.shared.page_size)
    }

    /// The same with at most `page_size` rows a page.
    fn sized(
        &self,
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
        page_size: u32,
    ) -> Query {
        let filter = self.shared.filters.get(&dataset.name).cloned().unwrap_or_default();
        Query::new(dataset, endpoint, interval, page_size, &self.shared.origin, &filter)
    }

    /// How many rows the platform counts in an interval.
    pub async fn total(&self, dataset: &Arc<Dataset>, interval: Interval) -> Result<u64, Setback> {
        let mut query = self.sized(dataset, dataset.endpoint(), interval, 1);
        let Some(call) = query.next() else { return Ok(0) };
        let reply = self.ask(call, Leeway::default(), query.read()).await?;
        let unsaid =
            || Obstacle::Hopeless(Fault::Malformed("the platform does not say".to_owned()));
        match reply.is_nothing {
            true => Ok(0),
            false => Ok(reply.total.ok_or_else(unsaid)?),
        }
    }

    /// The first page of an interval; where it is asked for once for each of another dataset's ids,
    /// that of the first of them.
    pub async fn first_page(
        &self,
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
    ) -> Result<Reply, Setback> {
        let mut query = self.query(dataset, endpoint, interval);
        if query.lacks_parents() {
            let parents = self.parents(&query).await?;
            query.for_each(parents.into_iter().take(1).collect());
        }
        match query.next() {
            Some(call) => self.ask(call, Leeway::default(), query.read()).await,
            None => Ok(Reply::nothing()),
        }
    }

    /// The ids of the dataset that a query is to be asked once for each of.
    async fn parents(&self, query: &Query) -> Result<Vec<String>, Setback> {
        let Some(dataset) =
            query.endpoint.each.as_ref().and_then(|each| self.shared.parents.get(&each.dataset))
        else {
            return Ok(Vec::new());
        };
        // parents that are listed as they are now are of today, whatever is asked of their children
        let interval =
            dataset.requested(query.asked, self.shared.origin.now).unwrap_or(query.asked);
        let mut query = self.query(dataset, dataset.endpoint(), interval);
        let mut parents = Vec::new();
        while let Some(call) = query.next() {
            let reply = self.ask(call, Leeway::default(), query.read()).await?;
            query.advance(&reply).map_err(Obstacle::Hopeless)?;
            parents.extend(query.ids(&reply).map_err(Obstacle::Hopeless)?);
        }
        let early =
            || Obstacle::Hopeless(Fault::Chain(format!("paging of {} ends early", dataset.name)));
        if query.is_whole() { Ok(parents) } else { Err(early().into()) }
    }
}
