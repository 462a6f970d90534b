//! One process an output: a lock that survives nothing but its process.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
};

use crate::{sink::store::StoreError, time::clock};

/// The lock's file in the output directory. It stays; the lock on it ends with the process.
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
        let at = |source| StoreError::Io { path: path.display().to_string(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(at)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(at(error)),
        }
        file.set_len(0)
            .and_then(|()| write!(file, "process {} since {}", std::process::id(), clock::now()))
            .map_err(at)?;
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
    fn a_second_run_on_an_output_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = OutputLock::take(folder.path()).unwrap();
        let refused = OutputLock::take(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        OutputLock::take(folder.path()).unwrap();
    }
}
