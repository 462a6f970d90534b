//! Why the sink failed.

use crate::{
    ledger::{Counts, LedgerError},
    sink::{store::StoreError, write_error::WriteError},
    time::interval::Interval,
};

/// Why the sink failed. The shard is not part of the output then, and the next run fetches it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Rows could not be written to a file.
    #[error("the output at {output} cannot be written: {source}")]
    ShardWriter {
        /// The folder of the output, on whose disk unfinished files are, too.
        output: String,
        /// The error.
        source: WriteError,
    },
    /// A file could not be put to its place.
    #[error(transparent)]
    OutputStore(#[from] StoreError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It is not known which rows were forgotten.
    #[error(transparent)]
    Forgotten(#[from] ForgottenError),
    /// A shard was to be committed although an earlier write or commit of it had failed.
    #[error(
        "{dataset} {interval} cannot be committed, because writing it failed before; run again"
    )]
    WriteFailed {
        /// The name of the dataset.
        dataset: String,
        /// The interval of the shard.
        interval: Interval,
    },
    /// G5: rows were lost or doubled between the fetcher and the sink.
    #[error(
        "{dataset} {interval} cannot be committed: {received} rows were received and {counts:?} \
        were counted, so rows were lost or doubled; this is a bug, please report it"
    )]
    Unbalanced {
        /// The name of the dataset.
        dataset: String,
        /// The interval of the shard.
        interval: Interval,
        /// Rows that the fetcher received.
        received: u64,
        /// What the sink counted.
        counts: Counts,
    },
}

/// The file of forgotten ids cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "_forgotten.json, which keeps forgotten rows from coming back, cannot be used: {reason}; restore \
    it from a backup, or write {{}} into it if these rows may be fetched again"
)]
pub struct ForgottenError {
    /// What is wrong with it.
    pub reason: String,
}
