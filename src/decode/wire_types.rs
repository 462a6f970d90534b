//! Converts values without loss between `arrow-json` and the columns of a dataset.
//!
//! `arrow-json` reads an integer with a fraction or exponent as a double and truncates it: 1.5
//! becomes 1, and 9007199254740993.0 becomes 9007199254740992, without an error. It supports the
//! time zone `UTC` only with a time zone database. So it reads the [`wire`] types, in which an
//! integer is text and a time has no zone, and [`exact`] converts them to the types of the columns.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, StructArray,
        TimestampMillisecondArray,
    },
    datatypes::{DataType, Field, FieldRef, TimestampMillisecondType},
};
use jiff::{Span, SpanRelativeTo, Timestamp, Unit};

use crate::catalog::WireForm;

/// The type as which `arrow-json` reads a column.
pub(crate) fn wire(data_type: &DataType) -> DataType {
    match data_type {
        // numbers and booleans may be sent as strings
        DataType::Int64 | DataType::Boolean => DataType::Utf8,
        DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, None),
        DataType::List(element) => DataType::List(wire_field(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(wire_field).collect()),
        other => other.clone(),
    }
}

/// The field as which `arrow-json` reads a column. It is nullable, so that the decoder can report a
/// missing value with a better message.
pub(crate) fn wire_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), wire(field.data_type()), true))
}

/// Converts a column of type `wire(to)` to type `to`. The error names field and value.
pub(crate) fn exact(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    Ok(match to {
        DataType::Int64 => {
            let numbers = array.as_string::<i32>().iter().map(|text| text.map(integer).transpose());
            Arc::new(numbers.collect::<Result<Int64Array, _>>()?)
        }
        DataType::Boolean => {
            let booleans =
                array.as_string::<i32>().iter().map(|text| text.map(boolean).transpose());
            Arc::new(booleans.collect::<Result<BooleanArray, _>>()?)
        }
        DataType::Timestamp(_, zone) => {
            let times = array.as_primitive::<TimestampMillisecondType>().clone();
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::List(element) => {
            let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            let values = exact(&values, element.data_type())?;
            Arc::new(
                ListArray::try_new(element.clone(), offsets, values, nulls)
                    .map_err(|e| e.to_string())?,
            )
        }
        DataType::Struct(fields) => {
            let (_, columns, nulls) = array.as_struct().clone().into_parts();
            let columns =
                fields.iter().zip(&columns).map(|(field, column)| exact_field(field, column));
            let columns = columns.collect::<Result<_, _>>()?;
            Arc::new(
                StructArray::try_new(fields.clone(), columns, nulls).map_err(|e| e.to_string())?,
            )
        }
        _ => array.clone(),
    })
}

/// [`exact`] for a named column, with an error in the style of `arrow-json`.
pub(crate) fn exact_field(field: &Field, column: &ArrayRef) -> Result<ArrayRef, String> {
    exact(column, field.data_type()).map_err(|reason| named(field, &reason))
}

/// Converts a column of strings in a special form.
pub(crate) fn formed(field: &Field, column: &ArrayRef, form: WireForm) -> Result<ArrayRef, String> {
    let texts = column.as_string::<i32>().iter();
    let column: Result<ArrayRef, String> = match form {
        WireForm::Interval => texts
            .map(|text| text.map(start).transpose())
            .collect::<Result<TimestampMillisecondArray, _>>()
            .map(|times| Arc::new(times.with_timezone("UTC")) as ArrayRef),
        WireForm::Duration => texts
            .map(|text| text.map(seconds).transpose())
            .collect::<Result<Float64Array, _>>()
            .map(|seconds| Arc::new(seconds) as ArrayRef),
    };
    column.map_err(|reason| named(field, &reason))
}

fn named(field: &Field, reason: &str) -> String {
    format!("whilst decoding field '{}': {reason}", field.name())
}

/// The start of an ISO 8601 interval, in milliseconds.
fn start(text: &str) -> Result<i64, String> {
    let start = text.split('/').next().unwrap_or_default();
    let time: Result<Timestamp, _> = start.parse();
    time.map(Timestamp::as_millisecond).map_err(|_| format!("\"{text}\" is not a valid interval"))
}

/// A duration in seconds: ISO 8601, where a day has 24 hours, or a number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    if let Some(seconds) = text.trim().parse().ok().filter(|seconds: &f64| seconds.is_finite()) {
        return Ok(seconds);
    }
    let span: Result<Span, _> = text.parse();
    let total =
        span.and_then(|span| span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())));
    total.map_err(|_| format!("\"{text}\" is not a valid duration"))
}

/// A boolean from `true` or `false` in any case.
fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("\"{text}\" is neither true nor false")),
    }
}

/// An integer: digits of up to 64 bits, or a form such as `1.0` or `1e3` if a double holds it
/// exactly.
fn integer(text: &str) -> Result<i64, String> {
    const MAX_EXACT: f64 = (1i64 << 53) as f64;
    let text = text.trim();
    let double = || {
        text.parse::<f64>()
            .ok()
            .filter(|v| v.fract() == 0.0 && v.abs() < MAX_EXACT)
            .map(|v| v as i64)
    };
    text.parse().ok().or_else(double).ok_or_else(|| format!("\"{text}\" is not a 64-bit integer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_exact_or_an_error() {
        for (text, expected) in [
            ("0", 0),
            ("-7", -7),
            (" 7 ", 7),
            ("9007199254740993", 9_007_199_254_740_993),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("1.0", 1),
            ("1e3", 1_000),
            ("-2.50E2", -250),
        ] {
            assert_eq!(integer(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "1.5",
            "9007199254740993.0",
            "9223372036854775808",
            "1e18",
            "1e999",
            "nan",
            "inf",
            "true",
            "0x1",
        ] {
            assert!(integer(text).is_err(), "{text}");
        }
    }
}
