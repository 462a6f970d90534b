//! The flat tables of a dataset: which there are, and where each of their columns comes from.
//!
//! A table has a row for each row of the dataset, or for each element of one of its lists. Together
//! the tables of a dataset hold every value of its rows: a list of records or a map is a table of
//! its own, or stays a nested column of the table that it belongs to. A catalog describes a table
//! by a [`definition`]. When the catalog is read, `compile` finds its paths among the columns of
//! the dataset, and the result is a [`Table`]. The folder `src/tables` makes the rows.

mod compile;
pub(crate) mod definition;
mod entry;
pub(crate) mod lookup;

use std::sync::Arc;

use arrow::datatypes::{Fields, Schema, SchemaRef};

pub(super) use self::entry::TableEntry;
pub(crate) use self::{
    compile::{RowKey, compile},
    definition::{Computation, Definition, Unit},
    lookup::{ListStep, Lookup, Member, shared_lists},
};

/// A flat table of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name, which is unique in the dataset: lowercase letters, digits and `_`.
    pub name: String,
    /// The lists that lead from a row of the dataset to its own rows, without filters. Empty if it
    /// has a row for each row of the dataset.
    pub rows: Vec<ListStep>,
    /// How many of its columns, the first ones, identify the row of the dataset that it belongs to.
    /// A column for each of its lists follows, with the position.
    pub key_columns: usize,
    /// The columns in the order of the files.
    pub schema: SchemaRef,
    /// Where each column of the schema comes from.
    pub columns: Vec<Source>,
    /// What it was made from.
    pub(crate) definition: Definition,
}

/// Where the values of a column of a table come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A value of the row, or of an element that contains it, that is in no further list.
    Value {
        /// Where it stands.
        place: Lookup,
        /// Whether it is a value of the row itself, so that no other table has it.
        is_own: bool,
    },
    /// A map that is a part of the id, as a JSON object with sorted keys.
    KeyText(Lookup),
    /// The position, from 1, that the row, or the element that contains it, has in the table's list
    /// with this number, from 1.
    Number(usize),
    /// A value that is computed from others.
    Computed(Computation<Lookup>),
}

impl Table {
    /// Whether it has a row for each row of the dataset.
    pub fn is_root(&self) -> bool {
        self.rows.is_empty()
    }

    /// The columns of an older file that may have another name now, each with that name. Once an
    /// inherited column is called `userId`, a value of that name of the rows of `sessions` is
    /// `session_userId`. A file with `userId` alone does not tell which of the two it has.
    pub(crate) fn renamed(&self, old: &Schema) -> Vec<(String, &str)> {
        let has = |name: &str| old.column_with_name(name).is_some();
        let mut renamed = Vec::new();
        for (field, source) in self.schema.fields().iter().zip(&self.columns) {
            if let Source::Value { place, is_own: true } = source
                && !has(field.name())
                && has(&place.value_name())
            {
                renamed.push((place.value_name(), field.name().as_str()));
            }
        }
        renamed
    }
}

/// The tables of a dataset whose other columns than `fields` are not fetched. Paths to columns that
/// are not fetched are left out.
pub(super) fn without_missing(
    tables: &[Arc<Table>],
    fields: &Fields,
    key: &RowKey,
) -> Vec<Arc<Table>> {
    let remaining = tables.iter().filter_map(|table| table.definition.without_missing(fields));
    let tables = compile(&remaining.collect::<Vec<_>>(), fields, key);
    tables.expect("a part of what was checked is valid")
}

#[cfg(test)]
mod tests;
