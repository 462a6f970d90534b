//! Why rows could not be written to a file.

use std::io;

use parquet::errors::ParquetError;

/// Why rows could not be written to a file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Parquet or the disk failed.
    #[error("{0}; if its disk is full, free it, then run again")]
    Parquet(#[from] ParquetError),
    /// Arrow failed, or the disk while rows were moved to it.
    #[error("{0}; if its disk is full, free it, then run again")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The disk failed.
    #[error("{0}; if its disk is full, free it, then run again")]
    Io(#[from] io::Error),
}
