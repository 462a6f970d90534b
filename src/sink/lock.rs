//! The lock that lets only one process write to an output.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    sink::{staging, store_error::StoreError},
    system::{
        files::{self, FileError},
        process::Process,
    },
    time::clock,
};

/// The lock's file in the output directory. The file stays; the lock on it ends with the process,
/// however the process ends.
const NAME: &str = "_ledger.lock";

/// The right to write to an output, until it is dropped.
#[derive(Debug)]
pub(crate) struct OutputLock {
    root: PathBuf,
    /// Holds the lock as long as it is open.
    _file: File,
}

/// How often [`OutputLock::take`] tries, and the pause between two tries: somebody who only looks
/// holds the lock for a moment.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(25);

impl OutputLock {
    /// Whether a process holds the lock of the output at `root`. `false` if that cannot be told.
    pub(crate) fn is_held(root: &Path) -> bool {
        let mut options = OpenOptions::new();
        let file = files::open_unlinked(options.read(true), &root.join(NAME));
        // a shared lock does not keep others from looking; it ends with the file
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock of the output at `root`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] with its holder, [`StoreError::Refused`] if there is something else
    /// than a regular file at its path, or [`StoreError::Io`].
    pub(crate) fn take(root: &Path) -> Result<Self, StoreError> {
        let path = root.join(NAME);
        let io_error = |source| StoreError::Io { path: path.display().to_string(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = files::open_unlinked(&mut options, &path).map_err(|error| match error {
            FileError::Io(source) => io_error(source),
            refused => StoreError::Refused { path: path.display().to_string(), source: refused },
        })?;
        let mut locked = file.try_lock();
        for _ in 1..TRIES {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            thread::sleep(PAUSE);
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        file.set_len(0)
            .and_then(|()| write!(file, "{} since {}", Process::current(), clock::now()))
            .map_err(io_error)?;
        Ok(Self { root: root.to_owned(), _file: file })
    }
}

/// Nobody else writes to the output yet, so nothing can begin to wait in the folder.
impl Drop for OutputLock {
    fn drop(&mut self) {
        staging::remove_empty_folder(&self.root);
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.is_empty() => text,
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_on_an_output_is_refused_and_the_error_names_the_holder() {
        let folder = tempfile::tempdir().unwrap();
        let first = OutputLock::take(folder.path()).unwrap();
        let error = OutputLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(OutputLock::is_held(folder.path()));
        drop(first);
        assert!(!OutputLock::is_held(folder.path()));
        OutputLock::take(folder.path()).unwrap();
    }

    #[test]
    fn the_end_of_the_lock_removes_the_staging_folder_unless_files_wait_there() {
        let folder = tempfile::tempdir().unwrap();
        let staging = folder.path().join("_staging");
        std::fs::create_dir(&staging).unwrap();
        std::fs::write(staging.join("waits"), "rows").unwrap();
        drop(OutputLock::take(folder.path()).unwrap());
        assert_eq!(std::fs::read_to_string(staging.join("waits")).unwrap(), "rows");
        std::fs::remove_file(staging.join("waits")).unwrap();
        drop(OutputLock::take(folder.path()).unwrap());
        assert!(!staging.exists());
    }

    #[test]
    fn somebody_who_looks_keeps_nobody_from_taking_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        drop(OutputLock::take(folder.path()).unwrap());
        let looks = File::open(folder.path().join(NAME)).unwrap();
        looks.try_lock_shared().unwrap();
        let looker = thread::spawn(move || {
            thread::sleep(PAUSE);
            drop(looks);
        });
        OutputLock::take(folder.path()).unwrap();
        looker.join().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn the_lock_does_not_overwrite_a_file_that_a_symbolic_link_names() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        std::fs::write(&precious, "text").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join(NAME)).unwrap();
        let error = OutputLock::take(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("_ledger.lock is a symbolic link, which is not followed"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(precious).unwrap(), "text");
    }
}
