//! Some columns and row groups of one Parquet file, which can be read several times.

use std::fs::File;

use arrow::{datatypes::Schema, error::ArrowError};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder, RowSelection,
        },
    },
    errors::ParquetError,
};

use crate::{
    commands::export::column::leaves,
    decode::times_of,
    error::Error,
    ledger::FileRecord,
    sink::{read, store::OutputStore},
    system::blocking::offload_wait,
};

/// The most rows of a batch.
const BATCH_ROWS: usize = 4_096;
/// The rows that tell how much memory those of a file take.
const SAMPLE_ROWS: usize = 256;

/// A Parquet file that is opened.
pub(super) struct OpenFile {
    pub record: FileRecord,
    pub metadata: ArrowReaderMetadata,
    content: File,
}

/// Why the rows of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error("it has no column `{0}` of times")]
    NoTime(String),
    #[error("the catalog has no table `{0}` of the dataset")]
    NoTable(String),
    #[error("the files of the day lack the table that has a row for each row of the dataset")]
    NoRoot,
}

/// Parts of a file.
pub(super) struct FileReader {
    content: File,
    metadata: ArrowReaderMetadata,
    /// The row groups that are read.
    groups: Vec<usize>,
    /// The leaf columns that are read.
    leaves: Vec<usize>,
}

impl OpenFile {
    /// Opens a recorded file.
    ///
    /// # Errors
    /// [`Error::NotAsRecorded`] if it is missing, or is no Parquet file.
    pub(super) async fn open(output: &OutputStore, record: &FileRecord) -> Result<Self, Error> {
        let not_as_recorded =
            |reason: String| Error::NotAsRecorded { path: record.path.clone(), reason };
        let content = read::open(output, &record.path).await;
        let content = content.map_err(|error| not_as_recorded(error.to_string()))?;
        let load = move || {
            let metadata = ArrowReaderMetadata::load(&content, ArrowReaderOptions::default());
            metadata.map(|metadata| (metadata, content))
        };
        let loaded = offload_wait(load).await;
        let (metadata, content) = loaded.map_err(|error| not_as_recorded(error.to_string()))?;
        Ok(Self { record: record.clone(), metadata, content })
    }
}

impl FileReader {
    /// Reads the columns of `schema`, as far as the file has them, from some row groups.
    pub(super) fn new(file: OpenFile, schema: &Schema, groups: Vec<usize>) -> Self {
        let OpenFile { content, metadata, .. } = file;
        let leaves = leaves(metadata.schema().fields(), schema.fields());
        Self { content, metadata, groups, leaves }
    }

    fn reader(
        &self,
        leaves: impl IntoIterator<Item = usize>,
    ) -> Result<ParquetRecordBatchReaderBuilder<File>, ReadError> {
        let content = self.content.try_clone().map_err(ParquetError::from)?;
        let metadata = self.metadata.clone();
        let mask = ProjectionMask::leaves(self.metadata.parquet_schema(), leaves);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(content, metadata);
        Ok(builder.with_projection(mask).with_row_groups(self.groups.clone()))
    }

    /// The values of the time column of this name, in the order of the rows.
    pub(super) fn times(&self, name: &str) -> Result<Vec<i64>, ReadError> {
        let no_time = || ReadError::NoTime(name.to_owned());
        let columns = self.metadata.parquet_schema().columns();
        let is_time = |path: &[String]| matches!(path, [only] if only == name);
        let leaf = columns.iter().position(|column| is_time(column.path().parts()));
        let mut times = Vec::new();
        for batch in self.reader(leaf)?.with_batch_size(BATCH_ROWS).build()? {
            let batch = batch?;
            let column = batch.column_by_name(name).and_then(|column| times_of(column));
            times.extend_from_slice(column.ok_or_else(no_time)?.values());
        }
        Ok(times)
    }

    /// The rows, or a selection of them, in the order of the file: so many at once, at most.
    pub(super) fn batches(
        &self,
        rows: usize,
        selection: Option<RowSelection>,
    ) -> Result<ParquetRecordBatchReader, ReadError> {
        let mut builder = self.reader(self.leaves.iter().copied())?;
        builder = builder.with_batch_size(rows.min(BATCH_ROWS));
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        Ok(builder.build()?)
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> usize {
        let groups = self.metadata.metadata().row_groups();
        let rows: i64 = self.groups.iter().map(|&index| groups[index].num_rows()).sum();
        usize::try_from(rows).unwrap_or_default()
    }

    /// The memory that all rows take, about, in bytes: what the first of them take, or what the
    /// metadata tell if that is more.
    pub(super) fn bytes(&self) -> usize {
        // an error comes again when the rows are read
        let first = self.batches(SAMPLE_ROWS, None).ok().and_then(|mut rows| rows.next()?.ok());
        let sampled = first.map_or(0, |rows| rows.get_array_memory_size() / rows.num_rows().max(1));
        self.bytes_of_metadata().max(sampled.saturating_mul(self.rows()))
    }

    /// The memory that all rows take as far as the metadata tell it. They do not for texts of lists,
    /// which have a dictionary and no statistics.
    fn bytes_of_metadata(&self) -> usize {
        let groups = self.metadata.metadata().row_groups();
        let mut bytes = 0;
        for group in self.groups.iter().map(|&index| &groups[index]) {
            for column in self.leaves.iter().map(|&leaf| group.column(leaf)) {
                // a dictionary holds each text once, the rows in memory hold each as often as it is
                let texts = column.unencoded_byte_array_data_bytes().unwrap_or_default();
                let place = 8 * column.num_values();
                bytes += column.uncompressed_size().max(texts.saturating_add(place));
            }
        }
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

/// How many of these rows take about so much memory, at least one, if all take `bytes`.
pub(super) fn rows_within(memory: usize, rows: usize, bytes: usize) -> usize {
    let per_row = (bytes / rows.max(1)).max(1);
    (memory / per_row).max(1)
}
