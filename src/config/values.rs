//! Values that TOML has no type for: durations, sizes, shares, URLs, texts from elsewhere.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, civil::Date, tz::TimeZone};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error};
use url::Url;

use crate::{
    config::layers::{ConfigError, Layers},
    http::transport::is_loopback_host,
    time::{clock, interval::Interval},
};

/// A duration with a unit, such as `"60s"` or `"1d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationText(pub Duration);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| {
            D::Error::custom("invalid duration: expected a string with a unit, such as \"60s\"")
        })?;
        parse_duration(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "invalid duration `{text}`: expected a number with a unit, such as \"60s\" or \
                 \"1d\""
            ))
        })
    }
}

/// The width of shards: `"auto"`, or a duration with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShardWidthText {
    Auto,
    Fixed(DurationText),
}

impl<'de> Deserialize<'de> for ShardWidthText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| {
            D::Error::custom(
                "invalid duration: expected \"auto\", or a string with a unit, such as \"1d\"",
            )
        })?;
        match (text.as_str(), parse_duration(&text)) {
            ("auto", _) => Ok(Self::Auto),
            (_, Some(width)) => Ok(Self::Fixed(DurationText(width))),
            _ => Err(D::Error::custom(format!(
                "invalid duration `{text}`: expected \"auto\", or a number with a unit, such as \
                 \"1d\""
            ))),
        }
    }
}

/// Reads an RFC 3339 time, a date, or a time relative to the start of the program: `now-30m`,
/// `today`, `today-7d`, `yesterday`. A day means its start (UTC).
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let now = clock::now();
    if let Some(ago) = text.strip_prefix("now") {
        return before(now, ago);
    }
    let today = Timestamp::from_millisecond(Interval::day_of(now.as_millisecond()).from_ms());
    if let Some(ago) = text.strip_prefix("today") {
        return before(today.ok()?, ago);
    }
    if text == "yesterday" {
        return before(today.ok()?, "-1d");
    }
    match parse_date(text) {
        Some(day) => Timestamp::from_millisecond(day.from_ms()).ok(),
        None => text.parse().ok(),
    }
}

/// The time `ago`, such as `-30m` or nothing, before another.
fn before(time: Timestamp, ago: &str) -> Option<Timestamp> {
    match ago {
        "" => Some(time),
        _ => time.checked_sub(parse_duration(ago.strip_prefix('-')?)?).ok(),
    }
}

/// Reads a date such as `2024-01-01` as its UTC day.
pub(crate) fn parse_date(text: &str) -> Option<Interval> {
    // a longer text is a date with a time
    let date: Date = text.parse().ok().filter(|_| text.len() == "2024-01-01".len())?;
    let midnight = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(Interval::day_of(midnight.as_millisecond()))
}

/// Whether a text that [`parse_time`] reads is relative to the start of the program.
pub(crate) fn is_relative_time(text: &str) -> bool {
    ["now", "today", "yesterday"].iter().any(|word| text.starts_with(word))
}

/// The message for a text that is not a time.
pub(crate) fn invalid_time(text: &str) -> String {
    format!(
        "`{text}` is not a valid time: write it like 2024-01-01T00:00:00Z, 2024-01-01, now-30m or \
         today-7d"
    )
}

/// Reads a UTC day, written as in [`parse_time`], or an interval between two times with a slash.
///
/// # Errors
/// If the text is neither.
pub(crate) fn interval_argument(text: &str) -> Result<Interval, String> {
    match text.split_once('/') {
        Some((from, to)) => {
            let (from, to) = (time_argument(from)?, time_argument(to)?);
            let empty = || format!("`{text}` is empty: its end must be after its start");
            Interval::between(from, to).ok_or_else(empty)
        }
        None => {
            let from_ms = time_argument(text)?.as_millisecond();
            let day = Some(Interval::day_of(from_ms)).filter(|day| day.from_ms() == from_ms);
            let other = || {
                format!(
                    "`{text}` is not a day: write it like 2024-03-07, or an interval like \
                     2024-03-07/2024-03-09"
                )
            };
            day.ok_or_else(other)
        }
    }
}

/// Reads an argument of the command line as [`parse_time`] does.
///
/// # Errors
/// If the text is not a time.
pub(crate) fn time_argument(text: &str) -> Result<Timestamp, String> {
    parse_time(text).ok_or_else(|| invalid_time(text))
}

pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    Duration::try_from(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?).ok()
}

/// A duration that may be negative, such as `"-90s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignedDurationText(pub SignedDuration);

impl<'de> Deserialize<'de> for SignedDurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span: Option<Span> = text.parse().ok();
        let offset =
            span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        offset.map(Self).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a valid offset: write it like \"-90s\""))
        })
    }
}

/// A size with a unit, such as `"64MiB"`, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSizeText(pub u64);

impl<'de> Deserialize<'de> for ByteSizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a size such as \"64MiB\", or a number of bytes")]
        enum Typed {
            Bytes(u64),
            Text(String),
        }
        match Typed::deserialize(deserializer)? {
            Typed::Bytes(bytes) => Ok(Self(bytes)),
            Typed::Text(text) => parse_size(&text).map(Self).ok_or_else(|| {
                D::Error::custom(format!("`{text}` is not a valid size: write it like \"64MiB\""))
            }),
        }
    }
}

/// A share above zero, such as `"60%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PercentText(pub u8);

impl<'de> Deserialize<'de> for PercentText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)
            .map_err(|_| D::Error::custom("expected a string from \"1%\" to \"100%\""))?;
        let number =
            text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
        number.filter(|percent| (1..=100).contains(percent)).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is not a valid share: expected a whole number from \"1%\" to \"100%\""
            ))
        })
    }
}

/// Reads a size on the command line, such as `64MiB`.
pub(crate) fn size_argument(text: &str) -> Result<u64, String> {
    let size = parse_size(text).filter(|bytes| *bytes > 0);
    size.ok_or_else(|| format!("`{text}` is not a valid size: write it like 64MiB"))
}

fn parse_size(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let scale = match text[unit..].trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    text[..unit].parse::<u64>().ok()?.checked_mul(scale)
}

/// The URL of a host.
#[derive(Debug, Clone)]
pub(crate) struct HttpUrl(pub Url);

impl<'de> Deserialize<'de> for HttpUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            D::Error::custom(format!(
                "`{text}` is not a valid URL: write it like https://api.example.com"
            ))
        })
    }
}

/// A text, or where it is: in an environment variable, in a file, or printed by a command.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a string, { env = \"NAME\" }, { file = \"PATH\" } or { command = \
                 [\"PROGRAM\", \"ARGUMENT\", …] }",
    deny_unknown_fields
)]
pub(crate) enum TextSource {
    /// An environment variable, or a line of `.env`.
    Env { env: String },
    /// A file, without the white space at both ends of its content.
    File { file: PathBuf },
    /// What a program prints, without the end of the line. The other texts are its arguments.
    Command { command: Vec<String> },
    /// The text itself.
    Here(SecretString),
}

/// Checks that a duration is above zero.
pub(crate) fn positive(
    duration: DurationText,
    key: &str,
    layers: &Layers,
) -> Result<Duration, ConfigError> {
    match duration.0.is_zero() {
        true => Err(layers.error(key, "must be above zero")),
        false => Ok(duration.0),
    }
}

/// Checks that a number lies in a range.
pub(crate) fn in_range(
    value: usize,
    range: RangeInclusive<usize>,
    key: &str,
    layers: &Layers,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    Err(layers.error(key, format!("invalid number {value}: expected {least} to {most}")))
}

/// Checks that credentials would travel encrypted, or to this machine only (G10).
pub(crate) fn checked_url(url: Url, key: &str, layers: &Layers) -> Result<Url, ConfigError> {
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback_host(&url) => Ok(url),
        "http" => {
            let message = format!("`{url}` would send credentials unencrypted: use https");
            Err(layers.error(key, message))
        }
        _ => Err(layers.error(key, format!("`{url}` is not a web address: use https"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Both {
        length: DurationText,
        size: ByteSizeText,
    }

    fn read(length: &str, size: &str) -> Result<Both, toml::de::Error> {
        toml::from_str(&format!("length = {length}\nsize = {size}"))
    }

    #[test]
    fn durations_and_sizes_have_units() {
        let both = read("\"1d\"", "\"64MiB\"").unwrap();
        assert_eq!((both.length.0, both.size.0), (Duration::from_secs(86_400), 64 << 20));
        let both = read("\"1h 30m\"", "1000").unwrap();
        assert_eq!((both.length.0, both.size.0), (Duration::from_secs(5_400), 1_000));
    }

    #[test]
    fn a_time_may_be_relative_to_now() {
        let ago = parse_time("now").unwrap().duration_since(parse_time("now-1d").unwrap());
        assert!((ago.as_secs() - 86_400).abs() < 5, "{ago}");
        assert_eq!(parse_time("2024-01-01T00:00:00Z").unwrap().as_second(), 1_704_067_200);
        assert!(
            ["now+1d", "now-", "tomorrow", "now-x"].iter().all(|text| parse_time(text).is_none())
        );
    }

    #[test]
    fn whole_days_are_named_by_date_or_relative_to_today_in_utc() {
        let time = |text: &str| parse_time(text).unwrap().as_millisecond();
        assert_eq!(time("2024-01-01"), 1_704_067_200_000);
        // unless the test runs at midnight
        let today = Interval::day_of(clock::now().as_millisecond());
        assert_eq!(Interval::day_of(time("today")), today);
        assert_eq!(time("today") % 86_400_000, 0);
        assert_eq!(time("today") - time("yesterday"), 86_400_000);
        assert_eq!(time("today") - time("today-7d"), 7 * 86_400_000);
        assert_eq!(time("today") - time("today-90m"), 5_400_000);
        for text in ["today+1d", "yesterday-1d", "Today", "2024-1-1", "2024-01-32", "20240101"] {
            assert!(parse_time(text).is_none(), "{text}");
        }
        assert!(is_relative_time("today") && !is_relative_time("2024-01-01"));
    }

    #[test]
    fn an_interval_is_a_day_or_two_times() {
        let read = |text| interval_argument(text).map(|interval| interval.to_string());
        let day = "2024-03-07T00:00:00.000Z/2024-03-08T00:00:00.000Z";
        assert_eq!(read("2024-03-07").unwrap(), day);
        assert_eq!(read("2024-03-07T00:00:00Z").unwrap(), day);
        assert_eq!(read("2024-03-07/2024-03-08").unwrap(), day);
        assert_eq!(interval_argument("yesterday"), interval_argument("yesterday/today"));
        for text in ["2024-03-07T10:00:00Z", "2024-03-07/2024-03-07", "tomorrow", "a/b", "today/"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_without_a_known_unit_is_refused() {
        for (length, size) in
            [("60", "1"), ("\"1 parsec\"", "1"), ("\"-5s\"", "1"), ("\"1s\"", "\"5 apples\"")]
        {
            assert!(read(length, size).is_err(), "{length} {size}");
        }
    }
}
