//! Encodes one Parquet file: the nested rows of a UTC day, or the rows of one table of them.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    file::metadata::SortingColumn,
};

use crate::{
    catalog::Dataset,
    ledger::FileKind,
    sink::{
        column_settings::set_columns,
        file_schema::FileSchema,
        footer::{Footer, entry},
        settings::{ParquetSettings, ROW_GROUP_BYTES},
        spool::{Spool, SpoolFile},
        write_error::WriteError,
    },
    tables::table_rows,
};

/// What the encoders of a UTC day share.
pub(super) struct EncoderSettings {
    pub dataset: Arc<Dataset>,
    pub parquet: Arc<ParquetSettings>,
    pub spools: SpoolFile,
}

/// A file that rows are added to. It is opened with its first rows, because they decide how its
/// columns are written.
pub(super) struct FileEncoder {
    /// The number of the table that its rows are of. `None` if they are the nested rows.
    table: Option<usize>,
    open: Option<OpenFile>,
    rows: u64,
}

struct OpenFile {
    writer: ArrowWriter<Spool>,
    /// Whether its row groups say that their rows are in order of time.
    declares_order: bool,
}

/// A complete file that has no name yet.
pub(super) struct EncodedFile {
    /// The number of the table that its rows are of. `None` if they are the nested rows.
    pub table: Option<usize>,
    pub rows: u64,
    pub content: Spool,
}

/// Nested rows to be encoded, as a part of a row group.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub rows: &'a RecordBatch,
    /// About how many rows the group will have.
    pub group_rows: usize,
    /// Whether all rows so far came in order of time.
    pub is_ascending: bool,
}

impl FileEncoder {
    /// A file without rows.
    pub(super) fn new(table: Option<usize>) -> Self {
        Self { table, open: None, rows: 0 }
    }

    /// Adds nested rows or, to the file of a table, the rows that the table has of them.
    pub(super) fn encode(
        &mut self,
        piece: Piece,
        settings: &EncoderSettings,
    ) -> Result<(), WriteError> {
        let Some(table) = self.table else { return self.write(piece, settings) };
        let rows = table_rows(&settings.dataset.tables[table], piece.rows)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let group_rows = piece.group_rows * rows.num_rows() / piece.rows.num_rows().max(1);
        self.write(Piece { rows: &rows, group_rows, ..piece }, settings)
    }

    fn write(&mut self, piece: Piece, settings: &EncoderSettings) -> Result<(), WriteError> {
        self.rows += piece.rows.num_rows() as u64;
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(OpenFile::new(self.table, piece, settings)?),
        };
        Ok(open.writer.write(piece.rows)?)
    }

    /// Whether the file says that its rows are in order of time.
    pub(super) fn declares_order(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.declares_order)
    }

    /// Ends the row group.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        match &mut self.open {
            Some(open) => Ok(open.writer.flush()?),
            None => Ok(()),
        }
    }

    /// The row groups that are complete, and the rows of the one that is not.
    #[cfg(test)]
    pub(super) fn row_groups_and_waiting_rows(&self) -> (usize, usize) {
        let writer = self.open.as_ref().map(|open| &open.writer);
        writer.map_or((0, 0), |w| (w.flushed_row_groups().len(), w.in_progress_rows()))
    }

    /// The complete file. It may have no rows.
    pub(super) fn finish(
        self,
        footer: &Footer,
        settings: &EncoderSettings,
    ) -> Result<EncodedFile, WriteError> {
        let Self { table, open, rows } = self;
        let mut writer = match open {
            Some(open) => open.writer,
            None => {
                let dataset = &settings.dataset;
                let schema = table.map_or(&dataset.schema, |table| &dataset.tables[table].schema);
                let rows = &RecordBatch::new_empty(schema.clone());
                let empty = Piece { rows, group_rows: 0, is_ascending: true };
                OpenFile::new(table, empty, settings)?.writer
            }
        };
        for entry in footer.entries() {
            writer.append_key_value_metadata(entry);
        }
        Ok(EncodedFile { table, rows, content: writer.into_inner()? })
    }
}

impl EncodedFile {
    /// What it holds.
    pub(super) fn kind<'d>(&self, dataset: &'d Dataset) -> FileKind<'d> {
        self.table.map_or(FileKind::Nested, |table| FileKind::Table(&dataset.tables[table].name))
    }
}

impl OpenFile {
    /// Opens the file that begins with these rows.
    fn new(
        table: Option<usize>,
        first: Piece,
        settings: &EncoderSettings,
    ) -> Result<Self, WriteError> {
        let EncoderSettings { dataset, parquet, spools } = settings;
        let schemas = parquet.schemas.of(dataset)?;
        let FileSchema { columns, time } = schemas.of(table);
        let mut entries = vec![
            entry("dataset", dataset.name.clone()),
            entry("schema_version", dataset.version.to_string()),
            entry("version", env!("CARGO_PKG_VERSION").to_owned()),
            entry("job", parquet.job.clone()),
        ];
        // tables share the memory that a file of nested rows takes
        let mut sharing = 1;
        if let Some(table) = table {
            entries.push(entry("table", dataset.tables[table].name.clone()));
            sharing = dataset.tables.len();
        }
        let properties = parquet
            .properties(entries)
            .set_max_row_group_bytes(Some((ROW_GROUP_BYTES / sharing).max(1)));
        let properties = set_columns(properties, parquet, columns, first.rows, first.group_rows);
        let declared = time.filter(|_| first.is_ascending).map(|index| SortingColumn {
            column_idx: i32::try_from(index).unwrap_or(i32::MAX),
            descending: false,
            nulls_first: false,
        });
        let declares_order = declared.is_some();
        let properties = properties.set_sorting_columns(declared.map(|column| vec![column]));
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_parquet_schema(columns.clone())
            .with_skip_arrow_metadata(true);
        let spool = spools.spool_shared_by(sharing);
        let schema = first.rows.schema();
        let writer = ArrowWriter::try_new_with_options(spool, schema, options)?;
        Ok(Self { writer, declares_order })
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
    use parquet::{
        arrow::arrow_reader::ParquetRecordBatchReaderBuilder, basic::Compression,
        file::metadata::ParquetMetaData,
    };

    use super::*;
    use crate::{
        catalog,
        decode::{Decoder, PageParser},
        time::interval::Interval,
    };

    const PIECE_ROWS: usize = 500;

    /// Conversations with a text of this length each, which no other has.
    fn conversations(dataset: &Dataset, rows: usize, length: usize) -> RecordBatch {
        let mut rng = fastrand::Rng::with_seed(1);
        let texts = (0..rows).map(|_| {
            let text: String = iter::repeat_with(|| rng.alphanumeric()).take(length).collect();
            Some(text)
        });
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let times = Int64Array::from_iter_values((0..).take(rows));
        let times = TimestampMicrosecondArray::new(times.values().clone(), None);
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        let columns = dataset.schema.fields().iter().map(|field| match field.name().as_str() {
            "conversationId" => Arc::clone(&texts),
            "conversationStart" => Arc::clone(&times),
            _ => arrow::array::new_null_array(field.data_type(), rows),
        });
        RecordBatch::try_new(Arc::clone(&dataset.schema), columns.collect()).unwrap()
    }

    /// The metadata of the file of a table of these conversations.
    fn metadata(table: Option<usize>, rows: &RecordBatch, is_ascending: bool) -> ParquetMetaData {
        let parquet = ParquetSettings {
            compression: Compression::SNAPPY,
            row_group_rows: 100_000,
            ..ParquetSettings::for_tests()
        };
        let settings = EncoderSettings {
            dataset: Arc::clone(catalog::test_dataset("conversations")),
            parquet: Arc::new(parquet),
            spools: SpoolFile::new(std::env::temp_dir()),
        };
        let mut encoder = FileEncoder::new(table);
        for start in (0..rows.num_rows()).step_by(PIECE_ROWS) {
            let piece = rows.slice(start, PIECE_ROWS.min(rows.num_rows() - start));
            let piece = Piece { rows: &piece, group_rows: rows.num_rows(), is_ascending };
            encoder.encode(piece, &settings).unwrap();
        }
        let footer = Footer::for_tests();
        let file = encoder.finish(&footer, &settings).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.content.into_reader()).unwrap();
        assert_eq!(file.rows, reader.metadata().file_metadata().num_rows().unsigned_abs());
        ParquetMetaData::clone(reader.metadata())
    }

    #[test]
    fn g8_row_groups_of_tables_share_the_memory_of_one_of_nested_rows() {
        let dataset = catalog::test_dataset("conversations");
        // more than a table's part of a row group, and less than a row group
        let bytes = ROW_GROUP_BYTES / dataset.tables.len() * 3 / 2;
        let rows = conversations(dataset, bytes / 1_000, 1_000);
        assert_eq!(metadata(None, &rows, true).num_row_groups(), 1);
        assert_eq!(metadata(Some(0), &rows, true).num_row_groups(), 2);
    }

    #[test]
    fn a_table_says_that_its_rows_are_in_order_only_if_they_are() {
        let rows = conversations(catalog::test_dataset("conversations"), 3, 10);
        let declares = |is_ascending| {
            let metadata = metadata(Some(0), &rows, is_ascending);
            metadata.row_groups().iter().all(|group| group.sorting_columns().is_some())
        };
        assert!(declares(true) && !declares(false));
    }

    #[test]
    fn columns_of_a_table_are_compressed_by_the_rows_that_it_has_itself() {
        let dataset = catalog::test_dataset("conversations");
        let participant =
            |number: usize| format!(r#"{{"participantId":"participant-{number:06}"}}"#);
        let conversation = |number: usize| {
            let participants: Vec<_> = (number * 20..number * 20 + 20).map(participant).collect();
            format!(
                r#"{{"conversationId":"c{number}","conversationStart":"1970-01-01T00:00:00Z",
                    "participants":[{}]}}"#,
                participants.join(",")
            )
        };
        let page: Vec<_> = (0..100).map(conversation).collect();
        let page = format!(r#"{{"conversations":[{}]}}"#, page.join(","));
        let page = PageParser::new(dataset.endpoint(), Vec::new()).find(page.into()).unwrap();
        let rows = Decoder::new(dataset).decode(&page, Interval::day_of(0)).unwrap().batch;
        let table = dataset.tables.iter().position(|table| table.name == "participants");
        let metadata = metadata(table, &rows, true);
        let is_id = |path: &[String]| path == ["participantId"];
        let mut columns = metadata.row_group(0).columns().iter();
        let column = columns.find(|column| is_id(column.column_path().parts())).unwrap();
        assert_eq!(column.num_values(), 2_000);
        assert_eq!(column.compression(), Compression::SNAPPY);
    }
}
