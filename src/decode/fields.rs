//! The columns of an object's fields, found by their keys.

use std::ops::Range;

use arrow::{
    array::ArrayRef,
    datatypes::{FieldRef, Fields},
    error::ArrowError,
};

use crate::decode::{
    column::Column,
    form::Forms,
    json::{Json, KeyToken},
};

/// The columns of an object's fields. Keys come in the same order in nearly every object, so the
/// key that followed last time is tried first.
#[derive(Debug)]
pub(super) struct FieldColumns {
    columns: Vec<Column>,
    /// The keys of the columns in their order, then the aliases, then the keys that are ignored.
    keys: Vec<Key>,
    /// The index of the key that came first in the last object.
    first: usize,
    /// The number of objects so far.
    objects: u64,
}

#[derive(Debug)]
struct Key {
    token: KeyToken,
    name: Box<str>,
    /// The index of its column. `None` if the key is ignored.
    column: Option<usize>,
    /// The index of the key that followed it last time.
    follower: usize,
    /// Whether the column has another name too, or this is that name.
    has_other_name: bool,
    /// The last object that had it.
    last_object: u64,
    /// The last object where values inside its value fit no column, and which these are.
    extra: (u64, Range<usize>),
    /// Where its value in that object is, if the key is an alias and the value is in the column.
    alias_value: Range<usize>,
}

/// What becomes of the value of a key.
pub(super) enum Place<'c> {
    /// It is not kept: it is null or ignored.
    Skip,
    /// It is the value of an alias, whose column has a value already.
    Superfluous(&'c str),
    /// It is the value of this column, under this key.
    Column(&'c mut Column, &'c str),
}

impl FieldColumns {
    /// Empty columns for `fields`. An alias is another key, with the index of its column; `ignored`
    /// are paths to keys whose values are not kept; `forms` are those of the object's
    /// values.
    pub(super) fn new(
        fields: &Fields,
        aliases: &[(String, usize)],
        ignored: &[&[String]],
        forms: &Forms<'_>,
    ) -> Self {
        let column = |field: &FieldRef| {
            let inside = ignored.iter().filter_map(|path| match path {
                [first, rest @ ..] if first == field.name() && !rest.is_empty() => Some(rest),
                _ => None,
            });
            Column::new(field.data_type(), &forms.field(field.name()), &inside.collect::<Vec<_>>())
        };
        let named = fields.iter().enumerate().map(|(column, field)| (field.name(), Some(column)));
        let aliased = aliases.iter().map(|(name, column)| (name, Some(*column)));
        let is_known = |name: &String| {
            fields.iter().any(|field| field.name() == name)
                || aliases.iter().any(|(alias, _)| alias == name)
        };
        let ignored_here = ignored.iter().filter_map(|path| match path {
            [name] if !is_known(name) => Some((name, None)),
            _ => None,
        });
        let key = |(index, (name, column)): (usize, (&String, Option<usize>))| Key {
            token: KeyToken::new(name),
            name: name.as_str().into(),
            column,
            follower: index + 1,
            has_other_name: aliases.iter().any(|(_, other)| Some(*other) == column),
            last_object: 0,
            extra: (0, 0..0),
            alias_value: 0..0,
        };
        Self {
            columns: fields.iter().map(column).collect(),
            keys: named.chain(aliased).chain(ignored_here).enumerate().map(key).collect(),
            first: 0,
            objects: 0,
        }
    }

    /// Begins an object.
    pub(super) fn begin_object(&mut self) {
        self.objects += 1;
    }

    /// Reads the next key, if it is the one that followed `previous` last time. `is_first` says
    /// that no key came before.
    #[inline]
    pub(super) fn skip_expected_key(
        &self,
        json: &mut Json<'_>,
        previous: Option<usize>,
        is_first: bool,
    ) -> Option<usize> {
        let expected = previous.map_or(self.first, |previous| self.keys[previous].follower);
        let key = self.keys.get(expected)?;
        json.skip_key(&key.token, is_first).then_some(expected)
    }

    /// The column of a key and its name, unless there is more to think of: see
    /// [`place`](Self::place). Notes that the current object has the key.
    #[inline]
    pub(super) fn usual_place(&mut self, key: usize) -> Option<(&mut Column, &str)> {
        let key = &mut self.keys[key];
        let (Some(column), false) = (key.column, key.has_other_name) else { return None };
        if key.last_object == self.objects {
            return None;
        }
        key.last_object = self.objects;
        Some((&mut self.columns[column], &key.name))
    }

    /// The index of a key that comes after `previous`. `None` if no column has this name.
    pub(super) fn find(&mut self, previous: Option<usize>, name: &str) -> Option<usize> {
        let found = self.keys.iter().position(|key| *key.name == *name)?;
        match previous {
            Some(previous) => self.keys[previous].follower = found,
            None => self.first = found,
        }
        Some(found)
    }

    /// Notes that the current object has a key. If it has it again, returns which of the values
    /// that fit no column are inside the key's value so far.
    pub(super) fn note(&mut self, key: usize) -> Option<Range<usize>> {
        let key = &mut self.keys[key];
        if key.last_object == self.objects {
            let (object, extra) = std::mem::take(&mut key.extra);
            return Some(if object == self.objects { extra } else { 0..0 });
        }
        key.last_object = self.objects;
        key.alias_value = 0..0;
        None
    }

    /// Notes which of the values that fit no column are inside the value of a key.
    pub(super) fn note_extra(&mut self, key: usize, extra: Range<usize>) {
        self.keys[key].extra = (self.objects, extra);
    }

    /// Notes where the value of a key is, if it is an alias.
    pub(super) fn note_alias_value(&mut self, key: usize, value: Range<usize>) {
        if key >= self.columns.len() {
            self.keys[key].alias_value = value;
        }
    }

    /// Where the value of a key belongs in this row. The value of an alias is kept unless there is
    /// one under the column's own name; of several values under one name, the last is kept.
    pub(super) fn place(&mut self, key: usize, row: usize, is_null: bool) -> Place<'_> {
        let is_alias = key >= self.columns.len();
        let key = &self.keys[key];
        let Some(column) = key.column else { return Place::Skip };
        if is_null && key.has_other_name {
            return Place::Skip;
        }
        let target = &mut self.columns[column];
        if is_alias && target.len() > row {
            return Place::Superfluous(&key.name);
        }
        target.truncate(row);
        match is_null {
            true => Place::Skip,
            false => Place::Column(target, &key.name),
        }
    }

    /// The alias whose value is in the column of this key in the current object, and where its
    /// value is. `None` if there is none, or the key is that alias.
    pub(super) fn aliased(&self, key: usize) -> Option<(&str, Range<usize>)> {
        let Key { column, has_other_name: true, .. } = self.keys[key] else { return None };
        if key >= self.columns.len() {
            return None;
        }
        let is_it = |alias: &&Key| {
            let is_of_object = alias.last_object == self.objects && !alias.alias_value.is_empty();
            alias.column == column && is_of_object
        };
        let alias = self.keys[self.columns.len()..].iter().find(is_it)?;
        Some((&alias.name, alias.alias_value.clone()))
    }

    /// The text of a key.
    pub(super) fn name(&self, key: usize) -> &str {
        &self.keys[key].name
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
