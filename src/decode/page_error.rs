//! Why a body is not a page.

use arrow::error::ArrowError;

/// Why a body is not a page. None of its rows were decoded.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Not JSON, for example truncated, or the HTML page of a proxy.
    #[error("the page is not valid JSON: {}", without_value(.0))]
    NotJson(#[source] serde_json::Error),
    /// Not CSV, for example HTML or not UTF-8.
    #[error("the result is not valid CSV: {0}")]
    NotCsv(#[source] csv::Error),
    /// The rewritten rows would take more bytes than this (G8).
    #[error("the rows of the page take more than {0} bytes, many times the size of the page")]
    TooLarge(u64),
    /// JSON without a list at the place of the rows.
    #[error("the rows of the page are not where the catalog says: {}", without_value(.0))]
    Shape(#[source] serde_json::Error),
    /// A column would hold more text than a batch can (2 GiB).
    #[error("the page does not fit into columns: {0}")]
    Columns(#[source] ArrowError),
}

/// The text of an error without the value that it quotes, which is data: `invalid type: string
/// "Zoë", expected a sequence` becomes `invalid type: string, expected a sequence`.
fn without_value(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let quote = text.find(['"', '`']).filter(|_| error.is_data());
    match quote.and_then(|start| Some((start, text.rfind(", expected ")?))) {
        Some((start, end)) if start < end => {
            format!("{}{}", text[..start].trim_end(), &text[end..])
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    fn shape<T: DeserializeOwned>(json: &str) -> String {
        let error = serde_json::from_str::<T>(json).err().unwrap();
        PageError::Shape(error).to_string()
    }

    #[test]
    fn an_error_does_not_quote_the_value_in_the_place_of_the_rows() {
        let start = "the rows of the page are not where the catalog says: invalid type: ";
        for (json, expected) in [
            (r#""Zoë, expected \" , expected `x`""#, "string, expected a sequence at line 1"),
            ("4930123456", "integer, expected a sequence at line 1"),
            ("{}", "map, expected a sequence at line 1"),
        ] {
            let said = shape::<Vec<u8>>(json);
            assert!(said.starts_with(&format!("{start}{expected}")), "{said}");
        }
        assert!(shape::<Vec<u8>>("[1").contains("EOF while parsing"));
    }
}
