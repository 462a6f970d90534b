//! Why a command refuses an output: its files and its ledger do not fit together.

/// The files and the ledger of an output do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// There are files, but no ledger.
    #[error(
        "{path} has no ledger, but {count} data files, such as {example}: choose another \
        output.path, or make the ledger anew from the files with `cxbackfill rebuild`"
    )]
    NoLedger {
        /// The output.
        path: String,
        /// Number of files.
        count: usize,
        /// One of the files.
        example: String,
    },
    /// There are files that the ledger does not know.
    #[error(
        "the ledger does not know {count} files that this program wrote, such as {example}: take \
        them in with `cxbackfill rebuild`, or move them to another folder"
    )]
    UnknownFiles {
        /// Number of files.
        count: usize,
        /// One of the files.
        example: String,
    },
    /// A file cannot be rewritten, because it is not as the ledger records it.
    #[error(
        "{path} cannot be rewritten: {reason}; make the ledger anew with `cxbackfill rebuild`, \
        which leaves the file out, then upgrade, and run to fetch it again"
    )]
    NotAsRecorded {
        /// The path of the file.
        path: String,
        /// What is not as recorded.
        reason: String,
    },
    /// Rows of an older version cannot have the columns of the dataset.
    #[error(
        "the files of `{dataset}`, of version {found} of its columns, cannot get those of version \
        {known}: {obstacles}; keep this output as it is and choose another output.path, or give \
        the dataset these columns back"
    )]
    NoUpgrade {
        /// Name of the dataset.
        dataset: String,
        /// The version of the files.
        found: u32,
        /// The version of the dataset.
        known: u32,
        /// The columns that are gone or have another type.
        obstacles: String,
    },
    /// Files have columns of a newer version than the dataset.
    #[error(
        "the files of `{dataset}` have version {found} of its columns, and the catalog has only \
        {known}: update cxbackfill or the catalog file"
    )]
    NewerColumns {
        /// Name of the dataset.
        dataset: String,
        /// The version of the files.
        found: u32,
        /// The version of the dataset.
        known: u32,
    },
    /// There is no output whose ledger could be made anew.
    #[error("there is no output at {0}; check output.path")]
    Missing(String),
    /// The files were written by different jobs.
    #[error(
        "the files were written by different jobs: {first_path} with {key} = {first}, \
        {second_path} with {second}; move those of one job to another folder"
    )]
    DifferentJobs {
        /// The setting that differs.
        key: String,
        /// A file, or the ledger.
        first_path: String,
        /// Its value.
        first: String,
        /// Another file.
        second_path: String,
        /// Its value.
        second: String,
    },
}
