//! Why a row was not read.

use crate::decode::{columns::ColumnFull, json::SyntaxError};

/// Why a row was not read. Its values are to be removed from the columns.
#[derive(Debug)]
pub(in crate::decode) enum RowError {
    /// It cannot be decoded, for this reason.
    Undecodable(String),
    /// The page does not fit into columns.
    ColumnFull,
}

impl From<SyntaxError> for RowError {
    fn from(error: SyntaxError) -> Self {
        Self::Undecodable(error.reason())
    }
}

impl From<ColumnFull> for RowError {
    fn from(_: ColumnFull) -> Self {
        Self::ColumnFull
    }
}
