//! The rows of a file that are not encoded yet, in memory or on the disk of the output.
//!
//! An encoder keeps buffers for every column, so there is none until the rows of a row group are
//! there. Until then rows wait in memory, and on the disk if memory is short.

use std::{
    io::{BufReader, BufWriter, Seek},
    mem::take,
};

use arrow::{
    compute::concat_batches, datatypes::SchemaRef, error::ArrowError, record_batch::RecordBatch,
};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};

use crate::sink::{
    spool::{Spool, SpoolFile},
    write_error::WriteError,
};

/// Pages are joined to pieces of this size: encoding many rows at once takes less time.
pub(crate) const PIECE_BYTES: usize = 4 << 20;

/// Rows in the order in which they were pushed.
pub(super) struct WaitingRows {
    schema: SchemaRef,
    spools: SpoolFile,
    /// The first rows. `None` if all are in memory.
    on_disk: Option<StreamWriter<BufWriter<Spool>>>,
    /// The rows after those on disk, in pieces.
    pieces: Vec<RecordBatch>,
    /// The last rows, in pages.
    pages: Vec<RecordBatch>,
    pages_bytes: usize,
    pieces_bytes: usize,
    disk_bytes: usize,
    rows: usize,
}

impl WaitingRows {
    pub(super) fn new(schema: &SchemaRef, spools: &SpoolFile) -> Self {
        Self {
            schema: schema.clone(),
            spools: spools.clone(),
            on_disk: None,
            pieces: Vec::new(),
            pages: Vec::new(),
            pages_bytes: 0,
            pieces_bytes: 0,
            disk_bytes: 0,
            rows: 0,
        }
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The size of all rows in the form that they have in memory.
    pub(super) fn bytes(&self) -> usize {
        self.disk_bytes + self.bytes_in_memory()
    }

    pub(super) fn bytes_in_memory(&self) -> usize {
        self.pieces_bytes + self.pages_bytes
    }

    /// Adds rows with the columns of the file.
    pub(super) fn push(&mut self, page: RecordBatch) -> Result<(), ArrowError> {
        self.rows += page.num_rows();
        self.pages_bytes += page.get_array_memory_size();
        self.pages.push(page);
        if self.pages_bytes >= PIECE_BYTES {
            self.join_pages()?;
        }
        Ok(())
    }

    /// Makes the pages a piece.
    fn join_pages(&mut self) -> Result<(), ArrowError> {
        self.pages_bytes = 0;
        let pages = take(&mut self.pages);
        if !pages.is_empty() {
            let piece = concat_batches(&self.schema, &pages)?;
            self.pieces_bytes += piece.get_array_memory_size();
            self.pieces.push(piece);
        }
        Ok(())
    }

    /// Moves all rows to the disk.
    pub(super) fn spill(&mut self) -> Result<(), WriteError> {
        self.join_pages()?;
        let on_disk = match &mut self.on_disk {
            Some(on_disk) => on_disk,
            None => {
                let spool = self.spools.spool_on_disk();
                self.on_disk.insert(StreamWriter::try_new_buffered(spool, &self.schema)?)
            }
        };
        for piece in take(&mut self.pieces) {
            on_disk.write(&piece)?;
        }
        self.disk_bytes += take(&mut self.pieces_bytes);
        Ok(())
    }

    /// Takes all rows out, in pieces.
    pub(super) fn take(&mut self) -> Result<Pieces, WriteError> {
        self.join_pages()?;
        (self.rows, self.pieces_bytes, self.disk_bytes) = (0, 0, 0);
        let on_disk = match self.on_disk.take() {
            Some(mut written) => {
                written.finish()?;
                let mut spool = written
                    .into_inner()?
                    .into_inner()
                    .map_err(std::io::IntoInnerError::into_error)?;
                spool.rewind()?;
                Some(StreamReader::try_new_buffered(spool, None)?)
            }
            None => None,
        };
        Ok(Pieces {
            schema: self.schema.clone(),
            on_disk,
            in_memory: take(&mut self.pieces).into_iter(),
        })
    }
}

/// Rows that were taken out.
pub(super) struct Pieces {
    schema: SchemaRef,
    on_disk: Option<StreamReader<BufReader<Spool>>>,
    in_memory: std::vec::IntoIter<RecordBatch>,
}

impl Pieces {
    /// The next rows on disk, of which small batches are joined. `None` if there are none.
    fn next_on_disk(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let Some(on_disk) = &mut self.on_disk else { return Ok(None) };
        let (mut batches, mut bytes) = (Vec::new(), 0);
        while bytes < PIECE_BYTES
            && let Some(batch) = on_disk.next().transpose()?
        {
            bytes += batch.get_array_memory_size();
            batches.push(batch);
        }
        match batches.len() {
            0 | 1 => Ok(batches.pop()),
            _ => concat_batches(&self.schema, &batches).map(Some),
        }
    }
}

impl Iterator for Pieces {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let on_disk = self.next_on_disk().transpose();
        on_disk.or_else(|| self.in_memory.next().map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, AsArray, Int64Array, StringArray},
        datatypes::Int64Type,
    };
    use proptest::prelude::*;

    use super::*;

    fn page(numbers: std::ops::Range<i64>) -> RecordBatch {
        let texts = numbers.clone().map(|number| (number % 3 > 0).then(|| number.to_string()));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let numbers: ArrayRef = Arc::new(numbers.collect::<Int64Array>());
        RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)])
            .unwrap()
    }

    proptest! {
        #[test]
        fn rows_come_out_in_order_wherever_they_waited(
            pages in prop::collection::vec((0i64..50, any::<bool>()), 0..30),
        ) {
            let spools = SpoolFile::new(std::env::temp_dir());
            let mut waiting = WaitingRows::new(&page(0..0).schema(), &spools);
            for _ in 0..2 {
                let mut rows = 0;
                for &(len, spills) in &pages {
                    waiting.push(page(rows..rows + len)).unwrap();
                    rows += len;
                    if spills {
                        waiting.spill().unwrap();
                        prop_assert_eq!(waiting.bytes_in_memory(), 0);
                    }
                    prop_assert_eq!(waiting.rows() as i64, rows);
                }
                let pieces: Vec<_> = waiting.take().unwrap().map(Result::unwrap).collect();
                let all = concat_batches(&page(0..0).schema(), &pieces).unwrap();
                prop_assert_eq!(all, page(0..rows));
                prop_assert_eq!((waiting.rows(), waiting.bytes()), (0, 0));
            }
        }
    }

    #[test]
    fn pages_are_joined_to_pieces_that_are_not_smaller_than_the_limit() {
        let spools = SpoolFile::new(std::env::temp_dir());
        let mut waiting = WaitingRows::new(&page(0..0).schema(), &spools);
        for number in 0..1_000 {
            waiting.push(page(number * 1_000..(number + 1) * 1_000)).unwrap();
        }
        let pieces: Vec<_> = waiting.take().unwrap().map(Result::unwrap).collect();
        assert!((2..10).contains(&pieces.len()), "{}", pieces.len());
        let last = pieces.last().unwrap().column(0).as_primitive::<Int64Type>().values();
        assert_eq!(last.last(), Some(&999_999));
    }

    #[test]
    fn small_spills_are_joined_to_pieces_when_they_are_read() {
        let spools = SpoolFile::new(std::env::temp_dir());
        let mut waiting = WaitingRows::new(&page(0..0).schema(), &spools);
        for number in 0..100 {
            waiting.push(page(number * 10..(number + 1) * 10)).unwrap();
            waiting.spill().unwrap();
        }
        assert_eq!(waiting.take().unwrap().count(), 1);
    }
}
