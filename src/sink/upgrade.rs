//! Replaces the files of one committed shard by files with the columns that its dataset has now (G3).
//!
//! The new files of a shard wait below `_staging/` until all of them are there. Then each takes the
//! name of the one that it replaces, and one transaction records all of them. The id of the new
//! commit follows from the old id and the columns, so a file that was replaced and not yet recorded
//! is recognized, and an upgrade that was killed at any instruction is continued, also to yet other
//! columns.

use std::{fs::File, sync::Arc};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    blocking::offload,
    catalog::Dataset,
    ledger::{
        Columns, FileKind, FileRecord, Ledger, ShardRecord, is_version_key, original_commit_id,
        upgraded_commit_id,
    },
    sink::{
        OutputStore, ParquetSettings, SinkError,
        column_upgrade::with_columns,
        footer::Footer,
        output_error::OutputError,
        parquet_writer::DayFile,
        read::{self, FileFooter},
        rewrite::RewriteError,
        spool::Spool,
        staging::staged_path,
        write_error::WriteError,
    },
};

/// Rewrites the files of an output.
pub(crate) struct Upgrader {
    pub output: OutputStore,
    pub ledger: Ledger,
    /// Its job is that of files whose footer tells none.
    pub settings: ParquetSettings,
}

/// What is to be done with a recorded file.
enum NewFile {
    /// It has its new content already, of this size and SHA-256 checksum.
    InPlace(u64, String),
    /// This content replaces it.
    Content(Spool),
}

/// Whether a recorded file has to be rewritten, or to be recorded as it is now.
pub(crate) fn is_outdated(footer: &FileFooter, record: &ShardRecord, dataset: &Dataset) -> bool {
    let is_recorded = footer.commit.as_ref().is_none_or(|commit| commit.id == record.commit_id);
    !is_current(footer, dataset) || !is_recorded
}

fn is_current(footer: &FileFooter, dataset: &Dataset) -> bool {
    footer.schema_version == dataset.version && footer.schema.fields() == dataset.schema.fields()
}

impl Upgrader {
    /// Rewrites the files of a shard that have other columns than `dataset`, and records them.
    ///
    /// # Errors
    /// [`OutputError::NotAsRecorded`] if a file is missing or is not the recorded one: then the
    /// shard stays as it was. [`SinkError`] if a file or the ledger cannot be written.
    pub(crate) async fn upgrade(
        &self,
        dataset: &Arc<Dataset>,
        old: &ShardRecord,
    ) -> Result<(), RewriteError> {
        let commit_id = upgraded_commit_id(&old.commit_id, &Columns::of(&dataset.schema));
        let mut intents = Vec::new();
        for file in &old.files {
            for path in [file.path.clone(), staged_path(&commit_id, &file.path)] {
                intents.push((path, commit_id.clone()));
            }
        }
        let (ledger, name) = (self.ledger.clone(), dataset.name.clone());
        offload(move || ledger.intend(&name, &intents, None)).await.map_err(SinkError::from)?;
        let (mut files, mut renames) = (Vec::with_capacity(old.files.len()), Vec::new());
        for file in &old.files {
            if file.kind() == FileKind::Quarantine {
                files.push(file.clone());
                continue;
            }
            files.push(match self.new_file(dataset, old, &commit_id, file).await? {
                NewFile::InPlace(bytes, sha256) => FileRecord { bytes, sha256, ..file.clone() },
                NewFile::Content(content) => {
                    let staged = staged_path(&commit_id, &file.path);
                    let written = self.output.put(&staged, file.rows, content).await;
                    renames.push((staged, file.path.clone()));
                    FileRecord { path: file.path.clone(), ..written.map_err(SinkError::from)? }
                }
            });
        }
        for (from, to) in &renames {
            self.output.rename(from, to).await.map_err(SinkError::from)?;
        }
        let new = ShardRecord { files, commit_id, ..old.clone() };
        let ledger = self.ledger.clone();
        Ok(offload(move || ledger.record_upgrade(&new)).await.map_err(SinkError::from)?)
    }

    async fn new_file(
        &self,
        dataset: &Arc<Dataset>,
        old: &ShardRecord,
        commit_id: &str,
        file: &FileRecord,
    ) -> Result<NewFile, RewriteError> {
        let not_as_recorded =
            |reason: String| OutputError::NotAsRecorded { path: file.path.clone(), reason };
        let content = read::open(&self.output, &file.path)
            .await
            .map_err(|error| not_as_recorded(error.to_string()))?;
        let file_upgrade = FileUpgrade {
            dataset: Arc::clone(dataset),
            settings: self.settings.clone(),
            output: self.output.clone(),
            old: old.clone(),
            commit_id: commit_id.to_owned(),
            file: file.clone(),
        };
        let new = offload(move || file_upgrade.content(content)).await;
        let new = new.map_err(|error| self.output.write_error(error))?;
        Ok(new.map_err(not_as_recorded)?)
    }
}

/// One file that is upgraded.
struct FileUpgrade {
    dataset: Arc<Dataset>,
    settings: ParquetSettings,
    output: OutputStore,
    old: ShardRecord,
    commit_id: String,
    file: FileRecord,
}

impl FileUpgrade {
    /// The new content. The inner error says what is not as the ledger records it.
    fn content(self, mut old: File) -> Result<Result<NewFile, String>, WriteError> {
        let Some(footer) = read::footer(&old) else {
            return Ok(Err("it is not a complete file of this program".to_owned()));
        };
        let (bytes, sha256) = read::digest(&mut old)?;
        let commit_id = footer.commit.as_ref().map(|commit| commit.id.as_str());
        let is_replaced = commit_id == Some(&self.commit_id);
        if is_replaced && is_current(&footer, &self.dataset) {
            return Ok(Ok(NewFile::InPlace(bytes, sha256)));
        }
        if sha256 != self.file.sha256 && !self.is_of_other_upgrade(&footer) {
            return Ok(Err("its checksum is another one".to_owned()));
        }
        if is_current(&footer, &self.dataset) {
            return Ok(Ok(NewFile::InPlace(bytes, sha256)));
        }
        let content = self.rewrite(old, &footer)?;
        Ok(Ok(NewFile::Content(content)))
    }

    /// Whether an upgrade to other columns has replaced the file and did not record it.
    fn is_of_other_upgrade(&self, footer: &FileFooter) -> bool {
        let original = original_commit_id(&self.old.commit_id);
        let is_upgraded = footer.commit.as_ref().is_some_and(|commit| {
            commit.id != self.old.commit_id && original_commit_id(&commit.id) == original
        });
        is_upgraded && (footer.interval, footer.rows) == (self.old.interval, self.file.rows)
    }

    fn rewrite(self, old: File, footer: &FileFooter) -> Result<Spool, WriteError> {
        let mut settings = self.settings;
        let mut job = footer.job.clone();
        // those of an earlier version say nothing of the job
        if !job.is_empty() {
            job.retain(|key, _| !is_version_key(key));
            settings.job = serde_json::to_string(&job).unwrap_or_default();
        }
        let settings = Arc::new(settings);
        let mut file = DayFile::new(&self.dataset, &settings, &self.output.spool_file());
        for batch in ParquetRecordBatchReaderBuilder::try_new(old)?.build()? {
            file.append(with_columns(&batch?, &self.dataset.schema)?)?;
        }
        let (content, _) = file.finish(&Footer {
            interval: self.old.interval,
            commit_id: self.commit_id,
            commit_files: self.old.files.len(),
            counts: self.old.counts,
            open_rows: self.old.open_rows,
            doubts: footer.commit.as_ref().and_then(|commit| commit.doubts.clone()),
        })?;
        Ok(content)
    }
}
