//! Texts and lists of a column, one after another, with the positions where they end.

use std::{borrow::Cow, mem};

use arrow::{
    array::StringArray,
    buffer::{Buffer, NullBuffer, OffsetBuffer},
    error::ArrowError,
};

use crate::decode::columns::{ColumnFull, MAX_KEPT, room_after};

/// Where each of several lists or texts ends in what they are made of.
#[derive(Debug)]
pub(in crate::decode) struct Ends(Vec<i32>);

impl Default for Ends {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Ends {
    /// The end of the last one.
    #[inline]
    pub(in crate::decode) fn last(&self) -> usize {
        self.get(self.0.len() - 1)
    }

    #[inline]
    fn get(&self, index: usize) -> usize {
        self.0.get(index).map_or(0, |&end| end as usize)
    }

    #[inline]
    pub(in crate::decode) fn push(&mut self, end: usize) -> Result<(), ColumnFull> {
        self.0.push(i32::try_from(end).map_err(|_| ColumnFull)?);
        Ok(())
    }

    /// Moves the end of the last one.
    #[inline]
    pub(in crate::decode) fn move_last(&mut self, end: usize) -> Result<(), ColumnFull> {
        self.0.pop();
        self.push(end)
    }

    /// Appends empty ones.
    pub(super) fn repeat(&mut self, count: usize) {
        let last = self.last() as i32;
        self.0.resize(self.0.len() + count, last);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len + 1);
    }

    pub(super) fn finish(&mut self) -> OffsetBuffer<i32> {
        let mut room = Vec::with_capacity(room_after(self.0.len()).min(MAX_KEPT));
        room.push(0);
        OffsetBuffer::new(mem::replace(&mut self.0, room).into())
    }
}

/// Texts in one buffer.
#[derive(Debug, Default)]
pub(in crate::decode) struct Texts {
    /// The texts, and room for more.
    bytes: Vec<u8>,
    ends: Ends,
}

/// The most bytes of texts that a column leaves room for when a page has been taken from it.
const MAX_KEPT_BYTES: usize = 1 << 16;

/// Copying a fixed number of bytes takes less time than finding out how many there are.
const COPIED: usize = 48;

impl Texts {
    /// Appends the first `len` bytes of an input, which are UTF-8.
    #[inline]
    pub(in crate::decode) fn push_front(
        &mut self,
        len: usize,
        input: &[u8],
    ) -> Result<(), ColumnFull> {
        let start = self.ends.last();
        let room = self.bytes.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<COPIED>);
        match (room, input.first_chunk::<COPIED>()) {
            (Some(room), Some(chunk)) if len <= COPIED => {
                *room = *chunk;
                self.ends.push(start + len)
            }
            _ => self.push(&input[..len]),
        }
    }

    /// Appends a text, which is UTF-8.
    pub(in crate::decode) fn push(&mut self, text: &[u8]) -> Result<(), ColumnFull> {
        let start = self.ends.last();
        let end = start + text.len();
        self.ends.push(end)?;
        if end + COPIED > self.bytes.len() {
            self.bytes.resize(2 * end + COPIED, 0);
        }
        self.bytes[start..end].copy_from_slice(text);
        Ok(())
    }

    pub(in crate::decode) fn len(&self) -> usize {
        self.ends.0.len() - 1
    }

    /// The last text.
    pub(in crate::decode) fn last(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.get(self.len() - 1))
    }

    /// The bytes of a text.
    pub(in crate::decode) fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.ends.get(index)..self.ends.get(index + 1)]
    }

    pub(super) fn is_empty_at(&self, index: usize) -> bool {
        self.ends.get(index) == self.ends.get(index + 1)
    }

    /// Appends empty texts.
    pub(super) fn repeat(&mut self, count: usize) {
        self.ends.repeat(count);
    }

    pub(in crate::decode) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
    }

    /// Takes the texts, and leaves none.
    pub(super) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<StringArray, ArrowError> {
        let bytes = self.bytes[..self.ends.last()].to_vec();
        self.bytes.truncate(MAX_KEPT_BYTES);
        self.bytes.shrink_to(MAX_KEPT_BYTES);
        StringArray::try_new(self.ends.finish(), Buffer::from_vec(bytes), nulls)
    }
}
