//! The commit protocol (G3).
//!
//! 1. The ledger records the intent to write the files.
//! 2. The files are written and synced: under their names, or, if they replace committed ones,
//!    below `_staging/`, which readers do not see.
//! 3. Files that replace committed ones wait until everything that replaces those is there, and
//!    then take their names.
//! 4. One transaction records the files, and the replaced ones as garbage. It is the commit point.
//! 5. The garbage is deleted.
//!
//! A process killed before the commit point leaves files with an intent and without a record, one
//! killed after it leaves garbage. [`clean_up`] deletes exactly these at the next start.

use std::collections::BTreeSet;

use crate::{
    ledger::{
        Counts, DoubtfulInterval, DriftRecord, FileKind, FileRecord, GapKind, Ledger, Recorded,
        Replacement, ShardCost, ShardDetails, ShardFiles, ShardRecord,
    },
    planning::Shard,
    sink::{
        Committed, CommittedDay, OutputStore, ShardWriter, SinkError,
        drift_records::drift_records,
        read,
        shard_writer::FinishedRecord,
        staging::{StagedRecord, staged_path},
        store::StoreError,
    },
    system::blocking::offload,
    time::{clock, interval::Interval},
};

/// What is committed, and what the fetcher says of it.
pub(super) struct CommitRequest {
    /// The shard, or the part of it that is committed.
    pub shard: Shard,
    /// Rows that the fetcher sent for it.
    pub received: u64,
    /// Why the interval is doubtful, if it is, other than for its quarantined rows.
    pub doubts: Vec<(GapKind, String)>,
    /// What it cost. `None` if that is not known.
    pub cost: Option<ShardCost>,
    /// Begins the ids of the commits of its records.
    pub commit_id: String,
}

/// Numbers the commits of a run. No other run of the output has the same ids, and later runs have
/// greater ones.
pub(super) struct CommitIds {
    run: String,
    commits: u64,
}

impl CommitIds {
    pub(super) fn new() -> Self {
        Self { run: format!("{:x}", clock::now().as_microsecond()), commits: 0 }
    }

    pub(super) fn next_id(&mut self) -> String {
        self.commits += 1;
        format!("{}-{}", self.run, self.commits)
    }
}

/// The records of a shard whose files are written.
pub(super) struct WrittenShard {
    pub records: Vec<StagedRecord>,
    /// The committed intervals that the shard overlaps, if it replaces some; else empty.
    pub replaced: Vec<Interval>,
    pub committed: Committed,
}

/// Where files go and what records them.
#[derive(Clone)]
pub(super) struct Destination {
    pub output: OutputStore,
    pub ledger: Ledger,
}

impl Destination {
    /// Steps 1 and 2: checks the counts and writes the files of a shard.
    ///
    /// # Errors
    /// [`SinkError::Unbalanced`] if the counts of the sink and of the fetcher differ (G5): then
    /// nothing is written.
    pub(super) async fn write(
        &self,
        writer: ShardWriter,
        request: CommitRequest,
    ) -> Result<WrittenShard, SinkError> {
        let CommitRequest { shard, received, doubts, cost, commit_id } = request;
        let Shard { dataset, interval, replaces, .. } = shard;
        let finished = offload(move || writer.finish(interval, &commit_id, &doubts)).await;
        let finished = finished.map_err(|error| self.output.write_error(error))?;
        let mut counts = Counts::default();
        for record in &finished {
            counts += record.counts;
        }
        if counts.received != received || !counts.balance() {
            let dataset = dataset.name.clone();
            return Err(SinkError::Unbalanced { dataset, interval, received, counts });
        }
        self.intend(&dataset.name, &finished, replaces, replaces.then_some(interval)).await?;
        let mut records = Vec::with_capacity(finished.len());
        let rows: Vec<_> = finished.iter().map(|record| record.counts.received).collect();
        for (record, cost) in finished.into_iter().zip(shares(cost, &rows)) {
            records.push(self.write_record(&dataset.name, record, cost, replaces).await?);
        }
        let files = records.iter().flat_map(|staged| staged.record.files.clone()).collect();
        let replaced = match replaces {
            true => self.committed_overlapping(&dataset.name, interval).await?,
            false => Vec::new(),
        };
        let record_count = records.len() as u64;
        let committed = Committed { counts, records: record_count, files, new_fields: Vec::new() };
        Ok(WrittenShard { records, replaced, committed })
    }

    /// Records the intent to write files, and marks the records that overlap `stale` as stale, so
    /// that a later run replaces them if this one does not.
    pub(super) async fn intend(
        &self,
        dataset: &str,
        finished: &[FinishedRecord],
        replaces: bool,
        stale: Option<Interval>,
    ) -> Result<(), SinkError> {
        let mut intents = Vec::new();
        for record in finished {
            for file in &record.files {
                intents.push((file.path.clone(), record.commit_id.clone()));
                if replaces {
                    let staged = staged_path(&record.commit_id, &file.path);
                    intents.push((staged, record.commit_id.clone()));
                }
            }
        }
        let (ledger, dataset) = (self.ledger.clone(), dataset.to_owned());
        Ok(offload(move || ledger.intend(&dataset, &intents, stale)).await?)
    }

    pub(super) async fn write_record(
        &self,
        dataset: &str,
        finished: FinishedRecord,
        cost: Option<ShardCost>,
        replaces: bool,
    ) -> Result<StagedRecord, SinkError> {
        let FinishedRecord { interval, commit_id, counts, drift, doubts, open_rows, sums, files } =
            finished;
        let doubts = DoubtfulInterval::list(dataset, interval, doubts);
        let fields = drift_records(dataset, &drift);
        let (mut records, mut paths, mut renames) = (Vec::new(), Vec::new(), Vec::new());
        for file in files {
            let mut path = file.path.clone();
            if replaces {
                path = staged_path(&commit_id, &file.path);
                renames.push((path.clone(), file.path.clone()));
            }
            let written = self.output.put_unsynced(&path, file.rows, file.content).await?;
            paths.push(path);
            records.push(FileRecord { path: file.path, ..written });
        }
        self.output.sync(&paths.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        let dataset = dataset.to_owned();
        let details = ShardDetails { cost, sums };
        let files = records;
        let record =
            ShardRecord { dataset, interval, counts, files, commit_id, open_rows, details };
        Ok(StagedRecord { record, doubts, fields, renames })
    }

    /// The committed intervals of a dataset that overlap an interval.
    async fn committed_overlapping(
        &self,
        dataset: &str,
        interval: Interval,
    ) -> Result<Vec<Interval>, SinkError> {
        let (ledger, dataset) = (self.ledger.clone(), dataset.to_owned());
        Ok(offload(move || ledger.committed_overlapping(&dataset, interval)).await?)
    }

    /// Steps 3 to 5: gives the files their names and records them. Returns the values that fit no
    /// column, at paths that are new to the output.
    pub(super) async fn record(
        &self,
        staged: Vec<StagedRecord>,
        replaces: bool,
    ) -> Result<Vec<DriftRecord>, SinkError> {
        if staged.is_empty() {
            return Ok(Vec::new());
        }
        let mut records = Vec::with_capacity(staged.len());
        let (mut doubts, mut fields) = (Vec::new(), Vec::new());
        for staged in staged {
            self.output.rename(&staged.renames).await?;
            records.push(staged.record);
            doubts.extend(staged.doubts);
            fields.extend(staged.fields);
        }
        let ledger = self.ledger.clone();
        let Recorded { garbage, new_fields } =
            offload(move || ledger.commit(&records, &doubts, &fields, replaces)).await?;
        self.delete_garbage(garbage).await?;
        Ok(new_fields)
    }

    /// Deletes the files of records that are not going to be recorded. Returns the records.
    pub(super) async fn discard(
        &self,
        staged: Vec<StagedRecord>,
    ) -> Result<Vec<ShardRecord>, SinkError> {
        let (mut records, mut waiting, mut intents) = (Vec::new(), Vec::new(), Vec::new());
        for StagedRecord { record, renames, .. } in staged {
            records.push(record);
            for (from, to) in renames {
                waiting.push(from.clone());
                intents.extend([from, to]);
            }
        }
        self.output.remove(&waiting).await?;
        let ledger = self.ledger.clone();
        offload(move || ledger.deleted_files(&intents)).await?;
        Ok(records)
    }

    /// Whether the files of a replacement that is decided are there as they were written: below
    /// `_staging/` or, after their renames, under their names. They are not if the output was
    /// restored or copied without `_staging/`.
    async fn is_whole(&self, replacement: &Replacement) -> Result<bool, SinkError> {
        for (from, to) in &replacement.renames {
            let mut files = replacement.records.iter().flat_map(|record| &record.files);
            let written = files.find(|file| file.path == *to).map(|file| file.sha256.as_str());
            let found = match self.digest(from).await? {
                Some(digest) => Some(digest),
                None => self.digest(to).await?,
            };
            if found.as_deref() != written {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The SHA-256 of a file. `None` if it is missing.
    async fn digest(&self, path: &str) -> Result<Option<String>, SinkError> {
        let mut content = match read::open(&self.output, path).await {
            Ok(content) => content,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(self.output.error(path, source).into()),
        };
        let digest = offload(move || read::digest(&mut content)).await;
        let io_error = |source| StoreError::Io { path: path.to_owned(), source };
        Ok(Some(digest.map_err(io_error)?.1))
    }

    /// Whether the files that the committed rows of an interval are read from are as recorded.
    async fn is_intact(&self, dataset: &str, interval: Interval) -> Result<bool, SinkError> {
        let (ledger, name) = (self.ledger.clone(), dataset.to_owned());
        let recorded = offload(move || ledger.shard_files(&name, interval)).await?;
        let Some(ShardFiles { files, .. }) = recorded else { return Ok(false) };
        let files: Vec<_> = files.into_iter().map(|(file, _)| file).collect();
        let quarantine = files.iter().filter(|file| file.kind() == FileKind::Quarantine).cloned();
        let rows = CommittedDay::of(&files).into_iter().flat_map(|day| day.files);
        for file in rows.chain(quarantine) {
            if self.digest(&file.path).await?.as_ref() != Some(&file.sha256) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Completes a replacement that a killed process decided, or abandons it if its files are lost:
    /// then the committed rows stay as they are. If some of their files are replaced already, the
    /// next run is to fetch them again.
    async fn complete_or_abandon(&self, replacement: Replacement) -> Result<(), SinkError> {
        if self.is_whole(&replacement).await? {
            return self.complete(replacement).await;
        }
        let Replacement { commit_id, dataset, interval, event, .. } = replacement;
        let is_intact = self.is_intact(&dataset, interval).await?;
        let (lost, now) = match is_intact {
            true => ("new files", "they stay as they were, so repeat the command"),
            false => ("some of the new files", "the next run fetches the interval again"),
        };
        tracing::warn!(
            dataset,
            %interval,
            "the rows of an interval were to be {event}, and {lost} are lost: {now}"
        );
        let (ledger, stale) = (self.ledger.clone(), (!is_intact).then_some((dataset, interval)));
        Ok(offload(move || ledger.abandon(&commit_id, stale)).await?)
    }

    /// Gives the files of a replacement that is decided their names and records it. A part of that
    /// may be done already.
    pub(super) async fn complete(&self, replacement: Replacement) -> Result<(), SinkError> {
        self.output.rename_if_there(&replacement.renames).await?;
        let ledger = self.ledger.clone();
        let garbage = offload(move || ledger.replace(&replacement)).await?;
        self.delete_garbage(garbage).await
    }

    async fn delete_garbage(&self, garbage: Vec<String>) -> Result<(), SinkError> {
        if garbage.is_empty() {
            return Ok(());
        }
        self.output.remove(&garbage).await?;
        let ledger = self.ledger.clone();
        Ok(offload(move || ledger.deleted_files(&garbage)).await?)
    }
}

/// The parts of a cost that belong to records with these rows. Their sum is the cost.
fn shares(cost: Option<ShardCost>, rows: &[u64]) -> Vec<Option<ShardCost>> {
    let all: u64 = rows.iter().map(|rows| rows + 1).sum();
    let mut before = 0;
    let mut shares = Vec::with_capacity(rows.len());
    for rows in rows {
        let after = before + rows + 1;
        let part = |whole: u64| {
            let up_to = |rows: u64| u128::from(whole) * u128::from(rows) / u128::from(all);
            u64::try_from(up_to(after) - up_to(before)).unwrap_or(u64::MAX)
        };
        shares.push(cost.map(|cost| ShardCost {
            requests: part(cost.requests),
            retries: part(cost.retries),
            duration_ms: part(cost.duration_ms),
        }));
        before = after;
    }
    shares
}

/// Completes replacements that were decided, if their files are there, and deletes what killed runs
/// left in the output: files whose intent is recorded and whose commit is not, and files that a
/// commit replaced. Deletes nothing else (G3). Returns the number of files.
///
/// # Errors
/// [`SinkError`] if the ledger cannot be read or a file cannot be deleted.
pub(crate) async fn clean_up(output: &OutputStore, ledger: &Ledger) -> Result<usize, SinkError> {
    let destination = Destination { output: output.clone(), ledger: ledger.clone() };
    let prepared = ledger.clone();
    for replacement in offload(move || prepared.prepared()).await? {
        destination.complete_or_abandon(replacement).await?;
    }
    let known = ledger.clone();
    let (intents, garbage, recorded) = offload(move || {
        Ok::<_, SinkError>((known.intents()?, known.garbage()?, known.file_paths()?))
    })
    .await?;
    let listed: BTreeSet<String> = intents.union(&garbage).cloned().collect();
    let leftovers: Vec<String> =
        listed.iter().filter(|path| !recorded.contains(*path)).cloned().collect();
    let mut deleted = output.remove(&leftovers).await?;
    deleted += output.remove_partial_uploads(intents.into_iter().collect()).await?;
    let (ledger, listed) = (ledger.clone(), Vec::from_iter(listed));
    if !listed.is_empty() {
        offload(move || ledger.deleted_files(&listed)).await?;
    }
    Ok(deleted)
}
