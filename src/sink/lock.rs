//! The lock that lets only one process write to an output.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
};

use crate::{sink::store::StoreError, time::clock};

/// The lock's file in the output directory. The file stays; the lock on it ends with the process,
/// however the process ends.
const NAME: &str = "_ledger.lock";

/// The right to write to an output, until it is dropped.
#[derive(Debug)]
pub(crate) struct OutputLock {
    _file: File,
}

impl OutputLock {
    /// Takes the lock of the output at `root`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] with its holder, or [`StoreError::Io`].
    pub(crate) fn take(root: &Path) -> Result<Self, StoreError> {
        let path = root.join(NAME);
        let io_error = |source| StoreError::Io { path: path.display().to_string(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        file.set_len(0)
            .and_then(|()| write!(file, "process {} since {}", std::process::id(), clock::now()))
            .map_err(io_error)?;
        Ok(Self { _file: file })
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
        drop(first);
        OutputLock::take(folder.path()).unwrap();
    }
}
