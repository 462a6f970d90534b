//! Values that TOML has no type for: durations, sizes, shares, URLs, texts from elsewhere.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error};
use url::Url;

use crate::{
    config::layers::{ConfigError, Layers},
    http::transport::is_loopback_host,
    time::clock,
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

/// Reads an RFC 3339 time, or one relative to the start of the program such as `now-30m`.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    match text.strip_prefix("now") {
        Some("") => Some(clock::now()),
        Some(ago) => clock::now().checked_sub(parse_duration(ago.strip_prefix('-')?)?).ok(),
        None => text.parse().ok(),
    }
}

/// The message for a text that is not a time.
pub(crate) fn invalid_time(text: &str) -> String {
    format!("`{text}` is not a valid time: write it like 2024-01-01T00:00:00Z or now-30m")
}

fn parse_duration(text: &str) -> Option<Duration> {
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

/// A text, or where it is: in an environment variable or in a file.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a string, { env = \"NAME\" } or { file = \"PATH\" }",
    deny_unknown_fields
)]
pub(crate) enum TextSource {
    /// An environment variable, or a line of `.env`.
    Env { env: String },
    /// A file, without the white space at both ends of its content.
    File { file: PathBuf },
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
    fn a_value_without_a_known_unit_is_refused() {
        for (length, size) in
            [("60", "1"), ("\"1 parsec\"", "1"), ("\"-5s\"", "1"), ("\"1s\"", "\"5 apples\"")]
        {
            assert!(read(length, size).is_err(), "{length} {size}");
        }
    }
}
