//! The files of one UTC day being written: of its nested rows, and of their tables.

use std::{mem::take, sync::Arc};

use arrow::{array::Array, error::ArrowError, record_batch::RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    catalog::Dataset,
    decode::times_of,
    sink::{
        file_encoder::{EncodedFile, EncoderSettings, FileEncoder, Piece},
        footer::Footer,
        hour_sums::HourSums,
        row_order::RowOrder,
        row_set::{RowSet, without},
        settings::ParquetSettings,
        spool::SpoolFile,
        waiting_rows::WaitingRows,
        write_error::WriteError,
    },
};

/// The most memory of rows that are not encoded.
const WAITING_BYTES: usize = 128 << 20;

/// The files of a day. Rows are appended; rows that turn out to be superseded are dropped when the
/// files are finished.
///
/// Rows that are encoded can only be dropped by writing the files once more, from the nested rows.
/// So these are written in every layout while the day is open; in a layout without them, their file
/// is thrown away at the end.
pub(super) struct DayFile {
    settings: EncoderSettings,
    /// `None` if no row can be dropped any more, and the layout has no nested rows.
    nested: Option<FileEncoder>,
    tables: Vec<FileEncoder>,
    /// Rows that are not encoded yet.
    waiting: WaitingRows,
    /// Rows are encoded when they take this much memory, although they are fewer than a row group
    /// has.
    waiting_bytes: usize,
    /// Rows appended, dropped ones included.
    appended: u64,
    /// Whether rows are encoded.
    has_encoded: bool,
    dropped: RowSet,
    /// Copies of rows that were rejected or dropped.
    pub duplicates: u64,
    /// Rows that were left out because their ids were forgotten.
    pub forgotten: u64,
    /// The column that is null while a row is open. `None` if the dataset has no such column.
    open_column: Option<usize>,
    open: RowSet,
    order: RowOrder,
    /// The sums of the rows that are encoded.
    sums: HourSums,
}

/// The complete files of a day.
pub(super) struct FinishedDay {
    /// Those that the layout has.
    pub files: Vec<EncodedFile>,
    /// The sums of the rows.
    pub sums: HourSums,
}

impl DayFile {
    pub(super) fn new(
        dataset: &Arc<Dataset>,
        settings: &Arc<ParquetSettings>,
        spools: &SpoolFile,
    ) -> Self {
        let tables = 0..settings.layout.tables(dataset).len();
        Self {
            settings: EncoderSettings {
                dataset: Arc::clone(dataset),
                parquet: Arc::clone(settings),
                spools: spools.clone(),
            },
            nested: Some(FileEncoder::new(None)),
            tables: tables.map(|table| FileEncoder::new(Some(table))).collect(),
            waiting: WaitingRows::new(&dataset.schema, spools),
            waiting_bytes: WAITING_BYTES,
            appended: 0,
            has_encoded: false,
            dropped: RowSet::default(),
            duplicates: 0,
            forgotten: 0,
            open_column: dataset.open.as_ref().and_then(|name| dataset.schema.index_of(name).ok()),
            open: RowSet::default(),
            order: RowOrder::default(),
            sums: HourSums::default(),
        }
    }

    /// Appends rows.
    pub(super) fn append(&mut self, batch: RecordBatch) -> Result<(), WriteError> {
        let dataset = &self.settings.dataset;
        if batch.schema_ref() != &dataset.schema {
            let message = format!("rows do not have the columns of {}", dataset.name);
            return Err(ArrowError::SchemaError(message).into());
        }
        if let Some(column) = self.open_column.map(|column| batch.column(column)) {
            for row in (0..column.len()).filter(|&row| column.is_null(row)) {
                self.open.insert(self.appended + row as u64);
            }
        }
        if let Some(times) = batch.column_by_name(&dataset.time).and_then(|times| times_of(times)) {
            self.order.add(times.values());
        }
        self.appended += batch.num_rows() as u64;
        self.waiting.push(batch)?;
        if self.waiting.rows() >= self.settings.parquet.row_group_rows
            || self.waiting.bytes() >= self.waiting_bytes
        {
            self.encode_full_groups()?;
        }
        Ok(())
    }

    /// Encodes the waiting rows that fill whole row groups; the others go on waiting.
    fn encode_full_groups(&mut self) -> Result<(), WriteError> {
        let group_rows = self.settings.parquet.row_group_rows;
        let rows = match self.waiting.rows() {
            rows if rows < group_rows => rows,
            rows => rows - rows % group_rows,
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
        self.encoders().try_for_each(FileEncoder::flush)
    }

    fn encoders(&mut self) -> impl Iterator<Item = &mut FileEncoder> {
        self.nested.iter_mut().chain(&mut self.tables)
    }

    /// Encodes a piece of a row group of about this many rows.
    fn encode(&mut self, rows: &RecordBatch, group_rows: usize) -> Result<(), WriteError> {
        self.has_encoded = true;
        self.sums.add(&self.settings.dataset, rows);
        let piece = Piece { rows, group_rows, is_ascending: self.order.is_ascending() };
        for encoder in self.nested.iter_mut().chain(&mut self.tables) {
            encoder.encode(piece, &self.settings)?;
        }
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

    /// The complete files. They are written once more if rows of them were dropped, or if they say
    /// that their rows are in order and they are not.
    pub(super) fn finish(mut self, footer: &Footer) -> Result<FinishedDay, WriteError> {
        let is_ascending = self.order.is_ascending();
        let is_wrong = |encoder: &mut FileEncoder| encoder.declares_order() && !is_ascending;
        if self.has_encoded && (self.dropped.len() > 0 || self.encoders().any(is_wrong)) {
            return self.rewrite(footer);
        }
        if !self.settings.parquet.layout.has_nested(&self.settings.dataset) {
            self.nested = None;
        }
        let (rows, dropped, mut row) = (self.waiting.rows(), take(&mut self.dropped), 0);
        for piece in self.waiting.take()? {
            self.encode(&without(&piece?, &dropped, &mut row)?, rows)?;
        }
        let Self { settings, nested, tables, sums, .. } = self;
        let encoders = nested.into_iter().chain(tables);
        let files = encoders.map(|encoder| encoder.finish(footer, &settings));
        Ok(FinishedDay { files: files.collect::<Result<_, _>>()?, sums })
    }

    /// Writes the rows once more, without the dropped ones.
    fn rewrite(mut self, footer: &Footer) -> Result<FinishedDay, WriteError> {
        let EncoderSettings { dataset, parquet, spools } = &self.settings;
        let mut rewritten = Self::new(dataset, parquet, spools);
        rewritten.order = RowOrder::known(self.order.is_ascending());
        if !parquet.layout.has_nested(dataset) {
            rewritten.nested = None;
        }
        let mut row = 0;
        if let Some(nested) = self.nested.take() {
            let content = nested.finish(footer, &self.settings)?.content.into_reader();
            for batch in ParquetRecordBatchReaderBuilder::try_new(content)?.build()? {
                rewritten.append(without(&batch?, &self.dropped, &mut row)?)?;
            }
        }
        for batch in self.waiting.take()? {
            rewritten.append(without(&batch?, &self.dropped, &mut row)?)?;
        }
        rewritten.finish(footer)
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, AsArray, StringArray, TimestampMicrosecondArray},
        compute::concat_batches,
        datatypes::TimestampMicrosecondType,
    };
    use parquet::file::metadata::ParquetMetaData;

    use super::*;
    use crate::sink::tests::calls;

    /// A file that is being written, and its dataset.
    fn new_file(row_group_rows: usize) -> (DayFile, Arc<Dataset>) {
        let dataset = calls();
        let settings = ParquetSettings { row_group_rows, ..ParquetSettings::for_tests() };
        let spools = SpoolFile::new(std::env::temp_dir());
        (DayFile::new(&dataset, &Arc::new(settings), &spools), dataset)
    }

    /// Calls at these times, in microseconds.
    fn rows(dataset: &Dataset, times: &[i64]) -> RecordBatch {
        let ids: ArrayRef =
            Arc::new(times.iter().map(|time| Some(time.to_string())).collect::<StringArray>());
        let column: ArrayRef = Arc::new(
            TimestampMicrosecondArray::from_iter_values(times.iter().copied()).with_timezone("UTC"),
        );
        let columns = dataset.schema.fields().iter().map(|field| match field.name().as_str() {
            "callId" => Arc::clone(&ids),
            "startedAt" => Arc::clone(&column),
            _ => arrow::array::new_null_array(field.data_type(), times.len()),
        });
        RecordBatch::try_new(dataset.schema.clone(), columns.collect()).unwrap()
    }

    /// The metadata of a finished file, and the times of its rows.
    fn read(file: DayFile) -> (ParquetMetaData, Vec<i64>) {
        let footer = Footer::for_tests();
        let content = file.finish(&footer).unwrap().files.remove(0).content.into_reader();
        let reader = ParquetRecordBatchReaderBuilder::try_new(content).unwrap();
        let metadata = ParquetMetaData::clone(reader.metadata());
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        let rows = concat_batches(&batches[0].schema(), &batches).unwrap();
        let times = rows["startedAt"].as_primitive::<TimestampMicrosecondType>();
        (metadata, times.values().to_vec())
    }

    /// Writes 24 rows in pages of seven, of which the rows at the times in `dropped` are dropped.
    /// Returns the file's metadata and the times of its rows.
    fn file(spills: bool, row_group_rows: usize, dropped: &[u64]) -> (ParquetMetaData, Vec<i64>) {
        let (mut file, dataset) = new_file(row_group_rows);
        for page in Vec::from_iter(0..24).chunks(7) {
            file.append(rows(&dataset, page)).unwrap();
            assert!(file.waiting.rows() < row_group_rows, "full row groups are encoded");
            if spills {
                file.spill().unwrap();
            }
        }
        for row in dropped {
            file.drop_row(*row);
        }
        read(file)
    }

    fn group_rows(metadata: &ParquetMetaData) -> Vec<i64> {
        metadata.row_groups().iter().map(|group| group.num_rows()).collect()
    }

    #[test]
    fn row_groups_are_full_whatever_the_pages_and_wherever_rows_waited() {
        for spills in [false, true] {
            let (metadata, times) = file(spills, 10, &[]);
            assert_eq!(group_rows(&metadata), [10, 10, 4]);
            assert_eq!(times, Vec::from_iter(0..24));
            assert_eq!(group_rows(&file(spills, 5, &[]).0), [5, 5, 5, 5, 4]);
            assert_eq!(group_rows(&file(spills, 1_000, &[]).0), [24]);
        }
    }

    #[test]
    fn rows_that_take_too_much_memory_are_a_row_group_of_their_own() {
        let (mut file, dataset) = new_file(1_000);
        let many = Vec::from_iter(0..500);
        file.append(rows(&dataset, &many)).unwrap();
        file.waiting_bytes = file.waiting.bytes();
        assert_eq!(file.waiting.rows(), 500);
        file.append(rows(&dataset, &[500])).unwrap();
        assert_eq!(file.waiting.rows(), 0);
        assert_eq!(file.nested.as_ref().unwrap().row_groups_and_waiting_rows(), (1, 0));
        file.append(rows(&dataset, &[501])).unwrap();
        let (metadata, times) = read(file);
        assert_eq!(group_rows(&metadata), [501, 1]);
        assert_eq!(times, Vec::from_iter(0..502));
    }

    #[test]
    fn dropped_rows_are_left_out_wherever_they_waited() {
        let kept: Vec<_> = (0..24).filter(|time| ![0, 8, 23].contains(time)).collect();
        for (spills, row_group_rows) in [(false, 10), (true, 10), (false, 100), (true, 100)] {
            assert_eq!(file(spills, row_group_rows, &[0, 8, 23]).1, kept);
        }
    }

    #[test]
    fn files_declare_the_order_of_their_rows_and_have_no_page_index() {
        let (metadata, _) = file(false, 10, &[]);
        assert!(metadata.row_group(0).sorting_columns().is_some());
        assert!(metadata.row_group(0).column(0).offset_index_offset().is_none());
        assert!(metadata.row_group(0).column(0).column_index_offset().is_none());
        for row_group_rows in [1, 100] {
            let (mut file, dataset) = new_file(row_group_rows);
            for time in [1_001, 1_002, 1_000, 1_003] {
                file.append(rows(&dataset, &[time])).unwrap();
            }
            let (metadata, times) = read(file);
            assert_eq!(times, [1_001, 1_002, 1_000, 1_003]);
            assert!(metadata.row_groups().iter().all(|group| group.sorting_columns().is_none()));
        }
    }
}
