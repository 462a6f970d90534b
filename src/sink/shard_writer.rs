//! The rows of one shard on their way to files: one file a UTC day, the newest copy of a row (G4).

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    sync::Arc,
};

use arrow::{
    array::BooleanArray, compute::filter_record_batch, datatypes::SchemaRef,
    record_batch::RecordBatch,
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
    file::metadata::KeyValue,
};
use tempfile::SpooledTempFile;

use crate::{
    decode::{Page, RowKey, UndecodableRow},
    ledger::Counts,
    planning::Shard,
    sink::{settings::ParquetSettings, store::OutputStore},
    time::interval::{Interval, iso},
};

/// The open files of one shard.
pub struct ShardWriter {
    shard: Shard,
    output: OutputStore,
    format: Arc<ParquetSettings>,
    days: BTreeMap<i64, DayFile>,
    /// The newest copy of each row by the hash of its id. It lives as long as the shard, so no
    /// result depends on what other shards saw, or when.
    newest: HashMap<u128, RowCopy>,
    bad: Option<SpooledTempFile>,
    counts: Counts,
    /// The newest time written, and the rows at it: a cut at that time leaves them to the rest.
    last: (i64, Vec<(i64, u64)>),
}

/// A copy of a row that was written.
struct RowCopy {
    digest: u64,
    version: i64,
    day: i64,
    row: u64,
}

/// Which row of a page is the newest copy of each id: of equally new ones, the last.
fn newest_of(keys: &[RowKey]) -> HashMap<u128, usize> {
    let mut newest = HashMap::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        let at = newest.entry(key.id).or_insert(index);
        if key.version >= keys[*at].version {
            *at = index;
        }
    }
    newest
}

/// One file being written.
struct DayFile {
    writer: ArrowWriter<SpooledTempFile>,
    rows: u64,
    /// Rows that a newer copy has replaced: they are left out when the file is finished.
    replaced: Vec<u64>,
}

/// A whole file that has no name yet.
pub struct FinishedFile {
    /// Its path below the output.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its content.
    pub content: SpooledTempFile,
}

/// Why rows did not become a file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Parquet failed, or the disk below it.
    #[error("a file cannot be written: {0}; is the output's disk full?")]
    Parquet(#[from] ParquetError),
    /// Arrow failed.
    #[error("a batch cannot be filtered: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The disk failed.
    #[error("a spool file cannot be written: {0}; is the output's disk full?")]
    Io(#[from] io::Error),
}

impl ShardWriter {
    /// A part without rows.
    pub fn new(shard: Shard, output: OutputStore, format: Arc<ParquetSettings>) -> Self {
        let (days, newest) = (BTreeMap::new(), HashMap::new());
        Self {
            shard,
            output,
            format,
            days,
            newest,
            bad: None,
            counts: Counts::default(),
            last: (i64::MIN, Vec::new()),
        }
    }

    /// What became of the rows so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes in the rows of a page.
    ///
    /// # Errors
    /// [`WriteError`]: the part is of no use any more.
    pub fn write(&mut self, page: &Page) -> Result<(), WriteError> {
        self.counts.received += page.received;
        self.counts.not_owned += page.not_owned;
        self.counts.quarantined += page.bad.len() as u64;
        page.bad.iter().try_for_each(|row| self.set_aside(row))?;
        let mut from = 0;
        // rows come in order of time, so a page is one run of a day, seldom two
        for run in
            page.keys.chunk_by(|a, b| Interval::day_of(a.time_ms) == Interval::day_of(b.time_ms))
        {
            self.write_day(run, &page.batch.slice(from, run.len()))?;
            from += run.len();
        }
        Ok(())
    }

    /// Takes in rows of one day.
    fn write_day(&mut self, keys: &[RowKey], batch: &RecordBatch) -> Result<(), WriteError> {
        let Some(first) = keys.first() else { return Ok(()) };
        let day = Interval::day_of(first.time_ms).from_ms();
        let mut row = self.days.get(&day).map_or(0, |file| file.rows);
        let mut kept = Vec::with_capacity(keys.len());
        let newest = newest_of(keys);
        for (index, key) in keys.iter().enumerate() {
            // a page may hold an id twice: only its newest copy there is written
            let older = |copy: &RowCopy| copy.digest == key.digest || copy.version > key.version;
            let keep = newest[&key.id] == index && !self.newest.get(&key.id).is_some_and(older);
            let copy = RowCopy { digest: key.digest, version: key.version, day, row };
            if keep && let Some(old) = self.newest.insert(key.id, copy) {
                self.days
                    .get_mut(&old.day)
                    .into_iter()
                    .for_each(|file| file.replaced.push(old.row));
                self.last.1.retain(|&at| at != (old.day, old.row));
                self.counts.duplicate += 1;
                self.counts.written -= 1;
            }
            if keep {
                self.reach(key.time_ms, day, row);
                row += 1;
            }
            kept.push(keep);
        }
        let keeping = kept.iter().filter(|&&keep| keep).count();
        self.counts.duplicate += (keys.len() - keeping) as u64;
        self.counts.written += keeping as u64;
        match keeping {
            0 => Ok(()),
            all if all == keys.len() => self.append(day, batch),
            _ => self.append(day, &filter_record_batch(batch, &BooleanArray::from(kept))?),
        }
    }

    fn reach(&mut self, time_ms: i64, day: i64, row: u64) {
        if time_ms > self.last.0 {
            self.last = (time_ms, Vec::new());
        }
        if time_ms == self.last.0 {
            self.last.1.push((day, row));
        }
    }

    /// Leaves out the rows that `interval` does not own (G4): those at its end, where the part was
    /// cut at the time that its rows have reached.
    fn narrow(&mut self, interval: Interval) {
        if self.last.0 >= interval.to_ms() {
            for (day, row) in std::mem::take(&mut self.last.1) {
                self.days.get_mut(&day).into_iter().for_each(|file| file.replaced.push(row));
                self.counts.written -= 1;
                self.counts.not_owned += 1;
            }
        }
        self.shard.interval = interval;
    }

    fn append(&mut self, day: i64, batch: &RecordBatch) -> Result<(), WriteError> {
        let file = match self.days.entry(day) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let writer = parquet_writer(&self.format, &self.shard, self.output.spool())?;
                entry.insert(DayFile { writer, rows: 0, replaced: Vec::new() })
            }
        };
        file.writer.write(batch)?;
        file.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Keeps a row that cannot be decoded as a line of JSON.
    fn set_aside(&mut self, row: &UndecodableRow) -> Result<(), WriteError> {
        let bad = self.bad.get_or_insert_with(|| self.output.spool());
        let line = serde_json::json!({ "reason": row.reason, "row": row.raw });
        Ok(writeln!(bad, "{line}")?)
    }

    /// Ends the part at the end of `interval`: its files, whole, and what became of its rows.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(mut self, interval: Interval) -> Result<(Vec<FinishedFile>, Counts), WriteError> {
        self.narrow(interval);
        let Self { shard, output, format, days, bad, counts, .. } = self;
        let (name, slug) = (&shard.dataset.name, shard.interval.slug());
        let mut files = Vec::new();
        for (day, file) in days {
            let rows = file.rows - file.replaced.len() as u64;
            let content =
                file.finish(shard.interval, || parquet_writer(&format, &shard, output.spool()))?;
            if rows > 0 {
                files.push(FinishedFile {
                    path: format!("{name}/date={}/{slug}.parquet", &iso(day)[..10]),
                    rows,
                    content,
                });
            }
        }
        if let Some(content) = bad {
            let path = format!("{QUARANTINE}/{name}/{slug}.ndjson");
            files.push(FinishedFile { path, rows: counts.quarantined, content });
        }
        Ok((files, counts))
    }
}

/// The folder of rows that could not be decoded.
pub(crate) const QUARANTINE: &str = "_quarantine";

impl DayFile {
    /// The whole file, written once more where rows of it were replaced.
    fn finish(
        self,
        interval: Interval,
        fresh: impl FnOnce() -> Result<ArrowWriter<SpooledTempFile>, WriteError>,
    ) -> Result<SpooledTempFile, WriteError> {
        let mut written = self.writer;
        // not known before: an open shard may be cut
        let interval = KeyValue::new("cxbackfill.interval".to_owned(), interval.to_string());
        written.append_key_value_metadata(interval.clone());
        let content = written.into_inner()?;
        if self.replaced.is_empty() {
            return Ok(content);
        }
        let mut replaced = self.replaced;
        replaced.sort_unstable();
        let mut writer = fresh()?;
        let mut row = 0;
        for batch in ParquetRecordBatchReaderBuilder::try_new(content.into_file()?)?.build()? {
            let batch = batch?;
            let rows = row..row + batch.num_rows() as u64;
            row = rows.end;
            let kept: BooleanArray =
                rows.map(|row| Some(replaced.binary_search(&row).is_err())).collect();
            writer.write(&filter_record_batch(&batch, &kept)?)?;
        }
        writer.append_key_value_metadata(interval);
        Ok(writer.into_inner()?)
    }
}

/// A Parquet writer whose footer says what the file is.
fn parquet_writer(
    format: &ParquetSettings,
    shard: &Shard,
    spool: SpooledTempFile,
) -> Result<ArrowWriter<SpooledTempFile>, WriteError> {
    let entry = |key: &str, value: String| KeyValue::new(format!("cxbackfill.{key}"), value);
    let properties = format.properties(vec![
        entry("dataset", shard.dataset.name.clone()),
        entry("schema_version", shard.dataset.version.to_string()),
        entry("version", env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    let schema: SchemaRef = Arc::clone(&shard.dataset.schema);
    Ok(ArrowWriter::try_new(spool, schema, Some(properties))?)
}
