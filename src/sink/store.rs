//! Where files go: whole, durable, or not at all (G3).
//!
//! Rows are spooled in a file without a name, which a kill at any instant leaves no trace of. Only
//! when the file is whole it is put to its final name, atomically, and synced.

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

/// A spool stays in memory up to this size, and an upload moves in pieces of it.
const CHUNK: usize = 8 << 20;
/// Pieces of one upload that may be under way.
const PIECES: usize = 2;

/// Why the output did not take a file.
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
        /// Who.
        holder: String,
    },
    /// The file system failed.
    #[error(
        "the output failed at {path}: {source}; free its disk or give it back its permissions, then run again"
    )]
    Io {
        /// Where.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The files of a backfill.
#[derive(Clone)]
pub struct OutputStore {
    store: Arc<dyn ObjectStore>,
    /// The directory, where the store is one: object stores sync for themselves, directories do not.
    root: Option<PathBuf>,
}

impl OutputStore {
    /// The directory at `root`, which is made if it is missing.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn directory(root: &FsPath) -> Result<Self, StoreError> {
        let at = |source| StoreError::Io { path: root.display().to_string(), source };
        std::fs::create_dir_all(root).map_err(at)?;
        let root = root.canonicalize().map_err(at)?;
        let store = LocalFileSystem::new_with_prefix(&root)?;
        Ok(Self { store: Arc::new(store), root: Some(root) })
    }

    /// Any object store, which syncs for itself: one in memory for the simulation.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, root: None }
    }

    /// The store behind it: for readers.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// A file without a name, on the disk of the output, that grows there once it is past
    /// 8 MiB.
    pub fn spool(&self) -> SpooledTempFile {
        let folder = self.root.clone().unwrap_or_else(std::env::temp_dir);
        tempfile::spooled_tempfile_in(CHUNK, folder)
    }

    /// Puts a spooled file to its final name: after this it is there whole and survives a loss of
    /// power, or it is not there.
    ///
    /// # Errors
    /// [`StoreError`]: the file is not there, or an older one of that name still is.
    pub async fn put(
        &self,
        path: &str,
        rows: u64,
        mut spool: SpooledTempFile,
    ) -> Result<FileRecord, StoreError> {
        let name = Path::from(path);
        let at = |source| StoreError::Io { path: path.to_owned(), source };
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        spool.rewind().map_err(at)?;
        let mut upload =
            WriteMultipart::new_with_chunk_size(self.store.put_multipart(&name).await?, CHUNK);
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
                    return Err(at(error));
                }
            };
            bytes += chunk.len() as u64;
            upload.wait_for_capacity(PIECES).await?;
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

    /// Removes files that no record names any more.
    ///
    /// # Errors
    /// [`StoreError`]; those that are left are swept by the next start.
    pub async fn remove(&self, paths: &[String]) -> Result<(), StoreError> {
        for path in paths {
            match self.store.delete(&Path::from(path.as_str())).await {
                Err(object_store::Error::NotFound { .. }) => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    /// The whole files in `folders` whose names are such as this program gives.
    ///
    /// # Errors
    /// [`StoreError`] where a folder cannot be listed. One that is not there holds nothing.
    pub async fn list(&self, folders: &[String]) -> Result<Vec<Path>, StoreError> {
        let mut files = Vec::new();
        for folder in folders {
            let listed = self.store.list(Some(&Path::from(folder.as_str())));
            let found: Vec<_> = listed.map_ok(|object| object.location).try_collect().await?;
            files.extend(found.into_iter().filter(|path| is_ours(path.as_ref())));
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

    /// Syncs a file, its folder, and the folders above that may be new.
    async fn sync(&self, path: &str) -> Result<(), StoreError> {
        let Some(root) = self.root.clone() else { return Ok(()) };
        let file = root.join(path);
        let at = path.to_owned();
        offload(move || {
            file.ancestors()
                .take_while(|folder| folder.starts_with(&root))
                .try_for_each(|entry| File::open(entry)?.sync_all())
        })
        .await
        .map_err(|source| StoreError::Io { path: at, source })
    }
}

/// Whether a name is one that this program gives.
fn is_ours(path: &str) -> bool {
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
            .is_some_and(|(name, _)| is_ours(name))
        {
            std::fs::remove_file(&path).map_err(at)?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// The next piece of a spool; empty at its end.
fn read_chunk(spool: &mut SpooledTempFile) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK);
    spool.take(CHUNK as u64).read_to_end(&mut chunk)?;
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
    async fn a_file_of_many_pieces_arrives_whole_with_its_checksum() {
        let output = OutputStore::over(Arc::new(InMemory::new()));
        let content = vec![7u8; 3 * CHUNK + 11];
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
