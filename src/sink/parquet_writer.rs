//! One Parquet file being written: the rows of one UTC day.

use std::sync::Arc;

use arrow::{
    array::{Array, BooleanArray},
    compute::filter_record_batch,
    record_batch::RecordBatch,
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::metadata::KeyValue,
};
use tempfile::SpooledTempFile;

use crate::{
    catalog::Dataset,
    ledger::Counts,
    sink::{row_set::RowSet, settings::ParquetSettings, write_error::WriteError},
    time::interval::Interval,
};

/// A file being written. Rows are appended; rows that turn out to be superseded are dropped when
/// the file is finished.
pub(super) struct DayFile {
    writer: ArrowWriter<SpooledTempFile>,
    /// Rows appended, dropped ones included.
    appended: u64,
    dropped: RowSet,
    /// Copies of rows that were rejected or dropped.
    pub duplicates: u64,
    /// The column that is null while a row is open. `None` if the dataset has no such column.
    open_column: Option<usize>,
    open: RowSet,
}

/// What the footer of a file says about its commit, so that the ledger can be rebuilt from it.
pub(super) struct Footer {
    /// The interval of the record.
    pub interval: Interval,
    pub commit_id: String,
    /// Files of the commit, this one included.
    pub commit_files: usize,
    /// Counts of the record.
    pub counts: Counts,
    /// Written rows of the record that were still open.
    pub open_rows: u64,
}

impl DayFile {
    pub(super) fn new(
        dataset: &Dataset,
        settings: &ParquetSettings,
        spool: SpooledTempFile,
    ) -> Result<Self, WriteError> {
        let properties = settings.properties(vec![
            entry("dataset", dataset.name.clone()),
            entry("schema_version", dataset.version.to_string()),
            entry("version", env!("CARGO_PKG_VERSION").to_owned()),
            entry("job", settings.job.clone()),
        ]);
        let open_column = dataset.open.as_ref().and_then(|name| dataset.schema.index_of(name).ok());
        Ok(Self {
            writer: ArrowWriter::try_new(spool, Arc::clone(&dataset.schema), Some(properties))?,
            appended: 0,
            dropped: RowSet::default(),
            duplicates: 0,
            open_column,
            open: RowSet::default(),
        })
    }

    pub(super) fn append(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.writer.write(batch)?;
        if let Some(column) = self.open_column.map(|column| batch.column(column)) {
            for row in (0..column.len()).filter(|&row| column.is_null(row)) {
                self.open.insert(self.appended + row as u64);
            }
        }
        self.appended += batch.num_rows() as u64;
        Ok(())
    }

    /// Rows appended so far, dropped ones included: the number of the next row.
    pub(super) fn appended(&self) -> u64 {
        self.appended
    }

    /// Rows that the finished file will have.
    pub(super) fn rows(&self) -> u64 {
        self.appended - self.dropped.len()
    }

    /// Rows of the finished file that are still open.
    pub(super) fn open_rows(&self) -> u64 {
        self.open.len_without(&self.dropped)
    }

    /// Bytes of the open row group in memory.
    pub(super) fn open_bytes(&self) -> usize {
        self.writer.memory_size()
    }

    /// Writes the open row group out.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        Ok(self.writer.flush()?)
    }

    /// Drops a row. Returns whether it had not been dropped before.
    pub(super) fn drop_row(&mut self, row: u64) -> bool {
        self.dropped.insert(row)
    }

    /// Drops a row because there is a newer copy. Returns whether it had not been dropped before.
    pub(super) fn drop_duplicate(&mut self, row: u64) -> bool {
        let is_new = self.dropped.insert(row);
        self.duplicates += u64::from(is_new);
        is_new
    }

    /// The complete file. It is written once more into a `fresh` one if rows of it were dropped.
    pub(super) fn finish(
        self,
        footer: &Footer,
        fresh: impl FnOnce() -> Result<Self, WriteError>,
    ) -> Result<SpooledTempFile, WriteError> {
        let dropped = self.dropped;
        if dropped.len() == 0 {
            return finish_writer(self.writer, footer);
        }
        let content = finish_writer(self.writer, footer)?;
        let mut rewritten = fresh()?.writer;
        let mut first = 0;
        for batch in ParquetRecordBatchReaderBuilder::try_new(content.into_file()?)?.build()? {
            let batch = batch?;
            let rows = first..first + batch.num_rows() as u64;
            first = rows.end;
            let kept: BooleanArray = rows.map(|row| Some(!dropped.contains(row))).collect();
            rewritten.write(&filter_record_batch(&batch, &kept)?)?;
        }
        finish_writer(rewritten, footer)
    }
}

fn finish_writer(
    mut writer: ArrowWriter<SpooledTempFile>,
    footer: &Footer,
) -> Result<SpooledTempFile, WriteError> {
    let Counts { received, written, not_owned, duplicate, quarantined } = footer.counts;
    let counts = serde_json::json!({
        "received": received,
        "written": written,
        "not_owned": not_owned,
        "duplicate": duplicate,
        "quarantined": quarantined,
    });
    for metadata in [
        entry("interval", footer.interval.to_string()),
        entry("commit", footer.commit_id.clone()),
        entry("commit_files", footer.commit_files.to_string()),
        entry("counts", counts.to_string()),
        entry("open_rows", footer.open_rows.to_string()),
    ] {
        writer.append_key_value_metadata(metadata);
    }
    Ok(writer.into_inner()?)
}

fn entry(key: &str, value: String) -> KeyValue {
    KeyValue::new(format!("cxbackfill.{key}"), value)
}
