//! Why the output could not be read or written.

use std::io;

use crate::system::files::FileError;

/// Why the output could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object store failed.
    #[error(
        "the output failed at {path}: {source}; free its disk or give it back its permissions, \
        then run again"
    )]
    Store {
        /// The path of the file or folder.
        path: String,
        /// The error of the object store.
        source: object_store::Error,
    },
    /// A file stands where the folder belongs.
    #[error("{path} is a file, and the output is a folder: choose another output.path")]
    NotAFolder {
        /// The path.
        path: String,
    },
    /// Another process writes to the output.
    #[error(
        "another run writes to this output: {holder}; wait for it, or choose another output.path"
    )]
    Locked {
        /// The process that holds the lock, and since when.
        holder: String,
    },
    /// There is something at a path that this program does not write to.
    #[error("{path} {source}")]
    Refused {
        /// The path.
        path: String,
        /// What is there.
        source: FileError,
    },
    /// A folder of the output is a symbolic link, which somebody else may have put there.
    #[error(
        "{path} is a symbolic link, which is not followed: put the folder itself there, or none, or \
        choose another output.path"
    )]
    LinkedFolder {
        /// The path of the folder.
        path: String,
    },
    /// The file system failed.
    #[error(
        "the output failed at {path}: {source}; free its disk or give it back its permissions, \
        then run again"
    )]
    Io {
        /// The path of the file or folder.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
}
