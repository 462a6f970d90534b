//! One Parquet file being written: the rows of one UTC day.

use std::{mem::take, sync::Arc};

use arrow::{
    array::{Array, BooleanArray},
    compute::filter_record_batch,
    error::ArrowError,
    record_batch::RecordBatch,
};
use parquet::{
    arrow::{
        ArrowSchemaConverter, ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder,
        arrow_writer::ArrowWriterOptions,
    },
    file::metadata::{KeyValue, SortingColumn},
};
use tempfile::SpooledTempFile;

use crate::{
    catalog::Dataset,
    decode::times_of,
    ledger::Counts,
    sink::{
        column_settings::set_columns, row_set::RowSet, settings::ParquetSettings,
        store::OutputStore, waiting_rows::WaitingRows, write_error::WriteError,
    },
    time::interval::Interval,
};

/// Rows are encoded when they take this much memory, although they are fewer than a row group has.
const ROW_GROUP_BYTES: usize = 128 << 20;

/// A file being written. Rows are appended; rows that turn out to be superseded are dropped when
/// the file is finished.
pub(super) struct DayFile {
    dataset: Arc<Dataset>,
    settings: Arc<ParquetSettings>,
    output: OutputStore,
    /// `None` until rows are encoded.
    writer: Option<OpenWriter>,
    /// Rows that are not encoded yet.
    waiting: WaitingRows,
    /// Rows appended, dropped ones included.
    appended: u64,
    dropped: RowSet,
    /// Copies of rows that were rejected or dropped.
    pub duplicates: u64,
    /// The column that is null while a row is open. `None` if the dataset has no such column.
    open_column: Option<usize>,
    open: RowSet,
    order: RowOrder,
}

/// The encoder of a file.
struct OpenWriter {
    writer: ArrowWriter<SpooledTempFile>,
    /// Whether its row groups say that their rows are in order of time.
    declares_order: bool,
}

/// Whether the rows of a file came in order of time.
struct RowOrder {
    last_us: i64,
    is_ascending: bool,
}

impl RowOrder {
    fn new() -> Self {
        Self { last_us: i64::MIN, is_ascending: true }
    }

    fn add(&mut self, times_us: &[i64]) {
        for &time_us in times_us {
            self.is_ascending &= time_us >= self.last_us;
            self.last_us = time_us;
        }
    }
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
        dataset: &Arc<Dataset>,
        settings: &Arc<ParquetSettings>,
        output: &OutputStore,
    ) -> Self {
        Self {
            dataset: Arc::clone(dataset),
            settings: Arc::clone(settings),
            output: output.clone(),
            writer: None,
            waiting: WaitingRows::new(&dataset.schema, output),
            appended: 0,
            dropped: RowSet::default(),
            duplicates: 0,
            open_column: dataset.open.as_ref().and_then(|name| dataset.schema.index_of(name).ok()),
            open: RowSet::default(),
            order: RowOrder::new(),
        }
    }

    /// Appends rows.
    pub(super) fn append(&mut self, batch: RecordBatch) -> Result<(), WriteError> {
        if batch.schema_ref() != &self.dataset.schema {
            let message = format!("rows do not have the columns of {}", self.dataset.name);
            return Err(ArrowError::SchemaError(message).into());
        }
        if let Some(column) = self.open_column.map(|column| batch.column(column)) {
            for row in (0..column.len()).filter(|&row| column.is_null(row)) {
                self.open.insert(self.appended + row as u64);
            }
        }
        if let Some(times) =
            batch.column_by_name(&self.dataset.time).and_then(|times| times_of(times))
        {
            self.order.add(times.values());
        }
        self.appended += batch.num_rows() as u64;
        self.waiting.push(batch)?;
        if self.waiting.rows() >= self.settings.row_group_rows
            || self.waiting.bytes() >= ROW_GROUP_BYTES
        {
            self.encode_full_groups()?;
        }
        Ok(())
    }

    /// Encodes the waiting rows, but for those that do not fill a row group.
    fn encode_full_groups(&mut self) -> Result<(), WriteError> {
        let rows = match self.waiting.rows() {
            rows if rows < self.settings.row_group_rows => rows,
            rows => rows - rows % self.settings.row_group_rows,
        };
        let mut left = rows;
        for piece in self.waiting.take()? {
            let piece = piece?;
            let encoded = left.min(piece.num_rows());
            left -= encoded;
            self.encode(&piece.slice(0, encoded), rows)?;
            if encoded < piece.num_rows() {
                self.waiting.push(piece.slice(encoded, piece.num_rows() - encoded))?;
            }
        }
        if let Some(open) = &mut self.writer {
            open.writer.flush()?;
        }
        Ok(())
    }

    /// Encodes a piece of a row group of about this many rows.
    fn encode(&mut self, piece: &RecordBatch, rows: usize) -> Result<(), WriteError> {
        let open = match &mut self.writer {
            Some(open) => open,
            None => {
                let open = self.open_writer(piece, rows)?;
                self.writer.insert(open)
            }
        };
        Ok(open.writer.write(piece)?)
    }

    /// Opens the file for about this many rows a row group that begin with these.
    fn open_writer(&self, first: &RecordBatch, rows: usize) -> Result<OpenWriter, WriteError> {
        let Dataset { name, version, schema, time, .. } = &*self.dataset;
        let leaves = ArrowSchemaConverter::new().convert(schema)?;
        let properties = self.settings.properties(vec![
            entry("dataset", name.clone()),
            entry("schema_version", version.to_string()),
            entry("version", env!("CARGO_PKG_VERSION").to_owned()),
            entry("job", self.settings.job.clone()),
        ]);
        let properties = set_columns(properties, &self.settings, &leaves, first, rows);
        let time = leaves.columns().iter().position(|leaf| leaf.path().parts() == [time.as_str()]);
        let declared = time.filter(|_| self.order.is_ascending).map(|index| SortingColumn {
            column_idx: i32::try_from(index).unwrap_or(i32::MAX),
            descending: false,
            nulls_first: false,
        });
        let declares_order = declared.is_some();
        let properties = properties.set_sorting_columns(declared.map(|column| vec![column]));
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_parquet_schema(leaves);
        let (spool, schema) = (self.output.spool(), Arc::clone(schema));
        let writer = ArrowWriter::try_new_with_options(spool, schema, options)?;
        Ok(OpenWriter { writer, declares_order })
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

    /// Bytes of waiting rows in memory.
    pub(super) fn bytes_in_memory(&self) -> usize {
        self.waiting.bytes_in_memory()
    }

    /// Moves the waiting rows to the disk.
    pub(super) fn spill(&mut self) -> Result<(), WriteError> {
        self.waiting.spill()
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

    /// The complete file. It is written once more if rows of it were dropped, or if it says that
    /// its rows are in order and they are not.
    pub(super) fn finish(mut self, footer: &Footer) -> Result<SpooledTempFile, WriteError> {
        // rows of a file without an encoder can be dropped while they are encoded
        let mut row = 0;
        let dropped = match self.writer {
            Some(_) => RowSet::default(),
            None => take(&mut self.dropped),
        };
        let rows = self.waiting.rows();
        for piece in self.waiting.take()? {
            self.encode(&without(&piece?, &dropped, &mut row)?, rows)?;
        }
        let open = match self.writer.take() {
            Some(open) => open,
            None => self.open_writer(&RecordBatch::new_empty(self.dataset.schema.clone()), 0)?,
        };
        let must_rewrite =
            self.dropped.len() > 0 || (open.declares_order && !self.order.is_ascending);
        let content = finish_writer(open.writer, footer)?;
        if !must_rewrite {
            return Ok(content);
        }
        let mut rewritten = Self::new(&self.dataset, &self.settings, &self.output);
        rewritten.order.is_ascending = self.order.is_ascending;
        let mut row = 0;
        for batch in ParquetRecordBatchReaderBuilder::try_new(content.into_file()?)?.build()? {
            rewritten.append(without(&batch?, &self.dropped, &mut row)?)?;
        }
        rewritten.finish(footer)
    }
}

/// The rows of a batch that were not dropped. `row` is the number of its first row in the file, and
/// becomes that of the next batch.
fn without(
    batch: &RecordBatch,
    dropped: &RowSet,
    row: &mut u64,
) -> Result<RecordBatch, WriteError> {
    let rows = *row..*row + batch.num_rows() as u64;
    *row = rows.end;
    if dropped.len() == 0 {
        return Ok(batch.clone());
    }
    let kept: BooleanArray = rows.map(|row| Some(!dropped.contains(row))).collect();
    Ok(filter_record_batch(batch, &kept)?)
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
