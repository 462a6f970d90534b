//! Placeholders: what a template can be filled with.

use jiff::{Timestamp, fmt::strtime};
use serde_json::Value;

use crate::time::interval::{Interval, iso};

/// The values that a template is filled with.
#[derive(Debug, Clone, Copy)]
pub struct PlaceholderValues<'a> {
    /// The requested interval.
    pub interval: Interval,
    /// The page number, from 1.
    pub page: u32,
    /// Rows per page.
    pub page_size: u32,
    /// Rows before this page.
    pub offset: u64,
    /// The cursor that the page before returned. `None` for the first page.
    pub cursor: Option<&'a str>,
    /// The platform's id of the submitted job. Empty if there is none.
    pub job_id: &'a str,
    /// The id of the parent whose rows are requested. Empty if there is none.
    pub parent_id: &'a str,
    /// The ids of the rows that are requested. Empty unless rows are requested by id.
    pub ids: &'a [String],
    /// The version of the API, such as `v34.0`. Empty if the platform has no versions.
    pub api_version: &'a str,
}

impl<'a> PlaceholderValues<'a> {
    /// The values of a request that is not for a page.
    pub fn bare(interval: Interval, api_version: &'a str) -> Self {
        Self {
            interval,
            page: 1,
            page_size: 1,
            offset: 0,
            cursor: None,
            job_id: "",
            parent_id: "",
            ids: &[],
            api_version,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Placeholder {
    Interval,
    Time(IntervalBound, TimeFormat),
    Page,
    PageFromZero,
    PageSize,
    Offset,
    Cursor,
    JobId,
    ParentId,
    Ids,
    ApiVersion,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum IntervalBound {
    From,
    To,
    /// The last millisecond before `To`.
    Last,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TimeFormat {
    /// RFC 3339 with milliseconds.
    Iso,
    /// Milliseconds since 1970, as a number.
    Milliseconds,
    /// A strftime format, in UTC.
    Strftime(String),
}

/// The names of the placeholders, as the catalog writes them between braces.
const PLACEHOLDERS: [(&str, Placeholder); 13] = [
    ("interval", Placeholder::Interval),
    ("from", Placeholder::Time(IntervalBound::From, TimeFormat::Iso)),
    ("to", Placeholder::Time(IntervalBound::To, TimeFormat::Iso)),
    ("last", Placeholder::Time(IntervalBound::Last, TimeFormat::Iso)),
    ("page", Placeholder::Page),
    ("page0", Placeholder::PageFromZero),
    ("page_size", Placeholder::PageSize),
    ("offset", Placeholder::Offset),
    ("cursor", Placeholder::Cursor),
    ("task", Placeholder::JobId),
    ("each", Placeholder::ParentId),
    ("ids", Placeholder::Ids),
    ("api_version", Placeholder::ApiVersion),
];

impl Placeholder {
    /// Reads a placeholder's name; a time may have a format, as in `from:%Y-%m-%d`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (name, format) = match text.split_once(':') {
            Some((name, format)) => (name, Some(format)),
            None => (text, None),
        };
        let Some((_, placeholder)) = PLACEHOLDERS.iter().find(|(known, _)| *known == name) else {
            let known = PLACEHOLDERS.map(|(known, _)| format!("{{{known}}}")).join(", ");
            return Err(format!("`{{{name}}}` is not a placeholder: expected one of {known}"));
        };
        match (placeholder.clone(), format) {
            (placeholder, None) => Ok(placeholder),
            (Self::Time(bound, _), Some("ms")) => Ok(Self::Time(bound, TimeFormat::Milliseconds)),
            (Self::Time(bound, _), Some(format)) => {
                match strtime::format(format, Timestamp::UNIX_EPOCH) {
                    Ok(_) => Ok(Self::Time(bound, TimeFormat::Strftime(format.to_owned()))),
                    Err(error) => Err(format!(
                        "`{format}` is not a valid time format: {error}; expected `ms`, or a \
                         strftime format such as %Y-%m-%d"
                    )),
                }
            }
            (_, Some(_)) => {
                Err(format!("`{{{name}}}` is not a time and cannot have a format: leave it out"))
            }
        }
    }

    /// Returns the name that the catalog writes, without the format of a time.
    pub(super) fn name(&self) -> &'static str {
        let is_same = |known: &Self| match (known, self) {
            (Self::Time(bound, _), Self::Time(other, _)) => bound == other,
            _ => std::mem::discriminant(known) == std::mem::discriminant(self),
        };
        PLACEHOLDERS.iter().find(|(_, known)| is_same(known)).map_or("", |(name, _)| name)
    }

    /// Returns the value, or `None` for a cursor that is not known yet.
    pub(super) fn value(&self, values: &PlaceholderValues) -> Option<Value> {
        Some(match self {
            Self::Interval => values.interval.to_string().into(),
            Self::Time(bound, format) => format.write(bound.of(values.interval)),
            Self::Page => values.page.into(),
            Self::PageFromZero => values.page.saturating_sub(1).into(),
            Self::PageSize => values.page_size.into(),
            Self::Offset => values.offset.into(),
            Self::Cursor => values.cursor?.into(),
            Self::JobId => values.job_id.into(),
            Self::ParentId => values.parent_id.into(),
            Self::Ids => values.ids.into(),
            Self::ApiVersion => values.api_version.into(),
        })
    }
}

impl IntervalBound {
    fn of(self, interval: Interval) -> i64 {
        match self {
            Self::From => interval.from_ms(),
            Self::To => interval.to_ms(),
            Self::Last => interval.to_ms() - 1,
        }
    }
}

impl TimeFormat {
    fn write(&self, ms: i64) -> Value {
        let time = Timestamp::from_millisecond(ms).unwrap_or_default();
        match self {
            Self::Iso => iso(ms).into(),
            Self::Milliseconds => ms.into(),
            Self::Strftime(format) => strtime::format(format, time).unwrap_or_default().into(),
        }
    }
}
