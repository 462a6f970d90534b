//! Reads the JSON of a row into columns, in one pass and directed by their types.
//!
//! It descends only where a column does, so its depth is that of the catalogue; everything else is
//! skipped without recursion (G8). A value that does not fit its column and the value of an unknown
//! key are kept beside the columns, see [`Extra`].
//!
//! Here are objects: each key leads to its column. The value of a column is read in `values`, by
//! the column's type, and what it consists of in `lists` and `maps`.

mod lists;
mod map_entries;
mod maps;
mod path;
mod row_error;
mod sparse_list;
mod values;

pub(super) use self::{
    path::Path,
    row_error::{RowError, RowErrorKind},
};
use crate::decode::{
    columns::{FieldColumns, Place},
    drift::DriftKind,
    extra::Extra,
    json::{Json, Text, unescape},
};

/// Reads the row at the beginning of a text into the columns of its fields, and returns its length.
/// `is_alone` says that nothing may follow it; `tape` is memory for texts with escapes.
pub(super) fn read_row(
    text: &[u8],
    is_alone: bool,
    row: usize,
    columns: &mut FieldColumns,
    extra: &mut Extra,
    tape: &mut Vec<u8>,
) -> Result<usize, RowError> {
    if text.first() != Some(&b'{') {
        return Err(RowError::undecodable("the row is not an object".to_owned()));
    }
    extra.begin_row();
    let mut reader = RowReader { json: Json::new(text), extra, tape };
    reader.object(columns, row, &Path::ROW)?;
    if is_alone {
        reader.json.finish()?;
    }
    Ok(reader.json.position())
}

struct RowReader<'j, 'r> {
    json: Json<'j>,
    extra: &'r mut Extra,
    tape: &'r mut Vec<u8>,
}

impl RowReader<'_, '_> {
    /// Reads the object that begins here.
    fn object(
        &mut self,
        columns: &mut FieldColumns,
        row: usize,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        self.json.skip(1);
        columns.begin_object();
        let mut previous = None;
        let mut is_first = true;
        loop {
            let mut key = columns.read_expected_key(&mut self.json, previous, is_first);
            if key.is_none() {
                if !self.json.next_member(is_first)? {
                    return Ok(());
                }
                key = self.find_key(columns, previous, path)?;
            }
            is_first = false;
            if let Some(key) = key {
                self.member(columns, key, row, path)?;
                previous = Some(key);
            }
        }
    }

    /// Reads the value of a key that the columns know.
    #[inline]
    fn member(
        &mut self,
        columns: &mut FieldColumns,
        key: usize,
        row: usize,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        let extra = self.extra.len();
        let first = self.json.peek();
        let start = self.json.position();
        match columns.usual_place(key) {
            Some(_) if first == b'n' => self.json.word("null")?,
            Some((column, name)) => {
                if self.plain_text(first, column, row)? {
                    return Ok(());
                }
                self.value(first, column, row, &path.field(name))?;
            }
            None => return self.unusual_member(columns, key, row, path),
        }
        if self.extra.len() > extra {
            self.note_extra(columns, key, extra, start, path);
        }
        Ok(())
    }

    /// Notes that values from the value `extra` on do not fit, which are inside the value that
    /// began at `start`.
    #[cold]
    fn note_extra(
        &mut self,
        columns: &mut FieldColumns,
        key: usize,
        extra: usize,
        start: usize,
        path: &Path<'_>,
    ) {
        if self.extra.is_full() && path.is_row() {
            let json = self.json.since(start);
            self.extra.collapse(extra, columns.name(key), start, json);
        }
        columns.note_extra(key, extra..self.extra.len());
    }

    /// Reads the value of a key that came before in the object, is one of several of a column, or
    /// is ignored.
    fn unusual_member(
        &mut self,
        columns: &mut FieldColumns,
        key: usize,
        row: usize,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        if let Some(extra) = columns.note(key) {
            self.extra.count_duplicate_keys(1);
            self.extra.unstage(extra);
        }
        let extra = self.extra.len();
        let first = self.json.peek();
        let start = self.json.position();
        let is_null = first == b'n';
        if !is_null && let Some((alias, value)) = columns.aliased(key) {
            let json = self.json.part(value.clone());
            self.extra.stage(&path.field(alias), DriftKind::NewField, value.start, json);
        }
        match columns.place(key, row, is_null) {
            Place::Column(column, name) => {
                let path = path.field(name);
                self.value(first, column, row, &path)?;
            }
            Place::Superfluous(name) => self.unknown(&path.field(name))?,
            Place::Skip => self.json.skip_value()?,
        }
        columns.note_alias_value(key, start..self.json.position());
        if self.extra.len() > extra {
            self.note_extra(columns, key, extra, start, path);
        }
        Ok(())
    }

    /// Keeps the value of a key that no column has.
    #[cold]
    fn unknown(&mut self, path: &Path<'_>) -> Result<(), RowError> {
        let is_null = self.json.peek() == b'n';
        let start = self.json.position();
        self.json.skip_value()?;
        if !is_null {
            self.extra.stage(path, DriftKind::NewField, start, self.json.since(start));
        }
        Ok(())
    }

    /// Reads the key that begins here. If no column has it, keeps its value: `None`.
    #[inline(never)]
    fn find_key(
        &mut self,
        columns: &mut FieldColumns,
        previous: Option<usize>,
        path: &Path<'_>,
    ) -> Result<Option<usize>, RowError> {
        if let Some(key) = columns.read_plain_key(&mut self.json, previous) {
            return Ok(Some(key));
        }
        let name = match self.json.key()? {
            Text::Plain(name) => String::from_utf8_lossy(name),
            // a key that is not a text is none of the columns' either
            Text::Escaped(quoted) => unescape(quoted, self.tape, str::to_owned)
                .unwrap_or_else(|| String::from_utf8_lossy(quoted).into_owned())
                .into(),
        };
        let key = columns.find(previous, &name);
        if key.is_none() {
            self.unknown(&path.field(&name))?;
        }
        Ok(key)
    }
}
