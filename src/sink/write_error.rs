//! Why rows could not be written to a file.

use std::io;

use parquet::errors::ParquetError;

/// Why rows could not be written to a file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Parquet or the disk failed.
    #[error("a Parquet file cannot be written: {0}; is the output's disk full?")]
    Parquet(#[from] ParquetError),
    /// Arrow failed.
    #[error("a batch cannot be filtered: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The disk failed.
    #[error("a spool file cannot be written: {0}; is the output's disk full?")]
    Io(#[from] io::Error),
}
