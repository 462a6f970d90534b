//! Times in ISO 8601, with and without a zone.

use jiff::{Timestamp, civil, tz::TimeZone};

/// The microseconds since 1970 of a time in ISO 8601, or of the start of a day, in `zone` if it
/// names none. There, a time that occurs twice is the first one, and one that clocks skip is as
/// much later as they do.
pub(super) fn instant(text: &str, zone: &TimeZone) -> Option<i64> {
    usual_instant(text.as_bytes()).or_else(|| {
        let zoned = || text.parse::<Timestamp>().ok();
        let local = || {
            let local: civil::DateTime = text.parse().ok()?;
            zone.to_timestamp(local).ok()
        };
        let time = zoned().or_else(local)?;
        i64::try_from(time.as_nanosecond().div_euclid(1_000)).ok()
    })
}

/// The form that nearly every API writes: `2024-01-01T00:00:00.000Z`, with any fraction of a second
/// or none. `None` for any other form, and for days that not every month has.
#[inline]
pub(super) fn usual_instant(text: &[u8]) -> Option<i64> {
    const ZEROS: &[u8; 16] = b"0000-00-00T00:00";
    let (minute, rest) = text.split_first_chunk::<16>()?;
    let [b':', tens, ones, fraction @ .., b'Z'] = rest else { return None };
    // all bytes are looked at: the compiler does that in one step
    let (mut digits, mut is_usual) = ([0u8; 16], true);
    for at in 0..16 {
        digits[at] = minute[at].wrapping_sub(ZEROS[at]);
        is_usual &= digits[at] <= if ZEROS[at] == b'0' { 9 } else { 0 };
    }
    let digit = |at: usize| u32::from(digits[at]);
    let two = |at: usize| digit(at) * 10 + digit(at + 1);
    let (year, month, day, hour) = (two(0) * 100 + two(2), two(5), two(8), two(11));
    let (minute, second) = (two(14), two_digits([*tens, *ones])?);
    let is_valid = matches!((month, day), (1..=12, 1..=28)) && hour < 24 && minute < 60;
    if !is_usual || !is_valid || second > 59 {
        return None;
    }
    let microseconds = match fraction {
        [] => 0,
        [b'.', fraction @ ..] if matches!(fraction.len(), 1..=9) => {
            if !fraction.iter().all(u8::is_ascii_digit) {
                return None;
            }
            microseconds_of(fraction.iter().map(|byte| byte - b'0'))
        }
        _ => return None,
    };
    // years that begin in March have the leap day at their end; four centuries have 146,097 days
    let (year, month) = if month > 2 { (year + 400, month - 3) } else { (year + 399, month + 9) };
    let days_of_years = year * 365 + year / 4 - year / 100 + year / 400;
    let days = i64::from(days_of_years + (153 * month + 2) / 5 + day) - (719_469 + 146_097);
    let seconds = days * 86_400 + i64::from((hour * 60 + minute) * 60 + second);
    Some(seconds * 1_000_000 + microseconds)
}

/// The number that two digits write.
#[inline]
fn two_digits(text: [u8; 2]) -> Option<u32> {
    let (tens, ones) = (text[0].wrapping_sub(b'0'), text[1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// The microseconds of the digits after a second's decimal point. Later digits are dropped.
#[inline]
pub(super) fn microseconds_of(digits: impl Iterator<Item = u8>) -> i64 {
    let (mut microseconds, mut unit) = (0, 100_000);
    for digit in digits.take(6) {
        microseconds += i64::from(digit) * unit;
        unit /= 10;
    }
    microseconds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_in_the_usual_form_is_the_time_that_jiff_reads_or_none(
            date in (0u16..=9_999, 0u8..=14, 0u8..=33),
            time in (0u8..=26, 0u8..=63, 0u8..=63),
            fraction in "|\\.[0-9]{0,10}",
            changed in prop::option::of((0usize..24, prop::sample::select(b"09:-TZ. /;".to_vec()))),
        ) {
            let ((year, month, day), (hour, minute, second)) = (date, time);
            let mut text = format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"
            );
            if let Some((at, byte)) = changed.filter(|(at, _)| *at < text.len()) {
                text.replace_range(at..=at, str::from_utf8(&[byte]).unwrap());
            }
            let expected = text.parse::<Timestamp>().ok();
            let expected = expected.map(|time| time.as_nanosecond().div_euclid(1_000));
            let read = usual_instant(text.as_bytes()).map(i128::from);
            prop_assert!(read.is_none() || read == expected, "{text}: {read:?}, not {expected:?}");
            let is_usual = matches!((month, day), (1..=12, 1..=28)) && hour < 24 && minute < 60;
            let is_fraction = fraction.len() != 1 && fraction.len() < 11;
            if is_usual && second < 60 && changed.is_none() && is_fraction {
                prop_assert_eq!(read, expected, "{}", text);
            }
        }
    }
}
