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
#[inline]
pub(super) fn usual_instant(text: &[u8]) -> Option<i64> {
    const DIGITS: [usize; 14] = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18];
    let (date_time, rest) = text.split_first_chunk::<19>()?;
    let fraction = match rest {
        [b'Z'] => &[],
        [b'.', fraction @ .., b'Z'] if matches!(fraction.len(), 1..=9) => fraction,
        _ => return None,
    };
    let marks = [date_time[4], date_time[7], date_time[10], date_time[13], date_time[16]];
    // all digits are looked at: that takes less time than a branch for each
    let mut largest = 0;
    for at in DIGITS {
        largest = largest.max(date_time[at].wrapping_sub(b'0'));
    }
    if largest > 9 || marks != *b"--T::" || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| i64::from(date_time[at] - b'0');
    let digits = |at: usize| digit(at) * 10 + digit(at + 1);
    let (year, month, day) = (digits(0) * 100 + digits(2), digits(5), digits(8));
    let (hour, minute, second) = (digits(11), digits(14), digits(17));
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
    Some(seconds * 1_000_000 + microseconds_of(fraction.iter().map(|byte| byte - b'0')))
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
