//! `Retry-After`, and the dates of HTTP (RFC 9110, sections 5.6.7 and 10.2.3).

use std::time::Duration;

use http::{
    HeaderMap,
    header::{DATE, RETRY_AFTER},
};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

use crate::{http::error::header, time::clock};

/// A longer pause counts as this one, so that no sum of times overflows.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// How long a response asks its client to wait, at most a year: the longest that any of its
/// `Retry-After` lines says. `None` if no line is a date or a number of seconds that is not
/// negative.
///
/// A date is relative to the `Date` of the response, so that the clocks may differ, or to this
/// machine's clock if the response has none. A date that has passed means no wait.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(RETRY_AFTER).iter().filter_map(|line| line.to_str().ok());
    lines.filter_map(|line| pause(line.trim(), headers)).max()
}

fn pause(line: &str, headers: &HeaderMap) -> Option<Duration> {
    let pause = match date(line) {
        Some(until) => {
            let now = header(headers, DATE.as_str()).and_then(date).unwrap_or_else(clock::now);
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        }
        // a proxy may have joined several lines
        None => line.split(',').filter_map(|number| seconds(number.trim())).max()?,
    };
    Some(pause.min(LONGEST))
}

/// A number of seconds, which may have decimals. `None` if it has a sign or anything else.
fn seconds(text: &str) -> Option<Duration> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = text.parse().ok()?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST))
}

/// The time that an HTTP date means, in any of its three forms or with a numeric zone. `None` if it
/// is not a date.
pub(crate) fn date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    // the last day of the year 9999 stands for "never"
    let time = httpdate::parse_http_date(text)
        .ok()
        .map(|time| Timestamp::try_from(time).unwrap_or(Timestamp::MAX));
    time.or_else(|| DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn read(line: &str) -> Option<Duration> {
        retry_after(&headers(&[("retry-after", line)]))
    }

    #[test]
    fn seconds_may_be_padded_decimal_or_beyond_64_bits() {
        let nines = "9".repeat(400);
        for (line, expected) in [
            ("120", Some(SECOND * 120)),
            ("  7\t", Some(SECOND * 7)),
            ("007", Some(SECOND * 7)),
            ("0", Some(Duration::ZERO)),
            ("1.5", Some(SECOND * 3 / 2)),
            ("18446744073709551616", Some(LONGEST)),
            (&nines, Some(LONGEST)),
            ("30, 60", Some(SECOND * 60)),
            ("-5", None),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("1e3", None),
            ("inf", None),
            ("NaN", None),
            ("soon", None),
            ("7 s", None),
            ("\u{664}\u{662}", None), // digits of another script
        ] {
            assert_eq!(read(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_date_is_relative_to_the_date_of_the_response() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (line, expected) in [
            ("Sun, 06 Nov 1994 08:51:37 GMT", 120),
            (" Sun, 06 Nov 1994 08:51:37 GMT ", 120),
            ("Sunday, 06-Nov-94 08:51:37 GMT", 120),
            ("Sun Nov  6 08:51:37 1994", 120),
            ("Sun, 06 Nov 1994 09:51:37 +0100", 120),
            ("Mon, 06 Nov 1994 08:51:37 GMT", 120), // it was a Sunday
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ] {
            let headers = headers(&[date, ("retry-after", line)]);
            assert_eq!(retry_after(&headers), Some(SECOND * expected), "{line}");
        }
        let headers = headers(&[date, ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")]);
        assert_eq!(retry_after(&headers), Some(LONGEST));
    }

    #[test]
    fn without_a_valid_date_of_the_response_the_clock_of_this_machine_counts() {
        let until = clock::now() + jiff::SignedDuration::from_secs(300);
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        let until = printer.timestamp_to_rfc9110_string(&until).unwrap();
        for date in [None, Some(("date", "yesterday"))] {
            let lines = [Some(("retry-after", until.as_str())), date];
            let lines: Vec<_> = lines.into_iter().flatten().collect();
            let pause = retry_after(&headers(&lines)).unwrap();
            assert!((SECOND * 290..=SECOND * 300).contains(&pause), "{pause:?}");
        }
    }

    #[test]
    fn of_several_lines_the_longest_pause_counts() {
        let lines = headers(&[("retry-after", "5"), ("retry-after", "x"), ("retry-after", "60")]);
        assert_eq!(retry_after(&lines), Some(SECOND * 60));
    }

    /// `SEEDS=1000000 cargo test --lib no_retry_after` draws more.
    #[test]
    fn no_retry_after_panics_or_exceeds_a_year() {
        const PARTS: [&str; 24] = [
            "Sun",
            "Sunday",
            ",",
            " ",
            "06",
            "6",
            "Nov",
            "1994",
            "94",
            "08:49:37",
            "24:60:61",
            "GMT",
            "UTC",
            "+0100",
            "-9999",
            "-",
            ".",
            "9",
            "0",
            "99999999999999999999",
            "1e9",
            "inf",
            "\t",
            "\u{e9}",
        ];
        let seeds = std::env::var("SEEDS").map_or(20_000, |seeds| seeds.parse().unwrap());
        for seed in 0..seeds {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut line = || -> String {
                (0..rng.usize(0..9)).map(|_| PARTS[rng.usize(..PARTS.len())]).collect()
            };
            let (first, second, date) = (line(), line(), line());
            let headers =
                headers(&[("retry-after", &first), ("retry-after", &second), ("date", &date)]);
            let pause = retry_after(&headers);
            assert!(pause.is_none_or(|pause| pause <= LONGEST), "seed {seed}: {headers:?}");
            let only_digits = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
            assert!(!only_digits || pause.is_some(), "seed {seed}: {headers:?}");
        }
    }
}
