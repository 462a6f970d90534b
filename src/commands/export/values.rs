//! The values of columns as text: plain, or as JSON if they are nested.

use std::io::Write;

use arrow::{
    array::{
        Array, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, MapArray, StringArray,
        StructArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
    error::ArrowError,
};
use jiff::Timestamp;

/// The values of a column.
pub(super) enum Values<'a> {
    Text(&'a StringArray),
    Integer(&'a Int64Array),
    Number(&'a Float64Array),
    Boolean(&'a BooleanArray),
    Time(&'a TimestampMicrosecondArray),
    Object { array: &'a StructArray, fields: Vec<Member<'a>> },
    List { array: &'a ListArray, elements: Box<Values<'a>> },
    Map { array: &'a MapArray, keys: Box<Values<'a>>, entries: Box<Values<'a>> },
}

/// A field of an object.
pub(super) struct Member<'a> {
    /// Its name as JSON, with the colon.
    key: String,
    values: Values<'a>,
}

impl<'a> Values<'a> {
    /// # Errors
    /// If the array has a type that no catalog knows.
    pub(super) fn new(array: &'a dyn Array) -> Result<Self, ArrowError> {
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::Int64 => Self::Integer(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Number(array.as_primitive::<Float64Type>()),
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Time(array.as_primitive::<TimestampMicrosecondType>())
            }
            DataType::Struct(fields) => {
                let array = array.as_struct();
                let mut members = Vec::with_capacity(fields.len());
                for (field, values) in fields.iter().zip(array.columns()) {
                    members.push(Member { key: key(field.name()), values: Self::new(values)? });
                }
                Self::Object { array, fields: members }
            }
            DataType::List(_) => {
                let array = array.as_list::<i32>();
                Self::List { array, elements: Box::new(Self::new(array.values())?) }
            }
            DataType::Map(..) => {
                let array = array.as_map();
                let (keys, entries) = (Self::new(array.keys())?, Self::new(array.values())?);
                Self::Map { array, keys: Box::new(keys), entries: Box::new(entries) }
            }
            other => {
                return Err(ArrowError::SchemaError(format!("columns of {other} are not known")));
            }
        })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(array) => array.is_null(row),
            Self::Integer(array) => array.is_null(row),
            Self::Number(array) => array.is_null(row),
            Self::Boolean(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Object { array, .. } => array.is_null(row),
            Self::List { array, .. } => array.is_null(row),
            Self::Map { array, .. } => array.is_null(row),
        }
    }

    /// Whether the values are texts of the platform, or hold such texts.
    pub(super) fn are_texts(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Object { .. } | Self::List { .. } | Self::Map { .. })
    }

    /// Appends a value as text, and nothing if it is null: a text as it is, a time in UTC, nested
    /// values as JSON.
    pub(super) fn write_text(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            _ if self.is_null(row) => {}
            Self::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Self::Time(array) => write_time(array.value(row), out),
            _ => self.write_json(row, out),
        }
    }

    /// Appends a value as JSON. Fields of objects that are null are left out.
    pub(super) fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match self {
            Self::Text(array) => write_string(array.value(row), out),
            // writing to memory does not fail
            Self::Integer(array) => drop(write!(out, "{}", array.value(row))),
            Self::Number(array) => {
                let number = serde_json::Number::from_f64(array.value(row));
                match number {
                    Some(number) => drop(write!(out, "{number}")),
                    // JSON has no infinity, and the platform sent JSON
                    None => out.extend_from_slice(b"null"),
                }
            }
            Self::Boolean(array) => drop(write!(out, "{}", array.value(row))),
            Self::Time(array) => {
                out.push(b'"');
                write_time(array.value(row), out);
                out.push(b'"');
            }
            Self::Object { fields, .. } => {
                let mut separator = b'{';
                for Member { key, values } in fields {
                    if !values.is_null(row) {
                        out.push(separator);
                        out.extend_from_slice(key.as_bytes());
                        values.write_json(row, out);
                        separator = b',';
                    }
                }
                out.extend_from_slice(if separator == b'{' { b"{}" } else { b"}" });
            }
            Self::List { array, elements } => {
                let ends = array.value_offsets();
                let mut separator = b'[';
                for element in ends[row]..ends[row + 1] {
                    out.push(separator);
                    elements.write_json(place(element), out);
                    separator = b',';
                }
                out.extend_from_slice(if separator == b'[' { b"[]" } else { b"]" });
            }
            Self::Map { array, keys, entries } => {
                let ends = array.value_offsets();
                let mut separator = b'{';
                for entry in ends[row]..ends[row + 1] {
                    out.push(separator);
                    keys.write_json(place(entry), out);
                    out.push(b':');
                    entries.write_json(place(entry), out);
                    separator = b',';
                }
                out.extend_from_slice(if separator == b'{' { b"{}" } else { b"}" });
            }
        }
    }
}

/// An offset of a list, which is never negative.
fn place(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or_default()
}

/// A name as a key of JSON, with the colon.
pub(super) fn key(name: &str) -> String {
    format!("{}:", serde_json::Value::from(name))
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // writing to memory does not fail, and a text is always valid JSON
    let _ = serde_json::to_writer(out, text);
}

/// Appends a time as RFC 3339, or as its number if its year has more than four digits.
fn write_time(us: i64, out: &mut Vec<u8>) {
    match Timestamp::from_microsecond(us) {
        Ok(time) => drop(write!(out, "{time}")),
        Err(_) => drop(write!(out, "{us}")),
    }
}
