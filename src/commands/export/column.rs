//! Columns of nested rows, by path: `participants[0].sessions[0].ani`.
//!
//! A path leads through objects by name, through lists by index (from 0) and through maps by key. A
//! name that is not a word is quoted: `_extra["participants[0].newField"]`. The value is null in
//! rows that lack it, such as `participants[1]` in a row with one participant.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
    },
    compute::take,
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
    error::ArrowError,
};

use crate::commands::export::nearest;

/// A path as it was written, not compared with any columns yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnPath {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Name(String),
    Index(usize),
}

/// A column that the rows have.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// Its path.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
    /// The steps from a row to its value. The first one is a field.
    pub steps: Vec<Step>,
}

/// A step from a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Field(String),
    Element(usize),
    Entry(String),
}

impl ColumnPath {
    /// Reads the path at the start of a text, and returns it with the rest of the text.
    ///
    /// # Errors
    /// If the text does not begin with a path.
    pub(super) fn read(text: &str) -> Result<(Self, &str), String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        loop {
            if let Some(inside) = rest.strip_prefix('[') {
                let (part, after) = bracketed(inside).ok_or_else(|| {
                    format!(
                        "`{text}`: expected an index such as [0] or a name such as [\"a name\"]"
                    )
                })?;
                parts.push(part);
                rest = after;
            } else if parts.is_empty() || rest.starts_with('.') {
                rest = rest.strip_prefix('.').unwrap_or(rest);
                let end = rest.find(|one| !is_word(one)).unwrap_or(rest.len());
                if end == 0 {
                    return Err(format!("`{text}`: expected the name of a column"));
                }
                parts.push(Part::Name(rest[..end].to_owned()));
                rest = &rest[end..];
            } else {
                let text = text[..text.len() - rest.len()].to_owned();
                return Ok((Self { text, parts }, rest));
            }
        }
    }

    /// Reads the paths of a list that is separated by commas.
    ///
    /// # Errors
    /// If one of them is not a path.
    pub(super) fn read_list(list: &str) -> Result<Vec<Self>, String> {
        let (mut paths, mut rest) = (Vec::new(), list.trim());
        loop {
            let (path, after) = Self::read(rest)?;
            paths.push(path);
            let after = after.trim_start();
            match after.strip_prefix(',') {
                Some(next) => rest = next.trim_start(),
                None if after.is_empty() => return Ok(paths),
                None => return Err(format!("`{list}`: expected a comma before `{after}`")),
            }
        }
    }
}

/// The index or the quoted name after a bracket, and what follows the closing bracket.
fn bracketed(inside: &str) -> Option<(Part, &str)> {
    if inside.starts_with('"') {
        let mut texts = serde_json::Deserializer::from_str(inside).into_iter::<String>();
        let name = texts.next()?.ok()?;
        return Some((Part::Name(name), inside[texts.byte_offset()..].strip_prefix(']')?));
    }
    let (index, after) = inside.split_once(']')?;
    let is_number = index.bytes().all(|digit| digit.is_ascii_digit());
    Some((Part::Index(index.parse().ok().filter(|_| is_number)?), after))
}

fn is_word(one: char) -> bool {
    one.is_alphanumeric() || matches!(one, '_' | '-' | '$' | '@' | ':')
}

impl Column {
    /// The column of rows with these columns at a path.
    ///
    /// # Errors
    /// If there is none. The text names those with the most similar paths.
    pub(super) fn find(path: &ColumnPath, schema: &Schema) -> Result<Self, String> {
        let ColumnPath { text, parts } = path;
        let mut steps = Vec::new();
        let mut data_type = DataType::Struct(schema.fields().clone());
        for part in parts {
            let (step, next) = match (&data_type, part) {
                (DataType::Struct(fields), Part::Name(name)) => {
                    let field = fields.iter().find(|field| field.name() == name);
                    let field = field.ok_or_else(|| {
                        let nearest = nearest::paths(text, schema).join(", ");
                        format!("there is no column `{text}`: the nearest are {nearest}")
                    })?;
                    (Step::Field(name.clone()), field.data_type().clone())
                }
                (DataType::Map(entry, _), Part::Name(key)) => {
                    let DataType::Struct(entry) = entry.data_type() else { break };
                    (Step::Entry(key.clone()), entry[1].data_type().clone())
                }
                (DataType::List(element), Part::Index(index)) => {
                    (Step::Element(*index), element.data_type().clone())
                }
                (DataType::List(_), Part::Name(name)) => {
                    return Err(format!(
                        "`{text}`: what has `{name}` is a list: write an index before it, such as \
                         [0]"
                    ));
                }
                (_, Part::Index(index)) => {
                    return Err(format!("`{text}`: what has [{index}] is not a list"));
                }
                (_, Part::Name(name)) => {
                    return Err(format!("`{text}`: what has `{name}` has no columns inside"));
                }
            };
            steps.push(step);
            data_type = next;
        }
        Ok(Self { name: text.clone(), data_type, steps })
    }

    /// A column that is not inside another one.
    pub(super) fn whole(field: &Field) -> Self {
        let (name, data_type) = (field.name().clone(), field.data_type().clone());
        Self { steps: vec![Step::Field(name.clone())], name, data_type }
    }

    /// The values of the column, one for each row.
    pub(super) fn values(&self, rows: &RecordBatch) -> Result<ArrayRef, ArrowError> {
        let Some((Step::Field(first), inside)) = self.steps.split_first() else {
            return Ok(new_null_array(&self.data_type, rows.num_rows()));
        };
        let column = rows.column(rows.schema_ref().index_of(first)?);
        if inside.is_empty() {
            return Ok(Arc::clone(column));
        }
        let mut array = Arc::clone(column);
        let mut places: Vec<Option<usize>> = (0..rows.num_rows()).map(Some).collect();
        for step in inside {
            for place in &mut places {
                *place = place.filter(|&place| array.is_valid(place));
            }
            array = match step {
                Step::Field(name) => {
                    let columns = array.as_struct();
                    let found = columns.column_by_name(name).cloned();
                    found.unwrap_or_else(|| new_null_array(&DataType::Null, columns.len()))
                }
                Step::Element(index) => {
                    let list = array.as_list::<i32>();
                    let ends = list.offsets();
                    for place in &mut places {
                        let element = |row: usize| offset(ends[row]) + index;
                        *place = place.and_then(|row| {
                            Some(element(row)).filter(|&at| at < offset(ends[row + 1]))
                        });
                    }
                    Arc::clone(list.values())
                }
                Step::Entry(key) => {
                    let map = array.as_map();
                    let (ends, keys) = (map.offsets(), map.keys().as_string::<i32>());
                    for place in &mut places {
                        *place = place.and_then(|row| {
                            (offset(ends[row])..offset(ends[row + 1]))
                                .find(|&at| keys.value(at) == key)
                        });
                    }
                    Arc::clone(map.values())
                }
            };
        }
        let places = places.into_iter().map(|place| u32::try_from(place?).ok());
        take(&array, &places.collect::<UInt32Array>(), None)
    }
}

/// The columns of rows at these paths.
pub(super) fn columns_of(
    rows: &RecordBatch,
    columns: &[Column],
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let values = columns.iter().map(|column| column.values(rows)).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), values, &options)
}

/// A schema with these columns, which may all be null.
pub(super) fn schema_of(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, column.data_type.clone(), true);
    Schema::new(columns.iter().map(field).collect::<Vec<_>>()).into()
}

/// An offset of a list, which is never negative.
fn offset(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or_default()
}

/// The columns without the fields that no path needs.
pub(super) fn needed<'s>(fields: &Fields, paths: impl Iterator<Item = &'s [Step]>) -> Fields {
    needed_fields(fields, &paths.collect::<Vec<_>>())
}

fn needed_fields(fields: &Fields, paths: &[&[Step]]) -> Fields {
    let mut needed = Vec::new();
    for field in fields {
        let mut inside = Vec::new();
        for path in paths {
            if let Some((Step::Field(name), rest)) = path.split_first()
                && name == field.name()
            {
                inside.push(rest);
            }
        }
        if !inside.is_empty() {
            let data_type = needed_type(field.data_type(), &inside);
            needed.push(Field::clone(field).with_data_type(data_type));
        }
    }
    needed.into()
}

fn needed_type(data_type: &DataType, paths: &[&[Step]]) -> DataType {
    if paths.iter().any(|path| path.is_empty()) {
        return data_type.clone();
    }
    match data_type {
        DataType::Struct(fields) => DataType::Struct(needed_fields(fields, paths)),
        DataType::List(element) => {
            let paths: Vec<_> = paths.iter().map(|path| &path[1..]).collect();
            let data_type = needed_type(element.data_type(), &paths);
            DataType::List(Arc::new(Field::clone(element).with_data_type(data_type)))
        }
        other => other.clone(),
    }
}

/// The leaf columns of a file that hold the needed columns, in their order.
pub(super) fn leaves(file: &Fields, needed: &Fields) -> Vec<usize> {
    let mut leaves = Leaves { found: Vec::new(), next: 0 };
    for field in file {
        let needed = needed.iter().find(|needed| needed.name() == field.name());
        leaves.visit(field.data_type(), needed.map(|needed| needed.data_type()));
    }
    leaves.found
}

struct Leaves {
    found: Vec<usize>,
    /// The number of the next leaf of the file.
    next: usize,
}

impl Leaves {
    /// Visits the leaves of a column. If the needed column is of another kind, all are taken, and
    /// whoever reads them finds the difference.
    fn visit(&mut self, found: &DataType, needed: Option<&DataType>) {
        match (found, needed) {
            (DataType::Struct(fields), Some(DataType::Struct(needed))) => {
                for field in fields {
                    let needed = needed.iter().find(|needed| needed.name() == field.name());
                    self.visit(field.data_type(), needed.map(|needed| needed.data_type()));
                }
            }
            (DataType::List(element), Some(DataType::List(needed))) => {
                self.visit(element.data_type(), Some(needed.data_type()));
            }
            (DataType::Struct(fields), needed) => {
                for field in fields {
                    self.visit(field.data_type(), needed);
                }
            }
            (DataType::List(inside) | DataType::Map(inside, _), needed) => {
                self.visit(inside.data_type(), needed);
            }
            (_, needed) => {
                self.found.extend(needed.map(|_| self.next));
                self.next += 1;
            }
        }
    }
}
