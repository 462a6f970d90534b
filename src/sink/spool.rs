//! Temporary content of one shard: in memory while it is small, and in one file of the disk.
//!
//! A shard of many days writes many files at once, and a process may have few files open. So all
//! that a shard keeps on the disk shares one unnamed file, which disappears with the process. It
//! consists of blocks, each of one [`Spool`]; those of a spool that is dropped are used again.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    mem::take,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

/// A spool stays in memory up to this size. A shard has a spool for each of its days.
const MEMORY_BYTES: usize = 1 << 20;

/// The size of a block.
const BLOCK_BYTES: usize = 256 << 10;

/// The file that the spools of a shard share. It is created when the first of them needs it.
#[derive(Debug, Clone)]
pub struct SpoolFile(Arc<Mutex<Blocks>>);

#[derive(Debug)]
struct Blocks {
    folder: PathBuf,
    file: Option<File>,
    /// The number of blocks of the file.
    len: u64,
    /// The blocks that no spool has.
    free: Vec<u64>,
}

/// Content that is written at its end and read anywhere.
#[derive(Debug)]
pub struct Spool {
    file: SpoolFile,
    /// How much of it may be in memory.
    memory_bytes: usize,
    /// All of it, while there are no blocks.
    memory: Vec<u8>,
    /// The blocks that hold it, in order.
    blocks: Vec<u64>,
    len: u64,
    /// Where the next read begins.
    position: u64,
}

impl SpoolFile {
    /// A file in this folder.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(Arc::new(Mutex::new(Blocks { folder, file: None, len: 0, free: Vec::new() })))
    }

    /// An empty spool, which stays in memory up to 1 MiB.
    pub fn spool(&self) -> Spool {
        self.with_memory(MEMORY_BYTES)
    }

    /// An empty spool that stays in memory up to its part of 1 MiB, which so many spools share.
    pub(super) fn spool_shared_by(&self, spools: usize) -> Spool {
        self.with_memory(MEMORY_BYTES / spools.max(1))
    }

    /// An empty spool, of which nothing stays in memory.
    pub(super) fn spool_on_disk(&self) -> Spool {
        self.with_memory(0)
    }

    fn with_memory(&self, memory_bytes: usize) -> Spool {
        let (memory, blocks) = (Vec::new(), Vec::new());
        Spool { file: self.clone(), memory_bytes, memory, blocks, len: 0, position: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks {
    /// A block that no spool has.
    fn allocate(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.len += 1;
            self.len - 1
        })
    }

    /// The file, at a position within a block.
    fn at(&mut self, block: u64, offset: usize) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&self.folder)?);
        }
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        file.seek(SeekFrom::Start(block * BLOCK_BYTES as u64 + offset as u64))?;
        Ok(file)
    }
}

/// The number of a block of a spool, and a place within it.
fn place(position: u64) -> (usize, usize) {
    let position = usize::try_from(position).unwrap_or(usize::MAX);
    (position / BLOCK_BYTES, position % BLOCK_BYTES)
}

impl Spool {
    /// A reader of the complete content for Parquet.
    pub(super) fn into_reader(self) -> SpoolReader {
        SpoolReader(Arc::new(self))
    }

    /// Reads from a position on. Zero bytes are read only at the end.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let (block, offset) = place(position);
        let mut bytes = left.min(buffer.len());
        match self.blocks.get(block) {
            Some(&block) => {
                bytes = bytes.min(BLOCK_BYTES - offset);
                self.file.lock().at(block, offset)?.read_exact(&mut buffer[..bytes])?;
            }
            None if bytes > 0 => {
                let start = usize::try_from(position).unwrap_or(usize::MAX);
                buffer[..bytes].copy_from_slice(&self.memory[start..start + bytes]);
            }
            None => {}
        }
        Ok(bytes)
    }

    /// Writes to the end of the last block, or to a new one. Returns how many bytes were written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (block, offset) = place(self.len);
        let mut file = self.file.lock();
        if block == self.blocks.len() {
            self.blocks.push(file.allocate());
        }
        let written = bytes.len().min(BLOCK_BYTES - offset);
        file.at(self.blocks[block], offset)?.write_all(&bytes[..written])?;
        self.len += written as u64;
        Ok(written)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.blocks.is_empty() && self.memory.len() + bytes.len() <= self.memory_bytes {
            self.memory.extend_from_slice(bytes);
            self.len += bytes.len() as u64;
            return Ok(bytes.len());
        }
        if !self.memory.is_empty() {
            let memory = take(&mut self.memory);
            self.len = 0;
            let mut written = 0;
            while written < memory.len() {
                written += self.append(&memory[written..])?;
            }
        }
        if bytes.is_empty() { Ok(0) } else { self.append(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Spool {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.read_at(self.position, buffer)?;
        self.position += bytes as u64;
        Ok(bytes)
    }
}

impl Seek for Spool {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.blocks.is_empty() {
            self.file.lock().free.append(&mut self.blocks);
        }
    }
}

/// Complete content, as Parquet reads it.
pub(super) struct SpoolReader(Arc<Spool>);

/// Reads complete content from a position on.
pub(super) struct SpoolCursor {
    spool: Arc<Spool>,
    position: u64,
}

impl Read for SpoolCursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.spool.read_at(self.position, buffer)?;
        self.position += bytes as u64;
        Ok(bytes)
    }
}

impl Length for SpoolReader {
    fn len(&self) -> u64 {
        self.0.len
    }
}

impl ChunkReader for SpoolReader {
    type T = BufReader<SpoolCursor>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(SpoolCursor { spool: Arc::clone(&self.0), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = vec![0; length];
        SpoolCursor { spool: Arc::clone(&self.0), position: start }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file() -> SpoolFile {
        SpoolFile::new(std::env::temp_dir())
    }

    fn read(spool: &mut Spool) -> Vec<u8> {
        let mut content = Vec::new();
        spool.rewind().unwrap();
        spool.read_to_end(&mut content).unwrap();
        content
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn spools_of_one_file_keep_their_content_apart(
            writes in prop::collection::vec((0usize..3, 0usize..700_000), 0..20),
        ) {
            let file = file();
            let mut spools = [file.spool(), file.spool_on_disk(), file.spool()];
            let mut expected = [Vec::new(), Vec::new(), Vec::new()];
            for (number, (spool, bytes)) in writes.into_iter().enumerate() {
                let bytes: Vec<_> = (0..bytes).map(|byte| (byte * 7 + number) as u8).collect();
                spools[spool].write_all(&bytes).unwrap();
                expected[spool].extend(bytes);
            }
            for (mut spool, expected) in spools.into_iter().zip(expected) {
                prop_assert!(read(&mut spool) == expected);
                let (start, len) = (expected.len() / 3, expected.len() as u64);
                let reader = spool.into_reader();
                let middle = reader.get_bytes(start as u64, start).unwrap();
                prop_assert!(middle == expected[start..2 * start]);
                prop_assert_eq!(reader.len(), len);
                prop_assert!(reader.get_bytes(0, expected.len() + 1).is_err());
            }
        }
    }

    #[test]
    fn blocks_of_a_dropped_spool_are_used_again() {
        let file = file();
        for _ in 0..5 {
            let mut spools = [file.spool_on_disk(), file.spool_on_disk()];
            for spool in &mut spools {
                spool.write_all(&[1; 2 * BLOCK_BYTES + 1]).unwrap();
            }
        }
        assert_eq!(file.lock().len, 6);
    }

    #[test]
    fn small_spools_need_no_file() {
        let file = file();
        let mut spools = [file.spool(), file.spool()];
        for spool in &mut spools {
            spool.write_all(&vec![1; MEMORY_BYTES]).unwrap();
        }
        assert!(file.lock().file.is_none());
        spools[0].write_all(&[2]).unwrap();
        assert!(file.lock().file.is_some());
        assert_eq!(read(&mut spools[0]).last(), Some(&2));
        assert_eq!(read(&mut spools[1]).len(), MEMORY_BYTES);
    }
}
