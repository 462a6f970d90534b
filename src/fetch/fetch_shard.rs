//! The story of one shard: its way, its pages, its end.

use std::sync::Arc;

use crate::{
    blocking::offload,
    catalog,
    decode::Reply,
    fetch::{
        Fetcher, Halt, Harvest, Obstacle, Setback, in_flight::Flight, request::Leeway,
        shard_progress::Chain,
    },
    http::error::Fault,
    ledger::Failure,
    planning::shard::{End, Lease, Shard},
    sink::{Commit, Discard, Note, Write},
};

/// Rows that a part may hold before it is committed, if the shard can be cut: bounds what tells
/// copies of rows apart (G8).
const MOST_ROWS: u64 = 250_000;

/// Where the pages of a shard ended.
enum Paged {
    /// The sink has all of them.
    Whole,
    /// The platform does not page any deeper.
    Deep,
}

impl Fetcher {
    /// The story of one shard. Whatever goes wrong, the lease is dropped on the way out, and so
    /// what is left of the shard returns to the planner.
    pub(crate) async fn shard(&self, lease: Lease, harvest: &mut Harvest) -> Result<(), Halt> {
        let (dataset, interval) = (Arc::clone(&lease.shard().dataset), lease.shard().interval);
        let endpoint = self.endpoint(lease.shard()).await;
        let query =
            self.client.query(&dataset, endpoint.as_ref().unwrap_or(dataset.endpoint()), interval);
        let mut chain = Chain::new(lease, query);
        let gathered = match endpoint {
            Ok(_) => self.gather(&mut chain, harvest).await,
            Err(setback) => Err(setback),
        };
        match gathered {
            Ok(paged) => {
                self.forget(&mut chain).await?;
                self.end(chain, paged, harvest).await
            }
            Err(Setback::Shard(obstacle)) => {
                self.forget(&mut chain).await?;
                self.give_way(chain, obstacle, harvest).await
            }
            Err(Setback::Run(Halt::Interrupted)) => {
                self.keep(&mut chain, harvest).await?;
                self.forget(&mut chain).await?;
                Err(Halt::Interrupted)
            }
            // the next run deletes its job
            Err(Setback::Run(halt)) => Err(halt),
        }
    }

    /// Gathers the pages of a shard, and begins again where that helps.
    async fn gather(&self, chain: &mut Chain, harvest: &mut Harvest) -> Result<Paged, Setback> {
        let (mut counted_again, mut gone) = (false, 0);
        loop {
            let page_size = chain.query.page_size;
            match self.attempt(chain, harvest).await {
                Ok(Paged::Whole)
                    if !counted_again && chain.is_uncut() && chain.missing().is_some() =>
                {
                    counted_again = true;
                    self.again(chain, page_size).await?;
                }
                Err(Setback::Shard(Obstacle::Gone(_)))
                    if gone < self.client.shared.policy.attempts =>
                {
                    gone += 1;
                    self.again(chain, page_size).await?;
                }
                Err(Setback::Shard(Obstacle::TooLarge)) => self.again(chain, page_size / 2).await?,
                ended => return ended,
            }
        }
    }

    /// Submits what is to be submitted, and gathers the pages.
    async fn attempt(&self, chain: &mut Chain, harvest: &mut Harvest) -> Result<Paged, Setback> {
        self.submit(chain).await?;
        self.pages(chain, harvest).await
    }

    /// Does what the end of its pages means for a shard.
    async fn end(&self, mut chain: Chain, paged: Paged, harvest: &mut Harvest) -> Result<(), Halt> {
        let deep = |chain: &Chain| format!("paging ends at {} rows", chain.query.endpoint.depth);
        match paged {
            Paged::Whole => self.commit(chain, harvest).await,
            Paged::Deep if chain.reached().is_some() => self.keep(&mut chain, harvest).await,
            // what cannot be kept would be fetched again for ever
            Paged::Deep if self.splittable(chain.shard()) => {
                let reason = deep(&chain);
                self.split(chain, reason).await
            }
            Paged::Deep => {
                let fault =
                    Fault::Chain(format!("{}; make fetch.smallest_shard smaller", deep(&chain)));
                self.set_aside(chain, fault, harvest).await
            }
        }
    }

    /// Does what an obstacle means for a shard.
    async fn give_way(
        &self,
        chain: Chain,
        obstacle: Obstacle,
        harvest: &mut Harvest,
    ) -> Result<(), Halt> {
        match obstacle {
            Obstacle::TooBig(reason) => self.split(chain, reason).await,
            Obstacle::TooLarge => {
                let fault = Fault::Malformed(
                    "a page that cannot be smaller is too large; raise fetch.max_body".to_owned(),
                );
                self.set_aside(chain, fault, harvest).await
            }
            Obstacle::Gone(fault) | Obstacle::Hopeless(fault) => {
                self.set_aside(chain, fault, harvest).await
            }
            Obstacle::NotYet(fault) => self.leave(chain, &fault, harvest).await,
            Obstacle::Denied(fault) => self.abandon(chain, fault, harvest).await,
        }
    }

    /// Moves the pages of a shard to the sink, until the last: neither a short page nor the
    /// platform's total is the end. While a page is decoded and written, the next are under way.
    async fn pages(&self, chain: &mut Chain, harvest: &mut Harvest) -> Result<Paged, Setback> {
        if chain.query.lacks_parents() {
            chain.query.for_each(self.client.parents(&chain.query).await?);
        }
        let mut flight = Flight::new();
        loop {
            self.send_ahead(chain, &mut flight);
            let reply = match flight.next().await {
                None if chain.query.is_whole() => return Ok(Paged::Whole),
                None => return Ok(Paged::Deep),
                Some(Ok(reply)) => reply,
                Some(Err(Setback::Shard(Obstacle::Hopeless(fault))))
                    if !chain.query.task.is_empty() && fault.is_gone() =>
                {
                    return Err(Obstacle::Gone(fault).into());
                }
                // its address was good for a moment only
                Some(Err(Setback::Shard(Obstacle::Hopeless(fault) | Obstacle::Denied(fault))))
                    if chain.query.download.is_some() =>
                {
                    return Err(Obstacle::Gone(fault).into());
                }
                // deleted since it was listed
                Some(Err(Setback::Shard(Obstacle::Hopeless(fault))))
                    if fault.is_gone() && chain.query.skip_parent() =>
                {
                    flight = Flight::new();
                    continue;
                }
                Some(Err(setback)) => return Err(setback),
            };
            let depth = chain.query.endpoint.depth;
            if let Some(total) =
                reply.total.filter(|&total| total > depth && self.splittable(chain.shard()))
            {
                return Err(
                    Obstacle::TooBig(format!("{total} rows, and paging ends at {depth}")).into()
                );
            }
            if chain.query.advance(&reply).map_err(Obstacle::Hopeless)? {
                flight = Flight::new();
            }
            chain.count(&reply);
            self.send_ahead(chain, &mut flight);
            let (decoder, owner) = (Arc::clone(&chain.query.decoder), chain.query.owner);
            let decoded = flight.alongside(offload(move || decoder.decode(&reply, owner))).await;
            let page =
                decoded.map_err(|error| Obstacle::Hopeless(Fault::Malformed(error.to_string())))?;
            if let Some(at) = chain.boundary(&page).filter(|_| self.is_due(chain)) {
                flight.alongside(self.cut(chain, at, harvest)).await?;
            }
            chain.advance(&page);
            self.client.shared.board.rows.add(page.received);
            if page.received > 0 {
                let write = Write { lease: chain.lease.id(), shard: chain.shard().clone(), page };
                chain.wrote(flight.alongside(self.sink.send(write)).await??);
            }
        }
    }

    /// Sends the requests whose turn it is, those of fetchers with nothing to do among them: pages cost
    /// no more for it, where a part of the shard would be a query of its own, with rows of both.
    fn send_ahead<'a>(
        &'a self,
        chain: &mut Chain,
        flight: &mut Flight<'a, Result<Reply, Setback>>,
    ) {
        let splittable = self.splittable(chain.shard());
        let leeway =
            Leeway { splittable, shrinkable: chain.query.is_shrinkable(), ..Leeway::default() };
        let most = self.client.shared.ahead.saturating_mul(1 + chain.lease.idle());
        while flight.len() < most
            && let Some(call) = chain.query.next()
        {
            flight.push(self.client.ask(call, leeway, chain.query.read()));
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
        let committed =
            self.sink.send(Commit { lease: chain.lease.id(), shard: shard.clone() }).await??;
        harvest.add(chain.received, &committed);
        self.learn(&shard, committed.counts.written);
        if let Some((total, came)) = missing {
            let reason = format!("the platform counts {total} rows and gave {came}, twice");
            tracing::warn!(dataset = shard.dataset.name, shard = %shard.interval, reason, "rows may be missing");
            harvest.short += 1;
            self.sink.send(Note::Short { shard, reason }).await??;
        }
        self.settle(chain.lease, End::Done).await
    }

    /// Commits what an open shard has before `at`; the lease keeps the rest.
    async fn cut(&self, chain: &mut Chain, at: i64, harvest: &mut Harvest) -> Result<(), Halt> {
        let Some((done, _)) = chain.shard().interval.cut(at) else { return Ok(()) };
        let shard = Shard { interval: done, ..chain.shard().clone() };
        let committed =
            self.sink.send(Commit { lease: chain.lease.id(), shard: shard.clone() }).await??;
        harvest.add(chain.received, &committed);
        self.learn(&shard, committed.counts.written);
        chain.lease.cut(at).await?;
        chain.cut();
        self.client.shared.board.settle(done);
        Ok(())
    }

    /// Commits what an unfinished shard has, as far as it is complete. The rest returns.
    async fn keep(&self, chain: &mut Chain, harvest: &mut Harvest) -> Result<(), Halt> {
        match chain.reached() {
            Some(at) => self.cut(chain, at, harvest).await,
            None => Ok(self.sink.send(Discard { lease: chain.lease.id() }).await?),
        }
    }

    /// Starts the rest of a shard over.
    async fn again(&self, chain: &mut Chain, page_size: u32) -> Result<(), Halt> {
        self.forget(chain).await?;
        self.sink.send(Discard { lease: chain.lease.id() }).await?;
        chain.restart(page_size);
        Ok(())
    }

    async fn split(&self, chain: Chain, reason: String) -> Result<(), Halt> {
        let shard = chain.shard().clone();
        tracing::info!(shard = %shard.interval, reason, "split");
        self.client.shared.board.shards_split.add(1);
        self.sink.send(Discard { lease: chain.lease.id() }).await?;
        self.sink.send(Note::Split { shard, reason }).await??;
        Ok(chain.lease.end(End::Split).await?)
    }

    async fn set_aside(
        &self,
        chain: Chain,
        fault: Fault,
        harvest: &mut Harvest,
    ) -> Result<(), Halt> {
        let failure = failure(chain.shard(), &fault);
        tracing::error!(dataset = failure.dataset, shard = %failure.interval, %fault, "set aside");
        harvest.failed.push(failure.clone());
        self.sink.send(Discard { lease: chain.lease.id() }).await?;
        self.sink.send(Note::Failed(failure)).await??;
        self.settle(chain.lease, End::Failed).await
    }

    /// Leaves out of this run what the platform cannot give yet.
    async fn leave(&self, chain: Chain, fault: &Fault, harvest: &mut Harvest) -> Result<(), Halt> {
        let failure = failure(chain.shard(), fault);
        tracing::warn!(dataset = failure.dataset, shard = %failure.interval, %fault, "left out");
        harvest.failed.push(failure);
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

    /// Takes note of how many rows there are in a time.
    fn learn(&self, shard: &Shard, rows: u64) {
        self.client.shared.densities.add(&shard.dataset.name, rows, shard.interval.width());
    }

    pub(crate) fn splittable(&self, shard: &Shard) -> bool {
        shard.dataset.divisible && shard.interval.width() >= self.client.shared.smallest_shard * 2
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
