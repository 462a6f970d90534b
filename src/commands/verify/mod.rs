//! Checks whether the output is as the ledger says, by reading every file again.
//!
//! It answers four questions. Do the records agree with each other (`ledger.rs`)? Is each file as
//! its record says (`file.rs`): its bytes, its metadata, and the time of every row within what the
//! file owns (G4)? Does an id occur twice, in a file or across the files of a dataset (`ids.rs`)?
//! Are there files that no record names (G3)? Memory is bounded, whatever the output holds (G8): by
//! the records of the ledger, a batch of one column, and the 100 MB of `ids.rs`. Start with
//! [`verify`].
//!
//! It takes no lock and writes nothing. While a run is active, a file that the run is about to
//! commit may be reported as unknown.

pub(crate) mod days;
pub(crate) mod file;
pub(crate) mod ids;
pub(crate) mod ledger;

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    fs::File,
    path::Path,
    sync::Arc,
};

pub(crate) use self::days::{DayCount, committed_days};
use crate::{
    catalog::{Catalog, Dataset},
    commands::{output_check::is_ours, verify::file::FileState},
    error::Error,
    ledger::{
        FileKind, FileRecord,
        file_kind::{QUARANTINE, folders_of},
        reader::{DatasetRecords, Snapshot},
        upgraded_commit_id, version_key,
    },
    sink::{Layout, read, store::OutputStore},
    system::blocking::offload,
    time::interval::Interval,
};

/// Something that is not as the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The file, or the dataset and interval.
    pub subject: String,
    /// What is wrong with it.
    pub what: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Files that were read.
    pub files: u64,
    /// Rows of the files that are as the ledger says.
    pub rows: u64,
    /// Bytes of the files that are as the ledger says.
    pub bytes: u64,
    pub differences: u64,
    /// Files that a refresh replaced and whose new record is missing, because the process ended
    /// between the two. They are whole, and the next run replaces them.
    pub unrecorded_replacements: u64,
}

/// A file, and what is expected of it.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    file: FileRecord,
    /// The interval of the shard that it was committed with.
    interval: Interval,
    dataset: Arc<Dataset>,
    /// The schema version that the output was written with. A file may have that of the dataset
    /// already, if an upgrade was interrupted.
    version: String,
    /// The commits that may have replaced the file without a record: a refresh that was about to,
    /// or an upgrade.
    replaced_by: Vec<String>,
}

/// Reads every file of `output` that the ledger at `path` names, and reports each difference as
/// soon as it is found. The `catalog` says which columns hold the ids and times of a dataset.
///
/// # Errors
/// If the ledger cannot be read or the output cannot be listed. Errors of a single file are
/// differences.
pub(crate) async fn verify(
    output: &OutputStore,
    path: &Path,
    catalog: &Catalog,
    report: &mut dyn FnMut(Difference),
) -> Result<Verified, Error> {
    let snapshot = Snapshot::read_with_sums(path)?;
    let mut verification = Verification { output, report, verified: Verified::default() };
    for (name, records) in &snapshot.datasets {
        ledger::check_records(records, &mut |difference| verification.report(difference));
        match catalog.datasets.get(name) {
            Some(dataset) => verification.check_dataset(dataset, records, &snapshot).await,
            None => verification
                .report_at(name, "the catalog has no such dataset, so its files are not read"),
        }
    }
    verification.check_unrecorded(path, catalog, &snapshot).await?;
    Ok(verification.verified)
}

/// Where files are read and differences are reported.
struct Verification<'a> {
    output: &'a OutputStore,
    report: &'a mut dyn FnMut(Difference),
    verified: Verified,
}

impl Verification<'_> {
    fn report_at(&mut self, subject: &str, what: impl Into<String>) {
        self.report(Difference { subject: subject.to_owned(), what: what.into() });
    }

    fn report(&mut self, difference: Difference) {
        self.verified.differences += 1;
        (self.report)(difference);
    }

    /// Checks the files of one dataset, first each by itself, then all together.
    async fn check_dataset(
        &mut self,
        dataset: &Arc<Dataset>,
        records: &DatasetRecords,
        snapshot: &Snapshot,
    ) {
        let recorded = snapshot.identity.get(&version_key(&dataset.name));
        let version = recorded.cloned().unwrap_or_else(|| dataset.version.to_string());
        let mut intact = Vec::new();
        let layout = Layout::of_output(&snapshot.identity);
        let columns = layout.unwrap_or_default().columns(dataset);
        for shard in &records.shards {
            if let Some(layout) = layout {
                ledger::check_layout(shard, dataset, layout, &mut |found| self.report(found));
            }
            let upgraded = upgraded_commit_id(&shard.commit_id, &columns);
            let row_files: Vec<_> = shard.row_files().collect();
            for file in &shard.files {
                let expected = Expected {
                    file: file.clone(),
                    interval: shard.interval,
                    dataset: Arc::clone(dataset),
                    version: version.clone(),
                    replaced_by: [snapshot.intents.get(&file.path), Some(&upgraded)]
                        .into_iter()
                        .flatten()
                        .filter(|commit| **commit != shard.commit_id)
                        .cloned()
                        .collect(),
                };
                if !self.check_file(expected).await {
                    continue;
                }
                let has_rows = row_files.contains(&file);
                if has_rows {
                    intact.push(file.clone());
                }
                // the rows of tables repeat what the rows of the dataset say
                if has_rows || file.kind() == FileKind::Quarantine {
                    self.verified.rows += file.rows;
                }
            }
        }
        let duplicates = ids::duplicates(self.output, dataset, &intact, ids::MAX_IDS).await;
        for difference in duplicates {
            self.report(difference);
        }
    }

    /// Whether a file is as the ledger says.
    async fn check_file(&mut self, expected: Expected) -> bool {
        self.verified.files += 1;
        let FileRecord { path, bytes, .. } = expected.file.clone();
        let compared = match open(self.output, &path).await {
            Ok(content) => offload(move || file::compare(content, &expected)).await,
            Err(what) => FileState::Differs(vec![what]),
        };
        let differences = match compared {
            FileState::Differs(differences) => differences,
            FileState::Replaced => {
                self.verified.unrecorded_replacements += 1;
                (self.report)(Difference {
                    subject: path,
                    what: "a refresh, an upgrade or forget replaced it and was ended before it recorded \
                           that: it is whole, and the next one replaces or records it, or after \
                           forget the next command that writes"
                        .to_owned(),
                });
                return false;
            }
        };
        if differences.is_empty() {
            self.verified.bytes += bytes;
            return true;
        }
        for what in differences {
            self.report_at(&path, what);
        }
        false
    }

    /// Reports files that no record names. The ledger is read again after they are listed, so that
    /// it knows what a run has committed meanwhile.
    async fn check_unrecorded(
        &mut self,
        path: &Path,
        catalog: &Catalog,
        snapshot: &Snapshot,
    ) -> Result<(), Error> {
        let names: BTreeSet<_> =
            catalog.datasets.keys().chain(snapshot.datasets.keys()).cloned().collect();
        let of_datasets = names.iter().flat_map(|name| folders_of(name));
        // quarantined rows may be of a dataset that nothing knows any more
        let folders: Vec<_> = of_datasets
            .filter(|folder| !folder.starts_with(QUARANTINE))
            .chain([QUARANTINE.to_owned()])
            .collect();
        let mut found = self.output.list(&folders).await?;
        let current = Snapshot::read(path)?;
        let recorded: HashSet<_> = current.paths().collect();
        found.retain(|file| !recorded.contains(file.as_ref()));
        found.sort_unstable();
        for file in &found {
            let what = match is_ours(self.output, file.as_ref()).await? {
                _ if current.leftovers.contains(file.as_ref()) => {
                    "the ledger does not know it: its commit did not finish; the next run deletes it"
                }
                true => "the ledger does not know it: take it in with `cxbackfill rebuild`",
                false => {
                    "the ledger does not know it, and this program did not write it: \
                    readers of the folder read it too; move it to another folder"
                }
            };
            self.report_at(file.as_ref(), what);
        }
        Ok(())
    }
}

/// Opens a file. The error is a difference.
async fn open(output: &OutputStore, path: &str) -> Result<File, String> {
    read::open(output, path).await.map_err(|error| match error {
        object_store::Error::NotFound { .. } => "it is missing".to_owned(),
        other => unreadable(&other),
    })
}

fn unreadable(error: &dyn std::error::Error) -> String {
    format!("it cannot be read: {error}")
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.what)
    }
}

#[cfg(test)]
mod tests;
