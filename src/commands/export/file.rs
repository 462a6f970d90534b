//! Reads the wanted rows of one file in order of time, in bounded memory.

use std::{fs::File, ops::Range};

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{and_kleene, concat_batches, filter_record_batch, take_record_batch},
    datatypes::{Schema, SchemaRef, TimestampMicrosecondType},
    error::ArrowError,
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
            RowSelection,
        },
    },
    errors::ParquetError,
    file::{metadata::RowGroupMetaData, statistics::Statistics},
};

use crate::{
    commands::export::{
        column::{Column, Step, leaves},
        condition::Condition,
    },
    decode::{millisecond, times_of},
    sink::with_columns,
    time::interval::Interval,
};

/// About how much memory the rows of a batch take.
const BATCH_BYTES: usize = 8 << 20;
/// The most rows of a batch.
const BATCH_ROWS: usize = 4_096;
/// About how much memory the rows take that are sorted at once. A file whose rows are not in order
/// of time is read in as many passes as this needs.
const SORTED_BYTES: usize = if cfg!(test) { 16 << 10 } else { 48 << 20 };

/// The rows of a file that are exported.
pub(super) struct RowsWanted<'a> {
    /// Those whose time lies in this interval.
    pub interval: Interval,
    /// Those that meet this condition.
    pub condition: &'a Condition,
    /// The columns that are read, of the types that the dataset has. Files of earlier versions of
    /// the program may have other ones.
    pub schema: &'a SchemaRef,
    /// The column of the time, which is one of them.
    pub time: &'a str,
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
}

/// The rows of one file.
struct FileReader<'a> {
    content: File,
    metadata: ArrowReaderMetadata,
    /// The row groups that may have wanted rows.
    groups: Vec<usize>,
    /// The leaf columns that are read.
    leaves: Vec<usize>,
    wanted: &'a RowsWanted<'a>,
}

/// Reads the wanted rows of a file and passes them on in order of time, batch by batch.
///
/// # Errors
/// An error of `each`, or [`ReadError`] if the file cannot be read.
pub(super) fn for_each_batch<E: From<ReadError>>(
    content: File,
    metadata: ArrowReaderMetadata,
    wanted: &RowsWanted,
    mut each: impl FnMut(RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    let groups = groups(&metadata, wanted);
    let leaves = leaves(metadata.schema().fields(), wanted.schema.fields());
    let reader = FileReader { content, metadata, groups, leaves, wanted };
    let times = reader.times()?;
    let mut pass_on = |rows: RecordBatch| match reader.wanted_rows(&rows) {
        Ok(rows) if rows.num_rows() == 0 => Ok(()),
        Ok(rows) => each(rows),
        Err(error) => Err(error.into()),
    };
    let Some(order) = order(&times) else {
        for rows in reader.batches(None)? {
            pass_on(reader.upgraded(&rows.map_err(ReadError::from)?)?)?;
        }
        return Ok(());
    };
    drop(times);
    for part in order.chunks(reader.rows_within(SORTED_BYTES)) {
        pass_on(reader.sorted(part)?)?;
    }
    Ok(())
}

/// The positions of rows in order of their times; of rows with the same time in their own order.
/// `None` if that is the order they are in.
fn order(times: &[i64]) -> Option<Vec<u32>> {
    if times.is_sorted() {
        return None;
    }
    let mut order: Vec<u32> = (0..u32::try_from(times.len()).unwrap_or(u32::MAX)).collect();
    order.sort_by_key(|&row| times[row as usize]);
    Some(order)
}

/// The row groups that may have wanted rows, by their statistics.
pub(super) fn groups(metadata: &ArrowReaderMetadata, wanted: &RowsWanted) -> Vec<usize> {
    let may_have = |group: &RowGroupMetaData| {
        wanted.condition.may_be_met(|column| statistics(group, column, metadata.schema()))
    };
    let all = metadata.metadata().row_groups().iter().enumerate();
    all.filter(|(_, group)| may_have(group)).map(|(index, _)| index).collect()
}

/// The statistics of a column. `None` if it is inside another one, or of another type in this file.
fn statistics<'g>(
    group: &'g RowGroupMetaData,
    column: &Column,
    schema: &Schema,
) -> Option<&'g Statistics> {
    let [Step::Field(name)] = column.steps.as_slice() else { return None };
    let field = schema.field_with_name(name).ok()?;
    let is_named = |path: &[String]| matches!(path, [only] if only == name);
    let found = group.columns().iter().find(|column| is_named(column.column_path().parts()))?;
    found.statistics().filter(|_| *field.data_type() == column.data_type)
}

impl FileReader<'_> {
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

    /// The times of all rows, in the order of the rows.
    fn times(&self) -> Result<Vec<i64>, ReadError> {
        let name = self.wanted.time;
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

    /// The rows, or a selection of them, in the order of the file.
    fn batches(
        &self,
        selection: Option<RowSelection>,
    ) -> Result<ParquetRecordBatchReader, ReadError> {
        let mut builder = self.reader(self.leaves.iter().copied())?;
        builder = builder.with_batch_size(self.rows_within(BATCH_BYTES).min(BATCH_ROWS));
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        Ok(builder.build()?)
    }

    /// How many rows take about this memory, at least one.
    fn rows_within(&self, bytes: usize) -> usize {
        let groups = self.metadata.metadata().row_groups();
        let (mut rows, mut total) = (0, 0);
        for group in self.groups.iter().map(|&index| &groups[index]) {
            rows += group.num_rows();
            for column in self.leaves.iter().map(|&leaf| group.column(leaf)) {
                // a dictionary holds each text once, the rows in memory hold each as often as it is
                let texts = column.unencoded_byte_array_data_bytes().unwrap_or_default();
                let place = 8 * column.num_values();
                total += column.uncompressed_size().max(texts.saturating_add(place));
            }
        }
        let per_row = usize::try_from(total / rows.max(1)).unwrap_or(usize::MAX).max(1);
        (bytes / per_row).max(1)
    }

    /// The rows at these positions, in this order.
    fn sorted(&self, positions: &[u32]) -> Result<RecordBatch, ReadError> {
        let mut selected = positions.to_vec();
        selected.sort_unstable();
        let ranges =
            selected.iter().map(|&row| Range { start: row as usize, end: row as usize + 1 });
        let groups = self.metadata.metadata().row_groups();
        let total: i64 = self.groups.iter().map(|&index| groups[index].num_rows()).sum();
        let total = usize::try_from(total).unwrap_or_default();
        let selection = RowSelection::from_consecutive_ranges(ranges, total);
        let mut batches = Vec::new();
        for rows in self.batches(Some(selection))? {
            batches.push(self.upgraded(&rows?)?);
        }
        let rows = concat_batches(self.wanted.schema, &batches)?;
        let ranks = positions.iter().map(|position| {
            u32::try_from(selected.binary_search(position).unwrap_or_default()).ok()
        });
        let ranks: UInt32Array = ranks.collect();
        Ok(take_record_batch(&rows, &ranks)?)
    }

    /// The rows with the columns that the dataset has now.
    fn upgraded(&self, rows: &RecordBatch) -> Result<RecordBatch, ReadError> {
        Ok(with_columns(rows, self.wanted.schema)?)
    }

    /// The rows of the interval that meet the condition.
    fn wanted_rows(&self, rows: &RecordBatch) -> Result<RecordBatch, ReadError> {
        let times = rows.column(rows.schema_ref().index_of(self.wanted.time)?);
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let is_within = |us: i64| self.wanted.interval.contains(millisecond(us));
        let within = BooleanArray::from_unary(times, is_within);
        let wanted = match self.wanted.condition.of(rows)? {
            Some(met) => and_kleene(&within, &met)?,
            None => within,
        };
        Ok(filter_record_batch(rows, &wanted)?)
    }
}

/// The columns of rows at these paths.
pub(super) fn columns_of(
    rows: &RecordBatch,
    columns: &[Column],
    schema: &SchemaRef,
) -> Result<RecordBatch, ReadError> {
    let values = columns.iter().map(|column| column.values(rows)).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), values, &options)?)
}

/// A schema with these columns, which may all be null.
pub(super) fn schema_of(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| {
        arrow::datatypes::Field::new(&column.name, column.data_type.clone(), true)
    };
    Schema::new(columns.iter().map(field).collect::<Vec<_>>()).into()
}
