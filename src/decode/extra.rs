//! The column of what fits no other column, and what is counted about it.
//!
//! What a row has is staged while the row is read, and kept or dropped with it. Nothing is staged
//! for a row that fits, so such rows cost nothing here.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    mem,
    ops::Range,
};

use arrow::{array::ArrayRef, datatypes::Field, error::ArrowError};
use jiff::tz::TimeZone;

use crate::{
    decode::{
        columns::{Column, ColumnFull, Entries, Values},
        drift::{Drift, DriftKind, DriftedField, JsonType, MAX_PATTERNS},
        form::Forms,
        row_reader::Path,
    },
    server_text,
};

/// What is kept of a row is at most so many times the bytes of it that were read, and these (G8).
const MAX_GROWTH: usize = 4;
const MIN_BYTES: usize = 16 * 1024;

/// The path of a whole row.
const WHOLE_ROW: &str = "$";

/// The column of what fits no other column.
#[derive(Debug)]
pub(super) struct Extra {
    column: Column,
    patterns: Patterns,
    /// Whether fields without a column are only counted.
    pub(super) drops_new_fields: bool,
    row: StagedRow,
}

/// What the current row has.
#[derive(Debug, Default)]
struct StagedRow {
    /// The paths of the values, one after another.
    paths: String,
    values: Vec<StagedValue>,
    /// The bytes that paths and values take.
    bytes: usize,
    /// Whether values are only counted: what contains them is kept in their place.
    is_full: bool,
    /// Values whose patterns come after those that are told apart.
    other_values: u64,
    duplicate_keys: u64,
}

#[derive(Debug, Clone)]
struct StagedValue {
    /// Its path in the paths of the row.
    path: Range<usize>,
    /// Its JSON in the row.
    json: Range<usize>,
    kind: DriftKind,
}

/// The path patterns of the page.
#[derive(Debug, Default)]
struct Patterns {
    index: HashMap<Box<str>, usize>,
    fields: Vec<PatternField>,
    /// The patterns of the current row.
    of_row: Vec<usize>,
    /// The current row among all rows received.
    row: u64,
    total: Drift,
    /// Memory for a pattern.
    text: String,
}

#[derive(Debug)]
struct PatternField {
    field: DriftedField,
    /// The last row that had such a value.
    last_row: u64,
}

impl Extra {
    /// An empty column of the type of this field.
    pub(super) fn new(field: &Field, drops_new_fields: bool) -> Self {
        let no_forms = BTreeMap::new();
        Self {
            column: Column::new(field.data_type(), &Forms::new(&no_forms, &TimeZone::UTC), &[]),
            patterns: Patterns::default(),
            drops_new_fields,
            row: StagedRow::default(),
        }
    }

    /// Begins a row.
    pub(super) fn begin_row(&mut self) {
        self.patterns.row += 1;
    }

    /// Adds a value of the row, which is not null.
    #[cold]
    pub(super) fn stage(&mut self, path: &Path<'_>, kind: DriftKind, at: usize, json: &[u8]) {
        self.row.other_values += self.patterns.add(path, kind, json);
        let is_dropped = kind == DriftKind::NewField && self.drops_new_fields;
        if is_dropped || self.row.is_full {
            return;
        }
        let start = self.row.paths.len();
        path.write(&mut self.row.paths);
        self.row.push(start, at..at + json.len(), kind);
    }

    /// The number of values of the row so far.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.row.values.len()
    }

    /// Whether the row has more than is kept, so that values are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.row.is_full
    }

    /// Replaces the values of the row from the value `from` on, if they are too many, by the field
    /// of the row that contains them, or by the row.
    #[cold]
    pub(super) fn collapse(&mut self, from: usize, name: &str, at: usize, json: &[u8]) {
        let row = &mut self.row;
        if from < row.values.len() {
            row.truncate(from);
            let start = row.paths.len();
            Path::ROW.field(name).write(&mut row.paths);
            row.is_full = false;
            row.push(start, at..at + json.len(), DriftKind::Misfit);
        }
    }

    /// Removes values whose key came again.
    #[cold]
    pub(super) fn unstage(&mut self, values: Range<usize>) {
        for value in self.row.values.get_mut(values).unwrap_or_default() {
            value.json = 0..0;
        }
    }

    /// Counts a key that came again.
    #[cold]
    pub(super) fn count_duplicate_keys(&mut self, count: u64) {
        self.row.duplicate_keys += count;
    }

    /// The position of a value that does not fit this field of the row, or that is inside it.
    pub(super) fn misfit(&self, name: &str) -> Option<Range<usize>> {
        if self.row.values.is_empty() {
            return None;
        }
        let mut field = String::new();
        Path::ROW.field(name).write(&mut field);
        let is_it = |value: &&StagedValue| {
            let rest = self.row.paths[value.path.clone()].strip_prefix(&*field);
            let is_inside =
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
            is_inside && value.kind == DriftKind::Misfit && !value.json.is_empty()
        };
        self.row.values.iter().find(is_it).map(|value| value.json.clone())
    }

    /// Keeps what the row with this text has, as the row `row` of the batch.
    pub(super) fn keep_row(&mut self, row: usize, text: &[u8]) -> Result<(), ColumnFull> {
        if !self.patterns.of_row.is_empty()
            || self.row.other_values + self.row.duplicate_keys > 0
            || !self.row.values.is_empty()
        {
            self.keep_staged(row, text)?;
            self.drop_row();
        }
        Ok(())
    }

    #[cold]
    fn keep_staged(&mut self, row: usize, text: &[u8]) -> Result<(), ColumnFull> {
        let staged = &mut self.row;
        if staged.is_full {
            staged.truncate(0);
            staged.paths.push_str(WHOLE_ROW);
            let path = 0..WHOLE_ROW.len();
            staged.values.push(StagedValue { path, json: 0..text.len(), kind: DriftKind::Misfit });
        }
        let repeated = staged.keep_last_of_each_path();
        self.patterns.keep_row(staged.other_values, staged.duplicate_keys + repeated);
        if staged.values.is_empty() {
            return Ok(());
        }
        self.column.pad(row);
        let Values::Map(ends, entries) = &mut self.column.values else { return Ok(()) };
        let Entries { keys, values } = &mut **entries;
        self.column.valid.push_valid();
        for value in &staged.values {
            let Values::Text(texts) = &mut values.values else { return Ok(()) };
            keys.push(&without_secrets(staged.paths[value.path.clone()].as_bytes()))?;
            texts.push(&without_secrets(&text[value.json.clone()]))?;
            values.valid.push_valid();
        }
        ends.push(keys.len())
    }

    /// Drops what the row has.
    pub(super) fn drop_row(&mut self) {
        self.patterns.of_row.clear();
        self.row.truncate(0);
        self.row.is_full = false;
        self.row.other_values = 0;
        self.row.duplicate_keys = 0;
    }

    /// Takes the first `len` rows and what is counted about them, and leaves the column empty.
    pub(super) fn finish(
        &mut self,
        field: &Field,
        len: usize,
    ) -> Result<(ArrayRef, Drift), ArrowError> {
        Ok((self.column.finish(field, len)?, self.patterns.finish()))
    }
}

/// The text, with a mask in place of every known secret: a server may repeat what it was sent
/// (G10).
fn without_secrets(text: &[u8]) -> Cow<'_, [u8]> {
    match str::from_utf8(text) {
        Ok(text) if server_text::holds_secret(text) => {
            Cow::Owned(server_text::redact(text).into_bytes())
        }
        _ => Cow::Borrowed(text),
    }
}

impl StagedRow {
    /// Adds a value whose path is the rest of the paths from `start` on.
    fn push(&mut self, start: usize, json: Range<usize>, kind: DriftKind) {
        self.bytes += self.paths.len() - start + json.len() + size_of::<StagedValue>();
        self.is_full |= self.bytes > json.end * MAX_GROWTH + MIN_BYTES;
        self.values.push(StagedValue { path: start..self.paths.len(), json, kind });
    }

    /// Removes the values from the value `len` on.
    fn truncate(&mut self, len: usize) {
        let Some(first) = self.values.get(len) else { return };
        self.paths.truncate(first.path.start);
        self.values.truncate(len);
        let bytes =
            |value: &StagedValue| value.path.len() + value.json.len() + size_of::<StagedValue>();
        self.bytes = self.values.iter().map(bytes).sum();
    }

    /// Keeps the last value at each path, and none that was removed. Returns how many paths came
    /// again.
    fn keep_last_of_each_path(&mut self) -> u64 {
        let paths = &self.paths;
        self.values.retain(|value| !value.json.is_empty());
        let mut last = HashMap::with_capacity(self.values.len());
        for (at, value) in self.values.iter().enumerate() {
            last.insert(&paths[value.path.clone()], at);
        }
        let repeated = self.values.len() - last.len();
        if repeated > 0 {
            let mut at = 0;
            self.values.retain(|value| {
                at += 1;
                last[&paths[value.path.clone()]] == at - 1
            });
        }
        repeated as u64
    }
}

impl Patterns {
    /// Adds a value of the current row. Returns 1 if its pattern is not told apart.
    fn add(&mut self, path: &Path<'_>, kind: DriftKind, json: &[u8]) -> u64 {
        self.text.clear();
        path.write_pattern(&mut self.text);
        let known = self.index.get(self.text.as_str()).copied();
        let index = match known {
            Some(index) => index,
            None if self.fields.len() == MAX_PATTERNS => return 1,
            None => {
                self.index.insert(self.text.as_str().into(), self.fields.len());
                let field = DriftedField { rows: 0, kind, json_type: JsonType::of(json) };
                self.fields.push(PatternField { field, last_row: 0 });
                self.fields.len() - 1
            }
        };
        if self.fields[index].last_row != self.row {
            self.fields[index].last_row = self.row;
            self.of_row.push(index);
        }
        0
    }

    /// Counts the current row.
    fn keep_row(&mut self, other_values: u64, duplicate_keys: u64) {
        for &index in &self.of_row {
            self.fields[index].field.rows += 1;
        }
        self.total.other_values += other_values;
        self.total.duplicate_keys += duplicate_keys;
    }

    /// Takes what was counted.
    fn finish(&mut self) -> Drift {
        let mut total = mem::take(&mut self.total);
        let fields = mem::take(&mut self.fields);
        for (pattern, index) in self.index.drain() {
            let field = fields[index].field;
            if field.rows > 0 {
                total.insert(&server_text::redact(&pattern), field);
            }
        }
        total
    }
}
