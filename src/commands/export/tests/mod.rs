//! What is exported from outputs that a test writes.

mod columns;
mod formats;
mod reading;
mod selection;

use std::{
    fs::File,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, Fields, TimeUnit},
    json::ReaderBuilder,
};
use parquet::{
    arrow::ArrowWriter,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types,
};
use tempfile::TempDir;

use super::*;
use crate::{
    catalog,
    ledger::{CHANGING_LAYOUT, Counts, Ledger, LedgerError, ShardDetails},
    sink::Layout,
    tables::table_rows,
    time::interval::{DAY_MS, iso},
};

/// 2024-01-01.
const FIRST_MS: i64 = 1_704_067_200_000;
const CATALOG: &str = "[dataset.calls]\nversion = 1\nid = 'id'\ntime = 'at'\ncolumns = 'call'\n\
    [dataset.calls.query]\npath = '/calls'\nrows = '/calls'\npaging = 'none'\n\
    query = { from = '{from:ms}', to = '{to:ms}' }\n\
    [type.call]\nid = 'string'\nat = 'timestamp'\nmedia = 'string'\nseconds = 'int64'\n\
    score = 'double'\nopen = 'boolean'\ntags = 'map'\nlegs = 'list<leg>'\n\
    [type.leg]\nani = 'string'\nat = 'timestamp'\nhops = 'list<int64>'\n\
    [dataset.calls.tables.calls]\n[dataset.calls.tables.legs]\nrows = 'legs[]'\n";

/// An output of calls in a temporary folder.
struct Environment {
    folder: TempDir,
    scope: BackfillScope,
    ledger: Ledger,
}

fn days(from: i64, to: i64) -> Interval {
    Interval::new(FIRST_MS + from * DAY_MS, FIRST_MS + to * DAY_MS).unwrap()
}

impl Environment {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog::read("calls.toml", CATALOG).unwrap();
        let scope = BackfillScope {
            output: folder.path().to_owned(),
            ..BackfillScope::for_tests(&catalog, &["calls"], days(0, 10))
        };
        let ledger = Ledger::open(&folder.path().join(LEDGER)).unwrap();
        Self { folder, scope, ledger }
    }

    /// The same with tables in place of nested rows.
    fn of_tables() -> Self {
        let mut calls = Self::new();
        calls.scope.format.layout = Layout::Tables;
        calls.ledger.record_layout(Layout::Tables.name()).unwrap();
        calls
    }

    /// Commits calls of a day, in row groups of two.
    fn commit(&self, id: &str, interval: Interval, rows: &[&str], replaces: bool) {
        self.commit_in(self.scope.format.layout, id, interval, rows, replaces);
    }

    /// The same in another layout than that of the output.
    fn commit_in(
        &self,
        layout: Layout,
        id: &str,
        interval: Interval,
        rows: &[&str],
        replaces: bool,
    ) {
        let counts =
            Counts { received: rows.len() as u64, written: rows.len() as u64, ..Counts::default() };
        let counts_json = format!(
            r#"{{"received":{0},"written":{0},"not_owned":0,"duplicate":0,"quarantined":0}}"#,
            rows.len()
        );
        let dataset = &self.scope.datasets[0];
        let schema = &dataset.schema;
        let text = rows.join("\n");
        // this reader knows zones as offsets only
        let offsets = Schema::new(with_offsets(schema.fields()));
        let batches = ReaderBuilder::new(Arc::new(offsets)).build(text.as_bytes()).unwrap();
        let mut nested = Vec::new();
        for batch in batches.map(Result::unwrap) {
            let mut columns = Vec::new();
            for (column, field) in batch.columns().iter().zip(schema.fields()) {
                columns.push(cast(column, field.data_type()).unwrap());
            }
            nested.push(RecordBatch::try_new(Arc::clone(schema), columns).unwrap());
        }
        let date = &iso(interval.from_ms())[..10];
        let kinds = layout.files(dataset);
        let files_count = kinds.len().to_string();
        let entries = [
            ("dataset", "calls"),
            ("schema_version", "1"),
            ("interval", &interval.to_string()),
            ("commit", id),
            ("commit_files", &files_count),
            ("counts", &counts_json),
            ("open_rows", "0"),
        ];
        let mut files = Vec::new();
        for kind in kinds {
            let (schema, batches, table) = match kind {
                FileKind::Table(name) => {
                    let table = dataset.table(name).unwrap();
                    let rows = nested.iter().map(|rows| table_rows(table, rows).unwrap());
                    (&table.schema, rows.collect(), Some(("table", name)))
                }
                _ => (schema, nested.clone(), None),
            };
            let entries = entries.into_iter().chain(table);
            files.push(self.write(kind.path("calls", date, interval), schema, &batches, entries));
        }
        let record = ShardRecord {
            dataset: "calls".to_owned(),
            interval,
            counts,
            files,
            commit_id: id.to_owned(),
            open_rows: 0,
            details: ShardDetails::default(),
        };
        let recorded = self.ledger.commit(&[record], &[], &[], replaces).unwrap();
        for path in recorded.garbage {
            std::fs::remove_file(self.folder.path().join(path)).unwrap();
        }
    }

    /// Writes a file with these entries in its footer.
    fn write<'e>(
        &self,
        path: String,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        entries: impl Iterator<Item = (&'e str, &'e str)>,
    ) -> FileRecord {
        let entry = |(key, value): (&str, &str)| {
            KeyValue::new(format!("cxbackfill.{key}"), value.to_owned())
        };
        // files of the program have no statistics of what is in lists
        let texts = ["legs", "list", "element", "ani"].map(str::to_owned).to_vec();
        let properties = WriterProperties::builder()
            .set_column_statistics_enabled(types::ColumnPath::new(texts), EnabledStatistics::None)
            .set_max_row_group_row_count(Some(2))
            .set_key_value_metadata(Some(entries.map(entry).collect()))
            .build();
        let file = self.folder.path().join(&path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let (schema, created) = (Arc::clone(schema), File::create(&file).unwrap());
        let mut writer = ArrowWriter::try_new(created, schema, Some(properties)).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let bytes = file.metadata().unwrap().len();
        FileRecord { path, rows, bytes, sha256: String::new() }
    }

    async fn export(&self, request: &ExportRequest, format: Format, sheet: bool) -> String {
        let target = Memory::default();
        self.export_to(request, format, sheet, target.clone()).await.unwrap();
        target.text()
    }

    async fn export_to(
        &self,
        request: &ExportRequest,
        format: Format,
        sheet: bool,
        target: impl Write + Send + 'static,
    ) -> Result<Option<Exported>, Error> {
        let export = Arc::new(Export::prepare(&self.scope, request)?);
        let settings = &self.scope.format;
        let writer =
            RowWriter::begin(format, sheet, &export.schema, settings, Box::new(target)).unwrap();
        export.execute(writer, "memory", &CancellationToken::new()).await
    }
}

/// The columns with the zone of their times as an offset.
fn with_offsets(fields: &Fields) -> Fields {
    let field = |field: &Arc<Field>| {
        Field::clone(field).with_data_type(match field.data_type() {
            DataType::Timestamp(..) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
            }
            DataType::Struct(fields) => DataType::Struct(with_offsets(fields)),
            DataType::List(element) => {
                let element = with_offsets(&Fields::from(vec![Arc::clone(element)]));
                DataType::List(Arc::clone(&element[0]))
            }
            other => other.clone(),
        })
    };
    fields.iter().map(field).collect()
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).unwrap()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn request(columns: &str, condition: &str) -> ExportRequest {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ExportRequest {
        columns: given(columns).into_iter().collect(),
        condition: given(condition),
        ..ExportRequest::default()
    }
}

const A: &str = r#"{"id":"a","at":"2024-01-01T08:00:00Z","media":"voice","seconds":60,"score":1.5,
    "open":true,"tags":{"a b":"1","x.y":"2"},"legs":[{"ani":"+49 1","hops":[1,2]},{"ani":null}]}"#;
const B: &str =
    r#"{"id":"b","at":"2024-01-01T09:00:00.000001Z","media":"","seconds":-7,"legs":[]}"#;
const C: &str = r#"{"id":"c","at":"2024-01-01T07:00:00Z","media":"chat","score":1e300}"#;

fn one_line(rows: &[&'static str]) -> Vec<String> {
    rows.iter().map(|row| row.replace('\n', " ")).collect()
}

async fn calls(rows: &[&'static str]) -> Environment {
    calls_in(Environment::new(), rows)
}

fn calls_in(calls: Environment, rows: &[&'static str]) -> Environment {
    let lines = one_line(rows);
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    calls.commit("c-1", days(0, 1), &lines, false);
    calls
}
