//! Rows of a dataset to those of its flat tables, and back.
//!
//! [`table_rows`] makes the rows of one table from a batch of nested rows. It works on whole
//! columns: `elements` finds the list elements that become rows, `values` visits the values at a
//! path, and `computed` makes the columns that a catalog computes. [`NestedRows`] makes the nested
//! rows again from tables. Which tables a dataset has is decided in `crate::catalog::tables`.

mod assembly;
mod computed;
mod elements;
mod key_text;
mod nested_rows;
mod values;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StructArray},
    error::ArrowError,
};

pub use self::nested_rows::{Batches, NestedRows};
pub(crate) use self::values::Values;
use crate::{
    catalog::{Source, Table},
    tables::{elements::Elements, values::member},
};

/// Returns the rows of a table that a batch of nested rows has.
///
/// # Errors
/// If the batch has other columns.
pub fn table_rows(table: &Table, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let elements = Elements::of(rows, &table.rows)?;
    let columns = table.columns.iter().map(|source| column(source, &elements));
    RecordBatch::try_new(Arc::clone(&table.schema), columns.collect::<Result<_, _>>()?)
}

fn column(source: &Source, elements: &Elements) -> Result<ArrayRef, ArrowError> {
    match source {
        Source::Value { place, .. } => {
            let level = elements.level(place.level)?;
            level.repeat(&member(level.array(), &place.value)?)
        }
        Source::KeyText(place) => {
            let level = elements.level(place.level)?;
            level.repeat(&key_text::of(&member(level.array(), &place.value)?)?)
        }
        Source::Number(number) => {
            Ok(Arc::new(Int64Array::from(elements.level(*number)?.numbers())))
        }
        Source::Computed(computation) => computed::column(computation, elements),
    }
}

/// The rows as one array, whose fields are the columns.
fn as_array(rows: &RecordBatch) -> ArrayRef {
    Arc::new(StructArray::from(rows.clone()))
}

/// The error of a batch that lacks what a table needs.
fn other_columns() -> ArrowError {
    ArrowError::SchemaError("the rows have other columns than their dataset".to_owned())
}

#[cfg(test)]
mod tests;
