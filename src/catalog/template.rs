//! Templates: TOML values with placeholders, filled in for each request.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::catalog::{
    InvalidKey,
    placeholder::{Placeholder, PlaceholderValues},
};

/// A value with placeholders. It is checked when the catalog is read, so that filling cannot fail.
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

impl Template {
    /// Reads the value at `key` of a catalog.
    pub(super) fn read(key: &str, value: toml::Value) -> Result<Self, InvalidKey> {
        Ok(match value {
            toml::Value::String(text) => {
                Self::Text(pieces(&text).map_err(|reason| InvalidKey::new(key, reason))?)
            }
            toml::Value::Integer(number) => Self::Fixed(number.into()),
            toml::Value::Float(number) if number.is_finite() => Self::Fixed(number.into()),
            toml::Value::Float(number) => {
                return Err(InvalidKey::new(
                    key,
                    format!("`{number}` is not a JSON number: expected a finite one"),
                ));
            }
            toml::Value::Boolean(flag) => Self::Fixed(flag.into()),
            toml::Value::Datetime(time) => Self::Fixed(time.to_string().into()),
            toml::Value::Array(items) => Self::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| Self::read(&format!("{key}.{index}"), item))
                    .collect::<Result<_, _>>()?,
            ),
            toml::Value::Table(table) => Self::Table(Self::read_table(key, table)?),
        })
    }

    /// Reads the values of the table at `key` of a catalog.
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

    /// Returns the value for one request, or `None` if it is only a cursor and none is known yet. A
    /// text that is one placeholder and nothing else gets the placeholder's type, so that a page
    /// number stays a number.
    pub(super) fn fill(&self, values: &PlaceholderValues) -> Option<Value> {
        Some(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(pieces) => match pieces.as_slice() {
                [Piece::Placeholder(placeholder)] => placeholder.value(values)?,
                pieces => fill_text(pieces, values).into(),
            },
            Self::List(items) => items.iter().filter_map(|item| item.fill(values)).collect(),
            Self::Table(entries) => Value::Object(fill_table(entries, values)),
        })
    }

    /// Whether the placeholder is used anywhere in the value.
    pub(super) fn uses(&self, wanted: &Placeholder) -> bool {
        let is_wanted =
            |piece: &Piece| matches!(piece, Piece::Placeholder(other) if other == wanted);
        match self {
            Self::Fixed(_) => false,
            Self::Text(pieces) => pieces.iter().any(is_wanted),
            Self::List(items) => items.iter().any(|item| item.uses(wanted)),
            Self::Table(entries) => entries.iter().any(|(_, template)| template.uses(wanted)),
        }
    }
}

/// Fills every value of a table; an entry without a value is left out.
pub(super) fn fill_table(
    entries: &[(String, Template)],
    values: &PlaceholderValues,
) -> Map<String, Value> {
    entries
        .iter()
        .filter_map(|(name, template)| Some((name.clone(), template.fill(values)?)))
        .collect()
}

fn fill_text(pieces: &[Piece], values: &PlaceholderValues) -> String {
    pieces.iter().map(|piece| piece.text(values)).collect()
}

/// Fills a path: the value of a placeholder becomes one segment, whatever characters it has.
pub(super) fn fill_path(pieces: &[Piece], values: &PlaceholderValues) -> String {
    let segment = |piece: &Piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Placeholder(_) => utf8_percent_encode(&piece.text(values), SEGMENT).to_string(),
    };
    pieces.iter().map(segment).collect()
}

/// Whether a text that a server gave can be the value of a placeholder in a path. An empty one or
/// one of dots, encoded or not, would lead to another path: some servers decode more than once.
pub(crate) fn is_path_segment(text: &str) -> bool {
    let mut text = text.to_owned();
    while let Ok(decoded) = percent_decode_str(&text).decode_utf8()
        && decoded != text
    {
        text = decoded.into_owned();
    }
    !matches!(text.as_str(), "" | "." | "..")
}

/// The characters that are percent-encoded in a path segment: all but the unreserved ones.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Piece {
    fn text(&self, values: &PlaceholderValues) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Placeholder(placeholder) => match placeholder.value(values) {
                Some(Value::String(text)) => text,
                Some(Value::Array(ids)) => {
                    let ids: Vec<_> = ids.iter().filter_map(Value::as_str).collect();
                    ids.join(",")
                }
                Some(other) => other.to_string(),
                None => String::new(),
            },
        }
    }
}

/// Splits a text at its placeholders.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("`{text}` has an opening brace without a closing one"))?;
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
        let values = PlaceholderValues {
            interval,
            page: 3,
            page_size: 100,
            offset: 200,
            cursor: None,
            job_id: "t/1",
            parent_id: "",
            ids: &[],
            api_version: "v34.0",
        };
        Ok(filled.fill(&values).unwrap())
    }

    #[test]
    fn an_id_that_would_lead_to_another_path_is_no_segment() {
        for text in ["", ".", "..", "%2e%2E", "%2E", "%252e%252e", ".%2e"] {
            assert!(!is_path_segment(text), "{text}");
        }
        for text in ["a", "...", "..a", "a/../b", "%2e%2ea", "100%", "é"] {
            assert!(is_path_segment(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_one_placeholder_keeps_its_type() {
        let filled = fill(
            r#"n = "{page}"  z = "{page0}"  s = "page {page} of {page_size}"  e = """#.replace("  ", "\n").as_str(),
        );
        assert_eq!(filled.unwrap(), json!({ "n": 3, "z": 2, "s": "page 3 of 100", "e": "" }));
    }

    #[test]
    fn placeholders_are_filled_at_any_depth() {
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
    fn an_error_names_the_key_of_an_unknown_or_unclosed_placeholder() {
        let error = fill("a = { b = [\"x\", \"{pages}\"] }").unwrap_err();
        assert_eq!(error.key, "body.a.b.1");
        assert!(
            error
                .reason
                .starts_with("`{pages}` is not a placeholder: expected one of {interval}, "),
            "{}",
            error.reason
        );
        assert_eq!(
            fill("a = \"{page\"").unwrap_err().reason,
            "`{page` has an opening brace without a closing one"
        );
        assert_eq!(
            fill("a = nan").unwrap_err().reason,
            "`NaN` is not a JSON number: expected a finite one"
        );
    }

    #[test]
    fn a_time_is_written_in_the_requested_format() {
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
        assert!(fill("a = \"{page:%d}\"").unwrap_err().reason.contains("is not a time"));
        assert!(
            fill("a = \"{from:%!}\"")
                .unwrap_err()
                .reason
                .starts_with("`%!` is not a valid time format")
        );
    }

    #[test]
    fn a_value_that_is_only_a_cursor_is_left_out_of_the_first_request() {
        assert_eq!(fill("a = \"{cursor}\"\nb = \"{offset}\"").unwrap(), json!({ "b": 200 }));
    }
}
