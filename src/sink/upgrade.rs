//! Replaces the files of one committed shard by files with the columns that its dataset has now, in
//! the layout that the output is to have (G3).
//!
//! The new files of a shard wait below `_staging/` until all of them are there. Then each takes its
//! name, in place of an old file if that has the same, and one transaction records all of them and
//! the old ones that are to be deleted. The id of the new commit follows from the old id and the
//! columns, so a file that was replaced and not yet recorded is recognized, and an upgrade that was
//! killed at any instruction is continued, also to yet other columns.

use std::{fs::File, sync::Arc};

use crate::{
    catalog::Dataset,
    ledger::{
        FileKind, FileRecord, Ledger, ShardRecord, is_version_key, original_commit_id,
        upgraded_commit_id,
    },
    sink::{
        CommittedDay, OutputStore, ParquetSettings, SinkError,
        committed_day::DayRewriteError,
        file_encoder::EncodedFile,
        footer::Footer,
        output_error::OutputError,
        parquet_writer::DayFile,
        read::{self, FileFooter},
        rewrite::RewriteError,
        staging::staged_path,
    },
    system::blocking::offload,
};

/// Rewrites the files of an output.
pub(crate) struct Upgrader {
    pub output: OutputStore,
    pub ledger: Ledger,
    /// Its job is that of files whose footer tells none.
    pub settings: ParquetSettings,
}

/// Whether a recorded file has to be rewritten, or to be recorded as it is now.
pub(crate) fn is_outdated(footer: &FileFooter, record: &ShardRecord, dataset: &Dataset) -> bool {
    let is_recorded = footer.commit.as_ref().is_none_or(|commit| commit.id == record.commit_id);
    !is_current(footer, dataset) || !is_recorded
}

fn is_current(footer: &FileFooter, dataset: &Dataset) -> bool {
    let schema = dataset.schema_of(footer.kind());
    footer.schema_version == dataset.version
        && schema.is_some_and(|schema| schema.fields() == footer.schema.fields())
}

/// What the new files of a shard have in common.
#[derive(Clone)]
struct ShardUpgrade {
    dataset: Arc<Dataset>,
    settings: ParquetSettings,
    output: OutputStore,
    old: ShardRecord,
    commit_id: String,
    /// The number of the new files, those of quarantined rows included.
    commit_files: usize,
}

impl Upgrader {
    /// Rewrites the files of the days of a shard that are not as `dataset` and the layout want
    /// them, and records them.
    ///
    /// # Errors
    /// [`OutputError::NotAsRecorded`] if a file is missing or is not the recorded one: then the
    /// shard stays as it was. [`SinkError`] if a file or the ledger cannot be written.
    pub(crate) async fn upgrade(
        &self,
        dataset: &Arc<Dataset>,
        old: &ShardRecord,
    ) -> Result<(), RewriteError> {
        let layout = self.settings.layout;
        let commit_id = upgraded_commit_id(&old.commit_id, &layout.columns(dataset));
        let days = CommittedDay::of(&old.files);
        let is_quarantine = |file: &&FileRecord| file.kind() == FileKind::Quarantine;
        let mut files: Vec<_> = old.files.iter().filter(is_quarantine).cloned().collect();
        let shard = ShardUpgrade {
            dataset: Arc::clone(dataset),
            settings: self.settings.clone(),
            output: self.output.clone(),
            old: old.clone(),
            commit_files: days.len() * layout.files(dataset).len() + files.len(),
            commit_id: commit_id.clone(),
        };
        let mut intents = Vec::new();
        for path in days.iter().flat_map(|day| shard.paths(day)) {
            for path in [staged_path(&commit_id, &path), path] {
                intents.push((path, commit_id.clone()));
            }
        }
        let (ledger, name) = (self.ledger.clone(), dataset.name.clone());
        offload(move || ledger.intend(&name, &intents, None)).await.map_err(SinkError::from)?;
        let mut renames = Vec::new();
        for day in &days {
            let in_place = shard.in_place(day).await?;
            if !in_place.is_empty() {
                // the upgrade that renamed them may have been killed before it synced them
                let paths: Vec<_> = in_place.iter().map(|file| file.path.as_str()).collect();
                self.output.sync(&paths).await.map_err(SinkError::from)?;
                files.extend(in_place);
                continue;
            }
            for (path, EncodedFile { rows, content, .. }) in shard.rewrite(day).await? {
                let staged = staged_path(&commit_id, &path);
                let written = self.output.put(&staged, rows, content).await;
                files.push(FileRecord { path: path.clone(), ..written.map_err(SinkError::from)? });
                renames.push((staged, path));
            }
        }
        // a rebuild in the middle finds complete commits: the old files are replaced last
        let is_replaced = |path: &str| old.files.iter().any(|file| file.path == path);
        renames.sort_by_key(|(_, to)| is_replaced(to));
        self.output.rename(&renames).await.map_err(SinkError::from)?;
        let new = ShardRecord { files, commit_id, ..old.clone() };
        let ledger = self.ledger.clone();
        let garbage =
            offload(move || ledger.record_upgrade(&new)).await.map_err(SinkError::from)?;
        self.output.remove(&garbage).await.map_err(SinkError::from)?;
        let ledger = self.ledger.clone();
        Ok(offload(move || ledger.deleted_files(&garbage)).await.map_err(SinkError::from)?)
    }
}

impl ShardUpgrade {
    /// The paths of the new files of a day, in the order of the layout: those of the old ones of
    /// the same kind, if there are.
    fn paths(&self, day: &CommittedDay) -> Vec<String> {
        let old = |kind| {
            let is_same =
                |file: &&FileRecord| file.kind() == kind && file.date() == Some(&day.date);
            self.old.files.iter().find(is_same).map(|file| file.path.clone())
        };
        let kinds = self.settings.layout.files(&self.dataset).into_iter();
        let new = |kind: FileKind| kind.path(&self.dataset.name, &day.date, self.old.interval);
        kinds.map(|kind| old(kind).unwrap_or_else(|| new(kind))).collect()
    }

    /// The new files of a day, if all of them have their names already; else nothing.
    async fn in_place(&self, day: &CommittedDay) -> Result<Vec<FileRecord>, RewriteError> {
        let mut files = Vec::new();
        for path in self.paths(day) {
            let Ok(mut content) = read::open(&self.output, &path).await else {
                return Ok(Vec::new());
            };
            let shard = self.clone();
            let file = offload(move || {
                let footer = read::footer(&content).filter(|footer| {
                    let id = footer.commit.as_ref().map(|commit| &commit.id);
                    id == Some(&shard.commit_id) && is_current(footer, &shard.dataset)
                })?;
                let (bytes, sha256) = read::digest(&mut content).ok()?;
                Some(FileRecord { path, rows: footer.rows, bytes, sha256 })
            });
            match file.await {
                Some(file) => files.push(file),
                None => return Ok(Vec::new()),
            }
        }
        Ok(files)
    }

    /// The new files of a day, with their paths.
    async fn rewrite(
        &self,
        day: &CommittedDay,
    ) -> Result<Vec<(String, EncodedFile)>, RewriteError> {
        let (mut job, mut doubts) = (String::new(), None);
        for file in &day.files {
            let not_as_recorded =
                |reason: String| OutputError::NotAsRecorded { path: file.path.clone(), reason };
            let content = read::open(&self.output, &file.path)
                .await
                .map_err(|error| not_as_recorded(error.to_string()))?;
            let (shard, record) = (self.clone(), file.clone());
            let footer = offload(move || shard.check(content, &record)).await;
            let footer = footer.map_err(not_as_recorded)?;
            doubts = footer.commit.and_then(|commit| commit.doubts);
            // files of an earlier version say nothing of the job
            if !footer.job.is_empty() {
                let mut of_file = footer.job;
                of_file.retain(|key, _| !is_version_key(key));
                job = serde_json::to_string(&of_file).unwrap_or_default();
            }
        }
        let first = day.files.first().map_or(String::new(), |file| file.path.clone());
        let not_as_recorded = |reason| OutputError::NotAsRecorded { path: first, reason };
        let open = match day.open(&self.output).await {
            Ok(open) => open,
            Err(error) => return Err(not_as_recorded(error.to_string()).into()),
        };
        let mut shard = self.clone();
        if !job.is_empty() {
            shard.settings.job = job;
        }
        let rewritten = offload(move || {
            let (dataset, settings) = (&shard.dataset, Arc::new(shard.settings));
            let mut files = DayFile::new(dataset, &settings, &shard.output.spool_file());
            open.for_each_batch(dataset, |batch| Ok::<_, DayRewriteError>(files.append(batch)?))?;
            let finished = files.finish(&Footer {
                interval: shard.old.interval,
                commit_id: shard.commit_id,
                commit_files: shard.commit_files,
                counts: shard.old.counts,
                open_rows: shard.old.open_rows,
                doubts,
            })?;
            Ok(finished.files)
        });
        match rewritten.await {
            Ok(files) => Ok(self.paths(day).into_iter().zip(files).collect()),
            Err(DayRewriteError::Day(error)) => Err(not_as_recorded(error.to_string()).into()),
            Err(DayRewriteError::Arrow(error)) => Err(self.output.write_error(error.into()).into()),
            Err(DayRewriteError::Write(error)) => Err(self.output.write_error(error).into()),
        }
    }

    /// The footer of a file of a day, if it is the recorded one or that of an upgrade that did not
    /// record it. The error says what is not as the ledger records it.
    fn check(&self, mut content: File, file: &FileRecord) -> Result<FileFooter, String> {
        let footer = read::footer(&content)
            .ok_or_else(|| "it is not a complete file of this program".to_owned())?;
        let (_, sha256) = read::digest(&mut content).map_err(|error| error.to_string())?;
        let original = original_commit_id(&self.old.commit_id);
        let is_upgraded = footer.commit.as_ref().is_some_and(|commit| {
            commit.id != self.old.commit_id && original_commit_id(&commit.id) == original
        });
        let has_same_rows = (footer.interval, footer.rows) == (self.old.interval, file.rows);
        match sha256 == file.sha256 || (is_upgraded && has_same_rows) {
            true => Ok(footer),
            false => Err("its checksum is another one".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
