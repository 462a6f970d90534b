//! Copies committed rows of a shard into the files that replace it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    sync::Arc,
};

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    error::ArrowError,
};

use crate::{
    catalog::Dataset,
    decode::CommittedRows,
    ledger::{FileKind, FileRecord, ShardFiles},
    planning::Shard,
    sink::{
        CommittedDay, DayError, OpenDay, ParentRows, ShardWriter, SinkError, commit::Destination,
        committed_day::DayRewriteError, quarantine::given_column, read,
    },
    system::blocking::offload,
};

/// The committed rows of a shard that were written once more.
#[derive(Debug, Default)]
pub(crate) struct CarriedRows {
    /// The number of rows, with those that were left out because their ids were forgotten.
    pub rows: u64,
    /// The ids of those that are open.
    pub open_ids: Vec<String>,
}

/// Writes committed rows to the writer of a shard.
struct CarryWriter {
    dataset: Arc<Dataset>,
    /// Which rows are written. `None` if all are.
    rows_of: Option<ParentRows>,
    writer: ShardWriter,
    carried: CarriedRows,
    /// Rows that were read, written or not.
    read: u64,
}

impl Destination {
    /// Writes the committed rows of `shard` to `writer`. `None` if they cannot be read as they were
    /// committed: then they have to be fetched.
    pub(super) async fn carry_over(
        &self,
        writer: ShardWriter,
        shard: &Shard,
        rows_of: Option<ParentRows>,
    ) -> Result<Option<(ShardWriter, CarriedRows)>, SinkError> {
        let (ledger, name) = (self.ledger.clone(), shard.dataset.name.clone());
        let interval = shard.interval;
        let recorded = offload(move || ledger.shard_files(&name, interval)).await?;
        let Some(ShardFiles { files, rows, forgotten }) = recorded else { return Ok(None) };
        let dataset = Arc::clone(&shard.dataset);
        let mut carry =
            CarryWriter { dataset, rows_of, writer, carried: CarriedRows::default(), read: 0 };
        let (quarantined, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(file, _)| file.kind() == FileKind::Quarantine);
        for (FileRecord { path, .. }, from_ms) in quarantined {
            let added = match read::open(&self.output, &path).await {
                Ok(file) => {
                    offload(move || carry.add_quarantined(file, from_ms).map(|()| carry)).await
                }
                Err(source) => Err(DayError::Open { path: path.clone(), source }.into()),
            };
            match added {
                Ok(added) => carry = added,
                Err(error) => {
                    tracing::warn!(path, %error, "a committed file cannot be read");
                    return Ok(None);
                }
            }
        }
        let files: Vec<_> = files.into_iter().map(|(file, _)| file).collect();
        for day in CommittedDay::of(&files) {
            let added = match day.open(&self.output).await {
                Ok(open) => offload(move || carry.add(open).map(|()| carry)).await,
                Err(error) => Err(error.into()),
            };
            match added {
                Ok(added) => carry = added,
                Err(error) => {
                    tracing::warn!(day.date, %error, "the committed rows of a day cannot be read");
                    return Ok(None);
                }
            }
        }
        if carry.read != rows {
            let found = carry.read;
            tracing::warn!(rows, found, "committed files have other rows than recorded");
            return Ok(None);
        }
        if carry.rows_of.is_none() {
            carry.writer.carry_forgotten(forgotten);
            carry.carried.rows += forgotten;
        }
        Ok(Some((carry.writer, carry.carried)))
    }
}

impl CarryWriter {
    /// Writes the rows of a committed day.
    fn add(&mut self, day: OpenDay) -> Result<(), DayRewriteError> {
        let dataset = Arc::clone(&self.dataset);
        day.for_each_batch(&dataset, |batch| {
            self.read += batch.num_rows() as u64;
            let batch = match &self.rows_of {
                Some(rows_of) => filter_record_batch(&batch, &is_of(&batch, rows_of)?)?,
                None => batch,
            };
            let CommittedRows { page, open_ids } = CommittedRows::new(&dataset, &batch)?;
            self.carried.rows += page.received;
            self.carried.open_ids.extend(open_ids);
            Ok(self.writer.write(&page)?)
        })
    }

    /// Writes the rows of a quarantine file, whose record begins at `from_ms`. A row that does not
    /// tell its parent is written, too: it may be of any of them.
    fn add_quarantined(&mut self, file: File, from_ms: i64) -> Result<(), DayRewriteError> {
        let (rows_of, read) = (&self.rows_of, &mut self.read);
        let is_written = |line: &io::Result<Vec<u8>>| {
            *read += 1;
            let (Some(parents), Ok(line)) = (rows_of, line) else { return true };
            given_column(line, &parents.column).is_none_or(|id| parents.ids.contains(&id))
        };
        let lines = BufReader::new(file).split(b'\n').filter(is_written);
        self.carried.rows += self.writer.carry_quarantined(from_ms, lines)?;
        Ok(())
    }
}

/// Which rows of a batch belong to these parents.
fn is_of(batch: &RecordBatch, parents: &ParentRows) -> Result<BooleanArray, ArrowError> {
    let column = batch.column(batch.schema_ref().index_of(&parents.column)?);
    let Some(ids) = column.as_string_opt::<i32>() else {
        let reason = format!("the column {} does not hold texts", parents.column);
        return Err(ArrowError::SchemaError(reason));
    };
    let is_of = |id: Option<&str>| id.is_some_and(|id| parents.ids.iter().any(|of| of == id));
    Ok(ids.iter().map(|id| Some(is_of(id))).collect())
}

#[cfg(test)]
mod tests;
