//! Whether the output is what the ledger says: every file is read again.
//!
//! Four questions. Does the ledger agree with itself (`ledger`)? Is each file what its record says
//! (`file`): its bytes, its metadata, and the time of every row inside what the file owns (G4)? Is
//! an id there twice, in a file or across the files of a dataset (`ids`)? Is there a file that no
//! record names (G3)? Memory is bounded whatever the output holds (G8): by the records of the
//! ledger, a batch of one column, and the 100 MB of `ids`.
//!
//! No lock is taken. While a run is going on, a file that it is about to commit may be called
//! unknown.

pub(crate) mod days;
pub(crate) mod file;
pub(crate) mod ids;
pub(crate) mod ledger;

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    fs::File,
    io::{Seek, Write},
    path::Path,
    sync::Arc,
};

use futures_util::TryStreamExt;
use indicatif::{HumanBytes, HumanCount};
use object_store::{GetResultPayload, ObjectStoreExt};

pub(crate) use self::days::{DayCount, days};
use crate::{
    blocking::offload,
    catalog::{Catalog, Dataset},
    error::Error,
    ledger::{
        FileRecord,
        reader::{DatasetRecords, Snapshot},
    },
    sink::{shard_writer::QUARANTINE, store::OutputStore},
    time::interval::Interval,
};

/// Something that is not as the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The file, or the dataset and interval.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

/// What was looked at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Files read.
    pub files: u64,
    /// Rows in those of them that are as the ledger says.
    pub rows: u64,
    /// Bytes in those of them that are as the ledger says.
    pub bytes: u64,
    /// How much is not as the ledger says.
    pub differences: u64,
}

/// A file and what is to be found in it.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    file: FileRecord,
    /// The shard that it was committed with.
    interval: Interval,
    dataset: Arc<Dataset>,
    /// The schema version that the output was written with.
    version: String,
}

/// Where files are read and differences told.
struct Verification<'a> {
    output: &'a OutputStore,
    tell: &'a mut dyn FnMut(Difference),
    verified: Verified,
}

/// Reads every file of `output` that the ledger at `path` names, and tells each difference as soon
/// as it is found. The `catalog` says which columns hold the ids and times of a dataset.
///
/// # Errors
/// Where the ledger or the output as a whole cannot be read. What is wrong with a file is a difference.
pub(crate) async fn verify(
    output: &OutputStore,
    path: &Path,
    catalog: &Catalog,
    tell: &mut dyn FnMut(Difference),
) -> Result<Verified, Error> {
    let history = Snapshot::read(path)?;
    let mut check = Verification { output, tell, verified: Verified::default() };
    for (name, records) in &history.datasets {
        ledger::differences(records, &mut |difference| check.differs(difference));
        match catalog.datasets.get(name) {
            Some(dataset) => check.dataset(dataset, records, &history).await,
            None => check.tell(name, "the platform has no such dataset: its files are not read"),
        }
    }
    check.strays(path, catalog, &history).await?;
    Ok(check.verified)
}

impl Verification<'_> {
    fn tell(&mut self, place: &str, what: impl Into<String>) {
        self.differs(Difference { place: place.to_owned(), what: what.into() });
    }

    fn differs(&mut self, difference: Difference) {
        self.verified.differences += 1;
        (self.tell)(difference);
    }

    /// The files of one dataset, each for itself and then all of them together.
    async fn dataset(
        &mut self,
        dataset: &Arc<Dataset>,
        records: &DatasetRecords,
        history: &Snapshot,
    ) {
        let written = history.identity.get(&format!("dataset.{}.version", dataset.name)).cloned();
        let version = written.unwrap_or_else(|| dataset.version.to_string());
        let mut sound = Vec::new();
        for shard in &records.shards {
            for file in &shard.files {
                let (dataset, version) = (Arc::clone(dataset), version.clone());
                let expected =
                    Expected { file: file.clone(), interval: shard.interval, dataset, version };
                if self.file(expected).await && !ledger::is_quarantine(file) {
                    sound.push(file.clone());
                }
            }
        }
        for Difference { place, what } in ids::twice(self.output, dataset, &sound, ids::HELD).await
        {
            self.tell(&place, what);
        }
    }

    /// Whether a file is as the ledger says.
    async fn file(&mut self, expected: Expected) -> bool {
        self.verified.files += 1;
        let FileRecord { path, rows, bytes, .. } = expected.file.clone();
        let wrong = match open(self.output, &path).await {
            Ok(content) => offload(move || file::differences(content, &expected)).await,
            Err(wrong) => vec![wrong],
        };
        if wrong.is_empty() {
            self.verified.rows += rows;
            self.verified.bytes += bytes;
        }
        wrong.iter().for_each(|what| self.tell(&path, what));
        wrong.is_empty()
    }

    /// Files that are there and that no record names. The ledger is read again after they are
    /// listed: what a run has committed meanwhile is known by then.
    async fn strays(
        &mut self,
        path: &Path,
        catalog: &Catalog,
        history: &Snapshot,
    ) -> Result<(), Error> {
        let names: BTreeSet<_> =
            catalog.datasets.keys().chain(history.datasets.keys()).cloned().collect();
        let folders: Vec<_> = names.into_iter().chain([QUARANTINE.to_owned()]).collect();
        let mut there = self.output.list(&folders).await?;
        let now = Snapshot::read(path)?;
        let recorded: HashSet<_> = now.paths().collect();
        there.retain(|file| !recorded.contains(file.as_ref()));
        there.sort_unstable();
        there.iter().for_each(|file| {
            self.tell(
                file.as_ref(),
                "the ledger does not know it: no reader should; the next run removes it",
            );
        });
        Ok(())
    }
}

/// The content of a file, from a directory as it is, from elsewhere by way of a file without a name.
async fn open(output: &OutputStore, path: &str) -> Result<File, String> {
    let content = output.store().get(&path.into()).await.map_err(|error| match error {
        object_store::Error::NotFound { .. } => "it is missing".to_owned(),
        other => unreadable(&other),
    })?;
    match content.payload {
        GetResultPayload::File(file, _) => Ok(file),
        GetResultPayload::Stream(stream) => {
            let spool = tempfile::tempfile().map_err(|error| unreadable(&error))?;
            let write = |mut spool: File, chunk: bytes::Bytes| async move {
                offload(move || spool.write_all(&chunk).map(|()| spool)).await.map_err(|source| {
                    object_store::Error::Generic {
                        store: "a temporary file",
                        source: source.into(),
                    }
                })
            };
            let mut spool =
                stream.try_fold(spool, write).await.map_err(|error| unreadable(&error))?;
            spool.rewind().map_err(|error| unreadable(&error))?;
            Ok(spool)
        }
    }
}

fn unreadable(error: &dyn std::error::Error) -> String {
    format!("it cannot be read: {error}")
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, rows, bytes, differences } = *self;
        write!(
            f,
            "{} files, {} rows, {}: ",
            HumanCount(files),
            HumanCount(rows),
            HumanBytes(bytes)
        )?;
        match differences {
            0 => f.write_str("all as the ledger says"),
            1 => f.write_str("1 difference"),
            more => write!(f, "{} differences", HumanCount(more)),
        }
    }
}

#[cfg(test)]
mod tests;
