//! FetchActor: fetches one shard after another until the planner has no more.

use std::rc::Rc;

use actix::prelude::*;
use tracing::{Instrument, Span};

use crate::{
    fetch::{ApiClient, FetchTotals, RunError},
    planning::{Lease, Next, PlannerActor},
    sink::SinkActor,
};

/// Fetches shards until there are no more. The actor serves one such request in its life, and the
/// reply comes when its work is over, so awaiting the reply awaits the actor (G9).
#[derive(Message)]
#[rtype(result = "(FetchTotals, Option<RunError>)")]
pub(crate) struct Run;

/// The actor around a [`Fetcher`], which does the work.
pub(crate) struct FetchActor {
    fetcher: Rc<Fetcher>,
    /// The span of the run. The actor's own task is not part of it.
    run: Span,
}

/// Fetches shards, one at a time.
pub(crate) struct Fetcher {
    /// Sends requests.
    pub client: ApiClient,
    /// Hands out shards.
    pub planner: Addr<PlannerActor>,
    /// Takes pages and commits shards.
    pub sink: Addr<SinkActor>,
}

impl FetchActor {
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
    /// Fetches shards until there are no more. What was committed before an error still counts.
    async fn run(self: Rc<Self>) -> (FetchTotals, Option<RunError>) {
        let mut totals = FetchTotals::default();
        let run_error = self.fetch_shards(&mut totals).await.err();
        (totals, run_error)
    }

    async fn fetch_shards(&self, totals: &mut FetchTotals) -> Result<(), RunError> {
        while let Some(lease) = self.next_lease().await? {
            let metrics = &self.client.context.metrics;
            let _active = metrics.active_shards.enter();
            self.client.work.begin(metrics.dataset(&lease.shard().dataset.name));
            self.fetch_shard(lease, totals).await?;
        }
        Ok(())
    }

    /// Waits for a shard. `None` if there will be no more. All shards may be delayed, so an
    /// interrupt ends the wait.
    async fn next_lease(&self) -> Result<Option<Lease>, RunError> {
        tokio::select! {
            biased;
            lease = self.planner.send(Next) => Ok(lease?),
            () = self.client.context.shutdown.cancelled() => Err(RunError::Interrupted),
        }
    }
}
