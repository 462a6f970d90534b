//! The columns of an object's fields, found by their keys.

use arrow::{
    array::ArrayRef,
    datatypes::{FieldRef, Fields},
    error::ArrowError,
};

use crate::{catalog::WireForm, decode::column::Column};

/// The columns of an object's fields. Keys come in the same order in nearly every object, so the
/// key that followed last time is tried first.
#[derive(Debug)]
pub(super) struct FieldColumns {
    columns: Vec<Column>,
    /// The keys of the columns in their order, then the aliases.
    keys: Vec<Key>,
    /// The index of the key that came first in the last object.
    first: usize,
}

#[derive(Debug)]
struct Key {
    name: Box<str>,
    /// The index of its column.
    column: usize,
    /// The index of the key that followed it last time.
    follower: usize,
    /// Whether the column has another name too, or this is that name.
    has_other_name: bool,
}

/// What becomes of the value of a key.
pub(super) enum Place<'c> {
    /// It is not kept.
    Skip,
    /// It is the value of this column, which has this name.
    Column(&'c mut Column, &'c str),
}

impl FieldColumns {
    /// Empty columns for `fields`. An alias is another key, with the index of its column; `form`
    /// returns the form of a column's values, if it is not the usual one.
    pub(super) fn new(
        fields: &Fields,
        aliases: &[(String, usize)],
        form: impl Fn(&FieldRef) -> Option<WireForm>,
    ) -> Self {
        let columns =
            fields.iter().map(|field| Column::new(field.data_type(), form(field))).collect();
        let named = fields.iter().enumerate().map(|(column, field)| (field.name(), column));
        let keys = named.chain(aliases.iter().map(|(name, column)| (name, *column)));
        let key = |(index, (name, column)): (usize, (&String, usize))| Key {
            name: name.as_str().into(),
            column,
            follower: index + 1,
            has_other_name: aliases.iter().any(|(_, other)| *other == column),
        };
        Self { columns, keys: keys.enumerate().map(key).collect(), first: 0 }
    }

    /// The index of a key that comes after `previous`. `None` if no column has this name.
    pub(super) fn find(&mut self, previous: Option<usize>, name: &str) -> Option<usize> {
        let expected = previous.map_or(self.first, |previous| self.keys[previous].follower);
        let is_it = |index: &usize| *self.keys[*index].name == *name;
        if expected < self.keys.len() && is_it(&expected) {
            return Some(expected);
        }
        let start = expected.min(self.keys.len());
        let found = (start..self.keys.len()).chain(0..start).find(is_it)?;
        match previous {
            Some(previous) => self.keys[previous].follower = found,
            None => self.first = found,
        }
        Some(found)
    }

    /// Where the value of a key belongs in this row. The value of an alias is kept unless there is
    /// one under the column's own name; of several values under one name, the last is kept.
    pub(super) fn place(&mut self, key: usize, row: usize, is_null: bool) -> Place<'_> {
        let is_alias = key >= self.columns.len();
        let Key { column, has_other_name, .. } = self.keys[key];
        let target = &mut self.columns[column];
        if is_alias && target.len() > row || is_null && has_other_name {
            return Place::Skip;
        }
        target.truncate(row);
        match is_null {
            true => Place::Skip,
            false => Place::Column(target, &self.keys[column].name),
        }
    }

    /// The column of a field.
    pub(super) fn column(&self, index: usize) -> &Column {
        &self.columns[index]
    }

    /// Removes the rows from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        for column in &mut self.columns {
            column.truncate(len);
        }
    }

    /// Takes the first `len` rows, and leaves the columns empty.
    pub(super) fn finish(
        &mut self,
        fields: &Fields,
        len: usize,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = self.columns.iter_mut().zip(fields);
        columns.map(|(column, field)| column.finish(field, len)).collect()
    }
}
