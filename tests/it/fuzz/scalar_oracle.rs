//! Whether a column has a scalar of a JSON text, told without code of the decoder.

use arrow::{
    array::{Array, AsArray},
    datatypes::{
        DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType,
    },
};
use jiff::{Timestamp, civil, tz::TimeZone};

/// A scalar as JSON writes it.
pub enum Scalar<'a> {
    Text(String),
    Number(&'a str),
    Boolean(bool),
}

/// A value that is a scalar. `None` if it is a list, an object, or a text with half of a character.
pub fn scalar(text: &str) -> Option<Scalar<'_>> {
    match text.as_bytes().first()? {
        b'"' => Some(Scalar::Text(serde_json::from_str(text).ok()?)),
        b't' | b'f' => Some(Scalar::Boolean(text == "true")),
        b'{' | b'[' => None,
        _ => Some(Scalar::Number(text)),
    }
}

/// Whether a column has the value of a scalar. `None` if it does not fit and the column is null.
pub fn fits_scalar(scalar: Option<&Scalar>, column: &dyn Array, row: usize) -> Option<bool> {
    let Some(scalar) = scalar else { return column.is_valid(row).then_some(false) };
    let written = match scalar {
        Scalar::Text(text) => text.trim(),
        Scalar::Number(text) => text,
        Scalar::Boolean(true) => "true",
        Scalar::Boolean(false) => "false",
    };
    let is_boolean = matches!(scalar, Scalar::Boolean(_));
    let must_fit = match column.data_type() {
        DataType::Utf8 => true,
        DataType::Int64 => !is_boolean && written.parse::<i64>().is_ok(),
        DataType::Float64 => !is_boolean && written.parse::<i32>().is_ok(),
        DataType::Boolean => is_boolean,
        _ => matches!(scalar, Scalar::Text(text) if is_usual_time(text)),
    };
    if column.is_null(row) {
        return must_fit.then_some(false);
    }
    Some(match column.data_type() {
        DataType::Utf8 => {
            let text = if let Scalar::Text(text) = scalar { text } else { written };
            column.as_string::<i32>().value(row) == text
        }
        DataType::Int64 => {
            let stored = column.as_primitive::<Int64Type>().value(row).to_string();
            !is_boolean && decimal(written) == decimal(&stored)
        }
        DataType::Float64 => {
            let stored = column.as_primitive::<Float64Type>().value(row);
            let told: Option<f64> = written.parse().ok();
            stored.is_finite() && told.map(f64::to_bits) == Some(stored.to_bits())
        }
        DataType::Boolean => {
            let names = if column.as_boolean().value(row) { ["true", "1"] } else { ["false", "0"] };
            names.iter().any(|name| written.eq_ignore_ascii_case(name))
        }
        DataType::Timestamp(unit, _) => {
            let (stored, unit) = match unit {
                TimeUnit::Microsecond => {
                    (column.as_primitive::<TimestampMicrosecondType>().value(row), 1_000)
                }
                _ => (column.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000),
            };
            told_time(scalar).is_some_and(|told| told.div_euclid(unit) == i128::from(stored))
        }
        _ => false,
    })
}

/// `2024-01-01T00:00:00.000Z` of these centuries, which every reader of times must read.
fn is_usual_time(text: &str) -> bool {
    let is_shaped = text.is_ascii() && text.len() == 24 && text.ends_with('Z');
    let has_date_and_time = is_shaped && text[10..].starts_with('T');
    has_date_and_time && matches!(&text[..2], "19" | "20") && text.parse::<Timestamp>().is_ok()
}

/// The nanoseconds since 1970 of a time as jiff reads it; of a number, which counts milliseconds.
fn told_time(scalar: &Scalar) -> Option<i128> {
    match scalar {
        Scalar::Text(text) => {
            let text = text.trim();
            let zoned = text.parse::<Timestamp>().ok();
            let local = || {
                let local = text.parse::<civil::DateTime>().ok()?;
                TimeZone::UTC.to_timestamp(local).ok()
            };
            zoned.or_else(local).map(Timestamp::as_nanosecond)
        }
        Scalar::Number(text) => {
            let (_, digits, exponent) = decimal(text)?;
            let zeros = usize::try_from(exponent).ok()?;
            let number: i128 = (digits + &"0".repeat(zeros)).parse().ok()?;
            number.checked_mul(1_000_000)
        }
        Scalar::Boolean(_) => None,
    }
}

/// A decimal number in its one normal form: whether it is negative, its digits without zeros at
/// the ends, and the power of ten of the last one.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (is_negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = digits.trim_end_matches('0');
    let exponent = exponent - fraction.len() as i64 + (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return Some((false, "0".to_owned(), 0));
    }
    Some((is_negative, kept.to_owned(), exponent))
}
