//! FetchActor, and the story of one shard.
//!
//! `chain` keeps how far a shard has come, `page` gets one page of it, however many attempts it takes.

mod chain;
mod harvest;
mod page;
mod query;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use actix::prelude::*;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use self::harvest::{Halt, Harvest};
use self::{chain::Chain, page::Asked};
use crate::{
    budget::{Budget, Key},
    catalog,
    fault::Fault,
    ledger::Failure,
    planner::{Next, PlannerActor},
    progress::Board,
    retry::Policy,
    shard::{End, Lease, Shard},
    sink::{Commit, Discard, Note, SinkActor, Write},
    token::TokenActor,
    transport::Transport,
};

/// Rows that a part may hold before it is committed, if the shard can be cut: bounds what tells
/// copies of rows apart (G8).
const MOST_ROWS: u64 = 250_000;

/// Fetches shards until there are no more. The reply comes when the actor's work is over: its life
/// is one request, so whoever awaits the reply awaits the life (G9).
#[derive(Message)]
#[rtype(result = "(Harvest, Option<Halt>)")]
pub struct Run;

/// What fetchers have in common.
pub struct Shared {
    /// Where the API is.
    pub api: Url,
    /// Rows asked for in a page, at most what the dataset allows.
    pub page_size: u32,
    /// What narrows the rows, sent as it is.
    pub filter: Map<String, Value>,
    /// How often, and how long.
    pub policy: Policy,
    /// An open shard is cut and committed so often.
    pub commit_every: Duration,
    /// A shard is not bisected below this.
    pub smallest_shard: Duration,
    /// The key that API requests pay.
    pub key: Key,
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

/// Asks the platform: see `page`.
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
    /// Gives it pages.
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

/// How the pages of a shard ended.
enum Pages {
    /// The sink has all of them.
    Whole,
    /// The platform does not page any deeper.
    Deep,
    /// The shard is too big.
    TooBig(String),
    /// The pages are too large.
    TooLarge,
    /// The shard keeps failing.
    Hopeless(Fault),
    /// The credentials may not read the dataset.
    Denied(Fault),
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
            self.client.shared.board.fetchers.insert(self.number, lease.shard().interval.to_string());
            self.shard(lease, harvest).await?;
            self.client.shared.board.fetchers.remove(&self.number);
        }
        Ok(())
    }

    /// The story of one shard. Whatever goes wrong, the lease is dropped on the way out, and so
    /// what is left of the shard returns to the planner.
    async fn shard(&self, lease: Lease, harvest: &mut Harvest) -> Result<(), Halt> {
        let mut chain = Chain::new(lease, self.client.shared.page_size);
        let mut counted_again = false;
        loop {
            match self.pages(&mut chain, harvest).await {
                Ok(Pages::Whole) if !counted_again && chain.is_uncut() && chain.missing().is_some() => {
                    counted_again = true;
                    chain = self.again(chain, |size| size).await?;
                }
                Ok(Pages::TooLarge) => chain = self.again(chain, |size| size / 2).await?,
                Ok(Pages::Whole) => return self.commit(chain, harvest).await,
                Ok(Pages::Deep) => return self.keep(&mut chain, harvest).await,
                Ok(Pages::TooBig(reason)) => return self.split(chain, reason).await,
                Ok(Pages::Hopeless(fault)) => return self.set_aside(chain, fault, harvest).await,
                Ok(Pages::Denied(fault)) => return self.abandon(chain, fault, harvest).await,
                Err(Halt::Interrupted) => {
                    self.keep(&mut chain, harvest).await?;
                    return Err(Halt::Interrupted);
                }
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Moves the pages of a shard to the sink, until one without rows: neither a short page nor
    /// the platform's total is the end.
    async fn pages(&self, chain: &mut Chain, harvest: &mut Harvest) -> Result<Pages, Halt> {
        loop {
            if chain.query.is_at_its_depth() {
                return Ok(Pages::Deep);
            }
            let page = match self.client.page(&chain.query, self.splittable(chain.shard())).await? {
                Asked::Page(page) => page,
                Asked::Split(fault) => return Ok(Pages::TooBig(fault.to_string())),
                Asked::Shrink => return Ok(Pages::TooLarge),
                Asked::Hopeless(fault) => return Ok(Pages::Hopeless(fault)),
                Asked::Denied(fault) => return Ok(Pages::Denied(fault)),
            };
            let depth = chain.shard().dataset.depth;
            if let Some(total) = page.total.filter(|&total| total > depth && self.splittable(chain.shard())) {
                return Ok(Pages::TooBig(format!("{total} rows, and paging ends at {depth}")));
            }
            let ends = page.received == 0;
            if let Some(at) = chain.boundary(&page).filter(|_| self.is_due(chain)) {
                self.cut(chain, at, harvest).await?;
            }
            chain.advance(&page);
            self.client.shared.board.rows.add(page.received);
            if ends {
                return Ok(Pages::Whole);
            }
            let write = Write { lease: chain.lease.id(), shard: chain.shard().clone(), page };
            chain.wrote(self.sink.send(write).await??);
        }
    }

    fn is_due(&self, chain: &Chain) -> bool {
        let (age, rows) = chain.open();
        (age >= self.client.shared.commit_every || rows >= MOST_ROWS) && !chain.shard().replaces
    }

    /// Commits a whole shard.
    async fn commit(&self, chain: Chain, harvest: &mut Harvest) -> Result<(), Halt> {
        let shard = chain.shard().clone();
        let missing = chain.missing();
        let committed = self.sink.send(Commit { lease: chain.lease.id(), shard: shard.clone() }).await??;
        harvest.add(chain.received, &committed);
        if let Some((total, came)) = missing {
            let reason = format!("the platform counts {total} rows and gave {came}, twice");
            tracing::warn!(dataset = shard.dataset.name, shard = %shard.interval, reason, "rows may be missing");
            self.sink.send(Note::Short { shard, reason }).await??;
        }
        self.settle(chain.lease, End::Done).await
    }

    /// Commits what an open shard has before `at`; the lease keeps the rest.
    async fn cut(&self, chain: &mut Chain, at: i64, harvest: &mut Harvest) -> Result<(), Halt> {
        let Some((done, _)) = chain.shard().interval.cut(at) else { return Ok(()) };
        let shard = Shard { interval: done, ..chain.shard().clone() };
        let committed = self.sink.send(Commit { lease: chain.lease.id(), shard }).await??;
        harvest.add(chain.received, &committed);
        chain.lease.cut(at).await?;
        chain.cut();
        self.client.shared.board.settle(done);
        Ok(())
    }

    /// Commits what an unfinished shard has, as far as it is complete. The rest returns.
    async fn keep(&self, chain: &mut Chain, harvest: &mut Harvest) -> Result<(), Halt> {
        match chain.reached().filter(|_| !chain.shard().replaces) {
            Some(at) => self.cut(chain, at, harvest).await,
            None => Ok(self.sink.send(Discard { lease: chain.lease.id() }).await?),
        }
    }

    /// Starts the rest of a shard over.
    async fn again(&self, chain: Chain, page_size: impl Fn(u32) -> u32) -> Result<Chain, Halt> {
        self.sink.send(Discard { lease: chain.lease.id() }).await?;
        let page_size = page_size(chain.query.page_size);
        Ok(chain.again(page_size))
    }

    async fn split(&self, chain: Chain, reason: String) -> Result<(), Halt> {
        let shard = chain.shard().clone();
        tracing::info!(shard = %shard.interval, reason, "split");
        self.client.shared.board.shards_split.add(1);
        self.sink.send(Discard { lease: chain.lease.id() }).await?;
        self.sink.send(Note::Split { shard, reason }).await??;
        Ok(chain.lease.end(End::Split).await?)
    }

    async fn set_aside(&self, chain: Chain, fault: Fault, harvest: &mut Harvest) -> Result<(), Halt> {
        let failure = failure(chain.shard(), &fault);
        tracing::error!(dataset = failure.dataset, shard = %failure.interval, %fault, "set aside");
        harvest.failed.push(failure.clone());
        self.sink.send(Discard { lease: chain.lease.id() }).await?;
        self.sink.send(Note::Failed(failure)).await??;
        self.settle(chain.lease, End::Failed).await
    }

    /// Gives the dataset up, for every fetcher: the others of the job go on.
    async fn abandon(&self, chain: Chain, fault: Fault, harvest: &mut Harvest) -> Result<(), Halt> {
        self.sink.send(Discard { lease: chain.lease.id() }).await?;
        let dataset = &chain.shard().dataset;
        let reason = format!("{fault}; {}", catalog::lacking(dataset.permission.as_deref()));
        tracing::error!(dataset = dataset.name, reason, "denied");
        harvest.denied.insert(dataset.name.clone(), reason);
        Ok(chain.lease.end(End::Denied).await?)
    }

    /// Ends a lease whose time is dealt with.
    async fn settle(&self, lease: Lease, end: End) -> Result<(), Halt> {
        let interval = lease.shard().interval;
        lease.end(end).await?;
        self.client.shared.board.settle(interval);
        Ok(())
    }

    fn splittable(&self, shard: &Shard) -> bool {
        shard.interval.width() >= self.client.shared.smallest_shard * 2
    }
}

fn failure(shard: &Shard, fault: &Fault) -> Failure {
    Failure {
        dataset: shard.dataset.name.clone(),
        interval: shard.interval,
        reason: fault.to_string(),
        correlation: fault.correlation().to_owned(),
    }
}
