//! Why a body is not a page.

use arrow::error::ArrowError;

/// Why a body is not a page. None of its rows were decoded.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Not JSON, for example truncated, or the HTML page of a proxy.
    #[error("the page is not valid JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// Not CSV, for example HTML or not UTF-8.
    #[error("the result is not valid CSV: {0}")]
    NotCsv(#[source] csv::Error),
    /// The rewritten rows would take more bytes than this (G8).
    #[error("the rows of the page take more than {0} bytes, many times the size of the page")]
    TooLarge(u64),
    /// JSON without a list at the place of the rows.
    #[error("the rows of the page are not where the catalog says: {0}")]
    Shape(#[source] serde_json::Error),
    /// A column would hold more text than a batch can (2 GiB).
    #[error("the page does not fit into columns: {0}")]
    Columns(#[source] ArrowError),
}
