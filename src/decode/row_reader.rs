//! Reads the JSON of a row into columns, in one pass and directed by their types.
//!
//! It descends only where a column does, so its depth is that of the catalogue; the parser skips
//! everything else without recursion, down to 200 levels (G8).

use jiter::{Jiter, JiterError, Peek};

use crate::decode::{
    column::{Column, ColumnFull, Ends, Texts, Values, keep_last_entries},
    fields::{FieldColumns, Place},
    scalar::{Misfit, Scalar, boolean, integer},
};

/// The deepest nesting of a value that no column reads: the parser's limit.
#[cfg(test)]
pub(super) const MAX_DEPTH: usize = 200;

/// The longest value that a reason quotes, in characters.
const QUOTED_CHARS: usize = 120;

/// Why a row was not read. Its values are to be removed from the columns.
#[derive(Debug)]
pub(super) enum RowError {
    /// It cannot be decoded, for this reason.
    Undecodable(String),
    /// The page does not fit into columns.
    ColumnFull,
}

impl From<JiterError> for RowError {
    fn from(error: JiterError) -> Self {
        Self::Undecodable(error.to_string())
    }
}

impl From<ColumnFull> for RowError {
    fn from(_: ColumnFull) -> Self {
        Self::ColumnFull
    }
}

impl RowError {
    /// Names the field that it came from.
    fn in_field(self, name: &str) -> Self {
        match self {
            Self::Undecodable(reason) => {
                Self::Undecodable(format!("whilst decoding field '{name}': {reason}"))
            }
            Self::ColumnFull => Self::ColumnFull,
        }
    }
}

/// Reads a row into the columns of its fields. `tape` is memory for texts with escapes.
pub(super) fn read_row(
    text: &[u8],
    row: usize,
    columns: &mut FieldColumns,
    tape: &mut Vec<u8>,
) -> Result<(), RowError> {
    if text.first() != Some(&b'{') {
        return Err(RowError::Undecodable("the row is not an object".to_owned()));
    }
    if let Err(error) = str::from_utf8(text) {
        return Err(RowError::Undecodable(format!("the row is not UTF-8: {error}")));
    }
    let mut json = Jiter::with_tape(text, std::mem::take(tape));
    let result =
        read_object(&mut json, columns, row).and_then(|()| json.finish().map_err(RowError::from));
    *tape = json.into_tape();
    result
}

fn read_object(
    json: &mut Jiter<'_>,
    columns: &mut FieldColumns,
    row: usize,
) -> Result<(), RowError> {
    let mut previous = None;
    let mut name = json.next_object()?;
    while let Some(text) = name {
        let key = columns.find(previous, text);
        previous = key.or(previous);
        let peek = json.peek()?;
        match key.map(|key| columns.place(key, row, peek == Peek::Null)) {
            Some(Place::Column(column, name)) => {
                read_value(json, peek, column, row).map_err(|error| error.in_field(name))?;
            }
            Some(Place::Skip) | None => json.known_skip(peek)?,
        }
        name = json.next_key()?;
    }
    Ok(())
}

/// Reads a value that is not null. The column has no value for `row` yet.
fn read_value(
    json: &mut Jiter<'_>,
    peek: Peek,
    column: &mut Column,
    row: usize,
) -> Result<(), RowError> {
    let start = json.current_index();
    column.pad(row);
    let Column { values, valid } = column;
    let is_present = match values {
        Values::Text(texts) => match scalar(json, peek)? {
            Some(value) => {
                texts.push(value.text())?;
                true
            }
            None => return Err(misfit(json, peek, start, "a text")),
        },
        Values::Int64(integers) => {
            let value = read_scalar(json, peek, start, integer, "a 64-bit integer")?;
            value.map(|value| integers.push(value)).is_some()
        }
        Values::Double(numbers, form) => {
            let value = read_scalar(json, peek, start, form.read, form.expected)?;
            value.map(|value| numbers.push(value)).is_some()
        }
        Values::Boolean(booleans) => {
            let value = read_scalar(json, peek, start, boolean, "true or false")?;
            value.map(|value| booleans.append(value)).is_some()
        }
        Values::Time(times, form) => {
            let value = read_scalar(json, peek, start, form.read, form.expected)?;
            value.map(|value| times.push(value)).is_some()
        }
        Values::List(..) if peek != Peek::Array => return absent(json, peek, start, "a list"),
        Values::Struct(_) if peek != Peek::Object => return absent(json, peek, start, "an object"),
        Values::Map(..) if peek != Peek::Object => return absent(json, peek, start, "an object"),
        // these are marked as present first, so that truncating them removes what was read of them
        Values::List(ends, element) => {
            valid.append_non_null();
            return read_list(json, ends, element);
        }
        Values::Struct(fields) => {
            valid.append_non_null();
            return read_object(json, fields, row);
        }
        Values::Map(ends, keys, values) => {
            valid.append_non_null();
            return read_map(json, ends, keys, values);
        }
    };
    if is_present {
        valid.append_non_null();
    }
    Ok(())
}

fn read_list(json: &mut Jiter<'_>, ends: &mut Ends, element: &mut Column) -> Result<(), RowError> {
    let mut end = ends.last();
    ends.push(end)?;
    let mut next = json.known_array()?;
    while let Some(peek) = next {
        match peek {
            Peek::Null => json.known_null()?,
            _ => read_value(json, peek, element, end)?,
        }
        end += 1;
        next = json.array_step()?;
    }
    Ok(ends.move_last(end)?)
}

fn read_map(
    json: &mut Jiter<'_>,
    ends: &mut Ends,
    keys: &mut Texts,
    values: &mut Column,
) -> Result<(), RowError> {
    let from = ends.last();
    ends.push(from)?;
    let mut next = json.known_object()?;
    while let Some(key) = next {
        let entry = keys.len();
        keys.push(key)?;
        match json.peek()? {
            Peek::Null => json.known_null()?,
            peek => read_value(json, peek, values, entry)
                .map_err(|error| error.in_field(&keys.text(entry)))?,
        }
        next = json.next_key()?;
    }
    keep_last_entries(from, keys, values)?;
    Ok(ends.move_last(keys.len())?)
}

/// Reads a text, a number or a boolean. `None` if the value is another; it is not consumed then.
fn scalar<'a>(json: &'a mut Jiter<'_>, peek: Peek) -> Result<Option<Scalar<'a>>, RowError> {
    Ok(match peek {
        Peek::String => Some(Scalar::Text(json.known_str()?)),
        Peek::True | Peek::False => Some(Scalar::Boolean(json.known_bool(peek)?)),
        Peek::Array | Peek::Object => None,
        _ => {
            let number = json.known_number_bytes(peek)?;
            Some(Scalar::Number(str::from_utf8(number).unwrap_or_default()))
        }
    })
}

/// Reads a scalar into the type of a column. `None` if it is an empty text.
fn read_scalar<T>(
    json: &mut Jiter<'_>,
    peek: Peek,
    start: usize,
    read: impl Fn(Scalar<'_>) -> Result<Option<T>, Misfit>,
    expected: &str,
) -> Result<Option<T>, RowError> {
    match scalar(json, peek)?.ok_or(Misfit).and_then(read) {
        Ok(value) => Ok(value),
        Err(Misfit) => Err(misfit(json, peek, start, expected)),
    }
}

/// Reads what stands for no list or no object: an empty text or an empty list.
fn absent(json: &mut Jiter<'_>, peek: Peek, start: usize, expected: &str) -> Result<(), RowError> {
    json.known_skip(peek)?;
    let mut text = json.slice_to_current(start).iter().filter(|byte| !byte.is_ascii_whitespace());
    match (text.next(), text.next(), text.next()) {
        (Some(b'"'), Some(b'"'), None) | (Some(b'['), Some(b']'), None) => Ok(()),
        _ => Err(misfit(json, peek, start, expected)),
    }
}

/// The error for a value that does not fit, whether it was consumed or not.
fn misfit(json: &mut Jiter<'_>, peek: Peek, start: usize, expected: &str) -> RowError {
    if json.current_index() == start
        && let Err(error) = json.known_skip(peek)
    {
        return error.into();
    }
    let value = String::from_utf8_lossy(json.slice_to_current(start));
    let mut quoted: String = value.chars().take(QUOTED_CHARS).collect();
    if quoted.len() < value.len() {
        quoted.push('…');
    }
    RowError::Undecodable(format!("{quoted} is not {expected}"))
}
