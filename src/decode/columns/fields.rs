//! The columns of an object's fields, found by their keys.

use std::ops::Range;

use arrow::{
    array::ArrayRef,
    datatypes::{FieldRef, Fields},
    error::ArrowError,
};

use crate::decode::{
    columns::{Column, key_token::KeyToken},
    form::Forms,
    json::Json,
};

/// The columns of an object's fields. Keys come in the same order in nearly every object, so the
/// key that followed last time is tried first.
#[derive(Debug)]
pub(in crate::decode) struct FieldColumns {
    columns: Vec<Column>,
    /// The keys of the columns in their order, then the aliases, then the keys that are ignored.
    keys: Vec<Key>,
    notes: Vec<KeyNotes>,
    /// The index of the key that came first in the last object.
    first: u32,
    /// The number of objects so far.
    objects: u64,
}

/// What every member of an object needs of its key.
#[derive(Debug)]
struct Key {
    token: KeyToken,
    /// The last object that had it.
    last_object: u64,
    /// The index of the key that followed it last time, and of another one that did before.
    followers: [u32; 2],
    /// The index of its column. [`NO_COLUMN`] if the key is ignored, or the column has two names.
    only_of_column: u32,
}

const NO_COLUMN: u32 = u32::MAX;

/// What few members need of their key.
#[derive(Debug)]
struct KeyNotes {
    name: Box<str>,
    /// The index of its column. `None` if the key is ignored.
    column: Option<usize>,
    /// Whether the column has another name too, or this is that name.
    has_other_name: bool,
    /// The last object where values inside its value fit no column, and which these are.
    extra: (u64, Range<usize>),
    /// Where its value in that object is, if the key is an alias and the value is in the column.
    alias_value: Range<usize>,
}

/// What becomes of the value of a key.
pub(in crate::decode) enum Place<'c> {
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
    pub(in crate::decode) fn new(
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
        let named = named.chain(aliased).chain(ignored_here);
        let note = |(name, column): (&String, Option<usize>)| KeyNotes {
            name: name.as_str().into(),
            column,
            has_other_name: aliases.iter().any(|(_, other)| Some(*other) == column),
            extra: (0, 0..0),
            alias_value: 0..0,
        };
        let notes: Vec<_> = named.map(note).collect();
        let key = |(index, notes): (u32, &KeyNotes)| Key {
            token: KeyToken::new(&notes.name),
            last_object: 0,
            followers: [index + 1, index + 2],
            only_of_column: match notes.column {
                Some(column) if !notes.has_other_name => column as u32,
                _ => NO_COLUMN,
            },
        };
        Self {
            columns: fields.iter().map(column).collect(),
            keys: (0..).zip(&notes).map(key).collect(),
            notes,
            first: 0,
            objects: 0,
        }
    }

    /// Begins an object.
    pub(in crate::decode) fn begin_object(&mut self) {
        self.objects += 1;
    }

    /// Reads the next key, if it is the one that followed `previous` last time and no space is
    /// around it. `is_first` says that no key came before.
    #[inline]
    pub(in crate::decode) fn read_expected_key(
        &self,
        json: &mut Json<'_>,
        previous: Option<usize>,
        is_first: bool,
    ) -> Option<usize> {
        let expected = previous.map_or(self.first, |previous| self.keys[previous].followers[0]);
        let key = self.keys.get(expected as usize)?;
        let comma = usize::from(!is_first);
        let text = json.rest();
        if comma == 1 && text.first() != Some(&b',') {
            return None;
        }
        json.skip(comma + key.token.at_start_of(&text[comma..])?);
        Some(expected as usize)
    }

    /// Reads the key that begins here, if it is written plainly and a column has this name.
    pub(in crate::decode) fn read_plain_key(
        &mut self,
        json: &mut Json<'_>,
        previous: Option<usize>,
    ) -> Option<usize> {
        let text = json.rest();
        // most objects have their keys in the order of the columns, and lack some
        let next = previous.map_or(0, |previous| previous + 1);
        let other = previous.map_or(self.first, |previous| self.keys[previous].followers[1]);
        let likely = Some(other as usize).filter(|&key| key < self.keys.len());
        for key in likely.into_iter().chain(next..self.keys.len()).chain(0..next) {
            if let Some(len) = self.keys[key].token.at_start_of(text) {
                json.skip(len);
                self.expect(previous, key);
                return Some(key);
            }
        }
        None
    }

    /// The index of a key that comes after `previous`. `None` if no column has this name.
    pub(in crate::decode) fn find(&mut self, previous: Option<usize>, name: &str) -> Option<usize> {
        let found = self.notes.iter().position(|key| *key.name == *name)?;
        self.expect(previous, found);
        Some(found)
    }

    /// Expects a key after `previous` from now on.
    fn expect(&mut self, previous: Option<usize>, key: usize) {
        match previous {
            Some(previous) => {
                let followers = &mut self.keys[previous].followers;
                *followers = [key as u32, followers[0]];
            }
            None => self.first = key as u32,
        }
    }

    /// The column of a key and its name, unless the key came before in this object, or another
    /// key of the object may have a value for the column: see [`place`](Self::place). Notes that
    /// the object has the key.
    #[inline]
    pub(in crate::decode) fn usual_place(&mut self, key: usize) -> Option<(&mut Column, &str)> {
        let Key { last_object, only_of_column, .. } = &mut self.keys[key];
        if *only_of_column == NO_COLUMN || *last_object == self.objects {
            return None;
        }
        *last_object = self.objects;
        Some((&mut self.columns[*only_of_column as usize], &self.notes[key].name))
    }

    /// Notes that the current object has a key. If it has it again, returns which of the values
    /// that fit no column are inside the key's value so far.
    pub(in crate::decode) fn note(&mut self, key: usize) -> Option<Range<usize>> {
        let (Key { last_object, .. }, notes) = (&mut self.keys[key], &mut self.notes[key]);
        if *last_object == self.objects {
            let (object, extra) = std::mem::take(&mut notes.extra);
            return Some(if object == self.objects { extra } else { 0..0 });
        }
        *last_object = self.objects;
        notes.alias_value = 0..0;
        None
    }

    /// Notes which of the values that fit no column are inside the value of a key.
    pub(in crate::decode) fn note_extra(&mut self, key: usize, extra: Range<usize>) {
        self.notes[key].extra = (self.objects, extra);
    }

    /// Notes where the value of a key is, if it is an alias.
    pub(in crate::decode) fn note_alias_value(&mut self, key: usize, value: Range<usize>) {
        if key >= self.columns.len() {
            self.notes[key].alias_value = value;
        }
    }

    /// Where the value of a key belongs in this row. The value of an alias is kept unless there is
    /// one under the column's own name; of several values under one name, the last is kept.
    pub(in crate::decode) fn place(&mut self, key: usize, row: usize, is_null: bool) -> Place<'_> {
        let is_alias = key >= self.columns.len();
        let notes = &self.notes[key];
        let Some(column) = notes.column else { return Place::Skip };
        if is_null && notes.has_other_name {
            return Place::Skip;
        }
        let target = &mut self.columns[column];
        if is_alias && target.len() > row {
            return Place::Superfluous(&notes.name);
        }
        target.truncate(row);
        match is_null {
            true => Place::Skip,
            false => Place::Column(target, &notes.name),
        }
    }

    /// The alias whose value is in the column of this key in the current object, and where its
    /// value is. `None` if there is none, or the key is that alias.
    pub(in crate::decode) fn aliased(&self, key: usize) -> Option<(&str, Range<usize>)> {
        let KeyNotes { column, has_other_name: true, .. } = self.notes[key] else { return None };
        let own_names = self.columns.len();
        if key >= own_names {
            return None;
        }
        let is_it = |(key, notes): &(&Key, &KeyNotes)| {
            let is_of_object = key.last_object == self.objects && !notes.alias_value.is_empty();
            notes.column == column && is_of_object
        };
        let (_, alias) = self.keys[own_names..].iter().zip(&self.notes[own_names..]).find(is_it)?;
        Some((&alias.name, alias.alias_value.clone()))
    }

    /// The text of a key.
    pub(in crate::decode) fn name(&self, key: usize) -> &str {
        &self.notes[key].name
    }

    /// The column of a field.
    pub(in crate::decode) fn column(&self, index: usize) -> &Column {
        &self.columns[index]
    }

    /// Removes the rows from `len` on.
    pub(in crate::decode) fn truncate(&mut self, len: usize) {
        for column in &mut self.columns {
            column.truncate(len);
        }
    }

    /// Takes the first `len` rows, and leaves the columns empty.
    pub(in crate::decode) fn finish(
        &mut self,
        fields: &Fields,
        len: usize,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = self.columns.iter_mut().zip(fields);
        columns.map(|(column, field)| column.finish(field, len)).collect()
    }
}
