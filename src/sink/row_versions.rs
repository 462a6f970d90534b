//! The newest copy of each row of a shard (G4), in bounded memory (G8).
//!
//! Copies are kept in a map by the hash of their id. When the map is full, its content is sorted
//! and written to a spool file as a run, and an empty map takes over. At the end the runs and the
//! map are merged: of the copies of an id all but the newest are superseded.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io::{self, Read, Seek, SeekFrom, Write},
};

use crate::{decode::RowKey, sink::spool::Spool};

/// Copies in memory before they are spilled: as many as a map of 2¹⁸ buckets holds, 13 MB. Above
/// the rows at which an ordered shard is committed partially, so that such a shard never spills.
const MOST_COPIES: usize = 220_000;
/// Bytes of a copy in a run.
const COPY_BYTES: usize = 48;
/// Copies per read from each sorted run of the spool file.
const COPIES_PER_READ: u64 = 128;

/// Where a row was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowPlace {
    /// Start of the UTC day of its file.
    pub day: i64,
    /// Its number in that file.
    pub row: u64,
}

/// A written copy of a row.
#[derive(Debug, Clone, Copy)]
struct RowCopy {
    version: i64,
    digest: u64,
    place: RowPlace,
}

impl RowCopy {
    /// Whether a later copy does not replace this one: it is equal or older.
    fn outlasts(&self, version: i64, digest: u64) -> bool {
        self.digest == digest || self.version > version
    }
}

/// The newest copies of the rows of one shard. They live as long as the shard's writer, so no
/// result depends on what other shards received, or when.
pub(super) struct RowVersions {
    newest: HashMap<u128, RowCopy>,
    most_copies: usize,
    /// The runs, one after the other in one file. `None` until the map was full once.
    spool: Option<Spool>,
    /// The number of copies of each run.
    runs: Vec<u64>,
}

impl Default for RowVersions {
    fn default() -> Self {
        Self::with_capacity(MOST_COPIES)
    }
}

impl RowVersions {
    fn with_capacity(most_copies: usize) -> Self {
        Self { newest: HashMap::new(), most_copies, spool: None, runs: Vec::new() }
    }

    /// Whether a copy is to be written: no copy in memory is equal to it or newer.
    pub(super) fn is_newest(&self, key: &RowKey) -> bool {
        !self.newest.get(&key.id).is_some_and(|copy| copy.outlasts(key.version, key.digest))
    }

    /// Records a written copy. Returns the place of the copy in memory that it supersedes.
    pub(super) fn insert(&mut self, key: &RowKey, place: RowPlace) -> Option<RowPlace> {
        let copy = RowCopy { version: key.version, digest: key.digest, place };
        self.newest.insert(key.id, copy).map(|old| old.place)
    }

    /// Moves the copies to `spool` if there are too many in memory.
    pub(super) fn spill_if_full(&mut self, new_spool: impl FnOnce() -> Spool) -> io::Result<()> {
        if self.newest.len() < self.most_copies {
            return Ok(());
        }
        let spool = self.spool.get_or_insert_with(new_spool);
        let mut run: Vec<_> = self.newest.drain().collect();
        run.sort_unstable_by_key(|(id, _)| *id);
        let mut bytes = Vec::with_capacity(COPY_BYTES * 1_024);
        for chunk in run.chunks(1_024) {
            bytes.clear();
            for (id, copy) in chunk {
                encode(*id, copy, &mut bytes);
            }
            spool.write_all(&bytes)?;
        }
        self.runs.push(run.len() as u64);
        Ok(())
    }

    /// Calls `supersede` with the place of every spilled copy that is not the newest of its id, and
    /// of every copy in memory that a spilled one outlasts.
    pub(super) fn merge(self, mut supersede: impl FnMut(RowPlace)) -> io::Result<()> {
        let Some(mut spool) = self.spool else { return Ok(()) };
        let mut start = 0;
        let mut runs: Vec<SortedRun> = Vec::with_capacity(self.runs.len() + 1);
        for copies in self.runs {
            runs.push(SortedRun { start, left: copies, buffer: Vec::new() });
            start += copies * COPY_BYTES as u64;
        }
        // the map holds the latest copies: it is the last run
        let mut latest: Vec<_> = self.newest.into_iter().collect();
        latest.sort_unstable_by_key(|(id, _)| Reverse(*id));
        runs.push(SortedRun { start, left: 0, buffer: latest });

        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (number, run) in runs.iter_mut().enumerate() {
            if let Some(id) = run.head(&mut spool)? {
                heads.push(Reverse((id, number)));
            }
        }
        let mut newest: Option<(u128, RowCopy)> = None;
        while let Some(Reverse((_, number))) = heads.pop() {
            let run = &mut runs[number];
            let Some((id, copy)) = run.buffer.pop() else { continue };
            newest = match newest {
                Some((same, old)) if same == id && old.outlasts(copy.version, copy.digest) => {
                    supersede(copy.place);
                    Some((id, old))
                }
                Some((same, old)) if same == id => {
                    supersede(old.place);
                    Some((id, copy))
                }
                _ => Some((id, copy)),
            };
            if let Some(id) = run.head(&mut spool)? {
                heads.push(Reverse((id, number)));
            }
        }
        Ok(())
    }
}

/// A sorted run that is being merged.
struct SortedRun {
    /// Where the copies that were not read yet begin in the spool.
    start: u64,
    /// The number of copies that were not read yet.
    left: u64,
    /// Copies that were read, the next one last.
    buffer: Vec<(u128, RowCopy)>,
}

impl SortedRun {
    /// The id of the next copy. `None` at the end of the run.
    fn head(&mut self, spool: &mut Spool) -> io::Result<Option<u128>> {
        if self.buffer.is_empty() && self.left > 0 {
            let copies = self.left.min(COPIES_PER_READ);
            let mut bytes = vec![0; usize::try_from(copies).unwrap_or(0) * COPY_BYTES];
            spool.seek(SeekFrom::Start(self.start))?;
            spool.read_exact(&mut bytes)?;
            self.buffer = bytes.chunks_exact(COPY_BYTES).rev().map(decode).collect();
            self.start += bytes.len() as u64;
            self.left -= copies;
        }
        Ok(self.buffer.last().map(|(id, _)| *id))
    }
}

fn encode(id: u128, copy: &RowCopy, bytes: &mut Vec<u8>) {
    bytes.extend(id.to_le_bytes());
    bytes.extend(copy.version.to_le_bytes());
    bytes.extend(copy.digest.to_le_bytes());
    bytes.extend(copy.place.day.to_le_bytes());
    bytes.extend(copy.place.row.to_le_bytes());
}

fn decode(bytes: &[u8]) -> (u128, RowCopy) {
    let word = |at: usize| -> [u8; 8] {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        word
    };
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[..16]);
    let place = RowPlace { day: i64::from_le_bytes(word(32)), row: u64::from_le_bytes(word(40)) };
    let copy = RowCopy {
        version: i64::from_le_bytes(word(16)),
        digest: u64::from_le_bytes(word(24)),
        place,
    };
    (u128::from_le_bytes(id), copy)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::sink::spool::SpoolFile;

    /// The surviving copies, by id, after these copies arrived in this order.
    fn survivors(copies: &[(u128, i64, u64)], most_copies: usize) -> BTreeMap<u128, (i64, u64)> {
        let spools = SpoolFile::new(std::env::temp_dir());
        let mut versions = RowVersions::with_capacity(most_copies);
        let mut written = BTreeMap::new();
        for (row, &(id, version, digest)) in (0..).zip(copies) {
            let key = RowKey { id, version, time_ms: 0, digest };
            if versions.is_newest(&key) {
                written.insert(row, (id, version, digest));
                if let Some(old) = versions.insert(&key, RowPlace { day: 0, row }) {
                    written.remove(&old.row);
                }
            }
            versions.spill_if_full(|| spools.spool_on_disk()).unwrap();
        }
        versions.merge(|place| assert!(written.remove(&place.row).is_some())).unwrap();
        let mut survivors = BTreeMap::new();
        for (id, version, digest) in written.into_values() {
            assert!(survivors.insert(id, (version, digest)).is_none(), "{id} survives twice");
        }
        survivors
    }

    proptest! {
        #[test]
        fn spilled_copies_give_the_same_rows_as_copies_in_memory(
            copies in prop::collection::vec((0u128..12, 0i64..4, 0u64..3), 0..200),
            most_copies in 1usize..9,
        ) {
            // an equal digest means equal text, and so an equal version
            let copies: Vec<_> = copies
                .into_iter()
                .map(|(id, version, digest)| (id, version, digest * 10 + version.unsigned_abs()))
                .collect();
            prop_assert_eq!(survivors(&copies, most_copies), survivors(&copies, usize::MAX));
        }
    }
}
