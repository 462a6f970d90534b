//! The output store: a file is written whole and durably, or not at all (G3).
//!
//! Rows are spooled in an unnamed file, which disappears with the process. Once it is complete, its
//! content is uploaded under its name atomically and synced.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read, Seek},
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, WriteMultipart, local::LocalFileSystem, path::Path,
};
use sha2::{Digest, Sha256};
use tempfile::SpooledTempFile;

use crate::{blocking::offload, ledger::FileRecord};

/// The part size of an upload.
const PART_BYTES: usize = 8 << 20;
/// Parts of one upload that may be in flight.
const PARTS_IN_FLIGHT: usize = 2;
/// A spool stays in memory up to this size. A shard has a spool for each of its days.
const SPOOL_BYTES: usize = 1 << 20;

/// Why the output could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object store failed.
    #[error(
        "the output failed: {0}; free its disk or give it back its permissions, then run again"
    )]
    Store(#[from] object_store::Error),
    /// Another process writes to the output.
    #[error(
        "another run writes to this output: {holder}; wait for it, or choose another output.path"
    )]
    Locked {
        /// The process that holds the lock, and since when.
        holder: String,
    },
    /// The file system failed.
    #[error(
        "the output failed at {path}: {source}; free its disk or give it back its permissions, then run again"
    )]
    Io {
        /// The path of the file or folder.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The files of a backfill.
#[derive(Clone)]
pub struct OutputStore {
    store: Arc<dyn ObjectStore>,
    /// The directory of a local store, whose files are synced here. `None` for object stores, which
    /// sync by themselves.
    root: Option<PathBuf>,
}

impl OutputStore {
    /// The directory at `root`, which is created if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be created.
    pub fn directory(root: &FsPath) -> Result<Self, StoreError> {
        let io_error = |source| StoreError::Io { path: root.display().to_string(), source };
        std::fs::create_dir_all(root).map_err(io_error)?;
        let root = root.canonicalize().map_err(io_error)?;
        let store = LocalFileSystem::new_with_prefix(&root)?;
        Ok(Self { store: Arc::new(store), root: Some(root) })
    }

    /// Any object store that syncs by itself, such as one in memory.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, root: None }
    }

    /// The underlying object store, for readers.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// An unnamed file that stays in memory up to 1 MiB and then moves to the output's disk.
    pub fn spool(&self) -> SpooledTempFile {
        let folder = self.root.clone().unwrap_or_else(std::env::temp_dir);
        tempfile::spooled_tempfile_in(SPOOL_BYTES, folder)
    }

    /// Writes a spooled file under its name. Afterwards the file is complete and survives a loss of
    /// power.
    ///
    /// # Errors
    /// [`StoreError`]. Nothing is at that name then, or the older file that was there before.
    pub async fn put(
        &self,
        path: &str,
        rows: u64,
        mut spool: SpooledTempFile,
    ) -> Result<FileRecord, StoreError> {
        let name = Path::from(path);
        let io_error = |source| StoreError::Io { path: path.to_owned(), source };
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        spool.rewind().map_err(io_error)?;
        let mut upload =
            WriteMultipart::new_with_chunk_size(self.store.put_multipart(&name).await?, PART_BYTES);
        loop {
            let (chunk, hash, rest) = offload(move || {
                let chunk = read_chunk(&mut spool);
                if let Ok(chunk) = &chunk {
                    hasher.update(chunk);
                }
                (chunk, hasher, spool)
            })
            .await;
            (hasher, spool) = (hash, rest);
            let chunk = match chunk {
                Ok(chunk) if chunk.is_empty() => break,
                Ok(chunk) => chunk,
                Err(error) => {
                    upload.abort().await?;
                    return Err(io_error(error));
                }
            };
            bytes += chunk.len() as u64;
            upload.wait_for_capacity(PARTS_IN_FLIGHT).await?;
            upload.put(chunk);
        }
        upload.finish().await?;
        self.sync(path).await?;
        Ok(FileRecord {
            path: path.to_owned(),
            rows,
            bytes,
            sha256: format!("{:x}", hasher.finalize()),
        })
    }

    /// Deletes files. A file that does not exist counts as deleted.
    ///
    /// # Errors
    /// [`StoreError`] with the first file that cannot be deleted.
    pub async fn remove(&self, paths: &[String]) -> Result<(), StoreError> {
        for path in paths {
            match self.store.delete(&Path::from(path.as_str())).await {
                Err(object_store::Error::NotFound { .. }) => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    /// The data files in `folders`: those with an extension that this program uses. A folder that
    /// does not exist holds none.
    ///
    /// # Errors
    /// [`StoreError`] if a folder cannot be listed.
    pub async fn list(&self, folders: &[String]) -> Result<Vec<Path>, StoreError> {
        let mut files = Vec::new();
        for folder in folders {
            let listed = self.store.list(Some(&Path::from(folder.as_str())));
            let found: Vec<_> = listed.map_ok(|object| object.location).try_collect().await?;
            files.extend(found.into_iter().filter(|path| is_data_file(path.as_ref())));
        }
        Ok(files)
    }

    /// Removes what no record names: files of a run that was killed before its commit, and
    /// half-written ones. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`] where a file cannot be listed or removed.
    pub async fn sweep(
        &self,
        folders: &[String],
        recorded: &HashSet<String>,
    ) -> Result<usize, StoreError> {
        let mut strays = self.list(folders).await?;
        strays.retain(|path| !recorded.contains(path.as_ref()));
        for stray in &strays {
            self.store.delete(stray).await?;
        }
        let halves = match &self.root {
            Some(root) => {
                let folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
                offload(move || {
                    folders.iter().map(|folder| sweep_halves(folder)).sum::<Result<usize, _>>()
                })
                .await?
            }
            None => 0,
        };
        Ok(strays.len() + halves)
    }

    /// Syncs a file, its folder, and the folders above, which may be new.
    async fn sync(&self, path: &str) -> Result<(), StoreError> {
        let Some(root) = self.root.clone() else { return Ok(()) };
        let file = root.join(path);
        let failed_path = path.to_owned();
        offload(move || {
            file.ancestors()
                .take_while(|folder| folder.starts_with(&root))
                .try_for_each(|entry| File::open(entry)?.sync_all())
        })
        .await
        .map_err(|source| StoreError::Io { path: failed_path, source })
    }
}

/// Whether a path has an extension of the data files.
fn is_data_file(path: &str) -> bool {
    path.ends_with(".parquet") || path.ends_with(".ndjson")
}

/// Removes what a killed upload leaves in a directory: `name.parquet#1`.
fn sweep_halves(folder: &FsPath) -> Result<usize, StoreError> {
    let at = |source| StoreError::Io { path: folder.display().to_string(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(at)?,
    };
    let mut swept = 0;
    for entry in entries {
        let path = entry.map_err(at)?.path();
        if path.is_dir() {
            swept += sweep_halves(&path)?;
        } else if path
            .to_str()
            .and_then(|path| path.rsplit_once('#'))
            .is_some_and(|(name, _)| is_data_file(name))
        {
            std::fs::remove_file(&path).map_err(at)?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// The next part of a spool. Empty at its end.
fn read_chunk(spool: &mut SpooledTempFile) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(PART_BYTES);
    spool.take(PART_BYTES as u64).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn g3_what_no_record_names_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputStore::directory(folder.path()).unwrap();
        for name in
            ["d/date=2024-01-01/kept.parquet", "d/date=2024-01-01/stray.parquet", "d/notes.txt"]
        {
            let mut spool = output.spool();
            spool.write_all(b"rows").unwrap();
            output.put(name, 1, spool).await.unwrap();
        }
        std::fs::write(folder.path().join("d/date=2024-01-01/half.parquet#1"), "ro").unwrap();
        let recorded = HashSet::from(["d/date=2024-01-01/kept.parquet".to_owned()]);
        assert_eq!(output.sweep(&["d".into(), "none".into()], &recorded).await.unwrap(), 2);
        let mut left: Vec<_> = output
            .store()
            .list(None)
            .map_ok(|object| object.location.to_string())
            .try_collect()
            .await
            .unwrap();
        left.sort();
        assert_eq!(left, ["d/date=2024-01-01/kept.parquet", "d/notes.txt"]);
        assert!(!folder.path().join("d/date=2024-01-01/half.parquet#1").exists());
    }

    #[tokio::test]
    async fn a_file_of_many_parts_arrives_complete_with_its_checksum() {
        let output = OutputStore::over(Arc::new(InMemory::new()));
        let content = vec![7u8; 3 * PART_BYTES + 11];
        let mut spool = output.spool();
        spool.write_all(&content).unwrap();
        let record = output.put("big", 1, spool).await.unwrap();
        assert_eq!(record.bytes, content.len() as u64);
        assert_eq!(record.sha256, format!("{:x}", Sha256::digest(&content)));
        assert_eq!(
            output.store().get(&Path::from("big")).await.unwrap().bytes().await.unwrap(),
            content
        );
    }
}
