//! The flat tables of a dataset: which there are, and where each of their columns comes from.
//!
//! A table has a row for each row of the dataset, or for each element of one of its lists. Together
//! the tables of a dataset hold every value of its rows: each list of records or map is a table of
//! its own, or stays a nested column of the table that it belongs to. A [`Table`] follows from its
//! [`definition`] and the columns of the dataset; everything is resolved when a catalog is read.
//! The folder `src/tables` turns rows into those of tables.

mod compile;
pub(crate) mod definition;
mod entry;
pub(crate) mod lookup;

use std::sync::Arc;

use arrow::datatypes::{Fields, SchemaRef};

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
    /// The value of the row, or of an element that contains it, which leads through no more lists.
    Value {
        /// Where it stands.
        place: Lookup,
        /// Whether it is of the table's own level, and in no other table.
        is_own: bool,
    },
    /// A map that is a part of the id, as a JSON object with sorted keys.
    KeyText(Lookup),
    /// The position, from 1, of the row or of what contains it: that of the element of the list
    /// with this number (from 1) of the table's lists.
    Number(usize),
    /// A value that is computed from others.
    Computed(Computation<Lookup>),
}

impl Table {
    /// Whether it has a row for each row of the dataset.
    pub fn is_root(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The tables that remain of those of a dataset once it has only the columns `fields`. What leads
/// to a missing column is left out.
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
