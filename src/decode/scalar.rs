//! The forms in which APIs write a value: numbers as texts, times with and without a zone.
//!
//! An empty text is null, for anything but a text. A value is never rounded, clipped or made
//! infinite: what does not fit exactly is a [`Misfit`].

use jiff::{Span, SpanRelativeTo, Unit, tz::TimeZone};

use crate::decode::{
    PLAUSIBLE_MS,
    instant::{instant, microseconds_of},
};

/// A value that is not an object or a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    /// A number as it was written.
    Number(&'a str),
    Boolean(bool),
}

/// A value does not fit its column.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit;

/// A 64-bit integer from a number or its text, such as `7`, `"7"`, `7.0` or `7e18`.
pub(super) fn integer(value: Scalar<'_>) -> Result<Option<i64>, Misfit> {
    match value {
        Scalar::Number(text) => exact_integer(text).map(Some).ok_or(Misfit),
        Scalar::Text(text) => present(text, exact_integer),
        Scalar::Boolean(_) => Err(Misfit),
    }
}

/// A finite number from a number or its text.
pub(super) fn number(value: Scalar<'_>) -> Result<Option<f64>, Misfit> {
    match value {
        Scalar::Number(text) => finite(text).map(Some).ok_or(Misfit),
        Scalar::Text(text) => present(text, finite),
        Scalar::Boolean(_) => Err(Misfit),
    }
}

/// A boolean from `true`, `1`, or their text in any case.
pub(super) fn boolean(value: Scalar<'_>) -> Result<Option<bool>, Misfit> {
    match value {
        Scalar::Boolean(value) => Ok(Some(value)),
        Scalar::Number("1") => Ok(Some(true)),
        Scalar::Number("0") => Ok(Some(false)),
        Scalar::Number(_) => Err(Misfit),
        Scalar::Text(text) => present(text, |text| match text {
            "1" => Some(true),
            "0" => Some(false),
            _ if text.eq_ignore_ascii_case("true") => Some(true),
            _ if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }),
    }
}

/// Microseconds since 1970 from a time in ISO 8601, in `zone` if it names none. Digits below a
/// microsecond are dropped. A number counts milliseconds, and does not fit if its time is not
/// plausible, since it has another unit then.
pub(super) fn time(value: Scalar<'_>, zone: &TimeZone) -> Result<Option<i64>, Misfit> {
    match value {
        Scalar::Number(text) => match exact_integer(text) {
            Some(time) if PLAUSIBLE_MS.contains(&time) => Ok(Some(time * 1_000)),
            _ => Err(Misfit),
        },
        Scalar::Text(text) => present(text, |text| instant(text, zone)),
        Scalar::Boolean(_) => Err(Misfit),
    }
}

/// Like [`time`], but a number, or its text, counts seconds, and may have a fraction.
pub(super) fn time_in_seconds(value: Scalar<'_>, zone: &TimeZone) -> Result<Option<i64>, Misfit> {
    time_in_units(value, zone, |text| {
        if let Some(seconds) = exact_integer(text) {
            return seconds.checked_mul(1_000_000);
        }
        let (whole, fraction) = text.split_once('.')?;
        let is_negative = whole.starts_with('-');
        let fraction = fraction.bytes().map(|byte| byte.is_ascii_digit().then(|| byte - b'0'));
        let digits = fraction.collect::<Option<Vec<_>>>()?;
        let microseconds = microseconds_of(digits.into_iter());
        let whole = exact_integer(whole)?.checked_mul(1_000_000)?;
        whole.checked_add(if is_negative { -microseconds } else { microseconds })
    })
}

/// Like [`time`], but a number, or its text, counts milliseconds, whatever its time is.
pub(super) fn time_in_milliseconds(
    value: Scalar<'_>,
    zone: &TimeZone,
) -> Result<Option<i64>, Misfit> {
    time_in_units(value, zone, |text| exact_integer(text)?.checked_mul(1_000))
}

/// Like [`time`], but a number, or its text, counts microseconds.
pub(super) fn time_in_microseconds(
    value: Scalar<'_>,
    zone: &TimeZone,
) -> Result<Option<i64>, Misfit> {
    time_in_units(value, zone, exact_integer)
}

fn time_in_units(
    value: Scalar<'_>,
    zone: &TimeZone,
    microseconds: impl Fn(&str) -> Option<i64>,
) -> Result<Option<i64>, Misfit> {
    match value {
        Scalar::Number(text) => microseconds(text).map(Some).ok_or(Misfit),
        Scalar::Text(text) => {
            present(text, |text| microseconds(text).or_else(|| instant(text, zone)))
        }
        Scalar::Boolean(_) => Err(Misfit),
    }
}

/// The start of an ISO 8601 interval, in microseconds since 1970.
pub(super) fn interval_start(value: Scalar<'_>, zone: &TimeZone) -> Result<Option<i64>, Misfit> {
    let Scalar::Text(text) = value else { return Err(Misfit) };
    present(text, |text| instant(text.split('/').next().unwrap_or_default(), zone))
}

/// Seconds from an ISO 8601 duration, whose days have 24 hours, or from a number of them.
pub(super) fn duration(value: Scalar<'_>) -> Result<Option<f64>, Misfit> {
    let seconds = |text: &str| {
        let span: Span = text.parse().ok()?;
        span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).ok()
    };
    match value {
        Scalar::Text(text) => present(text, |text| finite(text).or_else(|| seconds(text))),
        other => number(other),
    }
}

/// Reads a text that is not empty.
fn present<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Misfit> {
    match text.trim() {
        "" => Ok(None),
        text => read(text).map(Some).ok_or(Misfit),
    }
}

/// The 64-bit integer that a decimal number is exactly.
fn exact_integer(text: &str) -> Option<i64> {
    if let Ok(integer) = text.parse() {
        return Some(integer);
    }
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let dropped_zeros = digits.len() - digits.trim_end_matches('0').len();
    let zeros = i64::from(exponent) - fraction.len() as i64 + dropped_zeros as i64;
    // no 64-bit integer has more digits
    let zeros = usize::try_from(zeros).ok().filter(|zeros| significant.len() + zeros <= 19)?;
    let sign = if is_negative { "-" } else { "" };
    [sign, significant, &"0".repeat(zeros)].concat().parse().ok()
}

/// A number in decimal notation that is not too large for a double.
fn finite(text: &str) -> Option<f64> {
    // `f64` also parses names such as `nan` and `infinity`
    let is_decimal =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(is_decimal) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_integer_is_exact_or_a_misfit() {
        for (text, expected) in [
            ("0", 0),
            ("-7", -7),
            (" 7 ", 7),
            ("9007199254740993", 9_007_199_254_740_993),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("1.0", 1),
            ("1e3", 1_000),
            ("1e18", 1_000_000_000_000_000_000),
            ("1200e-2", 12),
            ("-2.50E2", -250),
            ("0.0e99999", 0),
            ("-0.0", 0),
        ] {
            assert_eq!(integer(Scalar::Text(text)), Ok(Some(expected)), "{text}");
        }
        for text in [
            "1.5",
            "1e-1",
            "9223372036854775808",
            "12345678901234567890",
            "1e19",
            "1e999",
            "1e99999999999",
            "nan",
            "inf",
            "true",
            "0x1",
            ".",
            "1e",
            "--1",
            "1.0000000000000000001",
        ] {
            assert_eq!(integer(Scalar::Text(text)), Err(Misfit), "{text}");
        }
        assert_eq!(integer(Scalar::Text(" ")), Ok(None));
    }

    #[test]
    fn a_number_is_finite_or_a_misfit() {
        for (text, expected) in [("1.5", 1.5), ("-1e3", -1e3), (" 7 ", 7.0), ("1e-999", 0.0)] {
            assert_eq!(number(Scalar::Text(text)), Ok(Some(expected)), "{text}");
        }
        for text in ["1e400", "-1e400", "NaN", "Infinity", "-inf", "1,5", "x", "1 2"] {
            assert_eq!(number(Scalar::Text(text)), Err(Misfit), "{text}");
        }
    }

    #[test]
    fn times_are_read_in_the_forms_that_apis_write() {
        for text in [
            "2024-01-01T10:00:00Z",
            "2024-01-01T10:00:00.000Z",
            "2024-01-01T10:00:00",
            "2024-01-01 10:00:00",
            "2024-01-01T10:00Z",
            "2024-01-01T10:00",
            "2024-01-01T12:00:00.000+02:00",
            "2024-01-01T12:00:00+0200",
            "20240101T100000Z",
            "2024-01-01T10:00:00.000000Z",
            "2024-01-01T10:00:00.000000999Z",
        ] {
            assert_eq!(
                time(Scalar::Text(text), &TimeZone::UTC),
                Ok(Some(1_704_103_200_000_000)),
                "{text}"
            );
        }
        assert_eq!(
            time(Scalar::Text("2024-01-01"), &TimeZone::UTC),
            Ok(Some(1_704_067_200_000_000))
        );
        for text in ["yesterday", "2024-13-01T00:00:00Z", "2023-02-29T00:00:00Z", "10:00"] {
            assert_eq!(time(Scalar::Text(text), &TimeZone::UTC), Err(Misfit), "{text}");
        }
    }

    #[test]
    fn a_number_is_a_time_in_the_unit_of_its_column() {
        let us = 1_704_103_200_123_000;
        for (read, unit, number) in [
            (time as fn(Scalar<'static>, &TimeZone) -> _, "none", "1704103200123"),
            (time_in_seconds, "s", "1704103200.123"),
            (time_in_seconds, "s", "1704103200.1230009"),
            (time_in_milliseconds, "ms", "1704103200123.0"),
            (time_in_microseconds, "us", "1704103200123000"),
        ] {
            assert_eq!(
                read(Scalar::Number(number), &TimeZone::UTC),
                Ok(Some(us)),
                "{unit} {number}"
            );
            let text = Scalar::Text("2024-01-01T10:00:00.123Z");
            assert_eq!(read(text, &TimeZone::UTC), Ok(Some(us)), "{unit}");
        }
        assert_eq!(
            time_in_seconds(Scalar::Text("1704103200"), &TimeZone::UTC),
            Ok(Some(1_704_103_200_000_000))
        );
        assert_eq!(time_in_seconds(Scalar::Number("-0.5"), &TimeZone::UTC), Ok(Some(-500_000)));
        assert_eq!(time_in_milliseconds(Scalar::Number("1"), &TimeZone::UTC), Ok(Some(1_000)));
        assert_eq!(
            time_in_milliseconds(Scalar::Number("9223372036854776"), &TimeZone::UTC),
            Err(Misfit)
        );
        // seconds, and microseconds, where milliseconds are expected
        for number in ["1704103200", "1704103200123000", "0", "1704103200123.5", "1e99"] {
            assert_eq!(time(Scalar::Number(number), &TimeZone::UTC), Err(Misfit), "{number}");
        }
        for number in ["1e30", "1.x", "nan"] {
            assert_eq!(
                time_in_seconds(Scalar::Text(number), &TimeZone::UTC),
                Err(Misfit),
                "{number}"
            );
        }
    }

    #[test]
    fn a_time_without_a_zone_is_of_the_given_one() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        for (text, utc) in [
            ("2024-01-01T10:00:00", "2024-01-01T09:00:00Z"),
            ("2024-07-01 10:00", "2024-07-01T08:00:00Z"),
            ("2024-07-01", "2024-06-30T22:00:00Z"),
            ("20240701T100000", "2024-07-01T08:00:00Z"),
            // these name theirs
            ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
            ("2024-01-01T10:00:00-05:00", "2024-01-01T15:00:00Z"),
            // occurs twice, is skipped
            ("2024-10-27T02:30:00", "2024-10-27T00:30:00Z"),
            ("2024-03-31T02:30:00", "2024-03-31T01:30:00Z"),
        ] {
            let utc: Timestamp = utc.parse().unwrap();
            for read in [time, time_in_seconds, time_in_milliseconds, time_in_microseconds] {
                let read = read(Scalar::Text(text), &zone);
                assert_eq!(read, Ok(Some(utc.as_microsecond())), "{text}");
            }
            let interval = format!("{text}/P1D");
            let read = interval_start(Scalar::Text(&interval), &zone);
            assert_eq!(read, Ok(Some(utc.as_microsecond())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_what_jiff_reads(us in -62_135_596_800_000_000i64..253_402_000_000_000_000) {
            let time = Timestamp::from_microsecond(us).unwrap();
            for digits in 0..=9 {
                let text = format!("{time:.digits$}");
                let expected = text.parse::<Timestamp>().unwrap().as_nanosecond().div_euclid(1_000);
                let read = instant(&text, &TimeZone::UTC).map(i128::from);
                prop_assert_eq!(read, Some(expected), "{}", text);
            }
        }

        #[test]
        fn a_time_keeps_its_microseconds(second in 0i64..4_000_000_000, ns in 0i32..1_000_000_000) {
            let time = Timestamp::new(second, ns).unwrap();
            let us = second * 1_000_000 + i64::from(ns / 1_000);
            let text = time.to_string();
            prop_assert_eq!(super::time(Scalar::Text(&text), &TimeZone::UTC), Ok(Some(us)));
            let number = format!("{second}.{ns:09}");
            prop_assert_eq!(time_in_seconds(Scalar::Number(&number), &TimeZone::UTC), Ok(Some(us)));
        }
    }
}
