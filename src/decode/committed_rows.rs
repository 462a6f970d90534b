//! Rows of a committed file as a page, so that they can be written again with newer copies of some.

use std::sync::Arc;

use arrow::{
    array::{Array, RecordBatch},
    error::ArrowError,
};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    catalog::Dataset,
    decode::{Page, RowKey, RowKeyColumns, millisecond, times},
};

/// Rows of a committed file, and the ids of those that are open.
pub(crate) struct CommittedRows {
    pub page: Page,
    /// Empty if the dataset has no column that tells.
    pub open_ids: Vec<String>,
}

impl CommittedRows {
    /// Takes a batch of a file of `dataset`.
    ///
    /// # Errors
    /// If the batch lacks a column of the dataset.
    pub(crate) fn new(dataset: &Dataset, batch: &RecordBatch) -> Result<Self, ArrowError> {
        let schema = Arc::clone(&dataset.schema);
        let batch = RecordBatch::try_new(schema, batch.columns().to_vec())?;
        let column = |name: &String| batch.schema_ref().index_of(name);
        let id = dataset.id.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let row_times = times(&batch, column(&dataset.time)?);
        let newest = dataset.newest.as_ref().map(column).transpose()?;
        let newest = newest.map(|newest| times(&batch, newest));
        let open = dataset.open.as_ref().map(column).transpose()?;
        let open = open.map(|open| batch.column(open));
        let ids = RowKeyColumns::new(&batch, &id)?;
        let (mut keys, mut open_ids) = (Vec::with_capacity(batch.num_rows()), Vec::new());
        for row in 0..batch.num_rows() {
            let text = ids.text(row);
            keys.push(RowKey {
                id: xxh3_128(text.as_bytes()),
                version: newest
                    .filter(|newest| newest.is_valid(row))
                    .map_or(i64::MIN, |newest| newest.value(row)),
                time_ms: millisecond(row_times.value(row)),
                // the text that was received is not known, so any copy counts as another one
                digest: 0,
            });
            if open.is_some_and(|open| open.is_null(row)) {
                open_ids.push(text.into_owned());
            }
        }
        drop(ids);
        Ok(Self { page: Page::of_rows(batch, keys), open_ids })
    }
}
