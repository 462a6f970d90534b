//! Reads the nested rows of one UTC day of a committed shard from its files.

use std::{collections::BTreeMap, fs::File, sync::Arc};

use arrow::{datatypes::SchemaRef, error::ArrowError, record_batch::RecordBatch};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, errors::ParquetError};

use crate::{
    catalog::Dataset,
    ledger::{FileKind, FileRecord, original_commit_id},
    sink::{OutputStore, column_upgrade::with_columns, read, write_error::WriteError},
    tables::{Batches, NestedRows},
};

/// The files that hold the rows of a UTC day of a committed shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommittedDay {
    /// The date of the day, such as `2024-01-01`.
    pub date: String,
    /// The file of nested rows or, if there is none, those of all tables.
    pub files: Vec<FileRecord>,
}

/// The files of a day that are opened, in the order of their records.
pub(crate) struct OpenDay {
    files: Vec<(FileRecord, File)>,
}

/// Why the rows of a day cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DayError {
    /// A file is missing, or cannot be opened.
    #[error("{path}: {source}")]
    Open { path: String, source: object_store::Error },
    /// A file is damaged.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// Tables of a day do not belong together.
    #[error(
        "{path} is of another commit than other tables of that day, since a command was \
        interrupted: repeat it"
    )]
    OtherCommit { path: String },
    /// Rows have other columns than their dataset.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Why the rows of a day were not written once more.
#[derive(Debug, thiserror::Error)]
pub(super) enum DayRewriteError {
    /// The rows cannot be read.
    #[error(transparent)]
    Day(#[from] DayError),
    /// The rows lack a column.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// The new files cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl CommittedDay {
    /// The days of shards with these files, in order.
    pub(crate) fn of(files: &[FileRecord]) -> Vec<Self> {
        let mut days = BTreeMap::<_, Vec<&FileRecord>>::new();
        for file in files {
            if let Some(date) = file.date() {
                // files of several shards may hold rows of the same day
                let name = file.path.rsplit('/').next();
                days.entry((date, name)).or_default().push(file);
            }
        }
        let day = |((date, _), mut files): ((&str, _), Vec<&FileRecord>)| {
            if files.iter().any(|file| file.kind() == FileKind::Nested) {
                files.retain(|file| file.kind() == FileKind::Nested);
            }
            Self { date: date.to_owned(), files: files.into_iter().cloned().collect() }
        };
        days.into_iter().map(day).collect()
    }

    /// Opens the files.
    ///
    /// # Errors
    /// With the first file that is missing or cannot be read.
    pub(crate) async fn open(&self, output: &OutputStore) -> Result<OpenDay, DayError> {
        let mut files = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let content = read::open(output, &file.path).await;
            let error = |source| DayError::Open { path: file.path.clone(), source };
            files.push((file.clone(), content.map_err(error)?));
        }
        Ok(OpenDay { files })
    }
}

impl OpenDay {
    /// Calls `each` with the rows in their order, batch by batch, with the columns that `dataset`
    /// has now.
    ///
    /// # Errors
    /// Those of `each`, or if the rows cannot be read.
    pub(crate) fn for_each_batch<E: From<DayError>>(
        self,
        dataset: &Arc<Dataset>,
        mut each: impl FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        for batch in self.batches(dataset)? {
            each(batch.map_err(DayError::from)?)?;
        }
        Ok(())
    }

    fn batches(self, dataset: &Arc<Dataset>) -> Result<Batches, DayError> {
        let (mut nested, mut tables) = (None, Vec::new());
        let mut commit = None;
        for (file, content) in self.files {
            let of = read::footer(&content).and_then(|footer| footer.commit);
            let of = of.map(|of| original_commit_id(&of.id).to_owned());
            if *commit.get_or_insert_with(|| of.clone()) != of {
                return Err(DayError::OtherCommit { path: file.path });
            }
            if let FileKind::Table(name) = file.kind() {
                let unknown = || {
                    let reason = format!("the catalog has no table `{name}` of {}", dataset.name);
                    ArrowError::SchemaError(reason)
                };
                let table = dataset.table(name).ok_or_else(unknown)?;
                tables.push((Arc::clone(table), batches(content, &table.schema)?));
            } else {
                nested = Some(batches(content, &dataset.schema)?);
            }
        }
        match nested {
            Some(nested) => Ok(nested),
            None => Ok(Box::new(NestedRows::new(dataset, tables)?)),
        }
    }
}

/// The rows of a file with these columns.
fn batches(content: File, schema: &SchemaRef) -> Result<Batches, DayError> {
    let schema = Arc::clone(schema);
    let rows = ParquetRecordBatchReaderBuilder::try_new(content)?.build()?;
    Ok(Box::new(rows.map(move |batch| with_columns(&batch?, &schema))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::interval::Interval;

    #[test]
    fn a_day_of_a_shard_is_read_from_its_nested_rows_or_from_its_tables() {
        let [morning, evening] = [(0, 1_000), (1_000, 2_000)]
            .map(|(from_ms, to_ms)| Interval::new(from_ms, to_ms).unwrap());
        let file = |kind: FileKind, shard| FileRecord {
            path: kind.path("calls", "1970-01-01", shard),
            rows: 1,
            bytes: 1,
            sha256: String::new(),
        };
        let tables = |shard| {
            [FileKind::Table("calls"), FileKind::Table("legs")].map(|kind| file(kind, shard))
        };
        let files = [
            &tables(morning)[..],
            &[file(FileKind::Quarantine, morning), file(FileKind::Nested, morning)],
            &tables(evening),
        ];
        let days = CommittedDay::of(&files.concat());
        let day = |files: &[FileRecord]| CommittedDay {
            date: "1970-01-01".into(),
            files: files.to_vec(),
        };
        assert_eq!(days, [day(&[file(FileKind::Nested, morning)]), day(&tables(evening))]);
    }
}
