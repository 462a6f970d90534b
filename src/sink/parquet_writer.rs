//! One Parquet file being written: the rows of one UTC day.

use std::{mem::take, sync::Arc};

use arrow::{array::Array, error::ArrowError, record_batch::RecordBatch};
use parquet::{
    arrow::{
        ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder,
        arrow_writer::ArrowWriterOptions,
    },
    file::metadata::SortingColumn,
};

use crate::{
    catalog::Dataset,
    decode::times_of,
    sink::{
        column_settings::set_columns,
        footer::{Footer, entry},
        hour_sums::HourSums,
        row_order::RowOrder,
        row_set::{RowSet, without},
        settings::ParquetSettings,
        spool::{Spool, SpoolFile},
        waiting_rows::WaitingRows,
        write_error::WriteError,
    },
};

/// The most memory of rows that are not encoded.
const WAITING_BYTES: usize = 128 << 20;

/// A file being written. Rows are appended; rows that turn out to be superseded are dropped when
/// the file is finished.
pub(super) struct DayFile {
    dataset: Arc<Dataset>,
    settings: Arc<ParquetSettings>,
    spools: SpoolFile,
    /// `None` until rows are encoded.
    writer: Option<OpenWriter>,
    /// Rows that are not encoded yet.
    waiting: WaitingRows,
    /// Rows are encoded when they take this much memory, although they are fewer than a row group
    /// has.
    waiting_bytes: usize,
    /// Rows appended, dropped ones included.
    appended: u64,
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

/// The encoder of a file.
struct OpenWriter {
    writer: ArrowWriter<Spool>,
    /// Whether its row groups say that their rows are in order of time.
    declares_order: bool,
}

impl DayFile {
    pub(super) fn new(
        dataset: &Arc<Dataset>,
        settings: &Arc<ParquetSettings>,
        spools: &SpoolFile,
    ) -> Self {
        Self {
            dataset: Arc::clone(dataset),
            settings: Arc::clone(settings),
            spools: spools.clone(),
            writer: None,
            waiting: WaitingRows::new(&dataset.schema, spools),
            waiting_bytes: WAITING_BYTES,
            appended: 0,
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
            || self.waiting.bytes() >= self.waiting_bytes
        {
            self.encode_full_groups()?;
        }
        Ok(())
    }

    /// Encodes the waiting rows that fill whole row groups; the others go on waiting.
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
        self.sums.add(&self.dataset, piece);
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
        let Dataset { name, version, schema, .. } = &*self.dataset;
        let file_schema = self.settings.schemas.of(&self.dataset)?;
        let leaves = &file_schema.columns;
        let properties = self.settings.properties(vec![
            file_schema.arrow.clone(),
            entry("dataset", name.clone()),
            entry("schema_version", version.to_string()),
            entry("version", env!("CARGO_PKG_VERSION").to_owned()),
            entry("job", self.settings.job.clone()),
        ]);
        let properties = set_columns(properties, &self.settings, leaves, first, rows);
        let time = file_schema.time;
        let declared = time.filter(|_| self.order.is_ascending()).map(|index| SortingColumn {
            column_idx: i32::try_from(index).unwrap_or(i32::MAX),
            descending: false,
            nulls_first: false,
        });
        let declares_order = declared.is_some();
        let properties = properties.set_sorting_columns(declared.map(|column| vec![column]));
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_parquet_schema(leaves.clone())
            .with_skip_arrow_metadata(true);
        let (spool, schema) = (self.spools.spool(), Arc::clone(schema));
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

    /// The complete file and the sums of its rows. It is written once more if rows of it were
    /// dropped, or if it says that its rows are in order and they are not.
    pub(super) fn finish(mut self, footer: &Footer) -> Result<(Spool, HourSums), WriteError> {
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
            self.dropped.len() > 0 || (open.declares_order && !self.order.is_ascending());
        let content = finish_writer(open.writer, footer)?;
        if !must_rewrite {
            return Ok((content, self.sums));
        }
        let mut rewritten = Self::new(&self.dataset, &self.settings, &self.spools);
        rewritten.order = RowOrder::known(self.order.is_ascending());
        let mut row = 0;
        for batch in ParquetRecordBatchReaderBuilder::try_new(content.into_reader())?.build()? {
            rewritten.append(without(&batch?, &self.dropped, &mut row)?)?;
        }
        rewritten.finish(footer)
    }
}

fn finish_writer(mut writer: ArrowWriter<Spool>, footer: &Footer) -> Result<Spool, WriteError> {
    for entry in footer.entries() {
        writer.append_key_value_metadata(entry);
    }
    Ok(writer.into_inner()?)
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
    use crate::{ledger::Counts, sink::tests::calls, time::interval::Interval};

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
        let footer = Footer {
            interval: Interval::new(0, 1).unwrap(),
            commit_id: String::new(),
            commit_files: 1,
            counts: Counts::default(),
            open_rows: 0,
            doubts: None,
        };
        let content = file.finish(&footer).unwrap().0.into_reader();
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
        let encoder = &file.writer.as_ref().unwrap().writer;
        assert_eq!((encoder.flushed_row_groups().len(), encoder.in_progress_rows()), (1, 0));
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
