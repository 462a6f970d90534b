//! The sink: rows become files, and files become part of the output (G3).
//!
//! It promises that a shard is either committed whole or not at all, that the counts of a commit
//! balance (G5), and that a committed row stays until everything that replaces it is there. Start
//! with [`SinkActor`], which owns the open files of every leased shard and is the only writer of
//! the ledger; a fetcher awaits each reply, which is the only backpressure. `commit` holds the
//! commit protocol, `shard_writer` sorts the rows of a shard into its days, `waiting_rows` keeps
//! them until there are enough, `parquet_writer` writes the files of a day (`layout` says which,
//! and `file_encoder` writes one), `spool` keeps what is not complete, `store` puts files to their
//! names. `committed_day` reads the rows back. `rewrite` replaces committed rows without fetching
//! them, for `compact` and `forget`; `forgotten` keeps those out that were forgotten.

mod carry_over;
mod column_settings;
mod column_upgrade;
mod commit;
mod committed_day;
mod drift_records;
mod file_encoder;
pub(crate) mod file_mode;
mod file_schema;
mod footer;
mod forgotten;
pub(crate) mod hour_sums;
mod layout;
pub(crate) mod lock;
mod mentions;
pub(crate) mod output_error;
mod parquet_writer;
mod quarantine;
pub(crate) mod read;
mod rewrite;
mod row_order;
mod row_set;
mod row_versions;
mod settings;
pub(crate) mod shard_writer;
mod sink_error;
pub(crate) mod spool;
mod staging;
pub(crate) mod store;
mod store_error;
mod upgrade;
mod waiting_rows;
mod write_error;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use actix::{fut, prelude::*};

pub(crate) use self::file_mode::FileMode;
pub(crate) use self::settings::ROW_GROUP_BYTES;
pub(crate) use self::shard_writer::SMALLEST_SPILL_BYTES;
pub(crate) use self::waiting_rows::PIECE_BYTES;
pub(crate) use self::{
    carry_over::CarriedRows,
    column_settings::set_columns,
    column_upgrade::with_columns,
    commit::clean_up,
    committed_day::{CommittedDay, DayError, OpenDay},
    forgotten::{ForgottenIds, ForgottenRows},
    quarantine::is_mentioned,
    rewrite::{RewriteError, RewriteReason, Rewriter},
    sink_error::SinkError,
    upgrade::{Upgrader, is_outdated},
};
use self::{
    commit::{CommitIds, CommitRequest, Destination, WrittenShard},
    staging::Staging,
};
pub use self::{
    file_schema::FileSchemas,
    layout::Layout,
    settings::{ParquetSettings, Profile},
    shard_writer::ShardWriter,
    store::OutputStore,
};
use crate::{
    decode::Page,
    ledger::{
        Counts, DoubtfulInterval, DriftRecord, FailedAttempt, Failure, FileRecord, GapKind,
        JobWait, Ledger, RemoteJob, ShardCost, ShardRecord,
    },
    planning::{LeaseId, Shard},
    system::blocking::offload,
};

/// Writes a page of a leased shard. The reply is what became of the shard's rows so far.
#[derive(Message)]
#[rtype(result = "Result<Counts, SinkError>")]
pub(crate) struct Write {
    /// The lease that the page was fetched under.
    pub lease: LeaseId,
    pub shard: Shard,
    pub page: Page,
}

/// Commits what was written under a lease. The shard may be a part of the leased one, from its
/// start: rows that the part does not own are left out.
///
/// A shard that replaces committed records is committed once everything that replaces them is
/// there. Until then its files are staged and the old records stay.
#[derive(Message)]
#[rtype(result = "Result<Committed, SinkError>")]
pub(crate) struct Commit {
    pub lease: LeaseId,
    pub shard: Shard,
    /// Rows that the fetcher received and sent for it. The sink must have counted as many (G5).
    pub received: u64,
    /// Why the shard is doubtful although it is committed, other than for its quarantined rows.
    /// Empty if it is not.
    pub doubts: Vec<(GapKind, String)>,
    /// What it cost. `None` if that is not known.
    pub cost: Option<ShardCost>,
}

/// Writes the committed rows of a leased shard once more, so that newer copies can take the place
/// of some. The reply says which rows are there; it is `None` if they cannot be read, and then what
/// was written under the lease has to be discarded.
#[derive(Message)]
#[rtype(result = "Result<Option<CarriedRows>, SinkError>")]
pub(crate) struct CarryOver {
    pub lease: LeaseId,
    pub shard: Shard,
    /// Which rows are written. `None` if all are.
    pub rows_of: Option<ParentRows>,
}

/// The rows of some parents.
pub(crate) struct ParentRows {
    /// The column that holds the parent's id.
    pub column: String,
    pub ids: Vec<String>,
}

/// Discards what was written under a lease, because it is fetched again.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Discard {
    pub lease: LeaseId,
}

/// Deletes what still waits for the rest of its replacement, at the end of a run. The committed
/// rows stay, and the next run replaces them. The reply is the records that were staged in vain.
#[derive(Message)]
#[rtype(result = "Result<Vec<ShardRecord>, SinkError>")]
pub(crate) struct DiscardStaged;

/// Records in the ledger what became of a shard other than its commit, and of its jobs.
#[derive(Message)]
#[rtype(result = "Result<(), SinkError>")]
pub(crate) enum LedgerEvent {
    /// The shard was split in two.
    Split { shard: Shard, reason: String },
    /// The shard failed.
    Failed(Failure),
    /// Attempts of the shard's requests failed.
    Attempts { shard: Shard, attempts: Vec<FailedAttempt> },
    /// An interval is committed but doubtful.
    Doubtful(DoubtfulInterval),
    /// The platform keeps a job for us.
    Submitted(RemoteJob),
    /// The platform no longer keeps the job.
    Deleted(RemoteJob),
    /// How long to wait before the dataset's next job of this width is polled.
    JobWait { dataset: String, wait: JobWait },
    /// How many items hold the rows of any interval of a dataset.
    ItemCount { dataset: String, items: u64 },
}

/// What a commit added to the output.
#[derive(Debug)]
pub struct Committed {
    /// What became of the rows.
    pub counts: Counts,
    /// The number of records: one for each UTC day.
    pub records: u64,
    pub files: Vec<FileRecord>,
    /// Values that fit no column, at paths that are new to the output.
    pub new_fields: Vec<DriftRecord>,
}

/// Actor around the shard writers and the commit protocol.
pub(crate) struct SinkActor {
    /// The writer of each lease. `None` while it is in use, and for good if that fails: then what
    /// was written is incomplete, and the lease cannot be committed.
    writers: HashMap<LeaseId, Option<ShardWriter>>,
    staging: Staging,
    destination: Destination,
    settings: Arc<ParquetSettings>,
    forgotten: ForgottenRows,
    commit_ids: CommitIds,
}

impl SinkActor {
    /// Writes to `output` all rows but the forgotten ones, and records in `ledger`.
    pub(crate) fn new(
        output: OutputStore,
        ledger: Ledger,
        settings: ParquetSettings,
        forgotten: ForgottenRows,
    ) -> Self {
        Self {
            writers: HashMap::new(),
            staging: Staging::default(),
            destination: Destination { output, ledger },
            settings: Arc::new(settings),
            forgotten,
            commit_ids: CommitIds::new(),
        }
    }

    /// Takes the writer of a lease out while it is used. Its fetcher awaits the reply, so nobody
    /// else asks for it meanwhile.
    fn take_writer(&mut self, lease: LeaseId, shard: &Shard) -> Result<ShardWriter, SinkError> {
        let writer = match self.writers.entry(lease) {
            Entry::Occupied(mut entry) => entry.get_mut().take(),
            Entry::Vacant(entry) => {
                entry.insert(None);
                let output = self.destination.output.clone();
                let forgotten = self.forgotten.of_dataset(&shard.dataset);
                let writer = ShardWriter::new(shard.clone(), output, Arc::clone(&self.settings));
                Some(writer.without(forgotten))
            }
        };
        writer.ok_or_else(|| SinkError::WriteFailed {
            dataset: shard.dataset.name.clone(),
            interval: shard.interval,
        })
    }

    /// Keeps records that replace committed ones until everything that replaces those is there, and
    /// puts those in their place that can be recorded now. `replaces` is the dataset, or `None` if
    /// the records replace nothing.
    fn stage(&mut self, mut written: WrittenShard, replaces: Option<&str>) -> WrittenShard {
        if let Some(dataset) = replaces {
            self.staging.add(dataset, written.records, &written.replaced);
            written.records = self.staging.take_complete(dataset);
        }
        written
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
        let mut writer = match self.take_writer(lease, &shard) {
            Ok(writer) => writer,
            Err(error) => return Box::pin(fut::err(error)),
        };
        let written = offload(move || writer.write(&page).map(|()| writer)).into_actor(self);
        Box::pin(written.map(move |writer, sink, _| {
            let writer = writer.map_err(|error| sink.destination.output.write_error(error))?;
            let counts = writer.counts();
            sink.writers.insert(lease, Some(writer));
            Ok(counts)
        }))
    }
}

impl Handler<Commit> for SinkActor {
    type Result = ResponseActFuture<Self, Result<Committed, SinkError>>;

    fn handle(&mut self, commit: Commit, _: &mut Self::Context) -> Self::Result {
        let Commit { lease, shard, received, doubts, cost } = commit;
        let writer = match self.take_writer(lease, &shard) {
            Ok(writer) => writer,
            Err(error) => return Box::pin(fut::err(error)),
        };
        let replaces = shard.replaces.then(|| shard.dataset.name.clone());
        let commit_id = self.commit_ids.next_id();
        let request = CommitRequest { shard, received, doubts, cost, commit_id };
        let destination = self.destination.clone();
        let written = async move { destination.write(writer, request).await };
        let committed = written.into_actor(self).then(move |written, sink, _| {
            let destination = sink.destination.clone();
            let written = written.map(|written| sink.stage(written, replaces.as_deref()));
            async move {
                let WrittenShard { records, committed, .. } = written?;
                let new_fields = destination.record(records, replaces.is_some()).await?;
                Ok(Committed { new_fields, ..committed })
            }
            .into_actor(sink)
        });
        Box::pin(committed.map(move |committed, sink, _| {
            if committed.is_ok() {
                sink.writers.remove(&lease);
            }
            committed
        }))
    }
}

impl Handler<CarryOver> for SinkActor {
    type Result = ResponseActFuture<Self, Result<Option<CarriedRows>, SinkError>>;

    fn handle(
        &mut self,
        CarryOver { lease, shard, rows_of }: CarryOver,
        _: &mut Self::Context,
    ) -> Self::Result {
        let writer = match self.take_writer(lease, &shard) {
            Ok(writer) => writer,
            Err(error) => return Box::pin(fut::err(error)),
        };
        let destination = self.destination.clone();
        let carried = async move { destination.carry_over(writer, &shard, rows_of).await };
        Box::pin(carried.into_actor(self).map(move |carried, sink, _| {
            let Some((writer, rows)) = carried? else { return Ok(None) };
            sink.writers.insert(lease, Some(writer));
            Ok(Some(rows))
        }))
    }
}

impl Handler<Discard> for SinkActor {
    type Result = ();

    fn handle(&mut self, Discard { lease }: Discard, _: &mut Self::Context) {
        self.writers.remove(&lease);
    }
}

impl Handler<DiscardStaged> for SinkActor {
    type Result = ResponseFuture<Result<Vec<ShardRecord>, SinkError>>;

    fn handle(&mut self, _: DiscardStaged, _: &mut Self::Context) -> Self::Result {
        let destination = self.destination.clone();
        let staged = self.staging.take_all();
        Box::pin(async move { destination.discard(staged).await })
    }
}

impl Handler<LedgerEvent> for SinkActor {
    type Result = ResponseFuture<Result<(), SinkError>>;

    fn handle(&mut self, event: LedgerEvent, _: &mut Self::Context) -> Self::Result {
        let ledger = self.destination.ledger.clone();
        Box::pin(async move {
            let recorded = offload(move || match event {
                LedgerEvent::Split { shard, reason } => {
                    ledger.split(&shard.dataset.name, shard.interval, &reason)
                }
                LedgerEvent::Failed(failure) => ledger.fail(&failure),
                LedgerEvent::Attempts { shard, attempts } => {
                    ledger.record_attempts(&shard.dataset.name, shard.interval, &attempts)
                }
                LedgerEvent::Doubtful(doubtful) => ledger.record_doubt(&doubtful),
                LedgerEvent::Submitted(job) => ledger.job_submitted(&job),
                LedgerEvent::Deleted(job) => ledger.job_deleted(&job),
                LedgerEvent::JobWait { dataset, wait } => ledger.set_job_wait(&dataset, wait),
                LedgerEvent::ItemCount { dataset, items } => ledger.set_item_count(&dataset, items),
            });
            Ok(recorded.await?)
        })
    }
}

#[cfg(test)]
mod tests;
