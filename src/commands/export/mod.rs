//! `export`: committed rows as CSV, JSON lines or Parquet, in order of time.
//!
//! The ledger says which files hold committed rows. They are read day by day, so memory does not
//! grow with their number (G8). Nested rows of an output that has only tables are put together from
//! these. An export takes no lock, so a run may write meanwhile. If a file is of another commit
//! than the ledger said, the ledger is read again, and the export continues after the last row that
//! it wrote: no row is missing or doubled. Start with [`Export::prepare`].

mod column;
mod condition;
mod file;
mod matching;
mod nearest;
mod row_writer;
mod rows;
mod spreadsheet;
mod tables;
mod target;
#[cfg(test)]
mod tests;
mod values;
mod wanted_table;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arrow::datatypes::{Schema, SchemaRef};
use tokio_util::sync::CancellationToken;

use self::{
    column::{Column, ColumnPath, Step, columns_of, needed, schema_of},
    condition::Condition,
    file::ReadError,
    rows::{RowsWanted, for_each_batch_in_order},
};
pub(crate) use self::{
    matching::MatchingRows,
    row_writer::{Format, RowWriter},
    rows::OpenRows,
    target::{ExportFile, standard_output},
};
use crate::{
    catalog::{Dataset, Table},
    config::{BackfillScope, ConfigError, values::parse_date},
    error::Error,
    ledger::{
        Columns, FileKind, FileRecord, LEDGER, ShardRecord, original_commit_id,
        reader::{DatasetRecords, Snapshot},
        upgraded_commit_id,
    },
    sink::{CommittedDay, read::FileFooter, store::OutputStore},
    system::blocking::offload_wait,
    time::interval::Interval,
};

/// How often the ledger is read again for the same day.
const ATTEMPTS: u32 = 5;
/// The pause before that. The files of all tables of a day get their names one after the other.
const PAUSE: Duration = Duration::from_millis(100);

/// What the user wants to be exported.
#[derive(Debug, Default)]
pub(crate) struct ExportRequest {
    /// The dataset. `None` if it is the only one of the job.
    pub dataset: Option<String>,
    /// The table of the dataset. `None` if its nested rows are wanted.
    pub table: Option<String>,
    /// Lists of the paths of columns. Empty if all columns are wanted.
    pub columns: Vec<String>,
    /// Rows before this time, in milliseconds since 1970, are left out.
    pub from_ms: Option<i64>,
    /// Rows at this time or later are left out.
    pub to_ms: Option<i64>,
    /// Which rows are wanted. `None` if all are.
    pub condition: Option<String>,
}

/// What was exported.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Exported {
    pub rows: u64,
    /// The parts of the requested interval that are not committed. If the request has no start or
    /// no end, the interval begins with the first commit or ends with the last.
    pub uncommitted: Vec<Interval>,
}

/// An export that is about to start.
#[derive(Debug)]
pub(crate) struct Export {
    dataset: Arc<Dataset>,
    /// `None` if the nested rows are wanted.
    table: Option<Arc<Table>>,
    columns: Vec<Column>,
    /// The columns of the exported rows.
    pub schema: SchemaRef,
    condition: Condition,
    /// The parts of the dataset's columns that are read.
    needed: SchemaRef,
    /// The columns that files of the dataset have now. It tells files that an upgrade has rewritten
    /// and is about to record.
    fingerprint: Columns,
    request: (Option<i64>, Option<i64>),
    output: PathBuf,
}

/// A committed day, and the part of its interval that is left to export.
struct Part {
    day: CommittedDay,
    shard: ShardRecord,
    interval: Interval,
}

/// Why the rows of a day were not exported.
enum PartError {
    Read(ReadError),
    Write(std::io::Error),
    Cancelled,
}

impl From<ReadError> for PartError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl Export {
    /// Finds the dataset and the columns that are wanted.
    ///
    /// # Errors
    /// If the dataset or a column does not exist, or if the condition is not valid.
    pub(crate) fn prepare(scope: &BackfillScope, request: &ExportRequest) -> Result<Self, Error> {
        let dataset = dataset(scope, request.dataset.as_deref())?;
        let table = request.table.as_deref().map(|name| wanted_table::find(&dataset, name));
        let table = table.transpose()?;
        let schema = table.as_ref().map_or(&dataset.schema, |table| &table.schema);
        let mut columns = Vec::new();
        for list in &request.columns {
            let paths = ColumnPath::read_list(list);
            for path in paths.map_err(|error| ConfigError::at("--columns", error))? {
                let column = Column::find(&path, schema);
                columns.push(column.map_err(|error| ConfigError::at("--columns", error))?);
            }
        }
        if request.columns.is_empty() {
            columns = schema.fields().iter().map(|field| Column::whole(field)).collect();
        }
        let condition = request.condition.as_deref().map(|text| Condition::read(text, schema));
        let condition = condition.transpose().map_err(|error| ConfigError::at("--where", error))?;
        let condition = condition.unwrap_or_default();
        let time = [Step::Field(dataset.time.clone())];
        let paths = columns.iter().chain(condition.columns()).map(|column| &column.steps[..]);
        let needed = needed(schema.fields(), paths.chain([&time[..]]));
        Ok(Self {
            schema: schema_of(&columns),
            needed: Arc::new(Schema::new(needed)),
            fingerprint: scope.format.layout.columns(&dataset),
            columns,
            condition,
            request: (request.from_ms, request.to_ms),
            output: scope.output.clone(),
            table,
            dataset,
        })
    }

    /// Writes the rows. It ends early, between two batches, once `cancelled` is.
    ///
    /// # Errors
    /// If the ledger or a file cannot be read, or if the rows cannot be written to `target`, which
    /// is its name for messages.
    pub(crate) async fn execute(
        self: Arc<Self>,
        mut writer: RowWriter,
        target: &str,
        cancelled: &CancellationToken,
    ) -> Result<Option<Exported>, Error> {
        let path = self.output.join(LEDGER);
        // read before the output is opened, because that would create a missing folder
        let mut snapshot = self.read_ledger(&path)?;
        let output = OutputStore::directory(&self.output)?;
        let mut exported =
            Exported { uncommitted: self.uncommitted(self.records(&snapshot)), rows: 0 };
        let (mut from_ms, mut attempts) = (self.request.0.unwrap_or(i64::MIN), 0);
        while let Some(part) = self.next_part(&snapshot, from_ms) {
            let open = match self.open(&output, &part, &snapshot).await {
                Ok(open) => open,
                Err(_) if attempts < ATTEMPTS => {
                    // a run may have replaced the files since the ledger was read
                    tokio::time::sleep(PAUSE).await;
                    attempts += 1;
                    snapshot = self.read_ledger(&path)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (export, interval, token) = (Arc::clone(&self), part.interval, cancelled.clone());
            let written = offload_wait(move || export.write(open, interval, writer, &token)).await;
            let rows;
            (writer, rows) = match written {
                Ok(written) => written,
                Err(PartError::Cancelled) => return Ok(None),
                Err(PartError::Write(source)) => {
                    return Err(Error::Export { target: target.to_owned(), source });
                }
                Err(PartError::Read(error)) => {
                    return Err(not_as_recorded(&part.day, error.to_string()));
                }
            };
            exported.rows += rows;
            (from_ms, attempts) = (part.interval.to_ms(), 0);
        }
        let finished = offload_wait(move || writer.finish()).await;
        finished.map_err(|source| Error::Export { target: target.to_owned(), source })?;
        Ok(Some(exported))
    }

    /// Reads what is committed. Refuses an output in which files of the table are missing: an
    /// upgrade may have changed the layout since the ledger was read last.
    fn read_ledger(&self, path: &Path) -> Result<Snapshot, Error> {
        let snapshot = Snapshot::read(path)?;
        if let Some(table) = &self.table {
            wanted_table::refuse_missing(&self.dataset, table, &snapshot)?;
        }
        Ok(snapshot)
    }

    fn records<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s DatasetRecords> {
        snapshot.datasets.get(&self.dataset.name)
    }

    /// The parts of the interval that are not committed.
    fn uncommitted(&self, records: Option<&DatasetRecords>) -> Vec<Interval> {
        let shards = records.map_or(&[][..], |records| &records.shards);
        let committed: Vec<_> = shards.iter().map(|shard| shard.interval).collect();
        let from = self.request.0.or(committed.first().map(|first| first.from_ms()));
        let to = self.request.1.or(committed.last().map(|last| last.to_ms()));
        let interval = from.zip(to).and_then(|(from, to)| Interval::new(from, to));
        interval.map_or(Vec::new(), |interval| interval.subtract(&committed))
    }

    /// The first committed day that has rows from `from_ms` on.
    fn next_part(&self, snapshot: &Snapshot, from_ms: i64) -> Option<Part> {
        let left = Interval::new(from_ms, self.request.1.unwrap_or(i64::MAX))?;
        let shards = &self.records(snapshot)?.shards;
        let first = shards.partition_point(|shard| shard.interval.to_ms() <= from_ms);
        for shard in shards[first..].iter().take_while(|shard| shard.interval.overlaps(left)) {
            for day in self.days(shard) {
                // the files of a day hold those of its rows that are of the shard
                let owned = parse_date(&day.date).and_then(|it| it.intersect(shard.interval));
                if let Some(interval) = owned.and_then(|owned| owned.intersect(left)) {
                    return Some(Part { day, shard: shard.clone(), interval });
                }
            }
        }
        None
    }

    /// The days of a shard, with the files that are exported.
    fn days(&self, shard: &ShardRecord) -> Vec<CommittedDay> {
        let Some(table) = &self.table else { return CommittedDay::of(&shard.files) };
        let is_of_table = |file: &&FileRecord| file.kind() == FileKind::Table(&table.name);
        CommittedDay::of(&shard.files.iter().filter(is_of_table).cloned().collect::<Vec<_>>())
    }

    /// Opens the files of a day and checks that they are the recorded ones, or those that a refresh
    /// or an upgrade is about to record in their place.
    async fn open(
        &self,
        output: &OutputStore,
        part: &Part,
        snapshot: &Snapshot,
    ) -> Result<OpenRows, Error> {
        let Part { day, shard, .. } = part;
        let open = OpenRows::open(output, day).await?;
        let mut commits = BTreeSet::new();
        for (file, footer) in open.footers() {
            let not_as_recorded = |reason: &str| Error::NotAsRecorded {
                path: file.path.clone(),
                reason: reason.to_owned(),
            };
            let Some(FileFooter { interval, commit, rows, .. }) = footer else {
                return Err(not_as_recorded("it is not a complete file of this program"));
            };
            let is_recorded = match &commit {
                Some(commit) if !shard.commit_id.is_empty() => {
                    let upgraded = upgraded_commit_id(&shard.commit_id, &self.fingerprint);
                    commit.id == shard.commit_id
                        || commit.id == upgraded
                        || snapshot.intents.get(&file.path) == Some(&commit.id)
                }
                _ => interval == shard.interval && rows == file.rows,
            };
            if !is_recorded {
                return Err(not_as_recorded("it belongs to another commit"));
            }
            let commit_id = commit.map(|commit| commit.id).unwrap_or_default();
            commits.insert(original_commit_id(&commit_id).to_owned());
            if commits.len() > 1 {
                return Err(not_as_recorded(
                    "it belongs to another commit than other tables of that day, since a command \
                     was interrupted: repeat that",
                ));
            }
        }
        Ok(open)
    }

    /// Writes the rows of a day, and returns their number.
    fn write(
        &self,
        open: OpenRows,
        interval: Interval,
        writer: RowWriter,
        cancelled: &CancellationToken,
    ) -> Result<(RowWriter, u64), PartError> {
        let wanted = RowsWanted {
            interval,
            condition: &self.condition,
            schema: &self.needed,
            dataset: &self.dataset,
            is_table: self.table.is_some(),
        };
        let (mut writer, mut written) = (Some(writer), 0);
        for_each_batch_in_order(open, &wanted, |rows| {
            if cancelled.is_cancelled() {
                return Err(PartError::Cancelled);
            }
            let rows = columns_of(&rows, &self.columns, &self.schema).map_err(ReadError::from)?;
            written += rows.num_rows() as u64;
            if let Some(open) = writer.take() {
                writer = Some(open.write(&rows).map_err(PartError::Write)?);
            }
            Ok(())
        })?;
        match writer {
            Some(writer) => Ok((writer, written)),
            None => Err(PartError::Cancelled),
        }
    }
}

/// The error of files of a day that are not the recorded ones. It names the first.
fn not_as_recorded(day: &CommittedDay, reason: String) -> Error {
    let path = day.files.first().map_or(String::new(), |file| file.path.clone());
    Error::NotAsRecorded { path, reason }
}

/// The dataset of this name, or the only one of the job.
pub(super) fn dataset(
    scope: &BackfillScope,
    name: Option<&str>,
) -> Result<Arc<Dataset>, ConfigError> {
    let names = |datasets: &mut dyn Iterator<Item = &str>| datasets.collect::<Vec<_>>().join(", ");
    match (name, scope.datasets.as_slice()) {
        (None, [only]) => Ok(Arc::clone(only)),
        (None, several) => {
            let known = names(&mut several.iter().map(|dataset| dataset.name.as_str()));
            let message = format!("the job has several datasets: name one of {known}");
            Err(ConfigError::at("--dataset", message))
        }
        (Some(name), _) => scope.catalog.datasets.get(name).cloned().ok_or_else(|| {
            let known = names(&mut scope.catalog.datasets.keys().map(String::as_str));
            let message = format!("there is no dataset `{name}`: the catalog has {known}");
            ConfigError::at("--dataset", message)
        }),
    }
}
