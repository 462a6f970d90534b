//! The positions of rows in the text of a page.

use std::ops::Range;

use super::row_splitter::{next_row, row_start};
use crate::decode::PageError;

/// The rows in the text of a page.
#[derive(Debug, Clone)]
pub(in crate::decode) enum Rows {
    /// The elements of the list here. Their positions are found again when they are
    /// read: a hostile page has a row in every other byte (G8).
    List {
        /// The position of the list, with its brackets.
        list: Range<usize>,
        /// The number of elements.
        len: usize,
    },
    /// Rows at these positions.
    Ranges(RowRanges),
}

impl Default for Rows {
    fn default() -> Self {
        Self::Ranges(RowRanges::default())
    }
}

impl Rows {
    /// The number of rows.
    pub(in crate::decode) fn len(&self) -> usize {
        match self {
            Self::List { len, .. } => *len,
            Self::Ranges(ranges) => ranges.0.len(),
        }
    }

    /// The position of each row in the text.
    pub(in crate::decode) fn iter(
        &self,
        text: &[u8],
    ) -> impl ExactSizeIterator<Item = Range<usize>> {
        let mut end = self.start();
        (0..self.len()).map(move |row| {
            let range = match self {
                Self::List { .. } => next_row(text, row_start(text, end)),
                Self::Ranges(ranges) => ranges.get(row),
            };
            end = range.end;
            range
        })
    }

    /// The position before the first row.
    pub(in crate::decode) fn start(&self) -> usize {
        match self {
            Self::List { list, .. } => list.start + 1,
            Self::Ranges(_) => 0,
        }
    }
}

/// The positions of rows in a text of at most 4 GiB.
#[derive(Debug, Clone, Default)]
pub(in crate::decode) struct RowRanges(Vec<[u32; 2]>);

impl RowRanges {
    /// Adds a row.
    ///
    /// # Errors
    /// If it lies beyond 4 GiB.
    pub(super) fn push(&mut self, range: Range<usize>) -> Result<(), PageError> {
        let too_large = |_| PageError::TooLarge(u64::from(u32::MAX));
        let from = u32::try_from(range.start).map_err(too_large)?;
        self.0.push([from, u32::try_from(range.end).map_err(too_large)?]);
        Ok(())
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The position of a row.
    pub(in crate::decode) fn get(&self, row: usize) -> Range<usize> {
        let [from, to] = self.0[row];
        from as usize..to as usize
    }
}
