//! Errors of a catalog file.

/// Why a catalog cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {key}: {reason}")]
pub struct CatalogError {
    /// The file that was read.
    pub file: String,
    /// The invalid key, such as `dataset.conversations.widest`, or the line of a file that is not
    /// TOML.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A [`CatalogError`] before its file is known.
#[derive(Debug)]
pub(crate) struct InvalidKey {
    pub key: String,
    pub reason: String,
}

impl InvalidKey {
    pub(super) fn new(key: &str, reason: impl Into<String>) -> Self {
        Self { key: key.to_owned(), reason: reason.into() }
    }
}
