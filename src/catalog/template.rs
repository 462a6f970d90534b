//! Requests as data: a template from the catalogue, filled in for one request.

use jiff::{Timestamp, fmt::strtime};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::{
    catalog::InvalidKey,
    time::interval::{Interval, iso},
};

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub struct PlaceholderValues<'a> {
    /// The time that is asked for.
    pub interval: Interval,
    /// Which page, from 1.
    pub page: u32,
    /// Rows of a page.
    pub page_size: u32,
    /// Rows before this page.
    pub offset: u64,
    /// What the page before gave for this one; none for the first.
    pub cursor: Option<&'a str>,
    /// The platform's id of the submitted task; empty where there is none.
    pub job_id: &'a str,
    /// The id of the parent whose rows are asked for; empty where there is none.
    pub parent_id: &'a str,
    /// The version of the API, like `v34.0`; empty where the platform has none.
    pub api_version: &'a str,
}

impl<'a> PlaceholderValues<'a> {
    /// For a request that is none of a page.
    pub fn bare(interval: Interval, api_version: &'a str) -> Self {
        Self {
            interval,
            page: 1,
            page_size: 1,
            offset: 0,
            cursor: None,
            job_id: "",
            parent_id: "",
            api_version,
        }
    }
}

/// A value with holes. It has been checked when the catalogue was read, so filling cannot fail.
#[derive(Debug, Clone)]
pub(super) enum Template {
    Fixed(Value),
    Text(Vec<Piece>),
    List(Vec<Template>),
    Table(Vec<(String, Template)>),
}

#[derive(Debug, Clone)]
pub(super) enum Piece {
    Literal(String),
    Placeholder(Placeholder),
}

/// A placeholder, by what it stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Placeholder {
    Interval,
    Time(IntervalBound, TimeFormat),
    Page,
    PageFromZero,
    PageSize,
    Offset,
    Cursor,
    AsyncJob,
    ParentQuery,
    ApiVersion,
}

/// A time of the interval: its start, its end, or the last millisecond before that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum IntervalBound {
    From,
    To,
    Last,
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TimeFormat {
    /// RFC 3339 with milliseconds.
    Iso,
    /// Milliseconds since 1970, a number.
    Milliseconds,
    /// As strftime does, in UTC.
    Strftime(String),
}

/// How the catalogue writes each placeholder, between braces.
const SLOTS: [(&str, Placeholder); 12] = [
    ("interval", Placeholder::Interval),
    ("from", Placeholder::Time(IntervalBound::From, TimeFormat::Iso)),
    ("to", Placeholder::Time(IntervalBound::To, TimeFormat::Iso)),
    ("last", Placeholder::Time(IntervalBound::Last, TimeFormat::Iso)),
    ("page", Placeholder::Page),
    ("page0", Placeholder::PageFromZero),
    ("page_size", Placeholder::PageSize),
    ("offset", Placeholder::Offset),
    ("cursor", Placeholder::Cursor),
    ("task", Placeholder::AsyncJob),
    ("each", Placeholder::ParentQuery),
    ("api_version", Placeholder::ApiVersion),
];

impl Placeholder {
    /// The placeholder of a name, with a form where it is a time: `from:%Y-%m-%d`.
    fn read(name: &str) -> Result<Self, String> {
        let (name, form) =
            name.split_once(':').map_or((name, None), |(name, form)| (name, Some(form)));
        let slot = SLOTS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, slot)| slot.clone())
            .ok_or_else(|| {
                let known = SLOTS.map(|(known, _)| format!("{{{known}}}")).join(", ");
                format!("`{{{name}}}` is not a placeholder; there are {known}")
            })?;
        match (slot, form) {
            (slot, None) => Ok(slot),
            (Self::Time(edge, _), Some("ms")) => Ok(Self::Time(edge, TimeFormat::Milliseconds)),
            (Self::Time(edge, _), Some(form)) => match strtime::format(form, Timestamp::UNIX_EPOCH)
            {
                Ok(_) => Ok(Self::Time(edge, TimeFormat::Strftime(form.to_owned()))),
                Err(error) => Err(format!(
                    "`{form}` is no form of a time: {error}; write ms, or like %Y-%m-%d"
                )),
            },
            (_, Some(_)) => Err(format!("`{{{name}}}` is no time: it takes no form")),
        }
    }

    /// How the catalogue writes it, without the form of a time.
    pub(super) fn name(&self) -> &'static str {
        let same = |known: &Self| match (known, self) {
            (Self::Time(edge, _), Self::Time(other, _)) => edge == other,
            _ => std::mem::discriminant(known) == std::mem::discriminant(self),
        };
        SLOTS.iter().find(|(_, known)| same(known)).map_or("", |(name, _)| name)
    }

    /// Its value; none for a cursor where there is none yet.
    fn value(&self, slots: &PlaceholderValues) -> Option<Value> {
        Some(match self {
            Self::Interval => slots.interval.to_string().into(),
            Self::Time(edge, form) => form.write(edge.of(slots.interval)),
            Self::Page => slots.page.into(),
            Self::PageFromZero => slots.page.saturating_sub(1).into(),
            Self::PageSize => slots.page_size.into(),
            Self::Offset => slots.offset.into(),
            Self::Cursor => slots.cursor?.into(),
            Self::AsyncJob => slots.job_id.into(),
            Self::ParentQuery => slots.parent_id.into(),
            Self::ApiVersion => slots.api_version.into(),
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
            Self::Strftime(form) => strtime::format(form, time).unwrap_or_default().into(),
        }
    }
}

impl Template {
    /// Reads the value that stands at `key` of a catalogue.
    pub(super) fn read(key: &str, value: toml::Value) -> Result<Self, InvalidKey> {
        Ok(match value {
            toml::Value::String(text) => {
                Self::Text(pieces(&text).map_err(|reason| InvalidKey::new(key, reason))?)
            }
            toml::Value::Integer(number) => Self::Fixed(number.into()),
            toml::Value::Float(number) if number.is_finite() => Self::Fixed(number.into()),
            toml::Value::Float(_) => return Err(InvalidKey::new(key, "json has no such number")),
            toml::Value::Boolean(flag) => Self::Fixed(flag.into()),
            toml::Value::Datetime(time) => Self::Fixed(time.to_string().into()),
            toml::Value::Array(items) => Self::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(at, item)| Self::read(&format!("{key}.{at}"), item))
                    .collect::<Result<_, _>>()?,
            ),
            toml::Value::Table(table) => Self::Table(Self::read_table(key, table)?),
        })
    }

    /// Reads a table's values, as [`read`](Self::read) does one.
    pub(super) fn read_table(
        key: &str,
        table: toml::Table,
    ) -> Result<Vec<(String, Self)>, InvalidKey> {
        table
            .into_iter()
            .map(|(name, value)| {
                let template = Self::read(&format!("{key}.{name}"), value)?;
                Ok((name, template))
            })
            .collect()
    }

    /// The value for one request; none where it is wholly a cursor and there is none yet. A text that
    /// is wholly one placeholder becomes the placeholder's own type, so that a page number stays a number.
    pub(super) fn fill(&self, slots: &PlaceholderValues) -> Option<Value> {
        Some(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(pieces) => match pieces.as_slice() {
                [Piece::Placeholder(slot)] => slot.value(slots)?,
                pieces => fill_text(pieces, slots).into(),
            },
            Self::List(items) => items.iter().filter_map(|item| item.fill(slots)).collect(),
            Self::Table(entries) => Value::Object(fill_table(entries, slots)),
        })
    }

    /// Whether a placeholder stands anywhere in it.
    pub(super) fn uses(&self, wanted: &Placeholder) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Text(pieces) => pieces
                .iter()
                .any(|piece| matches!(piece, Piece::Placeholder(slot) if slot == wanted)),
            Self::List(items) => items.iter().any(|item| item.uses(wanted)),
            Self::Table(entries) => entries.iter().any(|(_, template)| template.uses(wanted)),
        }
    }
}

/// Fills every value of a table that has one.
pub(super) fn fill_table(
    entries: &[(String, Template)],
    slots: &PlaceholderValues,
) -> Map<String, Value> {
    entries
        .iter()
        .filter_map(|(name, template)| Some((name.clone(), template.fill(slots)?)))
        .collect()
}

/// Fills the holes of a text.
fn fill_text(pieces: &[Piece], slots: &PlaceholderValues) -> String {
    pieces.iter().map(|piece| piece.text(slots)).collect()
}

/// Fills a path: what stands in for a placeholder is one segment of it, whatever it holds.
pub(super) fn fill_path(pieces: &[Piece], slots: &PlaceholderValues) -> String {
    let segment = |piece: &Piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Placeholder(_) => utf8_percent_encode(&piece.text(slots), SEGMENT).to_string(),
    };
    pieces.iter().map(segment).collect()
}

/// What a segment of a path must not hold as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Piece {
    fn text(&self, slots: &PlaceholderValues) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Placeholder(slot) => match slot.value(slots) {
                Some(Value::String(text)) => text,
                Some(other) => other.to_string(),
                None => String::new(),
            },
        }
    }
}

/// Cuts a text at its placeholders.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("`{text}` opens a brace and does not close it"))?;
        if !before.is_empty() {
            pieces.push(Piece::Literal(before.to_owned()));
        }
        pieces.push(Piece::Placeholder(Placeholder::read(name)?));
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(toml: &str) -> Result<Value, InvalidKey> {
        let interval = "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z".parse().unwrap();
        let table = toml.parse().unwrap();
        let filled = Template::read("body", toml::Value::Table(table))?;
        let slots = PlaceholderValues {
            interval,
            page: 3,
            page_size: 100,
            offset: 200,
            cursor: None,
            job_id: "t/1",
            parent_id: "",
            api_version: "v34.0",
        };
        Ok(filled.fill(&slots).unwrap())
    }

    #[test]
    fn a_text_that_is_wholly_one_placeholder_keeps_its_type() {
        let filled = fill(
            r#"n = "{page}"  z = "{page0}"  s = "page {page} of {page_size}"  e = """#.replace("  ", "\n").as_str(),
        );
        assert_eq!(filled.unwrap(), json!({ "n": 3, "z": 2, "s": "page 3 of 100", "e": "" }));
    }

    #[test]
    fn placeholders_stand_at_any_depth() {
        let filled = fill(
            r#"a = [{ gte = "{from}", lt = "{to}" }, "{interval}", 1, 1.5, true, 2024-01-01]"#,
        )
        .unwrap();
        let (from, to) = ("2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z");
        let expected =
            json!([{ "gte": from, "lt": to }, format!("{from}/{to}"), 1, 1.5, true, "2024-01-01"]);
        assert_eq!(filled["a"], expected);
    }

    #[test]
    fn an_unknown_or_open_placeholder_is_named_with_its_key() {
        let flaw = fill("a = { b = [\"x\", \"{pages}\"] }").unwrap_err();
        assert_eq!(flaw.key, "body.a.b.1");
        assert!(
            flaw.reason.starts_with("`{pages}` is not a placeholder; there are {interval}, "),
            "{}",
            flaw.reason
        );
        assert_eq!(
            fill("a = \"{page\"").unwrap_err().reason,
            "`{page` opens a brace and does not close it"
        );
        assert_eq!(fill("a = nan").unwrap_err().reason, "json has no such number");
    }

    #[test]
    fn a_time_is_written_in_the_form_that_is_asked_for() {
        let filled =
            fill(r#"a = ["{from:%Y-%m-%d}", "{to:%s}", "{to:ms}", "{last}", "day {last:%d}"]"#)
                .unwrap();
        let expected = json!([
            "2024-01-01",
            "1704153600",
            1_704_153_600_000_i64,
            "2024-01-01T23:59:59.999Z",
            "day 01"
        ]);
        assert_eq!(filled["a"], expected);
        assert!(fill("a = \"{page:%d}\"").unwrap_err().reason.contains("no time"));
        assert!(
            fill("a = \"{from:%!}\"").unwrap_err().reason.starts_with("`%!` is no form of a time")
        );
    }

    #[test]
    fn what_is_wholly_a_cursor_is_left_out_of_the_first_request() {
        assert_eq!(fill("a = \"{cursor}\"\nb = \"{offset}\"").unwrap(), json!({ "b": 200 }));
    }
}
