//! The output store: a file is written whole and durably, or not at all (G3).
//!
//! A file is spooled until it is complete, see [`Spool`]. Then its content is uploaded under its
//! name atomically and synced.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, WriteMultipart, local::LocalFileSystem, path::Path,
};
use sha2::{Digest, Sha256};

pub(crate) use crate::sink::store_error::StoreError;
use crate::{
    ledger::FileRecord,
    sink::{
        FileMode, SinkError,
        spool::{Spool, SpoolFile},
        write_error::WriteError,
    },
    system::{blocking::offload, files},
};

/// The part size of an upload.
const PART_BYTES: usize = 8 << 20;
/// Parts of one upload that may be in flight.
const PARTS_IN_FLIGHT: usize = 2;

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
        if root.is_file() {
            return Err(StoreError::NotAFolder { path: root.display().to_string() });
        }
        std::fs::create_dir_all(root).map_err(io_error)?;
        let root = root.canonicalize().map_err(io_error)?;
        let store = LocalFileSystem::new_with_prefix(&root)
            .map_err(|source| StoreError::Store { path: root.display().to_string(), source })?;
        Ok(Self { store: Arc::new(store), root: Some(root) })
    }

    /// The directory at `root`, which is created if it is missing, with this mode for everything
    /// that the process creates from now on.
    ///
    /// # Errors
    /// As [`directory`](Self::directory).
    pub(crate) fn create(root: &FsPath, mode: FileMode) -> Result<Self, StoreError> {
        mode.apply();
        Self::directory(root)
    }

    /// Any object store that syncs by itself, such as one in memory.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, root: None }
    }

    /// The underlying object store, for readers.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The error about rows that could not be written.
    pub(super) fn write_error(&self, source: WriteError) -> SinkError {
        let root = self.root.as_ref().map(|root| root.display().to_string());
        SinkError::ShardWriter { output: root.unwrap_or_default(), source }
    }

    /// Spools on the output's disk.
    pub fn spool_file(&self) -> SpoolFile {
        SpoolFile::new(self.root.clone().unwrap_or_else(std::env::temp_dir))
    }

    /// Writes a spooled file under its name. Afterwards the file is complete and survives a loss of
    /// power.
    ///
    /// # Errors
    /// [`StoreError`]. Nothing is at that name then, or the older file that was there before.
    pub async fn put(&self, path: &str, rows: u64, spool: Spool) -> Result<FileRecord, StoreError> {
        let record = self.put_unsynced(path, rows, spool).await?;
        self.sync(&[path]).await?;
        Ok(record)
    }

    /// The same, but the file survives a loss of power only after [`sync`](Self::sync), which takes
    /// less time for several files than for each.
    ///
    /// # Errors
    /// Those of [`put`](Self::put).
    pub(super) async fn put_unsynced(
        &self,
        path: &str,
        rows: u64,
        mut spool: Spool,
    ) -> Result<FileRecord, StoreError> {
        self.refuse_linked_folders(path)?;
        let name = Path::from(path);
        let io_error = |source| StoreError::Io { path: self.full_path(path), source };
        let error = |source| self.error(path, source);
        let mut hasher = Sha256::new();
        spool.rewind().map_err(io_error)?;
        let (first, hash, rest) = offload(move || next_part(spool, hasher)).await;
        (hasher, spool) = (hash, rest);
        let first = first.map_err(io_error)?;
        let mut bytes = first.len() as u64;
        if first.len() < PART_BYTES {
            self.store.put(&name, first.into()).await.map_err(error)?;
        } else {
            let upload = self.store.put_multipart(&name).await.map_err(error)?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
            upload.put(first);
            loop {
                let (part, hash, rest) = offload(move || next_part(spool, hasher)).await;
                (hasher, spool) = (hash, rest);
                let part = match part {
                    Ok(part) if part.is_empty() => break,
                    Ok(part) => part,
                    Err(source) => {
                        upload.abort().await.map_err(error)?;
                        return Err(io_error(source));
                    }
                };
                bytes += part.len() as u64;
                upload.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(error)?;
                upload.put(part);
            }
            upload.finish().await.map_err(error)?;
        }
        Ok(FileRecord {
            path: path.to_owned(),
            rows,
            bytes,
            sha256: format!("{:x}", hasher.finalize()),
        })
    }

    /// Gives files other names, in place of files that have them. Survives a loss of power.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn rename(&self, renames: &[(String, String)]) -> Result<(), StoreError> {
        for (from, to) in renames {
            self.refuse_linked_folders(to)?;
            let renamed = self.store.rename(&from.as_str().into(), &to.as_str().into()).await;
            renamed.map_err(|source| self.error(to, source))?;
        }
        self.sync(&renames.iter().map(|(_, to)| to.as_str()).collect::<Vec<_>>()).await
    }

    /// Gives files other names as [`rename`](Self::rename) does. A file that is missing under its
    /// old name counts as renamed already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn rename_if_there(
        &self,
        renames: &[(String, String)],
    ) -> Result<(), StoreError> {
        let (mut remaining, mut renamed) = (Vec::new(), Vec::new());
        for (from, to) in renames {
            match self.store.head(&Path::from(from.as_str())).await {
                Ok(_) => remaining.push((from.clone(), to.clone())),
                Err(object_store::Error::NotFound { .. }) => renamed.push(to.as_str()),
                Err(source) => return Err(self.error(from, source)),
            }
        }
        self.rename(&remaining).await?;
        self.sync(&renamed).await
    }

    /// # Errors
    /// [`StoreError::LinkedFolder`] if a folder between the output and a file of it is a symbolic
    /// link. The output itself may be one.
    fn refuse_linked_folders(&self, path: &str) -> Result<(), StoreError> {
        let Some(root) = &self.root else { return Ok(()) };
        let file = root.join(path);
        let mut folders = file.ancestors().skip(1).take_while(|folder| *folder != root);
        match folders.find(|folder| files::is_symbolic_link(folder)) {
            Some(link) => Err(StoreError::LinkedFolder { path: link.display().to_string() }),
            None => Ok(()),
        }
    }

    /// The error of the object store at a path.
    pub(crate) fn error(&self, path: &str, source: object_store::Error) -> StoreError {
        StoreError::Store { path: self.full_path(path), source }
    }

    /// A path of the output as the user would write it.
    fn full_path(&self, path: &str) -> String {
        self.root.as_ref().map_or(path.to_owned(), |root| root.join(path).display().to_string())
    }

    /// Deletes files, so that a power cut does not bring them back. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`] with the first file that cannot be deleted, or a folder that cannot be synced.
    pub(crate) async fn remove(&self, paths: &[String]) -> Result<usize, StoreError> {
        let (mut removed, mut folders) = (0, BTreeSet::new());
        for path in paths {
            self.refuse_linked_folders(path)?;
            match self.store.delete(&Path::from(path.as_str())).await {
                Ok(()) => removed += 1,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(source) => return Err(self.error(path, source)),
            }
            folders.extend(path.rsplit_once('/').map(|(folder, _)| folder));
        }
        self.sync(&folders.into_iter().collect::<Vec<_>>()).await?;
        Ok(removed)
    }

    /// Deletes what killed uploads of these files have left in a local directory: `path#1`. Returns
    /// how many there were.
    ///
    /// # Errors
    /// [`StoreError`] if a folder cannot be listed or a file cannot be deleted.
    pub(crate) async fn remove_partial_uploads(
        &self,
        paths: Vec<String>,
    ) -> Result<usize, StoreError> {
        let Some(root) = self.root.clone() else { return Ok(0) };
        offload(move || {
            let mut removed = 0;
            for path in paths {
                removed += remove_partial_uploads(&root.join(path))?;
            }
            Ok(removed)
        })
        .await
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
            let found: Vec<_> = listed
                .map_ok(|object| object.location)
                .try_collect()
                .await
                .map_err(|source| self.error(folder, source))?;
            files.extend(found.into_iter().filter(|path| is_data_file(path.as_ref())));
        }
        Ok(files)
    }

    /// Syncs files, their folders, and the folders above, which may be new.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn sync(&self, paths: &[&str]) -> Result<(), StoreError> {
        let Some(root) = &self.root else { return Ok(()) };
        let entries = entries_to_sync(root, paths);
        offload(move || {
            for entry in entries {
                let synced = File::open(&entry).and_then(|entry| entry.sync_all());
                let path = || entry.display().to_string();
                synced.map_err(|source| StoreError::Io { path: path(), source })?;
            }
            Ok(())
        })
        .await
    }
}

/// The files at these paths below `root` and all folders from it to them: each entry once, and
/// before the folder that it is in.
fn entries_to_sync(root: &FsPath, paths: &[&str]) -> Vec<PathBuf> {
    let mut entries = BTreeSet::new();
    for path in paths {
        let file = root.join(path);
        let folders = file.ancestors().take_while(|folder| folder.starts_with(root));
        entries.extend(folders.map(FsPath::to_owned));
    }
    entries.into_iter().rev().collect()
}

/// Whether a path has an extension of the data files.
fn is_data_file(path: &str) -> bool {
    path.ends_with(".parquet") || path.ends_with(".ndjson")
}

/// Deletes what killed uploads of a file have left beside it: the same name with `#` and a number.
fn remove_partial_uploads(file: &FsPath) -> Result<usize, StoreError> {
    let (Some(folder), Some(name)) =
        (file.parent(), file.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(0);
    };
    let io_error = |source| StoreError::Io { path: folder.display().to_string(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(io_error)?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(io_error)?;
        let entry_name = entry.file_name();
        let number = entry_name
            .to_str()
            .and_then(|entry_name| entry_name.strip_prefix(name)?.strip_prefix('#'));
        if number.is_some_and(|number| number.parse::<u64>().is_ok()) {
            std::fs::remove_file(entry.path()).map_err(io_error)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Takes the next part of a spool, and hashes it. The part is empty at the end of the spool.
fn next_part(mut spool: Spool, mut hasher: Sha256) -> (io::Result<Bytes>, Sha256, Spool) {
    let part = read_part(&mut spool);
    if let Ok(part) = &part {
        hasher.update(part);
    }
    (part, hasher, spool)
}

/// The next part of a spool. Empty at its end.
fn read_part(spool: &mut Spool) -> io::Result<Bytes> {
    let from = spool.stream_position()?;
    let rest = spool.seek(SeekFrom::End(0))? - from;
    spool.seek(SeekFrom::Start(from))?;
    let bytes = usize::try_from(rest).unwrap_or(usize::MAX).min(PART_BYTES);
    let mut part = vec![0; bytes];
    spool.read_exact(&mut part)?;
    Ok(part.into())
}

#[cfg(test)]
mod tests;
