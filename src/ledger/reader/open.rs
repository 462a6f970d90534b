//! Opens a ledger to read it.

use std::{ffi::OsString, io, path::Path};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tempfile::TempDir;

use crate::ledger::{LEDGER, connection, reader::SnapshotError, schema};

/// The tables of version 1 that are read here. A run that was killed at its start may have created
/// none of them.
const TABLES: [&str; 4] = ["identity", "shard", "file", "failure"];

/// Reads the ledger at `path` with `query`, which is given its version. The default if no table of
/// it is there yet.
pub(super) fn read<T: Default>(
    path: &Path,
    query: impl Fn(&Connection, u32) -> Result<T, rusqlite::Error>,
) -> Result<T, SnapshotError> {
    let name = path.display().to_string();
    if !path.exists() {
        return Err(SnapshotError::Missing(name));
    }
    if let Some(link) = connection::symbolic_link(path) {
        return Err(SnapshotError::SymbolicLink(link));
    }
    let found = match read_file(path, &query) {
        Err(QueryError::Sqlite(error)) if needs_writable_folder(&error) => match copy(path) {
            Ok(copied) => read_file(&copied.path().join(LEDGER), &query),
            Err(source) => return Err(SnapshotError::Copy { path: name, source }),
        },
        found => found,
    };
    found.map_err(|error| match error {
        QueryError::Newer(found) => {
            SnapshotError::Newer { path: name, found, known: schema::VERSION }
        }
        QueryError::Sqlite(source) => SnapshotError::Sqlite { path: name, source },
    })
}

/// Reads the file itself, in one transaction.
///
/// The last connection that is closed deletes the files `-wal` and `-shm`, if it may write. So the
/// file is opened for writing, which SQLite does not insist on, but nothing can be changed through
/// the connection: at most its end moves committed transactions from the write-ahead log into the
/// file.
fn read_file<T: Default>(
    path: &Path,
    query: &impl Fn(&Connection, u32) -> Result<T, rusqlite::Error>,
) -> Result<T, QueryError> {
    let mut connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    let view = connection.transaction()?;
    let version: u32 = view.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > schema::VERSION {
        return Err(QueryError::Newer(version));
    }
    for table in TABLES {
        if !view.table_exists(None, table)? {
            return Ok(T::default());
        }
    }
    Ok(query(&view, version)?)
}

enum QueryError {
    /// The version of a ledger that a newer program wrote.
    Newer(u32),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Whether SQLite failed because it cannot create files beside the ledger.
///
/// To read a database in WAL mode it needs the files `-wal` and `-shm`. It creates them if no other
/// process has the database open, which fails in a folder that may only be read.
fn needs_writable_folder(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// Copies the ledger and its write-ahead log to a temporary folder. It is deleted when the returned
/// value is dropped.
pub(super) fn copy(path: &Path) -> io::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let target = folder.path().join(LEDGER);
    std::fs::copy(path, &target)?;
    match std::fs::copy(with_suffix(path, "-wal"), with_suffix(&target, "-wal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(folder),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> OsString {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name
}
