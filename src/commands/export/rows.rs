//! Reads the wanted rows of a day, from one file or from those of all tables, in bounded memory.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::{and_kleene, concat_batches, filter_record_batch, take_record_batch},
    datatypes::{Schema, SchemaRef, TimestampMicrosecondType},
};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, RowSelection},
    file::{metadata::RowGroupMetaData, statistics::Statistics},
};

use crate::{
    catalog::Dataset,
    commands::export::{
        column::{Column, Step},
        condition::Condition,
        file::{FileReader, OpenFile, ReadError, rows_within},
        tables::TablesReader,
    },
    decode::millisecond,
    error::Error,
    ledger::{FileKind, FileRecord},
    sink::{
        CommittedDay,
        read::{self, FileFooter},
        store::OutputStore,
        with_columns,
    },
    tables::Batches,
    time::interval::Interval,
};

/// About how much memory the rows of a batch take.
const BATCH_BYTES: usize = 8 << 20;
/// About how much memory the rows take that are sorted at once. Rows that are not in order of time
/// are read in as many passes as this needs.
const SORTED_BYTES: usize = if cfg!(test) { 16 << 10 } else { 48 << 20 };

/// The files of a day, opened: one, or those of all tables.
pub(crate) struct OpenRows {
    files: Vec<OpenFile>,
}

/// Which rows of a day are wanted.
pub(super) struct RowsWanted<'a> {
    /// Those whose time lies in this interval.
    pub interval: Interval,
    /// Those that meet this condition.
    pub condition: &'a Condition,
    /// The columns that are read, of the types that the dataset has. Files of earlier versions of
    /// the program may have other ones.
    pub schema: &'a SchemaRef,
    /// The dataset. The column of its time is one of those that are read.
    pub dataset: &'a Arc<Dataset>,
    /// Whether rows of one of its tables are wanted. If not, files of tables are put together.
    pub is_table: bool,
}

/// The wanted rows of a day, which can be read several times in the order of their files.
struct Reader<'a> {
    source: Source,
    wanted: &'a RowsWanted<'a>,
}

enum Source {
    File(FileReader),
    Tables(TablesReader),
}

impl OpenRows {
    /// Opens the files of a day.
    ///
    /// # Errors
    /// [`Error::NotAsRecorded`] if one is missing, or is no Parquet file.
    pub(crate) async fn open(output: &OutputStore, day: &CommittedDay) -> Result<Self, Error> {
        let mut files = Vec::with_capacity(day.files.len());
        for record in &day.files {
            files.push(OpenFile::open(output, record).await?);
        }
        Ok(Self { files })
    }

    /// The record of each file, and its footer: `None` if it is not a file of this program.
    pub(super) fn footers(&self) -> impl Iterator<Item = (&FileRecord, Option<FileFooter>)> {
        self.files.iter().map(|file| (&file.record, read::footer_of(&file.metadata)))
    }
}

/// Reads the wanted rows of a day and passes them on, batch by batch, in the order of their files.
///
/// # Errors
/// An error of `each`, or [`ReadError`] if the files cannot be read.
pub(super) fn for_each_batch<E: From<ReadError>>(
    rows: OpenRows,
    wanted: &RowsWanted,
    each: impl FnMut(RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    Reader::new(rows, wanted)?.pass_on_all(each)
}

/// Reads the wanted rows of a day and passes them on, batch by batch, in order of time.
///
/// # Errors
/// An error of `each`, or [`ReadError`] if the files cannot be read.
pub(super) fn for_each_batch_in_order<E: From<ReadError>>(
    rows: OpenRows,
    wanted: &RowsWanted,
    mut each: impl FnMut(RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    let reader = Reader::new(rows, wanted)?;
    let Some(order) = order(&reader.times()?) else { return reader.pass_on_all(each) };
    for part in order.chunks(reader.rows_within(SORTED_BYTES)) {
        reader.pass_on(&reader.sorted(part)?, &mut each)?;
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

impl<'a> Reader<'a> {
    fn new(rows: OpenRows, wanted: &'a RowsWanted) -> Result<Self, ReadError> {
        let is_nested = |file: &OpenFile| file.record.kind() == FileKind::Nested;
        let mut files = rows.files;
        let source = match files.pop_if(|file| wanted.is_table || is_nested(file)) {
            Some(file) => {
                let groups = groups(&file.metadata, wanted);
                Source::File(FileReader::new(file, wanted.schema, groups))
            }
            None => {
                let fields = wanted.schema.fields();
                Source::Tables(TablesReader::new(wanted.dataset, files, fields)?)
            }
        };
        Ok(Self { source, wanted })
    }

    /// The times of all rows, in the order of the rows.
    fn times(&self) -> Result<Vec<i64>, ReadError> {
        match &self.source {
            Source::File(file) => file.times(&self.wanted.dataset.time),
            Source::Tables(tables) => tables.times(),
        }
    }

    /// How many rows take about this memory, at least one.
    fn rows_within(&self, memory: usize) -> usize {
        match &self.source {
            Source::File(file) => rows_within(memory, file.rows(), file.bytes()),
            Source::Tables(tables) => tables.rows_within(memory),
        }
    }

    /// All rows, in the order of the rows.
    fn batches(&self) -> Result<Batches, ReadError> {
        Ok(match &self.source {
            Source::File(file) => Box::new(file.batches(self.rows_within(BATCH_BYTES), None)?),
            Source::Tables(tables) => tables.batches(BATCH_BYTES)?,
        })
    }

    /// Calls `each` with all wanted rows.
    fn pass_on_all<E: From<ReadError>>(
        &self,
        mut each: impl FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        for rows in self.batches()? {
            let rows = self.upgraded(&rows.map_err(ReadError::from)?)?;
            self.pass_on(&rows, &mut each)?;
        }
        Ok(())
    }

    /// Calls `each` with those of the rows that are wanted.
    fn pass_on<E: From<ReadError>>(
        &self,
        rows: &RecordBatch,
        each: &mut impl FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let rows = self.wanted_rows(rows)?;
        if rows.num_rows() == 0 { Ok(()) } else { each(rows) }
    }

    /// The rows at these positions, in this order.
    fn sorted(&self, positions: &[u32]) -> Result<RecordBatch, ReadError> {
        let mut selected = positions.to_vec();
        selected.sort_unstable();
        let batches = self.at(&selected)?;
        let rows = concat_batches(self.wanted.schema, &batches)?;
        let ranks = positions.iter().map(|position| {
            u32::try_from(selected.binary_search(position).unwrap_or_default()).ok()
        });
        let ranks: UInt32Array = ranks.collect();
        Ok(take_record_batch(&rows, &ranks)?)
    }

    /// The rows at these positions, which are in order.
    fn at(&self, positions: &[u32]) -> Result<Vec<RecordBatch>, ReadError> {
        let mut batches = Vec::new();
        match &self.source {
            Source::File(file) => {
                let ranges = positions.iter().map(|&row| row as usize);
                let ranges = ranges.map(|row| Range { start: row, end: row + 1 });
                let selection = RowSelection::from_consecutive_ranges(ranges, file.rows());
                for rows in file.batches(self.rows_within(BATCH_BYTES), Some(selection))? {
                    batches.push(self.upgraded(&rows?)?);
                }
            }
            Source::Tables(_) => {
                let (mut left, mut first) = (positions, 0);
                for rows in self.batches()? {
                    let rows = self.upgraded(&rows?)?;
                    let end = first + u32::try_from(rows.num_rows()).unwrap_or(u32::MAX);
                    let (here, after) = left.split_at(left.partition_point(|&row| row < end));
                    let here: UInt32Array = here.iter().map(|row| Some(row - first)).collect();
                    batches.push(take_record_batch(&rows, &here)?);
                    (left, first) = (after, end);
                }
            }
        }
        Ok(batches)
    }

    /// The rows with the columns that the dataset has now.
    fn upgraded(&self, rows: &RecordBatch) -> Result<RecordBatch, ReadError> {
        Ok(with_columns(rows, self.wanted.schema)?)
    }

    /// The rows of the interval that meet the condition.
    fn wanted_rows(&self, rows: &RecordBatch) -> Result<RecordBatch, ReadError> {
        let times = rows.column(rows.schema_ref().index_of(&self.wanted.dataset.time)?);
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
