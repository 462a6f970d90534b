//! Which columns of a dataset tell the media type and the handle time of a row, for sums that
//! people look at.

use arrow::datatypes::{DataType, Fields};
use serde::Deserialize;

use crate::catalog::ValuePath;

/// The key `sums` as the file writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SumsEntry {
    media: Option<String>,
    handle: Option<String>,
    #[serde(default)]
    unit: Unit,
}

/// The unit of handle times.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
enum Unit {
    #[default]
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
}

/// Which columns tell the media type and the handle time of a row. Without them rows are counted by
/// the hour of their time alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SumColumns {
    /// The media type: of several values the first. `None` if the catalog names no column.
    pub media: Option<ValuePath>,
    /// The handle time: the sum of all values. `None` if the catalog names no column.
    pub handle: Option<ValuePath>,
    /// What a value of the handle time is multiplied by to be milliseconds.
    pub handle_ms: f64,
}

impl SumsEntry {
    /// The columns, if `fields` has them. The error is the key and the reason.
    pub(super) fn check(&self, fields: &Fields) -> Result<SumColumns, (&'static str, String)> {
        let path = |text: &Option<String>, key, fits: fn(&DataType) -> bool, expected: &str| {
            let Some(text) = text else { return Ok(None) };
            let path = ValuePath::read(text).filter(|path| path.leaf(fields).is_some_and(fits));
            path.map(Some).ok_or_else(|| {
                let reason = format!(
                    "`{text}` does not lead to {expected}: write a path such as \
                     `legs[].parts[kind=talk].seconds`"
                );
                (key, reason)
            })
        };
        let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8);
        let is_number =
            |data_type: &DataType| matches!(data_type, DataType::Int64 | DataType::Float64);
        Ok(SumColumns {
            media: path(&self.media, "sums.media", is_text, "a string")?,
            handle: path(&self.handle, "sums.handle", is_number, "an int64 or a double")?,
            handle_ms: match self.unit {
                Unit::Seconds => 1e3,
                Unit::Milliseconds => 1.0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog;

    const CATALOG: &str = r#"
[dataset.calls]
version = 1
id      = "callId"
time    = "startedAt"
columns = "call"
sums    = { SUMS }
query   = { path = "/calls", rows = "/calls", paging = "none" }
[type.call]
callId    = "string"
startedAt = "timestamp"
medium    = "string"
legs      = "list<leg>"
[type.leg]
kind    = "string"
seconds = "double"
"#;

    fn error(sums: &str) -> String {
        let read = catalog::read("test", &CATALOG.replace("SUMS", sums));
        read.map(|_| String::new()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn the_columns_of_sums_must_exist_and_have_a_type_that_fits() {
        for valid in [
            r#"media = "medium", handle = "legs[].seconds""#,
            r#"media = "legs[].kind", handle = "legs[kind=talk].seconds", unit = "ms""#,
            "",
        ] {
            assert_eq!(error(valid), "");
        }
        for wrong in [
            r#"media = "media""#,
            r#"media = "legs.kind""#,
            r#"media = "legs[].seconds""#,
            r#"media = "legs[""#,
            r#"handle = "medium""#,
            r#"handle = "legs[seconds=1].seconds""#,
            r#"handle = "legs[]""#,
        ] {
            assert!(error(wrong).contains("dataset.calls.sums."), "{wrong}: {}", error(wrong));
        }
    }
}
