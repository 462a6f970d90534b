//! Opens the database file, but not through a symbolic link.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use crate::system::files;

/// What SQLite appends to the name of a database for the files that it keeps beside it.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// Opens the database at `path`. SQLite itself refuses symbolic links, so that nobody can put one
/// there between a check and the opening; for `-wal` and `-shm` it always does. The folder may be
/// reached through one.
pub(super) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let path = with_real_folder(path).unwrap_or_else(|_| path.to_owned());
    if flags.contains(OpenFlags::SQLITE_OPEN_CREATE) {
        // SQLite itself would never let the group write. If this fails, SQLite says why
        let _ = OpenOptions::new().write(true).create_new(true).open(&path);
    }
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Connection::open_with_flags(path, flags)
}

/// Why [`open`] failed: the symbolic link in place of the database or of a file beside it. `None`
/// if there is none.
pub(super) fn symbolic_link(path: &Path) -> Option<String> {
    let with_suffix = |suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let link = SUFFIXES.map(with_suffix).into_iter().find(|path| files::is_symbolic_link(path))?;
    Some(link.display().to_string())
}

/// The path with the symbolic links of its folder resolved, which SQLite would refuse too.
fn with_real_folder(path: &Path) -> io::Result<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Ok(folder.canonicalize()?.join(path.file_name().unwrap_or_default()))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ledger::{LEDGER, Ledger, reader::Snapshot};

    #[test]
    fn neither_the_ledger_nor_the_files_beside_it_are_followed_through_symbolic_links() {
        for suffix in SUFFIXES {
            let folder = tempfile::tempdir().unwrap();
            let precious = folder.path().join("precious");
            std::fs::write(&precious, "").unwrap();
            let path = folder.path().join(LEDGER);
            if !suffix.is_empty() {
                drop(Ledger::open(&path).unwrap());
            }
            let link = folder.path().join(format!("{LEDGER}{suffix}"));
            symlink(&precious, &link).unwrap();
            let expected = format!("{LEDGER}{suffix} is a symbolic link, which is not followed");
            let error = Ledger::open(&path).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(&expected), "{error}");
            let error = Snapshot::read(&path).unwrap_err().to_string();
            assert!(error.contains(&expected), "{error}");
            assert_eq!(std::fs::read(&precious).unwrap(), b"");
        }
    }

    #[test]
    fn an_output_folder_may_be_reached_through_a_symbolic_link() {
        let folder = tempfile::tempdir().unwrap();
        let [real, link] = ["real", "link"].map(|name| folder.path().join(name));
        std::fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        drop(Ledger::open(&link.join(LEDGER)).unwrap());
        Snapshot::read(&link.join(LEDGER)).unwrap();
        assert!(real.join(LEDGER).is_file());
    }
}
