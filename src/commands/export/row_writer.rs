//! Writes rows as CSV, as JSON lines or as Parquet.

use std::{
    io::{self, Write},
    sync::Arc,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use clap::ValueEnum;
use parquet::{
    arrow::{ArrowSchemaConverter, ArrowWriter, arrow_writer::ArrowWriterOptions},
    errors::ParquetError,
};

use crate::{
    commands::export::{
        spreadsheet::{is_misread, loses_digits},
        values::{Values, key},
    },
    sink::{ParquetSettings, set_columns},
};

/// Where the bytes go.
pub(crate) type Target = Box<dyn Write + Send>;

/// What tells a spreadsheet that a file is UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The format of exported rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A header and a line for each row, by RFC 4180; nested values are JSON.
    Csv,
    /// A JSON object for each row, in a line of its own.
    Ndjson,
    /// One file of Parquet.
    Parquet,
}

/// Writes rows in one format to one target.
pub(crate) enum RowWriter {
    Csv { target: Target, is_for_spreadsheet: bool },
    Ndjson { target: Target, keys: Vec<String> },
    Parquet { writer: ParquetWriter },
}

impl RowWriter {
    /// Begins to write rows with these columns: of CSV, the header.
    ///
    /// # Errors
    /// If the target cannot be written to.
    pub(crate) fn begin(
        format: Format,
        is_for_spreadsheet: bool,
        schema: &SchemaRef,
        settings: &ParquetSettings,
        mut target: Target,
    ) -> io::Result<Self> {
        let names = schema.fields().iter().map(|field| field.name());
        Ok(match format {
            Format::Csv => {
                if is_for_spreadsheet {
                    target.write_all(BYTE_ORDER_MARK)?;
                }
                let mut header = Vec::new();
                for (number, name) in names.enumerate() {
                    separate(number, &mut header);
                    let is_marked = is_for_spreadsheet && is_misread(name.as_bytes());
                    push_field(name.as_bytes(), is_marked, &mut header);
                }
                header.extend_from_slice(b"\r\n");
                target.write_all(&header)?;
                Self::Csv { target, is_for_spreadsheet }
            }
            Format::Ndjson => Self::Ndjson { target, keys: names.map(|name| key(name)).collect() },
            Format::Parquet => Self::Parquet {
                writer: ParquetWriter::Waiting {
                    target,
                    schema: Arc::clone(schema),
                    settings: settings.clone(),
                },
            },
        })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// If the target cannot be written to.
    pub(crate) fn write(self, rows: &RecordBatch) -> io::Result<Self> {
        Ok(match self {
            Self::Csv { mut target, is_for_spreadsheet } => {
                target.write_all(&csv(rows, is_for_spreadsheet).map_err(io::Error::other)?)?;
                Self::Csv { target, is_for_spreadsheet }
            }
            Self::Ndjson { mut target, keys } => {
                target.write_all(&ndjson(rows, &keys).map_err(io::Error::other)?)?;
                Self::Ndjson { target, keys }
            }
            Self::Parquet { writer } => {
                let mut writer = writer.open(rows).map_err(io_error)?;
                writer.write(rows).map_err(io_error)?;
                Self::Parquet { writer: ParquetWriter::Open(Box::new(writer)) }
            }
        })
    }

    /// Writes what is left, such as the footer of Parquet.
    ///
    /// # Errors
    /// If the target cannot be written to.
    pub(crate) fn finish(self) -> io::Result<()> {
        let mut target = match self {
            Self::Csv { target, .. } | Self::Ndjson { target, .. } => target,
            Self::Parquet { writer } => writer.finish().map_err(io_error)?,
        };
        target.flush()
    }
}

/// A Parquet file, which is opened with the first rows: they decide how columns are encoded.
pub(crate) enum ParquetWriter {
    Waiting { target: Target, schema: SchemaRef, settings: ParquetSettings },
    Open(Box<ArrowWriter<Target>>),
}

impl ParquetWriter {
    fn open(self, first: &RecordBatch) -> Result<ArrowWriter<Target>, ParquetError> {
        let (target, schema, settings) = match self {
            Self::Open(writer) => return Ok(*writer),
            Self::Waiting { target, schema, settings } => (target, schema, settings),
        };
        let leaves = ArrowSchemaConverter::new().convert(&schema)?;
        let properties = settings.properties(Vec::new());
        let rows = settings.row_group_rows;
        let properties = set_columns(properties, &settings, &leaves, first, rows).build();
        let options =
            ArrowWriterOptions::new().with_properties(properties).with_parquet_schema(leaves);
        ArrowWriter::try_new_with_options(target, schema, options)
    }

    fn finish(self) -> Result<Target, ParquetError> {
        let empty = match self {
            Self::Open(writer) => return writer.into_inner(),
            Self::Waiting { ref schema, .. } => RecordBatch::new_empty(Arc::clone(schema)),
        };
        self.open(&empty)?.into_inner()
    }
}

/// The error of the target, if it is one.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

fn columns(rows: &RecordBatch) -> Result<Vec<Values<'_>>, ArrowError> {
    rows.columns().iter().map(|column| Values::new(column)).collect()
}

fn separate(number: usize, line: &mut Vec<u8>) {
    if number > 0 {
        line.push(b',');
    }
}

/// The lines of rows. Null is an empty field, and an empty text is `""`.
fn csv(rows: &RecordBatch, is_for_spreadsheet: bool) -> Result<Vec<u8>, ArrowError> {
    let columns = columns(rows)?;
    let (mut lines, mut field) = (Vec::new(), Vec::new());
    for row in 0..rows.num_rows() {
        for (number, values) in columns.iter().enumerate() {
            separate(number, &mut lines);
            if values.is_null(row) {
                // readers take an empty line for none
                if columns.len() == 1 {
                    lines.extend_from_slice(b"\"\"");
                }
                continue;
            }
            field.clear();
            values.write_text(row, &mut field);
            let is_changed = || match values.are_texts() {
                true => is_misread(&field),
                false => loses_digits(&field),
            };
            push_field(&field, is_for_spreadsheet && is_changed(), &mut lines);
        }
        lines.extend_from_slice(b"\r\n");
    }
    Ok(lines)
}

/// Appends a field, in quotes where RFC 4180 wants them or if it is empty. `is_marked` is whether
/// it gets an apostrophe before it, so that a spreadsheet leaves it as it is.
fn push_field(field: &[u8], is_marked: bool, line: &mut Vec<u8>) {
    let apostrophe: &[u8] = if is_marked { b"'" } else { b"" };
    let needs_quotes = |byte: &u8| matches!(byte, b'"' | b',' | b'\r' | b'\n');
    if !field.is_empty() && !field.iter().any(needs_quotes) {
        line.extend_from_slice(apostrophe);
        line.extend_from_slice(field);
        return;
    }
    line.push(b'"');
    line.extend_from_slice(apostrophe);
    for &byte in field {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}

/// A JSON object for each row, with all of its columns.
fn ndjson(rows: &RecordBatch, keys: &[String]) -> Result<Vec<u8>, ArrowError> {
    let columns = columns(rows)?;
    let mut lines = Vec::new();
    for row in 0..rows.num_rows() {
        let mut separator = b'{';
        for (key, values) in keys.iter().zip(&columns) {
            lines.push(separator);
            lines.extend_from_slice(key.as_bytes());
            values.write_json(row, &mut lines);
            separator = b',';
        }
        lines.extend_from_slice(b"}\n");
    }
    Ok(lines)
}
