//! Why a row was not read.

use crate::decode::{columns::ColumnFull, json::SyntaxError};

/// Why a row was not read. Its values are to be removed from the columns. It takes one word, since
/// each value that is read returns one or none.
#[derive(Debug)]
pub(in crate::decode) struct RowError(Box<RowErrorKind>);

#[derive(Debug)]
pub(in crate::decode) enum RowErrorKind {
    /// It cannot be decoded, for this reason.
    Undecodable(String),
    /// The page does not fit into columns.
    ColumnFull,
}

impl RowError {
    /// The row cannot be decoded, for this reason.
    #[cold]
    pub(in crate::decode) fn undecodable(reason: String) -> Self {
        Self(Box::new(RowErrorKind::Undecodable(reason)))
    }

    pub(in crate::decode) fn kind(self) -> RowErrorKind {
        *self.0
    }
}

impl From<SyntaxError> for RowError {
    #[cold]
    fn from(error: SyntaxError) -> Self {
        Self::undecodable(error.reason())
    }
}

impl From<ColumnFull> for RowError {
    #[cold]
    fn from(_: ColumnFull) -> Self {
        Self(Box::new(RowErrorKind::ColumnFull))
    }
}
