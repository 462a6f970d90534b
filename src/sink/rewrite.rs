//! Replaces committed shards of a dataset by new ones made of the rows that they hold, without a
//! request to the API. It can be killed at any time (guarantee G3 of the crate).
//!
//! 1. The rows and counts of the old records go through a [`ShardWriter`], as those of a fetch do,
//!    so the newest copy of an id wins.
//! 2. The files of the new records are written below `_staging/`.
//! 3. The ledger records the whole replacement as decided: from here on it is completed, by this
//!    process or by the next that opens the output for writing. If the staged files are lost, as in
//!    an output that was restored without `_staging/`, it is given up and the old records stay; the
//!    next run fetches the rows again if some of their files are replaced already.
//! 4. The files take their names, and one transaction replaces the records.
//!
//! At any instant the ledger names either the old rows or the new ones. Between the renames and the
//! transaction of step 4 a new file may have the name of an old one: the intent that is recorded of
//! it tells `export` and `verify` that it belongs there.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    sync::Arc,
};

use crate::{
    catalog::Dataset,
    decode::CommittedRows,
    ledger::{Counts, FileKind, FileRecord, GapKind, Ledger, Replacement, ShardCost, ShardRecord},
    planning::Shard,
    sink::{
        CommittedDay, DayError, OpenDay, OutputStore, ParquetSettings, ShardWriter, SinkError,
        commit::{CommitIds, Destination},
        committed_day::DayRewriteError,
        forgotten::ForgottenRows,
        output_error::OutputError,
        read,
        write_error::WriteError,
    },
    system::blocking::offload,
    time::interval::Interval,
};

/// Replaces committed shards by records of their own rows.
pub(crate) struct Rewriter {
    destination: Destination,
    settings: Arc<ParquetSettings>,
    forgotten: ForgottenRows,
    commit_ids: CommitIds,
}

/// Why a committed shard is replaced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RewriteReason {
    /// Several become one.
    Merged,
    /// Rows are left out.
    Forgotten,
}

/// Why committed rows were not rewritten.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    /// A file is not the recorded one.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file or the ledger cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Writes the committed rows of some records to the writer of one shard.
struct RowsOfRecords {
    dataset: Arc<Dataset>,
    writer: ShardWriter,
    /// The number of the record that is read, from 1.
    record: u64,
}

impl Rewriter {
    /// Rewrites files of `output` with these settings, and leaves out the rows that were forgotten.
    pub(crate) fn new(
        output: OutputStore,
        ledger: Ledger,
        settings: ParquetSettings,
        forgotten: ForgottenRows,
    ) -> Self {
        Self {
            destination: Destination { output, ledger },
            settings: Arc::new(settings),
            forgotten,
            commit_ids: CommitIds::new(),
        }
    }

    /// Replaces committed shards, which adjoin each other in order of time, by one record for each
    /// UTC day. Of equally new copies of a row the one of the later shard is kept. Returns the new
    /// records.
    ///
    /// # Errors
    /// [`OutputError::NotAsRecorded`] if a file is missing or is not the recorded one: then the
    /// shards stay as they were. [`SinkError`] if a file or the ledger cannot be written.
    pub(crate) async fn replace(
        &mut self,
        dataset: &Arc<Dataset>,
        old: &[ShardRecord],
        reason: RewriteReason,
    ) -> Result<Vec<ShardRecord>, RewriteError> {
        match self.decide(dataset, old, reason).await? {
            Some(replacement) => self.complete(replacement).await,
            None => Ok(Vec::new()),
        }
    }

    /// Steps 1 to 3. `None` if there are no shards.
    async fn decide(
        &mut self,
        dataset: &Arc<Dataset>,
        old: &[ShardRecord],
        reason: RewriteReason,
    ) -> Result<Option<Replacement>, RewriteError> {
        let bounds = old.first().zip(old.last());
        let span = bounds.and_then(|(first, last)| {
            Interval::new(first.interval.from_ms(), last.interval.to_ms())
        });
        let Some(interval) = span else { return Ok(None) };
        let shard = Shard::new(Arc::clone(dataset), interval, true);
        let output = self.destination.output.clone();
        let writer = ShardWriter::new(shard, output, Arc::clone(&self.settings))
            .without(self.forgotten.of_dataset(dataset));
        let mut rows = RowsOfRecords { dataset: Arc::clone(dataset), writer, record: 0 };
        for record in old {
            rows = self.add_record(rows, record).await?;
        }
        Ok(Some(self.write(rows.writer, dataset, interval, old, reason).await?))
    }

    /// Step 4. Returns the new records.
    async fn complete(&self, replacement: Replacement) -> Result<Vec<ShardRecord>, RewriteError> {
        let records = replacement.records.clone();
        self.destination.complete(replacement).await?;
        Ok(records)
    }

    /// Writes the rows of a record.
    async fn add_record(
        &self,
        mut rows: RowsOfRecords,
        record: &ShardRecord,
    ) -> Result<RowsOfRecords, RewriteError> {
        rows.record += 1;
        rows.writer.carry_counts(record.counts);
        let output = &self.destination.output;
        for file in record.files.iter().filter(|file| file.kind() == FileKind::Quarantine) {
            let content = self.open_recorded(file).await?;
            let from_ms = record.interval.from_ms();
            let added = offload(move || rows.add_quarantined(content, from_ms)).await;
            rows = added.map_err(|error| output.write_error(error))?;
        }
        for day in CommittedDay::of(&record.files) {
            for file in &day.files {
                self.open_recorded(file).await?;
            }
            let not_as_recorded = |error: DayError| OutputError::NotAsRecorded {
                path: day.files.first().map_or(String::new(), |file| file.path.clone()),
                reason: error.to_string(),
            };
            let open = day.open(output).await.map_err(not_as_recorded)?;
            rows = match offload(move || rows.add(open)).await {
                Ok(rows) => rows,
                Err(DayRewriteError::Day(error)) => return Err(not_as_recorded(error).into()),
                Err(DayRewriteError::Arrow(error)) => {
                    return Err(output.write_error(error.into()).into());
                }
                Err(DayRewriteError::Write(error)) => return Err(output.write_error(error).into()),
            };
        }
        Ok(rows)
    }

    /// Opens a file and checks that it is the recorded one.
    async fn open_recorded(&self, file: &FileRecord) -> Result<File, OutputError> {
        let not_as_recorded =
            |reason: String| OutputError::NotAsRecorded { path: file.path.clone(), reason };
        let content = read::open(&self.destination.output, &file.path).await;
        let mut content = content.map_err(|error| not_as_recorded(error.to_string()))?;
        let digest = offload(move || read::digest(&mut content).map(|digest| (digest, content)));
        let digest = digest.await.map_err(|error| not_as_recorded(error.to_string()));
        let ((_, sha256), content) = digest?;
        match sha256 == file.sha256 {
            true => Ok(content),
            false => Err(not_as_recorded("its checksum is another one".to_owned())),
        }
    }

    /// Steps 2 and 3: writes the files that take the place of those of old records.
    async fn write(
        &mut self,
        writer: ShardWriter,
        dataset: &Dataset,
        interval: Interval,
        old: &[ShardRecord],
        reason: RewriteReason,
    ) -> Result<Replacement, RewriteError> {
        let destination = &self.destination;
        let commit_id = self.commit_ids.next_id();
        let base = commit_id.clone();
        let doubts = self.doubts(dataset, interval, old).await?;
        let finished = offload(move || writer.finish(interval, &base, &doubts)).await;
        let finished = finished.map_err(|error| destination.output.write_error(error))?;
        let mut counts = Counts::default();
        for record in &finished {
            counts += record.counts;
        }
        let received = old.iter().map(|record| record.counts.received).sum();
        if counts.received != received || !counts.balance() {
            let dataset = dataset.name.clone();
            return Err(SinkError::Unbalanced { dataset, interval, received, counts }.into());
        }
        destination.intend(&dataset.name, &finished, true, None).await?;
        let mut replacement = Replacement {
            commit_id,
            dataset: dataset.name.clone(),
            interval,
            records: Vec::with_capacity(finished.len()),
            renames: Vec::new(),
            event: match reason {
                RewriteReason::Merged => "merged".to_owned(),
                RewriteReason::Forgotten => "forgotten".to_owned(),
            },
        };
        let mut cost = cost(old);
        for record in finished {
            let staged = destination.write_record(&dataset.name, record, cost.take(), true).await?;
            replacement.records.push(staged.record);
            replacement.renames.extend(staged.renames);
        }
        // from the nested rows all files can be made once more, so those are replaced last
        replacement.renames.sort_by_key(|(_, to)| FileKind::of(to) == FileKind::Nested);
        let (ledger, decided) = (destination.ledger.clone(), replacement.clone());
        offload(move || ledger.prepare(&decided)).await.map_err(SinkError::from)?;
        Ok(replacement)
    }

    /// Why parts of an interval are doubtful, for the footers of its new files. The doubts in the
    /// ledger stay as they are. Those about quarantined rows are left out, because a file tells
    /// these by itself.
    async fn doubts(
        &self,
        dataset: &Dataset,
        interval: Interval,
        old: &[ShardRecord],
    ) -> Result<Vec<(GapKind, String)>, SinkError> {
        let has_quarantined = old.iter().any(|record| record.counts.quarantined > 0);
        let (ledger, name) = (self.destination.ledger.clone(), dataset.name.clone());
        let doubtful = offload(move || ledger.doubtful(&name)).await?.into_iter();
        let doubtful = doubtful.filter(|doubt| {
            let is_told = has_quarantined && doubt.kind == GapKind::Quarantined;
            doubt.interval.overlaps(interval) && !is_told
        });
        let by_kind: BTreeMap<_, _> = doubtful.map(|doubt| (doubt.kind, doubt.reason)).collect();
        Ok(by_kind.into_iter().collect())
    }
}

/// What records cost together. `None` if that is not known of any.
fn cost(records: &[ShardRecord]) -> Option<ShardCost> {
    let costs = records.iter().filter_map(|record| record.details.cost);
    costs.reduce(|sum, cost| ShardCost {
        requests: sum.requests + cost.requests,
        retries: sum.retries + cost.retries,
        duration_ms: sum.duration_ms + cost.duration_ms,
    })
}

impl RowsOfRecords {
    /// Writes the rows of a quarantine file, whose record begins at `from_ms`.
    fn add_quarantined(mut self, content: File, from_ms: i64) -> Result<Self, WriteError> {
        self.writer.carry_quarantined(from_ms, BufReader::new(content).split(b'\n'))?;
        Ok(self)
    }

    /// Writes the rows of a day.
    fn add(mut self, day: OpenDay) -> Result<Self, DayRewriteError> {
        let dataset = Arc::clone(&self.dataset);
        day.for_each_batch(&dataset, |batch| {
            let CommittedRows { mut page, .. } = CommittedRows::new(&dataset, &batch)?;
            for key in &mut page.keys {
                // the same id in another record is another copy, whatever it holds
                key.digest = self.record;
            }
            Ok::<_, DayRewriteError>(self.writer.write(&page)?)
        })?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
