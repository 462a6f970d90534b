//! The sink: rows become files, and files become part of the output (G3).
//!
//! It promises that a shard is either committed whole or not at all, and that a committed row stays
//! until everything that replaces it is there. Start with [`SinkActor`], which owns the open files
//! of every leased shard and is the only writer of the ledger; a fetcher awaits each reply, which is
//! the only backpressure. `commit` holds the commit protocol, `shard_writer` turns pages into files,
//! `store` puts files to their names.

mod commit;
pub(crate) mod lock;
pub(crate) mod read;
mod settings;
pub(crate) mod shard_writer;
pub(crate) mod store;

use std::{collections::HashMap, sync::Arc};

use actix::prelude::*;

use crate::{
    blocking::offload,
    decode::Page,
    ledger::{Counts, DoubtfulInterval, Failure, FileRecord, Ledger, LedgerError, RemoteJob},
    planning::{LeaseId, Shard},
    sink::{shard_writer::WriteError, store::StoreError},
};

pub use self::{settings::ParquetSettings, shard_writer::ShardWriter, store::OutputStore};

/// Takes in a page of a leased shard. The reply is what became of the shard's rows so far.
#[derive(Message)]
#[rtype(result = "Result<Counts, SinkError>")]
pub(crate) struct Write {
    /// The lease that the page was fetched under.
    pub lease: LeaseId,
    /// Its shard.
    pub shard: Shard,
    /// The page.
    pub page: Page,
}

/// Commits what was written under a lease: afterwards the shard is part of the output for good. A
/// shard narrower than the leased one is a cut: rows that it does not own are left out.
#[derive(Message)]
#[rtype(result = "Result<Committed, SinkError>")]
pub(crate) struct Commit {
    /// The lease.
    pub lease: LeaseId,
    /// Its shard.
    pub shard: Shard,
}

/// Forgets what was written under a lease: it is to be fetched again.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Discard {
    /// The lease.
    pub lease: LeaseId,
}

/// Records in the ledger what became of a shard beside its commit, and of the jobs for it.
#[derive(Message)]
#[rtype(result = "Result<(), SinkError>")]
pub(crate) enum LedgerEvent {
    /// It was bisected.
    Split {
        /// The shard.
        shard: Shard,
        /// Why.
        reason: String,
    },
    /// It was set aside.
    Failed(Failure),
    /// An interval is committed but doubtful.
    Doubtful(DoubtfulInterval),
    /// The platform keeps a job for us.
    Submitted(RemoteJob),
    /// It does so no more.
    Deleted(RemoteJob),
}

/// What a commit added to the output.
#[derive(Debug)]
pub struct Committed {
    /// What became of the rows.
    pub counts: Counts,
    /// The new files.
    pub files: Vec<FileRecord>,
}

/// Why the sink did not do it. Nothing of the shard is part of the output, and a resume fetches it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Rows did not become a file.
    #[error(transparent)]
    ShardWriter(#[from] WriteError),
    /// A file did not get to its place.
    #[error(transparent)]
    OutputStore(#[from] StoreError),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The shell: which part belongs to which lease.
pub(crate) struct SinkActor {
    parts: HashMap<LeaseId, ShardWriter>,
    output: OutputStore,
    ledger: Ledger,
    format: Arc<ParquetSettings>,
}

impl SinkActor {
    /// Writes to `output` and records in `ledger`.
    pub(crate) fn new(output: OutputStore, ledger: Ledger, format: ParquetSettings) -> Self {
        Self { parts: HashMap::new(), output, ledger, format: Arc::new(format) }
    }

    /// The part of a lease, taken out while it is worked on: its fetcher awaits the reply, so
    /// nobody else asks for it.
    fn take(&mut self, lease: LeaseId, shard: Shard) -> ShardWriter {
        let fresh = || ShardWriter::new(shard, self.output.clone(), Arc::clone(&self.format));
        self.parts.remove(&lease).unwrap_or_else(fresh)
    }
}

impl Actor for SinkActor {
    type Context = Context<Self>;
}

impl Handler<Write> for SinkActor {
    type Result = ResponseActFuture<Self, Result<Counts, SinkError>>;

    fn handle(
        &mut self,
        Write { lease, shard, page }: Write,
        _: &mut Self::Context,
    ) -> Self::Result {
        let mut part = self.take(lease, shard);
        let written = offload(move || part.write(&page).map(|()| part)).into_actor(self);
        Box::pin(written.map(move |part, sink, _| {
            let part = part?;
            let counts = part.counts();
            sink.parts.insert(lease, part);
            Ok(counts)
        }))
    }
}

impl Handler<Commit> for SinkActor {
    type Result = ResponseFuture<Result<Committed, SinkError>>;

    fn handle(&mut self, Commit { lease, shard }: Commit, _: &mut Self::Context) -> Self::Result {
        let part = self.take(lease, shard.clone());
        Box::pin(commit::commit(part, shard, self.output.clone(), self.ledger.clone()))
    }
}

impl Handler<Discard> for SinkActor {
    type Result = ();

    fn handle(&mut self, Discard { lease }: Discard, _: &mut Self::Context) {
        self.parts.remove(&lease);
    }
}

impl Handler<LedgerEvent> for SinkActor {
    type Result = ResponseFuture<Result<(), SinkError>>;

    fn handle(&mut self, note: LedgerEvent, _: &mut Self::Context) -> Self::Result {
        let (ledger, output) = (self.ledger.clone(), self.output.clone());
        Box::pin(async move {
            let forgotten = offload(move || match note {
                LedgerEvent::Split { shard, reason } => {
                    ledger.split(&shard.dataset.name, shard.interval, &reason)
                }
                LedgerEvent::Failed(failure) => ledger.fail(&failure).map(|()| Vec::new()),
                LedgerEvent::Doubtful(doubtful) => {
                    ledger.record_doubt(&doubtful).map(|()| Vec::new())
                }
                LedgerEvent::Submitted(job) => ledger.job_submitted(&job).map(|()| Vec::new()),
                LedgerEvent::Deleted(job) => ledger.job_deleted(&job).map(|()| Vec::new()),
            });
            Ok(output.remove(&forgotten.await?).await?)
        })
    }
}
