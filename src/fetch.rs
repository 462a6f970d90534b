//! FetchActor, and the story of one shard.
//!
//! The only loop of retries is [`Fetcher::page`]; what a fault means is decided in `retry`.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use actix::prelude::*;
use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Map, Value};
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    auth,
    budget::{Budget, Key},
    fault::{Fault, Refusal},
    ledger::{Counts, Failure},
    offload::offload,
    planner::{Next, PlannerActor},
    progress::Board,
    retry::{self, Attempt, Decision, Policy, Stop},
    rows::{Decoder, Page},
    shard::{End, Lease, Shard},
    sink::{Commit, Committed, Discard, Note, SinkActor, SinkError, Write},
    token::{GetToken, Token, TokenActor},
    transport::Transport,
};

/// Fetches shards until there are no more. The reply comes when the actor's work is over: its life
/// is one request, so whoever awaits the reply awaits the life (G9).
#[derive(Message)]
#[rtype(result = "(Harvest, Option<Halt>)")]
pub struct Run;

/// What one fetcher added to the output.
#[derive(Debug, Default)]
pub struct Harvest {
    /// What became of the rows that it received for committed shards.
    pub counts: Counts,
    /// Rows it received for them, counted here and not in the sink: the two must agree (G5).
    pub received: u64,
    /// Shards committed.
    pub committed: u64,
    /// Shards set aside.
    pub failed: u64,
    /// Files written.
    pub files: u64,
    /// Their size.
    pub bytes_written: u64,
}

/// Why a fetcher ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The run was told to end.
    #[error("interrupted")]
    Interrupted,
    /// The platform refused in a way that concerns the whole run.
    #[error("{dataset}: {fault}")]
    Stopped {
        /// Who must act.
        stop: Stop,
        /// The dataset that was fetched.
        dataset: String,
        /// What happened.
        fault: Fault,
    },
    /// The output cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// An actor has gone.
    #[error("an actor ended early: {0}; this is a bug, please report it")]
    Actor(#[from] MailboxError),
}

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

/// One fetcher and whom it talks to.
pub struct Fetcher {
    /// Which one of the run's it is.
    pub number: usize,
    /// What it shares.
    pub shared: Arc<Shared>,
    /// Gives it shards.
    pub planner: Addr<PlannerActor>,
    /// Gives it tokens.
    pub tokens: Addr<TokenActor>,
    /// Takes its pages.
    pub sink: Addr<SinkActor>,
    /// Spreads its pauses. Never held over an await.
    pub jitter: RefCell<fastrand::Rng>,
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
    /// All are with the sink; so many rows were received.
    Whole(u64),
    /// The shard is too big.
    TooBig(String),
    /// The shard keeps failing.
    Hopeless(Fault),
}

impl Fetcher {
    /// Fetches shards until there are no more. What was committed before a halt still counts.
    async fn run(self: Rc<Self>) -> (Harvest, Option<Halt>) {
        let mut harvest = Harvest::default();
        let halt = self.shards(&mut harvest).await.err();
        self.shared.board.fetchers.remove(&self.number);
        (harvest, halt)
    }

    async fn shards(&self, harvest: &mut Harvest) -> Result<(), Halt> {
        while let Some(lease) = self.planner.send(Next).await? {
            self.shared.board.fetchers.insert(self.number, lease.shard().interval.to_string());
            self.shard(lease, harvest).await?;
            self.shared.board.fetchers.remove(&self.number);
        }
        Ok(())
    }

    /// The story of one shard. Whatever goes wrong, the lease is dropped on the way out, and so
    /// the shard returns to the planner.
    async fn shard(&self, lease: Lease, harvest: &mut Harvest) -> Result<(), Halt> {
        match self.pages(&lease).await? {
            Pages::Whole(received) => {
                let committed = self.sink.send(Commit { lease: lease.id(), shard: lease.shard().clone() }).await??;
                harvest.add(received, &committed);
                self.settle(lease, End::Done).await
            }
            Pages::TooBig(reason) => {
                tracing::info!(shard = %lease.shard().interval, reason, "split");
                self.shared.board.shards_split.add(1);
                self.sink.send(Discard { lease: lease.id() }).await?;
                self.sink.send(Note::Split { shard: lease.shard().clone(), reason }).await??;
                Ok(lease.end(End::Split).await?)
            }
            Pages::Hopeless(fault) => {
                tracing::error!(shard = %lease.shard().interval, %fault, "set aside");
                harvest.failed += 1;
                self.sink.send(Discard { lease: lease.id() }).await?;
                self.sink.send(Note::Failed(failure(lease.shard(), &fault))).await??;
                self.settle(lease, End::Failed).await
            }
        }
    }

    /// Ends a lease whose time is dealt with.
    async fn settle(&self, lease: Lease, end: End) -> Result<(), Halt> {
        let width = lease.shard().interval.width();
        lease.end(end).await?;
        self.shared.board.settled_ms.add(u64::try_from(width.as_millis()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Moves the pages of a shard to the sink, until one without rows: neither a short page nor
    /// the platform's total is the end.
    async fn pages(&self, lease: &Lease) -> Result<Pages, Halt> {
        let shard = lease.shard();
        let dataset = &shard.dataset;
        let page_size = self.shared.page_size.min(dataset.page_size);
        let decoder = Arc::new(Decoder::new(dataset));
        let mut received = 0;
        for number in 1.. {
            if u64::from(number) * u64::from(page_size) > dataset.depth {
                return Ok(self.too_big(shard, format!("paging ends at {} rows", dataset.depth)));
            }
            let body = dataset.body(shard.interval, number, page_size, &self.shared.filter);
            let page = match self.page(shard, &decoder, &body).await? {
                Ok(page) => page,
                Err(pages) => return Ok(pages),
            };
            if let Some(total) = page.total.filter(|&total| total > dataset.depth && self.splittable(shard)) {
                return Ok(Pages::TooBig(format!("{total} rows, and paging ends at {}", dataset.depth)));
            }
            if page.received == 0 {
                break;
            }
            received += page.received;
            self.shared.board.rows.add(page.received);
            self.sink.send(Write { lease: lease.id(), shard: shard.clone(), page }).await??;
        }
        Ok(Pages::Whole(received))
    }

    /// One page, however many attempts it takes: the one place that loops.
    async fn page(&self, shard: &Shard, decoder: &Arc<Decoder>, body: &Value) -> Result<Result<Page, Pages>, Halt> {
        let mut attempt = Attempt { number: 1, tokenless: 0, rejections: 0, splittable: self.splittable(shard) };
        let mut rejected = None;
        loop {
            let fault = tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => return Err(Halt::Interrupted),
                tried = self.attempt(shard, decoder, body, &mut rejected) => match tried? {
                    Ok(page) => return Ok(Ok(page)),
                    Err(fault) => fault,
                }
            };
            attempt.tokenless = if matches!(fault, Fault::Login(_)) { attempt.tokenless + 1 } else { 0 };
            let fresh = rejected.is_some_and(|generation| generation > self.shared.accepted.load(Ordering::Relaxed));
            attempt.rejections = if fresh { attempt.rejections + 1 } else { 0 };
            let jitter = self.jitter.borrow_mut().f64();
            let decision = retry::decide(&fault, attempt, &self.shared.policy, jitter);
            tracing::debug!(shard = %shard.interval, %fault, ?attempt, ?decision, "no page");
            match decision {
                Decision::Retry { after } => self.pause(after).await?,
                Decision::Throttled { after } => {
                    self.shared.board.rate_limited.add(1);
                    self.shared.budget.close(&self.shared.key, after);
                }
                Decision::Reauthenticate => {}
                Decision::Split => return Ok(Err(Pages::TooBig(fault.to_string()))),
                Decision::GiveUp => return Ok(Err(Pages::Hopeless(fault))),
                Decision::Stop(stop) => {
                    return Err(Halt::Stopped { stop, dataset: shard.dataset.name.clone(), fault });
                }
            }
            self.shared.board.retries.add(1);
            attempt.number += u32::from(attempt.tokenless == 0);
        }
    }

    /// One attempt: a permit, a token, a request, a reply, its rows. The permit comes first, since
    /// waiting for it can outlast a token.
    async fn attempt(
        &self,
        shard: &Shard,
        decoder: &Arc<Decoder>,
        body: &Value,
        rejected: &mut Option<u64>,
    ) -> Result<Result<Page, Fault>, Halt> {
        self.shared.budget.admit(&self.shared.key).await;
        let token = match self.tokens.send(GetToken { rejected: rejected.take() }).await? {
            Ok(token) => token,
            Err(fault) => return Ok(Err(Fault::Login(fault))),
        };
        self.shared.board.requests.add(1);
        let reply = match self.request(shard, &token, body) {
            Ok(request) => self.shared.transport.send(request).await,
            Err(error) => Err(Fault::Malformed(error)),
        };
        let body = match reply.and_then(success) {
            Err(fault) if is_rejection(&fault) => {
                *rejected = Some(token.generation);
                return Ok(Err(fault));
            }
            Err(fault) => return Ok(Err(fault)),
            Ok(body) => body,
        };
        self.shared.accepted.fetch_max(token.generation, Ordering::Relaxed);
        self.shared.board.bytes_received.add(body.len() as u64);
        let (decoder, interval) = (Arc::clone(decoder), shard.interval);
        let decoded = offload(move || decoder.decode(&body, interval)).await;
        Ok(decoded.map_err(|error| Fault::Malformed(error.to_string())))
    }

    fn request(&self, shard: &Shard, token: &Token, body: &Value) -> Result<Request<Bytes>, String> {
        let dataset = &shard.dataset;
        let url = self.shared.api.join(&dataset.path).map_err(|error| error.to_string())?;
        Request::builder()
            .method(dataset.method.clone())
            .uri(url.as_str())
            .header(AUTHORIZATION, auth::bearer(&token.secret).map_err(|error| error.to_string())?)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(body.to_string().into())
            .map_err(|error| error.to_string())
    }

    fn splittable(&self, shard: &Shard) -> bool {
        shard.interval.width() >= self.shared.smallest_shard * 2
    }

    fn too_big(&self, shard: &Shard, reason: String) -> Pages {
        if self.splittable(shard) { Pages::TooBig(reason) } else { Pages::Hopeless(Fault::Malformed(reason)) }
    }

    async fn pause(&self, after: Duration) -> Result<(), Halt> {
        tokio::select! {
            () = self.shared.shutdown.cancelled() => Err(Halt::Interrupted),
            () = sleep(after) => Ok(()),
        }
    }
}

impl std::ops::AddAssign for Harvest {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.received += other.received;
        self.committed += other.committed;
        self.failed += other.failed;
        self.files += other.files;
        self.bytes_written += other.bytes_written;
    }
}

impl Harvest {
    /// G5: what the fetchers received is what the sink dealt with, and each row has one fate.
    pub fn balances(&self) -> bool {
        self.received == self.counts.received && self.counts.balance()
    }

    fn add(&mut self, received: u64, committed: &Committed) {
        self.counts += committed.counts;
        self.received += received;
        self.committed += 1;
        self.files += committed.files.len() as u64;
        self.bytes_written += committed.files.iter().map(|file| file.bytes).sum::<u64>();
    }
}

/// The body of a success; an empty one for 204.
fn success(reply: Response<Bytes>) -> Result<Bytes, Fault> {
    if reply.status().is_success() { Ok(reply.into_body()) } else { Err(Fault::Refused(Refusal::read(&reply))) }
}

fn is_rejection(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused(refusal) if refusal.status == StatusCode::UNAUTHORIZED)
}

fn failure(shard: &Shard, fault: &Fault) -> Failure {
    Failure {
        dataset: shard.dataset.name.clone(),
        interval: shard.interval,
        reason: fault.to_string(),
        correlation: fault.correlation().to_owned(),
    }
}
