//! Times in ISO 8601, with and without a zone.

use jiff::{Timestamp, civil, tz::TimeZone};

/// The microseconds since 1970 of a time in ISO 8601, or of the start of a day, in `zone` if it
/// names none. There, a time that occurs twice is the first one, and one that clocks skip is as much
/// later as they do.
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
fn usual_instant(text: &[u8]) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| {
        text[range].iter().try_fold(0i64, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
        })
    };
    let is_shaped = matches!(text.len(), 20 | 22..=30)
        && (text[4], text[7], text[10], text[13], text[16]) == (b'-', b'-', b'T', b':', b':')
        && text[text.len() - 1] == b'Z'
        && (text.len() == 20 || text[19] == b'.');
    if !is_shaped {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    let fraction = text.get(20..text.len() - 1).unwrap_or_default();
    let fraction_digit = |byte: &u8| byte.is_ascii_digit().then(|| byte - b'0');
    let mut fraction_digits = [0; 9];
    for (digit, byte) in fraction_digits.iter_mut().zip(fraction) {
        *digit = fraction_digit(byte)?;
    }
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // years that begin in March have the leap day at their end
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_of_years =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days_of_years + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000 + microseconds_of(&fraction_digits))
}

/// The microseconds of the digits after a second's decimal point. Later digits are dropped.
pub(super) fn microseconds_of(digits: &[u8]) -> i64 {
    let digits = digits.iter().copied().chain(std::iter::repeat(0)).take(6);
    digits.fold(0, |number, digit| number * 10 + i64::from(digit))
}
